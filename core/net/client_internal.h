/* SPDX-License-Identifier: MIT */
/*
 * core/net/client_internal.h - the client and its calls, shared by client.c (when do requests run, how
 * do they end) and client_call.c (what a request and a reply look like to curl).
 */
#ifndef AUT_CLIENT_INTERNAL_H
#define AUT_CLIENT_INTERNAL_H

#include <curl/curl.h>
#include <signal.h>

#include "core/net/net_internal.h"

/* CURLOPT_QUICK_EXIT came with 7.87: without it a timed-out request waits for its resolver thread. */
#if LIBCURL_VERSION_NUM < 0x075700
#error "libcurl 7.87 or newer is needed"
#endif

#define CLIENT_HOST_BUCKETS 256
#define CLIENT_HOST_KEY_MAX 288 /* scheme, "://", host (253), ':', port */

typedef struct client_socket client_socket;

typedef struct call_list
{
	aut_http_call *first;
	aut_http_call *last;
} call_list;

/* One scheme://host:port with its queue. */
typedef struct client_host
{
	struct client_host *next_in_bucket;
	struct client_host *next_in_ring;
	bool in_ring; /* has waiting calls and room to start one */
	int active;
	call_list waiting; /* in order of sending */
	char key[];
} client_host;

struct aut_http_client
{
	aut_loop *loop;
	CURLM *multi;
	CURLU *url; /* scratch, to look at a URL's parts */
	/* Where the last URL led, told from its text up to the path: most calls go to one agent. */
	char known_origin[CLIENT_HOST_KEY_MAX];
	size_t known_len;
	char known_key[CLIENT_HOST_KEY_MAX];
	bool known_loopback;
	char *user_agent;
	int max_per_host;
	int max_total;
	int64_t connect_timeout_ms;
	struct curl_slist *resolve;

	uv_timer_t timer; /* what curl's timer callback asks for */
	bool timer_open;
	aut__flusher flusher;
	bool kick;    /* the flusher has work */
	bool closing; /* aut_http_client_free was called */
	int holds;    /* owner and frames on the stack */

	client_socket **sockets; /* by descriptor */
	size_t socket_cap;

	client_host *hosts[CLIENT_HOST_BUCKETS];
	size_t host_count;
	client_host *ring_first; /* hosts that could start a call, taking turns */
	client_host *ring_last;

	call_list running;
	call_list ended; /* without curl's help; wait to be reported */
	int active;
	aut_http_call *spare; /* linked by next */
	int spare_count;
};

typedef enum call_state
{
	CALL_SPARE,
	CALL_WAITING,  /* in its host's queue */
	CALL_RUNNING,  /* curl has it */
	CALL_ENDED,    /* in client->ended */
	CALL_REPORTING /* its callback runs */
} call_state;

struct aut_http_call
{
	aut_http_client *client;
	aut_http_call *prev;
	aut_http_call *next;
	client_host *host;
	call_state state;
	CURL *easy; /* kept for the life of the call object, reset between requests */

	aut_http_cb cb;
	void *payload;
	int64_t deadline_ms;   /* of the loop's monotonic clock */
	aut_timer *wait_timer; /* made when a call first has to wait, then kept */

	void *body_copy;
	const char *body; /* copy or lent */
	size_t body_len;
	size_t body_read; /* by the mime reader */
	struct curl_slist *headers;
	curl_mime *mime;
	bool repeatable; /* may be sent again by curl when a reused connection turns out dead */
	int sends;
	const aut_url_policy *policy; /* NULL: a URL of ours */
	bool resolve_only;
	bool resolved;    /* an address was seen */
	aut_error denied; /* what the policy refused */

	aut_buf reply;
	bool reply_too_long;
	int64_t retry_after_s;
	int64_t date_s, modified_s; /* of the headers, or -1 */
	int64_t content_range_total;
	aut_error error; /* set when the call ended without curl */
	char curl_error[CURL_ERROR_SIZE];
};

/* client.c */
void aut__curl_enter(sigset_t *saved); /* block all signals */
void aut__curl_leave(const sigset_t *saved);
void aut__client_release(aut_http_client *client);
curl_socket_t aut__client_open_socket(void *payload, curlsocktype purpose,
									  struct curl_sockaddr *address);
int aut__client_close_socket(void *payload, curl_socket_t fd);

/* client_call.c */
/* "scheme://host:port" of a URL we may call, else EINVAL; tells loopback hosts. */
aut_status aut__url_host_key(aut_http_client *client, const char *url,
							 char key[CLIENT_HOST_KEY_MAX], bool *out_loopback, aut_error *err);
aut_status aut__call_new(aut_http_client *client, aut_http_call **out, aut_error *err);
void aut__call_free(aut_http_call *call);
void aut__call_clear(aut_http_call *call); /* ready for aut__call_prepare */
aut_status aut__call_prepare(aut_http_call *call, const aut_http_request *request, bool loopback,
							 aut_error *err);
/* Give curl what is left of the request's time; false when nothing is. */
bool aut__call_set_deadline(aut_http_call *call);
/* Have cb(call) run when the time is up before the call was started. */
bool aut__call_arm_wait(aut_http_call *call, aut_timer_cb cb);
/* Fill *reply from what the call collected; pointers into the call. */
void aut__call_reply(aut_http_call *call, CURLcode result, aut_http_reply *reply);

#endif
