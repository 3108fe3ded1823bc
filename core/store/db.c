/* SPDX-License-Identifier: MIT */
/*
 * core/store/db.c - typed values, result rows, and the gate every statement passes.
 *
 * Owns the part of the driver interface that is the same for every database: parameters are checked
 * here against the declaration and against what *all* databases can keep (valid UTF-8 without NUL,
 * finite numbers, times PostgreSQL knows), so that a value accepted by one host is accepted by the
 * other; results are built through aut_rows_add and aut_rows_put, so that their memory has one owner.
 *
 * aut_db_run counts what may have written.  It counts before running: a statement that failed half
 * way must not look as if nothing had happened.  Nothing here begins, commits or retries.
 */
#include <math.h>
#include <string.h>

#include "core/store/internal.h"

/* PostgreSQL's earliest timestamp (4713 BC); its latest lies beyond our int64 microseconds. */
#define TIME_MIN_US INT64_C(-210866803200000000)

/* ---- values -------------------------------------------------------------------------------- */

aut_value
aut_v_null(char type)
{
	aut_value value = {.type = type, .null = true};

	return value;
}

aut_value
aut_v_int(int64_t integer)
{
	aut_value value = {.type = 'i', .integer = integer};

	return value;
}

aut_value
aut_v_big(int64_t integer)
{
	aut_value value = {.type = 'l', .integer = integer};

	return value;
}

aut_value
aut_v_real(double real)
{
	aut_value value = {.type = 'd', .real = real};

	return value;
}

aut_value
aut_v_bool(bool boolean)
{
	aut_value value = {.type = 'b', .integer = boolean ? 1 : 0};

	return value;
}

aut_value
aut_v_text(const char *text)
{
	return text == NULL ? aut_v_null('t') : aut_v_textn(text, strlen(text));
}

aut_value
aut_v_textn(const char *text, size_t len)
{
	aut_value value = {.type = 't', .null = text == NULL, .data = text, .len = len};

	return value;
}

aut_value
aut_v_json(const char *text)
{
	aut_value value = aut_v_text(text);

	value.type = 'j';
	return value;
}

aut_value
aut_v_bytes(const void *data, size_t len)
{
	aut_value value = {.type = 'x', .null = data == NULL, .data = data, .len = len};

	return value;
}

aut_value
aut_v_uuid(const aut_uuid *uuid)
{
	aut_value value = aut_v_null('u');

	if (uuid != NULL)
	{
		value.null = false;
		value.uuid = *uuid;
	}
	return value;
}

aut_value
aut_v_time(int64_t time_us)
{
	aut_value value = {.type = 'T', .null = time_us == AUT_TIME_NONE, .integer = time_us};

	return value;
}

/* ---- rows ---------------------------------------------------------------------------------- */

void
aut_rows_done(aut_rows *rows)
{
	if (rows == NULL)
		return;
	aut_free(rows->cells);
	aut_arena_done(&rows->arena);
	*rows = (aut_rows){0};
}

aut_value *
aut_rows_add(aut_rows *rows, const char *columns)
{
	size_t width = strlen(columns);
	aut_value *row;

	if (rows->count >= AUT_ROWS_MAX || width == 0)
		return NULL;
	/* Grow when the count reaches a power of two: the capacity needs no field of its own. */
	if ((rows->count & (rows->count - 1)) == 0)
	{
		size_t capacity = rows->count == 0 ? 1 : rows->count * 2;
		aut_value *cells = aut_realloc(rows->cells, capacity * width * sizeof(*cells));

		if (cells == NULL)
			return NULL;
		rows->cells = cells;
	}
	rows->width = width;
	row = rows->cells + rows->count * width;
	for (size_t i = 0; i < width; i++)
		row[i] = aut_v_null(columns[i]);
	rows->count++;
	return row;
}

aut_status
aut_rows_put(aut_rows *rows, aut_value *cell, const void *data, size_t len, aut_error *err)
{
	char *copy = aut_arena_strndup(&rows->arena, data == NULL ? "" : data, len);

	if (copy == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for %zu bytes of a result", len);
	cell->null = false;
	cell->data = copy;
	cell->len = len;
	return AUT_OK;
}

const aut_value *
aut_rows_at(const aut_rows *rows, size_t row, size_t column)
{
	static const aut_value nothing = {.type = 't', .null = true};

	if (row >= rows->count || column >= rows->width)
		return &nothing;
	return &rows->cells[row * rows->width + column];
}

int64_t
aut_rows_int(const aut_rows *rows, size_t row, size_t column)
{
	const aut_value *cell = aut_rows_at(rows, row, column);

	return cell->null ? 0 : cell->integer;
}

double
aut_rows_real(const aut_rows *rows, size_t row, size_t column)
{
	const aut_value *cell = aut_rows_at(rows, row, column);

	return cell->null ? 0 : cell->real;
}

bool
aut_rows_bool(const aut_rows *rows, size_t row, size_t column)
{
	return aut_rows_int(rows, row, column) != 0;
}

int64_t
aut_rows_time(const aut_rows *rows, size_t row, size_t column)
{
	const aut_value *cell = aut_rows_at(rows, row, column);

	return cell->null ? AUT_TIME_NONE : cell->integer;
}

const char *
aut_rows_text(const aut_rows *rows, size_t row, size_t column)
{
	const aut_value *cell = aut_rows_at(rows, row, column);

	return cell->null ? NULL : cell->data;
}

aut_uuid
aut_rows_uuid(const aut_rows *rows, size_t row, size_t column)
{
	const aut_value *cell = aut_rows_at(rows, row, column);

	return cell->null ? AUT_UUID_NIL : cell->uuid;
}

bool
aut_rows_null(const aut_rows *rows, size_t row, size_t column)
{
	return aut_rows_at(rows, row, column)->null;
}

/* ---- the gate ------------------------------------------------------------------------------ */

const char *
aut_stmt_sql(const aut_stmt *stmt, aut_dialect dialect)
{
	if (stmt->sql != NULL)
		return stmt->sql;
	return dialect == AUT_DIALECT_POSTGRES ? stmt->postgres : stmt->sqlite;
}

/* A plain SELECT takes no row locks and changes nothing. */
static bool
only_reads(const char *sql)
{
	return strncmp(sql, "SELECT", 6) == 0 && strstr(sql, "FOR UPDATE") == NULL;
}

static aut_status
check_param(const aut_value *value, char declared, size_t number, aut_error *err)
{
	if (value->type != declared)
		return aut_fail(err, AUT_EINTERNAL, "parameter $%zu is of type '%c', declared '%c'", number,
						value->type, declared);
	if (value->null)
		return AUT_OK;
	switch (declared)
	{
		case 'i':
			if (value->integer < INT32_MIN || value->integer > INT32_MAX)
				return aut_fail(err, AUT_EINVAL, "parameter $%zu does not fit 32 bits", number);
			break;
		case 'b':
			if (value->integer != 0 && value->integer != 1)
				return aut_fail(err, AUT_EINTERNAL, "parameter $%zu is not 0 or 1", number);
			break;
		case 'd':
			/* SQLite would keep NaN as null, and JSON has neither NaN nor infinity */
			if (!isfinite(value->real))
				return aut_fail(err, AUT_EINVAL, "parameter $%zu is not a finite number", number);
			break;
		case 'T':
			if (value->integer < TIME_MIN_US)
				return aut_fail(err, AUT_EINVAL, "parameter $%zu lies before 4713 BC", number);
			break;
		case 't':
		case 'j':
			if (value->data == NULL)
				return aut_fail(err, AUT_EINTERNAL, "parameter $%zu has no data", number);
			if (memchr(value->data, '\0', value->len) != NULL)
				return aut_fail(err, AUT_EINVAL, "parameter $%zu: text contains a NUL byte",
								number);
			if (!aut_utf8_valid(value->data, value->len))
				return aut_fail(err, AUT_EINVAL, "parameter $%zu: text is not valid UTF-8", number);
			break;
		case 'x':
			if (value->data == NULL && value->len > 0)
				return aut_fail(err, AUT_EINTERNAL, "parameter $%zu has no data", number);
			break;
		case 'l':
		case 'u':
			break;
		default:
			return aut_fail(err, AUT_EINTERNAL, "parameter $%zu: unknown type '%c'", number,
							declared);
	}
	return AUT_OK;
}

static aut_status
check_call(aut_db *db, const aut_stmt *stmt, const aut_value *params, const aut_rows *out_rows,
		   aut_error *err)
{
	size_t count = strlen(stmt->params);

	if (aut_stmt_sql(stmt, db->ops->dialect) == NULL)
		return aut_fail(err, AUT_EINTERNAL, "no text for this dialect");
	if (count > AUT_STMT_PARAMS_MAX || strlen(stmt->columns) > AUT_STMT_COLUMNS_MAX)
		return aut_fail(err, AUT_EINTERNAL, "too many parameters or columns");
	if (count > 0 && params == NULL)
		return aut_fail(err, AUT_EINTERNAL, "%zu parameters are missing", count);
	if (stmt->columns[0] != '\0' && out_rows == NULL)
		return aut_fail(err, AUT_EINTERNAL, "the result has nowhere to go");
	for (size_t i = 0; i < count; i++)
	{
		aut_status status = check_param(&params[i], stmt->params[i], i + 1, err);

		if (status != AUT_OK)
			return status;
	}
	return AUT_OK;
}

/* Once: also for many rows of parameters. */
static void
count_write(aut_db *db, const aut_stmt *stmt)
{
	if (!only_reads(aut_stmt_sql(stmt, db->ops->dialect)))
		db->writes++;
}

aut_status
aut_db_run(aut_db *db, const aut_stmt *stmt, const aut_value *params, aut_rows *out_rows,
		   int64_t *out_affected, aut_error *err)
{
	aut_status status = stmt->each ? aut_fail(err, AUT_EINTERNAL, "a statement for many rows")
								   : check_call(db, stmt, params, out_rows, err);

	if (status == AUT_OK)
	{
		count_write(db, stmt);
		status = db->ops->run(db, stmt, params, out_rows, out_affected, err);
	}
	if (status != AUT_OK)
		aut_error_context(err, "%s", stmt->name);
	return status;
}

/* Append copies of rows; columns are their types. */
static aut_status
rows_append(aut_rows *to, const aut_rows *rows, const char *columns, aut_error *err)
{
	aut_status status = AUT_OK;

	for (size_t i = 0; status == AUT_OK && i < rows->count; i++)
		status = aut__rows_add_copy(to, rows, i, columns, err);
	return status;
}

/* For drivers that have no way of their own. */
static aut_status
one_by_one(aut_db *db, const aut_stmt *stmt, const aut_value *params, size_t count,
		   aut_rows *out_rows, int64_t *out_affected, aut_error *err)
{
	size_t width = strlen(stmt->params);
	aut_rows all = {0};
	int64_t affected = 0;
	aut_status status = AUT_OK;

	for (size_t i = 0; status == AUT_OK && i < count; i++)
	{
		aut_rows rows = {0};
		int64_t changed = 0;

		status = db->ops->run(db, stmt, params + i * width, stmt->columns[0] == '\0' ? NULL : &rows,
							  &changed, err);
		affected += changed;
		if (status == AUT_OK)
			status = rows_append(&all, &rows, stmt->columns, err);
		aut_rows_done(&rows);
	}
	if (status != AUT_OK || out_rows == NULL)
		aut_rows_done(&all);
	else
		*out_rows = all;
	if (status == AUT_OK && out_affected != NULL)
		*out_affected = affected;
	return status;
}

aut_status
aut_db_run_each(aut_db *db, const aut_stmt *stmt, const aut_value *params, size_t count,
				aut_rows *out_rows, int64_t *out_affected, aut_error *err)
{
	size_t width = strlen(stmt->params);
	aut_status status = AUT_OK;

	if (!stmt->each || width == 0)
		status = aut_fail(err, AUT_EINTERNAL, "not a statement for many rows");
	for (size_t i = 0; status == AUT_OK && i < count; i++)
		status = check_call(db, stmt, params + i * width, out_rows, err);
	if (status == AUT_OK && count > 0)
	{
		count_write(db, stmt);
		status = (db->ops->run_each != NULL ? db->ops->run_each : one_by_one)(
			db, stmt, params, count, out_rows, out_affected, err);
	}
	else if (status == AUT_OK)
	{
		if (out_rows != NULL)
			*out_rows = (aut_rows){0};
		if (out_affected != NULL)
			*out_affected = 0;
	}
	if (status != AUT_OK)
		aut_error_context(err, "%s", stmt->name);
	return status;
}

aut_status
aut_db_begin(aut_db *db, aut_error *err)
{
	if (db->in_transaction)
		return aut_fail(err, AUT_EINTERNAL, "begin inside a transaction");
	return db->ops->begin(db, err);
}

aut_status
aut_db_commit(aut_db *db, aut_error *err)
{
	if (db->failed)
	{
		db->ops->rollback(db);
		return aut_fail(err, AUT_EDB, "the transaction was lost and cannot be committed");
	}
	if (!db->in_transaction)
		return aut_fail(err, AUT_EINTERNAL, "commit outside a transaction");
	return db->ops->commit(db, err);
}

void
aut_db_rollback(aut_db *db)
{
	db->ops->rollback(db);
}

void
aut_db_close(aut_db *db)
{
	if (db != NULL)
		db->ops->close(db);
}
