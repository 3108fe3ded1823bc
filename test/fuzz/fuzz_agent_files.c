/* SPDX-License-Identifier: MIT */
/*
 * test/fuzz/fuzz_agent_files.c - what an agent gives as the files of a run and as words of our commands.
 *
 * The first byte says which parser reads the rest.  What is believed is within bounds: exit codes of a shell,
 * times and offsets that are not negative, names of folders that are ids as we write them.
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

static void
exit_file(const aut_http_reply *reply)
{
	aut_agent_answer answer = {0};

	if (aut__agent_exit_file(reply, &answer))
	{
		must(answer.ended && answer.has_exit_code);
		must(answer.exit_code >= 0 && answer.exit_code <= 255);
		must(answer.elapsed_s >= 0);
		must(answer.data == NULL ||
			 (answer.data > reply->body && answer.len < AUT_EXIT_OUTPUT_MAX &&
			  answer.data + answer.len == reply->body + reply->body_len));
	}
}

static void
segments(const aut_http_reply *reply)
{
	int64_t older = -1, newest = -1;

	if (aut__agent_segments(reply, &older, &newest))
		must(older >= 0 && newest >= older);
	else
		must(older == -1 && newest == -1);
}

static void
names(const aut_http_reply *reply)
{
	aut_uuid id;
	char text[AUT_UUID_TEXT_MAX];

	if (aut_sweep_name(reply->body, reply->body_len, &id))
	{
		aut_uuid_format(&id, text);
		must(reply->body_len == strlen(text) && memcmp(text, reply->body, reply->body_len) == 0);
	}
}

/* What is found without reading the rest is what the parser finds, where the rest is well-formed. */
static void
peeked(const aut_http_reply *reply)
{
	char id[16];
	json_t *root = NULL;

	if (!aut_json_peek(reply->body, reply->body_len, "id", id, sizeof id))
		return;
	must(strlen(id) < sizeof id);
	if (aut_json_parse(reply->body, reply->body_len, &root, NULL) == AUT_OK)
	{
		const char *read = aut_json_string(root, "id");

		must(read != NULL && strcmp(read, id) == 0);
		json_decref(root);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	aut_http_reply reply = {.status = AUT_OK, .code = 200};
	bool gone = false;
	char *body;

	if (size == 0)
		return 0;
	body = malloc(size);
	must(body != NULL);
	memcpy(body, data + 1, size - 1);
	body[size - 1] = '\0';
	reply.body = body;
	reply.body_len = size - 1;
	switch (data[0] % 5)
	{
		case 0:
			exit_file(&reply);
			break;
		case 1:
			segments(&reply);
			break;
		case 2:
			(void) aut__agent_alive_word(&reply, &gone);
			break;
		case 3:
			peeked(&reply);
			break;
		default:
			names(&reply);
			break;
	}
	free(body);
	return 0;
}
