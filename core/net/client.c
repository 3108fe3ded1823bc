/* SPDX-License-Identifier: MIT */
/*
 * core/net/client.c - the outbound HTTP client: queues, connections, callbacks.
 *
 * libcurl's multi socket interface on the loop: curl says which sockets and which timeout it cares
 * about, libuv watches them, and every event costs O(1).  What one request looks like to curl (options,
 * headers, reply) is in client_call.c; this file decides when requests run and tells callers how they
 * ended.
 *
 * Limits per host and in total are kept here and not by curl: curl has one waiting list for all hosts,
 * in which a request for a busy host can hold up others (it is moved forward and put back without
 * giving the next one its chance).  Here each host:port has its own queue, hosts with work and room
 * stand in a ring, and a request's timeout also counts the time it waits.
 *
 * Promises: a callback never runs inside aut_http_send; curl is never called from inside one of its own
 * callbacks; all signals are blocked while curl may start a resolver thread, so the host's handlers
 * never run there.  Sockets curl opened through us stay registered with the loop while they are idle
 * in curl's cache: a request on a kept-alive connection costs no epoll_ctl.
 */
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/net/client_internal.h"

/* Idle hosts remembered so that a request to a known host allocates nothing. */
#define HOSTS_IDLE_MAX 256
/* Finished calls kept with their easy handle for the next request. */
#define SPARE_CALLS_MAX 256
#define FD_TABLE_MAX    65536

/* One descriptor curl wants watched.  Lives until the close callback of its handle. */
struct client_socket
{
	uv_poll_t poll;
	aut_http_client *client;
	curl_socket_t fd;
	int events;  /* what libuv watches now */
	bool wanted; /* curl cares at present */
	bool ours;   /* opened by us: curl will say when it closes it */
};

/* ---- signals -------------------------------------------------------------------------------- */

void
aut__curl_enter(sigset_t *saved)
{
	sigset_t all;

	(void) sigfillset(&all);
	(void) pthread_sigmask(SIG_SETMASK, &all, saved);
}

void
aut__curl_leave(const sigset_t *saved)
{
	(void) pthread_sigmask(SIG_SETMASK, saved, NULL);
}

/* ---- lists of calls -------------------------------------------------------------------------- */

static void
list_append(call_list *list, aut_http_call *call)
{
	call->next = NULL;
	call->prev = list->last;
	if (list->last != NULL)
	{
		list->last->next = call;
	}
	else
	{
		list->first = call;
	}
	list->last = call;
}

static void
list_remove(call_list *list, aut_http_call *call)
{
	if (call->prev != NULL)
	{
		call->prev->next = call->next;
	}
	else
	{
		list->first = call->next;
	}
	if (call->next != NULL)
	{
		call->next->prev = call->prev;
	}
	else
	{
		list->last = call->prev;
	}
	call->prev = NULL;
	call->next = NULL;
}

/* ---- hosts ------------------------------------------------------------------------------------ */

static unsigned int
hash_text(const char *text)
{
	unsigned int hash = 2166136261u; /* FNV-1a */

	for (; *text != '\0'; text++)
	{
		hash = (hash ^ (unsigned char) *text) * 16777619u;
	}
	return hash;
}

static client_host **
host_slot(aut_http_client *client, const char *key)
{
	client_host **slot = &client->hosts[hash_text(key) % CLIENT_HOST_BUCKETS];

	while (*slot != NULL && strcmp((*slot)->key, key) != 0)
	{
		slot = &(*slot)->next_in_bucket;
	}
	return slot;
}

static client_host *
host_get(aut_http_client *client, const char *key)
{
	client_host **slot = host_slot(client, key);
	size_t len = strlen(key);

	if (*slot == NULL)
	{
		client_host *host = aut_calloc(1, sizeof *host + len + 1);

		if (host != NULL)
		{
			memcpy(host->key, key, len + 1);
			*slot = host;
			client->host_count++;
		}
	}
	return *slot;
}

/* Forget a host that nobody uses, when too many are remembered. */
static void
host_release(aut_http_client *client, client_host *host)
{
	if (host->active == 0 && host->waiting.first == NULL && !host->in_ring &&
		client->host_count > HOSTS_IDLE_MAX)
	{
		client_host **slot = host_slot(client, host->key);

		*slot = host->next_in_bucket;
		client->host_count--;
		aut_free(host);
	}
}

/* Put a host at the end of the ring of those that could start a request. */
static void
host_offer(aut_http_client *client, client_host *host)
{
	if (!host->in_ring && host->waiting.first != NULL && host->active < client->max_per_host)
	{
		host->in_ring = true;
		host->next_in_ring = NULL;
		if (client->ring_last != NULL)
		{
			client->ring_last->next_in_ring = host;
		}
		else
		{
			client->ring_first = host;
		}
		client->ring_last = host;
	}
}

static client_host *
ring_pop(aut_http_client *client)
{
	client_host *host = client->ring_first;

	client->ring_first = host->next_in_ring;
	if (client->ring_first == NULL)
	{
		client->ring_last = NULL;
	}
	host->in_ring = false;
	return host;
}

/* ---- starting and ending calls ----------------------------------------------------------------- */

/* Make the end of this round (or the next round) look at curl and the queues. */
static void
client_kick(aut_http_client *client)
{
	client->kick = true;
	aut_loop_wake(client->loop);
}

/* The call has ended without curl's help: its callback runs from the flusher. */
static void
call_end_early(aut_http_call *call, aut_status status, const char *message)
{
	aut_http_client *client = call->client;

	(void) aut_fail(&call->error, status, "%s", message);
	call->state = CALL_ENDED;
	list_append(&client->ended, call);
	client_kick(client);
}

static void
on_waited_too_long(void *payload)
{
	aut_http_call *call = payload;

	if (call->state == CALL_WAITING)
	{
		list_remove(&call->host->waiting, call);
		call_end_early(call, AUT_ETIMEOUT, "timed out waiting for a free connection");
	}
}

static void
call_start(aut_http_call *call)
{
	aut_http_client *client = call->client;
	CURLMcode rc;

	if (call->wait_timer != NULL)
	{
		aut_timer_stop(call->wait_timer);
	}
	if (!aut__call_set_deadline(call))
	{
		call_end_early(call, AUT_ETIMEOUT, "timed out waiting for a free connection");
		return;
	}
	/* only links the handle; work (and a resolver's thread) begins in client_act */
	rc = curl_multi_add_handle(client->multi, call->easy);
	if (rc != CURLM_OK)
	{
		call_end_early(call, rc == CURLM_OUT_OF_MEMORY ? AUT_ENOMEM : AUT_ENET,
					   curl_multi_strerror(rc));
		return;
	}
	call->state = CALL_RUNNING;
	list_append(&client->running, call);
	call->host->active++;
	client->active++;
}

/* Start what limits allow, hosts taking turns. */
static void
client_pump(aut_http_client *client)
{
	while (client->active < client->max_total && client->ring_first != NULL)
	{
		client_host *host = ring_pop(client);
		aut_http_call *call = host->waiting.first;

		if (call != NULL && host->active < client->max_per_host)
		{
			list_remove(&host->waiting, call);
			call_start(call);
			host_offer(client, host);
		}
	}
}

/* Take a running call away from curl. */
static void
call_detach(aut_http_call *call)
{
	aut_http_client *client = call->client;

	(void) curl_multi_remove_handle(client->multi, call->easy); /* starts nothing either */
	list_remove(&client->running, call);
	call->host->active--;
	client->active--;
	host_offer(client, call->host);
}

/* Keep the call with its easy handle for the next request, or free it. */
static void
call_recycle(aut_http_call *call)
{
	aut_http_client *client = call->client;
	client_host *host = call->host;

	aut__call_clear(call);
	if (client->spare_count < SPARE_CALLS_MAX && !client->closing)
	{
		call->state = CALL_SPARE;
		call->next = client->spare;
		client->spare = call;
		client->spare_count++;
	}
	else
	{
		aut__call_free(call);
	}
	if (host != NULL && !client->closing)
	{
		host_release(client, host);
	}
}

/* Run the callback and let go. */
static void
call_report(aut_http_call *call, CURLcode result)
{
	aut_http_reply reply;
	aut_http_cb cb = call->cb;

	aut__call_reply(call, result, &reply);
	call->state = CALL_REPORTING;
	if (cb != NULL)
	{
		cb(call->payload, &reply);
	}
	call_recycle(call);
}

/* Report everything that has ended.  Callbacks may send and cancel; they may also free the client, so
 * it is held over the loop. */
static void
client_reap(aut_http_client *client)
{
	CURLMsg *message;
	int left;

	client->holds++;
	while (!client->closing && (message = curl_multi_info_read(client->multi, &left)) != NULL)
	{
		if (message->msg == CURLMSG_DONE)
		{
			CURLcode result = message->data.result;
			char *tag = NULL;
			aut_http_call *call;

			(void) curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &tag);
			call = (aut_http_call *) (void *) tag;
			call_detach(call);
			call_report(call, result);
			aut_loop_wake(client->loop);
		}
	}
	while (!client->closing && client->ended.first != NULL)
	{
		aut_http_call *call = client->ended.first;

		list_remove(&client->ended, call);
		call_report(call, CURLE_OK);
		aut_loop_wake(client->loop);
	}
	if (!client->closing)
	{
		client_pump(client);
	}
	client->holds--;
	aut__client_release(client);
}

/* ---- curl and libuv ---------------------------------------------------------------------------- */

static void
client_act(aut_http_client *client, curl_socket_t fd, int events)
{
	sigset_t saved;
	int running;

	aut__curl_enter(&saved);
	(void) curl_multi_socket_action(client->multi, fd, events, &running);
	aut__curl_leave(&saved);
	client_reap(client);
}

static void
on_socket_closed(uv_handle_t *handle)
{
	aut_free(handle->data);
}

static void
on_socket_event(uv_poll_t *handle, int status, int events)
{
	client_socket *watched = handle->data;
	int bits = 0;

	if (!watched->wanted)
	{
		/* an idle connection stirred (the server closed it): nobody cares until curl reuses or closes
		 * the socket */
		(void) uv_poll_stop(&watched->poll);
		watched->events = 0;
		return;
	}
	if (status < 0)
	{
		bits = CURL_CSELECT_ERR;
	}
	if ((events & UV_READABLE) != 0)
	{
		bits |= CURL_CSELECT_IN;
	}
	if ((events & UV_WRITABLE) != 0)
	{
		bits |= CURL_CSELECT_OUT;
	}
	client_act(watched->client, watched->fd, bits);
}

static void
socket_forget(aut_http_client *client, client_socket *watched)
{
	client->sockets[watched->fd] = NULL;
	uv_close((uv_handle_t *) &watched->poll, on_socket_closed);
}

/* Make room for descriptor fd in the table. */
static bool
sockets_reserve(aut_http_client *client, curl_socket_t fd)
{
	bool ok = fd >= 0 && fd < FD_TABLE_MAX;

	if (ok && (size_t) fd >= client->socket_cap)
	{
		size_t cap = client->socket_cap == 0 ? 64 : client->socket_cap;
		client_socket **grown;

		while (cap <= (size_t) fd)
		{
			cap *= 2;
		}
		grown = aut_realloc(client->sockets, cap * sizeof *grown);
		if (grown != NULL)
		{
			memset(grown + client->socket_cap, 0, (cap - client->socket_cap) * sizeof *grown);
			client->sockets = grown;
			client->socket_cap = cap;
		}
		ok = grown != NULL;
	}
	return ok;
}

static client_socket *
socket_get(aut_http_client *client, curl_socket_t fd)
{
	client_socket *watched = NULL;

	if (sockets_reserve(client, fd))
	{
		watched = client->sockets[fd];
	}
	if (watched == NULL && fd >= 0 && (size_t) fd < client->socket_cap)
	{
		watched = aut_calloc(1, sizeof *watched);
		if (watched != NULL && uv_poll_init(aut_loop_uv(client->loop), &watched->poll, fd) != 0)
		{
			aut_free(watched);
			watched = NULL;
		}
		if (watched != NULL)
		{
			watched->poll.data = watched;
			watched->client = client;
			watched->fd = fd;
			client->sockets[fd] = watched;
		}
	}
	return watched;
}

/* CURLMOPT_SOCKETFUNCTION: what curl wants to know about a descriptor. */
static int
on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *payload, void *socket_payload)
{
	aut_http_client *client = payload;
	client_socket *watched;
	int events = 0;
	int rc = 0;

	(void) easy;
	(void) socket_payload;
	if (what == CURL_POLL_REMOVE)
	{
		watched = (size_t) fd < client->socket_cap ? client->sockets[fd] : NULL;
		if (watched != NULL && watched->ours)
		{
			watched->wanted = false; /* stays registered until curl closes or reuses it */
		}
		else if (watched != NULL)
		{
			/* a descriptor of the resolver: curl closes it without telling */
			socket_forget(client, watched);
		}
		return 0;
	}
	watched = socket_get(client, fd);
	if (watched == NULL)
	{
		return -1; /* curl fails the transfer */
	}
	watched->wanted = true;
	events |= what != CURL_POLL_OUT ? UV_READABLE : 0;
	events |= what != CURL_POLL_IN ? UV_WRITABLE : 0;
	if (events != watched->events)
	{
		rc = uv_poll_start(&watched->poll, events, on_socket_event);
		watched->events = rc == 0 ? events : 0;
	}
	return rc == 0 ? 0 : -1;
}

static void
on_timer(uv_timer_t *handle)
{
	aut_http_client *client = handle->data;

	client_act(client, CURL_SOCKET_TIMEOUT, 0);
}

/* CURLMOPT_TIMERFUNCTION.  "At once" is done by the flusher: a libuv timer of 0 ms that re-arms itself
 * would never let go of the loop. */
static int
on_curl_timer(CURLM *multi, long timeout_ms, void *payload)
{
	aut_http_client *client = payload;

	(void) multi;
	if (timeout_ms <= 0)
	{
		(void) uv_timer_stop(&client->timer);
		if (timeout_ms == 0)
		{
			client_kick(client);
		}
	}
	else
	{
		(void) uv_timer_start(&client->timer, on_timer, (uint64_t) timeout_ms, 0);
	}
	return 0;
}

/* The end of a round: calls were sent, curl wanted to run at once, or calls ended early. */
static void
client_flush(void *payload)
{
	aut_http_client *client = payload;

	if (client->kick)
	{
		client->kick = false;
		client_act(client, CURL_SOCKET_TIMEOUT, 0);
	}
}

/* CURLOPT_OPENSOCKETFUNCTION: a socket that programs we start do not inherit. */
curl_socket_t
aut__client_open_socket(void *payload, curlsocktype purpose, struct curl_sockaddr *address)
{
	aut_http_client *client = payload;
	curl_socket_t fd = CURL_SOCKET_BAD;

	if (purpose == CURLSOCKTYPE_IPCXN)
	{
		fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
					address->protocol);
	}
	if (fd >= 0)
	{
		client_socket *watched = socket_get(client, fd);

		if (watched == NULL)
		{
			(void) close(fd);
			fd = CURL_SOCKET_BAD;
		}
		else
		{
			watched->ours = true;
		}
	}
	return fd;
}

/* CURLOPT_CLOSESOCKETFUNCTION */
int
aut__client_close_socket(void *payload, curl_socket_t fd)
{
	aut_http_client *client = payload;

	if (fd >= 0 && (size_t) fd < client->socket_cap && client->sockets[fd] != NULL)
	{
		socket_forget(client, client->sockets[fd]);
	}
	return close(fd);
}

/* ---- sending and cancelling -------------------------------------------------------------------- */

aut_status
aut_http_send(aut_http_client *client, const aut_http_request *request, aut_http_call **out_call,
			  aut_error *err)
{
	char key[CLIENT_HOST_KEY_MAX];
	aut_http_call *call = NULL;
	bool loopback = false;
	aut_status status;

	status = aut__url_host_key(client, request->url, key, &loopback, err);
	if (status == AUT_OK && request->policy != NULL)
	{
		status = aut_url_policy_check(request->policy, request->url, err);
	}
	if (status != AUT_OK)
	{
		goto out;
	}
	if (client->spare != NULL)
	{
		call = client->spare;
		client->spare = call->next;
		client->spare_count--;
		call->next = NULL;
	}
	else
	{
		status = aut__call_new(client, &call, err);
		if (status != AUT_OK)
		{
			goto out;
		}
	}
	status = aut__call_prepare(call, request, loopback, err);
	if (status != AUT_OK)
	{
		goto out;
	}
	call->host = host_get(client, key);
	if (call->host == NULL)
	{
		status = aut_fail(err, AUT_ENOMEM, "HTTP request: out of memory");
		goto out;
	}
	call->state = CALL_WAITING;
	list_append(&call->host->waiting, call);
	host_offer(client, call->host);
	client_pump(client);
	if (call->state == CALL_WAITING && !aut__call_arm_wait(call, on_waited_too_long))
	{
		list_remove(&call->host->waiting, call);
		status = aut_fail(err, AUT_ENOMEM, "HTTP request: out of memory");
		goto out;
	}
	if (out_call != NULL)
	{
		*out_call = call;
	}
	call = NULL;

out:
	if (call != NULL)
	{
		call_recycle(call);
	}
	return status;
}

void
aut_http_cancel(aut_http_call *call)
{
	if (call == NULL)
	{
		return;
	}
	switch (call->state)
	{
		case CALL_WAITING:
			list_remove(&call->host->waiting, call);
			call_recycle(call);
			break;
		case CALL_RUNNING:
			call_detach(call);
			client_kick(call->client); /* somebody else may start now */
			call_recycle(call);
			break;
		case CALL_ENDED:
			list_remove(&call->client->ended, call);
			call_recycle(call);
			break;
		case CALL_SPARE:
		case CALL_REPORTING:
			/* the caller broke its promise; there is nothing left to cancel */
			break;
	}
}

/* ---- life --------------------------------------------------------------------------------------- */

static bool
global_init(void)
{
	static bool done = false;
	sigset_t saved;

	if (!done)
	{
		aut__curl_enter(&saved);
		done = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
		aut__curl_leave(&saved);
	}
	return done;
}

static bool
multi_setup(aut_http_client *client)
{
	CURLM *multi = client->multi;

	return curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket) == CURLM_OK &&
		   curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, client) == CURLM_OK &&
		   curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_curl_timer) == CURLM_OK &&
		   curl_multi_setopt(multi, CURLMOPT_TIMERDATA, client) == CURLM_OK &&
		   /* connections kept for reuse */
		   curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) client->max_total) == CURLM_OK;
}

aut_status
aut_http_client_new(aut_loop *loop, const aut_http_client_options *options, aut_http_client **out,
					aut_error *err)
{
	const aut_http_client_options defaults = AUT_HTTP_CLIENT_OPTIONS_INIT;
	const aut_http_client_options *use = options != NULL ? options : &defaults;
	aut_http_client *client = aut_calloc(1, sizeof *client);

	if (client == NULL)
	{
		return aut_fail(err, AUT_ENOMEM, "HTTP client: out of memory");
	}
	client->loop = loop;
	client->max_per_host = use->max_per_host > 0 ? use->max_per_host : defaults.max_per_host;
	client->max_total = use->max_total > 0 ? use->max_total : defaults.max_total;
	client->connect_timeout_ms =
		use->connect_timeout_ms > 0 ? use->connect_timeout_ms : defaults.connect_timeout_ms;
	client->user_agent =
		aut_strdup(use->user_agent != NULL ? use->user_agent : defaults.user_agent);
	for (size_t i = 0; use->resolve != NULL && use->resolve[i] != NULL; i++)
	{
		client->resolve = curl_slist_append(client->resolve, use->resolve[i]);
	}
	client->holds = 1; /* of the owner, until aut_http_client_free */
	(void) uv_timer_init(aut_loop_uv(loop), &client->timer);
	client->timer.data = client;
	client->timer_open = true;
	client->flusher.flush = client_flush;
	client->flusher.payload = client;
	aut__loop_add_flusher(loop, &client->flusher);
	if (global_init())
	{
		client->multi = curl_multi_init();
		client->url = curl_url();
	}
	if (client->user_agent == NULL || client->multi == NULL || client->url == NULL ||
		!multi_setup(client))
	{
		aut_http_client_free(client);
		return aut_fail(err, AUT_ENOMEM, "HTTP client: could not set up libcurl");
	}
	*out = client;
	return AUT_OK;
}

static void
on_client_timer_closed(uv_handle_t *handle)
{
	aut_http_client *client = handle->data;

	client->timer_open = false;
	aut__client_release(client);
}

void
aut__client_release(aut_http_client *client)
{
	if (client->closing && client->holds == 0 && !client->timer_open)
	{
		aut_free(client->sockets);
		aut_free(client->user_agent);
		aut_free(client);
	}
}

static void
free_list(call_list *list)
{
	for (aut_http_call *call = list->first, *next; call != NULL; call = next)
	{
		next = call->next;
		aut__call_free(call);
	}
	list->first = NULL;
	list->last = NULL;
}

static void
free_calls_and_hosts(aut_http_client *client)
{
	while (client->running.first != NULL)
	{
		aut_http_call *call = client->running.first;

		call_detach(call);
		aut__call_free(call);
	}
	free_list(&client->ended);
	for (size_t i = 0; i < CLIENT_HOST_BUCKETS; i++)
	{
		for (client_host *host = client->hosts[i], *next; host != NULL; host = next)
		{
			next = host->next_in_bucket;
			free_list(&host->waiting);
			aut_free(host);
		}
	}
	for (aut_http_call *call = client->spare, *next; call != NULL; call = next)
	{
		next = call->next;
		aut__call_free(call);
	}
}

void
aut_http_client_free(aut_http_client *client)
{
	sigset_t saved;

	if (client == NULL || client->closing)
	{
		return;
	}
	client->closing = true;
	free_calls_and_hosts(client);
	aut__curl_enter(&saved);
	/* closes the cached connections through aut__client_close_socket */
	(void) curl_multi_cleanup(client->multi);
	curl_url_cleanup(client->url);
	curl_slist_free_all(client->resolve);
	aut__curl_leave(&saved);
	for (size_t fd = 0; fd < client->socket_cap; fd++)
	{
		if (client->sockets[fd] != NULL)
		{
			socket_forget(client, client->sockets[fd]);
		}
	}
	aut__loop_remove_flusher(client->loop, &client->flusher);
	client->holds--;
	uv_close((uv_handle_t *) &client->timer, on_client_timer_closed);
}
