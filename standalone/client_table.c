/* SPDX-License-Identifier: MIT */
/*
 * standalone/client_table.c - tables on a terminal or in a pipe.
 *
 * Columns are separated by two blanks and padded with blanks, never tabs, so that a pipe and a
 * terminal look alike; the last column is not padded.  On a terminal one column may be cut to make the
 * row fit; in a pipe nothing is ever cut.  Cells are escaped when they are added.
 */
#include <string.h>

#include "standalone/client_priv.h"

#define GAP        2
#define SHRINK_MIN 8 /* a column is not cut below this */
#define CELL_MAX   4096

const char *
client_colour_on(client_colour colour)
{
	switch (colour)
	{
		case CLIENT_PLAIN:
			return "";
		case CLIENT_BOLD:
			return "\x1b[1m";
		case CLIENT_DIM:
			return "\x1b[2m";
		case CLIENT_RED:
			return "\x1b[31m";
		case CLIENT_GREEN:
			return "\x1b[32m";
		case CLIENT_YELLOW:
			return "\x1b[33m";
		case CLIENT_CYAN:
			return "\x1b[36m";
	}
	return "";
}

client_colour
client_status_colour(const char *run_status)
{
	static const struct
	{
		const char *status;
		client_colour colour;
	} colours[] = {
		{"COMPLETED", CLIENT_GREEN}, {"ACTIVE", CLIENT_GREEN},     {"FAILED", CLIENT_RED},
		{"RUNNING", CLIENT_CYAN},    {"CANCELLED", CLIENT_YELLOW}, {"SKIPPED", CLIENT_DIM},
		{"PENDING", CLIENT_DIM},     {"INACTIVE", CLIENT_DIM},
	};

	for (size_t i = 0; i < sizeof colours / sizeof colours[0]; i++)
	{
		if (strcmp(colours[i].status, run_status) == 0)
			return colours[i].colour;
	}
	return CLIENT_PLAIN;
}

void
client_table_init(client_table *table, const client_column *columns, size_t count)
{
	memset(table, 0, sizeof *table);
	table->columns = columns;
	table->column_count = count;
	if (count == 0 || count > CLIENT_COLUMNS_MAX)
		table->status = AUT_EINTERNAL;
}

void
client_table_done(client_table *table)
{
	for (size_t i = 0; i < table->cell_count; i++)
		aut_free(table->cells[i].text);
	aut_free(table->cells);
	memset(table, 0, sizeof *table);
}

static aut_status
grow(client_table *table)
{
	size_t cap = table->cell_cap == 0 ? 64 : table->cell_cap * 2;
	client_cell *cells;

	if (table->cell_count < table->cell_cap)
		return AUT_OK;
	if (table->cell_count >= (size_t) CLIENT_ROWS_MAX * CLIENT_COLUMNS_MAX)
		return AUT_ELIMIT;
	cells = aut_realloc(table->cells, cap * sizeof *cells);
	if (cells == NULL)
		return AUT_ENOMEM;
	table->cells = cells;
	table->cell_cap = cap;
	return AUT_OK;
}

void
client_table_add(client_table *table, client_colour colour, const char *text)
{
	aut_buf cell;
	size_t len;

	if (text == NULL || *text == '\0')
		text = "-";
	len = strnlen(text, CELL_MAX);
	if (table->status == AUT_OK)
		table->status = grow(table);
	if (table->status != AUT_OK)
		return;
	/* an escape is at most six characters for one byte */
	aut_buf_init(&cell, (size_t) CELL_MAX * 6);
	(void) client_escape(text, aut_utf8_boundary(text, len), &cell);
	table->cells[table->cell_count].text = aut_buf_take(&cell, NULL);
	table->cells[table->cell_count].colour = colour;
	if (table->cells[table->cell_count].text == NULL)
		table->status = AUT_ENOMEM;
	else
		table->cell_count++;
	aut_buf_done(&cell);
}

/* Widths of the columns, the shrinking one cut so that a row fits into width. */
static void
measure(const client_table *table, int width, size_t out[CLIENT_COLUMNS_MAX])
{
	size_t total = 0;

	for (size_t col = 0; col < table->column_count; col++)
	{
		out[col] = strlen(table->columns[col].title);
		for (size_t i = col; i < table->cell_count; i += table->column_count)
		{
			size_t w = client_text_width(table->cells[i].text, strlen(table->cells[i].text));

			if (w > out[col])
				out[col] = w;
		}
		total += out[col] + (col > 0 ? GAP : 0);
	}
	for (size_t col = 0; width > 0 && col < table->column_count; col++)
	{
		size_t over = total > (size_t) width ? total - (size_t) width : 0;

		if (!table->columns[col].shrinks || out[col] <= SHRINK_MIN)
			continue;
		out[col] = out[col] - SHRINK_MIN > over ? out[col] - over : SHRINK_MIN;
		break;
	}
}

static void
put_blanks(aut_buf *out, size_t count)
{
	for (; count > 0; count--)
		(void) aut_buf_putc(out, ' ');
}

/* The largest beginning of text that is at most width columns wide. */
static size_t
fit(const char *text, size_t width)
{
	size_t len = strlen(text);

	while (len > 0 && client_text_width(text, len) > width)
		len = aut_utf8_boundary(text, len - 1);
	return len;
}

static void
put_cell(const char *text, size_t width, bool right, bool last, const char *colour, aut_buf *out)
{
	size_t len = strlen(text);
	size_t taken = client_text_width(text, len);
	bool cut = taken > width;

	if (cut)
	{
		len = fit(text, width - 1);
		taken = client_text_width(text, len) + 1;
	}
	if (right)
		put_blanks(out, width - taken);
	(void) aut_buf_puts(out, colour);
	(void) aut_buf_append(out, text, len);
	if (cut)
		(void) aut_buf_puts(out, "\xe2\x80\xa6"); /* an ellipsis */
	if (*colour != '\0')
		(void) aut_buf_puts(out, "\x1b[0m");
	if (!right && !last)
		put_blanks(out, width - taken);
	(void) aut_buf_puts(out, last ? "\n" : "  ");
}

aut_status
client_table_render(const client_table *table, int width, bool colour, aut_buf *out)
{
	size_t widths[CLIENT_COLUMNS_MAX] = {0};
	size_t n = table->column_count;

	if (table->status != AUT_OK)
		return table->status;
	measure(table, width, widths);
	for (size_t col = 0; col < n; col++)
		put_cell(table->columns[col].title, widths[col], table->columns[col].right, col + 1 == n,
				 colour ? client_colour_on(CLIENT_BOLD) : "", out);
	for (size_t i = 0; i + n <= table->cell_count; i += n)
	{
		for (size_t col = 0; col < n; col++)
			put_cell(table->cells[i + col].text, widths[col], table->columns[col].right,
					 col + 1 == n, colour ? client_colour_on(table->cells[i + col].colour) : "",
					 out);
	}
	return out->status;
}

aut_status
client_table_print(const client *c, const client_table *table, aut_error *err)
{
	aut_buf out;
	aut_status status;

	aut_buf_init(&out, CLIENT_REPLY_MAX);
	status = client_table_render(table, c->width, c->out_colour, &out);
	if (status != AUT_OK)
		(void) aut_fail(err, status, "the table could not be laid out: %s",
						aut_status_text(status));
	else
		status = client_write(out.data, out.len, err);
	aut_buf_done(&out);
	return status;
}
