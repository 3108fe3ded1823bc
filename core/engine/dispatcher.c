/* SPDX-License-Identifier: MIT */
/*
 * core/engine/dispatcher.c - which runs this process executes.
 *
 *   claim     PENDING runs that are ready, in batches as large as there is room, one transaction each
 *   held      after a restart: RUNNING runs that this worker's name still holds are adopted
 *   cleanup   runs that ended elsewhere (callback, cancel) while something of them is on the agent
 *   lease     while runs are held, one small row says until when this worker is believed alive
 *
 * A row that cannot be claimed must not stop those behind it.  When a claim fails for a reason that
 * waiting does not mend, it is repeated with one run; when that fails, too, the run at the head of the
 * queue is passed over for some minutes, and the log says so.
 *
 * Fires that are late go before claims, but not for ever: of each half second that they take, one claim.
 *
 * Each is one unit of work with its own memory, never two of a kind at once.
 */
#include <stddef.h>
#include <string.h>

#include "core/engine/engine_internal.h"

#define PASS_OVER_MS   (10 * 60 * 1000)
#define FIRES_FIRST_MS 500
/* How often claims look from the very beginning, and how far back when told of news. */
#define WHOLE_EVERY_MS 1000
#define NEWS_AGE_US    (10 * AUT_US_PER_S)

typedef struct tasks
{
	aut_uuid *ids;
	aut_run_task *items;
	size_t count; /* loaded */
	size_t cap;
} tasks;

static void
tasks_clear(tasks *list)
{
	for (size_t i = 0; i < list->count; i++)
		aut_run_task_done(&list->items[i]);
	list->count = 0;
}

static void
tasks_done(tasks *list)
{
	tasks_clear(list);
	aut_free(list->ids);
	aut_free(list->items);
}

static aut_status
tasks_reserve(tasks *list, size_t cap, aut_error *err)
{
	if (cap <= list->cap)
		return AUT_OK;
	aut_uuid *ids = aut_realloc(list->ids, cap * sizeof *ids);
	if (ids != NULL)
		list->ids = ids;
	aut_run_task *items = aut_realloc(list->items, cap * sizeof *items);
	if (items != NULL)
		list->items = items;
	if (ids == NULL || items == NULL)
		return aut_fail(err, AUT_ENOMEM, "no memory for a batch of runs");
	list->cap = cap;
	return AUT_OK;
}

/* Load the tasks of ids[0..n); an id whose row is gone is left out. */
static aut_status
tasks_load(tasks *list, aut_db *db, size_t n, aut_error *err)
{
	return aut_store_run_tasks(db, list->ids, n, list->items, &list->count, err);
}

typedef struct held_unit
{
	aut_unit unit;
	aut_engine *engine;
	tasks tasks;
	aut_uuid after;
	size_t found;
	bool adopt_only; /* our own are known */
} held_unit;

/* ---- claim --------------------------------------------------------------------------------- */

typedef struct claim_unit
{
	aut_unit unit;
	aut_engine *engine;
	tasks tasks;
	int64_t limit;
	size_t claimed;
	bool inline_only; /* only what the host itself executes: no agent is ready */
	size_t skipped;   /* of them, and not among the tasks: their ids are the first ones */
	int64_t next_ready_at;
	bool find_bad;      /* instead of claiming: which run is it that cannot be claimed? */
	aut_ready bad;      /* the answer */
	aut_ready after;    /* runs up to this one are passed over */
	int64_t pass_until; /* so long (monotonic) */
	aut_error why;
	aut_ready from; /* where this claim begins to look; nothing: at the very beginning */
	bool whole;     /* it does */
	int64_t whole_mono_us;
	aut_ready last;            /* the last run of a claim that found more than it could take */
	bool more;                 /* there was such a claim, and it was the last one */
	bool if_made;              /* only if the units before it have made runs that are ready */
	bool nothing;              /* they have not */
	uint64_t made;             /* runs made before this turn */
	int64_t lease_until;       /* what it has written; AUT_TIME_NONE: nothing */
	bool held_back;            /* this claim took nothing: fires are late */
	int64_t held_back_mono_us; /* since when; 0: not */
} claim_unit;

/*
 * Where a claim begins to look.  While some old transaction is open, PostgreSQL keeps the index entries of
 * all runs claimed since, and a look from the beginning walks over them.  So: behind the last claim when
 * that one left runs behind, a little before now when news came, and only every second from the very
 * beginning, for runs whose transaction took longer than that to commit.
 */
static void
choose_from(claim_unit *claim, int64_t now, bool news)
{
	int64_t mono = aut__engine_mono(claim->engine);

	claim->whole =
		claim->whole_mono_us == 0 || mono - claim->whole_mono_us >= WHOLE_EVERY_MS * AUT_US_PER_MS;
	if (claim->whole)
	{
		claim->from = (aut_ready){0};
		claim->whole_mono_us = mono;
	}
	else if (claim->more && !news)
		claim->from = claim->last;
	else
		claim->from = (aut_ready){.ready_at = now - NEWS_AGE_US};
}

static bool
gives_way_to_fires(claim_unit *claim)
{
	int64_t mono = aut__engine_mono(claim->engine);

	if (claim->held_back_mono_us == 0)
		claim->held_back_mono_us = mono;
	if (aut__scheduler_is_behind(claim->engine) &&
		mono - claim->held_back_mono_us < FIRES_FIRST_MS * AUT_US_PER_MS)
		return true;
	claim->held_back_mono_us = 0;
	return false;
}

static int
compare_ready(const aut_ready *a, const aut_ready *b)
{
	if (a->ready_at != b->ready_at)
		return a->ready_at < b->ready_at ? -1 : 1;
	return memcmp(a->id.bytes, b->id.bytes, sizeof a->id.bytes);
}

/* A trigger or fire and the end of its automation may pass each other unseen: each sees the other only
 * after its commit.  So the claim, which comes after both, has the last word. */
static aut_status
skip_blocked(claim_unit *claim, aut_db *db, int64_t now, aut_error *err)
{
	tasks *list = &claim->tasks;
	size_t kept = 0;
	aut_status status = AUT_OK;
	for (size_t i = 0; i < list->count; i++)
	{
		if (status != AUT_OK || !aut_service_run_is_blocked(&list->items[i]))
		{
			list->items[kept++] = list->items[i];
			continue;
		}
		status = aut_service_run_skip_blocked(db, &list->items[i], claim->engine->options.worker,
											  now, err);
		list->ids[claim->skipped++] = list->items[i].run.id;
		aut_run_task_done(&list->items[i]);
	}
	list->count = kept;
	return status;
}

static bool
lease_is_short(const aut_engine *engine, int64_t now)
{
	return engine->lease_until - now < engine->options.settings->lease_seconds * AUT_US_PER_S / 2;
}

static aut_status
claim_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	claim_unit *claim = (claim_unit *) (void *) ((char *) unit - offsetof(claim_unit, unit));
	aut_engine *engine = claim->engine;
	const aut_settings *s = engine->options.settings;
	int64_t now = aut__engine_now(engine);
	tasks_clear(&claim->tasks);
	claim->claimed = claim->skipped = 0;
	claim->next_ready_at = AUT_TIME_NONE;
	if (aut__engine_mono(engine) >= claim->pass_until)
		claim->after = (aut_ready){0};
	claim->lease_until = AUT_TIME_NONE;
	claim->nothing = claim->if_made && db->ready_runs == claim->made;
	claim->held_back = !claim->nothing && gives_way_to_fires(claim);
	if (claim->nothing || claim->held_back)
		return AUT_OK;
	if (claim->if_made)
		choose_from(claim, now, true);
	if (claim->find_bad)
		return aut_store_run_ready_head(db, now, &claim->after, &claim->bad, err);
	aut_ready after = compare_ready(&claim->after, &claim->from) > 0 ? claim->after : claim->from;
	aut_status status = tasks_reserve(&claim->tasks, (size_t) claim->limit, err);
	if (status == AUT_OK)
		status = aut_store_run_claim(
			db,
			&(aut_claim){
				.worker = engine->options.worker,
				.now = now,
				.limit = claim->limit,
				.inline_only = claim->inline_only,
				.duration_s = s->default_run_duration,
				.duration_max_s = s->max_run_duration,
				.duration_and_s = s->sandbox_ready_timeout + s->run_timeout_margin,
				.after = after,
			},
			claim->tasks.ids, &claim->claimed, err);
	/* Nobody may take them for those of a dead worker. */
	if (status == AUT_OK && claim->claimed > 0 && lease_is_short(engine, now))
	{
		claim->lease_until = now + s->lease_seconds * AUT_US_PER_S;
		status = aut_store_worker_lease(db, engine->options.worker, engine->options.pid, now,
										claim->lease_until, err);
	}
	if (status == AUT_OK)
		status = tasks_load(&claim->tasks, db, claim->claimed, err);
	if (status == AUT_OK)
		status = skip_blocked(claim, db, now, err);
	if (status == AUT_OK && claim->claimed < (size_t) claim->limit)
		status = (claim->inline_only ? aut_store_run_next_ready_inline : aut_store_run_next_ready)(
			db, &after, &claim->next_ready_at, err);
	return status;
}

/* Make jobs of loaded tasks.  A run for which there is no memory is adopted later, by its row. */
static size_t
begin_jobs(aut_engine *engine, tasks *list, bool adopted, bool for_cleanup)
{
	size_t begun = 0;
	for (size_t i = 0; i < list->count; i++)
	{
		aut_job *job = NULL;
		aut_error err = AUT_ERROR_INIT;
		if (aut__job_find(engine, &list->items[i].run.id) != NULL)
		{
			aut_run_task_done(&list->items[i]);
			continue;
		}
		if (aut__job_new(engine, &list->items[i], &job, &err) != AUT_OK)
		{
			aut_log(AUT_LOG_ERROR, "%s", err.message);
			engine->want_held = true;
			engine->held->after = AUT_UUID_NIL;
			continue;
		}
		job->maybe_started = adopted;
		if (for_cleanup)
		{
			job->over = true;
			job->over_cancelled = job->task.run.status == AUT_RUN_CANCELLED;
			job->over_mono_us = aut__engine_mono(engine);
		}
		aut__job_event(job, AUT_EVENT_BEGIN, NULL);
		begun++;
	}
	list->count = 0;
	return begun;
}

static void
claim_failed(claim_unit *claim, aut_status status, const aut_error *err)
{
	aut_engine *engine = claim->engine;

	tasks_clear(&claim->tasks);
	engine->want_claim = true;
	claim->whole_mono_us = 0;
	claim->more = false;
	if (!claim->find_bad && aut__blames_a_row(status) && claim->limit == 1 && claim->whole)
	{
		claim->find_bad = true;
		claim->why = *err;
	}
	else
		claim->find_bad = false;
	/* One row may be what fails: find it by smaller batches. */
	engine->claim_limit =
		engine->claim_limit > 1 && !aut__blames_a_row(status) ? engine->claim_limit / 2 : 1;
	aut__engine_db_trouble(engine, "claiming runs", err);
}

static void
pass_over_bad(claim_unit *claim)
{
	char id[AUT_UUID_TEXT_MAX];

	claim->find_bad = false;
	claim->after = claim->bad;
	claim->pass_until = aut__engine_mono(claim->engine) + PASS_OVER_MS * AUT_US_PER_MS;
	claim->engine->want_claim = true;
	aut_log(AUT_LOG_ERROR, "run %s cannot be claimed and is passed over for %d minutes: %s",
			aut_uuid_format(&claim->bad.id, id), PASS_OVER_MS / 60000, claim->why.message);
}

/* Nothing more in the part that was looked at: look at the whole when its time has come. */
static void
look_again(claim_unit *claim)
{
	aut_engine *engine = claim->engine;
	int64_t since_us = aut__engine_mono(engine) - claim->whole_mono_us;
	int64_t at = aut__engine_now(engine) + WHOLE_EVERY_MS * AUT_US_PER_MS - since_us;

	if (engine->next_ready_at == AUT_TIME_NONE || at < engine->next_ready_at)
		engine->next_ready_at = at;
}

static void
claim_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	claim_unit *claim = (claim_unit *) (void *) ((char *) unit - offsetof(claim_unit, unit));
	aut_engine *engine = claim->engine;
	engine->units_in_flight--;
	engine->claim_busy = false;
	if (status != AUT_OK)
	{
		claim_failed(claim, status, err);
		return;
	}
	if (claim->nothing)
		return;
	if (claim->held_back)
	{
		engine->want_claim = engine->claim_news = true;
		if (claim->whole && !claim->if_made)
			claim->whole_mono_us = 0;
		return;
	}
	if (claim->find_bad)
	{
		pass_over_bad(claim);
		return;
	}
	if (claim->lease_until != AUT_TIME_NONE)
		engine->lease_until = claim->lease_until;
	/* Who made the runs has asked for a claim by now: this was it. */
	if (claim->if_made)
		engine->want_claim = engine->claim_news = false;
	engine->stats.claims += claim->claimed;
	engine->next_ready_at = claim->next_ready_at;
	claim->more = false;
	if (claim->claimed < (size_t) claim->limit && !claim->whole)
		look_again(claim);
	if (claim->claimed == (size_t) claim->limit)
	{
		for (size_t i = 0; i < claim->tasks.count; i++)
		{
			const aut_run *run = &claim->tasks.items[i].run;
			aut_ready at = {run->ready_at, run->id};

			if (!claim->more || compare_ready(&at, &claim->last) > 0)
				claim->last = at;
			claim->more = true;
		}
		engine->want_claim = true;
		if (engine->claim_limit < engine->options.settings->dispatcher_batch_size)
			engine->claim_limit *= 2;
	}
	for (size_t i = 0; i < claim->skipped; i++)
		aut__engine_tell(engine, &claim->tasks.ids[i]);
	begin_jobs(engine, &claim->tasks, false, false);
}

/* ---- held ---------------------------------------------------------------------------------- */

static aut_status
held_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	held_unit *held = (held_unit *) (void *) ((char *) unit - offsetof(held_unit, unit));
	aut_engine *engine = held->engine;
	tasks_clear(&held->tasks);
	aut_status status = tasks_reserve(&held->tasks, AUT_HELD_BATCH, err);
	size_t n = 0, adopted = 0;
	if (status == AUT_OK && !held->adopt_only)
		status = aut_store_run_held(db, engine->options.worker, &held->after, AUT_HELD_BATCH,
									held->tasks.ids, &n, err);
	if (status == AUT_OK && n == 0)
	{
		/* none left of our own: those of workers that are gone */
		status = aut_store_run_adopt(db, engine->options.worker, aut__engine_now(engine),
									 AUT_HELD_BATCH, held->tasks.ids, &adopted, err);
	}
	held->found = n + adopted;
	if (status == AUT_OK)
		status = tasks_load(&held->tasks, db, held->found, err);
	return status;
}

static void
held_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	held_unit *held = (held_unit *) (void *) ((char *) unit - offsetof(held_unit, unit));
	aut_engine *engine = held->engine;
	engine->units_in_flight--;
	engine->held_busy = false;
	if (status != AUT_OK)
	{
		tasks_clear(&held->tasks);
		engine->want_held = true;
		aut__engine_db_trouble(engine, "adopting runs", err);
		return;
	}
	if (held->found > 0)
	{
		held->after = held->tasks.ids[held->found - 1];
		*(held->adopt_only ? &engine->want_adopt : &engine->want_held) = true;
	}
	else
		held->after = AUT_UUID_NIL;
	engine->stats.adopted += begin_jobs(engine, &held->tasks, true, false);
}

/* ---- cleanup ------------------------------------------------------------------------------- */

typedef struct cleanup_unit
{
	aut_unit unit;
	aut_engine *engine;
	tasks tasks; /* of runs that are nobody's here any more */
	aut_uuid found_ids[AUT_CLEANUP_BATCH];
	aut_run_status found_statuses[AUT_CLEANUP_BATCH];
	size_t found;
	int64_t next_cleanup_at;
	bool at_start; /* what the last holder of our name had under way is under way no more */
} cleanup_unit;

static aut_status
cleanup_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	cleanup_unit *cleanup =
		(cleanup_unit *) (void *) ((char *) unit - offsetof(cleanup_unit, unit));
	aut_engine *engine = cleanup->engine;
	int64_t now = aut__engine_now(engine);
	tasks_clear(&cleanup->tasks);
	aut_status status = tasks_reserve(&cleanup->tasks, AUT_CLEANUP_BATCH, err);
	if (status == AUT_OK)
		status = aut_store_run_cleanup_take(
			db, engine->options.worker, cleanup->at_start ? now + AUT_CLEANUP_AGAIN_US : now,
			now + AUT_CLEANUP_AGAIN_US, AUT_CLEANUP_BATCH, cleanup->found_ids,
			cleanup->found_statuses, &cleanup->found, err);
	/* of those that this process still has at hand everything is known */
	size_t unknown = 0;
	for (size_t i = 0; status == AUT_OK && i < cleanup->found; i++)
	{
		if (aut__job_find(engine, &cleanup->found_ids[i]) == NULL)
			cleanup->tasks.ids[unknown++] = cleanup->found_ids[i];
	}
	if (status == AUT_OK)
		status = tasks_load(&cleanup->tasks, db, unknown, err);
	if (status == AUT_OK)
		status =
			aut_store_run_next_cleanup(db, engine->options.worker, &cleanup->next_cleanup_at, err);
	return status;
}

/* A run that this process executes was ended by somebody else. */
static void
mark_over(aut_job *job, aut_run_status status)
{
	aut_uuid run_id = job->task.run.id;
	aut_engine *engine = job->engine;
	if (!job->over)
	{
		job->over = true;
		job->over_cancelled = status == AUT_RUN_CANCELLED;
		job->over_mono_us = aut__engine_mono(engine);
		job->looks = 0; /* it should end soon: look soon */
		if (aut__place_give_up(job))
			aut__job_event(job, AUT_EVENT_OVER, NULL);
		else if (job->step == AUT_STEP_WAITING || job->step == AUT_STEP_HANDING ||
				 job->step == AUT_STEP_WATCHING)
			aut__job_event(job, AUT_EVENT_OVER, NULL);
	}
	aut__engine_tell(engine, &run_id);
}

static void
cleanup_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	cleanup_unit *cleanup =
		(cleanup_unit *) (void *) ((char *) unit - offsetof(cleanup_unit, unit));
	aut_engine *engine = cleanup->engine;
	engine->units_in_flight--;
	engine->cleanup_busy = false;
	if (status != AUT_OK)
	{
		tasks_clear(&cleanup->tasks);
		engine->want_cleanup = true;
		aut__engine_db_trouble(engine, "cleaning up runs", err);
		return;
	}
	cleanup->at_start = false;
	engine->next_cleanup_at = cleanup->next_cleanup_at;
	if (cleanup->found == AUT_CLEANUP_BATCH)
		engine->want_cleanup = true;
	for (size_t i = 0; i < cleanup->found; i++)
	{
		aut_job *job = aut__job_find(engine, &cleanup->found_ids[i]);
		if (job != NULL && aut_run_status_terminal(cleanup->found_statuses[i]))
			mark_over(job, cleanup->found_statuses[i]);
	}
	begin_jobs(engine, &cleanup->tasks, false, true);
}

/* ---- lease --------------------------------------------------------------------------------- */

typedef struct lease_unit
{
	aut_unit unit;
	aut_engine *engine;
	int64_t until;
} lease_unit;

static aut_status
lease_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	lease_unit *lease = (lease_unit *) (void *) ((char *) unit - offsetof(lease_unit, unit));
	const aut_engine_options *o = &lease->engine->options;
	int64_t now = aut__engine_now(lease->engine);
	lease->until = now + o->settings->lease_seconds * AUT_US_PER_S;
	return aut_store_worker_lease(db, o->worker, o->pid, now, lease->until, err);
}

static void
lease_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	lease_unit *lease = (lease_unit *) (void *) ((char *) unit - offsetof(lease_unit, unit));
	lease->engine->units_in_flight--;
	lease->engine->lease_busy = false;
	if (status == AUT_OK)
		lease->engine->lease_until = lease->until;
	else
		aut__engine_db_trouble(lease->engine, "renewing the lease", err);
}

/* ---- step ---------------------------------------------------------------------------------- */

aut_status
aut__dispatcher_init(aut_engine *engine, aut_error *err)
{
	engine->claim = aut_calloc(1, sizeof *engine->claim);
	engine->held = aut_calloc(1, sizeof *engine->held);
	engine->cleanup = aut_calloc(1, sizeof *engine->cleanup);
	engine->lease = aut_calloc(1, sizeof *engine->lease);
	if (engine->claim == NULL || engine->held == NULL || engine->cleanup == NULL ||
		engine->lease == NULL)
		return aut_fail(err, AUT_ENOMEM, "no memory for the dispatcher");
	engine->claim->engine = engine;
	engine->claim->unit = (aut_unit){.run = claim_run, .done = claim_done};
	engine->held->engine = engine;
	engine->held->unit = (aut_unit){.run = held_run, .done = held_done};
	engine->cleanup->engine = engine;
	engine->cleanup->unit = (aut_unit){.run = cleanup_run, .done = cleanup_done};
	engine->cleanup->at_start = engine->options.take_over;
	engine->lease->engine = engine;
	engine->lease->unit = (aut_unit){.run = lease_run, .done = lease_done};
	engine->next_ready_at = AUT_TIME_NONE;
	engine->next_cleanup_at = AUT_TIME_NONE;
	engine->claim_limit = engine->options.settings->dispatcher_batch_size;
	engine->want_claim = true;
	engine->want_cleanup = true;
	engine->want_held = engine->options.take_over;
	return AUT_OK;
}

void
aut__dispatcher_done(aut_engine *engine)
{
	if (engine->claim != NULL)
		tasks_done(&engine->claim->tasks);
	if (engine->held != NULL)
		tasks_done(&engine->held->tasks);
	if (engine->cleanup != NULL)
		tasks_done(&engine->cleanup->tasks);
	aut_free(engine->claim);
	aut_free(engine->held);
	aut_free(engine->cleanup);
	aut_free(engine->lease);
}

static void
add(aut_engine *engine, aut_unit *unit, bool *busy)
{
	*busy = true;
	engine->units_in_flight++;
	aut_turn_add(engine->options.turn, unit);
}

static bool
is_due(int64_t at, int64_t now)
{
	return at != AUT_TIME_NONE && at <= now;
}

static bool
agents_are_ready(const aut_engine *engine)
{
	aut_backend *backend = engine->options.backend;
	return backend != NULL && backend->ops->ready(backend, NULL);
}

bool
aut__dispatcher_has_room(const aut_engine *engine)
{
	return (int64_t) engine->jobs < engine->options.settings->max_parallel_runs &&
		   (engine->options.local != NULL || agents_are_ready(engine));
}

void
aut__dispatcher_step(aut_engine *engine)
{
	int64_t now = aut__engine_now(engine);
	const aut_settings *s = engine->options.settings;
	if ((engine->want_held || engine->want_adopt) && !engine->held_busy)
	{
		engine->held->adopt_only = !engine->want_held;
		engine->want_held = engine->want_adopt = false;
		add(engine, &engine->held->unit, &engine->held_busy);
	}
	if ((engine->want_cleanup || is_due(engine->next_cleanup_at, now)) && !engine->cleanup_busy)
	{
		engine->want_cleanup = false;
		add(engine, &engine->cleanup->unit, &engine->cleanup_busy);
	}

	int64_t room = s->max_parallel_runs - (int64_t) engine->jobs;
	bool agents = agents_are_ready(engine);
	if (agents && engine->agents_missed)
	{
		engine->agents_missed = false;
		engine->want_claim = true;
	}
	bool claim = (engine->want_claim || is_due(engine->next_ready_at, now)) &&
				 !engine->claim_busy && aut__dispatcher_has_room(engine);
	if (engine->jobs > 0 && !engine->lease_busy && lease_is_short(engine, now))
		add(engine, &engine->lease->unit, &engine->lease_busy);
	/* What others do in this turn may make runs: they start with the commit that makes them.  Not past runs
	 * that have waited longer. */
	bool late = !claim && !engine->claim_busy && !engine->claim->more &&
				!aut_turn_empty(engine->options.turn) && aut__dispatcher_has_room(engine);
	if (claim)
	{
		choose_from(engine->claim, now, engine->claim_news);
		engine->want_claim = engine->claim_news = false;
		engine->next_ready_at = AUT_TIME_NONE;
	}
	if (claim || late)
	{
		engine->claim->if_made = late;
		engine->claim->made = engine->options.turn->db->ready_runs;
		engine->claim->inline_only = !agents;
		engine->agents_missed = !agents;
		engine->claim->limit = room < engine->claim_limit ? room : engine->claim_limit;
		add(engine, &engine->claim->unit, &engine->claim_busy);
	}
}
