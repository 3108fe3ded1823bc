/* SPDX-License-Identifier: MIT */
/* core/engine/machine.c - the table of the run machine; see machine.h for the story. */
#include "core/engine/machine.h"

typedef struct cell
{
	unsigned char used, next, action;
} cell;

#define T(step, event, next, action)                                                               \
	[AUT_STEP_##step][AUT_EVENT_##event] = {1, AUT_STEP_##next, AUT_ACTION_##action}

/* A step that is repeated after a pause when it fails for the moment, and given up otherwise. */
#define STEP(step, again, next, action)                                                            \
	T(step, DONE, next, action), T(step, RETRY, step, PAUSE), T(step, DUE, step, again),           \
		T(step, MOVED, PLACING, ACQUIRE), T(step, FAIL, ENDING, FINISH),                           \
		T(step, OVER, CLEANING, CLEAN)

/* The same for steps in the database whose failure must not end the run. */
#define DB_STEP(step, again, next, action)                                                         \
	T(step, DONE, next, action), T(step, RETRY, step, PAUSE), T(step, DUE, step, again)

static const cell TABLE[AUT_STEP_COUNT][AUT_EVENT_COUNT] = {
	T(NEW, BEGIN, PLACING, ACQUIRE),

	/* before the start: everything may be repeated, and a run that ended elsewhere is just cleaned */
	T(PLACING, FRESH, LOADING, LOAD),
	T(PLACING, UNSURE, PROBING, PROBE),
	T(PLACING, STARTED, LOOKING, LOOK),
	T(PLACING, RETRY, PLACING, PAUSE),
	T(PLACING, DUE, PLACING, ACQUIRE),
	T(PLACING, FAIL, ENDING, FINISH),
	T(PLACING, OVER, CLEANING, CLEAN),
	T(PLACING, YIELD, YIELDING, REQUEUE),
	DB_STEP(YIELDING, REQUEUE, GONE, DROP),
	T(YIELDING, OVER, CLEANING, CLEAN),

	T(PROBING, STARTED, LOOKING, LOOK),
	T(PROBING, FRESH, LOADING, LOAD),
	T(PROBING, RETRY, PROBING, PAUSE),
	T(PROBING, DUE, PROBING, PROBE),
	T(PROBING, MOVED, PLACING, ACQUIRE),
	T(PROBING, FAIL, ENDING, FINISH),
	T(PROBING, OVER, CLEANING, CLEAN),

	STEP(LOADING, LOAD, UPLOADING, UPLOAD),
	T(LOADING, URL, FETCHING, FETCH),
	STEP(FETCHING, FETCH, ENVING, ENV),
	STEP(UPLOADING, UPLOAD, ENVING, ENV),
	STEP(ENVING, ENV, STARTING, START),

	/* the start: its answer may be lost, so a repeat is fenced by the command itself */
	T(STARTING, DONE, RECORDING, RECORD),
	T(STARTING, RETRY, STARTING, PAUSE),
	T(STARTING, DUE, STARTING, START),
	T(STARTING, MOVED, PLACING, ACQUIRE),
	T(STARTING, FAIL, ENDING, FINISH),

	DB_STEP(RECORDING, RECORD, WAITING, WAIT),
	T(RECORDING, OVER, WAITING, WAIT),

	/* it runs */
	T(WAITING, DUE, LOOKING, LOOK),
	T(WAITING, MOVED, PLACING, ACQUIRE),
	T(WAITING, OVER, WAITING, WAIT),
	T(WAITING, EXPIRED, STOPPING, STOP),

	T(LOOKING, RUNNING, READING, READ),
	T(LOOKING, ENDED, DRAINING, READ),
	T(LOOKING, SUSPECT, VERIFYING, VERIFY),
	T(LOOKING, LOST, DRAINING, READ),
	T(LOOKING, EXPIRED, STOPPING, STOP),
	T(LOOKING, RETRY, NOTING, DEFER),
	T(LOOKING, FAIL, NOTING, DEFER),

	T(READING, DONE, STORING, STORE),
	T(READING, EMPTY, WAITING, WAIT),
	T(READING, RETRY, WAITING, WAIT),
	T(READING, FAIL, WAITING, WAIT),
	DB_STEP(STORING, STORE, WAITING, WAIT),

	T(VERIFYING, RUNNING, NOTING, DEFER),
	T(VERIFYING, LOST, LOOKING, LOOK),
	T(VERIFYING, RETRY, NOTING, DEFER),
	T(VERIFYING, FAIL, NOTING, DEFER),
	T(VERIFYING, EXPIRED, ENDING, FINISH), /* its place is gone */
	DB_STEP(NOTING, DEFER, WAITING, WAIT),
	T(NOTING, OVER, WAITING, WAIT),
	T(NOTING, EXPIRED, STOPPING, STOP),

	/* it has ended, or is made to end */
	T(STOPPING, DONE, DRAINING, READ),
	T(STOPPING, RETRY, DRAINING, READ),
	T(STOPPING, FAIL, DRAINING, READ),

	T(DRAINING, DONE, KEEPING, STORE),
	T(DRAINING, EMPTY, ENDING, FINISH),
	T(DRAINING, RETRY, DRAINING, PAUSE),
	T(DRAINING, DUE, DRAINING, READ),
	T(DRAINING, MOVED, PLACING, ACQUIRE),
	T(DRAINING, FAIL, ENDING, FINISH),
	DB_STEP(KEEPING, STORE, DRAINING, READ),

	/* executed by the host itself, which writes the end: the engine waits, and judges what vanished */
	T(NEW, LOCAL, HANDING, HAND),
	T(HANDING, DONE, WATCHING, WATCH),
	T(HANDING, RETRY, HANDING, PAUSE),
	T(HANDING, DUE, HANDING, HAND),
	T(HANDING, FAIL, ENDING, FINISH),
	T(HANDING, OVER, HALTING, HALT),
	T(WATCHING, DUE, WATCHING, WATCH),
	T(WATCHING, LOST, ENDING, FINISH),
	T(WATCHING, OVER, HALTING, HALT),
	T(WATCHING, EXPIRED, HALTING, HALT),
	T(HALTING, DUE, HALTING, HALT),
	T(HALTING, DONE, ENDING, FINISH),

	DB_STEP(ENDING, FINISH, CLEANING, CLEAN),
	T(ENDING, OVER, CLEANING, CLEAN),

	T(CLEANING, DONE, RELEASING, RELEASE),
	T(CLEANING, RETRY, CLEANING, PAUSE),
	T(CLEANING, DUE, CLEANING, CLEAN),
	T(CLEANING, MOVED, PLACING, ACQUIRE),
	T(CLEANING, FAIL, RELEASING, RELEASE),
	DB_STEP(RELEASING, RELEASE, GONE, DROP),
};

bool
aut_machine_next(aut_step step, aut_event event, aut_transition *out)
{
	if ((unsigned) step >= AUT_STEP_COUNT || (unsigned) event >= AUT_EVENT_COUNT ||
		!TABLE[step][event].used)
		return false;
	const cell *at = &TABLE[step][event];
	*out = (aut_transition){(aut_step) at->next, (aut_action) at->action};
	return true;
}

const char *
aut_step_name(aut_step step)
{
	static const char *const NAMES[] = {
#define AUT_STEP_NAME(name) #name,
		AUT_STEP_MAP(AUT_STEP_NAME)
#undef AUT_STEP_NAME
	};
	return (unsigned) step < AUT_STEP_COUNT ? NAMES[step] : "?";
}

const char *
aut_event_name(aut_event event)
{
	static const char *const NAMES[] = {
#define AUT_EVENT_NAME(name) #name,
		AUT_EVENT_MAP(AUT_EVENT_NAME)
#undef AUT_EVENT_NAME
	};
	return (unsigned) event < AUT_EVENT_COUNT ? NAMES[event] : "?";
}

const char *
aut_action_name(aut_action action)
{
	static const char *const NAMES[] = {
#define AUT_ACTION_NAME(name) #name,
		AUT_ACTION_MAP(AUT_ACTION_NAME)
#undef AUT_ACTION_NAME
	};
	return (unsigned) action < AUT_ACTION_COUNT ? NAMES[action] : "?";
}
