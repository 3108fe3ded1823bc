/* SPDX-License-Identifier: MIT */
/*
 * core/base/json.c - the few things every room does with JSON, over jansson.
 *
 * Parsing refuses what nests deeper than AUT_JSON_DEPTH_MAX with a flat scan, before jansson
 * recurses (a stack inside PostgreSQL is small).  Other refusals are jansson's: integers over 64
 * bits, numbers that overflow, NUL in keys and texts, lone surrogates, invalid UTF-8, anything
 * behind the document. Texts made here come from the process's allocator; values come from
 * jansson's, which this file never sets.
 *
 * What jansson does not get right when memory runs out: its lexer gathers each token in a buffer that
 * doubles, from 16 bytes on, and ignores that it could not.  The byte is lost; if it is the closing
 * quote, the decoder reads and writes past the ends of its buffers (2.14, lex_save and
 * lex_scan_string).  There is no way around it from outside: priming the buffer with a long first token
 * runs into the same fault, hooks into the allocator belong to the whole process, and comparing with
 * the text afterwards comes too late.  Only a parser of our own is sound; it is not worth having while
 * Linux kills a process rather than refusing it some dozen bytes.
 */
#include <string.h>

#include "automation/base.h"

/*
 * Where the document first nests too deeply, or -1.  Knows strings and brackets only; whatever
 * else is wrong is found by the parser, which sees the same bytes.
 */
static ptrdiff_t
too_deep_at(const char *text, size_t len)
{
	int depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < len; i++)
	{
		char c = text[i];

		if (in_string)
		{
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		}
		else if (c == '"')
			in_string = true;
		else if (c == '[' || c == '{')
		{
			if (++depth > AUT_JSON_DEPTH_MAX)
				return (ptrdiff_t) i;
		}
		else if ((c == ']' || c == '}') && depth > 0)
			depth--;
	}
	return -1;
}

/*
 * Did jansson fail for want of memory?  It says so in three ways: by its code, by no message at
 * all, and, when the copy of a string cannot be allocated, by complaining of a well-formed string
 * where one is welcome (a string that is really malformed gets a message of its own).
 */
static bool
failed_for_memory(const json_error_t *story, const char *text, size_t len)
{
	static const char value[] = "invalid token near '\"";
	static const char key[] = "string or '}' expected near '\"";
	bool at_quote =
		story->position > 0 && (size_t) story->position <= len && text[story->position - 1] == '"';

	/* texts that are too long to be shown are not */
	if (at_quote && (strcmp(story->text, "invalid token") == 0 ||
					 strcmp(story->text, "string or '}' expected") == 0))
		return true;
	return json_error_code(story) == json_error_out_of_memory || story->text[0] == '\0' ||
		   strncmp(story->text, value, sizeof value - 1) == 0 ||
		   strncmp(story->text, key, sizeof key - 1) == 0;
}

aut_status
aut_json_parse(const char *text, size_t len, json_t **out, aut_error *err)
{
	json_error_t story;
	json_t *value;
	ptrdiff_t deep;

	if (text == NULL || len == 0)
		return aut_fail(err, AUT_EBADREQ, "invalid JSON: the document is empty");
	deep = too_deep_at(text, len);
	if (deep >= 0)
		return aut_fail(err, AUT_EBADREQ,
						"invalid JSON: nested more than %d levels deep at byte %td",
						AUT_JSON_DEPTH_MAX, deep + 1);
	memset(&story, 0, sizeof story);
	value = json_loadb(text, len, JSON_DECODE_ANY, &story);
	if (value == NULL && failed_for_memory(&story, text, len))
		return aut_fail(err, AUT_ENOMEM, "out of memory while reading JSON of %zu bytes", len);
	if (value == NULL)
		return aut_fail(err, AUT_EBADREQ, "invalid JSON: %s at line %d, column %d", story.text,
						story.line, story.column);
	*out = value;
	return AUT_OK;
}

static int
append_chunk(const char *data, size_t len, void *payload)
{
	return aut_buf_append(payload, data, len) == AUT_OK ? 0 : -1;
}

char *
aut_json_text(const json_t *value, size_t *out_len)
{
	aut_buf buf;
	char *text = NULL;

	if (value == NULL)
		return NULL;
	/* The size of a value in memory bounds its text; the only failure here is memory. */
	aut_buf_init(&buf, SIZE_MAX);
	if (json_dump_callback(value, append_chunk, &buf, JSON_COMPACT | JSON_ENCODE_ANY) == 0)
		text = aut_buf_take(&buf, out_len);
	aut_buf_done(&buf);
	return text;
}

aut_status
aut_json_quote(aut_buf *out, const char *text, size_t len)
{
	static const char escaped[] = "\"\"\\\\\bb\ff\nn\rr\tt";
	size_t from = 0;

	if (out->status != AUT_OK)
		return out->status;
	if (!aut_utf8_valid(text, len))
		return out->status = AUT_EINVAL;
	aut_buf_putc(out, '"');
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) text[i];
		const char *pair = escaped;

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		aut_buf_append(out, text + from, i - from);
		from = i + 1;
		while (*pair != '\0' && *pair != text[i])
			pair += 2;
		if (*pair != '\0')
		{
			aut_buf_putc(out, '\\');
			aut_buf_putc(out, pair[1]);
		}
		else
			aut_buf_printf(out, "\\u%04x", c);
	}
	aut_buf_append(out, text + from, len - from);
	return aut_buf_putc(out, '"');
}

static size_t
skip_blank(const char *text, size_t len, size_t at)
{
	while (at < len && strchr(" \t\r\n", text[at]) != NULL && text[at] != '\0')
		at++;
	return at;
}

/* Behind the closing quote of the string whose inside begins at `at`; 0: there is none. */
static size_t
string_end(const char *text, size_t len, size_t at, bool *out_plain)
{
	*out_plain = true;
	for (; at < len && text[at] != '"'; at++)
	{
		if (text[at] < 0x20 || text[at] > 0x7e || text[at] == '\\')
			*out_plain = false; /* escapes and what is not ASCII are for the parser */
		if (text[at] == '\\')
			at++;
	}
	return at < len ? at + 1 : 0;
}

/* The value of a member that begins at `at`, when it is a plain string that fits. */
static bool
take_plain(const char *text, size_t len, size_t at, char *out, size_t size)
{
	bool plain = false;
	size_t end = at < len && text[at] == '"' ? string_end(text, len, at + 1, &plain) : 0;

	if (end == 0 || !plain || end - at - 2 >= size)
		return false;
	memcpy(out, text + at + 1, end - at - 2);
	out[end - at - 2] = '\0';
	return true;
}

bool
aut_json_peek(const char *text, size_t len, const char *name, char *out, size_t size)
{
	size_t at = skip_blank(text, len, 0), name_len = strlen(name);
	int depth = 0;
	bool found = false, key_is_next = false;

	if (at == len || text[at] != '{')
		return false;
	while (at < len)
	{
		char c = text[at];
		size_t begin = at + 1;
		bool plain, key = key_is_next && depth == 1;

		if (c != '"')
		{
			depth += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
			if (depth == 0)
				return found && c == '}' && skip_blank(text, len, begin) == len;
			key_is_next = c == '{' || c == ',' || (key_is_next && skip_blank(text, len, at) > at);
			at = begin;
			continue;
		}
		at = string_end(text, len, begin, &plain);
		if (at == 0 || (key && !plain))
			return false; /* a name may be written with escapes */
		if (key && at - begin - 1 == name_len && memcmp(text + begin, name, name_len) == 0)
		{
			at = skip_blank(text, len, at);
			if (found || at == len || text[at] != ':')
				return false; /* which of two counts is the parser's word */
			at = skip_blank(text, len, at + 1);
			found = take_plain(text, len, at, out, size);
			if (!found)
				return false;
			at = string_end(text, len, at + 1, &plain);
		}
		key_is_next = false;
	}
	return false;
}

const char *
aut_json_string(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

bool
aut_json_set(json_t *object, const char *key, json_t *take_value)
{
	/* both jansson's and ours: on failure the value is released */
	return take_value != NULL && json_object_set_new(object, key, take_value) == 0;
}

json_t *
aut_json_uuid(const aut_uuid *uuid_or_null)
{
	char text[AUT_UUID_TEXT_MAX];

	if (uuid_or_null == NULL)
		return json_null();
	return json_string(aut_uuid_format(uuid_or_null, text));
}

json_t *
aut_json_time(int64_t time_us)
{
	char text[AUT_TIME_TEXT_MAX];

	if (time_us == AUT_TIME_NONE)
		return json_null();
	return json_string(aut_time_format(time_us, text));
}

json_t *
aut_json_text_or_null(const char *text)
{
	aut_buf clean;
	json_t *value = NULL;
	size_t len;

	if (text == NULL)
		return json_null();
	len = strlen(text);
	if (aut_utf8_valid(text, len))
		return json_stringn_nocheck(text, len);
	aut_buf_init(&clean, SIZE_MAX);
	if (aut_utf8_sanitize(&clean, text, len) == AUT_OK)
		value = json_stringn_nocheck(clean.data, clean.len);
	aut_buf_done(&clean);
	return value;
}
