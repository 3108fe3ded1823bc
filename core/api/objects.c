/* SPDX-License-Identifier: MIT */
/*
 * core/api/objects.c - requests that write or read an object outside of the database.
 *
 *   upload:    unit (record: UPLOADING) ─▶ object written ─▶ unit (COMPLETED or FAILED) ─▶ answer
 *   tarball:   unit (where is it?) ─▶ object read ─▶ answer
 *
 * No transaction is open while an object is under way.  A request that waits for one is counted like a
 * unit, so that the API stays for it; when the API ends first, the call is cancelled, and what the record
 * then says (UPLOADING) is seen to by the engine.  A client that goes away changes nothing for an upload.
 */
#include "core/api/api_internal.h"

static aut_status
objects_open(aut_api *api, aut_error *err)
{
	aut_http_client *http;

	if (api->objects != NULL)
		return AUT_OK;
	http = aut__api_upstream_http(api, err);
	return http != NULL
			   ? aut_objects_new(api->loop, http, api->settings, api->clock, &api->objects, err)
			   : AUT_EUNAVAILABLE;
}

static void
storing_begin(aut_api_request *request)
{
	aut_api *api = request->api;

	request->object = request->call.object;
	request->storing_next = api->storing;
	request->storing_link = &api->storing;
	if (api->storing != NULL)
		api->storing->storing_link = &request->storing_next;
	api->storing = request;
	api->storing_count++;
}

static void
storing_end(aut_api_request *request)
{
	*request->storing_link = request->storing_next;
	if (request->storing_next != NULL)
		request->storing_next->storing_link = request->storing_link;
	request->api->storing_count--;
	request->object_call = NULL;
}

/* The request is through; what it holds of the API is given back. */
static void
request_end(aut_api_request *request)
{
	aut_api *api = request->api;

	aut__api_request_free(request);
	aut__api_unit_done(api);
}

void
aut__api_objects_free(aut_api *api)
{
	while (api->storing != NULL)
	{
		aut_api_request *request = api->storing;

		aut_object_cancel(request->object_call);
		storing_end(request);
		aut__api_request_free(request);
		api->units--; /* who frees the API looks at the count afterwards */
	}
	aut_objects_free(api->objects);
	api->objects = NULL;
}

/* ---- an upload ----------------------------------------------------------------------------- */

static aut_status
settle(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return aut_service_upload_settle(&request->call, &request->object, request->object_trouble,
									 &request->result, err);
}

/* The second unit; the first one's place in the count of units is its. */
static void
put_done(void *payload, aut_status status, const void *data, size_t len, const aut_error *error)
{
	aut_api_request *request = payload;

	(void) data;
	(void) len;
	storing_end(request);
	request->next = settle;
	if (status != AUT_OK)
	{
		aut_log(AUT_LOG_WARNING, "an upload was not stored: %s", error->message);
		request->object_trouble = aut_printf("The upload could not be stored: %s", error->message);
	}
	if (status != AUT_OK && request->object_trouble == NULL)
	{
		/* no memory even for the reason: the record is given up later, and the client told so much */
		if (request->exchange != NULL)
			aut__api_reply_detail(request->api, request->exchange, 503, "out of memory");
		request_end(request);
		return;
	}
	aut_turn_add(request->api->turn, &request->unit);
	aut_loop_wake(request->api->loop);
}

bool
aut__api_upload_after(aut_api_request *request)
{
	aut_api *api = request->api;
	aut_error err = AUT_ERROR_INIT;
	aut_status status;

	if (request->call.object.store[0] == '\0')
		return false;
	storing_begin(request);
	status = objects_open(api, &err);
	if (status == AUT_OK)
		status =
			aut_object_put(api->objects, request->object.store, request->object.name, request->data,
						   request->data_len, put_done, request, &request->object_call, &err);
	if (status != AUT_OK)
		put_done(request, status, NULL, 0, &err);
	return true;
}

/* ---- a tarball ------------------------------------------------------------------------------- */

static void
got(void *payload, aut_status status, const void *data, size_t len, const aut_error *error)
{
	aut_api_request *request = payload;
	aut_api *api = request->api;
	aut_error err = AUT_ERROR_INIT;

	storing_end(request);
	if (status == AUT_OK && len != (size_t) request->object.size)
		status =
			aut_fail(&err, AUT_ECORRUPT, "the object of an upload has %zu bytes in place of %lld",
					 len, (long long) request->object.size);
	else if (status != AUT_OK)
		err = *error;
	if (status != AUT_OK)
		aut_log(AUT_LOG_WARNING, "a tarball cannot be read: %s", err.message);
	if (request->exchange == NULL)
		; /* the client has gone */
	else if (status == AUT_OK)
		aut__api_automation_tarball_send(request, data, len);
	else if (status == AUT_ENOTFOUND)
		aut__api_reply_detail(api, request->exchange, 404,
							  "The tarball of this automation is gone");
	else
		aut__api_reply_detail(api, request->exchange, 500,
							  "The tarball of this automation cannot be read now");
	request_end(request);
}

bool
aut__api_automation_tarball_after(aut_api_request *request)
{
	aut_api *api = request->api;
	aut_error err = AUT_ERROR_INIT;
	aut_status status;

	if (request->call.object.store[0] == '\0')
		return false;
	storing_begin(request);
	status = objects_open(api, &err);
	if (status == AUT_OK)
		status = aut_object_get(api->objects, request->object.store, request->object.name,
								AUT_UPLOAD_MAX, got, request, &request->object_call, &err);
	if (status != AUT_OK)
		got(request, status, NULL, 0, &err);
	return true;
}
