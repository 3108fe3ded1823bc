/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_engine_policy.c - what the engine does without any agent: runs that wait, runs that may
 * not run, and what the janitor takes away.
 *
 * The engine's clock is moved by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "automation/engine.h"
#include "automation/object.h"
#include "test/unit/service_fixture.h"

#define DAY (24 * HOUR)

typedef struct world
{
	fixture *f;
	aut_clock_manual clock;
	aut_loop *loop;
	aut_http_client *http;
	aut_turn turn;
	aut_backend *backend;
	aut_engine *engine;
	int news;
} world;

static void
count_news(void *payload, const aut_uuid *run_id)
{
	world *w = payload;

	(void) run_id;
	w->news++;
}

/* url "": a backend that is never ready. */
static void
engine_start(world *w, const char *url)
{
	aut_engine_options options = {.loop = w->loop,
								  .turn = &w->turn,
								  .http = w->http,
								  .settings = &w->f->settings,
								  .clock = &w->clock.clock,
								  .worker = "test",
								  .pid = getpid(),
								  .api_url = "",
								  .take_over = true};

	assert_ok(w->f,
			  aut_backend_agent_server_new(w->loop, url, "", "", "/tmp", &w->backend, &w->f->err));
	options.backend = w->backend;
	assert_ok(w->f, aut_engine_new(&options, &w->engine, &w->f->err));
	aut_engine_on_news(w->engine, count_news, w);
}

static int
setup(void **state)
{
	world *w = calloc(1, sizeof *w);
	aut_http_client_options http = AUT_HTTP_CLIENT_OPTIONS_INIT;
	void *inner = NULL;

	if (w == NULL || fixture_setup(&inner) != 0)
		return -1;
	w->f = inner;
	aut_clock_manual_init(&w->clock, START);
	aut_turn_init(&w->turn, w->f->db);
	if (aut_loop_new(&w->loop, NULL) != AUT_OK ||
		aut_http_client_new(w->loop, &http, &w->http, NULL) != AUT_OK)
		return -1;
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	world *w = *state;
	void *inner = w->f;

	aut_turn_cancel(&w->turn);
	aut_engine_free(w->engine);
	aut_http_client_free(w->http);
	aut_backend_free(w->backend);
	aut_loop_free(w->loop);
	free(w);
	return fixture_teardown(&inner);
}

/* Rounds of the loop until nothing is left to do at this instant. */
static void
settle(world *w)
{
	for (int i = 0; i < 10; i++)
	{
		aut_engine_wake(w->engine, 0);
		aut_loop_wake(w->loop);
		aut_loop_wait(w->loop, 0);
	}
}

static void
pass(world *w, int64_t us)
{
	aut_clock_manual_advance(&w->clock, us);
	w->f->now += us;
	settle(w);
}

static uint64_t
forgotten(world *w)
{
	aut_engine_stats stats;

	aut_engine_get_stats(w->engine, &stats);
	return stats.forgotten;
}

static void
assert_phase(world *w, const aut_uuid *run, const char *want)
{
	assert_run(w->f, run, "PENDING");
	if (want == NULL)
		assert_true(is_null(w->f->out, "current_phase"));
	else
		assert_text(w->f->out, "current_phase", want);
}

/* ---- waiting ----------------------------------------------------------------------------------- */

static void
test_engine_policy__waiting_runs_say_so(void **state)
{
	world *w = *state;
	aut_uuid id = made(w->f, manual_body("a"));
	aut_uuid first = started(w->f, &id), second;
	uint64_t commits;

	engine_start(w, "");
	settle(w);
	assert_phase(w, &first, "Waiting for a backend");
	assert_int_equal(w->news, 1);
	second = started(w->f, &id);
	aut_engine_wake(w->engine, AUT_EFFECT_RUN);
	settle(w);
	assert_phase(w, &second, "Waiting for a backend");
	assert_int_equal(w->news, 2); /* the first one is not told again */
	commits = w->turn.commits;
	settle(w);
	assert_int_equal(w->turn.commits, commits); /* and nobody asks */
}

/* ---- blocked ----------------------------------------------------------------------------------- */

static void
test_engine_policy__a_run_of_a_deleted_automation_is_skipped(void **state)
{
	world *w = *state;
	aut_uuid id = made(w->f, manual_body("a"));
	aut_uuid other = made(w->f, manual_body("b"));
	aut_automation_list list = {0};
	aut_uuid run, good;

	/* deleted while the trigger's transaction was open: nobody skipped its run */
	run = started(w->f, &id);
	good = started(w->f, &other);
	assert_ok(w->f,
			  aut_store_automation_get(w->f->db, &w->f->creator.org_id, &id, &list, &w->f->err));
	list.items[0].deleted_at = w->f->now;
	list.items[0].state = "INACTIVE";
	list.items[0].disabled_detail = "{\"reason\":\"manual_delete\"}";
	assert_ok(w->f, aut_store_automation_update(w->f->db, &list.items[0], &w->f->err));
	aut_automation_list_done(&list);

	engine_start(w, "http://127.0.0.1:9");
	settle(w);
	assert_run(w->f, &run, "SKIPPED");
	assert_text(w->f->out, "error_detail", "Automation disabled");
	assert_text(json_object_get(w->f->out, "status_detail"), "kind", "blocked");
	assert_true(is_null(w->f->out, "started_at"));
	assert_int_equal(w->news, 1);
	assert_run(w->f, &good, "RUNNING");
}

/* ---- janitor ----------------------------------------------------------------------------------- */

static aut_uuid
ended(world *w, const aut_uuid *id)
{
	aut_uuid run = started(w->f, id);
	aut_run_end end = {
		.id = run, .status = AUT_RUN_COMPLETED, .from_pending = true, .completed_at = w->f->now};
	bool won = false;

	assert_ok(w->f, aut_store_run_finish(w->f->db, &end, &won, &w->f->err));
	assert_true(won);
	return run;
}

static bool
is_there(world *w, const aut_uuid *run)
{
	aut_run_list list = {0};
	aut_status status = aut_store_run_get(w->f->db, run, &list, NULL);

	aut_run_list_done(&list);
	return status == AUT_OK;
}

static void
test_engine_policy__old_runs_are_forgotten_at_rest(void **state)
{
	world *w = *state;
	aut_uuid id = made(w->f, manual_body("a"));
	aut_uuid old = ended(w, &id), recent;
	uint64_t commits;

	w->f->now += 90 * DAY - HOUR;
	aut_clock_manual_advance(&w->clock, 90 * DAY - HOUR);
	recent = ended(w, &id);
	engine_start(w, "");
	settle(w);
	for (int i = 0; i < 12; i++)
		pass(w, 30 * SECOND); /* the first pass: nothing is old enough */
	assert_true(is_there(w, &old));
	commits = w->turn.commits;
	pass(w, 53 * 60 * SECOND);
	assert_int_equal(w->turn.commits, commits); /* an hour without a question */
	for (int i = 0; i < 10; i++)
		pass(w, 60 * SECOND);
	assert_false(is_there(w, &old));
	assert_true(is_there(w, &recent));
	assert_int_equal(forgotten(w), 1);
	assert_ok(w->f, look(w->f, &w->f->creator, &id));
	assert_false(is_null(w->f->out, "last_triggered_at"));
}

static void
test_engine_policy__crowds_and_keys_are_thinned(void **state)
{
	world *w = *state;
	aut_uuid id = made(w->f, manual_body("a"));
	aut_uuid runs[5];
	bool taken;

	for (int i = 0; i < 5; i++)
		runs[i] = ended(w, &id);
	assert_ok(w->f, aut_store_dedupe_take(w->f->db, &id, "k", &runs[4], w->f->now,
										  w->f->now + SECOND, &taken, &w->f->err));
	w->f->settings.run_retention_count = 2;
	w->f->settings.run_retention_days = 0;
	engine_start(w, "");
	settle(w);
	assert_true(is_there(w, &runs[0])); /* not right at the start */
	for (int i = 0; i < 8; i++)
		pass(w, 30 * SECOND);
	for (int i = 0; i < 5; i++)
		assert_true(is_there(w, &runs[i]) == (i >= 3));
	assert_int_equal(forgotten(w), 4);
}

/* An upload that its automation left behind goes by age; what is in use stays. */
static void
test_engine_policy__uploads_nothing_uses_are_deleted(void **state)
{
	world *w = *state;
	aut_upload upload = {.org_id = w->f->creator.org_id,
						 .user_id = w->f->creator.user_id,
						 .name = "u",
						 .status = "COMPLETED",
						 .size_bytes = 1,
						 .created_at = w->f->now,
						 .updated_at = w->f->now,
						 .deleted_at = AUT_TIME_NONE};
	aut_uuid ids[2];
	aut_upload_list list = {0};
	char text[AUT_UUID_TEXT_MAX], path[80];
	json_t *body = manual_body("uses one");

	for (int i = 0; i < 2; i++)
	{
		assert_ok(w->f, aut_uuid_v4(&upload.id, &w->f->err));
		assert_ok(w->f, aut_store_upload_insert(w->f->db, &upload, "x", 1, &w->f->err));
		ids[i] = upload.id;
	}
	snprintf(path, sizeof path, "oh-internal://uploads/%s", aut_uuid_format(&ids[0], text));
	json_object_set_new(body, "tarball_path", json_string(path));
	(void) made(w->f, body);
	w->f->settings.upload_retention_days = 30;
	w->f->now += 30 * DAY + HOUR;
	aut_clock_manual_advance(&w->clock, 30 * DAY + HOUR);
	engine_start(w, "");
	for (int i = 0; i < 12; i++)
		pass(w, 30 * SECOND);
	for (int i = 0; i < 2; i++)
	{
		assert_ok(w->f, aut_store_upload_get(w->f->db, &ids[i], &list, &w->f->err));
		assert_int_equal(list.items[0].deleted_at == AUT_TIME_NONE, i == 0);
		aut_upload_list_done(&list);
	}
}

static void
set_text(world *w, const char *member, const char *text)
{
	assert_ok(w->f, aut_settings_set(&w->f->settings, aut_setting_find(member), text, &w->f->err));
}

/* A process died while it stored an upload: the record says so later, and what it wrote goes. */
static void
test_engine_policy__what_a_crash_left_in_the_store_is_seen_to(void **state)
{
	world *w = *state;
	char folder[] = "/tmp/aut-keeper-XXXXXX", name[AUT_OBJECT_NAME_MAX], path[400], dir[500];
	aut_upload upload = {.org_id = w->f->creator.org_id,
						 .user_id = w->f->creator.user_id,
						 .name = "u",
						 .status = "UPLOADING",
						 .size_bytes = 1,
						 .created_at = w->f->now,
						 .updated_at = w->f->now,
						 .deleted_at = AUT_TIME_NONE,
						 .store = "local",
						 .object_due_at = w->f->now + 900 * SECOND};
	aut_upload_list list = {0};
	FILE *file;

	assert_non_null(mkdtemp(folder));
	set_text(w, "file_store", "local");
	set_text(w, "local_storage_path", folder);
	assert_ok(w->f, aut_uuid_v4(&upload.id, &w->f->err));
	assert_ok(w->f, aut_store_upload_insert(w->f->db, &upload, NULL, 0, &w->f->err));
	aut_object_name(&upload.org_id, &upload.user_id, &upload.id, name);
	snprintf(path, sizeof path, "%s/%s", folder, name);
	snprintf(dir, sizeof dir, "mkdir -p $(dirname %s)", path);
	assert_int_equal(system(dir), 0);
	file = fopen(path, "w");
	assert_non_null(file);
	fclose(file);

	engine_start(w, "");
	for (int i = 0; i < 14; i++)
		pass(w, 60 * SECOND);
	assert_int_equal(access(path, F_OK), 0); /* its writer may be at it still */
	for (int i = 0; i < 5; i++)
		pass(w, 60 * SECOND);
	assert_int_not_equal(access(path, F_OK), 0);
	assert_ok(w->f, aut_store_upload_get(w->f->db, &upload.id, &list, &w->f->err));
	assert_string_equal(list.items[0].status, "FAILED");
	assert_non_null(strstr(list.items[0].error_message, "interrupted"));
	assert_true(list.items[0].object_due_at == AUT_TIME_NONE);
	aut_upload_list_done(&list);
	snprintf(dir, sizeof dir, "rm -rf %s", folder);
	assert_int_equal(system(dir), 0);
}

static void
test_engine_policy__zero_keeps_everything(void **state)
{
	world *w = *state;
	aut_uuid id = made(w->f, manual_body("a"));
	aut_uuid run = ended(w, &id);

	w->f->settings.run_retention_count = 0;
	w->f->settings.run_retention_days = 0;
	w->f->now += 4000 * DAY;
	aut_clock_manual_advance(&w->clock, 4000 * DAY);
	engine_start(w, "");
	for (int i = 0; i < 8; i++)
		pass(w, 30 * SECOND);
	assert_true(is_there(w, &run));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_engine_policy__waiting_runs_say_so),
		TEST(test_engine_policy__a_run_of_a_deleted_automation_is_skipped),
		TEST(test_engine_policy__old_runs_are_forgotten_at_rest),
		TEST(test_engine_policy__crowds_and_keys_are_thinned),
		TEST(test_engine_policy__uploads_nothing_uses_are_deleted),
		TEST(test_engine_policy__what_a_crash_left_in_the_store_is_seen_to),
		TEST(test_engine_policy__zero_keeps_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
