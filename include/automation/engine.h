/* SPDX-License-Identifier: MIT */
/*
 * include/automation/engine.h - scheduler, dispatcher, watchdog and janitor: state machines on the
 * loop.  The host gives a loop, a turn (and so a database), a backend and a clock.
 *
 * The engine registers two steps on the loop: the first decides and adds units to the turn, the second
 * flushes the turn.  Doors add their own units to the same turn and call aut_engine_wake with the
 * effects of a call after its commit.
 */
#ifndef AUT_ENGINE_H
#define AUT_ENGINE_H

#include "automation/backend.h"
#include "automation/service.h"

typedef struct aut_engine aut_engine;

/*
 * Runs that the host executes itself, beside agents (the extension: SQL actions), in processes of its
 * own.  Such a run writes its own end in the database, guarded as every end is; the engine hands it
 * over, waits, ends it when it was cancelled or is over its deadline, and judges it when it vanished
 * without an end.  Everything is called from the engine's step, outside of transactions, and must not
 * block.
 */
typedef struct aut_local_runner aut_local_runner;
struct aut_local_runner
{
	bool (*takes)(aut_local_runner *self, const aut_run_task *task);
	/* Begin, or find again what an earlier process of the engine began (then nothing is begun twice).
	 * The run keeps the time limit itself.  EBUSY: no place is free, ask again; any other failure ends
	 * the run. */
	aut_status (*start)(aut_local_runner *self, const aut_run_task *task, int64_t time_limit_s,
						aut_error *err);
	bool (*alive)(aut_local_runner *self, const aut_run_task *task);
	void (*stop)(aut_local_runner *self, const aut_run_task *task, bool hard);
};

typedef struct aut_engine_options
{
	aut_loop *loop;
	aut_turn *turn;
	aut_http_client *http;
	aut_backend *backend;         /* may be replaced later: aut_engine_set_backend */
	aut_local_runner *local;      /* or NULL; must outlive the engine */
	const aut_settings *settings; /* read at use; must outlive the engine */
	const aut_sealer *sealer;     /* who has the key of sealed variables; NULL: nobody */
	const aut_clock *clock;
	const char *worker; /* name under which runs are claimed */
	int64_t pid;
	const char *api_url; /* base of callback URLs, "" when there is no HTTP API */
	/* Only this worker's name can hold runs here and its last holder is known to be dead (file lock,
	 * guard lock): take its runs over at once at start. */
	bool take_over;
	/* One of several: claims and executes runs, and leaves schedules, retention and what is told of
	 * waiting runs to another engine. */
	bool dispatch_only;
} aut_engine_options;

aut_status aut_engine_new(const aut_engine_options *options, aut_engine **out, aut_error *err);
/* Stop claiming and firing; what runs on agents goes on there and is adopted at the next start. */
void aut_engine_stop(aut_engine *engine);
/* Nothing is under way in the database or towards agents that would be lost. */
bool aut_engine_quiet(const aut_engine *engine);
void aut_engine_free(aut_engine *engine);
/* The former backend must still be there; it may be freed afterwards. */
void aut_engine_set_backend(aut_engine *engine, aut_backend *backend);

/* Effects of a committed service call (AUT_EFFECT_…), or ~0u for "look at everything". */
void aut_engine_wake(aut_engine *engine, unsigned effects);

/* Look for runs whose worker is gone, which may be another one of several. */
void aut_engine_adopt(aut_engine *engine);

/* Something that the local runner executes has ended, or there is a place again. */
void aut_engine_local_wake(aut_engine *engine);

/* Somebody follows a run: look at it often while at least one follower is there. */
void aut_engine_follow(aut_engine *engine, const aut_uuid *run_id, bool on);
/* Called after the commit of new output of a run, or of its end, or of its phase.  Some may ask for it at
 * once; cb NULL takes back what was asked for with that payload. */
typedef void (*aut_engine_news)(void *payload, const aut_uuid *run_id);
void aut_engine_on_news(aut_engine *engine, aut_engine_news cb, void *payload);

typedef struct aut_engine_stats
{
	uint64_t fires, claims, starts, ends, adopted, looks;
	uint64_t forgotten;   /* rows that were kept long enough */
	uint64_t swept;       /* work folders that were left long enough */
	size_t active;        /* runs executing under this engine */
	int64_t next_fire_at; /* AUT_TIME_NONE: none */
} aut_engine_stats;
void aut_engine_get_stats(const aut_engine *engine, aut_engine_stats *out);

#endif
