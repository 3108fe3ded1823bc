/* SPDX-License-Identifier: MIT */
/*
 * core/api/routes.c - the one table of routes, and how a path finds its row.
 *
 * The table says for each route its method, path, who may call it, the functions that serve it, and what
 * goes in and comes out; openapi.c makes the description of the API from it, so what is described is what
 * is served.  The first row that fits method and path wins, so rows with fixed words stand before rows
 * with an id in the same place (a segment whose name ends in _id must be a UUID, another is a word); a path that fits only rows of other methods is a 405.  As in the contract
 * a word that no fixed row claims (GET /v1/runs) is taken as an id and refused as one, later, after
 * authentication.
 *
 * If you add a row: say its permission, mark what is not of the contract as an addition, and describe
 * it in docs/http-api.md.
 */
#include <string.h>

#include "core/api/api_internal.h"

/* The rows say what is not zero. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define AUTH AUT_ROUTE_AUTH
#define MORE (AUT_ROUTE_AUTH | AUT_ROUTE_ADDITION)
#define PAGE (AUT_ROUTE_AUTH | AUT_ROUTE_PAGE)
#define NEWS (AUT_ROUTE_AUTH | AUT_ROUTE_NEWS)
#define OURS AUT_MEMBER_ADDITION

/* ---- parameters in the query ------------------------------------------------------------------ */

static const aut_api_member upload_query[] = {
	{"name", "string", AUT_MEMBER_REQUIRED, .min = 1, .max = 255},
	{"description", "string?", .max = 2000},
	{NULL},
};
static const aut_api_member upload_list_query[] = {
	{"status", "@UploadStatus?"},
	{NULL},
};
static const aut_api_member automation_list_query[] = {
	{"created_by", "one-of me,others?"},
	{"name", "string", OURS, .min = 1, .max = 500, .doc = "only those with exactly this name"},
	{NULL},
};
static const aut_api_member logs_query[] = {
	{"after", "integer", OURS | AUT_MEMBER_FROM, .initial = "0",
	 .doc = "offset in bytes to begin at"},
	{"limit", "integer", OURS | AUT_MEMBER_FROM, .min = 1, .max = AUT_API_LOGS_MAX,
	 .initial = "65536", .doc = "bytes at most"},
	{"follow", "boolean", OURS, .initial = "false",
	 .doc = "answer with server-sent events until the run has ended"},
	{NULL},
};

static const aut_api_member event_list_query[] = {
	{"limit", "integer", OURS | AUT_MEMBER_FROM, .min = 1, .max = AUT_API_LIMIT_MAX,
	 .initial = "50"},
	{"cursor", "string", OURS, .doc = "next_cursor of an answer, or empty: from the newest on"},
	{"source", "string", OURS, .min = 1, .max = 255},
	{"key", "string", OURS, .max = 4096, .doc = "only events with exactly this key"},
	{"state", "@EventState", OURS},
	{NULL},
};

/* ---- the table --------------------------------------------------------------------------------- */

static const aut_api_route routes[] = {
	/* service: no authentication, also without the prefix */
	{"GET", "/health", AUT_ROUTE_ROOT, NULL, 200, .answer = aut__api_health,
	 .about = {"health", "Is the process there?", .reply = "HealthResponse"}},
	{"GET", "/ready", AUT_ROUTE_ROOT, NULL, 200, .run = aut__api_ready,
	 .refuse = aut__api_ready_refuse,
	 .about = {"readiness", "Does the database answer?", .reply = "ReadyResponse",
			   .errors = "503"}},
	{"GET", "/sdk-version", AUT_ROUTE_ROOT, NULL, 200, .answer = aut__api_sdk_version,
	 .about = {"sdk_version", "Version of the SDK that runs install",
			   .reply = "SdkVersionResponse"}},
	{"GET", "/server_info", AUT_ROUTE_ROOT, NULL, 200, .answer = aut__api_server_info,
	 .about = {"server_info", "Versions of this service", .reply = "ServerInfoResponse"}},

	/* about the API itself */
	{"GET", "/openapi.json", AUT_ROUTE_UNLISTED, NULL, 200, .answer = aut__api_openapi_answer},
	{"GET", "/docs", AUT_ROUTE_UNLISTED, NULL, 200, .answer = aut__api_docs_answer},
	{"GET", "/redoc", AUT_ROUTE_UNLISTED, NULL, 307, .answer = aut__api_redoc_answer},

	/* uploads */
	{"POST", "/v1/uploads", AUTH, "V", 201, aut__api_upload_create_begin, aut__api_upload_create,
	 .after = aut__api_upload_after,
	 .about = {"create_upload", "Keep a tarball", upload_query, .reply = "UploadResponse",
			   .sends_tarball = true, .errors = "413 415"}},
	{"GET", "/v1/uploads", PAGE, "V", 200, aut__api_upload_list_begin, aut__api_upload_list,
	 .about = {"list_uploads", "Your uploads, newest first", upload_list_query,
			   .reply = "UploadListResponse"}},
	{"GET", "/v1/uploads/{upload_id}", AUTH, "V", 200, .run = aut__api_upload_get,
	 .about = {"get_upload", "One upload", .reply = "UploadResponse", .errors = "404"}},
	{"DELETE", "/v1/uploads/{upload_id}", AUTH, "V", 204, .run = aut__api_upload_delete,
	 .about = {"delete_upload", "Delete an upload and its content", .errors = "404"}},

	/* what this service can do, and whether it would take a form */
	{"GET", "/v1/capabilities", AUTH, "V", 200, .run = aut__api_capabilities,
	 .about = {"get_capabilities", "What works here", .reply = "CapabilitiesResponse"}},
	{"GET", "/v1/sandboxes", MORE, "V", 200, .run = aut__api_sandboxes,
	 .about = {"list_sandboxes", "Cloud sandboxes that this service made and still answers for",
			   .reply = "SandboxesResponse"}},
	{"POST", "/v1/validate", AUTH | AUT_ROUTE_PROFILES, "V", 200, aut__api_body_begin,
	 aut__api_validate,
	 .about = {"validate_draft", "What creating this automation would say",
			   .body = "ValidateDraftRequest", .reply = "ValidateDraftResponse"}},
	/* webhooks */
	{"POST", "/v1/webhooks", AUTH, "M", 201, aut__api_body_begin, aut__api_webhook_create,
	 .about = {"create_webhook", "A new source of events; its secret is told once",
			   .body = "CustomWebhookCreate", .reply = "CustomWebhookCreateResponse",
			   .errors = "409 503"}},
	{"GET", "/v1/webhooks", PAGE, "V", 200, .run = aut__api_webhook_list,
	 .about = {"list_webhooks", "Sources of events, newest first",
			   .reply = "CustomWebhookListResponse"}},
	{"GET", "/v1/webhooks/{webhook_id}", AUTH, "V", 200, .run = aut__api_webhook_get,
	 .about = {"get_webhook", "One source", .reply = "CustomWebhookResponse", .errors = "404"}},
	{"PATCH", "/v1/webhooks/{webhook_id}", AUTH, "M", 200, aut__api_body_begin,
	 aut__api_webhook_update,
	 .about = {"update_webhook", "Change what is given, keep the rest",
			   .body = "CustomWebhookUpdate", .reply = "CustomWebhookResponse", .errors = "404"}},
	{"DELETE", "/v1/webhooks/{webhook_id}", AUTH, "M", 204, .run = aut__api_webhook_delete,
	 .about = {"delete_webhook", "Forget a source and its secret", .errors = "404"}},
	{"POST", "/v1/webhooks/{webhook_id}/rotate-secret", AUTH, "M", 200,
	 .run = aut__api_webhook_rotate,
	 .about = {"rotate_webhook_secret", "A new secret; the old one is worth nothing from now on",
			   .reply = "CustomWebhookSecretResponse", .errors = "404 503"}},

	/* events */
	{"GET", "/v1/events/{source}/requested-types", 0, NULL, 200,
	 aut__api_requested_types_begin, aut__api_requested_types,
	 .about = {"requested_event_types",
			   "What a forwarder of a built-in source is asked for; signed with the shared secret",
			   .reply = "RequestedEventTypesResponse", .errors = "401 404 422"}},

	/* events */
	{"GET", "/v1/events", MORE, "V", 200, aut__api_event_list_begin, aut__api_event_list,
	 .about = {"list_events", "Events that came in, newest first", event_list_query,
			   .reply = "EventListResponse"}},
	{"POST", "/v1/events/test-filter", MORE, "V", 200, aut__api_body_begin,
	 aut__api_event_test_filter,
	 .about = {"test_filter", "Which of the newest events a pattern and filter would let through",
			   .body = "TestFilterRequest", .reply = "TestFilterResponse"}},
	{"GET", "/v1/events/{event_id}", MORE, "V", 200, .run = aut__api_event_get,
	 .about = {"get_event", "One event: what it said, whom it concerned and why",
			   .reply = "EventDetailResponse", .errors = "404"}},
	{"POST", "/v1/events/{event_id}/replay", MORE, "M", 200, .run = aut__api_event_replay,
	 .about = {"replay_event", "Match it again, by the automations as they are now",
			   .reply = "ReplayResponse", .errors = "404 409"}},
	{"POST", "/v1/events/{org_id}/{source}", 0, NULL, 200, aut__api_event_deliver_begin,
	 aut__api_event_deliver,
	 .about = {"receive_event", "A signed delivery of a provider", .reply = "EventResponse",
			   .errors = "400 401 404 413 422"}},

	/* automations */
	{"POST", "/v1", AUTH | AUT_ROUTE_PROFILES, "V", 201, aut__api_body_begin, aut__api_automation_create,
	 .about = {"create_automation",
			   "Create an automation; 200 and the old one when its template has one already",
			   .body = "CreateAutomationRequest", .reply = "AutomationResponse", .also = 200,
			   .errors = "404"}},
	{"POST", "/v1/preset/prompt", AUTH, "V", 201, aut__api_body_begin, aut__api_preset_prompt,
	 .about = {"create_automation_from_prompt",
			   "Create an automation of a prompt; 200 and the old one as above",
			   .body = "CreatePromptAutomationRequest", .reply = "AutomationResponse", .also = 200}},
	{"POST", "/v1/preset/plugin", AUTH, "V", 201, aut__api_body_begin, aut__api_preset_plugin,
	 .about = {"create_automation_from_plugin",
			   "Create an automation of a prompt with plugins, or with variants of them",
			   .body = "CreatePluginAutomationRequest", .reply = "AutomationResponse", .also = 200}},
	{"GET", "/v1", PAGE, "V", 200, aut__api_automation_list_begin, aut__api_automation_list,
	 .about = {"list_automations", "Automations, newest first", automation_list_query,
			   .reply = "AutomationListResponse"}},
	{"GET", "/v1/all-runs", MORE | AUT_ROUTE_PAGE, "V", 200, .run = aut__api_run_list_all,
	 .about = {"list_all_runs", "Runs of all automations, newest first",
			   .reply = "AllRunsResponse"}},
	{"GET", "/v1/{automation_id}", AUTH, "V", 200, .run = aut__api_automation_get,
	 .about = {"get_automation", "One automation", .reply = "AutomationResponse", .errors = "404"}},
	{"PATCH", "/v1/{automation_id}", AUTH | AUT_ROUTE_PROFILES, "E", 200, aut__api_body_begin,
	 aut__api_automation_update,
	 .about = {"update_automation", "Change what is given, keep the rest",
			   .body = "UpdateAutomationRequest", .reply = "AutomationResponse",
			   .errors = "404 409"}},
	{"DELETE", "/v1/{automation_id}", AUTH, "A", 204, .run = aut__api_automation_delete,
	 .about = {"delete_automation",
			   "Delete an automation; what waits is skipped, what runs goes on", .errors = "404"}},
	{"GET", "/v1/{automation_id}/tarball", AUTH, "V", 200, .run = aut__api_automation_tarball,
	 .after = aut__api_automation_tarball_after, .answer = aut__api_automation_tarball_answer,
	 .about = {"download_automation_tarball", "The tarball, or a redirect to where it is",
			   .media = "application/x-tar", .also = 302, .errors = "404"}},
	{"POST", "/v1/{automation_id}/dispatch", AUTH, "A", 201, .run = aut__api_dispatch,
	 .about = {"dispatch_automation", "Run it now", .reply = "AutomationRunResponse",
			   .errors = "404 409"}},
	{"POST", "/v1/{automation_id}/trigger", MORE, "A", 201, aut__api_trigger_begin,
	 aut__api_trigger,
	 .about = {"trigger_automation", "Run it, with input, later, or only once for a key",
			   .body = "TriggerRequest", .body_optional = true, .reply = "AutomationRunResponse",
			   .errors = "404 409"}},
	{"GET", "/v1/{automation_id}/runs", PAGE, "V", 200, .run = aut__api_run_list,
	 .about = {"list_automation_runs", "Its runs, newest first",
			   .reply = "AutomationRunListResponse", .errors = "404"}},

	/* runs */
	{"POST", "/v1/runs/{run_id}/complete", NEWS, "O", 200, aut__api_body_begin,
	 aut__api_run_complete,
	 .about = {"complete_run", "A run reports how it ended", .body = "RunCompleteRequest",
			   .reply = "AutomationRunResponse", .errors = "404 409"}},
	{"POST", "/v1/runs/{run_id}/phase", NEWS, "O", 200, aut__api_body_begin, aut__api_run_phase,
	 .about = {"report_run_phase", "A run reports what it is at", .body = "RunPhaseRequest",
			   .reply = "AutomationRunResponse", .errors = "404 409"}},
	{"POST", "/v1/runs/{run_id}/cancel", NEWS, "A", 200, .run = aut__api_run_cancel,
	 .about = {"cancel_run", "End a run", .reply = "AutomationRunResponse", .errors = "404 409"}},
	{"GET", "/v1/runs/{run_id}", MORE, "V", 200, .run = aut__api_run_get,
	 .about = {"get_run", "One run", .reply = "AutomationRunResponse", .errors = "404"}},
	{"GET", "/v1/runs/{run_id}/logs", MORE, "V", 200, aut__api_logs_begin, aut__api_logs,
	 aut__api_logs_answer,
	 .about = {"get_run_logs", "What a run printed", logs_query, .reply = "RunLogsResponse",
			   .media = "text/event-stream", .errors = "404"}},
};

#define ROUTE_COUNT (sizeof routes / sizeof routes[0])

const aut_api_route *
aut__api_route_at(size_t index)
{
	return index < ROUTE_COUNT ? &routes[index] : NULL;
}

bool
aut__api_segment_is_id(const char *name, size_t len)
{
	return len > 3 && memcmp(name + len - 3, "_id", 3) == 0;
}

/* Does the path fit the pattern?  Notes the segment that stands for {…}. */
static bool
fits(const char *pattern, const char *path, aut_api_match *match)
{
	while (*pattern != '\0')
	{
		if (*pattern == '{')
		{
			size_t name_len = strcspn(pattern + 1, "}");
			size_t len = strcspn(path, "/");

			if (len == 0)
				return false;
			if (aut__api_segment_is_id(pattern + 1, name_len))
			{
				match->id = path;
				match->id_len = len;
				match->id_name = pattern + 1;
				match->id_name_len = name_len;
			}
			else
			{
				match->word = path;
				match->word_len = len;
			}
			pattern += name_len + 2;
			path += len;
		}
		else if (*pattern++ != *path++)
			return false;
	}
	return *path == '\0';
}

/* The part of path below the prefix, or NULL when it is not below it. */
static const char *
below_prefix(const aut_api *api, const char *path)
{
	size_t len = strlen(api->prefix);

	if (strncmp(path, api->prefix, len) != 0)
		return NULL;
	return path[len] == '/' ? path + len : NULL;
}

static bool
row_fits(const aut_api *api, const aut_api_route *route, const char *path, aut_api_match *match)
{
	const char *below = below_prefix(api, path);

	match->id = NULL;
	match->id_len = 0;
	match->id_name = NULL;
	match->id_name_len = 0;
	match->word = NULL;
	match->word_len = 0;
	if (below != NULL && fits(route->pattern, below, match))
		return true;
	return (route->flags & AUT_ROUTE_ROOT) != 0 && fits(route->pattern, path, match);
}

void
aut__api_match(const aut_api *api, const char *method, const char *path, aut_api_match *out)
{
	bool known = false;

	for (size_t i = 0; i < ROUTE_COUNT; i++)
	{
		if (!row_fits(api, &routes[i], path, out))
			continue;
		known = true;
		if (strcmp(routes[i].method, method) == 0)
		{
			out->route = &routes[i];
			out->path_known = true;
			return;
		}
	}
	memset(out, 0, sizeof *out);
	out->path_known = known;
}

void
aut__api_allow(const aut_api *api, const char *path, aut_buf *out)
{
	aut_api_match match;
	/* a path can fit a fixed row and an id row of the same method (/v1/uploads): name it once */
	const char *seen[8] = {NULL};
	size_t count = 0;

	for (size_t i = 0; i < ROUTE_COUNT; i++)
	{
		bool repeated = false;

		if (!row_fits(api, &routes[i], path, &match))
			continue;
		for (size_t j = 0; j < count; j++)
			repeated = repeated || strcmp(seen[j], routes[i].method) == 0;
		if (repeated || count == sizeof seen / sizeof seen[0])
			continue;
		seen[count++] = routes[i].method;
		aut_buf_printf(out, "%s%s", count > 1 ? ", " : "", routes[i].method);
	}
}
