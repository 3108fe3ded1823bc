/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_api.c - the API's table of routes, and the API under failing allocations.
 *
 * The behaviour over the wire is in test/api; here is what can only be seen from inside: that the
 * table keeps its promises, and that a request during which the n-th allocation fails, for every n,
 * is answered or closed and leaves the next one unharmed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
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

#define ID         "46d09c5c-7d7d-585f-8c37-a6b45a3de738"
#define ROUNDS_MAX 2000

/* ---- an API over a database in a folder of its own ------------------------------------------- */

typedef struct fixture
{
	char folder[64];
	char path[96];
	aut_settings settings;
	aut_loop *loop;
	aut_db *db;
	aut_turn turn;
	aut_api *api;
} fixture;

static bool
flush(void *payload)
{
	return aut_turn_flush(payload);
}

static int
setup(void **state)
{
	static const char *const keys[] = {"key-of-the-test", NULL};
	fixture *f = calloc(1, sizeof *f);
	aut_api_options options = {0};
	aut_error err = AUT_ERROR_INIT;

	assert_non_null(f);
	aut_allocator_set(&allocator);
	json_set_alloc_funcs(json_alloc, free);
	(void) snprintf(f->folder, sizeof f->folder, "/tmp/aut-test-api-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	(void) snprintf(f->path, sizeof f->path, "%s/x.db", f->folder);
	assert_int_equal(aut_settings_init(&f->settings, &err), AUT_OK);
	assert_int_equal(aut_loop_new(&f->loop, &err), AUT_OK);
	assert_int_equal(aut_sqlite_open(f->path, NULL, &f->db, &err), AUT_OK);
	aut_turn_init(&f->turn, f->db);
	assert_int_equal(aut_loop_add_step(f->loop, flush, &f->turn, &err), AUT_OK);
	options.loop = f->loop;
	options.turn = &f->turn;
	options.settings = &f->settings;
	options.clock = aut_clock_system();
	options.address = "127.0.0.1";
	options.keys = keys;
	assert_int_equal(aut_api_new(&options, &f->api, &err), AUT_OK);
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

/* Send a request on a connection of its own. */
static int
send_request(fixture *f, const char *method, const char *path, const char *type, const char *body)
{
	struct sockaddr_in address = {0};
	char request[4096];
	int fd, len;

	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = htons(aut_api_port(f->api));
	assert_int_equal(connect(fd, (struct sockaddr *) &address, sizeof address), 0);
	len =
		snprintf(request, sizeof request,
				 "%s %s HTTP/1.1\r\nHost: localhost:%u\r\nAuthorization: Bearer key-of-the-test\r\n"
				 "Connection: close\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
				 method, path, aut_api_port(f->api), type, strlen(body), body);
	assert_true(len > 0 && (size_t) len < sizeof request);
	assert_int_equal(write(fd, request, (size_t) len), len);
	return fd;
}

/* Send a request, run the loop until the connection ends.  The status, 0 when it was closed without one. */
static int
ask(fixture *f, const char *method, const char *path, const char *type, const char *body)
{
	int fd = send_request(f, method, path, type, body);
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
	fail_msg("%s %s: no end of the answer", method, path);
	return -1;
}

/* ---- the table ------------------------------------------------------------------------------- */

static void
test_routes__say_who_may_call_them_and_are_unique(void **state)
{
	const aut_api_route *route, *other;

	(void) state;
	for (size_t i = 0; (route = aut__api_route_at(i)) != NULL; i++)
	{
		assert_true(route->pattern[0] == '/');
		assert_true(route->run != NULL || route->answer != NULL);
		assert_int_equal((route->flags & AUT_ROUTE_AUTH) != 0, route->permission != NULL);
		for (size_t j = 0; j < i; j++)
		{
			other = aut__api_route_at(j);
			assert_false(strcmp(route->method, other->method) == 0 &&
						 strcmp(route->pattern, other->pattern) == 0);
		}
	}
}

static void
expect_match(const fixture *f, const char *method, const char *path, const char *pattern,
			 const char *id)
{
	aut_api_match match;

	aut__api_match(f->api, method, path, &match);
	assert_non_null(match.route);
	assert_string_equal(match.route->pattern, pattern);
	if (id == NULL)
		assert_null(match.id);
	else
	{
		assert_int_equal(match.id_len, strlen(id));
		assert_memory_equal(match.id, id, match.id_len);
	}
}

static void
test_routes__fixed_words_win_over_ids(void **state)
{
	const fixture *f = *state;

	expect_match(f, "GET", "/api/automation/v1/uploads", "/v1/uploads", NULL);
	expect_match(f, "GET", "/api/automation/v1/all-runs", "/v1/all-runs", NULL);
	expect_match(f, "PATCH", "/api/automation/v1/uploads", "/v1/{automation_id}", "uploads");
	expect_match(f, "GET", "/api/automation/v1/" ID, "/v1/{automation_id}", ID);
	expect_match(f, "GET", "/api/automation/v1/runs/tarball", "/v1/{automation_id}/tarball",
				 "runs");
	expect_match(f, "GET", "/api/automation/v1/runs/" ID, "/v1/runs/{run_id}", ID);
	expect_match(f, "GET", "/health", "/health", NULL);
	expect_match(f, "GET", "/api/automation/health", "/health", NULL);
}

static void
test_routes__near_misses_do_not_fit(void **state)
{
	static const char *const paths[] = {"",
										"/",
										"/v1",
										"/api/automation",
										"/api/automationv1",
										"/api/automation/v1/",
										"/api/automation/v1//tarball",
										"/api/automation/v1/" ID "/",
										"/api/automation/v1/" ID "/tarballs",
										"/api/automation/healthy",
										"/api/automation/api/automation/v1"};
	const fixture *f = *state;
	aut_api_match match;

	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
	{
		aut__api_match(f->api, "GET", paths[i], &match);
		assert_null(match.route);
		assert_false(match.path_known);
	}
	aut__api_match(f->api, "PUT", "/api/automation/v1", &match);
	assert_null(match.route);
	assert_true(match.path_known);
}

/* ---- requests -------------------------------------------------------------------------------- */

static void
test_api__answers_over_a_real_database(void **state)
{
	fixture *f = *state;

	assert_int_equal(ask(f, "GET", "/health", "", ""), 200);
	assert_int_equal(ask(f, "GET", "/ready", "", ""), 200);
	assert_int_equal(ask(f, "GET", "/api/automation/v1", "", ""), 200);
	assert_int_equal(ask(f, "POST", "/api/automation/v1", "application/json", "{}"), 422);
	assert_int_equal(ask(f, "GET", "/api/automation/v1/" ID, "", ""), 404);
}

static void
test_api__without_an_engine_following_ends_with_the_api(void **state)
{
	fixture *f = *state;

	assert_int_equal(ask(f, "GET", "/api/automation/v1/runs/" ID "/logs?follow=1", "", ""), 404);
	aut_api_stop_accepting(f->api);
	assert_int_equal(aut_api_active(f->api), 0);
}

/* Wait until a request is a unit in the turn. */
static void
until_unit(fixture *f)
{
	for (int i = 0; i < ROUNDS_MAX && aut_turn_empty(&f->turn); i++)
		aut_loop_wait(f->loop, 5);
	assert_false(aut_turn_empty(&f->turn));
}

static void
test_api__freed_with_a_unit_in_the_turn_still_does_the_work(void **state)
{
	fixture *f = *state;
	aut_error err = AUT_ERROR_INIT;
	aut_upload_list list = {0};
	const aut_identity *who = aut_identity_local();
	int64_t total = 0;
	int fd;

	aut_loop_remove_step(f->loop, flush, &f->turn);
	fd =
		send_request(f, "POST", "/api/automation/v1/uploads?name=kept", "application/gzip", "data");
	until_unit(f);
	aut_api_free(f->api);
	f->api = NULL;
	assert_true(aut_turn_flush(&f->turn));
	assert_int_equal(
		aut_store_upload_list(f->db, &who->org_id, &who->user_id, NULL, 10, 0, &list, &total, &err),
		AUT_OK);
	assert_int_equal(total, 1);
	assert_string_equal(list.items[0].name, "kept");
	aut_upload_list_done(&list);
	(void) close(fd);
}

static void
test_api__freed_with_a_unit_that_is_cancelled(void **state)
{
	fixture *f = *state;
	int fd;

	aut_loop_remove_step(f->loop, flush, &f->turn);
	fd = send_request(f, "GET", "/api/automation/v1", "", "");
	until_unit(f);
	aut_api_free(f->api);
	f->api = NULL;
	aut_turn_cancel(&f->turn);
	(void) close(fd);
}

typedef struct torture_case
{
	const char *method, *path, *type, *body;
	int code;
} torture_case;

/* For every n: the request fails cleanly or succeeds, and the one after it is answered. */
static void
torture(fixture *f, const torture_case *c)
{
	int code = 0;
	long n;

	for (n = 0; n < 5000; n++)
	{
		failed = false;
		fail_after = n;
		code = ask(f, c->method, c->path, c->type, c->body);
		fail_after = -1;
		if (!failed)
			break;
		/* a header that got lost, a closed connection, or an honest error; never a crash or a hang */
		assert_true(code == 0 || code == c->code || code >= 400);
		assert_int_equal(ask(f, "GET", "/health", "", ""), 200);
		assert_int_equal(aut_api_active(f->api), 0);
		assert_true(aut_turn_empty(&f->turn));
	}
	assert_false(failed);
	assert_int_equal(code, c->code);
	assert_true(n > 0); /* or nothing was made to fail */
}

static void
test_api__survives_every_failing_allocation(void **state)
{
	static const torture_case cases[] = {
		{"GET", "/api/automation/v1?limit=3&created_by=me", "", "", 200},
		{"GET", "/api/automation/v1?limit=0&offset=x&created_by=x&name=", "", "", 422},
		{"POST", "/api/automation/v1/uploads?name=n&description=d", "application/gzip", "data",
		 201},
		{"POST", "/api/automation/v1", "application/json", "{\"name\": }", 422},
		{"POST", "/api/automation/v1", "text/plain", "text", 422},
		{"POST", "/api/automation/v1", "application/json",
		 "{\"name\":\"n\",\"entrypoint\":\"sh x\",\"tarball_path\":\"https://example.com/x\","
		 "\"trigger\":{\"type\":\"cron\",\"schedule\":\"0 9 * * *\"}}",
		 201},
		{"POST", "/api/automation/v1/" ID "/trigger", "application/json",
		 "{\"input\":{\"a\":[1]},\"dedupe_key\":\"k\",\"delay\":1}", 404},
		{"GET", "/api/automation/v1/runs/" ID "/logs?after=3", "", "", 404},
		{"GET", "/api/automation/v1/?a=b%20c", "", "", 307},
		{"PUT", "/api/automation/v1", "", "", 405},
		{"GET", "/api/automation/v1?cursor=", "", "", 200},
		{"GET", "/api/automation/v1?cursor=x", "", "", 422},
		{"GET", "/ready", "", "", 200},
		{"GET", "/api/automation/redoc", "", "", 307},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		torture(*state, &cases[i]);
}

/* Thousands of allocations: every one fails at the beginning, then every 23rd. */
static void
test_api__is_described_whole_or_not_at_all(void **state)
{
	const fixture *f = *state;
	json_t *whole = aut__api_openapi(f->api);
	json_t *document;

	assert_non_null(whole);
	for (long n = 0;; n += n < 300 ? 1 : 23)
	{
		failed = false;
		fail_after = n;
		document = aut__api_openapi(f->api);
		fail_after = -1;
		if (document != NULL)
			assert_true(json_equal(document, whole));
		else
			assert_true(failed);
		json_decref(document);
		if (!failed)
			break;
	}
	json_decref(whole);
}

static void
test_api__types_of_the_description_are_known(void **state)
{
	const aut_api_schema *schema;

	(void) state;
	for (size_t i = 0; (schema = aut__api_schema_at(i)) != NULL; i++)
	{
		assert_true((schema->type != NULL) != (schema->members != NULL));
		if (i > 0)
			assert_true(strcmp(aut__api_schema_at(i - 1)->name, schema->name) < 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_api__types_of_the_description_are_known),
		cmocka_unit_test_setup_teardown(test_api__is_described_whole_or_not_at_all, setup,
										teardown),
		cmocka_unit_test(test_routes__say_who_may_call_them_and_are_unique),
		cmocka_unit_test_setup_teardown(test_routes__fixed_words_win_over_ids, setup, teardown),
		cmocka_unit_test_setup_teardown(test_routes__near_misses_do_not_fit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_api__answers_over_a_real_database, setup, teardown),
		cmocka_unit_test_setup_teardown(test_api__without_an_engine_following_ends_with_the_api,
										setup, teardown),
		cmocka_unit_test_setup_teardown(test_api__freed_with_a_unit_in_the_turn_still_does_the_work,
										setup, teardown),
		cmocka_unit_test_setup_teardown(test_api__freed_with_a_unit_that_is_cancelled, setup,
										teardown),
		cmocka_unit_test_setup_teardown(test_api__survives_every_failing_allocation, setup,
										teardown),
	};

	return cmocka_run_group_tests_name("api", tests, NULL, NULL);
}
