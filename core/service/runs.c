/* SPDX-License-Identifier: MIT */
/*
 * core/service/runs.c - starting runs by hand, looking at them, and ending them from outside.
 *
 * A run ends by one guarded statement of the store; whoever's guard holds is the one who ended it.  So
 * nothing here reads a status first and then writes: it writes, and only when that did not take reads
 * the run again to say why.  A run that was RUNNING leaves something on its backend: the statement
 * notes that clean-up is due, and the call's effects tell the door to wake the engine.
 *
 * A run is looked up with its automation, deleted or not: runs go on when their automation is deleted,
 * and must be able to report.
 */
#include <string.h>

#include "core/service/internal.h"

/* What a caller may hand to a run; it travels through an environment variable. */
#define INPUT_MAX   1048576
#define DELAY_S_MAX INT64_C(31536000)

/* ---- starting ------------------------------------------------------------------------------- */

static aut_status
options_check(const aut_trigger_options *options, aut_error *err)
{
	json_t *input = NULL;
	size_t len;
	aut_status status;

	if (options->dedupe_key != NULL)
	{
		len = aut_utf8_length(options->dedupe_key, strlen(options->dedupe_key));
		if (len < 1 || len > AUT__DEDUPE_KEY_MAX)
			return aut_fail(err, AUT_EINVAL, "dedupe_key must have 1 to %d characters",
							AUT__DEDUPE_KEY_MAX);
	}
	if (options->delay_s < 0 || options->delay_s > DELAY_S_MAX)
		return aut_fail(err, AUT_EINVAL, "delay must be 0 to %lld seconds",
						(long long) DELAY_S_MAX);
	if (options->input == NULL)
		return AUT_OK;
	len = strlen(options->input);
	if (len > INPUT_MAX)
		return aut_fail(err, AUT_ELIMIT, "input must be at most %d bytes of JSON", INPUT_MAX);
	status = aut_json_parse(options->input, len, &input, err);
	if (status != AUT_OK)
		return aut_error_context(err, "input"), status;
	json_decref(input);
	return AUT_OK;
}

/* *out_made false: the dedupe key stands for another run, which is the answer. */
static aut_status
insert(aut_call *call, const aut_uuid *automation_id, const aut_trigger_options *options,
	   aut_uuid *out_id, bool *out_made, aut_error *err)
{
	aut_run_new run = {
		.automation_id = *automation_id,
		.trigger_source = "manual",
		.scheduled_for = AUT_TIME_NONE,
		.created_at = call->now_us,
		.ready_at = call->now_us + options->delay_s * AUT_US_PER_S,
		.input = options->input,
	};
	bool made = true;
	aut_status status = aut_uuid_v7(call->now_us, &run.id, err);

	if (status == AUT_OK && options->dedupe_key != NULL)
		status = aut_store_dedupe_take(call->db, automation_id, options->dedupe_key, &run.id,
									   call->now_us, call->now_us + AUT__DEDUPE_US, &made, err);
	if (status == AUT_OK && !made)
		status = aut_store_dedupe_run(call->db, automation_id, options->dedupe_key, &run.id, err);
	else if (status == AUT_OK)
		status = aut_store_run_insert(call->db, &run, err);
	if (status == AUT_OK)
	{
		*out_id = run.id;
		*out_made = made;
	}
	return status;
}

/* The run as it is now, as JSON; for runs the caller may see. */
static aut_status
give_run(const aut_call *call, const aut_uuid *run_id, json_t **out, aut_error *err)
{
	aut_run_list list = {0};
	aut_status status = aut_store_run_get(call->db, run_id, &list, err);

	if (status == AUT_OK)
		status = aut__give(aut_run_json(&list.items[0]), out, err);
	aut_run_list_done(&list);
	return status;
}

aut_status
aut_service_trigger(aut_call *call, const aut_uuid *automation_id,
					const aut_trigger_options *options, json_t **out, aut_error *err)
{
	static const aut_trigger_options none = {0};
	aut_automation_list list = {0};
	aut_uuid run_id;
	bool run_made = false;
	aut_status status = aut__may_view(call, err);

	if (options == NULL)
		options = &none;
	if (status == AUT_OK)
		status = aut__automation_load(call, automation_id, &list, err);
	if (status == AUT_OK)
		status = aut__may_act(call, &list.items[0].user_id, err);
	if (status == AUT_OK)
		status = options_check(options, err);
	if (status == AUT_OK && strcmp(list.items[0].state, "DRAFT") == 0)
		status = aut_fail(err, AUT_ECONFLICT, "A draft automation is dispatched through its draft");
	if (status == AUT_OK)
		status = insert(call, automation_id, options, &run_id, &run_made, err);
	if (status == AUT_OK)
		status = give_run(call, &run_id, out, err);
	if (status == AUT_OK && run_made)
		call->effects |= AUT_EFFECT_RUN;
	aut_automation_list_done(&list);
	return status;
}

/* ---- lists ---------------------------------------------------------------------------------- */

/* How many of the rows belong to the page. */
static size_t
shown(const aut_run_list *list, const aut__page *page)
{
	return list->count > (size_t) page->limit ? (size_t) page->limit : list->count;
}

/* Where the next page begins, or null when there is none. */
static json_t *
next_cursor(const aut_run_list *list, const aut__page *page)
{
	const aut_run *last;

	if (list->count <= (size_t) page->limit)
		return json_null();
	last = &list->items[page->limit - 1];
	return aut__cursor_json('r', last->created_at, &last->id);
}

/* total and status_counts of a page; a page by cursor is not counted. */
static bool
set_counts(json_t *out, const int64_t *counts)
{
	json_t *by_status;
	json_int_t total = 0;
	bool good;

	if (counts == NULL)
		return aut_json_set(out, "total", json_null());
	by_status = json_object();
	good = by_status != NULL;
	for (int i = 0; good && i < AUT_RUN_STATUS_COUNT; i++)
	{
		total += counts[i];
		if (counts[i] > 0)
			good = aut_json_set(by_status, aut_run_status_name((aut_run_status) i),
								json_integer(counts[i]));
	}
	good = good && aut_json_set(out, "total", json_integer(total)) &&
		   aut_json_set(out, "status_counts", json_incref(by_status));
	json_decref(by_status);
	return good;
}

static json_t *
list_json(const aut_run_list *list, const aut__page *page, const int64_t *counts)
{
	json_t *items = json_array();
	json_t *out = json_object();
	bool good = items != NULL && out != NULL;

	for (size_t i = 0; good && i < shown(list, page); i++)
		good = json_array_append_new(items, aut_run_json(&list->items[i])) == 0;
	good = good && aut_json_set(out, "runs", json_incref(items)) && set_counts(out, counts) &&
		   aut_json_set(out, "next_cursor", next_cursor(list, page));
	json_decref(items);
	if (good)
		return out;
	json_decref(out);
	return NULL;
}

/* The page's rows and one more, of one automation, or (NULL) of all. */
static aut_status
read_page(aut_call *call, const aut_uuid *automation_id, const aut__page *page, aut_run_list *out,
		  aut_error *err)
{
	const aut_uuid *org = &call->who->org_id;
	int64_t more = page->limit + AUT__PAGE_MORE;
	aut_row_place after;
	aut_status status;

	if (page->cursor == NULL || page->cursor[0] == '\0')
	{
		if (automation_id != NULL)
			return aut_store_run_list(call->db, automation_id, more, page->offset, out, err);
		return aut_store_run_list_org(call->db, org, more, page->offset, out, err);
	}
	/* ids of runs are in the order of their making: the id alone says where */
	status = aut__cursor_read(call, 'r', page->cursor, &after, err);
	if (status != AUT_OK)
		return status;
	if (automation_id != NULL)
		return aut_store_run_list_after(call->db, automation_id, &after.id, more, out, err);
	return aut_store_run_list_org_after(call->db, org, &after.id, more, out, err);
}

static aut_status
list_page(aut_call *call, const aut_uuid *automation_id, const aut__page *page, json_t **out,
		  aut_error *err)
{
	int64_t counts[AUT_RUN_STATUS_COUNT];
	bool counted = page->cursor == NULL;
	aut_automation_list owner = {0};
	aut_run_list list = {0};
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK)
		status = aut__page_check(call, page->limit, page->offset, err);
	if (status == AUT_OK)
		status = aut__automation_load(call, automation_id, &owner, err);
	if (status == AUT_OK)
		status = read_page(call, automation_id, page, &list, err);
	if (status == AUT_OK && counted)
		status = aut_store_run_counts(call->db, automation_id, counts, err);
	if (status == AUT_OK)
		status = aut__give(list_json(&list, page, counted ? counts : NULL), out, err);
	aut_run_list_done(&list);
	aut_automation_list_done(&owner);
	return status;
}

aut_status
aut_service_run_list(aut_call *call, const aut_uuid *automation_id, int64_t limit, int64_t offset,
					 json_t **out, aut_error *err)
{
	return list_page(call, automation_id, &(aut__page){limit, offset, NULL}, out, err);
}

aut_status
aut_service_run_list_from(aut_call *call, const aut_uuid *automation_id, int64_t limit,
						  const char *cursor, json_t **out, aut_error *err)
{
	return list_page(call, automation_id, &(aut__page){limit, 0, cursor}, out, err);
}

/* The name of a run's automation, from an earlier run of the page when it is the same one. */
static json_t *
automation_name(const aut_call *call, const aut_run_list *list, const json_t *items, size_t at,
				aut_error *err)
{
	aut_automation_list owner = {0};
	json_t *name = NULL;
	aut_status status;

	for (size_t i = 0; i < at; i++)
	{
		if (aut_uuid_equal(&list->items[i].automation_id, &list->items[at].automation_id))
			return json_incref(json_object_get(json_array_get(items, i), "automation_name"));
	}
	status = aut_store_automation_get(call->db, &call->who->org_id, &list->items[at].automation_id,
									  &owner, err);
	if (status == AUT_OK)
	{
		name = aut_json_text_or_null(owner.items[0].name);
		if (name == NULL)
			aut_fail(err, AUT_ENOMEM, "out of memory for a list of runs");
	}
	else if (status == AUT_ENOTFOUND)
		name = json_null(); /* deleted between the two statements */
	aut_automation_list_done(&owner);
	return name;
}

static aut_status
list_all_page(aut_call *call, const aut__page *page, json_t **out, aut_error *err)
{
	aut_error story = AUT_ERROR_INIT;
	aut_run_list list = {0};
	json_t *items = NULL;
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK)
		status = aut__page_check(call, page->limit, page->offset, err);
	if (status == AUT_OK)
		status = read_page(call, NULL, page, &list, err);
	if (status == AUT_OK)
		status = aut__give(json_array(), &items, err);
	for (size_t i = 0; status == AUT_OK && i < shown(&list, page); i++)
	{
		json_t *run = aut_run_json(&list.items[i]);

		if (run != NULL &&
			aut_json_set(run, "automation_name", automation_name(call, &list, items, i, &story)) &&
			json_array_append(items, run) == 0)
		{
			json_decref(run);
			continue;
		}
		json_decref(run);
		if (story.code == AUT_OK || story.code == AUT_ENOTFOUND)
			aut_fail(&story, AUT_ENOMEM, "out of memory for a list of runs");
		status = story.code;
		if (err != NULL)
			*err = story;
	}
	if (status == AUT_OK)
		status = aut__give(
			json_pack("{s:O, s:o}", "runs", items, "next_cursor", next_cursor(&list, page)), out,
			err);
	json_decref(items);
	aut_run_list_done(&list);
	return status;
}

aut_status
aut_service_run_list_all(aut_call *call, int64_t limit, int64_t offset, json_t **out,
						 aut_error *err)
{
	return list_all_page(call, &(aut__page){limit, offset, NULL}, out, err);
}

aut_status
aut_service_run_list_all_from(aut_call *call, int64_t limit, const char *cursor, json_t **out,
							  aut_error *err)
{
	return list_all_page(call, &(aut__page){limit, 0, cursor}, out, err);
}

/* ---- one run -------------------------------------------------------------------------------- */

aut_status
aut__run_load(const aut_call *call, const aut_uuid *run_id, aut_run_task *out, aut_error *err)
{
	aut_status status = aut_store_run_task(call->db, run_id, out, err);

	if (status == AUT_ENOTFOUND)
		return aut_fail(err, AUT_ENOTFOUND, "Run not found");
	return status;
}

aut_status
aut_service_run_get(aut_call *call, const aut_uuid *run_id, json_t **out, aut_error *err)
{
	aut_run_task task = {0};
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK)
		status = aut__run_load(call, run_id, &task, err);
	if (status == AUT_OK && !aut_uuid_equal(&task.org_id, &call->who->org_id))
		status = aut_fail(err, AUT_ENOTFOUND, "Run not found");
	if (status == AUT_OK)
		status = aut__give(aut_run_json(&task.run), out, err);
	aut_run_task_done(&task);
	return status;
}

/* Somebody else ended the run, or it never was where the caller thought: say what it is now. */
static aut_status
lost(const aut_call *call, const aut_uuid *run_id, const char *expected, aut_error *err)
{
	aut_run_list list = {0};
	aut_status status = aut_store_run_get(call->db, run_id, &list, err);

	if (status == AUT_OK)
		status = aut_fail(err, AUT_ECONFLICT, "Run status is %s, expected %s",
						  aut_run_status_name(list.items[0].status), expected);
	aut_run_list_done(&list);
	return status;
}

static aut_status
complete(aut_call *call, const aut_run_task *task, const aut__completion *said, json_t **out,
		 aut_error *err)
{
	char *error_text = NULL;
	char *detail = NULL;
	aut_run_list ended = {0};
	aut_run_end end = {
		.id = task->run.id,
		.status = said->completed ? AUT_RUN_COMPLETED : AUT_RUN_FAILED,
		.from_running = true,
		/* a success that comes late beats our own guess that the run was lost */
		.from_timed_out = said->completed,
		.completed_at = call->now_us,
		.conversation_id = said->conversation_id,
		.has_cost = said->has_cost,
		.cost = said->cost,
		.cleanup_at = call->now_us,
	};
	aut_status status = AUT_OK;

	if (!said->completed)
		status = aut__error_text(said->error, &error_text, err);
	if (status == AUT_OK && !said->completed)
		status = aut__error_status_detail(said, error_text, task->run.status_detail, call->now_us,
										  &detail, err);
	end.error_detail = error_text;
	end.status_detail = detail;
	if (status == AUT_OK)
		status = aut_store_run_finish_get(call->db, &end, &ended, err);
	if (status == AUT_OK && ended.count == 0)
		status = lost(call, &end.id, "RUNNING", err);
	if (status == AUT_OK && !said->completed)
		status = aut_service_health_check(call->db, call->settings, &task->run.automation_id,
										  &end.id, call->now_us, err);
	if (status == AUT_OK)
		status = aut__first_run_record(call, task, said->completed ? "success" : "failure",
									   said->completed ? NULL : "execution", err);
	if (status == AUT_OK)
		status = aut__give(aut_run_json(&ended.items[0]), out, err);
	if (status == AUT_OK)
		call->effects |= AUT_EFFECT_CLEANUP;
	aut_run_list_done(&ended);
	aut_free(error_text);
	aut_free(detail);
	return status;
}

aut_status
aut_service_run_complete(aut_call *call, const aut_uuid *run_id, const json_t *body, json_t **out,
						 aut_error *err)
{
	aut__completion said = {0};
	aut_run_task task = {0};
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK)
		status = aut__form_complete(body, &said, &call->problems, err);
	if (status == AUT_OK)
		status = aut__run_load(call, run_id, &task, err);
	if (status == AUT_OK)
		status = aut__is_owner(call, &task, err);
	if (status == AUT_OK)
		status = complete(call, &task, &said, out, err);
	aut_run_task_done(&task);
	return status;
}

aut_status
aut_service_run_phase(aut_call *call, const aut_uuid *run_id, const json_t *body, json_t **out,
					  aut_error *err)
{
	aut_run_task task = {0};
	char *phase = NULL;
	bool won = false;
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK)
		status = aut__form_phase(body, &phase, &call->problems, err);
	if (status == AUT_OK)
		status = aut__run_load(call, run_id, &task, err);
	if (status == AUT_OK)
		status = aut__is_owner(call, &task, err);
	if (status == AUT_OK)
		status = aut_store_run_phase(call->db, run_id, phase, &won, err);
	if (status == AUT_OK && !won)
		status = lost(call, run_id, "PENDING or RUNNING", err);
	if (status == AUT_OK)
		status = give_run(call, run_id, out, err);
	aut_free(phase);
	aut_run_task_done(&task);
	return status;
}

aut_status
aut_service_run_cancel(aut_call *call, const aut_uuid *run_id, json_t **out, aut_error *err)
{
	aut_run_task task = {0};
	bool won = false;
	aut_run_end end = {
		.id = *run_id,
		.status = AUT_RUN_CANCELLED,
		.from_pending = true,
		.from_running = true,
		.completed_at = call->now_us,
		.error_detail = "Cancelled by user",
		.cleanup_at = call->now_us,
	};
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK)
		status = aut__run_load(call, run_id, &task, err);
	if (status == AUT_OK && !aut_uuid_equal(&task.org_id, &call->who->org_id))
		status = aut_fail(err, AUT_ENOTFOUND, "Run not found");
	if (status == AUT_OK)
		status = aut__may_act(call, &task.user_id, err);
	if (status == AUT_OK)
		status = aut_store_run_finish(call->db, &end, &won, err);
	if (status == AUT_OK && !won)
		status = lost(call, run_id, "PENDING or RUNNING", err);
	if (status == AUT_OK)
		status = give_run(call, run_id, out, err);
	if (status == AUT_OK)
		call->effects |= AUT_EFFECT_CLEANUP;
	aut_run_task_done(&task);
	return status;
}
