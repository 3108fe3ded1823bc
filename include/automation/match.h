/* SPDX-License-Identifier: MIT */
/*
 * include/automation/match.h - does this event concern this automation: JMESPath and filters.
 *
 * Pure functions over two immutable things: an expression, compiled once (aut_jmespath), and a
 * payload, read once and then asked by any number of expressions (aut_payload).  No I/O, no state.
 *
 * The language is JMESPath as the Python library jmespath 1.1 speaks it (docs/filters.md), with five
 * functions more: glob, icontains, regex, lower, upper.  Truth has two meanings:
 *   - inside an expression null, false, "", [] and {} are false; zero is true;
 *   - of the final result (aut_filter_match, aut_match_result.truth) zero is false as well.
 *
 * Expressions are written by users and payloads by strangers, so everything is bounded: the text and
 * nesting of an expression when it is compiled, steps, memory and time when it is evaluated.  What
 * goes over a bound is AUT_ELIMIT; what the expression itself does wrong (an unknown function, a
 * text where a number belongs) is AUT_EINVAL, and AUT_EBADREQ where it orders a text against a number,
 * which the library it follows leaves to the language below.  Either way a filter did not match.
 */
#ifndef AUT_MATCH_H
#define AUT_MATCH_H

#include "automation/base.h"

#define AUT_JMESPATH_TEXT_MAX   (64 * 1024) /* bytes of an expression */
#define AUT_JMESPATH_NESTING_MAX 400        /* levels of an expression's tree */
#define AUT_REGEX_TEXT_MAX      4096        /* bytes of a regular expression */

/* ---- payloads ------------------------------------------------------------------------------ */

/* A JSON value as expressions see it: whole numbers of any size, objects in the order written. */
typedef struct aut_payload aut_payload;

/* Holds a reference to json, whose texts it shares: nobody may change json meanwhile. */
aut_status aut_payload_from_json(json_t *json, aut_payload **out, aut_error *err);
/* From JSON text, read as Python's json module does: integers of any size, NaN and Infinity, 1e400
 * (infinity); of duplicate keys the last value wins.  A lone surrogate becomes U+FFFD. EBADREQ. */
aut_status aut_payload_parse(const char *text, size_t len, aut_payload **out, aut_error *err);
/* From now on the payload is that member of the object it was; false: there is none. */
bool aut_payload_enter(aut_payload *payload, const char *name);
void aut_payload_free(aut_payload *payload);

/* ---- expressions --------------------------------------------------------------------------- */

typedef struct aut_jmespath aut_jmespath;

/* A syntax error is AUT_EINVAL and says at which byte (from 0).  Unknown functions and arguments of
 * wrong types or number are not syntax: they fail when evaluated. */
aut_status aut_jmespath_compile(const char *text, size_t len, aut_jmespath **out, aut_error *err);
/* One more owner; each ends with aut_jmespath_free.  Compiled expressions never change. */
aut_jmespath *aut_jmespath_ref(aut_jmespath *expr);
void aut_jmespath_free(aut_jmespath *expr);

/* Bounds of one evaluation.  A step is roughly a node visited, an element touched, 64 bytes compared
 * or one try of a regular expression. */
typedef struct aut_match_options
{
	bool standard_only; /* no glob, icontains, regex, lower, upper (event_key_expr of webhooks) */
	uint64_t steps_max;
	size_t memory_max;      /* bytes of values made on the way */
	int64_t time_max_us;    /* on a machine so busy that the steps take longer than they should */
	const aut_clock *clock; /* NULL: the system's */
} aut_match_options;

#define AUT_MATCH_STEPS_MAX   UINT64_C(2000000)
#define AUT_MATCH_MEMORY_MAX  ((size_t) 16 * 1024 * 1024)
#define AUT_MATCH_TIME_MAX_US (250 * AUT_US_PER_MS)

#define AUT_MATCH_OPTIONS_INIT                                                                       \
	{                                                                                                \
		false, AUT_MATCH_STEPS_MAX, AUT_MATCH_MEMORY_MAX, AUT_MATCH_TIME_MAX_US, NULL                \
	}

typedef enum aut_match_kind
{
	AUT_MATCH_NULL,
	AUT_MATCH_BOOLEAN,
	AUT_MATCH_NUMBER,
	AUT_MATCH_STRING,
	AUT_MATCH_ARRAY,
	AUT_MATCH_OBJECT,
	AUT_MATCH_EXPRESSION /* `&name` by itself: only functions can use it */
} aut_match_kind;

/* What an expression came to. */
typedef struct aut_match_result
{
	aut_match_kind kind;
	bool truth; /* of the final result: zero is false */
	/* A string as it is; a number or boolean as Python writes it ("1.0", "1e+16", "nan", "True");
	 * NULL for everything else.  Valid UTF-8, may hold NUL bytes. */
	char *text;
	size_t text_len;
	/* NULL when JSON (of 64 bits) cannot say it: NaN, infinity, larger integers, expressions, NUL in
	 * a key. */
	json_t *json;
} aut_match_result;

/* options NULL: the defaults. */
aut_status aut_jmespath_search(const aut_jmespath *expr, const aut_payload *payload,
							   const aut_match_options *options, aut_match_result *out,
							   aut_error *err);
void aut_match_result_done(aut_match_result *result);

/* ---- filters ------------------------------------------------------------------------------- */

/* Names of the functions there are, in order; NULL after the last. */
const char *aut_filter_function_at(size_t index);
/* Is it an expression?  The check made when a filter is stored. */
aut_status aut_filter_check(const char *text, size_t len, aut_error *err);
/* Does the payload pass?  On an error *out_match is untouched: it did not. */
aut_status aut_filter_match(const aut_jmespath *expr, const aut_payload *payload,
							const aut_match_options *options, bool *out_match, aut_error *err);

#define AUT_ASSOCIATION_VALUE_MAX 1000 /* characters of a text */

/*
 * The observability associations of a run: associations is an object name -> expression, *out an
 * object name -> string, number or boolean.  What fails, and results of other kinds or longer texts,
 * are left out.  Only standard functions.  associations NULL or null: {}.
 */
aut_status aut_associations_eval(const json_t *associations, const aut_payload *payload,
								 json_t **out, aut_error *err);

#endif
