/* SPDX-License-Identifier: MIT */
/*
 * test/unit/engine_fixture.h - the engine over a real SQLite file and a real agent process (the embedded
 * agent, run alone on a port of its own, with its faults and its stub mode), and the words its tests share.
 *
 * The engine's clock is moved by hand, 20 ms a round, so that waits of minutes pass in milliseconds
 * while calls to the agent take the time they take.
 */
#ifndef AUT_TEST_ENGINE_FIXTURE_H
#define AUT_TEST_ENGINE_FIXTURE_H

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "automation/engine.h"
#include "automation/schedule.h"
#include "standalone/sqlite_db.h"

#define T0 INT64_C(1782907200000000) /* 2026-07-01T12:00:00Z */

typedef struct fixture
{
	char folder[64];
	pid_t agent_pid;
	char agent_url[100], agent_key[100];
	aut_settings settings;
	aut_clock_manual clock;
	aut_loop *loop;
	aut_http_client *http;
	aut_db *db;
	aut_turn turn;
	aut_backend *backend;
	aut_engine *engine;
	int port;
} fixture;

/* ---- the agent ----------------------------------------------------------------------------- */

static inline void
agent_start(fixture *f, const char *const *extra)
{
	const char *argv[24] = {AUT_TEST_PROGRAM, "agent", "--data", f->folder, "--port", NULL,
							"--ready-fd",     NULL,    "--key",  "secret"};
	char port[12], fd_text[12];
	size_t n = 10;
	int ready[2];
	assert_int_equal(pipe(ready), 0);
	snprintf(port, sizeof port, "%d", f->port);
	snprintf(fd_text, sizeof fd_text, "%d", ready[1]);
	argv[5] = port;
	argv[7] = fd_text;
	for (size_t i = 0; extra != NULL && extra[i] != NULL && n < 22; i++)
		argv[n++] = extra[i];
	argv[n] = NULL;
	f->agent_pid = fork();
	assert_true(f->agent_pid >= 0);
	if (f->agent_pid == 0)
	{
		close(ready[0]);
		/* execv's array is not written to */
		union
		{
			const char **in;
			char *const *out;
		} args = {argv};
		execv(argv[0], args.out);
		_exit(127);
	}
	close(ready[1]);
	struct pollfd p = {ready[0], POLLIN, 0};
	char byte;
	if (poll(&p, 1, 20000) != 1 || read(ready[0], &byte, 1) != 1)
		fail_msg("the agent did not start");
	close(ready[0]);

	char path[128], text[2048];
	snprintf(path, sizeof path, "%s/agent.json", f->folder);
	int fd = open(path, O_RDONLY);
	ssize_t len = read(fd, text, sizeof text);
	close(fd);
	assert_true(len > 0);
	json_t *root = NULL;
	assert_int_equal(aut_json_parse(text, (size_t) len, &root, NULL), AUT_OK);
	snprintf(f->agent_url, sizeof f->agent_url, "%s", aut_json_string(root, "url"));
	snprintf(f->agent_key, sizeof f->agent_key, "%s", aut_json_string(root, "key"));
	const char *colon = strrchr(f->agent_url, ':');
	f->port = (int) strtol(colon + 1, NULL, 10);
	json_decref(root);
}

static inline void
agent_stop(fixture *f)
{
	if (f->agent_pid <= 0)
		return;
	kill(f->agent_pid, SIGKILL);
	waitpid(f->agent_pid, NULL, 0);
	f->agent_pid = 0;
}

/* ---- the engine ---------------------------------------------------------------------------- */

static inline void
engine_start(fixture *f)
{
	aut_error err = AUT_ERROR_INIT;
	aut_engine_options options = {.loop = f->loop,
								  .turn = &f->turn,
								  .http = f->http,
								  .backend = f->backend,
								  .settings = &f->settings,
								  .clock = &f->clock.clock,
								  .worker = "test",
								  .pid = getpid(),
								  .api_url = "",
								  .take_over = true};
	if (aut_engine_new(&options, &f->engine, &err) != AUT_OK)
		fail_msg("%s", err.message);
}

static inline void
backend_start(fixture *f)
{
	char work[100];
	snprintf(work, sizeof work, "%s/work", f->folder);
	assert_int_equal(aut_backend_agent_server_new(f->loop, f->agent_url, f->agent_key, "", work,
												  &f->backend, NULL),
					 AUT_OK);
}

/* As a crash would leave it: nothing is told to anybody. */
static inline void
engine_crash(fixture *f)
{
	aut_turn_cancel(&f->turn);
	aut_engine_free(f->engine);
	f->engine = NULL;
}

static inline int
begin(void **state, const char *const *agent_flags)
{
	fixture *f = calloc(1, sizeof *f);
	snprintf(f->folder, sizeof f->folder, "/tmp/aut-engine-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	agent_start(f, agent_flags);
	assert_int_equal(aut_settings_init(&f->settings, NULL), AUT_OK);
	aut_clock_manual_init(&f->clock, T0);
	aut_error err = AUT_ERROR_INIT;
	char path[128];
	snprintf(path, sizeof path, "%s/automation.db", f->folder);
	aut_sqlite_options sqlite = AUT_SQLITE_OPTIONS_INIT;
	sqlite.durability = AUT_SQLITE_NORMAL;
	if (aut_sqlite_open(path, &sqlite, &f->db, &err) != AUT_OK)
		fail_msg("%s", err.message);
	aut_turn_init(&f->turn, f->db);
	assert_int_equal(aut_loop_new(&f->loop, NULL), AUT_OK);
	aut_http_client_options http = AUT_HTTP_CLIENT_OPTIONS_INIT;
	assert_int_equal(aut_http_client_new(f->loop, &http, &f->http, NULL), AUT_OK);
	backend_start(f);
	engine_start(f);
	*state = f;
	return 0;
}

static inline int
setup(void **state)
{
	return begin(state, NULL);
}

static inline int
setup_stub(void **state)
{
	static const char *const FLAGS[] = {"--stub", "--stub-no-callback", NULL};
	return begin(state, FLAGS);
}

static inline int
teardown(void **state)
{
	fixture *f = *state;
	if (f->engine != NULL)
		engine_crash(f);
	aut_http_client_free(f->http);
	aut_backend_free(f->backend);
	aut_loop_free(f->loop);
	aut_db_close(f->db);
	aut_settings_done(&f->settings);
	agent_stop(f);
	aut_tz_cache_clear();
	char command[200];
	snprintf(command, sizeof command, "rm -rf %s", f->folder);
	int rc = system(command);
	free(f);
	return rc;
}

static inline double
seconds(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

/* Let the engine run until the predicate holds; fails after 20 s of real time. */
static inline void
await(fixture *f, bool (*holds)(fixture *, const aut_uuid *), const aut_uuid *run_id,
	  const char *what)
{
	double end = seconds() + 20;
	while (!holds(f, run_id))
	{
		if (seconds() > end)
			fail_msg("waited in vain for: %s", what);
		aut_loop_wait(f->loop, 2);
		aut_clock_manual_advance(&f->clock, 20 * AUT_US_PER_MS);
	}
}

static inline aut_run_list
run_of(fixture *f, const aut_uuid *run_id)
{
	aut_run_list list;
	aut_error err = AUT_ERROR_INIT;
	aut_status status = aut_store_run_get(f->db, run_id, &list, &err);
	if (status == AUT_ENOMEM) /* the one failing allocation met this question */
		status = aut_store_run_get(f->db, run_id, &list, &err);
	if (status != AUT_OK)
		fail_msg("%s", err.message);
	return list;
}

static inline bool
has_ended(fixture *f, const aut_uuid *run_id)
{
	aut_run_list list = run_of(f, run_id);
	bool ended = aut_run_status_terminal(list.items[0].status);
	aut_run_list_done(&list);
	return ended;
}

static inline bool
is_clean(fixture *f, const aut_uuid *run_id)
{
	aut_run_list list = run_of(f, run_id);
	bool clean =
		aut_run_status_terminal(list.items[0].status) && list.items[0].cleanup_at == AUT_TIME_NONE;
	aut_run_list_done(&list);
	return clean;
}

static inline bool
has_output(fixture *f, const aut_uuid *run_id)
{
	aut_run_list list = run_of(f, run_id);
	bool some = list.items[0].output_bytes > 0;
	aut_run_list_done(&list);
	return some;
}

static inline bool
is_started(fixture *f, const aut_uuid *run_id)
{
	aut_run_list list = run_of(f, run_id);
	bool started = list.items[0].bash_command_id != NULL;
	aut_run_list_done(&list);
	return started;
}

/* An automation with one script; schedule NULL: by hand. */
static inline aut_uuid
create(fixture *f, const char *script, const char *schedule, int timeout_s)
{
	aut_error err = AUT_ERROR_INIT;
	void *data = NULL;
	size_t len = 0;
	aut_call call;
	json_t *upload = NULL, *made = NULL;
	aut_call_init(&call, f->db, &f->settings, aut_identity_local(), f->clock.now_us);
	assert_int_equal(aut_tarball_from_script("main.sh", script, strlen(script), &data, &len, NULL),
					 AUT_OK);
	if (aut_service_upload_create(&call, "test", NULL, data, len, false, &upload, &err) != AUT_OK)
		fail_msg("%s", err.message);
	json_t *trigger = schedule != NULL
						  ? json_pack("{s:s,s:s}", "type", "cron", "schedule", schedule)
						  : json_pack("{s:s,s:s,s:[]}", "type", "event", "source", "manual", "on");
	json_t *body = json_pack("{s:s,s:s,s:s,s:i,s:o}", "name", "test", "entrypoint", "./main.sh",
							 "tarball_path", aut_json_string(upload, "tarball_path"), "timeout",
							 timeout_s, "trigger", trigger);
	bool existing = false;
	if (aut_service_automation_create(&call, body, &made, &existing, &err) != AUT_OK)
		fail_msg("%s", err.message);
	aut_uuid id;
	const char *text = aut_json_string(made, "id");
	assert_true(aut_uuid_parse(text, strlen(text), &id));
	json_decref(body);
	json_decref(made);
	json_decref(upload);
	aut_free(data);
	aut_engine_wake(f->engine, call.effects);
	aut_call_done(&call);
	return id;
}

static inline aut_uuid
trigger(fixture *f, const aut_uuid *automation_id)
{
	aut_error err = AUT_ERROR_INIT;
	aut_call call;
	json_t *made = NULL;
	aut_call_init(&call, f->db, &f->settings, aut_identity_local(), f->clock.now_us);
	if (aut_service_trigger(&call, automation_id, NULL, &made, &err) != AUT_OK)
		fail_msg("%s", err.message);
	aut_uuid id;
	const char *text = aut_json_string(made, "id");
	assert_true(aut_uuid_parse(text, strlen(text), &id));
	json_decref(made);
	if (f->engine != NULL)
		aut_engine_wake(f->engine, call.effects);
	aut_call_done(&call);
	return id;
}

static inline void
assert_ended(fixture *f, const aut_uuid *run_id, aut_run_status status, const char *in_error_detail)
{
	aut_run_list list = run_of(f, run_id);
	const aut_run *run = &list.items[0];
	const char *detail = run->error_detail != NULL ? run->error_detail : "";
	if (run->status != status ||
		(in_error_detail != NULL && strstr(detail, in_error_detail) == NULL))
		fail_msg("the run is %s: %s", aut_run_status_name(run->status), detail);
	assert_true(run->completed_at != AUT_TIME_NONE);
	if (status == AUT_RUN_COMPLETED)
		assert_null(run->status_detail);
	aut_run_list_done(&list);
}

static inline char *
output_of(fixture *f, const aut_uuid *run_id)
{
	aut_rows rows = {0};
	assert_int_equal(aut_store_output_read(f->db, run_id, 0, 1000, &rows, NULL), AUT_OK);
	aut_buf text;
	aut_buf_init(&text, 16 * 1048576);
	for (size_t i = 0; i < rows.count; i++)
	{
		const aut_value *data = aut_rows_at(&rows, i, 1);
		aut_buf_append(&text, data->data, data->len);
	}
	aut_rows_done(&rows);
	return aut_buf_take(&text, NULL);
}

static inline char *
read_text(const char *folder, const char *name)
{
	char path[300];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *file = fopen(path, "r");
	if (file == NULL)
		return NULL;
	char *text = calloc(1, 4096);
	size_t n = fread(text, 1, 4095, file);
	text[n] = '\0';
	fclose(file);
	return text;
}

/* Alive, and not merely waiting to be buried by whoever adopts orphans here. */
static inline bool
is_alive(pid_t pid)
{
	char folder[40], *text;
	snprintf(folder, sizeof folder, "/proc/%d", (int) pid);
	text = read_text(folder, "stat");
	const char *after = text != NULL ? strrchr(text, ')') : NULL;
	bool alive = after != NULL && after[2] != 'Z' && after[2] != 'X';
	free(text);
	return alive;
}

static inline void
assert_child_ends(fixture *f)
{
	char *child = read_text(f->folder, "child");
	assert_non_null(child);
	pid_t pid = (pid_t) strtol(child, NULL, 10);
	free(child);
	double end = seconds() + 10;
	while (is_alive(pid) && seconds() < end)
		usleep(10000);
	assert_false(is_alive(pid));
}

#endif
