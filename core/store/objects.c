/* SPDX-License-Identifier: MIT */
/*
 * core/store/objects.c - uploads whose bytes are outside of the database, and uploads nobody uses.
 *
 *   UPLOADING, due in a while ──written──▶ COMPLETED, not due
 *        │ not written, given up            │ deleted
 *        ▼                                  ▼
 *   FAILED, due ─────────────────────▶ object deleted, not due ──▶ the record is forgotten some day
 *
 * What is due stays due until the object's end is recorded, so a crash at any point is seen to later.
 */
#include <stdio.h>

#include "core/store/internal.h"

static const aut_stmt upload_hold = {
	.name = "upload_hold",
	.params = "u",
	.columns = "u",
	.postgres = "SELECT id FROM automation.upload WHERE id = $1 LIMIT 1 FOR SHARE",
	.sqlite = "SELECT id FROM automation.upload WHERE id = $1 LIMIT 1",
};

static const aut_stmt upload_settle = {
	.name = "upload_settle",
	.params = "uttlT",
	.columns = "",
	.sql =
		"UPDATE automation.upload SET status = $2, error_message = $3, size_bytes = $4,"
		" updated_at = $5,"
		" object_due_at = CASE WHEN $2 = 'COMPLETED' AND deleted_at IS NULL THEN NULL ELSE $5 END"
		" WHERE id = $1 AND status = 'UPLOADING'",
};

/* It was given up, and perhaps its object was looked for before it was there. */
static const aut_stmt object_late = {
	.name = "object_late",
	.params = "uT",
	.columns = "",
	.sql = "UPDATE automation.upload SET object_due_at = $2 WHERE id = $1 AND store <> 'database'"
		   " AND status = 'FAILED'",
};

#define COLUMNS "SELECT u.id, u.org_id, u.user_id, u.status, u.store FROM automation.upload AS u "

/* index: upload_object_idx */
#define DUE COLUMNS "WHERE u.object_due_at <= $1 ORDER BY u.object_due_at LIMIT $2"
static const aut_stmt object_due = {
	.name = "object_due",
	.params = "Tl",
	.columns = "uuutt",
	.postgres = DUE " FOR UPDATE OF u SKIP LOCKED",
	.sqlite = DUE,
};

static const aut_stmt object_again = {
	.name = "object_again",
	.params = "uTTt",
	.columns = "",
	.sql = "UPDATE automation.upload SET object_due_at = $2,"
		   " updated_at = CASE WHEN status = 'UPLOADING' THEN $3 ELSE updated_at END,"
		   " error_message = CASE WHEN status = 'UPLOADING' THEN $4 ELSE error_message END,"
		   " size_bytes = CASE WHEN status = 'UPLOADING' THEN NULL ELSE size_bytes END,"
		   " status = CASE WHEN status = 'UPLOADING' THEN 'FAILED' ELSE status END"
		   " WHERE id = $1",
};

static const aut_stmt object_done = {
	.name = "object_done",
	.params = "uT",
	.columns = "",
	.sql = "UPDATE automation.upload SET object_due_at = NULL WHERE id = $1 AND object_due_at = $2",
};

/* index: upload_object_idx */
static const aut_stmt object_next = {
	.name = "object_next",
	.params = "",
	.columns = "T",
	.sql = "SELECT object_due_at FROM automation.upload WHERE object_due_at IS NOT NULL"
		   " ORDER BY object_due_at LIMIT 1",
};

/* index: upload_live_idx */
#define OLD                                                                                        \
	"SELECT u.id, u.created_at FROM automation.upload AS u WHERE u.deleted_at IS NULL"             \
	" AND u.created_at < $1 AND (u.created_at, u.id) > ($2, $3) AND u.status <> 'UPLOADING'"       \
	" ORDER BY u.created_at, u.id LIMIT $4"
static const aut_stmt upload_old = {
	.name = "upload_old",
	.params = "TTul",
	.columns = "uT",
	.postgres = OLD " FOR UPDATE OF u SKIP LOCKED",
	.sqlite = OLD,
};

/* index: automation_tarball_idx; run_status_idx.  Hexadecimal digits may be written in any case. */
static const aut_stmt upload_used = {
	.name = "upload_used",
	.params = "t",
	.columns = "u",
	.sql = "SELECT a.id FROM automation.automation AS a WHERE lower(a.tarball_path) = $1"
		   " AND (a.deleted_at IS NULL OR EXISTS (SELECT 1 FROM automation.run AS r"
		   " WHERE r.automation_id = a.id AND r.status IN ('PENDING', 'RUNNING'))) LIMIT 1",
};

const aut_stmt *const aut__object_statements[] = {
	&upload_hold, &upload_settle, &object_late, &object_due,  &object_again,
	&object_done, &object_next,   &upload_old,  &upload_used, NULL,
};

aut_status
aut_store_upload_hold(aut_db *db, const aut_uuid *id, aut_error *err)
{
	aut_rows rows = {0};
	aut_status status =
		aut_db_run(db, &upload_hold, (aut_value[]){aut_v_uuid(id)}, &rows, NULL, err);

	aut_rows_done(&rows);
	return status;
}

aut_status
aut_store_upload_settle(aut_db *db, const aut_uuid *id, const char *message, int64_t size_bytes,
						int64_t now, aut_error *err)
{
	aut_value params[] = {
		aut_v_uuid(id),      aut_v_text(message == NULL ? "COMPLETED" : "FAILED"),
		aut_v_text(message), message == NULL ? aut_v_big(size_bytes) : aut_v_null('l'),
		aut_v_time(now),
	};
	bool found = false;
	aut_status status = aut__run_guarded(db, &upload_settle, params, &found, err);

	if (status == AUT_OK && !found)
		status = aut_db_run(db, &object_late, (aut_value[]){aut_v_uuid(id), aut_v_time(now)}, NULL,
							NULL, err);
	return status;
}

aut_status
aut_store_objects_due(aut_db *db, int64_t now, int64_t again, int64_t limit, aut_upload_list *out,
					  aut_error *err)
{
	aut_upload_list list = {0};
	void *items = NULL;
	aut_status status = aut__check_window(limit, 0, err);

	if (status == AUT_OK)
		status = aut_db_run(db, &object_due, (aut_value[]){aut_v_time(now), aut_v_big(limit)},
							&list.rows, NULL, err);
	if (status == AUT_OK)
		status = aut__items_alloc(list.rows.count, sizeof(aut_upload), &items, err);
	list.items = items;
	for (size_t i = 0; status == AUT_OK && i < list.rows.count; i++)
	{
		aut_upload *item = &list.items[list.count++];

		*item = (aut_upload){.id = aut_rows_uuid(&list.rows, i, 0),
							 .org_id = aut_rows_uuid(&list.rows, i, 1),
							 .user_id = aut_rows_uuid(&list.rows, i, 2),
							 .status = aut_rows_text(&list.rows, i, 3),
							 .store = aut_rows_text(&list.rows, i, 4),
							 .size_bytes = -1,
							 .deleted_at = AUT_TIME_NONE,
							 .object_due_at = again};
		status = aut_db_run(
			db, &object_again,
			(aut_value[]){aut_v_uuid(&item->id), aut_v_time(again), aut_v_time(now),
						  aut_v_text("The service was interrupted while it stored the upload")},
			NULL, NULL, err);
	}
	if (status == AUT_OK)
		*out = list;
	else
		aut_upload_list_done(&list);
	return status;
}

aut_status
aut_store_object_done(aut_db *db, const aut_uuid *id, int64_t again, aut_error *err)
{
	return aut_db_run(db, &object_done, (aut_value[]){aut_v_uuid(id), aut_v_time(again)}, NULL,
					  NULL, err);
}

aut_status
aut_store_objects_next(aut_db *db, int64_t *out, aut_error *err)
{
	aut_rows rows = {0};
	aut_status status = aut_db_run(db, &object_next, NULL, &rows, NULL, err);

	if (status == AUT_OK)
		*out = rows.count > 0 ? aut_rows_time(&rows, 0, 0) : AUT_TIME_NONE;
	aut_rows_done(&rows);
	return status;
}

/* Delete it unless something needs it.  Its row is locked, and who begins to use it holds it before
 * (aut_store_upload_hold): so what is not seen here cannot come. */
static aut_status
delete_unused(aut_db *db, const aut_uuid *id, int64_t now, int64_t *inout_count, aut_error *err)
{
	char text[AUT_UUID_TEXT_MAX], path[80];
	aut_rows rows = {0};
	aut_status status;

	(void) snprintf(path, sizeof path, "oh-internal://uploads/%s", aut_uuid_format(id, text));
	status = aut_db_run(db, &upload_used, (aut_value[]){aut_v_text(path)}, &rows, NULL, err);
	if (status == AUT_OK && rows.count == 0)
	{
		status = aut_store_upload_delete(db, id, now, err);
		*inout_count += status == AUT_OK;
	}
	aut_rows_done(&rows);
	return status;
}

aut_status
aut_store_delete_unused_uploads(aut_db *db, int64_t before, int64_t now, aut_row_place *after,
								int64_t page, int64_t *out_count, bool *out_more, aut_error *err)
{
	aut_value params[] = {aut_v_time(before), aut_v_time(after->created_at), aut_v_uuid(&after->id),
						  aut_v_big(page)};
	aut_rows rows = {0};
	int64_t count = 0;
	aut_status status = aut__check_window(page, 0, err);

	if (status == AUT_OK)
		status = aut_db_run(db, &upload_old, params, &rows, NULL, err);
	for (size_t i = 0; status == AUT_OK && i < rows.count; i++)
	{
		aut_uuid id = aut_rows_uuid(&rows, i, 0);

		status = delete_unused(db, &id, now, &count, err);
		*after = (aut_row_place){aut_rows_time(&rows, i, 1), id};
	}
	if (status == AUT_OK)
	{
		*out_count = count;
		*out_more = rows.count == (size_t) page;
	}
	aut_rows_done(&rows);
	return status;
}
