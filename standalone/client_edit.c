/* SPDX-License-Identifier: MIT */
/*
 * standalone/client_edit.c - `automation edit`: change what the options name, leave the rest.
 *
 * One PATCH, so a change is whole or not at all.  A new program is uploaded first; when the change is
 * refused, the upload is deleted again.  The program it replaces is left to the daemon's retention: a
 * run that is about to begin may still need it.
 *
 * A trigger is replaced as a whole by the API.  Who changes only the schedule keeps the zone, and the
 * other way round, so the automation is read first.
 */
#include <string.h>

#include "standalone/client_priv.h"

/* --timeout was given: 0 is a value here. */
#define TIMEOUT_GIVEN(a) ((a)->timeout >= 0)

static aut_status
check(client *c, bool *out_program, aut_error *err)
{
	const client_args *a = c->args;
	int sources = 0;
	aut_status status = client_program_check(c, &sources, err);

	if (status == AUT_OK)
		status = client_prompt_check(c, err);
	if (status == AUT_OK)
		status = client_event_check(c, err);
	if (status == AUT_OK)
		status = client_wait_check(c, err);
	if (status != AUT_OK)
		return status;
	*out_program = sources > 0;
	if (a->manual && (a->schedule != NULL || a->tz != NULL || client_event_given(a)))
		return client_usage(
			c, err, "--manual takes the trigger away; give either it or --schedule or --event");
	if (sources == 0 && a->new_name == NULL && a->schedule == NULL && a->tz == NULL && !a->manual &&
		!TIMEOUT_GIVEN(a) && a->description == NULL && a->model == NULL && a->entrypoint == NULL &&
		a->prompt == NULL && a->repo == NULL && a->env == NULL && a->wait_at_limit == NULL &&
		!client_event_given(a))
		return client_usage(
			c, err, "what shall change?  Give an option; automation edit --help lists them");
	return AUT_OK;
}

/* The trigger as it will be; *out stays NULL when it is not to change. */
static aut_status
new_trigger(client *c, const json_t *automation, json_t **out, aut_error *err)
{
	const client_args *a = c->args;
	const json_t *now = json_object_get(automation, "trigger");
	bool is_cron = strcmp(client_json_text(now, "type", ""), "cron") == 0;
	const char *source = client_json_text(now, "source", "");
	bool hears = !is_cron && strcmp(source, "manual") != 0 && strcmp(source, "sql") != 0;
	const char *zone = a->tz != NULL ? a->tz : is_cron ? aut_json_string(now, "timezone") : NULL;
	json_t *trigger = NULL;
	bool ok = true;

	if (a->manual)
		trigger = json_pack("{s:s, s:s, s:[]}", "type", "event", "source", "manual", "on");
	else if (client_event_given(a) && !hears && a->event == NULL)
		return client_usage(c, err, "--on and --filter go with --event SOURCE: no events start it");
	else if (client_event_given(a))
		trigger = client_event_trigger(a, hears ? now : NULL);
	else if (a->schedule == NULL && a->tz == NULL)
		return AUT_OK;
	else if (a->schedule == NULL && !is_cron)
		return client_usage(
			c, err, "it has no schedule for which --tz could say the zone; give --schedule");
	else if (is_cron)
		/* whatever else the trigger says stays */
		trigger = json_copy((json_t *) (uintptr_t) now);
	else
		trigger = json_pack("{s:s}", "type", "cron");
	if (trigger != NULL && a->schedule != NULL)
		ok = aut_json_set(trigger, "schedule", json_string(a->schedule));
	if (trigger != NULL && !a->manual && !client_event_given(a) && zone != NULL)
		ok = ok && aut_json_set(trigger, "timezone", json_string(zone));
	if (trigger == NULL || !ok)
	{
		json_decref(trigger);
		return aut_fail(err, AUT_EINVAL, "an argument is not valid UTF-8");
	}
	*out = trigger;
	return AUT_OK;
}

/* Text that '' takes away. */
static bool
set_text(json_t *body, const char *key, const char *text)
{
	return text == NULL || aut_json_set(body, key, *text != '\0' ? json_string(text) : json_null());
}

/* The PATCH's body; takes the trigger (NULL: as it is). */
static json_t *
request_body(const client_args *a, json_t *take_trigger, const char *tarball_path,
			 const char *entry)
{
	json_t *body = json_object();
	bool ok = body != NULL;

	if (take_trigger != NULL)
		ok = aut_json_set(body, "trigger", take_trigger);
	if (ok && a->new_name != NULL)
		ok = aut_json_set(body, "name", json_string(a->new_name));
	if (ok && TIMEOUT_GIVEN(a))
		ok = aut_json_set(body, "timeout", a->timeout > 0 ? json_integer(a->timeout) : json_null());
	ok = ok && set_text(body, "description", a->description) && set_text(body, "model", a->model) &&
		 client_wait_member(a, body);
	if (ok && tarball_path != NULL)
		ok = aut_json_set(body, "tarball_path", json_string(tarball_path));
	if (ok && entry != NULL)
		ok = aut_json_set(body, "entrypoint", json_string(entry));
	if (ok)
		return body;
	json_decref(body);
	return NULL;
}

static aut_status
report(client *c, const json_t *changed, bool schedule, aut_error *err)
{
	char when[CLIENT_TEXT_MAX], distance[CLIENT_TEXT_MAX];
	int64_t next = client_json_time(changed, "next_fire_at");

	if (c->args->json)
		return client_print_json(c, changed, err);
	if (schedule && next != AUT_TIME_NONE)
		(void) fprintf(stderr, "changed; next fire: %s (%s)\n",
					   client_absolute(next, c->args->utc, when),
					   client_relative(next, aut_now_us(c->clock), distance));
	else
		(void) fprintf(stderr, "changed\n");
	return AUT_OK;
}

aut_status
client_cmd_edit(client *c, aut_error *err)
{
	json_t *automation = NULL, *trigger = NULL, *uploaded = NULL, *body = NULL, *changed = NULL;
	char *entry = NULL;
	char *path = NULL;
	bool program = false;
	bool schedule = c->args->schedule != NULL || c->args->tz != NULL;
	aut_buf packed;
	aut_status status;

	aut_buf_init(&packed, CLIENT_PACK_MAX);
	status = check(c, &program, err);
	if (status == AUT_OK && program)
		status = client_program_pack(c, &packed, &entry, err);
	else if (status == AUT_OK && c->args->entrypoint != NULL)
	{
		entry = aut_strdup(c->args->entrypoint);
		if (entry == NULL)
			status = aut_fail(err, AUT_ENOMEM, "out of memory");
	}
	if (status == AUT_OK)
		status = client_find_automation(c, c->args->operand, &automation, err);
	if (status == AUT_OK)
		status = new_trigger(c, automation, &trigger, err);
	if (status == AUT_OK && program)
		status = client_program_upload(c, client_json_text(automation, "name", "program"), &packed,
									   &uploaded, err);
	if (status != AUT_OK)
		goto out;
	body = request_body(c->args, trigger, aut_json_string(uploaded, "tarball_path"), entry);
	trigger = NULL; /* the body has it, or it is gone */
	path = client_path("/v1/", client_json_text(automation, "id", ""), "");
	if (body == NULL)
		status = aut_fail(err, AUT_EINVAL, "an argument is not valid UTF-8");
	else if (path == NULL)
		status = aut_fail(err, AUT_ENOMEM, "out of memory");
	else
		status = client_prompt_members(c, body, err);
	if (status == AUT_OK)
		status = client_env_member(c, body, err);
	if (status == AUT_OK)
		status = client_send(c, "PATCH", path, body, &changed, err);
	if (status == AUT_OK)
		status = report(c, changed, schedule, err);
	else if (uploaded != NULL)
		client_program_drop(c, uploaded);
out:
	aut_free(path);
	json_decref(changed);
	json_decref(body);
	json_decref(trigger);
	json_decref(uploaded);
	json_decref(automation);
	aut_free(entry);
	aut_buf_done(&packed);
	return status;
}
