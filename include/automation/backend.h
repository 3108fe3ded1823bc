/* SPDX-License-Identifier: MIT */
/*
 * include/automation/backend.h - a place with an agent, and the steps of a run on it.
 *
 * A backend answers where a run executes: it acquires a place (a configured agent server; a cloud
 * sandbox), renews it and releases it.  What happens at the place - upload, environment, start, look,
 * stop, clean up - is the same everywhere and stands once, in core/backend/agent*.c.
 *
 * All calls are asynchronous on the loop; callbacks run in a later round, exactly once, unless the
 * operation was cancelled.
 */
#ifndef AUT_BACKEND_H
#define AUT_BACKEND_H

#include "automation/net.h"
#include "automation/settings.h"
#include "automation/store.h"

/* ---- places -------------------------------------------------------------------------------- */

typedef struct aut_place
{
	char *agent_url;  /* without trailing slash */
	char *agent_key;  /* "" when none */
	char *sandbox_id; /* NULL where there is none */
	char *work_base;  /* folder under which the run's work folder is made */
	bool local; /* agent server of ours: AGENT_SERVER_URL and WORKSPACE_BASE are told to the run */
	char *told_url;   /* agent URL told to the run (local) */
	char *key_header; /* header in which the key is sent; NULL: X-Session-API-Key */
	/* of a sandbox, or of an agent server of ours whose runs use the cloud beside it: */
	char *user_key;  /* the user's key of the cloud, told to the run */
	char *cloud_url; /* the cloud's API, told to the run */
	bool passing;    /* it goes with its release: nothing in it needs to be tidied */
} aut_place;
void aut_place_done(aut_place *place);

typedef struct aut_backend aut_backend;

/* Why there is no place, where the backend has tried what can be tried: it is not to be asked again. */
typedef enum aut_place_trouble_kind
{
	AUT_PLACE_ERROR,       /* the error tells */
	AUT_PLACE_NOT_STARTED, /* no sandbox became ready */
	AUT_PLACE_LIMIT_RUNS,  /* the user has as many sandboxes as allowed */
	AUT_PLACE_LIMIT_DAY,   /* … or has had them today */
	AUT_PLACE_LOST,        /* the sandbox in which the run's command was started is gone */
	AUT_PLACE_RETIRED      /* the run has ended meanwhile: there is nothing to do at a place */
} aut_place_trouble_kind;
typedef struct aut_place_trouble
{
	aut_place_trouble_kind kind;
	int attempts;            /* sandboxes tried */
	char sandbox_status[16]; /* "ERROR", "MISSING"; "" when it did not become ready in time */
	char sandbox_detail[80]; /* a class that may be shown, or "" */
} aut_place_trouble;

/* status AUT_OK: *place belongs to the callee (aut_place_done).  Else error says why.  trouble NULL: the
 * same may be asked again, if error's code may be repeated. */
typedef void (*aut_place_cb)(void *payload, aut_status status, aut_place *take_place,
							 const aut_error *error, const aut_place_trouble *trouble);

typedef enum aut_place_state
{
	AUT_PLACE_ALIVE,
	AUT_PLACE_GONE,   /* error tells how that is known */
	AUT_PLACE_UNKNOWN /* could not be found out, error tells why */
} aut_place_state;
typedef void (*aut_place_check_cb)(void *payload, aut_place_state state, const aut_error *error);

typedef struct aut_backend_ops
{
	int version;      /* 1 */
	const char *name; /* "agent-server", "cloud", "none" */
	/* Get a place for a run, or find again the one it had (run->sandbox_id). */
	aut_status (*acquire)(aut_backend *backend, const aut_run_task *task, aut_place_cb cb,
						  void *payload, aut_error *err);
	/* Forget an acquire or check under way: the callback with this payload will not run.  Unknown:
	 * nothing. */
	void (*forget)(aut_backend *backend, void *payload);
	/* The run has ended: give back what it has, also when no place was handed over.  used: its command
	 * may have been started.  Never blocks, never fails visibly. */
	void (*release)(aut_backend *backend, const aut_run_task *task, bool keep, bool used);
	/* May runs be claimed now?  False keeps them PENDING; reason for people ("waiting for a backend"). */
	bool (*ready)(aut_backend *backend, const char **out_reason);
	void (*free)(aut_backend *backend);
	/* The place that is there between runs, too (an agent server), or ENOTFOUND; NULL: there is none. */
	aut_status (*standing)(aut_backend *backend, aut_place *out, aut_error *err);
	/* Is the place of a run that goes on still there?  NULL: only its agent can tell. */
	aut_status (*check)(aut_backend *backend, const aut_run_task *task, const aut_place *place,
						aut_place_check_cb cb, void *payload, aut_error *err);
	/* Is something under way that should be written down before the process ends?  NULL: never. */
	bool (*busy)(aut_backend *backend);
} aut_backend_ops;
struct aut_backend
{
	const aut_backend_ops *ops;
};

/* The configured (or embedded) agent server.  url and key are copied; url "" gives a backend that is
 * never ready. */
aut_status aut_backend_agent_server_new(aut_loop *loop, const char *url, const char *key,
										const char *told_url, const char *work_base,
										aut_backend **out, aut_error *err);
/* The agent server that the settings name, with work_base in place of theirs (which may need the home
 * folder); "" as url where they name none.  With hybrid_cloud its runs are given a key and the URL of the
 * cloud.  Settings are read now. */
aut_status aut_backend_configured_new(aut_loop *loop, aut_http_client *http, const aut_clock *clock,
									  const aut_settings *settings, const char *url,
									  const char *work_base, aut_backend **out, aut_error *err);
void aut_backend_free(aut_backend *backend);

/* ---- text of one attempt --------------------------------------------------------------------- */

/* Paths on the agent, from the run id and the attempt. */
typedef struct aut_attempt_paths
{
	char tarball[128]; /* /tmp/automation-<run>.tar.gz */
	char env[128];     /* /tmp/automation-<run>.tar.gz.env */
	char state[128]; /* /tmp/automation-<run>.<attempt>: fence, process group, output, exit code */
	char work[1200]; /* <base>/automation-runs/<run> (local) or <base> (sandbox of its own) */
} aut_attempt_paths;
aut_status aut_attempt_paths_init(aut_attempt_paths *out, const aut_uuid *run_id, int attempt,
								  const aut_place *place, aut_error *err);

#define AUT_EXIT_FENCE 121 /* this attempt was started before: look at its state folder */
#define AUT_EXIT_SETUP 122 /* the state folder could not be set up */
/* Output of fewer bytes is in the exit file, too. */
#define AUT_EXIT_OUTPUT_MAX 16384

/* The shell command of an attempt: our prologue, then the contract's chain (execution.md section 5). */
aut_status aut_command_text(const aut_attempt_paths *paths, const char *entrypoint, aut_buf *out,
							aut_error *err);
/* One `export NAME='value'` line per pair; names must be identifiers, values without NUL. */
aut_status aut_env_line(aut_buf *out, const char *name, const char *value, aut_error *err);
/* Variables of an automation's own (an object name -> text, NULL: none), to stand before the others. */
aut_status aut_env_own(const json_t *variables, aut_buf *out, aut_error *err);
/* All variables of execution.md section 6 for a run. */
aut_status aut_env_text(const aut_run_task *task, const aut_place *place,
						const aut_attempt_paths *paths, const aut_settings *settings,
						const char *api_url, const char *event_payload, aut_buf *out,
						aut_error *err);

/* ---- agent steps ----------------------------------------------------------------------------- */

/* One conversation with an agent about one attempt; does one step at a time. */
typedef struct aut_agent aut_agent;

typedef enum aut_agent_result
{
	AUT_AGENT_DONE,      /* the step succeeded */
	AUT_AGENT_TRANSIENT, /* may be repeated: 408, 429, 5xx, network */
	AUT_AGENT_PERMANENT, /* will not get better */
	AUT_AGENT_GONE       /* what was asked for does not exist there */
} aut_agent_result;

typedef struct aut_agent_answer
{
	aut_agent_result result;
	aut_error error;        /* when not DONE */
	int64_t retry_after_s;  /* or -1 */
	const char *command_id; /* start */
	/* fetch: there is no tarball, but this address instead; NULL: it is there */
	const char *location;
	/* output: bytes at `offset` of the stream; look: all that it printed, where the end came with it */
	const char *data;
	size_t len;
	int64_t offset;
	bool at_end;        /* … which are all there was at that moment */
	bool ended;         /* look: the command has ended … */
	bool has_exit_code; /* … with a known code */
	int exit_code;
	bool fenced;       /* … and that code says the attempt had been started before */
	bool signalled;    /* its shell was told to end (SIGTERM) while it ran */
	bool from_event;   /* the code is the agent's (no exit file): -1 its time limit, -s a signal */
	bool never_ran;    /* the agent could not start it at all (its code is -1) */
	int64_t elapsed_s; /* seconds the command took, or -1 */
	int64_t age_s;     /* ended: how long ago, by the agent's own clock; 0: just now, or not told */
	bool found;        /* probe: this attempt has been started */
	bool group_gone;   /* alive: no process of the attempt is left, and no exit code either */
	const char *stdout_tail,
		*stderr_tail; /* what the agent's event carries; NULL when not from it */
} aut_agent_answer;
typedef void (*aut_agent_cb)(void *payload, const aut_agent_answer *answer);

aut_status aut_agent_new(aut_loop *loop, aut_http_client *http, const aut_place *place,
						 const aut_uuid *run_id, int attempt, aut_agent **out, aut_error *err);
void aut_agent_free(aut_agent *agent); /* cancels what is under way */
const aut_attempt_paths *aut_agent_paths(const aut_agent *agent);

/* Each starts one step; only one may be under way.  The callback may run inside the call when there is
 * nothing to wait for. */
aut_status aut_agent_upload(aut_agent *agent, const char *path, const void *lent_data, size_t len,
							aut_agent_cb cb, void *payload, aut_error *err);
/* Let the agent download an http(s) tarball to paths->tarball.  It follows no redirect: where one leads is
 * the answer's location, for the caller to judge and to fetch next. */
aut_status aut_agent_fetch(aut_agent *agent, const char *url, int64_t max_bytes, int64_t timeout_s,
						   aut_agent_cb cb, void *payload, aut_error *err);
aut_status aut_agent_start(aut_agent *agent, const char *command, int64_t timeout_s,
						   aut_agent_cb cb, void *payload, aut_error *err);
/* Has this attempt been started (is its state folder there)?  Asked after a crash, before anything is
 * uploaded again under a command that may be reading it. */
aut_status aut_agent_probe(aut_agent *agent, aut_agent_cb cb, void *payload, aut_error *err);
/* Has it ended?  The exit file; and, when with_event is true or downloads are not supported there, the
 * bash event of command_id (may be NULL). */
aut_status aut_agent_look(aut_agent *agent, const char *command_id, bool with_event,
						  aut_agent_cb cb, void *payload, aut_error *err);
/* Sparing: looks ask for the event of the command alone, which downloads nothing, until it has ended. */
void aut_agent_spare(aut_agent *agent, bool sparing);
/* Output from stream offset `from` on (at most 1 MiB at once; len 0: nothing new). */
aut_status aut_agent_output(aut_agent *agent, int64_t from, aut_agent_cb cb, void *payload,
							aut_error *err);
/* Is any process of the attempt left? (by a command on the agent) */
aut_status aut_agent_alive(aut_agent *agent, aut_agent_cb cb, void *payload, aut_error *err);
/* End the whole process group: stop route, and a kill of the recorded group by a command. */
aut_status aut_agent_stop(aut_agent *agent, const char *command_id, aut_agent_cb cb, void *payload,
						  aut_error *err);
/* What is to go of a run's attempt: state folder, tarball, environment, and the work folder unless kept. */
typedef struct aut_cleanup
{
	const aut_attempt_paths *paths;
	bool keep_work;
} aut_cleanup;
/* Remove the files of these runs by one command.  Ends what is left of their process groups first.  Runs of
 * others may be among them: the agent is one of no run then, of the nil id. */
aut_status aut_agent_cleanup(aut_agent *agent, const aut_cleanup *runs, size_t count,
							 aut_agent_cb cb, void *payload, aut_error *err);

/*
 * Work folders that were left at a standing place.  The agent is one of no run: of the nil id.
 *
 * list: the answer's data has, one a line, "./" and names of folders directly under the root of the work
 * folders that look like ids of runs and that nothing has changed since `before`; at most
 * AUT_SWEEP_LIST_MAX, any of them when there are more.  It is text from outside: aut_sweep_name.
 * remove: these folders and what else is left of their runs, each looked at again: not a link, not changed
 * since, no process of the run alive.  The answer's data is the number of those that are gone.
 */
#define AUT_SWEEP_LIST_MAX   150
#define AUT_SWEEP_REMOVE_MAX 50
aut_status aut_agent_list_work(aut_agent *agent, int64_t before, aut_agent_cb cb, void *payload,
							   aut_error *err);
aut_status aut_agent_remove_work(aut_agent *agent, const aut_uuid *ids, size_t count,
								 int64_t before, aut_agent_cb cb, void *payload, aut_error *err);
/* Is it exactly how we write the id of a run? */
bool aut_sweep_name(const char *name, size_t len, aut_uuid *out);

#endif
