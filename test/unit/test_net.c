/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_net.c - the loop, the HTTP client and the HTTP server talking to each other on one
 * loop over loopback, and to raw sockets that misbehave.
 *
 * Every wait has a deadline of WAIT_MS and waits for an event of the loop, never for time to pass.
 */
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

#define WAIT_MS 10000
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

static void
on_gone(void *payload)
{
	fixture *f = payload;

	f->gone++;
}

static bool
print_param(void *payload, const char *name, const char *value)
{
	return aut_buf_printf(payload, "[%s=%s]", name, value) == AUT_OK;
}

/* Everything the handler can know, as text. */
static void
answer_echo(aut_exchange *exchange)
{
	aut_buf text;
	size_t len = 0;
	const void *body = aut_exchange_body(exchange, &len);
	const char *type = aut_exchange_header(exchange, "content-TYPE");
	const char *length = aut_exchange_header(exchange, "Content-Length");
	const char *expect = aut_exchange_header(exchange, "Expect");

	aut_buf_init(&text, 1 << 20);
	aut_buf_printf(&text, "%s %s raw=%s peer=%s type=%s length=%s expect=%s query=",
				   aut_exchange_method(exchange), aut_exchange_path(exchange),
				   aut_exchange_raw_path(exchange), aut_exchange_peer(exchange),
				   type != NULL ? type : "-", length != NULL ? length : "-",
				   expect != NULL ? expect : "-");
	aut_exchange_each_query(exchange, print_param, &text);
	aut_buf_puts(&text, " body=");
	aut_buf_append(&text, body, len);
	assert_int_equal(text.status, AUT_OK);
	aut_exchange_reply(exchange, 200, "text/plain", text.data, text.len);
	aut_buf_done(&text);
}

static void
answer_big(aut_exchange *exchange)
{
	size_t len = (size_t) atol(aut_exchange_query(exchange, "n"));
	char *data = malloc(len);

	assert_non_null(data);
	memset(data, 'b', len);
	aut_exchange_reply(exchange, 200, "application/octet-stream", data, len);
	free(data);
}

static void
hold(fixture *f, aut_exchange *exchange)
{
	assert_true(f->held_count < HELD_MAX);
	f->held[f->held_count++] = exchange;
}

static void
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
		assert_int_equal(aut_exchange_add_header(exchange, "Content-Range", "bytes 0-3/12345"), AUT_OK);
		assert_int_equal(aut_exchange_add_header(exchange, "X-Bad", "a\r\nX-Injected: b"), AUT_EINVAL);
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

static size_t
limit_of(void *payload, const char *method, const char *path)
{
	(void) payload;
	(void) method;
	return strcmp(path, "/large") == 0 ? (size_t) 8 << 20 : 1000;
}

/* ---- fixture ---------------------------------------------------------------------------------------- */

static void
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

static void
finish(fixture *f)
{
	aut_http_client_free(f->client);
	aut_http_server_free(f->server);
	aut_loop_free(f->loop);
}

/* Rounds of the loop until the counter reaches the number, or WAIT_MS have passed. */
static void
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

static void
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

static void
seen_done(seen *s)
{
	free(s->body);
	memset(s, 0, sizeof *s);
}

static aut_http_request
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

static void
send_request(fixture *f, const aut_http_request *request)
{
	aut_error err = AUT_ERROR_INIT;

	if (aut_http_send(f->client, request, NULL, &err) != AUT_OK)
	{
		fail_msg("%s", err.message);
	}
}

/* One request from start to end.  `path` follows the base address. */
static void
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

static int
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

static int
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
static size_t
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
static void
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

/* ---- the loop ------------------------------------------------------------------------------------------- */

typedef struct counter
{
	aut_loop *loop;
	aut_timer *timer;
	int count;
	int wanted;
} counter;

static bool
counting_step(void *payload)
{
	counter *c = payload;

	c->count++;
	return c->count < c->wanted;
}

static void
counting_timer(void *payload)
{
	counter *c = payload;

	c->count++;
}

static void
test_loop__steps_run_again_while_one_did_something(void **state)
{
	counter c = {.wanted = 5};
	aut_loop *loop;

	(void) state;
	assert_int_equal(aut_loop_new(&loop, NULL), AUT_OK);
	assert_int_equal(aut_loop_add_step(loop, counting_step, &c, NULL), AUT_OK);
	aut_loop_poll(loop);
	assert_int_equal(c.count, 5);
	assert_int_equal(aut_loop_timeout_ms(loop), -1);
	aut_loop_wake(loop);
	assert_int_equal(aut_loop_timeout_ms(loop), 0);
	/* a step that never has enough does not keep the round, but the next one does not wait */
	c.wanted = 1000000;
	aut_loop_poll(loop);
	assert_true(c.count < 100);
	assert_int_equal(aut_loop_timeout_ms(loop), 0);
	aut_loop_remove_step(loop, counting_step, &c);
	aut_loop_free(loop);
}

static void
test_loop__takes_a_bounded_number_of_steps(void **state)
{
	counter c = {0};
	aut_loop *loop;
	aut_error err = AUT_ERROR_INIT;

	(void) state;
	assert_int_equal(aut_loop_new(&loop, NULL), AUT_OK);
	for (int i = 0; i < AUT_LOOP_STEPS_MAX; i++)
	{
		assert_int_equal(aut_loop_add_step(loop, counting_step, &c, &err), AUT_OK);
	}
	assert_int_equal(aut_loop_add_step(loop, counting_step, &c, &err), AUT_ELIMIT);
	aut_loop_remove_step(loop, counting_step, &c);
	assert_int_equal(aut_loop_add_step(loop, counting_step, &c, &err), AUT_OK);
	aut_loop_free(loop);
}

static void
test_loop__timers_fire_once_and_bound_the_timeout(void **state)
{
	counter c = {0};
	aut_loop *loop;
	aut_timer *timer;
	int64_t begin;

	(void) state;
	assert_int_equal(aut_loop_new(&loop, NULL), AUT_OK);
	assert_int_equal(aut_timer_new(loop, counting_timer, &c, &timer, NULL), AUT_OK);
	aut_loop_poll(loop); /* registers libuv's own descriptors */
	assert_int_equal(aut_loop_timeout_ms(loop), -1);
	aut_timer_set(timer, 5000);
	assert_in_range(aut_loop_timeout_ms(loop), 4000, 5000);
	aut_timer_set(timer, 20); /* moves it */
	begin = aut_mono_us(aut_clock_system());
	while (c.count == 0)
	{
		aut_loop_wait(loop, 1000);
	}
	assert_in_range(aut_mono_us(aut_clock_system()) - begin, 19000, 4000000);
	aut_loop_poll(loop);
	assert_int_equal(c.count, 1);
	aut_timer_set(timer, 0);
	aut_timer_stop(timer);
	aut_loop_poll(loop);
	assert_int_equal(c.count, 1);
	aut_timer_free(timer);
	assert_int_equal(aut_loop_timeout_ms(loop), 0); /* a handle is closing */
	aut_loop_poll(loop);
	assert_int_equal(aut_loop_timeout_ms(loop), -1);
	aut_loop_free(loop);
}

static void
rearming_timer(void *payload)
{
	counter *c = payload;

	c->count++;
	if (c->count == c->wanted)
	{
		aut_timer_free(c->timer); /* from inside its own callback */
		c->timer = NULL;
		aut_loop_stop(c->loop);
	}
	else
	{
		aut_timer_set(c->timer, 0);
	}
}

static void
test_loop__timer_that_rearms_itself_for_now_does_not_keep_the_round(void **state)
{
	counter c = {.wanted = 3};
	counter steps = {.wanted = 0};

	(void) state;
	assert_int_equal(aut_loop_new(&c.loop, NULL), AUT_OK);
	assert_int_equal(aut_timer_new(c.loop, rearming_timer, &c, &c.timer, NULL), AUT_OK);
	assert_int_equal(aut_loop_add_step(c.loop, counting_step, &steps, NULL), AUT_OK);
	aut_timer_set(c.timer, 0);
	aut_loop_run(c.loop);
	assert_int_equal(c.count, 3);
	assert_true(steps.count >= 2);
	aut_loop_free(c.loop);
}

static void
on_test_signal(void *payload, int signum)
{
	counter *c = payload;

	assert_int_equal(signum, SIGUSR2);
	c->count++;
	aut_loop_stop(c->loop);
}

static void
test_loop__signals_arrive_on_the_loop(void **state)
{
	counter c = {0};
	aut_signal *signal_handle;

	(void) state;
	assert_int_equal(aut_loop_new(&c.loop, NULL), AUT_OK);
	assert_int_equal(aut_signal_new(c.loop, SIGUSR2, on_test_signal, &c, &signal_handle, NULL), AUT_OK);
	assert_int_equal(kill(getpid(), SIGUSR2), 0);
	aut_loop_run(c.loop);
	assert_int_equal(c.count, 1);
	aut_signal_free(signal_handle);
	aut_loop_free(c.loop);
}

static void
test_loop__can_be_embedded_in_a_foreign_wait(void **state)
{
	fixture f;
	seen s = {0};
	char url[128];
	aut_http_request request;
	int64_t deadline = aut_mono_us(aut_clock_system()) + WAIT_MS * AUT_US_PER_MS;

	(void) state;
	start(&f, NULL, NULL);
	snprintf(url, sizeof url, "%s/x", f.base);
	request = request_of("GET", url, &s);
	send_request(&f, &request);
	while (s.count == 0 && aut_mono_us(aut_clock_system()) < deadline)
	{
		struct pollfd wait = {.fd = aut_loop_fd(f.loop), .events = POLLIN};

		assert_true(poll(&wait, 1, aut_loop_timeout_ms(f.loop)) >= 0);
		aut_loop_poll(f.loop);
	}
	assert_int_equal(s.code, 200);
	seen_done(&s);
	finish(&f);
}

/* ---- requests and answers ---------------------------------------------------------------------------------- */

static void
test_http__get_arrives_with_path_query_and_peer(void **state)
{
	fixture f;
	seen s;

	(void) state;
	start(&f, NULL, NULL);
	call(&f, "GET", "/a%20b/%C3%A9?x=1+2&y=%26%3d&x=3&flag&&bad=%zz", NULL, &s);
	assert_int_equal(s.status, AUT_OK);
	assert_int_equal(s.code, 200);
	assert_string_equal(s.type, "text/plain");
	assert_string_equal(s.body, "GET /a b/\xc3\xa9 raw=/a%20b/%C3%A9 peer=127.0.0.1 type=- length=- "
								"expect=- query=[x=1 2][y=&=][x=3][flag=][bad=%zz] body=");
	seen_done(&s);
	finish(&f);
}

static void
test_http__bodies_of_any_method_arrive(void **state)
{
	static const char *const methods[] = {"POST", "PUT", "PATCH", "DELETE"};
	fixture f;
	seen s;

	(void) state;
	start(&f, NULL, NULL);
	for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
	{
		char wanted[256];

		call(&f, methods[i], "/b", "{\"a\":1}", &s);
		snprintf(wanted, sizeof wanted,
				 "%s /b raw=/b peer=127.0.0.1 type=- length=7 expect=- query= body={\"a\":1}",
				 methods[i]);
		assert_string_equal(s.body, wanted);
		seen_done(&s);
	}
	call(&f, "POST", "/nobody", NULL, &s);
	assert_non_null(strstr(s.body, "length=0"));
	seen_done(&s);
	call(&f, "HEAD", "/h", NULL, &s);
	assert_int_equal(s.code, 200);
	assert_int_equal(s.body_len, 0);
	seen_done(&s);
	call(&f, "GET", "/empty", NULL, &s);
	assert_int_equal(s.code, 204);
	assert_int_equal(s.body_len, 0);
	seen_done(&s);
	finish(&f);
}

static void
test_http__headers_travel_both_ways_without_injection(void **state)
{
	static const char *const headers[] = {"Content-Type: a/b", "X-Key: k", NULL};
	static const char *const evil[] = {"X: a\r\nY: b", NULL};
	fixture f;
	seen s = {0};
	char url[128];
	aut_http_request request;

	(void) state;
	start(&f, NULL, NULL);
	call(&f, "GET", "/headers", NULL, &s);
	assert_int_equal(s.code, 206);
	assert_string_equal(s.type, "text/x-test");
	assert_int_equal(s.retry_after_s, 17);
	assert_int_equal(s.range_total, 12345);
	seen_done(&s);
	snprintf(url, sizeof url, "%s/x", f.base);
	request = request_of("GET", url, &s);
	request.headers = headers;
	send_request(&f, &request);
	wait_count(&f, &s.count, 1);
	assert_non_null(strstr(s.body, "type=a/b"));
	request.headers = evil;
	assert_int_equal(aut_http_send(f.client, &request, NULL, NULL), AUT_EINVAL);
	request.headers = NULL;
	request.method = "GET / HTTP/1.1\r\nX:";
	assert_int_equal(aut_http_send(f.client, &request, NULL, NULL), AUT_EINVAL);
	seen_done(&s);
	finish(&f);
}

static void
test_http__multipart_upload_has_field_filename_and_type(void **state)
{
	aut_http_server_options options = AUT_HTTP_SERVER_OPTIONS_INIT;
	static char data[300000];
	fixture f;
	seen s = {0};
	char url[128];
	aut_http_request request;

	(void) state;
	memset(data, 'u', sizeof data);
	start(&f, &options, NULL);
	snprintf(url, sizeof url, "%s/api/file/upload?path=%%2Ftmp%%2Fx", f.base);
	for (int lent = 0; lent < 2; lent++)
	{
		request = request_of("POST", url, &s);
		request.multipart_field = "file";
		request.body = data;
		request.body_len = lent ? sizeof data : 10;
		request.body_lent = lent;
		send_request(&f, &request);
		wait_count(&f, &s.count, lent + 1);
		assert_int_equal(s.code, 200);
		assert_non_null(strstr(s.body, "type=multipart/form-data; boundary="));
		assert_non_null(strstr(s.body, "query=[path=/tmp/x]"));
		assert_non_null(strstr(
			s.body, "Content-Disposition: form-data; name=\"file\"; filename=\"upload\"\r\n"));
		assert_non_null(strstr(s.body, "Content-Type: application/octet-stream\r\n\r\nuuuuuuuuuu"));
		assert_true(s.body_len > request.body_len + 100);
	}
	seen_done(&s);
	finish(&f);
}

static void
test_http__only_http_urls_can_be_called(void **state)
{
	static const char *const bad[] = {"ftp://127.0.0.1/", "file:///etc/passwd", "", "http://",
									  "http://a b/",	  "nonsense",			"gopher://127.0.0.1/",
									  NULL};
	fixture f;
	seen s = {0};
	aut_http_request request;

	(void) state;
	start(&f, NULL, NULL);
	for (size_t i = 0; bad[i] != NULL; i++)
	{
		aut_error err = AUT_ERROR_INIT;

		request = request_of("GET", bad[i], &s);
		assert_int_equal(aut_http_send(f.client, &request, NULL, &err), AUT_EINVAL);
		assert_int_not_equal(err.message[0], '\0');
	}
	assert_int_equal(s.count, 0);
	finish(&f);
}

/* ---- many at once -------------------------------------------------------------------------------------------- */

static void
test_client__parallel_requests_keep_to_the_limit_per_host(void **state)
{
	aut_http_client_options options = AUT_HTTP_CLIENT_OPTIONS_INIT;
	fixture f;
	seen s[200] = {{0}};
	int answered = 0;
	char url[128];

	(void) state;
	options.max_per_host = 8;
	start(&f, NULL, &options);
	snprintf(url, sizeof url, "%s/hold", f.base);
	for (int i = 0; i < 200; i++)
	{
		aut_http_request request = request_of("GET", url, &s[i]);

		send_request(&f, &request);
	}
	while (answered < 200)
	{
		wait_count(&f, &f.held_count, answered + 1);
		aut_loop_poll(f.loop);
		while (answered < f.held_count)
		{
			aut_exchange_reply(f.held[answered++], 200, NULL, "x", 1);
		}
	}
	for (int i = 0; i < 200; i++)
	{
		wait_count(&f, &s[i].count, 1);
	}
	for (int i = 0; i < 200; i++)
	{
		assert_int_equal(s[i].count, 1);
		assert_int_equal(s[i].code, 200);
		seen_done(&s[i]);
	}
	assert_true(f.peak <= 8);
	assert_true(f.peak > 1);
	finish(&f);
}

static void
test_client__busy_host_does_not_hold_up_another(void **state)
{
	aut_http_client_options options = AUT_HTTP_CLIENT_OPTIONS_INIT;
	fixture f;
	seen slow[4] = {{0}};
	seen quick[4] = {{0}};
	char url[128];
	aut_http_request request;

	(void) state;
	options.max_per_host = 1;
	start(&f, NULL, &options);
	snprintf(url, sizeof url, "http://127.0.0.1:%u/hold", aut_http_server_port(f.server));
	for (int i = 0; i < 4; i++)
	{
		request = request_of("GET", url, &slow[i]);
		send_request(&f, &request);
	}
	wait_count(&f, &f.held_count, 1);
	snprintf(url, sizeof url, "http://127.0.0.2:%u/x", aut_http_server_port(f.server));
	for (int i = 0; i < 4; i++)
	{
		/* nobody listens on 127.0.0.2: refused, one after the other */
		request = request_of("GET", url, &quick[i]);
		send_request(&f, &request);
	}
	wait_count(&f, &quick[3].count, 1);
	assert_int_equal(f.held_count, 1);
	for (int i = 0; i < 4; i++)
	{
		assert_int_equal(quick[i].status, AUT_ENET);
		seen_done(&quick[i]);
	}
	finish(&f); /* the slow ones are cancelled: no callbacks */
	assert_int_equal(slow[0].count + slow[1].count + slow[2].count + slow[3].count, 0);
	assert_int_equal(f.gone, 1);
}

static void
test_server__many_exchanges_can_be_answered_later_in_any_order(void **state)
{
	aut_http_client_options options = AUT_HTTP_CLIENT_OPTIONS_INIT;
	fixture f;
	seen s[300] = {{0}};
	char url[128];

	(void) state;
	options.max_per_host = 400;
	start(&f, NULL, &options);
	snprintf(url, sizeof url, "%s/hold", f.base);
	for (int i = 0; i < 300; i++)
	{
		aut_http_request request = request_of("POST", url, &s[i]);

		request.body = "abc";
		request.body_len = 3;
		send_request(&f, &request);
	}
	wait_count(&f, &f.held_count, 300);
	assert_int_equal(aut_http_server_active(f.server), 300);
	for (int i = 299; i >= 0; i--)
	{
		size_t len;

		assert_memory_equal(aut_exchange_body(f.held[i], &len), "abc", 3);
		assert_ptr_equal(aut_exchange_payload(f.held[i]), &f);
		aut_exchange_reply(f.held[i], 201, "text/plain", "later", 5);
	}
	assert_int_equal(aut_http_server_active(f.server), 0);
	for (int i = 0; i < 300; i++)
	{
		wait_count(&f, &s[i].count, 1);
		assert_int_equal(s[i].code, 201);
		assert_string_equal(s[i].body, "later");
		seen_done(&s[i]);
	}
	assert_int_equal(f.gone, 0);
	finish(&f);
}

/* ---- failing calls ------------------------------------------------------------------------------------------------ */

static void
test_client__silent_server_times_out(void **state)
{
	fixture f;
	seen s = {0};
	char url[128];
	aut_http_request request;

	(void) state;
	start(&f, NULL, NULL);
	snprintf(url, sizeof url, "%s/hold", f.base);
	request = request_of("GET", url, &s);
	request.timeout_ms = 50;
	send_request(&f, &request);
	wait_count(&f, &s.count, 1);
	assert_int_equal(s.status, AUT_ETIMEOUT);
	assert_int_not_equal(s.message[0], '\0');
	seen_done(&s);
	finish(&f);
}

static void
test_client__timeout_counts_the_time_in_the_queue(void **state)
{
	aut_http_client_options options = AUT_HTTP_CLIENT_OPTIONS_INIT;
	fixture f;
	seen first = {0};
	seen second = {0};
	char url[128];
	aut_http_request request;

	(void) state;
	options.max_per_host = 1;
	start(&f, NULL, &options);
	snprintf(url, sizeof url, "%s/hold", f.base);
	request = request_of("GET", url, &first);
	send_request(&f, &request);
	request = request_of("GET", url, &second);
	request.timeout_ms = 50;
	send_request(&f, &request);
	wait_count(&f, &second.count, 1);
	assert_int_equal(second.status, AUT_ETIMEOUT);
	assert_int_equal(first.count, 0);
	assert_int_equal(f.held_count, 1);
	seen_done(&second);
	finish(&f);
}

static void
test_client__cancelled_calls_do_not_report(void **state)
{
	aut_http_client_options options = AUT_HTTP_CLIENT_OPTIONS_INIT;
	fixture f;
	seen running = {0};
	seen waiting = {0};
	seen after = {0};
	aut_http_call *running_call;
	aut_http_call *waiting_call;
	char url[128];
	aut_http_request request;

	(void) state;
	options.max_per_host = 1;
	start(&f, NULL, &options);
	snprintf(url, sizeof url, "%s/hold", f.base);
	request = request_of("GET", url, &running);
	assert_int_equal(aut_http_send(f.client, &request, &running_call, NULL), AUT_OK);
	request.payload = &waiting;
	assert_int_equal(aut_http_send(f.client, &request, &waiting_call, NULL), AUT_OK);
	snprintf(url, sizeof url, "%s/x", f.base);
	request = request_of("GET", url, &after);
	send_request(&f, &request);
	wait_count(&f, &f.held_count, 1);
	aut_http_cancel(waiting_call);
	aut_http_cancel(running_call);
	wait_count(&f, &after.count, 1);
	assert_int_equal(after.code, 200);
	assert_int_equal(running.count + waiting.count, 0);
	seen_done(&after);
	finish(&f);
}

static void
test_client__refused_connection_is_a_network_error(void **state)
{
	fixture f;
	seen s = {0};
	uint16_t port;
	int listener = raw_listen(&port);
	char url[128];
	aut_http_request request;

	(void) state;
	close(listener); /* a port that was free a moment ago */
	start(&f, NULL, NULL);
	snprintf(url, sizeof url, "http://127.0.0.1:%u/", port);
	request = request_of("GET", url, &s);
	send_request(&f, &request);
	assert_int_equal(s.count, 0);
	wait_count(&f, &s.count, 1);
	assert_int_equal(s.status, AUT_ENET);
	assert_int_equal(s.code, 0);
	seen_done(&s);
	finish(&f);
}

static void
test_client__reply_over_its_limit_is_refused(void **state)
{
	fixture f;
	seen s = {0};
	char url[128];
	aut_http_request request;

	(void) state;
	start(&f, NULL, NULL);
	snprintf(url, sizeof url, "%s/big?n=5000", f.base);
	request = request_of("GET", url, &s);
	request.reply_max = 4999; /* announced: refused before the body */
	send_request(&f, &request);
	wait_count(&f, &s.count, 1);
	assert_int_equal(s.status, AUT_ELIMIT);
	request.reply_max = 5000;
	send_request(&f, &request);
	wait_count(&f, &s.count, 2);
	assert_int_equal(s.status, AUT_OK);
	assert_int_equal(s.body_len, 5000);
	snprintf(url, sizeof url, "%s/stream", f.base); /* not announced: cut when it comes */
	request.reply_max = 10;
	send_request(&f, &request);
	wait_count(&f, &f.held_count, 1);
	assert_int_equal(aut_exchange_stream_write(f.held[0], "0123456789ABC", 13), AUT_OK);
	aut_exchange_stream_end(f.held[0]);
	wait_count(&f, &s.count, 3);
	assert_int_equal(s.status, AUT_ELIMIT);
	seen_done(&s);
	finish(&f);
}

static void
test_client__large_reply_comes_whole(void **state)
{
	fixture f;
	seen s = {0};
	char url[128];
	aut_http_request request;

	(void) state;
	start(&f, NULL, NULL);
	snprintf(url, sizeof url, "%s/big?n=20000000", f.base);
	request = request_of("GET", url, &s);
	request.reply_max = 20000000;
	send_request(&f, &request);
	wait_count(&f, &s.count, 1);
	assert_int_equal(s.status, AUT_OK);
	assert_int_equal(s.body_len, 20000000);
	assert_int_equal(s.body[19999999], 'b');
	seen_done(&s);
	finish(&f);
}

static void
test_client__garbage_and_cut_replies_are_network_errors(void **state)
{
	static const char *const answers[] = {
		"\x16\x03\x01garbage\r\n\r\nmore garbage", "220 smtp.example ESMTP\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 abc\r\n\r\n", NULL};
	fixture f;
	uint16_t port;
	int listener = raw_listen(&port);
	char url[128];

	(void) state;
	start(&f, NULL, NULL);
	snprintf(url, sizeof url, "http://127.0.0.1:%u/", port);
	for (size_t i = 0; answers[i] != NULL; i++)
	{
		seen s = {0};
		aut_http_request request = request_of("GET", url, &s);

		send_request(&f, &request);
		raw_answer(&f, listener, answers[i], &s.count);
		if (s.status != AUT_ENET)
		{
			fail_msg("answer %zu gave %s", i, aut_status_name(s.status));
		}
		seen_done(&s);
	}
	close(listener);
	finish(&f);
}

/* A server that answers once and closes the kept-alive connection on the second request. */
static void
test_client__post_is_never_sent_twice_by_itself(void **state)
{
	const aut_clock *clock = aut_clock_system();
	const char *answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	int64_t deadline = aut_mono_us(clock) + WAIT_MS * AUT_US_PER_MS;
	fixture f;
	seen s = {0};
	uint16_t port;
	int listener = raw_listen(&port);
	int fd = -1;
	int requests = 0;
	char url[128];
	char data[4096];
	aut_http_request request;

	(void) state;
	start(&f, NULL, NULL);
	snprintf(url, sizeof url, "http://127.0.0.1:%u/", port);
	request = request_of("POST", url, &s);
	request.body = "x";
	request.body_len = 1;
	send_request(&f, &request);
	while (s.count < 2 && aut_mono_us(clock) < deadline)
	{
		int accepted;

		aut_loop_wait(f.loop, 10);
		accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (accepted >= 0)
		{
			if (fd >= 0)
			{
				close(fd);
			}
			fd = accepted;
		}
		if (fd >= 0 && recv(fd, data, sizeof data, 0) > 0)
		{
			requests++;
			if (requests == 1)
			{
				assert_int_equal(send(fd, answer, strlen(answer), MSG_NOSIGNAL), strlen(answer));
			}
			else
			{
				close(fd);
				fd = -1;
			}
		}
		if (s.count == 1 && requests == 1)
		{
			assert_int_equal(s.code, 200);
			send_request(&f, &request);
			requests = 1;
			while (s.count == 1 && requests == 1 && aut_mono_us(clock) < deadline)
			{
				aut_loop_wait(f.loop, 10);
				if (recv(fd, data, sizeof data, 0) > 0)
				{
					requests = 2;
					close(fd);
					fd = -1;
				}
			}
		}
	}
	assert_int_equal(s.count, 2);
	assert_int_equal(s.status, AUT_ENET);
	assert_int_equal(requests, 2);
	seen_done(&s);
	close(listener);
	finish(&f);
}

typedef struct sender
{
	fixture *f;
	seen s;
	char url[128];
} sender;

static void
send_again(void *payload, const aut_http_reply *reply)
{
	sender *self = payload;
	aut_http_request request = request_of("GET", self->url, &self->s);

	assert_int_equal(reply->code, 200);
	send_request(self->f, &request);
}

static void
free_client(void *payload, const aut_http_reply *reply)
{
	fixture *f = payload;

	assert_int_equal(reply->code, 200);
	aut_http_client_free(f->client);
	f->client = NULL;
}

static void
test_client__callbacks_may_send_and_may_free_the_client(void **state)
{
	fixture f;
	sender self = {0};
	aut_http_request request;
	const aut_clock *clock = aut_clock_system();
	int64_t deadline = aut_mono_us(clock) + WAIT_MS * AUT_US_PER_MS;

	(void) state;
	start(&f, NULL, NULL);
	self.f = &f;
	snprintf(self.url, sizeof self.url, "%s/x", f.base);
	request = request_of("GET", self.url, NULL);
	request.cb = send_again;
	request.payload = &self;
	send_request(&f, &request);
	wait_count(&f, &self.s.count, 1);
	assert_int_equal(self.s.code, 200);
	request.cb = free_client;
	request.payload = &f;
	send_request(&f, &request);
	while (f.client != NULL && aut_mono_us(clock) < deadline)
	{
		aut_loop_wait(f.loop, 100);
	}
	assert_null(f.client);
	seen_done(&self.s);
	finish(&f);
}

/* ---- hostile and clumsy clients --------------------------------------------------------------------------------- */

static void
raw_exchange(fixture *f, const char *request, char *out, size_t max, bool *closed)
{
	int fd = raw_connect(aut_http_server_port(f->server));

	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	(void) raw_read(f, fd, out, max, 12, closed);
	close(fd);
}

static void
test_server__bad_targets_never_reach_the_handler(void **state)
{
	static const char *const requests[] = {"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
										   "GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n",
										   "GET /% HTTP/1.1\r\nHost: a\r\n\r\n",
										   "GET nopath HTTP/1.1\r\nHost: a\r\n\r\n", NULL};
	fixture f;
	char out[2048];
	bool closed;

	(void) state;
	start(&f, NULL, NULL);
	for (size_t i = 0; requests[i] != NULL; i++)
	{
		raw_exchange(&f, requests[i], out, sizeof out, &closed);
		assert_memory_equal(out, "HTTP/1.1 400", 12);
	}
	assert_int_equal(f.handled, 0);
	raw_exchange(&f, "GET http://host:1/abs?x=1 HTTP/1.1\r\nHost: a\r\n\r\n", out, sizeof out, &closed);
	assert_memory_equal(out, "HTTP/1.1 200", 12);
	assert_int_equal(f.handled, 1);
	finish(&f);
}

static void
test_server__junk_and_vast_headers_are_refused(void **state)
{
	fixture f;
	char *vast = malloc(200000);
	char out[2048];
	bool closed;
	int fd;

	(void) state;
	start(&f, NULL, NULL);
	fd = raw_connect(aut_http_server_port(f.server));
	assert_true(send(fd, "\x16\x03\x01\x00\xff\r\n\r\n\r\n", 10, MSG_NOSIGNAL) > 0);
	(void) raw_read(&f, fd, out, sizeof out, sizeof out, &closed);
	assert_true(closed);
	close(fd);
	assert_non_null(vast);
	memset(vast, 'h', 199999);
	memcpy(vast, "GET / HTTP/1.1\r\nX: ", 19);
	vast[199999] = '\0';
	fd = raw_connect(aut_http_server_port(f.server));
	assert_true(send(fd, vast, 199999, MSG_NOSIGNAL) > 0);
	(void) raw_read(&f, fd, out, sizeof out, sizeof out, &closed);
	assert_true(closed);
	close(fd);
	free(vast);
	assert_int_equal(f.handled, 0);
	finish(&f);
}

static void
test_server__half_open_connections_are_closed_when_idle(void **state)
{
	aut_http_server_options options = AUT_HTTP_SERVER_OPTIONS_INIT;
	static const char *const starts[] = {
		"", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf"};
	fixture f;
	int fds[4];
	char out[2048];
	bool closed;

	(void) state;
	options.idle_timeout_s = 1;
	start(&f, &options, NULL);
	for (size_t i = 0; i < 4; i++)
	{
		fds[i] = raw_connect(aut_http_server_port(f.server));
		assert_true(send(fds[i], starts[i], strlen(starts[i]), MSG_NOSIGNAL) >= 0);
	}
	for (size_t i = 0; i < 4; i++)
	{
		(void) raw_read(&f, fds[i], out, sizeof out, sizeof out, &closed);
		assert_true(closed);
		close(fds[i]);
	}
	assert_int_equal(f.handled, 0);
	assert_int_equal(aut_http_server_active(f.server), 0);
	finish(&f);
}

static void
test_server__oversize_body_is_cut_and_told(void **state)
{
	aut_http_server_options options = AUT_HTTP_SERVER_OPTIONS_INIT;
	fixture f;
	seen s = {0};
	char url[128];
	char *data = malloc(20 << 20);
	aut_http_request request;

	(void) state;
	assert_non_null(data);
	memset(data, 'd', 20 << 20);
	options.body_limit = limit_of;
	start(&f, &options, NULL);
	snprintf(url, sizeof url, "%s/x", f.base);
	request = request_of("POST", url, &s);
	request.body = data;
	request.body_lent = true;
	request.body_len = 1000;
	send_request(&f, &request);
	wait_count(&f, &s.count, 1);
	assert_int_equal(s.code, 200);
	assert_false(f.too_long);
	request.body_len = 1001;
	send_request(&f, &request);
	wait_count(&f, &s.count, 2);
	assert_int_equal(s.code, 413);
	assert_true(f.too_long);
	assert_int_equal(f.body_len, 1000);
	request.body_len = 1 << 20; /* read and dropped, so the client gets its answer */
	send_request(&f, &request);
	wait_count(&f, &s.count, 3);
	assert_int_equal(s.code, 413);
	snprintf(url, sizeof url, "%s/large", f.base); /* a limit of its own */
	send_request(&f, &request);
	wait_count(&f, &s.count, 4);
	assert_int_equal(f.body_len, 1 << 20);
	assert_false(f.too_long);
	free(data);
	seen_done(&s);
	finish(&f);
}

static void
test_server__hopeless_body_is_answered_before_it_is_sent(void **state)
{
	aut_http_server_options options = AUT_HTTP_SERVER_OPTIONS_INIT;
	fixture f;
	char out[2048];
	bool closed;
	int fd;
	const char *head = "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n"
					   "Expect: 100-continue\r\n\r\n";

	(void) state;
	options.body_limit = limit_of;
	start(&f, &options, NULL);
	raw_exchange(&f, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", out,
				 sizeof out, &closed);
	assert_memory_equal(out, "HTTP/1.1 413", 12);
	/* the same, answered later */
	fd = raw_connect(aut_http_server_port(f.server));
	assert_int_equal(send(fd, head, strlen(head), MSG_NOSIGNAL), strlen(head));
	wait_count(&f, &f.held_count, 1);
	aut_exchange_reply(f.held[0], 413, NULL, "no", 2);
	(void) raw_read(&f, fd, out, sizeof out, sizeof out, &closed);
	assert_memory_equal(out, "HTTP/1.1 413", 12);
	assert_true(closed);
	close(fd);
	finish(&f);
}

static void
test_server__endless_body_is_cut_off(void **state)
{
	aut_http_server_options options = AUT_HTTP_SERVER_OPTIONS_INIT;
	fixture f;
	static char chunk[65536 + 16];
	char out[2048];
	bool broken = false;
	int fd;
	size_t len = 0;

	(void) state;
	options.body_limit = limit_of;
	start(&f, &options, NULL);
	fd = raw_connect(aut_http_server_port(f.server));
	assert_true(send(fd, "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 57,
					 MSG_NOSIGNAL) > 0);
	len = (size_t) snprintf(chunk, sizeof chunk, "10000\r\n");
	memset(chunk + len, 'c', 65536);
	len += 65536;
	memcpy(chunk + len, "\r\n", 2);
	len += 2;
	for (int i = 0; i < 4000 && !broken; i++)
	{
		size_t sent = 0;

		while (sent < len && !broken)
		{
			ssize_t n = send(fd, chunk + sent, len - sent, MSG_NOSIGNAL);

			if (n > 0)
			{
				sent += (size_t) n;
			}
			else if (errno != EAGAIN)
			{
				broken = true;
			}
			aut_loop_wait(f.loop, 1);
		}
	}
	assert_true(broken);
	assert_int_equal(f.handled, 0);
	(void) out;
	close(fd);
	finish(&f);
}

static void
test_server__expect_continue_is_honoured(void **state)
{
	fixture f;
	char out[2048];
	bool closed;
	int fd;
	const char *head =
		"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";

	(void) state;
	start(&f, NULL, NULL);
	fd = raw_connect(aut_http_server_port(f.server));
	assert_int_equal(send(fd, head, strlen(head), MSG_NOSIGNAL), strlen(head));
	(void) raw_read(&f, fd, out, sizeof out, 25, &closed);
	assert_memory_equal(out, "HTTP/1.1 100", 12);
	assert_int_equal(send(fd, "abc", 3, MSG_NOSIGNAL), 3);
	(void) raw_read(&f, fd, out, sizeof out, 40, &closed);
	assert_memory_equal(out, "HTTP/1.1 200", 12);
	assert_non_null(strstr(out, "body=abc"));
	close(fd);
	finish(&f);
}

static void
test_server__pipelined_requests_are_answered_in_order(void **state)
{
	fixture f;
	char out[8192];
	bool closed;
	int fd;
	const char *both = "GET /one HTTP/1.1\r\nHost: a\r\n\r\n"
					   "GET /two HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

	(void) state;
	start(&f, NULL, NULL);
	fd = raw_connect(aut_http_server_port(f.server));
	assert_int_equal(send(fd, both, strlen(both), MSG_NOSIGNAL), strlen(both));
	(void) raw_read(&f, fd, out, sizeof out, sizeof out, &closed);
	assert_true(closed);
	assert_non_null(strstr(out, "GET /one"));
	assert_non_null(strstr(strstr(out, "GET /one"), "GET /two"));
	close(fd);
	finish(&f);
}

static void
test_server__connections_beyond_the_limit_wait_for_room(void **state)
{
	aut_http_server_options options = AUT_HTTP_SERVER_OPTIONS_INIT;
	aut_http_client_options many = AUT_HTTP_CLIENT_OPTIONS_INIT;
	fixture f;
	seen s[20] = {{0}};
	char url[128];
	int answered = 0;

	(void) state;
	options.connections_max = 4;
	many.max_per_host = 20;
	start(&f, &options, &many);
	snprintf(url, sizeof url, "%s/hold", f.base);
	for (int i = 0; i < 20; i++)
	{
		/* each connection is closed after its answer, so all twenty get through four places */
		static const char *const headers[] = {"Connection: close", NULL};
		aut_http_request request = request_of("GET", url, &s[i]);

		request.headers = headers;
		send_request(&f, &request);
	}
	while (answered < 20)
	{
		wait_count(&f, &f.held_count, answered + 1);
		while (answered < f.held_count)
		{
			aut_exchange_reply(f.held[answered++], 200, NULL, NULL, 0);
		}
	}
	for (int i = 0; i < 20; i++)
	{
		wait_count(&f, &s[i].count, 1);
		assert_int_equal(s[i].code, 200);
		seen_done(&s[i]);
	}
	assert_true(f.peak <= 4);
	finish(&f);
}

static void
test_server__dropped_exchange_closes_without_an_answer(void **state)
{
	fixture f;
	char out[256];
	bool closed;
	int fd;
	const char *now = "GET /drop HTTP/1.1\r\nHost: a\r\n\r\n";
	const char *later = "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n";

	(void) state;
	start(&f, NULL, NULL);
	fd = raw_connect(aut_http_server_port(f.server));
	assert_int_equal(send(fd, now, strlen(now), MSG_NOSIGNAL), strlen(now));
	assert_int_equal(raw_read(&f, fd, out, sizeof out, sizeof out, &closed), 0);
	assert_true(closed);
	close(fd);
	fd = raw_connect(aut_http_server_port(f.server));
	assert_int_equal(send(fd, later, strlen(later), MSG_NOSIGNAL), strlen(later));
	wait_count(&f, &f.held_count, 1);
	aut_exchange_drop(f.held[0]);
	assert_int_equal(raw_read(&f, fd, out, sizeof out, sizeof out, &closed), 0);
	assert_true(closed);
	close(fd);
	assert_int_equal(f.gone, 0);
	assert_int_equal(aut_http_server_active(f.server), 0);
	finish(&f);
}

/* ---- streams ----------------------------------------------------------------------------------------------------- */

static void
test_stream__pieces_arrive_as_they_are_written(void **state)
{
	fixture f;
	char out[2048];
	bool closed;
	int fd;
	const char *head = "GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

	(void) state;
	start(&f, NULL, NULL);
	fd = raw_connect(aut_http_server_port(f.server));
	assert_int_equal(send(fd, head, strlen(head), MSG_NOSIGNAL), strlen(head));
	wait_count(&f, &f.held_count, 1);
	(void) raw_read(&f, fd, out, sizeof out, 20, &closed);
	assert_non_null(strstr(out, "text/event-stream"));
	assert_int_equal(aut_exchange_stream_write(f.held[0], "data: 1\n\n", 9), AUT_OK);
	(void) raw_read(&f, fd, out, sizeof out, 12, &closed);
	assert_non_null(strstr(out, "data: 1\n\n"));
	assert_int_equal(aut_exchange_stream_write(f.held[0], "data: 2\n\n", 9), AUT_OK);
	(void) raw_read(&f, fd, out, sizeof out, 12, &closed);
	assert_non_null(strstr(out, "data: 2\n\n"));
	assert_int_equal(aut_http_server_active(f.server), 1);
	aut_exchange_stream_end(f.held[0]);
	assert_int_equal(aut_http_server_active(f.server), 0);
	(void) raw_read(&f, fd, out, sizeof out, sizeof out, &closed);
	assert_true(closed);
	assert_int_equal(f.gone, 0);
	close(fd);
	finish(&f);
}

static void
test_stream__client_that_leaves_is_noticed_once_without_a_write(void **state)
{
	fixture f;
	int fds[20];
	const char *head = "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n";

	(void) state;
	start(&f, NULL, NULL);
	for (int i = 0; i < 20; i++)
	{
		fds[i] = raw_connect(aut_http_server_port(f.server));
		assert_int_equal(send(fds[i], head, strlen(head), MSG_NOSIGNAL), strlen(head));
	}
	wait_count(&f, &f.held_count, 20);
	for (int i = 0; i < 20; i++)
	{
		close(fds[i]);
	}
	wait_count(&f, &f.gone, 20);
	for (int i = 0; i < 20; i++)
	{
		aut_loop_poll(f.loop);
	}
	assert_int_equal(f.gone, 20);
	assert_int_equal(aut_http_server_active(f.server), 0);
	finish(&f);
	assert_int_equal(f.gone, 20);
}

static void
test_stream__reader_that_is_too_slow_is_told(void **state)
{
	fixture f;
	static char block[65536];
	int fd;
	aut_status status = AUT_OK;
	const char *head = "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n";
	int writes = 0;

	(void) state;
	start(&f, NULL, NULL);
	fd = raw_connect(aut_http_server_port(f.server));
	assert_int_equal(send(fd, head, strlen(head), MSG_NOSIGNAL), strlen(head));
	wait_count(&f, &f.held_count, 1);
	while (status == AUT_OK && writes++ < 2000)
	{
		status = aut_exchange_stream_write(f.held[0], block, sizeof block);
		aut_loop_poll(f.loop);
	}
	assert_int_equal(status, AUT_ELIMIT);
	aut_exchange_stream_end(f.held[0]);
	close(fd);
	finish(&f);
}

/* ---- life of a server ---------------------------------------------------------------------------------------------- */

static void
test_server__address_in_use_is_busy_and_says_which(void **state)
{
	fixture f;
	aut_http_server_options options = AUT_HTTP_SERVER_OPTIONS_INIT;
	aut_http_server *second = NULL;
	aut_error err = AUT_ERROR_INIT;
	char port[16];

	(void) state;
	start(&f, NULL, NULL);
	options.port = aut_http_server_port(f.server);
	options.handle = handle;
	assert_int_equal(aut_http_server_new(f.loop, &options, &second, &err), AUT_EBUSY);
	snprintf(port, sizeof port, "port %u", options.port);
	assert_non_null(strstr(err.message, port));
	assert_null(second);
	options.address = "localhost";
	assert_int_equal(aut_http_server_new(f.loop, &options, &second, &err), AUT_EINVAL);
	options.address = "::1";
	options.port = 0;
	if (aut_http_server_new(f.loop, &options, &second, &err) == AUT_OK) /* no IPv6 in some boxes */
	{
		assert_int_not_equal(aut_http_server_port(second), 0);
		aut_http_server_free(second);
	}
	finish(&f);
}

static void
test_server__draining_answers_what_it_has_and_accepts_no_more(void **state)
{
	fixture f;
	char out[2048];
	bool closed;
	int fd;
	const char *head = "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n";
	seen s = {0};
	char url[128];
	aut_http_request request;

	(void) state;
	start(&f, NULL, NULL);
	fd = raw_connect(aut_http_server_port(f.server));
	assert_int_equal(send(fd, head, strlen(head), MSG_NOSIGNAL), strlen(head));
	wait_count(&f, &f.held_count, 1);
	aut_http_server_stop_accepting(f.server);
	aut_http_server_stop_accepting(f.server);
	snprintf(url, sizeof url, "%s/x", f.base);
	request = request_of("GET", url, &s);
	send_request(&f, &request);
	wait_count(&f, &s.count, 1);
	assert_int_equal(s.status, AUT_ENET);
	aut_exchange_reply(f.held[0], 200, "text/plain", "last", 4);
	(void) raw_read(&f, fd, out, sizeof out, sizeof out, &closed);
	assert_true(closed);
	assert_non_null(strstr(out, "Connection: close"));
	assert_non_null(strstr(out, "last"));
	close(fd);
	seen_done(&s);
	finish(&f);
}

static void
test_server__free_ends_what_is_open_and_tells_the_owners(void **state)
{
	fixture f;
	int fds[6];
	char out[256];
	bool closed;
	static const char *const heads[] = {"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n",
										"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n",
										"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"};

	(void) state;
	start(&f, NULL, NULL);
	for (int i = 0; i < 6; i++)
	{
		fds[i] = raw_connect(aut_http_server_port(f.server));
		assert_int_equal(send(fds[i], heads[i % 3], strlen(heads[i % 3]), MSG_NOSIGNAL),
						 strlen(heads[i % 3]));
	}
	wait_count(&f, &f.held_count, 4);
	aut_http_server_free(f.server);
	f.server = NULL;
	assert_int_equal(f.gone, 4);
	for (int i = 0; i < 6; i++)
	{
		(void) raw_read(&f, fds[i], out, sizeof out, sizeof out, &closed);
		assert_true(closed);
		close(fds[i]);
	}
	finish(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loop__steps_run_again_while_one_did_something),
		cmocka_unit_test(test_loop__takes_a_bounded_number_of_steps),
		cmocka_unit_test(test_loop__timers_fire_once_and_bound_the_timeout),
		cmocka_unit_test(test_loop__timer_that_rearms_itself_for_now_does_not_keep_the_round),
		cmocka_unit_test(test_loop__signals_arrive_on_the_loop),
		cmocka_unit_test(test_loop__can_be_embedded_in_a_foreign_wait),
		cmocka_unit_test(test_http__get_arrives_with_path_query_and_peer),
		cmocka_unit_test(test_http__bodies_of_any_method_arrive),
		cmocka_unit_test(test_http__headers_travel_both_ways_without_injection),
		cmocka_unit_test(test_http__multipart_upload_has_field_filename_and_type),
		cmocka_unit_test(test_http__only_http_urls_can_be_called),
		cmocka_unit_test(test_client__parallel_requests_keep_to_the_limit_per_host),
		cmocka_unit_test(test_client__busy_host_does_not_hold_up_another),
		cmocka_unit_test(test_server__many_exchanges_can_be_answered_later_in_any_order),
		cmocka_unit_test(test_client__silent_server_times_out),
		cmocka_unit_test(test_client__timeout_counts_the_time_in_the_queue),
		cmocka_unit_test(test_client__cancelled_calls_do_not_report),
		cmocka_unit_test(test_client__refused_connection_is_a_network_error),
		cmocka_unit_test(test_client__reply_over_its_limit_is_refused),
		cmocka_unit_test(test_client__large_reply_comes_whole),
		cmocka_unit_test(test_client__garbage_and_cut_replies_are_network_errors),
		cmocka_unit_test(test_client__post_is_never_sent_twice_by_itself),
		cmocka_unit_test(test_client__callbacks_may_send_and_may_free_the_client),
		cmocka_unit_test(test_server__bad_targets_never_reach_the_handler),
		cmocka_unit_test(test_server__junk_and_vast_headers_are_refused),
		cmocka_unit_test(test_server__half_open_connections_are_closed_when_idle),
		cmocka_unit_test(test_server__oversize_body_is_cut_and_told),
		cmocka_unit_test(test_server__hopeless_body_is_answered_before_it_is_sent),
		cmocka_unit_test(test_server__endless_body_is_cut_off),
		cmocka_unit_test(test_server__expect_continue_is_honoured),
		cmocka_unit_test(test_server__pipelined_requests_are_answered_in_order),
		cmocka_unit_test(test_server__connections_beyond_the_limit_wait_for_room),
		cmocka_unit_test(test_server__dropped_exchange_closes_without_an_answer),
		cmocka_unit_test(test_stream__pieces_arrive_as_they_are_written),
		cmocka_unit_test(test_stream__client_that_leaves_is_noticed_once_without_a_write),
		cmocka_unit_test(test_stream__reader_that_is_too_slow_is_told),
		cmocka_unit_test(test_server__address_in_use_is_busy_and_says_which),
		cmocka_unit_test(test_server__draining_answers_what_it_has_and_accepts_no_more),
		cmocka_unit_test(test_server__free_ends_what_is_open_and_tells_the_owners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
