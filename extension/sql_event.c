/* SPDX-License-Identifier: MIT */
/*
 * extension/sql_event.c - SQL functions over events: emit, replay, explain, test_filter.
 *
 * An event that is emitted is one that needs no signature, because the caller is known: it is held against
 * the automations, kept, and starts its runs in the caller's transaction.  If that rolls back, nothing was;
 * the worker is woken at commit.
 *
 * Who may: an event belongs to its source.  Whoever may change the webhook of a source may speak in its name,
 * and whoever may see it may see its events.  A name that no webhook has is free for everyone to speak under,
 * since only automations that ask for it hear it.  The built-in sources speak for others and are for
 * automation_admin.  Events that started runs one may see can be seen, too; the view automation.events says
 * that once, and it is asked here.
 */
#include "door.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "automation/service_events.h"

PG_FUNCTION_INFO_V1(automation_emit);
PG_FUNCTION_INFO_V1(automation_replay);
PG_FUNCTION_INFO_V1(automation_explain);
PG_FUNCTION_INFO_V1(automation_test_filter);

/* ---- who may what -------------------------------------------------------------------------------- */

/* Whose events are those of a source? */
typedef enum source_kind
{
	SOURCE_BUILTIN,
	SOURCE_WEBHOOK, /* its owner's */
	SOURCE_FREE
} source_kind;

static source_kind
look_up_source(aut__door *door, const char *source, char **out_owner)
{
	aut_webhook_list list = {0};
	source_kind kind = SOURCE_FREE;
	aut_status status;

	*out_owner = NULL;
	if (aut_event_is_builtin(source))
		return SOURCE_BUILTIN;
	aut__door_enter(door);
	status =
		aut_store_webhook_by_source(door->call.db, &door->who.org_id, source, &list, &door->err);
	if (status == AUT_OK)
	{
		kind = SOURCE_WEBHOOK;
		if (list.items[0].owner != NULL)
		{
			*out_owner = aut_strdup(list.items[0].owner);
			if (*out_owner == NULL)
				status = aut_fail(&door->err, AUT_ENOMEM, "no memory for a webhook");
		}
	}
	aut_webhook_list_done(&list);
	aut_free(door->data);
	door->data = *out_owner; /* freed with the door */
	aut__door_leave(door, status == AUT_ENOTFOUND ? AUT_OK : status);
	return kind;
}

/* Told in the same words whether or not there is such a source. */
static void
refuse_source(const char *source, const char *what)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		 errmsg("you may not %s events of source \"%.200s\"", what, source),
		 errhint(
			 "Those of a webhook are its owner's, those of built-in sources automation_admin's.")));
}

static void
check_may_speak(aut__door *door, const char *source)
{
	char *owner;
	source_kind kind = look_up_source(door, source, &owner);
	bool may =
		kind == SOURCE_FREE ||
		aut__role_may(door->user, kind == SOURCE_WEBHOOK ? owner : AUT__ADMIN_ROLE, AUT__CHANGE);

	if (!may)
		refuse_source(source, "make");
	door->who.manage = true;
}

/* source NULL: events of all. */
static void
check_may_look(aut__door *door, const char *source)
{
	char *owner = NULL;
	source_kind kind = source != NULL ? look_up_source(door, source, &owner) : SOURCE_BUILTIN;

	if (aut__role_may(door->user, kind == SOURCE_WEBHOOK ? owner : AUT__ADMIN_ROLE, AUT__LOOK))
		return;
	if (source == NULL)
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("events of all sources are shown to automation_admin and automation_reader"),
			 errhint("Name a source of yours: source => '...'")));
	refuse_source(source, "look at");
}

/* The source of an event the caller may see; raises when there is none. */
static char *
source_of_event(const aut_uuid *id)
{
	static const char query[] =
		"SELECT e.source FROM automation.events e WHERE e.id OPERATOR(pg_catalog.=) $1";
	Oid types[1] = {UUIDOID};
	Datum values[1] = {aut__uuid_datum(id)};
	MemoryContext context = CurrentMemoryContext;
	char *source = NULL;

	SPI_connect();
	if (SPI_execute_with_args(query, 1, types, values, NULL, false, 1) == SPI_OK_SELECT &&
		SPI_processed == 1)
		source = MemoryContextStrdup(context,
									 SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	SPI_finish();
	if (source == NULL)
		ereport(ERROR, (errcode(ERRCODE_NO_DATA), errmsg("there is no such event")));
	return source;
}

/* ---- answers -------------------------------------------------------------------------------------- */

static Datum
uuid_member(const json_t *object, const char *key, bool *null)
{
	const char *text = aut_json_string(object, key);
	aut_uuid id;

	*null = text == NULL || !aut_uuid_parse(text, strlen(text), &id);
	return *null ? (Datum) 0 : aut__uuid_datum(&id);
}

/* (id, matched, runs) of what the service answered. */
static Datum
answer_row(FunctionCallInfo fcinfo, const aut__door *door)
{
	const json_t *runs = json_object_get(door->out, "runs_created");
	size_t count = json_array_size(runs);
	Datum *ids = palloc(sizeof(Datum) * (count + 1));
	Datum values[3];
	bool nulls[3] = {false, false, false};
	TupleDesc desc;
	size_t index;
	json_t *run;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "automation: a function of events is declared wrongly");
	json_array_foreach(runs, index, run)
	{
		const char *text = json_string_value(run);
		aut_uuid id;

		if (text == NULL || !aut_uuid_parse(text, strlen(text), &id))
			elog(ERROR, "automation: a service answered with a run that has no id");
		ids[index] = aut__uuid_datum(&id);
	}
	values[0] = uuid_member(door->out, "event_id", &nulls[0]);
	values[1] = Int32GetDatum((int32) json_integer_value(json_object_get(door->out, "matched")));
	values[2] =
		PointerGetDatum(construct_array(ids, (int) count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}

/* ---- emit, replay --------------------------------------------------------------------------------- */

/* emit(source, payload jsonb, key, dedupe, OUT id, OUT matched, OUT runs) */
Datum
automation_emit(PG_FUNCTION_ARGS)
{
	aut__door *door = aut__door_open();
	aut_emission emission;
	Jsonb *payload;
	Datum row;

	if (!aut__arg_given(fcinfo, 0) || !aut__arg_given(fcinfo, 1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("an event needs a source and a payload")));
	payload = PG_GETARG_JSONB_P(1);
	memset(&emission, 0, sizeof(emission));
	emission.source = aut__arg_text(fcinfo, 0);
	emission.payload = JsonbToCString(NULL, &payload->root, (int) VARSIZE(payload));
	emission.key = aut__arg_text(fcinfo, 2);
	emission.dedupe_key = aut__arg_text(fcinfo, 3);
	check_may_speak(door, emission.source);
	aut__door_enter(door);
	aut__door_leave(door,
					aut_service_event_emit(&door->call, NULL, &emission, &door->out, &door->err));
	row = answer_row(fcinfo, door);
	aut__door_close(door);
	PG_RETURN_DATUM(row);
}

/* replay(event, OUT id, OUT matched, OUT runs) */
Datum
automation_replay(PG_FUNCTION_ARGS)
{
	aut__door *door = aut__door_open();
	aut_uuid id;
	Datum row;

	aut__arg_uuid(fcinfo, 0, &id);
	check_may_speak(door, source_of_event(&id));
	aut__door_enter(door);
	aut__door_leave(door, aut_service_event_replay(&door->call, NULL, &id, &door->out, &door->err));
	row = answer_row(fcinfo, door);
	aut__door_close(door);
	PG_RETURN_DATUM(row);
}

/* ---- looks ---------------------------------------------------------------------------------------- */

/* May the caller see the automation an item of a list is about?  A deleted one is nobody's. */
static bool
item_is_seen(aut__door *door, const json_t *item)
{
	const char *text = aut_json_string(item, "automation_id");
	aut_automation_list found = {0};
	char *owner = NULL;
	bool seen = false;
	aut_status status;
	aut_uuid id;

	if (text == NULL || !aut_uuid_parse(text, strlen(text), &id))
		return false;
	aut__door_enter(door);
	status = aut_store_automation_get(door->call.db, &door->who.org_id, &id, &found, &door->err);
	aut_automation_list_done(&door->automations);
	door->automations = found; /* freed with the door */
	aut__door_leave(door, status == AUT_ENOTFOUND ? AUT_OK : status);
	if (status == AUT_OK)
	{
		owner = found.items[0].owner != NULL ? pstrdup(found.items[0].owner) : NULL;
		seen = aut__role_may(door->user, owner, AUT__LOOK);
	}
	return seen;
}

/* Leave of a list what is about automations the caller may see. */
static void
keep_seen(aut__door *door, const char *key)
{
	json_t *list = json_object_get(door->out, key);

	for (size_t i = json_array_size(list); i > 0; i--)
	{
		if (!item_is_seen(door, json_array_get(list, i - 1)))
			(void) json_array_remove(list, i - 1);
	}
}

/* explain(event): all that is known about it, as GET /v1/events/{id} answers, as json since jsonb cannot
 * hold every text and number that may come */
Datum
automation_explain(PG_FUNCTION_ARGS)
{
	aut__door *door = aut__door_open();
	bool all = aut__role_may(door->user, AUT__ADMIN_ROLE, AUT__LOOK);
	aut_uuid id;
	text *result;

	aut__arg_uuid(fcinfo, 0, &id);
	(void) source_of_event(&id);
	aut__door_enter(door);
	aut__door_leave(door, aut_service_event_get(&door->call, &id, &door->out, &door->err));
	if (!all)
	{
		keep_seen(door, "verdicts");
		keep_seen(door, "runs");
		/* how many others were asked is not told, either */
		(void) json_object_del(door->out, "verdict_counts");
		(void) json_object_del(door->out, "considered");
		(void) json_object_del(door->out, "matched");
	}
	aut_free(door->data);
	door->data = aut_json_text(door->out, NULL);
	if (door->data == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("no memory for an event")));
	result = cstring_to_text(door->data);
	aut__door_close(door);
	PG_RETURN_TEXT_P(result);
}

/* A member from a text argument. */
static bool
set_text(json_t *body, const char *key, const char *value)
{
	return value == NULL || aut_json_set(body, key, json_string(value));
}

/* test_filter(filter, source, on_keys, last): SETOF (id, source, key, received_at, passes, why) */
Datum
automation_test_filter(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	aut__door *door = aut__door_open();
	char *source = aut__arg_text(fcinfo, 1);
	size_t index;
	json_t *event;
	bool ok;

	check_may_look(door, source);
	door->body = json_object();
	ok = door->body != NULL && set_text(door->body, "filter", aut__arg_text(fcinfo, 0)) &&
		 set_text(door->body, "source", source);
	if (aut__arg_given(fcinfo, 2))
		ok = ok && aut_json_set(door->body, "on", aut__texts_json(PG_GETARG_ARRAYTYPE_P(2)));
	if (aut__arg_given(fcinfo, 3))
		ok = ok && aut_json_set(door->body, "limit", json_integer(PG_GETARG_INT32(3)));
	if (!ok)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("no memory for a filter")));
	aut__door_enter(door);
	aut__door_leave(door,
					aut_service_event_test_filter(&door->call, door->body, &door->out, &door->err));
	InitMaterializedSRF(fcinfo, 0);
	json_array_foreach(json_object_get(door->out, "events"), index, event)
	{
		const char *const texts[] = {aut_json_string(event, "source"),
									 aut_json_string(event, "event_key"),
									 aut_json_string(event, "why")};
		const char *received = aut_json_string(event, "received_at");
		Datum values[6] = {0};
		bool nulls[6] = {false};
		int64_t at = 0;

		values[0] = uuid_member(event, "id", &nulls[0]);
		nulls[1] = texts[0] == NULL;
		values[1] = nulls[1] ? (Datum) 0 : CStringGetTextDatum(texts[0]);
		nulls[2] = texts[1] == NULL;
		values[2] = nulls[2] ? (Datum) 0 : CStringGetTextDatum(texts[1]);
		nulls[3] = received == NULL || aut_time_parse(received, &at, NULL) != AUT_OK;
		values[3] = nulls[3] ? (Datum) 0 : aut__time_datum(at);
		values[4] = BoolGetDatum(json_is_true(json_object_get(event, "matched")));
		nulls[5] = texts[2] == NULL;
		values[5] = nulls[5] ? (Datum) 0 : CStringGetTextDatum(texts[2]);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	aut__door_close(door);
	PG_RETURN_NULL();
}
