/* SPDX-License-Identifier: MIT */
/*
 * core/api/auth.c - who sends a request.
 *
 * A credential is looked for as the contract says: `Authorization` that starts with exactly "Bearer ",
 * else a non-blank X-Session-API-Key.  The first that is present decides; one that does not fit never
 * falls through to the next.  Only local keys are known here, and they are compared in constant time;
 * cookies and keys of elsewhere answer 401.
 */
#include <string.h>
#include <strings.h>

#include "core/api/api_internal.h"

static const char bearer[] = "Bearer ";

static bool
blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v';
}

/* The credential's bytes within a header, or false when there is none. */
static bool
credential(const aut_exchange *exchange, const char **out_key, size_t *out_len)
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

aut_status
aut__api_authenticate(const aut_api *api, aut_exchange *exchange, const aut_identity **out,
					  aut_error *err)
{
	const char *key;
	size_t len;
	bool match = false;

	if (!credential(exchange, &key, &len))
		return aut_fail(err, AUT_EUNAUTH, "Not authenticated");
	/* every key is compared, so that the time says nothing about which one was close */
	for (size_t i = 0; api->keys[i] != NULL; i++)
	{
		if (aut_equal_constant_time(key, len, api->keys[i], strlen(api->keys[i])))
			match = true;
	}
	if (len == 0 || !match)
		return aut_fail(err, AUT_EUNAUTH, "Invalid API key");
	*out = aut_identity_local();
	if (*out == NULL)
		return aut_fail(err, AUT_EINTERNAL, "the local identity is not available");
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
