/* SPDX-License-Identifier: MIT */
/*
 * core/engine/actions.c - what the run machine's actions do.
 *
 * Each action starts one thing (a call to the backend or agent, a unit of work, a wait) whose callback
 * records one event.  No action decides what comes next: that is the table's.
 */
#include <string.h>

#include "automation/environment.h"
#include "core/engine/engine_internal.h"

static void
fail_event(aut_job *job, aut_event event, aut_status code, const char *text)
{
	aut_error error = AUT_ERROR_INIT;
	aut_fail(&error, code, "%s", text);
	aut__job_event(job, event, &error);
}

/* An agent step could not be begun at all. */
void
aut__job_not_begun(aut_job *job, aut_status status, const aut_error *error)
{
	aut__job_event(job, status == AUT_ENOMEM ? AUT_EVENT_RETRY : AUT_EVENT_FAIL, error);
}

/* The usual end of an agent step: DONE, RETRY or FAIL. */
void
aut__job_answered(void *payload, const aut_agent_answer *answer)
{
	aut_job *job = payload;
	job->event_retry_after_s = answer->retry_after_s;
	switch (answer->result)
	{
		case AUT_AGENT_DONE:
			aut__job_event(job, AUT_EVENT_DONE, NULL);
			break;
		case AUT_AGENT_TRANSIENT:
			aut__job_event(job, AUT_EVENT_RETRY, &answer->error);
			break;
		case AUT_AGENT_PERMANENT:
		case AUT_AGENT_GONE:
			aut__job_event(job, AUT_EVENT_FAIL, &answer->error);
			break;
	}
}

/* ---- was it started? ---------------------------------------------------------------------- */

static void
probed(void *payload, const aut_agent_answer *answer)
{
	aut_job *job = payload;
	if (answer->result != AUT_AGENT_DONE)
		aut__job_answered(payload, answer);
	else
		aut__job_event(job, answer->found ? AUT_EVENT_STARTED : AUT_EVENT_FRESH, NULL);
}

static void
probe(aut_job *job)
{
	aut_error err = AUT_ERROR_INIT;
	aut_status status = aut_agent_probe(job->agent, probed, job, &err);
	if (status != AUT_OK)
		aut__job_not_begun(job, status, &err);
}

/* The end of a unit whose failures are repeated until the database answers. */
void
aut__job_db_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	aut_job *job = aut__job_of_unit(unit);
	job->engine->units_in_flight--;
	if (status == AUT_OK)
		aut__job_event(job, job->won ? AUT_EVENT_DONE : AUT_EVENT_OVER, NULL);
	else
	{
		if (status != AUT_ECANCELED)
			aut_log(AUT_LOG_WARNING, "run in step %s: %s", aut_step_name(job->step), err->message);
		aut__job_event(job, AUT_EVENT_RETRY, err);
	}
}

/* ---- environment and start --------------------------------------------------------------------- */

static void
env(aut_job *job)
{
	aut_error err = AUT_ERROR_INIT;
	char *payload = NULL;
	aut__blob_unref(job->engine, job->blob);
	job->blob = NULL;
	aut_buf_clear(&job->env);
	json_t *own = NULL;
	aut_status status =
		aut_service_environment(&job->task, job->engine->options.sealer, &own, &err);
	/* the contract's come later, so they win */
	if (status == AUT_OK)
		status = aut_env_own(own, &job->env, &err);
	json_decref(own);
	if (status == AUT_OK)
		status = aut_service_event_payload(&job->task, &payload, &err);
	if (status == AUT_OK)
		status = aut_env_text(&job->task, &job->place, aut_agent_paths(job->agent),
							  job->engine->options.settings, job->engine->options.api_url, payload,
							  &job->env, &err);
	aut_free(payload);
	if (status == AUT_OK)
		status = aut_agent_upload(job->agent, aut_agent_paths(job->agent)->env, job->env.data,
								  job->env.len, aut__job_answered, job, &err);
	if (status != AUT_OK)
		aut__job_not_begun(job, status, &err);
}

static void
command_started(void *payload, const aut_agent_answer *answer)
{
	aut_job *job = payload;
	if (answer->result == AUT_AGENT_DONE)
	{
		char *id = aut_strdup(answer->command_id);
		if (id == NULL)
		{
			fail_event(job, AUT_EVENT_RETRY, AUT_ENOMEM, "no memory for a command's id");
			return;
		}
		aut_free(job->command_id);
		job->command_id = id;
		job->engine->stats.starts++;
	}
	aut__job_answered(payload, answer);
}

static void
start(aut_job *job)
{
	aut_error err = AUT_ERROR_INIT;
	aut_buf command;
	aut_buf_init(&command, 65536);
	aut_buf_done(&job->env); /* secrets leave memory as soon as they can */
	aut_buf_init(&job->env, 16 * 1048576);
	aut_status status =
		aut_command_text(aut_agent_paths(job->agent), job->task.entrypoint, &command, &err);
	if (status == AUT_OK)
		status = aut_agent_start(job->agent, command.data, job->time_limit_s, command_started, job,
								 &err);
	aut_buf_done(&command);
	if (status != AUT_OK)
		aut__job_not_begun(job, status, &err);
}

static aut_status
record_together(aut_unit *const *units, size_t count, aut_db *db, aut_error *err)
{
	const aut_engine *engine = aut__job_of_unit(units[0])->engine;
	aut_run_start *starts = aut_calloc(count, sizeof *starts);
	bool *won = aut_calloc(count, sizeof *won);
	aut_status status = starts == NULL || won == NULL
							? aut_fail(err, AUT_ENOMEM, "no memory to note %zu starts", count)
							: AUT_OK;
	for (size_t i = 0; status == AUT_OK && i < count; i++)
	{
		const aut_job *job = aut__job_of_unit(units[i]);
		starts[i] = (aut_run_start){.id = job->task.run.id,
									.command_id = job->command_id,
									.sandbox_id = job->place.sandbox_id,
									.timeout_at = job->deadline_us};
	}
	if (status == AUT_OK)
		status = aut_store_run_started(db, engine->options.worker, "Starting automation", starts,
									   count, won, err);
	for (size_t i = 0; i < count; i++)
		aut__job_of_unit(units[i])->won = status == AUT_OK && won[i];
	aut_free(starts);
	aut_free(won);
	return status;
}

static aut_status
record_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	return record_together(&unit, 1, db, err);
}

static void
record(aut_job *job)
{
	const aut_settings *s = job->engine->options.settings;
	job->deadline_us =
		aut__engine_now(job->engine) + (job->time_limit_s + s->run_timeout_margin) * AUT_US_PER_S;
	aut__job_unit(job, record_run, aut__job_db_done);
	job->unit.together = record_together;
}

/* ---- looking ------------------------------------------------------------------------------- */

/* Looks keep a sandbox awake that costs its user something: there they are rare, and downloads wait for
 * somebody who follows, or for the end. */
static bool
is_spared(const aut_job *job)
{
	return job->place.sandbox_id != NULL && job->followers == 0 && !job->end.ended;
}

static int64_t
pace_ms(const aut_job *job)
{
	static const int64_t PACE[] = {250, 500, 1000, 2000}, SPARED[] = {500, 1000, 2000, 5000};
	int at = job->looks < 3 ? job->looks : 3;
	if (job->followers > 0)
		return 250;
	return is_spared(job) ? SPARED[at] : PACE[at];
}

static void
wait(aut_job *job)
{
	int64_t mono = aut__engine_mono(job->engine);
	if (job->over)
	{
		int64_t grace_end = job->over_mono_us + AUT_OVER_GRACE_MS * AUT_US_PER_MS;
		if (job->over_cancelled || mono >= grace_end)
		{
			aut__job_event(job, AUT_EVENT_EXPIRED, NULL);
			return;
		}
		int64_t due = mono + pace_ms(job) * AUT_US_PER_MS;
		aut__job_wait(job, due < grace_end ? due : grace_end);
		return;
	}
	/* A full piece means that there is more: go on at once. */
	bool more = job->piece.len >= 1000000;
	aut_buf_clear(&job->piece);
	aut__job_wait(job, more ? mono : mono + pace_ms(job) * AUT_US_PER_MS);
}

static void
keep_tail(aut_job *job, const char *data, size_t len)
{
	if (len == 0)
		return;
	if (len >= AUT_TAIL_MAX)
	{
		memcpy(job->tail, data + len - AUT_TAIL_MAX, AUT_TAIL_MAX);
		job->tail_len = AUT_TAIL_MAX;
		return;
	}
	size_t old = job->tail_len + len > AUT_TAIL_MAX ? AUT_TAIL_MAX - len : job->tail_len;
	memmove(job->tail, job->tail + job->tail_len - old, old);
	memcpy(job->tail + old, data, len);
	job->tail_len = old + len;
}

/* The end brought output with it: what is not stored yet need not be asked for. */
static void
take_output(aut_job *job, const aut_agent_answer *end)
{
	aut_buf_clear(&job->piece);
	if (end->from_event && job->output_next == 0)
	{
		/* No files: what the event carries is all there is. */
		aut_buf_puts(&job->piece, end->stdout_tail != NULL ? end->stdout_tail : "");
		aut_buf_puts(&job->piece, end->stderr_tail != NULL ? end->stderr_tail : "");
	}
	else if (end->data != NULL && end->at_end && job->output_next <= (int64_t) end->len)
	{
		size_t known = (size_t) job->output_next;
		aut_buf_append(&job->piece, end->data + known, end->len - known);
		job->output_whole = job->piece.status == AUT_OK;
	}
	job->piece_came = job->piece.status == AUT_OK && job->piece.len > 0;
	if (job->piece_came)
		keep_tail(job, job->piece.data, job->piece.len);
}

static void
give_lost_verdict(aut_job *job)
{
	aut_error err = AUT_ERROR_INIT;
	if (!job->verdict.given &&
		aut__verdict_timed_out(
			job,
			"nothing of the run is left on the agent and it left no exit code (it was "
			"killed, or the agent's machine was restarted)",
			"environment_unavailable", &err) != AUT_OK)
	{
		aut__job_event(job, AUT_EVENT_RETRY, &err);
		return;
	}
	aut__job_event(job, AUT_EVENT_LOST, NULL);
}

static void
looked(void *payload, const aut_agent_answer *answer)
{
	aut_job *job = payload;
	aut_engine *engine = job->engine;
	engine->stats.looks++;
	job->looks++;
	if (answer->result != AUT_AGENT_DONE)
	{
		job->suspect = true;
		if (job->place.sandbox_id != NULL)
			aut__job_event(job, AUT_EVENT_SUSPECT, &answer->error); /* is it there at all? */
		else
			aut__job_answered(payload, answer);
		return;
	}
	if (answer->fenced)
	{
		/* Our second start of the attempt: the first one runs; its files tell, not this command. */
		aut_free(job->command_id);
		job->command_id = NULL;
	}
	if (answer->ended)
	{
		take_output(job, answer);
		/* Judged when the rest of the output has been read, which error_detail quotes. */
		job->end = *answer;
		job->end.stdout_tail = job->end.stderr_tail = job->end.data = NULL;
		aut__job_event(job, AUT_EVENT_ENDED, NULL);
		return;
	}
	if (job->over)
	{
		aut__job_event(job, AUT_EVENT_RUNNING, NULL);
		return;
	}
	if (job->lost)
		give_lost_verdict(job);
	else if (job->suspect || aut__engine_now(engine) >= job->deadline_us)
		aut__job_event(job, AUT_EVENT_SUSPECT, NULL);
	else
		aut__job_event(job, AUT_EVENT_RUNNING, NULL);
}

static void
look(aut_job *job)
{
	aut_error err = AUT_ERROR_INIT;
	/* The list of events is dear on a big server: asked at every fourth look, or when it matters. */
	bool with_event = job->looks % 4 == 3 || job->suspect || job->lost || job->over ||
					  aut__engine_now(job->engine) >= job->deadline_us;
	aut_agent_spare(job->agent, is_spared(job) && !job->lost &&
									aut__engine_now(job->engine) < job->deadline_us);
	aut_status status = aut_agent_look(job->agent, job->command_id, with_event, looked, job, &err);
	if (status != AUT_OK)
		aut__job_not_begun(job, status, &err);
}

static void
verified(void *payload, const aut_agent_answer *answer)
{
	aut_job *job = payload;
	if (answer->result != AUT_AGENT_DONE)
		aut__job_answered(payload, answer);
	else if (answer->group_gone)
	{
		job->lost = true;
		aut__job_event(job, AUT_EVENT_LOST, NULL);
	}
	else
	{
		job->suspect = false;
		aut__job_event(job, AUT_EVENT_RUNNING, NULL);
	}
}

void
aut__verify_agent(aut_job *job)
{
	aut_error err = AUT_ERROR_INIT;
	aut_status status = aut_agent_alive(job->agent, verified, job, &err);
	if (status != AUT_OK)
		aut__job_not_begun(job, status, &err);
}

static aut_status
defer_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	aut_job *job = aut__job_of_unit(unit);
	job->won = false;
	return aut_store_run_note(db, &job->task.run.id, job->engine->options.worker, job->note,
							  job->deadline_us, &job->won, err);
}

/* Write what troubles a run that goes on, and move its deadline as far as the cap allows. */
static void
defer(aut_job *job)
{
	aut_engine *engine = job->engine;
	const aut_settings *s = engine->options.settings;
	aut_error err = AUT_ERROR_INIT;
	int64_t now = aut__engine_now(engine), mono = aut__engine_mono(engine);
	int64_t cap =
		job->task.run.started_at +
		(s->sandbox_ready_timeout + job->time_limit_s + s->run_timeout_hard_grace) * AUT_US_PER_S;
	bool trouble = job->event_error.code != AUT_OK;
	if (now >= cap && !job->over)
	{
		char text[AUT_ERROR_MESSAGE_MAX];
		snprintf(text, sizeof text, "%.400s",
				 trouble ? job->event_error.message
						 : "the run goes on past the last deadline it can be given");
		if (aut__verdict_timed_out(job, text, trouble ? "environment_unavailable" : "timeout",
								   &err) == AUT_OK)
			aut__job_event(job, AUT_EVENT_EXPIRED, NULL);
		else
			aut__job_event(job, AUT_EVENT_RETRY, &err);
		return;
	}
	bool due = now >= job->deadline_us;
	bool repeat = trouble && job->note_count > 0 &&
				  mono - job->noted_mono_us < AUT_NOTE_EVERY_MS * AUT_US_PER_MS;
	if (job->over || (!due && (repeat || (!trouble && job->note_count == 0))))
	{
		aut__job_event(job, AUT_EVENT_DONE, NULL);
		return;
	}
	if (due)
		job->deadline_us = now + 60 * AUT_US_PER_S < cap ? now + 60 * AUT_US_PER_S : cap;
	aut_free(job->note);
	job->note = NULL;
	job->noted_mono_us = mono;
	if (trouble)
		job->note = aut__note_text(job, &job->event_error);
	else
		job->note_count = 0;
	aut__job_unit(job, defer_run, aut__job_db_done);
}

/* ---- output -------------------------------------------------------------------------------- */

static void
output_read(void *payload, const aut_agent_answer *answer)
{
	aut_job *job = payload;
	if (answer->result != AUT_AGENT_DONE)
	{
		aut__job_answered(payload, answer);
		return;
	}
	aut_buf_clear(&job->piece);
	if (answer->len == 0)
	{
		aut__job_event(job, AUT_EVENT_EMPTY, NULL);
		return;
	}
	if (aut_buf_append(&job->piece, answer->data, answer->len) != AUT_OK)
	{
		fail_event(job, AUT_EVENT_RETRY, AUT_ENOMEM, "no memory for output");
		return;
	}
	job->piece_start = answer->offset;
	job->output_next = answer->offset + (int64_t) answer->len;
	keep_tail(job, answer->data, answer->len);
	job->looks = job->looks > 2 ? 2 : job->looks; /* it talks: look a little sooner */
	/* An end without an exit file is told by the agent, and the pump may not be through. */
	job->output_whole = job->end.ended && !job->end.from_event && answer->at_end;
	aut__job_event(job, AUT_EVENT_DONE, NULL);
}

static void
read_output(aut_job *job)
{
	aut_error err = AUT_ERROR_INIT;
	if (job->piece_came)
	{
		job->piece_came = false;
		job->piece_start = job->output_next;
		job->output_next += (int64_t) job->piece.len;
		aut__job_event(job, AUT_EVENT_DONE, NULL);
		return;
	}
	if (job->output_whole)
	{
		/* What was read after the end reached the end of the output: there is no more to ask for. */
		aut__job_event(job, AUT_EVENT_EMPTY, NULL);
		return;
	}
	if (job->step == AUT_STEP_READING && is_spared(job))
	{
		aut__job_event(job, AUT_EVENT_EMPTY, NULL); /* nobody waits for it */
		return;
	}
	aut_status status = aut_agent_output(job->agent, job->output_next, output_read, job, &err);
	if (status != AUT_OK)
		aut__job_not_begun(job, status, &err);
}

static aut_status
store_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	aut_job *job = aut__job_of_unit(unit);
	job->won = true;
	return aut_store_output_append(db, &job->task.run.id, job->piece_start, job->piece.data,
								   job->piece.len, aut__engine_now(job->engine),
								   job->engine->options.settings->output_keep_bytes, err);
}

static void
store_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	aut_job *job = aut__job_of_unit(unit);
	if (status == AUT_ENOTFOUND || status == AUT_EINVAL)
	{
		/* The run's row is gone, or the database refuses these bytes for good: go on without them. */
		aut_log(AUT_LOG_WARNING, "output of a run is dropped: %s", err->message);
		status = AUT_OK;
	}
	aut_uuid run_id = job->task.run.id;
	aut_engine *engine = job->engine;
	aut__job_db_done(unit, status, err);
	if (status == AUT_OK)
		aut__engine_tell(engine, &run_id);
}

static void
store(aut_job *job)
{
	aut__job_unit(job, store_run, store_done);
}

/* ---- the end ------------------------------------------------------------------------------- */

static void
stop(aut_job *job)
{
	aut_error err = AUT_ERROR_INIT;
	aut_status status = aut_agent_stop(job->agent, job->command_id, aut__job_answered, job, &err);
	if (status != AUT_OK)
		aut__job_not_begun(job, status, &err);
}

/* What follows for the automation is decided in the same transaction; should that fail for good, the run
 * ends all the same. */
#define HEALTH_TRIES_MAX 3

#define NOTICED_LATE_S 5

/* An end that was noticed late (nobody was there to look) was when the agent says that it was. */
static int64_t
ended_at(const aut_job *job, int64_t now)
{
	int64_t ago = job->end.ended ? job->end.age_s : 0;
	if (ago < NOTICED_LATE_S || ago > (now - job->task.run.started_at) / AUT_US_PER_S)
		return now;
	return now - ago * AUT_US_PER_S;
}

/* What the end of a run means for its automation. */
static aut_status
judge_automation(const aut_job *job, aut_db *db, int64_t now, aut_error *err)
{
	const aut_run *run = &job->task.run;
	if (!job->won || job->verdict.status != AUT_RUN_FAILED || job->tries >= HEALTH_TRIES_MAX)
		return AUT_OK;
	if (job->verdict.broken)
		return aut_service_disable_broken(db, &run->automation_id, &run->id,
										  job->verdict.error_detail, job->verdict.status_detail,
										  now, err);
	return aut_service_health_check(db, job->engine->options.settings, &run->automation_id,
									&run->id, now, err);
}

static aut_status
finish_together(aut_unit *const *units, size_t count, aut_db *db, aut_error *err)
{
	int64_t now = aut__engine_now(aut__job_of_unit(units[0])->engine);
	aut_run_end *ends = aut_calloc(count, sizeof *ends);
	bool *won = aut_calloc(count, sizeof *won);
	aut_status status = ends == NULL || won == NULL
							? aut_fail(err, AUT_ENOMEM, "no memory to end %zu runs", count)
							: AUT_OK;
	for (size_t i = 0; status == AUT_OK && i < count; i++)
	{
		const aut_job *job = aut__job_of_unit(units[i]);
		ends[i] = (aut_run_end){.id = job->task.run.id,
								.status = job->verdict.status,
								.from_running = true,
								.completed_at = ended_at(job, now),
								.error_detail = job->verdict.error_detail,
								.status_detail = job->verdict.status_detail,
								.has_exit_code = job->verdict.has_exit_code,
								.exit_code = job->verdict.exit_code,
								.cleanup_at = now + AUT_CLEANUP_AGAIN_US};
	}
	if (status == AUT_OK)
		status = aut_store_run_finish_each(db, ends, count, won, err);
	for (size_t i = 0; i < count; i++)
		aut__job_of_unit(units[i])->won = status == AUT_OK && won[i];
	for (size_t i = 0; status == AUT_OK && i < count; i++)
		status = judge_automation(aut__job_of_unit(units[i]), db, now, err);
	aut_free(ends);
	aut_free(won);
	return status;
}

static aut_status
finish_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	return finish_together(&unit, 1, db, err);
}

static void
finish_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	aut_job *job = aut__job_of_unit(unit);
	aut_engine *engine = job->engine;
	aut_uuid run_id = job->task.run.id;
	if (status == AUT_OK && job->won)
	{
		job->written = true;
		engine->stats.ends++;
		engine->want_claim = true; /* a place is free */
	}
	aut__job_db_done(unit, status, err);
	if (status == AUT_OK)
		aut__engine_tell(engine, &run_id);
}

static void
finish(aut_job *job)
{
	aut_error err = AUT_ERROR_INIT;
	if (job->over)
	{
		aut__job_event(job, AUT_EVENT_OVER, NULL);
		return;
	}
	if (!job->verdict.given &&
		(job->end.ended ? aut__verdict_from_end(job, &job->end, &err)
						: aut__verdict_from_failure(job, &job->event_error, &err)) != AUT_OK)
	{
		aut__job_event(job, AUT_EVENT_RETRY, &err);
		return;
	}
	aut__job_unit(job, finish_run, finish_done);
	job->unit.together = finish_together;
}

bool
aut__job_is_kept(const aut_job *job)
{
	return job->task.has_keep_alive && job->task.keep_alive;
}

void
aut__clean_alone(aut_job *job)
{
	aut_error err = AUT_ERROR_INIT;
	aut_cleanup own = {aut_agent_paths(job->agent), aut__job_is_kept(job)};
	aut_status status = aut_agent_cleanup(job->agent, &own, 1, aut__job_answered, job, &err);
	if (status != AUT_OK)
		aut__job_not_begun(job, status, &err);
}

static void
clean(aut_job *job)
{
	if (job->agent == NULL || (job->place.passing && !aut__job_is_kept(job)))
	{
		aut__job_event(job, AUT_EVENT_DONE, NULL);
		return;
	}
	/* A standing agent has others; what failed with them is repeated alone. */
	if (!job->place.local || job->tries > 0 || !aut__cleaner_take(job))
		aut__clean_alone(job);
}

static void
drop(aut_job *job)
{
	aut_engine *engine = job->engine;
	aut_uuid run_id = job->task.run.id;
	aut__job_free(job);
	engine->want_claim = true;
	aut__engine_tell(engine, &run_id);
}

/* ---- runs of the host itself ------------------------------------------------------------------- */

static void
hand(aut_job *job)
{
	aut_local_runner *local = job->engine->options.local;
	const aut_settings *s = job->engine->options.settings;
	aut_error err = AUT_ERROR_INIT;
	if (job->over)
	{
		aut__job_event(job, AUT_EVENT_OVER, NULL);
		return;
	}
	aut_status status = local->start(local, &job->task, job->time_limit_s, &err);
	if (status != AUT_OK)
	{
		aut__job_event(job, status == AUT_EBUSY ? AUT_EVENT_RETRY : AUT_EVENT_FAIL, &err);
		return;
	}
	/* It keeps its time limit itself; this is the deadline of one that does not. */
	job->deadline_us =
		aut__engine_now(job->engine) + (job->time_limit_s + s->run_timeout_margin) * AUT_US_PER_S;
	job->engine->stats.starts++;
	aut__job_event(job, AUT_EVENT_DONE, NULL);
}

static void
watch(aut_job *job)
{
	aut_local_runner *local = job->engine->options.local;
	aut_error err = AUT_ERROR_INIT;
	if (job->over)
		aut__job_event(job, AUT_EVENT_OVER, NULL);
	else if (!local->alive(local, &job->task))
		/* It has written its end before; if not, this is the end. */
		fail_event(job, AUT_EVENT_LOST, AUT_EINTERNAL,
				   "its process ended without telling how (it was killed, could not connect, or "
				   "the server "
				   "was restarted); what it had committed before that stays");
	else if (aut__engine_now(job->engine) < job->deadline_us)
		aut__job_wait(job, aut__engine_mono(job->engine) + AUT_LOCAL_LOOK_MS * AUT_US_PER_MS);
	else if (aut__verdict_timed_out(job, "the run did not end at its time limit", "timeout",
									&err) == AUT_OK)
		aut__job_event(job, AUT_EVENT_EXPIRED, NULL);
	else
		aut__job_event(job, AUT_EVENT_DUE, &err);
}

static void
halt(aut_job *job)
{
	aut_local_runner *local = job->engine->options.local;
	int64_t mono = aut__engine_mono(job->engine);
	if (!local->alive(local, &job->task))
	{
		aut__job_event(job, AUT_EVENT_DONE, NULL);
		return;
	}
	if (job->halt_mono_us == 0)
		job->halt_mono_us = mono;
	local->stop(local, &job->task, mono - job->halt_mono_us >= AUT_HALT_GRACE_MS * AUT_US_PER_MS);
	aut__job_wait(job, mono + AUT_HALT_LOOK_MS * AUT_US_PER_MS);
}

/* ---- pause --------------------------------------------------------------------------------- */

/* How often a step may fail for the moment; 0: for ever (the database must come back). */
static int
tries_max(aut_step step)
{
	switch (step)
	{
		case AUT_STEP_PROBING:
		case AUT_STEP_FETCHING:
		case AUT_STEP_UPLOADING:
		case AUT_STEP_ENVING:
		case AUT_STEP_STARTING:
		case AUT_STEP_DRAINING:
			return AUT_PREPARE_TRIES_MAX;
		case AUT_STEP_CLEANING:
			return AUT_CLEAN_TRIES_MAX;
		case AUT_STEP_NEW:
		case AUT_STEP_PLACING:
		case AUT_STEP_LOADING:
		case AUT_STEP_RECORDING:
		case AUT_STEP_WAITING:
		case AUT_STEP_LOOKING:
		case AUT_STEP_READING:
		case AUT_STEP_STORING:
		case AUT_STEP_VERIFYING:
		case AUT_STEP_NOTING:
		case AUT_STEP_STOPPING:
		case AUT_STEP_KEEPING:
		case AUT_STEP_ENDING:
		case AUT_STEP_RELEASING:
		case AUT_STEP_YIELDING:
		case AUT_STEP_HANDING:
		case AUT_STEP_WATCHING:
		case AUT_STEP_HALTING:
		case AUT_STEP_GONE:
		case AUT_STEP_COUNT:
			break;
	}
	return 0;
}

static void
pause(aut_job *job)
{
	int max = tries_max(job->step);
	job->tries++;
	if (max != 0 && job->tries >= max)
	{
		aut_error error = job->event_error;
		aut__job_event(job, AUT_EVENT_FAIL, &error);
		return;
	}
	/* An agent gets time to come back; the database is asked again sooner. */
	static const int64_t AGENT_MS[] = {500, 2000, 5000, 10000};
	int64_t wait_ms = max != 0 ? AGENT_MS[job->tries <= 4 ? job->tries - 1 : 3]
							   : INT64_C(200) << (job->tries < 6 ? job->tries - 1 : 5);
	if (job->event_retry_after_s > 0 && job->event_retry_after_s <= 60)
		wait_ms = job->event_retry_after_s * 1000;
	aut__job_wait(job, aut__engine_mono(job->engine) + wait_ms * AUT_US_PER_MS);
}

/* ---- the list ------------------------------------------------------------------------------ */

void
aut__action_run(aut_job *job, aut_action action)
{
	switch (action)
	{
		case AUT_ACTION_ACQUIRE:
			aut__place_acquire(job);
			break;
		case AUT_ACTION_PROBE:
			probe(job);
			break;
		case AUT_ACTION_LOAD:
			aut__job_tarball_load(job);
			break;
		case AUT_ACTION_FETCH:
			aut__job_tarball_fetch(job);
			break;
		case AUT_ACTION_UPLOAD:
			aut__job_tarball_upload(job);
			break;
		case AUT_ACTION_ENV:
			env(job);
			break;
		case AUT_ACTION_START:
			start(job);
			break;
		case AUT_ACTION_RECORD:
			record(job);
			break;
		case AUT_ACTION_WAIT:
			wait(job);
			break;
		case AUT_ACTION_LOOK:
			look(job);
			break;
		case AUT_ACTION_READ:
			read_output(job);
			break;
		case AUT_ACTION_STORE:
			store(job);
			break;
		case AUT_ACTION_VERIFY:
			if (!aut__place_check(job))
				aut__verify_agent(job);
			break;
		case AUT_ACTION_DEFER:
			defer(job);
			break;
		case AUT_ACTION_STOP:
			stop(job);
			break;
		case AUT_ACTION_FINISH:
			finish(job);
			break;
		case AUT_ACTION_CLEAN:
			clean(job);
			break;
		case AUT_ACTION_RELEASE:
			aut__place_release(job);
			break;
		case AUT_ACTION_REQUEUE:
			aut__place_requeue(job);
			break;
		case AUT_ACTION_PAUSE:
			pause(job);
			break;
		case AUT_ACTION_DROP:
			drop(job);
			break;
		case AUT_ACTION_HAND:
			hand(job);
			break;
		case AUT_ACTION_WATCH:
			watch(job);
			break;
		case AUT_ACTION_HALT:
			halt(job);
			break;
		case AUT_ACTION_COUNT:
			break;
	}
}
