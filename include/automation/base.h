/* SPDX-License-Identifier: MIT */
/*
 * include/automation/base.h - what every room stands on: allocator, bounded buffers, clock, log sink,
 * ids, text checks, small JSON and crypto helpers.
 *
 * Ownership, here and in all rooms: what comes through an `out_` parameter belongs to the caller;
 * what a getter returns lives with its parent; `take_` in a name means that ownership moves in.
 * Outputs stay untouched on failure.  _new/_free are for the heap, _init/_done in place; ends accept
 * NULL and half-built objects.
 */
#ifndef AUT_BASE_H
#define AUT_BASE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "automation/status.h"

/* ---- memory -------------------------------------------------------------------------------- */

/*
 * The allocator of the process: set once at start (default malloc).  Tests inject one that fails.
 * One thread per process uses core, so it is not locked.
 */
typedef struct aut_allocator
{
	void *(*alloc)(void *payload, size_t size);
	void *(*realloc)(void *payload, void *ptr, size_t size);
	void (*free)(void *payload, void *ptr);
	void *payload;
} aut_allocator;

void aut_allocator_set(const aut_allocator *allocator); /* NULL: back to malloc */

void *aut_malloc(size_t size); /* NULL when out of memory; size 0 gives a valid pointer */
void *aut_calloc(size_t count, size_t size); /* checks the product for overflow */
void *aut_realloc(void *ptr, size_t size);
void aut_free(void *ptr);
char *aut_strdup(const char *text); /* NULL in, NULL out */
char *aut_strndup(const char *text, size_t len);
char *aut_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* NULL: no memory */

/*
 * An arena: many small allocations, one free.  All-zero is a valid empty arena.  Pointers stay valid
 * until _done or _reset.
 */
typedef struct aut_arena
{
	struct aut_arena_block *head;
	size_t total; /* bytes asked from the allocator */
} aut_arena;

void *aut_arena_alloc(aut_arena *arena, size_t size); /* aligned for any type; NULL: no memory */
char *aut_arena_strndup(aut_arena *arena, const char *text, size_t len); /* NUL is added */
void aut_arena_done(aut_arena *arena);

/* ---- bounded buffer ------------------------------------------------------------------------ */

/*
 * A growing byte buffer that is born with its maximum size.  The first failure (no memory, limit)
 * sticks: later appends do nothing and return the same status, so a series needs one check at the
 * end.  data is always NUL-terminated once something was appended (the NUL is not in len).
 */
typedef struct aut_buf
{
	char *data;
	size_t len;
	size_t cap;
	size_t max; /* of len, in bytes */
	aut_status status;
} aut_buf;

void aut_buf_init(aut_buf *buf, size_t max);
void aut_buf_done(aut_buf *buf);
void aut_buf_clear(aut_buf *buf); /* empties, keeps the memory, forgets a failure */
aut_status aut_buf_append(aut_buf *buf, const void *data, size_t len);
aut_status aut_buf_puts(aut_buf *buf, const char *text);
aut_status aut_buf_putc(aut_buf *buf, char c);
aut_status aut_buf_printf(aut_buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Hand the memory to the caller (aut_free), NUL-terminated; the buffer is empty afterwards.  NULL when
 * the buffer failed or no memory is left; an empty buffer gives "". */
char *aut_buf_take(aut_buf *buf, size_t *out_len);

/* ---- time ---------------------------------------------------------------------------------- */

/* Times are int64 microseconds since 1970-01-01 UTC; durations say their unit in the name. */
#define AUT_US_PER_MS INT64_C(1000)
#define AUT_US_PER_S  INT64_C(1000000)
#define AUT_TIME_NONE INT64_MIN /* "no such time" */
#define AUT_TIME_MAX  INT64_MAX /* later than any time */

/* Where time comes from.  Tests drive one by hand. */
typedef struct aut_clock
{
	int64_t (*now_us)(void *payload);  /* wall clock */
	int64_t (*mono_us)(void *payload); /* never goes back; only differences mean something */
	void *payload;
} aut_clock;

const aut_clock *aut_clock_system(void);
int64_t aut_now_us(const aut_clock *clock);
int64_t aut_mono_us(const aut_clock *clock);

/* A clock for tests: both readings stand still until moved. */
typedef struct aut_clock_manual
{
	aut_clock clock; /* pass &manual.clock */
	int64_t now_us;
	int64_t mono_us;
} aut_clock_manual;

void aut_clock_manual_init(aut_clock_manual *manual, int64_t now_us);
void aut_clock_manual_advance(aut_clock_manual *manual, int64_t by_us); /* both readings */

#define AUT_TIME_TEXT_MAX 40
/* "2026-07-01T12:34:56Z", with ".ffffff" when microseconds are not zero.  Years 0..9999. */
const char *aut_time_format(int64_t time_us, char out[AUT_TIME_TEXT_MAX]);
/* RFC 3339: date, 'T' or blank, time, optional fraction (cut to microseconds), 'Z' or an offset or
 * nothing (taken as UTC). */
aut_status aut_time_parse(const char *text, int64_t *out_time_us, aut_error *err);

/* Proleptic Gregorian calendar: days since 1970-01-01 (Howard Hinnant's days_from_civil). */
int64_t aut_days_from_civil(int64_t year, int month, int day);
void aut_civil_from_days(int64_t days, int64_t *out_year, int *out_month, int *out_day);

/* ---- log ----------------------------------------------------------------------------------- */

typedef enum aut_log_level
{
	AUT_LOG_ERROR,
	AUT_LOG_WARNING,
	AUT_LOG_INFO,
	AUT_LOG_DEBUG
} aut_log_level;

/* The sink a host gives at start.  Core writes lines through aut_log(); without a sink they are lost. */
typedef void (*aut_log_sink)(void *payload, aut_log_level level, const char *line);
void aut_log_set(aut_log_sink sink, void *payload, aut_log_level max_level);
void aut_log(aut_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- ids ----------------------------------------------------------------------------------- */

typedef struct aut_uuid
{
	uint8_t bytes[16];
} aut_uuid;

#define AUT_UUID_TEXT_MAX 37
extern const aut_uuid AUT_UUID_NIL;
extern const aut_uuid AUT_UUID_NAMESPACE_DNS;

aut_status aut_uuid_v4(aut_uuid *out, aut_error *err);
/* Version 7 (RFC 9562): time-ordered; ids made in one process strictly increase. */
aut_status aut_uuid_v7(int64_t now_us, aut_uuid *out, aut_error *err);
/* The smallest version 7 id of that millisecond: ids made before it are smaller. */
void aut_uuid_v7_first(int64_t time_us, aut_uuid *out);
/* The beginning of the millisecond an id of version 7 was made in. */
int64_t aut_uuid_v7_time(const aut_uuid *uuid);
aut_status aut_uuid_v5(const aut_uuid *name_space, const void *name, size_t len, aut_uuid *out,
					   aut_error *err);
/* Lower-case with dashes. */
const char *aut_uuid_format(const aut_uuid *uuid, char out[AUT_UUID_TEXT_MAX]);
/* Forms Python's uuid.UUID takes: dashed, 32 hex digits, {braced}, urn:uuid:…; any case. */
bool aut_uuid_parse(const char *text, size_t len, aut_uuid *out);
bool aut_uuid_equal(const aut_uuid *a, const aut_uuid *b);
bool aut_uuid_is_nil(const aut_uuid *a);

/* ---- text ---------------------------------------------------------------------------------- */

bool aut_utf8_valid(const char *text, size_t len);
size_t aut_utf8_length(const char *text, size_t len); /* code points; text must be valid */
/* Largest n <= len such that text[0..n) does not end inside a multi-byte character. */
size_t aut_utf8_boundary(const char *text, size_t len);
/* Append bytes as valid UTF-8 without NUL: each bad byte (and NUL) becomes U+FFFD. */
aut_status aut_utf8_sanitize(aut_buf *out, const char *bytes, size_t len);
/* Append text as one single-quoted word for a POSIX shell ('it'\''s').  NUL is refused. */
aut_status aut_shell_quote(aut_buf *out, const char *text, size_t len);
/* Append text percent-encoded (RFC 3986 unreserved characters and those in keep stay). */
aut_status aut_url_encode(aut_buf *out, const char *text, size_t len, const char *keep);
/* Decode %XX (and '+' as blank when plus is true) in place; false on a bad escape or a NUL. */
bool aut_url_decode(char *text, size_t *len, bool plus);
/* Whole decimal integer, optional '-', within [min, max]. */
bool aut_int_parse(const char *text, int64_t min, int64_t max, int64_t *out);

/* ---- lenient reading (lax.c) ----------------------------------------------------------------- */

/* Length in bytes of the blank (as Python's str.strip sees it) that text begins with, or 0. */
size_t aut_blank_at(const char *text);
/* A boolean, 0 or 1, or one of the words true/yes/on/t/y/1 and false/no/off/f/n/0 in any case. */
bool aut_lax_bool(const json_t *value, bool *out);
/* A whole number in a text: blanks around, a sign, digits with single underscores between them, zeros
 * behind a point.  Beyond int64 it becomes a number near its ends; every rule that follows refuses
 * those. */
bool aut_lax_int_text(const char *text, int64_t *out);
#define AUT_REAL_TEXT_MAX 40
/* A finite number as Python's str() and json write it: the fewest digits that read back as the same
 * number, never without point or exponent ("1.0", "1e+16", "2.5e-05"). */
const char *aut_real_text(double real, char out[AUT_REAL_TEXT_MAX]);

/* ---- crypto -------------------------------------------------------------------------------- */

aut_status aut_random(void *out, size_t len, aut_error *err);
aut_status aut_sha256(const void *data, size_t len, uint8_t out[32], aut_error *err);
aut_status aut_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
						   uint8_t out[32], aut_error *err);
void aut_hex(const uint8_t *bytes, size_t len, char *out /* 2 * len + 1 */);
bool aut_equal_constant_time(const void *a, size_t a_len, const void *b, size_t b_len);

/* ---- JSON over jansson --------------------------------------------------------------------- */

#define AUT_JSON_DEPTH_MAX 64

/* Parse a whole document of any type.  EBADREQ with line and column; deeper than AUT_JSON_DEPTH_MAX is
 * refused before anything recurses. */
aut_status aut_json_parse(const char *text, size_t len, json_t **out, aut_error *err);
/* Compact text, keys in insertion order; aut_free it. NULL: no memory. */
char *aut_json_text(const json_t *value, size_t *out_len);
/* Member as text, or NULL when absent or not a string. Lives with the object. */
const char *aut_json_string(const json_t *object, const char *key);
/* Append a text as JSON writes it, quotes and all; what is not valid UTF-8 is EINVAL.  For long texts, which
 * jansson walks through character by character. */
aut_status aut_json_quote(aut_buf *out, const char *text, size_t len);
/* The member `name` of an object, where it is plain text of fewer than `size` bytes, without reading the rest:
 * for long answers of which one word is wanted.  False: not found that way, aut_json_parse knows. */
bool aut_json_peek(const char *text, size_t len, const char *name, char *out, size_t size);
/* json_object_set_new that also fails when value is NULL, so that a chain of sets needs one check. */
bool aut_json_set(json_t *object, const char *key, json_t *take_value);
json_t *aut_json_uuid(const aut_uuid *uuid_or_null);
json_t *aut_json_time(int64_t time_us);          /* null for AUT_TIME_NONE */
json_t *aut_json_text_or_null(const char *text); /* null for NULL; invalid UTF-8 is sanitized */

#endif
