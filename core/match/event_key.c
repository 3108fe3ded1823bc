/* SPDX-License-Identifier: MIT */
/*
 * core/match/event_key.c - from the bytes of a delivery to payload, event key and what a run receives.
 *
 * Built-in sources are forwarded by another service, which wraps what the provider sent:
 * {"payload": ...}.  GitHub's are read through a typed model (github.c), the three others carry their
 * key in one member.  Of a custom webhook the body itself is the payload, and an expression of its
 * owner's names the key.
 *
 * A delivery that is JSON but cannot be used is ignored, not refused: the provider did nothing wrong, and
 * a refusal would only make it send again.  Refused (400) is what cannot come from a provider at all.
 */
#include <stdio.h>
#include <string.h>

#include "core/match/internal.h"

/* A body grows at most sixfold where its control characters are escaped; the model adds little. */
#define RUN_PAYLOAD_MAX ((size_t) 7 * AUT_EVENT_BODY_MAX)

/* The sources the operator configures. */
static const struct
{
	const char *name;
	const char *key_member; /* of the payload; NULL: GitHub */
	const char *run_member; /* under which the run receives the key, in the provider's name */
	const char *delivery_header;
} builtins[] = {{"github", NULL, NULL, "X-GitHub-Delivery"},
				{"azure_devops", "eventType", "event_type", NULL},
				{"bitbucket_data_center", "eventKey", "event_key_value", NULL},
				{"jira_dc", "webhookEvent", "webhook_event", NULL}};

#define BUILTINS (sizeof builtins / sizeof builtins[0])

/* Its place in builtins, or BUILTINS. */
static size_t
builtin_index(const char *source)
{
	size_t i = 0;

	while (i < BUILTINS && strcmp(builtins[i].name, source) != 0)
		i++;
	return i;
}

bool
aut_event_is_builtin(const char *source)
{
	return builtin_index(source) < BUILTINS;
}

const char *
aut_event_delivery_header(const char *source)
{
	size_t i = builtin_index(source);

	return i < BUILTINS ? builtins[i].delivery_header : NULL;
}

void
aut_event_done(aut_event *event)
{
	if (event == NULL)
		return;
	aut_free(event->key);
	aut_free(event->run_payload);
	aut_event_doc_done(&event->doc);
	memset(event, 0, sizeof *event);
}

void
aut__event_ignore(aut_event *event, const char *fmt, ...)
{
	va_list args;
	int wrote;

	if (event->why[0] != '\0')
		return; /* the first reason is the cause of the others */
	va_start(args, fmt);
	wrote = vsnprintf(event->why, sizeof event->why, fmt, args);
	va_end(args);
	/* a cut reason may end inside a character: cut that too */
	if (wrote >= (int) sizeof event->why)
		event->why[aut_utf8_boundary(event->why, sizeof event->why - 1)] = '\0';
}

/* ---- what a run receives ------------------------------------------------------------------------ */

static aut_status
no_memory(aut_error *err)
{
	return aut_fail(err, AUT_ENOMEM, "out of memory while reading an event");
}

/*
 * The end of every way to a key: model (taken) with the key as its last member becomes the text for the
 * run.  A key that is too long makes the event one to ignore.
 */
static aut_status
finish(aut_event *event, json_t *take_model, char *take_key, aut_error *err)
{
	aut_status status = AUT_OK;
	char *text = NULL;
	aut_buf out;

	if (take_key != NULL && strlen(take_key) > AUT_EVENT_KEY_MAX)
	{
		aut__event_ignore(event, "the event key is longer than %d bytes", AUT_EVENT_KEY_MAX);
		json_decref(take_model);
		aut_free(take_key);
		return AUT_OK;
	}
	aut_buf_init(&out, RUN_PAYLOAD_MAX);
	if (take_model == NULL || take_key == NULL ||
		!aut_json_set(take_model, "event_key", json_string(take_key)))
		status = AUT_ENOMEM;
	if (status == AUT_OK)
		status = aut_event_doc_write(&event->doc, take_model, &out);
	if (status == AUT_OK)
		text = aut_buf_take(&out, NULL);
	aut_buf_done(&out);
	json_decref(take_model);
	if (text == NULL)
	{
		aut_free(take_key);
		return no_memory(err);
	}
	event->key = take_key;
	event->run_payload = text;
	return AUT_OK;
}

/* {<name>: <value>, "payload": <payload>} or the other way round. */
static json_t *
wrapped(const aut_event *event, const char *name, const char *value, bool payload_first)
{
	json_t *payload = (json_t *) (uintptr_t) event->payload;
	json_t *out = json_object();
	bool good = out != NULL;

	if (payload_first)
		good = good && aut_json_set(out, "payload", json_incref(payload));
	good = good && aut_json_set(out, name, json_string(value));
	if (!payload_first)
		good = good && aut_json_set(out, "payload", json_incref(payload));
	if (good)
		return out;
	json_decref(out);
	return NULL;
}

/* ---- built-in sources ---------------------------------------------------------------------------- */

static aut_status
read_github(aut_event *event, aut_error *err)
{
	json_t *model = NULL;
	char *key = NULL;
	aut_status status = aut__github_read(event, &model, &key, err);

	return status == AUT_OK && model != NULL ? finish(event, model, key, err) : status;
}

static aut_status
read_keyed(aut_event *event, size_t which, aut_error *err)
{
	const char *member = builtins[which].key_member;
	const char *key = aut_json_string(event->payload, member);

	if (!json_is_object(event->payload))
		return aut_fail(err, AUT_EBADREQ, "the payload of %s must be an object",
						builtins[which].name);
	if (key == NULL || *key == '\0')
	{
		aut__event_ignore(event, "payload.%s must be a text that is not empty", member);
		return AUT_OK;
	}
	return finish(event, wrapped(event, builtins[which].run_member, key, false), aut_strdup(key),
				  err);
}

aut_status
aut_event_read(const char *source, const char *body, size_t len, aut_event *out, aut_error *err)
{
	size_t which = builtin_index(source);
	aut_event event = {0};
	aut_status status = aut_event_doc_read(body, len, &event.doc, err);

	if (status != AUT_OK)
		return status;
	event.payload = which < BUILTINS ? json_object_get(event.doc.root, "payload") : event.doc.root;
	if (event.payload == NULL)
		status = aut_fail(err, AUT_EBADREQ,
						  "events of %s must be an object with the member \"payload\"", source);
	else if (which == BUILTINS)
		status = AUT_OK; /* the key is set by who has the expression */
	else if (builtins[which].key_member == NULL)
		status = read_github(&event, err);
	else
		status = read_keyed(&event, which, err);
	if (status == AUT_OK)
		*out = event;
	else
		aut_event_done(&event);
	return status;
}

/* ---- custom webhooks ----------------------------------------------------------------------------- */

/* The end of every way to a custom key; take_key NULL: there is none. */
static aut_status
set_text(aut_event *event, const char *source, char *take_key, aut_error *err)
{
	if (json_is_object(event->payload))
	{
		if (take_key != NULL)
			return finish(event, wrapped(event, "source_override", source, true), take_key, err);
		aut__event_ignore(event, "event_key_expr gives no text, number or boolean on this payload");
		return AUT_OK;
	}
	/* the reference tells these two apart, so do we */
	if (take_key == NULL)
		return aut_fail(err, AUT_EBADREQ,
						"the payload must be an object on which event_key_expr gives a key");
	aut__event_ignore(event, "the payload must be an object");
	aut_free(take_key);
	return AUT_OK;
}

aut_status
aut_event_set_key(aut_event *event, const char *source, const json_t *value, aut_error *err)
{
	char *key = NULL;
	aut_status status = aut_event_scalar_text(&event->doc, value, &key, err);

	if (status == AUT_ELIMIT)
	{
		aut__event_ignore(event, "the event key is longer than %d bytes", AUT_EVENT_KEY_MAX);
		return AUT_OK;
	}
	return status == AUT_OK ? set_text(event, source, key, err) : status;
}

aut_status
aut_event_key_by(aut_event *event, const char *source, const aut_jmespath *expr,
				 const aut_payload *payload, aut_error *err)
{
	aut_match_options options = AUT_MATCH_OPTIONS_INIT;
	aut_match_result result = {0};
	char *key = NULL;
	aut_error why = AUT_ERROR_INIT;
	aut_status status;

	options.standard_only = true;
	status = aut_jmespath_search(expr, payload, &options, &result, &why);
	if (status == AUT_EINVAL || status == AUT_ELIMIT)
	{
		aut__event_ignore(event, "event_key_expr fails on this payload: %s", why.message);
		return AUT_OK;
	}
	if (status != AUT_OK)
	{
		if (err != NULL)
			*err = why;
		(void) aut_error_context(err, "event_key_expr");
		return status;
	}
	if (result.text_len > AUT_EVENT_KEY_MAX)
		aut__event_ignore(event, "the event key is longer than %d bytes", AUT_EVENT_KEY_MAX);
	else
	{
		status = aut__result_text(&result, &key, err);
		if (status == AUT_OK)
			status = set_text(event, source, key, err);
	}
	aut_match_result_done(&result);
	return status;
}
