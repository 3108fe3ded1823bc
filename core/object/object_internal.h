/* SPDX-License-Identifier: MIT */
/*
 * core/object/object_internal.h - what the files of this room share.
 *
 *   objects.c   which store an operation goes to, the life of an operation
 *   folder.c    objects in a folder
 *   bucket.c    buckets: where they are, requests to them, addresses of tarballs in them
 *   sigv4.c     signed URLs; pure
 */
#ifndef AUT_OBJECT_INTERNAL_H
#define AUT_OBJECT_INTERNAL_H

#include "automation/object.h"

#define AUT_OBJECT_TIMEOUT_MS 60000

struct aut_objects
{
	aut_loop *loop;
	aut_http_client *http;
	const aut_settings *settings;
	const aut_clock *clock;
	aut_object_call *calls; /* under way */
};

typedef enum aut__verb
{
	AUT__PUT,
	AUT__GET,
	AUT__DELETE
} aut__verb;

struct aut_object_call
{
	aut_objects *objects;
	aut_object_call *next, **link;
	aut__verb verb;
	aut_object_cb cb;
	void *payload;
	aut_http_call *http; /* a bucket's */
	/* a folder's: what came out is told in a later round */
	aut_timer *timer;
	aut_status status;
	aut_error error;
	char *data;
	size_t len;
};

/* A new operation among those under way; NULL: no memory. */
aut_object_call *aut__object_begin(aut_objects *objects, aut__verb verb, aut_object_cb cb,
								   void *payload);
/* Tell and forget. */
void aut__object_end(aut_object_call *call, aut_status status, const void *data, size_t len,
					 const aut_error *error);

/* ---- folder.c: at once; these block as long as a commit does ---------------------------------- */

aut_status aut__folder_root(const aut_settings *settings, char **out, aut_error *err);
aut_status aut__folder_put(const char *root, const char *name, const void *data, size_t len,
						   aut_error *err);
aut_status aut__folder_get(const char *root, const char *name, size_t max, char **out,
						   size_t *out_len, aut_error *err);
aut_status aut__folder_delete(const char *root, const char *name, aut_error *err);

/* ---- bucket.c ---------------------------------------------------------------------------------- */

/* Where a bucket is and which key opens it; lives with the settings but for url. */
typedef struct aut__bucket
{
	char *url;  /* "https://s3.eu-west-1.amazonaws.com/bucket" */
	char *host; /* "s3.eu-west-1.amazonaws.com", as in the Host header */
	char *path; /* "/bucket" */
	const char *region, *key_id, *secret;
} aut__bucket;

/* bucket NULL: the configured one. */
aut_status aut__bucket_init(const aut_settings *settings, bool gcs, const char *bucket,
							aut__bucket *out, aut_error *err);
void aut__bucket_done(aut__bucket *bucket);
/* Start the request of a call. */
aut_status aut__bucket_send(aut_object_call *call, const aut__bucket *bucket, const char *name,
							const void *lent_data, size_t len, size_t max, int64_t timeout_ms,
							aut_error *err);

/* ---- sigv4.c ----------------------------------------------------------------------------------- */

typedef struct aut__signing
{
	const char *host, *path; /* path is encoded as it is sent */
	const char *region, *key_id, *secret;
	int64_t now_us, lifetime_s;
} aut__signing;

/* The query of a GET of host and path that is signed for lifetime_s (Signature Version 4). */
aut_status aut__sigv4_query(const aut__signing *signing, aut_buf *out, aut_error *err);

#endif
