/* SPDX-License-Identifier: MIT */
/*
 * include/automation/environment.h - variables that an automation hands to its runs.
 *
 * Names are shown, values are not: they are kept sealed (seal.h) as one JSON object in a row of their own
 * and are opened when a run is started, to stand in its environment before those of the contract, which
 * win.
 */
#ifndef AUT_ENVIRONMENT_H
#define AUT_ENVIRONMENT_H

#include "automation/seal.h"
#include "automation/store.h"

#define AUT_ENVIRONMENT_COUNT_MAX 100    /* variables of an automation */
#define AUT_ENVIRONMENT_NAME_MAX  128    /* bytes of a name */
#define AUT_ENVIRONMENT_VALUE_MAX 32768  /* bytes of a value */
#define AUT_ENVIRONMENT_BYTES_MAX 131072 /* of names and values together */

/* ---- store ------------------------------------------------------------------------------------ */

/* Insert or replace.  names: JSON text, a list. */
aut_status aut_store_environment_put(aut_db *db, const aut_uuid *automation_id, const char *names,
									 const void *sealed, size_t len, aut_error *err);
aut_status aut_store_environment_delete(aut_db *db, const aut_uuid *automation_id, aut_error *err);
/* One row, or none: sealed (x). */
aut_status aut_store_environment_get(aut_db *db, const aut_uuid *automation_id, aut_rows *out,
									 aut_error *err);

/* ---- service ---------------------------------------------------------------------------------- */

/* What a run is to be given: an object name -> text, NULL when there is nothing.  json_decref. */
aut_status aut_service_environment(const aut_run_task *task, const aut_sealer *sealer, json_t **out,
								   aut_error *err);

#endif
