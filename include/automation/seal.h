/* SPDX-License-Identifier: MIT */
/*
 * include/automation/seal.h - secrets at rest: what the database keeps of them.
 *
 * A secret that we must be able to read again (that of a webhook, values of an automation's environment)
 * is kept sealed: AES-256-GCM under a key that is not in the database, nor in its folder or its dumps.
 * The host has the key (the daemon in the file secret.key, the extension in the file that
 * automation.secret_key_file names) and lends it through an aut_sealer; core reads no files.
 *
 * Each sealed value names its place (table, column and row) as associated data: one that was copied to
 * another row does not open there.  It also begins with an id of its key, so that a wrong key is told from
 * a damaged value:
 *
 *     1 byte       8 bytes     12 bytes   as long as it was   16 bytes
 *     version 1  | key's id  | nonce    | ciphertext        | tag
 */
#ifndef AUT_SEAL_H
#define AUT_SEAL_H

#include "automation/base.h"

#define AUT_SEAL_KEY_BYTES 32
#define AUT_SEAL_KEY_HEX   (2 * AUT_SEAL_KEY_BYTES) /* as key files have it */
#define AUT_SEAL_OVERHEAD  (1 + 8 + 12 + 16)
#define AUT_SEAL_MAX       ((size_t) 1024 * 1024) /* bytes of a secret */

/* Who has the key. */
typedef struct aut_sealer
{
	/* Fills out.  make: something is about to be sealed, a key may be made if there is none.
	 * AUT_EUNAVAILABLE: there is none, and the message says what to do about it.  Must not raise. */
	aut_status (*key)(void *payload, bool make, uint8_t out[AUT_SEAL_KEY_BYTES], aut_error *err);
	void *payload;
} aut_sealer;

/* Where a sealed value is kept. */
typedef struct aut_seal_place
{
	const char *table, *column;
	const aut_uuid *row;
} aut_seal_place;

/* sealer may be NULL: AUT_EUNAVAILABLE.  aut_free *out. */
aut_status aut_seal(const aut_sealer *sealer, const aut_seal_place *place, const void *data,
					size_t len, void **out, size_t *out_len, aut_error *err);
/* *out is NUL-terminated; aut_secret_free it.  AUT_EUNAVAILABLE: no key, or another than it was sealed
 * with; AUT_ECORRUPT: damaged, or not of that place. */
aut_status aut_unseal(const aut_sealer *sealer, const aut_seal_place *place, const void *sealed,
					  size_t sealed_len, char **out, size_t *out_len, aut_error *err);
/* Overwrite, then free.  NULL is fine. */
void aut_secret_free(char *secret, size_t len);
/* Overwrite memory that held a secret, so that no compiler leaves it out. */
void aut_secret_clear(void *secret, size_t len);

/* The content of a key file: 64 hex digits, blanks and line ends around.  AUT_EINVAL; the message says
 * nothing of the content. */
aut_status aut_seal_key_parse(const char *text, size_t len, uint8_t out[AUT_SEAL_KEY_BYTES],
							  aut_error *err);

#endif
