/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_schedule_properties.c - what must hold for every zone of the system and every
 * change of offset from 1970 to 2037.
 *
 *   - zones agree with the C library, instant by instant;
 *   - around each change, next() and prev() walk through the very instants that a slow oracle finds
 *     by enumerating wall-clock minutes and applying the three rules one by one;
 *   - the same in zones made up, whose clocks change every few minutes or hours, by odd amounts;
 *   - anywhere, next() is later, prev() is earlier, and they are each other's inverse.
 *
 * The oracle shares nothing with the code under test but the zone's offsets (which the first
 * property checks): it knows no bit masks of months, walks no segments backwards and searches
 * nothing.
 *
 * Changes by other than an hour are all tried, of the others a fixed sample; AUT_TEST_LONG=1 tries
 * all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "automation/schedule.h"

#define FIRST_DAY   INT64_C(0)     /* 1970-01-01 */
#define LAST_DAY    INT64_C(24837) /* 2038-01-01 */
#define DAY         INT64_C(86400)
#define CHANGES_MAX 4096
#define FIRES_MAX   8192

/* Deterministic, so that a failure can be run again (xorshift64*). */
static uint64_t random_state = UINT64_C(0x9e3779b97f4a7c15);

static uint64_t
random_below(uint64_t count)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (random_state * UINT64_C(2685821657736338717) >> 11) % count;
}

static bool
is_long(void)
{
	const char *text = getenv("AUT_TEST_LONG");

	return text != NULL && strcmp(text, "1") == 0;
}

/* ---- zones --------------------------------------------------------------------------------- */

/* Offsets of one zone as stretches: stretch i lasts from begin[i] to begin[i + 1]. */
struct stretches
{
	const aut_tz *tz;
	size_t count;
	int64_t begin[CHANGES_MAX];
	int64_t offset[CHANGES_MAX];
};

static int64_t
offset_at(const aut_tz *tz, int64_t at)
{
	int32_t offset;

	aut_tz_info(tz, at * AUT_US_PER_S, &offset, NULL, NULL);
	return offset;
}

/* Find the changes by looking at every day and bisecting. */
static void
find_changes(const aut_tz *tz, struct stretches *out)
{
	out->tz = tz;
	out->count = 1;
	out->begin[0] = INT64_MIN / 4;
	out->offset[0] = offset_at(tz, FIRST_DAY * DAY);
	for (int64_t day = FIRST_DAY; day < LAST_DAY; day++)
	{
		int64_t low = day * DAY;
		int64_t high = low + DAY;

		/* the bisection finds the first change of a day; a second one is found from there */
		while (offset_at(tz, high) != out->offset[out->count - 1])
		{
			int64_t from = low;
			int64_t to = high;

			while (to - from > 1)
			{
				int64_t middle = from + (to - from) / 2;

				if (offset_at(tz, middle) == out->offset[out->count - 1])
					from = middle;
				else
					to = middle;
			}
			assert_true(out->count < CHANGES_MAX);
			out->begin[out->count] = to;
			out->offset[out->count] = offset_at(tz, to);
			out->count++;
			low = to;
		}
	}
}

typedef void zone_check(const char *name, const struct stretches *zone);

static void
every_zone(zone_check *check)
{
	static struct stretches zone;
	json_t *names = json_array();

	assert_non_null(names);
	assert_int_equal(aut_tz_list(names, NULL), AUT_OK);
	for (size_t i = 0; i < json_array_size(names); i++)
	{
		const char *name = json_string_value(json_array_get(names, i));
		const aut_tz *tz;

		assert_int_equal(aut_tz_get(name, &tz, NULL), AUT_OK);
		find_changes(tz, &zone);
		check(name, &zone);
	}
	print_message("%zu zones\n", json_array_size(names));
	json_decref(names);
}

/* ---- zones against the C library ----------------------------------------------------------- */

static void
same_as_libc(const char *name, const aut_tz *tz, int64_t at)
{
	time_t time = (time_t) at;
	struct tm tm;
	int32_t offset;
	const char *abbr;
	bool dst;

	aut_tz_info(tz, at * AUT_US_PER_S, &offset, &abbr, &dst);
	if (localtime_r(&time, &tm) == NULL || tm.tm_gmtoff != offset ||
		strcmp(tm.tm_zone, abbr) != 0 || (tm.tm_isdst > 0) != dst)
		fail_msg("%s at %lld: %d %s %d, the C library says %ld %s %d", name, (long long) at,
				 (int) offset, abbr, dst, tm.tm_gmtoff, tm.tm_zone, tm.tm_isdst);
}

static void
check_libc(const char *name, const struct stretches *zone)
{
	assert_int_equal(setenv("TZ", name, 1), 0);
	tzset();
	for (size_t i = 1; i < zone->count; i++)
	{
		same_as_libc(name, zone->tz, zone->begin[i] - 1);
		same_as_libc(name, zone->tz, zone->begin[i]);
	}
	/* 1850 to 2250: local mean time at one end, the rule of the footer at the other */
	for (int i = 0; i < 60; i++)
		same_as_libc(name, zone->tz,
					 INT64_C(-3786912000) + (int64_t) random_below(UINT64_C(12622780800)));
	assert_int_equal(unsetenv("TZ"), 0);
	tzset();
}

static void
test_schedule_properties__zones_agree_with_the_c_library(void **state)
{
	(void) state;
	every_zone(check_libc);
}

/* ---- the oracle ---------------------------------------------------------------------------- */

/* A schedule as plain sets, and its text. */
struct schedule
{
	bool minute[60];
	bool hour[24];
	bool weekday[7];
	bool every_hour;
	char text[AUT_CRON_TEXT_MAX];
};

static void
append_list(char *text, size_t size, const bool *set, int count)
{
	const char *comma = "";
	size_t len = strlen(text);

	for (int i = 0; i < count; i++)
	{
		if (!set[i])
			continue;
		(void) snprintf(text + len, size - len, "%s%d", comma, i);
		len = strlen(text);
		comma = ",";
	}
}

static void
schedule_text(struct schedule *s)
{
	s->text[0] = '\0';
	append_list(s->text, sizeof s->text, s->minute, 60);
	strncat(s->text, " ", 2);
	append_list(s->text, sizeof s->text, s->hour, 24);
	strncat(s->text, " * * ", 6);
	append_list(s->text, sizeof s->text, s->weekday, 7);
	s->every_hour = true;
	for (int i = 0; i < 24; i++)
		s->every_hour = s->every_hour && s->hour[i];
}

static int
part(int64_t local, int64_t unit, int64_t modulus)
{
	int64_t units = local >= 0 ? local / unit : -((-local + unit - 1) / unit);

	return (int) ((units % modulus + modulus) % modulus);
}

static bool
names(const struct schedule *s, int64_t local)
{
	return part(local, 1, 60) == 0 && s->minute[part(local, 60, 60)] &&
		   s->hour[part(local, 3600, 24)] && s->weekday[(part(local, DAY, 7) + 4) % 7];
}

static int
compare_times(const void *a, const void *b)
{
	const int64_t *x = a;
	const int64_t *y = b;

	return (*x > *y) - (*x < *y);
}

/*
 * All fires in [from, to), by the rules: every wall-clock minute from well before to well after is
 * looked at; the stretches tell at which instants it exists.
 */
static size_t
oracle(const struct schedule *s, const struct stretches *zone, int64_t from, int64_t to,
	   int64_t *fires)
{
	static bool gap_done[CHANGES_MAX];
	const int64_t around = 60 * 3600; /* more than two offsets of opposite sign */
	int64_t first = from - 2 * around;
	int64_t last = to + 2 * around;
	size_t count = 0;
	size_t kept = 0;

	memset(gap_done, 0, sizeof gap_done);
	first -= part(first, 1, 60);
	for (int64_t local = first; local < last; local += 60)
	{
		size_t instants = 0;
		int64_t earliest = 0;

		if (!names(s, local))
			continue;
		for (size_t i = 0; i < zone->count; i++)
		{
			int64_t at = local - zone->offset[i];

			if (at < zone->begin[i] || (i + 1 < zone->count && at >= zone->begin[i + 1]))
				continue;
			if (instants++ == 0)
				earliest = at;
			if (s->every_hour) /* rule 3, exception: at both */
				fires[count++] = at;
		}
		if (instants > 0 && !s->every_hour) /* rules 1 and 3 */
			fires[count++] = earliest;
		for (size_t i = 1; instants == 0 && i < zone->count; i++) /* rule 2 */
		{
			if (local < zone->begin[i] + zone->offset[i - 1] ||
				local >= zone->begin[i] + zone->offset[i])
				continue;
			if (!gap_done[i])
				fires[count++] = local - zone->offset[i - 1];
			gap_done[i] = true;
			break;
		}
		assert_true(count < FIRES_MAX - 8);
	}
	qsort(fires, count, sizeof *fires, compare_times);
	for (size_t i = 0; i < count; i++)
	{
		if (fires[i] >= from && fires[i] < to && (kept == 0 || fires[kept - 1] != fires[i]))
			fires[kept++] = fires[i];
	}
	return kept;
}

static void
fail_at(const char *name, const struct schedule *s, const char *what, int64_t asked, int64_t got,
		int64_t want)
{
	char a[AUT_TIME_TEXT_MAX], b[AUT_TIME_TEXT_MAX], c[AUT_TIME_TEXT_MAX];

	fail_msg("%s, \"%s\": %s of %s is %s, expected %s", name, s->text, what,
			 aut_time_format(asked, a), aut_time_format(got, b), aut_time_format(want, c));
}

static size_t walks = 0;
static size_t fires_seen = 0;

static void
walk_around(const char *name, const struct stretches *zone, const struct schedule *s, int64_t from,
			int64_t to)
{
	static int64_t fires[FIRES_MAX];
	size_t count = oracle(s, zone, from, to, fires);
	int64_t time = from * AUT_US_PER_S - 1;
	int64_t got;
	aut_cron cron;
	aut_error err = AUT_ERROR_INIT;

	if (aut_cron_parse(s->text, strlen(s->text), &cron, &err) != AUT_OK)
		fail_msg("%s: %s", s->text, err.message);
	for (size_t i = 0; i < count; i++)
	{
		assert_int_equal(aut_cron_next(&cron, zone->tz, time, &got, NULL), AUT_OK);
		if (got != fires[i] * AUT_US_PER_S)
			fail_at(name, s, "next", time, got, fires[i] * AUT_US_PER_S);
		time = got;
	}
	assert_int_equal(aut_cron_next(&cron, zone->tz, time, &got, NULL), AUT_OK);
	if (got != AUT_TIME_NONE && got < to * AUT_US_PER_S)
		fail_at(name, s, "next", time, got, to * AUT_US_PER_S);
	time = to * AUT_US_PER_S;
	for (size_t i = count; i-- > 0;)
	{
		assert_int_equal(aut_cron_prev(&cron, zone->tz, time, &got, NULL), AUT_OK);
		if (got != fires[i] * AUT_US_PER_S)
			fail_at(name, s, "prev", time, got, fires[i] * AUT_US_PER_S);
		time = got;
	}
	assert_int_equal(aut_cron_prev(&cron, zone->tz, time, &got, NULL), AUT_OK);
	if (got != AUT_TIME_NONE && got >= from * AUT_US_PER_S)
		fail_at(name, s, "prev", time, got, from * AUT_US_PER_S);
	/* asked from anywhere, not only from fire to fire */
	for (int i = 0; i < 20; i++)
	{
		size_t at = 0;

		time = (from + (int64_t) random_below((uint64_t) (to - from))) * AUT_US_PER_S +
			   (int64_t) random_below(3);
		while (at < count && fires[at] * AUT_US_PER_S <= time)
			at++;
		assert_int_equal(aut_cron_next(&cron, zone->tz, time, &got, NULL), AUT_OK);
		if (at < count && got != fires[at] * AUT_US_PER_S)
			fail_at(name, s, "next", time, got, fires[at] * AUT_US_PER_S);
		if (at > 0 && fires[at - 1] * AUT_US_PER_S == time)
			at--;
		assert_int_equal(aut_cron_prev(&cron, zone->tz, time, &got, NULL), AUT_OK);
		if (at > 0 && got != fires[at - 1] * AUT_US_PER_S)
			fail_at(name, s, "prev", time, got, fires[at - 1] * AUT_US_PER_S);
	}
	walks++;
	fires_seen += count;
}

/* Schedules that have something to do near a local hour. */
static void
make_schedule(struct schedule *s, int variant, int hour)
{
	memset(s, 0, sizeof *s);
	for (int i = 0; i < 7; i++)
		s->weekday[i] = variant != 5 || random_below(2) == 0;
	if (variant == 5)
		s->weekday[random_below(7)] = true;
	switch (variant)
	{
		case 0: /* one time of day within the hour of the change */
			s->minute[random_below(60)] = true;
			s->hour[hour] = true;
			break;
		case 1: /* the same, an hour off */
			s->minute[random_below(60)] = true;
			s->hour[(hour + (random_below(2) == 0 ? 1 : 23)) % 24] = true;
			break;
		case 2: /* every quarter, every hour */
			for (int i = 0; i < 60; i += 15)
				s->minute[i] = true;
			for (int i = 0; i < 24; i++)
				s->hour[i] = true;
			break;
		case 3: /* some minutes, every hour but one */
			for (int i = 0; i < 3; i++)
				s->minute[random_below(60)] = true;
			for (int i = 0; i < 24; i++)
				s->hour[i] = i != (hour + 12) % 24;
			break;
		case 4: /* many minutes of the hours around */
			for (int i = 0; i < 60; i += 7)
				s->minute[i] = true;
			s->hour[hour] = s->hour[(hour + 1) % 24] = s->hour[(hour + 23) % 24] = true;
			break;
		default: /* anything, on some weekdays */
			for (int i = 0; i < 4; i++)
			{
				s->minute[random_below(60)] = true;
				s->hour[random_below(24)] = true;
			}
			break;
	}
	schedule_text(s);
}

static void
check_changes(const char *name, const struct stretches *zone)
{
	for (size_t i = 1; i < zone->count; i++)
	{
		int64_t by = zone->offset[i] - zone->offset[i - 1];
		int64_t size = by < 0 ? -by : by;
		int64_t margin = size + 3 * 3600;
		struct schedule s;

		if (size == 3600 && !is_long() && random_below(12) != 0)
			continue;
		for (int variant = 0; variant < 6; variant++)
		{
			make_schedule(&s, variant, part(zone->begin[i] + zone->offset[i - 1], 3600, 24));
			walk_around(name, zone, &s, zone->begin[i] - margin, zone->begin[i] + margin);
		}
	}
}

static void
test_schedule_properties__around_every_change_the_rules_hold(void **state)
{
	(void) state;
	every_zone(check_changes);
	print_message("%zu walks, %zu fires\n", walks, fires_seen);
	assert_true(walks > 1000 && fires_seen > 10000);
}

/* ---- zones made up ------------------------------------------------------------------------- */

#define MADE_CHANGES 24
#define MADE_TYPES   8

static void
put_be(unsigned char *to, uint64_t value, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--)
	{
		to[i] = (unsigned char) value;
		value >>= 8;
	}
}

/* A zone of version 2 with random offsets, each in force for a random while. */
static void
make_zone(struct stretches *out)
{
	unsigned char file[88 + MADE_CHANGES * 9 + MADE_TYPES * 6 + 4 + 2] = {0};
	unsigned char *at = file + 88;
	unsigned char *types = at + MADE_CHANGES * 9;
	int64_t offsets[MADE_TYPES];
	int64_t begin = INT64_C(1782900000);
	/* some change within minutes, some within a day or two; some by minutes, some by hours */
	uint64_t pace = 1 + random_below(1000);
	int64_t reach = 1 + (int64_t) random_below(150);
	aut_tz *tz = NULL;
	aut_error err = AUT_ERROR_INIT;

	memcpy(file, "TZif2", 5);
	memcpy(file + 44, "TZif2", 5);
	put_be(file + 44 + 32, MADE_CHANGES, 4);
	put_be(file + 44 + 36, MADE_TYPES, 4);
	put_be(file + 44 + 40, 4, 4);
	for (int i = 0; i < MADE_TYPES; i++)
	{
		offsets[i] = ((int64_t) random_below((uint64_t) (2 * reach + 1)) - reach) * 600;
		if (random_below(4) == 0)
			offsets[i] += (int64_t) random_below(120) - 60;
		put_be(types + i * 6, (uint64_t) offsets[i], 4);
	}
	out->count = MADE_CHANGES + 1;
	out->begin[0] = INT64_MIN / 4;
	out->offset[0] = offsets[0];
	for (size_t i = 0; i < MADE_CHANGES; i++)
	{
		size_t type = random_below(MADE_TYPES);

		begin += 1 + (int64_t) random_below(pace * 200);
		put_be(at + i * 8, (uint64_t) begin, 8);
		at[MADE_CHANGES * 8 + i] = (unsigned char) type;
		out->begin[i + 1] = begin;
		out->offset[i + 1] = offsets[type];
	}
	memcpy(types + MADE_TYPES * 6, "AAA", 4);
	memcpy(types + MADE_TYPES * 6 + 4, "\n\n", 2);
	if (aut_tz_parse("made up", file, sizeof file, &tz, &err) != AUT_OK)
		fail_msg("%s", err.message);
	out->tz = tz;
}

static void
test_schedule_properties__clocks_that_change_all_the_time_keep_the_rules(void **state)
{
	static struct stretches zone;
	int zones = is_long() ? 20000 : 1000;

	(void) state;
	for (int i = 0; i < zones; i++)
	{
		struct schedule s;
		size_t middle = MADE_CHANGES / 2;
		int64_t half = 12 * 3600;

		make_zone(&zone);
		make_schedule(&s, (int) random_below(6),
					  part(zone.begin[middle] + zone.offset[middle], 3600, 24));
		walk_around("made up", &zone, &s, zone.begin[middle] - half, zone.begin[middle] + half);
		aut_tz_free((aut_tz *) (uintptr_t) zone.tz);
	}
}

/* ---- anywhere ------------------------------------------------------------------------------ */

static void
random_schedule(char *text, size_t size)
{
	static const char *const minutes[] = {"*", "*/7", "30", "0,59", "R", "15-45/5", "0"};
	static const char *const hours[] = {"*", "2", "1-3", "*/5", "23,0", "22-2"};
	static const char *const days[] = {"*", "1", "L", "15W", "28-3", "31", "*/2"};
	static const char *const months[] = {"*", "2", "*/3", "mar,oct", "nov-jan"};
	static const char *const weekdays[] = {"*", "0", "1-5", "5#2", "L1", "sat-mon", "?"};

#define PICK(list) list[random_below(sizeof list / sizeof list[0])]
	(void) snprintf(text, size, "%s %s %s %s %s", PICK(minutes), PICK(hours), PICK(days),
					PICK(months), PICK(weekdays));
#undef PICK
}

static void
check_anywhere(const char *name, const struct stretches *zone)
{
	for (int i = 0; i < 40; i++)
	{
		char text[100];
		aut_cron cron;
		int64_t time = (int64_t) random_below((uint64_t) (LAST_DAY * DAY)) * AUT_US_PER_S +
					   (int64_t) random_below(2);
		int64_t next, back, prev, forth;

		random_schedule(text, sizeof text);
		assert_int_equal(aut_cron_parse(text, strlen(text), &cron, NULL), AUT_OK);
		if (cron.random != 0)
			continue;
		assert_int_equal(aut_cron_next(&cron, zone->tz, time, &next, NULL), AUT_OK);
		assert_int_equal(aut_cron_prev(&cron, zone->tz, time, &prev, NULL), AUT_OK);
		if (next == AUT_TIME_NONE || prev == AUT_TIME_NONE)
			continue;
		assert_true(next > time && prev < time);
		assert_int_equal(aut_cron_prev(&cron, zone->tz, next, &back, NULL), AUT_OK);
		assert_int_equal(aut_cron_next(&cron, zone->tz, prev, &forth, NULL), AUT_OK);
		/* nothing lies between prev and next but possibly `time` itself */
		if (!(back == prev || back == time) || !(forth == next || forth == time))
			fail_msg("%s, \"%s\" at %lld: prev and next disagree", name, text, (long long) time);
		assert_int_equal(aut_cron_prev(&cron, zone->tz, next + 1, &back, NULL), AUT_OK);
		assert_int_equal(aut_cron_next(&cron, zone->tz, prev - 1, &forth, NULL), AUT_OK);
		assert_true(back == next && forth == prev);
	}
}

static void
test_schedule_properties__next_and_prev_are_inverse_anywhere(void **state)
{
	(void) state;
	every_zone(check_anywhere);
}

static int
clear_cache(void **state)
{
	(void) state;
	aut_tz_cache_clear();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_schedule_properties__zones_agree_with_the_c_library),
		cmocka_unit_test(test_schedule_properties__around_every_change_the_rules_hold),
		cmocka_unit_test(test_schedule_properties__clocks_that_change_all_the_time_keep_the_rules),
		cmocka_unit_test(test_schedule_properties__next_and_prev_are_inverse_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, clear_cache);
}
