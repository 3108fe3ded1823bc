/* SPDX-License-Identifier: MIT */
/*
 * include/automation/service_events.h - events: taking them in, looking at them, trying filters on them.
 *
 * Part of service.h's contract, apart for its length.  A delivery becomes one row and one run per automation
 * whose pattern and filter let it through, in one transaction; the row keeps what was asked of whom and what
 * came of it.
 */
#ifndef AUT_SERVICE_EVENTS_H
#define AUT_SERVICE_EVENTS_H

#include "automation/event.h"
#include "automation/service.h"
#include "automation/store_events.h"

/* Of one event: automations that are looked at, verdicts that are kept (those that matched first). */
#define AUT_EVENT_CANDIDATES_MAX 50000
#define AUT_EVENT_VERDICTS_MAX   100
#define AUT_EVENT_RUNS_SHOWN     100

/*
 * What a process remembers between events: compiled filters, and who is a candidate for which key.  It is
 * never wrong, only out of date, which the org's stamp tells; several processes share nothing but the
 * database.  One thread.  All functions below take NULL for it and then remember nothing.
 */
typedef struct aut_event_cache aut_event_cache;
aut_status aut_event_cache_new(aut_event_cache **out, aut_error *err);
void aut_event_cache_free(aut_event_cache *cache);

/* One delivery of a provider.  No identity: the signature is what it has. */
typedef struct aut_delivery
{
	aut_uuid org_id;
	const char *source;
	const void *body;
	size_t body_len;
	aut_event_header *get_header;
	void *get_payload;
} aut_delivery;

/*
 * {received, matched, runs_created, conversations_continued}.  ENOTFOUND: there is no such source;
 * EUNAUTH: not signed.  A signed body that is no event is refused *and* kept: then *out stays NULL,
 * *out_refused has the story for the sender (EBADREQ), and AUT_OK lets the transaction commit.
 * A delivery that is known already: matched 0, no runs.  who of the call is not looked at.
 */
aut_status aut_service_event_accept(aut_call *call, aut_event_cache *cache,
									const aut_delivery *delivery, json_t **out,
									aut_error *out_refused, aut_error *err);

#define AUT_EMISSION_MAX 1048576 /* as deliveries over HTTP: runs get it in an environment variable */

/* An event of somebody who needs no signature, because the caller is known and may manage. */
typedef struct aut_emission
{
	const char *source;
	const char *key;        /* NULL: as the source names it (built-in ones always do) */
	const char *payload;    /* JSON text, what the provider would send (no wrapper) */
	const char *dedupe_key; /* NULL: none; as a provider's delivery id */
} aut_emission;
/* As aut_service_event_accept answers, and event_id (null for a duplicate).  EBADREQ, and nothing kept, when
 * it is no event. */
aut_status aut_service_event_emit(aut_call *call, aut_event_cache *cache,
								  const aut_emission *emission, json_t **out, aut_error *err);

/* {events, next_cursor}, newest first.  state of wanted is one of the names of aut_event_state. */
aut_status aut_service_event_list(aut_call *call, const aut_event_wanted *wanted, int64_t limit,
								  const char *cursor, json_t **out, aut_error *err);
/* One, with payload (null when it is none), headers, verdicts and runs. */
aut_status aut_service_event_get(aut_call *call, const aut_uuid *id, json_t **out, aut_error *err);
/* Match it again, by the automations as they are now; the runs are marked as replayed.  Needs manage.
 * ECONFLICT when it is no event that could match. */
aut_status aut_service_event_replay(aut_call *call, aut_event_cache *cache, const aut_uuid *id,
									json_t **out, aut_error *err);
/* body: {source?, on?, filter?, limit?}: which of the newest events (of that source) would pass.
 * {considered, matched, truncated, events:[{id, source, event_key, received_at, matched, why}]}. */
aut_status aut_service_event_test_filter(aut_call *call, const json_t *body, json_t **out,
										 aut_error *err);

#endif
