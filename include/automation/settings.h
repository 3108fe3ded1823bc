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

/* The cloud that is meant when none is named. */
#define AUT_CLOUD_API_DEFAULT "https://app.all-hands.dev"

/*
 * The table: X(member, kind, name, default, minimum, maximum, help)
 *   kind S: text (default is a string, bounds are lengths)   secret K: text never shown
 *   kind I: integer          kind B: boolean 0/1
 *   kind D: number with decimals; the value and its bounds are kept in thousandths, which makes seconds
 *           milliseconds
 * The environment variable is "AUTOMATION_" name; a few are also known without the prefix, as in the
 * service this is compatible with (settings.c, PLAIN_NAMES).
 */
#define AUT_SETTINGS_MAP(X)                                                                        \
	X(backend, S, "BACKEND", "auto", 1, 20,                                                        \
	  "where runs execute: auto (agent server if its URL is set, else cloud if a key of it is "    \
	  "set, else embedded), agent-server, cloud, embedded or none")                                \
	X(agent_server_url, S, "AGENT_SERVER_URL", "", 0, 2000,                                        \
	  "agent server every run goes to; set: no cloud, no embedded agent")                          \
	X(agent_server_api_key, K, "AGENT_SERVER_API_KEY", "", 0, 1000, "key of that agent server")    \
	X(sandbox_agent_server_url, S, "SANDBOX_AGENT_SERVER_URL", "", 0, 2000,                        \
	  "agent server URL told to runs instead")                                                     \
	X(workspace_base, S, "WORKSPACE_BASE", "/workspace", 0, 1000,                                  \
	  "folder on the agent under which runs get their work folders")                               \
	X(local_api_key, K, "LOCAL_API_KEY", "", 0, 1000, "key that authenticates as the local user")  \
	X(service_key, K, "SERVICE_KEY", "", 0, 1000,                                                  \
	  "service key of the cloud, which makes a key for each user")                                 \
	X(cloud_api_key, K, "CLOUD_API_KEY", "", 0, 1000,                                              \
	  "a user's key of the cloud, for all runs, where there is no service key")                    \
	X(openhands_api_base_url, S, "OPENHANDS_API_BASE_URL", "", 0, 2000,                            \
	  "cloud API; empty: " AUT_CLOUD_API_DEFAULT)                                                  \
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
	X(http_timeout, D, "HTTP_TIMEOUT", 10000, 1, 3600000,                                          \
	  "seconds for questions to the cloud about who calls")                                        \
	X(http_long_timeout, D, "HTTP_LONG_TIMEOUT", 60000, 1, 3600000,                                \
	  "seconds for other calls to the cloud")                                                      \
	X(auth_cache_ttl, D, "AUTH_CACHE_TTL", 20000, 0, 86400000,                                     \
	  "seconds for which the cloud's answer about a caller is believed")                           \
	X(auth_cache_size, I, "AUTH_CACHE_SIZE", 1024, 0, 100000, "callers remembered at most")        \
	X(auth_max_retries, I, "AUTH_MAX_RETRIES", 3, 0, 20,                                           \
	  "times the cloud is asked again about a caller when it is too busy")                         \
	X(auth_initial_backoff, D, "AUTH_INITIAL_BACKOFF", 1000, 0, 3600000,                           \
	  "seconds before the first of these; doubled each time")                                      \
	X(auth_max_backoff, D, "AUTH_MAX_BACKOFF", 10000, 0, 3600000, "most seconds between them")     \
	X(sandbox_poll_interval, D, "SANDBOX_POLL_INTERVAL", 5000, 1, 3600000,                         \
	  "seconds between two looks at sandboxes that start")                                         \
	X(sandbox_provision_max_attempts, I, "SANDBOX_PROVISION_MAX_ATTEMPTS", 3, 1, 100,              \
	  "sandboxes tried for a run until one starts")                                                \
	X(sandbox_provision_retry_delay, D, "SANDBOX_PROVISION_RETRY_DELAY", 30000, 0, 3600000,        \
	  "seconds before the second; doubled each time, with jitter")                                 \
	X(sandbox_cleanup_delay_seconds, I, "SANDBOX_CLEANUP_DELAY_SECONDS", 0, 0, 31536000,           \
	  "seconds a sandbox is only paused after its run, before it is deleted")                      \
	X(rate_limit_min_wait, D, "RATE_LIMIT_MIN_WAIT", 10000, 0, 3600000,                            \
	  "least seconds to wait when the cloud is too busy")                                          \
	X(rate_limit_max_wait, D, "RATE_LIMIT_MAX_WAIT", 60000, 0, 3600000, "most seconds, too")       \
	X(rate_limit_max_retries, I, "RATE_LIMIT_MAX_RETRIES", 5, 1, 100, "attempts in all, then")     \
	X(allow_private_urls, S, "ALLOW_PRIVATE_URLS", "auto", 1, 20,                                  \
	  "whether URLs of users may lead to loopback and private addresses: true, false or auto "     \
	  "(only where runs execute on this machine, as its user)")                                    \
	X(allowed_url_hosts, S, "ALLOWED_URL_HOSTS", "", 0, 4000,                                      \
	  "comma list of host names, addresses and networks (10.1.0.0/16) that URLs of users may "     \
	  "lead to in any case")                                                                       \
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
	X(consecutive_failure_disable_window_hours, D, "CONSECUTIVE_FAILURE_DISABLE_WINDOW_HOURS",     \
	  24000, 1, 87600000, "hours without a success that this takes, too")                          \
	X(run_retention_days, I, "RUN_RETENTION_DAYS", 90, 0, 36500,                                   \
	  "days after which ended runs are forgotten, with their output; 0: never")                    \
	X(run_retention_count, I, "RUN_RETENTION_COUNT", 10000, 0, 1000000,                            \
	  "newest runs of an automation that are kept; 0: all")                                        \
	X(webhook_secret, K, "WEBHOOK_SECRET", "", 0, 1000,                                            \
	  "secret that signs the deliveries of the built-in event sources; empty: there are none")     \
	X(integration_event_retention_days, I, "INTEGRATION_EVENT_RETENTION_DAYS", 14, 0, 36500,       \
	  "days after which events are forgotten, and their delivery ids; 0: never")                   \
	X(workspace_retention_seconds, I, "WORKSPACE_RETENTION_SECONDS", 604800, 0, 315360000,         \
	  "age at which left work folders are removed; 0: never")                                      \
	X(upload_retention_days, I, "UPLOAD_RETENTION_DAYS", 30, 0, 36500,                             \
	  "days after which uploads that no automation uses are deleted; 0: never")                    \
	X(file_store, S, "FILE_STORE", "database", 1, 20,                                              \
	  "where uploads over HTTP are kept: database, local (a folder), s3 or gcs")                   \
	X(local_storage_path, S, "LOCAL_STORAGE_PATH", "~/.openhands/automation/storage", 0, 4000,     \
	  "the folder of local")                                                                       \
	X(aws_s3_bucket, S, "AWS_S3_BUCKET", "", 0, 255, "the bucket of s3")                           \
	X(aws_s3_endpoint, S, "AWS_S3_ENDPOINT", "", 0, 2000,                                          \
	  "where S3 is; empty: Amazon's, in AWS_REGION")                                               \
	X(aws_s3_secure, B, "AWS_S3_SECURE", 1, 0, 1,                                                  \
	  "whether S3 is spoken to over https; must agree with the endpoint's scheme")                 \
	X(aws_region, S, "AWS_REGION", "us-east-1", 1, 100,                                            \
	  "region that requests to S3 are signed for")                                                 \
	X(aws_access_key_id, S, "AWS_ACCESS_KEY_ID", "", 0, 200, "id of the key for S3")               \
	X(aws_secret_access_key, K, "AWS_SECRET_ACCESS_KEY", "", 0, 1000, "the key for S3")            \
	X(gcs_bucket_name, S, "GCS_BUCKET_NAME", "", 0, 255, "the bucket of gcs")                      \
	X(gcs_access_key_id, S, "GCS_ACCESS_KEY_ID", "", 0, 200, "id of the HMAC key for gcs")         \
	X(gcs_secret_access_key, K, "GCS_SECRET_ACCESS_KEY", "", 0, 1000, "the HMAC key for gcs")      \
	X(storage_emulator_host, S, "STORAGE_EMULATOR_HOST", "", 0, 2000,                              \
	  "where gcs is; empty: https://storage.googleapis.com")                                       \
	X(object_sources, S, "OBJECT_SOURCES", "", 0, 8000,                                            \
	  "comma list of s3://bucket/prefix and gs://bucket/prefix that automations may run "          \
	  "tarballs from, with the keys above; empty: none")                                           \
	X(object_download, S, "OBJECT_DOWNLOAD", "agent", 1, 20,                                       \
	  "who downloads these: agent (is given a signed URL) or server (and uploads to the agent)")   \
	X(agent_server_auth_header, S, "AGENT_SERVER_AUTH_HEADER", "X-Session-API-Key", 1, 100,        \
	  "header in which the key of the agent server is sent; Authorization: as a bearer token")     \
	X(hybrid_cloud, B, "HYBRID_CLOUD", 0, 0, 1,                                                    \
	  "whether runs at an agent server are given a key and the URL of the cloud")

typedef struct aut_settings
{
#define AUT_SETTING_MEMBER_S(member)                              char *member
#define AUT_SETTING_MEMBER_K(member)                              char *member
#define AUT_SETTING_MEMBER_I(member)                              int64_t member
#define AUT_SETTING_MEMBER_B(member)                              int64_t member
#define AUT_SETTING_MEMBER_D(member)                              int64_t member
#define AUT_SETTING_MEMBER(member, kind, name, def, lo, hi, help) AUT_SETTING_MEMBER_##kind(member);
	AUT_SETTINGS_MAP(AUT_SETTING_MEMBER)
#undef AUT_SETTING_MEMBER
} aut_settings;

typedef struct aut_setting_info
{
	const char *member; /* "agent_server_url" */
	const char *name;   /* "AUTOMATION_AGENT_SERVER_URL" */
	char kind;          /* 'S' 'K' 'I' 'B' 'D' */
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

/* Does this environment variable set it, by its own name or by the one the contract gives without the
 * prefix?  name need not end at len. */
bool aut_setting_has_name(const aut_setting_info *info, const char *name, size_t len);
/* May text be its value?  (For hosts that keep values by themselves.) */
aut_status aut_setting_check(const aut_setting_info *info, const char *text, aut_error *err);
/* A number of kind D as text: 1500 is "1.5".  buf holds AUT_SETTING_DECIMAL_MAX. */
#define AUT_SETTING_DECIMAL_MAX 32
const char *aut_setting_decimal(int64_t thousandths, char *buf);

/* AUTOMATION_ variables of the reference that are deliberately without effect, and why.  NULL after the
 * last.  Each that is set is reported with its reason. */
typedef struct aut_setting_ignored
{
	const char *name; /* "AUTOMATION_DB_HOST" */
	const char *why;
} aut_setting_ignored;
const aut_setting_ignored *aut_setting_ignored_at(size_t index);

/*
 * Where scripts run, decided in one place: the setting `backend` forces it; else an agent server's URL
 * means that agent server; else a service key (or a user's cloud key) means the cloud; else the host's own.
 */
typedef enum aut_backend_choice
{
	AUT_BACKEND_NONE,         /* runs wait PENDING */
	AUT_BACKEND_AGENT_SERVER, /* at agent_server_url */
	AUT_BACKEND_CLOUD,        /* a sandbox per run */
	AUT_BACKEND_EMBEDDED      /* the daemon starts its agent; the extension has none: as NONE */
} aut_backend_choice;
aut_backend_choice aut_settings_backend(const aut_settings *settings);
const char *aut_backend_choice_name(aut_backend_choice choice); /* "agent-server" */
/* Do the settings fit together (a forced backend has what it needs, bounds are in order)?  EINVAL with
 * what is missing.  For hosts at their start and for doctor. */
aut_status aut_settings_check(const aut_settings *settings, aut_error *err);

/* The cloud API: its base URL without trailing slashes, and "<base><path>".  aut_free. */
char *aut_settings_cloud_url(const aut_settings *settings, const char *path);
/* Are callers with other credentials than our keys known to the cloud?  (It is the backend, or its URL
 * was given.) */
bool aut_settings_has_upstream(const aut_settings *settings);

/* "<base>/api/automation" where runs and people reach this service: base_url, else
 * http://localhost:<port>.  aut_free. */
char *aut_settings_api_url(const aut_settings *settings, uint16_t port);
/* Path prefix of all routes: path of base_url + "/api/automation".  aut_free. */
char *aut_settings_api_prefix(const aut_settings *settings);

#endif
