/* SPDX-License-Identifier: MIT */
/*
 * core/store/common.c - small steps that several files of statements share.
 */
#include <stdlib.h>
#include <string.h>

#include "core/store/internal.h"

aut_status
aut__check_window(int64_t limit, int64_t offset, aut_error *err)
{
	if (limit < 0 || limit > AUT__LIMIT_MAX)
		return aut_fail(err, AUT_EINVAL, "limit %lld is not within 0..%d", (long long) limit,
						AUT__LIMIT_MAX);
	if (offset < 0)
		return aut_fail(err, AUT_EINVAL, "offset %lld is negative", (long long) offset);
	return AUT_OK;
}

aut_status
aut__items_alloc(size_t count, size_t size, void **out, aut_error *err)
{
	void *items = NULL;

	if (count > 0)
	{
		items = aut_calloc(count, size);
		if (items == NULL)
			return aut_fail(err, AUT_ENOMEM, "out of memory for a list of %zu", count);
	}
	*out = items;
	return AUT_OK;
}

aut_status
aut__read_items(aut_db *db, const aut_stmt *stmt, const aut_value *params, size_t size,
				aut__reader *read, aut_rows *out_rows, void **out_items, aut_error *err)
{
	aut_rows rows = {0};
	void *items = NULL;
	aut_status status = aut_db_run(db, stmt, params, &rows, NULL, err);

	if (status == AUT_OK)
		status = aut__items_alloc(rows.count, size, &items, err);
	for (size_t i = 0; status == AUT_OK && i < rows.count; i++)
		status = read(&rows, i, (char *) items + i * size, err);
	if (status == AUT_OK)
	{
		*out_rows = rows;
		*out_items = items;
	}
	else
	{
		aut_free(items);
		aut_rows_done(&rows);
	}
	return status;
}

aut_status
aut__run_guarded(aut_db *db, const aut_stmt *stmt, const aut_value *params, bool *out_won,
				 aut_error *err)
{
	int64_t affected = 0;
	aut_status status = aut_db_run(db, stmt, params, NULL, &affected, err);

	if (status == AUT_OK && out_won != NULL)
		*out_won = affected > 0;
	return status;
}

aut_status
aut__run_time(aut_db *db, const aut_stmt *stmt, const aut_value *params, int64_t *out,
			  aut_error *err)
{
	aut_rows rows = {0};
	aut_status status = aut_db_run(db, stmt, params, &rows, NULL, err);

	if (status == AUT_OK)
		*out = aut_rows_time(&rows, 0, 0);
	aut_rows_done(&rows);
	return status;
}

aut_status
aut__rows_add_copy(aut_rows *to, const aut_rows *rows, size_t row, const char *columns,
				   aut_error *err)
{
	aut_value *cells = aut_rows_add(to, columns);
	aut_status status =
		cells == NULL ? aut_fail(err, AUT_ENOMEM, "out of memory for a row") : AUT_OK;

	for (size_t i = 0; status == AUT_OK && columns[i] != '\0'; i++)
	{
		const aut_value *from = aut_rows_at(rows, row, i);

		if (!from->null && strchr("tjx", columns[i]) != NULL)
			status = aut_rows_put(to, &cells[i], from->data, from->len, err);
		else
			cells[i] = *from;
	}
	return status;
}

aut_status
aut__rows_copy(const aut_rows *rows, size_t row, const char *columns, aut_rows *out, aut_error *err)
{
	aut_rows copy = {0};
	aut_status status = aut__rows_add_copy(&copy, rows, row, columns, err);

	if (status == AUT_OK)
		*out = copy;
	else
		aut_rows_done(&copy);
	return status;
}

static int
compare_index(const void *a, const void *b)
{
	return memcmp(((const aut__index *) a)->id.bytes, ((const aut__index *) b)->id.bytes,
				  sizeof(aut_uuid));
}

aut_status
aut__index_rows(const aut_rows *rows, aut__index **out, aut_error *err)
{
	void *items = NULL;
	aut__index *index;
	aut_status status = aut__items_alloc(rows->count, sizeof(aut__index), &items, err);

	if (status != AUT_OK)
		return status;
	index = items;
	for (size_t i = 0; i < rows->count; i++)
		index[i] = (aut__index){aut_rows_uuid(rows, i, 0), i};
	if (rows->count > 1)
		qsort(index, rows->count, sizeof(aut__index), compare_index);
	*out = index;
	return AUT_OK;
}

bool
aut__index_find(const aut__index *index, size_t count, const aut_uuid *id, size_t *out_row)
{
	aut__index key = {*id, 0};
	const aut__index *found =
		count == 0 ? NULL : bsearch(&key, index, count, sizeof(aut__index), compare_index);

	if (found != NULL && out_row != NULL)
		*out_row = found->row;
	return found != NULL;
}
