/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_webhook_form.c - bodies of custom webhooks, and the path of a plugin, against the
 * reference's own answers: accepted or not, the value as it is stored, (loc, type) of every problem in
 * order.  Wording is ours.
 */
#include "test/unit/vector_rows.h"

#include "core/service/webhook_form.h"

#define PREFIX "webhook_"

typedef struct answer
{
	aut_status status;
	json_t *normalized; /* NULL: not said */
	json_t *problems;
} answer;

/* As what a member is stored. */
static json_t *
stored(const aut__webhook_form *form, const char *member)
{
	const char *text = strcmp(member, "source") == 0             ? form->source
					   : strcmp(member, "event_key_expr") == 0   ? form->event_key_expr
					   : strcmp(member, "signature_header") == 0 ? form->signature_header
					   : strcmp(member, "signature_scheme") == 0 ? form->signature_scheme
					   : strcmp(member, "event_id_header") == 0  ? form->event_id_header
																 : NULL;

	return text != NULL ? json_string(text) : NULL;
}

static void
ask(const char *kind, json_t *input, answer *out)
{
	aut__webhook_form form = {0};

	if (strcmp(kind, "plugin_repo_path") == 0)
	{
		json_t *body =
			json_pack("{s:{s:s, s:O}}", "plugin", "source", "github:o/r", "repo_path", input);
		aut_settings settings = {0};
		aut__form plugin = {0};

		out->status = aut__form_update(body, &settings, false, &plugin, &out->problems, NULL);
		aut__form_done(&plugin);
		json_decref(body);
	}
	else if (strcmp(kind, "webhook_create") == 0)
		out->status = aut__webhook_form_create(input, &form, &out->problems, NULL);
	else if (strcmp(kind, "webhook_update") == 0)
		out->status = aut__webhook_form_update(input, &form, &out->problems, NULL);
	else
	{
		const char *member = strcmp(kind, "webhook_secret") == 0 ? kind : kind + sizeof PREFIX - 1;
		json_t *body = json_pack("{s:s, s:s}", "name", "n", "source", "s");

		json_object_set(body, member, input);
		out->status = aut__webhook_form_create(body, &form, &out->problems, NULL);
		if (out->status == AUT_OK)
			out->normalized = stored(&form, member);
		json_decref(body);
	}
}

static void
compare(const json_t *row, const answer *got)
{
	const char *id = aut_json_string(row, "id");
	const json_t *errors = json_object_get(row, "errors");
	const json_t *normalized = json_object_get(row, "normalized");
	/* a plugin's path stands one level deeper here */
	size_t skip = strcmp(aut_json_string(row, "kind"), "plugin_repo_path") == 0 ? 2 : 1;

	if (json_is_true(json_object_get(row, "ok")) != (got->status == AUT_OK))
		fail_msg("%s: %s", id, aut_status_name(got->status));
	if (got->normalized != NULL && !json_equal(normalized, got->normalized))
		fail_msg("%s: stored as %s", id, json_string_value(got->normalized));
	if (json_array_size(errors) != json_array_size(got->problems))
		fail_msg("%s: %zu problems", id, json_array_size(got->problems));
	for (size_t i = 0; i < json_array_size(errors); i++)
	{
		const json_t *want = json_array_get(errors, i);
		const json_t *have = json_array_get(got->problems, i);
		const json_t *loc = json_object_get(have, "loc");

		if (strcmp(aut_json_string(want, "type"), aut_json_string(have, "type")) != 0 ||
			!json_equal(json_array_get(json_object_get(want, "loc"), 0), json_array_get(loc, skip)))
			fail_msg("%s: problem %zu is %s", id, i, aut_json_string(have, "type"));
	}
}

static void
test_webhook_form__answers_as_the_reference(void **state)
{
	size_t asked = 0;

	(void) state;
	for (vector_rows rows = vectors_open("test/vectors/validation.jsonl"); vectors_next(&rows);)
	{
		const json_t *row = rows.doc.root;
		const char *kind = aut_json_string(row, "kind");
		answer got = {0};

		if (strncmp(kind, PREFIX, sizeof PREFIX - 1) != 0 && strcmp(kind, "plugin_repo_path") != 0)
			continue;
		ask(kind, json_object_get(row, "input"), &got);
		compare(row, &got);
		json_decref(got.normalized);
		json_decref(got.problems);
		asked++;
	}
	assert_int_equal(asked, 17 + 10 + 9 + 6 + 6 + 3 + 6 + 10 + 9);
}

static void
test_webhook_form__fills_in_defaults(void **state)
{
	json_t *body =
		json_pack("{s:s, s:s, s:s}", "name", "n", "source", "My-Hook", "event_key_expr", "");
	aut__webhook_form form = {0};
	json_t *problems = NULL;

	(void) state;
	assert_int_equal(aut__webhook_form_create(body, &form, &problems, NULL), AUT_OK);
	assert_string_equal(form.source, "my-hook");
	assert_string_equal(form.event_key_expr, "type");
	assert_string_equal(form.signature_header, "X-Signature-256");
	assert_string_equal(form.signature_scheme, "hmac_sha256_hex");
	assert_null(form.event_id_header);
	assert_null(form.secret);
	assert_true(form.enabled);
	json_decref(body);
}

/* null clears; absent leaves alone. */
static void
test_webhook_form__tells_null_from_absent(void **state)
{
	json_t *body = json_pack("{s:n, s:s}", "event_id_header", "enabled", "no");
	aut__webhook_form form = {0};
	json_t *problems = NULL;

	(void) state;
	assert_int_equal(aut__webhook_form_update(body, &form, &problems, NULL), AUT_OK);
	assert_int_equal(form.given, AUT__W_ID_HEADER | AUT__W_ENABLED);
	assert_null(form.event_id_header);
	assert_true(form.has_enabled);
	assert_false(form.enabled);
	json_decref(body);
}

static aut_status
refuse_once(void *payload)
{
	json_t *body =
		json_pack("{s:s, s:s, s:i}", "source", "github", "signature_scheme", "x", "y", 1);
	aut__webhook_form form = {0};
	json_t *problems = NULL;
	aut_status status = AUT_ENOMEM;

	(void) payload;
	if (body != NULL)
		status = aut__webhook_form_create(body, &form, &problems, NULL);
	if (status == AUT_EINVAL)
		status = json_array_size(problems) == 4 ? AUT_OK : AUT_EINTERNAL;
	json_decref(problems);
	json_decref(body);
	return status;
}

static void
test_webhook_form__survives_without_memory(void **state)
{
	(void) state;
	assert_true(torture(refuse_once, NULL) > 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_webhook_form__answers_as_the_reference),
		cmocka_unit_test(test_webhook_form__fills_in_defaults),
		cmocka_unit_test(test_webhook_form__tells_null_from_absent),
		cmocka_unit_test(test_webhook_form__survives_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
