/* SPDX-License-Identifier: MIT */
/*
 * core/object/folder.c - objects as files below a folder.
 *
 * A file is written under another name beside its place, put to disk, renamed, and the folder put to
 * disk: so it is there whole or not at all, also after a loss of power.  Names are made by us from ids
 * (aut_object_name), never from what people say.  Files are the owner's alone.
 *
 * These calls block as long as a commit of the same size does: an upload has at most 1 MiB.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/object/object_internal.h"

aut_status
aut__folder_root(const aut_settings *settings, char **out, aut_error *err)
{
	const char *path = settings->local_storage_path;
	const char *home = getenv("HOME");
	bool below_home = path[0] == '~' && (path[1] == '/' || path[1] == '\0');
	char *root;

	if (below_home && (home == NULL || home[0] != '/'))
		return aut_fail(err, AUT_EINVAL,
						"LOCAL_STORAGE_PATH is below the home folder, and HOME is not set");
	if (!below_home && path[0] != '/')
		return aut_fail(err, AUT_EINVAL, "LOCAL_STORAGE_PATH must be an absolute path");
	root = below_home ? aut_printf("%s%s", home, path + 1) : aut_strdup(path);
	if (root == NULL)
		return aut_fail(err, AUT_ENOMEM, "no memory for the path of an object");
	*out = root;
	return AUT_OK;
}

/* "<root>/<name>" or, with part, a name beside it that no object has. */
static aut_status
path_of(const char *root, const char *name, bool part, char out[PATH_MAX], aut_error *err)
{
	int n = snprintf(out, PATH_MAX, "%s/%s%s", root, name, part ? ".part" : "");

	if (n > 0 && n < PATH_MAX)
		return AUT_OK;
	return aut_fail(err, AUT_EINVAL, "LOCAL_STORAGE_PATH is too long");
}

/* Cut the last name off, which leaves the folder. */
static void
to_folder(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash != NULL && slash != path)
		*slash = '\0';
}

/* Make the folders above a file, those that are not there. */
static aut_status
make_folders(const char *file, aut_error *err)
{
	char path[PATH_MAX];

	(void) snprintf(path, sizeof path, "%s", file);
	for (char *at = path + 1; (at = strchr(at, '/')) != NULL; *at++ = '/')
	{
		*at = '\0';
		if (mkdir(path, 0700) != 0 && errno != EEXIST)
			return aut_fail_errno(err, AUT_EIO, errno, "cannot make the folder %.200s", path);
	}
	return AUT_OK;
}

static aut_status
write_whole(int fd, const char *data, size_t len, aut_error *err)
{
	while (len > 0)
	{
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return aut_fail_errno(err, AUT_EIO, errno, "cannot write an object");
		data += n;
		len -= (size_t) n;
	}
	if (fsync(fd) != 0)
		return aut_fail_errno(err, AUT_EIO, errno, "cannot put an object to disk");
	return AUT_OK;
}

static aut_status
sync_folder(const char *file, aut_error *err)
{
	char path[PATH_MAX];
	aut_status status = AUT_OK;
	int fd;

	(void) snprintf(path, sizeof path, "%s", file);
	to_folder(path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* not every file system lets a folder be synced */
	if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL))
		status = aut_fail_errno(err, AUT_EIO, errno, "cannot put the folder of an object to disk");
	if (fd >= 0)
		(void) close(fd);
	return status;
}

aut_status
aut__folder_put(const char *root, const char *name, const void *data, size_t len, aut_error *err)
{
	char path[PATH_MAX], part[PATH_MAX];
	aut_status status = path_of(root, name, false, path, err);
	int fd = -1;

	if (status == AUT_OK)
		status = path_of(root, name, true, part, err);
	if (status == AUT_OK)
		status = make_folders(path, err);
	if (status != AUT_OK)
		return status;
	fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return aut_fail_errno(err, AUT_EIO, errno, "cannot write %.200s", part);
	status = write_whole(fd, data, len, err);
	if (close(fd) != 0 && status == AUT_OK)
		status = aut_fail_errno(err, AUT_EIO, errno, "cannot write an object");
	if (status == AUT_OK && rename(part, path) != 0)
		status = aut_fail_errno(err, AUT_EIO, errno, "cannot give an object its name");
	if (status == AUT_OK)
		status = sync_folder(path, err);
	if (status != AUT_OK)
		(void) unlink(part);
	return status;
}

static aut_status
read_whole(int fd, size_t max, char **out, size_t *out_len, aut_error *err)
{
	struct stat st;
	char *data = NULL;
	size_t len = 0, size = 0;
	ssize_t n = 0;
	aut_status status = AUT_OK;

	if (fstat(fd, &st) != 0)
		status = aut_fail_errno(err, AUT_EIO, errno, "cannot look at an object");
	else if (!S_ISREG(st.st_mode))
		status = aut_fail(err, AUT_ECORRUPT, "an object is not a regular file");
	else if ((uintmax_t) st.st_size > max)
		status = aut_fail(err, AUT_ELIMIT, "an object is larger than %zu bytes", max);
	else
	{
		size = (size_t) st.st_size;
		data = aut_malloc(size + 1);
		if (data == NULL)
			status = aut_fail(err, AUT_ENOMEM, "no memory for an object");
	}
	while (status == AUT_OK && len < size && (n = read(fd, data + len, size - len)) != 0)
	{
		if (n > 0)
			len += (size_t) n;
		else if (errno != EINTR)
			status = aut_fail_errno(err, AUT_EIO, errno, "cannot read an object");
	}
	if (status == AUT_OK && len != size)
		status = aut_fail(err, AUT_EIO, "an object became shorter while it was read");
	if (status == AUT_OK)
	{
		*out = data;
		*out_len = len;
		data = NULL;
	}
	aut_free(data);
	return status;
}

aut_status
aut__folder_get(const char *root, const char *name, size_t max, char **out, size_t *out_len,
				aut_error *err)
{
	char path[PATH_MAX];
	aut_status status = path_of(root, name, false, path, err);
	int fd;

	if (status != AUT_OK)
		return status;
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return aut_fail_errno(err, errno == ENOENT ? AUT_ENOTFOUND : AUT_EIO, errno,
							  "cannot open an object");
	status = read_whole(fd, max, out, out_len, err);
	(void) close(fd);
	return status;
}

aut_status
aut__folder_delete(const char *root, const char *name, aut_error *err)
{
	char path[PATH_MAX], part[PATH_MAX];
	aut_status status = path_of(root, name, false, path, err);

	if (status == AUT_OK)
		status = path_of(root, name, true, part, err);
	if (status != AUT_OK)
		return status;
	/* what a crash left of a write */
	(void) unlink(part);
	if (unlink(path) != 0 && errno != ENOENT)
		return aut_fail_errno(err, AUT_EIO, errno, "cannot delete an object");
	return AUT_OK;
}
