/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_signature.c - the three signature schemes against the reference's answers, and what
 * a verdict may and may not say.
 */
#include <strings.h>

#include "test/unit/vector_rows.h"

#include <openssl/evp.h>

/* Headers out of an object, by name in any case. */
static const char *
header_in(void *payload, const char *name)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *) payload, key, value)
	{
		if (strcasecmp(key, name) == 0)
			return json_string_value(value);
	}
	return NULL;
}

static aut_signature
question(json_t *headers, const char *scheme, const char *header, const char *secret)
{
	return (aut_signature){.scheme = scheme,
						   .secret = secret,
						   .header = header,
						   .get_header = header_in,
						   .get_payload = headers,
						   .body = "{\"action\":\"opened\"}",
						   .body_len = 19,
						   .now_us = INT64_C(1785751200) * AUT_US_PER_S};
}

static void
test_signature__answers_as_the_reference(void **state)
{
	size_t asked = 0;

	(void) state;
	for (vector_rows rows = vectors_open("test/vectors/signature.jsonl"); vectors_next(&rows);)
	{
		json_t *row = rows.doc.root;
		const char *coded = aut_json_string(row, "body_b64");
		const char *body = coded != NULL ? coded : aut_json_string(row, "body");
		size_t len = strlen(body);
		unsigned char *decoded = test_malloc(len + 1);
		aut_error err = AUT_ERROR_INIT;
		aut_signature ask =
			question(json_object_get(row, "headers"), aut_json_string(row, "scheme"),
					 aut_json_string(row, "signature_header"), aut_json_string(row, "secret"));
		aut_status status;

		if (coded != NULL)
		{
			int got = EVP_DecodeBlock(decoded, (const unsigned char *) coded, (int) len);

			assert_true(got >= 0);
			len = (size_t) got - (len > 1 && coded[len - 1] == '=') -
				  (len > 2 && coded[len - 2] == '=');
		}
		ask.body = coded != NULL ? (const void *) decoded : body;
		ask.body_len = len;
		ask.now_us = json_integer_value(json_object_get(row, "now")) * AUT_US_PER_S;
		status = aut_signature_check(&ask, &err);
		if (status != (json_is_true(json_object_get(row, "valid")) ? AUT_OK : AUT_EUNAUTH))
			fail_msg("%s: %s %s", aut_json_string(row, "id"), aut_status_name(status), err.message);
		test_free(decoded);
		asked++;
	}
	assert_int_equal(asked, 68);
}

static void
test_signature__says_what_is_missing(void **state)
{
	json_t *headers = json_pack("{s:s, s:s}", "webhook-signature", "v1,AAAA", "webhook-id", "m");
	aut_signature ask = question(headers, AUT_SCHEME_STANDARD, "X-Other", "topsecret");
	aut_error err = AUT_ERROR_INIT;

	(void) state;
	assert_int_equal(aut_signature_check(&ask, &err), AUT_EUNAUTH);
	assert_string_equal(err.message, "the header X-Other is missing");
	ask.header = "Webhook-Signature";
	assert_int_equal(aut_signature_check(&ask, &err), AUT_EUNAUTH);
	assert_string_equal(err.message, "the header webhook-timestamp is missing");
	json_object_set_new(headers, "webhook-timestamp", json_string("1785750899"));
	assert_int_equal(aut_signature_check(&ask, &err), AUT_EUNAUTH);
	assert_non_null(strstr(err.message, "more than 300 seconds"));
	json_decref(headers);
}

/* Neither the secret nor what would have been right may leave through the message. */
static void
test_signature__tells_nothing_of_the_secret(void **state)
{
	json_t *headers = json_pack("{s:s}", "X-Signature-256", "sha256=00");
	aut_signature ask = question(headers, NULL, AUT_SIGNATURE_HEADER_CUSTOM, "topsecret");
	aut_error err = AUT_ERROR_INIT;

	(void) state;
	assert_int_equal(aut_signature_check(&ask, &err), AUT_EUNAUTH);
	assert_string_equal(err.message, "the signature does not match");
	json_decref(headers);
}

static void
test_signature__knows_three_schemes(void **state)
{
	json_t *headers = json_pack("{s:s}", "X", "y");
	aut_signature ask = question(headers, "sha1", "X", "topsecret");
	aut_error err = AUT_ERROR_INIT;

	(void) state;
	assert_int_equal(aut_signature_check(&ask, &err), AUT_ECORRUPT);
	assert_int_equal(aut_status_http(AUT_ECORRUPT), 500);
	assert_true(aut_signature_scheme_known("slack_v0"));
	assert_false(aut_signature_scheme_known("HMAC_SHA256_HEX"));
	json_decref(headers);
}

static aut_status
check_once(void *payload)
{
	return aut_signature_check(payload, NULL);
}

static void
test_signature__survives_without_memory(void **state)
{
	json_t *headers =
		json_pack("{s:s, s:s, s:s}", "webhook-id", "msg_1", "webhook-timestamp", "1785751200",
				  "webhook-signature", "v1,zNE3IKrt4Jdq87AnG5zZWTn3cR5LZFcyuOr2mPLV5tQ=");
	aut_signature ask = question(headers, AUT_SCHEME_STANDARD, "webhook-signature",
								 "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX");

	(void) state;
	assert_int_equal(torture(check_once, &ask), 1);
	json_decref(headers);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signature__answers_as_the_reference),
		cmocka_unit_test(test_signature__says_what_is_missing),
		cmocka_unit_test(test_signature__tells_nothing_of_the_secret),
		cmocka_unit_test(test_signature__knows_three_schemes),
		cmocka_unit_test(test_signature__survives_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
