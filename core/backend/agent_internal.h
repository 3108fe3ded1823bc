/* SPDX-License-Identifier: MIT */
/*
 * core/backend/agent_internal.h - what agent.c (calls that do something), agent_look.c (calls that ask)
 * and agent_sweep.c (old work folders) share.  Private to this room.
 */
#ifndef AUT_AGENT_INTERNAL_H
#define AUT_AGENT_INTERNAL_H

#include "automation/backend.h"

/* agent_server.c: the header in which the key is sent. */
aut_status aut__agent_server_key_header(aut_backend *backend, const char *name, aut_error *err);

struct aut_agent
{
	aut_loop *loop;
	aut_http_client *http;
	char *url;
	char *key_header; /* "X-Session-API-Key: …" or NULL */
	const char *headers[3];
	aut_attempt_paths paths;

	/* the step under way */
	aut_agent_cb cb;
	void *payload;
	aut_http_call *call;
	aut_timer *timer; /* paces polls of a synchronous command */
	bool keep_work;

	/* a command of ours that is waited for (fetch) */
	char command_id[80];
	int64_t command_deadline_ms; /* of polls left, counted in waits */
	int poll_wait_ms;

	/* look */
	char *look_command_id;
	bool with_event;
	bool event_ended;       /* the event said so; the exit file is asked once more */
	bool no_downloads;      /* this server has no download route */
	bool sparing;           /* looks ask for events only */
	aut_agent_answer event; /* its code, while the exit file is asked again */
	json_t *event_json;     /* owns the texts of event */

	/* output */
	int64_t from;    /* asked for */
	int64_t segment; /* offset at which the segment being read begins; -1: ask `cur` */
	int64_t probing; /* the next segment that may exist; -1: none asked */
	bool asked_cur;
};

/* Prepare to answer `cb` for a new step; only one step may be under way. */
aut_status aut__agent_begin(aut_agent *agent, aut_agent_cb cb, void *payload, aut_error *err);
/* End the step.  The callback may start the next one or free the agent: nothing of the agent may be
 * touched afterwards. */
void aut__agent_answer(aut_agent *agent, const aut_agent_answer *answer);
void aut__agent_answer_error(aut_agent *agent, aut_agent_result result, const aut_error *error,
							 int64_t retry_after_s);
/* A reply that is not what was hoped for: transient (408, 429, 5xx, network), gone (404) or permanent. */
void aut__agent_answer_reply(aut_agent *agent, const char *what, const aut_http_reply *reply);
/* Could not even send: no memory or not a URL. */
void aut__agent_answer_unsent(aut_agent *agent, aut_status status, const aut_error *error);

/* GET or POST on the agent.  path_and_query begins with '/'.  On failure the step is answered. */
void aut__agent_get(aut_agent *agent, const char *path_and_query, int64_t first_byte,
					int64_t last_byte, size_t reply_max, aut_http_cb cb);
/* A command that may take limit_s, to one of the two routes. */
void aut__agent_post_command(aut_agent *agent, const char *path, const char *command,
							 int64_t limit_s, int64_t timeout_ms, aut_http_cb cb);
/* "/api/file/download?path=<state folder>/<name>" */
aut_status aut__agent_download_path(const aut_agent *agent, const char *name, aut_buf *out);
/* The newest BashOutput of a command. */
aut_status aut__agent_search_path(const char *command_id, aut_buf *out);

/* Append shell lines that set $p to the attempt's process group, or to nothing, from $d. */
aut_status aut__agent_find_group(aut_buf *out);

/* items[0] of a search reply when it carries an exit code; false: still running. */
bool aut__agent_event_ended(const aut_http_reply *reply, json_t **out_root, int *out_exit_code,
							const char **out_stdout, const char **out_stderr, bool *out_valid);

/* Files of the state folder and words of our commands, as an agent tells them; false: they are not.
 * exit: "<code> <signal or -> <seconds>", and " +" when all that was printed follows on the next line. */
bool aut__agent_exit_file(const aut_http_reply *reply, aut_agent_answer *out);
/* cur: the last two segments, "<older> <newest>". */
bool aut__agent_segments(const aut_http_reply *reply, int64_t *out_older, int64_t *out_newest);
bool aut__agent_alive_word(const aut_http_reply *reply, bool *out_gone);

#endif
