/* SPDX-License-Identifier: MIT */
/*
 * standalone/agent_query.c - the embedded agent's routes under /api/bash: what a request must look like,
 * and what it is answered.  Processes are in agent_run.c, events in agent_events.c.
 *
 * The checks and their 422 texts are those the agent server gives (recorded traffic), one entry per
 * answer.  Search with command_id__eq walks that command's outputs only, newest or oldest first; without
 * it, all events from one end.
 */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "standalone/agent_internal.h"

#define PAGE_MAX 100

/* ---- start and execute ------------------------------------------------------------------------------- */

typedef struct start_body
{
	json_t *json; /* owns the texts */
	const char *command;
	size_t command_len;
	const char *cwd;
	int64_t timeout_s;
} start_body;

/* Integers, whole floats and texts that are integers, as the agent server's checker takes them. */
static bool
read_timeout(agentd_request *request, json_t *value, int64_t *out)
{
	const char *type = "int_type";
	const char *message = "Input should be a valid integer";
	double number;

	if (json_is_integer(value))
	{
		*out = json_integer_value(value);
		return true;
	}
	if (json_is_real(value))
	{
		number = json_real_value(value);
		if (floor(number) == number && fabs(number) < 9e15)
		{
			*out = (int64_t) number;
			return true;
		}
		type = "int_from_float";
		message = "Input should be a valid integer, got a number with a fractional part";
	}
	else if (json_is_string(value))
	{
		if (aut_int_parse(json_string_value(value), INT64_MIN, INT64_MAX, out))
		{
			return true;
		}
		type = "int_parsing";
		message = "Input should be a valid integer, unable to parse string as an integer";
	}
	agentd_reply_invalid(request, type, "body", "timeout", message, json_incref(value), NULL);
	return false;
}

/* false: it was answered. */
static bool
read_fields(agentd_request *request, start_body *out)
{
	json_t *command = json_object_get(out->json, "command");
	json_t *cwd = json_object_get(out->json, "cwd");
	json_t *timeout = json_object_get(out->json, "timeout");
	bool ok = false;

	if (command == NULL)
	{
		agentd_reply_invalid(request, "missing", "body", "command", "Field required",
							 json_incref(out->json), NULL);
	}
	else if (!json_is_string(command))
	{
		agentd_reply_invalid(request, "string_type", "body", "command",
							 "Input should be a valid string", json_incref(command), NULL);
	}
	else if (cwd != NULL && !json_is_null(cwd) && !json_is_string(cwd))
	{
		agentd_reply_invalid(request, "string_type", "body", "cwd",
							 "Input should be a valid string", json_incref(cwd), NULL);
	}
	else
	{
		out->command = json_string_value(command);
		out->command_len = json_string_length(command);
		out->cwd = json_string_value(cwd); /* NULL when null or absent */
		out->timeout_s = 300;
		ok = timeout == NULL || read_timeout(request, timeout, &out->timeout_s);
	}
	return ok;
}

static bool
is_json(const char *content_type)
{
	static const char wanted[] = "application/json";

	return content_type != NULL && strncasecmp(content_type, wanted, sizeof wanted - 1) == 0 &&
		   strchr("; \t", content_type[sizeof wanted - 1]) != NULL;
}

/* Read and check; false: it was answered.  The caller releases out->json in both cases. */
static bool
read_body(agentd_request *request, start_body *out)
{
	size_t len = 0;
	const char *text = aut_exchange_body(request->exchange, &len);
	json_error_t problem;
	bool ok = false;

	memset(out, 0, sizeof *out);
	if (!is_json(aut_exchange_header(request->exchange, "Content-Type")))
	{
		agentd_reply_failure(request, "Object of type bytes is not JSON serializable");
		return false;
	}
	/* not aut_json_parse: a command may hold NUL, which is answered by its output */
	out->json = json_loadb(text, len, JSON_ALLOW_NUL, &problem);
	if (out->json == NULL)
	{
		agentd_reply_invalid(request, "json_invalid", "body", NULL, "JSON decode error",
							 json_object(), json_pack("{s:s}", "error", "Expecting value"));
	}
	else if (!json_is_object(out->json))
	{
		agentd_reply_invalid(request, "model_attributes_type", "body", NULL,
							 "Input should be a valid dictionary or object to extract fields from",
							 json_incref(out->json), NULL);
	}
	else
	{
		ok = read_fields(request, out);
	}
	return ok;
}

static agentd_command *
new_command(agentd_request *request, const start_body *body)
{
	agentd *agent = request->agent;
	agentd_command *command = NULL;

	if (agent->store.running >= AGENTD_RUNNING_MAX)
	{
		agentd_reply_detail(request, 429, "Too many commands are running");
		return NULL;
	}
	command =
		agentd_command_new(agent, body->command, body->command_len, body->cwd, body->timeout_s);
	if (command == NULL)
	{
		agentd_reply_failure(request, "500: out of memory");
	}
	return command;
}

static void
start_command(agentd_command *command)
{
	if (command->agent->stub != NULL)
	{
		agentd_stub_start(command->agent->stub, command);
	}
	else
	{
		agentd_command_start(command);
	}
}

void
agentd_route_start(agentd_request *request)
{
	start_body body;
	agentd_command *command = NULL;

	if (read_body(request, &body))
	{
		command = new_command(request, &body);
	}
	if (command != NULL)
	{
		/* the answer comes before the process exists, as with the agent server */
		agentd_reply_json(request, 200, agentd_event_json(command->event));
		start_command(command);
	}
	json_decref(body.json);
}

void
agentd_route_execute(agentd_request *request)
{
	start_body body;
	agentd_command *command = NULL;

	if (read_body(request, &body))
	{
		command = new_command(request, &body);
	}
	if (command != NULL)
	{
		if (!agentd_command_wait(command, request, true))
		{
			agentd_reply_failure(request, "500: out of memory");
		}
		start_command(command);
	}
	json_decref(body.json);
}

/* ---- ids ----------------------------------------------------------------------------------------------- */

/* An id of either form as 32 hex digits.  false: it was answered. */
static bool
read_id(agentd_request *request, const char *place, const char *name, const char *text,
		char out[AGENTD_ID_MAX])
{
	aut_uuid uuid;
	char problem[64] = "invalid length";
	char message[160];
	size_t at = strspn(text, "0123456789abcdefABCDEF-");

	if (aut_uuid_parse(text, strlen(text), &uuid))
	{
		aut_hex(uuid.bytes, sizeof uuid.bytes, out);
		return true;
	}
	if (text[at] != '\0')
	{
		char shown[8] = "?";

		if (isprint((unsigned char) text[at]))
		{
			shown[0] = text[at];
		}
		(void) snprintf(problem, sizeof problem, "invalid character: found `%s` at %zu", shown, at);
	}
	(void) snprintf(message, sizeof message, "Input should be a valid UUID, %s", problem);
	agentd_reply_invalid(request, "uuid_parsing", place, name, message, json_string(text),
						 json_pack("{s:s}", "error", problem));
	return false;
}

/* ---- stop and single events -------------------------------------------------------------------------------- */

void
agentd_route_stop(agentd_request *request)
{
	char id[AGENTD_ID_MAX];
	agentd_event *event;
	agentd_command *command;

	if (!read_id(request, "path", "command_id", request->segment, id))
	{
		return;
	}
	event = agentd_event_find(&request->agent->store, id);
	if (event == NULL)
	{
		agentd_reply_detail(request, 404, "Not Found");
		return;
	}
	command = event->command;
	if (event->is_output || command->ended || command->exited || command->process == NULL)
	{
		/* the agent server says so too: known, and nothing to stop */
		agentd_reply_json(request, 200, json_pack("{s:b}", "success", 1));
		return;
	}
	if (!agentd_command_wait(command, request, false))
	{
		agentd_reply_failure(request, "500: out of memory");
	}
	agentd_command_stop(command);
}

void
agentd_route_event(agentd_request *request)
{
	const agentd_event *event = agentd_event_find(&request->agent->store, request->segment);

	if (event != NULL)
	{
		agentd_reply_json(request, 200, agentd_event_json(event));
	}
	else
	{
		agentd_reply_detail(request, 404, "Not Found");
	}
}

/* ---- search ------------------------------------------------------------------------------------------------- */

typedef enum wanted_kind
{
	WANT_ALL,
	WANT_COMMANDS,
	WANT_OUTPUTS
} wanted_kind;

typedef struct search_query
{
	wanted_kind kind;
	bool by_command;
	char command_id[AGENTD_ID_MAX];
	int64_t from_us;   /* inclusive */
	int64_t before_us; /* exclusive */
	int64_t after_order;
	bool newest_first;
	int64_t limit;
	const agentd_event *page; /* first item of the page, or NULL */
} search_query;

static bool
read_kind(agentd_request *request, search_query *query)
{
	const char *kind = aut_exchange_query(request->exchange, "kind__eq");
	bool ok = true;

	if (kind == NULL)
	{
		query->kind = WANT_ALL;
	}
	else if (strcmp(kind, "BashCommand") == 0)
	{
		query->kind = WANT_COMMANDS;
	}
	else if (strcmp(kind, "BashOutput") == 0)
	{
		query->kind = WANT_OUTPUTS;
	}
	else
	{
		agentd_reply_invalid(request, "literal_error", "query", "kind__eq",
							 "Input should be 'BashCommand' or 'BashOutput'", json_string(kind),
							 json_pack("{s:s}", "expected", "'BashCommand' or 'BashOutput'"));
		ok = false;
	}
	return ok;
}

static bool
read_sort(agentd_request *request, search_query *query)
{
	const char *sort = aut_exchange_query(request->exchange, "sort_order");
	bool ok = true;

	query->newest_first = sort != NULL && strcmp(sort, "TIMESTAMP_DESC") == 0;
	if (sort != NULL && !query->newest_first && strcmp(sort, "TIMESTAMP") != 0)
	{
		agentd_reply_invalid(request, "enum", "query", "sort_order",
							 "Input should be 'TIMESTAMP' or 'TIMESTAMP_DESC'", json_string(sort),
							 json_pack("{s:s}", "expected", "'TIMESTAMP' or 'TIMESTAMP_DESC'"));
		ok = false;
	}
	return ok;
}

static bool
read_time(agentd_request *request, const char *name, int64_t *out)
{
	const char *text = aut_exchange_query(request->exchange, name);
	aut_error err = AUT_ERROR_INIT;
	bool ok = true;

	if (text != NULL && aut_time_parse(text, out, &err) != AUT_OK)
	{
		agentd_reply_invalid(request, "datetime_from_date_parsing", "query", name,
							 "Input should be a valid datetime or date", json_string(text),
							 json_pack("{s:s}", "error", err.message));
		ok = false;
	}
	return ok;
}

static bool
read_integer(agentd_request *request, const char *name, int64_t *out)
{
	const char *text = aut_exchange_query(request->exchange, name);
	bool ok = true;

	if (text != NULL && !aut_int_parse(text, INT64_MIN, INT64_MAX, out))
	{
		agentd_reply_invalid(
			request, "int_parsing", "query", name,
			"Input should be a valid integer, unable to parse string as an integer",
			json_string(text), NULL);
		ok = false;
	}
	return ok;
}

static bool
read_limit(agentd_request *request, search_query *query)
{
	const char *text = aut_exchange_query(request->exchange, "limit");
	bool ok;

	query->limit = PAGE_MAX;
	ok = read_integer(request, "limit", &query->limit);
	if (ok && query->limit <= 0)
	{
		agentd_reply_invalid(request, "greater_than", "query", "limit",
							 "Input should be greater than 0", json_string(text),
							 json_pack("{s:i}", "gt", 0));
		ok = false;
	}
	else if (ok && query->limit > PAGE_MAX)
	{
		agentd_reply_invalid(request, "less_than_equal", "query", "limit",
							 "Input should be less than or equal to 100", json_string(text),
							 json_pack("{s:i}", "le", PAGE_MAX));
		ok = false;
	}
	return ok;
}

/* false: it was answered. */
static bool
read_query(agentd_request *request, search_query *query)
{
	const char *command_id = aut_exchange_query(request->exchange, "command_id__eq");
	const char *page_id = aut_exchange_query(request->exchange, "page_id");
	size_t len = page_id != NULL ? strlen(page_id) : 0;

	memset(query, 0, sizeof *query);
	query->from_us = INT64_MIN;
	query->before_us = INT64_MAX;
	query->after_order = INT64_MIN;
	query->by_command = command_id != NULL;
	if (!read_kind(request, query) || !read_sort(request, query) ||
		!read_time(request, "timestamp__gte", &query->from_us) ||
		!read_time(request, "timestamp__lt", &query->before_us) ||
		!read_integer(request, "order__gt", &query->after_order) || !read_limit(request, query) ||
		(command_id != NULL &&
		 !read_id(request, "query", "command_id__eq", command_id, query->command_id)))
	{
		return false;
	}
	if (len >= AGENTD_ID_MAX - 1)
	{
		/* an unknown one starts from the beginning, as the agent server does */
		query->page =
			agentd_event_find(&request->agent->store, page_id + len - (AGENTD_ID_MAX - 1));
	}
	return true;
}

static bool
matches(const search_query *query, const agentd_event *event)
{
	return event->time_us >= query->from_us && event->time_us < query->before_us &&
		   (!event->is_output || event->order > query->after_order) &&
		   (query->kind == WANT_ALL || (query->kind == WANT_OUTPUTS) == event->is_output);
}

/* A page being filled. */
typedef struct search_page
{
	const search_query *query;
	json_t *items;
	bool ok;
	const agentd_event *next; /* first item of the page after this */
} search_page;

/* Take an event; false: the page is complete. */
static bool
page_take(search_page *page, const agentd_event *event)
{
	const search_query *query = page->query;

	if (!matches(query, event))
	{
		return true;
	}
	if ((int64_t) json_array_size(page->items) == query->limit)
	{
		page->next = event;
		return false;
	}
	page->ok = json_array_append_new(page->items, agentd_event_json(event)) == 0;
	return page->ok;
}

static void
walk_command(search_page *page, const agentd_command *command)
{
	bool newest_first = page->query->newest_first;
	const agentd_event *event = newest_first ? command->last_output : command->first_output;

	if (page->query->page != NULL && page->query->page->command == command &&
		page->query->page->is_output)
	{
		event = page->query->page;
	}
	while (event != NULL && page_take(page, event))
	{
		event = newest_first ? event->prev_output : event->next_output;
	}
}

static void
walk_all(search_page *page, const agentd_store *store)
{
	const agentd_event *event = page->query->page;

	if (event == NULL)
	{
		event = page->query->newest_first ? store->newest : store->oldest;
	}
	while (event != NULL && page_take(page, event))
	{
		event = page->query->newest_first ? event->older : event->newer;
	}
}

void
agentd_route_search(agentd_request *request)
{
	const agentd_store *store = &request->agent->store;
	search_query query;
	search_page page = {0};
	json_t *answer = NULL;
	char *next_id = NULL;

	if (!read_query(request, &query))
	{
		return;
	}
	page.query = &query;
	page.items = json_array();
	page.ok = page.items != NULL;
	if (page.ok && query.by_command)
	{
		const agentd_event *event = agentd_event_find(store, query.command_id);

		if (event != NULL && !event->is_output)
		{
			walk_command(&page, event->command);
		}
	}
	else if (page.ok)
	{
		walk_all(&page, store);
	}
	if (page.next != NULL)
	{
		next_id = agentd_event_page_id(page.next);
		page.ok = page.ok && next_id != NULL;
	}
	if (page.ok)
	{
		answer = json_pack("{s:O, s:s?}", "items", page.items, "next_page_id", next_id);
	}
	agentd_reply_json(request, 200, answer);
	json_decref(page.items);
	aut_free(next_id);
}
