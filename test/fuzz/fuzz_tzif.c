/* SPDX-License-Identifier: MIT */
/*
 * test/fuzz/fuzz_tzif.c - the reader of zone files, on arbitrary bytes, and the searches over
 * whatever zone comes out.
 *
 * However wild the zone: offsets are sane, abbreviations are text, and next and prev keep their
 * promises.
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
check_instant(const aut_tz *tz, const aut_cron *cron, int64_t time)
{
	int32_t offset;
	const char *abbr;
	bool dst;
	int64_t next, prev, back;

	aut_tz_info(tz, time, &offset, &abbr, &dst);
	must(offset > -26 * 3600 && offset < 26 * 3600);
	must(aut_utf8_valid(abbr, strlen(abbr)));
	must(aut_cron_next(cron, tz, time, &next, NULL) == AUT_OK);
	must(aut_cron_prev(cron, tz, time, &prev, NULL) == AUT_OK);
	must(next == AUT_TIME_NONE || next > time);
	must(prev == AUT_TIME_NONE || prev < time);
	if (next != AUT_TIME_NONE)
		must(aut_cron_prev(cron, tz, next + 1, &back, NULL) == AUT_OK && back == next);
	if (prev != AUT_TIME_NONE)
		must(aut_cron_next(cron, tz, prev - 1, &back, NULL) == AUT_OK && back == prev);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const expressions[] = {"30 2 * * *", "*/20 * * * *", "0 0 L 2 *"};
	aut_tz *tz = NULL;
	aut_error err = AUT_ERROR_INIT;

	if (aut_tz_parse("fuzzed", data, size, &tz, &err) != AUT_OK)
	{
		must(err.message[0] != '\0' && aut_utf8_valid(err.message, strlen(err.message)));
		return 0;
	}
	for (size_t i = 0; i < sizeof expressions / sizeof expressions[0]; i++)
	{
		aut_cron cron;

		must(aut_cron_parse(expressions[i], strlen(expressions[i]), &cron, NULL) == AUT_OK);
		check_instant(tz, &cron, 0);
		check_instant(tz, &cron, INT64_C(1782900000) * AUT_US_PER_S);
		check_instant(tz, &cron, INT64_C(-1782900000) * AUT_US_PER_S - 1);
		check_instant(tz, &cron, INT64_C(30000000000) * AUT_US_PER_S);
	}
	aut_tz_free(tz);
	return 0;
}
