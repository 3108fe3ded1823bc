/* SPDX-License-Identifier: MIT */
/*
 * test/unit/torture.h - make every allocation fail, one after the other.
 *
 * torture(run, payload) calls run(payload) again and again: the first time the first allocation
 * fails, then the second, and so on, until a run gets by without meeting a failure.  After each
 * run nothing may be left allocated.  run() makes everything it needs, ends everything it made,
 * and returns the status it came to: AUT_ENOMEM, or AUT_OK when it did (or could do) without the
 * memory; anything else is an error reported as something it is not, and fails the test.  The last
 * run must be AUT_OK.
 *
 * Both allocators are replaced: ours, and jansson's (so tests must not keep JSON values across it;
 * a value made before torture() and freed after it is fine, and one used read-only inside as
 * well).
 *
 *     static aut_status
 *     build(void *payload)
 *     {
 *         aut_buf buf;
 *         aut_status status;
 *
 *         aut_buf_init(&buf, 100);
 *         status = aut_buf_puts(&buf, payload);
 *         aut_buf_done(&buf);
 *         return status;
 *     }
 *     ...
 *     char text[] = "text";
 *
 *     torture(build, text);
 *
 * Memory that stays by design (a cache) must be given back by run() too: aut_tz_cache_clear().
 * What a library allocates by itself (OpenSSL, libcurl) is not seen.
 */
#ifndef AUT_TEST_TORTURE_H
#define AUT_TEST_TORTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "automation/base.h"

typedef aut_status torture_run(void *payload);

static struct
{
	size_t made;    /* allocations asked for in this run */
	size_t fail_at; /* the one that fails, counted from 1 */
	size_t live;    /* allocated and not yet freed */
	bool failed;
} torture_state;

static void *
torture_alloc(void *payload, size_t size)
{
	void *ptr = NULL;

	(void) payload;
	if (++torture_state.made == torture_state.fail_at)
		torture_state.failed = true;
	else
		ptr = malloc(size);
	if (ptr != NULL)
		torture_state.live++;
	return ptr;
}

static void *
torture_realloc(void *payload, void *ptr, size_t size)
{
	if (ptr == NULL)
		return torture_alloc(payload, size);
	if (++torture_state.made == torture_state.fail_at)
	{
		torture_state.failed = true;
		return NULL;
	}
	return realloc(ptr, size);
}

static void
torture_free(void *payload, void *ptr)
{
	(void) payload;
	if (ptr != NULL)
		torture_state.live--;
	free(ptr);
}

static void *
torture_json_alloc(size_t size)
{
	return torture_alloc(NULL, size);
}

static void
torture_json_free(void *ptr)
{
	torture_free(NULL, ptr);
}

/* Returns how many allocations the run makes. */
static inline size_t
torture(torture_run *run, void *payload)
{
	static const aut_allocator failing = {torture_alloc, torture_realloc, torture_free, NULL};
	const size_t runs_max = 100000;

	for (size_t n = 1; n <= runs_max; n++)
	{
		aut_status status;

		torture_state.made = 0;
		torture_state.fail_at = n;
		torture_state.live = 0;
		torture_state.failed = false;
		aut_allocator_set(&failing);
		json_set_alloc_funcs(torture_json_alloc, torture_json_free);
		status = run(payload);
		aut_allocator_set(NULL);
		json_set_alloc_funcs(malloc, free);
		if (torture_state.live != 0)
			fail_msg("%zu allocation(s) leaked when number %zu failed", torture_state.live, n);
		if (!torture_state.failed)
		{
			if (status != AUT_OK)
				fail_msg("%s although nothing failed", aut_status_name(status));
			return torture_state.made;
		}
		if (status != AUT_ENOMEM && status != AUT_OK)
			fail_msg("%s instead of ENOMEM when allocation %zu failed", aut_status_name(status), n);
	}
	fail_msg("still failing after %zu runs", runs_max);
	return 0;
}

#endif
