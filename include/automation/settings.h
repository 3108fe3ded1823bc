/* SPDX-License-Identifier: MIT */
/*
 * include/automation/settings.h - the settings both hosts share, in one table.
 *
 * The daemon reads them from the environment (AUTOMATION_<NAME>, the reference's names where it has
 * them); the extension has a GUC automation.<name> for each that applies.  Values are kept as text
 * where they are text and as int64 where they are numbers or booleans.
 */
#ifndef AUT_SETTINGS_H
#define AUT_SETTINGS_H

#include "automation/base.h"

/*
 * The table: X(member, kind, name, default, minimum, maximum, help)
 *   kind S: text (default is a string, bounds are lengths)   secret K: text never shown
 *   kind I: integer          kind B: boolean 0/1
 * The environment variable is "AUTOMATION_" name.
 */
#define AUT_SETTINGS_MAP(X)                                                                        \
	X(agent_server_url, S, "AGENT_SERVER_URL", "", 0, 2000,                                        \
	  "agent server every run goes to; set: no cloud, no embedded agent")                          \
	X(agent_server_api_key, K, "AGENT_SERVER_API_KEY", "", 0, 1000, "key of that agent server")    \
	X(sandbox_agent_server_url, S, "SANDBOX_AGENT_SERVER_URL", "", 0, 2000,                        \
	  "agent server URL told to runs instead")                                                     \
	X(workspace_base, S, "WORKSPACE_BASE", "/workspace", 0, 1000,                                  \
	  "folder on the agent under which runs get their work folders")                               \
	X(local_api_key, K, "LOCAL_API_KEY", "", 0, 1000, "key that authenticates as the local user")  \
	X(service_key, K, "SERVICE_KEY", "", 0, 1000, "service key of the cloud")                      \
	X(openhands_api_base_url, S, "OPENHANDS_API_BASE_URL", "https://app.all-hands.dev", 0, 2000,   \
	  "cloud API")                                                                                 \
	X(base_url, S, "BASE_URL", "", 0, 2000, "public URL; its path prefixes all routes")            \
	X(host, S, "HOST", "127.0.0.1", 1, 100, "address to listen on")                                \
	X(server_port, I, "SERVER_PORT", 8000, 0, 65535, "port to listen on; 0: any free one")         \
	X(cors_origins, S, "CORS_ORIGINS", "", 0, 4000, "comma list; empty: the cloud API's origin")   \
	X(db_url, S, "DB_URL", "", 0, 4000, "sqlite:///path of the daemon's database")                 \
	X(log_level, S, "LOG_LEVEL", "info", 1, 20, "error, warning, info or debug")                   \
	X(sdk_version, S, "SDK_VERSION", "1.58.0", 1, 50, "SDK version that presets install")          \
	X(default_run_duration, I, "DEFAULT_RUN_DURATION", 600, 1, 31536000, "seconds")                \
	X(max_run_duration, I, "MAX_RUN_DURATION", 1800, 1, 31536000, "seconds")                       \
	X(run_timeout_margin, I, "RUN_TIMEOUT_MARGIN", 120, 0, 86400,                                  \
	  "seconds added to a run's time limit before the watchdog judges it")                         \
	X(run_timeout_hard_grace, I, "RUN_TIMEOUT_HARD_GRACE", 600, 0, 86400,                          \
	  "seconds the watchdog may defer a run that goes on")                                         \
	X(sandbox_ready_timeout, I, "SANDBOX_READY_TIMEOUT", 300, 1, 86400,                            \
	  "seconds to get a place to run")                                                             \
	X(external_download_timeout, I, "EXTERNAL_DOWNLOAD_TIMEOUT", 120, 1, 86400, "seconds")         \
	X(external_max_filesize, I, "EXTERNAL_MAX_FILESIZE", 104857600, 1, 1099511627776, "bytes")     \
	X(dispatcher_batch_size, I, "DISPATCHER_BATCH_SIZE", 100, 1, 10000,                            \
	  "most runs claimed in one transaction")                                                      \
	X(max_parallel_runs, I, "MAX_PARALLEL_RUNS", 500, 1, 100000,                                   \
	  "runs executing at once; the rest waits")                                                    \
	X(max_agent_connections, I, "MAX_AGENT_CONNECTIONS", 64, 1, 1000,                              \
	  "connections to one agent at once")                                                          \
	X(output_keep_bytes, I, "OUTPUT_KEEP_BYTES", 1048576, 0, 1073741824,                           \
	  "newest bytes of a run's output that are kept")                                              \
	X(lease_seconds, I, "LEASE_SECONDS", 30, 2, 3600,                                              \
	  "how long a silent worker is believed alive")                                                \
	X(failure_disable_threshold, I, "FAILURE_DISABLE_THRESHOLD", 3, -1, 1000,                      \
	  "runs that fail in a row for permanent reasons before their automation is switched off; 0: " \
	  "never")                                                                                     \
	X(consecutive_failure_disable_threshold, I, "CONSECUTIVE_FAILURE_DISABLE_THRESHOLD", 0, -1,    \
	  1000,                                                                                        \
	  "runs that fail in a row for any reason before their automation is switched off; 0: never")  \
	X(consecutive_failure_disable_window_hours, I, "CONSECUTIVE_FAILURE_DISABLE_WINDOW_HOURS", 24, \
	  1, 87600, "hours without a success that this takes, too")                                    \
	X(run_retention_days, I, "RUN_RETENTION_DAYS", 90, 0, 36500,                                   \
	  "days after which ended runs are forgotten, with their output; 0: never")                    \
	X(run_retention_count, I, "RUN_RETENTION_COUNT", 10000, 0, 1000000,                            \
	  "newest runs of an automation that are kept; 0: all")                                        \
	X(workspace_retention_seconds, I, "WORKSPACE_RETENTION_SECONDS", 604800, 0, 315360000,         \
	  "age at which left work folders are removed; 0: never")

typedef struct aut_settings
{
#define AUT_SETTING_MEMBER_S(member)                              char *member
#define AUT_SETTING_MEMBER_K(member)                              char *member
#define AUT_SETTING_MEMBER_I(member)                              int64_t member
#define AUT_SETTING_MEMBER_B(member)                              int64_t member
#define AUT_SETTING_MEMBER(member, kind, name, def, lo, hi, help) AUT_SETTING_MEMBER_##kind(member);
	AUT_SETTINGS_MAP(AUT_SETTING_MEMBER)
#undef AUT_SETTING_MEMBER
} aut_settings;

typedef struct aut_setting_info
{
	const char *member; /* "agent_server_url" */
	const char *name;   /* "AUTOMATION_AGENT_SERVER_URL" */
	char kind;          /* 'S' 'K' 'I' 'B' */
	const char *default_text;
	int64_t default_number, minimum, maximum;
	const char *help;
	size_t offset; /* in aut_settings */
} aut_setting_info;

size_t aut_setting_count(void);
const aut_setting_info *aut_setting_at(size_t index);
const aut_setting_info *aut_setting_find(const char *member_or_name); /* case-insensitive; NULL */

/* Defaults. */
aut_status aut_settings_init(aut_settings *settings, aut_error *err);
void aut_settings_done(aut_settings *settings);
/* Set one from text (numbers and booleans are parsed and checked against the bounds). */
aut_status aut_settings_set(aut_settings *settings, const aut_setting_info *info, const char *text,
							aut_error *err);
/* Read all AUTOMATION_ variables; unknown ones are reported through warn (may be NULL). */
aut_status aut_settings_from_environment(aut_settings *settings, char **environment,
										 void (*warn)(void *payload, const char *message),
										 void *payload, aut_error *err);

/* "<base>/api/automation" where runs and people reach this service: base_url, else
 * http://localhost:<port>.  aut_free. */
char *aut_settings_api_url(const aut_settings *settings, uint16_t port);
/* Path prefix of all routes: path of base_url + "/api/automation".  aut_free. */
char *aut_settings_api_prefix(const aut_settings *settings);

#endif
