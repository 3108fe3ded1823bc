/* SPDX-License-Identifier: MIT */
/*
 * core/base/log.c - the one way a line leaves core for the log.
 *
 * Owns the sink the host gave at start.  A line is formatted on the stack (no allocation), cut to
 * LINE_MAX between characters and stripped of control characters, so that what a user wrote cannot
 * forge a second line.  Without a sink lines are lost.
 */
#include <stdio.h>

#include "automation/base.h"
#include "core/base/internal.h"

#define LINE_BYTES_MAX 2048

static struct
{
	aut_log_sink sink;
	void *payload;
	aut_log_level max_level;
} target = {NULL, NULL, AUT_LOG_INFO};

void
aut_log_set(aut_log_sink sink, void *payload, aut_log_level max_level)
{
	target.sink = sink;
	target.payload = payload;
	target.max_level = max_level;
}

void
aut_log(aut_log_level level, const char *fmt, ...)
{
	char line[LINE_BYTES_MAX];
	va_list args;
	int len;

	if (target.sink == NULL || level > target.max_level)
		return;
	va_start(args, fmt);
	len = vsnprintf(line, sizeof line, fmt, args);
	va_end(args);
	if (len < 0)
		return;
	aut__line_clean(line, (size_t) len >= sizeof line);
	target.sink(target.payload, level, line);
}
