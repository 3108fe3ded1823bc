/* SPDX-License-Identifier: MIT */
/*
 * core/api/service_info.c - /health, /ready, /sdk-version, /server_info: for probes and for the set-up
 * scripts of runs.  No authentication; they say nothing that helps an intruder.
 *
 * `ready` asks the database a small question; the others need nothing.
 */
#include <string.h>

#include "core/api/api_internal.h"

/* One member more; NULL (no memory) stays NULL. */
static json_t *
with_text(json_t *object, const char *key, const char *text)
{
	if (object != NULL && aut_json_set(object, key, json_string(text)))
		return object;
	json_decref(object);
	return NULL;
}

void
aut__api_health(aut_api_request *request)
{
	aut__api_reply_json(request->api, request->exchange, 200,
						with_text(json_object(), "status", "ok"));
}

aut_status
aut__api_ready(aut_api_request *request, aut_db *db, aut_error *err)
{
	aut_status status;
	int64_t next;

	status = aut_store_schedule_next(db, &next, err);
	if (status != AUT_OK)
		return status;
	request->result = with_text(json_object(), "status", "ready");
	return request->result != NULL ? AUT_OK : aut_fail(err, AUT_ENOMEM, "out of memory");
}

bool
aut__api_ready_refuse(aut_api_request *request, aut_status status, const aut_error *err)
{
	json_t *body = with_text(json_object(), "status", "not_ready");

	aut_log(AUT_LOG_ERROR, "not ready: %s",
			err->message[0] != '\0' ? err->message : aut_status_text(status));
	aut__api_reply_json(request->api, request->exchange, 503,
						with_text(body, "error", "database unavailable"));
	return true;
}

void
aut__api_sdk_version(aut_api_request *request)
{
	aut__api_reply_json(request->api, request->exchange, 200,
						with_text(json_object(), "version", request->api->settings->sdk_version));
}

void
aut__api_server_info(aut_api_request *request)
{
	json_t *body = with_text(json_object(), "package_version", AUT_API_CONTRACT_VERSION);

	body = with_text(body, "sdk_version", request->api->settings->sdk_version);
	body = with_text(body, "engine_version", AUT_VERSION);
	aut__api_reply_json(request->api, request->exchange, 200, body);
}

aut_status
aut__api_sandboxes(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return aut_service_sandboxes(&request->call, &request->result, err);
}
