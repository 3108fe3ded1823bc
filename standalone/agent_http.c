/* SPDX-License-Identifier: MIT */
/*
 * standalone/agent_http.c - the embedded agent's door: routes, key, faults, error bodies.
 *
 * Status codes and bodies are those of the agent server (contract/agent-server.md section 1), in its
 * order of checks: path (404), method (405), key (401), then the route's own. Paths outside the subset
 * are 404, so a client sees an old server rather than a strange one.
 *
 * Answers of all routes leave through agentd_reply_raw, which is where the faults "drop" and "garbage"
 * of the test mode take effect: the work was done, only the answer is lost.
 */
#include <stdarg.h>
#include <string.h>

#include "standalone/agent_internal.h"

#define REPLY_MAX ((size_t) 512 << 20)

static void route_ok(agentd_request *request);
static void route_ready(agentd_request *request);

static const agentd_route routes[] = {
	{"health", "GET", "/alive", true, route_ok},
	{"health", "GET", "/health", true, route_ok},
	{"health", "GET", "/ready", true, route_ready},
	{"info", "GET", "/server_info", true, agentd_route_info},
	{"info", "GET", "/", true, agentd_route_info},
	{"upload", "POST", "/api/file/upload", false, agentd_route_upload},
	{"download", "GET", "/api/file/download", false, agentd_route_download},
	{"mkdir", "POST", "/api/file/create_directory", false, agentd_route_mkdir},
	{"start", "POST", "/api/bash/start_bash_command", false, agentd_route_start},
	{"execute", "POST", "/api/bash/execute_bash_command", false, agentd_route_execute},
	{"stop", "POST", "/api/bash/bash_commands/*/stop", false, agentd_route_stop},
	{"search", "GET", "/api/bash/bash_events/search", false, agentd_route_search},
	{"event", "GET", "/api/bash/bash_events/*", false, agentd_route_event},
	{NULL, NULL, NULL, false, NULL},
};

/* ---- answers ---------------------------------------------------------------------------------------- */

void
agentd_reply_raw(agentd_request *request, int code, const char *type, const void *body, size_t len)
{
	if (request->drop)
	{
		aut_exchange_drop(request->exchange);
	}
	else if (request->garbage)
	{
		aut_exchange_reply(request->exchange, 200, "application/json", "{\"items\":[{\xff\x01 ]",
						   14);
	}
	else
	{
		aut_exchange_reply(request->exchange, code, type, body, len);
	}
}

void
agentd_reply_json(agentd_request *request, int code, json_t *take_json)
{
	static const char no_memory[] =
		"{\"detail\":\"Internal Server Error\",\"exception\":\"out of memory\"}";
	size_t len = 0;
	char *text = take_json != NULL ? aut_json_text(take_json, &len) : NULL;

	if (text != NULL && len < REPLY_MAX)
	{
		agentd_reply_raw(request, code, "application/json", text, len);
	}
	else
	{
		agentd_reply_raw(request, 500, "application/json", no_memory, sizeof no_memory - 1);
	}
	aut_free(text);
	json_decref(take_json);
}

void
agentd_reply_detail(agentd_request *request, int code, const char *detail)
{
	agentd_reply_json(request, code, json_pack("{s:s}", "detail", detail));
}

void
agentd_reply_failure(agentd_request *request, const char *format, ...)
{
	char text[1024];
	aut_buf clean;
	va_list args;

	va_start(args, format);
	(void) vsnprintf(text, sizeof text, format, args);
	va_end(args);
	aut_buf_init(&clean, 4 * sizeof text);
	(void) aut_utf8_sanitize(&clean, text, strlen(text));
	agentd_reply_json(request, 500,
					  json_pack("{s:s, s:s}", "detail", "Internal Server Error", "exception",
								clean.data != NULL ? clean.data : ""));
	aut_buf_done(&clean);
}

void
agentd_reply_invalid(agentd_request *request, const char *type, const char *place, const char *name,
					 const char *message, json_t *take_input, json_t *take_ctx)
{
	json_t *entry = json_object();
	json_t *where = json_pack("[s]", place);
	json_t *input = take_input != NULL ? take_input : json_null();
	json_t *detail = NULL;

	if (where != NULL && name != NULL)
	{
		(void) json_array_append_new(where, json_string(name));
	}
	if (entry != NULL)
	{
		/* each takes its value even when one before it failed */
		bool ok = aut_json_set(entry, "type", json_string(type));

		ok = aut_json_set(entry, "loc", where) && ok;
		ok = aut_json_set(entry, "msg", json_string(message)) && ok;
		ok = aut_json_set(entry, "input", input) && ok;
		ok = (take_ctx == NULL || aut_json_set(entry, "ctx", take_ctx)) && ok;
		detail = json_pack("{s:[o]}", "detail", entry);
		if (!ok)
		{
			json_decref(detail);
			detail = NULL; /* answered as out of memory */
		}
	}
	agentd_reply_json(request, 422, detail);
}

/* ---- small routes -------------------------------------------------------------------------------------- */

static void
route_ok(agentd_request *request)
{
	agentd_reply_json(request, 200, json_pack("{s:s}", "status", "ok"));
}

static void
route_ready(agentd_request *request)
{
	agentd_reply_json(request, 200, json_pack("{s:s}", "status", "ready"));
}

void
agentd_route_info(agentd_request *request)
{
	agentd *agent = request->agent;
	int64_t now_us = aut_mono_us(aut_clock_system());
	json_t *info = json_object();
	static const char *const unknown[] = {"sdk_version",   "tools_version", "workspace_version",
										  "build_git_sha", "build_git_ref", "python_version"};
	bool ok = info != NULL;

	/* whole seconds printed as floats, as the agent server does */
	ok = ok &&
		 aut_json_set(info, "uptime",
					  json_real((double) ((now_us - agent->started_mono_us) / AUT_US_PER_S))) &&
		 aut_json_set(info, "idle_time",
					  json_real((double) ((now_us - agent->active_mono_us) / AUT_US_PER_S))) &&
		 aut_json_set(info, "title", json_string("automation agent")) &&
		 aut_json_set(info, "version", json_string(AUT_VERSION));
	for (size_t i = 0; ok && i < sizeof unknown / sizeof unknown[0]; i++)
	{
		ok = aut_json_set(info, unknown[i], json_string("unknown"));
	}
	ok = ok && aut_json_set(info, "usable_tools", json_array()) &&
		 aut_json_set(info, "runtime_idle_timeout_seconds", json_null()) &&
		 aut_json_set(info, "conversation_runtime", json_string("local")) &&
		 aut_json_set(info, "available_conversation_runtimes", json_array()) &&
		 aut_json_set(info, "capabilities", json_pack("[s]", "automation_embedded_agent")) &&
		 aut_json_set(info, "app_backend_ingress_url", json_null()) &&
		 aut_json_set(info, "max_foreground_terminal_timeout_seconds", json_null()) &&
		 aut_json_set(info, "docs", json_null()) && aut_json_set(info, "redoc", json_null());
	if (!ok)
	{
		json_decref(info);
		info = NULL;
	}
	agentd_reply_json(request, 200, info);
}

/* ---- finding the route ----------------------------------------------------------------------------------- */

/* Does a path fit a pattern?  "*" takes one segment, which must not be empty. */
static bool
path_matches(const char *pattern, const char *path, char segment[64])
{
	const char *star = strchr(pattern, '*');
	size_t before = star != NULL ? (size_t) (star - pattern) : 0;
	size_t len;

	if (star == NULL)
	{
		return strcmp(pattern, path) == 0;
	}
	if (strncmp(pattern, path, before) != 0)
	{
		return false;
	}
	len = strcspn(path + before, "/");
	if (len == 0 || strcmp(path + before + len, star + 1) != 0)
	{
		return false;
	}
	/* no id is longer; what is cut stays longer than any */
	(void) snprintf(segment, 64, "%.*s", (int) (len < 63 ? len : 63), path + before);
	return true;
}

static const agentd_route *
find_route(const char *method, const char *path, char segment[64], const char **out_allowed)
{
	*out_allowed = NULL;
	for (const agentd_route *route = routes; route->path != NULL; route++)
	{
		if (path_matches(route->path, path, segment))
		{
			if (strcmp(route->method, method) == 0)
			{
				return route;
			}
			*out_allowed = route->method;
			return NULL;
		}
	}
	return NULL;
}

static bool
is_authorized(const agentd *agent, const agentd_route *route, const aut_exchange *exchange)
{
	const char *given = aut_exchange_header(exchange, "X-Session-API-Key");
	const char *key = agent->options.key;

	return route->open || key[0] == '\0' ||
		   (given != NULL && aut_equal_constant_time(given, strlen(given), key, strlen(key)));
}

size_t
agentd_body_limit(void *payload, const char *method, const char *path)
{
	(void) payload;
	return strcmp(method, "POST") == 0 && strcmp(path, "/api/file/upload") == 0
			   ? AGENTD_UPLOAD_MAX + 4096
			   : AGENTD_BODY_MAX;
}

/* ---- the way of a request ----------------------------------------------------------------------------------- */

static void
proceed(agentd_request *request)
{
	agentd *agent = request->agent;

	if (strcmp(request->route->operation, "upload") == 0 ||
		strcmp(request->route->operation, "download") == 0 ||
		strcmp(request->route->operation, "start") == 0 ||
		strcmp(request->route->operation, "execute") == 0 ||
		strcmp(request->route->operation, "stop") == 0)
	{
		agent->active_mono_us = aut_mono_us(aut_clock_system());
	}
	if (aut_exchange_body_too_long(request->exchange))
	{
		agentd_reply_detail(request, 413, "Request body is too large");
	}
	else
	{
		request->route->handle(request);
	}
}

static void
on_delay(void *payload)
{
	agentd_request *request = payload;

	aut_timer_free(request->delay);
	request->delay = NULL;
	proceed(request);
}

/* The client (or the server) is gone before an answer was given. */
static void
on_gone(void *payload)
{
	agentd_request *request = payload;

	aut_timer_free(request->delay);
	request->delay = NULL;
	if (request->waiter != NULL)
	{
		request->waiter->request = NULL;
	}
}

static void
proceed_with_faults(agentd_request *request)
{
	const agentd_fault *fault = agentd_fault_take(request->agent, request->route->operation);

	if (fault != NULL && fault->kind == FAULT_STATUS)
	{
		if (fault->value >= 500)
		{
			agentd_reply_json(request, fault->value,
							  json_pack("{s:s, s:s}", "detail", "Internal Server Error",
										"exception", "500: fault of the test mode"));
		}
		else
		{
			agentd_reply_detail(request, fault->value,
								fault->value == 404 ? "Not Found" : "Fault of the test mode");
		}
		return;
	}
	request->drop = fault != NULL && fault->kind == FAULT_DROP;
	request->garbage = fault != NULL && fault->kind == FAULT_GARBAGE;
	if (fault != NULL && fault->kind == FAULT_DELAY &&
		aut_timer_new(request->agent->loop, on_delay, request, &request->delay, NULL) == AUT_OK)
	{
		aut_timer_set(request->delay, fault->value);
		return;
	}
	proceed(request);
}

static void
log_request(agentd *agent, aut_exchange *exchange)
{
	char run_id[AUT_UUID_TEXT_MAX] = "";
	const char *path = aut_exchange_query(exchange, "path");
	const char *command_id = aut_exchange_query(exchange, "command_id__eq");
	size_t len = 0;
	const char *body = aut_exchange_body(exchange, &len);

	if (agent->log == NULL)
	{
		return;
	}
	if (path != NULL)
	{
		(void) agentd_find_run_id(path, strlen(path), run_id);
	}
	else if (command_id != NULL)
	{
		const agentd_event *event = agentd_event_find(&agent->store, command_id);

		if (event != NULL)
		{
			memcpy(run_id, event->command->run_id, sizeof run_id);
		}
	}
	else
	{
		(void) agentd_find_run_id(body, len, run_id);
	}
	agentd_log_call(agent, aut_exchange_method(exchange), aut_exchange_path(exchange), run_id);
}

void
agentd_handle(void *payload, aut_exchange *exchange)
{
	agentd *agent = payload;
	agentd_request *request = aut_arena_alloc(aut_exchange_arena(exchange), sizeof *request);
	const char *allowed = NULL;

	if (request == NULL)
	{
		aut_exchange_reply(exchange, 503, NULL, NULL, 0);
		return;
	}
	memset(request, 0, sizeof *request);
	request->agent = agent;
	request->exchange = exchange;
	agentd_store_trim(&agent->store);
	log_request(agent, exchange);
	request->route = find_route(aut_exchange_method(exchange), aut_exchange_path(exchange),
								request->segment, &allowed);
	if (request->route == NULL && allowed != NULL)
	{
		(void) aut_exchange_add_header(exchange, "Allow", allowed);
		agentd_reply_detail(request, 405, "Method Not Allowed");
	}
	else if (request->route == NULL)
	{
		agentd_reply_detail(request, 404, "Not Found");
	}
	else if (!is_authorized(agent, request->route, exchange))
	{
		agentd_reply_detail(request, 401, "Unauthorized");
	}
	else
	{
		agent->request_mono_us = aut_mono_us(aut_clock_system());
		aut_exchange_set_payload(exchange, request, on_gone);
		proceed_with_faults(request);
	}
}
