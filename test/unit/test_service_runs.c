/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_service_runs.c - runs over a real store: starting, listing, reporting, cancelling,
 * reading output, and what a run is told.
 */
#include "test/unit/service_fixture.h"

static aut_uuid
automation(fixture *f)
{
	return made(f, cron_body("job", "0 9 * * *"));
}

/* The stored run, for what its JSON does not show. */
static int64_t
cleanup_of(fixture *f, const aut_uuid *id)
{
	aut_run_list list = {0};
	int64_t at;

	assert_ok(f, aut_store_run_get(f->db, id, &list, &f->err));
	at = list.items[0].cleanup_at;
	aut_run_list_done(&list);
	return at;
}

/* ---- starting -------------------------------------------------------------------------------- */

static void
test_service_runs__dispatch_makes_a_pending_run(void **state)
{
	fixture *f = *state;
	aut_uuid id = automation(f);
	aut_uuid run = started(f, &id);

	assert_int_equal(f->call.effects, AUT_EFFECT_RUN);
	assert_text(f->out, "status", "PENDING");
	assert_text(f->out, "trigger_source", "manual");
	assert_text(f->out, "created_at", "2026-07-01T08:00:00Z");
	assert_true(is_null(f->out, "started_at"));
	assert_true(is_null(f->out, "cost"));
	assert_true(is_null(f->out, "exit_code"));
	assert_true(is_null(f->out, "scheduled_for"));
	assert_int_equal(number(f->out, "attempt"), 0);
	assert_int_equal(number(f->out, "output_bytes"), 0);
	assert_ok(f, look(f, &f->creator, &id));
	assert_text(f->out, "last_triggered_at", "2026-07-01T08:00:00Z");
	claim(f);
	assert_run(f, &run, "RUNNING");
	assert_int_equal(number(f->out, "attempt"), 1);
}

static void
test_service_runs__inactive_automations_can_be_dispatched(void **state)
{
	fixture *f = *state;
	aut_uuid id = automation(f);

	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:b}", "enabled", 0)));
	started(f, &id);
	assert_text(f->out, "status", "PENDING");
}

static void
test_service_runs__dispatch_needs_creator_or_manager(void **state)
{
	fixture *f = *state;
	aut_uuid id = automation(f);
	aut_uuid nowhere = {{1}};

	assert_fails(f, aut_service_trigger(as(f, &f->colleague), &id, NULL, &f->out, &f->err),
				 AUT_EDENIED, "creator");
	assert_ok(f, aut_service_trigger(as(f, &f->manager), &id, NULL, &f->out, &f->err));
	assert_fails(f, aut_service_trigger(as(f, &f->manager), &nowhere, NULL, &f->out, &f->err),
				 AUT_ENOTFOUND, "Automation not found");
}

static void
test_service_runs__a_delayed_run_waits(void **state)
{
	fixture *f = *state;
	aut_uuid id = automation(f);
	aut_trigger_options options = {.delay_s = 60};
	aut_uuid run;

	assert_ok(f, aut_service_trigger(as(f, &f->creator), &id, &options, &f->out, &f->err));
	run = id_of(f->out);
	f->now += 59 * SECOND;
	claim(f);
	assert_run(f, &run, "PENDING");
	f->now += SECOND;
	claim(f);
	assert_run(f, &run, "RUNNING");
}

static aut_status
trigger_with(fixture *f, const aut_uuid *id, aut_trigger_options options)
{
	return aut_service_trigger(as(f, &f->creator), id, &options, &f->out, &f->err);
}

static void
test_service_runs__options_are_checked(void **state)
{
	fixture *f = *state;
	aut_uuid id = automation(f);
	size_t huge_len = 1048576 + 2;
	char *huge = malloc(huge_len + 1);

	assert_non_null(huge);
	memset(huge, 'x', huge_len);
	huge[0] = huge[huge_len - 1] = '"';
	huge[huge_len] = '\0';
	assert_fails(f, trigger_with(f, &id, (aut_trigger_options){.delay_s = -1}), AUT_EINVAL,
				 "delay");
	assert_fails(f, trigger_with(f, &id, (aut_trigger_options){.delay_s = 31536001}), AUT_EINVAL,
				 "delay");
	assert_fails(f, trigger_with(f, &id, (aut_trigger_options){.dedupe_key = ""}), AUT_EINVAL,
				 "dedupe_key must have 1 to 255");
	assert_fails(f, trigger_with(f, &id, (aut_trigger_options){.input = "{nope"}), AUT_EBADREQ,
				 "input");
	assert_fails(f, trigger_with(f, &id, (aut_trigger_options){.input = huge}), AUT_ELIMIT,
				 "input");
	assert_ok(f, trigger_with(f, &id, (aut_trigger_options){.input = "{\"a\":[1,2]}"}));
	assert_ok(f, aut_service_run_list(as(f, &f->creator), &id, 50, 0, &f->out, &f->err));
	assert_int_equal(number(f->out, "total"), 1);
	free(huge);
}

/* ---- lists ----------------------------------------------------------------------------------- */

static void
test_service_runs__lists_count_by_status(void **state)
{
	fixture *f = *state;
	aut_uuid id = automation(f);
	aut_uuid first = running(f, &id);
	aut_uuid last;
	const json_t *counts;

	assert_ok(f, complete(f, &f->creator, &first, json_pack("{s:s}", "status", "COMPLETED")));
	f->now += SECOND;
	started(f, &id);
	last = started(f, &id);
	assert_ok(f, aut_service_run_list(as(f, &f->colleague), &id, 1, 0, &f->out, &f->err));
	assert_int_equal(number(f->out, "total"), 3);
	counts = json_object_get(f->out, "status_counts");
	assert_int_equal(json_object_size(counts), 2);
	assert_int_equal(number(counts, "COMPLETED"), 1);
	assert_int_equal(number(counts, "PENDING"), 2);
	assert_int_equal(json_array_size(json_object_get(f->out, "runs")), 1);
	first = id_of(json_array_get(json_object_get(f->out, "runs"), 0));
	assert_true(aut_uuid_equal(&first, &last));
	assert_fails(f, aut_service_run_list(as(f, &f->creator), &id, 0, 0, &f->out, &f->err),
				 AUT_EINVAL, "limit");
}

static void
test_service_runs__the_list_of_all_names_automations(void **state)
{
	fixture *f = *state;
	aut_uuid one = automation(f);
	aut_uuid two = made(f, manual_body("other"));
	aut_uuid gone = made(f, manual_body("gone"));
	const json_t *runs;

	started(f, &one);
	started(f, &two);
	started(f, &one);
	started(f, &gone);
	assert_ok(f, aut_service_automation_delete(as(f, &f->creator), &gone, &f->err));
	assert_ok(f, aut_service_run_list_all(as(f, &f->colleague), 50, 0, &f->out, &f->err));
	runs = json_object_get(f->out, "runs");
	assert_int_equal(json_array_size(runs), 3);
	assert_text(json_array_get(runs, 0), "automation_name", "job");
	assert_text(json_array_get(runs, 1), "automation_name", "other");
	assert_text(json_array_get(runs, 2), "automation_name", "job");
	assert_ok(f, aut_service_run_list_all(as(f, &f->stranger), 50, 0, &f->out, &f->err));
	assert_int_equal(json_array_size(json_object_get(f->out, "runs")), 0);
}

/* ---- completion ------------------------------------------------------------------------------- */

static void
test_service_runs__a_success_ends_the_run(void **state)
{
	fixture *f = *state;
	aut_uuid id = automation(f);
	aut_uuid run = running(f, &id);

	f->now += 5 * SECOND;
	assert_ok(
		f, complete(f, &f->creator, &run,
					json_pack("{s:s, s:s, s:s, s:{}, s:s}", "status", "COMPLETED", "cost", "0.25",
							  "conversation_id", "conv", "task_outcome", "run_id", "ignored")));
	assert_int_equal(f->call.effects, AUT_EFFECT_CLEANUP);
	assert_text(f->out, "status", "COMPLETED");
	assert_text(f->out, "completed_at", "2026-07-01T08:00:05Z");
	assert_text(f->out, "conversation_id", "conv");
	assert_true(json_real_value(json_object_get(f->out, "cost")) == 0.25);
	assert_true(is_null(f->out, "error_detail"));
	assert_true(is_null(f->out, "status_detail"));
	assert_true(cleanup_of(f, &run) == f->now);
}

static void
test_service_runs__a_failure_tells_why(void **state)
{
	fixture *f = *state;
	aut_uuid id = automation(f);
	aut_uuid run = running(f, &id);
	const json_t *detail;

	assert_ok(f,
			  complete(f, &f->creator, &run,
					   json_pack("{s:s, s:{s:s, s:s, s:s}}", "status", "FAILED", "error", "source",
								 "agent", "code", "LLMAuthenticationError", "detail", "bad key")));
	assert_text(f->out, "status", "FAILED");
	assert_text(f->out, "error_detail", "LLMAuthenticationError: bad key [source=agent]");
	detail = json_object_get(f->out, "status_detail");
	assert_text(detail, "phase", "callback");
	assert_text(detail, "kind", "auth");
	assert_text(detail, "detail", "bad key");
	assert_text(detail, "source", "agent");
	assert_text(detail, "code", "LLMAuthenticationError");
	assert_text(detail, "user_action", "settings");
	assert_text(detail, "formatted_detail", "LLMAuthenticationError: bad key [source=agent]");
	assert_text(detail, "first_seen_at", "2026-07-01T08:00:00+00:00");
	run = running(f, &id);
	assert_ok(f, complete(f, &f->creator, &run,
						  json_pack("{s:s, s:s}", "status", "FAILED", "error", "boom")));
	assert_text(f->out, "error_detail", "boom");
	assert_text(json_object_get(f->out, "status_detail"), "kind", "execution_error");
	run = running(f, &id);
	assert_ok(f, complete(f, &f->creator, &run, json_pack("{s:s}", "status", "FAILED")));
	assert_non_null(text(f->out, "error_detail"));
}

/* In the extension runs belong to database roles, and report with the operator's key. */
static void
test_service_runs__the_operators_key_reports_runs_of_roles(void **state)
{
	fixture *f = *state;
	json_t *phase = json_pack("{s:s}", "phase", "x");
	aut_identity role;
	aut_uuid id, run;

	assert_ok(f, aut_identity_for_role("alice", &role, &f->err));
	f->creator = role;
	id = automation(f);
	run = running(f, &id);
	assert_ok(f, aut_service_run_phase(as(f, aut_identity_local()), &run, phase, &f->out, &f->err));
	json_decref(phase);
	assert_ok(f,
			  complete(f, aut_identity_local(), &run, json_pack("{s:s}", "status", "COMPLETED")));
	assert_run(f, &run, "COMPLETED");
}

static void
test_service_runs__only_the_owner_reports(void **state)
{
	fixture *f = *state;
	aut_uuid id = automation(f);
	aut_uuid run = running(f, &id);
	aut_uuid nowhere = {{1}};
	json_t *body = json_pack("{s:s}", "status", "COMPLETED");
	json_t *phase = json_pack("{s:s}", "phase", "x");

	assert_fails(f, complete(f, &f->manager, &run, json_incref(body)), AUT_EDENIED,
				 "somebody else");
	assert_fails(f, complete(f, &f->stranger, &run, json_incref(body)), AUT_ENOTFOUND,
				 "Run not found");
	assert_fails(f, complete(f, &f->creator, &nowhere, json_incref(body)), AUT_ENOTFOUND,
				 "Run not found");
	assert_fails(f, aut_service_run_phase(as(f, &f->manager), &run, phase, &f->out, &f->err),
				 AUT_EDENIED, "somebody else");
	assert_fails(f, aut_service_run_phase(as(f, &f->creator), &nowhere, phase, &f->out, &f->err),
				 AUT_ENOTFOUND, "Run not found");
	assert_fails(f, complete(f, &f->creator, &run, json_pack("{s:s}", "status", "DONE")),
				 AUT_EINVAL, "status");
	assert_run(f, &run, "RUNNING");
	json_decref(body);
	json_decref(phase);
}

static void
test_service_runs__a_run_ends_once(void **state)
{
	fixture *f = *state;
	aut_uuid id = automation(f);
	aut_uuid run = started(f, &id);

	assert_fails(f, complete(f, &f->creator, &run, json_pack("{s:s}", "status", "COMPLETED")),
				 AUT_ECONFLICT, "Run status is PENDING, expected RUNNING");
	claim(f);
	assert_ok(f, complete(f, &f->creator, &run,
						  json_pack("{s:s, s:s}", "status", "FAILED", "error", "e")));
	assert_fails(f, complete(f, &f->creator, &run, json_pack("{s:s}", "status", "COMPLETED")),
				 AUT_ECONFLICT, "Run status is FAILED, expected RUNNING");
	assert_int_equal(f->call.effects, 0);
	assert_run(f, &run, "FAILED");
}

static void
test_service_runs__a_late_success_beats_a_guessed_timeout(void **state)
{
	fixture *f = *state;
	aut_uuid id = automation(f);
	aut_uuid run = running(f, &id);
	bool won = false;
	aut_run_end end = {.id = run,
					   .status = AUT_RUN_FAILED,
					   .from_running = true,
					   .completed_at = f->now,
					   .error_detail = "Timed out: nobody knows",
					   .status_detail = "{\"kind\":\"timeout\"}",
					   .cleanup_at = AUT_TIME_NONE};

	assert_ok(f, aut_store_run_finish(f->db, &end, &won, &f->err));
	assert_true(won);
	assert_fails(f, complete(f, &f->creator, &run, json_pack("{s:s}", "status", "FAILED")),
				 AUT_ECONFLICT, "Run status is FAILED");
	assert_ok(f, complete(f, &f->creator, &run, json_pack("{s:s}", "status", "COMPLETED")));
	assert_text(f->out, "status", "COMPLETED");
	assert_true(is_null(f->out, "error_detail"));
	assert_true(is_null(f->out, "status_detail"));
}

static void
test_service_runs__the_first_end_of_a_template_is_recorded(void **state)
{
	fixture *f = *state;
	json_t *body = cron_body("t", "@daily");
	const json_t *record;
	aut_uuid id;
	aut_uuid run;

	json_object_set_new(body, "template", json_pack("{s:s, s:s}", "id", "tpl", "version", "7"));
	id = made(f, body);
	run = running(f, &id);
	assert_ok(f, complete(f, &f->creator, &run, json_pack("{s:s}", "status", "FAILED")));
	run = running(f, &id);
	f->now += SECOND;
	assert_ok(f, complete(f, &f->creator, &run, json_pack("{s:s}", "status", "COMPLETED")));
	assert_ok(f, look(f, &f->creator, &id));
	record = json_object_get(json_object_get(f->out, "preset_metadata"), "first_run");
	assert_text(record, "status", "failure");
	assert_text(record, "failure_stage", "execution");
	assert_text(record, "template_version", "7");
	assert_text(record, "recorded_at", "2026-07-01T08:00:00Z");
	assert_text(json_object_get(json_object_get(f->out, "preset_metadata"), "template"), "id",
				"tpl");
}

/* ---- phase ----------------------------------------------------------------------------------- */

static aut_status
phase(fixture *f, const aut_uuid *run, const char *words)
{
	json_t *body = json_pack("{s:s}", "phase", words);
	aut_status status = aut_service_run_phase(as(f, &f->creator), run, body, &f->out, &f->err);

	json_decref(body);
	return status;
}

static void
test_service_runs__phases_are_cleaned_and_end_with_the_run(void **state)
{
	fixture *f = *state;
	aut_uuid id = automation(f);
	aut_uuid run = started(f, &id);

	assert_ok(f, phase(f, &run, "  Installing\n\tit\xc2\xa0 "));
	assert_text(f->out, "current_phase", "Installing it");
	claim(f);
	assert_ok(f, phase(f, &run, "Working"));
	assert_text(f->out, "current_phase", "Working");
	assert_fails(f, phase(f, &run, " \n "), AUT_EINVAL, "phase");
	assert_ok(f, complete(f, &f->creator, &run, json_pack("{s:s}", "status", "COMPLETED")));
	assert_text(f->out, "current_phase", "Working");
	assert_fails(f, phase(f, &run, "Late"), AUT_ECONFLICT, "Run status is COMPLETED");
}

/* ---- cancel ---------------------------------------------------------------------------------- */

static void
test_service_runs__cancel_ends_what_has_not_ended(void **state)
{
	fixture *f = *state;
	aut_uuid id = automation(f);
	aut_uuid waiting = started(f, &id);
	aut_uuid nowhere = {{1}};
	aut_uuid run;

	assert_ok(f, aut_service_run_cancel(as(f, &f->creator), &waiting, &f->out, &f->err));
	assert_text(f->out, "status", "CANCELLED");
	assert_text(f->out, "error_detail", "Cancelled by user");
	assert_true(is_null(f->out, "status_detail"));
	assert_true(cleanup_of(f, &waiting) == AUT_TIME_NONE);
	run = running(f, &id);
	assert_fails(f, aut_service_run_cancel(as(f, &f->colleague), &run, &f->out, &f->err),
				 AUT_EDENIED, "creator");
	assert_ok(f, aut_service_run_cancel(as(f, &f->manager), &run, &f->out, &f->err));
	assert_int_equal(f->call.effects, AUT_EFFECT_CLEANUP);
	assert_true(cleanup_of(f, &run) == f->now);
	assert_fails(f, aut_service_run_cancel(as(f, &f->creator), &run, &f->out, &f->err),
				 AUT_ECONFLICT, "Run status is CANCELLED, expected PENDING or RUNNING");
	assert_fails(f, aut_service_run_cancel(as(f, &f->creator), &nowhere, &f->out, &f->err),
				 AUT_ENOTFOUND, "Run not found");
}

/* ---- output ----------------------------------------------------------------------------------- */

static void
print_at(fixture *f, const aut_uuid *run, int64_t start, const char *bytes, int64_t keep)
{
	assert_ok(
		f, aut_store_output_append(f->db, run, start, bytes, strlen(bytes), f->now, keep, &f->err));
}

static void
read_logs(fixture *f, const aut_uuid *run, int64_t after, int64_t limit)
{
	assert_ok(f, aut_service_run_logs(as(f, &f->creator), run, after, limit, &f->out, &f->err));
}

static void
assert_logs(const fixture *f, const char *data, int64_t next, bool truncated, bool complete_)
{
	assert_text(f->out, "data", data);
	assert_int_equal(number(f->out, "next"), next);
	assert_int_equal(json_is_true(json_object_get(f->out, "truncated")), truncated);
	assert_int_equal(json_is_true(json_object_get(f->out, "complete")), complete_);
}

static void
ended(fixture *f, const aut_uuid *run)
{
	assert_ok(f, complete(f, &f->creator, run, json_pack("{s:s}", "status", "COMPLETED")));
	assert_ok(f, aut_store_run_cleanup_set(f->db, run, 1, AUT_TIME_NONE, &f->err));
}

static void
test_service_runs__output_is_read_on_from_where_it_stopped(void **state)
{
	fixture *f = *state;
	aut_uuid id = automation(f);
	aut_uuid run = running(f, &id);

	read_logs(f, &run, 0, 1000);
	assert_logs(f, "", 0, false, false);
	assert_text(f->out, "status", "RUNNING");
	print_at(f, &run, 0, "one\n", 1000);
	print_at(f, &run, 4, "two\n", 1000);
	read_logs(f, &run, 0, 1000);
	assert_logs(f, "one\ntwo\n", 8, false, false);
	assert_int_equal(number(f->out, "total"), 8);
	read_logs(f, &run, 2, 5);
	assert_logs(f, "e\ntwo", 7, false, false);
	read_logs(f, &run, 8, 1000);
	assert_logs(f, "", 8, false, false);
	read_logs(f, &run, 1000, 1000);
	assert_logs(f, "", 8, false, false);
	ended(f, &run);
	read_logs(f, &run, 0, 7);
	assert_logs(f, "one\ntwo", 7, false, false);
	read_logs(f, &run, 7, 7);
	assert_logs(f, "\n", 8, false, true);
	assert_text(f->out, "status", "COMPLETED");
}

static void
test_service_runs__output_never_splits_a_character(void **state)
{
	fixture *f = *state;
	aut_uuid id = automation(f);
	aut_uuid run = running(f, &id);

	/* a grinning face over two chunks */
	print_at(f, &run, 0, "ab\xf0\x9f", 1000);
	read_logs(f, &run, 0, 1000);
	assert_logs(f, "ab", 2, false, false);
	read_logs(f, &run, 2, 1000);
	assert_logs(f, "", 2, false, false);
	print_at(f, &run, 4,
			 "\x98\x80"
			 "c\xc3",
			 1000);
	read_logs(f, &run, 2, 1000);
	assert_logs(f,
				"\xf0\x9f\x98\x80"
				"c",
				7, false, false);
	/* the limit stops before it, not in it */
	read_logs(f, &run, 0, 5);
	assert_logs(f, "ab", 2, false, false);
	/* and the smallest limit still gets over it */
	read_logs(f, &run, 2, 1);
	assert_logs(f, "\xf0\x9f\x98\x80", 6, false, false);
	/* nothing follows any more: what is left is shown as broken */
	ended(f, &run);
	read_logs(f, &run, 7, 1000);
	assert_logs(f, "\xef\xbf\xbd", 8, false, true);
}

static void
test_service_runs__bad_bytes_become_replacement_characters(void **state)
{
	fixture *f = *state;
	aut_uuid id = automation(f);
	aut_uuid run = running(f, &id);

	assert_ok(f, aut_store_output_append(f->db, &run, 0, "a\xff\0z", 4, f->now, 1000, &f->err));
	read_logs(f, &run, 0, 1000);
	assert_logs(f, "a\xef\xbf\xbd\xef\xbf\xbdz", 4, false, false);
}

static void
test_service_runs__lost_output_is_told(void **state)
{
	fixture *f = *state;
	aut_uuid id = automation(f);
	aut_uuid run = running(f, &id);

	print_at(f, &run, 0, "0123456789", 15);
	print_at(f, &run, 10, "abcdefghij", 15); /* newest 15: both chunks stay */
	read_logs(f, &run, 0, 1000);
	assert_logs(f, "0123456789abcdefghij", 20, false, false);
	print_at(f, &run, 20, "KLMNOPQRST", 15); /* the first goes */
	read_logs(f, &run, 0, 1000);
	assert_logs(f, "abcdefghijKLMNOPQRST", 30, true, false);
	assert_int_equal(number(f->out, "after"), 0);
	read_logs(f, &run, 10, 1000);
	assert_logs(f, "abcdefghijKLMNOPQRST", 30, false, false);
	/* the limit counts what is there */
	read_logs(f, &run, 0, 5);
	assert_logs(f, "abcde", 15, true, false);
}

static void
test_service_runs__characters_are_not_made_across_a_hole(void **state)
{
	fixture *f = *state;
	aut_uuid id = automation(f);
	aut_uuid run = running(f, &id);

	print_at(f, &run, 0, "a\xc3", 1000);
	print_at(f, &run, 100,
			 "\xa4"
			 "b",
			 1000);
	read_logs(f, &run, 0, 1000);
	assert_logs(f,
				"a\xef\xbf\xbd\xef\xbf\xbd"
				"b",
				102, false, false);
	/* the hole is longer than the limit: reading gets over it all the same */
	read_logs(f, &run, 1, 4);
	assert_logs(f, "\xef\xbf\xbd", 2, false, false);
	read_logs(f, &run, 2, 4);
	assert_logs(f,
				"\xef\xbf\xbd"
				"b",
				102, true, false);
}

static void
test_service_runs__dropped_output_does_not_hold_readers_up(void **state)
{
	fixture *f = *state;
	aut_uuid id = automation(f);
	aut_uuid run = running(f, &id);

	print_at(f, &run, 0, "gone", 0);
	read_logs(f, &run, 0, 1000);
	assert_logs(f, "", 4, true, false);
	ended(f, &run);
	read_logs(f, &run, 0, 1000);
	assert_logs(f, "", 4, true, true);
	read_logs(f, &run, 4, 1000);
	assert_logs(f, "", 4, false, true);
}

static void
test_service_runs__output_is_complete_after_the_cleanup(void **state)
{
	fixture *f = *state;
	aut_uuid id = automation(f);
	aut_uuid run = running(f, &id);

	print_at(f, &run, 0, "x\xc3", 1000);
	assert_ok(f, complete(f, &f->creator, &run, json_pack("{s:s}", "status", "COMPLETED")));
	/* the engine may still fetch the rest */
	read_logs(f, &run, 0, 1000);
	assert_logs(f, "x", 1, false, false);
	f->now += 11 * SECOND;
	read_logs(f, &run, 0, 1000);
	assert_logs(f, "x\xef\xbf\xbd", 2, false, true);
}

static void
test_service_runs__much_output_comes_in_pieces(void **state)
{
	fixture *f = *state;
	aut_uuid id = automation(f);
	aut_uuid run = running(f, &id);
	char line[101];
	int64_t after = 0;
	int64_t rounds = 0;

	memset(line, 'x', 100);
	line[100] = '\0';
	for (int64_t i = 0; i < 100; i++)
		print_at(f, &run, i * 100, line, 1048576);
	ended(f, &run);
	do
	{
		read_logs(f, &run, after, 333);
		after = number(f->out, "next");
	} while (!json_is_true(json_object_get(f->out, "complete")) && ++rounds < 100);
	assert_int_equal(after, 10000);
	assert_int_equal(rounds, 10000 / 333);
	read_logs(f, &run, 0, 1048576);
	assert_int_equal(number(f->out, "next"), 10000);
}

static void
test_service_runs__log_windows_have_bounds(void **state)
{
	static const int64_t bad[][2] = {{-1, 10}, {0, 0}, {0, 1048577}};
	fixture *f = *state;
	aut_uuid id = automation(f);
	aut_uuid run = running(f, &id);
	aut_uuid nowhere = {{1}};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_fails(
			f,
			aut_service_run_logs(as(f, &f->creator), &run, bad[i][0], bad[i][1], &f->out, &f->err),
			AUT_EINVAL, "limit");
	assert_fails(f, aut_service_run_logs(as(f, &f->creator), &nowhere, 0, 10, &f->out, &f->err),
				 AUT_ENOTFOUND, "Run not found");
}

/* ---- what a run is told ------------------------------------------------------------------------ */

static char *
payload_of(fixture *f, const aut_uuid *run)
{
	aut_run_task task = {0};
	char *payload = NULL;

	assert_ok(f, aut_store_run_task(f->db, run, &task, &f->err));
	assert_ok(f, aut_service_event_payload(&task, &payload, &f->err));
	aut_run_task_done(&task);
	return payload;
}

static void
test_service_runs__the_payload_is_the_contracts(void **state)
{
	fixture *f = *state;
	json_t *body = cron_body("p\"2", "0 9 * * *");
	char id_text[AUT_UUID_TEXT_MAX];
	char want[500];
	char *payload;
	aut_uuid id;
	aut_uuid run;

	json_object_set_new(body, "model", json_string("prof1"));
	id = made(f, body);
	run = started(f, &id);
	payload = payload_of(f, &run);
	(void) snprintf(want, sizeof want,
					"{\"trigger\":\"cron\",\"trigger_payload\":{\"type\":\"cron\",\"schedule\":"
					"\"0 9 * * *\",\"timezone\":\"UTC\"},\"automation_id\":\"%s\","
					"\"automation_name\":\"p\\\"2\",\"model\":\"prof1\"}",
					aut_uuid_format(&id, id_text));
	assert_string_equal(payload, want);
	aut_free(payload);
}

static void
test_service_runs__the_input_becomes_the_event(void **state)
{
	fixture *f = *state;
	aut_uuid id = automation(f);
	aut_trigger_options options = {.input = "{\"n\": 1.50, \"text\": \"\\u00e9\"}"};
	char *payload;
	aut_uuid run;
	json_t *value;

	assert_ok(f, aut_service_trigger(as(f, &f->creator), &id, &options, &f->out, &f->err));
	run = id_of(f->out);
	payload = payload_of(f, &run);
	/* as it was spelled */
	assert_non_null(strstr(payload, "\"event\":{\"n\": 1.50, \"text\": \"\\u00e9\"}"));
	value = json_loads(payload, 0, NULL);
	assert_non_null(value);
	assert_true(json_is_null(json_object_get(value, "model")));
	json_decref(value);
	aut_free(payload);
	/* and is never shown */
	assert_ok(f, run_get(f, &f->creator, &run));
	assert_null(json_object_get(f->out, "event_payload"));
	assert_null(json_object_get(f->out, "event"));
}

/* ---- without memory ----------------------------------------------------------------------------- */

static aut_status
torture_one_run(void *payload)
{
	fixture *f = payload;
	json_t *body = NULL;
	json_t *out = NULL;
	aut_uuid run;
	aut_call call;
	aut_status status;
	bool won;
	static const char failed[] =
		"{\"status\":\"FAILED\",\"error\":{\"code\":\"C\",\"detail\":\"d\"}}";

	aut_call_init(&call, f->db, &f->settings, &f->creator, f->now);
	run = f->creator.user_id; /* set below */
	status = aut_json_parse(failed, sizeof failed - 1, &body, NULL);
	if (status == AUT_OK)
		status = aut_db_begin(f->db, NULL);
	if (status == AUT_OK)
	{
		aut_automation_list list = {0};
		int64_t total;

		status = aut_store_automation_list(f->db, &f->creator.org_id, AUT_CREATED_BY_ANY,
										   &f->creator.user_id, 1, 0, &list, &total, NULL);
		if (status == AUT_OK)
			status = aut_service_trigger(&call, &list.items[0].id, NULL, &out, NULL);
		aut_automation_list_done(&list);
	}
	if (status == AUT_OK)
	{
		size_t count;

		aut_uuid_parse(text(out, "id"), 36, &run);
		status = aut_store_run_claim(f->db, &(aut_claim){.worker = "w", .now = f->now, .limit = 1},
									 &run, &count, NULL);
	}
	if (status == AUT_OK)
		status = aut_store_output_append(f->db, &run, 0, "a\xff", 2, f->now, 10, NULL);
	for (int step = 0; status == AUT_OK && step < 4; step++)
	{
		json_decref(out);
		out = NULL;
		if (step == 0)
			status = aut_service_run_logs(&call, &run, 0, 100, &out, NULL);
		else if (step == 1)
			status = aut_service_run_complete(&call, &run, body, &out, NULL);
		else if (step == 2)
			status = aut_service_run_list_all(&call, 10, 0, &out, NULL);
		else
			status = aut_store_run_phase(f->db, &run, "x", &won, NULL);
	}
	aut_db_rollback(f->db);
	json_decref(out);
	json_decref(body);
	aut_call_done(&call);
	return status;
}

static void
test_service_runs__survives_without_memory(void **state)
{
	fixture *f = *state;

	automation(f);
	assert_int_equal(torture_one_run(f), AUT_OK);
	aut_tz_cache_clear();
	assert_true(torture(torture_one_run, f) > 100);
}

int
main(void)
{
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		WITH_STORE(test_service_runs__dispatch_makes_a_pending_run),
		WITH_STORE(test_service_runs__inactive_automations_can_be_dispatched),
		WITH_STORE(test_service_runs__dispatch_needs_creator_or_manager),
		WITH_STORE(test_service_runs__a_delayed_run_waits),
		WITH_STORE(test_service_runs__options_are_checked),
		WITH_STORE(test_service_runs__lists_count_by_status),
		WITH_STORE(test_service_runs__the_list_of_all_names_automations),
		WITH_STORE(test_service_runs__a_success_ends_the_run),
		WITH_STORE(test_service_runs__a_failure_tells_why),
		WITH_STORE(test_service_runs__only_the_owner_reports),
		WITH_STORE(test_service_runs__the_operators_key_reports_runs_of_roles),
		WITH_STORE(test_service_runs__a_run_ends_once),
		WITH_STORE(test_service_runs__a_late_success_beats_a_guessed_timeout),
		WITH_STORE(test_service_runs__the_first_end_of_a_template_is_recorded),
		WITH_STORE(test_service_runs__phases_are_cleaned_and_end_with_the_run),
		WITH_STORE(test_service_runs__cancel_ends_what_has_not_ended),
		WITH_STORE(test_service_runs__output_is_read_on_from_where_it_stopped),
		WITH_STORE(test_service_runs__output_never_splits_a_character),
		WITH_STORE(test_service_runs__bad_bytes_become_replacement_characters),
		WITH_STORE(test_service_runs__lost_output_is_told),
		WITH_STORE(test_service_runs__characters_are_not_made_across_a_hole),
		WITH_STORE(test_service_runs__dropped_output_does_not_hold_readers_up),
		WITH_STORE(test_service_runs__output_is_complete_after_the_cleanup),
		WITH_STORE(test_service_runs__much_output_comes_in_pieces),
		WITH_STORE(test_service_runs__log_windows_have_bounds),
		WITH_STORE(test_service_runs__the_payload_is_the_contracts),
		WITH_STORE(test_service_runs__the_input_becomes_the_event),
		WITH_STORE(test_service_runs__survives_without_memory),
	};

	return cmocka_run_group_tests_name("service_runs", tests, NULL, NULL);
}
