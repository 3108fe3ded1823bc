/* SPDX-License-Identifier: MIT */
/*
 * extension/pg_prelude.h - the first include of every file of the extension: the server's own first
 * header, and the fences between server versions.
 *
 * 15 is the base; 16 to 18 differ where a macro below says so.  Nothing else in the extension looks at
 * PG_VERSION_NUM for these.
 */
#ifndef AUT_PG_PRELUDE_H
#define AUT_PG_PRELUDE_H

#include "postgres.h"

#include "fmgr.h"

/* The server and libjansson both have a function json_object: the server's declaration is renamed away,
 * so this must come before jansson.h. */
#define json_object aut__server_json_object
#include "utils/builtins.h"
#undef json_object

#if PG_VERSION_NUM < 150000
#error "PostgreSQL 15 or newer is needed"
#endif

/* Is this PGPROC (not ours, perhaps of a process that just ended) a background worker's? */
#if PG_VERSION_NUM >= 180000
#define AUT_PG_PROC_IS_WORKER(proc) (!(proc)->isRegularBackend)
#else
#define AUT_PG_PROC_IS_WORKER(proc) ((proc)->isBackgroundWorker)
#endif

/* 16 made one function of the checks of ownership. */
#if PG_VERSION_NUM >= 160000
#define AUT_PG_CLASS_OWNERCHECK(oid, role) object_ownercheck(RelationRelationId, oid, role)
#else
#define AUT_PG_CLASS_OWNERCHECK(oid, role) pg_class_ownercheck(oid, role)
#endif

/* 18 dropped the argument run_once. */
#if PG_VERSION_NUM >= 180000
#define AUT_PG_PORTAL_RUN(portal, count, top, dest, alt, qc)                                       \
	PortalRun(portal, count, top, dest, alt, qc)
#else
#define AUT_PG_PORTAL_RUN(portal, count, top, dest, alt, qc)                                       \
	PortalRun(portal, count, top, true, dest, alt, qc)
#endif

/* Flag for workers that connect as a role without LOGIN; before 17 that cannot be done. */
#if PG_VERSION_NUM >= 170000
#define AUT_PG_BYPASS_LOGIN_CHECK BGWORKER_BYPASS_ROLELOGINCHECK
#else
#define AUT_PG_BYPASS_LOGIN_CHECK 0
#endif

/* The name under which a wait of ours is shown; before 17 all extensions share one. */
#if PG_VERSION_NUM >= 170000
#define AUT_PG_WAIT_EVENT(name) WaitEventExtensionNew(name)
#else
#define AUT_PG_WAIT_EVENT(name) PG_WAIT_EXTENSION
#endif

#endif
