/* SPDX-License-Identifier: MIT */
/*
 * standalone/agent_file.c - the embedded agent's file routes: upload, download, create_directory.
 *
 * Where the agent server rewrites a file in place, an upload here is written beside its target and
 * renamed over it: a reader sees the old file or the new one, never half of it.  Files are made 0600 and
 * missing folders 0700, since what is uploaded is a program and its secrets.  A symbolic link is
 * followed; a device, socket or fifo is refused (renaming over /dev/null would be a bad surprise).
 *
 * There is no confinement to a folder: a client with the key can run commands anyway.  Files are read and
 * written at once, which blocks the loop for the time the disk needs.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "standalone/agent_internal.h"

/* ---- the path parameter ------------------------------------------------------------------------------ */

/* The absolute path asked for, or NULL after answering why not. */
static const char *
take_path(agentd_request *request)
{
	const char *path = aut_exchange_query(request->exchange, "path");

	if (path == NULL)
	{
		agentd_reply_invalid(request, "missing", "query", "path", "Field required", NULL, NULL);
	}
	else if (path[0] != '/')
	{
		agentd_reply_detail(request, 400, "Path must be absolute");
		path = NULL;
	}
	else if (strlen(path) >= PATH_MAX - 32)
	{
		agentd_reply_detail(request, 400, "Path is too long");
		path = NULL;
	}
	return path;
}

static void
reply_errno(agentd_request *request, const char *what, int error, const char *path)
{
	if (error == ENOTDIR || error == EEXIST)
	{
		agentd_reply_detail(request, 400, "A parent of the path is not a directory");
	}
	else
	{
		agentd_reply_failure(request, "500: Failed to %s: [Errno %d] %s: '%s'", what, error,
							 strerror(error), path);
	}
}

/* mkdir -p, mode 0700, of the first `len` bytes of path.  0 or an errno. */
static int
make_folders(const char *path, size_t len)
{
	char folder[PATH_MAX];
	int error = 0;

	memcpy(folder, path, len);
	folder[len] = '\0';
	for (size_t i = 1; i <= len && error == 0; i++)
	{
		if (folder[i] == '/' || folder[i] == '\0')
		{
			char saved = folder[i];

			folder[i] = '\0';
			if (mkdir(folder, 0700) != 0 && errno != EEXIST)
			{
				error = errno;
			}
			folder[i] = saved;
		}
	}
	return error;
}

/* ---- upload -------------------------------------------------------------------------------------------- */

/* The value of a parameter in a header's text: name="value" or name=value. */
static bool
header_param(const char *text, size_t len, const char *name, const char **out, size_t *out_len)
{
	size_t name_len = strlen(name);
	const char *end = text + len;

	for (const char *at = text; at + name_len < end; at++)
	{
		bool begins = at == text || at[-1] == ';' || at[-1] == ' ' || at[-1] == '\t';

		if (begins && strncasecmp(at, name, name_len) == 0 && at[name_len] == '=')
		{
			const char *value = at + name_len + 1;
			const char *stop = value;

			if (value < end && *value == '"')
			{
				value++;
				stop = memchr(value, '"', (size_t) (end - value));
				stop = stop != NULL ? stop : end;
			}
			else
			{
				while (stop < end && *stop != ';' && *stop != ' ' && *stop != '\r')
				{
					stop++;
				}
			}
			*out = value;
			*out_len = (size_t) (stop - value);
			return true;
		}
	}
	return false;
}

/* Where the Content-Disposition line's value is in a part's head. */
static const char *
find_disposition(const char *head, size_t len, size_t *out_len)
{
	static const char name[] = "Content-Disposition:";
	const char *at = head;
	const char *end = head + len;

	while (at < end)
	{
		const char *stop = memmem(at, (size_t) (end - at), "\r\n", 2);

		stop = stop != NULL ? stop : end;
		if ((size_t) (stop - at) > sizeof name - 1 && strncasecmp(at, name, sizeof name - 1) == 0)
		{
			*out_len = (size_t) (stop - at);
			return at;
		}
		at = stop + 2;
	}
	return NULL;
}

agentd_multipart
agentd_multipart_find(const char *content_type, const char *body, size_t len, const char *field,
					  const char **out_data, size_t *out_len)
{
	char delimiter[80] = "\r\n--";
	size_t delimiter_len;
	const char *boundary;
	size_t boundary_len = 0;
	const char *at = body;
	const char *end = body + len;

	if (content_type == NULL || strncasecmp(content_type, "multipart/form-data", 19) != 0 ||
		!header_param(content_type, strlen(content_type), "boundary", &boundary, &boundary_len) ||
		boundary_len == 0 || boundary_len > 70)
	{
		return MULTIPART_MISSING;
	}
	memcpy(delimiter + 4, boundary, boundary_len);
	delimiter_len = boundary_len + 4;
	/* the first delimiter may stand at the very beginning, without its line break */
	if (len < delimiter_len - 2 || memcmp(body, delimiter + 2, delimiter_len - 2) != 0)
	{
		at = memmem(body, len, delimiter, delimiter_len);
		at = at != NULL ? at + 2 : NULL;
	}
	while (at != NULL)
	{
		const char *head = at + delimiter_len - 2;
		const char *data;
		const char *next;
		const char *disposition;
		const char *name;
		const char *filename;
		size_t disposition_len = 0;
		size_t name_len = 0;
		size_t filename_len = 0;

		data = memmem(head, (size_t) (end - head), "\r\n\r\n", 4);
		if (data == NULL)
		{
			return MULTIPART_MISSING; /* "--": the end */
		}
		data += 4;
		/* an empty part's delimiter begins with the line break that ended its head */
		next = memmem(data - 2, (size_t) (end - data + 2), delimiter, delimiter_len);
		if (next == NULL)
		{
			return MULTIPART_MISSING; /* cut off */
		}
		disposition = find_disposition(head, (size_t) (data - 4 - head), &disposition_len);
		if (disposition != NULL &&
			header_param(disposition, disposition_len, "name", &name, &name_len) &&
			name_len == strlen(field) && memcmp(name, field, name_len) == 0)
		{
			*out_data = data;
			*out_len = next > data ? (size_t) (next - data) : 0;
			return header_param(disposition, disposition_len, "filename", &filename, &filename_len)
					   ? MULTIPART_OK
					   : MULTIPART_NO_FILE;
		}
		at = next + 2;
	}
	return MULTIPART_MISSING;
}

static int
write_all(int fd, const char *data, size_t len)
{
	while (len > 0)
	{
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno != EINTR)
		{
			return errno;
		}
		if (n > 0)
		{
			data += n;
			len -= (size_t) n;
		}
	}
	return 0;
}

/* Write beside the target, then rename.  0 or an errno. */
static int
write_file(const char *target, const char *data, size_t len)
{
	char temporary[PATH_MAX];
	const char *slash = strrchr(target, '/');
	int error = 0;
	int fd;

	(void) snprintf(temporary, sizeof temporary, "%.*s/.upload-XXXXXX", (int) (slash - target),
					target);
	fd = mkostemp(temporary, O_CLOEXEC); /* mode 0600 */
	if (fd < 0)
	{
		return errno;
	}
	error = write_all(fd, data, len);
	if (close(fd) != 0 && error == 0)
	{
		error = errno;
	}
	if (error == 0 && rename(temporary, target) != 0)
	{
		error = errno;
	}
	if (error != 0)
	{
		(void) unlink(temporary);
	}
	return error;
}

static void
store_upload(agentd_request *request, const char *path, const char *data, size_t len)
{
	char resolved[PATH_MAX];
	const char *target = path;
	struct stat info;
	int error;

	if (stat(path, &info) == 0)
	{
		if (S_ISDIR(info.st_mode) || !S_ISREG(info.st_mode))
		{
			agentd_reply_detail(
				request, 400, S_ISDIR(info.st_mode) ? "Path is a directory" : "Path is not a file");
			return;
		}
		if (realpath(path, resolved) != NULL)
		{
			target = resolved;
		}
	}
	if (target[strlen(target) - 1] == '/')
	{
		agentd_reply_detail(request, 400, "Path is a directory");
		return;
	}
	error = make_folders(target, (size_t) (strrchr(target, '/') - target));
	if (error == 0)
	{
		error = write_file(target, data, len);
	}
	if (error != 0)
	{
		reply_errno(request, "upload file", error, path);
		return;
	}
	agentd_reply_json(request, 200,
					  json_pack("{s:b, s:I}", "success", 1, "file_size", (json_int_t) len));
}

void
agentd_route_upload(agentd_request *request)
{
	const char *path = take_path(request);
	const char *body;
	const char *data = NULL;
	size_t body_len = 0;
	size_t len = 0;
	agentd_multipart found;

	if (path == NULL)
	{
		return;
	}
	body = aut_exchange_body(request->exchange, &body_len);
	found = agentd_multipart_find(aut_exchange_header(request->exchange, "Content-Type"), body,
								  body_len, "file", &data, &len);
	if (found == MULTIPART_MISSING)
	{
		agentd_reply_invalid(request, "missing", "body", "file", "Field required", NULL, NULL);
	}
	else if (found == MULTIPART_NO_FILE)
	{
		agentd_reply_invalid(
			request, "value_error", "body", "file",
			"Value error, Expected UploadFile, received: <class 'str'>",
			json_stringn(data, len < 1000 ? aut_utf8_boundary(data, len) : 0),
			json_pack("{s:s}", "error", "Expected UploadFile, received: <class 'str'>"));
	}
	else if (request->agent->stub != NULL)
	{
		if (agentd_stub_put(request->agent->stub, path, data, len))
		{
			agentd_reply_json(request, 200,
							  json_pack("{s:b, s:I}", "success", 1, "file_size", (json_int_t) len));
		}
		else
		{
			agentd_reply_failure(request, "500: Failed to upload file: no room in the stub");
		}
	}
	else
	{
		store_upload(request, path, data, len);
	}
}

/* ---- download ------------------------------------------------------------------------------------------- */

typedef enum range_kind
{
	RANGE_NONE, /* absent, or of a form we may ignore */
	RANGE_PART,
	RANGE_IMPOSSIBLE
} range_kind;

/* "bytes=a-b", "bytes=a-", "bytes=-n". */
static range_kind
parse_range(const char *text, int64_t size, int64_t *out_from, int64_t *out_len)
{
	char first[24];
	char last[24];
	const char *dash;
	int64_t from = 0;
	int64_t to = size - 1;

	if (text == NULL || strncasecmp(text, "bytes=", 6) != 0 || strchr(text, ',') != NULL ||
		(dash = strchr(text, '-')) == NULL || (size_t) (dash - text - 6) >= sizeof first ||
		strlen(dash + 1) >= sizeof last)
	{
		return RANGE_NONE;
	}
	(void) snprintf(first, sizeof first, "%.*s", (int) (dash - text - 6), text + 6);
	(void) snprintf(last, sizeof last, "%s", dash + 1);
	if (first[0] == '\0')
	{
		int64_t count;

		if (!aut_int_parse(last, 0, INT64_MAX, &count))
		{
			return RANGE_NONE;
		}
		from = count < size ? size - count : 0;
		if (count == 0)
		{
			return RANGE_IMPOSSIBLE;
		}
	}
	else if (!aut_int_parse(first, 0, INT64_MAX, &from) ||
			 (last[0] != '\0' && (!aut_int_parse(last, 0, INT64_MAX, &to) || to < from)))
	{
		return RANGE_NONE;
	}
	if (from >= size)
	{
		return RANGE_IMPOSSIBLE;
	}
	to = to < size ? to : size - 1;
	*out_from = from;
	*out_len = to - from + 1;
	return RANGE_PART;
}

static void
add_file_headers(agentd_request *request, const char *path, int64_t size, int64_t mtime_us)
{
	static const char keep[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._- ";
	const char *name = strrchr(path, '/') + 1;
	bool plain = strspn(name, keep) == strlen(name);
	char text[64];
	time_t seconds = (time_t) (mtime_us / AUT_US_PER_S);
	struct tm when;
	aut_buf header;

	aut_buf_init(&header, 4 * PATH_MAX);
	(void) aut_buf_puts(&header,
						plain ? "attachment; filename=\"" : "attachment; filename*=utf-8''");
	(void) (plain ? aut_buf_puts(&header, name) : aut_url_encode(&header, name, strlen(name), ""));
	(void) aut_buf_puts(&header, plain ? "\"" : "");
	if (header.status == AUT_OK)
	{
		(void) aut_exchange_add_header(request->exchange, "Content-Disposition", header.data);
	}
	aut_buf_done(&header);
	(void) aut_exchange_add_header(request->exchange, "Accept-Ranges", "bytes");
	(void) snprintf(text, sizeof text, "\"%llx-%llx\"", (unsigned long long) mtime_us,
					(unsigned long long) size);
	(void) aut_exchange_add_header(request->exchange, "ETag", text);
	if (gmtime_r(&seconds, &when) != NULL &&
		strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &when) > 0)
	{
		(void) aut_exchange_add_header(request->exchange, "Last-Modified", text);
	}
}

/* Answer with bytes [from, from + len) of an open file (data NULL) or of memory. */
static void
reply_part(agentd_request *request, int code, int fd, const char *data, int64_t from, int64_t len)
{
	char *copy = NULL;
	int64_t done = 0;
	ssize_t n = 1;

	if (data != NULL)
	{
		agentd_reply_raw(request, code, "application/octet-stream", data + from, (size_t) len);
		return;
	}
	copy = aut_malloc((size_t) len);
	while (copy != NULL && done < len && n > 0)
	{
		n = pread(fd, copy + done, (size_t) (len - done), (off_t) (from + done));
		done += n > 0 ? n : 0;
		n = n < 0 && errno == EINTR ? 1 : n;
	}
	if (copy == NULL || done < len)
	{
		/* the file shrank or the disk failed: better no answer than one that is wrong */
		agentd_reply_failure(request, "500: Failed to download file: %s",
							 copy == NULL ? "out of memory"
							 : n < 0      ? strerror(errno)
										  : "it shrank");
	}
	else
	{
		agentd_reply_raw(request, code, "application/octet-stream", copy, (size_t) len);
	}
	aut_free(copy);
}

static void
reply_file(agentd_request *request, const char *path, int fd, const char *data, int64_t size,
		   int64_t mtime_us)
{
	int64_t from = 0;
	int64_t len = size;
	char text[80];
	range_kind range =
		parse_range(aut_exchange_header(request->exchange, "Range"), size, &from, &len);

	if (range == RANGE_IMPOSSIBLE)
	{
		(void) snprintf(text, sizeof text, "bytes */%lld", (long long) size);
		(void) aut_exchange_add_header(request->exchange, "Content-Range", text);
		agentd_reply_raw(request, 416, "text/plain", "", 0);
		return;
	}
	if (len > (int64_t) AGENTD_DOWNLOAD_MAX)
	{
		agentd_reply_failure(request,
							 "500: Failed to download file: over %zu bytes, ask for a range",
							 AGENTD_DOWNLOAD_MAX);
		return;
	}
	add_file_headers(request, path, size, mtime_us);
	if (range == RANGE_PART)
	{
		(void) snprintf(text, sizeof text, "bytes %lld-%lld/%lld", (long long) from,
						(long long) (from + len - 1), (long long) size);
		(void) aut_exchange_add_header(request->exchange, "Content-Range", text);
	}
	reply_part(request, range == RANGE_PART ? 206 : 200, fd, data, from, len);
}

void
agentd_route_download(agentd_request *request)
{
	const char *path = take_path(request);
	struct stat info;
	int fd;

	if (path == NULL)
	{
		return;
	}
	if (request->agent->stub != NULL)
	{
		size_t len = 0;
		const char *data = agentd_stub_get(request->agent->stub, path, &len);

		if (data != NULL)
		{
			reply_file(request, path, -1, data, (int64_t) len, request->agent->started_us);
		}
		else
		{
			agentd_reply_detail(request, 404, "File not found");
		}
		return;
	}
	fd = open(path,
			  O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* never wait for a fifo's writer */
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
	{
		agentd_reply_detail(request, 404, "File not found");
	}
	else if (fd < 0)
	{
		reply_errno(request, "download file", errno, path);
	}
	else if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
	{
		agentd_reply_detail(request, 400, "Path is not a file");
	}
	else
	{
		reply_file(request, path, fd, NULL, (int64_t) info.st_size,
				   (int64_t) info.st_mtim.tv_sec * AUT_US_PER_S + info.st_mtim.tv_nsec / 1000);
	}
	if (fd >= 0)
	{
		(void) close(fd);
	}
}

/* ---- create_directory -------------------------------------------------------------------------------------- */

void
agentd_route_mkdir(agentd_request *request)
{
	const char *path = take_path(request);
	struct stat info;
	int error;

	if (path == NULL)
	{
		return;
	}
	error = request->agent->stub != NULL ? 0 : make_folders(path, strlen(path));
	if (error == 0 && request->agent->stub == NULL)
	{
		error = stat(path, &info) != 0 ? errno : S_ISDIR(info.st_mode) ? 0 : EEXIST;
	}
	if (error == EEXIST)
	{
		agentd_reply_detail(request, 400, "Path exists and is not a directory");
	}
	else if (error == EACCES || error == EPERM)
	{
		agentd_reply_detail(request, 403, "Permission denied");
	}
	else if (error != 0)
	{
		reply_errno(request, "create directory", error, path);
	}
	else
	{
		agentd_reply_json(request, 200, json_pack("{s:b}", "success", 1));
	}
}
