/* SPDX-License-Identifier: MIT */
/*
 * core/service/questions.c - would this pass?  Forms and their members asked one by one, without a
 * database: for `automation eval validate` and whoever compares us with the reference.
 *
 * A question names a kind and an input (test/vectors/validation.jsonl has the schema).  Kinds named after a
 * member put the input into that member of a body that is fine otherwise; others are whole bodies.
 */
#include <string.h>

#include "automation/match.h"
#include "core/service/webhook_form.h"

#define WEBHOOK_PREFIX "webhook_"

/* What came of one. */
typedef struct outcome
{
	aut_status status;
	aut_error why;
	bool router;        /* refused by the service behind the form */
	json_t *normalized; /* NULL: not said */
	json_t *problems;
	size_t loc_skip; /* of the problems' loc: what only this way of asking puts there */
	int64_t seconds; /* -1: not said */
} outcome;

/* ---- a database without rows ------------------------------------------------------------------ */

static aut_status
empty_run(aut_db *db, const aut_stmt *stmt, const aut_value *params, aut_rows *out_rows,
		  int64_t *out_affected, aut_error *err)
{
	(void) db;
	(void) params;
	(void) err;
	if (out_rows != NULL)
		*out_rows = (aut_rows){.width = strlen(stmt->columns)};
	if (out_affected != NULL)
		*out_affected = 0;
	return AUT_OK;
}

static const aut_db_ops empty_ops = {.version = 1, .dialect = AUT_DIALECT_SQLITE, .run = empty_run};

/* ---- automations ------------------------------------------------------------------------------ */

static json_t *
valid_body(void)
{
	return json_pack("{s:s, s:{s:s, s:s}, s:s, s:s}", "name", "nightly", "trigger", "type", "cron",
					 "schedule", "0 9 * * *", "tarball_path", "https://x.test/a.tar.gz",
					 "entrypoint", "python main.py");
}

/* What is stored of a member; NULL: nothing is said about it. */
static json_t *
stored(const char *kind, const aut__form *form)
{
	const char *state = aut__form_state(form);
	char id[AUT_UUID_TEXT_MAX];
	const struct
	{
		const char *kind, *text;
	} texts[] = {
		{"entrypoint", form->entrypoint},
		{"setup_script_path", form->setup_script_path},
		{"name", form->name},
		{"description", form->description},
		{"model", form->model},
		{"state", form->state},
		{"tarball_path", form->tarball_path},
		{"timezone", form->trigger.timezone},
	};

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
	{
		if (strcmp(kind, texts[i].kind) == 0)
			return aut_json_text_or_null(texts[i].text);
	}
	if (strcmp(kind, "timeout") == 0)
		return form->timeout_s == 0 ? json_null() : json_integer(form->timeout_s);
	if (strcmp(kind, "keep_alive") == 0)
		return form->has_keep_alive ? json_boolean(form->keep_alive) : json_null();
	if (strcmp(kind, "state_enabled") == 0)
		return json_pack("{s:o, s:b}", "state", aut_json_text_or_null(form->state), "enabled",
						 state == NULL || strcmp(state, "ACTIVE") == 0);
	if (strcmp(kind, "agent_profile_id") == 0)
		return form->has_agent_profile ? json_string(aut_uuid_format(&form->agent_profile_id, id))
									   : json_null();
	if (strcmp(kind, "trigger") == 0)
		return json_incref(form->trigger.json);
	if (strcmp(kind, "observability_associations") == 0)
		return form->associations == NULL ? json_null() : json_deep_copy(form->associations);
	if (strcmp(kind, "create") == 0)
		return json_pack("{s:o}", "keep_alive",
						 form->has_keep_alive ? json_boolean(form->keep_alive) : json_null());
	return NULL;
}

static void
ask_create(const char *kind, const json_t *body, const aut_settings *settings, outcome *out)
{
	aut_db empty = {.ops = &empty_ops};
	aut__form form = {0};
	aut_call call;

	aut_call_init(&call, &empty, settings, aut_identity_local(), 0);
	out->status = aut__form_create(body, settings, false, &form, &call.problems, &out->why);
	if (out->status == AUT_OK && strcmp(kind, "tarball_path") == 0)
	{
		out->status = aut__tarball_check(&call, form.tarball_path, &out->why);
		out->router = out->status != AUT_OK;
	}
	out->problems = json_incref(call.problems);
	if (out->status == AUT_OK)
		out->normalized = stored(kind, &form);
	aut__form_done(&form);
	aut_call_done(&call);
}

static void
ask_update(const json_t *body, const aut_settings *settings, outcome *out)
{
	aut__form form = {0};

	out->status = aut__form_update(body, settings, false, &form, &out->problems, &out->why);
	aut__form_done(&form);
}

/* false: no member of an automation. */
static bool
ask_member(const char *kind, json_t *input, const aut_settings *settings, outcome *out)
{
	static const char *const members[] = {
		"entrypoint",
		"setup_script_path",
		"name",
		"description",
		"model",
		"timeout",
		"keep_alive",
		"state",
		"agent_profile_id",
		"tarball_path",
		"trigger",
		"observability_associations",
	};
	json_t *body = valid_body();
	bool known = false;
	bool good = body != NULL;

	for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
		known = known || strcmp(kind, members[i]) == 0;
	if (known)
		good = good && json_object_set(body, kind, input) == 0;
	else if (strcmp(kind, "timezone") == 0)
	{
		known = true;
		good = good && json_object_set(json_object_get(body, "trigger"), kind, input) == 0;
		out->loc_skip = 2; /* trigger, cron */
	}
	else if (strcmp(kind, "state_enabled") == 0)
	{
		known = true;
		good = good && json_object_update(body, input) == 0;
	}
	if (known && good)
		ask_create(kind, body, settings, out);
	else if (known)
		out->status = aut_fail(&out->why, AUT_ENOMEM, "out of memory for a question");
	json_decref(body);
	return known;
}

/* ---- runs, plugins, associations, intervals ---------------------------------------------------- */

static void
ask_phase(json_t *input, outcome *out)
{
	json_t *body = json_pack("{s:O}", "phase", input);
	char *phase = NULL;

	out->status = aut__form_phase(body, &phase, &out->problems, &out->why);
	if (out->status == AUT_OK)
		out->normalized = json_string(phase);
	aut_free(phase);
	json_decref(body);
}

static void
ask_complete(const json_t *input, outcome *out)
{
	aut__completion said;

	out->status = aut__form_complete(input, &said, &out->problems, &out->why);
}

static void
ask_plugin_path(json_t *input, const aut_settings *settings, outcome *out)
{
	json_t *body =
		json_pack("{s:{s:s, s:O}}", "plugin", "source", "github:o/r", "repo_path", input);

	out->loc_skip = 1; /* plugin */
	ask_update(body, settings, out);
	json_decref(body);
}

static void
ask_associations(const json_t *input, outcome *out)
{
	aut_payload *payload = NULL;

	out->status = aut_payload_from_json(json_object_get(input, "payload"), &payload, &out->why);
	if (out->status == AUT_OK)
		out->status = aut_associations_eval(json_object_get(input, "associations"), payload,
											&out->normalized, &out->why);
	aut_payload_free(payload);
}

/* The smallest gap among the next ten fires, seen from a fixed instant. */
static void
ask_interval(const json_t *input, outcome *out)
{
	static const int64_t from = INT64_C(1782864000) * AUT_US_PER_S; /* 2026-07-01 */
	const char *expr = json_is_string(input) ? json_string_value(input) : "";
	aut_schedule_problem problem = AUT_SCHEDULE_OK;
	int64_t before = AUT_TIME_NONE;
	int64_t at = from;
	int64_t least = INT64_MAX;
	const aut_tz *tz = NULL;
	aut_cron cron;

	out->status = aut_schedule_check(expr, "UTC", &problem, &cron, &tz, &out->why);
	for (int i = 0; out->status == AUT_OK && i < 10; i++)
	{
		out->status = aut_cron_next(&cron, tz, at, &at, &out->why);
		if (out->status == AUT_OK && at == AUT_TIME_NONE && i < 2)
			out->status = aut_fail(&out->why, AUT_EINVAL, "it does not fire twice");
		if (out->status != AUT_OK || at == AUT_TIME_NONE)
			break;
		if (before != AUT_TIME_NONE && at - before < least)
			least = at - before;
		before = at;
	}
	if (out->status == AUT_OK)
		out->seconds = least / AUT_US_PER_S;
}

/* ---- webhooks --------------------------------------------------------------------------------- */

static json_t *
stored_of_webhook(const char *member, const aut__webhook_form *form)
{
	const struct
	{
		const char *member, *text;
	} texts[] = {
		{"source", form->source},
		{"event_key_expr", form->event_key_expr},
		{"signature_header", form->signature_header},
		{"signature_scheme", form->signature_scheme},
		{"event_id_header", form->event_id_header},
		{"webhook_secret", form->secret},
	};

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
	{
		if (strcmp(member, texts[i].member) == 0)
			return aut_json_text_or_null(texts[i].text);
	}
	return NULL;
}

static void
ask_webhook(const char *kind, json_t *input, outcome *out)
{
	const char *member =
		strcmp(kind, "webhook_secret") == 0 ? kind : kind + sizeof WEBHOOK_PREFIX - 1;
	aut__webhook_form form = {0};
	json_t *body = NULL;

	if (strcmp(kind, "webhook_create") == 0)
		out->status = aut__webhook_form_create(input, &form, &out->problems, &out->why);
	else if (strcmp(kind, "webhook_update") == 0)
		out->status = aut__webhook_form_update(input, &form, &out->problems, &out->why);
	else
	{
		body = json_pack("{s:s, s:s}", "name", "n", "source", "s");
		if (body == NULL || json_object_set(body, member, input) != 0)
			out->status = aut_fail(&out->why, AUT_ENOMEM, "out of memory for a question");
		else
			out->status = aut__webhook_form_create(body, &form, &out->problems, &out->why);
		if (out->status == AUT_OK)
			out->normalized = stored_of_webhook(member, &form);
	}
	json_decref(body);
}

/* ---- one question ------------------------------------------------------------------------------ */

/* {type, loc, msg} without what the way of asking put into loc. */
static json_t *
errors_json(const outcome *got)
{
	json_t *errors = json_array();
	size_t index;
	json_t *problem;
	bool good = errors != NULL;

	json_array_foreach(got->problems, index, problem)
	{
		const json_t *loc = json_object_get(problem, "loc");
		json_t *bare = json_array();

		for (size_t i = 1 + got->loc_skip; good && i < json_array_size(loc); i++)
			good = json_array_append(bare, json_array_get(loc, i)) == 0;
		good = good &&
			   json_array_append_new(
				   errors, json_pack("{s:O, s:O, s:o}", "type", json_object_get(problem, "type"),
									 "msg", json_object_get(problem, "msg"), "loc", bare)) == 0;
	}
	if (good)
		return errors;
	json_decref(errors);
	return NULL;
}

static aut_status
say(const char *kind, outcome *got, json_t *answer, aut_error *err)
{
	bool ok = got->status == AUT_OK;
	bool good = aut_json_set(answer, "ok", json_boolean(ok));

	if (ok && got->normalized != NULL)
		good = good && aut_json_set(answer, "normalized", json_incref(got->normalized));
	if (!ok)
		good = good && aut_json_set(answer, "status", json_integer(aut_status_http(got->status)));
	if (!ok && got->problems != NULL)
		good = good && aut_json_set(answer, "errors", errors_json(got));
	else if (!ok)
		good = good && aut_json_set(answer, "detail", aut_json_text_or_null(got->why.message));
	if (!ok && strcmp(kind, "tarball_path") == 0)
		good =
			good && aut_json_set(answer, "stage", json_string(got->router ? "router" : "schema"));
	if (got->seconds >= 0)
		good = good && aut_json_set(answer, "seconds", json_integer(got->seconds));
	return good ? AUT_OK : aut_fail(err, AUT_ENOMEM, "out of memory for an answer");
}

aut_status
aut_service_question(const aut_settings *settings, const char *kind, json_t *input, json_t *answer,
					 aut_error *err)
{
	outcome got = {.why = AUT_ERROR_INIT, .seconds = -1};
	aut_status status = AUT_OK;

	if (ask_member(kind, input, settings, &got))
		;
	else if (strcmp(kind, "create") == 0)
		ask_create(kind, input, settings, &got);
	else if (strcmp(kind, "update") == 0)
		ask_update(input, settings, &got);
	else if (strcmp(kind, "run_complete") == 0)
		ask_complete(input, &got);
	else if (strcmp(kind, "run_phase") == 0)
		ask_phase(input, &got);
	else if (strcmp(kind, "associations_eval") == 0)
		ask_associations(input, &got);
	else if (strcmp(kind, "plugin_repo_path") == 0)
		ask_plugin_path(input, settings, &got);
	else if (strncmp(kind, WEBHOOK_PREFIX, sizeof WEBHOOK_PREFIX - 1) == 0)
		ask_webhook(kind, input, &got);
	else if (strcmp(kind, "cron_min_interval") == 0)
		ask_interval(input, &got);
	else
		status = aut_fail(err, AUT_EBADREQ, "no questions of the kind \"%.40s\" are known", kind);
	if (status == AUT_OK && (got.status == AUT_ENOMEM || got.status == AUT_EINTERNAL))
	{
		status = got.status;
		if (err != NULL)
			*err = got.why;
	}
	if (status == AUT_OK)
		status = say(kind, &got, answer, err);
	json_decref(got.normalized);
	json_decref(got.problems);
	return status;
}
