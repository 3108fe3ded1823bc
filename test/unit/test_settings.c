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
test_settings__decimals_are_kept_in_thousandths(void **state)
{
	static const struct
	{
		const char *text;
		int64_t value;
	} good[] = {{"10", 10000}, {"0.5", 500}, {".25", 250}, {"7.", 7000}, {"1.0019", 1001}};
	static const char *const bad[] = {"",      ".",  "1e3", "-1",  "+1",
									  "1.2.3", " 1", "0",   "inf", "99999999999999999999999"};
	const aut_setting_info *timeout = aut_setting_find("http_timeout");
	char text[AUT_SETTING_DECIMAL_MAX];
	aut_settings settings;
	aut_error err = AUT_ERROR_INIT;

	(void) state;
	assert_int_equal(aut_settings_init(&settings, NULL), AUT_OK);
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
	{
		assert_int_equal(aut_settings_set(&settings, timeout, good[i].text, &err), AUT_OK);
		assert_int_equal(settings.http_timeout, good[i].value);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
	{
		if (aut_settings_set(&settings, timeout, bad[i], &err) != AUT_EINVAL)
			fail_msg("\"%s\" was taken", bad[i]);
	}
	assert_non_null(strstr(err.message, "must be a number from 0.001 to 3600"));
	assert_string_equal(aut_setting_decimal(10000, text), "10");
	assert_string_equal(aut_setting_decimal(10500, text), "10.5");
	assert_string_equal(aut_setting_decimal(1050, text), "1.05");
	assert_string_equal(aut_setting_decimal(1001, text), "1.001");
	aut_settings_done(&settings);
}

/* ---- the backend ----------------------------------------------------------------------------- */

static void
test_settings__choose_the_backend(void **state)
{
	static const struct
	{
		const char *variables[5];
		aut_backend_choice choice;
		const char *complaint; /* NULL: they fit together */
		bool upstream;
	} rows[] = {
		{{NULL}, AUT_BACKEND_EMBEDDED, NULL, false},
		{{"AUTOMATION_AGENT_SERVER_URL=http://a", NULL}, AUT_BACKEND_AGENT_SERVER, NULL, false},
		{{"AUTOMATION_SERVICE_KEY=k", NULL}, AUT_BACKEND_CLOUD, NULL, true},
		{{"AUTOMATION_CLOUD_API_KEY=k", NULL}, AUT_BACKEND_CLOUD, NULL, true},
		{{"AUTOMATION_AGENT_SERVER_URL=http://a", "AUTOMATION_SERVICE_KEY=k", NULL},
		 AUT_BACKEND_AGENT_SERVER,
		 NULL,
		 false},
		{{"AUTOMATION_AGENT_SERVER_URL=http://a", "AUTOMATION_OPENHANDS_API_BASE_URL=https://b",
		  NULL},
		 AUT_BACKEND_AGENT_SERVER,
		 NULL,
		 true},
		{{"AUTOMATION_AGENT_SERVER_URL=http://a", "AUTOMATION_SERVICE_KEY=k",
		  "AUTOMATION_BACKEND=cloud", NULL},
		 AUT_BACKEND_CLOUD,
		 NULL,
		 true},
		{{"AUTOMATION_SERVICE_KEY=k", "AUTOMATION_BACKEND=embedded", NULL},
		 AUT_BACKEND_EMBEDDED,
		 NULL,
		 false},
		{{"AUTOMATION_AGENT_SERVER_URL=http://a", "AUTOMATION_BACKEND=none", NULL},
		 AUT_BACKEND_NONE,
		 NULL,
		 false},
		{{"AUTOMATION_BACKEND=agent-server", NULL},
		 AUT_BACKEND_AGENT_SERVER,
		 "AGENT_SERVER_URL",
		 false},
		{{"AUTOMATION_BACKEND=cloud", NULL}, AUT_BACKEND_CLOUD, "SERVICE_KEY", true},
		{{"AUTOMATION_RATE_LIMIT_MIN_WAIT=61", NULL},
		 AUT_BACKEND_EMBEDDED,
		 "RATE_LIMIT_MAX_WAIT",
		 false},
	};

	(void) state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
	{
		aut_settings settings;
		aut_error err = AUT_ERROR_INIT;
		warnings all;

		assert_int_equal(aut_settings_init(&settings, NULL), AUT_OK);
		assert_int_equal(read_from(&settings, rows[i].variables, &all, NULL), AUT_OK);
		assert_int_equal(aut_settings_backend(&settings), rows[i].choice);
		assert_int_equal(aut_settings_has_upstream(&settings), rows[i].upstream);
		if (rows[i].complaint == NULL)
			assert_int_equal(aut_settings_check(&settings, &err), AUT_OK);
		else
		{
			assert_int_equal(aut_settings_check(&settings, &err), AUT_EINVAL);
			assert_non_null(strstr(err.message, rows[i].complaint));
		}
		aut_settings_done(&settings);
	}
}

static void
test_settings__words_are_checked(void **state)
{
	aut_settings settings;
	aut_error err = AUT_ERROR_INIT;
	char *url;

	(void) state;
	assert_int_equal(aut_settings_init(&settings, NULL), AUT_OK);
	assert_int_equal(aut_settings_set(&settings, aut_setting_find("backend"), "clowd", &err),
					 AUT_EINVAL);
	assert_non_null(strstr(err.message, "auto, agent-server, cloud, embedded, none"));
	url = aut_settings_cloud_url(&settings, "/x");
	assert_string_equal(url, AUT_CLOUD_API_DEFAULT "/x");
	aut_free(url);
	assert_int_equal(aut_settings_set(&settings, aut_setting_find("openhands_api_base_url"),
									  "http://c:1/p//", &err),
					 AUT_OK);
	url = aut_settings_cloud_url(&settings, "/x");
	assert_string_equal(url, "http://c:1/p/x");
	aut_free(url);
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
											"AUTOMATION_POSTHOG_HOST=x",
											"AUTOMATION_API_MAX_PAGE_SIZE=",
											"automation_db_pool_size=3",
											"AUTOMATION_RUN_ID=abc",
											"AUTOMATION_=1",
											NULL};
	aut_settings settings;
	warnings all;

	(void) state;
	assert_int_equal(aut_settings_init(&settings, NULL), AUT_OK);
	assert_int_equal(read_from(&settings, variables, &all, NULL), AUT_OK);
	assert_int_equal(all.count, 4);
	assert_non_null(strstr(all.text, "AUTOMATION_SERVER_PROT is not a setting"));
	assert_non_null(strstr(all.text, "AUTOMATION_DB_POOL_SIZE has no effect: the daemon keeps"));
	assert_non_null(strstr(all.text, "AUTOMATION_POSTHOG_HOST has no effect: nothing is sent"));
	assert_null(strstr(all.text, "API_MAX_PAGE_SIZE"));
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

		if (sscanf(line, "| `%99[A-Z0-9_]` |", name) != 1)
			continue;
		info = aut_setting_find(name);
		if (info == NULL)
			fail_msg("%s tells of %s, which is no setting", DOC, name);
		for (size_t i = 0; i < aut_setting_count(); i++)
			told[i] = told[i] || aut_setting_at(i) == info;
		/* default, bounds and meaning are the table's too */
		if (strstr(line, info->help) == NULL)
			fail_msg("%s explains %s otherwise than the table", DOC, name);
		if (info->kind == 'D')
		{
			char numbers[120], def[AUT_SETTING_DECIMAL_MAX], lo[AUT_SETTING_DECIMAL_MAX],
				hi[AUT_SETTING_DECIMAL_MAX];

			(void) snprintf(numbers, sizeof numbers, "| `%s` | %s to %s |",
							aut_setting_decimal(info->default_number, def),
							aut_setting_decimal(info->minimum, lo),
							aut_setting_decimal(info->maximum, hi));
			if (strstr(line, numbers) == NULL)
				fail_msg("%s has other numbers for %s than the table", DOC, name);
		}
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

/* Each variable that is deliberately without effect has a row with its reason, and is no setting. */
static void
test_settings__the_document_names_what_is_ignored(void **state)
{
	char *text = calloc(1, 65536);
	FILE *file = fopen(DOC, "r");
	const aut_setting_ignored *ignored;

	(void) state;
	assert_non_null(text);
	assert_non_null(file);
	assert_true(fread(text, 1, 65535, file) > 0);
	fclose(file);
	for (size_t i = 0; (ignored = aut_setting_ignored_at(i)) != NULL; i++)
	{
		char row[300];

		if (aut_setting_find(ignored->name) != NULL)
			fail_msg("%s is a setting, so it is not ignored", ignored->name);
		(void) snprintf(row, sizeof row, "- `%s`: %s\n", ignored->name, ignored->why);
		if (strstr(text, row) == NULL)
			fail_msg("%s does not say: %s", DOC, row);
	}
	free(text);
}

/* Every variable that the service this one replaces knows is a setting, or is told to have no effect. */
static void
test_settings__each_variable_of_the_replaced_service_is_known(void **state)
{
	static const char *const names[] = {"DB_URL",
										"DB_HOST",
										"DB_PORT",
										"DB_NAME",
										"DB_USER",
										"DB_PASS",
										"DB_SSL_MODE",
										"DB_POOL_SIZE",
										"DB_MAX_OVERFLOW",
										"DB_POOL_RECYCLE",
										"DB_POOL_TIMEOUT",
										"GCP_DB_INSTANCE",
										"GCP_PROJECT",
										"GCP_REGION",
										"RUN_MIGRATIONS_ON_STARTUP",
										"CREATE_DATABASE_IF_MISSING",
										"AGENT_SERVER_URL",
										"AGENT_SERVER_API_KEY",
										"SANDBOX_AGENT_SERVER_URL",
										"WORKSPACE_BASE",
										"LOCAL_API_KEY",
										"OPENHANDS_API_BASE_URL",
										"SERVICE_KEY",
										"WEBHOOK_SECRET",
										"BASE_URL",
										"HOST",
										"SERVER_PORT",
										"CORS_ORIGINS",
										"LOG_LEVEL",
										"SCHEDULER_INTERVAL_SECONDS",
										"SCHEDULER_BATCH_SIZE",
										"DISPATCHER_INTERVAL_SECONDS",
										"DISPATCHER_BATCH_SIZE",
										"WATCHDOG_INTERVAL_SECONDS",
										"FAILURE_DISABLE_THRESHOLD",
										"CONSECUTIVE_FAILURE_DISABLE_THRESHOLD",
										"CONSECUTIVE_FAILURE_DISABLE_WINDOW_HOURS",
										"WORKSPACE_RETENTION_SECONDS",
										"SANDBOX_CLEANUP_DELAY_SECONDS",
										"INTEGRATION_EVENT_RETENTION_DAYS",
										"API_DEFAULT_PAGE_SIZE",
										"API_MAX_PAGE_SIZE",
										"POSTHOG_API_KEY",
										"POSTHOG_HOST",
										"HTTP_TIMEOUT",
										"HTTP_LONG_TIMEOUT",
										"AUTH_CACHE_TTL",
										"AUTH_CACHE_SIZE",
										"AUTH_MAX_RETRIES",
										"AUTH_INITIAL_BACKOFF",
										"AUTH_MAX_BACKOFF",
										"DEFAULT_RUN_DURATION",
										"MAX_RUN_DURATION",
										"RUN_TIMEOUT_MARGIN",
										"RUN_TIMEOUT_HARD_GRACE",
										"SANDBOX_POLL_INTERVAL",
										"SANDBOX_READY_TIMEOUT",
										"SANDBOX_PROVISION_MAX_ATTEMPTS",
										"SANDBOX_PROVISION_RETRY_DELAY",
										"EXTERNAL_DOWNLOAD_TIMEOUT",
										"EXTERNAL_MAX_FILESIZE",
										"RATE_LIMIT_MIN_WAIT",
										"RATE_LIMIT_MAX_WAIT",
										"RATE_LIMIT_MAX_RETRIES",
										"KV_SECRET",
										"KV_LOCK_TIMEOUT_MS",
										"KV_MAX_VALUE_SIZE",
										"GIT_SYNC_ENABLED",
										"GIT_SYNC_REPO_URL",
										"GIT_SYNC_TOKEN",
										"GIT_SYNC_ENCRYPTION_KEY",
										"GIT_SYNC_BRANCH",
										"GIT_SYNC_PATH",
										"GIT_SYNC_AUTHOR_NAME",
										"GIT_SYNC_AUTHOR_EMAIL",
										"GIT_SYNC_LOCAL_WORKDIR",
										"GIT_SYNC_GIT_TIMEOUT_SECONDS",
										"GIT_SYNC_SECRET",
										"GIT_SYNC_AUTH_FAILURE_BACKOFF_THRESHOLD",
										"GIT_SYNC_FAILURE_BACKOFF_CAP_SECONDS",
										"STREAMS_ENABLED",
										"SLACK_APPS"};

	(void) state;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
	{
		char variable[100];
		const aut_setting_ignored *ignored;
		bool known;

		(void) snprintf(variable, sizeof variable, "AUTOMATION_%s", names[i]);
		known = aut_setting_find(variable) != NULL;
		for (size_t k = 0; !known && (ignored = aut_setting_ignored_at(k)) != NULL; k++)
			known = strcmp(ignored->name, variable) == 0;
		if (!known)
			fail_msg("%s is neither a setting nor told to have no effect", variable);
	}
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
		cmocka_unit_test(test_settings__decimals_are_kept_in_thousandths),
		cmocka_unit_test(test_settings__choose_the_backend),
		cmocka_unit_test(test_settings__words_are_checked),
		cmocka_unit_test(test_settings__texts_are_checked_and_secrets_not_shown),
		cmocka_unit_test(test_settings__environment_names_are_case_insensitive),
		cmocka_unit_test(test_settings__unknown_variables_are_reported_once),
		cmocka_unit_test(test_settings__a_bad_value_stops_the_start),
		cmocka_unit_test(test_settings__base_url_makes_url_and_prefix),
		cmocka_unit_test(test_settings__the_document_names_each_setting),
		cmocka_unit_test(test_settings__the_document_names_what_is_ignored),
		cmocka_unit_test(test_settings__each_variable_of_the_replaced_service_is_known),
		cmocka_unit_test(test_settings__survive_without_memory),
	};

	return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
