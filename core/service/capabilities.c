/* SPDX-License-Identifier: MIT */
/*
 * core/service/capabilities.c - GET /v1/capabilities: what works here, for clients that offer it.
 *
 * Only what works is listed: what is not built yet is not named, and neither are prompts where runs go to
 * an agent that has no conversations.  Which event sources there are is told by the same functions that
 * validate.c asks, so that what is offered is what is taken.
 */
#include <stdlib.h>
#include <string.h>

#include "automation/event.h"
#include "automation/match.h"
#include "automation/webhooks.h"
#include "core/service/capabilities.h"

#define WEBHOOK_PAGE 100
#define SOURCES_MAX  1000
#define TYPES_MAX    16 /* families of GitHub's events */
#define TYPE_MAX     64

/* Does a family of GitHub's events lead to runs, and with which pattern are all of its events meant? */
static bool
github_type(size_t index, aut_github_family *out, char pattern[TYPE_MAX])
{
	if (!aut_github_family_at(index, out))
		return false;
	/* a push is the only event without an action */
	(void) snprintf(pattern, TYPE_MAX, "%s%s", out->name,
					strcmp(out->name, "push") == 0 ? "" : ".*");
	return true;
}

bool
aut__github_delivers(const char *pattern)
{
	size_t len = aut_pattern_family(pattern);
	aut_github_family family;

	for (size_t i = 0; aut_github_family_at(i, &family); i++)
	{
		if (family.supported && aut_glob_match(pattern, len, family.name, strlen(family.name)))
			return true;
	}
	return false;
}

bool
aut__has_place(const aut_call *call)
{
	aut_backend_choice choice = aut_settings_backend(call->settings);

	return call->agent_is_embedded || choice == AUT_BACKEND_AGENT_SERVER ||
		   choice == AUT_BACKEND_CLOUD;
}

/* ---- lists ---------------------------------------------------------------------------------- */

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* A list of texts, in order; NULL without memory. */
static json_t *
sorted(const char **texts, size_t count)
{
	json_t *out = json_array();
	bool good = out != NULL;

	qsort(texts, count, sizeof texts[0], compare_texts);
	for (size_t i = 0; good && i < count; i++)
		good = json_array_append_new(out, json_string(texts[i])) == 0;
	if (good)
		return out;
	json_decref(out);
	return NULL;
}

static aut_status
add_text(json_t *list, const char *text, aut_error *err)
{
	if (json_array_append_new(list, json_string(text)) == 0)
		return AUT_OK;
	return aut_fail(err, AUT_ENOMEM, "out of memory for the capabilities");
}

/* The organization's own sources, behind the built-in ones. */
static aut_status
add_webhooks(const aut_call *call, json_t *list, aut_error *err)
{
	aut_status status = AUT_OK;
	size_t count = WEBHOOK_PAGE;

	for (int64_t offset = 0; status == AUT_OK && count == WEBHOOK_PAGE && offset < SOURCES_MAX;
		 offset += WEBHOOK_PAGE)
	{
		aut_webhook_list page = {0};

		status = aut_store_webhook_list(call->db, &call->who->org_id, WEBHOOK_PAGE, offset, &page,
										NULL, err);
		count = page.count;
		for (size_t i = 0; status == AUT_OK && i < count; i++)
		{
			if (page.items[i].enabled)
				status = add_text(list, page.items[i].source, err);
		}
		aut_webhook_list_done(&page);
	}
	return status;
}

static aut_status
event_sources(const aut_call *call, json_t **out, aut_error *err)
{
	static const char *const builtin[] = {"azure_devops", "bitbucket_data_center", "github",
										  "jira_dc"};
	json_t *list = json_array();
	const char **texts;
	size_t count;
	aut_status status = list != NULL ? AUT_OK : aut_fail(err, AUT_ENOMEM, "out of memory");

	for (size_t i = 0; status == AUT_OK && i < sizeof builtin / sizeof builtin[0]; i++)
	{
		if (call->settings->webhook_secret[0] != '\0')
			status = add_text(list, builtin[i], err);
	}
	if (status == AUT_OK)
		status = add_webhooks(call, list, err);
	count = json_array_size(list);
	texts = aut_calloc(count + 1, sizeof texts[0]);
	if (status == AUT_OK && texts == NULL)
		status = aut_fail(err, AUT_ENOMEM, "out of memory for the capabilities");
	for (size_t i = 0; status == AUT_OK && i < count; i++)
		texts[i] = json_string_value(json_array_get(list, i));
	if (status == AUT_OK)
		status = aut__give(sorted(texts, count), out, err);
	aut_free(texts);
	json_decref(list);
	return status;
}

static json_t *
features(const aut_call *call, bool events)
{
	const char *names[16];
	size_t count = 0;

	names[count++] = "agentProfiles";
	names[count++] = "automationDescription";
	names[count++] = "customTarball";
	if (!call->agent_is_embedded)
	{
		names[count++] = "mcpTools";
		names[count++] = "presetPlugin";
		names[count++] = "presetPrompt";
		names[count++] = "repoClone";
		names[count++] = "repoUpdate";
	}
	if (events)
		names[count++] = "webhookDelivery";
	return sorted(names, count);
}

/* ---- triggers ------------------------------------------------------------------------------- */

static json_t *
cron_part(aut_error *err)
{
	json_t *zones = json_array();
	json_t *out = json_object();
	bool good = zones != NULL && aut_tz_list(zones, err) == AUT_OK;

	good = good && aut_json_set(out, "minIntervalSeconds", json_integer(AUT__CRON_FLOOR_S));
	good = good && aut_json_set(out, "timezones", json_incref(zones));
	json_decref(zones);
	if (good)
		return out;
	json_decref(out);
	return NULL;
}

static json_t *
event_part(void)
{
	json_t *functions = json_array();
	json_t *out = json_object();
	bool good = functions != NULL;

	for (size_t i = 0; good && aut_filter_function_at(i) != NULL; i++)
		good = json_array_append_new(functions, json_string(aut_filter_function_at(i))) == 0;
	good = good && aut_json_set(out, "filterLanguage", json_string("jmespath"));
	good = good && aut_json_set(out, "filterFunctions", json_incref(functions));
	json_decref(functions);
	if (good)
		return out;
	json_decref(out);
	return NULL;
}

static json_t *
triggers(bool ready, bool events, aut_error *err)
{
	json_t *out = json_object();
	bool good = out != NULL;

	if (ready)
		good = good && aut_json_set(out, "cron", cron_part(err));
	if (ready && events)
		good = good && aut_json_set(out, "event", event_part());
	if (good)
		return out;
	json_decref(out);
	return NULL;
}

static json_t *
event_types(bool github)
{
	char patterns[TYPES_MAX][TYPE_MAX];
	const char *texts[TYPES_MAX];
	aut_github_family family;
	size_t count = 0;

	for (size_t i = 0; github && i < TYPES_MAX && github_type(i, &family, patterns[count]); i++)
	{
		texts[count] = patterns[count];
		count += family.supported ? 1 : 0;
	}
	return sorted(texts, count);
}

/* ---- the answer ----------------------------------------------------------------------------- */

static bool
has_source(const json_t *sources, const char *name)
{
	for (size_t i = 0; i < json_array_size(sources); i++)
	{
		if (strcmp(json_string_value(json_array_get(sources, i)), name) == 0)
			return true;
	}
	return false;
}

static json_t *
answer(const aut_call *call, bool ready, json_t *sources, aut_error *err)
{
	const char *kinds[] = {"cron", "event"};
	const char *providers[] = {"azure_devops", "bitbucket", "github", "gitlab"};
	bool events = json_array_size(sources) > 0;
	bool github = has_source(sources, "github");
	json_t *out = json_object();
	bool good = aut_json_set(out, "ready", json_boolean(ready));

	good = good && aut_json_set(out, "maxAutomationTimeoutSeconds",
								json_integer(call->settings->max_run_duration));
	good = good && aut_json_set(out, "triggerKinds", sorted(kinds, !ready ? 0 : events ? 2 : 1));
	good = good && aut_json_set(out, "eventSources", json_incref(sources));
	good = good && aut_json_set(out, "eventTypes", event_types(github));
	good = good && aut_json_set(out, "triggers", triggers(ready, events, err));
	good = good && aut_json_set(out, "features", ready ? features(call, events) : json_array());
	if (ready && !call->agent_is_embedded)
		good = good && aut_json_set(out, "repoProviders",
									sorted(providers, sizeof providers / sizeof providers[0]));
	if (good)
		return out;
	json_decref(out);
	return NULL;
}

aut_status
aut_service_capabilities(aut_call *call, json_t **out, aut_error *err)
{
	aut_error why = AUT_ERROR_INIT;
	json_t *sources = NULL;
	json_t *made = NULL;
	bool ready = aut__has_place(call);
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK && ready)
		status = event_sources(call, &sources, err);
	else if (status == AUT_OK)
		status = aut__give(json_array(), &sources, err);
	if (status == AUT_OK)
	{
		made = answer(call, ready, sources, &why);
		if (made == NULL && why.code != AUT_OK)
		{
			status = why.code;
			if (err != NULL)
				*err = why;
		}
		else
			status = aut__give(made, out, err);
	}
	json_decref(sources);
	return status;
}
