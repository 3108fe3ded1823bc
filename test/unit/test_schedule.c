/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_schedule.c - cron expressions, zones and fire times.
 *
 * Two kinds: the oracle rows of test/vectors (cron.jsonl, cron_due.jsonl), every one of which must
 * pass; and behaviours stated here, mostly around changes of offset and at the borders of the
 * formats. Zone data comes from the system.  A row is left out only when the system lacks its
 * zone, or has other data for it than the release the rows were made with; rows_left_out() says
 * which and why.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "automation/schedule.h"

/* ---- helpers ------------------------------------------------------------------------------- */

static int64_t
at(const char *text)
{
	int64_t us;
	aut_error err = AUT_ERROR_INIT;

	if (aut_time_parse(text, &us, &err) != AUT_OK)
		fail_msg("%s", err.message);
	return us;
}

static aut_cron
cron_of(const char *expr)
{
	aut_cron cron;
	aut_error err = AUT_ERROR_INIT;

	if (aut_cron_parse(expr, strlen(expr), &cron, &err) != AUT_OK)
		fail_msg("%s: %s", expr, err.message);
	return cron;
}

static const aut_tz *
zone(const char *name)
{
	const aut_tz *tz;
	aut_error err = AUT_ERROR_INIT;

	if (aut_tz_get(name, &tz, &err) != AUT_OK)
		fail_msg("%s: %s", name, err.message);
	return tz;
}

/* next() and prev() answer exactly these instants, one after the other, both ways. */
static void
assert_fires(const char *expr, const char *tz, const char *after, const char *const *want)
{
	aut_cron cron = cron_of(expr);
	int64_t time = at(after);
	int64_t got;
	char text[AUT_TIME_TEXT_MAX];

	for (; *want != NULL; want++)
	{
		assert_int_equal(aut_cron_next(&cron, zone(tz), time, &got, NULL), AUT_OK);
		if (got != at(*want))
			fail_msg("%s in %s: got %s, expected %s", expr, tz, aut_time_format(got, text), *want);
		if (time != at(after))
		{
			int64_t back;

			assert_int_equal(aut_cron_prev(&cron, zone(tz), got, &back, NULL), AUT_OK);
			if (back != time)
				fail_msg("%s in %s: before %s got %s", expr, tz, *want,
						 aut_time_format(back, text));
		}
		time = got;
	}
}

#define ASSERT_FIRES(expr, tz, after, ...)                                                         \
	assert_fires(expr, tz, after, (const char *const[]){__VA_ARGS__, NULL})

static void
assert_refused(const char *expr, const char *hint)
{
	aut_cron cron;
	aut_error err = AUT_ERROR_INIT;

	if (aut_cron_parse(expr, strlen(expr), &cron, &err) != AUT_EINVAL)
		fail_msg("accepted: %s", expr);
	if (strstr(err.message, hint) == NULL)
		fail_msg("%s: \"%s\" does not say \"%s\"", expr, err.message, hint);
}

/* ---- vectors ------------------------------------------------------------------------------- */

/*
 * Why this row is not asked, or NULL.  The rows were made with tzdata 2026f.  A system with an
 * older release (or one that does not say) cannot answer for the zones that changed since; those
 * are listed with the release that changed them, from the NEWS of the tz database.
 */
static const char *
rows_left_out(const char *tz)
{
	static const struct
	{
		const char *zone, *since, *why;
	} changed[] = {
		{"America/Havana", "2026f", "tzdata before 2026f: Cuba stays on -04 through 2027-11-07"},
		{"Africa/Casablanca", "2026c", "tzdata before 2026c: Morocco moves to permanent +00"},
		{"America/Asuncion", "2025a", "tzdata before 2025a: Paraguay adopts permanent -03"},
		{"Asia/Gaza", "2024a", "tzdata before 2024a: Palestine springs forward a week later"},
		{"Africa/Cairo", "2023a", "tzdata before 2023a: Egypt uses summer time again"},
		{"America/Nuuk", "2023a", "tzdata before 2023a: Greenland moves to -02/-01"},
		{"Asia/Tehran", "2022b", "tzdata before 2022b: Iran has no summer time"},
	};
	char version[64] = "";
	FILE *file = fopen("/usr/share/zoneinfo/tzdata.zi", "re");

	if (file != NULL)
	{
		char line[128] = "";

		if (fgets(line, sizeof line, file) != NULL)
			(void) sscanf(line, "# version %63s", version);
		(void) fclose(file);
	}
	for (size_t i = 0; i < sizeof changed / sizeof changed[0]; i++)
	{
		if (strcmp(tz, changed[i].zone) == 0 && strcmp(version, changed[i].since) < 0)
			return changed[i].why;
	}
	/* EST is a legacy name that some systems keep in a package of its own */
	if (strcmp(tz, "EST") == 0 && access("/usr/share/zoneinfo/EST", R_OK) != 0)
		return "legacy zone name absent from the system's zone folder";
	return NULL;
}

static const char *
member(const json_t *row, const char *key)
{
	const char *text = aut_json_string(row, key);

	if (text == NULL)
		fail_msg("row without %s", key);
	return text;
}

typedef bool row_check(const json_t *row, char *why, size_t why_size);

/* Ask every row; names each failing one, then fails. */
static void
run_rows(const char *path, size_t least, row_check *check)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t cap = 0;
	size_t rows = 0;
	size_t bad = 0;
	ssize_t len;

	if (file == NULL)
		fail_msg("cannot open %s (run from the top folder)", path);
	while ((len = getline(&line, &cap, file)) > 0)
	{
		json_t *row;
		char why[512] = "";
		const char *reason;

		assert_int_equal(aut_json_parse(line, (size_t) len, &row, NULL), AUT_OK);
		reason = rows_left_out(member(row, "tz"));
		rows++;
		if (reason != NULL)
			print_message("left out: %s in %s: %s\n", member(row, "id"), member(row, "tz"), reason);
		else if (!check(row, why, sizeof why))
		{
			bad++;
			print_error("%s: \"%s\" in %s: %s\n", member(row, "id"), member(row, "expr"),
						member(row, "tz"), why);
		}
		json_decref(row);
	}
	free(line);
	(void) fclose(file);
	print_message("%zu rows of %s, %zu wrong\n", rows, path, bad);
	assert_true(rows >= least);
	assert_int_equal(bad, 0);
}

static bool
same_instant(const json_t *want, int64_t got, const char *what, char *why, size_t why_size)
{
	char text[AUT_TIME_TEXT_MAX];
	bool same = json_is_string(want) ? got == at(json_string_value(want)) : got == AUT_TIME_NONE;

	if (!same)
		(void) snprintf(why, why_size, "%s is %s, expected %s", what, aut_time_format(got, text),
						json_is_string(want) ? json_string_value(want) : "none");
	return same;
}

static bool
cron_row(const json_t *row, char *why, size_t why_size)
{
	const json_t *next = json_object_get(row, "next");
	aut_schedule_problem problem;
	aut_cron cron;
	const aut_tz *tz;
	aut_error err = AUT_ERROR_INIT;
	int64_t time = at(member(row, "after"));
	int64_t got;
	aut_status status =
		aut_schedule_check(member(row, "expr"), member(row, "tz"), &problem, &cron, &tz, &err);

	if (json_is_true(json_object_get(row, "error")))
	{
		(void) snprintf(why, why_size, "answers %s, expected %s",
						aut_schedule_problem_name(problem), member(row, "reason"));
		return status == AUT_EINVAL && err.message[0] != '\0' &&
			   strcmp(aut_schedule_problem_name(problem), member(row, "reason")) == 0;
	}
	(void) snprintf(why, why_size, "refused: %s", err.message);
	if (status != AUT_OK)
		return false;
	if (json_is_true(json_object_get(row, "nondeterministic")))
	{
		(void) snprintf(why, why_size, "no field is random");
		return cron.random != 0;
	}
	if (aut_cron_prev(&cron, tz, time, &got, NULL) != AUT_OK ||
		!same_instant(json_object_get(row, "prev"), got, "prev", why, why_size))
		return false;
	for (size_t i = 0; i < json_array_size(next); i++)
	{
		if (aut_cron_next(&cron, tz, time, &time, NULL) != AUT_OK ||
			!same_instant(json_array_get(next, i), time, "next", why, why_size))
			return false;
	}
	if (!json_is_true(json_object_get(row, "end")))
		return true;
	return aut_cron_next(&cron, tz, time, &time, NULL) == AUT_OK &&
		   same_instant(NULL, time, "next", why, why_size);
}

static bool
due_row(const json_t *row, char *why, size_t why_size)
{
	const char *last = aut_json_string(row, "last_triggered");
	aut_cron cron = cron_of(member(row, "expr"));
	bool due;
	int64_t slot;

	if (aut_cron_due(&cron, zone(member(row, "tz")), at(member(row, "now")),
					 last != NULL ? at(last) : AUT_TIME_NONE, at(member(row, "created")), &due,
					 &slot, NULL) != AUT_OK)
		return false;
	(void) snprintf(why, why_size, "due is %s", due ? "true" : "false");
	return due == json_is_true(json_object_get(row, "due")) &&
		   (slot == AUT_TIME_NONE) == json_is_true(json_object_get(row, "no_prev"));
}

static void
test_schedule__every_oracle_row_of_cron_holds(void **state)
{
	(void) state;
	run_rows("test/vectors/cron.jsonl", 1188, cron_row);
}

static void
test_schedule__every_oracle_row_of_cron_due_holds(void **state)
{
	(void) state;
	run_rows("test/vectors/cron_due.jsonl", 180, due_row);
}

/* ---- the parser ---------------------------------------------------------------------------- */

static void
test_schedule__refusals_name_field_and_remedy(void **state)
{
	(void) state;
	assert_refused("", "empty");
	assert_refused("   ", "0 fields, expected 5");
	assert_refused("* * * *", "4 fields, expected 5");
	assert_refused("60 * * * *", "minute field \"60\": 60 is out of range, expected 0-59");
	assert_refused("0 24 * * *", "hour field \"24\"");
	assert_refused("0 0 0 * *", "day-of-month field \"0\": 0 is out of range, expected 1-31");
	assert_refused("0 0 1 13 *", "expected 1-12 or jan-dec");
	assert_refused("0 0 * * 8", "expected 0-7 or sun-sat");
	assert_refused("0 0 * * * 60", "second field");
	assert_refused("0 0 1 1 * 0 1969", "expected 1970-2099");
	assert_refused("*/0 * * * *", "at least 1");
	assert_refused("1,,2 * * * *", "element of the list is empty");
	assert_refused("-5 * * * *", "negative");
	assert_refused("H * * * *", "hashed");
	assert_refused("0 0 * * 5L", "L5, not 5L");
	assert_refused("0 0 * * 1-5#1", "mon-wed#2");
	assert_refused("0 0 * * 5#6", "1 to 5");
	assert_refused("0 0 * * 1,fri#3", "cannot be mixed");
	assert_refused("0 0 15W,1 * *", "cannot be part of a list");
	assert_refused("0 0 W * *", "like 15W");
	assert_refused("0 0 ? * ?,1", "? must stand alone");
	assert_refused("? * * * *", "day fields only");
	assert_refused("R,5 * * * *", "not in a list");
	assert_refused("R(5-2) * * * *", "must rise");
	assert_refused("@reboot", "unknown alias");
	assert_refused(" @daily", "nothing beside it");
	assert_refused("0 0 * * m\xc3\xb6n", "byte 10 is not a printable ASCII");
}

static void
test_schedule__a_nul_inside_is_refused(void **state)
{
	aut_cron cron;

	(void) state;
	assert_int_equal(aut_cron_parse("0 0 * * *\0", 10, &cron, NULL), AUT_EINVAL);
	assert_int_equal(aut_cron_parse(NULL, 0, &cron, NULL), AUT_EINVAL);
}

static void
test_schedule__length_is_bounded(void **state)
{
	char text[AUT_CRON_TEXT_MAX + 2];
	aut_cron cron;

	(void) state;
	memset(text, ' ', sizeof text);
	memcpy(text, "0 0 * * *", 9);
	assert_int_equal(aut_cron_parse(text, AUT_CRON_TEXT_MAX, &cron, NULL), AUT_OK);
	assert_int_equal(aut_cron_parse(text, AUT_CRON_TEXT_MAX + 1, &cron, NULL), AUT_EINVAL);
}

static void
test_schedule__seconds_are_the_sixth_field(void **state)
{
	(void) state;
	ASSERT_FIRES("0 0 * * * 30", "UTC", "2026-07-01T00:00:00Z", "2026-07-01T00:00:30Z",
				 "2026-07-02T00:00:30Z");
	ASSERT_FIRES("* * * * * */20", "UTC", "2026-07-01T00:00:00.5Z", "2026-07-01T00:00:20Z",
				 "2026-07-01T00:00:40Z", "2026-07-01T00:01:00Z");
}

static void
test_schedule__sunday_is_zero_and_seven(void **state)
{
	(void) state;
	ASSERT_FIRES("0 0 * * 1-7/3", "UTC", "2026-07-01T00:00:00Z", "2026-07-02T00:00:00Z",
				 "2026-07-05T00:00:00Z", "2026-07-06T00:00:00Z");
	ASSERT_FIRES("0 0 * * 6-3/2", "UTC", "2026-07-01T00:00:00Z", "2026-07-04T00:00:00Z",
				 "2026-07-07T00:00:00Z");
	ASSERT_FIRES("0 0 * * 7 0", "UTC", "2026-07-01T00:00:00Z", "2026-07-05T00:00:00Z",
				 "2026-07-12T00:00:00Z");
}

static void
test_schedule__a_full_list_beside_a_star_is_a_star(void **state)
{
	(void) state;
	ASSERT_FIRES("0 0 */1 * */2", "UTC", "2026-07-01T00:00:00Z", "2026-07-02T00:00:00Z",
				 "2026-07-04T00:00:00Z", "2026-07-05T00:00:00Z");
	ASSERT_FIRES("0 0 1-31,L * */2", "UTC", "2026-07-01T00:00:00Z", "2026-07-02T00:00:00Z",
				 "2026-07-03T00:00:00Z");
	ASSERT_FIRES("0 0 */2 * 0-6", "UTC", "2026-07-01T00:00:00Z", "2026-07-03T00:00:00Z",
				 "2026-07-05T00:00:00Z");
}

static void
test_schedule__check_names_the_problem(void **state)
{
	static const struct
	{
		const char *expr, *zone;
		aut_schedule_problem problem;
	} cases[] = {
		{"0 9 * * *", "Europe/Berlin", AUT_SCHEDULE_OK},
		{"0 9 * * 8", "Europe/Berlin", AUT_SCHEDULE_INVALID},
		{"0 0 31 2 *", "UTC", AUT_SCHEDULE_NEVER_FIRES},
		{"0 0 15W * 6", "UTC", AUT_SCHEDULE_NEVER_FIRES},
		{"0 0 15 * 5#1", "UTC", AUT_SCHEDULE_NEVER_FIRES},
		{"59 23 31 12 * 59 2076", "UTC", AUT_SCHEDULE_OK},
		{"0 0 1 1 * 0 2077", "UTC", AUT_SCHEDULE_NEVER_FIRES},
		{"0 0 1 1 * 0 R(1980-1990)", "UTC", AUT_SCHEDULE_NEVER_FIRES},
		{"0 0 1 1 * 0 R", "UTC", AUT_SCHEDULE_OK},
		{"0 9 * * *", "Mars/Olympus", AUT_SCHEDULE_TIMEZONE},
		{"0 9 * * *", "America", AUT_SCHEDULE_TIMEZONE},
		{"0 9 * * *", "", AUT_SCHEDULE_TIMEZONE},
	};

	(void) state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
	{
		aut_schedule_problem problem;
		aut_error err = AUT_ERROR_INIT;
		aut_status status =
			aut_schedule_check(cases[i].expr, cases[i].zone, &problem, NULL, NULL, &err);

		if (problem != cases[i].problem)
			fail_msg("%s: %s", cases[i].expr, aut_schedule_problem_name(problem));
		assert_int_equal(status, problem == AUT_SCHEDULE_OK ? AUT_OK : AUT_EINVAL);
		assert_true((err.message[0] == '\0') == (problem == AUT_SCHEDULE_OK));
	}
}

static void
test_schedule__random_fields_are_drawn_within_their_bounds(void **state)
{
	aut_cron cron = cron_of("R(10-12) R/8 R(2-30)/7 * *");
	bool seen[60] = {false};
	int different = 0;

	(void) state;
	for (int i = 0; i < 500; i++)
	{
		int64_t fire;
		char text[AUT_TIME_TEXT_MAX];
		int minute, day;

		assert_int_equal(aut_cron_next(&cron, zone("UTC"), at("2026-07-01T00:00:00Z"), &fire, NULL),
						 AUT_OK);
		assert_true(fire > at("2026-07-01T00:00:00Z"));
		assert_int_equal(sscanf(aut_time_format(fire, text), "2026-07-%2dT%*2d:%2d", &day, &minute),
						 2);
		assert_in_range(minute, 10, 12);
		assert_in_range(day, 2, 8);
		different += !seen[minute];
		seen[minute] = true;
	}
	/* 500 draws that miss one of three values: one in 10^87 */
	assert_int_equal(different, 3);
}

/* ---- changes of offset --------------------------------------------------------------------- */

static void
test_schedule__dst_gap_fires_once_and_shifted(void **state)
{
	(void) state;
	ASSERT_FIRES("30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", "2026-03-08T07:30:00Z",
				 "2026-03-09T06:30:00Z");
	/* of several in one gap only the first */
	ASSERT_FIRES("*/20 2 * * *", "America/New_York", "2026-03-08T06:00:00Z", "2026-03-08T07:00:00Z",
				 "2026-03-09T06:00:00Z");
	/* 02:30 becomes 03:30, which is named too: once */
	ASSERT_FIRES("30 2,3 * * *", "America/New_York", "2026-03-08T00:00:00Z", "2026-03-08T07:30:00Z",
				 "2026-03-09T06:30:00Z");
	/* 02:30 becomes 03:30, and 03:15 in between is not lost */
	ASSERT_FIRES("30,15 2,3 * * *", "America/New_York", "2026-03-08T00:00:00Z",
				 "2026-03-08T07:15:00Z", "2026-03-08T07:30:00Z");
}

static void
test_schedule__asked_after_the_gap_the_shifted_fire_still_comes(void **state)
{
	(void) state;
	ASSERT_FIRES("30 2 * * *", "America/New_York", "2026-03-08T07:10:00Z", "2026-03-08T07:30:00Z");
}

static void
test_schedule__overlap_fires_once_unless_every_hour_is_named(void **state)
{
	(void) state;
	ASSERT_FIRES("30 1 * * *", "America/New_York", "2026-11-01T00:00:00Z", "2026-11-01T05:30:00Z",
				 "2026-11-02T06:30:00Z");
	ASSERT_FIRES("30 * * * *", "America/New_York", "2026-11-01T04:45:00Z", "2026-11-01T05:30:00Z",
				 "2026-11-01T06:30:00Z", "2026-11-01T07:30:00Z");
	ASSERT_FIRES("30 0-23 * * *", "America/New_York", "2026-11-01T05:30:00Z",
				 "2026-11-01T06:30:00Z");
	/* asked within the second pass, nothing is repeated */
	ASSERT_FIRES("*/10 1,2 * * *", "America/New_York", "2026-11-01T06:05:00Z",
				 "2026-11-01T07:00:00Z");
}

static void
test_schedule__a_day_that_was_skipped_fires_a_day_later(void **state)
{
	(void) state;
	/* Samoa had no 30 December 2011: it fires on the 31st, where the daily one fires anyway */
	ASSERT_FIRES("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", "2011-12-29T22:00:00Z",
				 "2011-12-30T22:00:00Z", "2011-12-31T22:00:00Z");
	ASSERT_FIRES("0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", "2011-12-30T22:00:00Z",
				 "2012-12-29T22:00:00Z");
}

static void
test_schedule__half_hour_changes_hold(void **state)
{
	(void) state;
	ASSERT_FIRES("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z",
				 "2026-10-03T15:45:00Z", "2026-10-04T15:15:00Z");
	ASSERT_FIRES("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z",
				 "2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z");
}

static void
test_schedule__negative_dst_is_only_another_offset(void **state)
{
	int32_t offset;
	bool dst;
	const char *abbr;

	(void) state;
	aut_tz_info(zone("Europe/Dublin"), at("2027-01-01T00:00:00Z"), &offset, &abbr, &dst);
	assert_int_equal(offset, 0);
	assert_string_equal(abbr, "GMT");
	aut_tz_info(zone("Europe/Dublin"), at("2027-07-01T00:00:00Z"), &offset, &abbr, NULL);
	assert_int_equal(offset, 3600);
	assert_string_equal(abbr, "IST");
	ASSERT_FIRES("30 1 * * *", "Europe/Dublin", "2027-03-28T00:00:00Z", "2027-03-28T01:30:00Z",
				 "2027-03-29T00:30:00Z");
}

static void
test_schedule__rules_hold_far_beyond_the_file(void **state)
{
	int32_t offset;

	(void) state;
	aut_tz_info(zone("Europe/Berlin"), at("2500-07-01T00:00:00Z"), &offset, NULL, NULL);
	assert_int_equal(offset, 7200);
	ASSERT_FIRES("30 2 * * 0", "Europe/Berlin", "2399-03-27T00:00:00Z", "2399-03-28T01:30:00Z",
				 "2399-04-04T00:30:00Z");
}

static void
test_schedule__local_mean_time_has_seconds(void **state)
{
	(void) state;
	/* Berlin was 53:28 east until 1893-04-01 */
	ASSERT_FIRES("0 0 * * *", "Europe/Berlin", "1893-03-30T12:00:00Z", "1893-03-30T23:06:32Z",
				 "1893-03-31T23:06:32Z", "1893-04-01T23:00:00Z");
}

static void
test_schedule__due_is_the_latest_slot_after_the_reference(void **state)
{
	aut_cron cron = cron_of("30 2 * * *");
	bool due;
	int64_t slot;

	(void) state;
	/* in the half hour the reference fires again and again: due once, at its own time */
	assert_int_equal(aut_cron_due(&cron, zone("America/New_York"), at("2026-03-08T07:15:00Z"),
								  at("2026-03-07T07:30:01Z"), AUT_TIME_NONE, &due, &slot, NULL),
					 AUT_OK);
	assert_false(due);
	assert_int_equal(aut_cron_due(&cron, zone("America/New_York"), at("2026-03-08T07:30:01Z"),
								  at("2026-03-07T07:30:01Z"), AUT_TIME_NONE, &due, &slot, NULL),
					 AUT_OK);
	assert_true(due);
	assert_int_equal(slot, at("2026-03-08T07:30:00Z"));
}

static void
test_schedule__the_ends_of_time_answer_none(void **state)
{
	aut_cron cron = cron_of("0 0 * * *");
	int64_t got;

	(void) state;
	assert_int_equal(aut_cron_next(&cron, zone("Europe/Berlin"), INT64_MAX, &got, NULL), AUT_OK);
	assert_true(got == AUT_TIME_NONE);
	assert_int_equal(aut_cron_prev(&cron, zone("Europe/Berlin"), INT64_MIN, &got, NULL), AUT_OK);
	assert_true(got == AUT_TIME_NONE);
	assert_int_equal(aut_cron_prev(&cron, zone("Europe/Berlin"), INT64_MAX, &got, NULL), AUT_OK);
	assert_true(got != AUT_TIME_NONE);
	assert_int_equal(aut_cron_next(&cron, zone("Europe/Berlin"), INT64_MIN, &got, NULL), AUT_OK);
	assert_true(got != AUT_TIME_NONE);
}

static void
test_schedule__a_vain_search_is_short(void **state)
{
	static const char *const vain[] = {"0 0 31 2 *", "* * * * * * 1970", "0 0 30 2 * 0 2000-2099"};
	struct timespec from, to;
	double ms;

	(void) state;
	for (size_t i = 0; i < sizeof vain / sizeof vain[0]; i++)
	{
		aut_cron cron = cron_of(vain[i]);
		int64_t got;

		(void) zone("America/New_York");
		assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from), 0);
		for (int n = 0; n < 20; n++)
		{
			assert_int_equal(aut_cron_next(&cron, zone("America/New_York"),
										   at("2026-07-01T00:00:00Z"), &got, NULL),
							 AUT_OK);
			assert_true(got == AUT_TIME_NONE);
		}
		assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to), 0);
		ms = ((double) (to.tv_sec - from.tv_sec) * 1e3 +
			  (double) (to.tv_nsec - from.tv_nsec) / 1e6) /
			 20;
		print_message("50 years in vain for \"%s\": %.3f ms\n", vain[i], ms);
		assert_true(ms < 10); /* generous: sanitizers and busy machines */
	}
}

/* ---- zones --------------------------------------------------------------------------------- */

static void
test_schedule__zone_names_cannot_leave_the_folder(void **state)
{
	static const char *const bad[] = {
		"",
		"/etc/passwd",
		"../zoneinfo/UTC",
		"Europe/../UTC",
		"Europe//Berlin",
		"Europe/Berlin/",
		"./UTC",
		"America",
		"zone.tab",
		"europe/berlin",
		"Europe/Berl in",
		"UTC+2",
		"a\nb",
		"Europe/Berlin\xc3\xbc",
		"right/UTC",
		"Etc",
		".",
	};
	char longest[AUT_TZ_NAME_MAX + 2];

	(void) state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
	{
		const aut_tz *tz;
		aut_error err = AUT_ERROR_INIT;

		if (aut_tz_get(bad[i], &tz, &err) != AUT_EINVAL)
			fail_msg("\"%s\" was accepted", bad[i]);
		assert_true(err.message[0] != '\0' && err.code == AUT_EINVAL);
	}
	memset(longest, 'a', sizeof longest);
	longest[sizeof longest - 1] = '\0';
	{
		const aut_tz *tz;

		assert_int_equal(aut_tz_get(longest, &tz, NULL), AUT_EINVAL);
		assert_int_equal(aut_tz_get(NULL, &tz, NULL), AUT_EINVAL);
	}
}

static void
test_schedule__utc_needs_no_database(void **state)
{
	const aut_tz *tz;
	int32_t offset = 1;
	const char *abbr;

	(void) state;
	aut_tz_cache_clear();
	assert_int_equal(setenv("AUTOMATION_TZDIR", "/nonexistent", 1), 0);
	assert_int_equal(aut_tz_get("UTC", &tz, NULL), AUT_OK);
	aut_tz_info(tz, at("2026-07-01T00:00:00Z"), &offset, &abbr, NULL);
	assert_int_equal(offset, 0);
	assert_string_equal(abbr, "UTC");
	assert_int_equal(aut_tz_get("Europe/Berlin", &tz, NULL), AUT_EINVAL);
	assert_int_equal(unsetenv("AUTOMATION_TZDIR"), 0);
	aut_tz_cache_clear();
}

static void
test_schedule__the_list_of_zones_is_sorted_and_loadable(void **state)
{
	json_t *names = json_array();

	(void) state;
	assert_int_equal(aut_tz_list(names, NULL), AUT_OK);
	assert_true(json_array_size(names) > 300);
	for (size_t i = 0; i < json_array_size(names); i++)
	{
		const char *name = json_string_value(json_array_get(names, i));

		(void) zone(name);
		if (i > 0)
			assert_true(strcmp(json_string_value(json_array_get(names, i - 1)), name) < 0);
		assert_true(strncmp(name, "posix/", 6) != 0);
	}
	json_decref(names);
}

/* ---- TZif bytes ---------------------------------------------------------------------------- */

/* A file of version 3 with no transitions, one type and the given footer. */
static aut_status
parse_footer(const char *footer, aut_tz **out)
{
	unsigned char file[44 + 44 + 6 + 4 + 300] = {0};
	size_t len = 88 + 6 + 4;

	memcpy(file, "TZif3", 5);
	memcpy(file + 44, "TZif3", 5);
	file[44 + 39] = 1;
	file[44 + 43] = 4;
	memcpy(file + 94, "LMT", 4);
	file[len++] = '\n';
	memcpy(file + len, footer, strlen(footer));
	len += strlen(footer);
	file[len++] = '\n';
	return aut_tz_parse("test", file, len, out, NULL);
}

static void
test_schedule__footers_of_every_form_are_read(void **state)
{
	static const struct
	{
		const char *footer, *when;
		int32_t offset;
	} cases[] = {
		{"CET-1CEST,M3.5.0,M10.5.0/3", "2026-03-29T00:59:59Z", 3600},
		{"CET-1CEST,M3.5.0,M10.5.0/3", "2026-03-29T01:00:00Z", 7200},
		{"CET-1CEST,M3.5.0,M10.5.0/3", "2026-10-25T00:59:59Z", 7200},
		{"CET-1CEST,M3.5.0,M10.5.0/3", "2026-10-25T01:00:00Z", 3600},
		{"IST-1GMT0,M10.5.0,M3.5.0/1", "2026-12-01T00:00:00Z", 0},
		{"IST-1GMT0,M10.5.0,M3.5.0/1", "2026-06-01T00:00:00Z", 3600},
		{"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2026-03-29T00:59:59Z", -7200},
		{"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2026-03-29T01:00:00Z", -3600},
		{"<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", "2026-01-01T00:00:00Z", 39600},
		{"EST5EDT,J60/0,J300", "2024-03-01T04:59:59Z",
		 -18000}, /* J60 is 1 March in leap years too */
		{"EST5EDT,J60/0,J300", "2024-03-01T05:00:00Z", -14400},
		{"EST5EDT,59/0,300", "2024-02-29T05:00:00Z", -14400}, /* but day 59 is 29 February */
		{"EST5EDT,59/0,300", "2023-03-01T04:59:59Z", -18000},
		{"XXX3EDT4,0/0,J365/23", "2026-01-01T02:00:00Z", -14400}, /* daylight saving for ever */
		{"XXX3EDT4,0/0,J365/23", "2026-07-01T00:00:00Z", -14400},
		{"XXX3EDT4,0/0,J365/23", "2026-12-31T23:59:59Z", -14400},
		{"AAA0BBB,M12.5.0/167,M6.1.0", "2026-12-31T23:00:00Z", 0}, /* begins in the next year */
		{"AAA0BBB,M12.5.0/167,M6.1.0", "2027-01-02T23:00:00Z", 3600},
		{"ABC12:34:56", "2026-01-01T00:00:00Z", -45296},
		{"", "2026-01-01T00:00:00Z", 0},
	};

	(void) state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
	{
		aut_tz *tz = NULL;
		int32_t offset;

		if (parse_footer(cases[i].footer, &tz) != AUT_OK)
			fail_msg("refused: %s", cases[i].footer);
		aut_tz_info(tz, at(cases[i].when), &offset, NULL, NULL);
		if (offset != cases[i].offset)
			fail_msg("%s at %s: %d", cases[i].footer, cases[i].when, (int) offset);
		aut_tz_free(tz);
	}
}

static void
test_schedule__malformed_footers_are_refused(void **state)
{
	static const char *const bad[] = {
		"C",
		"CET",
		"CET-1CEST",
		"CET-1CEST,M3.5.0",
		"CET-25",
		"CET-1CEST,M13.5.0,M10.5.0",
		"CET-1CEST,M3.6.0,M10.5.0",
		"CET-1CEST,M3.5.7,M10.5.0",
		"CET-1CEST,J0,J365",
		"CET-1CEST,366,1",
		"CET-1CEST,M3.5.0/168,M10.5.0",
		"<CET-1",
		"CET-1x",
		"CET-1CEST,M3.5.0,M10.5.0/3x",
		"<>0",
	};

	(void) state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
	{
		aut_tz *tz = NULL;

		if (parse_footer(bad[i], &tz) != AUT_ECORRUPT)
			fail_msg("accepted: %s", bad[i]);
	}
}

static void
test_schedule__every_prefix_of_a_zone_file_is_refused(void **state)
{
	unsigned char file[8192];
	FILE *in = fopen("/usr/share/zoneinfo/America/New_York", "rbe");
	size_t len;
	aut_tz *tz = NULL;

	(void) state;
	if (in == NULL)
		skip();
	len = fread(file, 1, sizeof file, in);
	(void) fclose(in);
	for (size_t cut = 0; cut < len; cut++)
	{
		/* a copy of exact size, so that a sanitizer sees any read beyond it */
		unsigned char *exact = malloc(cut + 1);

		assert_non_null(exact);
		memcpy(exact, file, cut);
		assert_int_equal(aut_tz_parse("cut", exact, cut, &tz, NULL), AUT_ECORRUPT);
		free(exact);
	}
	assert_int_equal(aut_tz_parse("whole", file, len, &tz, NULL), AUT_OK);
	aut_tz_free(tz);
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
		cmocka_unit_test(test_schedule__every_oracle_row_of_cron_holds),
		cmocka_unit_test(test_schedule__every_oracle_row_of_cron_due_holds),
		cmocka_unit_test(test_schedule__refusals_name_field_and_remedy),
		cmocka_unit_test(test_schedule__a_nul_inside_is_refused),
		cmocka_unit_test(test_schedule__length_is_bounded),
		cmocka_unit_test(test_schedule__seconds_are_the_sixth_field),
		cmocka_unit_test(test_schedule__sunday_is_zero_and_seven),
		cmocka_unit_test(test_schedule__a_full_list_beside_a_star_is_a_star),
		cmocka_unit_test(test_schedule__check_names_the_problem),
		cmocka_unit_test(test_schedule__random_fields_are_drawn_within_their_bounds),
		cmocka_unit_test(test_schedule__dst_gap_fires_once_and_shifted),
		cmocka_unit_test(test_schedule__asked_after_the_gap_the_shifted_fire_still_comes),
		cmocka_unit_test(test_schedule__overlap_fires_once_unless_every_hour_is_named),
		cmocka_unit_test(test_schedule__a_day_that_was_skipped_fires_a_day_later),
		cmocka_unit_test(test_schedule__half_hour_changes_hold),
		cmocka_unit_test(test_schedule__negative_dst_is_only_another_offset),
		cmocka_unit_test(test_schedule__rules_hold_far_beyond_the_file),
		cmocka_unit_test(test_schedule__local_mean_time_has_seconds),
		cmocka_unit_test(test_schedule__due_is_the_latest_slot_after_the_reference),
		cmocka_unit_test(test_schedule__the_ends_of_time_answer_none),
		cmocka_unit_test(test_schedule__a_vain_search_is_short),
		cmocka_unit_test(test_schedule__zone_names_cannot_leave_the_folder),
		cmocka_unit_test(test_schedule__utc_needs_no_database),
		cmocka_unit_test(test_schedule__the_list_of_zones_is_sorted_and_loadable),
		cmocka_unit_test(test_schedule__footers_of_every_form_are_read),
		cmocka_unit_test(test_schedule__malformed_footers_are_refused),
		cmocka_unit_test(test_schedule__every_prefix_of_a_zone_file_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, clear_cache);
}
