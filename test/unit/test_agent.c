/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_agent.c - how a daemon finds and starts the embedded agent, and the agent's parsers.
 *
 * aut_agent_ensure starts "this program" as `agent`, so this program has that command, too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "standalone/agent.h"
#include "standalone/agent_internal.h"

typedef struct fixture
{
	char data[64];
} fixture;

static int
remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where)
{
	(void) info;
	(void) kind;
	(void) where;
	return remove(path);
}

static long
read_pid(const fixture *f)
{
	json_error_t problem;
	char *path = aut_printf("%s/agent.json", f->data);
	json_t *state = json_load_file(path, 0, &problem);
	long pid = state != NULL ? (long) json_integer_value(json_object_get(state, "pid")) : 0;

	json_decref(state);
	aut_free(path);
	return pid;
}

/* The agent is nobody's child: wait until the process is gone. */
static void
end_agent(const fixture *f, int signum)
{
	long pid = read_pid(f);

	if (pid > 1)
	{
		kill((pid_t) pid, signum);
		for (int i = 0; i < 1000 && kill((pid_t) pid, 0) == 0; i++)
		{
			poll(NULL, 0, 10);
		}
	}
}

static int
setup(void **state)
{
	fixture *f = calloc(1, sizeof *f);

	snprintf(f->data, sizeof f->data, "/tmp/test_agent.XXXXXX");
	*state = f;
	return mkdtemp(f->data) != NULL ? 0 : -1;
}

static int
teardown(void **state)
{
	fixture *f = *state;

	end_agent(f, SIGTERM);
	nftw(f->data, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

static void
ensure(const fixture *f, char **url, char **key)
{
	aut_error err = AUT_ERROR_INIT;

	*url = NULL;
	*key = NULL;
	if (aut_agent_ensure(f->data, url, key, &err) != AUT_OK)
	{
		fail_msg("%s", err.message);
	}
	assert_non_null(strstr(*url, "http://127.0.0.1:"));
	assert_int_equal(strlen(*key), 64);
}

static void
test_ensure__starts_an_agent_and_finds_it_again(void **state)
{
	fixture *f = *state;
	char *url;
	char *key;
	char *url_again;
	char *key_again;
	long pid;

	ensure(f, &url, &key);
	pid = read_pid(f);
	assert_true(pid > 1);
	assert_int_equal(getsid((pid_t) pid) == getsid(0), 0); /* a session of its own */
	ensure(f, &url_again, &key_again);
	assert_string_equal(url, url_again);
	assert_string_equal(key, key_again);
	assert_int_equal(read_pid(f), pid);
	aut_free(url);
	aut_free(key);
	aut_free(url_again);
	aut_free(key_again);
}

static void
test_ensure__starts_anew_after_a_crash(void **state)
{
	fixture *f = *state;
	char *url;
	char *key;
	char *key_again;
	long pid;

	ensure(f, &url, &key);
	aut_free(url);
	pid = read_pid(f);
	end_agent(f, SIGKILL); /* agent.json stays behind */
	assert_int_equal(read_pid(f), pid);
	ensure(f, &url, &key_again);
	assert_true(read_pid(f) != pid);
	assert_string_not_equal(key, key_again);
	aut_free(url);
	aut_free(key);
	aut_free(key_again);
}

static void
test_ensure__does_not_believe_a_state_file_with_another_key(void **state)
{
	fixture *f = *state;
	fixture other = {{0}};
	char *url;
	char *key;
	char *second_url;
	char *second_key;
	char *path;
	FILE *file;

	/* a foreign agent on the port that the stale file names */
	ensure(f, &url, &key);
	snprintf(other.data, sizeof other.data, "/tmp/test_agent.XXXXXX");
	assert_non_null(mkdtemp(other.data));
	path = aut_printf("%s/agent.json", other.data);
	file = fopen(path, "w");
	fprintf(file, "{\"url\":\"%s\",\"key\":\"%064d\",\"pid\":1}", url, 0);
	fclose(file);
	ensure(&other, &second_url, &second_key);
	assert_string_not_equal(url, second_url);
	end_agent(&other, SIGTERM);
	nftw(other.data, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	aut_free(path);
	aut_free(url);
	aut_free(key);
	aut_free(second_url);
	aut_free(second_key);
}

static void
test_ensure__fails_with_a_reason(void **state)
{
	char *url = NULL;
	char *key = NULL;
	aut_error err = AUT_ERROR_INIT;

	(void) state;
	assert_int_not_equal(aut_agent_ensure("/nonexistent/folder", &url, &key, &err), AUT_OK);
	assert_non_null(strstr(err.message, "/nonexistent/folder"));
	assert_null(url);
	assert_null(key);
}

static void
test_fault__rules_are_read_and_counted(void **state)
{
	agentd agent = {0};
	aut_error err = AUT_ERROR_INIT;
	static const char *const bad[] = {
		"",           "upload",      ":500",     "upload:",  "upload:abc",   "upload:200",
		"upload:600", "upload:500:", "x:drop:y", "x:delay=", "x:delay=-1:1", NULL};

	(void) state;
	for (size_t i = 0; bad[i] != NULL; i++)
	{
		agentd_fault fault;

		assert_int_equal(agentd_fault_parse(bad[i], &fault, &err), AUT_EINVAL);
	}
	assert_int_equal(agentd_fault_parse("start:drop", &agent.options.faults[0], &err), AUT_OK);
	assert_int_equal(agentd_fault_parse("any:delay=50:2", &agent.options.faults[1], &err), AUT_OK);
	agent.options.fault_count = 2;
	assert_int_equal(agentd_fault_take(&agent, "start")->kind, FAULT_DROP);
	assert_int_equal(agentd_fault_take(&agent, "start")->kind, FAULT_DELAY);
	assert_int_equal(agentd_fault_take(&agent, "upload")->value, 50);
	assert_null(agentd_fault_take(&agent, "upload"));
}

static void
test_multipart__any_cut_is_safe(void **state)
{
	static const char body[] =
		"--B\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n1\r\n"
		"--B\r\nContent-Type: a/b\r\n"
		"content-disposition: form-data; name=\"file\"; filename=\"u\"\r\n\r\n"
		"data\r\n--B--\r\n";
	const char *data;
	size_t len;

	(void) state;
	assert_int_equal(agentd_multipart_find("multipart/form-data; boundary=\"B\"", body,
										   sizeof body - 1, "file", &data, &len),
					 MULTIPART_OK);
	assert_int_equal(len, 4);
	assert_memory_equal(data, "data", 4);
	for (size_t cut = 0; cut < sizeof body - 1; cut++)
	{
		/* on a copy of exactly this size, so that a sanitizer sees one byte too many */
		char *copy = malloc(cut > 0 ? cut : 1);
		agentd_multipart found;

		memcpy(copy, body, cut);
		found = agentd_multipart_find("multipart/form-data; boundary=B", copy, cut, "file", &data,
									  &len);
		assert_int_equal(found, cut >= sizeof body - 1 - 4 ? MULTIPART_OK : MULTIPART_MISSING);
		free(copy);
	}
	assert_int_equal(agentd_multipart_find(NULL, body, 5, "file", &data, &len), MULTIPART_MISSING);
	assert_int_equal(
		agentd_multipart_find("multipart/form-data; boundary=", body, 5, "file", &data, &len),
		MULTIPART_MISSING);
}

static void
test_run_id__is_found_in_any_text(void **state)
{
	char id[AUT_UUID_TEXT_MAX] = "";
	const char *text =
		"tar xzf '/tmp/automation-x automation-0190c0de-0000-7000-8000-000000000001.tar.gz'";

	(void) state;
	assert_true(agentd_find_run_id(text, strlen(text), id));
	assert_string_equal(id, "0190c0de-0000-7000-8000-000000000001");
	assert_false(agentd_find_run_id(text, 40, id));
	assert_false(agentd_find_run_id("", 0, id));
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ensure__starts_an_agent_and_finds_it_again, setup,
										teardown),
		cmocka_unit_test_setup_teardown(test_ensure__starts_anew_after_a_crash, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ensure__does_not_believe_a_state_file_with_another_key,
										setup, teardown),
		cmocka_unit_test(test_ensure__fails_with_a_reason),
		cmocka_unit_test(test_fault__rules_are_read_and_counted),
		cmocka_unit_test(test_multipart__any_cut_is_safe),
		cmocka_unit_test(test_run_id__is_found_in_any_text),
	};

	if (argc > 1 && strcmp(argv[1], "agent") == 0)
	{
		return aut_cmd_agent(argc - 1, argv + 1);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
