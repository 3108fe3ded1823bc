/* SPDX-License-Identifier: MIT */
/*
 * standalone/client_http.c - finding the daemon and talking to it.
 *
 * Where: --url or AUTOMATION_URL, else the address the daemon wrote into DATA/serve.json when it was
 * ready.  Key: --api-key, AUTOMATION_API_KEY, else (only for the daemon found through the folder)
 * AUTOMATION_LOCAL_API_KEY, which the daemon obeys too, and DATA/api.key.  A key from the folder is
 * never sent to an address given by hand: it belongs to that daemon.
 *
 * One blocking request at a time on one libcurl handle, so the connection is reused.  http and https
 * only, redirects are not followed, replies are bounded, loopback never goes through a proxy.
 */
#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "standalone/client_priv.h"

#define API_PREFIX         "/api/automation"
#define CONNECT_TIMEOUT_MS 5000L
#define REQUEST_TIMEOUT_MS 60000L
#define SILENCE_S          45L /* a followed stream says something every 15 s */
#define STATE_FILE_MAX     16384

/* ---- where --------------------------------------------------------------------------------------- */

static const char *
environment(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && *value != '\0' ? value : NULL;
}

aut_status
client_find_data(client *c, aut_error *err)
{
	const char *state = environment("XDG_STATE_HOME");
	const char *home = environment("HOME");

	if (c->data != NULL)
		return AUT_OK;
	if (c->args->data != NULL)
		c->data = aut_strdup(c->args->data);
	else if (state != NULL && *state == '/') /* a relative one is to be ignored */
		c->data = aut_printf("%s/automation", state);
	else if (home != NULL)
		c->data = aut_printf("%s/.local/state/automation", home);
	else
		return aut_fail(err, AUT_EINVAL,
						"HOME is not set, so the state folder is unknown; give it with --data DIR");
	return c->data != NULL ? AUT_OK : aut_fail(err, AUT_ENOMEM, "out of memory");
}

static aut_status
no_daemon(client *c, aut_error *err)
{
	c->exit_code = AUT_CLIENT_NO_DAEMON;
	return aut_fail(err, AUT_EUNAVAILABLE,
					"no daemon is running for %s; start it with: automation serve%s%s", c->data,
					c->args->data != NULL ? " --data " : "", c->args->data != NULL ? c->data : "");
}

/* A small file of the state folder; ENOTFOUND when it is not there. */
static aut_status
read_state(const client *c, const char *name, aut_buf *out, aut_error *err)
{
	char *path = aut_printf("%s/%s", c->data, name);
	aut_status status;

	if (path == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	status = client_read_file(path, STATE_FILE_MAX, out, err);
	aut_free(path);
	return status;
}

/* url without trailing slashes, with the path of the API behind it unless it is there already. */
static char *
api_base(const char *url)
{
	size_t len = strlen(url);
	size_t prefix = strlen(API_PREFIX);

	while (len > 0 && url[len - 1] == '/')
		len--;
	if (len >= prefix && memcmp(url + len - prefix, API_PREFIX, prefix) == 0)
		return aut_strndup(url, len);
	return aut_printf("%.*s%s", (int) len, url, API_PREFIX);
}

/* The address in DATA/serve.json. */
static aut_status
find_served(client *c, aut_error *err)
{
	json_t *state = NULL;
	const char *url;
	aut_buf text;
	aut_status status;

	aut_buf_init(&text, STATE_FILE_MAX);
	status = read_state(c, "serve.json", &text, err);
	if (status == AUT_ENOTFOUND)
		status = no_daemon(c, err);
	if (status != AUT_OK)
		goto out;
	status = aut_json_parse(text.data != NULL ? text.data : "", text.len, &state, err);
	url = status == AUT_OK ? aut_json_string(state, "url") : NULL;
	if (url == NULL || strncmp(url, "http", 4) != 0)
	{
		status =
			aut_fail(err, AUT_ECORRUPT, "%s/serve.json is damaged; restart the daemon", c->data);
		goto out;
	}
	aut_free(c->base);
	c->base = api_base(url);
	c->from_file = true;
	if (c->base == NULL)
		status = aut_fail(err, AUT_ENOMEM, "out of memory");
out:
	json_decref(state);
	aut_buf_done(&text);
	return status;
}

static aut_status
find_key(client *c, aut_error *err)
{
	const char *given =
		c->args->api_key != NULL ? c->args->api_key : environment("AUTOMATION_API_KEY");
	aut_buf text;
	aut_status status;

	aut_free(c->key);
	c->key = NULL;
	aut_buf_init(&text, STATE_FILE_MAX);
	if (given == NULL && c->from_file)
		given = environment("AUTOMATION_LOCAL_API_KEY");
	if (given == NULL && !c->from_file)
	{
		status =
			aut_fail(err, AUT_EUNAUTH,
					 "no key for %s; give it in AUTOMATION_API_KEY or with --api-key", c->base);
		goto out;
	}
	if (given == NULL)
	{
		status = read_state(c, "api.key", &text, err);
		if (status != AUT_OK)
		{
			(void) aut_error_context(err, "the daemon's key");
			goto out;
		}
		while (text.len > 0 && strchr(" \t\r\n", text.data[text.len - 1]) != NULL)
			text.data[--text.len] = '\0';
		given = text.data != NULL ? text.data : "";
	}
	status = AUT_OK;
	if (*given == '\0' || strpbrk(given, "\r\n") != NULL)
		status = aut_fail(err, AUT_EINVAL, "the API key must be one line that is not empty");
	else if ((c->key = aut_strdup(given)) == NULL)
		status = aut_fail(err, AUT_ENOMEM, "out of memory");
out:
	aut_buf_done(&text);
	return status;
}

aut_status
client_connect(client *c, aut_error *err)
{
	const char *url = c->args->url != NULL ? c->args->url : environment("AUTOMATION_URL");
	aut_status status;

	/* --data chooses a daemon more closely than a variable that may have been set long ago */
	if (c->args->data != NULL && c->args->url == NULL)
		url = NULL;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || (c->curl = curl_easy_init()) == NULL)
		return aut_fail(err, AUT_ENOMEM, "libcurl could not be initialised");
	if (url != NULL)
	{
		if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
		{
			c->exit_code = AUT_COMMAND_USAGE;
			return aut_fail(err, AUT_EINVAL, "%.200s: the URL must begin with http:// or https://",
							url);
		}
		c->base = api_base(url);
		status = c->base != NULL ? AUT_OK : aut_fail(err, AUT_ENOMEM, "out of memory");
	}
	else
	{
		status = client_find_data(c, err);
		if (status == AUT_OK)
			status = find_served(c, err);
	}
	return status == AUT_OK ? find_key(c, err) : status;
}

void
client_disconnect(client *c)
{
	curl_easy_cleanup(c->curl);
	curl_global_cleanup();
	aut_free(c->data);
	aut_free(c->base);
	aut_free(c->key);
	c->curl = NULL;
	c->data = c->base = c->key = NULL;
}

/* ---- errors made readable -------------------------------------------------------------------------- */

/* Where a problem is: ["body","trigger","cron","schedule"] as trigger.cron.schedule, query parts named. */
static void
put_location(const json_t *loc, aut_buf *out)
{
	size_t count = json_array_size(loc);
	bool first = true;

	for (size_t i = 0; i < count; i++)
	{
		const json_t *part = json_array_get(loc, i);
		const char *text = json_string_value(part);

		if (i == 0 && count > 1 && text != NULL && strcmp(text, "body") == 0)
			continue;
		if (json_is_integer(part))
			(void) aut_buf_printf(out, "[%" JSON_INTEGER_FORMAT "]", json_integer_value(part));
		else if (text != NULL)
		{
			if (!first)
				(void) aut_buf_putc(out, '.');
			(void) client_escape(text, strlen(text), out);
		}
		first = false;
	}
	if (!first)
		(void) aut_buf_puts(out, ": ");
}

/* One entry of a list of problems: {loc, msg}, {field, message}, or whatever it is. */
static void
put_problem(const json_t *problem, aut_buf *out)
{
	const char *message = client_json_text(problem, "msg", aut_json_string(problem, "message"));
	const char *field = aut_json_string(problem, "field");
	char *text;

	put_location(json_object_get(problem, "loc"), out);
	if (field != NULL)
	{
		(void) client_escape(field, strlen(field), out);
		(void) aut_buf_puts(out, ": ");
	}
	if (message != NULL)
	{
		if (strncmp(message, "Value error, ", 13) == 0)
			message += 13;
		(void) client_escape(message, strlen(message), out);
		return;
	}
	text = json_is_string(problem) ? aut_strdup(json_string_value(problem))
								   : aut_json_text(problem, NULL);
	if (text == NULL)
		out->status = AUT_ENOMEM;
	else
		(void) client_escape(text, strlen(text), out);
	aut_free(text);
}

static void
put_problems(const json_t *list, aut_buf *out)
{
	for (size_t i = 0; i < json_array_size(list); i++)
	{
		if (out->len > 0)
			(void) aut_buf_putc(out, '\n');
		put_problem(json_array_get(list, i), out);
	}
}

aut_status
client_problem_text(const char *body, size_t len, aut_buf *out)
{
	json_t *reply = NULL;
	const json_t *detail = NULL;

	if (aut_json_parse(body, len, &reply, NULL) == AUT_OK)
		detail = json_object_get(reply, "detail");
	if (json_is_array(detail))
		put_problems(detail, out);
	else if (detail != NULL)
	{
		put_problem(detail, out);
		put_problems(json_object_get(detail, "errors"), out);
	}
	else /* not one of ours: a proxy's page perhaps; its beginning must do */
		(void) client_escape(body, aut_utf8_boundary(body, len < 300 ? len : 300), out);
	json_decref(reply);
	return out->status;
}

/* ---- one request ------------------------------------------------------------------------------------- */

typedef struct transfer
{
	aut_buf reply;    /* all of it, or of a stream what is no success */
	client_sink sink; /* NULL: everything goes into reply */
	void *payload;
	bool stopped; /* the sink wanted no more */
	CURL *curl;
} transfer;

static size_t
on_body(char *data, size_t size, size_t count, void *payload)
{
	transfer *t = payload;
	size_t len = size * count;
	long code = 0;

	(void) curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
	if (t->sink == NULL || code < 200 || code > 299)
		return aut_buf_append(&t->reply, data, len) == AUT_OK ? len : 0;
	if (t->sink(t->payload, data, len))
		return len;
	t->stopped = true;
	return 0;
}

/* libcurl calls it at least once a second: how Ctrl-C gets in. */
static int
on_progress(void *payload, curl_off_t a, curl_off_t b, curl_off_t d, curl_off_t e)
{
	(void) payload;
	(void) a;
	(void) b;
	(void) d;
	(void) e;
	return client_interrupted != 0;
}

static CURLcode
set_common(CURL *curl, const char *url, transfer *t)
{
	CURLcode rc = CURLE_OK;

	curl_easy_reset(curl);
	rc = curl_easy_setopt(curl, CURLOPT_URL, url);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(curl, CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(curl, CURLOPT_USERAGENT, "automation/" AUT_VERSION);
	(void) curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void) curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
	(void) curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	(void) curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
	(void) curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	(void) curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	if (t->sink == NULL)
		(void) curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, REQUEST_TIMEOUT_MS);
	else
	{
		(void) curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
		(void) curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, SILENCE_S);
	}
	return rc;
}

static bool
add_header(struct curl_slist **list, const char *text)
{
	struct curl_slist *longer = curl_slist_append(*list, text);

	if (longer != NULL)
		*list = longer;
	return longer != NULL;
}

static bool
add_headers(const client *c, const char *content_type, struct curl_slist **list)
{
	char *key = aut_printf("X-Session-API-Key: %s", c->key);
	char *type = aut_printf("Content-Type: %s", content_type != NULL ? content_type : "");
	/* "Expect:" turns off a round trip that no server of ours needs */
	bool ok = key != NULL && type != NULL && add_header(list, key) &&
			  (content_type == NULL || add_header(list, type)) && add_header(list, "Expect:");

	aut_free(key);
	aut_free(type);
	return ok;
}

/* What a failed transfer means to the user. */
static aut_status
transfer_error(client *c, CURLcode rc, const transfer *t, aut_error *err)
{
	if (client_interrupted)
		return aut_fail(err, AUT_ECANCELED, "interrupted");
	if (t->stopped)
		return aut_fail(err, AUT_ECANCELED, "stopped");
	if (t->reply.status != AUT_OK)
		return aut_fail(err, t->reply.status, "the reply of %s is larger than %d MiB", c->base,
						CLIENT_REPLY_MAX / 1048576);
	if (rc == CURLE_COULDNT_CONNECT && c->from_file)
		return no_daemon(c, err);
	if (rc == CURLE_COULDNT_CONNECT || rc == CURLE_COULDNT_RESOLVE_HOST)
		c->exit_code = AUT_CLIENT_NO_DAEMON;
	if (rc == CURLE_OUT_OF_MEMORY)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	return aut_fail(err, rc == CURLE_OPERATION_TIMEDOUT ? AUT_ETIMEOUT : AUT_ENET, "%s: %s",
					c->base, curl_easy_strerror(rc));
}

/* The server's refusal as a status; the whole text goes into c->story. */
static aut_status
refusal(client *c, long code, const aut_buf *reply, aut_error *err)
{
	static const struct
	{
		long code;
		aut_status status;
	} kinds[] = {
		{400, AUT_EBADREQ},   {401, AUT_EUNAUTH},   {403, AUT_EDENIED},
		{404, AUT_ENOTFOUND}, {409, AUT_ECONFLICT}, {413, AUT_ELIMIT},
		{415, AUT_EMEDIA},    {422, AUT_EINVAL},    {503, AUT_EUNAVAILABLE},
	};
	aut_status status = AUT_EPROTO;
	const char *text;

	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
	{
		if (kinds[i].code == code)
			status = kinds[i].status;
	}
	aut_buf_clear(&c->story);
	(void) client_problem_text(reply->data != NULL ? reply->data : "", reply->len, &c->story);
	text = c->story.status == AUT_OK && c->story.len > 0 ? c->story.data : "no reason was given";
	if (code == 401)
		(void) aut_fail(err, status, "%s does not accept the API key: %s", c->base, text);
	else
		(void) aut_fail(err, status, "%s (HTTP %ld)", text, code);
	if (err != NULL)
		err->http_status = (int) code;
	return status;
}

static aut_status
perform(client *c, const char *method, const char *path, const char *content_type, const void *body,
		size_t len, transfer *t, aut_error *err)
{
	CURL *curl = c->curl;
	char *url = aut_printf("%s%s", c->base, path);
	struct curl_slist *headers = NULL;
	aut_status status = AUT_OK;
	CURLcode rc;
	long code = 0;

	t->curl = curl;
	if (url == NULL || !add_headers(c, content_type, &headers))
	{
		status = aut_fail(err, AUT_ENOMEM, "out of memory");
		goto out;
	}
	rc = set_common(curl, url, t);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	if (rc == CURLE_OK && body != NULL)
	{
		(void) curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) len);
		rc = curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	}
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	if (rc == CURLE_OK)
		rc = curl_easy_perform(curl);
	if (rc != CURLE_OK)
	{
		status = transfer_error(c, rc, t, err);
		goto out;
	}
	(void) curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
	if (code < 200 || code > 299)
		status = refusal(c, code, &t->reply, err);
out:
	curl_slist_free_all(headers);
	aut_free(url);
	return status;
}

aut_status
client_request(client *c, const char *method, const char *path, const char *content_type,
			   const void *body, size_t len, json_t **out_json, aut_error *err)
{
	transfer t = {.sink = NULL};
	json_t *reply = NULL;
	aut_status status;

	aut_buf_init(&t.reply, CLIENT_REPLY_MAX);
	status = perform(c, method, path, content_type, body, len, &t, err);
	if (status != AUT_OK)
		goto out;
	if (t.reply.len == 0)
		reply = json_null();
	else
	{
		status = aut_json_parse(t.reply.data, t.reply.len, &reply, err);
		if (status != AUT_OK)
		{
			status = aut_fail(err, AUT_EPROTO,
							  "%s answered something else than JSON: is it automation?", c->base);
			goto out;
		}
	}
	if (out_json != NULL)
		*out_json = json_incref(reply);
out:
	json_decref(reply);
	aut_buf_done(&t.reply);
	return status;
}

aut_status
client_get(client *c, const char *path, json_t **out_json, aut_error *err)
{
	return client_request(c, "GET", path, NULL, NULL, 0, out_json, err);
}

aut_status
client_send(client *c, const char *method, const char *path, const json_t *body, json_t **out_json,
			aut_error *err)
{
	size_t len = 2;
	char *text = body != NULL ? aut_json_text(body, &len) : aut_strdup("{}");
	aut_status status;

	if (text == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	status = client_request(c, method, path, "application/json", text, len, out_json, err);
	aut_free(text);
	return status;
}

aut_status
client_stream(client *c, const char *path, client_sink sink, void *payload, aut_error *err)
{
	transfer t = {.sink = sink, .payload = payload};
	aut_status status;

	aut_buf_init(&t.reply, CLIENT_REPLY_MAX);
	/* The daemon may be another one by now, on another port. */
	status = c->from_file ? find_served(c, err) : AUT_OK;
	if (status == AUT_OK)
		status = perform(c, "GET", path, NULL, NULL, 0, &t, err);
	aut_buf_done(&t.reply);
	return status;
}
