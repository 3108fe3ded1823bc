/* SPDX-License-Identifier: MIT */
/*
 * core/service/automation_form.c - reading the bodies that create and change an automation.
 *
 * Every member of POST /v1 and PATCH /v1/{id} with its rule (http-api.md section 6), and of presets
 * (section 8) what they share with these; the rest of them is read in preset_form.c.  What can be said
 * from the body alone is said here, all at once; rules that need the database or the automation as it
 * is (uploads, null for a mandatory member, the merged view) are the services'.
 *
 * Members are read in the contract's order, so that problems come in the reference's order.
 */
#include <string.h>

#include "automation/match.h"
#include "core/service/preset.h"
#include "core/service/webhook_form.h"

#define DESCRIPTION_MAX       2000
#define NAME_MAX_CHARS        500
#define PROMPT_MAX            50000
#define MODEL_MAX             64
#define ASSOCIATIONS_MAX      20
#define ASSOCIATION_KEY_MAX   128
#define ASSOCIATION_VALUE_MAX 1000
#define TEMPLATE_CONFIG_MAX   16384
#define EXPERIMENT_ID_MAX     200

void
aut__form_done(aut__form *form)
{
	if (form == NULL)
		return;
	aut__trigger_done(&form->trigger);
	json_decref(form->repo_list);
	json_decref(form->plugin_list);
	json_decref(form->variant_list);
	json_decref(form->metadata);
	memset(form, 0, sizeof *form);
}

/* Remember that a member was given, and say whether it has a value. */
static bool
note(aut__form *form, unsigned bit, aut__got got)
{
	if (got == AUT__NULL || got == AUT__VALUE)
		form->given |= bit;
	return got == AUT__VALUE;
}

static bool
is_blank(const char *text)
{
	size_t blank;

	while ((blank = aut_blank_at(text)) > 0)
		text += blank;
	return *text == '\0';
}

static bool
has_parent_segment(const char *text)
{
	for (const char *at = text; at != NULL; at = strchr(at, '/'))
	{
		if (*at == '/')
			at++;
		if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || at[2] == '\0'))
			return true;
	}
	return false;
}

/* entrypoint and setup_script_path: a word of a shell command inside the run's folder, nothing that
 * could leave the one or the other. */
static void
path_rules(aut__problems *problems, const json_t *body, const char *name, const char *text)
{
	aut__loc here = {&AUT__BODY, name, 0};
	const json_t *input = json_object_get(body, name);

	if (is_blank(text))
		aut__problem_value(problems, &here, input, "%s must not be blank", name);
	else if (text[0] == '/')
		aut__problem_value(problems, &here, input, "%s must be a relative path", name);
	else if (has_parent_segment(text))
		aut__problem_value(problems, &here, input, "%s must not contain the path segment \"..\"",
						   name);
	else if (strpbrk(text, ";&|`$(){}<>!\\\r\n") != NULL)
		aut__problem_value(problems, &here, input,
						   "%s must not contain shell metacharacters (;&|`$(){}<>!\\ or line ends)",
						   name);
}

static void
tarball_rules(aut__problems *problems, const json_t *body, bool sql, const char *text)
{
	static const char *const schemes[] = {"s3://", "gs://", "http://", "https://",
										  AUT__UPLOAD_PREFIX};
	aut__loc here = {&AUT__BODY, "tarball_path", 0};

	/* the text of a SQL action is the SQL door's to keep */
	if (sql && strcmp(text, AUT_TARBALL_INLINE) == 0)
		return;
	for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
	{
		if (strncmp(text, schemes[i], strlen(schemes[i])) == 0)
			return;
	}
	aut__problem_value(
		problems, &here, json_object_get(body, "tarball_path"),
		"tarball_path must begin with s3://, gs://, http://, https:// or oh-internal://");
}

bool
aut__tarball_upload(const char *tarball_path, aut_uuid *out)
{
	static const char prefix[] = AUT__UPLOAD_PREFIX "uploads/";
	const char *id = tarball_path + sizeof prefix - 1;

	/* only the dashed form: the other forms a UUID may take do not name an upload */
	return strncmp(tarball_path, prefix, sizeof prefix - 1) == 0 &&
		   strlen(id) == AUT_UUID_TEXT_MAX - 1 && id[8] == '-' && id[13] == '-' &&
		   aut_uuid_parse(id, AUT_UUID_TEXT_MAX - 1, out);
}

static void
model_rules(aut__problems *problems, const json_t *body, const char *text)
{
	static const char words[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	static const char all[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	aut__loc here = {&AUT__BODY, "model", 0};

	if (strchr(words, text[0]) == NULL || text[strspn(text, all)] != '\0')
		aut__problem(
			problems, &here, "string_pattern_mismatch", json_object_get(body, "model"),
			json_pack("{s:s}", "pattern", "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
			"model must begin with a letter or digit and hold only letters, digits, '.', '_' and "
			"'-'");
}

/* Why the entries do not do, or NULL. */
static const char *
association_fault(const char *key, const char *expression)
{
	static const char all[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

	if (key[0] == '\0')
		return "observability association keys must not be empty";
	if (aut_utf8_length(key, strlen(key)) > ASSOCIATION_KEY_MAX)
		return "observability association keys must be at most 128 characters long";
	if (key[strspn(key, all)] != '\0')
		return "observability association keys may only contain letters, digits, '_', '-' and '.'";
	if (expression[0] == '\0')
		return "observability association expressions must not be empty";
	if (aut_utf8_length(expression, strlen(expression)) > ASSOCIATION_VALUE_MAX)
		return "observability association expressions must be at most 1000 characters long";
	return NULL;
}

/* The first that is no expression; what an expression comes to is seen with an event. */
static void
associations_syntax(aut__problems *problems, const aut__loc *here, const json_t *associations)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *) (uintptr_t) associations, key, value)
	{
		aut_error why = AUT_ERROR_INIT;
		const char *text = json_string_value(value);

		if (aut_filter_check(text, strlen(text), &why) == AUT_OK)
			continue;
		if (why.code == AUT_EINVAL)
			aut__problem_value(problems, here, associations,
							   "observability association \"%s\" is not a JMESPath expression: %s",
							   key, why.message);
		else
			aut__problems_fail(problems, &why);
		return;
	}
}

static void
associations_rules(aut__problems *problems, const json_t *associations)
{
	aut__loc here = {&AUT__BODY, "observability_associations", 0};
	const char *fault = NULL;
	const char *key;
	json_t *value;
	bool texts = true;

	json_object_foreach((json_t *) (uintptr_t) associations, key, value)
	{
		aut__loc item = {&here, key, 0};

		if (!json_is_string(value))
		{
			aut__problem(problems, &item, "string_type", value, NULL,
						 "Input should be a valid string");
			texts = false;
		}
		else if (fault == NULL)
			fault = association_fault(key, json_string_value(value));
	}
	if (!texts || json_object_size(associations) == 0)
		return;
	if (json_object_size(associations) > ASSOCIATIONS_MAX)
		fault = "observability_associations supports at most 20 entries";
	if (fault != NULL)
		aut__problem_value(problems, &here, associations, "%s", fault);
	else
		associations_syntax(problems, &here, associations);
}

static void
timeout_rules(aut__problems *problems, const json_t *body, int64_t timeout_s,
			  const aut_settings *settings)
{
	aut__loc here = {&AUT__BODY, "timeout", 0};
	const json_t *input = json_object_get(body, "timeout");

	if (timeout_s <= 0)
		aut__problem_value(problems, &here, input, "timeout must be a positive number");
	else if (timeout_s > settings->max_run_duration)
		aut__problem_value(problems, &here, input, "timeout must not exceed %lld seconds",
						   (long long) settings->max_run_duration);
}

static void
template_rules(aut__problems *problems, const json_t *template_ref)
{
	static const char *const known[] = {"id", "version", "config", NULL};
	aut__loc here = {&AUT__BODY, "template", 0};
	aut__loc at_config = {&here, "config", 0};
	const char *text = NULL;
	const json_t *config = NULL;

	if (!aut__is_object(problems, &here, template_ref))
		return;
	(void) aut__read_text(problems, &here, template_ref,
						  &(aut__rule){.name = "id", .required = true, .min = 1, .max = 100},
						  &text);
	(void) aut__read_text(problems, &here, template_ref,
						  &(aut__rule){.name = "version", .required = true, .min = 1, .max = 50},
						  &text);
	if (aut__read_object(problems, &here, template_ref,
						 &(aut__rule){.name = "config", .nullable = true}, &config) == AUT__VALUE)
	{
		/* The contract counts the text as Python writes it: blanks after separators, only ASCII. */
		size_t size = json_dumpb(config, NULL, 0, JSON_ENSURE_ASCII);

		if (size == 0 || size > TEMPLATE_CONFIG_MAX)
			aut__problem_value(problems, &at_config, config,
							   "config must be at most %d bytes of JSON", TEMPLATE_CONFIG_MAX);
	}
	aut__refuse_others(problems, &here, template_ref, known);
}

/* ---- state and enabled ---------------------------------------------------------------------- */

/*
 * `enabled` is the old name of `state`; when both are given they must agree.  That is a rule about the
 * whole body, so its problem stands at the body; the reference reports an unreadable `enabled` there
 * too, when `state` is good.
 */
static void
read_state(aut__problems *problems, const json_t *body, bool enabled_nullable, aut__form *form)
{
	static const char *const states[] = {"ACTIVE", "INACTIVE", NULL};
	aut__problems of_enabled = {0};
	aut__problems of_state = {0};
	const char *state = NULL;
	bool enabled = false;
	aut__got got_enabled;
	aut__got got_state;

	got_state = aut__read_word(&of_state, &AUT__BODY, body,
							   &(aut__rule){.name = "state", .nullable = true}, states, &state);
	got_enabled =
		aut__read_bool(&of_enabled, &AUT__BODY, body,
					   &(aut__rule){.name = "enabled", .nullable = enabled_nullable}, &enabled);
	if (got_state == AUT__VALUE && got_enabled == AUT__BAD)
	{
		json_t *loc = json_object_get(json_array_get(of_enabled.list, 0), "loc");

		(void) json_array_remove(loc, json_array_size(loc) - 1);
	}
	for (size_t i = 0; i < 2; i++)
	{
		aut__problems *from = i == 0 ? &of_enabled : &of_state;

		if (from->failure.code != AUT_OK)
			aut__problems_fail(problems, &from->failure);
		else if (from->list != NULL)
			aut__problems_add(problems, from->list);
		aut__problems_done(from);
	}
	if (note(form, AUT__F_STATE, got_state))
		form->state = state;
	form->has_enabled = note(form, AUT__F_ENABLED, got_enabled);
	form->enabled = enabled;
	if (form->state != NULL && form->has_enabled && enabled != (strcmp(state, "ACTIVE") == 0))
		aut__problem_value(problems, &AUT__BODY, body,
						   "enabled must be true only when state is ACTIVE");
}

const char *
aut__form_state(const aut__form *form)
{
	if (form->state != NULL)
		return form->state;
	if (form->has_enabled)
		return form->enabled ? "ACTIVE" : "INACTIVE";
	return NULL;
}

/* ---- members both bodies have ---------------------------------------------------------------- */

static void
read_profile(aut__problems *problems, const json_t *body, aut__form *form)
{
	if (note(form, AUT__F_AGENT_PROFILE,
			 aut__read_uuid(problems, &AUT__BODY, body,
							&(aut__rule){.name = "agent_profile_id", .nullable = true},
							&form->agent_profile_id)))
		form->has_agent_profile = true;
}

static void
read_name(aut__problems *problems, const json_t *body, bool update, aut__form *form)
{
	(void) note(form, AUT__F_NAME,
				aut__read_text(problems, &AUT__BODY, body,
							   &(aut__rule){.name = "name",
											.required = !update,
											.nullable = update,
											.min = 1,
											.max = NAME_MAX_CHARS},
							   &form->name));
	(void) note(form, AUT__F_DESCRIPTION,
				aut__read_text(
					problems, &AUT__BODY, body,
					&(aut__rule){.name = "description", .nullable = true, .max = DESCRIPTION_MAX},
					&form->description));
}

static void
read_model(aut__problems *problems, const json_t *body, aut__form *form)
{
	if (note(form, AUT__F_MODEL,
			 aut__read_text(
				 problems, &AUT__BODY, body,
				 &(aut__rule){.name = "model", .nullable = true, .min = 1, .max = MODEL_MAX},
				 &form->model)))
		model_rules(problems, body, form->model);
}

static void
read_trigger(aut__problems *problems, const json_t *body, bool update, bool sql, aut__form *form)
{
	aut__loc here = {&AUT__BODY, "trigger", 0};
	const json_t *value = NULL;

	if (note(form, AUT__F_TRIGGER,
			 aut__read_any(problems, &AUT__BODY, body,
						   &(aut__rule){.name = "trigger", .required = !update, .nullable = update},
						   &value)))
		(void) aut__trigger_check(problems, &here, value, sql, &form->trigger);
	if (note(form, AUT__F_ASSOCIATIONS,
			 aut__read_object(problems, &AUT__BODY, body,
							  &(aut__rule){.name = "observability_associations", .nullable = true},
							  &form->associations)))
		associations_rules(problems, form->associations);
}

static void
read_what(aut__problems *problems, const json_t *body, bool update, bool sql, aut__form *form)
{
	if (note(form, AUT__F_TARBALL,
			 aut__read_text(
				 problems, &AUT__BODY, body,
				 &(aut__rule){.name = "tarball_path", .required = !update, .nullable = update},
				 &form->tarball_path)))
		tarball_rules(problems, body, sql, form->tarball_path);
	if (note(form, AUT__F_SETUP,
			 aut__read_text(problems, &AUT__BODY, body,
							&(aut__rule){.name = "setup_script_path", .nullable = true},
							&form->setup_script_path)))
		path_rules(problems, body, "setup_script_path", form->setup_script_path);
	if (note(form, AUT__F_ENTRYPOINT,
			 aut__read_text(
				 problems, &AUT__BODY, body,
				 &(aut__rule){.name = "entrypoint", .required = !update, .nullable = update},
				 &form->entrypoint)))
		path_rules(problems, body, "entrypoint", form->entrypoint);
}

static void
read_limits(aut__problems *problems, const json_t *body, const aut_settings *settings,
			aut__form *form)
{
	if (note(form, AUT__F_TIMEOUT,
			 aut__read_int(problems, &AUT__BODY, body,
						   &(aut__rule){.name = "timeout", .nullable = true}, &form->timeout_s)))
		timeout_rules(problems, body, form->timeout_s, settings);
	form->has_keep_alive = note(form, AUT__F_KEEP_ALIVE,
								aut__read_bool(problems, &AUT__BODY, body,
											   &(aut__rule){.name = "keep_alive", .nullable = true},
											   &form->keep_alive));
	(void) note(form, AUT__F_WAIT_AT_LIMIT,
				aut__read_bool(problems, &AUT__BODY, body,
							   &(aut__rule){.name = "wait_at_limit", .nullable = true},
							   &form->wait_at_limit));
}

static void
read_template(aut__problems *problems, const json_t *body, aut__form *form)
{
	if (note(form, AUT__F_TEMPLATE,
			 aut__read_any(problems, &AUT__BODY, body,
						   &(aut__rule){.name = "template", .nullable = true},
						   &form->template_ref)))
		template_rules(problems, form->template_ref);
}

static void
read_repos(aut__problems *problems, const json_t *body, aut__form *form)
{
	if (json_object_get(body, "repos") != NULL)
		form->given |= AUT__F_REPOS;
	form->repo_list = aut__read_repos(problems, body);
}

static void
read_environment(aut__problems *problems, const json_t *body, aut__form *form)
{
	if (aut__environment_read(problems, body, &form->environment))
		form->given |= AUT__F_ENVIRONMENT;
}

/* ---- the bodies ------------------------------------------------------------------------------- */

/* A conversation that goes on needs its place to stay. */
static void
keep_alive_rule(aut__problems *problems, const json_t *body, aut__form *form)
{
	if (!form->trigger.continues)
		return;
	if (form->has_keep_alive && !form->keep_alive)
		aut__problem_value(problems, &AUT__BODY, body,
						   "keep_alive must not be false when the trigger's destination is "
						   "continue_conversation");
	form->has_keep_alive = true;
	form->keep_alive = true;
}

static aut_status
finish(aut__problems *problems, aut__form *made, aut__form *out, json_t **out_problems,
	   aut_error *err)
{
	aut_status status;

	aut__environment_hide(problems);
	status = aut__problems_status(problems, out_problems, err);
	if (status == AUT_OK)
		*out = *made;
	else
		aut__form_done(made);
	return status;
}

aut_status
aut__form_create(const json_t *body, const aut_settings *settings, bool sql, aut__form *out,
				 json_t **out_problems, aut_error *err)
{
	static const char *const known[] = {"agent_profile_id",
										"name",
										"description",
										"model",
										"trigger",
										"observability_associations",
										"tarball_path",
										"setup_script_path",
										"entrypoint",
										"timeout",
										"keep_alive",
										"wait_at_limit",
										"enabled",
										"state",
										"template",
										"environment",
										NULL};
	aut__problems problems = {0};
	aut__form made = {0};

	if (aut__is_object(&problems, &AUT__BODY, body))
	{
		read_profile(&problems, body, &made);
		read_name(&problems, body, false, &made);
		read_model(&problems, body, &made);
		read_trigger(&problems, body, false, sql, &made);
		read_what(&problems, body, false, sql, &made);
		read_limits(&problems, body, settings, &made);
		read_state(&problems, body, false, &made);
		read_template(&problems, body, &made);
		read_environment(&problems, body, &made);
		aut__refuse_others(&problems, &AUT__BODY, body, known);
		/* rules about the whole body are looked at when its members are good */
		if (problems.list == NULL)
			keep_alive_rule(&problems, body, &made);
	}
	return finish(&problems, &made, out, out_problems, err);
}

aut_status
aut__form_preset(const json_t *body, const aut_settings *settings, bool plugin, bool sql,
				 aut__form *out, json_t **out_problems, aut_error *err)
{
	static const char *const of_prompt[] = {
		"name",        "description",   "prompt",
		"model",       "trigger",       "observability_associations",
		"timeout",     "keep_alive",    "repos",
		"template",    "enabled",       "state",
		"environment", "wait_at_limit", NULL};
	static const char *const of_plugin[] = {
		"name",        "description",   "plugins",
		"variants",    "experiment_id", "prompt",
		"model",       "trigger",       "observability_associations",
		"timeout",     "keep_alive",    "repos",
		"template",    "enabled",       "state",
		"environment", "wait_at_limit", NULL};
	aut__problems problems = {0};
	aut__form made = {0};

	if (aut__is_object(&problems, &AUT__BODY, body))
	{
		read_name(&problems, body, false, &made);
		if (plugin)
		{
			made.plugin_list = aut__read_plugins(&problems, &AUT__BODY, body, true);
			made.variant_list = aut__read_variants(&problems, body);
			(void) aut__read_text(
				&problems, &AUT__BODY, body,
				&(aut__rule){
					.name = "experiment_id", .nullable = true, .min = 1, .max = EXPERIMENT_ID_MAX},
				&made.experiment_id);
		}
		(void) note(
			&made, AUT__F_PROMPT,
			aut__read_text(
				&problems, &AUT__BODY, body,
				&(aut__rule){.name = "prompt", .required = true, .min = 1, .max = PROMPT_MAX},
				&made.prompt));
		read_model(&problems, body, &made);
		read_trigger(&problems, body, false, sql, &made);
		read_limits(&problems, body, settings, &made);
		read_repos(&problems, body, &made);
		read_template(&problems, body, &made);
		read_state(&problems, body, false, &made);
		read_environment(&problems, body, &made);
		aut__refuse_others(&problems, &AUT__BODY, body, plugin ? of_plugin : of_prompt);
		if (plugin && problems.list == NULL)
			aut__plugin_rule(&problems, body, &made);
	}
	return finish(&problems, &made, out, out_problems, err);
}

/* `plugin` of PATCH: a source; what it may be is the plugin room's business. */
static void
plugin_rules(aut__problems *problems, const json_t *plugin)
{
	static const char *const known[] = {"source", "ref", "repo_path", NULL};
	aut__loc here = {&AUT__BODY, "plugin", 0};
	const char *text = NULL;

	if (!aut__is_object(problems, &here, plugin))
		return;
	(void) aut__read_text(problems, &here, plugin,
						  &(aut__rule){.name = "source", .required = true, .min = 1}, &text);
	(void) aut__read_text(problems, &here, plugin,
						  &(aut__rule){.name = "ref", .nullable = true, .min = 1}, &text);
	if (aut__read_text(problems, &here, plugin,
					   &(aut__rule){.name = "repo_path", .nullable = true, .min = 1},
					   &text) == AUT__VALUE)
		aut__repo_path_rules(problems, &here, json_object_get(plugin, "repo_path"));
	aut__refuse_others(problems, &here, plugin, known);
}

aut_status
aut__form_update(const json_t *body, const aut_settings *settings, bool sql, aut__form *out,
				 json_t **out_problems, aut_error *err)
{
	static const char *const known[] = {"plugin",
										"agent_profile_id",
										"name",
										"description",
										"model",
										"prompt",
										"repos",
										"trigger",
										"observability_associations",
										"tarball_path",
										"setup_script_path",
										"entrypoint",
										"timeout",
										"keep_alive",
										"wait_at_limit",
										"enabled",
										"state",
										"environment",
										NULL};
	aut__problems problems = {0};
	aut__form made = {0};

	if (aut__is_object(&problems, &AUT__BODY, body))
	{
		if (note(&made, AUT__F_PLUGIN,
				 aut__read_any(&problems, &AUT__BODY, body,
							   &(aut__rule){.name = "plugin", .nullable = true}, &made.plugin)))
			plugin_rules(&problems, made.plugin);
		read_profile(&problems, body, &made);
		read_name(&problems, body, true, &made);
		read_model(&problems, body, &made);
		(void) note(
			&made, AUT__F_PROMPT,
			aut__read_text(&problems, &AUT__BODY, body,
						   &(aut__rule){.name = "prompt", .nullable = true, .max = PROMPT_MAX},
						   &made.prompt));
		read_repos(&problems, body, &made);
		read_trigger(&problems, body, true, sql, &made);
		read_what(&problems, body, true, sql, &made);
		read_limits(&problems, body, settings, &made);
		read_state(&problems, body, true, &made);
		read_environment(&problems, body, &made);
		aut__refuse_others(&problems, &AUT__BODY, body, known);
	}
	return finish(&problems, &made, out, out_problems, err);
}
