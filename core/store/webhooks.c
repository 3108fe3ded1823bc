/* SPDX-License-Identifier: MIT */
/*
 * core/store/webhooks.c - the statements over custom webhooks (include/automation/webhooks.h).
 *
 * A row per organization and source; the unique index says so.  The secret comes and goes sealed: this
 * file never sees one in clear.
 */
#include "automation/webhooks.h"
#include "core/store/internal.h"

#define COLUMNS                                                                                    \
	"id, org_id, owner, name, source, event_key_expr, signature_header, signature_scheme, "        \
	"event_id_header, enabled, secret, created_at, updated_at"
#define TYPES  "uutttttttbxTT"
#define OF_ORG " FROM automation.custom_webhook WHERE org_id = $1"

static const aut_stmt webhook_insert = {
	.name = "webhook_insert",
	.params = TYPES,
	.columns = "",
	.sql = "INSERT INTO automation.custom_webhook (" COLUMNS ")"
		   " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
		   " ON CONFLICT (org_id, source) DO NOTHING",
};

static const aut_stmt webhook_get = {
	.name = "webhook_get",
	.params = "uu",
	.columns = TYPES,
	.sql = "SELECT " COLUMNS OF_ORG " AND id = $2 LIMIT 1",
};

/* index: custom_webhook_source_idx */
static const aut_stmt webhook_by_source = {
	.name = "webhook_by_source",
	.params = "ut",
	.columns = TYPES,
	.sql = "SELECT " COLUMNS OF_ORG " AND source = $2 LIMIT 1",
};

/* index: custom_webhook_newest_idx */
static const aut_stmt webhook_list = {
	.name = "webhook_list",
	.params = "ull",
	.columns = TYPES,
	.sql = "SELECT " COLUMNS OF_ORG " ORDER BY created_at DESC, id DESC LIMIT $2 OFFSET $3",
};

/* index: custom_webhook_newest_idx */
static const aut_stmt webhook_list_after = {
	.name = "webhook_list_after",
	.params = "uTul",
	.columns = TYPES,
	.sql = "SELECT " COLUMNS OF_ORG " AND (created_at, id) < ($2, $3)"
		   " ORDER BY created_at DESC, id DESC LIMIT $4",
};

static const aut_stmt webhook_count = {
	.name = "webhook_count",
	.params = "u",
	.columns = "l",
	.sql = "SELECT count(*)" OF_ORG " LIMIT 1",
};

static const aut_stmt webhook_update = {
	.name = "webhook_update",
	.params = "uutttttbT",
	.columns = "",
	.sql = "UPDATE automation.custom_webhook SET name = $3, event_key_expr = $4,"
		   " signature_header = $5, signature_scheme = $6, event_id_header = $7, enabled = $8,"
		   " updated_at = $9"
		   " WHERE org_id = $1 AND id = $2",
};

static const aut_stmt webhook_secret = {
	.name = "webhook_secret",
	.params = "uxT",
	.columns = "",
	.sql = "UPDATE automation.custom_webhook SET secret = $2, updated_at = $3 WHERE id = $1",
};

static const aut_stmt webhook_delete = {
	.name = "webhook_delete",
	.params = "uu",
	.columns = "",
	.sql = "DELETE FROM automation.custom_webhook WHERE org_id = $1 AND id = $2",
};

/* All organizations', in the order of ids. */
static const aut_stmt event_trigger_list = {
	.name = "event_trigger_list",
	.params = "ul",
	.columns = "uj",
	.sql = "SELECT id, trigger FROM automation.automation WHERE id > $1"
		   " AND trigger_type = 'event' AND state = 'ACTIVE' AND deleted_at IS NULL"
		   " ORDER BY id LIMIT $2",
};

const aut_stmt *const aut__webhook_statements[] = {
	&webhook_insert,
	&webhook_get,
	&webhook_by_source,
	&webhook_list,
	&webhook_list_after,
	&webhook_count,
	&webhook_update,
	&webhook_secret,
	&webhook_delete,
	&event_trigger_list,
	NULL,
};

void
aut_webhook_list_done(aut_webhook_list *list)
{
	if (list == NULL)
		return;
	aut_free(list->items);
	aut_rows_done(&list->rows);
	*list = (aut_webhook_list){0};
}

static aut_status
read_row(const aut_rows *rows, size_t row, void *out, aut_error *err)
{
	const aut_value *secret = aut_rows_at(rows, row, 10);

	(void) err;
	*(aut_webhook *) out = (aut_webhook){
		.id = aut_rows_uuid(rows, row, 0),
		.org_id = aut_rows_uuid(rows, row, 1),
		.owner = aut_rows_text(rows, row, 2),
		.name = aut_rows_text(rows, row, 3),
		.source = aut_rows_text(rows, row, 4),
		.event_key_expr = aut_rows_text(rows, row, 5),
		.signature_header = aut_rows_text(rows, row, 6),
		.signature_scheme = aut_rows_text(rows, row, 7),
		.event_id_header = aut_rows_text(rows, row, 8),
		.enabled = aut_rows_bool(rows, row, 9),
		.secret = secret->null ? NULL : secret->data,
		.secret_len = secret->null ? 0 : secret->len,
		.created_at = aut_rows_time(rows, row, 11),
		.updated_at = aut_rows_time(rows, row, 12),
	};
	return AUT_OK;
}

static aut_status
read_list(aut_db *db, const aut_stmt *stmt, const aut_value *params, aut_webhook_list *out,
		  aut_error *err)
{
	aut_rows rows = {0};
	void *items = NULL;
	aut_status status =
		aut__read_items(db, stmt, params, sizeof(aut_webhook), read_row, &rows, &items, err);

	if (status == AUT_OK)
		*out = (aut_webhook_list){items, rows.count, rows};
	return status;
}

/* One, or ENOTFOUND. */
static aut_status
read_one(aut_db *db, const aut_stmt *stmt, const aut_value *params, aut_webhook_list *out,
		 aut_error *err)
{
	aut_webhook_list list = {0};
	aut_status status = read_list(db, stmt, params, &list, err);

	if (status == AUT_OK && list.count == 0)
		status = aut_fail(err, AUT_ENOTFOUND, "webhook not found");
	if (status == AUT_OK)
		*out = list;
	else
		aut_webhook_list_done(&list);
	return status;
}

aut_status
aut_store_webhook_insert(aut_db *db, const aut_webhook *webhook, aut_error *err)
{
	aut_value params[] = {
		aut_v_uuid(&webhook->id),
		aut_v_uuid(&webhook->org_id),
		aut_v_text(webhook->owner),
		aut_v_text(webhook->name),
		aut_v_text(webhook->source),
		aut_v_text(webhook->event_key_expr),
		aut_v_text(webhook->signature_header),
		aut_v_text(webhook->signature_scheme),
		aut_v_text(webhook->event_id_header),
		aut_v_bool(webhook->enabled),
		aut_v_bytes(webhook->secret, webhook->secret_len),
		aut_v_time(webhook->created_at),
		aut_v_time(webhook->updated_at),
	};
	bool won = false;
	aut_status status = aut__run_guarded(db, &webhook_insert, params, &won, err);

	if (status == AUT_OK && !won)
		status = aut_fail(err, AUT_EUNIQUE, "there is a webhook of the source \"%.50s\" already",
						  webhook->source);
	return status;
}

aut_status
aut_store_webhook_get(aut_db *db, const aut_uuid *org_id, const aut_uuid *id, aut_webhook_list *out,
					  aut_error *err)
{
	return read_one(db, &webhook_get, (aut_value[]){aut_v_uuid(org_id), aut_v_uuid(id)}, out, err);
}

aut_status
aut_store_webhook_by_source(aut_db *db, const aut_uuid *org_id, const char *source,
							aut_webhook_list *out, aut_error *err)
{
	return read_one(db, &webhook_by_source, (aut_value[]){aut_v_uuid(org_id), aut_v_text(source)},
					out, err);
}

aut_status
aut_store_webhook_list(aut_db *db, const aut_uuid *org_id, int64_t limit, int64_t offset,
					   aut_webhook_list *out, int64_t *out_total, aut_error *err)
{
	aut_value params[] = {aut_v_uuid(org_id), aut_v_big(limit), aut_v_big(offset)};
	aut_webhook_list list = {0};
	aut_rows total = {0};
	aut_status status = aut__check_window(limit, offset, err);

	if (status == AUT_OK)
		status = read_list(db, &webhook_list, params, &list, err);
	if (status == AUT_OK && out_total != NULL)
		status = aut_db_run(db, &webhook_count, params, &total, NULL, err);
	if (status == AUT_OK)
	{
		*out = list;
		if (out_total != NULL)
			*out_total = aut_rows_int(&total, 0, 0);
	}
	else
		aut_webhook_list_done(&list);
	aut_rows_done(&total);
	return status;
}

aut_status
aut_store_webhook_list_after(aut_db *db, const aut_uuid *org_id, const aut_row_place *after,
							 int64_t limit, aut_webhook_list *out, aut_error *err)
{
	aut_value params[] = {
		aut_v_uuid(org_id),
		aut_v_time(after->created_at),
		aut_v_uuid(&after->id),
		aut_v_big(limit),
	};
	aut_status status = aut__check_window(limit, 0, err);

	if (status == AUT_OK)
		status = read_list(db, &webhook_list_after, params, out, err);
	return status;
}

/* ENOTFOUND when nothing was changed. */
static aut_status
change(aut_db *db, const aut_stmt *stmt, const aut_value *params, aut_error *err)
{
	bool won = false;
	aut_status status = aut__run_guarded(db, stmt, params, &won, err);

	if (status == AUT_OK && !won)
		status = aut_fail(err, AUT_ENOTFOUND, "webhook not found");
	return status;
}

aut_status
aut_store_webhook_update(aut_db *db, const aut_webhook *webhook, aut_error *err)
{
	aut_value params[] = {
		aut_v_uuid(&webhook->org_id),
		aut_v_uuid(&webhook->id),
		aut_v_text(webhook->name),
		aut_v_text(webhook->event_key_expr),
		aut_v_text(webhook->signature_header),
		aut_v_text(webhook->signature_scheme),
		aut_v_text(webhook->event_id_header),
		aut_v_bool(webhook->enabled),
		aut_v_time(webhook->updated_at),
	};

	return change(db, &webhook_update, params, err);
}

aut_status
aut_store_webhook_secret(aut_db *db, const aut_uuid *id, const void *secret, size_t len,
						 int64_t now, aut_error *err)
{
	aut_value params[] = {aut_v_uuid(id), aut_v_bytes(secret, len), aut_v_time(now)};

	return change(db, &webhook_secret, params, err);
}

aut_status
aut_store_webhook_delete(aut_db *db, const aut_uuid *org_id, const aut_uuid *id, bool *out_won,
						 aut_error *err)
{
	return aut__run_guarded(db, &webhook_delete, (aut_value[]){aut_v_uuid(org_id), aut_v_uuid(id)},
							out_won, err);
}

aut_status
aut_store_event_triggers(aut_db *db, const aut_uuid *after, int64_t limit, aut_rows *out,
						 aut_error *err)
{
	aut_status status = aut__check_window(limit, 0, err);

	if (status == AUT_OK)
		status = aut_db_run(db, &event_trigger_list,
							(aut_value[]){aut_v_uuid(after), aut_v_big(limit)}, out, NULL, err);
	return status;
}
