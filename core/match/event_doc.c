/* SPDX-License-Identifier: MIT */
/*
 * core/match/event_doc.c - the JSON of deliveries, read as the reference reads it.
 *
 * What others send is not always strict JSON: NaN and infinities, integers of any length, halves of
 * surrogate pairs.  The reference takes them, so a delivery that held one worked there; here it works
 * too.  The tree is jansson's, which can hold none of these.  Such a number becomes a node of the
 * nearest value, which filters can compare, and the document notes what the node really stands for;
 * keys and stored texts are written from the note.
 *
 * Everything else is as strict as JSON: depth is bounded before anything recurses deeper, texts must be
 * UTF-8, control characters must be escaped, nothing may follow the document.  Of members with the same
 * name the last one counts.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "automation/event.h"

#define NUMBERS_MAX 1000 /* that no json_t can hold */
#define DIGITS_MAX  4300 /* of an integer; Python's own limit */
#define REAL_MAX    1000 /* characters of a number with point or exponent */

typedef struct reader
{
	const char *text;
	size_t len, at;
	int depth;
	aut_event_doc *doc;
	size_t room; /* of doc->numbers */
	aut_error *err;
	aut_status status; /* the first failure */
} reader;

/* ---- failing ---------------------------------------------------------------------------------- */

static json_t *
fail_at(reader *in, size_t at, const char *what)
{
	size_t line = 1;
	size_t start = 0;

	for (size_t i = 0; i < at && i < in->len; i++)
	{
		if (in->text[i] == '\n')
		{
			line++;
			start = i + 1;
		}
	}
	if (in->status == AUT_OK)
		in->status = aut_fail(in->err, AUT_EBADREQ, "invalid JSON at line %zu column %zu: %s", line,
							  at - start + 1, what);
	return NULL;
}

static json_t *
fail(reader *in, const char *what)
{
	return fail_at(in, in->at, what);
}

/* value, or the note that there was no memory for it. */
static json_t *
made(reader *in, json_t *value)
{
	if (value == NULL && in->status == AUT_OK)
		in->status = aut_fail(in->err, AUT_ENOMEM, "out of memory while reading JSON");
	return value;
}

/* ---- small things ------------------------------------------------------------------------------ */

static void
skip_blanks(reader *in)
{
	while (in->at < in->len && in->text[in->at] != '\0' &&
		   strchr(" \t\r\n", in->text[in->at]) != NULL)
		in->at++;
}

static bool
take(reader *in, const char *word)
{
	size_t len = strlen(word);

	if (in->len - in->at < len || memcmp(in->text + in->at, word, len) != 0)
		return false;
	in->at += len;
	return true;
}

static size_t
digits_at(const reader *in, size_t at)
{
	size_t end = at;

	while (end < in->len && in->text[end] >= '0' && in->text[end] <= '9')
		end++;
	return end - at;
}

/* ---- numbers ----------------------------------------------------------------------------------- */

/* A node for a number no json_t can hold: nearest is what it compares as. */
static json_t *
strange_number(reader *in, double nearest, const char *text, size_t len)
{
	aut_event_doc *doc = in->doc;
	json_t *node;

	if (doc->count == NUMBERS_MAX)
		return fail(in, "more than 1000 numbers beyond the range of a 64-bit machine");
	if (doc->count == in->room)
	{
		size_t room = in->room == 0 ? 4 : 2 * in->room;
		aut_event_number *grown = aut_realloc(doc->numbers, room * sizeof *grown);

		if (grown == NULL)
			return made(in, NULL);
		doc->numbers = grown;
		in->room = room;
	}
	node = made(in, json_real(nearest));
	if (node == NULL)
		return NULL;
	doc->numbers[doc->count] = (aut_event_number){node, aut_strndup(text, len)};
	if (doc->numbers[doc->count].text == NULL)
	{
		json_decref(node);
		return made(in, NULL);
	}
	doc->count++;
	return node;
}

static double
nearest_real(const char *text)
{
	double real = strtod(text, NULL);

	if (isinf(real))
		real = real < 0 ? -DBL_MAX : DBL_MAX;
	return real;
}

static json_t *
integer_value(reader *in, size_t start)
{
	size_t len = in->at - start;
	char text[DIGITS_MAX + 2];
	int64_t value;

	if (len > DIGITS_MAX)
		return fail_at(in, start, "an integer of more than 4300 digits");
	memcpy(text, in->text + start, len);
	text[len] = '\0';
	if (aut_int_parse(text, INT64_MIN, INT64_MAX, &value))
		return made(in, json_integer(value));
	return strange_number(in, nearest_real(text), text, len);
}

static json_t *
real_value(reader *in, size_t start)
{
	size_t len = in->at - start;
	char text[REAL_MAX + 1];
	double real;

	if (len > REAL_MAX)
		return fail_at(in, start, "a number of more than 1000 characters");
	memcpy(text, in->text + start, len);
	text[len] = '\0';
	real = strtod(text, NULL);
	if (!isinf(real))
		return made(in, json_real(real));
	return real < 0 ? strange_number(in, -DBL_MAX, "-inf", 4)
					: strange_number(in, DBL_MAX, "inf", 3);
}

static json_t *
number_value(reader *in)
{
	size_t start = in->at;
	bool whole = true;
	size_t digits;

	if (take(in, "-Infinity"))
		return strange_number(in, -DBL_MAX, "-inf", 4);
	(void) take(in, "-");
	digits = digits_at(in, in->at);
	if (digits == 0)
		return fail_at(in, start, "a value must be here");
	if (digits > 1 && in->text[in->at] == '0')
		digits = 1; /* what follows is reported as out of place */
	in->at += digits;
	if (in->at < in->len && in->text[in->at] == '.' && digits_at(in, in->at + 1) > 0)
	{
		whole = false;
		in->at += 1 + digits_at(in, in->at + 1);
	}
	if (in->at < in->len && (in->text[in->at] == 'e' || in->text[in->at] == 'E'))
	{
		size_t sign = in->at + 1 < in->len && strchr("+-", in->text[in->at + 1]) != NULL &&
							  in->text[in->at + 1] != '\0'
						  ? 1
						  : 0;

		digits = digits_at(in, in->at + 1 + sign);
		if (digits > 0)
		{
			whole = false;
			in->at += 1 + sign + digits;
		}
	}
	return whole ? integer_value(in, start) : real_value(in, start);
}

/* ---- texts ------------------------------------------------------------------------------------- */

/* Four hexadecimal digits at in->at, or -1. */
static int32_t
hex4(const reader *in)
{
	int32_t value = 0;

	if (in->len - in->at < 4)
		return -1;
	for (size_t i = 0; i < 4; i++)
	{
		char c = in->text[in->at + i];
		int32_t digit = c >= '0' && c <= '9'   ? c - '0'
						: c >= 'a' && c <= 'f' ? c - 'a' + 10
						: c >= 'A' && c <= 'F' ? c - 'A' + 10
											   : -1;

		if (digit < 0)
			return -1;
		value = value * 16 + digit;
	}
	return value;
}

static void
put_char(aut_buf *out, uint32_t code)
{
	if (code == 0 || (code >= 0xd800 && code < 0xe000))
		code = 0xfffd; /* nothing a database could keep */
	if (code < 0x80)
		(void) aut_buf_putc(out, (char) code);
	else if (code < 0x800)
		(void) aut_buf_printf(out, "%c%c", (int) (0xc0 | code >> 6), (int) (0x80 | (code & 0x3f)));
	else if (code < 0x10000)
		(void) aut_buf_printf(out, "%c%c%c", (int) (0xe0 | code >> 12),
							  (int) (0x80 | (code >> 6 & 0x3f)), (int) (0x80 | (code & 0x3f)));
	else
		(void) aut_buf_printf(out, "%c%c%c%c", (int) (0xf0 | code >> 18),
							  (int) (0x80 | (code >> 12 & 0x3f)), (int) (0x80 | (code >> 6 & 0x3f)),
							  (int) (0x80 | (code & 0x3f)));
}

/* Behind a \u: its character, with the second half of a pair. */
static bool
unicode_escape(reader *in, aut_buf *out)
{
	int32_t code = hex4(in);

	if (code < 0)
		return fail(in, "\\u must be followed by four hexadecimal digits") != NULL;
	in->at += 4;
	if (code >= 0xd800 && code < 0xdc00 && in->len - in->at >= 6 &&
		memcmp(in->text + in->at, "\\u", 2) == 0)
	{
		int32_t low;

		in->at += 2;
		low = hex4(in);
		if (low >= 0xdc00 && low < 0xe000)
		{
			code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
			in->at += 4;
		}
		else
			in->at -= 2;
	}
	put_char(out, (uint32_t) code);
	return true;
}

/* Behind a backslash. */
static bool
escape(reader *in, aut_buf *out)
{
	static const char from[] = "\"\\/bfnrt";
	static const char to[] = "\"\\/\b\f\n\r\t";
	char c = in->at < in->len ? in->text[in->at] : '\0';
	const char *found = c != '\0' ? strchr(from, c) : NULL;

	if (c == 'u')
	{
		in->at++;
		return unicode_escape(in, out);
	}
	if (found == NULL)
		return fail(in, "an escape that does not exist") != NULL;
	in->at++;
	(void) aut_buf_putc(out, to[found - from]);
	return true;
}

/* The text that begins at in->at behind its quote, into out; in->at ends behind the closing one. */
static bool
text_into(reader *in, aut_buf *out)
{
	size_t start = in->at - 1;

	for (;;)
	{
		size_t from = in->at;

		while (in->at < in->len && in->text[in->at] != '"' && in->text[in->at] != '\\' &&
			   (unsigned char) in->text[in->at] >= 0x20)
			in->at++;
		(void) aut_buf_append(out, in->text + from, in->at - from);
		if (in->at >= in->len)
			return fail_at(in, start, "a text that does not end") != NULL;
		if ((unsigned char) in->text[in->at] < 0x20)
			return fail(in, "a control character in a text must be escaped") != NULL;
		if (in->text[in->at++] == '"')
			break;
		if (!escape(in, out))
			return false;
	}
	if (out->status != AUT_OK)
		(void) made(in, NULL);
	return out->status == AUT_OK;
}

static json_t *
text_value(reader *in)
{
	json_t *value = NULL;
	aut_buf text;

	aut_buf_init(&text, in->len);
	in->at++;
	if (text_into(in, &text))
		value = made(in, json_stringn_nocheck(text.data != NULL ? text.data : "", text.len));
	aut_buf_done(&text);
	return value;
}

/* ---- values ------------------------------------------------------------------------------------ */

static json_t *read_value(reader *in);

/* Behind an element: is there another one?  `close` ends the container. */
static bool
another(reader *in, char close, bool *out_more)
{
	skip_blanks(in);
	if (in->at < in->len && in->text[in->at] == close)
	{
		in->at++;
		*out_more = false;
		return true;
	}
	if (in->at >= in->len || in->text[in->at] != ',')
		return fail(in, close == '}' ? "a comma or } must be here" : "a comma or ] must be here") !=
			   NULL;
	in->at++;
	skip_blanks(in);
	*out_more = true;
	return true;
}

static bool
empty_container(reader *in, char close)
{
	in->at++;
	skip_blanks(in);
	if (in->at >= in->len || in->text[in->at] != close)
		return false;
	in->at++;
	return true;
}

static json_t *
array_value(reader *in)
{
	json_t *array = made(in, json_array());
	bool more = array != NULL && !empty_container(in, ']');
	bool good = array != NULL;

	while (good && more)
	{
		json_t *item = read_value(in);

		good = item != NULL;
		if (good && json_array_append_new(array, item) != 0)
			good = made(in, NULL) != NULL;
		good = good && another(in, ']', &more);
	}
	if (good)
		return array;
	json_decref(array);
	return NULL;
}

static bool
member_into(reader *in, json_t *object)
{
	json_t *item = NULL;
	bool good = false;
	aut_buf name;

	aut_buf_init(&name, in->len);
	if (in->at >= in->len || in->text[in->at] != '"')
		(void) fail(in, "the name of a member must be here, in double quotes");
	else
	{
		in->at++;
		good = text_into(in, &name);
	}
	if (good)
	{
		skip_blanks(in);
		good = take(in, ":") || fail(in, "a colon must be here") != NULL;
	}
	if (good)
	{
		skip_blanks(in);
		item = read_value(in);
		good = item != NULL;
	}
	if (good && json_object_setn_new_nocheck(object, name.data != NULL ? name.data : "", name.len,
											 item) != 0)
		good = made(in, NULL) != NULL;
	aut_buf_done(&name);
	return good;
}

static json_t *
object_value(reader *in)
{
	json_t *object = made(in, json_object());
	bool more = object != NULL && !empty_container(in, '}');
	bool good = object != NULL;

	while (good && more)
		good = member_into(in, object) && another(in, '}', &more);
	if (good)
		return object;
	json_decref(object);
	return NULL;
}

static json_t *
container_value(reader *in)
{
	json_t *value;

	if (in->depth == AUT_JSON_DEPTH_MAX)
		return fail(in, "nested deeper than 64 levels");
	in->depth++;
	value = in->text[in->at] == '{' ? object_value(in) : array_value(in);
	in->depth--;
	return value;
}

static json_t *
read_value(reader *in)
{
	char c = in->at < in->len ? in->text[in->at] : '\0';

	if (c == '{' || c == '[')
		return container_value(in);
	if (c == '"')
		return text_value(in);
	if (take(in, "null"))
		return json_null();
	if (take(in, "true"))
		return json_true();
	if (take(in, "false"))
		return json_false();
	if (take(in, "NaN"))
		return strange_number(in, DBL_MAX, "nan", 3);
	if (take(in, "Infinity"))
		return strange_number(in, DBL_MAX, "inf", 3);
	return number_value(in);
}

static int
by_node(const void *left, const void *right)
{
	uintptr_t a = (uintptr_t) ((const aut_event_number *) left)->node;
	uintptr_t b = (uintptr_t) ((const aut_event_number *) right)->node;

	return a < b ? -1 : a > b ? 1 : 0;
}

aut_status
aut_event_doc_read(const char *text, size_t len, aut_event_doc *out, aut_error *err)
{
	aut_event_doc doc = {NULL, NULL, 0};
	reader in = {.text = text, .len = len, .doc = &doc, .err = err};

	if (len > AUT_EVENT_BODY_MAX)
		return aut_fail(err, AUT_ELIMIT, "an event may have at most %d bytes", AUT_EVENT_BODY_MAX);
	if (!aut_utf8_valid(text, len))
		return aut_fail(err, AUT_EBADREQ, "invalid JSON: it is not UTF-8");
	(void) take(&in, "\xef\xbb\xbf");
	skip_blanks(&in);
	doc.root = read_value(&in);
	skip_blanks(&in);
	if (doc.root != NULL && in.at != len)
		(void) fail(&in, "something follows the document");
	if (in.status == AUT_OK)
	{
		if (doc.count > 1)
			qsort(doc.numbers, doc.count, sizeof *doc.numbers, by_node);
		*out = doc;
	}
	else
		aut_event_doc_done(&doc);
	return in.status;
}

void
aut_event_doc_done(aut_event_doc *doc)
{
	if (doc == NULL)
		return;
	for (size_t i = 0; i < doc->count; i++)
		aut_free(doc->numbers[i].text);
	aut_free(doc->numbers);
	json_decref(doc->root);
	*doc = (aut_event_doc){NULL, NULL, 0};
}

const char *
aut_event_doc_number(const aut_event_doc *doc, const json_t *node)
{
	aut_event_number wanted = {node, NULL};
	const aut_event_number *found = NULL;

	if (doc != NULL && doc->count > 0 && json_is_real(node))
		found = bsearch(&wanted, doc->numbers, doc->count, sizeof *doc->numbers, by_node);
	return found != NULL ? found->text : NULL;
}

/* ---- writing ----------------------------------------------------------------------------------- */

static void
write_text(aut_buf *out, const char *text, size_t len)
{
	size_t from = 0;

	(void) aut_buf_putc(out, '"');
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		(void) aut_buf_append(out, text + from, i - from);
		if (c >= 0x20)
			(void) aut_buf_printf(out, "\\%c", c);
		else if (c == '\n')
			(void) aut_buf_puts(out, "\\n");
		else
			(void) aut_buf_printf(out, "\\u%04x", c == 0 ? 0xfffd : c);
		from = i + 1;
	}
	(void) aut_buf_append(out, text + from, len - from);
	(void) aut_buf_putc(out, '"');
}

static void
write_real(const aut_event_doc *doc, const json_t *value, aut_buf *out)
{
	const char *strange = aut_event_doc_number(doc, value);
	char text[AUT_REAL_TEXT_MAX];

	if (strange == NULL)
		(void) aut_buf_puts(out, aut_real_text(json_real_value(value), text));
	else if (strange[strcspn(strange, "in")] != '\0') /* inf, nan: JSON has no word for them */
		(void) aut_buf_puts(out, "null");
	else
		(void) aut_buf_puts(out, strange);
}

/* Recurses as deep as the value is nested, which reading has bounded. */
static void
write_value(const aut_event_doc *doc, const json_t *value, aut_buf *out)
{
	void *iter;

	switch (json_typeof(value))
	{
		case JSON_OBJECT:
			(void) aut_buf_putc(out, '{');
			iter = json_object_iter((json_t *) (uintptr_t) value);
			while (iter != NULL)
			{
				write_text(out, json_object_iter_key(iter), json_object_iter_key_len(iter));
				(void) aut_buf_putc(out, ':');
				write_value(doc, json_object_iter_value(iter), out);
				iter = json_object_iter_next((json_t *) (uintptr_t) value, iter);
				if (iter != NULL)
					(void) aut_buf_putc(out, ',');
			}
			(void) aut_buf_putc(out, '}');
			break;
		case JSON_ARRAY:
			(void) aut_buf_putc(out, '[');
			for (size_t i = 0; i < json_array_size(value); i++)
			{
				if (i > 0)
					(void) aut_buf_putc(out, ',');
				write_value(doc, json_array_get(value, i), out);
			}
			(void) aut_buf_putc(out, ']');
			break;
		case JSON_STRING:
			write_text(out, json_string_value(value), json_string_length(value));
			break;
		case JSON_INTEGER:
			(void) aut_buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
			break;
		case JSON_REAL:
			write_real(doc, value, out);
			break;
		case JSON_TRUE:
			(void) aut_buf_puts(out, "true");
			break;
		case JSON_FALSE:
			(void) aut_buf_puts(out, "false");
			break;
		case JSON_NULL:
			(void) aut_buf_puts(out, "null");
			break;
	}
}

aut_status
aut_event_doc_write(const aut_event_doc *doc, const json_t *value, aut_buf *out)
{
	write_value(doc, value, out);
	return out->status;
}
