/* SPDX-License-Identifier: MIT */
/*
 * core/match/trigger_key.c - under which keys a trigger is found, and which keys an event asks for.
 *
 * Both sides must agree: whatever a trigger's pattern and filter let through, one of its keys is among those
 * of the event.  For patterns that is so because a pattern begins with its literal prefix, and what it
 * matches begins the same way.  For filters only what stands in the chain of && at the top is used:
 * `path == 'text'` there is false for every other text, and then the whole chain is, or fails; either way
 * the automation does not match.
 *
 * Of several equalities the longest text is taken: names of things are longer than names of states.
 */
#include <string.h>

#include "automation/event.h"
#include "core/match/jmespath.h"

#define CONJUNCTS_DEPTH 64

/* FNV-1a: a collision costs one candidate more. */
static int64_t
hash_text(const char *text, size_t len)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < len; i++)
	{
		hash ^= (unsigned char) text[i];
		hash *= UINT64_C(1099511628211);
	}
	return (int64_t) (hash >> 1);
}

/* ---- filters --------------------------------------------------------------------------------- */

/* Append the names of a.b.c; false when it is not only that, or cannot be written with dots. */
static bool
put_path(const aut__node *node, char *out, size_t *len)
{
	if (node->kind == AUT__N_SUB)
	{
		for (size_t i = 0; i < node->count; i++)
		{
			if (!put_path(node->children[i], out, len))
				return false;
		}
		return node->count > 0;
	}
	if (node->kind != AUT__N_FIELD || node->value->len == 0 ||
		node->value->len + 1 >= AUT_TRIGGER_PATH_MAX - *len ||
		memchr(node->value->as.text, '.', node->value->len) != NULL ||
		memchr(node->value->as.text, '\0', node->value->len) != NULL)
		return false;
	if (*len > 0)
		out[(*len)++] = '.';
	memcpy(out + *len, node->value->as.text, node->value->len);
	*len += node->value->len;
	out[*len] = '\0';
	return true;
}

typedef struct equality
{
	char path[AUT_TRIGGER_PATH_MAX];
	int64_t literal;
	size_t text_len; /* 0: none found */
} equality;

static void
look_at(const aut__node *path, const aut__node *literal, equality *best)
{
	equality found = {.path = ""};
	size_t len = 0;

	if (literal->kind != AUT__N_LITERAL || literal->value->kind != AUT__STRING ||
		literal->value->len <= best->text_len || !put_path(path, found.path, &len))
		return;
	found.text_len = literal->value->len;
	found.literal = hash_text(literal->value->as.text, literal->value->len);
	*best = found;
}

static void
look_through(const aut__node *node, int depth, equality *best)
{
	if (node->kind == AUT__N_AND && depth < CONJUNCTS_DEPTH)
	{
		for (size_t i = 0; i < node->count; i++)
			look_through(node->children[i], depth + 1, best);
	}
	else if (node->kind == AUT__N_COMPARE && node->op == AUT__EQ && node->count == 2)
	{
		look_at(node->children[0], node->children[1], best);
		look_at(node->children[1], node->children[0], best);
	}
}

/* A filter that does not compile says nothing here; it will fail when it is asked. */
static aut_status
equality_of(const char *filter, equality *best, aut_error *err)
{
	aut_jmespath *expr = NULL;
	aut_status status;

	if (filter == NULL || filter[0] == '\0')
		return AUT_OK;
	status = aut_jmespath_compile(filter, strlen(filter), &expr, err);
	if (status == AUT_OK)
		look_through(expr->root, 0, best);
	aut_jmespath_free(expr);
	return status == AUT_EINVAL ? AUT_OK : status;
}

bool
aut_event_literal(const json_t *payload, const char *path, int64_t *out)
{
	char name[AUT_TRIGGER_PATH_MAX];

	for (int step = 0; payload != NULL && *path != '\0' && step < AUT_TRIGGER_PATH_MAX; step++)
	{
		size_t len = strcspn(path, ".");

		if (len >= sizeof name)
			return false;
		memcpy(name, path, len);
		name[len] = '\0';
		payload = json_object_get(payload, name);
		path += len;
		path += *path == '.';
	}
	if (!json_is_string(payload))
		return false;
	*out = hash_text(json_string_value(payload), json_string_length(payload));
	return true;
}

/* ---- patterns -------------------------------------------------------------------------------- */

static void
put_scope(char kind, const char *text, size_t len, char out[AUT_TRIGGER_SCOPE_MAX])
{
	out[0] = kind;
	memcpy(out + 1, text, len);
	out[len + 1] = '\0';
}

static bool
fits_scope(size_t len)
{
	return len + 2 <= AUT_TRIGGER_SCOPE_MAX;
}

static void
scope_of(const char *pattern, char out[AUT_TRIGGER_SCOPE_MAX])
{
	size_t len = strlen(pattern);
	size_t plain = strcspn(pattern, "*?[");
	size_t family = aut_pattern_family(pattern);

	if (plain == len && fits_scope(len))
		put_scope('=', pattern, len, out);
	/* the dot itself must be spelled out, too */
	else if (family < plain && fits_scope(family))
		put_scope('.', pattern, family, out);
	else
		put_scope('*', "", 0, out);
}

size_t
aut_event_scopes(const char *key, char out[AUT_EVENT_SCOPES_MAX][AUT_TRIGGER_SCOPE_MAX])
{
	size_t len = strlen(key);
	size_t family = aut_pattern_family(key);
	size_t count = 0;

	put_scope('*', "", 0, out[count++]);
	if (family < len && fits_scope(family))
		put_scope('.', key, family, out[count++]);
	if (fits_scope(len))
		put_scope('=', key, len, out[count++]);
	return count;
}

/* ---- triggers -------------------------------------------------------------------------------- */

static bool
is_deliverable(const char *source)
{
	return source != NULL && strlen(source) <= AUT_TRIGGER_SOURCE_MAX &&
		   strcmp(source, "manual") != 0 && strcmp(source, "sql") != 0;
}

aut_status
aut_trigger_keys(const json_t *trigger, aut_trigger_key **out, size_t *out_count,
				 const char **out_source, aut_error *err)
{
	const char *type = aut_json_string(trigger, "type");
	const char *source = aut_json_string(trigger, "source");
	const json_t *on = json_object_get(trigger, "on");
	size_t patterns = json_is_array(on) ? json_array_size(on) : (size_t) json_is_string(on);
	size_t count = patterns <= AUT_TRIGGER_KEYS_MAX ? patterns : 1;
	equality found = {.path = ""};
	aut_trigger_key *keys;
	aut_status status;

	*out = NULL;
	*out_count = 0;
	*out_source = source;
	if (type == NULL || strcmp(type, "event") != 0 || !is_deliverable(source) || count == 0)
		return AUT_OK;
	status = equality_of(aut_json_string(trigger, "filter"), &found, err);
	if (status != AUT_OK)
		return status;
	keys = aut_calloc(count, sizeof *keys);
	if (keys == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for the keys of a trigger");
	for (size_t i = 0; i < count; i++)
	{
		const char *pattern = json_string_value(json_is_array(on) ? json_array_get(on, i) : on);

		scope_of(pattern != NULL && patterns == count ? pattern : "*", keys[i].scope);
		memcpy(keys[i].path, found.path, sizeof keys[i].path);
		keys[i].literal = found.literal;
	}
	*out = keys;
	*out_count = count;
	return AUT_OK;
}
