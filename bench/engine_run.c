/* SPDX-License-Identifier: MIT */
/*
 * bench/engine_run.c - what a run costs inside the database, when executing it costs nothing.
 *
 * The engine is the real one: it claims in batches, loads tasks, walks each run through its machine and keeps
 * history.  Only the hand that executes is ours (aut_local_runner, as the extension's SQL actions have one): at its
 * start a run's end is written through the store, as one unit of the same turn, and then it is not alive any more.
 * The engine sees that and ends the job: what it always does, so nothing here passes the run machine by.
 *
 * Afterwards runs are queued one at a time on the idle engine, each when the one before has ended: the time of
 * the transaction that queues it, and the time from its commit to its start (which has the claim's commit in it).
 */
#include "bench/engine_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "automation/engine.h"

#define FILL_BATCH 1000
#define BUCKETS    65536
#define SINGLE_MAX 100000

typedef struct ending
{
	aut_unit unit;
	struct bench *bench;
	aut_uuid id;
	int next; /* in its bucket or among the free; -1: none */
} ending;

typedef struct bench
{
	aut_local_runner runner;
	aut_backend backend;
	aut_clock const *clock;
	const bench_order *order;
	aut_db *db;
	aut_turn turn;
	aut_loop *loop;
	aut_http_client *http;
	aut_settings settings;
	aut_engine *engine;
	aut_uuid automation;
	ending *endings;
	int free;
	int buckets[BUCKETS];
	int64_t ended;
	bool news; /* since the engine was told */
	aut_error error;
	/* the single ones */
	aut_unit single;
	aut_uuid single_id;
	int64_t asked_us, committed_us, started_us;
} bench;

/* ---- the runner ------------------------------------------------------------------------------------ */

static int *
bucket(bench *b, const aut_uuid *id)
{
	return &b->buckets[((size_t) id->bytes[14] << 8 | id->bytes[15]) % BUCKETS];
}

static bool
takes(aut_local_runner *self, const aut_run_task *task)
{
	(void) self;
	(void) task;
	return true;
}

static aut_status
end_together(aut_unit *const *units, size_t count, aut_db *db, aut_error *err)
{
	aut_run_end *ends = aut_calloc(count, sizeof *ends);
	bool *won = aut_calloc(count, sizeof *won);
	aut_status status =
		ends == NULL || won == NULL ? aut_fail(err, AUT_ENOMEM, "no memory") : AUT_OK;

	for (size_t i = 0; status == AUT_OK && i < count; i++)
	{
		const ending *e = (const ending *) (const void *) units[i];

		ends[i] = (aut_run_end){.id = e->id,
								.status = AUT_RUN_COMPLETED,
								.from_running = true,
								.completed_at = aut_now_us(e->bench->clock),
								.cleanup_at = AUT_TIME_NONE};
	}
	if (status == AUT_OK)
		status = aut_store_run_finish_each(db, ends, count, won, err);
	for (size_t i = 0; status == AUT_OK && i < count; i++)
		if (!won[i])
			status = aut_fail(err, AUT_EINTERNAL, "a run had ended before");
	aut_free(ends);
	aut_free(won);
	return status;
}

static aut_status
end_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	return end_together(&unit, 1, db, err);
}

static void
end_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	ending *e = (ending *) (void *) unit;
	bench *b = e->bench;
	int *link = bucket(b, &e->id), index = (int) (e - b->endings);

	if (status != AUT_OK && status != AUT_ECANCELED)
		b->error = *err;
	while (*link >= 0 && *link != index)
		link = &b->endings[*link].next;
	if (*link == index)
		*link = e->next;
	e->next = b->free;
	b->free = index;
	b->ended++;
	b->news = true;
}

static aut_status
start(aut_local_runner *self, const aut_run_task *task, int64_t time_limit_s, aut_error *err)
{
	bench *b = (bench *) (void *) self;
	ending *e = b->free >= 0 ? &b->endings[b->free] : NULL;
	int *link = bucket(b, &task->run.id);

	(void) time_limit_s;
	b->started_us = aut_mono_us(b->clock);
	if (e == NULL)
		return aut_fail(err, AUT_EBUSY, "every place is taken");
	b->free = e->next;
	e->unit = (aut_unit){.run = end_run, .done = end_done, .together = end_together};
	e->bench = b;
	e->id = task->run.id;
	e->next = *link;
	*link = (int) (e - b->endings);
	aut_turn_add(&b->turn, &e->unit);
	return AUT_OK;
}

static bool
alive(aut_local_runner *self, const aut_run_task *task)
{
	bench *b = (bench *) (void *) self;
	int at = *bucket(b, &task->run.id);

	while (at >= 0 && !aut_uuid_equal(&b->endings[at].id, &task->run.id))
		at = b->endings[at].next;
	return at >= 0;
}

static void
stop(aut_local_runner *self, const aut_run_task *task, bool hard)
{
	(void) self;
	(void) task;
	(void) hard;
}

/* After the turn: what ended is told once, however many. */
static bool
tell(void *payload)
{
	bench *b = payload;

	if (!b->news)
		return false;
	b->news = false;
	aut_engine_local_wake(b->engine);
	return true;
}

/* ---- a backend nobody asks --------------------------------------------------------------------------- */

static aut_status
no_place(aut_backend *backend, const aut_run_task *task, aut_place_cb cb, void *payload,
		 aut_error *err)
{
	(void) backend;
	(void) task;
	(void) cb;
	(void) payload;
	return aut_fail(err, AUT_EUNSUPPORTED, "the bench has no agents");
}

static void
forget(aut_backend *backend, void *payload)
{
	(void) backend;
	(void) payload;
}

static void
release(aut_backend *backend, const aut_run_task *task, bool keep, bool used)
{
	(void) backend;
	(void) task;
	(void) keep;
	(void) used;
}

static bool
ready(aut_backend *backend, const char **out_reason)
{
	(void) backend;
	(void) out_reason;
	return true;
}

static void
nothing_to_free(aut_backend *backend)
{
	(void) backend;
}

static const aut_backend_ops BACKEND = {.version = 1,
										.name = "none",
										.acquire = no_place,
										.forget = forget,
										.release = release,
										.ready = ready,
										.free = nothing_to_free};

/* ---- the queue --------------------------------------------------------------------------------------- */

static aut_status
insert_run(bench *b, aut_db *db, const aut_uuid *id, aut_error *err)
{
	int64_t now = aut_now_us(b->clock);
	aut_run_new run = {.id = *id,
					   .automation_id = b->automation,
					   .trigger_source = "manual",
					   .scheduled_for = AUT_TIME_NONE,
					   .created_at = now,
					   .ready_at = now};

	return aut_store_run_insert(db, &run, err);
}

static aut_status
fill(bench *b, aut_error *err)
{
	aut_automation automation = {.name = "bench",
								 .trigger = "{}",
								 .trigger_type = "cron",
								 .tarball_path = "oh-internal://uploads/none",
								 .entrypoint = "true",
								 .state = "ACTIVE",
								 .disabled_at = AUT_TIME_NONE,
								 .deleted_at = AUT_TIME_NONE};
	aut_status status = aut_uuid_v7(aut_now_us(b->clock), &b->automation, err);

	automation.id = b->automation;
	if (status == AUT_OK)
		status = aut_store_automation_insert(b->db, &automation, err);
	for (int64_t made = 0; status == AUT_OK && made < b->order->runs;)
	{
		status = aut_db_begin(b->db, err);
		for (int i = 0; status == AUT_OK && i < FILL_BATCH && made < b->order->runs; i++, made++)
		{
			aut_uuid id;

			status = aut_uuid_v7(aut_now_us(b->clock), &id, err);
			if (status == AUT_OK)
				status = insert_run(b, b->db, &id, err);
		}
		if (status == AUT_OK)
			status = aut_db_commit(b->db, err);
	}
	return status;
}

static const aut_stmt count_completed = {
	.name = "bench_completed",
	.params = "",
	.columns = "l",
	.postgres = "SELECT count(*) FROM automation.run WHERE status = 'COMPLETED' LIMIT 1",
	.sqlite = "SELECT count(*) FROM run WHERE status = 'COMPLETED' LIMIT 1",
};

static aut_status
count(bench *b, int64_t *out, aut_error *err)
{
	aut_rows rows = {0};
	aut_status status = aut_db_run(b->db, &count_completed, NULL, &rows, NULL, err);

	if (status == AUT_OK)
		*out = aut_rows_int(&rows, 0, 0);
	aut_rows_done(&rows);
	return status;
}

/* ---- measuring --------------------------------------------------------------------------------------- */

/* Rounds of the loop until so many runs have ended and the engine holds none. */
static aut_status
drain(bench *b, int64_t until, aut_error *err)
{
	aut_engine_stats stats = {.active = 1};

	while (b->error.code == AUT_OK && (b->ended < until || stats.active > 0))
	{
		aut_loop_wait(b->loop, 1000);
		if (b->order->between != NULL)
			b->order->between(b->order->payload);
		aut_engine_get_stats(b->engine, &stats);
	}
	if (b->error.code != AUT_OK)
		*err = b->error;
	return b->error.code;
}

static aut_status
single_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	bench *b = (bench *) (void *) ((char *) unit - offsetof(bench, single));

	return insert_run(b, db, &b->single_id, err);
}

static void
single_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	bench *b = (bench *) (void *) ((char *) unit - offsetof(bench, single));

	b->committed_us = aut_mono_us(b->clock);
	if (status != AUT_OK)
		b->error = *err;
	else
		aut_engine_wake(b->engine, ~0u);
}

static int
by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;
	return x < y ? -1 : x > y;
}

static void
summary(int64_t *values, int64_t n, int64_t out[3])
{
	qsort(values, (size_t) n, sizeof *values, by_size);
	out[0] = values[n / 2];
	out[1] = values[n * 99 / 100];
	out[2] = values[n - 1];
}

static aut_status
singles(bench *b, bench_figures *out, aut_error *err)
{
	int64_t n = b->order->single;
	int64_t *commits = aut_calloc((size_t) n, sizeof *commits);
	int64_t *starts = aut_calloc((size_t) n, sizeof *starts);
	aut_status status = AUT_OK;

	if (commits == NULL || starts == NULL)
		status = aut_fail(err, AUT_ENOMEM, "no memory for %lld times", (long long) n);
	for (int64_t i = 0; status == AUT_OK && i < n; i++)
	{
		status = aut_uuid_v7(aut_now_us(b->clock), &b->single_id, err);
		if (status != AUT_OK)
			break;
		b->single = (aut_unit){.run = single_run, .done = single_done};
		b->asked_us = aut_mono_us(b->clock);
		aut_turn_add(&b->turn, &b->single);
		aut_loop_wake(b->loop);
		status = drain(b, b->order->runs + i + 1, err);
		commits[i] = b->committed_us - b->asked_us;
		starts[i] = b->started_us - b->committed_us;
	}
	if (status == AUT_OK)
	{
		summary(commits, n, out->commit_us);
		summary(starts, n, out->start_us);
	}
	aut_free(commits);
	aut_free(starts);
	return status;
}

static aut_status
open_engine(bench *b, aut_error *err)
{
	aut_http_client_options http = AUT_HTTP_CLIENT_OPTIONS_INIT;
	aut_engine_options options = {.loop = b->loop,
								  .turn = &b->turn,
								  .backend = &b->backend,
								  .local = &b->runner,
								  .settings = &b->settings,
								  .clock = b->clock,
								  .worker = "bench",
								  .pid = (int64_t) getpid(),
								  .api_url = "",
								  .take_over = true};
	aut_status status = aut_http_client_new(b->loop, &http, &b->http, err);

	options.http = b->http;
	if (status == AUT_OK)
		status = aut_engine_new(&options, &b->engine, err);
	if (status == AUT_OK)
		status = aut_loop_add_step(b->loop, tell, b, err);
	return status;
}

aut_status
bench_engine(aut_db *db, const bench_order *order, bench_figures *out, aut_error *err)
{
	int64_t places = order->batch * 2;
	bench *b = aut_calloc(1, sizeof *b);
	aut_status status = AUT_OK;

	*out = (bench_figures){0};
	if (b == NULL)
		return aut_fail(err, AUT_ENOMEM, "no memory for the bench");
	b->runner = (aut_local_runner){.takes = takes, .start = start, .alive = alive, .stop = stop};
	b->backend.ops = &BACKEND;
	b->clock = aut_clock_system();
	b->order = order;
	b->db = db;
	b->error = (aut_error) AUT_ERROR_INIT;
	memset(b->buckets, 0xff, sizeof b->buckets);
	b->endings = aut_calloc((size_t) places, sizeof *b->endings);
	if (b->endings == NULL)
		status = aut_fail(err, AUT_ENOMEM, "no memory for %lld places", (long long) places);
	for (int i = 0; status == AUT_OK && i < places; i++)
		b->endings[i].next = i + 1 < places ? i + 1 : -1;
	if (status == AUT_OK)
		status = aut_settings_init(&b->settings, err);
	b->settings.dispatcher_batch_size = order->batch;
	b->settings.max_parallel_runs = places;
	aut_turn_init(&b->turn, db);
	if (status == AUT_OK)
		status = fill(b, err);
	if (status == AUT_OK)
		status = aut_loop_new(&b->loop, err);
	int64_t began = aut_mono_us(b->clock);
	if (status == AUT_OK)
		status = open_engine(b, err);
	if (status == AUT_OK)
		status = drain(b, order->runs, err);
	out->took_us = aut_mono_us(b->clock) - began;
	out->commits = b->turn.commits;
	if (status == AUT_OK && order->single > 0)
		status = singles(b, out, err);
	if (status == AUT_OK)
		status = count(b, &out->completed, err);
	aut_turn_cancel(&b->turn);
	if (b->loop != NULL)
		aut_loop_remove_step(b->loop, tell, b);
	if (b->engine != NULL)
		aut_engine_free(b->engine);
	aut_http_client_free(b->http);
	if (b->loop != NULL)
		aut_loop_free(b->loop);
	aut_settings_done(&b->settings);
	aut_free(b->endings);
	aut_free(b);
	return status;
}

int
bench_figures_text(const bench_order *order, const bench_figures *f, char *out, size_t size)
{
	return snprintf(
		out, size,
		"{\"runs\": %lld, \"completed\": %lld, \"runs_per_s\": %.0f, \"commits\": %llu, "
		"\"commit_us\": [%lld, %lld, %lld], \"start_us\": [%lld, %lld, %lld]}",
		(long long) (order->runs + order->single), (long long) f->completed,
		f->took_us > 0 ? (double) order->runs * 1e6 / (double) f->took_us : 0.0,
		(unsigned long long) f->commits, (long long) f->commit_us[0], (long long) f->commit_us[1],
		(long long) f->commit_us[2], (long long) f->start_us[0], (long long) f->start_us[1],
		(long long) f->start_us[2]);
}
