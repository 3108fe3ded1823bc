/* SPDX-License-Identifier: MIT */
/*
 * include/automation/net.h - the event loop, the outbound HTTP client, the inbound HTTP server.
 *
 * One thread, one loop per process.  libuv owns time and sockets.  A host either runs the loop
 * (aut_loop_run) or embeds it (wait on aut_loop_fd for at most aut_loop_timeout_ms, then
 * aut_loop_poll).  Callbacks only record; decisions are taken in steps, which the loop calls after
 * each round of I/O.  Nothing here blocks except aut_loop_run.
 *
 * Callbacks never run inside the call that started them: a request that fails at once reports through
 * its callback in a later round.
 */
#ifndef AUT_NET_H
#define AUT_NET_H

#include "automation/base.h"

struct uv_loop_s;

/* ---- loop ---------------------------------------------------------------------------------- */

typedef struct aut_loop aut_loop;

aut_status aut_loop_new(aut_loop **out, aut_error *err);
/* Everything on the loop (timers, clients, servers) must be freed first; runs the last close
 * callbacks. */
void aut_loop_free(aut_loop *loop);
struct uv_loop_s *aut_loop_uv(aut_loop *loop);

/*
 * Steps run after every round of I/O, in order of registration, and again (without waiting) as long
 * as one returns true ("I did something others may want to see").  A step must do a bounded amount
 * of work.  At most AUT_LOOP_STEPS_MAX.
 */
#define AUT_LOOP_STEPS_MAX 16
typedef bool (*aut_loop_step)(void *payload);
aut_status aut_loop_add_step(aut_loop *loop, aut_loop_step step, void *payload, aut_error *err);
void aut_loop_remove_step(aut_loop *loop, aut_loop_step step, void *payload);
/* Make the next round start without waiting (same thread only). */
void aut_loop_wake(aut_loop *loop);

void aut_loop_run(aut_loop *loop); /* until aut_loop_stop */
void aut_loop_stop(aut_loop *loop);
/* Embedding: descriptor to wait on; milliseconds to wait at most (-1: for ever; ask freshly each
 * time); one round without waiting, steps included. */
int aut_loop_fd(aut_loop *loop);
int aut_loop_timeout_ms(aut_loop *loop);
void aut_loop_poll(aut_loop *loop);
/* One round that waits at most timeout_ms (-1: for ever).  For tests and small programs. */
void aut_loop_wait(aut_loop *loop, int timeout_ms);

typedef struct aut_timer aut_timer;
typedef void (*aut_timer_cb)(void *payload);
aut_status aut_timer_new(aut_loop *loop, aut_timer_cb cb, void *payload, aut_timer **out,
						 aut_error *err);
void aut_timer_set(aut_timer *timer, int64_t after_ms); /* one shot; moves an armed one */
void aut_timer_stop(aut_timer *timer);
void aut_timer_free(aut_timer *timer); /* also from inside its own callback; NULL is fine */

/* Signals, for hosts that own the process: cb runs on the loop. */
typedef struct aut_signal aut_signal;
aut_status aut_signal_new(aut_loop *loop, int signum, void (*cb)(void *payload, int signum),
						  void *payload, aut_signal **out, aut_error *err);
void aut_signal_free(aut_signal *signal);

/* ---- URLs that users give (url_policy.c) ------------------------------------------------------ */

struct sockaddr;
typedef struct aut_url_policy aut_url_policy;

typedef struct aut_url_policy_options
{
	bool allow_private;     /* loopback and private networks */
	const char *allowed;    /* list of names (*.x: below x), addresses, networks; may be NULL */
	const char *const *own; /* URLs of the operator: their host and port; may be NULL */
} aut_url_policy_options;

/* EINVAL names what is wrong in the list. */
aut_status aut_url_policy_new(const aut_url_policy_options *options, aut_url_policy **out,
							  aut_error *err);
void aut_url_policy_free(aut_url_policy *policy);
/* May this URL be called, by its text?  EDENIED says why not.  Names are not looked up. */
aut_status aut_url_policy_check(const aut_url_policy *policy, const char *url, aut_error *err);
/* May this address be connected to, which host resolved to?  EDENIED. */
aut_status aut_url_policy_address(const aut_url_policy *policy, const char *host,
								  const struct sockaddr *address, aut_error *err);
/* The same for a numeric address and a port. */
aut_status aut_url_policy_numeric(const aut_url_policy *policy, const char *host,
								  const char *address, int port, aut_error *err);

/* ---- outbound HTTP --------------------------------------------------------------------------- */

typedef struct aut_http_client aut_http_client;

typedef struct aut_http_client_options
{
	int max_per_host; /* connections to one host:port at once (the rest waits in order) */
	int max_total;
	const char *user_agent;
	int64_t connect_timeout_ms;
	/* "host:port:address[,address]" lines that are believed instead of asking DNS; NULL-terminated.  For
	 * tests. */
	const char *const *resolve;
} aut_http_client_options;
#define AUT_HTTP_CLIENT_OPTIONS_INIT                                                               \
	{                                                                                              \
		64, 512, "automation/" AUT_VERSION, 10000, NULL                                            \
	}

/* libcurl multi socket interface on the loop.  Signals are blocked around every curl call that may
 * start a thread (resolver); CURLOPT_NOSIGNAL and CURLOPT_QUICK_EXIT are set; http and https only;
 * redirects are not followed; proxies from the environment are not used for loopback hosts. */
aut_status aut_http_client_new(aut_loop *loop, const aut_http_client_options *options,
							   aut_http_client **out, aut_error *err);
/* Requests still under way are cancelled; their callbacks do not run. */
void aut_http_client_free(aut_http_client *client);

typedef struct aut_http_reply
{
	aut_status status; /* AUT_OK: an HTTP reply came, whatever its code; else ENET, ETIMEOUT,
							* ELIMIT (reply larger than allowed), ENOMEM, EINVAL (bad URL) */
	int code;          /* HTTP status code */
	const char *body;  /* NUL-terminated; lives until the callback returns */
	size_t body_len;
	const char *content_type;    /* "" when none */
	int64_t retry_after_s;       /* of a Retry-After header in seconds, or -1 */
	int64_t age_s; /* Date less Last-Modified: how long ago it changed by its own clock; 0: not told */
	int64_t content_range_total; /* N of "Content-Range: bytes …/N", or -1 */
	bool unsent;     /* there was no connection: the request never left (status is not AUT_OK) */
	aut_error error; /* the story when status is not AUT_OK */
} aut_http_reply;

typedef void (*aut_http_cb)(void *payload, const aut_http_reply *reply);

/* One request.  Everything pointed to is copied before aut_http_send returns, except that body may be
 * lent: with body_lent it must stay valid until the callback or the cancel. */
typedef struct aut_http_request
{
	const char *method; /* "GET", "POST", … */
	const char *url;
	const char *const *headers; /* "Name: value" lines, NULL-terminated; may be NULL */
	const void *body;           /* NULL: none.  Sent as given … */
	size_t body_len;
	bool body_lent;
	const char *multipart_field; /* … or, when set, as the one file part of multipart/form-data */
	const char *multipart_filename; /* default "upload" */
	const char *content_type;       /* of the body or of the part */
	/* Sign it as Amazon's services want it: "aws:amz:<region>:<service>", and the key.  No query then; a body
	 * in one piece. */
	const char *aws_sigv4, *aws_key_id, *aws_secret;
	int64_t timeout_ms; /* of the whole request; 0: 60 s */
	size_t reply_max;   /* bytes of the reply's body; 0: 1 MiB */
	/* For URLs that users gave: judged by its text before, and by the address at each connection.  The
	 * reply is EDENIED when refused, ENOTFOUND when the host has no address.  Must outlive the call; no
	 * proxy is used. */
	const aut_url_policy *policy;
	/* Follow so many redirects, each judged like the first; only with a policy and without headers (they
	 * would be sent to whoever the reply names). */
	int redirects_max;
	/* Connect nowhere: only find out whether every address of the host is allowed (reply OK, code 0). */
	bool resolve_only;
	aut_http_cb cb;
	void *payload;
} aut_http_request;

typedef struct aut_http_call aut_http_call;
/* Always reports through cb exactly once unless cancelled; only AUT_ENOMEM, AUT_EINVAL (not a URL we may
 * call) and AUT_EDENIED (its policy refuses its text) are returned directly, then cb does not run.
 * *out_call may be NULL. */
aut_status aut_http_send(aut_http_client *client, const aut_http_request *request,
						 aut_http_call **out_call, aut_error *err);
void aut_http_cancel(aut_http_call *call); /* cb will not run; not after cb has run */

/* ---- inbound HTTP ---------------------------------------------------------------------------- */

typedef struct aut_http_server aut_http_server;
/* One request and its answer.  Valid from the handler's call until answered (aut_exchange_reply or
 * _stream_end) or, if the client goes away first, until the gone callback has returned. */
typedef struct aut_exchange aut_exchange;

typedef struct aut_http_server_options
{
	const char *address; /* numeric IPv4 or IPv6 */
	uint16_t port;       /* 0: any free one, see aut_http_server_port */
	bool reuse_port;
	size_t body_max; /* bytes kept of a request body; see aut_exchange_body_too_long */
	/* Called when the headers are in: the limit for this request's body.  NULL: body_max for all. */
	size_t (*body_limit)(void *payload, const char *method, const char *path);
	int connections_max;
	int connections_per_ip_max; /* 0: no limit */
	int idle_timeout_s; /* a connection that stalls (half a request, slow reader) is closed */
	/* The request is complete.  Must answer now or later, exactly once. */
	void (*handle)(void *payload, aut_exchange *exchange);
	void *payload;
} aut_http_server_options;
#define AUT_HTTP_SERVER_OPTIONS_INIT                                                               \
	{                                                                                              \
		"127.0.0.1", 0, false, 1048576, NULL, 1000, 0, 30, NULL, NULL                              \
	}

/* Address in use: AUT_EBUSY with the address and port in the message. */
aut_status aut_http_server_new(aut_loop *loop, const aut_http_server_options *options,
							   aut_http_server **out, aut_error *err);
uint16_t aut_http_server_port(const aut_http_server *server);
void aut_http_server_stop_accepting(aut_http_server *server); /* for draining */
int aut_http_server_active(const aut_http_server *server);    /* exchanges not yet answered */
void aut_http_server_free(aut_http_server *server);           /* closes everything at once */

const char *aut_exchange_method(const aut_exchange *exchange);
/* Decoded path (no query); raw_path as on the wire.  A path with %00 or bad escapes never reaches the
 * handler (400). */
const char *aut_exchange_path(const aut_exchange *exchange);
const char *aut_exchange_raw_path(const aut_exchange *exchange);
/* First value of a query parameter, decoded; NULL when absent. */
const char *aut_exchange_query(const aut_exchange *exchange, const char *name);
/* Walk over all query parameters; stops when cb returns false. */
void aut_exchange_each_query(const aut_exchange *exchange,
							 bool (*cb)(void *payload, const char *name, const char *value),
							 void *payload);
const char *aut_exchange_header(const aut_exchange *exchange, const char *name); /* NULL: absent */
/* Walk over all headers of the request; stops when cb returns false. */
void aut_exchange_each_header(const aut_exchange *exchange,
							  bool (*cb)(void *payload, const char *name, const char *value),
							  void *payload);
const void *aut_exchange_body(const aut_exchange *exchange, size_t *out_len);    /* never NULL */
/* The body was longer than the limit: what came after it was read and dropped (up to 16 MiB, then the
 * connection is closed), body holds the first part.  The handler answers (413, or its route's own). */
bool aut_exchange_body_too_long(const aut_exchange *exchange);
const char *aut_exchange_peer(const aut_exchange *exchange); /* numeric address */

/* A scratch arena that ends with the exchange; a slot for the handler's own pointer with its end. */
aut_arena *aut_exchange_arena(aut_exchange *exchange);
void aut_exchange_set_payload(aut_exchange *exchange, void *payload, void (*gone)(void *payload));
void *aut_exchange_payload(const aut_exchange *exchange);

/* Headers to add to the answer; call before answering. */
aut_status aut_exchange_add_header(aut_exchange *exchange, const char *name, const char *value);
/* Answer and end.  body is copied.  content_type may be NULL for an empty body. */
void aut_exchange_reply(aut_exchange *exchange, int code, const char *content_type,
						const void *body, size_t body_len);
/* End without an answer: the connection is closed.  For stand-ins that play a server that dies. */
void aut_exchange_drop(aut_exchange *exchange);
/* Answer in pieces (chunked), as server-sent events or a growing file need.  After _stream_begin the
 * handler may write at any time; if the client goes away, gone (of set_payload) is called once and the
 * exchange must not be touched again.  Writes are buffered up to a limit; AUT_ELIMIT: the reader is
 * too slow (the caller should end the stream). */
aut_status aut_exchange_stream_begin(aut_exchange *exchange, int code, const char *content_type);
aut_status aut_exchange_stream_write(aut_exchange *exchange, const void *data, size_t len);
void aut_exchange_stream_end(aut_exchange *exchange);

#endif
