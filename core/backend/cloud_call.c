/* SPDX-License-Identifier: MIT */
/*
 * core/backend/cloud_call.c - calls to the cloud's API.
 *
 * The server counts every request of an address together and slows down or refuses more than ten in a
 * second, so all of them leave through one gate: at most CLOUD_PER_SECOND in any second and
 * CLOUD_IN_FLIGHT_MAX at once, taken in turn from three lanes so that a crowd of new sandboxes cannot
 * keep back the polls, nor the polls the deletions.
 *
 * A call for a user waits until there is a key for them.  A key is made with the service key, once; a
 * 401 or 403 drops it, and the call goes out once more with a new one.  Redirects are not followed: a
 * key goes to the configured address and nowhere else.
 */
#include <string.h>

#include "core/backend/cloud_internal.h"
#include "core/backend/cloud_key.h"

#define REPLY_MAX 1048576
#define ID_SHOWN  200

struct cloud_call
{
	cloud_call *next, **link; /* of its lane, or of those in flight */
	cloud *cloud;
	cloud_lane lane;
	bool flying;
	const char *method;
	char *path;
	cloud_user *user;
	int64_t timeout_ms;
	bool repeat;
	cloud_cb cb;
	void *payload;

	aut_http_call *http;
	uint64_t key_count; /* the key it went out with */
	bool renewed;       /* it was refused, and went out again with a new key */
	bool left;          /* it was sent at least once */
	int tries;          /* rate limits met */
	int64_t not_before_us;
	bool no_key;         /* to be answered: the key could not be made … */
	aut_error key_error; /* … and why */
};

/* ---- lists --------------------------------------------------------------------------------- */

static void
put(cloud_call *call, cloud_call **at)
{
	call->link = at;
	call->next = *at;
	if (call->next != NULL)
		call->next->link = &call->next;
	*at = call;
}

static void
put_last(cloud *self, cloud_call *call)
{
	call->flying = false;
	put(call, self->lane_tails[call->lane]);
	self->lane_tails[call->lane] = &call->next;
}

static void
take(cloud_call *call)
{
	cloud *self = call->cloud;

	if (!call->flying && self->lane_tails[call->lane] == &call->next)
		self->lane_tails[call->lane] = call->link;
	*call->link = call->next;
	if (call->next != NULL)
		call->next->link = call->link;
	if (call->flying)
		self->in_flight--;
	call->flying = false;
}

static void
call_free(cloud_call *call)
{
	cloud__user_unref(call->user);
	aut_free(call->path);
	aut_free(call);
}

/* ---- users --------------------------------------------------------------------------------- */

static void
user_free(cloud_user *user)
{
	if (user->mint != NULL)
		aut_http_cancel(user->mint);
	aut_free(user->key);
	aut_free(user);
}

/* Forget the key that was not used for longest, if there are too many. */
static void
users_trim(cloud *self)
{
	cloud_user **victim = NULL;

	if (self->user_count < CLOUD_USERS_MAX)
		return;
	for (cloud_user **at = &self->users; *at != NULL; at = &(*at)->next)
		if ((*at)->refs == 0 && !(*at)->minting)
			victim = at;
	if (victim != NULL)
	{
		cloud_user *gone = *victim;

		*victim = gone->next;
		self->user_count--;
		user_free(gone);
	}
}

cloud_user *
cloud__user_find(cloud *self, const aut_uuid *org_id, const aut_uuid *user_id, aut_error *err)
{
	cloud_user *user = NULL;

	for (cloud_user **at = &self->users; *at != NULL && user == NULL; at = &(*at)->next)
		if (aut_uuid_equal(&(*at)->org_id, org_id) && aut_uuid_equal(&(*at)->user_id, user_id))
		{
			/* the most recently used one first */
			user = *at;
			*at = user->next;
			user->next = self->users;
			self->users = user;
			break;
		}
	if (user == NULL)
	{
		users_trim(self);
		user = aut_calloc(1, sizeof *user);
		if (user == NULL)
		{
			aut_fail(err, AUT_ENOMEM, "no memory for a user of the cloud");
			return NULL;
		}
		user->cloud = self;
		user->org_id = *org_id;
		user->user_id = *user_id;
		user->next = self->users;
		self->users = user;
		self->user_count++;
	}
	user->refs++;
	return user;
}

void
cloud__user_unref(cloud_user *user)
{
	if (user != NULL)
		user->refs--;
}

/* ---- keys ---------------------------------------------------------------------------------- */

/* What waits for the key of a user fails. */
static void
key_failed(cloud_user *user, const aut_error *error)
{
	cloud *self = user->cloud;

	for (int lane = 0; lane < CLOUD_LANES; lane++)
		for (cloud_call *call = self->lanes[lane]; call != NULL; call = call->next)
			if (call->user == user)
			{
				call->no_key = true;
				call->key_error = *error;
			}
}

static void
minted(void *payload, const aut_http_reply *reply)
{
	cloud_user *user = payload;
	cloud *self = user->cloud;
	aut_error error = AUT_ERROR_INIT;

	user->mint = NULL;
	user->minting = false;
	self->in_flight--;
	if (aut__cloud_key_read(reply, &user->key, &error) != AUT_OK)
		key_failed(user, &error);
	else
	{
		user->key_count++;
		self->stats.minted++;
	}
	cloud__wake_at(self, 0);
}

/* Ask for a key; counts as a request.  False: not now. */
static void
mint(cloud_user *user)
{
	cloud *self = user->cloud;
	aut_error error = AUT_ERROR_INIT;
	aut_status status = aut__cloud_key_ask(self->http, self->url, self->service_key, &user->org_id,
										   &user->user_id, minted, user, &user->mint, &error);

	if (status == AUT_OK)
	{
		user->minting = true;
		self->in_flight++;
	}
	else
		key_failed(user, &error);
}

/* ---- answers ------------------------------------------------------------------------------- */

/* What an answer says of itself: `detail`, `message`, or the whole when it is a text. */
static const char *
detail_of(const json_t *root)
{
	const json_t *detail = json_object_get(root, "detail");

	if (json_is_string(root))
		return json_string_value(root);
	if (json_is_string(detail))
		return json_string_value(detail);
	if (json_is_object(detail))
		return aut_json_string(detail, "message");
	return aut_json_string(root, "message");
}

static void
answer(cloud_call *call, const cloud_answer *what)
{
	cloud_cb cb = call->cb;
	void *payload = call->payload;

	take(call);
	call_free(call);
	cb(payload, what);
}

static bool
is_transient(int code)
{
	return code == 408 || code == 429 || code >= 500;
}

/* A 429 that is not about how many sandboxes a user may have. */
static bool
is_rate_limit(const aut_http_reply *reply, const json_t *root)
{
	const json_t *detail = json_object_get(root, "detail");
	const char *error = aut_json_string(json_is_object(detail) ? detail : root, "error");

	return reply->code == 429 && (error == NULL || (strcmp(error, AUT_CLOUD_LIMIT_RUNS) != 0 &&
													strcmp(error, AUT_CLOUD_LIMIT_DAY) != 0));
}

/* The contract's wait: 1, 2, 4 … seconds, within the two settings, and what the server asks for. */
static int64_t
rate_wait_ms(const cloud *self, const cloud_call *call, const aut_http_reply *reply)
{
	int64_t ms = INT64_C(1000) << (call->tries < 10 ? call->tries : 10);

	if (reply->retry_after_s > 0 && reply->retry_after_s < 86400 &&
		reply->retry_after_s * 1000 > ms)
		ms = reply->retry_after_s * 1000;
	if (ms < self->settings->rate_limit_min_wait)
		ms = self->settings->rate_limit_min_wait;
	return ms > self->settings->rate_limit_max_wait ? self->settings->rate_limit_max_wait : ms;
}

/* Back into its lane, to be sent again; first among equals. */
static void
again(cloud_call *call, int64_t not_before_us)
{
	cloud *self = call->cloud;

	take(call);
	call->not_before_us = not_before_us;
	if (self->lane_tails[call->lane] == &self->lanes[call->lane])
		put_last(self, call);
	else
		put(call, &self->lanes[call->lane]);
	cloud__wake_at(self, not_before_us);
}

static void
replied(void *payload, const aut_http_reply *reply)
{
	cloud_call *call = payload;
	cloud *self = call->cloud;
	cloud_answer what = {.code = reply->code};

	call->http = NULL;
	cloud__wake_at(self, 0); /* there is room */
	if (reply->status != AUT_OK)
	{
		what.status = reply->status;
		what.error = reply->error;
		what.unsent = reply->unsent;
		what.uncertain = !what.unsent;
		if (what.unsent && call->repeat && ++call->tries < self->settings->rate_limit_max_retries)
		{
			again(call, cloud__mono(self) + rate_wait_ms(self, call, reply) * AUT_US_PER_MS);
			return;
		}
		answer(call, &what);
		return;
	}
	if (aut_json_parse(reply->body, reply->body_len, &what.root, NULL) != AUT_OK)
		what.root = NULL;
	if ((reply->code == 401 || reply->code == 403) && self->service_key != NULL && !call->renewed)
	{
		/* The key may have been taken back: once more with a new one. */
		call->renewed = true;
		if (call->user->key_count == call->key_count)
		{
			aut_free(call->user->key);
			call->user->key = NULL;
		}
		json_decref(what.root);
		again(call, 0);
		return;
	}
	if (is_rate_limit(reply, what.root))
	{
		self->stats.rate_limited++;
		int64_t now = cloud__mono(self);
		if (reply->retry_after_s > 0)
			self->quiet_until_us =
				now + (reply->retry_after_s < 60 ? reply->retry_after_s : 60) * AUT_US_PER_S;
		if (call->repeat && ++call->tries < self->settings->rate_limit_max_retries)
		{
			int64_t wait_ms = rate_wait_ms(self, call, reply);

			json_decref(what.root);
			again(call, now + wait_ms * AUT_US_PER_MS);
			return;
		}
	}
	if (reply->code < 200 || reply->code > 299)
	{
		const char *detail = detail_of(what.root);

		what.status = is_transient(reply->code) ? AUT_EUNAVAILABLE : AUT_EPROTO;
		/* A gateway that gave up does not know what became of it. */
		what.uncertain = reply->code == 502 || reply->code == 504;
		aut_fail(&what.error, what.status, "the cloud answered %d%s%.*s", reply->code,
				 detail != NULL ? ": " : "", ID_SHOWN, detail != NULL ? detail : "");
		what.error.http_status = reply->code;
	}
	answer(call, &what);
	json_decref(what.root);
}

/* ---- sending ------------------------------------------------------------------------------- */

static aut_status
call_send(cloud_call *call, aut_error *err)
{
	cloud *self = call->cloud;
	const char *key = self->service_key != NULL ? call->user->key : self->cloud_key;
	char *url = aut_printf("%s%s", self->url, call->path);
	char *header = aut_printf("Authorization: Bearer %s", key);
	const char *headers[] = {header, NULL};
	aut_status status = AUT_ENOMEM;

	call->key_count = call->user->key_count;
	if (url != NULL && header != NULL)
	{
		aut_http_request request = {.method = call->method,
									.url = url,
									.headers = headers,
									.timeout_ms = call->timeout_ms,
									.reply_max = REPLY_MAX,
									.cb = replied,
									.payload = call};
		status = aut_http_send(self->http, &request, &call->http, err);
	}
	else
		aut_fail(err, AUT_ENOMEM, "no memory for a call to the cloud");
	aut_free(url);
	aut_free(header);
	return status;
}

aut_status
cloud__send(cloud *self, const cloud_request *request, cloud_call **out, aut_error *err)
{
	cloud_call *call = aut_calloc(1, sizeof *call);
	aut_status status = AUT_OK;

	if (call != NULL)
		call->path = aut_strdup(request->path);
	if (call == NULL || call->path == NULL)
	{
		aut_free(call);
		status = aut_fail(err, AUT_ENOMEM, "no memory for a call to the cloud");
	}
	else
	{
		call->cloud = self;
		call->lane = request->lane;
		call->method = request->method;
		call->user = request->user;
		call->user->refs++;
		call->timeout_ms = request->timeout_ms;
		call->repeat = request->repeat;
		call->cb = request->cb;
		call->payload = request->payload;
		put_last(self, call);
		cloud__wake_at(self, 0);
		*out = call;
	}
	return status;
}

bool
cloud__call_sent(const cloud_call *call)
{
	return call->left;
}

bool
cloud__cancel(cloud_call *call)
{
	bool sent = call->left;

	if (call->http != NULL)
		aut_http_cancel(call->http);
	take(call);
	call_free(call);
	return sent;
}

/* ---- the gate ------------------------------------------------------------------------------ */

/* When the next request may leave: now, or a later time. */
static int64_t
gate_opens(const cloud *self, int64_t now)
{
	int64_t oldest = self->sent_us[self->sent_at];
	int64_t at = self->sent_count < self->per_second ? now : oldest + AUT_US_PER_S;

	if (at < self->quiet_until_us)
		at = self->quiet_until_us;
	return at;
}

static void
gate_passed(cloud *self, int64_t now)
{
	self->sent_us[self->sent_at] = now;
	self->sent_count++;
	self->sent_at = (self->sent_at + 1) % self->per_second;
	self->stats.requests++;
}

/* The first of a lane that may go; *out_mint: its user needs a key first. */
static cloud_call *
first_of(cloud *self, cloud_lane lane, int64_t now, cloud_user **out_mint)
{
	for (cloud_call *call = self->lanes[lane]; call != NULL; call = call->next)
	{
		if (call->not_before_us > now)
		{
			cloud__wake_at(self, call->not_before_us);
			continue;
		}
		if (self->service_key == NULL || call->user->key != NULL)
			return call;
		if (!call->user->minting)
		{
			*out_mint = call->user;
			return NULL;
		}
	}
	return NULL;
}

/* Answer what cannot go for want of a key. */
static void
answer_keyless(cloud *self)
{
	bool found = true;

	while (found)
	{
		found = false;
		for (int lane = 0; lane < CLOUD_LANES && !found; lane++)
			for (cloud_call *call = self->lanes[lane]; call != NULL && !found; call = call->next)
				if (call->no_key)
				{
					cloud_answer what = {.status = call->key_error.code,
										 .error = call->key_error,
										 .code = call->key_error.http_status,
										 .unsent = true,
										 .no_key = true};
					found = true;
					answer(call, &what);
				}
	}
}

/* Lanes in turn; polls more often, as each is for many. */
static const cloud_lane TURNS[] = {CLOUD_ASK, CLOUD_CREATE, CLOUD_ASK, CLOUD_CLEAN};
#define TURN_COUNT (sizeof TURNS / sizeof TURNS[0])

void
cloud__calls_run(cloud *self)
{
	int64_t now = cloud__mono(self);

	answer_keyless(self);
	for (;;)
	{
		cloud_call *call = NULL;
		cloud_user *user = NULL;

		if (self->in_flight >= CLOUD_IN_FLIGHT_MAX)
			return; /* an answer makes room */
		if (gate_opens(self, now) > now)
		{
			if (self->lanes[CLOUD_ASK] != NULL || self->lanes[CLOUD_CREATE] != NULL ||
				self->lanes[CLOUD_CLEAN] != NULL)
				cloud__wake_at(self, gate_opens(self, now));
			return;
		}
		for (size_t i = 0; i < TURN_COUNT && call == NULL && user == NULL; i++)
			call = first_of(self, TURNS[self->turn_of_lane++ % TURN_COUNT], now, &user);
		if (call == NULL && user == NULL)
			return;
		gate_passed(self, now);
		if (user != NULL)
			mint(user);
		else
		{
			aut_error error = AUT_ERROR_INIT;

			take(call);
			call->flying = true;
			put(call, &self->flying);
			self->in_flight++;
			if (call_send(call, &error) == AUT_OK)
				call->left = true;
			else
				answer(call, &(cloud_answer){.status = error.code, .error = error, .unsent = true});
		}
		if (self->in_flight > self->stats.in_flight_max)
			self->stats.in_flight_max = self->in_flight;
		self->stats.in_flight = self->in_flight;
		answer_keyless(self);
	}
}

void
cloud__calls_done(cloud *self)
{
	while (self->flying != NULL)
		(void) cloud__cancel(self->flying);
	for (int lane = 0; lane < CLOUD_LANES; lane++)
		while (self->lanes[lane] != NULL)
			(void) cloud__cancel(self->lanes[lane]);
	while (self->users != NULL)
	{
		cloud_user *next = self->users->next;

		user_free(self->users);
		self->users = next;
	}
}
