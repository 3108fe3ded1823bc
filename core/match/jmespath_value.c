/* SPDX-License-Identifier: MIT */
/*
 * core/match/jmespath_value.c - values of expressions, and the budget they are made from.
 *
 * A value is made once, in an arena, and never changed.  Nothing here copies what it is given: a
 * slice of a payload points at the payload's items.
 */
#include <string.h>

#include "core/match/jmespath.h"

#define LOOK_AT_ALL 8    /* members up to which a table is not worth it */
#define CLOCK_EVERY 4096 /* steps between two looks at the clock */

const aut__value aut__null = {.kind = AUT__NULL};
const aut__value aut__true = {.kind = AUT__BOOLEAN, .boolean = true};
const aut__value aut__false = {.kind = AUT__BOOLEAN, .boolean = false};
const aut__value aut__empty_text = {.kind = AUT__STRING, .as.text = ""};

/* ---- budget ---------------------------------------------------------------------------------- */

void
aut__work_init(aut__work *work, const aut_match_options *options_or_null, aut_error *err)
{
	static const aut_match_options defaults = AUT_MATCH_OPTIONS_INIT;
	const aut_match_options *options = options_or_null != NULL ? options_or_null : &defaults;

	memset(work, 0, sizeof *work);
	work->memory_max = options->memory_max;
	work->steps_left = work->steps_max = options->steps_max;
	work->clock = options->clock != NULL ? options->clock : aut_clock_system();
	work->time_max_us = options->time_max_us;
	work->deadline_us = aut_mono_us(work->clock) + options->time_max_us;
	work->standard_only = options->standard_only;
	work->err = err;
	/* steps_to_clock is 0: the first step goes the slow way and sets it */
}

bool
aut__work_fail(aut__work *work, aut_status code, const char *fmt, ...)
{
	char text[AUT_ERROR_MESSAGE_MAX];
	va_list args;

	if (work->status != AUT_OK)
		return false;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	work->status = aut_fail(work->err, code, "%s", text);
	/* nothing more is to be had */
	work->steps_left = 0;
	work->steps_to_clock = 0;
	return false;
}

/*
 * steps_left is what was not yet handed out; steps_to_clock what was handed out and not yet used.
 * So the quick path is one comparison and one subtraction, and the clock is read now and then.
 */
bool
aut__spend_slow(aut__work *work, uint64_t steps)
{
	uint64_t portion;

	if (work->status != AUT_OK)
		return false;
	steps -= work->steps_to_clock;
	work->steps_to_clock = 0;
	if (steps >= work->steps_left)
		return aut__work_fail(work, AUT_ELIMIT,
							  "the expression needs more than %llu steps with this payload",
							  (unsigned long long) work->steps_max);
	work->steps_left -= steps;
	if (aut_mono_us(work->clock) > work->deadline_us)
		return aut__work_fail(work, AUT_ELIMIT,
							  "the expression needs more than %lld ms with this payload",
							  (long long) (work->time_max_us / AUT_US_PER_MS));
	portion = work->steps_left < CLOCK_EVERY ? work->steps_left : CLOCK_EVERY;
	work->steps_to_clock = portion;
	work->steps_left -= portion;
	return true;
}

void *
aut__make(aut__work *work, size_t size)
{
	void *ptr = NULL;

	if (work->status != AUT_OK)
		return NULL;
	if (size > work->memory_max || work->arena.total > work->memory_max - size)
		aut__work_fail(work, AUT_ELIMIT, "the expression needs more than %zu KiB of memory",
					   work->memory_max / 1024);
	else if ((ptr = aut_arena_alloc(&work->arena, size)) == NULL)
		aut__work_fail(work, AUT_ENOMEM, "out of memory for an expression");
	return ptr;
}

void *
aut__make_array(aut__work *work, size_t count, size_t size)
{
	size_t whole;

	if (__builtin_mul_overflow(count, size, &whole))
		whole = SIZE_MAX;
	return aut__make(work, whole);
}

/* ---- making ---------------------------------------------------------------------------------- */

const aut__value *
aut__bool(bool truth)
{
	return truth ? &aut__true : &aut__false;
}

static aut__value *
value_make(aut__work *work, aut__kind kind)
{
	aut__value *made = aut__make(work, sizeof *made);

	if (made == NULL)
		return NULL;
	memset(made, 0, sizeof *made);
	made->kind = kind;
	return made;
}

const aut__value *
aut__integer(aut__work *work, int64_t value)
{
	aut__value *made = value_make(work, AUT__INTEGER);

	if (made != NULL)
		made->as.integer = value;
	return made;
}

const aut__value *
aut__real(aut__work *work, double value)
{
	aut__value *made = value_make(work, AUT__REAL);

	if (made != NULL)
		made->as.real = value;
	return made;
}

const aut__value *
aut__text(aut__work *work, const char *text, size_t len)
{
	aut__value *made = value_make(work, AUT__STRING);

	if (made != NULL)
	{
		made->as.text = text;
		made->len = len;
	}
	return made;
}

const aut__value *
aut__text_copy(aut__work *work, const char *text, size_t len)
{
	char *copy = aut__make(work, len);

	if (copy == NULL)
		return NULL;
	memcpy(copy, text, len);
	return aut__text(work, copy, len);
}

/* FNV-1a; who chooses keys that collide finds them looked at one by one, and pays in steps. */
static uint32_t
hash_of(const char *text, size_t len)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char) text[i]) * 16777619u;
	return hash;
}

const aut__value *
aut__key(aut__work *work, const char *text, size_t len)
{
	aut__value *made = value_make(work, AUT__STRING);

	if (made != NULL)
	{
		made->as.text = text;
		made->len = len;
		made->hash = hash_of(text, len);
	}
	return made;
}

const aut__value *
aut__array(aut__work *work, const aut__value *const *items, size_t count)
{
	aut__value *made = value_make(work, AUT__ARRAY);

	if (made != NULL)
	{
		made->as.items = items;
		made->len = count;
	}
	return made;
}

bool
aut__list_add(aut__work *work, aut__list *list, const aut__value *value)
{
	if (list->count == list->cap)
	{
		size_t cap = list->cap == 0 ? 8 : list->cap * 2;
		const aut__value **grown = aut__make_array(work, cap, sizeof *grown);

		if (grown == NULL)
			return false;
		if (list->count > 0)
			memcpy(grown, list->items, list->count * sizeof *grown);
		list->items = grown;
		list->cap = cap;
	}
	list->items[list->count++] = value;
	return true;
}

const aut__value *
aut__list_done(aut__work *work, const aut__list *list)
{
	return aut__array(work, list->items, list->count);
}

/* ---- objects --------------------------------------------------------------------------------- */

static bool
key_equal(const aut__value *a, const aut__value *b)
{
	return a->hash == b->hash && a->len == b->len &&
		   (a->len == 0 || memcmp(a->as.text, b->as.text, a->len) == 0);
}

/* Where the key is, or count. */
static size_t
member_index(const aut__members *members, size_t count, const aut__value *key, size_t *out_slot)
{
	if (members->slots == NULL)
	{
		for (size_t i = 0; i < count; i++)
		{
			if (key_equal(members->keys[i], key))
				return i;
		}
		return count;
	}
	for (size_t slot = key->hash & members->slots_mask;; slot = (slot + 1) & members->slots_mask)
	{
		uint32_t at = members->slots[slot];

		*out_slot = slot;
		if (at == 0)
			return count;
		if (key_equal(members->keys[at - 1], key))
			return at - 1;
	}
}

static bool
draft_grow(aut__work *work, aut__draft *draft)
{
	size_t cap = draft->cap == 0 ? LOOK_AT_ALL : draft->cap * 2;
	aut__members made = {0};
	size_t slot = 0;

	made.keys = aut__make_array(work, cap, sizeof *made.keys);
	made.values = aut__make_array(work, cap, sizeof *made.values);
	if (made.keys == NULL || made.values == NULL)
		return false;
	if (draft->count > 0)
	{
		memcpy(made.keys, draft->members.keys, draft->count * sizeof *made.keys);
		memcpy(made.values, draft->members.values, draft->count * sizeof *made.values);
	}
	if (cap > LOOK_AT_ALL)
	{
		/* twice as many slots as members: at most half full */
		made.slots = aut__make_array(work, cap * 2, sizeof *made.slots);
		if (made.slots == NULL)
			return false;
		memset(made.slots, 0, cap * 2 * sizeof *made.slots);
		made.slots_mask = cap * 2 - 1;
		for (size_t i = 0; i < draft->count; i++)
		{
			member_index(&made, draft->count, made.keys[i], &slot);
			made.slots[slot] = (uint32_t) (i + 1);
		}
	}
	draft->members = made;
	draft->cap = cap;
	return aut__spend(work, cap);
}

bool
aut__draft_put(aut__work *work, aut__draft *draft, const aut__value *key, const aut__value *value)
{
	size_t slot = 0;
	size_t at;

	if (draft->count == draft->cap && !draft_grow(work, draft))
		return false;
	at = member_index(&draft->members, draft->count, key, &slot);
	draft->members.values[at] = value;
	if (at < draft->count)
		return true;
	draft->members.keys[at] = key;
	draft->count++;
	if (draft->members.slots != NULL)
		draft->members.slots[slot] = (uint32_t) (at + 1);
	return true;
}

const aut__value *
aut__draft_done(aut__work *work, const aut__draft *draft)
{
	aut__value *made = value_make(work, AUT__OBJECT);
	aut__members *members = aut__make(work, sizeof *members);

	if (made == NULL || members == NULL)
		return NULL;
	*members = draft->members;
	made->as.members = members;
	made->len = draft->count;
	return made;
}

const aut__value *
aut__member(const aut__value *object, const aut__value *key)
{
	size_t slot = 0;
	size_t at;

	if (object->kind != AUT__OBJECT)
		return NULL;
	at = member_index(object->as.members, object->len, key, &slot);
	return at < object->len ? object->as.members->values[at] : NULL;
}

/* ---- asking ---------------------------------------------------------------------------------- */

bool
aut__is_number(const aut__value *value)
{
	return value->kind == AUT__INTEGER || value->kind == AUT__BIG || value->kind == AUT__REAL;
}

bool
aut__is_false(const aut__value *value)
{
	switch (value->kind)
	{
		case AUT__NULL:
			return true;
		case AUT__BOOLEAN:
			return !value->boolean;
		case AUT__STRING:
		case AUT__ARRAY:
		case AUT__OBJECT:
			return value->len == 0;
		case AUT__INTEGER:
		case AUT__BIG:
		case AUT__REAL:
		case AUT__EXPREF:
			break;
	}
	return false;
}

static bool
is_zero(const aut__value *value)
{
	return (value->kind == AUT__INTEGER && value->as.integer == 0) ||
		   (value->kind == AUT__REAL && value->as.real == 0.0);
}

bool
aut__is_py_false(const aut__value *value)
{
	return aut__is_false(value) || is_zero(value);
}

const char *
aut__type_name(const aut__value *value)
{
	switch (value->kind)
	{
		case AUT__NULL:
			return "null";
		case AUT__BOOLEAN:
			return "boolean";
		case AUT__INTEGER:
		case AUT__BIG:
		case AUT__REAL:
			return "number";
		case AUT__STRING:
			return "string";
		case AUT__ARRAY:
			return "array";
		case AUT__OBJECT:
			return "object";
		case AUT__EXPREF:
			break;
	}
	return "expref";
}

/* ---- comparing ------------------------------------------------------------------------------- */

/* A boolean counts as the number it is in Python. */
static const aut__value *
as_number(const aut__value *value)
{
	static const aut__value zero = {.kind = AUT__INTEGER, .as.integer = 0};
	static const aut__value one = {.kind = AUT__INTEGER, .as.integer = 1};

	if (value->kind == AUT__BOOLEAN)
		return value->boolean ? &one : &zero;
	return value;
}

bool
aut__py_equal(aut__work *work, const aut__value *a, const aut__value *b)
{
	if (!aut__spend(work, 1))
		return false;
	a = as_number(a);
	b = as_number(b);
	if (aut__is_number(a) && aut__is_number(b))
		return aut__number_compare(a, b) == 0;
	if (a->kind != b->kind)
		return false;
	switch (a->kind)
	{
		case AUT__NULL:
			return true;
		case AUT__STRING:
			return a->len == b->len && aut__spend(work, a->len / 64) &&
				   (a->len == 0 || memcmp(a->as.text, b->as.text, a->len) == 0);
		case AUT__ARRAY:
			if (a->len != b->len)
				return false;
			for (size_t i = 0; i < a->len; i++)
			{
				/* Python asks for identity first: a NaN in a list equals itself */
				if (a->as.items[i] != b->as.items[i] &&
					!aut__py_equal(work, a->as.items[i], b->as.items[i]))
					return false;
			}
			return true;
		case AUT__OBJECT:
			if (a->len != b->len)
				return false;
			for (size_t i = 0; i < a->len; i++)
			{
				const aut__value *mine = a->as.members->values[i];
				const aut__value *other = aut__member(b, a->as.members->keys[i]);

				if (other == NULL || (other != mine && !aut__py_equal(work, mine, other)))
					return false;
			}
			return true;
		case AUT__EXPREF:
			return a == b;
		case AUT__BOOLEAN:
		case AUT__INTEGER:
		case AUT__BIG:
		case AUT__REAL:
			break;
	}
	return false;
}

int
aut__compare(aut__work *work, const aut__value *a, const aut__value *b)
{
	size_t shorter;
	int order;

	if (a->kind != AUT__STRING)
		return aut__number_compare(a, b);
	/* UTF-8 sorts as its code points do */
	shorter = a->len < b->len ? a->len : b->len;
	aut__spend(work, shorter / 64);
	order = shorter == 0 ? 0 : memcmp(a->as.text, b->as.text, shorter);
	if (order == 0)
		order = (a->len > b->len) - (a->len < b->len);
	return (order > 0) - (order < 0);
}
