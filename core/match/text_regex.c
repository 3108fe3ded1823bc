/* SPDX-License-Identifier: MIT */
/*
 * core/match/text_regex.c - Python's regular expressions, written anew for PCRE2.
 *
 * Filters were written for Python's re.search.  The two languages look alike and differ in many small
 * ways: \Z, \p, \h, {,2}, POSIX classes, what may be repeated, where flags may stand.  So the pattern is
 * read by Python's rules, refused where Python refuses it, and each part is written out in a form that
 * means only one thing to PCRE2: characters as themselves or \x{…}, groups by number.
 *
 * Not covered: (?a) together with (?i) folds case beyond ASCII, \S inside a set does not leave out
 * U+001C to U+001F, and repetitions above 65535 count as without end.
 */
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <unictype.h>
#include <uniname.h>

#include "core/match/jmespath.h"

#define GROUPS_MAX  200
#define NESTING_MAX 100
#define REPEAT_MAX  65535 /* PCRE2's */
#define PYTHON_REPEAT_MAX UINT64_C(4294967295)
#define WIDTH_MAX   INT64_C(1000000000)

#define F_IGNORECASE 1u
#define F_MULTILINE  2u
#define F_DOTALL     4u
#define F_VERBOSE    8u
#define F_ASCII      16u
#define F_UNICODE    32u

/* How many characters a part matches. */
typedef struct width
{
	int64_t low, high;
} width;

typedef struct group
{
	const char *name; /* in the pattern; NULL: none */
	size_t name_len;
	bool open;
	width size;
} group;

typedef struct translator
{
	const char *text;
	size_t len, at;
	aut_buf *out;
	group groups[GROUPS_MAX + 1]; /* from 1 */
	uint32_t group_count;
	uint32_t asked_max; /* the largest group a condition asks for */
	unsigned int flags;
	unsigned int global; /* flags of the whole pattern */
	int depth;
	bool begun; /* something other than global flags was read */
	aut_status status;
	const char *reason;
} translator;

static width alternatives(translator *in);

static width
refuse(translator *in)
{
	if (in->status == AUT_OK)
		in->status = AUT_EINVAL;
	return (width){0, 0};
}

static width
too_much(translator *in, const char *reason)
{
	if (in->status == AUT_OK)
	{
		in->status = AUT_ELIMIT;
		in->reason = reason;
	}
	return (width){0, 0};
}

static int64_t
limited(int64_t value)
{
	return value < WIDTH_MAX ? value : WIDTH_MAX;
}

static bool
more(const translator *in)
{
	return in->at < in->len && in->status == AUT_OK;
}

static bool
peek(const translator *in, char c)
{
	return in->at < in->len && in->text[in->at] == c;
}

static bool
take(translator *in, char c)
{
	if (!peek(in, c))
		return false;
	in->at++;
	return true;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_octal(char c)
{
	return c >= '0' && c <= '7';
}

/* ---- characters -------------------------------------------------------------------------------- */

static void
put_point(translator *in, uint32_t point)
{
	bool plain = (point >= 'a' && point <= 'z') || (point >= 'A' && point <= 'Z') ||
				 (point >= '0' && point <= '9');

	if (plain)
		aut_buf_putc(in->out, (char) point);
	else
		aut_buf_printf(in->out, "\\x{%x}", (unsigned int) point);
}

/* PCRE2 knows one partner of i; Python takes all four for one when case is ignored. */
static void
put_literal(translator *in, uint32_t point)
{
	if ((in->flags & F_IGNORECASE) && !(in->flags & F_ASCII) &&
		(point == 'i' || point == 'I' || point == 0x130 || point == 0x131))
		aut_buf_puts(in->out, "[iI\\x{130}\\x{131}]");
	else
		put_point(in, point);
}

/* Exactly count hexadecimal digits; false: refused. */
static bool
hex(translator *in, size_t count, uint32_t *out)
{
	uint32_t value = 0;

	if (in->len - in->at < count)
	{
		refuse(in);
		return false;
	}
	for (size_t i = 0; i < count; i++)
	{
		char c = in->text[in->at++];
		uint32_t digit;

		if (is_digit(c))
			digit = (uint32_t) (c - '0');
		else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
			digit = (uint32_t) ((c | 0x20) - 'a' + 10);
		else
		{
			refuse(in);
			return false;
		}
		value = value << 4 | digit;
	}
	if (value > 0x10ffff)
	{
		refuse(in);
		return false;
	}
	*out = value;
	return true;
}

/* \N{NAME} */
static bool
named_character(translator *in, uint32_t *out)
{
	char name[UNINAME_MAX];
	const char *end;
	size_t len;

	if (!take(in, '{'))
	{
		refuse(in);
		return false;
	}
	end = memchr(in->text + in->at, '}', in->len - in->at);
	len = end != NULL ? (size_t) (end - (in->text + in->at)) : 0;
	if (end == NULL || len == 0 || len >= sizeof name)
	{
		refuse(in);
		return false;
	}
	memcpy(name, in->text + in->at, len);
	name[len] = '\0';
	in->at += len + 1;
	*out = unicode_name_character(name);
	if (*out == UNINAME_INVALID)
		refuse(in);
	return in->status == AUT_OK;
}

/* Escapes that are one character, in a set or not; the letter is behind us.  False: none, or refused. */
static bool
escaped_character(translator *in, char c, uint32_t *out)
{
	static const char from[] = "afnrtv\\";
	static const char to[] = "\a\f\n\r\t\v\\";
	const char *found = c != '\0' ? strchr(from, c) : NULL;

	if (found != NULL)
	{
		*out = (uint32_t) to[found - from];
		return true;
	}
	switch (c)
	{
		case 'x':
			return hex(in, 2, out);
		case 'u':
			return hex(in, 4, out);
		case 'U':
			return hex(in, 8, out);
		case 'N':
			return named_character(in, out);
		default:
			return false;
	}
}

/* Octal digits from at on, at most count. */
static uint32_t
octal(translator *in, size_t count)
{
	uint32_t value = 0;

	for (size_t i = 0; i < count && in->at < in->len && is_octal(in->text[in->at]); i++)
		value = value * 8 + (uint32_t) (in->text[in->at++] - '0');
	return value;
}

/* ---- classes ----------------------------------------------------------------------------------- */

/* \d \D \s \S \w \W; false: another letter. */
static bool
put_class(translator *in, char c, bool in_set)
{
	static const struct
	{
		char letter;
		const char *alone, *set, *ascii, *ascii_set;
	} classes[] = {
		{'d', "\\d", "\\d", "[0-9]", "0-9"},
		{'D', "\\D", "\\D", "[^0-9]", "\\x{0}-\\x{2f}\\x{3a}-\\x{10ffff}"},
		{'s', "[\\s\\x{1c}-\\x{1f}\\x{85}]", "\\s\\x{1c}-\\x{1f}\\x{85}", "[\\x{9}-\\x{d}\\x{20}]",
		 "\\x{9}-\\x{d}\\x{20}"},
		{'S', "[^\\s\\x{1c}-\\x{1f}\\x{85}]", "\\S", "[^\\x{9}-\\x{d}\\x{20}]",
		 "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{10ffff}"},
		{'w', "\\w", "\\w", "[A-Za-z0-9_]", "A-Za-z0-9_"},
		{'W', "\\W", "\\W", "[^A-Za-z0-9_]",
		 "\\x{0}-\\x{2f}\\x{3a}-\\x{40}\\x{5b}-\\x{5e}\\x{60}\\x{7b}-\\x{10ffff}"},
	};

	for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
	{
		bool ascii = (in->flags & F_ASCII) != 0;

		if (classes[i].letter != c)
			continue;
		if (in_set)
			aut_buf_puts(in->out, ascii ? classes[i].ascii_set : classes[i].set);
		else
			aut_buf_puts(in->out, ascii ? classes[i].ascii : classes[i].alone);
		return true;
	}
	return false;
}

/*
 * One member of a set.  True: a character, in *out.  False: a class, already written, or refused.
 */
static bool
set_member(translator *in, uint32_t *out)
{
	char c;

	if (!take(in, '\\'))
	{
		*out = aut__code_point(in->text, in->len, &in->at);
		return true;
	}
	if (in->at >= in->len)
	{
		refuse(in);
		return false;
	}
	c = in->text[in->at];
	if (is_octal(c))
	{
		*out = octal(in, 3);
		if (*out > 0377)
			refuse(in);
		return in->status == AUT_OK;
	}
	if ((unsigned char) c >= 0x80)
	{
		*out = aut__code_point(in->text, in->len, &in->at);
		return true;
	}
	in->at++;
	if (c == 'b')
	{
		*out = '\b';
		return true;
	}
	if (escaped_character(in, c, out))
		return true;
	if (in->status != AUT_OK || put_class(in, c, true))
		return false;
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c))
	{
		refuse(in);
		return false;
	}
	*out = (unsigned char) c;
	return true;
}

/* Behind '['. */
static void
set(translator *in)
{
	bool first = true;

	aut_buf_puts(in->out, take(in, '^') ? "[^" : "[");
	for (;; first = false)
	{
		uint32_t low = 0, high = 0;
		bool character;

		if (!more(in))
		{
			refuse(in);
			return;
		}
		if (!first && take(in, ']'))
			break;
		character = set_member(in, &low);
		if (in->status != AUT_OK)
			return;
		if (!peek(in, '-') || in->at + 1 >= in->len || in->text[in->at + 1] == ']')
		{
			if (character)
				put_point(in, low);
			continue;
		}
		in->at++;
		/* a class is no end of a range, on either side */
		if (!character || !set_member(in, &high) || high < low)
		{
			refuse(in);
			return;
		}
		put_point(in, low);
		aut_buf_putc(in->out, '-');
		put_point(in, high);
	}
	aut_buf_putc(in->out, ']');
}

/* ---- names and numbers ------------------------------------------------------------------------- */

/* A name up to end, which is stepped over. */
static bool
name(translator *in, char end, const char **out, size_t *out_len)
{
	const char *found = memchr(in->text + in->at, end, in->len - in->at);
	size_t from = in->at;
	size_t len = found != NULL ? (size_t) (found - (in->text + from)) : 0;

	if (len == 0)
	{
		refuse(in);
		return false;
	}
	*out = in->text + from;
	*out_len = len;
	in->at = from + len + 1;
	return true;
}

static bool
is_identifier(const char *text, size_t len)
{
	for (size_t at = 0; at < len;)
	{
		size_t from = at;
		uint32_t point = aut__code_point(text, len, &at);

		if (point != '_' && !(from == 0 ? uc_is_property_xid_start(point)
										: uc_is_property_xid_continue(point)))
			return false;
	}
	return len > 0;
}

static uint32_t
group_named(const translator *in, const char *text, size_t len)
{
	for (uint32_t i = 1; i <= in->group_count; i++)
	{
		if (in->groups[i].name != NULL && in->groups[i].name_len == len &&
			memcmp(in->groups[i].name, text, len) == 0)
			return i;
	}
	return 0;
}

static width
reference(translator *in, uint32_t number)
{
	if (number == 0 || number > in->group_count || in->groups[number].open)
		return refuse(in);
	aut_buf_printf(in->out, "\\g{%u}", (unsigned int) number);
	return in->groups[number].size;
}

/* ---- escapes ----------------------------------------------------------------------------------- */

/* \1 to \99, and octal. */
static width
numbered(translator *in)
{
	uint32_t value;

	if (in->text[in->at] == '0')
	{
		in->at++;
		put_literal(in, octal(in, 2));
		return (width){1, 1};
	}
	value = (uint32_t) (in->text[in->at++] - '0');
	if (in->at < in->len && is_digit(in->text[in->at]))
	{
		if (in->len - in->at >= 2 && value <= 7 && is_octal(in->text[in->at]) &&
			is_octal(in->text[in->at + 1]))
		{
			value = value * 64 + octal(in, 2);
			if (value > 0377)
				return refuse(in);
			put_literal(in, value);
			return (width){1, 1};
		}
		value = value * 10 + (uint32_t) (in->text[in->at++] - '0');
	}
	return reference(in, value);
}

#define ASCII_WORD "[A-Za-z0-9_]"

/* Behind '\'.  *out_place: it matches a place, which cannot be repeated. */
static width
escape(translator *in, bool *out_place)
{
	bool ascii = (in->flags & F_ASCII) != 0;
	uint32_t point;
	char c;

	if (in->at >= in->len)
		return refuse(in);
	c = in->text[in->at];
	if (is_digit(c))
		return numbered(in);
	if ((unsigned char) c >= 0x80)
	{
		put_literal(in, aut__code_point(in->text, in->len, &in->at));
		return (width){1, 1};
	}
	in->at++;
	*out_place = c == 'A' || c == 'Z' || c == 'b' || c == 'B';
	if (c == 'A')
		aut_buf_puts(in->out, "\\A");
	else if (c == 'Z')
		aut_buf_puts(in->out, "\\z");
	else if (c == 'b')
		aut_buf_puts(in->out, ascii ? "(?:(?<=" ASCII_WORD ")(?!" ASCII_WORD ")|(?<!" ASCII_WORD
									  ")(?=" ASCII_WORD "))"
									: "\\b");
	else if (c == 'B')
		/* in an empty text there is none, for Python */
		aut_buf_puts(in->out, ascii ? "(?:(?!\\A\\z)(?:(?<=" ASCII_WORD ")(?=" ASCII_WORD
									  ")|(?<!" ASCII_WORD ")(?!" ASCII_WORD ")))"
									: "(?:(?!\\A\\z)\\B)");
	if (*out_place)
		return (width){0, 0};
	if (put_class(in, c, false))
		return (width){1, 1};
	if (escaped_character(in, c, &point))
	{
		put_literal(in, point);
		return (width){1, 1};
	}
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		return refuse(in);
	put_literal(in, (unsigned char) c);
	return (width){1, 1};
}

/* ---- groups ------------------------------------------------------------------------------------ */

/* Alternatives and the ')' behind them. */
static width
group_rest(translator *in)
{
	width size = {0, 0};

	if (++in->depth > NESTING_MAX)
		return too_much(in, "its groups nest deeper than 100 levels");
	size = alternatives(in);
	in->depth--;
	if (in->status == AUT_OK && !take(in, ')'))
		return refuse(in);
	aut_buf_putc(in->out, ')');
	return size;
}

static width
capture(translator *in, const char *text, size_t len)
{
	uint32_t number;
	width size;

	if (in->group_count == GROUPS_MAX)
		return too_much(in, "it has more than 200 groups");
	if (text != NULL && (!is_identifier(text, len) || group_named(in, text, len) != 0))
		return refuse(in);
	number = ++in->group_count;
	in->groups[number] = (group){.name = text, .name_len = len, .open = true};
	aut_buf_putc(in->out, '(');
	size = group_rest(in);
	in->groups[number].open = false;
	in->groups[number].size = size;
	return size;
}

/* (?=, (?!, (?<=, (?<! */
static width
look(translator *in, const char *begin, bool behind)
{
	width size;

	aut_buf_puts(in->out, begin);
	size = group_rest(in);
	if (behind && size.low != size.high)
		return refuse(in);
	return (width){0, 0};
}

/* (?(1)yes|no), (?(name)yes|no) */
static width
condition(translator *in)
{
	const char *text;
	size_t len;
	int64_t number;
	width yes;

	if (!name(in, ')', &text, &len))
		return (width){0, 0};
	if (is_digit(text[0]))
	{
		char digits[8];

		if (len >= sizeof digits)
			return refuse(in);
		memcpy(digits, text, len);
		digits[len] = '\0';
		if (!aut_int_parse(digits, 1, 9999, &number))
			return refuse(in);
		if ((uint32_t) number > in->asked_max)
			in->asked_max = (uint32_t) number;
	}
	else
	{
		number = group_named(in, text, len);
		if (number == 0)
			return refuse(in);
	}
	aut_buf_printf(in->out, "(?(%u)", (unsigned int) number);
	/* at most two alternatives, which PCRE2 checks; without the second it may match nothing */
	yes = group_rest(in);
	return (width){0, yes.high};
}

static unsigned int
flag_of(char c)
{
	switch (c)
	{
		case 'i':
			return F_IGNORECASE;
		case 'm':
			return F_MULTILINE;
		case 's':
			return F_DOTALL;
		case 'x':
			return F_VERBOSE;
		case 'a':
			return F_ASCII;
		case 'u':
			return F_UNICODE;
		default:
			return 0; /* L, locales, is for bytes only */
	}
}

/* Letters of flags; false: refused. */
static bool
flag_letters(translator *in, unsigned int *out)
{
	while (more(in) && strchr(":-)", in->text[in->at]) == NULL)
	{
		unsigned int flag = flag_of(in->text[in->at++]);

		if (flag == 0)
		{
			refuse(in);
			return false;
		}
		*out |= flag;
	}
	return more(in);
}

static void
put_flags(translator *in, unsigned int on, unsigned int off)
{
	aut_buf_puts(in->out, "(?");
	for (int pass = 0; pass < 2; pass++)
	{
		unsigned int these = pass == 0 ? on : off;

		if (pass == 1 && (these & (F_IGNORECASE | F_MULTILINE | F_DOTALL)) != 0)
			aut_buf_putc(in->out, '-');
		if (these & F_IGNORECASE)
			aut_buf_putc(in->out, 'i');
		if (these & F_MULTILINE)
			aut_buf_putc(in->out, 'm');
		if (these & F_DOTALL)
			aut_buf_putc(in->out, 's');
	}
	aut_buf_putc(in->out, ':');
}

/* (?ims) of the whole pattern, (?ims-x:…) of a part.  *out_nothing: nothing that could be repeated. */
static width
flagged(translator *in, bool *out_nothing)
{
	unsigned int before = in->flags;
	unsigned int on = 0, off = 0;
	bool minus = false;
	width size;

	if (!flag_letters(in, &on))
		return refuse(in);
	if (take(in, ')'))
	{
		if (in->begun || in->depth > 0 || on == 0 ||
			((on | in->global) & (F_ASCII | F_UNICODE)) == (F_ASCII | F_UNICODE))
			return refuse(in);
		in->global |= on;
		in->flags |= on;
		*out_nothing = true;
		return (width){0, 0};
	}
	if (take(in, '-'))
	{
		minus = true;
		if (!flag_letters(in, &off) || off == 0)
			return refuse(in);
	}
	if (!take(in, ':') || (on == 0 && !minus) || (on & off) != 0 ||
		(off & (F_ASCII | F_UNICODE)) != 0 ||
		(on & (F_ASCII | F_UNICODE)) == (F_ASCII | F_UNICODE))
		return refuse(in);
	put_flags(in, on, off);
	in->flags = (in->flags | on) & ~off;
	if (on & F_UNICODE)
		in->flags &= ~F_ASCII;
	size = group_rest(in);
	in->flags = before;
	return size;
}

/* (?P…: Python's names */
static width
named(translator *in)
{
	const char *text;
	size_t len;

	if (take(in, '<'))
		return name(in, '>', &text, &len) ? capture(in, text, len) : refuse(in);
	if (take(in, '='))
		return name(in, ')', &text, &len) ? reference(in, group_named(in, text, len))
										  : refuse(in);
	return refuse(in);
}

/* Behind '('. */
static width
parenthesis(translator *in, bool *out_nothing)
{
	if (!take(in, '?'))
		return capture(in, NULL, 0);
	if (take(in, 'P'))
		return named(in);
	if (take(in, ':'))
	{
		aut_buf_puts(in->out, "(?:");
		return group_rest(in);
	}
	if (take(in, '>'))
	{
		aut_buf_puts(in->out, "(?>");
		return group_rest(in);
	}
	if (take(in, '='))
		return look(in, "(?=", false);
	if (take(in, '!'))
		return look(in, "(?!", false);
	if (take(in, '<'))
	{
		if (take(in, '='))
			return look(in, "(?<=", true);
		return take(in, '!') ? look(in, "(?<!", true) : refuse(in);
	}
	if (take(in, '('))
		return condition(in);
	if (take(in, '#'))
	{
		const char *end = memchr(in->text + in->at, ')', in->len - in->at);

		if (end == NULL)
			return refuse(in);
		in->at = (size_t) (end - in->text) + 1;
		*out_nothing = true;
		return (width){0, 0};
	}
	return flagged(in, out_nothing);
}

/* ---- repetition -------------------------------------------------------------------------------- */

typedef struct repeat
{
	uint64_t low, high;
	bool endless;
} repeat;

static uint64_t
count(translator *in, bool *out_any)
{
	uint64_t value = 0;

	*out_any = false;
	while (in->at < in->len && is_digit(in->text[in->at]))
	{
		*out_any = true;
		if (value < PYTHON_REPEAT_MAX)
			value = value * 10 + (uint64_t) (in->text[in->at] - '0');
		in->at++;
	}
	return value;
}

/* {m}, {m,}, {,n}, {m,n}; anything else that begins with '{' is a character. */
static bool
braces(translator *in, repeat *out)
{
	size_t from = in->at;
	bool any_low, any_high = false;

	in->at++;
	out->low = count(in, &any_low);
	out->high = out->low;
	out->endless = false;
	if (take(in, ','))
	{
		out->high = count(in, &any_high);
		out->endless = !any_high;
	}
	else if (!any_low)
		in->at = in->len; /* {} and {x */
	if (!take(in, '}'))
	{
		in->at = from;
		return false;
	}
	if (out->low >= PYTHON_REPEAT_MAX || (any_high && out->high >= PYTHON_REPEAT_MAX))
		too_much(in, "the repetition number is too large");
	else if (!out->endless && out->high < out->low)
		refuse(in);
	else if (out->low > REPEAT_MAX)
		too_much(in, "it repeats something more than 65535 times");
	return true;
}

/* A repetition at this place; false: none. */
static bool
repetition(translator *in, repeat *out)
{
	if (take(in, '*'))
		*out = (repeat){0, 0, true};
	else if (take(in, '+'))
		*out = (repeat){1, 0, true};
	else if (take(in, '?'))
		*out = (repeat){0, 1, false};
	else
		return peek(in, '{') && braces(in, out);
	return true;
}

static width
repeated(translator *in, const repeat *of, width one)
{
	bool endless = of->endless || of->high > REPEAT_MAX;

	if (endless)
		aut_buf_printf(in->out, "{%u,}", (unsigned int) of->low);
	else
		aut_buf_printf(in->out, "{%u,%u}", (unsigned int) of->low, (unsigned int) of->high);
	if (take(in, '?'))
		aut_buf_putc(in->out, '?');
	else if (take(in, '+'))
		aut_buf_putc(in->out, '+');
	return (width){limited(one.low * (int64_t) of->low),
				   endless ? (one.high == 0 ? 0 : WIDTH_MAX)
						   : limited(one.high * (int64_t) of->high)};
}

/* ---- sequences --------------------------------------------------------------------------------- */

static bool
skip_verbose(translator *in)
{
	if (!(in->flags & F_VERBOSE))
		return false;
	if (memchr(" \t\n\r\v\f", in->text[in->at], 6) != NULL)
	{
		in->at++;
		return true;
	}
	if (in->text[in->at] != '#')
		return false;
	while (in->at < in->len && in->text[in->at] != '\n')
		in->at++;
	return true;
}

/* One part.  *out_place: it cannot be repeated; *out_nothing: it is no part at all. */
static width
atom(translator *in, bool *out_place, bool *out_nothing)
{
	uint32_t point = aut__code_point(in->text, in->len, &in->at);

	switch (point)
	{
		case '\\':
			return escape(in, out_place);
		case '[':
			set(in);
			return (width){1, 1};
		case '(':
			return parenthesis(in, out_nothing);
		case '.':
			aut_buf_putc(in->out, '.');
			return (width){1, 1};
		case '^':
		case '$':
			*out_place = true;
			aut_buf_putc(in->out, (char) point);
			return (width){0, 0};
		default:
			put_literal(in, point);
			return (width){1, 1};
	}
}

/* Up to '|', ')' or the end. */
static width
sequence(translator *in)
{
	width total = {0, 0};
	width last = {0, 0};
	bool repeatable = false;
	bool was_repeated = false;

	while (more(in) && !peek(in, '|') && !peek(in, ')'))
	{
		bool place = false;
		bool nothing = false;
		repeat of = {0};

		if (skip_verbose(in))
			continue;
		if (repetition(in, &of))
		{
			width all;

			if (!repeatable || was_repeated)
				return refuse(in);
			all = repeated(in, &of, last);
			total = (width){limited(total.low - last.low + all.low),
							limited(total.high - last.high + all.high)};
			was_repeated = true;
			continue;
		}
		last = atom(in, &place, &nothing);
		if (nothing)
			continue;
		in->begun = true;
		repeatable = !place;
		was_repeated = false;
		total = (width){limited(total.low + last.low), limited(total.high + last.high)};
	}
	return total;
}

static width
alternatives(translator *in)
{
	width all = sequence(in);

	while (in->status == AUT_OK && take(in, '|'))
	{
		width one;

		in->begun = true;
		aut_buf_putc(in->out, '|');
		one = sequence(in);
		all.low = one.low < all.low ? one.low : all.low;
		all.high = one.high > all.high ? one.high : all.high;
	}
	return all;
}

aut_status
aut__regex_translate(const char *pattern, size_t len, aut_buf *out, uint32_t *out_options,
					 const char **out_reason)
{
	translator *in = aut_calloc(1, sizeof *in);
	aut_status status = AUT_ENOMEM;

	if (in == NULL)
		return AUT_ENOMEM;
	in->text = pattern;
	in->len = len;
	in->out = out;
	alternatives(in);
	if (in->status == AUT_OK && in->at < len)
		refuse(in); /* a ')' too many */
	if (in->status == AUT_OK && in->asked_max > in->group_count)
		refuse(in);
	if (in->status == AUT_OK && out->status == AUT_ELIMIT)
		too_much(in, "it is too long");
	if (out->status == AUT_OK || out->status == AUT_ELIMIT)
		status = in->status;
	*out_reason = in->reason;
	*out_options = (in->global & F_IGNORECASE ? PCRE2_CASELESS : 0u) |
				   (in->global & F_MULTILINE ? PCRE2_MULTILINE : 0u) |
				   (in->global & F_DOTALL ? PCRE2_DOTALL : 0u);
	aut_free(in);
	return status;
}
