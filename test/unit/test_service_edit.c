/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_service_edit.c - changing and deleting automations over a real store: the rules of
 * PATCH, what happens to the schedule and to runs that wait, and without memory.
 */
#include "test/unit/service_fixture.h"

/* ---- changing -------------------------------------------------------------------------------- */

static void
test_service_edit__a_change_keeps_what_it_does_not_name(void **state)
{
	fixture *f = *state;
	aut_uuid id = made(f, cron_body("old", "0 9 * * *"));

	f->now += 30 * 60 * SECOND;
	assert_ok(
		f, update(f, &f->creator, &id, json_pack("{s:s, s:s}", "name", "new", "description", "d")));
	assert_text(f->out, "name", "new");
	assert_text(f->out, "entrypoint", "./run");
	assert_text(f->out, "next_fire_at", "2026-07-01T09:00:00Z");
	assert_text(f->out, "updated_at", "2026-07-01T08:30:00Z");
	assert_int_equal(f->call.effects, 0);
	f->now += SECOND;
	assert_ok(f, update(f, &f->creator, &id, json_object()));
	assert_text(f->out, "updated_at", "2026-07-01T08:30:00Z");
	assert_ok(
		f, update(f, &f->creator, &id,
				  json_pack("{s:n, s:n, s:n, s:s, s:s, s:s, s:{}}", "description", "timeout",
							"setup_script_path", "prompt", "do it", "entrypoint", "./other",
							"tarball_path", "https://y.test/b.tgz", "observability_associations")));
	assert_true(is_null(f->out, "description"));
	assert_true(is_null(f->out, "timeout"));
	assert_text(f->out, "prompt", "do it");
	assert_text(f->out, "entrypoint", "./other");
	assert_text(f->out, "tarball_path", "https://y.test/b.tgz");
}

/* The service this one replaces checks only how it begins, which lets anybody's upload be read. */
static void
test_service_edit__an_exchanged_tarball_passes_the_rules_of_a_new_one(void **state)
{
	fixture *f = *state;
	aut_uuid id = made(f, cron_body("x", "@daily"));
	const aut_identity *others[] = {&f->colleague, &f->stranger};
	char path[100], text_of_id[AUT_UUID_TEXT_MAX];
	aut_uuid upload;

	for (size_t i = 0; i < 3; i++)
	{
		const aut_identity *who = i < 2 ? others[i] : &f->creator;

		assert_ok(f, aut_service_upload_create(as(f, who), "up", NULL, "DATA", 4, false, &f->out,
											   &f->err));
		upload = id_of(f->out);
		(void) snprintf(path, sizeof path, "oh-internal://uploads/%s",
						aut_uuid_format(&upload, text_of_id));
		if (i < 2)
			assert_fails(f, update(f, &f->creator, &id, json_pack("{s:s}", "tarball_path", path)),
						 AUT_ENOTFOUND, "Upload not found");
		else
			assert_ok(f, update(f, &f->creator, &id, json_pack("{s:s}", "tarball_path", path)));
	}
	assert_fails(
		f,
		update(f, &f->creator, &id, json_pack("{s:s}", "tarball_path", "oh-internal://uploads/x")),
		AUT_EINVAL, "does not name an upload");
	assert_fails(
		f, update(f, &f->creator, &id, json_pack("{s:s}", "tarball_path", "http://x.test/a.tgz")),
		AUT_EINVAL, "https://");
	/* the same one again is no exchange, even when it is gone by now */
	assert_ok(f, aut_service_upload_delete(as(f, &f->creator), &upload, &f->err));
	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:s}", "tarball_path", path)));
}

/* ---- profiles -------------------------------------------------------------------------------- */

static void
test_service_edit__models_are_resolved_by_what_the_caller_has(void **state)
{
	fixture *f = *state;
	json_t *profiles = json_pack("{s:{}, s:{}}", "fast", "deep");
	json_t *body = cron_body("x", "@daily");
	aut_uuid id;

	f->creator.llm_profiles = profiles;
	f->creator.active_profile = "fast";
	json_object_set_new(body, "model", json_string("slow"));
	assert_fails(f, create(f, &f->creator, json_incref(body)), AUT_EINVAL, "Model profile 'slow'");
	json_object_set_new(body, "model", json_string("deep"));
	assert_ok(f, create(f, &f->creator, json_incref(body)));
	assert_text(f->out, "model", "deep");
	json_object_del(body, "model");
	assert_ok(f, create(f, &f->creator, body));
	assert_text(f->out, "model", "fast");
	id = id_of(f->out);
	assert_fails(f, update(f, &f->creator, &id, json_pack("{s:s}", "model", "slow")), AUT_EINVAL,
				 "Model profile 'slow'");
	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:s}", "model", "deep")));
	assert_text(f->out, "model", "deep");
	/* null: back to the one in use; not given: as it was, whatever has become of it */
	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:n}", "model")));
	assert_text(f->out, "model", "fast");
	f->creator.active_profile = NULL;
	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:s}", "name", "y")));
	assert_text(f->out, "model", "fast");
	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:n}", "model")));
	assert_true(is_null(f->out, "model"));
	/* nobody knows them: any */
	f->creator.llm_profiles = NULL;
	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:s}", "model", "slow")));
	assert_text(f->out, "model", "slow");
	json_decref(profiles);
}

static void
test_service_edit__agent_profiles_are_checked_where_they_are_known(void **state)
{
	static const char there[] = "6f1c1f5e-0000-4000-8000-000000000001";
	static const char missing[] = "6f1c1f5e-0000-4000-8000-000000000002";
	fixture *f = *state;
	json_t *ids = json_pack("{s:b}", there, 1);
	aut_agent_profiles known = {.status = AUT_OK, .ids = ids};
	aut_uuid id = made(f, cron_body("x", "@daily"));
	bool existing;
	json_t *body = json_pack("{s:s}", "agent_profile_id", missing);

	as(f, &f->creator)->agent_profiles = &known;
	assert_fails(f, aut_service_automation_update(&f->call, &id, body, &f->out, &f->err),
				 AUT_EINVAL, "does not exist");
	json_object_set_new(body, "agent_profile_id", json_string(there));
	as(f, &f->creator)->agent_profiles = &known;
	assert_ok(f, aut_service_automation_update(&f->call, &id, body, &f->out, &f->err));
	assert_text(f->out, "agent_profile_id", there);
	known.status = aut_fail(&known.error, AUT_EPROTO, "profiles: not today");
	as(f, &f->creator)->agent_profiles = &known;
	assert_fails(f, aut_service_automation_update(&f->call, &id, body, &f->out, &f->err),
				 AUT_EPROTO, "not today");
	json_decref(body);
	body = cron_body("y", "@daily");
	json_object_set_new(body, "agent_profile_id", json_string(there));
	as(f, &f->creator)->agent_profiles = &known;
	assert_fails(f, aut_service_automation_create(&f->call, body, &f->out, &existing, &f->err),
				 AUT_EPROTO, "not today");
	/* what does not name one does not care */
	json_object_del(body, "agent_profile_id");
	as(f, &f->creator)->agent_profiles = &known;
	assert_ok(f, aut_service_automation_create(&f->call, body, &f->out, &existing, &f->err));
	json_decref(body);
	json_decref(ids);
}

static void
test_service_edit__mandatory_members_cannot_be_nulled(void **state)
{
	fixture *f = *state;
	aut_uuid id = made(f, cron_body("x", "@daily"));

	assert_fails(f,
				 update(f, &f->creator, &id,
						json_pack("{s:n, s:n, s:n, s:n, s:n}", "name", "trigger", "tarball_path",
								  "entrypoint", "enabled")),
				 AUT_EINVAL, "name");
	assert_int_equal(json_array_size(f->call.problems), 5);
	/* state says what enabled leaves open */
	assert_ok(f,
			  update(f, &f->creator, &id, json_pack("{s:n, s:s}", "enabled", "state", "INACTIVE")));
	assert_text(f->out, "state", "INACTIVE");
}

static void
test_service_edit__a_new_schedule_counts_from_now(void **state)
{
	fixture *f = *state;
	aut_uuid id = made(f, cron_body("x", "0 9 * * *"));

	f->now += 3 * HOUR; /* 11:00: the slot of 9 was never fired */
	assert_ok(f, update(f, &f->creator, &id,
						json_pack("{s:{s:s, s:s}}", "trigger", "type", "cron", "schedule",
								  "0 10 * * *")));
	assert_text(f->out, "next_fire_at", "2026-07-02T10:00:00Z");
	assert_int_equal(f->call.effects, AUT_EFFECT_SCHEDULE);
}

static void
test_service_edit__the_same_trigger_again_moves_nothing(void **state)
{
	fixture *f = *state;
	aut_uuid id = made(f, cron_body("x", "0 9 * * *"));

	f->now += 3 * HOUR;
	assert_ok(
		f, update(f, &f->creator, &id,
				  json_pack("{s:{s:s, s:s}}", "trigger", "type", "cron", "schedule", "0 9 * * *")));
	assert_text(f->out, "next_fire_at", "2026-07-01T09:00:00Z");
	assert_int_equal(f->call.effects, 0);
}

static void
test_service_edit__disabling_skips_what_waits(void **state)
{
	fixture *f = *state;
	aut_uuid id = made(f, cron_body("x", "0 9 * * *"));
	aut_uuid by_clock = fired(f, &id);
	aut_uuid by_hand = started(f, &id);
	const json_t *detail;

	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:b}", "enabled", 0)));
	assert_text(f->out, "state", "INACTIVE");
	assert_text(f->out, "disabled_reason", "manual");
	assert_text(f->out, "disabled_at", "2026-07-01T08:00:00Z");
	assert_text(json_object_get(f->out, "disabled_detail"), "source", "user");
	assert_true(is_null(f->out, "next_fire_at"));
	assert_run(f, &by_hand, "PENDING");
	assert_run(f, &by_clock, "SKIPPED");
	assert_text(f->out, "error_detail", "Automation disabled");
	assert_text(f->out, "completed_at", "2026-07-01T08:00:00Z");
	detail = json_object_get(f->out, "status_detail");
	assert_text(detail, "phase", "dispatch");
	assert_text(detail, "kind", "blocked");
	assert_text(detail, "operation", "automation_disabled");
	assert_text(detail, "user_action", "settings");
	assert_text(json_object_get(detail, "disabled_detail"), "reason", "manual");
	assert_true(json_is_false(json_object_get(detail, "transient")));
}

static void
test_service_edit__enabling_fires_no_past_slot(void **state)
{
	fixture *f = *state;
	aut_uuid id = made(f, cron_body("x", "0 9 * * *"));

	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:s}", "state", "INACTIVE")));
	f->now += 3 * HOUR;
	/* disabling again changes nothing of why */
	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:s}", "state", "INACTIVE")));
	assert_text(f->out, "disabled_at", "2026-07-01T08:00:00Z");
	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:s}", "state", "ACTIVE")));
	assert_text(f->out, "next_fire_at", "2026-07-02T09:00:00Z");
	assert_true(is_null(f->out, "disabled_reason"));
	assert_true(is_null(f->out, "disabled_detail"));
	assert_true(is_null(f->out, "disabled_at"));
	assert_int_equal(f->call.effects, AUT_EFFECT_SCHEDULE);
}

static void
test_service_edit__a_changed_kind_remembers_the_last_fire(void **state)
{
	fixture *f = *state;
	aut_fire fire = {.automation_id = made(f, cron_body("x", "0 9 * * *"))};
	aut_uuid id = fire.automation_id;
	size_t runs;

	f->now += HOUR;
	fire.slot = f->now;
	fire.next_fire_at = f->now + 24 * HOUR;
	assert_ok(f, aut_store_schedule_fire(f->db, &fire, 1, f->now, &runs, &f->err));
	assert_ok(f, update(f, &f->creator, &id,
						json_pack("{s:{s:s, s:s, s:[]}}", "trigger", "type", "event", "source",
								  "manual", "on")));
	assert_true(is_null(f->out, "next_fire_at"));
	assert_text(f->out, "last_triggered_at", "2026-07-01T09:00:00Z");
	assert_ok(f, update(f, &f->creator, &id,
						json_pack("{s:{s:s, s:s}}", "trigger", "type", "cron", "schedule",
								  "0 10 * * *")));
	assert_text(f->out, "next_fire_at", "2026-07-01T10:00:00Z");
	assert_text(f->out, "last_triggered_at", "2026-07-01T09:00:00Z");
}

static void
test_service_edit__conversations_that_go_on_keep_their_place(void **state)
{
	fixture *f = *state;
	aut_uuid id = made(f, manual_body("x"));
	json_t *event = json_pack("{s:{s:s, s:s, s:s, s:s}}", "trigger", "type", "event", "source",
							  "github", "on", "push", "destination", "continue_conversation");

	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:b}", "keep_alive", 0)));
	assert_fails(f, update(f, &f->creator, &id, json_incref(event)), AUT_EBADREQ, "keep_alive");
	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:n}", "keep_alive")));
	assert_ok(f, update(f, &f->creator, &id, event));
	assert_true(json_is_true(json_object_get(f->out, "keep_alive")));
	assert_fails(f, update(f, &f->creator, &id, json_pack("{s:b}", "keep_alive", 0)), AUT_EBADREQ,
				 "keep_alive");
	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:n}", "keep_alive")));
	assert_true(json_is_true(json_object_get(f->out, "keep_alive")));
}

static void
test_service_edit__others_may_only_switch_off(void **state)
{
	fixture *f = *state;
	aut_uuid id = made(f, cron_body("x", "@daily"));

	assert_fails(f, update(f, &f->colleague, &id, json_pack("{s:b}", "enabled", 0)), AUT_EDENIED,
				 "manage_automations");
	assert_fails(f, update(f, &f->manager, &id, json_pack("{s:s}", "name", "y")), AUT_EDENIED,
				 "Only the creator");
	assert_fails(f, update(f, &f->manager, &id, json_pack("{s:b, s:s}", "enabled", 0, "name", "y")),
				 AUT_EDENIED, "Only the creator");
	assert_fails(f, update(f, &f->manager, &id, json_object()), AUT_EDENIED, "Only the creator");
	assert_fails(f, update(f, &f->manager, &id, json_pack("{s:b}", "enabled", 1)), AUT_EDENIED,
				 "Only the creator");
	assert_ok(
		f, update(f, &f->manager, &id, json_pack("{s:b, s:s}", "enabled", 0, "state", "INACTIVE")));
	assert_text(f->out, "state", "INACTIVE");
}

static void
test_service_edit__presets_and_plugins_are_refused_clearly(void **state)
{
	fixture *f = *state;
	aut_uuid id = made(f, cron_body("x", "@daily"));
	aut_automation_list list = {0};

	assert_fails(f, update(f, &f->creator, &id, json_pack("{s:[]}", "repos")), AUT_EINVAL,
				 "presets");
	assert_fails(f, update(f, &f->creator, &id, json_pack("{s:n}", "plugin")), AUT_EINVAL, "null");
	assert_fails(f, update(f, &f->creator, &id, json_pack("{s:{s:s}}", "plugin", "source", "s")),
				 AUT_EINVAL, "plugin-spec");
	/* as a later version may have stored them */
	assert_ok(f, aut_store_automation_get(f->db, &f->creator.org_id, &id, &list, &f->err));
	list.items[0].preset_metadata = "{\"preset_type\":\"prompt\"}";
	list.items[0].plugin_spec = "{}";
	list.items[0].tarball_path = "plugin-spec://runtime";
	assert_ok(f, aut_store_automation_update(f->db, &list.items[0], &f->err));
	aut_automation_list_done(&list);
	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:[]}", "repos")));
	assert_fails(f,
				 update(f, &f->creator, &id, json_pack("{s:s}", "repos", "https://x.test/r.git")),
				 AUT_EINVAL, "repos cannot be changed");
	assert_fails(f,
				 update(f, &f->creator, &id,
						json_pack("{s:{s:s}, s:s, s:s}", "plugin", "source", "s", "model", "m",
								  "entrypoint", "e")),
				 AUT_EINVAL, "entrypoint, model");
	assert_fails(f, update(f, &f->creator, &id, json_pack("{s:{s:s}}", "plugin", "source", "s")),
				 AUT_EUNSUPPORTED, "plugin");
}

static void
test_service_edit__waiting_runs_follow_their_code(void **state)
{
	fixture *f = *state;
	aut_uuid id = made(f, cron_body("x", "@daily"));
	aut_automation_list list = {0};
	int64_t next;

	/* as the SQL door stores it */
	assert_ok(f, aut_store_automation_get(f->db, &f->creator.org_id, &id, &list, &f->err));
	list.items[0].tarball_path = AUT_TARBALL_INLINE;
	assert_ok(f, aut_store_automation_update(f->db, &list.items[0], &f->err));
	aut_automation_list_done(&list);
	started(f, &id);
	assert_ok(f, aut_store_run_next_ready_inline(f->db, &(aut_ready){0}, &next, &f->err));
	assert_true(next != AUT_TIME_NONE);
	assert_ok(
		f, update(f, &f->creator, &id, json_pack("{s:s}", "tarball_path", "https://x.test/a.tgz")));
	assert_int_equal(f->call.effects & AUT_EFFECT_RUN, AUT_EFFECT_RUN);
	assert_ok(f, aut_store_run_next_ready_inline(f->db, &(aut_ready){0}, &next, &f->err));
	assert_true(next == AUT_TIME_NONE);
}

static void
test_service_edit__drafts_are_not_switched_or_dispatched(void **state)
{
	fixture *f = *state;
	aut_uuid id = made(f, cron_body("x", "@daily"));
	aut_automation_list list = {0};

	assert_ok(f, aut_store_automation_get(f->db, &f->creator.org_id, &id, &list, &f->err));
	list.items[0].state = "DRAFT";
	assert_ok(f, aut_store_automation_update(f->db, &list.items[0], &f->err));
	aut_automation_list_done(&list);
	assert_fails(f, update(f, &f->creator, &id, json_pack("{s:b}", "enabled", 1)), AUT_ECONFLICT,
				 "draft");
	assert_fails(f, aut_service_trigger(as(f, &f->creator), &id, NULL, &f->out, &f->err),
				 AUT_ECONFLICT, "draft");
	assert_fails(f, update(f, &f->creator, &id, json_pack("{s:s}", "state", "DRAFT")), AUT_EINVAL,
				 "state");
}

/* ---- deleting -------------------------------------------------------------------------------- */

static void
test_service_edit__deleting_skips_all_that_waits_and_hides(void **state)
{
	fixture *f = *state;
	aut_uuid id = made(f, cron_body("x", "0 9 * * *"));
	aut_uuid goes_on = running(f, &id);
	aut_uuid by_hand = started(f, &id);
	aut_uuid by_clock = fired(f, &id);
	aut_uuid found;
	int64_t next;

	assert_fails(f, aut_service_automation_delete(as(f, &f->colleague), &id, &f->err), AUT_EDENIED,
				 "manage_automations");
	assert_ok(f, aut_service_automation_delete(as(f, &f->manager), &id, &f->err));
	assert_fails(f, look(f, &f->creator, &id), AUT_ENOTFOUND, "not found");
	assert_fails(f, aut_service_automation_delete(as(f, &f->creator), &id, &f->err), AUT_ENOTFOUND,
				 "not found");
	assert_fails(f,
				 (as(f, &f->creator), aut_service_automation_find(&f->call, "x", &found, &f->err)),
				 AUT_ENOTFOUND, "x");
	assert_ok(f, aut_store_schedule_next(f->db, &next, &f->err));
	assert_true(next == AUT_TIME_NONE);
	assert_run(f, &by_hand, "SKIPPED");
	assert_run(f, &by_clock, "SKIPPED");
	assert_text(json_object_get(json_object_get(f->out, "status_detail"), "disabled_detail"),
				"reason", "manual_delete");
	assert_run(f, &goes_on, "RUNNING");
	/* what runs on can still say how it ended */
	assert_ok(f, complete(f, &f->creator, &goes_on, json_pack("{s:s}", "status", "COMPLETED")));
}

/* ---- without memory --------------------------------------------------------------------------- */

typedef struct torture_case
{
	fixture *f;
	aut_uuid id;
	json_t *body;
} torture_case;

/* Switch off what runs wait for, then delete it; all undone again. */
static aut_status
torture_edit(void *payload)
{
	torture_case *c = payload;
	fixture *f = c->f;
	json_t *out = NULL;
	aut_call call;
	aut_status status;

	aut_call_init(&call, f->db, &f->settings, &f->creator, f->now);
	status = aut_db_begin(f->db, NULL);
	if (status == AUT_OK)
		status = aut_service_automation_update(&call, &c->id, c->body, &out, NULL);
	if (status == AUT_OK)
		status = aut_service_automation_delete(&call, &c->id, NULL);
	aut_db_rollback(f->db);
	json_decref(out);
	aut_call_done(&call);
	aut_tz_cache_clear();
	return status;
}

static void
test_service_edit__survives_without_memory(void **state)
{
	fixture *f = *state;
	torture_case c = {.f = f, .id = made(f, cron_body("x", "@daily"))};

	c.body = json_pack("{s:b, s:s, s:s, s:{}, s:{s:s, s:s, s:s}}", "enabled", 0, "name", "other",
					   "model", "m", "observability_associations", "trigger", "type", "event",
					   "source", "github", "on", "push");
	assert_non_null(c.body);
	started(f, &c.id);
	fired(f, &c.id);
	/* statements that the driver keeps are made before */
	assert_int_equal(torture_edit(&c), AUT_OK);
	assert_true(torture(torture_edit, &c) > 100);
	json_decref(c.body);
}

int
main(void)
{
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		WITH_STORE(test_service_edit__a_change_keeps_what_it_does_not_name),
		WITH_STORE(test_service_edit__an_exchanged_tarball_passes_the_rules_of_a_new_one),
		WITH_STORE(test_service_edit__models_are_resolved_by_what_the_caller_has),
		WITH_STORE(test_service_edit__agent_profiles_are_checked_where_they_are_known),
		WITH_STORE(test_service_edit__mandatory_members_cannot_be_nulled),
		WITH_STORE(test_service_edit__a_new_schedule_counts_from_now),
		WITH_STORE(test_service_edit__the_same_trigger_again_moves_nothing),
		WITH_STORE(test_service_edit__disabling_skips_what_waits),
		WITH_STORE(test_service_edit__enabling_fires_no_past_slot),
		WITH_STORE(test_service_edit__a_changed_kind_remembers_the_last_fire),
		WITH_STORE(test_service_edit__conversations_that_go_on_keep_their_place),
		WITH_STORE(test_service_edit__others_may_only_switch_off),
		WITH_STORE(test_service_edit__presets_and_plugins_are_refused_clearly),
		WITH_STORE(test_service_edit__waiting_runs_follow_their_code),
		WITH_STORE(test_service_edit__drafts_are_not_switched_or_dispatched),
		WITH_STORE(test_service_edit__deleting_skips_all_that_waits_and_hides),
		WITH_STORE(test_service_edit__survives_without_memory),
	};

	return cmocka_run_group_tests_name("service_edit", tests, NULL, NULL);
}
