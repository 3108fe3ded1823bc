/* SPDX-License-Identifier: MIT */
/*
 * core/engine/place.c - actions about the place where a run executes: getting one, asking whether it is
 * still there, waiting for one to become free, giving it back.
 */
#include <string.h>

#include "core/engine/engine_internal.h"

#define LIMIT_PAUSE_US     (60 * AUT_US_PER_S)   /* before a sandbox is asked for again */
#define DAY_LIMIT_PAUSE_US (3600 * AUT_US_PER_S) /* … when today's are used up */

#define WAITING_PHASE "Waiting for a free sandbox"

static void
not_begun(aut_job *job, aut_status status, const aut_error *error)
{
	aut__job_event(job, status == AUT_ENOMEM ? AUT_EVENT_RETRY : AUT_EVENT_FAIL, error);
}

/* ---- getting one --------------------------------------------------------------------------- */

static bool
is_limit(const aut_place_trouble *trouble)
{
	return trouble->kind == AUT_PLACE_LIMIT_RUNS || trouble->kind == AUT_PLACE_LIMIT_DAY;
}

static void
refused(aut_job *job, const aut_error *error, const aut_place_trouble *trouble)
{
	job->trouble = *trouble;
	job->troubled = true;
	aut_agent_free(job->agent); /* of a place that is gone: nothing is to be tidied there */
	job->agent = NULL;
	if (trouble->kind == AUT_PLACE_RETIRED)
		aut__job_event(job, AUT_EVENT_OVER, NULL);
	else if (is_limit(trouble) && job->task.waits_at_limit && !job->over)
		aut__job_event(job, AUT_EVENT_YIELD, error);
	else
		aut__job_event(job, AUT_EVENT_FAIL, error);
}

static void
placed(void *payload, aut_status status, aut_place *take_place, const aut_error *error,
	   const aut_place_trouble *trouble)
{
	aut_job *job = payload;
	if (status != AUT_OK)
	{
		if (trouble != NULL)
			refused(job, error, trouble);
		else
			aut__job_event(job, aut_status_may_retry(status) ? AUT_EVENT_RETRY : AUT_EVENT_FAIL,
						   error);
		return;
	}
	if (job->placed)
		aut_place_done(&job->place);
	job->place = *take_place;
	job->placed = true;
	job->generation = job->engine->generation;
	aut_agent_free(job->agent);
	job->agent = NULL;
	aut_error err = AUT_ERROR_INIT;
	status = aut_agent_new(job->engine->options.loop, job->engine->options.http, &job->place,
						   &job->task.run.id, job->task.run.attempt, &job->agent, &err);
	if (status != AUT_OK)
		not_begun(job, status, &err);
	else if (job->written)
		aut__job_event(job, AUT_EVENT_OVER, NULL); /* only its files are left */
	else if (job->command_id != NULL)
		aut__job_event(job, AUT_EVENT_STARTED, NULL);
	else if (job->over)
		aut__job_event(job, AUT_EVENT_OVER, NULL);
	else
		aut__job_event(job, job->maybe_started ? AUT_EVENT_UNSURE : AUT_EVENT_FRESH, NULL);
}

void
aut__place_acquire(aut_job *job)
{
	aut_error err = AUT_ERROR_INIT;
	aut_backend *backend = job->engine->options.backend;
	if (backend == NULL)
	{
		aut_fail(&err, AUT_EUNAVAILABLE, "no backend is configured");
		aut__job_event(job, AUT_EVENT_RETRY, &err);
		return;
	}
	aut_status status = backend->ops->acquire(backend, &job->task, placed, job, &err);
	if (status != AUT_OK)
		not_begun(job, status, &err);
}

void
aut__place_forget(aut_job *job, aut_backend *backend)
{
	if (backend != NULL && (job->step == AUT_STEP_PLACING || job->checking))
		backend->ops->forget(backend, job);
	job->checking = false;
}

bool
aut__place_give_up(aut_job *job)
{
	aut_backend *backend = job->engine->options.backend;
	/* A standing agent server is quick to give a place, and may hold files of an earlier attempt. */
	if (job->step != AUT_STEP_PLACING || job->command_id != NULL || backend == NULL ||
		backend->ops->check == NULL)
		return false;
	aut__place_forget(job, backend);
	return true;
}

/* ---- is it still there? -------------------------------------------------------------------- */

static void
checked(void *payload, aut_place_state state, const aut_error *error)
{
	aut_job *job = payload;
	aut_error err = AUT_ERROR_INIT;
	job->checking = false;
	if (state == AUT_PLACE_ALIVE)
		aut__verify_agent(job);
	else if (state == AUT_PLACE_UNKNOWN)
		aut__job_event(job, AUT_EVENT_RETRY, error);
	else if (job->over ||
			 aut__verdict_timed_out(job, error->message, "environment_unavailable", &err) == AUT_OK)
		aut__job_event(job, AUT_EVENT_EXPIRED, error);
	else
		aut__job_event(job, AUT_EVENT_RETRY, &err);
}

bool
aut__place_check(aut_job *job)
{
	aut_error err = AUT_ERROR_INIT;
	aut_backend *backend = job->engine->options.backend;
	if (backend == NULL || backend->ops->check == NULL || job->place.sandbox_id == NULL)
		return false;
	aut_status status = backend->ops->check(backend, &job->task, &job->place, checked, job, &err);
	job->checking = status == AUT_OK;
	if (status != AUT_OK)
		not_begun(job, status, &err);
	return true;
}

/* ---- waiting for one to become free -------------------------------------------------------- */

static aut_status
requeue_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	aut_job *job = aut__job_of_unit(unit);
	int64_t now = aut__engine_now(job->engine);
	int64_t pause_us =
		job->trouble.kind == AUT_PLACE_LIMIT_DAY ? DAY_LIMIT_PAUSE_US : LIMIT_PAUSE_US;
	job->won = false;
	aut_status status = aut_store_run_requeue(db, &job->task.run.id, job->engine->options.worker,
											  now + pause_us, &job->won, err);
	bool told = false;
	if (status == AUT_OK && job->won)
		status = aut_store_run_phase(db, &job->task.run.id, WAITING_PHASE, &told, err);
	return status;
}

static void
requeue_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	aut_job *job = aut__job_of_unit(unit);
	aut_uuid run_id = job->task.run.id;
	aut_engine *engine = job->engine;
	aut__job_db_done(unit, status, err);
	if (status == AUT_OK)
		aut__engine_tell(engine, &run_id);
}

void
aut__place_requeue(aut_job *job)
{
	aut__job_unit(job, requeue_run, requeue_done);
}

/* ---- giving it back ------------------------------------------------------------------------ */

static aut_status
release_together(aut_unit *const *units, size_t count, aut_db *db, aut_error *err)
{
	aut_uuid *ids = aut_calloc(count, sizeof *ids);
	if (ids == NULL)
		return aut_fail(err, AUT_ENOMEM, "no memory for the ids of %zu runs", count);
	for (size_t i = 0; i < count; i++)
	{
		aut_job *job = aut__job_of_unit(units[i]);
		job->won = true;
		ids[i] = job->task.run.id;
	}
	aut_status status = aut_store_run_cleanup_set(db, ids, count, AUT_TIME_NONE, err);
	aut_free(ids);
	return status;
}

static aut_status
release_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	return release_together(&unit, 1, db, err);
}

void
aut__place_release(aut_job *job)
{
	aut_backend *backend = job->engine->options.backend;
	if (job->event_error.code != AUT_OK)
		aut_log(AUT_LOG_WARNING, "files of a run may be left on its agent: %s",
				job->event_error.message);
	/* Its unit, if it has one, comes before ours: a crash between the two is made good by the next
	 * clean-up. */
	if (!job->local && backend != NULL)
		backend->ops->release(backend, &job->task, aut__job_is_kept(job),
							  job->command_id != NULL || job->maybe_started);
	aut__job_unit(job, release_run, aut__job_db_done);
	job->unit.together = release_together;
}
