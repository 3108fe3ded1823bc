/* SPDX-License-Identifier: MIT */
/*
 * standalone/serve_agent.c - where the daemon's runs go: a configured agent server, the cloud, the
 * embedded agent, or nowhere.
 *
 * The embedded agent is a process of its own that outlives us: at start it is found again or started.
 * While we serve, its process is watched (a pidfd on the loop: no polling), and now and then it is asked
 * whether it is alive: that also tells it that it is still needed, as it ends by itself a minute after
 * the last request.  When it is gone or silent it is found or started again, and the engine gets a
 * backend for the new address.  What ran under the lost one the engine finds out by itself.
 *
 * Starting it blocks the loop for the time a small process needs to open its socket; that happens only
 * after a crash of the agent.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <uv.h>

#include "automation/cloud.h"
#include "standalone/agent.h"
#include "standalone/serve_priv.h"

#define ASK_EVERY_MS   20000
#define ASK_AGAIN_MS   500 /* after a failure */
#define ASK_TIMEOUT_MS 5000
#define ASK_FAILURES   2
#define START_AGAIN_MS 2000 /* between attempts, and when it dies again so soon */

/* The process of the agent.  Lives until its close callback. */
typedef struct agent_watch
{
	uv_poll_t poll;
	int fd;
	serve_agent *agent; /* NULL: nobody listens any more */
} agent_watch;

struct serve_agent
{
	aut_loop *loop;
	aut_http_client *http;
	aut_turn *turn;
	const serve_config *config;
	char *work_base;
	char *url, *key;
	aut_backend *backend;
	aut_engine *engine;
	aut_timer *timer;
	aut_http_call *call;
	agent_watch *watch;
	int failures;
	bool gone;
	bool said;            /* that it could not be started */
	int64_t restarted_us; /* when we last started it again (monotonic) */
};

/* ---- its process ----------------------------------------------------------------------------- */

static void
watch_closed(uv_handle_t *handle)
{
	agent_watch *watch = handle->data;

	(void) close(watch->fd);
	aut_free(watch);
}

static void
watch_end(serve_agent *agent)
{
	if (agent->watch == NULL)
		return;
	agent->watch->agent = NULL;
	uv_close((uv_handle_t *) &agent->watch->poll, watch_closed);
	agent->watch = NULL;
}

static void
agent_gone(serve_agent *agent)
{
	int64_t since_us = aut_mono_us(aut_clock_system()) - agent->restarted_us;
	bool at_once = agent->restarted_us == 0 || since_us > START_AGAIN_MS * AUT_US_PER_MS;

	agent->gone = true;
	watch_end(agent);
	/* at once, unless it keeps dying */
	aut_timer_set(agent->timer, at_once ? 0 : START_AGAIN_MS);
}

static void
process_ended(uv_poll_t *handle, int status, int events)
{
	agent_watch *watch = handle->data;

	(void) status;
	(void) events;
	if (watch->agent != NULL)
		agent_gone(watch->agent);
}

/* Best effort: without it the asking finds out, only later. */
static void
watch_process(serve_agent *agent)
{
	int64_t pid = serve_pid_in(agent->config->data, "agent.json");
	agent_watch *watch;
	int fd;

	watch_end(agent);
	fd = pid > 0 && pid <= INT32_MAX ? (int) syscall(SYS_pidfd_open, (pid_t) pid, 0) : -1;
	if (fd < 0)
		return;
	watch = aut_calloc(1, sizeof *watch);
	if (watch == NULL || uv_poll_init(aut_loop_uv(agent->loop), &watch->poll, fd) != 0)
	{
		aut_free(watch);
		(void) close(fd);
		return;
	}
	watch->poll.data = watch;
	watch->fd = fd;
	watch->agent = agent;
	agent->watch = watch;
	(void) uv_poll_start(&watch->poll, UV_READABLE, process_ended);
}

/* ---- backends -------------------------------------------------------------------------------- */

/* A path without anything a shell or a blank could split: it stands unquoted in the contract's chain. */
static bool
path_plain(const char *path)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@%:,=";

	return path[strspn(path, plain)] == '\0';
}

static aut_status
backend_embedded(serve_agent *agent, aut_backend **out, aut_error *err)
{
	char *url = NULL, *key = NULL;
	aut_status status;

	status = aut_agent_ensure(agent->config->data, &url, &key, err);
	if (status == AUT_OK)
		status =
			aut_backend_agent_server_new(agent->loop, url, key, "", agent->work_base, out, err);
	if (status == AUT_OK)
	{
		aut_free(agent->url);
		aut_free(agent->key);
		agent->url = url;
		agent->key = key;
		watch_process(agent);
		return AUT_OK;
	}
	aut_free(url);
	aut_free(key);
	return status;
}

static aut_status
backend_configured(serve_agent *agent, aut_backend **out, aut_error *err)
{
	const aut_settings *settings = &agent->config->settings;
	bool there = agent->config->backend == AUT_BACKEND_AGENT_SERVER;
	const char *url = there ? settings->agent_server_url : "";
	const char *base = settings->workspace_base;
	const char *home = getenv("HOME");

	if (agent->config->backend == AUT_BACKEND_CLOUD)
	{
		aut_cloud_options cloud = {.loop = agent->loop,
								   .http = agent->http,
								   .turn = agent->turn,
								   .settings = settings,
								   .clock = aut_clock_system()};

		return aut_backend_cloud_new(&cloud, out, err);
	}
	/* as the reference has it: the home folder is ours, and the agent is expected to share it */
	if (base[0] == '~' && (base[1] == '/' || base[1] == '\0') && home != NULL)
		agent->work_base = aut_printf("%s%s", home, base + 1);
	else
		agent->work_base = aut_strdup(base);
	if (agent->work_base == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	if (!path_plain(agent->work_base))
		return aut_fail(err, AUT_EINVAL,
						"AUTOMATION_WORKSPACE_BASE must have no blanks or special characters: %s",
						base);
	return aut_backend_configured_new(agent->loop, agent->http, aut_clock_system(), settings, url,
									  agent->work_base, out, err);
}

/* ---- is it alive? ---------------------------------------------------------------------------- */

static void
start_again(serve_agent *agent)
{
	aut_error err = AUT_ERROR_INIT;
	aut_backend *backend = NULL;
	aut_backend *old = agent->backend;

	if (backend_embedded(agent, &backend, &err) != AUT_OK)
	{
		if (!agent->said)
			aut_log(AUT_LOG_ERROR, "the embedded agent is gone and cannot be started: %s",
					err.message);
		agent->said = true;
		aut_timer_set(agent->timer, START_AGAIN_MS);
		return;
	}
	agent->restarted_us = aut_mono_us(aut_clock_system());
	agent->failures = 0;
	agent->gone = false;
	agent->said = false;
	agent->backend = backend;
	if (agent->engine != NULL)
		aut_engine_set_backend(agent->engine, backend);
	aut_backend_free(old);
	aut_log(AUT_LOG_WARNING, "the embedded agent was gone; it is back at %s", agent->url);
	aut_timer_set(agent->timer, ASK_EVERY_MS);
}

static void
answered(void *payload, const aut_http_reply *reply)
{
	serve_agent *agent = payload;

	agent->call = NULL;
	if (agent->gone)
		return;
	agent->failures = reply->status == AUT_OK ? 0 : agent->failures + 1;
	if (agent->failures >= ASK_FAILURES)
		agent_gone(agent);
	else
		aut_timer_set(agent->timer, agent->failures > 0 ? ASK_AGAIN_MS : ASK_EVERY_MS);
}

static void
ask(serve_agent *agent)
{
	aut_http_request request = {0};
	char *url = aut_printf("%s/alive", agent->url);

	request.method = "GET";
	request.url = url;
	request.timeout_ms = ASK_TIMEOUT_MS;
	request.cb = answered;
	request.payload = agent;
	if (url == NULL || aut_http_send(agent->http, &request, &agent->call, NULL) != AUT_OK)
		aut_timer_set(agent->timer, ASK_EVERY_MS);
	aut_free(url);
}

static void
tick(void *payload)
{
	serve_agent *agent = payload;

	if (agent->gone)
		start_again(agent);
	else if (agent->call == NULL)
		ask(agent);
}

/* ---- life ------------------------------------------------------------------------------------ */

static aut_status
embedded_init(serve_agent *agent, aut_error *err)
{
	agent->work_base = aut_printf("%s/agent/work", agent->config->data);
	if (agent->work_base == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	if (!path_plain(agent->work_base))
		return aut_fail(
			err, AUT_EINVAL,
			"the path of the state folder must have no blanks or special characters: %s",
			agent->config->data);
	return backend_embedded(agent, &agent->backend, err);
}

aut_status
serve_agent_new(aut_loop *loop, aut_http_client *http, aut_turn *turn, const serve_config *config,
				serve_agent **out, aut_error *err)
{
	serve_agent *agent = aut_calloc(1, sizeof *agent);
	aut_status status;

	if (agent == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	agent->loop = loop;
	agent->http = http;
	agent->turn = turn;
	agent->config = config;
	status = aut_timer_new(loop, tick, agent, &agent->timer, err);
	if (status == AUT_OK && config->embedded)
		status = embedded_init(agent, err);
	else if (status == AUT_OK)
		status = backend_configured(agent, &agent->backend, err);
	if (status != AUT_OK)
	{
		serve_agent_free(agent);
		return status;
	}
	*out = agent;
	return AUT_OK;
}

aut_backend *
serve_agent_backend(serve_agent *agent)
{
	return agent->backend;
}

void
serve_agent_watch(serve_agent *agent, aut_engine *engine)
{
	agent->engine = engine;
	if (agent->config->embedded)
		aut_timer_set(agent->timer, ASK_EVERY_MS);
}

void
serve_agent_unwatch(serve_agent *agent)
{
	agent->engine = NULL;
	aut_timer_stop(agent->timer);
	if (agent->call != NULL)
		aut_http_cancel(agent->call);
	agent->call = NULL;
	watch_end(agent);
}

void
serve_agent_free(serve_agent *agent)
{
	if (agent == NULL)
		return;
	if (agent->timer != NULL)
		serve_agent_unwatch(agent);
	aut_timer_free(agent->timer);
	aut_backend_free(agent->backend);
	aut_free(agent->work_base);
	aut_free(agent->url);
	aut_free(agent->key);
	aut_free(agent);
}
