/* SPDX-License-Identifier: MIT */
/*
 * standalone/agent_state.c - the embedded agent's folder, and how a daemon finds or starts the agent.
 *
 * DATA/agent.lock is locked (flock) for the life of the agent and names its pid: two agents cannot have
 * one folder.  DATA/agent.json (0600, written beside and renamed) says where it listens and with which
 * key.  The file may be stale after a crash, so aut_agent_ensure believes only an agent that answers
 * with the key of the file; a foreign process on the same port does not.
 *
 * Starting: a double fork with setsid between, so that the agent is nobody's child and outlives the
 * daemon; a pipe tells that it serves.  Between fork and exec only async-signal-safe calls are made,
 * because the daemon may have resolver threads.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "standalone/agent.h"
#include "standalone/agent_internal.h"

#define STATE_MAX        8192 /* bytes of agent.json */
#define START_TIMEOUT_MS 5000
#define ASK_TIMEOUT_MS   2000
#define LINGER_TEXT      "60"
#define READY_FD         3

/* ---- small files ---------------------------------------------------------------------------------------- */

/* A whole small file as text, NUL-terminated; NULL: not there, not readable or too large. */
static char *
read_small(const char *path)
{
	char *text = aut_malloc(STATE_MAX + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t n = 1;

	while (text != NULL && fd >= 0 && n > 0 && used < STATE_MAX)
	{
		n = read(fd, text + used, STATE_MAX - used);
		used += n > 0 ? (size_t) n : 0;
	}
	if (fd >= 0)
	{
		(void) close(fd);
	}
	if (text != NULL && (fd < 0 || n < 0 || used == STATE_MAX))
	{
		aut_free(text);
		text = NULL;
	}
	if (text != NULL)
	{
		text[used] = '\0';
	}
	return text;
}

aut_status
agentd_lock(const char *data, int *out_fd, aut_error *err)
{
	char *path = aut_printf("%s/agent.lock", data);
	char *owner = NULL;
	int fd = -1;
	aut_status status = AUT_OK;

	if (path == NULL)
	{
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	}
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
	{
		status = aut_fail_errno(err, AUT_EIO, errno, "cannot open %s", path);
		goto out;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) != 0)
	{
		if (errno != EWOULDBLOCK)
		{
			status = aut_fail_errno(err, AUT_EIO, errno, "cannot lock %s", path);
			goto out;
		}
		owner = read_small(path);
		status =
			aut_fail(err, AUT_ECONFLICT, "another agent has %s: pid %.*s", data,
					 owner != NULL ? (int) strcspn(owner, "\n") : 1, owner != NULL ? owner : "?");
		goto out;
	}
	/* only for people and for the message above: the lock itself is what counts */
	if (ftruncate(fd, 0) != 0 || dprintf(fd, "%ld\n", (long) getpid()) < 0)
	{
		status = aut_fail_errno(err, AUT_EIO, errno, "cannot write %s", path);
		goto out;
	}
	*out_fd = fd;
	fd = -1;

out:
	if (fd >= 0)
	{
		(void) close(fd);
	}
	aut_free(owner);
	aut_free(path);
	return status;
}

static aut_status
write_beside(const char *path, const char *text, size_t len, aut_error *err)
{
	char *temporary = aut_printf("%s.XXXXXX", path);
	int fd = -1;
	aut_status status = AUT_OK;

	if (temporary == NULL)
	{
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	}
	fd = mkostemp(temporary, O_CLOEXEC); /* 0600 */
	if (fd < 0)
	{
		status = aut_fail_errno(err, AUT_EIO, errno, "cannot make %s", temporary);
		goto out;
	}
	if (write(fd, text, len) != (ssize_t) len || rename(temporary, path) != 0)
	{
		status = aut_fail_errno(err, AUT_EIO, errno, "cannot write %s", path);
		(void) unlink(temporary);
	}

out:
	if (fd >= 0)
	{
		(void) close(fd);
	}
	aut_free(temporary);
	return status;
}

/* Where agent.json is; NULL: nowhere, or no memory. */
static char *
state_path(const agentd_options *options)
{
	char *path = NULL;

	if (options->json_file != NULL)
	{
		path = aut_strdup(options->json_file);
	}
	else if (options->data != NULL)
	{
		path = aut_printf("%s/agent.json", options->data);
	}
	return path;
}

aut_status
agentd_state_write(const agentd *agent, const char *url, aut_error *err)
{
	char *path = state_path(&agent->options);
	json_t *state = NULL;
	char *text = NULL;
	size_t len = 0;
	aut_status status = AUT_OK;

	if (path == NULL)
	{
		return AUT_OK;
	}
	state = json_pack("{s:s, s:s, s:I, s:o}", "url", url, "key", agent->options.key, "pid",
					  (json_int_t) getpid(), "started_at", aut_json_time(agent->started_us));
	text = state != NULL ? aut_json_text(state, &len) : NULL;
	if (text == NULL)
	{
		status = aut_fail(err, AUT_ENOMEM, "out of memory");
	}
	else
	{
		status = write_beside(path, text, len, err);
	}
	json_decref(state);
	aut_free(text);
	aut_free(path);
	return status;
}

void
agentd_state_remove(const agentd *agent)
{
	char *path = state_path(&agent->options);

	if (path != NULL)
	{
		(void) unlink(path);
	}
	aut_free(path);
}

/* ---- asking an agent ------------------------------------------------------------------------------------ */

/* Connect to a loopback address within the time limit; -1: no. */
static int
connect_loopback(uint16_t port)
{
	struct sockaddr_in address;
	struct timeval limit = {ASK_TIMEOUT_MS / 1000, 0};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memset(&address, 0, sizeof address);
	address.sin_family = AF_INET;
	address.sin_port = htons(port);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
					setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0 ||
					connect(fd, (const struct sockaddr *) &address, sizeof address) != 0))
	{
		(void) close(fd);
		fd = -1;
	}
	return fd;
}

/* Does an agent with this key answer there?  Blocks at most some seconds. */
static bool
answers(const char *url, const char *key)
{
	static const char prefix[] = "http://127.0.0.1:";
	char reply[16] = "";
	size_t used = 0;
	ssize_t n = 1;
	int64_t port = 0;
	char *request = NULL;
	int fd = -1;
	bool ok = false;

	if (strncmp(url, prefix, sizeof prefix - 1) != 0 ||
		!aut_int_parse(url + sizeof prefix - 1, 1, 65535, &port))
	{
		return false;
	}
	request = aut_printf("GET /api/bash/bash_events/search?limit=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
						 "X-Session-API-Key: %s\r\nConnection: close\r\n\r\n",
						 key);
	fd = connect_loopback((uint16_t) port);
	if (request != NULL && fd >= 0 &&
		send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t) strlen(request))
	{
		while (used < 12 && n > 0)
		{
			n = recv(fd, reply + used, 12 - used, 0);
			used += n > 0 ? (size_t) n : 0;
		}
		ok = used == 12 && memcmp(reply, "HTTP/1.1 200", 12) == 0;
	}
	if (fd >= 0)
	{
		(void) close(fd);
	}
	aut_free(request);
	return ok;
}

/* The running agent of this folder. */
static bool
find_agent(const char *data_dir, char **out_url, char **out_key)
{
	char *path = aut_printf("%s/agent.json", data_dir);
	char *text = path != NULL ? read_small(path) : NULL;
	json_t *state = NULL;
	const char *url = NULL;
	const char *key = NULL;
	bool found = false;

	if (text != NULL && aut_json_parse(text, strlen(text), &state, NULL) == AUT_OK)
	{
		url = aut_json_string(state, "url");
		key = aut_json_string(state, "key");
	}
	if (url != NULL && key != NULL && strpbrk(key, "\r\n") == NULL && answers(url, key))
	{
		char *url_copy = aut_strdup(url);
		char *key_copy = aut_strdup(key);

		found = url_copy != NULL && key_copy != NULL;
		if (found)
		{
			*out_url = url_copy;
			*out_key = key_copy;
		}
		else
		{
			aut_free(url_copy);
			aut_free(key_copy);
		}
	}
	json_decref(state);
	aut_free(text);
	aut_free(path);
	return found;
}

/* ---- starting ------------------------------------------------------------------------------------------- */

typedef struct launch
{
	char exe[PATH_MAX];
	char *folder;   /* DATA/agent: working folder of commands that name none */
	char *log_path; /* DATA/agent.log: what it writes to stderr */
	char *data;
	char **environment; /* without the daemon's secrets */
	int ready_fd;
} launch;

/* In the grandchild; only async-signal-safe calls. */
static void
become_agent(const launch *plan)
{
	static char name[] = "automation";
	static char command[] = "agent";
	static char data_flag[] = "--data";
	static char linger_flag[] = "--linger";
	static char linger[] = LINGER_TEXT;
	static char ready_flag[] = "--ready-fd";
	static char ready[] = "3";
	char *argv[] = {name,   command,    data_flag, plan->data, linger_flag,
					linger, ready_flag, ready,     NULL};
	sigset_t none;
	int null_fd = open("/dev/null", O_RDWR);
	int log_fd = open(plan->log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);

	(void) sigemptyset(&none);
	(void) sigprocmask(SIG_SETMASK, &none, NULL);
	if (null_fd >= 0 && chdir(plan->folder) == 0 && dup2(null_fd, 0) == 0 &&
		dup2(null_fd, 1) == 1 && dup2(log_fd >= 0 ? log_fd : null_fd, 2) == 2)
	{
		int ready_fd = plan->ready_fd;

		/* dup2 of a descriptor onto itself would leave it close-on-exec */
		if (ready_fd == READY_FD ? fcntl(READY_FD, F_SETFD, 0) == 0
								 : dup2(ready_fd, READY_FD) == READY_FD)
		{
			if (null_fd > READY_FD)
			{
				(void) close(null_fd);
			}
			if (log_fd > READY_FD)
			{
				(void) close(log_fd);
			}
			(void) execve(plan->exe, argv, plan->environment);
		}
	}
	_exit(127);
}

static aut_status
plan_init(launch *plan, const char *data_dir, aut_error *err)
{
	char absolute[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", plan->exe, sizeof plan->exe - 1);

	if (len <= 0)
	{
		return aut_fail_errno(err, AUT_EIO, errno, "cannot find this program's file");
	}
	plan->exe[len] = '\0';
	if (access(plan->exe, X_OK) != 0)
	{
		/* replaced by an upgrade: the kernel still has ours */
		(void) snprintf(plan->exe, sizeof plan->exe, "/proc/self/exe");
	}
	/* the agent starts in another folder, so the path must not be relative */
	if (realpath(data_dir, absolute) == NULL)
	{
		return aut_fail_errno(err, AUT_EIO, errno, "cannot find %s", data_dir);
	}
	plan->data = aut_strdup(absolute);
	plan->folder = aut_printf("%s/agent", absolute);
	plan->log_path = aut_printf("%s/agent.log", absolute);
	plan->environment = agentd_environment_new();
	if (plan->data == NULL || plan->folder == NULL || plan->log_path == NULL ||
		plan->environment == NULL)
	{
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	}
	if (mkdir(plan->folder, 0700) != 0 && errno != EEXIST)
	{
		return aut_fail_errno(err, AUT_EIO, errno, "cannot make %s", plan->folder);
	}
	return AUT_OK;
}

static void
plan_done(launch *plan)
{
	aut_free(plan->data);
	aut_free(plan->folder);
	aut_free(plan->log_path);
	agentd_environment_free(plan->environment);
}

/* Start it and wait until it says that it serves (*out_ready), or ends, or time is up. */
static aut_status
launch_agent(launch *plan, bool *out_ready, aut_error *err)
{
	int ends[2];
	int status = 0;
	char byte;
	pid_t child;
	struct pollfd wait_for;

	*out_ready = false;
	if (pipe2(ends, O_CLOEXEC) != 0)
	{
		return aut_fail_errno(err, AUT_EIO, errno, "pipe");
	}
	plan->ready_fd = ends[1];
	child = fork();
	if (child == 0)
	{
		pid_t grandchild;

		(void) setsid();
		grandchild = fork();
		if (grandchild == 0)
		{
			become_agent(plan);
		}
		_exit(grandchild < 0 ? 1 : 0);
	}
	(void) close(ends[1]);
	if (child < 0)
	{
		(void) close(ends[0]);
		return aut_fail_errno(err, AUT_EIO, errno, "fork");
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
	{
	}
	wait_for.fd = ends[0];
	wait_for.events = POLLIN;
	wait_for.revents = 0;
	*out_ready = poll(&wait_for, 1, START_TIMEOUT_MS) == 1 && read(ends[0], &byte, 1) == 1;
	(void) close(ends[0]);
	return AUT_OK;
}

aut_status
aut_agent_ensure(const char *data_dir, char **out_url, char **out_key, aut_error *err)
{
	launch plan;
	aut_status status = AUT_OK;
	bool found = find_agent(data_dir, out_url, out_key);
	bool ready = false;

	memset(&plan, 0, sizeof plan);
	if (found)
	{
		return AUT_OK;
	}
	status = plan_init(&plan, data_dir, err);
	/* A second try helps when the first met an agent that was just ending: it still had the lock. */
	for (int attempt = 0; status == AUT_OK && !found && attempt < 2; attempt++)
	{
		status = launch_agent(&plan, &ready, err);
		/* not ready: perhaps because another daemon's agent was quicker and has the folder */
		found = status == AUT_OK && find_agent(data_dir, out_url, out_key);
		if (status == AUT_OK && !found && !ready)
		{
			(void) poll(NULL, 0, 200);
			found = find_agent(data_dir, out_url, out_key);
		}
	}
	if (status == AUT_OK && !found)
	{
		status =
			aut_fail(err, AUT_EUNAVAILABLE,
					 "the embedded agent did not start; its messages are in %s", plan.log_path);
	}
	plan_done(&plan);
	return status;
}
