/* SPDX-License-Identifier: MIT */
/*
 * core/service/shapes.c - the contract's objects as JSON: automation, run, upload.
 *
 * Members come in the contract's order; ours stand at the end (next_fire_at; exit_code, output_bytes,
 * attempt, scheduled_for), so that a client which knows only the contract sees nothing moved.  A NULL
 * result means that no memory was left.
 */
#include <string.h>

#include "core/service/internal.h"

/* A stored JSON text as a value.  What does not parse is shown as null: one damaged row must not take
 * the list it stands in with it. */
static json_t *
stored(const char *text)
{
	json_t *value = NULL;
	aut_status status;

	if (text == NULL)
		return json_null();
	status = aut_json_parse(text, strlen(text), &value, NULL);
	if (status == AUT_OK)
		return value;
	return status == AUT_ENOMEM ? NULL : json_null();
}

static json_t *
finish(json_t *object, bool good)
{
	if (good)
		return object;
	json_decref(object);
	return NULL;
}

json_t *
aut_run_json(const aut_run *run)
{
	json_t *out = json_object();
	bool good = out != NULL;

	good = good && aut_json_set(out, "id", aut_json_uuid(&run->id));
	good = good && aut_json_set(out, "automation_id", aut_json_uuid(&run->automation_id));
	good = good && aut_json_set(out, "status", json_string(aut_run_status_name(run->status)));
	good = good && aut_json_set(out, "trigger_source", aut_json_text_or_null(run->trigger_source));
	good = good && aut_json_set(out, "error_detail", aut_json_text_or_null(run->error_detail));
	good = good && aut_json_set(out, "status_detail", stored(run->status_detail));
	good = good && aut_json_set(out, "current_phase", aut_json_text_or_null(run->current_phase));
	good =
		good && aut_json_set(out, "conversation_id", aut_json_text_or_null(run->conversation_id));
	good = good && aut_json_set(out, "cost", run->has_cost ? json_real(run->cost) : json_null());
	good = good && aut_json_set(out, "timeout_at", aut_json_time(run->timeout_at));
	good = good && aut_json_set(out, "sandbox_id", aut_json_text_or_null(run->sandbox_id));
	good =
		good && aut_json_set(out, "bash_command_id", aut_json_text_or_null(run->bash_command_id));
	good = good &&
		   aut_json_set(out, "observability_associations", stored(run->observability_associations));
	good = good && aut_json_set(out, "run_metadata", stored(run->run_metadata));
	good = good && aut_json_set(out, "resolved_runtime", stored(run->resolved_runtime));
	good = good && aut_json_set(out, "created_at", aut_json_time(run->created_at));
	good = good && aut_json_set(out, "started_at", aut_json_time(run->started_at));
	good = good && aut_json_set(out, "completed_at", aut_json_time(run->completed_at));

	good = good && aut_json_set(out, "exit_code",
								run->has_exit_code ? json_integer(run->exit_code) : json_null());
	good = good && aut_json_set(out, "output_bytes", json_integer(run->output_bytes));
	good = good && aut_json_set(out, "attempt", json_integer(run->attempt));
	good = good && aut_json_set(out, "scheduled_for", aut_json_time(run->scheduled_for));
	good =
		good && aut_json_set(out, "trigger_event_id",
							 aut_json_uuid(run->has_trigger_event ? &run->trigger_event_id : NULL));
	good = good && aut_json_set(out, "replayed", json_boolean(run->replayed));
	return finish(out, good);
}

/* What an automation does: the members from trigger to keep_alive. */
static bool
set_work(json_t *out, const aut_automation *automation)
{
	bool good = aut_json_set(out, "trigger", stored(automation->trigger));

	good = good && aut_json_set(out, "observability_associations",
								stored(automation->observability_associations));
	good =
		good && aut_json_set(out, "tarball_path", aut_json_text_or_null(automation->tarball_path));
	good = good && aut_json_set(out, "setup_script_path",
								aut_json_text_or_null(automation->setup_script_path));
	good = good && aut_json_set(out, "entrypoint", aut_json_text_or_null(automation->entrypoint));
	good = good && aut_json_set(out, "timeout",
								automation->timeout_s > 0 ? json_integer(automation->timeout_s)
														  : json_null());
	return good && aut_json_set(out, "keep_alive",
								automation->has_keep_alive ? json_boolean(automation->keep_alive)
														   : json_null());
}

json_t *
aut_automation_json(const aut_automation *automation)
{
	json_t *out = json_object();
	bool active = automation->state != NULL && strcmp(automation->state, "ACTIVE") == 0;
	bool good = out != NULL;

	good = good && aut_json_set(out, "agent_profile_id",
								aut_json_text_or_null(automation->agent_profile_id));
	good = good && aut_json_set(out, "id", aut_json_uuid(&automation->id));
	good = good && aut_json_set(out, "user_id", aut_json_uuid(&automation->user_id));
	good = good && aut_json_set(out, "org_id", aut_json_uuid(&automation->org_id));
	good = good && aut_json_set(out, "model", aut_json_text_or_null(automation->model));
	good = good && aut_json_set(out, "name", aut_json_text_or_null(automation->name));
	good = good && aut_json_set(out, "description", aut_json_text_or_null(automation->description));
	good = good && aut_json_set(out, "prompt", aut_json_text_or_null(automation->prompt));
	good = good && aut_json_set(out, "preset_metadata", stored(automation->preset_metadata));
	good = good && aut_json_set(out, "plugin_spec", stored(automation->plugin_spec));
	good = good && set_work(out, automation);
	good = good && aut_json_set(out, "wait_at_limit", json_boolean(automation->wait_at_limit));
	good = good && aut_json_set(out, "enabled", json_boolean(active));
	good = good && aut_json_set(out, "state", aut_json_text_or_null(automation->state));
	good = good &&
		   aut_json_set(out, "disabled_reason", aut_json_text_or_null(automation->disabled_reason));
	good = good && aut_json_set(out, "disabled_detail", stored(automation->disabled_detail));
	good = good && aut_json_set(out, "disabled_at", aut_json_time(automation->disabled_at));
	good = good &&
		   aut_json_set(out, "last_triggered_at", aut_json_time(automation->last_triggered_at));
	good = good && aut_json_set(out, "created_at", aut_json_time(automation->created_at));
	good = good && aut_json_set(out, "updated_at", aut_json_time(automation->updated_at));

	good = good && aut_json_set(out, "next_fire_at", aut_json_time(automation->next_fire_at));
	good = good && aut_json_set(out, "environment",
								automation->environment_names != NULL
									? stored(automation->environment_names)
									: json_array());
	return finish(out, good);
}

/* The contract writes the times of uploads with an offset where all others have Z. */
static json_t *
offset_time(int64_t time_us)
{
	char text[AUT_TIME_TEXT_MAX + 8];
	size_t len = strlen(aut_time_format(time_us, text));

	memcpy(text + len - 1, "+00:00", sizeof "+00:00");
	return json_string(text);
}

json_t *
aut__upload_json(const aut_upload *upload)
{
	json_t *out = json_object();
	bool completed = upload->status != NULL && strcmp(upload->status, "COMPLETED") == 0;
	char id[AUT_UUID_TEXT_MAX];
	bool good = out != NULL;

	good = good && aut_json_set(out, "id", aut_json_uuid(&upload->id));
	good = good && aut_json_set(out, "user_id", aut_json_uuid(&upload->user_id));
	good = good && aut_json_set(out, "org_id", aut_json_uuid(&upload->org_id));
	good = good && aut_json_set(out, "name", aut_json_text_or_null(upload->name));
	good = good && aut_json_set(out, "description", aut_json_text_or_null(upload->description));
	good = good && aut_json_set(out, "status", aut_json_text_or_null(upload->status));
	good = good && aut_json_set(out, "error_message", aut_json_text_or_null(upload->error_message));
	good = good &&
		   aut_json_set(out, "size_bytes",
						upload->size_bytes >= 0 ? json_integer(upload->size_bytes) : json_null());
	good = good && aut_json_set(out, "tarball_path",
								completed ? json_sprintf(AUT__UPLOAD_PREFIX "uploads/%s",
														 aut_uuid_format(&upload->id, id))
										  : json_null());
	good = good && aut_json_set(out, "created_at", offset_time(upload->created_at));
	good = good && aut_json_set(out, "updated_at", offset_time(upload->updated_at));
	return finish(out, good);
}
