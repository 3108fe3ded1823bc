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
 * mistake there is otherwise found weeks later - except those the reference knows and those that are
 * told to runs, which may well be around.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "automation/settings.h"

#define PREFIX   "AUTOMATION_"
#define API_PATH "/api/automation"

#define INFO_DEFAULTS_S(def) .default_text = (def)
#define INFO_DEFAULTS_K(def) .default_text = (def)
#define INFO_DEFAULTS_I(def) .default_number = (def)
#define INFO_DEFAULTS_B(def) .default_number = (def)
#define INFO_KIND_S          'S'
#define INFO_KIND_K          'K'
#define INFO_KIND_I          'I'
#define INFO_KIND_B          'B'

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

/* Variables of the reference that have no meaning here (yet), and those a run is told: no warning. */
static const char *const OTHER_NAMES[] = {
	/* database */
	"DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASS", "DB_SSL_MODE", "DB_POOL_SIZE",
	"DB_MAX_OVERFLOW", "DB_POOL_RECYCLE", "DB_POOL_TIMEOUT", "GCP_DB_INSTANCE", "GCP_PROJECT",
	"GCP_REGION", "RUN_MIGRATIONS_ON_STARTUP", "CREATE_DATABASE_IF_MISSING",
	/* service */
	"WEBHOOK_SECRET", "SCHEDULER_INTERVAL_SECONDS", "SCHEDULER_BATCH_SIZE",
	"DISPATCHER_INTERVAL_SECONDS", "WATCHDOG_INTERVAL_SECONDS", "SANDBOX_CLEANUP_DELAY_SECONDS",
	"INTEGRATION_EVENT_RETENTION_DAYS", "API_DEFAULT_PAGE_SIZE", "API_MAX_PAGE_SIZE",
	"POSTHOG_API_KEY", "POSTHOG_HOST",
	/* HTTP client */
	"HTTP_TIMEOUT", "HTTP_LONG_TIMEOUT", "AUTH_CACHE_TTL", "AUTH_CACHE_SIZE", "AUTH_MAX_RETRIES",
	"AUTH_INITIAL_BACKOFF", "AUTH_MAX_BACKOFF",
	/* sandboxes */
	"SANDBOX_POLL_INTERVAL", "SANDBOX_PROVISION_MAX_ATTEMPTS", "SANDBOX_PROVISION_RETRY_DELAY",
	"RATE_LIMIT_MIN_WAIT", "RATE_LIMIT_MAX_WAIT", "RATE_LIMIT_MAX_RETRIES",
	/* KV */
	"KV_SECRET", "KV_LOCK_TIMEOUT_MS", "KV_MAX_VALUE_SIZE",
	/* git sync and streams */
	"GIT_SYNC_ENABLED", "GIT_SYNC_REPO_URL", "GIT_SYNC_TOKEN", "GIT_SYNC_ENCRYPTION_KEY",
	"GIT_SYNC_BRANCH", "GIT_SYNC_PATH", "GIT_SYNC_AUTHOR_NAME", "GIT_SYNC_AUTHOR_EMAIL",
	"GIT_SYNC_LOCAL_WORKDIR", "GIT_SYNC_GIT_TIMEOUT_SECONDS", "GIT_SYNC_SECRET",
	"GIT_SYNC_AUTH_FAILURE_BACKOFF_THRESHOLD", "GIT_SYNC_FAILURE_BACKOFF_CAP_SECONDS",
	"STREAMS_ENABLED", "SLACK_APPS",
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

/* Values of secrets stay out of messages; that of others helps to find the mistake. */
static aut_status
set_text(aut_settings *settings, const aut_setting_info *info, const char *text, aut_error *err)
{
	size_t len = strlen(text);
	char *copy;

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
	copy = aut_strdup(text);
	if (copy == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for setting %s", info->name);
	aut_free(*text_member(settings, info));
	*text_member(settings, info) = copy;
	return AUT_OK;
}

aut_status
aut_settings_set(aut_settings *settings, const aut_setting_info *info, const char *text,
				 aut_error *err)
{
	int64_t number;

	if (is_text(info))
		return set_text(settings, info, text, err);
	if (info->kind == 'B')
	{
		if (!boolean_parse(text, &number))
			return aut_fail(err, AUT_EINVAL,
							"%s must be true or false (or 1, 0, yes, no, on, off), not \"%.40s\"",
							info->name, text);
	}
	else if (!aut_int_parse(text, info->minimum, info->maximum, &number))
		return aut_fail(err, AUT_EINVAL,
						"%s must be a whole number from %lld to %lld, not \"%.40s\"", info->name,
						(long long) info->minimum, (long long) info->maximum, text);
	*number_member(settings, info) = number;
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
	char message[200];

	if (warn == NULL || is_other_name(variable + strlen(PREFIX), name_len - strlen(PREFIX)))
		return;
	/* An over-long name is cut rather than left out: the start is what tells. */
	(void) snprintf(message, sizeof message, "%.*s is not a setting; it has no effect",
					name_len > 100 ? 100 : (int) name_len, variable);
	warn(payload, message);
}

aut_status
aut_settings_from_environment(aut_settings *settings, char **environment,
							  void (*warn)(void *payload, const char *message), void *payload,
							  aut_error *err)
{
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
