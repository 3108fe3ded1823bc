/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_service.c - automations over a real store: who may do what, creating, reading,
 * uploads and tarballs.
 *
 * Changing and deleting stand in test_service_edit.c, runs in test_service_runs.c.
 */
#include "test/unit/service_fixture.h"

#include <archive.h>
#include <archive_entry.h>

/* ---- identities ------------------------------------------------------------------------------ */

static void
test_service__local_identity_is_derived_from_its_names(void **state)
{
	const aut_identity *local = aut_identity_local();
	aut_uuid derived;

	(void) state;
	assert_int_equal(
		aut_uuid_v5(&AUT_UUID_NAMESPACE_DNS, "openhands-local-user", 20, &derived, NULL), AUT_OK);
	assert_true(aut_uuid_equal(&local->user_id, &derived));
	assert_int_equal(
		aut_uuid_v5(&AUT_UUID_NAMESPACE_DNS, "openhands-local-org", 19, &derived, NULL), AUT_OK);
	assert_true(aut_uuid_equal(&local->org_id, &derived));
	assert_true(local->view && local->manage);
}

static void
test_service__roles_are_people_of_the_local_org(void **state)
{
	aut_identity alice, bob;

	(void) state;
	assert_int_equal(aut_identity_for_role("alice", &alice, NULL), AUT_OK);
	assert_int_equal(aut_identity_for_role("bob", &bob, NULL), AUT_OK);
	assert_true(aut_uuid_equal(&alice.org_id, &aut_identity_local()->org_id));
	assert_false(aut_uuid_equal(&alice.user_id, &bob.user_id));
	assert_string_equal(alice.db_role, "alice");
	assert_true(alice.view);
	assert_false(alice.manage);
	assert_int_equal(aut_identity_for_role("", &alice, NULL), AUT_EINVAL);
}

static void
test_service__nothing_goes_without_view(void **state)
{
	fixture *f = *state;
	aut_uuid id = made(f, cron_body("a", "0 9 * * *"));
	aut_uuid run = started(f, &id);
	aut_rows rows = {0};
	char *name = NULL;
	char *url = NULL;
	aut_uuid found;
	json_t *body = json_object();
	const aut_identity *who = &f->blind;
	static const char words[] = "view_automations";

	/* the permission is asked before the body is looked at */
	assert_fails(f, create(f, who, json_object()), AUT_EDENIED, words);
	assert_fails(f, look(f, who, &id), AUT_EDENIED, words);
	assert_fails(f, update(f, who, &id, json_object()), AUT_EDENIED, words);
	assert_fails(
		f, aut_service_automation_list(as(f, who), AUT_CREATED_BY_ANY, 0, 0, &f->out, &f->err),
		AUT_EDENIED, words);
	assert_fails(f, aut_service_automation_delete(as(f, who), &id, &f->err), AUT_EDENIED, words);
	assert_fails(f, aut_service_automation_find(as(f, who), "a", &found, &f->err), AUT_EDENIED,
				 words);
	assert_fails(f, aut_service_automation_tarball(as(f, who), &id, &rows, &name, &url, &f->err),
				 AUT_EDENIED, words);
	assert_fails(f,
				 aut_service_upload_create(as(f, who), "n", NULL, "x", 1, false, &f->out, &f->err),
				 AUT_EDENIED, words);
	assert_fails(f, aut_service_upload_list(as(f, who), NULL, 50, 0, &f->out, &f->err), AUT_EDENIED,
				 words);
	assert_fails(f, aut_service_upload_get(as(f, who), &id, &f->out, &f->err), AUT_EDENIED, words);
	assert_fails(f, aut_service_upload_delete(as(f, who), &id, &f->err), AUT_EDENIED, words);
	assert_fails(f, aut_service_trigger(as(f, who), &id, NULL, &f->out, &f->err), AUT_EDENIED,
				 words);
	assert_fails(f, aut_service_run_list(as(f, who), &id, 50, 0, &f->out, &f->err), AUT_EDENIED,
				 words);
	assert_fails(f, aut_service_run_list_all(as(f, who), 50, 0, &f->out, &f->err), AUT_EDENIED,
				 words);
	assert_fails(f, aut_service_run_get(as(f, who), &run, &f->out, &f->err), AUT_EDENIED, words);
	assert_fails(f, aut_service_run_logs(as(f, who), &run, 0, 10, &f->out, &f->err), AUT_EDENIED,
				 words);
	assert_fails(f, aut_service_run_complete(as(f, who), &run, body, &f->out, &f->err), AUT_EDENIED,
				 words);
	assert_fails(f, aut_service_run_phase(as(f, who), &run, body, &f->out, &f->err), AUT_EDENIED,
				 words);
	assert_fails(f, aut_service_run_cancel(as(f, who), &run, &f->out, &f->err), AUT_EDENIED, words);
	json_decref(body);
}

/* ---- creating -------------------------------------------------------------------------------- */

static void
test_service__created_cron_fires_at_the_next_slot(void **state)
{
	fixture *f = *state;

	made(f, cron_body("nightly", "0 9 * * *"));
	assert_int_equal(f->call.effects, AUT_EFFECT_SCHEDULE);
	assert_text(f->out, "name", "nightly");
	assert_text(f->out, "state", "ACTIVE");
	assert_true(json_is_true(json_object_get(f->out, "enabled")));
	assert_text(f->out, "next_fire_at", "2026-07-01T09:00:00Z");
	assert_text(f->out, "created_at", "2026-07-01T08:00:00Z");
	assert_int_equal(number(f->out, "timeout"), 600);
	assert_true(is_null(f->out, "keep_alive"));
	assert_true(is_null(f->out, "model"));
	assert_true(is_null(f->out, "last_triggered_at"));
	assert_true(is_null(f->out, "preset_metadata"));
	assert_text(json_object_get(f->out, "trigger"), "timezone", "UTC");
}

static void
test_service__creating_at_a_slot_does_not_fire_it(void **state)
{
	fixture *f = *state;

	made(f, cron_body("now", "0 8 * * *"));
	assert_text(f->out, "next_fire_at", "2026-07-02T08:00:00Z");
}

static void
test_service__schedules_live_in_their_zone(void **state)
{
	fixture *f = *state;
	json_t *body = cron_body("ny", "0 9 * * *");

	json_object_set_new(json_object_get(body, "trigger"), "timezone",
						json_string("America/New_York"));
	made(f, body);
	assert_text(f->out, "next_fire_at", "2026-07-01T13:00:00Z");
}

static void
test_service__created_inactive_does_not_fire(void **state)
{
	fixture *f = *state;
	json_t *body = cron_body("off", "0 9 * * *");
	int64_t next;

	json_object_set_new(body, "enabled", json_string("no"));
	made(f, body);
	assert_text(f->out, "state", "INACTIVE");
	assert_true(json_is_false(json_object_get(f->out, "enabled")));
	assert_true(is_null(f->out, "next_fire_at"));
	assert_int_equal(f->call.effects, 0);
	assert_ok(f, aut_store_schedule_next(f->db, &next, &f->err));
	assert_true(next == AUT_TIME_NONE);
}

static void
test_service__event_automations_have_no_schedule(void **state)
{
	fixture *f = *state;
	const json_t *trigger;

	made(f, manual_body("by hand"));
	assert_true(is_null(f->out, "next_fire_at"));
	assert_int_equal(f->call.effects, 0);
	trigger = json_object_get(f->out, "trigger");
	assert_text(trigger, "source", "manual");
	assert_text(trigger, "destination", "dispatch_run");
	assert_true(json_is_true(json_object_get(trigger, "wake_agent")));
}

static void
test_service__all_members_are_kept(void **state)
{
	fixture *f = *state;
	json_t *body = cron_body("full", "@daily");

	json_object_set_new(body, "description", json_string("what it is for"));
	json_object_set_new(body, "model", json_string("gpt-x"));
	json_object_set_new(body, "timeout", json_string("90"));
	json_object_set_new(body, "keep_alive", json_string("on"));
	json_object_set_new(body, "setup_script_path", json_string("setup.sh"));
	json_object_set_new(body, "observability_associations", json_object());
	made(f, body);
	assert_text(f->out, "description", "what it is for");
	assert_text(f->out, "model", "gpt-x");
	assert_int_equal(number(f->out, "timeout"), 90);
	assert_true(json_is_true(json_object_get(f->out, "keep_alive")));
	assert_text(f->out, "setup_script_path", "setup.sh");
	assert_text(f->out, "entrypoint", "./run");
	assert_true(json_is_object(json_object_get(f->out, "observability_associations")));
}

static void
test_service__profile_and_model_exclude_each_other(void **state)
{
	fixture *f = *state;
	json_t *body = cron_body("x", "@daily");
	aut_uuid id;

	json_object_set_new(body, "model", json_string("m"));
	json_object_set_new(body, "agent_profile_id", json_string("123E4567E89B12D3A456426614174000"));
	assert_fails(f, create(f, &f->creator, json_incref(body)), AUT_EINVAL, "cannot both be set");
	assert_null(f->call.problems);
	json_object_del(body, "model");
	id = made(f, body);
	assert_text(f->out, "agent_profile_id", "123e4567-e89b-12d3-a456-426614174000");
	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:s}", "model", "m")));
	assert_text(f->out, "model", "m");
	assert_true(is_null(f->out, "agent_profile_id"));
	assert_ok(
		f, update(f, &f->creator, &id,
				  json_pack("{s:s}", "agent_profile_id", "123e4567-e89b-12d3-a456-426614174000")));
	assert_true(is_null(f->out, "model"));
	assert_fails(f,
				 update(f, &f->creator, &id,
						json_pack("{s:s, s:s}", "model", "m", "agent_profile_id",
								  "123e4567-e89b-12d3-a456-426614174000")),
				 AUT_EINVAL, "cannot both be set");
	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:n}", "agent_profile_id")));
	assert_true(is_null(f->out, "agent_profile_id"));
}

static void
test_service__bad_bodies_write_nothing(void **state)
{
	fixture *f = *state;

	assert_fails(f, create(f, &f->creator, json_pack("{s:s}", "name", "x")), AUT_EINVAL,
				 "trigger: Field required (and 2 more)");
	assert_int_equal(json_array_size(f->call.problems), 3);
	assert_ok(f, aut_service_automation_list(as(f, &f->creator), AUT_CREATED_BY_ANY, 50, 0, &f->out,
											 &f->err));
	assert_int_equal(number(f->out, "total"), 0);
}

static void
test_service__a_template_is_used_once(void **state)
{
	fixture *f = *state;
	json_t *body = cron_body("t", "@daily");
	bool existing = false;
	aut_uuid first;
	aut_uuid again;

	json_object_set_new(body, "template", json_pack("{s:s, s:s}", "id", "tpl", "version", "1"));
	first = made(f, json_incref(body));
	assert_text(json_object_get(json_object_get(f->out, "preset_metadata"), "template"), "id",
				"tpl");
	json_object_set_new(body, "name", json_string("other"));
	assert_ok(
		f, aut_service_automation_create(as(f, &f->colleague), body, &f->out, &existing, &f->err));
	again = id_of(f->out);
	assert_true(existing);
	assert_true(aut_uuid_equal(&first, &again));
	assert_text(f->out, "name", "t");
	/* another org, another template: new ones */
	assert_ok(f, create(f, &f->stranger, json_incref(body)));
	json_object_set_new(json_object_get(body, "template"), "id", json_string("tpl2"));
	assert_ok(f, create(f, &f->creator, json_incref(body)));
	/* deleted: not there any more */
	json_object_set_new(json_object_get(body, "template"), "id", json_string("tpl"));
	assert_ok(f, aut_service_automation_delete(as(f, &f->creator), &first, &f->err));
	assert_ok(f, create(f, &f->creator, body));
}

static void
test_service__the_oldest_of_a_template_wins_over_many(void **state)
{
	fixture *f = *state;
	json_t *body = cron_body("t", "@daily");
	bool existing = false;
	aut_uuid first;
	aut_uuid again;

	json_object_set_new(body, "template", json_pack("{s:s, s:s}", "id", "tpl", "version", "1"));
	first = made(f, json_incref(body));
	for (int i = 0; i < 205; i++)
	{
		f->now += SECOND;
		made(f, manual_body("noise"));
	}
	assert_ok(f,
			  aut_service_automation_create(as(f, &f->creator), body, &f->out, &existing, &f->err));
	again = id_of(f->out);
	assert_true(existing && aut_uuid_equal(&first, &again));
	json_decref(body);
}

/* ---- uploads --------------------------------------------------------------------------------- */

static aut_uuid
uploaded(fixture *f, const aut_identity *who, bool too_long)
{
	assert_ok(f, aut_service_upload_create(as(f, who), "up", "what", "DATA", 4, too_long, &f->out,
										   &f->err));
	return id_of(f->out);
}

static json_t *
body_with_upload(const aut_uuid *id)
{
	json_t *body = cron_body("with upload", "@daily");
	char id_text[AUT_UUID_TEXT_MAX];

	json_object_set_new(body, "tarball_path",
						json_sprintf("oh-internal://uploads/%s", aut_uuid_format(id, id_text)));
	return body;
}

static void
test_service__uploads_have_the_contracts_shape(void **state)
{
	fixture *f = *state;
	char id_text[AUT_UUID_TEXT_MAX];
	char path[80];
	aut_uuid id = uploaded(f, &f->creator, false);

	(void) snprintf(path, sizeof path, "oh-internal://uploads/%s", aut_uuid_format(&id, id_text));
	assert_text(f->out, "status", "COMPLETED");
	assert_text(f->out, "tarball_path", path);
	assert_text(f->out, "created_at", "2026-07-01T08:00:00+00:00");
	assert_text(f->out, "description", "what");
	assert_int_equal(number(f->out, "size_bytes"), 4);
	assert_true(is_null(f->out, "error_message"));
	uploaded(f, &f->creator, true);
	assert_text(f->out, "status", "FAILED");
	assert_true(is_null(f->out, "tarball_path"));
	assert_true(is_null(f->out, "size_bytes"));
	assert_non_null(text(f->out, "error_message"));
}

static void
test_service__upload_texts_are_checked(void **state)
{
	fixture *f = *state;
	char longer[2002];

	memset(longer, 'x', sizeof longer - 1);
	longer[sizeof longer - 1] = '\0';
	assert_fails(f,
				 aut_service_upload_create(as(f, &f->creator), NULL, longer, "x", 1, false, &f->out,
										   &f->err),
				 AUT_EINVAL, "name");
	assert_int_equal(json_array_size(f->call.problems), 2);
	assert_string_equal(json_string_value(json_array_get(
							json_object_get(json_array_get(f->call.problems, 0), "loc"), 0)),
						"query");
	assert_fails(
		f, aut_service_upload_create(as(f, &f->creator), "", NULL, "x", 1, false, &f->out, &f->err),
		AUT_EINVAL, "name");
	assert_fails(f,
				 aut_service_upload_create(as(f, &f->creator), "\xff", NULL, "x", 1, false, &f->out,
										   &f->err),
				 AUT_EINVAL, "UTF-8");
	assert_ok(f, aut_service_upload_create(as(f, &f->creator), "empty", NULL, NULL, 0, false,
										   &f->out, &f->err));
	assert_int_equal(number(f->out, "size_bytes"), 0);
}

static void
test_service__uploads_are_their_users_own(void **state)
{
	fixture *f = *state;
	aut_uuid id = uploaded(f, &f->creator, false);

	assert_ok(f, aut_service_upload_get(as(f, &f->creator), &id, &f->out, &f->err));
	assert_fails(f, aut_service_upload_get(as(f, &f->manager), &id, &f->out, &f->err),
				 AUT_ENOTFOUND, "Upload not found");
	assert_fails(f, aut_service_upload_delete(as(f, &f->stranger), &id, &f->err), AUT_ENOTFOUND,
				 "Upload not found");
	uploaded(f, &f->creator, true);
	assert_ok(f, aut_service_upload_list(as(f, &f->creator), NULL, 50, 0, &f->out, &f->err));
	assert_int_equal(number(f->out, "total"), 2);
	assert_ok(f, aut_service_upload_list(as(f, &f->creator), "FAILED", 50, 0, &f->out, &f->err));
	assert_int_equal(number(f->out, "total"), 1);
	assert_ok(f, aut_service_upload_list(as(f, &f->colleague), NULL, 50, 0, &f->out, &f->err));
	assert_int_equal(number(f->out, "total"), 0);
	assert_fails(f, aut_service_upload_list(as(f, &f->creator), "LOST", 50, 0, &f->out, &f->err),
				 AUT_EINVAL, "status");
	assert_ok(f, aut_service_upload_delete(as(f, &f->creator), &id, &f->err));
	assert_fails(f, aut_service_upload_get(as(f, &f->creator), &id, &f->out, &f->err),
				 AUT_ENOTFOUND, "Upload not found");
	assert_fails(f, aut_service_upload_delete(as(f, &f->creator), &id, &f->err), AUT_ENOTFOUND,
				 "Upload not found");
}

static void
test_service__tarball_must_be_the_callers_finished_upload(void **state)
{
	fixture *f = *state;
	aut_uuid good = uploaded(f, &f->creator, false);
	aut_uuid failed = uploaded(f, &f->creator, true);
	aut_uuid foreign = uploaded(f, &f->colleague, false);
	aut_uuid abroad = uploaded(f, &f->stranger, false);
	aut_uuid nowhere = {{7}};
	json_t *body = cron_body("x", "@daily");

	assert_fails(f, create(f, &f->creator, body_with_upload(&nowhere)), AUT_ENOTFOUND,
				 "Upload not found");
	assert_fails(f, create(f, &f->creator, body_with_upload(&abroad)), AUT_ENOTFOUND,
				 "Upload not found");
	assert_fails(f, create(f, &f->creator, body_with_upload(&foreign)), AUT_ENOTFOUND,
				 "Upload not found");
	assert_fails(f, create(f, &f->creator, body_with_upload(&failed)), AUT_EBADREQ, "FAILED");
	made(f, body_with_upload(&good));
	assert_ok(f, aut_service_upload_delete(as(f, &f->creator), &good, &f->err));
	assert_fails(f, create(f, &f->creator, body_with_upload(&good)), AUT_EBADREQ, "deleted");
	json_object_set_new(body, "tarball_path", json_string("http://x.test/a.tgz"));
	assert_fails(f, create(f, &f->creator, json_incref(body)), AUT_EINVAL, "https://");
	json_object_set_new(body, "tarball_path", json_string("oh-internal://uploads/x"));
	assert_fails(f, create(f, &f->creator, body), AUT_EINVAL, "does not name an upload");
	assert_null(f->call.problems);
}

/* ---- tarball download -------------------------------------------------------------------------- */

static void
test_service__tarballs_are_given_or_pointed_at(void **state)
{
	fixture *f = *state;
	aut_uuid upload = uploaded(f, &f->creator, false);
	aut_uuid inside = made(f, body_with_upload(&upload));
	aut_uuid outside = made(f, cron_body("out", "@daily"));
	aut_rows rows = {0};
	char *name = NULL;
	char *url = NULL;

	assert_ok(f, aut_service_automation_tarball(as(f, &f->colleague), &inside, &rows, &name, &url,
												&f->err));
	assert_string_equal(name, "with upload");
	assert_null(url);
	assert_int_equal(rows.count, 1);
	assert_memory_equal(aut_rows_at(&rows, 0, 0)->data, "DATA", 4);
	aut_free(name);
	aut_rows_done(&rows);
	name = NULL;
	assert_ok(f, aut_service_automation_tarball(as(f, &f->creator), &outside, &rows, &name, &url,
												&f->err));
	assert_string_equal(url, "https://x.test/a.tgz");
	assert_null(name);
	assert_int_equal(rows.count, 0);
	aut_free(url);
	url = NULL;
	assert_ok(f, update(f, &f->creator, &outside, json_pack("{s:s}", "tarball_path", "s3://b/k")));
	assert_fails(f,
				 (as(f, &f->creator),
				  aut_service_automation_tarball(&f->call, &outside, &rows, &name, &url, &f->err)),
				 AUT_EINVAL, "cannot be downloaded");
	assert_fails(f,
				 (as(f, &f->stranger),
				  aut_service_automation_tarball(&f->call, &inside, &rows, &name, &url, &f->err)),
				 AUT_ENOTFOUND, "not found");
}

/* ---- reading --------------------------------------------------------------------------------- */

static void
test_service__lists_are_of_the_org_and_paged(void **state)
{
	fixture *f = *state;
	aut_call *call;

	made(f, cron_body("a", "@daily"));
	f->now += SECOND;
	made(f, cron_body("b", "@daily"));
	assert_ok(f, create(f, &f->colleague, cron_body("c", "@daily")));
	assert_ok(f, create(f, &f->stranger, cron_body("d", "@daily")));
	call = as(f, &f->creator);
	assert_ok(f, aut_service_automation_list(call, AUT_CREATED_BY_ANY, 2, 0, &f->out, &f->err));
	assert_int_equal(number(f->out, "total"), 3);
	assert_int_equal(json_array_size(json_object_get(f->out, "automations")), 2);
	call = as(f, &f->creator);
	assert_ok(f, aut_service_automation_list(call, AUT_CREATED_BY_ME, 50, 0, &f->out, &f->err));
	assert_int_equal(number(f->out, "total"), 2);
	assert_text(json_array_get(json_object_get(f->out, "automations"), 0), "name", "b");
	call = as(f, &f->creator);
	assert_ok(f, aut_service_automation_list(call, AUT_CREATED_BY_OTHERS, 50, 0, &f->out, &f->err));
	assert_int_equal(number(f->out, "total"), 1);
}

static void
test_service__pages_have_bounds(void **state)
{
	static const int64_t bad[][2] = {{0, 0}, {101, 0}, {50, -1}, {-1, -1}};
	fixture *f = *state;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
	{
		assert_fails(f,
					 aut_service_automation_list(as(f, &f->creator), AUT_CREATED_BY_ANY, bad[i][0],
												 bad[i][1], &f->out, &f->err),
					 AUT_EINVAL, "Input should be");
		assert_int_equal(json_array_size(f->call.problems), i == 3 ? 2 : 1);
	}
}

static void
test_service__names_are_found_unless_ambiguous(void **state)
{
	fixture *f = *state;
	aut_uuid id = made(f, cron_body("one", "@daily"));
	char id_text[AUT_UUID_TEXT_MAX];
	aut_uuid found;

	aut_uuid_format(&id, id_text);
	assert_ok(f, aut_service_automation_find(as(f, &f->creator), "one", &found, &f->err));
	assert_true(aut_uuid_equal(&id, &found));
	assert_ok(f, aut_service_automation_find(as(f, &f->creator), id_text, &found, &f->err));
	assert_true(aut_uuid_equal(&id, &found));
	assert_fails(
		f, (as(f, &f->creator), aut_service_automation_find(&f->call, "two", &found, &f->err)),
		AUT_ENOTFOUND, "two");
	assert_fails(
		f, (as(f, &f->stranger), aut_service_automation_find(&f->call, "one", &found, &f->err)),
		AUT_ENOTFOUND, "one");
	assert_fails(
		f, (as(f, &f->stranger), aut_service_automation_find(&f->call, id_text, &found, &f->err)),
		AUT_ENOTFOUND, "not found");
	assert_ok(f, create(f, &f->colleague, cron_body("one", "@daily")));
	assert_fails(
		f, (as(f, &f->creator), aut_service_automation_find(&f->call, "one", &found, &f->err)),
		AUT_EINVAL, id_text);
	/* a name may look like an id */
	assert_ok(f,
			  create(f, &f->creator, cron_body("00000000-0000-4000-8000-000000000000", "@daily")));
	assert_ok(f, aut_service_automation_find(
					 as(f, &f->creator), "00000000-0000-4000-8000-000000000000", &found, &f->err));
}

static void
test_service__other_orgs_see_nothing(void **state)
{
	fixture *f = *state;
	aut_uuid id = made(f, cron_body("mine", "@daily"));
	aut_uuid run = started(f, &id);

	assert_fails(f, look(f, &f->stranger, &id), AUT_ENOTFOUND, "Automation not found");
	assert_fails(f, update(f, &f->stranger, &id, json_pack("{s:s}", "name", "x")), AUT_ENOTFOUND,
				 "not found");
	assert_fails(f, aut_service_automation_delete(as(f, &f->stranger), &id, &f->err), AUT_ENOTFOUND,
				 "not found");
	assert_fails(f, aut_service_trigger(as(f, &f->stranger), &id, NULL, &f->out, &f->err),
				 AUT_ENOTFOUND, "not found");
	assert_fails(f, aut_service_run_list(as(f, &f->stranger), &id, 50, 0, &f->out, &f->err),
				 AUT_ENOTFOUND, "not found");
	assert_fails(f, run_get(f, &f->stranger, &run), AUT_ENOTFOUND, "Run not found");
	assert_fails(f, aut_service_run_logs(as(f, &f->stranger), &run, 0, 10, &f->out, &f->err),
				 AUT_ENOTFOUND, "Run not found");
	assert_fails(f, aut_service_run_cancel(as(f, &f->stranger), &run, &f->out, &f->err),
				 AUT_ENOTFOUND, "Run not found");
}

/* ---- script tarballs --------------------------------------------------------------------------- */

static void
test_service__script_tarballs_hold_one_executable(void **state)
{
	static const char script[] = "#!/bin/sh\necho hello\n";
	struct archive *archive = archive_read_new();
	struct archive_entry *entry;
	void *data = NULL;
	void *again = NULL;
	size_t len = 0;
	size_t again_len = 0;
	char text_read[100] = "";

	(void) state;
	assert_int_equal(
		aut_tarball_from_script("r\xc3\xbcn.sh", script, strlen(script), &data, &len, NULL),
		AUT_OK);
	assert_int_equal(
		aut_tarball_from_script("r\xc3\xbcn.sh", script, strlen(script), &again, &again_len, NULL),
		AUT_OK);
	assert_int_equal(len, again_len);
	assert_memory_equal(data, again, len);
	/* gzip, deflate, no flags, no time */
	assert_memory_equal(data, "\x1f\x8b\x08\x00\x00\x00\x00\x00", 8);
	archive_read_support_filter_gzip(archive);
	archive_read_support_format_tar(archive);
	archive_read_set_options(archive, "tar:hdrcharset=BINARY");
	assert_int_equal(archive_read_open_memory(archive, data, len), ARCHIVE_OK);
	assert_int_equal(archive_read_next_header(archive, &entry), ARCHIVE_OK);
	assert_string_equal(archive_entry_pathname(entry), "r\xc3\xbcn.sh");
	assert_int_equal(archive_entry_perm(entry), 0755);
	assert_int_equal(archive_entry_mtime(entry), 0);
	assert_int_equal(archive_entry_uid(entry), 0);
	assert_int_equal(archive_read_data(archive, text_read, sizeof text_read - 1), strlen(script));
	assert_string_equal(text_read, script);
	assert_int_equal(archive_read_next_header(archive, &entry), ARCHIVE_EOF);
	archive_read_free(archive);
	aut_free(data);
	aut_free(again);
}

static void
test_service__script_names_are_plain(void **state)
{
	static const char *const bad[] = {"", ".", "..", "a/b", "/a"};
	void *data = NULL;
	size_t len;

	(void) state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(aut_tarball_from_script(bad[i], "x", 1, &data, &len, NULL), AUT_EINVAL);
	assert_int_equal(aut_tarball_from_script(NULL, "x", 1, &data, &len, NULL), AUT_EINVAL);
	assert_int_equal(aut_tarball_from_script("a", "x", AUT_UPLOAD_MAX + 1, &data, &len, NULL),
					 AUT_ELIMIT);
	assert_int_equal(aut_tarball_from_script("a", "", 0, &data, &len, NULL), AUT_OK);
	aut_free(data);
}

/* ---- without memory --------------------------------------------------------------------------- */

static aut_status
torture_shapes(void *payload)
{
	static const aut_automation automation = {
		.name = "n", .trigger = "{\"a\":1}", .state = "ACTIVE"};
	static const aut_run run = {.status = AUT_RUN_FAILED, .has_cost = true, .status_detail = "{}"};
	static const aut_upload upload = {.name = "n", .status = "COMPLETED"};
	json_t *all[] = {aut_automation_json(&automation), aut_run_json(&run),
					 aut__upload_json(&upload)};
	aut_status status = AUT_OK;

	(void) payload;
	for (size_t i = 0; i < 3; i++)
	{
		if (all[i] == NULL)
			status = AUT_ENOMEM;
		json_decref(all[i]);
	}
	return status;
}

static aut_status
torture_script(void *payload)
{
	void *data = NULL;
	size_t len;
	aut_status status = aut_tarball_from_script("run", payload, strlen(payload), &data, &len, NULL);

	aut_free(data);
	return status;
}

static aut_status
torture_create(void *payload)
{
	fixture *f = payload;
	json_t *out = NULL;
	json_t *body = NULL;
	bool existing;
	aut_call call;
	aut_status status;
	static const char text_body[] =
		"{\"name\":\"n\",\"trigger\":{\"type\":\"cron\",\"schedule\":\"@daily\"},"
		"\"tarball_path\":\"https://x\",\"entrypoint\":\"./a\","
		"\"template\":{\"id\":\"t\",\"version\":\"1\"}}";

	aut_call_init(&call, f->db, &f->settings, &f->creator, f->now);
	status = aut_json_parse(text_body, sizeof text_body - 1, &body, NULL);
	if (status == AUT_OK)
		status = aut_db_begin(f->db, NULL);
	if (status == AUT_OK)
		status = aut_service_automation_create(&call, body, &out, &existing, NULL);
	aut_db_rollback(f->db);
	json_decref(out);
	json_decref(body);
	aut_call_done(&call);
	aut_tz_cache_clear();
	return status;
}

static void
test_service__survives_without_memory(void **state)
{
	static char script[] = "#!/bin/sh\n";
	fixture *f = *state;

	torture(torture_shapes, NULL);
	torture(torture_script, script);
	/* statements and pages that the driver keeps are made before */
	assert_int_equal(torture_create(f), AUT_OK);
	aut_tz_cache_clear();
	assert_true(torture(torture_create, f) > 100);
}

int
main(void)
{
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_service__local_identity_is_derived_from_its_names),
		cmocka_unit_test(test_service__roles_are_people_of_the_local_org),
		WITH_STORE(test_service__nothing_goes_without_view),
		WITH_STORE(test_service__created_cron_fires_at_the_next_slot),
		WITH_STORE(test_service__creating_at_a_slot_does_not_fire_it),
		WITH_STORE(test_service__schedules_live_in_their_zone),
		WITH_STORE(test_service__created_inactive_does_not_fire),
		WITH_STORE(test_service__event_automations_have_no_schedule),
		WITH_STORE(test_service__all_members_are_kept),
		WITH_STORE(test_service__profile_and_model_exclude_each_other),
		WITH_STORE(test_service__bad_bodies_write_nothing),
		WITH_STORE(test_service__a_template_is_used_once),
		WITH_STORE(test_service__the_oldest_of_a_template_wins_over_many),
		WITH_STORE(test_service__uploads_have_the_contracts_shape),
		WITH_STORE(test_service__upload_texts_are_checked),
		WITH_STORE(test_service__uploads_are_their_users_own),
		WITH_STORE(test_service__tarball_must_be_the_callers_finished_upload),
		WITH_STORE(test_service__tarballs_are_given_or_pointed_at),
		WITH_STORE(test_service__lists_are_of_the_org_and_paged),
		WITH_STORE(test_service__pages_have_bounds),
		WITH_STORE(test_service__names_are_found_unless_ambiguous),
		WITH_STORE(test_service__other_orgs_see_nothing),
		cmocka_unit_test(test_service__script_tarballs_hold_one_executable),
		cmocka_unit_test(test_service__script_names_are_plain),
		WITH_STORE(test_service__survives_without_memory),
	};

	return cmocka_run_group_tests_name("service", tests, NULL, NULL);
}
