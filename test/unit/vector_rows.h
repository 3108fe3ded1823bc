/* SPDX-License-Identifier: MIT */
/*
 * test/unit/vector_rows.h - one row of test/vectors after the other.
 *
 * The rows hold what strict JSON does not allow (integers of thirty digits), so they are read by the
 * reader of events, which is a test of it as well.
 *
 *     for (vector_rows rows = vectors_open("test/vectors/x.jsonl"); vectors_next(&rows);)
 *         ... rows.doc.root ...
 */
#ifndef AUT_TEST_VECTOR_ROWS_H
#define AUT_TEST_VECTOR_ROWS_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/unit/torture.h"

#include "automation/event.h"

typedef struct vector_rows
{
	FILE *file;
	char *line;
	size_t room;
	aut_event_doc doc; /* the row */
} vector_rows;

static inline vector_rows
vectors_open(const char *path)
{
	vector_rows rows = {.file = fopen(path, "r")};

	if (rows.file == NULL)
		fail_msg("cannot open %s: %s (run from the top folder)", path, strerror(errno));
	return rows;
}

static inline bool
vectors_next(vector_rows *rows)
{
	aut_error err = AUT_ERROR_INIT;
	ssize_t len;

	aut_event_doc_done(&rows->doc);
	len = getline(&rows->line, &rows->room, rows->file);
	if (len < 0)
	{
		free(rows->line);
		(void) fclose(rows->file);
		return false;
	}
	if (aut_event_doc_read(rows->line, (size_t) len, &rows->doc, &err) != AUT_OK)
		fail_msg("a vector cannot be read: %s: %.60s", err.message, rows->line);
	return true;
}

#endif
