/* SPDX-License-Identifier: MIT */
/*
 * core/store/automations.c - definitions: what a person edits.
 *
 * Deletion is soft: deleted_at is set through _update, and every read here skips such rows, so that the
 * history of runs keeps its automation.
 *
 * Whoever writes a row here also keeps the index over triggers true (trigger_index.c).
 *
 * last_triggered_at in a result is the latest of three: schedule.last_fire_at (cron), the newest manual
 * run (found by run_manual_idx), and automation.last_triggered_at, which remembers both when the
 * schedule or the run goes.  A trigger writes no row but its run's: sessions that trigger one
 * automation side by side, or often in one transaction, would otherwise queue for that row.
 */
#include <string.h>

#include "core/store/internal.h"

/* ---- statements ---------------------------------------------------------------------------- */

static const aut_stmt automation_insert = {
	.name = "automation_insert",
	.params = "uuutttt"
			  "jjttjtj"
			  "tttibt"
			  "tjTTTTb",
	.columns = "",
	.sql =
		"INSERT INTO automation.automation"
		" (id, org_id, user_id, owner, name, description, prompt,"
		" preset_metadata, plugin_spec, model, agent_profile_id, trigger, trigger_type,"
		" observability_associations,"
		" tarball_path, setup_script_path, entrypoint, timeout_s, keep_alive, state,"
		" disabled_reason, disabled_detail, disabled_at, deleted_at, created_at, updated_at,"
		" wait_at_limit)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,"
		" $19, $20, $21, $22, $23, $24, $25, $26, $27)",
};

/* Ids, owner and created_at never change. */
static const aut_stmt automation_update = {
	.name = "automation_update",
	.params = "uttt"
			  "jjttjtj"
			  "tttibt"
			  "tjTTTb",
	.columns = "",
	.sql = "UPDATE automation.automation SET"
		   " name = $2,"
		   " description = $3,"
		   " prompt = $4,"
		   " preset_metadata = $5,"
		   " plugin_spec = $6,"
		   " model = $7,"
		   " agent_profile_id = $8,"
		   " trigger = $9,"
		   " trigger_type = $10,"
		   " observability_associations = $11,"
		   " tarball_path = $12,"
		   " setup_script_path = $13,"
		   " entrypoint = $14,"
		   " timeout_s = $15,"
		   " keep_alive = $16,"
		   " state = $17,"
		   " disabled_reason = $18,"
		   " disabled_detail = $19,"
		   " disabled_at = $20,"
		   " deleted_at = $21,"
		   " updated_at = $22,"
		   " wait_at_limit = $23"
		   " WHERE id = $1",
};

#define COLUMNS                                                                                    \
	"a.id, a.org_id, a.user_id, a.owner, a.name, a.description, a.prompt, a.preset_metadata, "     \
	"a.plugin_spec, a.model, a.agent_profile_id, a.trigger, a.trigger_type, "                      \
	"a.observability_associations, a.tarball_path, a.setup_script_path, a.entrypoint, "            \
	"a.timeout_s, "                                                                                \
	"a.keep_alive, a.state, a.disabled_reason, a.disabled_detail, a.disabled_at, a.deleted_at, "   \
	"a.last_triggered_at, a.created_at, a.updated_at, s.next_fire_at, s.last_fire_at, "            \
	"(SELECT m.created_at FROM automation.run AS m WHERE m.automation_id = a.id"                   \
	" AND m.trigger_source = 'manual' ORDER BY m.created_at DESC LIMIT 1) AS last_manual_at, "     \
	"(SELECT v.names FROM automation.environment AS v WHERE v.automation_id = a.id) AS "           \
	"environment_names, a.wait_at_limit"
#define TYPES "uuuttttjjttjtjtttibttjTTTTTTTTjb"
#define FROM                                                                                       \
	" FROM automation.automation AS a LEFT JOIN automation.schedule AS s ON s.automation_id = "    \
	"a.id"

static const aut_stmt automation_get = {
	.name = "automation_get",
	.params = "uu",
	.columns = TYPES,
	.sql = "SELECT " COLUMNS FROM
		   " WHERE a.id = $2 AND a.org_id = $1 AND a.deleted_at IS NULL LIMIT 1",
};

/* index: automation_org_name_idx */
static const aut_stmt automation_by_name = {
	.name = "automation_by_name",
	.params = "ut",
	.columns = TYPES,
	.sql = "SELECT " COLUMNS FROM " WHERE a.org_id = $1 AND a.name = $2 AND a.deleted_at IS NULL"
		   " ORDER BY a.created_at DESC, a.id DESC LIMIT 100",
};

/* index: automation_org_created_idx */
#define OF_ORG                                                                                     \
	" WHERE a.org_id = $1 AND a.deleted_at IS NULL"                                                \
	" AND ($2 = 0 OR ($2 = 1 AND a.user_id = $3) OR ($2 = 2 AND a.user_id <> $3))"

static const aut_stmt automation_list = {
	.name = "automation_list",
	.params = "uiull",
	.columns = TYPES,
	.sql =
		"SELECT " COLUMNS FROM OF_ORG " ORDER BY a.created_at DESC, a.id DESC LIMIT $4 OFFSET $5",
};

/* From a place on.  Both columns of the index run the same way, so the row value is one range of it. */
static const aut_stmt automation_list_after = {
	.name = "automation_list_after",
	.params = "uiuTul",
	.columns = TYPES,
	.sql = "SELECT " COLUMNS FROM OF_ORG " AND (a.created_at, a.id) < ($4, $5)"
		   " ORDER BY a.created_at DESC, a.id DESC LIMIT $6",
};

static const aut_stmt automation_count = {
	.name = "automation_count",
	.params = "uiu",
	.columns = "l",
	.sql = "SELECT count(*) FROM automation.automation AS a" OF_ORG " LIMIT 1",
};

/* Nothing to remember while a later manual run is there to tell. */
static const aut_stmt automation_triggered = {
	.name = "automation_triggered",
	.params = "uT",
	.columns = "",
	.sql = "UPDATE automation.automation SET last_triggered_at = $2"
		   " WHERE id = $1 AND (last_triggered_at IS NULL OR last_triggered_at < $2)"
		   " AND NOT EXISTS (SELECT 1 FROM automation.run AS m WHERE m.automation_id = $1"
		   " AND m.trigger_source = 'manual' AND m.created_at > $2)",
};

const aut_stmt *const aut__automation_statements[] = {
	&automation_insert,  &automation_update,    &automation_get,
	&automation_by_name, &automation_list,      &automation_list_after,
	&automation_count,   &automation_triggered, NULL,
};

/* ---- reading ------------------------------------------------------------------------------- */

static aut_status
read_one(const aut_rows *rows, size_t row, void *out, aut_error *err)
{
	/* AUT_TIME_NONE is the smallest time, so the latest is the largest */
	int64_t last = aut_rows_time(rows, row, 24);

	for (size_t column = 28; column <= 29; column++)
	{
		int64_t other = aut_rows_time(rows, row, column);

		last = other > last ? other : last;
	}

	(void) err;
	*(aut_automation *) out = (aut_automation){
		.id = aut_rows_uuid(rows, row, 0),
		.org_id = aut_rows_uuid(rows, row, 1),
		.user_id = aut_rows_uuid(rows, row, 2),
		.owner = aut_rows_text(rows, row, 3),
		.name = aut_rows_text(rows, row, 4),
		.description = aut_rows_text(rows, row, 5),
		.prompt = aut_rows_text(rows, row, 6),
		.preset_metadata = aut_rows_text(rows, row, 7),
		.plugin_spec = aut_rows_text(rows, row, 8),
		.model = aut_rows_text(rows, row, 9),
		.agent_profile_id = aut_rows_text(rows, row, 10),
		.trigger = aut_rows_text(rows, row, 11),
		.trigger_type = aut_rows_text(rows, row, 12),
		.observability_associations = aut_rows_text(rows, row, 13),
		.tarball_path = aut_rows_text(rows, row, 14),
		.setup_script_path = aut_rows_text(rows, row, 15),
		.entrypoint = aut_rows_text(rows, row, 16),
		.timeout_s = aut_rows_int(rows, row, 17),
		.has_keep_alive = !aut_rows_null(rows, row, 18),
		.keep_alive = aut_rows_bool(rows, row, 18),
		.state = aut_rows_text(rows, row, 19),
		.disabled_reason = aut_rows_text(rows, row, 20),
		.disabled_detail = aut_rows_text(rows, row, 21),
		.disabled_at = aut_rows_time(rows, row, 22),
		.deleted_at = aut_rows_time(rows, row, 23),
		.last_triggered_at = last,
		.created_at = aut_rows_time(rows, row, 25),
		.updated_at = aut_rows_time(rows, row, 26),
		.next_fire_at = aut_rows_time(rows, row, 27),
		.environment_names = aut_rows_text(rows, row, 30),
		.wait_at_limit = aut_rows_bool(rows, row, 31),
	};
	return AUT_OK;
}

void
aut_automation_list_done(aut_automation_list *list)
{
	if (list == NULL)
		return;
	aut_free(list->items);
	aut_rows_done(&list->rows);
	*list = (aut_automation_list){0};
}

static aut_status
read_list(aut_db *db, const aut_stmt *stmt, const aut_value *params, aut_automation_list *out,
		  aut_error *err)
{
	aut_rows rows = {0};
	void *items = NULL;
	aut_status status =
		aut__read_items(db, stmt, params, sizeof(aut_automation), read_one, &rows, &items, err);

	if (status == AUT_OK)
		*out = (aut_automation_list){items, rows.count, rows};
	return status;
}

aut_status
aut_store_automation_get(aut_db *db, const aut_uuid *org_id, const aut_uuid *id,
						 aut_automation_list *out, aut_error *err)
{
	char text[AUT_UUID_TEXT_MAX];
	aut_automation_list list = {0};
	aut_status status = read_list(db, &automation_get,
								  (aut_value[]){aut_v_uuid(org_id), aut_v_uuid(id)}, &list, err);

	if (status == AUT_OK && list.count == 0)
		status = aut_fail(err, AUT_ENOTFOUND, "automation %s not found", aut_uuid_format(id, text));
	if (status == AUT_OK)
		*out = list;
	else
		aut_automation_list_done(&list);
	return status;
}

aut_status
aut_store_automation_by_name(aut_db *db, const aut_uuid *org_id, const char *name,
							 aut_automation_list *out, aut_error *err)
{
	return read_list(db, &automation_by_name, (aut_value[]){aut_v_uuid(org_id), aut_v_text(name)},
					 out, err);
}

aut_status
aut_store_automation_list(aut_db *db, const aut_uuid *org_id, aut_created_by by,
						  const aut_uuid *user_id, int64_t limit, int64_t offset,
						  aut_automation_list *out, int64_t *out_total, aut_error *err)
{
	aut_value params[] = {
		aut_v_uuid(org_id), aut_v_int((int64_t) by), aut_v_uuid(user_id),
		aut_v_big(limit),   aut_v_big(offset),
	};
	aut_automation_list list = {0};
	aut_rows total = {0};
	aut_status status = aut__check_window(limit, offset, err);

	if (status == AUT_OK)
		status = read_list(db, &automation_list, params, &list, err);
	if (status == AUT_OK && out_total != NULL)
		status = aut_db_run(db, &automation_count, params, &total, NULL, err);
	if (status == AUT_OK)
	{
		if (out_total != NULL)
			*out_total = aut_rows_int(&total, 0, 0);
		*out = list;
	}
	else
		aut_automation_list_done(&list);
	aut_rows_done(&total);
	return status;
}

aut_status
aut_store_automation_list_after(aut_db *db, const aut_uuid *org_id, aut_created_by by,
								const aut_uuid *user_id, const aut_row_place *after, int64_t limit,
								aut_automation_list *out, aut_error *err)
{
	aut_value params[] = {
		aut_v_uuid(org_id),     aut_v_int((int64_t) by),
		aut_v_uuid(user_id),    aut_v_time(after->created_at),
		aut_v_uuid(&after->id), aut_v_big(limit),
	};
	aut_status status = aut__check_window(limit, 0, err);

	if (status == AUT_OK)
		status = read_list(db, &automation_list_after, params, out, err);
	return status;
}

/* ---- writing ------------------------------------------------------------------------------- */

/* 0 seconds in the struct is "not set" in the table. */
static aut_value
timeout_value(const aut_automation *automation)
{
	return automation->timeout_s == 0 ? aut_v_null('i') : aut_v_int(automation->timeout_s);
}

static aut_value
keep_alive_value(const aut_automation *automation)
{
	return automation->has_keep_alive ? aut_v_bool(automation->keep_alive) : aut_v_null('b');
}

aut_status
aut_store_automation_insert(aut_db *db, const aut_automation *automation, aut_error *err)
{
	aut_value params[] = {
		aut_v_uuid(&automation->id),
		aut_v_uuid(&automation->org_id),
		aut_v_uuid(&automation->user_id),
		aut_v_text(automation->owner),
		aut_v_text(automation->name),
		aut_v_text(automation->description),
		aut_v_text(automation->prompt),
		aut_v_json(automation->preset_metadata),
		aut_v_json(automation->plugin_spec),
		aut_v_text(automation->model),
		aut_v_text(automation->agent_profile_id),
		aut_v_json(automation->trigger),
		aut_v_text(automation->trigger_type),
		aut_v_json(automation->observability_associations),
		aut_v_text(automation->tarball_path),
		aut_v_text(automation->setup_script_path),
		aut_v_text(automation->entrypoint),
		timeout_value(automation),
		keep_alive_value(automation),
		aut_v_text(automation->state),
		aut_v_text(automation->disabled_reason),
		aut_v_json(automation->disabled_detail),
		aut_v_time(automation->disabled_at),
		aut_v_time(automation->deleted_at),
		aut_v_time(automation->created_at),
		aut_v_time(automation->updated_at),
		aut_v_bool(automation->wait_at_limit),
	};

	aut_status status = aut_db_run(db, &automation_insert, params, NULL, NULL, err);

	if (status == AUT_OK)
		status = aut__trigger_index_put(db, automation, true, err);
	return status;
}

aut_status
aut_store_automation_update(aut_db *db, const aut_automation *automation, aut_error *err)
{
	char text[AUT_UUID_TEXT_MAX];
	bool found = false;
	aut_value params[] = {
		aut_v_uuid(&automation->id),
		aut_v_text(automation->name),
		aut_v_text(automation->description),
		aut_v_text(automation->prompt),
		aut_v_json(automation->preset_metadata),
		aut_v_json(automation->plugin_spec),
		aut_v_text(automation->model),
		aut_v_text(automation->agent_profile_id),
		aut_v_json(automation->trigger),
		aut_v_text(automation->trigger_type),
		aut_v_json(automation->observability_associations),
		aut_v_text(automation->tarball_path),
		aut_v_text(automation->setup_script_path),
		aut_v_text(automation->entrypoint),
		timeout_value(automation),
		keep_alive_value(automation),
		aut_v_text(automation->state),
		aut_v_text(automation->disabled_reason),
		aut_v_json(automation->disabled_detail),
		aut_v_time(automation->disabled_at),
		aut_v_time(automation->deleted_at),
		aut_v_time(automation->updated_at),
		aut_v_bool(automation->wait_at_limit),
	};
	aut_status status = aut__run_guarded(db, &automation_update, params, &found, err);

	if (status == AUT_OK && !found)
		status = aut_fail(err, AUT_ENOTFOUND, "automation %s not found",
						  aut_uuid_format(&automation->id, text));
	if (status == AUT_OK)
		status = aut__trigger_index_put(db, automation, false, err);
	return status;
}

aut_status
aut_store_automation_triggered(aut_db *db, const aut_uuid *id, int64_t at, aut_error *err)
{
	return aut_db_run(db, &automation_triggered, (aut_value[]){aut_v_uuid(id), aut_v_time(at)},
					  NULL, NULL, err);
}
