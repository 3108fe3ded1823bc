/* SPDX-License-Identifier: MIT */
/*
 * core/engine/alarm.h - a timer on the wall clock.
 *
 * Loop timers count monotonic time: they sleep through a suspend and do not see the clock being set.
 * An alarm is a timerfd on CLOCK_REALTIME that also goes off when the clock is set, so a schedule is
 * looked at again at once.
 */
#ifndef AUT_ALARM_H
#define AUT_ALARM_H

#include "automation/net.h"

typedef struct aut_alarm aut_alarm;

aut_status aut_alarm_new(aut_loop *loop, void (*cb)(void *payload), void *payload, aut_alarm **out,
						 aut_error *err);
void aut_alarm_set(aut_alarm *alarm, int64_t at_us); /* AUT_TIME_NONE: off */
void aut_alarm_free(aut_alarm *alarm);

#endif
