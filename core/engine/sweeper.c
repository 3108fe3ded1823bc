/* SPDX-License-Identifier: MIT */
/*
 * core/engine/sweeper.c - removes work folders that runs left on a standing agent, by age: of runs that
 * were kept alive, whose clean-up failed, or that nobody knows any more.
 *
 *   resting ──due──▶ listing ──names──▶ listed ──unit──▶ checking ──▶ checked ──▶ removing ──▶ over
 *      ▲  an hour; ten minutes after a failure; a minute when there was more than one scan may take  │
 *      └─────────────────────────────────────────────────────────────────────────────────────────────┘
 *
 * A folder goes when nothing in it has changed for workspace_retention_seconds and its run ended longer
 * ago than that (or has no row), has no clean-up to come and is not held here.  At most 50 a scan.  What
 * the agent says is only believed to be names; what is done to them stands in core/backend/agent_sweep.c.
 */
#include <stddef.h>
#include <string.h>

#include "core/engine/engine_internal.h"

#define FIRST_SCAN_MS 120000
#define MORE_PAUSE_MS 60000
#define FAIL_PAUSE_MS 600000
#define REST_PAUSE_MS 3600000

typedef enum stage
{
	RESTING,
	LISTING,
	LISTED,
	CHECKING,
	CHECKED,
	REMOVING,
	OVER
} stage;

typedef struct sweeper
{
	aut_unit unit;
	aut_engine *engine;
	stage at;
	aut_place place;
	aut_agent *agent;
	int64_t before; /* unchanged since */
	aut_uuid named[AUT_SWEEP_LIST_MAX];
	size_t named_count;
	aut_uuid doomed[AUT_SWEEP_REMOVE_MAX];
	size_t doomed_count;
	int64_t pause_ms; /* after this scan */
} sweeper;

/* ---- the agent's answers: only recorded ------------------------------------------------------- */

static void
went_wrong(sweeper *s, const char *what, const aut_error *error)
{
	aut_log(AUT_LOG_WARNING, "%s: %s", what, error->message);
	s->pause_ms = FAIL_PAUSE_MS;
	s->at = OVER;
	aut_loop_wake(s->engine->options.loop);
}

static void
listed(void *payload, const aut_agent_answer *answer)
{
	sweeper *s = payload;

	if (answer->result != AUT_AGENT_DONE)
	{
		went_wrong(s, "looking for old work folders", &answer->error);
		return;
	}
	s->named_count = 0;
	for (const char *line = answer->data; line != NULL && s->named_count < AUT_SWEEP_LIST_MAX;)
	{
		const char *end = strchr(line, '\n');
		size_t len = end != NULL ? (size_t) (end - line) : strlen(line);

		if (len > 2 && line[0] == '.' && line[1] == '/' &&
			aut_sweep_name(line + 2, len - 2, &s->named[s->named_count]))
			s->named_count++;
		line = end != NULL ? end + 1 : NULL;
	}
	s->at = s->named_count > 0 ? LISTED : OVER;
	aut_loop_wake(s->engine->options.loop);
}

static void
removed(void *payload, const aut_agent_answer *answer)
{
	sweeper *s = payload;
	size_t len = answer->len;
	char text[24];
	int64_t count = 0;

	if (answer->result != AUT_AGENT_DONE)
	{
		went_wrong(s, "removing old work folders", &answer->error);
		return;
	}
	while (len > 0 && answer->data[len - 1] == '\n')
		len--;
	if (len < sizeof text)
	{
		memcpy(text, answer->data, len);
		text[len] = '\0';
		if (!aut_int_parse(text, 0, AUT_SWEEP_REMOVE_MAX, &count))
			count = 0;
	}
	if (count > 0)
		aut_log(AUT_LOG_INFO, "%lld old work folders of runs were removed", (long long) count);
	s->engine->stats.swept += (uint64_t) count;
	/* The others cannot be removed, or live: no hurry then. */
	if (count == AUT_SWEEP_REMOVE_MAX)
		s->pause_ms = MORE_PAUSE_MS;
	s->at = OVER;
	aut_loop_wake(s->engine->options.loop);
}

/* ---- whose folders are they? --------------------------------------------------------------------- */

static aut_status
may_go(sweeper *s, aut_db *db, const aut_uuid *id, bool *out, aut_error *err)
{
	aut_run_list list = {0};
	aut_status status;

	*out = false;
	if (aut__job_find(s->engine, id) != NULL)
		return AUT_OK;
	status = aut_store_run_get(db, id, &list, err);
	if (status == AUT_ENOTFOUND)
	{
		*out = true;
		return AUT_OK;
	}
	if (status == AUT_OK)
	{
		const aut_run *run = &list.items[0];

		*out = aut_run_status_terminal(run->status) && run->cleanup_at == AUT_TIME_NONE &&
			   run->completed_at != AUT_TIME_NONE && run->completed_at < s->before;
	}
	aut_run_list_done(&list);
	return status;
}

static aut_status
check_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	sweeper *s = (sweeper *) (void *) ((char *) unit - offsetof(sweeper, unit));
	aut_status status = AUT_OK;

	s->doomed_count = 0;
	for (size_t i = 0;
		 status == AUT_OK && i < s->named_count && s->doomed_count < AUT_SWEEP_REMOVE_MAX; i++)
	{
		bool goes = false;

		status = may_go(s, db, &s->named[i], &goes, err);
		if (status == AUT_OK && goes)
			s->doomed[s->doomed_count++] = s->named[i];
	}
	return status;
}

static void
check_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	sweeper *s = (sweeper *) (void *) ((char *) unit - offsetof(sweeper, unit));

	s->engine->units_in_flight--;
	if (status != AUT_OK)
	{
		aut__engine_db_trouble(s->engine, "asking whose work folders are old", err);
		s->pause_ms = FAIL_PAUSE_MS;
		s->at = OVER;
	}
	else
		s->at = s->doomed_count > 0 ? CHECKED : OVER;
	aut_loop_wake(s->engine->options.loop);
}

/* ---- steps ------------------------------------------------------------------------------------- */

static aut_status
begin(sweeper *s, aut_error *err)
{
	const aut_engine_options *o = &s->engine->options;
	aut_backend *backend = o->backend;
	aut_status status = AUT_ENOTFOUND;

	if (o->settings->workspace_retention_seconds > 0 && backend != NULL &&
		backend->ops->standing != NULL && backend->ops->ready(backend, NULL))
		status = backend->ops->standing(backend, &s->place, err);
	if (status == AUT_OK)
		status = aut_agent_new(o->loop, o->http, &s->place, &AUT_UUID_NIL, 0, &s->agent, err);
	if (status == AUT_OK)
	{
		s->before =
			aut__engine_now(s->engine) - o->settings->workspace_retention_seconds * AUT_US_PER_S;
		s->pause_ms = REST_PAUSE_MS;
		s->at = LISTING; /* before the call: it may answer at once */
		status = aut_agent_list_work(s->agent, s->before, listed, s, err);
	}
	return status;
}

static void
rest(sweeper *s)
{
	aut_agent_free(s->agent);
	s->agent = NULL;
	aut_place_done(&s->place);
	s->at = RESTING;
	s->engine->sweep_due_mono_us = aut__engine_mono(s->engine) + s->pause_ms * AUT_US_PER_MS;
}

void
aut__sweeper_step(aut_engine *engine)
{
	sweeper *s = engine->sweeper;
	aut_error err = AUT_ERROR_INIT;
	aut_status status = AUT_OK;

	switch (s->at)
	{
		case RESTING:
			if (aut__engine_mono(engine) < engine->sweep_due_mono_us)
				break;
			engine->sweep_due_mono_us = AUT_TIME_MAX;
			s->pause_ms = FAIL_PAUSE_MS;
			status = begin(s, &err);
			break;
		case LISTED:
			s->at = CHECKING;
			engine->units_in_flight++;
			aut_turn_add(engine->options.turn, &s->unit);
			break;
		case CHECKED:
			s->at = REMOVING;
			status = aut_agent_remove_work(s->agent, s->doomed, s->doomed_count, s->before, removed,
										   s, &err);
			break;
		case LISTING:
		case CHECKING:
		case REMOVING:
		case OVER:
			break;
	}
	if (status != AUT_OK && status != AUT_ENOTFOUND)
		aut_log(AUT_LOG_WARNING, "old work folders: %s", err.message);
	if (status != AUT_OK || s->at == OVER)
		rest(s);
}

aut_status
aut__sweeper_init(aut_engine *engine, aut_error *err)
{
	engine->sweeper = aut_calloc(1, sizeof *engine->sweeper);
	if (engine->sweeper == NULL)
		return aut_fail(err, AUT_ENOMEM, "no memory for the sweeper");
	engine->sweeper->engine = engine;
	engine->sweeper->unit = (aut_unit){.run = check_run, .done = check_done};
	engine->sweep_due_mono_us = aut__engine_mono(engine) + FIRST_SCAN_MS * AUT_US_PER_MS;
	return AUT_OK;
}

void
aut__sweeper_done(aut_engine *engine)
{
	if (engine->sweeper == NULL)
		return;
	aut_agent_free(engine->sweeper->agent);
	aut_place_done(&engine->sweeper->place);
	aut_free(engine->sweeper);
}
