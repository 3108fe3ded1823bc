/* SPDX-License-Identifier: MIT */
/*
 * core/service/run_form.c - reading what a run reports about itself: its end and its phase.
 *
 * The error of a completion is a union: a text, the SDK's conversation error event (nothing but its
 * members, source one of four), or any object.  Which of the last two it was decides later how the
 * failure is classified.
 */
#include <string.h>

#include "core/service/internal.h"

#define PHASE_MAX           200
#define PHASE_BYTES_MAX     4096
#define CONVERSATION_ID_MAX 255

/* ---- completion ----------------------------------------------------------------------------- */

static bool
is_text_or_null(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);

	return value == NULL || json_is_null(value) || json_is_string(value);
}

static bool
has_only(const json_t *object, const char *const *known)
{
	aut__problems problems = {0};
	bool only;

	aut__refuse_others(&problems, &AUT__BODY, object, known);
	only = problems.list == NULL && problems.failure.code == AUT_OK;
	aut__problems_done(&problems);
	return only;
}

static bool
is_word_of(const json_t *value, const char *const *words)
{
	for (size_t i = 0; json_is_string(value) && words[i] != NULL; i++)
	{
		if (strcmp(json_string_value(value), words[i]) == 0)
			return true;
	}
	return false;
}

static bool
is_classification(const json_t *value)
{
	static const char *const known[] = {"kind", "retryable", "user_action", "error_id", NULL};
	static const char *const kinds[] = {"auth",     "quota",     "rate_limit",
										"config",   "transient", "agent_action",
										"internal", "unknown",   NULL};
	static const char *const actions[] = {"none", "retry", "settings", NULL};
	const json_t *action = json_object_get(value, "user_action");

	return json_is_object(value) && has_only(value, known) &&
		   is_word_of(json_object_get(value, "kind"), kinds) &&
		   json_is_boolean(json_object_get(value, "retryable")) &&
		   (action == NULL || is_word_of(action, actions)) && is_text_or_null(value, "error_id");
}

static bool
is_error_event(const json_t *error)
{
	static const char *const known[] = {
		"id", "timestamp", "source", "parent_id", "code", "detail", "kind", "classification", NULL};
	static const char *const sources[] = {"agent", "user", "environment", "hook", NULL};
	const json_t *kind = json_object_get(error, "kind");
	const json_t *id = json_object_get(error, "id");
	const json_t *timestamp = json_object_get(error, "timestamp");
	const json_t *classification = json_object_get(error, "classification");

	return json_is_object(error) && has_only(error, known) &&
		   is_word_of(json_object_get(error, "source"), sources) &&
		   json_is_string(json_object_get(error, "code")) &&
		   json_is_string(json_object_get(error, "detail")) &&
		   is_text_or_null(error, "parent_id") && (id == NULL || json_is_string(id)) &&
		   (timestamp == NULL || json_is_string(timestamp)) &&
		   (kind == NULL || (json_is_string(kind) &&
							 strcmp(json_string_value(kind), "ConversationErrorEvent") == 0)) &&
		   (classification == NULL || json_is_null(classification) ||
			is_classification(classification));
}

static void
read_error(aut__problems *problems, const json_t *body, aut__completion *out)
{
	aut__loc here = {&AUT__BODY, "error", 0};
	aut__loc as_text = {&here, "str", 0};
	aut__loc as_event = {&here, "ConversationErrorEvent", 0};
	aut__loc as_object = {&here, "dict[str,any]", 0};
	const json_t *error = NULL;

	if (aut__read_any(problems, &AUT__BODY, body, &(aut__rule){.name = "error", .nullable = true},
					  &error) != AUT__VALUE)
		return;
	if (json_is_string(error) || json_is_object(error))
	{
		out->error = error;
		out->error_is_typed = is_error_event(error);
		return;
	}
	aut__problem(problems, &as_text, "string_type", error, NULL, "Input should be a valid string");
	aut__problem(problems, &as_event, "model_type", error, NULL, "Input should be an object");
	aut__problem(problems, &as_object, "dict_type", error, NULL, "Input should be a valid object");
}

aut_status
aut__form_complete(const json_t *body, aut__completion *out, json_t **out_problems, aut_error *err)
{
	static const char *const known[] = {"status", "run_id",          "conversation_id", "error",
										"cost",   "blocking_factor", "task_outcome",    NULL};
	static const char *const ends[] = {"COMPLETED", "FAILED", NULL};
	aut__problems problems = {0};
	aut__completion made = {0};
	const char *end = NULL;
	const char *ignored = NULL;
	const json_t *discarded = NULL;
	aut_status status;

	if (aut__is_object(&problems, &AUT__BODY, body))
	{
		(void) aut__read_word(&problems, &AUT__BODY, body,
							  &(aut__rule){.name = "status", .required = true}, ends, &end);
		(void) aut__read_text(&problems, &AUT__BODY, body,
							  &(aut__rule){.name = "run_id", .nullable = true}, &ignored);
		(void) aut__read_text(
			&problems, &AUT__BODY, body,
			&(aut__rule){.name = "conversation_id", .nullable = true, .max = CONVERSATION_ID_MAX},
			&made.conversation_id);
		read_error(&problems, body, &made);
		made.has_cost = aut__read_real(&problems, &AUT__BODY, body,
									   &(aut__rule){.name = "cost", .nullable = true},
									   &made.cost) == AUT__VALUE;
		(void) aut__read_object(&problems, &AUT__BODY, body,
								&(aut__rule){.name = "blocking_factor", .nullable = true},
								&discarded);
		(void) aut__read_object(&problems, &AUT__BODY, body,
								&(aut__rule){.name = "task_outcome", .nullable = true}, &discarded);
		aut__refuse_others(&problems, &AUT__BODY, body, known);
	}
	status = aut__problems_status(&problems, out_problems, err);
	if (status == AUT_OK)
	{
		made.completed = end == ends[0];
		*out = made;
	}
	return status;
}

/* ---- phase ---------------------------------------------------------------------------------- */

/* Control characters count as blanks; runs of blanks become one, those at the ends none. */
static aut_status
clean_phase(const char *text, aut_buf *out)
{
	bool blank_before = false;

	while (*text != '\0' && out->status == AUT_OK)
	{
		size_t skip = aut_blank_at(text);

		if (skip == 0)
			skip = aut__control_at(text);
		if (skip > 0)
		{
			blank_before = out->len > 0;
			text += skip;
			continue;
		}
		if (blank_before)
			aut_buf_putc(out, ' ');
		blank_before = false;
		aut_buf_putc(out, *text++);
	}
	return out->status;
}

aut_status
aut__form_phase(const json_t *body, char **out, json_t **out_problems, aut_error *err)
{
	static const char *const known[] = {"phase", NULL};
	static const aut__rule given = {.name = "phase", .required = true};
	static const aut__rule cleaned = {.name = "phase", .min = 1, .max = PHASE_MAX};
	aut__problems problems = {0};
	json_t *clean_body = NULL;
	const char *text = NULL;
	char *made = NULL;
	aut_status status;
	aut_buf buf;

	aut_buf_init(&buf, PHASE_BYTES_MAX);
	if (aut__is_object(&problems, &AUT__BODY, body))
	{
		if (aut__read_text(&problems, &AUT__BODY, body, &given, &text) == AUT__VALUE)
		{
			/* A text that stays longer than the buffer is too long whatever follows: what is there is
			 * judged.  The length is that of the clean text. */
			if (clean_phase(text, &buf) == AUT_ELIMIT)
				buf.len = aut_utf8_boundary(buf.data, buf.len);
			clean_body = json_pack("{s:s%}", "phase", buf.data != NULL ? buf.data : "", buf.len);
			if (clean_body == NULL || buf.status == AUT_ENOMEM)
			{
				aut_fail(&problems.failure, AUT_ENOMEM, "out of memory while reading a phase");
			}
			else
				(void) aut__read_text(&problems, &AUT__BODY, clean_body, &cleaned, &text);
		}
		aut__refuse_others(&problems, &AUT__BODY, body, known);
	}
	status = aut__problems_status(&problems, out_problems, err);
	if (status == AUT_OK)
	{
		made = aut_buf_take(&buf, NULL);
		if (made == NULL)
			status = aut_fail(err, AUT_ENOMEM, "out of memory while reading a phase");
		else
			*out = made;
	}
	json_decref(clean_body);
	aut_buf_done(&buf);
	return status;
}
