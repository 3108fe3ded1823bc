/* SPDX-License-Identifier: MIT */
/*
 * test/fuzz/fuzz_pack.c - a folder made of anything, packed for a run, and what is in the tarball then.
 *
 * The input is a little program: it makes files (of hostile names, sparse ones, links that share an inode),
 * folders, links to anywhere and pipes.  What is packed without a complaint names nothing outside the folder,
 * holds only files, folders and links that stay inside, keeps the limits, and is the same the second time.
 */
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "standalone/client_priv.h"

#define STEPS_MAX 40
#define DEPTH_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct input
{
	const uint8_t *at;
	size_t left;
} input;

static void
must(bool holds)
{
	if (!holds)
		abort();
}

static unsigned
next(input *in)
{
	unsigned byte = in->left > 0 ? *in->at : 0;

	in->at += in->left > 0 ? 1 : 0;
	in->left -= in->left > 0 ? 1 : 0;
	return byte;
}

/* A text of at most `max` bytes; of a name: without slashes. */
static void
next_text(input *in, char *out, size_t max, bool name)
{
	size_t len = next(in) % max;

	for (size_t i = 0; i < len; i++)
	{
		unsigned byte = next(in);

		out[i] = byte == 0 || (name && byte == '/') ? '_' : (char) byte;
	}
	out[len] = '\0';
	if (name && (len == 0 || strcmp(out, ".") == 0 || strcmp(out, "..") == 0))
		(void) strcpy(out, "x");
}

static void
make_file(int folder, const char *name, input *in)
{
	static const char some[4096] = {1};
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, next(in) & 0777);
	unsigned kind = next(in);

	if (fd < 0)
		return;
	if (kind < 8) /* a hole beyond all limits */
		must(ftruncate(fd, (off_t) CLIENT_PACK_UNPACKED_MAX + 1 + kind) == 0);
	else if (kind < 16)
		must(ftruncate(fd, (off_t) kind * 10000) == 0);
	else
		must(write(fd, some, kind * 16) >= 0);
	must(close(fd) == 0);
}

/* Make what the input says below `root`; everything may fail, as it likes. */
static void
make_tree(int root, input *in)
{
	int folders[DEPTH_MAX] = {root};
	int depth = 0;
	char name[256], first[256] = "";
	int first_folder = -1;

	for (int step = 0; step < STEPS_MAX && in->left > 0; step++)
	{
		unsigned what = next(in) % 7;
		char target[300];

		if (what == 6)
		{
			if (depth > 0)
				must(close(folders[depth--]) == 0);
			if (first_folder > depth)
				first_folder = -1;
			continue;
		}
		next_text(in, name, 254, true);
		switch (what)
		{
			case 0:
			case 1:
				make_file(folders[depth], name, in);
				if (first_folder < 0)
				{
					(void) snprintf(first, sizeof first, "%s", name);
					first_folder = depth;
				}
				break;
			case 2:
				if (depth + 1 < DEPTH_MAX && mkdirat(folders[depth], name, 0700) == 0)
				{
					int fd = openat(folders[depth], name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

					must(fd >= 0);
					folders[++depth] = fd;
				}
				break;
			case 3:
				next_text(in, target, sizeof target, false);
				(void) !symlinkat(target, folders[depth], name);
				break;
			case 4:
				(void) !mkfifoat(folders[depth], name, 0600);
				break;
			default:
				if (first_folder >= 0)
					(void) !linkat(folders[first_folder], first, folders[depth], name, 0);
				break;
		}
	}
	while (depth > 0)
		must(close(folders[depth--]) == 0);
}

static bool
stays_inside(const char *path, int depth)
{
	if (path[0] == '/' || path[0] == '\0')
		return false;
	while (*path != '\0')
	{
		size_t len = strcspn(path, "/");

		if (len == 2 && memcmp(path, "..", 2) == 0)
			depth--;
		else if (len > 0 && !(len == 1 && path[0] == '.'))
			depth++;
		if (depth < 0)
			return false;
		path += len;
		path += strspn(path, "/");
	}
	return true;
}

/* Is one of the path's names ".."?  A name may end in dots: "x../file" climbs nowhere. */
static bool
climbs(const char *path)
{
	while (*path != '\0')
	{
		size_t len = strcspn(path, "/");

		if (len == 2 && memcmp(path, "..", 2) == 0)
			return true;
		path += len;
		path += strspn(path, "/");
	}
	return false;
}

static int
depth_of(const char *path)
{
	int depth = 0;

	for (; *path != '\0'; path++)
		depth += *path == '/' && path[1] != '\0';
	return depth;
}

static void
check(const aut_buf *packed)
{
	struct archive *archive = archive_read_new();
	struct archive_entry *entry = NULL;
	size_t entries = 0;
	int64_t content = 0;

	must(archive != NULL && packed->len <= CLIENT_PACK_MAX);
	must(archive_read_support_format_tar(archive) == ARCHIVE_OK);
	must(archive_read_support_filter_gzip(archive) == ARCHIVE_OK);
	must(archive_read_open_memory(archive, packed->data, packed->len) == ARCHIVE_OK);
	while (archive_read_next_header(archive, &entry) == ARCHIVE_OK)
	{
		const char *path = archive_entry_pathname(entry);
		const char *link = archive_entry_symlink(entry);

		must(archive_entry_hardlink(entry) == NULL);
		if (path != NULL) /* not in this locale: not to be judged here */
			must(stays_inside(path, 0) && !climbs(path));
		if (archive_entry_filetype(entry) == AE_IFLNK)
			must(path == NULL || link == NULL || stays_inside(link, depth_of(path)));
		else
			must(archive_entry_filetype(entry) == AE_IFREG ||
				 archive_entry_filetype(entry) == AE_IFDIR);
		must((archive_entry_perm(entry) & 07000) == 0);
		content += archive_entry_size(entry);
		entries++;
	}
	must(entries > 0 && entries <= CLIENT_PACK_ENTRIES_MAX);
	must(content <= CLIENT_PACK_UNPACKED_MAX);
	(void) archive_read_free(archive);
}

static int
remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where)
{
	(void) info;
	(void) kind;
	(void) where;
	return remove(path);
}

static bool
pack(const char *folder, aut_buf *out)
{
	aut_error err = AUT_ERROR_INIT;
	char *entry = NULL;
	aut_status status;

	aut_buf_init(out, CLIENT_PACK_MAX);
	status = client_pack_dir(folder, out, &entry, &err);
	must(status == AUT_OK || (err.message[0] != '\0' && entry == NULL));
	aut_free(entry);
	return status == AUT_OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char folder[] = "/tmp/aut-fuzz-pack.XXXXXX";
	input in = {data, size};
	aut_buf packed, again;
	int fd;

	must(mkdtemp(folder) != NULL);
	fd = open(folder, O_RDONLY | O_DIRECTORY);
	must(fd >= 0);
	make_tree(fd, &in);
	must(close(fd) == 0);
	if (pack(folder, &packed))
	{
		check(&packed);
		must(pack(folder, &again));
		must(again.len == packed.len && memcmp(again.data, packed.data, packed.len) == 0);
		aut_buf_done(&again);
	}
	aut_buf_done(&packed);
	must(nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0);
	return 0;
}
