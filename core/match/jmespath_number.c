/* SPDX-License-Identifier: MIT */
/*
 * core/match/jmespath_number.c - numbers as Python has them: integers without end, and doubles.
 *
 * Integers that fit 64 bits are held as such; larger ones are decimal digits without leading zeros,
 * which is all that is needed to compare, add and print the few that ever occur.  A double that is
 * compared with an integer is compared exactly (its decimal expansion is finite, and the C library
 * writes it out whole), so 2^53 + 1 is not equal to 2.0^53.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <unictype.h>

#include "core/match/jmespath.h"

/* A whole number spelled out: sign and digits without leading zeros ("0" for zero). */
typedef struct spelled
{
	bool negative;
	size_t len;
	const char *digits;
	char room[400]; /* what is not a BIG fits: 309 digits of the largest double */
} spelled;

static void
spell_trim(spelled *out)
{
	while (out->len > 1 && out->digits[0] == '0')
	{
		out->digits++;
		out->len--;
	}
	if (out->len == 1 && out->digits[0] == '0')
		out->negative = false;
}

/* A finite double is cut to its whole part. */
static void
spell(const aut__value *number, spelled *out)
{
	int wrote = 0;

	out->digits = out->room;
	if (number->kind == AUT__BIG)
	{
		out->negative = number->boolean;
		out->digits = number->as.text;
		out->len = number->len;
		return;
	}
	if (number->kind == AUT__INTEGER)
	{
		uint64_t magnitude = number->as.integer < 0 ? 0 - (uint64_t) number->as.integer
													: (uint64_t) number->as.integer;

		out->negative = number->as.integer < 0;
		wrote = snprintf(out->room, sizeof out->room, "%llu", (unsigned long long) magnitude);
	}
	else
	{
		out->negative = signbit(number->as.real) != 0;
		wrote = snprintf(out->room, sizeof out->room, "%.0f", fabs(trunc(number->as.real)));
	}
	out->len = wrote > 0 ? (size_t) wrote : 0;
	spell_trim(out);
}

static int
magnitude_compare(const spelled *a, const spelled *b)
{
	int order;

	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	order = memcmp(a->digits, b->digits, a->len);
	return (order > 0) - (order < 0);
}

static int
whole_compare(const aut__value *a, const aut__value *b)
{
	spelled left, right;
	int order;

	spell(a, &left);
	spell(b, &right);
	if (left.negative != right.negative)
		return left.negative ? -1 : 1;
	order = magnitude_compare(&left, &right);
	return left.negative ? -order : order;
}

/* An integer (of any size) against a double that is neither NaN nor infinite. */
static int
mixed_compare(const aut__value *whole, double real)
{
	aut__value cut = {.kind = AUT__REAL, .as.real = trunc(real)};
	int order = whole_compare(whole, &cut);

	if (order != 0 || real == cut.as.real)
		return order;
	return real > cut.as.real ? -1 : 1;
}

int
aut__number_compare(const aut__value *a, const aut__value *b)
{
	if (a->kind == AUT__INTEGER && b->kind == AUT__INTEGER)
		return (a->as.integer > b->as.integer) - (a->as.integer < b->as.integer);
	if (a->kind == AUT__REAL && b->kind == AUT__REAL)
	{
		if (isnan(a->as.real) || isnan(b->as.real))
			return 2;
		return (a->as.real > b->as.real) - (a->as.real < b->as.real);
	}
	if (a->kind != AUT__REAL && b->kind != AUT__REAL)
		return whole_compare(a, b);
	if (a->kind == AUT__REAL)
	{
		int order = aut__number_compare(b, a);

		return order == 2 ? 2 : -order;
	}
	if (isnan(b->as.real))
		return 2;
	if (isinf(b->as.real))
		return b->as.real > 0 ? -1 : 1;
	return mixed_compare(a, b->as.real);
}

double
aut__to_double(const aut__value *number)
{
	char text[AUT__JSON_DIGITS_MAX + 2];

	if (number->kind == AUT__INTEGER)
		return (double) number->as.integer;
	if (number->kind == AUT__REAL)
		return number->as.real;
	if (number->len > AUT__JSON_DIGITS_MAX)
		return number->boolean ? -INFINITY : INFINITY;
	memcpy(text, number->as.text, number->len);
	text[number->len] = '\0';
	return number->boolean ? -strtod(text, NULL) : strtod(text, NULL);
}

/* ---- making ---------------------------------------------------------------------------------- */

const aut__value *
aut__number_digits(aut__work *work, bool negative, const char *digits, size_t len)
{
	uint64_t magnitude = 0;
	const aut__value *text;
	aut__value *made;
	bool fits = true;

	while (len > 1 && digits[0] == '0')
	{
		digits++;
		len--;
	}
	for (size_t i = 0; i < len && fits; i++)
		fits = !__builtin_mul_overflow(magnitude, 10u, &magnitude) &&
			   !__builtin_add_overflow(magnitude, (uint64_t) (digits[i] - '0'), &magnitude);
	if (fits && negative && magnitude <= (uint64_t) INT64_MAX + 1)
		return aut__integer(work, (int64_t) (0 - magnitude));
	if (fits && !negative && magnitude <= INT64_MAX)
		return aut__integer(work, (int64_t) magnitude);

	text = aut__text_copy(work, digits, len);
	made = aut__make(work, sizeof *made);
	if (text == NULL || made == NULL)
		return NULL;
	*made = *text;
	made->kind = AUT__BIG;
	made->boolean = negative;
	return made;
}

const aut__value *
aut__number_abs(aut__work *work, const aut__value *number)
{
	spelled whole;

	if (number->kind == AUT__REAL)
		return aut__real(work, fabs(number->as.real));
	if (number->kind == AUT__INTEGER && number->as.integer >= 0)
		return number;
	spell(number, &whole);
	return aut__number_digits(work, false, whole.digits, whole.len);
}

const aut__value *
aut__number_whole(aut__work *work, double value)
{
	aut__value real = {.kind = AUT__REAL, .as.real = value};
	spelled whole;

	if (!isfinite(value))
	{
		aut__work_fail(work, AUT_EINVAL, "%s has no whole number beside it",
					   isnan(value) ? "NaN" : "infinity");
		return NULL;
	}
	spell(&real, &whole);
	return aut__number_digits(work, whole.negative, whole.digits, whole.len);
}

/* ---- adding ---------------------------------------------------------------------------------- */

/* digits of a + b, or of a - b where a is the larger; out has room for one more than the longer. */
static size_t
magnitude_add(const spelled *a, const spelled *b, bool subtract, char *out)
{
	size_t len = (a->len > b->len ? a->len : b->len) + 1;
	int carry = 0;

	for (size_t i = 0; i < len; i++)
	{
		int left = i < a->len ? a->digits[a->len - 1 - i] - '0' : 0;
		int right = i < b->len ? b->digits[b->len - 1 - i] - '0' : 0;
		int sum = subtract ? left - right + carry : left + right + carry;

		carry = subtract ? (sum < 0 ? -1 : 0) : sum / 10;
		out[len - 1 - i] = (char) ('0' + (subtract && sum < 0 ? sum + 10 : sum % 10));
	}
	return len;
}

static const aut__value *
whole_add(aut__work *work, const aut__value *a, const aut__value *b)
{
	spelled left, right;
	const spelled *larger = &left;
	const spelled *smaller = &right;
	int64_t sum;
	char *digits;
	size_t len;

	if (a->kind == AUT__INTEGER && b->kind == AUT__INTEGER &&
		!__builtin_add_overflow(a->as.integer, b->as.integer, &sum))
		return aut__integer(work, sum);
	spell(a, &left);
	spell(b, &right);
	if (magnitude_compare(&left, &right) < 0)
	{
		larger = &right;
		smaller = &left;
	}
	len = larger->len + 1;
	digits = aut__make(work, len);
	if (digits == NULL || !aut__spend(work, len / 8))
		return NULL;
	len = magnitude_add(larger, smaller, left.negative != right.negative, digits);
	return aut__number_digits(work, larger->negative, digits, len);
}

/*
 * Whole numbers are added exactly; from the first double on as doubles, with the digits that each
 * addition loses gathered beside (Neumaier), as Python does since 3.12.
 */
const aut__value *
aut__number_sum(aut__work *work, const aut__value *const *numbers, size_t count)
{
	const aut__value *whole = aut__integer(work, 0);
	size_t i = 0;
	double sum, lost = 0;

	for (; i < count && whole != NULL && numbers[i]->kind != AUT__REAL; i++)
		whole = whole_add(work, whole, numbers[i]);
	if (whole == NULL || i == count)
		return whole;
	sum = aut__to_double(whole);
	for (; i < count; i++)
	{
		double next = aut__to_double(numbers[i]);
		double total = sum + next;

		lost += fabs(sum) >= fabs(next) ? (sum - total) + next : (next - total) + sum;
		sum = total;
	}
	return aut__real(work, lost != 0 && isfinite(lost) ? sum + lost : sum);
}

/* ---- reading and writing ---------------------------------------------------------------------- */

/* What Python's str.strip() takes away. */
static bool
is_blank(uint32_t point)
{
	return (point >= 0x1c && point <= 0x1f) || point == 0x85 || point == 0xa0 ||
		   uc_is_property_white_space(point);
}

/*
 * The text with blanks around it gone and digits of other scripts made ASCII; underscores between
 * two digits are dropped.  0 when that leaves nothing Python would read.
 */
static size_t
plain_number(const char *text, size_t len, char *out, size_t room)
{
	size_t used = 0;
	size_t at = 0;
	bool ended = false;
	bool after_digit = false;
	bool underscore = false;

	while (at < len)
	{
		uint32_t point = aut__code_point(text, len, &at);
		int digit = uc_decimal_value(point);

		if (is_blank(point))
		{
			ended = used > 0 || underscore;
			continue;
		}
		if (ended || used + 1 >= room)
			return 0;
		if (point == '_')
		{
			if (!after_digit)
				return 0;
			underscore = true;
			after_digit = false;
			continue;
		}
		if (underscore && digit < 0)
			return 0;
		underscore = false;
		after_digit = digit >= 0;
		if (digit < 0 && (point >= 0x80 || point == 0))
			return 0;
		out[used++] = digit >= 0 ? (char) ('0' + digit) : (char) point;
	}
	out[used] = '\0';
	return underscore ? 0 : used;
}

static bool
is_word(const char *text, const char *word)
{
	return strcasecmp(text, word) == 0;
}

/* Is it a number of Python's float()?  (strtod would also take hexadecimal.) */
static bool
is_real(const char *text)
{
	const char *p = text + (*text == '+' || *text == '-');
	size_t digits;

	if (is_word(p, "inf") || is_word(p, "infinity") || is_word(p, "nan"))
		return true;
	digits = strspn(p, "0123456789");
	p += digits;
	if (*p == '.')
	{
		size_t more = strspn(++p, "0123456789");

		digits += more;
		p += more;
	}
	if (digits == 0)
		return false;
	if (*p == 'e' || *p == 'E')
	{
		p++;
		p += *p == '+' || *p == '-';
		digits = strspn(p, "0123456789");
		p += digits;
	}
	return digits > 0 && *p == '\0';
}

const aut__value *
aut__number_read(aut__work *work, const char *text, size_t len)
{
	char plain[AUT__JSON_DIGITS_MAX + 64];
	size_t used = plain_number(text, len, plain, sizeof plain);
	bool negative = plain[0] == '-';
	size_t from = used > 0 && (plain[0] == '-' || plain[0] == '+') ? 1 : 0;

	if (!aut__spend(work, len / 16))
		return NULL;
	if (used == 0)
		return &aut__null;
	if (used > from && strspn(plain + from, "0123456789") == used - from &&
		used - from <= AUT__JSON_DIGITS_MAX)
		return aut__number_digits(work, negative, plain + from, used - from);
	return is_real(plain) ? aut__real(work, strtod(plain, NULL)) : &aut__null;
}

/*
 * Python's repr of a float: the fewest digits that read back as the same number; an exponent when it
 * is below -4 or at least 16.
 */
size_t
aut__real_write(double value, char out[AUT__REAL_TEXT_MAX])
{
	char digits[AUT__REAL_TEXT_MAX];
	const char *exponent_at;
	int precision = 1;
	long exponent;
	int wrote;

	if (isnan(value) || isinf(value))
	{
		wrote = snprintf(out, AUT__REAL_TEXT_MAX, "%s",
						 isnan(value) ? "nan" : (value < 0 ? "-inf" : "inf"));
		return (size_t) wrote;
	}
	do
		snprintf(digits, sizeof digits, "%.*e", precision - 1, value);
	while (strtod(digits, NULL) != value && ++precision <= 17);
	exponent_at = strchr(digits, 'e');
	exponent = exponent_at != NULL ? strtol(exponent_at + 1, NULL, 10) : 0;
	if (exponent < -4 || exponent >= 16)
		wrote = snprintf(out, AUT__REAL_TEXT_MAX, "%s", digits);
	else
	{
		int behind = precision - 1 - (int) exponent;

		wrote = snprintf(out, AUT__REAL_TEXT_MAX, "%.*f", behind > 0 ? behind : 1, value);
	}
	return (size_t) wrote;
}
