/* SPDX-License-Identifier: MIT */
/*
 * core/service/profiles.c - which model profile, and which agent profile, an automation may name.
 *
 * The cloud knows what profiles its users have (http-api.md section 6, "Model resolution"); a local
 * service does not, and takes every name.  What is known came with the caller's identity or was asked for
 * by the door before the unit began: nothing here does I/O.
 */
#include "core/service/internal.h"

aut_status
aut__model_resolve(const aut_call *call, const char *requested, const char **out, aut_error *err)
{
	const aut_identity *who = call->who;

	if (requested != NULL && who->llm_profiles != NULL &&
		json_object_get(who->llm_profiles, requested) == NULL)
		return aut_fail(err, AUT_EINVAL, "Model profile '%s' is not one of yours", requested);
	*out = requested != NULL ? requested : who->active_profile;
	return AUT_OK;
}

aut_status
aut__agent_profile_check(const aut_call *call, const aut_uuid *id, aut_error *err)
{
	const aut_agent_profiles *known = call->agent_profiles;
	char text[AUT_UUID_TEXT_MAX];

	if (known == NULL)
		return AUT_OK;
	if (known->status != AUT_OK)
	{
		if (err != NULL)
			*err = known->error;
		return known->status;
	}
	if (json_object_get(known->ids, aut_uuid_format(id, text)) == NULL)
		return aut_fail(err, AUT_EINVAL, "Agent profile %s does not exist", text);
	return AUT_OK;
}
