/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_upstream.c - asking the cloud who calls, from inside: answers as they are read, an API
 * that is freed while it asks, and every allocation on the way failing in turn.
 *
 * The behaviour over the wire is in test/api/test_upstream.py.  Here API and cloud share one loop, and
 * failing allocations hit both: the cloud's own trouble is one more kind of bad answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/api/api_internal.h"
#include "standalone/sqlite_db.h"
#include "test/unit/fail_once.h"

#define ROUNDS_MAX 2000
#define PROFILE    "6f1c1f5e-0000-4000-8000-000000000001"
#define SOMEBODY                                                                                   \
	"{\"id\":\"11111111-1111-4111-8111-111111111111\","                                            \
	"\"org_id\":\"22222222-2222-4222-8222-222222222222\",\"email\":\"e\",\"role\":null,"           \
	"\"permissions\":[\"view_automations\"],\"llm_profiles\":{\"profiles\":{\"fast\":{\"key\":"    \
	"\"sk\"}},\"active\":\"fast\"}}"

/* ---- an API and its cloud --------------------------------------------------------------------- */

typedef struct fixture
{
	char folder[64];
	aut_settings settings;
	aut_loop *loop;
	aut_db *db;
	aut_turn turn;
	aut_http_server *cloud;
	bool silent; /* the cloud answers nothing */
	int asked;
	aut_api *api;
} fixture;

static void
answer(void *payload, aut_exchange *exchange)
{
	static const char profiles[] = "{\"profiles\":[{\"id\":\"" PROFILE "\"}]}";
	fixture *f = payload;
	bool who = strcmp(aut_exchange_path(exchange), "/api/v1/users/me") == 0;
	const char *text = who ? SOMEBODY : profiles;

	f->asked++;
	if (!f->silent)
		aut_exchange_reply(exchange, 200, "application/json", text, strlen(text));
}

static bool
flush(void *payload)
{
	return aut_turn_flush(payload);
}

static void
set(fixture *f, const char *member, const char *text)
{
	assert_int_equal(aut_settings_set(&f->settings, aut_setting_find(member), text, NULL), AUT_OK);
}

static int
setup(void **state)
{
	fixture *f = calloc(1, sizeof *f);
	aut_http_server_options server = AUT_HTTP_SERVER_OPTIONS_INIT;
	aut_api_options options = {0};
	char text[100];

	assert_non_null(f);
	aut_allocator_set(&allocator);
	json_set_alloc_funcs(json_alloc, free);
	(void) snprintf(f->folder, sizeof f->folder, "/tmp/aut-test-upstream-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	(void) snprintf(text, sizeof text, "%s/x.db", f->folder);
	assert_int_equal(aut_settings_init(&f->settings, NULL), AUT_OK);
	assert_int_equal(aut_loop_new(&f->loop, NULL), AUT_OK);
	assert_int_equal(aut_sqlite_open(text, NULL, &f->db, NULL), AUT_OK);
	aut_turn_init(&f->turn, f->db);
	assert_int_equal(aut_loop_add_step(f->loop, flush, &f->turn, NULL), AUT_OK);
	server.handle = answer;
	server.payload = f;
	assert_int_equal(aut_http_server_new(f->loop, &server, &f->cloud, NULL), AUT_OK);
	(void) snprintf(text, sizeof text, "http://127.0.0.1:%u", aut_http_server_port(f->cloud));
	set(f, "openhands_api_base_url", text);
	set(f, "backend", "cloud");
	set(f, "cloud_api_key", "x");
	set(f, "auth_cache_ttl", "0");
	options.loop = f->loop;
	options.turn = &f->turn;
	options.settings = &f->settings;
	options.clock = aut_clock_system();
	options.address = "127.0.0.1";
	assert_int_equal(aut_api_new(&options, &f->api, NULL), AUT_OK);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	fixture *f = *state;
	char command[128];

	aut_turn_cancel(&f->turn);
	aut_api_free(f->api);
	aut_http_server_free(f->cloud);
	aut_loop_remove_step(f->loop, flush, &f->turn);
	aut_loop_free(f->loop);
	aut_db_close(f->db);
	aut_settings_done(&f->settings);
	aut_allocator_set(NULL);
	json_set_alloc_funcs(malloc, free);
	(void) snprintf(command, sizeof command, "rm -rf '%s'", f->folder);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static int
send_request(fixture *f, const char *method, const char *header, const char *body)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
								  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
								  .sin_port = htons(aut_api_port(f->api))};
	char request[4096];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int len;

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *) &address, sizeof address), 0);
	len = snprintf(request, sizeof request,
				   "%s /api/automation/v1 HTTP/1.1\r\nHost: localhost:%u\r\n%s\r\n"
				   "Connection: close\r\nContent-Type: application/json\r\n"
				   "Content-Length: %zu\r\n\r\n%s",
				   method, aut_api_port(f->api), header, strlen(body), body);
	assert_true(len > 0 && (size_t) len < sizeof request);
	assert_int_equal(write(fd, request, (size_t) len), len);
	return fd;
}

/* The status; 0: closed without one. */
static int
ask(fixture *f, const char *method, const char *header, const char *body)
{
	int fd = send_request(f, method, header, body);
	char reply[65536];
	size_t got = 0;

	for (int i = 0; i < ROUNDS_MAX; i++)
	{
		ssize_t n;

		aut_loop_wait(f->loop, 5);
		n = recv(fd, reply + got, sizeof reply - 1 - got, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		{
			(void) close(fd);
			reply[got] = '\0';
			return got > 12 ? atoi(reply + 9) : 0;
		}
		if (n > 0)
			got += (size_t) n;
	}
	fail_msg("%s: no end of the answer", method);
	return -1;
}

static void
until_asked(fixture *f, int count)
{
	for (int i = 0; i < ROUNDS_MAX && f->asked < count; i++)
		aut_loop_wait(f->loop, 5);
	assert_int_equal(f->asked, count);
}

/* ---- tests ------------------------------------------------------------------------------------ */

#define BEARER "Authorization: Bearer k"
#define BODY                                                                                       \
	"{\"name\":\"n\",\"entrypoint\":\"sh x\",\"tarball_path\":\"https://example.com/x\","          \
	"\"trigger\":{\"type\":\"cron\",\"schedule\":\"0 9 * * *\"},"                                  \
	"\"agent_profile_id\":\"" PROFILE "\"}"

static void
test_upstream__survives_every_failing_allocation(void **state)
{
	static const struct
	{
		const char *method, *header, *body;
		int code;
	} cases[] = {
		{"GET", BEARER, "", 200},
		{"GET", "Cookie: keycloak_auth=a; keycloak_auth_1=b\r\nX-Org-Id: " PROFILE, "", 200},
		{"POST", BEARER, BODY, 201},
	};
	fixture *f = *state;

	for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++)
	{
		int code = 0;
		long n;

		for (n = 0; n < 5000; n++)
		{
			failed = false;
			fail_after = n;
			code = ask(f, cases[c].method, cases[c].header, cases[c].body);
			fail_after = -1;
			if (!failed)
				break;
			assert_true(code == 0 || code == cases[c].code || code >= 400);
			assert_int_equal(ask(f, "GET", BEARER, ""), 200);
			assert_int_equal(aut_api_active(f->api), 0);
			assert_true(aut_turn_empty(&f->turn));
		}
		assert_false(failed);
		assert_int_equal(code, cases[c].code);
		assert_true(n > 10);
	}
}

static void
test_upstream__an_api_can_be_freed_while_it_asks(void **state)
{
	fixture *f = *state;
	int fds[4];

	f->silent = true;
	for (int i = 0; i < 3; i++)
		fds[i] = send_request(f, "GET", i == 0 ? "Authorization: Bearer other" : BEARER, "");
	until_asked(f, 2);
	/* one more, which waits for agent profiles */
	f->silent = false;
	fds[3] = send_request(f, "POST", "Authorization: Bearer third", BODY);
	until_asked(f, 3);
	f->silent = true;
	until_asked(f, 4);
	aut_api_free(f->api);
	f->api = NULL;
	for (int i = 0; i < 5; i++)
		aut_loop_wait(f->loop, 1);
	for (int i = 0; i < 4; i++)
		(void) close(fds[i]);
}

static void
test_upstream__only_what_is_needed_is_kept(void **state)
{
	aut_api_caller *caller = NULL;
	char *kept;

	(void) state;
	assert_int_equal(aut__api_caller_read(SOMEBODY, strlen(SOMEBODY), &caller, NULL), AUT_OK);
	assert_true(caller->who.view);
	assert_false(caller->who.manage);
	assert_string_equal(caller->who.email, "e");
	assert_null(caller->who.role);
	assert_string_equal(caller->who.active_profile, "fast");
	assert_non_null(json_object_get(caller->who.llm_profiles, "fast"));
	kept = aut_json_text(caller->kept, NULL);
	assert_null(strstr(kept, "sk"));
	aut_free(kept);
	aut__api_caller_unref(aut__api_caller_ref(caller));
	aut__api_caller_unref(caller);
	aut__api_caller_unref(NULL);
}

/* A list that is longer than anybody's is no list; a name that cannot be asked for is left out. */
static void
test_upstream__profiles_are_bounded(void **state)
{
	static char text[100000];
	aut_api_caller *caller = NULL;
	char name[300];
	size_t used;

	(void) state;
	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	used = (size_t) snprintf(text, sizeof text,
							 "{\"id\":\"" PROFILE "\",\"org_id\":\"" PROFILE
							 "\",\"llm_profiles\":{\"active\":\"%s\",\"profiles\":{\"%s\":1,"
							 "\"a\":1}}}",
							 name, name);
	assert_int_equal(aut__api_caller_read(text, used, &caller, NULL), AUT_OK);
	assert_int_equal(json_object_size(caller->who.llm_profiles), 1);
	assert_null(caller->who.active_profile);
	assert_false(caller->who.view);
	aut__api_caller_unref(caller);
	used = (size_t) snprintf(text, sizeof text,
							 "{\"id\":\"" PROFILE "\",\"org_id\":\"" PROFILE
							 "\",\"llm_profiles\":{\"profiles\":{\"x\":1");
	for (int i = 0; i < 1000; i++)
		used += (size_t) snprintf(text + used, sizeof text - used, ",\"p%d\":1", i);
	used += (size_t) snprintf(text + used, sizeof text - used, "}}}");
	assert_int_equal(aut__api_caller_read(text, used, &caller, NULL), AUT_OK);
	assert_null(caller->who.llm_profiles);
	aut__api_caller_unref(caller);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_upstream__only_what_is_needed_is_kept),
		cmocka_unit_test(test_upstream__profiles_are_bounded),
		cmocka_unit_test_setup_teardown(test_upstream__an_api_can_be_freed_while_it_asks, setup,
										teardown),
		cmocka_unit_test_setup_teardown(test_upstream__survives_every_failing_allocation, setup,
										teardown),
	};

	return cmocka_run_group_tests_name("upstream", tests, NULL, NULL);
}
