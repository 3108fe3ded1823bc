/* SPDX-License-Identifier: MIT */
/*
 * extension/beside.c - which processes there should be beside the worker of a database, and starting
 * those that are missing.
 *
 * The worker looks every few seconds, without a query: each process holds a guard lock of its role and
 * number for its life, so a lock that can be had shows that nobody is there.  One that is about to be
 * restarted looks missing, too; then one of the two finds the guard taken and leaves.  Nobody is told
 * to leave: whoever finds that the settings do not want it any more goes by itself.
 */
#include "internal.h"

#include "miscadmin.h"
#include "storage/lmgr.h"

static bool complained;
static int dispatchers_seen;

bool
aut__is_wanted(aut__role role, int number)
{
	switch (role)
	{
		case AUT__ROLE_MAIN:
			return true;
		case AUT__ROLE_DISPATCHER:
			return number < aut__workers;
		case AUT__ROLE_HTTP:
			return number < aut__http_workers && aut__listen != NULL && aut__listen[0] != '\0';
	}
	return false;
}

int
aut__company_wanted(void)
{
	return aut__workers - 1 + aut__http_workers + aut__sql_workers;
}

static bool
is_missing(Oid database, Oid extension, aut__role role, int number)
{
	LOCKTAG tag;

	aut__guard_tag_of(&tag, database, extension, role, number);
	if (LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	LockRelease(&tag, ExclusiveLock, true);
	return true;
}

/* Start number first and those that follow, as far as they are wanted; false: no slot is free. */
static bool
start_missing(Oid database, Oid extension, aut__role role, int first)
{
	for (int number = first; aut__is_wanted(role, number); number++)
		if (is_missing(database, extension, role, number) &&
			!aut__register_beside(database, role, number))
			return false;
	return true;
}

bool
aut__keep_company(Oid database, Oid extension)
{
	int dispatchers = aut__count_processes(database, AUT__DISPATCHER_TYPE);
	bool fewer = dispatchers < dispatchers_seen;
	bool complete = start_missing(database, extension, AUT__ROLE_DISPATCHER, 1) &&
					start_missing(database, extension, AUT__ROLE_HTTP, 0);

	if (!complete && !complained)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("automation: no slot is free for all processes of automation.workers and "
						"automation.http_workers, trying again"),
				 errhint("Raise max_worker_processes (now %d).", max_worker_processes)));
	complained = !complete;
	dispatchers_seen = dispatchers;
	return !fewer;
}
