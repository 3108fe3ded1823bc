/* SPDX-License-Identifier: MIT */
/*
 * include/automation/webhooks.h - the statements over custom webhooks; like store.h: no function
 * here begins or commits, decides a rule, or reads a clock.
 *
 *   custom_webhook   a source of events of an organization's own, with the secret that signs them (sealed)
 */
#ifndef AUT_WEBHOOKS_H
#define AUT_WEBHOOKS_H

#include "automation/store.h"

/* ---- custom webhooks ------------------------------------------------------------------------ */

typedef struct aut_webhook
{
	aut_uuid id, org_id;
	const char *owner; /* database role (extension), else NULL */
	const char *name, *source;
	const char *event_key_expr, *signature_header;
	const char *signature_scheme; /* NULL: the usual one */
	const char *event_id_header;  /* NULL: deliveries have no id */
	bool enabled;
	const void *secret; /* sealed: custom_webhook, secret, id */
	size_t secret_len;
	int64_t created_at, updated_at;
} aut_webhook;

typedef struct aut_webhook_list
{
	aut_webhook *items;
	size_t count;
	aut_rows rows;
} aut_webhook_list;
void aut_webhook_list_done(aut_webhook_list *list);

/* AUT_EUNIQUE: the organization has that source already (nothing is written, the transaction is fine). */
aut_status aut_store_webhook_insert(aut_db *db, const aut_webhook *webhook, aut_error *err);
aut_status aut_store_webhook_get(aut_db *db, const aut_uuid *org_id, const aut_uuid *id,
								 aut_webhook_list *out, aut_error *err); /* ENOTFOUND */
/* Enabled or not; ENOTFOUND. */
aut_status aut_store_webhook_by_source(aut_db *db, const aut_uuid *org_id, const char *source,
									   aut_webhook_list *out, aut_error *err);
/* created_at DESC, id DESC; out_total may be NULL. */
aut_status aut_store_webhook_list(aut_db *db, const aut_uuid *org_id, int64_t limit, int64_t offset,
								  aut_webhook_list *out, int64_t *out_total, aut_error *err);
aut_status aut_store_webhook_list_after(aut_db *db, const aut_uuid *org_id,
										const aut_row_place *after, int64_t limit,
										aut_webhook_list *out, aut_error *err);
/* All but id, org_id, owner, source, secret and created_at. */
aut_status aut_store_webhook_update(aut_db *db, const aut_webhook *webhook, aut_error *err);
aut_status aut_store_webhook_secret(aut_db *db, const aut_uuid *id, const void *secret, size_t len,
									int64_t now, aut_error *err);
aut_status aut_store_webhook_delete(aut_db *db, const aut_uuid *org_id, const aut_uuid *id,
									bool *out_won, aut_error *err);

/* Triggers of all organizations' active event automations, in the order of ids: id (u), trigger (j). */
aut_status aut_store_event_triggers(aut_db *db, const aut_uuid *after, int64_t limit, aut_rows *out,
									aut_error *err);

#endif
