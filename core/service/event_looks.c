/* SPDX-License-Identifier: MIT */
/*
 * core/service/event_looks.c - looking at events that came in: lists, one of them with its verdicts and runs,
 * matching one again, and trying a filter on the newest ones.
 *
 * A body is read again from what came in, whenever somebody asks: nothing parsed is kept.  An event keeps the
 * key it was given when it came; what is matched again is matched by the automations as they are now.
 *
 * Trying a filter reads bodies, one at a time, and stops after TRY_BYTES of them: it must not keep the process
 * from its work.  It says so in `truncated`.
 */
#include <string.h>

#include "core/service/events.h"

#define TRY_DEFAULT 20
#define TRY_MAX     100
#define TRY_BYTES   ((size_t) 4 * 1024 * 1024)

static aut_status
no_memory(aut_error *err)
{
	return aut_fail(err, AUT_ENOMEM, "out of memory for an event");
}

static aut_status
load(const aut_call *call, const aut_uuid *id, aut_event_list *out, aut_error *err)
{
	aut_status status = aut_store_event_get(call->db, &call->who->org_id, id, out, err);

	if (status == AUT_ENOTFOUND)
		return aut_fail(err, AUT_ENOTFOUND, "Event not found");
	return status;
}

/* The event as it was read when it came; one that has no key gives none. */
static aut_status
read_again(const aut_event_row *row, aut_event *event, aut_payload **payload, aut_error *err)
{
	json_t *key = NULL;
	aut_status status = aut_event_read(row->source, row->body, row->body_len, event, err);

	if (status == AUT_OK && !aut_event_is_builtin(row->source) && row->event_key != NULL)
	{
		status = aut__give(aut_json_text_or_null(row->event_key), &key, err);
		if (status == AUT_OK)
			status = aut_event_set_key(event, row->source, key, err);
		json_decref(key);
	}
	if (status == AUT_OK)
		status = aut__event_payload(event, row->source, row->body, row->body_len, payload, err);
	return status;
}

/* ---- shapes ------------------------------------------------------------------------------------ */

static json_t *
event_json(const aut_event_row *row)
{
	json_t *out = json_object();
	bool good =
		aut_json_set(out, "id", aut_json_uuid(&row->id)) &&
		aut_json_set(out, "org_id", aut_json_uuid(&row->org_id)) &&
		aut_json_set(out, "source", aut_json_text_or_null(row->source)) &&
		aut_json_set(out, "provider_event_id", aut_json_text_or_null(row->provider_event_id)) &&
		aut_json_set(out, "event_key", aut_json_text_or_null(row->event_key)) &&
		aut_json_set(out, "state", json_string(aut_event_state_name(row->state))) &&
		aut_json_set(out, "why", aut_json_text_or_null(row->why)) &&
		aut_json_set(out, "matched", json_integer(row->matched_count)) &&
		aut_json_set(out, "considered", json_integer(row->considered)) &&
		aut_json_set(out, "received_at", aut_json_time(row->received_at));

	if (good)
		return out;
	json_decref(out);
	return NULL;
}

/* Stored JSON, or null. */
static aut_status
set_stored(json_t *out, const char *name, const char *text, aut_error *err)
{
	json_t *value = NULL;
	aut_status status = AUT_OK;

	if (text != NULL)
		status = aut_json_parse(text, strlen(text), &value, err);
	if (status == AUT_EBADREQ)
		status = aut_fail(err, AUT_ECORRUPT, "the %s of an event cannot be read", name);
	if (status == AUT_OK && !aut_json_set(out, name, value != NULL ? value : json_null()))
		status = no_memory(err);
	return status;
}

/* payload as it can be shown in JSON, null when the body is none; body_text then has the bytes as text. */
static aut_status
set_payload(json_t *out, const aut_event_row *row, aut_error *err)
{
	aut_event_doc doc = {0};
	json_t *text = NULL;
	aut_error why = AUT_ERROR_INIT;
	aut_status status = aut_event_doc_read(row->body, row->body_len, &doc, &why);
	const json_t *payload = doc.root;

	if (status == AUT_OK && aut_event_is_builtin(row->source))
		payload = json_object_get(doc.root, "payload");
	if (status == AUT_ENOMEM)
		return no_memory(err);
	if (status == AUT_OK && payload != NULL)
		text = json_null();
	else
	{
		aut_buf clean;

		aut_buf_init(&clean, (size_t) 3 * AUT_EVENT_BODY_MAX);
		if (aut_utf8_sanitize(&clean, row->body, row->body_len) == AUT_OK)
			text = json_stringn(clean.data != NULL ? clean.data : "", clean.len);
		aut_buf_done(&clean);
	}
	status = AUT_OK;
	if (!aut_json_set(out, "payload",
					  payload != NULL ? json_incref((json_t *) (uintptr_t) payload)
									  : json_null()) ||
		!aut_json_set(out, "body_text", json_incref(text)))
		status = no_memory(err);
	json_decref(text);
	aut_event_doc_done(&doc);
	return status;
}

static aut_status
set_verdicts(const aut_call *call, json_t *out, const aut_event_row *row, aut_error *err)
{
	json_t *list = NULL, *counts = NULL;
	aut_status status = aut__verdicts_json(call, row->verdicts, &list, &counts, err);

	if (status == AUT_OK && (!aut_json_set(out, "verdicts", json_incref(list)) ||
							 !aut_json_set(out, "verdict_counts", json_incref(counts))))
		status = no_memory(err);
	json_decref(list);
	json_decref(counts);
	return status;
}

static aut_status
set_runs(const aut_call *call, json_t *out, const aut_event_row *row, aut_error *err)
{
	aut_run_list list = {0};
	json_t *runs = json_array();
	aut_status status = aut_store_event_runs(call->db, &row->id, AUT_EVENT_RUNS_SHOWN, &list, err);
	bool good = runs != NULL;

	for (size_t i = 0; status == AUT_OK && good && i < list.count; i++)
	{
		const aut_run *run = &list.items[i];
		json_t *item = json_object();

		good = aut_json_set(item, "id", aut_json_uuid(&run->id)) &&
			   aut_json_set(item, "automation_id", aut_json_uuid(&run->automation_id)) &&
			   aut_json_set(item, "status", json_string(aut_run_status_name(run->status))) &&
			   aut_json_set(item, "subject_key", aut_json_text_or_null(run->subject_key)) &&
			   aut_json_set(item, "replayed", json_boolean(run->replayed)) &&
			   aut_json_set(item, "created_at", aut_json_time(run->created_at)) &&
			   json_array_append(runs, item) == 0;
		json_decref(item);
	}
	if (status == AUT_OK && !(good && aut_json_set(out, "runs", json_incref(runs))))
		status = no_memory(err);
	json_decref(runs);
	aut_run_list_done(&list);
	return status;
}

/* ---- list and one ------------------------------------------------------------------------------ */

static aut_status
check_wanted(aut_call *call, const aut_event_wanted *wanted, aut_error *err)
{
	static const char *const words[] = {"MATCHED", "UNMATCHED", "IGNORED", "UNPARSEABLE", NULL};
	aut__problems problems = {0};
	const char *word = NULL;
	json_t *query;

	if (wanted->state == NULL)
		return AUT_OK;
	query = json_pack("{s:o}", "state", aut_json_text_or_null(wanted->state));
	if (query == NULL)
		return no_memory(err);
	(void) aut__read_word(&problems, &AUT__QUERY, query, &(aut__rule){.name = "state"}, words,
						  &word);
	json_decref(query);
	return aut__problems_status(&problems, &call->problems, err);
}

static json_t *
list_json(const aut_event_list *list, size_t limit)
{
	json_t *items = json_array();
	size_t count = list->count > limit ? limit : list->count;
	const aut_event_row *last = count < list->count ? &list->items[count - 1] : NULL;
	bool good = items != NULL;

	for (size_t i = 0; good && i < count; i++)
		good = json_array_append_new(items, event_json(&list->items[i])) == 0;
	if (!good)
	{
		json_decref(items);
		items = NULL;
	}
	return aut__page_json("events", items, AUT__TOTAL_UNTOLD,
						  last != NULL ? aut__cursor_json('e', last->received_at, &last->id)
									   : json_null());
}

aut_status
aut_service_event_list(aut_call *call, const aut_event_wanted *wanted, int64_t limit,
					   const char *cursor, json_t **out, aut_error *err)
{
	aut_event_list list = {0};
	bool behind = cursor != NULL && cursor[0] != '\0';
	aut_row_place after;
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK)
		status = aut__page_check(call, limit, 0, err);
	if (status == AUT_OK)
		status = check_wanted(call, wanted, err);
	if (status == AUT_OK && behind)
		status = aut__cursor_read(call, 'e', cursor, &after, err);
	if (status == AUT_OK)
		status =
			aut_store_event_list(call->db, &call->who->org_id, wanted, behind ? &after.id : NULL,
								 limit + AUT__PAGE_MORE, &list, err);
	if (status == AUT_OK)
		status = aut__give(list_json(&list, (size_t) limit), out, err);
	aut_event_list_done(&list);
	return status;
}

aut_status
aut_service_event_get(aut_call *call, const aut_uuid *id, json_t **out, aut_error *err)
{
	aut_event_list list = {0};
	json_t *made = NULL;
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK)
		status = load(call, id, &list, err);
	if (status == AUT_OK)
		status = aut__give(event_json(&list.items[0]), &made, err);
	if (status == AUT_OK)
		status = set_payload(made, &list.items[0], err);
	if (status == AUT_OK)
		status = set_stored(made, "headers", list.items[0].headers, err);
	if (status == AUT_OK)
		status = set_verdicts(call, made, &list.items[0], err);
	if (status == AUT_OK)
		status = set_runs(call, made, &list.items[0], err);
	if (status == AUT_OK)
		*out = json_incref(made);
	json_decref(made);
	aut_event_list_done(&list);
	return status;
}

/* ---- replay ------------------------------------------------------------------------------------ */

static aut_status
replay(aut_call *call, aut_event_cache *cache, const aut_event_row *row, const aut_event *event,
	   const aut_payload *payload, json_t **out, aut_error *err)
{
	aut__matching matching = {0};
	aut_event_row seen = *row;
	json_t *ids = json_array();
	json_t *made = NULL;
	aut_status status = ids != NULL ? AUT_OK : no_memory(err);

	if (status == AUT_OK)
		status = aut__event_match(call, cache, &row->org_id, row->source, event, payload, &matching,
								  err);
	if (status == AUT_OK)
		status = aut__event_start(call, &row->id, event, payload, &matching, true, ids, err);
	if (status == AUT_OK)
		status = aut__give(aut__event_answer(matching.count, json_incref(ids)), &made, err);
	seen.verdicts = matching.verdicts;
	if (status == AUT_OK &&
		!(aut_json_set(made, "event_id", aut_json_uuid(&row->id)) &&
		  aut_json_set(made, "considered", json_integer((json_int_t) matching.considered))))
		status = no_memory(err);
	if (status == AUT_OK)
		status = set_verdicts(call, made, &seen, err);
	if (status == AUT_OK)
		*out = json_incref(made);
	json_decref(made);
	json_decref(ids);
	aut__matching_done(&matching);
	return status;
}

aut_status
aut_service_event_replay(aut_call *call, aut_event_cache *cache, const aut_uuid *id, json_t **out,
						 aut_error *err)
{
	aut_event_list list = {0};
	aut_event event = {0};
	aut_payload *payload = NULL;
	aut_error why = AUT_ERROR_INIT;
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK && !call->who->manage)
		status = aut_fail(err, AUT_EDENIED, "Missing permission: manage_automations");
	if (status == AUT_OK)
		status = load(call, id, &list, err);
	if (status == AUT_OK)
	{
		status = read_again(&list.items[0], &event, &payload, &why);
		if (status == AUT_EBADREQ || (status == AUT_OK && event.key == NULL))
			status = aut_fail(err, AUT_ECONFLICT, "This event cannot match anything: %s",
							  status != AUT_OK            ? why.message
							  : event.why[0] != '\0'      ? event.why
							  : list.items[0].why != NULL ? list.items[0].why
														  : "it has no key");
		else if (status != AUT_OK)
			status = aut_fail(err, status, "%s", why.message);
	}
	if (status == AUT_OK)
		status = replay(call, cache, &list.items[0], &event, payload, out, err);
	aut_payload_free(payload);
	aut_event_done(&event);
	aut_event_list_done(&list);
	return status;
}

/* ---- trying a filter ---------------------------------------------------------------------------- */

typedef struct trial
{
	const char *source, *filter;
	const json_t *on; /* NULL: any key */
	int64_t limit;
	aut_jmespath *expr; /* NULL: no filter */
} trial;

static aut_status
trial_read(aut_call *call, const json_t *body, trial *out, aut_error *err)
{
	static const char *const known[] = {"source", "on", "filter", "limit", NULL};
	static const aut__rule source = {.name = "source", .nullable = true, .min = 1, .max = 255};
	aut__loc at = {&AUT__BODY, "limit", 0};
	aut__problems problems = {0};

	out->limit = TRY_DEFAULT;
	if (aut__is_object(&problems, &AUT__BODY, body))
	{
		(void) aut__read_text(&problems, &AUT__BODY, body, &source, &out->source);
		if (!json_is_null(json_object_get(body, "on")) && json_object_get(body, "on") != NULL)
			(void) aut__patterns_check(&problems, &AUT__BODY, body, &out->on);
		(void) aut__expression_check(&problems, &AUT__BODY, body, "filter", &out->filter);
		if (aut__read_int(&problems, &AUT__BODY, body,
						  &(aut__rule){.name = "limit", .nullable = true},
						  &out->limit) == AUT__VALUE &&
			(out->limit < 1 || out->limit > TRY_MAX))
			aut__problem_value(&problems, &at, json_object_get(body, "limit"),
							   "limit must be 1 to %d", TRY_MAX);
		aut__refuse_others(&problems, &AUT__BODY, body, known);
	}
	return aut__problems_status(&problems, &call->problems, err);
}

/* Would it pass?  why stays empty when it would.  AUT_ENOMEM is the only failure. */
static aut_status
try_event(const trial *t, const aut__filter_budget *budget, const aut_event_row *row,
		  bool *out_match, aut_error *why)
{
	aut_event event = {0};
	aut_payload *payload = NULL;
	bool match = false;
	aut_status status = read_again(row, &event, &payload, why);

	if (status == AUT_OK && event.key == NULL)
		status = aut_fail(why, AUT_EINVAL, "%s",
						  event.why[0] != '\0' ? event.why
						  : row->why != NULL   ? row->why
											   : "it has no key");
	if (status == AUT_OK && t->on != NULL && !aut_pattern_match(t->on, event.key))
		status = aut_fail(why, AUT_EINVAL, "the pattern is another");
	if (status == AUT_OK && t->expr == NULL)
		match = true;
	else if (status == AUT_OK)
		status = aut__filter_ask(budget, t->expr, payload, &match, why);
	if (status == AUT_OK && !match)
		aut_fail(why, AUT_EINVAL, "the filter is not true");
	aut_payload_free(payload);
	aut_event_done(&event);
	if (status == AUT_ENOMEM)
		return status;
	*out_match = status == AUT_OK && match;
	return AUT_OK;
}

static json_t *
tried_json(const aut_event_row *row, bool match, const aut_error *why)
{
	json_t *out = json_object();
	bool good = aut_json_set(out, "id", aut_json_uuid(&row->id)) &&
				aut_json_set(out, "source", aut_json_text_or_null(row->source)) &&
				aut_json_set(out, "event_key", aut_json_text_or_null(row->event_key)) &&
				aut_json_set(out, "received_at", aut_json_time(row->received_at)) &&
				aut_json_set(out, "matched", json_boolean(match)) &&
				aut_json_set(out, "why", match ? json_null() : aut_json_text_or_null(why->message));

	if (good)
		return out;
	json_decref(out);
	return NULL;
}

/* Each of the events with what the filter says. */
static aut_status
try_all(const aut_call *call, const trial *t, const aut_event_list *newest, json_t *tried,
		json_int_t *out_matched, bool *out_truncated, aut_error *err)
{
	aut__filter_budget budget;
	size_t bytes = 0;
	aut_status status = AUT_OK;

	aut__filter_budget_init(&budget);
	for (size_t i = 0; status == AUT_OK && i < newest->count && !*out_truncated; i++)
	{
		aut_event_list one = {0};
		aut_error why = AUT_ERROR_INIT;
		bool match = false;

		status = aut_store_event_get(call->db, &call->who->org_id, &newest->items[i].id, &one, err);
		if (status != AUT_OK)
			return status;
		bytes += one.items[0].body_len;
		*out_truncated = i > 0 && bytes > TRY_BYTES;
		if (!*out_truncated)
		{
			status = try_event(t, &budget, &one.items[0], &match, &why);
			if (status != AUT_OK ||
				json_array_append_new(tried, tried_json(&one.items[0], match, &why)) != 0)
				status = no_memory(err);
			*out_matched += match;
		}
		aut_event_list_done(&one);
	}
	return status;
}

aut_status
aut_service_event_test_filter(aut_call *call, const json_t *body, json_t **out, aut_error *err)
{
	trial t = {.limit = 0};
	aut_event_wanted wanted = {NULL, NULL, NULL};
	aut_event_list newest = {0};
	json_t *tried = NULL;
	json_int_t matched = 0;
	bool truncated = false;
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK)
		status = trial_read(call, body, &t, err);
	if (status == AUT_OK && t.filter != NULL && t.filter[0] != '\0')
		status = aut_jmespath_compile(t.filter, strlen(t.filter), &t.expr, err);
	wanted.source = t.source;
	if (status == AUT_OK)
		status = aut_store_event_list(call->db, &call->who->org_id, &wanted, NULL, t.limit, &newest,
									  err);
	if (status == AUT_OK)
		status = aut__give(json_array(), &tried, err);
	if (status == AUT_OK)
		status = try_all(call, &t, &newest, tried, &matched, &truncated, err);
	if (status == AUT_OK)
		status = aut__give(json_pack("{s:I, s:I, s:b, s:O}", "considered",
									 (json_int_t) json_array_size(tried), "matched", matched,
									 "truncated", (int) truncated, "events", tried),
						   out, err);
	json_decref(tried);
	aut_jmespath_free(t.expr);
	aut_event_list_done(&newest);
	return status;
}
