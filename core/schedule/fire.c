/* SPDX-License-Identifier: MIT */
/*
 * core/schedule/fire.c - from local times to instants: the next fire, the previous one, is one due.
 *
 * An expression names local wall-clock times; days.c enumerates them.  A zone maps instants to
 * local times piece by piece (segments of constant offset, tz.c), and around a change of offset
 * some local times have no instant or several:
 *
 *        local
 *          |          / segment 2          gap: the local times between the pieces exist nowhere;
 *          |         /                     the first named there fires as far behind the change as it
 *          |   ..../                       lies behind the beginning of the gap
 *          |     /
 *          |    / segment 1                overlap (segment 2 below): local times come twice; the
 *          |___/____________ instant       second pass is silent unless every hour is named
 *
 * So the fires within one segment are: the local times named there, without those an earlier
 * segment also holds; and at most one for the gap the segment begins with.  next() and prev() take
 * segments one after the other and the nearest of these.  Because a gap's fire is tied to the
 * segment that ends the gap, and every other fire to the segment it lies in, none is lost and none
 * comes twice, whatever the size of the change (a whole day in Pacific/Apia, 30 minutes on Lord
 * Howe) and whatever `after` is.  Everything is in whole seconds; schedules know nothing finer.
 */
#include <string.h>

#include "core/schedule/days.h"
#include "core/schedule/tz.h"

/* Two offsets differ by at most this, so nothing further away can hold the same local time. */
#define REACH (2 * (int64_t) (AUT__TZ_OFFSET_MAX + 1))

/* What the searches share: the expression with its random fields drawn, and the zone. */
struct search
{
	const aut_cron *cron;
	const aut_tz *tz;
	bool both_passes;  /* every hour is named: repeated local times fire at both passes */
	int64_t local_min; /* the horizon: local times in [local_min, local_max) are looked at */
	int64_t local_max;
};

#define NONE AUT__LOCAL_NONE

/*
 * Does a segment before `segment` hold this local time?  Then *out_begin and *out_end are the local
 * range that segment holds, so that a search can go on behind it at once.
 */
static bool
held_earlier(const struct search *s, const aut__tz_segment *segment, int64_t local,
			 int64_t *out_begin, int64_t *out_end)
{
	int64_t instant = local - segment->offset;
	aut__tz_segment earlier = *segment;

	while (earlier.begin > AUT__TZ_BEGIN && earlier.begin > instant - REACH)
	{
		aut__tz_segment_at(s->tz, earlier.begin - 1, &earlier);
		if (local - earlier.offset >= earlier.begin && local - earlier.offset < earlier.end)
		{
			*out_begin = earlier.begin + earlier.offset;
			*out_end = earlier.end + earlier.offset;
			return true;
		}
	}
	return false;
}

/* The same for the segment itself and those behind it. */
static bool
held_later(const struct search *s, const aut__tz_segment *segment, int64_t local, int64_t *out_end)
{
	aut__tz_segment later = *segment;

	for (;;)
	{
		if (local - later.offset >= later.begin && local - later.offset < later.end)
		{
			*out_end = later.end + later.offset;
			return true;
		}
		if (later.end >= AUT__TZ_END || later.end > segment->begin + 2 * REACH)
			return false;
		aut__tz_segment_at(s->tz, later.end, &later);
	}
}

/* Does a gap before that of `segment` swallow this local time too?  Then *out_end is its end. */
static bool
in_earlier_gap(const struct search *s, const aut__tz_segment *segment, int64_t local,
			   int64_t *out_end)
{
	aut__tz_segment later = *segment;
	bool own = true;

	while (later.begin > AUT__TZ_BEGIN && later.begin > segment->begin - REACH)
	{
		aut__tz_segment earlier;

		aut__tz_segment_at(s->tz, later.begin - 1, &earlier);
		if (!own && local >= later.begin + earlier.offset && local < later.begin + later.offset)
		{
			*out_end = later.begin + later.offset;
			return true;
		}
		own = false;
		later = earlier;
	}
	return false;
}

static int64_t
clamp(int64_t value, int64_t min, int64_t max)
{
	if (value < min)
		return min;
	return value > max ? max : value;
}

/* First fire of a segment's own local times at an instant in [from, segment->end). */
static int64_t
segment_first(const struct search *s, const aut__tz_segment *segment, int64_t from)
{
	int64_t low = clamp(from + segment->offset, s->local_min, s->local_max);
	int64_t high = clamp(segment->end + segment->offset, s->local_min, s->local_max);

	for (;;)
	{
		int64_t local = aut__local_next(s->cron, AUT__DAYS_FIRE, low, high);
		int64_t begin;
		int64_t end;

		if (local == NONE)
			return NONE;
		if (s->both_passes || !held_earlier(s, segment, local, &begin, &end))
			return local - segment->offset;
		low = end;
	}
}

/* Last fire of a segment's own local times at an instant in [segment->begin, before). */
static int64_t
segment_last(const struct search *s, const aut__tz_segment *segment, int64_t before)
{
	int64_t low = clamp(segment->begin + segment->offset, s->local_min, s->local_max);
	int64_t high = clamp(before + segment->offset, s->local_min, s->local_max);

	for (;;)
	{
		int64_t local = aut__local_prev(s->cron, AUT__DAYS_FIRE, low, high);
		int64_t begin;
		int64_t end;

		if (local == NONE)
			return NONE;
		if (s->both_passes || !held_earlier(s, segment, local, &begin, &end))
			return local - segment->offset;
		high = begin;
	}
}

/*
 * The fire of the gap a segment begins with, or NONE: the first local time named in the gap, at the
 * instant it would be had the clock not been changed.
 */
static int64_t
gap_fire(const struct search *s, const aut__tz_segment *segment)
{
	aut__tz_segment before;
	int64_t low;
	int64_t high;

	if (segment->begin <= AUT__TZ_BEGIN)
		return NONE;
	aut__tz_segment_at(s->tz, segment->begin - 1, &before);
	if (before.offset >= segment->offset)
		return NONE;
	low = clamp(segment->begin + before.offset, s->local_min, s->local_max);
	high = clamp(segment->begin + segment->offset, s->local_min, s->local_max);
	for (;;)
	{
		int64_t local = aut__local_next(s->cron, AUT__DAYS_FIRE, low, high);
		int64_t begin;
		int64_t end;

		if (local == NONE)
			return NONE;
		/* Changes in quick succession: it may exist before or after this gap all the same, or have
		 * been in a gap already. */
		if (!held_earlier(s, segment, local, &begin, &end) &&
			!held_later(s, segment, local, &end) && !in_earlier_gap(s, segment, local, &end))
			return local - before.offset;
		low = end;
	}
}

/* Nearest fire at an instant >= from. */
static int64_t
search_next(const struct search *s, int64_t from)
{
	aut__tz_segment segment;
	aut__tz_segment earlier;
	int64_t best = INT64_MAX;

	aut__tz_segment_at(s->tz, from, &segment);
	/* Gaps of segments that ended already may still have their fire to come. */
	earlier = segment;
	while (earlier.begin > AUT__TZ_BEGIN && earlier.begin > from - REACH)
	{
		int64_t fire;

		aut__tz_segment_at(s->tz, earlier.begin - 1, &earlier);
		fire = gap_fire(s, &earlier);
		if (fire >= from && fire < best)
			best = fire;
	}
	for (;;)
	{
		int64_t fire = gap_fire(s, &segment);

		if (fire >= from && fire < best)
			best = fire;
		fire = segment_first(s, &segment, from > segment.begin ? from : segment.begin);
		if (fire != NONE && fire < best)
			best = fire;
		/* whatever later segments hold comes after their beginning */
		if (best < segment.end)
			return best;
		if (segment.end >= AUT__TZ_END || segment.end + segment.offset > s->local_max + REACH)
			return best != INT64_MAX ? best : NONE;
		aut__tz_segment_at(s->tz, segment.end, &segment);
	}
}

/* Nearest fire at an instant < before. */
static int64_t
search_prev(const struct search *s, int64_t before)
{
	aut__tz_segment segment;
	int64_t best = NONE;

	aut__tz_segment_at(s->tz, before - 1, &segment);
	for (;;)
	{
		aut__tz_segment earlier = segment;
		int64_t fire = gap_fire(s, &segment);

		if (fire < before && fire > best)
			best = fire;
		fire = segment_last(s, &segment, before < segment.end ? before : segment.end);
		if (fire > best)
			best = fire;
		/* Gaps of earlier segments may fire as late as this one; nothing else of them may. */
		while (earlier.begin > AUT__TZ_BEGIN && earlier.begin > segment.begin - REACH)
		{
			aut__tz_segment_at(s->tz, earlier.begin - 1, &earlier);
			fire = gap_fire(s, &earlier);
			if (fire < before && fire > best)
				best = fire;
		}
		if (best != NONE && best >= segment.begin)
			return best;
		if (segment.begin <= AUT__TZ_BEGIN || segment.begin + segment.offset < s->local_min - REACH)
			return best;
		aut__tz_segment_at(s->tz, segment.begin - 1, &segment);
	}
}

/* ---- random fields ------------------------------------------------------------------------- */

/* Evenly from [0, count). */
static aut_status
draw_below(uint32_t count, uint32_t *out, aut_error *err)
{
	uint32_t value;
	aut_status status;

	/* the values above the last whole multiple of count would favour the small ones */
	do
		status = aut_random(&value, sizeof value, err);
	while (status == AUT_OK && value >= UINT32_MAX - UINT32_MAX % count);
	if (status == AUT_OK)
		*out = value % count;
	return status;
}

static void
set_value(aut_cron *cron, int field, unsigned value)
{
	switch ((aut_cron_field) field)
	{
		case AUT_CRON_MINUTE:
			cron->minute |= UINT64_C(1) << value;
			break;
		case AUT_CRON_HOUR:
			cron->hour |= 1u << value;
			break;
		case AUT_CRON_DOM:
			cron->dom |= 1u << value;
			break;
		case AUT_CRON_MONTH:
			cron->month |= (uint16_t) (1u << value);
			break;
		case AUT_CRON_DOW:
			cron->dow |= (uint8_t) (1u << value % 7);
			break;
		case AUT_CRON_SECOND:
			cron->second |= UINT64_C(1) << value;
			break;
		case AUT_CRON_YEAR:
			value -= AUT_CRON_YEAR_MIN;
			cron->year[value / 64] |= UINT64_C(1) << (value % 64);
			break;
		case AUT_CRON_FIELDS:
			break;
	}
}

static void
clear_field(aut_cron *cron, int field)
{
	switch ((aut_cron_field) field)
	{
		case AUT_CRON_MINUTE:
			cron->minute = 0;
			break;
		case AUT_CRON_HOUR:
			cron->hour = 0;
			break;
		case AUT_CRON_DOM:
			cron->dom = 0;
			break;
		case AUT_CRON_MONTH:
			cron->month = 0;
			break;
		case AUT_CRON_DOW:
			cron->dow = 0;
			break;
		case AUT_CRON_SECOND:
			cron->second = 0;
			break;
		case AUT_CRON_YEAR:
			memset(cron->year, 0, sizeof cron->year);
			break;
		case AUT_CRON_FIELDS:
			break;
	}
}

/* Copy an expression, with one value (or one series of steps) drawn for each R field. */
static aut_status
draw(const aut_cron *cron, aut_cron *out, aut_error *err)
{
	*out = *cron;
	for (int field = 0; field < AUT_CRON_FIELDS; field++)
	{
		unsigned low = cron->draw[field].low;
		unsigned high = cron->draw[field].high;
		unsigned step = cron->draw[field].step;
		unsigned choices = high - low + 1;
		uint32_t chosen = 0;
		aut_status status;

		if ((cron->random >> field & 1) == 0)
			continue;
		if (step != 0 && step < choices)
			choices = step;
		status = draw_below(choices, &chosen, err);
		if (status != AUT_OK)
			return status;
		clear_field(out, field);
		for (unsigned value = low + chosen; value <= high; value += step)
		{
			set_value(out, field, value);
			if (step == 0)
				break;
		}
	}
	return AUT_OK;
}

/* ---- the contract -------------------------------------------------------------------------- */

static aut_status
search_init(struct search *s, const aut_cron *cron, const aut_tz *tz, aut_cron *drawn,
			aut_error *err)
{
	s->cron = cron;
	s->tz = tz;
	s->both_passes = cron->hour == (1u << 24) - 1;
	if (cron->random == 0)
		return AUT_OK;
	s->cron = drawn;
	return draw(cron, drawn, err);
}

/* The largest whole second at or before a time. */
static int64_t
second_of(int64_t time_us)
{
	int64_t second = time_us / AUT_US_PER_S;

	return time_us % AUT_US_PER_S < 0 ? second - 1 : second;
}

static int64_t
time_of(int64_t second)
{
	int64_t time_us;

	if (second == NONE || __builtin_mul_overflow(second, AUT_US_PER_S, &time_us))
		return AUT_TIME_NONE;
	return time_us;
}

static int64_t
local_at(const aut_tz *tz, int64_t at)
{
	aut__tz_segment segment;

	aut__tz_segment_at(tz, at, &segment);
	return at + segment.offset;
}

aut_status
aut_cron_next(const aut_cron *cron, const aut_tz *tz, int64_t after_us, int64_t *out,
			  aut_error *err)
{
	struct search s;
	aut_cron drawn;
	int64_t from = second_of(after_us) + 1;
	aut_status status = search_init(&s, cron, tz, &drawn, err);

	if (status != AUT_OK)
		return status;
	/* a day of slack at the near end, for what a gap or an overlap moved across it */
	s.local_min = local_at(tz, from) - 2 * REACH;
	s.local_max =
		aut__local_year(aut__year_of_local(local_at(tz, from)) + AUT_CRON_SEARCH_YEARS + 1);
	*out = time_of(search_next(&s, from));
	return AUT_OK;
}

aut_status
aut_cron_prev(const aut_cron *cron, const aut_tz *tz, int64_t before_us, int64_t *out,
			  aut_error *err)
{
	struct search s;
	aut_cron drawn;
	/* the first whole second that is not strictly before */
	int64_t before = second_of(before_us) + (before_us % AUT_US_PER_S != 0 ? 1 : 0);
	aut_status status = search_init(&s, cron, tz, &drawn, err);

	if (status != AUT_OK)
		return status;
	s.local_min =
		aut__local_year(aut__year_of_local(local_at(tz, before - 1)) - AUT_CRON_SEARCH_YEARS);
	s.local_max = local_at(tz, before - 1) + 2 * REACH;
	*out = time_of(search_prev(&s, before));
	return AUT_OK;
}

/* Does a segment behind `segment` hold this local time as well? */
static bool
comes_again(const struct search *s, const aut__tz_segment *segment, int64_t local)
{
	aut__tz_segment later = *segment;

	while (later.end < AUT__TZ_END && later.end < local - segment->offset + REACH)
	{
		aut__tz_segment_at(s->tz, later.end, &later);
		if (local - later.offset >= later.begin && local - later.offset < later.end)
			return true;
	}
	return false;
}

aut_fire_kind
aut_cron_fire_kind(const aut_cron *cron, const aut_tz *tz, int64_t fire_us, int64_t *out_named_s)
{
	int64_t fire = second_of(fire_us);
	int64_t local = local_at(tz, fire);
	struct search s = {cron, tz, cron->hour == (1u << 24) - 1, local - 2 * REACH,
					   local + 2 * REACH};
	aut_fire_kind kind = AUT_FIRE_PLAIN;
	aut__tz_segment segment;
	int64_t begin;
	int64_t end;

	aut__tz_segment_at(tz, fire, &segment);
	if (out_named_s != NULL)
		*out_named_s = local;
	if (cron->random != 0)
		return AUT_FIRE_PLAIN;
	if (aut__local_next(cron, AUT__DAYS_FIRE, local, local + 1) == local)
	{
		if (!held_earlier(&s, &segment, local, &begin, &end))
			return comes_again(&s, &segment, local) ? AUT_FIRE_FIRST_PASS : AUT_FIRE_PLAIN;
		if (s.both_passes)
			return AUT_FIRE_SECOND_PASS;
	}
	/* not by its own local time, so by a gap that ended not long ago */
	while (kind == AUT_FIRE_PLAIN && segment.begin > AUT__TZ_BEGIN && segment.begin > fire - REACH)
	{
		bool here = gap_fire(&s, &segment) == fire;

		aut__tz_segment_at(tz, segment.begin - 1, &segment);
		if (here)
		{
			kind = AUT_FIRE_SHIFTED;
			if (out_named_s != NULL)
				*out_named_s = fire + segment.offset;
		}
	}
	return kind;
}

aut_status
aut_cron_due(const aut_cron *cron, const aut_tz *tz, int64_t now_us, int64_t last_us,
			 int64_t created_us, bool *out_due, int64_t *out_slot, aut_error *err)
{
	int64_t slot;
	int64_t reference = last_us != AUT_TIME_NONE ? last_us : created_us;
	aut_status status = aut_cron_prev(cron, tz, now_us, &slot, err);

	if (status != AUT_OK)
		return status;
	*out_due = slot != AUT_TIME_NONE && slot > reference;
	*out_slot = slot;
	return AUT_OK;
}

const char *
aut_schedule_problem_name(aut_schedule_problem problem)
{
	switch (problem)
	{
		case AUT_SCHEDULE_OK:
			return "ok";
		case AUT_SCHEDULE_INVALID:
			return "invalid";
		case AUT_SCHEDULE_NEVER_FIRES:
			return "never_fires";
		case AUT_SCHEDULE_TIMEZONE:
			return "timezone";
	}
	return "unknown";
}

/* The fixed instant from which a schedule must fire at all: 2026-07-01, by the contract. */
#define CHECK_YEAR  2026
#define CHECK_MONTH 7

/*
 * On the wall clock alone, so no zone is needed.  With '#', 'Ld' or 'W' beside another restricted
 * day field, the pair must fall together some day although only one of them fires: the reference
 * refuses the schedule otherwise.
 */
static bool
ever_fires(const aut_cron *cron)
{
	int64_t from = aut_days_from_civil(CHECK_YEAR, CHECK_MONTH, 1) * 86400 + 1;
	int64_t until = aut__local_year(CHECK_YEAR + AUT_CRON_SEARCH_YEARS + 1);
	bool special = cron->dow_special || cron->dom_nearest != 0;
	aut__days_mode mode = special ? AUT__DAYS_BOTH : AUT__DAYS_FIRE;

	return aut__local_next(cron, mode, from, until) != NONE;
}

aut_status
aut_schedule_check(const char *expr, const char *timezone, aut_schedule_problem *out_problem,
				   aut_cron *out_cron, const aut_tz **out_tz, aut_error *err)
{
	aut_schedule_problem problem = AUT_SCHEDULE_OK;
	aut_cron cron;
	const aut_tz *tz = NULL;
	aut_status status = aut_cron_parse(expr, expr != NULL ? strlen(expr) : 0, &cron, err);

	if (status == AUT_EINVAL)
		problem = AUT_SCHEDULE_INVALID;
	else if (status == AUT_OK && !ever_fires(&cron))
	{
		problem = AUT_SCHEDULE_NEVER_FIRES;
		status = aut_fail(
			err, AUT_EINVAL,
			"cron expression \"%.60s\" never fires: no day it names exists from 2026-07-01 to "
			"the end of 2076",
			expr);
	}
	else if (status == AUT_OK)
	{
		status = aut_tz_get(timezone, &tz, err);
		if (status == AUT_EINVAL)
			problem = AUT_SCHEDULE_TIMEZONE;
	}
	if (out_problem != NULL)
		*out_problem = problem;
	if (status == AUT_OK && out_cron != NULL)
		*out_cron = cron;
	if (status == AUT_OK && out_tz != NULL)
		*out_tz = tz;
	return status;
}
