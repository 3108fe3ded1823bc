/* SPDX-License-Identifier: MIT */
/*
 * standalone/client_automations.c - automations by name or id; list, show, pause, resume, rm.
 *
 * An id wins over a name that looks like one.  A name that several automations bear is an error that
 * lists the ids: guessing could delete the wrong one.
 */
#include <inttypes.h>
#include <string.h>

#include "standalone/client_priv.h"

#define PAGE      100
#define PAGES_MAX 100 /* 10,000 automations are looked at for a name, or listed */

char *
client_path(const char *before, const char *segment, const char *after)
{
	aut_buf path;
	char *out;

	aut_buf_init(&path, 16384);
	(void) aut_buf_puts(&path, before);
	(void) aut_url_encode(&path, segment, strlen(segment), "");
	(void) aut_buf_puts(&path, after);
	out = aut_buf_take(&path, NULL);
	aut_buf_done(&path);
	return out;
}

/* ---- names ------------------------------------------------------------------------------------------ */

/* The members of a page with exactly this name; a server that knows ?name= sends no others. */
static bool
collect(const json_t *page, const char *name, json_t *found)
{
	const json_t *list = json_object_get(page, "automations");

	for (size_t i = 0; i < json_array_size(list); i++)
	{
		json_t *one = json_array_get(list, i);
		const char *its = aut_json_string(one, "name");

		if (its != NULL && strcmp(its, name) == 0 && json_array_append(found, one) != 0)
			return false;
	}
	return true;
}

static aut_status
find_by_name(client *c, const char *name, json_t *found, aut_error *err)
{
	json_int_t seen = 0;

	for (int page = 0; page < PAGES_MAX; page++)
	{
		char after[64];
		char *path;
		json_t *reply = NULL;
		json_int_t total;
		size_t count;
		aut_status status;

		(void) snprintf(after, sizeof after, "&limit=%d&offset=%d", PAGE, page * PAGE);
		path = client_path("/v1?name=", name, after);
		if (path == NULL)
			return aut_fail(err, AUT_EINVAL, "that name is too long");
		status = client_get(c, path, &reply, err);
		aut_free(path);
		if (status != AUT_OK)
			return status;
		count = json_array_size(json_object_get(reply, "automations"));
		total = json_integer_value(json_object_get(reply, "total"));
		if (!collect(reply, name, found))
			status = aut_fail(err, AUT_ENOMEM, "out of memory");
		json_decref(reply);
		seen += (json_int_t) count;
		if (status != AUT_OK || count == 0 || seen >= total)
			return status;
	}
	return AUT_OK;
}

static aut_status
ambiguous(const json_t *found, const char *name, aut_error *err)
{
	char ids[5 * 40];
	size_t count = json_array_size(found);
	size_t len = 0;

	ids[0] = '\0';
	for (size_t i = 0; i < count && i < 4; i++)
	{
		int n = snprintf(ids + len, sizeof ids - len, "%s%.36s", i > 0 ? ", " : "",
						 client_json_text(json_array_get(found, i), "id", "?"));

		len += n > 0 ? (size_t) n : 0;
	}
	return aut_fail(err, AUT_EINVAL, "%zu automations are called %.80s; use an id: %s%s", count,
					name, ids, count > 4 ? ", \xe2\x80\xa6" : "");
}

aut_status
client_find_automation(client *c, const char *name_or_id, json_t **out, aut_error *err)
{
	json_t *found = json_array();
	char id[AUT_UUID_TEXT_MAX];
	aut_uuid uuid;
	aut_status status = AUT_OK;

	if (found == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	if (aut_uuid_parse(name_or_id, strlen(name_or_id), &uuid))
	{
		char *path = client_path("/v1/", aut_uuid_format(&uuid, id), "");
		json_t *one = NULL;

		status = path != NULL ? client_get(c, path, &one, err)
							  : aut_fail(err, AUT_ENOMEM, "out of memory");
		aut_free(path);
		if (status == AUT_OK)
			*out = one;
		if (status != AUT_ENOTFOUND)
			goto out;
		aut_buf_clear(&c->story);
	}
	status = find_by_name(c, name_or_id, found, err);
	if (status != AUT_OK)
		goto out;
	if (json_array_size(found) == 0)
		status = aut_fail(err, AUT_ENOTFOUND,
						  "no automation is called %.200s; automation list shows them", name_or_id);
	else if (json_array_size(found) > 1)
		status = ambiguous(found, name_or_id, err);
	else
		*out = json_incref(json_array_get(found, 0));
out:
	json_decref(found);
	return status;
}

/* ---- list --------------------------------------------------------------------------------------------- */

/* "0 9 * * * Europe/Berlin", "push, issues.* from github", "by hand" */
static const char *
trigger_text(const json_t *automation, char *out, size_t size)
{
	const json_t *trigger = json_object_get(automation, "trigger");
	const char *source = client_json_text(trigger, "source", "");

	if (strcmp(client_json_text(trigger, "type", ""), "cron") == 0)
		(void) snprintf(out, size, "%s  %s", client_json_text(trigger, "schedule", "?"),
						client_json_text(trigger, "timezone", "UTC"));
	else if (strcmp(source, "manual") == 0)
		(void) snprintf(out, size, "by hand");
	else
		(void) snprintf(out, size, "events of %s", source);
	return out;
}

/* All pages in one object of the API's shape. */
static aut_status
get_all(client *c, json_t **out, aut_error *err)
{
	json_t *all = json_array();
	json_int_t total = 0;
	aut_status status = all != NULL ? AUT_OK : aut_fail(err, AUT_ENOMEM, "out of memory");

	for (int page = 0; status == AUT_OK && page < PAGES_MAX; page++)
	{
		char path[64];
		json_t *reply = NULL;
		const json_t *list;
		size_t count;

		(void) snprintf(path, sizeof path, "/v1?limit=%d&offset=%d", PAGE, page * PAGE);
		status = client_get(c, path, &reply, err);
		list = json_object_get(reply, "automations");
		count = json_array_size(list);
		total = json_integer_value(json_object_get(reply, "total"));
		for (size_t i = 0; status == AUT_OK && i < count; i++)
		{
			if (json_array_append(all, json_array_get(list, i)) != 0)
				status = aut_fail(err, AUT_ENOMEM, "out of memory");
		}
		json_decref(reply);
		if (count == 0 || (json_int_t) json_array_size(all) >= total)
			break;
	}
	if (status == AUT_OK)
	{
		json_t *result = json_pack("{s:O, s:I}", "automations", all, "total", total);

		if (result != NULL)
			*out = result;
		else
			status = aut_fail(err, AUT_ENOMEM, "out of memory");
	}
	json_decref(all);
	return status;
}

/* Does a name occur twice, so that commands want ids? */
static bool
names_repeat(const json_t *list)
{
	json_t *seen = json_object();
	bool repeat = seen == NULL; /* not knowing it, show the ids */

	for (size_t i = 0; !repeat && i < json_array_size(list); i++)
	{
		const char *name = client_json_text(json_array_get(list, i), "name", "");

		repeat = json_object_get(seen, name) != NULL || !aut_json_set(seen, name, json_true());
	}
	json_decref(seen);
	return repeat;
}

aut_status
client_cmd_list(client *c, aut_error *err)
{
	static const client_column columns[] = {
		{"NAME", false, true},       {"STATE", false, false}, {"TRIGGER", false, false},
		{"NEXT FIRE", false, false}, {"LAST", false, false},  {"ID", false, false},
	};
	client_table table;
	json_t *reply = NULL;
	const json_t *list;
	bool ids;
	aut_status status = get_all(c, &reply, err);

	list = json_object_get(reply, "automations");
	/* on a terminal a name is enough, and the row fits; a pipe gets everything */
	ids = !c->out_terminal || names_repeat(list);
	client_table_init(&table, columns, sizeof columns / sizeof columns[0] - (ids ? 0 : 1));
	if (status != AUT_OK)
		goto out;
	if (c->args->json)
	{
		status = client_print_json(c, reply, err);
		goto out;
	}
	if (json_array_size(list) == 0)
		(void) fprintf(stderr, "no automations yet; make one with: automation create\n");
	for (size_t i = 0; i < json_array_size(list); i++)
	{
		const json_t *one = json_array_get(list, i);
		const char *state = client_json_text(one, "state", "");
		char text[512], when[CLIENT_TEXT_MAX];

		client_table_add(&table, CLIENT_PLAIN, aut_json_string(one, "name"));
		client_table_add(&table, client_status_colour(state),
						 strcmp(state, "INACTIVE") == 0 ? "paused"
						 : strcmp(state, "ACTIVE") == 0 ? "active"
														: state);
		client_table_add(&table, CLIENT_PLAIN, trigger_text(one, text, sizeof text));
		client_table_add(&table, CLIENT_PLAIN,
						 client_when(c, client_json_time(one, "next_fire_at"), when));
		client_table_add(&table, CLIENT_PLAIN,
						 client_when(c, client_json_time(one, "last_triggered_at"), when));
		if (ids)
			client_table_add(&table, CLIENT_DIM, aut_json_string(one, "id"));
	}
	if (table.cell_count > 0 || table.status != AUT_OK)
		status = client_table_print(c, &table, err);
out:
	client_table_done(&table);
	json_decref(reply);
	return status;
}

/* ---- show ----------------------------------------------------------------------------------------------- */

/* One "key  value" line per member that has something to say. */
static void
put_member(const client *c, const char *key, const json_t *value, aut_buf *out)
{
	char when[CLIENT_TEXT_MAX], distance[CLIENT_TEXT_MAX];
	const char *text = json_string_value(value);
	size_t key_len = strlen(key);
	int64_t time;
	char *json;

	if (value == NULL || json_is_null(value))
		return;
	(void) aut_buf_printf(out, "%s%-20s%s  ", c->out_colour ? client_colour_on(CLIENT_BOLD) : "",
						  key, c->out_colour ? "\x1b[0m" : "");
	if (text != NULL && key_len > 3 &&
		(strcmp(key + key_len - 3, "_at") == 0 || strcmp(key, "scheduled_for") == 0) &&
		aut_time_parse(text, &time, NULL) == AUT_OK)
		(void) aut_buf_printf(out, "%s (%s)", client_absolute(time, c->args->utc, when),
							  client_relative(time, aut_now_us(c->clock), distance));
	else if (text != NULL)
		(void) client_escape(text, strlen(text), out);
	else
	{
		json = aut_json_text(value, NULL);
		if (json == NULL)
			out->status = AUT_ENOMEM;
		else
			(void) client_escape(json, strlen(json), out);
		aut_free(json);
	}
	(void) aut_buf_putc(out, '\n');
}

static aut_status
show_object(client *c, const json_t *object, aut_error *err)
{
	aut_status status;
	aut_buf out;

	if (c->args->json)
		return client_print_json(c, object, err);
	aut_buf_init(&out, CLIENT_REPLY_MAX);
	for (void *at = json_object_iter((json_t *) (uintptr_t) object); at != NULL;
		 at = json_object_iter_next((json_t *) (uintptr_t) object, at))
		put_member(c, json_object_iter_key(at), json_object_iter_value(at), &out);
	status = out.status == AUT_OK ? client_write(out.data, out.len, err)
								  : aut_fail(err, out.status, "the answer is too large to print");
	aut_buf_done(&out);
	return status;
}

aut_status
client_cmd_show(client *c, aut_error *err)
{
	const char *what = c->args->operand;
	json_t *object = NULL;
	aut_error other = AUT_ERROR_INIT;
	aut_status status = client_find_automation(c, what, &object, err);

	if (status == AUT_ENOTFOUND)
	{
		aut_buf_clear(&c->story);
		/* the message about automations stays unless the text is meant as a run */
		status = client_find_run(c, what, &object, &other);
		if (status != AUT_OK && (status != AUT_ENOTFOUND || other.http_status != 0))
			*err = other;
	}
	if (status == AUT_OK)
		status = show_object(c, object, err);
	json_decref(object);
	return status;
}

/* ---- changes ------------------------------------------------------------------------------------------------ */

/* One request about the named automation; *out its answer. */
static aut_status
change(client *c, const char *method, const json_t *body, json_t **out, aut_error *err)
{
	json_t *automation = NULL;
	char *path = NULL;
	aut_status status = client_find_automation(c, c->args->operand, &automation, err);

	if (status != AUT_OK)
		return status;
	path = client_path("/v1/", client_json_text(automation, "id", ""), "");
	if (path == NULL)
		status = aut_fail(err, AUT_ENOMEM, "out of memory");
	else if (body == NULL)
		status = client_request(c, method, path, NULL, NULL, 0, out, err);
	else
		status = client_send(c, method, path, body, out, err);
	aut_free(path);
	json_decref(automation);
	return status;
}

static aut_status
set_enabled(client *c, bool enabled, json_t **out, aut_error *err)
{
	json_t *body = json_pack("{s:b}", "enabled", enabled);
	aut_status status;

	if (body == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	status = change(c, "PATCH", body, out, err);
	json_decref(body);
	return status;
}

aut_status
client_cmd_pause(client *c, aut_error *err)
{
	json_t *reply = NULL;
	aut_status status = set_enabled(c, false, &reply, err);

	if (status == AUT_OK && c->args->json)
		status = client_print_json(c, reply, err);
	else if (status == AUT_OK)
		(void) fprintf(stderr, "paused\n");
	json_decref(reply);
	return status;
}

aut_status
client_cmd_resume(client *c, aut_error *err)
{
	char when[CLIENT_TEXT_MAX], distance[CLIENT_TEXT_MAX];
	json_t *reply = NULL;
	aut_status status = set_enabled(c, true, &reply, err);
	int64_t next = client_json_time(reply, "next_fire_at");

	if (status == AUT_OK && c->args->json)
		status = client_print_json(c, reply, err);
	else if (status == AUT_OK && next != AUT_TIME_NONE)
		(void) fprintf(stderr, "active; next fire: %s (%s)\n",
					   client_absolute(next, c->args->utc, when),
					   client_relative(next, aut_now_us(c->clock), distance));
	else if (status == AUT_OK)
		(void) fprintf(stderr, "active\n");
	json_decref(reply);
	return status;
}

aut_status
client_cmd_rm(client *c, aut_error *err)
{
	json_t *reply = NULL;
	aut_status status = change(c, "DELETE", NULL, &reply, err);

	if (status == AUT_OK && !c->args->json)
		(void) fprintf(stderr, "deleted\n");
	json_decref(reply);
	return status;
}
