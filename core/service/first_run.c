/* SPDX-License-Identifier: MIT */
/*
 * core/service/first_run.c - how the first run of an automation made from a template ended.
 *
 * Kept once in preset_metadata.first_run, for whoever maintains the template.  Only the first end is
 * recorded; a deleted automation has nobody left to tell.
 */
#include <string.h>

#include "core/service/internal.h"

/* {status, failure_stage, template_version, recorded_at}, or NULL without memory. */
static json_t *
record(const aut_call *call, const json_t *template_ref, const char *status, const char *stage)
{
	json_t *out = json_object();
	bool good = aut_json_set(out, "status", json_string(status));

	good = good && aut_json_set(out, "failure_stage", aut_json_text_or_null(stage));
	good = good && aut_json_set(out, "template_version",
								aut_json_text_or_null(aut_json_string(template_ref, "version")));
	good = good && aut_json_set(out, "recorded_at", aut_json_time(call->now_us));
	if (good)
		return out;
	json_decref(out);
	return NULL;
}

aut_status
aut__first_run_record(const aut_call *call, const aut_run_task *task, const char *status_word,
					  const char *stage, aut_error *err)
{
	aut_automation_list list = {0};
	json_t *metadata = NULL;
	char *text = NULL;
	const char *before;
	const json_t *template_ref;
	aut_status status;

	/* of most automations there is nothing to record */
	if (task->preset_metadata == NULL || strstr(task->preset_metadata, "\"template\"") == NULL)
		return AUT_OK;
	status =
		aut_store_automation_get(call->db, &task->org_id, &task->run.automation_id, &list, err);
	if (status == AUT_ENOTFOUND)
		return AUT_OK;
	if (status != AUT_OK)
		return status;
	before = list.items[0].preset_metadata;
	if (before != NULL)
		status = aut_json_parse(before, strlen(before), &metadata, err);
	template_ref = json_object_get(metadata, "template");
	if (status != AUT_OK || !json_is_object(template_ref) ||
		json_is_object(json_object_get(metadata, "first_run")))
		goto out;
	if (aut_json_set(metadata, "first_run", record(call, template_ref, status_word, stage)))
		text = aut_json_text(metadata, NULL);
	if (text == NULL)
	{
		status = aut_fail(err, AUT_ENOMEM, "out of memory for the record of a first run");
		goto out;
	}
	list.items[0].preset_metadata = text;
	status = aut_store_automation_update(call->db, &list.items[0], err);
out:
	aut_free(text);
	json_decref(metadata);
	aut_automation_list_done(&list);
	return status;
}
