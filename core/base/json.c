/* SPDX-License-Identifier: MIT */
/*
 * core/base/json.c - the few things every room does with JSON, over jansson.
 *
 * Parsing refuses what nests deeper than AUT_JSON_DEPTH_MAX with a flat scan, before jansson
 * recurses (a stack inside PostgreSQL is small).  Other refusals are jansson's: integers over 64
 * bits, numbers that overflow, NUL in keys and texts, lone surrogates, invalid UTF-8, anything
 * behind the document. Texts made here come from the process's allocator; values come from
 * jansson's, which this file never sets.
 */
#include <string.h>

#include "automation/base.h"

/* What a flat look at a document says of it. */
typedef struct outline
{
	ptrdiff_t too_deep_at; /* where it first nests too deeply, or -1 */
	size_t longest;        /* bytes of its longest token, quotes and escapes included */
} outline;

/*
 * Knows strings, brackets and what stands between; whatever else is wrong is found by the parser,
 * which sees the same bytes.
 */
static outline
outline_of(const char *text, size_t len)
{
	outline found = {-1, 0};
	size_t start = 0; /* of the token under way */
	int depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < len; i++)
	{
		char c = text[i];
		bool ends = !in_string && strchr("[]{}:, \t\r\n", c) != NULL;

		if (in_string && c == '\\')
			i++;
		else if (c == '"')
		{
			if (!in_string)
				start = i;
			in_string = !in_string;
		}
		else if (!in_string && (c == '[' || c == '{'))
		{
			if (++depth > AUT_JSON_DEPTH_MAX && found.too_deep_at < 0)
				found.too_deep_at = (ptrdiff_t) i;
		}
		else if (!in_string && (c == ']' || c == '}') && depth > 0)
			depth--;
		if (ends)
			start = i + 1;
		else if (i + 1 - start > found.longest)
			found.longest = i + 1 - start;
	}
	return found;
}

/*
 * Did jansson fail for want of memory?  It says so in three ways: by its code, by no message at
 * all, and, when the copy of a string cannot be allocated, by complaining of a well-formed string
 * where one is welcome (a string that is really malformed gets a message of its own).
 */
static bool
failed_for_memory(const json_error_t *story)
{
	static const char value[] = "invalid token near '\"";
	static const char key[] = "string or '}' expected near '\"";

	return json_error_code(story) == json_error_out_of_memory || story->text[0] == '\0' ||
		   strncmp(story->text, value, sizeof value - 1) == 0 ||
		   strncmp(story->text, key, sizeof key - 1) == 0;
}

/*
 * jansson's lexer gathers each token in a buffer that only ever grows, and when it cannot grow, the byte
 * is dropped and nobody told: a string of the document could come back shorter than it was sent.
 * Hooks into its allocator would tell, but belong to the process (inside PostgreSQL, to others too).
 * So the document is read as the second element of a list whose first is a text as long as its
 * longest token.  Once that has come back whole the buffer is as large as any token needs, and does
 * not grow again.
 */
typedef struct feed
{
	const char *text;
	size_t len, at;  /* the document */
	size_t padding;  /* bytes of the first element still to come */
	int stage;       /* opening, padding, middle, document, closing, over */
	size_t stage_at; /* bytes given of a fixed text */
} feed;

static size_t
feed_fixed(feed *from, const char *fixed, char *out, size_t room)
{
	size_t n = strlen(fixed) - from->stage_at;

	n = n < room ? n : room;
	memcpy(out, fixed + from->stage_at, n);
	from->stage_at += n;
	return n;
}

static size_t
feed_bytes(void *out, size_t room, void *payload)
{
	static const char *const fixed[] = {"[\"", NULL, "\",\n", NULL, "\n]"};
	feed *from = payload;
	size_t used = 0;

	while (used < room && from->stage < 5)
	{
		char *to = (char *) out + used;
		size_t n;

		if (from->stage == 1)
		{
			n = from->padding < room - used ? from->padding : room - used;
			memset(to, ' ', n);
			from->padding -= n;
		}
		else if (from->stage == 3)
		{
			n = from->len - from->at < room - used ? from->len - from->at : room - used;
			memcpy(to, from->text + from->at, n);
			from->at += n;
		}
		else
			n = feed_fixed(from, fixed[from->stage], to, room - used);
		used += n;
		if (used < room)
		{
			from->stage++;
			from->stage_at = 0;
		}
	}
	return used;
}

/* The document's value, or NULL when it is none or memory ran out anywhere. */
static json_t *
parse_padded(const char *text, size_t len, size_t longest)
{
	feed from = {.text = text, .len = len, .padding = longest};
	json_t *list = json_load_callback(feed_bytes, &from, 0, NULL);
	json_t *value = NULL;

	if (json_array_size(list) == 2 && json_string_length(json_array_get(list, 0)) == longest)
		value = json_incref(json_array_get(list, 1));
	json_decref(list);
	return value;
}

aut_status
aut_json_parse(const char *text, size_t len, json_t **out, aut_error *err)
{
	json_error_t story;
	json_t *value;
	outline found;

	if (text == NULL || len == 0)
		return aut_fail(err, AUT_EBADREQ, "invalid JSON: the document is empty");
	found = outline_of(text, len);
	if (found.too_deep_at >= 0)
		return aut_fail(err, AUT_EBADREQ,
						"invalid JSON: nested more than %d levels deep at byte %td",
						AUT_JSON_DEPTH_MAX, found.too_deep_at + 1);
	value = parse_padded(text, len, found.longest);
	if (value != NULL)
	{
		*out = value;
		return AUT_OK;
	}
	/* Read it as it is for a message about it.  What is fine now failed for memory before. */
	memset(&story, 0, sizeof story);
	value = json_loadb(text, len, JSON_DECODE_ANY, &story);
	if (value != NULL || failed_for_memory(&story))
	{
		json_decref(value);
		return aut_fail(err, AUT_ENOMEM, "out of memory while reading JSON of %zu bytes", len);
	}
	return aut_fail(err, AUT_EBADREQ, "invalid JSON: %s at line %d, column %d", story.text, story.line,
					story.column);
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
