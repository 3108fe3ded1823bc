/* SPDX-License-Identifier: MIT */
/*
 * core/service/internal.h - what the files of core/service share among themselves.
 *
 * Three layers: problems (lists of what is wrong with a request), forms (a request body read into a
 * struct of checked values) and the services proper, which look at the database.
 */
#ifndef AUT_SERVICE_INTERNAL_H
#define AUT_SERVICE_INTERNAL_H

#include "automation/schedule.h"
#include "automation/service.h"

/* ---- problems ------------------------------------------------------------------------------- */

/*
 * Where in a request something is: a chain on the stack, from the member up to "body", "path" or
 * "query".  name NULL: an element of a list, at index.
 */
typedef struct aut__loc
{
	const struct aut__loc *parent;
	const char *name;
	size_t index;
} aut__loc;

extern const aut__loc AUT__BODY;
extern const aut__loc AUT__QUERY;

/* What was found wrong so far.  All-zero is empty. */
typedef struct aut__problems
{
	json_t *list;
	aut_error failure; /* the check itself could not be made (no memory, …); the first one stays */
} aut__problems;

/* Add one problem at `at`.  input (borrowed, may be NULL) is what was given there; take_ctx may be
 * NULL.  The message must be valid UTF-8. */
void aut__problem(aut__problems *problems, const aut__loc *at, const char *type,
				  const json_t *input, json_t *take_ctx, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));
/* A rule of ours that no type expresses: type "value_error", message behind "Value error, ". */
void aut__problem_value(aut__problems *problems, const aut__loc *at, const json_t *input,
						const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void aut__problems_done(aut__problems *problems);
/* Take over the problems of another list (borrowed). */
void aut__problems_add(aut__problems *problems, json_t *list);
/* The check itself failed: that, and not the list, is what the caller hears. */
void aut__problems_fail(aut__problems *problems, const aut_error *why);
/*
 * The end of every check: AUT_OK when there are no problems; else AUT_EINVAL, the list moved into
 * *out_problems (what was there is dropped) and a summary in err; another status when the check itself
 * failed.  Empties problems.
 */
aut_status aut__problems_status(aut__problems *problems, json_t **out_problems, aut_error *err);

/* ---- reading members ------------------------------------------------------------------------ */

typedef enum aut__got
{
	AUT__ABSENT,
	AUT__NULL, /* explicit null, where that is allowed */
	AUT__VALUE,
	AUT__BAD /* a problem was added */
} aut__got;

/* How a member may look. */
typedef struct aut__rule
{
	const char *name;
	bool required;   /* absent is a problem */
	bool nullable;   /* null is a value of its own */
	size_t min, max; /* texts: length in code points; max 0: unlimited */
} aut__rule;

/* Is value an object?  Else a problem. */
bool aut__is_object(aut__problems *problems, const aut__loc *at, const json_t *value);
/* Members whose names are not in the NULL-terminated list: one problem each. */
void aut__refuse_others(aut__problems *problems, const aut__loc *at, const json_t *object,
						const char *const *known);
/* Each reads one member of object.  Texts live in the object.  Coercions are the contract's: booleans
 * and numbers from texts, texts from nothing else. */
aut__got aut__read_any(aut__problems *problems, const aut__loc *at, const json_t *object,
					   const aut__rule *rule, const json_t **out);
aut__got aut__read_text(aut__problems *problems, const aut__loc *at, const json_t *object,
						const aut__rule *rule, const char **out);
aut__got aut__read_bool(aut__problems *problems, const aut__loc *at, const json_t *object,
						const aut__rule *rule, bool *out);
aut__got aut__read_int(aut__problems *problems, const aut__loc *at, const json_t *object,
					   const aut__rule *rule, int64_t *out);
aut__got aut__read_real(aut__problems *problems, const aut__loc *at, const json_t *object,
						const aut__rule *rule, double *out);
aut__got aut__read_object(aut__problems *problems, const aut__loc *at, const json_t *object,
						  const aut__rule *rule, const json_t **out);
aut__got aut__read_uuid(aut__problems *problems, const aut__loc *at, const json_t *object,
						const aut__rule *rule, aut_uuid *out);
/* One of a NULL-terminated list of words; *out points into the list. */
aut__got aut__read_word(aut__problems *problems, const aut__loc *at, const json_t *object,
						const aut__rule *rule, const char *const *words, const char **out);

/* Length in bytes of the control character (category Cc) that text begins with, or 0. */
size_t aut__control_at(const char *text);

/* ---- forms ---------------------------------------------------------------------------------- */

/* A trigger as it is stored: every default filled in. */
typedef struct aut__trigger
{
	json_t *json;                    /* owned */
	const char *type;                /* "cron" or "event" */
	const char *schedule, *timezone; /* cron; live in json */
	bool continues;                  /* destination continue_conversation */
} aut__trigger;
void aut__trigger_done(aut__trigger *trigger);
/* Fills *out only when there is no problem.  sql: the source of row triggers is allowed. */
bool aut__trigger_check(aut__problems *problems, const aut__loc *at, const json_t *value, bool sql,
						aut__trigger *out);
/* Its members `on` (a text or a list of them; *out lives in object) and those that are expressions. */
bool aut__patterns_check(aut__problems *problems, const aut__loc *at, const json_t *object,
						 const json_t **out);
bool aut__expression_check(aut__problems *problems, const aut__loc *at, const json_t *object,
						   const char *name, const char **out);
/* A stored trigger's JSON back into the struct, without judging it again: an automation whose zone has
 * vanished must still be possible to switch off. */
aut_status aut__trigger_load(const char *text, aut__trigger *out, aut_error *err);

/* Members that were given in a body, null included. */
enum
{
	AUT__F_AGENT_PROFILE = 1 << 0,
	AUT__F_NAME = 1 << 1,
	AUT__F_DESCRIPTION = 1 << 2,
	AUT__F_MODEL = 1 << 3,
	AUT__F_PROMPT = 1 << 4,
	AUT__F_TRIGGER = 1 << 5,
	AUT__F_ASSOCIATIONS = 1 << 6,
	AUT__F_TARBALL = 1 << 7,
	AUT__F_SETUP = 1 << 8,
	AUT__F_ENTRYPOINT = 1 << 9,
	AUT__F_TIMEOUT = 1 << 10,
	AUT__F_KEEP_ALIVE = 1 << 11,
	AUT__F_ENABLED = 1 << 12,
	AUT__F_STATE = 1 << 13,
	AUT__F_TEMPLATE = 1 << 14,
	AUT__F_PLUGIN = 1 << 15,
	AUT__F_REPOS = 1 << 16,
	AUT__F_ENVIRONMENT = 1 << 17,
	AUT__F_WAIT_AT_LIMIT = 1 << 18
};

/* The body of POST /v1 or PATCH /v1/{id}, checked.  Texts live in the body. */
typedef struct aut__form
{
	unsigned given;
	bool has_agent_profile;
	aut_uuid agent_profile_id;
	const char *name, *description, *model, *prompt, *tarball_path, *setup_script_path, *entrypoint;
	aut__trigger trigger;       /* json NULL: none or null */
	const json_t *associations; /* NULL: null */
	int64_t timeout_s;          /* 0: null */
	bool has_keep_alive, keep_alive;
	bool wait_at_limit;
	const json_t *environment; /* changes; NULL: null */
	bool has_enabled, enabled;
	const char *state;          /* "ACTIVE", "INACTIVE" or NULL; see aut__form_state */
	const json_t *template_ref; /* NULL: none */
	const json_t *plugin;
	/* of presets, as they are kept; owned, NULL: none */
	json_t *repo_list, *plugin_list, *variant_list;
	const char *experiment_id;
	json_t *metadata; /* preset_metadata to be; owned; NULL: of the template alone */
} aut__form;
void aut__form_done(aut__form *form);
/* AUT_EINVAL and *out_problems when the body does not pass. */
aut_status aut__form_create(const json_t *body, const aut_settings *settings, bool sql,
							aut__form *out, json_t **out_problems, aut_error *err);
/* The body of POST /v1/preset/prompt or …/plugin: with a prompt, without a tarball. */
aut_status aut__form_preset(const json_t *body, const aut_settings *settings, bool plugin, bool sql,
							aut__form *out, json_t **out_problems, aut_error *err);
aut_status aut__form_update(const json_t *body, const aut_settings *settings, bool sql,
							aut__form *out, json_t **out_problems, aut_error *err);
/* State and enabled reconciled: the state asked for, or NULL when neither was given. */
const char *aut__form_state(const aut__form *form);

/* Which way an internal upload address is wrong is told by the status of aut__tarball_upload. */
#define AUT__UPLOAD_PREFIX "oh-internal://"
/* The upload an "oh-internal://uploads/<uuid>" names; false: not of that form. */
bool aut__tarball_upload(const char *tarball_path, aut_uuid *out);

/* What a run's error looked like, formatted and classified (execution.md sections 8 and 9). */
typedef struct aut__completion
{
	bool completed; /* else failed */
	const char *conversation_id;
	bool has_cost;
	double cost;
	const json_t *error; /* string, object or NULL */
	bool error_is_typed;
} aut__completion;
aut_status aut__form_complete(const json_t *body, aut__completion *out, json_t **out_problems,
							  aut_error *err);
/* The phase, cleaned; aut_free. */
aut_status aut__form_phase(const json_t *body, char **out, json_t **out_problems, aut_error *err);

/* ---- errors of runs ------------------------------------------------------------------------- */

/* error_detail for a failed callback; aut_free. */
aut_status aut__error_text(const json_t *error, char **out, aut_error *err);
/* status_detail as JSON text.  previous: the run's status_detail so far (may be NULL), whose first
 * sight and count go on when it tells of the same thing. */
aut_status aut__error_status_detail(const aut__completion *completion, const char *formatted,
									const char *previous, int64_t now_us, char **out,
									aut_error *err);
/* The record on PENDING runs that a disabled or deleted automation leaves behind. */
aut_status aut__blocked_detail(const char *disabled_detail, char **out, aut_error *err);

/* Of a dedupe key: as wide as an index entry may safely be, and for how long it stands for its run. */
#define AUT__DEDUPE_KEY_MAX 255
#define AUT__DEDUPE_US      (24 * 3600 * AUT_US_PER_S)

/* ---- tarballs ------------------------------------------------------------------------------- */

/* A regular file in a tarball; data NULL: it is to be left out. */
typedef struct aut__member
{
	const char *name;
	const void *data;
	size_t len;
	bool executable;
	bool found; /* set: the base had one of that name */
} aut__member;
/*
 * A gzip tarball of these members; with a base of that tarball, each in place of the one of its name,
 * the new ones behind.  At most max bytes (ELIMIT).  EBADREQ: the base cannot be read.  aut_free.
 */
aut_status aut__tarball_write(const void *base, size_t base_len, aut__member *members, size_t count,
							  size_t max, void **out_data, size_t *out_len, aut_error *err);

/* ---- services ------------------------------------------------------------------------------- */

/* Levels of http-api.md section 2; EDENIED when not met. */
aut_status aut__may_view(const aut_call *call, aut_error *err);
aut_status aut__may_manage(const aut_call *call, aut_error *err);
aut_status aut__may_act(const aut_call *call, const aut_uuid *creator, aut_error *err);
/* Whose run it is; of an automation made in SQL that is also the local user, whose key its runs report
 * with. */
aut_status aut__is_owner(const aut_call *call, const aut_run_task *task, aut_error *err);
/* limit 1..100, offset >= 0. */
aut_status aut__page_check(aut_call *call, int64_t limit, int64_t offset, aut_error *err);
/* A page asked for by offset (cursor NULL) or by cursor ("": from the newest row on). */
typedef struct aut__page
{
	int64_t limit, offset;
	const char *cursor;
} aut__page;
/* One row more than the page is read, to know whether it is the last one; it is not shown. */
#define AUT__PAGE_MORE 1

/* Opaque texts for a place in a list (cursor.c), one kind per list. */
#define AUT__CURSOR_MAX      50                          /* with the NUL */
#define AUT__CURSOR_TIME_MAX INT64_C(253402300799999999) /* the end of the year 9999 */
/* EINVAL with a problem when text is none of this kind. */
aut_status aut__cursor_read(aut_call *call, char kind, const char *text, aut_row_place *out,
							aut_error *err);
json_t *aut__cursor_json(char kind, int64_t created_at, const aut_uuid *id);
/* What an array and a page of it are put into: {name: items, total, next_cursor}.  Takes both values, also
 * when it fails; NULL items: there was no memory for them.  total below 0 is null; AUT__TOTAL_UNTOLD
 * leaves it out. */
#define AUT__TOTAL_UNTOLD INT64_MIN
json_t *aut__page_json(const char *name, json_t *take_items, int64_t total, json_t *take_cursor);

/* Ends a chain of sets: NULL is AUT_ENOMEM. */
aut_status aut__give(json_t *take_made, json_t **out, aut_error *err);

/* The member `environment` of a body (environments.c): was it given?  *out stays NULL for null. */
bool aut__environment_read(aut__problems *problems, const json_t *body, const json_t **out);
/* Write what changes, NULL: all goes. */
aut_status aut__environment_change(const aut_call *call, const aut_uuid *automation_id,
								   const json_t *changes, aut_error *err);
/* No value of a variable is shown in a problem. */
void aut__environment_hide(aut__problems *problems);

json_t *aut__upload_json(const aut_upload *upload);
/* Where the bytes of an upload are that are not in the database. */
void aut__object_ref(const aut_upload *upload, aut_object_ref *out);
/* The live automation `id` of the caller's org as list->items[0], else ENOTFOUND. */
aut_status aut__automation_load(const aut_call *call, const aut_uuid *id, aut_automation_list *out,
								aut_error *err);
/* The run with its automation, whosever it is and deleted or not. */
aut_status aut__run_load(const aut_call *call, const aut_uuid *run_id, aut_run_task *out,
						 aut_error *err);
/* End the waiting runs of an automation that was switched off (manual ones only if asked). */
aut_status aut__skip_pending(aut_db *db, const aut_uuid *automation_id, bool manual_too,
							 int64_t now_us, const char *disabled_detail, aut_error *err);
/* Record that, why and by whom an automation was switched off; run_id may be NULL. */
aut_status aut__disable_event(aut_db *db, const aut_uuid *automation_id, const aut_uuid *run_id,
							  const char *reason, const char *detail, const char *source,
							  int64_t now_us, aut_error *err);
/* Record the first end of a run of an automation made from a template; stage NULL: none. */
aut_status aut__first_run_record(const aut_call *call, const aut_run_task *task,
								 const char *status_word, const char *stage, aut_error *err);
/* Schedule row after a change of trigger or state; ACTIVE cron fires next after now, never before. */
aut_status aut__schedule_sync(aut_call *call, const aut_automation *automation,
							  const aut__trigger *trigger, aut_error *err);
/* The oldest live automation of the caller's org that was made from a template. */
aut_status aut__template_find(const aut_call *call, const json_t *template_ref, aut_uuid *out,
							  bool *out_found, aut_error *err);
/* Write a new automation of the caller's and its schedule. */
aut_status aut__automation_insert(aut_call *call, const aut__form *form, aut_uuid *out_id,
								  aut_error *err);
/* The model profile to keep: the one asked for, which must be one of the caller's where these are known
 * (else EINVAL), or with NULL the one the caller uses (NULL where nobody knows). */
aut_status aut__model_resolve(const aut_call *call, const char *requested, const char **out,
							  aut_error *err);
/* EINVAL: unknown; or why the profiles could not be asked for. */
aut_status aut__agent_profile_check(const aut_call *call, const aut_uuid *id, aut_error *err);
/* May users name this URL, by its text?  EINVAL, which says in what member it stands. */
aut_status aut__url_check(const aut_call *call, const char *url, const char *member,
						  aut_error *err);
/* The rules for a tarball_path: another's upload is as good as none. */
aut_status aut__tarball_check(const aut_call *call, const char *tarball_path, aut_error *err);

#endif
