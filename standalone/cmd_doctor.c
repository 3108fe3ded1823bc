/* SPDX-License-Identifier: MIT */
/*
 * standalone/cmd_doctor.c - `automation doctor`: what is wrong here, and what would be right?
 *
 * One line per finding: ok, warn (works, but look at it) or fail (does not work, or a secret is open to
 * others).  Nothing is changed and nothing is started.  The file of a running daemon is never opened:
 * the daemon is asked over HTTP instead.  Every check stands alone, so that a broken one tells its own
 * story and the others still theirs; the order is that in which one would repair.
 */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include "automation/schedule.h"
#include "standalone/client_priv.h"
#include "standalone/serve_priv.h"
#include "standalone/sqlite_db.h"

#define DISK_FAIL_MB     32
#define DISK_WARN_MB     512
#define YEAR_MIN         2025 /* this program is not older */
#define TZDATA_YEARS_OLD 2    /* rules change about once a year somewhere */
#define SANDBOX_TRIES    5    /* failed attempts that are worth a word */
#define ASK_TIMEOUT_MS   5000L
#define FUTURE_S         60
#define ADVICE_MAX       1024

extern char **environ;

typedef enum level
{
	LEVEL_OK,
	LEVEL_WARN,
	LEVEL_FAIL
} level;

static const char *const level_names[] = {"ok", "warn", "fail"};

typedef struct doctor
{
	client *c;
	serve_config config;
	bool configured; /* config can be used */
	bool running;    /* a daemon holds the folder's lock */
	json_t *findings;
	int counts[3];
	aut_status status; /* of the telling itself */
} doctor;

/* ---- telling -------------------------------------------------------------------------------------- */

/* right: what would be right, NULL when it is. */
static void __attribute__((format(printf, 5, 6)))
say(doctor *d, level how, const char *what, const char *right, const char *fmt, ...)
{
	static const client_colour colours[] = {CLIENT_GREEN, CLIENT_YELLOW, CLIENT_RED};
	const client *c = d->c;
	char found[1024];
	aut_buf line;
	va_list args;
	json_t *finding;

	va_start(args, fmt);
	(void) vsnprintf(found, sizeof found, fmt, args);
	va_end(args);
	d->counts[how]++;
	if (c->args->json)
	{
		finding = json_object();
		if (!aut_json_set(finding, "level", json_string(level_names[how])) ||
			!aut_json_set(finding, "check", json_string(what)) ||
			!aut_json_set(finding, "found", aut_json_text_or_null(found)) ||
			!aut_json_set(finding, "right", aut_json_text_or_null(right)) ||
			json_array_append(d->findings, finding) != 0)
			d->status = AUT_ENOMEM;
		json_decref(finding);
		return;
	}
	aut_buf_init(&line, 16384);
	(void) aut_buf_printf(&line, "%s%-4s%s  ", c->out_colour ? client_colour_on(colours[how]) : "",
						  level_names[how], c->out_colour ? "\x1b[0m" : "");
	(void) aut_buf_printf(&line, "%-13s ", what);
	(void) client_escape(found, strlen(found), &line);
	if (right != NULL)
	{
		(void) aut_buf_puts(&line, "; right would be: ");
		(void) client_escape(right, strlen(right), &line);
	}
	(void) aut_buf_putc(&line, '\n');
	if (line.status != AUT_OK || client_write(line.data, line.len, NULL) != AUT_OK)
		d->status = line.status != AUT_OK ? line.status : AUT_EIO;
	aut_buf_done(&line);
}

/* ---- settings ------------------------------------------------------------------------------------- */

static void
unknown_setting(void *payload, const char *message)
{
	say(payload, LEVEL_WARN, "settings", "the name as in automation config, or unset it", "%s",
		message);
}

/* Flags and environment as `serve` would read them; without a usable result some checks have no question. */
static void
check_settings(doctor *d)
{
	char *argv[4] = {(char *) (uintptr_t) "doctor"};
	int warnings = d->counts[LEVEL_WARN];
	aut_error err = AUT_ERROR_INIT;
	aut_settings settings;
	int argc = 1;
	aut_status status;

	if (d->c->args->data != NULL)
	{
		argv[argc++] = (char *) (uintptr_t) "--data";
		argv[argc++] = (char *) (uintptr_t) d->c->args->data;
	}
	/* once for the warnings, once (they go nowhere then) for what follows from them */
	status = aut_settings_init(&settings, &err);
	if (status == AUT_OK)
		(void) aut_settings_from_environment(&settings, environ, unknown_setting, d, NULL);
	aut_settings_done(&settings);
	if (status == AUT_OK)
		status = serve_config_read(&d->config, argc, argv, environ, &err);
	d->configured = status == AUT_OK;
	if (!d->configured)
		say(d, LEVEL_FAIL, "settings", "a value that serve takes; see docs/settings.md", "%s",
			err.message);
	else if (d->counts[LEVEL_WARN] == warnings)
		say(d, LEVEL_OK, "settings", NULL, "serve would start with them");
	if (d->configured && d->config.embedded && geteuid() == 0)
		say(d, LEVEL_WARN, "user", "a user of its own for the daemon",
			"you are root: runs of the embedded agent may do everything");
}

/* ---- folder and secrets ------------------------------------------------------------------------------ */

static void
check_folder(doctor *d)
{
	const char *path = d->c->data;
	char right[ADVICE_MAX];
	struct stat st;

	if (stat(path, &st) != 0 && errno == ENOENT)
		say(d, LEVEL_OK, "folder", NULL, "%s is not there yet; serve makes it", path);
	else if (stat(path, &st) != 0)
		say(d, LEVEL_FAIL, "folder", "a folder that you may enter", "%s: %s", path,
			strerror(errno));
	else if (!S_ISDIR(st.st_mode))
		say(d, LEVEL_FAIL, "folder", "another path with --data", "%s is not a folder", path);
	else if (access(path, R_OK | W_OK | X_OK) != 0)
		say(d, LEVEL_FAIL, "folder", "a folder that belongs to you", "%s: you may not write there",
			path);
	else if ((st.st_mode & 077) != 0)
	{
		(void) snprintf(right, sizeof right, "chmod 700 %s", path);
		say(d, LEVEL_WARN, "folder", right, "%s is open to others (mode %04o)", path,
			(unsigned) st.st_mode & 07777);
	}
	else if (st.st_uid != geteuid())
		say(d, LEVEL_WARN, "folder", "run this as the daemon's user", "%s belongs to user %u", path,
			(unsigned) st.st_uid);
	else
		say(d, LEVEL_OK, "folder", NULL, "%s is yours alone", path);
}

/* One file that only its owner may read. */
static bool
check_private(doctor *d, const char *name)
{
	char *path = aut_printf("%s/%s", d->c->data, name);
	char right[ADVICE_MAX];
	bool good = true;
	struct stat st;

	if (path != NULL && stat(path, &st) == 0 && (st.st_mode & 077) != 0)
	{
		good = false;
		(void) snprintf(right, sizeof right, "chmod 600 %s", path);
		say(d, LEVEL_FAIL, "secrets", right, "%s can be read or written by others (mode %04o)",
			path, (unsigned) st.st_mode & 07777);
	}
	aut_free(path);
	return good;
}

static void
check_secrets(doctor *d)
{
	static const char *const names[] = {"api.key", "agent.json", "automation.db",
										"automation.db-wal", "serve.json"};
	char *path = aut_printf("%s/api.key", d->c->data);
	aut_error err = AUT_ERROR_INIT;
	bool good = true;
	aut_buf key;
	size_t len;
	aut_status status;

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		good = check_private(d, names[i]) && good;
	aut_buf_init(&key, 4096);
	status = path != NULL ? client_read_file(path, 4096, &key, &err)
						  : aut_fail(&err, AUT_ENOMEM, "out of memory");
	len = key.data != NULL ? strcspn(key.data, "\r\n") : 0;
	if (status == AUT_OK && len < 16)
	{
		good = false;
		say(d, LEVEL_FAIL, "secrets", "remove it: the next start makes a new one",
			"%s is not one line of at least 16 characters", path);
	}
	else if (status != AUT_OK && status != AUT_ENOTFOUND)
	{
		good = false;
		say(d, LEVEL_FAIL, "secrets", "a key file that you may read", "%s", err.message);
	}
	if (good && status == AUT_ENOTFOUND)
		say(d, LEVEL_OK, "secrets", NULL, "no key yet; serve makes one");
	else if (good)
		say(d, LEVEL_OK, "secrets", NULL, "only you can read them");
	aut_buf_done(&key);
	aut_free(path);
}

/* ---- the daemon -------------------------------------------------------------------------------------- */

/* Does a daemon hold the folder?  The kernel knows, whatever files say. */
static bool
folder_locked(const char *data)
{
	char *path = aut_printf("%s/serve.lock", data);
	bool locked = false;
	int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;

	if (fd >= 0)
	{
		locked = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
		(void) close(fd);
	}
	aut_free(path);
	return locked;
}

/* A request that goes through the key and the database. */
static void
ask_daemon(doctor *d)
{
	client *c = d->c;
	aut_error err = AUT_ERROR_INIT;
	json_t *reply = NULL;
	int64_t before = aut_mono_us(c->clock);
	aut_status status = client_connect(c, &err);
	char took[CLIENT_TEXT_MAX];

	if (status == AUT_OK)
		status = client_get(c, "/v1?limit=1", &reply, &err);
	if (status == AUT_OK)
		say(d, LEVEL_OK, "daemon", NULL, "%s answers (%s)%s", c->base,
			client_duration(aut_mono_us(c->clock) - before, took),
			d->running ? ", and with it the database" : "");
	else if (status == AUT_EUNAUTH || status == AUT_EDENIED)
		say(d, LEVEL_FAIL, "daemon",
			"the key it was started with, in AUTOMATION_API_KEY or --api-key", "%s", err.message);
	else
		say(d, LEVEL_FAIL, "daemon", "its log tells why; a restart loses no run", "%s",
			err.message);
	c->exit_code = 0; /* the connecting may have chosen one */
	json_decref(reply);
}

static void
check_daemon(doctor *d)
{
	int64_t pid = serve_pid_in(d->c->data, "serve.json");

	d->running = folder_locked(d->c->data);
	if (d->running && pid > 0)
		ask_daemon(d);
	else if (d->running)
		say(d, LEVEL_WARN, "daemon", "wait a moment and ask again", "it is starting or stopping");
	else if (pid > 0)
		say(d, LEVEL_WARN, "daemon", "start it again: automation serve; what ran is found again",
			"process %lld was killed or crashed", (long long) pid);
	else
		say(d, LEVEL_WARN, "daemon", "automation serve", "none is running for %s", d->c->data);
}

static void
check_database(doctor *d)
{
	const char *path = d->config.db_path;
	aut_error err = AUT_ERROR_INIT;
	struct stat st;
	aut_status status;

	if (d->running)
	{
		say(d, LEVEL_OK, "database", NULL, "%s is in use by the daemon, and was not opened", path);
		return;
	}
	status = aut_sqlite_check(path, &err);
	if (status == AUT_OK)
		say(d, LEVEL_OK, "database", NULL, "%s is whole (%lld KiB)", path,
			stat(path, &st) == 0 ? (long long) st.st_size / 1024 : 0LL);
	else if (status == AUT_ENOTFOUND)
		say(d, LEVEL_OK, "database", NULL, "%s is not there yet; serve makes it", path);
	else if (status == AUT_EBUSY)
		say(d, LEVEL_WARN, "database", "one daemon per file",
			"%s by another daemon than this folder's", err.message);
	else if (status == AUT_ECORRUPT)
		say(d, LEVEL_FAIL, "database", "a backup put in its place (automation help backup)", "%s",
			err.message);
	else
		say(d, LEVEL_FAIL, "database", "a file of this version that you may read", "%s",
			err.message);
}

/* ---- agent and port ----------------------------------------------------------------------------------- */

static size_t
drop_body(char *data, size_t size, size_t count, void *payload)
{
	(void) data;
	(void) payload;
	return size * count;
}

/* GET URL/alive; 0 or an HTTP status, and why in *out_why. */
static long
ask_alive(const char *url, const char **out_why)
{
	CURL *curl = curl_easy_init();
	char *whole =
		aut_printf("%s%salive", url, url[0] != '\0' && url[strlen(url) - 1] == '/' ? "" : "/");
	long code = 0;
	CURLcode rc = CURLE_OUT_OF_MEMORY;

	if (curl != NULL && whole != NULL && curl_easy_setopt(curl, CURLOPT_URL, whole) == CURLE_OK &&
		curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK)
	{
		(void) curl_easy_setopt(curl, CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
		(void) curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
		(void) curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, ASK_TIMEOUT_MS);
		(void) curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop_body);
		rc = curl_easy_perform(curl);
	}
	if (rc == CURLE_OK)
		(void) curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
	*out_why = rc == CURLE_OK ? "it answers, but not as an agent" : curl_easy_strerror(rc);
	curl_easy_cleanup(curl);
	aut_free(whole);
	return code;
}

/* The address in DATA/agent.json; aut_free. */
static char *
embedded_url(const doctor *d)
{
	char *path = aut_printf("%s/agent.json", d->c->data);
	json_t *state = NULL;
	char *url = NULL;
	aut_buf text;

	aut_buf_init(&text, 4096);
	if (path != NULL && client_read_file(path, 4096, &text, NULL) == AUT_OK && text.len > 0 &&
		aut_json_parse(text.data, text.len, &state, NULL) == AUT_OK)
		url = aut_strdup(aut_json_string(state, "url"));
	json_decref(state);
	aut_buf_done(&text);
	aut_free(path);
	return url;
}

static void
check_agent(doctor *d)
{
	bool there = d->config.backend == AUT_BACKEND_AGENT_SERVER;
	const char *configured = there ? d->config.settings.agent_server_url : "";
	char *own = configured[0] == '\0' ? embedded_url(d) : NULL;
	const char *url = configured[0] != '\0' ? configured : own;
	const char *why = NULL;
	long code = url != NULL ? ask_alive(url, &why) : 0;

	if (code == 200)
		say(d, LEVEL_OK, "agent", NULL, "%s answers", url);
	else if (configured[0] != '\0')
		say(d, LEVEL_FAIL, "agent", "start it, or correct AUTOMATION_AGENT_SERVER_URL", "%s: %s",
			url, why);
	else if (!d->running)
		say(d, LEVEL_OK, "agent", NULL, "the embedded one starts with the daemon");
	else if (url != NULL)
		say(d, LEVEL_FAIL, "agent",
			"the daemon starts it again by itself within a minute; else see its log", "%s: %s", url,
			why);
	else
		say(d, LEVEL_WARN, "agent", "serve without --no-agent", "the daemon has none: runs wait");
	aut_free(own);
}

static void
check_port(doctor *d)
{
	const char *host = d->config.settings.host;
	unsigned port = (unsigned) d->config.settings.server_port;
	struct sockaddr_in six_less = {.sin_family = AF_INET, .sin_port = htons((uint16_t) port)};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t) port)};
	bool is_six = inet_pton(AF_INET6, host, &six.sin6_addr) == 1;
	const struct sockaddr *address =
		is_six ? (const struct sockaddr *) &six : (const struct sockaddr *) &six_less;
	int one = 1;
	int fd;

	if (d->running || port == 0)
		return; /* it has its port, or takes any */
	(void) inet_pton(AF_INET, host, &six_less.sin_addr);
	fd = socket(is_six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		(void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (fd >= 0 && bind(fd, address, is_six ? sizeof six : sizeof six_less) == 0 &&
		listen(fd, 1) == 0)
		say(d, LEVEL_OK, "port", NULL, "%s port %u is free", host, port);
	else
		say(d, LEVEL_FAIL, "port", "another one with --port or AUTOMATION_SERVER_PORT",
			"%s port %u: %s", host, port, strerror(errno));
	if (fd >= 0)
		(void) close(fd);
}

/* ---- clock, zones, disk ---------------------------------------------------------------------------------- */

static void
check_clock(doctor *d)
{
	int64_t now_us = aut_now_us(d->c->clock);
	int64_t year = 0;
	int month = 0, day = 0;
	struct timex adjustment;
	char when[CLIENT_TEXT_MAX];
	struct stat st;

	memset(&adjustment, 0, sizeof adjustment);
	aut_civil_from_days(now_us / AUT_US_PER_S / 86400, &year, &month, &day);
	if (year < YEAR_MIN)
		say(d, LEVEL_FAIL, "clock", "the right time: schedules fire by it", "it says %s",
			client_absolute(now_us, d->c->args->utc, when));
	else if (d->configured && stat(d->config.db_path, &st) == 0 &&
			 (int64_t) st.st_mtime > now_us / AUT_US_PER_S + FUTURE_S)
		say(d, LEVEL_WARN, "clock", "see whether it was set back",
			"it says %s, the database is younger", client_absolute(now_us, d->c->args->utc, when));
	/* asks, sets nothing */
	else if (adjtimex(&adjustment) == TIME_ERROR && (adjustment.status & STA_UNSYNC) != 0)
		say(d, LEVEL_WARN, "clock", "a time service (systemd-timesyncd, chrony)",
			"it says %s, and nothing keeps it right",
			client_absolute(now_us, d->c->args->utc, when));
	else
		say(d, LEVEL_OK, "clock", NULL, "it says %s",
			client_absolute(now_us, d->c->args->utc, when));
}

static const char *
variable(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && *value != '\0' ? value : NULL;
}

/* "2024b" from the head of tzdata.zi; false when nothing tells. */
static bool
tzdata_version(const char *folder, char out[16])
{
	char *path = aut_printf("%s/tzdata.zi", folder);
	FILE *file = path != NULL ? fopen(path, "re") : NULL;
	bool found = file != NULL && fscanf(file, "# version %15s", out) == 1;

	if (file != NULL)
		(void) fclose(file);
	aut_free(path);
	return found;
}

static void
check_zones(doctor *d)
{
	const char *folder = variable("AUTOMATION_TZDIR");
	int64_t now_year = 0, year = 0;
	int month = 0, day = 0;
	aut_error err = AUT_ERROR_INIT;
	const aut_tz *zone = NULL;
	char version[16] = "", digits[5] = "";

	if (folder == NULL)
		folder = variable("TZDIR") != NULL ? variable("TZDIR") : "/usr/share/zoneinfo";
	aut_civil_from_days(aut_now_us(d->c->clock) / AUT_US_PER_S / 86400, &now_year, &month, &day);
	if (aut_tz_get("Europe/Berlin", &zone, &err) != AUT_OK)
		say(d, LEVEL_FAIL, "time zones", "install tzdata", "%s: %s", folder, err.message);
	else if (!tzdata_version(folder, version))
		say(d, LEVEL_OK, "time zones", NULL, "%s can be read; its version is not told", folder);
	else
	{
		memcpy(digits, version, 4);
		if (aut_int_parse(digits, 1990, 9999, &year) && year + TZDATA_YEARS_OLD < now_year)
			say(d, LEVEL_WARN, "time zones", "a newer tzdata: rules have changed since",
				"%s has version %s", folder, version);
		else
			say(d, LEVEL_OK, "time zones", NULL, "%s has version %s", folder, version);
	}
}

/* Room on the file system of a path, or of its nearest parent that is there. */
static void
check_room(doctor *d, const char *path, const char *for_what)
{
	char *at = aut_strdup(path);
	struct statvfs fs;
	char *slash;
	bool known = false;
	unsigned long long mb;

	while (at != NULL && !(known = statvfs(at, &fs) == 0) && (slash = strrchr(at, '/')) != NULL &&
		   slash != at)
		*slash = '\0';
	if (known)
	{
		mb = (unsigned long long) fs.f_bavail * fs.f_frsize / (1024 * 1024);
		if (fs.f_files > 0 && fs.f_favail == 0)
			say(d, LEVEL_FAIL, "disk", "fewer files there", "%s takes no more files (%s)", at,
				for_what);
		else
			say(d,
				mb < DISK_FAIL_MB   ? LEVEL_FAIL
				: mb < DISK_WARN_MB ? LEVEL_WARN
									: LEVEL_OK,
				"disk", mb < DISK_WARN_MB ? "room for output and uploads" : NULL,
				"%llu MiB free in %s (%s)", mb, at, for_what);
	}
	else
		say(d, LEVEL_WARN, "disk", "a path that can be looked at", "%s: %s", path, strerror(errno));
	aut_free(at);
}

/* ---- all of it --------------------------------------------------------------------------------------------- */

/* The ledger of cloud sandboxes, as a running daemon tells it. */
static void
check_sandboxes(doctor *d)
{
	client *c = d->c;
	aut_error err = AUT_ERROR_INIT;
	json_t *reply = NULL, *group;
	size_t i;
	json_int_t there = 0, lost = 0, stuck = 0;

	if (client_connect(c, &err) == AUT_OK && client_get(c, "/v1/sandboxes", &reply, &err) == AUT_OK)
	{
		json_array_foreach(json_object_get(reply, "sandboxes"), i, group)
		{
			const char *state = aut_json_string(group, "state");
			json_int_t count = json_integer_value(json_object_get(group, "count"));

			if (state != NULL && strcmp(state, "LOST") == 0)
				lost += count;
			else
				there += count;
			if (json_integer_value(json_object_get(group, "failed_attempts")) >= SANDBOX_TRIES)
				stuck += count;
		}
		if (lost > 0)
			say(d, LEVEL_WARN, "sandboxes",
				"compare the list of your sandboxes in the cloud, and delete what is nobody's",
				"%lld may exist in the cloud that we cannot name: the answer to their creation was "
				"lost",
				(long long) lost);
		if (stuck > 0)
			say(d, LEVEL_WARN, "sandboxes", "the daemon's log tells why; it goes on trying",
				"some of %lld cannot be deleted", (long long) stuck);
		if (lost == 0 && stuck == 0)
			say(d, LEVEL_OK, "sandboxes", NULL, "%lld are ours in the cloud, all accounted for",
				(long long) there);
	}
	else
		say(d, LEVEL_WARN, "sandboxes", NULL, "%s", err.message);
	c->exit_code = 0;
	json_decref(reply);
}

static void
check_cloud(doctor *d)
{
	char *url = aut_settings_cloud_url(&d->config.settings, "/");
	const char *why = NULL;
	long code = url != NULL ? ask_alive(url, &why) : 0;

	if (code > 0)
		say(d, LEVEL_OK, "cloud", NULL, "%s answers; each run gets a sandbox there", url);
	else
		say(d, LEVEL_FAIL, "cloud", "correct AUTOMATION_OPENHANDS_API_BASE_URL, or the network",
			"%s: %s", url != NULL ? url : "?", why != NULL ? why : "no memory");
	aut_free(url);
	if (d->running)
		check_sandboxes(d);
}

static void
check_here(doctor *d)
{
	check_settings(d);
	check_folder(d);
	check_secrets(d);
	check_daemon(d);
	if (d->configured)
	{
		check_database(d);
		if (d->config.backend == AUT_BACKEND_CLOUD)
			check_cloud(d);
		else
			check_agent(d);
		check_port(d);
	}
	check_clock(d);
	check_zones(d);
	check_room(d, d->c->data, "state");
	check_room(d, "/tmp", "output of runs");
}

aut_status
client_cmd_doctor(client *c, aut_error *err)
{
	doctor d = {.c = c, .findings = json_array()};
	bool elsewhere =
		c->args->url != NULL || (c->args->data == NULL && variable("AUTOMATION_URL") != NULL);
	aut_status status = d.findings != NULL ? AUT_OK : aut_fail(err, AUT_ENOMEM, "out of memory");

	if (status == AUT_OK && !elsewhere)
		status = client_find_data(c, err);
	if (status != AUT_OK)
		goto out;
	if (elsewhere)
		ask_daemon(&d);
	else
		check_here(&d);
	if (c->args->json && d.status == AUT_OK)
		status = client_print_json(c, d.findings, err);
	else if (d.status != AUT_OK)
		status = aut_fail(err, d.status, "cannot write the findings");
	else
		(void) fprintf(stderr, "%d ok, %d to look at, %d failed\n", d.counts[LEVEL_OK],
					   d.counts[LEVEL_WARN], d.counts[LEVEL_FAIL]);
	if (status == AUT_OK && d.counts[LEVEL_FAIL] > 0)
		c->exit_code = AUT_COMMAND_FAILED;
out:
	json_decref(d.findings);
	serve_config_done(&d.config);
	return status;
}
