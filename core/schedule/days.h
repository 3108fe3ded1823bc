/* SPDX-License-Identifier: MIT */
/*
 * core/schedule/days.h - the calendar half of firing: local wall-clock times an expression names.
 *
 * No time zones here.  A local time is a number of seconds since 1970-01-01 00:00:00 on the wall
 * clock, as if every day had 86400 seconds and no clock were ever changed.
 */
#ifndef AUT_SCHEDULE_DAYS_H
#define AUT_SCHEDULE_DAYS_H

#include "automation/schedule.h"

#define AUT__LOCAL_NONE INT64_MIN

/*
 * How the two day fields are read.  What fires and what is accepted differ: with '#', 'Ld' or 'W'
 * one day field is ignored when both are given, but a pair that never falls on one day is refused.
 */
typedef enum aut__days_mode
{
	AUT__DAYS_FIRE,
	AUT__DAYS_BOTH /* both day fields must hold */
} aut__days_mode;

/* Smallest local time in [low, high) that the expression names, or AUT__LOCAL_NONE. */
int64_t aut__local_next(const aut_cron *cron, aut__days_mode mode, int64_t low, int64_t high);
/* Largest local time in [low, high) that the expression names, or AUT__LOCAL_NONE. */
int64_t aut__local_prev(const aut_cron *cron, aut__days_mode mode, int64_t low, int64_t high);
/* Local time of the first second of a year. */
int64_t aut__local_year(int64_t year);
/* The year a local time lies in. */
int64_t aut__year_of_local(int64_t local);

#endif
