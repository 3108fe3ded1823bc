/* SPDX-License-Identifier: MIT */
/*
 * bench/timer_floor.c - how late this machine wakes a program that sleeps until an instant.
 *
 *   timer_floor COUNT PERIOD_MS
 *
 * A timerfd set to absolute instants, COUNT of them PERIOD_MS apart on whole periods;
 * prints the lateness of each in microseconds, one a line.  No scheduler can be more
 * punctual, so cron lateness is shown beside it.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NS INT64_C(1000000000)

static int64_t
now_ns(void)
{
	struct timespec at = {0};

	(void) clock_gettime(CLOCK_REALTIME, &at);
	return at.tv_sec * NS + at.tv_nsec;
}

int
main(int argc, char **argv)
{
	long count = argc > 2 ? strtol(argv[1], NULL, 10) : 0;
	long period_ms = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
	int fd = -1, code = 1;

	if (count < 1 || count > 1000000 || period_ms < 1 || period_ms > 60000)
	{
		fprintf(stderr, "usage: timer_floor COUNT PERIOD_MS\n");
		return 2;
	}
	fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC);
	if (fd < 0)
	{
		perror("timer_floor: timerfd_create");
		goto out;
	}
	int64_t period = (int64_t) period_ms * 1000000, due = now_ns() / period * period;
	for (long i = 0; i < count; i++)
	{
		uint64_t expired;
		due += period;
		struct itimerspec at = {.it_value = {.tv_sec = due / NS, .tv_nsec = due % NS}};
		if (timerfd_settime(fd, TFD_TIMER_ABSTIME, &at, NULL) != 0 ||
			read(fd, &expired, sizeof expired) != (ssize_t) sizeof expired)
		{
			perror("timer_floor: timerfd");
			goto out;
		}
		printf("%.1f\n", (double) (now_ns() - due) / 1000.0);
	}
	code = 0;
out:
	if (fd >= 0)
		close(fd);
	return code;
}
