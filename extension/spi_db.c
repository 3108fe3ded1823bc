/* SPDX-License-Identifier: MIT */
/*
 * extension/spi_db.c - transactions and error boxes of the SPI driver.
 *
 * The rule of frames: no frame of core may lie between an error the server raises and the PG_TRY that
 * catches it.  So every call is one closed box here, and what comes out is a value.
 *
 *   worker handle   owns transactions.  An error aborts the whole transaction at once; until the turn
 *                   rolls back, every further call returns the same status.  READ COMMITTED with a fresh
 *                   snapshot per statement, whatever the database's defaults.  Savepoints are declined:
 *                   a subtransaction per unit costs more than repeating the rare turn that fails.
 *   door handle     lives in a SQL function's transaction.  It must not abort what is not its own, so
 *                   the error is kept, the handle touches nothing any more, and the door raises the
 *                   error again once core has unwound.
 *
 * Memory: error data of the server go into a context of the handle that is reset each time, because
 * FreeErrorData leaks a little; core memory holds everything else.  May block on locks up to the
 * statement timeout and on the commit.
 */
#include "spi_internal.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#define STATEMENT_TIMEOUT_MS 30000
#define ERROR_BYTES          (8 * 1024)

typedef struct spi_db
{
	aut_db base;
	MemoryContext context; /* error data */
	ErrorData *kept;       /* the door's, in context */
	aut_error lost;        /* why nothing works any more, while base.failed */
} spi_db;

static const aut_db_ops worker_ops;
static const aut_db_ops door_ops;

static aut_status
refuse_lost(const spi_db *db, aut_error *err)
{
	if (err != NULL)
		*err = db->lost;
	return db->lost.code;
}

/* ---- the box of the worker ------------------------------------------------------------------- */

/*
 * In PG_CATCH of a worker's box: translate the error, abort the transaction, be ready for the next.
 * What is left is as after a fresh start; only base.failed remembers.
 */
static void
catch_and_abort(spi_db *db, MemoryContext outer)
{
	ErrorData *edata;

	MemoryContextSwitchTo(db->context);
	edata = CopyErrorData();
	HOLD_INTERRUPTS();
	disable_all_timeouts(false);
	QueryCancelPending = false;
	FlushErrorState();
	AbortCurrentTransaction();
	RESUME_INTERRUPTS();
	db->lost = (aut_error) AUT_ERROR_INIT;
	aut__spi_error(edata, &db->lost);
	db->base.failed = true;
	debug_query_string = NULL;
	MemoryContextSwitchTo(outer);
	MemoryContextReset(db->context);
}

/* Statistics and activity after a transaction, as a backend does between commands. */
static void
report_idle(void)
{
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
}

static aut_status
worker_begin(aut_db *base, aut_error *err)
{
	spi_db *db = (spi_db *) base;
	MemoryContext outer = CurrentMemoryContext;

	base->failed = false;
	SetCurrentStatementStartTimestamp();
	pgstat_report_activity(STATE_RUNNING, "automation: transaction");
	PG_TRY();
	{
		StartTransactionCommand();
		/* ALTER DATABASE ... SET must not change what the statements were written for. */
		XactIsoLevel = XACT_READ_COMMITTED;
		if (!RecoveryInProgress())
			XactReadOnly = false;
	}
	PG_CATCH();
	{
		catch_and_abort(db, outer);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(outer);
	if (base->failed)
	{
		base->failed = false;
		report_idle();
		return refuse_lost(db, err);
	}
	base->in_transaction = true;
	return AUT_OK;
}

static void
worker_rollback(aut_db *base)
{
	spi_db *db = (spi_db *) base;
	MemoryContext outer = CurrentMemoryContext;

	if (!base->in_transaction)
		return;
	if (!base->failed)
	{
		PG_TRY();
		{
			AbortCurrentTransaction();
		}
		PG_CATCH();
		{
			catch_and_abort(db, outer);
		}
		PG_END_TRY();
		MemoryContextSwitchTo(outer);
	}
	base->in_transaction = false;
	base->failed = false;
	report_idle();
}

static aut_status
worker_commit(aut_db *base, aut_error *err)
{
	spi_db *db = (spi_db *) base;
	MemoryContext outer = CurrentMemoryContext;
	bool failed;

	/* The commit can fail as any statement can: deferred constraints, serialization, a full disk. */
	PG_TRY();
	{
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		catch_and_abort(db, outer);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(outer);
	failed = base->failed;
	base->in_transaction = false;
	base->failed = false;
	report_idle();
	return failed ? refuse_lost(db, err) : AUT_OK;
}

/* One statement inside the transaction. */
static aut_status
worker_statement(spi_db *db, const aut_stmt *stmt, const aut_value *params, size_t count,
				 aut_rows *rows, int64_t *affected, aut_error *err)
{
	MemoryContext outer = CurrentMemoryContext;
	volatile aut_status status = AUT_OK;

	SetCurrentStatementStartTimestamp();
	pgstat_report_activity(STATE_RUNNING, stmt->name);
	debug_query_string = aut_stmt_sql(stmt, AUT_DIALECT_POSTGRES);
	PG_TRY();
	{
		SPI_connect();
		PushActiveSnapshot(GetTransactionSnapshot());
		enable_timeout_after(STATEMENT_TIMEOUT, STATEMENT_TIMEOUT_MS);
		status = aut__spi_execute(stmt, params, count, rows, affected, err);
		disable_timeout(STATEMENT_TIMEOUT, false);
		PopActiveSnapshot();
		SPI_finish();
	}
	PG_CATCH();
	{
		catch_and_abort(db, outer);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(outer);
	debug_query_string = NULL;
	return db->base.failed ? refuse_lost(db, err) : status;
}

static aut_status
worker_run_each(aut_db *base, const aut_stmt *stmt, const aut_value *params, size_t count,
				aut_rows *out_rows, int64_t *out_affected, aut_error *err)
{
	spi_db *db = (spi_db *) base;
	bool own = !base->in_transaction;
	aut_rows rows = {0};
	int64_t affected = 0;
	aut_status status = AUT_OK;

	if (base->failed)
		return refuse_lost(db, err);
	if (own)
		status = worker_begin(base, err);
	if (status == AUT_OK)
		status = worker_statement(db, stmt, params, count, &rows, &affected, err);
	if (own && base->in_transaction)
	{
		if (status == AUT_OK)
			status = worker_commit(base, err);
		else
			worker_rollback(base);
	}
	if (status != AUT_OK)
	{
		aut_rows_done(&rows);
		return status;
	}
	if (out_rows != NULL)
		*out_rows = rows;
	if (out_affected != NULL)
		*out_affected = affected;
	return AUT_OK;
}

static aut_status
worker_run(aut_db *base, const aut_stmt *stmt, const aut_value *params, aut_rows *out_rows,
		   int64_t *out_affected, aut_error *err)
{
	return worker_run_each(base, stmt, params, 1, out_rows, out_affected, err);
}

static aut_status
no_savepoint(aut_db *base, aut_error *err)
{
	(void) base;
	return aut_fail(err, AUT_EUNSUPPORTED, "no savepoints here");
}

static void
no_rollback_to(aut_db *base)
{
	(void) base; /* never reached: there is no savepoint to go back to */
}

static void
spi_free(spi_db *db)
{
	if (db->context != NULL)
		MemoryContextDelete(db->context);
	aut_free(db);
}

static void
worker_close(aut_db *base)
{
	worker_rollback(base);
	spi_free((spi_db *) base);
}

static const aut_db_ops worker_ops = {
	.version = 2,
	.dialect = AUT_DIALECT_POSTGRES,
	.run = worker_run,
	.begin = worker_begin,
	.commit = worker_commit,
	.rollback = worker_rollback,
	.savepoint = no_savepoint,
	.release = no_savepoint,
	.rollback_to = no_rollback_to,
	.close = worker_close,
	.run_each = worker_run_each,
};

/* ---- the box of the door --------------------------------------------------------------------- */

/*
 * In PG_CATCH of a door's box: keep the error for the door and touch nothing else.  SPI, snapshots and
 * locks stay as the error left them; the abort that follows the rethrow cleans up.
 */
static void
catch_and_keep(spi_db *db, MemoryContext outer, ResourceOwner owner)
{
	MemoryContextSwitchTo(db->context);
	db->kept = CopyErrorData();
	FlushErrorState();
	MemoryContextSwitchTo(outer);
	CurrentResourceOwner = owner;
	db->lost = (aut_error) AUT_ERROR_INIT;
	aut__spi_error(db->kept, &db->lost);
	db->base.failed = true;
}

static aut_status
door_statement(spi_db *db, const aut_stmt *stmt, const aut_value *params, size_t count,
			   aut_rows *rows, int64_t *affected, aut_error *err)
{
	MemoryContext outer = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile aut_status status = AUT_OK;

	PG_TRY();
	{
		SPI_connect();
		PushActiveSnapshot(GetTransactionSnapshot());
		status = aut__spi_execute(stmt, params, count, rows, affected, err);
		PopActiveSnapshot();
		SPI_finish();
	}
	PG_CATCH();
	{
		catch_and_keep(db, outer, owner);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(outer);
	return db->base.failed ? refuse_lost(db, err) : status;
}

static aut_status
door_run_each(aut_db *base, const aut_stmt *stmt, const aut_value *params, size_t count,
			  aut_rows *out_rows, int64_t *out_affected, aut_error *err)
{
	spi_db *db = (spi_db *) base;
	aut_rows rows = {0};
	int64_t affected = 0;
	aut_status status;

	if (base->failed)
		return refuse_lost(db, err);
	status = door_statement(db, stmt, params, count, &rows, &affected, err);
	if (status != AUT_OK)
	{
		aut_rows_done(&rows);
		return status;
	}
	if (out_rows != NULL)
		*out_rows = rows;
	if (out_affected != NULL)
		*out_affected = affected;
	return AUT_OK;
}

static aut_status
door_run(aut_db *base, const aut_stmt *stmt, const aut_value *params, aut_rows *out_rows,
		 int64_t *out_affected, aut_error *err)
{
	return door_run_each(base, stmt, params, 1, out_rows, out_affected, err);
}

static aut_status
door_refuse(aut_db *base, aut_error *err)
{
	(void) base;
	return aut_fail(err, AUT_EUNSUPPORTED, "the transaction belongs to the caller");
}

static void
door_rollback(aut_db *base)
{
	(void) base; /* the caller's transaction ends by the error that is raised again */
}

static void
door_close(aut_db *base)
{
	spi_free((spi_db *) base);
}

static const aut_db_ops door_ops = {
	.version = 2,
	.dialect = AUT_DIALECT_POSTGRES,
	.run = door_run,
	.begin = door_refuse,
	.commit = door_refuse,
	.rollback = door_rollback,
	.savepoint = door_refuse,
	.release = door_refuse,
	.rollback_to = no_rollback_to,
	.close = door_close,
	.run_each = door_run_each,
};

void
aut_spi_door_rethrow(aut_db *base)
{
	spi_db *db = (spi_db *) base;

	if (base != NULL && base->ops == &door_ops && db->kept != NULL)
		ReThrowError(db->kept); /* copies it */
}

/* ---- making handles -------------------------------------------------------------------------- */

static aut_status
spi_new(const aut_db_ops *ops, aut_db **out, aut_error *err)
{
	spi_db *db = aut_calloc(1, sizeof(*db));
	MemoryContext outer = CurrentMemoryContext;
	volatile bool made = false;

	if (db == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	db->base.ops = ops;
	PG_TRY();
	{
		/* the first block stays through resets: copying an ordinary error never needs memory */
		db->context = AllocSetContextCreate(TopMemoryContext, "automation errors", ERROR_BYTES,
											ERROR_BYTES, ALLOCSET_DEFAULT_MAXSIZE);
		made = true;
	}
	PG_CATCH();
	{
		/* only memory can have failed; nothing needs cleaning */
		MemoryContextSwitchTo(outer);
		FlushErrorState();
	}
	PG_END_TRY();
	if (!made)
	{
		aut_free(db);
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	}
	*out = &db->base;
	return AUT_OK;
}

aut_status
aut_spi_worker_db(aut_db **out, aut_error *err)
{
	if (IsTransactionState())
		return aut_fail(err, AUT_EINTERNAL, "a worker's handle inside somebody's transaction");
	return spi_new(&worker_ops, out, err);
}

aut_status
aut_spi_door_db(aut_db **out, aut_error *err)
{
	if (!IsTransactionState())
		return aut_fail(err, AUT_EINTERNAL, "a door's handle outside of a transaction");
	return spi_new(&door_ops, out, err);
}
