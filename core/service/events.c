/* SPDX-License-Identifier: MIT */
/*
 * core/service/events.c - taking events in: deliveries that a provider signed, and emissions of somebody
 * who is known.
 *
 *     source known? ── signed? ── an event? ── a key? ── candidates, verdicts ── one row, its runs
 *          404           401      400, kept    kept            all in one transaction
 *
 * Matching comes before the row is written, so that the row is written once, with what came of it.  Whether
 * the delivery was there already is told by that insert alone; then nothing else is written.
 *
 * What is refused or ignored keeps no delivery id: if it comes again, perhaps to a version or a webhook that
 * understands it, it is new.
 */
#include <string.h>

#include "automation/seal.h"
#include "automation/webhooks.h"
#include "core/service/events.h"

#define HEADER_MAX  200 /* bytes kept of a header */
#define HEADERS_MAX 8192
#define WHY_MAX     500
#define MANY        "more automations may be concerned than are looked at for one event"

/* Headers that help to find out what a delivery was.  None carries a secret. */
static const char *const kept_headers[] = {
	"Content-Type",
	"User-Agent",
	"X-GitHub-Event",
	"X-GitHub-Delivery",
	"X-GitHub-Hook-ID",
	"X-Event-Key",
	"X-Request-Id",
	"X-Request-UUID",
	"X-Atlassian-Webhook-Identifier",
	"X-Slack-Request-Timestamp",
	"webhook-id",
	"webhook-timestamp",
};

static aut_status
no_memory(aut_error *err)
{
	return aut_fail(err, AUT_ENOMEM, "out of memory for an event");
}

/* ---- sources ---------------------------------------------------------------------------------- */

/* How a source signs and names its deliveries. */
typedef struct source
{
	const char *scheme, *header, *id_header, *key_expr; /* key_expr NULL: built in */
	char *secret;                                       /* owned */
	size_t secret_len;
	aut_webhook_list webhook; /* the texts live there */
} source;

static void
source_done(source *from)
{
	aut_secret_free(from->secret, from->secret_len);
	aut_webhook_list_done(&from->webhook);
}

static aut_status
not_configured(aut_error *err)
{
	return aut_fail(err, AUT_ENOTFOUND, "There is no such event source");
}

static aut_status
source_builtin(const aut_call *call, const char *name, source *out, aut_error *err)
{
	if (call->settings->webhook_secret[0] == '\0')
		return not_configured(err);
	out->secret = aut_strdup(call->settings->webhook_secret);
	if (out->secret == NULL)
		return no_memory(err);
	out->secret_len = strlen(out->secret);
	out->header = AUT_SIGNATURE_HEADER_BUILTIN;
	out->id_header = aut_event_delivery_header(name);
	return AUT_OK;
}

static aut_status
source_custom(const aut_call *call, const aut_uuid *org_id, const char *name, source *out,
			  aut_error *err)
{
	const aut_webhook *webhook;
	aut_status status;

	if (strlen(name) > AUT_TRIGGER_SOURCE_MAX)
		return not_configured(err);
	status = aut_store_webhook_by_source(call->db, org_id, name, &out->webhook, err);
	if (status != AUT_OK)
		return status == AUT_ENOTFOUND ? not_configured(err) : status;
	webhook = &out->webhook.items[0];
	if (!webhook->enabled)
		return not_configured(err);
	out->scheme = webhook->signature_scheme;
	out->header = webhook->signature_header;
	out->id_header = webhook->event_id_header;
	out->key_expr = webhook->event_key_expr;
	return aut_unseal(call->sealer, &(aut_seal_place){"custom_webhook", "secret", &webhook->id},
					  webhook->secret, webhook->secret_len, &out->secret, &out->secret_len, err);
}

static aut_status
check_signature(const aut_call *call, const aut_delivery *delivery, const source *from,
				aut_error *err)
{
	aut_signature signature = {
		.scheme = from->scheme,
		.secret = from->secret,
		.header = from->header,
		.get_header = delivery->get_header,
		.get_payload = delivery->get_payload,
		.body = delivery->body,
		.body_len = delivery->body_len,
		.now_us = call->now_us,
	};

	return aut_signature_check(&signature, err);
}

/* ---- what is kept beside the body --------------------------------------------------------------- */

static aut_status
headers_text(const aut_delivery *delivery, char **out, aut_error *err)
{
	json_t *kept = json_object();
	bool good = kept != NULL;

	for (size_t i = 0; good && i < sizeof kept_headers / sizeof kept_headers[0]; i++)
	{
		const char *value = delivery->get_header(delivery->get_payload, kept_headers[i]);
		size_t len = value != NULL ? strlen(value) : 0;
		aut_buf clean;

		if (value == NULL)
			continue;
		aut_buf_init(&clean, HEADERS_MAX);
		(void) aut_utf8_sanitize(&clean, value, len < HEADER_MAX ? len : HEADER_MAX);
		good = clean.status == AUT_OK &&
			   aut_json_set(kept, kept_headers[i],
							json_stringn(clean.data != NULL ? clean.data : "", clean.len));
		aut_buf_done(&clean);
	}
	if (good)
		*out = aut_json_text(kept, NULL);
	json_decref(kept);
	return *out != NULL ? AUT_OK : no_memory(err);
}

/*
 * A provider's id as it is compared: as it is, or, when it is too long for an index or no text, its hash.
 * NULL or empty: there is none.
 */
static aut_status
delivery_id(const char *given, char **out, aut_error *err)
{
	size_t len = given != NULL ? strlen(given) : 0;
	char hex[65];
	uint8_t hash[32];
	aut_status status = AUT_OK;

	if (len == 0)
		return AUT_OK;
	if (aut_utf8_valid(given, len) && aut_utf8_length(given, len) <= AUT_DELIVERY_ID_MAX)
		*out = aut_strdup(given);
	else
	{
		status = aut_sha256(given, len, hash, err);
		if (status != AUT_OK)
			return status;
		aut_hex(hash, sizeof hash, hex);
		*out = aut_printf("sha256:%s", hex);
	}
	return *out != NULL ? AUT_OK : no_memory(err);
}

/* ---- reading ----------------------------------------------------------------------------------- */

/* The key of a custom source, by its expression. */
static aut_status
set_key(aut_event *event, const char *name, const char *expr, const aut_payload *payload,
		aut_error *err)
{
	aut_jmespath *compiled = NULL;
	aut_error why = AUT_ERROR_INIT;
	aut_status status;

	if (expr == NULL || expr[0] == '\0')
		expr = AUT_EVENT_KEY_EXPR_DEFAULT;
	status = aut_jmespath_compile(expr, strlen(expr), &compiled, &why);
	if (status == AUT_EINVAL)
	{
		(void) snprintf(event->why, sizeof event->why, "event_key_expr is not JMESPath");
		return AUT_OK;
	}
	if (status != AUT_OK)
		return aut_fail(err, status, "%s", why.message);
	status = aut_event_key_by(event, name, compiled, payload, err);
	aut_jmespath_free(compiled);
	return status;
}

/* Body to event and payload.  EBADREQ: it is no event. */
static aut_status
read_event(const char *name, const char *key_expr, const void *body, size_t len, aut_event *event,
		   aut_payload **payload, aut_error *err)
{
	aut_status status = aut_event_read(name, body, len, event, err);

	if (status == AUT_OK)
		status = aut__event_payload(event, name, body, len, payload, err);
	if (status == AUT_OK && !aut_event_is_builtin(name))
		status = set_key(event, name, key_expr, *payload, err);
	return status;
}

/* ---- keeping ----------------------------------------------------------------------------------- */

aut_status
aut__event_take(aut_call *call, aut_event_cache *cache, aut_event_row *row, const aut_event *event,
				const aut_payload *payload, bool *out_new, json_t **out, aut_error *err)
{
	aut__matching matching = {0};
	json_t *ids = json_array();
	bool is_new = false;
	aut_status status = ids != NULL ? AUT_OK : no_memory(err);

	if (status == AUT_OK)
		status = aut__event_match(call, cache, &row->org_id, row->source, event, payload, &matching,
								  err);
	row->event_key = event->key;
	row->state = matching.count > 0 ? AUT_EVENT_MATCHED : AUT_EVENT_UNMATCHED;
	row->why = matching.cut ? MANY : NULL;
	row->matched_count = (int64_t) matching.count;
	row->considered = (int64_t) matching.considered;
	row->verdicts = matching.verdicts;
	if (status == AUT_OK)
		status = aut_store_event_insert(call->db, row, &is_new, err);
	if (status == AUT_OK && is_new)
		status = aut__event_start(call, &row->id, event, payload, &matching, false, ids, err);
	if (status == AUT_OK)
		status =
			aut__give(aut__event_answer(is_new ? matching.count : 0, json_incref(ids)), out, err);
	json_decref(ids);
	aut__matching_done(&matching);
	row->verdicts = NULL;
	if (status == AUT_OK)
		*out_new = is_new;
	return status;
}

/* An event that nobody is asked about. */
static aut_status
keep_aside(aut_call *call, aut_event_row *row, aut_event_state state, const char *why,
		   aut_error *err)
{
	char clean[WHY_MAX];
	size_t len = strlen(why);

	if (len >= sizeof clean)
		len = aut_utf8_boundary(why, sizeof clean - 1);
	memcpy(clean, why, len);
	clean[len] = '\0';
	row->state = state;
	row->why = clean;
	row->provider_event_id = NULL;
	return aut_store_event_insert(call->db, row, NULL, err);
}

static aut_status
row_begin(const aut_call *call, const aut_uuid *org_id, const char *name, const void *body,
		  size_t len, aut_event_row *row, aut_error *err)
{
	*row = (aut_event_row){
		.org_id = *org_id,
		.source = name,
		.received_at = call->now_us,
		.body = body,
		.body_len = len,
	};
	return aut_uuid_v7(call->now_us, &row->id, err);
}

/* ---- deliveries --------------------------------------------------------------------------------- */

/* From here on the delivery is genuine. */
static aut_status
take_delivery(aut_call *call, aut_event_cache *cache, const aut_delivery *delivery,
			  const source *from, json_t **out, aut_error *out_refused, aut_error *err)
{
	aut_event event = {0};
	aut_payload *payload = NULL;
	aut_event_row row;
	char *headers = NULL;
	char *id = NULL;
	bool is_new = false;
	aut_error story = AUT_ERROR_INIT;
	aut_status status = row_begin(call, &delivery->org_id, delivery->source, delivery->body,
								  delivery->body_len, &row, err);

	if (status == AUT_OK)
		status = headers_text(delivery, &headers, err);
	if (status == AUT_OK && from->id_header != NULL)
		status =
			delivery_id(delivery->get_header(delivery->get_payload, from->id_header), &id, err);
	if (status != AUT_OK)
		goto out;
	row.headers = headers;
	row.provider_event_id = id;
	status = read_event(delivery->source, from->key_expr, delivery->body, delivery->body_len,
						&event, &payload, &story);
	if (status == AUT_EBADREQ)
	{
		status = keep_aside(call, &row, AUT_EVENT_UNPARSEABLE, story.message, err);
		if (status == AUT_OK)
			*out_refused = story;
	}
	else if (status != AUT_OK)
	{
		if (err != NULL)
			*err = story;
	}
	else if (event.key == NULL)
	{
		status = keep_aside(call, &row, AUT_EVENT_IGNORED, event.why, err);
		if (status == AUT_OK)
			status = aut__give(aut__event_answer(0, NULL), out, err);
	}
	else
		status = aut__event_take(call, cache, &row, &event, payload, &is_new, out, err);
out:
	aut_payload_free(payload);
	aut_event_done(&event);
	aut_free(headers);
	aut_free(id);
	return status;
}

aut_status
aut_service_event_accept(aut_call *call, aut_event_cache *cache, const aut_delivery *delivery,
						 json_t **out, aut_error *out_refused, aut_error *err)
{
	source from = {0};
	aut_status status;

	if (aut_event_is_builtin(delivery->source))
		status = source_builtin(call, delivery->source, &from, err);
	else
		status = source_custom(call, &delivery->org_id, delivery->source, &from, err);
	if (status == AUT_OK)
		status = check_signature(call, delivery, &from, err);
	if (status == AUT_OK)
		status = take_delivery(call, cache, delivery, &from, out, out_refused, err);
	source_done(&from);
	return status;
}

/* ---- emissions ---------------------------------------------------------------------------------- */

/* The key expression of a custom source, where there is such a webhook. */
static aut_status
key_expr_of(const aut_call *call, const char *name, aut_webhook_list *webhook, const char **out,
			aut_error *err)
{
	aut_status status =
		aut_store_webhook_by_source(call->db, &call->who->org_id, name, webhook, err);

	if (status == AUT_OK)
		*out = webhook->items[0].event_key_expr;
	return status == AUT_ENOTFOUND ? AUT_OK : status;
}

static aut_status
check_emission(const aut_call *call, const aut_emission *emission, aut_error *err)
{
	const char *name = emission->source;
	size_t len = strlen(name);
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK && !call->who->manage)
		status = aut_fail(err, AUT_EDENIED, "Missing permission: manage_automations");
	if (status != AUT_OK)
		return status;
	if (len == 0 || len > AUT_TRIGGER_SOURCE_MAX)
		return aut_fail(err, AUT_EINVAL, "a source has 1 to %d bytes", AUT_TRIGGER_SOURCE_MAX);
	if (strcmp(name, "manual") == 0 || strcmp(name, "sql") == 0)
		return aut_fail(err, AUT_EINVAL, "source \"%s\" is reserved", name);
	if (emission->key != NULL && aut_event_is_builtin(name))
		return aut_fail(err, AUT_EINVAL,
						"events of %s name their key themselves; leave the key out", name);
	if (emission->key != NULL && strlen(emission->key) > AUT_EVENT_KEY_MAX)
		return aut_fail(err, AUT_EINVAL, "an event key has at most %d bytes", AUT_EVENT_KEY_MAX);
	return AUT_OK;
}

/* The body a provider would have sent. */
static aut_status
emission_body(const aut_emission *emission, aut_buf *body, aut_error *err)
{
	bool wrapped = aut_event_is_builtin(emission->source);

	if (wrapped)
		aut_buf_puts(body, "{\"payload\":");
	aut_buf_puts(body, emission->payload);
	if (wrapped)
		aut_buf_putc(body, '}');
	if (body->status == AUT_ELIMIT)
		return aut_fail(err, AUT_ELIMIT, "the payload is larger than %d bytes", AUT_EMISSION_MAX);
	return body->status == AUT_OK ? AUT_OK : no_memory(err);
}

/* Event and payload of an emission; without a key it is refused, since the sender is there to be told. */
static aut_status
read_emission(const aut_call *call, const aut_emission *emission, const aut_buf *body,
			  aut_event *event, aut_payload **payload, aut_error *err)
{
	aut_webhook_list webhook = {0};
	const char *expr = NULL;
	json_t *key = NULL;
	aut_status status = AUT_OK;

	if (emission->key != NULL)
	{
		status = aut_event_read(emission->source, body->data, body->len, event, err);
		if (status == AUT_OK)
			status =
				aut__event_payload(event, emission->source, body->data, body->len, payload, err);
		if (status == AUT_OK)
			status = aut__give(aut_json_text_or_null(emission->key), &key, err);
		if (status == AUT_OK)
			status = aut_event_set_key(event, emission->source, key, err);
	}
	else
	{
		if (!aut_event_is_builtin(emission->source))
			status = key_expr_of(call, emission->source, &webhook, &expr, err);
		if (status == AUT_OK)
			status = read_event(emission->source, expr, body->data, body->len, event, payload, err);
	}
	if (status == AUT_OK && event->key == NULL)
		status = aut_fail(err, AUT_EBADREQ, "this is no event that could match: %s", event->why);
	json_decref(key);
	aut_webhook_list_done(&webhook);
	return status;
}

aut_status
aut_service_event_emit(aut_call *call, aut_event_cache *cache, const aut_emission *emission,
					   json_t **out, aut_error *err)
{
	aut_event event = {0};
	aut_payload *payload = NULL;
	aut_event_row row = {0};
	json_t *answer = NULL;
	char *id = NULL;
	bool is_new = false;
	aut_buf body;
	aut_status status = check_emission(call, emission, err);

	aut_buf_init(&body, AUT_EMISSION_MAX);
	if (status == AUT_OK)
		status = emission_body(emission, &body, err);
	if (status == AUT_OK)
		status = read_emission(call, emission, &body, &event, &payload, err);
	if (status == AUT_OK)
		status = delivery_id(emission->dedupe_key, &id, err);
	if (status == AUT_OK)
		status =
			row_begin(call, &call->who->org_id, emission->source, body.data, body.len, &row, err);
	row.provider_event_id = id;
	if (status == AUT_OK)
		status = aut__event_take(call, cache, &row, &event, payload, &is_new, &answer, err);
	/* a duplicate has written no row: the id made for it names nothing */
	if (status == AUT_OK &&
		!aut_json_set(answer, "event_id", aut_json_uuid(is_new ? &row.id : NULL)))
		status = no_memory(err);
	if (status == AUT_OK)
		*out = json_incref(answer);
	json_decref(answer);
	aut_payload_free(payload);
	aut_event_done(&event);
	aut_free(id);
	aut_buf_done(&body);
	return status;
}
