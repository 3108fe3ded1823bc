/* SPDX-License-Identifier: MIT */
/*
 * core/engine/machine.h - the run machine: one table of (step, event) -> (step, action).
 *
 * A *step* is where the execution of one run stands in this process; the run's *status* (PENDING,
 * RUNNING, …) is what the database says.  Events are facts (an answer came, a time is due, the database
 * said somebody else ended the run); actions start the next piece of work.  The table is data: nothing
 * else in the engine decides what follows what.
 *
 *   NEW -> PLACING -> LOADING -> UPLOADING -> ENVING -> STARTING -> RECORDING -> WAITING
 *                  \-> PROBING (after a crash)   FETCHING (URL)                    |  ^
 *                                                                        LOOKING <-+  |
 *                                                          running: READING -> STORING+
 *                                                          ended:   DRAINING <-> KEEPING
 *                                                                      |
 *                                   ENDING -> CLEANING -> RELEASING -> GONE
 *
 *   PLACING -> YIELDING -> GONE                a sandbox is asked for later (cloud, a limit is reached)
 *   NEW -> HANDING -> WATCHING -> ENDING ...   a run that the host itself executes (engine.h,
 *                        \-> HALTING --^         aut_local_runner): it writes its own end
 *
 * If you add a step or an event, also add its name in machine.c; the tests walk the whole table.
 */
#ifndef AUT_MACHINE_H
#define AUT_MACHINE_H

#include <stdbool.h>

/* clang-format off: a table to be read */
#define AUT_STEP_MAP(X)                                                                            \
	X(NEW)       /* claimed, adopted or to be cleaned; nothing begun */                            \
	X(PLACING)   /* acquiring a place */                                                           \
	X(PROBING)   /* after a crash: was this attempt started? */                                    \
	X(LOADING)   /* reading the tarball */                                                         \
	X(FETCHING)  /* the agent downloads the tarball */                                             \
	X(UPLOADING) /* the tarball goes to the agent */                                               \
	X(ENVING)    /* the environment goes to the agent */                                           \
	X(STARTING)  /* the command goes to the agent */                                               \
	X(RECORDING) /* "started" goes to the database */                                              \
	X(WAITING)   /* until the next look */                                                         \
	X(LOOKING)   /* has it ended? */                                                               \
	X(READING)   /* new output */                                                                  \
	X(STORING)   /* output goes to the database */                                                 \
	X(VERIFYING) /* is anything of it left? */                                                     \
	X(NOTING)    /* a new deadline or a note goes to the database */                               \
	X(STOPPING)  /* ending its processes */                                                        \
	X(DRAINING)  /* it has ended: the rest of its output */                                        \
	X(KEEPING)   /* the rest of its output goes to the database */                                 \
	X(ENDING)    /* its end goes to the database */                                                \
	X(CLEANING)  /* its files go */                                                                \
	X(RELEASING) /* "cleaned" goes to the database */                                              \
	X(HANDING)   /* the host itself executes it: a place there is awaited */                       \
	X(WATCHING)  /* the host executes it */                                                        \
	X(HALTING)   /* the host is made to end it */                                                  \
	X(YIELDING)  /* back to PENDING: no place is free */                                           \
	X(GONE)      /* nothing left to do: the job is freed */

#define AUT_EVENT_MAP(X)                                                                             \
	X(BEGIN)   /* start executing */                                                                 \
	X(DONE)    /* the step succeeded */                                                              \
	X(LOCAL)   /* begin, and the host itself executes it */                                          \
	X(FRESH)   /* placed: nothing was started yet */                                                 \
	X(UNSURE)  /* placed: something may have been started before a crash */                          \
	X(STARTED) /* placed or probed: the command runs, or ran */                                      \
	X(URL)     /* the tarball is at an address */                                                    \
	X(RETRY)   /* the step failed and may be repeated */                                             \
	X(FAIL)    /* the step failed for good */                                                        \
	X(DUE)     /* the time waited for has come */                                                    \
	X(MOVED)   /* it has come, and the backend was replaced meanwhile: ask for the place again */       \
	X(RUNNING) /* it goes on */                                                                      \
	X(SUSPECT) /* it should have ended, or its agent was away: verify */                             \
	X(ENDED)   /* its command has ended */                                                           \
	X(LOST)    /* nothing of it is left and no exit code either */                                   \
	X(EMPTY)   /* no new output */                                                                   \
	X(OVER)    /* the run ended elsewhere (callback, cancel) */                                      \
	X(YIELD)   /* no place is free, and the run may wait for one */                                  \
	X(EXPIRED) /* no deadline can be moved any further; or the grace after an end has passed */

/* clang-format on */

typedef enum aut_step
{
#define AUT_STEP_ENUM(name) AUT_STEP_##name,
	AUT_STEP_MAP(AUT_STEP_ENUM)
#undef AUT_STEP_ENUM
	AUT_STEP_COUNT
} aut_step;

typedef enum aut_event
{
#define AUT_EVENT_ENUM(name) AUT_EVENT_##name,
	AUT_EVENT_MAP(AUT_EVENT_ENUM)
#undef AUT_EVENT_ENUM
	AUT_EVENT_COUNT
} aut_event;

/* What an action is, so that the table stands without the jobs it moves. */
#define AUT_ACTION_MAP(X)                                                                          \
	X(ACQUIRE)                                                                                     \
	X(PROBE)                                                                                       \
	X(LOAD) X(FETCH) X(UPLOAD) X(ENV) X(START) X(RECORD) X(WAIT) X(LOOK) X(READ) X(STORE)          \
		X(VERIFY) X(DEFER) X(STOP) X(FINISH) X(CLEAN) X(RELEASE) X(PAUSE) X(DROP) X(HAND) X(WATCH) \
			X(HALT) X(REQUEUE)

typedef enum aut_action
{
#define AUT_ACTION_ENUM(name) AUT_ACTION_##name,
	AUT_ACTION_MAP(AUT_ACTION_ENUM)
#undef AUT_ACTION_ENUM
	AUT_ACTION_COUNT
} aut_action;

typedef struct aut_transition
{
	aut_step next;
	aut_action action;
} aut_transition;

/* False: the event means nothing in that step (a broken promise of our own code). */
bool aut_machine_next(aut_step step, aut_event event, aut_transition *out);
const char *aut_step_name(aut_step step);
const char *aut_event_name(aut_event event);
const char *aut_action_name(aut_action action);

#endif
