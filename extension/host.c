/* SPDX-License-Identifier: MIT */
/*
 * extension/host.c - the engine inside the worker, wired as the daemon wires it: loop, store, turn,
 * HTTP client, backend, engine and, with automation.listen, the HTTP API.
 *
 * Nothing here raises PostgreSQL errors and nothing includes PostgreSQL's memory: it is core's caller,
 * so core frames stand below it.  Everything lives as long as the process; on exit the kernel takes the
 * sockets and leases or the next worker take what was under way.
 *
 * Settings are re-read on SIGHUP.  Most take effect at their next use.  A new agent server gets a new
 * backend; a new listen address a new listener.  Settings that cannot be read (a key file is missing,
 * a URL is bad) leave the old ones in force, with a line in the log.
 */
#include "internal.h"

#include <unistd.h>

#include "miscadmin.h"

#include "automation/api.h"
#include "automation/cloud.h"
#include "spi_db.h"

#define LISTEN_RETRY_MS 5000

struct aut__host
{
	aut_loop *loop;
	aut_db *db;
	aut_turn turn;
	aut_http_client *http;
	aut_backend *backend;
	aut_engine *engine; /* NULL in an HTTP worker */
	aut__role role;
	int number;
	aut_settings settings; /* lent to engine and API, replaced in place */
	char worker[48];
	char *api_url; /* where runs report; "" without a listener */
	/* the listener */
	aut_api *api;
	char listen[80]; /* what it serves, "" for nothing */
	aut_timer *listen_retry;
	bool listen_complained;
};

/* ---- the API --------------------------------------------------------------------------------- */

/* Served by an HTTP worker, to be done by others. */
static void
pass_on(void *payload, unsigned effects)
{
	(void) payload;
	(void) effects;
	aut__wake_worker();
}

static aut_status
api_open(aut__host *host, aut_error *err)
{
	const char *keys[2] = {host->settings.local_api_key, NULL};
	char address[64];
	aut_api_options options;
	uint16_t port;
	aut_status status = aut__listen_parse(aut__listen, address, sizeof(address), &port, err);

	if (status != AUT_OK)
		return status;
	if (keys[0] == NULL || keys[0][0] == '\0')
		keys[0] = NULL;
	if (keys[0] == NULL && !aut_settings_has_upstream(&host->settings))
		return aut_fail(err, AUT_EDENIED,
						"automation.listen needs a key: set automation.local_api_key_file");
	memset(&options, 0, sizeof(options));
	options.loop = host->loop;
	options.turn = &host->turn;
	options.engine = host->engine;
	options.settings = &host->settings;
	options.clock = aut_clock_system();
	options.address = address;
	options.port = port;
	options.keys = keys;
	options.sealer = aut__sealer();
	options.wake = pass_on;
	/* else a second server on the port would go unnoticed */
	options.reuse_port = aut__http_workers > 1;
	return aut_api_new(&options, &host->api, err);
}

static void
api_try(void *payload)
{
	aut__host *host = payload;
	aut_error err = AUT_ERROR_INIT;

	if (api_open(host, &err) == AUT_OK)
	{
		aut_log(AUT_LOG_INFO, "listening on %s", host->listen);
		return;
	}
	if (!host->listen_complained)
		aut_log(AUT_LOG_WARNING, "not listening on %s, will try again: %s", host->listen,
				err.message);
	host->listen_complained = true;
	aut_timer_set(host->listen_retry, LISTEN_RETRY_MS);
}

/* The worker itself, unless others do. */
static bool
serves(const aut__host *host)
{
	return host->role == AUT__ROLE_HTTP || (host->role == AUT__ROLE_MAIN && aut__http_workers == 0);
}

/* Make the listener what automation.listen says. */
static void
api_follow_settings(aut__host *host, bool keys_changed)
{
	const char *wanted = serves(host) && aut__listen != NULL ? aut__listen : "";

	if (strcmp(host->listen, wanted) == 0 && !keys_changed)
		return;
	aut_api_free(host->api);
	host->api = NULL;
	aut_timer_stop(host->listen_retry);
	strlcpy(host->listen, wanted, sizeof(host->listen));
	host->listen_complained = false;
	if (host->listen[0] != '\0')
		api_try(host);
}

/* ---- settings -------------------------------------------------------------------------------- */

static const char *
text_or_empty(const char *text)
{
	return text != NULL ? text : "";
}

static bool
differs(const char *a, const char *b)
{
	return strcmp(text_or_empty(a), text_or_empty(b)) != 0;
}

static aut_status
backend_open(aut__host *host, const aut_settings *settings, aut_backend **out, aut_error *err)
{
	bool there = aut_settings_backend(settings) == AUT_BACKEND_AGENT_SERVER;

	if (aut_settings_backend(settings) == AUT_BACKEND_CLOUD)
	{
		aut_cloud_options cloud = {.loop = host->loop,
								   .http = host->http,
								   .turn = &host->turn,
								   .settings = &host->settings,
								   .clock = aut_clock_system(),
								   .shared_by = aut__workers};

		return aut_backend_cloud_new(&cloud, out, err);
	}
	return aut_backend_configured_new(host->loop, host->http, aut_clock_system(), settings,
									  there ? text_or_empty(settings->agent_server_url) : "",
									  settings->workspace_base, out, err);
}

/* Base of the callback URLs: what people configured, else the listener itself, else none (then ends are
 * noticed by looking). */
static aut_status
find_api_url(const aut_settings *settings, char **out, aut_error *err)
{
	char address[64];
	uint16_t port = 0;
	const char *wanted = text_or_empty(aut__listen);
	char *url;

	if (wanted[0] != '\0' &&
		aut__listen_parse(wanted, address, sizeof(address), &port, err) != AUT_OK)
		return err->code;
	if (wanted[0] == '\0' && text_or_empty(settings->base_url)[0] == '\0')
		url = aut_strdup("");
	else
		url = aut_settings_api_url(settings, port);
	if (url == NULL)
		return aut_fail(err, AUT_ENOMEM, "no memory for the API's URL");
	*out = url;
	return AUT_OK;
}

/* Limits hold for the database: of several dispatchers each has its part. */
static void
share(const aut__host *host, aut_settings *settings)
{
	int64_t runs = settings->max_parallel_runs;

	settings->max_parallel_runs =
		runs / aut__workers + (host->number < runs % aut__workers ? 1 : 0);
	settings->max_agent_connections =
		(settings->max_agent_connections + aut__workers - 1) / aut__workers;
}

static aut_status
host_reload(aut__host *host, aut_error *err)
{
	aut_settings fresh, old = host->settings;
	aut_backend *backend = NULL;
	bool keys_changed;
	aut_status status = aut__settings_load(&fresh, true, err);

	if (status != AUT_OK)
		return status;
	share(host, &fresh);
	host->settings = fresh; /* what a new backend reads */
	if (host->role != AUT__ROLE_HTTP &&
		(aut_settings_backend(&fresh) != aut_settings_backend(&old) ||
		 differs(fresh.agent_server_url, old.agent_server_url) ||
		 differs(fresh.agent_server_api_key, old.agent_server_api_key) ||
		 differs(fresh.sandbox_agent_server_url, old.sandbox_agent_server_url) ||
		 differs(fresh.workspace_base, old.workspace_base) ||
		 differs(fresh.agent_server_auth_header, old.agent_server_auth_header) ||
		 fresh.hybrid_cloud != old.hybrid_cloud || differs(fresh.service_key, old.service_key) ||
		 differs(fresh.cloud_api_key, old.cloud_api_key) ||
		 differs(fresh.openhands_api_base_url, old.openhands_api_base_url)))
		status = backend_open(host, &fresh, &backend, err);
	if (status != AUT_OK)
	{
		host->settings = old;
		aut_settings_done(&fresh);
		return status;
	}
	/* who may call, also as far as the cloud says; what it said so far goes with the old listener */
	keys_changed = differs(fresh.local_api_key, old.local_api_key) ||
				   differs(fresh.openhands_api_base_url, old.openhands_api_base_url) ||
				   differs(fresh.cors_origins, old.cors_origins) ||
				   differs(fresh.base_url, old.base_url) ||
				   aut_settings_has_upstream(&fresh) != aut_settings_has_upstream(&old);
	aut_settings_done(&old);
	if (backend != NULL)
	{
		aut_engine_set_backend(host->engine, backend);
		aut_backend_free(host->backend);
		host->backend = backend;
	}
	api_follow_settings(host, keys_changed);
	return AUT_OK;
}

void
aut__host_reload(aut__host *host)
{
	aut_error err = AUT_ERROR_INIT;

	/* Key files may have new content under their old names, so always read everything. */
	aut__sealer_forget();
	if (host_reload(host, &err) != AUT_OK)
		aut_log(AUT_LOG_WARNING, "settings stay as they were: %s", err.message);
	aut__host_wake(host);
}

/* The first settings.  A bad one must not keep the engine away: whatever can be read is used. */
static aut_status
first_settings(aut__host *host, aut_error *err)
{
	if (aut__settings_load(&host->settings, true, err) == AUT_OK)
		return AUT_OK;
	aut_log(AUT_LOG_WARNING, "going on without keys: %s", err->message);
	if (aut__settings_load(&host->settings, false, err) == AUT_OK)
		return AUT_OK;
	aut_log(AUT_LOG_WARNING, "going on with default settings: %s", err->message);
	return aut_settings_init(&host->settings, err);
}

/* ---- life ------------------------------------------------------------------------------------ */

/* An end was committed: whoever waits for a run in automation.wait() looks again. */
static void
on_news(void *payload, const aut_uuid *run_id)
{
	(void) payload;
	(void) run_id;
	aut__wake_waiters();
}

static aut_status
engine_open(aut__host *host, aut_error *err)
{
	aut_engine_options options;
	aut_status status;

	memset(&options, 0, sizeof(options));
	options.loop = host->loop;
	options.turn = &host->turn;
	options.http = host->http;
	options.backend = host->backend;
	options.local = aut__action_runner(host->db);
	options.settings = &host->settings;
	options.clock = aut_clock_system();
	options.worker = host->worker;
	options.pid = (int64_t) getpid();
	options.api_url = host->api_url;
	options.sealer = aut__sealer();
	options.take_over = true; /* the guard lock proves that the last holder is gone */
	options.dispatch_only = host->role == AUT__ROLE_DISPATCHER;
	status = aut_engine_new(&options, &host->engine, err);
	if (status == AUT_OK)
		aut_engine_on_news(host->engine, on_news, host);
	return status;
}

/* Where runs are executed, and by what. */
static aut_status
execution_open(aut__host *host, aut_error *err)
{
	aut_status status = backend_open(host, &host->settings, &host->backend, err);

	if (status == AUT_OK)
		status = find_api_url(&host->settings, &host->api_url, err);
	if (status == AUT_OK)
		status = engine_open(host, err);
	return status;
}

/* The step that carries out requests where no engine does. */
static bool
flush(void *payload)
{
	aut__host *host = payload;

	return aut_turn_flush(&host->turn);
}

/*
 * On failure the process ends (the postmaster starts a new one), so what was opened before is left to
 * the exit.
 */
aut_status
aut__host_open(aut__role role, int number, aut__host **out, aut_error *err)
{
	aut_http_client_options http = AUT_HTTP_CLIENT_OPTIONS_INIT;
	aut__host *host = aut_calloc(1, sizeof(*host));
	aut_status status;

	if (host == NULL)
		return aut_fail(err, AUT_ENOMEM, "no memory for the worker");
	host->role = role;
	host->number = number;
	/* Stable: after a restart the same name finds its runs.  Differs in a copy of the database, whose
	 * worker must not take the original's for its own. */
	snprintf(host->worker, sizeof(host->worker), "worker %d of %u", number, MyDatabaseId);
	status = first_settings(host, err);
	share(host, &host->settings);
	if (status == AUT_OK)
		status = aut_loop_new(&host->loop, err);
	if (status == AUT_OK)
		status = aut_spi_worker_db(&host->db, err);
	if (status == AUT_OK)
	{
		aut_turn_init(&host->turn, host->db);
		http.max_per_host = (int) host->settings.max_agent_connections;
		status = aut_http_client_new(host->loop, &http, &host->http, err);
	}
	if (status == AUT_OK && role == AUT__ROLE_HTTP)
		status = aut_loop_add_step(host->loop, flush, host, err);
	if (status == AUT_OK && role != AUT__ROLE_HTTP)
		status = execution_open(host, err);
	if (status == AUT_OK)
		status = aut_timer_new(host->loop, api_try, host, &host->listen_retry, err);
	if (status != AUT_OK)
		return status;
	api_follow_settings(host, false);
	*out = host;
	return AUT_OK;
}

void
aut__host_wake(aut__host *host)
{
	if (host->engine == NULL)
		return;
	/* the postmaster tells so that an action's process ended */
	aut__action_tidy();
	aut_engine_local_wake(host->engine);
	aut_engine_wake(host->engine, ~0u);
}

void
aut__host_leave(aut__host *host)
{
	aut_error err = AUT_ERROR_INIT;
	aut_status status = AUT_OK;

	if (host->engine == NULL)
		return;
	status = aut_db_begin(host->db, &err);
	if (status == AUT_OK)
		status = aut_store_worker_leave(host->db, host->worker, &err);
	if (status == AUT_OK)
		status = aut_db_commit(host->db, &err);
	if (status != AUT_OK) /* then its lease runs out */
		aut_log(AUT_LOG_WARNING, "the lease was not given back: %s", err.message);
}

void
aut__host_adopt(aut__host *host)
{
	if (host->engine != NULL)
		aut_engine_adopt(host->engine);
}

void
aut__host_poll(aut__host *host)
{
	aut_loop_poll(host->loop);
}

int
aut__host_fd(aut__host *host)
{
	return aut_loop_fd(host->loop);
}

int
aut__host_timeout_ms(aut__host *host)
{
	return aut_loop_timeout_ms(host->loop);
}
