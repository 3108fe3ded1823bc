/* SPDX-License-Identifier: MIT */
/*
 * standalone/agent_run.c - commands as processes.
 *
 * Each command is `/bin/sh -c TEXT` in a session and process group of its own, with /dev/null as input
 * and two pipes as output.  It counts as running until the shell has ended and every holder of the pipes
 * has closed them.  The exit code is the shell's, -s when signal s killed it, -1 after a timeout or
 * when it could not start.
 *
 *     timeout   what was printed so far is kept; SIGTERM to the group, a second later SIGKILL; exit -1.
 *               When the shell had ended and only a child held the pipes, nothing is killed.
 *     stop      SIGTERM to the group, a second later SIGKILL; output goes on being read.  When a child
 *               still holds the pipes then, they are let go.
 *
 * Output is made valid UTF-8 as it comes (a character split between two reads stays whole) and is
 * published in pieces of AGENTD_PIECE_CHARS characters, the rest with the exit code.
 *
 * Descriptors of the agent are close-on-exec; what a command inherits besides its three is a bug.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "standalone/agent_internal.h"

#define READ_MAX      65536
#define KILL_AFTER_MS 1000
#define TIMEOUT_S_MAX (INT64_MAX / 1000000)

/* The read end of one stream's pipe; memory until its close callback. */
typedef struct agentd_pipe
{
	uv_pipe_t uv;
	agentd_command *command; /* NULL: closing */
	int index;
} agentd_pipe;

typedef struct agentd_process
{
	uv_process_t uv;
	agentd_command *command; /* NULL: closing */
} agentd_process;

/* All reads of the loop's one thread; a tail of up to three bytes is put in front. */
static char read_buffer[4 + READ_MAX];

extern char **environ;

/* ---- environment ------------------------------------------------------------------------------------ */

/* Keys and settings of the agent and of the daemon that started it: a command must not see them. */
static bool
is_hidden(const char *entry)
{
	static const char *const prefixes[] = {"SESSION_API_KEY=",
										   "OH_SESSION_API_KEYS_",
										   "OH_SECRET_KEY=",
										   "AUTOMATION_",
										   "AI_AGENT=",
										   "GCS_SECRET_ACCESS_KEY=",
										   NULL};
	bool hidden = false;

	for (size_t i = 0; prefixes[i] != NULL && !hidden; i++)
	{
		hidden = strncmp(entry, prefixes[i], strlen(prefixes[i])) == 0;
	}
	return hidden;
}

char **
agentd_environment_new(void)
{
	size_t count = 0;
	size_t used = 0;
	char **copy;

	while (environ[count] != NULL)
	{
		count++;
	}
	copy = aut_calloc(count + 2, sizeof *copy);
	for (size_t i = 0; copy != NULL && i < count; i++)
	{
		if (!is_hidden(environ[i]) && (copy[used] = aut_strdup(environ[i])) != NULL)
		{
			used++;
		}
	}
	if (copy != NULL)
	{
		copy[used] = aut_strdup("AI_AGENT=openhands");
	}
	return copy;
}

void
agentd_environment_free(char **environment)
{
	for (size_t i = 0; environment != NULL && environment[i] != NULL; i++)
	{
		aut_free(environment[i]);
	}
	aut_free(environment);
}

/* ---- output -------------------------------------------------------------------------------------------- */

/* Bytes as valid text; NUL stays (JSON can carry it). */
static void
append_text(agentd_stream *stream, const char *bytes, size_t len)
{
	size_t before = stream->text.len;

	while (len > 0)
	{
		size_t part = strnlen(bytes, len);

		(void) aut_utf8_sanitize(&stream->text, bytes, part);
		bytes += part;
		len -= part;
		if (len > 0)
		{
			(void) aut_buf_putc(&stream->text, '\0');
			bytes++;
			len--;
		}
	}
	if (stream->text.status == AUT_OK && stream->text.len > before)
	{
		stream->chars += aut_utf8_length(stream->text.data + before, stream->text.len - before);
	}
}

/* Where the first AGENTD_PIECE_CHARS characters end. */
static size_t
piece_end(const agentd_stream *stream)
{
	const char *text = stream->text.data;
	size_t at = 0;

	for (size_t chars = 0; chars < AGENTD_PIECE_CHARS; chars++)
	{
		at++;
		while (at < stream->text.len && ((unsigned char) text[at] & 0xC0) == 0x80)
		{
			at++;
		}
	}
	return at;
}

/* Publish full pieces.  Out of memory: the text is lost, the command goes on. */
static void
publish(agentd_command *command, int index)
{
	agentd_stream *stream = &command->streams[index];

	while (stream->text.status == AUT_OK && stream->chars > AGENTD_PIECE_CHARS)
	{
		size_t len = piece_end(stream);
		char *piece = aut_malloc(len);

		if (piece != NULL)
		{
			memcpy(piece, stream->text.data, len);
			(void) agentd_output_add(command, index == 0 ? piece : NULL, index == 0 ? len : 0,
									 index == 1 ? piece : NULL, index == 1 ? len : 0, NULL);
		}
		memmove(stream->text.data, stream->text.data + len, stream->text.len - len);
		stream->text.len -= len;
		stream->chars -= AGENTD_PIECE_CHARS;
	}
	if (stream->text.status != AUT_OK)
	{
		aut_buf_clear(&stream->text);
		stream->chars = 0;
	}
}

/* `bytes` has room for the tail in front of it. */
static void
take_bytes(agentd_command *command, int index, char *bytes, size_t len)
{
	agentd_stream *stream = &command->streams[index];
	size_t whole;

	memcpy(bytes - stream->tail_len, stream->tail, stream->tail_len);
	bytes -= stream->tail_len;
	len += stream->tail_len;
	whole = aut_utf8_boundary(bytes, len);
	if (len - whole > 3)
	{
		whole = len; /* not the beginning of a character: it will be replaced */
	}
	stream->tail_len = len - whole;
	memcpy(stream->tail, bytes + whole, stream->tail_len);
	append_text(stream, bytes, whole);
	publish(command, index);
}

/* ---- the end ------------------------------------------------------------------------------------------- */

static void
on_pipe_closed(uv_handle_t *handle)
{
	aut_free(handle->data);
}

static void
close_stream(agentd_command *command, int index)
{
	agentd_pipe *read_end = command->streams[index].pipe;

	if (read_end != NULL)
	{
		command->streams[index].pipe = NULL;
		read_end->command = NULL;
		uv_close((uv_handle_t *) &read_end->uv, on_pipe_closed);
	}
}

static void
on_process_closed(uv_handle_t *handle)
{
	aut_free(handle->data);
}

static void
close_process(agentd_command *command)
{
	if (command->process != NULL)
	{
		command->process->command = NULL;
		uv_close((uv_handle_t *) &command->process->uv, on_process_closed);
		command->process = NULL;
	}
}

/* Answer those who waited: everybody, or only those who asked for the stop. */
static void
wake_waiters(agentd_command *command, bool all)
{
	agentd_waiter **at = &command->waiters;

	while (*at != NULL)
	{
		agentd_waiter *waiter = *at;

		if (waiter->for_output && !all)
		{
			at = &waiter->next;
			continue;
		}
		*at = waiter->next;
		if (waiter->request != NULL)
		{
			waiter->request->waiter = NULL;
			agentd_reply_json(waiter->request, 200,
							  waiter->for_output ? agentd_output_joined(command)
												 : json_pack("{s:b}", "success", 1));
		}
		aut_free(waiter);
	}
}

/* The text that was not published yet, and a character that never got complete. */
static char *
take_rest(agentd_command *command, int index, size_t *out_len)
{
	agentd_stream *stream = &command->streams[index];
	char *text = NULL;

	append_text(stream, stream->tail, stream->tail_len);
	stream->tail_len = 0;
	publish(command, index);
	*out_len = stream->text.len;
	if (stream->text.len > 0)
	{
		text = aut_buf_take(&stream->text, out_len);
		if (text == NULL)
		{
			*out_len = 0;
		}
	}
	return text;
}

void
agentd_command_finish(agentd_command *command, int exit_code, const char *err_text)
{
	size_t out_len = 0;
	size_t err_len = 0;
	char *out = take_rest(command, 0, &out_len);
	char *err = NULL;

	if (err_text != NULL)
	{
		err = aut_strdup(err_text);
		err_len = err != NULL ? strlen(err) : 0;
	}
	else
	{
		err = take_rest(command, 1, &err_len);
	}
	aut_timer_free(command->timer);
	command->timer = NULL;
	close_stream(command, 0);
	close_stream(command, 1);
	close_process(command);
	/* without memory for the end the command would seem to run for ever: retry without the text */
	if (!agentd_output_add(command, out, out_len, err, err_len, &exit_code))
	{
		(void) agentd_output_add(command, NULL, 0, NULL, 0, &exit_code);
	}
	wake_waiters(command, true);
	agentd_command_retire(command);
	command->agent->request_mono_us = aut_mono_us(aut_clock_system()); /* linger counts from here */
}

static void
finish_if_done(agentd_command *command)
{
	if (command->exited && (command->timed_out ||
							(command->streams[0].pipe == NULL && command->streams[1].pipe == NULL)))
	{
		agentd_command_finish(command, command->timed_out ? -1 : command->exit_code, NULL);
	}
}

static void
on_process_exit(uv_process_t *handle, int64_t status, int signum)
{
	agentd_process *process = handle->data;
	agentd_command *command = process->command;

	if (command != NULL)
	{
		command->exited = true;
		command->pid = 0;
		command->exit_code = signum != 0 ? -signum : (int) status;
		close_process(command);
		wake_waiters(command, false);
		finish_if_done(command);
	}
}

static void
on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
	(void) handle;
	(void) suggested;
	*out = uv_buf_init(read_buffer + 4, READ_MAX);
}

static void
on_read(uv_stream_t *handle, ssize_t len, const uv_buf_t *buffer)
{
	agentd_pipe *read_end = handle->data;
	agentd_command *command = read_end->command;

	if (command != NULL && len > 0)
	{
		take_bytes(command, read_end->index, buffer->base, (size_t) len);
	}
	else if (command != NULL && len < 0)
	{
		close_stream(command, read_end->index);
		finish_if_done(command);
	}
}

/* ---- signals and timers ---------------------------------------------------------------------------------- */

static void
signal_group(const agentd_command *command, int signum)
{
	if (command->pid > 0)
	{
		(void) kill(-command->pid, signum); /* ESRCH: it is just ending */
	}
}

static void
on_timer(void *payload)
{
	agentd_command *command = payload;

	if (command->timed_out || command->stopping)
	{
		/* the second after SIGTERM is over */
		if (command->exited)
		{
			if (command->stopping)
			{
				/* children that ignored SIGTERM hold the pipes, so the group still has its number */
				(void) kill(-command->group, SIGKILL);
			}
			agentd_command_finish(command, command->timed_out ? -1 : command->exit_code, NULL);
			return;
		}
		/* the shell will end now; should a child outside its group hold the pipes, they are let go after
		 * another second */
		signal_group(command, SIGKILL);
		aut_timer_set(command->timer, KILL_AFTER_MS);
		return;
	}
	command->timed_out = true;
	if (command->exited)
	{
		agentd_command_finish(command, -1, NULL); /* a child holds the pipes: it may live on */
		return;
	}
	for (int i = 0; i < 2; i++)
	{
		if (command->streams[i].pipe != NULL)
		{
			/* not closed: what a trap prints must not kill it by SIGPIPE */
			(void) uv_read_stop((uv_stream_t *) &command->streams[i].pipe->uv);
		}
	}
	signal_group(command, SIGTERM);
	aut_timer_set(command->timer, KILL_AFTER_MS);
}

void
agentd_command_stop(agentd_command *command)
{
	if (command->ended || command->stopping || command->timed_out || command->exited)
	{
		return;
	}
	command->stopping = true;
	signal_group(command, SIGTERM);
	if (command->timer != NULL)
	{
		aut_timer_set(command->timer, KILL_AFTER_MS);
	}
}

bool
agentd_command_wait(agentd_command *command, agentd_request *request, bool for_output)
{
	agentd_waiter *waiter = aut_calloc(1, sizeof *waiter);

	if (waiter == NULL)
	{
		return false;
	}
	waiter->request = request;
	waiter->for_output = for_output;
	waiter->next = command->waiters;
	command->waiters = waiter;
	request->waiter = waiter;
	return true;
}

/* ---- the beginning ----------------------------------------------------------------------------------------- */

/* A pipe whose read end the loop reads; the write end is the caller's. */
static int
open_stream(agentd_command *command, int index, int *out_write_end)
{
	agentd_pipe *read_end = aut_calloc(1, sizeof *read_end);
	int ends[2];
	int rc;

	if (read_end == NULL)
	{
		return UV_ENOMEM;
	}
	if (pipe2(ends, O_CLOEXEC) != 0)
	{
		rc = -errno;
		aut_free(read_end);
		return rc;
	}
	(void) uv_pipe_init(aut_loop_uv(command->agent->loop), &read_end->uv, 0);
	read_end->uv.data = read_end;
	read_end->command = command;
	read_end->index = index;
	command->streams[index].pipe = read_end;
	rc = uv_pipe_open(&read_end->uv, ends[0]);
	if (rc != 0)
	{
		(void) close(ends[0]);
		(void) close(ends[1]);
		return rc;
	}
	*out_write_end = ends[1];
	rc = uv_read_start((uv_stream_t *) &read_end->uv, on_alloc, on_read);
	return rc;
}

static int
spawn(agentd_command *command, const int write_ends[2])
{
	agentd_process *process = aut_calloc(1, sizeof *process);
	static char shell[] = "/bin/sh";
	static char flag[] = "-c";
	char *argv[] = {shell, flag, command->text, NULL};
	uv_stdio_container_t stdio[3];
	uv_process_options_t options;
	int rc;

	if (process == NULL)
	{
		return UV_ENOMEM;
	}
	memset(stdio, 0, sizeof stdio);
	memset(&options, 0, sizeof options);
	stdio[0].flags = UV_IGNORE; /* /dev/null */
	stdio[1].flags = UV_INHERIT_FD;
	stdio[1].data.fd = write_ends[0];
	stdio[2].flags = UV_INHERIT_FD;
	stdio[2].data.fd = write_ends[1];
	options.file = shell;
	options.args = argv;
	options.env = command->agent->environment;
	options.cwd = command->cwd;
	options.exit_cb = on_process_exit;
	options.flags = UV_PROCESS_DETACHED; /* setsid */
	options.stdio = stdio;
	options.stdio_count = 3;
	process->uv.data = process;
	process->command = command;
	command->process = process;
	rc = uv_spawn(aut_loop_uv(command->agent->loop), &process->uv, &options);
	if (rc == 0)
	{
		command->pid = process->uv.pid;
		command->group = command->pid;
	}
	return rc;
}

void
agentd_command_start(agentd_command *command)
{
	int write_ends[2] = {-1, -1};
	char text[512];
	int rc = 0;

	if (memchr(command->text, '\0', command->text_len) != NULL)
	{
		agentd_command_finish(command, -1, "Error executing command: embedded null byte");
		return;
	}
	if (aut_timer_new(command->agent->loop, on_timer, command, &command->timer, NULL) != AUT_OK)
	{
		rc = UV_ENOMEM;
	}
	for (int i = 0; i < 2 && rc == 0; i++)
	{
		rc = open_stream(command, i, &write_ends[i]);
	}
	if (rc == 0)
	{
		rc = spawn(command, write_ends);
	}
	for (int i = 0; i < 2; i++)
	{
		if (write_ends[i] >= 0)
		{
			(void) close(write_ends[i]);
		}
	}
	if (rc != 0)
	{
		const char *what =
			rc == UV_ENOENT || rc == UV_ENOTDIR || rc == UV_EACCES ? command->cwd : NULL;

		(void) snprintf(text, sizeof text, "Error executing command: [Errno %d] %s: '%.256s'", -rc,
						strerror(-rc), what != NULL ? what : "/bin/sh");
		agentd_command_finish(command, -1, text);
		return;
	}
	if (command->timeout_s <= 0)
	{
		on_timer(command);
	}
	else
	{
		int64_t timeout_s = command->timeout_s < TIMEOUT_S_MAX ? command->timeout_s : TIMEOUT_S_MAX;

		aut_timer_set(command->timer, timeout_s * 1000);
	}
}

void
agentd_command_abandon(agentd_command *command, int signum)
{
	if (signum != 0)
	{
		signal_group(command, signum);
	}
	aut_timer_free(command->timer);
	command->timer = NULL;
	close_stream(command, 0);
	close_stream(command, 1);
	close_process(command);
	for (agentd_waiter *waiter = command->waiters, *next; waiter != NULL; waiter = next)
	{
		next = waiter->next;
		if (waiter->request != NULL)
		{
			waiter->request->waiter = NULL;
		}
		aut_free(waiter);
	}
	command->waiters = NULL;
}
