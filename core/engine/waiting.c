/* SPDX-License-Identifier: MIT */
/*
 * core/engine/waiting.c - says of PENDING runs that they wait for a backend.
 *
 * While no backend is ready nothing is claimed.  Runs that are ready get the phase once, in the order in
 * which they would be claimed: the place reached is remembered, so that a new run among a hundred
 * thousand waiting ones costs itself.  The claim writes its own phase over it.
 */
#include <stddef.h>

#include "core/engine/engine_internal.h"

#define BATCH 500
#define PHASE "Waiting for a backend"

typedef struct waiting_unit
{
	aut_unit unit;
	aut_engine *engine;
	int64_t after_ready_at; /* reached */
	aut_uuid after_id;
	int64_t next_ready_at; /* reached by the batch under way */
	aut_uuid next_id;
	aut_uuid ids[BATCH];
	size_t count;
} waiting_unit;

static aut_status
waiting_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	waiting_unit *waiting =
		(waiting_unit *) (void *) ((char *) unit - offsetof(waiting_unit, unit));

	waiting->next_ready_at = waiting->after_ready_at;
	waiting->next_id = waiting->after_id;
	return aut_store_run_waiting(db, PHASE, aut__engine_now(waiting->engine), BATCH,
								 &waiting->next_ready_at, &waiting->next_id, waiting->ids,
								 &waiting->count, err);
}

static void
waiting_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	waiting_unit *waiting =
		(waiting_unit *) (void *) ((char *) unit - offsetof(waiting_unit, unit));
	aut_engine *engine = waiting->engine;

	engine->units_in_flight--;
	engine->waiting_busy = false;
	if (status != AUT_OK)
	{
		engine->want_waiting = true;
		aut__engine_db_trouble(engine, "marking runs that wait", err);
		return;
	}
	waiting->after_ready_at = waiting->next_ready_at;
	waiting->after_id = waiting->next_id;
	if (waiting->count == BATCH)
		engine->want_waiting = true;
	for (size_t i = 0; i < waiting->count; i++)
		aut__engine_tell(engine, &waiting->ids[i]);
}

aut_status
aut__waiting_init(aut_engine *engine, aut_error *err)
{
	engine->waiting = aut_calloc(1, sizeof *engine->waiting);
	if (engine->waiting == NULL)
		return aut_fail(err, AUT_ENOMEM, "no memory for the dispatcher");
	engine->waiting->engine = engine;
	engine->waiting->unit = (aut_unit){.run = waiting_run, .done = waiting_done};
	engine->want_waiting = true;
	return AUT_OK;
}

void
aut__waiting_done(aut_engine *engine)
{
	aut_free(engine->waiting);
}

void
aut__waiting_step(aut_engine *engine)
{
	aut_backend *backend = engine->options.backend;

	if (!engine->want_waiting || engine->waiting_busy)
		return;
	if (backend != NULL && backend->ops->ready(backend, NULL))
		return;
	engine->want_waiting = false;
	engine->waiting_busy = true;
	engine->units_in_flight++;
	aut_turn_add(engine->options.turn, &engine->waiting->unit);
}
