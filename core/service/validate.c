/* SPDX-License-Identifier: MIT */
/*
 * core/service/validate.c - POST /v1/validate: what creating this automation would say, and whether an
 * event would start it.
 *
 * The same forms judge as at creation, so that there is one rule for each member; their problems are told
 * in the flat form of drafts ({field, code, message}).  Beyond them comes what creation lets pass but
 * would never work: an event source that nobody has configured, an event that is never delivered, a
 * schedule below the advised interval.
 */
#include <string.h>

#include "automation/event.h"
#include "automation/match.h"
#include "automation/webhooks.h"
#include "core/service/capabilities.h"

#define AUTOMATION_ID_MAX 255
#define FIELD_MAX         600
#define FIRES_LOOKED_AT   60

/* One question. */
typedef struct question
{
	aut_call *call;
	const char *endpoint;
	json_t *draft; /* owned; as the forms take it */
	const json_t *sample;
	json_t *errors; /* owned */
	bool has_match, match;
} question;

/* ---- problems ------------------------------------------------------------------------------- */

static aut_status
add(question *q, const char *field, const char *code, const char *message, aut_error *err)
{
	json_t *entry = json_object();
	bool good = aut_json_set(entry, "field", aut_json_text_or_null(field)) &&
				aut_json_set(entry, "code", json_string(code)) &&
				aut_json_set(entry, "message", aut_json_text_or_null(message));

	if (good && json_array_append(q->errors, entry) != 0)
		good = false;
	json_decref(entry);
	return good ? AUT_OK : aut_fail(err, AUT_ENOMEM, "out of memory for a list of problems");
}

/* ["body","trigger","cron","schedule"] is trigger.schedule, ["body","repos",0,"url"] is repos[0].url. */
static bool
field_of(const json_t *loc, aut_buf *out)
{
	for (size_t i = 1; i < json_array_size(loc); i++)
	{
		const json_t *part = json_array_get(loc, i);
		const char *text = json_string_value(part);
		const char *before = json_string_value(json_array_get(loc, i - 1));
		bool tag = i == 2 && text != NULL && before != NULL && strcmp(before, "trigger") == 0 &&
				   (strcmp(text, "cron") == 0 || strcmp(text, "event") == 0);

		if (tag)
			continue;
		if (text != NULL)
			(void) aut_buf_printf(out, "%s%s", out->len > 0 ? "." : "", text);
		else
			(void) aut_buf_printf(out, "[%lld]", (long long) json_integer_value(part));
	}
	return out->len > 0;
}

static aut_status
add_problem(question *q, const json_t *problem, aut_error *err)
{
	static const char prefix[] = "Value error, ";
	const char *message = aut_json_string(problem, "msg");
	aut_status status;
	aut_buf field;

	if (message != NULL && strncmp(message, prefix, sizeof prefix - 1) == 0)
		message += sizeof prefix - 1;
	aut_buf_init(&field, FIELD_MAX);
	/* a member with a name longer than that has no name worth telling */
	status =
		add(q,
			field_of(json_object_get(problem, "loc"), &field) && field.status == AUT_OK ? field.data
																						: NULL,
			aut_json_string(problem, "type"), message, err);
	aut_buf_done(&field);
	return status;
}

/* ---- the form ------------------------------------------------------------------------------- */

static bool
is_plain(const question *q)
{
	return strcmp(q->endpoint, "/v1") == 0;
}

/* Ours is the profile's id; presets have none and pass it over. */
static aut_status
check_profile(question *q, aut_error *err)
{
	const json_t *given = json_object_get(q->draft, "agent_profile_id");
	const char *text = json_string_value(given);
	aut_error why = AUT_ERROR_INIT;
	aut_status status = AUT_OK;
	aut_uuid id;

	if (given == NULL)
		return AUT_OK;
	if (text == NULL || !aut_uuid_parse(text, strlen(text), &id))
		status = add(q, "agent_profile_id", "invalid_agent_profile",
					 "agent_profile_id must be a UUID", err);
	/* that the profiles could not be asked for is no fault of the form */
	else if (aut__agent_profile_check(q->call, &id, &why) == AUT_EINVAL)
		status = add(q, "agent_profile_id", "invalid_agent_profile", why.message, err);
	if (status == AUT_OK && json_object_get(q->draft, "model") != NULL && is_plain(q))
		status = add(q, NULL, "value_error", "agent_profile_id and model cannot both be set", err);
	(void) json_object_del(q->draft, "agent_profile_id");
	return status;
}

static aut_status
check_model(question *q, const aut__form *form, aut_error *err)
{
	aut_error why = AUT_ERROR_INIT;
	const char *model = NULL;

	if (form->model == NULL || aut__model_resolve(q->call, form->model, &model, &why) == AUT_OK)
		return AUT_OK;
	return add(q, "model", "model_profile_not_found", why.message, err);
}

static aut_status
check_form(question *q, aut_error *err)
{
	bool sql = q->call->who->db_role != NULL;
	json_t *problems = NULL;
	aut__form form = {0};
	aut_status status;

	if (is_plain(q))
		status = aut__form_create(q->draft, q->call->settings, sql, &form, &problems, err);
	else
		status = aut__form_preset(q->draft, q->call->settings,
								  strcmp(q->endpoint, "/v1/preset/plugin") == 0, sql, &form,
								  &problems, err);
	if (status == AUT_EINVAL && problems != NULL)
	{
		status = AUT_OK;
		for (size_t i = 0; status == AUT_OK && i < json_array_size(problems); i++)
			status = add_problem(q, json_array_get(problems, i), err);
	}
	else if (status == AUT_OK)
		status = check_model(q, &form, err);
	json_decref(problems);
	aut__form_done(&form);
	return status;
}

/* ---- the trigger ---------------------------------------------------------------------------- */

/* The shortest time between two fires, as far as the next ones tell; 0: it fires once. */
static aut_status
shortest_interval(const char *schedule, int64_t now_us, int64_t *out_us, aut_error *err)
{
	const aut_tz *utc = NULL;
	int64_t last = AUT_TIME_NONE;
	int64_t at = now_us;
	aut_cron cron;
	aut_status status = aut_cron_parse(schedule, strlen(schedule), &cron, err);

	*out_us = 0;
	/* offset changes of the real zone would make two fires look closer than they are meant */
	if (status == AUT_OK)
		status = aut_tz_get("UTC", &utc, err);
	for (int i = 0; status == AUT_OK && i < FIRES_LOOKED_AT; i++)
	{
		status = aut_cron_next(&cron, utc, at, &at, err);
		if (status != AUT_OK || at == AUT_TIME_NONE)
			break;
		if (last != AUT_TIME_NONE && (*out_us == 0 || at - last < *out_us))
			*out_us = at - last;
		last = at;
	}
	return status;
}

static aut_status
check_cron(question *q, const aut__trigger *trigger, aut_error *err)
{
	char message[120];
	int64_t shortest = 0;
	aut_status status = shortest_interval(trigger->schedule, q->call->now_us, &shortest, err);

	if (status != AUT_OK || shortest == 0 || shortest >= AUT__CRON_FLOOR_S * AUT_US_PER_S)
		return status;
	(void) snprintf(message, sizeof message, "fires every %lld s; at least %d s are advised",
					(long long) (shortest / AUT_US_PER_S), AUT__CRON_FLOOR_S);
	return add(q, "trigger.schedule", "interval_too_short", message, err);
}

/* Sources of ours, which need nobody to deliver. */
static bool
is_own_source(const char *source)
{
	return strcmp(source, "manual") == 0 || strcmp(source, "sql") == 0;
}

/* The webhook of a custom source as list->items[0], or none. */
static aut_status
find_webhook(const question *q, const char *source, aut_webhook_list *out, aut_error *err)
{
	aut_status status =
		aut_store_webhook_by_source(q->call->db, &q->call->who->org_id, source, out, err);

	return status == AUT_ENOTFOUND ? AUT_OK : status;
}

static aut_status
check_source(question *q, const char *source, const aut_webhook_list *webhooks, aut_error *err)
{
	bool known = aut_event_is_builtin(source) ? q->call->settings->webhook_secret[0] != '\0'
											  : webhooks->count > 0 && webhooks->items[0].enabled;

	if (known || is_own_source(source))
		return AUT_OK;
	return add(q, "trigger.source", "event_source_not_configured",
			   aut_event_is_builtin(source)
				   ? "no secret for built-in event sources is set (AUTOMATION_WEBHOOK_SECRET)"
				   : "no enabled webhook of the organization has this source",
			   err);
}

static aut_status
check_types(question *q, const char *source, const json_t *on, aut_error *err)
{
	aut_status status = AUT_OK;
	size_t count = json_is_array(on) ? json_array_size(on) : 1;

	if (strcmp(source, "github") != 0)
		return AUT_OK;
	for (size_t i = 0; status == AUT_OK && i < count; i++)
	{
		const char *pattern = json_string_value(json_is_array(on) ? json_array_get(on, i) : on);
		char message[300];

		if (pattern == NULL || aut__github_delivers(pattern))
			continue;
		(void) snprintf(message, sizeof message, "no event that \"%.*s\" matches is delivered",
						(int) aut_utf8_boundary(pattern, strnlen(pattern, 200)), pattern);
		status = add(q, "trigger.on", "event_type_not_delivered", message, err);
	}
	return status;
}

/* ---- the sample ----------------------------------------------------------------------------- */

/* The key of a custom source's event, as its webhook says; by default what `type` says. */
static aut_status
custom_key(const aut_webhook_list *webhooks, const char *source, aut_event *event, aut_error *err)
{
	const char *expr =
		webhooks->count > 0 ? webhooks->items[0].event_key_expr : AUT_EVENT_KEY_EXPR_DEFAULT;
	aut_match_options options = AUT_MATCH_OPTIONS_INIT;
	aut_match_result result = {0};
	aut_payload *payload = NULL;
	aut_jmespath *compiled = NULL;
	aut_status status;

	options.standard_only = true;
	status = aut_jmespath_compile(expr, strlen(expr), &compiled, err);
	if (status == AUT_OK)
		status = aut_payload_from_json(event->doc.root, &payload, err);
	if (status == AUT_OK)
		status = aut_jmespath_search(compiled, payload, &options, &result, err);
	if (status == AUT_OK)
		status = aut_event_set_key(event, source, result.json, err);
	aut_match_result_done(&result);
	aut_payload_free(payload);
	aut_jmespath_free(compiled);
	return status;
}

static aut_status
read_sample(const question *q, const char *source, const aut_webhook_list *webhooks, aut_event *out,
			aut_error *err)
{
	bool builtin = aut_event_is_builtin(source);
	json_t *body = builtin ? json_pack("{s:O}", "payload", q->sample)
						   : json_incref((json_t *) (uintptr_t) q->sample);
	size_t len = 0;
	char *text = body != NULL ? aut_json_text(body, &len) : NULL;
	aut_status status = text != NULL ? AUT_OK : aut_fail(err, AUT_ENOMEM, "out of memory");

	if (status == AUT_OK)
		status = aut_event_read(source, text, len, out, err);
	if (status == AUT_OK && !builtin)
		status = custom_key(webhooks, source, out, err);
	aut_free(text);
	json_decref(body);
	return status;
}

/* A filter that fails is one that did not match. */
static aut_status
passes_filter(const char *filter, const aut_event *event, bool *out, aut_error *err)
{
	aut_payload *payload = NULL;
	aut_jmespath *compiled = NULL;
	aut_status status;

	*out = filter == NULL;
	if (filter == NULL)
		return AUT_OK;
	status = aut_jmespath_compile(filter, strlen(filter), &compiled, err);
	if (status == AUT_OK)
		status = aut_payload_from_json((json_t *) (uintptr_t) event->payload, &payload, err);
	if (status == AUT_OK)
		status = aut_filter_match(compiled, payload, NULL, out, err);
	aut_payload_free(payload);
	aut_jmespath_free(compiled);
	return status == AUT_EINVAL || status == AUT_ELIMIT ? AUT_OK : status;
}

static aut_status
check_sample(question *q, const aut__trigger *trigger, const char *source,
			 const aut_webhook_list *webhooks, aut_error *err)
{
	aut_error why = AUT_ERROR_INIT;
	aut_event event = {0};
	aut_status status = read_sample(q, source, webhooks, &event, &why);

	if (status == AUT_EBADREQ || status == AUT_ELIMIT || status == AUT_EINVAL)
		status = add(q, "sampleEvent", "unparseable_sample_event", why.message, err);
	else if (status != AUT_OK && err != NULL)
		*err = why;
	else if (event.key == NULL)
		status = add(q, "sampleEvent", "unparseable_sample_event", event.why, err);
	else
	{
		q->has_match = true;
		status = passes_filter(aut_json_string(trigger->json, "filter"), &event, &q->match, err);
		q->match = q->match && aut_pattern_match(json_object_get(trigger->json, "on"), event.key);
	}
	aut_event_done(&event);
	return status;
}

static aut_status
check_event(question *q, const aut__trigger *trigger, aut_error *err)
{
	const char *source = aut_json_string(trigger->json, "source");
	aut_webhook_list webhooks = {0};
	aut_status status = AUT_OK;

	if (source == NULL)
		return AUT_OK;
	if (!aut_event_is_builtin(source) && !is_own_source(source))
		status = find_webhook(q, source, &webhooks, err);
	if (status == AUT_OK)
		status = check_source(q, source, &webhooks, err);
	if (status == AUT_OK)
		status = check_types(q, source, json_object_get(trigger->json, "on"), err);
	if (status == AUT_OK && q->sample != NULL && !is_own_source(source))
		status = check_sample(q, trigger, source, &webhooks, err);
	aut_webhook_list_done(&webhooks);
	return status;
}

/* Only of a trigger that is one; what is wrong with the others was said already. */
static aut_status
check_trigger(question *q, aut_error *err)
{
	aut__loc here = {&AUT__BODY, "trigger", 0};
	aut__problems problems = {0};
	aut__trigger trigger = {0};
	aut_status status = AUT_OK;

	if (aut__trigger_check(&problems, &here, json_object_get(q->draft, "trigger"),
						   q->call->who->db_role != NULL, &trigger))
		status = strcmp(trigger.type, "cron") == 0 ? check_cron(q, &trigger, err)
												   : check_event(q, &trigger, err);
	else if (problems.failure.code != AUT_OK)
	{
		status = problems.failure.code;
		if (err != NULL)
			*err = problems.failure;
	}
	aut__problems_done(&problems);
	aut__trigger_done(&trigger);
	return status;
}

/* ---- the envelope --------------------------------------------------------------------------- */

/* A member under the contract's name or the older one. */
static const char *
name_of(const json_t *body, const char *name, const char *older)
{
	return json_object_get(body, name) == NULL && json_object_get(body, older) != NULL ? older
																					   : name;
}

/* A draft may say null for what it does not say yet, and that it is one. */
static json_t *
without_nulls(const json_t *draft)
{
	json_t *out = json_object();
	bool good = out != NULL;
	const char *key;
	json_t *value;

	json_object_foreach((json_t *) (uintptr_t) draft, key, value)
	{
		bool is_draft = strcmp(key, "state") == 0 && json_is_string(value) &&
						strcmp(json_string_value(value), "DRAFT") == 0;

		if (good && !json_is_null(value) && !is_draft)
			good = json_object_set(out, key, value) == 0;
	}
	if (good)
		return out;
	json_decref(out);
	return NULL;
}

static aut_status
read_envelope(const json_t *body, question *q, aut_error *err)
{
	static const char *const endpoints[] = {"/v1", "/v1/preset/prompt", "/v1/preset/plugin", NULL};
	static const char *const known[] = {
		"endpoint", "draft", "automationId", "sampleEvent", "automation_id", "sample_event", NULL};
	aut__problems problems = {0};
	const char *ignored = NULL;
	const json_t *draft = NULL;
	aut_status status;

	if (aut__is_object(&problems, &AUT__BODY, body))
	{
		(void) aut__read_word(&problems, &AUT__BODY, body,
							  &(aut__rule){.name = "endpoint", .required = true}, endpoints,
							  &q->endpoint);
		(void) aut__read_object(&problems, &AUT__BODY, body,
								&(aut__rule){.name = "draft", .required = true}, &draft);
		(void) aut__read_text(&problems, &AUT__BODY, body,
							  &(aut__rule){.name = name_of(body, "automationId", "automation_id"),
										   .nullable = true,
										   .max = AUTOMATION_ID_MAX},
							  &ignored);
		(void) aut__read_object(
			&problems, &AUT__BODY, body,
			&(aut__rule){.name = name_of(body, "sampleEvent", "sample_event"), .nullable = true},
			&q->sample);
		aut__refuse_others(&problems, &AUT__BODY, body, known);
	}
	status = aut__problems_status(&problems, &q->call->problems, err);
	if (status == AUT_OK)
		status = aut__give(without_nulls(draft), &q->draft, err);
	if (status == AUT_OK)
		status = aut__give(json_array(), &q->errors, err);
	return status;
}

static json_t *
answer(const question *q)
{
	json_t *out = json_object();
	bool good = aut_json_set(out, "valid", json_boolean(json_array_size(q->errors) == 0)) &&
				aut_json_set(out, "errors", json_incref(q->errors)) &&
				aut_json_set(out, "sampleEventMatched",
							 q->has_match ? json_boolean(q->match) : json_null());

	if (good)
		return out;
	json_decref(out);
	return NULL;
}

aut_status
aut_service_validate(aut_call *call, const json_t *body, json_t **out, aut_error *err)
{
	question q = {.call = call};
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK)
		status = read_envelope(body, &q, err);
	if (status == AUT_OK)
		status = check_profile(&q, err);
	if (status == AUT_OK)
		status = check_form(&q, err);
	if (status == AUT_OK)
		status = check_trigger(&q, err);
	if (status == AUT_OK && !is_plain(&q) && call->agent_is_embedded)
		status = add(&q, NULL, "needs_agent_server",
					 "an automation made from a prompt needs an agent server", err);
	if (status == AUT_OK)
		status = aut__give(answer(&q), out, err);
	json_decref(q.draft);
	json_decref(q.errors);
	return status;
}
