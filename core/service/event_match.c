/* SPDX-License-Identifier: MIT */
/*
 * core/service/event_match.c - an event and its candidates: who takes it, why the others do not, and the
 * runs that follow.
 *
 * Each candidate is judged clause by clause, in this order: is its pattern one of this key, is it on, does
 * its filter pass.  The first clause that stops it is its verdict.  A filter that fails is a verdict too:
 * what one person wrote must not keep a delivery from the others.
 *
 * Filters are asked under a budget for the whole event, because ten thousand costly ones would hold the
 * process for minutes.  While there is time each may take FILTER_TIME_US; afterwards each gets STEPS_LATE
 * steps, which is far more than a usual filter takes, so that costly neighbours do not starve it.
 *
 * Verdicts are kept as compact JSON, at most AUT_EVENT_VERDICTS_MAX of them, the most telling first;
 * how many there were of each kind is kept whole:
 *
 *     {"counts":{"filter":812,"matched":1},"list":[["<automation>","matched"],["<automation>","error","…"]]}
 */
#include <string.h>

#include "core/service/events.h"

#define FILTER_TIME_US (50 * AUT_US_PER_MS)
#define EVENT_TIME_US  (250 * AUT_US_PER_MS)
#define STEPS_LATE     2000
#define WHY_MAX        300 /* bytes of an error kept */

/* In the order in which verdicts are kept. */
typedef enum clause
{
	MATCHED,
	ERROR,
	FILTER,
	DISABLED,
	PATTERN
} clause;
#define CLAUSES 5

static const char *const clause_names[CLAUSES] = {
	[MATCHED] = "matched",   [ERROR] = "error",     [FILTER] = "filter",
	[DISABLED] = "disabled", [PATTERN] = "pattern",
};

static aut_status
no_memory(aut_error *err)
{
	return aut_fail(err, AUT_ENOMEM, "out of memory while matching an event");
}

/* ---- asking ----------------------------------------------------------------------------------- */

aut_status
aut__event_payload(const aut_event *event, const char *source, const char *body, size_t len,
				   aut_payload **out, aut_error *err)
{
	aut_payload *made = NULL;
	aut_status status;

	if (event->doc.count == 0)
		return aut_payload_from_json((json_t *) (uintptr_t) event->payload, out, err);
	/* numbers that no json_t can hold: from the text once more, behind a byte order mark */
	if (len >= 3 && memcmp(body, "\xef\xbb\xbf", 3) == 0)
	{
		body += 3;
		len -= 3;
	}
	status = aut_payload_parse(body, len, &made, err);
	if (status == AUT_OK && aut_event_is_builtin(source) && !aut_payload_enter(made, "payload"))
		status = aut_fail(err, AUT_EINTERNAL, "an event was read in two ways");
	if (status == AUT_OK)
		*out = made;
	else
		aut_payload_free(made);
	return status;
}

void
aut__filter_budget_init(aut__filter_budget *budget)
{
	budget->clock = aut_clock_system();
	budget->deadline_us = aut_mono_us(budget->clock) + EVENT_TIME_US;
}

aut_status
aut__filter_ask(const aut__filter_budget *budget, const aut_jmespath *filter,
				const aut_payload *payload, bool *out_match, aut_error *err)
{
	aut_match_options options = AUT_MATCH_OPTIONS_INIT;

	options.time_max_us = FILTER_TIME_US;
	if (aut_mono_us(budget->clock) >= budget->deadline_us)
		options.steps_max = STEPS_LATE;
	return aut_filter_match(filter, payload, &options, out_match, err);
}

/* AUT_ENOMEM is the only failure; why is filled for ERROR. */
static aut_status
judge(const aut__trigger_def *def, const char *key, const aut_payload *payload,
	  const aut__filter_budget *budget, clause *out, aut_error *why)
{
	bool passes = false;
	aut_status status;

	*out = MATCHED;
	if (!aut_pattern_match(json_object_get(def->trigger, "on"), key))
		*out = PATTERN;
	else if (!def->active)
		*out = DISABLED;
	else if (def->filter_error != NULL)
	{
		aut_fail(why, AUT_EINVAL, "%s", def->filter_error);
		*out = ERROR;
	}
	else if (def->filter != NULL)
	{
		status = aut__filter_ask(budget, def->filter, payload, &passes, why);
		if (status == AUT_ENOMEM)
			return status;
		*out = status != AUT_OK ? ERROR : passes ? MATCHED : FILTER;
	}
	return AUT_OK;
}

/* ---- verdicts --------------------------------------------------------------------------------- */

/* What the candidates came to: a clause each, and the first texts of errors. */
typedef struct verdicts
{
	unsigned char *of;
	char *why[AUT_EVENT_VERDICTS_MAX]; /* of the n-th error */
	size_t counts[CLAUSES];
} verdicts;

static void
verdicts_done(verdicts *all)
{
	aut_free(all->of);
	for (size_t i = 0; i < AUT_EVENT_VERDICTS_MAX; i++)
		aut_free(all->why[i]);
}

static aut_status
note(verdicts *all, size_t at, clause which, const aut_error *why)
{
	all->of[at] = (unsigned char) which;
	if (which == ERROR && all->counts[ERROR] < AUT_EVENT_VERDICTS_MAX)
	{
		size_t len = strlen(why->message);
		char *text;

		if (len > WHY_MAX)
			len = aut_utf8_boundary(why->message, WHY_MAX);
		text = aut_strndup(why->message, len);
		if (text == NULL)
			return AUT_ENOMEM;
		all->why[all->counts[ERROR]] = text;
	}
	all->counts[which]++;
	return AUT_OK;
}

static json_t *
one_verdict(const aut_uuid *id, clause which, const char *why)
{
	json_t *item = json_array();
	bool good = item != NULL && json_array_append_new(item, aut_json_uuid(id)) == 0 &&
				json_array_append_new(item, json_string(clause_names[which])) == 0 &&
				(why == NULL || json_array_append_new(item, aut_json_text_or_null(why)) == 0);

	if (good)
		return item;
	json_decref(item);
	return NULL;
}

static aut_status
verdicts_text(const verdicts *all, const aut__candidates *candidates, char **out, aut_error *err)
{
	json_t *counts = json_object();
	json_t *list = json_array();
	json_t *whole = NULL;
	size_t errors = 0;
	bool good = counts != NULL && list != NULL;

	for (int which = 0; which < CLAUSES; which++)
	{
		if (good && all->counts[which] > 0)
			good = aut_json_set(counts, clause_names[which],
								json_integer((json_int_t) all->counts[which]));
		for (size_t i = 0; good && all->counts[which] > 0 && i < candidates->count &&
						   json_array_size(list) < AUT_EVENT_VERDICTS_MAX;
			 i++)
		{
			if (all->of[i] == which)
				good = json_array_append_new(
						   list, one_verdict(&candidates->items[i]->automation_id, (clause) which,
											 which == ERROR ? all->why[errors++] : NULL)) == 0;
		}
	}
	if (good)
		whole = json_pack("{s:O, s:O}", "counts", counts, "list", list);
	if (whole != NULL)
		*out = aut_json_text(whole, NULL);
	json_decref(whole);
	json_decref(counts);
	json_decref(list);
	return *out != NULL ? AUT_OK : no_memory(err);
}

/* ---- matching --------------------------------------------------------------------------------- */

void
aut__matching_done(aut__matching *matching)
{
	for (size_t i = 0; i < matching->count; i++)
		aut__trigger_def_free(matching->matched[i]);
	aut_free(matching->matched);
	aut_free(matching->verdicts);
	*matching = (aut__matching){0};
}

static aut_status
judge_all(const aut__candidates *candidates, const char *key, const aut_payload *payload,
		  verdicts *all, aut_error *err)
{
	aut__filter_budget budget;
	aut_status status = AUT_OK;

	all->of = aut_calloc(candidates->count, 1);
	if (all->of == NULL)
		return no_memory(err);
	aut__filter_budget_init(&budget);
	for (size_t i = 0; status == AUT_OK && i < candidates->count; i++)
	{
		aut_error why = AUT_ERROR_INIT;
		clause which = PATTERN;

		status = judge(candidates->items[i], key, payload, &budget, &which, &why);
		if (status == AUT_OK)
			status = note(all, i, which, &why);
	}
	return status == AUT_OK ? AUT_OK : no_memory(err);
}

aut_status
aut__event_match(const aut_call *call, aut_event_cache *cache, const aut_uuid *org_id,
				 const char *source, const aut_event *event, const aut_payload *payload,
				 aut__matching *out, aut_error *err)
{
	aut__candidates candidates = {0};
	aut__matching made = {0};
	verdicts all = {0};
	aut_status status = aut__candidates_find(call->db, cache, org_id, source, event->key,
											 event->payload, &candidates, err);

	if (status == AUT_OK && candidates.count > 0)
		status = judge_all(&candidates, event->key, payload, &all, err);
	if (status == AUT_OK && all.counts[MATCHED] > 0)
	{
		made.matched = aut_calloc(all.counts[MATCHED], sizeof(aut__trigger_def *));
		if (made.matched == NULL)
			status = no_memory(err);
	}
	for (size_t i = 0; status == AUT_OK && i < candidates.count; i++)
	{
		if (all.of[i] == MATCHED)
		{
			candidates.items[i]->refs++;
			made.matched[made.count++] = candidates.items[i];
		}
	}
	made.considered = candidates.count;
	made.cut = candidates.cut;
	if (status == AUT_OK && candidates.count > 0)
		status = verdicts_text(&all, &candidates, &made.verdicts, err);
	if (status == AUT_OK)
		*out = made;
	else
		aut__matching_done(&made);
	verdicts_done(&all);
	aut__candidates_done(&candidates);
	return status;
}

/* ---- runs ------------------------------------------------------------------------------------- */

/* JSON text of the associations; NULL when the automation has none. */
static aut_status
associations_text(const aut__trigger_def *def, const aut_payload *payload, char **out,
				  aut_error *err)
{
	json_t *values = NULL;
	aut_status status;

	if (def->associations == NULL)
		return AUT_OK;
	status = aut_associations_eval(def->associations, payload, &values, err);
	if (status == AUT_OK)
	{
		*out = aut_json_text(values, NULL);
		if (*out == NULL)
			status = no_memory(err);
	}
	json_decref(values);
	return status;
}

static aut_status
start_one(aut_call *call, const aut_uuid *event_id, const aut_event *event,
		  const aut_payload *payload, const aut__trigger_def *def, bool replayed, json_t *out_ids,
		  aut_error *err)
{
	aut_run_new run = {
		.automation_id = def->automation_id,
		.trigger_source = "event",
		.scheduled_for = AUT_TIME_NONE,
		.created_at = call->now_us,
		.ready_at = call->now_us,
		.input = event->run_payload,
		.trigger_event_id = event_id,
		.replayed = replayed,
	};
	char *associations = NULL;
	char *subject = NULL;
	aut_status status = aut_uuid_v7(call->now_us, &run.id, err);

	if (status == AUT_OK && def->subject != NULL)
		status = aut_subject_key_by(def->subject, payload, &subject, err);
	if (status == AUT_OK)
		status = associations_text(def, payload, &associations, err);
	run.subject_key = subject;
	run.observability_associations = associations;
	if (status == AUT_OK)
		status = aut_store_run_insert(call->db, &run, err);
	if (status == AUT_OK && json_array_append_new(out_ids, aut_json_uuid(&run.id)) != 0)
		status = no_memory(err);
	aut_free(associations);
	aut_free(subject);
	return status;
}

aut_status
aut__event_start(aut_call *call, const aut_uuid *event_id, const aut_event *event,
				 const aut_payload *payload, const aut__matching *matching, bool replayed,
				 json_t *out_ids, aut_error *err)
{
	aut_status status = AUT_OK;

	for (size_t i = 0; status == AUT_OK && i < matching->count; i++)
		status =
			start_one(call, event_id, event, payload, matching->matched[i], replayed, out_ids, err);
	if (status == AUT_OK && matching->count > 0)
		call->effects |= AUT_EFFECT_RUN;
	return status;
}

/* ---- as clients see it ------------------------------------------------------------------------- */

json_t *
aut__event_answer(size_t matched, json_t *take_ids)
{
	json_t *ids = take_ids != NULL ? take_ids : json_array();
	json_t *out = json_object();
	bool good = aut_json_set(out, "received", json_true()) &&
				aut_json_set(out, "matched", json_integer((json_int_t) matched)) &&
				aut_json_set(out, "runs_created", json_incref(ids)) &&
				/* turns are not delivered to conversations yet */
				aut_json_set(out, "conversations_continued", json_array());

	json_decref(ids);
	if (good)
		return out;
	json_decref(out);
	return NULL;
}

/* The name of an automation; null when it is gone. */
static aut_status
name_of(const aut_call *call, const char *id_text, json_t **out, aut_error *err)
{
	aut_rows rows = {0};
	aut_status status = AUT_OK;
	aut_uuid id;

	if (aut_uuid_parse(id_text, strlen(id_text), &id))
		status = aut_store_trigger_definition(call->db, &id, &rows, err);
	if (status == AUT_OK)
		status = aut__give(
			aut_json_text_or_null(rows.count > 0 ? aut_rows_text(&rows, 0, 3) : NULL), out, err);
	aut_rows_done(&rows);
	return status;
}

static aut_status
shown_verdict(const aut_call *call, const json_t *stored, json_t *out_list, aut_error *err)
{
	const char *id = json_string_value(json_array_get(stored, 0));
	const char *which = json_string_value(json_array_get(stored, 1));
	const char *why = json_string_value(json_array_get(stored, 2));
	json_t *name = NULL;
	aut_status status;

	if (id == NULL || which == NULL)
		return aut_fail(err, AUT_ECORRUPT, "the verdicts of an event cannot be read");
	status = name_of(call, id, &name, err);
	if (status == AUT_OK &&
		json_array_append_new(out_list, json_pack("{s:s, s:o, s:s, s:s?}", "automation_id", id,
												  "automation_name", name, "verdict", which, "why",
												  why)) != 0)
		status = no_memory(err);
	return status;
}

aut_status
aut__verdicts_json(const aut_call *call, const char *stored, json_t **out_list, json_t **out_counts,
				   aut_error *err)
{
	json_t *whole = NULL;
	json_t *list = json_array();
	json_t *counts = NULL;
	aut_status status = list != NULL ? AUT_OK : no_memory(err);

	if (status == AUT_OK && stored != NULL)
		status = aut_json_parse(stored, strlen(stored), &whole, err);
	if (status == AUT_EBADREQ)
		status = aut_fail(err, AUT_ECORRUPT, "the verdicts of an event cannot be read");
	for (size_t i = 0; status == AUT_OK && i < json_array_size(json_object_get(whole, "list")); i++)
		status = shown_verdict(call, json_array_get(json_object_get(whole, "list"), i), list, err);
	if (status == AUT_OK)
	{
		counts = json_object_get(whole, "counts");
		counts = counts != NULL ? json_incref(counts) : json_object();
		if (counts == NULL)
			status = no_memory(err);
	}
	json_decref(whole);
	if (status != AUT_OK)
	{
		json_decref(list);
		return status;
	}
	*out_list = list;
	*out_counts = counts;
	return AUT_OK;
}
