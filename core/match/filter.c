/* SPDX-License-Identifier: MIT */
/*
 * core/match/filter.c - what other rooms call: compile, read a payload, ask, keep.
 *
 * A compiled expression is an arena with a tree in it, counted by its owners and never changed.  A
 * payload likewise.  An evaluation makes its values in an arena of its own, which goes with it; only
 * aut_match_result leaves.
 */
#include <string.h>

#include "core/match/jmespath.h"

#define COMPILE_MEMORY_MAX ((size_t) 32 * 1024 * 1024) /* of a text of AUT_JMESPATH_TEXT_MAX */
#define PAYLOAD_MEMORY_MAX ((size_t) 512 * 1024 * 1024)

/* ---- payloads ---------------------------------------------------------------------------------- */

struct aut_payload
{
	aut_arena arena;
	const aut__value *value;
	json_t *json; /* whose texts are shared, or NULL */
	char *text;   /* the same of a parsed text, or NULL */
};

/* Work that is bounded by the size of its input alone. */
static void
work_init_unbounded(aut__work *work, size_t memory_max, aut_error *err)
{
	aut_match_options options = AUT_MATCH_OPTIONS_INIT;

	options.steps_max = UINT64_MAX;
	options.memory_max = memory_max;
	options.time_max_us = INT64_MAX / 4;
	aut__work_init(work, &options, err);
}

aut_status
aut_payload_from_json(json_t *json, aut_payload **out, aut_error *err)
{
	aut_payload *made = aut_calloc(1, sizeof *made);
	aut__work work;

	if (made == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for a payload");
	work_init_unbounded(&work, PAYLOAD_MEMORY_MAX, err);
	made->json = json_incref(json);
	made->value = aut__json_load(&work, json);
	made->arena = work.arena;
	if (made->value == NULL)
	{
		aut_payload_free(made);
		return work.status;
	}
	*out = made;
	return AUT_OK;
}

aut_status
aut_payload_parse(const char *text, size_t len, aut_payload **out, aut_error *err)
{
	aut_payload *made;
	aut__work work;
	size_t at = 0;

	if (!aut_utf8_valid(text, len))
		return aut_fail(err, AUT_EBADREQ, "the payload is not valid UTF-8");
	made = aut_calloc(1, sizeof *made);
	if (made == NULL || (made->text = aut_strndup(text, len)) == NULL)
	{
		aut_free(made);
		return aut_fail(err, AUT_ENOMEM, "out of memory for a payload");
	}
	work_init_unbounded(&work, PAYLOAD_MEMORY_MAX, err);
	made->value = aut__json_read(&work, made->text, len, &at);
	made->arena = work.arena;
	if (made->value == NULL)
	{
		aut_payload_free(made);
		if (work.status != AUT_OK && work.status != AUT_ELIMIT)
			return work.status;
		return aut_fail(err, AUT_EBADREQ, "the payload is not JSON (at byte %zu)%s", at,
						work.status == AUT_ELIMIT ? ": it nests too deeply" : "");
	}
	*out = made;
	return AUT_OK;
}

bool
aut_payload_enter(aut_payload *payload, const char *name)
{
	const aut__value *object = payload->value;
	size_t len = strlen(name);

	for (size_t i = 0; object->kind == AUT__OBJECT && i < object->len; i++)
	{
		const aut__value *key = object->as.members->keys[i];

		if (key->len == len && memcmp(key->as.text, name, len) == 0)
		{
			payload->value = object->as.members->values[i];
			return true;
		}
	}
	return false;
}

void
aut_payload_free(aut_payload *payload)
{
	if (payload == NULL)
		return;
	aut_arena_done(&payload->arena);
	json_decref(payload->json);
	aut_free(payload->text);
	aut_free(payload);
}

/* ---- expressions -------------------------------------------------------------------------------- */

/*
 * A regular expression that stands in the expression itself is made ready with it.  The tree is ours
 * alone until compile returns, so it is written through here, once; recursion is bounded by its height.
 */
static aut_status
prepare(aut_jmespath *expr, aut_arena *arena, const aut__node *node)
{
	aut_status status = AUT_OK;

	for (size_t i = 0; i < node->count && status == AUT_OK; i++)
		status = prepare(expr, arena, node->children[i]);
	if (status != AUT_OK || node->kind != AUT__N_CALL || node->count != 2 ||
		!aut__function_is_regex(node->function) || node->children[1]->kind != AUT__N_LITERAL ||
		node->children[1]->value->kind != AUT__STRING)
		return status;
	{
		const aut__value *pattern = node->children[1]->value;
		aut__regex *made = aut_arena_alloc(arena, sizeof *made);

		if (made == NULL)
			return AUT_ENOMEM;
		memset(made, 0, sizeof *made);
		made->next = expr->regexes;
		expr->regexes = made;
		((aut__node *) (uintptr_t) node)->regex = made;
		return aut__regex_init(made, pattern->as.text, pattern->len);
	}
}

aut_status
aut_jmespath_compile(const char *text, size_t len, aut_jmespath **out, aut_error *err)
{
	aut_jmespath *made;
	aut__work work;
	aut_status status;

	if (len > AUT_JMESPATH_TEXT_MAX)
		return aut_fail(err, AUT_EINVAL, "the expression has %zu bytes; at most %d are allowed",
						len, AUT_JMESPATH_TEXT_MAX);
	if (!aut_utf8_valid(text, len))
		return aut_fail(err, AUT_EINVAL, "the expression is not valid UTF-8");
	made = aut_calloc(1, sizeof *made);
	if (made == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for an expression");
	made->refs = 1;
	work_init_unbounded(&work, COMPILE_MEMORY_MAX, err);
	made->root = aut__parse(&work, text, len);
	made->arena = work.arena;
	status = work.status;
	if (status == AUT_ELIMIT)
	{
		/* whatever bound it is, the text is to blame, and whoever wrote it is told so */
		status = AUT_EINVAL;
		if (err != NULL)
			err->code = AUT_EINVAL;
	}
	if (made->root != NULL)
	{
		status = prepare(made, &made->arena, made->root);
		if (status != AUT_OK)
			aut_fail(err, status, "out of memory for a regular expression");
	}
	if (status != AUT_OK)
		aut_jmespath_free(made);
	else
		*out = made;
	return status;
}

aut_jmespath *
aut_jmespath_ref(aut_jmespath *expr)
{
	expr->refs++;
	return expr;
}

void
aut_jmespath_free(aut_jmespath *expr)
{
	if (expr == NULL || --expr->refs > 0)
		return;
	for (aut__regex *regex = expr->regexes; regex != NULL; regex = regex->next)
		aut__regex_done(regex);
	aut_arena_done(&expr->arena);
	aut_free(expr);
}

/* ---- results ------------------------------------------------------------------------------------- */

static aut_match_kind
kind_of(const aut__value *value)
{
	switch (value->kind)
	{
		case AUT__NULL:
			return AUT_MATCH_NULL;
		case AUT__BOOLEAN:
			return AUT_MATCH_BOOLEAN;
		case AUT__INTEGER:
		case AUT__BIG:
		case AUT__REAL:
			return AUT_MATCH_NUMBER;
		case AUT__STRING:
			return AUT_MATCH_STRING;
		case AUT__ARRAY:
			return AUT_MATCH_ARRAY;
		case AUT__OBJECT:
			return AUT_MATCH_OBJECT;
		case AUT__EXPREF:
			break;
	}
	return AUT_MATCH_EXPRESSION;
}

/* Text of a scalar as Python's str() gives it; NULL for others, and without memory (noted). */
static char *
text_of(aut__work *work, const aut__value *value, size_t *out_len)
{
	char real[AUT__REAL_TEXT_MAX];
	char *text = NULL;

	*out_len = 0;
	switch (value->kind)
	{
		case AUT__BOOLEAN:
			text = aut_strdup(value->boolean ? "True" : "False");
			break;
		case AUT__INTEGER:
			text = aut_printf("%lld", (long long) value->as.integer);
			break;
		case AUT__BIG:
			text =
				aut_printf("%s%.*s", value->boolean ? "-" : "", (int) value->len, value->as.text);
			break;
		case AUT__REAL:
			aut__real_write(value->as.real, real);
			text = aut_strdup(real);
			break;
		case AUT__STRING:
			text = aut_strndup(value->as.text, value->len);
			*out_len = value->len;
			break;
		case AUT__NULL:
		case AUT__ARRAY:
		case AUT__OBJECT:
		case AUT__EXPREF:
			return NULL;
	}
	if (text == NULL)
		aut__work_fail(work, AUT_ENOMEM, "out of memory for an expression's result");
	else if (value->kind != AUT__STRING)
		*out_len = strlen(text);
	return text;
}

aut_status
aut_jmespath_search(const aut_jmespath *expr, const aut_payload *payload,
					const aut_match_options *options, aut_match_result *out, aut_error *err)
{
	aut_match_result made = {0};
	const aut__value *value;
	aut__work work;

	aut__work_init(&work, options, err);
	value = aut__eval(&work, expr->root, payload->value);
	if (value != NULL)
	{
		made.kind = kind_of(value);
		made.truth = !aut__is_py_false(value);
		made.text = text_of(&work, value, &made.text_len);
		if (work.status == AUT_OK)
			made.json = aut__json_make(&work, value);
	}
	aut_arena_done(&work.arena);
	if (work.status != AUT_OK)
		aut_match_result_done(&made);
	else
		*out = made;
	return work.status;
}

void
aut_match_result_done(aut_match_result *result)
{
	if (result == NULL)
		return;
	aut_free(result->text);
	json_decref(result->json);
	memset(result, 0, sizeof *result);
}

/* ---- filters -------------------------------------------------------------------------------------- */

aut_status
aut_filter_check(const char *text, size_t len, aut_error *err)
{
	aut_jmespath *expr = NULL;
	aut_status status = aut_jmespath_compile(text, len, &expr, err);

	aut_jmespath_free(expr);
	return status;
}

aut_status
aut_filter_match(const aut_jmespath *expr, const aut_payload *payload,
				 const aut_match_options *options, bool *out_match, aut_error *err)
{
	const aut__value *value;
	aut__work work;

	aut__work_init(&work, options, err);
	value = aut__eval(&work, expr->root, payload->value);
	if (value != NULL)
		*out_match = !aut__is_py_false(value);
	aut_arena_done(&work.arena);
	return work.status;
}

/* One association's value, or NULL when it is left out. AUT_ENOMEM is the only failure. */
static aut_status
association(const char *text, const aut_payload *payload, json_t **out)
{
	aut_match_options options = AUT_MATCH_OPTIONS_INIT;
	aut_match_result found = {0};
	aut_jmespath *expr = NULL;
	aut_status status;

	options.standard_only = true;
	*out = NULL;
	status = aut_jmespath_compile(text, strlen(text), &expr, NULL);
	if (status == AUT_OK)
		status = aut_jmespath_search(expr, payload, &options, &found, NULL);
	if (status == AUT_OK &&
		(found.kind == AUT_MATCH_NUMBER || found.kind == AUT_MATCH_BOOLEAN ||
		 (found.kind == AUT_MATCH_STRING &&
		  aut_utf8_length(found.text, found.text_len) <= AUT_ASSOCIATION_VALUE_MAX)))
		*out = json_incref(found.json);
	aut_match_result_done(&found);
	aut_jmespath_free(expr);
	return status == AUT_ENOMEM ? status : AUT_OK;
}

aut_status
aut_associations_eval(const json_t *associations, const aut_payload *payload, json_t **out,
					  aut_error *err)
{
	json_t *made = json_object();
	aut_status status = made != NULL ? AUT_OK : AUT_ENOMEM;

	for (void *at = json_object_iter((json_t *) (uintptr_t) associations);
		 at != NULL && status == AUT_OK;
		 at = json_object_iter_next((json_t *) (uintptr_t) associations, at))
	{
		const char *text = json_string_value(json_object_iter_value(at));
		json_t *value = NULL;

		if (text != NULL)
			status = association(text, payload, &value);
		if (value != NULL && json_object_set_new(made, json_object_iter_key(at), value) != 0)
			status = AUT_ENOMEM;
	}
	if (status != AUT_OK)
	{
		json_decref(made);
		return aut_fail(err, status, "out of memory for associations");
	}
	*out = made;
	return AUT_OK;
}
