/* SPDX-License-Identifier: MIT */
/*
 * core/net/client_call.c - one outbound request as curl sees it: options, headers, body, reply.
 *
 * Every easy handle gets the same fence: http and https only, no redirects, no signals, quick exit,
 * explicit timeouts, a bounded reply, no HTTP/0.9, no "Expect: 100-continue" (it costs a round trip or a
 * second of waiting), no environment proxy towards loopback.
 *
 * curl repeats a request by itself when a kept-alive connection dies before any byte of a reply.  That
 * is right for GET and wrong for "start this command", so a POST or PATCH is never sent a second time:
 * it ends in AUT_ENET and the caller decides.
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "core/net/client_internal.h"

#define URL_MAX            8192
#define HEADER_LINE_MAX    65536
#define HEADERS_MAX        64
#define DEFAULT_TIMEOUT_MS 60000
#define DEFAULT_REPLY_MAX  ((size_t) 1 << 20)
/* A reply buffer larger than this is not kept for the next request. */
#define REPLY_KEEP_MAX ((size_t) 64 << 10)
#define UPLOAD_LARGE   ((size_t) 256 << 10)
/* curl's own buffer of 64 KiB is made and freed for each form: glibc tidies its whole heap then. */
#define UPLOAD_SMALL ((size_t) 16 << 10)

/* ---- URLs --------------------------------------------------------------------------------------- */

/* 127.0.0.0/8, [::1], localhost and names under it. */
static bool
is_loopback(const char *host)
{
	size_t len = strlen(host);

	return strncmp(host, "127.", 4) == 0 || strcmp(host, "[::1]") == 0 ||
		   strcasecmp(host, "localhost") == 0 ||
		   (len > 10 && strcasecmp(host + len - 10, ".localhost") == 0);
}

/* How far a URL goes until its path, when what follows needs no judge: then another URL that begins so is as
 * good, and for the same host.  0: it does. */
static size_t
plain_origin(const char *url)
{
	const char *slashes = strstr(url, "://");
	size_t host_len = slashes != NULL ? strcspn(slashes + 3, "/?#\\") : 0;
	size_t len = host_len > 0 ? (size_t) (slashes + 3 - url) + host_len : 0;

	for (const char *c = url + len; *c != '\0'; c++)
	{
		if (*c <= ' ' || *c > '~')
		{
			len = 0;
			break;
		}
	}
	return len > 0 && url[len] == '/' ? len : 0;
}

aut_status
aut__url_host_key(aut_http_client *client, const char *url, char key[CLIENT_HOST_KEY_MAX],
				  bool *out_loopback, aut_error *err)
{
	char *scheme = NULL;
	char *host = NULL;
	char *port = NULL;
	CURLUcode rc;
	aut_status status = AUT_OK;
	size_t len = url != NULL ? strnlen(url, URL_MAX + 1) : 0;
	size_t used = 0;
	size_t origin;

	if (len == 0 || len > URL_MAX)
	{
		return aut_fail(err, AUT_EINVAL, "a URL has 1 to %d bytes", URL_MAX);
	}
	origin = plain_origin(url);
	if (origin > 0 && origin == client->known_len && memcmp(url, client->known_origin, origin) == 0)
	{
		memcpy(key, client->known_key, sizeof client->known_key);
		*out_loopback = client->known_loopback;
		return AUT_OK;
	}
	if ((rc = curl_url_set(client->url, CURLUPART_URL, url, 0)) != CURLUE_OK ||
		(rc = curl_url_get(client->url, CURLUPART_SCHEME, &scheme, 0)) != CURLUE_OK ||
		(rc = curl_url_get(client->url, CURLUPART_HOST, &host, 0)) != CURLUE_OK ||
		(rc = curl_url_get(client->url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT)) != CURLUE_OK)
	{
		/* which passes, and must not end a run */
		status = rc == CURLUE_OUT_OF_MEMORY ? aut_fail(err, AUT_ENOMEM, "out of memory for a URL")
											: aut_fail(err, AUT_EINVAL, "malformed URL");
		goto out;
	}
	if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
	{
		status = aut_fail(err, AUT_EINVAL, "only http and https URLs can be called");
		goto out;
	}
	if (strlen(scheme) + strlen(host) + strlen(port) + 5 > CLIENT_HOST_KEY_MAX)
	{
		status = aut_fail(err, AUT_EINVAL, "the URL's host name is too long");
		goto out;
	}
	for (const char *parts[] = {scheme, "://", host, ":", port, NULL}, **part = parts;
		 *part != NULL; part++)
	{
		for (const char *c = *part; *c != '\0'; c++)
		{
			key[used++] = (char) tolower((unsigned char) *c);
		}
	}
	key[used] = '\0';
	*out_loopback = is_loopback(host);
	if (origin > 0 && origin <= sizeof client->known_origin)
	{
		memcpy(client->known_origin, url, origin);
		client->known_len = origin;
		memcpy(client->known_key, key, used + 1);
		client->known_loopback = *out_loopback;
	}

out:
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	return status;
}

/* ---- callbacks of curl ---------------------------------------------------------------------------- */

static size_t
on_body(char *data, size_t size, size_t count, void *payload)
{
	aut_http_call *call = payload;
	size_t len = size * count;
	aut_status status = aut_buf_append(&call->reply, data, len);

	if (status == AUT_ELIMIT)
	{
		call->reply_too_long = true;
	}
	return status == AUT_OK ? len : 0; /* 0 of more than 0: curl ends with CURLE_WRITE_ERROR */
}

/* The value of a header line when its name is the given one, trimmed, else NULL. */
static const char *
header_value(const char *line, size_t len, const char *name, char out[64])
{
	size_t name_len = strlen(name);
	const char *found = NULL;

	if (len > name_len && line[name_len] == ':' && strncasecmp(line, name, name_len) == 0)
	{
		const char *from = line + name_len + 1;
		const char *end = line + len;

		while (from < end && (*from == ' ' || *from == '\t'))
		{
			from++;
		}
		while (end > from && isspace((unsigned char) end[-1]))
		{
			end--;
		}
		if ((size_t) (end - from) < 64)
		{
			memcpy(out, from, (size_t) (end - from));
			out[end - from] = '\0';
			found = out;
		}
	}
	return found;
}

static size_t
on_header(char *line, size_t size, size_t count, void *payload)
{
	aut_http_call *call = payload;
	size_t len = size * count;
	char text[64];
	const char *value;

	if (len > 5 && memcmp(line, "HTTP/", 5) == 0)
	{
		/* a new reply begins (after 100 Continue, say): what the one before said is void */
		call->retry_after_s = -1;
		call->date_s = call->modified_s = -1;
		call->content_range_total = -1;
	}
	else if ((value = header_value(line, len, "Retry-After", text)) != NULL)
	{
		if (!aut_int_parse(value, 0, INT64_C(1) << 31, &call->retry_after_s))
		{
			call->retry_after_s = -1;
		}
	}
	else if ((value = header_value(line, len, "Date", text)) != NULL)
	{
		call->date_s = (int64_t) curl_getdate(value, NULL);
	}
	else if ((value = header_value(line, len, "Last-Modified", text)) != NULL)
	{
		call->modified_s = (int64_t) curl_getdate(value, NULL);
	}
	else if ((value = header_value(line, len, "Content-Range", text)) != NULL)
	{
		const char *slash = strchr(value, '/');

		if (slash == NULL || strncasecmp(value, "bytes ", 6) != 0 ||
			!aut_int_parse(slash + 1, 0, INT64_MAX, &call->content_range_total))
		{
			call->content_range_total = -1;
		}
	}
	return len;
}

/* The host that is being called, which after a redirect is not the one of the request; curl_free. */
static char *
current_host(const aut_http_call *call)
{
	const char *url = NULL;
	char *host = NULL;
	CURLU *parts = curl_url();

	if (parts != NULL && curl_easy_getinfo(call->easy, CURLINFO_EFFECTIVE_URL, &url) == CURLE_OK &&
		url != NULL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK)
	{
		(void) curl_url_get(parts, CURLUPART_HOST, &host, 0);
	}
	curl_url_cleanup(parts);
	return host;
}

/* Before each request on a connection: kept-alive ones were opened for somebody else, maybe. */
static bool
may_send(aut_http_call *call, const char *address, int port)
{
	const char *url = NULL;
	char *host = current_host(call);
	aut_status status = AUT_EDENIED;

	if (host != NULL && curl_easy_getinfo(call->easy, CURLINFO_EFFECTIVE_URL, &url) == CURLE_OK)
	{
		status = aut_url_policy_check(call->policy, url, &call->denied);
	}
	if (status == AUT_OK)
	{
		status = aut_url_policy_numeric(call->policy, host, address, port, &call->denied);
	}
	if (status != AUT_OK && call->denied.code == AUT_OK)
	{
		(void) aut_fail(&call->denied, AUT_EDENIED, "the URL leads to a host without a name");
	}
	curl_free(host);
	if (status == AUT_OK)
	{
		call->denied = (aut_error) AUT_ERROR_INIT; /* that was another of its addresses */
	}
	return status == AUT_OK;
}

/* CURLOPT_OPENSOCKETFUNCTION: for each address that is tried. */
static curl_socket_t
on_open_socket(void *payload, curlsocktype purpose, struct curl_sockaddr *address)
{
	aut_http_call *call = payload;
	aut_status status = AUT_OK;

	if (call->policy != NULL)
	{
		char *host = current_host(call);
		aut_error why = AUT_ERROR_INIT;

		status =
			aut_url_policy_address(call->policy, host != NULL ? host : "", &address->addr, &why);
		if (status != AUT_OK && call->denied.code == AUT_OK)
		{
			call->denied = why;
		}
		call->resolved = true;
		curl_free(host);
	}
	if (status != AUT_OK || call->resolve_only)
	{
		return CURL_SOCKET_BAD;
	}
	return aut__client_open_socket(call->client, purpose, address);
}

/* CURLOPT_PREREQFUNCTION: right before the request is written, each time it is. */
static int
on_before_send(void *payload, char *primary_ip, char *local_ip, int primary_port, int local_port)
{
	aut_http_call *call = payload;

	(void) local_ip;
	(void) local_port;
	call->sends++;
	if (call->policy != NULL && !may_send(call, primary_ip, primary_port))
	{
		return CURL_PREREQFUNC_ABORT;
	}
	return call->sends > 1 && !call->repeatable ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static size_t
on_mime_read(char *out, size_t size, size_t count, void *payload)
{
	aut_http_call *call = payload;
	size_t len = size * count;
	size_t left = call->body_len - call->body_read;

	if (len > left)
	{
		len = left;
	}
	if (len > 0)
	{
		memcpy(out, call->body + call->body_read, len);
		call->body_read += len;
	}
	return len;
}

static int
on_mime_seek(void *payload, curl_off_t offset, int origin)
{
	aut_http_call *call = payload;

	if (origin != SEEK_SET || offset < 0 || (size_t) offset > call->body_len)
	{
		return CURL_SEEKFUNC_CANTSEEK;
	}
	call->body_read = (size_t) offset;
	return CURL_SEEKFUNC_OK;
}

/* ---- life of a call -------------------------------------------------------------------------------- */

aut_status
aut__call_new(aut_http_client *client, aut_http_call **out, aut_error *err)
{
	aut_http_call *call = aut_calloc(1, sizeof *call);

	if (call == NULL)
	{
		return aut_fail(err, AUT_ENOMEM, "HTTP request: out of memory");
	}
	call->client = client;
	aut_buf_init(&call->reply, DEFAULT_REPLY_MAX);
	call->easy = curl_easy_init();
	if (call->easy == NULL)
	{
		aut__call_free(call);
		return aut_fail(err, AUT_ENOMEM, "HTTP request: out of memory");
	}
	*out = call;
	return AUT_OK;
}

void
aut__call_clear(aut_http_call *call)
{
	if (call->wait_timer != NULL)
	{
		aut_timer_stop(call->wait_timer);
	}
	curl_easy_reset(call->easy); /* first: it points to what goes next */
	curl_slist_free_all(call->headers);
	call->headers = NULL;
	curl_mime_free(call->mime);
	call->mime = NULL;
	aut_free(call->body_copy);
	call->body_copy = NULL;
	call->body = NULL;
	call->body_len = 0;
	call->body_read = 0;
	call->sends = 0;
	call->policy = NULL;
	call->resolve_only = false;
	call->resolved = false;
	call->denied = (aut_error) AUT_ERROR_INIT;
	if (call->reply.cap > REPLY_KEEP_MAX)
	{
		aut_buf_done(&call->reply);
	}
	else
	{
		aut_buf_clear(&call->reply);
	}
	call->reply_too_long = false;
	call->retry_after_s = -1;
	call->date_s = call->modified_s = -1;
	call->content_range_total = -1;
	call->error = (aut_error) AUT_ERROR_INIT;
	call->curl_error[0] = '\0';
	call->cb = NULL;
	call->payload = NULL;
	call->host = NULL;
}

void
aut__call_free(aut_http_call *call)
{
	sigset_t saved;

	if (call == NULL)
	{
		return;
	}
	aut__curl_enter(&saved);
	curl_easy_cleanup(call->easy);
	curl_slist_free_all(call->headers);
	curl_mime_free(call->mime);
	aut__curl_leave(&saved);
	aut_timer_free(call->wait_timer);
	aut_free(call->body_copy);
	aut_buf_done(&call->reply);
	aut_free(call);
}

/* ---- preparing a request ----------------------------------------------------------------------------- */

/* Method names and header lines must not smuggle a line break into the request. */
static bool
is_token(const char *text)
{
	size_t len = 0;

	while (len < 32 && (isalnum((unsigned char) text[len]) || text[len] == '-' || text[len] == '_'))
	{
		len++;
	}
	return len > 0 && text[len] == '\0';
}

static bool
is_header_line(const char *line)
{
	return strnlen(line, HEADER_LINE_MAX) < HEADER_LINE_MAX && strpbrk(line, "\r\n") == NULL &&
		   strpbrk(line, ":;") != NULL;
}

/* A list that failed to grow stays whole, so the caller's end frees it. */
static bool
add_header(aut_http_call *call, const char *line)
{
	struct curl_slist *grown = curl_slist_append(call->headers, line);

	if (grown != NULL)
	{
		call->headers = grown;
	}
	return grown != NULL;
}

static aut_status
prepare_headers(aut_http_call *call, const aut_http_request *request, aut_error *err)
{
	/* An empty line takes a header of curl's away; its signing (7.88) would sign it as one that is sent. */
	bool ok = request->aws_sigv4 != NULL || add_header(call, "Expect:");

	if (request->multipart_field == NULL && request->body != NULL)
	{
		char line[256];
		const char *type = request->content_type;

		/* without a type of ours curl would claim that the body is a form */
		if (type != NULL && (strlen(type) > 200 || strpbrk(type, "\r\n") != NULL))
		{
			return aut_fail(err, AUT_EINVAL, "malformed content type");
		}
		(void) snprintf(line, sizeof line, "Content-Type:%s%s", type != NULL ? " " : "",
						type != NULL ? type : "");
		ok = ok && add_header(call, line);
	}
	for (size_t i = 0; request->headers != NULL && request->headers[i] != NULL; i++)
	{
		if (i == HEADERS_MAX || !is_header_line(request->headers[i]))
		{
			return aut_fail(err, AUT_EINVAL, "malformed request header");
		}
		ok = ok && add_header(call, request->headers[i]);
	}
	return ok ? AUT_OK : aut_fail(err, AUT_ENOMEM, "HTTP request: out of memory");
}

static aut_status
prepare_mime(aut_http_call *call, const aut_http_request *request, aut_error *err)
{
	curl_mimepart *part;
	const char *type = request->content_type;
	const char *filename = request->multipart_filename;
	CURLcode rc = CURLE_OUT_OF_MEMORY;

	call->mime = curl_mime_init(call->easy);
	part = call->mime != NULL ? curl_mime_addpart(call->mime) : NULL;
	if (part != NULL)
	{
		rc = curl_mime_name(part, request->multipart_field);
	}
	if (rc == CURLE_OK)
	{
		rc = curl_mime_filename(part, filename != NULL ? filename : "upload");
	}
	if (rc == CURLE_OK)
	{
		rc = curl_mime_type(part, type != NULL ? type : "application/octet-stream");
	}
	if (rc == CURLE_OK)
	{
		rc = curl_mime_data_cb(part, (curl_off_t) call->body_len, on_mime_read, on_mime_seek, NULL,
							   call);
	}
	if (rc == CURLE_OK)
	{
		rc = curl_easy_setopt(call->easy, CURLOPT_MIMEPOST, call->mime);
	}
	return rc == CURLE_OK ? AUT_OK : aut_fail(err, AUT_ENOMEM, "HTTP request: out of memory");
}

#define SET(option, value)                                                                         \
	do                                                                                             \
	{                                                                                              \
		if (rc == CURLE_OK)                                                                        \
			rc = curl_easy_setopt(easy, (option), (value));                                        \
	} while (0)

/* What is the same for every request. */
static CURLcode
set_fence(aut_http_call *call)
{
	CURL *easy = call->easy;
	CURLcode rc = CURLE_OK;

	SET(CURLOPT_PRIVATE, call);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_NOPROGRESS, 1L);
	SET(CURLOPT_TCP_NODELAY, 1L);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_PIPEWAIT, 0L);
	SET(CURLOPT_HTTP09_ALLOWED, 0L);
	SET(CURLOPT_ERRORBUFFER, call->curl_error);
	SET(CURLOPT_USERAGENT, call->client->user_agent);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long) call->client->connect_timeout_ms);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, call);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, call);
	SET(CURLOPT_PREREQFUNCTION, on_before_send);
	SET(CURLOPT_PREREQDATA, call);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	SET(CURLOPT_OPENSOCKETDATA, call);
	SET(CURLOPT_CLOSESOCKETFUNCTION, aut__client_close_socket);
	SET(CURLOPT_CLOSESOCKETDATA, call->client);
	if (call->client->resolve != NULL)
	{
		SET(CURLOPT_RESOLVE, call->client->resolve);
	}
	return rc;
}

/* A URL that a user gave. */
static CURLcode
set_policy(aut_http_call *call, const aut_http_request *request)
{
	CURL *easy = call->easy;
	CURLcode rc = CURLE_OK;

	SET(CURLOPT_PROXY, ""); /* a proxy would connect where we cannot see it */
	if (request->redirects_max > 0)
	{
		SET(CURLOPT_FOLLOWLOCATION, 1L);
		SET(CURLOPT_MAXREDIRS, (long) request->redirects_max);
		SET(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	}
	if (request->resolve_only)
	{
		SET(CURLOPT_FRESH_CONNECT, 1L); /* a kept-alive connection would be used at once */
	}
	return rc;
}

/* Method, body and reply limit. */
static CURLcode
set_method(aut_http_call *call, const aut_http_request *request, bool has_body)
{
	CURL *easy = call->easy;
	CURLcode rc = CURLE_OK;
	bool is_post = strcmp(request->method, "POST") == 0;
	bool is_head = strcmp(request->method, "HEAD") == 0;

	if (is_head)
	{
		SET(CURLOPT_NOBODY, 1L);
	}
	else
	{
		/* a declared length over the limit ends the call before the body is read */
		SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t) call->reply.max);
	}
	if (request->multipart_field == NULL && !is_head && (is_post || has_body))
	{
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) call->body_len);
		SET(CURLOPT_POSTFIELDS, call->body != NULL ? call->body : "");
	}
	if (!is_post && !is_head)
	{
		SET(CURLOPT_CUSTOMREQUEST, request->method);
	}
	if (call->body_len > UPLOAD_LARGE)
	{
		SET(CURLOPT_UPLOAD_BUFFERSIZE, (long) UPLOAD_LARGE);
	}
	else if (request->multipart_field != NULL && call->body_len <= UPLOAD_SMALL)
	{
		SET(CURLOPT_UPLOAD_BUFFERSIZE, (long) UPLOAD_SMALL);
	}
	if (call->reply.max > DEFAULT_REPLY_MAX)
	{
		SET(CURLOPT_BUFFERSIZE, (long) REPLY_KEEP_MAX);
	}
	return rc;
}

aut_status
aut__call_prepare(aut_http_call *call, const aut_http_request *request, bool loopback,
				  aut_error *err)
{
	CURL *easy = call->easy;
	CURLcode rc;
	aut_status status;
	bool has_body = request->body != NULL || request->multipart_field != NULL;
	int64_t timeout_ms = request->timeout_ms > 0 ? request->timeout_ms : DEFAULT_TIMEOUT_MS;

	if (request->method == NULL || !is_token(request->method))
	{
		return aut_fail(err, AUT_EINVAL, "malformed request method");
	}
	if (request->policy == NULL && (request->redirects_max > 0 || request->resolve_only))
	{
		return aut_fail(err, AUT_EINVAL, "redirects are only followed under a policy");
	}
	if (request->redirects_max > 0 && request->headers != NULL)
	{
		return aut_fail(err, AUT_EINVAL, "redirects are not followed with headers of ours");
	}
	call->policy = request->policy;
	call->resolve_only = request->resolve_only;
	call->cb = request->cb;
	call->payload = request->payload;
	call->deadline_ms = (int64_t) (uv_hrtime() / 1000000) + timeout_ms;
	call->reply.max = request->reply_max > 0 ? request->reply_max : DEFAULT_REPLY_MAX;
	call->repeatable =
		strcmp(request->method, "POST") != 0 && strcmp(request->method, "PATCH") != 0;
	call->retry_after_s = -1;
	call->date_s = call->modified_s = -1;
	call->content_range_total = -1;
	if (request->body != NULL)
	{
		call->body_len = request->body_len;
		call->body = request->body;
		if (!request->body_lent)
		{
			call->body_copy = aut_malloc(request->body_len);
			if (call->body_copy == NULL)
			{
				return aut_fail(err, AUT_ENOMEM, "HTTP request: out of memory");
			}
			memcpy(call->body_copy, request->body, request->body_len);
			call->body = call->body_copy;
		}
	}
	status = prepare_headers(call, request, err);
	if (status == AUT_OK && request->multipart_field != NULL)
	{
		status = prepare_mime(call, request, err);
	}
	if (status != AUT_OK)
	{
		return status;
	}
	rc = set_fence(call);
	SET(CURLOPT_URL, request->url);
	SET(CURLOPT_HTTPHEADER, call->headers);
	if (request->aws_sigv4 != NULL)
	{
		SET(CURLOPT_AWS_SIGV4, request->aws_sigv4);
		SET(CURLOPT_USERNAME, request->aws_key_id);
		SET(CURLOPT_PASSWORD, request->aws_secret);
	}
	if (loopback)
	{
		SET(CURLOPT_PROXY, ""); /* the environment's proxies are for others */
	}
	if (rc == CURLE_OK && call->policy != NULL)
	{
		rc = set_policy(call, request);
	}
	if (rc == CURLE_OK)
	{
		rc = set_method(call, request, has_body);
	}
	if (rc != CURLE_OK)
	{
		return aut_fail(err, rc == CURLE_OUT_OF_MEMORY ? AUT_ENOMEM : AUT_EINVAL,
						"HTTP request: %s", curl_easy_strerror(rc));
	}
	return AUT_OK;
}

bool
aut__call_set_deadline(aut_http_call *call)
{
	int64_t left_ms = call->deadline_ms - (int64_t) (uv_hrtime() / 1000000);
	bool ok = left_ms > 0;

	if (ok)
	{
		ok = curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS,
							  (long) (left_ms < INT32_MAX ? left_ms : INT32_MAX)) == CURLE_OK;
	}
	return ok;
}

bool
aut__call_arm_wait(aut_http_call *call, aut_timer_cb cb)
{
	bool ok = call->wait_timer != NULL ||
			  aut_timer_new(call->client->loop, cb, call, &call->wait_timer, NULL) == AUT_OK;

	if (ok)
	{
		aut_timer_set(call->wait_timer, call->deadline_ms - (int64_t) (uv_hrtime() / 1000000));
	}
	return ok;
}

/* ---- the reply -------------------------------------------------------------------------------------- */

static aut_status
status_of(const aut_http_call *call, CURLcode result)
{
	aut_status status = AUT_ENET;

	if (result == CURLE_OK)
	{
		status = AUT_OK;
	}
	else if (call->denied.code != AUT_OK)
	{
		status = call->denied.code;
	}
	else if (call->resolve_only && call->resolved && result == CURLE_COULDNT_CONNECT)
	{
		status = AUT_OK; /* there are addresses, and all were allowed */
	}
	else if (call->policy != NULL && result == CURLE_COULDNT_RESOLVE_HOST)
	{
		status = AUT_ENOTFOUND;
	}
	else if (call->reply_too_long || result == CURLE_FILESIZE_EXCEEDED)
	{
		status = AUT_ELIMIT;
	}
	else if (result == CURLE_OPERATION_TIMEDOUT)
	{
		status = AUT_ETIMEOUT;
	}
	else if (result == CURLE_OUT_OF_MEMORY || call->reply.status == AUT_ENOMEM)
	{
		status = AUT_ENOMEM;
	}
	else if (result == CURLE_URL_MALFORMAT)
	{
		status = AUT_EINVAL;
	}
	return status;
}

static void
tell_error(aut_http_call *call, CURLcode result, aut_http_reply *reply)
{
	long os_errno = 0;
	const char *text = call->curl_error[0] != '\0' ? call->curl_error : curl_easy_strerror(result);

	if (reply->status == AUT_ELIMIT)
	{
		(void) aut_fail(&reply->error, AUT_ELIMIT, "the reply is larger than %zu bytes",
						call->reply.max);
	}
	else if (reply->status == call->denied.code)
	{
		reply->error = call->denied;
	}
	else if (result == CURLE_ABORTED_BY_CALLBACK)
	{
		(void) aut_fail(&reply->error, AUT_ENET, "the connection was closed before a reply came");
	}
	else
	{
		(void) aut_fail(&reply->error, reply->status, "%s", text);
	}
	(void) curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &os_errno);
	reply->error.sys_errno = (int) os_errno;
	reply->error.http_status = reply->code;
}

void
aut__call_reply(aut_http_call *call, CURLcode result, aut_http_reply *reply)
{
	long code = 0;
	char *type = NULL;

	memset(reply, 0, sizeof *reply);
	reply->body = call->reply.data != NULL ? call->reply.data : "";
	reply->body_len = call->reply.len;
	reply->content_type = "";
	reply->retry_after_s = call->retry_after_s;
	if (call->modified_s >= 0 && call->date_s > call->modified_s)
		reply->age_s = call->date_s - call->modified_s;
	reply->content_range_total = call->content_range_total;
	if (call->error.code != AUT_OK)
	{
		reply->status = call->error.code;
		reply->error = call->error;
		return;
	}
	(void) curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &code);
	(void) curl_easy_getinfo(call->easy, CURLINFO_CONTENT_TYPE, &type);
	reply->code = (int) code;
	reply->content_type = type != NULL ? type : "";
	reply->status = status_of(call, result);
	reply->unsent = result == CURLE_COULDNT_CONNECT || result == CURLE_COULDNT_RESOLVE_HOST ||
					result == CURLE_SSL_CONNECT_ERROR || result == CURLE_PEER_FAILED_VERIFICATION;
	if (reply->status != AUT_OK)
	{
		tell_error(call, result, reply);
	}
}
