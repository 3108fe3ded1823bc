/* SPDX-License-Identifier: MIT */
/*
 * core/store/triggers.c - the index by which an event finds the automations it may concern.
 *
 * An automation stands in it once per key (core/match/trigger_key.c says which).  Whoever changes an event
 * automation changes its rows and its org's stamp in the same transaction, so a cache that compares stamps
 * is never behind what has been committed.  Stamps are random numbers, not counters: after a rollback
 * another change must not get the same one.
 */
#include <string.h>

#include "automation/store_events.h"
#include "core/store/internal.h"

static const aut_stmt trigger_insert = {
	.name = "trigger_insert",
	.params = "utttlul",
	.columns = "",
	.sql = "INSERT INTO automation.event_trigger"
		   " (org_id, source, scope, path, literal, automation_id, version)"
		   " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
};

/* index: event_trigger_automation_idx */
static const aut_stmt trigger_delete = {
	.name = "trigger_delete",
	.params = "u",
	.columns = "",
	.sql = "DELETE FROM automation.event_trigger WHERE automation_id = $1",
};

/* index: event_trigger_automation_idx */
static const aut_stmt trigger_touch = {
	.name = "trigger_touch",
	.params = "ul",
	.columns = "u",
	.sql = "UPDATE automation.event_trigger SET version = $2 WHERE automation_id = $1"
		   " RETURNING org_id",
};

static const aut_stmt trigger_stamp_set = {
	.name = "trigger_stamp_set",
	.params = "ul",
	.columns = "",
	.sql = "INSERT INTO automation.event_generation (org_id, stamp) VALUES ($1, $2)"
		   " ON CONFLICT (org_id) DO UPDATE SET stamp = excluded.stamp",
};

static const aut_stmt trigger_stamp = {
	.name = "trigger_stamp",
	.params = "u",
	.columns = "l",
	.sql = "SELECT stamp FROM automation.event_generation WHERE org_id = $1 LIMIT 1",
};

/* index: the primary key, as of the next three */
static const aut_stmt trigger_find = {
	.name = "trigger_find",
	.params = "utttlul",
	.columns = "ul",
	.sql = "SELECT automation_id, version FROM automation.event_trigger WHERE org_id = $1"
		   " AND source = $2 AND scope = $3 AND path = $4 AND literal = $5 AND automation_id > $6"
		   " ORDER BY automation_id LIMIT $7",
};

static const aut_stmt trigger_next_path = {
	.name = "trigger_next_path",
	.params = "uttt",
	.columns = "t",
	.sql = "SELECT path FROM automation.event_trigger WHERE org_id = $1 AND source = $2"
		   " AND scope = $3 AND path > $4 ORDER BY path LIMIT 1",
};

static const aut_stmt trigger_beyond = {
	.name = "trigger_beyond",
	.params = "utttl",
	.columns = "ul",
	.sql = "SELECT automation_id, version FROM automation.event_trigger WHERE org_id = $1"
		   " AND source = $2 AND scope = $3 AND path > $4 LIMIT $5",
};

static const aut_stmt trigger_definition = {
	.name = "trigger_definition",
	.params = "u",
	.columns = "jtjt",
	.sql = "SELECT trigger, state, observability_associations, name FROM automation.automation"
		   " WHERE id = $1 AND deleted_at IS NULL LIMIT 1",
};

const aut_stmt *const aut__trigger_statements[] = {
	&trigger_insert, &trigger_delete,    &trigger_touch,  &trigger_stamp_set,  &trigger_stamp,
	&trigger_find,   &trigger_next_path, &trigger_beyond, &trigger_definition, NULL,
};

/* ---- writing ------------------------------------------------------------------------------- */

static aut_status
stamp_set(aut_db *db, const aut_uuid *org_id, int64_t stamp, aut_error *err)
{
	return aut_db_run(db, &trigger_stamp_set, (aut_value[]){aut_v_uuid(org_id), aut_v_big(stamp)},
					  NULL, NULL, err);
}

aut_status
aut_store_trigger_put(aut_db *db, const aut_uuid *org_id, const aut_uuid *automation_id,
					  const char *source, const aut_trigger_key *keys, size_t count, int64_t stamp,
					  bool *out_changed, aut_error *err)
{
	bool changed = false;
	aut_status status = aut__run_guarded(db, &trigger_delete,
										 (aut_value[]){aut_v_uuid(automation_id)}, &changed, err);

	for (size_t i = 0; status == AUT_OK && i < count; i++)
	{
		aut_value params[] = {
			aut_v_uuid(org_id),       aut_v_text(source),         aut_v_text(keys[i].scope),
			aut_v_text(keys[i].path), aut_v_big(keys[i].literal), aut_v_uuid(automation_id),
			aut_v_big(stamp),
		};

		status = aut_db_run(db, &trigger_insert, params, NULL, NULL, err);
		changed = true;
	}
	/* last: it is where changes of one org wait for each other */
	if (status == AUT_OK && changed)
		status = stamp_set(db, org_id, stamp, err);
	if (status == AUT_OK && out_changed != NULL)
		*out_changed = changed;
	return status;
}

aut_status
aut_store_trigger_touch(aut_db *db, const aut_uuid *automation_id, int64_t stamp, aut_error *err)
{
	aut_rows rows = {0};
	aut_uuid org_id;
	aut_status status =
		aut_db_run(db, &trigger_touch, (aut_value[]){aut_v_uuid(automation_id), aut_v_big(stamp)},
				   &rows, NULL, err);

	if (status == AUT_OK && rows.count > 0)
	{
		org_id = aut_rows_uuid(&rows, 0, 0);
		status = stamp_set(db, &org_id, stamp, err);
	}
	aut_rows_done(&rows);
	return status;
}

/* ---- reading ------------------------------------------------------------------------------- */

aut_status
aut_store_trigger_stamp(aut_db *db, const aut_uuid *org_id, int64_t *out, aut_error *err)
{
	aut_rows rows = {0};
	aut_status status =
		aut_db_run(db, &trigger_stamp, (aut_value[]){aut_v_uuid(org_id)}, &rows, NULL, err);

	if (status == AUT_OK)
		*out = rows.count > 0 ? aut_rows_int(&rows, 0, 0) : 0;
	aut_rows_done(&rows);
	return status;
}

aut_status
aut_store_trigger_find(aut_db *db, const aut_trigger_probe *probe, const aut_uuid *after,
					   int64_t limit, aut_rows *out, aut_error *err)
{
	aut_value params[] = {
		aut_v_uuid(&probe->org_id), aut_v_text(probe->source), aut_v_text(probe->scope),
		aut_v_text(probe->path),    aut_v_big(probe->literal), aut_v_uuid(after),
		aut_v_big(limit),
	};
	aut_status status = aut__check_window(limit, 0, err);

	if (status == AUT_OK)
		status = aut_db_run(db, &trigger_find, params, out, NULL, err);
	return status;
}

aut_status
aut_store_trigger_next_path(aut_db *db, const aut_trigger_probe *probe, aut_rows *rows,
							const char **out, aut_error *err)
{
	aut_value params[] = {aut_v_uuid(&probe->org_id), aut_v_text(probe->source),
						  aut_v_text(probe->scope), aut_v_text(probe->path)};
	aut_status status = aut_db_run(db, &trigger_next_path, params, rows, NULL, err);

	if (status == AUT_OK)
		*out = rows->count > 0 ? aut_rows_text(rows, 0, 0) : NULL;
	return status;
}

aut_status
aut_store_trigger_beyond(aut_db *db, const aut_trigger_probe *probe, int64_t limit, aut_rows *out,
						 aut_error *err)
{
	aut_value params[] = {aut_v_uuid(&probe->org_id), aut_v_text(probe->source),
						  aut_v_text(probe->scope), aut_v_text(probe->path), aut_v_big(limit)};

	return aut_db_run(db, &trigger_beyond, params, out, NULL, err);
}

aut_status
aut_store_trigger_definition(aut_db *db, const aut_uuid *automation_id, aut_rows *out,
							 aut_error *err)
{
	return aut_db_run(db, &trigger_definition, (aut_value[]){aut_v_uuid(automation_id)}, out, NULL,
					  err);
}
