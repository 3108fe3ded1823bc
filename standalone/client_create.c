/* SPDX-License-Identifier: MIT */
/*
 * standalone/client_create.c - `automation create`: pack, upload, create; or only create, of a prompt.
 *
 * Two requests change something; when the second one is refused, what the first one stored is deleted
 * again, so that a typing error in a schedule leaves nothing behind.
 */
#include <string.h>

#include "standalone/client_priv.h"

aut_status
client_usage(client *c, aut_error *err, const char *message)
{
	c->exit_code = AUT_COMMAND_USAGE;
	return aut_fail(err, AUT_EINVAL, "%s", message);
}

aut_status
client_program_check(client *c, int *out_count, aut_error *err)
{
	const client_args *a = c->args;

	*out_count = (a->script != NULL) + (a->dir != NULL) + (a->tarball != NULL);
	if (*out_count > 1)
		return client_usage(c, err, "give only one of --script, --dir and --tarball");
	return AUT_OK;
}

aut_status
client_wait_check(client *c, aut_error *err)
{
	const char *given = c->args->wait_at_limit;

	if (given == NULL || strcmp(given, "yes") == 0 || strcmp(given, "no") == 0)
		return AUT_OK;
	c->exit_code = AUT_COMMAND_USAGE;
	return aut_fail(err, AUT_EINVAL, "--wait-at-limit %.60s: yes or no is needed", given);
}

bool
client_wait_member(const client_args *a, json_t *body)
{
	return a->wait_at_limit == NULL ||
		   aut_json_set(body, "wait_at_limit", json_boolean(strcmp(a->wait_at_limit, "yes") == 0));
}

static aut_status
check(client *c, aut_error *err)
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
	if (a->event == NULL && client_event_given(a))
		return client_usage(c, err, "--on and --filter go with --event SOURCE");
	if (sources == 0 && a->prompt == NULL)
		return client_usage(c, err,
							"what shall it run?  Give --script FILE, --dir FOLDER, --tarball FILE "
							"or --prompt TEXT");
	if (a->prompt == NULL && a->repo != NULL)
		return client_usage(c, err, "--repo goes with --prompt");
	if (a->tz != NULL && a->schedule == NULL)
		return client_usage(
			c, err, "--tz says in which zone --schedule is meant, but there is no --schedule");
	if (a->tarball != NULL && a->entrypoint == NULL)
		return client_usage(c, err, "--tarball needs --entrypoint CMD: the command to run in it");
	return AUT_OK;
}

aut_status
client_program_pack(client *c, aut_buf *out, char **out_entry, aut_error *err)
{
	const client_args *a = c->args;
	char *entry = NULL;
	aut_status status;

	if (a->script != NULL)
		status = client_pack_script(a->script, out, &entry, err);
	else if (a->dir != NULL)
		status = client_pack_dir(a->dir, out, &entry, err);
	else
		status = client_pack_tarball(a->tarball, out, err);
	if (status == AUT_OK && a->entrypoint != NULL)
	{
		aut_free(entry);
		entry = aut_strdup(a->entrypoint);
		if (entry == NULL)
			status = aut_fail(err, AUT_ENOMEM, "out of memory");
	}
	if (status == AUT_OK)
		*out_entry = entry;
	else
		aut_free(entry);
	return status;
}

aut_status
client_program_upload(client *c, const char *name, const aut_buf *packed, json_t **out,
					  aut_error *err)
{
	json_t *reply = NULL;
	aut_buf path;
	aut_status status;

	aut_buf_init(&path, 8192);
	(void) aut_buf_puts(&path, "/v1/uploads?name=");
	/* an upload's name is shorter than an automation's; it is for people only */
	(void) aut_url_encode(&path, name, aut_utf8_boundary(name, strnlen(name, 200)), "");
	if (path.status != AUT_OK)
	{
		status = aut_fail(err, path.status, "the name is too long");
		goto out;
	}
	status = client_request(c, "POST", path.data, "application/gzip", packed->data, packed->len,
							&reply, err);
	if (status == AUT_OK && strcmp(client_json_text(reply, "status", ""), "COMPLETED") != 0)
		status = aut_fail(err, AUT_EPROTO, "the upload failed: %.300s",
						  client_json_text(reply, "error_message", "no reason was given"));
	if (status == AUT_OK && aut_json_string(reply, "tarball_path") == NULL)
		status = aut_fail(err, AUT_EPROTO, "the upload's answer has no tarball_path");
	if (status == AUT_OK)
		*out = json_incref(reply);
out:
	json_decref(reply);
	aut_buf_done(&path);
	return status;
}

static json_t *
trigger(const client_args *a)
{
	json_t *out;

	if (client_event_given(a))
		return client_event_trigger(a, NULL);
	/* no schedule: only by hand, which is an event of the reserved source `manual` */
	if (a->schedule == NULL)
		return json_pack("{s:s, s:s, s:[]}", "type", "event", "source", "manual", "on");
	out = json_pack("{s:s, s:s}", "type", "cron", "schedule", a->schedule);
	if (a->tz != NULL && !aut_json_set(out, "timezone", json_string(a->tz)))
	{
		json_decref(out);
		return NULL;
	}
	return out;
}

static json_t *
request_body(const client_args *a, const char *tarball_path, const char *entry)
{
	json_t *body = json_object();
	bool ok = aut_json_set(body, "name", json_string(a->operand)) &&
			  aut_json_set(body, "trigger", trigger(a));

	if (ok && tarball_path != NULL)
		ok = aut_json_set(body, "tarball_path", json_string(tarball_path)) &&
			 aut_json_set(body, "entrypoint", json_string(entry));
	if (ok && a->description != NULL)
		ok = aut_json_set(body, "description", json_string(a->description));
	if (ok && a->model != NULL)
		ok = aut_json_set(body, "model", json_string(a->model));
	if (ok && a->timeout >= 0)
		ok = aut_json_set(body, "timeout", json_integer(a->timeout));
	if (ok && a->disabled)
		ok = aut_json_set(body, "enabled", json_false());
	ok = ok && client_wait_member(a, body);
	if (ok)
		return body;
	json_decref(body);
	return NULL;
}

void
client_program_drop(client *c, const json_t *uploaded)
{
	char *path = client_path("/v1/uploads/", client_json_text(uploaded, "id", ""), "");
	aut_buf story = c->story;

	/* a failure here must not replace the reason for which we are here */
	aut_buf_init(&c->story, 4096);
	if (path != NULL)
		(void) client_request(c, "DELETE", path, NULL, NULL, 0, NULL, NULL);
	aut_buf_done(&c->story);
	c->story = story;
	aut_free(path);
}

/* Can it be typed in a shell without quotes? */
static bool
is_plain(const char *word)
{
	static const char plain[] = "-._0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

	return *word != '\0' && *word != '-' && word[strspn(word, plain)] == '\0';
}

/* How to call it in a command that can be typed as it stands. */
static const char *
typed_name(const char *name, const char *id)
{
	return is_plain(name) ? name : is_plain(id) ? id : "ID";
}

static aut_status
report(client *c, const json_t *made, aut_error *err)
{
	char when[CLIENT_TEXT_MAX], distance[CLIENT_TEXT_MAX];
	int64_t next = client_json_time(made, "next_fire_at");
	const char *id = client_json_text(made, "id", "");
	aut_status status;
	aut_buf line;

	if (c->args->json)
		return client_print_json(c, made, err);
	if (next != AUT_TIME_NONE)
		(void) fprintf(stderr, "next fire: %s (%s)\n", client_absolute(next, c->args->utc, when),
					   client_relative(next, aut_now_us(c->clock), distance));
	else if (c->args->schedule != NULL)
		(void) fprintf(stderr, "it is paused; start its schedule with: automation resume %s\n",
					   typed_name(c->args->operand, id));
	else if (c->args->event != NULL && c->args->disabled)
		(void) fprintf(stderr, "it is paused; let events start it with: automation resume %s\n",
					   typed_name(c->args->operand, id));
	else if (c->args->event != NULL)
		(void) fprintf(stderr, "events start it; what comes in is told by: automation events\n");
	else
		(void) fprintf(stderr, "it has no schedule; run it with: automation run %s\n",
					   typed_name(c->args->operand, id));
	aut_buf_init(&line, 256);
	(void) client_escape(id, strlen(id), &line);
	(void) aut_buf_putc(&line, '\n');
	status = line.status == AUT_OK ? client_write(line.data, line.len, err)
								   : aut_fail(err, line.status, "the answer's id is too long");
	aut_buf_done(&line);
	return status;
}

/* Two automations may share a name, but then commands need the id: say so. */
static void
warn_about_name(client *c)
{
	json_t *existing = NULL;
	aut_error ignored = AUT_ERROR_INIT;
	aut_status status = client_find_automation(c, c->args->operand, &existing, &ignored);

	aut_buf_clear(&c->story);
	if (status == AUT_OK || status == AUT_EINVAL)
		(void) fprintf(stderr,
					   "note: that name is taken already; commands will need the id of this one\n");
	json_decref(existing);
}

/* A prompt needs no program: one request makes it. */
static aut_status
create_of_prompt(client *c, aut_error *err)
{
	json_t *body = request_body(c->args, NULL, NULL);
	json_t *made = NULL;
	aut_status status = AUT_OK;

	if (body == NULL)
		status = aut_fail(err, AUT_EINVAL, "an argument is not valid UTF-8");
	if (status == AUT_OK)
		status = client_prompt_members(c, body, err);
	if (status == AUT_OK)
		status = client_env_member(c, body, err);
	if (status == AUT_OK)
	{
		warn_about_name(c);
		status = client_send(c, "POST",
							 c->args->plugin != NULL ? "/v1/preset/plugin" : "/v1/preset/prompt",
							 body, &made, err);
	}
	if (status == AUT_OK)
		status = report(c, made, err);
	json_decref(made);
	json_decref(body);
	return status;
}

aut_status
client_cmd_create(client *c, aut_error *err)
{
	json_t *uploaded = NULL;
	json_t *body = NULL;
	json_t *made = NULL;
	char *entry = NULL;
	aut_buf packed;
	aut_status status;

	aut_buf_init(&packed, CLIENT_PACK_MAX);
	status = check(c, err);
	if (status == AUT_OK && !aut_utf8_valid(c->args->operand, strlen(c->args->operand)))
		status = client_usage(c, err, "the name is not valid UTF-8");
	if (status == AUT_OK && c->args->prompt != NULL)
	{
		status = create_of_prompt(c, err);
		goto out;
	}
	if (status == AUT_OK)
		status = client_program_pack(c, &packed, &entry, err);
	if (status == AUT_OK && entry == NULL)
		status = client_usage(
			c, err,
			"the folder holds no main.py, main.sh or run.sh; say with --entrypoint CMD "
			"what to run");
	if (status != AUT_OK)
		goto out;
	warn_about_name(c);
	status = client_program_upload(c, c->args->operand, &packed, &uploaded, err);
	if (status != AUT_OK)
		goto out;
	body = request_body(c->args, aut_json_string(uploaded, "tarball_path"), entry);
	if (body == NULL)
		status = aut_fail(err, AUT_EINVAL, "an argument is not valid UTF-8");
	else
		status = client_env_member(c, body, err);
	if (status == AUT_OK)
		status = client_send(c, "POST", "/v1", body, &made, err);
	if (status != AUT_OK)
	{
		client_program_drop(c, uploaded);
		goto out;
	}
	status = report(c, made, err);
out:
	json_decref(made);
	json_decref(body);
	json_decref(uploaded);
	aut_free(entry);
	aut_buf_done(&packed);
	return status;
}
