/* SPDX-License-Identifier: MIT */
/*
 * core/api/api.c - the listener, and the life of a request.
 *
 * A request object is made when a request has passed the guard, found its route and shown who it is.
 * It is the unit in the turn and lives until its `done`, whether or not its client is still there:
 * exchange is NULL from the moment the client has gone.  Failures before the unit (validation, a body
 * that is too long) answer at once; so do routes that need no database.
 *
 * Runs on the loop's thread only; nothing here blocks.
 */
#include <string.h>

#include "core/api/api_internal.h"

/* ---- requests -------------------------------------------------------------------------------- */

void
aut__api_request_reset(aut_api_request *request)
{
	json_decref(request->result);
	json_decref(request->result2);
	aut_rows_done(&request->rows);
	aut_free(request->name);
	aut_free(request->url);
	request->result = NULL;
	request->result2 = NULL;
	memset(&request->rows, 0, sizeof request->rows);
	request->name = NULL;
	request->url = NULL;
	request->code = 0;
	if (request->call_open)
		aut_call_done(&request->call);
	request->call_open = false;
}

void
aut__api_request_free(aut_api_request *request)
{
	aut__api_request_reset(request);
	aut_free(request->object_trouble);
	aut__api_caller_unref(request->caller);
	json_decref(request->profile_ids);
	json_decref(request->body);
	json_decref(request->problems);
	aut_arena_done(&request->arena);
	aut_free(request);
}

static void
request_gone(void *payload)
{
	aut_api_request *request = payload;

	request->exchange = NULL;
}

static void
request_answer(aut_api_request *request)
{
	const aut_api_route *route = request->route;
	int code = request->code != 0 ? request->code : route->code;

	if (route->answer != NULL)
		route->answer(request);
	else if (request->result == NULL)
		aut__api_reply(request->api, request->exchange, code, NULL, NULL, 0);
	else
	{
		aut__api_reply_json(request->api, request->exchange, code, request->result);
		request->result = NULL;
	}
}

static void
request_refuse(aut_api_request *request, aut_status status, const aut_error *err)
{
	if (request->route->refuse != NULL && request->route->refuse(request, status, err))
		return;
	aut__api_reply_error(request->api, request->exchange, status, err,
						 request->call_open ? request->call.problems : NULL);
}

static aut_status
unit_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	aut_api_request *request = (aut_api_request *) unit;
	aut_api *api = request->api;

	aut__api_request_reset(request);
	aut_call_init(&request->call, db, api->settings, request->who, aut_now_us(api->clock));
	request->call.agent_is_embedded = api->agent_is_embedded;
	request->call.sealer = api->sealer;
	request->call.api_port = api->server != NULL ? aut_api_port(api) : 0;
	if (request->has_agent_profiles)
		request->call.agent_profiles = &request->agent_profiles;
	request->call.may_store = true;
	request->call_open = true;
	return request->next != NULL ? request->next(request, db, err)
								 : request->route->run(request, db, err);
}

static void
unit_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	aut_api_request *request = (aut_api_request *) unit;
	aut_api *api = request->api;
	unsigned effects = request->call_open ? request->call.effects : 0;

	if (status == AUT_OK && request->next == NULL && request->route->after != NULL &&
		request->route->after(request))
		return;
	if (request->exchange != NULL)
	{
		if (status == AUT_OK)
			request_answer(request);
		else
			request_refuse(request, status, err);
	}
	if (status == AUT_OK && effects != 0 && api->engine != NULL)
		aut_engine_wake(api->engine, effects);
	else if (status == AUT_OK && effects != 0 && api->wake != NULL)
		api->wake(api->wake_payload, effects);
	/* the engine tells of what it did itself; this was done here */
	if (status == AUT_OK && (request->route->flags & AUT_ROUTE_NEWS) != 0)
		aut__api_follow_news(api, &request->id);
	aut__api_request_free(request);
	aut__api_unit_done(api);
}

/* Read what the route wants to know; collect problems. */
static aut_status
request_begin(aut_api_request *request, const aut_api_match *match, aut_error *err)
{
	aut_status status = AUT_OK;
	char name[32];

	if (match->id != NULL && !aut_uuid_parse(match->id, match->id_len, &request->id))
	{
		size_t len = match->id_name_len < sizeof name ? match->id_name_len : sizeof name - 1;

		memcpy(name, match->id_name, len);
		name[len] = '\0';
		status =
			aut__api_problem(request, "uuid_parsing", "path", name, "Input should be a valid UUID",
							 json_stringn(match->id, match->id_len), NULL, err);
	}
	if (status == AUT_OK && match->word != NULL)
	{
		request->word = aut_arena_strndup(&request->arena, match->word, match->word_len);
		if (request->word == NULL)
			status = aut_fail(err, AUT_ENOMEM, "out of memory");
	}
	if (status == AUT_OK && (request->route->flags & AUT_ROUTE_PAGE) != 0)
		status = aut__api_read_page(request, err);
	if (status == AUT_OK && request->route->begin != NULL)
		status = request->route->begin(request, err);
	if (status == AUT_OK && request->problems != NULL)
		status = aut_fail(err, AUT_EINVAL, "the request is not valid");
	return status;
}

void
aut__api_request_go(aut_api_request *request)
{
	if (request->route->run == NULL)
	{
		request_answer(request);
		aut__api_request_free(request);
		return;
	}
	aut_exchange_set_payload(request->exchange, request, request_gone);
	aut__api_unit_add(request->api, &request->unit);
}

static void
request_start(aut_api *api, aut_exchange *exchange, const aut_api_match *match,
			  const aut_identity *who, aut_api_caller *caller)
{
	aut_error err = AUT_ERROR_INIT;
	aut_api_request *request = aut_calloc(1, sizeof *request);
	aut_status status;

	if (request == NULL)
	{
		aut__api_reply_detail(api, exchange, 503, "out of memory");
		return;
	}
	request->unit.run = unit_run;
	request->unit.done = unit_done;
	request->api = api;
	request->exchange = exchange;
	request->route = match->route;
	request->who = who;
	request->caller = aut__api_caller_ref(caller);
	status = request_begin(request, match, &err);
	if (status != AUT_OK)
	{
		aut__api_reply_error(api, exchange, status, &err, request->problems);
		aut__api_request_free(request);
	}
	else if (aut__api_profiles_wanted(request))
		aut__api_profiles_ask(request);
	else
		aut__api_request_go(request);
}

void
aut__api_admit(aut_api *api, aut_exchange *exchange, const aut_api_match *match,
			   const aut_identity *who, aut_api_caller *caller)
{
	const char *permission = match->route->permission;
	aut_error err = AUT_ERROR_INIT;

	/* what depends on the row (A, E, O) is the service's to judge */
	if (!who->view)
		(void) aut_fail(&err, AUT_EDENIED, "Missing permission: view_automations");
	else if (!who->manage && permission != NULL && strcmp(permission, "M") == 0)
		(void) aut_fail(&err, AUT_EDENIED, "Missing permission: manage_automations");
	if (err.code != AUT_OK)
		aut__api_reply_error(api, exchange, err.code, &err, NULL);
	else
		request_start(api, exchange, match, who, caller);
}

/* ---- no route -------------------------------------------------------------------------------- */

static void
refuse_method(aut_api *api, aut_exchange *exchange, const char *path)
{
	aut_buf allow;

	aut_buf_init(&allow, 200);
	aut__api_allow(api, path, &allow);
	if (allow.status == AUT_OK && allow.data != NULL)
		(void) aut_exchange_add_header(exchange, "Allow", allow.data);
	aut_buf_done(&allow);
	aut__api_reply_detail(api, exchange, 405, "Method Not Allowed");
}

struct query_copy
{
	aut_buf *out;
	size_t count;
};

static bool
query_copy_step(void *payload, const char *name, const char *value)
{
	struct query_copy *copy = payload;

	aut_buf_putc(copy->out, copy->count++ == 0 ? '?' : '&');
	aut_url_encode(copy->out, name, strlen(name), "");
	if (value != NULL)
	{
		aut_buf_putc(copy->out, '=');
		aut_url_encode(copy->out, value, strlen(value), "");
	}
	return true;
}

/* A path that would be known without its trailing slashes: send the client there. */
static bool
redirect_slash(aut_api *api, aut_exchange *exchange, const char *path)
{
	size_t len = strlen(path);
	size_t shorter = len;
	struct query_copy copy = {NULL, 0};
	aut_api_match match;
	aut_buf location;
	char *canonical;
	bool known = false;

	while (shorter > 0 && path[shorter - 1] == '/')
		shorter--;
	if (shorter == len || shorter == 0)
		return false;
	aut_buf_init(&location, 16384);
	canonical = aut_strndup(path, shorter);
	if (canonical != NULL)
	{
		aut__api_match(api, aut_exchange_method(exchange), canonical, &match);
		known = match.path_known;
	}
	if (known)
	{
		copy.out = &location;
		aut_url_encode(&location, canonical, shorter, "/:@!$&'()*+,;=");
		aut_exchange_each_query(exchange, query_copy_step, &copy);
		known = location.status == AUT_OK &&
				aut_exchange_add_header(exchange, "Location", location.data) == AUT_OK;
	}
	aut_free(canonical);
	aut_buf_done(&location);
	if (known)
		aut__api_reply(api, exchange, 307, NULL, NULL, 0);
	return known;
}

static void
handle(void *payload, aut_exchange *exchange)
{
	aut_api *api = payload;
	const char *path = aut_exchange_path(exchange);
	const aut_identity *who = NULL;
	aut_error err = AUT_ERROR_INIT;
	aut_api_credential credential;
	aut_api_match match;

	if (aut__api_guard(api, exchange))
		return;
	aut__api_match(api, aut_exchange_method(exchange), path, &match);
	if (match.route == NULL)
	{
		if (match.path_known)
			refuse_method(api, exchange, path);
		else if (!redirect_slash(api, exchange, path))
			aut__api_reply_detail(api, exchange, 404, "Not Found");
		return;
	}
	if ((match.route->flags & AUT_ROUTE_AUTH) == 0)
		request_start(api, exchange, &match, NULL, NULL);
	else if (aut__api_reports_itself(api, exchange, &match))
		aut__api_admit(api, exchange, &match, aut_identity_run(), NULL);
	else if (aut__api_authenticate(api, exchange, &credential, &who, &err) != AUT_OK)
		aut__api_reply_error(api, exchange, err.code, &err, NULL);
	else if (who != NULL)
		aut__api_admit(api, exchange, &match, who, NULL);
	else
		aut__api_upstream_admit(api, exchange, &credential, &match);
}

/* ---- life ------------------------------------------------------------------------------------ */

static aut_status
keys_init(aut_api *api, const char *const *keys, aut_error *err)
{
	size_t count = 0;

	for (; keys != NULL && keys[count] != NULL; count++)
	{
		if (count == AUT_API_KEYS_MAX)
			return aut_fail(err, AUT_EINVAL, "more than %d API keys", AUT_API_KEYS_MAX);
		if (keys[count][0] == '\0')
			return aut_fail(err, AUT_EINVAL, "an API key is empty");
		api->keys[count] = aut_strdup(keys[count]);
		if (api->keys[count] == NULL)
			return aut_fail(err, AUT_ENOMEM, "out of memory");
	}
	if (count == 0 && !aut_settings_has_upstream(api->settings))
		return aut_fail(err, AUT_EINVAL,
						"the HTTP API needs at least one key, or a cloud that knows who calls");
	return AUT_OK;
}

static aut_status
listen_start(aut_api *api, const aut_api_options *options, aut_error *err)
{
	aut_http_server_options server = AUT_HTTP_SERVER_OPTIONS_INIT;

	server.address = options->address;
	server.port = options->port;
	server.reuse_port = options->reuse_port;
	server.body_max = AUT_API_BODY_MAX;
	server.handle = handle;
	server.payload = api;
	return aut_http_server_new(api->loop, &server, &api->server, err);
}

aut_status
aut_api_new(const aut_api_options *options, aut_api **out, aut_error *err)
{
	aut_api *api = aut_calloc(1, sizeof *api);
	aut_status status;

	if (api == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	api->loop = options->loop;
	api->turn = options->turn;
	api->settings = options->settings;
	api->clock = options->clock;
	api->agent_is_embedded = options->agent_is_embedded;
	api->keys_generated = options->keys_generated;
	api->sealer = options->sealer;
	api->wake = options->wake;
	api->wake_payload = options->wake_payload;
	api->prefix = aut_settings_api_prefix(options->settings);
	status = api->prefix != NULL ? AUT_OK : aut_fail(err, AUT_ENOMEM, "out of memory");
	if (status == AUT_OK)
		status = keys_init(api, options->keys, err);
	if (status == AUT_OK)
		status = aut__api_guard_init(api, options->address, err);
	if (status == AUT_OK)
		status = listen_start(api, options, err);
	if (status != AUT_OK)
	{
		aut_api_free(api);
		return status;
	}
	aut_api_set_engine(api, options->engine);
	*out = api;
	return AUT_OK;
}

/* Does the engine tell us what happens? */
static void
engine_listen(aut_api *api, bool on)
{
	if (api->engine == NULL)
		return;
	aut__api_follow_engine(api, on);
	aut_engine_on_news(api->engine, on ? aut__api_follow_news : NULL, api);
}

void
aut_api_set_engine(aut_api *api, aut_engine *engine)
{
	engine_listen(api, false);
	api->engine = engine;
	engine_listen(api, true);
}

uint16_t
aut_api_port(const aut_api *api)
{
	return aut_http_server_port(api->server);
}

void
aut_api_stop_accepting(aut_api *api)
{
	api->stopping = true;
	aut_http_server_stop_accepting(api->server);
	aut__api_follow_stop(api);
}

int
aut_api_active(const aut_api *api)
{
	return aut_http_server_active(api->server);
}

static void
api_drop(aut_api *api)
{
	aut_event_cache_free(api->events);
	aut__api_guard_done(api);
	for (size_t i = 0; api->keys[i] != NULL; i++)
	{
		memset(api->keys[i], 0, strlen(api->keys[i]));
		aut_free(api->keys[i]);
	}
	aut_free(api->prefix);
	aut_free(api);
}

void
aut_api_free(aut_api *api)
{
	if (api == NULL)
		return;
	api->stopping = true;
	if (api->server != NULL)
		aut__api_follow_stop(api);
	engine_listen(api, false);
	aut_http_server_free(api->server);
	api->server = NULL;
	aut__api_objects_free(api);
	aut__api_upstream_free(api);
	aut__api_profiles_free(api);
	api->freed = true;
	if (api->units == 0)
		api_drop(api);
}

void
aut__api_unit_add(aut_api *api, aut_unit *unit)
{
	api->units++;
	aut_turn_add(api->turn, unit);
	aut_loop_wake(api->loop);
}

void
aut__api_unit_done(aut_api *api)
{
	api->units--;
	if (api->freed && api->units == 0)
		api_drop(api);
}
