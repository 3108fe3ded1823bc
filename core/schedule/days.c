/* SPDX-License-Identifier: MIT */
/*
 * core/schedule/days.c - which local times does an expression name?
 *
 * The search walks years and months and never single days: for a month it makes one word whose bit
 * d says whether day d fires, and takes the next bit; hour, minute and second are bits already.
 * So the longest search there is (50 years without a fire) looks at 600 months.
 */
#include "core/schedule/days.h"

#define DAY INT64_C(86400)

/* ---- bits ---------------------------------------------------------------------------------- */

/* Lowest bit at or above from (0..64), or -1. */
static int
bit_from(uint64_t bits, int from)
{
	if (from >= 64 || bits >> from == 0)
		return -1;
	return from + __builtin_ctzll(bits >> from);
}

/* Highest bit at or below to (-1..63), or -1. */
static int
bit_to(uint64_t bits, int to)
{
	if (to < 0)
		return -1;
	bits &= UINT64_MAX >> (63 - to);
	return bits != 0 ? 63 - __builtin_clzll(bits) : -1;
}

/* ---- the days of a month ------------------------------------------------------------------- */

struct month
{
	int64_t first; /* its first day, since 1970 */
	int length;
	int weekday; /* of the first day, 0 = Sunday */
};

static void
month_init(struct month *out, int64_t year, int month)
{
	out->first = aut_days_from_civil(year, month, 1);
	out->length = (int) ((month == 12 ? aut_days_from_civil(year + 1, 1, 1)
									  : aut_days_from_civil(year, month + 1, 1)) -
						 out->first);
	out->weekday = (int) (((out->first + 4) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */
}

/* Bits of the days that are the given weekday. */
static uint32_t
weekday_days(const struct month *month, int weekday)
{
	const uint32_t every_seventh = 1u | 1u << 7 | 1u << 14 | 1u << 21 | 1u << 28;
	int first = 1 + (weekday - month->weekday + 7) % 7;
	uint32_t all = UINT32_MAX >> (31 - month->length) & ~1u;

	return every_seventh << first & all;
}

static uint32_t
special_days(const aut_cron *cron, const struct month *month)
{
	uint32_t days = 0;

	for (int weekday = 0; weekday < 7; weekday++)
	{
		uint32_t those = weekday_days(month, weekday);
		int first = __builtin_ctz(those);

		for (int nth = 1; nth <= 5; nth++)
		{
			if ((cron->dow_nth[weekday] >> nth & 1) != 0 && first + 7 * (nth - 1) <= month->length)
				days |= 1u << (first + 7 * (nth - 1));
		}
		if ((cron->dow_last >> weekday & 1) != 0)
			days |= 1u << (31 - __builtin_clz(those));
	}
	return days;
}

/* The weekday nearest to a day, without leaving the month; a day the month lacks means its last. */
static uint32_t
nearest_day(int day, const struct month *month)
{
	int weekday;

	if (day > month->length)
		day = month->length;
	weekday = (month->weekday + day - 1) % 7;
	if (weekday == 6)
		day += day == 1 ? 2 : -1;
	else if (weekday == 0)
		day += day == month->length ? -2 : 1;
	return 1u << day;
}

/*
 * Bits 1..31 of the days that fire.  When both day fields restrict, either suffices - but a
 * special weekday (#, Ld) then pushes the day of month out, and W the weekday; W and # together
 * must both hold.
 */
static uint32_t
month_days(const aut_cron *cron, aut__days_mode mode, const struct month *month)
{
	uint32_t all = UINT32_MAX >> (31 - month->length) & ~1u;
	uint32_t dom = all;
	uint32_t dow = all;

	if (cron->dom_nearest != 0)
		dom = nearest_day(cron->dom_nearest, month);
	else if (!cron->dom_star)
		dom = (cron->dom | (cron->dom_last ? 1u << month->length : 0)) & all;
	if (cron->dow_special)
		dow = special_days(cron, month);
	else if (!cron->dow_star)
	{
		dow = 0;
		for (int weekday = 0; weekday < 7; weekday++)
		{
			if ((cron->dow >> weekday & 1) != 0)
				dow |= weekday_days(month, weekday);
		}
	}
	if (mode == AUT__DAYS_BOTH)
		return dom & dow;
	if (cron->dow_special)
		return cron->dom_nearest != 0 || cron->dow_star || cron->dom_star ? dom & dow : dow;
	if (cron->dom_nearest != 0)
		return dom;
	if (!cron->dom_star && !cron->dow_star)
		return dom | dow;
	return dom & dow;
}

static bool
year_fires(const aut_cron *cron, int64_t year)
{
	if (cron->year_star)
		return true;
	if (year < AUT_CRON_YEAR_MIN || year > AUT_CRON_YEAR_MAX)
		return false;
	year -= AUT_CRON_YEAR_MIN;
	return (cron->year[year / 64] >> (year % 64) & 1) != 0;
}

/* ---- time of day --------------------------------------------------------------------------- */

/* First second of day at or after `from` (0..86399), or -1. */
static int
time_from(const aut_cron *cron, int from)
{
	int hour = from / 3600;
	int minute = from / 60 % 60;
	int second = bit_from(cron->second, from % 60);
	int h = bit_from(cron->hour, hour);

	if (h == hour && second < 0)
		minute++; /* this minute is over */
	if (h == hour)
	{
		int m = bit_from(cron->minute, minute);

		if (m >= 0)
			return hour * 3600 + m * 60 +
				   (m == from / 60 % 60 ? second : bit_from(cron->second, 0));
		h = bit_from(cron->hour, hour + 1);
	}
	if (h < 0)
		return -1;
	return h * 3600 + bit_from(cron->minute, 0) * 60 + bit_from(cron->second, 0);
}

/* Last second of day at or before `to` (0..86399), or -1. */
static int
time_to(const aut_cron *cron, int to)
{
	int hour = to / 3600;
	int minute = to / 60 % 60;
	int second = bit_to(cron->second, to % 60);
	int h = bit_to(cron->hour, hour);

	if (h == hour && second < 0)
		minute--;
	if (h == hour)
	{
		int m = bit_to(cron->minute, minute);

		if (m >= 0)
			return hour * 3600 + m * 60 + (m == to / 60 % 60 ? second : bit_to(cron->second, 63));
		h = bit_to(cron->hour, hour - 1);
	}
	if (h < 0)
		return -1;
	return h * 3600 + bit_to(cron->minute, 63) * 60 + bit_to(cron->second, 63);
}

/* ---- the walk ------------------------------------------------------------------------------ */

static int64_t
day_of(int64_t local)
{
	int64_t day = local / DAY;

	return local % DAY < 0 ? day - 1 : day;
}

int64_t
aut__local_year(int64_t year)
{
	return aut_days_from_civil(year, 1, 1) * DAY;
}

int64_t
aut__year_of_local(int64_t local)
{
	int64_t year;
	int month;
	int day;

	aut_civil_from_days(day_of(local), &year, &month, &day);
	return year;
}

/* An expression whose minute or hour set is empty names nothing; parsing never makes one. */
static bool
names_nothing(const aut_cron *cron)
{
	return cron->second == 0 || cron->minute == 0 || cron->hour == 0 || cron->month == 0;
}

int64_t
aut__local_next(const aut_cron *cron, aut__days_mode mode, int64_t low, int64_t high)
{
	int64_t year;
	int month_number;
	int day;

	if (low >= high || names_nothing(cron))
		return AUT__LOCAL_NONE;
	aut_civil_from_days(day_of(low), &year, &month_number, &day);
	for (;;)
	{
		struct month month;
		uint32_t days;
		int next_month = year_fires(cron, year) ? bit_from(cron->month, month_number) : -1;

		if (next_month != month_number)
		{
			/* on to the beginning of a month that fires, in this year or the next */
			if (next_month < 0)
				year++;
			month_number = next_month < 0 ? 1 : next_month;
			day = 1;
			if (aut_days_from_civil(year, month_number, 1) * DAY >= high)
				return AUT__LOCAL_NONE;
			continue;
		}
		month_init(&month, year, month_number);
		days = month_days(cron, mode, &month);
		for (day = bit_from(days, day); day >= 0; day = bit_from(days, day + 1))
		{
			int64_t midnight = (month.first + day - 1) * DAY;
			int second = time_from(cron, midnight < low ? (int) (low - midnight) : 0);

			if (second >= 0)
				return midnight + second < high ? midnight + second : AUT__LOCAL_NONE;
		}
		/* nothing left in this month: the branch above moves on */
		month_number++;
		day = 1;
		if (month.first * DAY + month.length * DAY >= high)
			return AUT__LOCAL_NONE;
		if (month_number == 13)
		{
			month_number = 1;
			year++;
		}
	}
}

int64_t
aut__local_prev(const aut_cron *cron, aut__days_mode mode, int64_t low, int64_t high)
{
	int64_t last = high - 1;
	int64_t year;
	int month_number;
	int day;

	if (low >= high || names_nothing(cron))
		return AUT__LOCAL_NONE;
	aut_civil_from_days(day_of(last), &year, &month_number, &day);
	for (;;)
	{
		struct month month;
		uint32_t days;
		int prev_month = year_fires(cron, year) ? bit_to(cron->month, month_number) : -1;

		if (prev_month != month_number)
		{
			if (prev_month < 0)
				year--;
			month_number = prev_month < 0 ? 12 : prev_month;
			day = 31;
			/* no month is longer than that */
			if ((aut_days_from_civil(year, month_number, 1) + 31) * DAY <= low)
				return AUT__LOCAL_NONE;
			continue;
		}
		month_init(&month, year, month_number);
		days = month_days(cron, mode, &month);
		for (day = bit_to(days, day); day >= 0; day = bit_to(days, day - 1))
		{
			int64_t midnight = (month.first + day - 1) * DAY;
			int second =
				time_to(cron, last - midnight < DAY - 1 ? (int) (last - midnight) : (int) DAY - 1);

			if (second >= 0)
				return midnight + second >= low ? midnight + second : AUT__LOCAL_NONE;
		}
		month_number--;
		day = 31;
		if (month.first * DAY <= low)
			return AUT__LOCAL_NONE;
		if (month_number == 0)
		{
			month_number = 12;
			year--;
		}
	}
}
