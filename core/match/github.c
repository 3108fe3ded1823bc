/* SPDX-License-Identifier: MIT */
/*
 * core/match/github.c - GitHub's payloads: which event, and the part of it that a run receives.
 *
 * The family of an event follows from which members the payload has (never from a header: deliveries are
 * forwarded).  A run receives not the payload but a typed view of it: the members of the tables below,
 * converted where they are written differently ("12" for 12, "yes" for true), defaults added, all else
 * left out.  A payload that does not fit is ignored; the reason names the member.
 *
 * The tables are the contract (triggers.md section 3.1).  To add a member, add a row; to add a family,
 * add its table and a row to families, at the place where its members decide.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/match/internal.h"

typedef enum kind
{
	K_INT,
	K_TEXT,
	K_BOOL,
	K_ANY,   /* an object kept whole */
	K_MODEL, /* an object with members of its own */
	K_LIST   /* a list of such objects */
} kind;

typedef enum fallback
{
	F_REQUIRED,
	F_FALSE,
	F_TEXT, /* field.text */
	F_EMPTY_LIST,
	F_NULL /* null is also a value of its own */
} fallback;

typedef struct field
{
	const char *name;
	kind kind;
	fallback fallback;
	const struct field *model; /* ended by a row without name */
	const char *text;
} field;

#define END                                                                                        \
	{                                                                                              \
		NULL, K_ANY, F_REQUIRED, NULL, NULL                                                        \
	}
#define NEEDS(name, kind)                                                                          \
	{                                                                                              \
		name, kind, F_REQUIRED, NULL, NULL                                                         \
	}
#define NEEDS_MODEL(name, model)                                                                   \
	{                                                                                              \
		name, K_MODEL, F_REQUIRED, model, NULL                                                     \
	}
#define IS_FALSE(name)                                                                             \
	{                                                                                              \
		name, K_BOOL, F_FALSE, NULL, NULL                                                          \
	}
#define OR_NULL(name)                                                                              \
	{                                                                                              \
		name, K_TEXT, F_NULL, NULL, NULL                                                           \
	}
#define OR_TEXT(name, text)                                                                        \
	{                                                                                              \
		name, K_TEXT, F_TEXT, NULL, text                                                           \
	}
#define LIST(name, model)                                                                          \
	{                                                                                              \
		name, K_LIST, F_EMPTY_LIST, model, NULL                                                    \
	}

static const field repository[] = {NEEDS("id", K_INT),
								   NEEDS("name", K_TEXT),
								   NEEDS("full_name", K_TEXT),
								   NEEDS("private", K_BOOL),
								   OR_TEXT("default_branch", "main"),
								   END};
static const field user[] = {NEEDS("id", K_INT), NEEDS("login", K_TEXT), OR_TEXT("type", "User"),
							 END};
static const field label[] = {NEEDS("name", K_TEXT), OR_TEXT("color", ""), END};
static const field branch[] = {NEEDS("ref", K_TEXT), NEEDS("sha", K_TEXT), END};
static const field pull[] = {NEEDS("number", K_INT),
							 NEEDS("title", K_TEXT),
							 NEEDS("state", K_TEXT),
							 IS_FALSE("draft"),
							 IS_FALSE("merged"),
							 NEEDS_MODEL("base", branch),
							 NEEDS_MODEL("head", branch),
							 LIST("labels", label),
							 NEEDS_MODEL("user", user),
							 OR_NULL("html_url"),
							 END};
static const field issue[] = {NEEDS("number", K_INT),
							  NEEDS("title", K_TEXT),
							  NEEDS("state", K_TEXT),
							  LIST("labels", label),
							  NEEDS_MODEL("user", user),
							  OR_NULL("html_url"),
							  END};
static const field comment[] = {NEEDS("id", K_INT), NEEDS("body", K_TEXT),
								NEEDS_MODEL("user", user), OR_NULL("html_url"), END};
static const field commit[] = {NEEDS("id", K_TEXT), NEEDS("message", K_TEXT),
							   NEEDS("author", K_ANY), END};
static const field release[] = {NEEDS("tag_name", K_TEXT), OR_NULL("name"), IS_FALSE("draft"),
								IS_FALSE("prerelease"), END};

#define EVERY NEEDS_MODEL("repository", repository), NEEDS_MODEL("sender", user)

static const field of_review[] = {EVERY, NEEDS("action", K_TEXT), NEEDS("review", K_ANY),
								  NEEDS_MODEL("pull_request", pull), END};
static const field of_pull[] = {EVERY, NEEDS("action", K_TEXT), NEEDS("number", K_INT),
								NEEDS_MODEL("pull_request", pull), END};
static const field of_comment[] = {EVERY, NEEDS("action", K_TEXT), NEEDS_MODEL("issue", issue),
								   NEEDS_MODEL("comment", comment), END};
static const field of_issues[] = {EVERY, NEEDS("action", K_TEXT), NEEDS_MODEL("issue", issue), END};
static const field of_push[] = {EVERY,
								NEEDS("ref", K_TEXT),
								NEEDS("before", K_TEXT),
								NEEDS("after", K_TEXT),
								LIST("commits", commit),
								END};
static const field of_release[] = {EVERY, NEEDS("action", K_TEXT), NEEDS_MODEL("release", release),
								   END};

/* The first whose members are all there. */
static const struct
{
	const char *name;
	const char *first, *second; /* second may be NULL */
	const field *model;         /* NULL: known, but no run is made of it */
} families[] = {{"pull_request_review", "pull_request", "review", of_review},
				{"pull_request", "pull_request", NULL, of_pull},
				{"issue_comment", "issue", "comment", of_comment},
				{"issues", "issue", NULL, of_issues},
				{"push", "ref", "commits", of_push},
				{"release", "release", NULL, of_release},
				{"workflow_run", "workflow_run", NULL, NULL},
				{"check_run", "check_run", NULL, NULL}};

bool
aut_github_family_at(size_t index, aut_github_family *out)
{
	if (index >= sizeof families / sizeof families[0])
		return false;
	*out = (aut_github_family){families[index].name, families[index].first, families[index].second,
							   families[index].model != NULL};
	return true;
}


/* ---- fitting a value ---------------------------------------------------------------------------- */

/* Where in the payload, for the reason: a chain on the stack, as deep as the tables. */
typedef struct place
{
	const struct place *parent;
	const char *name; /* NULL: element `index` of a list */
	size_t index;
} place;

typedef struct fitting
{
	aut_event *event;
	bool no_memory;
} fitting;

static size_t
place_text(const place *at, char *out, size_t size)
{
	size_t used = at->parent != NULL ? place_text(at->parent, out, size) : 0;
	int wrote = at->name == NULL
					? snprintf(out + used, size - used, "[%zu]", at->index)
					: snprintf(out + used, size - used, "%s%s", used > 0 ? "." : "", at->name);

	used += wrote > 0 ? (size_t) wrote : 0;
	return used < size ? used : size - 1;
}

static json_t *
misfit(fitting *fit, const place *at, const char *what)
{
	char text[160];

	(void) place_text(at, text, sizeof text);
	aut__event_ignore(fit->event, "%s %s", text, what);
	return NULL;
}

static json_t *
made(fitting *fit, json_t *value)
{
	fit->no_memory = fit->no_memory || value == NULL;
	return value;
}

static json_t *
same(const json_t *value)
{
	return json_incref((json_t *) (uintptr_t) value);
}

static json_t *
fit_int(fitting *fit, const place *at, const json_t *value)
{
	const char *strange = aut_event_doc_number(&fit->event->doc, value);
	double real = json_real_value(value);
	int64_t whole;

	if (json_is_integer(value))
		return same(value);
	if (json_is_boolean(value))
		return made(fit, json_integer(json_is_true(value) ? 1 : 0));
	/* an integer beyond 64 bits stays the node that stands for it */
	if (strange != NULL)
		return strange[strcspn(strange, "in")] == '\0' ? same(value)
													   : misfit(fit, at, "must be a whole number");
	if (json_is_real(value) && trunc(real) == real && fabs(real) < 9e18)
		return made(fit, json_integer((json_int_t) real));
	if (json_is_string(value) && aut_lax_int_text(json_string_value(value), &whole))
		return made(fit, json_integer(whole));
	return misfit(fit, at, "must be a whole number");
}

static json_t *fit_model(fitting *fit, const place *at, const field *model, const json_t *object);

static json_t *
fit_list(fitting *fit, const place *at, const field *model, const json_t *list)
{
	json_t *out = made(fit, json_array());

	for (size_t i = 0; out != NULL && i < json_array_size(list); i++)
	{
		place here = {at, NULL, i};
		json_t *item = fit_model(fit, &here, model, json_array_get(list, i));

		if (item == NULL || json_array_append_new(out, item) != 0)
		{
			fit->no_memory = fit->no_memory || item != NULL;
			json_decref(out);
			out = NULL;
		}
	}
	return out;
}

static json_t *
fit_value(fitting *fit, const place *at, const field *wanted, const json_t *value)
{
	bool yes;

	switch (wanted->kind)
	{
		case K_INT:
			return fit_int(fit, at, value);
		case K_TEXT:
			return json_is_string(value) ? same(value) : misfit(fit, at, "must be a text");
		case K_BOOL:
			return aut_lax_bool(value, &yes) ? json_boolean(yes)
											 : misfit(fit, at, "must be true or false");
		case K_ANY:
			return json_is_object(value) ? same(value) : misfit(fit, at, "must be an object");
		case K_MODEL:
			return fit_model(fit, at, wanted->model, value);
		case K_LIST:
			return json_is_array(value) ? fit_list(fit, at, wanted->model, value)
										: misfit(fit, at, "must be a list");
	}
	return misfit(fit, at, "is of no known kind");
}

static json_t *
fit_absent(fitting *fit, const place *at, const field *wanted)
{
	switch (wanted->fallback)
	{
		case F_REQUIRED:
			return misfit(fit, at, "is missing");
		case F_FALSE:
			return json_false();
		case F_TEXT:
			return made(fit, json_string(wanted->text));
		case F_EMPTY_LIST:
			return made(fit, json_array());
		case F_NULL:
			return json_null();
	}
	return misfit(fit, at, "is missing");
}

/* Recurses as deep as the tables refer to each other. */
static json_t *
fit_model(fitting *fit, const place *at, const field *model, const json_t *object)
{
	json_t *out;

	if (!json_is_object(object))
		return misfit(fit, at, "must be an object");
	out = made(fit, json_object());
	for (const field *wanted = model; out != NULL && wanted->name != NULL; wanted++)
	{
		place here = {at, wanted->name, 0};
		const json_t *value = json_object_get(object, wanted->name);
		json_t *fitted;

		if (value == NULL)
			fitted = fit_absent(fit, &here, wanted);
		else if (json_is_null(value) && wanted->fallback == F_NULL)
			fitted = json_null();
		else
			fitted = fit_value(fit, &here, wanted, value);
		if (fitted == NULL || json_object_set_new_nocheck(out, wanted->name, fitted) != 0)
		{
			fit->no_memory = fit->no_memory || fitted != NULL;
			json_decref(out);
			out = NULL;
		}
	}
	return out;
}

/* ---- the event ---------------------------------------------------------------------------------- */

aut_status
aut__github_read(aut_event *event, json_t **out_model, char **out_key, aut_error *err)
{
	const json_t *payload = event->payload;
	size_t count = sizeof families / sizeof families[0];
	fitting fit = {event, false};
	const char *action;
	json_t *model = NULL;
	char *key = NULL;
	size_t i = 0;

	while (i < count &&
		   (json_object_get(payload, families[i].first) == NULL ||
			(families[i].second != NULL && json_object_get(payload, families[i].second) == NULL)))
		i++;
	if (i == count)
		aut__event_ignore(event, "the payload has the members of no event that is known");
	else if (families[i].model == NULL)
		aut__event_ignore(event, "%s events are not supported", families[i].name);
	else
	{
		const place top = {NULL, "payload", 0};

		model = fit_model(&fit, &top, families[i].model, payload);
	}
	if (model != NULL)
	{
		action = aut_json_string(model, "action");
		key = action != NULL && *action != '\0' ? aut_printf("%s.%s", families[i].name, action)
												: aut_strdup(families[i].name);
	}
	if (fit.no_memory || (model != NULL && key == NULL))
	{
		json_decref(model);
		return aut_fail(err, AUT_ENOMEM, "out of memory while reading an event");
	}
	*out_model = model;
	*out_key = key;
	return AUT_OK;
}
