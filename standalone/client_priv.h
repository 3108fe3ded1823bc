/* SPDX-License-Identifier: MIT */
/*
 * standalone/client_priv.h - what the files of the command-line client share.
 *
 * client.c          the commands, their option tables and help, the one place that prints errors
 * client_args.c     arguments, driven by the option tables
 * client_http.c     finding the daemon, one request, one stream, the server's errors made readable
 * client_text.c     durations, times, escaping of hostile text
 * client_table.c    tables
 * client_pack.c     scripts and folders into tarballs
 * client_prompt.c   prompts in place of programs
 * client_create.c   create; a program packed and uploaded
 * client_edit.c     edit
 * client_automations.c  names to ids; list, show, pause, resume, rm
 * client_runs.c     run ids; run, runs, logs, cancel
 * client_env.c      variables for runs
 * client_webhook.c  sources of events
 * client_events.c   events; triggers made of them
 * client_words.c    names and run ids for completions
 * client_follow.c   server-sent events, following a run
 * cmd_doctor.c, cmd_backup.c   doctor and backup, which work without a daemon
 *
 * Functions return a status and fill an aut_error; client.c prints it once and picks the exit status.
 */
#ifndef AUT_CLIENT_PRIV_H
#define AUT_CLIENT_PRIV_H

#include <signal.h>
#include <stdio.h>

#include "automation/base.h"
#include "standalone/client.h"

/* ---- arguments ------------------------------------------------------------------------------ */

/* Everything any command takes; a command's option table says which of it applies. */
typedef struct client_args
{
	/* all commands */
	const char *data, *url, *api_key, *color;
	bool json, utc, help;
	/* create */
	const char *script, *dir, *tarball, *entrypoint, *schedule, *tz, *description, *model;
	const char *prompt, *repo, *plugin, *env, *wait_at_limit;
	int64_t timeout;
	bool disabled;
	/* edit; the others it shares with create */
	const char *new_name;
	bool manual;
	/* webhook */
	const char *key, *header, *scheme, *id_header, *secret_file;
	bool on, off;
	/* events, test-filter; create and edit with --event */
	const char *event, *patterns, *filter, *source, *state;
	/* backup */
	const char *db;
	/* run, logs */
	bool follow, raw;
	const char *input;
	int64_t delay;
	/* runs */
	int64_t count;
	/* what stands without a dash */
	const char *operand, *second;
} client_args;

typedef enum client_kind
{
	CLIENT_FLAG, /* bool */
	CLIENT_TEXT, /* const char * */
	CLIENT_INT   /* int64_t within [min, max] */
} client_kind;

typedef struct client_option
{
	const char *name;  /* without dashes; NULL ends a table */
	char letter;       /* or 0 */
	const char *value; /* name of the value, NULL for a flag */
	client_kind kind;
	size_t offset; /* in client_args */
	int64_t min, max;
	const char *help;
} client_option;

typedef struct client client;

typedef struct client_spec
{
	const aut_command *command;
	const client_option *options;
	const char *operand; /* name of the one operand, NULL: none */
	bool operand_required;
	bool local; /* looks for the daemon itself, if it needs one at all */
	aut_status (*run)(client *c, aut_error *err);
	const char *second; /* name of a second operand, never required */
} client_spec;

void client_args_init(client_args *args);
/* EINVAL: the command line is wrong; the message says where and what would be right.  Texts in args
 * point into argv.  --help stops the parse: nothing else is checked then. */
aut_status client_args_parse(const client_spec *spec, int argc, char **argv, client_args *args,
							 aut_error *err);
/* NULL when no such command. */
const client_spec *client_spec_find(const char *name);

/* ---- one invocation -------------------------------------------------------------------------- */

struct client
{
	const client_args *args;
	const aut_clock *clock;
	int exit_code;  /* chosen by whoever knows; 0: success, or 1 when a status says failure */
	char *data;     /* the state folder, or NULL when --url made it unneeded */
	char *base;     /* "http://127.0.0.1:8000/api/automation" */
	char *key;      /* "" when none was found */
	bool from_file; /* base came from the state folder, so it may change when a daemon restarts */
	void *curl;     /* CURL *, one handle for all requests */
	aut_buf story;  /* the whole text of the server's last refusal, several lines */
	bool out_terminal, err_terminal, out_colour, err_colour;
	int width; /* of the terminal on stdout; 0: not a terminal */
};

/* Set by SIGINT and SIGTERM while a run is followed. */
extern volatile sig_atomic_t client_interrupted;

/* ---- client_http.c --------------------------------------------------------------------------- */

#define CLIENT_REPLY_MAX (16 * 1024 * 1024)

/* The state folder that is meant, into c->data. */
aut_status client_find_data(client *c, aut_error *err);
/* Where is the daemon, and with which key?  Fills data, base, key. */
aut_status client_connect(client *c, aut_error *err);
void client_disconnect(client *c);

/* One request.  2xx: *out_json is the parsed reply (null for an empty one), the caller's.  Else the
 * status of the answer's kind, a one-line message and the whole story in c->story. */
aut_status client_request(client *c, const char *method, const char *path, const char *content_type,
						  const void *body, size_t len, json_t **out_json, aut_error *err);
aut_status client_get(client *c, const char *path, json_t **out_json, aut_error *err);
/* body NULL: an empty object. */
aut_status client_send(client *c, const char *method, const char *path, const json_t *body,
					   json_t **out_json, aut_error *err);
/* A long answer, handed on as it comes.  sink returns false to stop (AUT_ECANCELED then). */
typedef bool (*client_sink)(void *payload, const char *data, size_t len);
aut_status client_stream(client *c, const char *path, client_sink sink, void *payload,
						 aut_error *err);

/* The readable form of an error body, control characters escaped; one problem a line. */
aut_status client_problem_text(const char *body, size_t len, aut_buf *out);

/* ---- client_text.c ---------------------------------------------------------------------------- */

#define CLIENT_TEXT_MAX 64

/* "350 ms", "1.2 s", "42 s", "2 min 5 s", "3 h 4 min", "2 d 3 h" */
const char *client_duration(int64_t us, char out[CLIENT_TEXT_MAX]);
/* "in 12 s", "3 min ago", "now" */
const char *client_relative(int64_t time_us, int64_t now_us, char out[CLIENT_TEXT_MAX]);
/* "2026-07-01 14:34:56 +0200", or with Z when utc */
const char *client_absolute(int64_t time_us, bool utc, char out[CLIENT_TEXT_MAX]);
/* A time as a table shows it: relative on a terminal, absolute otherwise and with --utc; "-": none. */
const char *client_when(const client *c, int64_t time_us, char out[CLIENT_TEXT_MAX]);
/* Member of an API object: a time, or AUT_TIME_NONE. */
int64_t client_json_time(const json_t *object, const char *key);
/* Member that is a text, else fallback. */
const char *client_json_text(const json_t *object, const char *key, const char *fallback);

/*
 * Text from a run or from the server may carry terminal commands.  The filter lets through printable
 * characters, newline, tab and colours (SGR sequences); everything else is shown escaped.  One filter
 * per stream: a sequence may be cut between two pieces.
 */
typedef struct client_filter
{
	char pending[40]; /* the beginning of what may become an SGR sequence */
	size_t pending_len;
	bool coloured; /* some SGR sequence went through: end with a reset */
} client_filter;

aut_status client_filter_put(client_filter *filter, const char *text, size_t len, aut_buf *out);
aut_status client_filter_end(client_filter *filter, aut_buf *out);
/* For one line or cell: nothing but printable characters goes through, not even a newline. */
aut_status client_escape(const char *text, size_t len, aut_buf *out);

/* Print a JSON value the way --json does. */
aut_status client_print_json(const client *c, const json_t *value, aut_error *err);
/* Write bytes to stdout; EIO when that fails. */
aut_status client_write(const void *data, size_t len, aut_error *err);

/* ---- client_table.c --------------------------------------------------------------------------- */

typedef enum client_colour
{
	CLIENT_PLAIN,
	CLIENT_BOLD,
	CLIENT_DIM,
	CLIENT_RED,
	CLIENT_GREEN,
	CLIENT_YELLOW,
	CLIENT_CYAN
} client_colour;

const char *client_colour_on(client_colour colour); /* SGR sequence, "" for plain */
client_colour client_status_colour(const char *run_status);

typedef struct client_column
{
	const char *title;
	bool right;   /* aligned to the right */
	bool shrinks; /* cut first when the terminal is too narrow; at most one column */
} client_column;

typedef struct client_cell
{
	char *text;
	client_colour colour;
} client_cell;

#define CLIENT_COLUMNS_MAX 12
#define CLIENT_ROWS_MAX    10000

/* Rows of cells, added in reading order. */
typedef struct client_table
{
	const client_column *columns;
	size_t column_count;
	client_cell *cells;
	size_t cell_count, cell_cap;
	aut_status status; /* sticks, like aut_buf's */
} client_table;

void client_table_init(client_table *table, const client_column *columns, size_t count);
void client_table_done(client_table *table);
/* text is escaped; NULL or "" shows "-". */
void client_table_add(client_table *table, client_colour colour, const char *text);
/* width 0: as wide as it gets. */
aut_status client_table_render(const client_table *table, int width, bool colour, aut_buf *out);
aut_status client_table_print(const client *c, const client_table *table, aut_error *err);
/* Terminal columns of a UTF-8 text. */
size_t client_text_width(const char *text, size_t len);

/* ---- client_pack.c ---------------------------------------------------------------------------- */

#define CLIENT_PACK_MAX          1048576  /* bytes of a packed tarball: the server's limit */
#define CLIENT_PACK_ENTRIES_MAX  10000    /* files and folders in one */
#define CLIENT_PACK_UNPACKED_MAX 67108864 /* bytes of content before packing */

/* A script as a tarball with that one file.  path "-": standard input.  *out_name is the file's name
 * in it, *out_entry the command that starts it (by its #! line, else by its ending). */
aut_status client_pack_script(const char *path, aut_buf *out, char **out_entry, aut_error *err);
/* A folder; *out_entry is NULL when no main.py, main.sh or run.sh tells how to start it. */
aut_status client_pack_dir(const char *path, aut_buf *out, char **out_entry, aut_error *err);
/* A tarball made elsewhere: checked to be gzip data within the limit. */
aut_status client_pack_tarball(const char *path, aut_buf *out, aut_error *err);
/* A whole file, bounded. path "-": standard input. */
aut_status client_read_file(const char *path, size_t max, aut_buf *out, aut_error *err);

/* ---- names and ids ---------------------------------------------------------------------------- */

/* The automation that bears this id or name. */
aut_status client_find_automation(client *c, const char *name_or_id, json_t **out, aut_error *err);
/* A run by id or by a unique prefix of at least 8 digits among the newest; ENOTFOUND when the text does
 * not look like one or none matches. */
aut_status client_find_run(client *c, const char *id, json_t **out, aut_error *err);
/* An API path with one encoded segment: client_path("/v1/", id, "/runs"); aut_free. */
char *client_path(const char *before, const char *segment, const char *after);

/* ---- client_create.c --------------------------------------------------------------------------- */

/* AUT_EINVAL with the exit status of a wrong command line. */
aut_status client_usage(client *c, aut_error *err, const char *message);
/* How many of --script, --dir and --tarball are given; more than one is refused. */
aut_status client_program_check(client *c, int *out_count, aut_error *err);
/* The packed program and the command that starts it; NULL when neither it nor --entrypoint tells. */
aut_status client_program_pack(client *c, aut_buf *out, char **out_entry, aut_error *err);
/* Store it under a name for people; *out is the API's upload, with tarball_path. */
aut_status client_program_upload(client *c, const char *name, const aut_buf *packed, json_t **out,
								 aut_error *err);
/* It is of no use: its automation was refused.  Keeps c->story. */
void client_program_drop(client *c, const json_t *uploaded);

/* ---- client_prompt.c --------------------------------------------------------------------------- */

/* A prompt goes without a program, plugins only with a prompt. */
aut_status client_prompt_check(client *c, aut_error *err);
/* What --prompt, --repo and --plugin say, as members of a request. */
aut_status client_prompt_members(client *c, json_t *body, aut_error *err);

/* ---- following -------------------------------------------------------------------------------- */

#define CLIENT_SSE_MAX (8 * 1024 * 1024)

/* Server-sent events out of a byte stream, cut anywhere. */
typedef struct client_sse
{
	aut_buf line, data;
	char event[32];
	bool skip_newline; /* the line ended in CR: an LF right after belongs to it */
	/* false stops the feed (AUT_ECANCELED) */
	bool (*event_cb)(void *payload, const char *event, const char *data, size_t len);
	void *payload;
} client_sse;

void client_sse_init(client_sse *sse,
					 bool (*event_cb)(void *payload, const char *event, const char *data,
									  size_t len),
					 void *payload);
void client_sse_done(client_sse *sse);
aut_status client_sse_feed(client_sse *sse, const char *data, size_t len);

/* Print a run's output until it has ended, phases on stderr; ends with the line that says how.  Sets
 * c->exit_code by the run's end. */
aut_status client_follow(client *c, const char *run_id, aut_error *err);
/* "run 0198… COMPLETED in 1.2 s" on stderr; sets c->exit_code to 4 unless COMPLETED. */
aut_status client_report_end(client *c, const json_t *run, aut_error *err);

/* ---- the commands ------------------------------------------------------------------------------ */

aut_status client_cmd_create(client *c, aut_error *err);
aut_status client_cmd_edit(client *c, aut_error *err);
aut_status client_cmd_list(client *c, aut_error *err);
aut_status client_cmd_show(client *c, aut_error *err);
aut_status client_cmd_pause(client *c, aut_error *err);
aut_status client_cmd_resume(client *c, aut_error *err);
aut_status client_cmd_rm(client *c, aut_error *err);
aut_status client_cmd_webhook(client *c, aut_error *err);
aut_status client_cmd_events(client *c, aut_error *err);
aut_status client_cmd_replay(client *c, aut_error *err);
aut_status client_cmd_test_filter(client *c, aut_error *err);
/* --event, --on, --filter (client_events.c): is any of them given; do they fit to the others; the trigger
 * they make of what is now (NULL: nothing they could change), NULL when an argument is no UTF-8. */
bool client_event_given(const client_args *a);
aut_status client_event_check(client *c, aut_error *err);
json_t *client_event_trigger(const client_args *a, const json_t *now);
/* --env into body, if it was given (client_env.c). */
aut_status client_env_member(const client *c, json_t *body, aut_error *err);
/* --wait-at-limit (client_create.c): is it yes or no; into body, if it was given. */
aut_status client_wait_check(client *c, aut_error *err);
bool client_wait_member(const client_args *a, json_t *body);
aut_status client_cmd_run(client *c, aut_error *err);
aut_status client_cmd_runs(client *c, aut_error *err);
aut_status client_cmd_logs(client *c, aut_error *err);
aut_status client_cmd_cancel(client *c, aut_error *err);
aut_status client_cmd_doctor(client *c, aut_error *err);
aut_status client_cmd_backup(client *c, aut_error *err);

#endif
