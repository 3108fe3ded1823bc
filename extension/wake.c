/* SPDX-License-Identifier: MIT */
/*
 * extension/wake.c - finding our processes among the server's, and setting their latches.
 *
 * There is no shared memory of ours: the array of processes that every backend can read is enough.  A
 * scan costs about 0.2 us.  It takes no lock, so what it finds may be stale: then a latch is set for nothing, which every user of a latch must bear, or a wake-up is
 * lost, which the worker's slow safety look makes good.
 *
 * Sessions in automation.wait() are known by the wait event they show.  Nothing here raises an error.
 */
#include "internal.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

/* Before 17 all extensions share one event, shown as "Extension"; its low bits are free. */
#define WAIT_EVENT_BITS 0x4155U

/* Is this process one of ours, of that type? */
static bool
is_of_type(const PGPROC *proc, Oid database, const char *type)
{
	int pid = proc->pid;
	const char *its;

	if (pid == 0 || proc->databaseId != database || !AUT_PG_PROC_IS_WORKER(proc))
		return false;
	its = GetBackgroundWorkerTypeByPid(pid);
	return its != NULL && strcmp(its, type) == 0;
}

static PGPROC *
find(Oid database, const char *type)
{
	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
		if (is_of_type(&ProcGlobal->allProcs[i], database, type))
			return &ProcGlobal->allProcs[i];
	return NULL;
}

int
aut__worker_pid(Oid database)
{
	PGPROC *proc = find(database, AUT__WORKER_TYPE);

	return proc == NULL ? 0 : proc->pid;
}

/* The worker and the dispatchers beside it: any of them may execute a run. */
static int
wake(bool me)
{
	int woken = 0;

	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
	{
		PGPROC *proc = &ProcGlobal->allProcs[i];

		if ((me || proc != MyProc) && (is_of_type(proc, MyDatabaseId, AUT__WORKER_TYPE) ||
									   is_of_type(proc, MyDatabaseId, AUT__DISPATCHER_TYPE)))
		{
			SetLatch(&proc->procLatch);
			woken++;
		}
	}
	return woken;
}

bool
aut__wake_worker(void)
{
	return wake(true) > 0;
}

void
aut__wake_other_worker(void)
{
	(void) wake(false);
}

int
aut__count_processes(Oid database, const char *type)
{
	int count = 0;

	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
		if (is_of_type(&ProcGlobal->allProcs[i], database, type))
			count++;
	return count;
}

uint32
aut__wait_event(void)
{
	static uint32 event;

	if (event == 0)
		event = AUT_PG_WAIT_EVENT("AutomationWait");
	return event == PG_WAIT_EXTENSION ? (event | WAIT_EVENT_BITS) : event;
}

void
aut__wake_waiters(void)
{
	uint32 event = aut__wait_event();

	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
	{
		PGPROC *proc = &ProcGlobal->allProcs[i];

		if (proc->pid != 0 && proc->databaseId == MyDatabaseId && proc->wait_event_info == event)
			SetLatch(&proc->procLatch);
	}
}

void
aut__each_process(Oid database, aut__process_cb cb, void *payload)
{
	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
	{
		PGPROC *proc = &ProcGlobal->allProcs[i];
		int pid = proc->pid;
		const char *type;

		if (pid == 0 || proc->databaseId != database || !AUT_PG_PROC_IS_WORKER(proc))
			continue;
		type = GetBackgroundWorkerTypeByPid(pid);
		if (type != NULL && strncmp(type, "automation ", strlen("automation ")) == 0)
			cb(payload, pid, type);
	}
}
