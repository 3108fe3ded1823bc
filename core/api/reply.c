/* SPDX-License-Identifier: MIT */
/*
 * core/api/reply.c - answers: JSON bodies, and errors in the contract's shapes.
 *
 * An error becomes {"detail": text}, or {"detail": [problems]} when it is one of validation, with the
 * HTTP status of its kind.  What is nobody's fault outside (500) says nothing about itself to the
 * client: plain text, and the story goes to the log.  Every answer but a 500 gets its CORS headers here.
 */
#include <string.h>

#include "core/api/api_internal.h"

static const char no_memory[] = "{\"detail\":\"out of memory\"}";
static const char internal[] = "Internal Server Error";

void
aut__api_reply(aut_api *api, aut_exchange *exchange, int code, const char *content_type,
			   const void *body, size_t len)
{
	if (code != 500)
		aut__api_cors(api, exchange);
	/* what a run printed, or a tarball holds, is never a page or a script */
	(void) aut_exchange_add_header(exchange, "X-Content-Type-Options", "nosniff");
	aut_exchange_reply(exchange, code, content_type, body, len);
}

void
aut__api_reply_json(aut_api *api, aut_exchange *exchange, int code, json_t *take_value)
{
	size_t len = 0;
	char *text = aut_json_text(take_value, &len);

	if (text != NULL)
		aut__api_reply(api, exchange, code, "application/json", text, len);
	else
		aut__api_reply(api, exchange, 503, "application/json", no_memory, sizeof no_memory - 1);
	aut_free(text);
	json_decref(take_value);
}

void
aut__api_reply_detail(aut_api *api, aut_exchange *exchange, int code, const char *text)
{
	json_t *body = json_object();

	if (!aut_json_set(body, "detail", aut_json_text_or_null(text)))
	{
		json_decref(body);
		body = NULL;
	}
	aut__api_reply_json(api, exchange, code, body);
}

void
aut__api_reply_error(aut_api *api, aut_exchange *exchange, aut_status status, const aut_error *err,
					 json_t *problems)
{
	const char *message = err->message[0] != '\0' ? err->message : aut_status_text(status);
	int code = aut_status_http(status);
	json_t *body;

	if (code == 500)
	{
		aut_log(AUT_LOG_ERROR, "%s %s: %s", aut_exchange_method(exchange),
				aut_exchange_raw_path(exchange), message);
		aut__api_reply(api, exchange, 500, "text/plain; charset=utf-8", internal,
					   sizeof internal - 1);
		return;
	}
	if (code == 503)
		(void) aut_exchange_add_header(exchange, "Retry-After", "1");
	if (code == 401)
		(void) aut_exchange_add_header(exchange, "WWW-Authenticate", "Bearer");
	if (problems == NULL || json_array_size(problems) == 0)
	{
		aut__api_reply_detail(api, exchange, code, message);
		return;
	}
	body = json_object();
	if (!aut_json_set(body, "detail", json_incref(problems)))
	{
		json_decref(body);
		body = NULL;
	}
	aut__api_reply_json(api, exchange, code, body);
}
