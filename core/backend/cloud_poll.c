/* SPDX-License-Identifier: MIT */
/*
 * core/backend/cloud_poll.c - asking after many sandboxes at once, and reading what the cloud says.
 *
 * Every seat that waits has a time at which it wants to know.  When it comes, all seats of the same user
 * that are due go into one request, up to CLOUD_POLL_IDS_MAX of them; a user is asked for at most once
 * a second.  The answer is a list in the order asked, null for what is not there.
 */
#include <ctype.h>
#include <string.h>

#include "core/backend/cloud_internal.h"

#define POLL_TIMEOUT_MS 30000
#define PATH_MAX_BYTES  32768

typedef struct cloud_poll
{
	struct cloud_poll *next, **link;
	cloud_call *call;
	size_t count;
	cloud_seat *seats[CLOUD_POLL_IDS_MAX]; /* NULL: forgotten meanwhile */
} cloud_poll;

/* ---- reading ------------------------------------------------------------------------------- */

const char *
cloud__status_name(cloud_status status)
{
	static const char *const NAMES[] = {"STARTING", "RUNNING", "PAUSED", "ERROR", "MISSING"};

	return NAMES[status];
}

/* The address of the sandbox's agent: http or https, without blanks or control characters. */
static bool
is_address(const char *url)
{
	if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
		return false;
	for (const char *c = url; *c != '\0'; c++)
		if ((unsigned char) *c <= ' ' || *c == 0x7f)
			return false;
	return strlen(url) < 2000;
}

void
cloud__sandbox_read(const json_t *item, cloud_sandbox *out)
{
	cloud_sandbox read = {.status = CLOUD_MISSING, .session_key = ""};
	const char *status = aut_json_string(item, "status");
	const json_t *urls = json_object_get(item, "exposed_urls");

	if (json_is_object(item))
		read.status = status == NULL                   ? CLOUD_STARTING
					  : strcmp(status, "RUNNING") == 0 ? CLOUD_RUNNING
					  : strcmp(status, "PAUSED") == 0  ? CLOUD_PAUSED
					  : strcmp(status, "ERROR") == 0   ? CLOUD_ERROR
					  : strcmp(status, "MISSING") == 0 ? CLOUD_MISSING
													   : CLOUD_STARTING;
	read.detail = aut_json_string(item, "status_detail");
	if (aut_json_string(item, "session_api_key") != NULL)
		read.session_key = aut_json_string(item, "session_api_key");
	for (size_t i = 0; i < json_array_size(urls); i++)
	{
		const json_t *entry = json_array_get(urls, i);
		const char *name = aut_json_string(entry, "name");
		const char *url = aut_json_string(entry, "url");

		if (name != NULL && url != NULL && strcmp(name, "AGENT_SERVER") == 0 && is_address(url))
			read.agent_url = url;
	}
	*out = read;
}

/* "runtime_ingress:word[:status]" is for everybody's eyes. */
static bool
is_ingress(const char *detail)
{
	static const char PREFIX[] = "runtime_ingress:";
	const char *at = detail + sizeof PREFIX - 1;
	size_t word, digits = 0;

	if (strncmp(detail, PREFIX, sizeof PREFIX - 1) != 0)
		return false;
	word = strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
	if (at[word] == ':')
		digits = strspn(at + word + 1, "0123456789");
	return word > 0 && word < 50 && (at[word] == '\0' || (digits == 3 && at[word + 4] == '\0'));
}

void
cloud__safe_detail(const char *detail, char *out, size_t size)
{
	static const struct
	{
		const char *sign, *name;
	} CLASSES[] = {
		{"imagepull", "image_pull_error"},
		{"image_pull", "image_pull_error"},
		{"errimage", "image_pull_error"},
		{"containerconfig", "container_config_error"},
		{"container_config", "container_config_error"},
		{"createcontainer", "container_create_error"},
		{"container_create", "container_create_error"},
		{"runcontainer", "container_create_error"},
		{"insufficient cpu", "insufficient_cpu"},
		{"insufficient_cpu", "insufficient_cpu"},
		{"insufficient memory", "insufficient_memory"},
		{"insufficient_memory", "insufficient_memory"},
		{"insufficient ephemeral", "insufficient_ephemeral_storage"},
		{"insufficient_ephemeral", "insufficient_ephemeral_storage"},
		{"insufficient pods", "insufficient_pods"},
		{"insufficient_pods", "insufficient_pods"},
		{"too many pods", "insufficient_pods"},
		{"unschedulable", "scheduling_constraint"},
		{"scheduling_constraint", "scheduling_constraint"},
		{"affinity", "scheduling_constraint"},
		{"taint", "scheduling_constraint"},
	};
	char lower[400];
	size_t len = 0;
	const char *name = "unclassified";

	if (detail == NULL || detail[0] == '\0')
	{
		out[0] = '\0';
		return;
	}
	for (; detail[len] != '\0' && len < sizeof lower - 1; len++)
		lower[len] = (char) tolower((unsigned char) detail[len]);
	lower[len] = '\0';
	for (size_t i = 0; i < sizeof CLASSES / sizeof CLASSES[0]; i++)
		if (strstr(lower, CLASSES[i].sign) != NULL)
		{
			name = CLASSES[i].name;
			break;
		}
	snprintf(out, size, "%s", is_ingress(detail) ? detail : name);
}

/* ---- a request for many -------------------------------------------------------------------- */

static void
poll_free(cloud_poll *poll)
{
	*poll->link = poll->next;
	if (poll->next != NULL)
		poll->next->link = poll->link;
	for (size_t i = 0; i < poll->count; i++)
		if (poll->seats[i] != NULL)
			poll->seats[i]->poll = NULL;
	aut_free(poll);
}

static void
polled(void *payload, const cloud_answer *answer)
{
	cloud_poll *poll = payload;
	cloud_answer bad = {.status = AUT_EPROTO};
	bool list = answer->status == AUT_OK && json_is_array(answer->root) &&
				json_array_size(answer->root) == poll->count;

	if (answer->status == AUT_OK && !list)
	{
		/* Garbage may pass; what is said about how many is not believed. */
		bad.status = AUT_EUNAVAILABLE;
		aut_fail(&bad.error, AUT_EUNAVAILABLE,
				 "the cloud was asked after %zu sandboxes and its answer is not a list of as many",
				 poll->count);
		answer = &bad;
	}
	for (size_t i = 0; i < poll->count; i++)
	{
		cloud_seat *seat = poll->seats[i];
		cloud_sandbox sandbox;
		const json_t *item = list ? json_array_get(answer->root, i) : NULL;
		const char *id = aut_json_string(item, "id");

		if (seat == NULL)
			continue;
		poll->seats[i] = NULL;
		seat->poll = NULL;
		/* An entry about something else says nothing of ours. */
		if (id != NULL && strcmp(id, seat->sandbox_id) != 0)
			item = NULL;
		cloud__sandbox_read(item, &sandbox);
		cloud__seat_polled(seat, list ? &sandbox : NULL, answer);
	}
	poll_free(poll);
}

static bool
wants_poll(const cloud_seat *seat)
{
	return (seat->step == SEAT_POLLING || seat->step == SEAT_CHECKING) && seat->poll == NULL;
}

/* Ask after all seats of that user that are due. */
static void
ask(cloud *self, cloud_user *user, int64_t now)
{
	cloud_poll *poll = aut_calloc(1, sizeof *poll);
	aut_error error = AUT_ERROR_INIT;
	aut_buf path;

	if (poll == NULL)
		return; /* at the next round */
	poll->link = &self->polls;
	poll->next = self->polls;
	if (poll->next != NULL)
		poll->next->link = &poll->next;
	self->polls = poll;
	aut_buf_init(&path, PATH_MAX_BYTES);
	aut_buf_puts(&path, "/api/v1/sandboxes");
	for (cloud_seat *seat = self->seats; seat != NULL && poll->count < CLOUD_POLL_IDS_MAX;
		 seat = seat->next)
	{
		if (!wants_poll(seat) || seat->user != user || seat->due_us > now)
			continue;
		aut_buf_puts(&path, poll->count == 0 ? "?id=" : "&id=");
		aut_url_encode(&path, seat->sandbox_id, strlen(seat->sandbox_id), "");
		poll->seats[poll->count++] = seat;
		seat->poll = poll;
	}
	cloud_request request = {.lane = CLOUD_ASK,
							 .method = "GET",
							 .path = path.data,
							 .user = user,
							 .timeout_ms = POLL_TIMEOUT_MS,
							 .cb = polled,
							 .payload = poll};
	if (path.status == AUT_OK && cloud__send(self, &request, &poll->call, &error) == AUT_OK)
	{
		self->stats.polls++;
		self->stats.polled_ids += poll->count;
	}
	else
		poll_free(poll); /* at the next round */
	aut_buf_done(&path);
}

void
cloud__polls_run(cloud *self)
{
	int64_t now = cloud__mono(self);
	int64_t spacing = self->settings->sandbox_poll_interval < CLOUD_POLL_SPACING_MS
						  ? self->settings->sandbox_poll_interval
						  : CLOUD_POLL_SPACING_MS;

	for (cloud_seat *seat = self->seats; seat != NULL; seat = seat->next)
	{
		if (!wants_poll(seat))
			continue;
		if (seat->due_us <= now && seat->user->next_poll_us <= now)
		{
			/* As many requests as it takes, then silence. */
			ask(self, seat->user, now);
			if (seat->poll == NULL) /* no memory, or more than fit before it: at the next round */
				cloud__wake_at(self, now + 10 * AUT_US_PER_MS);
			else
			{
				bool more = false;
				for (const cloud_seat *s = seat; s != NULL && !more; s = s->next)
					more = wants_poll(s) && s->user == seat->user && s->due_us <= now;
				if (!more)
					seat->user->next_poll_us = now + spacing * AUT_US_PER_MS;
			}
		}
		if (wants_poll(seat))
			cloud__wake_at(self, seat->due_us > seat->user->next_poll_us
									 ? seat->due_us
									 : seat->user->next_poll_us);
	}
}

void
cloud__poll_forget(cloud_seat *seat)
{
	cloud_poll *poll = seat->poll;

	if (poll == NULL)
		return;
	for (size_t i = 0; i < poll->count; i++)
		if (poll->seats[i] == seat)
			poll->seats[i] = NULL;
	seat->poll = NULL;
}

void
cloud__polls_done(cloud *self)
{
	while (self->polls != NULL)
	{
		if (self->polls->call != NULL)
			(void) cloud__cancel(self->polls->call);
		poll_free(self->polls);
	}
}
