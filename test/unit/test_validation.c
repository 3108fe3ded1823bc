/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_validation.c - request bodies against the reference's own answers.
 *
 * test/vectors/validation.jsonl has one question a line, asked to the reference implementation.  For
 * every kind that concerns this room the outcome must be the same: accepted or not, the status, the
 * value as it is stored, and the (loc, type) of every problem in order.  Wording is ours.
 *
 * Kinds of rooms that do not exist yet are listed by name.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "test/unit/torture.h"

#include "automation/match.h"
#include "core/service/internal.h"

#define VECTORS "test/vectors/validation.jsonl"

static aut_settings settings;

/* ---- a database without rows ----------------------------------------------------------------- */

static aut_status
empty_run(aut_db *db, const aut_stmt *stmt, const aut_value *params, aut_rows *out_rows,
		  int64_t *out_affected, aut_error *err)
{
	(void) db;
	(void) params;
	(void) err;
	if (out_rows != NULL)
		*out_rows = (aut_rows){.width = strlen(stmt->columns)};
	if (out_affected != NULL)
		*out_affected = 0;
	return AUT_OK;
}

static const aut_db_ops EMPTY_OPS = {.version = 1, .dialect = AUT_DIALECT_SQLITE, .run = empty_run};

/* ---- asking ---------------------------------------------------------------------------------- */

/* What we answer to one row. */
typedef struct answer
{
	int http;           /* 200 when accepted */
	json_t *normalized; /* NULL: not said */
	json_t *problems;
} answer;

static json_t *
valid_create(void)
{
	return json_pack("{s:s, s:{s:s, s:s}, s:s, s:s}", "name", "nightly", "trigger", "type", "cron",
					 "schedule", "0 9 * * *", "tarball_path", "https://x.test/a.tar.gz",
					 "entrypoint", "python main.py");
}

static json_t *
text_or_null(const char *text)
{
	return text == NULL ? json_null() : json_string(text);
}

static json_t *
normalized_of(const char *kind, const aut__form *form)
{
	char id[AUT_UUID_TEXT_MAX];
	const char *state = aut__form_state(form);

	if (strcmp(kind, "entrypoint") == 0)
		return text_or_null(form->entrypoint);
	if (strcmp(kind, "setup_script_path") == 0)
		return text_or_null(form->setup_script_path);
	if (strcmp(kind, "name") == 0)
		return text_or_null(form->name);
	if (strcmp(kind, "description") == 0)
		return text_or_null(form->description);
	if (strcmp(kind, "model") == 0)
		return text_or_null(form->model);
	if (strcmp(kind, "timeout") == 0)
		return form->timeout_s == 0 ? json_null() : json_integer(form->timeout_s);
	if (strcmp(kind, "keep_alive") == 0)
		return form->has_keep_alive ? json_boolean(form->keep_alive) : json_null();
	if (strcmp(kind, "state") == 0)
		return text_or_null(form->state);
	if (strcmp(kind, "state_enabled") == 0)
		return json_pack("{s:o, s:b}", "state", text_or_null(form->state), "enabled",
						 state == NULL || strcmp(state, "ACTIVE") == 0);
	if (strcmp(kind, "agent_profile_id") == 0)
		return form->has_agent_profile ? json_string(aut_uuid_format(&form->agent_profile_id, id))
									   : json_null();
	if (strcmp(kind, "trigger") == 0)
		return json_incref(form->trigger.json);
	if (strcmp(kind, "timezone") == 0)
		return text_or_null(form->trigger.timezone);
	if (strcmp(kind, "observability_associations") == 0)
		return form->associations == NULL ? json_null() : json_deep_copy(form->associations);
	if (strcmp(kind, "create") == 0)
		return json_pack("{s:o}", "keep_alive",
						 form->has_keep_alive ? json_boolean(form->keep_alive) : json_null());
	return NULL;
}

static void
ask_create(const char *kind, const json_t *body, answer *out)
{
	aut__form form = {0};
	aut_db empty = {.ops = &EMPTY_OPS};
	aut_call call;
	aut_status status;

	aut_call_init(&call, &empty, &settings, aut_identity_local(), 0);
	status = aut__form_create(body, &settings, false, &form, &call.problems, NULL);
	if (status == AUT_OK && strcmp(kind, "tarball_path") == 0)
		status = aut__tarball_check(&call, form.tarball_path, NULL);
	out->http = status == AUT_OK ? 200 : aut_status_http(status);
	out->problems = json_incref(call.problems);
	if (status == AUT_OK)
		out->normalized = normalized_of(kind, &form);
	aut__form_done(&form);
	aut_call_done(&call);
}

static void
ask_update(const json_t *body, answer *out)
{
	aut__form form = {0};
	aut_status status = aut__form_update(body, &settings, false, &form, &out->problems, NULL);

	out->http = status == AUT_OK ? 200 : aut_status_http(status);
	aut__form_done(&form);
}

static void
ask_complete(const json_t *body, answer *out)
{
	aut__completion said;
	aut_status status = aut__form_complete(body, &said, &out->problems, NULL);

	out->http = status == AUT_OK ? 200 : aut_status_http(status);
}

static void
ask_phase(const json_t *input, answer *out)
{
	json_t *body = json_pack("{s:O}", "phase", input);
	char *phase = NULL;
	aut_status status = aut__form_phase(body, &phase, &out->problems, NULL);

	out->http = status == AUT_OK ? 200 : aut_status_http(status);
	if (status == AUT_OK)
		out->normalized = json_string(phase);
	aut_free(phase);
	json_decref(body);
}

/* Associations of an automation on the payload of an event. */
static void
ask_associations(json_t *input, answer *out)
{
	aut_payload *payload = NULL;
	aut_status status = aut_payload_from_json(json_object_get(input, "payload"), &payload, NULL);

	if (status == AUT_OK)
		status = aut_associations_eval(json_object_get(input, "associations"), payload,
									   &out->normalized, NULL);
	out->http = status == AUT_OK ? 200 : aut_status_http(status);
	aut_payload_free(payload);
}

/* false: a kind of another room. */
static bool
ask(const char *kind, json_t *input, answer *out)
{
	static const char *const members[] = {"entrypoint",
										  "setup_script_path",
										  "name",
										  "description",
										  "model",
										  "timeout",
										  "keep_alive",
										  "state",
										  "agent_profile_id",
										  "tarball_path",
										  "trigger",
										  "observability_associations",
										  NULL};
	json_t *body = valid_create();

	*out = (answer){0};
	for (size_t i = 0; members[i] != NULL; i++)
	{
		if (strcmp(kind, members[i]) != 0)
			continue;
		json_object_set(body, kind, input);
		ask_create(kind, body, out);
	}
	if (strcmp(kind, "timezone") == 0)
	{
		json_object_set(json_object_get(body, "trigger"), "timezone", input);
		ask_create(kind, body, out);
	}
	else if (strcmp(kind, "state_enabled") == 0)
	{
		json_object_update(body, input);
		ask_create(kind, body, out);
	}
	else if (strcmp(kind, "create") == 0)
		ask_create(kind, input, out);
	else if (strcmp(kind, "update") == 0)
		ask_update(input, out);
	else if (strcmp(kind, "run_complete") == 0)
		ask_complete(input, out);
	else if (strcmp(kind, "run_phase") == 0)
		ask_phase(input, out);
	else if (strcmp(kind, "associations_eval") == 0)
		ask_associations(input, out);
	json_decref(body);
	return out->http != 0;
}

/* ---- comparing ------------------------------------------------------------------------------- */

/* Our loc without "body", and without the member the harness put a timezone into. */
static json_t *
bare_loc(const char *kind, const json_t *loc)
{
	json_t *bare = json_array();
	size_t from = strcmp(kind, "timezone") == 0 ? 3 : 1;

	for (size_t i = from; i < json_array_size(loc); i++)
		json_array_append(bare, json_array_get(loc, i));
	return bare;
}

static void
compare_problems(const char *id, const char *kind, const json_t *want, const json_t *got)
{
	if (json_array_size(want) != json_array_size(got))
		fail_msg("%s: %zu problems instead of %zu: %s", id, json_array_size(got),
				 json_array_size(want), json_dumps(got, 0));
	for (size_t i = 0; i < json_array_size(want); i++)
	{
		const json_t *one = json_array_get(want, i);
		const json_t *other = json_array_get(got, i);
		json_t *loc = bare_loc(kind, json_object_get(other, "loc"));

		if (strcmp(aut_json_string(one, "type"), aut_json_string(other, "type")) != 0 ||
			!json_equal(json_object_get(one, "loc"), loc))
			fail_msg("%s: problem %zu is %s instead of %s", id, i, json_dumps(other, 0),
					 json_dumps(one, 0));
		assert_non_null(aut_json_string(other, "msg"));
		assert_non_null(json_object_get(other, "input"));
		json_decref(loc);
	}
}

/* Taken by the reference and refused by us on purpose (docs/compatibility.md): two readers of URLs may
 * understand `https:// bad host` as two hosts, and a password in a URL ends in logs. */
static bool
refused_on_purpose(const char *kind, const json_t *row)
{
	const char *input = json_string_value(json_object_get(row, "input"));

	return strcmp(kind, "tarball_path") == 0 && input != NULL &&
		   strncmp(input, "https://", 8) == 0 && strpbrk(input, " @") != NULL;
}

static void
compare(const json_t *row, const char *kind, const answer *got)
{
	const char *id = aut_json_string(row, "id");
	bool ok = json_is_true(json_object_get(row, "ok")) && !refused_on_purpose(kind, row);
	const json_t *normalized = json_object_get(row, "normalized");
	int status = (int) json_integer_value(json_object_get(row, "status"));

	if (ok != (got->http == 200))
		fail_msg("%s: %s, answered %d", id, ok ? "should pass" : "should be refused", got->http);
	/* where the reference crashes, 422 is the answer */
	if (!ok && got->http != (status == 500 || status == 0 ? 422 : status))
		fail_msg("%s: status %d instead of %d", id, got->http, status);
	if (ok && normalized != NULL && got->normalized != NULL &&
		!json_equal(normalized, got->normalized))
		fail_msg("%s: stored as %s", id, json_dumps(got->normalized, JSON_ENCODE_ANY));
	if (!ok && json_object_get(row, "errors") != NULL)
		compare_problems(id, kind, json_object_get(row, "errors"), got->problems);
	/* a text the router answers is not a list of problems */
	if (!ok && json_object_get(row, "detail") != NULL)
		assert_null(got->problems);
}

/* ---- rows with a reason of their own ---------------------------------------------------------- */

/* Zones the reference carries and this machine does not have. */
static bool
zone_is_absent(const char *kind, const json_t *row)
{
	const aut_tz *tz;

	return strcmp(kind, "timezone") == 0 && json_is_true(json_object_get(row, "ok")) &&
		   aut_tz_get(json_string_value(json_object_get(row, "input")), &tz, NULL) != AUT_OK;
}

/* ---- the vectors ------------------------------------------------------------------------------ */

static void
note_later(json_t *later, const char *kind)
{
	json_int_t before = json_integer_value(json_object_get(later, kind));

	json_object_set_new(later, kind, json_integer(before + 1));
}

static void
test_validation__answers_like_the_reference(void **state)
{
	char line[65536];
	FILE *file = fopen(VECTORS, "r");
	json_t *later = json_object();
	size_t same = 0;
	size_t nul = 0;
	size_t zones = 0;
	const char *kind_later;
	json_t *count;

	(void) state;
	if (file == NULL)
		fail_msg("%s: %s (run from the top folder)", VECTORS, strerror(errno));
	while (fgets(line, sizeof line, file) != NULL)
	{
		json_t *row = json_loads(line, JSON_ALLOW_NUL, NULL);
		const char *kind = aut_json_string(row, "kind");
		answer got;

		assert_non_null(kind);
		if (strstr(line, "\\u0000") != NULL)
		{
			json_t *none = NULL;

			/* a text with NUL does not get past the parser: PostgreSQL could not keep it */
			assert_int_equal(aut_json_parse(line, strlen(line), &none, NULL), AUT_EBADREQ);
			nul++;
		}
		else if (zone_is_absent(kind, row))
			zones++;
		else if (!ask(kind, json_object_get(row, "input"), &got))
			note_later(later, kind);
		else
		{
			compare(row, kind, &got);
			same++;
			json_decref(got.normalized);
			json_decref(got.problems);
		}
		json_decref(row);
	}
	fclose(file);
	print_message("validation.jsonl: %zu rows as the reference answers\n", same);
	print_message("  %zu rows hold NUL: checked to be refused by the parser\n", nul);
	print_message("  %zu rows name zones this machine lacks: skipped\n", zones);
	json_object_foreach(later, kind_later, count) print_message(
		"  later: %s (%lld rows)\n", kind_later, (long long) json_integer_value(count));
	json_decref(later);
	assert_true(same >= 200);
}

/* ---- rules the vectors do not reach ------------------------------------------------------------ */

/* Our problems as "loc.loc:type loc:type …". */
static void
assert_create_problems(json_t *take_changes, const char *want)
{
	json_t *body = valid_create();
	json_t *problems = NULL;
	aut__form form = {0};
	char got[1000] = "";
	size_t used = 0;

	json_object_update(body, take_changes);
	json_decref(take_changes);
	aut__form_create(body, &settings, false, &form, &problems, NULL);
	for (size_t i = 0; i < json_array_size(problems); i++)
	{
		const json_t *problem = json_array_get(problems, i);
		const json_t *loc = json_object_get(problem, "loc");

		used += (size_t) snprintf(got + used, sizeof got - used, "%s", i > 0 ? " " : "");
		for (size_t j = 1; j < json_array_size(loc); j++)
		{
			const json_t *part = json_array_get(loc, j);

			used += (size_t) snprintf(got + used, sizeof got - used, "%s", j > 1 ? "." : "");
			used += json_is_string(part) ? (size_t) snprintf(got + used, sizeof got - used, "%s",
															 json_string_value(part))
										 : (size_t) snprintf(got + used, sizeof got - used, "%d",
															 (int) json_integer_value(part));
		}
		used += (size_t) snprintf(got + used, sizeof got - used, ":%s",
								  aut_json_string(problem, "type"));
	}
	assert_string_equal(got, want);
	aut__form_done(&form);
	json_decref(problems);
	json_decref(body);
}

static void
test_validation__reports_all_problems_at_once(void **state)
{
	(void) state;
	assert_create_problems(
		json_pack("{s:s, s:i, s:{s:s, s:s, s:s}, s:s, s:b}", "name", "", "timeout", 0, "trigger",
				  "type", "cron", "schedule", "61 * * * *", "timezone", "Mars/Olympus",
				  "entrypoint", "/x", "zzz", 1),
		"name:string_too_short trigger.cron.schedule:value_error trigger.cron.timezone:value_error "
		"entrypoint:value_error timeout:value_error zzz:extra_forbidden");
}

static void
test_validation__patterns_name_the_bad_item(void **state)
{
	(void) state;
	assert_create_problems(
		json_pack("{s:{s:s, s:s, s:[s,i]}}", "trigger", "type", "event", "source", "github", "on",
				  "push", 5),
		"trigger.event.on.str:string_type trigger.event.on.list[str].1:string_type");
}

static void
test_validation__reserved_sources(void **state)
{
	(void) state;
	assert_create_problems(
		json_pack("{s:{s:s, s:s, s:[]}}", "trigger", "type", "event", "source", "manual", "on"),
		"");
	assert_create_problems(
		json_pack("{s:{s:s, s:s, s:s}}", "trigger", "type", "event", "source", "manual", "on", "x"),
		"trigger.event.source:value_error");
	assert_create_problems(json_pack("{s:{s:s, s:s, s:s}}", "trigger", "type", "event", "source",
									 "sql", "on", "public.t"),
						   "trigger.event.source:value_error");
}

static void
test_validation__row_triggers_come_from_the_sql_door(void **state)
{
	json_t *trigger =
		json_pack("{s:s, s:s, s:s}", "type", "event", "source", "sql", "on", "public.t");
	aut__problems problems = {0};
	aut__trigger made = {0};

	(void) state;
	assert_true(aut__trigger_check(&problems, &AUT__BODY, trigger, true, &made));
	assert_null(problems.list);
	aut__trigger_done(&made);
	json_decref(trigger);
}

static void
test_validation__whole_numbers_in_texts(void **state)
{
	static const struct
	{
		const char *text;
		bool good;
		int64_t value;
	} rows[] = {{"7", true, 7},
				{" 7 ", true, 7},
				{"+7", true, 7},
				{"-7", true, -7},
				{"7.", true, 7},
				{"7.00", true, 7},
				{"1_0", true, 10},
				{"_1", false, 0},
				{"1_", false, 0},
				{"1__0", false, 0},
				{"", false, 0},
				{"7.5", false, 0},
				{"0x7", false, 0},
				{"7 7", false, 0},
				{"-", false, 0},
				{"1e3", false, 0},
				{"9223372036854775808", true, INT64_MAX},
				{"99999999999999999999999999999999", true, INT64_MAX}};

	(void) state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
	{
		json_t *object = json_pack("{s:s}", "n", rows[i].text);
		aut__problems problems = {0};
		int64_t value = 0;
		aut__got got =
			aut__read_int(&problems, &AUT__BODY, object, &(aut__rule){.name = "n"}, &value);

		assert_int_equal(got, rows[i].good ? AUT__VALUE : AUT__BAD);
		if (rows[i].good && rows[i].value != INT64_MAX)
			assert_int_equal(value, rows[i].value);
		else if (rows[i].good)
			assert_true(value > INT64_C(100000000000000000));
		aut__problems_done(&problems);
		json_decref(object);
	}
}

static void
test_validation__numbers_in_texts(void **state)
{
	static const struct
	{
		const char *text;
		bool good;
		double value;
	} rows[] = {{"1.5", true, 1.5}, {" -2 ", true, -2}, {".5", true, .5},  {"1e3", true, 1000},
				{"inf", false, 0},  {"nan", false, 0},  {"0x1", false, 0}, {"1e999", false, 0},
				{"", false, 0},     {"1.5x", false, 0}};

	(void) state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
	{
		json_t *object = json_pack("{s:s}", "n", rows[i].text);
		aut__problems problems = {0};
		double value = 0;
		aut__got got =
			aut__read_real(&problems, &AUT__BODY, object, &(aut__rule){.name = "n"}, &value);

		if (got != (rows[i].good ? AUT__VALUE : AUT__BAD))
			fail_msg("\"%s\" was read wrongly", rows[i].text);
		if (rows[i].good)
			assert_true(value == rows[i].value);
		aut__problems_done(&problems);
		json_decref(object);
	}
}

static void
test_validation__summary_names_the_first_problem(void **state)
{
	json_t *body = json_object();
	json_t *problems = NULL;
	aut__form form = {0};
	aut_error err = AUT_ERROR_INIT;

	(void) state;
	assert_int_equal(aut__form_create(body, &settings, false, &form, &problems, &err), AUT_EINVAL);
	assert_string_equal(err.message, "name: Field required (and 3 more)");
	assert_int_equal(json_array_size(problems), 4);
	json_decref(problems);
	json_decref(body);
}

static void
test_validation__error_events_are_told_from_loose_objects(void **state)
{
	static const struct
	{
		const char *error;
		bool typed;
	} rows[] = {
		{"{\"source\":\"agent\",\"code\":\"C\",\"detail\":\"d\"}", true},
		{"{\"source\":\"agent\",\"code\":\"C\",\"detail\":\"d\",\"kind\":"
		 "\"ConversationErrorEvent\"}",
		 true},
		{"{\"source\":\"agent\",\"code\":\"C\",\"detail\":\"d\",\"kind\":\"Other\"}", false},
		{"{\"source\":\"moon\",\"code\":\"C\",\"detail\":\"d\"}", false},
		{"{\"source\":\"agent\",\"code\":\"C\"}", false},
		{"{\"source\":\"agent\",\"code\":\"C\",\"detail\":\"d\",\"more\":1}", false},
		{"{\"source\":\"agent\",\"code\":\"C\",\"detail\":\"d\",\"classification\":{\"kind\":"
		 "\"auth\","
		 "\"retryable\":false}}",
		 true},
		{"{\"source\":\"agent\",\"code\":\"C\",\"detail\":\"d\",\"classification\":{\"kind\":"
		 "\"bad\","
		 "\"retryable\":false}}",
		 false},
	};

	(void) state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
	{
		json_t *error = json_loads(rows[i].error, 0, NULL);
		json_t *body = json_pack("{s:s, s:o}", "status", "FAILED", "error", error);
		aut__completion said;

		assert_int_equal(aut__form_complete(body, &said, NULL, NULL), AUT_OK);
		if (said.error_is_typed != rows[i].typed)
			fail_msg("%s is %s", rows[i].error, said.error_is_typed ? "typed" : "loose");
		json_decref(body);
	}
}

static void
test_validation__error_of_another_type_fails_all_members(void **state)
{
	json_t *body = json_pack("{s:s, s:i}", "status", "FAILED", "error", 5);
	json_t *problems = NULL;
	aut__completion said;

	(void) state;
	assert_int_equal(aut__form_complete(body, &said, &problems, NULL), AUT_EINVAL);
	assert_int_equal(json_array_size(problems), 3);
	json_decref(problems);
	json_decref(body);
}

/* ---- errors of runs ---------------------------------------------------------------------------- */

static void
test_validation__error_texts(void **state)
{
	static const struct
	{
		const char *error, *text;
	} rows[] = {
		{"\"boom\"", "boom"},
		{"{\"code\":\"C\",\"detail\":\"d\"}", "C: d"},
		{"{\"code\":\"C\"}", "C"},
		{"{\"message\":\"m\"}", "m"},
		{"{\"code\":\"C\",\"message\":\"m\",\"kind\":\"k\",\"source\":\"s\"}",
		 "C: m [kind=k, source=s]"},
		{"{\"detail\":\"d\",\"source\":\"s\"}", "d [source=s]"},
		{"{\"a\":1}", "The run reported a failure without saying why"},
		{"\"\"", "The run reported a failure without saying why"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
	{
		json_t *error = json_loads(rows[i].error, JSON_DECODE_ANY, NULL);
		char *text = NULL;

		assert_int_equal(aut__error_text(error, &text, NULL), AUT_OK);
		assert_string_equal(text, rows[i].text);
		aut_free(text);
		json_decref(error);
	}
}

static json_t *
detail_of(const char *error_text, bool typed, const char *previous, int64_t now_us)
{
	json_t *error = json_loads(error_text, JSON_DECODE_ANY, NULL);
	aut__completion said = {.error = error, .error_is_typed = typed};
	char *text = NULL;
	json_t *detail;

	assert_int_equal(aut__error_status_detail(&said, "formatted", previous, now_us, &text, NULL),
					 AUT_OK);
	detail = json_loads(text, 0, NULL);
	aut_free(text);
	json_decref(error);
	return detail;
}

static void
assert_kind(const char *code, const char *text, const char *kind, bool transient,
			const char *action)
{
	json_t *event = json_pack("{s:s, s:s, s:s}", "source", "agent", "code", code, "detail", text);
	char *event_text = json_dumps(event, 0);
	json_t *detail = detail_of(event_text, true, NULL, 0);

	assert_string_equal(aut_json_string(detail, "kind"), kind);
	assert_int_equal(json_is_true(json_object_get(detail, "transient")), transient);
	assert_string_equal(aut_json_string(detail, "user_action"), action);
	json_decref(detail);
	json_decref(event);
	free(event_text);
}

static void
test_validation__error_events_are_classified(void **state)
{
	(void) state;
	assert_kind("LLMAuthenticationError", "x", "auth", false, "settings");
	assert_kind("LLMRateLimitError", "x", "rate_limit", true, "retry");
	assert_kind("MaxBudgetReached", "x", "quota", false, "settings");
	assert_kind("LLMBadRequestError", "x", "config", false, "settings");
	assert_kind("MaxIterationsReached", "x", "agent_action", false, "none");
	assert_kind("KeyError", "x", "internal", false, "none");
	assert_kind("LLMError", "Invalid API KEY given", "auth", false, "settings");
	assert_kind("LLMError", "HTTP 401 from there", "auth", false, "settings");
	assert_kind("LLMError", "port 14019 refused: connection", "transient", true, "retry");
	assert_kind("LLMError", "You exceeded your Quota", "quota", false, "settings");
	assert_kind("LLMError", "Rate limit reached", "rate_limit", true, "retry");
	assert_kind("LLMError", "502 Bad Gateway", "transient", true, "retry");
	assert_kind("APIError", "something", "transient", true, "retry");
	assert_kind("Whatever", "something", "unknown", false, "none");
}

static void
test_validation__a_given_classification_wins(void **state)
{
	json_t *detail = detail_of(
		"{\"source\":\"hook\",\"code\":\"LLMAuthenticationError\",\"detail\":\"d\","
		"\"classification\":{\"kind\":\"config\",\"retryable\":true,\"error_id\":\"e1\"}}",
		true, NULL, 0);

	(void) state;
	assert_string_equal(aut_json_string(detail, "kind"), "config");
	assert_true(json_is_true(json_object_get(detail, "transient")));
	assert_string_equal(aut_json_string(detail, "user_action"), "none");
	assert_string_equal(aut_json_string(detail, "error_id"), "e1");
	assert_string_equal(aut_json_string(detail, "fingerprint"), "callback:hook:config");
	json_decref(detail);
}

static void
test_validation__repeated_failures_are_counted(void **state)
{
	json_t *first = detail_of("\"boom\"", false, NULL, 0);
	char *text = json_dumps(first, 0);
	json_t *second = detail_of("\"boom again\"", false, text, 60 * AUT_US_PER_S);

	(void) state;
	assert_string_equal(aut_json_string(first, "phase"), "callback");
	assert_string_equal(aut_json_string(first, "kind"), "execution_error");
	assert_string_equal(aut_json_string(first, "fingerprint"), "callback:execution_error");
	assert_int_equal(json_integer_value(json_object_get(first, "count")), 1);
	assert_string_equal(aut_json_string(second, "first_seen_at"), "1970-01-01T00:00:00+00:00");
	assert_string_equal(aut_json_string(second, "last_seen_at"), "1970-01-01T00:01:00+00:00");
	assert_int_equal(json_integer_value(json_object_get(second, "count")), 2);
	json_decref(first);
	json_decref(second);
	free(text);
}

/* ---- without memory ---------------------------------------------------------------------------- */

/* For the torture: being told that the body is bad is what was wanted. */
static aut_status
wanted(aut_status status)
{
	return status == AUT_EINVAL ? AUT_OK : status;
}

static aut_status
torture_create(void *payload)
{
	json_t *problems = NULL;
	aut__form form = {0};
	json_t *body = NULL;
	aut_status status = aut_json_parse(payload, strlen(payload), &body, NULL);

	if (status == AUT_OK)
		status = aut__form_create(body, &settings, false, &form, &problems, NULL);
	aut__form_done(&form);
	json_decref(problems);
	json_decref(body);
	aut_tz_cache_clear();
	return wanted(status);
}

/* The body is read before: its names are longer than jansson's parser survives without memory. */
static aut_status
torture_expressions(void *body)
{
	json_t *problems = NULL;
	aut__form form = {0};
	aut_status status = aut__form_create(body, &settings, false, &form, &problems, NULL);

	aut__form_done(&form);
	json_decref(problems);
	return wanted(status);
}

static aut_status
torture_update(void *payload)
{
	json_t *problems = NULL;
	aut__form form = {0};
	json_t *body = NULL;
	aut_status status = aut_json_parse(payload, strlen(payload), &body, NULL);

	if (status == AUT_OK)
		status = aut__form_update(body, &settings, false, &form, &problems, NULL);
	aut__form_done(&form);
	json_decref(problems);
	json_decref(body);
	aut_tz_cache_clear();
	return wanted(status);
}

static aut_status
torture_complete(void *payload)
{
	aut__completion said = {0};
	json_t *body = NULL;
	char *text = NULL;
	char *detail = NULL;
	aut_status status = aut_json_parse(payload, strlen(payload), &body, NULL);

	if (status == AUT_OK)
		status = aut__form_complete(body, &said, NULL, NULL);
	if (status == AUT_OK)
		status = aut__error_text(said.error, &text, NULL);
	if (status == AUT_OK)
		status = aut__error_status_detail(&said, text, "{\"fingerprint\":\"x\"}", 0, &detail, NULL);
	aut_free(text);
	aut_free(detail);
	json_decref(body);
	return wanted(status);
}

static aut_status
torture_phase(void *payload)
{
	json_t *body = NULL;
	char *phase = NULL;
	aut_status status = aut_json_parse(payload, strlen(payload), &body, NULL);

	if (status == AUT_OK)
		status = aut__form_phase(body, &phase, NULL, NULL);
	aut_free(phase);
	json_decref(body);
	return wanted(status);
}

static char *
text_of(const char *text)
{
	return (char *) (uintptr_t) text;
}

static void
test_validation__survives_without_memory(void **state)
{
	json_t *body = json_pack("{s:s, s:{s:s, s:s, s:s, s:s, s:s}, s:s, s:s, s:{s:s}}", "name", "n",
							 "trigger", "type", "event", "source", "s", "on", "a", "filter", "a.b",
							 "turn_text_expr", "bad[", "tarball_path", "https://x", "entrypoint",
							 "./a", "observability_associations", "k", "a[");

	(void) state;
	assert_non_null(body);
	aut_tz_cache_clear(); /* what earlier tests left there is not the torture's */
	torture(torture_create,
			text_of("{\"name\":\"n\",\"trigger\":{\"type\":\"cron\",\"schedule\":\"0 9 * * *\"},"
					"\"tarball_path\":\"https://x\",\"entrypoint\":\"./a\"}"));
	torture(torture_create,
			text_of("{\"trigger\":{\"type\":\"cron\",\"schedule\":\"x\",\"timezone\":\"y\"},"
					"\"timeout\":[],\"state\":\"ACTIVE\",\"enabled\":\"zz\",\"more\":1}"));
	torture(torture_expressions, body);
	json_decref(body);
	torture(torture_update,
			text_of("{\"trigger\":{\"type\":\"event\",\"source\":\"s\",\"on\":[\"a\"]},"
					"\"keep_alive\":false}"));
	torture(torture_complete,
			text_of("{\"status\":\"FAILED\",\"error\":{\"code\":\"C\",\"detail\":\"d\","
					"\"source\":\"agent\"},\"cost\":\"1.5\"}"));
	torture(torture_complete, text_of("{\"status\":\"FAILED\",\"error\":7,\"x\":1}"));
	torture(torture_phase, text_of("{\"phase\":\" a  b \"}"));
}

static int
group_setup(void **state)
{
	(void) state;
	return aut_settings_init(&settings, NULL) == AUT_OK ? 0 : -1;
}

static int
group_teardown(void **state)
{
	(void) state;
	aut_settings_done(&settings);
	aut_tz_cache_clear();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_validation__answers_like_the_reference),
		cmocka_unit_test(test_validation__reports_all_problems_at_once),
		cmocka_unit_test(test_validation__patterns_name_the_bad_item),
		cmocka_unit_test(test_validation__reserved_sources),
		cmocka_unit_test(test_validation__row_triggers_come_from_the_sql_door),
		cmocka_unit_test(test_validation__whole_numbers_in_texts),
		cmocka_unit_test(test_validation__numbers_in_texts),
		cmocka_unit_test(test_validation__summary_names_the_first_problem),
		cmocka_unit_test(test_validation__error_events_are_told_from_loose_objects),
		cmocka_unit_test(test_validation__error_of_another_type_fails_all_members),
		cmocka_unit_test(test_validation__error_texts),
		cmocka_unit_test(test_validation__error_events_are_classified),
		cmocka_unit_test(test_validation__a_given_classification_wins),
		cmocka_unit_test(test_validation__repeated_failures_are_counted),
		cmocka_unit_test(test_validation__survives_without_memory),
	};

	return cmocka_run_group_tests_name("validation", tests, group_setup, group_teardown);
}
