/* SPDX-License-Identifier: MIT */
/*
 * core/service/preset_form.c - what presets have more than other automations: repositories, plugins,
 * variants (http-api.md section 8).
 *
 * Each list comes out as it is kept and as the run's program reads it: addresses normalized, only the
 * members that have a value.  That is what makes two requests that mean the same the same tarball.
 */
#include <string.h>

#include "core/service/preset.h"
#include "core/service/webhook_form.h"

#define LIST_MAX         100 /* repositories or plugins; each costs the run a clone */
#define VARIANTS_MIN     2
#define VARIANTS_MAX     10
#define VARIANT_NAME_MAX 100
#define MODEL_MAX        64

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";

/* Set a member of an entry in the making; without memory the whole check fails. */
static void
put(aut__problems *problems, json_t *object, const char *key, json_t *take_value)
{
	aut_error why = AUT_ERROR_INIT;

	if (aut_json_set(object, key, take_value))
		return;
	aut_fail(&why, AUT_ENOMEM, "out of memory while checking a request");
	aut__problems_fail(problems, &why);
}

static void
append(aut__problems *problems, json_t *list, json_t *take_value)
{
	aut_error why = AUT_ERROR_INIT;

	if (take_value != NULL && json_array_append_new(list, take_value) == 0)
		return;
	aut_fail(&why, AUT_ENOMEM, "out of memory while checking a request");
	aut__problems_fail(problems, &why);
}

/* ---- repositories --------------------------------------------------------------------------- */

/* "owner/repository": which site that is on is another member's to say. */
static bool
is_short(const char *url)
{
	/* the owner has no dots: with one it would be a host */
	size_t owner = strspn(url, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");
	size_t rest;

	if (owner == 0 || url[owner] != '/')
		return false;
	rest = strspn(url + owner + 1, letters);
	return rest > 0 && url[owner + 1 + rest] == '\0';
}

static bool
begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* The address as it is kept; aut_free.  NULL: none (a problem was added, or no memory). */
static char *
repo_url(aut__problems *problems, const aut__loc *at, const json_t *input, const char *url,
		 const char *provider)
{
	aut__loc here = {at, "url", 0};
	char *out = NULL;
	aut_error why = AUT_ERROR_INIT;

	if (is_short(url) && provider == NULL)
		aut__problem_value(problems, at, input,
						   "the short form owner/repository needs a provider (github, gitlab or "
						   "bitbucket); or give the whole URL");
	else if (is_short(url) && strcmp(provider, "azure_devops") == 0)
		aut__problem_value(problems, at, input,
						   "a repository of Azure DevOps needs its whole URL, like "
						   "https://dev.azure.com/organization/project/_git/repository");
	else if (is_short(url) || begins(url, "https://") || begins(url, "git@") ||
			 begins(url, "file://"))
		out = aut_strdup(url);
	else if (begins(url, "http://"))
		/* a token goes along */
		out = aut_printf("https://%s", url + strlen("http://"));
	else
	{
		aut__problem_value(problems, &here, json_object_get(input, "url"),
						   "url must be owner/repository, or begin with https://, git@ or file://");
		return NULL;
	}
	if (out == NULL && problems->list == NULL)
	{
		aut_fail(&why, AUT_ENOMEM, "out of memory while checking a request");
		aut__problems_fail(problems, &why);
	}
	return out;
}

static json_t *
read_repo(aut__problems *problems, const aut__loc *at, const json_t *value)
{
	static const char *const known[] = {"url", "ref", "provider", NULL};
	static const char *const providers[] = {"github", "gitlab", "bitbucket", "azure_devops", NULL};
	const char *url = NULL, *ref = NULL, *provider = NULL;
	json_t *out = json_object();
	char *kept = NULL;
	aut__got got;

	if (!aut__is_object(problems, at, value))
		return out;
	got = aut__read_text(problems, at, value, &(aut__rule){.name = "url", .required = true}, &url);
	(void) aut__read_text(problems, at, value, &(aut__rule){.name = "ref", .nullable = true}, &ref);
	if (aut__read_word(problems, at, value, &(aut__rule){.name = "provider", .nullable = true},
					   providers, &provider) == AUT__BAD)
		got = AUT__BAD;
	aut__refuse_others(problems, at, value, known);
	if (got == AUT__VALUE)
		kept = repo_url(problems, at, value, url, provider);
	if (kept != NULL)
	{
		put(problems, out, "url", json_string(kept));
		if (ref != NULL)
			put(problems, out, "ref", json_string(ref));
		if (provider != NULL)
			put(problems, out, "provider", json_string(provider));
	}
	aut_free(kept);
	return out;
}

/* A member that is a list, or one entry in place of a list of one.  Calls read for each. */
typedef json_t *reader(aut__problems *problems, const aut__loc *at, const json_t *value);

static json_t *
read_list(aut__problems *problems, const aut__loc *at, const json_t *value, bool one_is_a_list,
		  reader *read)
{
	json_t *out = json_array();
	size_t count = json_is_array(value) ? json_array_size(value) : 1;

	if (!json_is_array(value) && !one_is_a_list)
		aut__problem(problems, at, "list_type", value, NULL, "Input should be a valid list");
	else if (count > LIST_MAX)
		aut__problem(problems, at, "too_long", NULL,
					 json_pack("{s:s, s:i, s:I}", "field_type", "List", "max_length", LIST_MAX,
							   "actual_length", (json_int_t) count),
					 "List should have at most %d items", LIST_MAX);
	else
	{
		for (size_t i = 0; i < count; i++)
		{
			aut__loc item = {at, NULL, i};
			const json_t *entry = json_is_array(value) ? json_array_get(value, i) : value;

			append(problems, out, read(problems, &item, entry));
		}
	}
	return out;
}

/* One that may be a text alone. */
static json_t *
read_repo_or_url(aut__problems *problems, const aut__loc *at, const json_t *value)
{
	json_t *wrapped = NULL;
	json_t *out;

	if (json_is_string(value))
	{
		wrapped = json_pack("{s:O}", "url", value);
		if (wrapped == NULL)
			return NULL;
	}
	out = read_repo(problems, at, wrapped != NULL ? wrapped : value);
	json_decref(wrapped);
	return out;
}

json_t *
aut__read_repos(aut__problems *problems, const json_t *body)
{
	aut__loc here = {&AUT__BODY, "repos", 0};
	const json_t *value = json_object_get(body, "repos");
	bool listed = json_is_array(value) || json_is_string(value) || json_is_object(value);

	if (value == NULL || json_is_null(value))
		return NULL;
	return read_list(problems, &here, value, listed, read_repo_or_url);
}

/* ---- plugins -------------------------------------------------------------------------------- */

static json_t *
read_plugin(aut__problems *problems, const aut__loc *at, const json_t *value)
{
	const char *source = NULL, *ref = NULL, *repo_path = NULL;
	json_t *out = json_object();

	/* members that it does not know are the plugin loader's own business and are dropped */
	if (!aut__is_object(problems, at, value))
		return out;
	if (aut__read_text(problems, at, value,
					   &(aut__rule){.name = "source", .required = true, .min = 1},
					   &source) == AUT__VALUE)
		put(problems, out, "source", json_string(source));
	if (aut__read_text(problems, at, value, &(aut__rule){.name = "ref", .nullable = true}, &ref) ==
		AUT__VALUE)
		put(problems, out, "ref", json_string(ref));
	if (aut__read_text(problems, at, value, &(aut__rule){.name = "repo_path", .nullable = true},
					   &repo_path) == AUT__VALUE)
	{
		aut__repo_path_rules(problems, at, json_object_get(value, "repo_path"));
		put(problems, out, "repo_path", json_string(repo_path));
	}
	return out;
}

json_t *
aut__read_plugins(aut__problems *problems, const aut__loc *at, const json_t *object,
				  bool one_is_a_list)
{
	aut__loc here = {at, "plugins", 0};
	const json_t *value = json_object_get(object, "plugins");
	json_t *out;

	if (value == NULL || json_is_null(value))
		return NULL;
	out = read_list(problems, &here, value, one_is_a_list && json_is_object(value), read_plugin);
	if (json_is_array(value) && json_array_size(value) == 0)
		aut__problem_value(problems, &here, value, "plugins must name at least one plugin");
	return out;
}

/* ---- variants ------------------------------------------------------------------------------- */

static void
read_weight(aut__problems *problems, const aut__loc *at, const json_t *value, json_t *out)
{
	aut__loc here = {at, "weight", 0};
	int64_t weight = 0;

	if (aut__read_int(problems, at, value, &(aut__rule){.name = "weight", .required = true},
					  &weight) != AUT__VALUE)
		return;
	if (weight <= 0)
		aut__problem(problems, &here, "greater_than", json_object_get(value, "weight"),
					 json_pack("{s:i}", "gt", 0), "Input should be greater than 0");
	put(problems, out, "weight", json_integer(weight));
}

static json_t *
read_variant(aut__problems *problems, const aut__loc *at, const json_t *value)
{
	static const char *const known[] = {"name", "weight", "model", "plugins", NULL};
	aut__loc at_plugins = {at, "plugins", 0};
	aut__loc at_model = {at, "model", 0};
	const char *name = NULL, *model = NULL;
	json_t *plugins;
	json_t *out = json_object();

	if (!aut__is_object(problems, at, value))
		return out;
	if (aut__read_text(
			problems, at, value,
			&(aut__rule){.name = "name", .required = true, .min = 1, .max = VARIANT_NAME_MAX},
			&name) == AUT__VALUE)
		put(problems, out, "name", json_string(name));
	read_weight(problems, at, value, out);
	if (aut__read_text(problems, at, value,
					   &(aut__rule){.name = "model", .nullable = true, .min = 1, .max = MODEL_MAX},
					   &model) == AUT__VALUE)
	{
		if (strchr("_-.", model[0]) != NULL || model[strspn(model, letters)] != '\0')
			aut__problem(problems, &at_model, "string_pattern_mismatch",
						 json_object_get(value, "model"),
						 json_pack("{s:s}", "pattern", "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
						 "model must begin with a letter or digit and hold only letters, digits, "
						 "'.', '_' and '-'");
		put(problems, out, "model", json_string(model));
	}
	if (json_object_get(value, "plugins") == NULL)
		aut__problem(problems, &at_plugins, "missing", value, NULL, "Field required");
	else if (json_is_null(json_object_get(value, "plugins")))
		aut__problem(problems, &at_plugins, "list_type", NULL, NULL,
					 "Input should be a valid list");
	plugins = aut__read_plugins(problems, at, value, false);
	if (plugins != NULL)
		put(problems, out, "plugins", plugins);
	aut__refuse_others(problems, at, value, known);
	return out;
}

/* No two variants of one name, or nobody could tell them apart afterwards. */
static void
unique_names(aut__problems *problems, const aut__loc *at, const json_t *input, const json_t *list)
{
	for (size_t i = 1; i < json_array_size(list); i++)
	{
		const char *name = aut_json_string(json_array_get(list, i), "name");

		for (size_t k = 0; k < i && name != NULL; k++)
		{
			const char *other = aut_json_string(json_array_get(list, k), "name");

			if (other == NULL || strcmp(name, other) != 0)
				continue;
			aut__problem_value(problems, at, input, "variants must have different names");
			return;
		}
	}
}

json_t *
aut__read_variants(aut__problems *problems, const json_t *body)
{
	aut__loc here = {&AUT__BODY, "variants", 0};
	const json_t *value = json_object_get(body, "variants");
	size_t count = json_array_size(value);
	json_t *out;

	if (value == NULL || json_is_null(value))
		return NULL;
	if (json_is_array(value) && (count < VARIANTS_MIN || count > VARIANTS_MAX))
	{
		aut__problem_value(problems, &here, value, "variants must be %d to %d", VARIANTS_MIN,
						   VARIANTS_MAX);
		return NULL;
	}
	out = read_list(problems, &here, value, false, read_variant);
	unique_names(problems, &here, value, out);
	return out;
}

void
aut__plugin_rule(aut__problems *problems, const json_t *body, const aut__form *form)
{
	const char *fault = NULL;

	if (form->plugin_list == NULL && form->variant_list == NULL)
		fault = "either plugins or variants must be given";
	else if (form->plugin_list != NULL && form->variant_list != NULL)
		fault = "plugins and variants exclude each other";
	else if (form->variant_list != NULL && form->experiment_id == NULL)
		fault = "variants need an experiment_id";
	else if (form->plugin_list != NULL && form->experiment_id != NULL)
		fault = "experiment_id goes with variants, not with plugins";
	if (fault != NULL)
		aut__problem_value(problems, &AUT__BODY, body, "%s", fault);
}
