/* SPDX-License-Identifier: MIT */
/*
 * standalone/client_pack.c - a script or a folder as the gzip tarball that a run unpacks.
 *
 * Bounded everywhere: bytes read, entries, bytes packed (the server takes 1 MiB).  A folder keeps its
 * files' permission bits and times; owners are dropped.  What cannot work or should not travel is
 * refused with its path: sockets and devices, links that leave the folder.  `.git` is left out.
 * Entries are in sorted order, so that the same folder gives the same tarball.
 */
#include <archive.h>
#include <archive_entry.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "automation/service.h"
#include "standalone/client_priv.h"

/* ---- reading ------------------------------------------------------------------------------------- */

static aut_status
read_all(int fd, const char *path, size_t max, aut_buf *out, aut_error *err)
{
	char piece[65536];

	for (;;)
	{
		ssize_t n = read(fd, piece, sizeof piece);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return aut_fail_errno(err, AUT_EIO, errno, "%s", path);
		if (n == 0)
			return AUT_OK;
		if (out->len + (size_t) n > max)
			return aut_fail(err, AUT_ELIMIT, "%s is larger than %zu bytes", path, max);
		if (aut_buf_append(out, piece, (size_t) n) != AUT_OK)
			return aut_fail(err, out->status, "%s: %s", path, aut_status_text(out->status));
	}
}

aut_status
client_read_file(const char *path, size_t max, aut_buf *out, aut_error *err)
{
	struct stat about;
	aut_status status;
	int fd;

	if (strcmp(path, "-") == 0)
		return read_all(STDIN_FILENO, "standard input", max, out, err);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return aut_fail_errno(err, errno == ENOENT ? AUT_ENOTFOUND : AUT_EIO, errno, "%s", path);
	if (fstat(fd, &about) != 0)
		status = aut_fail_errno(err, AUT_EIO, errno, "%s", path);
	else if (S_ISDIR(about.st_mode))
		status = aut_fail(err, AUT_EINVAL, "%s is a folder, a file is needed", path);
	else
		status = read_all(fd, path, max, out, err);
	(void) close(fd);
	return status;
}

aut_status
client_pack_tarball(const char *path, aut_buf *out, aut_error *err)
{
	aut_status status = client_read_file(path, CLIENT_PACK_MAX, out, err);

	if (status == AUT_ELIMIT)
		return aut_fail(err, AUT_ELIMIT,
						"%s is larger than 1 MiB (%d bytes), the most that can be uploaded", path,
						CLIENT_PACK_MAX);
	if (status != AUT_OK)
		return status;
	if (out->len < 2 || memcmp(out->data, "\x1f\x8b", 2) != 0)
		return aut_fail(err, AUT_EINVAL, "%s is not a gzip tarball; make it with: tar czf", path);
	return AUT_OK;
}

/* ---- a script ------------------------------------------------------------------------------------- */

/* The last part of path, with only characters that need no quoting in an entrypoint. */
static void
script_name(const char *path, char *out, size_t size)
{
	const char *slash = strrchr(path, '/');
	const char *from = strcmp(path, "-") == 0 ? "script" : slash != NULL ? slash + 1 : path;
	size_t len = 0;

	for (; *from != '\0' && len + 1 < size; from++)
	{
		bool plain = isalnum((unsigned char) *from) || strchr("._-", *from) != NULL;

		out[len++] = plain ? *from : '_';
	}
	/* a leading dash would be an option, a leading dot a hidden file or the folder itself */
	if (len > 0 && (out[0] == '-' || out[0] == '.'))
		out[0] = '_';
	out[len] = '\0';
}

static bool
ends_with(const char *text, const char *end)
{
	size_t len = strlen(text);
	size_t n = strlen(end);

	return len >= n && strcmp(text + len - n, end) == 0;
}

static char *
script_entry(const char *name, const aut_buf *text)
{
	if (text->len >= 2 && memcmp(text->data, "#!", 2) == 0)
		return aut_printf("./%s", name);
	if (ends_with(name, ".py"))
		return aut_printf("python3 %s", name);
	if (ends_with(name, ".bash"))
		return aut_printf("bash %s", name);
	return aut_printf("sh %s", name);
}

aut_status
client_pack_script(const char *path, aut_buf *out, char **out_entry, aut_error *err)
{
	char name[100];
	char *entry = NULL;
	void *packed = NULL;
	size_t len = 0;
	aut_buf text;
	aut_status status;

	aut_buf_init(&text, CLIENT_PACK_UNPACKED_MAX);
	script_name(path, name, sizeof name);
	status = client_read_file(path, CLIENT_PACK_UNPACKED_MAX, &text, err);
	if (status != AUT_OK)
		goto out;
	if (text.len == 0 || name[0] == '\0')
	{
		status = aut_fail(err, AUT_EINVAL, "%s is empty", path);
		goto out;
	}
	status = aut_tarball_from_script(name, text.data, text.len, &packed, &len, err);
	if (status != AUT_OK)
		goto out;
	if (len > CLIENT_PACK_MAX)
	{
		status =
			aut_fail(err, AUT_ELIMIT,
					 "%s takes %zu bytes packed, more than the %d (1 MiB) that can be uploaded",
					 path, len, CLIENT_PACK_MAX);
		goto out;
	}
	entry = script_entry(name, &text);
	if (entry == NULL || aut_buf_append(out, packed, len) != AUT_OK)
	{
		status = aut_fail(err, AUT_ENOMEM, "out of memory");
		goto out;
	}
	*out_entry = entry;
	entry = NULL;
out:
	aut_free(entry);
	aut_free(packed);
	aut_buf_done(&text);
	return status;
}

/* ---- a folder -------------------------------------------------------------------------------------- */

typedef struct packing
{
	struct archive *archive;
	aut_buf *out;
	const char *root;
	size_t root_len; /* of the root and the slash behind it in the paths that fts gives */
	size_t entries;
	uint64_t content; /* bytes before packing */
} packing;

static la_ssize_t
on_packed(struct archive *archive, void *payload, const void *data, size_t len)
{
	packing *p = payload;

	if (p->out->len + len > CLIENT_PACK_MAX || aut_buf_append(p->out, data, len) != AUT_OK)
	{
		archive_set_error(archive, EFBIG, "too large");
		return -1;
	}
	return (la_ssize_t) len;
}

static aut_status
archive_failure(const packing *p, const char *path, aut_error *err)
{
	const char *text = archive_error_string(p->archive);

	if (p->out->status == AUT_ENOMEM)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	if (archive_errno(p->archive) == EFBIG)
		return aut_fail(
			err, AUT_ELIMIT,
			"%s takes more than 1 MiB (%d bytes) packed, the most that can be uploaded; "
			"let setup.sh fetch what is large",
			p->root, CLIENT_PACK_MAX);
	return aut_fail(err, AUT_EIO, "%s: %s", path, text != NULL ? text : "could not be packed");
}

static aut_status
pack_content(packing *p, const char *path, int64_t size, aut_error *err)
{
	char piece[65536];
	aut_status status = AUT_OK;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return aut_fail_errno(err, AUT_EIO, errno, "%s", path);
	while (status == AUT_OK && size > 0)
	{
		ssize_t n = read(fd, piece, (uint64_t) size < sizeof piece ? (size_t) size : sizeof piece);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			status = aut_fail_errno(err, AUT_EIO, errno, "%s", path);
		else if (n == 0)
			status = aut_fail(err, AUT_EIO, "%s became shorter while it was read; try again", path);
		else if (archive_write_data(p->archive, piece, (size_t) n) != n)
			status = archive_failure(p, path, err);
		else
			size -= n;
	}
	(void) close(fd);
	return status;
}

/*
 * Does a link in the folder stay inside?  Counted by names, without touching the disk: depth is how
 * deep the link's own folder is below the root.
 */
static bool
link_stays_inside(const char *target, int depth)
{
	if (*target == '/' || *target == '\0')
		return false;
	while (*target != '\0')
	{
		size_t len = strcspn(target, "/");

		if (len == 2 && memcmp(target, "..", 2) == 0)
			depth--;
		else if (len > 0 && !(len == 1 && *target == '.'))
			depth++;
		if (depth < 0)
			return false;
		target += len;
		while (*target == '/')
			target++;
	}
	return true;
}

static aut_status
set_link(struct archive_entry *entry, const FTSENT *at, aut_error *err)
{
	char target[4097];
	ssize_t len = readlink(at->fts_accpath, target, sizeof target - 1);

	if (len < 0)
		return aut_fail_errno(err, AUT_EIO, errno, "%s", at->fts_path);
	target[len] = '\0';
	if (!link_stays_inside(target, at->fts_level - 1))
		return aut_fail(err, AUT_EINVAL,
						"%s is a link to %.200s, outside the folder: it would mean something else "
						"where the run works; copy the file or remove the link",
						at->fts_path, target);
	archive_entry_set_filetype(entry, AE_IFLNK);
	archive_entry_set_symlink(entry, target);
	return AUT_OK;
}

/* Header and content of one thing in the folder. */
static aut_status
pack_entry(packing *p, const FTSENT *at, aut_error *err)
{
	const struct stat *about = at->fts_statp;
	const char *inside = at->fts_path + p->root_len;
	struct archive_entry *entry = archive_entry_new();
	bool file = S_ISREG(about->st_mode);
	aut_status status = AUT_OK;

	if (entry == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	archive_entry_set_pathname(entry, inside);
	archive_entry_set_perm(entry, about->st_mode & 0777);
	archive_entry_set_mtime(entry, about->st_mtime, 0);
	archive_entry_set_size(entry, file ? about->st_size : 0);
	if (file)
		archive_entry_set_filetype(entry, AE_IFREG);
	else if (S_ISDIR(about->st_mode))
		archive_entry_set_filetype(entry, AE_IFDIR);
	else if (S_ISLNK(about->st_mode))
		status = set_link(entry, at, err);
	else
		status = aut_fail(err, AUT_EINVAL,
						  "%s is neither file, folder nor link; it cannot be packed", at->fts_path);
	if (status == AUT_OK && file)
	{
		p->content += (uint64_t) about->st_size;
		if (p->content > CLIENT_PACK_UNPACKED_MAX)
			status = aut_fail(err, AUT_ELIMIT, "%s holds more than %d MiB", p->root,
							  CLIENT_PACK_UNPACKED_MAX / 1048576);
	}
	if (status == AUT_OK && archive_write_header(p->archive, entry) != ARCHIVE_OK)
		status = archive_failure(p, at->fts_path, err);
	if (status == AUT_OK && file)
		status = pack_content(p, at->fts_accpath, about->st_size, err);
	archive_entry_free(entry);
	return status;
}

static int
by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* One thing that fts found. */
static aut_status
visit(packing *p, FTS *walk, FTSENT *at, aut_error *err)
{
	if (at->fts_info == FTS_DNR || at->fts_info == FTS_ERR || at->fts_info == FTS_NS)
		return aut_fail_errno(err, AUT_EIO, at->fts_errno, "%s", at->fts_path);
	if (at->fts_info == FTS_DP || at->fts_level == 0) /* the way back up; the folder itself */
		return AUT_OK;
	if (strcmp(at->fts_name, ".git") == 0)
	{
		(void) fts_set(walk, at, FTS_SKIP);
		return AUT_OK;
	}
	if (++p->entries > CLIENT_PACK_ENTRIES_MAX)
		return aut_fail(err, AUT_ELIMIT, "%s holds more than %d files and folders", p->root,
						CLIENT_PACK_ENTRIES_MAX);
	return pack_entry(p, at, err);
}

static aut_status
pack_tree(packing *p, aut_error *err)
{
	char *root = aut_strdup(p->root); /* fts wants it writable */
	char *const paths[] = {root, NULL};
	FTS *walk = NULL;
	aut_status status = AUT_OK;

	if (root == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	/* FTS_COMFOLLOW: the folder named by the user may be a link; links below are packed as links */
	walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_COMFOLLOW, by_name);
	if (walk == NULL)
		status = aut_fail_errno(err, AUT_EIO, errno, "%s", p->root);
	while (status == AUT_OK)
	{
		FTSENT *at;

		errno = 0;
		at = fts_read(walk);
		if (at == NULL)
		{
			if (errno != 0)
				status = aut_fail_errno(err, AUT_EIO, errno, "%s", p->root);
			break;
		}
		status = visit(p, walk, at, err);
	}
	if (walk != NULL)
		(void) fts_close(walk);
	aut_free(root);
	return status;
}

/* How the folder is started when nobody says so. */
static char *
dir_entry(const char *root)
{
	static const struct
	{
		const char *file, *command;
	} known[] = {
		{"main.py", "python3 main.py"}, {"main.sh", "sh main.sh"}, {"run.sh", "sh run.sh"}};

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
	{
		char *path = aut_printf("%s/%s", root, known[i].file);
		bool there = path != NULL && access(path, R_OK) == 0;

		aut_free(path);
		if (there)
			return aut_strdup(known[i].command);
	}
	return NULL;
}

aut_status
client_pack_dir(const char *path, aut_buf *out, char **out_entry, aut_error *err)
{
	packing p = {.out = out};
	struct stat about;
	size_t len = strlen(path);
	char *root;
	aut_status status;

	if (len == 0)
		return aut_fail(err, AUT_EINVAL, "the name of the folder is empty");
	while (len > 1 && path[len - 1] == '/')
		len--;
	root = aut_strndup(path, len);
	p.archive = archive_write_new();
	if (root == NULL || p.archive == NULL)
	{
		status = aut_fail(err, AUT_ENOMEM, "out of memory");
		goto out;
	}
	p.root = root;
	p.root_len = root[len - 1] == '/' ? len : len + 1;
	if (stat(root, &about) != 0)
	{
		status = aut_fail_errno(err, errno == ENOENT ? AUT_ENOTFOUND : AUT_EIO, errno, "%s", path);
		goto out;
	}
	if (!S_ISDIR(about.st_mode))
	{
		status =
			aut_fail(err, AUT_EINVAL, "%s is no folder; a single file goes with --script", path);
		goto out;
	}
	if (archive_write_set_format_pax_restricted(p.archive) != ARCHIVE_OK ||
		archive_write_add_filter_gzip(p.archive) != ARCHIVE_OK ||
		/* no time of packing in the gzip header: the same folder gives the same bytes */
		archive_write_set_options(p.archive, "gzip:!timestamp") != ARCHIVE_OK ||
		archive_write_set_bytes_in_last_block(p.archive, 1) != ARCHIVE_OK ||
		archive_write_open(p.archive, &p, NULL, on_packed, NULL) != ARCHIVE_OK)
	{
		status = archive_failure(&p, path, err);
		goto out;
	}
	status = pack_tree(&p, err);
	if (status == AUT_OK && archive_write_close(p.archive) != ARCHIVE_OK)
		status = archive_failure(&p, path, err);
	if (status == AUT_OK && p.entries == 0)
		status = aut_fail(err, AUT_EINVAL, "%s is empty", path);
	if (status == AUT_OK)
		*out_entry = dir_entry(root);
out:
	(void) archive_write_free(p.archive);
	aut_free(root);
	return status;
}
