/* SPDX-License-Identifier: MIT */
/*
 * core/base/seal.c - sealing of secrets; seal.h has the form and the reasons.
 *
 * Nonces are random: 96 bits are good for 2^32 values under one key, and a service has thousands.  The
 * version, the key's id and the place go into the tag, so nothing of a sealed value can be changed and
 * none can be moved.  Keys and opened values are overwritten as soon as they have served.
 */
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "automation/seal.h"

#define VERSION      1
#define KEY_ID_BYTES 8
#define NONCE_BYTES  12
#define TAG_BYTES    16
#define HEAD_BYTES   (1 + KEY_ID_BYTES)
#define PLACE_MAX    200

void
aut_secret_clear(void *secret, size_t len)
{
	if (secret != NULL && len > 0)
		OPENSSL_cleanse(secret, len);
}

void
aut_secret_free(char *secret, size_t len)
{
	aut_secret_clear(secret, len);
	aut_free(secret);
}

/* The first bytes of a digest over the key: tells keys apart, gives nothing of them away. */
static aut_status
key_id(const uint8_t key[AUT_SEAL_KEY_BYTES], uint8_t out[KEY_ID_BYTES], aut_error *err)
{
	static const char prefix[] = "automation seal key id";
	uint8_t text[sizeof prefix + AUT_SEAL_KEY_BYTES];
	uint8_t digest[32];
	aut_status status;

	memcpy(text, prefix, sizeof prefix);
	memcpy(text + sizeof prefix, key, AUT_SEAL_KEY_BYTES);
	status = aut_sha256(text, sizeof text, digest, err);
	aut_secret_clear(text, sizeof text);
	if (status == AUT_OK)
		memcpy(out, digest, KEY_ID_BYTES);
	return status;
}

/* What is bound to the value: its head, table, column (each with its NUL, so that no two places read the
 * same) and row. */
typedef struct binding
{
	uint8_t bytes[HEAD_BYTES + PLACE_MAX + sizeof(aut_uuid)];
	size_t len;
} binding;

static aut_status
bind_place(binding *out, const uint8_t head[HEAD_BYTES], const aut_seal_place *place,
		   aut_error *err)
{
	size_t table = strlen(place->table) + 1;
	size_t column = strlen(place->column) + 1;

	AUT_CHECK(table + column <= PLACE_MAX);
	memcpy(out->bytes, head, HEAD_BYTES);
	memcpy(out->bytes + HEAD_BYTES, place->table, table);
	memcpy(out->bytes + HEAD_BYTES + table, place->column, column);
	memcpy(out->bytes + HEAD_BYTES + table + column, place->row->bytes, sizeof place->row->bytes);
	out->len = HEAD_BYTES + table + column + sizeof place->row->bytes;
	return AUT_OK;
}

static aut_status
no_crypto(aut_error *err)
{
	return aut_fail(err, AUT_EINTERNAL, "the crypto library cannot use AES-256-GCM");
}

static aut_status
get_key(const aut_sealer *sealer, bool make, uint8_t out[AUT_SEAL_KEY_BYTES], aut_error *err)
{
	if (sealer == NULL)
		return aut_fail(err, AUT_EUNAVAILABLE, "there is no key to seal secrets with");
	return sealer->key(sealer->payload, make, out, err);
}

/* data of len bytes at most AUT_SEAL_MAX, so the casts to int are safe. */
static bool
encrypt(const uint8_t *key, const uint8_t *nonce, const binding *bound, const void *data,
		size_t len, uint8_t *out, uint8_t *tag)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n = 0;
	bool good = ctx != NULL && EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
				EVP_EncryptUpdate(ctx, NULL, &n, bound->bytes, (int) bound->len) == 1 &&
				EVP_EncryptUpdate(ctx, out, &n, data, (int) len) == 1 && n == (int) len &&
				EVP_EncryptFinal_ex(ctx, out + n, &n) == 1 &&
				EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, tag) == 1;

	EVP_CIPHER_CTX_free(ctx);
	return good;
}

/* *out_genuine: does the tag fit? */
static bool
decrypt(const uint8_t *key, const uint8_t *nonce, const binding *bound, const uint8_t *sealed,
		size_t len, const uint8_t *tag, uint8_t *out, bool *out_genuine)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t copy[TAG_BYTES];
	int n = 0;
	bool good;

	memcpy(copy, tag, TAG_BYTES);
	good = ctx != NULL && EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
		   EVP_DecryptUpdate(ctx, NULL, &n, bound->bytes, (int) bound->len) == 1 &&
		   EVP_DecryptUpdate(ctx, out, &n, sealed, (int) len) == 1 && n == (int) len &&
		   EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, copy) == 1;
	*out_genuine = good && EVP_DecryptFinal_ex(ctx, out + n, &n) == 1;
	EVP_CIPHER_CTX_free(ctx);
	return good;
}

aut_status
aut_seal(const aut_sealer *sealer, const aut_seal_place *place, const void *data, size_t len,
		 void **out, size_t *out_len, aut_error *err)
{
	uint8_t key[AUT_SEAL_KEY_BYTES];
	binding bound;
	uint8_t *sealed = NULL;
	aut_status status;

	if (len > AUT_SEAL_MAX)
		return aut_fail(err, AUT_ELIMIT, "a secret of %zu bytes is longer than %zu", len,
						AUT_SEAL_MAX);
	status = get_key(sealer, true, key, err);
	if (status != AUT_OK)
		return status;
	sealed = aut_malloc(AUT_SEAL_OVERHEAD + len);
	if (sealed == NULL)
	{
		status = aut_fail(err, AUT_ENOMEM, "out of memory for a secret");
		goto out;
	}
	sealed[0] = VERSION;
	status = key_id(key, sealed + 1, err);
	if (status == AUT_OK)
		status = bind_place(&bound, sealed, place, err);
	if (status == AUT_OK)
		status = aut_random(sealed + HEAD_BYTES, NONCE_BYTES, err);
	if (status == AUT_OK &&
		!encrypt(key, sealed + HEAD_BYTES, &bound, len > 0 ? data : "", len,
				 sealed + HEAD_BYTES + NONCE_BYTES, sealed + HEAD_BYTES + NONCE_BYTES + len))
		status = no_crypto(err);
	if (status == AUT_OK)
	{
		*out = sealed;
		*out_len = AUT_SEAL_OVERHEAD + len;
		sealed = NULL;
	}
out:
	aut_secret_clear(key, sizeof key);
	aut_free(sealed);
	return status;
}

aut_status
aut_unseal(const aut_sealer *sealer, const aut_seal_place *place, const void *sealed,
		   size_t sealed_len, char **out, size_t *out_len, aut_error *err)
{
	const uint8_t *bytes = sealed;
	uint8_t key[AUT_SEAL_KEY_BYTES];
	uint8_t id[KEY_ID_BYTES];
	binding bound;
	bool genuine = false;
	size_t len;
	char *opened = NULL;
	aut_status status;

	if (sealed == NULL || sealed_len < AUT_SEAL_OVERHEAD ||
		sealed_len > AUT_SEAL_OVERHEAD + AUT_SEAL_MAX || bytes[0] != VERSION)
		return aut_fail(err, AUT_ECORRUPT, "%s.%s does not hold a sealed secret", place->table,
						place->column);
	len = sealed_len - AUT_SEAL_OVERHEAD;
	status = get_key(sealer, false, key, err);
	if (status != AUT_OK)
		return status;
	status = key_id(key, id, err);
	if (status == AUT_OK && memcmp(id, bytes + 1, KEY_ID_BYTES) != 0)
		status = aut_fail(err, AUT_EUNAVAILABLE,
						  "%s.%s was sealed with another key: bring back the key file of that "
						  "time, or set the secret again",
						  place->table, place->column);
	if (status == AUT_OK)
		status = bind_place(&bound, bytes, place, err);
	if (status == AUT_OK && (opened = aut_malloc(len + 1)) == NULL)
		status = aut_fail(err, AUT_ENOMEM, "out of memory for a secret");
	if (status == AUT_OK &&
		!decrypt(key, bytes + HEAD_BYTES, &bound, bytes + HEAD_BYTES + NONCE_BYTES, len,
				 bytes + sealed_len - TAG_BYTES, (uint8_t *) opened, &genuine))
		status = no_crypto(err);
	if (status == AUT_OK && !genuine)
		status = aut_fail(err, AUT_ECORRUPT, "%s.%s is damaged, or belongs to another row",
						  place->table, place->column);
	if (status == AUT_OK)
	{
		opened[len] = '\0';
		*out = opened;
		*out_len = len;
		opened = NULL;
	}
	aut_secret_clear(key, sizeof key);
	if (opened != NULL)
		aut_secret_free(opened, len);
	return status;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

aut_status
aut_seal_key_parse(const char *text, size_t len, uint8_t out[AUT_SEAL_KEY_BYTES], aut_error *err)
{
	static const char blanks[] = " \t\r\n";
	uint8_t key[AUT_SEAL_KEY_BYTES];
	aut_status status = AUT_OK;

	while (len > 0 && strchr(blanks, text[0]) != NULL && text[0] != '\0')
	{
		text++;
		len--;
	}
	while (len > 0 && strchr(blanks, text[len - 1]) != NULL && text[len - 1] != '\0')
		len--;
	if (len != AUT_SEAL_KEY_HEX)
		return aut_fail(err, AUT_EINVAL, "a key to seal secrets with has %d hex digits, not %zu",
						AUT_SEAL_KEY_HEX, len);
	for (size_t i = 0; status == AUT_OK && i < AUT_SEAL_KEY_BYTES; i++)
	{
		int high = hex_digit(text[2 * i]);
		int low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			status = aut_fail(err, AUT_EINVAL,
							  "a key to seal secrets with has %d hex digits and nothing else",
							  AUT_SEAL_KEY_HEX);
		else
			key[i] = (uint8_t) (high << 4 | low);
	}
	if (status == AUT_OK)
		memcpy(out, key, sizeof key);
	aut_secret_clear(key, sizeof key);
	return status;
}
