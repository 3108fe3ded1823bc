/* SPDX-License-Identifier: MIT */
/*
 * core/engine/lookup.c - may the place be told to download this?
 *
 * A tarball's URL was judged by its text when it was stored.  What its name resolves to is asked for
 * here, right before the agent downloads from it: every address must be one that the policy allows
 * (core/service/url_rules.c).  The agent follows no redirect by itself: it tells where one leads, and that
 * is judged here like the first address, by its text, too (tarball.c).  The agent resolves the name again,
 * later and elsewhere; so where runs must not reach the inside at all, their network has to say so.
 *
 * Nothing is connected to.  No answer is an answer to be asked for again.
 */
#include "core/engine/engine_internal.h"

#define LOOKUP_TIMEOUT_MS 10000

static void
looked_up(void *payload, const aut_http_reply *reply)
{
	aut_job *job = payload;
	aut_error error = reply->error;

	job->lookup = NULL;
	aut_url_policy_free(job->url_policy);
	job->url_policy = NULL;
	if (reply->status == AUT_OK)
	{
		job->lookup_done(job);
		return;
	}
	if (reply->status == AUT_ENOTFOUND)
		(void) aut_fail(&error, AUT_ENET, "its host has no address here");
	aut_error_context(&error, "address of the tarball");
	aut__job_event(job, reply->status == AUT_EDENIED ? AUT_EVENT_FAIL : AUT_EVENT_RETRY, &error);
}

aut_status
aut__job_lookup(aut_job *job, const char *url, void (*done)(aut_job *job), aut_error *err)
{
	const aut_engine_options *options = &job->engine->options;
	aut_http_request request = {.method = "HEAD",
								.url = url,
								.timeout_ms = LOOKUP_TIMEOUT_MS,
								.resolve_only = true,
								.cb = looked_up,
								.payload = job};
	aut_status status;

	aut__job_lookup_drop(job);
	status = aut_url_policy_of(options->settings, &job->url_policy, err);
	if (status == AUT_OK)
		status = aut_url_policy_check(job->url_policy, url, err);
	if (status == AUT_OK && !aut_urls_need_lookup(options->settings))
	{
		aut__job_lookup_drop(job);
		done(job);
		return AUT_OK;
	}
	request.policy = job->url_policy;
	job->lookup_done = done;
	if (status == AUT_OK)
		status = aut_http_send(options->http, &request, &job->lookup, err);
	if (status != AUT_OK)
	{
		aut__job_lookup_drop(job);
		return aut_error_context(err, "address of the tarball");
	}
	return AUT_OK;
}

void
aut__job_lookup_drop(aut_job *job)
{
	if (job->lookup != NULL)
		aut_http_cancel(job->lookup);
	job->lookup = NULL;
	aut_url_policy_free(job->url_policy);
	job->url_policy = NULL;
}
