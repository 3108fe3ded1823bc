/* SPDX-License-Identifier: MIT */
/*
 * core/api/follow.c - GET /v1/runs/{id}/logs?follow=true: a run's output as server-sent events.
 *
 *   event: output   {"data", "after", "next"}   id: next (a reader that comes back sends it)
 *   event: phase    {"phase", "status"}         when either changes
 *   event: end      {"run"}                     the run has ended and its output is complete
 *
 * A follower looks into the database through a unit of its own, never more than one at a time: when the
 * engine has news of its run, when there was more than one look carries, and anyway every 15 s, where
 * a comment also keeps the connection alive.  It holds one part of the output at most.  A reader that
 * is too slow is waited for (the part is read again later); one that stands still for a minute is
 * dropped.  A stream that ends without `end` (we stop, or something failed) is to be taken up again
 * from the last id.
 *
 * Where the engine is in another process there is no news; then it looks once a second.
 *
 * Frees: a follower whose unit is in the turn is freed by that unit's done, else at once.
 */
#include <string.h>

#include "core/api/api_internal.h"

#define PART_BYTES      32768
#define KEEP_ALIVE_MS   15000
#define MORE_MS         1   /* let the sockets drain between two parts */
#define SLOW_MS         100 /* the reader's buffer is full */
#define SLOW_GIVE_UP_MS 60000
#define LAST_OUTPUT_MS  250 /* ended, but its output is still being read */
#define RETRY_MS        1000
#define NO_ENGINE_MS    1000 /* an engine elsewhere tells us nothing */
#define EVENT_RUN_MAX   4194304

struct aut_api_follower
{
	aut_unit unit; /* first: the turn knows only this */
	aut_api *api;
	aut_exchange *exchange; /* NULL: the client has gone, or the stream has ended */
	aut_api_follower *next, **link;
	const aut_identity *who;
	aut_api_caller *caller; /* who lives there; NULL: for ever */
	aut_uuid run_id;
	int64_t after;   /* next byte to send */
	int64_t sent_ms; /* when something was last written (monotonic) */
	bool busy;       /* the unit is in the turn */
	bool again;      /* news came meanwhile */
	aut_timer *timer;
	char *phase; /* last told */
	char *status;
	aut_call call;
	bool call_open;
	json_t *logs, *run; /* of the last look */
};

static int64_t
now_ms(const aut_api_follower *follower)
{
	return aut_mono_us(follower->api->clock) / AUT_US_PER_MS;
}

static void
drop_look(aut_api_follower *follower)
{
	json_decref(follower->logs);
	json_decref(follower->run);
	follower->logs = NULL;
	follower->run = NULL;
	if (follower->call_open)
		aut_call_done(&follower->call);
	follower->call_open = false;
}

/* Out of the list; the engine need not hurry for it any more. */
static void
detach(aut_api_follower *follower)
{
	if (follower->link == NULL)
		return;
	*follower->link = follower->next;
	if (follower->next != NULL)
		follower->next->link = follower->link;
	follower->link = NULL;
	if (follower->api->engine != NULL)
		aut_engine_follow(follower->api->engine, &follower->run_id, false);
}

static void
follower_free(aut_api_follower *follower)
{
	detach(follower);
	drop_look(follower);
	aut_timer_free(follower->timer);
	aut_free(follower->phase);
	aut_free(follower->status);
	aut__api_caller_unref(follower->caller);
	aut_free(follower);
}

static void
follower_gone(void *payload)
{
	aut_api_follower *follower = payload;

	follower->exchange = NULL;
	if (!follower->busy)
		follower_free(follower);
}

static void
stream_end(aut_api_follower *follower)
{
	aut_exchange *exchange = follower->exchange;

	if (exchange == NULL)
		return;
	follower->exchange = NULL;
	aut_exchange_set_payload(exchange, NULL, NULL);
	aut_exchange_stream_end(exchange);
}

/* ---- looking --------------------------------------------------------------------------------- */

static void
look(aut_api_follower *follower)
{
	if (follower->busy)
	{
		follower->again = true;
		return;
	}
	follower->busy = true;
	follower->again = false;
	aut__api_unit_add(follower->api, &follower->unit);
}

static aut_status
look_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	aut_api_follower *follower = (aut_api_follower *) unit;
	aut_api *api = follower->api;
	aut_status status;

	drop_look(follower);
	aut_call_init(&follower->call, db, api->settings, follower->who, aut_now_us(api->clock));
	follower->call_open = true;
	status = aut_service_run_logs(&follower->call, &follower->run_id, follower->after, PART_BYTES,
								  &follower->logs, err);
	if (status == AUT_OK)
		status = aut_service_run_get(&follower->call, &follower->run_id, &follower->run, err);
	return status;
}

/* ---- telling --------------------------------------------------------------------------------- */

/* One event; id NULL: none.  Takes data. */
static aut_status
write_event(aut_api_follower *follower, const char *name, const char *id, json_t *take_data)
{
	aut_status status = AUT_ENOMEM;
	size_t len = 0;
	char *text = aut_json_text(take_data, &len);
	aut_buf event;

	aut_buf_init(&event, EVENT_RUN_MAX);
	json_decref(take_data);
	if (text != NULL)
	{
		aut_buf_printf(&event, "event: %s\n", name);
		if (id != NULL)
			aut_buf_printf(&event, "id: %s\n", id);
		aut_buf_puts(&event, "data: ");
		aut_buf_append(&event, text, len);
		aut_buf_puts(&event, "\n\n");
		status = event.status;
	}
	if (status == AUT_OK)
		status = aut_exchange_stream_write(follower->exchange, event.data, event.len);
	if (status == AUT_OK)
		follower->sent_ms = now_ms(follower);
	aut_buf_done(&event);
	aut_free(text);
	return status;
}

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static aut_status
replace_text(char **inout, const char *text)
{
	char *copy = aut_strdup(text);

	if (text != NULL && copy == NULL)
		return AUT_ENOMEM;
	aut_free(*inout);
	*inout = copy;
	return AUT_OK;
}

static aut_status
tell_phase(aut_api_follower *follower)
{
	const char *phase = aut_json_string(follower->run, "current_phase");
	const char *run_status = aut_json_string(follower->run, "status");
	aut_status status;
	json_t *data;

	if (follower->status != NULL && same_text(follower->phase, phase) &&
		same_text(follower->status, run_status))
		return AUT_OK;
	data = json_object();
	if (!aut_json_set(data, "phase", aut_json_text_or_null(phase)) ||
		!aut_json_set(data, "status", aut_json_text_or_null(run_status)))
	{
		json_decref(data);
		return AUT_ENOMEM;
	}
	status = write_event(follower, "phase", NULL, data);
	if (status == AUT_OK)
		status = replace_text(&follower->phase, phase);
	if (status == AUT_OK)
		status = replace_text(&follower->status, run_status != NULL ? run_status : "");
	return status;
}

static aut_status
tell_output(aut_api_follower *follower)
{
	json_t *text = json_object_get(follower->logs, "data");
	json_int_t next = json_integer_value(json_object_get(follower->logs, "next"));
	aut_buf id;
	aut_status status;
	json_t *data;

	if (json_string_length(text) == 0)
	{
		/* nothing, but the place may have moved over a part that is gone */
		if (next > follower->after)
			follower->after = next;
		return AUT_OK;
	}
	aut_buf_init(&id, 32);
	data = json_object();
	if (aut_buf_printf(&id, "%lld", (long long) next) != AUT_OK ||
		!aut_json_set(data, "data", json_incref(text)) ||
		!aut_json_set(data, "after", json_incref(json_object_get(follower->logs, "after"))) ||
		!aut_json_set(data, "next", json_integer(next)))
	{
		json_decref(data);
		status = AUT_ENOMEM;
	}
	else
		status = write_event(follower, "output", id.data, data);
	aut_buf_done(&id);
	if (status == AUT_OK)
		follower->after = next;
	return status;
}

static aut_status
tell_end(aut_api_follower *follower)
{
	json_t *data = json_object();

	if (!aut_json_set(data, "run", json_incref(follower->run)))
	{
		json_decref(data);
		return AUT_ENOMEM;
	}
	return write_event(follower, "end", NULL, data);
}

/*
 * Tell what the look has found.  Returns milliseconds until the next look, -1 when the stream is over.
 */
static int64_t
tell(aut_api_follower *follower)
{
	bool complete = json_is_true(json_object_get(follower->logs, "complete"));
	json_int_t total = json_integer_value(json_object_get(follower->logs, "total"));
	aut_run_status run_status = AUT_RUN_PENDING;
	const char *word = aut_json_string(follower->run, "status");
	aut_status status;

	status = tell_phase(follower);
	if (status == AUT_OK)
		status = tell_output(follower);
	if (status == AUT_OK && complete && follower->after >= total)
	{
		status = tell_end(follower);
		if (status == AUT_OK)
			return -1;
	}
	if (status == AUT_ELIMIT)
		return now_ms(follower) - follower->sent_ms > SLOW_GIVE_UP_MS ? -1 : SLOW_MS;
	if (status != AUT_OK)
		return -1;
	if (follower->after < total)
		return MORE_MS;
	if (word != NULL && aut_run_status_parse(word, &run_status) &&
		aut_run_status_terminal(run_status))
		return LAST_OUTPUT_MS;
	return KEEP_ALIVE_MS;
}

/* Something was found out: tell it, and plan the next look or end. */
static void
looked(aut_api_follower *follower, aut_status status, const aut_error *err)
{
	int64_t wait_ms = -1;

	if (follower->exchange != NULL)
	{
		if (status == AUT_OK)
			wait_ms = tell(follower);
		else if (aut_status_may_retry(status))
			wait_ms = RETRY_MS;
		else
			aut_log(AUT_LOG_WARNING, "following a run ends: %s", err->message);
	}
	drop_look(follower);
	if (wait_ms < 0)
	{
		stream_end(follower);
		follower_free(follower);
		return;
	}
	if (follower->again && wait_ms > MORE_MS && wait_ms != SLOW_MS)
		wait_ms = MORE_MS;
	if (follower->api->engine == NULL && wait_ms > NO_ENGINE_MS)
		wait_ms = NO_ENGINE_MS;
	aut_timer_set(follower->timer, wait_ms);
}

static void
look_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	aut_api_follower *follower = (aut_api_follower *) unit;
	aut_api *api = follower->api;

	follower->busy = false;
	looked(follower, status, err);
	aut__api_unit_done(api);
}

static void
tick(void *payload)
{
	aut_api_follower *follower = payload;
	static const char comment[] = ": keep-alive\n\n";

	if (follower->exchange == NULL)
		return;
	if (now_ms(follower) - follower->sent_ms >= KEEP_ALIVE_MS &&
		aut_exchange_stream_write(follower->exchange, comment, sizeof comment - 1) == AUT_OK)
		follower->sent_ms = now_ms(follower);
	look(follower);
}

/* ---- life ------------------------------------------------------------------------------------ */

static aut_api_follower *
follower_new(aut_api_request *request)
{
	aut_api *api = request->api;
	aut_api_follower *follower = aut_calloc(1, sizeof *follower);

	if (follower == NULL)
		return NULL;
	follower->unit.run = look_run;
	follower->unit.done = look_done;
	follower->api = api;
	follower->exchange = request->exchange;
	follower->who = request->who;
	follower->caller = aut__api_caller_ref(request->caller);
	follower->run_id = request->id;
	follower->after = request->after;
	follower->sent_ms = now_ms(follower);
	if (aut_timer_new(api->loop, tick, follower, &follower->timer, NULL) != AUT_OK)
	{
		follower_free(follower);
		return NULL;
	}
	return follower;
}

void
aut__api_follow(aut_api_request *request)
{
	aut_api *api = request->api;
	aut_api_follower *follower = api->stopping ? NULL : follower_new(request);

	if (follower == NULL)
	{
		aut__api_reply_detail(api, request->exchange, 503, "cannot follow now");
		return;
	}
	aut__api_cors(api, request->exchange);
	(void) aut_exchange_add_header(request->exchange, "Cache-Control", "no-cache");
	/* ask proxies not to collect what should flow */
	(void) aut_exchange_add_header(request->exchange, "X-Accel-Buffering", "no");
	aut_exchange_set_payload(request->exchange, follower, follower_gone);
	request->exchange = NULL;
	if (aut_exchange_stream_begin(follower->exchange, 200, "text/event-stream") != AUT_OK)
	{
		aut_exchange_set_payload(follower->exchange, NULL, NULL);
		aut_exchange_reply(follower->exchange, 503, NULL, NULL, 0);
		follower_free(follower);
		return;
	}
	follower->next = api->followers;
	follower->link = &api->followers;
	if (follower->next != NULL)
		follower->next->link = &follower->next;
	api->followers = follower;
	if (api->engine != NULL)
		aut_engine_follow(api->engine, &follower->run_id, true);
	/* what the request's own unit has read is the first look */
	follower->logs = json_incref(request->result);
	follower->run = json_incref(request->result2);
	looked(follower, AUT_OK, NULL);
}

void
aut__api_follow_news(void *payload, const aut_uuid *run_id)
{
	aut_api *api = payload;

	for (aut_api_follower *follower = api->followers; follower != NULL; follower = follower->next)
	{
		if (follower->exchange != NULL && aut_uuid_equal(&follower->run_id, run_id))
			look(follower);
	}
}

void
aut__api_follow_engine(aut_api *api, bool on)
{
	for (aut_api_follower *follower = api->followers; follower != NULL; follower = follower->next)
		aut_engine_follow(api->engine, &follower->run_id, on);
}

void
aut__api_follow_stop(aut_api *api)
{
	aut_api_follower *follower = api->followers;

	while (follower != NULL)
	{
		aut_api_follower *next = follower->next;

		stream_end(follower);
		detach(follower);
		if (!follower->busy)
			follower_free(follower);
		follower = next;
	}
}
