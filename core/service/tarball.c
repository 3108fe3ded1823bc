/* SPDX-License-Identifier: MIT */
/*
 * core/service/tarball.c - a tarball around one script, for doors that take a script.
 *
 * The same text always gives the same bytes: root-owned, time 0, no name or time in the gzip header.
 * The format is GNU tar's, which keeps names as bytes, whatever the process's locale (a pax header for
 * that makes tar warn, and the warning would stand in the run's output).  Pure: bytes in, bytes out.
 */
#include <string.h>

#include <archive.h>
#include <archive_entry.h>

#include "core/service/internal.h"

#define NAME_BYTES_MAX 255
/* Headers and padding of one entry, and the worst that gzip does to bytes it cannot shrink. */
#define OVERHEAD_MAX 65536

static la_ssize_t
write_bytes(struct archive *archive, void *payload, const void *data, size_t len)
{
	aut_buf *out = payload;

	if (aut_buf_append(out, data, len) == AUT_OK)
		return (la_ssize_t) len;
	archive_set_error(archive, -1, "no room for the tarball");
	return -1;
}

static bool
write_entry(struct archive *archive, const char *name, const char *text, size_t len)
{
	struct archive_entry *entry = archive_entry_new();
	bool good = false;

	if (entry == NULL)
		return false;
	archive_entry_set_pathname(entry, name);
	archive_entry_set_size(entry, (la_int64_t) len);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0755);
	archive_entry_set_mtime(entry, 0, 0);
	archive_entry_set_uid(entry, 0);
	archive_entry_set_gid(entry, 0);
	archive_entry_set_uname(entry, "root");
	archive_entry_set_gname(entry, "root");
	if (archive_write_header(archive, entry) >= ARCHIVE_WARN)
		good = len == 0 || archive_write_data(archive, text, len) == (la_ssize_t) len;
	archive_entry_free(entry);
	return good;
}

static aut_status
write_archive(struct archive *archive, const char *name, const char *text, size_t len, aut_buf *out,
			  aut_error *err)
{
	if (archive_write_set_format_gnutar(archive) == ARCHIVE_OK &&
		archive_write_add_filter_gzip(archive) == ARCHIVE_OK &&
		archive_write_set_options(archive, "gzip:!timestamp") >= ARCHIVE_WARN &&
		archive_write_set_bytes_in_last_block(archive, 1) == ARCHIVE_OK &&
		archive_write_open(archive, out, NULL, write_bytes, NULL) == ARCHIVE_OK &&
		write_entry(archive, name, text, len) && archive_write_close(archive) == ARCHIVE_OK)
		return AUT_OK;
	if (out->status != AUT_OK)
		return aut_fail(err, out->status, "no room for a tarball of %zu bytes", len);
	return aut_fail(err, AUT_EINTERNAL, "tarball: %s",
					archive_error_string(archive) != NULL ? archive_error_string(archive)
														  : "unknown error");
}

aut_status
aut_tarball_from_script(const char *name, const char *text, size_t len, void **out_data,
						size_t *out_len, aut_error *err)
{
	struct archive *archive;
	size_t made_len = 0;
	char *made = NULL;
	aut_status status;
	aut_buf buf;

	if (name == NULL || name[0] == '\0' || strlen(name) > NAME_BYTES_MAX ||
		strchr(name, '/') != NULL || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return aut_fail(err, AUT_EINVAL, "a script must have a plain file name of 1 to %d bytes",
						NAME_BYTES_MAX);
	if (len > AUT_UPLOAD_MAX)
		return aut_fail(err, AUT_ELIMIT, "a script must be at most %d bytes long", AUT_UPLOAD_MAX);
	archive = archive_write_new();
	if (archive == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for a tarball");
	aut_buf_init(&buf, len + len / 100 + OVERHEAD_MAX);
	status = write_archive(archive, name, text, len, &buf, err);
	(void) archive_write_free(
		archive); /* may still write when closing failed: the buffer outlives it */
	if (status == AUT_OK)
	{
		made = aut_buf_take(&buf, &made_len);
		if (made == NULL)
			status = aut_fail(err, AUT_ENOMEM, "out of memory for a tarball");
	}
	if (status == AUT_OK)
	{
		*out_data = made;
		*out_len = made_len;
	}
	aut_buf_done(&buf);
	return status;
}
