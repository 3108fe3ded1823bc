/* SPDX-License-Identifier: MIT */
/*
 * core/match/pattern.c - shell-style patterns over event keys.
 *
 * The dialect is that of Python's fnmatch, which the reference uses: there is no escape character, a
 * set may begin with a literal ], ^ is ordinary, a range that runs backwards matches nothing, and the
 * hyphen behind a range is itself ([a-c-e] is a to c, hyphen, e).
 *
 * Matching walks both texts once and falls back to the last * only, so it takes at most the product of
 * the lengths, and these are bounded; nothing is allocated and nothing recurses.
 */
#include <string.h>

#include "automation/event.h"

/* The character at *at, moved behind it.  A byte that is no UTF-8 counts as a character of its own. */
static uint32_t
next_char(const char *text, size_t len, size_t *at)
{
	const unsigned char *byte = (const unsigned char *) text + *at;
	size_t left = len - *at;
	size_t size = byte[0] < 0x80 ? 1 : byte[0] < 0xe0 ? 2 : byte[0] < 0xf0 ? 3 : 4;
	uint32_t code = byte[0];

	if (size == 1 || byte[0] < 0xc0 || size > left)
	{
		*at += 1;
		return code;
	}
	code = byte[0] & (0x7fu >> size);
	for (size_t i = 1; i < size; i++)
		code = code << 6 | (byte[i] & 0x3fu);
	*at += size;
	return code;
}

/* Where the set whose [ stands before `at` ends (the place of its ]), or len: it is not closed. */
static size_t
set_end(const char *pattern, size_t len, size_t at)
{
	if (at < len && pattern[at] == '!')
		at++;
	if (at < len && pattern[at] == ']')
		at++;
	while (at < len && pattern[at] != ']')
		at++;
	return at;
}

/* Is c in the set between from and to (without brackets)? */
static bool
set_has(const char *pattern, size_t from, size_t to, uint32_t c)
{
	bool negated = pattern[from] == '!';
	size_t at = from + (negated ? 1 : 0);
	bool found = false;

	while (at < to)
	{
		uint32_t low = next_char(pattern, to, &at);
		uint32_t high = low;

		/* A hyphen with a neighbour on either side makes a range of them.  What follows the range is
		 * a character of its own again, also if it is a hyphen. */
		if (at + 1 < to && pattern[at] == '-')
		{
			at++;
			high = next_char(pattern, to, &at);
		}
		found = found || (low <= c && c <= high);
	}
	return found != negated;
}

/*
 * Does the one-character element at *at match c?  Moves behind the element when it does.  Behind a [
 * that is not closed none can be; *no_sets remembers the first, lest each looks for its end in vain.
 */
static bool
element_matches(const char *pattern, size_t len, size_t *at, uint32_t c, size_t *no_sets)
{
	size_t next = *at;
	uint32_t wanted = next_char(pattern, len, &next);
	bool matches = wanted == c;

	if (pattern[*at] == '?')
		matches = true;
	else if (pattern[*at] == '[' && *at < *no_sets)
	{
		size_t end = set_end(pattern, len, *at + 1);

		if (end < len)
		{
			matches = set_has(pattern, *at + 1, end, c);
			next = end + 1;
		}
		else
			*no_sets = *at;
	}
	if (matches)
		*at = next;
	return matches;
}

bool
aut_glob_match(const char *pattern, size_t pattern_len, const char *text, size_t text_len)
{
	size_t p = 0;
	size_t t = 0;
	size_t star = SIZE_MAX; /* behind the last *, and where its run ends so far */
	size_t star_text = 0;
	size_t no_sets = SIZE_MAX; /* from where on a [ is itself */

	if (pattern_len > AUT_PATTERN_MAX)
		return false;
	while (t < text_len)
	{
		size_t next = t;
		uint32_t c = next_char(text, text_len, &next);

		if (p < pattern_len && pattern[p] == '*')
		{
			star = ++p;
			star_text = t;
		}
		else if (p < pattern_len && element_matches(pattern, pattern_len, &p, c, &no_sets))
			t = next;
		else if (star != SIZE_MAX)
		{
			p = star;
			(void) next_char(text, text_len, &star_text);
			t = star_text;
		}
		else
			return false;
	}
	while (p < pattern_len && pattern[p] == '*')
		p++;
	return p == pattern_len;
}

static bool
pattern_matches(const json_t *pattern, const char *key, size_t key_len)
{
	const char *text = json_string_value(pattern);
	size_t len = json_string_length(pattern);

	if (text == NULL)
		return false;
	return (len == key_len && memcmp(text, key, len) == 0) ||
		   aut_glob_match(text, len, key, key_len);
}

bool
aut_pattern_match(const json_t *on, const char *key)
{
	size_t key_len = strlen(key);

	if (!json_is_array(on))
		return pattern_matches(on, key, key_len);
	for (size_t i = 0; i < json_array_size(on); i++)
	{
		if (pattern_matches(json_array_get(on, i), key, key_len))
			return true;
	}
	return false;
}

size_t
aut_pattern_family(const char *pattern)
{
	return strcspn(pattern, ".");
}
