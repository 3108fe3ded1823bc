/* SPDX-License-Identifier: MIT */
/*
 * core/service/presets.c - making an automation of a prompt.
 *
 * A preset is an automation like any other: an upload with a program, and a row that says what to run.
 * Only that here the program is ours (core/service/preset/), and that what it was made from stays with
 * the row, in preset_metadata, for people and for PATCH.
 *
 * Conversations are held by an agent server; where runs go to the embedded agent a preset could only
 * fail, so it is refused before anything is kept.
 */
#include <string.h>

#include "core/service/preset.h"

#define ENTRYPOINT ".venv/bin/python main.py"
#define SETUP      "setup.sh"

static const char *
type_of(aut_preset preset)
{
	return preset == AUT_PRESET_PLUGIN ? "plugin" : "prompt";
}

/* A variant that names no model has the automation's; those that do must name one of the caller's. */
static aut_status
resolve_models(const aut_call *call, aut__form *form, aut_error *err)
{
	aut_status status = aut__model_resolve(call, form->model, &form->model, err);

	for (size_t i = 0; status == AUT_OK && i < json_array_size(form->variant_list); i++)
	{
		json_t *variant = json_array_get(form->variant_list, i);
		const char *model = aut_json_string(variant, "model");

		if (model != NULL)
			status = aut__model_resolve(call, model, &model, err);
		else if (form->model != NULL && !aut_json_set(variant, "model", json_string(form->model)))
			status = aut_fail(err, AUT_ENOMEM, "out of memory for a preset");
	}
	return status;
}

/* preset_metadata: what the automation was made from. */
static json_t *
metadata(const aut_call *call, aut_preset preset, const aut__form *form)
{
	json_t *out = json_object();
	bool good = aut_json_set(out, "preset_type", json_string(type_of(preset)));

	good = good && aut_json_set(out, "prompt", json_string(form->prompt));
	good = good && aut_json_set(out, "sdk_version", json_string(call->settings->sdk_version));
	if (json_array_size(form->repo_list) > 0)
		good = good && aut_json_set(out, "repos", json_incref(form->repo_list));
	if (form->plugin_list != NULL)
		good = good && aut_json_set(out, "plugins", json_incref(form->plugin_list));
	if (form->variant_list != NULL)
	{
		good = good && aut_json_set(out, "variants", json_incref(form->variant_list));
		good = good && aut_json_set(out, "experiment_id", json_string(form->experiment_id));
	}
	if (form->template_ref != NULL)
		good = good && aut_json_set(out, "template", json_deep_copy(form->template_ref));
	if (good)
		return out;
	json_decref(out);
	return NULL;
}

static aut_status
make(aut_call *call, aut_preset preset, aut__form *form, aut_uuid *out_id, aut_error *err)
{
	void *data = NULL;
	size_t len = 0;
	char *path = NULL;
	aut_status status = resolve_models(call, form, err);

	if (status == AUT_OK)
		status = aut__preset_pack(form, &data, &len, err);
	if (status == AUT_OK)
		status = aut__preset_keep(call, type_of(preset), form->name, data, len, &path, err);
	if (status == AUT_OK)
	{
		form->metadata = metadata(call, preset, form);
		if (form->metadata == NULL)
			status = aut_fail(err, AUT_ENOMEM, "out of memory for a preset");
	}
	if (status == AUT_OK)
	{
		form->tarball_path = path;
		form->setup_script_path = SETUP;
		form->entrypoint = ENTRYPOINT;
		status = aut__automation_insert(call, form, out_id, err);
	}
	aut_free(path);
	aut_free(data);
	return status;
}

aut_status
aut_service_preset_create(aut_call *call, aut_preset preset, const json_t *body, json_t **out,
						  bool *out_existing, aut_error *err)
{
	aut__form form = {0};
	bool existing = false;
	aut_uuid id;
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK)
		status = aut__form_preset(body, call->settings, preset == AUT_PRESET_PLUGIN,
								  call->who->db_role != NULL, &form, &call->problems, err);
	if (status == AUT_OK && call->agent_is_embedded)
		status = aut_fail(err, AUT_EUNSUPPORTED,
						  "an automation made from a prompt needs an agent server: set "
						  "AUTOMATION_AGENT_SERVER_URL (the embedded agent has no conversations)");
	if (status == AUT_OK && form.template_ref != NULL)
		status = aut__template_find(call, form.template_ref, &id, &existing, err);
	if (status == AUT_OK && !existing)
		status = make(call, preset, &form, &id, err);
	if (status == AUT_OK)
		status = aut_service_automation_get(call, &id, out, err);
	if (status == AUT_OK)
		*out_existing = existing;
	aut__form_done(&form);
	return status;
}
