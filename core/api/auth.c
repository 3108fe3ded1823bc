/* SPDX-License-Identifier: MIT */
/*
 * core/api/auth.c - who sends a request.
 *
 * A credential is looked for as the contract says: `Authorization` that starts with exactly "Bearer ",
 * else a non-blank X-Session-API-Key, else one of the cloud's cookies, which may come in pieces.  The
 * first that is present decides; one that does not fit never falls through to the next.
 *
 * A run reports about itself with a token of its own (run_token.c), which opens nothing else.
 *
 * A key that is one of ours (compared in constant time) is the local identity.  Any other credential is a
 * question to the cloud (upstream.c) - where there is a cloud: when runs execute there, or when its URL
 * was given.  Where an operator chose a local key and runs execute locally, a wrong key is a wrong key
 * and nobody else is asked.
 */
#include <string.h>
#include <strings.h>

#include "core/api/api_internal.h"

#define COOKIE_CHUNKS_MAX 8

static const char bearer[] = "Bearer ";

static bool
blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v';
}

/* ---- what was sent --------------------------------------------------------------------------- */

/* The key's bytes within a header, or false when there is none. */
static bool
find_key(const aut_exchange *exchange, const char **out_key, size_t *out_len)
{
	const char *header = aut_exchange_header(exchange, "Authorization");
	const char *end;

	if (header != NULL && strncmp(header, bearer, sizeof bearer - 1) == 0)
	{
		*out_key = header + sizeof bearer - 1;
		*out_len = strlen(*out_key);
		return true;
	}
	header = aut_exchange_header(exchange, "X-Session-API-Key");
	if (header == NULL)
		return false;
	while (blank(*header))
		header++;
	end = header + strlen(header);
	while (end > header && blank(end[-1]))
		end--;
	*out_key = header;
	*out_len = (size_t) (end - header);
	return end > header;
}

/* The value of the last cookie of that name; quotes around it go. */
static bool
find_cookie(const char *header, const char *name, size_t name_len, const char **out,
			size_t *out_len)
{
	bool found = false;

	while (*header != '\0')
	{
		size_t len = strcspn(header, ";");
		const char *from = header, *end = header + len, *equals;

		while (from < end && blank(*from))
			from++;
		while (end > from && blank(end[-1]))
			end--;
		equals = memchr(from, '=', (size_t) (end - from));
		if (equals != NULL && (size_t) (equals - from) == name_len &&
			memcmp(from, name, name_len) == 0)
		{
			*out = equals + 1;
			*out_len = (size_t) (end - equals - 1);
			if (*out_len >= 2 && **out == '"' && end[-1] == '"')
			{
				(*out)++;
				*out_len -= 2;
			}
			found = true;
		}
		header += len + (header[len] == ';');
	}
	return found;
}

/* <name>, <name>_1, … joined until the first that is missing. */
static aut_status
join_cookie(aut_exchange *exchange, const char *header, const char *name, const char **out,
			aut_error *err)
{
	struct
	{
		const char *from;
		size_t len;
	} pieces[COOKIE_CHUNKS_MAX];
	size_t count = 0, total = 0;
	char *text, *at;

	for (; count < COOKIE_CHUNKS_MAX; count++)
	{
		char piece[40];
		int len = count == 0 ? snprintf(piece, sizeof piece, "%s", name)
							 : snprintf(piece, sizeof piece, "%s_%zu", name, count);

		if (!find_cookie(header, piece, (size_t) len, &pieces[count].from, &pieces[count].len))
			break;
		total += pieces[count].len;
	}
	if (total == 0)
		return AUT_OK;
	text = at = aut_arena_alloc(aut_exchange_arena(exchange), total + 1);
	if (text == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++)
	{
		memcpy(at, pieces[i].from, pieces[i].len);
		at += pieces[i].len;
	}
	*at = '\0';
	*out = text;
	return AUT_OK;
}

aut_status
aut__api_credential(aut_exchange *exchange, aut_api_credential *out, aut_error *err)
{
	static const char *const names[] = {"openhands_auth", "keycloak_auth"};
	const char *cookies = aut_exchange_header(exchange, "Cookie");
	const char *joined = NULL;
	aut_status status = AUT_OK;

	memset(out, 0, sizeof *out);
	if (find_key(exchange, &out->text, &out->len))
		return out->len > 0 ? AUT_OK : aut_fail(err, AUT_EUNAUTH, "Invalid API key");
	for (size_t i = 0; cookies != NULL && i < 2 && joined == NULL && status == AUT_OK; i++)
	{
		status = join_cookie(exchange, cookies, names[i], &joined, err);
		out->cookie = names[i];
	}
	if (status == AUT_OK && joined == NULL)
		return aut_fail(err, AUT_EUNAUTH, "Not authenticated");
	if (status == AUT_OK)
	{
		out->text = joined;
		out->len = strlen(joined);
	}
	return status;
}

/* ---- whose it is ----------------------------------------------------------------------------- */

static bool
is_ours(const aut_api *api, const aut_api_credential *credential)
{
	bool match = false;

	/* every key is compared, so that the time says nothing about which one was close */
	for (size_t i = 0; api->keys[i] != NULL; i++)
	{
		if (aut_equal_constant_time(credential->text, credential->len, api->keys[i],
									strlen(api->keys[i])))
			match = true;
	}
	return match;
}

bool
aut__api_reports_itself(const aut_api *api, aut_exchange *exchange, const aut_api_match *match)
{
	aut_api_credential credential;
	char token[AUT_RUN_TOKEN_MAX];
	aut_uuid run;
	bool same = false;

	if (match->route->permission == NULL || match->route->permission[0] != 'O' ||
		match->id == NULL || !aut_uuid_parse(match->id, match->id_len, &run) ||
		aut__api_credential(exchange, &credential, NULL) != AUT_OK || credential.cookie != NULL)
		return false;
	for (size_t i = 0; api->keys[i] != NULL; i++)
		if (aut_run_token(api->keys[i], &run, token, NULL) == AUT_OK &&
			aut_equal_constant_time(credential.text, credential.len, token, strlen(token)))
			same = true;
	return same;
}

aut_status
aut__api_authenticate(const aut_api *api, aut_exchange *exchange, aut_api_credential *credential,
					  const aut_identity **out, aut_error *err)
{
	const aut_settings *settings = api->settings;
	const char *org;
	aut_status status = aut__api_credential(exchange, credential, err);

	*out = NULL;
	if (status != AUT_OK)
		return status;
	if (credential->cookie == NULL && is_ours(api, credential))
	{
		*out = aut_identity_local();
		return AUT_OK;
	}
	if (!aut_settings_has_upstream(settings) ||
		(credential->cookie == NULL && api->keys[0] != NULL && !api->keys_generated &&
		 aut_settings_backend(settings) != AUT_BACKEND_CLOUD))
		return aut_fail(err, AUT_EUNAUTH,
						credential->cookie == NULL ? "Invalid API key" : "Not authenticated");
	org = aut_exchange_header(exchange, "X-Org-Id");
	if (org != NULL && org[0] != '\0')
	{
		if (!aut_uuid_parse(org, strlen(org), &credential->org_id))
			return aut_fail(err, AUT_EBADREQ, "X-Org-Id must be a UUID");
		credential->has_org = true;
	}
	return AUT_OK;
}

bool
aut__api_has_token(const aut_exchange *exchange)
{
	const char *header = aut_exchange_header(exchange, "Authorization");

	if (header != NULL && strncasecmp(header, bearer, sizeof bearer - 1) == 0)
		return true;
	return aut_exchange_header(exchange, "X-Session-API-Key") != NULL;
}
