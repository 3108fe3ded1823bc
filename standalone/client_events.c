/* SPDX-License-Identifier: MIT */
/*
 * standalone/client_events.c - events: `events`, `replay`, `test-filter`, and triggers made of --event.
 *
 * What an event says was written by strangers: everything of it is escaped on its way to a terminal.  The
 * payload is printed as JSON, which escapes by itself.
 */
#include <inttypes.h>
#include <string.h>

#include "standalone/client_priv.h"

#define PATH_MAX_BYTES 65536
#define COUNT_DEFAULT  20

static aut_status
no_memory(aut_error *err)
{
	return aut_fail(err, AUT_ENOMEM, "out of memory");
}

/* ---- triggers ---------------------------------------------------------------------------------- */

/* "a,b" as ["a", "b"]; blanks around a pattern are none of it. */
static json_t *
patterns_json(const char *text)
{
	json_t *list = json_array();

	while (list != NULL && *text != '\0')
	{
		size_t len = strcspn(text, ",");
		const char *word = text + strspn(text, " ");
		size_t word_len = (size_t) (word - text) < len ? len - (size_t) (word - text) : 0;

		while (word_len > 0 && word[word_len - 1] == ' ')
			word_len--;
		if (word_len > 0 && json_array_append_new(list, json_stringn(word, word_len)) != 0)
		{
			json_decref(list);
			return NULL;
		}
		text += len + (text[len] == ',');
	}
	return list;
}

bool
client_event_given(const client_args *a)
{
	return a->event != NULL || a->patterns != NULL || a->filter != NULL;
}

aut_status
client_event_check(client *c, aut_error *err)
{
	const client_args *a = c->args;

	if (client_event_given(a) && (a->schedule != NULL || a->tz != NULL))
		return client_usage(c, err, "give either --schedule or --event");
	return AUT_OK;
}

json_t *
client_event_trigger(const client_args *a, const json_t *now)
{
	json_t *trigger = now != NULL ? json_copy((json_t *) (uintptr_t) now)
								  : json_pack("{s:s, s:[s]}", "type", "event", "on", "*");
	bool ok = trigger != NULL;

	if (a->event != NULL)
		ok = ok && aut_json_set(trigger, "source", json_string(a->event));
	if (a->patterns != NULL)
		ok = ok && aut_json_set(trigger, "on", patterns_json(a->patterns));
	if (a->filter != NULL)
		ok = ok && aut_json_set(trigger, "filter",
								*a->filter != '\0' ? json_string(a->filter) : json_null());
	if (ok)
		return trigger;
	json_decref(trigger);
	return NULL;
}

/* ---- the list ---------------------------------------------------------------------------------- */

static void
put_query(aut_buf *path, const char *name, const char *value)
{
	if (value == NULL)
		return;
	(void) aut_buf_printf(path, "&%s=", name);
	(void) aut_url_encode(path, value, strlen(value), "");
}

/* {events}: the newest that are wanted, page by page. */
static aut_status
get_events(client *c, json_t **out, aut_error *err)
{
	int64_t wanted = c->args->count > 0 ? c->args->count : COUNT_DEFAULT;
	json_t *all = json_array();
	char cursor[128] = "";
	aut_status status = all != NULL ? AUT_OK : no_memory(err);
	aut_buf path;

	aut_buf_init(&path, PATH_MAX_BYTES);
	do
	{
		int64_t left = wanted - (int64_t) json_array_size(all);
		json_t *page = NULL;

		aut_buf_clear(&path);
		(void) aut_buf_printf(&path, "/v1/events?limit=%" PRId64, left < 100 ? left : 100);
		put_query(&path, "source", c->args->source);
		put_query(&path, "key", c->args->key);
		put_query(&path, "state", c->args->state);
		put_query(&path, "cursor", cursor[0] != '\0' ? cursor : NULL);
		if (status == AUT_OK && path.status != AUT_OK)
			status = aut_fail(err, path.status, "what is asked for is too long");
		if (status == AUT_OK)
			status = client_get(c, path.data, &page, err);
		if (status == AUT_OK && json_array_extend(all, json_object_get(page, "events")) != 0)
			status = aut_fail(err, AUT_EPROTO, "the answer has no events");
		(void) snprintf(cursor, sizeof cursor, "%s", client_json_text(page, "next_cursor", ""));
		json_decref(page);
	} while (status == AUT_OK && cursor[0] != '\0' && (int64_t) json_array_size(all) < wanted);
	if (status == AUT_OK && (*out = json_pack("{s:O}", "events", all)) == NULL)
		status = no_memory(err);
	json_decref(all);
	aut_buf_done(&path);
	return status;
}

static client_colour
verdict_colour(const char *word)
{
	if (strcmp(word, "matched") == 0 || strcmp(word, "MATCHED") == 0)
		return CLIENT_GREEN;
	if (strcmp(word, "error") == 0 || strcmp(word, "UNPARSEABLE") == 0)
		return CLIENT_RED;
	return CLIENT_DIM;
}

static aut_status
list(client *c, aut_error *err)
{
	static const client_column columns[] = {{"EVENT", false, false},   {"SOURCE", false, false},
											{"KEY", false, true},      {"STATE", false, false},
											{"MATCHED", true, false},  {"ASKED", true, false},
											{"RECEIVED", false, false}};
	client_table table;
	json_t *reply = NULL;
	size_t index;
	json_t *one;
	aut_status status = get_events(c, &reply, err);

	client_table_init(&table, columns, sizeof columns / sizeof columns[0]);
	if (status == AUT_OK && c->args->json)
	{
		status = client_print_json(c, reply, err);
		goto out;
	}
	json_array_foreach(json_object_get(reply, "events"), index, one)
	{
		const char *state = client_json_text(one, "state", "");
		char number[32], when[CLIENT_TEXT_MAX];

		client_table_add(&table, CLIENT_PLAIN, aut_json_string(one, "id"));
		client_table_add(&table, CLIENT_PLAIN, aut_json_string(one, "source"));
		client_table_add(&table, CLIENT_PLAIN, aut_json_string(one, "event_key"));
		client_table_add(&table, verdict_colour(state), state);
		(void) snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT,
						json_integer_value(json_object_get(one, "matched")));
		client_table_add(&table, CLIENT_PLAIN, number);
		(void) snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT,
						json_integer_value(json_object_get(one, "considered")));
		client_table_add(&table, CLIENT_PLAIN, number);
		client_table_add(&table, CLIENT_DIM,
						 client_when(c, client_json_time(one, "received_at"), when));
	}
	if (status == AUT_OK && table.cell_count == 0 && table.status == AUT_OK)
		(void) fprintf(stderr, "no such events\n");
	else if (status == AUT_OK)
		status = client_table_print(c, &table, err);
out:
	client_table_done(&table);
	json_decref(reply);
	return status;
}

/* ---- one --------------------------------------------------------------------------------------- */

static aut_status
print_head(const json_t *event, aut_error *err)
{
	static const char *const members[] = {"id",  "source",      "event_key",         "state",
										  "why", "received_at", "provider_event_id", "body_text"};
	aut_buf text;
	aut_status status;

	aut_buf_init(&text, (size_t) CLIENT_REPLY_MAX * 6);
	for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
	{
		const char *value = aut_json_string(event, members[i]);

		if (value == NULL)
			continue;
		(void) aut_buf_printf(&text, "%-17s ", members[i]);
		(void) client_escape(value, strlen(value), &text);
		(void) aut_buf_putc(&text, '\n');
	}
	status = text.status == AUT_OK ? client_write(text.data, text.len, err) : no_memory(err);
	aut_buf_done(&text);
	return status;
}

/* A heading and a table; nothing when there is nothing to show. */
static aut_status
print_part(client *c, const char *title, const client_table *table, aut_error *err)
{
	aut_status status = table->status == AUT_OK ? AUT_OK : no_memory(err);

	if (status == AUT_OK && table->cell_count > 0)
		status = client_write(title, strlen(title), err);
	if (status == AUT_OK && table->cell_count > 0)
		status = client_table_print(c, table, err);
	return status;
}

/* The API explains only errors: the other verdicts say it all, to who knows the words. */
static const char *
verdict_why(const json_t *one, const char *verdict)
{
	static const struct
	{
		const char *verdict, *why;
	} known[] = {
		{"pattern", "no pattern of `on` matches the key"},
		{"filter", "the filter is not true"},
		{"disabled", "it was paused"},
	};
	const char *why = aut_json_string(one, "why");

	for (size_t i = 0; why == NULL && i < sizeof known / sizeof known[0]; i++)
	{
		if (strcmp(known[i].verdict, verdict) == 0)
			why = known[i].why;
	}
	return why;
}

static aut_status
print_verdicts(client *c, const json_t *event, aut_error *err)
{
	static const client_column columns[] = {
		{"AUTOMATION", false, true}, {"VERDICT", false, false}, {"WHY", false, false}};
	client_table table;
	size_t index;
	json_t *one;
	aut_status status;

	client_table_init(&table, columns, sizeof columns / sizeof columns[0]);
	json_array_foreach(json_object_get(event, "verdicts"), index, one)
	{
		const char *verdict = client_json_text(one, "verdict", "");
		const char *id = client_json_text(one, "automation_id", "");

		client_table_add(&table, CLIENT_PLAIN, client_json_text(one, "automation_name", id));
		client_table_add(&table, verdict_colour(verdict), verdict);
		client_table_add(&table, CLIENT_PLAIN, verdict_why(one, verdict));
	}
	status = print_part(c, "\n", &table, err);
	client_table_done(&table);
	return status;
}

static aut_status
print_runs(client *c, const json_t *event, aut_error *err)
{
	static const client_column columns[] = {
		{"RUN", false, false}, {"STATUS", false, false}, {"HOW", false, false}};
	client_table table;
	size_t index;
	json_t *one;
	aut_status status;

	client_table_init(&table, columns, sizeof columns / sizeof columns[0]);
	json_array_foreach(json_object_get(event, "runs"), index, one)
	{
		const char *run_status = client_json_text(one, "status", "");
		bool again = json_is_true(json_object_get(one, "replayed"));

		client_table_add(&table, CLIENT_PLAIN, aut_json_string(one, "id"));
		client_table_add(&table, client_status_colour(run_status), run_status);
		client_table_add(&table, CLIENT_DIM, again ? "replay" : "event");
	}
	status = print_part(c, "\n", &table, err);
	client_table_done(&table);
	return status;
}

/* The path of an event, from what was typed. */
static aut_status
event_path(const char *id, const char *end, char **out, aut_error *err)
{
	aut_uuid parsed;

	if (!aut_uuid_parse(id, strlen(id), &parsed))
		return aut_fail(err, AUT_EINVAL,
						"'%.80s' is not the id of an event; `automation events` lists them", id);
	*out = client_path("/v1/events/", id, end);
	return *out != NULL ? AUT_OK : no_memory(err);
}

static aut_status
show(client *c, aut_error *err)
{
	json_t *event = NULL;
	char *path = NULL;
	const json_t *payload;
	aut_status status = event_path(c->args->second, "", &path, err);

	if (status == AUT_OK)
		status = client_get(c, path, &event, err);

	if (status == AUT_OK && c->args->json)
		status = client_print_json(c, event, err);
	else if (status == AUT_OK)
	{
		status = print_head(event, err);
		if (status == AUT_OK)
			status = print_verdicts(c, event, err);
		if (status == AUT_OK)
			status = print_runs(c, event, err);
		payload = json_object_get(event, "payload");
		if (status == AUT_OK && payload != NULL && !json_is_null(payload))
		{
			status = client_write("\n", 1, err);
			if (status == AUT_OK)
				status = client_print_json(c, payload, err);
		}
	}
	json_decref(event);
	aut_free(path);
	return status;
}

aut_status
client_cmd_events(client *c, aut_error *err)
{
	const char *verb = c->args->operand;

	if (verb == NULL || (strcmp(verb, "list") == 0 && c->args->second == NULL))
		return list(c, err);
	if (strcmp(verb, "show") == 0 && c->args->second != NULL)
		return show(c, err);
	return client_usage(c, err, "expected: automation events, or automation events show ID");
}

/* ---- replay ------------------------------------------------------------------------------------ */

aut_status
client_cmd_replay(client *c, aut_error *err)
{
	json_t *reply = NULL;
	char *path = NULL;
	size_t index;
	json_t *run;
	aut_buf text;
	aut_status status = event_path(c->args->operand, "/replay", &path, err);

	aut_buf_init(&text, CLIENT_REPLY_MAX);
	if (status == AUT_OK)
		status = client_request(c, "POST", path, NULL, NULL, 0, &reply, err);
	if (status == AUT_OK && c->args->json)
		status = client_print_json(c, reply, err);
	else if (status == AUT_OK)
	{
		/* the ids of runs alone on stdout, as `run` prints them */
		json_array_foreach(json_object_get(reply, "runs_created"), index, run)
		{
			const char *id = json_is_string(run) ? json_string_value(run) : "?";

			(void) client_escape(id, strlen(id), &text);
			(void) aut_buf_putc(&text, '\n');
		}
		(void) fprintf(stderr,
					   "matched %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " asked\n",
					   json_integer_value(json_object_get(reply, "matched")),
					   json_integer_value(json_object_get(reply, "considered")));
		status = text.status == AUT_OK ? client_write(text.data, text.len, err) : no_memory(err);
	}
	aut_buf_done(&text);
	json_decref(reply);
	aut_free(path);
	return status;
}

/* ---- trying a filter ---------------------------------------------------------------------------- */

static aut_status
print_tried(client *c, const json_t *reply, aut_error *err)
{
	static const client_column columns[] = {{"EVENT", false, false},    {"SOURCE", false, false},
											{"KEY", false, true},       {"PASSES", false, false},
											{"RECEIVED", false, false}, {"WHY", false, false}};
	client_table table;
	size_t index;
	json_t *one;
	aut_status status;

	client_table_init(&table, columns, sizeof columns / sizeof columns[0]);
	json_array_foreach(json_object_get(reply, "events"), index, one)
	{
		bool passes = json_is_true(json_object_get(one, "matched"));
		char when[CLIENT_TEXT_MAX];

		client_table_add(&table, CLIENT_PLAIN, aut_json_string(one, "id"));
		client_table_add(&table, CLIENT_PLAIN, aut_json_string(one, "source"));
		client_table_add(&table, CLIENT_PLAIN, aut_json_string(one, "event_key"));
		client_table_add(&table, passes ? CLIENT_GREEN : CLIENT_DIM, passes ? "yes" : "no");
		client_table_add(&table, CLIENT_DIM,
						 client_when(c, client_json_time(one, "received_at"), when));
		client_table_add(&table, CLIENT_PLAIN, aut_json_string(one, "why"));
	}
	status = print_part(c, "", &table, err);
	if (status == AUT_OK)
		(void) fprintf(stderr,
					   "%" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " would pass%s\n",
					   json_integer_value(json_object_get(reply, "matched")),
					   json_integer_value(json_object_get(reply, "considered")),
					   json_is_true(json_object_get(reply, "truncated"))
						   ? "; older ones were too large to look at"
						   : "");
	client_table_done(&table);
	return status;
}

aut_status
client_cmd_test_filter(client *c, aut_error *err)
{
	const client_args *a = c->args;
	json_t *body = json_pack("{s:s}", "filter", a->operand);
	json_t *reply = NULL;
	bool ok = body != NULL;
	aut_status status = AUT_OK;

	if (a->source != NULL)
		ok = ok && aut_json_set(body, "source", json_string(a->source));
	if (a->patterns != NULL)
		ok = ok && aut_json_set(body, "on", patterns_json(a->patterns));
	if (a->count > 0)
		ok = ok && aut_json_set(body, "limit", json_integer(a->count));
	if (!ok)
		status = aut_fail(err, AUT_EINVAL, "an argument is not valid UTF-8");
	if (status == AUT_OK)
		status = client_send(c, "POST", "/v1/events/test-filter", body, &reply, err);
	if (status == AUT_OK)
		status = a->json ? client_print_json(c, reply, err) : print_tried(c, reply, err);
	json_decref(body);
	json_decref(reply);
	return status;
}
