/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_engine_clean.c - clean-ups of several runs on one agent: they share a command, and each run
 * is cleaned whatever becomes of it.
 *
 * The runs end while no engine is there (end_uncleaned), so the next engine finds them all at once.
 */
#include <errno.h>

#include "engine_fixture.h"
#include "torture.h"

#define MANY 53

static char log_path[100];

/* The agent ends and comes back with these flags, and with a log of its calls from now on. */
static void
agent_again(fixture *f, const char *fault)
{
	const char *flags[] = {"--stub-log", log_path, NULL, NULL, NULL};
	size_t n = 2;
	if (fault != NULL)
	{
		flags[n++] = "--fault";
		flags[n++] = fault;
	}
	snprintf(log_path, sizeof log_path, "%s/calls", f->folder);
	assert_true(unlink(log_path) == 0 || errno == ENOENT);
	agent_stop(f);
	agent_start(f, flags);
}

static int
commands_sent(void)
{
	char line[1024];
	int count = 0;
	FILE *file = fopen(log_path, "r");
	if (file == NULL)
		return 0;
	while (fgets(line, sizeof line, file) != NULL)
		count += strstr(line, "/api/bash/start_bash_command") != NULL;
	fclose(file);
	return count;
}

/* The log is written when the agent comes to rest, which may be after its answer. */
static bool
agent_is_at_rest(fixture *f, const aut_uuid *run_id)
{
	(void) f;
	(void) run_id;
	return commands_sent() > 0;
}

static bool
is_running(fixture *f, const aut_uuid *run_id)
{
	aut_run_list list = run_of(f, run_id);
	bool running = list.items[0].status == AUT_RUN_RUNNING;
	aut_run_list_done(&list);
	return running;
}

/* The engine dies, and the runs end by somebody else's word.  That their commands were started is not known
 * any more: nobody looks at them, and all that is left to do is to clean up. */
static void
end_uncleaned(fixture *f, const aut_uuid *runs, size_t count)
{
	static const aut_stmt FORGET = {.name = "test_forget",
									.params = "",
									.columns = "",
									.sql = "UPDATE automation.run SET bash_command_id = NULL"};
	aut_error err = AUT_ERROR_INIT;
	engine_crash(f);
	for (size_t i = 0; i < count; i++)
	{
		aut_run_end end = {.id = runs[i],
						   .status = AUT_RUN_COMPLETED,
						   .from_running = true,
						   .completed_at = f->clock.now_us,
						   .cleanup_at = f->clock.now_us};
		bool won = false;
		assert_int_equal(aut_store_run_finish(f->db, &end, &won, NULL), AUT_OK);
		assert_true(won);
	}
	if (aut_db_run(f->db, &FORGET, NULL, NULL, NULL, &err) != AUT_OK)
		fail_msg("%s", err.message);
}

static void
await_all(fixture *f, bool (*holds)(fixture *, const aut_uuid *), const aut_uuid *runs,
		  size_t count, const char *what)
{
	for (size_t i = 0; i < count; i++)
		await(f, holds, &runs[i], what);
}

static bool
nothing_is_left(fixture *f, const aut_uuid *run_id)
{
	char id[AUT_UUID_TEXT_MAX], path[300];
	aut_uuid_format(run_id, id);
	snprintf(path, sizeof path, "/tmp/automation-%s.1", id);
	bool left = access(path, F_OK) == 0;
	snprintf(path, sizeof path, "%s/work/automation-runs/%s", f->folder, id);
	return !left && access(path, F_OK) != 0;
}

/* Three runs that go on, one of which does not listen to TERM; their processes are in the file "children". */
static void
start_three(fixture *f, aut_uuid runs[3])
{
	aut_uuid meek =
		create(f, "#!/bin/sh\necho $$ >>../../../children\necho on\nsleep 600\n", NULL, 900);
	aut_uuid deaf = create(f,
						   "#!/bin/sh\ntrap '' TERM\necho $$ >>../../../children\necho on\n"
						   "while :; do sleep 1; done\n",
						   NULL, 900);
	runs[0] = trigger(f, &meek);
	runs[1] = trigger(f, &deaf);
	runs[2] = trigger(f, &meek);
	await_all(f, has_output, runs, 3, "three runs to go on");
}

static void
assert_children_end(fixture *f)
{
	char *text = read_text(f->folder, "children");
	int count = 0;
	assert_non_null(text);
	for (char *at = text, *next; *at != '\0'; at = next + 1, count++)
	{
		pid_t pid = (pid_t) strtol(at, &next, 10);
		double end = seconds() + 10;
		while (is_alive(pid) && seconds() < end)
			usleep(10000);
		assert_false(is_alive(pid));
	}
	assert_int_equal(count, 3);
	free(text);
}

static void
test_clean__runs_on_one_agent_share_a_command(void **state)
{
	fixture *f = *state;
	aut_uuid runs[3];
	start_three(f, runs);
	end_uncleaned(f, runs, 3);
	agent_again(f, NULL);
	engine_start(f);
	await_all(f, is_clean, runs, 3, "the runs to be cleaned");
	await_all(f, nothing_is_left, runs, 3, "their files to go");
	assert_children_end(f);
	await(f, agent_is_at_rest, NULL, "the log of calls");
	assert_int_equal(commands_sent(), 1);
}

/* What a fault of the shared command leads to: each run cleans up by a command of its own. */
static void
share_with(fixture *f, const char *fault, int commands)
{
	aut_uuid runs[3];
	start_three(f, runs);
	end_uncleaned(f, runs, 3);
	agent_again(f, fault);
	engine_start(f);
	await_all(f, is_clean, runs, 3, "the runs to be cleaned");
	await_all(f, nothing_is_left, runs, 3, "their files to go");
	assert_children_end(f);
	double end = seconds() + 10;
	while (commands_sent() < commands && seconds() < end)
		usleep(10000);
	assert_int_equal(commands_sent(), commands);
}

static void
test_clean__a_refused_command_leaves_each_to_itself(void **state)
{
	share_with(*state, "start:400:1", 4);
}

static void
test_clean__a_failed_command_leaves_each_to_itself(void **state)
{
	share_with(*state, "start:503:1", 4);
}

static void
test_clean__a_lost_answer_is_no_trouble(void **state)
{
	share_with(*state, "start:drop:1", 4);
}

/* One of the commands that followed is refused for good: its run alone is given up, and released. */
static void
test_clean__one_that_fails_does_not_keep_the_others(void **state)
{
	fixture *f = *state;
	aut_uuid runs[3];
	start_three(f, runs);
	end_uncleaned(f, runs, 3);
	agent_again(f, "start:400:2");
	engine_start(f);
	await_all(f, is_clean, runs, 3, "the runs to be released");
	int left = 3;
	double end = seconds() + 10;
	while (left != 1 && seconds() < end)
	{
		usleep(10000);
		left = 0;
		for (size_t i = 0; i < 3; i++)
			left += !nothing_is_left(f, &runs[i]);
	}
	assert_int_equal(left, 1);
	/* its processes and files are the test's to remove */
	for (size_t i = 0; i < 3; i++)
	{
		char id[AUT_UUID_TEXT_MAX], folder[200], command[300];
		aut_uuid_format(&runs[i], id);
		snprintf(folder, sizeof folder, "/tmp/automation-%s.1", id);
		char *group = read_text(folder, "pgid");
		if (group != NULL)
			kill((pid_t) -strtol(group, NULL, 10), SIGKILL);
		free(group);
		snprintf(command, sizeof command, "rm -rf %s", folder);
		assert_int_equal(system(command), 0);
	}
}

static void
test_clean__an_agent_that_is_away_cleans_up_when_it_is_back(void **state)
{
	fixture *f = *state;
	aut_uuid runs[3];
	start_three(f, runs);
	end_uncleaned(f, runs, 3);
	agent_stop(f);
	engine_start(f);
	int64_t back_at = f->clock.now_us + 2 * AUT_US_PER_S;
	while (f->clock.now_us < back_at)
	{
		aut_loop_wait(f->loop, 2);
		aut_clock_manual_advance(&f->clock, 20 * AUT_US_PER_MS);
	}
	for (size_t i = 0; i < 3; i++)
		assert_false(is_clean(f, &runs[i]));
	agent_again(f, NULL); /* same port */
	await_all(f, is_clean, runs, 3, "the runs to be cleaned");
	await_all(f, nothing_is_left, runs, 3, "their files to go");
	assert_children_end(f);
}

/* It dies with the command on the way and comes back at another address. */
static void
test_clean__an_agent_that_restarts_elsewhere_is_asked_again(void **state)
{
	fixture *f = *state;
	aut_uuid runs[3];
	start_three(f, runs);
	end_uncleaned(f, runs, 3);
	agent_again(f, "start:delay=60000:1");
	engine_start(f);
	await(f, agent_is_at_rest, NULL, "the command to be on its way");
	for (size_t i = 0; i < 3; i++)
		assert_false(is_clean(f, &runs[i]));
	f->port = 0;
	agent_again(f, NULL);
	aut_backend *old = f->backend;
	backend_start(f);
	aut_engine_set_backend(f->engine, f->backend);
	aut_backend_free(old);
	await_all(f, is_clean, runs, 3, "the runs to be cleaned");
	await_all(f, nothing_is_left, runs, 3, "their files to go");
	assert_children_end(f);
}

static void
test_clean__cancelled_runs_are_cleaned(void **state)
{
	fixture *f = *state;
	aut_uuid runs[3];
	start_three(f, runs);
	for (size_t i = 0; i < 3; i++)
	{
		aut_call call;
		json_t *out = NULL;
		aut_call_init(&call, f->db, &f->settings, aut_identity_local(), f->clock.now_us);
		assert_int_equal(aut_service_run_cancel(&call, &runs[i], &out, NULL), AUT_OK);
		json_decref(out);
		aut_engine_wake(f->engine, call.effects);
		aut_call_done(&call);
	}
	await_all(f, is_clean, runs, 3, "the runs to be cleaned");
	await_all(f, nothing_is_left, runs, 3, "their files to go");
	assert_children_end(f);
}

/* The crash comes with the command on its way: the next engine cleans up again. */
static void
test_clean__a_crash_forgets_no_clean_up(void **state)
{
	fixture *f = *state;
	aut_uuid runs[3];
	start_three(f, runs);
	end_uncleaned(f, runs, 3);
	agent_again(f, "start:delay=60000:1");
	engine_start(f);
	await(f, agent_is_at_rest, NULL, "the command to be on its way");
	engine_crash(f);
	engine_start(f);
	await_all(f, is_clean, runs, 3, "the runs to be cleaned");
	await_all(f, nothing_is_left, runs, 3, "their files to go");
	assert_children_end(f);
}

static void
test_clean__a_command_takes_fifty_runs(void **state)
{
	fixture *f = *state;
	aut_uuid id = create(f, "#!/bin/sh\n", NULL, 60), runs[MANY];
	f->settings.max_parallel_runs = MANY;
	for (size_t i = 0; i < MANY; i++)
		runs[i] = trigger(f, &id);
	await_all(f, is_running, runs, MANY, "the runs to be claimed");
	end_uncleaned(f, runs, MANY);
	agent_again(f, NULL); /* a real one, on which there is nothing to remove */
	engine_start(f);
	await_all(f, is_clean, runs, MANY, "the runs to be cleaned");
	double end = seconds() + 10;
	while (commands_sent() < 2 && seconds() < end)
		usleep(10000);
	assert_int_equal(commands_sent(), 2);
}

/* Whatever allocation fails, the runs are cleaned, together or alone. */
static void
test_clean__survives_every_failing_allocation(void **state)
{
	fixture *f = *state;
	static const aut_allocator failing = {torture_alloc, torture_realloc, torture_free, NULL};
	aut_uuid id = create(f, "#!/bin/sh\n", NULL, 60), runs[3];
	size_t step = getenv("AUT_TEST_LONG") != NULL ? 1 : 3;
	for (size_t n = 1; n < 20000; n += step)
	{
		for (size_t i = 0; i < 3; i++)
			runs[i] = trigger(f, &id);
		await_all(f, is_running, runs, 3, "the runs to be claimed");
		end_uncleaned(f, runs, 3);
		torture_state.made = torture_state.live = 0;
		torture_state.fail_at = n;
		torture_state.failed = false;
		aut_allocator_set(&failing);
		aut_engine_options options = {.loop = f->loop,
									  .turn = &f->turn,
									  .http = f->http,
									  .backend = f->backend,
									  .settings = &f->settings,
									  .clock = &f->clock.clock,
									  .worker = "test",
									  .pid = getpid(),
									  .api_url = "",
									  .take_over = true};
		while (aut_engine_new(&options, &f->engine, NULL) != AUT_OK)
			;
		await_all(f, is_clean, runs, 3, "the runs to be cleaned without memory");
		bool failed = torture_state.failed;
		engine_crash(f);
		aut_loop_wait(f->loop, 0);
		aut_allocator_set(NULL);
		engine_start(f);
		if (!failed)
		{
			assert_true(n > 50);
			return;
		}
	}
	fail_msg("still failing");
}

int
main(void)
{
	signal(SIGPIPE, SIG_IGN);
#define TEST(name)      cmocka_unit_test_setup_teardown(name, setup, teardown)
#define STUB_TEST(name) cmocka_unit_test_setup_teardown(name, setup_stub, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_clean__runs_on_one_agent_share_a_command),
		TEST(test_clean__a_refused_command_leaves_each_to_itself),
		TEST(test_clean__a_failed_command_leaves_each_to_itself),
		TEST(test_clean__a_lost_answer_is_no_trouble),
		TEST(test_clean__one_that_fails_does_not_keep_the_others),
		TEST(test_clean__an_agent_that_is_away_cleans_up_when_it_is_back),
		TEST(test_clean__an_agent_that_restarts_elsewhere_is_asked_again),
		TEST(test_clean__cancelled_runs_are_cleaned),
		TEST(test_clean__a_crash_forgets_no_clean_up),
		STUB_TEST(test_clean__a_command_takes_fifty_runs),
		STUB_TEST(test_clean__survives_every_failing_allocation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
