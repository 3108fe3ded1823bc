/* SPDX-License-Identifier: MIT */
/*
 * core/backend/cloud_key.c - asks the cloud for a user's key (contract/cloud-api.md).
 *
 * Keys live in memory only and are never logged.
 */
#include <string.h>

#include "core/backend/cloud_key.h"

#define TIMEOUT_MS 30000
#define REPLY_MAX  1048576

aut_status
aut__cloud_key_ask(aut_http_client *http, const char *cloud_url, const char *service_key,
				   const aut_uuid *org_id, const aut_uuid *user_id, aut_http_cb cb, void *payload,
				   aut_http_call **out_call, aut_error *err)
{
	static const char BODY[] = "{\"name\":\"automation\"}";
	char user[AUT_UUID_TEXT_MAX], org[AUT_UUID_TEXT_MAX];
	char *url = aut_printf("%s/api/service/users/%s/orgs/%s/api-keys", cloud_url,
						   aut_uuid_format(user_id, user), aut_uuid_format(org_id, org));
	char *header = aut_printf("X-Service-API-Key: %s", service_key);
	const char *headers[] = {header, NULL};
	aut_status status;

	if (url != NULL && header != NULL)
	{
		aut_http_request request = {.method = "POST",
									.url = url,
									.headers = headers,
									.body = BODY,
									.body_len = sizeof BODY - 1,
									.content_type = "application/json",
									.timeout_ms = TIMEOUT_MS,
									.reply_max = REPLY_MAX,
									.cb = cb,
									.payload = payload};
		status = aut_http_send(http, &request, out_call, err);
	}
	else
		status = aut_fail(err, AUT_ENOMEM, "no memory for a call to the cloud");
	if (header != NULL)
		explicit_bzero(header, strlen(header));
	aut_free(url);
	aut_free(header);
	return status;
}

aut_status
aut__cloud_key_read(const aut_http_reply *reply, char **out, aut_error *err)
{
	json_t *root = NULL;
	const char *key = NULL;
	char *copy = NULL;
	aut_status status = reply->status;

	if (status != AUT_OK)
	{
		*err = reply->error;
		return aut_error_context(err, "the cloud was asked for a key of the automation's user");
	}
	if (reply->code < 200 || reply->code > 299)
	{
		bool passes = reply->code == 408 || reply->code == 429 || reply->code >= 500;

		(void) aut_fail(err, passes ? AUT_EUNAVAILABLE : AUT_EPROTO,
						"the cloud made no key for the automation's user: HTTP %d: %.200s",
						reply->code, reply->body);
		err->http_status = reply->code;
		return err->code;
	}
	if (aut_json_parse(reply->body, reply->body_len, &root, NULL) == AUT_OK)
		key = aut_json_string(root, "key");
	if (key == NULL || key[0] == '\0' || strpbrk(key, "\r\n") != NULL)
		status =
			aut_fail(err, AUT_EPROTO,
					 "the cloud made no key for the automation's user: its answer has no \"key\"");
	else if ((copy = aut_strdup(key)) == NULL)
		status = aut_fail(err, AUT_ENOMEM, "no memory for a user's key");
	else
		*out = copy;
	json_decref(root);
	return status;
}
