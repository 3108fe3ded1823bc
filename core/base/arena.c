/* SPDX-License-Identifier: MIT */
/*
 * core/base/arena.c - an arena: many small allocations that go in one call.
 *
 * A list of blocks, newest first; each allocation is cut from the newest one, and what does not
 * fit gets a block of its own.  Blocks never move, so pointers stay valid until aut_arena_done.
 * There is no freeing of single pieces and no limit here: callers bound what they ask for (and can
 * read arena->total).
 */
#include <stdalign.h>
#include <string.h>

#include "automation/base.h"

#define BLOCK_SIZE 4096 /* payload bytes of an ordinary block */

struct aut_arena_block
{
	struct aut_arena_block *next;
	size_t size; /* of data */
	size_t used;
	alignas(max_align_t) unsigned char data[];
};

static struct aut_arena_block *
block_add(aut_arena *arena, size_t size)
{
	size_t payload = size > BLOCK_SIZE ? size : BLOCK_SIZE;
	size_t whole;
	struct aut_arena_block *block;

	if (__builtin_add_overflow(payload, sizeof *block, &whole))
		return NULL;
	block = aut_malloc(whole);
	if (block == NULL)
		return NULL;
	block->size = payload;
	block->used = 0;
	arena->total += whole;
	if (arena->head != NULL && payload > BLOCK_SIZE)
	{
		/* An oversized block is full at once: put it behind, so that the rest of the current block
		 * is still used. */
		block->next = arena->head->next;
		arena->head->next = block;
	}
	else
	{
		block->next = arena->head;
		arena->head = block;
	}
	return block;
}

void *
aut_arena_alloc(aut_arena *arena, size_t size)
{
	const size_t align = alignof(max_align_t);
	struct aut_arena_block *block = arena->head;
	void *ptr;

	if (size == 0)
		size = 1;
	if (size > SIZE_MAX - align)
		return NULL;
	size = (size + align - 1) / align * align;
	if (block == NULL || block->size - block->used < size)
		block = block_add(arena, size);
	if (block == NULL)
		return NULL;
	ptr = block->data + block->used;
	block->used += size;
	return ptr;
}

char *
aut_arena_strndup(aut_arena *arena, const char *text, size_t len)
{
	char *copy;

	if (text == NULL || len == SIZE_MAX)
		return NULL;
	copy = aut_arena_alloc(arena, len + 1);
	if (copy != NULL)
	{
		memcpy(copy, text, len);
		copy[len] = '\0';
	}
	return copy;
}

void
aut_arena_done(aut_arena *arena)
{
	struct aut_arena_block *block;

	if (arena == NULL)
		return;
	block = arena->head;
	while (block != NULL)
	{
		struct aut_arena_block *next = block->next;

		aut_free(block);
		block = next;
	}
	arena->head = NULL;
	arena->total = 0;
}
