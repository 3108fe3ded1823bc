/* SPDX-License-Identifier: MIT */
/*
 * core/service/webhook_form.c - reading the bodies that create and change a custom webhook.
 *
 * Every member of POST /v1/webhooks and PATCH /v1/webhooks/{id} with its rule (http-api.md section 13).
 * What can be said from the body alone is said here, all at once, in the contract's order.
 *
 * A source is a name in addresses and must not be one of the built-in ones, whose deliveries are
 * signed with another secret.  It is stored in lower case.  As in the reference a source or header name
 * may end in one line end; no delivery can ever have such a header, so this harms only its owner.
 */
#include <string.h>

#include "automation/event.h"
#include "automation/match.h"
#include "core/service/webhook_form.h"

#define NAME_MAX_CHARS   255
#define HEADER_MAX_CHARS 100
#define EXPR_MAX         500
#define SCHEME_MAX       50
#define SECRET_MIN       8
#define SECRET_MAX       255

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* Remember that a member was given, and say whether it has a value. */
static bool
note(aut__webhook_form *form, unsigned bit, aut__got got)
{
	if (got == AUT__NULL || got == AUT__VALUE)
		form->given |= bit;
	return got == AUT__VALUE;
}

/* Is text of these characters and hyphens, begins with one of first and ends with one of last? */
static bool
is_name(const char *text, const char *first, const char *last, const char *all)
{
	size_t len = strspn(text, all);

	return len > 0 && (text[len] == '\0' || (text[len] == '\n' && text[len + 1] == '\0')) &&
		   strchr(first, text[0]) != NULL && strchr(last, text[len - 1]) != NULL;
}

static void
source_rules(aut__problems *problems, const json_t *body, aut__webhook_form *form, const char *text)
{
	aut__loc here = {&AUT__BODY, "source", 0};
	const json_t *input = json_object_get(body, "source");
	size_t len = strlen(text);

	/* 50 characters were checked; of more bytes it cannot be plain ASCII */
	if (len <= AUT__WEBHOOK_SOURCE_MAX)
	{
		for (size_t i = 0; i <= len; i++)
			form->source[i] =
				(char) (text[i] >= 'A' && text[i] <= 'Z' ? text[i] - 'A' + 'a' : text[i]);
	}
	if (aut_event_is_builtin(form->source))
		aut__problem_value(problems, &here, input,
						   "'%s' is a reserved source name. Use the built-in integration instead.",
						   text);
	/* its deliveries would go where an event is matched again */
	else if (strcmp(form->source, "replay") == 0)
		aut__problem_value(problems, &here, input, "'%s' is a reserved source name.", text);
	else if (!is_name(form->source, LOWER DIGITS, LOWER DIGITS, LOWER DIGITS "-"))
		aut__problem_value(problems, &here, input,
						   "source must be lower-case letters, digits and hyphens, 1 to 50 "
						   "characters, beginning and ending with a letter or digit");
}

static void
header_rules(aut__problems *problems, const json_t *body, const char *name, const char *text)
{
	aut__loc here = {&AUT__BODY, name, 0};

	if (!is_name(text, LOWER UPPER, LOWER UPPER DIGITS, LOWER UPPER DIGITS "-"))
		aut__problem_value(problems, &here, json_object_get(body, name),
						   "%s must be letters, digits and hyphens, 1 to 100 characters, beginning "
						   "with a letter and ending with a letter or digit",
						   name);
}

static void
scheme_rules(aut__problems *problems, const json_t *body, const char *text)
{
	aut__loc here = {&AUT__BODY, "signature_scheme", 0};

	if (!aut_signature_scheme_known(text))
		aut__problem_value(problems, &here, json_object_get(body, "signature_scheme"),
						   "invalid signature_scheme '%s': it must be one of hmac_sha256_hex, "
						   "slack_v0, standard_webhooks",
						   text);
}

static void
expr_rules(aut__problems *problems, const json_t *body, const char *text)
{
	aut__loc here = {&AUT__BODY, "event_key_expr", 0};
	aut_error why = AUT_ERROR_INIT;

	if (text[0] == '\0' || aut_filter_check(text, strlen(text), &why) == AUT_OK)
		return;
	if (why.code == AUT_EINVAL)
		aut__problem_value(problems, &here, json_object_get(body, "event_key_expr"),
						   "event_key_expr is not a JMESPath expression: %s", why.message);
	else
		aut__problems_fail(problems, &why);
}

/* The members both bodies have, behind name (and source). */
static void
read_rest(aut__problems *problems, const json_t *body, bool update, aut__webhook_form *form)
{
	if (note(form, AUT__W_EXPR,
			 aut__read_text(
				 problems, &AUT__BODY, body,
				 &(aut__rule){.name = "event_key_expr", .nullable = update, .max = EXPR_MAX},
				 &form->event_key_expr)))
		expr_rules(problems, body, form->event_key_expr);
	if (note(form, AUT__W_HEADER,
			 aut__read_text(problems, &AUT__BODY, body,
							&(aut__rule){.name = "signature_header",
										 .nullable = update,
										 .max = HEADER_MAX_CHARS},
							&form->signature_header)))
		header_rules(problems, body, "signature_header", form->signature_header);
	if (note(form, AUT__W_SCHEME,
			 aut__read_text(
				 problems, &AUT__BODY, body,
				 &(aut__rule){.name = "signature_scheme", .nullable = update, .max = SCHEME_MAX},
				 &form->signature_scheme)))
		scheme_rules(problems, body, form->signature_scheme);
	if (note(form, AUT__W_ID_HEADER,
			 aut__read_text(
				 problems, &AUT__BODY, body,
				 &(aut__rule){.name = "event_id_header", .nullable = true, .max = HEADER_MAX_CHARS},
				 &form->event_id_header)))
		header_rules(problems, body, "event_id_header", form->event_id_header);
}

/* A secret that is refused is not shown, either. */
static void
hide_secret(aut__problems *problems)
{
	size_t index;
	json_t *problem;

	json_array_foreach(problems->list, index, problem)
	{
		const json_t *member = json_array_get(json_object_get(problem, "loc"), 1);

		if (json_is_string(member) && strcmp(json_string_value(member), "webhook_secret") == 0 &&
			json_object_set_new(problem, "input", json_null()) != 0)
			(void) json_object_del(problem, "input");
	}
}

static aut_status
finish(aut__problems *problems, const aut__webhook_form *made, aut__webhook_form *out,
	   json_t **out_problems, aut_error *err)
{
	aut_status status;

	hide_secret(problems);
	status = aut__problems_status(problems, out_problems, err);
	if (status == AUT_OK)
		*out = *made;
	return status;
}

aut_status
aut__webhook_form_create(const json_t *body, aut__webhook_form *out, json_t **out_problems,
						 aut_error *err)
{
	static const char *const known[] = {"name",
										"source",
										"event_key_expr",
										"signature_header",
										"signature_scheme",
										"event_id_header",
										"webhook_secret",
										NULL};
	aut__problems problems = {0};
	aut__webhook_form made = {0};
	const char *source = NULL;

	if (aut__is_object(&problems, &AUT__BODY, body))
	{
		(void) note(
			&made, AUT__W_NAME,
			aut__read_text(
				&problems, &AUT__BODY, body,
				&(aut__rule){.name = "name", .required = true, .min = 1, .max = NAME_MAX_CHARS},
				&made.name));
		if (note(&made, AUT__W_SOURCE,
				 aut__read_text(&problems, &AUT__BODY, body,
								&(aut__rule){.name = "source",
											 .required = true,
											 .min = 1,
											 .max = AUT__WEBHOOK_SOURCE_MAX},
								&source)))
			source_rules(&problems, body, &made, source);
		read_rest(&problems, body, false, &made);
		(void) note(&made, AUT__W_SECRET,
					aut__read_text(&problems, &AUT__BODY, body,
								   &(aut__rule){.name = "webhook_secret",
												.nullable = true,
												.min = SECRET_MIN,
												.max = SECRET_MAX},
								   &made.secret));
		aut__refuse_others(&problems, &AUT__BODY, body, known);
	}
	/* what was not said */
	if (made.event_key_expr == NULL || made.event_key_expr[0] == '\0')
		made.event_key_expr = AUT_EVENT_KEY_EXPR_DEFAULT;
	if (made.signature_header == NULL)
		made.signature_header = AUT_SIGNATURE_HEADER_CUSTOM;
	if (made.signature_scheme == NULL)
		made.signature_scheme = AUT_SCHEME_HMAC_HEX;
	made.enabled = true;
	return finish(&problems, &made, out, out_problems, err);
}

aut_status
aut__webhook_form_update(const json_t *body, aut__webhook_form *out, json_t **out_problems,
						 aut_error *err)
{
	static const char *const known[] = {"name",
										"event_key_expr",
										"signature_header",
										"signature_scheme",
										"event_id_header",
										"enabled",
										NULL};
	aut__problems problems = {0};
	aut__webhook_form made = {0};

	if (aut__is_object(&problems, &AUT__BODY, body))
	{
		(void) note(
			&made, AUT__W_NAME,
			aut__read_text(
				&problems, &AUT__BODY, body,
				&(aut__rule){.name = "name", .nullable = true, .min = 1, .max = NAME_MAX_CHARS},
				&made.name));
		read_rest(&problems, body, true, &made);
		made.has_enabled =
			note(&made, AUT__W_ENABLED,
				 aut__read_bool(&problems, &AUT__BODY, body,
								&(aut__rule){.name = "enabled", .nullable = true}, &made.enabled));
		aut__refuse_others(&problems, &AUT__BODY, body, known);
	}
	return finish(&problems, &made, out, out_problems, err);
}

void
aut__repo_path_rules(aut__problems *problems, const aut__loc *at, const json_t *input)
{
	aut__loc here = {at, "repo_path", 0};
	const char *text = json_string_value(input);
	bool parent = false;

	for (const char *segment = text; segment != NULL; segment = strchr(segment, '/'))
	{
		if (*segment == '/')
			segment++;
		parent = parent || (strncmp(segment, "..", 2) == 0 && strchr("/", segment[2]) != NULL);
	}
	if (text != NULL && (text[0] == '/' || strchr(text, '\\') != NULL))
		aut__problem_value(problems, &here, input, "repo_path must be a relative POSIX path");
	else if (parent)
		aut__problem_value(problems, &here, input, "repo_path must not contain the segment \"..\"");
}
