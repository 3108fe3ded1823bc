/* SPDX-License-Identifier: MIT */
/*
 * core/service/settings.c - the settings both hosts share: the table, reading text, the environment.
 *
 * Everything is derived from AUT_SETTINGS_MAP: adding a line there adds the member, its default, its
 * bounds, its environment variable and (a test sees to it) its line in docs/settings.md.
 *
 * Names of environment variables are case-insensitive; a variable spelled exactly as documented wins
 * over another spelling.  An empty value means "not set", so that a compose file which passes
 * variables through does not have to leave any out.  An invalid value is an error: the host does not
 * start with half of what was asked for.  Unknown AUTOMATION_ variables are reported, because a typing
 * mistake there is otherwise found weeks later; those of the reference that mean nothing here are
 * reported with the reason.  Those that are told to runs may well be around and are passed over.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "automation/service.h"

#define PREFIX   "AUTOMATION_"
#define API_PATH "/api/automation"

#define INFO_DEFAULTS_S(def) .default_text = (def)
#define INFO_DEFAULTS_K(def) .default_text = (def)
#define INFO_DEFAULTS_I(def) .default_number = (def)
#define INFO_DEFAULTS_B(def) .default_number = (def)
#define INFO_DEFAULTS_D(def) .default_number = (def)
#define INFO_KIND_S          'S'
#define INFO_KIND_K          'K'
#define INFO_KIND_I          'I'
#define INFO_KIND_B          'B'
#define INFO_KIND_D          'D'

static const aut_setting_info SETTINGS[] = {
#define INFO(member_, kind_, name_, def, lo, hi, help_)                                            \
	{.member = #member_,                                                                           \
	 .name = PREFIX name_,                                                                         \
	 .kind = INFO_KIND_##kind_,                                                                    \
	 INFO_DEFAULTS_##kind_(def),                                                                   \
	 .minimum = (lo),                                                                              \
	 .maximum = (hi),                                                                              \
	 .help = (help_),                                                                              \
	 .offset = offsetof(aut_settings, member_)},
	AUT_SETTINGS_MAP(INFO)
#undef INFO
};
#define SETTING_COUNT (sizeof SETTINGS / sizeof SETTINGS[0])

/* Settings that are one word of a few. */
static const struct
{
	const char *member;
	const char *words[6];
} CHOICES[] = {
	{"backend", {"auto", "agent-server", "cloud", "embedded", "none", NULL}},
	{"allow_private_urls", {"auto", "true", "false", NULL}},
	{"file_store", {"database", "local", "s3", "gcs", NULL}},
	{"object_download", {"agent", "server", NULL}},
};

/* Variables of the reference without effect here, with the reason that people are told. */
#define WHY_DATABASE   "the daemon keeps one SQLite file, the extension is in its database"
#define WHY_IMMEDIATE  "nothing is polled: what comes due is done at once"
#define WHY_UNUSED     "it has none in the service it comes from either"
#define WHY_MIGRATIONS "tables are made at the first start"
#define WHY_LATER      "this is not built yet"
static const aut_setting_ignored IGNORED[] = {
	{PREFIX "DB_HOST", WHY_DATABASE},
	{PREFIX "DB_PORT", WHY_DATABASE},
	{PREFIX "DB_NAME", WHY_DATABASE},
	{PREFIX "DB_USER", WHY_DATABASE},
	{PREFIX "DB_PASS", WHY_DATABASE},
	{PREFIX "DB_SSL_MODE", WHY_DATABASE},
	{PREFIX "DB_POOL_SIZE", WHY_DATABASE},
	{PREFIX "DB_MAX_OVERFLOW", WHY_DATABASE},
	{PREFIX "DB_POOL_RECYCLE", WHY_DATABASE},
	{PREFIX "DB_POOL_TIMEOUT", WHY_DATABASE},
	{PREFIX "GCP_DB_INSTANCE", WHY_DATABASE},
	{PREFIX "GCP_PROJECT", WHY_DATABASE},
	{PREFIX "GCP_REGION", WHY_DATABASE},
	{PREFIX "RUN_MIGRATIONS_ON_STARTUP", WHY_MIGRATIONS},
	{PREFIX "CREATE_DATABASE_IF_MISSING", WHY_MIGRATIONS},
	{PREFIX "SCHEDULER_INTERVAL_SECONDS", WHY_IMMEDIATE},
	{PREFIX "SCHEDULER_BATCH_SIZE", WHY_UNUSED},
	{PREFIX "DISPATCHER_INTERVAL_SECONDS", WHY_IMMEDIATE},
	{PREFIX "WATCHDOG_INTERVAL_SECONDS", WHY_IMMEDIATE},
	{PREFIX "API_DEFAULT_PAGE_SIZE", WHY_UNUSED},
	{PREFIX "API_MAX_PAGE_SIZE", WHY_UNUSED},
	{PREFIX "POSTHOG_API_KEY", "nothing is sent about how this is used"},
	{PREFIX "POSTHOG_HOST", "nothing is sent about how this is used"},
	{PREFIX "KV_SECRET", WHY_LATER},
	{PREFIX "KV_LOCK_TIMEOUT_MS", WHY_LATER},
	{PREFIX "KV_MAX_VALUE_SIZE", WHY_LATER},
	{PREFIX "GIT_SYNC_ENABLED", WHY_LATER},
	{PREFIX "GIT_SYNC_REPO_URL", WHY_LATER},
	{PREFIX "GIT_SYNC_TOKEN", WHY_LATER},
	{PREFIX "GIT_SYNC_ENCRYPTION_KEY", WHY_LATER},
	{PREFIX "GIT_SYNC_BRANCH", WHY_LATER},
	{PREFIX "GIT_SYNC_PATH", WHY_LATER},
	{PREFIX "GIT_SYNC_AUTHOR_NAME", WHY_LATER},
	{PREFIX "GIT_SYNC_AUTHOR_EMAIL", WHY_LATER},
	{PREFIX "GIT_SYNC_LOCAL_WORKDIR", WHY_LATER},
	{PREFIX "GIT_SYNC_GIT_TIMEOUT_SECONDS", WHY_LATER},
	{PREFIX "GIT_SYNC_SECRET", WHY_LATER},
	{PREFIX "GIT_SYNC_AUTH_FAILURE_BACKOFF_THRESHOLD", WHY_LATER},
	{PREFIX "GIT_SYNC_FAILURE_BACKOFF_CAP_SECONDS", WHY_LATER},
	{PREFIX "STREAMS_ENABLED", WHY_LATER},
	{PREFIX "SLACK_APPS", WHY_LATER},
};
#define IGNORED_COUNT (sizeof IGNORED / sizeof IGNORED[0])

/* No settings, but rightly around: no word about them. */
static const char *const OTHER_NAMES[] = {
	/* where core/schedule reads time zones */
	"TZDIR",
	/* the command line's: which daemon it talks to, with which key */
	"URL", "API_KEY",
	/* told to runs: a daemon may be started from within one */
	"ID", "NAME", "RUN_ID", "ORG_ID", "USER_ID", "TRIGGER_SOURCE", "RUN_TRIGGER_SOURCE",
	"TRIGGER_TYPE", "CALLBACK_URL", "PHASE_URL", "API_URL", "EVENT_PAYLOAD", "MODEL",
	"AGENT_PROFILE_ID", "CONVERSATION_ID", "KV_TOKEN", "CALLBACK_API_KEY", "PLUGIN_ROOT",
	"CONFIG_PATH", "EXECUTION_SPEC_PATH", "REQUIRED_PLUGINS_PATH", "AGENT_PROFILE_NAME",
	"AGENT_PROFILE_KIND", "LLM_PROFILE_NAME"};

/* The names that the contract gives without the prefix.  The prefixed one has the
 * last word. */
static const struct
{
	const char *name;
	const char *member;
} PLAIN_NAMES[] = {
	{"LOG_LEVEL", "log_level"},
	{"FILE_STORE", "file_store"},
	{"LOCAL_STORAGE_PATH", "local_storage_path"},
	{"AWS_S3_BUCKET", "aws_s3_bucket"},
	{"AWS_S3_ENDPOINT", "aws_s3_endpoint"},
	{"AWS_S3_SECURE", "aws_s3_secure"},
	{"AWS_DEFAULT_REGION", "aws_region"},
	{"AWS_REGION", "aws_region"},
	{"AWS_ACCESS_KEY_ID", "aws_access_key_id"},
	{"AWS_SECRET_ACCESS_KEY", "aws_secret_access_key"},
	{"GCS_BUCKET_NAME", "gcs_bucket_name"},
	{"GCS_ACCESS_KEY_ID", "gcs_access_key_id"},
	{"GCS_SECRET_ACCESS_KEY", "gcs_secret_access_key"},
	{"STORAGE_EMULATOR_HOST", "storage_emulator_host"},
};

size_t
aut_setting_count(void)
{
	return SETTING_COUNT;
}

const aut_setting_info *
aut_setting_at(size_t index)
{
	return index < SETTING_COUNT ? &SETTINGS[index] : NULL;
}

const aut_setting_info *
aut_setting_find(const char *member_or_name)
{
	if (member_or_name == NULL)
		return NULL;
	for (size_t i = 0; i < SETTING_COUNT; i++)
	{
		if (strcasecmp(SETTINGS[i].member, member_or_name) == 0 ||
			strcasecmp(SETTINGS[i].name, member_or_name) == 0)
			return &SETTINGS[i];
	}
	return NULL;
}

const aut_setting_ignored *
aut_setting_ignored_at(size_t index)
{
	return index < IGNORED_COUNT ? &IGNORED[index] : NULL;
}

bool
aut_setting_has_name(const aut_setting_info *info, const char *name, size_t len)
{
	if (strlen(info->name) == len && strncasecmp(info->name, name, len) == 0)
		return true;
	for (size_t i = 0; i < sizeof PLAIN_NAMES / sizeof PLAIN_NAMES[0]; i++)
	{
		if (strcmp(PLAIN_NAMES[i].member, info->member) == 0 &&
			strlen(PLAIN_NAMES[i].name) == len && strncmp(PLAIN_NAMES[i].name, name, len) == 0)
			return true;
	}
	return false;
}

/* ---- values --------------------------------------------------------------------------------- */

/* Where a setting's value lives.  The table's offsets are those of members of the right type. */
static char **
text_member(aut_settings *settings, const aut_setting_info *info)
{
	return (char **) (void *) ((char *) settings + info->offset);
}

static int64_t *
number_member(aut_settings *settings, const aut_setting_info *info)
{
	return (int64_t *) (void *) ((char *) settings + info->offset);
}

static bool
is_text(const aut_setting_info *info)
{
	return info->kind == 'S' || info->kind == 'K';
}

aut_status
aut_settings_init(aut_settings *settings, aut_error *err)
{
	memset(settings, 0, sizeof *settings);
	for (size_t i = 0; i < SETTING_COUNT; i++)
	{
		const aut_setting_info *info = &SETTINGS[i];
		char *copy;

		if (!is_text(info))
		{
			*number_member(settings, info) = info->default_number;
			continue;
		}
		copy = aut_strdup(info->default_text);
		if (copy == NULL)
		{
			aut_settings_done(settings);
			return aut_fail(err, AUT_ENOMEM, "out of memory for settings");
		}
		*text_member(settings, info) = copy;
	}
	return AUT_OK;
}

void
aut_settings_done(aut_settings *settings)
{
	if (settings == NULL)
		return;
	for (size_t i = 0; i < SETTING_COUNT; i++)
	{
		if (is_text(&SETTINGS[i]))
			aut_free(*text_member(settings, &SETTINGS[i]));
	}
	memset(settings, 0, sizeof *settings);
}

static bool
boolean_parse(const char *text, int64_t *out)
{
	static const char *const yes[] = {"true", "1", "yes", "on", "t", "y"};
	static const char *const no[] = {"false", "0", "no", "off", "f", "n"};

	for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
	{
		if (strcasecmp(text, yes[i]) == 0)
		{
			*out = 1;
			return true;
		}
		if (strcasecmp(text, no[i]) == 0)
		{
			*out = 0;
			return true;
		}
	}
	return false;
}

/* "12", "0.5", ".25" in thousandths; digits beyond them count for nothing. */
static bool
decimal_parse(const char *text, int64_t min, int64_t max, int64_t *out)
{
	int64_t value = 0;
	int decimals = -1; /* -1: no point yet */
	bool digits = false;

	for (; *text != '\0'; text++)
	{
		if (*text == '.' && decimals < 0)
		{
			decimals = 0;
			continue;
		}
		if (*text < '0' || *text > '9' || value > INT64_MAX / 10 - 10)
			return false;
		digits = true;
		if (decimals >= 3)
			continue;
		value = value * 10 + (*text - '0');
		if (decimals >= 0)
			decimals++;
	}
	for (; decimals < 3; decimals = decimals < 0 ? 1 : decimals + 1)
	{
		if (value > INT64_MAX / 10)
			return false;
		value *= 10;
	}
	if (!digits || value < min || value > max)
		return false;
	*out = value;
	return true;
}

const char *
aut_setting_decimal(int64_t thousandths, char *buf)
{
	int64_t whole = thousandths / 1000;
	int rest = (int) (thousandths % 1000);
	int digits = rest % 100 == 0 ? 1 : rest % 10 == 0 ? 2 : 3;

	for (int i = digits; i < 3; i++)
		rest /= 10;
	if (rest == 0)
		(void) snprintf(buf, AUT_SETTING_DECIMAL_MAX, "%lld", (long long) whole);
	else
		(void) snprintf(buf, AUT_SETTING_DECIMAL_MAX, "%lld.%0*d", (long long) whole, digits, rest);
	return buf;
}

static aut_status
check_choice(const aut_setting_info *info, const char *text, aut_error *err)
{
	for (size_t i = 0; i < sizeof CHOICES / sizeof CHOICES[0]; i++)
	{
		const char *const *words = CHOICES[i].words;
		char all[100] = "";

		if (strcmp(CHOICES[i].member, info->member) != 0)
			continue;
		for (size_t w = 0; words[w] != NULL; w++)
		{
			size_t used = strlen(all);

			if (strcmp(words[w], text) == 0)
				return AUT_OK;
			(void) snprintf(all + used, sizeof all - used, "%s%s", w > 0 ? ", " : "", words[w]);
		}
		return aut_fail(err, AUT_EINVAL, "%s must be one of %s, not \"%.40s\"", info->name, all,
						text);
	}
	return AUT_OK;
}

static aut_status
check_hosts(const aut_setting_info *info, const char *text, aut_error *err)
{
	aut_url_policy_options options = {.allowed = text};
	aut_url_policy *policy = NULL;
	aut_status status = aut_url_policy_new(&options, &policy, err);

	aut_url_policy_free(policy);
	return status == AUT_OK ? status : aut_error_context(err, "%s", info->name);
}

/* A token of RFC 9110. */
static aut_status
check_header_name(const aut_setting_info *info, const char *text, aut_error *err)
{
	static const char token[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
								"!#$%&'*+-.^_`|~";

	if (text[strspn(text, token)] == '\0')
		return AUT_OK;
	return aut_fail(err, AUT_EINVAL, "%s must be the name of a header, not \"%.40s\"", info->name,
					text);
}

/* Values of secrets stay out of messages; that of others helps to find the mistake. */
static aut_status
check_text(const aut_setting_info *info, const char *text, aut_error *err)
{
	size_t len = strlen(text);

	if (len < (size_t) info->minimum || len > (size_t) info->maximum)
		return aut_fail(err, AUT_EINVAL, "%s must be %lld to %lld bytes long, not %zu", info->name,
						(long long) info->minimum, (long long) info->maximum, len);
	if (!aut_utf8_valid(text, len))
		return aut_fail(err, AUT_EINVAL, "%s must be valid UTF-8", info->name);
	for (size_t i = 0; i < len; i++)
	{
		/* They end up in headers, URLs and log lines. */
		if ((unsigned char) text[i] < 0x20 || text[i] == 0x7f)
			return aut_fail(err, AUT_EINVAL, "%s must not contain control characters", info->name);
	}
	if (strcmp(info->member, "agent_server_auth_header") == 0)
		return check_header_name(info, text, err);
	if (strcmp(info->member, "allowed_url_hosts") == 0)
		return check_hosts(info, text, err);
	return check_choice(info, text, err);
}

static aut_status
check_number(const aut_setting_info *info, const char *text, int64_t *out, aut_error *err)
{
	char low[AUT_SETTING_DECIMAL_MAX], high[AUT_SETTING_DECIMAL_MAX];

	switch (info->kind)
	{
		case 'B':
			if (boolean_parse(text, out))
				return AUT_OK;
			return aut_fail(err, AUT_EINVAL,
							"%s must be true or false (or 1, 0, yes, no, on, off), not \"%.40s\"",
							info->name, text);
		case 'D':
			if (decimal_parse(text, info->minimum, info->maximum, out))
				return AUT_OK;
			return aut_fail(err, AUT_EINVAL, "%s must be a number from %s to %s, not \"%.40s\"",
							info->name, aut_setting_decimal(info->minimum, low),
							aut_setting_decimal(info->maximum, high), text);
		default:
			if (aut_int_parse(text, info->minimum, info->maximum, out))
				return AUT_OK;
			return aut_fail(err, AUT_EINVAL,
							"%s must be a whole number from %lld to %lld, not \"%.40s\"",
							info->name, (long long) info->minimum, (long long) info->maximum, text);
	}
}

aut_status
aut_setting_check(const aut_setting_info *info, const char *text, aut_error *err)
{
	int64_t number;

	return is_text(info) ? check_text(info, text, err) : check_number(info, text, &number, err);
}

aut_status
aut_settings_set(aut_settings *settings, const aut_setting_info *info, const char *text,
				 aut_error *err)
{
	int64_t number = 0;
	aut_status status;
	char *copy;

	if (!is_text(info))
	{
		status = check_number(info, text, &number, err);
		if (status == AUT_OK)
			*number_member(settings, info) = number;
		return status;
	}
	status = check_text(info, text, err);
	if (status != AUT_OK)
		return status;
	copy = aut_strdup(text);
	if (copy == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for setting %s", info->name);
	aut_free(*text_member(settings, info));
	*text_member(settings, info) = copy;
	return AUT_OK;
}

/* ---- environment ---------------------------------------------------------------------------- */

static bool
is_other_name(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof OTHER_NAMES / sizeof OTHER_NAMES[0]; i++)
	{
		if (strlen(OTHER_NAMES[i]) == len && strncasecmp(OTHER_NAMES[i], name, len) == 0)
			return true;
	}
	return false;
}

/* The setting a variable "NAME=value" is for; *out_exact: spelled as documented. */
static const aut_setting_info *
setting_of(const char *variable, size_t name_len, bool *out_exact)
{
	for (size_t i = 0; i < SETTING_COUNT; i++)
	{
		const char *name = SETTINGS[i].name;

		if (strlen(name) != name_len || strncasecmp(name, variable, name_len) != 0)
			continue;
		*out_exact = strncmp(name, variable, name_len) == 0;
		return &SETTINGS[i];
	}
	return NULL;
}

static void
warn_unknown(const char *variable, size_t name_len,
			 void (*warn)(void *payload, const char *message), void *payload)
{
	char message[300];

	if (warn == NULL || is_other_name(variable + strlen(PREFIX), name_len - strlen(PREFIX)))
		return;
	for (size_t i = 0; i < IGNORED_COUNT; i++)
	{
		if (strlen(IGNORED[i].name) != name_len ||
			strncasecmp(IGNORED[i].name, variable, name_len) != 0)
			continue;
		if (variable[name_len + 1] != '\0')
		{
			(void) snprintf(message, sizeof message, "%s has no effect: %s", IGNORED[i].name,
							IGNORED[i].why);
			warn(payload, message);
		}
		return;
	}
	/* An over-long name is cut rather than left out: the start is what tells. */
	(void) snprintf(message, sizeof message, "%.*s is not a setting; it has no effect",
					name_len > 100 ? 100 : (int) name_len, variable);
	warn(payload, message);
}

/* The variables without the prefix, in the order of the table, so that a later name wins. */
static aut_status
plain_names(aut_settings *settings, char **environment, aut_error *err)
{
	aut_status status = AUT_OK;

	for (size_t i = 0; i < sizeof PLAIN_NAMES / sizeof PLAIN_NAMES[0]; i++)
	{
		size_t len = strlen(PLAIN_NAMES[i].name);

		for (char **at = environment; at != NULL && *at != NULL && status == AUT_OK; at++)
		{
			if (strncmp(*at, PLAIN_NAMES[i].name, len) != 0 || (*at)[len] != '=' ||
				(*at)[len + 1] == '\0')
				continue;
			status = aut_settings_set(settings, aut_setting_find(PLAIN_NAMES[i].member),
									  *at + len + 1, err);
			if (status != AUT_OK)
				aut_error_context(err, "%s", PLAIN_NAMES[i].name);
		}
	}
	return status;
}

aut_status
aut_settings_from_environment(aut_settings *settings, char **environment,
							  void (*warn)(void *payload, const char *message), void *payload,
							  aut_error *err)
{
	aut_status plain = plain_names(settings, environment, err);

	if (plain != AUT_OK)
		return plain;
	/* Other spellings first, so that the documented one has the last word. */
	for (int exact = 0; exact <= 1; exact++)
	{
		for (char **at = environment; at != NULL && *at != NULL; at++)
		{
			const char *equals = strchr(*at, '=');
			const aut_setting_info *info;
			bool spelled = false;
			size_t name_len;
			aut_status status;

			if (equals == NULL || strncasecmp(*at, PREFIX, strlen(PREFIX)) != 0)
				continue;
			name_len = (size_t) (equals - *at);
			info = setting_of(*at, name_len, &spelled);
			if (info == NULL && exact == 0)
				warn_unknown(*at, name_len, warn, payload);
			if (info == NULL || spelled != (exact == 1) || equals[1] == '\0')
				continue;
			status = aut_settings_set(settings, info, equals + 1, err);
			if (status != AUT_OK)
				return status;
		}
	}
	return AUT_OK;
}

/* ---- what follows from them ------------------------------------------------------------------ */

/* Length of a URL without its query, its fragment and trailing slashes. */
static size_t
base_length(const char *url)
{
	size_t len = strcspn(url, "?#");

	while (len > 0 && url[len - 1] == '/')
		len--;
	return len;
}

aut_backend_choice
aut_settings_backend(const aut_settings *settings)
{
	static const aut_backend_choice choices[] = {AUT_BACKEND_NONE, AUT_BACKEND_AGENT_SERVER,
												 AUT_BACKEND_CLOUD, AUT_BACKEND_EMBEDDED};

	for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++)
	{
		if (strcmp(settings->backend, aut_backend_choice_name(choices[i])) == 0)
			return choices[i];
	}
	if (settings->agent_server_url[0] != '\0')
		return AUT_BACKEND_AGENT_SERVER;
	if (settings->service_key[0] != '\0' || settings->cloud_api_key[0] != '\0')
		return AUT_BACKEND_CLOUD;
	return AUT_BACKEND_EMBEDDED;
}

const char *
aut_backend_choice_name(aut_backend_choice choice)
{
	switch (choice)
	{
		case AUT_BACKEND_AGENT_SERVER:
			return "agent-server";
		case AUT_BACKEND_CLOUD:
			return "cloud";
		case AUT_BACKEND_EMBEDDED:
			return "embedded";
		case AUT_BACKEND_NONE:
			break;
	}
	return "none";
}

aut_status
aut_settings_check(const aut_settings *settings, aut_error *err)
{
	aut_backend_choice backend = aut_settings_backend(settings);

	if (backend == AUT_BACKEND_AGENT_SERVER && settings->agent_server_url[0] == '\0')
		return aut_fail(err, AUT_EINVAL,
						PREFIX "BACKEND is agent-server, but " PREFIX
							   "AGENT_SERVER_URL does not say where it is");
	if (backend == AUT_BACKEND_CLOUD && settings->service_key[0] == '\0' &&
		settings->cloud_api_key[0] == '\0')
		return aut_fail(err, AUT_EINVAL,
						PREFIX "BACKEND is cloud, but neither " PREFIX "SERVICE_KEY nor " PREFIX
							   "CLOUD_API_KEY is set");
	if (settings->hybrid_cloud && backend == AUT_BACKEND_AGENT_SERVER &&
		settings->service_key[0] == '\0' && settings->cloud_api_key[0] == '\0')
		return aut_fail(err, AUT_EINVAL,
						PREFIX "HYBRID_CLOUD is set, but neither " PREFIX "SERVICE_KEY nor " PREFIX
							   "CLOUD_API_KEY is");
	if (settings->rate_limit_min_wait > settings->rate_limit_max_wait)
		return aut_fail(err, AUT_EINVAL,
						PREFIX "RATE_LIMIT_MIN_WAIT is more than " PREFIX "RATE_LIMIT_MAX_WAIT");
	return AUT_OK;
}

char *
aut_settings_cloud_url(const aut_settings *settings, const char *path)
{
	const char *base = settings->openhands_api_base_url;

	if (base[0] == '\0')
		base = AUT_CLOUD_API_DEFAULT;
	return aut_printf("%.*s%s", (int) base_length(base), base, path);
}

bool
aut_settings_has_upstream(const aut_settings *settings)
{
	return aut_settings_backend(settings) == AUT_BACKEND_CLOUD ||
		   settings->openhands_api_base_url[0] != '\0';
}

char *
aut_settings_api_url(const aut_settings *settings, uint16_t port)
{
	size_t len = base_length(settings->base_url);

	if (len == 0)
		return aut_printf("http://localhost:%u" API_PATH, (unsigned) port);
	return aut_printf("%.*s" API_PATH, (int) len, settings->base_url);
}

char *
aut_settings_api_prefix(const aut_settings *settings)
{
	const char *url = settings->base_url;
	size_t len = base_length(url);
	const char *host = strstr(url, "://");
	const char *path = NULL;

	if (host != NULL && (size_t) (host - url) < len)
	{
		host += 3;
		path = (size_t) (host - url) < len ? memchr(host, '/', len - (size_t) (host - url)) : NULL;
	}
	else if (url[0] == '/')
		path = url;
	if (path == NULL)
		return aut_strdup(API_PATH);
	return aut_printf("%.*s" API_PATH, (int) (len - (size_t) (path - url)), path);
}
