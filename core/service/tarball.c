/* SPDX-License-Identifier: MIT */
/*
 * core/service/tarball.c - tarballs in memory: made of texts, or of another tarball with some members
 * replaced.
 *
 * The same texts always give the same bytes: root-owned, time 0, no name or time in the gzip header.
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
/* Of a tarball that is read: what it may unpack to, and how many members it may have. */
#define UNPACKED_MAX (16 * 1024 * 1024)
#define ENTRIES_MAX  10000
#define PIECE        65536

/* One tarball in the making. */
typedef struct writing
{
	struct archive *archive;
	aut_buf buf;
	size_t bytes, entries; /* copied so far */
} writing;

static la_ssize_t
write_bytes(struct archive *archive, void *payload, const void *data, size_t len)
{
	aut_buf *out = payload;

	if (aut_buf_append(out, data, len) == AUT_OK)
		return (la_ssize_t) len;
	archive_set_error(archive, -1, "no room for the tarball");
	return -1;
}

static aut_status
write_failed(const writing *w, aut_error *err)
{
	const char *why = archive_error_string(w->archive);

	if (w->buf.status != AUT_OK)
		return aut_fail(err, w->buf.status, "no room for a tarball beyond %zu bytes", w->buf.len);
	return aut_fail(err, AUT_EINTERNAL, "tarball: %s", why != NULL ? why : "unknown error");
}

static bool
write_entry(struct archive *archive, const aut__member *member)
{
	struct archive_entry *entry = archive_entry_new();
	bool good = false;

	if (entry == NULL)
		return false;
	archive_entry_set_pathname(entry, member->name);
	archive_entry_set_size(entry, (la_int64_t) member->len);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, member->executable ? 0755 : 0644);
	archive_entry_set_mtime(entry, 0, 0);
	archive_entry_set_uid(entry, 0);
	archive_entry_set_gid(entry, 0);
	archive_entry_set_uname(entry, "root");
	archive_entry_set_gname(entry, "root");
	if (archive_write_header(archive, entry) >= ARCHIVE_WARN)
		good = member->len == 0 ||
			   archive_write_data(archive, member->data, member->len) == (la_ssize_t) member->len;
	archive_entry_free(entry);
	return good;
}

static bool
write_begin(writing *w)
{
	return archive_write_set_format_gnutar(w->archive) == ARCHIVE_OK &&
		   archive_write_add_filter_gzip(w->archive) == ARCHIVE_OK &&
		   archive_write_set_options(w->archive, "gzip:!timestamp") >= ARCHIVE_WARN &&
		   archive_write_set_bytes_in_last_block(w->archive, 1) == ARCHIVE_OK &&
		   archive_write_open(w->archive, &w->buf, NULL, write_bytes, NULL) == ARCHIVE_OK;
}

/* ---- copying -------------------------------------------------------------------------------- */

static aut_status
read_failed(struct archive *from, aut_error *err)
{
	const char *why = archive_error_string(from);

	return aut_fail(err, AUT_EBADREQ, "the tarball cannot be read: %s",
					why != NULL ? why : "unknown error");
}

/* Names are bytes: a new entry has them as they came, whatever charset its header spoke of. */
static struct archive_entry *
entry_like(struct archive_entry *old, const char *name)
{
	struct archive_entry *entry = archive_entry_new();
	const char *symlink = archive_entry_symlink(old);
	const char *hardlink = archive_entry_hardlink(old);

	if (entry == NULL)
		return NULL;
	archive_entry_set_pathname(entry, name);
	archive_entry_set_filetype(entry, archive_entry_filetype(old));
	archive_entry_set_perm(entry, archive_entry_perm(old));
	archive_entry_set_size(entry, hardlink != NULL ? 0 : archive_entry_size(old));
	archive_entry_set_mtime(entry, archive_entry_mtime(old), 0);
	archive_entry_set_uid(entry, archive_entry_uid(old));
	archive_entry_set_gid(entry, archive_entry_gid(old));
	archive_entry_set_uname(entry, "root");
	archive_entry_set_gname(entry, "root");
	if (symlink != NULL)
		archive_entry_set_symlink(entry, symlink);
	if (hardlink != NULL)
		archive_entry_set_hardlink(entry, hardlink);
	return entry;
}

static aut_status
copy_entry(writing *w, struct archive *from, struct archive_entry *old, const char *name,
		   aut_error *err)
{
	struct archive_entry *entry = entry_like(old, name);
	la_ssize_t got = 0;
	char piece[PIECE];
	aut_status status = AUT_OK;

	if (entry == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for a tarball");
	if (archive_write_header(w->archive, entry) < ARCHIVE_WARN)
		status = write_failed(w, err);
	while (status == AUT_OK && (got = archive_read_data(from, piece, sizeof piece)) > 0)
	{
		w->bytes += (size_t) got;
		if (w->bytes > UNPACKED_MAX)
			status = aut_fail(err, AUT_ELIMIT, "the tarball unpacks to more than %d bytes",
							  UNPACKED_MAX);
		else if (archive_write_data(w->archive, piece, (size_t) got) != got)
			status = write_failed(w, err);
	}
	if (status == AUT_OK && got < 0)
		status = read_failed(from, err);
	archive_entry_free(entry);
	return status;
}

static aut__member *
member_named(aut__member *members, size_t count, const char *name)
{
	if (strncmp(name, "./", 2) == 0)
		name += 2;
	for (size_t i = 0; i < count; i++)
	{
		if (strcmp(members[i].name, name) == 0)
			return &members[i];
	}
	return NULL;
}

/* Every member of the old tarball at its place: replaced, left out, or as it is. */
static aut_status
copy_all(writing *w, struct archive *from, aut__member *members, size_t count, aut_error *err)
{
	struct archive_entry *entry;
	aut_status status = AUT_OK;
	int result = ARCHIVE_OK;

	while (status == AUT_OK && (result = archive_read_next_header(from, &entry)) >= ARCHIVE_WARN &&
		   result != ARCHIVE_EOF)
	{
		const char *name = archive_entry_pathname(entry);
		aut__member *member;

		if (name == NULL)
			name = archive_entry_pathname_utf8(entry);
		if (name == NULL || ++w->entries > ENTRIES_MAX)
			return aut_fail(err, AUT_EBADREQ, "the tarball has %s",
							name == NULL ? "a member without a name" : "too many members");
		member = member_named(members, count, name);
		if (member == NULL)
			status = copy_entry(w, from, entry, name, err);
		else if (!member->found && member->data != NULL && !write_entry(w->archive, member))
			status = write_failed(w, err);
		if (member != NULL)
			member->found = true;
	}
	if (status == AUT_OK && result != ARCHIVE_EOF)
		status = read_failed(from, err);
	return status;
}

static aut_status
copy_tarball(writing *w, const void *base, size_t base_len, aut__member *members, size_t count,
			 aut_error *err)
{
	struct archive *from = archive_read_new();
	aut_status status;

	if (from == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for a tarball");
	if (archive_read_support_filter_gzip(from) < ARCHIVE_WARN ||
		archive_read_support_format_tar(from) < ARCHIVE_WARN ||
		archive_read_open_memory(from, base, base_len) != ARCHIVE_OK)
		status = read_failed(from, err);
	else
		status = copy_all(w, from, members, count, err);
	(void) archive_read_free(from);
	return status;
}

/* ---- making --------------------------------------------------------------------------------- */

static aut_status
write_all(writing *w, const void *base, size_t base_len, aut__member *members, size_t count,
		  aut_error *err)
{
	aut_status status = AUT_OK;

	if (!write_begin(w))
		return write_failed(w, err);
	if (base != NULL)
		status = copy_tarball(w, base, base_len, members, count, err);
	for (size_t i = 0; status == AUT_OK && i < count; i++)
	{
		if (!members[i].found && members[i].data != NULL && !write_entry(w->archive, &members[i]))
			status = write_failed(w, err);
	}
	if (status == AUT_OK && archive_write_close(w->archive) != ARCHIVE_OK)
		status = write_failed(w, err);
	return status;
}

aut_status
aut__tarball_write(const void *base, size_t base_len, aut__member *members, size_t count,
				   size_t max, void **out_data, size_t *out_len, aut_error *err)
{
	writing w = {.archive = archive_write_new()};
	size_t made_len = 0;
	char *made = NULL;
	aut_status status;

	if (w.archive == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for a tarball");
	aut_buf_init(&w.buf, max);
	status = write_all(&w, base, base_len, members, count, err);
	/* may still write when closing failed: the buffer outlives it */
	(void) archive_write_free(w.archive);
	if (status == AUT_OK)
	{
		made = aut_buf_take(&w.buf, &made_len);
		if (made == NULL)
			status = aut_fail(err, AUT_ENOMEM, "out of memory for a tarball");
	}
	if (status == AUT_OK)
	{
		*out_data = made;
		*out_len = made_len;
	}
	aut_buf_done(&w.buf);
	return status;
}

aut_status
aut_tarball_from_script(const char *name, const char *text, size_t len, void **out_data,
						size_t *out_len, aut_error *err)
{
	aut__member script = {.name = name, .data = text, .len = len, .executable = true};

	if (name == NULL || name[0] == '\0' || strlen(name) > NAME_BYTES_MAX ||
		strchr(name, '/') != NULL || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return aut_fail(err, AUT_EINVAL, "a script must have a plain file name of 1 to %d bytes",
						NAME_BYTES_MAX);
	if (len > AUT_UPLOAD_MAX)
		return aut_fail(err, AUT_ELIMIT, "a script must be at most %d bytes long", AUT_UPLOAD_MAX);
	return aut__tarball_write(NULL, 0, &script, 1, len + len / 100 + OVERHEAD_MAX, out_data,
							  out_len, err);
}
