/* SPDX-License-Identifier: MIT */
/*
 * core/backend/cloud_internal.h - what the files of the cloud backend share.
 *
 *   cloud.c        the backend: its life, its operations, its step on the loop
 *   cloud_call.c   calls to the cloud's API: their pace, keys of users, what a refusal means
 *   cloud_seat.c   one run on its way to a sandbox
 *   cloud_poll.c   asking after many sandboxes at once; reading what the cloud says of one
 *   cloud_ledger.c pausing and deleting what is released; the sweep
 *
 * Everything that gives a unit to the turn lives on the heap and may outlive the backend: `cloud` is
 * NULL then, and the unit's end frees it.
 */
#ifndef AUT_CLOUD_INTERNAL_H
#define AUT_CLOUD_INTERNAL_H

#include "automation/cloud.h"

#define CLOUD_PER_SECOND      10  /* requests; what the server allows an address undisturbed */
#define CLOUD_IN_FLIGHT_MAX   32  /* requests at once */
#define CLOUD_POLL_IDS_MAX    100 /* the server refuses more */
#define CLOUD_POLL_SPACING_MS 1000
#define CLOUD_USERS_MAX       1024
#define CLOUD_SWEEP_BATCH     50
#define CLOUD_SWEEP_EVERY_MS  60000
#define CLOUD_INTENT_MAX_US   (10 * 60 * AUT_US_PER_S) /* longer no creation is on its way */
#define CLOUD_WORK_BASE       "/workspace/project"

typedef struct cloud cloud;
typedef struct cloud_seat cloud_seat;

/* ---- calls --------------------------------------------------------------------------------- */

/* A user of the cloud for whom we act, and the key we have for them (in memory only, never logged). */
typedef struct cloud_user
{
	struct cloud_user *next;
	aut_uuid org_id, user_id;
	char *key;           /* NULL: to be made */
	uint64_t key_count;  /* keys made so far: tells a new key from the one that was refused */
	aut_http_call *mint; /* under way */
	bool minting;
	int refs;             /* calls and seats */
	int64_t next_poll_us; /* monotonic: not before */
	cloud *cloud;
} cloud_user;

typedef enum cloud_lane
{
	CLOUD_ASK,    /* polls */
	CLOUD_CREATE, /* new sandboxes */
	CLOUD_CLEAN,  /* pauses and deletions */
	CLOUD_LANES
} cloud_lane;

typedef struct cloud_call cloud_call;

/* What came of a call.  status AUT_OK: a 2xx with its JSON (NULL: the body is none). */
typedef struct cloud_answer
{
	aut_status status;
	aut_error error;
	int code;       /* HTTP status, 0: none */
	json_t *root;   /* of any answer; lives until the callback returns */
	bool unsent;    /* it never left */
	bool uncertain; /* it may have been carried out although no answer says so */
	bool no_key;    /* the user's key could not be made */
} cloud_answer;
typedef void (*cloud_cb)(void *payload, const cloud_answer *answer);

typedef struct cloud_request
{
	cloud_lane lane;
	const char *method;
	const char *path; /* and query; copied */
	cloud_user *user;
	int64_t timeout_ms;
	bool repeat; /* a rate limit is waited for and the call repeated */
	cloud_cb cb;
	void *payload;
} cloud_request;
/* The callback runs later, exactly once, unless cancelled. */
aut_status cloud__send(cloud *self, const cloud_request *request, cloud_call **out, aut_error *err);
/* True: it had been sent and may have been carried out. */
bool cloud__cancel(cloud_call *call);
bool cloud__call_sent(const cloud_call *call);
void cloud__calls_run(cloud *self); /* send what may be sent now */
void cloud__calls_done(cloud *self);

cloud_user *cloud__user_find(cloud *self, const aut_uuid *org_id, const aut_uuid *user_id,
							 aut_error *err); /* referenced */
void cloud__user_unref(cloud_user *user);

/* ---- what the cloud says of a sandbox -------------------------------------------------------- */

typedef enum cloud_status
{
	CLOUD_STARTING, /* and whatever is not known */
	CLOUD_RUNNING,
	CLOUD_PAUSED,
	CLOUD_ERROR,
	CLOUD_MISSING /* and null */
} cloud_status;
const char *cloud__status_name(cloud_status status);

typedef struct cloud_sandbox
{
	cloud_status status;
	const char *agent_url;   /* of the entry AGENT_SERVER, as it is; NULL: none */
	const char *session_key; /* "" when none */
	const char *detail;      /* status_detail, raw; NULL: none */
} cloud_sandbox;
void cloud__sandbox_read(const json_t *item, cloud_sandbox *out);
/* What of status_detail may be shown. */
void cloud__safe_detail(const char *detail, char *out, size_t size);

/* ---- seats --------------------------------------------------------------------------------- */

typedef enum seat_step
{
	SEAT_LOOKUP, /* in the ledger: has the run a sandbox? else the intent is written */
	SEAT_CREATING,
	SEAT_RECORDING, /* its id goes into the ledger */
	SEAT_POLLING,
	SEAT_HEALTH,   /* does its agent answer? */
	SEAT_READYING, /* "something may have been started in it" goes into the ledger */
	SEAT_DROPPING, /* it did not start: the ledger is told */
	SEAT_RESTING,  /* before the next attempt */
	SEAT_CHECKING  /* polling of a sandbox whose run goes on */
} seat_step;

/* What becomes of a seat's row in the ledger. */
typedef enum seat_drop
{
	SEAT_DROP_ROW,     /* nothing was made */
	SEAT_DROP_SANDBOX, /* to be deleted */
	SEAT_DROP_LOST     /* something may have been made, and its id is not known */
} seat_drop;

struct cloud_seat
{
	cloud *cloud; /* NULL: the backend is gone */
	cloud_seat *next, **link;
	seat_step step;
	aut_place_cb cb; /* NULL: nobody waits any more */
	aut_place_check_cb check_cb;
	void *payload;
	const aut_clock *clock;

	aut_uuid run_id, org_id, user_id;
	char *worker;
	int64_t time_limit_s;
	char *known_sandbox_id; /* of the run's row */
	bool started;           /* its command was started: only that sandbox will do */
	bool released;          /* the run ended while its sandbox was being made */

	aut_unit unit;
	bool in_unit;
	aut_uuid row, intent;
	char *sandbox_id;
	bool adopted; /* it was made before … */
	bool ready;   /* … and its run may have been started in it */
	bool retired; /* the run has ended */
	bool unwon;
	int attempt; /* sandboxes asked for */

	cloud_user *user;
	cloud_call *call;
	struct cloud_poll *poll;
	aut_http_call *health;
	int64_t due_us;      /* monotonic: next poll, next attempt */
	int64_t deadline_us; /* monotonic: ready until */
	bool asked_again;    /* one "it is not there" is not believed */

	char *agent_url, *session_key;
	seat_drop drop;
	int64_t rest_ms;     /* after it: until the next attempt; -1: there is none */
	int64_t patience_us; /* from a claim to its deadline */
	aut_error error;     /* why it is dropped */
	aut_place_trouble trouble;
};

void cloud__seat_begin(cloud_seat *seat);
void cloud__seat_due(cloud_seat *seat);
/* What a poll says of it; sandbox NULL: the poll failed with error. */
void cloud__seat_polled(cloud_seat *seat, const cloud_sandbox *sandbox, const cloud_answer *answer);
/* Nobody waits any more. */
void cloud__seat_forget(cloud_seat *seat);
void cloud__seat_free(cloud_seat *seat);

void cloud__polls_run(cloud *self);
void cloud__poll_forget(cloud_seat *seat);
void cloud__polls_done(cloud *self);

/* ---- ledger -------------------------------------------------------------------------------- */

void cloud__ledger_run(cloud *self);
aut_status cloud__ledger_init(cloud *self, aut_error *err);
void cloud__ledger_done(cloud *self);
bool cloud__ledger_busy(const cloud *self); /* something of it is with the turn */
/* A run has ended: what it has is released. */
void cloud__ledger_release(cloud *self, const aut_uuid *run_id, bool keep, bool used);

/* ---- the backend --------------------------------------------------------------------------- */

struct cloud
{
	aut_backend base;
	aut_loop *loop;
	aut_http_client *http;
	aut_turn *turn;
	const aut_settings *settings;
	const aut_clock *clock;
	aut_timer *timer;
	char *url; /* of the API */
	char *service_key, *cloud_key;

	/* calls */
	cloud_call *lanes[CLOUD_LANES];
	cloud_call **lane_tails[CLOUD_LANES];
	cloud_call *flying;
	int in_flight;
	unsigned turn_of_lane;
	unsigned per_second;               /* requests of ours */
	int64_t sent_us[CLOUD_PER_SECOND]; /* when the last ones left (monotonic) */
	unsigned sent_at;
	uint64_t sent_count;
	int64_t quiet_until_us; /* the server asked for silence */
	cloud_user *users;
	size_t user_count;
	aut_cloud_stats stats;

	cloud_seat *seats;
	struct cloud_poll *polls;

	struct cloud_sweep *sweep;
	struct cloud_act *acts; /* deletions and pauses under way */
	int act_count;
	bool want_due;
	int64_t due_at;          /* wall: the next row of the ledger */
	int64_t sweep_due_us;    /* monotonic */
	int64_t ledger_retry_us; /* after a failure of the database */
	struct cloud_release *releases;

	int64_t wake_us; /* monotonic: when the step has something to do */
};

int64_t cloud__mono(const cloud *self);
int64_t cloud__now(const cloud *self);
/* The step must look again at that time at the latest. */
void cloud__wake_at(cloud *self, int64_t mono_us);
void cloud__add_unit(cloud *self, aut_unit *unit);

#endif
