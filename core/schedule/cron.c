/* SPDX-License-Identifier: MIT */
/*
 * core/schedule/cron.c - from the text of a cron expression to an aut_cron.
 *
 * The dialect, in short (docs/schedule.md tells it to users): five fields, a sixth is seconds and
 * a seventh years; lists, ranges that may wrap, steps, names; L, Ld, d#n, nW; R for a random
 * value; the @aliases.  It follows what the reference accepts, oddities included, because
 * schedules written for it must mean the same here (one exception: see parse_value's range check,
 * which refuses a range that ends below its field, like sep-0):
 *   - an equal range (5-5, jan-jan) is the whole field, but n/step at its end is n alone;
 *   - a wrapping range with a step goes on after the wrap a little off (see add_wrapped);
 *   - a full list of days counts as '*' only when the other day field contains a '*'.
 *
 * Every step works on spans of one lower-cased copy on the stack: no allocation, and at most
 * AUT_CRON_TEXT_MAX bytes.  A message names the field, what stands there and what would be right.
 */
#include "automation/schedule.h"

#include <stdio.h>
#include <string.h>

/* Larger than any field, small enough for sums: what longer numbers are read as. */
#define NUMBER_MAX 1000000

struct field_spec
{
	const char *name;
	int min;
	int max;
	const char *expected; /* for messages */
};

static const struct field_spec specs[AUT_CRON_FIELDS] = {
	[AUT_CRON_MINUTE] = {"minute", 0, 59, "0-59"},
	[AUT_CRON_HOUR] = {"hour", 0, 23, "0-23"},
	[AUT_CRON_DOM] = {"day-of-month", 1, 31, "1-31"},
	[AUT_CRON_MONTH] = {"month", 1, 12, "1-12 or jan-dec"},
	/* 7 is read as 0 before anything else looks at it */
	[AUT_CRON_DOW] = {"day-of-week", 0, 6, "0-7 or sun-sat"},
	[AUT_CRON_SECOND] = {"second", 0, 59, "0-59"},
	[AUT_CRON_YEAR] = {"year", AUT_CRON_YEAR_MIN, AUT_CRON_YEAR_MAX, "1970-2099"},
};

static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun",
										  "jul", "aug", "sep", "oct", "nov", "dec"};
static const char *const day_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

struct span
{
	const char *at;
	size_t len;
};

/* Values of one field: bit n of the set is the value min + n. */
struct values
{
	uint64_t word[3];
};

struct parser
{
	aut_cron *cron;
	aut_error *err;
	aut_cron_field field;
	const struct field_spec *spec;
	struct span text; /* of the whole field */
	struct values values;
	bool star;
};

/* ---- spans --------------------------------------------------------------------------------- */

static bool
span_is(struct span span, const char *word)
{
	return span.len == strlen(word) && memcmp(span.at, word, span.len) == 0;
}

static bool
span_has(struct span span, char c)
{
	return span.len != 0 && memchr(span.at, c, span.len) != NULL;
}

/* Split at the first c: *span keeps what is before it; false when there is no c. */
static bool
span_split(struct span *span, char c, struct span *out_rest)
{
	const char *found = span->len != 0 ? memchr(span->at, c, span->len) : NULL;

	if (found == NULL)
		return false;
	out_rest->at = found + 1;
	out_rest->len = span->len - (size_t) (found + 1 - span->at);
	span->len = (size_t) (found - span->at);
	return true;
}

/* Digits only; what is too large becomes NUMBER_MAX, which no field accepts. */
static bool
span_number(struct span span, int *out)
{
	int value = 0;

	if (span.len == 0)
		return false;
	for (size_t i = 0; i < span.len; i++)
	{
		if (span.at[i] < '0' || span.at[i] > '9')
			return false;
		if (value < NUMBER_MAX)
			value = value * 10 + (span.at[i] - '0');
	}
	*out = value < NUMBER_MAX ? value : NUMBER_MAX;
	return true;
}

/* ---- messages ------------------------------------------------------------------------------ */

#define QUOTE_MAX 40 /* bytes of the expression repeated in a message; the text is ASCII by then */

static __attribute__((format(printf, 2, 3))) aut_status
refuse(struct parser *p, const char *fmt, ...)
{
	char why[256];
	va_list args;

	va_start(args, fmt);
	(void) vsnprintf(why, sizeof why, fmt, args);
	va_end(args);
	return aut_fail(p->err, AUT_EINVAL, "invalid cron expression: %s field \"%.*s%s\": %s",
					p->spec->name, (int) (p->text.len < QUOTE_MAX ? p->text.len : QUOTE_MAX),
					p->text.at, p->text.len > QUOTE_MAX ? "..." : "", why);
}

static aut_status
refuse_value(struct parser *p, struct span value)
{
	int quote = (int) (value.len < QUOTE_MAX ? value.len : QUOTE_MAX);
	int number;

	if (value.len == 0)
		return refuse(p, "a value is missing, expected %s", p->spec->expected);
	if (span_number(value, &number))
		return refuse(p, "%.*s is out of range, expected %s", quote, value.at, p->spec->expected);
	if (value.at[0] == '-')
		return refuse(p, "negative numbers are not allowed, expected %s", p->spec->expected);
	if (value.at[0] == 'h')
		return refuse(p, "hashed values (H) are not supported, expected %s", p->spec->expected);
	if (p->field == AUT_CRON_DOW && value.at[value.len - 1] == 'l')
		return refuse(
			p, "\"%.*s\" is not understood; the last weekday of a month is written L5, not 5L",
			quote, value.at);
	return refuse(p, "\"%.*s\" is not understood, expected %s", quote, value.at, p->spec->expected);
}

/* ---- values -------------------------------------------------------------------------------- */

static void
values_add(struct values *values, int index)
{
	values->word[index / 64] |= UINT64_C(1) << (index % 64);
}

static int
values_count(const struct values *values)
{
	int count = 0;

	for (size_t i = 0; i < sizeof values->word / sizeof values->word[0]; i++)
		count += __builtin_popcountll(values->word[i]);
	return count;
}

/* A number or a name of this field, within its range. */
static bool
parse_value(const struct parser *p, struct span text, int *out)
{
	const char *const *names = NULL;
	int count = 0;
	int value;

	if (span_number(text, &value))
	{
		if (p->field == AUT_CRON_DOW && value == 7)
			value = 0;
		if (value < p->spec->min || value > p->spec->max)
			return false;
		*out = value;
		return true;
	}
	if (p->field == AUT_CRON_MONTH)
	{
		names = month_names;
		count = 12;
	}
	else if (p->field == AUT_CRON_DOW)
	{
		names = day_names;
		count = 7;
	}
	for (int i = 0; i < count; i++)
	{
		if (span_is(text, names[i]))
		{
			*out = i + p->spec->min;
			return true;
		}
	}
	return false;
}

static void
add_steps(struct values *values, int from, int to, int step)
{
	for (int i = from; i <= to; i += step)
		values_add(values, i);
}

/*
 * A wrapping range: from `low` to the end of the field, then from its beginning to `high`.  In
 * steps, the second part does not continue the count of the first exactly: where the step crosses
 * the end, it begins one later than arithmetic would have it (50-10/7 is 50, 57, 5).  That is the
 * reference's way.
 */
static void
add_wrapped(struct values *values, int size, int low, int high, int step)
{
	int last = low + (size - 1 - low) / step * step; /* the last one before the wrap */
	int left = size - 1 - last;                      /* values behind it */
	int skip = last + step > size && left < step ? step - left : 0;

	add_steps(values, low, size - 1, step);
	add_steps(values, skip, high, step);
}

/* low and high are values of the field; both ends belong to the range. */
static void
add_range(struct parser *p, struct values *values, int low, int high, int step)
{
	int size = p->spec->max - p->spec->min + 1;

	low -= p->spec->min;
	high -= p->spec->min;
	if (low < high)
		add_steps(values, low, high, step);
	else if (low == high)
		add_steps(values, 0, size - 1, step);
	else
		add_wrapped(values, size, low, high, step);
}

/* ---- the forms an element of a list may take ------------------------------------------------ */

/* "5#3", "fri#3", "mon-wed#2" in day-of-week. */
static aut_status
parse_nth(struct parser *p, struct span days, struct span nth_text)
{
	struct span quoted = days;
	struct values chosen = {{0}};
	struct span high_text;
	int low, high, nth;

	if (!span_number(nth_text, &nth) || nth < 1 || nth > 5)
		return refuse(p, "the number behind # must be 1 to 5");
	if (span_split(&days, '-', &high_text))
	{
		/* of ranges only those by name are taken */
		if (span_number(days, &low) || span_number(high_text, &high) ||
			!parse_value(p, days, &low) || !parse_value(p, high_text, &high))
			return refuse(p, "a range before # takes names, like mon-wed#2");
		add_range(p, &chosen, low, high, 1);
	}
	else if (parse_value(p, days, &low))
		values_add(&chosen, low);
	else
		return refuse_value(p, quoted);
	for (int day = 0; day < 7; day++)
	{
		if ((chosen.word[0] >> day & 1) != 0)
			p->cron->dow_nth[day] |= (uint8_t) (1u << nth);
	}
	p->values.word[0] |= chosen.word[0];
	p->cron->dow_special = true;
	return AUT_OK;
}

/* "L5" in day-of-week; the digits come without the L. */
static aut_status
parse_last_weekday(struct parser *p, struct span digits)
{
	int day;

	if (!span_number(digits, &day) || !parse_value(p, digits, &day))
		return refuse(p, "L takes one weekday number 0-7 behind it, like L5");
	p->cron->dow_last |= (uint8_t) (1u << day);
	values_add(&p->values, day);
	p->cron->dow_special = true;
	return AUT_OK;
}

/* "15W" or "W15", which must be the whole day-of-month field. */
static aut_status
parse_nearest(struct parser *p)
{
	struct span digits = p->text;
	int day;

	if (span_has(p->text, ','))
		return refuse(p, "W stands for one single day and cannot be part of a list");
	if (digits.at[0] == 'w')
		digits.at++;
	digits.len--;
	if (!span_number(digits, &day) || (digits.at == p->text.at && p->text.at[digits.len] != 'w'))
		return refuse(p, "W needs one day of the month, like 15W");
	if (day < 1 || day > 31)
		return refuse(p, "the day of W must be 1 to 31");
	p->cron->dom_nearest = (uint8_t) day;
	return AUT_OK;
}

/* "*", "*" with a step, "a", "a-b", with a step or without. */
static aut_status
parse_range(struct parser *p, struct span element)
{
	struct span base = element;
	struct span step_text;
	struct span high_text;
	bool stepped = span_split(&base, '/', &step_text);
	int step = 1;
	int low, high;

	if (stepped && !span_number(step_text, &step))
		return refuse(p, "the step behind / must be one whole number");
	if (step == 0)
		return refuse(p, "the step behind / must be at least 1");
	if (span_is(base, "*"))
	{
		if (!stepped)
			p->star = true;
		else
			add_range(p, &p->values, p->spec->min, p->spec->max, step);
		return AUT_OK;
	}
	if (base.len > 0 && base.at[0] == '-')
		return refuse_value(p, base);
	if (span_split(&base, '-', &high_text))
	{
		if (!parse_value(p, base, &low))
			return refuse_value(p, base);
		if (p->field == AUT_CRON_DOM && span_is(high_text, "l"))
			high = 31;
		else if (!parse_value(p, high_text, &high))
			return refuse_value(p, high_text);
		add_range(p, &p->values, low, high, step);
		return AUT_OK;
	}
	if (!parse_value(p, base, &low))
		return refuse_value(p, base);
	if (stepped)
		add_steps(&p->values, low - p->spec->min, p->spec->max - p->spec->min, step);
	else
		values_add(&p->values, low - p->spec->min);
	return AUT_OK;
}

static aut_status
parse_element(struct parser *p, struct span element)
{
	struct span before = element;
	struct span behind;

	if (element.len == 0)
		return refuse(p, "an element of the list is empty");
	if (p->field == AUT_CRON_DOM && span_is(element, "l"))
	{
		p->cron->dom_last = true;
		return AUT_OK;
	}
	if (p->field == AUT_CRON_DOW && span_split(&before, '#', &behind))
		return parse_nth(p, before, behind);
	if (p->field == AUT_CRON_DOW && element.at[0] == 'l')
	{
		behind.at = element.at + 1;
		behind.len = element.len - 1;
		return parse_last_weekday(p, behind);
	}
	return parse_range(p, element);
}

/* "r", "r/n", "r(a-b)", "r(a-b)/n": a value drawn at every evaluation.  Must be the whole field. */
static aut_status
parse_random(struct parser *p)
{
	struct span rest = {p->text.at + 1, p->text.len - 1};
	struct span part;
	int low = p->spec->min;
	/* without bounds of its own, R in day-of-month draws a day that every month has */
	int high = p->field == AUT_CRON_DOM ? 28 : p->spec->max;
	int max = p->field == AUT_CRON_DOW ? 7 : p->spec->max;
	int step = 0;

	if (rest.len > 0 && rest.at[0] == '(')
	{
		struct span bounds = {rest.at + 1, rest.len - 1};
		struct span high_text;

		if (!span_split(&bounds, ')', &rest) || !span_split(&bounds, '-', &high_text) ||
			!span_number(bounds, &low) || !span_number(high_text, &high))
			return refuse(p, "a random value is written R, R/n, R(a-b) or R(a-b)/n");
		if (low >= high)
			return refuse(p, "the bounds of R must rise");
		if (low < p->spec->min || high > max)
			return refuse(p, "the bounds of R are out of range, expected %s", p->spec->expected);
	}
	if (rest.len > 0)
	{
		part = rest;
		if (rest.at[0] != '/')
			return refuse(
				p, "a random value is written R, R/n, R(a-b) or R(a-b)/n, and not in a list");
		part.at++;
		part.len--;
		if (!span_number(part, &step) || step == 0)
			return refuse(p, "the step behind / must be one whole number of at least 1");
		if (step > UINT16_MAX)
			step = UINT16_MAX;
		if (p->field == AUT_CRON_DOM && p->text.at[1] != '(')
			high = 31;
	}
	p->cron->random |= (uint8_t) (1u << p->field);
	p->cron->draw[p->field].low = (uint16_t) low;
	p->cron->draw[p->field].high = (uint16_t) high;
	p->cron->draw[p->field].step = (uint16_t) step;
	/* Until drawn, every value the draw can give: so a check sees whether it could fire at all. */
	if (high > p->spec->max)
	{
		values_add(&p->values, 0);
		high = p->spec->max;
	}
	add_steps(&p->values, low - p->spec->min, high - p->spec->min, 1);
	return AUT_OK;
}

/* ---- fields -------------------------------------------------------------------------------- */

static void
store_values(struct parser *p)
{
	aut_cron *cron = p->cron;
	uint64_t low = p->values.word[0];

	switch (p->field)
	{
		case AUT_CRON_MINUTE:
			cron->minute = p->star ? (UINT64_C(1) << 60) - 1 : low;
			break;
		case AUT_CRON_HOUR:
			cron->hour = p->star ? (UINT32_C(1) << 24) - 1 : (uint32_t) low;
			break;
		case AUT_CRON_DOM:
			cron->dom = (uint32_t) (low << 1);
			cron->dom_star = p->star;
			break;
		case AUT_CRON_MONTH:
			cron->month = p->star ? 0x1ffe : (uint16_t) (low << 1);
			break;
		case AUT_CRON_DOW:
			cron->dow = (uint8_t) low;
			cron->dow_star = p->star;
			break;
		case AUT_CRON_SECOND:
			cron->second = p->star ? (UINT64_C(1) << 60) - 1 : low;
			break;
		case AUT_CRON_YEAR:
			memcpy(cron->year, p->values.word, sizeof cron->year);
			cron->year_star = p->star;
			break;
		case AUT_CRON_FIELDS:
			break;
	}
}

static aut_status
parse_field(struct parser *p, aut_cron_field field, struct span text)
{
	struct span rest = text;
	bool more = true;

	p->field = field;
	p->spec = &specs[field];
	p->text = text;
	p->star = false;
	memset(&p->values, 0, sizeof p->values);
	if (span_has(text, '?'))
	{
		if (!span_is(text, "?"))
			return refuse(p, "? must stand alone");
		if (field != AUT_CRON_DOM && field != AUT_CRON_DOW)
			return refuse(p, "? is for the day fields only; write * here");
		p->star = true;
	}
	else if (text.at[0] == 'r')
	{
		aut_status status = parse_random(p);

		if (status != AUT_OK)
			return status;
	}
	else if (field == AUT_CRON_DOM && span_has(text, 'w'))
	{
		aut_status status = parse_nearest(p);

		if (status != AUT_OK)
			return status;
	}
	else
	{
		while (more)
		{
			struct span element = rest;
			aut_status status;

			more = span_split(&element, ',', &rest);
			status = parse_element(p, element);
			if (status != AUT_OK)
				return status;
		}
	}
	store_values(p);
	return AUT_OK;
}

/*
 * What depends on both day fields.  A list that names every day is as good as '*', but only when
 * the other field contains a '*': otherwise it stays a restriction, and by the OR of the two it
 * makes the schedule daily (0 0 5 * 0-6).
 */
static aut_status
settle_days(struct parser *p, struct span dom_text, struct span dow_text)
{
	aut_cron *cron = p->cron;
	struct values dom = {{cron->dom, 0, 0}};
	struct values dow = {{cron->dow, 0, 0}};
	uint8_t special = cron->dow_last;

	for (int day = 0; day < 7; day++)
	{
		if (cron->dow_nth[day] != 0)
			special |= (uint8_t) (1u << day);
	}
	/* plain days beside special ones are wrong, unless the list has seven entries, '*' counted */
	if (cron->dow_special && (cron->dow & ~special) != 0 &&
		values_count(&dow) + (cron->dow_star ? 1 : 0) != 7)
	{
		p->field = AUT_CRON_DOW;
		p->spec = &specs[AUT_CRON_DOW];
		p->text = dow_text;
		return refuse(p, "plain days cannot be mixed with d#n or Ld");
	}
	if (values_count(&dom) + (cron->dom_last ? 1 : 0) == 31 && span_has(dow_text, '*') &&
		(cron->random & 1u << AUT_CRON_DOM) == 0)
		cron->dom_star = true;
	if (values_count(&dow) == 7 && span_has(dom_text, '*') &&
		(cron->random & 1u << AUT_CRON_DOW) == 0)
		cron->dow_star = true;
	return AUT_OK;
}

/* ---- the whole expression ------------------------------------------------------------------ */

static const struct
{
	const char *name;
	const char *fields;
} aliases[] = {
	{"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
	{"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
	{"@hourly", "0 * * * *"},
};

static bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Lower-case copy; a byte that is neither printable ASCII nor a blank is refused. */
static aut_status
copy_lower(const char *text, size_t len, char *out, aut_error *err)
{
	for (size_t i = 0; i < len; i++)
	{
		char c = text[i];

		if (!is_blank(c) && (c < ' ' || c > '~'))
			return aut_fail(err, AUT_EINVAL,
							"invalid cron expression: byte %zu is not a printable ASCII character",
							i + 1);
		out[i] = c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
	}
	out[len] = '\0';
	return AUT_OK;
}

static int
split_fields(struct span text, struct span *fields, int max)
{
	int count = 0;
	size_t i = 0;

	for (;;)
	{
		size_t start;

		while (i < text.len && is_blank(text.at[i]))
			i++;
		if (i == text.len)
			return count;
		start = i;
		while (i < text.len && !is_blank(text.at[i]))
			i++;
		if (count < max)
		{
			fields[count].at = text.at + start;
			fields[count].len = i - start;
		}
		count++;
	}
}

aut_status
aut_cron_parse(const char *text, size_t len, aut_cron *out, aut_error *err)
{
	char lower[AUT_CRON_TEXT_MAX + 1];
	struct span whole = {lower, len};
	struct span fields[AUT_CRON_FIELDS];
	aut_cron cron;
	struct parser p = {.cron = &cron, .err = err};
	aut_status status;
	int count;

	if (text == NULL || len == 0)
		return aut_fail(err, AUT_EINVAL, "invalid cron expression: it is empty");
	if (len > AUT_CRON_TEXT_MAX)
		return aut_fail(err, AUT_EINVAL, "invalid cron expression: longer than %d bytes",
						AUT_CRON_TEXT_MAX);
	status = copy_lower(text, len, lower, err);
	if (status != AUT_OK)
		return status;
	for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
	{
		if (span_is(whole, aliases[i].name))
		{
			whole.at = aliases[i].fields;
			whole.len = strlen(aliases[i].fields);
		}
	}
	count = split_fields(whole, fields, AUT_CRON_FIELDS);
	if (count > 0 && fields[0].at[0] == '@')
		return aut_fail(
			err, AUT_EINVAL,
			"invalid cron expression: unknown alias \"%.*s\", expected @hourly, @daily, "
			"@midnight, @weekly, @monthly, @yearly or @annually and nothing beside it",
			(int) (fields[0].len < QUOTE_MAX ? fields[0].len : QUOTE_MAX), fields[0].at);
	if (count < 5 || count > AUT_CRON_FIELDS)
		return aut_fail(
			err, AUT_EINVAL,
			"invalid cron expression: %d fields, expected 5 (minute hour day-of-month month "
			"day-of-week), 6 (then seconds) or 7 (then years)",
			count);
	memset(&cron, 0, sizeof cron);
	cron.second = 1; /* a schedule of five fields fires at second 0 of every year's minutes */
	cron.year_star = true;
	for (int i = 0; i < count && status == AUT_OK; i++)
		status = parse_field(&p, (aut_cron_field) i, fields[i]);
	if (status == AUT_OK)
		status = settle_days(&p, fields[AUT_CRON_DOM], fields[AUT_CRON_DOW]);
	if (status == AUT_OK)
		*out = cron;
	return status;
}
