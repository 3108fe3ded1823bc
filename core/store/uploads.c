/* SPDX-License-Identifier: MIT */
/*
 * core/store/uploads.c - tarballs that were uploaded: what they are, and apart from it their bytes.
 *
 * Deleting is soft for the record and real for the bytes.  Content and record are written in one
 * transaction, so an upload without content never looks complete.  Those whose bytes are outside of the
 * database: objects.c.
 */
#include <string.h>

#include "core/store/internal.h"

static const aut_stmt upload_insert = {
	.name = "upload_insert",
	.params = "uuuttttlTTTtT",
	.columns = "",
	.sql = "INSERT INTO automation.upload (id, org_id, user_id, name, description, status,"
		   " error_message, size_bytes, created_at, updated_at, deleted_at, store, object_due_at)"
		   " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
};

static const aut_stmt upload_data_insert = {
	.name = "upload_data_insert",
	.params = "ux",
	.columns = "",
	.sql = "INSERT INTO automation.upload_data (upload_id, data) VALUES ($1, $2)",
};

#define COLUMNS                                                                                    \
	"id, org_id, user_id, name, description, status, error_message, size_bytes, created_at, "      \
	"updated_at, deleted_at, store, object_due_at"
#define TYPES "uuuttttlTTTtT"

static const aut_stmt upload_get = {
	.name = "upload_get",
	.params = "u",
	.columns = TYPES,
	.sql = "SELECT " COLUMNS " FROM automation.upload WHERE id = $1 LIMIT 1",
};

static const aut_stmt upload_data_get = {
	.name = "upload_data_get",
	.params = "u",
	.columns = "x",
	.sql = "SELECT data FROM automation.upload_data WHERE upload_id = $1 LIMIT 1",
};

/* index: upload_newest_idx */
#define OF_USER                                                                                    \
	" FROM automation.upload WHERE org_id = $1 AND user_id = $2 AND deleted_at IS NULL"            \
	" AND ($3 IS NULL OR status = $3)"

static const aut_stmt upload_list = {
	.name = "upload_list",
	.params = "uutll",
	.columns = TYPES,
	.sql = "SELECT " COLUMNS OF_USER " ORDER BY created_at DESC, id DESC LIMIT $4 OFFSET $5",
};

static const aut_stmt upload_list_after = {
	.name = "upload_list_after",
	.params = "uutTul",
	.columns = TYPES,
	.sql = "SELECT " COLUMNS OF_USER " AND (created_at, id) < ($4, $5)"
		   " ORDER BY created_at DESC, id DESC LIMIT $6",
};

static const aut_stmt upload_count = {
	.name = "upload_count",
	.params = "uut",
	.columns = "l",
	.sql = "SELECT count(*)" OF_USER " LIMIT 1",
};

static const aut_stmt upload_delete = {
	.name = "upload_delete",
	.params = "uT",
	.columns = "",
	.sql = "UPDATE automation.upload SET deleted_at = $2, updated_at = $2,"
		   " object_due_at = CASE WHEN store = 'database' THEN NULL ELSE $2 END"
		   " WHERE id = $1 AND deleted_at IS NULL",
};

static const aut_stmt upload_data_delete = {
	.name = "upload_data_delete",
	.params = "u",
	.columns = "",
	.sql = "DELETE FROM automation.upload_data WHERE upload_id = $1",
};

const aut_stmt *const aut__upload_statements[] = {
	&upload_insert,     &upload_data_insert, &upload_get,    &upload_data_get,    &upload_list,
	&upload_list_after, &upload_count,       &upload_delete, &upload_data_delete, NULL,
};

void
aut_upload_list_done(aut_upload_list *list)
{
	if (list == NULL)
		return;
	aut_free(list->items);
	aut_rows_done(&list->rows);
	*list = (aut_upload_list){0};
}

static aut_status
read_one(const aut_rows *rows, size_t row, void *out, aut_error *err)
{
	(void) err;
	*(aut_upload *) out = (aut_upload){
		.id = aut_rows_uuid(rows, row, 0),
		.org_id = aut_rows_uuid(rows, row, 1),
		.user_id = aut_rows_uuid(rows, row, 2),
		.name = aut_rows_text(rows, row, 3),
		.description = aut_rows_text(rows, row, 4),
		.status = aut_rows_text(rows, row, 5),
		.error_message = aut_rows_text(rows, row, 6),
		.size_bytes = aut_rows_null(rows, row, 7) ? -1 : aut_rows_int(rows, row, 7),
		.created_at = aut_rows_time(rows, row, 8),
		.updated_at = aut_rows_time(rows, row, 9),
		.deleted_at = aut_rows_time(rows, row, 10),
		.store = aut_rows_text(rows, row, 11),
		.object_due_at = aut_rows_time(rows, row, 12),
	};
	return AUT_OK;
}

static aut_status
read_list(aut_db *db, const aut_stmt *stmt, const aut_value *params, aut_upload_list *out,
		  aut_error *err)
{
	aut_rows rows = {0};
	void *items = NULL;
	aut_status status =
		aut__read_items(db, stmt, params, sizeof(aut_upload), read_one, &rows, &items, err);

	if (status == AUT_OK)
		*out = (aut_upload_list){items, rows.count, rows};
	return status;
}

aut_status
aut_store_upload_insert(aut_db *db, const aut_upload *upload, const void *data, size_t len,
						aut_error *err)
{
	bool outside = upload->store != NULL && strcmp(upload->store, "database") != 0;
	aut_value params[] = {
		aut_v_uuid(&upload->id),
		aut_v_uuid(&upload->org_id),
		aut_v_uuid(&upload->user_id),
		aut_v_text(upload->name),
		aut_v_text(upload->description),
		aut_v_text(upload->status),
		aut_v_text(upload->error_message),
		upload->size_bytes < 0 ? aut_v_null('l') : aut_v_big(upload->size_bytes),
		aut_v_time(upload->created_at),
		aut_v_time(upload->updated_at),
		aut_v_time(upload->deleted_at),
		aut_v_text(outside ? upload->store : "database"),
		aut_v_time(outside ? upload->object_due_at : AUT_TIME_NONE),
	};
	aut_status status = aut_db_run(db, &upload_insert, params, NULL, NULL, err);

	if (status == AUT_OK && data != NULL)
		status = aut_db_run(db, &upload_data_insert,
							(aut_value[]){aut_v_uuid(&upload->id), aut_v_bytes(data, len)}, NULL,
							NULL, err);
	return status;
}

aut_status
aut_store_upload_get(aut_db *db, const aut_uuid *id, aut_upload_list *out, aut_error *err)
{
	char text[AUT_UUID_TEXT_MAX];
	aut_upload_list list = {0};
	aut_status status = read_list(db, &upload_get, (aut_value[]){aut_v_uuid(id)}, &list, err);

	if (status == AUT_OK && list.count == 0)
		status = aut_fail(err, AUT_ENOTFOUND, "upload %s not found", aut_uuid_format(id, text));
	if (status == AUT_OK)
		*out = list;
	else
		aut_upload_list_done(&list);
	return status;
}

aut_status
aut_store_upload_data(aut_db *db, const aut_uuid *id, aut_rows *out, aut_error *err)
{
	char text[AUT_UUID_TEXT_MAX];
	aut_rows rows = {0};
	aut_status status =
		aut_db_run(db, &upload_data_get, (aut_value[]){aut_v_uuid(id)}, &rows, NULL, err);

	if (status == AUT_OK && rows.count == 0)
		status =
			aut_fail(err, AUT_ENOTFOUND, "upload %s has no content", aut_uuid_format(id, text));
	if (status == AUT_OK)
		*out = rows;
	else
		aut_rows_done(&rows);
	return status;
}

aut_status
aut_store_upload_list(aut_db *db, const aut_uuid *org_id, const aut_uuid *user_id,
					  const char *state, int64_t limit, int64_t offset, aut_upload_list *out,
					  int64_t *out_total, aut_error *err)
{
	aut_value params[] = {
		aut_v_uuid(org_id), aut_v_uuid(user_id), aut_v_text(state),
		aut_v_big(limit),   aut_v_big(offset),
	};
	aut_upload_list list = {0};
	aut_rows total = {0};
	aut_status status = aut__check_window(limit, offset, err);

	if (status == AUT_OK)
		status = read_list(db, &upload_list, params, &list, err);
	if (status == AUT_OK && out_total != NULL)
		status = aut_db_run(db, &upload_count, params, &total, NULL, err);
	if (status == AUT_OK)
	{
		if (out_total != NULL)
			*out_total = aut_rows_int(&total, 0, 0);
		*out = list;
	}
	else
		aut_upload_list_done(&list);
	aut_rows_done(&total);
	return status;
}

aut_status
aut_store_upload_list_after(aut_db *db, const aut_uuid *org_id, const aut_uuid *user_id,
							const char *state, const aut_row_place *after, int64_t limit,
							aut_upload_list *out, aut_error *err)
{
	aut_value params[] = {
		aut_v_uuid(org_id),     aut_v_uuid(user_id),
		aut_v_text(state),      aut_v_time(after->created_at),
		aut_v_uuid(&after->id), aut_v_big(limit),
	};
	aut_status status = aut__check_window(limit, 0, err);

	if (status == AUT_OK)
		status = read_list(db, &upload_list_after, params, out, err);
	return status;
}

aut_status
aut_store_upload_delete(aut_db *db, const aut_uuid *id, int64_t now, aut_error *err)
{
	char text[AUT_UUID_TEXT_MAX];
	bool found = false;
	aut_status status = aut__run_guarded(
		db, &upload_delete, (aut_value[]){aut_v_uuid(id), aut_v_time(now)}, &found, err);

	if (status == AUT_OK && !found)
		status = aut_fail(err, AUT_ENOTFOUND, "upload %s not found", aut_uuid_format(id, text));
	if (status == AUT_OK)
		status =
			aut_db_run(db, &upload_data_delete, (aut_value[]){aut_v_uuid(id)}, NULL, NULL, err);
	return status;
}
