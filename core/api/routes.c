/* SPDX-License-Identifier: MIT */
/*
 * core/api/routes.c - the one table of routes, and how a path finds its row.
 *
 * The table says for each route its method, path, who may call it, and the functions that serve it.
 * The first row that fits method and path wins, so rows with fixed words stand before rows with an
 * id in the same place; a path that fits only rows of other methods is a 405.  As in the contract a
 * word that no fixed row claims (GET /v1/runs) is taken as an id and refused as one, later, after
 * authentication.
 *
 * If you add a row: say its permission, mark what is not of the contract as an addition, and describe
 * it in docs/http-api.md.
 */
#include <string.h>

#include "core/api/api_internal.h"

#define AUTH AUT_ROUTE_AUTH
#define MORE (AUT_ROUTE_AUTH | AUT_ROUTE_ADDITION)
#define PAGE (AUT_ROUTE_AUTH | AUT_ROUTE_PAGE)
#define NEWS (AUT_ROUTE_AUTH | AUT_ROUTE_NEWS)

static const aut_api_route routes[] = {
	/* service: no authentication, also without the prefix */
	{"GET", "/health", AUT_ROUTE_ROOT, NULL, 200, NULL, NULL, aut__api_health, NULL},
	{"GET", "/ready", AUT_ROUTE_ROOT, NULL, 200, NULL, aut__api_ready, NULL, aut__api_ready_refuse},
	{"GET", "/sdk-version", AUT_ROUTE_ROOT, NULL, 200, NULL, NULL, aut__api_sdk_version, NULL},
	{"GET", "/server_info", AUT_ROUTE_ROOT, NULL, 200, NULL, NULL, aut__api_server_info, NULL},

	/* uploads */
	{"POST", "/v1/uploads", AUTH, "V", 201, aut__api_upload_create_begin, aut__api_upload_create,
	 NULL, NULL},
	{"GET", "/v1/uploads", PAGE, "V", 200, aut__api_upload_list_begin, aut__api_upload_list, NULL,
	 NULL},
	{"GET", "/v1/uploads/{upload_id}", AUTH, "V", 200, NULL, aut__api_upload_get, NULL, NULL},
	{"DELETE", "/v1/uploads/{upload_id}", AUTH, "V", 204, NULL, aut__api_upload_delete, NULL, NULL},

	/* automations */
	{"POST", "/v1", AUTH, "V", 201, aut__api_body_begin, aut__api_automation_create, NULL, NULL},
	{"GET", "/v1", PAGE, "V", 200, aut__api_automation_list_begin, aut__api_automation_list, NULL,
	 NULL},
	{"GET", "/v1/all-runs", MORE | AUT_ROUTE_PAGE, "V", 200, NULL, aut__api_run_list_all, NULL,
	 NULL},
	{"GET", "/v1/{automation_id}", AUTH, "V", 200, NULL, aut__api_automation_get, NULL, NULL},
	{"PATCH", "/v1/{automation_id}", AUTH, "E", 200, aut__api_body_begin,
	 aut__api_automation_update, NULL, NULL},
	{"DELETE", "/v1/{automation_id}", AUTH, "A", 204, NULL, aut__api_automation_delete, NULL, NULL},
	{"GET", "/v1/{automation_id}/tarball", AUTH, "V", 200, NULL, aut__api_automation_tarball,
	 aut__api_automation_tarball_answer, NULL},
	{"POST", "/v1/{automation_id}/dispatch", AUTH, "A", 201, NULL, aut__api_dispatch, NULL, NULL},
	{"POST", "/v1/{automation_id}/trigger", MORE, "A", 201, aut__api_trigger_begin,
	 aut__api_trigger, NULL, NULL},
	{"GET", "/v1/{automation_id}/runs", PAGE, "V", 200, NULL, aut__api_run_list, NULL, NULL},

	/* runs */
	{"POST", "/v1/runs/{run_id}/complete", NEWS, "O", 200, aut__api_body_begin,
	 aut__api_run_complete, NULL, NULL},
	{"POST", "/v1/runs/{run_id}/phase", NEWS, "O", 200, aut__api_body_begin, aut__api_run_phase,
	 NULL, NULL},
	{"POST", "/v1/runs/{run_id}/cancel", NEWS, "A", 200, NULL, aut__api_run_cancel, NULL, NULL},
	{"GET", "/v1/runs/{run_id}", MORE, "V", 200, NULL, aut__api_run_get, NULL, NULL},
	{"GET", "/v1/runs/{run_id}/logs", MORE, "V", 200, aut__api_logs_begin, aut__api_logs,
	 aut__api_logs_answer, NULL},
};

#define ROUTE_COUNT (sizeof routes / sizeof routes[0])

const aut_api_route *
aut__api_route_at(size_t index)
{
	return index < ROUTE_COUNT ? &routes[index] : NULL;
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
			match->id = path;
			match->id_len = len;
			match->id_name = pattern + 1;
			match->id_name_len = name_len;
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
