/* SPDX-License-Identifier: MIT */
/*
 * standalone/serve_files.c - the daemon's state folder: its lock, its key, its address for clients.
 *
 *   serve.lock   held (flock) while a daemon lives; never removed, so that nobody locks a ghost
 *   api.key      the generated key, 64 hex digits, 0600
 *   secret.key   what secrets in the database are sealed with, 64 hex digits, 0600; made at first need
 *   serve.json   url, pid, port, started_at of the daemon that is ready, 0600
 *
 * Also here: words to the service manager.
 *
 * Files are written beside and renamed, so that a reader never sees half of one.  All of this happens
 * at start and end and may block for the disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "standalone/serve_priv.h"

#define KEY_BYTES      32
#define SMALL_FILE_MAX 4096

/* ---- small files ----------------------------------------------------------------------------- */

static aut_status
write_all(int fd, const char *text, size_t len, const char *path, aut_error *err)
{
	while (len > 0)
	{
		ssize_t done = write(fd, text, len);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return aut_fail_errno(err, AUT_EIO, errno, "cannot write %s", path);
		text += done;
		len -= (size_t) done;
	}
	return AUT_OK;
}

/* Write beside, fsync, rename. */
static aut_status
write_private(const char *data, const char *name, const char *text, size_t len, aut_error *err)
{
	char *path = aut_printf("%s/%s", data, name);
	char *beside = aut_printf("%s/%s.new", data, name);
	aut_status status = AUT_OK;
	int fd = -1;

	if (path == NULL || beside == NULL)
	{
		status = aut_fail(err, AUT_ENOMEM, "out of memory");
		goto out;
	}
	/* a left-over of a crash, perhaps with other rights */
	(void) unlink(beside);
	fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
	{
		status = aut_fail_errno(err, AUT_EIO, errno, "cannot write %s", beside);
		goto out;
	}
	status = write_all(fd, text, len, beside, err);
	if (status == AUT_OK && fsync(fd) != 0)
		status = aut_fail_errno(err, AUT_EIO, errno, "cannot write %s", beside);
	if (status == AUT_OK && rename(beside, path) != 0)
		status = aut_fail_errno(err, AUT_EIO, errno, "cannot write %s", path);
	if (status != AUT_OK)
		(void) unlink(beside);
out:
	if (fd >= 0)
		(void) close(fd);
	aut_free(beside);
	aut_free(path);
	return status;
}

/* ENOTFOUND when there is none. */
static aut_status
read_private(const char *data, const char *name, aut_buf *out, aut_error *err)
{
	char *path = aut_printf("%s/%s", data, name);
	char block[SMALL_FILE_MAX];
	aut_status status = AUT_OK;
	ssize_t len;
	int fd;

	if (path == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
	{
		status = aut_fail_errno(err, errno == ENOENT ? AUT_ENOTFOUND : AUT_EIO, errno,
								"cannot read %s", path);
		goto out;
	}
	do
		len = read(fd, block, sizeof block);
	while (len < 0 && errno == EINTR);
	if (len < 0)
		status = aut_fail_errno(err, AUT_EIO, errno, "cannot read %s", path);
	else
	{
		status = aut_buf_append(out, block, (size_t) len);
		/* a key that others could read until now is at least not readable from now on */
		if (fchmod(fd, 0600) != 0)
			aut_log(AUT_LOG_WARNING, "cannot restrict %s, ignoring", path);
	}
	(void) close(fd);
out:
	aut_free(path);
	return status;
}

/* ---- folder and lock ------------------------------------------------------------------------- */

aut_status
serve_folder_make(char **inout_path, aut_error *err)
{
	char *path = aut_strdup(*inout_path);
	char *absolute = NULL;
	aut_status status = AUT_OK;
	char *resolved;

	if (path == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	for (char *p = path + 1; status == AUT_OK; p++)
	{
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(path, 0700) != 0 && errno != EEXIST)
			status = aut_fail_errno(err, AUT_EIO, errno, "cannot make the folder %s", path);
		*p = c;
		if (c == '\0')
			break;
	}
	if (status == AUT_OK)
	{
		resolved = realpath(path, NULL);
		absolute = aut_strdup(resolved);
		if (absolute == NULL)
			status = aut_fail_errno(err, AUT_EIO, errno, "cannot use the folder %s", path);
		free(resolved);
	}
	if (status == AUT_OK && access(absolute, R_OK | W_OK | X_OK) != 0)
		status = aut_fail_errno(err, AUT_EIO, errno, "cannot write in the folder %s", absolute);
	aut_free(path);
	if (status != AUT_OK)
	{
		aut_free(absolute);
		return status;
	}
	aut_free(*inout_path);
	*inout_path = absolute;
	return AUT_OK;
}

int64_t
serve_pid_in(const char *data, const char *name)
{
	json_t *state = NULL;
	int64_t pid = 0;
	aut_buf text;

	aut_buf_init(&text, SMALL_FILE_MAX);
	if (read_private(data, name, &text, NULL) == AUT_OK && text.len > 0 &&
		aut_json_parse(text.data, text.len, &state, NULL) == AUT_OK)
		pid = json_integer_value(json_object_get(state, "pid"));
	json_decref(state);
	aut_buf_done(&text);
	return pid;
}

aut_status
serve_lock(const char *data, int *out_fd, aut_error *err)
{
	char *path = aut_printf("%s/serve.lock", data);
	aut_status status = AUT_OK;
	int64_t pid;
	int fd;

	if (path == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		status = aut_fail_errno(err, AUT_EIO, errno, "cannot open %s", path);
	else if (flock(fd, LOCK_EX | LOCK_NB) != 0)
	{
		pid = errno == EWOULDBLOCK ? serve_pid_in(data, "serve.json") : -1;
		if (pid > 0)
			status = aut_fail(err, AUT_EBUSY, "another daemon (pid %lld) uses the folder %s",
							  (long long) pid, data);
		else if (pid == 0)
			status = aut_fail(err, AUT_EBUSY, "another daemon uses the folder %s", data);
		else
			status = aut_fail_errno(err, AUT_EIO, errno, "cannot lock %s", path);
		(void) close(fd);
	}
	else
		*out_fd = fd;
	aut_free(path);
	return status;
}

/* ---- key ------------------------------------------------------------------------------------- */

static aut_status
key_make(const char *data, char **out_key, aut_error *err)
{
	uint8_t bytes[KEY_BYTES];
	char line[2 * KEY_BYTES + 2];
	aut_status status = aut_random(bytes, sizeof bytes, err);

	if (status != AUT_OK)
		return status;
	aut_hex(bytes, sizeof bytes, line);
	*out_key = aut_strdup(line);
	if (*out_key == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	line[2 * KEY_BYTES] = '\n';
	status = write_private(data, "api.key", line, 2 * KEY_BYTES + 1, err);
	if (status != AUT_OK)
	{
		aut_free(*out_key);
		*out_key = NULL;
	}
	return status;
}

aut_status
serve_key(const char *data, char **out_key, aut_error *err)
{
	aut_status status;
	size_t len;
	aut_buf text;

	aut_buf_init(&text, SMALL_FILE_MAX);
	status = read_private(data, "api.key", &text, err);
	if (status == AUT_ENOTFOUND)
		status = key_make(data, out_key, err);
	else if (status == AUT_OK)
	{
		len = text.data != NULL ? strcspn(text.data, "\r\n") : 0;
		if (len < 16 || text.data[len + strspn(text.data + len, "\r\n")] != '\0')
			status =
				aut_fail(err, AUT_ECORRUPT,
						 "%s/api.key is not one line of at least 16 characters; remove it to have "
						 "a new one made",
						 data);
		else if ((*out_key = aut_strndup(text.data, len)) == NULL)
			status = aut_fail(err, AUT_ENOMEM, "out of memory");
	}
	aut_buf_done(&text);
	return status;
}

/* ---- the key that seals secrets --------------------------------------------------------------- */

/* The folder, and the key once it was read: who takes in a thousand events a second does not read a
 * thousand files. */
static struct
{
	const char *data;
	bool known;
	uint8_t key[AUT_SEAL_KEY_BYTES];
} sealing;

static aut_status
seal_key_make(aut_error *err)
{
	uint8_t key[AUT_SEAL_KEY_BYTES];
	char line[AUT_SEAL_KEY_HEX + 2];
	aut_status status = aut_random(key, sizeof key, err);

	if (status == AUT_OK)
	{
		aut_hex(key, sizeof key, line);
		line[AUT_SEAL_KEY_HEX] = '\n';
		status = write_private(sealing.data, "secret.key", line, AUT_SEAL_KEY_HEX + 1, err);
	}
	if (status == AUT_OK)
	{
		memcpy(sealing.key, key, sizeof key);
		sealing.known = true;
	}
	aut_secret_clear(key, sizeof key);
	aut_secret_clear(line, sizeof line);
	return status;
}

static aut_status
seal_key_read(bool make, aut_error *err)
{
	aut_status status;
	aut_buf text;

	aut_buf_init(&text, SMALL_FILE_MAX);
	status = read_private(sealing.data, "secret.key", &text, err);
	if (status == AUT_OK)
	{
		status = aut_seal_key_parse(text.data != NULL ? text.data : "", text.len, sealing.key, err);
		if (status != AUT_OK)
			status = aut_fail(err, AUT_EUNAVAILABLE,
							  "%s/secret.key is not %d hex digits; without it the secrets in the "
							  "database cannot be read",
							  sealing.data, AUT_SEAL_KEY_HEX);
		sealing.known = status == AUT_OK;
		aut_secret_clear(text.data, text.len);
	}
	else if (status == AUT_ENOTFOUND && make)
		status = seal_key_make(err);
	else if (status == AUT_ENOTFOUND)
		status = aut_fail(err, AUT_EUNAVAILABLE,
						  "%s/secret.key is gone; bring it back, or set the secrets again",
						  sealing.data);
	aut_buf_done(&text);
	return status;
}

static aut_status
lend_seal_key(void *payload, bool make, uint8_t out[AUT_SEAL_KEY_BYTES], aut_error *err)
{
	aut_status status = AUT_OK;

	(void) payload;
	if (!sealing.known)
		status = seal_key_read(make, err);
	if (status == AUT_OK)
		memcpy(out, sealing.key, AUT_SEAL_KEY_BYTES);
	return status;
}

const aut_sealer *
serve_sealer(const char *data)
{
	static const aut_sealer sealer = {lend_seal_key, NULL};

	sealing.data = data;
	sealing.known = false;
	return &sealer;
}

/* ---- where we are ---------------------------------------------------------------------------- */

aut_status
serve_state_write(const char *data, const char *url, uint16_t port, int64_t now_us, aut_error *err)
{
	json_t *state = json_object();
	aut_status status;
	size_t len = 0;
	char *text = NULL;

	if (aut_json_set(state, "url", json_string(url)) &&
		aut_json_set(state, "pid", json_integer(getpid())) &&
		aut_json_set(state, "port", json_integer(port)) &&
		aut_json_set(state, "started_at", aut_json_time(now_us)))
		text = aut_json_text(state, &len);
	if (text == NULL)
		status = aut_fail(err, AUT_ENOMEM, "out of memory");
	else
		status = write_private(data, "serve.json", text, len, err);
	aut_free(text);
	json_decref(state);
	return status;
}

void
serve_state_remove(const char *data)
{
	char *path = aut_printf("%s/serve.json", data);

	if (path != NULL)
		(void) unlink(path);
	aut_free(path);
}

/* ---- the service manager ---------------------------------------------------------------------- */

/* Where it listens; taken out of the environment, for runs must not speak for us. */
static char notify_socket[sizeof(((struct sockaddr_un *) NULL)->sun_path)];

void
serve_notify_take(int64_t *out_watchdog_ms)
{
	const char *name = getenv("NOTIFY_SOCKET");
	const char *limit = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");
	int64_t limit_us = 0, meant = 0;

	if (name != NULL && (name[0] == '/' || name[0] == '@') && strlen(name) < sizeof notify_socket)
		memcpy(notify_socket, name, strlen(name) + 1);
	/* twice within the limit, as its manual advises; nothing when another process is meant */
	if (notify_socket[0] != '\0' && limit != NULL &&
		aut_int_parse(limit, 1, INT64_MAX, &limit_us) &&
		(pid == NULL || (aut_int_parse(pid, 1, INT64_MAX, &meant) && meant == getpid())))
		*out_watchdog_ms = limit_us / 2 / AUT_US_PER_MS > 0 ? limit_us / 2 / AUT_US_PER_MS : 1;
	(void) unsetenv("NOTIFY_SOCKET");
	(void) unsetenv("WATCHDOG_USEC");
	(void) unsetenv("WATCHDOG_PID");
}

void
serve_notify(const char *message)
{
	struct sockaddr_un address;
	size_t len = strlen(notify_socket);
	int fd;

	if (len == 0)
		return;
	memset(&address, 0, sizeof address);
	address.sun_family = AF_UNIX;
	memcpy(address.sun_path, notify_socket, len);
	if (notify_socket[0] == '@')
		address.sun_path[0] = '\0'; /* abstract */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (sendto(fd, message, strlen(message), MSG_NOSIGNAL, (const struct sockaddr *) &address,
			   (socklen_t) (offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		aut_log(AUT_LOG_WARNING, "cannot tell the service manager: %s, ignoring", strerror(errno));
	(void) close(fd);
}
