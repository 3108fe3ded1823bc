/* SPDX-License-Identifier: MIT */
/*
 * core/engine/blobs.c - tarballs in memory.
 *
 * An upload never changes, so the runs of an automation share one copy while any of them needs it; a
 * few that nobody needs just now are kept, because the next fire will.
 */
#include <string.h>

#include "core/engine/engine_internal.h"

#define IDLE_BYTES_MAX (16 * 1048576)

struct aut_blob
{
	aut_blob *next;
	aut_uuid upload_id;
	bool once; /* of no upload */
	int refs;
	size_t len;
	char data[];
};

aut_blob *
aut__blob_find(aut_engine *engine, const aut_uuid *upload_id)
{
	for (aut_blob **link = &engine->blobs; *link != NULL; link = &(*link)->next)
	{
		aut_blob *blob = *link;
		if (blob->once || !aut_uuid_equal(&blob->upload_id, upload_id))
			continue;
		*link = blob->next;
		blob->next = engine->blobs;
		engine->blobs = blob;
		blob->refs++;
		return blob;
	}
	return NULL;
}

/* Drop the least recently used ones that nobody holds until the rest fits. */
static void
trim(aut_engine *engine, size_t max)
{
	while (engine->blob_bytes > max)
	{
		aut_blob **victim = NULL;
		for (aut_blob **link = &engine->blobs; *link != NULL; link = &(*link)->next)
			if ((*link)->refs == 0)
				victim = link;
		if (victim == NULL)
			return;
		aut_blob *blob = *victim;
		*victim = blob->next;
		engine->blob_bytes -= blob->len;
		aut_free(blob);
	}
}

aut_blob *
aut__blob_add(aut_engine *engine, const aut_uuid *upload_id, const void *data, size_t len)
{
	aut_blob *blob = aut_malloc(sizeof *blob + len);
	if (blob == NULL)
		return NULL;
	blob->upload_id = upload_id != NULL ? *upload_id : AUT_UUID_NIL;
	blob->once = upload_id == NULL;
	blob->refs = 1;
	blob->len = len;
	if (len > 0)
		memcpy(blob->data, data, len);
	blob->next = engine->blobs;
	engine->blobs = blob;
	engine->blob_bytes += len;
	trim(engine, IDLE_BYTES_MAX);
	return blob;
}

const void *
aut__blob_data(const aut_blob *blob, size_t *out_len)
{
	*out_len = blob->len;
	return blob->data;
}

void
aut__blob_unref(aut_engine *engine, aut_blob *blob)
{
	if (blob == NULL)
		return;
	blob->refs--;
	if (blob->once)
	{
		aut_blob **link = &engine->blobs;
		while (*link != blob)
			link = &(*link)->next;
		*link = blob->next;
		engine->blob_bytes -= blob->len;
		aut_free(blob);
	}
	trim(engine, IDLE_BYTES_MAX);
}

void
aut__blobs_done(aut_engine *engine)
{
	while (engine->blobs != NULL)
	{
		aut_blob *next = engine->blobs->next;
		aut_free(engine->blobs);
		engine->blobs = next;
	}
	engine->blob_bytes = 0;
}
