/* SPDX-License-Identifier: MIT */
/*
 * core/api/events.c - routes of events: deliveries of providers, and looking at what came.
 *
 * A delivery has no identity; its signature is checked by the service, over the bytes as they came.  Body and
 * headers are copied out of the exchange, which may be gone when the unit runs: a provider that hangs up
 * before the answer has delivered all the same.
 *
 * A signed body that is no event is refused and kept: the unit succeeds, so that the row is committed, and
 * the answer is made from the refusal.
 */
#include <string.h>
#include <strings.h>

#include "core/api/api_internal.h"

#define HEADERS_MAX   100
#define SOURCE_MAX    255
#define EVENT_KEY_MAX 4096

/* ---- deliveries ------------------------------------------------------------------------------ */

struct aut_api_header
{
	struct aut_api_header *next;
	const char *name, *value;
};

struct header_copy
{
	aut_api_request *request;
	struct aut_api_header **tail;
	size_t count;
	bool failed;
};

static bool
header_copy_step(void *payload, const char *name, const char *value)
{
	struct header_copy *copy = payload;
	aut_arena *arena = &copy->request->arena;
	struct aut_api_header *header = aut_arena_alloc(arena, sizeof *header);

	if (header != NULL)
	{
		*header = (struct aut_api_header){
			.name = aut_arena_strndup(arena, name, strlen(name)),
			.value = aut_arena_strndup(arena, value, strlen(value)),
		};
		copy->failed = header->name == NULL || header->value == NULL;
		*copy->tail = header;
		copy->tail = &header->next;
	}
	else
		copy->failed = true;
	return !copy->failed && ++copy->count < HEADERS_MAX;
}

static const char *
copied_header(void *payload, const char *name)
{
	const aut_api_request *request = payload;

	for (const struct aut_api_header *at = request->headers; at != NULL; at = at->next)
	{
		if (strcasecmp(at->name, name) == 0)
			return at->value;
	}
	return NULL;
}

aut_status
aut__api_event_deliver_begin(aut_api_request *request, aut_error *err)
{
	struct header_copy copy = {request, &request->headers, 0, false};
	size_t len;
	const void *body = aut_exchange_body(request->exchange, &len);
	void *kept;

	if (aut_exchange_body_too_long(request->exchange))
		return aut_fail(err, AUT_ELIMIT, "Request body is larger than %d bytes", AUT_API_BODY_MAX);
	if (!aut_utf8_valid(request->word, strlen(request->word)))
		return aut_fail(err, AUT_ENOTFOUND, "There is no such event source");
	kept = aut_arena_alloc(&request->arena, len + 1);
	if (kept == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for a delivery");
	memcpy(kept, body, len);
	request->data = kept;
	request->data_len = len;
	aut_exchange_each_header(request->exchange, header_copy_step, &copy);
	if (copy.failed)
		return aut_fail(err, AUT_ENOMEM, "out of memory for a delivery");
	return AUT_OK;
}

/* What the process remembers; without it only slower. */
static aut_event_cache *
cache_of(aut_api *api)
{
	if (api->events == NULL)
		(void) aut_event_cache_new(&api->events, NULL);
	return api->events;
}

aut_status
aut__api_event_deliver(aut_api_request *request, aut_db *db, aut_error *err)
{
	aut_error refused = AUT_ERROR_INIT;
	aut_delivery delivery = {
		.org_id = request->id,
		.source = request->word,
		.body = request->data,
		.body_len = request->data_len,
		.get_header = copied_header,
		.get_payload = request,
	};
	aut_status status;

	(void) db;
	status = aut_service_event_accept(&request->call, cache_of(request->api), &delivery,
									  &request->result, &refused, err);
	if (status == AUT_OK && refused.code != AUT_OK)
	{
		request->code = aut_status_http(refused.code);
		request->result = json_object();
		if (!aut_json_set(request->result, "detail", aut_json_text_or_null(refused.message)))
			status = aut_fail(err, AUT_ENOMEM, "out of memory");
	}
	return status;
}

/* ---- looks ------------------------------------------------------------------------------------ */

aut_status
aut__api_event_list_begin(aut_api_request *request, aut_error *err)
{
	aut_status status;

	request->limit = AUT_API_LIMIT_DEFAULT;
	status = aut__api_query_int(request, "limit", 1, AUT_API_LIMIT_MAX, &request->limit, err);
	if (status == AUT_OK)
		status = aut__api_keep(request, aut__api_query(request, "cursor"), &request->cursor, err);
	if (status == AUT_OK)
		status =
			aut__api_query_text(request, "source", false, 1, SOURCE_MAX, &request->text[0], err);
	if (status == AUT_OK)
		status =
			aut__api_query_text(request, "key", false, 0, EVENT_KEY_MAX, &request->text[1], err);
	if (status == AUT_OK)
		status = aut__api_keep(request, aut__api_query(request, "state"), &request->text[2], err);
	return status;
}

aut_status
aut__api_event_list(aut_api_request *request, aut_db *db, aut_error *err)
{
	aut_event_wanted wanted = {request->text[0], request->text[1], request->text[2]};

	(void) db;
	return aut_service_event_list(&request->call, &wanted, request->limit, request->cursor,
								  &request->result, err);
}

aut_status
aut__api_event_get(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return aut_service_event_get(&request->call, &request->id, &request->result, err);
}

aut_status
aut__api_event_replay(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return aut_service_event_replay(&request->call, cache_of(request->api), &request->id,
									&request->result, err);
}

aut_status
aut__api_event_test_filter(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return aut_service_event_test_filter(&request->call, request->body, &request->result, err);
}
