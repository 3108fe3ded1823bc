/* SPDX-License-Identifier: MIT */
/*
 * extension/spi_db.h - the database driver over SPI: a handle for the worker, one for SQL functions.
 *
 * Both turn every error the server raises into an error value, so that no jump crosses core; both share
 * the process's prepared plans.
 */
#ifndef AUT_SPI_DB_H
#define AUT_SPI_DB_H

#include "automation/db.h"

/*
 * The worker's handle: it owns the transactions of this process.  Call it outside of one, in a process
 * that is connected to a database.  Statements end after 30 s (AUT_ETIMEOUT).
 */
aut_status aut_spi_worker_db(aut_db **out, aut_error *err);

/*
 * A handle inside the transaction of whoever calls a SQL function; it neither begins nor commits.  The
 * first error the server raises is kept: from then on every statement returns the same status without
 * touching the server, core unwinds, and the SQL function must end in aut_spi_door_rethrow, because the
 * transaction is in no state to go on.
 */
aut_status aut_spi_door_db(aut_db **out, aut_error *err);

/* Raise the kept error as it was; returns when there is none. */
void aut_spi_door_rethrow(aut_db *db);

#endif
