/* SPDX-License-Identifier: MIT */
/*
 * core/match/jmespath_json.c - values from JSON and back.
 *
 * The reader is Python's json.loads: integers of any size (up to 4300 digits, as there), NaN,
 * Infinity and -Infinity, numbers beyond a double are infinite, control characters in texts are
 * refused, the last of duplicate keys wins.  A surrogate without its other half, which UTF-8 cannot
 * say, becomes U+FFFD.  It is used for literals in expressions, and for payloads whose text is kept.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/match/jmespath.h"

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct reader
{
	aut__work *work;
	const char *text;
	size_t len, at;
	int depth;
} reader;

static const aut__value *read_value(reader *in);

static void
skip_blanks(reader *in)
{
	while (in->at < in->len && (in->text[in->at] == ' ' || in->text[in->at] == '\n' ||
								in->text[in->at] == '\r' || in->text[in->at] == '\t'))
		in->at++;
}

/* Blanks, then this character: step over it. */
static bool
take(reader *in, char c)
{
	skip_blanks(in);
	if (in->at >= in->len || in->text[in->at] != c)
		return false;
	in->at++;
	return true;
}

static bool
take_word(reader *in, const char *word)
{
	size_t n = strlen(word);

	if (in->len - in->at < n || memcmp(in->text + in->at, word, n) != 0)
		return false;
	in->at += n;
	return true;
}

/* Four hexadecimal digits at p, or -1. */
static int32_t
hex4(const char *p, size_t len)
{
	int32_t value = 0;

	if (len < 4)
		return -1;
	for (size_t i = 0; i < 4; i++)
	{
		static const char digits[] = "0123456789abcdef";
		char c = p[i] >= 'A' && p[i] <= 'F' ? (char) (p[i] + 32) : p[i];
		const char *found = c != '\0' ? strchr(digits, c) : NULL;

		if (found == NULL)
			return -1;
		value = value * 16 + (int32_t) (found - digits);
	}
	return value;
}

/* The rest of an escape \uXXXX, with its other half when it has one.  False: malformed. */
static bool
read_unicode(reader *in, char *out, size_t *used)
{
	int32_t point = hex4(in->text + in->at, in->len - in->at);

	if (point < 0)
		return false;
	in->at += 4;
	if (point >= 0xd800 && point < 0xdc00 && in->len - in->at >= 6 && in->text[in->at] == '\\' &&
		in->text[in->at + 1] == 'u')
	{
		int32_t low = hex4(in->text + in->at + 2, in->len - in->at - 2);

		if (low >= 0xdc00 && low < 0xe000)
		{
			point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
			in->at += 6;
		}
	}
	if (point >= 0xd800 && point < 0xe000)
		point = 0xfffd;
	*used += aut__utf8_write((uint32_t) point, out + *used);
	return true;
}

static bool
read_escape(reader *in, char *out, size_t *used)
{
	static const char from[] = "\"\\/bfnrt";
	static const char to[] = "\"\\/\b\f\n\r\t";
	const char *found;
	char c;

	if (in->at >= in->len)
		return false;
	c = in->text[in->at++];
	if (c == 'u')
		return read_unicode(in, out, used);
	found = c != '\0' ? strchr(from, c) : NULL;
	if (found == NULL)
		return false;
	out[(*used)++] = to[found - from];
	return true;
}

#define EACH(byte)      (UINT64_C(0x0101010101010101) * (byte))
#define HAS_ZERO(eight) (((eight) -EACH(1)) & ~(eight) &EACH(0x80))

/* Is there a quote, a backslash or a control character among eight bytes?  (A byte below 0x20 is one whose upper
 * three bits are zero.) */
static bool
is_special(const char *eight_bytes)
{
	uint64_t eight;

	memcpy(&eight, eight_bytes, sizeof eight);
	return (HAS_ZERO(eight ^ EACH('"')) | HAS_ZERO(eight ^ EACH('\\')) |
			HAS_ZERO(eight & EACH(0xe0))) != 0;
}

/* Behind the opening quote.  A text without escapes is shared with the document. */
static bool
read_text(reader *in, const char **out, size_t *out_len)
{
	size_t start = in->at;
	size_t end = start;
	bool escaped = false;
	size_t used = 0;
	char *made;

	while (end < in->len && in->text[end] != '"' && (unsigned char) in->text[end] >= 0x20)
	{
		if (in->len - end >= 8 && !is_special(in->text + end))
		{
			end += 8;
			continue;
		}
		escaped = escaped || in->text[end] == '\\';
		end += in->text[end] == '\\' ? 2 : 1;
	}
	if (end >= in->len || in->text[end] != '"')
	{
		in->at = end < in->len ? end : in->len;
		return false;
	}
	if (!aut__spend(in->work, (end - start) / 64 + 1))
		return false;
	in->at = end + 1;
	*out = in->text + start;
	*out_len = end - start;
	if (!escaped)
		return true;
	made = aut__make(in->work, end - start); /* an escape never gets longer */
	if (made == NULL)
		return false;
	in->at = start;
	while (in->at < end)
	{
		char c = in->text[in->at++];

		if (c != '\\')
			made[used++] = c;
		else if (!read_escape(in, made, &used) || in->at > end)
			return false;
	}
	in->at = end + 1;
	*out = made;
	*out_len = used;
	return true;
}

static size_t
count_digits(const reader *in, size_t at)
{
	size_t n = 0;

	while (at + n < in->len && in->text[at + n] >= '0' && in->text[at + n] <= '9')
		n++;
	return n;
}

static const aut__value *
read_real(reader *in, size_t start)
{
	char room[64];
	char *text = room;
	size_t len = in->at - start;

	if (len >= sizeof room && (text = aut__make(in->work, len + 1)) == NULL)
		return NULL;
	memcpy(text, in->text + start, len);
	text[len] = '\0';
	return aut__real(in->work, strtod(text, NULL));
}

static const aut__value *
read_number(reader *in)
{
	size_t start = in->at;
	bool negative = in->text[start] == '-';
	size_t digits_at = start + (negative ? 1 : 0);
	size_t digits = count_digits(in, digits_at);
	bool real = false;
	size_t end, more;

	if (digits == 0)
		return NULL;
	if (in->text[digits_at] == '0')
		digits = 1;
	end = digits_at + digits;
	if (end < in->len && in->text[end] == '.' && (more = count_digits(in, end + 1)) > 0)
	{
		real = true;
		end += 1 + more;
	}
	if (end < in->len && (in->text[end] == 'e' || in->text[end] == 'E'))
	{
		size_t sign =
			end + 1 < in->len && (in->text[end + 1] == '+' || in->text[end + 1] == '-') ? 1 : 0;

		more = count_digits(in, end + 1 + sign);
		if (more > 0)
		{
			real = true;
			end += 1 + sign + more;
		}
	}
	in->at = end;
	if (!aut__spend(in->work, (end - start) / 16))
		return NULL;
	if (real)
		return read_real(in, start);
	if (digits > AUT__JSON_DIGITS_MAX)
		return NULL;
	return aut__number_digits(in->work, negative, in->text + digits_at, digits);
}

static const aut__value *
read_array(reader *in)
{
	aut__list list = {0};

	if (take(in, ']'))
		return aut__list_done(in->work, &list);
	do
	{
		const aut__value *item = read_value(in);

		if (item == NULL || !aut__list_add(in->work, &list, item))
			return NULL;
	} while (take(in, ','));
	return take(in, ']') ? aut__list_done(in->work, &list) : NULL;
}

static const aut__value *
read_object(reader *in)
{
	aut__draft draft = {0};

	if (take(in, '}'))
		return aut__draft_done(in->work, &draft);
	do
	{
		const aut__value *key, *value;
		const char *text;
		size_t len;

		if (!take(in, '"') || !read_text(in, &text, &len) || !take(in, ':'))
			return NULL;
		key = aut__key(in->work, text, len);
		value = key != NULL ? read_value(in) : NULL;
		if (value == NULL || !aut__draft_put(in->work, &draft, key, value))
			return NULL;
	} while (take(in, ','));
	return take(in, '}') ? aut__draft_done(in->work, &draft) : NULL;
}

static const aut__value *
read_nested(reader *in, char open)
{
	const aut__value *value = NULL;

	if (in->depth >= AUT_JSON_DEPTH_MAX)
		aut__work_fail(in->work, AUT_ELIMIT, "JSON nests deeper than %d levels",
					   AUT_JSON_DEPTH_MAX);
	else
	{
		in->depth++;
		value = open == '[' ? read_array(in) : read_object(in);
		in->depth--;
	}
	return value;
}

static const aut__value *
read_value(reader *in)
{
	const char *text;
	size_t len;
	char c;

	skip_blanks(in);
	if (in->at >= in->len || !aut__spend(in->work, 1))
		return NULL;
	c = in->text[in->at];
	if (c == '{' || c == '[')
	{
		in->at++;
		return read_nested(in, c);
	}
	if (c == '"')
	{
		in->at++;
		return read_text(in, &text, &len) ? aut__text(in->work, text, len) : NULL;
	}
	if (take_word(in, "null"))
		return &aut__null;
	if (take_word(in, "true"))
		return &aut__true;
	if (take_word(in, "false"))
		return &aut__false;
	if (take_word(in, "NaN"))
		return aut__real(in->work, (double) NAN);
	if (take_word(in, "Infinity"))
		return aut__real(in->work, (double) INFINITY);
	if (take_word(in, "-Infinity"))
		return aut__real(in->work, (double) -INFINITY);
	return read_number(in);
}

const aut__value *
aut__json_read(aut__work *work, const char *text, size_t len, size_t *out_at)
{
	reader in = {.work = work, .text = text, .len = len};
	const aut__value *value = read_value(&in);

	skip_blanks(&in);
	if (out_at != NULL)
		*out_at = in.at;
	return in.at == len ? value : NULL;
}

/* ---- from jansson ----------------------------------------------------------------------------- */

static const aut__value *load(aut__work *work, json_t *json, int depth);

static const aut__value *
load_array(aut__work *work, json_t *json, int depth)
{
	size_t count = json_array_size(json);
	const aut__value **items = aut__make_array(work, count, sizeof *items);

	if (items == NULL)
		return NULL;
	for (size_t i = 0; i < count; i++)
	{
		items[i] = load(work, json_array_get(json, i), depth + 1);
		if (items[i] == NULL)
			return NULL;
	}
	return aut__array(work, items, count);
}

static const aut__value *
load_object(aut__work *work, json_t *json, int depth)
{
	aut__draft draft = {0};
	const char *name;
	json_t *member;

	json_object_foreach(json, name, member)
	{
		const aut__value *key = aut__key(work, name, strlen(name));
		const aut__value *value = key != NULL ? load(work, member, depth + 1) : NULL;

		if (value == NULL || !aut__draft_put(work, &draft, key, value))
			return NULL;
	}
	return aut__draft_done(work, &draft);
}

static const aut__value *
load(aut__work *work, json_t *json, int depth)
{
	if (depth > AUT_JSON_DEPTH_MAX)
	{
		aut__work_fail(work, AUT_ELIMIT, "the payload nests deeper than %d levels",
					   AUT_JSON_DEPTH_MAX);
		return NULL;
	}
	switch (json_typeof(json))
	{
		case JSON_OBJECT:
			return load_object(work, json, depth);
		case JSON_ARRAY:
			return load_array(work, json, depth);
		case JSON_STRING:
			return aut__text(work, json_string_value(json), json_string_length(json));
		case JSON_INTEGER:
			return aut__integer(work, json_integer_value(json));
		case JSON_REAL:
			return aut__real(work, json_real_value(json));
		case JSON_TRUE:
			return &aut__true;
		case JSON_FALSE:
			return &aut__false;
		case JSON_NULL:
			break;
	}
	return &aut__null;
}

const aut__value *
aut__json_load(aut__work *work, json_t *json)
{
	return json == NULL ? &aut__null : load(work, json, 0);
}

/* ---- writing ---------------------------------------------------------------------------------- */

static void
write_text(const aut__value *text, aut_buf *out)
{
	static const char from[] = "\"\\\b\f\n\r\t";
	static const char to[] = "\"\\bfnrt";
	size_t at = 0;

	aut_buf_putc(out, '"');
	while (at < text->len && out->status == AUT_OK)
	{
		uint32_t point = aut__code_point(text->as.text, text->len, &at);
		const char *found = point != 0 && point < 0x80 ? strchr(from, (int) point) : NULL;

		if (found != NULL)
			aut_buf_printf(out, "\\%c", to[found - from]);
		else if (point >= 0x20 && point < 0x7f)
			aut_buf_putc(out, (char) point);
		else if (point == 0x7f)
			aut_buf_putc(out, (char) point);
		else if (point < 0x10000)
			aut_buf_printf(out, "\\u%04x", (unsigned int) point);
		else
			aut_buf_printf(out, "\\u%04x\\u%04x", (unsigned int) (0xd7c0 + (point >> 10)),
						   (unsigned int) (0xdc00 + (point & 0x3ff)));
	}
	aut_buf_putc(out, '"');
}

static void
write_real(double value, aut_buf *out)
{
	char text[AUT__REAL_TEXT_MAX];

	aut__real_write(value, text);
	if (isnan(value))
		aut_buf_puts(out, "NaN");
	else if (isinf(value))
		aut_buf_puts(out, value < 0 ? "-Infinity" : "Infinity");
	else
		aut_buf_puts(out, text);
}

static void write_value(aut__work *work, const aut__value *value, aut_buf *out);

static void
write_container(aut__work *work, const aut__value *value, aut_buf *out)
{
	bool object = value->kind == AUT__OBJECT;

	aut_buf_putc(out, object ? '{' : '[');
	for (size_t i = 0; i < value->len && work->status == AUT_OK && out->status == AUT_OK; i++)
	{
		if (i > 0)
			aut_buf_putc(out, ',');
		if (object)
		{
			write_text(value->as.members->keys[i], out);
			aut_buf_putc(out, ':');
		}
		write_value(work, object ? value->as.members->values[i] : value->as.items[i], out);
	}
	aut_buf_putc(out, object ? '}' : ']');
}

static void
write_value(aut__work *work, const aut__value *value, aut_buf *out)
{
	size_t before = out->len;

	switch (value->kind)
	{
		case AUT__NULL:
			aut_buf_puts(out, "null");
			break;
		case AUT__BOOLEAN:
			aut_buf_puts(out, value->boolean ? "true" : "false");
			break;
		case AUT__INTEGER:
			aut_buf_printf(out, "%lld", (long long) value->as.integer);
			break;
		case AUT__BIG:
			aut_buf_puts(out, value->boolean ? "-" : "");
			aut_buf_append(out, value->as.text, value->len);
			break;
		case AUT__REAL:
			write_real(value->as.real, out);
			break;
		case AUT__STRING:
			write_text(value, out);
			break;
		case AUT__ARRAY:
		case AUT__OBJECT:
			write_container(work, value, out);
			aut__spend(work, value->len + 1);
			return;
		case AUT__EXPREF:
			aut__work_fail(work, AUT_EINVAL, "an expression (&) cannot be written as text");
			return;
	}
	aut__spend(work, (out->len - before) / 16 + 1);
}

bool
aut__json_write(aut__work *work, const aut__value *value, aut_buf *out)
{
	write_value(work, value, out);
	if (out->status == AUT_ELIMIT)
		return aut__work_fail(work, AUT_ELIMIT, "the expression makes a text of more than %zu KiB",
							  out->max / 1024);
	if (out->status != AUT_OK)
		return aut__work_fail(work, AUT_ENOMEM, "out of memory for an expression");
	return work->status == AUT_OK;
}

/* ---- to jansson -------------------------------------------------------------------------------- */

/* Can it be said? Else making it would fail half-way, for a reason that looks like lack of memory. */
static bool
can_make(const aut__value *value)
{
	bool can = true;

	switch (value->kind)
	{
		case AUT__REAL:
			return isfinite(value->as.real);
		case AUT__BIG:
		case AUT__EXPREF:
			return false;
		case AUT__ARRAY:
			for (size_t i = 0; i < value->len && can; i++)
				can = can_make(value->as.items[i]);
			break;
		case AUT__OBJECT:
			for (size_t i = 0; i < value->len && can; i++)
			{
				const aut__value *key = value->as.members->keys[i];

				can = (key->len == 0 || memchr(key->as.text, '\0', key->len) == NULL) &&
					  can_make(value->as.members->values[i]);
			}
			break;
		case AUT__NULL:
		case AUT__BOOLEAN:
		case AUT__INTEGER:
		case AUT__STRING:
			break;
	}
	return can;
}

static json_t *
make(const aut__value *value)
{
	json_t *json = NULL;
	bool good = true;

	switch (value->kind)
	{
		case AUT__NULL:
			return json_null();
		case AUT__BOOLEAN:
			return json_boolean(value->boolean);
		case AUT__INTEGER:
			return json_integer(value->as.integer);
		case AUT__REAL:
			return json_real(value->as.real);
		case AUT__STRING:
			return json_stringn_nocheck(value->as.text, value->len);
		case AUT__ARRAY:
			json = json_array();
			good = json != NULL;
			for (size_t i = 0; i < value->len && good; i++)
				good = json_array_append_new(json, make(value->as.items[i])) == 0;
			break;
		case AUT__OBJECT:
			json = json_object();
			good = json != NULL;
			for (size_t i = 0; i < value->len && good; i++)
			{
				const aut__value *key = value->as.members->keys[i];
				char *name = aut_strndup(key->as.text, key->len);

				good = name != NULL &&
					   json_object_set_new(json, name, make(value->as.members->values[i])) == 0;
				aut_free(name);
			}
			break;
		case AUT__BIG:
		case AUT__EXPREF:
			good = false;
			break;
	}
	if (!good)
	{
		json_decref(json);
		json = NULL;
	}
	return json;
}

json_t *
aut__json_make(aut__work *work, const aut__value *value)
{
	json_t *json;

	if (!can_make(value))
		return NULL;
	json = make(value);
	if (json == NULL)
		aut__work_fail(work, AUT_ENOMEM, "out of memory for an expression's result");
	return json;
}
