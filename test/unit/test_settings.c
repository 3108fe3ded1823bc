/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_settings.c - the settings table, reading values and the environment, and that
 * docs/settings.md tells of exactly these settings.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "test/unit/torture.h"

#include "automation/settings.h"

#define DOC "docs/settings.md"

/* Warnings of one reading of the environment, joined by '\n'. */
typedef struct warnings
{
	char text[2000];
	size_t count;
} warnings;

static void
note_warning(void *payload, const char *message)
{
	warnings *all = payload;
	size_t used = strlen(all->text);

	(void) snprintf(all->text + used, sizeof all->text - used, "%s\n", message);
	all->count++;
}

static aut_status
read_from(aut_settings *settings, const char *const *variables, warnings *all, aut_error *err)
{
	memset(all, 0, sizeof *all);
	return aut_settings_from_environment(settings, (char **) (uintptr_t) variables, note_warning,
										 all, err);
}

/* ---- table ----------------------------------------------------------------------------------- */

static void
test_settings__defaults_are_within_their_bounds(void **state)
{
	(void) state;
	assert_true(aut_setting_count() > 20);
	assert_null(aut_setting_at(aut_setting_count()));
	for (size_t i = 0; i < aut_setting_count(); i++)
	{
		const aut_setting_info *info = aut_setting_at(i);

		assert_true(info->minimum <= info->maximum);
		if (info->kind == 'S' || info->kind == 'K')
		{
			assert_non_null(info->default_text);
			assert_true((int64_t) strlen(info->default_text) >= info->minimum);
			assert_true((int64_t) strlen(info->default_text) <= info->maximum);
		}
		else
			assert_true(info->default_number >= info->minimum &&
						info->default_number <= info->maximum);
	}
}

static void
test_settings__are_found_by_member_and_by_name(void **state)
{
	(void) state;
	assert_ptr_equal(aut_setting_find("server_port"), aut_setting_find("AUTOMATION_SERVER_PORT"));
	assert_ptr_equal(aut_setting_find("SERVER_PORT"), aut_setting_find("automation_server_port"));
	assert_non_null(aut_setting_find("server_port"));
	assert_null(aut_setting_find("server"));
	assert_null(aut_setting_find(NULL));
}

static void
test_settings__defaults_are_the_contracts(void **state)
{
	aut_settings settings;

	(void) state;
	assert_int_equal(aut_settings_init(&settings, NULL), AUT_OK);
	assert_int_equal(settings.default_run_duration, 600);
	assert_int_equal(settings.max_run_duration, 1800);
	assert_int_equal(settings.server_port, 8000);
	assert_string_equal(settings.host, "127.0.0.1");
	assert_string_equal(settings.agent_server_url, "");
	assert_string_equal(settings.sdk_version, "1.58.0");
	aut_settings_done(&settings);
	aut_settings_done(NULL);
}

/* ---- values ---------------------------------------------------------------------------------- */

static void
test_settings__numbers_are_checked(void **state)
{
	static const char *const bad[] = {"",     "x",   "-1",   "65536",
									  "80.5", " 80", "0x50", "99999999999999999999"};
	const aut_setting_info *port = aut_setting_find("server_port");
	aut_settings settings;
	aut_error err = AUT_ERROR_INIT;

	(void) state;
	assert_int_equal(aut_settings_init(&settings, NULL), AUT_OK);
	assert_int_equal(aut_settings_set(&settings, port, "65535", &err), AUT_OK);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
	{
		if (aut_settings_set(&settings, port, bad[i], &err) != AUT_EINVAL)
			fail_msg("port \"%s\" was taken", bad[i]);
	}
	assert_non_null(
		strstr(err.message, "AUTOMATION_SERVER_PORT must be a whole number from 0 to 65535"));
	assert_int_equal(settings.server_port, 65535);
	aut_settings_done(&settings);
}

static void
test_settings__booleans_are_read_in_all_spellings(void **state)
{
	static const char *const yes[] = {"true", "TRUE", "1", "yes", "on", "On"};
	static const char *const no[] = {"false", "0", "no", "OFF"};
	/* the table has no boolean yet: one made for the test, over a number's place */
	aut_setting_info info = *aut_setting_find("server_port");
	aut_settings settings;

	(void) state;
	info.kind = 'B';
	assert_int_equal(aut_settings_init(&settings, NULL), AUT_OK);
	for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
	{
		assert_int_equal(aut_settings_set(&settings, &info, yes[i], NULL), AUT_OK);
		assert_int_equal(settings.server_port, 1);
	}
	for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
	{
		assert_int_equal(aut_settings_set(&settings, &info, no[i], NULL), AUT_OK);
		assert_int_equal(settings.server_port, 0);
	}
	assert_int_equal(aut_settings_set(&settings, &info, "maybe", NULL), AUT_EINVAL);
	aut_settings_done(&settings);
}

static void
test_settings__texts_are_checked_and_secrets_not_shown(void **state)
{
	const aut_setting_info *host = aut_setting_find("host");
	const aut_setting_info *key = aut_setting_find("local_api_key");
	aut_settings settings;
	aut_error err = AUT_ERROR_INIT;
	char longer[1002];

	(void) state;
	memset(longer, 'k', sizeof longer - 1);
	longer[sizeof longer - 1] = '\0';
	assert_int_equal(aut_settings_init(&settings, NULL), AUT_OK);
	assert_int_equal(aut_settings_set(&settings, host, "", &err), AUT_EINVAL);
	assert_int_equal(aut_settings_set(&settings, host, "a\nb", &err), AUT_EINVAL);
	assert_int_equal(aut_settings_set(&settings, host, "\xff", &err), AUT_EINVAL);
	assert_int_equal(aut_settings_set(&settings, key, longer, &err), AUT_EINVAL);
	assert_null(strstr(err.message, "kkk"));
	assert_int_equal(aut_settings_set(&settings, key, "s3cret\n", &err), AUT_EINVAL);
	assert_null(strstr(err.message, "s3cret"));
	assert_string_equal(settings.host, "127.0.0.1");
	aut_settings_done(&settings);
}

/* ---- environment ----------------------------------------------------------------------------- */

static void
test_settings__environment_names_are_case_insensitive(void **state)
{
	static const char *const variables[] = {"PATH=/bin",
											"automation_host=0.0.0.0",
											"AUTOMATION_SERVER_PORT=9000",
											"Automation_Server_Port=9001",
											"AUTOMATION_BASE_URL=",
											"AUTOMATION",
											NULL};
	aut_settings settings;
	warnings all;

	(void) state;
	assert_int_equal(aut_settings_init(&settings, NULL), AUT_OK);
	assert_int_equal(read_from(&settings, variables, &all, NULL), AUT_OK);
	assert_string_equal(settings.host, "0.0.0.0");
	/* the documented spelling wins, whatever the order */
	assert_int_equal(settings.server_port, 9000);
	assert_int_equal(all.count, 0);
	aut_settings_done(&settings);
}

static void
test_settings__unknown_variables_are_reported_once(void **state)
{
	static const char *const variables[] = {"AUTOMATION_SERVER_PROT=1",
											"AUTOMATION_KV_SECRET=x",
											"AUTOMATION_GIT_SYNC_BRANCH=main",
											"automation_db_pool_size=3",
											"AUTOMATION_RUN_ID=abc",
											"AUTOMATION_=1",
											NULL};
	aut_settings settings;
	warnings all;

	(void) state;
	assert_int_equal(aut_settings_init(&settings, NULL), AUT_OK);
	assert_int_equal(read_from(&settings, variables, &all, NULL), AUT_OK);
	assert_int_equal(all.count, 2);
	assert_non_null(strstr(all.text, "AUTOMATION_SERVER_PROT is not a setting"));
	assert_null(strstr(all.text, "KV_SECRET"));
	aut_settings_done(&settings);
}

static void
test_settings__a_bad_value_stops_the_start(void **state)
{
	static const char *const variables[] = {"AUTOMATION_MAX_RUN_DURATION=soon", NULL};
	aut_settings settings;
	aut_error err = AUT_ERROR_INIT;
	warnings all;

	(void) state;
	assert_int_equal(aut_settings_init(&settings, NULL), AUT_OK);
	assert_int_equal(read_from(&settings, variables, &all, &err), AUT_EINVAL);
	assert_non_null(strstr(err.message, "AUTOMATION_MAX_RUN_DURATION"));
	assert_int_equal(aut_settings_from_environment(&settings, NULL, NULL, NULL, NULL), AUT_OK);
	aut_settings_done(&settings);
}

/* ---- what follows ---------------------------------------------------------------------------- */

static void
assert_urls(const char *base_url, const char *url, const char *prefix)
{
	aut_settings settings;
	char *made;

	assert_int_equal(aut_settings_init(&settings, NULL), AUT_OK);
	assert_int_equal(aut_settings_set(&settings, aut_setting_find("base_url"), base_url, NULL),
					 AUT_OK);
	made = aut_settings_api_url(&settings, 8123);
	assert_string_equal(made, url);
	aut_free(made);
	made = aut_settings_api_prefix(&settings);
	assert_string_equal(made, prefix);
	aut_free(made);
	aut_settings_done(&settings);
}

static void
test_settings__base_url_makes_url_and_prefix(void **state)
{
	(void) state;
	assert_urls("", "http://localhost:8123/api/automation", "/api/automation");
	assert_urls("https://a.test", "https://a.test/api/automation", "/api/automation");
	assert_urls("https://a.test/", "https://a.test/api/automation", "/api/automation");
	assert_urls("https://a.test/x/y//", "https://a.test/x/y/api/automation", "/x/y/api/automation");
	assert_urls("https://a.test/x?q=1", "https://a.test/x/api/automation", "/x/api/automation");
	assert_urls("https://a.test:8443/x", "https://a.test:8443/x/api/automation",
				"/x/api/automation");
	assert_urls("https://", "https:/api/automation", "/api/automation");
}

/* ---- documentation --------------------------------------------------------------------------- */

static void
test_settings__the_document_names_each_setting(void **state)
{
	bool *told = calloc(aut_setting_count(), sizeof *told);
	FILE *file = fopen(DOC, "r");
	char line[1000];

	(void) state;
	assert_non_null(told);
	if (file == NULL)
		fail_msg("%s: %s (run from the top folder)", DOC, strerror(errno));
	while (fgets(line, sizeof line, file) != NULL)
	{
		char name[100];
		const aut_setting_info *info;

		if (sscanf(line, "| `%99[A-Z_]` |", name) != 1)
			continue;
		info = aut_setting_find(name);
		if (info == NULL)
			fail_msg("%s tells of %s, which is no setting", DOC, name);
		for (size_t i = 0; i < aut_setting_count(); i++)
			told[i] = told[i] || aut_setting_at(i) == info;
		/* default, bounds and meaning are the table's too */
		if (strstr(line, info->help) == NULL)
			fail_msg("%s explains %s otherwise than the table", DOC, name);
		if (info->kind == 'I')
		{
			char numbers[120];

			(void) snprintf(numbers, sizeof numbers, "| `%lld` | %lld to %lld |",
							(long long) info->default_number, (long long) info->minimum,
							(long long) info->maximum);
			if (strstr(line, numbers) == NULL)
				fail_msg("%s has other numbers for %s than the table", DOC, name);
		}
	}
	for (size_t i = 0; i < aut_setting_count(); i++)
	{
		if (!told[i])
			fail_msg("%s does not tell of %s", DOC, aut_setting_at(i)->name);
	}
	fclose(file);
	free(told);
}

/* ---- without memory --------------------------------------------------------------------------- */

static aut_status
torture_settings(void *payload)
{
	aut_settings settings;
	aut_status status = aut_settings_init(&settings, NULL);
	char *url = NULL;

	if (status != AUT_OK)
		return status;
	status = aut_settings_from_environment(&settings, payload, NULL, NULL, NULL);
	if (status == AUT_OK)
	{
		url = aut_settings_api_url(&settings, 1);
		status = url != NULL ? AUT_OK : AUT_ENOMEM;
		aut_free(url);
	}
	aut_settings_done(&settings);
	return status;
}

static void
test_settings__survive_without_memory(void **state)
{
	static const char *const variables[] = {"AUTOMATION_HOST=h", "AUTOMATION_BASE_URL=http://x/y",
											NULL};

	(void) state;
	torture(torture_settings, (void *) (uintptr_t) variables);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settings__defaults_are_within_their_bounds),
		cmocka_unit_test(test_settings__are_found_by_member_and_by_name),
		cmocka_unit_test(test_settings__defaults_are_the_contracts),
		cmocka_unit_test(test_settings__numbers_are_checked),
		cmocka_unit_test(test_settings__booleans_are_read_in_all_spellings),
		cmocka_unit_test(test_settings__texts_are_checked_and_secrets_not_shown),
		cmocka_unit_test(test_settings__environment_names_are_case_insensitive),
		cmocka_unit_test(test_settings__unknown_variables_are_reported_once),
		cmocka_unit_test(test_settings__a_bad_value_stops_the_start),
		cmocka_unit_test(test_settings__base_url_makes_url_and_prefix),
		cmocka_unit_test(test_settings__the_document_names_each_setting),
		cmocka_unit_test(test_settings__survive_without_memory),
	};

	return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
