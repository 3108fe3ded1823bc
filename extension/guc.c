/* SPDX-License-Identifier: MIT */
/*
 * extension/guc.c - loading the library: settings and, when preloaded, the launcher.
 *
 * Every setting of the shared table (settings.h) that means something inside PostgreSQL becomes a GUC
 * automation.<member>; a few belong to the extension alone.  All can be changed by SIGHUP or per
 * database (ALTER DATABASE … SET), by superusers only; none needs shared_preload_libraries.
 *
 * Secrets: the *_file settings name files outside the data folder, readable by nobody but the server's
 * user.  The value settings exist for installations that manage files badly; they are shown to
 * superusers only and doctor() warns about them.
 *
 * _PG_init runs in client backends, too: it creates no thread, opens no socket and initialises no
 * foreign library.  During pg_upgrade (IsBinaryUpgrade) it registers no process, because a worker
 * would run the old cluster's automations while their data is being copied.
 */
#include "internal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/guc.h"
#include "utils/memutils.h"

PG_MODULE_MAGIC;

#define KEY_FILE_MAX 1000 /* bytes of a key */

bool aut__preloaded;
bool aut__enabled = true;
char *aut__listen = NULL;
char *aut__http_role = NULL;
int aut__workers = 1;
int aut__http_workers = 0;
int aut__sql_workers = 2;
uint64 aut__settings_generation = 1;

/* One cell per entry of the settings table; which of the two is used depends on its kind. */
typedef struct guc_cell
{
	char *text;
	int number;
	double decimal; /* kind D: as people write it, not in thousandths */
	bool flag;
	bool defined;
} guc_cell;
static guc_cell *cells;

/* Files that hold the values of secret settings. */
static struct key_file
{
	const char *name;   /* of the GUC */
	const char *member; /* of aut_settings; NULL: none */
	const char *help;
	char *path;
} key_files[] = {
	{"automation.agent_server_api_key_file", "agent_server_api_key",
	 "File with the key of the agent server (mode 0600).", NULL},
	{"automation.local_api_key_file", "local_api_key",
	 "File with the key that authenticates HTTP clients (mode 0600).", NULL},
	{"automation.service_key_file", "service_key",
	 "File with the service key of the cloud (mode 0600).", NULL},
	{"automation.cloud_api_key_file", "cloud_api_key",
	 "File with a user's key of the cloud (mode 0600).", NULL},
	{"automation.aws_secret_access_key_file", "aws_secret_access_key",
	 "File with the secret access key for S3 (mode 0600).", NULL},
	{"automation.gcs_secret_access_key_file", "gcs_secret_access_key",
	 "File with the HMAC key for GCS (mode 0600).", NULL},
	{"automation.secret_key_file", NULL,
	 "File with the key that seals secrets in the database, 64 hex digits (mode 0600).", NULL},
	{"automation.webhook_secret_file", "webhook_secret",
	 "File with the secret that signs events of the built-in sources (mode 0600).", NULL},
};

/* Entries of the table that mean nothing here: the server listens by automation.listen, logs by its
 * own settings and is its own database. */
static const char *const not_here[] = {"host", "server_port", "db_url", "log_level"};

static bool
applies(const aut_setting_info *info)
{
	for (size_t i = 0; i < lengthof(not_here); i++)
		if (strcmp(info->member, not_here[i]) == 0)
			return false;
	return true;
}

static void
changed_text(const char *value, void *extra)
{
	(void) value;
	(void) extra;
	aut__settings_generation++;
}

static void
changed_number(int value, void *extra)
{
	(void) value;
	(void) extra;
	aut__settings_generation++;
}

static void
changed_decimal(double value, void *extra)
{
	(void) value;
	(void) extra;
	aut__settings_generation++;
}

static void
changed_flag(bool value, void *extra)
{
	(void) value;
	(void) extra;
	aut__settings_generation++;
}

/* A GUC holds an int; limits beyond it are cut there, which for bytes is 2 GiB. */
static int
guc_int(int64_t value)
{
	return value > INT_MAX ? INT_MAX : value < INT_MIN ? INT_MIN : (int) value;
}

/* Settings of one word: a hook is not told which parameter it judges, so each has its own. */
static bool
check_word(const char *member, const char *text)
{
	const aut_setting_info *info = aut_setting_find(member);
	aut_error err = AUT_ERROR_INIT;

	/* A default that were refused, were it for want of memory, would end the session. */
	if (text != NULL &&
		(strcmp(text, info->default_text) == 0 || aut_setting_check(info, text, &err) == AUT_OK))
		return true;
	GUC_check_errdetail("%s", err.message);
	return false;
}

static bool
check_backend(char **newval, void **extra, GucSource source)
{
	(void) extra;
	(void) source;
	return check_word("backend", *newval);
}

static bool
check_private_urls(char **newval, void **extra, GucSource source)
{
	(void) extra;
	(void) source;
	return check_word("allow_private_urls", *newval);
}

static bool
check_file_store(char **newval, void **extra, GucSource source)
{
	(void) extra;
	(void) source;
	return check_word("file_store", *newval);
}

static bool
check_object_download(char **newval, void **extra, GucSource source)
{
	(void) extra;
	(void) source;
	return check_word("object_download", *newval);
}

static bool
check_url_hosts(char **newval, void **extra, GucSource source)
{
	(void) extra;
	(void) source;
	return check_word("allowed_url_hosts", *newval);
}

static bool
check_auth_header(char **newval, void **extra, GucSource source)
{
	(void) extra;
	(void) source;
	return check_word("agent_server_auth_header", *newval);
}

static GucStringCheckHook
text_check(const aut_setting_info *info)
{
	static const struct
	{
		const char *member;
		GucStringCheckHook hook;
	} hooks[] = {{"backend", check_backend},
				 {"allow_private_urls", check_private_urls},
				 {"file_store", check_file_store},
				 {"object_download", check_object_download},
				 {"allowed_url_hosts", check_url_hosts},
				 {"agent_server_auth_header", check_auth_header}};

	for (size_t i = 0; i < lengthof(hooks); i++)
		if (strcmp(info->member, hooks[i].member) == 0)
			return hooks[i].hook;
	return NULL;
}

static void
define_setting(const aut_setting_info *info, guc_cell *cell)
{
	char *name = psprintf("automation.%s", info->member);
	const int secret = GUC_SUPERUSER_ONLY | GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE;

	cell->defined = true;
	switch (info->kind)
	{
		case 'I':
			DefineCustomIntVariable(name, info->help, NULL, &cell->number,
									guc_int(info->default_number), guc_int(info->minimum),
									guc_int(info->maximum), PGC_SUSET, 0, NULL, changed_number,
									NULL);
			break;
		case 'D':
			DefineCustomRealVariable(name, info->help, NULL, &cell->decimal,
									 (double) info->default_number / 1000,
									 (double) info->minimum / 1000, (double) info->maximum / 1000,
									 PGC_SUSET, 0, NULL, changed_decimal, NULL);
			break;
		case 'B':
			DefineCustomBoolVariable(name, info->help, NULL, &cell->flag, info->default_number != 0,
									 PGC_SUSET, 0, NULL, changed_flag, NULL);
			break;
		default:
			DefineCustomStringVariable(name, info->help, NULL, &cell->text, info->default_text,
									   PGC_SUSET, info->kind == 'K' ? secret : 0, text_check(info),
									   changed_text, NULL);
			break;
	}
	pfree(name);
}

static bool
check_listen(char **newval, void **extra, GucSource source)
{
	char address[64];
	uint16_t port;
	aut_error err = AUT_ERROR_INIT;

	(void) extra;
	(void) source;
	if (*newval == NULL || **newval == '\0' ||
		aut__listen_parse(*newval, address, sizeof(address), &port, &err) == AUT_OK)
		return true;
	GUC_check_errdetail("%s", err.message);
	return false;
}

static void
define_own_settings(void)
{
	DefineCustomBoolVariable("automation.enabled", "Whether this database's worker may run.",
							 "ALTER DATABASE … SET automation.enabled = off keeps it away.",
							 &aut__enabled, true, PGC_SUSET, 0, NULL, changed_flag, NULL);
	DefineCustomStringVariable("automation.listen",
							   "Address and port on which the worker serves the HTTP API.",
							   "As in 127.0.0.1:8000; empty: none.  Set it per database: "
							   "ALTER DATABASE … SET automation.listen.",
							   &aut__listen, "", PGC_SUSET, 0, check_listen, changed_text, NULL);
	DefineCustomStringVariable("automation.http_role",
							   "Database role that owns automations made over HTTP.",
							   "Empty: only administrators see them from SQL.", &aut__http_role, "",
							   PGC_SUSET, 0, NULL, changed_text, NULL);
	DefineCustomIntVariable("automation.workers", "Processes of a database that execute runs.",
							"The worker is the first; each takes one of max_worker_processes.",
							&aut__workers, 1, 1, AUT__WORKERS_MAX, PGC_SUSET, 0, NULL,
							changed_number, NULL);
	DefineCustomIntVariable(
		"automation.http_workers", "Processes of a database that serve the HTTP API.",
		"0: the worker itself; else each takes one of max_worker_processes.", &aut__http_workers, 0,
		0, AUT__HTTP_WORKERS_MAX, PGC_SUSET, 0, NULL, changed_number, NULL);
	DefineCustomIntVariable(
		"automation.sql_workers", "SQL actions of a database that execute at once.",
		"Each is a process and takes one of max_worker_processes.", &aut__sql_workers, 2, 0,
		AUT__SQL_WORKERS_MAX, PGC_SUSET, 0, NULL, changed_number, NULL);
	for (size_t i = 0; i < lengthof(key_files); i++)
		DefineCustomStringVariable(key_files[i].name, key_files[i].help, NULL, &key_files[i].path,
								   "", PGC_SUSET, GUC_SUPERUSER_ONLY, NULL, changed_text, NULL);
}

static void
register_launcher(void)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	strlcpy(worker.bgw_name, AUT__LAUNCHER_TYPE, BGW_MAXLEN);
	strlcpy(worker.bgw_type, AUT__LAUNCHER_TYPE, BGW_MAXLEN);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, AUT__LIBRARY, sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "automation_launcher_main", sizeof(worker.bgw_function_name));
	RegisterBackgroundWorker(&worker);
}

void
_PG_init(void)
{
	size_t count = aut_setting_count();

	cells = MemoryContextAllocZero(TopMemoryContext, count * sizeof(*cells));
	for (size_t i = 0; i < count; i++)
		if (applies(aut_setting_at(i)))
			define_setting(aut_setting_at(i), &cells[i]);
	define_own_settings();
	MarkGUCPrefixReserved("automation");

	aut__preloaded = process_shared_preload_libraries_in_progress;
	if (aut__preloaded && !IsBinaryUpgrade)
		register_launcher();
}

/* ---- settings for core --------------------------------------------------------------------- */

/*
 * A key file: a regular file, not readable by group or others, with one line.  It is read by the
 * server's user, so nothing of a wrong file is ever echoed.
 */
static aut_status
key_file_read(const struct key_file *file, char *out, size_t size, aut_error *err)
{
	aut_status status = AUT_OK;
	struct stat st;
	size_t len = 0;
	ssize_t got = 0;
	int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return aut_fail_errno(err, AUT_EIO, errno, "%s: cannot open \"%s\"", file->name,
							  file->path);
	if (fstat(fd, &st) != 0)
		status = aut_fail_errno(err, AUT_EIO, errno, "%s: cannot look at \"%s\"", file->name,
								file->path);
	else if (!S_ISREG(st.st_mode))
		status =
			aut_fail(err, AUT_EINVAL, "%s: \"%s\" is not a regular file", file->name, file->path);
	else if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		status = aut_fail(err, AUT_EDENIED, "%s: \"%s\" must not be accessible by group or others",
						  file->name, file->path);
	while (status == AUT_OK && len < size && (got = read(fd, out + len, size - len)) != 0)
	{
		if (got > 0)
			len += (size_t) got;
		else if (errno != EINTR)
			status = aut_fail_errno(err, AUT_EIO, errno, "%s: cannot read \"%s\"", file->name,
									file->path);
	}
	close(fd);
	while (len > 0 && (out[len - 1] == '\n' || out[len - 1] == '\r' || out[len - 1] == ' '))
		len--;
	if (status == AUT_OK && (len == 0 || len >= size))
		status = aut_fail(err, AUT_EINVAL, "%s: \"%s\" must hold 1 to %zu bytes", file->name,
						  file->path, size - 1);
	for (size_t i = 0; status == AUT_OK && i < len; i++)
		if (out[i] < 0x21 || out[i] > 0x7e)
			status = aut_fail(err, AUT_EINVAL, "%s: \"%s\" holds a character no key can have",
							  file->name, file->path);
	if (status == AUT_OK)
		out[len] = '\0';
	return status;
}

static aut_status
load_key_files(aut_settings *settings, aut_error *err)
{
	aut_status status = AUT_OK;
	char key[KEY_FILE_MAX + 1];

	for (size_t i = 0; i < lengthof(key_files) && status == AUT_OK; i++)
	{
		/* some keys are no settings of core */
		if (key_files[i].member == NULL || key_files[i].path == NULL ||
			key_files[i].path[0] == '\0')
			continue;
		status = key_file_read(&key_files[i], key, sizeof(key), err);
		if (status == AUT_OK)
			status = aut_settings_set(settings, aut_setting_find(key_files[i].member), key, err);
	}
	explicit_bzero(key, sizeof(key));
	return status;
}

/* ---- the key that seals secrets --------------------------------------------------------------- */

static const struct key_file *
seal_key_file(void)
{
	size_t i = 0;

	while (key_files[i].member != NULL)
		i++;
	return &key_files[i];
}

static uint8_t kept_key[AUT_SEAL_KEY_BYTES];
static uint64 kept_generation; /* 0: none is kept */

/*
 * Read at each use in sessions, which rarely need it and must not keep it; workers, who take in events,
 * keep it until the settings change.
 */
static aut_status
lend_seal_key(void *payload, bool make, uint8_t out[AUT_SEAL_KEY_BYTES], aut_error *err)
{
	const struct key_file *file = seal_key_file();
	char text[KEY_FILE_MAX + 1];
	aut_error why = AUT_ERROR_INIT;
	aut_status status;

	(void) payload;
	(void) make; /* a file outside the data folder is the operator's to make */
	if (file->path == NULL || file->path[0] == '\0')
		return aut_fail(err, AUT_EUNAVAILABLE,
						"secrets need a key: set %s to a file with 64 hex digits, mode 0600, that "
						"belongs to the server's user",
						file->name);
	if (kept_generation == aut__settings_generation)
	{
		memcpy(out, kept_key, sizeof(kept_key));
		return AUT_OK;
	}
	status = key_file_read(file, text, sizeof(text), &why);
	if (status == AUT_OK)
	{
		status = aut_seal_key_parse(text, strlen(text), out, &why);
		if (status != AUT_OK)
			aut_error_context(&why, "%s: \"%s\"", file->name, file->path);
	}
	explicit_bzero(text, sizeof(text));
	if (status != AUT_OK) /* whatever it is, it is not the caller's mistake */
		return aut_fail(err, AUT_EUNAVAILABLE, "%s", why.message);
	if (MyBackendType == B_BG_WORKER)
	{
		memcpy(kept_key, out, sizeof(kept_key));
		kept_generation = aut__settings_generation;
	}
	return AUT_OK;
}

void
aut__sealer_forget(void)
{
	explicit_bzero(kept_key, sizeof(kept_key));
	kept_generation = 0;
}

const aut_sealer *
aut__sealer(void)
{
	static const aut_sealer sealer = {lend_seal_key, NULL};

	return &sealer;
}

/* Is a secret given, by value or by file?  For those who may know that much. */
static bool
secret_is_set(const char *member)
{
	bool set = false;

	for (size_t i = 0; i < aut_setting_count(); i++)
		if (strcmp(aut_setting_at(i)->member, member) == 0)
			set = cells[i].text != NULL && cells[i].text[0] != '\0';
	for (size_t i = 0; i < lengthof(key_files); i++)
		if (key_files[i].member != NULL && strcmp(key_files[i].member, member) == 0)
			set = set || (key_files[i].path != NULL && key_files[i].path[0] != '\0');
	return set;
}

/* Settings that were read without secrets have none to judge by; this view knows which are there. */
static aut_settings
view_with_secrets(const aut_settings *settings)
{
	static char told[] = "set";
	aut_settings view = *settings;

	if (secret_is_set("service_key"))
		view.service_key = told;
	if (secret_is_set("cloud_api_key"))
		view.cloud_api_key = told;
	return view;
}

aut_backend_choice
aut__backend_choice(const aut_settings *settings)
{
	aut_settings view = view_with_secrets(settings);

	return aut_settings_backend(&view);
}

aut_status
aut__settings_check(const aut_settings *settings, aut_error *err)
{
	aut_settings view = view_with_secrets(settings);

	return aut_settings_check(&view, err);
}

const char *
aut__secret_by_value(void)
{
	for (size_t i = 0; i < aut_setting_count(); i++)
	{
		const aut_setting_info *info = aut_setting_at(i);

		if (info->kind == 'K' && cells[i].text != NULL && cells[i].text[0] != '\0')
			return info->member;
	}
	return NULL;
}

aut_status
aut__settings_load(aut_settings *out, bool with_secrets, aut_error *err)
{
	aut_settings settings;
	aut_status status = aut_settings_init(&settings, err);

	if (status != AUT_OK)
		return status;
	for (size_t i = 0; i < aut_setting_count() && status == AUT_OK; i++)
	{
		const aut_setting_info *info = aut_setting_at(i);
		char number[40];
		const char *text = number;

		if (!cells[i].defined || (info->kind == 'K' && !with_secrets))
			continue;
		if (info->kind == 'I')
			snprintf(number, sizeof(number), "%d", cells[i].number);
		else if (info->kind == 'D')
			snprintf(number, sizeof(number), "%.3f", cells[i].decimal);
		else if (info->kind == 'B')
			text = cells[i].flag ? "1" : "0";
		else
			text = cells[i].text != NULL ? cells[i].text : "";
		status = aut_settings_set(&settings, info, text, err);
		if (status != AUT_OK)
			aut_error_context(err, "automation.%s", info->member);
	}
	if (status == AUT_OK && with_secrets)
		status = load_key_files(&settings, err);
	if (status != AUT_OK)
	{
		aut_settings_done(&settings);
		return status;
	}
	*out = settings;
	return AUT_OK;
}

aut_status
aut__listen_parse(const char *text, char *address, size_t size, uint16_t *out_port, aut_error *err)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon == NULL ? 0 : (size_t) (colon - text);
	int64_t port;

	if (colon == NULL || len == 0)
		return aut_fail(err, AUT_EINVAL, "expected address:port, as in 127.0.0.1:8000");
	if (text[0] == '[' && text[len - 1] == ']' && len > 2) /* [::1]:8000 */
	{
		text++;
		len -= 2;
	}
	if (len >= size)
		return aut_fail(err, AUT_EINVAL, "the address is too long");
	if (!aut_int_parse(colon + 1, 1, 65535, &port))
		return aut_fail(err, AUT_EINVAL, "the port must be a number from 1 to 65535");
	memcpy(address, text, len);
	address[len] = '\0';
	*out_port = (uint16_t) port;
	return AUT_OK;
}
