/* SPDX-License-Identifier: MIT */
/*
 * core/api/input.c - reading a request's query and body into typed values, problems in the contract's
 * form.
 *
 * Problems are collected, not returned: a client sees all of them at once.  What these functions
 * return as errors is what makes going on pointless (no memory, a body that was cut).  Numbers in a
 * query are read laxly (blanks around, a sign, "5.0"), words strictly.
 */
#include <string.h>
#include <strings.h>

#include "core/api/api_internal.h"

/* Of a body that is not JSON, this much is shown back. */
#define INPUT_SHOWN_MAX 1000
#define MSG_MAX         100

/* ---- problems -------------------------------------------------------------------------------- */

aut_status
aut__api_problem(aut_api_request *request, const char *type, const char *where, const char *name,
				 const char *msg, json_t *take_input, json_t *take_ctx, aut_error *err)
{
	json_t *problem = json_object();
	json_t *loc = json_array();
	bool ok;

	if (request->problems == NULL)
		request->problems = json_array();
	ok = request->problems != NULL && problem != NULL && loc != NULL &&
		 json_array_append_new(loc, json_string(where)) == 0 &&
		 (name == NULL || json_array_append_new(loc, json_string(name)) == 0);
	ok = ok && aut_json_set(problem, "type", json_string(type)) &&
		 aut_json_set(problem, "loc", json_incref(loc)) &&
		 aut_json_set(problem, "msg", json_string(msg));
	ok =
		ok && json_object_set(problem, "input", take_input != NULL ? take_input : json_null()) == 0;
	ok = ok && (take_ctx == NULL || json_object_set(problem, "ctx", take_ctx) == 0);
	ok = ok && json_array_append(request->problems, problem) == 0;
	json_decref(loc);
	json_decref(problem);
	json_decref(take_input);
	json_decref(take_ctx);
	return ok ? AUT_OK : aut_fail(err, AUT_ENOMEM, "out of memory");
}

aut_status
aut__api_keep(aut_api_request *request, const char *text, const char **out, aut_error *err)
{
	char *copy = NULL;

	if (text != NULL)
	{
		copy = aut_arena_strndup(&request->arena, text, strlen(text));
		if (copy == NULL)
			return aut_fail(err, AUT_ENOMEM, "out of memory");
	}
	*out = copy;
	return AUT_OK;
}

/* ---- body ------------------------------------------------------------------------------------ */

/* application/json or application/<something>+json, parameters aside. */
static bool
json_content(const aut_exchange *exchange)
{
	static const char main_type[] = "application/";
	const char *type = aut_exchange_header(exchange, "Content-Type");
	size_t len;

	if (type == NULL)
		return false;
	type += strspn(type, " \t");
	len = strcspn(type, "; \t");
	if (len < sizeof main_type - 1 || strncasecmp(type, main_type, sizeof main_type - 1) != 0)
		return false;
	type += sizeof main_type - 1;
	len -= sizeof main_type - 1;
	if (len == 4 && strncasecmp(type, "json", 4) == 0)
		return true;
	return len > 5 && strncasecmp(type + len - 5, "+json", 5) == 0;
}

static aut_status
problem_not_object(aut_api_request *request, json_t *take_input, aut_error *err)
{
	return aut__api_problem(request, "model_attributes_type", "body", NULL,
							"Input should be a valid dictionary or object to extract fields from",
							take_input, NULL, err);
}

static aut_status
problem_not_json(aut_api_request *request, const char *body, size_t len, aut_error *err)
{
	aut_status status;
	aut_buf shown;
	json_t *input = NULL;

	aut_buf_init(&shown, INPUT_SHOWN_MAX * 4);
	if (len > INPUT_SHOWN_MAX)
		len = INPUT_SHOWN_MAX;
	status = aut_utf8_sanitize(&shown, body, len);
	if (status == AUT_OK)
		input = json_stringn(shown.data, shown.len);
	aut_buf_done(&shown);
	if (input == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	return problem_not_object(request, input, err);
}

/* loc is ["body", offset]: built by hand, as its second part is a number. */
static aut_status
problem_malformed(aut_api_request *request, const char *body, size_t len, const char *story,
				  aut_error *err)
{
	json_error_t where;
	json_t *again, *problem, *loc, *ctx = NULL;
	aut_status status;

	/* parse once more for the place; the depth check of the first time was the only other reason */
	memset(&where, 0, sizeof where);
	again = json_loadb(body, len, JSON_DECODE_ANY, &where);
	json_decref(again);
	ctx = json_object();
	if (!aut_json_set(ctx, "error", json_string(story)))
	{
		json_decref(ctx);
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	}
	status = aut__api_problem(request, "json_invalid", "body", NULL, "JSON decode error",
							  json_object(), ctx, err);
	if (status != AUT_OK)
		return status;
	problem = json_array_get(request->problems, json_array_size(request->problems) - 1);
	loc = json_object_get(problem, "loc");
	if (json_array_append_new(loc, json_integer(again == NULL ? where.position : 0)) != 0)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	return AUT_OK;
}

aut_status
aut__api_read_body(aut_api_request *request, bool optional, aut_error *err)
{
	aut_error story = AUT_ERROR_INIT;
	aut_status status;
	json_t *value = NULL;
	size_t len;
	const char *body = aut_exchange_body(request->exchange, &len);

	if (aut_exchange_body_too_long(request->exchange))
		return aut_fail(err, AUT_ELIMIT, "Request body is larger than %d bytes", AUT_API_BODY_MAX);
	if (len == 0)
	{
		if (optional)
			return AUT_OK;
		return aut__api_problem(request, "missing", "body", NULL, "Field required", NULL, NULL,
								err);
	}
	if (!json_content(request->exchange))
		return problem_not_json(request, body, len, err);
	status = aut_json_parse(body, len, &value, &story);
	if (status == AUT_ENOMEM)
		return aut_fail(err, AUT_ENOMEM, "%s", story.message);
	if (status != AUT_OK)
		return problem_malformed(request, body, len, story.message, err);
	if (!json_is_object(value))
		return problem_not_object(request, value, err);
	request->body = value;
	return AUT_OK;
}

/* ---- query ----------------------------------------------------------------------------------- */

struct query_last
{
	const char *name, *value;
};

static bool
query_last_step(void *payload, const char *name, const char *value)
{
	struct query_last *last = payload;

	if (strcmp(name, last->name) == 0)
		last->value = value != NULL ? value : "";
	return true;
}

const char *
aut__api_query(const aut_api_request *request, const char *name)
{
	struct query_last last = {name, NULL};

	aut_exchange_each_query(request->exchange, query_last_step, &last);
	return last.value;
}

/*
 * A whole number as people and generated clients write it.  Digits beyond int64 saturate: they are
 * numbers, only out of every range.
 */
static bool
lax_int(const char *text, int64_t *out)
{
	bool negative = false;
	int64_t value = 0;
	size_t digits = 0;

	text += strspn(text, " \t\r\n");
	if (*text == '-' || *text == '+')
		negative = *text++ == '-';
	for (; *text >= '0' && *text <= '9'; text++, digits++)
	{
		int digit = *text - '0';

		value = value > (INT64_MAX - digit) / 10 ? INT64_MAX : value * 10 + digit;
	}
	if (digits == 0)
		return false;
	if (*text == '.')
	{
		text++;
		if (*text != '0')
			return false;
		text += strspn(text, "0");
	}
	text += strspn(text, " \t\r\n");
	*out = negative ? -value : value;
	return *text == '\0';
}

static json_t *
one_number(const char *key, int64_t value)
{
	json_t *object = json_object();

	if (aut_json_set(object, key, json_integer(value)))
		return object;
	json_decref(object);
	return NULL;
}

aut_status
aut__api_query_int(aut_api_request *request, const char *name, int64_t min, int64_t max,
				   int64_t *inout, aut_error *err)
{
	const char *text = aut__api_query(request, name);
	aut_buf buf;
	aut_status status = AUT_OK;
	int64_t value;

	if (text == NULL)
		return AUT_OK;
	aut_buf_init(&buf, MSG_MAX);
	if (!lax_int(text, &value))
		status = aut__api_problem(
			request, "int_parsing", "query", name,
			"Input should be a valid integer, unable to parse string as an integer",
			aut_json_text_or_null(text), NULL, err);
	else if (value < min)
	{
		aut_buf_printf(&buf, "Input should be greater than or equal to %lld", (long long) min);
		status = aut__api_problem(request, "greater_than_equal", "query", name,
								  buf.data != NULL ? buf.data : "", aut_json_text_or_null(text),
								  one_number("ge", min), err);
	}
	else if (value > max)
	{
		aut_buf_printf(&buf, "Input should be less than or equal to %lld", (long long) max);
		status = aut__api_problem(request, "less_than_equal", "query", name,
								  buf.data != NULL ? buf.data : "", aut_json_text_or_null(text),
								  one_number("le", max), err);
	}
	else
		*inout = value;
	aut_buf_done(&buf);
	return status;
}

aut_status
aut__api_read_page(aut_api_request *request, aut_error *err)
{
	aut_status status;

	request->limit = AUT_API_LIMIT_DEFAULT;
	request->offset = 0;
	status = aut__api_query_int(request, "limit", 1, AUT_API_LIMIT_MAX, &request->limit, err);
	if (status == AUT_OK)
		status = aut__api_query_int(request, "offset", 0, INT64_MAX, &request->offset, err);
	if (status == AUT_OK)
		status = aut__api_keep(request, aut__api_query(request, "cursor"), &request->cursor, err);
	if (status == AUT_OK && request->cursor != NULL && request->offset > 0)
		status = aut__api_problem(request, "value_error", "query", "cursor",
								  "Value error, cursor and offset exclude each other",
								  aut_json_text_or_null(request->cursor), NULL, err);
	return status;
}

aut_status
aut__api_query_word(aut_api_request *request, const char *name, const char *const *words,
					const char *type, int *out, aut_error *err)
{
	const char *text = aut__api_query(request, name);
	aut_status status;
	aut_buf list, msg;
	json_t *ctx;

	*out = -1;
	if (text == NULL)
		return AUT_OK;
	for (int i = 0; words[i] != NULL; i++)
	{
		if (strcmp(words[i], text) == 0)
		{
			*out = i;
			return AUT_OK;
		}
	}
	aut_buf_init(&list, 1000);
	aut_buf_init(&msg, 1100);
	for (size_t i = 0; words[i] != NULL; i++)
		aut_buf_printf(&list, "%s'%s'",
					   i == 0                 ? ""
					   : words[i + 1] == NULL ? " or "
											  : ", ",
					   words[i]);
	aut_buf_printf(&msg, "Input should be %s", list.data != NULL ? list.data : "");
	ctx = json_object();
	if (list.status != AUT_OK || msg.status != AUT_OK ||
		!aut_json_set(ctx, "expected", json_string(list.data)))
	{
		json_decref(ctx);
		status = aut_fail(err, AUT_ENOMEM, "out of memory");
	}
	else
		status = aut__api_problem(request, type, "query", name, msg.data,
								  aut_json_text_or_null(text), ctx, err);
	aut_buf_done(&list);
	aut_buf_done(&msg);
	return status;
}

aut_status
aut__api_query_text(aut_api_request *request, const char *name, bool required, size_t min,
					size_t max, const char **out, aut_error *err)
{
	const char *text = aut__api_query(request, name);
	size_t len, points;
	aut_buf buf;
	aut_status status;

	*out = NULL;
	if (text == NULL)
	{
		if (!required)
			return AUT_OK;
		return aut__api_problem(request, "missing", "query", name, "Field required", NULL, NULL,
								err);
	}
	len = strlen(text);
	if (!aut_utf8_valid(text, len))
		return aut__api_problem(
			request, "string_unicode", "query", name,
			"Input should be a valid string, unable to parse raw data as a unicode string",
			aut_json_text_or_null(text), NULL, err);
	points = aut_utf8_length(text, len);
	if (points >= min && points <= max)
		return aut__api_keep(request, text, out, err);
	aut_buf_init(&buf, MSG_MAX);
	if (points < min)
	{
		aut_buf_printf(&buf, "String should have at least %zu character%s", min,
					   min == 1 ? "" : "s");
		status = aut__api_problem(request, "string_too_short", "query", name,
								  buf.data != NULL ? buf.data : "", json_string(text),
								  one_number("min_length", (int64_t) min), err);
	}
	else
	{
		aut_buf_printf(&buf, "String should have at most %zu character%s", max,
					   max == 1 ? "" : "s");
		status = aut__api_problem(request, "string_too_long", "query", name,
								  buf.data != NULL ? buf.data : "", json_string(text),
								  one_number("max_length", (int64_t) max), err);
	}
	aut_buf_done(&buf);
	return status;
}

aut_status
aut__api_query_bool(aut_api_request *request, const char *name, bool *inout, aut_error *err)
{
	static const char *const yes[] = {"true", "1", "yes", "on", "t", "y", NULL};
	static const char *const no[] = {"false", "0", "no", "off", "f", "n", NULL};
	const char *text = aut__api_query(request, name);

	if (text == NULL)
		return AUT_OK;
	for (size_t i = 0; yes[i] != NULL; i++)
	{
		if (strcasecmp(yes[i], text) == 0 || strcasecmp(no[i], text) == 0)
		{
			*inout = strcasecmp(yes[i], text) == 0;
			return AUT_OK;
		}
	}
	return aut__api_problem(request, "bool_parsing", "query", name,
							"Input should be a valid boolean, unable to interpret input",
							aut_json_text_or_null(text), NULL, err);
}
