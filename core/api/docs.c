/* SPDX-License-Identifier: MIT */
/*
 * core/api/docs.c - /docs: the description of the API as a page for people; /redoc leads there.
 *
 * The page is written from the same document that /openapi.json answers, and is complete in itself: no
 * script, no font, no picture, nothing from elsewhere, and a policy that tells the browser so.  Whatever
 * the document holds goes through one function that escapes it.
 */
#include <string.h>

#include "core/api/api_internal.h"

#define PAGE_MAX_BYTES 1048576

static const char head[] =
	"<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
	"<title>automation: HTTP API</title><style>"
	":root{color-scheme:light dark;--line:#8884;--soft:#8882}"
	"body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
	"code{font:0.9em ui-monospace,monospace}"
	"details{border:1px solid var(--line);border-radius:6px;margin:.5rem 0}"
	"summary{padding:.5rem .75rem;cursor:pointer}details>div{padding:0 .75rem .75rem}"
	"details[open]>summary{border-bottom:1px solid var(--line);margin-bottom:.5rem}"
	".m{display:inline-block;min-width:5rem;font-weight:600}"
	".GET{color:#1a7f37}.POST{color:#0969da}.PATCH{color:#9a6700}.DELETE{color:#cf222e}"
	".s{color:#777;margin-left:.5rem}.x{background:var(--soft);border-radius:4px;padding:0 .4rem;"
	"font-size:.8em;margin-left:.5rem}"
	"table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;"
	"padding:.2rem .75rem .2rem 0;border-bottom:1px solid var(--line)}h3{font-size:1em;margin:1rem "
	"0 0}"
	"</style></head><body>\n<h1>automation: HTTP API</h1>\n";

/* Text into HTML, also within quotes. */
static void
put_text(aut_buf *out, const char *text)
{
	for (; text != NULL && *text != '\0'; text++)
	{
		switch (*text)
		{
			case '&':
				aut_buf_puts(out, "&amp;");
				break;
			case '<':
				aut_buf_puts(out, "&lt;");
				break;
			case '>':
				aut_buf_puts(out, "&gt;");
				break;
			case '"':
				aut_buf_puts(out, "&quot;");
				break;
			default:
				aut_buf_putc(out, *text);
				break;
		}
	}
}

static void
put_tagged(aut_buf *out, const char *open, const char *text, const char *close)
{
	if (text == NULL)
		return;
	aut_buf_puts(out, open);
	put_text(out, text);
	aut_buf_puts(out, close);
}

/* "#/components/schemas/Name" as a link to the shape. */
static void
put_reference(aut_buf *out, const char *ref)
{
	const char *name = strrchr(ref, '/');

	name = name != NULL ? name + 1 : ref;
	put_tagged(out, "<a href=\"#", name, "\">");
	put_tagged(out, "", name, "</a>");
}

static void
put_words(aut_buf *out, const json_t *words)
{
	size_t index;
	json_t *word;

	json_array_foreach(words, index, word)
	{
		aut_buf_puts(out, index > 0 ? " | " : "");
		put_tagged(out, "<code>", json_string_value(word), "</code>");
	}
}

/* A schema in few words. */
static void
put_type(aut_buf *out, const json_t *schema)
{
	const char *ref = aut_json_string(schema, "$ref");
	const char *type = aut_json_string(schema, "type");
	const json_t *words = json_object_get(schema, "enum");
	const json_t *any = json_object_get(schema, "anyOf");
	const json_t *values = json_object_get(schema, "additionalProperties");
	size_t index;
	json_t *one;

	if (any == NULL)
		any = json_object_get(schema, "oneOf");
	if (ref != NULL)
		put_reference(out, ref);
	else if (words != NULL)
		put_words(out, words);
	else if (aut_json_string(schema, "const") != NULL)
		put_tagged(out, "<code>", aut_json_string(schema, "const"), "</code>");
	else if (any != NULL)
	{
		json_array_foreach(any, index, one)
		{
			aut_buf_puts(out, index > 0 ? " | " : "");
			put_type(out, one);
		}
	}
	else if (type != NULL && strcmp(type, "array") == 0)
	{
		aut_buf_puts(out, "list of ");
		put_type(out, json_object_get(schema, "items"));
	}
	else if (type != NULL && json_is_object(values))
	{
		aut_buf_puts(out, "object of ");
		put_type(out, values);
	}
	else
	{
		const char *format = aut_json_string(schema, "format");

		put_text(out, format != NULL ? format : type != NULL ? type : "anything");
	}
}

static void
put_mark(aut_buf *out, const json_t *of)
{
	if (json_is_true(json_object_get(of, "x-addition")))
		aut_buf_puts(out, "<span class=\"x\">addition</span>");
	if (json_is_true(json_object_get(of, "deprecated")))
		aut_buf_puts(out, "<span class=\"x\">deprecated</span>");
}

static void
put_row(aut_buf *out, const char *name, bool required, const json_t *mark, const json_t *schema)
{
	put_tagged(out, "<tr><td><code>", name, "</code>");
	if (required)
		aut_buf_puts(out, " <b title=\"required\">*</b>");
	put_mark(out, mark);
	aut_buf_puts(out, "</td><td>");
	put_type(out, schema);
	put_tagged(out, " <span class=\"s\">", aut_json_string(schema, "description"), "</span>");
	aut_buf_puts(out, "</td></tr>\n");
}

static void
put_parameters(aut_buf *out, const json_t *parameters)
{
	size_t index;
	json_t *one;

	if (json_array_size(parameters) == 0)
		return;
	aut_buf_puts(out, "<h3>Parameters</h3><table>\n");
	json_array_foreach(parameters, index, one)
		put_row(out, aut_json_string(one, "name"), json_is_true(json_object_get(one, "required")),
				one, json_object_get(one, "schema"));
	aut_buf_puts(out, "</table>\n");
}

/* What comes in which media types. */
static void
put_content(aut_buf *out, json_t *content)
{
	const char *media;
	json_t *one;
	bool first = true;

	json_object_foreach(content, media, one)
	{
		aut_buf_puts(out, first ? "" : ", ");
		first = false;
		put_type(out, json_object_get(one, "schema"));
		if (strcmp(media, "application/json") != 0)
			put_tagged(out, " <code>", media, "</code>");
	}
}

static void
put_operation(aut_buf *out, const char *method, const char *path, json_t *operation)
{
	json_t *body = json_object_get(operation, "requestBody");
	const char *permission = aut_json_string(operation, "x-permission");
	const char *code;
	json_t *one;

	put_tagged(out, "<details><summary><span class=\"m ", method, "\">");
	put_tagged(out, "", method, "</span>");
	put_tagged(out, "<code>", path, "</code>");
	put_tagged(out, "<span class=\"s\">", aut_json_string(operation, "summary"), "</span>");
	put_mark(out, operation);
	aut_buf_puts(out, "</summary><div>\n");
	put_tagged(out, "<p>Permission ", permission, "</p>\n");
	put_parameters(out, json_object_get(operation, "parameters"));
	if (body != NULL)
	{
		aut_buf_puts(out, "<h3>Body</h3><p>");
		put_content(out, json_object_get(body, "content"));
		aut_buf_puts(out, "</p>\n");
	}
	aut_buf_puts(out, "<h3>Answers</h3><table>\n");
	json_object_foreach(json_object_get(operation, "responses"), code, one)
	{
		put_tagged(out, "<tr><td><code>", code, "</code></td><td>");
		put_tagged(out, "", aut_json_string(one, "description"), "</td><td>");
		put_content(out, json_object_get(one, "content"));
		aut_buf_puts(out, "</td></tr>\n");
	}
	aut_buf_puts(out, "</table></div></details>\n");
}

static void
put_paths(aut_buf *out, json_t *paths)
{
	const char *path, *method;
	json_t *item, *operation;

	aut_buf_puts(out, "<h2>Routes</h2>\n");
	json_object_foreach(paths, path, item)
	{
		json_object_foreach(item, method, operation)
		{
			char upper[8] = "";

			for (size_t i = 0; i + 1 < sizeof upper && method[i] != '\0'; i++)
				upper[i] = (char) (method[i] - 'a' + 'A');
			put_operation(out, upper, path, operation);
		}
	}
}

static bool
listed(const json_t *words, const char *word)
{
	size_t index;
	json_t *one;

	json_array_foreach(words, index, one)
	{
		if (strcmp(json_string_value(one), word) == 0)
			return true;
	}
	return false;
}

static void
put_shapes(aut_buf *out, json_t *schemas)
{
	const char *name, *member;
	json_t *schema, *property;

	aut_buf_puts(out,
				 "<h2>Shapes</h2>\n<p><b>*</b> always there, or required in what is sent.</p>\n");
	json_object_foreach(schemas, name, schema)
	{
		put_tagged(out, "<details open id=\"", name, "\"><summary>");
		put_tagged(out, "<code>", name, "</code>");
		put_mark(out, schema);
		aut_buf_puts(out, "</summary><div>");
		if (json_object_get(schema, "properties") == NULL)
			put_type(out, schema);
		else
			aut_buf_puts(out, "<table>\n");
		json_object_foreach(json_object_get(schema, "properties"), member, property) put_row(
			out, member, listed(json_object_get(schema, "required"), member), property, property);
		if (json_object_get(schema, "properties") != NULL)
			aut_buf_puts(out, "</table>");
		aut_buf_puts(out, "</div></details>\n");
	}
}

void
aut__api_docs_answer(aut_api_request *request)
{
	json_t *document = aut__api_openapi(request->api);
	aut_buf page;

	aut_buf_init(&page, PAGE_MAX_BYTES);
	aut_buf_puts(&page, head);
	put_tagged(&page, "<p>The contract's version ",
			   aut_json_string(json_object_get(document, "info"), "version"), ", served by ");
	put_tagged(&page, "automation ",
			   aut_json_string(json_object_get(document, "info"), "x-engine-version"), ". ");
	aut_buf_puts(
		&page,
		"The same for machines: <a href=\"openapi.json\">openapi.json</a>. What is marked "
		"as an addition is not of the contract.</p>\n"
		"<p>Send your key as <code>Authorization: Bearer KEY</code> or "
		"<code>X-Session-API-Key: KEY</code>. Permissions: V may view; M may manage; A may manage, or "
		"made the automation; E made it; O owns it.</p>\n");
	put_paths(&page, json_object_get(document, "paths"));
	put_shapes(&page, json_object_get(json_object_get(document, "components"), "schemas"));
	aut_buf_puts(&page, "</body></html>\n");
	(void) aut_exchange_add_header(request->exchange, "Content-Security-Policy",
								   "default-src 'none'; style-src 'unsafe-inline'; "
								   "frame-ancestors 'none'; base-uri 'none'; form-action 'none'");
	if (document == NULL || page.status != AUT_OK)
		aut__api_reply_detail(request->api, request->exchange, 503, "out of memory");
	else
		aut__api_reply(request->api, request->exchange, 200, "text/html; charset=utf-8", page.data,
					   page.len);
	aut_buf_done(&page);
	json_decref(document);
}

void
aut__api_redoc_answer(aut_api_request *request)
{
	aut_buf location;

	aut_buf_init(&location, 2000);
	aut_buf_printf(&location, "%s/docs", request->api->prefix);
	if (location.status == AUT_OK &&
		aut_exchange_add_header(request->exchange, "Location", location.data) == AUT_OK)
		aut__api_reply(request->api, request->exchange, 307, NULL, NULL, 0);
	else
		aut__api_reply_detail(request->api, request->exchange, 503, "out of memory");
	aut_buf_done(&location);
}
