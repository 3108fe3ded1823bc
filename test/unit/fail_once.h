/* SPDX-License-Identifier: MIT */
/*
 * test/unit/fail_once.h - an allocator that fails once, for tests that keep a program running over the
 * failure.  (torture.h is for what is made and ended within one run.)
 *
 *     aut_allocator_set(&allocator);
 *     json_set_alloc_funcs(json_alloc, free);
 *     failed = false;
 *     fail_after = n;      the allocation after n more fails, then no other
 *     ...
 *     fail_after = -1;
 *     if (!failed) ...     there were not that many
 */
#ifndef AUT_TEST_FAIL_ONCE_H
#define AUT_TEST_FAIL_ONCE_H

#include <stdbool.h>
#include <stdlib.h>

#include "automation/base.h"

static long fail_after = -1; /* -1: never */
static bool failed;

static bool
fails_now(void)
{
	if (fail_after < 0)
		return false;
	if (fail_after-- > 0)
		return false;
	failed = true;
	return true;
}

static void *
counted_alloc(void *payload, size_t size)
{
	(void) payload;
	return fails_now() ? NULL : malloc(size);
}

static void *
counted_realloc(void *payload, void *ptr, size_t size)
{
	(void) payload;
	return fails_now() ? NULL : realloc(ptr, size);
}

static void
counted_free(void *payload, void *ptr)
{
	(void) payload;
	free(ptr);
}

/* jansson's allocations fail, too */
static void *
json_alloc(size_t size)
{
	return counted_alloc(NULL, size);
}

static const aut_allocator allocator = {counted_alloc, counted_realloc, counted_free, NULL};

#endif
