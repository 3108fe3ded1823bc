/* SPDX-License-Identifier: MIT */
/*
 * standalone/cmd_backup.c - `automation backup FILE`: a copy of the daemon's database.
 *
 * Reads the file itself, with or without a daemon: SQLite's backup takes one snapshot and keeps no
 * writer waiting.  What the copy is called, and that it is whole, the driver sees to.  The API key is
 * not in it, nor are the work folders of runs.
 */
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "standalone/client_priv.h"
#include "standalone/serve_priv.h"
#include "standalone/sqlite_db.h"

extern char **environ;

/* The database that `serve` would use with the same --data and --db. */
static aut_status
find_database(const client_args *a, char **out, aut_error *err)
{
	char *argv[6] = {(char *) (uintptr_t) "backup"};
	int argc = 1;
	serve_config config;
	aut_status status;

	if (a->data != NULL)
	{
		argv[argc++] = (char *) (uintptr_t) "--data";
		argv[argc++] = (char *) (uintptr_t) a->data;
	}
	if (a->db != NULL)
	{
		argv[argc++] = (char *) (uintptr_t) "--db";
		argv[argc++] = (char *) (uintptr_t) a->db;
	}
	status = serve_config_read(&config, argc, argv, environ, err);
	if (status == AUT_OK)
	{
		*out = config.db_path;
		config.db_path = NULL;
	}
	serve_config_done(&config);
	return status;
}

static aut_status
report(client *c, const char *path, aut_error *err)
{
	struct stat st;
	json_t *reply;
	aut_status status;

	if (stat(c->args->operand, &st) != 0)
		st.st_size = 0; /* renamed already by somebody; that it was made is what counts */
	if (!c->args->json)
	{
		(void) fprintf(stderr, "copied: %lld bytes, checked\n", (long long) st.st_size);
		return AUT_OK;
	}
	reply = json_pack("{s:s, s:s, s:I}", "database", path, "file", c->args->operand, "bytes",
					  (json_int_t) st.st_size);
	if (reply == NULL)
		return aut_fail(err, AUT_EINVAL,
						"a path is not valid UTF-8; the copy is made all the same");
	status = client_print_json(c, reply, err);
	json_decref(reply);
	return status;
}

aut_status
client_cmd_backup(client *c, aut_error *err)
{
	char *path = NULL;
	mode_t before;
	aut_status status = AUT_OK;

	if (c->args->url != NULL)
		return client_usage(c, err,
							"a backup reads the file on this machine; --url has no use here");
	status = find_database(c->args, &path, err);
	if (status == AUT_OK)
	{
		/* what stands in it is nobody else's to read */
		before = umask(077);
		status = aut_sqlite_backup(path, c->args->operand, err);
		(void) umask(before);
	}
	if (status == AUT_OK)
		status = report(c, path, err);
	aut_free(path);
	return status;
}
