/* SPDX-License-Identifier: MIT */
/*
 * test/fuzz/fuzz_agent.c - what an agent server answers when it is asked whether a command has ended.
 *
 * An agent may lie in every way.  An end that is believed has an exit code within bounds and texts that live in
 * the answer; everything else is "no end", never a crash.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/backend/agent_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
	if (!holds)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	aut_http_reply reply = {0};
	const char *out_text = NULL, *err_text = NULL;
	json_t *root = NULL;
	int code = 1000;
	bool valid = true;
	char *body = malloc(size + 1);

	must(body != NULL);
	memcpy(body, data, size);
	body[size] = '\0';
	reply.status = AUT_OK;
	reply.code = 200;
	reply.body = body;
	reply.body_len = size;
	if (aut__agent_event_ended(&reply, &root, &code, &out_text, &err_text, &valid))
	{
		must(root != NULL && valid && code >= -255 && code <= 255);
		must(out_text == NULL || aut_utf8_valid(out_text, strlen(out_text)));
		must(err_text == NULL || aut_utf8_valid(err_text, strlen(err_text)));
	}
	json_decref(root);
	free(body);
	return 0;
}
