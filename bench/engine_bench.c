/* SPDX-License-Identifier: MIT */
/*
 * bench/engine_bench.c - the engine over SQLite, with a runner that ends every run at once (engine_run.c).
 *
 *   engine_bench FOLDER RUNS BATCH SINGLE FULL|NORMAL
 *
 * Prints one line of JSON.  The database is made in FOLDER and removed.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/engine_run.h"
#include "standalone/sqlite_db.h"

static void
checkpoint(void *payload)
{
	aut_sqlite_idle(payload);
}

int
main(int argc, char **argv)
{
	static const char *const ENDS[] = {"", "-wal", "-shm", ".lock", ".new"};
	aut_error err = AUT_ERROR_INIT;
	aut_sqlite_options options = AUT_SQLITE_OPTIONS_INIT;
	bench_order order = {.between = checkpoint};
	bench_figures figures;
	aut_db *db = NULL;
	char path[500], text[600];
	bool full = argc == 6 && strcmp(argv[5], "FULL") == 0;

	if (argc != 6 || (!full && strcmp(argv[5], "NORMAL") != 0) || strlen(argv[1]) > 400 ||
		!aut_int_parse(argv[2], 1, 10000000, &order.runs) ||
		!aut_int_parse(argv[3], 1, 10000, &order.batch) ||
		!aut_int_parse(argv[4], 0, 100000, &order.single))
	{
		fprintf(stderr, "usage: engine_bench FOLDER RUNS BATCH SINGLE FULL|NORMAL\n");
		return 2;
	}
	snprintf(path, sizeof path, "%s/engine-bench.db", argv[1]);
	options.durability = full ? AUT_SQLITE_FULL : AUT_SQLITE_NORMAL;
	aut_status status = aut_sqlite_open(path, &options, &db, &err);
	order.payload = db;
	if (status == AUT_OK)
		status = bench_engine(db, &order, &figures, &err);
	if (status != AUT_OK)
		fprintf(stderr, "engine_bench: %s\n", err.message);
	else if (bench_figures_text(&order, &figures, text, sizeof text) > 0)
		puts(text);
	aut_db_close(db);
	for (size_t i = 0; i < sizeof ENDS / sizeof ENDS[0]; i++)
	{
		snprintf(text, sizeof text, "%s%s", path, ENDS[i]);
		(void) unlink(text);
	}
	return status == AUT_OK ? 0 : 1;
}
