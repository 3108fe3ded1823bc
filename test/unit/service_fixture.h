/* SPDX-License-Identifier: MIT */
/*
 * test/unit/service_fixture.h - services over a real SQLite store in a folder of its own.
 *
 * Time stands at START until a test moves it.  Each call begins with a fresh aut_call, made by one of
 * the `as_` functions; the last answer is kept in `out` and freed by the next call.
 */
#ifndef AUT_TEST_SERVICE_FIXTURE_H
#define AUT_TEST_SERVICE_FIXTURE_H

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "test/unit/torture.h"

#include "core/service/internal.h"
#include "standalone/sqlite_db.h"

/* 2026-07-01T08:00:00Z, a Wednesday */
#define START  INT64_C(1782892800000000)
#define SECOND AUT_US_PER_S
#define HOUR   (3600 * SECOND)

typedef struct fixture
{
	char folder[64];
	aut_db *db;
	aut_settings settings;
	aut_identity creator, colleague, manager, stranger, blind;
	aut_call call;
	int64_t now;
	json_t *out;
	aut_error err;
} fixture;

static inline void
person(aut_identity *who, unsigned char user, unsigned char org, bool manage)
{
	memset(who, 0, sizeof *who);
	memset(who->user_id.bytes, user, sizeof who->user_id.bytes);
	memset(who->org_id.bytes, org, sizeof who->org_id.bytes);
	who->view = true;
	who->manage = manage;
}

static inline int
fixture_setup(void **state)
{
	fixture *f = calloc(1, sizeof *f);
	aut_sqlite_options options = AUT_SQLITE_OPTIONS_INIT;
	char path[100];

	if (f == NULL)
		return -1;
	(void) snprintf(f->folder, sizeof f->folder, "/tmp/automation-service-XXXXXX");
	if (mkdtemp(f->folder) == NULL)
		return -1;
	(void) snprintf(path, sizeof path, "%s/automation.db", f->folder);
	options.durability = AUT_SQLITE_NORMAL;
	if (aut_sqlite_open(path, &options, &f->db, &f->err) != AUT_OK ||
		aut_settings_init(&f->settings, &f->err) != AUT_OK)
	{
		print_error("%s\n", f->err.message);
		return -1;
	}
	f->now = START;
	person(&f->creator, 1, 9, false);
	person(&f->colleague, 2, 9, false);
	person(&f->manager, 3, 9, true);
	person(&f->stranger, 1, 8, true);
	person(&f->blind, 1, 9, true);
	f->blind.view = false;
	aut_call_init(&f->call, f->db, &f->settings, &f->creator, f->now);
	*state = f;
	return 0;
}

static inline int
fixture_teardown(void **state)
{
	static const char *const names[] = {"automation.db", "automation.db-wal", "automation.db-shm",
										"automation.db.lock"};
	fixture *f = *state;
	char path[200];

	json_decref(f->out);
	aut_call_done(&f->call);
	aut_db_close(f->db);
	aut_settings_done(&f->settings);
	aut_tz_cache_clear();
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
	{
		(void) snprintf(path, sizeof path, "%s/%s", f->folder, names[i]);
		(void) unlink(path);
	}
	if (rmdir(f->folder) != 0)
		print_error("%s is not empty\n", f->folder);
	free(f);
	return 0;
}

/* Begin a call of somebody. */
static inline aut_call *
as(fixture *f, const aut_identity *who)
{
	aut_call_done(&f->call);
	aut_call_init(&f->call, f->db, &f->settings, who, f->now);
	json_decref(f->out);
	f->out = NULL;
	f->err = (aut_error) AUT_ERROR_INIT;
	return &f->call;
}

#define assert_ok(f, expression)                                                                   \
	do                                                                                             \
	{                                                                                              \
		if ((expression) != AUT_OK)                                                                \
			fail_msg("%s: %s: %s", #expression, aut_status_name((f)->err.code), (f)->err.message); \
	} while (0)

#define assert_fails(f, expression, status, words)                                                 \
	do                                                                                             \
	{                                                                                              \
		aut_status got_ = (expression);                                                            \
		if (got_ != (status))                                                                      \
			fail_msg("%s: %s instead of %s (%s)", #expression, aut_status_name(got_),              \
					 aut_status_name(status), (f)->err.message);                                   \
		if (strstr((f)->err.message, words) == NULL)                                               \
			fail_msg("\"%s\" does not say \"%s\"", (f)->err.message, words);                       \
		assert_null((f)->out);                                                                     \
	} while (0)

/* ---- reading answers -------------------------------------------------------------------------- */

static inline const char *
text(const json_t *object, const char *key)
{
	return aut_json_string(object, key);
}

static inline int64_t
number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static inline bool
is_null(const json_t *object, const char *key)
{
	return json_is_null(json_object_get(object, key));
}

static inline void
assert_text(const json_t *object, const char *key, const char *want)
{
	const char *got = text(object, key);

	if (got == NULL || strcmp(got, want) != 0)
		fail_msg("%s is %s instead of %s", key, got != NULL ? got : "no text", want);
}

static inline aut_uuid
id_of(const json_t *object)
{
	aut_uuid id;

	assert_true(aut_uuid_parse(text(object, "id"), strlen(text(object, "id")), &id));
	return id;
}

/* ---- making things ---------------------------------------------------------------------------- */

static inline json_t *
cron_body(const char *name, const char *schedule)
{
	return json_pack("{s:s, s:{s:s, s:s}, s:s, s:s}", "name", name, "trigger", "type", "cron",
					 "schedule", schedule, "tarball_path", "https://x.test/a.tgz", "entrypoint",
					 "./run");
}

static inline json_t *
manual_body(const char *name)
{
	return json_pack("{s:s, s:{s:s, s:s, s:[]}, s:s, s:s}", "name", name, "trigger", "type",
					 "event", "source", "manual", "on", "tarball_path", "https://x.test/a.tgz",
					 "entrypoint", "./run");
}

static inline aut_status
create(fixture *f, const aut_identity *who, json_t *take_body)
{
	bool existing = true;
	aut_status status =
		aut_service_automation_create(as(f, who), take_body, &f->out, &existing, &f->err);

	json_decref(take_body);
	if (status == AUT_OK)
		assert_false(existing);
	return status;
}

/* An automation of the creator's. */
static inline aut_uuid
made(fixture *f, json_t *take_body)
{
	assert_ok(f, create(f, &f->creator, take_body));
	return id_of(f->out);
}

static inline aut_status
update(fixture *f, const aut_identity *who, const aut_uuid *id, json_t *take_body)
{
	aut_status status = aut_service_automation_update(as(f, who), id, take_body, &f->out, &f->err);

	json_decref(take_body);
	return status;
}

static inline aut_status
look(fixture *f, const aut_identity *who, const aut_uuid *id)
{
	return aut_service_automation_get(as(f, who), id, &f->out, &f->err);
}

/* A pending run started by hand. */
static inline aut_uuid
started(fixture *f, const aut_uuid *automation_id)
{
	assert_ok(f, aut_service_trigger(as(f, &f->creator), automation_id, NULL, &f->out, &f->err));
	return id_of(f->out);
}

/* A pending run of the clock, as the scheduler makes them. */
static inline aut_uuid
fired(fixture *f, const aut_uuid *automation_id)
{
	aut_run_new run = {.automation_id = *automation_id,
					   .trigger_source = "cron",
					   .scheduled_for = f->now,
					   .created_at = f->now,
					   .ready_at = f->now};

	assert_ok(f, aut_uuid_v7(f->now, &run.id, &f->err));
	assert_ok(f, aut_store_run_insert(f->db, &run, &f->err));
	return run.id;
}

/* Claim everything that is pending and ready. */
static inline void
claim(fixture *f)
{
	aut_uuid ids[100];
	size_t count;

	assert_ok(f, aut_store_run_claim(f->db,
									 &(aut_claim){.worker = "worker", .now = f->now, .limit = 100},
									 ids, &count, &f->err));
}

static inline aut_uuid
running(fixture *f, const aut_uuid *automation_id)
{
	aut_uuid id = started(f, automation_id);

	claim(f);
	return id;
}

static inline aut_status
run_get(fixture *f, const aut_identity *who, const aut_uuid *id)
{
	return aut_service_run_get(as(f, who), id, &f->out, &f->err);
}

static inline aut_status
complete(fixture *f, const aut_identity *who, const aut_uuid *id, json_t *take_body)
{
	aut_status status = aut_service_run_complete(as(f, who), id, take_body, &f->out, &f->err);

	json_decref(take_body);
	return status;
}

static inline void
assert_run(fixture *f, const aut_uuid *id, const char *status)
{
	assert_ok(f, run_get(f, &f->creator, id));
	assert_text(f->out, "status", status);
}

#endif
