/* SPDX-License-Identifier: MIT */
/*
 * core/api/uploads.c - routes under /v1/uploads: tarballs that people keep here.
 *
 * A body that announces more than the limit is refused (413); one that turns out longer while it
 * comes (chunked) is kept as a FAILED upload, as the contract has it.  The content is not looked at.
 */
#include <string.h>
#include <strings.h>

#include "core/api/api_internal.h"

/* Media type before ';' in the list of what tarballs come as. */
static bool
tarball_content(const aut_exchange *exchange)
{
	static const char *const known[] = {"application/x-tar",        "application/x-gzip",
										"application/gzip",         "application/x-compressed-tar",
										"application/octet-stream", NULL};
	const char *type = aut_exchange_header(exchange, "Content-Type");
	size_t len;

	if (type == NULL)
		return false;
	type += strspn(type, " \t");
	len = strcspn(type, "; \t");
	for (size_t i = 0; known[i] != NULL; i++)
	{
		if (strlen(known[i]) == len && strncasecmp(known[i], type, len) == 0)
			return true;
	}
	return false;
}

/* Does Content-Length announce more than may be kept? */
static bool
announced_too_long(const aut_exchange *exchange)
{
	const char *length = aut_exchange_header(exchange, "Content-Length");
	int64_t value;

	return length != NULL &&
		   (!aut_int_parse(length, 0, INT64_MAX, &value) || value > AUT_UPLOAD_MAX);
}

aut_status
aut__api_upload_create_begin(aut_api_request *request, aut_error *err)
{
	const void *body;
	aut_status status;
	void *copy;

	status = aut__api_query_text(request, "name", true, 1, 255, &request->text[0], err);
	if (status == AUT_OK)
		status =
			aut__api_query_text(request, "description", false, 0, 2000, &request->text[1], err);
	if (status != AUT_OK || request->problems != NULL)
		return status;
	if (!tarball_content(request->exchange))
		return aut_fail(err, AUT_EMEDIA,
						"Content-Type must be one of application/x-tar, application/x-gzip, "
						"application/gzip, application/x-compressed-tar, application/octet-stream");
	if (announced_too_long(request->exchange))
		return aut_fail(err, AUT_ELIMIT, "Upload is larger than %d bytes", AUT_UPLOAD_MAX);
	if (request->api->storing_count >= AUT_API_STORING_MAX)
		return aut_fail(err, AUT_EUNAVAILABLE, "Too many uploads are being stored; try again");
	body = aut_exchange_body(request->exchange, &request->data_len);
	request->flag = aut_exchange_body_too_long(request->exchange);
	if (request->flag)
		request->data_len = 0; /* a part is of no use to anybody */
	/* the exchange may go before the unit runs */
	copy = aut_arena_alloc(&request->arena, request->data_len > 0 ? request->data_len : 1);
	if (copy == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	if (request->data_len > 0)
		memcpy(copy, body, request->data_len);
	request->data = copy;
	return AUT_OK;
}

aut_status
aut__api_upload_create(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return aut_service_upload_create(&request->call, request->text[0], request->text[1],
									 request->data, request->data_len, request->flag,
									 &request->result, err);
}

aut_status
aut__api_upload_list_begin(aut_api_request *request, aut_error *err)
{
	static const char *const words[] = {"UPLOADING", "COMPLETED", "FAILED", NULL};
	aut_status status;
	int word;

	status = aut__api_query_word(request, "status", words, "enum", &word, err);
	request->text[0] = status == AUT_OK && word >= 0 ? words[word] : NULL;
	return status;
}

aut_status
aut__api_upload_list(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	if (request->cursor != NULL)
		return aut_service_upload_list_from(&request->call, request->text[0], request->limit,
											request->cursor, &request->result, err);
	return aut_service_upload_list(&request->call, request->text[0], request->limit,
								   request->offset, &request->result, err);
}

aut_status
aut__api_upload_get(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return aut_service_upload_get(&request->call, &request->id, &request->result, err);
}

aut_status
aut__api_upload_delete(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return aut_service_upload_delete(&request->call, &request->id, err);
}
