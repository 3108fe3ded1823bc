/* SPDX-License-Identifier: MIT */
/*
 * core/service/webhooks.c - custom webhooks: sources of events of an organization's own.
 *
 * A webhook belongs to an organization, not to a person; who may view its automations sees it, who may
 * manage them changes it.  The secret is sealed before it reaches the database and leaves this file twice:
 * in the answer to whoever had it made, once, and opened for the check of a signature.
 */
#include <string.h>

#include "automation/event.h"
#include "core/service/webhook_form.h"

#define SECRET_BYTES  32
#define SECRET_PREFIX "whsec_"
#define SECRET_TEXT   (sizeof SECRET_PREFIX + (SECRET_BYTES * 4 + 2) / 3)

/* ---- secrets --------------------------------------------------------------------------------- */

/* Base64 with - and _, without padding. */
static void
url_base64(const uint8_t *bytes, size_t len, char *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

	for (size_t i = 0; i < len; i += 3)
	{
		size_t n = len - i < 3 ? len - i : 3;
		uint32_t bits = (uint32_t) bytes[i] << 16;

		bits |= n > 1 ? (uint32_t) bytes[i + 1] << 8 : 0;
		bits |= n > 2 ? (uint32_t) bytes[i + 2] : 0;
		for (size_t k = 0; k <= n; k++)
			*out++ = digits[bits >> (18 - 6 * k) & 63];
	}
	*out = '\0';
}

static aut_status
make_secret(char out[SECRET_TEXT], aut_error *err)
{
	uint8_t bytes[SECRET_BYTES];
	aut_status status = aut_random(bytes, sizeof bytes, err);

	if (status == AUT_OK)
	{
		memcpy(out, SECRET_PREFIX, sizeof SECRET_PREFIX - 1);
		url_base64(bytes, sizeof bytes, out + sizeof SECRET_PREFIX - 1);
	}
	aut_secret_clear(bytes, sizeof bytes);
	return status;
}

static aut_seal_place
place_of(const aut_uuid *id)
{
	return (aut_seal_place){"custom_webhook", "secret", id};
}

static aut_status
seal(const aut_call *call, const aut_uuid *id, const char *secret, void **out, size_t *out_len,
	 aut_error *err)
{
	aut_seal_place place = place_of(id);

	return aut_seal(call->sealer, &place, secret, strlen(secret), out, out_len, err);
}

/* ---- shapes ---------------------------------------------------------------------------------- */

/* Where deliveries are to be sent. */
static json_t *
url_json(const aut_call *call, const aut_webhook *webhook)
{
	uint16_t port = call->api_port != 0 ? call->api_port : (uint16_t) call->settings->server_port;
	char *base = aut_settings_api_url(call->settings, port);
	char org[AUT_UUID_TEXT_MAX];
	json_t *url = NULL;

	if (base != NULL)
		url = json_sprintf("%s/v1/events/%s/%s", base, aut_uuid_format(&webhook->org_id, org),
						   webhook->source);
	aut_free(base);
	return url;
}

static json_t *
webhook_json(const aut_call *call, const aut_webhook *webhook)
{
	json_t *out = json_object();
	const char *scheme =
		webhook->signature_scheme != NULL ? webhook->signature_scheme : AUT_SCHEME_HMAC_HEX;
	bool good = out != NULL;

	good = good && aut_json_set(out, "id", aut_json_uuid(&webhook->id));
	good = good && aut_json_set(out, "org_id", aut_json_uuid(&webhook->org_id));
	good = good && aut_json_set(out, "name", aut_json_text_or_null(webhook->name));
	good = good && aut_json_set(out, "source", aut_json_text_or_null(webhook->source));
	good = good && aut_json_set(out, "webhook_url", url_json(call, webhook));
	good =
		good && aut_json_set(out, "event_key_expr", aut_json_text_or_null(webhook->event_key_expr));
	good = good &&
		   aut_json_set(out, "signature_header", aut_json_text_or_null(webhook->signature_header));
	good = good && aut_json_set(out, "signature_scheme", json_string(scheme));
	good = good &&
		   aut_json_set(out, "event_id_header", aut_json_text_or_null(webhook->event_id_header));
	good = good && aut_json_set(out, "enabled", json_boolean(webhook->enabled));
	good = good && aut_json_set(out, "created_at", aut_json_time(webhook->created_at));
	good = good && aut_json_set(out, "updated_at", aut_json_time(webhook->updated_at));
	if (good)
		return out;
	json_decref(out);
	return NULL;
}

/* Up to limit of the rows; total below 0: not counted. */
static json_t *
list_json(const aut_call *call, const aut_webhook_list *list, int64_t limit, int64_t total)
{
	json_t *items = json_array();
	size_t count = list->count > (size_t) limit ? (size_t) limit : list->count;
	const aut_webhook *last = count < list->count ? &list->items[count - 1] : NULL;
	bool good = items != NULL;

	for (size_t i = 0; good && i < count; i++)
		good = json_array_append_new(items, webhook_json(call, &list->items[i])) == 0;
	if (!good)
	{
		json_decref(items);
		items = NULL;
	}
	return aut__page_json("webhooks", items, total,
						  last != NULL ? aut__cursor_json('w', last->created_at, &last->id)
									   : json_null());
}

/* ---- making ---------------------------------------------------------------------------------- */

static aut_status
insert(aut_call *call, const aut__webhook_form *form, const char *secret, aut_webhook *out,
	   aut_error *err)
{
	aut_webhook webhook = {
		.org_id = call->who->org_id,
		.owner = call->who->db_role,
		.name = form->name,
		.source = form->source,
		.event_key_expr = form->event_key_expr,
		.signature_header = form->signature_header,
		.signature_scheme = form->signature_scheme,
		.event_id_header = form->event_id_header,
		.enabled = form->enabled,
		.created_at = call->now_us,
		.updated_at = call->now_us,
	};
	void *sealed = NULL;
	aut_status status = aut_uuid_v4(&webhook.id, err);

	if (status == AUT_OK)
		status = seal(call, &webhook.id, secret, &sealed, &webhook.secret_len, err);
	webhook.secret = sealed;
	if (status == AUT_OK)
		status = aut_store_webhook_insert(call->db, &webhook, err);
	if (status == AUT_EUNIQUE)
		status = aut_fail(err, AUT_EEXISTS,
						  "A webhook with the source '%s' exists in this organization already",
						  form->source);
	if (status == AUT_OK)
	{
		webhook.secret = NULL;
		webhook.secret_len = 0;
		*out = webhook;
	}
	aut_free(sealed);
	return status;
}

aut_status
aut_service_webhook_create(aut_call *call, const json_t *body, json_t **out, aut_error *err)
{
	aut__webhook_form form = {0};
	char made[SECRET_TEXT] = "";
	aut_webhook webhook = {0};
	json_t *answer = NULL;
	aut_status status = aut__may_manage(call, err);

	if (status == AUT_OK)
		status = aut__webhook_form_create(body, &form, &call->problems, err);
	if (status == AUT_OK && form.secret == NULL)
		status = make_secret(made, err);
	if (status == AUT_OK)
		status = insert(call, &form, form.secret != NULL ? form.secret : made, &webhook, err);
	if (status == AUT_OK)
		status = aut__give(webhook_json(call, &webhook), &answer, err);
	if (status == AUT_OK && !aut_json_set(answer, "webhook_secret",
										  form.secret == NULL ? json_string(made) : json_null()))
		status = aut_fail(err, AUT_ENOMEM, "out of memory for an answer");
	if (status == AUT_OK)
		*out = answer;
	else
		json_decref(answer);
	aut_secret_clear(made, sizeof made);
	return status;
}

/* ---- reading --------------------------------------------------------------------------------- */

static aut_status
load(const aut_call *call, const aut_uuid *id, aut_webhook_list *out, aut_error *err)
{
	aut_status status = aut_store_webhook_get(call->db, &call->who->org_id, id, out, err);

	return status == AUT_ENOTFOUND ? aut_fail(err, AUT_ENOTFOUND, "Webhook not found") : status;
}

aut_status
aut_service_webhook_get(aut_call *call, const aut_uuid *id, json_t **out, aut_error *err)
{
	aut_webhook_list list = {0};
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK)
		status = load(call, id, &list, err);
	if (status == AUT_OK)
		status = aut__give(webhook_json(call, &list.items[0]), out, err);
	aut_webhook_list_done(&list);
	return status;
}

static aut_status
list_page(aut_call *call, const aut__page *page, json_t **out, aut_error *err)
{
	const aut_uuid *org = &call->who->org_id;
	aut_webhook_list list = {0};
	bool behind = page->cursor != NULL && page->cursor[0] != '\0';
	int64_t more = 0;
	int64_t total = -1;
	aut_row_place after;
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK)
		status = aut__page_check(call, page->limit, page->offset, err);
	if (status == AUT_OK)
		more = page->limit + AUT__PAGE_MORE;
	if (status == AUT_OK && behind)
		status = aut__cursor_read(call, 'w', page->cursor, &after, err);
	if (status == AUT_OK && behind)
		status = aut_store_webhook_list_after(call->db, org, &after, more, &list, err);
	else if (status == AUT_OK)
		status = aut_store_webhook_list(call->db, org, more, page->offset, &list,
										page->cursor == NULL ? &total : NULL, err);
	if (status == AUT_OK)
		status = aut__give(list_json(call, &list, page->limit, total), out, err);
	aut_webhook_list_done(&list);
	return status;
}

aut_status
aut_service_webhook_list(aut_call *call, int64_t limit, int64_t offset, json_t **out,
						 aut_error *err)
{
	return list_page(call, &(aut__page){limit, offset, NULL}, out, err);
}

aut_status
aut_service_webhook_list_from(aut_call *call, int64_t limit, const char *cursor, json_t **out,
							  aut_error *err)
{
	return list_page(call, &(aut__page){limit, 0, cursor}, out, err);
}

/* ---- changing -------------------------------------------------------------------------------- */

/* Members that a webhook cannot be without. */
static aut_status
refuse_nulls(aut_call *call, const aut__webhook_form *form, aut_error *err)
{
	const struct
	{
		unsigned bit;
		bool null;
		const char *name, *type;
	} members[] = {
		{AUT__W_NAME, form->name == NULL, "name", "string_type"},
		{AUT__W_EXPR, form->event_key_expr == NULL, "event_key_expr", "string_type"},
		{AUT__W_HEADER, form->signature_header == NULL, "signature_header", "string_type"},
		{AUT__W_ENABLED, !form->has_enabled, "enabled", "bool_type"},
	};
	aut__problems problems = {0};

	for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
	{
		aut__loc here = {&AUT__BODY, members[i].name, 0};

		if ((form->given & members[i].bit) != 0 && members[i].null)
			aut__problem(&problems, &here, members[i].type, NULL, NULL, "Input should not be null");
	}
	return aut__problems_status(&problems, &call->problems, err);
}

static void
apply(const aut__webhook_form *form, aut_webhook *webhook)
{
	if (form->name != NULL)
		webhook->name = form->name;
	if (form->event_key_expr != NULL)
		webhook->event_key_expr =
			form->event_key_expr[0] != '\0' ? form->event_key_expr : AUT_EVENT_KEY_EXPR_DEFAULT;
	if (form->signature_header != NULL)
		webhook->signature_header = form->signature_header;
	if ((form->given & AUT__W_SCHEME) != 0)
		webhook->signature_scheme = form->signature_scheme;
	if ((form->given & AUT__W_ID_HEADER) != 0)
		webhook->event_id_header = form->event_id_header;
	if (form->has_enabled)
		webhook->enabled = form->enabled;
}

aut_status
aut_service_webhook_update(aut_call *call, const aut_uuid *id, const json_t *body, json_t **out,
						   aut_error *err)
{
	aut__webhook_form form = {0};
	aut_webhook_list list = {0};
	aut_status status = aut__may_manage(call, err);

	if (status == AUT_OK)
		status = aut__webhook_form_update(body, &form, &call->problems, err);
	if (status == AUT_OK)
		status = refuse_nulls(call, &form, err);
	if (status == AUT_OK)
		status = load(call, id, &list, err);
	/* an empty body asks for nothing: not even updated_at moves */
	if (status == AUT_OK && form.given != 0)
	{
		apply(&form, &list.items[0]);
		list.items[0].updated_at = call->now_us;
		status = aut_store_webhook_update(call->db, &list.items[0], err);
	}
	if (status == AUT_OK)
		status = aut__give(webhook_json(call, &list.items[0]), out, err);
	aut_webhook_list_done(&list);
	return status;
}

aut_status
aut_service_webhook_delete(aut_call *call, const aut_uuid *id, aut_error *err)
{
	bool won = false;
	aut_status status = aut__may_manage(call, err);

	if (status == AUT_OK)
		status = aut_store_webhook_delete(call->db, &call->who->org_id, id, &won, err);
	if (status == AUT_OK && !won)
		status = aut_fail(err, AUT_ENOTFOUND, "Webhook not found");
	return status;
}

aut_status
aut_service_webhook_rotate(aut_call *call, const aut_uuid *id, json_t **out, aut_error *err)
{
	aut_webhook_list list = {0};
	char made[SECRET_TEXT] = "";
	void *sealed = NULL;
	size_t len = 0;
	aut_status status = aut__may_manage(call, err);

	if (status == AUT_OK)
		status = load(call, id, &list, err);
	if (status == AUT_OK)
		status = make_secret(made, err);
	if (status == AUT_OK)
		status = seal(call, id, made, &sealed, &len, err);
	if (status == AUT_OK)
		status = aut_store_webhook_secret(call->db, id, sealed, len, call->now_us, err);
	if (status == AUT_OK)
		status = aut__give(json_pack("{s:s}", "webhook_secret", made), out, err);
	aut_free(sealed);
	aut_secret_clear(made, sizeof made);
	aut_webhook_list_done(&list);
	return status;
}
