/* SPDX-License-Identifier: MIT */
/*
 * include/automation/object.h - objects outside of the database: a folder, a bucket of S3 or of GCS.
 *
 * Uploads can be kept there in place of the database (setting file_store), and automations may name
 * tarballs in buckets.  Every operation is asynchronous on the loop: its callback runs exactly once, in
 * a later round, unless the operation is cancelled.  Nothing here is ever called inside a transaction.
 *
 * GCS is spoken to in the language of S3, which it understands with HMAC keys.
 */
#ifndef AUT_OBJECT_H
#define AUT_OBJECT_H

#include "automation/net.h"
#include "automation/settings.h"

/* The words of the setting file_store, as they stand in the record of an upload. */
#define AUT_STORE_DATABASE "database"
#define AUT_STORE_LOCAL    "local"
#define AUT_STORE_S3       "s3"
#define AUT_STORE_GCS      "gcs"

typedef struct aut_objects aut_objects;
typedef struct aut_object_call aut_object_call;

/* Settings are read at each use and must outlive it, as loop, client and clock. */
aut_status aut_objects_new(aut_loop *loop, aut_http_client *http, const aut_settings *settings,
						   const aut_clock *clock, aut_objects **out, aut_error *err);
void aut_objects_free(aut_objects *objects); /* cancels what is under way */

/* "automation/uploads/<org>/<user>/<upload>.tar" */
#define AUT_OBJECT_NAME_MAX 160
const char *aut_object_name(const aut_uuid *org_id, const aut_uuid *user_id,
							const aut_uuid *upload_id, char out[AUT_OBJECT_NAME_MAX]);

/* data lives until the callback returns.  ENOTFOUND: there is no such object; EDENIED: the store refuses
 * our key; a status that may be retried: the store is away or too busy. */
typedef void (*aut_object_cb)(void *payload, aut_status status, const void *data, size_t len,
							  const aut_error *error);

/* One operation; store is one of the words above (but "database").  Directly returned failures (the
 * store is not configured, no memory) run no callback.  *out_call may be NULL. */
aut_status aut_object_put(aut_objects *objects, const char *store, const char *name,
						  const void *lent_data, size_t len, aut_object_cb cb, void *payload,
						  aut_object_call **out_call, aut_error *err);
aut_status aut_object_get(aut_objects *objects, const char *store, const char *name, size_t max,
						  aut_object_cb cb, void *payload, aut_object_call **out_call,
						  aut_error *err);
/* What is not there counts as deleted. */
aut_status aut_object_delete(aut_objects *objects, const char *store, const char *name,
							 aut_object_cb cb, void *payload, aut_object_call **out_call,
							 aut_error *err);
void aut_object_cancel(aut_object_call *call); /* NULL is fine; not after its callback has run */

/* Does the configuration have what the chosen store needs?  EINVAL with what is missing. */
aut_status aut_objects_check(const aut_settings *settings, aut_error *err);

/* ---- tarballs in buckets: "s3://bucket/name", "gs://bucket/name" ------------------------------- */

bool aut_object_is_address(const char *address);
/* May automations run what is there?  Only what the setting object_sources lists, and never what people
 * uploaded here.  EDENIED or EINVAL, with the reason. */
aut_status aut_object_address_check(const aut_settings *settings, const char *address,
									aut_error *err);
/* A URL from which anybody can download it for that long (checked as above); aut_free. */
aut_status aut_object_sign_url(const aut_objects *objects, const char *address, int64_t lifetime_s,
							   char **out, aut_error *err);
/* Its bytes (checked as above). */
aut_status aut_object_fetch(aut_objects *objects, const char *address, size_t max,
							int64_t timeout_s, aut_object_cb cb, void *payload,
							aut_object_call **out_call, aut_error *err);

#endif
