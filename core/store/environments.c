/* SPDX-License-Identifier: MIT */
/*
 * core/store/environments.c - the statements over variables of automations
 * (include/automation/environment.h).
 *
 * Apart from the definitions, so that lists of those do not read what nobody may see.
 */
#include "automation/environment.h"
#include "core/store/internal.h"

static const aut_stmt environment_put = {
	.name = "environment_put",
	.params = "ujx",
	.columns = "",
	.sql = "INSERT INTO automation.environment (automation_id, names, sealed) VALUES ($1, $2, $3)"
		   " ON CONFLICT (automation_id) DO UPDATE SET names = EXCLUDED.names,"
		   " sealed = EXCLUDED.sealed",
};

static const aut_stmt environment_delete = {
	.name = "environment_delete",
	.params = "u",
	.columns = "",
	.sql = "DELETE FROM automation.environment WHERE automation_id = $1",
};

static const aut_stmt environment_get = {
	.name = "environment_get",
	.params = "u",
	.columns = "x",
	.sql = "SELECT sealed FROM automation.environment WHERE automation_id = $1 LIMIT 1",
};

const aut_stmt *const aut__environment_statements[] = {
	&environment_put,
	&environment_delete,
	&environment_get,
	NULL,
};

aut_status
aut_store_environment_put(aut_db *db, const aut_uuid *automation_id, const char *names,
						  const void *sealed, size_t len, aut_error *err)
{
	aut_value params[] = {aut_v_uuid(automation_id), aut_v_json(names), aut_v_bytes(sealed, len)};

	return aut_db_run(db, &environment_put, params, NULL, NULL, err);
}

aut_status
aut_store_environment_delete(aut_db *db, const aut_uuid *automation_id, aut_error *err)
{
	return aut_db_run(db, &environment_delete, (aut_value[]){aut_v_uuid(automation_id)}, NULL, NULL,
					  err);
}

aut_status
aut_store_environment_get(aut_db *db, const aut_uuid *automation_id, aut_rows *out, aut_error *err)
{
	return aut_db_run(db, &environment_get, (aut_value[]){aut_v_uuid(automation_id)}, out, NULL,
					  err);
}
