/* SPDX-License-Identifier: MIT */
/*
 * core/object/objects.c - which store an operation goes to, and the life of an operation.
 *
 * A folder answers at once; its answer is kept and told in a later round, as everywhere in net.  A
 * bucket's answer is that of an HTTP request.
 */
#include <stdio.h>
#include <string.h>

#include "core/object/object_internal.h"

/* ---- life ---------------------------------------------------------------------------------- */

aut_status
aut_objects_new(aut_loop *loop, aut_http_client *http, const aut_settings *settings,
				const aut_clock *clock, aut_objects **out, aut_error *err)
{
	aut_objects *objects = aut_calloc(1, sizeof *objects);

	if (objects == NULL)
		return aut_fail(err, AUT_ENOMEM, "no memory for object storage");
	objects->loop = loop;
	objects->http = http;
	objects->settings = settings;
	objects->clock = clock;
	*out = objects;
	return AUT_OK;
}

void
aut_objects_free(aut_objects *objects)
{
	if (objects == NULL)
		return;
	while (objects->calls != NULL)
		aut_object_cancel(objects->calls);
	aut_free(objects);
}

aut_object_call *
aut__object_begin(aut_objects *objects, aut__verb verb, aut_object_cb cb, void *payload)
{
	aut_object_call *call = aut_calloc(1, sizeof *call);

	if (call == NULL)
		return NULL;
	call->objects = objects;
	call->verb = verb;
	call->cb = cb;
	call->payload = payload;
	call->next = objects->calls;
	call->link = &objects->calls;
	if (call->next != NULL)
		call->next->link = &call->next;
	objects->calls = call;
	return call;
}

/* Cancelling, and the end of every call. */
void
aut_object_cancel(aut_object_call *call)
{
	if (call == NULL)
		return;
	*call->link = call->next;
	if (call->next != NULL)
		call->next->link = call->link;
	if (call->http != NULL)
		aut_http_cancel(call->http);
	aut_timer_free(call->timer);
	aut_free(call->data);
	aut_free(call);
}

void
aut__object_end(aut_object_call *call, aut_status status, const void *data, size_t len,
				const aut_error *error)
{
	char *kept = call->data;
	aut_object_cb cb = call->cb;
	void *payload = call->payload;

	call->data = NULL; /* it may be what is told */
	aut_object_cancel(call);
	cb(payload, status, data, len, error);
	aut_free(kept);
}

const char *
aut_object_name(const aut_uuid *org_id, const aut_uuid *user_id, const aut_uuid *upload_id,
				char out[AUT_OBJECT_NAME_MAX])
{
	char org[AUT_UUID_TEXT_MAX], user[AUT_UUID_TEXT_MAX], upload[AUT_UUID_TEXT_MAX];

	(void) snprintf(out, AUT_OBJECT_NAME_MAX, "automation/uploads/%s/%s/%s.tar",
					aut_uuid_format(org_id, org), aut_uuid_format(user_id, user),
					aut_uuid_format(upload_id, upload));
	return out;
}

/* ---- a folder ------------------------------------------------------------------------------ */

static void
folder_told(void *payload)
{
	aut_object_call *call = payload;
	aut_error error = call->error;

	aut__object_end(call, call->status, call->data, call->len, &error);
}

static aut_status
folder_do(aut_object_call *call, const char *name, const void *data, size_t len, size_t max,
		  aut_error *err)
{
	char *root = NULL;
	aut_status status = aut_timer_new(call->objects->loop, folder_told, call, &call->timer, err);

	if (status == AUT_OK)
		status = aut__folder_root(call->objects->settings, &root, err);
	if (status != AUT_OK)
		return status;
	switch (call->verb)
	{
		case AUT__PUT:
			call->status = aut__folder_put(root, name, data, len, &call->error);
			break;
		case AUT__GET:
			call->status = aut__folder_get(root, name, max, &call->data, &call->len, &call->error);
			break;
		case AUT__DELETE:
			call->status = aut__folder_delete(root, name, &call->error);
			break;
	}
	aut_free(root);
	aut_timer_set(call->timer, 0);
	return AUT_OK;
}

/* ---- any store ------------------------------------------------------------------------------- */

static aut_status
bucket_do(aut_object_call *call, bool gcs, const char *name, const void *data, size_t len,
		  size_t max, aut_error *err)
{
	aut__bucket bucket = {0};
	aut_status status = aut__bucket_init(call->objects->settings, gcs, NULL, &bucket, err);

	if (status == AUT_OK)
		status = aut__bucket_send(call, &bucket, name, data, len, max, AUT_OBJECT_TIMEOUT_MS, err);
	aut__bucket_done(&bucket);
	return status;
}

static aut_status
start(aut_objects *objects, aut__verb verb, const char *store, const char *name, const void *data,
	  size_t len, size_t max, aut_object_cb cb, void *payload, aut_object_call **out_call,
	  aut_error *err)
{
	aut_object_call *call = aut__object_begin(objects, verb, cb, payload);
	aut_status status;

	if (call == NULL)
		return aut_fail(err, AUT_ENOMEM, "no memory for an object");
	if (strcmp(store, AUT_STORE_LOCAL) == 0)
		status = folder_do(call, name, data, len, max, err);
	else if (strcmp(store, AUT_STORE_S3) == 0 || strcmp(store, AUT_STORE_GCS) == 0)
		status = bucket_do(call, strcmp(store, AUT_STORE_GCS) == 0, name, data, len, max, err);
	else
		status = aut_fail(err, AUT_EUNSUPPORTED, "there is no store \"%.20s\"", store);
	if (status != AUT_OK)
		aut_object_cancel(call);
	else if (out_call != NULL)
		*out_call = call;
	return status;
}

aut_status
aut_object_put(aut_objects *objects, const char *store, const char *name, const void *lent_data,
			   size_t len, aut_object_cb cb, void *payload, aut_object_call **out_call,
			   aut_error *err)
{
	return start(objects, AUT__PUT, store, name, lent_data, len, 0, cb, payload, out_call, err);
}

aut_status
aut_object_get(aut_objects *objects, const char *store, const char *name, size_t max,
			   aut_object_cb cb, void *payload, aut_object_call **out_call, aut_error *err)
{
	return start(objects, AUT__GET, store, name, NULL, 0, max, cb, payload, out_call, err);
}

aut_status
aut_object_delete(aut_objects *objects, const char *store, const char *name, aut_object_cb cb,
				  void *payload, aut_object_call **out_call, aut_error *err)
{
	return start(objects, AUT__DELETE, store, name, NULL, 0, 0, cb, payload, out_call, err);
}

aut_status
aut_objects_check(const aut_settings *settings, aut_error *err)
{
	const char *store = settings->file_store;
	aut__bucket bucket = {0};
	char *root = NULL;
	aut_status status = AUT_OK;

	if (strcmp(store, AUT_STORE_LOCAL) == 0)
		status = aut__folder_root(settings, &root, err);
	else if (strcmp(store, AUT_STORE_DATABASE) != 0)
		status = aut__bucket_init(settings, strcmp(store, AUT_STORE_GCS) == 0, NULL, &bucket, err);
	aut__bucket_done(&bucket);
	aut_free(root);
	return status;
}
