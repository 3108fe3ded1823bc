/* SPDX-License-Identifier: MIT */
/*
 * bench/engine_run.h - the real engine over any driver, with a runner that ends every run at once.
 */
#ifndef AUT_BENCH_ENGINE_RUN_H
#define AUT_BENCH_ENGINE_RUN_H

#include "automation/db.h"

typedef struct bench_order
{
	int64_t runs;   /* how many wait in the queue when the engine starts */
	int64_t batch;  /* dispatcher_batch_size; twice as many may execute */
	int64_t single; /* then so many alone, each when the one before has ended */
	/* Between rounds of the loop; may be NULL. */
	void (*between)(void *payload);
	void *payload;
} bench_order;

typedef struct bench_figures
{
	int64_t took_us;      /* from the engine's start to the end of the last of the queue */
	uint64_t commits;     /* in that time */
	int64_t completed;    /* what the database says of all of them */
	int64_t commit_us[3]; /* of the single ones: median, p99, greatest … */
	int64_t start_us[3];  /* … from there to the start */
} bench_figures;

/* The store is empty before and full of history afterwards. */
aut_status bench_engine(aut_db *db, const bench_order *order, bench_figures *out, aut_error *err);
/* As one line of JSON. */
int bench_figures_text(const bench_order *order, const bench_figures *figures, char *out,
					   size_t size);

#endif
