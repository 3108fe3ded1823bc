/* SPDX-License-Identifier: MIT */
/*
 * bench/pg_module.c - a module for clusters of the bench: the engine in a background worker over SPI, with a
 * runner that ends every run at once (engine_run.c).
 *
 *   automation_bench_engine(library, runs, batch, single)   start it and return its pid: it queues, drains, writes
 *                                                           a line of JSON to public.bench_result and ends
 *
 * The extension's own worker must be stopped meanwhile.
 */
#include "extension/pg_prelude.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"

#include "bench/engine_run.h"
#include "extension/internal.h"
#include "extension/spi_db.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(automation_bench_engine);
PGDLLEXPORT Datum automation_bench_engine(PG_FUNCTION_ARGS);
PGDLLEXPORT void automation_bench_engine_main(Datum arg);

typedef struct order
{
	int64 runs, batch, single;
} order;

static const aut_stmt result_insert = {
	.name = "bench_result",
	.params = "t",
	.columns = "",
	.sql = "INSERT INTO public.bench_result (line) VALUES ($1)",
};

static void
serve_the_server(void *payload)
{
	(void) payload;
	CHECK_FOR_INTERRUPTS();
}

void
automation_bench_engine_main(Datum arg)
{
	aut_error error = AUT_ERROR_INIT;
	bench_order wanted = {.between = serve_the_server};
	bench_figures figures;
	aut_value line[1];
	aut_db *db = NULL;
	char text[600];
	order given;

	memcpy(&given, MyBgworkerEntry->bgw_extra, sizeof(given));
	wanted.runs = given.runs;
	wanted.batch = given.batch;
	wanted.single = given.single;
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	aut__pin_session();
	if (aut_spi_worker_db(&db, &error) != AUT_OK ||
		bench_engine(db, &wanted, &figures, &error) != AUT_OK)
		elog(FATAL, "%s", error.message);
	(void) bench_figures_text(&wanted, &figures, text, sizeof(text));
	line[0] = aut_v_text(text);
	if (aut_db_run(db, &result_insert, line, NULL, NULL, &error) != AUT_OK)
		elog(FATAL, "%s", error.message);
	aut_db_close(db);
	proc_exit(0);
}

Datum
automation_bench_engine(PG_FUNCTION_ARGS)
{
	char *library = text_to_cstring(PG_GETARG_TEXT_PP(0));
	order given = {
		.runs = PG_GETARG_INT64(1), .batch = PG_GETARG_INT64(2), .single = PG_GETARG_INT64(3)};
	BackgroundWorkerHandle *handle;
	pid_t pid;
	BackgroundWorker worker = {
		.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
		.bgw_start_time = BgWorkerStart_RecoveryFinished,
		.bgw_restart_time = BGW_NEVER_RESTART,
		.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId),
		.bgw_notify_pid = MyProcPid,
	};

	if (given.runs < 1 || given.batch < 1 || given.batch > 10000 || given.single < 0 ||
		given.single > 100000)
		elog(ERROR, "runs must be positive, batch at most 10000, single at most 100000");
	strlcpy(worker.bgw_name, "automation bench", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "automation bench", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, library, sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "automation_bench_engine_main",
			sizeof(worker.bgw_function_name));
	memcpy(worker.bgw_extra, &given, sizeof(given));
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		elog(ERROR, "no slot for a background worker");
	/* Not for its end: the snapshot of whoever waits in a query would keep every row version alive meanwhile. */
	if (WaitForBackgroundWorkerStartup(handle, &pid) != BGWH_STARTED)
		elog(ERROR, "the worker did not start");
	PG_RETURN_INT32(pid);
}
