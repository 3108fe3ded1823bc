/* SPDX-License-Identifier: MIT */
/*
 * extension/sql_webhook.c - SQL functions over custom webhooks: create, alter, rotate, drop.
 *
 * As in sql_automation.c arguments become the body that the HTTP routes take.  A webhook is found by its
 * source, which is unique, or by its id; the rules of ownership are those of automations (door.h).
 */
#include "door.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(automation_create_webhook);
PG_FUNCTION_INFO_V1(automation_alter_webhook);
PG_FUNCTION_INFO_V1(automation_rotate_webhook_secret);
PG_FUNCTION_INFO_V1(automation_drop_webhook);

/* A member of the body from a text argument; an empty text is null where that means something. */
static void
put(json_t *body, const char *key, const char *value, bool empty_is_null, bool *ok)
{
	if (value == NULL)
		return;
	*ok = *ok && aut_json_set(body, key,
							  value[0] == '\0' && empty_is_null ? json_null() : json_string(value));
}

static void
no_memory(bool ok)
{
	if (!ok)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("no memory for a webhook")));
}

/* Who may call these functions may have webhooks; whose they are is judged here, not by core. */
static aut__door *
open_door(void)
{
	aut__door *door = aut__door_open();

	door->who.manage = true;
	return door;
}

/* The id of the webhook with this source or id, among those the caller may change. */
static aut_uuid
find(aut__door *door, const char *source_or_id)
{
	aut_webhook_list list = {0};
	aut_uuid id = AUT_UUID_NIL;
	char *owner = NULL;
	aut_status status;

	aut__door_enter(door);
	if (aut_uuid_parse(source_or_id, strlen(source_or_id), &id))
		status = aut_store_webhook_get(door->call.db, &door->who.org_id, &id, &list, &door->err);
	else
		status = aut_store_webhook_by_source(door->call.db, &door->who.org_id, source_or_id, &list,
											 &door->err);
	if (status == AUT_OK)
	{
		id = list.items[0].id;
		owner = aut_strdup(list.items[0].owner);
		if (owner == NULL && list.items[0].owner != NULL)
			status = aut_fail(&door->err, AUT_ENOMEM, "no memory for a webhook");
	}
	aut_webhook_list_done(&list);
	door->data = owner; /* freed with the door */
	aut__door_leave(door, status == AUT_ENOTFOUND ? AUT_OK : status);
	if (status != AUT_OK || !aut__role_may(door->user, owner, AUT__CHANGE))
	{
		(void) aut_fail(&door->err, AUT_ENOTFOUND, "there is no webhook \"%.200s\"", source_or_id);
		aut__door_raise(door, AUT_ENOTFOUND);
	}
	return id;
}

/* create_webhook(name, source, event_key_expr, signature_header, signature_scheme, event_id_header, secret,
 * OUT id, OUT secret) */
Datum
automation_create_webhook(PG_FUNCTION_ARGS)
{
	static const char *const members[] = {"name",
										  "source",
										  "event_key_expr",
										  "signature_header",
										  "signature_scheme",
										  "event_id_header",
										  "webhook_secret"};
	aut__door *door = open_door();
	const char *secret;
	Datum values[2];
	bool nulls[2] = {false, false};
	TupleDesc desc;
	bool ok;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "automation: create_webhook() is declared wrongly");
	door->body = json_object();
	ok = door->body != NULL;
	for (int i = 0; i < (int) lengthof(members); i++)
		put(door->body, members[i], aut__arg_text(fcinfo, i), false, &ok);
	no_memory(ok);
	aut__door_enter(door);
	aut__door_leave(door,
					aut_service_webhook_create(&door->call, door->body, &door->out, &door->err));
	values[0] = aut__out_id(door);
	secret = aut_json_string(door->out, "webhook_secret");
	nulls[1] = secret == NULL;
	values[1] = secret != NULL ? CStringGetTextDatum(secret) : (Datum) 0;
	aut__door_close(door);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/* alter_webhook(source, new_name, event_key_expr, signature_header, signature_scheme, event_id_header,
 * enabled) */
Datum
automation_alter_webhook(PG_FUNCTION_ARGS)
{
	static const char *const members[] = {
		NULL, "name", "event_key_expr", "signature_header", "signature_scheme", "event_id_header"};
	aut__door *door = open_door();
	aut_uuid id;
	bool ok;

	if (!aut__arg_given(fcinfo, 0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("which webhook?")));
	door->body = json_object();
	ok = door->body != NULL;
	for (int i = 1; i < (int) lengthof(members); i++)
		put(door->body, members[i], aut__arg_text(fcinfo, i), i >= 4, &ok);
	if (aut__arg_given(fcinfo, 6))
		ok = ok && aut_json_set(door->body, "enabled", json_boolean(PG_GETARG_BOOL(6)));
	no_memory(ok);
	id = find(door, aut__arg_text(fcinfo, 0));
	aut__door_enter(door);
	aut__door_leave(
		door, aut_service_webhook_update(&door->call, &id, door->body, &door->out, &door->err));
	aut__door_close(door);
	PG_RETURN_VOID();
}

Datum
automation_rotate_webhook_secret(PG_FUNCTION_ARGS)
{
	aut__door *door = open_door();
	aut_uuid id = find(door, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	const char *secret;
	Datum result;

	aut__door_enter(door);
	aut__door_leave(door, aut_service_webhook_rotate(&door->call, &id, &door->out, &door->err));
	secret = aut_json_string(door->out, "webhook_secret");
	result = CStringGetTextDatum(secret != NULL ? secret : "");
	aut__door_close(door);
	PG_RETURN_DATUM(result);
}

Datum
automation_drop_webhook(PG_FUNCTION_ARGS)
{
	aut__door *door = open_door();
	aut_uuid id = find(door, text_to_cstring(PG_GETARG_TEXT_PP(0)));

	aut__door_enter(door);
	aut__door_leave(door, aut_service_webhook_delete(&door->call, &id, &door->err));
	aut__door_close(door);
	PG_RETURN_VOID();
}
