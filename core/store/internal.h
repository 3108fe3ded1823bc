/* SPDX-License-Identifier: MIT */
/*
 * core/store/internal.h - what the files of core/store share among themselves.
 *
 * Each file of statements exports them as one array that ends with a null pointer, so that tests can
 * walk all of them (aut_store_statement).
 */
#ifndef AUT_STORE_INTERNAL_H
#define AUT_STORE_INTERNAL_H

#include "automation/store.h"

extern const aut_stmt *const aut__automation_statements[];
extern const aut_stmt *const aut__schedule_statements[];
extern const aut_stmt *const aut__run_statements[];
extern const aut_stmt *const aut__claim_statements[];
extern const aut_stmt *const aut__output_statements[];
extern const aut_stmt *const aut__upload_statements[];
extern const aut_stmt *const aut__object_statements[];
extern const aut_stmt *const aut__worker_statements[];
extern const aut_stmt *const aut__policy_statements[];
extern const aut_stmt *const aut__retention_statements[];
extern const aut_stmt *const aut__span_statements[];
extern const aut_stmt *const aut__event_statements[];
extern const aut_stmt *const aut__trigger_statements[];
extern const aut_stmt *const aut__sandbox_statements[];
extern const aut_stmt *const aut__tally_statements[];
extern const aut_stmt *const aut__webhook_statements[];
extern const aut_stmt *const aut__environment_statements[];

/* Most rows one call may ask for; a larger (or negative) limit is AUT_EINVAL. */
#define AUT__LIMIT_MAX 10000

/*
 * The columns of a run, in the order aut__run_read takes them.  Written once: every statement that
 * returns whole runs begins with these.
 */
#define AUT__RUN_COLUMNS_OF(t)                                                                     \
	t "id, " t "automation_id, " t "status, " t "trigger_source, " t "scheduled_for, " t           \
	  "ready_at, " t "attempt, " t "worker, " t "bash_command_id, " t "sandbox_id, " t             \
	  "timeout_at, " t "cleanup_at, " t "error_detail, " t "status_detail, " t "current_phase, " t \
	  "conversation_id, " t "cost, " t "exit_code, " t "output_bytes, " t                          \
	  "observability_associations, " t "run_metadata, " t "resolved_runtime, " t "created_at, " t  \
	  "started_at, " t "completed_at, " t "trigger_event_id, " t "subject_key, " t "replayed"
#define AUT__RUN_COLUMNS AUT__RUN_COLUMNS_OF("r.")
#define AUT__RUN_TYPES   "uuttTTitttTTtjttdiljjjTTTutb"
#define AUT__RUN_WIDTH   28

/*
 * Does the host execute the runs of that automation itself?  Kept in run.inline, so that such runs are found
 * among those that wait for an agent (run_inline_idx).
 */
#define AUT__INLINE_OF(id)                                                                         \
	"coalesce((SELECT a.tarball_path = '" AUT_TARBALL_INLINE                                       \
	"' FROM automation.automation AS a WHERE a.id = " id "), false)"

/* Fill a run from a row; texts stay in rows.  AUT_ECORRUPT for a status nobody knows. */
aut_status aut__run_read(const aut_rows *rows, size_t row, aut_run *out, aut_error *err);

/* A row of its own, with its texts, out of many; columns are its types. */
aut_status aut__rows_copy(const aut_rows *rows, size_t row, const char *columns, aut_rows *out,
						  aut_error *err);

/* A copy of one row, with its texts, behind those that `to` has. */
aut_status aut__rows_add_copy(aut_rows *to, const aut_rows *rows, size_t row, const char *columns,
							  aut_error *err);

/* Refuse limits and offsets out of range. */
aut_status aut__check_window(int64_t limit, int64_t offset, aut_error *err);

/* Fill one item from a row; texts stay in rows. */
typedef aut_status aut__reader(const aut_rows *rows, size_t row, void *out, aut_error *err);
/* Run a statement and read each of its rows into an array of items of that size, freed with aut_free (NULL
 * when there are no rows).  After an error there are neither rows nor items. */
aut_status aut__read_items(aut_db *db, const aut_stmt *stmt, const aut_value *params, size_t size,
						   aut__reader *read, aut_rows *out_rows, void **out_items, aut_error *err);
/* The same for a statement that returns whole runs. */
aut_status aut__read_runs(aut_db *db, const aut_stmt *stmt, const aut_value *params,
						  aut_run_list *out, aut_error *err);

/* An array of count items for a list, freed by its _done; an empty list has none. */
aut_status aut__items_alloc(size_t count, size_t size, void **out, aut_error *err);

/* Which row of a result has an id in its first column: aut__index_rows makes it (one element for each row, freed
 * with aut_free; NULL when there are none), aut__index_find asks it.  out_row may be NULL. */
typedef struct aut__index
{
	aut_uuid id;
	size_t row;
} aut__index;
aut_status aut__index_rows(const aut_rows *rows, aut__index **out, aut_error *err);
bool aut__index_find(const aut__index *index, size_t count, const aut_uuid *id, size_t *out_row);

/* Run a statement that changes rows; *out_won (may be NULL): did it change any? */
aut_status aut__run_guarded(aut_db *db, const aut_stmt *stmt, const aut_value *params,
							bool *out_won, aut_error *err);

/* count runs of the automation more (or, below zero, fewer) have ended so. */
aut_status aut__tally_add(aut_db *db, const aut_uuid *automation_id, const char *run_status,
						  int64_t count, aut_error *err);

/* The same for the rows of a result whose second column is the automation and whose third is the status: each
 * automation and status once, however many there are of it. */
aut_status aut__tally_add_each(aut_db *db, const aut_rows *rows, aut_error *err);

/* An automation's row is written as given (fresh: for the first time), or a little of it has changed. */
aut_status aut__trigger_index_put(aut_db *db, const aut_automation *automation, bool fresh,
								  aut_error *err);
aut_status aut__trigger_index_touch(aut_db *db, const aut_uuid *automation_id, aut_error *err);

/* Run a statement whose one row has one time, or no row: AUT_TIME_NONE. */
aut_status aut__run_time(aut_db *db, const aut_stmt *stmt, const aut_value *params, int64_t *out,
						 aut_error *err);

#endif
