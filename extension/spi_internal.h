/* SPDX-License-Identifier: MIT */
/*
 * extension/spi_internal.h - between the driver's transactions (spi_db.c) and its statements
 * (spi_statement.c).
 */
#ifndef AUT_SPI_INTERNAL_H
#define AUT_SPI_INTERNAL_H

#include "pg_prelude.h"

#include "spi_db.h"

/*
 * Prepare (at first use) and execute one statement; results go into core memory.  Raises the server's
 * errors: call it inside PG_TRY, with SPI connected.  What goes wrong without an error raised (no
 * memory for the result, a wrong declaration) is returned.  count: rows of parameters of a statement that is
 * `each`.
 */
aut_status aut__spi_execute(const aut_stmt *stmt, const aut_value *params, size_t count,
							aut_rows *rows, int64_t *affected, aut_error *err);

/* Translate an error the server raised. */
aut_status aut__spi_error(const ErrorData *edata, aut_error *err);

#endif
