/* SPDX-License-Identifier: MIT */
/*
 * extension/sql_preset.c - SQL functions over automations made of a prompt: create_prompt, alter_prompt.
 *
 * As everywhere in the door, arguments become the body of an HTTP request and core's service judges it.
 * Everything else that can be changed is changed with alter().
 */
#include "door.h"

#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

PG_FUNCTION_INFO_V1(automation_create_prompt);
PG_FUNCTION_INFO_V1(automation_alter_prompt);

static void
refuse(const char *message)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s", message)));
}

/* The text of a jsonb argument; NULL for null. */
static char *
arg_json(FunctionCallInfo fcinfo, int arg)
{
	Jsonb *value;

	if (!aut__arg_given(fcinfo, arg))
		return NULL;
	value = PG_GETARG_JSONB_P(arg);
	return JsonbToCString(NULL, &value->root, VARSIZE(value));
}

/* All members through these, so that a series needs one check at its end. */
static void
put_text(json_t *object, const char *key, const char *value, bool *ok)
{
	if (value != NULL)
		*ok = *ok && aut_json_set(object, key, json_string(value));
}

static void
put_json(aut__door *door, const char *key, const char *text, aut_status *status)
{
	json_t *value = NULL;

	if (text == NULL || *status != AUT_OK)
		return;
	*status = aut_json_parse(text, strlen(text), &value, &door->err);
	if (*status == AUT_OK && !aut_json_set(door->body, key, value))
		*status = aut_fail(&door->err, AUT_ENOMEM, "no memory for the automation's definition");
}

/* What create_prompt is given. */
typedef struct definition
{
	char *name, *prompt, *repos, *plugins, *schedule, *timezone, *description, *model;
	bool has_timeout, has_enabled, enabled;
	int64_t timeout_s;
} definition;

static json_t *
trigger_of(const definition *given)
{
	json_t *trigger;
	bool ok = true;

	if (given->schedule == NULL)
		return json_pack("{s:s, s:s, s:[]}", "type", "event", "source", "manual", "on");
	trigger = json_pack("{s:s}", "type", "cron");
	put_text(trigger, "schedule", given->schedule, &ok);
	put_text(trigger, "timezone", given->timezone, &ok);
	if (ok)
		return trigger;
	json_decref(trigger);
	return NULL;
}

/* Inside the door: the body of POST /v1/preset/…. */
static aut_status
make_body(aut__door *door, const definition *given)
{
	aut_status status = AUT_OK;
	bool ok;

	door->body = json_object();
	ok = door->body != NULL;
	put_text(door->body, "name", given->name, &ok);
	put_text(door->body, "prompt", given->prompt, &ok);
	put_text(door->body, "description", given->description, &ok);
	put_text(door->body, "model", given->model, &ok);
	if (given->has_timeout)
		ok = ok && aut_json_set(door->body, "timeout", json_integer(given->timeout_s));
	if (given->has_enabled)
		ok = ok && aut_json_set(door->body, "enabled", json_boolean(given->enabled));
	ok = ok && aut_json_set(door->body, "trigger", trigger_of(given));
	if (!ok)
		status = aut_fail(&door->err, AUT_ENOMEM, "no memory for the automation's definition");
	put_json(door, "repos", given->repos, &status);
	put_json(door, "plugins", given->plugins, &status);
	return status;
}

/* create_prompt(name, prompt, repos, plugins, schedule, timezone, description, timeout, enabled, model) */
Datum
automation_create_prompt(PG_FUNCTION_ARGS)
{
	aut__door *door = aut__door_open();
	definition given = {0};
	bool existing = false;
	aut_backend_choice backend;
	aut_status status;
	Datum id;

	given.name = aut__arg_text(fcinfo, 0);
	given.prompt = aut__arg_text(fcinfo, 1);
	given.repos = arg_json(fcinfo, 2);
	given.plugins = arg_json(fcinfo, 3);
	given.schedule = aut__arg_text(fcinfo, 4);
	given.timezone = aut__arg_text(fcinfo, 5);
	given.description = aut__arg_text(fcinfo, 6);
	given.has_timeout = aut__arg_given(fcinfo, 7);
	if (given.has_timeout)
		given.timeout_s = aut__arg_seconds(fcinfo, 7, "timeout");
	given.has_enabled = aut__arg_given(fcinfo, 8);
	given.enabled = given.has_enabled && PG_GETARG_BOOL(8);
	given.model = aut__arg_text(fcinfo, 9);
	if (given.name == NULL || given.prompt == NULL)
		refuse("an automation needs a name and a prompt");
	if (given.schedule == NULL && given.timezone != NULL)
		refuse("a time zone needs a schedule");
	aut__door_enter(door);
	status = make_body(door, &given);
	if (status == AUT_OK)
		status = aut_service_preset_create(
			&door->call, given.plugins != NULL ? AUT_PRESET_PLUGIN : AUT_PRESET_PROMPT, door->body,
			&door->out, &existing, &door->err);
	aut__door_leave(door, status);
	id = aut__out_id(door);
	backend = aut__backend_choice(door->call.settings);
	if (backend == AUT_BACKEND_NONE || backend == AUT_BACKEND_EMBEDDED)
		ereport(WARNING, (errmsg("no agent server is set: runs will wait"),
						  errhint("Set automation.agent_server_url.")));
	aut__door_close(door);
	PG_RETURN_DATUM(id);
}

/* alter_prompt(name, prompt, repos) */
Datum
automation_alter_prompt(PG_FUNCTION_ARGS)
{
	aut__door *door = aut__door_open();
	char *name = aut__arg_text(fcinfo, 0);
	char *prompt = aut__arg_text(fcinfo, 1);
	char *repos = arg_json(fcinfo, 2);
	aut_status status = AUT_OK;
	aut_uuid id;
	bool ok;

	if (name == NULL)
		refuse("which automation?");
	id = aut__door_find(door, name, AUT__CHANGE)->id;
	aut__door_enter(door);
	door->body = json_object();
	ok = door->body != NULL;
	put_text(door->body, "prompt", prompt, &ok);
	if (!ok)
		status = aut_fail(&door->err, AUT_ENOMEM, "no memory for the change");
	put_json(door, "repos", repos, &status);
	if (status == AUT_OK)
		status = aut_service_automation_update(&door->call, &id, door->body, &door->out, &door->err);
	aut__door_leave(door, status);
	aut__door_close(door);
	PG_RETURN_VOID();
}
