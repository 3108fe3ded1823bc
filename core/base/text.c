/* SPDX-License-Identifier: MIT */
/*
 * core/base/text.c - UTF-8 checks, quoting for a shell, percent-encoding, whole numbers.
 *
 * Pure functions over byte ranges.  UTF-8 is the strict one of RFC 3629: no surrogates, nothing
 * above U+10FFFF, no overlong forms - the same as jansson and PostgreSQL take, so that a text
 * accepted here is accepted there.
 */
#include <string.h>

#include "automation/base.h"

/* Length of the well-formed character that text begins with, or 0. */
static size_t
char_length(const unsigned char *text, size_t len)
{
	unsigned char lead = text[0];
	unsigned char low = 0x80;
	unsigned char high = 0xbf;
	size_t need;

	if (lead < 0x80)
		return 1;
	if (lead >= 0xc2 && lead <= 0xdf)
		need = 2;
	else if (lead >= 0xe0 && lead <= 0xef)
	{
		need = 3;
		if (lead == 0xe0)
			low = 0xa0; /* below would be overlong */
		if (lead == 0xed)
			high = 0x9f; /* above would be a surrogate */
	}
	else if (lead >= 0xf0 && lead <= 0xf4)
	{
		need = 4;
		if (lead == 0xf0)
			low = 0x90;
		if (lead == 0xf4)
			high = 0x8f;
	}
	else
		return 0;
	if (len < need || text[1] < low || text[1] > high)
		return 0;
	for (size_t i = 2; i < need; i++)
	{
		if (text[i] < 0x80 || text[i] > 0xbf)
			return 0;
	}
	return need;
}

bool
aut_utf8_valid(const char *text, size_t len)
{
	const unsigned char *at = (const unsigned char *) text;

	while (len > 0)
	{
		uint64_t eight;
		size_t step;

		/* Nearly all text is ASCII: eight bytes at a time. */
		while (len >= sizeof eight &&
			   (memcpy(&eight, at, sizeof eight), (eight & UINT64_C(0x8080808080808080)) == 0))
		{
			at += sizeof eight;
			len -= sizeof eight;
		}
		if (len == 0)
			break;
		step = char_length(at, len);
		if (step == 0)
			return false;
		at += step;
		len -= step;
	}
	return true;
}

size_t
aut_utf8_length(const char *text, size_t len)
{
	size_t count = 0;

	for (size_t i = 0; i < len; i++)
	{
		if (((unsigned char) text[i] & 0xc0) != 0x80)
			count++;
	}
	return count;
}

size_t
aut_utf8_boundary(const char *text, size_t len)
{
	const unsigned char *bytes = (const unsigned char *) text;

	/* Look back for the byte that begins the last character; a character has at most four. */
	for (size_t back = 1; back <= 4 && back <= len; back++)
	{
		unsigned char c = bytes[len - back];
		size_t need;

		if ((c & 0xc0) == 0x80)
			continue;
		if (c >= 0xf0)
			need = 4;
		else if (c >= 0xe0)
			need = 3;
		else if (c >= 0xc0)
			need = 2;
		else
			need = 1;
		return need > back ? len - back : len;
	}
	return len;
}

aut_status
aut_utf8_sanitize(aut_buf *out, const char *bytes, size_t len)
{
	const unsigned char *at = (const unsigned char *) bytes;
	size_t good = 0;

	while (len > 0)
	{
		size_t step = at[good] != 0 ? char_length(at + good, len) : 0;

		if (step != 0)
		{
			good += step;
			len -= step;
			continue;
		}
		(void) aut_buf_append(out, at, good);
		(void) aut_buf_puts(out, "\xef\xbf\xbd");
		at += good + 1;
		good = 0;
		len--;
	}
	return good != 0 ? aut_buf_append(out, at, good) : out->status;
}

aut_status
aut_shell_quote(aut_buf *out, const char *text, size_t len)
{
	size_t from = 0;

	if (out->status != AUT_OK)
		return out->status;
	/* No quoting lets a NUL through to a command line. */
	if (len != 0 && memchr(text, 0, len) != NULL)
		return out->status = AUT_EINVAL;
	(void) aut_buf_putc(out, '\'');
	for (size_t i = 0; i < len; i++)
	{
		if (text[i] != '\'')
			continue;
		(void) aut_buf_append(out, text + from, i - from);
		(void) aut_buf_puts(out, "'\\''");
		from = i + 1;
	}
	if (len != 0)
		(void) aut_buf_append(out, text + from, len - from);
	return aut_buf_putc(out, '\'');
}

static bool
is_unreserved(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
		   c == '.' || c == '_' || c == '~';
}

aut_status
aut_url_encode(aut_buf *out, const char *text, size_t len, const char *keep)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if (is_unreserved(text[i]) || (c != 0 && keep != NULL && strchr(keep, text[i]) != NULL))
			(void) aut_buf_putc(out, text[i]);
		else
		{
			char escape[3] = {'%', digits[c >> 4], digits[c & 15]};

			(void) aut_buf_append(out, escape, sizeof escape);
		}
	}
	return out->status;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
aut_url_decode(char *text, size_t *len, bool plus)
{
	size_t to = 0;

	for (size_t from = 0; from < *len; from++)
	{
		char c = text[from];

		if (c == '+' && plus)
			c = ' ';
		else if (c == '%')
		{
			int high = *len - from > 2 ? hex_value(text[from + 1]) : -1;
			int low = *len - from > 2 ? hex_value(text[from + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = (char) (high << 4 | low);
			from += 2;
		}
		if (c == '\0')
			return false;
		text[to++] = c;
	}
	/* The text was NUL-terminated, or at least *len long; ending it is safe only when it shrank. */
	if (to < *len)
		text[to] = '\0';
	*len = to;
	return true;
}

bool
aut_int_parse(const char *text, int64_t min, int64_t max, int64_t *out)
{
	bool minus;
	int64_t value = 0;

	if (text == NULL)
		return false;
	minus = *text == '-';
	if (minus)
		text++;
	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++)
	{
		if (*text < '0' || *text > '9')
			return false;
		/* built downward: the negative range is the larger one */
		if (__builtin_mul_overflow(value, 10, &value) ||
			__builtin_sub_overflow(value, *text - '0', &value))
			return false;
	}
	if (!minus && __builtin_sub_overflow((int64_t) 0, value, &value))
		return false;
	if (value < min || value > max)
		return false;
	*out = value;
	return true;
}
