/* SPDX-License-Identifier: MIT */
/*
 * core/service/run_starts.c - runs that nobody asked for by name: those of changed data, and repeats.
 *
 * Events come in batches from inside somebody's transaction (a row trigger), so two things are left
 * out that a manual run has: the run is not read again, and the automation's last_triggered_at is not
 * written.  That row would be locked to the end of the transaction, and all writers of a busy table
 * would queue behind it; the runs themselves tell when the last one was.
 */
#include <string.h>

#include "core/service/internal.h"

#define INPUT_MAX 1048576 /* as for runs by hand: it travels through an environment variable */

static aut_status
insert_event(aut_call *call, const aut_uuid *automation_id, const char *input, const char *key,
			 bool *out_made, aut_error *err)
{
	aut_run_new run = {
		.automation_id = *automation_id,
		.trigger_source = "event",
		.scheduled_for = AUT_TIME_NONE,
		.created_at = call->now_us,
		.ready_at = call->now_us,
		.input = input,
	};
	json_t *parsed = NULL;
	size_t len = strlen(input);
	size_t key_len = key != NULL ? aut_utf8_length(key, strlen(key)) : 1;
	bool made = true;
	aut_status status;

	if (len > INPUT_MAX)
		return aut_fail(err, AUT_ELIMIT,
						"the event has %zu bytes of JSON, at most %d can be handed on", len,
						INPUT_MAX);
	if (key_len < 1 || key_len > AUT__DEDUPE_KEY_MAX)
		return aut_fail(err, AUT_EINVAL, "a dedupe key must have 1 to %d characters",
						AUT__DEDUPE_KEY_MAX);
	status = aut_json_parse(input, len, &parsed, err);
	if (status != AUT_OK)
		return aut_error_context(err, "event"), status;
	json_decref(parsed);
	status = aut_uuid_v7(call->now_us, &run.id, err);
	if (status == AUT_OK && key != NULL)
		status = aut_store_dedupe_take(call->db, automation_id, key, &run.id, call->now_us,
									   call->now_us + AUT__DEDUPE_US, &made, err);
	if (status == AUT_OK && made)
		status = aut_store_run_insert(call->db, &run, err);
	if (status == AUT_OK)
		*out_made = made;
	return status;
}

aut_status
aut_service_run_events(aut_call *call, const aut_uuid *automation_id, const char *const *inputs,
					   const char *const *keys, size_t count, size_t *out_started, aut_error *err)
{
	aut_automation_list list = {0};
	size_t started = 0;
	aut_status status = aut__automation_load(call, automation_id, &list, err);

	if (status == AUT_ENOTFOUND)
		status = AUT_OK;
	else if (status == AUT_OK && strcmp(list.items[0].state, "ACTIVE") == 0)
	{
		for (size_t i = 0; status == AUT_OK && i < count; i++)
		{
			bool made = false;

			status = insert_event(call, automation_id, inputs[i], keys != NULL ? keys[i] : NULL,
								  &made, err);
			started += made;
		}
	}
	if (status == AUT_OK && started > 0)
		call->effects |= AUT_EFFECT_RUN;
	if (status == AUT_OK && out_started != NULL)
		*out_started = started;
	aut_automation_list_done(&list);
	return status;
}

aut_status
aut_service_run_retry(aut_call *call, const aut_uuid *run_id, json_t **out, aut_error *err)
{
	aut_run_task task = {0};
	aut_trigger_options options = {0};
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK)
		status = aut__run_load(call, run_id, &task, err);
	if (status == AUT_OK && !aut_uuid_equal(&task.org_id, &call->who->org_id))
		status = aut_fail(err, AUT_ENOTFOUND, "Run not found");
	if (status == AUT_OK && !aut_run_status_terminal(task.run.status))
		status = aut_fail(err, AUT_ECONFLICT,
						  "Run status is %s: only a run that has ended can be repeated",
						  aut_run_status_name(task.run.status));
	options.input = task.input;
	if (status == AUT_OK)
		status = aut_service_trigger(call, &task.run.automation_id, &options, out, err);
	aut_run_task_done(&task);
	return status;
}
