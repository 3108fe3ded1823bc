/* SPDX-License-Identifier: MIT */
/*
 * core/service/preset_edit.c - another prompt, or other repositories, for an automation made from a
 * preset (http-api.md section 6, PATCH rule 8).
 *
 * The tarball is packed anew from the one there is, so that the program stays the one the automation was
 * made with, and kept as a new upload: one never changes, and runs that have taken the old one up go on
 * with it.  A tarball that cannot be packed anew (somebody else's address, gone, no preset's) stays; a new
 * prompt is then a note and no more, but repositories that no run would clone are refused.
 */
#include <string.h>

#include "core/service/preset.h"

static bool
is_of_preset(const json_t *metadata)
{
	const char *type = aut_json_string(metadata, "preset_type");

	return type != NULL && (strcmp(type, "prompt") == 0 || strcmp(type, "plugin") == 0);
}

/* What the automation was made from, or NULL: from a tarball. */
static aut_status
load_metadata(const aut_automation *automation, json_t **out, aut_error *err)
{
	const char *text = automation->preset_metadata;
	json_t *metadata = NULL;
	aut_status status = AUT_OK;

	if (text != NULL)
		status = aut_json_parse(text, strlen(text), &metadata, err);
	if (status == AUT_OK && is_of_preset(metadata))
		*out = json_incref(metadata);
	json_decref(metadata);
	return status;
}

aut_status
aut__preset_check(const aut__form *form, const aut_automation *automation, aut_error *err)
{
	json_t *metadata = NULL;
	aut_status status;

	if ((form->given & AUT__F_REPOS) == 0)
		return AUT_OK;
	status = load_metadata(automation, &metadata, err);
	if (status == AUT_OK && metadata == NULL)
		status = aut_fail(err, AUT_EINVAL, "repos can only be set on prompt and plugin presets");
	json_decref(metadata);
	return status;
}

/* Is it a failure that only says that there is nothing to pack anew? */
static bool
is_not_rebuildable(aut_status status)
{
	return status == AUT_ENOTFOUND || status == AUT_EUNSUPPORTED || status == AUT_EBADREQ;
}

/* The bytes of the automation's own upload; ENOTFOUND: it has none that is still there. */
static aut_status
load_tarball(aut_call *call, const aut_automation *automation, aut_rows *out, aut_error *err)
{
	aut_upload_list list = {0};
	aut_status status;
	aut_uuid id;

	if (!aut__tarball_upload(automation->tarball_path, &id))
		return aut_fail(err, AUT_ENOTFOUND, "the tarball is not kept here");
	status = aut_store_upload_get(call->db, &id, &list, err);
	if (status == AUT_OK && (!aut_uuid_equal(&list.items[0].org_id, &automation->org_id) ||
							 !aut_uuid_equal(&list.items[0].user_id, &automation->user_id) ||
							 list.items[0].deleted_at != AUT_TIME_NONE))
		status = aut_fail(err, AUT_ENOTFOUND, "the tarball has been deleted");
	if (status == AUT_OK)
		status = aut_store_upload_data(call->db, &id, out, err);
	aut_upload_list_done(&list);
	return status;
}

static aut_status
rebuild(aut_call *call, const aut__preset_change *change, const char *type,
		const aut_automation *automation, char **out_path, aut_error *err)
{
	aut_rows rows = {0};
	void *data = NULL;
	size_t len = 0;
	aut_status status = load_tarball(call, automation, &rows, err);

	if (status == AUT_OK)
	{
		const aut_value *cell = aut_rows_at(&rows, 0, 0);

		status = aut__preset_repack(cell->data, cell->len, change->prompt, change->with_repos,
									change->repos, &data, &len, err);
	}
	if (status == AUT_OK)
		status = aut__preset_keep(call, type, automation->name, data, len, out_path, err);
	aut_free(data);
	aut_rows_done(&rows);
	return status;
}

/* preset_metadata goes along with what changed. */
static aut_status
follow(const aut__preset_change *change, json_t *metadata, char **out_text, aut_error *err)
{
	bool good = true;

	if (change->prompt != NULL)
		good = aut_json_set(metadata, "prompt", json_string(change->prompt));
	if (change->with_repos && json_array_size(change->repos) > 0)
		good = good && aut_json_set(metadata, "repos", json_deep_copy(change->repos));
	else if (change->with_repos)
		(void) json_object_del(metadata, "repos");
	if (good)
		*out_text = aut_json_text(metadata, NULL);
	return *out_text != NULL ? AUT_OK : aut_fail(err, AUT_ENOMEM, "out of memory for a preset");
}

static bool
same_repos(const json_t *a, const json_t *b)
{
	if (json_array_size(a) == 0 || json_array_size(b) == 0)
		return json_array_size(a) == json_array_size(b);
	return json_equal(a, b) != 0;
}

aut_status
aut__preset_edit(aut_call *call, const aut__form *form, const aut_automation *automation,
				 char **out_path, char **out_metadata, aut_error *err)
{
	aut__preset_change change = {.repos = form->repo_list};
	json_t *metadata = NULL;
	aut_status status = load_metadata(automation, &metadata, err);

	if (status != AUT_OK || metadata == NULL)
		goto out;
	if (form->prompt != NULL &&
		(automation->prompt == NULL || strcmp(form->prompt, automation->prompt) != 0))
		change.prompt = form->prompt;
	change.with_repos = (form->given & AUT__F_REPOS) != 0 &&
						!same_repos(form->repo_list, json_object_get(metadata, "repos"));
	if (change.prompt == NULL && !change.with_repos)
		goto out;
	/* whoever brings a tarball in the same breath wants that one */
	if ((form->given & AUT__F_TARBALL) != 0)
		status = AUT_ENOTFOUND;
	else
		status = rebuild(call, &change, aut_json_string(metadata, "preset_type"), automation,
						 out_path, err);
	if (is_not_rebuildable(status) && change.with_repos)
		status = aut_fail(err, AUT_EINVAL,
						  "repos cannot be changed: the automation's tarball is not one that was "
						  "made here from a prompt");
	else if (status == AUT_OK || is_not_rebuildable(status))
		status = follow(&change, metadata, out_metadata, err);
out:
	json_decref(metadata);
	return status;
}
