/* SPDX-License-Identifier: MIT */
/*
 * core/service/preset.h - presets: automations whose program is ours and whose prompt is the user's.
 *
 * preset_form.c reads what a preset has more than other automations (repositories, plugins, variants),
 * preset_files.c packs the program with it, presets.c creates, preset_edit.c packs anew.  The program
 * itself stands in core/service/preset/, and is built in.
 */
#ifndef AUT_SERVICE_PRESET_H
#define AUT_SERVICE_PRESET_H

#include "core/service/internal.h"

/* One file of the program; the byte behind its end is 0. */
typedef struct aut__preset_file
{
	const char *name;
	const unsigned char *bytes;
	size_t len;
} aut__preset_file;

extern const aut__preset_file AUT__PRESET_FILES[]; /* name NULL after the last */

/* What presets have more, read from the body at its place: each list as it is kept (owned by the caller),
 * NULL when absent or null. */
json_t *aut__read_repos(aut__problems *problems, const json_t *body);
json_t *aut__read_plugins(aut__problems *problems, const aut__loc *at, const json_t *object,
						  bool one_is_a_list);
json_t *aut__read_variants(aut__problems *problems, const json_t *body);
/* Plugins or variants, and of which experiment: a rule about the whole body. */
void aut__plugin_rule(aut__problems *problems, const json_t *body, const aut__form *form);

/* The tarball of a preset.  form: prompt, repo_list, plugin_list, variant_list, experiment_id.  aut_free. */
aut_status aut__preset_pack(const aut__form *form, void **out_data, size_t *out_len,
							aut_error *err);
/*
 * The same tarball with another prompt (NULL: as it is) and, with_repos, other repositories (NULL or
 * empty: none).  AUT_EUNSUPPORTED: it is no preset's, as it has no prompt.txt; AUT_EBADREQ: it cannot be
 * read.
 */
aut_status aut__preset_repack(const void *data, size_t len, const char *prompt, bool with_repos,
							  const json_t *repos, void **out_data, size_t *out_len,
							  aut_error *err);
/* Keep a tarball of ours as an upload of the caller's: "prompt-automation-<name>".  *out_path: aut_free. */
aut_status aut__preset_keep(aut_call *call, const char *type, const char *name, const void *data,
							size_t len, char **out_path, aut_error *err);

/* ---- PATCH ---------------------------------------------------------------------------------- */

/* What changes; prompt NULL: the prompt does not. */
typedef struct aut__preset_change
{
	const char *prompt;
	bool with_repos;
	const json_t *repos;
} aut__preset_change;
/* EINVAL: repositories for an automation that can have none. */
aut_status aut__preset_check(const aut__form *form, const aut_automation *automation,
							 aut_error *err);
/* Pack the tarball anew if the form changes prompt or repositories.  *out_path: of the new upload;
 * *out_metadata: JSON text; each NULL: as it was.  aut_free. */
aut_status aut__preset_edit(aut_call *call, const aut__form *form, const aut_automation *automation,
							char **out_path, char **out_metadata, aut_error *err);

#endif
