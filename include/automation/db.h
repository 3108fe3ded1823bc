/* SPDX-License-Identifier: MIT */
/*
 * include/automation/db.h - the database driver interface, and units of work.
 *
 * A driver runs *declared statements*: constant texts in core/store with the types of their parameters
 * and columns beside them.  Texts are shared by all dialects; where dialects must differ both stand
 * side by side.  No casts in shared texts (SQLite reads `$1::uuid` as another parameter that is NULL):
 * the declaration types everything.
 *
 * Nobody below a turn begins or commits.  Work that writes is a *unit*: a turn collects units, opens
 * one transaction, runs them, commits once and then reports to each.
 *
 * Drivers: standalone/sqlite_db.c, extension/spi_db.c (its worker handle, and its door handle for use
 * inside a user's transaction, where begin and commit are refused).
 */
#ifndef AUT_DB_H
#define AUT_DB_H

#include "automation/base.h"

/* ---- types --------------------------------------------------------------------------------- */

/*
 * One letter per parameter and column in a declaration.
 *
 *   letter  C                      PostgreSQL     SQLite (STRICT)
 *   'i'     int64 as integer       integer        INTEGER
 *   'l'     int64 as integer       bigint         INTEGER
 *   'd'     double as real         double precision  REAL
 *   'b'     bool as integer 0/1    boolean        INTEGER
 *   't'     UTF-8 text             text           TEXT
 *   'j'     JSON text              json           TEXT
 *   'x'     bytes                  bytea          BLOB
 *   'u'     uuid                   uuid           BLOB(16)
 *   'T'     int64 us as integer    timestamptz    INTEGER
 *
 * Text with a NUL byte, or that is not UTF-8, is refused by the driver with AUT_EINVAL (PostgreSQL could
 * not keep it).
 */
typedef struct aut_value
{
	char type;
	bool null;
	int64_t integer;  /* 'i' 'l' 'b' 'T' */
	double real;      /* 'd' */
	const char *data; /* 't' 'j' (NUL-terminated in results), 'x' */
	size_t len;
	aut_uuid uuid; /* 'u' */
} aut_value;

aut_value aut_v_null(char type);
aut_value aut_v_int(int64_t value); /* 'i' */
aut_value aut_v_big(int64_t value); /* 'l' */
aut_value aut_v_real(double value);
aut_value aut_v_bool(bool value);
aut_value aut_v_text(const char *text); /* NULL: null */
aut_value aut_v_textn(const char *text, size_t len);
aut_value aut_v_json(const char *text); /* NULL: null */
aut_value aut_v_bytes(const void *data, size_t len);
aut_value aut_v_uuid(const aut_uuid *uuid); /* NULL: null */
aut_value aut_v_time(int64_t time_us);      /* AUT_TIME_NONE: null */

/* ---- statements ---------------------------------------------------------------------------- */

#define AUT_STMT_PARAMS_MAX  40
#define AUT_STMT_COLUMNS_MAX 60

typedef struct aut_stmt
{
	const char *name;    /* unique, for messages and pg_stat_activity */
	const char *params;  /* one letter per $1, $2, …; "" for none */
	const char *columns; /* one letter per result column; "" for none */
	const char *sql;     /* for all dialects, or NULL when the next two differ (or one has none) */
	const char *postgres;
	const char *sqlite;
	/* Meant for many rows of parameters at once (aut_db_run_each).  params and columns are those of one row.  In
	 * PostgreSQL the text runs once and each parameter is an array with an element for each row; elsewhere the
	 * text runs once for each row. */
	bool each;
} aut_stmt;

/* Result rows, copied into core memory; small by the LIMITs of the statements. */
typedef struct aut_rows
{
	aut_value *cells; /* row-major */
	size_t count;
	size_t width;
	aut_arena arena; /* texts and bytes live here */
} aut_rows;

void aut_rows_done(aut_rows *rows);
const aut_value *aut_rows_at(const aut_rows *rows, size_t row, size_t column);
/* Getters: null reads as 0 / false / NULL / AUT_TIME_NONE / the nil uuid. */
int64_t aut_rows_int(const aut_rows *rows, size_t row, size_t column);
double aut_rows_real(const aut_rows *rows, size_t row, size_t column);
bool aut_rows_bool(const aut_rows *rows, size_t row, size_t column);
int64_t aut_rows_time(const aut_rows *rows, size_t row, size_t column);
const char *aut_rows_text(const aut_rows *rows, size_t row, size_t column);
aut_uuid aut_rows_uuid(const aut_rows *rows, size_t row, size_t column);
bool aut_rows_null(const aut_rows *rows, size_t row, size_t column);

/* ---- driver -------------------------------------------------------------------------------- */

typedef enum aut_dialect
{
	AUT_DIALECT_SQLITE,
	AUT_DIALECT_POSTGRES
} aut_dialect;

typedef struct aut_db aut_db;

/* What a driver promises.  New methods are only appended; version says how many there are. */
typedef struct aut_db_ops
{
	int version; /* 2 */
	aut_dialect dialect;
	/*
	 * Run one statement.  params has strlen(stmt->params) values whose types match the declaration
	 * (else AUT_EINTERNAL).  out_rows (may be NULL when the statement has no columns) is filled only
	 * on success; out_affected (may be NULL) is the number of rows inserted, updated or deleted.
	 * Statements are prepared at first use and kept for the life of the handle.
	 * Outside a transaction the statement is one of its own.
	 * Errors: EUNIQUE, EBUSY (locked, serialization, deadlock, lock timeout: may be repeated),
	 * EINVAL (data the database refuses), ENOMEM, EIO (disk full, unwritable), ECORRUPT, ETIMEOUT,
	 * else EDB; message and sqlstate as the database says.
	 */
	aut_status (*run)(aut_db *db, const aut_stmt *stmt, const aut_value *params, aut_rows *out_rows,
					  int64_t *out_affected, aut_error *err);
	aut_status (*begin)(aut_db *db, aut_error *err);
	aut_status (*commit)(aut_db *db, aut_error *err); /* a failed commit has rolled back */
	void (*rollback)(aut_db *db);                     /* never fails; fine without a transaction */
	/* A savepoint inside a transaction; rollback_to also releases it.  AUT_EUNSUPPORTED where it would
	 * cost too much (then the turn repeats units one by one instead). */
	aut_status (*savepoint)(aut_db *db, aut_error *err);
	aut_status (*release)(aut_db *db, aut_error *err);
	void (*rollback_to)(aut_db *db);
	void (*close)(aut_db *db);
	/* Since 2.  Like run, for a statement that is `each`: count rows of parameters, one after the other.  NULL:
	 * aut_db_run_each calls run for each of them. */
	aut_status (*run_each)(aut_db *db, const aut_stmt *stmt, const aut_value *params, size_t count,
						   aut_rows *out_rows, int64_t *out_affected, aut_error *err);
} aut_db_ops;

/* Drivers embed this first. */
struct aut_db
{
	const aut_db_ops *ops;
	uint64_t writes;     /* statements run that were not plain SELECTs (kept by aut_db_run) */
	uint64_t ready_runs; /* runs made that need not wait for their time (kept by the store) */
	bool in_transaction; /* kept by the driver */
	bool failed;         /* the transaction is lost: only rollback helps (kept by the driver) */
};

/* aut_db_run checks the declaration, counts writes, adds the statement's name to errors. */
aut_status aut_db_run(aut_db *db, const aut_stmt *stmt, const aut_value *params, aut_rows *out_rows,
					  int64_t *out_affected, aut_error *err);
/* The same for a statement that is `each`: params has count rows, one after the other.  The result rows of all of
 * them come together, in no order; no row of parameters: no rows, and nothing is asked.  A failure says nothing of
 * how many rows went before it. */
aut_status aut_db_run_each(aut_db *db, const aut_stmt *stmt, const aut_value *params, size_t count,
						   aut_rows *out_rows, int64_t *out_affected, aut_error *err);
aut_status aut_db_begin(aut_db *db, aut_error *err);
aut_status aut_db_commit(aut_db *db, aut_error *err);
void aut_db_rollback(aut_db *db);
void aut_db_close(aut_db *db); /* NULL is fine */
const char *aut_stmt_sql(const aut_stmt *stmt, aut_dialect dialect);

/* ---- for drivers ----------------------------------------------------------------------------- */

/* Most rows one result may have; the LIMITs of the statements stay far below. */
#define AUT_ROWS_MAX 100000

/* Append a row of nulls of the declared column types to rows (all-zero before the first) and return
 * its first cell; NULL: no memory, or AUT_ROWS_MAX reached. */
aut_value *aut_rows_add(aut_rows *rows, const char *columns);
/* Copy bytes into the arena of rows as the content of a 't', 'j' or 'x' cell; NUL is added. */
aut_status aut_rows_put(aut_rows *rows, aut_value *cell, const void *data, size_t len,
						aut_error *err);

/* ---- units of work and turns ----------------------------------------------------------------- */

typedef struct aut_unit aut_unit;

/*
 * One piece of work for the next transaction.  Embedded in its owner's struct.
 *
 * run may be called more than once (a transaction that failed is repeated unit by unit): it must set
 * its outputs afresh each time and touch nothing but the database and its own struct.  Returning an
 * error undoes what the unit wrote, not what others wrote.
 * done is called exactly once, after the commit (or the failure), in the order the units were added;
 * there the outside world may be told: HTTP answers, calls to agents.  It may add units; they belong
 * to the next flush.
 *
 * together (may be NULL) does for several units what run does for each, with fewer statements.  Units of a turn
 * that have the same one are handed to it when the first of them would run, so those that came later run before
 * other units that were added in between: only for units that depend on none but their own run.  When it fails,
 * everything it did is undone and run is called for each of them.
 */
struct aut_unit
{
	aut_status (*run)(aut_unit *unit, aut_db *db, aut_error *err);
	void (*done)(aut_unit *unit, aut_status status, const aut_error *err);
	aut_status (*together)(aut_unit *const *units, size_t count, aut_db *db, aut_error *err);
	/* kept by the turn */
	aut_unit *next;
	aut_status status;
	aut_error error;
	bool ran; /* in this pass */
};

typedef struct aut_turn
{
	aut_db *db;
	aut_unit *head;
	aut_unit **tail;
	size_t count;
	uint64_t commits; /* statistics */
	uint64_t repeats;
} aut_turn;

void aut_turn_init(aut_turn *turn, aut_db *db);
void aut_turn_add(aut_turn *turn, aut_unit *unit);
bool aut_turn_empty(const aut_turn *turn);
/* Run all units added so far in one transaction.  A failed commit, a lost transaction, or a unit that
 * failed after writing where savepoints are not available: all units are repeated, each in its own
 * transaction, so that one bad row costs only itself (EBUSY is tried up to three times).  Returns
 * true when anything ran. */
bool aut_turn_flush(aut_turn *turn);
/* Call done(ECANCELED) on everything not yet run; for shutdown. */
void aut_turn_cancel(aut_turn *turn);

#endif
