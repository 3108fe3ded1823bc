/* SPDX-License-Identifier: MIT */
/*
 * core/service/uploads.c - tarballs that people bring.
 *
 * Their bytes are kept in the database, in the transaction of the record; or, where the setting file_store
 * says so and the door can do that, outside of it: then the record is UPLOADING until the door has written
 * the object and tells so.  What the service makes itself, and what comes by SQL, is always in the database.
 *
 * An upload belongs to a user within an organization; nobody else sees it.  The bytes are kept as they
 * came, not looked into.  One that was longer than AUT_UPLOAD_MAX is kept as a FAILED record without
 * content: that is what the contract answers when the end of a stream only shows while it is read.
 * Deleting is soft and does not ask whether an automation still uses the tarball.
 */
#include <string.h>

#include "automation/object.h"
#include "core/service/internal.h"

/* A writer that has not told the end by then never will. */
#define GIVEN_UP_AFTER_S 900

/* The texts of an upload stand in the query. */
static aut_status
texts_check(aut_call *call, const char *name, const char *description, aut_error *err)
{
	aut__problems problems = {0};
	json_t *query = json_object();
	const char *text = NULL;
	bool good = query != NULL;

	if (name != NULL)
		good = good && aut_json_set(query, "name", json_string(name));
	if (description != NULL)
		good = good && aut_json_set(query, "description", json_string(description));
	if (!good)
	{
		json_decref(query);
		/* a text that jansson does not take is not UTF-8 */
		if ((name != NULL && !aut_utf8_valid(name, strlen(name))) ||
			(description != NULL && !aut_utf8_valid(description, strlen(description))))
			return aut_fail(err, AUT_EINVAL, "name and description must be valid UTF-8");
		return aut_fail(err, AUT_ENOMEM, "out of memory for an upload");
	}
	(void) aut__read_text(&problems, &AUT__QUERY, query,
						  &(aut__rule){.name = "name", .required = true, .min = 1, .max = 255},
						  &text);
	(void) aut__read_text(&problems, &AUT__QUERY, query,
						  &(aut__rule){.name = "description", .max = 2000}, &text);
	json_decref(query);
	return aut__problems_status(&problems, &call->problems, err);
}

/* The caller's own upload that is not deleted, else ENOTFOUND. */
static aut_status
load(const aut_call *call, const aut_uuid *id, aut_upload_list *out, aut_error *err)
{
	const aut_identity *who = call->who;
	aut_status status = aut_store_upload_get(call->db, id, out, err);

	if (status == AUT_OK && (!aut_uuid_equal(&out->items[0].org_id, &who->org_id) ||
							 !aut_uuid_equal(&out->items[0].user_id, &who->user_id) ||
							 out->items[0].deleted_at != AUT_TIME_NONE))
		status = AUT_ENOTFOUND;
	if (status == AUT_ENOTFOUND)
		return aut_fail(err, AUT_ENOTFOUND, "Upload not found");
	return status;
}

aut_status
aut_service_upload_create(aut_call *call, const char *name, const char *description,
						  const void *data, size_t len, bool too_long, json_t **out, aut_error *err)
{
	char message[80] = "";
	bool failed = too_long || len > AUT_UPLOAD_MAX;
	bool outside =
		call->may_store && !failed && strcmp(call->settings->file_store, AUT_STORE_DATABASE) != 0;
	aut_upload upload = {
		.org_id = call->who->org_id,
		.user_id = call->who->user_id,
		.name = name,
		.description = description,
		.status = failed    ? "FAILED"
				  : outside ? "UPLOADING"
							: "COMPLETED",
		.error_message = failed ? message : NULL,
		.size_bytes = failed ? -1 : (int64_t) len,
		.created_at = call->now_us,
		.updated_at = call->now_us,
		.deleted_at = AUT_TIME_NONE,
		.store = outside ? call->settings->file_store : NULL,
		.object_due_at = call->now_us + GIVEN_UP_AFTER_S * AUT_US_PER_S,
	};
	aut_status status = aut__may_view(call, err);

	(void) snprintf(message, sizeof message, "The upload is larger than %d bytes", AUT_UPLOAD_MAX);
	if (status == AUT_OK)
		status = texts_check(call, name, description, err);
	if (status == AUT_OK)
		status = aut_uuid_v4(&upload.id, err);
	/* an empty body is content too */
	if (status == AUT_OK)
		status = aut_store_upload_insert(call->db, &upload,
										 failed || outside ? NULL
										 : len > 0         ? data
														   : "",
										 failed || outside ? 0 : len, err);
	if (status == AUT_OK && outside)
		aut__object_ref(&upload, &call->object);
	if (status == AUT_OK)
		status = aut__give(aut__upload_json(&upload), out, err);
	return status;
}

void
aut__object_ref(const aut_upload *upload, aut_object_ref *out)
{
	char name[AUT_OBJECT_NAME_MAX];

	out->upload_id = upload->id;
	out->size = upload->size_bytes;
	(void) snprintf(out->store, sizeof out->store, "%s", upload->store);
	(void) snprintf(out->name, sizeof out->name, "%s",
					aut_object_name(&upload->org_id, &upload->user_id, &upload->id, name));
}

aut_status
aut_service_upload_place(aut_db *db, const aut_uuid *id, aut_object_ref *out, aut_error *err)
{
	aut_upload_list list = {0};
	const aut_upload *upload;
	aut_status status = aut_store_upload_get(db, id, &list, err);

	if (status != AUT_OK)
		return status;
	upload = &list.items[0];
	if (strcmp(upload->store, AUT_STORE_DATABASE) == 0 || upload->deleted_at != AUT_TIME_NONE ||
		strcmp(upload->status, "COMPLETED") != 0)
		status = aut_fail(err, AUT_ENOTFOUND, "the upload has no content");
	else
		aut__object_ref(upload, out);
	aut_upload_list_done(&list);
	return status;
}

aut_status
aut_service_upload_settle(aut_call *call, const aut_object_ref *object, const char *message,
						  json_t **out, aut_error *err)
{
	aut_upload_list list = {0};
	aut_status status = aut_store_upload_settle(call->db, &object->upload_id, message, object->size,
												call->now_us, err);

	if (status == AUT_OK)
		status = aut_store_upload_get(call->db, &object->upload_id, &list, err);
	if (status == AUT_OK && list.items[0].object_due_at != AUT_TIME_NONE)
		call->effects |= AUT_EFFECT_OBJECT;
	if (status == AUT_OK)
		status = aut__give(aut__upload_json(&list.items[0]), out, err);
	aut_upload_list_done(&list);
	return status;
}

/* Up to limit of the rows; total below 0: not counted. */
static json_t *
list_json(const aut_upload_list *list, int64_t limit, int64_t total)
{
	json_t *items = json_array();
	size_t count = list->count > (size_t) limit ? (size_t) limit : list->count;
	const aut_upload *last = count < list->count ? &list->items[count - 1] : NULL;
	bool good = items != NULL;

	for (size_t i = 0; good && i < count; i++)
		good = json_array_append_new(items, aut__upload_json(&list->items[i])) == 0;
	if (!good)
	{
		json_decref(items);
		items = NULL;
	}
	return aut__page_json("uploads", items, total,
						  last != NULL ? aut__cursor_json('u', last->created_at, &last->id)
									   : json_null());
}

static aut_status
status_check(aut_call *call, const char *wanted, aut_error *err)
{
	static const char *const words[] = {"UPLOADING", "COMPLETED", "FAILED", NULL};
	aut__problems problems = {0};
	const char *word = NULL;
	json_t *query;

	if (wanted == NULL)
		return AUT_OK;
	query = json_pack("{s:o}", "status", aut_json_text_or_null(wanted));
	if (query == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for a list of uploads");
	(void) aut__read_word(&problems, &AUT__QUERY, query, &(aut__rule){.name = "status"}, words,
						  &word);
	json_decref(query);
	return aut__problems_status(&problems, &call->problems, err);
}

static aut_status
list_page(aut_call *call, const char *wanted, const aut__page *page, json_t **out, aut_error *err)
{
	const aut_identity *who = call->who;
	int64_t more = 0;
	aut_upload_list list = {0};
	bool behind = page->cursor != NULL && page->cursor[0] != '\0';
	int64_t total = -1;
	aut_row_place after;
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK)
		status = aut__page_check(call, page->limit, page->offset, err);
	if (status == AUT_OK)
		status = status_check(call, wanted, err);
	if (status == AUT_OK)
		more = page->limit + AUT__PAGE_MORE;
	if (status == AUT_OK && behind)
		status = aut__cursor_read(call, 'u', page->cursor, &after, err);
	if (status == AUT_OK && behind)
		status = aut_store_upload_list_after(call->db, &who->org_id, &who->user_id, wanted, &after,
											 more, &list, err);
	else if (status == AUT_OK)
		status =
			aut_store_upload_list(call->db, &who->org_id, &who->user_id, wanted, more, page->offset,
								  &list, page->cursor == NULL ? &total : NULL, err);
	if (status == AUT_OK)
		status = aut__give(list_json(&list, page->limit, total), out, err);
	aut_upload_list_done(&list);
	return status;
}

aut_status
aut_service_upload_list(aut_call *call, const char *status_wanted, int64_t limit, int64_t offset,
						json_t **out, aut_error *err)
{
	return list_page(call, status_wanted, &(aut__page){limit, offset, NULL}, out, err);
}

aut_status
aut_service_upload_list_from(aut_call *call, const char *status_wanted, int64_t limit,
							 const char *cursor, json_t **out, aut_error *err)
{
	return list_page(call, status_wanted, &(aut__page){limit, 0, cursor}, out, err);
}

aut_status
aut_service_upload_get(aut_call *call, const aut_uuid *id, json_t **out, aut_error *err)
{
	aut_upload_list list = {0};
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK)
		status = load(call, id, &list, err);
	if (status == AUT_OK)
		status = aut__give(aut__upload_json(&list.items[0]), out, err);
	aut_upload_list_done(&list);
	return status;
}

aut_status
aut_service_upload_delete(aut_call *call, const aut_uuid *id, aut_error *err)
{
	aut_upload_list list = {0};
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK)
		status = load(call, id, &list, err);
	if (status == AUT_OK)
		status = aut_store_upload_delete(call->db, id, call->now_us, err);
	if (status == AUT_OK && strcmp(list.items[0].store, AUT_STORE_DATABASE) != 0)
		call->effects |= AUT_EFFECT_OBJECT;
	aut_upload_list_done(&list);
	return status;
}
