/* SPDX-License-Identifier: MIT */
/*
 * core/service/url_rules.c - the operator's word on where URLs of users may lead.
 *
 * Settings into a policy (core/net/url_policy.c): what is listed, the agent server and the cloud, and
 * whether private networks are fine.  Left to itself (auto) that is so only where runs execute on this
 * machine as its user: there every run can reach all that the daemon can, so refusing a URL would protect
 * nothing and only keep people from their own file server.  Everywhere else it is not.
 */
#include <string.h>

#include "core/service/internal.h"

static bool
private_allowed(const aut_settings *settings)
{
	if (strcmp(settings->allow_private_urls, "auto") == 0)
		return aut_settings_backend(settings) == AUT_BACKEND_EMBEDDED;
	return strcmp(settings->allow_private_urls, "true") == 0;
}

bool
aut_urls_need_lookup(const aut_settings *settings)
{
	return aut_settings_backend(settings) != AUT_BACKEND_EMBEDDED || !private_allowed(settings);
}

aut_status
aut_url_policy_of(const aut_settings *settings, aut_url_policy **out, aut_error *err)
{
	char *cloud = aut_settings_cloud_url(settings, "");
	const char *own[] = {settings->agent_server_url, settings->sandbox_agent_server_url, cloud,
						 NULL};
	aut_url_policy_options options = {private_allowed(settings), settings->allowed_url_hosts, own};
	aut_status status = cloud != NULL ? aut_url_policy_new(&options, out, err)
									  : aut_fail(err, AUT_ENOMEM, "out of memory for a URL");

	aut_free(cloud);
	return status;
}

aut_status
aut__url_check(const aut_call *call, const char *url, const char *member, aut_error *err)
{
	aut_url_policy *policy = NULL;
	aut_status status = aut_url_policy_of(call->settings, &policy, err);

	if (status != AUT_OK)
		return status;
	status = aut_url_policy_check(policy, url, err);
	aut_url_policy_free(policy);
	if (status == AUT_EDENIED)
	{
		/* not a matter of rights: nobody may */
		status = AUT_EINVAL;
		if (err != NULL)
			err->code = AUT_EINVAL;
		aut_error_context(err, "%s", member);
	}
	return status;
}
