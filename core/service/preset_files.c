/* SPDX-License-Identifier: MIT */
/*
 * core/service/preset_files.c - a preset as a tarball: our program, and beside it what the user gave.
 *
 * The program's files are built in (core/service/preset/embed.sh).  The user's part is one file each:
 * prompt.txt, and as JSON repos_config.json, plugins_config.json or experiment_config.json, so that a
 * changed prompt or other repositories replace a file and leave the rest as it was made.
 *
 * Pure but for aut__preset_keep, which stores.
 */
#include <string.h>

#include "core/service/preset.h"

#define PROMPT_FILE     "prompt.txt"
#define REPOS_FILE      "repos_config.json"
#define PLUGINS_FILE    "plugins_config.json"
#define EXPERIMENT_FILE "experiment_config.json"
#define MEMBERS_MAX     8
#define NAME_SHOWN_MAX  50 /* bytes of an automation's name in its upload's */

static bool
is_script(const char *name)
{
	size_t len = strlen(name);

	return len > 3 && strcmp(name + len - 3, ".sh") == 0;
}

/* value as the text of a member; *out_text: aut_free. */
static aut_status
json_member(const char *name, const json_t *value, aut__member *out, char **out_text,
			aut_error *err)
{
	size_t len = 0;

	*out_text = aut_json_text(value, &len);
	if (*out_text == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for a preset");
	*out = (aut__member){.name = name, .data = *out_text, .len = len};
	return AUT_OK;
}

static aut_status
experiment_member(const aut__form *form, aut__member *out, char **out_text, aut_error *err)
{
	json_t *config = json_pack("{s:s, s:O}", "experiment_id", form->experiment_id, "variants",
							   form->variant_list);
	aut_status status;

	if (config == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for a preset");
	status = json_member(EXPERIMENT_FILE, config, out, out_text, err);
	json_decref(config);
	return status;
}

aut_status
aut__preset_pack(const aut__form *form, void **out_data, size_t *out_len, aut_error *err)
{
	aut__member members[MEMBERS_MAX] = {0};
	char *texts[2] = {NULL, NULL};
	size_t count = 0;
	aut_status status = AUT_OK;

	for (const aut__preset_file *file = AUT__PRESET_FILES; file->name != NULL; file++)
	{
		AUT_CHECK(count + 3 < MEMBERS_MAX);
		members[count++] = (aut__member){.name = file->name,
										 .data = file->bytes,
										 .len = file->len,
										 .executable = is_script(file->name)};
	}
	members[count++] =
		(aut__member){.name = PROMPT_FILE, .data = form->prompt, .len = strlen(form->prompt)};
	if (json_array_size(form->repo_list) > 0)
		status = json_member(REPOS_FILE, form->repo_list, &members[count++], &texts[0], err);
	if (status == AUT_OK && form->variant_list != NULL)
		status = experiment_member(form, &members[count++], &texts[1], err);
	else if (status == AUT_OK && form->plugin_list != NULL)
		status = json_member(PLUGINS_FILE, form->plugin_list, &members[count++], &texts[1], err);
	if (status == AUT_OK)
		status =
			aut__tarball_write(NULL, 0, members, count, AUT_UPLOAD_MAX, out_data, out_len, err);
	aut_free(texts[0]);
	aut_free(texts[1]);
	return status;
}

aut_status
aut__preset_repack(const void *data, size_t len, const char *prompt, bool with_repos,
				   const json_t *repos, void **out_data, size_t *out_len, aut_error *err)
{
	aut__member members[2] = {{.name = REPOS_FILE}, {.name = PROMPT_FILE}};
	size_t first = with_repos ? 0 : 1;
	size_t count = (size_t) with_repos + (prompt != NULL);
	aut__member probe = {.name = PROMPT_FILE, .data = "", .len = 0};
	void *probed = NULL;
	size_t probed_len = 0;
	char *text = NULL;
	aut_status status = AUT_OK;

	if (json_array_size(repos) > 0)
		status = json_member(REPOS_FILE, repos, &members[0], &text, err);
	if (prompt != NULL)
		members[1] = (aut__member){.name = PROMPT_FILE, .data = prompt, .len = strlen(prompt)};
	if (status == AUT_OK && prompt == NULL)
	{
		/* is it a preset's at all?  Reading it once more tells. */
		status =
			aut__tarball_write(data, len, &probe, 1, AUT_UPLOAD_MAX, &probed, &probed_len, err);
		aut_free(probed);
		members[1].found = probe.found;
	}
	if (status == AUT_OK)
		status = aut__tarball_write(data, len, members + first, count, AUT_UPLOAD_MAX, out_data,
									out_len, err);
	if (status == AUT_OK && !members[1].found)
	{
		aut_free(*out_data);
		*out_data = NULL;
		status = aut_fail(err, AUT_EUNSUPPORTED, "the tarball has no " PROMPT_FILE);
	}
	aut_free(text);
	return status;
}

aut_status
aut__preset_keep(aut_call *call, const char *type, const char *name, const void *data, size_t len,
				 char **out_path, aut_error *err)
{
	size_t name_len = strlen(name);
	json_t *upload = NULL;
	char *title;
	char *path = NULL;
	aut_status status;

	if (name_len > NAME_SHOWN_MAX)
		name_len = aut_utf8_boundary(name, NAME_SHOWN_MAX);
	title = aut_printf("%s-automation-%.*s", type, (int) name_len, name);
	if (title == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for a preset");
	status = aut_service_upload_create(call, title, NULL, data, len, false, &upload, err);
	if (status == AUT_OK && aut_json_string(upload, "tarball_path") == NULL)
		status = aut_fail(err, AUT_EINTERNAL, "the preset's tarball could not be kept");
	if (status == AUT_OK)
	{
		path = aut_strdup(aut_json_string(upload, "tarball_path"));
		if (path == NULL)
			status = aut_fail(err, AUT_ENOMEM, "out of memory for a preset");
	}
	if (status == AUT_OK)
		*out_path = path;
	json_decref(upload);
	aut_free(title);
	return status;
}
