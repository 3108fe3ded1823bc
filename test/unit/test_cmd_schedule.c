/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_cmd_schedule.c - the commands `next` and `eval`, called as main() calls them.
 *
 * Standard input and output are files in a temporary folder while a command runs.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "automation/base.h"
#include "standalone/cmd_eval.h"
#include "standalone/cmd_schedule.h"

#define ARGS_MAX 12

static char folder[] = "/tmp/automation-test-XXXXXX";

struct result
{
	int status;
	char *out;
	char *err;
};

static int
open_in(const char *name, int flags)
{
	char path[128];
	int fd;

	(void) snprintf(path, sizeof path, "%s/%s", folder, name);
	fd = open(path, flags | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	return fd;
}

static char *
content_of(const char *name)
{
	int fd = open_in(name, O_RDONLY);
	aut_buf buf;
	char chunk[4096];
	ssize_t got;
	char *text;

	aut_buf_init(&buf, 100 * 1024 * 1024);
	while ((got = read(fd, chunk, sizeof chunk)) > 0)
		assert_int_equal(aut_buf_append(&buf, chunk, (size_t) got), AUT_OK);
	(void) close(fd);
	text = aut_buf_take(&buf, NULL);
	assert_non_null(text);
	return text;
}

/* Put fd in the place of a standard descriptor; returns a copy of the old one. */
static int
redirect(int standard, int fd)
{
	int old = dup(standard);

	assert_true(old >= 0 && dup2(fd, standard) >= 0);
	(void) close(fd);
	return old;
}

static void
restore(int standard, int old)
{
	assert_true(dup2(old, standard) >= 0);
	(void) close(old);
}

/* `input`: path of a file for standard input, or NULL. */
static struct result
run(int (*command)(int, char **), const char *input, const char *const *words)
{
	struct result result;
	char copies[ARGS_MAX][200];
	char *argv[ARGS_MAX + 1] = {NULL};
	int argc = 0;
	int in, out, err;

	for (; *words != NULL && argc < ARGS_MAX; words++, argc++)
	{
		(void) snprintf(copies[argc], sizeof copies[argc], "%s", *words);
		argv[argc] = copies[argc];
	}
	(void) fflush(NULL);
	in = open(input != NULL ? input : "/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(in >= 0);
	in = redirect(STDIN_FILENO, in);
	clearerr(stdin);
	out = redirect(STDOUT_FILENO, open_in("out", O_CREAT | O_TRUNC | O_WRONLY));
	err = redirect(STDERR_FILENO, open_in("err", O_CREAT | O_TRUNC | O_WRONLY));
	result.status = command(argc, argv);
	(void) fflush(NULL);
	restore(STDIN_FILENO, in);
	restore(STDOUT_FILENO, out);
	restore(STDERR_FILENO, err);
	result.out = content_of("out");
	result.err = content_of("err");
	return result;
}

static void
result_done(struct result *result)
{
	aut_free(result->out);
	aut_free(result->err);
}

#define RUN(command, input, ...) run(command, input, (const char *const[]){__VA_ARGS__, NULL})

/* ---- eval ---------------------------------------------------------------------------------- */

static json_t *
next_object(char **text)
{
	char *end = strchr(*text, '\n');
	json_t *value = NULL;

	if (end == NULL)
		return NULL;
	assert_int_equal(aut_json_parse(*text, (size_t) (end - *text), &value, NULL), AUT_OK);
	*text = end + 1;
	return value;
}

/* Every answer has the same value as the row for each of these members, or neither has it. */
static void
assert_answers(const char *kind, const char *path, const char *const *members)
{
	struct result result = RUN(aut_cmd_eval, path, "eval", kind, "--jsonl");
	char *answers = result.out;
	char *rows = NULL;
	size_t bad = 0;
	size_t count = 0;
	FILE *file = fopen(path, "re");
	size_t cap = 0;
	ssize_t len;

	assert_non_null(file);
	assert_int_equal(result.status, 0);
	assert_string_equal(result.err, "");
	while ((len = getline(&rows, &cap, file)) > 0)
	{
		json_t *row = NULL;
		json_t *answer = next_object(&answers);

		assert_int_equal(aut_json_parse(rows, (size_t) len, &row, NULL), AUT_OK);
		assert_non_null(answer);
		count++;
		for (const char *const *m = members; *m != NULL; m++)
		{
			const json_t *want = json_object_get(row, *m);
			const json_t *got = json_object_get(answer, *m);

			if (want != got && !json_equal(want, got))
			{
				bad++;
				print_error("%s: %s differs\n", aut_json_string(row, "id"), *m);
			}
		}
		json_decref(row);
		json_decref(answer);
	}
	assert_string_equal(answers, "");
	free(rows);
	(void) fclose(file);
	result_done(&result);
	print_message("%zu answers, %zu wrong\n", count, bad);
	assert_true(count >= 180);
	assert_int_equal(bad, 0);
}

static void
test_cmd_schedule__eval_answers_the_vectors(void **state)
{
	static const char *const cron[] = {
		"id", "next", "prev", "end", "error", "reason", "nondeterministic", NULL};
	static const char *const due[] = {"id", "due", "no_prev", NULL};

	(void) state;
	/* test_schedule says which rows an older tz database cannot answer; here they are not asked */
	if (access("/usr/share/zoneinfo/EST", R_OK) != 0)
		skip();
	assert_answers("cron", "test/vectors/cron.jsonl", cron);
	assert_answers("cron-due", "test/vectors/cron_due.jsonl", due);
}

static void
test_cmd_schedule__eval_goes_on_after_a_malformed_line(void **state)
{
	static const char questions[] =
		"not json\n"
		"[]\n"
		"{\"id\":1}\n"
		"\n"
		"{\"id\":2,\"expr\":\"0 0 1 1 * 0 2027\",\"after\":\"2026-01-01T00:00:00Z\"}";
	char path[128];
	struct result result;
	char *at;
	json_t *answer;
	int fd = open_in("questions", O_CREAT | O_TRUNC | O_WRONLY);

	(void) state;
	assert_true(write(fd, questions, sizeof questions - 1) == (ssize_t) sizeof questions - 1);
	(void) close(fd);
	(void) snprintf(path, sizeof path, "%s/questions", folder);
	result = RUN(aut_cmd_eval, path, "eval", "cron", "--jsonl");
	assert_int_equal(result.status, 0);
	at = result.out;
	for (int i = 0; i < 3; i++)
	{
		answer = next_object(&at);
		assert_true(json_is_true(json_object_get(answer, "error")));
		assert_string_equal(aut_json_string(answer, "reason"), "malformed");
		json_decref(answer);
	}
	answer = next_object(&at);
	assert_int_equal(json_integer_value(json_object_get(answer, "id")), 2);
	assert_true(json_is_true(json_object_get(answer, "end")));
	json_decref(answer);
	assert_string_equal(at, "");
	result_done(&result);
}

/* ---- next ---------------------------------------------------------------------------------- */

static void
test_cmd_schedule__next_marks_what_the_clock_does(void **state)
{
	struct result result;

	(void) state;
	result = RUN(aut_cmd_next, NULL, "next", "30 2 * * *", "--tz", "Europe/Berlin", "--after",
				 "2026-03-28T00:00:00Z", "-n", "3");
	assert_int_equal(result.status, 0);
	assert_string_equal(
		result.out,
		"2026-03-28 02:30:00 +01:00 CET   2026-03-28T01:30:00Z\n"
		"2026-03-29 03:30:00 +02:00 CEST  2026-03-29T01:30:00Z  shifted +1h: 02:30 does not exist\n"
		"2026-03-30 02:30:00 +02:00 CEST  2026-03-30T00:30:00Z\n");
	result_done(&result);
	result = RUN(aut_cmd_next, NULL, "next", "--tz=America/New_York", "30 * * * *",
				 "--after=2026-11-01T05:00:00Z", "-n", "3");
	assert_string_equal(
		result.out,
		"2026-11-01 01:30:00 -04:00 EDT   2026-11-01T05:30:00Z  first of two occurrences\n"
		"2026-11-01 01:30:00 -05:00 EST   2026-11-01T06:30:00Z  second occurrence\n"
		"2026-11-01 02:30:00 -05:00 EST   2026-11-01T07:30:00Z\n");
	result_done(&result);
	result = RUN(aut_cmd_next, NULL, "next", "0 12 * * *", "--tz", "Europe/Berlin", "--after",
				 "2026-03-28T12:00:00Z", "-n", "1");
	assert_string_equal(result.out, "2026-03-29 12:00:00 +02:00 CEST  2026-03-29T10:00:00Z  "
									"clock changes to CEST before this fire\n");
	result_done(&result);
	result = RUN(aut_cmd_next, NULL, "next", "0 12 30 12 *", "--tz", "Pacific/Apia", "--after",
				 "2011-12-01T00:00:00Z", "-n", "1");
	assert_non_null(strstr(result.out, "shifted +24h: 2011-12-30 12:00 does not exist"));
	result_done(&result);
}

static void
test_cmd_schedule__next_in_json_is_one_object(void **state)
{
	struct result result =
		RUN(aut_cmd_next, NULL, "next", "15 2 * * *", "--tz", "Australia/Lord_Howe", "--after",
			"2026-10-03T00:00:00Z", "-n", "2", "--json");
	char *at = result.out;
	json_t *object = next_object(&at);
	json_t *fire = json_array_get(json_object_get(object, "fires"), 0);

	(void) state;
	assert_int_equal(result.status, 0);
	assert_string_equal(aut_json_string(fire, "kind"), "shifted");
	assert_string_equal(aut_json_string(fire, "local"), "2026-10-04 02:45:00");
	assert_string_equal(aut_json_string(fire, "note"), "shifted +30min: 02:15 does not exist");
	json_decref(object);
	assert_string_equal(at, "");
	result_done(&result);
}

static void
test_cmd_schedule__refusals_and_usage_have_their_status(void **state)
{
	static const struct
	{
		const char *words[6];
		int status;
		const char *says;
	} cases[] = {
		{{"next", "61 * * * *"}, 1, "automation: next: invalid cron expression: minute field"},
		{{"next", "0 0 31 2 *"}, 1, "never fires"},
		{{"next", "0 0 * * *", "--tz", "Nowhere"}, 1, "unknown time zone \"Nowhere\""},
		{{"next", "0 0 * * *", "--after", "noon"}, 1, "not a time"},
		{{"next"}, 2, "no expression given"},
		{{"next", "0", "9"}, 2, "in quotes"},
		{{"next", "@daily", "-n", "0"}, 2, "from 1 to 1000"},
		{{"next", "@daily", "-n"}, 2, "a value is missing"},
		{{"next", "@daily", "--frob"}, 2, "unknown option --frob"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
	{
		struct result result = run(aut_cmd_next, NULL, cases[i].words);

		if (result.status != cases[i].status || strstr(result.err, cases[i].says) == NULL)
			fail_msg("%s: status %d, said: %s", cases[i].says, result.status, result.err);
		assert_string_equal(result.out, "");
		result_done(&result);
	}
	for (size_t i = 0; i < 3; i++)
	{
		static const char *const bad[3][4] = {
			{"eval", "cron"}, {"eval", "--jsonl"}, {"eval", "x", "--jsonl"}};
		struct result result = run(aut_cmd_eval, NULL, bad[i]);

		assert_int_equal(result.status, 2);
		result_done(&result);
	}
}

static int
make_folder(void **state)
{
	(void) state;
	return mkdtemp(folder) != NULL ? 0 : -1;
}

static int
remove_folder(void **state)
{
	static const char *const names[] = {"out", "err", "questions"};
	char path[128];

	(void) state;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
	{
		(void) snprintf(path, sizeof path, "%s/%s", folder, names[i]);
		(void) unlink(path);
	}
	return rmdir(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cmd_schedule__eval_answers_the_vectors),
		cmocka_unit_test(test_cmd_schedule__eval_goes_on_after_a_malformed_line),
		cmocka_unit_test(test_cmd_schedule__next_marks_what_the_clock_does),
		cmocka_unit_test(test_cmd_schedule__next_in_json_is_one_object),
		cmocka_unit_test(test_cmd_schedule__refusals_and_usage_have_their_status),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
