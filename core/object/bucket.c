/* SPDX-License-Identifier: MIT */
/*
 * core/object/bucket.c - buckets of S3 and GCS: where they are, requests to them, and addresses of
 * tarballs in them.
 *
 * The bucket stands in the path ("https://s3.eu-west-1.amazonaws.com/bucket/name"), which every
 * implementation takes.  Requests are signed by curl; the digest of the body, which S3 wants signed as a header,
 * is made here, because older curls do not send it.  What a store says of a failure is a code word in
 * XML; of that only letters and digits are passed on.
 *
 * Addresses in automations are people's words, and we would open them with our key.  So only what the
 * operator listed can be used, and never what other people uploaded here.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "core/object/object_internal.h"

#define URL_MAX   8192
#define REPLY_MAX 65536 /* of what is no object: a story of a failure */

/* ---- where it is --------------------------------------------------------------------------- */

/* A name may not lead elsewhere, whoever resolves the dots in it. */
static bool
is_bucket_name(const char *name, size_t len)
{
	bool good = len >= 3 && len <= 222;

	for (size_t i = 0; i < len && good; i++)
		good = isalnum((unsigned char) name[i]) || (i > 0 && strchr(".-_", name[i]) != NULL);
	return good;
}

/* Scheme, host and path of an endpoint; without a scheme it has the one given. */
static aut_status
endpoint_parts(const char *endpoint, const char *scheme, const char *bucket, aut__bucket *out,
			   aut_error *err)
{
	const char *mark = strstr(endpoint, "://");
	const char *host = mark != NULL ? mark + 3 : endpoint;
	int scheme_len = mark != NULL ? (int) (mark - endpoint) : (int) strlen(scheme);
	const char *said = mark != NULL ? endpoint : scheme;
	size_t host_len = strcspn(host, "/?#");
	size_t path_len = strcspn(host + host_len, "?#");
	const char *usual = scheme_len == 5 ? ":443" : ":80";

	while (path_len > 0 && host[host_len + path_len - 1] == '/')
		path_len--;
	if (host_len == 0 || host_len > 255 || memchr(host, '@', host_len) != NULL)
		return aut_fail(err, AUT_EINVAL, "the endpoint of the object store names no host");
	out->path = aut_printf("%.*s/%s", (int) path_len, host + host_len, bucket);
	out->url = aut_printf("%.*s://%.*s%s", scheme_len, said, (int) host_len, host,
						  out->path != NULL ? out->path : "");
	/* a usual port is not sent, so it is not signed */
	if (host_len > strlen(usual) &&
		strncmp(host + host_len - strlen(usual), usual, strlen(usual)) == 0)
		host_len -= strlen(usual);
	out->host = aut_strndup(host, host_len);
	if (out->path == NULL || out->url == NULL || out->host == NULL)
		return aut_fail(err, AUT_ENOMEM, "no memory for the address of a bucket");
	return AUT_OK;
}

static aut_status
s3_init(const aut_settings *s, const char *bucket, aut__bucket *out, aut_error *err)
{
	const char *scheme = s->aws_s3_secure ? "https" : "http";
	const char *mark = strstr(s->aws_s3_endpoint, "://");
	char amazon[160];

	if (s->aws_access_key_id[0] == '\0' || s->aws_secret_access_key[0] == '\0')
		return aut_fail(err, AUT_EINVAL, "S3 needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
	if (mark != NULL && (strncmp(s->aws_s3_endpoint, scheme, strlen(scheme)) != 0 ||
						 mark != s->aws_s3_endpoint + strlen(scheme)))
		return aut_fail(err, AUT_EINVAL,
						"AWS_S3_ENDPOINT must begin with %s:// (AWS_S3_SECURE is %s)", scheme,
						s->aws_s3_secure ? "true" : "false");
	if (s->aws_region[strspn(s->aws_region, "abcdefghijklmnopqrstuvwxyz0123456789-")] != '\0')
		return aut_fail(err, AUT_EINVAL, "AWS_REGION must be a word like eu-west-1");
	(void) snprintf(amazon, sizeof amazon, "s3.%s.amazonaws.com", s->aws_region);
	out->region = s->aws_region;
	out->key_id = s->aws_access_key_id;
	out->secret = s->aws_secret_access_key;
	return endpoint_parts(s->aws_s3_endpoint[0] != '\0' ? s->aws_s3_endpoint : amazon, scheme,
						  bucket, out, err);
}

static aut_status
gcs_init(const aut_settings *s, const char *bucket, aut__bucket *out, aut_error *err)
{
	bool emulated = s->storage_emulator_host[0] != '\0';
	bool keyless = s->gcs_access_key_id[0] == '\0' || s->gcs_secret_access_key[0] == '\0';
	const char *mark = strstr(s->storage_emulator_host, "://");

	if (keyless && !emulated)
		return aut_fail(err, AUT_EINVAL,
						"GCS needs an HMAC key: GCS_ACCESS_KEY_ID and GCS_SECRET_ACCESS_KEY");
	if (mark != NULL && strncmp(s->storage_emulator_host, "http://", 7) != 0 &&
		strncmp(s->storage_emulator_host, "https://", 8) != 0)
		return aut_fail(err, AUT_EINVAL, "STORAGE_EMULATOR_HOST must be http:// or https://");
	out->region = "auto";
	/* emulators do not ask who one is */
	out->key_id = keyless ? "emulator" : s->gcs_access_key_id;
	out->secret = keyless ? "emulator" : s->gcs_secret_access_key;
	return endpoint_parts(emulated ? s->storage_emulator_host : "storage.googleapis.com",
						  emulated ? "http" : "https", bucket, out, err);
}

aut_status
aut__bucket_init(const aut_settings *settings, bool gcs, const char *bucket, aut__bucket *out,
				 aut_error *err)
{
	const char *name = bucket;
	aut__bucket made = {0};
	aut_status status;

	if (name == NULL)
		name = gcs ? settings->gcs_bucket_name : settings->aws_s3_bucket;
	if (name[0] == '\0')
		return aut_fail(err, AUT_EINVAL, "%s does not say which bucket",
						gcs ? "GCS_BUCKET_NAME" : "AWS_S3_BUCKET");
	if (!is_bucket_name(name, strlen(name)))
		return aut_fail(err, AUT_EINVAL, "\"%.80s\" is not the name of a bucket", name);
	status = gcs ? gcs_init(settings, name, &made, err) : s3_init(settings, name, &made, err);
	if (status == AUT_OK)
		*out = made;
	else
		aut__bucket_done(&made);
	return status;
}

void
aut__bucket_done(aut__bucket *bucket)
{
	aut_free(bucket->url);
	aut_free(bucket->host);
	aut_free(bucket->path);
	*bucket = (aut__bucket){0};
}

/* ---- requests ------------------------------------------------------------------------------ */

/* The word in <Code>…</Code>, as far as it is one. */
static void
code_word(const char *body, char *out, size_t size)
{
	const char *at = strstr(body, "<Code>");
	size_t len = 0;

	at = at != NULL ? at + strlen("<Code>") : "";
	while (len + 1 < size && isalnum((unsigned char) at[len]))
	{
		out[len] = at[len];
		len++;
	}
	out[len] = '\0';
}

static aut_status
judge(const aut_http_reply *reply, aut_error *err)
{
	char word[64];
	aut_status status = AUT_EPROTO;

	if (reply->code >= 200 && reply->code <= 299)
		return AUT_OK;
	code_word(reply->body, word, sizeof word);
	if (reply->code == 404 && (word[0] == '\0' || strcmp(word, "NoSuchKey") == 0))
		status = AUT_ENOTFOUND;
	else if (reply->code == 401 || reply->code == 403 || reply->code == 404)
		status =
			AUT_EDENIED; /* or there is no such bucket, which is as much a matter of settings */
	else if (reply->code == 408 || reply->code == 429 || reply->code >= 500)
		status = AUT_EUNAVAILABLE;
	(void) aut_fail(err, status, "the object store answered %d%s%s", reply->code,
					word[0] != '\0' ? ": " : "", word);
	err->http_status = reply->code;
	return status;
}

static void
answered(void *payload, const aut_http_reply *reply)
{
	aut_object_call *call = payload;
	aut_error error = reply->error;
	aut_status status = reply->status;

	call->http = NULL;
	if (status != AUT_OK)
		(void) aut_error_context(&error, "object store");
	else
		status = judge(reply, &error);
	if (status == AUT_ENOTFOUND && call->verb == AUT__DELETE)
		status = AUT_OK;
	if (status == AUT_OK && call->verb == AUT__GET)
		aut__object_end(call, status, reply->body, reply->body_len, &error);
	else
		aut__object_end(call, status, NULL, 0, &error);
}

aut_status
aut__bucket_send(aut_object_call *call, const aut__bucket *bucket, const char *name,
				 const void *lent_data, size_t len, size_t max, int64_t timeout_ms, aut_error *err)
{
	static const char *const methods[] = {"PUT", "GET", "DELETE"};
	char *scope = aut_printf("aws:amz:%s:s3", bucket->region);
	char digest_line[100], hex[65];
	const char *const headers[] = {digest_line, NULL};
	uint8_t digest[32];
	aut_status status;
	aut_buf url;

	aut_buf_init(&url, URL_MAX);
	aut_buf_printf(&url, "%s/", bucket->url);
	status = aut_url_encode(&url, name, strlen(name), "/");
	if (status != AUT_OK || scope == NULL)
		status = aut_fail(err, status != AUT_OK ? status : AUT_ENOMEM,
						  "no room for the URL of an object");
	else
		status = aut_sha256(len > 0 ? lent_data : "", len, digest, err);
	if (status == AUT_OK)
	{
		aut_hex(digest, sizeof digest, hex);
		(void) snprintf(digest_line, sizeof digest_line, "X-Amz-Content-Sha256: %s", hex);

		aut_http_request request = {
			.method = methods[call->verb],
			.url = url.data,
			.headers = headers,
			.body = call->verb == AUT__PUT ? (len > 0 ? lent_data : "") : NULL,
			.body_len = len,
			.body_lent = true,
			.content_type = "application/x-tar",
			.aws_sigv4 = scope,
			.aws_key_id = bucket->key_id,
			.aws_secret = bucket->secret,
			.timeout_ms = timeout_ms,
			.reply_max = max > REPLY_MAX ? max : REPLY_MAX,
			.cb = answered,
			.payload = call,
		};
		status = aut_http_send(call->objects->http, &request, &call->http, err);
	}
	if (status != AUT_OK)
		call->http = NULL;
	aut_buf_done(&url);
	aut_free(scope);
	return status;
}

/* ---- addresses ----------------------------------------------------------------------------- */

bool
aut_object_is_address(const char *address)
{
	return strncmp(address, "s3://", 5) == 0 || strncmp(address, "gs://", 5) == 0;
}

/* The names in an address; out_bucket has room for 256 bytes. */
static aut_status
address_parts(const char *address, bool *out_gcs, char *out_bucket, const char **out_name,
			  aut_error *err)
{
	const char *bucket = address + 5;
	size_t len = strcspn(bucket, "/");
	const char *name = bucket + len;

	if (!aut_object_is_address(address) || !is_bucket_name(bucket, len) || name[0] != '/' ||
		name[1] == '\0' || strlen(name) > 1025)
		return aut_fail(err, AUT_EINVAL,
						"tarball_path \"%.100s\" is not of the form s3://bucket/name", address);
	name++;
	for (const char *at = name; at != NULL;
		 at = strchr(at, '/') != NULL ? strchr(at, '/') + 1 : NULL)
	{
		size_t n = strcspn(at, "/");

		/* what is between slashes; dots would be resolved on the way, and lead elsewhere */
		if (n == 0 || (n == 1 && at[0] == '.') || (n == 2 && strncmp(at, "..", 2) == 0))
			return aut_fail(err, AUT_EINVAL,
							"tarball_path \"%.100s\" has a part that is empty, . or ..", address);
	}
	for (const char *at = name; *at != '\0'; at++)
		if ((unsigned char) *at < 0x20 || *at == 0x7f)
			return aut_fail(err, AUT_EINVAL, "tarball_path has a control character");
	*out_gcs = address[0] == 'g';
	memcpy(out_bucket, bucket, len);
	out_bucket[len] = '\0';
	*out_name = name;
	return AUT_OK;
}

/* Is it what the entry names, or below it? */
static bool
is_below(const char *address, const char *entry, size_t len)
{
	while (len > 5 && entry[len - 1] == '/')
		len--;
	return len > 5 && strncmp(address, entry, len) == 0 &&
		   (address[len] == '/' || address[len] == '\0');
}

static aut_status
address_judge(const aut_settings *settings, const char *address, bool *out_gcs, char *out_bucket,
			  const char **out_name, aut_error *err)
{
	static const char OURS[] = "automation/uploads/";
	const char *own;
	bool listed = false;
	aut_status status = address_parts(address, out_gcs, out_bucket, out_name, err);

	if (status != AUT_OK)
		return status;
	own = *out_gcs ? settings->gcs_bucket_name : settings->aws_s3_bucket;
	for (const char *at = settings->object_sources; *at != '\0' && !listed;)
	{
		size_t len = strcspn(at, ",");
		const char *entry = at + strspn(at, " ");
		size_t entry_len = entry < at + len ? (size_t) (at + len - entry) : 0;

		while (entry_len > 0 && entry[entry_len - 1] == ' ')
			entry_len--;
		listed = is_below(address, entry, entry_len);
		at += len + (at[len] == ',' ? 1 : 0);
	}
	if (!listed)
		return aut_fail(err, AUT_EDENIED,
						"tarball_path \"%.100s\" is not below anything that OBJECT_SOURCES lists",
						address);
	if (strcmp(own, out_bucket) == 0 && strncmp(*out_name, OURS, sizeof OURS - 1) == 0)
		return aut_fail(err, AUT_EDENIED,
						"tarball_path must name an upload as oh-internal://uploads/<id>");
	return AUT_OK;
}

aut_status
aut_object_address_check(const aut_settings *settings, const char *address, aut_error *err)
{
	char bucket[256];
	const char *name;
	bool gcs;

	return address_judge(settings, address, &gcs, bucket, &name, err);
}

/* Judge an address and find its bucket. */
static aut_status
address_open(const aut_settings *settings, const char *address, aut__bucket *out,
			 const char **out_name, aut_error *err)
{
	char bucket[256];
	bool gcs;
	aut_status status = address_judge(settings, address, &gcs, bucket, out_name, err);

	return status == AUT_OK ? aut__bucket_init(settings, gcs, bucket, out, err) : status;
}

aut_status
aut_object_sign_url(const aut_objects *objects, const char *address, int64_t lifetime_s, char **out,
					aut_error *err)
{
	aut__bucket bucket = {0};
	aut_buf path, query;
	const char *name = NULL;
	char *url = NULL;
	aut_status status = address_open(objects->settings, address, &bucket, &name, err);

	aut_buf_init(&path, URL_MAX);
	aut_buf_init(&query, URL_MAX);
	if (status == AUT_OK)
	{
		aut_buf_printf(&path, "%s/", bucket.path);
		status = aut_url_encode(&path, name, strlen(name), "/");
		if (status != AUT_OK)
			(void) aut_fail(err, status, "no room for the URL of an object");
	}
	if (status == AUT_OK)
		status = aut__sigv4_query(&(aut__signing){.host = bucket.host,
												  .path = path.data,
												  .region = bucket.region,
												  .key_id = bucket.key_id,
												  .secret = bucket.secret,
												  .now_us = aut_now_us(objects->clock),
												  .lifetime_s = lifetime_s},
								  &query, err);
	if (status == AUT_OK)
	{
		/* the scheme and host of the bucket, its path with the name, the signature */
		size_t base = strlen(bucket.url) - strlen(bucket.path);

		url = aut_printf("%.*s%s?%s", (int) base, bucket.url, path.data, query.data);
		status = url != NULL ? AUT_OK : aut_fail(err, AUT_ENOMEM, "no memory for a signed URL");
	}
	if (status == AUT_OK)
		*out = url;
	aut_buf_done(&path);
	aut_buf_done(&query);
	aut__bucket_done(&bucket);
	return status;
}

aut_status
aut_object_fetch(aut_objects *objects, const char *address, size_t max, int64_t timeout_s,
				 aut_object_cb cb, void *payload, aut_object_call **out_call, aut_error *err)
{
	aut__bucket bucket = {0};
	const char *name = NULL;
	aut_object_call *call = NULL;
	aut_status status = address_open(objects->settings, address, &bucket, &name, err);

	if (status == AUT_OK)
	{
		call = aut__object_begin(objects, AUT__GET, cb, payload);
		status = call != NULL
					 ? aut__bucket_send(call, &bucket, name, NULL, 0, max, timeout_s * 1000, err)
					 : aut_fail(err, AUT_ENOMEM, "no memory for an object");
	}
	aut__bucket_done(&bucket);
	if (status != AUT_OK)
		aut_object_cancel(call);
	else if (out_call != NULL)
		*out_call = call;
	return status;
}
