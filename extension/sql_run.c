/* SPDX-License-Identifier: MIT */
/*
 * extension/sql_run.c - SQL functions over runs: trigger, retry, cancel, logs, wait.
 *
 * trigger() inserts the run in the caller's transaction: it exists exactly if that transaction commits,
 * and only then is the worker woken.
 *
 * wait() is a procedure because a function lives inside one statement's snapshot: waiting there would
 * hold back VACUUM in the whole database.  It commits, waits without a transaction's snapshot, looks
 * again; the worker sets its latch when a run ends.
 */
#include "door.h"

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "spi_db.h"

PG_FUNCTION_INFO_V1(automation_trigger);
PG_FUNCTION_INFO_V1(automation_cancel);
PG_FUNCTION_INFO_V1(automation_retry);
PG_FUNCTION_INFO_V1(automation_logs);
PG_FUNCTION_INFO_V1(automation_wait);

#define LOGS_PIECE (1024 * 1024)
#define LOGS_MAX (256 * 1024 * 1024) /* of one answer; ask again with `after` for more */
#define LOOK_AGAIN_MS 1000           /* should the worker's signal be lost */

/* trigger(name, input jsonb, dedupe_key, delay interval) */
Datum
automation_trigger(PG_FUNCTION_ARGS)
{
	aut__door *door = aut__door_open();
	char *name = aut__arg_text(fcinfo, 0);
	aut_trigger_options options;
	aut_uuid automation;
	Datum id;

	memset(&options, 0, sizeof(options));
	if (aut__arg_given(fcinfo, 1))
	{
		Jsonb *input = PG_GETARG_JSONB_P(1);

		options.input = JsonbToCString(NULL, &input->root, VARSIZE(input));
	}
	options.dedupe_key = aut__arg_text(fcinfo, 2);
	if (aut__arg_given(fcinfo, 3))
		options.delay_s = aut__arg_seconds(fcinfo, 3, "delay");
	if (name == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("which automation?")));
	automation = aut__door_find(door, name, AUT__CHANGE)->id;
	aut__door_enter(door);
	aut__door_leave(door, aut_service_trigger(&door->call, &automation, &options, &door->out,
											  &door->err));
	id = aut__out_id(door);
	aut__door_close(door);
	PG_RETURN_DATUM(id);
}

/* cancel(run): the status the run has now */
Datum
automation_cancel(PG_FUNCTION_ARGS)
{
	aut__door *door = aut__door_open();
	const char *run_status;
	aut_uuid run;
	text *result;

	aut__arg_uuid(fcinfo, 0, &run);
	(void) aut__door_find_run(door, &run, AUT__CHANGE);
	aut__door_enter(door);
	aut__door_leave(door, aut_service_run_cancel(&door->call, &run, &door->out, &door->err));
	run_status = aut_json_string(door->out, "status");
	result = cstring_to_text(run_status != NULL ? run_status : "CANCELLED");
	aut__door_close(door);
	PG_RETURN_TEXT_P(result);
}

/* retry(run): a new run of the same automation with the same input */
Datum
automation_retry(PG_FUNCTION_ARGS)
{
	aut__door *door = aut__door_open();
	aut_uuid run;
	Datum id;

	aut__arg_uuid(fcinfo, 0, &run);
	(void) aut__door_find_run(door, &run, AUT__CHANGE);
	aut__door_enter(door);
	aut__door_leave(door, aut_service_run_retry(&door->call, &run, &door->out, &door->err));
	id = aut__out_id(door);
	aut__door_close(door);
	PG_RETURN_DATUM(id);
}

/* logs(run, after): what the run printed from byte `after` on, as far as it was kept */
Datum
automation_logs(PG_FUNCTION_ARGS)
{
	aut__door *door = aut__door_open();
	int64_t after = aut__arg_given(fcinfo, 1) ? PG_GETARG_INT64(1) : 0;
	StringInfoData out;
	aut_uuid run;

	if (after < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("after must not be negative")));
	aut__arg_uuid(fcinfo, 0, &run);
	(void) aut__door_find_run(door, &run, AUT__LOOK);
	initStringInfo(&out);
	for (;;)
	{
		const json_t *data;
		int64_t next;

		CHECK_FOR_INTERRUPTS();
		aut__door_enter(door);
		aut__door_leave(door, aut_service_run_logs(&door->call, &run, after, LOGS_PIECE, &door->out,
												   &door->err));
		data = json_object_get(door->out, "data");
		if (json_is_string(data))
			appendBinaryStringInfo(&out, json_string_value(data), (int) json_string_length(data));
		next = json_integer_value(json_object_get(door->out, "next"));
		json_decref(door->out);
		door->out = NULL;
		if (next <= after || out.len > LOGS_MAX)
			break;
		after = next;
	}
	aut__door_close(door);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}

/* ---- wait ------------------------------------------------------------------------------------- */

/* Status of a run the caller may look at, in the context of the procedure; raises when there is none. */
static char *
look_at_run(const pg_uuid_t *run, MemoryContext context)
{
	static const char query[] =
		"SELECT r.status, a.owner FROM automation.run r JOIN automation.automation a"
		" ON a.id OPERATOR(pg_catalog.=) r.automation_id WHERE r.id OPERATOR(pg_catalog.=) $1";
	Oid types[1] = {UUIDOID};
	Datum values[1] = {UUIDPGetDatum(run)};
	char *status = NULL, *owner = NULL;
	bool found;
	Oid user;
	int security;

	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, security | SECURITY_LOCAL_USERID_CHANGE);
	found = SPI_execute_with_args(query, 1, types, values, NULL, true, 1) == SPI_OK_SELECT &&
			SPI_processed == 1;
	if (found)
	{
		status = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
		owner = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
	}
	SetUserIdAndSecContext(user, security);
	if (!found || !aut__role_may(user, owner, AUT__LOOK))
		ereport(ERROR, (errcode(ERRCODE_NO_DATA), errmsg("there is no such run")));
	status = MemoryContextStrdup(context, status);
	SPI_freetuptable(SPI_tuptable);
	return status;
}

static bool
has_ended(const char *name)
{
	aut_run_status status;

	return aut_run_status_parse(name, &status) && aut_run_status_terminal(status);
}

/* Until the latch is set, or at most so long; no snapshot and no lock is held here. */
static void
sleep_without_snapshot(int64_t ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 (long) (ms < LOOK_AGAIN_MS ? ms : LOOK_AGAIN_MS), aut__wait_event());
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* CALL wait(run, timeout, INOUT status) */
Datum
automation_wait(PG_FUNCTION_ARGS)
{
	const CallContext *how = (const CallContext *) fcinfo->context;
	MemoryContext context = CurrentMemoryContext;
	const aut_clock *clock = aut_clock_system();
	int64_t until = AUT_TIME_MAX;
	pg_uuid_t run;
	char *status;
	TupleDesc desc;
	Datum value;
	bool null = false;

	if (how == NULL || !IsA(how, CallContext) || how->atomic)
		ereport(ERROR, (errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
						errmsg("automation.wait() cannot run inside a transaction block"),
						errdetail("It ends its transaction so that waiting holds no snapshot.")));
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("which run?")));
	run = *PG_GETARG_UUID_P(0);
	if (aut__arg_given(fcinfo, 1))
		until = aut_mono_us(clock) + aut__arg_seconds(fcinfo, 1, "timeout") * AUT_US_PER_S;
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "automation.wait() must return a row");
	desc = BlessTupleDesc(desc);

	SPI_connect_ext(SPI_OPT_NONATOMIC);
	for (;;)
	{
		int64_t left;

		status = look_at_run(&run, context);
		left = (until - aut_mono_us(clock)) / AUT_US_PER_MS;
		if (has_ended(status) || left <= 0)
			break;
		SPI_commit();
		sleep_without_snapshot(left);
	}
	SPI_finish();
	MemoryContextSwitchTo(context);
	value = CStringGetTextDatum(status);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, &value, &null)));
}
