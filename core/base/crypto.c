/* SPDX-License-Identifier: MIT */
/*
 * core/base/crypto.c - random bytes from the kernel, SHA-256, hex, comparison in constant time.
 *
 * Randomness comes straight from getrandom(2): no state of ours that a fork could copy.  Blocks
 * only in the first seconds of a machine's life, until the kernel's pool is ready.
 */
#include <errno.h>
#include <limits.h>
#include <sys/random.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "automation/base.h"

aut_status
aut_random(void *out, size_t len, aut_error *err)
{
	unsigned char *at = out;

	while (len > 0)
	{
		ssize_t got = getrandom(at, len, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return aut_fail_errno(err, AUT_EIO, errno, "cannot get random bytes");
		at += got;
		len -= (size_t) got;
	}
	return AUT_OK;
}

aut_status
aut_sha256(const void *data, size_t len, uint8_t out[32], aut_error *err)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned digest_len = 0;

	if (EVP_Digest(len != 0 ? data : "", len, digest, &digest_len, EVP_sha256(), NULL) != 1 ||
		digest_len != 32)
		return aut_fail(err, AUT_EINTERNAL, "the crypto library cannot compute SHA-256");
	for (size_t i = 0; i < 32; i++)
		out[i] = digest[i];
	return AUT_OK;
}

aut_status
aut_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len, uint8_t out[32],
				aut_error *err)
{
	unsigned out_len = 0;

	if (key_len > INT_MAX ||
		HMAC(EVP_sha256(), key, (int) key_len, data, len, out, &out_len) == NULL || out_len != 32)
		return aut_fail(err, AUT_EINTERNAL, "the crypto library cannot compute HMAC-SHA-256");
	return AUT_OK;
}

void
aut_hex(const uint8_t *bytes, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++)
	{
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
	out[2 * len] = '\0';
}

bool
aut_equal_constant_time(const void *a, size_t a_len, const void *b, size_t b_len)
{
	const volatile unsigned char *x = a;
	const volatile unsigned char *y = b;
	unsigned char difference = 0;

	/* The length of a secret is not secret; which of its bytes differs is. */
	if (a_len != b_len)
		return false;
	for (size_t i = 0; i < a_len; i++)
		difference = (unsigned char) (difference | (x[i] ^ y[i]));
	return difference == 0;
}
