/* SPDX-License-Identifier: MIT */
/*
 * include/automation/event.h - events from outside: is it genuine, what does it call itself, whom may
 * it concern.
 *
 * A delivery arrives as bytes with headers.  Its way through this room:
 *
 *     aut_signature_check     did somebody who knows the secret sign these bytes?
 *     aut_event_read          bytes to payload, event key and what a run receives
 *     aut_event_key_by        the key of a custom webhook, by its expression
 *     aut_pattern_match       does a trigger's `on` name this key?
 *     aut_subject_key         what is the event about, and which conversation goes on with it
 *
 * Pure functions: no database, no clock of their own, no state.  Filters over payloads are JMESPath
 * (match.h).  What is genuine but cannot be used is not an error: the delivery is acknowledged and
 * aut_event says why nothing came of it.
 */
#ifndef AUT_EVENT_H
#define AUT_EVENT_H

#include "automation/match.h"

#define AUT_EVENT_BODY_MAX    (8 * 1024 * 1024) /* a door may allow less */
#define AUT_EVENT_KEY_MAX     4096              /* bytes; what calls itself longer is ignored */
#define AUT_PATTERN_MAX       4096 /* bytes; a longer pattern matches nothing but what it spells */
#define AUT_SUBJECT_KEY_MAX   500  /* code points */
#define AUT_TURN_TEXT_MAX     (1024 * 1024)
#define AUT_EVENT_WHY_MAX     240
#define AUT_SIGNATURE_SLACK_S 300 /* how far a signed timestamp may be from now, either way */

/* ---- signatures ------------------------------------------------------------------------------ */

#define AUT_SCHEME_HMAC_HEX "hmac_sha256_hex"
#define AUT_SCHEME_STANDARD "standard_webhooks"
#define AUT_SCHEME_SLACK    "slack_v0"

/* Header names of the built-in sources and of custom webhooks that name none. */
#define AUT_SIGNATURE_HEADER_BUILTIN "X-Hub-Signature-256"
#define AUT_SIGNATURE_HEADER_CUSTOM  "X-Signature-256"

/* How a request's header is asked for: by name in any case; NULL when absent. */
typedef const char *aut_event_header(void *payload, const char *name);

typedef struct aut_signature
{
	const char *scheme; /* NULL: hmac_sha256_hex */
	const char *secret; /* UTF-8, never empty: who has no secret has no source */
	const char *header; /* name of the header that carries the signature */
	aut_event_header *get_header;
	void *get_payload;
	const void *body; /* the signed bytes as they came */
	size_t body_len;
	int64_t now_us;
} aut_signature;

/*
 * AUT_OK: genuine.  AUT_EUNAUTH: header missing, timestamp too far away, or no match; the message says
 * which, and nothing of the secret or of what would have been right.  AUT_ECORRUPT: a scheme that does
 * not exist.  The time taken does not depend on where a wrong signature differs.
 */
aut_status aut_signature_check(const aut_signature *signature, aut_error *err);
/* Is it one of the three? */
bool aut_signature_scheme_known(const char *scheme);

/* ---- documents ------------------------------------------------------------------------------- */

/*
 * JSON as the reference reads it.  Against strict JSON: a byte order mark, NaN and the infinities pass,
 * as do numbers beyond the range of a machine's; a NUL and lone surrogates in texts become U+FFFD (no
 * database of ours could keep them).  Numbers that no json_t can hold are nodes of the nearest value,
 * and the document remembers which nodes those are and what they stand for.
 */
typedef struct aut_event_number
{
	const json_t *node; /* lives in root */
	char *text;         /* as Python writes it: all digits of an integer, "inf", "-inf", "nan" */
} aut_event_number;

typedef struct aut_event_doc
{
	json_t *root;
	aut_event_number *numbers; /* ordered by node */
	size_t count;
} aut_event_doc;

/* AUT_EBADREQ with line and column; AUT_ELIMIT: longer than AUT_EVENT_BODY_MAX. */
aut_status aut_event_doc_read(const char *text, size_t len, aut_event_doc *out, aut_error *err);
void aut_event_doc_done(aut_event_doc *doc);
/* What a node stands for that no json_t can hold, or NULL: the node is what it seems. */
const char *aut_event_doc_number(const aut_event_doc *doc, const json_t *node);
/* value (of doc, or made of parts of it) as strict compact JSON: integers whole, infinities and NaN as
 * null.  doc may be NULL. */
aut_status aut_event_doc_write(const aut_event_doc *doc, const json_t *value, aut_buf *out);

/* ---- events ---------------------------------------------------------------------------------- */

/* One delivery, read. */
typedef struct aut_event
{
	aut_event_doc doc;
	const json_t *payload;       /* what filters see; lives in doc */
	char *key;                   /* NULL: to be acknowledged and ignored */
	char *run_payload;           /* JSON text for the run; NULL with key */
	char why[AUT_EVENT_WHY_MAX]; /* why it is ignored; names members, never their values */
} aut_event;

void aut_event_done(aut_event *event);
/* github, bitbucket_data_center, jira_dc, azure_devops: configured by the operator, no webhook row. */
bool aut_event_is_builtin(const char *source);
/* The header with the delivery's id, or NULL: the built-in source has none. */
const char *aut_event_delivery_header(const char *source);
/* How GitHub's kinds of events are told apart, in the order in which they are asked for: by members that
 * a payload has (second may be NULL).  supported: the others are ignored. */
typedef struct aut_github_family
{
	const char *name, *first, *second;
	bool supported;
} aut_github_family;
bool aut_github_family_at(size_t index, aut_github_family *out); /* false behind the last */
/*
 * Read a delivery's body.  AUT_EBADREQ: no JSON, or no payload in it, or (bitbucket_data_center, jira_dc,
 * azure_devops) a payload without members.  Of a custom source (any other name) the body is the payload,
 * and the key is still to be set.
 */
aut_status aut_event_read(const char *source, const char *body, size_t len, aut_event *out,
						  aut_error *err);
/*
 * The key of a custom source: value is what its event_key_expr (by default `type`) came to on the
 * payload.  Texts as they are, also empty ones; numbers and booleans as text; anything else: ignored.
 * AUT_EBADREQ: neither a key nor a payload with members.
 */
#define AUT_EVENT_KEY_EXPR_DEFAULT "type"
aut_status aut_event_set_key(aut_event *event, const char *source, const json_t *value,
							 aut_error *err);
/*
 * The same with the expression itself; payload is that of the event, and can be the one that filters are
 * asked with.  Only the standard functions.  An expression that fails (an unknown function, a wrong type of
 * argument) gives no key; AUT_EBADREQ, as in the reference, where it orders a text against a number.
 */
aut_status aut_event_key_by(aut_event *event, const char *source, const aut_jmespath *expr,
							const aut_payload *payload, aut_error *err);
/* Make a scalar text as event keys and subjects are: Python's str().  *out stays NULL for null, lists
 * and objects.  doc may be NULL. */
aut_status aut_event_scalar_text(const aut_event_doc *doc, const json_t *value, char **out,
								 aut_error *err);

/* ---- patterns -------------------------------------------------------------------------------- */

/* Shell-style glob over the whole text, case-sensitive, by code points: * any run (dots, slashes and
 * line ends included), ? one, [set], [!set].  An unclosed [ is itself. */
bool aut_glob_match(const char *pattern, size_t pattern_len, const char *text, size_t text_len);
/* A trigger's `on`: a pattern or a list of them.  A pattern also matches the key it spells. */
bool aut_pattern_match(const json_t *on, const char *key);
/* Length of the family in front of the first dot; what a forwarder is asked for. */
size_t aut_pattern_family(const char *pattern);

/* ---- the index over triggers ------------------------------------------------------------------- */

/*
 * An event should meet only the automations it may concern.  So each trigger has keys, and each event asks
 * for the few keys that fit it.  A key is a scope, and perhaps a text that the payload must have somewhere:
 *
 *   scope   "=push" for a pattern without wildcards, ".pull_request" for one whose family is spelled out
 *           ("pull_request.*"), "*" for all others
 *   path    where the filter, whatever else it says, cannot be true unless the text there is the one with
 *           that hash: from `repository.full_name == 'o/r' && …`; "" when it says nothing of the kind
 *
 * Candidates are still judged by pattern and filter: a key may let too many through, never too few.
 */
#define AUT_TRIGGER_SOURCE_MAX 255 /* bytes; no delivery has a longer one */
#define AUT_TRIGGER_SCOPE_MAX  256 /* bytes, with the NUL */
#define AUT_TRIGGER_PATH_MAX   256
#define AUT_TRIGGER_KEYS_MAX   64 /* a trigger with more patterns has the one key "*" */
#define AUT_EVENT_SCOPES_MAX   3

typedef struct aut_trigger_key
{
	char scope[AUT_TRIGGER_SCOPE_MAX];
	char path[AUT_TRIGGER_PATH_MAX];
	int64_t literal;
} aut_trigger_key;

/* The keys of a stored trigger (AUT_TRIGGER_KEYS_MAX at most, aut_free) and its source, which lives in
 * trigger; none when no delivery can ever concern it (cron, `manual`, `sql`). */
aut_status aut_trigger_keys(const json_t *trigger, aut_trigger_key **out, size_t *out_count,
							const char **out_source, aut_error *err);
/* The scopes an event with that key asks for; returns how many. */
size_t aut_event_scopes(const char *key, char out[AUT_EVENT_SCOPES_MAX][AUT_TRIGGER_SCOPE_MAX]);
/* The hash of the text the payload has at path; false when it has none there. */
bool aut_event_literal(const json_t *payload, const char *path, int64_t *out);

/* ---- subjects and conversations -------------------------------------------------------------- */

/*
 * What an expression over the payload came to, as a subject key: texts trimmed, numbers as text;
 * anything else, a blank or more than AUT_SUBJECT_KEY_MAX: *out stays NULL, there is no subject.
 */
aut_status aut_subject_key(const aut_event_doc *doc, const json_t *value, char **out,
						   aut_error *err);
/* The same for turn_text_expr, which may be as long as AUT_TURN_TEXT_MAX. */
aut_status aut_turn_text(const aut_event_doc *doc, const json_t *value, char **out, aut_error *err);
/* Both with the expression itself and all functions; one that fails gives NULL. */
aut_status aut_subject_key_by(const aut_jmespath *expr, const aut_payload *payload, char **out,
							  aut_error *err);
aut_status aut_turn_text_by(const aut_jmespath *expr, const aut_payload *payload, char **out,
							aut_error *err);
/* The turn text without an expression: the message the payload carries, or the payload itself. */
aut_status aut_turn_text_default(const char *source, const char *key, const json_t *payload,
								 char **out, aut_error *err);
/* The conversation of a subject: the same for the same subject, forever. */
aut_status aut_conversation_id(const aut_uuid *org_id, const aut_uuid *automation_id,
							   const char *source, const char *subject_key, aut_uuid *out,
							   aut_error *err);

#endif
