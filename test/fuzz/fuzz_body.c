/* SPDX-License-Identifier: MIT */
/*
 * test/fuzz/fuzz_body.c - bodies of requests through the validators of the service.
 *
 * Every body is given to every form.  Whatever it holds: it passes, or there is a list of problems (or an
 * error with a story), each with its place and text as the contract has them.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/service/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
	if (!holds)
		abort();
}

/* The end of a form: problems exactly when it was refused for them, and all of them whole. */
static void
check(aut_status status, json_t *problems, const aut_error *err)
{
	size_t index;
	json_t *one;

	must((problems != NULL) == (status == AUT_EINVAL));
	must(status == AUT_OK ||
		 (err->message[0] != '\0' && aut_utf8_valid(err->message, strlen(err->message))));
	must(problems == NULL || json_array_size(problems) > 0);
	json_array_foreach(problems, index, one)
	{
		must(json_is_string(json_object_get(one, "type")));
		must(json_is_string(json_object_get(one, "msg")));
		must(json_array_size(json_object_get(one, "loc")) > 0);
	}
	json_decref(problems);
}

static void
check_run_bodies(const json_t *body)
{
	aut_error err = AUT_ERROR_INIT;
	aut__completion completion = {0};
	json_t *problems = NULL;
	char *phase = NULL;
	char *text = NULL;
	aut_status status = aut__form_complete(body, &completion, &problems, &err);

	check(status, problems, &err);
	if (status == AUT_OK && !completion.completed)
		must(aut__error_text(completion.error, &text, &err) == AUT_OK &&
			 (text == NULL || aut_utf8_valid(text, strlen(text))));
	aut_free(text);
	problems = NULL;
	status = aut__form_phase(body, &phase, &problems, &err);
	check(status, problems, &err);
	aut_free(phase);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const aut_settings settings = {.max_run_duration = 1800, .default_run_duration = 600};
	aut_error err = AUT_ERROR_INIT;
	aut__form form = {0};
	json_t *body = NULL;
	json_t *problems = NULL;

	if (aut_json_parse((const char *) data, size, &body, &err) != AUT_OK)
	{
		must(err.message[0] != '\0');
		return 0;
	}
	if (json_is_object(body))
	{
		check(aut__form_create(body, &settings, false, &form, &problems, &err), problems, &err);
		aut__form_done(&form);
		problems = NULL;
		check(aut__form_update(body, &settings, size % 2 == 0, &form, &problems, &err), problems,
			  &err);
		aut__form_done(&form);
		check_run_bodies(body);
	}
	json_decref(body);
	return 0;
}
