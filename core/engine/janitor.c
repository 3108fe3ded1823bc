/* SPDX-License-Identifier: MIT */
/*
 * core/engine/janitor.c - forgets what has been kept long enough: ended runs by age and by number,
 * records of deleted uploads, gaps, events, dedupe keys, how automations were switched off; folds the counts of
 * processes that are gone.  (Folders that runs left on agents: sweeper.c.)
 *
 *   resting ──due──▶ a batch ──there is more──▶ 250 ms ──▶ a batch …
 *      ▲                 └──nothing more──┐
 *      └── a minute, when the pass found something; an hour, when it found nothing ◀┘
 *
 * A pass goes through stages; each batch is a unit of its own and small, so that a fire or a claim
 * never waits long behind it.  Uploads that nothing uses are looked for page by page, oldest first.  Which automations have too many runs is asked one page of automations
 * after the other, and only when this process has claimed runs since it last asked.
 *
 * Spans of output (core/store/spans.c) are looked after at the start and after each pass.  That is no unit: it
 * locks a table, so it must not share a transaction with anybody.  A span there is no lock for goes later.
 */
#include <stddef.h>

#include "core/engine/engine_internal.h"

#define FIRST_PASS_MS   30000
#define BATCH_PAUSE_MS  250
#define BUSY_PAUSE_MS   60000
#define IDLE_PAUSE_MS   3600000
#define BATCH           500
#define AUTOMATION_PAGE 100
#define UPLOAD_PAGE     100

typedef enum stage
{
	OLD_RUNS,
	CROWDED_RUNS,
	UNUSED_UPLOADS,
	UPLOADS,
	GAPS,
	DISABLE_EVENTS,
	EVENTS,
	DEDUPE_KEYS,
	TALLIES,
	STAGES
} stage;

typedef struct janitor_unit
{
	aut_unit unit;
	aut_engine *engine;
	/* where the pass stands; moved when a batch is committed */
	stage at;
	aut_uuid after;
	aut_row_place after_upload;
	int64_t gone;
	uint64_t claims; /* of the engine, when too many runs were last looked for */
	bool looked;
	/* of the batch under way */
	stage next_at;
	aut_uuid next_after;
	aut_row_place next_after_upload;
	int64_t count;
} janitor_unit;

static void
look_after_spans(aut_engine *engine)
{
	aut_error err = AUT_ERROR_INIT;
	bool more = false;
	aut_status status =
		aut_store_output_spans(engine->options.turn->db, aut__engine_now(engine),
							   engine->options.settings->run_retention_days, &more, &err);
	int64_t pause_ms = more ? BATCH_PAUSE_MS : IDLE_PAUSE_MS;

	if (status != AUT_OK)
		pause_ms = BUSY_PAUSE_MS;
	if (status == AUT_EBUSY)
		aut_log(AUT_LOG_DEBUG, "spans of output: %s", err.message);
	else if (status != AUT_OK)
		aut__engine_db_trouble(engine, "spans of output", &err);
	engine->spans_due_mono_us = aut__engine_mono(engine) + pause_ms * AUT_US_PER_MS;
}

/* Is there anything to do in that stage? */
static bool
is_wanted(const janitor_unit *janitor, stage at)
{
	const aut_settings *s = janitor->engine->options.settings;

	switch (at)
	{
		case UNUSED_UPLOADS:
			return s->upload_retention_days > 0;
		case OLD_RUNS:
		case UPLOADS:
		case GAPS:
		case DISABLE_EVENTS:
			return s->run_retention_days > 0;
		case EVENTS:
			return s->integration_event_retention_days > 0;
		case CROWDED_RUNS:
			return s->run_retention_count > 0 &&
				   (!janitor->looked || janitor->claims != janitor->engine->stats.claims);
		case DEDUPE_KEYS:
		case TALLIES:
		case STAGES:
			break;
	}
	return true;
}

static aut_status
janitor_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	janitor_unit *janitor =
		(janitor_unit *) (void *) ((char *) unit - offsetof(janitor_unit, unit));
	const aut_settings *s = janitor->engine->options.settings;
	int64_t now = aut__engine_now(janitor->engine);
	int64_t before = now - s->run_retention_days * 86400 * AUT_US_PER_S;
	bool more = false;
	aut_status status = AUT_OK;

	janitor->count = 0;
	janitor->next_after = janitor->after;
	janitor->next_after_upload = janitor->after_upload;
	switch (janitor->at)
	{
		case OLD_RUNS:
			status = aut_store_forget_old_runs(db, before, BATCH, s->output_keep_bytes,
											   &janitor->count, &more, err);
			break;
		case CROWDED_RUNS:
			status = aut_store_forget_crowded_runs(
				db, &janitor->next_after, AUTOMATION_PAGE, s->run_retention_count, BATCH,
				s->output_keep_bytes, &janitor->count, &more, err);
			break;
		case UNUSED_UPLOADS:
			status = aut_store_delete_unused_uploads(
				db, now - s->upload_retention_days * 86400 * AUT_US_PER_S, now,
				&janitor->next_after_upload, UPLOAD_PAGE, &janitor->count, &more, err);
			break;
		case UPLOADS:
			status = aut_store_forget_uploads(db, before, BATCH, &janitor->count, err);
			more = janitor->count == BATCH;
			break;
		case GAPS:
			status = aut_store_forget_gaps(db, before, BATCH, &janitor->count, err);
			more = janitor->count == BATCH;
			break;
		case DISABLE_EVENTS:
			status = aut_store_forget_disable_events(db, before, BATCH, &janitor->count, err);
			more = janitor->count == BATCH;
			break;
		case EVENTS:
			before = now - s->integration_event_retention_days * 86400 * AUT_US_PER_S;
			status = aut_store_forget_events(db, before, BATCH, &janitor->count, err);
			more = janitor->count == BATCH;
			break;
		case DEDUPE_KEYS:
			status = aut_store_forget_dedupe_keys(db, now, BATCH, &janitor->count, err);
			more = janitor->count == BATCH;
			break;
		case TALLIES:
			status = aut_store_tally_fold(db, BATCH, &janitor->count, err);
			more = janitor->count == BATCH;
			break;
		case STAGES:
			break;
	}
	janitor->next_at = more ? janitor->at : janitor->at + 1;
	return status;
}

static void
janitor_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	janitor_unit *janitor =
		(janitor_unit *) (void *) ((char *) unit - offsetof(janitor_unit, unit));
	aut_engine *engine = janitor->engine;
	int64_t pause_ms = BATCH_PAUSE_MS;

	engine->units_in_flight--;
	engine->janitor_busy = false;
	if (status != AUT_OK)
	{
		/* A row that cannot go now must not keep anything else from going. */
		aut__engine_db_trouble(engine, "forgetting what is old", err);
		engine->janitor_due_mono_us = aut__engine_mono(engine) + BUSY_PAUSE_MS * AUT_US_PER_MS;
		return;
	}
	if (janitor->at == CROWDED_RUNS && janitor->next_at != CROWDED_RUNS)
	{
		janitor->looked = true;
		janitor->claims = engine->stats.claims;
	}
	if (janitor->at == UNUSED_UPLOADS && janitor->count > 0)
		aut__keeper_wake(engine); /* some may be outside of the database */
	janitor->gone += janitor->count;
	engine->stats.forgotten += (uint64_t) janitor->count;
	janitor->at = janitor->next_at;
	janitor->after = janitor->next_after;
	janitor->after_upload = janitor->next_after_upload;
	if (janitor->at == STAGES)
	{
		pause_ms = janitor->gone > 0 ? BUSY_PAUSE_MS : IDLE_PAUSE_MS;
		janitor->at = OLD_RUNS;
		janitor->after = AUT_UUID_NIL;
		janitor->after_upload = (aut_row_place){0};
		janitor->gone = 0;
		engine->spans_due_mono_us = aut__engine_mono(engine);
	}
	engine->janitor_due_mono_us = aut__engine_mono(engine) + pause_ms * AUT_US_PER_MS;
}

aut_status
aut__janitor_init(aut_engine *engine, aut_error *err)
{
	engine->janitor = aut_calloc(1, sizeof *engine->janitor);
	if (engine->janitor == NULL)
		return aut_fail(err, AUT_ENOMEM, "no memory for the janitor");
	engine->janitor->engine = engine;
	engine->janitor->unit = (aut_unit){.run = janitor_run, .done = janitor_done};
	engine->janitor_due_mono_us = aut__engine_mono(engine) + FIRST_PASS_MS * AUT_US_PER_MS;
	engine->spans_due_mono_us = aut__engine_mono(engine);
	return AUT_OK;
}

void
aut__janitor_done(aut_engine *engine)
{
	aut_free(engine->janitor);
}

void
aut__janitor_step(aut_engine *engine)
{
	janitor_unit *janitor = engine->janitor;

	if (aut__engine_mono(engine) >= engine->spans_due_mono_us)
		look_after_spans(engine);
	if (engine->janitor_busy || aut__engine_mono(engine) < engine->janitor_due_mono_us)
		return;
	while (!is_wanted(janitor, janitor->at))
		janitor->at++; /* the last stage is always wanted */
	engine->janitor_busy = true;
	engine->units_in_flight++;
	aut_turn_add(engine->options.turn, &janitor->unit);
}
