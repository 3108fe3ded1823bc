/* SPDX-License-Identifier: MIT */
/* core/engine/alarm.c - a timerfd on the wall clock, polled by the loop; see alarm.h. */
#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <uv.h>

#include "core/engine/alarm.h"

struct aut_alarm
{
	uv_poll_t poll;
	int fd;
	int64_t at_us;
	void (*cb)(void *payload);
	void *payload;
};

static void
arm(aut_alarm *alarm)
{
	struct itimerspec spec = {{0, 0}, {0, 0}};
	if (alarm->at_us != AUT_TIME_NONE)
	{
		/* A time that has passed goes off at once; zero would disarm. */
		int64_t at = alarm->at_us > 0 ? alarm->at_us : 1;
		spec.it_value.tv_sec = (time_t) (at / AUT_US_PER_S);
		spec.it_value.tv_nsec = (long) (at % AUT_US_PER_S * 1000);
	}
	timerfd_settime(alarm->fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &spec, NULL);
}

static void
readable(uv_poll_t *poll, int status, int events)
{
	aut_alarm *alarm = poll->data;
	uint64_t count;
	(void) status;
	(void) events;
	ssize_t n = read(alarm->fd, &count, sizeof count);
	if (n < 0 && errno == ECANCELED)
		arm(alarm); /* the clock was set: the same instant by the new clock */
	else if (n < 0)
		return;
	alarm->cb(alarm->payload);
}

aut_status
aut_alarm_new(aut_loop *loop, void (*cb)(void *payload), void *payload, aut_alarm **out,
			  aut_error *err)
{
	aut_alarm *alarm = aut_calloc(1, sizeof *alarm);
	if (alarm == NULL)
		return aut_fail(err, AUT_ENOMEM, "no memory for an alarm");
	alarm->fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (alarm->fd < 0)
	{
		int saved = errno;
		aut_free(alarm);
		return aut_fail_errno(err, AUT_EIO, saved, "cannot make a timer");
	}
	alarm->at_us = AUT_TIME_NONE;
	alarm->cb = cb;
	alarm->payload = payload;
	alarm->poll.data = alarm;
	int rc = uv_poll_init(aut_loop_uv(loop), &alarm->poll, alarm->fd);
	if (rc != 0)
	{
		close(alarm->fd);
		aut_free(alarm);
		return aut_fail(err, AUT_EIO, "cannot watch a timer: %s", uv_strerror(rc));
	}
	rc = uv_poll_start(&alarm->poll, UV_READABLE, readable);
	if (rc != 0)
	{
		aut_alarm_free(alarm);
		return aut_fail(err, AUT_EIO, "cannot watch a timer: %s", uv_strerror(rc));
	}
	*out = alarm;
	return AUT_OK;
}

void
aut_alarm_set(aut_alarm *alarm, int64_t at_us)
{
	if (alarm->at_us == at_us)
		return;
	alarm->at_us = at_us;
	arm(alarm);
}

static void
closed(uv_handle_t *handle)
{
	aut_alarm *alarm = handle->data;
	close(alarm->fd);
	aut_free(alarm);
}

void
aut_alarm_free(aut_alarm *alarm)
{
	if (alarm == NULL)
		return;
	uv_close((uv_handle_t *) &alarm->poll, closed);
}
