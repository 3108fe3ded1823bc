/* SPDX-License-Identifier: MIT */
/*
 * core/engine/verdict.c - what an end means: status, error_detail and status_detail of a run
 * (contract/execution.md sections 2, 9 and 11).
 *
 * Everything here is made of what an agent said and is cut to bounds; a verdict is written by one
 * guarded statement, so whoever came first (callback, cancel) stays.
 */
#include <stdio.h>
#include <string.h>

#include "core/engine/engine_internal.h"

#define TIME_LIMIT_SLACK_S 2

void
aut__verdict_done(aut_verdict *verdict)
{
	aut_free(verdict->error_detail);
	aut_free(verdict->status_detail);
	*verdict = (aut_verdict){0};
}

typedef struct detail
{
	const char *phase, *kind, *text, *source, *operation, *code;
	bool transient;
	int status_code; /* 0: none */
	int64_t first_seen_us, last_seen_us;
	int count;
	const aut_place_trouble *sandbox; /* why there is none, or NULL */
} detail;

static json_t *
seen_at(int64_t time_us)
{
	/* The contract writes these with an offset instead of Z. */
	char text[AUT_TIME_TEXT_MAX + 8];
	aut_time_format(time_us, text);
	size_t len = strlen(text);
	memcpy(text + len - 1, "+00:00", 7);
	return json_string(text);
}

/* "phase:source:operation:kind:status", of a trouble that passes without the phase. */
static json_t *
fingerprint(const detail *d)
{
	aut_buf text;
	aut_buf_init(&text, 400);
	if (!d->transient)
		aut_buf_printf(&text, "%s:", d->phase);
	aut_buf_printf(&text, "%s:%s:%s", d->source, d->operation, d->kind);
	if (d->status_code != 0)
		aut_buf_printf(&text, ":%d", d->status_code);
	json_t *value = text.status == AUT_OK ? json_string(text.data) : NULL;
	aut_buf_done(&text);
	return value;
}

static bool
set_sandbox(json_t *root, const aut_place_trouble *trouble)
{
	return aut_json_set(root, "sandbox_status",
						aut_json_text_or_null(
							trouble->sandbox_status[0] != '\0' ? trouble->sandbox_status : NULL)) &&
		   aut_json_set(root, "sandbox_status_detail",
						aut_json_text_or_null(
							trouble->sandbox_detail[0] != '\0' ? trouble->sandbox_detail : NULL)) &&
		   aut_json_set(root, "attempts", json_integer(trouble->attempts));
}

static char *
detail_text(const detail *d)
{
	json_t *root = json_object();
	char *text = NULL;
	if (root != NULL && aut_json_set(root, "phase", json_string(d->phase)) &&
		aut_json_set(root, "kind", json_string(d->kind)) &&
		aut_json_set(root, "detail", aut_json_text_or_null(d->text)) &&
		aut_json_set(root, "transient", json_boolean(d->transient)) &&
		aut_json_set(root, "fingerprint", fingerprint(d)) &&
		aut_json_set(root, "first_seen_at", seen_at(d->first_seen_us)) &&
		aut_json_set(root, "last_seen_at", seen_at(d->last_seen_us)) &&
		aut_json_set(root, "count", json_integer(d->count)) &&
		aut_json_set(root, "source", json_string(d->source)) &&
		aut_json_set(root, "operation", json_string(d->operation)) &&
		(d->code == NULL || aut_json_set(root, "code", json_string(d->code))) &&
		(d->status_code == 0 || aut_json_set(root, "status_code", json_integer(d->status_code))) &&
		(d->sandbox == NULL || set_sandbox(root, d->sandbox)))
		text = aut_json_text(root, NULL);
	json_decref(root);
	return text;
}

static const char *
kind_of_error(const aut_error *error)
{
	if (error->http_status == 429)
		return "rate_limited";
	if (error->http_status == 408 || error->code == AUT_ETIMEOUT)
		return "timeout";
	if (error->http_status >= 500)
		return "server_error";
	if (error->code == AUT_ENET)
		return "transport";
	return "execution_error";
}

/* take_error moves in. */
static aut_status
give(aut_job *job, aut_run_status status, char *take_error, const detail *d, aut_error *err)
{
	aut_verdict verdict = {.given = true, .status = status, .error_detail = take_error};
	if (d != NULL)
	{
		verdict.status_detail = detail_text(d);
		if (verdict.status_detail == NULL || (take_error == NULL && status == AUT_RUN_FAILED))
		{
			aut__verdict_done(&verdict);
			return aut_fail(err, AUT_ENOMEM, "no memory for the end of a run");
		}
	}
	aut__verdict_done(&job->verdict);
	job->verdict = verdict;
	return AUT_OK;
}

/* What the run printed last, as valid text for error_detail. */
static char *
tail_text(const aut_job *job, const char *before)
{
	aut_buf text;
	aut_buf_init(&text, 8192);
	aut_buf_puts(&text, before);
	size_t start = 0;
	/* do not begin inside a character */
	while (start < job->tail_len && start < 4 && ((unsigned char) job->tail[start] & 0xC0) == 0x80)
		start++;
	if (job->tail_len > start)
	{
		aut_buf_puts(&text, "\n");
		aut_utf8_sanitize(&text, job->tail + start, job->tail_len - start);
	}
	return aut_buf_take(&text, NULL);
}

static detail
detail_now(const aut_job *job, const char *phase, const char *kind, const char *text,
		   const char *operation)
{
	int64_t now = aut__engine_now(job->engine);
	return (detail){.phase = phase,
					.kind = kind,
					.text = text,
					.source = job->local ? "host" : "agent_server",
					.operation = operation,
					.first_seen_us = now,
					.last_seen_us = now,
					.count = 1};
}

aut_status
aut__verdict_timed_out(aut_job *job, const char *why, const char *kind, aut_error *err)
{
	char text[AUT_ERROR_MESSAGE_MAX + 20];
	snprintf(text, sizeof text, "Timed out: %s", why);
	detail d = detail_now(job, "execution", kind, why, "verify");
	return give(job, AUT_RUN_FAILED, tail_text(job, text), &d, err);
}

/* Did the agent end it because of its time limit? */
static bool
hit_time_limit(const aut_job *job, const aut_agent_answer *end)
{
	if (end->from_event)
		return end->exit_code == -1 && !end->never_ran;
	/* The agent's clock started before the command's, and both seconds are whole. */
	return end->signalled && end->elapsed_s + TIME_LIMIT_SLACK_S >= job->time_limit_s;
}

aut_status
aut__verdict_from_end(aut_job *job, const aut_agent_answer *end, aut_error *err)
{
	aut_status status;
	char text[200];
	if (hit_time_limit(job, end))
	{
		snprintf(text, sizeof text, "the run reached its time limit of %lld s",
				 (long long) job->time_limit_s);
		status = aut__verdict_timed_out(job, text, "timeout", err);
	}
	else if (end->exit_code == 0)
		status = give(job, AUT_RUN_COMPLETED, NULL, NULL, err);
	else
	{
		if (end->from_event && end->exit_code == AUT_EXIT_SETUP)
			snprintf(text, sizeof text,
					 "exit_code=%d: the run's folder could not be made under /tmp on the agent",
					 end->exit_code);
		else if (end->never_ran)
			snprintf(text, sizeof text, "exit_code=-1: the agent could not start the command");
		else
			snprintf(text, sizeof text, "exit_code=%d", end->exit_code);
		detail d = detail_now(job, "execution", "execution_error", text, "execute_in_context");
		status = give(job, AUT_RUN_FAILED, tail_text(job, text), &d, err);
	}
	if (status == AUT_OK)
	{
		job->verdict.has_exit_code = end->has_exit_code;
		job->verdict.exit_code = end->exit_code;
	}
	return status;
}

/* There is no sandbox for it. */
static aut_status
without_sandbox(aut_job *job, const aut_error *error, aut_error *err)
{
	const aut_place_trouble *trouble = &job->trouble;
	detail d = detail_now(job, "dispatch", "unknown", error->message, "get_execution_context");
	char code[40];
	size_t len;

	d.source = "sandbox_api";
	switch (trouble->kind)
	{
		case AUT_PLACE_LIMIT_RUNS:
		case AUT_PLACE_LIMIT_DAY:
			d.kind =
				trouble->kind == AUT_PLACE_LIMIT_RUNS ? "concurrency_limit" : "daily_sandbox_limit";
			d.transient = true;
			return give(job, AUT_RUN_SKIPPED, NULL, &d, err);
		case AUT_PLACE_NOT_STARTED:
			if (trouble->sandbox_status[0] == '\0')
				snprintf(code, sizeof code, "sandbox_ready_timeout");
			else
				snprintf(code, sizeof code, "sandbox_%s", trouble->sandbox_status);
			len = strlen(code);
			for (size_t i = 0; i < len; i++)
				code[i] = code[i] >= 'A' && code[i] <= 'Z' ? (char) (code[i] - 'A' + 'a') : code[i];
			d.kind = "environment_unavailable";
			d.transient = true;
			d.code = code;
			d.sandbox = trouble;
			break;
		case AUT_PLACE_LOST:
			return aut__verdict_timed_out(job, error->message, "environment_unavailable", err);
		case AUT_PLACE_ERROR:
		case AUT_PLACE_RETIRED:
			d.kind = kind_of_error(error);
			d.transient = aut_status_may_retry(error->code);
			d.status_code = error->http_status;
			if (strcmp(d.kind, "execution_error") == 0)
			{
				d.kind = "unknown";
				d.code = aut_status_name(error->code);
			}
			break;
	}
	return give(job, AUT_RUN_FAILED, aut_strdup(error->message), &d, err);
}

aut_status
aut__verdict_from_failure(aut_job *job, const aut_error *error, aut_error *err)
{
	if (job->from_step == AUT_STEP_PLACING && job->troubled)
		return without_sandbox(job, error, err);
	bool loading = job->from_step == AUT_STEP_LOADING || job->from_step == AUT_STEP_FETCHING;
	detail d =
		detail_now(job, loading ? "dispatch" : "execution", kind_of_error(error), error->message,
				   loading                              ? "prepare_tarball"
				   : job->from_step == AUT_STEP_PLACING ? "get_execution_context"
														: "execute_in_context");
	d.transient = aut_status_may_retry(error->code);
	d.status_code = error->http_status;
	bool gone = loading && error->code == AUT_ENOTFOUND;
	if (gone || (loading && error->code == AUT_EUNSUPPORTED))
	{
		d.kind = "unknown";
		d.source = "automation_service";
		d.code = gone ? "TarballNotFoundError" : "ValueError";
	}
	aut_status status = give(job, AUT_RUN_FAILED, aut_strdup(error->message), &d, err);
	/* No later run can do better, until somebody gives the automation another tarball. */
	job->verdict.broken = status == AUT_OK && gone;
	return status;
}

char *
aut__note_text(aut_job *job, const aut_error *error)
{
	int64_t now = aut__engine_now(job->engine);
	if (job->note_count == 0)
		job->note_first_us = now;
	job->note_count++;
	detail d = {.phase = "verification",
				.kind = kind_of_error(error),
				.text = error->message,
				.source = "agent_server",
				.operation = "verify",
				.transient = true,
				.status_code = error->http_status,
				.first_seen_us = job->note_first_us,
				.last_seen_us = now,
				.count = job->note_count};
	return detail_text(&d);
}
