/* SPDX-License-Identifier: MIT */
/*
 * core/net/net_internal.h - what the files of this room share and nobody else sees.
 *
 * A flusher is the loop's inner hook: it runs once at the end of every round, after the steps.  The
 * HTTP server uses one, so that answers given by steps leave in the same round in which they were
 * given, with one MHD_run for all of them.
 */
#ifndef AUT_NET_INTERNAL_H
#define AUT_NET_INTERNAL_H

#include <microhttpd.h>
#include <uv.h>

#include "automation/net.h"

/* ---- loop ---------------------------------------------------------------------------------- */

typedef struct aut__flusher
{
	void (*flush)(void *payload);
	void *payload;
	struct aut__flusher *next;
} aut__flusher;

/* The node belongs to the caller and must stay until removed. */
void aut__loop_add_flusher(aut_loop *loop, aut__flusher *flusher);
void aut__loop_remove_flusher(aut_loop *loop, aut__flusher *flusher);

/* Text of a libuv error number, for messages. */
aut_status aut__uv_fail(aut_error *err, int uv_error, const char *what);

/* ---- server and exchange ------------------------------------------------------------------- */

#define AUT_EXCHANGE_QUERY_MAX  256                 /* parameters looked at; the rest is ignored */
#define AUT_EXCHANGE_DROP_MAX   ((size_t) 16 << 20) /* bytes read and dropped past the body's limit */
#define AUT_EXCHANGE_STREAM_MAX ((size_t) 4 << 20) /* bytes a slow reader may be behind */

typedef enum exchange_state
{
	EXCHANGE_READING,   /* headers or body still come */
	EXCHANGE_HANDLING,  /* the handler is on the stack */
	EXCHANGE_WAITING,   /* with the handler's owner; the connection is suspended */
	EXCHANGE_ANSWERED,  /* the whole answer is known */
	EXCHANGE_STREAMING, /* the answer's head is known, pieces come */
} exchange_state;

typedef struct exchange_param
{
	const char *name;
	const char *value;
	struct exchange_param *next;
} exchange_param;

typedef struct exchange_header
{
	const char *name;
	const char *value;
	struct exchange_header *next;
} exchange_header;

/* Watches a suspended stream's socket for the client's leaving.  Lives until its close callback. */
typedef struct exchange_watch
{
	uv_poll_t poll;
	aut_exchange *exchange; /* NULL once the exchange has ended */
} exchange_watch;

struct aut_exchange
{
	aut_http_server *server;
	struct MHD_Connection *connection;
	aut_exchange *prev; /* list of the server, for its end */
	aut_exchange *next;
	exchange_state state;

	aut_arena arena;
	const char *method;
	const char *raw_path;
	const char *path;
	exchange_param *query; /* in order of appearance */
	char peer[48];

	aut_buf body;
	size_t dropped; /* bytes of the body that were not kept */
	bool counted;   /* one of the server's active exchanges */
	bool begun;     /* the headers were looked at */
	bool refuse;    /* malformed target or no memory: answered without the handler */
	bool too_long;
	bool suspended; /* the connection is out of MHD's hands */
	bool queued;    /* MHD has the response */

	void *payload;
	void (*gone)(void *payload);

	exchange_header *headers;
	struct MHD_Response *response;
	unsigned int code;

	aut_buf stream;       /* pieces not yet taken by MHD … */
	size_t stream_offset; /* … from here on */
	bool stream_ended;
	bool client_left;
	exchange_watch *watch;
};

struct aut_http_server
{
	aut_loop *loop;
	struct MHD_Daemon *daemon;
	size_t body_max;
	size_t (*body_limit)(void *payload, const char *method, const char *path);
	void (*handle)(void *payload, aut_exchange *exchange);
	void *payload;
	uint16_t port;

	uv_poll_t poll;       /* on MHD's epoll descriptor */
	uv_timer_t timer;     /* what MHD_get_timeout asks for */
	int64_t timer_due_ms; /* loop time the timer is armed for; INT64_MAX: not armed */
	int open_handles;     /* of the two; memory goes with the last */
	aut__flusher flusher;

	aut_exchange *exchanges;
	int active;
	bool dirty;      /* a connection was resumed: MHD_run is due */
	bool running;    /* MHD_run is on the stack */
	bool closed_one; /* MHD closed a connection in its last run */
	bool draining;   /* no new connections; answers say Connection: close */
};

/* The raw request target has come: the exchange is born.  NULL: no memory. */
/* Everything that can be known from the target.  false: no memory. */
bool aut__exchange_parse_target(aut_exchange *exchange, const char *target);
aut_exchange *aut__exchange_new(aut_http_server *server, struct MHD_Connection *connection,
								const char *target);
/* Headers (first call) or body or the end have come; returns what MHD wants to hear. */
enum MHD_Result aut__exchange_advance(aut_exchange *exchange, const char *method, const char *data,
									  size_t *data_len);
/* MHD is done with the request, one way or another; frees. */
void aut__exchange_end(aut_exchange *exchange);
/* Give a suspended connection back to MHD and see that MHD_run comes soon. */
void aut__exchange_resume(aut_exchange *exchange);

#endif
