/* SPDX-License-Identifier: MIT */
/*
 * extension/internal.h - what the files of the PostgreSQL host tell each other.
 *
 * The host has five parts, a file or two each:
 *
 *   guc.c       _PG_init, settings
 *   start.c     what happens at the commit of a transaction that asked for a worker or a run
 *   wake.c      finding our processes among the server's, setting their latches
 *   worker.c    the worker of one database and those beside it: their life, their waiting, when they
 *               leave; over host.c, which wires loop, store, HTTP client, backend, engine and API exactly
 *               as the daemon does
 *   beside.c    which processes there should be beside the worker, and starting those that are missing
 *   launcher.c  with shared_preload_libraries: keeps one worker per database that has the extension
 *   door.c      the frame of SQL functions over core/service; sql_*.c are the functions
 *
 * Frames: core reports failures as values and must never be jumped over, so PostgreSQL code that may
 * raise an error is called before core is entered or after it has returned; the SPI driver
 * (spi_db.c) and the log sink are the only places where core calls back, and both are closed boxes.
 */
#ifndef AUT_EXTENSION_INTERNAL_H
#define AUT_EXTENSION_INTERNAL_H

#include "pg_prelude.h"

#include "storage/lock.h"
#include "storage/proc.h"

#include "automation/service.h"

/* ---- names --------------------------------------------------------------------------------- */

#define AUT__EXTENSION      "automation"
#define AUT__LIBRARY        "automation"
#define AUT__ACTION_LIBRARY "automation_action" /* see action_module.c */
/* Types of our processes, as pg_stat_activity.backend_type shows them. */
#define AUT__WORKER_TYPE     "automation worker"
#define AUT__DISPATCHER_TYPE "automation dispatcher"
#define AUT__HTTP_TYPE       "automation http worker"
#define AUT__LAUNCHER_TYPE   "automation launcher"
#define AUT__SCOUT_TYPE      "automation scout"
#define AUT__ACTION_TYPE     "automation sql action"
/* Owner of one table in every database that has the extension: that is how they are found. */
#define AUT__MARKER_ROLE  "automation_marker"
#define AUT__MARKER_TABLE "marker"
#define AUT__ADMIN_ROLE   "automation_admin"
#define AUT__READER_ROLE  "automation_reader"

/* ---- guc.c --------------------------------------------------------------------------------- */

extern bool aut__preloaded; /* by shared_preload_libraries */
extern bool aut__enabled;   /* automation.enabled */
extern char *aut__listen;   /* automation.listen: "address:port", "" for none */
extern int aut__workers;    /* automation.workers: dispatchers, the worker itself among them */
#define AUT__WORKERS_MAX 8
extern int aut__http_workers; /* automation.http_workers: 0 when the worker itself listens */
#define AUT__HTTP_WORKERS_MAX 16
extern int aut__sql_workers; /* automation.sql_workers */
#define AUT__SQL_WORKERS_MAX 64
extern char *aut__http_role; /* automation.http_role: owns what was made over HTTP, "" for nobody */
/* Raised whenever a setting changes; holders of an aut_settings compare. */
extern uint64 aut__settings_generation;

/* Fill settings (initialised here) from the GUCs; with_secrets reads the key files, too.  On failure
 * *out is empty and the error names the setting. */
aut_status aut__settings_load(aut_settings *out, bool with_secrets, aut_error *err);
/* Where scripts run; also right for settings that were read without secrets. */
aut_backend_choice aut__backend_choice(const aut_settings *settings);
/* Do they fit together?  EINVAL. */
aut_status aut__settings_check(const aut_settings *settings, aut_error *err);
/* A secret that is given by value (which is for compatibility only), or NULL. */
const char *aut__secret_by_value(void);
/* Who lends the key of automation.secret_key_file; and read it again, it may have changed. */
const aut_sealer *aut__sealer(void);
void aut__sealer_forget(void);
/* Split automation.listen.  address is NUL-terminated; EINVAL says what is wrong. */
aut_status aut__listen_parse(const char *text, char *address, size_t size, uint16_t *out_port,
							 aut_error *err);

/* ---- start.c ------------------------------------------------------------------------------- */

/* Wanted at the commit of the current (sub)transaction; forgotten if that rolls back. */
void aut__start_at_commit(void);
void aut__wake_at_commit(void);
/* Start the worker at commit if none runs by then.  For callers that saw none. */
void aut__ensure_at_commit(void);
/* What a process of ours does.  The worker of a database is the main one: there is exactly one; where
 * settings want more, it starts dispatchers and HTTP workers beside itself. */
typedef enum aut__role
{
	AUT__ROLE_MAIN,
	AUT__ROLE_DISPATCHER,
	AUT__ROLE_HTTP
} aut__role;

/* What such a process is told (bgw_extra). */
typedef struct aut__worker_order
{
	int32 role;    /* an aut__role */
	int32 number;  /* among those of its role; dispatchers count from 1, the main worker being 0 */
	int32 bound_s; /* of a tick(): how long it works; 0: until it is told to leave */
} aut__worker_order;

/* Register the worker of a database.  False: no slot is free.  Raises nothing. */
bool aut__register_worker(Oid database);
/* The same for one beside it. */
bool aut__register_beside(Oid database, aut__role role, int number);
/* The same for a worker that leaves by itself after so many seconds (and works though stopped); the
 * calling process hears of its end.  May raise an error. */
struct BackgroundWorkerHandle;
bool aut__register_tick(Oid database, int32 bound_s, struct BackgroundWorkerHandle **out);
/* May processes be started here at all (not in recovery, not while pg_upgrade runs)? */
bool aut__may_start(void);

/* Lock tags no SQL command can take.  guard: held by the worker for its life; starter: one transaction
 * among many starts the worker. */
void aut__guard_tag(LOCKTAG *tag, Oid database, Oid extension);
/* The same for one beside the worker. */
void aut__guard_tag_of(LOCKTAG *tag, Oid database, Oid extension, aut__role role, int number);
/* One of the places for SQL actions, held by the dispatcher that fills it. */
void aut__place_tag(LOCKTAG *tag, Oid database, int number);
void aut__starter_tag(LOCKTAG *tag, Oid database);
/* Held by the process of a SQL action for its life. */
void aut__action_tag(LOCKTAG *tag, Oid database, const aut_uuid *run);

/* ---- wake.c -------------------------------------------------------------------------------- */

/* Pid of the worker of a database, 0 when none is running. */
int aut__worker_pid(Oid database);
/* Set the latches of this database's worker and of the dispatchers beside it; false when there is none. */
bool aut__wake_worker(void);
/* How many processes of that type work for a database. */
int aut__count_processes(Oid database, const char *type);
/* From one of them: set the latches of the others. */
void aut__wake_other_worker(void);
/* Set the latches of the sessions of this database that wait in automation.wait(). */
void aut__wake_waiters(void);
/* The wait event by which those sessions are known. */
uint32 aut__wait_event(void);
/* Call cb for each of our processes of a database (InvalidOid: launcher). */
typedef void (*aut__process_cb)(void *payload, int pid, const char *type);
void aut__each_process(Oid database, aut__process_cb cb, void *payload);

/* ---- worker.c ------------------------------------------------------------------------------ */

/* What a worker must know of its extension. */
typedef struct aut__extension
{
	Oid oid;    /* InvalidOid: not installed */
	Oid marker; /* the marker table */
	char version[32];
	bool stopped; /* by automation.stop() */
} aut__extension;
/* Look it up, in a transaction of the caller's. */
void aut__extension_look(aut__extension *out);

/* ---- session.c ----------------------------------------------------------------------------- */

/* Settings of a background worker's session against hostile ALTER DATABASE/ROLE … SET, and against plans made
 * for tables that were empty. */
void aut__pin_session(void);
/* ---- beside.c ------------------------------------------------------------------------------ */

/* Is this one still wanted? */
bool aut__is_wanted(aut__role role, int number);
/* From the main worker: start what is missing beside it.  False: a dispatcher has gone since the last
 * time, and may have left runs. */
bool aut__keep_company(Oid database, Oid extension);
/* How many processes beside the main worker the settings ask for, SQL actions included. */
int aut__company_wanted(void);

/* Session-level, at start of a process: what core logs goes to the server log. */
void aut__log_to_server(void);
/* A background worker whose database vanished while it connected leaves for good. */
void aut__watch_connecting(void);
void aut__watch_connected(void);

/* ---- action_runner.c, sql_action.c: SQL actions ------------------------------------------------- */

/* What the process of an action is told (bgw_extra). */
typedef struct aut__action_order
{
	aut_uuid run;
	Oid owner;
	int32 attempt;
	int64 limit_s;
} aut__action_order;

/* The engine's hand for SQL actions; db is the host's and lent.  Of this process, there is only one. */
struct aut_local_runner *aut__action_runner(aut_db *db);
/* A process of an action may have ended: give its place back. */
void aut__action_tidy(void);
/* Raises an error unless this is a text a SQL action may have. */
void aut__action_check(const char *sql);
/* May this role execute SQL actions?  Raises when it may not. */
void aut__action_check_owner(Oid role);
/* Keep the text of an automation's action (NULL: it has none any more). */
void aut__action_keep(const aut_uuid *automation, const char *sql);

/* ---- host.c -------------------------------------------------------------------------------- */

typedef struct aut__host aut__host;

aut_status aut__host_open(aut__role role, int number, aut__host **out, aut_error *err);
void aut__host_reload(aut__host *host); /* settings may have changed */
void aut__host_wake(aut__host *host);   /* look at everything */
void aut__host_leave(aut__host *host);  /* for good: others may take over its runs at once */
void aut__host_adopt(aut__host *host);  /* look for runs whose dispatcher is gone */
void aut__host_poll(aut__host *host);   /* one round without waiting */
int aut__host_fd(aut__host *host);
int aut__host_timeout_ms(aut__host *host);

/* ---- entry points of processes ------------------------------------------------------------- */

PGDLLEXPORT void automation_worker_main(Datum arg);
PGDLLEXPORT void automation_launcher_main(Datum arg);
PGDLLEXPORT void automation_scout_main(Datum arg);
PGDLLEXPORT void automation_action_main(Datum arg);
PGDLLEXPORT void _PG_init(void);

#endif
