/* SPDX-License-Identifier: MIT */
/*
 * core/service/requested_types.c - what a forwarder of a built-in source is asked to send.
 *
 * Somebody else receives the events of GitHub, Jira and the like and passes them on; this tells them which
 * kinds anybody here waits for (triggers.md section 6).  The question is signed as a delivery is, over the
 * name of the source.  GitHub's kinds are always the same, with the rules by which they are told apart; of
 * the others the families are collected from the triggers of all organizations.
 */
#include <stdlib.h>
#include <string.h>

#include "automation/event.h"
#include "core/service/internal.h"

#define PAGE         1000
#define FAMILIES_MAX 10000 /* different ones; who has more has asked for everything */

/* ---- github ---------------------------------------------------------------------------------- */

static bool
add_rule(json_t *rules, const aut_github_family *family)
{
	json_t *rule;

	if (family->second != NULL)
		rule = json_sprintf("contains(keys(@), '%s') && contains(keys(@), '%s')", family->first,
							family->second);
	else
		rule = json_sprintf("contains(keys(@), '%s')", family->first);
	rule = json_pack("{s:s, s:o}", "event_type", family->name, "jmespath", rule);
	return rule != NULL && json_array_append_new(rules, rule) == 0;
}

static aut_status
github_types(json_t *types, json_t *rules, aut_error *err)
{
	/* in the contract's order */
	static const char *const names[] = {
		"pull_request", "pull_request_review", "issues", "issue_comment", "push", "release"};
	aut_github_family family;
	bool good = true;

	for (size_t i = 0; good && i < sizeof names / sizeof names[0]; i++)
		good = json_array_append_new(types, json_string(names[i])) == 0;
	for (size_t i = 0; good && aut_github_family_at(i, &family); i++)
		good = add_rule(rules, &family);
	return good ? AUT_OK : aut_fail(err, AUT_ENOMEM, "out of memory for an answer");
}

/* ---- the others ------------------------------------------------------------------------------ */

static bool
add_family(json_t *families, const json_t *pattern)
{
	const char *text = json_string_value(pattern);

	if (text == NULL || json_object_size(families) >= FAMILIES_MAX)
		return true;
	return json_object_setn_new(families, text, aut_pattern_family(text), json_true()) == 0;
}

/* The families of one trigger, if it is of that source.  What no longer parses asks for nothing. */
static aut_status
add_trigger(json_t *families, const char *source, const char *text, aut_error *err)
{
	json_t *trigger = NULL;
	json_t *on;
	size_t index;
	json_t *pattern;
	bool good = true;
	aut_status status = aut_json_parse(text, strlen(text), &trigger, NULL);
	const char *name = aut_json_string(trigger, "source");

	if (status == AUT_OK && name != NULL && strcmp(name, source) == 0)
	{
		on = json_object_get(trigger, "on");
		if (json_is_string(on))
			good = add_family(families, on);
		json_array_foreach(on, index, pattern) good = good && add_family(families, pattern);
	}
	json_decref(trigger);
	if (status == AUT_ENOMEM || !good)
		return aut_fail(err, AUT_ENOMEM, "out of memory for an answer");
	return AUT_OK;
}

static aut_status
collect(aut_db *db, const char *source, json_t *families, aut_error *err)
{
	aut_uuid after = AUT_UUID_NIL;
	size_t count = PAGE;
	aut_status status = AUT_OK;

	while (status == AUT_OK && count == PAGE)
	{
		aut_rows rows = {0};

		status = aut_store_event_triggers(db, &after, PAGE, &rows, err);
		count = rows.count;
		for (size_t i = 0; status == AUT_OK && i < count; i++)
		{
			const char *text = aut_rows_text(&rows, i, 1);

			after = aut_rows_uuid(&rows, i, 0);
			/* parsing is what costs: look before */
			if (text != NULL && strstr(text, source) != NULL)
				status = add_trigger(families, source, text, err);
		}
		aut_rows_done(&rows);
	}
	return status;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static aut_status
sorted(json_t *families, json_t *types, aut_error *err)
{
	size_t count = 0;
	size_t size = json_object_size(families);
	const char **names = aut_calloc(size + 1, sizeof *names);
	const char *name;
	json_t *value;
	bool good = names != NULL;

	if (good && json_object_get(families, "*") != NULL)
		names[count++] = "*"; /* and that is all */
	else if (good)
	{
		json_object_foreach(families, name, value) names[count++] = name;
		qsort(names, count, sizeof *names, by_name);
	}
	for (size_t i = 0; good && i < count; i++)
		good = json_array_append_new(types, json_string(names[i])) == 0;
	aut_free(names);
	return good ? AUT_OK : aut_fail(err, AUT_ENOMEM, "out of memory for an answer");
}

/* ---- the question ---------------------------------------------------------------------------- */

static aut_status
is_signed(const aut_call *call, const char *source, aut_event_header *get_header, void *get_payload,
		  aut_error *err)
{
	const char *secret = call->settings->webhook_secret;
	aut_signature signature = {
		.secret = secret,
		.header = AUT_SIGNATURE_HEADER_BUILTIN,
		.get_header = get_header,
		.get_payload = get_payload,
		.body = source,
		.body_len = strlen(source),
		.now_us = call->now_us,
	};

	if (!aut_event_is_builtin(source) || secret == NULL || secret[0] == '\0')
		return aut_fail(err, AUT_ENOTFOUND, "This source is not configured");
	return aut_signature_check(&signature, err);
}

aut_status
aut_service_requested_types(aut_call *call, const char *source, aut_event_header *get_header,
							void *get_payload, json_t **out, aut_error *err)
{
	json_t *types = json_array();
	json_t *rules = json_array();
	json_t *families = json_object();
	aut_status status = is_signed(call, source, get_header, get_payload, err);

	if (status == AUT_OK && (types == NULL || rules == NULL || families == NULL))
		status = aut_fail(err, AUT_ENOMEM, "out of memory for an answer");
	if (status == AUT_OK && strcmp(source, "github") == 0)
		status = github_types(types, rules, err);
	else if (status == AUT_OK)
	{
		status = collect(call->db, source, families, err);
		if (status == AUT_OK)
			status = sorted(families, types, err);
	}
	if (status == AUT_OK)
		status = aut__give(json_pack("{s:s, s:O, s:O}", "source", source, "event_types", types,
									 "event_detection_rules", rules),
						   out, err);
	json_decref(types);
	json_decref(rules);
	json_decref(families);
	return status;
}
