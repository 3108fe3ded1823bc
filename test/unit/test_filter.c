/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_filter.c - filters against the reference's own answers.
 *
 * test/vectors/filter.jsonl has one question a line.  The outcome must be the same: refused when it is
 * stored, failing when it is asked, or true or false, and the value where the line gives it.  Wording
 * is ours.  Then regular expressions, where Python and PCRE2 differ in the small print.
 */
#include <stdio.h>
#include <string.h>

#include "test/unit/torture.h"

#include "automation/match.h"

#define VECTORS "test/vectors/filter.jsonl"

static size_t asked, wrong;

static void
complain(const json_t *row, const char *how)
{
	wrong++;
	print_message("%s: %s: %s\n", json_string_value(json_object_get(row, "id")),
				  json_string_value(json_object_get(row, "expression")), how);
}

/* big: digits of a value that JSON of 64 bits cannot hold, or NULL. */
static void
check_answer(const json_t *row, const char *big, const aut_jmespath *expr,
			 const aut_payload *payload)
{
	const json_t *value = json_object_get(row, "value");
	bool error = json_is_true(json_object_get(row, "error"));
	bool wanted = json_is_true(json_object_get(row, "result"));
	aut_match_result got = {0};
	aut_error err = AUT_ERROR_INIT;
	aut_status status = aut_jmespath_search(expr, payload, NULL, &got, &err);
	bool match = !wanted;

	if (error)
	{
		if (status == AUT_OK)
			complain(row, "does not fail");
		else if (aut_filter_match(expr, payload, NULL, &match, NULL) != status)
			complain(row, "fails in two ways");
	}
	else if (status != AUT_OK)
		complain(row, err.message);
	else if (aut_filter_match(expr, payload, NULL, &match, NULL) != AUT_OK || match != wanted ||
			 got.truth != wanted)
		complain(row, match ? "is true" : "is false");
	else if (big != NULL && (got.text == NULL || strcmp(got.text, big) != 0))
		complain(row, got.text != NULL ? got.text : "not a number");
	else if (value != NULL && !json_equal(got.json, value))
	{
		char *shown = json_dumps(got.json, JSON_ENCODE_ANY);

		complain(row, shown);
		free(shown);
	}
	aut_match_result_done(&got);
}

/* The line's object; when its value is too large an integer, without it, and its digits in big. */
static json_t *
row_of(char *line, size_t len, char **big)
{
	static const char name[] = ", \"value\": ";
	json_t *row = json_loadb(line, len, JSON_ALLOW_NUL, NULL);
	char *at = row == NULL ? strstr(line, name) : NULL;

	*big = NULL;
	if (at == NULL)
		return row;
	*big = at + sizeof name - 1;
	(*big)[strcspn(*big, "}")] = '\0';
	*at = '}';
	return json_loadb(line, (size_t) (at + 1 - line), JSON_ALLOW_NUL, NULL);
}

static void
check_row(char *line, size_t len)
{
	char *big = NULL;
	json_t *row = row_of(line, len, &big);
	json_t *expression;
	bool syntax_error;
	aut_jmespath *expr = NULL;
	aut_error err = AUT_ERROR_INIT;
	aut_status status;

	if (row == NULL)
		fail_msg("not JSON: %.100s", line);
	asked++;
	expression = json_object_get(row, "expression");
	syntax_error = json_is_false(json_object_get(row, "syntax"));
	status = aut_jmespath_compile(json_string_value(expression), json_string_length(expression),
								  &expr, &err);
	if (status != AUT_OK && !syntax_error)
		complain(row, err.message);
	else if (status == AUT_OK && syntax_error)
		complain(row, "is not refused");
	else if (status == AUT_OK)
	{
		aut_payload *payload = NULL;

		assert_int_equal(aut_payload_from_json(json_object_get(row, "payload"), &payload, NULL),
						 AUT_OK);
		check_answer(row, big, expr, payload);
		aut_payload_free(payload);
	}
	aut_jmespath_free(expr);
	json_decref(row);
}

static void
test_filter__answers_like_the_reference(void **state)
{
	FILE *file = fopen(VECTORS, "r");
	char *line = NULL;
	size_t room = 0;
	ssize_t len;

	(void) state;
	if (file == NULL)
		fail_msg("%s cannot be read", VECTORS);
	while ((len = getline(&line, &room, file)) > 0)
		check_row(line, (size_t) len);
	free(line);
	fclose(file);
	print_message("%zu filters asked, %zu wrong\n", asked, wrong);
	assert_true(asked > 600);
	assert_int_equal(wrong, 0);
}

/* ---- regular expressions ------------------------------------------------------------------------- */

static void
regex_is(const char *pattern, const char *text, bool wanted)
{
	json_t *json = json_pack("{s:s, s:s}", "p", pattern, "t", text);
	aut_payload *payload = NULL;
	aut_jmespath *expr = NULL;
	aut_error err = AUT_ERROR_INIT;
	bool match = !wanted;

	assert_non_null(json);
	assert_int_equal(aut_payload_from_json(json, &payload, NULL), AUT_OK);
	assert_int_equal(aut_jmespath_compile("regex(t, p)", 11, &expr, NULL), AUT_OK);
	if (aut_filter_match(expr, payload, NULL, &match, &err) != AUT_OK)
		fail_msg("%s: %s", pattern, err.message);
	if (match != wanted)
		fail_msg("%s %s \"%s\"", pattern, wanted ? "does not match" : "matches", text);
	aut_jmespath_free(expr);
	aut_payload_free(payload);
	json_decref(json);
}

static void
test_filter__regular_expressions_are_pythons(void **state)
{
	(void) state;
	regex_is("a{,2}b", "xb", true);
	regex_is("a{,2}b", "a{,2}b", true);
	regex_is("^a{,2}$", "aa", true);
	regex_is("a{", "a{", true);
	regex_is("a{1", "a{1", true);
	regex_is("a{x}", "a{x}", true);
	regex_is("x{}", "x{}", true);
	regex_is("a{2,1}", "aa", false);
	regex_is("a**", "a", false);
	regex_is("a{2}{3}", "aaaaaa", false);
	regex_is("(?:a{2}){3}", "aaaaaa", true);
	regex_is("^*", "a", false);
	regex_is("\\b*a", "a", false);
	regex_is("(?=a)*a", "a", true);
	regex_is("a*+a", "aaa", false);
	regex_is("a++b", "aab", true);
	regex_is("(?>a+)b", "aab", true);
	regex_is("World\\Z", "World\n", false);
	regex_is("World$", "World\n", true);
	regex_is("a\\z", "a", false);
	regex_is("\\p{L}", "a", false);
	regex_is("\\h", " ", false);
	regex_is("\\R", "\n", false);
	regex_is("\\Q.\\E", ".", false);
	regex_is("[[:alpha:]]", "a", false);
	regex_is("[[:alpha:]]", ":]", true);
	regex_is("[]a]", "]", true);
	regex_is("[^]a]", "b", true);
	regex_is("[^]a]", "]", false);
	regex_is("[b-a]", "a", false);
	regex_is("[a-\\d]", "a", false);
	regex_is("[\\w-]", "-", true);
	regex_is("[a\\]b]", "]", true);
	regex_is("[\\b]", "\b", true);
	regex_is("[\\B]", "B", false);
	regex_is("[", "[", false);
	regex_is("(?P<n>a)(?P=n)", "aa", true);
	regex_is("(?P<n>a)\\1", "aa", true);
	regex_is("(?P<1>a)", "a", false);
	regex_is("(?P<n>a)(?P<n>b)", "ab", false);
	regex_is("(?<n>a)", "a", false);
	regex_is("(a\\1)", "aa", false);
	regex_is("\\2(a)(b)", "ab", false);
	regex_is("(?P=x)", "x", false);
	regex_is("(a)?(?(1)b|c)", "ab", true);
	regex_is("^(a)?(?(1)b|c)$", "b", false);
	regex_is("(?(2)a|b)(c)", "b", false);
	regex_is("(?(1)a|b|c)(d)", "b", false);
	regex_is("(?<=a|bc)d", "ad", false);
	regex_is("(?<=ab|bc)d", "bcd", true);
	regex_is("(?<=a+)d", "ad", false);
	regex_is("(?<!a{2})d", "ad", true);
	regex_is("a(?i)b", "aB", false);
	regex_is("(?i)(?s)A.", "a\n", true);
	regex_is("(?i:A)b", "ab", true);
	regex_is("(?i:A)b", "aB", false);
	regex_is("(?-i:a)", "A", false);
	regex_is("(?i)(?-i:a)", "A", false);
	regex_is("(?au)a", "a", false);
	regex_is("(?)a", "a", false);
	regex_is("(?L)a", "a", false);
	regex_is("(?P>x)", "a", false);
	regex_is("(?R)", "a", false);
	regex_is("(?&x)", "a", false);
	regex_is("(*ACCEPT)", "a", false);
	regex_is("(?|(a)|(b))", "a", false);
	regex_is("(?C1)a", "a", false);
	regex_is("(?#c", "a", false);
	regex_is("a(?#c)+b", "aab", true);
	regex_is("(?x) a b # c\n c", "abc", true);
	regex_is("(?x)a +", "aa", true);
	regex_is("(?x)[ ]", " ", true);
	regex_is("\\0", "a", false);
	regex_is("\\101", "A", true);
	regex_is("\\400", "a", false);
	regex_is("\\x4", "a", false);
	regex_is("\\u00e9", "\xc3\xa9", true);
	regex_is("\\U0001F600", "\xf0\x9f\x98\x80", true);
	regex_is("\\U00110000", "a", false);
	regex_is("\\N{DIGIT ONE}", "1", true);
	regex_is("\\N{NO SUCH THING}", "1", false);
	regex_is("^\\w$", "\xc3\xa9", true);
	regex_is("(?a)^\\w$", "\xc3\xa9", false);
	regex_is("^\\d$", "\xd9\xa4", true);
	regex_is("(?a)^\\d$", "\xd9\xa4", false);
	regex_is("^\\s$", "\x1c", true);
	regex_is("^\\S$", "\x1c", false);
	regex_is("^\\s$", "\xc2\x85", true);
	regex_is("(?a)\\bb", "\xc3\xa9" "b", true);
	regex_is("\\bb", "\xc3\xa9" "b", false);
	regex_is("\\B", "", false);
	regex_is("\\B", "ab", true);
	regex_is("(?i)i", "\xc4\xb0", true);
	regex_is("(?i)\xc4\xb1", "I", true);
	regex_is("a|", "b", true);
	regex_is("()", "", true);
	regex_is("\\", "a", false);
	regex_is("\\-\\ \\#", "- #", true);
	regex_is(".", "\r", true);
	regex_is(".", "\n", false);
	regex_is("(?m)^b$", "a\nb\nc", true);
	regex_is("(?s).", "\n", true);
}

/* ---- associations ---------------------------------------------------------------------------------- */

static void
test_filter__associations_keep_short_scalars(void **state)
{
	json_t *associations = json_pack(
		"{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "text", "a", "zero", "`0`", "no", "`false`", "list",
		"[a]", "missing", "b", "extra", "lower(a)", "failing", "abs(a)");
	json_t *json = json_pack("{s:s}", "a", "Xy");
	json_t *wanted = json_pack("{s:s, s:i, s:b}", "text", "Xy", "zero", 0, "no", 0);
	aut_payload *payload = NULL;
	json_t *got = NULL;

	(void) state;
	assert_int_equal(aut_payload_from_json(json, &payload, NULL), AUT_OK);
	assert_int_equal(aut_associations_eval(associations, payload, &got, NULL), AUT_OK);
	assert_true(json_equal(got, wanted));
	json_decref(got);
	assert_int_equal(aut_associations_eval(NULL, payload, &got, NULL), AUT_OK);
	assert_int_equal(json_object_size(got), 0);
	json_decref(got);
	json_decref(wanted);
	json_decref(associations);
	json_decref(json);
	aut_payload_free(payload);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_filter__answers_like_the_reference),
		cmocka_unit_test(test_filter__regular_expressions_are_pythons),
		cmocka_unit_test(test_filter__associations_keep_short_scalars),
	};

	return cmocka_run_group_tests_name("filter", tests, NULL, NULL);
}
