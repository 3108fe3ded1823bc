/* SPDX-License-Identifier: MIT */
/*
 * core/net/server.c - the inbound HTTP server: listen socket, libmicrohttpd on the loop, life and end.
 *
 * MHD runs without threads on an epoll descriptor of its own, which the loop watches.  After every
 * MHD_run its timeout arms a libuv timer; "run again at once" is done by the flusher, a bounded number
 * of times, so that one busy server cannot keep the loop.  What happens to one request is in
 * exchange.c.
 *
 * The listen socket is ours (close-on-exec, SO_REUSEPORT only when asked).  MHD's own unescaping is
 * switched off: it cannot say that an escape was malformed, exchange.c can.
 *
 * MHD_run is never entered twice: answers given while it is on the stack are seen by it, answers given
 * outside mark the server dirty and the flusher runs it once for all of them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/net/net_internal.h"

#define RUNS_MAX 8 /* of MHD in one go */

/* ---- running MHD ------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *handle);

/* Ask MHD when it wants to run next; arm only when that is earlier than what is armed. */
static void
server_arm(aut_http_server *server, bool have_timeout, MHD_UNSIGNED_LONG_LONG timeout_ms)
{
	int64_t now_ms = (int64_t) uv_now(server->timer.loop);

	if (have_timeout && timeout_ms == 0)
	{
		server->dirty = true;
		aut_loop_wake(server->loop);
	}
	else if (have_timeout && timeout_ms < INT32_MAX &&
			 now_ms + (int64_t) timeout_ms < server->timer_due_ms)
	{
		server->timer_due_ms = now_ms + (int64_t) timeout_ms;
		(void) uv_timer_start(&server->timer, on_timer, timeout_ms, 0);
	}
}

static void
server_run(aut_http_server *server)
{
	MHD_UNSIGNED_LONG_LONG timeout_ms = 0;
	bool have_timeout = true;

	server->dirty = false;
	server->running = true;
	for (int i = 0; i < RUNS_MAX && have_timeout && timeout_ms == 0; i++)
	{
		server->closed_one = false;
		(void) MHD_run(server->daemon);
		have_timeout = MHD_get_timeout(server->daemon, &timeout_ms) == MHD_YES;
		if (server->closed_one)
		{
			/* At its limit MHD stops accepting, and it starts again only in the run after a
			 * connection was closed; its timeout does not say so. */
			have_timeout = true;
			timeout_ms = 0;
		}
	}
	server->running = false;
	server_arm(server, have_timeout, timeout_ms);
}

static void
on_timer(uv_timer_t *handle)
{
	aut_http_server *server = handle->data;

	server->timer_due_ms = INT64_MAX;
	server_run(server);
}

static void
on_poll(uv_poll_t *handle, int status, int events)
{
	(void) status;
	(void) events;
	server_run(handle->data);
}

static void
server_flush(void *payload)
{
	aut_http_server *server = payload;

	if (server->dirty)
	{
		server_run(server);
		/* new requests may have reached handlers: let the steps see them without waiting */
		aut_loop_wake(server->loop);
	}
}

/* ---- MHD's callbacks ----------------------------------------------------------------------------- */

static void *
on_target(void *payload, const char *target, struct MHD_Connection *connection)
{
	return aut__exchange_new(payload, connection, target);
}

static enum MHD_Result
on_access(void *payload, struct MHD_Connection *connection, const char *url, const char *method,
		  const char *version, const char *data, size_t *data_len, void **slot)
{
	(void) payload;
	(void) connection;
	(void) url;
	(void) version;
	/* no exchange: there was no memory for it, and MHD closes the connection */
	return *slot != NULL ? aut__exchange_advance(*slot, method, data, data_len) : MHD_NO;
}

static void
on_completed(void *payload, struct MHD_Connection *connection, void **slot,
			 enum MHD_RequestTerminationCode code)
{
	(void) payload;
	(void) connection;
	(void) code;
	if (*slot != NULL)
	{
		aut__exchange_end(*slot);
		*slot = NULL;
	}
}

/* MHD tells no end of a request whose parameters it had no room for. */
static void
end_forgotten(aut_http_server *server, const struct MHD_Connection *connection)
{
	aut_exchange *next;

	for (aut_exchange *exchange = server->exchanges; exchange != NULL; exchange = next)
	{
		next = exchange->next;
		if (exchange->connection == connection)
		{
			aut__exchange_end(exchange);
		}
	}
}

static void
on_connection(void *payload, struct MHD_Connection *connection, void **slot,
			  enum MHD_ConnectionNotificationCode code)
{
	aut_http_server *server = payload;

	(void) slot;
	if (code == MHD_CONNECTION_NOTIFY_CLOSED)
	{
		server->closed_one = true;
		end_forgotten(server, connection);
	}
}

/* Leave the text as it is; exchange.c decodes. */
static size_t
on_unescape(void *payload, struct MHD_Connection *connection, char *text)
{
	(void) payload;
	(void) connection;
	return strlen(text);
}

static void on_mhd_log(void *payload, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

static void
on_mhd_log(void *payload, const char *format, va_list args)
{
	char line[256];

	(void) payload;
	(void) vsnprintf(line, sizeof line, format, args);
	line[strcspn(line, "\r\n")] = '\0';
	aut_log(AUT_LOG_DEBUG, "http server: %s", line);
}

/* ---- the listen socket ------------------------------------------------------------------------------ */

typedef union any_address
{
	struct sockaddr base;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
} any_address;

static aut_status
parse_address(const char *text, uint16_t port, any_address *out, socklen_t *out_len, aut_error *err)
{
	memset(out, 0, sizeof *out);
	if (inet_pton(AF_INET, text, &out->v4.sin_addr) == 1)
	{
		out->v4.sin_family = AF_INET;
		out->v4.sin_port = htons(port);
		*out_len = sizeof out->v4;
	}
	else if (inet_pton(AF_INET6, text, &out->v6.sin6_addr) == 1)
	{
		out->v6.sin6_family = AF_INET6;
		out->v6.sin6_port = htons(port);
		*out_len = sizeof out->v6;
	}
	else
	{
		return aut_fail(err, AUT_EINVAL, "not a numeric address to listen on: \"%.64s\"", text);
	}
	return AUT_OK;
}

/* Bind, listen, and read back the port the kernel chose. */
static aut_status
open_listener(const aut_http_server_options *options, int *out_fd, uint16_t *out_port,
			  aut_error *err)
{
	any_address address;
	socklen_t len = 0;
	int on = 1;
	int fd = -1;
	aut_status status = parse_address(options->address, options->port, &address, &len, err);

	if (status != AUT_OK)
	{
		goto out;
	}
	fd = socket(address.base.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
	{
		status = aut_fail_errno(err, AUT_EIO, errno, "listen socket");
		goto out;
	}
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
		(options->reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) ||
		(address.base.sa_family == AF_INET6 &&
		 setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0))
	{
		status = aut_fail_errno(err, AUT_EIO, errno, "listen socket options");
		goto out;
	}
	if (bind(fd, &address.base, len) != 0 || listen(fd, SOMAXCONN) != 0)
	{
		status = aut_fail_errno(err,
								errno == EADDRINUSE ? AUT_EBUSY
								: errno == EACCES   ? AUT_EDENIED
													: AUT_EIO,
								errno, "cannot listen on %s port %u", options->address,
								(unsigned int) options->port);
		goto out;
	}
	if (getsockname(fd, &address.base, &len) != 0)
	{
		status = aut_fail_errno(err, AUT_EIO, errno, "listen socket");
		goto out;
	}
	*out_port =
		ntohs(address.base.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
	*out_fd = fd;
	fd = -1;

out:
	if (fd >= 0)
	{
		(void) close(fd);
	}
	return status;
}

/* ---- life -------------------------------------------------------------------------------------------- */

/* Takes the descriptor: MHD closes it at its end. */
static struct MHD_Daemon *
start_daemon(aut_http_server *server, const aut_http_server_options *options, int take_fd)
{
	unsigned int flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
	struct MHD_Daemon *mhd;

	if (strchr(options->address, ':') != NULL)
	{
		flags |= MHD_USE_IPv6;
	}
	mhd = MHD_start_daemon(
		flags, options->port, NULL, NULL, on_access, server,
		/* first, so that it catches what the other options say */
		MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, NULL, MHD_OPTION_LISTEN_SOCKET, take_fd,
		MHD_OPTION_URI_LOG_CALLBACK, on_target, server, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
		server, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_UNESCAPE_CALLBACK,
		on_unescape, NULL, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned int) (options->connections_max > 0 ? options->connections_max : 1000),
		MHD_OPTION_PER_IP_CONNECTION_LIMIT,
		(unsigned int) (options->connections_per_ip_max > 0 ? options->connections_per_ip_max : 0),
		MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned int) (options->idle_timeout_s > 0 ? options->idle_timeout_s : 0), MHD_OPTION_END);
	if (mhd == NULL)
	{
		(void) close(take_fd);
	}
	return mhd;
}

static void
on_handle_closed(uv_handle_t *handle)
{
	aut_http_server *server = handle->data;

	server->open_handles--;
	if (server->open_handles == 0)
	{
		aut_free(server);
	}
}

aut_status
aut_http_server_new(aut_loop *loop, const aut_http_server_options *options, aut_http_server **out,
					aut_error *err)
{
	const union MHD_DaemonInfo *info;
	aut_http_server *server = NULL;
	int fd = -1;
	int rc;
	aut_status status = AUT_OK;

	server = aut_calloc(1, sizeof *server);
	if (server == NULL)
	{
		return aut_fail(err, AUT_ENOMEM, "HTTP server: out of memory");
	}
	server->loop = loop;
	server->body_max = options->body_max;
	server->body_limit = options->body_limit;
	server->handle = options->handle;
	server->payload = options->payload;
	server->timer_due_ms = INT64_MAX;
	status = open_listener(options, &fd, &server->port, err);
	if (status != AUT_OK)
	{
		goto out;
	}
	server->daemon = start_daemon(server, options, fd);
	info = server->daemon != NULL ? MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD)
								  : NULL;
	if (info == NULL)
	{
		status = aut_fail(err, AUT_EIO, "HTTP server: could not start libmicrohttpd");
		goto out;
	}
	rc = uv_poll_init(aut_loop_uv(loop), &server->poll, info->epoll_fd);
	if (rc != 0)
	{
		status = aut__uv_fail(err, rc, "HTTP server");
		goto out;
	}
	server->poll.data = server;
	(void) uv_timer_init(aut_loop_uv(loop), &server->timer);
	server->timer.data = server;
	server->open_handles = 2;
	server->flusher.flush = server_flush;
	server->flusher.payload = server;
	aut__loop_add_flusher(loop, &server->flusher);
	rc = uv_poll_start(&server->poll, UV_READABLE, on_poll);
	if (rc != 0)
	{
		status = aut__uv_fail(err, rc, "HTTP server");
		goto out;
	}
	server->dirty = true; /* MHD's first timeout */
	aut_loop_wake(loop);
	*out = server;
	server = NULL;

out:
	aut_http_server_free(server);
	return status;
}

uint16_t
aut_http_server_port(const aut_http_server *server)
{
	return server->port;
}

int
aut_http_server_active(const aut_http_server *server)
{
	return server->active;
}

void
aut_http_server_stop_accepting(aut_http_server *server)
{
	MHD_socket fd;

	if (!server->draining)
	{
		server->draining = true;
		fd = MHD_quiesce_daemon(server->daemon);
		if (fd != MHD_INVALID_SOCKET)
		{
			(void) close(fd);
		}
	}
}

void
aut_http_server_free(aut_http_server *server)
{
	if (server == NULL)
	{
		return;
	}
	if (server->open_handles > 0)
	{
		/* before MHD closes the descriptor under libuv's eyes */
		aut__loop_remove_flusher(server->loop, &server->flusher);
		uv_close((uv_handle_t *) &server->poll, on_handle_closed);
		uv_close((uv_handle_t *) &server->timer, on_handle_closed);
	}
	if (server->daemon != NULL)
	{
		/* MHD panics over suspended connections; the exchanges end through on_completed */
		for (aut_exchange *exchange = server->exchanges; exchange != NULL;
			 exchange = exchange->next)
		{
			exchange->client_left = true;
			aut__exchange_resume(exchange);
		}
		MHD_stop_daemon(server->daemon);
		server->daemon = NULL;
	}
	if (server->open_handles == 0)
	{
		aut_free(server);
	}
}
