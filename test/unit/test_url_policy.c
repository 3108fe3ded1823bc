/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_url_policy.c - where URLs of users may lead: tables of hostile forms, and the client
 * under a policy, with answers of DNS that the test makes up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "automation/net.h"
#include "test/unit/torture.h"

#define WAIT_MS 10000

static aut_url_policy *
policy_new(bool allow_private, const char *allowed, const char *own)
{
	const char *owned[] = {own, NULL};
	aut_url_policy_options options = {allow_private, allowed, owned};
	aut_url_policy *policy = NULL;
	aut_error err = AUT_ERROR_INIT;

	if (own == NULL)
		options.own = NULL;
	if (aut_url_policy_new(&options, &policy, &err) != AUT_OK)
		fail_msg("%s", err.message);
	return policy;
}

static void
assert_refused(const aut_url_policy *policy, const char *const *urls)
{
	for (; *urls != NULL; urls++)
	{
		aut_error err = AUT_ERROR_INIT;

		if (aut_url_policy_check(policy, *urls, &err) != AUT_EDENIED)
			fail_msg("%s was not refused", *urls);
		assert_true(strlen(err.message) > 10);
	}
}

static void
assert_taken(const aut_url_policy *policy, const char *const *urls)
{
	for (; *urls != NULL; urls++)
	{
		aut_error err = AUT_ERROR_INIT;

		if (aut_url_policy_check(policy, *urls, &err) != AUT_OK)
			fail_msg("%s: %s", *urls, err.message);
	}
}

/* ---- by the text ----------------------------------------------------------------------------- */

static void
test_url_policy__public_urls_are_taken(void **state)
{
	static const char *const urls[] = {"https://example.com/a.tar.gz",
									   "http://example.com:8080/",
									   "HTTPS://EXAMPLE.com",
									   "https://8.8.8.8/x",
									   "https://[2606:4700::1111]/x",
									   "https://xn--bcher-kva.example/x",
									   "https://example.com./x",
									   "https://localhost.example.com/x",
									   "https://10.example/x",
									   "https://11.0.0.1/",
									   "https://172.32.0.1/",
									   "https://192.169.0.1/",
									   "https://100.128.0.1/",
									   "https://[64:ff9b::8.8.8.8]/",
									   NULL};
	aut_url_policy *policy = policy_new(false, NULL, NULL);

	(void) state;
	assert_taken(policy, urls);
	aut_url_policy_free(policy);
	aut_url_policy_free(NULL);
}

static void
test_url_policy__hostile_forms_are_refused(void **state)
{
	static const char *const urls[] = {
		/* schemes */
		"file:///etc/passwd", "ftp://example.com/", "gopher://example.com/", "dict://example.com/",
		"javascript:alert(1)", "data:,x", "scp://example.com/", "//example.com/", "",
		/* user names, and what looks like a host before them */
		"https://user@example.com/", "https://user:word@example.com/", "https://:word@example.com/",
		"https://example.com@127.0.0.1/", "https://example.com:80@10.0.0.1/",
		"https://example.com%2f@127.0.0.1/",
		/* characters parsers disagree about */
		"https://example.com\\@127.0.0.1/", "https:\\\\127.0.0.1/", "https://exa mple.com/",
		"https://example.com/\n", "https://example.com\r\nHost: x/", "\thttps://example.com/",
		"https://exa%00mple.com/", "https://exa%2emple%5c.com/",
		"https://127.0.0.1%2f.example.com/",
		/* no host, no port */
		"https://", "https:///x", "https://./", "https://../", "https://:80/",
		"https://example.com:0/", "https://example.com:99999/", "https://example.com:port/",
		/* loopback in all spellings */
		"http://127.0.0.1/", "http://127.1/", "http://127.255.255.254/", "http://2130706433/",
		"http://0x7f000001/", "http://0x7f.0.0.1/", "http://0177.0.0.1/", "http://017700000001/",
		"http://127.0.0.1./", "http://0x7f.1/", "http://0/", "http://0.0.0.0/", "http://00/",
		"http://%31%32%37.0.0.1/", "http://[::1]/", "http://[::1]:8080/",
		"http://[0:0:0:0:0:0:0:1]/", "http://[::]/", "http://[::ffff:127.0.0.1]/",
		"http://[::ffff:7f00:1]/", "http://[::127.0.0.1]/", "http://[0:0:0:0:0:ffff:127.0.0.1]/",
		"http://localhost/", "http://LOCALHOST/", "http://localhost./", "http://a.localhost/",
		"http://a.LocalHost../",
		/* private networks */
		"http://10.0.0.1/", "http://10.255.255.255/", "http://012.0.0.1/", "http://167772161/",
		"http://172.16.0.1/", "http://172.31.255.255/", "http://192.168.1.1/", "http://3232235777/",
		"http://100.64.0.1/", "http://100.127.255.255/", "http://[fc00::1]/", "http://[fdff::1]/",
		"http://[::ffff:10.0.0.1]/", "http://[64:ff9b::10.0.0.1]/", "http://[64:ff9b::a00:1]/",
		"http://[64:ff9b:1::a00:1]/", "http://[2002:0a00:0001::1]/", "http://[2002:7f00:1::]/",
		"http://printer.local/", "http://db.internal/", "http://router.lan/",
		"http://nas.home.arpa/",
		/* link-local and metadata */
		"http://169.254.169.254/latest/meta-data/", "http://2852039166/", "http://0xa9fea9fe/",
		"http://0251.0376.0251.0376/", "http://[::ffff:169.254.169.254]/",
		"http://[64:ff9b::169.254.169.254]/", "http://[fe80::1]/", "http://[fe80::1%25eth0]/",
		"http://[fe80::1%eth0]/", "http://[2606:4700::1111%25lo]/", "http://[febf::1]/",
		"http://100.100.100.200/", "http://[fd00:ec2::254]/", "http://metadata.google.internal/",
		/* what is nobody's */
		"http://192.0.2.1/", "http://198.18.0.1/", "http://198.51.100.7/", "http://203.0.113.1/",
		"http://224.0.0.1/", "http://255.255.255.255/", "http://240.0.0.1/", "http://[ff02::1]/",
		"http://[2001:db8::1]/", "http://[2001::1]/", "http://[100::1]/", "http://[fec0::1]/",
		"http://192.88.99.1/", "http://192.0.0.170/",
		/* letters that look like others */
		"http://\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1/", "http://localh\xc3\xb6st/", NULL};
	aut_url_policy *policy = policy_new(false, NULL, NULL);
	char longer[9000];

	(void) state;
	assert_refused(policy, urls);
	memset(longer, 'a', sizeof longer - 1);
	longer[sizeof longer - 1] = '\0';
	memcpy(longer, "https://example.com/", 20);
	assert_int_equal(aut_url_policy_check(policy, longer, NULL), AUT_EDENIED);
	aut_url_policy_free(policy);
}

static void
test_url_policy__private_networks_can_be_allowed_but_not_metadata(void **state)
{
	static const char *const taken[] = {"http://127.0.0.1:8000/", "http://10.1.2.3/",
										"http://192.168.0.1/",    "http://[::1]/",
										"http://[fd12::1]/",      "http://localhost/",
										"http://printer.local/",  "http://[::ffff:10.0.0.1]/",
										"https://example.com/",   NULL};
	static const char *const refused[] = {"http://169.254.169.254/",
										  "http://[fe80::1]/",
										  "http://[fd00:ec2::254]/",
										  "http://100.100.100.200/",
										  "http://0.0.0.0/",
										  "http://[::]/",
										  "http://224.0.0.1/",
										  "http://[::ffff:169.254.169.254]/",
										  "file:///x",
										  "http://u@127.0.0.1/",
										  NULL};
	aut_url_policy *policy = policy_new(true, "", NULL);

	(void) state;
	assert_taken(policy, taken);
	assert_refused(policy, refused);
	aut_url_policy_free(policy);
}

static void
test_url_policy__what_is_listed_is_allowed(void **state)
{
	static const char *const taken[] = {
		"http://10.1.255.1/",          "http://[::ffff:10.1.0.1]/", "http://[64:ff9b::10.1.0.1]/",
		"http://files.internal/",      "http://FILES.internal./",   "http://a.b.corp.local/",
		"http://169.254.1.2/",         "http://[fd12:3456::9]/",    "http://agent:8001/x",
		"http://127.0.0.1:18000/api/", "https://172.20.0.1/",       NULL};
	static const char *const refused[] = {
		"http://10.2.0.1/",    "http://xfiles.internal/", "http://corp.local/",
		"http://169.254.1.3/", "http://[fd12:3457::9]/",  "http://127.0.0.1:18001/",
		"http://127.0.0.1/",   "http://172.21.0.1/",      NULL};
	aut_url_policy *policy = policy_new(
		false,
		" 10.1.0.0/16,files.INTERNAL. , *.corp.local,169.254.1.2,,fd12:3456::/32,172.20.0.0/16",
		"http://127.0.0.1:18000");

	(void) state;
	assert_taken(policy, taken);
	assert_refused(policy, refused);
	aut_url_policy_free(policy);
}

static void
test_url_policy__addresses_are_judged_with_their_name(void **state)
{
	aut_url_policy *policy = policy_new(false, "trusted.test", "http://agent.test:8001/base");

	(void) state;
	assert_int_equal(aut_url_policy_numeric(policy, "x.test", "8.8.8.8", 443, NULL), AUT_OK);
	assert_int_equal(aut_url_policy_numeric(policy, "x.test", "10.0.0.1", 443, NULL), AUT_EDENIED);
	assert_int_equal(aut_url_policy_numeric(policy, "x.test", "::ffff:127.0.0.1", 443, NULL),
					 AUT_EDENIED);
	assert_int_equal(aut_url_policy_numeric(policy, "x.test", "not one", 443, NULL), AUT_EDENIED);
	assert_int_equal(aut_url_policy_numeric(policy, "trusted.test.", "10.0.0.1", 1, NULL), AUT_OK);
	assert_int_equal(aut_url_policy_numeric(policy, "agent.test", "10.0.0.1", 8001, NULL), AUT_OK);
	assert_int_equal(aut_url_policy_numeric(policy, "agent.test", "10.0.0.1", 8002, NULL),
					 AUT_EDENIED);
	aut_url_policy_free(policy);
}

static void
test_url_policy__a_bad_list_is_named(void **state)
{
	static const char *const lists[] = {"10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/x", "::/129",
										"a/b",         "http://x",    "a:80",       "*.*.x",
										"*",           "x%y",         "."};

	(void) state;
	for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
	{
		aut_url_policy_options options = {false, lists[i], NULL};
		aut_url_policy *policy = NULL;
		aut_error err = AUT_ERROR_INIT;

		if (aut_url_policy_new(&options, &policy, &err) != AUT_EINVAL)
			fail_msg("\"%s\" was taken", lists[i]);
		assert_non_null(strstr(err.message, lists[i]));
		assert_null(policy);
	}
}

static aut_status
torture_policy(void *payload)
{
	static const char *const own[] = {"http://agent.test:1", NULL};
	aut_url_policy_options options = {false, "a.test,10.0.0.0/8", own};
	aut_url_policy *policy = NULL;
	aut_status status = aut_url_policy_new(&options, &policy, NULL);

	(void) payload;
	if (status == AUT_OK)
		status = aut_url_policy_check(policy, "https://a.test/", NULL);
	aut_url_policy_free(policy);
	return status;
}

static void
test_url_policy__survives_without_memory(void **state)
{
	(void) state;
	torture(torture_policy, NULL);
}

/* ---- the client under a policy ---------------------------------------------------------------- */

typedef struct fixture
{
	aut_loop *loop;
	aut_http_client *client;
	aut_http_server *front, *inside; /* both on loopback; front is listed by its name */
	int front_calls, inside_calls;
	aut_url_policy *policy;
	/* of the last call */
	bool done;
	aut_status status;
	int code;
	char body[100];
} fixture;

static void
on_front(void *payload, aut_exchange *exchange)
{
	fixture *f = payload;
	const char *to = aut_exchange_query(exchange, "to");

	f->front_calls++;
	if (to == NULL)
	{
		aut_exchange_reply(exchange, 200, "text/plain", "front", 5);
		return;
	}
	assert_int_equal(aut_exchange_add_header(exchange, "Location", to), AUT_OK);
	aut_exchange_reply(exchange, 302, NULL, NULL, 0);
}

static void
on_inside(void *payload, aut_exchange *exchange)
{
	fixture *f = payload;

	f->inside_calls++;
	aut_exchange_reply(exchange, 200, "text/plain", "inside", 6);
}

static int
setup(void **state)
{
	fixture *f = calloc(1, sizeof *f);
	aut_http_server_options server = AUT_HTTP_SERVER_OPTIONS_INIT;
	aut_http_client_options client = AUT_HTTP_CLIENT_OPTIONS_INIT;
	char lines[6][100];
	const char *resolve[7] = {NULL};
	unsigned front, inside;

	assert_non_null(f);
	assert_int_equal(aut_loop_new(&f->loop, NULL), AUT_OK);
	server.payload = f;
	server.handle = on_front;
	assert_int_equal(aut_http_server_new(f->loop, &server, &f->front, NULL), AUT_OK);
	server.handle = on_inside;
	assert_int_equal(aut_http_server_new(f->loop, &server, &f->inside, NULL), AUT_OK);
	front = aut_http_server_port(f->front);
	inside = aut_http_server_port(f->inside);
	(void) snprintf(lines[0], sizeof lines[0], "front.test:%u:127.0.0.1", front);
	(void) snprintf(lines[1], sizeof lines[1], "inside.test:%u:127.0.0.1", inside);
	(void) snprintf(lines[2], sizeof lines[2], "mixed.test:%u:192.0.2.1,127.0.0.1", inside);
	(void) snprintf(lines[3], sizeof lines[3], "public.test:443:8.8.8.8,[2606:4700::1111]");
	(void) snprintf(lines[4], sizeof lines[4], "half.test:443:8.8.8.8,10.0.0.1");
	(void) snprintf(lines[5], sizeof lines[5], "metadata.test:443:[::ffff:169.254.169.254]");
	for (size_t i = 0; i < 6; i++)
		resolve[i] = lines[i];
	client.resolve = resolve;
	assert_int_equal(aut_http_client_new(f->loop, &client, &f->client, NULL), AUT_OK);
	f->policy = policy_new(false, "front.test", NULL);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	fixture *f = *state;

	aut_http_client_free(f->client);
	aut_http_server_free(f->front);
	aut_http_server_free(f->inside);
	aut_loop_free(f->loop);
	aut_url_policy_free(f->policy);
	free(f);
	return 0;
}

static void
on_reply(void *payload, const aut_http_reply *reply)
{
	fixture *f = payload;

	f->done = true;
	f->status = reply->status;
	f->code = reply->code;
	(void) snprintf(f->body, sizeof f->body, "%.80s", reply->body);
	if (reply->status != AUT_OK)
		assert_true(strlen(reply->error.message) > 0);
}

/* The status of a call; formats: %F and %I are the ports. */
static aut_status
call(fixture *f, const char *format, int redirects, bool resolve_only, bool with_policy)
{
	aut_http_request request = {.method = "GET", .timeout_ms = WAIT_MS, .cb = on_reply};
	char url[500] = "";
	aut_status status;

	for (const char *c = format; *c != '\0'; c++)
	{
		size_t used = strlen(url);
		unsigned port =
			c[1] == 'F' ? aut_http_server_port(f->front) : aut_http_server_port(f->inside);

		if (c[0] == '@')
			(void) snprintf(url + used, sizeof url - used, "%u", port), c++;
		else
			(void) snprintf(url + used, sizeof url - used, "%c", *c);
	}
	request.url = url;
	request.payload = f;
	request.redirects_max = redirects;
	request.resolve_only = resolve_only;
	request.policy = with_policy ? f->policy : NULL;
	f->done = false;
	status = aut_http_send(f->client, &request, NULL, NULL);
	while (status == AUT_OK && !f->done)
		aut_loop_wait(f->loop, WAIT_MS);
	return status == AUT_OK ? f->status : status;
}

static void
test_url_policy__the_client_connects_only_where_it_may(void **state)
{
	fixture *f = *state;

	assert_int_equal(call(f, "http://front.test:@F/", 0, false, true), AUT_OK);
	assert_string_equal(f->body, "front");
	assert_int_equal(call(f, "http://inside.test:@I/", 0, false, true), AUT_EDENIED);
	assert_int_equal(call(f, "http://127.0.0.1:@I/", 0, false, true), AUT_EDENIED);
	assert_int_equal(call(f, "http://mixed.test:@I/", 0, false, true), AUT_EDENIED);
	assert_int_equal(f->inside_calls, 0);
	/* without a policy it is ours */
	assert_int_equal(call(f, "http://inside.test:@I/", 0, false, false), AUT_OK);
	assert_int_equal(f->inside_calls, 1);
	/* a connection that is kept alive is no way in */
	assert_int_equal(call(f, "http://inside.test:@I/", 0, false, true), AUT_EDENIED);
	assert_int_equal(f->inside_calls, 1);
	assert_int_equal(call(f, "http://nowhere.invalid/", 0, false, true), AUT_ENOTFOUND);
	/* redirects need one */
	assert_int_equal(call(f, "http://front.test:@F/", 1, false, false), AUT_EINVAL);
	assert_int_equal(call(f, "http://front.test:@F/", 0, true, false), AUT_EINVAL);
}

static void
test_url_policy__redirects_are_judged_like_the_first(void **state)
{
	static const char *const hostile[] = {
		"http://front.test:@F/?to=http://inside.test:@I/",
		"http://front.test:@F/?to=http://127.0.0.1:@I/",
		"http://front.test:@F/?to=http://2130706433:@I/",
		"http://front.test:@F/?to=http://[::ffff:127.0.0.1]:@I/",
		"http://front.test:@F/?to=http://mixed.test:@I/",
		"http://front.test:@F/?to=http://169.254.169.254/",
		/* by way of an allowed one */
		"http://front.test:@F/?to=http://front.test:@F/?to=http://inside.test:@I/",
		/* a user name in what is otherwise allowed */
		"http://front.test:@F/?to=http://u:p%40front.test:@F/",
	};
	fixture *f = *state;

	assert_int_equal(call(f, "http://front.test:@F/?to=http://front.test:@F/x", 3, false, true),
					 AUT_OK);
	assert_int_equal(f->code, 200);
	/* not asked to follow: the redirect is the answer */
	assert_int_equal(call(f, "http://front.test:@F/?to=http://inside.test:@I/", 0, false, true),
					 AUT_OK);
	assert_int_equal(f->code, 302);
	/* have connections to reuse, which nobody is asked about */
	assert_int_equal(call(f, "http://inside.test:@I/", 0, false, false), AUT_OK);
	assert_int_equal(call(f, "http://127.0.0.1:@I/", 0, false, false), AUT_OK);
	f->inside_calls = 0;
	for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++)
	{
		aut_status status = call(f, hostile[i], 3, false, true);

		if (status != AUT_EDENIED)
			fail_msg("%s: %s", hostile[i], aut_status_name(status));
	}
	assert_int_equal(f->inside_calls, 0);
	assert_int_equal(call(f, "http://front.test:@F/?to=file:///etc/passwd", 3, false, true),
					 AUT_ENET);
	assert_int_equal(call(f, "http://front.test:@F/?to=/?to=/?to=/x", 1, false, true), AUT_ENET);
}

static void
test_url_policy__all_addresses_of_a_name_are_looked_at(void **state)
{
	fixture *f = *state;

	assert_int_equal(call(f, "https://public.test/x", 0, true, true), AUT_OK);
	assert_int_equal(f->code, 0);
	assert_int_equal(call(f, "https://half.test/x", 0, true, true), AUT_EDENIED);
	assert_int_equal(call(f, "https://metadata.test/x", 0, true, true), AUT_EDENIED);
	assert_int_equal(call(f, "https://nowhere.invalid/x", 0, true, true), AUT_ENOTFOUND);
	assert_int_equal(call(f, "https://8.8.8.8/x", 0, true, true), AUT_OK);
	/* nothing is called, also over a connection that is there */
	assert_int_equal(call(f, "http://front.test:@F/", 0, false, true), AUT_OK);
	f->front_calls = 0;
	assert_int_equal(call(f, "http://front.test:@F/", 0, true, true), AUT_OK);
	assert_int_equal(f->front_calls, 0);
}

int
main(void)
{
#define WITH_NET(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_url_policy__public_urls_are_taken),
		cmocka_unit_test(test_url_policy__hostile_forms_are_refused),
		cmocka_unit_test(test_url_policy__private_networks_can_be_allowed_but_not_metadata),
		cmocka_unit_test(test_url_policy__what_is_listed_is_allowed),
		cmocka_unit_test(test_url_policy__addresses_are_judged_with_their_name),
		cmocka_unit_test(test_url_policy__a_bad_list_is_named),
		cmocka_unit_test(test_url_policy__survives_without_memory),
		WITH_NET(test_url_policy__the_client_connects_only_where_it_may),
		WITH_NET(test_url_policy__redirects_are_judged_like_the_first),
		WITH_NET(test_url_policy__all_addresses_of_a_name_are_looked_at),
	};

	return cmocka_run_group_tests_name("url_policy", tests, NULL, NULL);
}
