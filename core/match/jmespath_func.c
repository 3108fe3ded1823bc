/* SPDX-License-Identifier: MIT */
/*
 * core/match/jmespath_func.c - the functions of expressions: one table, and what each does.
 *
 * A row says how many arguments a function takes and of which types; call checks that once, so that
 * the functions themselves need not.  To add one: a row, a function, a line in docs/filters.md.
 */
#include <math.h>
#include <string.h>

#include "automation/event.h"
#include "core/match/jmespath.h"

/* Types an argument may have, as bits. */
#define T_NULL    0x01u
#define T_BOOLEAN 0x02u
#define T_NUMBER  0x04u
#define T_STRING  0x08u
#define T_ARRAY   0x10u
#define T_OBJECT  0x20u
#define T_EXPREF  0x40u
#define T_NUMBERS 0x80u  /* an array of numbers */
#define T_STRINGS 0x100u /* an array of strings */
#define T_ANY     0x7fu

typedef const aut__value *function_body(aut__work *work, const aut__node *node,
										const aut__value **args);

struct aut__function
{
	const char *name;
	uint8_t args;
	bool variadic; /* args is the least; the last type is that of all further ones */
	bool extra;    /* not one of JMESPath */
	uint16_t types[2];
	function_body *body;
};

/* ---- numbers --------------------------------------------------------------------------------- */

static const aut__value *
f_abs(aut__work *work, const aut__node *node, const aut__value **args)
{
	(void) node;
	return aut__number_abs(work, args[0]);
}

static const aut__value *
f_ceil(aut__work *work, const aut__node *node, const aut__value **args)
{
	(void) node;
	return args[0]->kind == AUT__REAL ? aut__number_whole(work, ceil(args[0]->as.real)) : args[0];
}

static const aut__value *
f_floor(aut__work *work, const aut__node *node, const aut__value **args)
{
	(void) node;
	return args[0]->kind == AUT__REAL ? aut__number_whole(work, floor(args[0]->as.real)) : args[0];
}

static const aut__value *
f_sum(aut__work *work, const aut__node *node, const aut__value **args)
{
	(void) node;
	return aut__number_sum(work, args[0]->as.items, args[0]->len);
}

static const aut__value *
f_avg(aut__work *work, const aut__node *node, const aut__value **args)
{
	const aut__value *sum;

	if (args[0]->len == 0)
		return &aut__null;
	sum = f_sum(work, node, args);
	return sum == NULL ? NULL : aut__real(work, aut__to_double(sum) / (double) args[0]->len);
}

/* ---- order ----------------------------------------------------------------------------------- */

/* One element and what it is ordered by. */
typedef struct keyed
{
	const aut__value *key;
	const aut__value *item;
} keyed;

/* Stable, n log n whatever the input, and every comparison is paid for. */
static bool
merge_sort(aut__work *work, keyed *items, keyed *room, size_t count)
{
	for (size_t width = 1; width < count; width *= 2)
	{
		for (size_t low = 0; low < count; low += 2 * width)
		{
			size_t middle = low + width < count ? low + width : count;
			size_t high = low + 2 * width < count ? low + 2 * width : count;
			size_t a = low;
			size_t b = middle;

			if (!aut__spend(work, high - low))
				return false;
			for (size_t to = low; to < high; to++)
			{
				/* the right one first only when it is smaller */
				bool right = a == middle ||
							 (b < high && aut__compare(work, items[b].key, items[a].key) == -1);

				room[to] = right ? items[b++] : items[a++];
			}
		}
		if (count > 0)
			memcpy(items, room, count * sizeof *items);
	}
	return work->status == AUT_OK;
}

static const aut__value *
sorted(aut__work *work, keyed *items, size_t count)
{
	keyed *room = aut__make_array(work, count, sizeof *room);
	const aut__value **made = aut__make_array(work, count, sizeof *made);

	if (room == NULL || made == NULL || !merge_sort(work, items, room, count))
		return NULL;
	for (size_t i = 0; i < count; i++)
		made[i] = items[i].item;
	return aut__array(work, made, count);
}

static const aut__value *
f_sort(aut__work *work, const aut__node *node, const aut__value **args)
{
	size_t count = args[0]->len;
	keyed *items = aut__make_array(work, count, sizeof *items);

	(void) node;
	if (items == NULL)
		return NULL;
	for (size_t i = 0; i < count; i++)
		items[i].key = items[i].item = args[0]->as.items[i];
	return sorted(work, items, count);
}

/* What each element is ordered by: all numbers or all strings. */
static keyed *
keys_of(aut__work *work, const aut__node *node, const aut__value **args)
{
	size_t count = args[0]->len;
	keyed *items = aut__make_array(work, count, sizeof *items);

	for (size_t i = 0; i < count && items != NULL; i++)
	{
		const aut__value *key = aut__eval(work, args[1]->as.expref, args[0]->as.items[i]);
		bool good;

		if (key == NULL)
			return NULL;
		good = i == 0 ? aut__is_number(key) || key->kind == AUT__STRING
					  : strcmp(aut__type_name(key), aut__type_name(items[0].key)) == 0;
		if (!good)
		{
			aut__work_fail(work, AUT_EINVAL,
						   "%.20s() at byte %zu orders element %zu by a %s; it must be %s",
						   node->function->name, node->at, i, aut__type_name(key),
						   i == 0 ? "a number or a string" : aut__type_name(items[0].key));
			return NULL;
		}
		items[i].key = key;
		items[i].item = args[0]->as.items[i];
	}
	return items;
}

static const aut__value *
f_sort_by(aut__work *work, const aut__node *node, const aut__value **args)
{
	keyed *items = keys_of(work, node, args);

	return items == NULL ? NULL : sorted(work, items, args[0]->len);
}

/* The first of those that are largest (wanted 1) or smallest (wanted -1). */
static const aut__value *
extreme(aut__work *work, const keyed *items, size_t count, int wanted)
{
	const keyed *best = items;

	if (count == 0)
		return &aut__null;
	for (size_t i = 1; i < count; i++)
	{
		if (!aut__spend(work, 1))
			return NULL;
		if (aut__compare(work, items[i].key, best->key) == wanted)
			best = &items[i];
	}
	return best->item;
}

static const aut__value *
extreme_of(aut__work *work, const aut__value *array, int wanted)
{
	const aut__value *best = &aut__null;

	for (size_t i = 0; i < array->len; i++)
	{
		if (!aut__spend(work, 1))
			return NULL;
		if (i == 0 || aut__compare(work, array->as.items[i], best) == wanted)
			best = array->as.items[i];
	}
	return best;
}

static const aut__value *
f_max(aut__work *work, const aut__node *node, const aut__value **args)
{
	(void) node;
	return extreme_of(work, args[0], 1);
}

static const aut__value *
f_min(aut__work *work, const aut__node *node, const aut__value **args)
{
	(void) node;
	return extreme_of(work, args[0], -1);
}

static const aut__value *
f_max_by(aut__work *work, const aut__node *node, const aut__value **args)
{
	keyed *items = keys_of(work, node, args);

	return items == NULL ? NULL : extreme(work, items, args[0]->len, 1);
}

static const aut__value *
f_min_by(aut__work *work, const aut__node *node, const aut__value **args)
{
	keyed *items = keys_of(work, node, args);

	return items == NULL ? NULL : extreme(work, items, args[0]->len, -1);
}

/* ---- texts ----------------------------------------------------------------------------------- */

static bool
text_contains(aut__work *work, const aut__value *text, const aut__value *part)
{
	if (!aut__spend(work, 1 + text->len / 64))
		return false;
	return part->len == 0 ||
		   (text->len > 0 && memmem(text->as.text, text->len, part->as.text, part->len) != NULL);
}

static const aut__value *
f_contains(aut__work *work, const aut__node *node, const aut__value **args)
{
	bool found = false;

	if (args[0]->kind == AUT__STRING)
	{
		if (args[1]->kind != AUT__STRING)
		{
			aut__work_fail(work, AUT_EINVAL,
						   "contains() at byte %zu looks for a %s in a string; it must be a string",
						   node->at, aut__type_name(args[1]));
			return NULL;
		}
		found = text_contains(work, args[0], args[1]);
	}
	for (size_t i = 0; args[0]->kind == AUT__ARRAY && i < args[0]->len && !found; i++)
		found = args[0]->as.items[i] == args[1] ||
				aut__py_equal(work, args[0]->as.items[i], args[1]);
	return work->status == AUT_OK ? aut__bool(found) : NULL;
}

static const aut__value *
f_starts_with(aut__work *work, const aut__node *node, const aut__value **args)
{
	size_t len = args[1]->len;

	(void) work;
	(void) node;
	return aut__bool(len <= args[0]->len &&
					 (len == 0 || memcmp(args[0]->as.text, args[1]->as.text, len) == 0));
}

static const aut__value *
f_ends_with(aut__work *work, const aut__node *node, const aut__value **args)
{
	size_t len = args[1]->len;

	(void) work;
	(void) node;
	return aut__bool(
		len <= args[0]->len &&
		(len == 0 || memcmp(args[0]->as.text + args[0]->len - len, args[1]->as.text, len) == 0));
}

static const aut__value *
f_join(aut__work *work, const aut__node *node, const aut__value **args)
{
	size_t len = 0;
	size_t used = 0;
	char *made;

	(void) node;
	for (size_t i = 0; i < args[1]->len; i++)
	{
		if (__builtin_add_overflow(len, args[1]->as.items[i]->len + args[0]->len, &len))
			len = SIZE_MAX;
	}
	if (!aut__spend(work, args[1]->len + len / 64))
		return NULL;
	made = aut__make(work, len);
	if (made == NULL)
		return NULL;
	for (size_t i = 0; i < args[1]->len; i++)
	{
		const aut__value *part = args[1]->as.items[i];

		if (i > 0 && args[0]->len > 0)
		{
			memcpy(made + used, args[0]->as.text, args[0]->len);
			used += args[0]->len;
		}
		if (part->len > 0)
			memcpy(made + used, part->as.text, part->len);
		used += part->len;
	}
	return aut__text(work, made, used);
}

static const aut__value *
reverse_text(aut__work *work, const aut__value *text)
{
	char *made = aut__make(work, text->len);
	size_t at = 0;

	if (made == NULL || !aut__spend(work, text->len / 16))
		return NULL;
	while (at < text->len)
	{
		size_t from = at;

		aut__code_point(text->as.text, text->len, &at);
		memcpy(made + text->len - at, text->as.text + from, at - from);
	}
	return aut__text(work, made, text->len);
}

static const aut__value *
f_reverse(aut__work *work, const aut__node *node, const aut__value **args)
{
	size_t count = args[0]->len;
	const aut__value **items;

	(void) node;
	if (args[0]->kind == AUT__STRING)
		return reverse_text(work, args[0]);
	items = aut__make_array(work, count, sizeof *items);
	if (items == NULL || !aut__spend(work, count))
		return NULL;
	for (size_t i = 0; i < count; i++)
		items[i] = args[0]->as.items[count - 1 - i];
	return aut__array(work, items, count);
}

static const aut__value *
f_lower(aut__work *work, const aut__node *node, const aut__value **args)
{
	(void) node;
	return aut__case(work, args[0], false);
}

static const aut__value *
f_upper(aut__work *work, const aut__node *node, const aut__value **args)
{
	(void) node;
	return aut__case(work, args[0], true);
}

static const aut__value *
f_icontains(aut__work *work, const aut__node *node, const aut__value **args)
{
	const aut__value *text = aut__case(work, args[0], false);
	const aut__value *part = text != NULL ? aut__case(work, args[1], false) : NULL;
	bool found;

	(void) node;
	if (part == NULL)
		return NULL;
	found = text_contains(work, text, part);
	return work->status == AUT_OK ? aut__bool(found) : NULL;
}

static const aut__value *
f_glob(aut__work *work, const aut__node *node, const aut__value **args)
{
	const aut__value *text = args[0];
	const aut__value *pattern = args[1];

	if (pattern->len > AUT_PATTERN_MAX)
	{
		aut__work_fail(work, AUT_ELIMIT, "the pattern of glob() at byte %zu is longer than %d bytes",
					   node->at, AUT_PATTERN_MAX);
		return NULL;
	}
	/* what it takes at worst, paid before: matching itself knows no budget */
	if (!aut__spend(work, 1 + (text->len / 16 + 1) * (pattern->len + 1)))
		return NULL;
	return aut__bool(aut_glob_match(pattern->as.text, pattern->len, text->as.text, text->len));
}

static const aut__value *
f_regex(aut__work *work, const aut__node *node, const aut__value **args)
{
	aut__regex made = {0};
	const aut__regex *regex = node->regex;
	bool found = false;

	if (regex == NULL)
	{
		/* the pattern comes from the payload: made ready each time, at a price */
		regex = &made;
		if (!aut__spend(work, 200 + args[1]->len * 8))
			return NULL;
		if (aut__regex_init(&made, args[1]->as.text, args[1]->len) != AUT_OK)
			aut__work_fail(work, AUT_ENOMEM, "out of memory for a regular expression");
	}
	if (work->status == AUT_OK)
		found = aut__regex_search(work, regex, args[0]->as.text, args[0]->len);
	aut__regex_done(&made);
	return work->status == AUT_OK ? aut__bool(found) : NULL;
}

/* ---- types ----------------------------------------------------------------------------------- */

static const aut__value *
f_length(aut__work *work, const aut__node *node, const aut__value **args)
{
	size_t len = args[0]->len;

	(void) node;
	if (args[0]->kind == AUT__STRING)
	{
		if (!aut__spend(work, len / 64))
			return NULL;
		len = len > 0 ? aut_utf8_length(args[0]->as.text, len) : 0;
	}
	return aut__integer(work, (int64_t) len);
}

static const aut__value *
f_type(aut__work *work, const aut__node *node, const aut__value **args)
{
	const char *name = aut__type_name(args[0]);

	(void) node;
	if (args[0]->kind == AUT__EXPREF)
		return &aut__null;
	return aut__text(work, name, strlen(name));
}

static const aut__value *
f_to_array(aut__work *work, const aut__node *node, const aut__value **args)
{
	const aut__value **items;

	(void) node;
	if (args[0]->kind == AUT__ARRAY)
		return args[0];
	items = aut__make_array(work, 1, sizeof *items);
	if (items == NULL)
		return NULL;
	items[0] = args[0];
	return aut__array(work, items, 1);
}

static const aut__value *
f_to_number(aut__work *work, const aut__node *node, const aut__value **args)
{
	if (aut__is_number(args[0]))
		return args[0];
	if (args[0]->kind == AUT__EXPREF)
	{
		aut__work_fail(work, AUT_EINVAL, "to_number() at byte %zu was given an expression (&)",
					   node->at);
		return NULL;
	}
	if (args[0]->kind != AUT__STRING)
		return &aut__null;
	return aut__number_read(work, args[0]->as.text, args[0]->len);
}

static const aut__value *
f_to_string(aut__work *work, const aut__node *node, const aut__value **args)
{
	const aut__value *made = NULL;
	aut_buf out;

	(void) node;
	if (args[0]->kind == AUT__STRING)
		return args[0];
	aut_buf_init(&out, work->memory_max);
	if (aut__json_write(work, args[0], &out))
		made = aut__text_copy(work, out.data, out.len);
	aut_buf_done(&out);
	return made;
}

static const aut__value *
f_not_null(aut__work *work, const aut__node *node, const aut__value **args)
{
	(void) work;
	for (size_t i = 0; i < node->count; i++)
	{
		if (args[i]->kind != AUT__NULL)
			return args[i];
	}
	return &aut__null;
}

/* ---- objects and lists ------------------------------------------------------------------------- */

static const aut__value *
f_keys(aut__work *work, const aut__node *node, const aut__value **args)
{
	(void) node;
	return aut__array(work, args[0]->as.members->keys, args[0]->len);
}

static const aut__value *
f_values(aut__work *work, const aut__node *node, const aut__value **args)
{
	(void) node;
	return aut__array(work, args[0]->as.members->values, args[0]->len);
}

static const aut__value *
f_merge(aut__work *work, const aut__node *node, const aut__value **args)
{
	aut__draft draft = {0};

	for (size_t i = 0; i < node->count; i++)
	{
		if (!aut__spend(work, args[i]->len))
			return NULL;
		for (size_t k = 0; k < args[i]->len; k++)
		{
			if (!aut__draft_put(work, &draft, args[i]->as.members->keys[k],
								args[i]->as.members->values[k]))
				return NULL;
		}
	}
	return aut__draft_done(work, &draft);
}

static const aut__value *
f_map(aut__work *work, const aut__node *node, const aut__value **args)
{
	const aut__value **items = aut__make_array(work, args[1]->len, sizeof *items);

	(void) node;
	for (size_t i = 0; i < args[1]->len && items != NULL; i++)
	{
		items[i] = aut__eval(work, args[0]->as.expref, args[1]->as.items[i]);
		if (items[i] == NULL)
			return NULL;
	}
	return items == NULL ? NULL : aut__array(work, items, args[1]->len);
}

/* ---- the table --------------------------------------------------------------------------------- */

static const aut__function FUNCTIONS[] = {
	{"abs", 1, false, false, {T_NUMBER, 0}, f_abs},
	{"avg", 1, false, false, {T_NUMBERS, 0}, f_avg},
	{"ceil", 1, false, false, {T_NUMBER, 0}, f_ceil},
	{"contains", 2, false, false, {T_ARRAY | T_STRING, T_ANY}, f_contains},
	{"ends_with", 2, false, false, {T_STRING, T_STRING}, f_ends_with},
	{"floor", 1, false, false, {T_NUMBER, 0}, f_floor},
	{"glob", 2, false, true, {T_STRING, T_STRING}, f_glob},
	{"icontains", 2, false, true, {T_STRING, T_STRING}, f_icontains},
	{"join", 2, false, false, {T_STRING, T_STRINGS}, f_join},
	{"keys", 1, false, false, {T_OBJECT, 0}, f_keys},
	{"length", 1, false, false, {T_STRING | T_ARRAY | T_OBJECT, 0}, f_length},
	{"lower", 1, false, true, {T_STRING, 0}, f_lower},
	{"map", 2, false, false, {T_EXPREF, T_ARRAY}, f_map},
	{"max", 1, false, false, {T_NUMBERS | T_STRINGS, 0}, f_max},
	{"max_by", 2, false, false, {T_ARRAY, T_EXPREF}, f_max_by},
	{"merge", 1, true, false, {T_OBJECT, T_OBJECT}, f_merge},
	{"min", 1, false, false, {T_NUMBERS | T_STRINGS, 0}, f_min},
	{"min_by", 2, false, false, {T_ARRAY, T_EXPREF}, f_min_by},
	{"not_null", 1, true, false, {T_ANY, T_ANY}, f_not_null},
	{"regex", 2, false, true, {T_STRING, T_STRING}, f_regex},
	{"reverse", 1, false, false, {T_ARRAY | T_STRING, 0}, f_reverse},
	{"sort", 1, false, false, {T_NUMBERS | T_STRINGS, 0}, f_sort},
	{"sort_by", 2, false, false, {T_ARRAY, T_EXPREF}, f_sort_by},
	{"starts_with", 2, false, false, {T_STRING, T_STRING}, f_starts_with},
	{"sum", 1, false, false, {T_NUMBERS, 0}, f_sum},
	{"to_array", 1, false, false, {T_ANY, 0}, f_to_array},
	{"to_number", 1, false, false, {T_ANY, 0}, f_to_number},
	{"to_string", 1, false, false, {T_ANY, 0}, f_to_string},
	{"type", 1, false, false, {T_ANY, 0}, f_type},
	{"upper", 1, false, true, {T_STRING, 0}, f_upper},
	{"values", 1, false, false, {T_OBJECT, 0}, f_values},
};

const aut__function *
aut__function_find(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof FUNCTIONS / sizeof FUNCTIONS[0]; i++)
	{
		if (strlen(FUNCTIONS[i].name) == len && memcmp(FUNCTIONS[i].name, name, len) == 0)
			return &FUNCTIONS[i];
	}
	return NULL;
}

const char *
aut_filter_function_at(size_t index)
{
	return index < sizeof FUNCTIONS / sizeof FUNCTIONS[0] ? FUNCTIONS[index].name : NULL;
}

bool
aut__function_is_regex(const aut__function *function)
{
	return function != NULL && function->body == f_regex;
}

/* ---- calling ----------------------------------------------------------------------------------- */

static unsigned int
type_bit(const aut__value *value)
{
	switch (value->kind)
	{
		case AUT__NULL:
			return T_NULL;
		case AUT__BOOLEAN:
			return T_BOOLEAN;
		case AUT__INTEGER:
		case AUT__BIG:
		case AUT__REAL:
			return T_NUMBER;
		case AUT__STRING:
			return T_STRING;
		case AUT__ARRAY:
			return T_ARRAY;
		case AUT__OBJECT:
			return T_OBJECT;
		case AUT__EXPREF:
			break;
	}
	return T_EXPREF;
}

/* An array all of whose elements have one of the types allowed; *out_wrong is the first that has not. */
static bool
elements_fit(aut__work *work, const aut__value *array, unsigned int types,
			 const aut__value **out_wrong)
{
	unsigned int wanted = types & T_STRINGS ? T_STRING : 0u;

	if (types & T_NUMBERS)
		wanted |= T_NUMBER;
	/* not a mix: the first element decides */
	if (array->len > 0 && (type_bit(array->as.items[0]) & wanted) != 0)
		wanted = type_bit(array->as.items[0]);
	for (size_t i = 0; i < array->len; i++)
	{
		if (!aut__spend(work, 1))
			return false;
		if ((type_bit(array->as.items[i]) & wanted) == 0)
		{
			*out_wrong = array->as.items[i];
			return false;
		}
	}
	return true;
}

static bool
arg_check(aut__work *work, const aut__node *node, size_t i, const aut__value *arg)
{
	static const char *const names[] = {"null",  "boolean", "number",           "string",          "array",
										"object", "&expression", "array of numbers", "array of strings"};
	unsigned int types = node->function->types[i < 2 ? i : 1];
	const aut__value *wrong = NULL;
	char wanted[120] = "";
	size_t used = 0;

	if ((types & type_bit(arg)) != 0)
		return true;
	if (arg->kind == AUT__ARRAY && (types & (T_NUMBERS | T_STRINGS)) != 0 &&
		elements_fit(work, arg, types, &wrong))
		return true;
	for (size_t bit = 0; bit < sizeof names / sizeof names[0]; bit++)
	{
		if ((types & (1u << bit)) != 0 && used < sizeof wanted - 40)
			used += (size_t) snprintf(wanted + used, sizeof wanted - used, "%s%s",
									  used > 0 ? " or " : "", names[bit]);
	}
	return aut__work_fail(work, AUT_EINVAL,
						  "%s() at byte %zu: argument %zu must be %s, got %s%s",
						  node->function->name, node->at, i + 1, wanted,
						  wrong != NULL ? "an array holding " : "",
						  aut__type_name(wrong != NULL ? wrong : arg));
}

const aut__value *
aut__function_call(aut__work *work, const aut__node *node, const aut__value **args)
{
	const aut__function *function = node->function;

	if (function == NULL || (function->extra && work->standard_only))
	{
		aut__work_fail(work, AUT_EINVAL, "unknown function %.*s() at byte %zu",
					   node->value->len < 60 ? (int) node->value->len : 60, node->value->as.text,
					   node->at);
		return NULL;
	}
	if (node->count < function->args || (node->count > function->args && !function->variadic))
	{
		aut__work_fail(work, AUT_EINVAL, "%s() at byte %zu takes %s%u argument(s), got %zu",
					   function->name, node->at, function->variadic ? "at least " : "",
					   (unsigned int) function->args, node->count);
		return NULL;
	}
	for (size_t i = 0; i < node->count; i++)
	{
		if (!arg_check(work, node, i, args[i]))
			return NULL;
	}
	return function->body(work, node, args);
}
