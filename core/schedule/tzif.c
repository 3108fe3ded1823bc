/* SPDX-License-Identifier: MIT */
/*
 * core/schedule/tzif.c - reading TZif bytes (RFC 9636, versions 1 to 4) into a zone.
 *
 * The bytes may come from anywhere, so every count is checked against the length before it is
 * used, and what a zone promises (ascending transitions, types and abbreviations in range, sane
 * offsets) is checked once here and relied on afterwards.  A file of version 2 or later is read by
 * its 64-bit part and its footer.  Files that count leap seconds (the "right/" tree) are refused:
 * their instants are not UTC as this program knows it.  A zone is two allocations: itself with its
 * arrays, and its name.
 */
#include <string.h>

#include "core/schedule/tz.h"

#define HEADER_SIZE     44
#define TRANSITIONS_MAX 2000 /* the busiest real zones have about 250 */
#define ABBR_CHARS_MAX  4096
#define FOOTER_MAX      256

struct reader
{
	const unsigned char *at;
	size_t left;
};

struct header
{
	unsigned char version;
	size_t isut, isstd, leap, transitions, types, chars;
};

static uint32_t
get_u32(const unsigned char *p)
{
	return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | (uint32_t) p[3];
}

static int64_t
get_time(const unsigned char *p, size_t size)
{
	if (size == 4)
		return (int32_t) get_u32(p);
	return (int64_t) ((uint64_t) get_u32(p) << 32 | get_u32(p + 4));
}

static const unsigned char *
take(struct reader *in, size_t len)
{
	const unsigned char *at = in->at;

	if (in->left < len)
		return NULL;
	in->at += len;
	in->left -= len;
	return at;
}

static bool
take_header(struct reader *in, struct header *out)
{
	const unsigned char *p = take(in, HEADER_SIZE);

	if (p == NULL || memcmp(p, "TZif", 4) != 0)
		return false;
	out->version = p[4];
	out->isut = get_u32(p + 20);
	out->isstd = get_u32(p + 24);
	out->leap = get_u32(p + 28);
	out->transitions = get_u32(p + 32);
	out->types = get_u32(p + 36);
	out->chars = get_u32(p + 40);
	return true;
}

/* Bytes of the data block behind a header.  The counts have 32 bits: 64 never overflow. */
static uint64_t
block_size(const struct header *h, size_t time_size)
{
	return (uint64_t) h->transitions * (time_size + 1) + (uint64_t) h->types * 6 + h->chars +
		   (uint64_t) h->leap * (time_size + 4) + h->isstd + h->isut;
}

static aut_status
corrupt(const char *name, aut_error *err, const char *what)
{
	return aut_fail(err, AUT_ECORRUPT, "time zone file of \"%s\": %s", name, what);
}

/* A zone with room for what the header announces; the arrays lie behind the struct. */
static aut_tz *
zone_new(const char *name, const struct header *h)
{
	size_t at_size = h->transitions * sizeof(int64_t);
	size_t types_size = h->types * sizeof(aut__tz_type);
	char *memory =
		aut_calloc(1, sizeof(aut_tz) + at_size + types_size + h->transitions + h->chars + 1);
	aut_tz *tz = (aut_tz *) (void *) memory;

	if (tz == NULL)
		return NULL;
	tz->name = aut_strdup(name);
	if (tz->name == NULL)
	{
		aut_free(tz);
		return NULL;
	}
	tz->count = h->transitions;
	memory += sizeof(aut_tz);
	tz->at = (int64_t *) (void *) memory;
	memory += at_size;
	tz->types = (aut__tz_type *) (void *) memory;
	memory += types_size;
	tz->type = (uint8_t *) memory;
	memory += h->transitions;
	tz->abbrs = memory; /* calloc put the NUL behind the last */
	return tz;
}

static aut_status
read_transitions(aut_tz *tz, struct reader *in, const struct header *h, size_t time_size,
				 aut_error *err)
{
	const unsigned char *times = take(in, h->transitions * time_size);
	const unsigned char *indexes = take(in, h->transitions);
	size_t kept = 0;

	if (times == NULL || indexes == NULL)
		return corrupt(tz->name, err, "it is cut short");
	for (size_t i = 0; i < h->transitions; i++)
	{
		int64_t at = get_time(times + i * time_size, time_size);

		if (indexes[i] >= h->types)
			return corrupt(tz->name, err, "a transition names a type that does not exist");
		if (i > 0 && at <= get_time(times + (i - 1) * time_size, time_size))
			return corrupt(tz->name, err, "its transitions do not ascend");
		if (at >= AUT__TZ_END)
			return corrupt(tz->name, err, "a transition is too far away");
		/* Before the beginning of our time (some files mark the Big Bang): the last one holds. */
		if (at <= AUT__TZ_BEGIN)
			at = AUT__TZ_BEGIN;
		if (kept > 0 && tz->at[kept - 1] == at)
			kept--;
		tz->at[kept] = at;
		tz->type[kept] = indexes[i];
		kept++;
	}
	tz->count = kept;
	return AUT_OK;
}

static aut_status
read_types(aut_tz *tz, struct reader *in, const struct header *h, aut_error *err)
{
	const unsigned char *records = take(in, h->types * 6);
	const unsigned char *chars = take(in, h->chars);

	if (records == NULL || chars == NULL)
		return corrupt(tz->name, err, "it is cut short");
	memcpy(tz->abbrs, chars, h->chars);
	/* ASCII, because an abbreviation may begin in the middle of another */
	for (size_t i = 0; i < h->chars; i++)
	{
		if (chars[i] != 0 && (chars[i] <= ' ' || chars[i] > '~'))
			return corrupt(tz->name, err, "an abbreviation is not text");
	}
	for (size_t i = 0; i < h->types; i++)
	{
		int32_t offset = (int32_t) get_u32(records + i * 6);

		if (offset < -AUT__TZ_OFFSET_MAX || offset > AUT__TZ_OFFSET_MAX)
			return corrupt(tz->name, err, "an offset is more than 26 hours");
		if (records[i * 6 + 5] >= h->chars)
			return corrupt(tz->name, err, "an abbreviation lies outside");
		tz->types[i].offset = offset;
		tz->types[i].dst = records[i * 6 + 4] != 0;
		tz->types[i].abbr = records[i * 6 + 5];
	}
	return AUT_OK;
}

static aut_status
read_footer(aut_tz *tz, struct reader *in, aut_error *err)
{
	const unsigned char *begin = take(in, 1);
	const unsigned char *end;

	if (begin == NULL || *begin != '\n' || in->left == 0)
		return corrupt(tz->name, err, "its footer is missing");
	begin++;
	end = memchr(begin, '\n', in->left < FOOTER_MAX ? in->left : FOOTER_MAX);
	if (end == NULL)
		return corrupt(tz->name, err, "its footer does not end");
	if (!aut__tz_rule_parse((const char *) begin, (size_t) (end - begin), &tz->rule))
		return corrupt(tz->name, err, "the rule in its footer is malformed");
	return AUT_OK;
}

static aut_status
check_counts(const char *name, const struct header *h, size_t time_size, const struct reader *in,
			 aut_error *err)
{
	if (h->types == 0 || h->types > 256 || h->chars == 0 || h->chars > ABBR_CHARS_MAX ||
		h->transitions > TRANSITIONS_MAX)
		return corrupt(name, err, "its counts are out of range");
	if (block_size(h, time_size) > in->left)
		return corrupt(name, err, "it is cut short");
	if (h->leap != 0)
		return aut_fail(err, AUT_EUNSUPPORTED, "time zone file of \"%s\" counts leap seconds",
						name);
	return AUT_OK;
}

aut_status
aut_tz_parse(const char *name, const void *data, size_t len, aut_tz **out, aut_error *err)
{
	struct reader in = {data, len};
	struct header h;
	size_t time_size = 4;
	aut_tz *tz = NULL;
	aut_status status;

	if (!take_header(&in, &h))
		return corrupt(name, err, "it is not a TZif file");
	if (h.version >= '2')
	{
		uint64_t skip = block_size(&h, 4);

		if (skip > in.left || take(&in, (size_t) skip) == NULL || !take_header(&in, &h))
			return corrupt(name, err, "its second part is missing");
		time_size = 8;
	}
	status = check_counts(name, &h, time_size, &in, err);
	if (status != AUT_OK)
		return status;
	tz = zone_new(name, &h);
	if (tz == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory while loading time zone \"%s\"", name);
	status = read_transitions(tz, &in, &h, time_size, err);
	if (status == AUT_OK)
		status = read_types(tz, &in, &h, err);
	if (status == AUT_OK && take(&in, h.isstd + h.isut) == NULL)
		status = corrupt(name, err, "it is cut short");
	if (status == AUT_OK && time_size == 8)
		status = read_footer(tz, &in, err);
	if (status == AUT_OK)
		*out = tz;
	else
		aut_tz_free(tz);
	return status;
}

void
aut_tz_free(aut_tz *tz)
{
	if (tz == NULL)
		return;
	aut_free(tz->name);
	aut_free(tz);
}
