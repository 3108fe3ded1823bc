/* SPDX-License-Identifier: MIT */
/*
 * core/service/problems.c - lists of what is wrong with a request, and readers of single members.
 *
 * The contract reports all problems of a request at once, each as {"type","loc","msg","input","ctx"}
 * (http-api.md section 1); clients key on type and loc.  A reader takes one member, applies the
 * contract's lax coercion and adds a problem when that fails, so that a form reads as a list of
 * members and never stops half way.  A check that could not be made (no memory, a
 * zone file that cannot be read) is kept beside the list and comes out as the status instead.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/service/internal.h"

const aut__loc AUT__BODY = {NULL, "body", 0};
const aut__loc AUT__QUERY = {NULL, "query", 0};

/* ---- the list ------------------------------------------------------------------------------- */

/* Appends the chain from its root on; chains are as deep as our forms, a handful. */
static bool
loc_append(json_t *list, const aut__loc *at)
{
	json_t *part;

	if (at == NULL)
		return true;
	if (!loc_append(list, at->parent))
		return false;
	part = at->name != NULL ? json_string(at->name) : json_integer((json_int_t) at->index);
	return part != NULL && json_array_append_new(list, part) == 0;
}

static bool
problem_add(aut__problems *problems, const aut__loc *at, const char *type, const char *message,
			const json_t *input, json_t *take_ctx)
{
	json_t *problem = json_object();
	json_t *loc = json_array();
	bool good = problem != NULL && loc != NULL && loc_append(loc, at);

	good = good && aut_json_set(problem, "type", json_string(type));
	good = good && aut_json_set(problem, "loc", json_incref(loc));
	good = good && aut_json_set(problem, "msg", aut_json_text_or_null(message));
	/* the input is shared with the body, not copied: nobody changes either */
	good = good &&
		   aut_json_set(problem, "input",
						input != NULL ? json_incref((json_t *) (uintptr_t) input) : json_null());
	if (take_ctx != NULL)
		good = good && aut_json_set(problem, "ctx", json_incref(take_ctx));
	if (problems->list == NULL)
		problems->list = json_array();
	good = good && problems->list != NULL && json_array_append(problems->list, problem) == 0;
	json_decref(problem);
	json_decref(loc);
	json_decref(take_ctx);
	return good;
}

static void __attribute__((format(printf, 7, 0)))
problem_format(aut__problems *problems, const aut__loc *at, const char *type, const json_t *input,
			   json_t *take_ctx, const char *before, const char *fmt, va_list args)
{
	char message[400];
	size_t used = strlen(before);
	int wrote;

	memcpy(message, before, used);
	wrote = vsnprintf(message + used, sizeof message - used, fmt, args);
	/* a cut message may end inside a character: cut that too */
	if (wrote >= (int) (sizeof message - used))
		message[aut_utf8_boundary(message, sizeof message - 1)] = '\0';
	if (!problem_add(problems, at, type, message, input, take_ctx))
	{
		aut_error why = AUT_ERROR_INIT;

		aut_fail(&why, AUT_ENOMEM, "out of memory while checking a request");
		aut__problems_fail(problems, &why);
	}
}

void
aut__problems_add(aut__problems *problems, json_t *list)
{
	aut_error why = AUT_ERROR_INIT;

	if (problems->list == NULL)
		problems->list = json_array();
	if (problems->list != NULL && json_array_extend(problems->list, list) == 0)
		return;
	aut_fail(&why, AUT_ENOMEM, "out of memory while checking a request");
	aut__problems_fail(problems, &why);
}

void
aut__problems_fail(aut__problems *problems, const aut_error *why)
{
	if (problems->failure.code == AUT_OK)
		problems->failure = *why;
}

void
aut__problem(aut__problems *problems, const aut__loc *at, const char *type, const json_t *input,
			 json_t *take_ctx, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	problem_format(problems, at, type, input, take_ctx, "", fmt, args);
	va_end(args);
}

void
aut__problem_value(aut__problems *problems, const aut__loc *at, const json_t *input,
				   const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	problem_format(problems, at, "value_error", input, json_pack("{s:{}}", "error"),
				   "Value error, ", fmt, args);
	va_end(args);
}

void
aut__problems_done(aut__problems *problems)
{
	json_decref(problems->list);
	memset(problems, 0, sizeof *problems);
}

/* "trigger.schedule: message (and 2 more)" of the first problem, for doors without JSON. */
static aut_status
summarize(const json_t *list, aut_error *err)
{
	const json_t *first = json_array_get(list, 0);
	const json_t *loc = json_object_get(first, "loc");
	size_t more = json_array_size(list) - 1;
	char where[120] = "";
	size_t used = 0;

	/* the first part says "body" or "query", which a person need not read */
	for (size_t i = 1; i < json_array_size(loc); i++)
	{
		const json_t *part = json_array_get(loc, i);
		const char *dot = i > 1 ? "." : "";
		int wrote;

		if (json_is_string(part))
			wrote =
				snprintf(where + used, sizeof where - used, "%s%s", dot, json_string_value(part));
		else
			wrote = snprintf(where + used, sizeof where - used, "%s%lld", dot,
							 (long long) json_integer_value(part));
		if (wrote < 0 || used + (size_t) wrote >= sizeof where)
			break;
		used += (size_t) wrote;
	}
	where[aut_utf8_boundary(where, strlen(where))] = '\0';
	if (more > 0)
		return aut_fail(err, AUT_EINVAL, "%s%s%s (and %zu more)", where,
						where[0] != '\0' ? ": " : "", aut_json_string(first, "msg"), more);
	return aut_fail(err, AUT_EINVAL, "%s%s%s", where, where[0] != '\0' ? ": " : "",
					aut_json_string(first, "msg"));
}

aut_status
aut__problems_status(aut__problems *problems, json_t **out_problems, aut_error *err)
{
	aut_status status = AUT_OK;

	if (problems->failure.code != AUT_OK)
	{
		status = problems->failure.code;
		if (err != NULL)
			*err = problems->failure;
	}
	else if (problems->list != NULL)
	{
		status = summarize(problems->list, err);
		if (out_problems != NULL)
		{
			json_decref(*out_problems);
			*out_problems = json_incref(problems->list);
		}
	}
	aut__problems_done(problems);
	return status;
}

/* ---- control characters --------------------------------------------------------------------- */

size_t
aut__control_at(const char *text)
{
	const unsigned char *at = (const unsigned char *) text;

	if ((at[0] > 0 && at[0] < 0x20) || at[0] == 0x7f)
		return 1;
	if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f)
		return 2;
	return 0;
}

/* ---- members -------------------------------------------------------------------------------- */

bool
aut__is_object(aut__problems *problems, const aut__loc *at, const json_t *value)
{
	if (json_is_object(value))
		return true;
	if (value == NULL)
		aut__problem(problems, at, "missing", NULL, NULL, "Field required");
	else
		aut__problem(problems, at, "model_type", value, NULL, "Input should be an object");
	return false;
}

void
aut__refuse_others(aut__problems *problems, const aut__loc *at, const json_t *object,
				   const char *const *known)
{
	const char *key;
	json_t *value;

	/* jansson iterates without changing the object; its macro only lacks the const */
	json_object_foreach((json_t *) (uintptr_t) object, key, value)
	{
		size_t i = 0;
		aut__loc here = {at, key, 0};

		while (known[i] != NULL && strcmp(known[i], key) != 0)
			i++;
		if (known[i] == NULL)
			aut__problem(problems, &here, "extra_forbidden", value, NULL,
						 "Extra inputs are not permitted");
	}
}

/* What all readers begin with: absent and null.  AUT__VALUE: look at *out. */
static aut__got
member(aut__problems *problems, const aut__loc *at, const json_t *object, const aut__rule *rule,
	   const json_t **out)
{
	aut__loc here = {at, rule->name, 0};
	const json_t *value = json_object_get(object, rule->name);

	if (value == NULL && rule->required)
	{
		aut__problem(problems, &here, "missing", object, NULL, "Field required");
		return AUT__BAD;
	}
	if (value == NULL)
		return AUT__ABSENT;
	if (json_is_null(value) && rule->nullable)
		return AUT__NULL;
	*out = value;
	return AUT__VALUE;
}

aut__got
aut__read_any(aut__problems *problems, const aut__loc *at, const json_t *object,
			  const aut__rule *rule, const json_t **out)
{
	return member(problems, at, object, rule, out);
}

static bool
length_fits(aut__problems *problems, const aut__loc *here, const json_t *value,
			const aut__rule *rule)
{
	size_t length = aut_utf8_length(json_string_value(value), json_string_length(value));

	if (length < rule->min)
	{
		aut__problem(problems, here, "string_too_short", value,
					 json_pack("{s:I}", "min_length", (json_int_t) rule->min),
					 "String should have at least %zu character%s", rule->min,
					 rule->min == 1 ? "" : "s");
		return false;
	}
	if (rule->max > 0 && length > rule->max)
	{
		aut__problem(problems, here, "string_too_long", value,
					 json_pack("{s:I}", "max_length", (json_int_t) rule->max),
					 "String should have at most %zu character%s", rule->max,
					 rule->max == 1 ? "" : "s");
		return false;
	}
	return true;
}

aut__got
aut__read_text(aut__problems *problems, const aut__loc *at, const json_t *object,
			   const aut__rule *rule, const char **out)
{
	aut__loc here = {at, rule->name, 0};
	const json_t *value = NULL;
	aut__got got = member(problems, at, object, rule, &value);

	if (got != AUT__VALUE)
		return got;
	if (!json_is_string(value))
	{
		aut__problem(problems, &here, "string_type", value, NULL, "Input should be a valid string");
		return AUT__BAD;
	}
	if (!length_fits(problems, &here, value, rule))
		return AUT__BAD;
	*out = json_string_value(value);
	return AUT__VALUE;
}

aut__got
aut__read_bool(aut__problems *problems, const aut__loc *at, const json_t *object,
			   const aut__rule *rule, bool *out)
{
	aut__loc here = {at, rule->name, 0};
	const json_t *value = NULL;
	aut__got got = member(problems, at, object, rule, &value);
	bool made;

	if (got != AUT__VALUE)
		return got;
	if (aut_lax_bool(value, &made))
	{
		*out = made;
		return AUT__VALUE;
	}
	if (json_is_string(value) || json_is_number(value))
		aut__problem(problems, &here, "bool_parsing", value, NULL,
					 "Input should be a valid boolean, unable to interpret input");
	else
		aut__problem(problems, &here, "bool_type", value, NULL, "Input should be a valid boolean");
	return AUT__BAD;
}

aut__got
aut__read_int(aut__problems *problems, const aut__loc *at, const json_t *object,
			  const aut__rule *rule, int64_t *out)
{
	aut__loc here = {at, rule->name, 0};
	const json_t *value = NULL;
	aut__got got = member(problems, at, object, rule, &value);
	double real = json_real_value(value);

	if (got != AUT__VALUE)
		return got;
	if (json_is_integer(value))
		*out = json_integer_value(value);
	else if (json_is_boolean(value))
		*out = json_is_true(value) ? 1 : 0;
	else if (json_is_real(value) && (real < -9e18 || real > 9e18))
		*out = real < 0 ? INT64_MIN : INT64_MAX;
	else if (json_is_real(value) && trunc(real) == real)
		*out = (int64_t) real;
	else if (json_is_real(value))
	{
		aut__problem(problems, &here, "int_from_float", value, NULL,
					 "Input should be a valid integer, got a number with a fractional part");
		return AUT__BAD;
	}
	else if (json_is_string(value))
	{
		if (!aut_lax_int_text(json_string_value(value), out))
		{
			aut__problem(problems, &here, "int_parsing", value, NULL,
						 "Input should be a valid integer, unable to parse string as an integer");
			return AUT__BAD;
		}
	}
	else
	{
		aut__problem(problems, &here, "int_type", value, NULL, "Input should be a valid integer");
		return AUT__BAD;
	}
	return AUT__VALUE;
}

/* A decimal number in a text with blanks around; no hexadecimal, infinite or missing values. */
static bool
real_from_text(const char *text, double *out)
{
	char *end;
	double made;
	size_t blank;

	while ((blank = aut_blank_at(text)) > 0)
		text += blank;
	if (text[strspn(text, "+-.")] < '0' || text[strspn(text, "+-.")] > '9' ||
		strpbrk(text, "xXpP") != NULL)
		return false;
	errno = 0;
	made = strtod(text, &end);
	if (end == text || errno == ERANGE)
		return false;
	while ((blank = aut_blank_at(end)) > 0)
		end += blank;
	if (*end != '\0' || !isfinite(made))
		return false;
	*out = made;
	return true;
}

aut__got
aut__read_real(aut__problems *problems, const aut__loc *at, const json_t *object,
			   const aut__rule *rule, double *out)
{
	aut__loc here = {at, rule->name, 0};
	const json_t *value = NULL;
	aut__got got = member(problems, at, object, rule, &value);

	if (got != AUT__VALUE)
		return got;
	if (json_is_number(value))
		*out = json_number_value(value);
	else if (json_is_boolean(value))
		*out = json_is_true(value) ? 1.0 : 0.0;
	else if (json_is_string(value))
	{
		if (!real_from_text(json_string_value(value), out))
		{
			aut__problem(problems, &here, "float_parsing", value, NULL,
						 "Input should be a valid number, unable to parse string as a number");
			return AUT__BAD;
		}
	}
	else
	{
		aut__problem(problems, &here, "float_type", value, NULL, "Input should be a valid number");
		return AUT__BAD;
	}
	return AUT__VALUE;
}

aut__got
aut__read_object(aut__problems *problems, const aut__loc *at, const json_t *object,
				 const aut__rule *rule, const json_t **out)
{
	aut__loc here = {at, rule->name, 0};
	const json_t *value = NULL;
	aut__got got = member(problems, at, object, rule, &value);

	if (got != AUT__VALUE)
		return got;
	if (!json_is_object(value))
	{
		aut__problem(problems, &here, "dict_type", value, NULL, "Input should be a valid object");
		return AUT__BAD;
	}
	*out = value;
	return AUT__VALUE;
}

aut__got
aut__read_uuid(aut__problems *problems, const aut__loc *at, const json_t *object,
			   const aut__rule *rule, aut_uuid *out)
{
	aut__loc here = {at, rule->name, 0};
	const json_t *value = NULL;
	aut__got got = member(problems, at, object, rule, &value);

	if (got != AUT__VALUE)
		return got;
	if (!json_is_string(value))
	{
		aut__problem(problems, &here, "uuid_type", value, NULL, "UUID input should be a string");
		return AUT__BAD;
	}
	if (!aut_uuid_parse(json_string_value(value), json_string_length(value), out))
	{
		aut__problem(problems, &here, "uuid_parsing", value, NULL, "Input should be a valid UUID");
		return AUT__BAD;
	}
	return AUT__VALUE;
}

aut__got
aut__read_word(aut__problems *problems, const aut__loc *at, const json_t *object,
			   const aut__rule *rule, const char *const *words, const char **out)
{
	aut__loc here = {at, rule->name, 0};
	const json_t *value = NULL;
	aut__got got = member(problems, at, object, rule, &value);
	char expected[200] = "";
	size_t used = 0;

	if (got != AUT__VALUE)
		return got;
	for (size_t i = 0; words[i] != NULL; i++)
	{
		const char *before = i == 0 ? "" : words[i + 1] == NULL ? " or " : ", ";
		int wrote;

		if (json_is_string(value) && strcmp(json_string_value(value), words[i]) == 0)
		{
			*out = words[i];
			return AUT__VALUE;
		}
		wrote = snprintf(expected + used, sizeof expected - used, "%s'%s'", before, words[i]);
		if (wrote > 0 && used + (size_t) wrote < sizeof expected)
			used += (size_t) wrote;
	}
	aut__problem(problems, &here, "literal_error", value, json_pack("{s:s}", "expected", expected),
				 "Input should be %s", expected);
	return AUT__BAD;
}
