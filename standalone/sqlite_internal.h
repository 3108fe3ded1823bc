/* SPDX-License-Identifier: MIT */
/*
 * standalone/sqlite_internal.h - between the driver (sqlite_db.c) and the file it works on
 * (sqlite_file.c).
 */
#ifndef AUT_SQLITE_INTERNAL_H
#define AUT_SQLITE_INTERNAL_H

#include <sqlite3.h>

#include "standalone/sqlite_db.h"

/* What the main schema is called, so that `automation.run` means the same in both dialects. */
#define STORE_SCHEMA "automation"
/* "AUT1": PRAGMA application_id of our files. */
#define STORE_APPLICATION_ID 0x41555431

/* Translate the last failure of handle: kind, message and (for constraints) SQLSTATE. */
aut_status aut__sqlite_error(sqlite3 *handle, int code, aut_error *err);

/* Take PATH.lock; *out_fd is closed to release it. */
aut_status aut__sqlite_lock(const char *path, int *out_fd, aut_error *err);
/* Empty the lock file and release it; -1 is fine. */
void aut__sqlite_unlock(int fd);

/* See that path is a store of ours, or (create) make one.  Call with the lock held. */
aut_status aut__sqlite_prepare_file(const char *path, bool create, aut_error *err);

/* Open an existing store with our settings; does not look at the lock. */
aut_status aut__sqlite_connect(const char *path, const aut_sqlite_options *options, sqlite3 **out,
							   aut_error *err);

/* Run statements without parameters and results. */
aut_status aut__sqlite_exec(sqlite3 *handle, const char *sql, aut_error *err);

#endif
