/* SPDX-License-Identifier: MIT */
/*
 * standalone/client_words.c - names and run ids for a shell that completes a command.
 *
 *   automation completion words KIND [--data DIR] [--url URL] [--api-key KEY]
 *
 * KIND is made of letters of what may stand there: "names", "runs", "live" (runs that can be cancelled), or
 * two of them with a comma.  One word a line, and behind a tab what tells runs apart.  A person waits at
 * the other end, in the middle of typing: so it takes a second at most, never complains, and says
 * nothing when no daemon is there.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "standalone/client_priv.h"

#define PAGE       100
#define PAGES_MAX  10 /* of names */
#define GIVE_UP_S  1
#define WORD_BYTES 65536

/* What was found is printed whole at the end: nothing is better than half. */
static void
give_up(int signum)
{
	(void) signum;
	_exit(AUT_COMMAND_OK);
}

/* A line of its own needs a word without control characters. */
static void
put_word(aut_buf *out, const char *word, const char *about, const char *more)
{
	aut_buf line;

	aut_buf_init(&line, 4096);
	(void) client_escape(word, strlen(word), &line);
	if (line.status == AUT_OK && line.len > 0 && strcmp(line.data, word) == 0)
	{
		(void) aut_buf_append(out, line.data, line.len);
		aut_buf_clear(&line);
		(void) client_escape(about, strlen(about), &line);
		if (line.status == AUT_OK && line.len > 0)
			(void) aut_buf_printf(out, "\t%s %s", line.data, more);
		(void) aut_buf_putc(out, '\n');
	}
	aut_buf_done(&line);
}

static aut_status
put_names(client *c, aut_buf *out, aut_error *err)
{
	aut_status status = AUT_OK;
	size_t count = PAGE;

	for (int page = 0; status == AUT_OK && count == PAGE && page < PAGES_MAX; page++)
	{
		char path[64];
		json_t *reply = NULL;
		const json_t *list;

		(void) snprintf(path, sizeof path, "/v1?limit=%d&offset=%d", PAGE, page * PAGE);
		status = client_get(c, path, &reply, err);
		list = json_object_get(reply, "automations");
		count = json_array_size(list);
		for (size_t i = 0; i < count; i++)
			put_word(out, client_json_text(json_array_get(list, i), "name", ""), "", "");
		json_decref(reply);
	}
	return status;
}

static aut_status
put_runs(client *c, bool live, aut_buf *out, aut_error *err)
{
	char path[64];
	json_t *reply = NULL;
	const json_t *list;
	aut_status status;

	(void) snprintf(path, sizeof path, "/v1/all-runs?limit=%d", PAGE);
	status = client_get(c, path, &reply, err);
	list = json_object_get(reply, "runs");
	for (size_t i = 0; i < json_array_size(list); i++)
	{
		const json_t *run = json_array_get(list, i);
		const char *state = client_json_text(run, "status", "");

		if (!live || strcmp(state, "PENDING") == 0 || strcmp(state, "RUNNING") == 0)
			put_word(out, client_json_text(run, "id", ""),
					 client_json_text(run, "automation_name", ""), state);
	}
	json_decref(reply);
	return status;
}

const char *
client_word_kind(const char *command)
{
	const client_spec *spec = client_spec_find(command);
	const char *operand = spec != NULL && spec->operand != NULL ? spec->operand : "";

	if (strcmp(command, "cancel") == 0)
		return "live";
	if (strcmp(operand, "NAME|ID") == 0)
		return "names";
	return strstr(operand, "RUN") != NULL ? "names,runs" : NULL;
}

int
client_words(int argc, char **argv)
{
	client_args args;
	client c = {.args = &args, .clock = aut_clock_system()};
	aut_error err = AUT_ERROR_INIT;
	aut_buf out;
	aut_status status;

	client_args_init(&args);
	for (int i = 2; i + 1 < argc; i += 2)
	{
		if (strcmp(argv[i], "--data") == 0)
			args.data = argv[i + 1];
		else if (strcmp(argv[i], "--url") == 0)
			args.url = argv[i + 1];
		else if (strcmp(argv[i], "--api-key") == 0)
			args.api_key = argv[i + 1];
	}
	(void) signal(SIGALRM, give_up);
	(void) signal(SIGPIPE, give_up);
	(void) alarm(GIVE_UP_S);
	aut_buf_init(&c.story, WORD_BYTES);
	aut_buf_init(&out, 1048576);
	status = client_connect(&c, &err);
	if (status == AUT_OK && argc > 1 && strstr(argv[1], "names") != NULL)
		status = put_names(&c, &out, &err);
	if (status == AUT_OK && argc > 1 && strstr(argv[1], "runs") != NULL)
		status = put_runs(&c, false, &out, &err);
	if (status == AUT_OK && argc > 1 && strstr(argv[1], "live") != NULL)
		status = put_runs(&c, true, &out, &err);
	if (status == AUT_OK && out.status == AUT_OK && out.len > 0)
		(void) client_write(out.data, out.len, &err);
	aut_buf_done(&out);
	aut_buf_done(&c.story);
	client_disconnect(&c);
	return AUT_COMMAND_OK;
}
