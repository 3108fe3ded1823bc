/* SPDX-License-Identifier: MIT */
/*
 * core/api/upstream.c - asking the cloud who sends a request.
 *
 * GET /api/v1/users/me with the caller's own credential, on the loop: a request that has to wait for the
 * answer is parked, nothing blocks.  Answers are believed for auth_cache_ttl and remembered under a
 * SHA-256 of method, organization and credential; the credential itself is held only while it is asked
 * with, and wiped after.  Requests with the same credential share one question.  Failures are not
 * remembered: the next request asks again.
 *
 *     (none) --first request--> ASKING --200--> KNOWN --ttl, or pushed out--> (none)
 *                                 |  ^ 429: again after 1, 2, 4 … s
 *                                 +--anything else: all who wait are answered, and (none)
 *
 * Known entries stand in a list, least recently used last; at most auth_cache_size of them stay.  Those
 * that are being asked for are as many as there are connections waiting, which the listener bounds.
 */
#include <string.h>

#include "core/api/api_internal.h"

#define BUCKETS      1024
#define DIGEST_BYTES 32
/* A user's settings come along with who it is. */
#define ANSWER_MAX 1048576
typedef struct entry entry;

/* A request that waits for an answer. */
typedef struct waiter
{
	struct waiter *next, **prev_next;
	aut_exchange *exchange;
	aut_api_match match; /* points into the exchange */
} waiter;

struct entry
{
	uint8_t digest[DIGEST_BYTES];
	entry *bucket_next;
	aut_api_upstream *upstream;

	/* KNOWN */
	aut_api_caller *caller; /* NULL: ASKING */
	int64_t until_us;
	entry *newer, *older;

	/* ASKING */
	waiter *waiters;
	aut_http_call *call;
	aut_timer *timer; /* for the next try */
	int64_t tries;
	char *lines[AUT_API_CREDENTIAL_LINES]; /* with the credential */
};

struct aut_api_upstream
{
	aut_api *api;
	aut_http_client *http;
	entry *buckets[BUCKETS];
	entry *newest, *oldest;
	int64_t known;
};

/* ---- the cache ------------------------------------------------------------------------------- */

static void
wipe(char *text)
{
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	aut_free(text);
}

static entry **
bucket_of(aut_api_upstream *upstream, const uint8_t *digest)
{
	return &upstream->buckets[((unsigned) digest[0] << 8 | digest[1]) % BUCKETS];
}

static entry *
find(aut_api_upstream *upstream, const uint8_t *digest)
{
	entry *e = *bucket_of(upstream, digest);

	while (e != NULL && memcmp(e->digest, digest, DIGEST_BYTES) != 0)
		e = e->bucket_next;
	return e;
}

static void
list_remove(entry *e)
{
	aut_api_upstream *upstream = e->upstream;

	*(e->newer != NULL ? &e->newer->older : &upstream->newest) = e->older;
	*(e->older != NULL ? &e->older->newer : &upstream->oldest) = e->newer;
	e->newer = e->older = NULL;
	upstream->known--;
}

static void
list_add(entry *e)
{
	aut_api_upstream *upstream = e->upstream;

	e->older = upstream->newest;
	*(upstream->newest != NULL ? &upstream->newest->newer : &upstream->oldest) = e;
	upstream->newest = e;
	upstream->known++;
}

/* What asking needed. */
static void
asked(entry *e)
{
	if (e->call != NULL)
		aut_http_cancel(e->call);
	e->call = NULL;
	aut_timer_free(e->timer);
	e->timer = NULL;
	for (size_t i = 0; i < AUT_API_CREDENTIAL_LINES; i++)
	{
		wipe(e->lines[i]);
		e->lines[i] = NULL;
	}
}

static void
forget(entry *e)
{
	entry **at = bucket_of(e->upstream, e->digest);

	while (*at != e)
		at = &(*at)->bucket_next;
	*at = e->bucket_next;
	if (e->caller != NULL)
		list_remove(e);
	asked(e);
	aut__api_caller_unref(e->caller);
	aut_free(e);
}

/* ---- those who wait -------------------------------------------------------------------------- */

static void
waiter_remove(waiter *w)
{
	*w->prev_next = w->next;
	if (w->next != NULL)
		w->next->prev_next = w->prev_next;
}

/* The client went away; the answer may still be of use to others, and to its next request. */
static void
waiter_gone(void *payload)
{
	waiter *w = payload;

	waiter_remove(w);
	aut_free(w);
}

static bool
waiter_add(entry *e, aut_exchange *exchange, const aut_api_match *match)
{
	waiter *w = aut_calloc(1, sizeof *w);

	if (w == NULL)
		return false;
	w->exchange = exchange;
	w->match = *match;
	w->next = e->waiters;
	w->prev_next = &e->waiters;
	if (w->next != NULL)
		w->next->prev_next = &w->next;
	e->waiters = w;
	aut_exchange_set_payload(exchange, w, waiter_gone);
	return true;
}

/* An answer has come: caller, or (NULL) why there is none.  The entry may be gone afterwards. */
static void
settle(entry *e, aut_api_caller *take_caller, const aut_error *err)
{
	aut_api_upstream *upstream = e->upstream;
	aut_api *api = upstream->api;
	const aut_settings *settings = api->settings;
	waiter *waiting = e->waiters;

	e->waiters = NULL;
	if (waiting != NULL)
		waiting->prev_next = &waiting;
	asked(e);
	if (take_caller == NULL || settings->auth_cache_ttl == 0 || settings->auth_cache_size == 0)
		forget(e);
	else
	{
		e->caller = aut__api_caller_ref(take_caller);
		e->until_us = aut_mono_us(api->clock) + settings->auth_cache_ttl * 1000;
		list_add(e);
		while (upstream->known > settings->auth_cache_size)
			forget(upstream->oldest);
	}
	while (waiting != NULL)
	{
		waiter *w = waiting;
		aut_exchange *exchange = w->exchange;
		aut_api_match match = w->match;

		waiter_remove(w);
		aut_free(w);
		aut_exchange_set_payload(exchange, NULL, NULL);
		if (take_caller != NULL)
			aut__api_admit(api, exchange, &match, &take_caller->who, take_caller);
		else
			aut__api_reply_error(api, exchange, err->code, err, NULL);
	}
	aut__api_caller_unref(take_caller);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void ask(entry *e);

static void
ask_again(void *payload)
{
	ask(payload);
}

/* Too many requests: once more, later.  False: that was the last try. */
static bool
try_later(entry *e)
{
	const aut_settings *settings = e->upstream->api->settings;
	int64_t wait_ms = settings->auth_initial_backoff;

	if (e->tries > settings->auth_max_retries)
		return false;
	for (int64_t i = 1; i < e->tries && wait_ms < settings->auth_max_backoff; i++)
		wait_ms *= 2;
	if (wait_ms > settings->auth_max_backoff)
		wait_ms = settings->auth_max_backoff;
	if (e->timer == NULL &&
		aut_timer_new(e->upstream->api->loop, ask_again, e, &e->timer, NULL) != AUT_OK)
		return false;
	aut_timer_set(e->timer, wait_ms);
	return true;
}

static void
answered(void *payload, const aut_http_reply *reply)
{
	entry *e = payload;
	aut_api_caller *caller = NULL;
	aut_error err = AUT_ERROR_INIT;

	e->call = NULL;
	if (reply->status == AUT_ENOMEM)
		(void) aut_fail(&err, AUT_ENOMEM, "out of memory");
	else if (reply->status != AUT_OK)
		(void) aut_fail(&err, AUT_ENET, "The identity service cannot be reached");
	else if (reply->code == 200)
		(void) aut__api_caller_read(reply->body, reply->body_len, &caller, &err);
	else if (reply->code == 401)
		(void) aut_fail(&err, AUT_EUNAUTH, "Invalid or expired credential");
	else if (reply->code == 429)
	{
		if (try_later(e))
			return;
		(void) aut_fail(&err, AUT_ETOOMANY, "The identity service is too busy; try again later");
	}
	else
		(void) aut_fail(&err, AUT_EPROTO, "The identity service answered with %d", reply->code);
	settle(e, caller, &err);
}

static void
ask(entry *e)
{
	const aut_settings *settings = e->upstream->api->settings;
	char *url = aut_settings_cloud_url(settings, "/api/v1/users/me");
	aut_error err = AUT_ERROR_INIT;
	aut_http_request request = {0};
	aut_status status = AUT_ENOMEM;

	request.method = "GET";
	request.url = url;
	request.headers = (const char *const *) e->lines;
	request.timeout_ms = settings->http_timeout;
	request.reply_max = ANSWER_MAX;
	request.cb = answered;
	request.payload = e;
	e->tries++;
	if (url != NULL)
		status = aut_http_send(e->upstream->http, &request, &e->call, &err);
	aut_free(url);
	if (status == AUT_OK)
		return;
	if (status == AUT_ENOMEM)
		(void) aut_fail(&err, AUT_ENOMEM, "out of memory");
	else
		(void) aut_fail(&err, AUT_EPROTO, "The identity service cannot be asked like that");
	settle(e, NULL, &err);
}

bool
aut__api_credential_lines(const aut_api_credential *credential, char **lines)
{
	char id[AUT_UUID_TEXT_MAX];
	size_t count = 0;

	if (credential->cookie != NULL)
		lines[count++] = aut_printf("Cookie: %s=%s", credential->cookie, credential->text);
	else
		lines[count++] =
			aut_printf("Authorization: Bearer %.*s", (int) credential->len, credential->text);
	if (lines[0] != NULL && credential->has_org)
		lines[count++] = aut_printf("X-Org-Id: %s", aut_uuid_format(&credential->org_id, id));
	lines[count] = NULL;
	return lines[count - 1] != NULL;
}

/* Of everything the answer may depend on; parts are told apart by NULs, which no header holds. */
static aut_status
digest_of(const aut_api_credential *credential, uint8_t digest[DIGEST_BYTES], aut_error *err)
{
	char id[AUT_UUID_TEXT_MAX] = "";
	const char *method = credential->cookie != NULL ? credential->cookie : "bearer";
	aut_status status;
	aut_buf text;

	aut_buf_init(&text, credential->len + 200);
	if (credential->has_org)
		(void) aut_uuid_format(&credential->org_id, id);
	(void) aut_buf_append(&text, method, strlen(method) + 1);
	(void) aut_buf_append(&text, id, strlen(id) + 1);
	(void) aut_buf_append(&text, credential->text, credential->len);
	status = text.status == AUT_OK ? aut_sha256(text.data, text.len, digest, err)
								   : aut_fail(err, AUT_ENOMEM, "out of memory");
	if (text.data != NULL)
		explicit_bzero(text.data, text.len);
	aut_buf_done(&text);
	return status;
}

static aut_status
upstream_open(aut_api *api, aut_error *err)
{
	aut_http_client_options options = AUT_HTTP_CLIENT_OPTIONS_INIT;
	aut_api_upstream *upstream = aut_calloc(1, sizeof *upstream);

	if (upstream == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	upstream->api = api;
	if (aut_http_client_new(api->loop, &options, &upstream->http, err) != AUT_OK)
	{
		aut_free(upstream);
		return aut_fail(err, AUT_EUNAVAILABLE, "The identity service cannot be asked now");
	}
	api->upstream = upstream;
	return AUT_OK;
}

aut_http_client *
aut__api_upstream_http(aut_api *api, aut_error *err)
{
	if (api->upstream == NULL && upstream_open(api, err) != AUT_OK)
		return NULL;
	return api->upstream->http;
}

static entry *
entry_new(aut_api_upstream *upstream, const uint8_t *digest, const aut_api_credential *credential)
{
	entry **bucket = bucket_of(upstream, digest);
	entry *e = aut_calloc(1, sizeof *e);

	if (e == NULL)
		return NULL;
	e->upstream = upstream;
	memcpy(e->digest, digest, DIGEST_BYTES);
	e->bucket_next = *bucket;
	*bucket = e;
	if (aut__api_credential_lines(credential, e->lines))
		return e;
	forget(e);
	return NULL;
}

void
aut__api_upstream_admit(aut_api *api, aut_exchange *exchange, const aut_api_credential *credential,
						const aut_api_match *match)
{
	aut_error err = AUT_ERROR_INIT;
	uint8_t digest[DIGEST_BYTES];
	entry *e = NULL;
	bool fresh = false;
	aut_status status = api->upstream != NULL ? AUT_OK : upstream_open(api, &err);

	if (status == AUT_OK)
		status = digest_of(credential, digest, &err);
	if (status == AUT_OK)
		e = find(api->upstream, digest);
	if (e != NULL && e->caller != NULL && aut_mono_us(api->clock) >= e->until_us)
	{
		forget(e);
		e = NULL;
	}
	if (e != NULL && e->caller != NULL)
	{
		aut_api_caller *caller = aut__api_caller_ref(e->caller);

		list_remove(e);
		list_add(e);
		aut__api_admit(api, exchange, match, &caller->who, caller);
		aut__api_caller_unref(caller);
		return;
	}
	if (status == AUT_OK && e == NULL)
	{
		e = entry_new(api->upstream, digest, credential);
		fresh = true;
	}
	if (status == AUT_OK && (e == NULL || !waiter_add(e, exchange, match)))
	{
		status = aut_fail(&err, AUT_ENOMEM, "out of memory");
		if (e != NULL && fresh)
			forget(e);
	}
	if (status != AUT_OK)
		aut__api_reply_error(api, exchange, status, &err, NULL);
	else if (fresh)
		ask(e);
}

void
aut__api_upstream_free(aut_api *api)
{
	aut_api_upstream *upstream = api->upstream;

	if (upstream == NULL)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
	{
		while (upstream->buckets[i] != NULL)
			forget(upstream->buckets[i]);
	}
	aut_http_client_free(upstream->http);
	aut_free(upstream);
	api->upstream = NULL;
}
