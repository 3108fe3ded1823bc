/* SPDX-License-Identifier: MIT */
/*
 * core/service/event_cache.c - who may be concerned by an event, without asking the database twice.
 *
 * Two tables in memory.  *Definitions* by automation: the trigger read, its expressions compiled; each
 * belongs to one version of the automation and is made again when the index says another.  *Answers* of the
 * index by question (org, source, scope, path, text): lists of definitions, good as long as the org's stamp
 * is the one they were read under.  So when one automation among many changes, the lists are read again, by
 * index, and only that one is compiled again.
 *
 * A question that nothing answers is remembered as well: most events concern nobody.
 *
 * An event asks: for each of its scopes the list without a path, then for each path that is in use there the
 * list of the text the payload has at it.  Paths beyond PATHS_MAX are not asked one by one: what lies under
 * them is a candidate, and its filter decides.
 *
 * Both tables are bounded; when one is full, both are emptied, which costs reading again and nothing else.
 * Stamps are read first: lists may be newer than their stamp, never older.
 */
#include <string.h>

#include "core/service/events.h"

#define BUCKETS         16384
#define DEFS_MAX        20000
#define ANSWERS_MAX     8192
#define ANSWER_REFS_MAX 200000 /* definitions in all lists together */
#define PATHS_MAX       32
#define PAGE            1000
#define QUESTION_MAX    1100 /* org, kind, literal, source, scope, path */

typedef struct answer
{
	struct answer *next;
	size_t len; /* of question */
	int64_t stamp;
	aut__trigger_def **items; /* each owned, in the order of ids */
	size_t count;
	bool cut;
	char **paths; /* of a question about paths */
	size_t path_count;
	char question[];
} answer;

struct aut_event_cache
{
	aut__trigger_def *defs[BUCKETS];
	answer *answers[BUCKETS];
	size_t def_count, answer_count, refs;
};

static aut_status
no_memory(aut_error *err)
{
	return aut_fail(err, AUT_ENOMEM, "out of memory while looking for automations of an event");
}

/* ---- definitions ----------------------------------------------------------------------------- */

void
aut__trigger_def_free(aut__trigger_def *def)
{
	if (def == NULL || --def->refs > 0)
		return;
	json_decref(def->trigger);
	json_decref(def->associations);
	aut_jmespath_free(def->filter);
	aut_jmespath_free(def->subject);
	aut_free(def->filter_error);
	aut_free(def);
}

static void
items_free(aut__trigger_def **items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		aut__trigger_def_free(items[i]);
	aut_free(items);
}

/* An expression of a stored trigger; one that does not compile (any more) leaves *out NULL and says why. */
static aut_status
expression(const json_t *trigger, const char *name, aut_jmespath **out, char **out_why,
		   aut_error *err)
{
	const char *text = aut_json_string(trigger, name);
	aut_error why = AUT_ERROR_INIT;
	aut_status status;

	if (text == NULL || text[0] == '\0')
		return AUT_OK;
	status = aut_jmespath_compile(text, strlen(text), out, &why);
	if (status != AUT_EINVAL)
		return status == AUT_OK ? AUT_OK : aut_fail(err, status, "%s", why.message);
	if (out_why != NULL && (*out_why = aut_strdup(why.message)) == NULL)
		return no_memory(err);
	return AUT_OK;
}

/* Stored JSON that cannot be read is none; only memory is a failure. */
static aut_status
stored_json(const char *text, json_t **out, aut_error *err)
{
	aut_status status;

	if (text == NULL)
		return AUT_OK;
	status = aut_json_parse(text, strlen(text), out, err);
	return status == AUT_ENOMEM ? status : AUT_OK;
}

/* *out stays NULL when the automation is gone. */
static aut_status
def_load(aut_db *db, const aut_uuid *automation_id, int64_t version, aut__trigger_def **out,
		 aut_error *err)
{
	aut_rows rows = {0};
	aut__trigger_def *def = NULL;
	const char *state, *destination;
	aut_status status = aut_store_trigger_definition(db, automation_id, &rows, err);

	if (status != AUT_OK || rows.count == 0)
		goto out;
	def = aut_calloc(1, sizeof *def);
	if (def == NULL)
	{
		status = no_memory(err);
		goto out;
	}
	def->refs = 1;
	def->automation_id = *automation_id;
	def->version = version;
	state = aut_rows_text(&rows, 0, 1);
	def->active = state != NULL && strcmp(state, "ACTIVE") == 0;
	status = stored_json(aut_rows_text(&rows, 0, 0), &def->trigger, err);
	if (status == AUT_OK)
		status = stored_json(aut_rows_text(&rows, 0, 2), &def->associations, err);
	if (status == AUT_OK)
		status = expression(def->trigger, "filter", &def->filter, &def->filter_error, err);
	destination = aut_json_string(def->trigger, "destination");
	def->continues = destination != NULL && strcmp(destination, "continue_conversation") == 0;
	if (status == AUT_OK && def->continues)
		status = expression(def->trigger, "subject_key_expr", &def->subject, NULL, err);
out:
	aut_rows_done(&rows);
	if (status == AUT_OK)
		*out = def;
	else
		aut__trigger_def_free(def);
	return status;
}

/* ---- the tables ------------------------------------------------------------------------------- */

static uint32_t
hash_bytes(const void *data, size_t len)
{
	const unsigned char *bytes = data;
	uint32_t hash = 2166136261U;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * 16777619U;
	return hash;
}

static void
answer_free(answer *a)
{
	items_free(a->items, a->count);
	for (size_t i = 0; i < a->path_count; i++)
		aut_free(a->paths[i]);
	aut_free(a->paths);
	aut_free(a);
}

static void
cache_clear(aut_event_cache *cache)
{
	for (size_t i = 0; i < BUCKETS; i++)
	{
		for (answer *a = cache->answers[i]; a != NULL;)
		{
			answer *next = a->next;

			answer_free(a);
			a = next;
		}
		for (aut__trigger_def *def = cache->defs[i]; def != NULL;)
		{
			aut__trigger_def *next = def->next;

			aut__trigger_def_free(def);
			def = next;
		}
		cache->answers[i] = NULL;
		cache->defs[i] = NULL;
	}
	cache->def_count = 0;
	cache->answer_count = 0;
	cache->refs = 0;
}

aut_status
aut_event_cache_new(aut_event_cache **out, aut_error *err)
{
	aut_event_cache *cache = aut_calloc(1, sizeof *cache);

	if (cache == NULL)
		return no_memory(err);
	*out = cache;
	return AUT_OK;
}

void
aut_event_cache_free(aut_event_cache *cache)
{
	if (cache == NULL)
		return;
	cache_clear(cache);
	aut_free(cache);
}

/* The definition of an automation at a version, owned by the caller; NULL when the automation is gone. */
static aut_status
def_get(aut_db *db, aut_event_cache *cache, const aut_uuid *id, int64_t version,
		aut__trigger_def **out, aut_error *err)
{
	aut__trigger_def **bucket = &cache->defs[hash_bytes(id->bytes, sizeof id->bytes) % BUCKETS];
	aut__trigger_def *made = NULL;
	aut_status status;

	while (*bucket != NULL && !aut_uuid_equal(&(*bucket)->automation_id, id))
		bucket = &(*bucket)->next;
	if (*bucket != NULL && (*bucket)->version == version)
	{
		(*bucket)->refs++;
		*out = *bucket;
		return AUT_OK;
	}
	status = def_load(db, id, version, &made, err);
	if (status != AUT_OK)
		return status;
	if (*bucket != NULL)
	{
		aut__trigger_def *old = *bucket;

		*bucket = old->next;
		aut__trigger_def_free(old);
		cache->def_count--;
	}
	/* what finds no room is used once and goes with its user */
	if (made != NULL && cache->def_count < DEFS_MAX)
	{
		made->refs++;
		made->next = *bucket;
		*bucket = made;
		cache->def_count++;
	}
	*out = made;
	return AUT_OK;
}

/* ---- answers ---------------------------------------------------------------------------------- */

typedef enum question_kind
{
	ABOUT_KEY = 'k',
	ABOUT_PATHS = 'p',
	ABOUT_BEYOND = 'b'
} question_kind;

/* Texts end with NUL, so that no two questions look alike.  Returns the length; 0: too long. */
static size_t
question_write(question_kind kind, const aut_trigger_probe *probe, char out[QUESTION_MAX])
{
	size_t len = sizeof probe->org_id.bytes;
	const char *const texts[] = {probe->source, probe->scope, probe->path};

	memcpy(out, probe->org_id.bytes, len);
	out[len++] = (char) kind;
	memcpy(out + len, &probe->literal, sizeof probe->literal);
	len += sizeof probe->literal;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
	{
		size_t size = strlen(texts[i]) + 1;

		if (size > QUESTION_MAX - len)
			return 0;
		memcpy(out + len, texts[i], size);
		len += size;
	}
	return len;
}

static aut_status
push(aut__trigger_def ***items, size_t *count, size_t *room, aut__trigger_def *def, aut_error *err)
{
	if (*count == *room)
	{
		size_t more = *room == 0 ? 16 : 2 * *room;
		aut__trigger_def **grown = aut_realloc(*items, more * sizeof(aut__trigger_def *));

		if (grown == NULL)
			return no_memory(err);
		*items = grown;
		*room = more;
	}
	(*items)[(*count)++] = def;
	return AUT_OK;
}

/* Definitions of all rows (automation_id, version) into the answer. */
static aut_status
take_rows(aut_db *db, aut_event_cache *cache, const aut_rows *rows, answer *a, size_t *room,
		  aut_error *err)
{
	aut_status status = AUT_OK;

	for (size_t i = 0; status == AUT_OK && i < rows->count; i++)
	{
		aut_uuid id = aut_rows_uuid(rows, i, 0);
		aut__trigger_def *def = NULL;

		status = def_get(db, cache, &id, aut_rows_int(rows, i, 1), &def, err);
		if (status != AUT_OK || def == NULL)
			continue;
		status = push(&a->items, &a->count, room, def, err);
		if (status != AUT_OK)
			aut__trigger_def_free(def);
	}
	return status;
}

static aut_status
read_key(aut_db *db, aut_event_cache *cache, const aut_trigger_probe *probe, answer *a,
		 aut_error *err)
{
	aut_uuid after = AUT_UUID_NIL;
	size_t room = 0;
	size_t seen = 0;
	bool more = true;
	aut_status status = AUT_OK;

	while (status == AUT_OK && more)
	{
		aut_rows rows = {0};

		status = aut_store_trigger_find(db, probe, &after, PAGE, &rows, err);
		if (status == AUT_OK)
			status = take_rows(db, cache, &rows, a, &room, err);
		more = status == AUT_OK && rows.count == PAGE;
		seen += rows.count;
		if (more)
			after = aut_rows_uuid(&rows, rows.count - 1, 0);
		if (more && seen >= AUT_EVENT_CANDIDATES_MAX)
		{
			a->cut = true;
			more = false;
		}
		aut_rows_done(&rows);
	}
	return status;
}

static aut_status
read_beyond(aut_db *db, aut_event_cache *cache, const aut_trigger_probe *probe, answer *a,
			aut_error *err)
{
	aut_rows rows = {0};
	size_t room = 0;
	aut_status status =
		aut_store_trigger_beyond(db, probe, AUT_EVENT_CANDIDATES_MAX + 1, &rows, err);

	if (status == AUT_OK)
		status = take_rows(db, cache, &rows, a, &room, err);
	a->cut = rows.count > AUT_EVENT_CANDIDATES_MAX;
	aut_rows_done(&rows);
	return status;
}

static aut_status
read_paths(aut_db *db, const aut_trigger_probe *probe, answer *a, aut_error *err)
{
	aut_trigger_probe next = *probe;
	bool more = true;
	aut_status status = AUT_OK;

	a->paths = aut_calloc(PATHS_MAX, sizeof(char *));
	if (a->paths == NULL)
		return no_memory(err);
	while (status == AUT_OK && more && a->path_count < PATHS_MAX)
	{
		aut_rows rows = {0};
		const char *path = NULL;

		status = aut_store_trigger_next_path(db, &next, &rows, &path, err);
		more = status == AUT_OK && path != NULL;
		if (more)
		{
			char *copy = aut_strdup(path);

			if (copy == NULL)
				status = no_memory(err);
			else
				next.path = a->paths[a->path_count++] = copy;
		}
		aut_rows_done(&rows);
	}
	return status;
}

static aut_status
answer_read(aut_db *db, aut_event_cache *cache, question_kind kind, const aut_trigger_probe *probe,
			answer *a, aut_error *err)
{
	switch (kind)
	{
		case ABOUT_KEY:
			return read_key(db, cache, probe, a, err);
		case ABOUT_PATHS:
			return read_paths(db, probe, a, err);
		case ABOUT_BEYOND:
			break;
	}
	return read_beyond(db, cache, probe, a, err);
}

/* *out lives until the next question. */
static aut_status
ask(aut_db *db, aut_event_cache *cache, question_kind kind, const aut_trigger_probe *probe,
	int64_t stamp, const answer **out, aut_error *err)
{
	char question[QUESTION_MAX];
	size_t len = question_write(kind, probe, question);
	answer **bucket, *a;
	aut_status status;

	if (len == 0)
		return aut_fail(err, AUT_EINTERNAL, "a key of the trigger index is too long");
	if (cache->answer_count >= ANSWERS_MAX || cache->refs >= ANSWER_REFS_MAX ||
		cache->def_count >= DEFS_MAX)
		cache_clear(cache);
	bucket = &cache->answers[hash_bytes(question, len) % BUCKETS];
	while (*bucket != NULL &&
		   ((*bucket)->len != len || memcmp((*bucket)->question, question, len) != 0))
		bucket = &(*bucket)->next;
	if (*bucket != NULL && (*bucket)->stamp == stamp)
	{
		*out = *bucket;
		return AUT_OK;
	}
	a = aut_calloc(1, sizeof *a + len);
	if (a == NULL)
		return no_memory(err);
	a->len = len;
	a->stamp = stamp;
	memcpy(a->question, question, len);
	status = answer_read(db, cache, kind, probe, a, err);
	if (status != AUT_OK)
	{
		answer_free(a);
		return status;
	}
	if (*bucket != NULL)
	{
		answer *old = *bucket;

		*bucket = old->next;
		cache->refs -= old->count;
		cache->answer_count--;
		answer_free(old);
	}
	a->next = *bucket;
	*bucket = a;
	cache->refs += a->count;
	cache->answer_count++;
	*out = a;
	return AUT_OK;
}

/* ---- candidates ------------------------------------------------------------------------------- */

void
aut__candidates_done(aut__candidates *list)
{
	items_free(list->items, list->count);
	*list = (aut__candidates){0};
}

typedef struct gathering
{
	aut__candidates list;
	size_t room;
	size_t sources; /* answers that gave anything: one is in order already */
} gathering;

static aut_status
gather(gathering *all, const answer *a, aut_error *err)
{
	aut_status status = AUT_OK;

	for (size_t i = 0; status == AUT_OK && i < a->count; i++)
	{
		if (all->list.count >= AUT_EVENT_CANDIDATES_MAX)
		{
			all->list.cut = true;
			break;
		}
		status = push(&all->list.items, &all->list.count, &all->room, a->items[i], err);
		if (status == AUT_OK)
			a->items[i]->refs++;
	}
	all->list.cut = all->list.cut || a->cut;
	all->sources += a->count > 0;
	return status;
}

static int
by_id(const void *a, const void *b)
{
	const aut__trigger_def *const *left = a, *const *right = b;

	return memcmp((*left)->automation_id.bytes, (*right)->automation_id.bytes,
				  sizeof(*left)->automation_id.bytes);
}

/* In the order of ids, and an automation that several keys lead to once. */
static void
put_in_order(gathering *all)
{
	aut__trigger_def **items = all->list.items;
	size_t kept = 0;

	if (all->list.count < 2)
		return;
	qsort(items, all->list.count, sizeof *items, by_id);
	for (size_t i = 1; i < all->list.count; i++)
	{
		if (aut_uuid_equal(&items[kept]->automation_id, &items[i]->automation_id))
			aut__trigger_def_free(items[i]);
		else
			items[++kept] = items[i];
	}
	all->list.count = kept + 1;
}

/* All lists of one scope. */
static aut_status
gather_scope(aut_db *db, aut_event_cache *cache, aut_trigger_probe *probe, int64_t stamp,
			 const json_t *payload, gathering *all, aut_error *err)
{
	char paths[PATHS_MAX][AUT_TRIGGER_PATH_MAX];
	const answer *a = NULL;
	size_t count = 0;
	aut_status status;

	probe->path = "";
	probe->literal = 0;
	status = ask(db, cache, ABOUT_KEY, probe, stamp, &a, err);
	if (status == AUT_OK)
		status = gather(all, a, err);
	if (status == AUT_OK)
		status = ask(db, cache, ABOUT_PATHS, probe, stamp, &a, err);
	/* the answer may go with the next question */
	for (; status == AUT_OK && count < a->path_count; count++)
		(void) stpncpy(paths[count], a->paths[count], sizeof paths[count]);
	for (size_t i = 0; status == AUT_OK && i < count; i++)
	{
		probe->path = paths[i];
		if (!aut_event_literal(payload, paths[i], &probe->literal))
			continue;
		status = ask(db, cache, ABOUT_KEY, probe, stamp, &a, err);
		if (status == AUT_OK)
			status = gather(all, a, err);
	}
	if (status == AUT_OK && count == PATHS_MAX)
	{
		probe->path = paths[count - 1];
		probe->literal = 0;
		status = ask(db, cache, ABOUT_BEYOND, probe, stamp, &a, err);
		if (status == AUT_OK)
			status = gather(all, a, err);
		all->sources++; /* in no order */
	}
	return status;
}

aut_status
aut__candidates_find(aut_db *db, aut_event_cache *cache, const aut_uuid *org_id, const char *source,
					 const char *key, const json_t *payload, aut__candidates *out, aut_error *err)
{
	char scopes[AUT_EVENT_SCOPES_MAX][AUT_TRIGGER_SCOPE_MAX];
	size_t count = aut_event_scopes(key, scopes);
	aut_trigger_probe probe = {.org_id = *org_id, .source = source};
	aut_event_cache *own = NULL;
	gathering all = {.room = 0};
	int64_t stamp = 0;
	aut_status status = AUT_OK;

	if (cache == NULL)
		status = aut_event_cache_new(&own, err);
	if (status == AUT_OK)
		status = aut_store_trigger_stamp(db, org_id, &stamp, err);
	for (size_t i = 0; status == AUT_OK && stamp != 0 && i < count; i++)
	{
		probe.scope = scopes[i];
		status = gather_scope(db, cache != NULL ? cache : own, &probe, stamp, payload, &all, err);
	}
	aut_event_cache_free(own);
	if (status != AUT_OK)
	{
		aut__candidates_done(&all.list);
		return status;
	}
	if (all.sources > 1)
		put_in_order(&all);
	*out = all.list;
	return AUT_OK;
}
