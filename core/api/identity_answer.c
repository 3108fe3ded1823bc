/* SPDX-License-Identifier: MIT */
/*
 * core/api/identity_answer.c - reading what the cloud says: who somebody is, which agent profiles exist.
 *
 * Pure functions over the bytes of an answer.  What is needed is checked and copied, the rest of the
 * user's settings is dropped at once: a cache of identities must hold no model keys, and its size must
 * not be the cloud's choice.  A wrong type in what says who somebody is makes the whole answer unusable;
 * a malformed llm_profiles only counts as absent (http-api.md section 2).
 */
#include <string.h>

#include "core/api/api_internal.h"

#define TEXT_MAX     1000 /* bytes of an e-mail address or a role */
#define PROFILES_MAX 1000
#define NAME_MAX     200 /* bytes of a profile's name; longer ones cannot be asked for anyway */
#define IDS_MAX      10000

void
aut__api_caller_unref(aut_api_caller *caller)
{
	if (caller == NULL || --caller->refs > 0)
		return;
	json_decref(caller->kept);
	aut_free(caller);
}

aut_api_caller *
aut__api_caller_ref(aut_api_caller *caller)
{
	if (caller != NULL)
		caller->refs++;
	return caller;
}

static aut_status
unusable(const char *member, aut_error *err)
{
	return aut_fail(err, AUT_EPROTO, "The identity service gave an unusable %s", member);
}

static aut_status
read_id(const json_t *answer, const char *member, aut_uuid *out, aut_error *err)
{
	const char *text = aut_json_string(answer, member);

	if (text == NULL || !aut_uuid_parse(text, strlen(text), out))
		return unusable(member, err);
	return AUT_OK;
}

/* A text or null, kept under the same name; *out lives in kept. */
static aut_status
read_text(const json_t *answer, const char *member, json_t *kept, const char **out, aut_error *err)
{
	const json_t *value = json_object_get(answer, member);

	if (value == NULL || json_is_null(value))
		return AUT_OK;
	if (!json_is_string(value) || json_string_length(value) > TEXT_MAX)
		return unusable(member, err);
	if (!aut_json_set(kept, member, json_string(json_string_value(value))))
		return aut_fail(err, AUT_ENOMEM, "out of memory for an identity");
	*out = aut_json_string(kept, member);
	return AUT_OK;
}

static aut_status
read_permissions(const json_t *answer, aut_identity *who, aut_error *err)
{
	const json_t *list = json_object_get(answer, "permissions");

	if (list == NULL || json_is_null(list))
		return AUT_OK;
	if (!json_is_array(list))
		return unusable("permissions", err);
	for (size_t i = 0; i < json_array_size(list); i++)
	{
		const char *name = json_string_value(json_array_get(list, i));

		if (name == NULL)
			return unusable("permissions", err);
		who->view = who->view || strcmp(name, "view_automations") == 0;
		who->manage = who->manage || strcmp(name, "manage_automations") == 0;
	}
	return AUT_OK;
}

/* The names alone: what stands behind them may hold keys. */
static aut_status
read_profiles(const json_t *answer, aut_api_caller *caller, aut_error *err)
{
	const json_t *said = json_object_get(answer, "llm_profiles");
	const json_t *all = json_object_get(said, "profiles");
	const json_t *active = json_object_get(said, "active");
	json_t *names;
	const char *name;
	json_t *value;
	bool ok = true;

	if (!json_is_object(all) || json_object_size(all) > PROFILES_MAX ||
		(active != NULL && !json_is_null(active) && !json_is_string(active)))
		return AUT_OK;
	names = json_object();
	ok = aut_json_set(caller->kept, "profiles", names);
	json_object_foreach((json_t *) (uintptr_t) all, name, value)
	{
		(void) value;
		if (strlen(name) <= NAME_MAX)
			ok = ok && aut_json_set(names, name, json_true());
	}
	name = json_string_value(active);
	if (name != NULL && strlen(name) <= NAME_MAX)
		ok = ok && aut_json_set(caller->kept, "active", json_string(name));
	if (!ok)
		return aut_fail(err, AUT_ENOMEM, "out of memory for an identity");
	caller->who.llm_profiles = json_object_get(caller->kept, "profiles");
	caller->who.active_profile = aut_json_string(caller->kept, "active");
	return AUT_OK;
}

aut_status
aut__api_caller_read(const char *body, size_t len, aut_api_caller **out, aut_error *err)
{
	aut_api_caller *caller = aut_calloc(1, sizeof *caller);
	json_t *answer = NULL;
	aut_status status;

	if (caller == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for an identity");
	caller->refs = 1;
	caller->kept = json_object();
	status = caller->kept != NULL ? aut_json_parse(body, len, &answer, err)
								  : aut_fail(err, AUT_ENOMEM, "out of memory for an identity");
	/* the parser's words would quote what is not ours to show */
	if (status != AUT_OK && status != AUT_ENOMEM)
		status = unusable("answer", err);
	if (status == AUT_OK && !json_is_object(answer))
		status = unusable("answer", err);
	if (status == AUT_OK)
		status = read_id(answer, "id", &caller->who.user_id, err);
	if (status == AUT_OK)
		status = read_id(answer, "org_id", &caller->who.org_id, err);
	if (status == AUT_OK)
		status = read_text(answer, "email", caller->kept, &caller->who.email, err);
	if (status == AUT_OK)
		status = read_text(answer, "role", caller->kept, &caller->who.role, err);
	if (status == AUT_OK)
		status = read_permissions(answer, &caller->who, err);
	if (status == AUT_OK)
		status = read_profiles(answer, caller, err);
	json_decref(answer);
	if (status == AUT_OK)
		*out = caller;
	else
		aut__api_caller_unref(caller);
	return status;
}

aut_status
aut__api_profiles_read(const char *body, size_t len, json_t **out_ids, aut_error *err)
{
	json_t *answer = NULL;
	json_t *ids = json_object();
	const json_t *list;
	aut_status status = ids != NULL ? aut_json_parse(body, len, &answer, err)
									: aut_fail(err, AUT_ENOMEM, "out of memory for profiles");

	list = json_object_get(answer, "profiles");
	if (status != AUT_ENOMEM && (!json_is_array(list) || json_array_size(list) > IDS_MAX))
		status = aut_fail(err, AUT_EPROTO, "The list of agent profiles is unusable");
	for (size_t i = 0; status == AUT_OK && i < json_array_size(list); i++)
	{
		const char *text = aut_json_string(json_array_get(list, i), "id");
		char canonical[AUT_UUID_TEXT_MAX];
		aut_uuid id;

		if (text == NULL || !aut_uuid_parse(text, strlen(text), &id))
			status = aut_fail(err, AUT_EPROTO, "The list of agent profiles is unusable");
		else if (!aut_json_set(ids, aut_uuid_format(&id, canonical), json_true()))
			status = aut_fail(err, AUT_ENOMEM, "out of memory for profiles");
	}
	json_decref(answer);
	if (status == AUT_OK)
		*out_ids = ids;
	else
		json_decref(ids);
	return status;
}
