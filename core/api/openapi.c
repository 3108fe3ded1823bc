/* SPDX-License-Identifier: MIT */
/*
 * core/api/openapi.c - the description of the API (OpenAPI 3.1), made from the table of routes.
 *
 * What the table says about a row (its id, its flags, its body and answer) becomes an operation; what all
 * rows of a kind have in common (a key, pages, the errors of validation) is said here once.  The document
 * is made when it is asked for, which is seldom; nothing is kept.
 *
 * Types of members are words of a small language, so that a shape is one line of a table:
 *
 *     string integer number boolean object any     as in JSON
 *     uuid time                                    strings of that format
 *     @Name                                        another shape
 *     [T]                                          a list of T
 *     map T                                        an object whose values are T
 *     one-of a,b     const a                       these words
 *     either T;T     tagged T;T                    one of these types; tagged: told apart by `type`
 *     T?                                           or null
 *
 * JSON here is built with functions that fail when they are given NULL, and drop what they were given
 * then: so a chain of them needs one look at its end.
 */
#include <string.h>

#include "core/api/api_internal.h"

#define OPERATION_ID_MAX 300
#define PATH_MAX_BYTES   2000

/* ---- small builders ---------------------------------------------------------------------------- */

/* An object with one member; takes value. */
static json_t *
with(const char *key, json_t *take_value)
{
	json_t *object = json_object();

	if (aut_json_set(object, key, take_value))
		return object;
	json_decref(object);
	return NULL;
}

/* One member more; takes both. */
static json_t * and (json_t * take_object, const char *key, json_t *take_value)
{
	if (aut_json_set(take_object, key, take_value))
		return take_object;
	json_decref(take_object);
	return NULL;
}

static json_t *
append(json_t *take_list, json_t *take_value)
{
	if (take_value != NULL && take_list != NULL && json_array_append(take_list, take_value) == 0)
	{
		json_decref(take_value);
		return take_list;
	}
	json_decref(take_value);
	json_decref(take_list);
	return NULL;
}

static json_t *
reference(const char *name, size_t len)
{
	return with("$ref", json_sprintf("#/components/schemas/%.*s", (int) len, name));
}

/* ---- types ------------------------------------------------------------------------------------- */

static bool
begins(const char *text, size_t len, const char *word, const char **out_rest, size_t *out_len)
{
	size_t word_len = strlen(word);

	if (len < word_len || memcmp(text, word, word_len) != 0)
		return false;
	*out_rest = text + word_len;
	*out_len = len - word_len;
	return true;
}

/* Words parted by commas, as an enum. */
static json_t *
words_json(const char *text, size_t len)
{
	json_t *list = json_array();

	while (list != NULL && len > 0)
	{
		const char *comma = memchr(text, ',', len);
		size_t word = comma != NULL ? (size_t) (comma - text) : len;

		list = append(list, json_stringn(text, word));
		text += word + (comma != NULL);
		len -= word + (comma != NULL);
	}
	return and(with("type", json_string("string")), "enum", list);
}

static json_t *type_json(const char *text, size_t len);

/* Types parted by semicolons, appended to a list. */
static json_t *
types_json(const char *text, size_t len)
{
	json_t *list = json_array();

	while (list != NULL && len > 0)
	{
		const char *end = memchr(text, ';', len);
		size_t one = end != NULL ? (size_t) (end - text) : len;

		list = append(list, type_json(text, one));
		text += one + (end != NULL);
		len -= one + (end != NULL);
	}
	return list;
}

static json_t *
tagged_json(const char *text, size_t len)
{
	json_t *one_of = with("oneOf", types_json(text, len));

	return and(one_of, "discriminator", with("propertyName", json_string("type")));
}

/* A type that cannot be null.  The table is ours: a word nobody knows is a slip, and becomes "any". */
static json_t *
plain_json(const char *text, size_t len)
{
	static const char *const plain[] = {"string", "integer", "number", "boolean", NULL};
	const char *rest;
	size_t rest_len;

	for (size_t i = 0; plain[i] != NULL; i++)
	{
		if (strlen(plain[i]) == len && memcmp(plain[i], text, len) == 0)
			return with("type", json_string(plain[i]));
	}
	if (begins(text, len, "uuid", &rest, &rest_len))
		return and(with("type", json_string("string")), "format", json_string("uuid"));
	if (begins(text, len, "time", &rest, &rest_len))
		return and(with("type", json_string("string")), "format", json_string("date-time"));
	if (begins(text, len, "object", &rest, &rest_len))
		return and(with("additionalProperties", json_true()), "type", json_string("object"));
	if (begins(text, len, "@", &rest, &rest_len))
		return reference(rest, rest_len);
	if (begins(text, len, "[", &rest, &rest_len))
		return and(with("items", type_json(rest, rest_len - 1)), "type", json_string("array"));
	if (begins(text, len, "map ", &rest, &rest_len))
		return and(with("additionalProperties", type_json(rest, rest_len)), "type",
				   json_string("object"));
	if (begins(text, len, "one-of ", &rest, &rest_len))
		return words_json(rest, rest_len);
	if (begins(text, len, "const ", &rest, &rest_len))
		return and(with("type", json_string("string")), "const", json_stringn(rest, rest_len));
	if (begins(text, len, "either ", &rest, &rest_len))
		return with("anyOf", types_json(rest, rest_len));
	if (begins(text, len, "tagged ", &rest, &rest_len))
		return tagged_json(rest, rest_len);
	return json_object();
}

/* "T?" of "either" is one list, as the contract writes it, not a list in a list. */
static json_t *
type_json(const char *text, size_t len)
{
	json_t *one;
	json_t *list;

	if (len == 0 || text[len - 1] != '?')
		return plain_json(text, len);
	one = plain_json(text, len - 1);
	list = json_incref(json_object_get(one, "anyOf"));
	if (list == NULL)
		list = append(json_array(), json_incref(one));
	json_decref(one);
	return with("anyOf", append(list, with("type", json_string("null"))));
}

/* ---- members ----------------------------------------------------------------------------------- */

/* Where a member's limits belong: beside its type, in the first part of "T or null". */
static json_t *
limits_of(json_t *schema)
{
	json_t *first = json_array_get(json_object_get(schema, "anyOf"), 0);

	return first != NULL ? first : schema;
}

static bool
set_limits(const aut_api_member *member, json_t *schema)
{
	bool number = strncmp(member->type, "integer", 7) == 0;
	json_t *at = limits_of(schema);
	bool good = schema != NULL;

	if ((member->flags & AUT_MEMBER_SOME) != 0 && number)
		good = good && aut_json_set(at, "exclusiveMinimum", json_real(0));
	else if ((member->flags & AUT_MEMBER_SOME) != 0)
		good = good && aut_json_set(at, "minItems", json_integer(1));
	if (member->min > 0 || (member->flags & AUT_MEMBER_FROM) != 0)
		good =
			good && aut_json_set(at, number ? "minimum" : "minLength", json_integer(member->min));
	if (member->max > 0)
		good =
			good && aut_json_set(at, number ? "maximum" : "maxLength", json_integer(member->max));
	if (member->pattern != NULL)
		good = good && aut_json_set(at, "pattern", json_string(member->pattern));
	return good;
}

static json_t *
initial_json(const aut_api_member *member)
{
	int64_t number = 0;

	if (strncmp(member->type, "boolean", 7) == 0)
		return json_boolean(strcmp(member->initial, "true") == 0);
	if (strncmp(member->type, "integer", 7) == 0)
		return aut_int_parse(member->initial, INT64_MIN, INT64_MAX, &number) ? json_integer(number)
																			 : NULL;
	return json_string(member->initial);
}

static json_t *
member_json(const aut_api_member *member)
{
	json_t *schema = type_json(member->type, strlen(member->type));
	bool good = set_limits(member, schema);

	if (member->initial != NULL)
		good = good && aut_json_set(schema, "default", initial_json(member));
	if ((member->flags & AUT_MEMBER_DEPRECATED) != 0)
		good = good && aut_json_set(schema, "deprecated", json_true());
	if ((member->flags & AUT_MEMBER_ADDITION) != 0)
		good = good && aut_json_set(schema, "x-addition", json_true());
	if (member->doc != NULL)
		good = good && aut_json_set(schema, "description", json_string(member->doc));
	if (good)
		return schema;
	json_decref(schema);
	return NULL;
}

static json_t *
schema_json(const aut_api_schema *schema)
{
	json_t *out, *properties, *required;

	if (schema->members == NULL)
	{
		out = type_json(schema->type, strlen(schema->type));
		return schema->addition ? and(out, "x-addition", json_true()) : out;
	}
	properties = json_object();
	required = json_array();
	for (const aut_api_member *member = schema->members; member->name != NULL; member++)
	{
		properties = and(properties, member->name, member_json(member));
		if ((member->flags & AUT_MEMBER_REQUIRED) != 0)
			required = append(required, json_string(member->name));
	}
	out = and(with("properties", properties), "type", json_string("object"));
	if (required == NULL || json_array_size(required) > 0)
		out = and(out, "required", required);
	else
		json_decref(required);
	if (schema->closed)
		out = and(out, "additionalProperties", json_false());
	if (schema->addition)
		out = and(out, "x-addition", json_true());
	return out;
}

static json_t *
schemas_json(void)
{
	const aut_api_schema *schema;
	json_t *out = json_object();

	for (size_t i = 0; (schema = aut__api_schema_at(i)) != NULL; i++)
		out = and(out, schema->name, schema_json(schema));
	return out;
}

/* ---- parameters -------------------------------------------------------------------------------- */

static json_t *
parameter(const char *name, size_t name_len, const char *where, bool required, bool addition,
		  json_t *take_schema)
{
	json_t *out = with("name", json_stringn(name, name_len));

	out = and(out, "in", json_string(where));
	out = and(out, "required", json_boolean(required));
	if (addition)
		out = and(out, "x-addition", json_true());
	return and(out, "schema", take_schema);
}

static json_t *
append_query(json_t *list, const aut_api_member *members)
{
	for (; members != NULL && members->name != NULL; members++)
		list = append(list,
					  parameter(members->name, strlen(members->name), "query",
								(members->flags & AUT_MEMBER_REQUIRED) != 0,
								(members->flags & AUT_MEMBER_ADDITION) != 0, member_json(members)));
	return list;
}

static json_t *
parameters_json(const aut_api_route *route)
{
	static const aut_api_member page[] = {
		{"limit", "integer", AUT_MEMBER_FROM, 1, AUT_API_LIMIT_MAX, "50", NULL, NULL},
		{"offset", "integer", AUT_MEMBER_FROM, 0, 0, "0", NULL, NULL},
		{"cursor", "string", AUT_MEMBER_ADDITION, 0, 0, NULL, NULL,
		 "next_cursor of an answer, or empty: from the newest on; excludes offset"},
		{NULL, NULL, 0, 0, 0, NULL, NULL, NULL},
	};
	json_t *list = json_array();

	for (const char *at = strchr(route->pattern, '{'); at != NULL; at = strchr(at + 1, '{'))
	{
		size_t len = strcspn(at + 1, "}");
		bool id = aut__api_segment_is_id(at + 1, len);

		list = append(list, parameter(at + 1, len, "path", true, false,
									  type_json(id ? "uuid" : "string", id ? 4 : 6)));
	}
	if ((route->flags & AUT_ROUTE_PAGE) != 0)
		list = append_query(list, page);
	return append_query(list, route->about.query);
}

/* ---- bodies and answers ------------------------------------------------------------------------ */

static json_t *
content(const char *media, json_t *take_schema)
{
	return with(media, with("schema", take_schema));
}

static json_t *
bytes_json(void)
{
	return and(with("type", json_string("string")), "format", json_string("binary"));
}

static json_t *
body_json(const aut_api_about *about)
{
	json_t *body;

	if (about->sends_tarball)
		body = with("content", content("application/gzip", bytes_json()));
	else
		body = with("content",
					content("application/json", reference(about->body, strlen(about->body))));
	return and(body, "required", json_boolean(!about->body_optional));
}

static json_t *
success_json(const aut_api_about *about)
{
	json_t *out = with("description", json_string(about->summary));
	json_t *by_media = json_object();

	if (about->reply != NULL)
		by_media = and(by_media, "application/json",
					   with("schema", reference(about->reply, strlen(about->reply))));
	if (about->media != NULL)
		by_media =
			and(by_media, about->media,
				with("schema", about->reply != NULL ? type_json("string", 6) : bytes_json()));
	if (by_media == NULL || json_object_size(by_media) > 0)
		return and(out, "content", by_media);
	json_decref(by_media);
	return out;
}

static json_t *
error_json(int code, const aut_api_about *about)
{
	static const struct
	{
		int code;
		const char *text;
	} texts[] = {
		{400, "Not a request for this service, or one it cannot carry out"},
		{401, "No key, or none of ours"},
		{403, "Not allowed"},
		{404, "There is no such thing"},
		{409, "Not in the state it is in"},
		{413, "Too long"},
		{415, "Not a media type this takes"},
		{422, "Not valid"},
		{500, "Our fault"},
		{503, "Too busy, or the database is away"},
	};
	const char *text = "Error";
	json_t *schema, *out;

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
	{
		if (texts[i].code == code)
			text = texts[i].text;
	}
	out = with("description", json_string(text));
	if (code == 500)
		return and(out, "content", content("text/plain", type_json("string", 6)));
	if (code == 422)
		schema = with("anyOf", types_json("@HTTPValidationError;@ErrorResponse", 35));
	else if (code == 503 && about->reply != NULL && strcmp(about->reply, "ReadyResponse") == 0)
		schema = reference(about->reply, strlen(about->reply));
	else
		schema = reference("ErrorResponse", 13);
	return and(out, "content", content("application/json", schema));
}

/* The errors of a kind of route, in the order of their codes, and those the row names. */
static bool
has_error(const aut_api_route *route, int code)
{
	const aut_api_about *about = &route->about;
	bool key = (route->flags & AUT_ROUTE_AUTH) != 0;
	bool body = about->body != NULL;
	char text[12];

	(void) snprintf(text, sizeof text, "%d", code);
	if (about->errors != NULL && strstr(about->errors, text) != NULL)
		return true;
	if (code == 400 || code == 403 || code == 500) /* the guard; us */
		return true;
	if (code == 413)
		return body;
	return key && (code == 401 || code == 422 || code == 503);
}

static json_t *
responses_json(const aut_api_route *route)
{
	static const int codes[] = {400, 401, 403, 404, 409, 413, 415, 422, 500, 503};
	const aut_api_about *about = &route->about;
	json_t *out = json_object();
	char key[12];

	(void) snprintf(key, sizeof key, "%d", route->code);
	out = and(out, key, success_json(about));
	if (about->also != 0)
	{
		(void) snprintf(key, sizeof key, "%d", about->also);
		out = and(out, key,
				  about->also < 300 ? success_json(about)
									: with("description", json_string("It is elsewhere")));
	}
	for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
	{
		if (!has_error(route, codes[i]))
			continue;
		(void) snprintf(key, sizeof key, "%d", codes[i]);
		out = and(out, key, error_json(codes[i], about));
	}
	return out;
}

/* ---- operations -------------------------------------------------------------------------------- */

/* As the contract's generator names them: name and path with '_' for everything else, and the method. */
static json_t *
operation_id(const aut_api_route *route, const char *path)
{
	json_t *out = NULL;
	aut_buf buf;

	aut_buf_init(&buf, OPERATION_ID_MAX);
	aut_buf_printf(&buf, "%s%s_%s", route->about.name, path, route->method);
	for (size_t i = 0; i < buf.len; i++)
	{
		char c = buf.data[i];

		if (c >= 'A' && c <= 'Z' && i >= buf.len - strlen(route->method))
			buf.data[i] = (char) (c - 'A' + 'a');
		else if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9'))
			buf.data[i] = '_';
	}
	if (buf.status == AUT_OK)
		out = json_stringn(buf.data, buf.len);
	aut_buf_done(&buf);
	return out;
}

static json_t *
security_json(void)
{
	return append(append(json_array(), with("bearer", json_array())),
				  with("session_key", json_array()));
}

static json_t *
operation_json(const aut_api_route *route, const char *path)
{
	const aut_api_about *about = &route->about;
	json_t *parameters = parameters_json(route);
	json_t *out = with("summary", json_string(about->summary));

	out = and(out, "operationId", operation_id(route, path));
	if (route->permission != NULL)
		out = and(out, "x-permission", json_string(route->permission));
	if ((route->flags & AUT_ROUTE_ADDITION) != 0)
		out = and(out, "x-addition", json_true());
	if (parameters == NULL || json_array_size(parameters) > 0)
		out = and(out, "parameters", parameters);
	else
		json_decref(parameters);
	if (about->body != NULL || about->sends_tarball)
		out = and(out, "requestBody", body_json(about));
	out = and(out, "responses", responses_json(route));
	if ((route->flags & AUT_ROUTE_AUTH) != 0)
		out = and(out, "security", security_json());
	return out;
}

/* Put an operation below its path; false: no memory. */
static bool
add_operation(json_t *paths, const aut_api_route *route, const char *path)
{
	char method[8] = "";
	json_t *item;

	if (path == NULL)
		return false;
	for (size_t i = 0; i + 1 < sizeof method && route->method[i] != '\0'; i++)
		method[i] = (char) (route->method[i] - 'A' + 'a');
	item = json_object_get(paths, path);
	if (item == NULL)
	{
		if (!aut_json_set(paths, path, json_object()))
			return false;
		item = json_object_get(paths, path);
	}
	return aut_json_set(item, method, operation_json(route, path));
}

static json_t *
paths_json(const aut_api *api)
{
	const aut_api_route *route;
	json_t *paths = json_object();
	bool good = paths != NULL;
	aut_buf path;

	aut_buf_init(&path, PATH_MAX_BYTES);
	for (size_t i = 0; good && (route = aut__api_route_at(i)) != NULL; i++)
	{
		if ((route->flags & AUT_ROUTE_UNLISTED) != 0)
			continue;
		aut_buf_clear(&path);
		good = aut_buf_printf(&path, "%s%s", api->prefix, route->pattern) == AUT_OK &&
			   add_operation(paths, route, path.data);
		if (good && (route->flags & AUT_ROUTE_ROOT) != 0)
			good = add_operation(paths, route, route->pattern);
	}
	aut_buf_done(&path);
	if (good)
		return paths;
	json_decref(paths);
	return NULL;
}

/* ---- the document ------------------------------------------------------------------------------ */

static json_t *
schemes_json(void)
{
	json_t *bearer = with("type", json_string("http"));
	json_t *key = with("type", json_string("apiKey"));

	bearer = and(bearer, "scheme", json_string("bearer"));
	key = and(key, "in", json_string("header"));
	key = and(key, "name", json_string("X-Session-API-Key"));
	return and(with("bearer", bearer), "session_key", key);
}

json_t *
aut__api_openapi(const aut_api *api)
{
	json_t *info = with("title", json_string("automation"));
	json_t *out = with("openapi", json_string("3.1.0"));

	info = and(info, "version", json_string(AUT_API_CONTRACT_VERSION));
	info = and(info, "x-engine-version", json_string(AUT_VERSION));
	out = and(out, "info", info);
	out = and(out, "paths", paths_json(api));
	return and(out, "components",
			   and(with("schemas", schemas_json()), "securitySchemes", schemes_json()));
}

void
aut__api_openapi_answer(aut_api_request *request)
{
	aut__api_reply_json(request->api, request->exchange, 200, aut__api_openapi(request->api));
}
