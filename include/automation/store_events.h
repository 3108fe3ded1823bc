/* SPDX-License-Identifier: MIT */
/*
 * include/automation/store_events.h - events that came in, and the index by which automations are found.
 *
 * Part of store.h's contract, apart for its length: nothing here commits, decides a rule, or reads a
 * clock.
 */
#ifndef AUT_STORE_EVENTS_H
#define AUT_STORE_EVENTS_H

#include "automation/event.h"
#include "automation/store.h"

/* ---- events -------------------------------------------------------------------------------- */

typedef enum aut_event_state
{
	AUT_EVENT_MATCHED,    /* at least one automation took it */
	AUT_EVENT_UNMATCHED,  /* none did */
	AUT_EVENT_IGNORED,    /* genuine, but of no use; `why` says why */
	AUT_EVENT_UNPARSEABLE /* signed, but no event; refused, and kept */
} aut_event_state;
#define AUT_EVENT_STATE_COUNT 4

const char *aut_event_state_name(aut_event_state state); /* "MATCHED" … */
bool aut_event_state_parse(const char *name, aut_event_state *out);

#define AUT_DELIVERY_ID_MAX 255 /* code points kept of a provider's id */

typedef struct aut_event_row
{
	aut_uuid id; /* version 7 */
	aut_uuid org_id;
	const char *source;
	const char *provider_event_id; /* NULL: none, nothing to be told apart by */
	const char *event_key;         /* NULL: it has none */
	aut_event_state state;
	const char *why;
	int64_t matched_count; /* automations that took it */
	int64_t considered;    /* candidates that were looked at */
	int64_t received_at;
	const char *headers;  /* JSON object, or NULL */
	const char *verdicts; /* JSON as the service writes it, or NULL */
	const void *body;     /* as it came; NULL in lists */
	size_t body_len;
} aut_event_row;

typedef struct aut_event_list
{
	aut_event_row *items;
	size_t count;
	aut_rows rows;
} aut_event_list;
void aut_event_list_done(aut_event_list *list);

/* *out_new false: that delivery of that source is known already, and nothing was written.  Two that arrive
 * at once: the second waits for the first. */
aut_status aut_store_event_insert(aut_db *db, const aut_event_row *event, bool *out_new,
								  aut_error *err);
/* With body, headers and verdicts.  ENOTFOUND, also for other orgs. */
aut_status aut_store_event_get(aut_db *db, const aut_uuid *org_id, const aut_uuid *id,
							   aut_event_list *out, aut_error *err);

typedef struct aut_event_wanted
{
	const char *source; /* NULL: any */
	const char *key;    /* NULL: any */
	const char *state;  /* NULL: any */
} aut_event_wanted;
/* Newest first, those before an id (NULL: from the newest on), without bodies. */
aut_status aut_store_event_list(aut_db *db, const aut_uuid *org_id, const aut_event_wanted *wanted,
								const aut_uuid *before, int64_t limit, aut_event_list *out,
								aut_error *err);
/* The runs it started, replays too, oldest first. */
aut_status aut_store_event_runs(aut_db *db, const aut_uuid *event_id, int64_t limit,
								aut_run_list *out, aut_error *err);

/* ---- the trigger index ----------------------------------------------------------------------- */

/* Under which keys an automation is found from now on; count 0: under none.  stamp: a number that nothing
 * of this org had before.  *out_changed false: it had none and has none. */
aut_status aut_store_trigger_put(aut_db *db, const aut_uuid *org_id, const aut_uuid *automation_id,
								 const char *source, const aut_trigger_key *keys, size_t count,
								 int64_t stamp, bool *out_changed, aut_error *err);
/* What is known about it has changed, its keys have not. */
aut_status aut_store_trigger_touch(aut_db *db, const aut_uuid *automation_id, int64_t stamp,
								   aut_error *err);
/* The org's stamp: another one whenever one of its event automations has changed.  0: never any. */
aut_status aut_store_trigger_stamp(aut_db *db, const aut_uuid *org_id, int64_t *out,
								   aut_error *err);

typedef struct aut_trigger_probe
{
	aut_uuid org_id;
	const char *source;
	const char *scope;
	const char *path;
	int64_t literal;
} aut_trigger_probe;

/* Candidates of one key in the order of ids, those after one: automation_id (u), version (l). */
aut_status aut_store_trigger_find(aut_db *db, const aut_trigger_probe *probe, const aut_uuid *after,
								  int64_t limit, aut_rows *out, aut_error *err);
/* The next path in use behind probe->path, NULL: none.  Lives in rows. */
aut_status aut_store_trigger_next_path(aut_db *db, const aut_trigger_probe *probe, aut_rows *rows,
									   const char **out, aut_error *err);
/* All whose path is behind probe->path, in no order: automation_id (u), version (l). */
aut_status aut_store_trigger_beyond(aut_db *db, const aut_trigger_probe *probe, int64_t limit,
									aut_rows *out, aut_error *err);
/* What matching needs of an automation: trigger (j), state (t), associations (j), name (t).  No row: it is
 * gone. */
aut_status aut_store_trigger_definition(aut_db *db, const aut_uuid *automation_id, aut_rows *out,
										aut_error *err);

#endif
