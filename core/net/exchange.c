/* SPDX-License-Identifier: MIT */
/*
 * core/net/exchange.c - one inbound request and its answer.
 *
 * An exchange is born when the request line is in, collects the body up to its limit, meets the
 * handler once, and is answered at once, later, or in pieces.  Between the handler and a later answer
 * its connection is suspended: MHD does not look at it, and it costs nothing.
 *
 *     READING -> HANDLING -> ANSWERED            answered inside the handler
 *                        \-> WAITING -> ANSWERED | STREAMING
 *
 * Rules of MHD that are kept here: a response is queued only inside MHD's own callback (so a later answer
 * resumes the connection and waits to be called again); a connection is never resumed twice; a
 * suspended one is not watched by MHD, so a stream watches its socket itself to see the client leave.
 * A client that leaves while a plain answer is being worked on is not noticed: the answer is then
 * written into nothing, which is harmless.
 *
 * gone (of aut_exchange_set_payload) runs at most once, and only when the exchange ended before it was
 * answered completely.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "core/net/net_internal.h"

/* Pieces in which MHD takes a stream. */
#define STREAM_BLOCK 16384

static const char malformed_body[] = "{\"detail\":\"Malformed request target\"}";
static const char memory_body[] = "{\"detail\":\"Out of memory\"}";

/* ---- birth: the request target --------------------------------------------------------------------- */

/* Path and query of a target in origin form, absolute form or "*". */
static const char *
target_path(const char *target)
{
	const char *path = target;

	if (strncasecmp(target, "http://", 7) == 0 || strncasecmp(target, "https://", 8) == 0)
	{
		path = strchr(strchr(target, ':') + 3, '/');
		if (path == NULL)
		{
			path = "/";
		}
	}
	return path;
}

/* A query's name or value, '+' and escapes decoded.  What does not decode is taken as it is, as the
 * reference's framework does. */
static const char *
decode_param(aut_arena *arena, const char *text, size_t len)
{
	char *copy = aut_arena_strndup(arena, text, len);
	size_t decoded = len;

	if (copy != NULL && !aut_url_decode(copy, &decoded, true))
	{
		copy = aut_arena_strndup(arena, text, len);
	}
	else if (copy != NULL)
	{
		copy[decoded] = '\0';
	}
	return copy;
}

static bool
parse_query(aut_exchange *exchange, const char *query)
{
	exchange_param **end = &exchange->query;
	bool ok = true;

	for (int count = 0; ok && *query != '\0' && count < AUT_EXCHANGE_QUERY_MAX; count++)
	{
		size_t len = strcspn(query, "&");
		const char *equals = memchr(query, '=', len);
		size_t name_len = equals != NULL ? (size_t) (equals - query) : len;
		exchange_param *param;

		if (len > 0)
		{
			param = aut_arena_alloc(&exchange->arena, sizeof *param);
			if (param != NULL)
			{
				param->next = NULL;
				param->name = decode_param(&exchange->arena, query, name_len);
				param->value = equals != NULL
								   ? decode_param(&exchange->arena, equals + 1, len - name_len - 1)
								   : "";
				*end = param;
				end = &param->next;
			}
			ok = param != NULL && param->name != NULL && param->value != NULL;
		}
		query += len;
		query += *query == '&' ? 1 : 0;
	}
	return ok;
}

bool
aut__exchange_parse_target(aut_exchange *exchange, const char *target)
{
	const char *raw = target_path(target);
	size_t raw_len = strcspn(raw, "?");
	size_t len = raw_len;
	char *path = aut_arena_strndup(&exchange->arena, raw, raw_len);

	exchange->raw_path = aut_arena_strndup(&exchange->arena, raw, raw_len);
	exchange->path = path;
	if (path == NULL || exchange->raw_path == NULL)
	{
		return false;
	}
	if ((path[0] != '/' && strcmp(path, "*") != 0) || !aut_url_decode(path, &len, false))
	{
		exchange->refuse = true;
		exchange->path = exchange->raw_path;
	}
	else
	{
		path[len] = '\0';
	}
	return raw[raw_len] != '?' || parse_query(exchange, raw + raw_len + 1);
}

static void
note_peer(aut_exchange *exchange)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr *address = info != NULL ? info->client_addr : NULL;
	const void *number = NULL;

	if (address != NULL && address->sa_family == AF_INET)
	{
		number = &((const struct sockaddr_in *) (const void *) address)->sin_addr;
	}
	else if (address != NULL && address->sa_family == AF_INET6)
	{
		number = &((const struct sockaddr_in6 *) (const void *) address)->sin6_addr;
	}
	if (number == NULL ||
		inet_ntop(address->sa_family, number, exchange->peer, sizeof exchange->peer) == NULL)
	{
		exchange->peer[0] = '\0';
	}
}

aut_exchange *
aut__exchange_new(aut_http_server *server, struct MHD_Connection *connection, const char *target)
{
	aut_exchange *exchange = aut_calloc(1, sizeof *exchange);

	if (exchange == NULL)
	{
		return NULL;
	}
	exchange->server = server;
	exchange->connection = connection;
	exchange->method = "";
	aut_buf_init(&exchange->body, server->body_max);
	aut_buf_init(&exchange->stream, AUT_EXCHANGE_STREAM_MAX);
	if (!aut__exchange_parse_target(exchange, target))
	{
		aut_arena_done(&exchange->arena);
		aut_free(exchange);
		return NULL;
	}
	note_peer(exchange);
	exchange->next = server->exchanges;
	if (exchange->next != NULL)
	{
		exchange->next->prev = exchange;
	}
	server->exchanges = exchange;
	return exchange;
}

/* ---- end -------------------------------------------------------------------------------------------- */

static void
on_watch_closed(uv_handle_t *handle)
{
	aut_free(handle->data);
}

static void
stop_watching(aut_exchange *exchange)
{
	if (exchange->watch != NULL)
	{
		exchange->watch->exchange = NULL;
		uv_close((uv_handle_t *) &exchange->watch->poll, on_watch_closed);
		exchange->watch = NULL;
	}
}

/* From here on the exchange is nobody's: not counted, its payload forgotten. */
static void
settle(aut_exchange *exchange)
{
	exchange->payload = NULL;
	exchange->gone = NULL;
	if (exchange->counted)
	{
		exchange->counted = false;
		exchange->server->active--;
	}
}

void
aut__exchange_end(aut_exchange *exchange)
{
	aut_http_server *server = exchange->server;

	stop_watching(exchange);
	if (exchange->gone != NULL)
	{
		void (*gone)(void *payload) = exchange->gone;
		void *payload = exchange->payload;

		exchange->gone = NULL;
		gone(payload);
		aut_loop_wake(server->loop);
	}
	settle(exchange);
	if (exchange->prev != NULL)
	{
		exchange->prev->next = exchange->next;
	}
	else
	{
		server->exchanges = exchange->next;
	}
	if (exchange->next != NULL)
	{
		exchange->next->prev = exchange->prev;
	}
	if (exchange->response != NULL)
	{
		MHD_destroy_response(exchange->response);
	}
	aut_buf_done(&exchange->body);
	aut_buf_done(&exchange->stream);
	aut_arena_done(&exchange->arena);
	aut_free(exchange);
}

/* ---- the way of a request ---------------------------------------------------------------------------- */

static void
suspend(aut_exchange *exchange)
{
	if (!exchange->suspended)
	{
		exchange->suspended = true;
		MHD_suspend_connection(exchange->connection);
	}
}

void
aut__exchange_resume(aut_exchange *exchange)
{
	if (exchange->suspended)
	{
		exchange->suspended = false;
		MHD_resume_connection(exchange->connection);
		if (!exchange->server->running)
		{
			exchange->server->dirty = true;
			aut_loop_wake(exchange->server->loop);
		}
	}
}

/* Give MHD the answer that is known.  MHD_NO makes it close the connection. */
static enum MHD_Result
queue_response(aut_exchange *exchange)
{
	enum MHD_Result result = MHD_NO;

	if (exchange->queued)
	{
		result = MHD_YES;
	}
	else if (exchange->response != NULL)
	{
		exchange->queued = true;
		result = MHD_queue_response(exchange->connection, exchange->code, exchange->response);
	}
	return result;
}

static enum MHD_Result
meet_handler(aut_exchange *exchange)
{
	aut_http_server *server = exchange->server;

	exchange->state = EXCHANGE_HANDLING;
	if (exchange->refuse)
	{
		aut_exchange_reply(exchange, 400, "application/json", malformed_body,
						   sizeof malformed_body - 1);
	}
	else if (exchange->body.status != AUT_OK)
	{
		aut_exchange_reply(exchange, 503, "application/json", memory_body, sizeof memory_body - 1);
	}
	else
	{
		exchange->counted = true;
		server->active++;
		server->handle(server->payload, exchange);
	}
	if (exchange->state == EXCHANGE_HANDLING)
	{
		exchange->state = EXCHANGE_WAITING;
		suspend(exchange);
		return MHD_YES;
	}
	return queue_response(exchange);
}

/* The headers are in: the body's limit, and whether it is hopeless to read the body at all. */
static bool
look_at_headers(aut_exchange *exchange, const char *method)
{
	aut_http_server *server = exchange->server;
	const char *length = aut_exchange_header(exchange, "Content-Length");
	int64_t announced = 0;

	exchange->begun = true;
	exchange->method = aut_arena_strndup(&exchange->arena, method, strlen(method));
	if (exchange->method == NULL)
	{
		exchange->method = "";
		exchange->body.status = AUT_ENOMEM;
	}
	else if (server->body_limit != NULL && !exchange->refuse)
	{
		exchange->body.max = server->body_limit(server->payload, method, exchange->path);
	}
	if (length != NULL && aut_int_parse(length, 0, INT64_MAX, &announced) &&
		(uint64_t) announced > exchange->body.max + AUT_EXCHANGE_DROP_MAX)
	{
		/* more than we would drop: the handler answers now, MHD closes without reading */
		exchange->too_long = true;
		exchange->dropped = (size_t) announced;
	}
	return !exchange->too_long;
}

/* Keep what fits, count the rest.  MHD_NO when too much was dropped. */
static enum MHD_Result
take_body(aut_exchange *exchange, const char *data, size_t len)
{
	size_t room = exchange->body.max - exchange->body.len;
	size_t keep = len < room ? len : room;

	if (exchange->body.status == AUT_OK && !exchange->refuse)
	{
		(void) aut_buf_append(&exchange->body, data, keep);
	}
	if (keep < len)
	{
		exchange->too_long = true;
		exchange->dropped += len - keep;
	}
	return exchange->dropped <= AUT_EXCHANGE_DROP_MAX ? MHD_YES : MHD_NO;
}

enum MHD_Result
aut__exchange_advance(aut_exchange *exchange, const char *method, const char *data,
					  size_t *data_len)
{
	enum MHD_Result result = MHD_YES;

	if (exchange->client_left)
	{
		result = MHD_NO; /* the server is ending */
	}
	else if (exchange->state != EXCHANGE_READING)
	{
		/* called again after a resume */
		result = exchange->state == EXCHANGE_WAITING ? MHD_YES : queue_response(exchange);
	}
	else if (!exchange->begun)
	{
		if (!look_at_headers(exchange, method))
		{
			result = meet_handler(exchange);
		}
	}
	else if (*data_len > 0)
	{
		result = take_body(exchange, data, *data_len);
		*data_len = 0;
	}
	else
	{
		result = meet_handler(exchange);
	}
	return result;
}

/* ---- what the handler may ask ---------------------------------------------------------------------- */

const char *
aut_exchange_method(const aut_exchange *exchange)
{
	return exchange->method;
}

const char *
aut_exchange_path(const aut_exchange *exchange)
{
	return exchange->path;
}

const char *
aut_exchange_raw_path(const aut_exchange *exchange)
{
	return exchange->raw_path;
}

const char *
aut_exchange_query(const aut_exchange *exchange, const char *name)
{
	const char *found = NULL;

	for (const exchange_param *param = exchange->query; param != NULL && found == NULL;
		 param = param->next)
	{
		if (strcmp(param->name, name) == 0)
		{
			found = param->value;
		}
	}
	return found;
}

void
aut_exchange_each_query(const aut_exchange *exchange,
						bool (*cb)(void *payload, const char *name, const char *value),
						void *payload)
{
	const exchange_param *param = exchange->query;

	while (param != NULL && cb(payload, param->name, param->value))
	{
		param = param->next;
	}
}

const char *
aut_exchange_header(const aut_exchange *exchange, const char *name)
{
	return MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, name);
}

struct header_walk
{
	bool (*cb)(void *payload, const char *name, const char *value);
	void *payload;
};

static enum MHD_Result
header_step(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
	const struct header_walk *walk = cls;

	(void) kind;
	return walk->cb(walk->payload, name, value != NULL ? value : "") ? MHD_YES : MHD_NO;
}

void
aut_exchange_each_header(const aut_exchange *exchange,
						 bool (*cb)(void *payload, const char *name, const char *value),
						 void *payload)
{
	struct header_walk walk = {cb, payload};

	(void) MHD_get_connection_values(exchange->connection, MHD_HEADER_KIND, header_step, &walk);
}

const void *
aut_exchange_body(const aut_exchange *exchange, size_t *out_len)
{
	*out_len = exchange->body.len;
	return exchange->body.data != NULL ? exchange->body.data : "";
}

bool
aut_exchange_body_too_long(const aut_exchange *exchange)
{
	return exchange->too_long;
}

const char *
aut_exchange_peer(const aut_exchange *exchange)
{
	return exchange->peer;
}

aut_arena *
aut_exchange_arena(aut_exchange *exchange)
{
	return &exchange->arena;
}

void
aut_exchange_set_payload(aut_exchange *exchange, void *payload, void (*gone)(void *payload))
{
	exchange->payload = payload;
	exchange->gone = gone;
}

void *
aut_exchange_payload(const aut_exchange *exchange)
{
	return exchange->payload;
}

/* ---- answering ---------------------------------------------------------------------------------------- */

aut_status
aut_exchange_add_header(aut_exchange *exchange, const char *name, const char *value)
{
	exchange_header *header;
	exchange_header **end = &exchange->headers;

	if (strpbrk(value, "\r\n") != NULL || strpbrk(name, "\r\n: ") != NULL || name[0] == '\0')
	{
		return AUT_EINVAL;
	}
	header = aut_arena_alloc(&exchange->arena, sizeof *header);
	if (header == NULL)
	{
		return AUT_ENOMEM;
	}
	header->next = NULL;
	header->name = aut_arena_strndup(&exchange->arena, name, strlen(name));
	header->value = aut_arena_strndup(&exchange->arena, value, strlen(value));
	if (header->name == NULL || header->value == NULL)
	{
		return AUT_ENOMEM;
	}
	while (*end != NULL)
	{
		end = &(*end)->next;
	}
	*end = header;
	return AUT_OK;
}

/* Put the head on a fresh response; false (and no response) when there is no memory. */
static bool
dress_response(aut_exchange *exchange, int code, const char *content_type)
{
	bool ok = exchange->response != NULL;

	exchange->code = (unsigned int) code;
	if (ok && content_type != NULL)
	{
		ok = MHD_add_response_header(exchange->response, MHD_HTTP_HEADER_CONTENT_TYPE,
									 content_type) == MHD_YES;
	}
	if (ok && exchange->server->draining)
	{
		ok = MHD_add_response_header(exchange->response, MHD_HTTP_HEADER_CONNECTION, "close") ==
			 MHD_YES;
	}
	for (exchange_header *header = exchange->headers; ok && header != NULL; header = header->next)
	{
		ok = MHD_add_response_header(exchange->response, header->name, header->value) == MHD_YES;
	}
	if (!ok && exchange->response != NULL)
	{
		MHD_destroy_response(exchange->response);
		exchange->response = NULL;
	}
	return ok;
}

void
aut_exchange_reply(aut_exchange *exchange, int code, const char *content_type, const void *body,
				   size_t body_len)
{
	if (exchange->state != EXCHANGE_HANDLING && exchange->state != EXCHANGE_WAITING)
	{
		return; /* answered already */
	}
	/* MHD takes a pointer that is not const, but copies */
	exchange->response = MHD_create_response_from_buffer(
		body_len, body_len > 0 ? (void *) (uintptr_t) body : NULL,
		body_len > 0 ? MHD_RESPMEM_MUST_COPY : MHD_RESPMEM_PERSISTENT);
	(void) dress_response(exchange, code, content_type);
	exchange->state = EXCHANGE_ANSWERED;
	settle(exchange);
	aut__exchange_resume(exchange);
}

void
aut_exchange_drop(aut_exchange *exchange)
{
	if (exchange->state == EXCHANGE_HANDLING || exchange->state == EXCHANGE_WAITING)
	{
		/* answered without a response: queue_response makes MHD close the connection */
		exchange->state = EXCHANGE_ANSWERED;
		settle(exchange);
		aut__exchange_resume(exchange);
	}
}

/* ---- answering in pieces --------------------------------------------------------------------------------- */

/* MHD wants the next bytes of the stream. */
static ssize_t
on_stream_read(void *payload, uint64_t position, char *out, size_t max)
{
	aut_exchange *exchange = payload;
	size_t left = exchange->stream.len - exchange->stream_offset;
	ssize_t result = 0;

	(void) position;
	if (exchange->client_left)
	{
		result = MHD_CONTENT_READER_END_WITH_ERROR;
	}
	else if (left > 0)
	{
		size_t len = left < max ? left : max;

		memcpy(out, exchange->stream.data + exchange->stream_offset, len);
		exchange->stream_offset += len;
		if (exchange->stream_offset == exchange->stream.len)
		{
			aut_buf_clear(&exchange->stream);
			exchange->stream_offset = 0;
		}
		result = (ssize_t) len;
	}
	else if (exchange->stream_ended)
	{
		result = MHD_CONTENT_READER_END_OF_STREAM;
	}
	else
	{
		suspend(exchange);
	}
	return result;
}

static void
on_watch_event(uv_poll_t *handle, int status, int events)
{
	exchange_watch *watch = handle->data;
	aut_exchange *exchange = watch->exchange;

	(void) status;
	(void) events;
	(void) uv_poll_stop(handle);
	if (exchange != NULL && !exchange->stream_ended)
	{
		exchange->client_left = true;
		/* MHD asks for more, is told of the error and ends the exchange */
		aut__exchange_resume(exchange);
	}
}

/* Best effort: without the watch a departure is noticed at the next write. */
static void
watch_client(aut_exchange *exchange)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	exchange_watch *watch = info != NULL ? aut_calloc(1, sizeof *watch) : NULL;

	if (watch == NULL)
	{
		return;
	}
	if (uv_poll_init(aut_loop_uv(exchange->server->loop), &watch->poll, info->connect_fd) != 0)
	{
		aut_free(watch);
		return;
	}
	watch->poll.data = watch;
	watch->exchange = exchange;
	exchange->watch = watch;
	(void) uv_poll_start(&watch->poll, UV_DISCONNECT, on_watch_event);
}

aut_status
aut_exchange_stream_begin(aut_exchange *exchange, int code, const char *content_type)
{
	if (exchange->state != EXCHANGE_HANDLING && exchange->state != EXCHANGE_WAITING)
	{
		return AUT_ECONFLICT;
	}
	exchange->response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK,
														   on_stream_read, exchange, NULL);
	if (!dress_response(exchange, code, content_type))
	{
		return AUT_ENOMEM;
	}
	exchange->state = EXCHANGE_STREAMING;
	watch_client(exchange);
	aut__exchange_resume(exchange);
	return AUT_OK;
}

aut_status
aut_exchange_stream_write(aut_exchange *exchange, const void *data, size_t len)
{
	aut_status status;

	if (exchange->state != EXCHANGE_STREAMING || exchange->stream_ended)
	{
		return AUT_ECONFLICT;
	}
	if (exchange->stream_offset > 0)
	{
		/* move what is left to the front; it is small, or the reader is slow */
		exchange->stream.len -= exchange->stream_offset;
		memmove(exchange->stream.data, exchange->stream.data + exchange->stream_offset,
				exchange->stream.len);
		exchange->stream_offset = 0;
	}
	if (len > AUT_EXCHANGE_STREAM_MAX - exchange->stream.len)
	{
		return AUT_ELIMIT; /* checked here: a failed buffer would lose what it holds */
	}
	status = aut_buf_append(&exchange->stream, data, len);
	aut__exchange_resume(exchange);
	return status;
}

void
aut_exchange_stream_end(aut_exchange *exchange)
{
	if (exchange->state == EXCHANGE_STREAMING && !exchange->stream_ended)
	{
		exchange->stream_ended = true;
		settle(exchange);
		aut__exchange_resume(exchange);
	}
}
