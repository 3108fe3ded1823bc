/* SPDX-License-Identifier: MIT */
/*
 * core/match/subject.c - what an event is about, what is said about it, and where that is talked over.
 *
 * A trigger with destination continue_conversation sends events of one subject to one conversation
 * (triggers.md section 7).  The subject and the text of the turn come from expressions over the payload
 * or, for the text, from the shape of what common services send.  The conversation's id follows from the
 * subject alone, so that nothing has to be remembered to find it again.
 */
#include <stdio.h>
#include <string.h>

#include "core/match/internal.h"

/* ---- texts of values --------------------------------------------------------------------------- */

aut_status
aut_event_scalar_text(const aut_event_doc *doc, const json_t *value, char **out, aut_error *err)
{
	const char *strange = aut_event_doc_number(doc, value);
	char number[AUT_REAL_TEXT_MAX];
	aut_status status;
	char *made = NULL;
	aut_buf text;

	if (value == NULL || json_is_null(value) || json_is_array(value) || json_is_object(value))
		return AUT_OK;
	aut_buf_init(&text, AUT_TURN_TEXT_MAX);
	if (json_is_string(value))
		/* sanitized, as a literal of an expression may hold a NUL */
		(void) aut_utf8_sanitize(&text, json_string_value(value), json_string_length(value));
	else if (strange != NULL)
		(void) aut_buf_puts(&text, strange);
	else if (json_is_boolean(value))
		(void) aut_buf_puts(&text, json_is_true(value) ? "True" : "False");
	else if (json_is_integer(value))
		(void) aut_buf_printf(&text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else
		(void) aut_buf_puts(&text, aut_real_text(json_real_value(value), number));
	status = text.status;
	if (status == AUT_OK)
	{
		made = aut_buf_take(&text, NULL);
		if (made == NULL)
			status = AUT_ENOMEM;
	}
	aut_buf_done(&text);
	if (status == AUT_ELIMIT)
		return aut_fail(err, status, "a text of an event is longer than %d bytes",
						AUT_TURN_TEXT_MAX);
	if (status != AUT_OK)
		return aut_fail(err, status, "out of memory while reading an event");
	*out = made;
	return AUT_OK;
}

aut_status
aut__result_text(const aut_match_result *result, char **out, aut_error *err)
{
	char *made = NULL;
	aut_buf text;

	if (result->text == NULL)
		return AUT_OK;
	/* a literal of the expression may hold a NUL, which no database of ours could keep */
	aut_buf_init(&text, 3 * result->text_len + 1);
	if (aut_utf8_sanitize(&text, result->text, result->text_len) == AUT_OK)
		made = aut_buf_take(&text, NULL);
	aut_buf_done(&text);
	if (made == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory while reading an event");
	*out = made;
	return AUT_OK;
}

/* Cut blanks off both ends, in place. */
static void
trim(char *text)
{
	size_t start = 0;
	size_t end = 0;
	size_t blank;

	while ((blank = aut_blank_at(text + start)) > 0)
		start += blank;
	for (size_t at = start; text[at] != '\0';)
	{
		blank = aut_blank_at(text + at);
		at += blank > 0 ? blank : 1;
		if (blank == 0)
			end = at;
	}
	if (end > start)
		memmove(text, text + start, end - start);
	text[end > start ? end - start : 0] = '\0';
}

/* Taken, trimmed; NULL when that leaves nothing. */
static char *
trimmed(char *take_text)
{
	if (take_text == NULL)
		return NULL;
	trim(take_text);
	if (*take_text != '\0')
		return take_text;
	aut_free(take_text);
	return NULL;
}

/* A text or number, trimmed. */
static aut_status
text_of_value(const aut_event_doc *doc, const json_t *value, char **out, aut_error *err)
{
	char *text = NULL;
	aut_status status = AUT_OK;

	if (!json_is_boolean(value))
		status = aut_event_scalar_text(doc, value, &text, err);
	*out = trimmed(text);
	return status;
}

/* The same of what an expression comes to; one that fails comes to nothing. */
static aut_status
text_of_expr(const aut_jmespath *expr, const aut_payload *payload, char **out, aut_error *err)
{
	aut_match_result result = {0};
	char *text = NULL;
	aut_status status = aut_jmespath_search(expr, payload, NULL, &result, err);

	if (status == AUT_OK && result.kind != AUT_MATCH_BOOLEAN)
		status = aut__result_text(&result, &text, err);
	if (status == AUT_EINVAL || status == AUT_ELIMIT || status == AUT_EBADREQ)
		status = AUT_OK;
	if (status == AUT_OK)
		*out = trimmed(text);
	aut_match_result_done(&result);
	return status;
}

/* Taken, unless it is longer than a subject may be. */
static char *
as_subject(char *take_text)
{
	if (take_text == NULL || aut_utf8_length(take_text, strlen(take_text)) <= AUT_SUBJECT_KEY_MAX)
		return take_text;
	aut_free(take_text);
	return NULL;
}

aut_status
aut_subject_key(const aut_event_doc *doc, const json_t *value, char **out, aut_error *err)
{
	char *text = NULL;
	aut_status status = text_of_value(doc, value, &text, err);

	if (status == AUT_ELIMIT)
		status = AUT_OK; /* far too long: no subject */
	if (status == AUT_OK)
		*out = as_subject(text);
	return status;
}

aut_status
aut_subject_key_by(const aut_jmespath *expr, const aut_payload *payload, char **out, aut_error *err)
{
	char *text = NULL;
	aut_status status = text_of_expr(expr, payload, &text, err);

	if (status == AUT_OK)
		*out = as_subject(text);
	return status;
}

aut_status
aut_turn_text(const aut_event_doc *doc, const json_t *value, char **out, aut_error *err)
{
	char *text = NULL;
	aut_status status = text_of_value(doc, value, &text, err);

	if (status == AUT_OK)
		*out = text;
	return status;
}

aut_status
aut_turn_text_by(const aut_jmespath *expr, const aut_payload *payload, char **out, aut_error *err)
{
	char *text = NULL;
	aut_status status = text_of_expr(expr, payload, &text, err);

	if (status == AUT_OK && text != NULL && strlen(text) > AUT_TURN_TEXT_MAX)
	{
		aut_free(text);
		return aut_fail(err, AUT_ELIMIT, "a text of an event is longer than %d bytes",
						AUT_TURN_TEXT_MAX);
	}
	if (status == AUT_OK)
		*out = text;
	return status;
}

/* ---- turn texts without expression --------------------------------------------------------------- */

/* The member a dotted path leads to, in the payload or under its `payload`. */
static const json_t *
at_path(const json_t *payload, const char *path)
{
	for (int under = 0; under < 2; under++)
	{
		const json_t *value = under == 0 ? payload : json_object_get(payload, "payload");
		const char *at = path;

		while (value != NULL && at != NULL)
		{
			size_t len = strcspn(at, ".");

			value = json_object_getn(value, at, len);
			at = at[len] == '.' ? at + len + 1 : NULL;
		}
		if (value != NULL && !json_is_null(value))
			return value;
	}
	return NULL;
}

/* The first of a NULL-terminated list of paths that leads to a text which is not blank. */
static const char *
first_text(const json_t *payload, const char *const *paths, const char **out_path)
{
	for (; *paths != NULL; paths++)
	{
		const char *text = json_string_value(at_path(payload, *paths));
		size_t blank;

		for (const char *at = text; at != NULL && *at != '\0'; at += blank)
		{
			blank = aut_blank_at(at);
			if (blank > 0)
				continue;
			if (out_path != NULL)
				*out_path = *paths;
			return text;
		}
	}
	return NULL;
}

/* The URL beside the body that was found: comment.body has comment.html_url. */
static const char *
url_beside(const json_t *payload, const char *body_path)
{
	size_t len = strcspn(body_path, ".");
	char path[64];
	const char *const paths[] = {path, NULL};

	if (body_path[len] == '\0')
		return NULL;
	(void) snprintf(path, sizeof path, "%.*s.html_url", (int) len, body_path);
	return first_text(payload, paths, NULL);
}

static void
put_header(const char *source, const char *key, const json_t *payload, bool commented, aut_buf *out)
{
	static const char *const authors[] = {
		"comment.user.login",      "review.user.login", "sender.login", "issue.user.login",
		"pull_request.user.login", "event.user",        "user",         NULL};
	static const char *const repos[] = {"repository.full_name", NULL};
	static const char *const numbers[] = {"issue.number", "pull_request.number",
										  "discussion.number"};
	const char *author = first_text(payload, authors, NULL);
	const char *repo = first_text(payload, repos, NULL);
	const json_t *number = NULL;

	for (size_t i = 0; number == NULL && i < sizeof numbers / sizeof numbers[0]; i++)
		number = at_path(payload, numbers[i]);
	if (author != NULL)
		(void) aut_buf_printf(out, "@%s", author);
	else
		(void) aut_buf_puts(out, "Someone");
	if (commented)
		(void) aut_buf_puts(out, " commented on ");
	else
		(void) aut_buf_printf(out, " (`%s`) on ", key);
	if (repo == NULL)
		(void) aut_buf_printf(out, "a %s event (`%s`)", source, key);
	else if (json_is_integer(number))
		(void) aut_buf_printf(out, "%s#%" JSON_INTEGER_FORMAT, repo, json_integer_value(number));
	else
		(void) aut_buf_puts(out, repo);
	(void) aut_buf_puts(out, ":\n\n");
}

static void
put_payload(const char *source, const char *key, const json_t *payload, aut_buf *out)
{
	size_t size = json_dumpb(payload, NULL, 0, JSON_SORT_KEYS | JSON_INDENT(2) | JSON_ENCODE_ANY);
	char *text = NULL;

	(void) aut_buf_printf(out, "A %s event (`%s`) arrived:\n\n```json\n", source, key);
	if (size > 0 && size <= AUT_TURN_TEXT_MAX)
		text = aut_malloc(size);
	if (size > AUT_TURN_TEXT_MAX)
		out->status = AUT_ELIMIT;
	else if (text == NULL || json_dumpb(payload, text, size,
										JSON_SORT_KEYS | JSON_INDENT(2) | JSON_ENCODE_ANY) != size)
		out->status = AUT_ENOMEM;
	else
		(void) aut_buf_append(out, text, size);
	aut_free(text);
	(void) aut_buf_puts(out, "\n```");
}

aut_status
aut_turn_text_default(const char *source, const char *key, const json_t *payload, char **out,
					  aut_error *err)
{
	static const char *const bodies[] = {"comment.body",
										 "review.body",
										 "issue.body",
										 "pull_request.body",
										 "discussion.body",
										 "event.text",
										 "message.text",
										 "text",
										 NULL};
	const char *path = "";
	const char *body = first_text(payload, bodies, &path);
	char *made = NULL;
	aut_status status;
	aut_buf text;

	aut_buf_init(&text, AUT_TURN_TEXT_MAX);
	if (body != NULL)
	{
		const char *url = url_beside(payload, path);

		put_header(source, key, payload,
				   strcmp(path, "comment.body") == 0 || strcmp(path, "review.body") == 0, &text);
		(void) aut_buf_puts(&text, body);
		if (url != NULL)
			(void) aut_buf_printf(&text, "\n\n%s", url);
	}
	else
		put_payload(source, key, payload, &text);
	status = text.status;
	if (status == AUT_OK)
	{
		made = aut_buf_take(&text, NULL);
		if (made == NULL)
			status = AUT_ENOMEM;
	}
	aut_buf_done(&text);
	if (status != AUT_OK)
		return aut_fail(err, status,
						status == AUT_ELIMIT ? "the text of a turn is longer than 1 MiB"
											 : "out of memory while writing a turn");
	*out = made;
	return AUT_OK;
}

/* ---- conversations ------------------------------------------------------------------------------- */

aut_status
aut_conversation_id(const aut_uuid *org_id, const aut_uuid *automation_id, const char *source,
					const char *subject_key, aut_uuid *out, aut_error *err)
{
	/* the contract's namespace d7f3a2b1-5c48-4e9a-9b6d-2f1e8c3a7d40 */
	static const aut_uuid name_space = {{0xd7, 0xf3, 0xa2, 0xb1, 0x5c, 0x48, 0x4e, 0x9a, 0x9b, 0x6d,
										 0x2f, 0x1e, 0x8c, 0x3a, 0x7d, 0x40}};
	char org[AUT_UUID_TEXT_MAX];
	char automation[AUT_UUID_TEXT_MAX];
	char *name = aut_printf("%s/%s/%s/%s", aut_uuid_format(org_id, org),
							aut_uuid_format(automation_id, automation), source, subject_key);
	aut_status status;

	if (name == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory while naming a conversation");
	status = aut_uuid_v5(&name_space, name, strlen(name), out, err);
	aut_free(name);
	return status;
}
