/* SPDX-License-Identifier: MIT */
/*
 * test/store/test_store_sqlite.c - the store suite over the SQLite driver, in a temporary folder.
 *
 * Prints one line per test and the sum in cmocka's words, so that one reader serves all layers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "standalone/sqlite_db.h"
#include "test/store/store_suite.h"

static int passed, failed;

static void
print_line(void *payload, const char *name, bool ok, const char *detail)
{
	(void) payload;
	printf("[%s] sqlite: %s%s%s\n", ok ? "       OK " : "  FAILED  ", name, ok ? "" : "\n    ",
		   detail);
	if (ok)
		passed++;
	else
		failed++;
}

int
main(void)
{
	static const char *const leftovers[] = {"", "-wal", "-shm", ".lock", ".new"};
	char folder[] = "/tmp/automation-store.XXXXXX";
	char path[64];
	aut_error error = AUT_ERROR_INIT;
	aut_db *db = NULL;

	if (mkdtemp(folder) == NULL)
	{
		perror("mkdtemp");
		return 1;
	}
	snprintf(path, sizeof(path), "%s/store.db", folder);
	if (aut_sqlite_open(path, NULL, &db, &error) != AUT_OK)
	{
		printf("[  FAILED  ] open: %s\n", error.message);
		failed++;
	}
	else
		aut_store_suite(db, 0, print_line, NULL);
	aut_db_close(db);
	for (size_t i = 0; i < sizeof(leftovers) / sizeof(leftovers[0]); i++)
	{
		snprintf(path, sizeof(path), "%s/store.db%s", folder, leftovers[i]);
		unlink(path);
	}
	rmdir(folder);
	printf("[  PASSED  ] %d test(s).\n", passed);
	if (failed > 0)
		printf("[  FAILED  ] %d test(s)\n", failed);
	return failed == 0 && passed > 0 ? 0 : 1;
}
