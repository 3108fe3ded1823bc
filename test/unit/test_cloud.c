/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_cloud.c - the cloud backend under the engine, with the stand-in for the cloud
 * (test/fakes/cloud.py, a process of its own) and the agent's stub behind every sandbox.
 *
 * The engine's clock is moved by hand (engine_fixture.h), so what is bounded is counted by that clock:
 * requests in any second, requests at once, ids in a poll, and how late schedules fire meanwhile.
 */
#include "test/unit/engine_fixture.h"

#include "automation/cloud.h"
#include "core/backend/cloud_internal.h"

typedef struct standin
{
	pid_t pid;
	int stop; /* closing it ends the process */
	char url[100];
} standin;

static void
standin_start(standin *s, const fixture *f)
{
	int in[2], out[2];
	char text[100] = "";
	size_t len = 0;

	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (s->pid == 0)
	{
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[1]);
		close(out[0]);
		execlp("python3", "python3", "test/fakes/cloud.py", "--agent", f->agent_url, "--agent-key",
			   f->agent_key, (char *) NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	s->stop = in[1];
	while (len < sizeof text - 1 && strchr(text, '\n') == NULL)
	{
		struct pollfd p = {out[0], POLLIN, 0};
		ssize_t n = poll(&p, 1, 30000) == 1 ? read(out[0], text + len, sizeof text - 1 - len) : 0;
		if (n <= 0)
			fail_msg("the stand-in for the cloud did not start");
		len += (size_t) n;
		text[len] = '\0';
	}
	close(out[0]);
	*strchr(text, '\n') = '\0';
	snprintf(s->url, sizeof s->url, "%s", text);
}

static void
standin_stop(standin *s)
{
	close(s->stop);
	waitpid(s->pid, NULL, 0);
}

/* ---- asking the stand-in ------------------------------------------------------------------- */

typedef struct question
{
	bool answered;
	json_t *root;
} question;

static void
told(void *payload, const aut_http_reply *reply)
{
	question *q = payload;
	q->answered = true;
	if (reply->status != AUT_OK || reply->code != 200)
		fail_msg("the stand-in answered %d: %s", reply->code, reply->error.message);
	assert_int_equal(aut_json_parse(reply->body, reply->body_len, &q->root, NULL), AUT_OK);
}

static json_t *
tell(fixture *f, const standin *s, const char *path, const char *wishes)
{
	question q = {0};
	char *url = aut_printf("%s%s", s->url, path);
	aut_http_request request = {.method = wishes != NULL ? "POST" : "GET",
								.url = url,
								.body = wishes,
								.body_len = wishes != NULL ? strlen(wishes) : 0,
								.content_type = "application/json",
								.cb = told,
								.payload = &q};
	assert_int_equal(aut_http_send(f->http, &request, NULL, NULL), AUT_OK);
	aut_free(url);
	double end = seconds() + 20;
	while (!q.answered && seconds() < end)
		aut_loop_wait(f->loop, 2);
	assert_true(q.answered);
	return q.root;
}

static void
wish(fixture *f, const standin *s, const char *wishes)
{
	json_decref(tell(f, s, "/_control", wishes));
}

static size_t
count_of(fixture *f, const standin *s, const char *what)
{
	json_t *state = tell(f, s, "/_state", NULL);
	const json_t *value = json_object_get(state, what);
	size_t n = json_is_array(value) ? json_array_size(value) : (size_t) json_integer_value(value);
	json_decref(state);
	return n;
}

/* ---- the fixture with a cloud -------------------------------------------------------------- */

static standin the_cloud;

static void
cloud_start(fixture *f)
{
	aut_error err = AUT_ERROR_INIT;
	aut_cloud_options options = {.loop = f->loop,
								 .http = f->http,
								 .turn = &f->turn,
								 .settings = &f->settings,
								 .clock = &f->clock.clock};
	if (aut_backend_cloud_new(&options, &f->backend, &err) != AUT_OK)
		fail_msg("%s", err.message);
}

static void
set(fixture *f, const char *name, const char *value)
{
	assert_int_equal(aut_settings_set(&f->settings, aut_setting_find(name), value, NULL), AUT_OK);
}

/* Everything of the former process is gone, as after a crash. */
static void
crash(fixture *f)
{
	engine_crash(f);
	aut_backend_free(f->backend);
	f->backend = NULL;
	aut_turn_cancel(&f->turn);
}

static int
setup_cloud(void **state)
{
	int rc = setup_stub(state);
	fixture *f = *state;
	crash(f);
	standin_start(&the_cloud, f);
	set(f, "openhands_api_base_url", the_cloud.url);
	set(f, "service_key", "service-key");
	cloud_start(f);
	engine_start(f);
	return rc;
}

static int
teardown_cloud(void **state)
{
	fixture *f = *state;
	if (f->engine != NULL)
		engine_crash(f);
	aut_backend_free(f->backend);
	f->backend = NULL;
	aut_turn_cancel(&f->turn);
	standin_stop(&the_cloud);
	return teardown(state);
}

static int64_t
ledger_rows(fixture *f, const char *state)
{
	aut_rows rows = {0};
	int64_t n = 0;
	assert_int_equal(aut_store_sandbox_summary(f->db, &rows, NULL), AUT_OK);
	for (size_t i = 0; i < rows.count; i++)
		if (state == NULL || strcmp(aut_rows_text(&rows, i, 0), state) == 0)
			n += aut_rows_int(&rows, i, 1);
	aut_rows_done(&rows);
	return n;
}

static bool
ledger_is_empty(fixture *f, const aut_uuid *run_id)
{
	(void) run_id;
	return ledger_rows(f, NULL) == 0;
}

static bool
one_is_starting(fixture *f, const aut_uuid *run_id)
{
	(void) run_id;
	return ledger_rows(f, AUT_SANDBOX_STARTING) == 1;
}

static bool
one_is_ready(fixture *f, const aut_uuid *run_id)
{
	(void) run_id;
	return ledger_rows(f, AUT_SANDBOX_READY) == 1;
}

/* ---- reading --------------------------------------------------------------------------------- */

static void
test_cloud__only_what_is_harmless_of_a_detail_is_shown(void **state)
{
	static const struct
	{
		const char *detail, *shown;
	} rows[] = {
		{NULL, ""},
		{"", ""},
		{"pod-7.node.internal: ImagePullBackOff", "image_pull_error"},
		{"CreateContainerConfigError: secret \"x\" not found", "container_config_error"},
		{"0/9 nodes are available: 9 Insufficient cpu.", "insufficient_cpu"},
		{"Insufficient ephemeral-storage", "insufficient_ephemeral_storage"},
		{"node(s) had untolerated taint", "scheduling_constraint"},
		{"10.0.0.7 said no", "unclassified"},
		{"runtime_ingress:timeout", "runtime_ingress:timeout"},
		{"runtime_ingress:bad_gateway:502", "runtime_ingress:bad_gateway:502"},
		{"runtime_ingress:bad_gateway:5022", "unclassified"},
		{"runtime_ingress:http://10.0.0.7/", "unclassified"},
		{"runtime_ingress:", "unclassified"},
	};
	char shown[80];
	(void) state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
	{
		cloud__safe_detail(rows[i].detail, shown, sizeof shown);
		assert_string_equal(shown, rows[i].shown);
	}
}

static void
test_cloud__a_sandbox_is_read_with_care(void **state)
{
	static const struct
	{
		const char *json;
		cloud_status status;
		const char *url;
	} rows[] = {
		{"null", CLOUD_MISSING, NULL},
		{"7", CLOUD_MISSING, NULL},
		{"{}", CLOUD_STARTING, NULL},
		{"{\"status\":\"SOMETHING NEW\"}", CLOUD_STARTING, NULL},
		{"{\"status\":\"PAUSED\",\"exposed_urls\":null}", CLOUD_PAUSED, NULL},
		{"{\"status\":\"ERROR\"}", CLOUD_ERROR, NULL},
		{"{\"status\":\"RUNNING\",\"exposed_urls\":[{\"name\":\"VSCODE\",\"url\":\"http://v\"},7,"
		 "{\"name\":\"AGENT_SERVER\",\"url\":\"https://h/a/\"}]}",
		 CLOUD_RUNNING, "https://h/a/"},
		{"{\"status\":\"RUNNING\",\"exposed_urls\":[{\"name\":\"AGENT_SERVER\",\"url\":\"file:///"
		 "etc\"}]}",
		 CLOUD_RUNNING, NULL},
		{"{\"status\":\"RUNNING\",\"exposed_urls\":[{\"name\":\"AGENT_SERVER\",\"url\":\"http://a "
		 "b\"}]}",
		 CLOUD_RUNNING, NULL},
		{"{\"status\":7,\"exposed_urls\":{},\"session_api_key\":[]}", CLOUD_STARTING, NULL},
	};
	(void) state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
	{
		json_t *item = NULL;
		cloud_sandbox sandbox;
		assert_int_equal(aut_json_parse(rows[i].json, strlen(rows[i].json), &item, NULL), AUT_OK);
		cloud__sandbox_read(item, &sandbox);
		assert_int_equal(sandbox.status, rows[i].status);
		if (rows[i].url == NULL)
			assert_null(sandbox.agent_url);
		else
			assert_string_equal(sandbox.agent_url, rows[i].url);
		assert_string_equal(sandbox.session_key, "");
		json_decref(item);
	}
}

/* ---- tests --------------------------------------------------------------------------------- */

static void
test_cloud__a_run_has_a_sandbox_for_itself(void **state)
{
	fixture *f = *state;
	aut_uuid automation = create(f, "#!/bin/sh\n", NULL, 60);
	aut_uuid run = trigger(f, &automation);
	await(f, is_clean, &run, "the run has ended and is clean");
	assert_ended(f, &run, AUT_RUN_COMPLETED, NULL);
	await(f, ledger_is_empty, NULL, "the sandbox is deleted");
	assert_int_equal(count_of(f, &the_cloud, "made"), 1);
	assert_int_equal(count_of(f, &the_cloud, "deleted"), 1);
	assert_int_equal(count_of(f, &the_cloud, "alive"), 0);
	assert_int_equal(count_of(f, &the_cloud, "minted"), 1);
}

#define CROWD 500

/* The numbers a crowd must keep to, looked at every round. */
typedef struct bounds
{
	uint64_t at[64]; /* requests at the last rounds (20 ms each) */
	size_t rounds;
	uint64_t per_second_max;
	uint64_t fires;
	int64_t late_max_us;
} bounds;

static void
observe(fixture *f, bounds *b)
{
	aut_cloud_stats stats;
	aut_engine_stats engine;
	aut_cloud_get_stats(f->backend, &stats);
	/* 49 rounds back: within one second, whatever the first and last round did */
	if (b->rounds >= 49)
	{
		uint64_t then = b->at[(b->rounds - 49) % 64];
		if (stats.requests - then > b->per_second_max)
			b->per_second_max = stats.requests - then;
	}
	b->at[b->rounds++ % 64] = stats.requests;
	aut_engine_get_stats(f->engine, &engine);
	b->fires = engine.fires;
	/* a slot that is due and has not fired yet */
	if (engine.next_fire_at != AUT_TIME_NONE &&
		f->clock.now_us - engine.next_fire_at > b->late_max_us)
		b->late_max_us = f->clock.now_us - engine.next_fire_at;
}

static int64_t
count_ended(fixture *f, const aut_uuid *automation)
{
	int64_t counts[AUT_RUN_STATUS_COUNT] = {0};
	assert_int_equal(aut_store_run_counts(f->db, automation, counts, NULL), AUT_OK);
	assert_int_equal(counts[AUT_RUN_FAILED], 0);
	return counts[AUT_RUN_COMPLETED];
}

static void
test_cloud__five_hundred_at_once_keep_to_the_bounds(void **state)
{
	fixture *f = *state;
	wish(f, &the_cloud, "{\"direct\": true, \"starting\": 3}");
	aut_uuid crowd = create(f, "#!/bin/sh\n", NULL, 600);
	for (int i = 0; i < CROWD; i++)
		trigger(f, &crowd);
	/* beside them a schedule fires every minute, as if they were not there */
	aut_uuid clock = create(f, "#!/bin/sh\n", "* * * * *", 600);
	(void) clock;
	bounds b = {0};
	double end = seconds() + 120;
	while (count_ended(f, &crowd) < CROWD)
	{
		if (seconds() > end)
			fail_msg("only %lld of %d have ended", (long long) count_ended(f, &crowd), CROWD);
		for (int i = 0; i < 50; i++)
		{
			observe(f, &b);
			aut_loop_wait(f->loop, 2);
			aut_clock_manual_advance(&f->clock, 20 * AUT_US_PER_MS);
		}
	}
	aut_cloud_stats stats;
	aut_cloud_get_stats(f->backend, &stats);
	print_message(
		"%d sandboxes: %llu requests, %llu polls for %llu ids, %d at once, %llu in a second, "
		"fires %llu, at most %lld ms late\n",
		CROWD, (unsigned long long) stats.requests, (unsigned long long) stats.polls,
		(unsigned long long) stats.polled_ids, stats.in_flight_max,
		(unsigned long long) b.per_second_max, (unsigned long long) b.fires,
		(long long) (b.late_max_us / 1000));
	assert_true(stats.created >= CROWD);
	assert_true(b.per_second_max <= 10);
	assert_true(stats.in_flight_max <= 32);
	assert_true(count_of(f, &the_cloud, "polled_max") <= 100);
	/* polls are for many: far fewer than one for each look at each sandbox */
	assert_true(stats.polls * 2 < stats.polled_ids);
	assert_true(b.fires > 0);
	assert_true(b.late_max_us <= 100 * AUT_US_PER_MS);
	/* one each, and no more */
	assert_true(count_of(f, &the_cloud, "made") == stats.created);
	aut_engine_stats engine;
	aut_engine_get_stats(f->engine, &engine);
	assert_true(engine.starts >= CROWD && engine.starts <= CROWD + engine.fires);
}

static void
test_cloud__a_crash_is_adopted_wherever_it_comes(void **state)
{
	fixture *f = *state;
	wish(f, &the_cloud, "{\"starting\": 1000000}");
	aut_uuid automation = create(f, "#!/bin/sh\n", NULL, 60);
	aut_uuid run = trigger(f, &automation);
	await(f, one_is_starting, NULL, "the sandbox is recorded");
	crash(f);
	wish(f, &the_cloud, "{\"starting\": 1}");
	cloud_start(f);
	engine_start(f);
	await(f, one_is_ready, NULL, "the sandbox is ready");
	crash(f); /* something may have been started */
	cloud_start(f);
	engine_start(f);
	await(f, is_clean, &run, "the run has ended and is clean");
	assert_ended(f, &run, AUT_RUN_COMPLETED, NULL);
	await(f, ledger_is_empty, NULL, "the sandbox is deleted");
	assert_int_equal(count_of(f, &the_cloud, "made"), 1);
	assert_int_equal(count_of(f, &the_cloud, "alive"), 0);
}

static void
test_cloud__what_nobody_released_is_swept(void **state)
{
	fixture *f = *state;
	wish(f, &the_cloud, "{\"starting\": 1000000}");
	aut_uuid automation = create(f, "#!/bin/sh\n", NULL, 60);
	aut_uuid run = trigger(f, &automation);
	await(f, one_is_starting, NULL, "the sandbox is recorded");
	crash(f);
	/* the run ends while nobody is there who knows of its sandbox */
	aut_run_end end = {.id = run,
					   .status = AUT_RUN_CANCELLED,
					   .from_running = true,
					   .completed_at = f->clock.now_us,
					   .cleanup_at = AUT_TIME_NONE};
	bool won = false;
	assert_int_equal(aut_store_run_finish(f->db, &end, &won, NULL), AUT_OK);
	assert_true(won);
	cloud_start(f);
	engine_start(f);
	await(f, ledger_is_empty, NULL, "the sandbox is deleted");
	assert_int_equal(count_of(f, &the_cloud, "alive"), 0);
}

static void
test_cloud__a_stop_leaves_no_creation_in_doubt(void **state)
{
	fixture *f = *state;
	wish(f, &the_cloud, "{\"create_delay\": 0.3, \"starting\": 1000000}");
	aut_uuid automation = create(f, "#!/bin/sh\n", NULL, 60);
	for (int i = 0; i < 30; i++)
		trigger(f, &automation);
	aut_cloud_stats stats = {0};
	double end = seconds() + 20;
	while (stats.created < 5 && seconds() < end)
	{
		aut_loop_wait(f->loop, 2);
		aut_clock_manual_advance(&f->clock, 20 * AUT_US_PER_MS);
		aut_cloud_get_stats(f->backend, &stats);
	}
	aut_engine_stop(f->engine);
	while (!aut_engine_quiet(f->engine) && seconds() < end)
		aut_loop_wait(f->loop, 2);
	assert_true(aut_engine_quiet(f->engine));
	assert_int_equal(ledger_rows(f, AUT_SANDBOX_CREATING), 0);
	assert_int_equal(ledger_rows(f, AUT_SANDBOX_STARTING), count_of(f, &the_cloud, "made"));
}

static bool
waits_for_a_sandbox(fixture *f, const aut_uuid *run_id)
{
	aut_run_list list = run_of(f, run_id);
	const char *phase = list.items[0].current_phase;
	bool waits = list.items[0].status == AUT_RUN_PENDING && phase != NULL &&
				 strcmp(phase, "Waiting for a free sandbox") == 0;
	aut_run_list_done(&list);
	return waits;
}

static void
test_cloud__a_run_may_wait_for_a_free_sandbox(void **state)
{
	fixture *f = *state;
	wish(f, &the_cloud, "{\"max_sandboxes\": 0}");
	aut_uuid automation = create(f, "#!/bin/sh\n", NULL, 60);
	aut_call call;
	aut_error err = AUT_ERROR_INIT;
	json_t *changed = NULL, *body = json_pack("{s:b}", "wait_at_limit", 1);
	aut_call_init(&call, f->db, &f->settings, aut_identity_local(), f->clock.now_us);
	if (aut_service_automation_update(&call, &automation, body, &changed, &err) != AUT_OK)
		fail_msg("%s", err.message);
	aut_call_done(&call);
	json_decref(changed);
	json_decref(body);
	aut_uuid run = trigger(f, &automation);
	await(f, waits_for_a_sandbox, &run, "the run waits");
	assert_int_equal(ledger_rows(f, NULL), 0);
	wish(f, &the_cloud, "{\"max_sandboxes\": 1}");
	await(f, is_clean, &run, "the run has ended and is clean");
	assert_ended(f, &run, AUT_RUN_COMPLETED, NULL);
	assert_int_equal(count_of(f, &the_cloud, "made"), 1);
}

/* ---- without memory ---------------------------------------------------------------------------- */

/* One allocation fails, once, and only while the loop turns: what the test itself asks for is spared.
 * jansson's are spared, too: its reader has an assertion that one of them breaks. */
static struct
{
	bool armed, failed;
	size_t made, fail_at;
} scarce;

static bool
scarce_fails(void)
{
	bool now = scarce.armed && ++scarce.made == scarce.fail_at;
	scarce.failed = scarce.failed || now;
	return now;
}

static void *
scarce_alloc(void *payload, size_t size)
{
	(void) payload;
	return scarce_fails() ? NULL : malloc(size);
}

static void *
scarce_realloc(void *payload, void *ptr, size_t size)
{
	(void) payload;
	return scarce_fails() ? NULL : realloc(ptr, size);
}

static void
scarce_free(void *payload, void *ptr)
{
	(void) payload;
	free(ptr);
}

static bool
is_settled(fixture *f, const aut_uuid *run_id)
{
	return is_clean(f, run_id) && ledger_rows(f, NULL) == ledger_rows(f, AUT_SANDBOX_LOST);
}

/* Each allocation takes a run of a second or two; AUT_CLOUD_TORTURE=1 tries all, else one in 9 is tried. */
static void
test_cloud__every_allocation_may_fail(void **state)
{
	static const aut_allocator allocator = {scarce_alloc, scarce_realloc, scarce_free, NULL};
	fixture *f = *state;
	size_t step = getenv("AUT_CLOUD_TORTURE") != NULL ? 1 : 9;
	size_t runs = 0;
	bool more = true;
	wish(f, &the_cloud, "{\"direct\": true}");
	for (size_t n = 1; more; n += step)
	{
		/* an automation each: one that fails too often is switched off */
		aut_uuid automation = create(f, "#!/bin/sh\n", NULL, 60);
		aut_uuid run = trigger(f, &automation);
		double end = seconds() + 20;
		scarce.made = 0;
		scarce.fail_at = n;
		scarce.failed = false;
		aut_allocator_set(&allocator);
		while (!is_settled(f, &run) && seconds() < end)
		{
			scarce.armed = true;
			aut_loop_wait(f->loop, 2);
			scarce.armed = false;
			aut_clock_manual_advance(&f->clock, 20 * AUT_US_PER_MS);
		}
		aut_allocator_set(NULL);
		if (!is_settled(f, &run))
			fail_msg("the run was lost when allocation %zu failed", n);
		more = scarce.failed;
		runs++;
		if (!more)
			assert_ended(f, &run, AUT_RUN_COMPLETED, NULL);
	}
	/* what is left there is what the ledger has as LOST */
	size_t alive = count_of(f, &the_cloud, "alive");
	print_message("%zu runs, %zu sandboxes in doubt\n", runs, alive);
	assert_true(alive <= (size_t) ledger_rows(f, AUT_SANDBOX_LOST));
	assert_true(runs > 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cloud__only_what_is_harmless_of_a_detail_is_shown),
		cmocka_unit_test(test_cloud__a_sandbox_is_read_with_care),
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_cloud, teardown_cloud)
		TEST(test_cloud__a_run_has_a_sandbox_for_itself),
		TEST(test_cloud__five_hundred_at_once_keep_to_the_bounds),
		TEST(test_cloud__a_crash_is_adopted_wherever_it_comes),
		TEST(test_cloud__what_nobody_released_is_swept),
		TEST(test_cloud__a_run_may_wait_for_a_free_sandbox),
		TEST(test_cloud__a_stop_leaves_no_creation_in_doubt),
		TEST(test_cloud__every_allocation_may_fail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
