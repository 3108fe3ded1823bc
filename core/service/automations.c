/* SPDX-License-Identifier: MIT */
/*
 * core/service/automations.c - making automations, and reading them.
 *
 * Creating checks the body (automation_form.c), then what only the database knows: a template that was
 * used already, an upload that is there and the caller's.  The schedule row is written in the same
 * transaction; a new automation fires at the first slot after now, never at a past one.
 *
 * Presets (presets.c) end here, too.  Changing and deleting stand in automation_edit.c.
 */
#include <string.h>

#include "core/service/internal.h"

#define TEMPLATE_PAGE 100

/* ---- schedule ------------------------------------------------------------------------------- */

aut_status
aut__schedule_sync(aut_call *call, const aut_automation *automation, const aut__trigger *trigger,
				   aut_error *err)
{
	aut_schedule_problem problem = AUT_SCHEDULE_OK;
	int64_t next = AUT_TIME_NONE;
	const aut_tz *tz = NULL;
	aut_status status = AUT_OK;
	aut_cron cron;

	if (strcmp(trigger->type, "cron") != 0)
		return aut_store_schedule_delete(call->db, &automation->id, err);
	if (strcmp(automation->state, "ACTIVE") == 0)
	{
		status =
			aut_schedule_check(trigger->schedule, trigger->timezone, &problem, &cron, &tz, err);
		if (status == AUT_OK)
			status = aut_cron_next(&cron, tz, call->now_us, &next, err);
		if (status == AUT_OK)
			call->effects |= AUT_EFFECT_SCHEDULE;
	}
	if (status == AUT_OK)
		status = aut_store_schedule_put(call->db, &automation->id, trigger->schedule,
										trigger->timezone, next, err);
	return status;
}

/* ---- loading -------------------------------------------------------------------------------- */

aut_status
aut__automation_load(const aut_call *call, const aut_uuid *id, aut_automation_list *out,
					 aut_error *err)
{
	aut_status status = aut_store_automation_get(call->db, &call->who->org_id, id, out, err);

	if (status == AUT_ENOTFOUND)
		return aut_fail(err, AUT_ENOTFOUND, "Automation not found");
	return status;
}

aut_status
aut_service_automation_get(aut_call *call, const aut_uuid *id, json_t **out, aut_error *err)
{
	aut_automation_list list = {0};
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK)
		status = aut__automation_load(call, id, &list, err);
	if (status == AUT_OK)
		status = aut__give(aut_automation_json(&list.items[0]), out, err);
	aut_automation_list_done(&list);
	return status;
}

/* Up to limit of the rows; total below 0: not counted. */
static json_t *
list_json(const aut_automation_list *list, int64_t limit, int64_t total)
{
	json_t *items = json_array();
	size_t count = list->count > (size_t) limit ? (size_t) limit : list->count;
	const aut_automation *last = count < list->count ? &list->items[count - 1] : NULL;
	bool good = items != NULL;

	for (size_t i = 0; good && i < count; i++)
		good = json_array_append_new(items, aut_automation_json(&list->items[i])) == 0;
	if (!good)
	{
		json_decref(items);
		items = NULL;
	}
	return aut__page_json("automations", items, total,
						  last != NULL ? aut__cursor_json('a', last->created_at, &last->id)
									   : json_null());
}

static aut_status
list_page(aut_call *call, aut_created_by by, const aut__page *page, json_t **out, aut_error *err)
{
	const aut_identity *who = call->who;
	int64_t more = 0;
	aut_automation_list list = {0};
	bool behind = page->cursor != NULL && page->cursor[0] != '\0';
	int64_t total = -1;
	aut_row_place after;
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK)
		status = aut__page_check(call, page->limit, page->offset, err);
	if (status == AUT_OK)
		more = page->limit + AUT__PAGE_MORE;
	if (status == AUT_OK && behind)
		status = aut__cursor_read(call, 'a', page->cursor, &after, err);
	if (status == AUT_OK && behind)
		status = aut_store_automation_list_after(call->db, &who->org_id, by, &who->user_id, &after,
												 more, &list, err);
	else if (status == AUT_OK)
		status =
			aut_store_automation_list(call->db, &who->org_id, by, &who->user_id, more, page->offset,
									  &list, page->cursor == NULL ? &total : NULL, err);
	if (status == AUT_OK)
		status = aut__give(list_json(&list, page->limit, total), out, err);
	aut_automation_list_done(&list);
	return status;
}

aut_status
aut_service_automation_list(aut_call *call, aut_created_by by, int64_t limit, int64_t offset,
							json_t **out, aut_error *err)
{
	return list_page(call, by, &(aut__page){limit, offset, NULL}, out, err);
}

aut_status
aut_service_automation_list_from(aut_call *call, aut_created_by by, int64_t limit,
								 const char *cursor, json_t **out, aut_error *err)
{
	return list_page(call, by, &(aut__page){limit, 0, cursor}, out, err);
}

/* As much of a name as a message shows, in whole characters. */
static int
shown(const char *name, size_t max)
{
	size_t len = strlen(name);

	return (int) (len <= max ? len : aut_utf8_boundary(name, max));
}

/* "… : <id>, <id>, …" as far as an error's message reaches. */
static aut_status
ambiguous(const char *name, const aut_automation_list *list, aut_error *err)
{
	aut_status status = AUT_EINVAL;
	aut_buf ids;

	aut_buf_init(&ids, AUT_ERROR_MESSAGE_MAX);
	for (size_t i = 0; i < list->count && ids.len < AUT_ERROR_MESSAGE_MAX / 2; i++)
	{
		char id[AUT_UUID_TEXT_MAX];

		aut_buf_printf(&ids, "%s%s", i > 0 ? ", " : "", aut_uuid_format(&list->items[i].id, id));
	}
	if (ids.status == AUT_OK)
		status =
			aut_fail(err, AUT_EINVAL, "%zu automations are named \"%.*s\"; say which by its id: %s",
					 list->count, shown(name, 80), name, ids.data);
	else
		status = aut_fail(err, AUT_ENOMEM, "out of memory for a list of automations");
	aut_buf_done(&ids);
	return status;
}

aut_status
aut_service_automation_find(aut_call *call, const char *name_or_id, aut_uuid *out, aut_error *err)
{
	aut_automation_list list = {0};
	aut_status status = aut__may_view(call, err);
	aut_uuid id;

	if (status != AUT_OK)
		return status;
	status = AUT_ENOTFOUND;
	if (aut_uuid_parse(name_or_id, strlen(name_or_id), &id))
		status = aut__automation_load(call, &id, &list, err);
	/* a name may look like an id */
	if (status == AUT_ENOTFOUND)
		status = aut_store_automation_by_name(call->db, &call->who->org_id, name_or_id, &list, err);
	if (status == AUT_OK && list.count == 0)
		status = aut_fail(err, AUT_ENOTFOUND, "Automation \"%.*s\" not found",
						  shown(name_or_id, 200), name_or_id);
	else if (status == AUT_OK && list.count > 1)
		status = ambiguous(name_or_id, &list, err);
	if (status == AUT_OK)
		*out = list.items[0].id;
	aut_automation_list_done(&list);
	return status;
}

/* ---- tarballs ------------------------------------------------------------------------------- */

aut_status
aut__tarball_check(const aut_call *call, const char *tarball_path, aut_error *err)
{
	aut_upload_list list = {0};
	const aut_upload *upload;
	aut_status status;
	aut_uuid id;

	if (strncmp(tarball_path, AUT__UPLOAD_PREFIX, strlen(AUT__UPLOAD_PREFIX)) != 0)
	{
		/* what a run downloads and executes must not come over a line anybody may change */
		if (strncmp(tarball_path, "http://", 7) == 0)
			return aut_fail(
				err, AUT_EINVAL,
				"tarball_path must be oh-internal://uploads/<uuid> or a URL with https://, "
				"s3:// or gs://");
		if (strncmp(tarball_path, "https://", 8) == 0)
			return aut__url_check(call, tarball_path, "tarball_path", err);
		return AUT_OK;
	}
	if (!aut__tarball_upload(tarball_path, &id))
		return aut_fail(
			err, AUT_EINVAL,
			"tarball_path does not name an upload; expected oh-internal://uploads/<uuid>");
	/* until the end of this transaction the janitor does not take it for unused */
	status = aut_store_upload_hold(call->db, &id, err);
	if (status == AUT_OK)
		status = aut_store_upload_get(call->db, &id, &list, err);
	if (status != AUT_OK)
		return status == AUT_ENOTFOUND ? aut_fail(err, AUT_ENOTFOUND, "Upload not found") : status;
	upload = &list.items[0];
	if (!aut_uuid_equal(&upload->org_id, &call->who->org_id) ||
		!aut_uuid_equal(&upload->user_id, &call->who->user_id))
		status = aut_fail(err, AUT_ENOTFOUND, "Upload not found");
	else if (upload->deleted_at != AUT_TIME_NONE)
		status = aut_fail(err, AUT_EBADREQ, "The upload has been deleted");
	else if (strcmp(upload->status, "COMPLETED") != 0)
		status = aut_fail(err, AUT_EBADREQ, "The upload is not complete: its status is %s",
						  upload->status);
	aut_upload_list_done(&list);
	return status;
}

/* The bytes of an upload, or where they are. */
static aut_status
upload_bytes(aut_call *call, const aut_uuid *id, aut_rows *out_data, aut_error *err)
{
	aut_status status = aut_store_upload_data(call->db, id, out_data, err);

	return status == AUT_ENOTFOUND ? aut_service_upload_place(call->db, id, &call->object, err)
								   : status;
}

aut_status
aut_service_automation_tarball(aut_call *call, const aut_uuid *id, aut_rows *out_data,
							   char **out_name, char **out_url, aut_error *err)
{
	aut_automation_list list = {0};
	const char *path;
	char *name = NULL;
	char *url = NULL;
	aut_uuid upload_id;
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK)
		status = aut__automation_load(call, id, &list, err);
	if (status != AUT_OK)
		goto out;
	path = list.items[0].tarball_path;
	if (aut__tarball_upload(path, &upload_id))
	{
		name = aut_strdup(list.items[0].name);
		status = name != NULL ? upload_bytes(call, &upload_id, out_data, err)
							  : aut_fail(err, AUT_ENOMEM, "out of memory for a file name");
		if (status == AUT_ENOTFOUND)
			status = aut_fail(err, AUT_ENOTFOUND, "The tarball of this automation is gone");
	}
	else if (strncmp(path, "https://", 8) == 0 || strncmp(path, "http://", 7) == 0)
	{
		url = aut_strdup(path);
		if (url == NULL)
			status = aut_fail(err, AUT_ENOMEM, "out of memory for a URL");
	}
	else
		status = aut_fail(err, AUT_EINVAL,
						  "The tarball of this automation cannot be downloaded from here");
	if (status == AUT_OK)
	{
		*out_name = name;
		*out_url = url;
		name = NULL;
	}
out:
	aut_free(name);
	aut_automation_list_done(&list);
	return status;
}

/* ---- templates ------------------------------------------------------------------------------ */

static bool
is_of_template(const aut_automation *automation, const char *template_id, bool *out_no_memory)
{
	json_t *metadata = NULL;
	const char *id;
	aut_status status;
	bool is;

	if (automation->preset_metadata == NULL)
		return false;
	status = aut_json_parse(automation->preset_metadata, strlen(automation->preset_metadata),
							&metadata, NULL);
	*out_no_memory = status == AUT_ENOMEM;
	id = aut_json_string(json_object_get(metadata, "template"), "id");
	is = id != NULL && strcmp(id, template_id) == 0;
	json_decref(metadata);
	return is;
}

/*
 * The oldest live automation of the org that was made from a template.  There is no index over
 * templates: they are few and used at the press of a button, so the org's automations are looked
 * through, newest first; the last match is the oldest.
 */
aut_status
aut__template_find(const aut_call *call, const json_t *template_ref, aut_uuid *out, bool *out_found,
				   aut_error *err)
{
	const char *template_id = aut_json_string(template_ref, "id");
	aut_status status = AUT_OK;
	bool no_memory = false;
	size_t count = TEMPLATE_PAGE;

	*out_found = false;
	for (int64_t offset = 0; status == AUT_OK && count == TEMPLATE_PAGE; offset += TEMPLATE_PAGE)
	{
		aut_automation_list list = {0};

		status =
			aut_store_automation_list(call->db, &call->who->org_id, AUT_CREATED_BY_ANY,
									  &call->who->user_id, TEMPLATE_PAGE, offset, &list, NULL, err);
		count = list.count;
		for (size_t i = 0; status == AUT_OK && i < count; i++)
		{
			if (is_of_template(&list.items[i], template_id, &no_memory))
			{
				*out = list.items[i].id;
				*out_found = true;
			}
			if (no_memory)
				status = aut_fail(err, AUT_ENOMEM, "out of memory while looking for a template");
		}
		aut_automation_list_done(&list);
	}
	return status;
}

/* ---- creating ------------------------------------------------------------------------------- */

/* JSON texts of one new automation. */
typedef struct texts
{
	char *trigger, *associations, *metadata;
	char profile[AUT_UUID_TEXT_MAX];
} texts;

static void
texts_done(texts *made)
{
	aut_free(made->trigger);
	aut_free(made->associations);
	aut_free(made->metadata);
}

static aut_status
texts_make(const aut__form *form, texts *out, aut_error *err)
{
	json_t *metadata = NULL;

	out->trigger = aut_json_text(form->trigger.json, NULL);
	if (form->associations != NULL)
		out->associations = aut_json_text(form->associations, NULL);
	if (form->metadata != NULL)
		out->metadata = aut_json_text(form->metadata, NULL);
	else if (form->template_ref != NULL)
	{
		metadata = json_pack("{s:O}", "template", form->template_ref);
		out->metadata = aut_json_text(metadata, NULL);
		json_decref(metadata);
	}
	aut_uuid_format(&form->agent_profile_id, out->profile);
	if (out->trigger == NULL || (form->associations != NULL && out->associations == NULL) ||
		((form->metadata != NULL || form->template_ref != NULL) && out->metadata == NULL))
		return aut_fail(err, AUT_ENOMEM, "out of memory for an automation");
	return AUT_OK;
}

aut_status
aut__automation_insert(aut_call *call, const aut__form *form, aut_uuid *out_id, aut_error *err)
{
	const char *state = aut__form_state(form);
	texts made = {0};
	aut_automation automation = {
		.org_id = call->who->org_id,
		.user_id = call->who->user_id,
		.owner = call->who->db_role,
		.name = form->name,
		.description = form->description,
		.model = form->model,
		.prompt = form->prompt,
		.trigger_type = form->trigger.type,
		.tarball_path = form->tarball_path,
		.setup_script_path = form->setup_script_path,
		.entrypoint = form->entrypoint,
		.timeout_s = form->timeout_s > 0 ? form->timeout_s : call->settings->default_run_duration,
		.has_keep_alive = form->has_keep_alive,
		.keep_alive = form->keep_alive,
		.wait_at_limit = form->wait_at_limit,
		.state = state != NULL ? state : "ACTIVE",
		.disabled_at = AUT_TIME_NONE,
		.deleted_at = AUT_TIME_NONE,
		.last_triggered_at = AUT_TIME_NONE,
		.created_at = call->now_us,
		.updated_at = call->now_us,
		.next_fire_at = AUT_TIME_NONE,
	};
	aut_status status = texts_make(form, &made, err);

	if (status == AUT_OK)
		status = aut_uuid_v4(&automation.id, err);
	if (status == AUT_OK)
	{
		automation.trigger = made.trigger;
		automation.observability_associations = made.associations;
		automation.preset_metadata = made.metadata;
		automation.agent_profile_id = form->has_agent_profile ? made.profile : NULL;
		status = aut_store_automation_insert(call->db, &automation, err);
	}
	if (status == AUT_OK && strcmp(form->trigger.type, "cron") == 0)
		status = aut__schedule_sync(call, &automation, &form->trigger, err);
	if (status == AUT_OK && form->environment != NULL)
		status = aut__environment_change(call, &automation.id, form->environment, err);
	if (status == AUT_OK)
		*out_id = automation.id;
	texts_done(&made);
	return status;
}

aut_status
aut_service_automation_create(aut_call *call, const json_t *body, json_t **out, bool *out_existing,
							  aut_error *err)
{
	aut__form form = {0};
	bool existing = false;
	aut_uuid id;
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK)
		status = aut__form_create(body, call->settings, call->who->db_role != NULL, &form,
								  &call->problems, err);
	if (status == AUT_OK && form.has_agent_profile && form.model != NULL)
		status = aut_fail(err, AUT_EINVAL, "agent_profile_id and model cannot both be set");
	if (status == AUT_OK && form.template_ref != NULL)
		status = aut__template_find(call, form.template_ref, &id, &existing, err);
	if (status == AUT_OK && !existing)
		status = aut__tarball_check(call, form.tarball_path, err);
	if (status == AUT_OK && !existing && form.has_agent_profile)
		status = aut__agent_profile_check(call, &form.agent_profile_id, err);
	else if (status == AUT_OK && !existing)
		status = aut__model_resolve(call, form.model, &form.model, err);
	if (status == AUT_OK && !existing)
		status = aut__automation_insert(call, &form, &id, err);
	if (status == AUT_OK)
		status = aut_service_automation_get(call, &id, out, err);
	if (status == AUT_OK)
		*out_existing = existing;
	aut__form_done(&form);
	return status;
}
