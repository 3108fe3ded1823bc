/* SPDX-License-Identifier: MIT */
/*
 * standalone/sqlite_db.c - the database driver over SQLite.
 *
 * Owns one connection, its prepared statements and the lock on the file.  Statements are prepared at
 * first use and found again by the address of their declaration.  In SQLite `$1` is a parameter whose
 * *name* is "$1", numbered by first appearance in the text, so each declared parameter's number is asked
 * for once, when the statement is prepared.
 *
 * Every result is checked against the declaration: a value of another type means a damaged or foreign
 * file and is AUT_ECORRUPT, not a surprise further up.  Some errors (disk full, out of memory) make
 * SQLite roll the whole transaction back by itself; the driver notices and refuses everything until the
 * turn has rolled back too, so that no statement slips out of its transaction.
 *
 * May block for the busy timeout and for fsync; nothing else waits.
 */
#include <inttypes.h>
#include <string.h>

#include "standalone/sqlite_internal.h"

#define CACHE_SIZE 512 /* a power of two, far above the number of statements */
#define CACHE_FILL 384
/* Checkpoint when idle from this many WAL pages on, and at a commit when nobody was ever idle. */
#define CHECKPOINT_IDLE_PAGES   256
#define CHECKPOINT_FORCED_PAGES 8192

typedef struct prepared
{
	const aut_stmt *declared;
	sqlite3_stmt *stmt;
	bool writes;
	uint8_t index[AUT_STMT_PARAMS_MAX]; /* SQLite's number of each declared parameter */
} prepared;

typedef struct sqlite_db
{
	aut_db base;
	sqlite3 *handle;
	int lock_fd;
	int wal_pages; /* since the last complete checkpoint, as the WAL hook counted */
	sqlite3_stmt *begin, *commit, *rollback, *savepoint, *release, *rollback_to;
	aut_error lost; /* why the transaction is lost, while base.failed */
	size_t cached;
	prepared *cache[CACHE_SIZE];
} sqlite_db;

/* ---- prepared statements ------------------------------------------------------------------- */

static size_t
cache_slot(const sqlite_db *db, const aut_stmt *declared)
{
	/* Declarations lie side by side: a multiplicative hash spreads their addresses. */
	uint64_t hash = (uint64_t) (uintptr_t) declared * UINT64_C(0x9e3779b97f4a7c15);
	size_t slot = (size_t) (hash >> 40) & (CACHE_SIZE - 1);

	while (db->cache[slot] != NULL && db->cache[slot]->declared != declared)
		slot = (slot + 1) & (CACHE_SIZE - 1);
	return slot;
}

static void
prepared_free(prepared *item)
{
	if (item == NULL)
		return;
	sqlite3_finalize(item->stmt);
	aut_free(item);
}

/* Number the parameters, and see that text and declaration agree. */
static aut_status
match_declaration(prepared *item, aut_error *err)
{
	const aut_stmt *declared = item->declared;
	size_t count = strlen(declared->params);

	if (sqlite3_column_count(item->stmt) != (int) strlen(declared->columns))
		return aut_fail(err, AUT_EINTERNAL, "%d columns, declared %zu",
						sqlite3_column_count(item->stmt), strlen(declared->columns));
	if (sqlite3_bind_parameter_count(item->stmt) != (int) count)
		return aut_fail(err, AUT_EINTERNAL, "%d parameters, declared %zu",
						sqlite3_bind_parameter_count(item->stmt), count);
	for (size_t i = 0; i < count; i++)
	{
		char name[24];
		int index;

		snprintf(name, sizeof(name), "$%zu", i + 1);
		index = sqlite3_bind_parameter_index(item->stmt, name);
		if (index < 1 || index > (int) count)
			return aut_fail(err, AUT_EINTERNAL, "parameter %s is not in the text", name);
		item->index[i] = (uint8_t) index;
	}
	return AUT_OK;
}

static aut_status
prepare(sqlite_db *db, const aut_stmt *declared, prepared **out, aut_error *err)
{
	size_t slot = cache_slot(db, declared);
	const char *sql = aut_stmt_sql(declared, AUT_DIALECT_SQLITE);
	const char *tail = NULL;
	prepared *item = db->cache[slot];
	aut_status status;
	int rc;

	if (item != NULL)
	{
		*out = item;
		return AUT_OK;
	}
	if (db->cached >= CACHE_FILL)
		return aut_fail(err, AUT_EINTERNAL, "more than %d statements", CACHE_FILL);
	item = aut_calloc(1, sizeof(*item));
	if (item == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	item->declared = declared;
	rc = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &item->stmt, &tail);
	if (rc != SQLITE_OK)
		status = aut__sqlite_error(db->handle, rc, err);
	else if (item->stmt == NULL || *tail != '\0')
		status = aut_fail(err, AUT_EINTERNAL, "the text is not one statement");
	else
		status = match_declaration(item, err);
	if (status != AUT_OK)
	{
		prepared_free(item);
		return status;
	}
	item->writes = sqlite3_stmt_readonly(item->stmt) == 0;
	db->cache[slot] = item;
	db->cached++;
	*out = item;
	return AUT_OK;
}

/* ---- parameters and results ---------------------------------------------------------------- */

static int
bind_value(sqlite3_stmt *stmt, int index, const aut_value *value)
{
	/* STATIC: the caller's memory outlives the statement, which is reset before run returns. */
	if (value->null)
		return sqlite3_bind_null(stmt, index);
	switch (value->type)
	{
		case 'd':
			return sqlite3_bind_double(stmt, index, value->real);
		case 't':
		case 'j':
			return sqlite3_bind_text64(stmt, index, value->data, value->len, SQLITE_STATIC,
									   SQLITE_UTF8);
		case 'x':
			/* a null pointer would bind NULL, not an empty blob */
			if (value->len == 0)
				return sqlite3_bind_zeroblob(stmt, index, 0);
			return sqlite3_bind_blob64(stmt, index, value->data, value->len, SQLITE_STATIC);
		case 'u':
			return sqlite3_bind_blob(stmt, index, value->uuid.bytes, sizeof(value->uuid.bytes),
									 SQLITE_STATIC);
		default: /* 'i' 'l' 'b' 'T', as aut_db_run has checked */
			return sqlite3_bind_int64(stmt, index, value->integer);
	}
}

/* The SQLite type a declared column must have. */
static int
expected_type(char declared)
{
	switch (declared)
	{
		case 'd':
			return SQLITE_FLOAT;
		case 't':
		case 'j':
			return SQLITE_TEXT;
		case 'x':
		case 'u':
			return SQLITE_BLOB;
		default:
			return SQLITE_INTEGER;
	}
}

static aut_status
read_cell(sqlite3_stmt *stmt, int column, aut_rows *rows, aut_value *cell, aut_error *err)
{
	int type = sqlite3_column_type(stmt, column);
	const void *data;
	size_t len;

	if (type == SQLITE_NULL)
		return AUT_OK;
	if (type != expected_type(cell->type))
		return aut_fail(err, AUT_ECORRUPT, "column %d is not of the declared type '%c'", column + 1,
						cell->type);
	switch (cell->type)
	{
		case 'd':
			cell->real = sqlite3_column_double(stmt, column);
			break;
		case 't':
		case 'j':
			data = sqlite3_column_text(stmt, column);
			len = (size_t) sqlite3_column_bytes(stmt, column);
			if (data == NULL)
				return aut_fail(err, AUT_ENOMEM, "out of memory for a column");
			return aut_rows_put(rows, cell, data, len, err);
		case 'x':
			data = sqlite3_column_blob(stmt, column); /* NULL when empty */
			len = (size_t) sqlite3_column_bytes(stmt, column);
			if (data == NULL && len > 0)
				return aut_fail(err, AUT_ENOMEM, "out of memory for a column");
			return aut_rows_put(rows, cell, data, len, err);
		case 'u':
			data = sqlite3_column_blob(stmt, column);
			if (sqlite3_column_bytes(stmt, column) != (int) sizeof(cell->uuid.bytes) ||
				data == NULL)
				return aut_fail(err, AUT_ECORRUPT, "column %d is not an id", column + 1);
			memcpy(cell->uuid.bytes, data, sizeof(cell->uuid.bytes));
			break;
		default:
			cell->integer = sqlite3_column_int64(stmt, column);
			break;
	}
	cell->null = false;
	return AUT_OK;
}

static aut_status
read_row(sqlite3_stmt *stmt, const char *columns, aut_rows *rows, aut_error *err)
{
	aut_value *row = aut_rows_add(rows, columns);

	if (row == NULL)
		return rows->count >= AUT_ROWS_MAX
				   ? aut_fail(err, AUT_ELIMIT, "more than %d rows", AUT_ROWS_MAX)
				   : aut_fail(err, AUT_ENOMEM, "out of memory for a row");
	for (int i = 0; columns[i] != '\0'; i++)
	{
		aut_status status = read_cell(stmt, i, rows, &row[i], err);

		if (status != AUT_OK)
			return status;
	}
	return AUT_OK;
}

/* ---- the driver's methods ------------------------------------------------------------------ */

/* After any error: did SQLite end the transaction by itself? */
static aut_status
note_loss(sqlite_db *db, aut_status status, const aut_error *error)
{
	if (db->base.in_transaction && !db->base.failed && sqlite3_get_autocommit(db->handle) != 0)
	{
		db->base.failed = true;
		db->lost = *error;
	}
	return status;
}

static aut_status
refuse_lost(const sqlite_db *db, aut_error *err)
{
	if (err != NULL)
		*err = db->lost;
	return db->lost.code;
}

static aut_status
run_prepared(sqlite_db *db, prepared *item, const aut_value *params, aut_rows *rows,
			 int64_t *affected, aut_error *err)
{
	const char *columns = item->declared->columns;
	aut_status status = AUT_OK;
	int rc = SQLITE_OK;

	for (size_t i = 0; rc == SQLITE_OK && item->declared->params[i] != '\0'; i++)
		rc = bind_value(item->stmt, item->index[i], &params[i]);
	if (rc == SQLITE_OK)
	{
		while (status == AUT_OK && (rc = sqlite3_step(item->stmt)) == SQLITE_ROW)
			status = read_row(item->stmt, columns, rows, err);
	}
	if (status == AUT_OK && rc != SQLITE_DONE)
		status = aut__sqlite_error(db->handle, rc, err);
	if (status == AUT_OK)
		*affected = item->writes ? sqlite3_changes64(db->handle) : 0;
	sqlite3_reset(item->stmt);
	sqlite3_clear_bindings(item->stmt);
	return status;
}

static aut_status
sqlite_run(aut_db *base, const aut_stmt *declared, const aut_value *params, aut_rows *out_rows,
		   int64_t *out_affected, aut_error *err)
{
	sqlite_db *db = (sqlite_db *) base;
	aut_error error = AUT_ERROR_INIT;
	aut_rows rows = {0};
	int64_t affected = 0;
	prepared *item = NULL;
	aut_status status;

	if (base->failed)
		return refuse_lost(db, err);
	status = prepare(db, declared, &item, &error);
	if (status == AUT_OK)
		status = run_prepared(db, item, params, &rows, &affected, &error);
	if (status != AUT_OK)
	{
		aut_rows_done(&rows);
		if (err != NULL)
			*err = error;
		return note_loss(db, status, &error);
	}
	if (out_rows != NULL)
		*out_rows = rows;
	if (out_affected != NULL)
		*out_affected = affected;
	return AUT_OK;
}

/* One of the statements that bound transactions. */
static aut_status
control(sqlite_db *db, sqlite3_stmt *stmt, aut_error *err)
{
	int rc = sqlite3_step(stmt);
	aut_status status = rc == SQLITE_DONE ? AUT_OK : aut__sqlite_error(db->handle, rc, err);

	sqlite3_reset(stmt);
	return status;
}

static aut_status
sqlite_begin(aut_db *base, aut_error *err)
{
	sqlite_db *db = (sqlite_db *) base;
	aut_status status = control(db, db->begin, err);

	base->failed = false;
	base->in_transaction = status == AUT_OK;
	return status;
}

static void
sqlite_rollback(aut_db *base)
{
	sqlite_db *db = (sqlite_db *) base;

	if (sqlite3_get_autocommit(db->handle) == 0)
		control(db, db->rollback, NULL);
	base->in_transaction = false;
	base->failed = false;
}

static aut_status
sqlite_commit(aut_db *base, aut_error *err)
{
	sqlite_db *db = (sqlite_db *) base;
	aut_status status = control(db, db->commit, err);

	if (status != AUT_OK)
	{
		sqlite_rollback(base);
		return status;
	}
	base->in_transaction = false;
	if (db->wal_pages >= CHECKPOINT_FORCED_PAGES)
		aut_sqlite_idle(base);
	return AUT_OK;
}

static aut_status
sqlite_nested(sqlite_db *db, sqlite3_stmt *stmt, aut_error *err)
{
	aut_error error = AUT_ERROR_INIT;
	aut_status status;

	if (db->base.failed)
		return refuse_lost(db, err);
	status = control(db, stmt, &error);
	if (status != AUT_OK)
	{
		if (err != NULL)
			*err = error;
		note_loss(db, status, &error);
	}
	return status;
}

static aut_status
sqlite_savepoint(aut_db *base, aut_error *err)
{
	sqlite_db *db = (sqlite_db *) base;

	return sqlite_nested(db, db->savepoint, err);
}

static aut_status
sqlite_release(aut_db *base, aut_error *err)
{
	sqlite_db *db = (sqlite_db *) base;

	return sqlite_nested(db, db->release, err);
}

static void
sqlite_rollback_to(aut_db *base)
{
	sqlite_db *db = (sqlite_db *) base;
	aut_error error = AUT_ERROR_INIT;
	aut_status status = sqlite_nested(db, db->rollback_to, &error);

	if (status == AUT_OK)
		status = sqlite_nested(db, db->release, &error);
	/* What could not be undone must not be committed. */
	if (status != AUT_OK && !base->failed)
	{
		base->failed = true;
		db->lost = error;
	}
}

static void
sqlite_close(aut_db *base)
{
	sqlite_db *db = (sqlite_db *) base;

	sqlite_rollback(base);
	for (size_t i = 0; i < CACHE_SIZE; i++)
		prepared_free(db->cache[i]);
	sqlite3_finalize(db->begin);
	sqlite3_finalize(db->commit);
	sqlite3_finalize(db->rollback);
	sqlite3_finalize(db->savepoint);
	sqlite3_finalize(db->release);
	sqlite3_finalize(db->rollback_to);
	sqlite3_close(db->handle);
	aut__sqlite_unlock(db->lock_fd);
	aut_free(db);
}

static const aut_db_ops sqlite_ops = {
	.version = 1,
	.dialect = AUT_DIALECT_SQLITE,
	.run = sqlite_run,
	.begin = sqlite_begin,
	.commit = sqlite_commit,
	.rollback = sqlite_rollback,
	.savepoint = sqlite_savepoint,
	.release = sqlite_release,
	.rollback_to = sqlite_rollback_to,
	.close = sqlite_close,
};

/* ---- opening ------------------------------------------------------------------------------- */

static int
count_wal(void *payload, sqlite3 *handle, const char *schema, int pages)
{
	sqlite_db *db = payload;

	(void) handle;
	(void) schema;
	db->wal_pages = pages;
	return SQLITE_OK;
}

static aut_status
prepare_control(sqlite_db *db, aut_error *err)
{
	const struct
	{
		sqlite3_stmt **stmt;
		const char *sql;
	} all[] = {
		{&db->begin, "BEGIN IMMEDIATE"},
		{&db->commit, "COMMIT"},
		{&db->rollback, "ROLLBACK"},
		{&db->savepoint, "SAVEPOINT unit"},
		{&db->release, "RELEASE SAVEPOINT unit"},
		{&db->rollback_to, "ROLLBACK TO SAVEPOINT unit"},
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
	{
		int rc = sqlite3_prepare_v3(db->handle, all[i].sql, -1, SQLITE_PREPARE_PERSISTENT,
									all[i].stmt, NULL);

		if (rc != SQLITE_OK)
			return aut__sqlite_error(db->handle, rc, err);
	}
	return AUT_OK;
}

aut_status
aut_sqlite_open(const char *path, const aut_sqlite_options *options, aut_db **out, aut_error *err)
{
	static const aut_sqlite_options defaults = AUT_SQLITE_OPTIONS_INIT;
	sqlite_db *db = aut_calloc(1, sizeof(*db));
	aut_status status;

	if (db == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	if (options == NULL)
		options = &defaults;
	/* Without its statistics SQLite's allocator needs no lock.  Refused, harmlessly, after first use. */
	(void) sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	db->base.ops = &sqlite_ops;
	db->lock_fd = -1;
	status = aut__sqlite_lock(path, &db->lock_fd, err);
	if (status == AUT_OK)
		status = aut__sqlite_prepare_file(path, options->create, err);
	if (status == AUT_OK)
		status = aut__sqlite_connect(path, options, &db->handle, err);
	if (status == AUT_OK)
		status = prepare_control(db, err);
	if (status == AUT_OK)
	{
		sqlite3_wal_hook(db->handle, count_wal, db);
		*out = &db->base;
		return AUT_OK;
	}
	if (db->handle == NULL)
	{
		aut__sqlite_unlock(db->lock_fd);
		aut_free(db);
	}
	else
		sqlite_close(&db->base);
	return status;
}

void
aut_sqlite_idle(aut_db *base)
{
	sqlite_db *db = (sqlite_db *) base;
	int in_wal = 0;
	int moved = 0;

	if (base->in_transaction || db->wal_pages < CHECKPOINT_IDLE_PAGES)
		return;
	/* A failure (a reader holds old pages, the disk is full) leaves the WAL to the next time. */
	if (sqlite3_wal_checkpoint_v2(db->handle, STORE_SCHEMA, SQLITE_CHECKPOINT_PASSIVE, &in_wal,
								  &moved) == SQLITE_OK &&
		moved == in_wal)
		db->wal_pages = 0;
}
