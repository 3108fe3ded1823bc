/* SPDX-License-Identifier: MIT */
/*
 * core/base/lax.c - reading values of JSON as leniently as the contract does, and writing its numbers.
 *
 * The reference reads requests and events through a typed model that takes "yes" for true and "12"
 * for 12.  What passes is a rule of the contract, needed wherever bodies are read: by the forms of the
 * service and by the model of GitHub's events.  Pure functions that allocate nothing.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "automation/base.h"

size_t
aut_blank_at(const char *text)
{
	/* str.isspace beyond ASCII: NEL, NBSP, Ogham, the general punctuation spaces, line and paragraph
	 * separators, narrow and medium spaces, ideographic. */
	static const char *const wide[] = {"\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80",
									   "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaf",
									   "\xe2\x81\x9f", "\xe3\x80\x80"};
	const unsigned char *at = (const unsigned char *) text;

	if ((at[0] >= 0x09 && at[0] <= 0x0d) || (at[0] >= 0x1c && at[0] <= 0x20))
		return 1;
	if (at[0] == 0xe2 && at[1] == 0x80 && at[2] >= 0x80 && at[2] <= 0x8a)
		return 3;
	for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++)
	{
		if (strncmp(text, wide[i], strlen(wide[i])) == 0)
			return strlen(wide[i]);
	}
	return 0;
}

bool
aut_lax_bool(const json_t *value, bool *out)
{
	static const char *const yes[] = {"true", "1", "yes", "on", "t", "y"};
	static const char *const no[] = {"false", "0", "no", "off", "f", "n"};

	if (json_is_boolean(value))
		*out = json_is_true(value);
	else if (json_is_number(value) && json_number_value(value) == 1.0)
		*out = true;
	else if (json_is_number(value) && json_number_value(value) == 0.0)
		*out = false;
	else if (json_is_string(value))
	{
		for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
		{
			*out = strcasecmp(json_string_value(value), yes[i]) == 0;
			if (*out || strcasecmp(json_string_value(value), no[i]) == 0)
				return true;
		}
		return false;
	}
	else
		return false;
	return true;
}

bool
aut_lax_int_text(const char *text, int64_t *out)
{
	bool negative = false;
	bool digit_before = false;
	int64_t made = 0;
	size_t blank;

	while ((blank = aut_blank_at(text)) > 0)
		text += blank;
	if (*text == '+' || *text == '-')
		negative = *text++ == '-';
	if (!isdigit((unsigned char) *text))
		return false;
	for (; isdigit((unsigned char) *text) || (*text == '_' && digit_before); text++)
	{
		digit_before = *text != '_';
		if (digit_before && (__builtin_mul_overflow(made, INT64_C(10), &made) ||
							 __builtin_add_overflow(made, (int64_t) (*text - '0'), &made)))
			made = INT64_MAX / 20; /* stays beyond any limit, cannot overflow at the next digit */
	}
	if (!digit_before)
		return false;
	if (*text == '.')
	{
		for (text++; *text == '0'; text++)
			;
	}
	while ((blank = aut_blank_at(text)) > 0)
		text += blank;
	if (*text != '\0')
		return false;
	*out = negative ? -made : made;
	return true;
}

const char *
aut_real_text(double real, char out[AUT_REAL_TEXT_MAX])
{
	char digits[AUT_REAL_TEXT_MAX];
	const char *mantissa;
	long exponent;
	int precision = 0;
	int used;

	/* d[.ddd]e[+-]xx with the fewest digits; 17 always read back */
	do
		(void) snprintf(digits, sizeof digits, "%.*e", precision, real);
	while (++precision < 17 && strtod(digits, NULL) != real);
	mantissa = digits + (digits[0] == '-' ? 1 : 0);
	exponent = strtol(strchr(digits, 'e') + 1, NULL, 10);
	if (exponent >= -4 && exponent < 16)
	{
		size_t len = strcspn(mantissa, "e");
		int decimals = (int) (len > 2 ? len - 2 : 0) - (int) exponent;

		used = snprintf(out, AUT_REAL_TEXT_MAX, "%.*f", decimals > 1 ? decimals : 1, real);
	}
	else
		used = snprintf(out, AUT_REAL_TEXT_MAX, "%s", digits);
	return used > 0 ? out : "0.0";
}
