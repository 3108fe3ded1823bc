/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_service_policy.c - dedupe keys, whose reports are accepted, automations that are switched
 * off by people and by themselves, and runs that may not run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "test/unit/service_fixture.h"

/* ---- dedupe keys ------------------------------------------------------------------------------- */

static aut_status
trigger_key(fixture *f, const aut_uuid *id, const char *key)
{
	return aut_service_trigger(as(f, &f->creator), id, &(aut_trigger_options){.dedupe_key = key},
							   &f->out, &f->err);
}

static void
test_service_policy__a_key_returns_its_run_for_a_day(void **state)
{
	fixture *f = *state;
	aut_uuid id = made(f, manual_body("a"));
	aut_uuid other = made(f, manual_body("b"));
	aut_uuid first, again;

	assert_ok(f, trigger_key(f, &id, "k"));
	first = id_of(f->out);
	assert_true(f->call.effects & AUT_EFFECT_RUN);
	f->now += 24 * HOUR - 1;
	assert_ok(f, trigger_key(f, &id, "k"));
	again = id_of(f->out);
	assert_true(aut_uuid_equal(&first, &again));
	assert_int_equal(f->call.effects, 0); /* nothing new to be executed */
	assert_ok(f, trigger_key(f, &id, "K"));
	again = id_of(f->out);
	assert_false(aut_uuid_equal(&first, &again));
	assert_ok(f, trigger_key(f, &other, "k"));
	again = id_of(f->out);
	assert_false(aut_uuid_equal(&first, &again));
	f->now += 1;
	assert_ok(f, trigger_key(f, &id, "k"));
	again = id_of(f->out);
	assert_false(aut_uuid_equal(&first, &again));
}

static void
test_service_policy__triggers_do_not_write_their_automation(void **state)
{
	fixture *f = *state;
	aut_uuid id = made(f, manual_body("a"));
	aut_automation_list list = {0};

	(void) started(f, &id);
	assert_ok(f, look(f, &f->creator, &id));
	assert_text(f->out, "last_triggered_at", "2026-07-01T08:00:00Z");
	assert_text(f->out, "updated_at", text(f->out, "created_at"));
	f->now += HOUR;
	(void) started(f, &id);
	assert_ok(f, look(f, &f->creator, &id));
	assert_text(f->out, "last_triggered_at", "2026-07-01T09:00:00Z");
	aut_automation_list_done(&list);
}

/* ---- reports ----------------------------------------------------------------------------------- */

static void
test_service_policy__the_local_key_reports_for_database_roles(void **state)
{
	fixture *f = *state;
	aut_identity role, elsewhere = *aut_identity_local();
	aut_uuid id, run;

	assert_ok(f, aut_identity_for_role("alice", &role, &f->err));
	assert_ok(f, create(f, &role, manual_body("a")));
	id = id_of(f->out);
	assert_ok(f, aut_service_trigger(as(f, &role), &id, NULL, &f->out, &f->err));
	run = id_of(f->out);
	claim(f);
	memset(elsewhere.org_id.bytes, 7, sizeof elsewhere.org_id.bytes);
	assert_fails(f, complete(f, &elsewhere, &run, json_pack("{s:s}", "status", "COMPLETED")),
				 AUT_ENOTFOUND, "Run not found");
	assert_fails(f, complete(f, &f->manager, &run, json_pack("{s:s}", "status", "COMPLETED")),
				 AUT_ENOTFOUND, "Run not found");
	assert_ok(f,
			  complete(f, aut_identity_local(), &run, json_pack("{s:s}", "status", "COMPLETED")));
	assert_text(f->out, "status", "COMPLETED");
}

/* ---- switching off ----------------------------------------------------------------------------- */

/* A failed callback; kind NULL: a text that says nothing more. */
static void
fail_run(fixture *f, const aut_uuid *id, const char *code)
{
	aut_uuid run = running(f, id);
	json_t *error = code != NULL
						? json_pack("{s:s, s:s, s:s, s:s}", "kind", "ConversationErrorEvent",
									"source", "agent", "code", code, "detail", "it went wrong")
						: json_string("it went wrong");

	assert_ok(f, complete(f, &f->creator, &run,
						  json_pack("{s:s, s:o}", "status", "FAILED", "error", error)));
	f->now += SECOND;
}

static void
succeed(fixture *f, const aut_uuid *id)
{
	aut_uuid run = running(f, id);

	assert_ok(f, complete(f, &f->creator, &run, json_pack("{s:s}", "status", "COMPLETED")));
	f->now += SECOND;
}

static void
assert_state(fixture *f, const aut_uuid *id, const char *want)
{
	assert_ok(f, look(f, &f->creator, id));
	assert_text(f->out, "state", want);
}

static void
test_service_policy__permanent_failures_switch_off(void **state)
{
	fixture *f = *state;
	aut_uuid id = made(f, cron_body("a", "0 9 * * *"));
	const json_t *detail;
	aut_uuid waiting, by_hand;

	fail_run(f, &id, "LLMAuthenticationError");
	fail_run(f, &id, "LLMAuthenticationError");
	fail_run(f, &id, NULL); /* may be anything */
	fail_run(f, &id, "LLMAuthenticationError");
	fail_run(f, &id, "LLMRateLimitError"); /* passes */
	fail_run(f, &id, "LLMAuthenticationError");
	fail_run(f, &id, "MaxBudgetReached");
	succeed(f, &id);
	fail_run(f, &id, "LLMAuthenticationError");
	fail_run(f, &id, "LLMAuthenticationError");
	assert_state(f, &id, "ACTIVE");
	f->now += HOUR; /* so that these two are not claimed with the run that fails */
	fail_run(f, &id, "LLMAuthenticationError");
	assert_state(f, &id, "INACTIVE");
	assert_true(strstr(text(f->out, "disabled_reason"), "last 3 runs") != NULL);
	detail = json_object_get(f->out, "disabled_detail");
	assert_text(detail, "source", "consecutive_permanent_failures");
	assert_text(detail, "rule", "permanent");
	assert_int_equal(number(detail, "threshold"), 3);
	assert_text(json_object_get(detail, "status_detail"), "kind", "auth");
	assert_true(is_null(f->out, "next_fire_at"));

	/* switched on again, the count begins anew */
	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:b}", "enabled", 1)));
	fail_run(f, &id, "LLMAuthenticationError");
	fail_run(f, &id, "LLMAuthenticationError");
	assert_state(f, &id, "ACTIVE");
	waiting = fired(f, &id);
	aut_uuid failing = started(f, &id);
	by_hand = started(f, &id);
	assert_ok(f, aut_service_health_check(f->db, &f->settings, &id, &failing, f->now, &f->err));
	assert_state(f, &id, "ACTIVE");
	f->settings.failure_disable_threshold = 2;
	assert_ok(f, aut_service_health_check(f->db, &f->settings, &id, &failing, f->now, &f->err));
	assert_state(f, &id, "INACTIVE");
	assert_run(f, &waiting, "SKIPPED");
	assert_text(f->out, "error_detail", "Automation disabled");
	assert_text(json_object_get(f->out, "status_detail"), "kind", "blocked");
	assert_run(f, &by_hand, "PENDING");
}

static void
test_service_policy__thresholds_can_be_off(void **state)
{
	fixture *f = *state;
	aut_uuid id = made(f, manual_body("a"));

	f->settings.failure_disable_threshold = -1;
	for (int i = 0; i < 6; i++)
		fail_run(f, &id, "LLMAuthenticationError");
	assert_state(f, &id, "ACTIVE");
}

static void
test_service_policy__any_failures_switch_off_where_asked(void **state)
{
	fixture *f = *state;
	aut_uuid id = made(f, manual_body("a"));
	const json_t *detail;

	f->settings.consecutive_failure_disable_threshold = 4;
	succeed(f, &id);
	for (int i = 0; i < 6; i++)
		fail_run(f, &id, NULL);
	assert_state(f, &id, "ACTIVE"); /* it has succeeded within the day */
	f->now += 24 * HOUR;
	fail_run(f, &id, NULL);
	assert_state(f, &id, "INACTIVE");
	detail = json_object_get(f->out, "disabled_detail");
	assert_text(detail, "source", "consecutive_failures");
	assert_text(detail, "rule", "consecutive");
	assert_int_equal(number(detail, "window_hours"), 24);
}

static int64_t
last_event(fixture *f, const aut_uuid *id)
{
	int64_t at = 0;

	assert_ok(f, aut_store_disable_event_newest(f->db, id, &at, &f->err));
	return at;
}

static void
test_service_policy__people_leave_events_too(void **state)
{
	fixture *f = *state;
	aut_uuid id = made(f, manual_body("a"));

	assert_int_equal(last_event(f, &id), AUT_TIME_NONE);
	f->now += HOUR;
	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:b}", "enabled", 0)));
	assert_int_equal(last_event(f, &id), f->now);
	f->now += HOUR;
	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:b}", "enabled", 0))); /* was off */
	assert_int_equal(last_event(f, &id), f->now - HOUR);
	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:b}", "enabled", 1)));
	f->now += HOUR;
	assert_ok(f, aut_service_automation_delete(as(f, &f->creator), &id, &f->err));
	assert_int_equal(last_event(f, &id), f->now);
}

static void
test_service_policy__a_broken_automation_is_switched_off_at_once(void **state)
{
	fixture *f = *state;
	aut_uuid id = made(f, cron_body("a", "0 9 * * *"));
	aut_uuid run = started(f, &id);

	assert_ok(f, aut_service_disable_broken(f->db, &id, &run, "the tarball is gone",
											"{\"kind\":\"unknown\"}", f->now, &f->err));
	assert_state(f, &id, "INACTIVE");
	assert_text(f->out, "disabled_reason", "the tarball is gone");
	assert_text(json_object_get(json_object_get(f->out, "disabled_detail"), "status_detail"),
				"kind", "unknown");
	assert_int_equal(last_event(f, &id), f->now);
	/* it is off already: nothing more to be told */
	f->now += HOUR;
	assert_ok(f, aut_service_disable_broken(f->db, &id, &run, "again", NULL, f->now, &f->err));
	assert_int_equal(last_event(f, &id), f->now - HOUR);
}

/* ---- runs that may not run --------------------------------------------------------------------- */

static bool
is_blocked(fixture *f, const aut_uuid *run_id)
{
	aut_run_task task = {0};
	bool blocked;

	assert_ok(f, aut_store_run_task(f->db, run_id, &task, &f->err));
	blocked = aut_service_run_is_blocked(&task);
	aut_run_task_done(&task);
	return blocked;
}

static void
test_service_policy__what_may_not_run_is_skipped(void **state)
{
	fixture *f = *state;
	aut_uuid id = made(f, cron_body("a", "0 9 * * *"));
	aut_uuid by_hand, by_clock;
	aut_run_task task = {0};

	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:b}", "enabled", 0)));
	by_hand = started(f, &id);
	by_clock = fired(f, &id); /* as if it had been under way */
	assert_true(is_blocked(f, &by_clock));
	assert_false(is_blocked(f, &by_hand));
	claim(f);
	assert_ok(f, aut_store_run_task(f->db, &by_clock, &task, &f->err));
	assert_ok(f, aut_service_run_skip_blocked(f->db, &task, "worker", f->now, &f->err));
	aut_run_task_done(&task);
	assert_run(f, &by_clock, "SKIPPED");
	assert_text(json_object_get(json_object_get(f->out, "status_detail"), "disabled_detail"),
				"reason", "manual");
	assert_true(is_null(f->out, "started_at"));
	assert_ok(f, aut_service_automation_delete(as(f, &f->creator), &id, &f->err));
	assert_true(is_blocked(f, &by_hand));
}

/* ---- want of memory ------------------------------------------------------------------------------ */

typedef struct patient
{
	fixture *f;
	aut_uuid id;
} patient;

static aut_status
check_health(void *payload)
{
	patient *p = payload;

	return aut_service_health_check(p->f->db, &p->f->settings, &p->id, &p->id, p->f->now, NULL);
}

static void
test_service_policy__survives_without_memory(void **state)
{
	fixture *f = *state;
	patient p = {f, made(f, manual_body("a"))};

	/* Enough failures to be read, too few to be parsed: jansson cannot do without memory (json.c). */
	fail_run(f, &p.id, "LLMAuthenticationError");
	fail_run(f, &p.id, NULL);
	assert_int_equal(check_health(&p), AUT_OK); /* statements stay prepared */
	assert_true(torture(check_health, &p) > 0);
	assert_state(f, &p.id, "ACTIVE");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_service_policy__a_key_returns_its_run_for_a_day),
		TEST(test_service_policy__triggers_do_not_write_their_automation),
		TEST(test_service_policy__the_local_key_reports_for_database_roles),
		TEST(test_service_policy__permanent_failures_switch_off),
		TEST(test_service_policy__thresholds_can_be_off),
		TEST(test_service_policy__any_failures_switch_off_where_asked),
		TEST(test_service_policy__people_leave_events_too),
		TEST(test_service_policy__a_broken_automation_is_switched_off_at_once),
		TEST(test_service_policy__what_may_not_run_is_skipped),
		TEST(test_service_policy__survives_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
