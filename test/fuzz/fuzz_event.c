/* SPDX-License-Identifier: MIT */
/*
 * test/fuzz/fuzz_event.c - deliveries from anybody: their JSON, GitHub's model, signature headers,
 * patterns.
 *
 * The input is a body.  It is read for each source; what comes out must keep the promises of event.h.
 * The same bytes then serve as the headers of each signature scheme and, cut in two, as a pattern and
 * the key it is matched with.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "automation/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
	if (!holds)
		abort();
}

/* What is written must be strict JSON that says the same when it is read again. */
static void
check_text(const char *text)
{
	size_t len = strlen(text);
	aut_event_doc again = {0};
	aut_buf out;

	must(aut_utf8_valid(text, len));
	/* wrapped into the run's object it may be two levels deeper than what was read */
	if (aut_event_doc_read(text, len, &again, NULL) != AUT_OK)
		return;
	aut_buf_init(&out, 8 * len + 100);
	must(aut_event_doc_write(&again, again.root, &out) == AUT_OK);
	must(strcmp(out.data, text) == 0);
	aut_buf_done(&out);
	aut_event_doc_done(&again);
}

static void
check_source(const char *source, const char *body, size_t size)
{
	aut_event event = {0};
	aut_error err = AUT_ERROR_INIT;
	char *turn = NULL;

	if (aut_event_read(source, body, size, &event, &err) != AUT_OK)
	{
		must(err.code == AUT_EBADREQ && aut_utf8_valid(err.message, strlen(err.message)));
		return;
	}
	if (!aut_event_is_builtin(source) &&
		aut_event_set_key(&event, source, json_object_get(event.payload, "type"), &err) != AUT_OK)
		must(err.code == AUT_EBADREQ);
	must((event.key == NULL) == (event.run_payload == NULL));
	if (event.key != NULL)
	{
		must(strlen(event.key) <= AUT_EVENT_KEY_MAX &&
			 aut_utf8_valid(event.key, strlen(event.key)));
		check_text(event.run_payload);
		if (aut_turn_text_default(source, event.key, event.payload, &turn, NULL) == AUT_OK)
			must(aut_utf8_valid(turn, strlen(turn)));
	}
	else
		must(aut_utf8_valid(event.why, strlen(event.why)));
	aut_free(turn);
	aut_event_done(&event);
}

/* Every header is the same text. */
static const char *
any_header(void *payload, const char *name)
{
	return strcasecmp(name, "webhook-id") == 0 ? "msg" : payload;
}

static void
check_signatures(const char *body, size_t size)
{
	static const char *const schemes[] = {AUT_SCHEME_HMAC_HEX, AUT_SCHEME_STANDARD,
										  AUT_SCHEME_SLACK};
	char *text = aut_strndup(body, size);

	must(text != NULL);
	for (size_t i = 0; i < 3; i++)
	{
		aut_signature ask = {.scheme = schemes[i],
							 .secret = size > 0 ? text : "s",
							 .header = "X-Sig",
							 .get_header = any_header,
							 .get_payload = text,
							 .body = body,
							 .body_len = size};

		must(aut_signature_check(&ask, NULL) == AUT_EUNAUTH);
	}
	aut_free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *body = (const char *) data;
	size_t half = size / 2;

	check_source("github", body, size);
	check_source("jira_dc", body, size);
	check_source("my-hook", body, size);
	check_signatures(body, size);
	(void) aut_glob_match(body, half, body + half, size - half);
	return 0;
}
