/* SPDX-License-Identifier: MIT */
/*
 * core/match/signature.c - did somebody who knows the secret sign these bytes?
 *
 * Three schemes, all HMAC-SHA-256, different in what is signed and how the result is written
 * (triggers.md section 4).  Two of them sign a timestamp too, so that a recorded delivery is worth
 * nothing five minutes later.  Whatever is compared with what we computed is compared in constant time,
 * and what we computed is wiped.
 *
 * The verdict names what was wrong with the headers.  It never holds a signature, given or expected.
 */
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "automation/event.h"

#define MAC_SIZE   32
#define MAC_HEX    (2 * MAC_SIZE)
#define MAC_BASE64 44 /* with its padding */
#define PARTS_MAX  5

/* A piece of what is signed. */
typedef struct piece
{
	const void *data;
	size_t len;
} piece;

static piece
text_piece(const char *text)
{
	return (piece){text, strlen(text)};
}

static aut_status
mac_of(piece key, const piece *pieces, size_t count, uint8_t out[MAC_SIZE], aut_error *err)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", digest, 0),
						   OSSL_PARAM_construct_end()};
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *ctx = mac != NULL ? EVP_MAC_CTX_new(mac) : NULL;
	size_t made = 0;
	bool good;

	good = ctx != NULL &&
		   EVP_MAC_init(ctx, key.len > 0 ? key.data : (const void *) "", key.len, params) == 1;
	for (size_t i = 0; good && i < count; i++)
	{
		if (pieces[i].len > 0)
			good = EVP_MAC_update(ctx, pieces[i].data, pieces[i].len) == 1;
	}
	good = good && EVP_MAC_final(ctx, out, &made, MAC_SIZE) == 1 && made == MAC_SIZE;
	EVP_MAC_CTX_free(ctx);
	EVP_MAC_free(mac);
	if (!good)
		return aut_fail(err, AUT_EINTERNAL, "the crypto library cannot compute HMAC-SHA-256");
	return AUT_OK;
}

/* ---- headers ---------------------------------------------------------------------------------- */

static aut_status
header_of(const aut_signature *signature, const char *name, const char **out, aut_error *err)
{
	const char *value = signature->get_header(signature->get_payload, name);

	if (value == NULL)
		return aut_fail(err, AUT_EUNAUTH, "the header %s is missing", name);
	*out = value;
	return AUT_OK;
}

/*
 * The header `name` as seconds since 1970, near enough to now.  Whole numbers as Python's int() takes
 * them: a sign, blanks around, single underscores between digits.
 */
static aut_status
timestamp_of(const aut_signature *signature, const char *name, const char **out, aut_error *err)
{
	int64_t now_s = signature->now_us / AUT_US_PER_S;
	const char *text = NULL;
	int64_t then_s = 0;
	aut_status status = header_of(signature, name, &text, err);

	if (status != AUT_OK)
		return status;
	/* "1785751200.0" is a whole number to our reader, but not to int() */
	if (strchr(text, '.') != NULL || !aut_lax_int_text(text, &then_s))
		return aut_fail(err, AUT_EUNAUTH,
						"the header %s must be a time in whole seconds since 1970", name);
	if (then_s < now_s - AUT_SIGNATURE_SLACK_S || then_s > now_s + AUT_SIGNATURE_SLACK_S)
		return aut_fail(err, AUT_EUNAUTH,
						"the time in the header %s is more than %d seconds away from now", name,
						AUT_SIGNATURE_SLACK_S);
	*out = text;
	return AUT_OK;
}

static aut_status
mismatch(aut_error *err)
{
	return aut_fail(err, AUT_EUNAUTH, "the signature does not match");
}

/* ---- hexadecimal: hmac_sha256_hex and slack_v0 ------------------------------------------------- */

static aut_status
hex_check(const char *given, piece key, const piece *pieces, size_t count, aut_error *err)
{
	uint8_t mac[MAC_SIZE];
	char hex[MAC_HEX + 1];
	aut_status status = mac_of(key, pieces, count, mac, err);

	if (status == AUT_OK)
	{
		aut_hex(mac, sizeof mac, hex);
		if (!aut_equal_constant_time(given, strlen(given), hex, MAC_HEX))
			status = mismatch(err);
	}
	OPENSSL_cleanse(mac, sizeof mac);
	OPENSSL_cleanse(hex, sizeof hex);
	return status;
}

static aut_status
hmac_hex_check(const aut_signature *signature, const char *given, aut_error *err)
{
	static const char prefix[] = "sha256=";
	piece body = {signature->body, signature->body_len};

	if (strncmp(given, prefix, sizeof prefix - 1) == 0)
		given += sizeof prefix - 1;
	return hex_check(given, text_piece(signature->secret), &body, 1, err);
}

static aut_status
slack_check(const aut_signature *signature, const char *given, aut_error *err)
{
	const char *timestamp = NULL;
	aut_status status = timestamp_of(signature, "X-Slack-Request-Timestamp", &timestamp, err);

	if (status == AUT_OK && strncmp(given, "v0=", 3) != 0)
		status = mismatch(err);
	if (status == AUT_OK)
	{
		const piece pieces[] = {text_piece("v0:"),
								text_piece(timestamp),
								text_piece(":"),
								{signature->body, signature->body_len}};

		status = hex_check(given + 3, text_piece(signature->secret), pieces, 4, err);
	}
	return status;
}

/* ---- standard_webhooks ------------------------------------------------------------------------- */

/*
 * Base64 of the plain alphabet with its padding and nothing else, into out (3/4 of the text is enough).
 * Returns its length, or -1: not of that form.
 */
static ptrdiff_t
base64_decode(const char *text, size_t len, uint8_t *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t padding = 0;
	size_t made = 0;
	uint32_t bits = 0;

	if (len % 4 != 0)
		return -1;
	while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < len - padding; i++)
	{
		const char *digit = text[i] != '\0' ? strchr(digits, text[i]) : NULL;

		if (digit == NULL)
			return -1;
		bits = bits << 6 | (uint32_t) (digit - digits);
		if (i % 4 != 0)
			out[made++] = (uint8_t) (bits >> (6 - 2 * (i % 4)));
	}
	return (ptrdiff_t) made;
}

/* Does one of the blank-separated `v1,<base64>` tokens say what was expected?  All are looked at. */
static bool
token_matches(const char *given, const char *expected, size_t expected_len)
{
	bool found = false;

	while (*given != '\0')
	{
		size_t len = strcspn(given, " ");

		if (len > 3 && strncmp(given, "v1,", 3) == 0 &&
			aut_equal_constant_time(given + 3, len - 3, expected, expected_len))
			found = true;
		given += len;
		given += strspn(given, " ");
	}
	return found;
}

static aut_status
standard_check(const aut_signature *signature, const char *given, aut_error *err)
{
	static const char prefix[] = "whsec_";
	const char *secret = signature->secret;
	size_t secret_len = strlen(secret);
	size_t skip = strncmp(secret, prefix, sizeof prefix - 1) == 0 ? sizeof prefix - 1 : 0;
	size_t room = secret_len + 1;
	uint8_t *decoded = aut_malloc(room);
	piece key = {secret, secret_len};
	unsigned char base64[MAC_BASE64 + 1];
	uint8_t mac[MAC_SIZE];
	const char *id = NULL;
	const char *timestamp = NULL;
	aut_status status = AUT_OK;
	ptrdiff_t len;

	if (decoded == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory while checking a signature");
	status = header_of(signature, "webhook-id", &id, err);
	if (status == AUT_OK)
		status = timestamp_of(signature, "webhook-timestamp", &timestamp, err);
	if (status != AUT_OK)
		goto out;
	len = base64_decode(secret + skip, secret_len - skip, decoded);
	if (len >= 0)
		key = (piece){decoded, (size_t) len};
	{
		const piece pieces[PARTS_MAX] = {text_piece(id),
										 text_piece("."),
										 text_piece(timestamp),
										 text_piece("."),
										 {signature->body, signature->body_len}};

		status = mac_of(key, pieces, PARTS_MAX, mac, err);
	}
	if (status != AUT_OK)
		goto out;
	(void) EVP_EncodeBlock(base64, mac, MAC_SIZE);
	if (!token_matches(given, (const char *) base64, MAC_BASE64))
		status = mismatch(err);
	OPENSSL_cleanse(base64, sizeof base64);
	OPENSSL_cleanse(mac, sizeof mac);

out:
	OPENSSL_cleanse(decoded, room);
	aut_free(decoded);
	return status;
}

/* ---- which ------------------------------------------------------------------------------------- */

typedef aut_status scheme_check(const aut_signature *signature, const char *given, aut_error *err);

static const struct
{
	const char *name;
	scheme_check *check;
} schemes[] = {{AUT_SCHEME_HMAC_HEX, hmac_hex_check},
			   {AUT_SCHEME_STANDARD, standard_check},
			   {AUT_SCHEME_SLACK, slack_check}};

static scheme_check *
scheme_named(const char *name)
{
	for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
	{
		if (strcmp(schemes[i].name, name) == 0)
			return schemes[i].check;
	}
	return NULL;
}

bool
aut_signature_scheme_known(const char *scheme)
{
	return scheme_named(scheme) != NULL;
}

aut_status
aut_signature_check(const aut_signature *signature, aut_error *err)
{
	const char *scheme = signature->scheme != NULL ? signature->scheme : AUT_SCHEME_HMAC_HEX;
	scheme_check *check = scheme_named(scheme);
	const char *given = NULL;
	aut_status status;

	if (check == NULL)
		return aut_fail(err, AUT_ECORRUPT, "the signature scheme \"%s\" does not exist", scheme);
	status = header_of(signature, signature->header, &given, err);
	return status == AUT_OK ? check(signature, given, err) : status;
}
