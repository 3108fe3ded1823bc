/* SPDX-License-Identifier: MIT */
/*
 * extension/sql_action.c - SQL actions: their texts, and the process that executes one.
 *
 * The process is connected as the automation's owner: session user and current user are the owner, so
 * nothing in the text (RESET ROLE, SET SESSION AUTHORIZATION) leads further.  It
 *
 *   1. takes the action's user lock, which tells a later worker that it goes on;
 *   2. in a transaction of its own reads the text and notes the start, if none is noted yet: that is
 *      the fence that makes a second execution impossible;
 *   3. executes the statements through portals, as the server does with a simple query, so that CALL
 *      with COMMIT, VACUUM and CREATE INDEX CONCURRENTLY work where they stand alone;
 *   4. writes output and end of the run in the transaction of the last statement: a run is COMPLETED
 *      exactly if its work is committed.  If somebody ended the run meanwhile (cancel, deadline) the work
 *      is rolled back.  After an error the end is written in a transaction of its own.
 *
 * Several statements are one transaction.  Statements that end it are refused (a ROLLBACK in the middle
 * would report success and lose what came before), and so is COPY from or to a client that is not there.
 *
 * Command tags, row counts and notices become the run's output: the newest OUTPUT_MAX bytes.
 */
#include "door.h"

#include <signal.h>

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/analyze.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "tcop/cmdtag.h"
#include "tcop/dest.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#include "utils/uuid.h"

#include "spi_db.h"

#define TEXT_MAX   (1024 * 1024)
#define OUTPUT_MAX (256 * 1024)
#define ERROR_MAX  8000

/* ---- texts ------------------------------------------------------------------------------------ */

/* Why a statement cannot be (part of) an action, or NULL. */
static const char *
fault_of(const Node *statement)
{
	const CopyStmt *copy = (const CopyStmt *) statement;

	if (IsA(statement, TransactionStmt))
		return "BEGIN, COMMIT, ROLLBACK and the like cannot be used in a SQL action: it is one "
			   "transaction";
	if (IsA(statement, CopyStmt) && copy->filename == NULL)
		return "COPY FROM STDIN and TO STDOUT cannot be used in a SQL action: there is no client";
	return NULL;
}

/* Parse and judge; the list is in the current memory context. */
static List *
parse(const char *sql)
{
	List *statements;
	ListCell *cell;

	if (strlen(sql) > TEXT_MAX)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("the text of a SQL action must have at most %d bytes", TEXT_MAX)));
	statements = pg_parse_query(sql);
	if (statements == NIL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the SQL action has no statement")));
	foreach (cell, statements)
	{
		const char *fault = fault_of(lfirst_node(RawStmt, cell)->stmt);

		if (fault != NULL)
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("%s", fault)));
	}
	return statements;
}

void
aut__action_check(const char *sql)
{
	(void) parse(sql);
}

void
aut__action_check_owner(Oid role)
{
	HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	bool can_login;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("role %u does not exist", role)));
	can_login = ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;
	ReleaseSysCache(tuple);
	if (!can_login && AUT_PG_BYPASS_LOGIN_CHECK == 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("role \"%s\" cannot own SQL actions: it may not log in",
							   GetUserNameFromId(role, false)),
						errhint("ALTER ROLE … LOGIN, or create the automation as a role with "
								"LOGIN. From PostgreSQL "
								"17 on this is not needed.")));
}

void
aut__action_keep(const aut_uuid *automation, const char *sql)
{
	static const char put[] =
		"INSERT INTO automation.sql_action (automation_id, sql) VALUES ($1, $2)"
		" ON CONFLICT (automation_id) DO UPDATE SET sql = excluded.sql";
	static const char drop[] = "DELETE FROM automation.sql_action WHERE automation_id = $1";
	Oid types[2] = {UUIDOID, TEXTOID};
	Datum values[2];
	aut__disguise d;

	values[0] = aut__uuid_datum(automation);
	values[1] = sql != NULL ? CStringGetTextDatum(sql) : (Datum) 0;
	aut__disguise_as_us(&d);
	SPI_connect();
	if (SPI_execute_with_args(sql != NULL ? put : drop, sql != NULL ? 2 : 1, types, values, NULL,
							  false, 0) < 0)
		elog(ERROR, "automation: the text of a SQL action cannot be kept");
	SPI_finish();
	aut__disguise_end(&d);
}

/* ---- what the process has printed ------------------------------------------------------------- */

static struct
{
	char *data; /* OUTPUT_MAX bytes; NULL: nothing is kept */
	size_t len;
	int64_t dropped; /* bytes that came before */
} output;
static emit_log_hook_type earlier_log_hook;

/* Bounded and without errors: it is called while an error is being reported. */
static void
keep_text(const char *text, size_t len)
{
	if (output.data == NULL)
		return;
	if (len > OUTPUT_MAX / 2)
	{
		output.dropped += (int64_t) (len - OUTPUT_MAX / 2);
		text += len - OUTPUT_MAX / 2;
		len = OUTPUT_MAX / 2;
	}
	if (output.len + len > OUTPUT_MAX)
	{
		size_t gone = output.len + len - OUTPUT_MAX / 2;

		if (gone > output.len)
			gone = output.len;
		memmove(output.data, output.data + gone, output.len - gone);
		output.len -= gone;
		output.dropped += (int64_t) gone;
	}
	memcpy(output.data + output.len, text, len);
	output.len += len;
}

static void
keep_line(const char *before, const char *text)
{
	keep_text(before, strlen(before));
	keep_text(text, strlen(text));
	keep_text("\n", 1);
}

/* Notices are the run's output, not the server's log. */
static void
keep_notice(ErrorData *edata)
{
	if (output.data != NULL && edata->elevel >= INFO && edata->elevel <= WARNING &&
		edata->message != NULL)
	{
		keep_line(edata->elevel == INFO     ? "INFO:  "
				  : edata->elevel == NOTICE ? "NOTICE:  "
											: "WARNING:  ",
				  edata->message);
		edata->output_to_server = false;
	}
	if (earlier_log_hook != NULL)
		earlier_log_hook(edata);
}

static void
keep_completion(const QueryCompletion *qc)
{
	char line[100];

	if (qc->commandTag == CMDTAG_UNKNOWN)
		return;
	if (qc->commandTag == CMDTAG_INSERT)
		snprintf(line, sizeof(line), "INSERT 0 " UINT64_FORMAT, qc->nprocessed);
	else if (command_tag_display_rowcount(qc->commandTag))
		snprintf(line, sizeof(line), "%s " UINT64_FORMAT, GetCommandTagName(qc->commandTag),
				 qc->nprocessed);
	else
		snprintf(line, sizeof(line), "%s", GetCommandTagName(qc->commandTag));
	keep_line("", line);
}

/* ---- begin and end in the database ------------------------------------------------------------- */

/* The role's settings must not keep us from writing what is ours. */
static void
begin_own_transaction(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	XactIsoLevel = XACT_READ_COMMITTED;
	XactReadOnly = false;
}

/* Note the start and give the text, in `context`; NULL: this run is not to be executed (any more). */
static char *
note_start(const aut__action_order *order, MemoryContext context)
{
	static const char note[] =
		"UPDATE automation.run r SET bash_command_id = $3, started_at = "
		"pg_catalog.clock_timestamp(),"
		" timeout_at = pg_catalog.clock_timestamp() + $4 * interval '1 second', current_phase = "
		"'Executing SQL'"
		" FROM automation.sql_action s WHERE r.id = $1 AND r.attempt = $2 AND r.status = 'RUNNING'"
		" AND r.bash_command_id IS NULL AND s.automation_id = r.automation_id RETURNING s.sql";
	Oid types[4] = {UUIDOID, INT4OID, TEXTOID, INT8OID};
	Datum values[4];
	char *text = NULL;
	aut__disguise d;

	begin_own_transaction();
	PushActiveSnapshot(GetTransactionSnapshot());
	values[0] = aut__uuid_datum(&order->run);
	values[1] = Int32GetDatum(order->attempt);
	values[2] = CStringGetTextDatum(psprintf("sql:%d", MyProcPid));
	values[3] = Int64GetDatum(order->limit_s);
	aut__disguise_as_us(&d);
	SPI_connect();
	if (SPI_execute_with_args(note, 4, types, values, NULL, false, 0) == SPI_OK_UPDATE_RETURNING &&
		SPI_processed == 1)
		text = MemoryContextStrdup(context,
								   SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	SPI_finish();
	aut__disguise_end(&d);
	PopActiveSnapshot();
	CommitTransactionCommand();
	return text;
}

/* Output and end, through the store as everybody writes them. */
static aut_status
write_end(aut_db *db, aut_run_end *end, bool *out_won, aut_error *err)
{
	aut_status status = AUT_OK;

	end->from_running = true;
	end->completed_at = aut_now_us(aut_clock_system());
	end->cleanup_at = AUT_TIME_NONE;
	if (output.len > 0)
		status = aut_store_output_append(db, &end->id, output.dropped, output.data, output.len,
										 end->completed_at, OUTPUT_MAX, err);
	if (status == AUT_OK)
		status = aut_store_run_finish(db, end, out_won, err);
	return status;
}

/* In the current transaction, as us; false: somebody else has ended the run. */
static bool
end_run(aut_run_end *end)
{
	bool read_only = XactReadOnly;
	bool won = false;
	aut_error err = AUT_ERROR_INIT;
	aut_db *db = NULL;
	aut__disguise d;
	aut_status status;

	XactReadOnly = false; /* what the text has set for itself */
	aut__disguise_as_us(&d);
	status = aut_spi_door_db(&db, &err);
	if (status == AUT_OK)
		status = write_end(db, end, &won, &err);
	if (status != AUT_OK && db != NULL && db->failed)
		aut_spi_door_rethrow(db);
	aut_db_close(db);
	if (status != AUT_OK)
		ereport(ERROR, (errmsg("the end of the run cannot be written: %s", err.message)));
	aut__disguise_end(&d);
	XactReadOnly = read_only;
	return won;
}

/* ---- execution -------------------------------------------------------------------------------- */

static volatile sig_atomic_t timed_out;

static void
on_time_limit(void)
{
	timed_out = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}

static void
execute_statement(RawStmt *statement, const char *sql, bool alone)
{
	bool snapshot = analyze_requires_snapshot(statement);
	CommandTag tag = CreateCommandTag(statement->stmt);
	QueryCompletion completion;
	List *queries, *plans;
	Portal portal;

	if (snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	queries = pg_analyze_and_rewrite_fixedparams(statement, sql, NULL, 0, NULL);
	plans = pg_plan_queries(queries, sql, CURSOR_OPT_PARALLEL_OK, NULL);
	if (snapshot)
		PopActiveSnapshot();
	CHECK_FOR_INTERRUPTS();
	portal = CreatePortal("", true, true);
	portal->visible = false;
	PortalDefineQuery(portal, NULL, sql, tag, plans, NULL);
	PortalStart(portal, NULL, 0, InvalidSnapshot);
	InitializeQueryCompletion(&completion);
	(void) AUT_PG_PORTAL_RUN(portal, FETCH_ALL, alone, None_Receiver, None_Receiver, &completion);
	PortalDrop(portal, false);
	keep_completion(&completion);
}

static void
execute(const aut__action_order *order, const char *sql)
{
	aut_run_end end = {.id = order->run, .status = AUT_RUN_COMPLETED};
	List *statements;
	ListCell *cell;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	/* Parse trees and plans outlive the transactions that VACUUM and COMMIT end. */
	MemoryContextSwitchTo(MessageContext);
	statements = parse(sql);
	foreach (cell, statements)
	{
		execute_statement(lfirst_node(RawStmt, cell), sql, list_length(statements) == 1);
		CommandCounterIncrement();
		MemoryContextSwitchTo(MessageContext);
	}
	/* From here on it is too late for the time limit, and soon for a cancel. */
	disable_timeout(USER_TIMEOUT, false);
	if (!end_run(&end))
		ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED),
						errmsg("the run was ended meanwhile: its work is rolled back")));
	CommitTransactionCommand();
}

/* status_detail in the shape all runs have. */
static char *
detail_json(const ErrorData *error, const char *text)
{
	json_t *detail = json_pack("{s:s, s:s, s:s, s:b, s:s, s:s, s:s}", "phase", "execution", "kind",
							   timed_out ? "timeout" : "execution_error", "detail", text,
							   "transient", 0, "source", "postgresql", "operation", "execute_sql",
							   "code", unpack_sql_state(error->sqlerrcode));
	char *json = detail != NULL ? aut_json_text(detail, NULL) : NULL;

	json_decref(detail);
	return json;
}

static void
put_part(StringInfo text, const char *name, const char *part)
{
	if (part != NULL && part[0] != '\0')
		appendStringInfo(text, "\n%s: %s", name, part);
}

/* The user's transaction is gone; tell why in one of our own. */
static void
fail_run(const aut__action_order *order, const ErrorData *error)
{
	aut_run_end end = {.id = order->run, .status = AUT_RUN_FAILED};
	StringInfoData text;
	char *detail;

	initStringInfo(&text);
	if (timed_out)
		appendStringInfo(&text, "Timed out: the run reached its time limit of " INT64_FORMAT " s",
						 order->limit_s);
	else
		appendStringInfo(&text, "%s: %s", unpack_sql_state(error->sqlerrcode),
						 error->message != NULL ? error->message : "no message");
	put_part(&text, "DETAIL", error->detail);
	put_part(&text, "HINT", error->hint);
	put_part(&text, "CONTEXT", error->context);
	if (text.len > ERROR_MAX)
		text.data[pg_mbcliplen(text.data, text.len, ERROR_MAX)] = '\0';
	keep_line("ERROR:  ", text.data);
	detail = detail_json(error, text.data);
	end.error_detail = text.data;
	end.status_detail = detail;
	begin_own_transaction();
	PushActiveSnapshot(GetTransactionSnapshot());
	(void) end_run(&end);
	PopActiveSnapshot();
	CommitTransactionCommand();
	aut_free(detail);
}

static void
run_text(const aut__action_order *order, const char *sql)
{
	MemoryContext outer = CurrentMemoryContext;

	debug_query_string = sql;
	pgstat_report_activity(STATE_RUNNING, sql);
	enable_timeout_after(USER_TIMEOUT, (int) Min(order->limit_s, INT_MAX / 1000) * 1000);
	PG_TRY();
	{
		execute(order, sql);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(outer);
		error = CopyErrorData();
		HOLD_INTERRUPTS();
		disable_all_timeouts(false);
		QueryCancelPending = false;
		FlushErrorState();
		AbortCurrentTransaction();
		RESUME_INTERRUPTS();
		MemoryContextSwitchTo(outer);
		debug_query_string = NULL;
		fail_run(order, error);
	}
	PG_END_TRY();
	debug_query_string = NULL;
}

/* ---- the process ------------------------------------------------------------------------------ */

static void
prepare_session(void)
{
	/* Notices reach our hook only when they would be logged; the owner cannot change this. */
	SetConfigOption("log_min_messages", "info", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("application_name", AUT__ACTION_TYPE, PGC_USERSET, PGC_S_SESSION);
	output.data = aut_malloc(OUTPUT_MAX);
	earlier_log_hook = emit_log_hook;
	emit_log_hook = keep_notice;
	RegisterTimeout(USER_TIMEOUT, on_time_limit);
	MessageContext =
		AllocSetContextCreate(TopMemoryContext, "MessageContext", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(MessageContext);
}

void
automation_action_main(Datum arg)
{
	aut__action_order order;
	LOCKTAG tag;
	char *sql;

	memcpy(&order, MyBgworkerEntry->bgw_extra, sizeof(order));
	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, StatementCancelHandler);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), order.owner,
											  AUT_PG_BYPASS_LOGIN_CHECK);
	aut__log_to_server();
	/* waits at most for somebody who looks whether it is held */
	aut__action_tag(&tag, MyDatabaseId, &order.run);
	(void) LockAcquire(&tag, ExclusiveLock, true, false);
	prepare_session();
	sql = note_start(&order, MessageContext);
	if (sql != NULL)
		run_text(&order, sql);
	pgstat_report_activity(STATE_IDLE, NULL);
	pgstat_report_stat(true);
	aut__wake_waiters();
	aut__wake_worker();
	proc_exit(0);
}
