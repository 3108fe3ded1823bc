/* SPDX-License-Identifier: MIT */
/*
 * standalone/client_webhook.c - `automation webhook`: sources of events of one's own.
 *
 * One command with a verb: list, create, show, edit, rotate, rm.  A webhook is named by its source or its
 * id.  A secret is printed once, on stdout, by create and rotate, so that it can be piped to where it
 * belongs.  One of one's own is read from a file, never from the command line.
 */
#include <string.h>
#include <strings.h>

#include "standalone/client_priv.h"

/* ---- finding ----------------------------------------------------------------------------------- */

/* All of them; *out is {webhooks}. */
static aut_status
get_all(client *c, json_t **out, aut_error *err)
{
	json_t *all = json_array();
	char cursor[128] = "";
	aut_status status = all != NULL ? AUT_OK : aut_fail(err, AUT_ENOMEM, "out of memory");

	do
	{
		char *path = aut_printf("/v1/webhooks?limit=100&cursor=%s", cursor);
		json_t *page = NULL;

		if (path == NULL)
			status = aut_fail(err, AUT_ENOMEM, "out of memory");
		if (status == AUT_OK)
			status = client_get(c, path, &page, err);
		if (status == AUT_OK && json_array_extend(all, json_object_get(page, "webhooks")) != 0)
			status = aut_fail(err, AUT_EPROTO, "the answer has no webhooks");
		(void) snprintf(cursor, sizeof cursor, "%s", client_json_text(page, "next_cursor", ""));
		json_decref(page);
		aut_free(path);
	} while (status == AUT_OK && cursor[0] != '\0' && json_array_size(all) < CLIENT_ROWS_MAX);
	if (status == AUT_OK)
	{
		*out = json_pack("{s:O}", "webhooks", all);
		if (*out == NULL)
			status = aut_fail(err, AUT_ENOMEM, "out of memory");
	}
	json_decref(all);
	return status;
}

/* "/v1/webhooks/<id><tail>" of the webhook that is meant; aut_free. */
static aut_status
find(client *c, const char *tail, char **out_path, aut_error *err)
{
	const char *wanted = c->args->second;
	json_t *all = NULL;
	const char *id = NULL;
	size_t index;
	json_t *one;
	aut_status status = get_all(c, &all, err);

	json_array_foreach(json_object_get(all, "webhooks"), index, one)
	{
		if (strcasecmp(client_json_text(one, "source", ""), wanted) == 0 ||
			strcmp(client_json_text(one, "id", ""), wanted) == 0)
			id = aut_json_string(one, "id");
	}
	if (status == AUT_OK && id == NULL)
		status = aut_fail(err, AUT_ENOTFOUND,
						  "there is no webhook %.100s; automation webhook list shows them", wanted);
	if (status == AUT_OK && (*out_path = client_path("/v1/webhooks/", id, tail)) == NULL)
		status = aut_fail(err, AUT_ENOMEM, "out of memory");
	json_decref(all);
	return status;
}

/* ---- bodies ------------------------------------------------------------------------------------ */

/* Text that '' takes away. */
static bool
set_text(json_t *body, const char *key, const char *text)
{
	return text == NULL || aut_json_set(body, key, *text != '\0' ? json_string(text) : json_null());
}

static aut_status
secret_member(const client *c, json_t *body, aut_error *err)
{
	aut_buf text;
	aut_status status;

	if (c->args->secret_file == NULL)
		return AUT_OK;
	aut_buf_init(&text, 4096);
	status = client_read_file(c->args->secret_file, 4096, &text, err);
	while (text.len > 0 && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r'))
		text.data[--text.len] = '\0';
	if (status == AUT_OK &&
		!aut_json_set(body, "webhook_secret",
					  json_stringn(text.data != NULL ? text.data : "", text.len)))
		status = aut_fail(err, AUT_EINVAL, "the secret is not valid UTF-8");
	if (text.data != NULL)
		explicit_bzero(text.data, text.len);
	aut_buf_done(&text);
	return status;
}

static aut_status
request_body(const client *c, bool create, json_t **out, aut_error *err)
{
	const client_args *a = c->args;
	json_t *body = json_object();
	bool ok = body != NULL;
	aut_status status = AUT_OK;

	if (create)
		ok = ok && aut_json_set(body, "source", json_string(a->second)) &&
			 aut_json_set(body, "name", json_string(a->new_name != NULL ? a->new_name : a->second));
	else if (a->new_name != NULL)
		ok = ok && aut_json_set(body, "name", json_string(a->new_name));
	if (a->key != NULL)
		ok = ok && aut_json_set(body, "event_key_expr", json_string(a->key));
	if (a->header != NULL)
		ok = ok && aut_json_set(body, "signature_header", json_string(a->header));
	ok = ok && set_text(body, "signature_scheme", a->scheme) &&
		 set_text(body, "event_id_header", a->id_header);
	if (a->on || a->off)
		ok = ok && aut_json_set(body, "enabled", json_boolean(a->on));
	if (!ok)
		status = aut_fail(err, AUT_EINVAL, "an argument is not valid UTF-8");
	if (status == AUT_OK && create)
		status = secret_member(c, body, err);
	if (status == AUT_OK)
		*out = body;
	else
		json_decref(body);
	return status;
}

/* ---- printing ---------------------------------------------------------------------------------- */

static aut_status
print_secret(const client *c, const json_t *answer, aut_error *err)
{
	const char *secret = aut_json_string(answer, "webhook_secret");
	char line[300];

	if (c->args->json)
		return client_print_json(c, answer, err);
	if (secret == NULL)
		return AUT_OK;
	(void) snprintf(line, sizeof line, "%s\n", secret);
	return client_write(line, strlen(line), err);
}

static aut_status
print_all(client *c, const json_t *reply, aut_error *err)
{
	static const client_column columns[] = {
		{"SOURCE", false, false}, {"NAME", false, true},    {"STATE", false, false},
		{"KEY", false, false},    {"SCHEME", false, false}, {"URL", false, false},
	};
	client_table table;
	size_t index;
	json_t *one;
	aut_status status = AUT_OK;

	if (c->args->json)
		return client_print_json(c, reply, err);
	if (json_array_size(json_object_get(reply, "webhooks")) == 0)
		(void) fprintf(stderr,
					   "no webhooks yet; make one with: automation webhook create SOURCE\n");
	client_table_init(&table, columns, sizeof columns / sizeof columns[0]);
	json_array_foreach(json_object_get(reply, "webhooks"), index, one)
	{
		bool on = json_is_true(json_object_get(one, "enabled"));

		client_table_add(&table, CLIENT_PLAIN, aut_json_string(one, "source"));
		client_table_add(&table, CLIENT_PLAIN, aut_json_string(one, "name"));
		client_table_add(&table, on ? CLIENT_GREEN : CLIENT_DIM, on ? "on" : "off");
		client_table_add(&table, CLIENT_PLAIN, aut_json_string(one, "event_key_expr"));
		client_table_add(&table, CLIENT_PLAIN, aut_json_string(one, "signature_scheme"));
		client_table_add(&table, CLIENT_DIM, aut_json_string(one, "webhook_url"));
	}
	if (table.cell_count > 0 || table.status != AUT_OK)
		status = client_table_print(c, &table, err);
	client_table_done(&table);
	return status;
}

/* A line per member. */
static aut_status
print_one(client *c, const json_t *webhook, aut_error *err)
{
	static const char *const members[] = {"source",
										  "name",
										  "id",
										  "webhook_url",
										  "event_key_expr",
										  "signature_header",
										  "signature_scheme",
										  "event_id_header",
										  "created_at",
										  "updated_at"};
	aut_buf text;
	aut_status status;

	if (c->args->json)
		return client_print_json(c, webhook, err);
	aut_buf_init(&text, 65536);
	for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
	{
		const char *value = client_json_text(webhook, members[i], "-");

		(void) aut_buf_printf(&text, "%-17s ", members[i]);
		(void) client_escape(value, strlen(value), &text);
		(void) aut_buf_putc(&text, '\n');
	}
	(void) aut_buf_printf(&text, "%-17s %s\n", "enabled",
						  json_is_true(json_object_get(webhook, "enabled")) ? "yes" : "no");
	status = text.status == AUT_OK ? client_write(text.data, text.len, err)
								   : aut_fail(err, text.status, "out of memory");
	aut_buf_done(&text);
	return status;
}

/* ---- verbs ------------------------------------------------------------------------------------- */

static aut_status
list(client *c, aut_error *err)
{
	json_t *reply = NULL;
	aut_status status = get_all(c, &reply, err);

	if (status == AUT_OK)
		status = print_all(c, reply, err);
	json_decref(reply);
	return status;
}

static aut_status
create(client *c, aut_error *err)
{
	json_t *body = NULL, *made = NULL;
	aut_status status = request_body(c, true, &body, err);

	if (status == AUT_OK)
		status = client_send(c, "POST", "/v1/webhooks", body, &made, err);
	if (status == AUT_OK && !c->args->json)
		(void) fprintf(stderr, "deliveries go to %s\n", client_json_text(made, "webhook_url", "?"));
	if (status == AUT_OK)
		status = print_secret(c, made, err);
	json_decref(body);
	json_decref(made);
	return status;
}

/* One request about one webhook. */
static aut_status
about_one(client *c, const char *method, const char *tail, const json_t *body, json_t **out,
		  aut_error *err)
{
	char *path = NULL;
	aut_status status = find(c, tail, &path, err);

	if (status == AUT_OK && (strcmp(method, "GET") == 0 || strcmp(method, "DELETE") == 0))
		status = client_request(c, method, path, NULL, NULL, 0, out, err);
	else if (status == AUT_OK)
		status = client_send(c, method, path, body, out, err);
	aut_free(path);
	return status;
}

static aut_status
show(client *c, aut_error *err)
{
	json_t *reply = NULL;
	aut_status status = about_one(c, "GET", "", NULL, &reply, err);

	if (status == AUT_OK)
		status = print_one(c, reply, err);
	json_decref(reply);
	return status;
}

static aut_status
edit(client *c, aut_error *err)
{
	json_t *body = NULL, *reply = NULL;
	aut_status status = AUT_OK;

	if (c->args->on && c->args->off)
		return client_usage(c, err, "give only one of --on and --off");
	status = request_body(c, false, &body, err);
	if (status == AUT_OK && json_object_size(body) == 0)
		status = client_usage(
			c, err, "what shall change?  Give an option; automation webhook --help lists them");
	if (status == AUT_OK)
		status = about_one(c, "PATCH", "", body, &reply, err);
	if (status == AUT_OK && c->args->json)
		status = client_print_json(c, reply, err);
	else if (status == AUT_OK)
		(void) fprintf(stderr, "changed\n");
	json_decref(body);
	json_decref(reply);
	return status;
}

static aut_status
rotate(client *c, aut_error *err)
{
	json_t *reply = NULL;
	aut_status status = about_one(c, "POST", "/rotate-secret", NULL, &reply, err);

	if (status == AUT_OK)
		status = print_secret(c, reply, err);
	json_decref(reply);
	return status;
}

static aut_status
rm(client *c, aut_error *err)
{
	json_t *reply = NULL;
	aut_status status = about_one(c, "DELETE", "", NULL, &reply, err);

	if (status == AUT_OK && !c->args->json)
		(void) fprintf(stderr, "deleted\n");
	json_decref(reply);
	return status;
}

aut_status
client_cmd_webhook(client *c, aut_error *err)
{
	static const struct
	{
		const char *verb;
		aut_status (*run)(client *c, aut_error *err);
		bool names_one;
	} verbs[] = {{"list", list, false}, {"create", create, true}, {"show", show, true},
				 {"edit", edit, true},  {"rotate", rotate, true}, {"rm", rm, true}};

	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
	{
		if (strcmp(verbs[i].verb, c->args->operand) != 0)
			continue;
		if (verbs[i].names_one && c->args->second == NULL)
			return client_usage(c, err,
								"which one?  Give its source: automation webhook VERB SOURCE");
		if (!verbs[i].names_one && c->args->second != NULL)
			return client_usage(c, err, "automation webhook list takes no source");
		return verbs[i].run(c, err);
	}
	return client_usage(c, err, "expected one of list, create, show, edit, rotate and rm");
}
