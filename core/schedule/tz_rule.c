/* SPDX-License-Identifier: MIT */
/*
 * core/schedule/tz_rule.c - the POSIX rule at the end of a TZif file: what holds after the last
 * transition listed.
 *
 * "CET-1CEST,M3.5.0,M10.5.0/3": standard time and its offset (west positive, the other way round
 * than everywhere else), then optionally daylight-saving time with the dates it begins and ends.
 * With the extensions of RFC 9636: times from -167 to 167 hours, <quoted> abbreviations.  Nothing
 * is computed ahead: the transitions around an instant are made when asked, so the rule holds for
 * every year. Negative daylight saving (Europe/Dublin: "summer" is standard) needs no care, only
 * offsets count.
 */
#include <string.h>

#include "core/schedule/tz.h"

#define DAY INT64_C(86400)

/* ---- reading ------------------------------------------------------------------------------- */

struct reader
{
	const char *at;
	const char *end;
};

static bool
take(struct reader *in, char c)
{
	if (in->at == in->end || *in->at != c)
		return false;
	in->at++;
	return true;
}

static bool
is_letter(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
take_int(struct reader *in, int min, int max, int *out)
{
	int value = 0;
	int digits = 0;

	for (; in->at != in->end && is_digit(*in->at) && digits < 4; in->at++, digits++)
		value = value * 10 + (*in->at - '0');
	if (digits == 0 || value < min || value > max)
		return false;
	*out = value;
	return true;
}

/* Three letters or more, or anything of letters, digits and signs in <>. */
static bool
take_abbr(struct reader *in, char out[AUT__TZ_ABBR_MAX])
{
	bool quoted = take(in, '<');
	size_t len = 0;

	for (; in->at != in->end; in->at++)
	{
		char c = *in->at;

		if (!is_letter(c) && !(quoted && (is_digit(c) || c == '+' || c == '-')))
			break;
		if (len == AUT__TZ_ABBR_MAX - 1)
			return false;
		out[len++] = c;
	}
	out[len] = '\0';
	return len >= 3 && (!quoted || take(in, '>'));
}

/* [+-]hh[:mm[:ss]], as seconds. */
static bool
take_time(struct reader *in, int max_hours, int32_t *out)
{
	bool minus = take(in, '-');
	int hours;
	int minutes = 0;
	int seconds = 0;

	if (!minus)
		(void) take(in, '+');
	if (!take_int(in, 0, max_hours, &hours))
		return false;
	if (take(in, ':'))
	{
		if (!take_int(in, 0, 59, &minutes))
			return false;
		if (take(in, ':') && !take_int(in, 0, 59, &seconds))
			return false;
	}
	*out = (hours * 3600 + minutes * 60 + seconds) * (minus ? -1 : 1);
	return true;
}

static bool
take_date(struct reader *in, aut__tz_date *out)
{
	if (!take(in, ','))
		return false;
	if (take(in, 'J'))
	{
		out->kind = AUT__TZ_JULIAN;
		if (!take_int(in, 1, 365, &out->day))
			return false;
	}
	else if (take(in, 'M'))
	{
		out->kind = AUT__TZ_MONTH;
		if (!take_int(in, 1, 12, &out->month) || !take(in, '.') ||
			!take_int(in, 1, 5, &out->week) || !take(in, '.') || !take_int(in, 0, 6, &out->day))
			return false;
	}
	else
	{
		out->kind = AUT__TZ_ZERO;
		if (!take_int(in, 0, 365, &out->day))
			return false;
	}
	out->time = 2 * 3600;
	return !take(in, '/') || take_time(in, 167, &out->time);
}

bool
aut__tz_rule_parse(const char *text, size_t len, aut__tz_rule *out)
{
	struct reader in = {text, text + len};
	aut__tz_rule rule;
	int32_t west;

	memset(&rule, 0, sizeof rule);
	if (len == 0)
	{
		*out = rule;
		return true;
	}
	rule.present = true;
	if (!take_abbr(&in, rule.std_abbr) || !take_time(&in, 24, &west))
		return false;
	rule.std_offset = -west;
	if (in.at != in.end)
	{
		rule.has_dst = true;
		rule.dst_offset = rule.std_offset + 3600;
		if (!take_abbr(&in, rule.dst_abbr))
			return false;
		if (in.at != in.end && *in.at != ',')
		{
			if (!take_time(&in, 24, &west))
				return false;
			rule.dst_offset = -west;
		}
		/* POSIX leaves a missing rule to the implementation; a TZif file always gives it. */
		if (!take_date(&in, &rule.dst_begin) || !take_date(&in, &rule.dst_end))
			return false;
	}
	if (in.at != in.end)
		return false;
	*out = rule;
	return true;
}

/* ---- evaluating ---------------------------------------------------------------------------- */

/* The day of a year a date stands for, as days since 1970. */
static int64_t
date_day(const aut__tz_date *date, int64_t year)
{
	int64_t first;
	int64_t next;
	int64_t day;
	int weekday;

	if (date->kind != AUT__TZ_MONTH)
	{
		first = aut_days_from_civil(year, 1, 1);
		if (date->kind == AUT__TZ_ZERO)
			return first + date->day;
		/* Jn does not count a leap day: from March on it is one day further */
		day = first + date->day - 1;
		if (date->day >= 60 && aut_days_from_civil(year + 1, 1, 1) - first == 366)
			day++;
		return day;
	}
	first = aut_days_from_civil(year, date->month, 1);
	next = date->month == 12 ? aut_days_from_civil(year + 1, 1, 1)
							 : aut_days_from_civil(year, date->month + 1, 1);
	weekday = (int) (((first + 4) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */
	day = first + (date->day - weekday + 7) % 7 + (date->week - 1) * 7;
	/* the fifth means the last */
	while (day >= next)
		day -= 7;
	return day;
}

struct event
{
	int64_t at;
	bool dst; /* what begins */
};

/* Years on each side whose transitions are made: a time of 167 hours moves one across New Year. */
#define YEARS_AROUND 2
#define EVENTS       (2 * (2 * YEARS_AROUND + 1))

static void
events_around(const aut__tz_rule *rule, int64_t year, struct event events[EVENTS])
{
	size_t count = 0;

	for (int64_t y = year - YEARS_AROUND; y <= year + YEARS_AROUND; y++)
	{
		/* each date is in the local time that ends there */
		struct event pair[2] = {
			{date_day(&rule->dst_end, y) * DAY + rule->dst_end.time - rule->dst_offset, false},
			{date_day(&rule->dst_begin, y) * DAY + rule->dst_begin.time - rule->std_offset, true},
		};

		for (int i = 0; i < 2; i++)
		{
			size_t to = count++;

			/* Insertion sort, stable.  Ends come before begins of the same instant, which makes
			 * "daylight saving all year" (RFC 9636, 3.3.1) what it says. */
			while (to > 0 &&
				   (events[to - 1].at > pair[i].at ||
					(events[to - 1].at == pair[i].at && events[to - 1].dst && !pair[i].dst)))
			{
				events[to] = events[to - 1];
				to--;
			}
			events[to] = pair[i];
		}
	}
}

void
aut__tz_rule_at(const aut__tz_rule *rule, int64_t at, aut__tz_segment *out)
{
	struct event events[EVENTS];
	int64_t year;
	int month;
	int day;

	out->begin = AUT__TZ_BEGIN;
	out->end = AUT__TZ_END;
	out->dst = false;
	if (rule->has_dst)
	{
		/* rounding toward zero may take the day after; the years around cover that */
		aut_civil_from_days(at / DAY, &year, &month, &day);
		events_around(rule, year, events);
		out->end = events[0].at;
		for (size_t i = 0; i < EVENTS && events[i].at <= at; i++)
		{
			out->begin = events[i].at;
			out->dst = events[i].dst;
			out->end = i + 1 < EVENTS ? events[i + 1].at : AUT__TZ_END;
		}
	}
	out->offset = out->dst ? rule->dst_offset : rule->std_offset;
	out->abbr = out->dst ? rule->dst_abbr : rule->std_abbr;
}
