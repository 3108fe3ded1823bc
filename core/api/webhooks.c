/* SPDX-License-Identifier: MIT */
/*
 * core/api/webhooks.c - routes under /v1/webhooks, and what forwarders of built-in sources ask.
 *
 * The latter comes without an identity: its signature is judged by the service, from a header that is kept
 * here because the client may have gone by then.
 */
#include <strings.h>

#include "automation/event.h"
#include "core/api/api_internal.h"

aut_status
aut__api_webhook_create(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return aut_service_webhook_create(&request->call, request->body, &request->result, err);
}

aut_status
aut__api_webhook_list(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	if (request->cursor != NULL)
		return aut_service_webhook_list_from(&request->call, request->limit, request->cursor,
											 &request->result, err);
	return aut_service_webhook_list(&request->call, request->limit, request->offset,
									&request->result, err);
}

aut_status
aut__api_webhook_get(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return aut_service_webhook_get(&request->call, &request->id, &request->result, err);
}

aut_status
aut__api_webhook_update(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return aut_service_webhook_update(&request->call, &request->id, request->body, &request->result,
									  err);
}

aut_status
aut__api_webhook_delete(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return aut_service_webhook_delete(&request->call, &request->id, err);
}

aut_status
aut__api_webhook_rotate(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return aut_service_webhook_rotate(&request->call, &request->id, &request->result, err);
}

/* text[0] is the source, text[1] the signature. */
aut_status
aut__api_requested_types_begin(aut_api_request *request, aut_error *err)
{
	return aut__api_keep(request,
						 aut_exchange_header(request->exchange, AUT_SIGNATURE_HEADER_BUILTIN),
						 &request->text[1], err);
}

static const char *
kept_header(void *payload, const char *name)
{
	const aut_api_request *request = payload;

	return strcasecmp(name, AUT_SIGNATURE_HEADER_BUILTIN) == 0 ? request->text[1] : NULL;
}

aut_status
aut__api_requested_types(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return aut_service_requested_types(&request->call, request->word, kept_header, request,
									   &request->result, err);
}
