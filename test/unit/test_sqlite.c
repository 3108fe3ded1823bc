/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_sqlite.c - the SQLite driver's file: making, opening, refusing, sharing, breaking,
 * copying.  What every driver promises is in the store suite.
 */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "standalone/sqlite_db.h"
#include "torture.h"

static char folder[64];
static char path[128];
static char other[128];
static aut_db *db;
static aut_error error;

static void
remove_folder(void)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	char name[512];

	while (dir != NULL && (entry = readdir(dir)) != NULL)
	{
		snprintf(name, sizeof(name), "%s/%s", folder, entry->d_name);
		if (entry->d_name[0] != '.')
			remove(name);
	}
	if (dir != NULL)
		closedir(dir);
	rmdir(folder);
}

static int
setup(void **state)
{
	(void) state;
	snprintf(folder, sizeof(folder), "/tmp/automation-sqlite.XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/store.db", folder);
	snprintf(other, sizeof(other), "%s/other.db", folder);
	error = (aut_error) AUT_ERROR_INIT;
	db = NULL;
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	aut_db_close(db);
	db = NULL;
	remove_folder();
	return 0;
}

static void
open_store(void)
{
	if (aut_sqlite_open(path, NULL, &db, &error) != AUT_OK)
		fail_msg("%s", error.message);
}

static void
close_store(void)
{
	aut_db_close(db);
	db = NULL;
}

static void
expect_refused(aut_status wanted, const char *message_part)
{
	aut_status status = aut_sqlite_open(path, NULL, &db, &error);

	assert_null(db);
	if (status != wanted || strstr(error.message, message_part) == NULL)
		fail_msg("%s: %s", aut_status_name(status), error.message);
}

static void
write_file(const char *name, const void *data, size_t len)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

/* Run SQL on a file with plain SQLite, as another program would. */
static void
foreign_sql(const char *name, const char *sql)
{
	sqlite3 *handle = NULL;
	char *message = NULL;

	assert_int_equal(sqlite3_open(name, &handle), SQLITE_OK);
	if (sqlite3_exec(handle, sql, NULL, NULL, &message) != SQLITE_OK)
		fail_msg("%s", message);
	sqlite3_close(handle);
}

static int64_t
foreign_number(const char *name, const char *sql)
{
	sqlite3 *handle = NULL;
	sqlite3_stmt *stmt = NULL;
	int64_t number;

	assert_int_equal(sqlite3_open_v2(name, &handle, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(handle, sql, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	number = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(handle);
	return number;
}

static void
read_file(const char *name, char *out, size_t size, size_t *len)
{
	FILE *file = fopen(name, "rb");

	assert_non_null(file);
	*len = fread(out, 1, size, file);
	fclose(file);
}

static int
count_files(void)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	int count = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL)
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

static int64_t
size_of(const char *name)
{
	struct stat st;

	return stat(name, &st) == 0 ? (int64_t) st.st_size : -1;
}

/* ---- rows to write ------------------------------------------------------------------------------ */

static aut_status
insert_named(const char *name, const char *prompt, aut_error *err)
{
	aut_automation automation = {
		.name = name,
		.prompt = prompt,
		.trigger = "{}",
		.trigger_type = "event",
		.tarball_path = "t",
		.entrypoint = "e",
		.state = "ACTIVE",
		.disabled_at = AUT_TIME_NONE,
		.deleted_at = AUT_TIME_NONE,
	};

	if (aut_uuid_v4(&automation.id, err) != AUT_OK)
		return err->code;
	return aut_store_automation_insert(db, &automation, err);
}

static int64_t
count_rows(void)
{
	aut_automation_list list = {0};
	int64_t total = -1;

	assert_int_equal(aut_store_automation_list(db, &AUT_UUID_NIL, AUT_CREATED_BY_ANY, NULL, 1, 0,
											   &list, &total, &error),
					 AUT_OK);
	aut_automation_list_done(&list);
	return total;
}

/* ---- making and opening ------------------------------------------------------------------------- */

static void
test_sqlite__new_store_is_private_and_complete(void **state)
{
	struct stat st;

	(void) state;
	umask(0);
	open_store();
	umask(022);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(insert_named("a", NULL, &error), AUT_OK);
	snprintf(other, sizeof(other), "%.100s-wal", path);
	assert_int_equal(stat(other, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	close_store();
	assert_int_equal(foreign_number(path, "PRAGMA user_version"), AUT_STORE_VERSION);
	assert_int_equal(foreign_number(path, "PRAGMA application_id"), 0x41555431);
	open_store();
	assert_int_equal(count_rows(), 1);
}

static void
test_sqlite__no_file_and_no_create_is_not_found(void **state)
{
	aut_sqlite_options options = AUT_SQLITE_OPTIONS_INIT;

	(void) state;
	options.create = false;
	assert_int_equal(aut_sqlite_open(path, &options, &db, &error), AUT_ENOTFOUND);
	assert_int_equal(size_of(path), -1);
	write_file(path, "", 0);
	assert_int_equal(aut_sqlite_open(path, &options, &db, &error), AUT_ENOTFOUND);
}

static void
test_sqlite__empty_file_becomes_a_store(void **state)
{
	(void) state;
	write_file(path, "", 0);
	open_store();
	assert_int_equal(count_rows(), 0);
}

static void
test_sqlite__leftovers_of_a_crash_while_making_do_no_harm(void **state)
{
	char name[160];

	(void) state;
	snprintf(name, sizeof(name), "%s.new", path);
	write_file(name, "half a database", 15);
	snprintf(name, sizeof(name), "%s.new-journal", path);
	write_file(name, "half a journal", 14);
	open_store();
	assert_int_equal(count_rows(), 0);
	assert_int_equal(size_of(name), -1);
}

/* ---- refusing ----------------------------------------------------------------------------------- */

static void
test_sqlite__directory_and_missing_folder_are_refused(void **state)
{
	(void) state;
	assert_int_equal(mkdir(path, 0700), 0);
	expect_refused(AUT_EINVAL, "is a directory");
	assert_int_equal(count_files(), 1);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/missing/store.db", folder);
	expect_refused(AUT_EIO, "cannot write in the folder");
	write_file(other, "x", 1);
	snprintf(path, sizeof(path), "%.100s/store.db", other);
	expect_refused(AUT_EIO, "cannot write in the folder");
}

static void
test_sqlite__unwritable_folder_is_refused(void **state)
{
	(void) state;
	if (geteuid() == 0)
	{
		/* root may write anywhere but here */
		snprintf(path, sizeof(path), "/proc/store.db");
		expect_refused(AUT_EIO, "cannot write in the folder");
		return;
	}
	assert_int_equal(chmod(folder, 0500), 0);
	expect_refused(AUT_EIO, "cannot write in the folder");
	assert_int_equal(chmod(folder, 0700), 0);
}

static void
test_sqlite__file_of_a_newer_version_is_refused_with_both_versions(void **state)
{
	char wanted[64];

	(void) state;
	open_store();
	close_store();
	foreign_sql(path, "PRAGMA user_version = 99");
	snprintf(wanted, sizeof(wanted), "store version 99, this program knows %d", AUT_STORE_VERSION);
	expect_refused(AUT_EUNSUPPORTED, wanted);
	foreign_sql(path, "PRAGMA user_version = 0");
	expect_refused(AUT_EUNSUPPORTED, "store version 0");
}

static void
expect_untouched_refusal(aut_status wanted, const char *message_part)
{
	static char before[65536], after[65536];
	size_t before_len, after_len;

	read_file(path, before, sizeof(before), &before_len);
	expect_refused(wanted, message_part);
	read_file(path, after, sizeof(after), &after_len);
	assert_int_equal(before_len, after_len);
	assert_memory_equal(before, after, before_len);
	assert_int_equal(count_files(), 2); /* it, and the lock */
}

static void
test_sqlite__file_of_the_reference_is_refused_and_not_touched(void **state)
{
	(void) state;
	foreign_sql(path, "CREATE TABLE alembic_version (version_num TEXT);"
					  "INSERT INTO alembic_version VALUES ('034'); CREATE TABLE automations (id)");
	expect_untouched_refusal(AUT_EUNSUPPORTED, "give another path");
}

static void
test_sqlite__file_of_another_program_is_refused_and_not_touched(void **state)
{
	(void) state;
	foreign_sql(path, "CREATE TABLE cookies (id)");
	expect_untouched_refusal(AUT_EINVAL, "another program");
	foreign_sql(path, "PRAGMA application_id = 77");
	expect_untouched_refusal(AUT_EINVAL, "another program");
}

static void
test_sqlite__file_that_is_no_database_is_refused_and_not_touched(void **state)
{
	(void) state;
	write_file(path, "hello", 5);
	expect_untouched_refusal(AUT_ECORRUPT, "not an SQLite database");
	write_file(path, "SQLite format 3", 16);
	expect_untouched_refusal(AUT_ECORRUPT, "not an SQLite database");
}

static void
test_sqlite__damaged_pages_are_reported_as_such(void **state)
{
	static const char garbage[4096] = {1, 2, 3, 4, 5, 6, 7, 8};
	int64_t size;
	int fd;
	aut_status status;

	(void) state;
	open_store();
	for (int i = 0; i < 200; i++)
		assert_int_equal(insert_named("a", "some text to fill pages with", &error), AUT_OK);
	close_store();
	size = size_of(path);
	fd = open(path, O_WRONLY);
	for (int64_t at = 4096; at < size; at += 4096) /* all but the first */
		assert_int_equal(pwrite(fd, garbage, sizeof(garbage), at), sizeof(garbage));
	close(fd);
	status = aut_sqlite_open(path, NULL, &db, &error);
	if (status == AUT_OK)
	{
		aut_automation_list list = {0};
		int64_t total;

		status = aut_store_automation_list(db, &AUT_UUID_NIL, AUT_CREATED_BY_ANY, NULL, 10, 0,
										   &list, &total, &error);
		aut_automation_list_done(&list);
	}
	assert_int_equal(status, AUT_ECORRUPT);
}

/* ---- sharing ------------------------------------------------------------------------------------ */

static void
test_sqlite__second_process_is_refused_and_told_who_has_it(void **state)
{
	char wanted[64];
	aut_db *second = NULL;
	aut_db *first;

	(void) state;
	open_store();
	first = db;
	db = NULL;
	/* the lock belongs to an open file, so this process can stand for another */
	snprintf(wanted, sizeof(wanted), "in use by process %ld", (long) getpid());
	expect_refused(AUT_EBUSY, wanted);
	aut_db_close(first);
	assert_int_equal(aut_sqlite_open(path, NULL, &second, &error), AUT_OK);
	aut_db_close(second);
}

static void
test_sqlite__lock_of_a_dead_process_is_no_obstacle(void **state)
{
	char name[160];

	(void) state;
	snprintf(name, sizeof(name), "%s.lock", path);
	write_file(name, "1\n", 2);
	open_store();
}

/* A program that commits for ever and tells the pipe after each commit. */
static void
commit_for_ever(int fd)
{
	int64_t count = 0;

	if (aut_sqlite_open(path, NULL, &db, &error) != AUT_OK)
		_exit(1);
	for (;;)
	{
		if (insert_named("a", NULL, &error) != AUT_OK)
			_exit(2);
		count++;
		if (write(fd, &count, sizeof(count)) != sizeof(count))
			_exit(3);
	}
}

static void
test_sqlite__killed_process_loses_nothing_it_was_told_is_kept(void **state)
{
	int64_t acknowledged = 0;

	(void) state;
	for (int round = 0; round < 5; round++)
	{
		int64_t told = 0;
		int pipe_fds[2];
		int status;
		pid_t pid;

		assert_int_equal(pipe(pipe_fds), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
		{
			close(pipe_fds[0]);
			commit_for_ever(pipe_fds[1]);
		}
		close(pipe_fds[1]);
		for (int i = 0; i < 20 + round * 13; i++)
			assert_int_equal(read(pipe_fds[0], &told, sizeof(told)), sizeof(told));
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		while (read(pipe_fds[0], &told, sizeof(told)) == sizeof(told))
		{
			/* what it still said before it died counts as well */
		}
		close(pipe_fds[0]);
		open_store();
		assert_true(count_rows() >= acknowledged + told);
		assert_true(count_rows() <= acknowledged + told + 1); /* at most one unsaid */
		acknowledged = count_rows();
		close_store();
	}
}

/* ---- full disks and check points ---------------------------------------------------------------- */

static aut_status
big_run(aut_unit *unit, aut_db *in, aut_error *err)
{
	static char prompt[256 * 1024];

	(void) unit;
	(void) in;
	memset(prompt, 'x', sizeof(prompt) - 1);
	return insert_named("big", prompt, err);
}

static aut_status told[4];

static void
big_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	(void) unit;
	(void) err;
	for (int i = 0; i < 4; i++)
	{
		if (told[i] == AUT_EINTERNAL)
		{
			told[i] = status;
			return;
		}
	}
}

static void
test_sqlite__full_disk_is_an_error_and_not_the_end(void **state)
{
	struct rlimit before, tight;
	aut_unit units[3];
	aut_turn turn;

	(void) state;
	open_store();
	assert_int_equal(insert_named("small", NULL, &error), AUT_OK);
	signal(SIGXFSZ, SIG_IGN); /* writes beyond the limit fail instead of killing */
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	tight = before;
	tight.rlim_cur = 300 * 1024;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	aut_turn_init(&turn, db);
	for (int i = 0; i < 3; i++)
	{
		told[i] = AUT_EINTERNAL;
		units[i] = (aut_unit){.run = big_run, .done = big_done};
		aut_turn_add(&turn, &units[i]);
	}
	told[3] = AUT_OK;
	aut_turn_flush(&turn);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_DFL);
	/* together they do not fit; each alone, the first one may */
	assert_int_equal(turn.repeats, 1);
	assert_int_equal(told[1], AUT_EUNAVAILABLE);
	assert_int_equal(told[2], AUT_EUNAVAILABLE);
	assert_false(db->in_transaction || db->failed);
	assert_int_equal(count_rows(), told[0] == AUT_OK ? 2 : 1);
	assert_int_equal(insert_named("later", NULL, &error), AUT_OK);
	close_store();
	open_store();
	assert_int_equal(count_rows(), told[0] == AUT_OK ? 3 : 2);
}

static void
test_sqlite__idle_moves_the_log_into_the_file(void **state)
{
	static char prompt[64 * 1024];
	int64_t before;

	(void) state;
	memset(prompt, 'x', sizeof(prompt) - 1);
	open_store();
	assert_int_equal(insert_named("a", NULL, &error), AUT_OK);
	before = size_of(path);
	aut_sqlite_idle(db);
	assert_int_equal(size_of(path), before); /* not worth it yet */
	for (int i = 0; i < 40; i++)
		assert_int_equal(insert_named("a", prompt, &error), AUT_OK);
	assert_int_equal(size_of(path), before); /* commits alone do not do it */
	assert_int_equal(aut_db_begin(db, &error), AUT_OK);
	aut_sqlite_idle(db);
	assert_int_equal(size_of(path), before); /* nor inside a transaction */
	aut_db_rollback(db);
	aut_sqlite_idle(db);
	assert_true(size_of(path) > before + 40 * 60000);
	assert_int_equal(count_rows(), 41);
}

/* ---- backup ------------------------------------------------------------------------------------- */

static void
test_sqlite__backup_of_a_store_in_use_is_complete(void **state)
{
	struct stat st;

	(void) state;
	open_store();
	for (int i = 0; i < 100; i++)
		assert_int_equal(insert_named("a", NULL, &error), AUT_OK);
	if (aut_sqlite_backup(path, other, &error) != AUT_OK)
		fail_msg("%s", error.message);
	assert_int_equal(insert_named("after", NULL, &error), AUT_OK);
	close_store();
	assert_int_equal(stat(other, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	snprintf(path, sizeof(path), "%s", other);
	open_store();
	assert_int_equal(count_rows(), 100);
}

static void
test_sqlite__backup_overwrites_nothing(void **state)
{
	(void) state;
	open_store();
	write_file(other, "precious", 8);
	assert_int_equal(aut_sqlite_backup(path, other, &error), AUT_EEXISTS);
	assert_int_equal(size_of(other), 8);
	assert_int_equal(
		aut_sqlite_backup("/tmp/automation-nowhere/x", "/tmp/automation-nowhere/y", &error),
		AUT_ENOTFOUND);
	unlink(other);
	write_file(other, "hello", 5);
	snprintf(path, sizeof(path), "%s/copy", folder);
	assert_int_equal(aut_sqlite_backup(other, path, &error), AUT_ECORRUPT);
	assert_int_equal(size_of(path), -1);
}

/* ---- no memory ---------------------------------------------------------------------------------- */

static aut_status
torture_unit(aut_unit *unit, aut_db *in, aut_error *err)
{
	aut_automation_list list = {0};
	aut_status status = insert_named("a", "p", err);

	(void) unit;
	if (status == AUT_OK)
		status = aut_store_automation_by_name(in, &AUT_UUID_NIL, "a", &list, err);
	aut_automation_list_done(&list);
	return status;
}

static aut_status turn_status;

static void
torture_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	(void) unit;
	(void) err;
	turn_status = status;
}

static aut_status
open_write_read_close(void *payload)
{
	aut_status status = aut_sqlite_open(path, NULL, &db, &error);
	aut_unit unit = {.run = torture_unit, .done = torture_done};
	aut_turn turn;

	(void) payload;
	if (status == AUT_OK)
	{
		aut_turn_init(&turn, db);
		aut_turn_add(&turn, &unit);
		aut_turn_flush(&turn);
		status = turn_status;
		/* what was told is what is kept, with or without memory */
		assert_false(db->in_transaction || db->failed);
	}
	close_store();
	unlink(path);
	return status;
}

static void
test_sqlite__every_allocation_may_fail(void **state)
{
	(void) state;
	torture(open_write_read_close, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_sqlite__new_store_is_private_and_complete),
		TEST(test_sqlite__no_file_and_no_create_is_not_found),
		TEST(test_sqlite__empty_file_becomes_a_store),
		TEST(test_sqlite__leftovers_of_a_crash_while_making_do_no_harm),
		TEST(test_sqlite__directory_and_missing_folder_are_refused),
		TEST(test_sqlite__unwritable_folder_is_refused),
		TEST(test_sqlite__file_of_a_newer_version_is_refused_with_both_versions),
		TEST(test_sqlite__file_of_the_reference_is_refused_and_not_touched),
		TEST(test_sqlite__file_of_another_program_is_refused_and_not_touched),
		TEST(test_sqlite__file_that_is_no_database_is_refused_and_not_touched),
		TEST(test_sqlite__damaged_pages_are_reported_as_such),
		TEST(test_sqlite__second_process_is_refused_and_told_who_has_it),
		TEST(test_sqlite__lock_of_a_dead_process_is_no_obstacle),
		TEST(test_sqlite__killed_process_loses_nothing_it_was_told_is_kept),
		TEST(test_sqlite__full_disk_is_an_error_and_not_the_end),
		TEST(test_sqlite__idle_moves_the_log_into_the_file),
		TEST(test_sqlite__backup_of_a_store_in_use_is_complete),
		TEST(test_sqlite__backup_overwrites_nothing),
		TEST(test_sqlite__every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
