/* SPDX-License-Identifier: MIT */
/*
 * standalone/agent_stub.c - the embedded agent as a stand-in that runs nothing: for tests and benchmarks.
 *
 * Uploads are kept in memory, downloads give them back.  A command ends at once with exit 0; if its
 * text names an uploaded environment file (…tar.gz.env) with AUTOMATION_CALLBACK_URL in it, the
 * completion callback is posted, and the command's end shows when that was answered.  The run's two
 * files are forgotten then, as the real command would have removed them.
 *
 * The engine's command (core/backend/command.c) would leave its exit code and its output in the state folder of
 * the attempt, and the engine's clean-up would remove them.  Both are imitated, so that a run costs the engine
 * the calls it costs with programs that run.
 *
 * What it keeps is bounded by FILES_BYTES_MAX; over that an upload fails, which is what a full disk
 * would do.
 */
#include <string.h>

#include "standalone/agent_internal.h"

#define BUCKETS             4096
#define FILES_BYTES_MAX     ((size_t) 512 << 20)
#define CALLBACK_TIMEOUT_MS 30000
#define OUTPUT              "the stand-in ran nothing\n"

typedef struct stub_file
{
	struct stub_file *next;
	char *path;
	char *data;
	size_t len;
} stub_file;

struct agentd_stub
{
	agentd *agent;
	stub_file *buckets[BUCKETS];
	size_t bytes;
};

/* ---- files ------------------------------------------------------------------------------------------- */

static stub_file **
file_slot(agentd_stub *stub, const char *path)
{
	size_t hash = 5381;
	stub_file **slot;

	for (const char *c = path; *c != '\0'; c++)
	{
		hash = hash * 33 + (unsigned char) *c;
	}
	slot = &stub->buckets[hash % BUCKETS];
	while (*slot != NULL && strcmp((*slot)->path, path) != 0)
	{
		slot = &(*slot)->next;
	}
	return slot;
}

static void
file_remove(agentd_stub *stub, const char *path)
{
	stub_file **slot = file_slot(stub, path);
	stub_file *file = *slot;

	if (file != NULL)
	{
		*slot = file->next;
		stub->bytes -= file->len;
		aut_free(file->path);
		aut_free(file->data);
		aut_free(file);
	}
}

bool
agentd_stub_put(agentd_stub *stub, const char *path, const void *data, size_t len)
{
	stub_file *file;
	stub_file **slot;

	file_remove(stub, path);
	if (len > FILES_BYTES_MAX - stub->bytes)
	{
		return false;
	}
	file = aut_calloc(1, sizeof *file);
	if (file != NULL)
	{
		file->path = aut_strdup(path);
		file->data = aut_malloc(len + 1);
	}
	if (file == NULL || file->path == NULL || file->data == NULL)
	{
		aut_free(file != NULL ? file->path : NULL);
		aut_free(file != NULL ? file->data : NULL);
		aut_free(file);
		return false;
	}
	memcpy(file->data, data, len);
	file->data[len] = '\0';
	file->len = len;
	slot = file_slot(stub, path);
	*slot = file;
	stub->bytes += len;
	return true;
}

const void *
agentd_stub_get(const agentd_stub *stub, const char *path, size_t *out_len)
{
	/* looking does not change anything */
	stub_file *file = *file_slot((agentd_stub *) (uintptr_t) stub, path);

	if (file == NULL)
	{
		return NULL;
	}
	*out_len = file->len;
	return file->data;
}

aut_status
agentd_stub_new(agentd *agent, agentd_stub **out, aut_error *err)
{
	agentd_stub *stub = aut_calloc(1, sizeof *stub);

	if (stub == NULL)
	{
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	}
	stub->agent = agent;
	*out = stub;
	return AUT_OK;
}

void
agentd_stub_free(agentd_stub *stub)
{
	if (stub == NULL)
	{
		return;
	}
	for (size_t i = 0; i < BUCKETS; i++)
	{
		while (stub->buckets[i] != NULL)
		{
			file_remove(stub, stub->buckets[i]->path);
		}
	}
	aut_free(stub);
}

/* ---- the environment file ------------------------------------------------------------------------------- */

/* The path ending in .tar.gz.env that a command names, or NULL. */
static char *
find_env_path(const char *text)
{
	static const char suffix[] = ".tar.gz.env";
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-";
	const char *end = strstr(text, suffix);
	const char *begin = end;

	if (end == NULL)
	{
		return NULL;
	}
	while (begin > text && strchr(plain, begin[-1]) != NULL)
	{
		begin--;
	}
	return aut_strndup(begin, (size_t) (end - begin) + sizeof suffix - 1);
}

/* The value of `export NAME='…'` in an environment file, unquoted; NULL: absent or no memory. */
static char *
env_value(const char *file, const char *name)
{
	char line[96];
	const char *at;
	aut_buf value;

	(void) snprintf(line, sizeof line, "export %s='", name);
	at = strstr(file, line);
	if (at == NULL)
	{
		return NULL;
	}
	at += strlen(line);
	aut_buf_init(&value, 8192);
	while (*at != '\0')
	{
		if (strncmp(at, "'\\''", 4) == 0)
		{
			(void) aut_buf_putc(&value, '\'');
			at += 4;
		}
		else if (*at == '\'')
		{
			break;
		}
		else
		{
			(void) aut_buf_putc(&value, *at++);
		}
	}
	return aut_buf_take(&value, NULL);
}

/* ---- the state folder ---------------------------------------------------------------------------------- */

/* The path that a shell text assigns by `NAME=`, which is at the text's begin or after a newline; or NULL. */
static char *
assigned_path(const char *text, const char *name)
{
	size_t len = strlen(name);
	const char *at = text;
	const char *end;

	while (at != NULL && strncmp(at, name, len) != 0)
	{
		at = strchr(at, '\n');
		at = at != NULL ? at + 1 : NULL;
	}
	if (at == NULL)
	{
		return NULL;
	}
	at += len;
	at += *at == '\'' ? 1 : 0;
	end = at + strcspn(at, "'\n ;");
	return aut_strndup(at, (size_t) (end - at));
}

/* Put (text NULL: forget) a file of the folder.  Without memory for it the run looks as if it went on. */
static void
state_file(agentd_stub *stub, const char *folder, const char *name, const char *text)
{
	char *path = aut_printf("%s/%s", folder, name);

	if (path != NULL && text != NULL)
	{
		(void) agentd_stub_put(stub, path, text, strlen(text));
	}
	else if (path != NULL)
	{
		file_remove(stub, path);
	}
	aut_free(path);
}

/* The command ends: with its output and exit code in the state folder, if it is one of the engine's. */
static void
finish(agentd_stub *stub, agentd_command *command)
{
	char *folder =
		strncmp(command->text, "_d=", 3) == 0 ? assigned_path(command->text, "_d=") : NULL;

	if (folder != NULL)
	{
		state_file(stub, folder, "out.0", OUTPUT);
		state_file(stub, folder, "exit", "0 - 0 +\n" OUTPUT);
	}
	aut_free(folder);
	agentd_command_finish(command, 0, NULL);
}

/* A clean-up of the engine's removes the state folders of runs that its text lists: for d in '…' '…'. */
static void
clean_up(agentd_stub *stub, const char *text)
{
	const char *at = strstr(text, "rm -rf $f") != NULL ? strstr(text, "\nfor d in '") : NULL;

	at = at != NULL ? strchr(at, '\'') : NULL;
	while (at != NULL && *at == '\'')
	{
		size_t len = strcspn(at + 1, "'\n");
		char *folder = aut_strndup(at + 1, len);

		if (folder != NULL)
		{
			state_file(stub, folder, "out.0", NULL);
			state_file(stub, folder, "exit", NULL);
		}
		aut_free(folder);
		at += 1 + len;
		at += *at == '\'' ? 1 : 0;
		at += *at == ' ' ? 1 : 0;
	}
}

/* ---- commands --------------------------------------------------------------------------------------------- */

static void
on_callback(void *payload, const aut_http_reply *reply)
{
	agentd_command *command = payload;

	if (reply->status != AUT_OK || reply->code >= 300)
	{
		aut_log(AUT_LOG_WARNING, "stub: callback of run %s: %d %s", command->run_id, reply->code,
				reply->error.message);
	}
	finish(command->agent->stub, command);
}

/* Post the completion; false: it could not be sent. */
static bool
post_callback(agentd_command *command, const char *url, const char *key)
{
	agentd *agent = command->agent;
	char *authorization = aut_printf("Authorization: Bearer %s", key != NULL ? key : "");
	char *body = aut_printf("{\"status\":\"COMPLETED\",\"run_id\":\"%s\"}", command->run_id);
	const char *headers[] = {authorization, NULL};
	aut_http_request request = {0};
	bool ok = authorization != NULL && body != NULL;

	if (ok)
	{
		request.method = "POST";
		request.url = url;
		request.headers = key != NULL ? headers : NULL;
		request.body = body;
		request.body_len = strlen(body);
		request.content_type = "application/json";
		request.timeout_ms = CALLBACK_TIMEOUT_MS;
		request.cb = on_callback;
		request.payload = command;
		ok = aut_http_send(agent->client, &request, NULL, NULL) == AUT_OK;
	}
	if (ok)
	{
		agentd_log_call(agent, "CALLBACK", url, command->run_id);
	}
	aut_free(authorization);
	aut_free(body);
	return ok;
}

void
agentd_stub_start(agentd_stub *stub, agentd_command *command)
{
	char *path = find_env_path(command->text);
	size_t len = 0;
	const char *file = path != NULL ? agentd_stub_get(stub, path, &len) : NULL;
	char *url = NULL;
	char *key = NULL;
	bool waiting = false;

	if (file != NULL)
	{
		url = env_value(file, "AUTOMATION_CALLBACK_URL");
		key = env_value(file, "AUTOMATION_CALLBACK_API_KEY");
		file_remove(stub, path);
		path[strlen(path) - strlen(".env")] = '\0'; /* the tarball */
		file_remove(stub, path);
	}
	if (stub->agent->options.stub_callback && url != NULL && url[0] != '\0')
	{
		waiting = post_callback(command, url, key);
	}
	clean_up(stub, command->text);
	if (!waiting)
	{
		finish(stub, command);
	}
	aut_free(path);
	aut_free(url);
	aut_free(key);
}
