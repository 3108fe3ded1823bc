/* SPDX-License-Identifier: MIT */
/*
 * core/base/clock.c - where time comes from, how it is written and read, and the calendar.
 *
 * Times are int64 microseconds since 1970-01-01 UTC on the proleptic Gregorian calendar, without
 * leap seconds.  Nothing here asks the C library about local time: zones are core/schedule's
 * business.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "automation/base.h"

#define US_PER_DAY (INT64_C(86400) * AUT_US_PER_S)

static int64_t
read_clock(clockid_t id)
{
	struct timespec ts;

	/* cannot fail for the two clocks used here, which every Linux has */
	if (clock_gettime(id, &ts) != 0)
		return 0;
	return (int64_t) ts.tv_sec * AUT_US_PER_S + ts.tv_nsec / 1000;
}

static int64_t
system_now(void *payload)
{
	(void) payload;
	return read_clock(CLOCK_REALTIME);
}

static int64_t
system_mono(void *payload)
{
	(void) payload;
	return read_clock(CLOCK_MONOTONIC);
}

const aut_clock *
aut_clock_system(void)
{
	static const aut_clock system_clock = {system_now, system_mono, NULL};

	return &system_clock;
}

int64_t
aut_now_us(const aut_clock *clock)
{
	return clock->now_us(clock->payload);
}

int64_t
aut_mono_us(const aut_clock *clock)
{
	return clock->mono_us(clock->payload);
}

static int64_t
manual_now(void *payload)
{
	const aut_clock_manual *manual = payload;

	return manual->now_us;
}

static int64_t
manual_mono(void *payload)
{
	const aut_clock_manual *manual = payload;

	return manual->mono_us;
}

void
aut_clock_manual_init(aut_clock_manual *manual, int64_t now_us)
{
	manual->clock.now_us = manual_now;
	manual->clock.mono_us = manual_mono;
	manual->clock.payload = manual;
	manual->now_us = now_us;
	manual->mono_us = 0;
}

void
aut_clock_manual_advance(aut_clock_manual *manual, int64_t by_us)
{
	manual->now_us += by_us;
	manual->mono_us += by_us;
}

/*
 * The calendar.  Both functions count years from March, so that the leap day is the last of its
 * year, and eras of 400 years (146097 days), after which the calendar repeats.
 */
int64_t
aut_days_from_civil(int64_t year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	/* 719468: days from 0000-03-01 to 1970-01-01 */
	return era * 146097 + day_of_era - 719468;
}

void
aut_civil_from_days(int64_t days, int64_t *out_year, int *out_month, int *out_day)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t day_of_era = z - era * 146097;
	int64_t year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t shifted_month = (5 * day_of_year + 2) / 153;
	int month = (int) (shifted_month < 10 ? shifted_month + 3 : shifted_month - 9);

	*out_day = (int) (day_of_year - (153 * shifted_month + 2) / 5 + 1);
	*out_month = month;
	*out_year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
}

const char *
aut_time_format(int64_t time_us, char out[AUT_TIME_TEXT_MAX])
{
	int64_t days = time_us / US_PER_DAY;
	int64_t rest = time_us % US_PER_DAY;
	int64_t year;
	int month;
	int day;
	int second;
	int fraction;

	if (rest < 0)
	{
		rest += US_PER_DAY;
		days--;
	}
	aut_civil_from_days(days, &year, &month, &day);
	if (year < 0 || year > 9999)
	{
		/* beyond what RFC 3339 can write; AUT_TIME_NONE and AUT_TIME_MAX end here */
		(void) snprintf(out, AUT_TIME_TEXT_MAX, "%s", year < 0 ? "-infinity" : "infinity");
		return out;
	}
	second = (int) (rest / AUT_US_PER_S);
	fraction = (int) (rest % AUT_US_PER_S);
	if (fraction != 0)
		(void) snprintf(out, AUT_TIME_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", (int) year,
						month, day, second / 3600, second / 60 % 60, second % 60, fraction);
	else
		(void) snprintf(out, AUT_TIME_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02dZ", (int) year, month,
						day, second / 3600, second / 60 % 60, second % 60);
	return out;
}

/* A reading position; take_* move it on, and answer false when something else stands there. */
struct cursor
{
	const char *at;
};

static bool
take_char(struct cursor *in, char c)
{
	if (*in->at != c)
		return false;
	in->at++;
	return true;
}

/* Exactly `digits` decimal digits of a value within [min, max]. */
static bool
take_number(struct cursor *in, int digits, int min, int max, int *out)
{
	int value = 0;

	for (int i = 0; i < digits; i++)
	{
		if (in->at[i] < '0' || in->at[i] > '9')
			return false;
		value = value * 10 + (in->at[i] - '0');
	}
	if (value < min || value > max)
		return false;
	in->at += digits;
	*out = value;
	return true;
}

static int
month_length(int year, int month)
{
	static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : lengths[month - 1];
}

/* ".ffffff", any number of digits; those after the sixth are cut. */
static bool
take_fraction(struct cursor *in, int *out_us)
{
	int scale = 100000;
	int us = 0;

	if (*in->at != '.' && *in->at != ',')
		return true;
	in->at++;
	if (*in->at < '0' || *in->at > '9')
		return false;
	for (; *in->at >= '0' && *in->at <= '9'; in->at++)
	{
		us += (*in->at - '0') * scale;
		scale /= 10;
	}
	*out_us = us;
	return true;
}

/* "Z", "+hh:mm", "+hhmm", "-hh:mm" or nothing. */
static bool
take_offset(struct cursor *in, int *out_s)
{
	int hours;
	int minutes;
	bool minus;

	if (*in->at == '\0' || take_char(in, 'Z') || take_char(in, 'z'))
		return true;
	minus = *in->at == '-';
	if (!minus && *in->at != '+')
		return false;
	in->at++;
	if (!take_number(in, 2, 0, 23, &hours))
		return false;
	(void) take_char(in, ':');
	if (!take_number(in, 2, 0, 59, &minutes))
		return false;
	*out_s = (hours * 3600 + minutes * 60) * (minus ? -1 : 1);
	return true;
}

aut_status
aut_time_parse(const char *text, int64_t *out_time_us, aut_error *err)
{
	struct cursor in = {text};
	int year, month, day, hour, minute, second;
	int fraction = 0;
	int offset_s = 0;
	int64_t days;

	if (text == NULL)
		return aut_fail(err, AUT_EINVAL, "no time given");
	if (!take_number(&in, 4, 0, 9999, &year) || !take_char(&in, '-') ||
		!take_number(&in, 2, 1, 12, &month) || !take_char(&in, '-') ||
		!take_number(&in, 2, 1, month_length(year, month), &day) ||
		!(take_char(&in, 'T') || take_char(&in, 't') || take_char(&in, ' ')) ||
		!take_number(&in, 2, 0, 23, &hour) || !take_char(&in, ':') ||
		!take_number(&in, 2, 0, 59, &minute) || !take_char(&in, ':') ||
		!take_number(&in, 2, 0, 59, &second) || !take_fraction(&in, &fraction) ||
		!take_offset(&in, &offset_s) || *in.at != '\0')
		return aut_fail(
			err, AUT_EINVAL,
			"not a time: \"%.60s\" (expected like 2026-07-01T12:34:56Z; wrong at character %td)",
			text, in.at - text + 1);
	days = aut_days_from_civil(year, month, day);
	*out_time_us = days * US_PER_DAY +
				   (hour * 3600 + minute * 60 + second - offset_s) * AUT_US_PER_S + fraction;
	return AUT_OK;
}
