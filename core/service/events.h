/* SPDX-License-Identifier: MIT */
/*
 * core/service/events.h - what the files about events share.
 *
 *   event_cache.c   definitions in memory, candidates by key
 *   event_match.c   an event and its candidates: verdicts, runs
 *   events.c        taking events in: deliveries, emissions
 *   event_looks.c   looking at them: lists, one, replay, trying a filter
 */
#ifndef AUT_SERVICE_EVENTS_INTERNAL_H
#define AUT_SERVICE_EVENTS_INTERNAL_H

#include "automation/match.h"
#include "automation/service_events.h"
#include "core/service/internal.h"

/* ---- definitions (event_cache.c) -------------------------------------------------------------- */

/* What matching needs of an automation, made ready.  Counted by its owners, never changed. */
typedef struct aut__trigger_def
{
	size_t refs;
	aut_uuid automation_id;
	int64_t version;
	bool active;
	bool continues;       /* destination continue_conversation */
	json_t *trigger;      /* owned; NULL: it cannot be read */
	json_t *associations; /* owned, or NULL */
	aut_jmespath *filter; /* NULL: none */
	aut_jmespath *subject;
	char *filter_error;            /* why the filter cannot be asked, or NULL */
	struct aut__trigger_def *next; /* in the cache */
} aut__trigger_def;
void aut__trigger_def_free(aut__trigger_def *def); /* one owner less */

/* The automations an event of that key and payload may concern, each once, in the order of their ids. */
typedef struct aut__candidates
{
	aut__trigger_def **items; /* each owned */
	size_t count;
	bool cut; /* there are more than AUT_EVENT_CANDIDATES_MAX */
} aut__candidates;
void aut__candidates_done(aut__candidates *list);
aut_status aut__candidates_find(aut_db *db, aut_event_cache *cache, const aut_uuid *org_id,
								const char *source, const char *key, const json_t *payload,
								aut__candidates *out, aut_error *err);

/* ---- matching (event_match.c) ------------------------------------------------------------------ */

/* What came of asking. */
typedef struct aut__matching
{
	aut__trigger_def **matched; /* each owned */
	size_t count;
	size_t considered;
	bool cut;       /* there were more candidates than are looked at */
	char *verdicts; /* JSON text, or NULL when nobody was asked; aut_free */
} aut__matching;
void aut__matching_done(aut__matching *matching);

/* The payload as filters see it: numbers of any size, NaN and infinities are what they were in the body. */
aut_status aut__event_payload(const aut_event *event, const char *source, const char *body,
							  size_t len, aut_payload **out, aut_error *err);
aut_status aut__event_match(const aut_call *call, aut_event_cache *cache, const aut_uuid *org_id,
							const char *source, const aut_event *event, const aut_payload *payload,
							aut__matching *out, aut_error *err);
/* One run per automation that matched; their ids, as texts, are appended to out_ids. */
aut_status aut__event_start(aut_call *call, const aut_uuid *event_id, const aut_event *event,
							const aut_payload *payload, const aut__matching *matching,
							bool replayed, json_t *out_ids, aut_error *err);
/* What a stored text of verdicts stands for, as clients see it: the list, with names, and how many there were
 * of each.  NULL text: nobody was asked. */
aut_status aut__verdicts_json(const aut_call *call, const char *stored, json_t **out_list,
							  json_t **out_counts, aut_error *err);
/* {received, matched, runs_created, conversations_continued}; takes ids (may be NULL: none). */
json_t *aut__event_answer(size_t matched, json_t *take_ids);

/* The filters of one event together have this much time; when it has gone, each of the others gets only a
 * little, which is enough for what people usually write. */
typedef struct aut__filter_budget
{
	const aut_clock *clock;
	int64_t deadline_us;
} aut__filter_budget;
void aut__filter_budget_init(aut__filter_budget *budget);
aut_status aut__filter_ask(const aut__filter_budget *budget, const aut_jmespath *filter,
						   const aut_payload *payload, bool *out_match, aut_error *err);

/* ---- taking in (events.c) ---------------------------------------------------------------------- */

/* Match an event that has a key, keep it as row (of which id, org, source, delivery id, headers and body are
 * filled) and start its runs; the answer for the sender. */
aut_status aut__event_take(aut_call *call, aut_event_cache *cache, aut_event_row *row,
						   const aut_event *event, const aut_payload *payload, bool *out_new,
						   json_t **out, aut_error *err);

#endif
