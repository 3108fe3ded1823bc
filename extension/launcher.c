/* SPDX-License-Identifier: MIT */
/*
 * extension/launcher.c - with shared_preload_libraries: one worker for every database that has the
 * extension, after a restart, a promotion, a crash, a copy.
 *
 * The launcher is connected to no database, so it never stands in the way of a database command.  It
 * can read pg_database, nothing more.  Which databases have the extension is asked by a *scout*: a
 * process that connects to one database for milliseconds, reads in the shared dependencies which
 * databases hold a table of the marker role, registers the workers that are missing, and ends.  The
 * dependency is copied by CREATE DATABASE … TEMPLATE, goes with DROP EXTENSION, and survives pg_upgrade.
 *
 * A scout is sent at start, on SIGHUP, again after it could not register all, and when pg_database
 * changed, which arrives as an invalidation message: nothing is queried while nothing happens.  (CREATE EXTENSION starts its worker itself.)  A
 * registered worker that turns out to be one too many is sent home by the guard lock.  A database that
 * vanishes before the scout arrives is a change of pg_database, too, and so sends the next one.
 */
#include "internal.h"

#include <signal.h>

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/sinval.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#define LOOK_MS           2000 /* invalidation messages: no query */
#define SCOUT_PATIENCE_MS 30000
#define RETRY_MS          10000 /* after a scout or a worker found no free slot */

static volatile bool databases_changed = true; /* at start everything is new */

/* From the scout, by SIGUSR2: not every worker could be registered. */
static volatile sig_atomic_t incomplete;
static TimestampTz incomplete_since;

static void
note_incomplete(SIGNAL_ARGS)
{
	int saved = errno;

	(void) postgres_signal_arg;
	incomplete = true;
	SetLatch(MyLatch);
	errno = saved;
}

static void
database_changed(Datum arg, int cache, uint32 hash)
{
	(void) arg;
	(void) cache;
	(void) hash;
	databases_changed = true;
}

/* ---- where to send the scout ----------------------------------------------------------------- */

typedef struct candidate
{
	Oid database;
	int rank; /* smaller is better */
} candidate;

/*
 * Best first: a database where a worker of ours lives (it steps aside for database commands anyway),
 * then `postgres`, then any.
 */
static Oid
choose_database(void)
{
	candidate best = {InvalidOid, INT_MAX};
	Relation relation;
	TableScanDesc scan;
	HeapTuple tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		int rank = 2;

		if (!database->datallowconn || database->datistemplate || database->datconnlimit == -2)
			continue;
		if (aut__worker_pid(database->oid) != 0)
			rank = 0;
		else if (strcmp(NameStr(database->datname), "postgres") == 0)
			rank = 1;
		if (rank < best.rank)
			best = (candidate){database->oid, rank};
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	return best.database;
}

/* Send a scout and wait for its end. */
static void
send_scout(Oid database)
{
	BackgroundWorker scout;
	BackgroundWorkerHandle *handle;
	pid_t pid;
	int waited = 0;

	memset(&scout, 0, sizeof(scout));
	snprintf(scout.bgw_name, BGW_MAXLEN, "automation scout in database %u", database);
	strlcpy(scout.bgw_type, AUT__SCOUT_TYPE, BGW_MAXLEN);
	scout.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	scout.bgw_start_time = BgWorkerStart_RecoveryFinished;
	scout.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(scout.bgw_library_name, AUT__LIBRARY, sizeof(scout.bgw_library_name));
	strlcpy(scout.bgw_function_name, "automation_scout_main", sizeof(scout.bgw_function_name));
	scout.bgw_main_arg = ObjectIdGetDatum(database);
	scout.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&scout, &handle))
	{
		ereport(WARNING, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						  errmsg("automation: no slot is free for a background worker"),
						  errhint("Raise max_worker_processes.")));
		incomplete = true;
		return;
	}
	while (GetBackgroundWorkerPid(handle, &pid) != BGWH_STOPPED)
	{
		if (waited >= SCOUT_PATIENCE_MS)
		{
			TerminateBackgroundWorker(handle);
			break;
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 100,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		waited += 100;
	}
	pfree(handle);
}

/* ---- the launcher ---------------------------------------------------------------------------- */

void
automation_launcher_main(Datum arg)
{
	MemoryContext context;

	(void) arg;
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGUSR2, note_incomplete);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	CacheRegisterSyscacheCallback(DATABASEOID, database_changed, (Datum) 0);
	context =
		AllocSetContextCreate(TopMemoryContext, "automation launcher", ALLOCSET_DEFAULT_SIZES);

	for (;;)
	{
		MemoryContextSwitchTo(context);
		MemoryContextReset(context);
		if (databases_changed)
		{
			Oid database;

			databases_changed = false; /* first, so that no change is lost */
			incomplete = false;
			incomplete_since = GetCurrentTimestamp();
			database = choose_database();
			if (OidIsValid(database))
				send_scout(database);
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOOK_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (catchupInterruptPending)
			ProcessCatchupInterrupt();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			databases_changed = true;
		}
		AcceptInvalidationMessages();
		if (incomplete &&
			TimestampDifferenceExceeds(incomplete_since, GetCurrentTimestamp(), RETRY_MS))
			databases_changed = true;
	}
}

/* ---- the scout ------------------------------------------------------------------------------- */

/*
 * Databases that hold a table of the marker role, may be connected to, and are no templates.  A false
 * positive (somebody gave that role a table) costs one start of a worker that finds no extension.
 */
static const char find_databases[] =
	"SELECT DISTINCT d.dbid FROM pg_catalog.pg_shdepend d"
	" JOIN pg_catalog.pg_authid r ON r.oid OPERATOR(pg_catalog.=) d.refobjid"
	" JOIN pg_catalog.pg_database b ON b.oid OPERATOR(pg_catalog.=) d.dbid"
	" WHERE r.rolname OPERATOR(pg_catalog.=) '" AUT__MARKER_ROLE "'"
	" AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_authid'::pg_catalog.regclass"
	" AND d.deptype OPERATOR(pg_catalog.=) 'o'"
	" AND b.datallowconn AND NOT b.datistemplate AND b.datconnlimit OPERATOR(pg_catalog.<>) -2";

static void
register_missing_workers(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, "automation: look for databases with the extension");
	SPI_connect();
	if (SPI_execute(find_databases, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "automation: the list of databases cannot be read");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool null;
		Datum value = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &null);
		Oid database = null ? InvalidOid : DatumGetObjectId(value);

		if (!OidIsValid(database) || aut__worker_pid(database) != 0)
			continue;
		if (!aut__register_worker(database))
		{
			ereport(WARNING,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("automation: no slot is free for the worker of database %u", database),
					 errhint("Raise max_worker_processes. The launcher tries again.")));
			if (MyBgworkerEntry->bgw_notify_pid != 0)
				(void) kill(MyBgworkerEntry->bgw_notify_pid, SIGUSR2);
			break;
		}
	}
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_activity(STATE_IDLE, NULL);
}

void
automation_scout_main(Datum arg)
{
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	aut__pin_session();
	register_missing_workers();
	proc_exit(0);
}
