/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_command.c - the shell text of an attempt, run for real under /bin/sh in a session of its
 * own, as agents do: fence, exit file, output segments, signals, hostile names.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "automation/backend.h"
#include "automation/service.h"

typedef struct fixture
{
	char base[256];
	aut_place place;
	aut_uuid run;
	aut_attempt_paths paths;
} fixture;

static int
setup(void **state)
{
	fixture *f = calloc(1, sizeof *f);
	snprintf(f->base, sizeof f->base, "/tmp/aut command 'test' XXXXXX");
	if (mkdtemp(f->base) == NULL)
		return -1;
	f->place = (aut_place){.work_base = f->base, .local = true};
	if (aut_uuid_v4(&f->run, NULL) != AUT_OK ||
		aut_attempt_paths_init(&f->paths, &f->run, 1, &f->place, NULL) != AUT_OK)
		return -1;
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	fixture *f = *state;
	char command[4096];
	aut_buf quoted;
	aut_buf_init(&quoted, 4096);
	aut_shell_quote(&quoted, f->base, strlen(f->base));
	snprintf(command, sizeof command, "rm -rf %s %s %s %s.?", quoted.data, f->paths.tarball,
			 f->paths.env, f->paths.tarball);
	int rc = system(command);
	/* of all attempts */
	snprintf(command, sizeof command, "rm -rf %.*s.?",
			 (int) (strrchr(f->paths.state, '.') - f->paths.state), f->paths.state);
	rc |= system(command);
	aut_buf_done(&quoted);
	free(f);
	return rc == 0 ? 0 : -1;
}

static void
write_file(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), (ssize_t) len);
	close(fd);
}

/* The whole file, NUL-terminated; NULL when there is none. */
static char *
read_file(const char *folder, const char *name, size_t *out_len)
{
	char path[512];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	int fd = open(path, O_RDONLY);
	if (fd < 0)
		return NULL;
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	char *data = malloc((size_t) st.st_size + 1);
	size_t len = 0;
	ssize_t n;
	while ((n = read(fd, data + len, (size_t) st.st_size - len)) > 0)
		len += (size_t) n;
	close(fd);
	data[len] = '\0';
	if (out_len != NULL)
		*out_len = len;
	return data;
}

static void
pack(fixture *f, const char *script, const char *env)
{
	void *data = NULL;
	size_t len = 0;
	assert_int_equal(aut_tarball_from_script("main.sh", script, strlen(script), &data, &len, NULL),
					 AUT_OK);
	write_file(f->paths.tarball, data, len);
	write_file(f->paths.env, env, strlen(env));
	aut_free(data);
}

static pid_t
start(fixture *f, const char *entrypoint)
{
	aut_buf text;
	aut_buf_init(&text, 65536);
	assert_int_equal(aut_command_text(&f->paths, entrypoint, &text, NULL), AUT_OK);
	pid_t pid = fork();
	if (pid == 0)
	{
		setsid();
		int null = open("/dev/null", O_RDWR);
		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		execl("/bin/sh", "sh", "-c", text.data, (char *) NULL);
		_exit(127);
	}
	assert_true(pid > 0);
	aut_buf_done(&text);
	return pid;
}

static int
finish(pid_t pid)
{
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void
assert_file(fixture *f, const char *name, const char *expected)
{
	char *text = read_file(f->paths.state, name, NULL);
	assert_non_null(text);
	assert_string_equal(text, expected);
	free(text);
}

/* The exit file begins so; the seconds behind it depend on the machine. */
static void
assert_ended_with(fixture *f, const char *start)
{
	char *text = read_file(f->paths.state, "exit", NULL);
	assert_non_null(text);
	assert_int_equal(strncmp(text, start, strlen(start)), 0);
	free(text);
}

static void
test_command__runs_and_tells_the_truth(void **state)
{
	fixture *f = *state;
	pack(f, "#!/bin/sh\necho one $A; echo two >&2; printf three; exit 7\n",
		 "export A='it'\\''s'\n");
	assert_int_equal(finish(start(f, "./main.sh")), 7);
	assert_file(f, "out.0", "one it's\ntwo\nthree");
	assert_ended_with(f, "7 - ");
	assert_int_equal(access(f->paths.env, F_OK), -1);
	assert_int_equal(access(f->paths.tarball, F_OK), -1);
	struct stat st;
	assert_int_equal(stat(f->paths.state, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void
test_command__second_start_of_an_attempt_is_fenced(void **state)
{
	fixture *f = *state;
	pack(f, "#!/bin/sh\necho once >>../count\n", "");
	assert_int_equal(finish(start(f, "./main.sh")), 0);
	pack(f, "#!/bin/sh\necho once >>../count\n", "");
	assert_int_equal(finish(start(f, "./main.sh")), AUT_EXIT_FENCE);
	assert_ended_with(f, "0 - ");
	char runs[400];
	snprintf(runs, sizeof runs, "%s/automation-runs", f->base);
	char *count = read_file(runs, "count", NULL);
	assert_string_equal(count, "once\n");
	free(count);
}

static void
test_command__setup_runs_first_and_its_failure_stops(void **state)
{
	fixture *f = *state;
	/* A tarball whose one file is setup.sh. */
	void *data = NULL;
	size_t len = 0;
	const char *script = "echo setting up; exit 9\n";
	assert_int_equal(aut_tarball_from_script("setup.sh", script, strlen(script), &data, &len, NULL),
					 AUT_OK);
	write_file(f->paths.tarball, data, len);
	write_file(f->paths.env, "", 0);
	aut_free(data);
	assert_int_equal(finish(start(f, "echo not reached")), 9);
	assert_file(f, "out.0", "setting up\n");
}

static void
test_command__missing_tarball_is_said(void **state)
{
	fixture *f = *state;
	write_file(f->paths.env, "", 0);
	assert_int_equal(finish(start(f, "./main.sh")), 2);
	char *text = read_file(f->paths.state, "out.0", NULL);
	assert_non_null(strstr(text, "Cannot open"));
	free(text);
}

static void
test_command__flood_keeps_the_newest_exactly(void **state)
{
	fixture *f = *state;
	pack(f, "#!/bin/sh\nhead -c 20000000 /dev/zero | tr '\\0' x; echo; echo LAST\n", "");
	assert_int_equal(finish(start(f, "./main.sh")), 0);
	char *cur = read_file(f->paths.state, "cur", NULL);
	long long older = 0, newest = 0;
	assert_non_null(cur);
	assert_int_equal(sscanf(cur, "%lld %lld", &older, &newest), 2);
	free(cur);
	char name[40];
	size_t len_older = 0, len_newest = 0;
	snprintf(name, sizeof name, "out.%lld", older);
	char *a = read_file(f->paths.state, name, &len_older);
	snprintf(name, sizeof name, "out.%lld", newest);
	char *b = read_file(f->paths.state, name, &len_newest);
	assert_non_null(a);
	assert_non_null(b);
	assert_int_equal(older + (long long) len_older, newest);
	assert_int_equal(newest + (long long) len_newest, 20000006);
	assert_true(len_older >= 1048576);
	const char *end = len_newest >= 6 ? b + len_newest - 6 : a + len_older + len_newest - 6;
	if (len_newest >= 6)
		assert_string_equal(end, "\nLAST\n");
	assert_int_equal(access(f->paths.state, F_OK), 0);
	free(a);
	free(b);
}

/* The exit file after its first line, which ends in + when all output follows; NULL: it does not. */
static char *
output_in_exit_file(fixture *f)
{
	size_t len = 0;
	char *text = read_file(f->paths.state, "exit", &len);
	assert_non_null(text);
	char *line = strchr(text, '\n');
	assert_non_null(line);
	char *out = strncmp(line - 2, " +", 2) == 0 ? strdup(line + 1) : NULL;
	free(text);
	return out;
}

static void
test_command__short_output_is_in_the_exit_file(void **state)
{
	static const struct
	{
		const char *script;
		long bytes; /* -1: not there */
	} CASES[] = {
		{"#!/bin/sh\nexit 0\n", 0},
		{"#!/bin/sh\nprintf x\n", 1},
		{"#!/bin/sh\nprintf 'a\\nb +\\n\\n' >&2\nexit 3\n", 7},
		{"#!/bin/sh\nhead -c 16383 /dev/zero | tr '\\0' x\n", 16383},
		/* as many bytes as fit may be the first of more: whoever reads the file leaves them alone */
		{"#!/bin/sh\nhead -c 16384 /dev/zero | tr '\\0' x\n", 16384},
		{"#!/bin/sh\nhead -c 20000 /dev/zero | tr '\\0' x\n", 16384},
		{"#!/bin/sh\nhead -c 3000000 /dev/zero | tr '\\0' x\n", -1},
	};
	fixture *f = *state;
	for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
	{
		assert_int_equal(aut_attempt_paths_init(&f->paths, &f->run, (int) i + 1, &f->place, NULL),
						 AUT_OK);
		pack(f, CASES[i].script, "");
		int code = finish(start(f, "./main.sh"));
		char *all = read_file(f->paths.state, "out.0", NULL);
		char *out = output_in_exit_file(f);
		assert_int_equal(code, i == 2 ? 3 : 0);
		assert_int_equal(out != NULL ? (long) strlen(out) : -1, CASES[i].bytes);
		if (out != NULL)
			assert_int_equal(strncmp(out, all, strlen(out)), 0);
		free(all);
		free(out);
	}
}

/* A child that goes on may print more: then the exit file does not speak of the output. */
static void
test_command__output_that_may_grow_is_not_in_the_exit_file(void **state)
{
	fixture *f = *state;
	pack(f, "#!/bin/sh\necho first\nsleep 60 &\necho $! >child\n", "");
	assert_int_equal(finish(start(f, "./main.sh")), 0);
	assert_null(output_in_exit_file(f));
	assert_file(f, "out.0", "first\n");
	char *child = read_file(f->paths.work, "child", NULL);
	assert_non_null(child);
	assert_int_equal(kill((pid_t) strtol(child, NULL, 10), SIGKILL), 0);
	free(child);
}

/* Wait until the program has said "ready" (at most 10 s). */
static void
await_ready(fixture *f)
{
	for (int i = 0; i < 1000; i++)
	{
		char *text = read_file(f->paths.state, "out.0", NULL);
		bool ready = text != NULL && strstr(text, "ready") != NULL;
		free(text);
		if (ready)
			return;
		usleep(10000);
	}
	fail_msg("the program did not say that it is ready");
}

static void
test_command__output_is_there_while_it_runs_and_term_is_recorded(void **state)
{
	fixture *f = *state;
	pack(f, "#!/bin/sh\ntrap 'echo bye; exit 3' TERM\necho ready\nsleep 60 & wait\n", "");
	pid_t pid = start(f, "./main.sh");
	await_ready(f);
	assert_int_equal(kill(-pid, SIGTERM), 0);
	assert_int_equal(finish(pid), 3);
	char *text = read_file(f->paths.state, "exit", NULL);
	assert_int_equal(strncmp(text, "3 TERM ", 7), 0);
	free(text);
	assert_file(f, "out.0", "ready\nbye\n");
}

static void
test_command__kill_of_the_group_leaves_no_exit_file(void **state)
{
	fixture *f = *state;
	pack(f, "#!/bin/sh\necho ready\nsleep 60\n", "");
	pid_t pid = start(f, "./main.sh");
	await_ready(f);
	assert_int_equal(kill(-pid, SIGKILL), 0);
	assert_int_equal(finish(pid), -SIGKILL);
	assert_null(read_file(f->paths.state, "exit", NULL));
	/* and the recorded group is that of the shell */
	char *text = read_file(f->paths.state, "pgid", NULL);
	assert_int_equal(atol(text), pid);
	free(text);
}

static void
test_command__env_lines_refuse_what_a_shell_cannot_name(void **state)
{
	(void) state;
	aut_buf out;
	aut_error err = AUT_ERROR_INIT;
	aut_buf_init(&out, 1000);
	static const char *const BAD[] = {"", "1A", "A B", "A=B", "A;rm", "\xc3\xa4"};
	for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
	{
		assert_int_equal(aut_env_line(&out, BAD[i], "x", &err), AUT_EINVAL);
		assert_non_null(strstr(err.message, "environment variable"));
	}
	assert_int_equal(aut_env_line(&out, "A_1", "a'b\n$(x)`y`\\", &err), AUT_OK);
	assert_string_equal(out.data, "export A_1='a'\\''b\n$(x)`y`\\'\n");
	aut_buf_done(&out);
	aut_buf_init(&out, 10);
	assert_int_equal(aut_env_line(&out, "A", "far too long", &err), AUT_ELIMIT);
	aut_buf_done(&out);
}

static void
test_command__paths_are_bounded(void **state)
{
	fixture *f = *state;
	char base[2000];
	memset(base, 'x', sizeof base - 1);
	base[0] = '/';
	base[sizeof base - 1] = '\0';
	aut_place place = {.work_base = base, .local = true};
	aut_attempt_paths paths;
	aut_error err = AUT_ERROR_INIT;
	assert_int_equal(aut_attempt_paths_init(&paths, &f->run, 1, &place, &err), AUT_ELIMIT);
	assert_non_null(strstr(err.message, "work folder"));
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_command__runs_and_tells_the_truth),
		TEST(test_command__second_start_of_an_attempt_is_fenced),
		TEST(test_command__setup_runs_first_and_its_failure_stops),
		TEST(test_command__missing_tarball_is_said),
		TEST(test_command__flood_keeps_the_newest_exactly),
		TEST(test_command__short_output_is_in_the_exit_file),
		TEST(test_command__output_that_may_grow_is_not_in_the_exit_file),
		TEST(test_command__output_is_there_while_it_runs_and_term_is_recorded),
		TEST(test_command__kill_of_the_group_leaves_no_exit_file),
		TEST(test_command__env_lines_refuse_what_a_shell_cannot_name),
		TEST(test_command__paths_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
