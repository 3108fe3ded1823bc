/* SPDX-License-Identifier: MIT */
/*
 * test/fuzz/fuzz_cron.c - the cron parser and the searches behind it, on arbitrary text.
 *
 * The input is the expression.  Zone and instant follow from a hash of it.  Whatever parses must
 * keep the promises of schedule.h; whatever is refused must say why in valid text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "automation/schedule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
	if (!holds)
		abort();
}

static void
check_searches(const aut_cron *cron, const aut_tz *tz, int64_t time)
{
	int64_t next, prev, back;

	must(aut_cron_next(cron, tz, time, &next, NULL) == AUT_OK);
	must(aut_cron_prev(cron, tz, time, &prev, NULL) == AUT_OK);
	must(next == AUT_TIME_NONE || next > time);
	must(prev == AUT_TIME_NONE || prev < time);
	if (cron->random != 0)
		return;
	if (next != AUT_TIME_NONE)
	{
		must(aut_cron_prev(cron, tz, next + 1, &back, NULL) == AUT_OK && back == next);
		(void) aut_cron_fire_kind(cron, tz, next, &back);
	}
	if (prev != AUT_TIME_NONE)
		must(aut_cron_next(cron, tz, prev - 1, &back, NULL) == AUT_OK && back == prev);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const zones[] = {"UTC", "America/New_York", "Australia/Lord_Howe",
										"Pacific/Apia", "Europe/Dublin"};
	const char *text = (const char *) data;
	uint64_t hash = UINT64_C(14695981039346656037);
	const aut_tz *tz;
	aut_cron cron;
	aut_error err = AUT_ERROR_INIT;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ data[i]) * UINT64_C(1099511628211);
	if (aut_cron_parse(text, size, &cron, &err) != AUT_OK)
	{
		must(err.code == AUT_EINVAL && err.message[0] != '\0');
		must(aut_utf8_valid(err.message, strlen(err.message)));
		return 0;
	}
	/* a machine without tz database still has UTC */
	if (aut_tz_get(zones[hash % 5], &tz, NULL) != AUT_OK)
		must(aut_tz_get("UTC", &tz, NULL) == AUT_OK);
	/* anywhere from 1826 to 2126 */
	check_searches(&cron, tz, (int64_t) (hash >> 11) - (INT64_C(1) << 52));
	return 0;
}
