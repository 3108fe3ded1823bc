/* SPDX-License-Identifier: MIT */
/*
 * core/api/agent_profiles.c - asking the cloud whether an agent profile exists, before the unit begins.
 *
 * A body that names an agent_profile_id makes the request wait for GET /api/agent-profiles, in the
 * caller's name.  The outcome travels with the request into the service call, which knows when in the
 * order of its checks it counts.  The ids of an organization are remembered for a minute; one that is
 * not among them is asked for afresh, so that a profile made a moment ago can be used.
 *
 * Only where runs execute in the cloud and the caller is known there; elsewhere any id passes.
 */
#include <string.h>

#include "core/api/api_internal.h"

#define KEEP_US  (60 * AUT_US_PER_S)
#define ORGS_MAX 256

/* The profiles of an organization. */
struct aut_api_profiles
{
	struct aut_api_profiles *next; /* newest first */
	aut_uuid org_id;
	int64_t until_us;
	json_t *ids;
};

/* The id a body names, or NULL.  (What is no UUID is the form's to refuse.) */
static const char *
named(const json_t *body, char canonical[AUT_UUID_TEXT_MAX])
{
	const char *text = aut_json_string(body, "agent_profile_id");
	aut_uuid id;

	if (text == NULL)
		text = aut_json_string(json_object_get(body, "draft"), "agent_profile_id");
	if (text == NULL || !aut_uuid_parse(text, strlen(text), &id))
		return NULL;
	return aut_uuid_format(&id, canonical);
}

bool
aut__api_profiles_wanted(const aut_api_request *request)
{
	char canonical[AUT_UUID_TEXT_MAX];

	return (request->route->flags & AUT_ROUTE_PROFILES) != 0 && request->caller != NULL &&
		   aut_settings_backend(request->api->settings) == AUT_BACKEND_CLOUD &&
		   named(request->body, canonical) != NULL;
}

/* ---- what is remembered ---------------------------------------------------------------------- */

static void
drop(struct aut_api_profiles **at)
{
	struct aut_api_profiles *gone = *at;

	*at = gone->next;
	json_decref(gone->ids);
	aut_free(gone);
}

static const json_t *
remembered(aut_api *api, const aut_uuid *org_id)
{
	int64_t now = aut_mono_us(api->clock);

	for (struct aut_api_profiles **at = &api->profiles; *at != NULL;)
	{
		if ((*at)->until_us <= now)
			drop(at);
		else if (aut_uuid_equal(&(*at)->org_id, org_id))
			return (*at)->ids;
		else
			at = &(*at)->next;
	}
	return NULL;
}

/* Not being able to remember costs a question, no more. */
static void
remember(aut_api *api, const aut_uuid *org_id, json_t *ids)
{
	struct aut_api_profiles *made = aut_calloc(1, sizeof *made);
	size_t count = 0;

	for (struct aut_api_profiles **at = &api->profiles; *at != NULL;)
	{
		if (aut_uuid_equal(&(*at)->org_id, org_id) || ++count >= ORGS_MAX)
			drop(at);
		else
			at = &(*at)->next;
	}
	if (made == NULL)
		return;
	made->org_id = *org_id;
	made->until_us = aut_mono_us(api->clock) + KEEP_US;
	made->ids = json_incref(ids);
	made->next = api->profiles;
	api->profiles = made;
}

void
aut__api_profiles_free(aut_api *api)
{
	while (api->profiles != NULL)
		drop(&api->profiles);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void
gone(void *payload)
{
	aut_api_request *request = payload;

	if (request->asking != NULL)
		aut_http_cancel(request->asking);
	request->asking = NULL;
	aut__api_request_free(request);
}

static void
answered(void *payload, const aut_http_reply *reply)
{
	aut_api_request *request = payload;
	aut_agent_profiles *known = &request->agent_profiles;
	json_t *ids = NULL;

	request->asking = NULL;
	if (reply->status != AUT_OK)
		known->status =
			aut_fail(&known->error, AUT_ENET, "The agent profiles cannot be asked for now");
	else if (reply->code == 200)
		known->status = aut__api_profiles_read(reply->body, reply->body_len, &ids, &known->error);
	else if (reply->code == 401)
		known->status = aut_fail(&known->error, AUT_EUNAUTH,
								 "The cloud does not take this credential for agent profiles");
	else if (reply->code == 403)
		known->status =
			aut_fail(&known->error, AUT_EDENIED, "Agent profiles may not be read by this caller");
	else
		known->status = aut_fail(&known->error, AUT_EPROTO,
								 "The agent profiles were answered with %d", reply->code);
	if (ids != NULL)
		remember(request->api, &request->who->org_id, ids);
	request->profile_ids = ids;
	known->ids = ids;
	aut_exchange_set_payload(request->exchange, NULL, NULL);
	aut__api_request_go(request);
}

void
aut__api_profiles_ask(aut_api_request *request)
{
	aut_api *api = request->api;
	aut_agent_profiles *known = &request->agent_profiles;
	const json_t *ids = remembered(api, &request->who->org_id);
	aut_api_credential credential;
	aut_http_request call = {0};
	char canonical[AUT_UUID_TEXT_MAX];
	char *lines[AUT_API_CREDENTIAL_LINES] = {NULL};
	char *url = NULL;
	const char *org = aut_exchange_header(request->exchange, "X-Org-Id");
	aut_http_client *http;
	aut_status status;

	request->has_agent_profiles = true;
	if (ids != NULL && json_object_get(ids, named(request->body, canonical)) != NULL)
	{
		request->profile_ids = json_incref((json_t *) (uintptr_t) ids);
		known->ids = ids;
		aut__api_request_go(request);
		return;
	}
	http = aut__api_upstream_http(api, &known->error);
	status = http != NULL ? aut__api_credential(request->exchange, &credential, &known->error)
						  : AUT_EUNAVAILABLE;
	if (status == AUT_OK && org != NULL)
		credential.has_org = aut_uuid_parse(org, strlen(org), &credential.org_id);
	if (status == AUT_OK)
	{
		url = aut_settings_cloud_url(api->settings, "/api/agent-profiles");
		if (!aut__api_credential_lines(&credential, lines) || url == NULL)
			status = aut_fail(&known->error, AUT_ENOMEM, "out of memory");
	}
	call.method = "GET";
	call.url = url;
	call.headers = (const char *const *) lines;
	call.timeout_ms = api->settings->http_timeout;
	call.cb = answered;
	call.payload = request;
	if (status == AUT_OK)
		status = aut_http_send(http, &call, &request->asking, &known->error);
	for (size_t i = 0; i < AUT_API_CREDENTIAL_LINES && lines[i] != NULL; i++)
	{
		explicit_bzero(lines[i], strlen(lines[i]));
		aut_free(lines[i]);
	}
	aut_free(url);
	known->status = status;
	if (status == AUT_OK)
		aut_exchange_set_payload(request->exchange, request, gone);
	else
		aut__api_request_go(request);
}
