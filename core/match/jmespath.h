/* SPDX-License-Identifier: MIT */
/*
 * core/match/jmespath.h - what the files of the filter language share: values, trees, and the budget.
 *
 *   jmespath_lex.c     text -> tokens
 *   jmespath_parse.c   tokens -> tree
 *   jmespath_eval.c    tree x payload -> value
 *   jmespath_func.c    the functions, one table
 *   jmespath_value.c   values: making, comparing, looking up
 *   jmespath_number.c  numbers: integers of any size, Python's way of reading and writing them
 *   jmespath_json.c    values from JSON and back
 *   text_regex.c       Python's regular expressions, translated for PCRE2
 *   text_run.c         running them; upper and lower case
 *   filter.c           what the other rooms call
 *   filter_cache.c     compiled expressions by their text
 *
 * Everything made lives in an arena and is never changed: a compiled expression owns one, a payload
 * owns one, and an evaluation owns one for what it makes on the way, so that results may point into
 * all three and nothing is copied.
 */
#ifndef AUT_MATCH_JMESPATH_H
#define AUT_MATCH_JMESPATH_H

#include "automation/match.h"

/*
 * The budget and the story of one piece of work (a compilation, a reading, an evaluation).  The first
 * failure sticks in status and err, and functions that make something return NULL from then on.
 */
typedef struct aut__work
{
	aut_arena arena;
	size_t memory_max;
	uint64_t steps_left;
	uint64_t steps_max;
	uint64_t steps_to_clock; /* steps until the clock is looked at */
	const aut_clock *clock;
	int64_t deadline_us; /* on the monotonic clock */
	int64_t time_max_us;
	bool standard_only;
	aut_status status;
	aut_error *err;
} aut__work;

void aut__work_init(aut__work *work, const aut_match_options *options_or_null, aut_error *err);
/* Note a failure; always false, for `return aut__work_fail(…)`. */
bool aut__work_fail(aut__work *work, aut_status code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
bool aut__spend_slow(aut__work *work, uint64_t steps);
void *aut__make(aut__work *work, size_t size);                      /* not cleared */
void *aut__make_array(aut__work *work, size_t count, size_t size); /* checks the product */

/* Pay for steps; false when the budget is gone or something failed before. */
static inline bool
aut__spend(aut__work *work, uint64_t steps)
{
	if (steps < work->steps_to_clock)
	{
		work->steps_to_clock -= steps;
		return true;
	}
	return aut__spend_slow(work, steps);
}

/* ---- values --------------------------------------------------------------------------------- */

typedef enum aut__kind
{
	AUT__NULL,
	AUT__BOOLEAN,
	AUT__INTEGER, /* fits 64 bits */
	AUT__BIG,     /* does not: decimal digits */
	AUT__REAL,
	AUT__STRING,
	AUT__ARRAY,
	AUT__OBJECT,
	AUT__EXPREF
} aut__kind;

typedef struct aut__vector aut__vector;
typedef struct aut__node aut__node;

typedef struct aut__value
{
	aut__kind kind;
	bool boolean;  /* BOOLEAN; BIG: negative */
	uint32_t hash; /* STRING: of its bytes, when it is a key */
	size_t len;    /* STRING, BIG: bytes; ARRAY: items; OBJECT: members */
	union
	{
		int64_t integer;
		double real;
		const char *text; /* not NUL-terminated */
		const struct aut__value *const *items;
		const struct aut__members *members;
		const aut__node *expref;
	} as;
} aut__value;

/* Members in the order written; objects of more than a few have a table for finding them. */
typedef struct aut__members
{
	const aut__value **keys;
	const aut__value **values;
	uint32_t *slots; /* index + 1, 0 empty; NULL: look at all */
	size_t slots_mask;
} aut__members;

#define AUT__JSON_DIGITS_MAX 4300 /* of an integer; Python's own bound */

extern const aut__value aut__null, aut__true, aut__false, aut__empty_text;

const aut__value *aut__bool(bool truth);
const aut__value *aut__integer(aut__work *work, int64_t value);
const aut__value *aut__real(aut__work *work, double value);
const aut__value *aut__text(aut__work *work, const char *text, size_t len); /* keeps the pointer */
const aut__value *aut__text_copy(aut__work *work, const char *text, size_t len);
const aut__value *aut__array(aut__work *work, const aut__value *const *items, size_t count);
const aut__value *aut__key(aut__work *work, const char *text, size_t len); /* a hashed text */

/* An array that grows: for results whose length is not known. */
typedef struct aut__list
{
	const aut__value **items;
	size_t count, cap;
} aut__list;

bool aut__list_add(aut__work *work, aut__list *list, const aut__value *value);
const aut__value *aut__list_done(aut__work *work, const aut__list *list);

/* An object that grows; of equal keys the place of the first and the value of the last stay. */
typedef struct aut__draft
{
	aut__members members;
	size_t count, cap;
} aut__draft;

bool aut__draft_put(aut__work *work, aut__draft *draft, const aut__value *key,
					const aut__value *value);
const aut__value *aut__draft_done(aut__work *work, const aut__draft *draft);

/* NULL when the object lacks it. */
const aut__value *aut__member(const aut__value *object, const aut__value *key);

bool aut__is_number(const aut__value *value);
bool aut__is_false(const aut__value *value);     /* inside expressions */
bool aut__is_py_false(const aut__value *value);  /* of the final result */
const char *aut__type_name(const aut__value *value); /* as type() says; "expref" for an expression */
/* Python's ==: true equals 1.  Costs steps; when those run out the work has failed. */
bool aut__py_equal(aut__work *work, const aut__value *a, const aut__value *b);
/* Two numbers, or two texts by code point: -1, 0, 1; 2 when one is NaN. */
int aut__compare(aut__work *work, const aut__value *a, const aut__value *b);

/* ---- numbers --------------------------------------------------------------------------------- */

double aut__to_double(const aut__value *number);
int aut__number_compare(const aut__value *a, const aut__value *b); /* as aut__compare */
/* sign and decimal digits (leading zeros allowed) */
const aut__value *aut__number_digits(aut__work *work, bool negative, const char *digits, size_t len);
const aut__value *aut__number_abs(aut__work *work, const aut__value *number);
/* floor or ceil of a real; fails on NaN and infinity as Python does */
const aut__value *aut__number_whole(aut__work *work, double value);
const aut__value *aut__number_sum(aut__work *work, const aut__value *const *numbers, size_t count);
/* Python's int(text), else float(text), else null */
const aut__value *aut__number_read(aut__work *work, const char *text, size_t len);
#define AUT__REAL_TEXT_MAX 40
/* As Python's repr: "1.0", "1e+16", "nan". */
size_t aut__real_write(double value, char out[AUT__REAL_TEXT_MAX]);

/* ---- JSON ------------------------------------------------------------------------------------- */

/* NULL without a failure noted: it is not JSON (*out_at says where). */
const aut__value *aut__json_read(aut__work *work, const char *text, size_t len, size_t *out_at);
const aut__value *aut__json_load(aut__work *work, json_t *json);
/* to_string()'s way: compact, everything outside ASCII escaped.  False: failure noted. */
bool aut__json_write(aut__work *work, const aut__value *value, aut_buf *out);
/* NULL: JSON cannot say it, or no memory (then the work has failed). */
json_t *aut__json_make(aut__work *work, const aut__value *value);

/* ---- trees ------------------------------------------------------------------------------------ */

typedef enum aut__node_kind
{
	AUT__N_CURRENT,
	AUT__N_FIELD,      /* value: the key */
	AUT__N_LITERAL,    /* value */
	AUT__N_SUB,        /* children in turn, each on what the one before gave: a.b, a[0], a | b */
	AUT__N_INDEX,      /* index */
	AUT__N_SLICE,      /* slice */
	AUT__N_PROJECTION, /* child 0 gives a list, child 1 is asked of each */
	AUT__N_VALUES,     /* the same over the values of an object */
	AUT__N_FILTER,     /* the same, of those for which child 2 is true */
	AUT__N_FLATTEN,    /* child 0 */
	AUT__N_OR,
	AUT__N_AND,
	AUT__N_NOT,
	AUT__N_COMPARE, /* op */
	AUT__N_LIST,    /* [a, b] */
	AUT__N_HASH,    /* {k: a}; keys */
	AUT__N_CALL,    /* value: the name; function or NULL */
	AUT__N_EXPREF   /* value: itself as a value; child 0 */
} aut__node_kind;

typedef enum aut__compare_op
{
	AUT__EQ,
	AUT__NE,
	AUT__LT,
	AUT__LE,
	AUT__GT,
	AUT__GE
} aut__compare_op;

typedef struct aut__function aut__function;
typedef struct aut__regex aut__regex;

struct aut__node
{
	aut__node_kind kind;
	uint16_t height; /* levels below and with this one */
	size_t at;       /* byte in the text, for messages */
	size_t count;    /* of children */
	const aut__node **children;
	const aut__value *value;
	const aut__value **keys; /* HASH */
	int64_t index;
	struct
	{
		int64_t part[3];
		bool has[3];
	} slice;
	aut__compare_op op;
	const aut__function *function;
	const aut__regex *regex; /* CALL of regex with a literal pattern */
};

struct aut_jmespath
{
	aut_arena arena;
	size_t refs;
	const aut__node *root;
	aut__regex *regexes; /* to be ended with it */
};

/* ---- tokens ------------------------------------------------------------------------------------ */

typedef enum aut__token_kind
{
	AUT__T_EOF,
	AUT__T_NAME,
	AUT__T_QUOTED,
	AUT__T_LITERAL,
	AUT__T_NUMBER,
	AUT__T_RBRACKET,
	AUT__T_RPAREN,
	AUT__T_COMMA,
	AUT__T_RBRACE,
	AUT__T_CURRENT,
	AUT__T_EXPREF,
	AUT__T_COLON,
	AUT__T_PIPE,
	AUT__T_OR,
	AUT__T_AND,
	AUT__T_COMPARE,
	AUT__T_FLATTEN,
	AUT__T_STAR,
	AUT__T_FILTER,
	AUT__T_DOT,
	AUT__T_NOT,
	AUT__T_LBRACE,
	AUT__T_LBRACKET,
	AUT__T_LPAREN
} aut__token_kind;

typedef struct aut__token
{
	aut__token_kind kind;
	aut__compare_op op; /* COMPARE */
	size_t at, len;     /* in the text */
	const aut__value *value; /* NAME, QUOTED: a key; LITERAL */
	int64_t number;          /* NUMBER, held within 64 bits */
} aut__token;

/* All tokens, the last of which is EOF (aut_free them; their values are the work's); false: failure
 * noted. */
bool aut__lex(aut__work *work, const char *text, size_t len, aut__token **out, size_t *out_count);
const aut__node *aut__parse(aut__work *work, const char *text, size_t len);

/* ---- evaluation ---------------------------------------------------------------------------------- */

/* NULL: failure noted. */
const aut__value *aut__eval(aut__work *work, const aut__node *node, const aut__value *value);

/* Of the function table (jmespath_func.c). */
const aut__function *aut__function_find(const char *name, size_t len);
bool aut__function_is_regex(const aut__function *function);
const aut__value *aut__function_call(aut__work *work, const aut__node *node,
									 const aut__value **args);

/* ---- text ---------------------------------------------------------------------------------------- */

/*
 * A regular expression made ready.  Patterns that are wrong match nothing and are no error, as in
 * the reference; one that asks for more than can be done is an error each time it is used.
 */
struct aut__regex
{
	aut__regex *next;
	void *code;         /* pcre2_code, NULL: see status */
	aut_status status;  /* AUT_OK with code NULL: matches nothing */
	const char *reason; /* of status; a constant */
};

/* Python's pattern as one of PCRE2, in out; *out_options are compile options.  AUT_OK, AUT_EINVAL
 * (Python would refuse it), AUT_ELIMIT (it asks for too much, *out_reason says of what), AUT_ENOMEM. */
aut_status aut__regex_translate(const char *pattern, size_t len, aut_buf *out,
								uint32_t *out_options, const char **out_reason);
/* Only AUT_ENOMEM fails; end with aut__regex_done. */
aut_status aut__regex_init(aut__regex *regex, const char *pattern, size_t len);
void aut__regex_done(aut__regex *regex);
/* False with the work failed, or not found. */
bool aut__regex_search(aut__work *work, const aut__regex *regex, const char *text, size_t len);

const aut__value *aut__case(aut__work *work, const aut__value *text, bool upper);
/* Decode the code point at *at (valid UTF-8) and step over it. */
uint32_t aut__code_point(const char *text, size_t len, size_t *at);
/* Bytes of a code point written to out. */
size_t aut__utf8_write(uint32_t point, char out[4]);

#endif
