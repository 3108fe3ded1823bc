/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_engine.c - the engine over a real SQLite file and a real agent process: runs in every
 * state, crashes, and agents that go away (the fixture tells how).
 */
#include <sys/stat.h>

#include "test/unit/engine_fixture.h"
#include "test/unit/torture.h"

/* ---- tests --------------------------------------------------------------------------------- */

static void
test_engine__run_ends_with_its_true_result(void **state)
{
	fixture *f = *state;
	aut_uuid good = create(f, "#!/bin/sh\necho fine\n", NULL, 60);
	aut_uuid bad = create(f, "#!/bin/sh\necho oh no >&2\nexit 3\n", NULL, 60);
	aut_uuid a = trigger(f, &good), b = trigger(f, &bad);
	await(f, is_clean, &a, "the good run to be cleaned");
	await(f, is_clean, &b, "the bad run to be cleaned");
	assert_ended(f, &a, AUT_RUN_COMPLETED, NULL);
	assert_ended(f, &b, AUT_RUN_FAILED, "exit_code=3\noh no");
	char *text = output_of(f, &a);
	assert_string_equal(text, "fine\n");
	aut_free(text);
	aut_run_list list = run_of(f, &b);
	assert_int_equal(list.items[0].exit_code, 3);
	assert_int_equal(list.items[0].attempt, 1);
	json_t *detail = NULL;
	assert_int_equal(aut_json_parse(list.items[0].status_detail,
									strlen(list.items[0].status_detail), &detail, NULL),
					 AUT_OK);
	assert_string_equal(aut_json_string(detail, "kind"), "execution_error");
	assert_false(json_is_true(json_object_get(detail, "transient")));
	json_decref(detail);
	aut_run_list_done(&list);
}

static void
test_engine__nothing_of_a_run_stays_on_the_agent(void **state)
{
	fixture *f = *state;
	aut_uuid id =
		create(f, "#!/bin/sh\nsleep 600 >/dev/null 2>&1 &\necho $! >../../../child\n", NULL, 60);
	aut_uuid run = trigger(f, &id);
	await(f, is_clean, &run, "the run to be cleaned");
	char run_text[AUT_UUID_TEXT_MAX], state_folder[200], work[200];
	aut_uuid_format(&run, run_text);
	snprintf(state_folder, sizeof state_folder, "/tmp/automation-%s.1", run_text);
	snprintf(work, sizeof work, "%s/work/automation-runs/%s", f->folder, run_text);
	double end = seconds() + 10;
	while ((access(state_folder, F_OK) == 0 || access(work, F_OK) == 0) && seconds() < end)
		usleep(10000);
	assert_int_equal(access(state_folder, F_OK), -1);
	assert_int_equal(access(work, F_OK), -1);
	assert_child_ends(f);
}

static void
test_engine__schedule_fires_once_a_slot_and_records_a_gap(void **state)
{
	fixture *f = *state;
	aut_uuid id = create(f, "#!/bin/sh\n", "*/5 * * * *", 60);
	aut_run_list runs;
	aut_rows rows = {0};
	/* twelve minutes pass: two slots, each fired at its time */
	for (int i = 0; i < 12 * 60; i++)
	{
		aut_clock_manual_advance(&f->clock, AUT_US_PER_S);
		aut_loop_wait(f->loop, 0);
	}
	assert_int_equal(aut_store_run_list(f->db, &id, 10, 0, &runs, NULL), AUT_OK);
	assert_int_equal(runs.count, 2);
	assert_int_equal(runs.items[1].scheduled_for, T0 + 300 * AUT_US_PER_S);
	assert_int_equal(runs.items[0].scheduled_for, T0 + 600 * AUT_US_PER_S);
	assert_true(runs.items[0].created_at - runs.items[0].scheduled_for <= AUT_US_PER_S);
	aut_run_list_done(&runs);

	/* an hour in which nobody is there: one catch-up of the latest slot, one gap for the others */
	engine_crash(f);
	aut_clock_manual_advance(&f->clock, 3600 * AUT_US_PER_S);
	engine_start(f);
	for (int i = 0; i < 5; i++)
		aut_loop_wait(f->loop, 1);
	assert_int_equal(aut_store_run_list(f->db, &id, 10, 0, &runs, NULL), AUT_OK);
	assert_int_equal(runs.count, 3);
	assert_int_equal(runs.items[0].scheduled_for, T0 + 4200 * AUT_US_PER_S);
	aut_run_list_done(&runs);
	static const aut_stmt GAP = {
		"test_gap",
		"u",
		"TTl",
		"SELECT first_missed, last_missed, missed FROM automation.gap WHERE automation_id = $1",
		NULL,
		NULL,
		false};
	aut_value params[] = {aut_v_uuid(&id)};
	aut_error err = AUT_ERROR_INIT;
	if (aut_db_run(f->db, &GAP, params, &rows, NULL, &err) != AUT_OK)
		fail_msg("%s", err.message);
	assert_int_equal(rows.count, 1);
	assert_int_equal(aut_rows_time(&rows, 0, 0), T0 + 900 * AUT_US_PER_S);
	assert_int_equal(aut_rows_time(&rows, 0, 1), T0 + 3900 * AUT_US_PER_S);
	assert_int_equal(aut_rows_int(&rows, 0, 2), 11);
	aut_rows_done(&rows);
}

static void
test_engine__clock_set_back_fires_no_slot_twice(void **state)
{
	fixture *f = *state;
	aut_uuid id = create(f, "#!/bin/sh\n", "* * * * *", 60);
	aut_run_list runs;
	for (int i = 0; i < 130; i++)
	{
		aut_clock_manual_advance(&f->clock, AUT_US_PER_S);
		aut_loop_wait(f->loop, 0);
	}
	f->clock.now_us -= 100 * AUT_US_PER_S; /* the wall clock is set back; the other goes on */
	for (int i = 0; i < 160; i++)
	{
		aut_clock_manual_advance(&f->clock, AUT_US_PER_S);
		aut_loop_wait(f->loop, 0);
	}
	assert_int_equal(aut_store_run_list(f->db, &id, 100, 0, &runs, NULL), AUT_OK);
	assert_int_equal(runs.count, 3); /* 12:01, 12:02, 12:03: now is 12:03:10 */
	aut_run_list_done(&runs);
}

static void
agent_restart(fixture *f, const char *const *flags)
{
	agent_stop(f);
	agent_start(f, flags);
	aut_backend *old = f->backend;
	backend_start(f);
	aut_engine_set_backend(f->engine, f->backend);
	aut_backend_free(old);
}

static void
test_engine__agent_may_be_away_while_a_run_is_prepared(void **state)
{
	fixture *f = *state;
	aut_uuid id = create(f, "#!/bin/sh\necho late\n", NULL, 60);
	agent_stop(f);
	aut_uuid run = trigger(f, &id);
	int64_t back_at = f->clock.now_us + 4 * AUT_US_PER_S;
	while (f->clock.now_us < back_at)
	{
		aut_loop_wait(f->loop, 2);
		aut_clock_manual_advance(&f->clock, 20 * AUT_US_PER_MS);
		assert_false(has_ended(f, &run));
	}
	agent_start(f, NULL);
	await(f, has_ended, &run, "the run of an agent that was away for seconds");
	assert_ended(f, &run, AUT_RUN_COMPLETED, NULL);
}

static void
test_engine__automation_without_a_tarball_is_switched_off(void **state)
{
	fixture *f = *state;
	aut_uuid id = create(f, "#!/bin/sh\necho never\n", NULL, 60);
	aut_automation_list list = {0};
	const aut_uuid *org = &aut_identity_local()->org_id;
	aut_uuid upload;
	assert_int_equal(aut_store_automation_get(f->db, org, &id, &list, NULL), AUT_OK);
	const char *address = strrchr(list.items[0].tarball_path, '/') + 1;
	assert_true(aut_uuid_parse(address, strlen(address), &upload));
	aut_automation_list_done(&list);
	assert_int_equal(aut_store_upload_delete(f->db, &upload, f->clock.now_us, NULL), AUT_OK);
	aut_uuid run = trigger(f, &id);
	await(f, is_clean, &run, "the run without a tarball");
	assert_ended(f, &run, AUT_RUN_FAILED, "the tarball of the automation is gone");
	assert_int_equal(aut_store_automation_get(f->db, org, &id, &list, NULL), AUT_OK);
	assert_string_equal(list.items[0].state, "INACTIVE");
	assert_non_null(strstr(list.items[0].disabled_reason, "tarball"));
	assert_non_null(strstr(list.items[0].disabled_detail, "TarballNotFoundError"));
	aut_automation_list_done(&list);
}

static void
test_engine__upload_is_repeated_and_given_up(void **state)
{
	fixture *f = *state;
	static const char *const TWICE[] = {"--fault", "upload:503:2", NULL};
	agent_restart(f, TWICE);
	aut_uuid id = create(f, "#!/bin/sh\necho in the end\n", NULL, 60);
	aut_uuid run = trigger(f, &id);
	await(f, has_ended, &run, "the run to end in spite of two failed uploads");
	assert_ended(f, &run, AUT_RUN_COMPLETED, NULL);

	static const char *const ALWAYS[] = {"--fault", "upload:503:*", NULL};
	agent_restart(f, ALWAYS);
	run = trigger(f, &id);
	await(f, is_clean, &run, "the run to be given up");
	assert_ended(f, &run, AUT_RUN_FAILED, "upload: the agent server answered 503");
	aut_run_list list = run_of(f, &run);
	assert_non_null(strstr(list.items[0].status_detail, "\"server_error\""));
	assert_non_null(strstr(list.items[0].status_detail, "\"transient\":true"));
	aut_run_list_done(&list);

	static const char *const REFUSED[] = {"--fault", "upload:400:*", NULL};
	agent_restart(f, REFUSED);
	run = trigger(f, &id);
	await(f, is_clean, &run, "the run to fail at once");
	assert_ended(f, &run, AUT_RUN_FAILED, "answered 400");
}

static void
test_engine__lost_answer_of_a_start_runs_it_once(void **state)
{
	fixture *f = *state;
	static const char *const DROP[] = {"--fault", "start:drop:1", NULL};
	agent_restart(f, DROP);
	aut_uuid id = create(f, "#!/bin/sh\necho once >>../../../count\nsleep 1\nexit 4\n", NULL, 60);
	aut_uuid run = trigger(f, &id);
	await(f, has_ended, &run, "the run to end");
	assert_ended(f, &run, AUT_RUN_FAILED, "exit_code=4");
	char *count = read_text(f->folder, "count");
	assert_non_null(count);
	assert_string_equal(count, "once\n");
	free(count);
}

static void
test_engine__without_downloads_events_tell(void **state)
{
	fixture *f = *state;
	static const char *const OLD[] = {"--fault", "download:404:*", NULL};
	agent_restart(f, OLD);
	aut_uuid id = create(f, "#!/bin/sh\necho unseen\nexit 6\n", NULL, 60);
	aut_uuid run = trigger(f, &id);
	await(f, is_clean, &run, "the run to end by its event");
	assert_ended(f, &run, AUT_RUN_FAILED, "exit_code=6");
}

static void
test_engine__time_limit_is_told_as_such(void **state)
{
	fixture *f = *state;
	aut_uuid id = create(f, "#!/bin/sh\necho begun\nsleep 60\n", NULL, 1);
	aut_uuid deaf =
		create(f, "#!/bin/sh\ntrap '' TERM\necho deaf\nwhile :; do sleep 1; done\n", NULL, 1);
	aut_uuid a = trigger(f, &id), b = trigger(f, &deaf);
	await(f, has_ended, &a, "the run to be ended by its limit");
	await(f, has_ended, &b, "the deaf run to be ended by its limit");
	assert_ended(f, &a, AUT_RUN_FAILED, "Timed out: the run reached its time limit of 1 s\nbegun");
	assert_ended(f, &b, AUT_RUN_FAILED, "Timed out: the run reached its time limit of 1 s\ndeaf");
}

static void
cancel(fixture *f, const aut_uuid *run)
{
	aut_call call;
	json_t *out = NULL;
	aut_error err = AUT_ERROR_INIT;
	aut_call_init(&call, f->db, &f->settings, aut_identity_local(), f->clock.now_us);
	if (aut_service_run_cancel(&call, run, &out, &err) != AUT_OK)
		fail_msg("%s", err.message);
	json_decref(out);
	if (f->engine != NULL)
		aut_engine_wake(f->engine, call.effects);
	aut_call_done(&call);
}

static const char NESTED[] =
	"#!/bin/sh\nsh -c 'echo $$ >../../../child; trap \"\" TERM; echo up; while :; do "
	"sleep 1; done' &\nwait\n";

static void
test_engine__cancel_reaches_the_whole_group(void **state)
{
	fixture *f = *state;
	aut_uuid id = create(f, NESTED, NULL, 600);
	aut_uuid run = trigger(f, &id);
	await(f, has_output, &run, "the run to say something");
	cancel(f, &run);
	await(f, is_clean, &run, "the cancelled run to be cleaned");
	assert_ended(f, &run, AUT_RUN_CANCELLED, "Cancelled by user");
	assert_child_ends(f);
}

static void
test_engine__cancel_works_without_a_stop_route_and_after_a_crash(void **state)
{
	fixture *f = *state;
	static const char *const OLD[] = {"--fault", "stop:404:*", NULL};
	agent_restart(f, OLD);
	aut_uuid id = create(f, NESTED, NULL, 600);
	aut_uuid run = trigger(f, &id);
	await(f, has_output, &run, "the run to say something");
	engine_crash(f);
	cancel(f, &run); /* while no engine is there */
	engine_start(f);
	await(f, is_clean, &run, "the cancelled run to be cleaned");
	assert_ended(f, &run, AUT_RUN_CANCELLED, "Cancelled by user");
	assert_child_ends(f);
}

static void
test_engine__run_is_found_again_after_a_crash(void **state)
{
	fixture *f = *state;
	aut_uuid id = create(
		f, "#!/bin/sh\necho once >>../../../count\necho a\nsleep 1\necho b\nexit 5\n", NULL, 60);
	aut_uuid run = trigger(f, &id);
	await(f, has_output, &run, "the run to say something");
	engine_crash(f);
	engine_start(f);
	await(f, is_clean, &run, "the run to be found again and end");
	assert_ended(f, &run, AUT_RUN_FAILED, "exit_code=5");
	char *text = output_of(f, &run);
	assert_string_equal(text, "a\nb\n");
	aut_free(text);
	char *count = read_text(f->folder, "count");
	assert_string_equal(count, "once\n");
	free(count);
}

/* A crash after every number of rounds between the claim and the end: executed once, true result. */
static void
test_engine__crash_at_any_round_executes_once(void **state)
{
	fixture *f = *state;
	aut_uuid id =
		create(f, "#!/bin/sh\necho $AUTOMATION_RUN_ID >>../../../count\nexit 5\n", NULL, 60);
	for (int rounds = 1; rounds <= 40; rounds++)
	{
		aut_uuid run = trigger(f, &id);
		for (int i = 0; i < rounds; i++)
			aut_loop_wait(f->loop, 1);
		engine_crash(f);
		engine_start(f);
		await(f, is_clean, &run, "the run to end");
		assert_ended(f, &run, AUT_RUN_FAILED, "exit_code=5");
		char run_text[AUT_UUID_TEXT_MAX];
		aut_uuid_format(&run, run_text);
		char *count = read_text(f->folder, "count");
		assert_non_null(count);
		char *first = strstr(count, run_text);
		assert_non_null(first);
		assert_null(strstr(first + 1, run_text));
		free(count);
		char path[128];
		snprintf(path, sizeof path, "%s/count", f->folder);
		assert_int_equal(unlink(path), 0);
	}
}

static void
test_engine__run_whose_agent_restarts_ends_with_its_true_result(void **state)
{
	fixture *f = *state;
	aut_uuid id = create(f, "#!/bin/sh\necho a\nsleep 1\necho b\nexit 8\n", NULL, 600);
	aut_uuid run = trigger(f, &id);
	await(f, has_output, &run, "the run to say something");
	agent_restart(f, NULL);
	await(f, has_ended, &run, "the run to end");
	assert_ended(f, &run, AUT_RUN_FAILED, "exit_code=8\na\nb");
}

static void
test_engine__run_that_vanished_is_told_as_lost(void **state)
{
	fixture *f = *state;
	aut_uuid id = create(f, "#!/bin/sh\necho $$ >../../../child\necho up\nsleep 600\n", NULL, 600);
	aut_uuid run = trigger(f, &id);
	await(f, has_output, &run, "the run to say something");
	/* the agent dies, and with it the run's whole group, as in a restart of the machine */
	agent_stop(f);
	char run_text[AUT_UUID_TEXT_MAX], folder[200];
	aut_uuid_format(&run, run_text);
	snprintf(folder, sizeof folder, "/tmp/automation-%s.1", run_text);
	char *group = read_text(folder, "pgid");
	assert_non_null(group);
	assert_int_equal(kill((pid_t) -strtol(group, NULL, 10), SIGKILL), 0);
	free(group);
	/* looks meet a refused connection, then the agent is back */
	for (int i = 0; i < 300; i++)
	{
		aut_loop_wait(f->loop, 1);
		aut_clock_manual_advance(&f->clock, 20 * AUT_US_PER_MS);
	}
	agent_start(f, NULL); /* same port */
	await(f, is_clean, &run, "the run to be told as lost");
	assert_ended(f, &run, AUT_RUN_FAILED, "Timed out: nothing of the run is left");
}

static void
test_engine__agent_gone_for_good_does_not_keep_a_run_running(void **state)
{
	fixture *f = *state;
	aut_uuid id = create(f, "#!/bin/sh\nsleep 600\n", NULL, 1);
	aut_uuid run = trigger(f, &id);
	await(f, is_started, &run, "the run to start");
	agent_stop(f);
	double end = seconds() + 20;
	while (!has_ended(f, &run) && seconds() < end)
	{
		aut_loop_wait(f->loop, 1);
		aut_clock_manual_advance(&f->clock, AUT_US_PER_S);
	}
	assert_ended(f, &run, AUT_RUN_FAILED, "Timed out: ");
	aut_run_list list = run_of(f, &run);
	/* hard cap: started + 300 + 1 + 600 s */
	assert_true(list.items[0].completed_at - list.items[0].started_at >= 901 * AUT_US_PER_S);
	assert_true(list.items[0].completed_at - list.items[0].started_at <= 1000 * AUT_US_PER_S);
	assert_non_null(strstr(list.items[0].status_detail, "environment_unavailable"));
	aut_run_list_done(&list);
	/* its group, left behind by the dead agent */
	char run_text[AUT_UUID_TEXT_MAX], folder[200], command[300];
	aut_uuid_format(&run, run_text);
	snprintf(folder, sizeof folder, "/tmp/automation-%s.1", run_text);
	char *group = read_text(folder, "pgid");
	if (group != NULL)
		kill((pid_t) -strtol(group, NULL, 10), SIGKILL);
	free(group);
	snprintf(command, sizeof command, "rm -rf %s", folder);
	assert_int_equal(system(command), 0);
}

/* A run's state folder on this machine's agent. */
static bool
is_left(const aut_uuid *run)
{
	char run_text[AUT_UUID_TEXT_MAX], folder[200];
	aut_uuid_format(run, run_text);
	snprintf(folder, sizeof folder, "/tmp/automation-%s.1", run_text);
	return access(folder, F_OK) == 0;
}

static bool
is_quiet(fixture *f, const aut_uuid *run_id)
{
	(void) run_id;
	return aut_turn_empty(&f->turn) && aut_engine_quiet(f->engine);
}

static bool
nothing_is_left(fixture *f, const aut_uuid *run_id)
{
	(void) f;
	return !is_left(run_id);
}

static void
test_engine__stopping_cleans_up_what_has_ended(void **state)
{
	fixture *f = *state;
	aut_uuid id = create(f, "#!/bin/sh\n", NULL, 60);
	aut_uuid run = trigger(f, &id);
	await(f, has_ended, &run, "the run to end");
	aut_engine_stop(f->engine);
	await(f, is_quiet, &run, "the engine to be quiet");
	assert_true(is_clean(f, &run));
	await(f, nothing_is_left, &run, "the agent to remove the run's files");
}

/* Nobody was there to see the end; the agent's file system was. */
static void
test_engine__end_that_was_noticed_late_has_its_own_time(void **state)
{
	fixture *f = *state;
	aut_uuid id = create(f, "#!/bin/sh\n", NULL, 60);
	aut_uuid run = trigger(f, &id);
	char run_text[AUT_UUID_TEXT_MAX], path[200];
	struct timespec times[2] = {{0}, {0}};
	aut_uuid_format(&run, run_text);
	snprintf(path, sizeof path, "/tmp/automation-%s.1/exit", run_text);
	await(f, is_started, &run, "the run to be started");
	engine_crash(f); /* at most a round later: before any look at it */
	double end = seconds() + 10;
	while (access(path, F_OK) != 0 && seconds() < end)
		usleep(10000);
	times[0].tv_sec = times[1].tv_sec = time(NULL) - 3600;
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	aut_clock_manual_advance(&f->clock, 7200 * AUT_US_PER_S);
	engine_start(f);
	await(f, has_ended, &run, "the run to end");
	assert_ended(f, &run, AUT_RUN_COMPLETED, NULL);
	aut_run_list list = run_of(f, &run);
	int64_t ago = f->clock.now_us - list.items[0].completed_at;
	assert_in_range(ago, 3590 * AUT_US_PER_S, 3660 * AUT_US_PER_S);
	assert_true(list.items[0].completed_at >= list.items[0].started_at);
	aut_run_list_done(&list);
	await(f, is_clean, &run, "the run to be cleaned");
}

/* Nobody does what a dead process had begun: the next one does not wait for it. */
static void
test_engine__files_of_a_run_that_had_ended_go_right_after_a_crash(void **state)
{
	fixture *f = *state;
	aut_uuid id = create(f, "#!/bin/sh\n", NULL, 60);
	aut_uuid run = trigger(f, &id);
	await(f, has_ended, &run, "the run to end");
	engine_crash(f);
	int64_t before = f->clock.now_us;
	engine_start(f);
	await(f, is_clean, &run, "the run to be cleaned");
	assert_true(f->clock.now_us - before < 30 * AUT_US_PER_S);
	await(f, nothing_is_left, &run, "the agent to remove the run's files");
}

/* Its own report came first, and its program takes a moment more. */
static void
test_engine__stopping_waits_a_moment_for_who_reported_its_end(void **state)
{
	fixture *f = *state;
	char path[80], script[256];
	snprintf(path, sizeof path, "%s/go-on", f->folder);
	snprintf(script, sizeof script,
			 "#!/bin/sh\ntouch %s\necho on\nwhile [ -e %s ]; do sleep 0.02; done\n", path, path);
	aut_uuid id = create(f, script, NULL, 60);
	aut_uuid run = trigger(f, &id);
	await(f, has_output, &run, "the run to go on");
	aut_run_end end = {.id = run,
					   .status = AUT_RUN_COMPLETED,
					   .from_running = true,
					   .completed_at = f->clock.now_us,
					   .cleanup_at = f->clock.now_us};
	bool won = false;
	assert_int_equal(aut_store_run_finish(f->db, &end, &won, NULL), AUT_OK);
	assert_true(won);
	aut_engine_wake(f->engine, AUT_EFFECT_CLEANUP);
	aut_loop_wait(f->loop, 0);
	aut_engine_stop(f->engine);
	assert_int_equal(unlink(path), 0);
	await(f, is_quiet, &run, "the engine to be quiet");
	assert_true(is_clean(f, &run));
	await(f, nothing_is_left, &run, "the agent to remove the run's files");
}

/* One that goes on and on after its report is left to the next start. */
static void
test_engine__stopping_does_not_wait_for_ever(void **state)
{
	fixture *f = *state;
	aut_uuid id = create(f, "#!/bin/sh\necho on\nsleep 60\n", NULL, 60);
	aut_uuid run = trigger(f, &id);
	await(f, has_output, &run, "the run to go on");
	aut_engine_stop(f->engine);
	await(f, is_quiet, &run, "the engine to be quiet");
	assert_true(is_left(&run));
	engine_crash(f);
	engine_start(f);
	cancel(f, &run);
	await(f, is_clean, &run, "the cancelled run to be cleaned");
	await(f, nothing_is_left, &run, "the agent to remove the run's files");
}

typedef struct making
{
	aut_unit unit;
	aut_uuid automation, run;
	int64_t now, delay_us;
	aut_status told;
} making;

static aut_status
make_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	making *m = (making *) (void *) unit;
	aut_run_new run = {.id = m->run,
					   .automation_id = m->automation,
					   .trigger_source = "manual",
					   .scheduled_for = AUT_TIME_NONE,
					   .created_at = m->now,
					   .ready_at = m->now + m->delay_us};
	return aut_store_run_insert(db, &run, err);
}

static void
run_made(aut_unit *unit, aut_status status, const aut_error *err)
{
	(void) err;
	((making *) (void *) unit)->told = status;
}

/* As a door does it: a unit of the engine's turn, and afterwards no word. */
static making
make_in_turn(fixture *f, const aut_uuid *automation, int64_t delay_us)
{
	making m = {.unit = {.run = make_run, .done = run_made},
				.automation = *automation,
				.now = f->clock.now_us,
				.delay_us = delay_us,
				.told = AUT_EINTERNAL};
	assert_int_equal(aut_uuid_v7(m.now, &m.run, NULL), AUT_OK);
	aut_turn_add(&f->turn, &m.unit);
	aut_loop_wake(f->loop);
	uint64_t commits = f->turn.commits;
	aut_loop_wait(f->loop, 0);
	assert_int_equal(m.told, AUT_OK);
	assert_int_equal(f->turn.commits, commits + 1);
	return m;
}

static void
test_engine__what_is_made_in_its_turn_starts_with_that_commit(void **state)
{
	fixture *f = *state;
	aut_uuid id = create(f, "#!/bin/sh\n", NULL, 60);
	await(f, is_quiet, &id, "the engine to be quiet");
	making now = make_in_turn(f, &id, 0);
	aut_run_list list = run_of(f, &now.run);
	assert_int_equal(list.items[0].status, AUT_RUN_RUNNING);
	aut_run_list_done(&list);
	making later = make_in_turn(f, &id, 5 * AUT_US_PER_S);
	list = run_of(f, &later.run);
	assert_int_equal(list.items[0].status, AUT_RUN_PENDING);
	aut_run_list_done(&list);
	await(f, has_ended, &now.run, "the run to end");
}

static void
test_engine__without_a_backend_runs_wait(void **state)
{
	fixture *f = *state;
	aut_backend *none = NULL, *old = f->backend;
	assert_int_equal(aut_backend_agent_server_new(f->loop, "", "", "", "/tmp", &none, NULL),
					 AUT_OK);
	f->backend = none;
	aut_engine_set_backend(f->engine, none);
	aut_uuid id = create(f, "#!/bin/sh\n", NULL, 60);
	aut_uuid run = trigger(f, &id);
	for (int i = 0; i < 50; i++)
	{
		aut_loop_wait(f->loop, 1);
		aut_clock_manual_advance(&f->clock, AUT_US_PER_S);
	}
	aut_run_list list = run_of(f, &run);
	assert_int_equal(list.items[0].status, AUT_RUN_PENDING);
	aut_run_list_done(&list);
	f->backend = old;
	aut_engine_set_backend(f->engine, old);
	aut_backend_free(none);
	await(f, has_ended, &run, "the run to start when a backend came");
	assert_ended(f, &run, AUT_RUN_COMPLETED, NULL);
}

static void
test_engine__parallel_runs_stay_under_the_limit(void **state)
{
	fixture *f = *state;
	f->settings.max_parallel_runs = 3;
	aut_uuid id = create(f, "#!/bin/sh\n", NULL, 60);
	aut_uuid runs[20];
	for (size_t i = 0; i < 20; i++)
		runs[i] = trigger(f, &id);
	size_t most = 0;
	double end = seconds() + 20;
	bool all = false;
	while (!all && seconds() < end)
	{
		aut_loop_wait(f->loop, 1);
		aut_clock_manual_advance(&f->clock, 50 * AUT_US_PER_MS);
		aut_engine_stats stats;
		aut_engine_get_stats(f->engine, &stats);
		most = stats.active > most ? stats.active : most;
		all = true;
		for (size_t i = 0; i < 20; i++)
			all = all && has_ended(f, &runs[i]);
	}
	assert_true(all);
	assert_int_equal(most, 3);
}

/*
 * The engine without memory: the n-th allocation of a whole run fails, for every n until a run gets by.
 * Whatever fails, the run ends (as COMPLETED, or FAILED with a reason) and nothing leaks.
 */
static void
test_engine__survives_every_failing_allocation(void **state)
{
	fixture *f = *state;
	static const aut_allocator failing = {torture_alloc, torture_realloc, torture_free, NULL};
	aut_uuid id = create(f, "#!/bin/sh\n", NULL, 60);
	size_t step = getenv("AUT_TEST_LONG") != NULL ? 1 : 3;
	for (size_t n = 1; n < 20000; n += step)
	{
		aut_uuid run = trigger(f, &id);
		engine_crash(f); /* begin with an engine of this allocator */
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
		aut_error err = AUT_ERROR_INIT;
		while (aut_engine_new(&options, &f->engine, &err) != AUT_OK)
			assert_int_equal(err.code, AUT_ENOMEM);
		await(f, is_clean, &run, "the run to end without memory");
		aut_run_list list = run_of(f, &run);
		if (list.items[0].status == AUT_RUN_FAILED)
			assert_non_null(list.items[0].error_detail);
		else
			assert_int_equal(list.items[0].status, AUT_RUN_COMPLETED);
		aut_run_list_done(&list);
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

/* Its transaction took a minute to commit: it is older than what claims usually look at. */
static void
test_engine__a_run_that_was_long_in_coming_is_found(void **state)
{
	fixture *f = *state;
	aut_uuid automation = create(f, "#!/bin/sh\ntrue\n", NULL, 60);
	aut_uuid now = trigger(f, &automation);
	aut_run_new run = {
		.automation_id = automation,
		.trigger_source = "manual",
		.scheduled_for = AUT_TIME_NONE,
	};
	int64_t asked_us;

	await(f, is_started, &now, "a run of now");
	run.created_at = run.ready_at = f->clock.now_us - 60 * AUT_US_PER_S;
	assert_int_equal(aut_uuid_v7(run.created_at, &run.id, NULL), AUT_OK);
	assert_int_equal(aut_store_run_insert(f->db, &run, NULL), AUT_OK);
	asked_us = f->clock.now_us;
	aut_engine_wake(f->engine, AUT_EFFECT_RUN);
	await(f, has_ended, &run.id, "a run of a minute ago");
	aut_run_list list = run_of(f, &run.id);
	assert_true(list.items[0].started_at - asked_us <= 1200 * AUT_US_PER_MS);
	aut_run_list_done(&list);
}

/* ---- fires that are late ------------------------------------------------------------------------ */

typedef struct watcher
{
	fixture *f;
	int64_t pass_us;     /* what a pass takes */
	uint64_t fires_then; /* when the first run was claimed */
	bool claimed;
} watcher;

static bool
watch(void *payload)
{
	watcher *w = payload;
	aut_engine_stats stats;

	aut_engine_get_stats(w->f->engine, &stats);
	if (!w->claimed && stats.claims > 0)
	{
		w->claimed = true;
		w->fires_then = stats.fires;
	}
	aut_clock_manual_advance(&w->f->clock, w->pass_us);
	return false;
}

/* So many automations fire at one instant; how many had fired when the first of their runs was claimed? */
static uint64_t
fires_before_a_claim(fixture *f, int count, int64_t pass_us)
{
	watcher w = {.f = f, .pass_us = pass_us};
	aut_uuid id = create(f, "#!/bin/sh\n", NULL, 60);
	aut_identity who = *aut_identity_local();
	aut_automation_list list;
	aut_engine_stats stats;

	assert_int_equal(aut_store_automation_get(f->db, &who.org_id, &id, &list, NULL), AUT_OK);
	assert_int_equal(aut_db_begin(f->db, NULL), AUT_OK);
	for (int i = 0; i < count; i++)
	{
		aut_automation copy = list.items[0];

		assert_int_equal(aut_uuid_v7(f->clock.now_us, &copy.id, NULL), AUT_OK);
		assert_int_equal(aut_store_automation_insert(f->db, &copy, NULL), AUT_OK);
		assert_int_equal(
			aut_store_schedule_put(f->db, &copy.id, "0 0 * * *", "UTC", f->clock.now_us, NULL),
			AUT_OK);
	}
	assert_int_equal(aut_db_commit(f->db, NULL), AUT_OK);
	aut_automation_list_done(&list);
	assert_int_equal(aut_loop_add_step(f->loop, watch, &w, NULL), AUT_OK);
	aut_engine_wake(f->engine, AUT_EFFECT_SCHEDULE);
	do
	{
		aut_loop_wait(f->loop, 0);
		aut_engine_get_stats(f->engine, &stats);
	} while (stats.fires < (uint64_t) count || !w.claimed);
	aut_loop_remove_step(f->loop, watch, &w);
	assert_int_equal(stats.fires, count);
	return w.fires_then;
}

static void
test_engine__fires_that_are_late_go_before_claims(void **state)
{
	assert_int_equal(fires_before_a_claim(*state, 1700, 0), 1700);
}

/* However late the fires are. */
static void
test_engine__claims_get_their_turn_between_fires(void **state)
{
	uint64_t then = fires_before_a_claim(*state, 2700, 200 * AUT_US_PER_MS);

	assert_true(then >= 1000 && then < 2700);
}

int
main(void)
{
	signal(SIGPIPE, SIG_IGN);
#define TEST(name)      cmocka_unit_test_setup_teardown(name, setup, teardown)
#define STUB_TEST(name) cmocka_unit_test_setup_teardown(name, setup_stub, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_engine__a_run_that_was_long_in_coming_is_found),
		TEST(test_engine__run_ends_with_its_true_result),
		TEST(test_engine__nothing_of_a_run_stays_on_the_agent),
		STUB_TEST(test_engine__schedule_fires_once_a_slot_and_records_a_gap),
		STUB_TEST(test_engine__clock_set_back_fires_no_slot_twice),
		STUB_TEST(test_engine__fires_that_are_late_go_before_claims),
		STUB_TEST(test_engine__claims_get_their_turn_between_fires),
		TEST(test_engine__agent_may_be_away_while_a_run_is_prepared),
		TEST(test_engine__automation_without_a_tarball_is_switched_off),
		TEST(test_engine__upload_is_repeated_and_given_up),
		TEST(test_engine__lost_answer_of_a_start_runs_it_once),
		TEST(test_engine__without_downloads_events_tell),
		TEST(test_engine__time_limit_is_told_as_such),
		TEST(test_engine__cancel_reaches_the_whole_group),
		TEST(test_engine__cancel_works_without_a_stop_route_and_after_a_crash),
		TEST(test_engine__run_is_found_again_after_a_crash),
		TEST(test_engine__crash_at_any_round_executes_once),
		TEST(test_engine__run_whose_agent_restarts_ends_with_its_true_result),
		TEST(test_engine__run_that_vanished_is_told_as_lost),
		TEST(test_engine__agent_gone_for_good_does_not_keep_a_run_running),
		TEST(test_engine__stopping_cleans_up_what_has_ended),
		TEST(test_engine__end_that_was_noticed_late_has_its_own_time),
		TEST(test_engine__files_of_a_run_that_had_ended_go_right_after_a_crash),
		TEST(test_engine__stopping_waits_a_moment_for_who_reported_its_end),
		TEST(test_engine__stopping_does_not_wait_for_ever),
		STUB_TEST(test_engine__what_is_made_in_its_turn_starts_with_that_commit),
		STUB_TEST(test_engine__without_a_backend_runs_wait),
		STUB_TEST(test_engine__parallel_runs_stay_under_the_limit),
		STUB_TEST(test_engine__survives_every_failing_allocation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
