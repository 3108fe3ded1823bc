/* SPDX-License-Identifier: MIT */
/*
 * core/match/jmespath_eval.c - what a tree comes to on a value.
 *
 * Recursion follows the tree, whose height the parser bounds; every node visited and every element
 * touched is a step of the budget.  A failure gives NULL and is noted in the work.
 *
 * A projection leaves nulls out of its result; that is the language, not a shortcut.
 */
#include <string.h>

#include "core/match/jmespath.h"

static const aut__value *
index_of(const aut__value *value, int64_t index)
{
	if (value->kind != AUT__ARRAY)
		return &aut__null;
	if (index < 0)
		index += (int64_t) value->len;
	if (index < 0 || index >= (int64_t) value->len)
		return &aut__null;
	return value->as.items[index];
}

/* ---- slices ---------------------------------------------------------------------------------- */

/* A bound of a slice brought into the list, as Python does; low and high are what it may be. */
static int64_t
slice_bound(const aut__node *node, int part, int64_t len, int64_t low, int64_t high,
			int64_t otherwise)
{
	int64_t bound = node->slice.part[part];

	if (!node->slice.has[part])
		return otherwise;
	if (bound < 0)
		bound += len;
	if (bound < low)
		return low;
	return bound > high ? high : bound;
}

static const aut__value *
slice_of(aut__work *work, const aut__node *node, const aut__value *value)
{
	int64_t step = node->slice.has[2] ? node->slice.part[2] : 1;
	int64_t len = (int64_t) value->len;
	int64_t from, to;
	size_t count;
	const aut__value **items;

	if (value->kind != AUT__ARRAY)
		return &aut__null;
	if (step == 0)
	{
		aut__work_fail(work, AUT_EINVAL, "the slice at byte %zu has step 0", node->at);
		return NULL;
	}
	if (step > 0)
	{
		from = slice_bound(node, 0, len, 0, len, 0);
		to = slice_bound(node, 1, len, 0, len, len);
		count = from < to ? (size_t) ((to - from - 1) / step + 1) : 0;
	}
	else
	{
		from = slice_bound(node, 0, len, -1, len - 1, len - 1);
		to = slice_bound(node, 1, len, -1, len - 1, -1);
		count = to < from ? (size_t) ((from - to - 1) / -step + 1) : 0;
	}
	items = aut__make_array(work, count, sizeof *items);
	if (items == NULL || !aut__spend(work, count))
		return NULL;
	for (size_t i = 0; i < count; i++)
		items[i] = value->as.items[from + (int64_t) i * step];
	return aut__array(work, items, count);
}

/* ---- projections ----------------------------------------------------------------------------- */

/* Ask node of each of the items, of those that pass the condition (NULL: of all). */
static const aut__value *
project(aut__work *work, const aut__value *const *items, size_t count, const aut__node *node,
		const aut__node *condition)
{
	aut__list list = {0};

	for (size_t i = 0; i < count; i++)
	{
		const aut__value *found;

		if (!aut__spend(work, 1))
			return NULL;
		if (condition != NULL)
		{
			const aut__value *passes = aut__eval(work, condition, items[i]);

			if (passes == NULL)
				return NULL;
			if (aut__is_false(passes))
				continue;
		}
		found = aut__eval(work, node, items[i]);
		if (found == NULL || (found->kind != AUT__NULL && !aut__list_add(work, &list, found)))
			return NULL;
	}
	return aut__list_done(work, &list);
}

static const aut__value *
flatten(aut__work *work, const aut__value *value)
{
	aut__list list = {0};

	if (value->kind != AUT__ARRAY)
		return &aut__null;
	for (size_t i = 0; i < value->len; i++)
	{
		const aut__value *item = value->as.items[i];
		bool nested = item->kind == AUT__ARRAY;

		if (!aut__spend(work, 1 + (nested ? item->len : 0)))
			return NULL;
		for (size_t k = 0; k < (nested ? item->len : 1); k++)
		{
			if (!aut__list_add(work, &list, nested ? item->as.items[k] : item))
				return NULL;
		}
	}
	return aut__list_done(work, &list);
}

/* ---- comparisons ----------------------------------------------------------------------------- */

/* 0 and 1 are not false and true, though Python says so; inside lists and objects it may. */
static bool
equal(aut__work *work, const aut__value *a, const aut__value *b)
{
	if ((a->kind == AUT__BOOLEAN) != (b->kind == AUT__BOOLEAN))
		return false;
	return aut__py_equal(work, a, b);
}

static const aut__value *
compare(aut__work *work, const aut__node *node, const aut__value *a, const aut__value *b)
{
	bool numbers = aut__is_number(a) && aut__is_number(b);
	int order;

	if (node->op == AUT__EQ || node->op == AUT__NE)
	{
		bool same = equal(work, a, b);

		return work->status != AUT_OK ? NULL : aut__bool(same == (node->op == AUT__EQ));
	}
	if (!numbers && !(a->kind == AUT__STRING && b->kind == AUT__STRING))
	{
		if ((aut__is_number(a) || a->kind == AUT__STRING) &&
			(aut__is_number(b) || b->kind == AUT__STRING))
		{
			/* a kind of its own: the library leaves it to Python, whose TypeError a door may see */
			aut__work_fail(work, AUT_EBADREQ,
						   "the comparison at byte %zu is between a %s and a %s; convert one with "
						   "to_number() or to_string()",
						   node->at, aut__type_name(a), aut__type_name(b));
			return NULL;
		}
		return &aut__null;
	}
	order = aut__compare(work, a, b);
	if (work->status != AUT_OK)
		return NULL;
	if (order == 2) /* NaN is neither smaller nor larger than anything */
		return &aut__false;
	switch (node->op)
	{
		case AUT__LT:
			return aut__bool(order < 0);
		case AUT__LE:
			return aut__bool(order <= 0);
		case AUT__GT:
			return aut__bool(order > 0);
		case AUT__GE:
			return aut__bool(order >= 0);
		case AUT__EQ:
		case AUT__NE:
			break;
	}
	return &aut__null;
}

/* ---- nodes that make something ------------------------------------------------------------------ */

static const aut__value *
make_list(aut__work *work, const aut__node *node, const aut__value *value)
{
	const aut__value **items = aut__make_array(work, node->count, sizeof *items);

	if (items == NULL)
		return NULL;
	for (size_t i = 0; i < node->count; i++)
	{
		items[i] = aut__eval(work, node->children[i], value);
		if (items[i] == NULL)
			return NULL;
	}
	return aut__array(work, items, node->count);
}

static const aut__value *
make_object(aut__work *work, const aut__node *node, const aut__value *value)
{
	aut__draft draft = {0};

	for (size_t i = 0; i < node->count; i++)
	{
		const aut__value *member = aut__eval(work, node->children[i], value);

		if (member == NULL || !aut__draft_put(work, &draft, node->keys[i], member))
			return NULL;
	}
	return aut__draft_done(work, &draft);
}

#define ARGS_ON_STACK 4

static const aut__value *
call(aut__work *work, const aut__node *node, const aut__value *value)
{
	const aut__value *few[ARGS_ON_STACK];
	const aut__value **args = few;

	if (node->count > ARGS_ON_STACK)
		args = aut__make_array(work, node->count, sizeof *args);
	if (args == NULL)
		return NULL;
	for (size_t i = 0; i < node->count; i++)
	{
		args[i] = aut__eval(work, node->children[i], value);
		if (args[i] == NULL)
			return NULL;
	}
	return aut__function_call(work, node, args);
}

/* Projections and flattening: child 0 gives what is gone through. */
static const aut__value *
eval_each(aut__work *work, const aut__node *node, const aut__value *value)
{
	const aut__value *base = aut__eval(work, node->children[0], value);

	if (base == NULL)
		return NULL;
	if (node->kind == AUT__N_FLATTEN)
		return flatten(work, base);
	if (node->kind == AUT__N_VALUES)
	{
		if (base->kind != AUT__OBJECT)
			return &aut__null;
		return project(work, base->as.members->values, base->len, node->children[1], NULL);
	}
	if (base->kind != AUT__ARRAY)
		return &aut__null;
	return project(work, base->as.items, base->len, node->children[1],
				   node->kind == AUT__N_FILTER ? node->children[2] : NULL);
}

static const aut__value *
eval_logic(aut__work *work, const aut__node *node, const aut__value *value)
{
	const aut__value *left = aut__eval(work, node->children[0], value);
	const aut__value *right;

	if (left == NULL)
		return NULL;
	if (node->kind == AUT__N_NOT)
		return aut__bool(aut__is_false(left));
	if (node->kind != AUT__N_COMPARE)
	{
		if (aut__is_false(left) == (node->kind == AUT__N_AND))
			return left;
		return aut__eval(work, node->children[1], value);
	}
	right = aut__eval(work, node->children[1], value);
	return right == NULL ? NULL : compare(work, node, left, right);
}

const aut__value *
aut__eval(aut__work *work, const aut__node *node, const aut__value *value)
{
	if (!aut__spend(work, 1))
		return NULL;
	switch (node->kind)
	{
		case AUT__N_CURRENT:
			return value;
		case AUT__N_FIELD:
			value = aut__member(value, node->value);
			return value != NULL ? value : &aut__null;
		case AUT__N_LITERAL:
		case AUT__N_EXPREF:
			return node->value;
		case AUT__N_SUB:
			for (size_t i = 0; i < node->count && value != NULL; i++)
				value = aut__eval(work, node->children[i], value);
			return value;
		case AUT__N_INDEX:
			return index_of(value, node->index);
		case AUT__N_SLICE:
			return slice_of(work, node, value);
		case AUT__N_PROJECTION:
		case AUT__N_VALUES:
		case AUT__N_FILTER:
		case AUT__N_FLATTEN:
			return eval_each(work, node, value);
		case AUT__N_OR:
		case AUT__N_AND:
		case AUT__N_NOT:
		case AUT__N_COMPARE:
			return eval_logic(work, node, value);
		case AUT__N_LIST:
			return value->kind == AUT__NULL ? value : make_list(work, node, value);
		case AUT__N_HASH:
			return value->kind == AUT__NULL ? value : make_object(work, node, value);
		case AUT__N_CALL:
			return call(work, node, value);
	}
	return &aut__null;
}
