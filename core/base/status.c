/* SPDX-License-Identifier: MIT */
/*
 * core/base/status.c - errors as values: the texts of the kinds, and filling an aut_error.
 *
 * Owns nothing.  Nothing here allocates, so that running out of memory can be reported too.  The
 * message is always one line of at most AUT_ERROR_MESSAGE_MAX - 1 bytes; when it is cut, it is cut
 * between characters.  Does not log and does not end the process: that is for the edge.
 */
#include "automation/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "automation/base.h"
#include "core/base/internal.h"

struct kind
{
	aut_status code;
	const char *name;
	const char *text;
	const char *sqlstate;
	int http;
	bool may_retry;
};

static const struct kind kinds[] = {{AUT_OK, "OK", "success", "00000", 200, false},
#define KIND(name, number, text, sqlstate, http, retry)                                            \
	{AUT_##name, #name, text, sqlstate, http, retry},
									AUT_STATUS_MAP(KIND)
#undef KIND
};

/* A code outside the list is a mistake of ours and is answered as such. */
static const struct kind unknown = {AUT_EINTERNAL, "UNKNOWN", "unknown error", "XX000", 500, false};

static const struct kind *
kind_of(aut_status code)
{
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
	{
		if (kinds[i].code == code)
			return &kinds[i];
	}
	return &unknown;
}

const char *
aut_status_name(aut_status code)
{
	return kind_of(code)->name;
}

const char *
aut_status_text(aut_status code)
{
	return kind_of(code)->text;
}

const char *
aut_status_sqlstate(aut_status code)
{
	return kind_of(code)->sqlstate;
}

int
aut_status_http(aut_status code)
{
	return kind_of(code)->http;
}

bool
aut_status_may_retry(aut_status code)
{
	return kind_of(code)->may_retry;
}

void
aut__line_clean(char *line, bool was_cut)
{
	size_t len = strlen(line);

	if (was_cut)
	{
		len = aut_utf8_boundary(line, len);
		line[len] = '\0';
	}
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) line[i];

		if (c < 0x20 || c == 0x7f)
			line[i] = ' ';
	}
}

static __attribute__((format(printf, 3, 0))) void
fill(aut_error *err, aut_status code, const char *fmt, va_list args, int sys_errno)
{
	char reason[128];
	int len;
	bool cut;

	memset(err, 0, sizeof *err);
	err->code = code;
	err->sys_errno = sys_errno;
	len = vsnprintf(err->message, sizeof err->message, fmt, args);
	if (len < 0)
	{
		(void) snprintf(err->message, sizeof err->message, "%s", aut_status_text(code));
		len = (int) strlen(err->message);
	}
	cut = (size_t) len >= sizeof err->message;
	if (sys_errno != 0 && !cut)
	{
		size_t room = sizeof err->message - (size_t) len;
		/* the GNU strerror_r: it may answer a static text instead of filling the buffer */
		const char *text = strerror_r(sys_errno, reason, sizeof reason);
		int more = snprintf(err->message + len, room, ": %s", text);

		cut = more >= 0 && (size_t) more >= room;
	}
	aut__line_clean(err->message, cut);
}

aut_status
aut_fail(aut_error *err, aut_status code, const char *fmt, ...)
{
	if (err != NULL)
	{
		va_list args;

		va_start(args, fmt);
		fill(err, code, fmt, args, 0);
		va_end(args);
	}
	return code;
}

aut_status
aut_fail_errno(aut_error *err, aut_status code, int sys_errno, const char *fmt, ...)
{
	if (err != NULL)
	{
		va_list args;

		va_start(args, fmt);
		fill(err, code, fmt, args, sys_errno);
		va_end(args);
	}
	return code;
}

aut_status
aut_error_context(aut_error *err, const char *fmt, ...)
{
	char old[AUT_ERROR_MESSAGE_MAX];
	va_list args;
	int len;
	int more;
	size_t room;

	/* Without an error there is no code to hand on, and it must not look like success. */
	if (err == NULL)
		return AUT_EINTERNAL;
	memcpy(old, err->message, sizeof old);
	old[sizeof old - 1] = '\0';
	va_start(args, fmt);
	len = vsnprintf(err->message, sizeof err->message, fmt, args);
	va_end(args);
	if (len < 0)
	{
		memcpy(err->message, old, sizeof old);
		return err->code;
	}
	if ((size_t) len >= sizeof err->message)
	{
		aut__line_clean(err->message, true);
		return err->code;
	}
	room = sizeof err->message - (size_t) len;
	more = snprintf(err->message + len, room, ": %s", old);
	aut__line_clean(err->message, more >= 0 && (size_t) more >= room);
	return err->code;
}
