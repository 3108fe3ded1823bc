/* SPDX-License-Identifier: MIT */
/*
 * include/automation/cloud.h - the backend that gives each run a sandbox of its own in the cloud.
 *
 * Its API is contract/cloud-api.md.  What it makes it writes into the ledger (sandboxes.h) through the
 * host's turn, so that it finds everything again after a crash.
 */
#ifndef AUT_CLOUD_H
#define AUT_CLOUD_H

#include "automation/backend.h"
#include "automation/sandboxes.h"

/* `error` of an answer 429 that is about how many sandboxes a user may have. */
#define AUT_CLOUD_LIMIT_RUNS "CONCURRENCY_LIMIT_REACHED"
#define AUT_CLOUD_LIMIT_DAY  "DAILY_SANDBOX_LIMIT_REACHED"

typedef struct aut_cloud_options
{
	aut_loop *loop;
	aut_http_client *http;
	aut_turn *turn;
	const aut_settings *settings; /* read at use; keys and URL at the beginning */
	const aut_clock *clock;
	int shared_by; /* processes that call the cloud from this address; 0: this one */
} aut_cloud_options;

/* Everything pointed to must outlive it; it registers a step on the loop. */
aut_status aut_backend_cloud_new(const aut_cloud_options *options, aut_backend **out,
								 aut_error *err);

typedef struct aut_cloud_stats
{
	uint64_t requests, created, polls, polled_ids, deleted, paused, minted, rate_limited;
	int in_flight, in_flight_max; /* requests at once */
} aut_cloud_stats;
/* Of a backend made by aut_backend_cloud_new. */
void aut_cloud_get_stats(const aut_backend *backend, aut_cloud_stats *out);

#endif
