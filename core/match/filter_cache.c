/* SPDX-License-Identifier: MIT */
/*
 * core/match/filter_cache.c - compiled expressions by their text.
 *
 * Open addressing over a table twice as large as what it may hold.  Nothing is ever taken out one by
 * one: when definitions change (another generation) what the last generation did not ask for goes,
 * and when it is full everything goes.  Expressions are counted, so whoever holds one keeps it.
 */
#include <string.h>

#include "automation/match.h"

#define SLOTS ((size_t) AUT_MATCH_CACHE_MAX * 2)

typedef struct entry
{
	aut_jmespath *expr; /* NULL: empty */
	char *text;
	size_t len;
	uint64_t hash;
	uint64_t used; /* the generation that last asked for it */
} entry;

struct aut_match_cache
{
	entry slots[SLOTS];
	size_t count;
	uint64_t generation;
};

static uint64_t
hash_of(const char *text, size_t len)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char) text[i]) * UINT64_C(1099511628211);
	return hash;
}

static entry *
slot_of(aut_match_cache *cache, const char *text, size_t len, uint64_t hash)
{
	for (size_t i = (size_t) hash % SLOTS;; i = (i + 1) % SLOTS)
	{
		entry *at = &cache->slots[i];

		if (at->expr == NULL ||
			(at->hash == hash && at->len == len && memcmp(at->text, text, len) == 0))
			return at;
	}
}

static void
entry_done(entry *at)
{
	aut_jmespath_free(at->expr);
	aut_free(at->text);
	memset(at, 0, sizeof *at);
}

/* Keep what was used in a generation.  Holes may cut off rows behind them, so these move up, nearer to
 * where they belong each time, until none moves any more. */
static void
keep_only(aut_match_cache *cache, uint64_t generation)
{
	bool moved = true;

	for (size_t i = 0; i < SLOTS; i++)
	{
		if (cache->slots[i].expr != NULL && cache->slots[i].used != generation)
		{
			entry_done(&cache->slots[i]);
			cache->count--;
		}
	}
	while (moved)
	{
		moved = false;
		for (size_t i = 0; i < SLOTS; i++)
		{
			entry moving = cache->slots[i];
			entry *to;

			if (moving.expr == NULL)
				continue;
			memset(&cache->slots[i], 0, sizeof moving);
			to = slot_of(cache, moving.text, moving.len, moving.hash);
			*to = moving;
			moved = moved || to != &cache->slots[i];
		}
	}
}

static void
drop_all(aut_match_cache *cache)
{
	for (size_t i = 0; i < SLOTS; i++)
		entry_done(&cache->slots[i]);
	cache->count = 0;
}

aut_status
aut_match_cache_new(aut_match_cache **out, aut_error *err)
{
	aut_match_cache *made = aut_calloc(1, sizeof *made);

	if (made == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for the cache of expressions");
	*out = made;
	return AUT_OK;
}

void
aut_match_cache_free(aut_match_cache *cache)
{
	if (cache == NULL)
		return;
	drop_all(cache);
	aut_free(cache);
}

aut_status
aut_match_cache_get(aut_match_cache *cache, uint64_t generation, const char *text, size_t len,
					aut_jmespath **out, aut_error *err)
{
	uint64_t hash = hash_of(text, len);
	aut_jmespath *expr = NULL;
	char *copy;
	aut_status status;
	entry *at;

	if (generation != cache->generation)
	{
		keep_only(cache, cache->generation);
		cache->generation = generation;
	}
	at = slot_of(cache, text, len, hash);
	if (at->expr != NULL)
	{
		at->used = generation;
		*out = aut_jmespath_ref(at->expr);
		return AUT_OK;
	}
	status = aut_jmespath_compile(text, len, &expr, err);
	if (status != AUT_OK)
		return status;
	copy = aut_strndup(text, len);
	if (copy == NULL)
	{
		aut_jmespath_free(expr);
		return aut_fail(err, AUT_ENOMEM, "out of memory for the cache of expressions");
	}
	if (cache->count == AUT_MATCH_CACHE_MAX)
	{
		drop_all(cache);
		at = slot_of(cache, text, len, hash);
	}
	*at = (entry){expr, copy, len, hash, generation};
	cache->count++;
	*out = aut_jmespath_ref(expr);
	return AUT_OK;
}

size_t
aut_match_cache_count(const aut_match_cache *cache)
{
	return cache->count;
}
