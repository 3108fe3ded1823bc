/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_seal.c - sealed values open where they were sealed, with their key, and nowhere else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "automation/seal.h"
#include "test/unit/torture.h"

static uint8_t the_key[AUT_SEAL_KEY_BYTES];
static int asked_to_make;

static aut_status
lend_key(void *payload, bool make, uint8_t out[AUT_SEAL_KEY_BYTES], aut_error *err)
{
	if (payload != NULL)
		return aut_fail(err, AUT_EUNAVAILABLE, "set the key file");
	asked_to_make += make ? 1 : 0;
	memcpy(out, the_key, sizeof the_key);
	return AUT_OK;
}

static const aut_sealer sealer = {lend_key, NULL};
static const aut_uuid row = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
static const aut_seal_place place = {"custom_webhook", "secret", &row};

static void
test_seal__opens_again(void **state)
{
	static const char *const secrets[] = {"whsec_1234", "", "\xc3\xa4 long one ...............\n"};
	aut_error err = AUT_ERROR_INIT;

	(void) state;
	for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++)
	{
		size_t len = strlen(secrets[i]), sealed_len = 0, opened_len = 99;
		void *sealed = NULL, *other = NULL;
		char *opened = NULL;

		asked_to_make = 0;
		assert_int_equal(aut_seal(&sealer, &place, secrets[i], len, &sealed, &sealed_len, &err),
						 AUT_OK);
		assert_int_equal(asked_to_make, 1);
		assert_int_equal(sealed_len, len + AUT_SEAL_OVERHEAD);
		if (len > 0)
			assert_null(memmem(sealed, sealed_len, secrets[i], len));
		assert_int_equal(
			aut_unseal(&sealer, &place, sealed, sealed_len, &opened, &opened_len, &err), AUT_OK);
		assert_int_equal(asked_to_make, 1);
		assert_int_equal(opened_len, len);
		assert_string_equal(opened, secrets[i]);
		/* the same secret never looks the same */
		assert_int_equal(aut_seal(&sealer, &place, secrets[i], len, &other, &sealed_len, &err),
						 AUT_OK);
		assert_memory_not_equal(sealed, other, sealed_len);
		aut_secret_free(opened, opened_len);
		aut_free(sealed);
		aut_free(other);
	}
}

static void
refused(const aut_sealer *with, const aut_seal_place *at, const void *sealed, size_t len,
		aut_status wanted)
{
	char *opened = NULL;
	size_t opened_len = 0;
	aut_error err = AUT_ERROR_INIT;

	assert_int_equal(aut_unseal(with, at, sealed, len, &opened, &opened_len, &err), wanted);
	assert_null(opened);
	assert_true(err.message[0] != '\0');
	assert_null(strstr(err.message, "s3cret"));
}

static void
test_seal__opens_nowhere_else(void **state)
{
	static const aut_uuid other_row = {{9}};
	const aut_seal_place elsewhere[] = {
		{"custom_webhook", "secret", &other_row},
		{"custom_webhook", "other", &row},
		{"environment", "secret", &row},
		{"custom_webhoo", "ksecret", &row}, /* the border between the names counts */
	};
	aut_error err = AUT_ERROR_INIT;
	size_t len = 0;
	void *sealed = NULL;

	(void) state;
	assert_int_equal(aut_seal(&sealer, &place, "s3cret", 6, &sealed, &len, &err), AUT_OK);
	for (size_t i = 0; i < sizeof elsewhere / sizeof elsewhere[0]; i++)
		refused(&sealer, &elsewhere[i], sealed, len, AUT_ECORRUPT);
	/* no byte may be changed, and none may be missing */
	for (size_t i = 0; i < len; i++)
	{
		((uint8_t *) sealed)[i] ^= 1;
		refused(&sealer, &place, sealed, len, i >= 1 && i < 9 ? AUT_EUNAVAILABLE : AUT_ECORRUPT);
		((uint8_t *) sealed)[i] ^= 1;
		refused(&sealer, &place, sealed, i, AUT_ECORRUPT);
	}
	refused(&sealer, &place, NULL, 0, AUT_ECORRUPT);
	/* another key is told from damage */
	the_key[7] ^= 1;
	refused(&sealer, &place, sealed, len, AUT_EUNAVAILABLE);
	the_key[7] ^= 1;
	aut_free(sealed);
}

static void
test_seal__without_a_key_says_so(void **state)
{
	static char none[] = "none";
	const aut_sealer keyless = {lend_key, none};
	aut_error err = AUT_ERROR_INIT;
	size_t len = 0;
	void *sealed = NULL;

	(void) state;
	assert_int_equal(aut_seal(&keyless, &place, "x", 1, &sealed, &len, &err), AUT_EUNAVAILABLE);
	assert_string_equal(err.message, "set the key file");
	assert_int_equal(aut_seal(NULL, &place, "x", 1, &sealed, &len, &err), AUT_EUNAVAILABLE);
	assert_int_equal(aut_seal(&sealer, &place, "x", AUT_SEAL_MAX + 1, &sealed, &len, &err),
					 AUT_ELIMIT);
	assert_null(sealed);
}

static void
test_seal__key_files_are_hex(void **state)
{
	static const char good[] =
		" 000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F\r\n";
	static const char *const bad[] = {
		"",
		"\n",
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1",
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1g",
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f00",
	};
	uint8_t key[AUT_SEAL_KEY_BYTES] = {0};
	aut_error err = AUT_ERROR_INIT;

	(void) state;
	assert_int_equal(aut_seal_key_parse(good, strlen(good), key, &err), AUT_OK);
	for (uint8_t i = 0; i < AUT_SEAL_KEY_BYTES; i++)
		assert_int_equal(key[i], i);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
	{
		assert_int_equal(aut_seal_key_parse(bad[i], strlen(bad[i]), key, &err), AUT_EINVAL);
		assert_null(strstr(err.message, "0001"));
	}
}

static aut_status
seal_and_open(void *payload)
{
	void *sealed = NULL;
	char *opened = NULL;
	size_t sealed_len = 0, opened_len = 0;
	aut_status status =
		aut_seal(&sealer, &place, payload, strlen(payload), &sealed, &sealed_len, NULL);

	if (status == AUT_OK)
		status = aut_unseal(&sealer, &place, sealed, sealed_len, &opened, &opened_len, NULL);
	aut_free(sealed);
	aut_secret_free(opened, opened_len);
	return status;
}

static void
test_seal__every_allocation_may_fail(void **state)
{
	char secret[] = "s3cret";

	(void) state;
	assert_int_equal(torture(seal_and_open, secret), 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seal__opens_again),
		cmocka_unit_test(test_seal__opens_nowhere_else),
		cmocka_unit_test(test_seal__without_a_key_says_so),
		cmocka_unit_test(test_seal__key_files_are_hex),
		cmocka_unit_test(test_seal__every_allocation_may_fail),
	};

	for (size_t i = 0; i < sizeof the_key; i++)
		the_key[i] = (uint8_t) (3 * i + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
