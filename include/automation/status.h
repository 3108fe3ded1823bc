/* SPDX-License-Identifier: MIT */
/*
 * include/automation/status.h - errors as values.
 *
 * Every function that can fail returns an aut_status (0 is success, negative is a kind) and, when the
 * caller passes one, fills an aut_error with the story.  An aut_error is of fixed size, so reporting
 * an error never allocates.  Core never logs and never exits: the edge (SQL function, HTTP route,
 * command line) translates an error once.
 */
#ifndef AUT_STATUS_H
#define AUT_STATUS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The one list of error kinds: name, number, short text, SQLSTATE, HTTP status, may a retry help.
 * Numbers are stable: append, never renumber.
 */
#define AUT_STATUS_MAP(X)                                                                          \
	X(EINVAL, -1, "invalid input", "22023", 422, false)                                            \
	X(ENOTFOUND, -2, "not found", "02000", 404, false)                                             \
	X(ECONFLICT, -3, "conflict", "55000", 409, false)                                              \
	X(EEXISTS, -4, "already exists", "42710", 409, false)                                          \
	X(EDENIED, -5, "permission denied", "42501", 403, false)                                       \
	X(EUNAUTH, -6, "not authenticated", "28000", 401, false)                                       \
	X(ENOMEM, -7, "out of memory", "53200", 503, true)                                             \
	X(ELIMIT, -8, "limit exceeded", "54000", 413, false)                                           \
	X(EIO, -9, "input/output error", "58030", 500, true)                                           \
	X(EDB, -10, "database error", "XX000", 500, false)                                             \
	X(EBUSY, -11, "database busy", "55P03", 503, true)                                             \
	X(EUNIQUE, -12, "duplicate key", "23505", 409, false)                                          \
	X(ECORRUPT, -13, "corrupt data", "XX001", 500, false)                                          \
	X(ENET, -14, "network error", "08006", 502, true)                                              \
	X(ETIMEOUT, -15, "timed out", "57014", 504, true)                                              \
	X(EPROTO, -16, "unexpected reply", "08P01", 502, false)                                        \
	X(ECANCELED, -17, "cancelled", "57014", 503, false)                                            \
	X(EUNSUPPORTED, -18, "not supported", "0A000", 422, false)                                     \
	X(EUNAVAILABLE, -19, "not available", "55000", 503, true)                                      \
	X(EBADREQ, -20, "malformed request", "22P02", 400, false)                                      \
	X(EMEDIA, -21, "unsupported media type", "22023", 415, false)                                  \
	X(EINTERNAL, -22, "internal error", "XX000", 500, false)                                       \
	X(ETOOMANY, -23, "too many requests", "53400", 429, true)

typedef enum aut_status
{
	AUT_OK = 0,
#define AUT_STATUS_ENUM(name, number, text, sqlstate, http, retry) AUT_##name = (number),
	AUT_STATUS_MAP(AUT_STATUS_ENUM)
#undef AUT_STATUS_ENUM
} aut_status;

#define AUT_ERROR_MESSAGE_MAX 512

/* The story of one failure.  Plain data, copied by value; AUT_ERROR_INIT or {0} is "no error". */
typedef struct aut_error
{
	aut_status code;
	int sys_errno;    /* errno of the system call behind it, or 0 */
	int http_status;  /* status of the HTTP reply behind it, or 0 */
	char sqlstate[6]; /* SQLSTATE the database gave, or "" (then the kind's own) */
	char message[AUT_ERROR_MESSAGE_MAX]; /* one line, UTF-8, never secrets or payloads */
} aut_error;

#define AUT_ERROR_INIT                                                                             \
	{                                                                                              \
		AUT_OK, 0, 0, {0},                                                                         \
		{                                                                                          \
			0                                                                                      \
		}                                                                                          \
	}

/* Name as in the list ("EINVAL"), or "UNKNOWN". */
const char *aut_status_name(aut_status code);
/* Short English text of a kind. */
const char *aut_status_text(aut_status code);
const char *aut_status_sqlstate(aut_status code);
int aut_status_http(aut_status code);
bool aut_status_may_retry(aut_status code);

/*
 * Fill *err (which may be NULL) and return code, so that a failing function can end in
 * `return aut_fail(err, AUT_EINVAL, "timeout must be positive, got %d", t);`.
 * A message longer than the buffer is cut at a UTF-8 boundary; control characters become spaces.
 */
aut_status aut_fail(aut_error *err, aut_status code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same, with the text of errno value sys_errno appended after ": ". */
aut_status aut_fail_errno(aut_error *err, aut_status code, int sys_errno, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Put "context: " before the message of an error; keeps code and the rest.  Returns err's code. */
aut_status aut_error_context(aut_error *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * A broken promise of our own code.  In test builds (AUT_CHECK_ABORT) it aborts; in release builds
 * the enclosing function returns AUT_EINTERNAL, because inside PostgreSQL an abort takes the whole
 * server down.  For functions that return aut_status and have an `err` in scope.
 */
#ifdef AUT_CHECK_ABORT
#include <stdlib.h>
#define AUT_CHECK(x)                                                                               \
	do                                                                                             \
	{                                                                                              \
		(void) (err);                                                                              \
		if (!(x))                                                                                  \
			abort();                                                                               \
	} while (0)
#else
#define AUT_CHECK(x)                                                                               \
	do                                                                                             \
	{                                                                                              \
		if (!(x))                                                                                  \
			return aut_fail(err, AUT_EINTERNAL, "check failed at %s:%d: %s", __FILE__, __LINE__,   \
							#x);                                                                   \
	} while (0)
#endif

#endif
