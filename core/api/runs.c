/* SPDX-License-Identifier: MIT */
/*
 * core/api/runs.c - routes that concern runs: dispatch, trigger, lists, output, callback, cancel.
 *
 * Additions here are `trigger` (a manual run with input, dedupe key and delay), the newest runs of all
 * automations, one run by its id, and a run's output.
 */
#include <string.h>

#include "core/api/api_internal.h"

#define LOGS_LIMIT_DEFAULT 65536
#define DELAY_S_MAX        31536000
#define DEDUPE_KEY_MAX     255

aut_status
aut__api_dispatch(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return aut_service_trigger(&request->call, &request->id, NULL, &request->result, err);
}

/* ---- trigger --------------------------------------------------------------------------------- */

/* Text of the member `input`, any JSON value; null is none. */
static aut_status
trigger_input(aut_api_request *request, const json_t *value, aut_error *err)
{
	aut_status status;
	size_t len;
	char *text;

	if (json_is_null(value))
		return AUT_OK;
	text = aut_json_text(value, &len);
	if (text == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	status = aut__api_keep(request, text, &request->text[0], err);
	aut_free(text);
	return status;
}

static aut_status
trigger_dedupe_key(aut_api_request *request, const json_t *value, aut_error *err)
{
	const char *text = json_string_value(value);
	size_t len = json_string_length(value);

	if (json_is_null(value))
		return AUT_OK;
	if (text == NULL)
		return aut__api_problem(request, "string_type", "body", "dedupe_key",
								"Input should be a valid string", json_deep_copy(value), NULL, err);
	if (len == 0 || aut_utf8_length(text, len) > DEDUPE_KEY_MAX)
		return aut__api_problem(request, "value_error", "body", "dedupe_key",
								"Value error, dedupe_key must have 1 to 255 characters",
								json_deep_copy(value), NULL, err);
	return aut__api_keep(request, text, &request->text[1], err);
}

static aut_status
trigger_delay(aut_api_request *request, const json_t *value, aut_error *err)
{
	int64_t seconds = 0;
	bool ok = json_is_null(value) || json_is_integer(value);

	if (json_is_integer(value))
		seconds = json_integer_value(value);
	else if (json_is_string(value))
		ok = aut_int_parse(json_string_value(value), INT64_MIN, INT64_MAX, &seconds);
	if (!ok)
		return aut__api_problem(request, "int_type", "body", "delay",
								"Input should be a valid integer", json_deep_copy(value), NULL,
								err);
	if (seconds < 0 || seconds > DELAY_S_MAX)
		return aut__api_problem(request, "value_error", "body", "delay",
								"Value error, delay must be 0 to 31536000 seconds",
								json_deep_copy(value), NULL, err);
	request->delay_s = seconds;
	return AUT_OK;
}

aut_status
aut__api_trigger_begin(aut_api_request *request, aut_error *err)
{
	aut_status status = aut__api_read_body(request, true, err);
	const char *key;
	json_t *value;

	if (status != AUT_OK || request->body == NULL)
		return status;
	json_object_foreach(request->body, key, value)
	{
		if (strcmp(key, "input") == 0)
			status = trigger_input(request, value, err);
		else if (strcmp(key, "dedupe_key") == 0)
			status = trigger_dedupe_key(request, value, err);
		else if (strcmp(key, "delay") == 0)
			status = trigger_delay(request, value, err);
		else
			status = aut__api_problem(request, "extra_forbidden", "body", key,
									  "Extra inputs are not permitted", json_deep_copy(value), NULL,
									  err);
		if (status != AUT_OK)
			return status;
	}
	return AUT_OK;
}

aut_status
aut__api_trigger(aut_api_request *request, aut_db *db, aut_error *err)
{
	aut_trigger_options options = {request->text[0], request->text[1], request->delay_s};

	(void) db;
	return aut_service_trigger(&request->call, &request->id, &options, &request->result, err);
}

/* ---- lists and one --------------------------------------------------------------------------- */

aut_status
aut__api_run_list(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	if (request->cursor != NULL)
		return aut_service_run_list_from(&request->call, &request->id, request->limit,
										 request->cursor, &request->result, err);
	return aut_service_run_list(&request->call, &request->id, request->limit, request->offset,
								&request->result, err);
}

aut_status
aut__api_run_list_all(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	if (request->cursor != NULL)
		return aut_service_run_list_all_from(&request->call, request->limit, request->cursor,
											 &request->result, err);
	return aut_service_run_list_all(&request->call, request->limit, request->offset,
									&request->result, err);
}

aut_status
aut__api_run_get(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return aut_service_run_get(&request->call, &request->id, &request->result, err);
}

/* ---- callback, phase, cancel ----------------------------------------------------------------- */

aut_status
aut__api_run_complete(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return aut_service_run_complete(&request->call, &request->id, request->body, &request->result,
									err);
}

aut_status
aut__api_run_phase(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return aut_service_run_phase(&request->call, &request->id, request->body, &request->result,
								 err);
}

aut_status
aut__api_run_cancel(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return aut_service_run_cancel(&request->call, &request->id, &request->result, err);
}

/* ---- output ---------------------------------------------------------------------------------- */

aut_status
aut__api_logs_begin(aut_api_request *request, aut_error *err)
{
	const char *last = aut_exchange_header(request->exchange, "Last-Event-ID");
	aut_status status;

	/* what a browser's EventSource sends when it comes back; an explicit `after` wins */
	if (last == NULL || !aut_int_parse(last, 0, INT64_MAX, &request->after))
		request->after = 0;
	request->limit = LOGS_LIMIT_DEFAULT;
	status = aut__api_query_int(request, "after", 0, INT64_MAX, &request->after, err);
	if (status == AUT_OK)
		status = aut__api_query_int(request, "limit", 1, AUT_API_LOGS_MAX, &request->limit, err);
	if (status == AUT_OK)
		status = aut__api_query_bool(request, "follow", &request->flag, err);
	return status;
}

aut_status
aut__api_logs(aut_api_request *request, aut_db *db, aut_error *err)
{
	aut_status status;

	(void) db;
	status = aut_service_run_logs(&request->call, &request->id, request->after, request->limit,
								  &request->result, err);
	if (status == AUT_OK && request->flag)
		status = aut_service_run_get(&request->call, &request->id, &request->result2, err);
	return status;
}

void
aut__api_logs_answer(aut_api_request *request)
{
	if (request->flag)
	{
		aut__api_follow(request);
		return;
	}
	aut__api_reply_json(request->api, request->exchange, 200, request->result);
	request->result = NULL;
}
