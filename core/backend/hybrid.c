/* SPDX-License-Identifier: MIT */
/*
 * core/backend/hybrid.c - an agent server of ours whose runs use the cloud beside it.
 *
 * The place is the agent server's; what is added is a key of the cloud and the cloud's URL, which are told
 * to the run, so that its program can ask the cloud for model settings, secrets and MCP configuration
 * while everything executes here.  The key is the configured one (cloud_api_key), else one made for the
 * automation's user with the service key and used for an hour.
 *
 *   acquire ─▶ the agent server's place ─▶ is there a key? ──no──▶ ask the cloud ─▶ handed over
 *                                               └──yes────────────────────────────▶
 */
#include <string.h>

#include "core/backend/agent_internal.h"
#include "core/backend/cloud_key.h"

#define KEYS_MAX   256
#define KEY_AGE_US (3600 * AUT_US_PER_S)

typedef struct user_key
{
	struct user_key *next; /* most recently used first */
	aut_uuid org_id, user_id;
	char *key;
	int64_t made_mono_us;
} user_key;

typedef struct hybrid
{
	aut_backend base;
	aut_backend *inner;
	aut_http_client *http;
	const aut_clock *clock;
	char *cloud_url, *cloud_key, *service_key;
	struct seat *seats;
	user_key *keys;
	size_t key_count;
} hybrid;

/* One acquire under way. */
typedef struct seat
{
	hybrid *self;
	struct seat *next, **link;
	aut_uuid org_id, user_id;
	aut_place_cb cb;
	void *payload;
	aut_place place;
	bool placed;
	aut_http_call *call;
} seat;

static void
secret_free(char *text)
{
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	aut_free(text);
}

static void
seat_free(seat *s)
{
	*s->link = s->next;
	if (s->next != NULL)
		s->next->link = s->link;
	if (s->call != NULL)
		aut_http_cancel(s->call);
	if (s->placed)
		aut_place_done(&s->place);
	aut_free(s);
}

/* ---- keys ---------------------------------------------------------------------------------- */

static void
key_free(hybrid *self, user_key **link)
{
	user_key *gone = *link;

	*link = gone->next;
	self->key_count--;
	secret_free(gone->key);
	aut_free(gone);
}

/* The user's key that is young enough, or NULL; old ones go on the way. */
static const char *
key_find(hybrid *self, const aut_uuid *org_id, const aut_uuid *user_id)
{
	int64_t oldest = aut_mono_us(self->clock) - KEY_AGE_US;
	const char *found = NULL;

	if (self->cloud_key[0] != '\0')
		return self->cloud_key;
	for (user_key **at = &self->keys; *at != NULL && found == NULL;)
	{
		if ((*at)->made_mono_us < oldest)
			key_free(self, at);
		else if (aut_uuid_equal(&(*at)->org_id, org_id) && aut_uuid_equal(&(*at)->user_id, user_id))
			found = (*at)->key;
		else
			at = &(*at)->next;
	}
	return found;
}

static aut_status
key_keep(hybrid *self, const seat *s, char *take_key, aut_error *err)
{
	user_key *kept = aut_malloc(sizeof *kept);

	if (kept == NULL)
	{
		secret_free(take_key);
		return aut_fail(err, AUT_ENOMEM, "no memory for a user's key");
	}
	*kept = (user_key){self->keys, s->org_id, s->user_id, take_key, aut_mono_us(self->clock)};
	self->keys = kept;
	self->key_count++;
	if (self->key_count > KEYS_MAX)
	{
		user_key **last = &self->keys;

		while ((*last)->next != NULL)
			last = &(*last)->next;
		key_free(self, last);
	}
	return AUT_OK;
}

/* ---- acquire ------------------------------------------------------------------------------- */

static void
seat_refuse(seat *s, aut_status status, const aut_error *error, const aut_place_trouble *trouble)
{
	aut_place_cb cb = s->cb;
	void *payload = s->payload;

	seat_free(s);
	cb(payload, status, NULL, error, trouble);
}

static void
seat_give(seat *s, const char *key)
{
	aut_place_cb cb = s->cb;
	void *payload = s->payload;
	aut_error error = AUT_ERROR_INIT;
	aut_place place = s->place;

	place.user_key = aut_strdup(key);
	place.cloud_url = aut_strdup(s->self->cloud_url);
	s->placed = false;
	if (place.user_key == NULL || place.cloud_url == NULL)
	{
		aut_place_done(&place);
		(void) aut_fail(&error, AUT_ENOMEM, "no memory for a run's place");
		seat_refuse(s, AUT_ENOMEM, &error, NULL);
		return;
	}
	seat_free(s);
	cb(payload, AUT_OK, &place, &error, NULL);
}

static void
minted(void *payload, const aut_http_reply *reply)
{
	seat *s = payload;
	hybrid *self = s->self;
	aut_error error = AUT_ERROR_INIT;
	char *key = NULL;
	aut_status status;

	s->call = NULL;
	status = aut__cloud_key_read(reply, &key, &error);
	if (status == AUT_OK)
		status = key_keep(self, s, key, &error);
	if (status == AUT_OK)
		seat_give(s, self->keys->key);
	else
		seat_refuse(s, status, &error, NULL);
}

static void
placed(void *payload, aut_status status, aut_place *take_place, const aut_error *error,
	   const aut_place_trouble *trouble)
{
	seat *s = payload;
	hybrid *self = s->self;
	aut_error err = AUT_ERROR_INIT;
	const char *key;

	if (status != AUT_OK)
	{
		seat_refuse(s, status, error, trouble);
		return;
	}
	s->place = *take_place;
	s->placed = true;
	key = key_find(self, &s->org_id, &s->user_id);
	if (key != NULL)
	{
		seat_give(s, key);
		return;
	}
	status = aut__cloud_key_ask(self->http, self->cloud_url, self->service_key, &s->org_id,
								&s->user_id, minted, s, &s->call, &err);
	if (status != AUT_OK)
	{
		s->call = NULL;
		seat_refuse(s, status, &err, NULL);
	}
}

static aut_status
acquire(aut_backend *backend, const aut_run_task *task, aut_place_cb cb, void *payload,
		aut_error *err)
{
	hybrid *self = (hybrid *) backend;
	seat *s = aut_calloc(1, sizeof *s);
	aut_status status;

	if (s == NULL)
		return aut_fail(err, AUT_ENOMEM, "no memory for a run's place");
	*s = (seat){.self = self,
				.next = self->seats,
				.link = &self->seats,
				.org_id = task->org_id,
				.user_id = task->user_id,
				.cb = cb,
				.payload = payload};
	if (s->next != NULL)
		s->next->link = &s->next;
	self->seats = s;
	status = self->inner->ops->acquire(self->inner, task, placed, s, err);
	if (status != AUT_OK)
		seat_free(s);
	return status;
}

static void
forget(aut_backend *backend, void *payload)
{
	hybrid *self = (hybrid *) backend;
	seat *s = self->seats;

	while (s != NULL && s->payload != payload)
		s = s->next;
	if (s == NULL)
		return;
	self->inner->ops->forget(self->inner, s);
	seat_free(s);
}

/* ---- the agent server's --------------------------------------------------------------------- */

static void
release(aut_backend *backend, const aut_run_task *task, bool keep, bool used)
{
	hybrid *self = (hybrid *) backend;

	self->inner->ops->release(self->inner, task, keep, used);
}

static bool
ready(aut_backend *backend, const char **out_reason)
{
	hybrid *self = (hybrid *) backend;

	return self->inner->ops->ready(self->inner, out_reason);
}

static aut_status
standing(aut_backend *backend, aut_place *out, aut_error *err)
{
	hybrid *self = (hybrid *) backend;

	return self->inner->ops->standing(self->inner, out, err);
}

static void
hybrid_free(aut_backend *backend)
{
	hybrid *self = (hybrid *) backend;

	while (self->seats != NULL)
		seat_free(self->seats);
	while (self->keys != NULL)
		key_free(self, &self->keys);
	aut_backend_free(self->inner);
	aut_free(self->cloud_url);
	secret_free(self->cloud_key);
	secret_free(self->service_key);
	aut_free(self);
}

/* An agent server has no check of its own and nothing to write down. */
static const aut_backend_ops OPS = {.version = 1,
									.name = "agent-server",
									.acquire = acquire,
									.forget = forget,
									.release = release,
									.ready = ready,
									.free = hybrid_free,
									.standing = standing};

/* take_inner moves in, also on failure. */
static aut_status
hybrid_new(aut_http_client *http, const aut_clock *clock, const aut_settings *settings,
		   aut_backend *take_inner, aut_backend **out, aut_error *err)
{
	hybrid *self = aut_calloc(1, sizeof *self);

	if (self == NULL)
	{
		aut_backend_free(take_inner);
		return aut_fail(err, AUT_ENOMEM, "no memory for the backend's settings");
	}
	self->base.ops = &OPS;
	self->inner = take_inner;
	self->http = http;
	self->clock = clock;
	self->cloud_url = aut_settings_cloud_url(settings, "");
	self->cloud_key = aut_strdup(settings->cloud_api_key);
	self->service_key = aut_strdup(settings->service_key);
	if (self->cloud_url == NULL || self->cloud_key == NULL || self->service_key == NULL)
	{
		hybrid_free(&self->base);
		return aut_fail(err, AUT_ENOMEM, "no memory for the backend's settings");
	}
	*out = &self->base;
	return AUT_OK;
}

aut_status
aut_backend_configured_new(aut_loop *loop, aut_http_client *http, const aut_clock *clock,
						   const aut_settings *settings, const char *url, const char *work_base,
						   aut_backend **out, aut_error *err)
{
	aut_backend *made = NULL;
	bool keyed = settings->cloud_api_key[0] != '\0' || settings->service_key[0] != '\0';
	aut_status status =
		aut_backend_agent_server_new(loop, url, settings->agent_server_api_key,
									 settings->sandbox_agent_server_url, work_base, &made, err);

	if (status == AUT_OK)
	{
		status = aut__agent_server_key_header(made, settings->agent_server_auth_header, err);
		if (status != AUT_OK)
			aut_backend_free(made);
	}
	if (status == AUT_OK && settings->hybrid_cloud && url[0] != '\0' && !keyed)
		aut_log(AUT_LOG_WARNING,
				"hybrid_cloud is on, but there is no key of the cloud: runs get none");
	if (status == AUT_OK && settings->hybrid_cloud && url[0] != '\0' && keyed)
		status = hybrid_new(http, clock, settings, made, &made, err);
	if (status == AUT_OK)
		*out = made;
	return status;
}
