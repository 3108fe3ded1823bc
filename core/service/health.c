/* SPDX-License-Identifier: MIT */
/*
 * core/service/health.c - automations that are switched off, by people and by themselves, and what
 * becomes of their waiting runs (execution.md sections 2, 9 and 10).
 *
 * After each failure the newest ends of an automation are looked at, back to when it was last switched
 * off.  Two rules:
 *
 *   permanent    the newest N ends are all failures that will not pass by themselves (a key, a quota, a
 *                setting)
 *   consecutive  the newest M ends are all failures, and for a while nothing has succeeded (off unless set)
 *
 * A tarball that is gone needs no three tries: such a failure switches off at once.
 *
 * Whatever switches off, it happens in one order: the schedule stops, the automation is marked (only if
 * it is on), the event is recorded, waiting runs that nobody asked for by hand are skipped.
 */
#include <string.h>

#include "core/service/internal.h"

#define SKIPPED_DETAIL "Automation disabled"
#define RULE_MAX       1000 /* most ends a rule looks at */

/* ---- waiting runs --------------------------------------------------------------------------- */

aut_status
aut__skip_pending(aut_db *db, const aut_uuid *automation_id, bool manual_too, int64_t now_us,
				  const char *disabled_detail, aut_error *err)
{
	char *detail = NULL;
	int64_t count;
	aut_status status = aut__blocked_detail(disabled_detail, &detail, err);

	if (status == AUT_OK)
		status = aut_store_run_skip_pending(db, automation_id, manual_too, now_us, SKIPPED_DETAIL,
											detail, &count, err);
	aut_free(detail);
	return status;
}

bool
aut_service_run_is_blocked(const aut_run_task *task)
{
	const char *source = task->run.trigger_source;

	if (task->automation_deleted_at != AUT_TIME_NONE)
		return true;
	return strcmp(task->automation_state, "ACTIVE") != 0 &&
		   (source == NULL || strcmp(source, "manual") != 0);
}

aut_status
aut_service_run_skip_blocked(aut_db *db, const aut_run_task *task, const char *worker,
							 int64_t now_us, aut_error *err)
{
	char *detail = NULL;
	aut_rows rows = {0};
	aut_status status = aut_store_automation_switch(db, &task->run.automation_id, &rows, err);

	if (status == AUT_OK)
		status = aut__blocked_detail(aut_rows_text(&rows, 0, 1), &detail, err);
	if (status == AUT_OK)
		status = aut_store_run_skip_claimed(db, &task->run.id, worker, now_us, SKIPPED_DETAIL,
											detail, err);
	aut_rows_done(&rows);
	aut_free(detail);
	return status;
}

/* ---- switching off -------------------------------------------------------------------------- */

aut_status
aut__disable_event(aut_db *db, const aut_uuid *automation_id, const aut_uuid *run_id,
				   const char *reason, const char *detail, const char *source, int64_t now_us,
				   aut_error *err)
{
	aut_disable_event event = {
		.automation_id = *automation_id,
		.has_run = run_id != NULL,
		.reason = reason,
		.detail = detail,
		.source = source,
		.created_at = now_us,
	};
	aut_status status = aut_uuid_v7(now_us, &event.id, err);

	if (run_id != NULL)
		event.run_id = *run_id;
	if (status == AUT_OK)
		status = aut_store_disable_event_insert(db, &event, err);
	return status;
}

/* take_detail NULL: no memory. */
static aut_status
switch_off(aut_db *db, const aut_uuid *automation_id, const aut_uuid *run_id, const char *reason,
		   json_t *take_detail, const char *source, int64_t now_us, aut_error *err)
{
	char *detail = aut_json_text(take_detail, NULL);
	bool won = false;
	aut_status status = AUT_OK;

	json_decref(take_detail);
	if (detail == NULL)
		status = aut_fail(err, AUT_ENOMEM, "out of memory while switching an automation off");
	if (status == AUT_OK)
		status = aut_store_schedule_stop(db, automation_id, err);
	if (status == AUT_OK)
		status = aut_store_automation_disable(db, automation_id, reason, detail, now_us, &won, err);
	if (status == AUT_OK && won)
		status = aut__disable_event(db, automation_id, run_id, reason, detail, source, now_us, err);
	if (status == AUT_OK && won)
		status = aut__skip_pending(db, automation_id, false, now_us, detail, err);
	aut_free(detail);
	return status;
}

aut_status
aut_service_disable_broken(aut_db *db, const aut_uuid *automation_id, const aut_uuid *run_id,
						   const char *reason, const char *status_detail, int64_t now_us,
						   aut_error *err)
{
	bool live = false;
	aut_rows rows = {0};
	json_t *detail = NULL;
	aut_status status = aut_store_automation_switch(db, automation_id, &rows, err);

	if (status == AUT_OK)
		live = rows.count == 1 && aut_rows_null(&rows, 0, 2) &&
			   strcmp(aut_rows_text(&rows, 0, 0), "ACTIVE") == 0;
	if (live && status_detail != NULL)
		status = aut_json_parse(status_detail, strlen(status_detail), &detail, err);
	if (status == AUT_OK && live)
		status = switch_off(db, automation_id, run_id, reason,
							json_pack("{s:O?}", "status_detail", detail),
							"permanent_dispatch_failure", now_us, err);
	json_decref(detail);
	aut_rows_done(&rows);
	return status;
}

/* ---- rules ---------------------------------------------------------------------------------- */

static bool
is_one_of(const char *word, const char *const *words)
{
	for (; word != NULL && *words != NULL; words++)
	{
		if (strcmp(word, *words) == 0)
			return true;
	}
	return false;
}

/* Does this status_detail tell of a failure that does not pass by itself? */
static bool
is_permanent(const json_t *detail)
{
	static const char *const kinds[] = {"auth", "config", "quota", "blocked", NULL};
	static const char *const actions[] = {"settings", NULL};
	const json_t *classification = json_object_get(detail, "classification");

	if (!json_is_object(detail) || json_is_true(json_object_get(detail, "transient")))
		return false;
	return json_is_true(json_object_get(detail, "permanent")) ||
		   is_one_of(aut_json_string(detail, "kind"), kinds) ||
		   is_one_of(aut_json_string(detail, "user_action"), actions) ||
		   (is_one_of(aut_json_string(classification, "kind"), kinds) &&
			!json_is_true(json_object_get(classification, "retryable")));
}

/* The newest ends of an automation since it was last switched off. */
typedef struct ends
{
	aut_rows failed;      /* newest first, as many as the rules ask for */
	size_t streak;        /* of them, those after the newest success */
	int64_t last_success; /* or AUT_TIME_NONE */
} ends;

static aut_status
ends_read(aut_db *db, const aut_uuid *automation_id, int64_t count, ends *out, aut_error *err)
{
	aut_rows success = {0};
	aut_uuid last = AUT_UUID_NIL;
	int64_t since;
	aut_status status = aut_store_disable_event_newest(db, automation_id, &since, err);

	if (status == AUT_OK)
		status = aut_store_run_ended_newest(db, automation_id, AUT_RUN_FAILED, since, count,
											&out->failed, err);
	if (status == AUT_OK)
		status = aut_store_run_ended_newest(db, automation_id, AUT_RUN_COMPLETED, since, 1,
											&success, err);
	if (status == AUT_OK)
	{
		out->last_success = aut_rows_time(&success, 0, 2);
		last = aut_rows_uuid(&success, 0, 0); /* the nil uuid when there is none */
		while (out->streak < out->failed.count)
		{
			aut_uuid id = aut_rows_uuid(&out->failed, out->streak, 0);

			if (memcmp(id.bytes, last.bytes, sizeof id.bytes) < 0)
				break;
			out->streak++;
		}
	}
	aut_rows_done(&success);
	return status;
}

/* Are the newest count failures all permanent?  *out_newest: what the newest says; to be released. */
static aut_status
all_permanent(const ends *found, size_t count, bool *out, json_t **out_newest, aut_error *err)
{
	aut_status status = AUT_OK;
	bool all = true;

	for (size_t i = 0; status == AUT_OK && all && i < count; i++)
	{
		const char *text = aut_rows_text(&found->failed, i, 1);
		json_t *detail = NULL;

		if (text != NULL)
			status = aut_json_parse(text, strlen(text), &detail, err);
		all = is_permanent(detail);
		if (i == 0)
			*out_newest = json_incref(detail);
		json_decref(detail);
	}
	*out = all;
	return status;
}

static aut_status
permanent_rule(aut_db *db, const aut_uuid *automation_id, const aut_uuid *run_id, const ends *found,
			   int64_t threshold, int64_t now_us, bool *out_off, aut_error *err)
{
	static const char source[] = "consecutive_permanent_failures";
	char id[AUT_UUID_TEXT_MAX];
	char reason[200];
	json_t *newest = NULL;
	bool off = false;
	aut_status status = AUT_OK;

	if (threshold > 0 && found->streak >= (size_t) threshold)
		status = all_permanent(found, (size_t) threshold, &off, &newest, err);
	if (status == AUT_OK && off)
	{
		(void) snprintf(reason, sizeof reason,
						"The last %lld runs failed for reasons that do not pass by themselves",
						(long long) threshold);
		status =
			switch_off(db, automation_id, run_id, reason,
					   json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:O?}", "reason", reason, "source",
								 source, "run_id", aut_uuid_format(run_id, id), "rule", "permanent",
								 "threshold", (json_int_t) threshold, "permanent_failure_count",
								 (json_int_t) threshold, "status_detail", newest),
					   source, now_us, err);
	}
	json_decref(newest);
	*out_off = off;
	return status;
}

static aut_status
consecutive_rule(aut_db *db, const aut_settings *settings, const aut_uuid *automation_id,
				 const aut_uuid *run_id, const ends *found, int64_t now_us, aut_error *err)
{
	static const char source[] = "consecutive_failures";
	int64_t threshold = settings->consecutive_failure_disable_threshold;
	int64_t window = settings->consecutive_failure_disable_window_hours; /* thousandths of hours */
	char hours[AUT_SETTING_DECIMAL_MAX];
	char id[AUT_UUID_TEXT_MAX];
	char reason[200];

	if (threshold <= 0 || found->streak < (size_t) threshold ||
		(found->last_success != AUT_TIME_NONE &&
		 found->last_success >= now_us - window * 3600 * (AUT_US_PER_S / 1000)))
		return AUT_OK;
	(void) snprintf(reason, sizeof reason,
					"The last %lld runs failed and none succeeded within %s hours",
					(long long) threshold, aut_setting_decimal(window, hours));
	return switch_off(db, automation_id, run_id, reason,
					  json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:o}", "reason", reason, "source",
								source, "run_id", aut_uuid_format(run_id, id), "rule",
								"consecutive", "threshold", (json_int_t) threshold, "failure_count",
								(json_int_t) threshold, "window_hours",
								window % 1000 == 0 ? json_integer(window / 1000)
												   : json_real((double) window / 1000)),
					  source, now_us, err);
}

aut_status
aut_service_health_check(aut_db *db, const aut_settings *settings, const aut_uuid *automation_id,
						 const aut_uuid *run_id, int64_t now_us, aut_error *err)
{
	int64_t permanent = settings->failure_disable_threshold;
	int64_t consecutive = settings->consecutive_failure_disable_threshold;
	int64_t count = permanent > consecutive ? permanent : consecutive;
	ends found = {.last_success = AUT_TIME_NONE};
	bool off = false;
	aut_status status = AUT_OK;

	if (count <= 0)
		return AUT_OK;
	AUT_CHECK(count <= RULE_MAX); /* the settings' bound */
	status = ends_read(db, automation_id, count, &found, err);
	if (status == AUT_OK)
		status = permanent_rule(db, automation_id, run_id, &found, permanent, now_us, &off, err);
	if (status == AUT_OK && !off)
		status = consecutive_rule(db, settings, automation_id, run_id, &found, now_us, err);
	aut_rows_done(&found.failed);
	return status;
}
