/* SPDX-License-Identifier: MIT */
/*
 * standalone/cmd_eval.c - `automation eval`: questions about pure functions, one JSON object a line.
 *
 * The questions have the schemas of test/vectors; an answer has the question's id and the members that
 * answer it.  A line that is no question gives an answer that says so, and the next is read.  No daemon, no
 * database, no network, no clock.
 *
 *   cron, cron-due   cmd_schedule.c
 *   filter           {expression, payload}
 *   event-key        kinds event, pattern, event_type, subject, conversation_id
 *   signature        {scheme, secret, signature_header, headers, body | body_b64, now}
 *   validate         {kind, input}
 *
 * What comes after `cron` is read leniently, as events are: integers of any size and NaN are what they are.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <openssl/evp.h>

#include "automation/event.h"
#include "automation/service.h"
#include "standalone/cmd_eval.h"
#include "standalone/cmd_schedule.h"

#define LINE_BYTES_MAX ((size_t) 1 << 20)

/* A question, and of its answer what no json_t can hold: `,"name":text` for behind the others. */
typedef struct asked
{
	const json_t *root;
	const aut_event_doc *doc;
	json_t *answer;
	aut_buf raw;
} asked;

static aut_status
no_memory(aut_error *err)
{
	return aut_fail(err, AUT_ENOMEM, "out of memory");
}

static aut_status
set(asked *q, const char *name, json_t *take_value, aut_error *err)
{
	return aut_json_set(q->answer, name, take_value) ? AUT_OK : no_memory(err);
}

static aut_status
set_text(asked *q, const char *name, const char *text, aut_error *err)
{
	return set(q, name, aut_json_text_or_null(text), err);
}

static const char *
text_of(const asked *q, const char *name)
{
	return aut_json_string(q->root, name);
}

/* A member as JSON text; aut_free. */
static aut_status
json_of(const asked *q, const char *name, char **out, aut_error *err)
{
	const json_t *value = json_object_get(q->root, name);
	aut_buf text;

	if (value == NULL)
		return aut_fail(err, AUT_EBADREQ, "member \"%s\" is missing", name);
	aut_buf_init(&text, LINE_BYTES_MAX * 2);
	*out = NULL;
	if (aut_event_doc_write(q->doc, value, &text) == AUT_OK)
		*out = aut_buf_take(&text, NULL);
	aut_buf_done(&text);
	return *out != NULL ? AUT_OK : no_memory(err);
}

static aut_status
payload_of(const asked *q, aut_payload **out, aut_error *err)
{
	char *text = NULL;
	aut_status status = json_of(q, "payload", &text, err);

	if (status == AUT_OK)
		status = aut_payload_parse(text, strlen(text), out, err);
	aut_free(text);
	return status;
}

/* ---- filter ----------------------------------------------------------------------------------- */

static aut_status
failed(asked *q, const aut_error *why, bool syntax, aut_error *err)
{
	aut_status status = set(q, "error", json_true(), err);

	if (status == AUT_OK)
		status = set_text(q, "message", why->message, err);
	if (status == AUT_OK && syntax)
		status = set(q, "syntax", json_false(), err);
	return status;
}

static bool
is_refusal(aut_status status)
{
	return status == AUT_EINVAL || status == AUT_ELIMIT || status == AUT_EBADREQ;
}

static aut_status
say_value(asked *q, const aut_match_result *found, aut_error *err)
{
	aut_status status = set(q, "result", json_boolean(found->truth), err);

	if (status == AUT_OK && found->json != NULL)
		status = set(q, "value", json_incref(found->json), err);
	else if (status == AUT_OK && found->kind == AUT_MATCH_NUMBER && found->text != NULL &&
			 found->text[strspn(found->text, "-0123456789")] == '\0')
		(void) aut_buf_printf(&q->raw, ",\"value\":%s", found->text);
	return status;
}

static aut_status
eval_filter(asked *q, aut_error *err)
{
	const json_t *expression = json_object_get(q->root, "expression");
	aut_match_result found = {0};
	aut_jmespath *expr = NULL;
	aut_payload *payload = NULL;
	aut_error why = AUT_ERROR_INIT;
	bool compiled;
	aut_status status;

	if (!json_is_string(expression))
		return aut_fail(err, AUT_EBADREQ, "member \"expression\" must be a text");
	status = aut_jmespath_compile(json_string_value(expression), json_string_length(expression),
								  &expr, &why);
	compiled = status == AUT_OK;
	if (status == AUT_OK)
	{
		status = payload_of(q, &payload, err);
		if (status != AUT_OK)
			goto out;
		status = aut_jmespath_search(expr, payload, NULL, &found, &why);
	}
	if (status == AUT_OK)
		status = say_value(q, &found, err);
	else if (is_refusal(status))
		status = failed(q, &why, !compiled, err);
	else if (err != NULL)
		*err = why;
out:
	aut_match_result_done(&found);
	aut_payload_free(payload);
	aut_jmespath_free(expr);
	return status;
}

/* ---- event-key --------------------------------------------------------------------------------- */

static const char *
header_of(void *payload, const char *name)
{
	const json_t *headers = payload;
	const char *key;
	json_t *value;

	json_object_foreach((json_t *) (uintptr_t) headers, key, value)
	{
		if (name != NULL && strcasecmp(key, name) == 0)
			return json_string_value(value);
	}
	return NULL;
}

/* The body a provider would send; aut_free. */
static aut_status
body_of(const asked *q, const char *source, char **out, aut_error *err)
{
	const char *body = text_of(q, "body");
	char *payload = NULL;
	aut_status status = AUT_OK;

	if (body != NULL)
		*out = aut_strdup(body);
	else if (json_object_get(q->root, "payload") == NULL)
		*out = aut_strdup("");
	else
	{
		status = json_of(q, "payload", &payload, err);
		if (status == AUT_OK)
			*out = aut_event_is_builtin(source) ? aut_printf("{\"payload\": %s}", payload)
												: aut_strdup(payload);
		aut_free(payload);
	}
	return status == AUT_OK && *out == NULL ? no_memory(err) : status;
}

/* The key of a custom source. */
static aut_status
key_by_expr(asked *q, const char *source, const char *body, aut_event *event, aut_error *err)
{
	const char *expr = text_of(q, "event_key_expr");
	aut_jmespath *compiled = NULL;
	aut_payload *payload = NULL;
	aut_status status;

	if (expr == NULL || expr[0] == '\0')
		expr = AUT_EVENT_KEY_EXPR_DEFAULT;
	status = aut_jmespath_compile(expr, strlen(expr), &compiled, err);
	if (status == AUT_OK)
		status = aut_payload_parse(body, strlen(body), &payload, err);
	if (status == AUT_OK)
		status = aut_event_key_by(event, source, compiled, payload, err);
	aut_payload_free(payload);
	aut_jmespath_free(compiled);
	return status;
}

static aut_status
say_event(asked *q, const char *source, const aut_event *event, aut_status outcome,
		  const aut_error *why, aut_error *err)
{
	const char *header = aut_event_is_builtin(source) ? aut_event_delivery_header(source)
													  : text_of(q, "event_id_header");
	void *headers = json_object_get(q->root, "headers");
	const char *word = outcome != AUT_OK ? "error" : event->key != NULL ? "key" : "ignored";
	int http = outcome == AUT_OK ? 200 : aut_status_http(outcome);
	aut_status status = set(q, "status", json_integer(http), err);

	if (status == AUT_OK)
		status = set_text(q, "outcome", word, err);
	if (status == AUT_OK)
		status = set_text(q, "key", outcome == AUT_OK ? event->key : NULL, err);
	if (status == AUT_OK && outcome != AUT_OK)
		status = set(q, "error", json_true(), err);
	if (status == AUT_OK && outcome != AUT_OK)
		status = set_text(q, "detail", why->message, err);
	if (status == AUT_OK && outcome == AUT_OK && event->key != NULL)
	{
		status =
			set_text(q, "delivery_id", headers != NULL ? header_of(headers, header) : NULL, err);
		(void) aut_buf_printf(&q->raw, ",\"event_payload\":%s", event->run_payload);
	}
	return status;
}

static aut_status
eval_event(asked *q, aut_error *err)
{
	const char *source = text_of(q, "source");
	aut_error why = AUT_ERROR_INIT;
	aut_event event = {0};
	char *body = NULL;
	aut_status outcome;
	aut_status status;

	if (source == NULL)
		return aut_fail(err, AUT_EBADREQ, "member \"source\" must be a text");
	status = body_of(q, source, &body, err);
	if (status != AUT_OK)
		return status;
	outcome = aut_event_read(source, body, strlen(body), &event, &why);
	if (outcome == AUT_OK && !aut_event_is_builtin(source))
		outcome = key_by_expr(q, source, body, &event, &why);
	if (outcome == AUT_ENOMEM)
		status = no_memory(err);
	else
		status = say_event(q, source, &event, outcome, &why, err);
	aut_event_done(&event);
	aut_free(body);
	return status;
}

static aut_status
eval_pattern(asked *q, aut_error *err)
{
	const char *key = text_of(q, "key");

	if (key == NULL)
		return aut_fail(err, AUT_EBADREQ, "member \"key\" must be a text");
	return set(q, "match",
			   json_boolean(aut_pattern_match(json_object_get(q->root, "pattern"), key)), err);
}

static aut_status
eval_event_type(asked *q, aut_error *err)
{
	const char *pattern = text_of(q, "pattern");

	if (pattern == NULL)
		return aut_fail(err, AUT_EBADREQ, "member \"pattern\" must be a text");
	return set(q, "event_type", json_stringn(pattern, aut_pattern_family(pattern)), err);
}

static aut_status
eval_subject(asked *q, aut_error *err)
{
	const char *text = text_of(q, "expr");
	aut_jmespath *expr = NULL;
	aut_payload *payload = NULL;
	char *key = NULL;
	char *turn = NULL;
	aut_error why = AUT_ERROR_INIT;
	aut_status status;

	if (text == NULL)
		return aut_fail(err, AUT_EBADREQ, "member \"expr\" must be a text");
	status = aut_jmespath_compile(text, strlen(text), &expr, &why);
	if (status == AUT_EINVAL)
	{
		status = failed(q, &why, false, err);
		return status == AUT_OK ? set(q, "key", json_null(), err) : status;
	}
	if (status == AUT_OK)
		status = payload_of(q, &payload, err);
	if (status == AUT_OK)
		status = aut_subject_key_by(expr, payload, &key, err);
	if (status == AUT_OK)
		status = aut_turn_text_by(expr, payload, &turn, err);
	if (status == AUT_OK)
		status = set_text(q, "key", key, err);
	if (status == AUT_OK)
		status = set_text(q, "turn_text", turn, err);
	aut_free(key);
	aut_free(turn);
	aut_payload_free(payload);
	aut_jmespath_free(expr);
	return status;
}

static aut_status
eval_conversation(asked *q, aut_error *err)
{
	const char *org = text_of(q, "org_id");
	const char *automation = text_of(q, "automation_id");
	const char *source = text_of(q, "source");
	const char *subject = text_of(q, "subject_key");
	aut_uuid of_org, of_automation, made;
	aut_status status;

	if (org == NULL || !aut_uuid_parse(org, strlen(org), &of_org) || automation == NULL ||
		!aut_uuid_parse(automation, strlen(automation), &of_automation) || source == NULL ||
		subject == NULL)
		return aut_fail(err, AUT_EBADREQ,
						"a conversation has org_id, automation_id, source and subject_key");
	status = aut_conversation_id(&of_org, &of_automation, source, subject, &made, err);
	return status == AUT_OK ? set(q, "conversation_id", aut_json_uuid(&made), err) : status;
}

static aut_status
eval_event_key(asked *q, aut_error *err)
{
	static const struct
	{
		const char *kind;
		aut_status (*answer)(asked *q, aut_error *err);
	} kinds[] = {{"event", eval_event},
				 {"pattern", eval_pattern},
				 {"event_type", eval_event_type},
				 {"subject", eval_subject},
				 {"conversation_id", eval_conversation}};
	const char *kind = text_of(q, "kind");

	for (size_t i = 0; kind != NULL && i < sizeof kinds / sizeof kinds[0]; i++)
	{
		if (strcmp(kind, kinds[i].kind) == 0)
			return kinds[i].answer(q, err);
	}
	return aut_fail(err, AUT_EBADREQ,
					"member \"kind\" must be event, pattern, event_type, subject or "
					"conversation_id");
}

/* ---- signature, validate ----------------------------------------------------------------------- */

/* The signed bytes: body, or body_b64 decoded; aut_free. */
static aut_status
signed_bytes(const asked *q, void **out, size_t *out_len, aut_error *err)
{
	const char *body = text_of(q, "body");
	const char *coded = text_of(q, "body_b64");
	const char *given = coded != NULL ? coded : body;
	size_t len = given != NULL ? strlen(given) : 0;
	int made;

	if (given == NULL || (coded != NULL && len % 4 != 0))
		return aut_fail(err, AUT_EBADREQ, "member \"body\", or \"body_b64\" in base64, is needed");
	*out = aut_malloc(len + 1);
	if (*out == NULL)
		return no_memory(err);
	if (coded == NULL)
	{
		memcpy(*out, body, len);
		*out_len = len;
		return AUT_OK;
	}
	made = EVP_DecodeBlock(*out, (const unsigned char *) coded, (int) len);
	if (made < 0)
	{
		aut_free(*out);
		*out = NULL;
		return aut_fail(err, AUT_EBADREQ, "member \"body_b64\" is not base64");
	}
	for (size_t i = len; i > 0 && coded[i - 1] == '='; i--)
		made--;
	*out_len = (size_t) made;
	return AUT_OK;
}

static aut_status
eval_signature(asked *q, aut_error *err)
{
	const json_t *now = json_object_get(q->root, "now");
	aut_error why = AUT_ERROR_INIT;
	void *body = NULL;
	size_t len = 0;
	aut_signature signature = {
		.scheme = text_of(q, "scheme"),
		.secret = text_of(q, "secret"),
		.header = text_of(q, "signature_header"),
		.get_header = header_of,
		.get_payload = json_object_get(q->root, "headers"),
	};
	aut_status status;

	if (signature.secret == NULL || signature.header == NULL || !json_is_integer(now) ||
		json_integer_value(now) < 0 || json_integer_value(now) > INT64_MAX / AUT_US_PER_S)
		return aut_fail(err, AUT_EBADREQ, "a signature has secret, signature_header and now");
	status = signed_bytes(q, &body, &len, err);
	if (status != AUT_OK)
		return status;
	signature.body = body;
	signature.body_len = len;
	signature.now_us = json_integer_value(now) * AUT_US_PER_S;
	status = aut_signature_check(&signature, &why);
	aut_free(body);
	if (status == AUT_ENOMEM)
		return no_memory(err);
	return set(q, "valid", json_boolean(status == AUT_OK), err);
}

static aut_status
eval_validate(asked *q, aut_error *err)
{
	const char *kind = text_of(q, "kind");
	json_t *input = json_object_get(q->root, "input");
	aut_settings settings;
	aut_status status;

	if (kind == NULL || input == NULL)
		return aut_fail(err, AUT_EBADREQ, "a form has kind and input");
	status = aut_settings_init(&settings, err);
	if (status != AUT_OK)
		return status;
	status = aut_service_question(&settings, kind, input, q->answer, err);
	aut_settings_done(&settings);
	return status;
}

static aut_status
eval_cron(asked *q, aut_error *err)
{
	return aut_eval_cron(q->root, q->answer, err);
}

static aut_status
eval_cron_due(asked *q, aut_error *err)
{
	return aut_eval_cron_due(q->root, q->answer, err);
}

/* ---- lines ------------------------------------------------------------------------------------ */

static const struct
{
	const char *name;
	aut_status (*answer)(asked *q, aut_error *err);
	bool strict; /* its questions are JSON as everybody writes it */
} topics[] = {
	{"cron", eval_cron, true},
	{"cron-due", eval_cron_due, true},
	{"filter", eval_filter, false},
	{"event-key", eval_event_key, false},
	{"signature", eval_signature, false},
	{"validate", eval_validate, true},
};
#define TOPIC_COUNT (sizeof topics / sizeof topics[0])

/* One line without its newline; false at the end of input.  A line beyond the limit is read to its
 * end and reported by the buffer's status. */
static bool
read_line(aut_buf *line)
{
	int c = getchar();

	aut_buf_clear(line);
	if (c == EOF)
		return false;
	for (; c != EOF && c != '\n'; c = getchar())
		(void) aut_buf_putc(line, (char) c);
	return true;
}

static bool
is_blank_line(const aut_buf *line)
{
	return line->len == 0 || strspn(line->data, " \t\r") == line->len;
}

/* The answer, with what stands in raw before its last brace. */
static aut_status
print_answer(const asked *q, aut_error *err)
{
	size_t len = 0;
	char *text = q->raw.status == AUT_OK ? aut_json_text(q->answer, &len) : NULL;

	if (text == NULL)
		return no_memory(err);
	(void) printf("%.*s%s}\n", (int) (len - 1), text, q->raw.data != NULL ? q->raw.data : "");
	aut_free(text);
	return AUT_OK;
}

static aut_status
read_question(const aut_buf *line, bool strict, aut_event_doc *out, aut_error *err)
{
	aut_status status;

	if (line->status == AUT_ELIMIT)
		return aut_fail(err, AUT_EBADREQ, "longer than %zu bytes", LINE_BYTES_MAX);
	if (line->status != AUT_OK)
		return no_memory(err);
	status = strict ? aut_json_parse(line->data, line->len, &out->root, err)
					: aut_event_doc_read(line->data, line->len, out, err);
	if (status == AUT_ELIMIT)
		status = AUT_EBADREQ;
	if (status == AUT_OK && !json_is_object(out->root))
		status = aut_fail(err, AUT_EBADREQ, "expected a JSON object");
	return status;
}

static aut_status
eval_line(const aut_buf *line, size_t number, size_t topic, aut_error *err)
{
	aut_event_doc doc = {0};
	asked q = {.doc = &doc, .answer = json_object()};
	aut_status status =
		q.answer != NULL ? read_question(line, topics[topic].strict, &doc, err) : no_memory(err);

	aut_buf_init(&q.raw, 2 * LINE_BYTES_MAX);
	q.root = doc.root;
	/* json_object_get answers NULL for anything but an object with that member */
	if (json_object_get(q.root, "id") != NULL &&
		json_object_set(q.answer, "id", json_object_get(q.root, "id")) != 0)
		status = no_memory(err);
	if (status == AUT_OK)
		status = topics[topic].answer(&q, err);
	if (status == AUT_EBADREQ)
	{
		(void) aut_error_context(err, "line %zu", number);
		aut_buf_clear(&q.raw);
		status = set(&q, "error", json_true(), NULL);
		if (status == AUT_OK)
			status = set_text(&q, "reason", "malformed", NULL);
		if (status == AUT_OK)
			status = set_text(&q, "message", err->message, NULL);
	}
	if (status == AUT_OK)
		status = print_answer(&q, err);
	aut_buf_done(&q.raw);
	json_decref(q.answer);
	aut_event_doc_done(&doc);
	return status;
}

static aut_status
eval_input(size_t topic, aut_error *err)
{
	aut_status status = AUT_OK;
	aut_buf line;

	aut_buf_init(&line, LINE_BYTES_MAX);
	for (size_t number = 1; status == AUT_OK && read_line(&line); number++)
	{
		if (is_blank_line(&line))
			continue;
		status = eval_line(&line, number, topic, err);
		/* an answer per question, so that another program can talk with this one */
		if (fflush(stdout) != 0)
			break;
	}
	aut_buf_done(&line);
	if (status == AUT_OK && ferror(stdin) != 0)
		status = aut_fail_errno(err, AUT_EIO, errno, "cannot read the questions");
	if (status == AUT_OK && ferror(stdout) != 0)
		status = aut_fail_errno(err, AUT_EIO, errno, "cannot write the answers");
	return status;
}

static int
usage_error(const char *what, const char *argument)
{
	(void) fprintf(stderr, "automation: eval: %s%s%s%s\n", what, argument != NULL ? " \"" : "",
				   argument != NULL ? argument : "", argument != NULL ? "\"" : "");
	return AUT_COMMAND_USAGE;
}

int
aut_cmd_eval(int argc, char **argv)
{
	size_t topic = TOPIC_COUNT;
	aut_error err = AUT_ERROR_INIT;
	bool jsonl = false;

	for (int i = 1; i < argc; i++)
	{
		bool known = strcmp(argv[i], "--jsonl") == 0;

		jsonl = jsonl || known;
		for (size_t k = 0; !known && topic == TOPIC_COUNT && k < TOPIC_COUNT; k++)
		{
			if (strcmp(argv[i], topics[k].name) != 0)
				continue;
			topic = k;
			known = true;
			break;
		}
		if (!known)
			return usage_error("expected one of cron, cron-due, filter, event-key, signature and "
							   "validate, and --jsonl; did not expect",
							   argv[i]);
	}
	if (topic == TOPIC_COUNT || !jsonl)
		return usage_error("expected eval TOPIC --jsonl, with one of cron, cron-due, filter, "
						   "event-key, signature and validate",
						   NULL);
	if (eval_input(topic, &err) == AUT_OK)
		return AUT_COMMAND_OK;
	(void) fprintf(stderr, "automation: eval: %s\n", err.message);
	return AUT_COMMAND_FAILED;
}

const aut_command aut_eval_commands[] = {
	{"eval", "answer questions given as JSON lines",
	 "Usage: automation eval TOPIC --jsonl\n"
	 "\n"
	 "Reads one JSON object a line from standard input and writes one with the answer: what "
	 "schedules,\n"
	 "filters, signatures and forms come to, without a daemon.\n"
	 "\n"
	 "  --jsonl          one object a line, in and out: the only form there is\n"
	 "\n"
	 "  cron       {\"id\", \"expr\", \"tz\", \"after\"} -> \"next\" (five; fewer with \"end\": "
	 "true) and\n"
	 "             \"prev\", or \"nondeterministic\": true\n"
	 "  cron-due   {\"id\", \"expr\", \"tz\", \"now\", \"last_triggered\", \"created\"} -> "
	 "\"due\", and\n"
	 "             \"no_prev\": true when no earlier fire exists\n"
	 "  filter     {\"id\", \"expression\", \"payload\"} -> \"result\" and \"value\"; \"syntax\": "
	 "false when it\n"
	 "             is no expression\n"
	 "  event-key  {\"id\", \"kind\": \"event\", \"source\", \"headers\", \"payload\" or "
	 "\"body\",\n"
	 "             \"event_key_expr\", \"event_id_header\"} -> \"status\", \"outcome\" (key, "
	 "ignored,\n"
	 "             error), \"key\", \"delivery_id\", \"event_payload\"; further kinds: pattern,\n"
	 "             event_type, subject, conversation_id\n"
	 "  signature  {\"id\", \"scheme\", \"secret\", \"signature_header\", \"headers\", \"body\" "
	 "or\n"
	 "             \"body_b64\", \"now\"} -> \"valid\"\n"
	 "  validate   {\"id\", \"kind\", \"input\"} -> \"ok\", and \"normalized\", or \"status\" and\n"
	 "             \"errors\"; kinds are members of an automation or webhook, create, update,\n"
	 "             webhook_create, webhook_update, run_complete, run_phase and others\n"
	 "\n"
	 "A refused question is answered with \"error\": true, \"reason\" (malformed; of schedules "
	 "also\n"
	 "invalid, never_fires, timezone) and \"message\".\n"
	 "\n"
	 "Exit status: 0 all lines answered, 1 input or output failed, 2 wrong usage.\n",
	 aut_cmd_eval},
	{NULL, NULL, NULL, NULL},
};
