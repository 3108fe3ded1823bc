/* SPDX-License-Identifier: MIT */
/*
 * extension/sql_automation.c - SQL functions over automations: create, alter, pause, resume, drop, upload.
 *
 * Arguments become the body that the HTTP routes take, and core's service judges it: no rule about a
 * field stands here.  Everything happens in the caller's transaction.
 */
#include "door.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "spi_db.h"

PG_FUNCTION_INFO_V1(automation_create);
PG_FUNCTION_INFO_V1(automation_alter);
PG_FUNCTION_INFO_V1(automation_pause);
PG_FUNCTION_INFO_V1(automation_resume);
PG_FUNCTION_INFO_V1(automation_drop);
PG_FUNCTION_INFO_V1(automation_upload);

#define SCRIPT_NAME "script" /* of the one file in a script's tarball */
#define SQL_ENTRYPOINT "sql"
#define UPLOAD_NAME "code"   /* of uploads made here; a bad name of the automation is told as such */

/* What an automation is made of, from the arguments of create and alter; null members are not given. */
typedef struct definition
{
	char *name, *script, *entrypoint, *schedule, *timezone, *tarball_url, *description, *model,
		*setup_script, *sql, *event, *filter;
	ArrayType *on_keys;
	bytea *tarball;
	char *environment; /* JSON text */
	bool has_timeout, has_enabled, enabled, has_wait_at_limit, wait_at_limit;
	int64_t timeout_s;
} definition;

/* ---- bodies ----------------------------------------------------------------------------------- */

/* All members through one function, so that a series needs one check at its end. */
static void
put_text(json_t *object, const char *key, const char *value, bool *ok)
{
	if (value != NULL)
		*ok = *ok && aut_json_set(object, key, json_string(value));
}

static json_t *
cron_trigger(const char *schedule, const char *zone)
{
	json_t *trigger = json_object();
	bool ok = trigger != NULL && aut_json_set(trigger, "type", json_string("cron"));

	put_text(trigger, "schedule", schedule, &ok);
	put_text(trigger, "timezone", zone, &ok);
	if (!ok)
	{
		json_decref(trigger);
		return NULL;
	}
	return trigger;
}

/* ["a", "b"] of a text array; NULL: no memory. */
json_t *
aut__texts_json(ArrayType *array)
{
	json_t *list = json_array();
	Datum *items;
	bool *nulls;
	int count;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &items, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		json_t *item = nulls[i] ? json_null() : json_string(TextDatumGetCString(items[i]));

		if (json_array_append_new(list, item) != 0)
		{
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

/* What is given, over what there is.  An empty filter is none. */
static bool
put_event(json_t *trigger, const definition *given)
{
	bool ok = true;

	put_text(trigger, "source", given->event, &ok);
	if (given->on_keys != NULL)
		ok = ok && aut_json_set(trigger, "on", aut__texts_json(given->on_keys));
	if (given->filter != NULL)
		ok = ok && aut_json_set(trigger, "filter",
								given->filter[0] != '\0' ? json_string(given->filter) : json_null());
	return ok;
}

/* Unless on_keys says otherwise: whatever comes from that source. */
static json_t *
event_trigger(const definition *given)
{
	json_t *trigger = json_pack("{s:s, s:[s]}", "type", "event", "on", "*");

	if (!put_event(trigger, given))
	{
		json_decref(trigger);
		return NULL;
	}
	return trigger;
}

/* Run by hand (or by trigger()) only. */
static json_t *
manual_trigger(void)
{
	return json_pack("{s:s, s:s, s:[]}", "type", "event", "source", "manual", "on");
}

static json_t *
definition_body(const definition *given)
{
	json_t *body = json_object();
	bool ok = body != NULL;

	put_text(body, "name", given->name, &ok);
	put_text(body, "description", given->description, &ok);
	put_text(body, "model", given->model, &ok);
	put_text(body, "entrypoint", given->entrypoint, &ok);
	put_text(body, "setup_script_path", given->setup_script, &ok);
	put_text(body, "tarball_path", given->tarball_url, &ok);
	if (given->has_timeout)
		ok = ok && aut_json_set(body, "timeout", json_integer(given->timeout_s));
	if (given->has_enabled)
		ok = ok && aut_json_set(body, "enabled", json_boolean(given->enabled));
	if (given->has_wait_at_limit)
		ok = ok && aut_json_set(body, "wait_at_limit", json_boolean(given->wait_at_limit));
	if (given->environment != NULL)
	{
		json_t *variables = NULL;

		ok = ok && aut_json_parse(given->environment, strlen(given->environment), &variables,
								  NULL) == AUT_OK;
		ok = ok && aut_json_set(body, "environment", variables);
	}
	if (!ok)
	{
		json_decref(body);
		return NULL;
	}
	return body;
}

static void
refuse(const char *message)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s", message)));
}

static int
count_code(const definition *given)
{
	/* the address of a SQL action is ours */
	return (given->script != NULL) + (given->tarball != NULL) +
		   (given->tarball_url != NULL && given->sql == NULL) + (given->sql != NULL);
}

/* A script without an interpreter line is one for sh. */
static void
default_entrypoint(definition *given)
{
	if (given->script != NULL && given->entrypoint == NULL)
		given->entrypoint = pstrdup(strncmp(given->script, "#!", 2) == 0 ? "./" SCRIPT_NAME
																		 : "sh ./" SCRIPT_NAME);
}

/* ---- code ------------------------------------------------------------------------------------- */

/* Inside the door: keep a script or a tarball as an upload of the caller's and name it in the body. */
static aut_status
keep_code(aut__door *door, const definition *given)
{
	const void *data = NULL;
	size_t len = 0;
	json_t *upload = NULL;
	const char *path;
	aut_status status = AUT_OK;

	if (given->script != NULL)
	{
		status = aut_tarball_from_script(SCRIPT_NAME, given->script, strlen(given->script), &door->data,
										 &len, &door->err);
		data = door->data;
	}
	else if (given->tarball != NULL)
	{
		data = VARDATA_ANY(given->tarball);
		len = VARSIZE_ANY_EXHDR(given->tarball);
	}
	else
		return AUT_OK;
	if (status == AUT_OK && len > AUT_UPLOAD_MAX)
		status = aut_fail(&door->err, AUT_ELIMIT, "the tarball has %zu bytes, at most %d are kept here",
						  len, AUT_UPLOAD_MAX);
	if (status == AUT_OK)
		status = aut_service_upload_create(&door->call, UPLOAD_NAME, NULL, data, len, false, &upload,
										   &door->err);
	if (status == AUT_OK)
	{
		path = aut_json_string(upload, "tarball_path");
		if (path == NULL)
			status = aut_fail(&door->err, AUT_EINVAL, "the tarball was refused: %s",
							  aut_json_string(upload, "error_message"));
		else if (!aut_json_set(door->body, "tarball_path", json_string(path)))
			status = aut_fail(&door->err, AUT_ENOMEM, "no memory for the automation's definition");
	}
	json_decref(upload);
	return status;
}

/* ---- create ----------------------------------------------------------------------------------- */

static void
read_definition(FunctionCallInfo fcinfo, int first, definition *out)
{
	memset(out, 0, sizeof(*out));
	out->script = aut__arg_text(fcinfo, first);
	out->entrypoint = aut__arg_text(fcinfo, first + 1);
	out->schedule = aut__arg_text(fcinfo, first + 2);
	out->timezone = aut__arg_text(fcinfo, first + 3);
	if (aut__arg_given(fcinfo, first + 4))
		out->tarball = PG_GETARG_BYTEA_PP(first + 4);
	out->tarball_url = aut__arg_text(fcinfo, first + 5);
	out->description = aut__arg_text(fcinfo, first + 6);
	if (aut__arg_given(fcinfo, first + 7))
	{
		out->has_timeout = true;
		out->timeout_s = aut__arg_seconds(fcinfo, first + 7, "timeout");
	}
	if (aut__arg_given(fcinfo, first + 8))
	{
		out->has_enabled = true;
		out->enabled = PG_GETARG_BOOL(first + 8);
	}
	out->model = aut__arg_text(fcinfo, first + 9);
	out->setup_script = aut__arg_text(fcinfo, first + 10);
	out->sql = aut__arg_text(fcinfo, first + 11);
	if (aut__arg_given(fcinfo, first + 12))
	{
		Jsonb *environment = PG_GETARG_JSONB_P(first + 12);

		out->environment =
			JsonbToCString(NULL, &environment->root, (int) VARSIZE_ANY_EXHDR(environment));
	}
	out->event = aut__arg_text(fcinfo, first + 13);
	if (aut__arg_given(fcinfo, first + 14))
		out->on_keys = PG_GETARG_ARRAYTYPE_P(first + 14);
	out->filter = aut__arg_text(fcinfo, first + 15);
	if (aut__arg_given(fcinfo, first + 16))
	{
		out->has_wait_at_limit = true;
		out->wait_at_limit = PG_GETARG_BOOL(first + 16);
	}
	if (out->event != NULL && (out->schedule != NULL || out->timezone != NULL))
		refuse("give either a schedule or an event");
	if (out->event != NULL && (strcmp(out->event, "sql") == 0 || strcmp(out->event, "manual") == 0))
		refuse("sources \"sql\" and \"manual\" are reserved: see on_change() and trigger()");
	default_entrypoint(out);
	if (out->tarball_url != NULL && strcmp(out->tarball_url, AUT_TARBALL_INLINE) == 0)
		refuse("give the SQL itself in place of an internal address");
	if (out->sql != NULL)
	{
		if (out->entrypoint != NULL)
			refuse("a SQL action has no entrypoint");
		aut__action_check(out->sql);
		out->tarball_url = pstrdup(AUT_TARBALL_INLINE);
		out->entrypoint = pstrdup(SQL_ENTRYPOINT);
	}
}

static void
keep_action(const pg_uuid_t *automation, const char *sql)
{
	aut_uuid id;

	memcpy(id.bytes, automation->data, sizeof(id.bytes));
	aut__action_keep(&id, sql);
}

static void
warn_without_backend(const aut_settings *settings)
{
	aut_backend_choice backend = aut__backend_choice(settings);

	if (backend == AUT_BACKEND_NONE || backend == AUT_BACKEND_EMBEDDED)
		ereport(WARNING, (errmsg("no agent server is set: runs will wait"),
						  errhint("Set automation.agent_server_url.")));
}

/* create(name, script, entrypoint, schedule, timezone, tarball, tarball_url, description, timeout,
 *        enabled, model, setup_script, sql, environment, event, on_keys, filter, wait_at_limit) */
Datum
automation_create(PG_FUNCTION_ARGS)
{
	aut__door *door = aut__door_open();
	definition given;
	bool existing = false;
	aut_status status;
	Datum id;

	read_definition(fcinfo, 1, &given);
	given.name = aut__arg_text(fcinfo, 0);
	if (given.name == NULL)
		refuse("an automation needs a name");
	if (count_code(&given) != 1)
		refuse("give exactly one of script, tarball, tarball_url and sql");
	if (given.schedule == NULL && given.timezone != NULL)
		refuse("a time zone needs a schedule");
	if (given.event == NULL && (given.on_keys != NULL || given.filter != NULL))
		refuse("on_keys and filter need an event: the source it comes from");
	if (given.sql != NULL)
		aut__action_check_owner(GetUserId());
	aut__door_enter(door);
	door->body = definition_body(&given);
	status = door->body != NULL &&
					 aut_json_set(door->body, "trigger",
								  given.schedule != NULL ? cron_trigger(given.schedule, given.timezone)
								  : given.event != NULL  ? event_trigger(&given)
														 : manual_trigger())
				 ? AUT_OK
				 : aut_fail(&door->err, AUT_ENOMEM, "no memory for the automation's definition");
	if (status == AUT_OK)
		status = keep_code(door, &given);
	if (status == AUT_OK)
		status = aut_service_automation_create(&door->call, door->body, &door->out, &existing,
											   &door->err);
	aut__door_leave(door, status);
	id = aut__out_id(door);
	if (given.sql != NULL)
		keep_action(DatumGetUUIDP(id), given.sql);
	else
		warn_without_backend(door->call.settings);
	aut__door_close(door);
	PG_RETURN_DATUM(id);
}

/* ---- change ----------------------------------------------------------------------------------- */

static bool
touches_events(const definition *given)
{
	return given->event != NULL || given->on_keys != NULL || given->filter != NULL;
}

/* Is it one of those that events start, not by hand and not by a table's changes? */
static bool
hears_events(const aut_automation *automation, const json_t *trigger)
{
	const char *source = aut_json_string(trigger, "source");

	return strcmp(automation->trigger_type, "event") == 0 && source != NULL &&
		   strcmp(source, "manual") != 0 && strcmp(source, "sql") != 0;
}

/* Inside the door: the trigger with what is given replaced, the rest as it was. */
static aut_status
changed_trigger(aut__door *door, const definition *given)
{
	const aut_automation *automation = &door->automations.items[0];
	json_t *trigger = NULL;
	aut_status status = aut_json_parse(automation->trigger, strlen(automation->trigger), &trigger,
									   &door->err);

	if (status != AUT_OK)
		return status;
	if (touches_events(given))
	{
		bool hears = hears_events(automation, trigger);

		if (!hears && given->event == NULL)
		{
			json_decref(trigger);
			return aut_fail(&door->err, AUT_EINVAL,
							"on_keys and filter need an event: the source it comes from");
		}
		if (!hears || !put_event(trigger, given))
		{
			json_decref(trigger);
			trigger = hears ? NULL : event_trigger(given);
		}
	}
	else if (strcmp(automation->trigger_type, "cron") != 0)
	{
		json_decref(trigger);
		if (given->schedule == NULL)
			return aut_fail(&door->err, AUT_EINVAL, "a time zone needs a schedule");
		trigger = cron_trigger(given->schedule, given->timezone);
	}
	else
	{
		bool ok = true;

		put_text(trigger, "schedule", given->schedule, &ok);
		put_text(trigger, "timezone", given->timezone, &ok);
		if (!ok)
		{
			json_decref(trigger);
			trigger = NULL;
		}
	}
	if (!aut_json_set(door->body, "trigger", trigger))
		return aut_fail(&door->err, AUT_ENOMEM, "no memory for the automation's definition");
	return AUT_OK;
}

/* Change the automation door->automations holds as `given` says. */
static void
change(aut__door *door, const definition *given)
{
	aut_uuid id = door->automations.items[0].id;
	bool leaves_table =
		(given->schedule != NULL || given->event != NULL) && aut__is_for_rows(&door->automations.items[0]);
	aut_status status;

	aut__door_enter(door);
	door->body = definition_body(given);
	status = door->body != NULL ? AUT_OK
								: aut_fail(&door->err, AUT_ENOMEM, "no memory for the change");
	if (status == AUT_OK && (given->schedule != NULL || given->timezone != NULL || touches_events(given)))
		status = changed_trigger(door, given);
	if (status == AUT_OK)
		status = keep_code(door, given);
	if (status == AUT_OK)
		status = aut_service_automation_update(&door->call, &id, door->body, &door->out, &door->err);
	aut__door_leave(door, status);
	if (leaves_table)
		aut__drop_row_triggers(&id);
	if (count_code(given) > 0)
		aut__action_keep(&id, given->sql);
	aut__door_close(door);
}

/* alter(name, new_name, script, … as create) */
Datum
automation_alter(PG_FUNCTION_ARGS)
{
	aut__door *door = aut__door_open();
	char *name = aut__arg_text(fcinfo, 0);
	definition given;

	read_definition(fcinfo, 2, &given);
	given.name = aut__arg_text(fcinfo, 1);
	if (name == NULL)
		refuse("which automation?");
	if (given.schedule != NULL && touches_events(&given))
		refuse("give either a schedule or an event");
	if (count_code(&given) > 1)
		refuse("give at most one of script, tarball, tarball_url and sql");
	/* An internal address names an upload, whose owner is checked only when an automation is made. */
	if (given.tarball_url != NULL && strncmp(given.tarball_url, "oh-internal:", 12) == 0)
		refuse("give the tarball itself in place of an internal address");
	(void) aut__door_find(door, name, AUT__CHANGE);
	if (given.sql != NULL && door->automations.items[0].owner != NULL)
		aut__action_check_owner(get_role_oid(door->automations.items[0].owner, false));
	change(door, &given);
	PG_RETURN_VOID();
}

static void
enable(FunctionCallInfo fcinfo, bool enabled)
{
	aut__door *door = aut__door_open();
	definition given;
	char *name = aut__arg_text(fcinfo, 0);

	if (name == NULL)
		refuse("which automation?");
	memset(&given, 0, sizeof(given));
	given.has_enabled = true;
	given.enabled = enabled;
	door->call.note = enabled ? NULL : aut__arg_text(fcinfo, 1);
	(void) aut__door_find(door, name, AUT__CHANGE);
	change(door, &given);
}

Datum
automation_pause(PG_FUNCTION_ARGS)
{
	enable(fcinfo, false);
	PG_RETURN_VOID();
}

Datum
automation_resume(PG_FUNCTION_ARGS)
{
	enable(fcinfo, true);
	PG_RETURN_VOID();
}

Datum
automation_drop(PG_FUNCTION_ARGS)
{
	aut__door *door = aut__door_open();
	const aut_automation *automation =
		aut__door_find(door, text_to_cstring(PG_GETARG_TEXT_PP(0)), AUT__CHANGE);
	aut_uuid id = automation->id;
	bool of_rows = aut__is_for_rows(automation);

	aut__door_enter(door);
	aut__door_leave(door, aut_service_automation_delete(&door->call, &id, &door->err));
	if (of_rows)
		aut__drop_row_triggers(&id);
	aut__door_close(door);
	PG_RETURN_VOID();
}

/* upload(name, tarball, description) */
Datum
automation_upload(PG_FUNCTION_ARGS)
{
	aut__door *door = aut__door_open();
	char *name = aut__arg_text(fcinfo, 0);
	bytea *data = aut__arg_given(fcinfo, 1) ? PG_GETARG_BYTEA_PP(1) : NULL;
	char *description = aut__arg_text(fcinfo, 2);
	size_t len = data != NULL ? VARSIZE_ANY_EXHDR(data) : 0;
	Datum id;

	if (name == NULL || data == NULL)
		refuse("an upload needs a name and a tarball");
	if (len > AUT_UPLOAD_MAX)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("the tarball has %zu bytes, at most %d are kept here", len,
							   AUT_UPLOAD_MAX)));
	aut__door_enter(door);
	aut__door_leave(door, aut_service_upload_create(&door->call, name, description, VARDATA_ANY(data),
													len, false, &door->out, &door->err));
	id = aut__out_id(door);
	aut__door_close(door);
	PG_RETURN_DATUM(id);
}
