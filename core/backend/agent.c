/* SPDX-License-Identifier: MIT */
/*
 * core/backend/agent.c - the agent steps that do something: upload, fetch, start, stop, clean up.
 *
 * Every step is one or a few HTTP calls to an agent server (contract/agent-server.md); its callback
 * runs exactly once, later.  Replies are outside text: bounded, parsed, never trusted.  Nothing here
 * decides what a failure means for the run: it tells transient from permanent and passes the story on.
 */
#include <string.h>
#include <strings.h>

#include "core/backend/agent_internal.h"

#define REPLY_MAX       (4 * 1048576) /* an event carries up to 1 Mi characters of each stream */
#define CALL_TIMEOUT_MS 60000
#define COMMAND_GRACE_S 30
#define LOCATION_MAX    8192        /* of a redirect */
#define SCRIPT_MAX      (96 * 1024) /* the kernel takes 128 KiB as the text of a command */

/* ---- life ---------------------------------------------------------------------------------- */

static void poll_command(void *payload);

/* The key as the agent server wants it.  A proxy before it may want it elsewhere: a bearer token has its own
 * form. */
static char *
key_line(const aut_place *place)
{
	const char *name = place->key_header != NULL ? place->key_header : "X-Session-API-Key";
	bool bearer = strcasecmp(name, "Authorization") == 0;
	return aut_printf("%s: %s%s", name, bearer ? "Bearer " : "", place->agent_key);
}

aut_status
aut_agent_new(aut_loop *loop, aut_http_client *http, const aut_place *place, const aut_uuid *run_id,
			  int attempt, aut_agent **out, aut_error *err)
{
	aut_agent *agent = aut_calloc(1, sizeof *agent);
	if (agent == NULL)
		return aut_fail(err, AUT_ENOMEM, "no memory for a run's agent");
	agent->loop = loop;
	agent->http = http;
	agent->segment = 0;
	agent->probing = -1;
	aut_status status = aut_attempt_paths_init(&agent->paths, run_id, attempt, place, err);
	if (status == AUT_OK)
		status = aut_timer_new(loop, poll_command, agent, &agent->timer, err);
	if (status == AUT_OK)
	{
		agent->url = aut_strdup(place->agent_url);
		if (place->agent_key[0] != '\0')
			agent->key_header = key_line(place);
		if (agent->url == NULL || (place->agent_key[0] != '\0' && agent->key_header == NULL))
			status = aut_fail(err, AUT_ENOMEM, "no memory for a run's agent");
	}
	if (status != AUT_OK)
	{
		aut_agent_free(agent);
		return status;
	}
	agent->headers[0] = agent->key_header;
	*out = agent;
	return AUT_OK;
}

void
aut_agent_free(aut_agent *agent)
{
	if (agent == NULL)
		return;
	if (agent->call != NULL)
		aut_http_cancel(agent->call);
	aut_timer_free(agent->timer);
	json_decref(agent->event_json);
	aut_free(agent->look_command_id);
	aut_free(agent->url);
	aut_free(agent->key_header);
	aut_free(agent);
}

const aut_attempt_paths *
aut_agent_paths(const aut_agent *agent)
{
	return &agent->paths;
}

/* ---- answering ----------------------------------------------------------------------------- */

aut_status
aut__agent_begin(aut_agent *agent, aut_agent_cb cb, void *payload, aut_error *err)
{
	(void) err; /* used by the check in release builds only */
	AUT_CHECK(agent->cb == NULL);
	agent->cb = cb;
	agent->payload = payload;
	return AUT_OK;
}

void
aut__agent_answer(aut_agent *agent, const aut_agent_answer *answer)
{
	aut_agent_cb cb = agent->cb;
	agent->cb = NULL;
	cb(agent->payload, answer);
}

void
aut__agent_answer_error(aut_agent *agent, aut_agent_result result, const aut_error *error,
						int64_t retry_after_s)
{
	aut_agent_answer answer = {
		.result = result, .error = *error, .retry_after_s = retry_after_s, .elapsed_s = -1};
	aut__agent_answer(agent, &answer);
}

/* What a reply says of itself: `detail` as text, or the first entry of a list, or `exception`. */
static const char *
reply_detail(json_t *root)
{
	const char *text = aut_json_string(root, "exception");
	json_t *detail = json_object_get(root, "detail");
	if (text == NULL && json_is_string(detail))
		text = json_string_value(detail);
	if (text == NULL && json_is_array(detail))
		text = aut_json_string(json_array_get(detail, 0), "msg");
	return text;
}

void
aut__agent_answer_reply(aut_agent *agent, const char *what, const aut_http_reply *reply)
{
	aut_error error = reply->error;
	if (reply->status != AUT_OK)
	{
		aut_error_context(&error, "%s", what);
		bool transient = aut_status_may_retry(reply->status);
		aut__agent_answer_error(agent, transient ? AUT_AGENT_TRANSIENT : AUT_AGENT_PERMANENT,
								&error, -1);
		return;
	}
	json_t *root = NULL;
	if (aut_json_parse(reply->body, reply->body_len, &root, NULL) != AUT_OK)
		root = NULL;
	const char *detail = root != NULL ? reply_detail(root) : NULL;
	bool transient = reply->code == 408 || reply->code == 429 || reply->code >= 500;
	aut_fail(&error, transient ? AUT_EUNAVAILABLE : AUT_EPROTO,
			 "%s: the agent server answered %d%s%.200s", what, reply->code,
			 detail != NULL ? ": " : "", detail != NULL ? detail : "");
	error.http_status = reply->code;
	json_decref(root);
	aut__agent_answer_error(agent,
							transient            ? AUT_AGENT_TRANSIENT
							: reply->code == 404 ? AUT_AGENT_GONE
												 : AUT_AGENT_PERMANENT,
							&error, reply->retry_after_s);
}

void
aut__agent_answer_unsent(aut_agent *agent, aut_status status, const aut_error *error)
{
	aut__agent_answer_error(agent, status == AUT_ENOMEM ? AUT_AGENT_TRANSIENT : AUT_AGENT_PERMANENT,
							error, -1);
}

/* ---- sending ------------------------------------------------------------------------------- */

static aut_status
send_request(aut_agent *agent, aut_http_request *request, const char *path_and_query,
			 aut_error *err)
{
	char *url = aut_printf("%s%s", agent->url, path_and_query);
	if (url == NULL)
		return aut_fail(err, AUT_ENOMEM, "no memory for a call to the agent server");
	request->url = url;
	if (request->headers == NULL)
		request->headers = agent->headers;
	request->payload = agent;
	aut_status status = aut_http_send(agent->http, request, &agent->call, err);
	if (status != AUT_OK)
		agent->call = NULL;
	aut_free(url);
	return status;
}

void
aut__agent_get(aut_agent *agent, const char *path_and_query, int64_t first_byte, int64_t last_byte,
			   size_t reply_max, aut_http_cb cb)
{
	char range[80];
	const char *headers[3] = {NULL, NULL, NULL};
	size_t n = 0;
	if (agent->key_header != NULL)
		headers[n++] = agent->key_header;
	if (first_byte >= 0)
	{
		snprintf(range, sizeof range, "Range: bytes=%lld-%lld", (long long) first_byte,
				 (long long) last_byte);
		headers[n++] = range;
	}
	aut_http_request request = {.method = "GET",
								.headers = headers,
								.timeout_ms = CALL_TIMEOUT_MS,
								.reply_max = reply_max != 0 ? reply_max : REPLY_MAX,
								.cb = cb};
	aut_error error = AUT_ERROR_INIT;
	aut_status status = send_request(agent, &request, path_and_query, &error);
	if (status != AUT_OK)
		aut__agent_answer_unsent(agent, status, &error);
}

void
aut__agent_post_command(aut_agent *agent, const char *path, const char *command, int64_t limit_s,
						int64_t timeout_ms, aut_http_cb cb)
{
	aut_error error = AUT_ERROR_INIT;
	aut_buf body;
	aut_buf_init(&body, SIZE_MAX);
	aut_buf_puts(&body, "{\"command\":");
	aut_json_quote(&body, command, strlen(command));
	aut_buf_printf(&body, ",\"timeout\":%lld}", (long long) limit_s);
	aut_status status = body.status;
	if (status == AUT_OK)
	{
		aut_http_request request = {.method = "POST",
									.body = body.data,
									.body_len = body.len,
									.content_type = "application/json",
									.timeout_ms = timeout_ms,
									.reply_max = REPLY_MAX,
									.cb = cb};
		status = send_request(agent, &request, path, &error);
	}
	else
		aut_fail(&error, status, "command to the agent server: %s", aut_status_text(status));
	aut_buf_done(&body);
	if (status != AUT_OK)
		aut__agent_answer_unsent(agent, status, &error);
}

/* ---- upload -------------------------------------------------------------------------------- */

static void
uploaded(void *payload, const aut_http_reply *reply)
{
	aut_agent *agent = payload;
	agent->call = NULL;
	if (reply->status != AUT_OK || reply->code != 200)
	{
		aut__agent_answer_reply(agent, "upload", reply);
		return;
	}
	aut_agent_answer answer = {.result = AUT_AGENT_DONE, .retry_after_s = -1, .elapsed_s = -1};
	aut__agent_answer(agent, &answer);
}

aut_status
aut_agent_upload(aut_agent *agent, const char *path, const void *lent_data, size_t len,
				 aut_agent_cb cb, void *payload, aut_error *err)
{
	aut_status status = aut__agent_begin(agent, cb, payload, err);
	if (status != AUT_OK)
		return status;
	aut_buf target;
	aut_buf_init(&target, 8192);
	aut_buf_puts(&target, "/api/file/upload?path=");
	aut_url_encode(&target, path, strlen(path), "/");
	status = target.status;
	if (status == AUT_OK)
	{
		aut_http_request request = {.method = "POST",
									.body = lent_data,
									.body_len = len,
									.body_lent = true,
									.multipart_field = "file",
									.multipart_filename = "upload",
									.content_type = "application/octet-stream",
									.timeout_ms = CALL_TIMEOUT_MS,
									.cb = uploaded};
		status = send_request(agent, &request, target.data, err);
	}
	else
		aut_fail(err, status, "path of an upload: %s", aut_status_text(status));
	aut_buf_done(&target);
	if (status != AUT_OK)
		agent->cb = NULL;
	return status;
}

/* ---- start --------------------------------------------------------------------------------- */

/* The command id of a start reply, copied; false: the reply is not one. */
static bool
read_command_id(const aut_http_reply *reply, char *out, size_t size)
{
	json_t *root = NULL;
	/* the reply repeats the command, which is long */
	if (aut_json_peek(reply->body, reply->body_len, "id", out, size) && out[0] != '\0')
		return true;
	if (aut_json_parse(reply->body, reply->body_len, &root, NULL) != AUT_OK)
		return false;
	const char *id = aut_json_string(root, "id");
	bool good = id != NULL && id[0] != '\0' && strlen(id) < size;
	if (good)
		memcpy(out, id, strlen(id) + 1);
	json_decref(root);
	return good;
}

static void
answer_not_a_command(aut_agent *agent, const char *what)
{
	aut_error error = AUT_ERROR_INIT;
	aut_fail(&error, AUT_EPROTO, "%s: the agent server's reply has no command id", what);
	aut__agent_answer_error(agent, AUT_AGENT_PERMANENT, &error, -1);
}

static void
started(void *payload, const aut_http_reply *reply)
{
	aut_agent *agent = payload;
	agent->call = NULL;
	if (reply->status != AUT_OK || reply->code < 200 || reply->code > 299)
	{
		aut__agent_answer_reply(agent, "start", reply);
		return;
	}
	if (!read_command_id(reply, agent->command_id, sizeof agent->command_id))
	{
		answer_not_a_command(agent, "start");
		return;
	}
	aut_agent_answer answer = {.result = AUT_AGENT_DONE,
							   .retry_after_s = -1,
							   .elapsed_s = -1,
							   .command_id = agent->command_id};
	aut__agent_answer(agent, &answer);
}

aut_status
aut_agent_start(aut_agent *agent, const char *command, int64_t timeout_s, aut_agent_cb cb,
				void *payload, aut_error *err)
{
	aut_status status = aut__agent_begin(agent, cb, payload, err);
	if (status == AUT_OK)
		aut__agent_post_command(agent, "/api/bash/start_bash_command", command, timeout_s,
								CALL_TIMEOUT_MS, started);
	return status;
}

/* ---- fetch: a command of ours that is waited for ----------------------------------------------- */

/* What curl printed: the address a redirect names, or nothing. */
static void
fetch_answered(aut_agent *agent, const char *printed)
{
	aut_agent_answer answer = {.result = AUT_AGENT_DONE, .retry_after_s = -1, .elapsed_s = -1};
	aut_error error = AUT_ERROR_INIT;
	char location[LOCATION_MAX];
	size_t len = printed != NULL ? strcspn(printed, "\r\n") : 0;
	if (len >= sizeof location)
	{
		aut_fail(&error, AUT_ELIMIT,
				 "download of the tarball: the address of a redirect has more than %d bytes",
				 LOCATION_MAX - 1);
		aut__agent_answer_error(agent, AUT_AGENT_PERMANENT, &error, -1);
		return;
	}
	if (len > 0)
	{
		memcpy(location, printed, len);
		location[len] = '\0';
		answer.location = location;
	}
	aut__agent_answer(agent, &answer);
}

static void
fetch_failed(aut_agent *agent, int exit_code, const char *errors)
{
	/* curl: 22 with a 4xx means that the address is wrong for good, 63 that the file is too large. */
	const char *status_text = errors != NULL ? strstr(errors, "error: 4") : NULL;
	bool gone = exit_code == 22 && status_text != NULL;
	aut_error error = AUT_ERROR_INIT;
	if (exit_code == 63)
		aut_fail(&error, AUT_ELIMIT, "download of the tarball: it is larger than allowed");
	else
		aut_fail(&error, gone ? AUT_ENOTFOUND : AUT_ENET,
				 "download of the tarball: curl ended with %d%s%.200s", exit_code,
				 errors != NULL ? ": " : "", errors != NULL ? errors : "");
	aut__agent_answer_error(agent, gone ? AUT_AGENT_GONE : AUT_AGENT_PERMANENT, &error, -1);
}

static void
polled(void *payload, const aut_http_reply *reply)
{
	aut_agent *agent = payload;
	agent->call = NULL;
	json_t *root = NULL;
	int exit_code = 0;
	const char *out_text = NULL, *err_text = NULL;
	bool valid = false;
	if (aut__agent_event_ended(reply, &root, &exit_code, &out_text, &err_text, &valid))
	{
		char errors[256] = "";
		if (err_text != NULL)
			snprintf(errors, sizeof errors, "%s", err_text);
		if (exit_code == 0)
			fetch_answered(agent, out_text);
		else
			fetch_failed(agent, exit_code, errors[0] != '\0' ? errors : NULL);
		json_decref(root);
		return;
	}
	json_decref(root);
	if (!valid && (reply->status != AUT_OK || reply->code != 200))
	{
		aut__agent_answer_reply(agent, "download of the tarball", reply);
		return;
	}
	if (agent->command_deadline_ms <= 0)
	{
		aut_error error = AUT_ERROR_INIT;
		aut_fail(&error, AUT_ETIMEOUT, "download of the tarball did not end in time");
		aut__agent_answer_error(agent, AUT_AGENT_PERMANENT, &error, -1);
		return;
	}
	/* From 0.1 s to 1 s: a short download is noticed soon, a long one is not hammered. */
	agent->command_deadline_ms -= agent->poll_wait_ms;
	aut_timer_set(agent->timer, agent->poll_wait_ms);
	if (agent->poll_wait_ms < 1000)
		agent->poll_wait_ms *= 2;
}

static void
poll_command(void *payload)
{
	aut_agent *agent = payload;
	aut_buf path;
	aut_buf_init(&path, 1024);
	if (aut__agent_search_path(agent->command_id, &path) == AUT_OK)
		aut__agent_get(agent, path.data, -1, -1, 0, polled);
	else
		aut__agent_answer_unsent(agent, path.status, &(aut_error){.code = path.status});
	aut_buf_done(&path);
}

static void
fetch_started(void *payload, const aut_http_reply *reply)
{
	aut_agent *agent = payload;
	agent->call = NULL;
	if (reply->status != AUT_OK || reply->code < 200 || reply->code > 299)
		aut__agent_answer_reply(agent, "download of the tarball", reply);
	else if (!read_command_id(reply, agent->command_id, sizeof agent->command_id))
		answer_not_a_command(agent, "download of the tarball");
	else
		aut_timer_set(agent->timer, agent->poll_wait_ms);
}

aut_status
aut_agent_fetch(aut_agent *agent, const char *url, int64_t max_bytes, int64_t timeout_s,
				aut_agent_cb cb, void *payload, aut_error *err)
{
	aut_status status = aut__agent_begin(agent, cb, payload, err);
	if (status != AUT_OK)
		return status;
	aut_buf command;
	aut_buf_init(&command, 16384);
	aut_buf_printf(&command,
				   "curl -fsS --proto '=http,https' -w '%%{redirect_url}' "
				   "--max-filesize %lld --max-time %lld -o ",
				   (long long) max_bytes, (long long) timeout_s);
	aut_shell_quote(&command, agent->paths.tarball, strlen(agent->paths.tarball));
	aut_buf_puts(&command, " -- ");
	aut_shell_quote(&command, url, strlen(url));
	if (command.status == AUT_OK)
	{
		agent->poll_wait_ms = 100;
		agent->command_deadline_ms = (timeout_s + COMMAND_GRACE_S + 5) * 1000;
		aut__agent_post_command(agent, "/api/bash/start_bash_command", command.data,
								timeout_s + COMMAND_GRACE_S, CALL_TIMEOUT_MS, fetch_started);
	}
	else
	{
		status = aut_fail(err, command.status, "address of the tarball: %s",
						  aut_status_text(command.status));
		agent->cb = NULL;
	}
	aut_buf_done(&command);
	return status;
}

/* ---- stop and clean up ------------------------------------------------------------------------- */

/*
 * Shell lines that set $p to the process group recorded for the attempt, or to nothing.  A group number
 * is not given away while a process of the group lives; so only a living process with that number and
 * another start time is somebody else.
 */
static const char FIND_GROUP[] =
	"p=; [ ! -f \"$d/pgid\" ] || read -r p s <\"$d/pgid\"\n"
	"if [ -n \"$p\" ] && [ -r \"/proc/$p/stat\" ]; then\n"
	"  read -r x <\"/proc/$p/stat\"; set -- $x; [ \"${22}\" = \"$s\" ] || p=\n"
	"fi\n";

/* TERM to the groups in $g, a second's grace, KILL.  (dash takes a group only after -s SIGNAL.) */
static const char KILL_GROUPS[] =
	"for p in $g; do kill -s TERM -- \"-$p\"; done\n"
	"for i in .05 .1 .2 .3 .4 0; do\n"
	"  l=; for p in $g; do kill -s 0 -- \"-$p\" && l=\"$l $p\"; done; g=$l\n"
	"  [ -n \"$g\" ] || break; sleep $i\n"
	"done\n"
	"for p in $g; do kill -s KILL -- \"-$p\"; done\n";

aut_status
aut__agent_find_group(aut_buf *out)
{
	return aut_buf_puts(out, FIND_GROUP);
}

/* End what is left of the attempts' process groups, and leave the names of their own files in $f (which need
 * no quotes: ids and fixed words, see aut_attempt_paths_init). */
static aut_status
put_group_script(const aut_cleanup *runs, size_t count, aut_buf *out)
{
	aut_buf_puts(out, "exec >/dev/null 2>&1\ng= f=\nfor d in");
	for (size_t i = 0; i < count; i++)
	{
		aut_buf_putc(out, ' ');
		aut_shell_quote(out, runs[i].paths->state, strlen(runs[i].paths->state));
	}
	aut_buf_puts(out, "\ndo\n");
	aut__agent_find_group(out);
	aut_buf_puts(out, "[ -z \"$p\" ] || g=\"$g $p\"\n"
					  "f=\"$f $d ${d%.*}.tar.gz.env ${d%.*}.tar.gz\"\ndone\n");
	aut_buf_puts(out, KILL_GROUPS);
	return out->status;
}

static void
command_sent(void *payload, const aut_http_reply *reply)
{
	aut_agent *agent = payload;
	agent->call = NULL;
	if (reply->status != AUT_OK || reply->code < 200 || reply->code > 299)
	{
		aut__agent_answer_reply(agent, "clean-up", reply);
		return;
	}
	aut_agent_answer answer = {.result = AUT_AGENT_DONE, .retry_after_s = -1, .elapsed_s = -1};
	aut__agent_answer(agent, &answer);
}

static void
send_group_script(aut_agent *agent)
{
	aut_buf script;
	aut_buf_init(&script, 16384);
	if (put_group_script(&(aut_cleanup){.paths = &agent->paths}, 1, &script) == AUT_OK)
		aut__agent_post_command(agent, "/api/bash/execute_bash_command", script.data,
								COMMAND_GRACE_S, CALL_TIMEOUT_MS, command_sent);
	else
		aut__agent_answer_unsent(agent, script.status, &(aut_error){.code = script.status});
	aut_buf_done(&script);
}

static void
stopped(void *payload, const aut_http_reply *reply)
{
	aut_agent *agent = payload;
	agent->call = NULL;
	/* Old servers have no stop (404), a restarted one says 200 and signals nobody: so the recorded group
	 * is ended by a command in any case, unless nobody answers at all. */
	if (reply->status != AUT_OK)
		aut__agent_answer_reply(agent, "stop", reply);
	else
		send_group_script(agent);
}

aut_status
aut_agent_stop(aut_agent *agent, const char *command_id, aut_agent_cb cb, void *payload,
			   aut_error *err)
{
	aut_status status = aut__agent_begin(agent, cb, payload, err);
	if (status != AUT_OK)
		return status;
	if (command_id == NULL || command_id[0] == '\0')
	{
		send_group_script(agent);
		return AUT_OK;
	}
	aut_buf path;
	aut_buf_init(&path, 1024);
	aut_buf_puts(&path, "/api/bash/bash_commands/");
	aut_url_encode(&path, command_id, strlen(command_id), "");
	aut_buf_puts(&path, "/stop");
	status = path.status;
	if (status == AUT_OK)
	{
		aut_http_request request = {.method = "POST", .timeout_ms = CALL_TIMEOUT_MS, .cb = stopped};
		status = send_request(agent, &request, path.data, err);
	}
	else
		aut_fail(err, status, "id of the command: %s", aut_status_text(status));
	aut_buf_done(&path);
	if (status != AUT_OK)
		agent->cb = NULL;
	return status;
}

aut_status
aut_agent_cleanup(aut_agent *agent, const aut_cleanup *runs, size_t count, aut_agent_cb cb,
				  void *payload, aut_error *err)
{
	aut_status status = aut__agent_begin(agent, cb, payload, err);
	if (status != AUT_OK)
		return status;
	aut_buf script;
	aut_buf_init(&script, SCRIPT_MAX);
	put_group_script(runs, count, &script);
	aut_buf_puts(&script, "rm -rf $f");
	for (size_t i = 0; i < count; i++)
	{
		if (runs[i].keep_work)
			continue;
		aut_buf_putc(&script, ' ');
		aut_shell_quote(&script, runs[i].paths->work, strlen(runs[i].paths->work));
	}
	aut_buf_putc(&script, '\n');
	if (script.status == AUT_OK)
		aut__agent_post_command(agent, "/api/bash/start_bash_command", script.data,
								COMMAND_GRACE_S * (int64_t) count, CALL_TIMEOUT_MS, command_sent);
	else
	{
		status = aut_fail(err, script.status, "clean-up: %s", aut_status_text(script.status));
		agent->cb = NULL;
	}
	aut_buf_done(&script);
	return status;
}
