/* SPDX-License-Identifier: MIT */
/*
 * extension/start.c - what happens at the commit of a transaction that asked for a worker or a run.
 *
 * A SQL function may only note a wish here: "start" (CREATE EXTENSION, automation.start()) or "wake"
 * (there is something to do).  The wish is acted on when the transaction has committed and forgotten
 * when it has not, so ROLLBACK starts nothing and wakes nobody.  A start remembers the subtransaction
 * it was made in and follows it: gone with its rollback, its parent's with its release.  A wake does
 * not follow subtransactions; waking once too often is harmless.
 *
 * After a restart of the server without shared_preload_libraries nothing runs: dynamic workers are
 * forgotten with it.  So any call into the extension that finds no worker starts one ("ensure").  Of
 * many transactions that find none at the same moment only the holder of the "starter" lock does; who
 * is too late or too early is sent home by the guard lock that the worker itself takes.
 *
 * Nothing may raise an error once the transaction has committed (PostgreSQL would PANIC), hence: locks
 * are taken before, at PRE_COMMIT; registration and latches, which raise nothing, after.
 *
 * PREPARE TRANSACTION drops the wishes: its COMMIT PREPARED runs elsewhere and calls nobody.  The
 * worker's slow safety look finds what was committed that way.
 */
#include "internal.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/timestamp.h"

/* A stopped or disabled worker leaves at once; a busy session shall not start one per transaction. */
#define RESTART_EVERY_MS 5000

static SubTransactionId start_wanted_in = InvalidSubTransactionId;
static bool wake_wanted;
static bool ensure_wanted;
static bool restart_wanted; /* decided at PRE_COMMIT */
static TimestampTz last_restart;
static bool callbacks_are_set;

bool
aut__may_start(void)
{
	/* On a standby a registered worker would hold a slot until promotion. */
	return !IsBinaryUpgrade && !RecoveryInProgress();
}

static void
describe_worker(BackgroundWorker *worker, Oid database, const aut__worker_order *order)
{
	static const char *const types[] = {AUT__WORKER_TYPE, AUT__DISPATCHER_TYPE, AUT__HTTP_TYPE};

	memset(worker, 0, sizeof(*worker));
	snprintf(worker->bgw_name, BGW_MAXLEN, "%s %d of database %u", types[order->role],
			 order->number, database);
	strlcpy(worker->bgw_type, types[order->role], BGW_MAXLEN);
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = 1;
	strlcpy(worker->bgw_library_name, AUT__LIBRARY, sizeof(worker->bgw_library_name));
	strlcpy(worker->bgw_function_name, "automation_worker_main", sizeof(worker->bgw_function_name));
	worker->bgw_main_arg = ObjectIdGetDatum(database);
	worker->bgw_notify_pid = 0;
	StaticAssertStmt(sizeof(*order) <= BGW_EXTRALEN, "an order must fit into bgw_extra");
	memcpy(worker->bgw_extra, order, sizeof(*order));
}

bool
aut__register_worker(Oid database)
{
	return aut__register_beside(database, AUT__ROLE_MAIN, 0);
}

bool
aut__register_beside(Oid database, aut__role role, int number)
{
	aut__worker_order order = {.role = (int32) role, .number = number};
	BackgroundWorker worker;

	describe_worker(&worker, database, &order);
	return RegisterDynamicBackgroundWorker(&worker, NULL);
}

bool
aut__register_tick(Oid database, int32 bound_s, BackgroundWorkerHandle **out)
{
	aut__worker_order order = {.role = AUT__ROLE_MAIN, .bound_s = bound_s};
	BackgroundWorker worker;

	describe_worker(&worker, database, &order);
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	return RegisterDynamicBackgroundWorker(&worker, out);
}

/* Nobody was there when a function was called: shall this transaction start the worker? */
static void
decide_restart(void)
{
	LOCKTAG tag;

	if (!ensure_wanted || start_wanted_in != InvalidSubTransactionId || !aut__may_start() ||
		aut__worker_pid(MyDatabaseId) != 0)
		return;
	if (last_restart != 0 &&
		!TimestampDifferenceExceeds(last_restart, GetCurrentTimestamp(), RESTART_EVERY_MS))
		return;
	aut__starter_tag(&tag, MyDatabaseId);
	/* held to the end of this transaction */
	restart_wanted = LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

static void
act(void)
{
	if ((start_wanted_in != InvalidSubTransactionId || restart_wanted) && aut__may_start())
	{
		last_restart = GetCurrentTimestamp();
		if (!aut__register_worker(MyDatabaseId))
			ereport(WARNING, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
							  errmsg("automation: no slot is free for the background worker"),
							  errhint("Raise max_worker_processes. The next call tries again; "
									  "SELECT automation.doctor() tells more.")));
	}
	/* also after a start: an older worker shall notice what was done (DROP and CREATE EXTENSION) */
	if (wake_wanted || start_wanted_in != InvalidSubTransactionId)
		aut__wake_worker();
}

static void
forget(void)
{
	start_wanted_in = InvalidSubTransactionId;
	wake_wanted = ensure_wanted = restart_wanted = false;
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	(void) arg;
	if (!wake_wanted && !ensure_wanted && start_wanted_in == InvalidSubTransactionId)
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			decide_restart();
			break;
		case XACT_EVENT_COMMIT:
			act();
			forget();
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			forget();
			break;
		default:
			break;
	}
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	(void) arg;
	if (start_wanted_in == InvalidSubTransactionId || start_wanted_in != mine)
		return;
	if (event == SUBXACT_EVENT_ABORT_SUB)
		start_wanted_in = InvalidSubTransactionId;
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
		start_wanted_in = parent;
}

static void
set_callbacks(void)
{
	if (callbacks_are_set)
		return;
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
	callbacks_are_set = true;
}

void
aut__start_at_commit(void)
{
	set_callbacks();
	/* The outermost wish survives longest. */
	if (start_wanted_in == InvalidSubTransactionId)
		start_wanted_in = GetCurrentSubTransactionId();
}

void
aut__wake_at_commit(void)
{
	set_callbacks();
	wake_wanted = true;
}

void
aut__ensure_at_commit(void)
{
	set_callbacks();
	ensure_wanted = true;
}
