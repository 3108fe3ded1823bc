/* SPDX-License-Identifier: MIT */
/*
 * test/store/store_suite.c - runs the store's tests over one handle, and their helpers.
 *
 * Every test starts with empty tables: deleting all automations, uploads and workers empties the rest
 * by the foreign keys, which is itself part of the contract.
 */
#include "test/store/store_suite.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const aut_stmt delete_automations = {
	.name = "suite_delete_automations",
	.params = "",
	.columns = "",
	.sql = "DELETE FROM automation.automation",
};
static const aut_stmt delete_uploads = {
	.name = "suite_delete_uploads",
	.params = "",
	.columns = "",
	.sql = "DELETE FROM automation.upload",
};
static const aut_stmt delete_workers = {
	.name = "suite_delete_workers",
	.params = "",
	.columns = "",
	.sql = "DELETE FROM automation.worker",
};
static const aut_stmt count_leftovers = {
	.name = "suite_count_leftovers",
	.params = "",
	.columns = "l",
	.sql =
		"SELECT (SELECT count(*) FROM automation.run) + (SELECT count(*) FROM automation.run_input)"
		" + (SELECT count(*) FROM automation.run_output) + (SELECT count(*) FROM automation.gap)"
		" + (SELECT count(*) FROM automation.schedule)"
		" + (SELECT count(*) FROM automation.upload_data) LIMIT 1",
};

void
suite_fail(suite *s, const char *file, int line, const char *fmt, ...)
{
	char text[600];
	va_list args;

	if (s->failed)
		return; /* the first failure explains the others */
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	s->failed = true;
	snprintf(s->detail, sizeof(s->detail), "%s:%d: %s", file, line, text);
}

void
suite_text(suite *s, const char *file, int line, const char *what, const char *wanted,
		   const char *got)
{
	if (wanted == NULL ? got != NULL : got == NULL || strcmp(wanted, got) != 0)
		suite_fail(s, file, line, "%s is %s, wanted %s", what, got == NULL ? "NULL" : got,
				   wanted == NULL ? "NULL" : wanted);
}

void
suite_int(suite *s, const char *file, int line, const char *what, int64_t wanted, int64_t got)
{
	if (wanted != got)
		suite_fail(s, file, line, "%s is %lld, wanted %lld", what, (long long) got,
				   (long long) wanted);
}

aut_uuid
suite_id(suite *s)
{
	aut_uuid id = {{0x01, 0x9f, 0, 0, 0, 0, 0x70, 0, 0x80}};
	uint64_t n = ++s->next_id;

	for (int i = 15; i > 8; i--, n >>= 8)
		id.bytes[i] = (uint8_t) n;
	return id;
}

aut_automation
suite_automation(suite *s, const char *name)
{
	aut_automation automation = {
		.id = suite_id(s),
		.org_id = s->org,
		.user_id = s->user,
		.name = name,
		.trigger = "{\"type\":\"event\",\"source\":\"manual\",\"on\":[]}",
		.trigger_type = "event",
		.tarball_path = "uploads/x.tar",
		.entrypoint = "main.py",
		.state = "ACTIVE",
		.disabled_at = AUT_TIME_NONE,
		.deleted_at = AUT_TIME_NONE,
		.last_triggered_at = AUT_TIME_NONE,
		.created_at = SUITE_NOW,
		.updated_at = SUITE_NOW,
		.next_fire_at = AUT_TIME_NONE,
	};

	return automation;
}

aut_uuid
suite_insert_automation(suite *s, const char *name)
{
	aut_automation automation = suite_automation(s, name);

	EXPECT_OK(aut_store_automation_insert(s->db, &automation, &s->error));
	return automation.id;
}

aut_uuid
suite_insert_run(suite *s, const aut_uuid *automation_id, int64_t ready_at)
{
	aut_run_new run = {
		.id = suite_id(s),
		.automation_id = *automation_id,
		.trigger_source = "manual",
		.scheduled_for = AUT_TIME_NONE,
		.created_at = SUITE_NOW,
		.ready_at = ready_at,
	};

	EXPECT_OK(aut_store_run_insert(s->db, &run, &s->error));
	return run.id;
}

const aut_run *
suite_run(suite *s, const aut_uuid *id, aut_run_list *list)
{
	static const aut_run nothing;

	aut_run_list_done(list);
	EXPECT_OK(aut_store_run_get(s->db, id, list, &s->error));
	return list->count == 1 ? list->items : &nothing;
}

int64_t
suite_count(suite *s, const aut_stmt *count_stmt)
{
	aut_rows rows = {0};
	int64_t count;

	EXPECT_OK(aut_db_run(s->db, count_stmt, NULL, &rows, NULL, &s->error));
	count = aut_rows_int(&rows, 0, 0);
	aut_rows_done(&rows);
	return count;
}

static void
empty_tables(suite *s)
{
	EXPECT_OK(aut_db_run(s->db, &delete_automations, NULL, NULL, NULL, &s->error));
	EXPECT_OK(aut_db_run(s->db, &delete_uploads, NULL, NULL, NULL, &s->error));
	EXPECT_OK(aut_db_run(s->db, &delete_workers, NULL, NULL, NULL, &s->error));
	EXPECT_INT(0, suite_count(s, &count_leftovers));
}

static int
run_list(suite *s, const suite_test *tests, aut_suite_report report, void *payload)
{
	int failed = 0;

	for (const suite_test *test = tests; test->name != NULL; test++)
	{
		if (test->needs_transactions && (s->flags & AUT_SUITE_DOOR) != 0)
			continue;
		s->failed = false;
		s->detail[0] = '\0';
		empty_tables(s);
		if (!s->failed)
			test->run(s);
		report(payload, test->name, !s->failed, s->detail);
		failed += s->failed ? 1 : 0;
		if ((s->flags & AUT_SUITE_DOOR) == 0)
			aut_db_rollback(s->db); /* whatever a failed test left open */
	}
	return failed;
}

int
aut_store_suite(aut_db *db, unsigned flags, aut_suite_report report, void *payload)
{
	suite s = {.db = db, .flags = flags};
	int failed;

	s.org = suite_id(&s);
	s.user = suite_id(&s);
	failed = run_list(&s, suite_rows_tests, report, payload);
	failed += run_list(&s, suite_runs_tests, report, payload);
	failed += run_list(&s, suite_policy_tests, report, payload);
	failed += run_list(&s, suite_sandbox_tests, report, payload);
	failed += run_list(&s, suite_webhook_tests, report, payload);
	failed += run_list(&s, suite_event_tests, report, payload);
	failed += run_list(&s, suite_object_tests, report, payload);
	failed += run_list(&s, suite_driver_tests, report, payload);
	empty_tables(&s);
	return failed;
}
