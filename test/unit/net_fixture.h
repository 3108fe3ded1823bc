/* SPDX-License-Identifier: MIT */
/*
 * test/unit/net_fixture.h - a loop with a client and a server on it, and raw sockets that misbehave, for
 * the tests of core/net.
 *
 * Every wait has a deadline of WAIT_MS and waits for an event of the loop, never for time to pass.
 */
#ifndef AUT_TEST_NET_FIXTURE_H
#define AUT_TEST_NET_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "automation/net.h"

#define WAIT_MS  10000
#define HELD_MAX 512

/* What happened to one client call. */
typedef struct seen
{
	int count;
	aut_status status;
	int code;
	char *body;
	size_t body_len;
	char type[64];
	int64_t retry_after_s;
	int64_t range_total;
	char message[AUT_ERROR_MESSAGE_MAX];
} seen;

typedef struct fixture
{
	aut_loop *loop;
	aut_http_server *server;
	aut_http_client *client;
	char base[64];

	/* the handler's side */
	aut_exchange *held[HELD_MAX]; /* exchanges of /hold and /stream, in order */
	int held_count;
	int handled;
	int peak; /* most exchanges active at once */
	int gone;
	size_t body_len;
	bool too_long;
} fixture;

/* ---- the server's handler ------------------------------------------------------------------------ */

static __attribute__((unused)) void
on_gone(void *payload)
{
	fixture *f = payload;

	f->gone++;
}

static __attribute__((unused)) bool
print_param(void *payload, const char *name, const char *value)
{
	return aut_buf_printf(payload, "[%s=%s]", name, value) == AUT_OK;
}

/* Everything the handler can know, as text. */
static __attribute__((unused)) void
answer_echo(aut_exchange *exchange)
{
	aut_buf text;
	size_t len = 0;
	const void *body = aut_exchange_body(exchange, &len);
	const char *type = aut_exchange_header(exchange, "content-TYPE");
	const char *length = aut_exchange_header(exchange, "Content-Length");
	const char *expect = aut_exchange_header(exchange, "Expect");

	aut_buf_init(&text, 1 << 20);
	aut_buf_printf(
		&text,
		"%s %s raw=%s peer=%s type=%s length=%s expect=%s query=", aut_exchange_method(exchange),
		aut_exchange_path(exchange), aut_exchange_raw_path(exchange), aut_exchange_peer(exchange),
		type != NULL ? type : "-", length != NULL ? length : "-", expect != NULL ? expect : "-");
	aut_exchange_each_query(exchange, print_param, &text);
	aut_buf_puts(&text, " body=");
	aut_buf_append(&text, body, len);
	assert_int_equal(text.status, AUT_OK);
	aut_exchange_reply(exchange, 200, "text/plain", text.data, text.len);
	aut_buf_done(&text);
}

static __attribute__((unused)) void
answer_big(aut_exchange *exchange)
{
	size_t len = (size_t) atol(aut_exchange_query(exchange, "n"));
	char *data = malloc(len);

	assert_non_null(data);
	memset(data, 'b', len);
	aut_exchange_reply(exchange, 200, "application/octet-stream", data, len);
	free(data);
}

static __attribute__((unused)) void
hold(fixture *f, aut_exchange *exchange)
{
	assert_true(f->held_count < HELD_MAX);
	f->held[f->held_count++] = exchange;
}

static __attribute__((unused)) void
handle(void *payload, aut_exchange *exchange)
{
	fixture *f = payload;
	const char *path = aut_exchange_path(exchange);

	f->handled++;
	f->too_long = aut_exchange_body_too_long(exchange);
	(void) aut_exchange_body(exchange, &f->body_len);
	if (aut_http_server_active(f->server) > f->peak)
	{
		f->peak = aut_http_server_active(f->server);
	}
	if (strcmp(path, "/hold") == 0)
	{
		aut_exchange_set_payload(exchange, f, on_gone);
		hold(f, exchange);
	}
	else if (strcmp(path, "/stream") == 0)
	{
		aut_exchange_set_payload(exchange, f, on_gone);
		assert_int_equal(aut_exchange_stream_begin(exchange, 200, "text/event-stream"), AUT_OK);
		hold(f, exchange);
	}
	else if (strcmp(path, "/big") == 0)
	{
		answer_big(exchange);
	}
	else if (strcmp(path, "/headers") == 0)
	{
		assert_int_equal(aut_exchange_add_header(exchange, "Retry-After", "17"), AUT_OK);
		assert_int_equal(aut_exchange_add_header(exchange, "Content-Range", "bytes 0-3/12345"),
						 AUT_OK);
		assert_int_equal(aut_exchange_add_header(exchange, "X-Bad", "a\r\nX-Injected: b"),
						 AUT_EINVAL);
		aut_exchange_reply(exchange, 206, "text/x-test", "abcd", 4);
	}
	else if (strcmp(path, "/empty") == 0)
	{
		aut_exchange_reply(exchange, 204, NULL, NULL, 0);
	}
	else if (strcmp(path, "/drop") == 0)
	{
		aut_exchange_set_payload(exchange, f, on_gone);
		aut_exchange_drop(exchange);
	}
	else if (strcmp(path, "/large") == 0)
	{
		aut_exchange_reply(exchange, 200, "text/plain", "ok", 2);
	}
	else if (aut_exchange_body_too_long(exchange))
	{
		aut_exchange_reply(exchange, 413, "text/plain", "too long", 8);
	}
	else
	{
		answer_echo(exchange);
	}
}

static __attribute__((unused)) size_t
limit_of(void *payload, const char *method, const char *path)
{
	(void) payload;
	(void) method;
	return strcmp(path, "/large") == 0 ? (size_t) 8 << 20 : 1000;
}

/* ---- fixture ---------------------------------------------------------------------------------------- */

static __attribute__((unused)) void
start(fixture *f, const aut_http_server_options *server_options,
	  const aut_http_client_options *client_options)
{
	aut_http_server_options options = AUT_HTTP_SERVER_OPTIONS_INIT;
	aut_error err = AUT_ERROR_INIT;

	memset(f, 0, sizeof *f);
	if (server_options != NULL)
	{
		options = *server_options;
	}
	options.handle = handle;
	options.payload = f;
	assert_int_equal(aut_loop_new(&f->loop, &err), AUT_OK);
	if (aut_http_server_new(f->loop, &options, &f->server, &err) != AUT_OK)
	{
		fail_msg("%s", err.message);
	}
	assert_int_equal(aut_http_client_new(f->loop, client_options, &f->client, &err), AUT_OK);
	snprintf(f->base, sizeof f->base, "http://127.0.0.1:%u", aut_http_server_port(f->server));
}

static __attribute__((unused)) void
finish(fixture *f)
{
	aut_http_client_free(f->client);
	aut_http_server_free(f->server);
	aut_loop_free(f->loop);
}

/* Rounds of the loop until the counter reaches the number, or WAIT_MS have passed. */
static __attribute__((unused)) void
wait_count(fixture *f, const int *count, int wanted)
{
	const aut_clock *clock = aut_clock_system();
	int64_t deadline = aut_mono_us(clock) + WAIT_MS * AUT_US_PER_MS;

	while (*count < wanted && aut_mono_us(clock) < deadline)
	{
		aut_loop_wait(f->loop, 100);
	}
	if (*count < wanted)
	{
		fail_msg("waited for %d, still at %d", wanted, *count);
	}
}

static __attribute__((unused)) void
on_reply(void *payload, const aut_http_reply *reply)
{
	seen *s = payload;

	s->count++;
	s->status = reply->status;
	s->code = reply->code;
	free(s->body);
	s->body = malloc(reply->body_len + 1);
	assert_non_null(s->body);
	memcpy(s->body, reply->body, reply->body_len + 1);
	assert_int_equal(s->body[reply->body_len], '\0');
	s->body_len = reply->body_len;
	snprintf(s->type, sizeof s->type, "%s", reply->content_type);
	s->retry_after_s = reply->retry_after_s;
	s->range_total = reply->content_range_total;
	snprintf(s->message, sizeof s->message, "%s", reply->error.message);
}

static __attribute__((unused)) void
seen_done(seen *s)
{
	free(s->body);
	memset(s, 0, sizeof *s);
}

static __attribute__((unused)) aut_http_request
request_of(const char *method, const char *url, seen *s)
{
	aut_http_request request = {0};

	request.method = method;
	request.url = url;
	request.cb = on_reply;
	request.payload = s;
	request.timeout_ms = WAIT_MS;
	return request;
}

static __attribute__((unused)) void
send_request(fixture *f, const aut_http_request *request)
{
	aut_error err = AUT_ERROR_INIT;

	if (aut_http_send(f->client, request, NULL, &err) != AUT_OK)
	{
		fail_msg("%s", err.message);
	}
}

/* One request from start to end.  `path` follows the base address. */
static __attribute__((unused)) void
call(fixture *f, const char *method, const char *path, const char *body, seen *s)
{
	char url[9000];
	aut_http_request request;

	memset(s, 0, sizeof *s);
	snprintf(url, sizeof url, "%s%s", f->base, path);
	request = request_of(method, url, s);
	request.body = body;
	request.body_len = body != NULL ? strlen(body) : 0;
	send_request(f, &request);
	assert_int_equal(s->count, 0); /* never inside the send */
	wait_count(f, &s->count, 1);
}

/* ---- raw sockets ------------------------------------------------------------------------------------- */

static __attribute__((unused)) int
raw_connect(uint16_t port)
{
	struct sockaddr_in address = {0};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_family = AF_INET;
	address.sin_port = htons(port);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *) &address, sizeof address), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static __attribute__((unused)) int
raw_listen(uint16_t *out_port)
{
	struct sockaddr_in address = {0};
	socklen_t len = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof address), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *) &address, &len), 0);
	*out_port = ntohs(address.sin_port);
	return fd;
}

/* Read what comes until the peer closes or enough bytes are there; returns the bytes, sets *closed. */
static __attribute__((unused)) size_t
raw_read(fixture *f, int fd, char *out, size_t max, size_t enough, bool *closed)
{
	const aut_clock *clock = aut_clock_system();
	int64_t deadline = aut_mono_us(clock) + WAIT_MS * AUT_US_PER_MS;
	size_t used = 0;

	*closed = false;
	while (!*closed && used < enough && used < max - 1 && aut_mono_us(clock) < deadline)
	{
		ssize_t n = recv(fd, out + used, max - 1 - used, 0);

		if (n > 0)
		{
			used += (size_t) n;
		}
		else if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
		{
			*closed = true;
		}
		else
		{
			aut_loop_wait(f->loop, 20);
		}
	}
	out[used] = '\0';
	return used;
}

/* Accept one connection and answer its first bytes with the given ones. */
static __attribute__((unused)) void
raw_answer(fixture *f, int listener, const char *answer, const int *until)
{
	const aut_clock *clock = aut_clock_system();
	int64_t deadline = aut_mono_us(clock) + WAIT_MS * AUT_US_PER_MS;
	bool answered = false;
	int fd = -1;
	char request[4096];

	while (*until == 0 && aut_mono_us(clock) < deadline)
	{
		aut_loop_wait(f->loop, 10);
		if (fd < 0)
		{
			fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		}
		if (fd >= 0 && !answered && recv(fd, request, sizeof request, 0) > 0)
		{
			assert_int_equal(send(fd, answer, strlen(answer), MSG_NOSIGNAL), strlen(answer));
			close(fd);
			answered = true;
		}
	}
	assert_true(answered);
}

#endif
