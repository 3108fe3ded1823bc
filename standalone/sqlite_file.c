/* SPDX-License-Identifier: MIT */
/*
 * standalone/sqlite_file.c - the store's file: whose it is, who has it, how it is made, opened, copied.
 *
 * Owns the rules by which a path becomes an open store:
 *
 *   PATH.lock   held with flock by the process that uses the store, with its pid inside; the kernel
 *               releases it when the process dies, so a stale file never locks anybody out
 *   PATH.new    a store in the making: it gets its name only when it is complete and on disk
 *
 * What is not ours is recognised from the first 100 bytes, read with read(2), before SQLite sees the
 * file: opening a database can roll back a journal or create files beside it, and foreign files are
 * never touched.  The application id is therefore in the main file from birth, never only in the WAL.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "standalone/sqlite_internal.h"

#define HEADER_SIZE      100
#define JOURNAL_LIMIT    "67108864" /* bytes a WAL file keeps after a checkpoint */
#define FULL_DISK_SAY_US (60 * AUT_US_PER_S)
#define VALUE_BYTES_MAX  (256 * 1024 * 1024)

/* ---- errors -------------------------------------------------------------------------------- */

static const struct
{
	int code; /* extended */
	aut_status status;
	char sqlstate[6];
} constraint_kinds[] = {
	{SQLITE_CONSTRAINT_UNIQUE, AUT_EUNIQUE, "23505"},
	{SQLITE_CONSTRAINT_PRIMARYKEY, AUT_EUNIQUE, "23505"},
	{SQLITE_CONSTRAINT_ROWID, AUT_EUNIQUE, "23505"},
	{SQLITE_CONSTRAINT_FOREIGNKEY, AUT_EINVAL, "23503"},
	{SQLITE_CONSTRAINT_NOTNULL, AUT_EINVAL, "23502"},
	{SQLITE_CONSTRAINT_CHECK, AUT_EINVAL, "23514"},
};

static aut_status
status_of(int code)
{
	switch (code & 0xff)
	{
		case SQLITE_BUSY:
		case SQLITE_LOCKED:
			return AUT_EBUSY;
		case SQLITE_FULL: /* not for ever: whoever asks again once there is room is served */
			return AUT_EUNAVAILABLE;
		case SQLITE_IOERR:
		case SQLITE_READONLY:
		case SQLITE_CANTOPEN:
		case SQLITE_PERM:
			return AUT_EIO;
		case SQLITE_CORRUPT:
		case SQLITE_NOTADB:
			return AUT_ECORRUPT;
		case SQLITE_NOMEM:
			return AUT_ENOMEM;
		case SQLITE_TOOBIG:
		case SQLITE_CONSTRAINT:
		case SQLITE_MISMATCH:
			return AUT_EINVAL;
		case SQLITE_INTERRUPT:
			return AUT_ETIMEOUT;
		default:
			return AUT_EDB;
	}
}

/* Whoever asked hears it, but the one who can help reads the log; once a minute is enough there. */
static void
log_full_disk(sqlite3 *handle)
{
	static int64_t said_us = AUT_TIME_NONE;
	int64_t now_us = aut_mono_us(aut_clock_system());

	if (said_us != AUT_TIME_NONE && now_us - said_us < FULL_DISK_SAY_US)
		return;
	said_us = now_us;
	aut_log(AUT_LOG_ERROR, "the disk with %s is full: nothing can be stored until there is room",
			handle != NULL ? sqlite3_db_filename(handle, STORE_SCHEMA) : "the database");
}

/* What the system said last about the file, or its log, that could not be written. */
static bool
says_full(sqlite3 *handle, int which)
{
	sqlite3_file *file = NULL;
	int why = 0;

	return sqlite3_file_control(handle, STORE_SCHEMA, which, &file) == SQLITE_OK && file != NULL &&
		   file->pMethods != NULL &&
		   file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &why) == SQLITE_OK &&
		   (why == ENOSPC || why == EDQUOT || why == EFBIG);
}

/* No room on the disk; or in a quota, or under a limit for files, which SQLITE_FULL does not tell. */
static bool
is_full(sqlite3 *handle, int code)
{
	return (code & 0xff) == SQLITE_FULL ||
		   ((code == SQLITE_IOERR_WRITE || code == SQLITE_IOERR_TRUNCATE) && handle != NULL &&
			(says_full(handle, SQLITE_FCNTL_JOURNAL_POINTER) ||
			 says_full(handle, SQLITE_FCNTL_FILE_POINTER)));
}

aut_status
aut__sqlite_error(sqlite3 *handle, int code, aut_error *err)
{
	bool full = is_full(handle, code);
	aut_status status = status_of(full ? SQLITE_FULL : code);
	const char *sqlstate = "";

	if (full)
		log_full_disk(handle);

	/* SQLITE_IOERR_NOMEM and the like are out of memory in disguise */
	if (code == SQLITE_IOERR_NOMEM)
		status = AUT_ENOMEM;
	for (size_t i = 0; i < sizeof(constraint_kinds) / sizeof(constraint_kinds[0]); i++)
	{
		if (constraint_kinds[i].code == code)
		{
			status = constraint_kinds[i].status;
			sqlstate = constraint_kinds[i].sqlstate;
		}
	}
	aut_fail(err, status, "%s",
			 full             ? sqlite3_errstr(SQLITE_FULL)
			 : handle != NULL ? sqlite3_errmsg(handle)
							  : sqlite3_errstr(code));
	if (err != NULL)
	{
		memcpy(err->sqlstate, sqlstate, strlen(sqlstate) + 1);
		if (status == AUT_EIO && handle != NULL)
			err->sys_errno = sqlite3_system_errno(handle);
	}
	return status;
}

aut_status
aut__sqlite_exec(sqlite3 *handle, const char *sql, aut_error *err)
{
	int rc = sqlite3_exec(handle, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? AUT_OK : aut__sqlite_error(handle, rc, err);
}

/* ---- the lock ------------------------------------------------------------------------------ */

aut_status
aut__sqlite_lock(const char *path, int *out_fd, aut_error *err)
{
	struct stat st;
	char text[32] = {0};
	char *lock_path;
	aut_status status = AUT_OK;
	int fd;

	/* Said here, before a lock file appears beside a folder. */
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return aut_fail(err, AUT_EINVAL, "%s is a directory, not a database file", path);
	lock_path = aut_printf("%s.lock", path);
	if (lock_path == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		status = aut_fail_errno(err, AUT_EIO, errno, "cannot write in the folder of %s", path);
	else if (flock(fd, LOCK_EX | LOCK_NB) != 0)
	{
		if (errno != EWOULDBLOCK)
			status = aut_fail_errno(err, AUT_EIO, errno, "cannot lock %s", lock_path);
		else
		{
			ssize_t got = pread(fd, text, sizeof(text) - 1, 0);

			/* The holder may be between taking the lock and writing its name. */
			text[got > 0 ? strcspn(text, "\n") : 0] = '\0';
			status = aut_fail(err, AUT_EBUSY, "%s is in use by process %s", path,
							  text[0] != '\0' ? text : "(starting)");
		}
	}
	else if (ftruncate(fd, 0) != 0 || dprintf(fd, "%ld\n", (long) getpid()) < 0)
		status = aut_fail_errno(err, AUT_EIO, errno, "cannot write %s", lock_path);
	if (status == AUT_OK)
		*out_fd = fd;
	else if (fd >= 0)
		close(fd);
	aut_free(lock_path);
	return status;
}

void
aut__sqlite_unlock(int fd)
{
	if (fd < 0)
		return;
	/* The file stays: removing it would let two processes hold two locks of one name. */
	if (ftruncate(fd, 0) != 0)
	{
		/* only its content is stale, and nobody reads that without the lock being held */
	}
	close(fd);
}

/* ---- connecting ---------------------------------------------------------------------------- */

static aut_status
configure(sqlite3 *handle, aut_error *err)
{
	int rc = sqlite3_db_config(handle, SQLITE_DBCONFIG_MAINDBNAME, STORE_SCHEMA);

	if (rc == SQLITE_OK)
		rc = sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_db_config(handle, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_db_config(handle, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	if (rc != SQLITE_OK)
		return aut__sqlite_error(handle, rc, err);
	sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX);
	sqlite3_limit(handle, SQLITE_LIMIT_ATTACHED, 0);
	return AUT_OK;
}

/* Open path with flags; the handle is closed on failure. */
static aut_status
open_handle(const char *path, int flags, int busy_timeout_ms, sqlite3 **out, aut_error *err)
{
	sqlite3 *handle = NULL;
	int rc =
		sqlite3_open_v2(path, &handle, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
	aut_status status;

	if (rc != SQLITE_OK)
		status = aut__sqlite_error(handle, rc, err);
	else
		status = configure(handle, err);
	if (status == AUT_OK)
	{
		sqlite3_busy_timeout(handle, busy_timeout_ms);
		*out = handle;
		return AUT_OK;
	}
	sqlite3_close(handle);
	aut_error_context(err, "%s", path);
	return status;
}

/* The first column of the first row, or 0 without a row. */
static aut_status
query_number(sqlite3 *handle, const char *sql, int64_t *out, aut_error *err)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(handle, sql, -1, &stmt, NULL);
	aut_status status = AUT_OK;

	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		*out = sqlite3_column_int64(stmt, 0);
	else if (rc == SQLITE_DONE)
		*out = 0;
	else
		status = aut__sqlite_error(handle, rc, err);
	sqlite3_finalize(stmt);
	return status;
}

static aut_status
query_is(sqlite3 *handle, const char *sql, const char *expected, aut_error *err)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(handle, sql, -1, &stmt, NULL);
	aut_status status = AUT_OK;

	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc != SQLITE_ROW)
		status = aut__sqlite_error(handle, rc, err);
	else
	{
		const unsigned char *text = sqlite3_column_text(stmt, 0);

		if (text == NULL || strcmp((const char *) text, expected) != 0)
			status = aut_fail(err, AUT_EIO, "%s gave %s instead of %s", sql,
							  text == NULL ? "nothing" : (const char *) text, expected);
	}
	sqlite3_finalize(stmt);
	return status;
}

static aut_status
check_version(const char *path, int64_t version, aut_error *err)
{
	if (version > AUT_STORE_VERSION)
		return aut_fail(err, AUT_EUNSUPPORTED,
						"%s was made by a newer version of automation (store version %" PRId64
						", this program knows %d)",
						path, version, AUT_STORE_VERSION);
	if (version < AUT_STORE_VERSION)
		return aut_fail(err, AUT_EUNSUPPORTED,
						"%s has store version %" PRId64 ", this program needs %d", path, version,
						AUT_STORE_VERSION);
	return AUT_OK;
}

aut_status
aut__sqlite_connect(const char *path, const aut_sqlite_options *options, sqlite3 **out,
					aut_error *err)
{
	sqlite3 *handle = NULL;
	int64_t version = 0;
	aut_status status =
		open_handle(path, SQLITE_OPEN_READWRITE, options->busy_timeout_ms, &handle, err);

	if (status != AUT_OK)
		return status;
	status = query_is(handle, "PRAGMA journal_mode = WAL", "wal", err);
	if (status == AUT_OK)
		status =
			aut__sqlite_exec(handle,
							 options->durability == AUT_SQLITE_FULL ? "PRAGMA synchronous = FULL"
																	: "PRAGMA synchronous = NORMAL",
							 err);
	/* Checkpoints are the driver's: when idle, not in the middle of a busy turn. */
	if (status == AUT_OK)
		status = aut__sqlite_exec(handle,
								  "PRAGMA foreign_keys = ON;"
								  "PRAGMA cell_size_check = ON;"
								  "PRAGMA secure_delete = FAST;"
								  "PRAGMA temp_store = MEMORY;"
								  "PRAGMA cache_size = -16384;"
								  "PRAGMA journal_size_limit = " JOURNAL_LIMIT ";"
								  "PRAGMA wal_autocheckpoint = 0",
								  err);
	if (status == AUT_OK)
		status = query_number(handle, "PRAGMA user_version", &version, err);
	if (status == AUT_OK)
		status = check_version(path, version, err);
	else
		aut_error_context(err, "%s", path);
	if (status != AUT_OK)
	{
		sqlite3_close(handle);
		return status;
	}
	*out = handle;
	return AUT_OK;
}

/* ---- whose file is it? --------------------------------------------------------------------- */

static uint32_t
big_endian(const uint8_t *at)
{
	return (uint32_t) at[0] << 24 | (uint32_t) at[1] << 16 | (uint32_t) at[2] << 8 | at[3];
}

/* Open only to read.  "immutable" promises SQLite that nobody changes the file: it then takes no locks
 * and creates nothing beside it. */
static aut_status
open_to_read(const char *path, bool immutable, sqlite3 **out, aut_error *err)
{
	aut_buf uri;
	aut_status status;

	aut_buf_init(&uri, 16384);
	aut_buf_puts(&uri, "file:");
	aut_url_encode(&uri, path, strlen(path), "/");
	aut_buf_puts(&uri, immutable ? "?immutable=1" : "?mode=ro");
	if (uri.status != AUT_OK)
		status = aut_fail(err, uri.status, "the path of the database is too long");
	else
		status = open_handle(uri.data, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, 0, out, err);
	aut_buf_done(&uri);
	return status;
}

/* Does a foreign database have the reference implementation's version table? */
static bool
has_alembic_version(const char *path)
{
	sqlite3 *handle = NULL;
	int64_t count = 0;

	if (open_to_read(path, true, &handle, NULL) == AUT_OK)
	{
		if (query_number(handle,
						 "SELECT count(*) FROM sqlite_schema WHERE name = 'alembic_version'",
						 &count, NULL) != AUT_OK)
			count = 0;
		sqlite3_close(handle);
	}
	return count > 0;
}

static aut_status
check_header(const char *path, const uint8_t *header, size_t len, aut_error *err)
{
	if (len < HEADER_SIZE || memcmp(header, "SQLite format 3", 16) != 0)
		return aut_fail(err, AUT_ECORRUPT, "%s is not an SQLite database, or is damaged", path);
	if (big_endian(header + 68) == STORE_APPLICATION_ID)
		return AUT_OK;
	if (has_alembic_version(path))
		return aut_fail(
			err, AUT_EUNSUPPORTED,
			"%s was made by the reference implementation (it has a table alembic_version); "
			"it is left as it is: give another path",
			path);
	return aut_fail(err, AUT_EINVAL,
					"%s is a database of another program; it is left as it is: give another path",
					path);
}

/* ---- making a store ------------------------------------------------------------------------ */

static aut_status
sync_folder_of(const char *path, aut_error *err)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash == NULL   ? aut_strdup(".")
				   : slash == path ? aut_strdup("/")
								   : aut_strndup(path, (size_t) (slash - path));
	aut_status status = AUT_OK;
	int fd;

	if (folder == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* some file systems refuse fsync on a folder; then there is nothing more to do */
	if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL))
		status = aut_fail_errno(err, AUT_EIO, errno, "cannot sync the folder %s", folder);
	if (fd >= 0)
		close(fd);
	aut_free(folder);
	return status;
}

static aut_status
create_private(const char *path, aut_error *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return aut_fail_errno(err, AUT_EIO, errno, "cannot create %s", path);
	close(fd);
	return AUT_OK;
}

/* The whole store in one transaction of a rollback journal; WAL comes at the first connect. */
static aut_status
fill_new(const char *path, aut_error *err)
{
	sqlite3 *handle = NULL;
	char *settings = NULL;
	aut_status status = open_handle(path, SQLITE_OPEN_READWRITE, 0, &handle, err);

	if (status != AUT_OK)
		return status;
	settings =
		aut_printf("PRAGMA synchronous = FULL; PRAGMA journal_mode = DELETE; BEGIN IMMEDIATE;"
				   "PRAGMA application_id = %d; PRAGMA user_version = %d",
				   STORE_APPLICATION_ID, AUT_STORE_VERSION);
	if (settings == NULL)
		status = aut_fail(err, AUT_ENOMEM, "out of memory");
	if (status == AUT_OK)
		status = aut__sqlite_exec(handle, settings, err);
	if (status == AUT_OK)
		status = aut__sqlite_exec(handle, aut_store_schema(AUT_DIALECT_SQLITE), err);
	if (status == AUT_OK)
		status = aut__sqlite_exec(handle, "COMMIT", err);
	aut_free(settings);
	sqlite3_close(handle);
	return status;
}

static aut_status
make_store(const char *path, aut_error *err)
{
	char *new_path = aut_printf("%s.new", path);
	char *journal = aut_printf("%s.new-journal", path);
	aut_status status = AUT_OK;

	if (new_path == NULL || journal == NULL)
		status = aut_fail(err, AUT_ENOMEM, "out of memory");
	/* What an earlier crash left; the lock makes it nobody's.  An old journal would be rolled back
	 * into the new file. */
	else if ((unlink(new_path) != 0 && errno != ENOENT) ||
			 (unlink(journal) != 0 && errno != ENOENT))
		status = aut_fail_errno(err, AUT_EIO, errno, "cannot remove %s", new_path);
	else
		status = create_private(new_path, err);
	if (status == AUT_OK)
	{
		status = fill_new(new_path, err);
		if (status == AUT_OK && rename(new_path, path) != 0)
			status = aut_fail_errno(err, AUT_EIO, errno, "cannot create %s", path);
		if (status != AUT_OK)
			unlink(new_path);
		else
			status = sync_folder_of(path, err);
	}
	aut_free(new_path);
	aut_free(journal);
	return status;
}

aut_status
aut__sqlite_prepare_file(const char *path, bool create, aut_error *err)
{
	uint8_t header[HEADER_SIZE];
	struct stat st;
	ssize_t got;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 && errno == ENOENT)
		return create ? make_store(path, err)
					  : aut_fail(err, AUT_ENOTFOUND, "there is no database at %s", path);
	if (fd < 0)
		return aut_fail_errno(err, AUT_EIO, errno, "cannot read %s", path);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
	{
		close(fd);
		return aut_fail(err, AUT_EINVAL, "%s is not a regular file", path);
	}
	got = pread(fd, header, sizeof(header), 0);
	close(fd);
	if (got < 0)
		return aut_fail_errno(err, AUT_EIO, errno, "cannot read %s", path);
	if (got == 0)
		return create ? make_store(path, err)
					  : aut_fail(err, AUT_ENOTFOUND, "the database at %s is empty", path);
	return check_header(path, header, (size_t) got, err);
}

/* ---- backup -------------------------------------------------------------------------------- */

static aut_status
copy_pages(sqlite3 *from, sqlite3 *to, aut_error *err)
{
	sqlite3_backup *backup = sqlite3_backup_init(to, STORE_SCHEMA, from, STORE_SCHEMA);
	int rc;

	if (backup == NULL)
		return aut__sqlite_error(to, sqlite3_errcode(to), err);
	/* All in one step: one snapshot, which in WAL mode keeps no writer waiting. */
	sqlite3_backup_step(backup, -1);
	rc = sqlite3_backup_finish(backup);
	return rc == SQLITE_OK ? AUT_OK : aut__sqlite_error(to, rc, err);
}

static aut_status
copy_store(sqlite3 *from, const char *to_path, aut_error *err)
{
	sqlite3 *to = NULL;
	aut_status status = open_handle(to_path, SQLITE_OPEN_READWRITE, 0, &to, err);

	if (status == AUT_OK)
		status = copy_pages(from, to, err);
	/* Out of WAL mode, so that the copy is one file and can be checked without leaving others. */
	if (status == AUT_OK)
		status = query_is(to, "PRAGMA journal_mode = DELETE", "delete", err);
	if (status == AUT_OK)
		status = query_is(to, "PRAGMA quick_check(1)", "ok", err);
	if (to != NULL)
		sqlite3_close(to);
	return status;
}

aut_status
aut_sqlite_backup(const char *path, const char *to, aut_error *err)
{
	static const aut_sqlite_options options = {false, AUT_SQLITE_FULL, 5000};
	sqlite3 *from = NULL;
	char *part = aut_printf("%s.part", to);
	bool made = false;
	aut_status status = AUT_OK;

	if (part == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	if (access(to, F_OK) == 0)
		status = aut_fail(err, AUT_EEXISTS, "%s exists; a backup overwrites nothing", to);
	if (status == AUT_OK)
		status = aut__sqlite_prepare_file(path, false, err);
	if (status == AUT_OK)
		status = aut__sqlite_connect(path, &options, &from, err);
	if (status == AUT_OK)
		status = create_private(part, err);
	made = status == AUT_OK;
	if (status == AUT_OK)
		status = copy_store(from, part, err);
	/* link, unlike rename, refuses a name that was taken meanwhile; some file systems have no links */
	if (status == AUT_OK && link(part, to) != 0 && (errno == EEXIST || rename(part, to) != 0))
		status = aut_fail_errno(err, errno == EEXIST ? AUT_EEXISTS : AUT_EIO, errno,
								"cannot create %s", to);
	if (made)
		unlink(part);
	if (status == AUT_OK)
		status = sync_folder_of(to, err);
	if (from != NULL)
		sqlite3_close(from);
	aut_free(part);
	return status;
}

/* ---- a look at it ---------------------------------------------------------------------------- */

/* Is there something in the WAL, so that the file alone is not the whole store? */
static bool
has_wal(const char *path)
{
	char *wal = aut_printf("%s-wal", path);
	struct stat st;
	bool has = wal == NULL || (stat(wal, &st) == 0 && st.st_size > 0);

	aut_free(wal);
	return has;
}

/* Keep daemons away for as long as *out_fd is open (-1: none was ever here); makes no file. */
static aut_status
keep_away(const char *path, int *out_fd, aut_error *err)
{
	char *lock_path = aut_printf("%s.lock", path);
	aut_status status = AUT_OK;
	int fd;

	if (lock_path == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	fd = open(lock_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno != ENOENT)
		status = aut_fail_errno(err, AUT_EIO, errno, "cannot read %s", lock_path);
	else if (fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0)
	{
		status = errno == EWOULDBLOCK
					 ? aut_fail(err, AUT_EBUSY, "%s is in use", path)
					 : aut_fail_errno(err, AUT_EIO, errno, "cannot lock %s", lock_path);
		close(fd);
	}
	else
		*out_fd = fd;
	aut_free(lock_path);
	return status;
}

aut_status
aut_sqlite_check(const char *path, aut_error *err)
{
	sqlite3 *handle = NULL;
	int64_t version = 0;
	int lock = -1;
	aut_status status = keep_away(path, &lock, err);

	if (status == AUT_OK)
		status = aut__sqlite_prepare_file(path, false, err);
	if (status == AUT_OK)
		status = open_to_read(path, !has_wal(path), &handle, err);
	if (status == AUT_OK)
	{
		status = query_number(handle, "PRAGMA user_version", &version, err);
		if (status == AUT_OK)
			status = check_version(path, version, err);
		if (status == AUT_OK)
			status = query_is(handle, "PRAGMA quick_check(1)", "ok", err);
		if (status != AUT_OK && status != AUT_EUNSUPPORTED)
			aut_error_context(err, "%s", path);
		sqlite3_close(handle);
	}
	if (lock >= 0)
		close(lock);
	return status;
}
