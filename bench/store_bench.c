/* SPDX-License-Identifier: MIT */
/*
 * bench/store_bench.c - what the store costs over SQLite, beside SQLite alone.
 *
 *   store_bench FOLDER SECONDS
 *
 * One run is three statements in three transactions: insert, claim, end; by 1 and by 100 runs a transaction,
 * with synchronous FULL and NORMAL.  "store" goes through core/store and the SQLite driver with the real
 * tables; "sqlite" is a table of four columns with one index and prepared statements: what the machine allows.
 * Prints one JSON object a line: {"way","sync","batch","runs","runs_per_s"}.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "automation/base.h"
#include "standalone/sqlite_db.h"

#define BATCH_MAX 100

static double seconds;

static void
remove_files(const char *path)
{
	static const char *const ENDS[] = {"", "-wal", "-shm", ".lock", ".new"};
	char name[600];

	for (size_t i = 0; i < sizeof ENDS / sizeof ENDS[0]; i++)
	{
		snprintf(name, sizeof name, "%s%s", path, ENDS[i]);
		(void) unlink(name);
	}
}

static void
report(const char *way, const char *sync, size_t batch, size_t runs, int64_t took_us)
{
	printf("{\"way\": \"%s\", \"sync\": \"%s\", \"batch\": %zu, \"runs\": %zu, \"runs_per_s\": "
		   "%.0f}\n",
		   way, sync, batch, runs, took_us > 0 ? (double) runs * 1e6 / (double) took_us : 0.0);
	(void) fflush(stdout);
}

/* ---- through the store ------------------------------------------------------------------------ */

static aut_status
store_round(aut_db *db, const aut_uuid *automation, size_t batch, aut_error *err)
{
	aut_uuid ids[BATCH_MAX];
	aut_run_end ends[BATCH_MAX];
	bool won[BATCH_MAX];
	size_t claimed = 0;
	int64_t now = aut_now_us(aut_clock_system());

	aut_status status = aut_db_begin(db, err);
	for (size_t i = 0; status == AUT_OK && i < batch; i++)
	{
		aut_run_new run = {.automation_id = *automation,
						   .trigger_source = "manual",
						   .scheduled_for = AUT_TIME_NONE,
						   .created_at = now,
						   .ready_at = now};
		status = aut_uuid_v7(now, &run.id, err);
		if (status == AUT_OK)
			status = aut_store_run_insert(db, &run, err);
	}
	if (status == AUT_OK)
		status = aut_db_commit(db, err);
	if (status == AUT_OK)
		status = aut_db_begin(db, err);
	if (status == AUT_OK)
		status = aut_store_run_claim(
			db, &(aut_claim){.worker = "bench", .now = now, .limit = (int64_t) batch}, ids,
			&claimed, err);
	if (status == AUT_OK)
		status = aut_db_commit(db, err);
	if (status == AUT_OK)
		status = aut_db_begin(db, err);
	for (size_t i = 0; i < claimed; i++)
		ends[i] = (aut_run_end){.id = ids[i],
								.status = AUT_RUN_COMPLETED,
								.from_running = true,
								.completed_at = now,
								.cleanup_at = AUT_TIME_NONE};
	if (status == AUT_OK)
		status = aut_store_run_finish_each(db, ends, claimed, won, err);
	if (status == AUT_OK)
		status = aut_db_commit(db, err);
	aut_sqlite_idle(db);
	return status;
}

static bool
store_way(const char *path, aut_sqlite_durability durability, const char *sync, size_t batch)
{
	aut_error err = AUT_ERROR_INIT;
	aut_sqlite_options options = AUT_SQLITE_OPTIONS_INIT;
	aut_db *db = NULL;
	size_t runs = 0;
	int64_t took = 0;
	aut_automation automation = {.name = "bench",
								 .trigger = "{}",
								 .trigger_type = "cron",
								 .tarball_path = "oh-internal://uploads/none",
								 .entrypoint = "true",
								 .state = "ACTIVE",
								 .disabled_at = AUT_TIME_NONE,
								 .deleted_at = AUT_TIME_NONE};

	remove_files(path);
	options.durability = durability;
	aut_status status = aut_sqlite_open(path, &options, &db, &err);
	if (status == AUT_OK)
		status = aut_uuid_v7(aut_now_us(aut_clock_system()), &automation.id, &err);
	if (status == AUT_OK)
		status = aut_store_automation_insert(db, &automation, &err);
	int64_t start = aut_mono_us(aut_clock_system());
	while (status == AUT_OK && (double) took < seconds * 1e6)
	{
		status = store_round(db, &automation.id, batch, &err);
		runs += batch;
		took = aut_mono_us(aut_clock_system()) - start;
	}
	if (status == AUT_OK)
		report("store", sync, batch, runs, took);
	else
		fprintf(stderr, "store_bench: %s\n", err.message);
	aut_db_close(db);
	remove_files(path);
	return status == AUT_OK;
}

/* ---- SQLite alone -------------------------------------------------------------------------------- */

static bool
step(sqlite3_stmt *stmt)
{
	int code;

	while ((code = sqlite3_step(stmt)) == SQLITE_ROW)
		;
	return sqlite3_reset(stmt) == SQLITE_OK && code == SQLITE_DONE;
}

enum
{
	BEGIN,
	COMMIT,
	INSERT,
	CLAIM,
	END,
	COUNT
};

static bool
raw_round(sqlite3_stmt *const *stmts, int64_t *next_id, size_t batch)
{
	int64_t first = *next_id;
	bool ok = step(stmts[BEGIN]);

	for (size_t i = 0; ok && i < batch; i++)
		ok = sqlite3_bind_int64(stmts[INSERT], 1, (*next_id)++) == SQLITE_OK && step(stmts[INSERT]);
	ok = ok && step(stmts[COMMIT]) && step(stmts[BEGIN]) &&
		 sqlite3_bind_int64(stmts[CLAIM], 1, (int64_t) batch) == SQLITE_OK && step(stmts[CLAIM]) &&
		 step(stmts[COMMIT]) && step(stmts[BEGIN]);
	for (size_t i = 0; ok && i < batch; i++)
		ok =
			sqlite3_bind_int64(stmts[END], 1, first + (int64_t) i) == SQLITE_OK && step(stmts[END]);
	return ok && step(stmts[COMMIT]);
}

static bool
raw_way(const char *path, const char *sync, size_t batch)
{
	static const char *const SQL[COUNT] = {
		"BEGIN IMMEDIATE",
		"COMMIT",
		"INSERT INTO run VALUES (?1, 'PENDING', 1, NULL)",
		"UPDATE run SET status = 'RUNNING', worker = 'bench' WHERE id IN (SELECT id FROM run"
		" WHERE status = 'PENDING' ORDER BY ready_at, id LIMIT ?1) RETURNING id",
		"UPDATE run SET status = 'COMPLETED' WHERE id = ?1 AND status = 'RUNNING'",
	};
	sqlite3 *db = NULL;
	sqlite3_stmt *stmts[COUNT] = {NULL};
	char setup[400];
	size_t runs = 0;
	int64_t next_id = 1, took = 0;

	remove_files(path);
	snprintf(
		setup, sizeof setup,
		"PRAGMA journal_mode = WAL; PRAGMA synchronous = %s;"
		"CREATE TABLE run (id INTEGER PRIMARY KEY, status TEXT, ready_at INTEGER, worker TEXT);"
		"CREATE INDEX run_ready ON run (ready_at, id) WHERE status = 'PENDING'",
		sync);
	bool ok = sqlite3_open(path, &db) == SQLITE_OK &&
			  sqlite3_exec(db, setup, NULL, NULL, NULL) == SQLITE_OK;
	for (int i = 0; ok && i < COUNT; i++)
		ok = sqlite3_prepare_v2(db, SQL[i], -1, &stmts[i], NULL) == SQLITE_OK;
	int64_t start = aut_mono_us(aut_clock_system());
	while (ok && (double) took < seconds * 1e6)
	{
		ok = raw_round(stmts, &next_id, batch);
		runs += batch;
		took = aut_mono_us(aut_clock_system()) - start;
	}
	if (ok)
		report("sqlite", sync, batch, runs, took);
	else
		fprintf(stderr, "store_bench: %s\n", db != NULL ? sqlite3_errmsg(db) : "no memory");
	for (int i = 0; i < COUNT; i++)
		sqlite3_finalize(stmts[i]);
	sqlite3_close(db);
	remove_files(path);
	return ok;
}

int
main(int argc, char **argv)
{
	static const size_t BATCHES[] = {1, BATCH_MAX};
	char path[500];
	bool ok = true;

	seconds = argc == 3 ? strtod(argv[2], NULL) : 0;
	if (argc != 3 || !(seconds > 0 && seconds <= 600) || strlen(argv[1]) > 400)
	{
		fprintf(stderr, "usage: store_bench FOLDER SECONDS\n");
		return 2;
	}
	snprintf(path, sizeof path, "%s/store-bench.db", argv[1]);
	for (size_t i = 0; i < 2; i++)
	{
		ok = store_way(path, AUT_SQLITE_FULL, "FULL", BATCHES[i]) && ok;
		ok = raw_way(path, "FULL", BATCHES[i]) && ok;
		ok = store_way(path, AUT_SQLITE_NORMAL, "NORMAL", BATCHES[i]) && ok;
		ok = raw_way(path, "NORMAL", BATCHES[i]) && ok;
	}
	return ok ? 0 : 1;
}
