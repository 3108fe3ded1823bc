/* SPDX-License-Identifier: MIT */
/*
 * core/api/guard.c - where a request may come from: Host, Origin, CORS.
 *
 * A service on loopback is reachable from every web page its user opens.  Two checks keep pages out:
 *   Host    always: a name that is not ours means that a foreign name was made to point here (DNS
 *           rebinding).  Ours are the loopback names and addresses and the configured listen address,
 *           each with our port, and the host of base_url with any port (a proxy may stand in between).
 *           Listening on all addresses, any numeric address is ours: rebinding needs a name.
 *   Origin  of requests without a token: only our own, or one of the configured origins.  A token in a
 *           header can only be sent by a page that was allowed to by a preflight.
 *   Sec-Fetch-Site  where there is no Origin and no token: pictures, scripts and frames of a foreign page
 *           are asked for without an Origin.  Following a link is allowed, being framed is not.
 * CORS follows the contract's two policies; `Vary: Origin` is on every answer to an Origin.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "core/api/api_internal.h"

#define METHODS_ALLOWED     "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, QUERY"
#define HOST_NAME_MAX_BYTES 255

/* ---- hosts ----------------------------------------------------------------------------------- */

/* Split "name", "name:port", "[v6]:port" into lower-case name and port (-1: none). */
static bool
host_split(const char *text, size_t len, char name[HOST_NAME_MAX_BYTES + 1], int *out_port)
{
	const char *end = text + len;
	const char *colon = NULL;
	const char *from = text;
	size_t name_len;
	int64_t port = -1;
	char digits[8];

	if (len > 0 && text[0] == '[')
	{
		const char *close = memchr(text, ']', len);

		if (close == NULL)
			return false;
		from = text + 1;
		name_len = (size_t) (close - from);
		if (close + 1 < end)
			colon = close + 1;
	}
	else
	{
		colon = memchr(text, ':', len);
		name_len = colon != NULL ? (size_t) (colon - text) : len;
	}
	if (name_len == 0 || name_len > HOST_NAME_MAX_BYTES || (colon != NULL && *colon != ':'))
		return false;
	if (colon != NULL)
	{
		size_t digits_len = (size_t) (end - colon - 1);

		if (digits_len == 0 || digits_len >= sizeof digits)
			return false;
		memcpy(digits, colon + 1, digits_len);
		digits[digits_len] = '\0';
		if (!isdigit((unsigned char) digits[0]) || !aut_int_parse(digits, 0, 65535, &port))
			return false;
	}
	for (size_t i = 0; i < name_len; i++)
		name[i] = (char) tolower((unsigned char) from[i]);
	name[name_len] = '\0';
	*out_port = (int) port;
	return true;
}

static bool
host_numeric(const char *name)
{
	unsigned char address[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

static bool
host_loopback(const char *name)
{
	unsigned char address[sizeof(struct in6_addr)];

	if (strcmp(name, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, name, address) == 1)
		return address[0] == 127;
	return inet_pton(AF_INET6, name, address) == 1 && strcmp(name, "::1") == 0;
}

/* Is this "host[:port]" one of our names?  default_port stands for a missing one. */
static bool
host_ours(const aut_api *api, const char *text, size_t len, int default_port)
{
	char name[HOST_NAME_MAX_BYTES + 1];
	int port;

	if (!host_split(text, len, name, &port))
		return false;
	if (port < 0)
		port = default_port;
	if (api->public_host.name != NULL && strcmp(name, api->public_host.name) == 0)
		return true;
	if (port != aut_http_server_port(api->server))
		return false;
	if (host_loopback(name))
		return true;
	if (api->any_address)
		return host_numeric(name);
	return api->listen_host.name != NULL && strcmp(name, api->listen_host.name) == 0;
}

/* The host part of a URL or an origin: after "//", up to the path; false when there is none. */
static bool
url_host(const char *url, const char **out_host, size_t *out_len, int *out_default_port)
{
	const char *host = strstr(url, "://");

	if (host == NULL)
		return false;
	*out_default_port = strncasecmp(url, "https:", 6) == 0 ? 443 : 80;
	host += 3;
	*out_host = host;
	*out_len = strcspn(host, "/?#");
	return *out_len > 0;
}

/* ---- what the guard keeps -------------------------------------------------------------------- */

/* The list of cors_origins, else the origin of the cloud API.  Blanks and trailing slashes go. */
static aut_status
origins_init(aut_api *api, aut_error *err)
{
	const char *text = api->settings->cors_origins;
	const char *from, *host;
	size_t count = 1, used = 0, len;
	int port;

	for (const char *p = text; *p != '\0'; p++)
		count += *p == ',';
	api->origins = aut_calloc(count + 1, sizeof *api->origins);
	if (api->origins == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	if (text[0] == '\0')
	{
		char *cloud = aut_settings_cloud_url(api->settings, "");

		if (cloud == NULL)
			return aut_fail(err, AUT_ENOMEM, "out of memory");
		if (url_host(cloud, &host, &len, &port))
			cloud[(size_t) (host - cloud) + len] = '\0';
		else
			cloud[0] = '\0'; /* an origin nobody has */
		api->origins[0] = cloud;
		return AUT_OK;
	}
	for (from = text; *from != '\0';)
	{
		const char *next = from + strcspn(from, ",");

		from += strspn(from, " \t");
		len = next > from ? (size_t) (next - from) : 0;
		while (len > 0 && strchr(" \t/", from[len - 1]) != NULL)
			len--;
		if (len > 0)
		{
			api->origins[used] = aut_strndup(from, len);
			if (api->origins[used++] == NULL)
				return aut_fail(err, AUT_ENOMEM, "out of memory");
		}
		from = *next == ',' ? next + 1 : next;
	}
	return AUT_OK;
}

aut_status
aut__api_guard_init(aut_api *api, const char *address, aut_error *err)
{
	char name[HOST_NAME_MAX_BYTES + 1];
	const char *host;
	size_t len;
	int port;

	api->any_address = strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
	api->listen_host.name = aut_strdup(address);
	if (api->listen_host.name == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	if (url_host(api->settings->base_url, &host, &len, &port) && host_split(host, len, name, &port))
	{
		api->public_host.name = aut_strdup(name);
		if (api->public_host.name == NULL)
			return aut_fail(err, AUT_ENOMEM, "out of memory");
	}
	return origins_init(api, err);
}

void
aut__api_guard_done(aut_api *api)
{
	for (size_t i = 0; api->origins != NULL && api->origins[i] != NULL; i++)
		aut_free(api->origins[i]);
	aut_free(api->origins);
	aut_free(api->listen_host.name);
	aut_free(api->public_host.name);
	api->origins = NULL;
	api->listen_host.name = NULL;
	api->public_host.name = NULL;
}

/* ---- origins --------------------------------------------------------------------------------- */

static bool
origin_listed(const aut_api *api, const char *origin)
{
	for (size_t i = 0; api->origins[i] != NULL; i++)
	{
		if (strcmp(api->origins[i], "*") == 0 || strcmp(api->origins[i], origin) == 0)
			return true;
	}
	return false;
}

/* A page we serve ourselves. */
static bool
origin_own(const aut_api *api, const char *origin)
{
	const char *host;
	size_t len;
	int port;

	return url_host(origin, &host, &len, &port) && host_ours(api, host, len, port);
}

/* Does a comma list of header names hold a whole word? */
static bool
list_names(const char *list, const char *word)
{
	size_t word_len = strlen(word);

	while (list != NULL && *list != '\0')
	{
		size_t len;

		list += strspn(list, " \t,");
		len = strcspn(list, " \t,");
		if (len == word_len && strncasecmp(list, word, len) == 0)
			return true;
		list += len;
	}
	return false;
}

/* ---- CORS ------------------------------------------------------------------------------------ */

void
aut__api_cors(const aut_api *api, aut_exchange *exchange)
{
	const char *origin = aut_exchange_header(exchange, "Origin");

	/* A header that cannot be added (no memory) only costs the page its answer. */
	(void) aut_exchange_add_header(exchange, "Vary", "Origin");
	if (origin == NULL)
		return;
	if (aut__api_has_token(exchange))
	{
		(void) aut_exchange_add_header(exchange, "Access-Control-Allow-Origin", "*");
		return;
	}
	if (!origin_listed(api, origin))
		return;
	(void) aut_exchange_add_header(exchange, "Access-Control-Allow-Origin", origin);
	(void) aut_exchange_add_header(exchange, "Access-Control-Allow-Credentials", "true");
}

static void
reply_text(aut_exchange *exchange, int code, const char *text)
{
	aut_exchange_reply(exchange, code, "text/plain; charset=utf-8", text, strlen(text));
}

static void
preflight(const aut_api *api, aut_exchange *exchange, const char *origin, const char *method)
{
	const char *headers = aut_exchange_header(exchange, "Access-Control-Request-Headers");
	bool token = list_names(headers, "authorization") || list_names(headers, "x-session-api-key");
	bool origin_ok = token || origin_listed(api, origin);
	bool method_ok = list_names(METHODS_ALLOWED, method);

	(void) aut_exchange_add_header(exchange, "Vary", "Origin");
	if (origin_ok)
	{
		(void) aut_exchange_add_header(exchange, "Access-Control-Allow-Origin",
									   token ? "*" : origin);
		if (!token)
			(void) aut_exchange_add_header(exchange, "Access-Control-Allow-Credentials", "true");
		(void) aut_exchange_add_header(exchange, "Access-Control-Allow-Methods", METHODS_ALLOWED);
		(void) aut_exchange_add_header(exchange, "Access-Control-Max-Age", "600");
		if (headers != NULL)
			(void) aut_exchange_add_header(exchange, "Access-Control-Allow-Headers", headers);
	}
	if (!origin_ok)
		reply_text(exchange, 400, "Disallowed CORS origin");
	else if (!method_ok)
		reply_text(exchange, 400, "Disallowed CORS method");
	else
		reply_text(exchange, 200, "OK");
}

/* Part of a page that is not ours, by what a browser says of it?  Links people follow are navigation. */
static bool
fetched_by_stranger(const aut_exchange *exchange)
{
	const char *site = aut_exchange_header(exchange, "Sec-Fetch-Site");
	const char *mode = aut_exchange_header(exchange, "Sec-Fetch-Mode");
	const char *dest = aut_exchange_header(exchange, "Sec-Fetch-Dest");

	if (site == NULL || strcmp(site, "same-origin") == 0 || strcmp(site, "none") == 0)
		return false;
	return mode == NULL || strcmp(mode, "navigate") != 0 || dest == NULL ||
		   strcmp(dest, "document") != 0;
}

bool
aut__api_guard(aut_api *api, aut_exchange *exchange)
{
	const char *host = aut_exchange_header(exchange, "Host");
	const char *origin = aut_exchange_header(exchange, "Origin");
	const char *wanted = aut_exchange_header(exchange, "Access-Control-Request-Method");

	if (host == NULL || !host_ours(api, host, strlen(host), 80))
	{
		aut__api_reply_detail(api, exchange, 400, "Invalid host header");
		return true;
	}
	if (origin == NULL)
	{
		if (aut__api_has_token(exchange) || !fetched_by_stranger(exchange))
			return false;
		aut__api_reply_detail(api, exchange, 403, "Not for other pages");
		return true;
	}
	if (wanted != NULL && strcmp(aut_exchange_method(exchange), "OPTIONS") == 0)
	{
		preflight(api, exchange, origin, wanted);
		return true;
	}
	if (aut__api_has_token(exchange) || origin_own(api, origin) || origin_listed(api, origin))
		return false;
	aut__api_reply_detail(api, exchange, 403, "Origin not allowed");
	return true;
}
