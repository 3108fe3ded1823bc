/* SPDX-License-Identifier: MIT */
/*
 * test/fuzz/fuzz_filter.c - expressions and payloads together.
 *
 * The input is an expression, a line feed, and a payload (none: null).  Whatever compiles is evaluated
 * under small bounds, twice: the same must come out.  The two ways of asking must agree, and what is
 * refused must say why in valid text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "automation/match.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
	if (!holds)
		abort();
}

static void
must_say_why(const aut_error *err, aut_status status)
{
	must(err->code == status);
	must(err->message[0] != '\0' && aut_utf8_valid(err->message, strlen(err->message)));
}

static void
ask(const aut_jmespath *expr, const aut_payload *payload)
{
	aut_match_options options = AUT_MATCH_OPTIONS_INIT;
	aut_match_result first = {0};
	aut_match_result second = {0};
	aut_error err = AUT_ERROR_INIT;
	bool match = false;
	aut_status status;

	options.steps_max = 20000;
	options.memory_max = 1024 * 1024;
	options.time_max_us = 60 * AUT_US_PER_S; /* the same must come out on a slow machine */
	status = aut_jmespath_search(expr, payload, &options, &first, &err);
	if (status != AUT_OK)
		must_say_why(&err, status);
	must(aut_jmespath_search(expr, payload, &options, &second, NULL) == status);
	if (status == AUT_OK)
	{
		must(first.kind == second.kind && first.truth == second.truth);
		must(first.text == NULL || aut_utf8_valid(first.text, first.text_len));
		must(aut_filter_match(expr, payload, &options, &match, NULL) == AUT_OK);
		must(match == first.truth);
	}
	aut_match_result_done(&first);
	aut_match_result_done(&second);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data;
	const char *line = size > 0 ? memchr(text, '\n', size) : NULL;
	size_t len = line != NULL ? (size_t) (line - text) : size;
	const char *json = line != NULL ? line + 1 : "null";
	size_t json_len = line != NULL ? size - len - 1 : 4;
	aut_payload *payload = NULL;
	aut_jmespath *expr = NULL;
	aut_error err = AUT_ERROR_INIT;
	aut_status status;

	status = aut_payload_parse(json, json_len, &payload, &err);
	if (status != AUT_OK)
		must_say_why(&err, status);
	err = (aut_error) AUT_ERROR_INIT;
	status = aut_jmespath_compile(size > 0 ? text : "", len, &expr, &err);
	if (status != AUT_OK)
		must_say_why(&err, status);
	if (expr != NULL && payload != NULL)
		ask(expr, payload);
	aut_jmespath_free(expr);
	aut_payload_free(payload);
	return 0;
}
