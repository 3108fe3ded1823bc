/* SPDX-License-Identifier: MIT */
/*
 * core/engine/engine_internal.h - what the files of this room share.
 *
 *   engine.c      life of the engine, its two steps, timers, followers
 *   scheduler.c   fires: due schedules become PENDING runs
 *   dispatcher.c  claims, adoption after a crash, clean-ups asked for by others, the lease
 *   waiting.c     the phase of runs that wait for a backend
 *   tarball.c     actions that bring a run's tarball to its agent
 *   keeper.c      deletes objects outside of the database whose uploads are gone
 *   janitor.c     forgets what has been kept long enough
 *   sweeper.c     removes work folders that were left on agents
 *   cleaner.c     clean-ups of several runs in one command to their agent
 *   job.c         one run under execution: queueing of events, callbacks that record
 *   actions.c     what the machine's actions do
 *   place.c       the actions about the place of a run
 *   verdict.c     what an end means, and status_detail
 *   blobs.c       tarballs in memory, shared by the runs of an automation
 *   machine.c     the table
 */
#ifndef AUT_ENGINE_INTERNAL_H
#define AUT_ENGINE_INTERNAL_H

#include "automation/engine.h"
#include "automation/object.h"
#include "automation/schedule.h"
#include "core/engine/alarm.h"
#include "core/engine/machine.h"

#define AUT_FIRE_BATCH          500
#define AUT_FIRE_LATEST         100 /* beside a full batch: of those that are due last */
#define AUT_HELD_BATCH          500
#define AUT_CLEANUP_BATCH       200
#define AUT_LOOKS_IN_FLIGHT_MAX 64
#define AUT_PREPARE_TRIES_MAX                                                                      \
	4 /* three repeats, 0.5, 2 and 5 s apart: an agent may restart meanwhile */
#define AUT_CLEAN_TRIES_MAX 5
#define AUT_OVER_GRACE_MS   10000 /* for a program to end after it reported its end itself */
#define AUT_STOP_OVER_MS    3000  /* while stopping: for runs that have ended, to be cleaned up */
#define AUT_CLEANUP_AGAIN_US                                                                       \
	(60 * AUT_US_PER_S) /* a clean-up under way is not picked again before */
#define AUT_NOTE_EVERY_MS    30000
#define AUT_LOCAL_LOOK_MS    1000 /* should the host's word of an end be lost */
#define AUT_HALT_LOOK_MS     250
#define AUT_HALT_GRACE_MS    5000 /* between asking the host to end a run and insisting */
#define AUT_TAIL_MAX         1000 /* bytes of output quoted in error_detail */
#define AUT_JOB_BUCKETS      4096
#define AUT_OBJECTS_READ_MAX 16 /* tarballs read from stores at once */

typedef struct aut_job aut_job;
typedef struct aut_blob aut_blob;
typedef struct aut_cleaning aut_cleaning;

/* How a run ended, to be written by FINISH. */
typedef struct aut_verdict
{
	bool given;
	aut_run_status status;
	char *error_detail;  /* NULL: null */
	char *status_detail; /* JSON text; NULL: null */
	bool has_exit_code;
	int exit_code;
	bool broken; /* the automation's program cannot be had any more */
} aut_verdict;

struct aut_job
{
	aut_engine *engine;
	aut_job *bucket_next;
	aut_job **bucket_link;
	aut_job *queue_next; /* events to be fed */
	bool queued;
	aut_event event;
	aut_error event_error; /* story of RETRY and FAIL */
	int64_t event_retry_after_s;

	aut_step step;
	aut_step from_step; /* the one before */
	aut_run_task task;
	int64_t time_limit_s; /* T of the contract */
	char *command_id;     /* NULL: not known */
	bool maybe_started;   /* adopted: a start may have happened before the crash */
	aut_place place;
	bool placed;
	uint64_t generation; /* of the backend that gave the place */
	bool checking;       /* the backend is asked whether it is still there */
	bool troubled;       /* no place was given: */
	aut_place_trouble trouble;
	aut_agent *agent;
	aut_http_call *lookup; /* of the tarball's host, under url_policy */
	aut_url_policy *url_policy;
	void (*lookup_done)(aut_job *job);
	char *location; /* where a redirect of the tarball's server leads */
	int hops;       /* redirects so far */
	aut_blob *blob;
	aut_object_ref object; /* where the upload's bytes are, when not in the database */
	aut_object_call *object_call;
	aut_buf env; /* lives until the upload's answer */

	bool local;           /* executed by the host (aut_local_runner) */
	int64_t halt_mono_us; /* since when it is asked to end; 0: it is not */

	bool parked; /* the engine stops, and what comes next is left to the next start */
	bool over;   /* the run ended elsewhere */
	bool over_cancelled;
	int64_t over_mono_us;

	size_t heap_index; /* 1-based; 0: not waiting */
	int64_t due_mono_us;
	int tries; /* of the step under way */
	int looks; /* since the start or the last output, for the pace */
	int followers;
	bool look_in_flight;

	int64_t deadline_us; /* wall clock */
	bool suspect;        /* its agent was away: verify before believing that it goes on */
	bool lost;           /* verification found nothing; one more look decides */
	int64_t noted_mono_us;
	char *note; /* status_detail to be written by DEFER, or NULL */
	int note_count;
	int64_t note_first_us;

	int64_t output_next; /* stream offset to read from */
	bool output_whole;   /* it has ended and all it printed has been read */
	bool piece_came;     /* the look that saw the end brought the piece */
	aut_buf piece;       /* bytes to be stored */
	int64_t piece_start;
	char tail[AUT_TAIL_MAX + 1];
	size_t tail_len;

	aut_agent_answer end; /* how the command ended (without its texts); .ended: it has */
	aut_verdict verdict;
	bool written;           /* its end is in the database */
	aut_cleaning *cleaning; /* the shared clean-up it takes part in, or NULL */
	aut_unit unit;          /* one database step at a time */
	bool won;
};

typedef struct aut_follower
{
	struct aut_follower *next;
	aut_uuid run_id;
	int count;
} aut_follower;

#define AUT_NEWS_MAX 4

struct aut_engine
{
	aut_engine_options options;
	aut_engine_stats stats;
	bool stopping;
	int64_t stop_mono_us; /* since when */
	uint64_t generation;  /* counts replaced backends */

	aut_alarm *alarm; /* wall clock: next fire */
	aut_timer *timer; /* everything else */

	/* scheduler */
	bool want_fire, fire_busy;
	struct fire_unit *fire;
	int64_t next_fire_at;

	/* dispatcher */
	bool want_claim, claim_busy;
	bool claim_news;    /* runs were made, perhaps by others */
	bool agents_missed; /* the last claims left out what needs an agent */
	struct claim_unit *claim;
	int64_t next_ready_at; /* AUT_TIME_NONE: none */
	int64_t claim_limit;
	bool want_held, held_busy;
	bool want_adopt; /* only what workers that are gone have left */
	struct held_unit *held;
	bool want_cleanup, cleanup_busy;
	struct cleanup_unit *cleanup;
	int64_t next_cleanup_at;
	int64_t retry_at_mono_us; /* a database error: nothing of the above before */
	int64_t lease_until;
	bool lease_busy;
	struct lease_unit *lease;

	/* runs that wait for a backend */
	bool want_waiting, waiting_busy;
	struct waiting_unit *waiting;

	/* janitor */
	bool janitor_busy;
	struct janitor_unit *janitor;
	int64_t janitor_due_mono_us;
	int64_t spans_due_mono_us;

	/* objects outside of the database */
	aut_objects *objects;
	aut_job *reading[AUT_OBJECTS_READ_MAX];
	struct keeper *keeper;
	int64_t keeper_due_mono_us; /* AUT_TIME_MAX: it is at work */

	aut_cleaning *cleanings; /* shared clean-ups, gathering or sent */

	/* sweeper */
	struct sweeper *sweeper;
	int64_t sweep_due_mono_us; /* AUT_TIME_MAX: it is at work */

	aut_job *buckets[AUT_JOB_BUCKETS];
	size_t jobs;
	aut_job *queue_head, **queue_tail;
	aut_job **heap;
	size_t heap_count, heap_cap;
	int looks_in_flight;
	size_t units_in_flight;

	aut_follower *followers;
	struct
	{
		aut_engine_news cb;
		void *payload;
	} news[AUT_NEWS_MAX];

	aut_blob *blobs; /* most recently used first */
	size_t blob_bytes;
};

/* engine.c */
int64_t aut__engine_now(const aut_engine *engine);
int64_t aut__engine_mono(const aut_engine *engine);
void aut__engine_tell(aut_engine *engine, const aut_uuid *run_id);
/* Is this failure of a database step a row's, and not one that waiting mends, like a lock or a full disk? */
bool aut__blames_a_row(aut_status status);
/* A database step failed: log, and leave the database alone for a moment. */
void aut__engine_db_trouble(aut_engine *engine, const char *what, const aut_error *err);

/* scheduler.c: add a fire unit when one is wanted. */
void aut__scheduler_step(aut_engine *engine);
/* Was the last batch of fires a full one, so that more are due? */
bool aut__scheduler_is_behind(const aut_engine *engine);
aut_status aut__scheduler_init(aut_engine *engine, aut_error *err);
void aut__scheduler_done(aut_engine *engine);

/* dispatcher.c */
void aut__dispatcher_step(aut_engine *engine);
/* May a run be claimed now: a place is ready (an agent, or the host itself) and fewer than max_parallel_runs execute. */
bool aut__dispatcher_has_room(const aut_engine *engine);
aut_status aut__dispatcher_init(aut_engine *engine, aut_error *err);
void aut__dispatcher_done(aut_engine *engine);

/* waiting.c */
void aut__waiting_step(aut_engine *engine);
aut_status aut__waiting_init(aut_engine *engine, aut_error *err);
void aut__waiting_done(aut_engine *engine);

/* janitor.c */
void aut__janitor_step(aut_engine *engine);
aut_status aut__janitor_init(aut_engine *engine, aut_error *err);
void aut__janitor_done(aut_engine *engine);

/* keeper.c */
void aut__keeper_step(aut_engine *engine);
void aut__keeper_wake(aut_engine *engine); /* something is due */
aut_status aut__keeper_init(aut_engine *engine, aut_error *err);
void aut__keeper_done(aut_engine *engine);

/* sweeper.c */
void aut__sweeper_step(aut_engine *engine);
aut_status aut__sweeper_init(aut_engine *engine, aut_error *err);
void aut__sweeper_done(aut_engine *engine);

/* cleaner.c */
/* Clean up after the job together with others: then DONE, RETRY or FAIL.  False: no memory for that. */
bool aut__cleaner_take(aut_job *job);
void aut__cleaner_forget(aut_job *job);
void aut__cleaner_step(aut_engine *engine);              /* send what need not gather any longer */
int64_t aut__cleaner_next_due(const aut_engine *engine); /* AUT_TIME_MAX: none */
void aut__cleaner_done(aut_engine *engine);

/* job.c */
aut_job *aut__job_find(aut_engine *engine, const aut_uuid *run_id);
/* take_task moves in (also on failure). */
aut_status aut__job_new(aut_engine *engine, aut_run_task *take_task, aut_job **out, aut_error *err);
void aut__job_free(aut_job *job);
/* Record an event; it is fed to the machine in the engine's step. */
void aut__job_event(aut_job *job, aut_event event, const aut_error *error);
/* Its end is in the database, by somebody else's word, and the engine stops: there is still time to see
 * its program end and to clean up. */
bool aut__job_may_end(const aut_engine *engine, const aut_job *job);
void aut__jobs_local_wake(aut_engine *engine);
void aut__jobs_run(aut_engine *engine); /* feed what is queued, wake what is due */
/* Feed DUE (or what expired) at that time. */
void aut__job_wait(aut_job *job, int64_t due_mono_us);
int64_t aut__jobs_next_due(const aut_engine *engine); /* AUT_TIME_MAX: none */
/* Add the job's unit to the turn. */
void aut__job_unit(aut_job *job, aut_status (*run)(aut_unit *, aut_db *, aut_error *),
				   void (*done)(aut_unit *, aut_status, const aut_error *));
aut_job *aut__job_of_unit(aut_unit *unit);

/* lookup.c: may the place be told to download from there?  Then done, at once or later; else RETRY or
 * FAIL.  What cannot be asked is returned. */
aut_status aut__job_lookup(aut_job *job, const char *url, void (*done)(aut_job *job),
						   aut_error *err);
void aut__job_lookup_drop(aut_job *job);

/* actions.c */
void aut__action_run(aut_job *job, aut_action action);
/* The usual end of an agent step: DONE, RETRY or FAIL; one that could not be begun at all. */
void aut__job_answered(void *payload, const aut_agent_answer *answer);
void aut__job_not_begun(aut_job *job, aut_status status, const aut_error *error);
/* Clean up by a command of the job's own. */
void aut__clean_alone(aut_job *job);
bool aut__job_is_kept(const aut_job *job); /* its work folder stays when it has ended */

/* tarball.c */
void aut__job_tarball_load(aut_job *job);
void aut__job_tarball_fetch(aut_job *job);
void aut__job_tarball_upload(aut_job *job);
void aut__job_tarball_forget(aut_job *job); /* a read under way */

/* actions.c: units */
/* The end of a job's unit whose failures are repeated until the database answers. */
void aut__job_db_done(aut_unit *unit, aut_status status, const aut_error *err);
/* Ask its agent whether anything of it is left. */
void aut__verify_agent(aut_job *job);

/* place.c */
void aut__place_acquire(aut_job *job);
void aut__place_forget(aut_job *job, aut_backend *backend); /* an acquire or check under way */
/* The run has ended before it had a place: nothing was started, so there is nothing to wait for. */
bool aut__place_give_up(aut_job *job);
/* Ask the backend whether the place is still there; false: only the agent can tell. */
bool aut__place_check(aut_job *job);
void aut__place_requeue(aut_job *job);
void aut__place_release(aut_job *job);

/* verdict.c */
void aut__verdict_done(aut_verdict *verdict);
/* The end of the command as the agent tells it. */
aut_status aut__verdict_from_end(aut_job *job, const aut_agent_answer *end, aut_error *err);
/* A failure before or at the start. */
aut_status aut__verdict_from_failure(aut_job *job, const aut_error *error, aut_error *err);
aut_status aut__verdict_timed_out(aut_job *job, const char *why, const char *kind, aut_error *err);
/* status_detail of a trouble that passes (agent away); NULL: no memory.  Counts repeats. */
char *aut__note_text(aut_job *job, const aut_error *error);

/* blobs.c */
/* The tarball of an upload if it is in memory (referenced for the caller), else NULL.  Added without an
 * id: nobody else finds it, and it goes with its reference. */
aut_blob *aut__blob_find(aut_engine *engine, const aut_uuid *upload_id);
aut_blob *aut__blob_add(aut_engine *engine, const aut_uuid *upload_id, const void *data,
						size_t len);
const void *aut__blob_data(const aut_blob *blob, size_t *out_len);
void aut__blob_unref(aut_engine *engine, aut_blob *blob);
void aut__blobs_done(aut_engine *engine);

#endif
