/* SPDX-License-Identifier: MIT */
/*
 * core/engine/engine.c - the engine's life, its two steps and its timers.
 *
 * One round: I/O callbacks have recorded events; the deciding step feeds them to the run machine and
 * adds units of work; the flushing step runs all units (the doors' too) in one transaction, and their
 * ends record events again; so it goes until nothing is left, then the loop waits.  The engine sleeps
 * until the earliest of: the next fire (wall clock), a run's next look or repeat, a delayed run, a
 * clean-up, the lease.
 */
#include <string.h>

#include "core/engine/engine_internal.h"

#define TROUBLE_PAUSE_MS 500

int64_t
aut__engine_now(const aut_engine *engine)
{
	return aut_now_us(engine->options.clock);
}

int64_t
aut__engine_mono(const aut_engine *engine)
{
	return aut_mono_us(engine->options.clock);
}

void
aut__engine_tell(aut_engine *engine, const aut_uuid *run_id)
{
	for (size_t i = 0; i < AUT_NEWS_MAX; i++)
		if (engine->news[i].cb != NULL)
			engine->news[i].cb(engine->news[i].payload, run_id);
}

bool
aut__blames_a_row(aut_status status)
{
	return !aut_status_may_retry(status) && status != AUT_ECANCELED && status != AUT_ENOMEM &&
		   status != AUT_EIO && status != AUT_ETIMEOUT;
}

void
aut__engine_db_trouble(aut_engine *engine, const char *what, const aut_error *err)
{
	if (err->code != AUT_ECANCELED)
		aut_log(AUT_LOG_ERROR, "%s: %s", what, err->message);
	engine->retry_at_mono_us = aut__engine_mono(engine) + TROUBLE_PAUSE_MS * AUT_US_PER_MS;
}

/* ---- timers -------------------------------------------------------------------------------- */

static void
woken(void *payload)
{
	(void) payload; /* the step that follows every round of I/O looks at what is due */
}

static void
arm_timers(aut_engine *engine)
{
	int64_t now = aut__engine_now(engine), mono = aut__engine_mono(engine);
	int64_t due = aut__jobs_next_due(engine);
	int64_t cleaning = aut__cleaner_next_due(engine);
	due = cleaning < due ? cleaning : due;
	/* A delayed run matters only while there is room for it: room that comes wakes the dispatcher. */
	int64_t ready = aut__dispatcher_has_room(engine) ? engine->next_ready_at : AUT_TIME_NONE;
	int64_t lease =
		engine->jobs > 0
			? engine->lease_until - engine->options.settings->lease_seconds * AUT_US_PER_S / 2
			: AUT_TIME_NONE;
	int64_t walls[] = {ready, engine->next_cleanup_at, lease};
	bool trouble = engine->retry_at_mono_us > mono;
	for (size_t i = 0; !engine->stopping && i < sizeof walls / sizeof walls[0]; i++)
	{
		if (walls[i] == AUT_TIME_NONE)
			continue;
		int64_t at = mono + (walls[i] - now);
		if (trouble && at < engine->retry_at_mono_us)
			at = engine->retry_at_mono_us;
		due = at < due ? at : due;
	}
	if (!engine->stopping && engine->janitor_due_mono_us < due)
		due = engine->janitor_due_mono_us;
	if (!engine->stopping && engine->spans_due_mono_us < due)
		due = engine->spans_due_mono_us;
	if (!engine->stopping && !engine->options.dispatch_only && engine->keeper_due_mono_us < due)
		due = engine->keeper_due_mono_us;
	if (!engine->stopping && engine->sweep_due_mono_us < due)
		due = engine->sweep_due_mono_us;
	if (trouble && engine->retry_at_mono_us < due)
		due = engine->retry_at_mono_us;
	aut_alarm_set(engine->alarm,
				  trouble || engine->stopping ? AUT_TIME_NONE : engine->next_fire_at);
	if (due == AUT_TIME_MAX)
		aut_timer_stop(engine->timer);
	else
		aut_timer_set(engine->timer, due <= mono ? 0 : (due - mono + 999) / 1000);
}

/* ---- steps --------------------------------------------------------------------------------- */

static bool
decide(void *payload)
{
	aut_engine *engine = payload;
	aut__jobs_run(engine);
	aut__cleaner_step(engine);
	if (!engine->stopping && aut__engine_mono(engine) >= engine->retry_at_mono_us)
	{
		bool alone = !engine->options.dispatch_only;
		if (alone)
			aut__scheduler_step(engine);
		aut__dispatcher_step(engine);
		if (alone)
		{
			aut__waiting_step(engine);
			aut__janitor_step(engine);
			aut__sweeper_step(engine);
			aut__keeper_step(engine);
		}
	}
	arm_timers(engine);
	return false;
}

static bool
flush(void *payload)
{
	aut_engine *engine = payload;
	return aut_turn_flush(engine->options.turn);
}

/* ---- life ---------------------------------------------------------------------------------- */

aut_status
aut_engine_new(const aut_engine_options *options, aut_engine **out, aut_error *err)
{
	aut_engine *engine = aut_calloc(1, sizeof *engine);
	if (engine == NULL)
		return aut_fail(err, AUT_ENOMEM, "no memory for the engine");
	engine->options = *options;
	engine->queue_tail = &engine->queue_head;
	aut_status status = aut__scheduler_init(engine, err);
	if (status == AUT_OK)
		status = aut__dispatcher_init(engine, err);
	if (status == AUT_OK)
		status = aut__waiting_init(engine, err);
	if (status == AUT_OK)
		status = aut__janitor_init(engine, err);
	if (status == AUT_OK)
		status = aut__sweeper_init(engine, err);
	if (status == AUT_OK)
		status = aut_objects_new(options->loop, options->http, options->settings, options->clock,
								 &engine->objects, err);
	if (status == AUT_OK)
		status = aut__keeper_init(engine, err);
	if (status == AUT_OK)
		status = aut_alarm_new(options->loop, woken, engine, &engine->alarm, err);
	if (status == AUT_OK)
		status = aut_timer_new(options->loop, woken, engine, &engine->timer, err);
	if (status == AUT_OK)
		status = aut_loop_add_step(options->loop, decide, engine, err);
	if (status == AUT_OK)
		status = aut_loop_add_step(options->loop, flush, engine, err);
	if (status != AUT_OK)
	{
		aut_engine_free(engine);
		return status;
	}
	if (options->dispatch_only)
		engine->janitor_due_mono_us = engine->spans_due_mono_us = engine->sweep_due_mono_us =
			AUT_TIME_MAX;
	aut_loop_wake(options->loop);
	*out = engine;
	return AUT_OK;
}

void
aut_engine_stop(aut_engine *engine)
{
	if (!engine->stopping)
		engine->stop_mono_us = aut__engine_mono(engine);
	engine->stopping = true;
	/* Who has no place yet gets none from this process. */
	for (size_t i = 0; i < AUT_JOB_BUCKETS; i++)
		for (aut_job *job = engine->buckets[i]; job != NULL; job = job->bucket_next)
			if (job->step == AUT_STEP_PLACING && !job->queued)
				aut__place_forget(job, engine->options.backend);
	aut_loop_wake(engine->options.loop);
}

/* While stopping: a start on its way, whose answer should be recorded; files of a run that has ended,
 * which would lie on the agent until the next start. */
static bool
is_worth_waiting_for(const aut_engine *engine, const aut_job *job)
{
	if (job->parked)
		return false;
	if (job->step == AUT_STEP_STARTING || job->step == AUT_STEP_CLEANING)
		return job->heap_index == 0;
	return aut__job_may_end(engine, job);
}

bool
aut_engine_quiet(const aut_engine *engine)
{
	aut_backend *backend = engine->options.backend;
	if (engine->units_in_flight > 0 || engine->queue_head != NULL ||
		(backend != NULL && backend->ops->busy != NULL && backend->ops->busy(backend)))
		return false;
	for (size_t i = 0; i < AUT_JOB_BUCKETS; i++)
		for (const aut_job *job = engine->buckets[i]; job != NULL; job = job->bucket_next)
			if (is_worth_waiting_for(engine, job))
				return false;
	return true;
}

void
aut_engine_free(aut_engine *engine)
{
	if (engine == NULL)
		return;
	aut_loop_remove_step(engine->options.loop, decide, engine);
	aut_loop_remove_step(engine->options.loop, flush, engine);
	for (size_t i = 0; i < AUT_JOB_BUCKETS; i++)
		while (engine->buckets[i] != NULL)
			aut__job_free(engine->buckets[i]);
	while (engine->followers != NULL)
	{
		aut_follower *next = engine->followers->next;
		aut_free(engine->followers);
		engine->followers = next;
	}
	aut__cleaner_done(engine);
	aut__blobs_done(engine);
	aut__scheduler_done(engine);
	aut__dispatcher_done(engine);
	aut__waiting_done(engine);
	aut__janitor_done(engine);
	aut__sweeper_done(engine);
	aut__keeper_done(engine);
	aut_objects_free(engine->objects);
	aut_timer_free(engine->timer);
	aut_alarm_free(engine->alarm);
	aut_free(engine->heap);
	aut_free(engine);
}

void
aut_engine_set_backend(aut_engine *engine, aut_backend *backend)
{
	aut_backend *old = engine->options.backend;
	engine->options.backend = backend;
	engine->generation++;
	/* Who was waiting for a place of the old one asks the new one. */
	for (size_t i = 0; i < AUT_JOB_BUCKETS; i++)
		for (aut_job *job = engine->buckets[i]; job != NULL; job = job->bucket_next)
		{
			bool checking = job->checking;
			if (!job->queued)
				aut__place_forget(job, old);
			if (!job->queued && job->step == AUT_STEP_PLACING)
				aut__job_event(job, AUT_EVENT_DUE, NULL);
			else if (!job->queued && checking)
				aut__job_event(job, AUT_EVENT_RETRY, NULL);
		}
	engine->want_claim = engine->want_waiting = true;
	aut_loop_wake(engine->options.loop);
}

void
aut_engine_wake(aut_engine *engine, unsigned effects)
{
	if (effects & AUT_EFFECT_SCHEDULE)
		engine->want_fire = true;
	if (effects & AUT_EFFECT_RUN)
		engine->want_claim = engine->claim_news = engine->want_waiting = true;
	if (effects & AUT_EFFECT_CLEANUP)
		engine->want_cleanup = true;
	if (effects & AUT_EFFECT_OBJECT)
		aut__keeper_wake(engine);
	if (effects != 0)
		aut_loop_wake(engine->options.loop);
}

void
aut_engine_adopt(aut_engine *engine)
{
	engine->want_adopt = true;
	aut_loop_wake(engine->options.loop);
}

void
aut_engine_local_wake(aut_engine *engine)
{
	aut__jobs_local_wake(engine);
	aut_loop_wake(engine->options.loop);
}

/* ---- followers and news -------------------------------------------------------------------- */

void
aut_engine_follow(aut_engine *engine, const aut_uuid *run_id, bool on)
{
	aut_follower **link = &engine->followers;
	while (*link != NULL && !aut_uuid_equal(&(*link)->run_id, run_id))
		link = &(*link)->next;
	aut_follower *follower = *link;
	if (on && follower == NULL)
	{
		follower = aut_calloc(1, sizeof *follower);
		if (follower == NULL)
			return; /* followed at the usual pace */
		follower->run_id = *run_id;
		follower->next = engine->followers;
		engine->followers = follower;
	}
	if (follower == NULL)
		return;
	follower->count += on ? 1 : -1;
	aut_job *job = aut__job_find(engine, run_id);
	if (job != NULL)
	{
		job->followers = follower->count;
		if (on && job->step == AUT_STEP_WAITING && !job->queued)
			aut__job_wait(job, aut__engine_mono(engine));
	}
	if (follower->count <= 0)
	{
		link = &engine->followers;
		while (*link != follower)
			link = &(*link)->next;
		*link = follower->next;
		aut_free(follower);
	}
	aut_loop_wake(engine->options.loop);
}

void
aut_engine_on_news(aut_engine *engine, aut_engine_news cb, void *payload)
{
	/* NULL takes back what was asked for with this payload. */
	for (size_t i = 0; cb == NULL && i < AUT_NEWS_MAX; i++)
		if (engine->news[i].cb != NULL && engine->news[i].payload == payload)
			engine->news[i].cb = NULL;
	for (size_t i = 0; cb != NULL && i < AUT_NEWS_MAX; i++)
		if (engine->news[i].cb == NULL)
		{
			engine->news[i].cb = cb;
			engine->news[i].payload = payload;
			return;
		}
}

void
aut_engine_get_stats(const aut_engine *engine, aut_engine_stats *out)
{
	*out = engine->stats;
	out->active = engine->jobs;
	out->next_fire_at = engine->next_fire_at;
}
