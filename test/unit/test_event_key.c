/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_event_key.c - events against the reference's answers: keys, what a run receives,
 * patterns, subjects, conversations; and the reader of JSON beneath them.
 */
#include <strings.h>

#include "test/unit/vector_rows.h"

#define VECTORS "test/vectors/event_key.jsonl"

static char *
text_of(const aut_event_doc *doc, const json_t *value)
{
	aut_buf out;
	char *text;

	aut_buf_init(&out, 1 << 22);
	assert_int_equal(aut_event_doc_write(doc, value, &out), AUT_OK);
	text = aut_buf_take(&out, NULL);
	aut_buf_done(&out);
	assert_non_null(text);
	return text;
}

/* ---- the vectors ------------------------------------------------------------------------------ */

static aut_jmespath *
compiled(const char *expr)
{
	aut_jmespath *made = NULL;
	aut_error err = AUT_ERROR_INIT;

	if (aut_jmespath_compile(expr, strlen(expr), &made, &err) != AUT_OK)
		fail_msg("%s: %s", expr, err.message);
	return made;
}

/* The key of a custom source, as its door finds it. */
static aut_status
key_of_custom(aut_event *event, const char *source, const char *expr, const char *body,
			  aut_error *err)
{
	aut_jmespath *made = compiled(expr);
	aut_payload *payload = NULL;
	aut_status status = aut_payload_parse(body, strlen(body), &payload, err);

	if (status == AUT_OK)
		status = aut_event_key_by(event, source, made, payload, err);
	aut_payload_free(payload);
	aut_jmespath_free(made);
	return status;
}

static aut_status
read_row(const vector_rows *rows, aut_event *event, aut_error *err)
{
	const json_t *row = rows->doc.root;
	const char *source = aut_json_string(row, "source");
	const char *expr = aut_json_string(row, "event_key_expr");
	const char *body = aut_json_string(row, "body");
	char *made = NULL;
	aut_status status;

	if (body == NULL && json_object_get(row, "payload") != NULL)
	{
		char *payload = text_of(&rows->doc, json_object_get(row, "payload"));

		made = aut_event_is_builtin(source) ? aut_printf("{\"payload\": %s}", payload)
											: aut_strdup(payload);
		aut_free(payload);
		body = made;
	}
	if (body == NULL)
		body = "";
	status = aut_event_read(source, body, strlen(body), event, err);
	if (status == AUT_OK && !aut_event_is_builtin(source))
	{
		if (expr == NULL || *expr == '\0')
			expr = AUT_EVENT_KEY_EXPR_DEFAULT;
		status = key_of_custom(event, source, expr, body, err);
		if (status != AUT_OK)
			aut_event_done(event);
	}
	aut_free(made);
	return status;
}

static const char *
header_of(const json_t *headers, const char *name)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *) (uintptr_t) headers, key, value)
	{
		if (name != NULL && strcasecmp(key, name) == 0)
			return json_string_value(value);
	}
	return NULL;
}

static void
same_or_fail(const char *id, const char *what, const char *got, const char *wanted)
{
	if ((got == NULL) != (wanted == NULL) || (got != NULL && strcmp(got, wanted) != 0))
		fail_msg("%s: %s is %s, not %s", id, what, got != NULL ? got : "null",
				 wanted != NULL ? wanted : "null");
}

static void
check_event(const vector_rows *rows)
{
	const json_t *row = rows->doc.root;
	const char *id = aut_json_string(row, "id");
	const char *source = aut_json_string(row, "source");
	const char *header = aut_event_is_builtin(source) ? aut_event_delivery_header(source)
													  : aut_json_string(row, "event_id_header");
	const json_t *wanted = json_object_get(row, "event_payload");
	aut_error err = AUT_ERROR_INIT;
	aut_event event = {0};
	aut_status status = read_row(rows, &event, &err);
	int http = status == AUT_OK ? 200 : aut_status_http(status);

	if (http != json_integer_value(json_object_get(row, "status")))
		fail_msg("%s: %d %s", id, http, err.message);
	same_or_fail(id, "key", event.key, aut_json_string(row, "key"));
	if (event.key != NULL)
		same_or_fail(id, "delivery_id", header_of(json_object_get(row, "headers"), header),
					 aut_json_string(row, "delivery_id"));
	if (event.key == NULL && status == AUT_OK && event.why[0] == '\0')
		fail_msg("%s: ignored without a reason", id);
	assert_int_equal(event.key == NULL, event.run_payload == NULL);
	if (wanted != NULL && !json_is_null(wanted))
	{
		char *text = text_of(&rows->doc, wanted);

		same_or_fail(id, "event_payload", event.run_payload, text);
		aut_free(text);
	}
	aut_event_done(&event);
}

static void
test_event__answers_as_the_reference(void **state)
{
	size_t asked = 0;

	(void) state;
	for (vector_rows rows = vectors_open(VECTORS); vectors_next(&rows);)
	{
		if (strcmp(aut_json_string(rows.doc.root, "kind"), "event") == 0)
		{
			check_event(&rows);
			asked++;
		}
	}
	assert_int_equal(asked, 207);
}

static void
test_subject__answers_as_the_reference(void **state)
{
	size_t asked = 0;

	(void) state;
	for (vector_rows rows = vectors_open(VECTORS); vectors_next(&rows);)
	{
		const json_t *row = rows.doc.root;
		const char *expr = aut_json_string(row, "expr");
		char *text;
		char *key = NULL;
		char *turn = NULL;
		aut_payload *payload = NULL;
		aut_jmespath *made;

		if (strcmp(aut_json_string(row, "kind"), "subject") != 0)
			continue;
		asked++;
		if (json_is_true(json_object_get(row, "error")))
		{
			assert_int_equal(aut_filter_check(expr, strlen(expr), NULL), AUT_EINVAL);
			continue;
		}
		made = compiled(expr);
		text = text_of(&rows.doc, json_object_get(row, "payload"));
		assert_int_equal(aut_payload_parse(text, strlen(text), &payload, NULL), AUT_OK);
		assert_int_equal(aut_subject_key_by(made, payload, &key, NULL), AUT_OK);
		assert_int_equal(aut_turn_text_by(made, payload, &turn, NULL), AUT_OK);
		same_or_fail(aut_json_string(row, "id"), "key", key, aut_json_string(row, "key"));
		same_or_fail(aut_json_string(row, "id"), "turn", turn, aut_json_string(row, "turn_text"));
		aut_payload_free(payload);
		aut_jmespath_free(made);
		aut_free(text);
		aut_free(key);
		aut_free(turn);
	}
	assert_int_equal(asked, 15);
}

static void
test_pattern__answers_as_the_reference(void **state)
{
	size_t asked = 0;

	(void) state;
	for (vector_rows rows = vectors_open(VECTORS); vectors_next(&rows);)
	{
		const json_t *row = rows.doc.root;
		const char *kind = aut_json_string(row, "kind");
		const char *pattern = aut_json_string(row, "pattern");

		if (strcmp(kind, "pattern") == 0)
		{
			if (aut_pattern_match(json_object_get(row, "pattern"), aut_json_string(row, "key")) !=
				json_is_true(json_object_get(row, "match")))
				fail_msg("%s", aut_json_string(row, "id"));
			asked++;
		}
		else if (strcmp(kind, "event_type") == 0)
		{
			char *family = aut_strndup(pattern, aut_pattern_family(pattern));

			same_or_fail(aut_json_string(row, "id"), "event_type", family,
						 aut_json_string(row, "event_type"));
			aut_free(family);
			asked++;
		}
	}
	assert_int_equal(asked, 69 + 4);
}

static void
test_conversation__answers_as_the_reference(void **state)
{
	size_t asked = 0;

	(void) state;
	for (vector_rows rows = vectors_open(VECTORS); vectors_next(&rows);)
	{
		const json_t *row = rows.doc.root;
		const char *org = aut_json_string(row, "org_id");
		const char *automation = aut_json_string(row, "automation_id");
		char text[AUT_UUID_TEXT_MAX];
		aut_uuid of_org, of_automation, made;

		if (strcmp(aut_json_string(row, "kind"), "conversation_id") != 0)
			continue;
		assert_true(aut_uuid_parse(org, strlen(org), &of_org));
		assert_true(aut_uuid_parse(automation, strlen(automation), &of_automation));
		assert_int_equal(aut_conversation_id(&of_org, &of_automation,
											 aut_json_string(row, "source"),
											 aut_json_string(row, "subject_key"), &made, NULL),
						 AUT_OK);
		same_or_fail(aut_json_string(row, "id"), "conversation_id", aut_uuid_format(&made, text),
					 aut_json_string(row, "conversation_id"));
		asked++;
	}
	assert_int_equal(asked, 4);
}

/* ---- patterns --------------------------------------------------------------------------------- */

static void
test_pattern__is_a_shell_glob(void **state)
{
	static const struct
	{
		const char *pattern, *text;
		bool matches;
	} cases[] = {{"", "", true},
				 {"*", "", true},
				 {"**a*", "bab", true},
				 {"?", "\xc3\xa9", true},
				 {"??", "\xc3\xa9", false},
				 {"[!a]", "\xc3\xa9", true},
				 {"[\xc3\xa0-\xc3\xaf]x", "\xc3\xa9x", true},
				 {"[]]", "]", true},
				 {"[!]]", "]", false},
				 {"[]", "[]", true},
				 {"[a", "[a", true},
				 {"[a-]", "-", true},
				 {"[-a]", "-", true},
				 {"[a-c-e]", "d", false},
				 {"[a-c-e]", "-", true},
				 {"[a-c--z]", "m", true},
				 {"[z-a]", "m", false},
				 {"[!z-a]", "m", true},
				 {"[^a]", "^", true},
				 {"[^a]", "b", false},
				 {"a*b*c", "aXbXbXc", true},
				 {"a*b*c", "aXbXbX", false},
				 {"pull_request.*", "pull_request", false},
				 {"a.b", "axb", false}};

	(void) state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
	{
		if (aut_glob_match(cases[i].pattern, strlen(cases[i].pattern), cases[i].text,
						   strlen(cases[i].text)) != cases[i].matches)
			fail_msg("\"%s\" on \"%s\"", cases[i].pattern, cases[i].text);
	}
}

/* The worst case of backtracking is a product of lengths, not a power. */
static void
test_pattern__many_stars_end_soon(void **state)
{
	char pattern[401];
	char text[4001];

	(void) state;
	for (size_t i = 0; i < 400; i += 2)
		memcpy(pattern + i, "*a", 2);
	pattern[399] = 'b';
	pattern[400] = '\0';
	memset(text, 'a', 4000);
	text[4000] = '\0';
	assert_false(aut_glob_match(pattern, 400, text, 4000));
	/* nor does a set that is not closed cost a walk to the end at each place */
	memset(pattern, '[', 400);
	pattern[0] = '*';
	pattern[399] = 'b';
	memset(text, '[', 4000);
	assert_false(aut_glob_match(pattern, 400, text, 4000));
}

/* ---- subjects and turns ----------------------------------------------------------------------- */

static void
subject_is(json_t *take_value, const char *wanted)
{
	char *key = NULL;

	assert_int_equal(aut_subject_key(NULL, take_value, &key, NULL), AUT_OK);
	same_or_fail("subject", "key", key, wanted);
	aut_free(key);
	json_decref(take_value);
}

static void
test_subject__is_a_text_or_a_number(void **state)
{
	char text[503];

	(void) state;
	subject_is(json_string("  o/r#1\xc2\xa0\n"), "o/r#1");
	subject_is(json_integer(42), "42");
	subject_is(json_real(1.5), "1.5");
	subject_is(json_true(), NULL);
	subject_is(json_null(), NULL);
	subject_is(json_array(), NULL);
	subject_is(json_string(" \t"), NULL);
	memset(text, 'k', 502);
	text[500] = '\0';
	subject_is(json_string(text), text);
	text[500] = 'k';
	text[501] = '\0';
	subject_is(json_string(text), NULL);
}

static void
turn_is(const char *json, const char *wanted)
{
	json_t *payload = NULL;
	char *text = NULL;

	assert_int_equal(aut_json_parse(json, strlen(json), &payload, NULL), AUT_OK);
	assert_int_equal(aut_turn_text_default("github", "issue.x", payload, &text, NULL), AUT_OK);
	assert_string_equal(text, wanted);
	aut_free(text);
	json_decref(payload);
}

static void
test_turn__tells_who_said_what(void **state)
{
	(void) state;
	turn_is("{\"comment\":{\"body\":\"hi\",\"user\":{\"login\":\"al\"},\"html_url\":\"http://c\"},"
			"\"issue\":{\"number\":7,\"body\":\"old\"},\"repository\":{\"full_name\":\"o/r\"}}",
			"@al commented on o/r#7:\n\nhi\n\nhttp://c");
	turn_is("{\"issue\":{\"number\":7,\"body\":\"it is\"},\"sender\":{\"login\":\"al\"},"
			"\"repository\":{\"full_name\":\"o/r\"}}",
			"@al (`issue.x`) on o/r#7:\n\nit is");
	turn_is("{\"payload\":{\"text\":\"deploy\"}}",
			"Someone (`issue.x`) on a github event (`issue.x`):\n\ndeploy");
	turn_is("{\"b\":1,\"a\":{}}",
			"A github event (`issue.x`) arrived:\n\n```json\n{\n  \"a\": {},\n  \"b\": 1\n}\n```");
}

/* ---- the reader ------------------------------------------------------------------------------- */

static void
reads_as(const char *text, const char *wanted)
{
	aut_event_doc doc = {0};
	aut_error err = AUT_ERROR_INIT;
	char *got;

	if (aut_event_doc_read(text, strlen(text), &doc, &err) != AUT_OK)
		fail_msg("%s: %s", text, err.message);
	got = text_of(&doc, doc.root);
	assert_string_equal(got, wanted);
	aut_free(got);
	aut_event_doc_done(&doc);
}

static void
is_refused(const char *text, size_t len, const char *story)
{
	aut_event_doc doc = {0};
	aut_error err = AUT_ERROR_INIT;

	assert_int_equal(aut_event_doc_read(text, len, &doc, &err), AUT_EBADREQ);
	if (strstr(err.message, story) == NULL)
		fail_msg("%s: \"%s\" without \"%s\"", text, err.message, story);
}

static void
test_reader__takes_what_python_takes(void **state)
{
	(void) state;
	reads_as(" {\"a\" : [ 1 , -0.5e1 , \"\\u00e9\\n\" ] } ", "{\"a\":[1,-5.0,\"\xc3\xa9\\n\"]}");
	reads_as("\xef\xbb\xbf[NaN, -Infinity, 1e999, 9223372036854775808]",
			 "[null,null,null,9223372036854775808]");
	reads_as("[-9223372036854775808, 9223372036854775807, -0]",
			 "[-9223372036854775808,9223372036854775807,0]");
	reads_as("\"a\\u0000b\\ud800c\\ud83d\\ude00\"", "\"a\xef\xbf\xbd"
													"b\xef\xbf\xbd"
													"c\xf0\x9f\x98\x80\"");
	reads_as("{\"a\":1,\"b\":2,\"a\":{}}", "{\"a\":{},\"b\":2}");
	reads_as("[1e16,1e-5,0.0001,123456789012345.6,1e22,5e-324,0.1]",
			 "[1e+16,1e-05,0.0001,123456789012345.6,1e+22,5e-324,0.1]");
	reads_as("[[],{},\"\\u001f\\\"\\\\\\/\"]", "[[],{},\"\\u001f\\\"\\\\/\"]");
}

static void
test_reader__refuses_the_rest(void **state)
{
	char deep[140];

	(void) state;
	is_refused("", 0, "line 1 column 1: a value");
	is_refused("{\"a\":1,}", 8, "column 8: the name");
	is_refused("[1,]", 4, "column 4: a value");
	is_refused("[1 2]", 5, "a comma or ]");
	is_refused("{\"a\" 1}", 7, "a colon");
	is_refused("\n\"a\nb\"", 6, "line 2 column 3: a control character");
	is_refused("\"abc", 4, "does not end");
	is_refused("\"\\x\"", 4, "escape");
	is_refused("\"\\u12g4\"", 8, "four hexadecimal");
	is_refused("01", 2, "follows");
	is_refused("1.", 2, "follows");
	is_refused("-", 1, "a value");
	is_refused("[1]\0", 4, "follows");
	is_refused("\"\xff\"", 3, "UTF-8");
	memset(deep, '[', 65);
	is_refused(deep, 65, "64 levels");
	memset(deep, '[', 64);
	memset(deep + 64, ']', 64);
	deep[128] = '\0';
	reads_as(deep, deep);
}

static void
test_reader__bounds_strange_numbers(void **state)
{
	size_t len = 0;
	char *text = test_malloc(5000);

	(void) state;
	memset(text, '9', 4301);
	is_refused(text, 4301, "4300 digits");
	text[len++] = '[';
	for (size_t i = 0; i < 1001; i++, len += 4)
		memcpy(text + len, "NaN,", 4);
	is_refused(text, len, "more than 1000 numbers");
	test_free(text);
}

/* ---- ignoring, and running out of memory -------------------------------------------------------- */

static void
ignored_for(const char *body, const char *why)
{
	aut_event event = {0};

	assert_int_equal(aut_event_read("github", body, strlen(body), &event, NULL), AUT_OK);
	assert_null(event.key);
	assert_string_equal(event.why, why);
	aut_event_done(&event);
}

static void
test_event__says_why_it_is_ignored(void **state)
{
	(void) state;
	ignored_for("{\"payload\":{\"zen\":1}}",
				"the payload has the members of no event that is known");
	ignored_for("{\"payload\":{\"check_run\":{}}}", "check_run events are not supported");
	ignored_for("{\"payload\":{\"release\":{}}}", "payload.repository is missing");
	ignored_for("{\"payload\":{\"ref\":\"r\",\"commits\":[{}],\"before\":\"b\",\"after\":\"a\","
				"\"repository\":{\"id\":1,\"name\":\"n\",\"full_name\":\"f\",\"private\":0},"
				"\"sender\":{\"id\":1,\"login\":\"l\"}}}",
				"payload.commits[0].id is missing");
}

static void
test_event__a_key_without_end_is_ignored(void **state)
{
	char *body = aut_printf("{\"payload\":{\"webhookEvent\":\"%05000d\"}}", 0);
	aut_event event = {0};

	(void) state;
	assert_int_equal(aut_event_read("jira_dc", body, strlen(body), &event, NULL), AUT_OK);
	assert_null(event.key);
	assert_string_equal(event.why, "the event key is longer than 4096 bytes");
	aut_event_done(&event);
	aut_free(body);
}

static aut_status
read_push(void *payload)
{
	static const char body[] =
		"{\"payload\":{\"ref\":\"r\",\"commits\":[{\"id\":\"c\",\"message\":\"m\\n\",\"author\":{}}"
		"],"
		"\"before\":\"b\",\"after\":\"a\",\"repository\":{\"id\":\"12\",\"name\":\"n\","
		"\"full_name\":\"f\",\"private\":\"no\"},"
		"\"sender\":{\"id\":99999999999999999999,\"login\":\"l\",\"x\":NaN}}}";
	aut_event event = {0};
	char *turn = NULL;
	aut_status status = aut_event_read("github", body, sizeof body - 1, &event, NULL);

	(void) payload;
	if (status == AUT_OK)
		status = aut_turn_text_default("github", event.key, event.payload, &turn, NULL);
	if (status == AUT_OK && strstr(event.run_payload, "\"id\":99999999999999999999") == NULL)
		status = AUT_EINTERNAL;
	aut_free(turn);
	aut_event_done(&event);
	return status;
}

static aut_status
read_custom(void *payload)
{
	static const char body[] = "{\"type\":1e400,\"list\":[1,2.5,{}]}";
	aut_event event = {0};
	aut_status status = aut_event_read("my-hook", body, sizeof body - 1, &event, NULL);

	(void) payload;
	if (status == AUT_OK)
		status = aut_event_set_key(&event, "my-hook", json_object_get(event.payload, "type"), NULL);
	aut_event_done(&event);
	return status;
}

static void
test_event__survives_without_memory(void **state)
{
	(void) state;
	assert_true(torture(read_push, NULL) > 20);
	assert_true(torture(read_custom, NULL) > 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_event__answers_as_the_reference),
		cmocka_unit_test(test_pattern__answers_as_the_reference),
		cmocka_unit_test(test_subject__answers_as_the_reference),
		cmocka_unit_test(test_conversation__answers_as_the_reference),
		cmocka_unit_test(test_pattern__is_a_shell_glob),
		cmocka_unit_test(test_pattern__many_stars_end_soon),
		cmocka_unit_test(test_subject__is_a_text_or_a_number),
		cmocka_unit_test(test_turn__tells_who_said_what),
		cmocka_unit_test(test_reader__takes_what_python_takes),
		cmocka_unit_test(test_reader__refuses_the_rest),
		cmocka_unit_test(test_reader__bounds_strange_numbers),
		cmocka_unit_test(test_event__says_why_it_is_ignored),
		cmocka_unit_test(test_event__a_key_without_end_is_ignored),
		cmocka_unit_test(test_event__survives_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
