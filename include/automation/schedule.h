/* SPDX-License-Identifier: MIT */
/*
 * include/automation/schedule.h - cron expressions, time zones, fire times.
 *
 * Pure functions: the only I/O is reading a zone's TZif file once (aut_tz_get caches it).
 * The dialect is that of contract/triggers.md; around offset changes the rule is:
 *   1. a local time that exists once fires at that instant;
 *   2. one that does not exist (gap) fires shifted forward by the size of the gap; of several in one
 *      gap only the first; coinciding instants fire once;
 *   3. one that occurs twice fires at its first occurrence, except when the hour field covers all 24
 *      hours: then at both.
 */
#ifndef AUT_SCHEDULE_H
#define AUT_SCHEDULE_H

#include "automation/base.h"

#define AUT_CRON_TEXT_MAX     1000 /* bytes of an expression */
#define AUT_TZ_NAME_MAX       255
#define AUT_CRON_YEAR_MIN     1970
#define AUT_CRON_YEAR_MAX     2099
#define AUT_CRON_SEARCH_YEARS 50

/* The fields in the order they are written. */
typedef enum aut_cron_field
{
	AUT_CRON_MINUTE,
	AUT_CRON_HOUR,
	AUT_CRON_DOM,
	AUT_CRON_MONTH,
	AUT_CRON_DOW,
	AUT_CRON_SECOND,
	AUT_CRON_YEAR,
	AUT_CRON_FIELDS
} aut_cron_field;

/*
 * A parsed expression; plain data, copied by value, no end needed.  The members are for core/schedule,
 * which may change them; nobody outside that room reads them.
 */
typedef struct aut_cron
{
	uint64_t second; /* bit n = second n */
	uint64_t minute;
	uint64_t year[3]; /* bit y - 1970; not read when year_star */
	uint32_t hour;
	uint32_t dom;   /* bit 1..31 */
	uint16_t month; /* bit 1..12 */
	uint8_t
		dow; /* bit 0 (Sunday)..6; with '#' or 'Ld' in the field not what fires, see dow_special */
	uint8_t dow_nth[7];  /* [weekday] bit n: d#n, n 1..5 */
	uint8_t dow_last;    /* bit d: Ld, the last weekday d of the month */
	uint8_t dom_nearest; /* nW: n, or 0 */
	bool dow_special;    /* dow_nth or dow_last hold something: then only they count */
	bool dom_last;       /* 'L' in day of month */
	bool dom_star;       /* does not restrict: '*', '?' (and a full list beside '*') */
	bool dow_star;
	bool year_star;
	uint8_t random; /* bit per aut_cron_field drawn at random at every evaluation (R fields) */
	struct
	{
		uint16_t low, high, step; /* of R(low-high)/step; step 0: a single value */
	} draw[AUT_CRON_FIELDS];
} aut_cron;

/* An IANA zone, loaded and cached for the life of the process. */
typedef struct aut_tz aut_tz;

/* AUT_EINVAL with a message that says which field is wrong and what would be right. */
aut_status aut_cron_parse(const char *text, size_t len, aut_cron *out, aut_error *err);

/*
 * Case-sensitive key of the tz database ("Europe/Berlin", "UTC").  Unknown, empty, absolute, parent-
 * escaping, over-long keys and directories: AUT_EINVAL.  Zones are read from AUTOMATION_TZDIR, else
 * TZDIR, else /usr/share/zoneinfo.
 */
aut_status aut_tz_get(const char *name, const aut_tz **out, aut_error *err);
void aut_tz_cache_clear(void); /* tests, and after a tzdata upgrade */
/* UTC offset in seconds (east positive), abbreviation and DST flag in force at an instant.  Each out
 * may be NULL; the abbreviation lives with the zone. */
void aut_tz_info(const aut_tz *tz, int64_t time_us, int32_t *out_offset_s, const char **out_abbr,
				 bool *out_dst);
/* Parse TZif bytes (RFC 9636, versions 1 to 4) into a zone of the caller's (aut_tz_free).  For fuzzing
 * and tests; aut_tz_get uses it. */
aut_status aut_tz_parse(const char *name, const void *data, size_t len, aut_tz **out,
						aut_error *err);
void aut_tz_free(aut_tz *tz);
/* Append every known IANA name to a JSON array (sorted). */
aut_status aut_tz_list(json_t *array, aut_error *err);

/*
 * First fire strictly after / last fire strictly before an instant, searched over
 * AUT_CRON_SEARCH_YEARS.  None: *out = AUT_TIME_NONE and AUT_OK.
 */
aut_status aut_cron_next(const aut_cron *cron, const aut_tz *tz, int64_t after_us, int64_t *out,
						 aut_error *err);
aut_status aut_cron_prev(const aut_cron *cron, const aut_tz *tz, int64_t before_us, int64_t *out,
						 aut_error *err);

/*
 * Is a fire due at `now`: is the latest fire time before now later than last_us (or, when that is
 * AUT_TIME_NONE, than created_us)?  *out_slot is that fire time (AUT_TIME_NONE: none exists).
 */
aut_status aut_cron_due(const aut_cron *cron, const aut_tz *tz, int64_t now_us, int64_t last_us,
						int64_t created_us, bool *out_due, int64_t *out_slot, aut_error *err);

/* How a fire came about, for people who wonder. */
typedef enum aut_fire_kind
{
	AUT_FIRE_PLAIN,
	AUT_FIRE_SHIFTED,    /* rule 2: the local time named does not exist that day */
	AUT_FIRE_FIRST_PASS, /* rule 3: the local time comes twice, this is the first */
	AUT_FIRE_SECOND_PASS /* rule 3: the second, of a schedule that names every hour */
} aut_fire_kind;

/*
 * The kind of a fire that aut_cron_next or _prev gave.  *out_named_s is the local time the expression
 * names, as seconds since 1970-01-01 00:00 on the wall clock (for a shifted one not what the clock
 * shows then); it may be NULL.  Fires of random (R) expressions are always PLAIN.
 */
aut_fire_kind aut_cron_fire_kind(const aut_cron *cron, const aut_tz *tz, int64_t fire_us,
								 int64_t *out_named_s);

typedef enum aut_schedule_problem
{
	AUT_SCHEDULE_OK,
	AUT_SCHEDULE_INVALID,     /* the expression does not parse */
	AUT_SCHEDULE_NEVER_FIRES, /* it parses, but from 2026-07-01T00:00:00 no fire exists */
	AUT_SCHEDULE_TIMEZONE     /* unknown zone */
} aut_schedule_problem;

/* Name as in the vectors: "ok", "invalid", "never_fires", "timezone". */
const char *aut_schedule_problem_name(aut_schedule_problem problem);

/* What a door checks before a cron trigger is stored.  On a problem: AUT_EINVAL and a message. The
 * parsed forms come out when asked for (may be NULL). */
aut_status aut_schedule_check(const char *expr, const char *timezone,
							  aut_schedule_problem *out_problem, aut_cron *out_cron,
							  const aut_tz **out_tz, aut_error *err);

#endif
