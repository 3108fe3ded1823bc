/* SPDX-License-Identifier: MIT */
/*
 * core/backend/agent_look.c - the agent steps that ask: has it ended, what did it print, is anything of
 * it left.
 *
 * The exit file is believed first (command.c writes it when all output is on disk); the agent's own
 * event second: it knows of ends that left no file (a whole group killed).  Servers without a download
 * route are asked for events only.
 */
#include <string.h>

#include "core/backend/agent_internal.h"

#define SEGMENT_FULL  1048576 /* a segment of at least this size may be followed by another */
#define READ_MAX      1048576
#define EXIT_FILE_MAX (AUT_EXIT_OUTPUT_MAX + 4096)

/* How an agent server says that it could not start a command; a time limit has the same code -1. */
static const char NEVER_RAN[] = "Error executing command:";

aut_status
aut__agent_download_path(const aut_agent *agent, const char *name, aut_buf *out)
{
	aut_buf_puts(out, "/api/file/download?path=");
	aut_url_encode(out, agent->paths.state, strlen(agent->paths.state), "/");
	aut_buf_putc(out, '/');
	aut_url_encode(out, name, strlen(name), "");
	return out->status;
}

aut_status
aut__agent_search_path(const char *command_id, aut_buf *out)
{
	aut_buf_puts(out, "/api/bash/bash_events/search?kind__eq=BashOutput&sort_order=TIMESTAMP_DESC"
					  "&limit=1&command_id__eq=");
	aut_url_encode(out, command_id, strlen(command_id), "");
	return out->status;
}

/* Send a GET for a file of the state folder. */
static void
get_state_file(aut_agent *agent, const char *name, int64_t first, int64_t last, size_t reply_max,
			   aut_http_cb cb)
{
	aut_buf path;
	aut_buf_init(&path, 4096);
	if (aut__agent_download_path(agent, name, &path) == AUT_OK)
		aut__agent_get(agent, path.data, first, last, reply_max, cb);
	else
		aut__agent_answer_unsent(agent, path.status, &(aut_error){.code = path.status});
	aut_buf_done(&path);
}

/* A 404 of the router (no such route) reads "Not Found"; of the route "File not found". */
static bool
no_such_route(const aut_http_reply *reply)
{
	return reply->code == 405 || reply->code == 501 ||
		   (reply->code == 404 && strstr(reply->body, "\"Not Found\"") != NULL);
}

/* ---- look ---------------------------------------------------------------------------------- */

bool
aut__agent_event_ended(const aut_http_reply *reply, json_t **out_root, int *out_exit_code,
					   const char **out_stdout, const char **out_stderr, bool *out_valid)
{
	json_t *root = NULL;
	*out_valid = false;
	if (reply->status != AUT_OK || reply->code != 200 ||
		aut_json_parse(reply->body, reply->body_len, &root, NULL) != AUT_OK)
		return false;
	*out_root = root;
	json_t *items = json_object_get(root, "items");
	*out_valid = json_is_array(items);
	json_t *item = json_array_get(items, 0);
	json_t *code = json_object_get(item, "exit_code");
	if (!json_is_integer(code))
		return false;
	json_int_t value = json_integer_value(code);
	*out_exit_code = value < -255 || value > 255 ? 255 : (int) value;
	*out_stdout = aut_json_string(item, "stdout");
	*out_stderr = aut_json_string(item, "stderr");
	return true;
}

static void
answer_running(aut_agent *agent)
{
	aut_agent_answer answer = {.result = AUT_AGENT_DONE, .retry_after_s = -1, .elapsed_s = -1};
	aut__agent_answer(agent, &answer);
}

static void
answer_event(aut_agent *agent)
{
	json_t *owner = agent->event_json;
	aut_agent_answer answer = agent->event;
	agent->event_json = NULL;
	agent->event_ended = false;
	if (answer.exit_code == AUT_EXIT_FENCE)
	{
		/* This command found the attempt's folder: an earlier start of the same attempt runs, or ran. */
		answer.ended = false;
		answer.fenced = true;
	}
	aut__agent_answer(agent, &answer);
	json_decref(owner);
}

static void got_exit_file(void *payload, const aut_http_reply *reply);

static void
got_event(void *payload, const aut_http_reply *reply)
{
	aut_agent *agent = payload;
	agent->call = NULL;
	json_t *root = NULL;
	int exit_code = 0;
	const char *out_text = NULL, *err_text = NULL;
	bool valid = false;
	if (!aut__agent_event_ended(reply, &root, &exit_code, &out_text, &err_text, &valid))
	{
		json_decref(root);
		if (valid)
			answer_running(agent);
		else if (reply->status == AUT_OK && reply->code == 200)
		{
			aut_error error = AUT_ERROR_INIT;
			aut_fail(&error, AUT_EPROTO, "look: the agent server's list of events is not one");
			aut__agent_answer_error(agent, AUT_AGENT_TRANSIENT, &error, -1);
		}
		else
			aut__agent_answer_reply(agent, "look", reply);
		return;
	}
	json_decref(agent->event_json);
	agent->event_json = root;
	agent->event =
		(aut_agent_answer){.result = AUT_AGENT_DONE,
						   .retry_after_s = -1,
						   .elapsed_s = -1,
						   .ended = true,
						   .has_exit_code = true,
						   .exit_code = exit_code,
						   .from_event = true,
						   .never_ran = exit_code == -1 && err_text != NULL &&
										strncmp(err_text, NEVER_RAN, sizeof NEVER_RAN - 1) == 0,
						   .stdout_tail = out_text,
						   .stderr_tail = err_text};
	/* The exit file appears before the event: it may have been missed by a hair. */
	if (!agent->no_downloads && !agent->event_ended)
	{
		agent->event_ended = true;
		get_state_file(agent, "exit", -1, -1, EXIT_FILE_MAX, got_exit_file);
	}
	else
		answer_event(agent);
}

static void
ask_event(aut_agent *agent)
{
	aut_buf path;
	aut_buf_init(&path, 1024);
	if (aut__agent_search_path(agent->look_command_id, &path) == AUT_OK)
		aut__agent_get(agent, path.data, -1, -1, 0, got_event);
	else
		aut__agent_answer_unsent(agent, path.status, &(aut_error){.code = path.status});
	aut_buf_done(&path);
}

bool
aut__agent_exit_file(const aut_http_reply *reply, aut_agent_answer *out)
{
	char text[64], signal[8], more[2] = "";
	int code = 0;
	long long elapsed = 0;
	const char *end = memchr(reply->body, '\n', reply->body_len);
	size_t len = end != NULL ? (size_t) (end - reply->body) : reply->body_len;
	if (len >= sizeof text)
		return false;
	memcpy(text, reply->body, len);
	text[len] = '\0';
	int fields = sscanf(text, "%3d %7s %10lld %1s", &code, signal, &elapsed, more);
	if (fields < 3 || code < 0 || code > 255 || elapsed < 0)
		return false;
	*out = (aut_agent_answer){.result = AUT_AGENT_DONE,
							  .retry_after_s = -1,
							  .ended = true,
							  .has_exit_code = true,
							  .exit_code = code,
							  .signalled = strcmp(signal, "-") != 0,
							  .elapsed_s = elapsed,
							  .age_s = reply->age_s};
	if (end != NULL && more[0] == '+' && reply->body_len - len <= AUT_EXIT_OUTPUT_MAX)
	{
		/* Less than fits: so it is all that was printed. */
		out->data = end + 1;
		out->len = reply->body_len - len - 1;
		out->at_end = true;
	}
	return true;
}

static void
got_exit_file(void *payload, const aut_http_reply *reply)
{
	aut_agent *agent = payload;
	agent->call = NULL;
	aut_agent_answer answer;
	if (reply->status == AUT_OK && reply->code == 200 && aut__agent_exit_file(reply, &answer))
	{
		json_decref(agent->event_json);
		agent->event_json = NULL;
		agent->event_ended = false;
		aut__agent_answer(agent, &answer);
		return;
	}
	if (agent->event_ended)
	{
		answer_event(agent);
		return;
	}
	if (reply->status != AUT_OK || reply->code == 401 || reply->code == 403 || reply->code == 429 ||
		reply->code >= 500)
	{
		aut__agent_answer_reply(agent, "look", reply);
		return;
	}
	if (no_such_route(reply))
		agent->no_downloads = true;
	if ((agent->with_event || agent->no_downloads) && agent->look_command_id != NULL)
		ask_event(agent);
	else
		answer_running(agent);
}

aut_status
aut_agent_look(aut_agent *agent, const char *command_id, bool with_event, aut_agent_cb cb,
			   void *payload, aut_error *err)
{
	aut_status status = aut__agent_begin(agent, cb, payload, err);
	if (status != AUT_OK)
		return status;
	aut_free(agent->look_command_id);
	agent->look_command_id = aut_strdup(command_id);
	if (command_id != NULL && agent->look_command_id == NULL)
	{
		agent->cb = NULL;
		return aut_fail(err, AUT_ENOMEM, "no memory for a look at a run");
	}
	agent->with_event = with_event;
	agent->event_ended = false;
	if ((agent->no_downloads || agent->sparing) && command_id != NULL)
		ask_event(agent);
	else
		get_state_file(agent, "exit", -1, -1, EXIT_FILE_MAX, got_exit_file);
	return AUT_OK;
}

void
aut_agent_spare(aut_agent *agent, bool sparing)
{
	agent->sparing = sparing;
}

/* ---- probe --------------------------------------------------------------------------------- */

static void
got_probe(void *payload, const aut_http_reply *reply)
{
	aut_agent *agent = payload;
	agent->call = NULL;
	if (reply->status != AUT_OK || (reply->code != 200 && reply->code != 404 && reply->code != 405))
	{
		aut__agent_answer_reply(agent, "look", reply);
		return;
	}
	if (no_such_route(reply))
		agent->no_downloads = true;
	aut_agent_answer answer = {.result = AUT_AGENT_DONE,
							   .retry_after_s = -1,
							   .elapsed_s = -1,
							   .found = reply->code == 200};
	aut__agent_answer(agent, &answer);
}

aut_status
aut_agent_probe(aut_agent *agent, aut_agent_cb cb, void *payload, aut_error *err)
{
	aut_status status = aut__agent_begin(agent, cb, payload, err);
	if (status == AUT_OK)
		get_state_file(agent, "pgid", -1, -1, 4096, got_probe);
	return status;
}

/* ---- output -------------------------------------------------------------------------------- */

static void got_output(void *payload, const aut_http_reply *reply);

static void
answer_output(aut_agent *agent, const char *data, size_t len)
{
	aut_agent_answer answer = {.result = AUT_AGENT_DONE,
							   .retry_after_s = -1,
							   .elapsed_s = -1,
							   .data = data,
							   .len = len,
							   .offset = agent->from};
	agent->from += (int64_t) len;
	/* Less than asked for, of a segment that has no successor yet. */
	answer.at_end = len < READ_MAX && agent->from - agent->segment < SEGMENT_FULL;
	aut__agent_answer(agent, &answer);
}

bool
aut__agent_segments(const aut_http_reply *reply, int64_t *out_older, int64_t *out_newest)
{
	char text[64];
	long long older = 0, newest = 0;
	if (reply->code != 200 || reply->body_len >= sizeof text)
		return false;
	memcpy(text, reply->body, reply->body_len);
	text[reply->body_len] = '\0';
	if (sscanf(text, "%18lld %18lld", &older, &newest) != 2 || older < 0 || newest < older)
		return false;
	*out_older = older;
	*out_newest = newest;
	return true;
}

/* Decide where reading goes on. */
static void
got_cur(void *payload, const aut_http_reply *reply)
{
	aut_agent *agent = payload;
	agent->call = NULL;
	int64_t older = 0, newest = 0;
	if (reply->status != AUT_OK || reply->code == 429 || reply->code >= 500)
	{
		aut__agent_answer_reply(agent, "output", reply);
		return;
	}
	(void) aut__agent_segments(reply, &older,
							   &newest); /* else the first one, as if there were no other */
	agent->segment = agent->from >= newest ? newest : older;
	if (agent->from < agent->segment)
		agent->from = agent->segment; /* what came before was dropped: a gap */
	char name[40];
	snprintf(name, sizeof name, "out.%lld", (long long) agent->segment);
	get_state_file(agent, name, agent->from - agent->segment,
				   agent->from - agent->segment + READ_MAX - 1, READ_MAX * 4, got_output);
}

static void
ask_cur(aut_agent *agent)
{
	agent->asked_cur = true;
	get_state_file(agent, "cur", -1, -1, 4096, got_cur);
}

static void
ask_segment(aut_agent *agent, int64_t segment)
{
	char name[40];
	snprintf(name, sizeof name, "out.%lld", (long long) segment);
	get_state_file(agent, name, agent->from - segment, agent->from - segment + READ_MAX - 1,
				   READ_MAX * 4, got_output);
}

/* Nothing (more) in the segment asked for. */
static void
segment_exhausted(aut_agent *agent)
{
	if (agent->probing < 0 && agent->from - agent->segment >= SEGMENT_FULL)
	{
		/* It is full, so a next one, named by where it begins, may exist already. */
		agent->probing = agent->from;
		ask_segment(agent, agent->probing);
		return;
	}
	agent->probing = -1;
	answer_output(agent, "", 0);
}

static void
got_output(void *payload, const aut_http_reply *reply)
{
	aut_agent *agent = payload;
	agent->call = NULL;
	bool probing = agent->probing >= 0;
	if (reply->status != AUT_OK || reply->code == 429 || reply->code >= 500)
	{
		agent->probing = -1;
		aut__agent_answer_reply(agent, "output", reply);
		return;
	}
	if (reply->code == 200 || reply->code == 206 || reply->code == 416)
	{
		if (probing)
			agent->segment = agent->probing;
		/* A server without ranges sends the whole segment. */
		size_t skip = reply->code == 200 ? (size_t) (agent->from - agent->segment) : 0;
		if (reply->code == 416 || reply->body_len <= skip)
			segment_exhausted(agent);
		else
		{
			agent->probing = -1;
			answer_output(agent, reply->body + skip, reply->body_len - skip);
		}
		return;
	}
	if (reply->code != 404)
	{
		agent->probing = -1;
		aut__agent_answer_reply(agent, "output", reply);
		return;
	}
	if (no_such_route(reply))
		agent->no_downloads = true;
	/* No next segment yet; or this one was dropped while we were away; or nothing was printed yet. */
	if (probing || agent->no_downloads || agent->asked_cur)
	{
		agent->probing = -1;
		answer_output(agent, "", 0);
	}
	else
		ask_cur(agent);
}

aut_status
aut_agent_output(aut_agent *agent, int64_t from, aut_agent_cb cb, void *payload, aut_error *err)
{
	aut_status status = aut__agent_begin(agent, cb, payload, err);
	if (status != AUT_OK)
		return status;
	/* A reader that begins in the middle does not know where its segment began. */
	bool known = agent->segment >= 0 && from >= agent->segment &&
				 (agent->from == from || from == agent->segment);
	agent->from = from;
	agent->probing = -1;
	agent->asked_cur = false;
	if (agent->no_downloads)
		answer_output(agent, "", 0);
	else if (known)
		ask_segment(agent, agent->segment);
	else
		ask_cur(agent);
	return AUT_OK;
}

/* ---- alive --------------------------------------------------------------------------------- */

bool
aut__agent_alive_word(const aut_http_reply *reply, bool *out_gone)
{
	json_t *root = NULL;
	const char *text = NULL;
	if (aut_json_parse(reply->body, reply->body_len, &root, NULL) == AUT_OK)
		text = aut_json_string(root, "stdout");
	bool gone = text != NULL && strncmp(text, "gone", 4) == 0;
	bool alive = text != NULL && strncmp(text, "alive", 5) == 0;
	json_decref(root);
	*out_gone = gone;
	return gone || alive;
}

static void
got_alive(void *payload, const aut_http_reply *reply)
{
	aut_agent *agent = payload;
	agent->call = NULL;
	if (reply->status != AUT_OK || reply->code != 200)
	{
		aut__agent_answer_reply(agent, "verification", reply);
		return;
	}
	aut_agent_answer answer = {.result = AUT_AGENT_DONE, .retry_after_s = -1, .elapsed_s = -1};
	if (aut__agent_alive_word(reply, &answer.group_gone))
		aut__agent_answer(agent, &answer);
	else
	{
		aut_error error = AUT_ERROR_INIT;
		aut_fail(&error, AUT_EPROTO,
				 "verification: the agent server could not tell whether the run goes on");
		aut__agent_answer_error(agent, AUT_AGENT_PERMANENT, &error, -1);
	}
}

aut_status
aut_agent_alive(aut_agent *agent, aut_agent_cb cb, void *payload, aut_error *err)
{
	aut_status status = aut__agent_begin(agent, cb, payload, err);
	if (status != AUT_OK)
		return status;
	aut_buf script;
	aut_buf_init(&script, 16384);
	aut_buf_puts(&script, "d=");
	aut_shell_quote(&script, agent->paths.state, strlen(agent->paths.state));
	aut_buf_puts(&script, "\n");
	aut__agent_find_group(&script);
	aut_buf_puts(&script, "a=gone\n"
						  /* A dead process that nobody has buried still answers to signal 0. */
						  "if [ -n \"$p\" ] && kill -s 0 -- \"-$p\" 2>/dev/null; then\n"
						  "  for f in /proc/[0-9]*/stat; do\n"
						  "    read -r x <\"$f\" || continue; set -- ${x##*) }\n"
						  "    [ \"$3\" != \"$p\" ] || [ \"$1\" = Z ] || { a=alive; break; }\n"
						  "  done 2>/dev/null\n"
						  "fi\necho $a\n");
	if (script.status == AUT_OK)
		aut__agent_post_command(agent, "/api/bash/execute_bash_command", script.data, 20, 30000,
								got_alive);
	else
		aut__agent_answer_unsent(agent, script.status, &(aut_error){.code = script.status});
	aut_buf_done(&script);
	return AUT_OK;
}
