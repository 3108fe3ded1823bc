/* SPDX-License-Identifier: MIT */
/*
 * extension/action_runner.c - SQL actions as the worker sees them: starting their processes, looking
 * after them, ending them.  What such a process does is in sql_action.c.
 *
 * Each action is a background worker of its own, connected as the automation's owner, at most
 * automation.sql_workers at once in a database, however many dispatchers it has: a dispatcher takes a
 * place, which is a user lock with a number, before it registers a process, and gives it back when that
 * has ended.  The postmaster tells the dispatcher (by its latch) when one ends.
 *
 * Nothing is executed twice: the process first notes its start in the run's row, under the condition
 * that none is noted yet.  A worker that comes after a dead one finds an action that goes on by the user
 * lock it holds for its life; one that noted its start and holds no lock any more has ended, and if it
 * wrote no end nobody can know how: the run fails as such and is never silently repeated.
 *
 * Everything here is called from core, so every call into the server that may raise is boxed.
 */
#include "internal.h"

#include <signal.h>

#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/lock.h"
#include "utils/memutils.h"

#include "automation/engine.h"

typedef struct action
{
	bool used;
	aut_uuid run;
	BackgroundWorkerHandle *handle;
} action; /* its number is that of its place */

static struct runner
{
	aut_local_runner base;
	aut_db *db;
	action actions[AUT__SQL_WORKERS_MAX];
} runner;

static const aut_stmt action_owner = {
	.name = "action_owner",
	.params = "u",
	.columns = "lb",
	.postgres = "SELECT CAST(g.oid AS bigint), g.rolcanlogin FROM automation.automation a"
				" JOIN pg_catalog.pg_roles g ON g.rolname = a.owner WHERE a.id = $1",
	.sqlite = "",
};

static bool
takes(aut_local_runner *self, const aut_run_task *task)
{
	(void) self;
	return task->tarball_path != NULL && strcmp(task->tarball_path, AUT_TARBALL_INLINE) == 0;
}

/* ---- is it going on --------------------------------------------------------------------------- */

/* Try a user lock, for the session.  False also when that cannot be found out (no memory for locks). */
static bool
lock_try(const LOCKTAG *tag)
{
	MemoryContext outer = CurrentMemoryContext;
	volatile bool taken = false;

	PG_TRY();
	{
		taken = LockAcquire(tag, ExclusiveLock, true, true) == LOCKACQUIRE_OK;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(outer);
		FlushErrorState();
	}
	PG_END_TRY();
	return taken;
}

/* Does a process hold the action's lock?  When that cannot be found out: yes, and ask again. */
static bool
lock_is_held(const aut_uuid *run)
{
	LOCKTAG tag;

	aut__action_tag(&tag, MyDatabaseId, run);
	if (!lock_try(&tag))
		return true;
	LockRelease(&tag, ExclusiveLock, true);
	return false;
}

static bool
place_take(int number)
{
	LOCKTAG tag;

	aut__place_tag(&tag, MyDatabaseId, number);
	return lock_try(&tag);
}

static void
place_leave(int number)
{
	LOCKTAG tag;

	aut__place_tag(&tag, MyDatabaseId, number);
	LockRelease(&tag, ExclusiveLock, true);
}

static action *
find(const aut_uuid *run)
{
	for (int i = 0; i < AUT__SQL_WORKERS_MAX; i++)
		if (runner.actions[i].used && aut_uuid_equal(&runner.actions[i].run, run))
			return &runner.actions[i];
	return NULL;
}

static bool
goes_on(const action *at)
{
	pid_t pid;

	return GetBackgroundWorkerPid(at->handle, &pid) != BGWH_STOPPED;
}

static void
forget(action *at)
{
	if (at->handle != NULL)
		pfree(at->handle);
	memset(at, 0, sizeof(*at));
	place_leave((int) (at - runner.actions));
	if (aut__workers > 1)
		aut__wake_other_worker(); /* somebody may wait for the place */
}

static bool
alive(aut_local_runner *self, const aut_run_task *task)
{
	action *at = find(&task->run.id);

	(void) self;
	if (at == NULL)
		return lock_is_held(&task->run.id);
	if (goes_on(at))
		return true;
	forget(at);
	return false;
}

void
aut__action_tidy(void)
{
	for (int i = 0; i < AUT__SQL_WORKERS_MAX; i++)
		if (runner.actions[i].used && !goes_on(&runner.actions[i]))
			forget(&runner.actions[i]);
}

/* A free place, taken, or NULL when as many go on as may.  Those that an earlier worker began hold no
 * place any more, but are seen. */
static action *
take_place(void)
{
	if (aut__count_processes(MyDatabaseId, AUT__ACTION_TYPE) >= aut__sql_workers)
		return NULL;
	for (int i = 0; i < aut__sql_workers && i < AUT__SQL_WORKERS_MAX; i++)
		if (!runner.actions[i].used && place_take(i))
			return &runner.actions[i];
	return NULL;
}

/* ---- start and stop --------------------------------------------------------------------------- */

static aut_status
find_owner(const aut_run_task *task, Oid *out, aut_error *err)
{
	aut_value params[] = {aut_v_uuid(&task->run.automation_id)};
	aut_rows rows = {0};
	aut_status status = aut_db_run(runner.db, &action_owner, params, &rows, NULL, err);

	if (status == AUT_OK && rows.count == 0)
		status = aut_fail(err, AUT_EDENIED,
						  "a SQL action needs an owner, and its role does not exist (any more)");
	else if (status == AUT_OK && !aut_rows_bool(&rows, 0, 1) && AUT_PG_BYPASS_LOGIN_CHECK == 0)
		status =
			aut_fail(err, AUT_EDENIED,
					 "the owner of the automation may not log in, which this version of PostgreSQL "
					 "wants of roles that execute SQL actions");
	else if (status == AUT_OK)
		*out = (Oid) aut_rows_int(&rows, 0, 0);
	aut_rows_done(&rows);
	return status;
}

static bool
register_process(const aut__action_order *order, BackgroundWorkerHandle **out)
{
	MemoryContext outer = MemoryContextSwitchTo(TopMemoryContext);
	volatile bool registered = false;
	char text[AUT_UUID_TEXT_MAX];
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	snprintf(worker.bgw_name, BGW_MAXLEN, "automation sql action of run %s",
			 aut_uuid_format(&order->run, text));
	strlcpy(worker.bgw_type, AUT__ACTION_TYPE, BGW_MAXLEN);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, aut__preloaded ? AUT__LIBRARY : AUT__ACTION_LIBRARY,
			sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "automation_action_main", sizeof(worker.bgw_function_name));
	worker.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId);
	worker.bgw_notify_pid = MyProcPid;
	StaticAssertStmt(sizeof(*order) <= BGW_EXTRALEN, "an order must fit into bgw_extra");
	memcpy(worker.bgw_extra, order, sizeof(*order));
	PG_TRY();
	{
		registered = RegisterDynamicBackgroundWorker(&worker, out);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(outer);
		FlushErrorState();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(outer);
	return registered;
}

static aut_status
start(aut_local_runner *self, const aut_run_task *task, int64_t time_limit_s, aut_error *err)
{
	aut__action_order order;
	action *place;
	aut_status status;

	(void) self;
	if (find(&task->run.id) != NULL)
		return AUT_OK;
	/* Begun by an earlier worker: it goes on, or it has ended, which alive() will tell. */
	if (task->run.bash_command_id != NULL || lock_is_held(&task->run.id))
		return AUT_OK;
	place = take_place();
	if (place == NULL)
		return aut_fail(err, AUT_EBUSY, "%d SQL actions are executing (automation.sql_workers)",
						aut__sql_workers);
	memset(&order, 0, sizeof(order));
	order.run = task->run.id;
	order.attempt = task->run.attempt;
	order.limit_s = time_limit_s;
	status = find_owner(task, &order.owner, err);
	if (status != AUT_OK && aut_status_may_retry(status))
		status = aut_fail(err, AUT_EBUSY, "the owner cannot be looked up now");
	if (status == AUT_OK && !register_process(&order, &place->handle))
		status = aut_fail(err, AUT_EBUSY,
						  "no slot is free for a background worker (max_worker_processes)");
	if (status != AUT_OK)
	{
		place_leave((int) (place - runner.actions));
		return status;
	}
	place->used = true;
	place->run = task->run.id;
	return AUT_OK;
}

/* The process an earlier worker began: its pid stands in the run's row as "sql:<pid>". */
static pid_t
pid_of(const aut_run_task *task)
{
	const char *noted = task->run.bash_command_id;
	const char *type;
	int64_t pid;

	if (noted == NULL || strncmp(noted, "sql:", 4) != 0 ||
		!aut_int_parse(noted + 4, 1, INT_MAX, &pid))
		return 0;
	type = GetBackgroundWorkerTypeByPid((pid_t) pid);
	return type != NULL && strcmp(type, AUT__ACTION_TYPE) == 0 ? (pid_t) pid : 0;
}

static void
stop(aut_local_runner *self, const aut_run_task *task, bool hard)
{
	action *at = find(&task->run.id);
	pid_t pid = 0;

	(void) self;
	if (at != NULL && at->handle != NULL)
	{
		if (hard)
			TerminateBackgroundWorker(at->handle);
		else if (GetBackgroundWorkerPid(at->handle, &pid) == BGWH_STARTED)
			(void) kill(pid, SIGINT);
		return;
	}
	pid = pid_of(task);
	if (pid != 0)
		(void) kill(pid, hard ? SIGTERM : SIGINT);
}

aut_local_runner *
aut__action_runner(aut_db *db)
{
	runner.base = (aut_local_runner){.takes = takes, .start = start, .alive = alive, .stop = stop};
	runner.db = db;
	return &runner.base;
}
