/* SPDX-License-Identifier: MIT */
/*
 * core/base/alloc.c - the allocator of the process.
 *
 * Owns one static aut_allocator, set once at start (or by a test that wants the n-th allocation to
 * fail).  The only file in core that names malloc.  Every function answers NULL when memory is
 * short; none ends the process.  Not locked: one thread per process uses core.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "automation/base.h"

static void *
system_alloc(void *payload, size_t size)
{
	(void) payload;
	return malloc(size);
}

static void *
system_realloc(void *payload, void *ptr, size_t size)
{
	(void) payload;
	return realloc(ptr, size);
}

static void
system_free(void *payload, void *ptr)
{
	(void) payload;
	free(ptr);
}

static const aut_allocator system_allocator = {system_alloc, system_realloc, system_free, NULL};
static aut_allocator current = {system_alloc, system_realloc, system_free, NULL};

void
aut_allocator_set(const aut_allocator *allocator)
{
	current = allocator != NULL ? *allocator : system_allocator;
}

/* malloc(0) may answer NULL, which would look like "no memory": never ask for size 0. */
static size_t
at_least_one(size_t size)
{
	return size != 0 ? size : 1;
}

void *
aut_malloc(size_t size)
{
	return current.alloc(current.payload, at_least_one(size));
}

void *
aut_calloc(size_t count, size_t size)
{
	size_t total;
	void *ptr;

	if (__builtin_mul_overflow(count, size, &total))
		return NULL;
	ptr = aut_malloc(total);
	if (ptr != NULL)
		memset(ptr, 0, at_least_one(total));
	return ptr;
}

void *
aut_realloc(void *ptr, size_t size)
{
	if (ptr == NULL)
		return aut_malloc(size);
	return current.realloc(current.payload, ptr, at_least_one(size));
}

void
aut_free(void *ptr)
{
	if (ptr != NULL)
		current.free(current.payload, ptr);
}

char *
aut_strdup(const char *text)
{
	return text != NULL ? aut_strndup(text, strlen(text)) : NULL;
}

char *
aut_strndup(const char *text, size_t len)
{
	char *copy;

	if (text == NULL || len == SIZE_MAX)
		return NULL;
	copy = aut_malloc(len + 1);
	if (copy != NULL)
	{
		memcpy(copy, text, len);
		copy[len] = '\0';
	}
	return copy;
}

char *
aut_printf(const char *fmt, ...)
{
	va_list args;
	char *text = NULL;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (len >= 0)
		text = aut_malloc((size_t) len + 1);
	if (text != NULL)
	{
		va_start(args, fmt);
		(void) vsnprintf(text, (size_t) len + 1, fmt, args);
		va_end(args);
	}
	return text;
}
