/* SPDX-License-Identifier: MIT */
/*
 * core/schedule/tz.h - a loaded time zone, as the files of core/schedule see it.
 *
 * A zone is a function from instants to UTC offsets, constant between transitions.  It is kept as
 * the sorted list of transitions the TZif file gives, and after the last of them by the POSIX rule
 * of the file's footer.  All numbers here are seconds.
 */
#ifndef AUT_SCHEDULE_TZ_H
#define AUT_SCHEDULE_TZ_H

#include "automation/schedule.h"

/* No zone offset lies outside; parsing refuses others (RFC 9636 allows -25:59:59 to 25:59:59). */
#define AUT__TZ_OFFSET_MAX (26 * 3600 - 1)
/* Stand for "since ever" and "for ever"; far from overflow when an offset or 50 years are added. */
#define AUT__TZ_BEGIN (-(INT64_C(1) << 58))
#define AUT__TZ_END   (INT64_C(1) << 58)

#define AUT__TZ_ABBR_MAX 32

typedef struct aut__tz_type
{
	int32_t offset;
	bool dst;
	uint16_t abbr; /* index into abbrs */
} aut__tz_type;

/* One date of the POSIX rule, and the time of that day, which may be negative or beyond a day. */
typedef struct aut__tz_date
{
	enum
	{
		AUT__TZ_JULIAN, /* Jn: 1..365, 29 February is never counted */
		AUT__TZ_ZERO,   /* n: 0..365, 29 February is counted */
		AUT__TZ_MONTH   /* Mm.w.d */
	} kind;
	int day;
	int month;
	int week;
	int32_t time;
} aut__tz_date;

typedef struct aut__tz_rule
{
	bool present;
	bool has_dst;
	int32_t std_offset;
	int32_t dst_offset;
	char std_abbr[AUT__TZ_ABBR_MAX];
	char dst_abbr[AUT__TZ_ABBR_MAX];
	aut__tz_date dst_begin;
	aut__tz_date dst_end;
} aut__tz_rule;

struct aut_tz
{
	struct aut_tz *next; /* in the cache */
	char *name;
	aut__tz_rule rule;
	size_t count;        /* of transitions */
	int64_t *at;         /* [count], ascending */
	uint8_t *type;       /* [count]: the type that begins at at[i] */
	aut__tz_type *types; /* types[0] is in force before the first transition */
	char *abbrs;         /* NUL-terminated texts */
};

/* A stretch [begin, end) of instants with one offset.  Neighbours may have equal offsets. */
typedef struct aut__tz_segment
{
	int64_t begin;
	int64_t end;
	int32_t offset;
	bool dst;
	const char *abbr;
} aut__tz_segment;

/* The segment that holds an instant.  AUT__TZ_BEGIN <= at < AUT__TZ_END. */
void aut__tz_segment_at(const aut_tz *tz, int64_t at, aut__tz_segment *out);

/* Read the footer of a TZif file, "CET-1CEST,M3.5.0,M10.5.0/3"; false when malformed.  An empty
 * text gives a rule that is not present. */
bool aut__tz_rule_parse(const char *text, size_t len, aut__tz_rule *out);
/* What the rule says of an instant.  Begin and end are at most a few years away. */
void aut__tz_rule_at(const aut__tz_rule *rule, int64_t at, aut__tz_segment *out);

#endif
