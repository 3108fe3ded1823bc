/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_net.c - the loop, the HTTP client and the HTTP server talking to each other on one
 * loop over loopback, and calls that fail.
 */
#include "test/unit/net_fixture.h"

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
	assert_int_equal(aut_signal_new(c.loop, SIGUSR2, on_test_signal, &c, &signal_handle, NULL),
					 AUT_OK);
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
	assert_string_equal(s.body,
						"GET /a b/\xc3\xa9 raw=/a%20b/%C3%A9 peer=127.0.0.1 type=- length=- "
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
	static const char *const bad[] = {
		"ftp://127.0.0.1/", "file:///etc/passwd",  "",  "http://", "http://a b/",
		"nonsense",         "gopher://127.0.0.1/", NULL};
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

/* Where the last request went is remembered, for the same text up to the path only. */
static void
test_http__a_known_host_makes_no_bad_url_good(void **state)
{
	static const char *const bad[] = {"/a b", "/a\tb", "/a\nb", "x/", "@[/", NULL};
	char url[300];
	fixture f;
	seen s = {0};
	aut_http_request request;

	(void) state;
	start(&f, NULL, NULL);
	snprintf(url, sizeof url, "%s/api/a%%20b?c=://d/#e", f.base);
	for (int again = 0; again < 2; again++)
	{
		request = request_of("GET", url, &s);
		send_request(&f, &request);
		wait_count(&f, &s.count, again + 1);
		assert_int_equal(s.code, 200);
	}
	for (size_t i = 0; bad[i] != NULL; i++)
	{
		snprintf(url, sizeof url, "%s%s", f.base, bad[i]);
		request = request_of("GET", url, &s);
		assert_int_equal(aut_http_send(f.client, &request, NULL, NULL), AUT_EINVAL);
	}
	assert_int_equal(s.count, 2);
	seen_done(&s);
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
		"\x16\x03\x01garbage\r\n\r\nmore garbage",
		"220 smtp.example ESMTP\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"HTTP/1.1 abc\r\n\r\n",
		NULL};
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
		cmocka_unit_test(test_http__a_known_host_makes_no_bad_url_good),
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
