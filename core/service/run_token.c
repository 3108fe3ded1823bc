/* SPDX-License-Identifier: MIT */
/*
 * core/service/run_token.c - the key with which a run reports.
 *
 * A run is given no key of ours, because its program could do everything with that: it is given a token
 * by which it may say what it is at and how it ended, itself and no other.  The token is made of the key
 * and the run's id, so nothing needs to be kept: whoever knows the key can make it again and compare.
 */
#include <string.h>

#include "automation/service.h"

static const char prefix[] = "aut-run-";
static const char purpose[] = "automation run token ";

aut_status
aut_run_token(const char *key, const aut_uuid *run_id, char out[AUT_RUN_TOKEN_MAX], aut_error *err)
{
	char text[sizeof purpose + AUT_UUID_TEXT_MAX];
	uint8_t digest[32];
	aut_status status;

	memcpy(text, purpose, sizeof purpose);
	aut_uuid_format(run_id, text + sizeof purpose - 1);
	status = aut_hmac_sha256(key, strlen(key), text, strlen(text), digest, err);
	if (status != AUT_OK)
		return status;
	memcpy(out, prefix, sizeof prefix);
	aut_hex(digest, sizeof digest, out + sizeof prefix - 1);
	return AUT_OK;
}
