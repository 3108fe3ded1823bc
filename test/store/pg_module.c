/* SPDX-License-Identifier: MIT */
/*
 * test/store/pg_module.c - a module for test servers that runs the store suite over both SPI handles.
 *
 *   automation_store_door()          the suite through the door handle, in the caller's transaction
 *   automation_store_door_error(t)   provoke an error through the door handle and let it out again
 *   automation_store_worker(t)       run test t through the worker handle in a background worker and
 *                                    wait for it; lines go to the table public.store_result
 *
 * The worker's tests beyond the suite need another session: the caller, who holds locks meanwhile.
 */
#include "extension/pg_prelude.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "extension/spi_db.h"
#include "test/store/store_suite.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(automation_store_door);
PG_FUNCTION_INFO_V1(automation_store_door_error);
PG_FUNCTION_INFO_V1(automation_store_worker);
PGDLLEXPORT Datum automation_store_door(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum automation_store_door_error(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum automation_store_worker(PG_FUNCTION_ARGS);
PGDLLEXPORT void automation_store_worker_main(Datum arg);

typedef struct log
{
	aut_buf text;
	const char *prefix;
} log;

static void
log_line(void *payload, const char *name, bool passed, const char *detail)
{
	log *out = payload;

	aut_buf_printf(&out->text, "[%s] %s: %s%s%s\n", passed ? "       OK " : "  FAILED  ",
				   out->prefix, name, passed ? "" : "\n    ", detail);
}

/* ---- the door -------------------------------------------------------------------------------- */

Datum
automation_store_door(PG_FUNCTION_ARGS)
{
	log out = {.prefix = "spi door"};
	aut_error error = AUT_ERROR_INIT;
	aut_db *db = NULL;
	text *result;

	aut_buf_init(&out.text, 1 << 20);
	if (aut_spi_door_db(&db, &error) != AUT_OK)
		elog(ERROR, "%s", error.message);
	aut_store_suite(db, AUT_SUITE_DOOR, log_line, &out);
	aut_spi_door_rethrow(db);
	aut_db_close(db);
	result = cstring_to_text(out.text.data == NULL ? "" : out.text.data);
	aut_buf_done(&out.text);
	PG_RETURN_TEXT_P(result);
}

static const aut_stmt divide = {
	.name = "test_divide",
	.params = "l",
	.columns = "l",
	.sql = "SELECT 1 / $1 LIMIT 1",
};
static const aut_stmt nonsense = {
	.name = "test_nonsense",
	.params = "",
	.columns = "l",
	.sql = "SELECT x FROM automation.nowhere LIMIT 1",
};
static const aut_stmt long_text = {
	.name = "test_long_text",
	.params = "",
	.columns = "t",
	.sql = "SELECT pg_catalog.repeat('x', 100000) LIMIT 1",
};

Datum
automation_store_door_error(PG_FUNCTION_ARGS)
{
	char *what = text_to_cstring(PG_GETARG_TEXT_PP(0));
	suite s = {.next_id = 0};
	aut_rows rows = {0};
	aut_value zero[] = {aut_v_big(0)};
	aut_status status = AUT_OK;

	if (aut_spi_door_db(&s.db, &s.error) != AUT_OK)
		elog(ERROR, "%s", s.error.message);
	if (strcmp(what, "divide") == 0)
		status = aut_db_run(s.db, &divide, zero, &rows, NULL, &s.error);
	else if (strcmp(what, "nonsense") == 0)
		status = aut_db_run(s.db, &nonsense, NULL, &rows, NULL, &s.error);
	else if (strcmp(what, "unique") == 0)
	{
		aut_automation automation = suite_automation(&s, "twice");

		status = aut_store_automation_insert(s.db, &automation, &s.error);
		if (status == AUT_OK)
			status = aut_store_automation_insert(s.db, &automation, &s.error);
	}
	if (status == AUT_OK)
		elog(ERROR, "no error came");
	if (!s.db->failed)
		elog(ERROR, "the handle is not poisoned");
	/* poisoned: the same answer, and the server is not asked */
	if (aut_db_run(s.db, &long_text, NULL, &rows, NULL, &s.error) != status)
		elog(ERROR, "a poisoned handle gave another answer");
	aut_spi_door_rethrow(s.db);
	elog(ERROR, "the error was not raised again");
}

/* ---- the worker ------------------------------------------------------------------------------ */

static const aut_stmt result_insert = {
	.name = "test_result",
	.params = "t",
	.columns = "",
	.sql = "INSERT INTO public.store_result (line) VALUES ($1)",
};
static const aut_stmt cancel_self = {
	.name = "test_cancel",
	.params = "",
	.columns = "t",
	.sql = "SELECT pg_catalog.pg_cancel_backend(pg_catalog.pg_backend_pid())::text"
		   " || pg_catalog.pg_sleep(20)::text LIMIT 1",
};
static const aut_stmt deferred_insert = {
	.name = "test_deferred",
	.params = "l",
	.columns = "",
	.sql = "INSERT INTO public.deferred (parent) VALUES ($1)",
};
static const aut_stmt too_much = {
	.name = "test_too_much",
	.params = "",
	.columns = "t",
	.sql = "SELECT pg_catalog.repeat('x', 1100000000) LIMIT 1",
};
static const aut_stmt wrong_column = {
	.name = "test_wrong_column",
	.params = "",
	.columns = "l",
	.sql = "SELECT 'text' LIMIT 1",
};
static const aut_stmt settings = {
	.name = "test_settings",
	.params = "",
	.columns = "tt",
	.sql = "SELECT pg_catalog.current_setting('transaction_isolation'),"
		   " pg_catalog.current_setting('transaction_read_only') LIMIT 1",
};

static void
errors_become_their_kinds(suite *s)
{
	aut_rows rows = {0};
	aut_value zero[] = {aut_v_big(0)};

	EXPECT_STATUS(AUT_EINVAL, aut_db_run(s->db, &divide, zero, &rows, NULL, &s->error));
	EXPECT_TEXT("22012", s->error.sqlstate);
	EXPECT_STATUS(AUT_EDB, aut_db_run(s->db, &nonsense, NULL, &rows, NULL, &s->error));
	EXPECT_TEXT("42P01", s->error.sqlstate);
	EXPECT_STATUS(AUT_ETIMEOUT, aut_db_run(s->db, &cancel_self, NULL, &rows, NULL, &s->error));
	EXPECT_TEXT("57014", s->error.sqlstate);
	EXPECT_STATUS(AUT_EINVAL, aut_db_run(s->db, &too_much, NULL, &rows, NULL, &s->error));
	EXPECT_STATUS(AUT_EINTERNAL, aut_db_run(s->db, &wrong_column, NULL, &rows, NULL, &s->error));
	EXPECT(!s->db->failed && !s->db->in_transaction && !IsTransactionState());
	EXPECT_OK(aut_db_run(s->db, &long_text, NULL, &rows, NULL, &s->error));
	EXPECT_INT(100000, (int64_t) aut_rows_at(&rows, 0, 0)->len);
	aut_rows_done(&rows);
}

static void
bad_json_is_refused(suite *s)
{
	aut_automation automation = suite_automation(s, "a");

	automation.trigger = "{\"a\":";
	EXPECT_STATUS(AUT_EINVAL, aut_store_automation_insert(s->db, &automation, &s->error));
	EXPECT_TEXT("22P02", s->error.sqlstate);
}

static void
defaults_of_the_database_do_not_matter(suite *s)
{
	aut_rows rows = {0};

	EXPECT_OK(aut_db_run(s->db, &settings, NULL, &rows, NULL, &s->error));
	EXPECT_TEXT("read committed", aut_rows_text(&rows, 0, 0));
	EXPECT_TEXT("off", aut_rows_text(&rows, 0, 1));
	aut_rows_done(&rows);
}

static void
a_commit_can_fail(suite *s)
{
	aut_value bad[] = {aut_v_big(42)};
	aut_value good[] = {aut_v_null('l')};

	EXPECT_OK(aut_db_begin(s->db, &s->error));
	EXPECT_OK(aut_db_run(s->db, &deferred_insert, bad, NULL, NULL, &s->error));
	EXPECT_STATUS(AUT_EINVAL, aut_db_commit(s->db, &s->error));
	EXPECT_TEXT("23503", s->error.sqlstate);
	EXPECT(!s->db->failed && !s->db->in_transaction && !IsTransactionState());
	EXPECT_STATUS(AUT_EINVAL, aut_db_run(s->db, &deferred_insert, bad, NULL, NULL, &s->error));
	EXPECT_OK(aut_db_run(s->db, &deferred_insert, good, NULL, NULL, &s->error));
}

/* Errors must not gather memory: a worker lives for months. */
static void
errors_leave_no_memory_behind(suite *s)
{
	aut_rows rows = {0};
	aut_value zero[] = {aut_v_big(0)};
	Size before = 0;

	for (int i = 0; i < 4000 && !s->failed; i++)
	{
		if (i == 1000)
			before = MemoryContextMemAllocated(TopMemoryContext, true);
		EXPECT_STATUS(AUT_EINVAL, aut_db_run(s->db, &divide, zero, &rows, NULL, &s->error));
	}
	EXPECT_INT((int64_t) before, (int64_t) MemoryContextMemAllocated(TopMemoryContext, true));
}

/* The caller holds the lease's row: with lock_timeout the worker gives way instead of waiting. */
static void
a_locked_row_is_EBUSY(suite *s)
{
	SetConfigOption("lock_timeout", "100ms", PGC_USERSET, PGC_S_OVERRIDE);
	EXPECT_STATUS(AUT_EBUSY,
				  aut_store_worker_lease(s->db, "held", 1, SUITE_NOW, SUITE_NOW, &s->error));
	EXPECT_TEXT("55P03", s->error.sqlstate);
}

/* The caller holds one of two pending runs and one of two due schedules. */
static void
locked_rows_are_skipped(suite *s)
{
	aut_uuid ids[4];
	size_t count = 0;
	aut_due_list due = {0};

	EXPECT_OK(aut_store_run_claim(s->db, &(aut_claim){.worker = "w", .now = SUITE_NOW, .limit = 4},
								  ids, &count, &s->error));
	EXPECT_INT(1, (int64_t) count);
	EXPECT_OK(aut_store_schedule_due(s->db, SUITE_NOW, 4, &due, &s->error));
	EXPECT_INT(1, (int64_t) due.count);
	aut_due_list_done(&due);
}

/* In a database whose encoding is LATIN1: core's UTF-8 goes in and comes out. */
static void
other_encodings_are_converted(suite *s)
{
	aut_automation automation = suite_automation(s, "gr\xc3\xbc\xc3\x9f dich");
	aut_automation_list list = {0};

	EXPECT_OK(aut_store_automation_insert(s->db, &automation, &s->error));
	EXPECT_OK(aut_store_automation_by_name(s->db, &s->org, automation.name, &list, &s->error));
	EXPECT_TEXT(automation.name, list.count == 1 ? list.items->name : NULL);
	aut_automation_list_done(&list);
	automation = suite_automation(s, "\xe2\x82\xac"); /* LATIN1 has no euro sign */
	EXPECT_STATUS(AUT_EINVAL, aut_store_automation_insert(s->db, &automation, &s->error));
	EXPECT_TEXT("22P05", s->error.sqlstate);
	suite_insert_automation(s, "still fine");
}

static const suite_test worker_tests[] = {
	{"errors_become_their_kinds", errors_become_their_kinds, false},
	{"bad_json_is_refused", bad_json_is_refused, false},
	{"defaults_of_the_database_do_not_matter", defaults_of_the_database_do_not_matter, false},
	{"a_commit_can_fail", a_commit_can_fail, false},
	{"errors_leave_no_memory_behind", errors_leave_no_memory_behind, false},
	{"a_locked_row_is_EBUSY", a_locked_row_is_EBUSY, false},
	{"locked_rows_are_skipped", locked_rows_are_skipped, false},
	{"other_encodings_are_converted", other_encodings_are_converted, false},
	{NULL, NULL, false},
};

static void
run_one(aut_db *db, const char *what, log *out)
{
	for (const suite_test *test = worker_tests; test->name != NULL; test++)
	{
		suite s = {.db = db};

		if (strcmp(test->name, what) != 0)
			continue;
		test->run(&s);
		log_line(out, test->name, !s.failed, s.detail);
		aut_db_rollback(db);
		return;
	}
	log_line(out, what, false, "no such test");
}

void
automation_store_worker_main(Datum arg)
{
	log out = {.prefix = "spi worker"};
	aut_error error = AUT_ERROR_INIT;
	aut_value line[1];
	aut_db *db = NULL;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_OVERRIDE);
	aut_buf_init(&out.text, 1 << 20);
	if (aut_spi_worker_db(&db, &error) != AUT_OK)
		elog(FATAL, "%s", error.message);
	if (strcmp(MyBgworkerEntry->bgw_extra, "suite") == 0)
		aut_store_suite(db, 0, log_line, &out);
	else
		run_one(db, MyBgworkerEntry->bgw_extra, &out);
	line[0] = aut_v_text(out.text.data);
	if (aut_db_run(db, &result_insert, line, NULL, NULL, &error) != AUT_OK)
		elog(FATAL, "%s", error.message);
	aut_db_close(db);
	aut_buf_done(&out.text);
	proc_exit(0);
}

Datum
automation_store_worker(PG_FUNCTION_ARGS)
{
	char *what = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *library = text_to_cstring(PG_GETARG_TEXT_PP(1));
	BackgroundWorker worker = {
		.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
		.bgw_start_time = BgWorkerStart_RecoveryFinished,
		.bgw_restart_time = BGW_NEVER_RESTART,
		.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId),
		.bgw_notify_pid = MyProcPid,
	};
	BackgroundWorkerHandle *handle;

	strlcpy(worker.bgw_name, "store test", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "store test", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, library, sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "automation_store_worker_main", BGW_MAXLEN);
	strlcpy(worker.bgw_extra, what, BGW_EXTRALEN);
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		elog(ERROR, "no slot for a background worker");
	if (WaitForBackgroundWorkerShutdown(handle) != BGWH_STOPPED)
		elog(ERROR, "the worker did not stop");
	PG_RETURN_VOID();
}
