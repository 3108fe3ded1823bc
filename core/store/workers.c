/* SPDX-License-Identifier: MIT */
/*
 * core/store/workers.c - who executes, and until when it is believed alive.
 *
 * One small row per worker is the lease of all its claims (claims.c).  A worker that leaves in order
 * removes its row, so that what it still held is adopted at once.
 */
#include "core/store/internal.h"

static const aut_stmt worker_lease = {
	.name = "worker_lease",
	.params = "tlTT",
	.columns = "",
	.sql = "INSERT INTO automation.worker (name, pid, started_at, renewed_at, lease_until)"
		   " VALUES ($1, $2, $3, $3, $4)"
		   " ON CONFLICT (name) DO UPDATE SET pid = excluded.pid, renewed_at = excluded.renewed_at,"
		   " lease_until = excluded.lease_until",
};

static const aut_stmt worker_leave = {
	.name = "worker_leave",
	.params = "t",
	.columns = "",
	.sql = "DELETE FROM automation.worker WHERE name = $1",
};

const aut_stmt *const aut__worker_statements[] = {&worker_lease, &worker_leave, NULL};

aut_status
aut_store_worker_lease(aut_db *db, const char *name, int64_t pid, int64_t now, int64_t lease_until,
					   aut_error *err)
{
	aut_value params[] = {
		aut_v_text(name),
		aut_v_big(pid),
		aut_v_time(now),
		aut_v_time(lease_until),
	};

	return aut_db_run(db, &worker_lease, params, NULL, NULL, err);
}

aut_status
aut_store_worker_leave(aut_db *db, const char *name, aut_error *err)
{
	return aut_db_run(db, &worker_leave, (aut_value[]){aut_v_text(name)}, NULL, NULL, err);
}
