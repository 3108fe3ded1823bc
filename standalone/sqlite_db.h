/* SPDX-License-Identifier: MIT */
/*
 * standalone/sqlite_db.h - the SQLite driver: one file, one process, one thread.
 *
 * The file is in WAL mode and belongs to one process at a time (PATH.lock names it).  It is made
 * complete under another name and then renamed, so a crash never leaves a half-made database.  Files of
 * other programs, of newer versions and of the reference implementation are refused and never touched.
 */
#ifndef AUT_SQLITE_DB_H
#define AUT_SQLITE_DB_H

#include "automation/store.h"

typedef enum aut_sqlite_durability
{
	AUT_SQLITE_FULL,  /* a commit that returned survives a power cut */
	AUT_SQLITE_NORMAL /* a power cut may lose the last commits; the file stays whole */
} aut_sqlite_durability;

typedef struct aut_sqlite_options
{
	bool create; /* make the file when it is not there */
	aut_sqlite_durability durability;
	int busy_timeout_ms; /* how long to wait for a lock another process (a backup) holds */
} aut_sqlite_options;

#define AUT_SQLITE_OPTIONS_INIT                                                                    \
	{                                                                                              \
		true, AUT_SQLITE_FULL, 2000                                                                \
	}

/*
 * Open a store; options NULL: the defaults.  The folder must exist.
 * EBUSY: another process has it (the message names it).  ENOTFOUND: not there and create is false.
 * EUNSUPPORTED: made by a newer version, or by the reference implementation.  EINVAL: a folder, or
 * another program's database.  ECORRUPT: not a database.  EIO: cannot be read or written.
 * Of the open store's statements also EUNAVAILABLE: the disk is full; what was committed is safe.
 */
aut_status aut_sqlite_open(const char *path, const aut_sqlite_options *options, aut_db **out,
						   aut_error *err);

/* Call when there is nothing else to do: moves what was committed from the WAL into the file once
 * enough has gathered.  Takes a few milliseconds at most; never waits for readers. */
void aut_sqlite_idle(aut_db *db);

/* Write a consistent copy of the store at path to a file that must not exist; safe while a daemon uses
 * it.  The copy is checked before it gets its name. */
aut_status aut_sqlite_backup(const char *path, const char *to, aut_error *err);

/* Look whether the store at path is whole; changes nothing and makes no file.  EBUSY: a daemon has it,
 * and it was not opened.  Otherwise as aut_sqlite_open, and ECORRUPT or EIO for what SQLite found. */
aut_status aut_sqlite_check(const char *path, aut_error *err);

#endif
