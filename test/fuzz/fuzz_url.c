/* SPDX-License-Identifier: MIT */
/*
 * test/fuzz/fuzz_url.c - texts of URLs and queries: escapes, numbers, ids, times.
 *
 * What decodes never grows and holds no NUL; what was encoded decodes to itself.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "automation/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
	if (!holds)
		abort();
}

static void
decode(const uint8_t *data, size_t size, bool plus)
{
	char *text = malloc(size + 1);
	size_t len = size;

	must(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	if (aut_url_decode(text, &len, plus))
		must(len <= size && (memchr(data, '\0', size) != NULL || memchr(text, '\0', len) == NULL));
	free(text);
}

static void
round_trip(const uint8_t *data, size_t size)
{
	size_t len;
	aut_buf buf;

	if (memchr(data, '\0', size) != NULL || size == 0)
		return;
	aut_buf_init(&buf, 3 * size);
	must(aut_url_encode(&buf, (const char *) data, size, "") == AUT_OK);
	len = buf.len;
	must(aut_url_decode(buf.data, &len, true));
	must(len == size && memcmp(buf.data, data, size) == 0);
	aut_buf_done(&buf);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	int64_t number;
	aut_uuid id;

	must(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	decode(data, size, false);
	decode(data, size, true);
	round_trip(data, size);
	if (aut_int_parse(text, -5, 1000, &number))
		must(number >= -5 && number <= 1000);
	(void) aut_uuid_parse(text, size, &id);
	(void) aut_time_parse(text, &number, NULL);
	free(text);
	return 0;
}
