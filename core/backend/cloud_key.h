/* SPDX-License-Identifier: MIT */
/*
 * core/backend/cloud_key.h - the one way to ask the cloud for a user's key with the service key.
 */
#ifndef AUT_CLOUD_KEY_H
#define AUT_CLOUD_KEY_H

#include "automation/net.h"

/* Strings and ids are copied by the client; cb gets the answer as it comes: aut__cloud_key_read. */
aut_status aut__cloud_key_ask(aut_http_client *http, const char *cloud_url, const char *service_key,
							  const aut_uuid *org_id, const aut_uuid *user_id, aut_http_cb cb,
							  void *payload, aut_http_call **out_call, aut_error *err);
/* The key in the answer; aut_free.  Else what was wrong, may_retry of its code tells whether it passes. */
aut_status aut__cloud_key_read(const aut_http_reply *reply, char **out, aut_error *err);

#endif
