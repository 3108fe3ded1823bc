/* SPDX-License-Identifier: MIT */
/*
 * bench/filter_bench.c - what an event and a filter cost, beside Python's json and jmespath.
 *
 *   filter_bench SECONDS FILTER < EVENT
 *
 * "first" reads the event from its text and asks a compiled filter, as for each event that comes; "further" asks
 * the compiled filter of an event that was read before, as for each further automation.  bench/filter_bench.py
 * does the same in Python.  Prints {"way","us","matched"} for each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "automation/match.h"

#define EVENT_MAX 65536

/* At a time, so that reading the clock costs nothing. */
#define ROUND 64

static bool
measure(const char *way, double seconds, const aut_jmespath *filter, const char *text, size_t len)
{
	bool further = strcmp(way, "further") == 0, match = false;
	aut_error err = AUT_ERROR_INIT;
	aut_payload *event = NULL;
	uint64_t done = 0, matched = 0;
	int64_t start = aut_mono_us(aut_clock_system()), took = 0;
	aut_status status = AUT_OK;

	if (further)
		status = aut_payload_parse(text, len, &event, &err);
	while (status == AUT_OK && (double) took < seconds * 1e6)
	{
		for (int i = 0; status == AUT_OK && i < ROUND; i++)
		{
			if (!further)
				status = aut_payload_parse(text, len, &event, &err);
			if (status == AUT_OK)
				status = aut_filter_match(filter, event, NULL, &match, &err);
			if (!further)
			{
				aut_payload_free(event);
				event = NULL;
			}
			matched += match;
			done++;
		}
		took = aut_mono_us(aut_clock_system()) - start;
	}
	aut_payload_free(event);
	if (status != AUT_OK)
		fprintf(stderr, "filter_bench: %s\n", err.message);
	else
		printf("{\"way\": \"%s\", \"us\": %.3f, \"matched\": %s}\n", way,
			   (double) took / (double) done, matched == done ? "true" : "false");
	return status == AUT_OK;
}

int
main(int argc, char **argv)
{
	static char text[EVENT_MAX];
	aut_error err = AUT_ERROR_INIT;
	aut_jmespath *filter = NULL;
	double seconds = argc == 3 ? strtod(argv[1], NULL) : 0;
	size_t len = fread(text, 1, sizeof text, stdin);

	if (!(seconds > 0 && seconds <= 600) || len == 0 || len == sizeof text)
	{
		fprintf(stderr, "usage: filter_bench SECONDS FILTER < EVENT (under 64 KiB)\n");
		return 2;
	}
	if (aut_jmespath_compile(argv[2], strlen(argv[2]), &filter, &err) != AUT_OK)
	{
		fprintf(stderr, "filter_bench: %s\n", err.message);
		return 1;
	}
	bool ok = measure("first", seconds, filter, text, len) &&
			  measure("further", seconds, filter, text, len);
	aut_jmespath_free(filter);
	return ok ? 0 : 1;
}
