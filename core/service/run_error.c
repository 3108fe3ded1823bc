/* SPDX-License-Identifier: MIT */
/*
 * core/service/run_error.c - what a failed run says: error_detail for people, status_detail for
 * programs (execution.md sections 8 and 9).
 *
 * A failure reported as an SDK conversation error brings its own classification or is given one here:
 * first by its code, then by phrases in its text.  Any other report - a text, a loose object - says
 * that the execution failed and no more; guessing kinds from free text would let a script's own words
 * switch its automation off.
 *
 * Pure functions; the caller stores what they make.
 */
#include <ctype.h>
#include <string.h>

#include "core/service/internal.h"

/* As much as is kept of an error; a script may put a whole log there. */
#define ERROR_TEXT_MAX 65536
#define NOTHING_SAID   "The run reported a failure without saying why"

/* ---- error_detail --------------------------------------------------------------------------- */

static const char *
member_text(const json_t *object, const char *name)
{
	const char *text = aut_json_string(object, name);

	return text != NULL && text[0] != '\0' ? text : NULL;
}

static void
append_object(aut_buf *out, const json_t *error)
{
	const char *code = member_text(error, "code");
	const char *detail = member_text(error, "detail");
	const char *kind = member_text(error, "kind");
	const char *source = member_text(error, "source");

	if (detail == NULL)
		detail = member_text(error, "message");
	if (code == NULL && detail == NULL)
		aut_buf_puts(out, NOTHING_SAID);
	else
	{
		aut_buf_puts(out, code != NULL ? code : "");
		aut_buf_puts(out, code != NULL && detail != NULL ? ": " : "");
		aut_buf_puts(out, detail != NULL ? detail : "");
	}
	if (kind == NULL && source == NULL)
		return;
	aut_buf_puts(out, " [");
	if (kind != NULL)
		aut_buf_printf(out, "kind=%s", kind);
	if (source != NULL)
		aut_buf_printf(out, "%ssource=%s", kind != NULL ? ", " : "", source);
	aut_buf_putc(out, ']');
}

aut_status
aut__error_text(const json_t *error, char **out, aut_error *err)
{
	char *text = NULL;
	aut_buf buf;

	/* room for an over-long text, so that cutting is done below, between characters */
	aut_buf_init(&buf, SIZE_MAX);
	if (json_is_string(error) && json_string_length(error) > 0)
		aut_buf_append(&buf, json_string_value(error), json_string_length(error));
	else if (json_is_object(error))
		append_object(&buf, error);
	else
		aut_buf_puts(&buf, NOTHING_SAID);
	if (buf.status == AUT_OK)
		text = aut_buf_take(&buf, NULL);
	aut_buf_done(&buf);
	if (text == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for an error text");
	if (strlen(text) > ERROR_TEXT_MAX)
		text[aut_utf8_boundary(text, ERROR_TEXT_MAX)] = '\0';
	*out = text;
	return AUT_OK;
}

/* ---- classification -------------------------------------------------------------------------- */

typedef struct verdict
{
	const char *kind;
	bool retryable;
	const char *user_action;
	const char *error_id;
} verdict;

static const verdict AUTH = {"auth", false, "settings", NULL};
static const verdict QUOTA = {"quota", false, "settings", NULL};
static const verdict RATE_LIMIT = {"rate_limit", true, "retry", NULL};
static const verdict CONFIG = {"config", false, "settings", NULL};
static const verdict TRANSIENT = {"transient", true, "retry", NULL};
static const verdict AGENT_RETRY = {"agent_action", true, "retry", NULL};
static const verdict AGENT = {"agent_action", false, "none", NULL};
static const verdict INTERNAL = {"internal", false, "none", NULL};
static const verdict UNKNOWN = {"unknown", false, "none", NULL};

typedef struct hint
{
	const char *text;
	const verdict *means;
} hint;

/* Error codes as the SDK names them. */
static const hint CODES[] = {
	{"LLMAuthenticationError", &AUTH},
	{"ACPAuthRequired", &AUTH},
	{"LLMRateLimitError", &RATE_LIMIT},
	{"MaxBudgetReached", &QUOTA},
	{"LLMBadRequestError", &CONFIG},
	{"ACPInitError", &CONFIG},
	{"ACPSpawnError", &CONFIG},
	{"ACPPromptError", &CONFIG},
	{"NotFoundError", &CONFIG},
	{"LibTmuxException", &CONFIG},
	{"LLMContextWindowExceedError", &AGENT_RETRY},
	{"LLMMalformedConversationHistoryError", &AGENT_RETRY},
	{"MaxIterationsReached", &AGENT},
	{"ConversationOwnershipLostError", &AGENT},
	{"KeyError", &INTERNAL},
	{"AssertionError", &INTERNAL},
	{"AttributeError", &INTERNAL},
	{"TypeError", &INTERNAL},
	{"PydanticSerializationError", &INTERNAL},
};

/* Phrases in the lower-cased detail; the first that is found decides. */
static const hint PHRASES[] = {
	{"api key", &AUTH},
	{"api_key", &AUTH},
	{"unauthorized", &AUTH},
	{"authentication", &AUTH},
	{"401", &AUTH},
	{"usage limit", &QUOTA},
	{"quota", &QUOTA},
	{"balance", &QUOTA},
	{"credit", &QUOTA},
	{"budget", &QUOTA},
	{"rate limit", &RATE_LIMIT},
	{"rate_limit", &RATE_LIMIT},
	{"too many requests", &RATE_LIMIT},
	{"429", &RATE_LIMIT},
	{"llm provider not provided", &CONFIG},
	{"model not found", &CONFIG},
	{"unknown model", &CONFIG},
	{"invalid model", &CONFIG},
	{"unsupported model", &CONFIG},
	{"does not exist", &CONFIG},
	{"timed out", &TRANSIENT},
	{"timeout", &TRANSIENT},
	{"connection", &TRANSIENT},
	{"bad gateway", &TRANSIENT},
	{"service unavailable", &TRANSIENT},
	{"internal server error", &TRANSIENT},
	{"overloaded", &TRANSIENT},
	{"502", &TRANSIENT},
	{"503", &TRANSIENT},
	{"504", &TRANSIENT},
	{"object has no attribute", &INTERNAL},
	{"pydantic", &INTERNAL},
	{"traceback", &INTERNAL},
};

/* Codes that say no more than that a client call failed. */
static const char *const GENERIC_CODES[] = {"LLMError",           "LLMServiceUnavailableError",
											"LLMTimeoutError",    "APIError",
											"APIConnectionError", "HTTPError"};

static bool
contains_lowered(const char *text, const char *phrase)
{
	size_t len = strlen(phrase);

	for (; *text != '\0'; text++)
	{
		size_t i = 0;

		while (i < len && tolower((unsigned char) text[i]) == phrase[i])
			i++;
		if (i == len)
			return true;
	}
	return false;
}

/* "401" must stand alone: a digit on either side makes it another number. */
static bool
phrase_found(const char *text, const char *phrase)
{
	if (!isdigit((unsigned char) phrase[0]))
		return contains_lowered(text, phrase);
	for (const char *at = strstr(text, phrase); at != NULL; at = strstr(at + 1, phrase))
	{
		if ((at == text || !isalnum((unsigned char) at[-1])) &&
			!isalnum((unsigned char) at[strlen(phrase)]))
			return true;
	}
	return false;
}

static verdict
classify(const json_t *event)
{
	const json_t *given = json_object_get(event, "classification");
	const char *code = aut_json_string(event, "code");
	const char *detail = aut_json_string(event, "detail");

	if (json_is_object(given))
	{
		const char *action = aut_json_string(given, "user_action");

		return (verdict){aut_json_string(given, "kind"),
						 json_is_true(json_object_get(given, "retryable")),
						 action != NULL ? action : "none", aut_json_string(given, "error_id")};
	}
	for (size_t i = 0; i < sizeof CODES / sizeof CODES[0]; i++)
	{
		if (strcmp(code, CODES[i].text) == 0)
			return *CODES[i].means;
	}
	for (size_t i = 0; i < sizeof PHRASES / sizeof PHRASES[0]; i++)
	{
		if (phrase_found(detail, PHRASES[i].text))
			return *PHRASES[i].means;
	}
	for (size_t i = 0; i < sizeof GENERIC_CODES / sizeof GENERIC_CODES[0]; i++)
	{
		if (strcmp(code, GENERIC_CODES[i]) == 0)
			return TRANSIENT;
	}
	return UNKNOWN;
}

/* ---- status_detail --------------------------------------------------------------------------- */

/* When the same thing was first seen and how often, from the detail a run had before. */
static json_t *
count_on(json_t *detail, const char *fingerprint, const char *previous, int64_t now_us)
{
	char now[AUT_TIME_TEXT_MAX + 8];
	size_t len = strlen(aut_time_format(now_us, now));
	json_t *before = NULL;
	const char *first = NULL;
	json_int_t count = 0;
	bool good;

	/* this one record writes offsets as +00:00 where all others have Z */
	memcpy(now + len - 1, "+00:00", sizeof "+00:00");
	if (previous != NULL && aut_json_parse(previous, strlen(previous), &before, NULL) == AUT_OK &&
		aut_json_string(before, "fingerprint") != NULL &&
		strcmp(aut_json_string(before, "fingerprint"), fingerprint) == 0)
	{
		first = aut_json_string(before, "first_seen_at");
		count = json_integer_value(json_object_get(before, "count"));
	}
	good = aut_json_set(detail, "fingerprint", json_string(fingerprint));
	good = good && aut_json_set(detail, "first_seen_at", json_string(first != NULL ? first : now));
	good = good && aut_json_set(detail, "last_seen_at", json_string(now));
	good = good && aut_json_set(detail, "count", json_integer(count + 1));
	json_decref(before);
	if (good)
		return detail;
	json_decref(detail);
	return NULL;
}

static aut_status
give_text(json_t *take_value, char **out, aut_error *err)
{
	char *text = aut_json_text(take_value, NULL);

	json_decref(take_value);
	if (text == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for a status detail");
	*out = text;
	return AUT_OK;
}

aut_status
aut__error_status_detail(const aut__completion *completion, const char *formatted,
						 const char *previous, int64_t now_us, char **out, aut_error *err)
{
	const json_t *error = completion->error;
	bool typed = completion->error_is_typed;
	verdict is = typed ? classify(error) : (verdict){"execution_error", false, NULL, NULL};
	const char *source = typed ? aut_json_string(error, "source") : NULL;
	const char *code = json_is_object(error) ? member_text(error, "code") : NULL;
	const char *said = json_is_object(error) ? member_text(error, "detail") : NULL;
	char fingerprint[120];
	json_t *detail = json_object();
	bool good;

	(void) snprintf(fingerprint, sizeof fingerprint, "callback:%s%s%s",
					source != NULL ? source : "", source != NULL ? ":" : "", is.kind);
	good = aut_json_set(detail, "phase", json_string("callback"));
	good = good && aut_json_set(detail, "kind", json_string(is.kind));
	good = good && aut_json_set(detail, "detail", json_string(said != NULL ? said : formatted));
	good = good && aut_json_set(detail, "transient", json_boolean(is.retryable));
	if (source != NULL)
		good = good && aut_json_set(detail, "source", json_string(source));
	if (code != NULL)
		good = good && aut_json_set(detail, "code", json_string(code));
	good = good && aut_json_set(detail, "formatted_detail", json_string(formatted));
	if (is.user_action != NULL)
		good = good && aut_json_set(detail, "user_action", json_string(is.user_action));
	if (is.error_id != NULL)
		good = good && aut_json_set(detail, "error_id", json_string(is.error_id));
	if (!good)
	{
		json_decref(detail);
		return aut_fail(err, AUT_ENOMEM, "out of memory for a status detail");
	}
	return give_text(count_on(detail, fingerprint, previous, now_us), out, err);
}

aut_status
aut__blocked_detail(const char *disabled_detail, char **out, aut_error *err)
{
	json_t *why = NULL;
	json_t *detail;

	if (disabled_detail != NULL)
	{
		aut_status status = aut_json_parse(disabled_detail, strlen(disabled_detail), &why, err);

		if (status != AUT_OK)
			return status;
	}
	detail = json_pack("{s:s, s:s, s:s, s:b, s:s, s:s, s:s, s:o?}", "phase", "dispatch", "kind",
					   "blocked", "detail", "The automation was disabled before this run started",
					   "transient", 0, "source", "automation_service", "operation",
					   "automation_disabled", "user_action", "settings", "disabled_detail", why);
	return give_text(detail, out, err);
}
