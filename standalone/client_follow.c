/* SPDX-License-Identifier: MIT */
/*
 * standalone/client_follow.c - following a run: its output on stdout, its phases and its end on stderr.
 *
 * The daemon sends server-sent events (`output`, `phase`, `end`).  When the connection is lost before
 * the end - the daemon is restarted, the laptop slept - the client asks again from the byte it had
 * reached, for a bounded time: nothing is printed twice and nothing is left out, but for what the
 * server no longer keeps.  Ctrl-C leaves the run alone and says how to come back.
 */
#include <inttypes.h>
#include <poll.h>
#include <string.h>

#include "standalone/client_priv.h"

#define RETRY_MS     250
#define RETRY_FOR_US (30 * AUT_US_PER_S)

/* ---- server-sent events ------------------------------------------------------------------------------ */

void
client_sse_init(client_sse *sse,
				bool (*event_cb)(void *payload, const char *event, const char *data, size_t len),
				void *payload)
{
	memset(sse, 0, sizeof *sse);
	aut_buf_init(&sse->line, CLIENT_SSE_MAX);
	aut_buf_init(&sse->data, CLIENT_SSE_MAX);
	sse->event_cb = event_cb;
	sse->payload = payload;
}

void
client_sse_done(client_sse *sse)
{
	aut_buf_done(&sse->line);
	aut_buf_done(&sse->data);
}

/* "event: x", "data: y"; a comment (keep-alive) begins with a colon; other fields mean nothing here. */
static void
take_field(client_sse *sse)
{
	const char *line = sse->line.data;
	size_t name = strcspn(line, ":");
	const char *value = line + name + (line[name] == ':' ? 1 : 0);

	if (*value == ' ')
		value++;
	if (name == 5 && memcmp(line, "event", 5) == 0)
		(void) snprintf(sse->event, sizeof sse->event, "%s", value);
	else if (name == 4 && memcmp(line, "data", 4) == 0)
	{
		if (sse->data.len > 0)
			(void) aut_buf_putc(&sse->data, '\n');
		(void) aut_buf_puts(&sse->data, value);
	}
}

/* A line is complete; an empty one ends an event. */
static bool
take_line(client_sse *sse)
{
	bool go_on = true;

	if (sse->line.len > 0)
		take_field(sse);
	else
	{
		if (sse->data.len > 0)
			go_on = sse->event_cb(sse->payload, sse->event[0] != '\0' ? sse->event : "message",
								  sse->data.data, sse->data.len);
		aut_buf_clear(&sse->data);
		sse->event[0] = '\0';
	}
	aut_buf_clear(&sse->line);
	return go_on;
}

aut_status
client_sse_feed(client_sse *sse, const char *data, size_t len)
{
	size_t at = 0;

	while (at < len)
	{
		const char *from = data + at;
		size_t n = 0;

		if (sse->skip_newline && *from == '\n')
		{
			sse->skip_newline = false;
			at++;
			continue;
		}
		sse->skip_newline = false;
		while (at + n < len && from[n] != '\n' && from[n] != '\r')
			n++;
		(void) aut_buf_append(&sse->line, from, n);
		if (sse->line.status != AUT_OK || sse->data.status != AUT_OK)
			return sse->line.status != AUT_OK ? sse->line.status : sse->data.status;
		at += n;
		if (at == len)
			break;
		sse->skip_newline = data[at++] == '\r';
		if (!take_line(sse))
			return AUT_ECANCELED;
	}
	return AUT_OK;
}

/* ---- one followed run -------------------------------------------------------------------------------------- */

typedef struct follow
{
	client *c;
	client_sse sse;
	client_filter filter;
	aut_buf out;
	int64_t next; /* byte of the run's output to ask for */
	bool heard;   /* something came on this connection */
	bool at_line_start;
	char phase[256]; /* the last one shown */
	json_t *end;     /* the run as it ended */
	aut_status status;
	aut_error error;
} follow;

/* End the run's unfinished line before a line of ours, when both go to the same terminal. */
static void
finish_line(follow *f)
{
	aut_buf_clear(&f->out);
	(void) client_filter_end(&f->filter, &f->out);
	if (!f->at_line_start && f->c->out_terminal && f->c->err_terminal)
		(void) aut_buf_putc(&f->out, '\n');
	f->at_line_start = true;
	if (f->out.len > 0)
		(void) client_write(f->out.data, f->out.len, NULL);
}

static bool
on_output(follow *f, const json_t *event)
{
	const char *data = client_json_text(event, "data", "");
	const json_t *next = json_object_get(event, "next");
	const json_t *after = json_object_get(event, "after");
	size_t len = strlen(data);
	bool raw = f->c->args->raw || !f->c->out_terminal;

	if (json_is_integer(after) && json_integer_value(after) > f->next && !f->c->args->json)
	{
		finish_line(f);
		(void) fprintf(stderr, "(%" JSON_INTEGER_FORMAT " bytes before this are no longer kept)\n",
					   json_integer_value(after) - (json_int_t) f->next);
	}
	if (json_is_integer(next))
		f->next = json_integer_value(next);
	if (len == 0)
		return true;
	f->at_line_start = data[len - 1] == '\n';
	aut_buf_clear(&f->out);
	if (!raw && client_filter_put(&f->filter, data, len, &f->out) != AUT_OK)
		f->status = aut_fail(&f->error, f->out.status, "the output is too large to print");
	else if (raw)
		f->status = client_write(data, len, &f->error);
	else
		f->status = client_write(f->out.data, f->out.len, &f->error);
	return f->status == AUT_OK;
}

static bool
on_phase(follow *f, const json_t *event)
{
	const char *phase =
		client_json_text(event, "phase", client_json_text(event, "current_phase", ""));
	bool colour = f->c->err_colour;
	aut_buf line;

	if (*phase == '\0' || strncmp(phase, f->phase, sizeof f->phase - 1) == 0)
		return true;
	(void) snprintf(f->phase, sizeof f->phase, "%s", phase);
	finish_line(f);
	aut_buf_init(&line, 8192);
	(void) client_escape(phase, strlen(phase), &line);
	(void) fprintf(stderr, "%s\xc2\xb7 %s%s\n", colour ? client_colour_on(CLIENT_DIM) : "",
				   line.data != NULL ? line.data : "", colour ? "\x1b[0m" : "");
	aut_buf_done(&line);
	return true;
}

static bool
on_end(follow *f, const json_t *event)
{
	const json_t *run = json_object_get(event, "run");

	f->end = json_deep_copy(run != NULL ? run : event);
	if (f->end == NULL)
		f->status = aut_fail(&f->error, AUT_ENOMEM, "out of memory");
	return false;
}

/* --json: each event as one line, as it came. */
static bool
on_json(follow *f, const char *event, json_t *value)
{
	json_t *line = json_pack("{s:s, s:O}", "event", event, "data", value);
	char *text = line != NULL ? aut_json_text(line, NULL) : NULL;
	const json_t *next = json_object_get(value, "next");

	if (text == NULL)
		f->status = aut_fail(&f->error, AUT_ENOMEM, "out of memory");
	aut_buf_clear(&f->out);
	if (text != NULL)
	{
		(void) (f->c->out_terminal ? client_escape(text, strlen(text), &f->out)
								   : aut_buf_puts(&f->out, text));
		(void) aut_buf_putc(&f->out, '\n');
		f->status = f->out.status == AUT_OK
						? client_write(f->out.data, f->out.len, &f->error)
						: aut_fail(&f->error, f->out.status, "the event is too large to print");
	}
	if (json_is_integer(next))
		f->next = json_integer_value(next);
	aut_free(text);
	json_decref(line);
	return f->status == AUT_OK;
}

static bool
on_event(void *payload, const char *event, const char *data, size_t len)
{
	follow *f = payload;
	json_t *value = NULL;
	bool go_on = true;

	f->heard = true;
	f->status = aut_json_parse(data, len, &value, &f->error);
	if (f->status != AUT_OK)
		return false;
	if (f->c->args->json)
		go_on = on_json(f, event, value);
	else if (strcmp(event, "output") == 0)
		go_on = on_output(f, value);
	else if (strcmp(event, "phase") == 0)
		go_on = on_phase(f, value);
	if (go_on && strcmp(event, "end") == 0)
		go_on = on_end(f, value);
	json_decref(value);
	return go_on;
}

static bool
on_bytes(void *payload, const char *data, size_t len)
{
	follow *f = payload;
	aut_status status = client_sse_feed(&f->sse, data, len);

	if (status != AUT_OK && status != AUT_ECANCELED && f->status == AUT_OK)
		f->status = aut_fail(&f->error, status, "an event of the server is larger than %d MiB",
							 CLIENT_SSE_MAX / 1048576);
	return status == AUT_OK;
}

/* One connection: until the end of the run, an error, or the loss of the connection. */
static aut_status
connect_once(follow *f, const char *run_id, aut_error *err)
{
	char extra[64];
	char *path;
	aut_status status;

	(void) snprintf(extra, sizeof extra, "/logs?follow=true&after=%" PRId64, f->next);
	path = client_path("/v1/runs/", run_id, extra);
	if (path == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	client_sse_done(&f->sse);
	client_sse_init(&f->sse, on_event, f);
	f->heard = false;
	status = client_stream(f->c, path, on_bytes, f, err);
	aut_free(path);
	if (f->status != AUT_OK)
	{
		if (err != NULL)
			*err = f->error;
		return f->status;
	}
	if (f->end != NULL)
		return AUT_OK;
	/* ended without an `end`: the daemon is stopping */
	return status == AUT_OK ? aut_fail(err, AUT_ENET, "the connection was closed") : status;
}

/* Not the server's answer but its absence: worth another try. */
static bool
is_loss(aut_status status)
{
	return status == AUT_ENET || status == AUT_ETIMEOUT || status == AUT_EUNAVAILABLE;
}

static aut_status
follow_to_end(follow *f, const char *run_id, aut_error *err)
{
	int64_t lost_at = AUT_TIME_NONE;
	bool told = false;

	for (;;)
	{
		aut_status status = connect_once(f, run_id, err);
		int64_t now = aut_mono_us(f->c->clock);

		if (status == AUT_OK || !is_loss(status) || client_interrupted)
			return status;
		if (lost_at == AUT_TIME_NONE || f->heard)
		{
			lost_at = now;
			told = false;
		}
		if (now - lost_at > RETRY_FOR_US)
			return status;
		if (!told && now - lost_at > AUT_US_PER_S)
		{
			finish_line(f);
			(void) fprintf(stderr, "(connection lost, trying again)\n");
			told = true;
		}
		(void) poll(NULL, 0, RETRY_MS);
		f->c->exit_code = 0; /* what the lost connection had chosen */
	}
}

aut_status
client_report_end(client *c, const json_t *run, aut_error *err)
{
	const char *status = client_json_text(run, "status", "?");
	const char *detail = aut_json_string(run, "error_detail");
	const json_t *code = json_object_get(run, "exit_code");
	int64_t started = client_json_time(run, "started_at");
	int64_t ended = client_json_time(run, "completed_at");
	char took[CLIENT_TEXT_MAX];
	aut_buf line;

	aut_buf_init(&line, 65536);
	(void) aut_buf_puts(&line, "run ");
	(void) client_escape(client_json_text(run, "id", "?"), strlen(client_json_text(run, "id", "?")),
						 &line);
	(void) aut_buf_putc(&line, ' ');
	if (c->err_colour)
		(void) aut_buf_puts(&line, client_colour_on(client_status_colour(status)));
	(void) client_escape(status, strlen(status), &line);
	if (c->err_colour)
		(void) aut_buf_puts(&line, "\x1b[0m");
	if (started != AUT_TIME_NONE && ended != AUT_TIME_NONE)
		(void) aut_buf_printf(&line, " in %s", client_duration(ended - started, took));
	if (json_is_integer(code) && json_integer_value(code) != 0)
		(void) aut_buf_printf(&line, ", exit code %" JSON_INTEGER_FORMAT, json_integer_value(code));
	if (detail != NULL)
	{
		(void) aut_buf_puts(&line, ": ");
		(void) client_escape(detail, strnlen(detail, 4000), &line);
	}
	if (strcmp(status, "COMPLETED") != 0)
		c->exit_code = AUT_CLIENT_RUN_FAILED;
	if (line.status != AUT_OK)
	{
		aut_buf_done(&line);
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	}
	(void) fprintf(stderr, "%s\n", line.data);
	aut_buf_done(&line);
	return AUT_OK;
}

aut_status
client_follow(client *c, const char *run_id, aut_error *err)
{
	follow f = {.c = c, .at_line_start = true};
	aut_status status;

	aut_buf_init(&f.out, (size_t) CLIENT_SSE_MAX * 6);
	client_sse_init(&f.sse, on_event, &f);
	status = follow_to_end(&f, run_id, err);
	finish_line(&f);
	if (status == AUT_OK)
		status = client_report_end(c, f.end, err);
	else if (client_interrupted)
	{
		c->exit_code = AUT_CLIENT_INTERRUPTED;
		status = aut_fail(err, AUT_ECANCELED,
						  "stopped following; the run goes on: automation logs %.36s -f", run_id);
	}
	json_decref(f.end);
	client_sse_done(&f.sse);
	aut_buf_done(&f.out);
	return status;
}
