/* SPDX-License-Identifier: MIT */
/*
 * core/object/sigv4.c - URLs that carry their permission: Amazon's Signature Version 4 in a query.
 *
 * curl signs the requests we send ourselves; a URL that somebody else is to use has to be signed here.
 * Only what is needed for that: a GET, the host as the one signed header, an unsigned body.  Pure but
 * for libcrypto; the test has Amazon's documented example.
 */
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "core/object/object_internal.h"

#define MAC_LEN 32

static bool
mac(const void *key, size_t key_len, const char *text, uint8_t out[MAC_LEN])
{
	unsigned len = 0;

	return HMAC(EVP_sha256(), key, (int) key_len, (const unsigned char *) text, strlen(text), out,
				&len) != NULL &&
		   len == MAC_LEN;
}

/* The key of a day, a region and a service, derived from the secret; and with it the signature. */
static aut_status
sign(const aut__signing *s, const char *day, const char *text, uint8_t out[MAC_LEN], aut_error *err)
{
	char *start = aut_printf("AWS4%s", s->secret);
	uint8_t key[MAC_LEN];
	aut_status status = AUT_OK;

	if (start == NULL)
		return AUT_ENOMEM;
	if (!mac(start, strlen(start), day, key) || !mac(key, MAC_LEN, s->region, key) ||
		!mac(key, MAC_LEN, "s3", key) || !mac(key, MAC_LEN, "aws4_request", key) ||
		!mac(key, MAC_LEN, text, out))
		status = aut_fail(err, AUT_EINTERNAL, "the crypto library cannot sign");
	OPENSSL_cleanse(start, strlen(start));
	OPENSSL_cleanse(key, sizeof key);
	aut_free(start);
	return status;
}

/* The parameters, encoded, in the order of their names. */
static void
put_parameters(const aut__signing *s, const char *scope, const char *moment, aut_buf *out)
{
	aut_buf_puts(out, "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=");
	aut_url_encode(out, s->key_id, strlen(s->key_id), "");
	aut_buf_puts(out, "%2F");
	aut_url_encode(out, scope, strlen(scope), "");
	aut_buf_printf(out, "&X-Amz-Date=%s&X-Amz-Expires=%lld&X-Amz-SignedHeaders=host", moment,
				   (long long) s->lifetime_s);
}

aut_status
aut__sigv4_query(const aut__signing *s, aut_buf *out, aut_error *err)
{
	char moment[40], day[12], scope[200], hex[2 * MAC_LEN + 1];
	char *canonical = NULL, *to_sign = NULL;
	uint8_t digest[MAC_LEN];
	int64_t seconds = s->now_us / AUT_US_PER_S;
	int64_t days = seconds / 86400, year;
	int month, monthday, rest = (int) (seconds % 86400), n;
	size_t start = out->len;
	aut_status status = AUT_OK;

	aut_civil_from_days(days, &year, &month, &monthday);
	(void) snprintf(day, sizeof day, "%04d%02d%02d", (int) (year % 10000), month % 100,
					monthday % 100);
	(void) snprintf(moment, sizeof moment, "%sT%02d%02d%02dZ", day, rest / 3600, rest / 60 % 60,
					rest % 60);
	n = snprintf(scope, sizeof scope, "%s/%s/s3/aws4_request", day, s->region);
	if (s->now_us < 0 || n < 0 || (size_t) n >= sizeof scope)
		status = aut_fail(err, AUT_EINVAL, "cannot sign a URL: the region is too long");
	if (status == AUT_OK)
	{
		put_parameters(s, scope, moment, out);
		status = out->status;
	}
	if (status == AUT_OK)
	{
		canonical = aut_printf("GET\n%s\n%s\nhost:%s\n\nhost\nUNSIGNED-PAYLOAD", s->path,
							   out->data + start, s->host);
		status =
			canonical != NULL ? aut_sha256(canonical, strlen(canonical), digest, err) : AUT_ENOMEM;
	}
	if (status == AUT_OK)
	{
		aut_hex(digest, MAC_LEN, hex);
		to_sign = aut_printf("AWS4-HMAC-SHA256\n%s\n%s\n%s", moment, scope, hex);
		status = to_sign != NULL ? sign(s, day, to_sign, digest, err) : AUT_ENOMEM;
	}
	if (status == AUT_OK)
	{
		aut_hex(digest, MAC_LEN, hex);
		status = aut_buf_printf(out, "&X-Amz-Signature=%s", hex);
	}
	aut_free(canonical);
	aut_free(to_sign);
	if (status == AUT_ENOMEM || status == AUT_ELIMIT)
		status = aut_fail(err, status, "no memory for a signed URL");
	return status;
}
