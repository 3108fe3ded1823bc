/* SPDX-License-Identifier: MIT */
/*
 * core/api/automations.c - routes under /v1 that concern automations.
 *
 * Each is one call of core/service and its HTTP clothes; no rule lives here.  The one addition, a
 * filter of the list by name, is for the command line, which lets people name what they mean.
 */
#include <ctype.h>
#include <string.h>

#include "core/api/api_internal.h"

#define FILE_NAME_MAX 3000

aut_status
aut__api_body_begin(aut_api_request *request, aut_error *err)
{
	return aut__api_read_body(request, false, err);
}

aut_status
aut__api_automation_create(aut_api_request *request, aut_db *db, aut_error *err)
{
	bool existing = false;
	aut_status status;

	(void) db;
	status = aut_service_automation_create(&request->call, request->body, &request->result,
										   &existing, err);
	if (status == AUT_OK)
		request->code = existing ? 200 : 201;
	return status;
}

static aut_status
preset_create(aut_api_request *request, aut_preset preset, aut_error *err)
{
	bool existing = false;
	aut_status status = aut_service_preset_create(&request->call, preset, request->body,
												  &request->result, &existing, err);

	if (status == AUT_OK)
		request->code = existing ? 200 : 201;
	return status;
}

aut_status
aut__api_preset_prompt(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return preset_create(request, AUT_PRESET_PROMPT, err);
}

aut_status
aut__api_preset_plugin(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return preset_create(request, AUT_PRESET_PLUGIN, err);
}

aut_status
aut__api_capabilities(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return aut_service_capabilities(&request->call, &request->result, err);
}

aut_status
aut__api_validate(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return aut_service_validate(&request->call, request->body, &request->result, err);
}

aut_status
aut__api_automation_list_begin(aut_api_request *request, aut_error *err)
{
	static const char *const words[] = {"me", "others", NULL};
	aut_status status;
	int word = -1;

	status = aut__api_query_word(request, "created_by", words, "literal_error", &word, err);
	request->created_by = word == 0   ? AUT_CREATED_BY_ME
						  : word == 1 ? AUT_CREATED_BY_OTHERS
									  : AUT_CREATED_BY_ANY;
	if (status == AUT_OK)
		status = aut__api_query_text(request, "name", false, 1, 500, &request->text[0], err);
	return status;
}

/* {automations, total} of all that bear one name (there may be several). */
static aut_status
list_by_name(aut_api_request *request, aut_db *db, aut_error *err)
{
	aut_automation_list list = {0};
	json_t *items = NULL, *out = NULL;
	aut_status status;
	bool ok;

	status = aut_store_automation_by_name(db, &request->who->org_id, request->text[0], &list, err);
	if (status != AUT_OK)
		goto out;
	items = json_array();
	ok = items != NULL;
	for (size_t i = 0; ok && i < list.count; i++)
		ok = json_array_append_new(items, aut_automation_json(&list.items[i])) == 0;
	out = json_object();
	ok = ok && aut_json_set(out, "automations", json_incref(items)) &&
		 aut_json_set(out, "total", json_integer((json_int_t) list.count)) &&
		 aut_json_set(out, "next_cursor", json_null());
	if (!ok)
	{
		status = aut_fail(err, AUT_ENOMEM, "out of memory");
		goto out;
	}
	request->result = out;
	out = NULL;
out:
	json_decref(out);
	json_decref(items);
	aut_automation_list_done(&list);
	return status;
}

aut_status
aut__api_automation_list(aut_api_request *request, aut_db *db, aut_error *err)
{
	if (request->text[0] != NULL)
		return list_by_name(request, db, err);
	if (request->cursor != NULL)
		return aut_service_automation_list_from(&request->call, request->created_by, request->limit,
												request->cursor, &request->result, err);
	return aut_service_automation_list(&request->call, request->created_by, request->limit,
									   request->offset, &request->result, err);
}

aut_status
aut__api_automation_get(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return aut_service_automation_get(&request->call, &request->id, &request->result, err);
}

aut_status
aut__api_automation_update(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return aut_service_automation_update(&request->call, &request->id, request->body,
										 &request->result, err);
}

aut_status
aut__api_automation_delete(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return aut_service_automation_delete(&request->call, &request->id, err);
}

/* ---- tarball --------------------------------------------------------------------------------- */

aut_status
aut__api_automation_tarball(aut_api_request *request, aut_db *db, aut_error *err)
{
	(void) db;
	return aut_service_automation_tarball(&request->call, &request->id, &request->rows,
										  &request->name, &request->url, err);
}

/*
 * attachment; filename="<name>.tar": control characters, quotes and slashes go.  A header is ASCII, so
 * a name beyond it gets a stripped filename and, as filename*, the whole one.
 */
static void
disposition(const char *name, aut_buf *out)
{
	aut_buf plain, clean;
	bool ascii = true, blank = false;

	aut_buf_init(&plain, FILE_NAME_MAX);
	aut_buf_init(&clean, FILE_NAME_MAX);
	for (const char *p = name; *p != '\0'; p++)
	{
		unsigned char c = (unsigned char) *p;

		if (c < 0x20 || c == 0x7f || c == '"' || c == '/' || c == '\\')
			continue;
		aut_buf_putc(&clean, *p);
		if (c >= 0x80)
			ascii = false;
		else if (c == ' ')
			blank = plain.len > 0;
		else
		{
			if (blank)
				aut_buf_putc(&plain, ' ');
			blank = false;
			aut_buf_putc(&plain, *p);
		}
	}
	if (ascii)
		aut_buf_printf(out, "attachment; filename=\"%s.tar\"", clean.len > 0 ? clean.data : "");
	else
	{
		aut_buf_printf(out, "attachment; filename=\"%s.tar\"; filename*=UTF-8''",
					   plain.len > 0 ? plain.data : "automation");
		aut_url_encode(out, clean.data, clean.len, "");
		aut_buf_puts(out, ".tar");
	}
	if (plain.status != AUT_OK || clean.status != AUT_OK)
		aut_buf_clear(out);
	aut_buf_done(&plain);
	aut_buf_done(&clean);
}

void
aut__api_automation_tarball_send(aut_api_request *request, const void *data, size_t len)
{
	aut_buf header;

	aut_buf_init(&header, 4 * FILE_NAME_MAX);
	disposition(request->name != NULL ? request->name : "automation", &header);
	if (header.status == AUT_OK && header.len > 0)
		(void) aut_exchange_add_header(request->exchange, "Content-Disposition", header.data);
	aut_buf_done(&header);
	aut__api_reply(request->api, request->exchange, 200, "application/x-tar", data, len);
}

void
aut__api_automation_tarball_answer(aut_api_request *request)
{
	const aut_value *data;

	if (request->url != NULL)
	{
		(void) aut_exchange_add_header(request->exchange, "Location", request->url);
		aut__api_reply(request->api, request->exchange, 302, NULL, NULL, 0);
		return;
	}
	data = aut_rows_at(&request->rows, 0, 0);
	aut__api_automation_tarball_send(request, data->data, data->len);
}
