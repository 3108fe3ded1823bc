/* SPDX-License-Identifier: MIT */
/*
 * standalone/client_runs.c - runs by id; run, runs, logs, cancel.
 *
 * A run's id begins with its time, so short beginnings of neighbours are alike: a terminal's table
 * shows as many digits as tell its rows apart, and commands take any beginning of 8 or more digits
 * that only one of the newest runs has.
 */
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "standalone/client_priv.h"

#define PAGE          100
#define PAGES_MAX     10
#define DIGITS_MIN    8
#define DEFAULT_COUNT 20
#define SHORT_ID      13 /* both groups of the time */

/* ---- ids ------------------------------------------------------------------------------------------------ */

/* The hex digits of a (beginning of a) run id, or 0 when it is something else. */
static size_t
id_digits(const char *text, char out[33])
{
	size_t count = 0;

	for (; *text != '\0'; text++)
	{
		if (*text == '-')
			continue;
		if (!isxdigit((unsigned char) *text) || count == 32)
			return 0;
		out[count++] = (char) tolower((unsigned char) *text);
	}
	out[count] = '\0';
	return count;
}

static bool
looks_like_id(const char *text)
{
	char digits[33];

	return id_digits(text, digits) >= DIGITS_MIN;
}

static bool
begins_with(const json_t *run, const char *digits, size_t count)
{
	char its[33];
	const char *id = aut_json_string(run, "id");

	return id != NULL && id_digits(id, its) >= count && memcmp(its, digits, count) == 0;
}

static aut_status
find_by_beginning(client *c, const char *digits, size_t count, json_t **out, aut_error *err)
{
	json_t *found = NULL;
	bool several = false;
	bool more = true;
	aut_status status = AUT_OK;

	for (int page = 0; page < PAGES_MAX && more; page++)
	{
		char path[64];
		json_t *reply = NULL;
		const json_t *list;

		(void) snprintf(path, sizeof path, "/v1/all-runs?limit=%d&offset=%d", PAGE, page * PAGE);
		status = client_get(c, path, &reply, err);
		if (status != AUT_OK)
			break;
		list = json_object_get(reply, "runs");
		for (size_t i = 0; i < json_array_size(list); i++)
		{
			json_t *run = json_array_get(list, i);

			if (!begins_with(run, digits, count))
				continue;
			several = several || found != NULL;
			if (found == NULL)
				found = json_incref(run);
		}
		more = !several && json_array_size(list) == PAGE;
		json_decref(reply);
	}
	if (status == AUT_OK && several)
		status = aut_fail(err, AUT_EINVAL, "several runs begin with %s; give more digits of the id",
						  digits);
	else if (status == AUT_OK && found == NULL)
		status = aut_fail(err, AUT_ENOTFOUND, "no run among the newest %d begins with %s",
						  PAGE * PAGES_MAX, digits);
	else if (status == AUT_OK)
		*out = json_incref(found);
	json_decref(found);
	return status;
}

aut_status
client_find_run(client *c, const char *id, json_t **out, aut_error *err)
{
	char digits[33], text[AUT_UUID_TEXT_MAX];
	aut_uuid uuid;
	size_t count = id_digits(id, digits);
	aut_status status;
	char *path;

	if (count < DIGITS_MIN)
		return aut_fail(err, AUT_ENOTFOUND,
						"%.100s is no run: give the id, or at least its first %d digits", id,
						DIGITS_MIN);
	if (!aut_uuid_parse(id, strlen(id), &uuid))
		return find_by_beginning(c, digits, count, out, err);
	path = client_path("/v1/runs/", aut_uuid_format(&uuid, text), "");
	if (path == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	status = client_get(c, path, out, err);
	aut_free(path);
	return status;
}

/* ---- runs ----------------------------------------------------------------------------------------------- */

/* Digits that tell the runs of a list apart, for a table on a terminal. */
static size_t
short_length(const json_t *list)
{
	size_t len = SHORT_ID;

	for (size_t i = 1; i < json_array_size(list); i++)
	{
		/* newest first by id: neighbours are the ones most alike */
		const char *a = client_json_text(json_array_get(list, i - 1), "id", "");
		const char *b = client_json_text(json_array_get(list, i), "id", "");

		while (len < 36 && strncmp(a, b, len) == 0 && strcmp(a, b) != 0)
			len++;
	}
	return len;
}

/* The first line says what happened; `show` has what the program printed last, too. */
static void
add_detail(client_table *table, const char *detail)
{
	char *line = detail != NULL ? aut_strndup(detail, strcspn(detail, "\r\n")) : NULL;

	if (detail != NULL && line == NULL)
		table->status = AUT_ENOMEM;
	client_table_add(table, CLIENT_PLAIN, line);
	aut_free(line);
}

static void
add_run(const client *c, client_table *table, const json_t *run, const char *name, size_t id_len)
{
	const char *status = client_json_text(run, "status", "?");
	int64_t started = client_json_time(run, "started_at");
	int64_t ended = client_json_time(run, "completed_at");
	const json_t *code = json_object_get(run, "exit_code");
	char id[40], text[CLIENT_TEXT_MAX], number[24];

	(void) snprintf(id, sizeof id, "%.*s", (int) id_len, client_json_text(run, "id", "?"));
	client_table_add(table, CLIENT_PLAIN, id);
	client_table_add(table, CLIENT_PLAIN, client_json_text(run, "automation_name", name));
	client_table_add(table, client_status_colour(status), status);
	client_table_add(table, CLIENT_PLAIN, aut_json_string(run, "trigger_source"));
	client_table_add(table, CLIENT_PLAIN,
					 client_when(c, client_json_time(run, "created_at"), text));
	if (started == AUT_TIME_NONE)
		client_table_add(table, CLIENT_PLAIN, NULL);
	else
		client_table_add(
			table, CLIENT_PLAIN,
			client_duration((ended != AUT_TIME_NONE ? ended : aut_now_us(c->clock)) - started,
							text));
	(void) snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(code));
	client_table_add(table, CLIENT_PLAIN, json_is_integer(code) ? number : NULL);
	add_detail(table,
			   client_json_text(run, "error_detail",
								strcmp(status, "RUNNING") == 0 || strcmp(status, "PENDING") == 0
									? aut_json_string(run, "current_phase")
									: NULL));
}

/* The newest `count` runs of one automation (path "/v1/<id>/runs") or of all, as one list. */
static aut_status
get_runs(client *c, const char *base, int64_t count, json_t **out, aut_error *err)
{
	json_t *all = NULL;

	for (int64_t offset = 0; offset < count; offset += PAGE)
	{
		int64_t limit = count - offset < PAGE ? count - offset : PAGE;
		char *path = aut_printf("%s?limit=%" PRId64 "&offset=%" PRId64, base, limit, offset);
		json_t *reply = NULL;
		json_t *list;
		size_t got;
		aut_status status = path != NULL ? client_get(c, path, &reply, err)
										 : aut_fail(err, AUT_ENOMEM, "out of memory");

		aut_free(path);
		if (status != AUT_OK)
		{
			json_decref(all);
			return status;
		}
		list = json_object_get(reply, "runs");
		got = json_array_size(list);
		if (all == NULL)
			all = json_incref(reply);
		else if (json_array_extend(json_object_get(all, "runs"), list) != 0)
		{
			json_decref(reply);
			json_decref(all);
			return aut_fail(err, AUT_ENOMEM, "out of memory");
		}
		json_decref(reply);
		if (got < (size_t) limit)
			break;
	}
	*out = all;
	return AUT_OK;
}

static aut_status
print_runs(client *c, const json_t *list, const char *name, aut_error *err)
{
	static const client_column columns[] = {
		{"RUN", false, false},     {"AUTOMATION", false, false}, {"STATUS", false, false},
		{"TRIGGER", false, false}, {"CREATED", false, false},    {"TOOK", true, false},
		{"EXIT", true, false},     {"DETAIL", false, true},
	};
	size_t id_len = c->out_terminal ? short_length(list) : 36;
	client_table table;
	aut_status status;

	client_table_init(&table, columns, sizeof columns / sizeof columns[0]);
	for (size_t i = 0; i < json_array_size(list); i++)
		add_run(c, &table, json_array_get(list, i), name, id_len);
	status = client_table_print(c, &table, err);
	client_table_done(&table);
	return status;
}

aut_status
client_cmd_runs(client *c, aut_error *err)
{
	int64_t count = c->args->count > 0 ? c->args->count : DEFAULT_COUNT;
	json_t *automation = NULL;
	json_t *reply = NULL;
	char *path = NULL;
	const json_t *list;
	aut_status status = AUT_OK;

	if (c->args->operand != NULL)
		status = client_find_automation(c, c->args->operand, &automation, err);
	if (status != AUT_OK)
		goto out;
	path = automation != NULL ? client_path("/v1/", client_json_text(automation, "id", ""), "/runs")
							  : aut_strdup("/v1/all-runs");
	status = path != NULL ? get_runs(c, path, count, &reply, err)
						  : aut_fail(err, AUT_ENOMEM, "out of memory");
	if (status != AUT_OK)
		goto out;
	list = json_object_get(reply, "runs");
	if (c->args->json)
		status = client_print_json(c, reply, err);
	else if (json_array_size(list) == 0)
		(void) fprintf(stderr, "no runs yet\n");
	else
		status = print_runs(c, list, client_json_text(automation, "name", "-"), err);
out:
	aut_free(path);
	json_decref(reply);
	json_decref(automation);
	return status;
}

/* ---- run -------------------------------------------------------------------------------------------------- */

static aut_status
read_input(client *c, json_t **out, aut_error *err)
{
	const char *input = c->args->input;
	aut_buf text;
	aut_status status;

	if (input == NULL)
		return AUT_OK;
	aut_buf_init(&text, 1048576);
	if (*input == '@')
		status = client_read_file(input + 1, 1048576, &text, err);
	else
	{
		status = aut_buf_puts(&text, input);
		if (status != AUT_OK)
			(void) aut_fail(err, status, "it is larger than 1 MiB");
	}
	if (status == AUT_OK)
		status = aut_json_parse(text.data != NULL ? text.data : "", text.len, out, err);
	if (status != AUT_OK)
	{
		(void) aut_error_context(err, "--input");
		c->exit_code = status == AUT_EBADREQ ? AUT_COMMAND_USAGE : 0;
	}
	aut_buf_done(&text);
	return status;
}

static json_t *
trigger_body(const client_args *a, json_t *input)
{
	json_t *body = json_object();
	bool ok = body != NULL;

	if (ok && input != NULL)
		ok = json_object_set(body, "input", input) == 0;
	if (ok && a->delay >= 0)
		ok = aut_json_set(body, "delay", json_integer(a->delay));
	if (ok)
		return body;
	json_decref(body);
	return NULL;
}

/* One line with an id that others may have written. */
static aut_status
print_id(const char *id, aut_error *err)
{
	aut_status status;
	aut_buf line;

	aut_buf_init(&line, 1024);
	(void) client_escape(id, strlen(id), &line);
	(void) aut_buf_putc(&line, '\n');
	status = line.status == AUT_OK ? client_write(line.data, line.len, err)
								   : aut_fail(err, line.status, "the answer's id is too long");
	aut_buf_done(&line);
	return status;
}

aut_status
client_cmd_run(client *c, aut_error *err)
{
	json_t *automation = NULL;
	json_t *input = NULL;
	json_t *body = NULL;
	json_t *run = NULL;
	char *path = NULL;
	const char *id;
	aut_status status = read_input(c, &input, err);

	if (status == AUT_OK)
		status = client_find_automation(c, c->args->operand, &automation, err);
	if (status != AUT_OK)
		goto out;
	path = client_path("/v1/", client_json_text(automation, "id", ""), "/trigger");
	body = trigger_body(c->args, input);
	if (path == NULL || body == NULL)
	{
		status = aut_fail(err, AUT_ENOMEM, "out of memory");
		goto out;
	}
	status = client_send(c, "POST", path, body, &run, err);
	if (status != AUT_OK)
		goto out;
	id = client_json_text(run, "id", "");
	if (c->args->follow)
		status = client_follow(c, id, err);
	else if (c->args->json)
		status = client_print_json(c, run, err);
	else
		status = print_id(id, err);
out:
	aut_free(path);
	json_decref(body);
	json_decref(run);
	json_decref(input);
	json_decref(automation);
	return status;
}

/* ---- logs --------------------------------------------------------------------------------------------------- */

static aut_status
newest_run(client *c, const char *name, json_t **out, aut_error *err)
{
	json_t *automation = NULL;
	json_t *reply = NULL;
	json_t *first;
	char *path = NULL;
	aut_status status = client_find_automation(c, name, &automation, err);

	if (status != AUT_OK)
		return status;
	path = client_path("/v1/", client_json_text(automation, "id", ""), "/runs");
	status = path != NULL ? get_runs(c, path, 1, &reply, err)
						  : aut_fail(err, AUT_ENOMEM, "out of memory");
	first = json_array_get(json_object_get(reply, "runs"), 0);
	if (status == AUT_OK && first == NULL)
		status = aut_fail(err, AUT_ENOTFOUND,
						  "%.200s has not run yet; start it with: automation run", name);
	if (status == AUT_OK)
		*out = json_incref(first);
	aut_free(path);
	json_decref(reply);
	json_decref(automation);
	return status;
}

/* A run id if it can be one and there is such a run, else the newest run of an automation. */
static aut_status
find_logged(client *c, const char *what, json_t **out, aut_error *err)
{
	aut_error other = AUT_ERROR_INIT;
	aut_status status;

	if (looks_like_id(what))
	{
		status = client_find_run(c, what, out, err);
		if (status != AUT_ENOTFOUND)
			return status;
		aut_buf_clear(&c->story);
		status = newest_run(c, what, out, &other);
		if (status != AUT_ENOTFOUND)
		{
			if (err != NULL)
				*err = other;
			return status;
		}
		return aut_fail(err, AUT_ENOTFOUND, "there is no run %.60s, and no automation of that name",
						what);
	}
	return newest_run(c, what, out, err);
}

/* What is there now, page by page. */
static aut_status
print_logs(client *c, const char *id, aut_error *err)
{
	client_filter filter = {.pending_len = 0};
	bool raw = c->args->raw || !c->out_terminal;
	int64_t after = 0;
	bool more = true;
	aut_status status = AUT_OK;
	aut_buf out;

	aut_buf_init(&out, (size_t) CLIENT_REPLY_MAX * 6);
	while (status == AUT_OK && more)
	{
		char extra[64];
		char *path;
		json_t *page = NULL;
		const char *data;
		int64_t next;

		(void) snprintf(extra, sizeof extra, "/logs?after=%" PRId64, after);
		path = client_path("/v1/runs/", id, extra);
		status = path != NULL ? client_get(c, path, &page, err)
							  : aut_fail(err, AUT_ENOMEM, "out of memory");
		aut_free(path);
		if (status != AUT_OK)
			break;
		if (after == 0 && json_is_true(json_object_get(page, "truncated")) && !c->args->json)
			(void) fprintf(stderr, "(the run wrote more than is kept: this is the newest part)\n");
		data = client_json_text(page, "data", "");
		next = json_integer_value(json_object_get(page, "next"));
		more = next > after && next < json_integer_value(json_object_get(page, "total"));
		after = next;
		aut_buf_clear(&out);
		if (c->args->json)
			status = client_print_json(c, page, err);
		else if (raw)
			status = client_write(data, strlen(data), err);
		else if (client_filter_put(&filter, data, strlen(data), &out) == AUT_OK)
			status = client_write(out.data, out.len, err);
		else
			status = aut_fail(err, out.status, "the output is too large to print");
		json_decref(page);
	}
	aut_buf_clear(&out);
	if (client_filter_end(&filter, &out) == AUT_OK && status == AUT_OK && out.len > 0)
		status = client_write(out.data, out.len, err);
	aut_buf_done(&out);
	return status;
}

aut_status
client_cmd_logs(client *c, aut_error *err)
{
	json_t *run = NULL;
	aut_status status = find_logged(c, c->args->operand, &run, err);
	const char *id;

	if (status != AUT_OK)
		return status;
	id = client_json_text(run, "id", "");
	status = c->args->follow ? client_follow(c, id, err) : print_logs(c, id, err);
	json_decref(run);
	return status;
}

/* ---- cancel ---------------------------------------------------------------------------------------------------- */

aut_status
client_cmd_cancel(client *c, aut_error *err)
{
	json_t *run = NULL;
	json_t *reply = NULL;
	char *path = NULL;
	aut_status status = client_find_run(c, c->args->operand, &run, err);

	if (status != AUT_OK)
		return status;
	path = client_path("/v1/runs/", client_json_text(run, "id", ""), "/cancel");
	status = path != NULL ? client_request(c, "POST", path, NULL, NULL, 0, &reply, err)
						  : aut_fail(err, AUT_ENOMEM, "out of memory");
	if (status == AUT_OK && c->args->json)
		status = client_print_json(c, reply, err);
	else if (status == AUT_OK)
		(void) fprintf(stderr, "cancelled\n");
	aut_free(path);
	json_decref(reply);
	json_decref(run);
	return status;
}
