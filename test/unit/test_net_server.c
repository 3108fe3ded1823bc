/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_net_server.c - the HTTP server against hostile and clumsy clients; streams; its life.
 */
#include "test/unit/net_fixture.h"

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
	static const char *const requests[] = {
		"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /% HTTP/1.1\r\nHost: a\r\n\r\n", "GET nopath HTTP/1.1\r\nHost: a\r\n\r\n", NULL};
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
	raw_exchange(&f, "GET http://host:1/abs?x=1 HTTP/1.1\r\nHost: a\r\n\r\n", out, sizeof out,
				 &closed);
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

/* Two ways to more parameters than a connection has memory for; under a sanitizer nothing of them leaks. */
static void
test_server__too_many_parameters_leave_nothing_behind(void **state)
{
	aut_http_server_options options = AUT_HTTP_SERVER_OPTIONS_INIT;
	static char target[25000];
	fixture f;
	char out[2048];
	bool closed;
	int fds[2];

	(void) state;
	options.idle_timeout_s = 1;
	start(&f, &options, NULL);
	for (int i = 0; i < 2; i++)
	{
		size_t len = (size_t) snprintf(target, sizeof target, "GET /?");

		while (len < 20000)
			len += (size_t) snprintf(target + len, sizeof target - len, i == 0 ? "a=b&" : "&");
		len += (size_t) snprintf(target + len, sizeof target - len, " HTTP/1.1\r\nHost: a\r\n\r\n");
		fds[i] = raw_connect(aut_http_server_port(f.server));
		assert_int_equal(send(fds[i], target, len, MSG_NOSIGNAL), len);
	}
	for (int i = 0; i < 2; i++)
	{
		(void) raw_read(&f, fds[i], out, sizeof out, sizeof out, &closed);
		assert_true(closed);
		close(fds[i]);
	}
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
	static const char *const heads[] = {
		"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n", "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n",
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
		cmocka_unit_test(test_server__bad_targets_never_reach_the_handler),
		cmocka_unit_test(test_server__junk_and_vast_headers_are_refused),
		cmocka_unit_test(test_server__half_open_connections_are_closed_when_idle),
		cmocka_unit_test(test_server__too_many_parameters_leave_nothing_behind),
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
