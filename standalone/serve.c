/* SPDX-License-Identifier: MIT */
/*
 * standalone/serve.c - `automation serve`: the daemon.
 *
 * One thread, one loop.  In order: configuration, state folder and its lock, database, agent, HTTP API
 * (bound first, because callback URLs carry the port), engine; then serve.json and the one line that
 * says we are ready.  The engine's two steps decide and flush the turn; the API's units go into the
 * same turn.
 *
 * SIGTERM, SIGINT or SIGHUP end it: no new connections, nothing claimed or fired any more, what is
 * under way in the turn is committed and answered; after ten seconds at most it ends anyway.  Runs go
 * on under the agent and are found again at the next start.  A second signal ends the process at once.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "standalone/command.h"
#include "standalone/serve.h"
#include "standalone/serve_priv.h"
#include "standalone/sqlite_db.h"

#define WORKER_NAME     "daemon"
#define STOP_CHECK_MS   20
#define STOP_AT_MOST_MS 10000
#define IDLE_AFTER_MS   1000
#define SIGNAL_COUNT    3

extern char **environ;

typedef struct server
{
	serve_config config;
	int lock_fd;
	char *key;
	aut_loop *loop;
	aut_db *db;
	aut_turn turn;
	aut_http_client *http;
	serve_agent *agent;
	aut_api *api;
	char *api_url;
	aut_engine *engine;
	aut_signal *signals[SIGNAL_COUNT];
	aut_timer *idle_timer, *stop_timer, *watchdog_timer;
	int64_t watchdog_ms;   /* 0: nobody waits for a sign of life */
	int64_t begun_us;      /* monotonic: when the process began to start */
	uint64_t idle_commits; /* the turn's count when tidying was last planned */
	bool idle_armed;
	bool stopping, told;
	int64_t stop_at_us; /* monotonic: end anyway */
} server;

/* ---- log ------------------------------------------------------------------------------------- */

static void
log_line(void *payload, aut_log_level level, const char *line)
{
	static const char *const names[] = {"ERROR", "WARNING", "INFO", "DEBUG"};
	int64_t now_us = aut_now_us(aut_clock_system());
	time_t seconds = (time_t) (now_us / AUT_US_PER_S);
	struct tm utc;
	char when[32] = "";

	(void) payload;
	if (gmtime_r(&seconds, &utc) == NULL ||
		strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &utc) == 0)
		when[0] = '\0';
	/* one write, so that lines of the agent and ours do not mix */
	fprintf(stderr, "%s.%03dZ %-7s %s\n", when, (int) (now_us % AUT_US_PER_S / AUT_US_PER_MS),
			names[level], line);
}

/* ---- stopping -------------------------------------------------------------------------------- */

static bool
finished(const server *d)
{
	return aut_api_active(d->api) == 0 && aut_turn_empty(&d->turn) && aut_engine_quiet(d->engine);
}

static void
stop_check(void *payload)
{
	server *d = payload;
	bool late = aut_mono_us(aut_clock_system()) >= d->stop_at_us;

	if (late)
		aut_log(AUT_LOG_WARNING, "not everything came to an end in %d s, stopping anyway",
				STOP_AT_MOST_MS / 1000);
	if (late || finished(d))
		aut_loop_stop(d->loop);
	else
		aut_timer_set(d->stop_timer, STOP_CHECK_MS);
}

static void
on_signal(void *payload, int signum)
{
	server *d = payload;

	if (d->stopping)
	{
		aut_log(AUT_LOG_WARNING, "second signal %d: ending at once", signum);
		_exit(AUT_COMMAND_FAILED);
	}
	d->stopping = true;
	d->stop_at_us = aut_mono_us(aut_clock_system()) + STOP_AT_MOST_MS * AUT_US_PER_MS;
	aut_log(AUT_LOG_INFO, "signal %d: stopping", signum);
	serve_notify("STOPPING=1");
	if (d->told)
		serve_state_remove(d->config.data);
	d->told = false;
	aut_api_stop_accepting(d->api);
	serve_agent_unwatch(d->agent);
	aut_engine_stop(d->engine);
	aut_timer_set(d->stop_timer, 0);
}

/* ---- while nothing happens ------------------------------------------------------------------- */

static void
idle(void *payload)
{
	server *d = payload;

	d->idle_armed = false;
	if (aut_turn_empty(&d->turn))
		aut_sqlite_idle(d->db);
}

/* After commits, tidy the database soon; a daemon with nothing to do does not even wake up. */
static bool
arm_idle(void *payload)
{
	server *d = payload;

	if (d->turn.commits != d->idle_commits && !d->idle_armed)
	{
		d->idle_commits = d->turn.commits;
		d->idle_armed = true;
		aut_timer_set(d->idle_timer, IDLE_AFTER_MS);
	}
	return false;
}

/* A sign of life from the loop itself: when it hangs, there is none, and we are started again. */
static void
feed_watchdog(void *payload)
{
	server *d = payload;

	serve_notify("WATCHDOG=1");
	aut_timer_set(d->watchdog_timer, d->watchdog_ms);
}

/* ---- starting -------------------------------------------------------------------------------- */

/* Hundreds of runs are hundreds of connections; take what we may. */
static void
raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max)
	{
		limit.rlim_cur = limit.rlim_max;
		(void) setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static aut_status
start_files(server *d, aut_error *err)
{
	aut_status status = serve_folder_make(&d->config.data, err);

	if (status == AUT_OK)
		status = serve_lock(d->config.data, &d->lock_fd, err);
	if (status == AUT_OK && d->config.own_key)
	{
		status = serve_key(d->config.data, &d->key, err);
		/* runs report back with it */
		if (status == AUT_OK)
			status = aut_settings_set(&d->config.settings, aut_setting_find("local_api_key"),
									  d->key, err);
	}
	if (status == AUT_OK)
	{
		/* the database is nobody else's to read; scripts, though, keep the umask their user has */
		mode_t before = umask(077);

		status = aut_sqlite_open(d->config.db_path, NULL, &d->db, err);
		(void) umask(before);
	}
	return status;
}

static aut_status
start_net(server *d, aut_error *err)
{
	aut_http_client_options options = AUT_HTTP_CLIENT_OPTIONS_INIT;
	aut_status status = aut_loop_new(&d->loop, err);

	options.max_per_host = (int) d->config.settings.max_agent_connections;
	if (status == AUT_OK)
		status = aut_http_client_new(d->loop, &options, &d->http, err);
	if (status == AUT_OK)
		status = aut_timer_new(d->loop, idle, d, &d->idle_timer, err);
	if (status == AUT_OK)
		status = aut_timer_new(d->loop, stop_check, d, &d->stop_timer, err);
	if (status == AUT_OK && d->watchdog_ms > 0)
		status = aut_timer_new(d->loop, feed_watchdog, d, &d->watchdog_timer, err);
	return status;
}

static aut_status
start_api(server *d, aut_error *err)
{
	const char *keys[] = {d->config.settings.local_api_key, NULL};
	aut_api_options options = {0};
	aut_status status;

	options.loop = d->loop;
	options.turn = &d->turn;
	options.settings = &d->config.settings;
	options.clock = aut_clock_system();
	options.address = d->config.settings.host;
	options.port = (uint16_t) d->config.settings.server_port;
	options.keys = keys;
	options.agent_is_embedded = d->config.embedded;
	options.sealer = serve_sealer(d->config.data);
	options.keys_generated = d->config.own_key;
	status = aut_api_new(&options, &d->api, err);
	if (status != AUT_OK)
		return status;
	d->api_url = aut_settings_api_url(&d->config.settings, aut_api_port(d->api));
	return d->api_url != NULL ? AUT_OK : aut_fail(err, AUT_ENOMEM, "out of memory");
}

static aut_status
start_engine(server *d, aut_error *err)
{
	aut_engine_options options = {0};
	aut_status status;

	options.loop = d->loop;
	options.turn = &d->turn;
	options.http = d->http;
	options.backend = serve_agent_backend(d->agent);
	options.settings = &d->config.settings;
	options.clock = aut_clock_system();
	options.worker = WORKER_NAME;
	options.pid = getpid();
	options.api_url = d->api_url;
	options.sealer = serve_sealer(d->config.data);
	options.take_over = true; /* the lock on the file proves that the last daemon is dead */
	status = aut_engine_new(&options, &d->engine, err);
	if (status == AUT_OK)
	{
		aut_api_set_engine(d->api, d->engine);
		serve_agent_watch(d->agent, d->engine);
		/* behind the engine's steps: sees what they committed */
		status = aut_loop_add_step(d->loop, arm_idle, d, err);
	}
	return status;
}

static aut_status
start_signals(server *d, aut_error *err)
{
	static const int signums[SIGNAL_COUNT] = {SIGTERM, SIGINT, SIGHUP};
	aut_status status = AUT_OK;

	for (size_t i = 0; i < SIGNAL_COUNT && status == AUT_OK; i++)
	{
		struct sigaction now;

		/* nohup had it ignored: so it stays */
		if (signums[i] == SIGHUP && sigaction(SIGHUP, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
			continue;
		status = aut_signal_new(d->loop, signums[i], on_signal, d, &d->signals[i], err);
	}
	return status;
}

/* "http://127.0.0.1:8000": where programs of this machine find us. */
static char *
local_url(const server *d)
{
	const char *host = d->config.settings.host;
	unsigned port = aut_api_port(d->api);

	if (strcmp(host, "0.0.0.0") == 0)
		return aut_printf("http://127.0.0.1:%u", port);
	if (strcmp(host, "::") == 0)
		return aut_printf("http://[::1]:%u", port);
	return strchr(host, ':') != NULL ? aut_printf("http://[%s]:%u", host, port)
									 : aut_printf("http://%s:%u", host, port);
}

static aut_status
announce(server *d, aut_error *err)
{
	char *url = local_url(d);
	char *prefix = aut_settings_api_prefix(&d->config.settings);
	char *full = url != NULL && prefix != NULL ? aut_printf("%s%s", url, prefix) : NULL;
	aut_status status;

	if (full == NULL)
		status = aut_fail(err, AUT_ENOMEM, "out of memory");
	else
		status = serve_state_write(d->config.data, full, aut_api_port(d->api),
								   aut_now_us(aut_clock_system()), err);
	if (status == AUT_OK)
	{
		d->told = true;
		fprintf(stderr, "automation: ready on %s (data %s)\n", url, d->config.data);
		aut_log(AUT_LOG_DEBUG, "ready %lld ms after the start",
				(long long) ((aut_mono_us(aut_clock_system()) - d->begun_us) / AUT_US_PER_MS));
		serve_notify("READY=1");
		if (d->watchdog_timer != NULL)
			aut_timer_set(d->watchdog_timer, 0);
	}
	aut_free(full);
	aut_free(prefix);
	aut_free(url);
	return status;
}

static aut_status
start(server *d, aut_error *err)
{
	aut_status status = start_files(d, err);

	if (status == AUT_OK)
		aut_turn_init(&d->turn, d->db);
	if (status == AUT_OK)
		status = start_net(d, err);
	/* the port before the agent: a start that fails leaves no agent behind */
	if (status == AUT_OK)
		status = start_api(d, err);
	if (status == AUT_OK)
		status = serve_agent_new(d->loop, d->http, &d->turn, &d->config, &d->agent, err);
	if (status == AUT_OK)
		status = start_engine(d, err);
	if (status == AUT_OK)
		status = start_signals(d, err);
	if (status == AUT_OK)
		status = announce(d, err);
	return status;
}

/* Reverse order; everything may be missing. */
static void
end(server *d)
{
	if (d->told)
		serve_state_remove(d->config.data);
	if (d->db != NULL)
	{
		(void) aut_turn_flush(&d->turn);
		aut_turn_cancel(&d->turn);
	}
	for (size_t i = 0; i < SIGNAL_COUNT; i++)
		aut_signal_free(d->signals[i]);
	aut_api_free(d->api);
	if (d->agent != NULL)
		serve_agent_unwatch(d->agent);
	aut_engine_free(d->engine);
	if (d->loop != NULL)
		aut_loop_remove_step(d->loop, arm_idle, d);
	serve_agent_free(d->agent);
	aut_http_client_free(d->http);
	aut_timer_free(d->idle_timer);
	aut_timer_free(d->stop_timer);
	aut_timer_free(d->watchdog_timer);
	if (d->loop != NULL)
		aut_loop_free(d->loop);
	aut_db_close(d->db);
	if (d->lock_fd >= 0)
		(void) close(d->lock_fd);
	aut_free(d->api_url);
	aut_free(d->key);
	serve_config_done(&d->config);
}

int
aut_cmd_serve(int argc, char **argv)
{
	aut_error err = AUT_ERROR_INIT;
	server d = {0};
	aut_status status;
	int code = AUT_COMMAND_OK;

	d.lock_fd = -1;
	d.begun_us = aut_mono_us(aut_clock_system());
	serve_notify_take(&d.watchdog_ms);
	(void) signal(SIGPIPE, SIG_IGN);
	(void) signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error, not the end */
	raise_file_limit();
	aut_log_set(log_line, NULL, AUT_LOG_INFO);
	status = serve_config_read(&d.config, argc, argv, environ, &err);
	if (status == AUT_OK)
	{
		aut_log_set(log_line, NULL, d.config.log_level);
		status = start(&d, &err);
	}
	else if (status == AUT_EINVAL)
		code = AUT_COMMAND_USAGE;
	if (status == AUT_OK)
	{
		aut_loop_run(d.loop);
		aut_log(AUT_LOG_INFO, "stopped");
	}
	else
	{
		fprintf(stderr, "automation: %s\n", err.message);
		if (code == AUT_COMMAND_OK)
			code = AUT_COMMAND_FAILED;
	}
	end(&d);
	aut_log_set(NULL, NULL, AUT_LOG_ERROR);
	return code;
}
