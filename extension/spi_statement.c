/* SPDX-License-Identifier: MIT */
/*
 * extension/spi_statement.c - one declared statement through SPI: plan, parameters, rows, errors.
 *
 * Owns the process's prepared plans, found by the address of the declaration and kept for good; the
 * server revalidates them by itself when a table changes.  The declaration gives the types of parameters
 * and columns, so the texts need no casts, and the first use checks that the columns are what was
 * declared.
 *
 * Core speaks UTF-8; a database in another encoding is converted to and from at this border.  Nothing
 * palloc'ed leaves: results are copied into core's memory, parameters into SPI's.
 */
#include "spi_internal.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/plancache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#define CACHE_SIZE 512 /* a power of two, far above the number of statements */
#define CACHE_FILL 384

/* PostgreSQL counts from 2000-01-01. */
#define EPOCH_SHIFT_US                                                                             \
	((int64_t) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * USECS_PER_SEC)

static struct
{
	const aut_stmt *declared;
	SPIPlanPtr plan;
} cache[CACHE_SIZE];
static size_t cached;

/* ---- plans --------------------------------------------------------------------------------- */

static Oid
type_oid(char type)
{
	switch (type)
	{
		case 'i':
			return INT4OID;
		case 'l':
			return INT8OID;
		case 'd':
			return FLOAT8OID;
		case 'b':
			return BOOLOID;
		case 't':
			return TEXTOID;
		case 'j':
			return JSONOID;
		case 'x':
			return BYTEAOID;
		case 'u':
			return UUIDOID;
		case 'T':
			return TIMESTAMPTZOID;
		default:
			return InvalidOid;
	}
}

/* Of what a parameter of a statement that is `each` is made. */
typedef struct element
{
	Oid type, array;
	int16 len;
	bool by_value;
	char align;
} element;

static element
element_of(char type)
{
	switch (type)
	{
		case 'i':
			return (element){INT4OID, INT4ARRAYOID, 4, true, TYPALIGN_INT};
		case 'l':
			return (element){INT8OID, INT8ARRAYOID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE};
		case 'd':
			return (element){FLOAT8OID, FLOAT8ARRAYOID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE};
		case 'b':
			return (element){BOOLOID, BOOLARRAYOID, 1, true, TYPALIGN_CHAR};
		case 't':
			return (element){TEXTOID, TEXTARRAYOID, -1, false, TYPALIGN_INT};
		case 'j':
			return (element){JSONOID, JSONARRAYOID, -1, false, TYPALIGN_INT};
		case 'x':
			return (element){BYTEAOID, BYTEAARRAYOID, -1, false, TYPALIGN_INT};
		case 'u':
			return (element){UUIDOID, UUIDARRAYOID, UUID_LEN, false, TYPALIGN_CHAR};
		default: /* 'T' */
			return (element){TIMESTAMPTZOID, TIMESTAMPTZARRAYOID, 8, FLOAT8PASSBYVAL,
							 TYPALIGN_DOUBLE};
	}
}

static size_t
cache_slot(const aut_stmt *declared)
{
	/* Declarations lie side by side: a multiplicative hash spreads their addresses. */
	uint64_t hash = (uint64_t) (uintptr_t) declared * UINT64_C(0x9e3779b97f4a7c15);
	size_t slot = (size_t) (hash >> 40) & (CACHE_SIZE - 1);

	while (cache[slot].declared != NULL && cache[slot].declared != declared)
		slot = (slot + 1) & (CACHE_SIZE - 1);
	return slot;
}

/* One statement, with the declared columns? */
static aut_status
match_declaration(SPIPlanPtr plan, const aut_stmt *declared, aut_error *err)
{
	List *sources = SPI_plan_get_plan_sources(plan);
	size_t width = strlen(declared->columns);
	TupleDesc columns;

	if (list_length(sources) != 1)
		return aut_fail(err, AUT_EINTERNAL, "the text is not one statement");
	columns = ((CachedPlanSource *) linitial(sources))->resultDesc;
	if ((columns == NULL ? 0 : (size_t) columns->natts) != width)
		return aut_fail(err, AUT_EINTERNAL, "%d columns, declared %zu",
						columns == NULL ? 0 : columns->natts, width);
	for (size_t i = 0; i < width; i++)
	{
		if (TupleDescAttr(columns, i)->atttypid != type_oid(declared->columns[i]))
			return aut_fail(err, AUT_EINTERNAL, "column %zu is of type %u, declared '%c'", i + 1,
							TupleDescAttr(columns, i)->atttypid, declared->columns[i]);
	}
	return AUT_OK;
}

static aut_status
prepare(const aut_stmt *declared, SPIPlanPtr *out, aut_error *err)
{
	size_t slot = cache_slot(declared);
	Oid types[AUT_STMT_PARAMS_MAX];
	int count = (int) strlen(declared->params);
	SPIPlanPtr plan = cache[slot].plan;
	aut_status status;

	if (plan != NULL)
	{
		*out = plan;
		return AUT_OK;
	}
	if (cached >= CACHE_FILL)
		return aut_fail(err, AUT_EINTERNAL, "more than %d statements", CACHE_FILL);
	for (int i = 0; i < count; i++)
		types[i] =
			declared->each ? element_of(declared->params[i]).array : type_oid(declared->params[i]);
	/* A plan for each length of the arrays would be the same plan: it is made once. */
	plan = SPI_prepare_cursor(aut_stmt_sql(declared, AUT_DIALECT_POSTGRES), count, types,
							  declared->each ? CURSOR_OPT_GENERIC_PLAN : 0);
	if (plan == NULL)
		return aut_fail(err, AUT_EDB, "cannot prepare: %s", SPI_result_code_string(SPI_result));
	status = match_declaration(plan, declared, err);
	/* An unkept plan goes with SPI_finish, so a failed first use leaves nothing. */
	if (status == AUT_OK && SPI_keepplan(plan) != 0)
		status = aut_fail(err, AUT_EDB, "cannot keep a plan");
	if (status != AUT_OK)
		return status;
	cache[slot].declared = declared;
	cache[slot].plan = plan;
	cached++;
	*out = plan;
	return AUT_OK;
}

/* ---- parameters ---------------------------------------------------------------------------- */

static bool
needs_conversion(void)
{
	return GetDatabaseEncoding() != PG_UTF8 && GetDatabaseEncoding() != PG_SQL_ASCII;
}

/* A copy of UTF-8 bytes in the database's encoding, NUL-terminated. */
static char *
to_server(const char *data, size_t len)
{
	char *copy = pnstrdup(data, len);

	return needs_conversion() ? pg_any_to_server(copy, (int) len, PG_UTF8) : copy;
}

static Datum
to_datum(const aut_value *value)
{
	switch (value->type)
	{
		case 'i':
			return Int32GetDatum((int32) value->integer);
		case 'l':
			return Int64GetDatum(value->integer);
		case 'd':
			return Float8GetDatum(value->real);
		case 'b':
			return BoolGetDatum(value->integer != 0);
		case 't':
			return PointerGetDatum(cstring_to_text(to_server(value->data, value->len)));
		case 'j':
			/* its input function, not just the bytes: the type promises valid JSON */
			return DirectFunctionCall1(json_in,
									   CStringGetDatum(to_server(value->data, value->len)));
		case 'x':
			return PointerGetDatum(
				cstring_to_text_with_len(value->data == NULL ? "" : value->data, (int) value->len));
		case 'u':
		{
			pg_uuid_t *uuid = palloc(sizeof(*uuid));

			memcpy(uuid->data, value->uuid.bytes, UUID_LEN);
			return UUIDPGetDatum(uuid);
		}
		case 'T':
			return TimestampTzGetDatum(value->integer - EPOCH_SHIFT_US);
		default:
			elog(ERROR, "unknown parameter type '%c'", value->type);
	}
}

/* One column of the rows of parameters, as an array. */
static Datum
to_array(char type, const aut_value *first, size_t width, size_t count)
{
	element of = element_of(type);
	Datum *values = palloc(count * sizeof(Datum));
	bool *nulls = palloc(count * sizeof(bool));
	int length = (int) count, from = 1;

	for (size_t i = 0; i < count; i++)
	{
		const aut_value *value = first + i * width;

		nulls[i] = value->null;
		values[i] = value->null ? (Datum) 0 : to_datum(value);
	}
	return PointerGetDatum(construct_md_array(values, nulls, 1, &length, &from, of.type, of.len,
											  of.by_value, of.align));
}

/* ---- rows ---------------------------------------------------------------------------------- */

static int64_t
from_timestamp(TimestampTz time)
{
	/* Somebody may write infinity into a table by hand; core knows the largest and smallest time. */
	if (time > AUT_TIME_MAX - EPOCH_SHIFT_US)
		return AUT_TIME_MAX;
	if (TIMESTAMP_IS_NOBEGIN(time))
		return AUT_TIME_NONE + 1;
	return time + EPOCH_SHIFT_US;
}

static aut_status
put_text(aut_rows *rows, aut_value *cell, Datum datum, aut_error *err)
{
	text *value = DatumGetTextPP(datum);
	char *data = VARDATA_ANY(value);
	size_t len = VARSIZE_ANY_EXHDR(value);

	if (needs_conversion())
	{
		char *converted = pg_server_to_any(data, (int) len, PG_UTF8);

		if (converted != data)
		{
			data = converted;
			len = strlen(converted);
		}
	}
	return aut_rows_put(rows, cell, data, len, err);
}

static aut_status
read_cell(aut_rows *rows, aut_value *cell, Datum datum, aut_error *err)
{
	switch (cell->type)
	{
		case 'i':
			cell->integer = DatumGetInt32(datum);
			break;
		case 'l':
			cell->integer = DatumGetInt64(datum);
			break;
		case 'd':
			cell->real = DatumGetFloat8(datum);
			break;
		case 'b':
			cell->integer = DatumGetBool(datum) ? 1 : 0;
			break;
		case 't':
		case 'j':
			return put_text(rows, cell, datum, err);
		case 'x':
		{
			bytea *value = DatumGetByteaPP(datum);

			return aut_rows_put(rows, cell, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), err);
		}
		case 'u':
			memcpy(cell->uuid.bytes, DatumGetUUIDP(datum)->data, UUID_LEN);
			break;
		default: /* 'T' */
			cell->integer = from_timestamp(DatumGetTimestampTz(datum));
			break;
	}
	cell->null = false;
	return AUT_OK;
}

static aut_status
read_rows(const aut_stmt *stmt, aut_rows *rows, aut_error *err)
{
	SPITupleTable *table = SPI_tuptable;

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		aut_value *row = aut_rows_add(rows, stmt->columns);

		if (row == NULL)
			return rows->count >= AUT_ROWS_MAX
					   ? aut_fail(err, AUT_ELIMIT, "more than %d rows", AUT_ROWS_MAX)
					   : aut_fail(err, AUT_ENOMEM, "out of memory for a row");
		for (int k = 0; stmt->columns[k] != '\0'; k++)
		{
			bool null;
			Datum datum = SPI_getbinval(table->vals[i], table->tupdesc, k + 1, &null);
			aut_status status = null ? AUT_OK : read_cell(rows, &row[k], datum, err);

			if (status != AUT_OK)
				return status;
		}
	}
	return AUT_OK;
}

/* ---- executing ----------------------------------------------------------------------------- */

aut_status
aut__spi_execute(const aut_stmt *stmt, const aut_value *params, size_t count, aut_rows *rows,
				 int64_t *affected, aut_error *err)
{
	size_t width = strlen(stmt->params);
	Datum values[AUT_STMT_PARAMS_MAX];
	char nulls[AUT_STMT_PARAMS_MAX + 1];
	SPIPlanPtr plan = NULL;
	aut_status status = prepare(stmt, &plan, err);
	int rc;

	if (status != AUT_OK)
		return status;
	for (size_t i = 0; i < width; i++)
	{
		bool null = !stmt->each && params[i].null;

		nulls[i] = null ? 'n' : ' ';
		if (stmt->each)
			values[i] = to_array(stmt->params[i], &params[i], width, count);
		else
			values[i] = null ? (Datum) 0 : to_datum(&params[i]);
	}
	rc = SPI_execute_plan(plan, values, nulls, false, 0);
	if (rc < 0)
		return aut_fail(err, AUT_EDB, "cannot execute: %s", SPI_result_code_string(rc));
	*affected = rc == SPI_OK_SELECT ? 0 : (int64_t) SPI_processed;
	if (stmt->columns[0] != '\0')
		status = read_rows(stmt, rows, err);
	SPI_freetuptable(SPI_tuptable);
	return status;
}

/* ---- errors -------------------------------------------------------------------------------- */

static aut_status
status_of(int sqlerrcode)
{
	switch (sqlerrcode)
	{
		case ERRCODE_UNIQUE_VIOLATION:
		case ERRCODE_EXCLUSION_VIOLATION:
			return AUT_EUNIQUE;
		case ERRCODE_LOCK_NOT_AVAILABLE:
		case ERRCODE_OBJECT_IN_USE:
			return AUT_EBUSY;
		case ERRCODE_QUERY_CANCELED:
			return AUT_ETIMEOUT;
		case ERRCODE_OUT_OF_MEMORY:
			return AUT_ENOMEM;
		case ERRCODE_DISK_FULL:
		case ERRCODE_READ_ONLY_SQL_TRANSACTION:
			return AUT_EIO;
		case ERRCODE_DATA_CORRUPTED:
		case ERRCODE_INDEX_CORRUPTED:
			return AUT_ECORRUPT;
		default:
			break;
	}
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case MAKE_SQLSTATE('2', '2', '0', '0', '0'): /* data exception */
		case MAKE_SQLSTATE('2', '3', '0', '0', '0'): /* integrity constraint violation */
		case MAKE_SQLSTATE('5', '4', '0', '0', '0'): /* program limit exceeded */
			return AUT_EINVAL;
		case MAKE_SQLSTATE('4', '0', '0', '0',
						   '0'): /* transaction rollback: deadlock, serialization */
			return AUT_EBUSY;
		case MAKE_SQLSTATE('5', '8', '0', '0', '0'): /* system error */
			return AUT_EIO;
		default:
			return AUT_EDB;
	}
}

aut_status
aut__spi_error(const ErrorData *edata, aut_error *err)
{
	aut_status status = status_of(edata->sqlerrcode);

	aut_fail(err, status, "%s", edata->message == NULL ? "no message" : edata->message);
	if (err == NULL)
		return status;
	strlcpy(err->sqlstate, unpack_sql_state(edata->sqlerrcode), sizeof(err->sqlstate));
	/* Converting could raise an error of its own, in the middle of handling one. */
	if (needs_conversion())
	{
		for (char *at = err->message; *at != '\0'; at++)
		{
			if ((*at & 0x80) != 0)
				*at = '?';
		}
	}
	return status;
}
