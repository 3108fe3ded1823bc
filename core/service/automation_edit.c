/* SPDX-License-Identifier: MIT */
/*
 * core/service/automation_edit.c - changing and deleting automations.
 *
 * The rules of PATCH come in the contract's order (http-api.md section 6), each a small function over
 * the automation as it will be.  Two orders matter beyond that:
 *
 * The schedule row is written before pending runs are skipped.  In PostgreSQL a fire that is under way
 * holds that row; writing it waits for the fire's commit, and the skipping that follows sees its run.
 * The other way round a run could slip through.
 *
 * Enabling, or editing the schedule, computes the next fire from now: a slot that passed while the
 * automation was off is not made up for.
 */
#include <string.h>

#include "core/service/preset.h"

#define DETAIL_MANUAL "{\"reason\":\"manual\",\"source\":\"user\"}"
#define DETAIL_DELETE "{\"reason\":\"manual_delete\",\"source\":\"user\"}"

/* One change under way. */
typedef struct edit
{
	aut_call *call;
	aut__form form;
	aut_automation_list before; /* as it is */
	aut__trigger trigger;       /* as it is stored */
	aut_automation after;       /* as it will be; borrows from all of the others */
	char *trigger_text, *associations_text, *off_detail;
	char *preset_path, *preset_metadata; /* of a preset that was packed anew */
	char profile[AUT_UUID_TEXT_MAX];
	bool switched_off; /* was ACTIVE and will not be */
	bool reschedule;
} edit;

static void
edit_done(edit *e)
{
	aut__form_done(&e->form);
	aut__trigger_done(&e->trigger);
	aut_automation_list_done(&e->before);
	aut_free(e->trigger_text);
	aut_free(e->associations_text);
	aut_free(e->off_detail);
	aut_free(e->preset_path);
	aut_free(e->preset_metadata);
}

/* ---- rules, in order ------------------------------------------------------------------------ */

/* Level E: others than the creator may only switch off. */
static aut_status
may_edit(const edit *e, aut_error *err)
{
	const aut_uuid *creator = &e->after.user_id;
	const char *state = aut__form_state(&e->form);
	bool only_state = (e->form.given & ~(unsigned) (AUT__F_ENABLED | AUT__F_STATE)) == 0;
	aut_status status = aut__may_act(e->call, creator, err);

	if (status != AUT_OK || aut_uuid_equal(&e->call->who->user_id, creator))
		return status;
	if (only_state && state != NULL && strcmp(state, "INACTIVE") == 0)
		return AUT_OK;
	return aut_fail(
		err, AUT_EDENIED,
		"Only the creator of this automation may change it; others may only switch it off");
}

/* Members that an automation cannot be without. */
static aut_status
refuse_nulls(const edit *e, aut_error *err)
{
	static const char want[] = "Input should not be null";
	aut__problems problems = {0};
	unsigned given = e->form.given;
	aut__loc name = {&AUT__BODY, "name", 0};
	aut__loc trigger = {&AUT__BODY, "trigger", 0};
	aut__loc tarball = {&AUT__BODY, "tarball_path", 0};
	aut__loc entrypoint = {&AUT__BODY, "entrypoint", 0};
	aut__loc enabled = {&AUT__BODY, "enabled", 0};

	if ((given & AUT__F_NAME) != 0 && e->form.name == NULL)
		aut__problem(&problems, &name, "string_type", NULL, NULL, want);
	if ((given & AUT__F_TRIGGER) != 0 && e->form.trigger.json == NULL)
		aut__problem(&problems, &trigger, "model_type", NULL, NULL, want);
	if ((given & AUT__F_TARBALL) != 0 && e->form.tarball_path == NULL)
		aut__problem(&problems, &tarball, "string_type", NULL, NULL, want);
	if ((given & AUT__F_ENTRYPOINT) != 0 && e->form.entrypoint == NULL)
		aut__problem(&problems, &entrypoint, "string_type", NULL, NULL, want);
	if ((given & AUT__F_ENABLED) != 0 && !e->form.has_enabled && e->form.state == NULL)
		aut__problem(&problems, &enabled, "bool_type", NULL, NULL, want);
	return aut__problems_status(&problems, &e->call->problems, err);
}

static aut_status
plugin_rule(const edit *e, aut_error *err)
{
	/* sorted, as they are named in the message */
	static const struct
	{
		unsigned bit;
		const char *name;
	} others[] = {{AUT__F_AGENT_PROFILE, "agent_profile_id"},
				  {AUT__F_ENTRYPOINT, "entrypoint"},
				  {AUT__F_MODEL, "model"},
				  {AUT__F_PROMPT, "prompt"},
				  {AUT__F_SETUP, "setup_script_path"},
				  {AUT__F_TARBALL, "tarball_path"}};
	char names[120] = "";
	size_t used = 0;

	if ((e->form.given & AUT__F_PLUGIN) == 0)
		return AUT_OK;
	if (e->form.plugin == NULL)
		return aut_fail(err, AUT_EINVAL, "plugin cannot be null");
	if (e->after.plugin_spec == NULL || strcmp(e->after.tarball_path, "plugin-spec://runtime") != 0)
		return aut_fail(err, AUT_EINVAL, "plugin can only be set on plugin-spec automations");
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
	{
		if ((e->form.given & others[i].bit) != 0)
			used += (size_t) snprintf(names + used, sizeof names - used, "%s%s",
									  used > 0 ? ", " : "", others[i].name);
	}
	if (used > 0)
		return aut_fail(err, AUT_EINVAL, "plugin cannot be combined with %s", names);
	return aut_fail(err, AUT_EUNSUPPORTED,
					"plugin-spec automations are not supported in this version");
}

#define NOTE_MAX 1000

/* disabled_detail of one that a person switches off, with the person's words where there are any. */
static aut_status
switched_off_detail(edit *e, aut_error *err)
{
	const char *note = e->call->note;
	json_t *detail;

	e->after.disabled_detail = DETAIL_MANUAL;
	if (note == NULL || note[0] == '\0')
		return AUT_OK;
	if (aut_utf8_length(note, strlen(note)) > NOTE_MAX)
		return aut_fail(err, AUT_EINVAL, "note must have at most %d characters", NOTE_MAX);
	detail = json_pack("{s:s, s:s, s:s}", "reason", "manual", "source", "user", "note", note);
	if (detail != NULL)
		e->off_detail = aut_json_text(detail, NULL);
	json_decref(detail);
	if (e->off_detail == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for an automation");
	e->after.disabled_detail = e->off_detail;
	return AUT_OK;
}

static aut_status
state_rule(edit *e, aut_error *err)
{
	const char *state = aut__form_state(&e->form);
	bool was_active = strcmp(e->after.state, "ACTIVE") == 0;
	aut_status status = AUT_OK;

	if (state == NULL)
		return AUT_OK;
	if (strcmp(e->after.state, "DRAFT") == 0)
		return aut_fail(err, AUT_ECONFLICT, "The state of a draft automation cannot be changed");
	if (strcmp(state, "ACTIVE") == 0)
	{
		e->after.disabled_reason = NULL;
		e->after.disabled_detail = NULL;
		e->after.disabled_at = AUT_TIME_NONE;
	}
	else if (was_active)
	{
		e->switched_off = true;
		e->after.disabled_reason = "manual";
		status = switched_off_detail(e, err);
		e->after.disabled_at = e->call->now_us;
	}
	if (strcmp(state, e->after.state) != 0)
		e->reschedule = true;
	e->after.state = state;
	return status;
}

/* On the merged view: a conversation that goes on needs its place to stay. */
static aut_status
keep_alive_rule(edit *e, aut_error *err)
{
	bool continues =
		e->form.trigger.json != NULL ? e->form.trigger.continues : e->trigger.continues;

	if ((e->form.given & AUT__F_KEEP_ALIVE) != 0)
	{
		e->after.has_keep_alive = e->form.has_keep_alive;
		e->after.keep_alive = e->form.keep_alive;
	}
	if ((e->form.given & AUT__F_WAIT_AT_LIMIT) != 0)
		e->after.wait_at_limit = e->form.wait_at_limit;
	if (!continues)
		return AUT_OK;
	if (e->after.has_keep_alive && !e->after.keep_alive)
		return aut_fail(err, AUT_EBADREQ,
						"keep_alive must not be false when the trigger's destination is "
						"continue_conversation");
	e->after.has_keep_alive = true;
	e->after.keep_alive = true;
	return AUT_OK;
}

/* A profile and a model exclude each other: choosing one drops the other. */
static aut_status
model_rule(edit *e, aut_error *err)
{
	const aut__form *form = &e->form;
	const char *model = NULL;
	aut_status status = AUT_OK;

	if (form->has_agent_profile && form->model != NULL)
		return aut_fail(err, AUT_EINVAL, "agent_profile_id and model cannot both be set");
	if (form->has_agent_profile)
		status = aut__agent_profile_check(e->call, &form->agent_profile_id, err);
	else if ((form->given & AUT__F_MODEL) != 0)
		status = aut__model_resolve(e->call, form->model, &model, err);
	if (status != AUT_OK)
		return status;
	if ((form->given & AUT__F_AGENT_PROFILE) != 0)
		e->after.agent_profile_id =
			form->has_agent_profile ? aut_uuid_format(&form->agent_profile_id, e->profile) : NULL;
	if ((form->given & AUT__F_MODEL) != 0)
		e->after.model = model;
	if (form->has_agent_profile)
		e->after.model = NULL;
	else if (form->model != NULL)
		e->after.agent_profile_id = NULL;
	return AUT_OK;
}

/* A new tarball passes the rules of a first one, else anybody's upload could be read by way of it. */
static aut_status
tarball_rule(const edit *e, aut_error *err)
{
	const char *path = e->form.tarball_path;

	if (path == NULL || strcmp(path, e->after.tarball_path) == 0)
		return AUT_OK;
	return aut__tarball_check(e->call, path, err);
}

static aut_status
plain_members(edit *e, aut_error *err)
{
	const aut__form *form = &e->form;
	bool good = true;

	if ((form->given & AUT__F_NAME) != 0)
		e->after.name = form->name;
	if ((form->given & AUT__F_DESCRIPTION) != 0)
		e->after.description = form->description;
	if ((form->given & AUT__F_PROMPT) != 0)
		e->after.prompt = form->prompt;
	if ((form->given & AUT__F_TARBALL) != 0)
		e->after.tarball_path = form->tarball_path;
	if ((form->given & AUT__F_SETUP) != 0)
		e->after.setup_script_path = form->setup_script_path;
	if ((form->given & AUT__F_ENTRYPOINT) != 0)
		e->after.entrypoint = form->entrypoint;
	if ((form->given & AUT__F_TIMEOUT) != 0)
		e->after.timeout_s = form->timeout_s;
	if ((form->given & AUT__F_ASSOCIATIONS) != 0)
	{
		if (form->associations != NULL)
			e->associations_text = aut_json_text(form->associations, NULL);
		good = form->associations == NULL || e->associations_text != NULL;
		e->after.observability_associations = e->associations_text;
	}
	if (form->trigger.json != NULL && !json_equal(form->trigger.json, e->trigger.json))
	{
		e->trigger_text = aut_json_text(form->trigger.json, NULL);
		good = good && e->trigger_text != NULL;
		e->after.trigger = e->trigger_text;
		e->after.trigger_type = form->trigger.type;
		e->reschedule = true;
	}
	return good ? AUT_OK : aut_fail(err, AUT_ENOMEM, "out of memory for an automation");
}

/* Another prompt, or other repositories, are another tarball. */
static aut_status
preset_rule(edit *e, aut_error *err)
{
	aut_status status = aut__preset_edit(e->call, &e->form, &e->before.items[0], &e->preset_path,
										 &e->preset_metadata, err);

	if (e->preset_path != NULL)
		e->after.tarball_path = e->preset_path;
	if (e->preset_metadata != NULL)
		e->after.preset_metadata = e->preset_metadata;
	return status;
}

/* The upload that nothing names any more; one that is gone already is gone. */
static aut_status
drop_old_tarball(const edit *e, aut_error *err)
{
	aut_status status = AUT_OK;
	aut_uuid id;

	if (e->preset_path != NULL && aut__tarball_upload(e->before.items[0].tarball_path, &id))
		status = aut_service_upload_delete(e->call, &id, err);
	return status == AUT_ENOTFOUND ? AUT_OK : status;
}

/* ---- writing -------------------------------------------------------------------------------- */

/* SQL in place of a program, or the other way round: waiting runs are executed by somebody else. */
static aut_status
pass_waiting_runs(const edit *e, aut_error *err)
{
	bool was = strcmp(e->before.items[0].tarball_path, AUT_TARBALL_INLINE) == 0;
	bool is = strcmp(e->after.tarball_path, AUT_TARBALL_INLINE) == 0;

	if (was == is)
		return AUT_OK;
	e->call->effects |= AUT_EFFECT_RUN;
	return aut_store_run_inline(e->call->db, &e->after.id, is, err);
}

static aut_status
write_edit(edit *e, aut_error *err)
{
	const aut__trigger *trigger = e->form.trigger.json != NULL ? &e->form.trigger : &e->trigger;
	int64_t last = e->before.items[0].last_triggered_at;
	aut_db *db = e->call->db;
	aut_status status = AUT_OK;

	/* The schedule row knows when it last fired; when it goes, the automation has to remember. */
	if (e->reschedule && strcmp(trigger->type, "cron") != 0 && last != AUT_TIME_NONE)
		status = aut_store_automation_triggered(db, &e->after.id, last, err);
	if (status == AUT_OK && e->reschedule)
		status = aut__schedule_sync(e->call, &e->after, trigger, err);
	if (status == AUT_OK)
		status = aut_store_automation_update(db, &e->after, err);
	if (status == AUT_OK)
		status = pass_waiting_runs(e, err);
	if (status == AUT_OK)
		status = drop_old_tarball(e, err);
	if (status == AUT_OK && (e->form.given & AUT__F_ENVIRONMENT) != 0)
		status = aut__environment_change(e->call, &e->after.id, e->form.environment, err);
	if (status == AUT_OK && e->switched_off)
		status = aut__disable_event(db, &e->after.id, NULL, e->after.disabled_reason,
									e->after.disabled_detail, "manual", e->call->now_us, err);
	if (status == AUT_OK && e->switched_off)
		status = aut__skip_pending(db, &e->after.id, false, e->call->now_us,
								   e->after.disabled_detail, err);
	return status;
}

static aut_status
apply_rules(edit *e, aut_error *err)
{
	aut_status status = may_edit(e, err);

	if (status == AUT_OK)
		status = refuse_nulls(e, err);
	if (status == AUT_OK)
		status = aut__preset_check(&e->form, &e->after, err);
	if (status == AUT_OK)
		status = plugin_rule(e, err);
	if (status == AUT_OK)
		status = state_rule(e, err);
	if (status == AUT_OK)
		status = keep_alive_rule(e, err);
	if (status == AUT_OK)
		status = model_rule(e, err);
	if (status == AUT_OK)
		status = tarball_rule(e, err);
	if (status == AUT_OK)
		status = plain_members(e, err);
	if (status == AUT_OK)
		status = preset_rule(e, err);
	return status;
}

aut_status
aut_service_automation_update(aut_call *call, const aut_uuid *id, const json_t *body, json_t **out,
							  aut_error *err)
{
	edit e = {.call = call};
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK)
		status = aut__form_update(body, call->settings, call->who->db_role != NULL, &e.form,
								  &call->problems, err);
	if (status == AUT_OK)
		status = aut__automation_load(call, id, &e.before, err);
	if (status == AUT_OK)
	{
		e.after = e.before.items[0];
		status = aut__trigger_load(e.after.trigger, &e.trigger, err);
	}
	if (status == AUT_OK)
		status = apply_rules(&e, err);
	/* an empty body asks for nothing: not even updated_at moves */
	if (status == AUT_OK && e.form.given != 0)
	{
		e.after.updated_at = call->now_us;
		status = write_edit(&e, err);
	}
	if (status == AUT_OK)
		status = aut_service_automation_get(call, id, out, err);
	edit_done(&e);
	return status;
}

aut_status
aut_service_automation_delete(aut_call *call, const aut_uuid *id, aut_error *err)
{
	aut_automation_list list = {0};
	aut_automation gone;
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK)
		status = aut__automation_load(call, id, &list, err);
	if (status == AUT_OK)
		status = aut__may_act(call, &list.items[0].user_id, err);
	if (status != AUT_OK)
		goto out;
	gone = list.items[0];
	if (strcmp(gone.state, "ACTIVE") == 0)
	{
		gone.disabled_reason = "manual_delete";
		gone.disabled_detail = DETAIL_DELETE;
		gone.disabled_at = call->now_us;
	}
	gone.state = "INACTIVE";
	gone.deleted_at = call->now_us;
	gone.updated_at = call->now_us;
	status = aut_store_schedule_delete(call->db, id, err);
	/* behind whoever is triggering it, so that their runs are seen below */
	if (status == AUT_OK)
		status = aut_store_automation_lock(call->db, id, err);
	if (status == AUT_OK)
		status = aut_store_automation_update(call->db, &gone, err);
	if (status == AUT_OK && strcmp(list.items[0].state, "ACTIVE") == 0)
		status = aut__disable_event(call->db, id, NULL, gone.disabled_reason, gone.disabled_detail,
									"manual_delete", call->now_us, err);
	if (status == AUT_OK)
		status = aut__skip_pending(call->db, id, true, call->now_us, gone.disabled_detail, err);
out:
	aut_automation_list_done(&list);
	return status;
}
