/* SPDX-License-Identifier: MIT */
/*
 * extension/worker.c - the worker of one database: its life, its waiting, and when it leaves.
 *
 * One process per database does everything the daemon does: it schedules, dispatches, watches, and
 * serves HTTP where automation.listen is set (host.c wires that).  Where automation.workers or
 * automation.http_workers want more, it starts others beside itself (beside.c): dispatchers, which only
 * execute runs, and HTTP workers, which only serve.  They live by the same rules.  Each waits on one WaitEventSet for
 * three things: its latch (a commit with something to do, a signal), the loop's descriptor (sockets),
 * the death of the postmaster.  Between events it holds no transaction, no snapshot and no lock but
 * its guard, and runs no query.
 *
 * Once a second, without a query, it
 *   - tries the lock that CREATE DATABASE … TEMPLATE, DROP, RENAME and SET TABLESPACE take on the
 *     database before they wait for its sessions to leave: if it is taken, the worker leaves (exit
 *     code 1) and is started again a second later, where its connection waits for the command to end;
 *   - reads invalidation messages: one about our marker table makes it look its extension up again.
 *
 * How it ends, and what the postmaster does then:
 *   exit 1  stepped aside, the extension was updated, an error, pg_terminate_backend: started again
 *   exit 0  no extension, stopped, the end of a tick(), disabled, another worker holds the guard, database gone: forgotten
 *
 * The role is the bootstrap superuser, so nothing a user wrote is evaluated here: search_path is
 * pinned, our tables carry no user triggers, and values are parameters.
 */
#include "internal.h"

#include "access/xact.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_database.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/sinval.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#define TICK_MS            1000  /* lock, invalidations, statistics */
#define SAFETY_LOOK_MS     60000 /* look at everything, whoever forgot to wake us */
#define GUARD_PATIENCE_MS  1500  /* the last holder may still be leaving */
#define GUARD_STEP_MS      50
#define COMPANY_LOOK_MS    10000 /* is somebody missing beside us? */
#define EXIT_FOR_GOOD      0
#define EXIT_AND_COME_BACK 1

static volatile bool extension_may_have_changed;
static int64_t bound_us; /* of a tick(): how long it works; 0: until it is told to leave */
static aut__role my_role;
static int my_number;
static Oid marker_relation = InvalidOid;

/* ---- leaving for good when the database is gone ---------------------------------------------- */

static emit_log_hook_type earlier_log_hook;
static bool connecting;
static bool hooked;
static int fatal_sqlstate;

static void
remember_fatal(ErrorData *edata)
{
	if (connecting && edata->elevel == FATAL)
		fatal_sqlstate = edata->sqlerrcode;
	if (earlier_log_hook != NULL)
		earlier_log_hook(edata);
}

/*
 * A FATAL while connecting ends with exit code 1, and the postmaster would start this worker again for
 * ever.  Where the reason will not go away by itself - the database does not exist any more, or does
 * not allow connections - leave with 0.  (proc_exit may be entered again from a callback.)
 */
static void
leave_for_good(int code, Datum arg)
{
	(void) arg;
	if (code != EXIT_FOR_GOOD && connecting &&
		(fatal_sqlstate == ERRCODE_UNDEFINED_DATABASE ||
		 fatal_sqlstate == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE))
	{
		connecting = false;
		proc_exit(EXIT_FOR_GOOD);
	}
}

void
aut__watch_connecting(void)
{
	if (!hooked) /* a hook that were installed twice would call itself */
	{
		earlier_log_hook = emit_log_hook;
		emit_log_hook = remember_fatal;
		on_proc_exit(leave_for_good, (Datum) 0);
		hooked = true;
	}
	connecting = true;
}

void
aut__watch_connected(void)
{
	connecting = false;
}

/* ---- the extension --------------------------------------------------------------------------- */

void
aut__extension_look(aut__extension *out)
{
	static const char query[] =
		"SELECT e.extversion, m.stopped, 'automation.marker'::pg_catalog.regclass::pg_catalog.oid"
		" FROM pg_catalog.pg_extension e, automation.marker m"
		" WHERE e.oid OPERATOR(pg_catalog.=) $1";
	Oid types[1] = {OIDOID};
	Datum values[1];
	bool null;

	memset(out, 0, sizeof(*out));
	out->oid = get_extension_oid(AUT__EXTENSION, true);
	if (!OidIsValid(out->oid))
		return;
	values[0] = ObjectIdGetDatum(out->oid);
	SPI_connect();
	if (SPI_execute_with_args(query, 1, types, values, NULL, true, 1) == SPI_OK_SELECT &&
		SPI_processed == 1)
	{
		HeapTuple row = SPI_tuptable->vals[0];
		TupleDesc desc = SPI_tuptable->tupdesc;
		char *version = SPI_getvalue(row, desc, 1);

		strlcpy(out->version, version == NULL ? "" : version, sizeof(out->version));
		out->stopped = DatumGetBool(SPI_getbinval(row, desc, 2, &null)) && !null;
		out->marker = DatumGetObjectId(SPI_getbinval(row, desc, 3, &null));
	}
	SPI_finish();
}

static void
look_at_extension(aut__extension *out)
{
	extension_may_have_changed = false;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, "automation: look at the extension");
	aut__extension_look(out);
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_activity(STATE_IDLE, NULL);
}

static void
marker_changed(Datum arg, Oid relation)
{
	(void) arg;
	/* before the first look any relation may be the marker */
	if (marker_relation == InvalidOid || relation == marker_relation || relation == InvalidOid)
		extension_may_have_changed = true;
}

/* The extension is not what it was at our start: what now? */
static void
judge_extension(const aut__extension *mine)
{
	aut__extension now;

	look_at_extension(&now);
	if (now.oid != mine->oid || now.marker != mine->marker)
	{
		ereport(LOG, (errmsg("automation worker leaves: the extension was dropped")));
		proc_exit(EXIT_FOR_GOOD);
	}
	if (now.stopped && bound_us == 0)
	{
		ereport(LOG, (errmsg("automation worker leaves: stopped by automation.stop()")));
		proc_exit(EXIT_FOR_GOOD);
	}
	if (strcmp(now.version, mine->version) != 0)
	{
		/* Only a new process loads the new library. */
		ereport(LOG, (errmsg("automation worker restarts: the extension was updated to %s",
							 now.version)));
		proc_exit(EXIT_AND_COME_BACK);
	}
}

/* ---- start ----------------------------------------------------------------------------------- */

static void
connect_to(Oid database)
{
	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, StatementCancelHandler);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	aut__watch_connecting();
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	aut__watch_connected();
	aut__pin_session();
}

/* Be the only one of this role and number of this extension in this database, or leave.  The lock is in the user lock
 * method, so that no aborted transaction of ours releases it. */
static void
take_guard(Oid database, Oid extension)
{
	LOCKTAG tag;
	int waited = 0;

	aut__guard_tag_of(&tag, database, extension, my_role, my_number);
	/* Commits may take us for the worker meanwhile: what they tell is passed on. */
	while (LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
	{
		aut__wake_other_worker();
		if (waited >= GUARD_PATIENCE_MS)
			proc_exit(EXIT_FOR_GOOD);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, GUARD_STEP_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		waited += GUARD_STEP_MS;
	}
}

static void
start(Oid database, aut__extension *extension)
{
	connect_to(database);
	if (!aut__enabled)
	{
		ereport(LOG, (errmsg("automation worker leaves: automation.enabled is off")));
		proc_exit(EXIT_FOR_GOOD);
	}
	if (!aut__is_wanted(my_role, my_number))
		proc_exit(EXIT_FOR_GOOD);
	/* first, so that no change between the look and the loop is missed */
	CacheRegisterRelcacheCallback(marker_changed, (Datum) 0);
	look_at_extension(extension);
	if (!OidIsValid(extension->oid) || (extension->stopped && bound_us == 0))
		proc_exit(EXIT_FOR_GOOD);
	take_guard(database, extension->oid);
	marker_relation = extension->marker;
	if (strcmp(extension->version, AUT_VERSION) != 0)
		ereport(LOG, (errmsg("automation: library %s serves extension version %s", AUT_VERSION,
							 extension->version),
					  errhint("Run ALTER EXTENSION automation UPDATE.")));
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* Somebody wants the database for himself: leave, to come back when he is done. */
static void
step_aside_if_wanted(void)
{
	LOCKTAG tag;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
	if (LockAcquire(&tag, RowExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		proc_exit(EXIT_AND_COME_BACK);
	LockRelease(&tag, RowExclusiveLock, true);
}

static void
tick(void)
{
	step_aside_if_wanted();
	AcceptInvalidationMessages();
	pgstat_report_stat(true); /* nothing when nothing was counted */
}

static void
reload(aut__host *host)
{
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	if (!aut__enabled)
	{
		ereport(LOG, (errmsg("automation worker leaves: automation.enabled is off")));
		proc_exit(EXIT_FOR_GOOD);
	}
	if (!aut__is_wanted(my_role, my_number))
	{
		ereport(LOG, (errmsg("automation worker leaves: settings ask for fewer of its kind")));
		aut__host_leave(host);
		proc_exit(EXIT_FOR_GOOD);
	}
	aut__host_reload(host);
}

static long
wait_ms(aut__host *host, int64_t now_us, int64_t next_tick_us)
{
	int64_t until_tick = (next_tick_us - now_us) / AUT_US_PER_MS + 1;
	int of_loop =
		aut__host_timeout_ms(host); /* fresh before each wait: 0 while watchers register */

	if (until_tick < 0)
		until_tick = 0;
	return (long) (of_loop >= 0 && of_loop < until_tick ? of_loop : until_tick);
}

static WaitEventSet *
make_wait_set(aut__host *host)
{
#if PG_VERSION_NUM >= 170000
	WaitEventSet *set = CreateWaitEventSet(NULL, 3);
#else
	WaitEventSet *set = CreateWaitEventSet(TopMemoryContext, 3);
#endif

	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(set, WL_SOCKET_READABLE, (pgsocket) aut__host_fd(host), NULL, NULL);
	return set;
}

/* What every turn must serve before core may run. */
static void
serve_the_server(aut__host *host)
{
	CHECK_FOR_INTERRUPTS();
	/* An idle worker that does not do this slows the invalidation queue of everybody. */
	if (catchupInterruptPending)
		ProcessCatchupInterrupt();
	if (ConfigReloadPending)
		reload(host);
}

static void
run(aut__host *host, const aut__extension *extension)
{
	WaitEventSet *set = make_wait_set(host);
	MemoryContext turn =
		AllocSetContextCreate(TopMemoryContext, "automation turn", ALLOCSET_DEFAULT_SIZES);
	const aut_clock *clock = aut_clock_system();
	int64_t next_tick = aut_mono_us(clock);
	int64_t next_safety_look = next_tick + SAFETY_LOOK_MS * AUT_US_PER_MS;
	int64_t next_company_look = next_tick;
	int64_t leave_at = bound_us > 0 ? next_tick + bound_us : AUT_TIME_MAX;

	aut__host_wake(host);
	for (;;)
	{
		int64_t now = aut_mono_us(clock);
		WaitEvent events[3];
		int count = WaitEventSetWait(set, wait_ms(host, now, next_tick), events, lengthof(events),
									 PG_WAIT_EXTENSION);
		bool woken = false;

		MemoryContextSwitchTo(turn);
		MemoryContextReset(turn);
		for (int i = 0; i < count; i++)
			if (events[i].events & WL_LATCH_SET)
				woken = true;
		if (woken)
			ResetLatch(MyLatch);
		serve_the_server(host);
		now = aut_mono_us(clock);
		if (now >= leave_at)
			proc_exit(EXIT_FOR_GOOD); /* what is under way is found again by the next tick */
		if (now >= next_tick || woken)
		{
			/* also when woken: whoever stopped or dropped the extension woke us to see it */
			tick();
			next_tick = now + TICK_MS * AUT_US_PER_MS;
		}
		if (extension_may_have_changed)
			judge_extension(extension);
		if (my_role == AUT__ROLE_MAIN && bound_us == 0 && now >= next_company_look)
		{
			if (!aut__keep_company(MyDatabaseId, extension->oid))
				aut__host_adopt(host);
			next_company_look = now + COMPANY_LOOK_MS * AUT_US_PER_MS;
		}
		if (woken || now >= next_safety_look)
		{
			aut__host_wake(host);
			if (now >= next_safety_look)
				aut__host_adopt(host);
			next_safety_look = now + SAFETY_LOOK_MS * AUT_US_PER_MS;
		}
		aut__host_poll(host);
	}
}

void
automation_worker_main(Datum arg)
{
	aut__extension extension;
	aut__host *host;
	aut_error err = AUT_ERROR_INIT;

	aut__worker_order order;

	memcpy(&order, MyBgworkerEntry->bgw_extra, sizeof(order));
	bound_us = (int64_t) order.bound_s * AUT_US_PER_S;
	my_role = (aut__role) order.role;
	my_number = order.number;
	start(DatumGetObjectId(arg), &extension);
	aut__log_to_server();
	if (aut__host_open(my_role, my_number, &host, &err) != AUT_OK)
	{
		ereport(LOG, (errmsg("automation worker cannot start: %s", err.message)));
		proc_exit(EXIT_AND_COME_BACK);
	}
	ereport(LOG, (errmsg("%s started for database %u", MyBgworkerEntry->bgw_type, MyDatabaseId)));
	pgstat_report_activity(STATE_IDLE, NULL);
	run(host, &extension);
}
