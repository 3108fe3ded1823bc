/* SPDX-License-Identifier: MIT */
/*
 * core/base/uuid.c - making, writing and reading UUIDs (RFC 9562).
 *
 * Owns one piece of state: the time and counter of the last version 7 made in this process, so
 * that such ids strictly increase even within a millisecond or when the wall clock goes back.
 * After a fork both processes go on from the same counter; the 52 fresh random bits of each id
 * keep them apart.
 */
#include <string.h>

#include <openssl/evp.h>

#include "automation/base.h"

const aut_uuid AUT_UUID_NIL = {{0}};
const aut_uuid AUT_UUID_NAMESPACE_DNS = {{0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1, 0x80,
										  0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8}};

static void
set_version(aut_uuid *uuid, unsigned version)
{
	uuid->bytes[6] = (uint8_t) ((uuid->bytes[6] & 0x0f) | (version << 4));
	uuid->bytes[8] = (uint8_t) ((uuid->bytes[8] & 0x3f) | 0x80);
}

aut_status
aut_uuid_v4(aut_uuid *out, aut_error *err)
{
	aut_uuid made;
	aut_status status = aut_random(made.bytes, sizeof made.bytes, err);

	if (status == AUT_OK)
	{
		set_version(&made, 4);
		*out = made;
	}
	return status;
}

/*
 * Layout: 48 bits of Unix milliseconds, version, 12 + 10 bits of counter, 52 random bits (the
 * variant lies between the two parts of the counter).  A new millisecond starts the counter at a
 * random value below half of its range; the same millisecond (or an earlier one: the clock went
 * back) counts on, and a counter that is used up borrows the next millisecond.
 */
#define COUNTER_BITS 22

aut_status
aut_uuid_v7(int64_t now_us, aut_uuid *out, aut_error *err)
{
	static uint64_t last_ms = 0;
	static uint32_t last_counter = 0;
	uint8_t random[11];
	uint64_t ms = now_us > 0 ? (uint64_t) (now_us / AUT_US_PER_MS) & UINT64_C(0xffffffffffff) : 0;
	uint32_t counter;
	aut_status status = aut_random(random, sizeof random, err);

	if (status != AUT_OK)
		return status;
	if (ms > last_ms)
	{
		counter = (uint32_t) random[0] | (uint32_t) random[1] << 8 | (uint32_t) random[2] << 16;
		counter &= (1u << (COUNTER_BITS - 1)) - 1;
	}
	else
	{
		ms = last_ms;
		counter = last_counter + 1;
		if (counter >> COUNTER_BITS != 0)
		{
			counter = 0;
			ms++;
		}
	}
	last_ms = ms;
	last_counter = counter;
	for (int i = 0; i < 6; i++)
		out->bytes[i] = (uint8_t) (ms >> (40 - 8 * i));
	out->bytes[6] = (uint8_t) (counter >> 18);       /* top 4 of the counter's 22 bits */
	out->bytes[7] = (uint8_t) (counter >> 10);       /* next 8 */
	out->bytes[8] = (uint8_t) (counter >> 4 & 0x3f); /* next 6, below the variant */
	out->bytes[9] = (uint8_t) ((counter & 0x0f) << 4 | (random[3] & 0x0f)); /* last 4 */
	memcpy(out->bytes + 10, random + 4, 6);
	set_version(out, 7);
	return AUT_OK;
}

void
aut_uuid_v7_first(int64_t time_us, aut_uuid *out)
{
	uint64_t ms = time_us > 0 ? (uint64_t) (time_us / AUT_US_PER_MS) & UINT64_C(0xffffffffffff) : 0;

	*out = AUT_UUID_NIL;
	for (int i = 0; i < 6; i++)
		out->bytes[i] = (uint8_t) (ms >> (40 - 8 * i));
	out->bytes[6] = 0x70;
	out->bytes[8] = 0x80;
}

int64_t
aut_uuid_v7_time(const aut_uuid *uuid)
{
	int64_t ms = 0;

	for (int i = 0; i < 6; i++)
		ms = ms << 8 | uuid->bytes[i];
	return ms * AUT_US_PER_MS;
}

aut_status
aut_uuid_v5(const aut_uuid *name_space, const void *name, size_t len, aut_uuid *out, aut_error *err)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned digest_len = 0;
	bool done;

	if (context == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	done = EVP_DigestInit_ex(context, EVP_sha1(), NULL) == 1 &&
		   EVP_DigestUpdate(context, name_space->bytes, sizeof name_space->bytes) == 1 &&
		   (len == 0 || EVP_DigestUpdate(context, name, len) == 1) &&
		   EVP_DigestFinal_ex(context, digest, &digest_len) == 1 && digest_len >= sizeof out->bytes;
	EVP_MD_CTX_free(context);
	if (!done)
		return aut_fail(err, AUT_EINTERNAL, "the crypto library cannot compute SHA-1");
	memcpy(out->bytes, digest, sizeof out->bytes);
	set_version(out, 5);
	return AUT_OK;
}

const char *
aut_uuid_format(const aut_uuid *uuid, char out[AUT_UUID_TEXT_MAX])
{
	static const char digits[] = "0123456789abcdef";
	size_t at = 0;

	for (size_t i = 0; i < sizeof uuid->bytes; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			out[at++] = '-';
		out[at++] = digits[uuid->bytes[i] >> 4];
		out[at++] = digits[uuid->bytes[i] & 15];
	}
	out[at] = '\0';
	return out;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/*
 * Python's uuid.UUID removes "urn:" and "uuid:", strips braces at both ends, drops every dash and
 * wants
 * 32 hex digits of the rest.  So dashes may stand anywhere: kept, for the same ids must be found.
 */
bool
aut_uuid_parse(const char *text, size_t len, aut_uuid *out)
{
	aut_uuid parsed = {{0}};
	size_t digits = 0;

	if (text == NULL)
		return false;
	if (len >= 4 && memcmp(text, "urn:", 4) == 0)
	{
		text += 4;
		len -= 4;
	}
	if (len >= 5 && memcmp(text, "uuid:", 5) == 0)
	{
		text += 5;
		len -= 5;
	}
	while (len > 0 && (*text == '{' || *text == '}'))
	{
		text++;
		len--;
	}
	while (len > 0 && (text[len - 1] == '{' || text[len - 1] == '}'))
		len--;
	for (size_t i = 0; i < len; i++)
	{
		int value;

		if (text[i] == '-')
			continue;
		value = hex_value(text[i]);
		if (value < 0 || digits == 32)
			return false;
		parsed.bytes[digits / 2] = (uint8_t) (parsed.bytes[digits / 2] << 4 | value);
		digits++;
	}
	if (digits != 32)
		return false;
	*out = parsed;
	return true;
}

bool
aut_uuid_equal(const aut_uuid *a, const aut_uuid *b)
{
	return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool
aut_uuid_is_nil(const aut_uuid *a)
{
	return aut_uuid_equal(a, &AUT_UUID_NIL);
}
