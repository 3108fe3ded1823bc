/* SPDX-License-Identifier: MIT */
/*
 * core/net/url_policy.c - where URLs that users give may lead.
 *
 * Whoever may name a URL that a server fetches can make it speak to what only the server reaches: its own
 * loopback, the private network, the metadata service of its cloud.  So such a URL is judged twice:
 *
 *   by its text    scheme, no user name in it, no literal address or local name that leads inside; when
 *                  it is stored, so that its author learns of it
 *   by address     whatever its name resolves to, at the moment of connecting, and again for each
 *                  redirect (client_call.c): a name may resolve to something else every time
 *
 * The text is read by libcurl's own parser, so that what is judged is what would be called: that one
 * also makes 127.0.0.1 of 2130706433, 0x7f.1 and 0177.0.0.1.  An IPv6 address that carries an IPv4 one
 * (mapped, compatible, NAT64, 6to4) is judged by that one.
 *
 *   public     may be called
 *   private    loopback, private, shared and unique local networks: only when the operator allows them
 *   forbidden  link-local, metadata services, multicast, reserved: only when listed one by one
 *
 * Listed hosts and networks, and host and port of what the operator configured (agent server, cloud),
 * are allowed in any case.  Pure but for memory; an object is made once and asked often.
 */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#include "automation/net.h"

#define URL_BYTES_MAX  8192
#define HOST_BYTES_MAX 255
#define ENTRIES_MAX    256

typedef struct network
{
	unsigned char address[16]; /* IPv4 as ::ffff:a.b.c.d */
	int bits;
} network;

typedef struct entry
{
	char *name; /* lower case, ".x" for all below x; NULL: a network */
	network net;
	int port; /* 0: any */
} entry;

struct aut_url_policy
{
	bool allow_private;
	size_t count;
	entry entries[ENTRIES_MAX];
};

typedef enum reach
{
	REACH_PUBLIC,
	REACH_PRIVATE,
	REACH_FORBIDDEN
} reach;

/* ---- addresses ------------------------------------------------------------------------------- */

static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool
within(const unsigned char *address, const unsigned char *base, int bits)
{
	int whole = bits / 8;
	int rest = bits % 8;

	if (memcmp(address, base, (size_t) whole) != 0)
		return false;
	return rest == 0 || ((address[whole] ^ base[whole]) & (0xff << (8 - rest)) & 0xff) == 0;
}

static reach
reach_of_v4(const unsigned char *a)
{
	static const struct
	{
		unsigned char base[4];
		int bits;
		reach reach;
	} ranges[] = {
		{{0, 0, 0, 0}, 8, REACH_FORBIDDEN},
		{{10, 0, 0, 0}, 8, REACH_PRIVATE},
		/* metadata of one cloud, inside what carriers share */
		{{100, 100, 100, 200}, 32, REACH_FORBIDDEN},
		{{100, 64, 0, 0}, 10, REACH_PRIVATE},
		{{127, 0, 0, 0}, 8, REACH_PRIVATE},
		/* link-local, where most metadata services are */
		{{169, 254, 0, 0}, 16, REACH_FORBIDDEN},
		{{172, 16, 0, 0}, 12, REACH_PRIVATE},
		{{192, 0, 0, 0}, 24, REACH_FORBIDDEN},
		{{192, 0, 2, 0}, 24, REACH_FORBIDDEN},
		{{192, 88, 99, 0}, 24, REACH_FORBIDDEN},
		{{192, 168, 0, 0}, 16, REACH_PRIVATE},
		{{198, 18, 0, 0}, 15, REACH_FORBIDDEN},
		{{198, 51, 100, 0}, 24, REACH_FORBIDDEN},
		{{203, 0, 113, 0}, 24, REACH_FORBIDDEN},
		{{224, 0, 0, 0}, 3, REACH_FORBIDDEN}, /* multicast, reserved, broadcast */
	};

	for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
	{
		if (within(a, ranges[i].base, ranges[i].bits))
			return ranges[i].reach;
	}
	return REACH_PUBLIC;
}

/* The IPv4 address that an IPv6 one stands for, or NULL. */
static const unsigned char *
carried_v4(const unsigned char *a)
{
	static const unsigned char compatible[12] = {0};
	static const unsigned char nat64[12] = {0, 0x64, 0xff, 0x9b};
	static const unsigned char six_to_four[2] = {0x20, 0x02};

	if (within(a, mapped, 96) || within(a, nat64, 96))
		return a + 12;
	/* :: and ::1 are themselves */
	if (within(a, compatible, 96) && (a[12] != 0 || a[13] != 0 || a[14] != 0 || a[15] > 1))
		return a + 12;
	return within(a, six_to_four, 16) ? a + 2 : NULL;
}

static reach
reach_of_v6(const unsigned char *a)
{
	static const struct
	{
		unsigned char base[16];
		int bits;
		reach reach;
	} ranges[] = {
		{{[15] = 1}, 128, REACH_PRIVATE}, /* ::1 */
		/* metadata of one cloud */
		{{0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54}, 128, REACH_FORBIDDEN},
		{{0xfc}, 7, REACH_PRIVATE},
		{{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48, REACH_PRIVATE}, /* local NAT64 */
		{{0x20, 0x01, 0x0d, 0xb8}, 32, REACH_FORBIDDEN},           /* documentation */
		{{0x20, 0x01}, 23, REACH_FORBIDDEN},                       /* Teredo and other protocols */
		{{0x20}, 3, REACH_PUBLIC},                                 /* all that is routed */
	};
	const unsigned char *v4 = carried_v4(a);

	if (v4 != NULL)
		return reach_of_v4(v4);
	for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
	{
		if (within(a, ranges[i].base, ranges[i].bits))
			return ranges[i].reach;
	}
	return REACH_FORBIDDEN;
}

/* Sixteen bytes for both families. */
static bool
address_parse(const char *text, unsigned char out[16])
{
	if (inet_pton(AF_INET, text, out + 12) == 1)
	{
		memcpy(out, mapped, sizeof mapped);
		return true;
	}
	return inet_pton(AF_INET6, text, out) == 1;
}

/* ---- names ----------------------------------------------------------------------------------- */

static bool
ends_with(const char *name, const char *suffix)
{
	size_t len = strlen(name), suffix_len = strlen(suffix);

	return len > suffix_len && strcmp(name + len - suffix_len, suffix) == 0;
}

/* Names that by their definition lead inside, whatever they resolve to. */
static bool
name_is_local(const char *name)
{
	static const char *const below[] = {".localhost", ".local",     ".internal",
										".lan",       ".home.arpa", ".localdomain"};

	if (strcmp(name, "localhost") == 0)
		return true;
	for (size_t i = 0; i < sizeof below / sizeof below[0]; i++)
	{
		if (ends_with(name, below[i]))
			return true;
	}
	return false;
}

/* Lower case, without dots at its end and brackets around it; false: no host. */
static bool
host_clean(const char *host, char out[HOST_BYTES_MAX + 1])
{
	size_t len = strlen(host);

	if (len > 2 && host[0] == '[' && host[len - 1] == ']')
	{
		host++;
		len -= 2;
	}
	while (len > 0 && host[len - 1] == '.')
		len--;
	if (len == 0 || len > HOST_BYTES_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) host[i];

		if (c <= 0x20 || c >= 0x7f || strchr("\\%/@?#[]<>\"'`{}|^", c) != NULL)
			return false;
		out[i] = (char) (c >= 'A' && c <= 'Z' ? c + 32 : c);
	}
	out[len] = '\0';
	return true;
}

/* ---- what is listed -------------------------------------------------------------------------- */

static bool
listed_name(const aut_url_policy *policy, const char *name, int port)
{
	for (size_t i = 0; i < policy->count; i++)
	{
		const entry *e = &policy->entries[i];

		if (e->name == NULL || (e->port != 0 && e->port != port))
			continue;
		if (strcmp(e->name, name) == 0 || (e->name[0] == '.' && ends_with(name, e->name)))
			return true;
	}
	return false;
}

static bool
listed_address(const aut_url_policy *policy, const unsigned char *address, int port)
{
	const unsigned char *v4 = within(address, mapped, 96) ? NULL : carried_v4(address);
	unsigned char plain[16];

	memcpy(plain, mapped, sizeof mapped);
	if (v4 != NULL)
		memcpy(plain + 12, v4, 4);
	for (size_t i = 0; i < policy->count; i++)
	{
		const entry *e = &policy->entries[i];

		if (e->name != NULL || (e->port != 0 && e->port != port))
			continue;
		if (within(address, e->net.address, e->net.bits) ||
			(v4 != NULL && within(plain, e->net.address, e->net.bits)))
			return true;
	}
	return false;
}

static aut_status
judge_address(const aut_url_policy *policy, const unsigned char *address, const char *host,
			  int port, aut_error *err)
{
	reach where = reach_of_v6(address);

	if (where == REACH_PUBLIC || (where == REACH_PRIVATE && policy->allow_private) ||
		listed_address(policy, address, port))
		return AUT_OK;
	return aut_fail(err, AUT_EDENIED,
					"%.200s leads to %s address, which is not allowed for URLs that users give "
					"(AUTOMATION_ALLOW_PRIVATE_URLS, AUTOMATION_ALLOWED_URL_HOSTS)",
					host, where == REACH_PRIVATE ? "a private" : "a link-local or reserved");
}

aut_status
aut_url_policy_address(const aut_url_policy *policy, const char *host,
					   const struct sockaddr *address, aut_error *err)
{
	unsigned char bytes[16];
	char name[HOST_BYTES_MAX + 1];
	int port;

	if (address->sa_family == AF_INET)
	{
		const struct sockaddr_in *v4 = (const struct sockaddr_in *) (const void *) address;

		memcpy(bytes, mapped, sizeof mapped);
		memcpy(bytes + 12, &v4->sin_addr, 4);
		port = ntohs(v4->sin_port);
	}
	else if (address->sa_family == AF_INET6)
	{
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) (const void *) address;

		memcpy(bytes, &v6->sin6_addr, 16);
		port = ntohs(v6->sin6_port);
	}
	else
		return aut_fail(err, AUT_EDENIED, "%.200s leads to no internet address", host);
	if (host_clean(host, name) && listed_name(policy, name, port))
		return AUT_OK;
	return judge_address(policy, bytes, host, port, err);
}

aut_status
aut_url_policy_numeric(const aut_url_policy *policy, const char *host, const char *address,
					   int port, aut_error *err)
{
	unsigned char bytes[16];
	char name[HOST_BYTES_MAX + 1];

	if (!address_parse(address, bytes))
		return aut_fail(err, AUT_EDENIED, "%.200s leads to no internet address", host);
	if (host_clean(host, name) && listed_name(policy, name, port))
		return AUT_OK;
	return judge_address(policy, bytes, host, port, err);
}

/* ---- by the text ----------------------------------------------------------------------------- */

static aut_status
judge_host(const aut_url_policy *policy, const char *host, int port, aut_error *err)
{
	unsigned char address[16];
	char name[HOST_BYTES_MAX + 1];

	if (!host_clean(host, name))
		return aut_fail(err, AUT_EDENIED, "the URL's host is not a name or an address");
	if (listed_name(policy, name, port))
		return AUT_OK;
	if (address_parse(name, address))
		return judge_address(policy, address, name, port, err);
	if (name_is_local(name) && !policy->allow_private)
		return aut_fail(err, AUT_EDENIED,
						"%.200s is a local name, which is not allowed for URLs that users give "
						"(AUTOMATION_ALLOW_PRIVATE_URLS, AUTOMATION_ALLOWED_URL_HOSTS)",
						name);
	return AUT_OK;
}

static aut_status
judge_parts(const aut_url_policy *policy, CURLU *parts, aut_error *err)
{
	char *scheme = NULL, *host = NULL, *port = NULL, *other = NULL;
	CURLUcode rc;
	aut_status status = AUT_OK;
	int64_t number = 0;

	if ((rc = curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0)) != CURLUE_OK ||
		(rc = curl_url_get(parts, CURLUPART_HOST, &host, 0)) != CURLUE_OK ||
		(rc = curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT)) != CURLUE_OK ||
		!aut_int_parse(port, 1, 65535, &number))
		status = rc == CURLUE_OUT_OF_MEMORY ? aut_fail(err, AUT_ENOMEM, "out of memory for a URL")
											: aut_fail(err, AUT_EDENIED, "malformed URL");
	else if (strcasecmp(scheme, "http") != 0 && strcasecmp(scheme, "https") != 0)
		status =
			aut_fail(err, AUT_EDENIED, "only http and https URLs are called, not %.40s", scheme);
	else if (curl_url_get(parts, CURLUPART_USER, &other, 0) != CURLUE_NO_USER ||
			 curl_url_get(parts, CURLUPART_PASSWORD, &other, 0) != CURLUE_NO_PASSWORD)
		status = aut_fail(err, AUT_EDENIED, "a URL must not carry a user name or password");
	else if (curl_url_get(parts, CURLUPART_ZONEID, &other, 0) != CURLUE_NO_ZONEID)
		status = aut_fail(err, AUT_EDENIED, "a URL must not name a network interface (%%zone)");
	else
		status = judge_host(policy, host, (int) number, err);
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_free(other);
	return status;
}

/* Free of what parsers disagree about: some characters wherever they stand, and more than two slashes. */
static bool
is_plain(const char *url)
{
	const char *host = strstr(url, "://");

	if (host != NULL && host[3] == '/')
		return false;
	for (const char *c = url; *c != '\0'; c++)
	{
		if ((unsigned char) *c <= 0x20 || *c == 0x7f || *c == '\\')
			return false;
	}
	return true;
}

aut_status
aut_url_policy_check(const aut_url_policy *policy, const char *url, aut_error *err)
{
	CURLU *parts;
	CURLUcode rc;
	aut_status status;

	if (strnlen(url, URL_BYTES_MAX + 1) > URL_BYTES_MAX)
		return aut_fail(err, AUT_EDENIED, "a URL has at most %d bytes", URL_BYTES_MAX);
	if (!is_plain(url))
		return aut_fail(
			err, AUT_EDENIED,
			"a URL must not hold blanks, control characters, backslashes or extra slashes");
	parts = curl_url();
	if (parts == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for a URL");
	rc = curl_url_set(parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME);
	if (rc == CURLUE_OUT_OF_MEMORY)
		status = aut_fail(err, AUT_ENOMEM, "out of memory for a URL");
	else if (rc != CURLUE_OK)
		status = aut_fail(err, AUT_EDENIED, "malformed URL: %s", curl_url_strerror(rc));
	else
		status = judge_parts(policy, parts, err);
	curl_url_cleanup(parts);
	return status;
}

/* ---- making one ------------------------------------------------------------------------------ */

/* "10.0.0.0/8", "::1", "fd00::/8" */
static bool
network_parse(const char *text, network *out)
{
	const char *slash = strchr(text, '/');
	char address[INET6_ADDRSTRLEN + 1];
	size_t len = slash != NULL ? (size_t) (slash - text) : strlen(text);
	bool v4;
	int64_t bits;

	if (len >= sizeof address)
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	if (!address_parse(address, out->address))
		return false;
	v4 = strchr(address, ':') == NULL;
	bits = v4 ? 32 : 128;
	if (slash != NULL && !aut_int_parse(slash + 1, 0, bits, &bits))
		return false;
	out->bits = (int) bits + (v4 ? 96 : 0);
	return true;
}

static aut_status
add_name(aut_url_policy *policy, const char *name, int port, aut_error *err)
{
	entry *e = &policy->entries[policy->count];

	e->name = aut_strdup(name);
	if (e->name == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for a list of hosts");
	e->port = port;
	policy->count++;
	return AUT_OK;
}

/* One word of the list. */
static aut_status
add_listed(aut_url_policy *policy, const char *word, aut_error *err)
{
	char name[HOST_BYTES_MAX + 2];
	size_t below = strncmp(word, "*.", 2) == 0 ? 2 : word[0] == '.' ? 1 : 0;

	if (policy->count == ENTRIES_MAX)
		return aut_fail(err, AUT_EINVAL, "more than %d allowed hosts", ENTRIES_MAX);
	if (network_parse(word, &policy->entries[policy->count].net))
	{
		policy->entries[policy->count++].port = 0;
		return AUT_OK;
	}
	if (!host_clean(word + below, name + 1) || strpbrk(name + 1, ":*") != NULL)
		return aut_fail(err, AUT_EINVAL,
						"\"%.100s\" is no host name, address or network (as in files.example.com, "
						"*.example.com, 10.1.2.3 or 10.1.0.0/16)",
						word);
	name[0] = '.';
	return add_name(policy, below > 0 ? name : name + 1, 0, err);
}

static aut_status
add_list(aut_url_policy *policy, const char *list, aut_error *err)
{
	aut_status status = AUT_OK;

	while (status == AUT_OK && *list != '\0')
	{
		size_t len = strcspn(list, ", \t");
		char word[HOST_BYTES_MAX + 4];

		if (len >= sizeof word)
			return aut_fail(err, AUT_EINVAL, "an allowed host has at most %d bytes",
							HOST_BYTES_MAX);
		memcpy(word, list, len);
		word[len] = '\0';
		if (len > 0)
			status = add_listed(policy, word, err);
		list += len + (list[len] != '\0');
	}
	return status;
}

/* Host and port of what the operator configured.  (A URL that is none allows nothing; who uses it will
 * complain.) */
static aut_status
add_own(aut_url_policy *policy, const char *url, aut_error *err)
{
	CURLU *parts = curl_url();
	char *host = NULL, *port = NULL;
	char name[HOST_BYTES_MAX + 1];
	int64_t number = 0;
	aut_status status = AUT_OK;

	if (parts == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for a list of hosts");
	if (policy->count < ENTRIES_MAX && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
		curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
		curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		aut_int_parse(port, 1, 65535, &number) && host_clean(host, name))
		status = add_name(policy, name, (int) number, err);
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(parts);
	return status;
}

void
aut_url_policy_free(aut_url_policy *policy)
{
	if (policy == NULL)
		return;
	for (size_t i = 0; i < policy->count; i++)
		aut_free(policy->entries[i].name);
	aut_free(policy);
}

aut_status
aut_url_policy_new(const aut_url_policy_options *options, aut_url_policy **out, aut_error *err)
{
	aut_url_policy *policy = aut_calloc(1, sizeof *policy);
	aut_status status;

	if (policy == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for a list of hosts");
	policy->allow_private = options->allow_private;
	status = add_list(policy, options->allowed != NULL ? options->allowed : "", err);
	for (size_t i = 0; status == AUT_OK && options->own != NULL && options->own[i] != NULL; i++)
	{
		if (options->own[i][0] != '\0')
			status = add_own(policy, options->own[i], err);
	}
	if (status == AUT_OK)
		*out = policy;
	else
		aut_url_policy_free(policy);
	return status;
}
