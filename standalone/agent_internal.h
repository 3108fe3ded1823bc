/* SPDX-License-Identifier: MIT */
/*
 * standalone/agent_internal.h - the embedded agent's parts and what they share.
 *
 *   agent.c         the command: options, signals, when to end
 *   agent_state.c   the folder: lock, agent.json; aut_agent_ensure
 *   agent_http.c    routes, authentication, error bodies
 *   agent_file.c    upload, download, create_directory
 *   agent_query.c   the routes under /api/bash: checks, search, answers
 *   agent_run.c     commands as processes
 *   agent_events.c  the events in memory: order, index, retention
 *   agent_fault.c   for tests: faults, the log of calls
 *   agent_stub.c    for tests: commands that are not run
 *
 * Names shared between these files begin with agentd_ (aut_agent_ is the engine's side of the wire).
 * Everything runs on one loop in one thread; the process owns nothing but memory, its folder and its
 * children.
 */
#ifndef AUT_AGENT_INTERNAL_H
#define AUT_AGENT_INTERNAL_H

#include <stdio.h>
#include <sys/types.h>

#include "automation/net.h"

#define AGENTD_UPLOAD_MAX   ((size_t) 128 << 20)
#define AGENTD_BODY_MAX     ((size_t) 4 << 20)
#define AGENTD_DOWNLOAD_MAX ((size_t) 256 << 20) /* of one answer; longer files need Range */
#define AGENTD_PIECE_CHARS  1048576              /* of output in one event */
#define AGENTD_KEEP_BYTES   ((size_t) 16 << 20)  /* of output kept per command, the newest */
#define AGENTD_TOTAL_BYTES  ((size_t) 256 << 20) /* of output kept for ended commands */
#define AGENTD_KEEP_ENDED   1000                 /* ended commands kept … */
#define AGENTD_KEEP_ENDED_S 3600                 /* … and for how long */
#define AGENTD_RUNNING_MAX  4096
#define AGENTD_ID_MAX       33 /* 32 hex digits */

typedef struct agentd agentd;
typedef struct agentd_command agentd_command;
typedef struct agentd_event agentd_event;

/* ---- options ------------------------------------------------------------------------------------ */

#define AGENTD_FAULTS_MAX 32

typedef enum agentd_fault_kind
{
	FAULT_STATUS,
	FAULT_DROP,
	FAULT_GARBAGE,
	FAULT_DELAY
} agentd_fault_kind;

typedef struct agentd_fault
{
	char operation[16]; /* "any" or a route's name */
	agentd_fault_kind kind;
	int value;    /* HTTP status, or milliseconds */
	int64_t left; /* times it still applies; INT64_MAX: for ever */
} agentd_fault;

typedef struct agentd_options
{
	const char *host;
	uint16_t port;
	const char *data;      /* state folder; NULL: none is written */
	char *key;             /* "" when none is asked for */
	const char *json_file; /* default DATA/agent.json */
	int64_t linger_s;      /* 0: for ever */
	int ready_fd;          /* a byte is written here when serving; -1: none */
	bool kill_on_exit;
	bool stub;
	bool stub_callback;
	const char *stub_log;
	agentd_fault faults[AGENTD_FAULTS_MAX];
	int fault_count;
} agentd_options;

/* ---- events --------------------------------------------------------------------------------------- */

struct agentd_event
{
	agentd_event *older; /* all events by time */
	agentd_event *newer;
	agentd_event *next_in_bucket;
	agentd_event *next_output; /* of the same command */
	agentd_event *prev_output;
	agentd_command *command;
	char id[AGENTD_ID_MAX];
	int64_t time_us; /* unique */
	bool is_output;  /* else the command itself */
	/* of an output: */
	int64_t order;
	bool has_exit;
	int exit_code;
	char *out; /* NULL: nothing.  UTF-8, may hold NUL */
	size_t out_len;
	char *err;
	size_t err_len;
};

/* One stream of a command: text not yet published. */
typedef struct agentd_stream
{
	struct agentd_pipe *pipe; /* NULL: closed */
	aut_buf text;             /* UTF-8 */
	size_t chars;             /* code points in text */
	char tail[4];             /* bytes of a character that has not come completely */
	size_t tail_len;
} agentd_stream;

/* Somebody who waits for the end of a command's process (stop) or of the command (execute). */
typedef struct agentd_waiter
{
	struct agentd_request *request; /* NULL: gone */
	bool for_output;
	struct agentd_waiter *next;
} agentd_waiter;

struct agentd_command
{
	agentd *agent;
	agentd_command *prev; /* running, or ended in order of ending */
	agentd_command *next;
	agentd_event *event;
	agentd_event *first_output;
	agentd_event *last_output;
	size_t kept_bytes;
	int64_t next_order;

	char *text;
	size_t text_len;
	char *cwd; /* NULL: the agent's own */
	int64_t timeout_s;
	char run_id[AUT_UUID_TEXT_MAX]; /* of an automation run named in the text, or "" */

	struct agentd_process *process; /* NULL: not started, or reaped and closed */
	agentd_stream streams[2];
	aut_timer *timer; /* timeout, then the second until SIGKILL */
	pid_t pid;        /* 0 when the shell was reaped */
	pid_t group;
	bool exited;
	bool timed_out;
	bool stopping;
	bool ended;
	int exit_code;
	int64_t ended_mono_us;
	agentd_waiter *waiters;
};

typedef struct agentd_store
{
	agentd_event **buckets;
	size_t bucket_count;
	size_t event_count;
	agentd_event *oldest;
	agentd_event *newest;
	int64_t last_time_us;
	agentd_command *running_first;
	agentd_command *running_last;
	int running;
	agentd_command *ended_first;
	agentd_command *ended_last;
	int ended;
	size_t ended_bytes;
} agentd_store;

aut_status agentd_store_init(agentd_store *store, aut_error *err);
void agentd_store_done(agentd_store *store);
agentd_event *agentd_event_find(const agentd_store *store, const char *id);
/* A command with its event; text and cwd (may be NULL) are copied. */
agentd_command *agentd_command_new(agentd *agent, const char *text, size_t text_len,
								   const char *cwd, int64_t timeout_s);
/* Append an output event; takes the texts even when it fails (no memory). */
bool agentd_output_add(agentd_command *command, char *take_out, size_t out_len, char *take_err,
					   size_t err_len, const int *exit_code);
/* Let go of ended commands that retention no longer keeps. */
void agentd_store_trim(agentd_store *store);
/* Move a command from running to ended, and trim. */
void agentd_command_retire(agentd_command *command);
/* JSON of an event; NULL: no memory. */
json_t *agentd_event_json(const agentd_event *event);
json_t *agentd_output_joined(const agentd_command *command);
/* "20261123123240076988_BashOutput_<command>_<id>" */
char *agentd_event_page_id(const agentd_event *event);

/* ---- the agent ------------------------------------------------------------------------------------ */

typedef struct agentd_stub agentd_stub;

struct agentd
{
	agentd_options options;
	aut_loop *loop;
	aut_http_server *server;
	aut_http_client *client; /* stub callbacks only */
	agentd_store store;
	agentd_stub *stub;
	FILE *log;          /* stub log */
	char **environment; /* of commands; NULL-terminated */
	aut_timer *linger_timer;
	int64_t started_us;
	int64_t started_mono_us;
	int64_t active_mono_us;  /* last upload, download, start or stop: idle_time */
	int64_t request_mono_us; /* last request that was allowed in */
	bool ending;
};

/* ---- requests --------------------------------------------------------------------------------------- */

typedef struct agentd_request agentd_request;

typedef struct agentd_route
{
	const char *operation; /* for faults and the log */
	const char *method;
	const char *path; /* one "*" stands for one path segment */
	bool open;        /* needs no key */
	void (*handle)(agentd_request *request);
} agentd_route;

/* One exchange with what the agent knows about it; lives in the exchange's arena. */
struct agentd_request
{
	agentd *agent;
	aut_exchange *exchange;
	const agentd_route *route;
	char segment[64]; /* what "*" stood for */
	bool drop;        /* fault: close without an answer */
	bool garbage;     /* fault: answer rubbish */
	aut_timer *delay;
	agentd_waiter *waiter;
};

void agentd_handle(void *payload, aut_exchange *exchange);
size_t agentd_body_limit(void *payload, const char *method, const char *path);

/* Answer.  Every answer goes through one of these; take_json NULL means that memory ran out. */
void agentd_reply_json(agentd_request *request, int code, json_t *take_json);
void agentd_reply_raw(agentd_request *request, int code, const char *type, const void *body,
					  size_t len);
void agentd_reply_detail(agentd_request *request, int code, const char *detail);
/* 500 as the agent server writes it. */
void agentd_reply_failure(agentd_request *request, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* 422 with one entry; take_input NULL prints null; take_ctx may be NULL. */
void agentd_reply_invalid(agentd_request *request, const char *type, const char *place,
						  const char *name, const char *message, json_t *take_input,
						  json_t *take_ctx);

void agentd_route_info(agentd_request *request);
void agentd_route_upload(agentd_request *request);
void agentd_route_download(agentd_request *request);
void agentd_route_mkdir(agentd_request *request);
void agentd_route_start(agentd_request *request);
void agentd_route_execute(agentd_request *request);
void agentd_route_stop(agentd_request *request);
void agentd_route_search(agentd_request *request);
void agentd_route_event(agentd_request *request);

/* The file part of a multipart body: where its bytes are.  0, or the HTTP status with *problem set. */
typedef enum agentd_multipart
{
	MULTIPART_OK,
	MULTIPART_MISSING, /* not multipart, or no part of that name */
	MULTIPART_NO_FILE  /* the part has no filename; its bytes are given */
} agentd_multipart;
agentd_multipart agentd_multipart_find(const char *content_type, const char *body, size_t len,
									   const char *field, const char **out_data, size_t *out_len);

/* ---- commands ------------------------------------------------------------------------------------------ */

/* Start the process.  A command that cannot start ends at once with exit -1 and the reason. */
void agentd_command_start(agentd_command *command);
/* End without a process. */
void agentd_command_finish(agentd_command *command, int exit_code, const char *err_text);
/* Ask it to end: SIGTERM, a second later SIGKILL. */
void agentd_command_stop(agentd_command *command);
/* Add a waiter; false: no memory. */
bool agentd_command_wait(agentd_command *command, agentd_request *request, bool for_output);
/* Let go of a running command at the agent's end; signum 0: it goes on as an orphan. */
void agentd_command_abandon(agentd_command *command, int signum);
char **agentd_environment_new(void);
void agentd_environment_free(char **environment);

/* ---- for tests ------------------------------------------------------------------------------------------- */

/* "upload:500:3" */
aut_status agentd_fault_parse(const char *text, agentd_fault *out, aut_error *err);
/* The fault that applies to this operation now, or NULL; counts it. */
const agentd_fault *agentd_fault_take(agentd *agent, const char *operation);
void agentd_log_call(agentd *agent, const char *method, const char *path, const char *run_id);
/* Find "automation-<uuid>" in a text. */
bool agentd_find_run_id(const char *text, size_t len, char out[AUT_UUID_TEXT_MAX]);

aut_status agentd_stub_new(agentd *agent, agentd_stub **out, aut_error *err);
void agentd_stub_free(agentd_stub *stub);
/* Keep a file in memory; false: no room. */
bool agentd_stub_put(agentd_stub *stub, const char *path, const void *data, size_t len);
const void *agentd_stub_get(const agentd_stub *stub, const char *path, size_t *out_len);
void agentd_stub_start(agentd_stub *stub, agentd_command *command);

/* ---- the folder -------------------------------------------------------------------------------------------- */

/* Take DATA/agent.lock for life.  ECONFLICT: another agent has it; its pid in the message. */
aut_status agentd_lock(const char *data, int *out_fd, aut_error *err);
aut_status agentd_state_write(const agentd *agent, const char *url, aut_error *err);
void agentd_state_remove(const agentd *agent);

#endif
