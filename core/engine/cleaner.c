/* SPDX-License-Identifier: MIT */
/*
 * core/engine/cleaner.c - clean-ups of runs on the same agent, several in one command.
 *
 * The first run that is to be cleaned goes at once.  While its command is on the way, others gather; they go
 * together when it was answered, when there are as many as one command takes, or when the first of them has
 * waited 50 ms.  So nobody waits at an idle agent, and at a busy one the calls become fewer by themselves.
 *
 *   take ──▶ gathering ──▶ sent ──accepted──▶ each run: DONE
 *                               ──transient─▶ each run: RETRY, which is alone then (its own command)
 *                               ──refused───▶ each run alone, at once: what is wrong may be one run's
 *
 * What it means that a command was accepted is the same as for one run: the agent has it.  Only standing
 * agents of ours are shared (the same address and key); a sandbox has one run.  That a clean-up is to come is
 * in the database until its run was told DONE, so a crash forgets nothing.
 */
#include <string.h>

#include "core/engine/engine_internal.h"

#define SHARED_MAX 50
#define GATHER_MS  50

struct aut_cleaning
{
	aut_cleaning *next;
	aut_engine *engine;
	aut_agent *agent; /* of no run; NULL: it is still gathering */
	int64_t due_mono_us;
	size_t count;
	aut_job *jobs[SHARED_MAX];
};

static bool
is_same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
is_same_agent(const aut_place *a, const aut_place *b)
{
	return strcmp(a->agent_url, b->agent_url) == 0 && strcmp(a->agent_key, b->agent_key) == 0 &&
		   is_same_text(a->key_header, b->key_header);
}

static bool
is_at(const aut_cleaning *self, const aut_place *place)
{
	return self->count > 0 && is_same_agent(&self->jobs[0]->place, place);
}

static void
unlink_from_engine(aut_cleaning *self)
{
	aut_cleaning **link = &self->engine->cleanings;
	while (*link != self)
		link = &(*link)->next;
	*link = self->next;
}

static void
cleaning_free(aut_cleaning *self)
{
	for (size_t i = 0; i < self->count; i++)
		self->jobs[i]->cleaning = NULL;
	unlink_from_engine(self);
	aut_agent_free(self->agent);
	aut_free(self);
}

/* ---- gathering ----------------------------------------------------------------------------- */

bool
aut__cleaner_take(aut_job *job)
{
	aut_engine *engine = job->engine;
	aut_cleaning *self = engine->cleanings;
	while (self != NULL &&
		   (self->agent != NULL || self->count == SHARED_MAX || !is_at(self, &job->place)))
		self = self->next;
	if (self == NULL)
	{
		self = aut_calloc(1, sizeof *self);
		if (self == NULL)
			return false;
		self->engine = engine;
		self->due_mono_us = aut__engine_mono(engine) + GATHER_MS * AUT_US_PER_MS;
		self->next = engine->cleanings;
		engine->cleanings = self;
	}
	self->jobs[self->count++] = job;
	job->cleaning = self;
	return true;
}

void
aut__cleaner_forget(aut_job *job)
{
	aut_cleaning *self = job->cleaning;
	if (self == NULL)
		return;
	job->cleaning = NULL;
	size_t at = 0;
	while (self->jobs[at] != job)
		at++;
	self->jobs[at] = self->jobs[--self->count];
}

/* ---- sending ------------------------------------------------------------------------------- */

static void
each_alone(aut_cleaning *self)
{
	for (size_t i = 0; i < self->count; i++)
		aut__clean_alone(self->jobs[i]);
}

static void
answered(void *payload, const aut_agent_answer *answer)
{
	aut_cleaning *self = payload;
	bool refused = answer->result == AUT_AGENT_PERMANENT || answer->result == AUT_AGENT_GONE;
	if (refused && self->count > 1)
		each_alone(self);
	else
		for (size_t i = 0; i < self->count; i++)
			aut__job_answered(self->jobs[i], answer);
	aut_loop_wake(self->engine->options.loop); /* those that gathered meanwhile go now */
	cleaning_free(self);
}

static void
send(aut_cleaning *self)
{
	const aut_engine_options *o = &self->engine->options;
	aut_cleanup runs[SHARED_MAX];
	aut_error err = AUT_ERROR_INIT;
	for (size_t i = 0; i < self->count; i++)
		runs[i] =
			(aut_cleanup){aut_agent_paths(self->jobs[i]->agent), aut__job_is_kept(self->jobs[i])};
	aut_status status = aut_agent_new(o->loop, o->http, &self->jobs[0]->place, &AUT_UUID_NIL, 0,
									  &self->agent, &err);
	if (status == AUT_OK) /* which may answer at once: then self is gone */
		status = aut_agent_cleanup(self->agent, runs, self->count, answered, self, &err);
	if (status != AUT_OK)
	{
		each_alone(self);
		cleaning_free(self);
	}
}

static bool
is_one_on_its_way(const aut_engine *engine, const aut_place *place)
{
	for (const aut_cleaning *other = engine->cleanings; other != NULL; other = other->next)
		if (other->agent != NULL && is_at(other, place))
			return true;
	return false;
}

/* One that need not gather any longer, or NULL. */
static aut_cleaning *
ready(aut_engine *engine)
{
	int64_t mono = aut__engine_mono(engine);
	for (aut_cleaning *self = engine->cleanings; self != NULL; self = self->next)
		if (self->agent == NULL &&
			(self->count == 0 || self->count == SHARED_MAX || self->due_mono_us <= mono ||
			 !is_one_on_its_way(engine, &self->jobs[0]->place)))
			return self;
	return NULL;
}

void
aut__cleaner_step(aut_engine *engine)
{
	for (aut_cleaning *self = ready(engine); self != NULL; self = ready(engine))
	{
		if (self->count > 0)
			send(self);
		else
			cleaning_free(self);
	}
}

int64_t
aut__cleaner_next_due(const aut_engine *engine)
{
	int64_t due = AUT_TIME_MAX;
	for (const aut_cleaning *self = engine->cleanings; self != NULL; self = self->next)
		if (self->agent == NULL && self->due_mono_us < due)
			due = self->due_mono_us;
	return due;
}

void
aut__cleaner_done(aut_engine *engine)
{
	while (engine->cleanings != NULL)
		cleaning_free(engine->cleanings);
}
