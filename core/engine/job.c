/* SPDX-License-Identifier: MIT */
/*
 * core/engine/job.c - one run under execution in this process.
 *
 * Callbacks of agents, backends and units only record an event here; the engine's step feeds events to
 * the machine's table, one after another.  A job has at most one thing under way (a call, a unit or a
 * wait), so at most one event is queued; that somebody else ended the run (job->over) is a flag beside
 * it, seen at the next event.
 */
#include <stddef.h>
#include <string.h>

#include "core/engine/engine_internal.h"

/* ---- finding ------------------------------------------------------------------------------- */

static size_t
bucket_of(const aut_uuid *id)
{
	/* The last bytes of a version 7 id are random. */
	return ((size_t) id->bytes[14] << 8 | id->bytes[15]) % AUT_JOB_BUCKETS;
}

aut_job *
aut__job_find(aut_engine *engine, const aut_uuid *run_id)
{
	for (aut_job *job = engine->buckets[bucket_of(run_id)]; job != NULL; job = job->bucket_next)
		if (aut_uuid_equal(&job->task.run.id, run_id))
			return job;
	return NULL;
}

/* ---- waiting: a heap by due time ------------------------------------------------------------- */

static void
heap_put(aut_engine *engine, size_t index, aut_job *job)
{
	engine->heap[index - 1] = job;
	job->heap_index = index;
}

static void
heap_up(aut_engine *engine, size_t index, aut_job *job)
{
	while (index > 1 && engine->heap[index / 2 - 1]->due_mono_us > job->due_mono_us)
	{
		heap_put(engine, index, engine->heap[index / 2 - 1]);
		index /= 2;
	}
	heap_put(engine, index, job);
}

static void
heap_down(aut_engine *engine, size_t index, aut_job *job)
{
	for (;;)
	{
		size_t child = index * 2;
		if (child > engine->heap_count)
			break;
		if (child < engine->heap_count &&
			engine->heap[child]->due_mono_us < engine->heap[child - 1]->due_mono_us)
			child++;
		if (engine->heap[child - 1]->due_mono_us >= job->due_mono_us)
			break;
		heap_put(engine, index, engine->heap[child - 1]);
		index = child;
	}
	heap_put(engine, index, job);
}

static void
heap_remove(aut_engine *engine, aut_job *job)
{
	size_t index = job->heap_index;
	if (index == 0)
		return;
	job->heap_index = 0;
	aut_job *last = engine->heap[--engine->heap_count];
	if (last == job)
		return;
	heap_up(engine, index, last);
	heap_down(engine, last->heap_index, last);
}

void
aut__job_wait(aut_job *job, int64_t due_mono_us)
{
	/* Room was made when the job was made, so this cannot fail. */
	aut_engine *engine = job->engine;
	heap_remove(engine, job);
	job->due_mono_us = due_mono_us;
	engine->heap_count++;
	heap_up(engine, engine->heap_count, job);
}

int64_t
aut__jobs_next_due(const aut_engine *engine)
{
	return engine->heap_count > 0 ? engine->heap[0]->due_mono_us : AUT_TIME_MAX;
}

/* ---- life ---------------------------------------------------------------------------------- */

aut_status
aut__job_new(aut_engine *engine, aut_run_task *take_task, aut_job **out, aut_error *err)
{
	aut_job *job = NULL;
	if (engine->jobs >= engine->heap_cap)
	{
		size_t cap = engine->heap_cap == 0 ? 64 : engine->heap_cap * 2;
		aut_job **heap = aut_realloc(engine->heap, cap * sizeof *heap);
		if (heap == NULL)
			goto no_memory;
		engine->heap = heap;
		engine->heap_cap = cap;
	}
	job = aut_calloc(1, sizeof *job);
	if (job == NULL)
		goto no_memory;
	if (take_task->run.bash_command_id != NULL)
	{
		job->command_id = aut_strdup(take_task->run.bash_command_id);
		if (job->command_id == NULL)
			goto no_memory;
	}
	job->engine = engine;
	job->task = *take_task;
	job->step = AUT_STEP_NEW;
	job->deadline_us = job->task.run.timeout_at;
	job->output_next = job->task.run.output_bytes;
	int64_t limit = job->task.timeout_s > 0 ? job->task.timeout_s
											: engine->options.settings->default_run_duration;
	int64_t max = engine->options.settings->max_run_duration;
	job->time_limit_s = limit < max ? limit : max;
	aut_buf_init(&job->env, 16 * 1048576);
	aut_buf_init(&job->piece, 8 * 1048576);
	for (const aut_follower *f = engine->followers; f != NULL; f = f->next)
		if (aut_uuid_equal(&f->run_id, &job->task.run.id))
			job->followers = f->count;

	aut_job **bucket = &engine->buckets[bucket_of(&job->task.run.id)];
	job->bucket_next = *bucket;
	job->bucket_link = bucket;
	if (*bucket != NULL)
		(*bucket)->bucket_link = &job->bucket_next;
	*bucket = job;
	engine->jobs++;
	*out = job;
	return AUT_OK;

no_memory:
	aut_free(job);
	aut_run_task_done(take_task);
	return aut_fail(err, AUT_ENOMEM, "no memory for a run");
}

void
aut__job_free(aut_job *job)
{
	aut_engine *engine = job->engine;
	heap_remove(engine, job);
	aut__place_forget(job, engine->options.backend);
	aut__job_tarball_forget(job);
	*job->bucket_link = job->bucket_next;
	if (job->bucket_next != NULL)
		job->bucket_next->bucket_link = job->bucket_link;
	engine->jobs--;
	if (job->look_in_flight)
		engine->looks_in_flight--;
	aut__job_lookup_drop(job);
	aut__cleaner_forget(job);
	aut_agent_free(job->agent);
	if (job->placed)
		aut_place_done(&job->place);
	aut__blob_unref(engine, job->blob);
	aut_buf_done(&job->env);
	aut_buf_done(&job->piece);
	aut__verdict_done(&job->verdict);
	aut_run_task_done(&job->task);
	aut_free(job->command_id);
	aut_free(job->note);
	aut_free(job->location);
	aut_free(job);
}

/* ---- events -------------------------------------------------------------------------------- */

void
aut__job_event(aut_job *job, aut_event event, const aut_error *error)
{
	aut_engine *engine = job->engine;
	job->event = event;
	job->event_error = error != NULL ? *error : (aut_error) AUT_ERROR_INIT;
	if (job->queued)
		return; /* the newer fact wins */
	job->queued = true;
	job->queue_next = NULL;
	*engine->queue_tail = job;
	engine->queue_tail = &job->queue_next;
	aut_loop_wake(engine->options.loop);
}

/* Steps before anything was started: a run that ended elsewhere needs no more of them. */
static bool
is_preparing(aut_step step)
{
	return step == AUT_STEP_HANDING || step == AUT_STEP_PROBING || step == AUT_STEP_LOADING ||
		   step == AUT_STEP_FETCHING || step == AUT_STEP_UPLOADING || step == AUT_STEP_ENVING;
}

bool
aut__job_may_end(const aut_engine *engine, const aut_job *job)
{
	return job->over && !job->local &&
		   aut__engine_mono(engine) - engine->stop_mono_us < AUT_STOP_OVER_MS * AUT_US_PER_MS;
}

/* While the engine stops only what must reach the database goes on, and the end of runs that have ended;
 * the rest is adopted at the next start. */
static bool
goes_on(const aut_job *job, aut_action action)
{
	return action == AUT_ACTION_RECORD || action == AUT_ACTION_STORE ||
		   action == AUT_ACTION_FINISH || action == AUT_ACTION_CLEAN ||
		   action == AUT_ACTION_RELEASE || action == AUT_ACTION_DROP ||
		   aut__job_may_end(job->engine, job);
}

static void
feed(aut_job *job, aut_event event)
{
	if (job->over && is_preparing(job->step) && event != AUT_EVENT_STARTED)
		event = AUT_EVENT_OVER;
	aut_transition to;
	aut_local_runner *local = job->engine->options.local;
	if (event == AUT_EVENT_BEGIN && local != NULL && local->takes(local, &job->task))
	{
		job->local = true;
		event = AUT_EVENT_LOCAL;
	}
	/* The place of a job whose backend was replaced (an agent that came back elsewhere) is asked for
	 * again when the job would turn to it the next time.  A start on its way there may have arrived. */
	if (event == AUT_EVENT_DUE && job->placed && job->generation != job->engine->generation &&
		aut_machine_next(job->step, AUT_EVENT_MOVED, &to))
	{
		event = AUT_EVENT_MOVED;
		job->maybe_started = job->maybe_started || job->step == AUT_STEP_STARTING;
	}
	if (!aut_machine_next(job->step, event, &to))
	{
		aut_log(AUT_LOG_WARNING, "run machine: %s means nothing in %s, ignoring",
				aut_event_name(event), aut_step_name(job->step));
		return;
	}
	if (job->engine->stopping && !goes_on(job, to.action))
	{
		job->parked = true;
		return;
	}
	heap_remove(job->engine, job);
	if (to.action != AUT_ACTION_PAUSE && event != AUT_EVENT_DUE)
		job->tries = 0;
	job->from_step = job->step;
	job->step = to.next;
	aut__action_run(job, to.action);
}

void
aut__jobs_run(aut_engine *engine)
{
	int64_t mono = aut__engine_mono(engine);
	while (engine->heap_count > 0 && engine->heap[0]->due_mono_us <= mono)
	{
		aut_job *job = engine->heap[0];
		if (job->step == AUT_STEP_WAITING && engine->looks_in_flight >= AUT_LOOKS_IN_FLIGHT_MAX)
			break; /* oldest first: it goes when an answer comes */
		heap_remove(engine, job);
		if (!job->queued)
			aut__job_event(job, AUT_EVENT_DUE, &job->event_error);
		if (job->step == AUT_STEP_WAITING)
		{
			/* counted now, so that one round cannot start more looks than allowed */
			job->look_in_flight = true;
			engine->looks_in_flight++;
		}
	}
	while (engine->queue_head != NULL)
	{
		aut_job *job = engine->queue_head;
		engine->queue_head = job->queue_next;
		if (engine->queue_head == NULL)
			engine->queue_tail = &engine->queue_head;
		job->queued = false;
		if (job->look_in_flight && !(job->step == AUT_STEP_WAITING && job->event == AUT_EVENT_DUE))
		{
			job->look_in_flight = false;
			engine->looks_in_flight--;
		}
		feed(job, job->event); /* may free the job */
	}
}

/* Jobs of the host's own runner look again at once. */
void
aut__jobs_local_wake(aut_engine *engine)
{
	for (size_t i = 0; i < engine->heap_count; i++)
	{
		aut_job *job = engine->heap[i];
		if (job->local && !job->queued &&
			(job->step == AUT_STEP_HANDING || job->step == AUT_STEP_WATCHING ||
			 job->step == AUT_STEP_HALTING))
			aut__job_event(job, AUT_EVENT_DUE, &job->event_error);
	}
}

/* ---- units --------------------------------------------------------------------------------- */

aut_job *
aut__job_of_unit(aut_unit *unit)
{
	return (aut_job *) (void *) ((char *) unit - offsetof(aut_job, unit));
}

void
aut__job_unit(aut_job *job, aut_status (*run)(aut_unit *, aut_db *, aut_error *),
			  void (*done)(aut_unit *, aut_status, const aut_error *))
{
	job->unit.run = run;
	job->unit.done = done;
	job->unit.together = NULL;
	job->won = false;
	job->engine->units_in_flight++;
	aut_turn_add(job->engine->options.turn, &job->unit);
}
