/* SPDX-License-Identifier: MIT */
/*
 * core/backend/env.c - the environment of a run, as contract/execution.md section 6 names it.
 *
 * One function makes the whole file for a run at a place.  It is uploaded beside the tarball, sourced
 * and removed by the command.  Values come from people: each goes through the one quoting function.
 */
#include <string.h>

#include "automation/backend.h"
#include "automation/event.h"
#include "automation/service.h"

/* Carries the first failure, so that the list below reads as a list. */
typedef struct env_writer
{
	aut_buf *out;
	aut_status status;
	aut_error *err;
} env_writer;

static void
put(env_writer *env, const char *name, const char *value)
{
	if (env->status == AUT_OK)
		env->status = aut_env_line(env->out, name, value, env->err);
}

static void
put_if(env_writer *env, const char *name, const char *value)
{
	if (value != NULL && value[0] != '\0')
		put(env, name, value);
}

static void
put_uuid(env_writer *env, const char *name, const aut_uuid *uuid)
{
	char text[AUT_UUID_TEXT_MAX];
	put(env, name, aut_uuid_format(uuid, text));
}

static void put_format(env_writer *env, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void
put_format(env_writer *env, const char *name, const char *fmt, ...)
{
	if (env->status != AUT_OK)
		return;
	char text[4096];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t) n >= sizeof text)
		env->status = aut_fail(env->err, AUT_ELIMIT, "%s of the run is too long", name);
	else
		put(env, name, text);
}

/* The conversation that goes on with what this run's event is about: the same for the same subject. */
static void
put_conversation(env_writer *env, const aut_run_task *task)
{
	char text[AUT_UUID_TEXT_MAX];
	json_t *trigger = NULL;
	const char *source;
	aut_uuid id;

	if (task->run.subject_key == NULL || env->status != AUT_OK)
		return;
	env->status = aut_json_parse(task->trigger, strlen(task->trigger), &trigger, env->err);
	source = aut_json_string(trigger, "source");
	if (env->status == AUT_OK && source != NULL)
	{
		env->status = aut_conversation_id(&task->org_id, &task->run.automation_id, source,
										  task->run.subject_key, &id, env->err);
		if (env->status == AUT_OK)
			put(env, "AUTOMATION_CONVERSATION_ID", aut_uuid_format(&id, text));
	}
	json_decref(trigger);
}

/* Associations of the run and what the run is, for the tracing of conversations. */
static void
put_observability(env_writer *env, const aut_run_task *task, const char *source)
{
	json_t *meta = NULL;
	const char *given = task->run.observability_associations;
	if (given != NULL && aut_json_parse(given, strlen(given), &meta, NULL) == AUT_OK &&
		!json_is_object(meta))
	{
		json_decref(meta);
		meta = NULL;
	}
	if (meta == NULL)
		meta = json_object();
	bool good =
		meta != NULL &&
		aut_json_set(meta, "automation.id", aut_json_uuid(&task->run.automation_id)) &&
		aut_json_set(meta, "automation.name", aut_json_text_or_null(task->automation_name)) &&
		aut_json_set(meta, "automation.run_id", aut_json_uuid(&task->run.id)) &&
		aut_json_set(meta, "automation.trigger", aut_json_text_or_null(task->trigger_type)) &&
		aut_json_set(meta, "automation.run_trigger", aut_json_text_or_null(source));
	char *text = good ? aut_json_text(meta, NULL) : NULL;
	json_decref(meta);
	if (text == NULL)
	{
		env->status = aut_fail(env->err, AUT_ENOMEM, "no memory for the run's environment");
		return;
	}
	put(env, "OPENHANDS_OBSERVABILITY_METADATA", text);
	aut_free(text);
	put_format(env, "OPENHANDS_OBSERVABILITY_TAGS",
			   "automation,automation.trigger:%s,automation.run_trigger:%s", task->trigger_type,
			   source);
	put(env, "OPENHANDS_OBSERVABILITY_SPAN_NAME", "automation.conversation");
}

aut_status
aut_env_own(const json_t *variables, aut_buf *out, aut_error *err)
{
	env_writer env = {out, AUT_OK, err};
	const char *name;
	json_t *value;

	json_object_foreach((json_t *) (uintptr_t) variables, name, value)
	{
		if (json_is_string(value))
			put(&env, name, json_string_value(value));
	}
	return env.status;
}

static void
put_token(env_writer *env, const char *key, const aut_uuid *run_id)
{
	char token[AUT_RUN_TOKEN_MAX];

	if (env->status == AUT_OK)
		env->status = aut_run_token(key, run_id, token, env->err);
	put(env, "AUTOMATION_CALLBACK_API_KEY", token);
}

aut_status
aut_env_text(const aut_run_task *task, const aut_place *place, const aut_attempt_paths *paths,
			 const aut_settings *settings, const char *api_url, const char *event_payload,
			 aut_buf *out, aut_error *err)
{
	env_writer env = {out, AUT_OK, err};
	const char *source =
		task->run.trigger_source != NULL ? task->run.trigger_source : task->trigger_type;
	char run[AUT_UUID_TEXT_MAX];
	aut_uuid_format(&task->run.id, run);

	put_uuid(&env, "AUTOMATION_ID", &task->run.automation_id);
	put(&env, "AUTOMATION_NAME", task->automation_name);
	put(&env, "AUTOMATION_RUN_ID", run);
	put_uuid(&env, "AUTOMATION_ORG_ID", &task->org_id);
	put_uuid(&env, "AUTOMATION_USER_ID", &task->user_id);
	put(&env, "AUTOMATION_TRIGGER_SOURCE", source);
	put(&env, "AUTOMATION_RUN_TRIGGER_SOURCE", source);
	put(&env, "AUTOMATION_TRIGGER_TYPE", task->trigger_type);
	/* Without an HTTP API (an extension that does not listen) there is nothing to call back. */
	if (api_url[0] != '\0')
	{
		put_format(&env, "AUTOMATION_CALLBACK_URL", "%s/v1/runs/%s/complete", api_url, run);
		put_format(&env, "AUTOMATION_PHASE_URL", "%s/v1/runs/%s/phase", api_url, run);
		put(&env, "AUTOMATION_API_URL", api_url);
	}
	put(&env, "AUTOMATION_EVENT_PAYLOAD", event_payload);
	put_if(&env, "AUTOMATION_MODEL", task->model);
	put_if(&env, "AUTOMATION_AGENT_PROFILE_ID", task->agent_profile_id);
	put_conversation(&env, task);
	if (env.status == AUT_OK)
		put_observability(&env, task, source);
	put_if(&env, "SESSION_API_KEY", place->agent_key);
	if (place->local)
	{
		put(&env, "AGENT_SERVER_URL", place->told_url);
		put(&env, "WORKSPACE_BASE", paths->work);
		if (api_url[0] != '\0' && settings->local_api_key != NULL &&
			settings->local_api_key[0] != '\0')
			put_token(&env, settings->local_api_key, &task->run.id);
	}
	else
		put_if(&env, "SANDBOX_ID", place->sandbox_id);
	/* in a sandbox, and beside an agent server of ours where that is wanted */
	put_if(&env, "OPENHANDS_API_KEY", place->user_key);
	put_if(&env, "OPENHANDS_CLOUD_API_URL", place->cloud_url);
	return env.status;
}
