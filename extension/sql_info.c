/* SPDX-License-Identifier: MIT */
/*
 * extension/sql_info.c - SQL functions that tell or operate: next_fires, processes, doctor, start, stop,
 * and the predicate of the views and policies.
 */
#include "door.h"

#include <unistd.h>

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"
#include "utils/wait_event.h"

#include "automation/schedule.h"

PG_FUNCTION_INFO_V1(automation_may_see);
PG_FUNCTION_INFO_V1(automation_waits_for_backend);
PG_FUNCTION_INFO_V1(automation_next_fires);
PG_FUNCTION_INFO_V1(automation_processes);
PG_FUNCTION_INFO_V1(automation_doctor);
PG_FUNCTION_INFO_V1(automation_installed);
PG_FUNCTION_INFO_V1(automation_start);
PG_FUNCTION_INFO_V1(automation_ensure);
PG_FUNCTION_INFO_V1(automation_tick);
PG_FUNCTION_INFO_V1(automation_stop);

#define FIRES_MAX 1000

/* _may_see(owner): may the current user look at what this role owns? */
Datum
automation_may_see(PG_FUNCTION_ARGS)
{
	char *owner = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));

	PG_RETURN_BOOL(aut__role_may(GetUserId(), owner, AUT__LOOK));
}

/* _waits_for_backend(): runs stay PENDING because nothing says where they could execute */
Datum
automation_waits_for_backend(PG_FUNCTION_ARGS)
{
	aut_settings settings;
	aut_error err = AUT_ERROR_INIT;
	aut_backend_choice backend = AUT_BACKEND_NONE;

	(void) fcinfo;
	if (aut__settings_load(&settings, false, &err) == AUT_OK)
	{
		backend = aut__backend_choice(&settings);
		aut_settings_done(&settings);
	}
	PG_RETURN_BOOL(backend == AUT_BACKEND_NONE || backend == AUT_BACKEND_EMBEDDED);
}

/* ---- next fires ------------------------------------------------------------------------------- */

/* Make expression and zone of what may be the name of an automation. */
static void
schedule_of(aut__door *door, const char *name, char **out_expression, char **out_zone)
{
	const aut_automation *automation = aut__door_find(door, name, AUT__LOOK);
	json_t *trigger = NULL;

	if (strcmp(automation->trigger_type, "cron") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("automation \"%s\" has no schedule", automation->name)));
	if (aut_json_parse(automation->trigger, strlen(automation->trigger), &trigger, &door->err) !=
		AUT_OK)
		aut__door_raise(door, door->err.code);
	door->body = trigger; /* freed with the door */
	*out_expression = pstrdup(aut_json_string(trigger, "schedule"));
	*out_zone = pstrdup(aut_json_string(trigger, "timezone"));
}

/* Does this text that is no valid expression look as if it were meant to be one?  Then the parser's
 * error tells more than "no such automation". */
static bool
looks_like_cron(const char *text)
{
	int words = 0;
	bool starred = false, only_cron = true;

	for (const char *at = text; *at != '\0'; at++)
	{
		if (*at != ' ' && (at == text || at[-1] == ' '))
			words++;
		starred = starred || *at == '*' || *at == '?' || (*at >= '0' && *at <= '9');
		only_cron = only_cron && ((*at & 0x80) == 0) && strchr("'\"_.:;!@$%&=+", *at) == NULL;
	}
	return words >= 5 && words <= 7 && starred && only_cron;
}

/* next_fires(schedule, timezone, n, after): schedule is an expression or the name of an automation */
Datum
automation_next_fires(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	aut__door *door = aut__door_open();
	char *expression = aut__arg_text(fcinfo, 0);
	char *zone = aut__arg_text(fcinfo, 1);
	int count = aut__arg_given(fcinfo, 2) ? PG_GETARG_INT32(2) : 5;
	int64_t at = aut__time_of(aut__arg_given(fcinfo, 3) ? PG_GETARG_TIMESTAMPTZ(3)
														: GetCurrentTransactionStartTimestamp());
	aut_error no_cron = AUT_ERROR_INIT;
	const aut_tz *tz;
	aut_cron cron;

	if (expression == NULL || count < 0 || count > FIRES_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("next_fires() needs a schedule and a number from 0 to %d", FIRES_MAX)));
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (aut_cron_parse(expression, strlen(expression), &cron, &no_cron) != AUT_OK)
	{
		if (looks_like_cron(expression))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s", no_cron.message)));
		schedule_of(door, expression, &expression, &zone);
		if (aut_cron_parse(expression, strlen(expression), &cron, &door->err) != AUT_OK)
			aut__door_raise(door, door->err.code);
	}
	if (aut_tz_get(zone != NULL ? zone : "UTC", &tz, &door->err) != AUT_OK)
		aut__door_raise(door, door->err.code);
	for (int i = 0; i < count; i++)
	{
		Datum value;
		bool null = false;

		CHECK_FOR_INTERRUPTS();
		if (aut_cron_next(&cron, tz, at, &at, &door->err) != AUT_OK)
			aut__door_raise(door, door->err.code);
		if (at == AUT_TIME_NONE)
			break;
		value = aut__time_datum(at);
		tuplestore_putvalues(result->setResult, result->setDesc, &value, &null);
	}
	aut__door_close(door);
	return (Datum) 0;
}

/* ---- processes -------------------------------------------------------------------------------- */

static void
put_process(void *payload, int pid, const char *type)
{
	ReturnSetInfo *result = payload;
	Datum values[2] = {Int32GetDatum(pid), CStringGetTextDatum(type)};
	bool nulls[2] = {false, false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* _processes(): ours of this database, and the launcher; for everybody, unlike pg_stat_activity */
Datum
automation_processes(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	aut__each_process(MyDatabaseId, put_process, fcinfo->resultinfo);
	aut__each_process(InvalidOid, put_process, fcinfo->resultinfo);
	return (Datum) 0;
}

/* ---- doctor ----------------------------------------------------------------------------------- */

static void
report(ReturnSetInfo *result, const char *item, bool ok, const char *detail)
{
	Datum values[3] = {CStringGetTextDatum(item), BoolGetDatum(ok), CStringGetTextDatum(detail)};
	bool nulls[3] = {false, false, false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
note_type(void *payload, int pid, const char *type)
{
	bool *launcher = payload;

	(void) pid;
	if (strcmp(type, AUT__LAUNCHER_TYPE) == 0)
		*launcher = true;
}

/* Those beside the worker, and whether there is room for all. */
static void
report_company(ReturnSetInfo *result, bool worker)
{
	int dispatchers = (worker ? 1 : 0) + aut__count_processes(MyDatabaseId, AUT__DISPATCHER_TYPE);
	int servers = aut__count_processes(MyDatabaseId, AUT__HTTP_TYPE);
	bool complete =
		!worker || (dispatchers >= aut__workers &&
					servers >= (aut__is_wanted(AUT__ROLE_HTTP, 0) ? aut__http_workers : 0));

	report(result, "processes", complete,
		   psprintf("%d of %d dispatchers, %d of %d HTTP workers; with %d SQL actions at once this "
					"database takes up to %d of max_worker_processes (%d)%s",
					dispatchers, aut__workers, servers, aut__http_workers, aut__sql_workers,
					1 + aut__company_wanted(), max_worker_processes,
					complete ? "" : ": raise it, or wait some seconds"));
}

static void
report_processes(ReturnSetInfo *result)
{
	int pid = aut__worker_pid(MyDatabaseId);
	bool launcher = false;

	aut__each_process(InvalidOid, note_type, &launcher);
	report(result, "worker", pid != 0,
		   pid != 0               ? psprintf("running as process %d", pid)
		   : RecoveryInProgress() ? "none: this is a standby; it starts on promotion"
		   : !aut__enabled        ? "none: automation.enabled is off"
						   : psprintf("none: SELECT automation.start(); if that fails, raise "
									  "max_worker_processes (now %d)",
									  max_worker_processes));
	report_company(result, pid != 0);
	report(result, "launcher", true,
		   launcher ? "running: workers start with the server"
					: "none: after a restart of the server the first call starts the worker; "
					  "shared_preload_libraries = 'automation' starts it at once");
}

static void
report_settings(ReturnSetInfo *result)
{
	aut_settings settings;
	aut_error err = AUT_ERROR_INIT;
	aut_backend_choice backend;
	const char *by_value = NULL;
	char *url, *cloud;

	if (aut__settings_load(&settings, false, &err) != AUT_OK)
	{
		report(result, "settings", false, err.message);
		return;
	}
	if (aut__settings_check(&settings, &err) != AUT_OK)
		report(result, "settings", false, err.message);
	backend = aut__backend_choice(&settings);
	url = pstrdup(settings.agent_server_url);
	cloud = aut_settings_cloud_url(&settings, "");
	aut_settings_done(&settings);
	if (backend == AUT_BACKEND_CLOUD)
		report(result, "agent server", cloud != NULL,
			   psprintf("a sandbox for each run, from %s", cloud != NULL ? cloud : "?"));
	else
		report(result, "agent server", backend == AUT_BACKEND_AGENT_SERVER && url[0] != '\0',
			   backend == AUT_BACKEND_AGENT_SERVER && url[0] != '\0'
				   ? url
				   : "none: runs wait PENDING; set automation.agent_server_url");
	aut_free(cloud);
	report(result, "listener", true,
		   aut__listen != NULL && aut__listen[0] != '\0' ? aut__listen
														 : "none: automation.listen is not set");
	/* Others than superusers need not know how. */
	if (superuser())
		by_value = aut__secret_by_value();
	report(result, "secrets", by_value == NULL,
		   by_value != NULL ? psprintf("a key is set by value; use automation.%s_file", by_value)
							: "no key is set by value");
}

/* Cloud sandboxes: none whose answer was lost, none that cannot be deleted.  Numbers, whoever asks. */
static void
report_sandboxes(ReturnSetInfo *result)
{
	static const char QUERY[] =
		"SELECT count(*) FILTER (WHERE state <> 'LOST'), count(*) FILTER (WHERE state = 'LOST'),"
		" count(*) FILTER (WHERE tries >= 5) FROM automation.sandbox";
	int64 counts[3] = {0, 0, 0};
	aut__disguise disguise;

	SPI_connect();
	aut__disguise_as_us(&disguise);
	if (SPI_execute(QUERY, true, 1) == SPI_OK_SELECT && SPI_processed == 1)
		for (int i = 0; i < 3; i++)
		{
			bool null;

			counts[i] = DatumGetInt64(
				SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &null));
		}
	aut__disguise_end(&disguise);
	SPI_finish();
	if (counts[0] + counts[1] > 0)
		report(
			result, "sandboxes", counts[1] == 0 && counts[2] == 0,
			psprintf("%lld are ours in the cloud; %lld may exist that cannot be named: the answer "
					 "to their creation was lost; %lld cannot be deleted and are tried again",
					 (long long) counts[0], (long long) counts[1], (long long) counts[2]));
}

static void
report_marker_role(ReturnSetInfo *result)
{
	Oid role = get_role_oid(AUT__MARKER_ROLE, true);

	report(result, "marker role", OidIsValid(role),
		   OidIsValid(role) ? "present: the launcher finds this database by it"
							: "role " AUT__MARKER_ROLE
							  " is missing: the launcher cannot find this database");
}

/* doctor(): is everything there, and what to do if not */
Datum
automation_doctor(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	report(result, "library", true, "version " AUT_VERSION);
	report_processes(result);
	report_settings(result);
	report_sandboxes(result);
	report_marker_role(result);
	PG_RETURN_VOID();
}

/* ---- start and stop --------------------------------------------------------------------------- */

/* _installed(): the last line of the install and update scripts */
Datum
automation_installed(PG_FUNCTION_ARGS)
{
	Oid marker = get_relname_relid(AUT__MARKER_TABLE, get_namespace_oid(AUT__EXTENSION, false));

	(void) fcinfo;
	/* Core speaks UTF-8, and so does the wire. */
	if (GetDatabaseEncoding() != PG_UTF8)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("automation needs a database with encoding UTF8, this one has %s",
							   GetDatabaseEncodingName())));
	/* After an update workers of the old library look, and leave for new ones. */
	if (OidIsValid(marker))
		CacheInvalidateRelcacheByRelid(marker);
	aut__start_at_commit();
	PG_RETURN_VOID();
}

/* Note in the marker whether the worker shall stay away, and let a running one see it. */
static void
set_stopped(bool stopped)
{
	static const char *const updates[] = {
		"UPDATE automation.marker SET stopped = false WHERE stopped",
		"UPDATE automation.marker SET stopped = true WHERE NOT stopped"};
	Oid schema = get_namespace_oid(AUT__EXTENSION, false);
	Oid marker = get_relname_relid(AUT__MARKER_TABLE, schema);
	Oid user;
	int security;

	if (!OidIsValid(marker))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE), errmsg("table automation.marker is missing")));
	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, security | SECURITY_LOCAL_USERID_CHANGE);
	SPI_connect();
	if (SPI_execute(updates[stopped], false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "automation: the marker cannot be written");
	SPI_finish();
	SetUserIdAndSecContext(user, security);
	CacheInvalidateRelcacheByRelid(marker);
	if (aut__worker_pid(MyDatabaseId) != 0) /* stop() must not start one */
		aut__wake_at_commit();
}

/* start(): let the worker run, from the commit on */
Datum
automation_start(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	set_stopped(false);
	aut__start_at_commit();
	PG_RETURN_VOID();
}

/* stop(): let the worker leave, from the commit on, until start() */
Datum
automation_stop(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	set_stopped(true);
	PG_RETURN_VOID();
}

/* ensure(): start the worker at commit if none runs and none was told to stay away; any call does */
Datum
automation_ensure(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	aut__door_close(aut__door_open());
	PG_RETURN_VOID();
}

/* ---- tick ------------------------------------------------------------------------------------- */

#define TICK_LOOK_MS 1000

/*
 * CALL tick(bound): let a worker work for so long and wait for its end, without a snapshot.  For places
 * where none may stay: something else is the clock and calls this again and again.
 */
Datum
automation_tick(PG_FUNCTION_ARGS)
{
	const CallContext *how = (const CallContext *) fcinfo->context;
	MemoryContext context = CurrentMemoryContext;
	BackgroundWorkerHandle *handle;
	int64_t seconds;
	pid_t pid;

	if (how == NULL || !IsA(how, CallContext) || how->atomic)
		ereport(ERROR, (errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
						errmsg("automation.tick() cannot run inside a transaction block"),
						errdetail("It ends its transaction so that working holds no snapshot.")));
	seconds = aut__arg_given(fcinfo, 0) ? aut__arg_seconds(fcinfo, 0, "bound") : 50;
	if (seconds < 1 || seconds > 3600)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("bound must be 1 second to 1 hour")));
	if (!aut__may_start() || !aut__enabled)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("no worker may run here: this is a standby, or automation.enabled is off")));
	if (aut__worker_pid(MyDatabaseId) != 0)
	{
		ereport(NOTICE, (errmsg("a worker is running already")));
		PG_RETURN_VOID();
	}
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	SPI_commit();
	MemoryContextSwitchTo(context);
	if (!aut__register_tick(MyDatabaseId, (int) seconds, &handle))
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						errmsg("no slot is free for a background worker"),
						errhint("Raise max_worker_processes.")));
	while (GetBackgroundWorkerPid(handle, &pid) != BGWH_STOPPED)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, TICK_LOOK_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS(); /* who is interrupted here leaves a worker that ends by itself */
	}
	SPI_finish();
	PG_RETURN_VOID();
}
