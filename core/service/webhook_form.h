/* SPDX-License-Identifier: MIT */
/*
 * core/service/webhook_form.h - the bodies of custom webhooks as checked values.
 */
#ifndef AUT_SERVICE_WEBHOOK_FORM_H
#define AUT_SERVICE_WEBHOOK_FORM_H

#include "core/service/internal.h"

#define AUT__WEBHOOK_SOURCE_MAX 50

/* Members that were given in a body, null included. */
enum
{
	AUT__W_NAME = 1 << 0,
	AUT__W_SOURCE = 1 << 1,
	AUT__W_EXPR = 1 << 2,
	AUT__W_HEADER = 1 << 3,
	AUT__W_SCHEME = 1 << 4,
	AUT__W_ID_HEADER = 1 << 5,
	AUT__W_SECRET = 1 << 6,
	AUT__W_ENABLED = 1 << 7
};

/* POST /v1/webhooks (defaults filled in) or PATCH /v1/webhooks/{id} (NULL: absent or null, see given).
 * Texts live in the body. */
typedef struct aut__webhook_form
{
	unsigned given;
	const char *name, *event_key_expr, *signature_header, *signature_scheme, *event_id_header;
	const char *secret;                       /* NULL: to be made */
	char source[AUT__WEBHOOK_SOURCE_MAX + 1]; /* in lower case */
	bool has_enabled, enabled;
} aut__webhook_form;

/* AUT_EINVAL and *out_problems when the body does not pass. */
aut_status aut__webhook_form_create(const json_t *body, aut__webhook_form *out,
									json_t **out_problems, aut_error *err);
aut_status aut__webhook_form_update(const json_t *body, aut__webhook_form *out,
									json_t **out_problems, aut_error *err);

/* The path of a plugin inside its repository: relative, never upwards.  input: the member repo_path of
 * the object at `at`, a text (anything else passes, its type is judged where it is read). */
void aut__repo_path_rules(aut__problems *problems, const aut__loc *at, const json_t *input);

#endif
