/* SPDX-License-Identifier: MIT */
/*
 * core/backend/agent_server.c - the backend of one persistent agent server: the place is known from
 * configuration (or is the daemon's embedded agent), costs nothing to acquire and nothing to release.
 */
#include <string.h>

#include "core/backend/agent_internal.h"

void
aut_place_done(aut_place *place)
{
	if (place == NULL)
		return;
	aut_free(place->agent_url);
	aut_free(place->agent_key);
	aut_free(place->sandbox_id);
	aut_free(place->work_base);
	aut_free(place->told_url);
	if (place->user_key != NULL)
		explicit_bzero(place->user_key, strlen(place->user_key));
	aut_free(place->user_key);
	aut_free(place->cloud_url);
	aut_free(place->key_header);
	*place = (aut_place){0};
}

void
aut_backend_free(aut_backend *backend)
{
	if (backend != NULL)
		backend->ops->free(backend);
}

typedef struct pending
{
	aut_place_cb cb;
	void *payload;
	struct pending *next;
} pending;

typedef struct agent_server
{
	aut_backend base;
	aut_loop *loop;
	aut_timer *timer; /* callbacks run in a later round */
	pending *head, **tail;
	char *url, *key, *told_url, *work_base;
	char *key_header; /* NULL: the usual one */
} agent_server;

static aut_status
copy_place(const agent_server *self, aut_place *out)
{
	*out = (aut_place){.agent_url = aut_strdup(self->url),
					   .agent_key = aut_strdup(self->key),
					   .work_base = aut_strdup(self->work_base),
					   .told_url = aut_strdup(self->told_url),
					   .key_header = aut_strdup(self->key_header),
					   .local = true};
	if ((self->key_header == NULL || out->key_header != NULL) && out->agent_url != NULL &&
		out->agent_key != NULL && out->work_base != NULL && out->told_url != NULL)
		return AUT_OK;
	aut_place_done(out);
	return AUT_ENOMEM;
}

static void
answer_all(void *payload)
{
	agent_server *self = payload;
	/* Only those who asked before: a callback may ask again.  One by one: a callback may forget others. */
	pending *last = self->head;
	while (last != NULL && last->next != NULL)
		last = last->next;
	for (bool more = last != NULL; more && self->head != NULL;)
	{
		pending *item = self->head;
		more = item != last;
		self->head = item->next;
		if (self->head == NULL)
			self->tail = &self->head;
		aut_place place;
		aut_error error = AUT_ERROR_INIT;
		aut_status status = copy_place(self, &place);
		if (status != AUT_OK)
			aut_fail(&error, status, "no memory for a run's place");
		item->cb(item->payload, status, status == AUT_OK ? &place : NULL, &error, NULL);
		aut_free(item);
	}
	if (self->head != NULL)
		aut_timer_set(self->timer, 0);
}

static aut_status
acquire(aut_backend *backend, const aut_run_task *task, aut_place_cb cb, void *payload,
		aut_error *err)
{
	agent_server *self = (agent_server *) backend;
	(void) task;
	pending *item = aut_malloc(sizeof *item);
	if (item == NULL)
		return aut_fail(err, AUT_ENOMEM, "no memory for a run's place");
	*item = (pending){cb, payload, NULL};
	*self->tail = item;
	self->tail = &item->next;
	aut_timer_set(self->timer, 0);
	return AUT_OK;
}

static void
forget(aut_backend *backend, void *payload)
{
	agent_server *self = (agent_server *) backend;
	pending **link = &self->head;
	while (*link != NULL && (*link)->payload != payload)
		link = &(*link)->next;
	pending *item = *link;
	if (item == NULL)
		return;
	*link = item->next;
	if (item->next == NULL)
		self->tail = link;
	aut_free(item);
}

static void
release(aut_backend *backend, const aut_run_task *task, bool keep, bool used)
{
	(void) backend;
	(void) task;
	(void) keep;
	(void) used;
}

static bool
ready(aut_backend *backend, const char **out_reason)
{
	agent_server *self = (agent_server *) backend;
	if (self->url[0] != '\0')
		return true;
	if (out_reason != NULL)
		*out_reason = "Waiting for a backend";
	return false;
}

static void
agent_server_free(aut_backend *backend)
{
	agent_server *self = (agent_server *) backend;
	aut_timer_free(self->timer);
	while (self->head != NULL)
	{
		pending *next = self->head->next;
		aut_free(self->head);
		self->head = next;
	}
	aut_free(self->url);
	aut_free(self->key);
	aut_free(self->told_url);
	aut_free(self->work_base);
	aut_free(self->key_header);
	aut_free(self);
}

static aut_status
standing(aut_backend *backend, aut_place *out, aut_error *err)
{
	const agent_server *self = (const agent_server *) backend;
	if (self->url[0] == '\0')
		return aut_fail(err, AUT_ENOTFOUND, "no agent server is configured");
	aut_status status = copy_place(self, out);
	return status == AUT_OK ? status : aut_fail(err, status, "no memory for an agent's place");
}

static const aut_backend_ops OPS = {.version = 1,
									.name = "agent-server",
									.acquire = acquire,
									.forget = forget,
									.release = release,
									.ready = ready,
									.free = agent_server_free,
									.standing = standing};

/* Copy without trailing slashes. */
static char *
copy_trimmed(const char *text)
{
	size_t len = strlen(text);
	while (len > 0 && text[len - 1] == '/')
		len--;
	return aut_strndup(text, len);
}

aut_status
aut_backend_agent_server_new(aut_loop *loop, const char *url, const char *key, const char *told_url,
							 const char *work_base, aut_backend **out, aut_error *err)
{
	agent_server *self = aut_calloc(1, sizeof *self);
	if (self == NULL)
		return aut_fail(err, AUT_ENOMEM, "no memory for the agent server's settings");
	self->base.ops = &OPS;
	self->loop = loop;
	self->tail = &self->head;
	self->url = copy_trimmed(url);
	self->key = aut_strdup(key);
	self->told_url = copy_trimmed(told_url != NULL && told_url[0] != '\0' ? told_url : url);
	self->work_base = copy_trimmed(work_base);
	aut_status status = AUT_OK;
	if (self->url == NULL || self->key == NULL || self->told_url == NULL || self->work_base == NULL)
		status = aut_fail(err, AUT_ENOMEM, "no memory for the agent server's settings");
	if (status == AUT_OK)
		status = aut_timer_new(loop, answer_all, self, &self->timer, err);
	if (status != AUT_OK)
	{
		agent_server_free(&self->base);
		return status;
	}
	*out = &self->base;
	return AUT_OK;
}

aut_status
aut__agent_server_key_header(aut_backend *backend, const char *name, aut_error *err)
{
	agent_server *self = (agent_server *) backend;
	char *copy = aut_strdup(name);

	if (copy == NULL)
		return aut_fail(err, AUT_ENOMEM, "no memory for the agent server's settings");
	aut_free(self->key_header);
	self->key_header = copy;
	return AUT_OK;
}
