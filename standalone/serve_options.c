/* SPDX-License-Identifier: MIT */
/*
 * standalone/serve_options.c - what `serve` is told: flags, then environment, then defaults.
 *
 * A flag sets the same setting as its environment variable and wins over it.  Rules that concern the
 * whole (which database, which agent, who may reach us) are decided here, before anything is opened,
 * so that a wrong start leaves nothing behind.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "automation/object.h"
#include "standalone/serve.h"
#include "standalone/serve_priv.h"

const char aut_serve_usage[] =
	"Usage: automation serve [options]\n"
	"\n"
	"Run the engine and its HTTP API on this machine until SIGTERM or SIGINT.\n"
	"\n" AUT_SERVE_OPTIONS_TEXT "\n"
	"The key for the API is in DIR/api.key unless AUTOMATION_LOCAL_API_KEY is set.\n";

static void
warn(void *payload, const char *message)
{
	(void) payload;
	aut_log(AUT_LOG_WARNING, "%s", message);
}

/* ---- flags ----------------------------------------------------------------------------------- */

static aut_status
set(serve_config *config, const char *member, const char *text, aut_error *err)
{
	const aut_setting_info *info = aut_setting_find(member);

	if (info == NULL)
		return aut_fail(err, AUT_EINTERNAL, "no setting %s", member);
	return aut_settings_set(&config->settings, info, text, err);
}

static aut_status
replace(char **inout, const char *text, aut_error *err)
{
	char *copy = aut_strdup(text);

	if (copy == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	aut_free(*inout);
	*inout = copy;
	return AUT_OK;
}

/* Flags that set a setting. */
static const struct
{
	const char *flag, *member;
} setting_flags[] = {
	{"--host", "host"},
	{"--port", "server_port"},
	{"--agent-url", "agent_server_url"},
	{"--log-level", "log_level"},
};
#define SETTING_FLAGS (sizeof setting_flags / sizeof setting_flags[0])

const char *
serve_flag_of(const char *member)
{
	for (size_t i = 0; i < SETTING_FLAGS; i++)
	{
		if (strcmp(setting_flags[i].member, member) == 0)
			return setting_flags[i].flag;
	}
	return NULL;
}

/* One flag with its value. */
static aut_status
take_flag(serve_config *config, const char *name, const char *value, aut_error *err)
{
	if (value[0] == '\0')
		return aut_fail(err, AUT_EINVAL, "%s needs a value that is not empty", name);
	if (strcmp(name, "--data") == 0)
		return replace(&config->data, value, err);
	if (strcmp(name, "--db") == 0)
		return replace(&config->db_path, value, err);
	for (size_t i = 0; i < SETTING_FLAGS; i++)
	{
		aut_status status;

		if (strcmp(name, setting_flags[i].flag) != 0)
			continue;
		status = set(config, setting_flags[i].member, value, err);
		return status == AUT_OK ? status : aut_error_context(err, "%s", name);
	}
	return aut_fail(err, AUT_EINVAL, "unknown option '%.100s' (automation help serve)", name);
}

static aut_status
read_flags(serve_config *config, int argc, char **argv, aut_error *err)
{
	aut_status status = AUT_OK;

	for (int i = 1; i < argc && status == AUT_OK; i++)
	{
		const char *equals = strchr(argv[i], '=');
		char name[32];
		size_t len = equals != NULL ? (size_t) (equals - argv[i]) : strlen(argv[i]);

		if (strcmp(argv[i], "--no-agent") == 0)
		{
			status = set(config, "backend", "none", err);
			continue;
		}
		if (len < 3 || len >= sizeof name || strncmp(argv[i], "--", 2) != 0)
			return aut_fail(err, AUT_EINVAL, "unexpected argument '%.100s' (automation help serve)",
							argv[i]);
		memcpy(name, argv[i], len);
		name[len] = '\0';
		if (equals == NULL && i + 1 >= argc)
			return aut_fail(err, AUT_EINVAL, "%s needs a value (automation help serve)", name);
		status = take_flag(config, name, equals != NULL ? equals + 1 : argv[++i], err);
	}
	return status;
}

/* ---- what follows from them ------------------------------------------------------------------ */

static aut_status
decide_log_level(serve_config *config, aut_error *err)
{
	static const struct
	{
		const char *name;
		aut_log_level level;
	} levels[] = {
		{"error", AUT_LOG_ERROR},  {"critical", AUT_LOG_ERROR}, {"warning", AUT_LOG_WARNING},
		{"warn", AUT_LOG_WARNING}, {"info", AUT_LOG_INFO},      {"debug", AUT_LOG_DEBUG},
	};

	for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
	{
		if (strcasecmp(levels[i].name, config->settings.log_level) == 0)
		{
			config->log_level = levels[i].level;
			return AUT_OK;
		}
	}
	return aut_fail(err, AUT_EINVAL, "log level '%s' is none of error, warning, info, debug",
					config->settings.log_level);
}

static aut_status
decide_data(serve_config *config, aut_error *err)
{
	const char *state = getenv("XDG_STATE_HOME");
	const char *home = getenv("HOME");

	if (config->data != NULL)
		return AUT_OK;
	/* the XDG rules say that a relative path is to be ignored */
	if (state != NULL && state[0] == '/')
		config->data = aut_printf("%s/automation", state);
	else if (home != NULL && home[0] == '/')
		config->data = aut_printf("%s/.local/state/automation", home);
	else
		return aut_fail(err, AUT_EINVAL,
						"HOME is not set, so the state folder is unknown; give it with --data DIR");
	return config->data != NULL ? AUT_OK : aut_fail(err, AUT_ENOMEM, "out of memory");
}

/* "sqlite:///relative", "sqlite:////absolute", each also with a driver name; options behind '?' go. */
static aut_status
path_of_url(const char *url, char **out, aut_error *err)
{
	static const char *const schemes[] = {"sqlite:///", "sqlite+aiosqlite:///"};

	for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
	{
		size_t len = strlen(schemes[i]);
		size_t path_len;

		if (strncasecmp(url, schemes[i], len) != 0)
			continue;
		path_len = strcspn(url + len, "?");
		if (path_len == 0 || strncmp(url + len, ":memory:", 8) == 0)
			break;
		*out = aut_strndup(url + len, path_len);
		return *out != NULL ? AUT_OK : aut_fail(err, AUT_ENOMEM, "out of memory");
	}
	if (strncasecmp(url, "postgres", 8) == 0)
		return aut_fail(
			err, AUT_EUNSUPPORTED,
			"AUTOMATION_DB_URL names a PostgreSQL database; the daemon keeps its own SQLite "
			"file, for PostgreSQL install the extension there (CREATE EXTENSION automation)");
	return aut_fail(err, AUT_EUNSUPPORTED,
					"AUTOMATION_DB_URL must be sqlite:///PATH (of a file that lasts)");
}

static aut_status
decide_db(serve_config *config, aut_error *err)
{
	if (config->db_path != NULL)
		return AUT_OK;
	if (config->settings.db_url[0] != '\0')
		return path_of_url(config->settings.db_url, &config->db_path, err);
	config->db_path = aut_printf("%s/automation.db", config->data);
	return config->db_path != NULL ? AUT_OK : aut_fail(err, AUT_ENOMEM, "out of memory");
}

bool
serve_address_local(const char *address)
{
	unsigned char bytes[sizeof(struct in6_addr)];

	if (inet_pton(AF_INET, address, bytes) == 1)
		return bytes[0] == 127;
	return strcmp(address, "::1") == 0;
}

static aut_status
decide_address(serve_config *config, aut_error *err)
{
	unsigned char bytes[sizeof(struct in6_addr)];

	if (strcasecmp(config->settings.host, "localhost") == 0)
		return set(config, "host", "127.0.0.1", err);
	if (inet_pton(AF_INET, config->settings.host, bytes) != 1 &&
		inet_pton(AF_INET6, config->settings.host, bytes) != 1)
		return aut_fail(err, AUT_EINVAL, "'%s' is not a numeric address to listen on",
						config->settings.host);
	/* in the cloud callers are known by their own keys, and nobody chooses one */
	if (config->own_key && config->backend != AUT_BACKEND_CLOUD &&
		!serve_address_local(config->settings.host))
		return aut_fail(err, AUT_EDENIED,
						"listening on %s needs a key of your choice in AUTOMATION_LOCAL_API_KEY",
						config->settings.host);
	return AUT_OK;
}

static aut_status
decide(serve_config *config, aut_error *err)
{
	aut_status status;

	config->own_key = config->settings.local_api_key[0] == '\0';
	config->backend = aut_settings_backend(&config->settings);
	config->embedded = config->backend == AUT_BACKEND_EMBEDDED;
	status = aut_settings_check(&config->settings, err);
	if (status == AUT_OK)
		status = aut_objects_check(&config->settings, err);
	if (status == AUT_OK)
		status = decide_log_level(config, err);
	if (status == AUT_OK)
		status = decide_address(config, err);
	if (status == AUT_OK)
		status = decide_data(config, err);
	return status;
}

aut_status
serve_config_read(serve_config *config, int argc, char **argv, char **environment, aut_error *err)
{
	aut_status status;

	memset(config, 0, sizeof *config);
	status = aut_settings_init(&config->settings, err);
	if (status == AUT_OK)
		status = aut_settings_from_environment(&config->settings, environment, warn, NULL, err);
	if (status == AUT_OK)
		status = read_flags(config, argc, argv, err);
	if (status == AUT_OK)
		status = decide(config, err);
	if (status == AUT_OK)
		status = decide_db(config, err);
	return status;
}

void
serve_config_done(serve_config *config)
{
	aut_settings_done(&config->settings);
	aut_free(config->data);
	aut_free(config->db_path);
	config->data = NULL;
	config->db_path = NULL;
}
