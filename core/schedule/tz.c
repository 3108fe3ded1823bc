/* SPDX-License-Identifier: MIT */
/*
 * core/schedule/tz.c - finding a zone by its name, keeping it, and asking it about instants.
 *
 * Owns the cache: every zone asked for is loaded once and lives until the process ends (or
 * aut_tz_cache_clear, which tests use and which invalidates every pointer handed out).  It is
 * bounded by the number of zone files.  The only I/O of core/schedule is here: one regular file of
 * at most FILE_MAX bytes under the zone folder.  Names cannot leave that folder.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/schedule/tz.h"

#define DEFAULT_FOLDER "/usr/share/zoneinfo"
#define FILE_MAX       (1024 * 1024)
#define BUCKETS        64
#define PATH_BYTES     4096

static aut_tz *cache[BUCKETS];

/* ---- names and files ----------------------------------------------------------------------- */

static const char *
zone_folder(void)
{
	const char *folder = getenv("AUTOMATION_TZDIR");

	if (folder == NULL || *folder == '\0')
		folder = getenv("TZDIR");
	return folder != NULL && *folder != '\0' ? folder : DEFAULT_FOLDER;
}

/* Parts of letters, digits and "+-_." joined by single slashes; no part is "." or "..". */
static bool
name_is_key(const char *name)
{
	size_t part = 0; /* length of the part so far */
	bool only_dots = true;

	for (const char *p = name;; p++)
	{
		char c = *p;

		if (c == '/' || c == '\0')
		{
			if (part == 0 || only_dots)
				return false;
			if (c == '\0')
				return (size_t) (p - name) <= AUT_TZ_NAME_MAX;
			part = 0;
			only_dots = true;
			continue;
		}
		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
			  c == '+' || c == '-' || c == '_' || c == '.'))
			return false;
		part++;
		only_dots = only_dots && c == '.';
	}
}

static aut_status
unknown_zone(const char *name, aut_error *err)
{
	return aut_fail(
		err, AUT_EINVAL,
		"unknown time zone \"%.60s\": expected a name of the tz database like Europe/Berlin "
		"or UTC (upper and lower case matter)",
		aut_utf8_valid(name, strlen(name)) ? name : "?");
}

/* Fill buf from an open file. */
static aut_status
read_all(int fd, const char *path, aut_buf *buf, aut_error *err)
{
	char chunk[8192];

	for (;;)
	{
		ssize_t got = read(fd, chunk, sizeof chunk);

		if (got == 0)
			return AUT_OK;
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return aut_fail_errno(err, AUT_EIO, errno, "cannot read %s", path);
		if (aut_buf_append(buf, chunk, (size_t) got) == AUT_ENOMEM)
			return aut_fail(err, AUT_ENOMEM, "out of memory while reading %s", path);
		if (buf->status != AUT_OK)
			return aut_fail(err, AUT_EINVAL, "%s is too large for a time zone file", path);
	}
}

/* AUT_EINVAL: there is no such file, or it is not one a zone could come from. */
static aut_status
read_zone_file(const char *name, aut_buf *buf, aut_error *err)
{
	char path[PATH_BYTES];
	struct stat info;
	aut_status status = AUT_OK;
	int len = snprintf(path, sizeof path, "%s/%s", zone_folder(), name);
	int fd;

	if (len < 0 || (size_t) len >= sizeof path)
		return unknown_zone(name, err);
	/* not blocking: a name could lead to a fifo */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG ||
				   errno == EACCES || errno == ELOOP))
		return unknown_zone(name, err);
	if (fd < 0)
		return aut_fail_errno(err, AUT_EIO, errno, "cannot open %s", path);
	if (fstat(fd, &info) != 0)
		status = aut_fail_errno(err, AUT_EIO, errno, "cannot look at %s", path);
	else if (!S_ISREG(info.st_mode))
		status = unknown_zone(name, err);
	else
		status = read_all(fd, path, buf, err);
	(void) close(fd);
	return status;
}

/* UTC must be there even on a machine without tz database: version 2, one type, an empty rule. */
static const unsigned char utc_file[] = "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
										"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
										"TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
										"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\4"
										"\0\0\0\0\0\0UTC\0\nUTC0\n";

static aut_status
load(const char *name, aut_tz **out, aut_error *err)
{
	aut_buf file;
	aut_status status;

	aut_buf_init(&file, FILE_MAX);
	status = read_zone_file(name, &file, err);
	if (status == AUT_OK)
	{
		status = aut_tz_parse(name, file.data, file.len, out, err);
		/* The folder holds other files too (zone.tab): by that name there is no zone. */
		if (status == AUT_ECORRUPT && (file.len < 4 || memcmp(file.data, "TZif", 4) != 0))
			status = unknown_zone(name, err);
		else if (status == AUT_ECORRUPT || status == AUT_EUNSUPPORTED)
		{
			status = AUT_EINVAL;
			if (err != NULL)
				err->code = status;
		}
	}
	else if (status == AUT_EINVAL && strcmp(name, "UTC") == 0)
		status = aut_tz_parse(name, utc_file, sizeof utc_file - 1, out, err);
	aut_buf_done(&file);
	return status;
}

/* ---- cache --------------------------------------------------------------------------------- */

static size_t
bucket_of(const char *name)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (; *name != '\0'; name++)
		hash = (hash ^ (unsigned char) *name) * 16777619u;
	return hash % BUCKETS;
}

aut_status
aut_tz_get(const char *name, const aut_tz **out, aut_error *err)
{
	aut_tz *tz = NULL;
	aut_status status;
	size_t bucket;

	if (name == NULL || *name == '\0')
		return aut_fail(err, AUT_EINVAL,
						"no time zone given: expected a name like Europe/Berlin or UTC");
	if (!name_is_key(name))
		return unknown_zone(name, err);
	bucket = bucket_of(name);
	for (tz = cache[bucket]; tz != NULL; tz = tz->next)
	{
		if (strcmp(tz->name, name) == 0)
		{
			*out = tz;
			return AUT_OK;
		}
	}
	status = load(name, &tz, err);
	if (status != AUT_OK)
		return status;
	tz->next = cache[bucket];
	cache[bucket] = tz;
	*out = tz;
	return AUT_OK;
}

void
aut_tz_cache_clear(void)
{
	for (size_t i = 0; i < BUCKETS; i++)
	{
		while (cache[i] != NULL)
		{
			aut_tz *tz = cache[i];

			cache[i] = tz->next;
			aut_tz_free(tz);
		}
	}
}

/* ---- instants ------------------------------------------------------------------------------ */

void
aut__tz_segment_at(const aut_tz *tz, int64_t at, aut__tz_segment *out)
{
	size_t low = 0;
	size_t high = tz->count; /* the first transition after `at` is in [low, high] */
	const aut__tz_type *type;

	while (low < high)
	{
		size_t middle = low + (high - low) / 2;

		if (tz->at[middle] <= at)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == tz->count && tz->rule.present)
	{
		aut__tz_rule_at(&tz->rule, at, out);
		if (low > 0 && out->begin < tz->at[low - 1])
			out->begin = tz->at[low - 1];
		return;
	}
	type = &tz->types[low > 0 ? tz->type[low - 1] : 0];
	out->begin = low > 0 ? tz->at[low - 1] : AUT__TZ_BEGIN;
	out->end = low < tz->count ? tz->at[low] : AUT__TZ_END;
	out->offset = type->offset;
	out->dst = type->dst;
	out->abbr = tz->abbrs + type->abbr;
}

void
aut_tz_info(const aut_tz *tz, int64_t time_us, int32_t *out_offset_s, const char **out_abbr,
			bool *out_dst)
{
	aut__tz_segment segment;
	int64_t at = time_us / AUT_US_PER_S;

	if (time_us % AUT_US_PER_S < 0)
		at--;
	aut__tz_segment_at(tz, at, &segment);
	if (out_offset_s != NULL)
		*out_offset_s = segment.offset;
	if (out_abbr != NULL)
		*out_abbr = segment.abbr;
	if (out_dst != NULL)
		*out_dst = segment.dst;
}

/* ---- the list of names --------------------------------------------------------------------- */

struct names
{
	char **item;
	size_t count;
	size_t cap;
};

#define NAMES_MAX 5000
#define DEPTH_MAX 4 /* America/Argentina/Ushuaia is three deep */

/* Things in the folder that are no names of the tz database, or the whole tree once more. */
static bool
is_foreign(const char *name)
{
	static const char *const foreign[] = {"posix", "right", "posixrules", "localtime", "Factory"};

	for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++)
	{
		if (strcmp(name, foreign[i]) == 0)
			return true;
	}
	return false;
}

static aut_status
names_add(struct names *names, const char *name, aut_error *err)
{
	char *copy = NULL;

	if (names->count == NAMES_MAX)
		return aut_fail(err, AUT_ELIMIT, "more than %d time zones", NAMES_MAX);
	if (names->count == names->cap)
	{
		size_t cap = names->cap != 0 ? names->cap * 2 : 512;
		char **item = aut_realloc(names->item, cap * sizeof *item);

		if (item != NULL)
		{
			names->item = item;
			names->cap = cap;
		}
	}
	if (names->count < names->cap)
		copy = aut_strdup(name);
	if (copy == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory while listing time zones");
	names->item[names->count++] = copy;
	return AUT_OK;
}

static bool
is_zone_file(const char *path)
{
	char magic[4];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	bool is =
		fd >= 0 && read(fd, magic, sizeof magic) == sizeof magic && memcmp(magic, "TZif", 4) == 0;

	if (fd >= 0)
		(void) close(fd);
	return is;
}

/* `prefix` is "" or ends in a slash.  What cannot be opened or is no zone is passed over. */
static aut_status
walk(const char *prefix, int depth, struct names *names, aut_error *err)
{
	char path[PATH_BYTES];
	char name[AUT_TZ_NAME_MAX + 1];
	struct dirent *entry;
	struct stat info;
	aut_status status = AUT_OK;
	DIR *folder;
	int len = snprintf(path, sizeof path, "%s/%s", zone_folder(), prefix);

	if (len < 0 || (size_t) len >= sizeof path)
		return AUT_OK;
	folder = opendir(path);
	if (folder == NULL)
		return AUT_OK;
	while (status == AUT_OK && (entry = readdir(folder)) != NULL)
	{
		if (entry->d_name[0] == '.' || (depth == 0 && is_foreign(entry->d_name)))
			continue;
		len = snprintf(name, sizeof name - 1, "%s%s", prefix, entry->d_name);
		if (len < 0 || (size_t) len >= sizeof name - 1 || !name_is_key(name))
			continue;
		len = snprintf(path, sizeof path, "%s/%s", zone_folder(), name);
		if (len < 0 || (size_t) len >= sizeof path || stat(path, &info) != 0)
			continue;
		if (S_ISREG(info.st_mode) && is_zone_file(path))
			status = names_add(names, name, err);
		else if (S_ISDIR(info.st_mode) && depth < DEPTH_MAX)
		{
			size_t end = strlen(name);

			name[end] = '/';
			name[end + 1] = '\0';
			status = walk(name, depth + 1, names, err);
		}
	}
	(void) closedir(folder);
	return status;
}

static int
compare_names(const void *a, const void *b)
{
	const char *const *x = a;
	const char *const *y = b;

	return strcmp(*x, *y);
}

aut_status
aut_tz_list(json_t *array, aut_error *err)
{
	struct names names = {NULL, 0, 0};
	aut_status status = walk("", 0, &names, err);

	if (status == AUT_OK && names.count == 0)
		status = names_add(&names, "UTC", err);
	if (status == AUT_OK)
		qsort(names.item, names.count, sizeof *names.item, compare_names);
	for (size_t i = 0; i < names.count && status == AUT_OK; i++)
	{
		if (json_array_append_new(array, json_string(names.item[i])) != 0)
			status = aut_fail(err, AUT_ENOMEM, "out of memory while listing time zones");
	}
	for (size_t i = 0; i < names.count; i++)
		aut_free(names.item[i]);
	aut_free(names.item);
	return status;
}
