/* SPDX-License-Identifier: MIT */
/*
 * standalone/client_text.c - what people read: durations, times, and text that others wrote.
 *
 * Output of runs, names and error texts are hostile: a terminal obeys what it prints.  Everything that
 * reaches a terminal passes client_filter (streams) or client_escape (cells and lines).  Direction
 * overrides are escaped too: they make a line read otherwise than it is.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "standalone/client_priv.h"

#define US_PER_MIN  (60 * AUT_US_PER_S)
#define US_PER_HOUR (3600 * AUT_US_PER_S)
#define US_PER_DAY  (86400 * AUT_US_PER_S)

/* ---- durations and times -------------------------------------------------------------------- */

/* "5 min 3 s", without the small unit when it is zero. */
static void
two_units(char *out, int64_t big, const char *big_unit, int64_t small, const char *small_unit)
{
	if (small == 0)
		(void) snprintf(out, CLIENT_TEXT_MAX, "%" PRId64 " %s", big, big_unit);
	else
		(void) snprintf(out, CLIENT_TEXT_MAX, "%" PRId64 " %s %" PRId64 " %s", big, big_unit, small,
						small_unit);
}

const char *
client_duration(int64_t us, char out[CLIENT_TEXT_MAX])
{
	if (us < 0) /* a clock was set back in between: say nothing rather than something odd */
		us = 0;
	if (us < AUT_US_PER_S)
		(void) snprintf(out, CLIENT_TEXT_MAX, "%" PRId64 " ms", us / AUT_US_PER_MS);
	else if (us < 10 * AUT_US_PER_S)
		(void) snprintf(out, CLIENT_TEXT_MAX, "%" PRId64 ".%" PRId64 " s", us / AUT_US_PER_S,
						us % AUT_US_PER_S / (AUT_US_PER_S / 10));
	else if (us < US_PER_MIN)
		(void) snprintf(out, CLIENT_TEXT_MAX, "%" PRId64 " s", us / AUT_US_PER_S);
	else if (us < US_PER_HOUR)
		two_units(out, us / US_PER_MIN, "min", us % US_PER_MIN / AUT_US_PER_S, "s");
	else if (us < US_PER_DAY)
		two_units(out, us / US_PER_HOUR, "h", us % US_PER_HOUR / US_PER_MIN, "min");
	else
		two_units(out, us / US_PER_DAY, "d", us % US_PER_DAY / US_PER_HOUR, "h");
	return out;
}

const char *
client_relative(int64_t time_us, int64_t now_us, char out[CLIENT_TEXT_MAX])
{
	bool future = time_us > now_us;
	uint64_t distance =
		future ? (uint64_t) time_us - (uint64_t) now_us : (uint64_t) now_us - (uint64_t) time_us;
	uint64_t seconds = distance / (uint64_t) AUT_US_PER_S;
	uint64_t value;
	const char *unit;

	if (seconds == 0)
	{
		(void) snprintf(out, CLIENT_TEXT_MAX, "now");
		return out;
	}
	if (seconds < 120)
	{
		value = seconds;
		unit = "s";
	}
	else if (seconds < 7200)
	{
		value = seconds / 60;
		unit = "min";
	}
	else if (seconds < 172800)
	{
		value = seconds / 3600;
		unit = "h";
	}
	else
	{
		value = seconds / 86400;
		unit = "d";
	}
	if (future)
		(void) snprintf(out, CLIENT_TEXT_MAX, "in %" PRIu64 " %s", value, unit);
	else
		(void) snprintf(out, CLIENT_TEXT_MAX, "%" PRIu64 " %s ago", value, unit);
	return out;
}

const char *
client_absolute(int64_t time_us, bool utc, char out[CLIENT_TEXT_MAX])
{
	time_t seconds = (time_t) (time_us / AUT_US_PER_S);
	struct tm parts;

	if (time_us < 0 && time_us % AUT_US_PER_S != 0)
		seconds--;
	if ((utc ? gmtime_r(&seconds, &parts) : localtime_r(&seconds, &parts)) == NULL ||
		strftime(out, CLIENT_TEXT_MAX, utc ? "%Y-%m-%d %H:%M:%SZ" : "%Y-%m-%d %H:%M:%S %z",
				 &parts) == 0)
		(void) snprintf(out, CLIENT_TEXT_MAX, "?");
	return out;
}

const char *
client_when(const client *c, int64_t time_us, char out[CLIENT_TEXT_MAX])
{
	if (time_us == AUT_TIME_NONE)
	{
		(void) snprintf(out, CLIENT_TEXT_MAX, "-");
		return out;
	}
	if (c->out_terminal && !c->args->utc)
		return client_relative(time_us, aut_now_us(c->clock), out);
	return client_absolute(time_us, c->args->utc, out);
}

int64_t
client_json_time(const json_t *object, const char *key)
{
	const char *text = aut_json_string(object, key);
	int64_t out;

	if (text == NULL || aut_time_parse(text, &out, NULL) != AUT_OK)
		return AUT_TIME_NONE;
	return out;
}

const char *
client_json_text(const json_t *object, const char *key, const char *fallback)
{
	const char *text = aut_json_string(object, key);

	return text != NULL ? text : fallback;
}

/* ---- hostile text ----------------------------------------------------------------------------- */

static void
escape_byte(unsigned char c, aut_buf *out)
{
	switch (c)
	{
		case '\n':
			(void) aut_buf_puts(out, "\\n");
			break;
		case '\r':
			(void) aut_buf_puts(out, "\\r");
			break;
		case '\t':
			(void) aut_buf_puts(out, "\\t");
			break;
		case '\b':
			(void) aut_buf_puts(out, "\\b");
			break;
		case '\a':
			(void) aut_buf_puts(out, "\\a");
			break;
		default:
			(void) aut_buf_printf(out, "\\x%02x", c);
			break;
	}
}

/* Length in bytes and code point of the character at text; 0 when it is not well-formed UTF-8. */
static size_t
decode(const char *text, size_t len, uint32_t *out)
{
	const unsigned char *at = (const unsigned char *) text;
	size_t need = at[0] < 0x80 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
	uint32_t point;

	if (need > len || !aut_utf8_valid(text, need))
		return 0;
	point = need == 1 ? at[0] : at[0] & (0x7fu >> need);
	for (size_t i = 1; i < need; i++)
		point = point << 6 | (at[i] & 0x3fu);
	*out = point;
	return need;
}

/* Characters that command a terminal or turn the direction of writing, above ASCII. */
static bool
is_commanding(uint32_t point)
{
	return (point >= 0x7f && point < 0xa0) || point == 0x200e || point == 0x200f ||
		   (point >= 0x2028 && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069);
}

/* One character of text; the number of bytes used. */
static size_t
put_char(const char *text, size_t len, bool lines, aut_buf *out)
{
	unsigned char c = (unsigned char) *text;
	uint32_t point = 0;
	size_t used;

	if (c < 0x20)
	{
		if (lines && (c == '\n' || c == '\t'))
			(void) aut_buf_putc(out, *text);
		else
			escape_byte(c, out);
		return 1;
	}
	used = decode(text, len, &point);
	if (used == 0)
	{
		escape_byte(c, out);
		return 1;
	}
	if (is_commanding(point))
		(void) aut_buf_printf(out, "\\u%04x", (unsigned) point);
	else
		(void) aut_buf_append(out, text, used);
	return used;
}

aut_status
client_escape(const char *text, size_t len, aut_buf *out)
{
	size_t at = 0;

	while (at < len)
		at += put_char(text + at, len - at, false, out);
	return out->status;
}

/* What looked like a colour and is none: its first byte is ESC, the rest are harmless. */
static void
flush_pending(client_filter *filter, aut_buf *out)
{
	if (filter->pending_len == 0)
		return;
	escape_byte(0x1b, out);
	(void) aut_buf_append(out, filter->pending + 1, filter->pending_len - 1);
	filter->pending_len = 0;
}

/* Take one byte into the pending sequence; false: it does not belong there. */
static bool
continue_sequence(client_filter *filter, char c, aut_buf *out)
{
	bool parameter = (c >= '0' && c <= '9') || c == ';' || c == ':';

	if (filter->pending_len == 1 ? c != '[' : !parameter && c != 'm')
		return false;
	if (filter->pending_len == sizeof filter->pending)
		return false;
	filter->pending[filter->pending_len++] = c;
	if (c == 'm')
	{
		(void) aut_buf_append(out, filter->pending, filter->pending_len);
		filter->pending_len = 0;
		filter->coloured = true;
	}
	return true;
}

aut_status
client_filter_put(client_filter *filter, const char *text, size_t len, aut_buf *out)
{
	size_t at = 0;

	while (at < len)
	{
		if (filter->pending_len > 0)
		{
			if (continue_sequence(filter, text[at], out))
			{
				at++;
				continue;
			}
			flush_pending(filter, out);
		}
		if (text[at] == 0x1b)
			filter->pending[filter->pending_len++] = text[at++];
		else
			at += put_char(text + at, len - at, true, out);
	}
	return out->status;
}

aut_status
client_filter_end(client_filter *filter, aut_buf *out)
{
	flush_pending(filter, out);
	if (filter->coloured)
		(void) aut_buf_puts(out, "\x1b[0m");
	filter->coloured = false;
	return out->status;
}

/* Columns a character takes on a terminal: the ranges that matter, not the whole Unicode table. */
static size_t
char_width(uint32_t point)
{
	if ((point >= 0x300 && point <= 0x36f) || (point >= 0x200b && point <= 0x200f) ||
		(point >= 0xfe00 && point <= 0xfe0f))
		return 0;
	if ((point >= 0x1100 && point <= 0x115f) || (point >= 0x2e80 && point <= 0xa4cf) ||
		(point >= 0xac00 && point <= 0xd7a3) || (point >= 0xf900 && point <= 0xfaff) ||
		(point >= 0xfe30 && point <= 0xfe6f) || (point >= 0xff00 && point <= 0xff60) ||
		(point >= 0xffe0 && point <= 0xffe6) || (point >= 0x1f300 && point <= 0x1faff) ||
		(point >= 0x20000 && point <= 0x3fffd))
		return 2;
	return 1;
}

size_t
client_text_width(const char *text, size_t len)
{
	size_t width = 0;
	size_t at = 0;

	while (at < len)
	{
		uint32_t point = 0;
		size_t used = decode(text + at, len - at, &point);

		width += used == 0 ? 1 : char_width(point);
		at += used == 0 ? 1 : used;
	}
	return width;
}

/* ---- standard output ---------------------------------------------------------------------------- */

aut_status
client_write(const void *data, size_t len, aut_error *err)
{
	int sys_errno;

	if ((len == 0 || fwrite(data, 1, len, stdout) == len) && fflush(stdout) == 0)
		return AUT_OK;
	sys_errno = errno;
	/* What could not be written waits in the stream, and would be complained about once more when the
	 * program ends: let go of it. */
	if (freopen("/dev/null", "w", stdout) == NULL)
		clearerr(stdout);
	return aut_fail_errno(err, AUT_EIO, sys_errno, "standard output");
}

aut_status
client_print_json(const client *c, const json_t *value, aut_error *err)
{
	client_filter filter = {.pending_len = 0};
	char *text = json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY);
	aut_buf out;
	aut_status status;

	aut_buf_init(&out, (size_t) CLIENT_REPLY_MAX * 8);
	if (text == NULL)
	{
		status = aut_fail(err, AUT_ENOMEM, "out of memory");
		goto out;
	}
	/* JSON escapes control characters itself, but not DEL, C1 and direction overrides. */
	if (c->out_terminal)
		(void) client_filter_put(&filter, text, strlen(text), &out);
	else
		(void) aut_buf_puts(&out, text);
	(void) aut_buf_putc(&out, '\n');
	status = out.status != AUT_OK ? aut_fail(err, out.status, "the answer is too large to print")
								  : client_write(out.data, out.len, err);
out:
	aut_buf_done(&out);
	free(text);
	return status;
}
