/* SPDX-License-Identifier: MIT */
/*
 * include/automation/service.h - what every door calls.  A rule lives here, once; HTTP routes, SQL
 * functions and so the command line only translate.
 *
 * A service call runs inside a unit of work (daemon, HTTP worker) or inside a user's transaction (SQL
 * functions): it never commits and never does I/O besides the database.  What must happen after the
 * commit (wake the scheduler, the dispatcher, the clean-up) is noted in call->effects; the door passes
 * it on once the commit has happened.
 *
 * Results are JSON in the contract's shapes (contract/http-api.md); the caller owns them.
 */
#ifndef AUT_SERVICE_H
#define AUT_SERVICE_H

#include "automation/seal.h"
#include "automation/net.h"
#include "automation/settings.h"
#include "automation/webhooks.h"

/* ---- who calls ------------------------------------------------------------------------------ */

typedef struct aut_identity
{
	aut_uuid user_id, org_id;
	const char *email; /* or NULL */
	const char *role;  /* or NULL */
	bool view;         /* view_automations */
	bool manage;       /* manage_automations */
	const char *db_role; /* database role (SQL door), else NULL */
	/* A run that proved to be the one the call is about: it may report, whosever it is. */
	bool itself;
	/* What the cloud says of its users: an object whose keys are the names of their model profiles (NULL:
	 * not known, any name passes), and the one they use (or NULL). */
	const json_t *llm_profiles;
	const char *active_profile;
} aut_identity;

/* The agent profiles of the caller's organization, asked for by the door before the call. */
typedef struct aut_agent_profiles
{
	aut_status status; /* of the asking; the story in error */
	aut_error error;
	const json_t *ids; /* object; its keys are ids in their canonical form */
} aut_agent_profiles;

/* The fixed local identity: UUIDv5(DNS, "openhands-local-user" / "openhands-local-org"), all rights. */
const aut_identity *aut_identity_local(void);
/* A run that reports about itself.  The door has seen its token (aut_run_token) of this very run. */
const aut_identity *aut_identity_run(void);
/* The identity of a database role: local org, user UUIDv5(DNS, "automation-role:<role>").  role must
 * outlive it. */
aut_status aut_identity_for_role(const char *role, aut_identity *out, aut_error *err);

/* ---- one call ------------------------------------------------------------------------------- */

enum
{
	AUT_EFFECT_SCHEDULE = 1, /* a next fire may have become earlier */
	AUT_EFFECT_RUN = 2,      /* a run is waiting */
	AUT_EFFECT_CLEANUP = 4,  /* a run ended outside the engine, or was cancelled */
	AUT_EFFECT_OBJECT = 8    /* an object outside of the database is to be deleted */
};

/* The bytes of an upload, outside of the database (object.h). */
typedef struct aut_object_ref
{
	aut_uuid upload_id;
	char store[12]; /* "": there is none */
	char name[160];
	int64_t size;
} aut_object_ref;

typedef struct aut_call
{
	/* given */
	aut_db *db;
	const aut_settings *settings;
	const aut_identity *who;
	int64_t now_us;
	bool agent_is_embedded; /* no conversations there */
	const char *note;       /* why an automation is switched off by this call, or NULL */
	const aut_sealer *sealer; /* who has the key of what is kept sealed; NULL: nobody */
	uint16_t api_port;        /* where the HTTP API listens; 0: as the settings say */
	const aut_agent_profiles *agent_profiles; /* NULL: nobody knows them, any id passes */
	bool may_store; /* the door can write objects after the commit, and then tells how that went */
	/* made */
	unsigned effects;
	aut_object_ref object; /* to be written (a new upload) or read (a tarball), after the commit */
	/* Validation problems in the contract's form, a list of {"type","loc","msg","input"}; NULL when none.
	 * Set together with AUT_EINVAL; the error's message is a summary for doors without JSON. */
	json_t *problems;
} aut_call;

void aut_call_init(aut_call *call, aut_db *db, const aut_settings *settings, const aut_identity *who,
				   int64_t now_us);
void aut_call_done(aut_call *call); /* drops problems */

/* ---- automations ---------------------------------------------------------------------------- */

/*
 * body: the members of POST /v1 as in http-api.md section 6 (validated here, all problems at once).
 * A trigger {"type":"cron"} sets the first fire; creating never fires a past slot.
 * The stored form of a manual-only automation is {"type":"event","source":"manual","on":[]}: sources
 * `manual` and `sql` are reserved.
 * *out_existing: template idempotence found one (HTTP 200 instead of 201).
 */
aut_status aut_service_automation_create(aut_call *call, const json_t *body, json_t **out,
										 bool *out_existing, aut_error *err);
/*
 * An automation whose program is ours: body as in http-api.md section 8.  EUNSUPPORTED where runs go to
 * the embedded agent, which has no conversations.
 */
typedef enum aut_preset
{
	AUT_PRESET_PROMPT,
	AUT_PRESET_PLUGIN
} aut_preset;
aut_status aut_service_preset_create(aut_call *call, aut_preset preset, const json_t *body,
									 json_t **out, bool *out_existing, aut_error *err);
/* The ledger of cloud sandboxes in numbers: {sandboxes: [{state, count, oldest_at, failed_attempts}]}. */
aut_status aut_service_sandboxes(aut_call *call, json_t **out, aut_error *err);
/* What this service can do (GET /v1/capabilities); only what works here. */
aut_status aut_service_capabilities(aut_call *call, json_t **out, aut_error *err);
/* What creating an automation would say: body {endpoint, draft, automationId?, sampleEvent?}, answer
 * {valid, errors:[{field, code, message}], sampleEventMatched}. */
aut_status aut_service_validate(aut_call *call, const json_t *body, json_t **out, aut_error *err);
/* {automations, total, next_cursor}; next_cursor is null on the last page. */
aut_status aut_service_automation_list(aut_call *call, aut_created_by by, int64_t limit, int64_t offset,
									   json_t **out, aut_error *err);
/* Addition, also of the other lists: from a cursor ("": from the newest on) instead of an offset.  As fast
 * at any depth, therefore total is null.  EINVAL with a problem for a cursor of elsewhere. */
aut_status aut_service_automation_list_from(aut_call *call, aut_created_by by, int64_t limit,
											const char *cursor, json_t **out, aut_error *err);
aut_status aut_service_automation_get(aut_call *call, const aut_uuid *id, json_t **out, aut_error *err);
aut_status aut_service_automation_update(aut_call *call, const aut_uuid *id, const json_t *body,
										 json_t **out, aut_error *err);
aut_status aut_service_automation_delete(aut_call *call, const aut_uuid *id, aut_error *err);
/* An id, or a name that exactly one live automation bears (else EINVAL listing the ids). */
aut_status aut_service_automation_find(aut_call *call, const char *name_or_id, aut_uuid *out,
									   aut_error *err);
/* Either data (rows with one cell, type 'x') and a file name are set, or call->object and a file name, or a
 * URL to be redirected to.  EINVAL for other schemes. */
aut_status aut_service_automation_tarball(aut_call *call, const aut_uuid *id, aut_rows *out_data,
										  char **out_name, char **out_url, aut_error *err);

/* ---- uploads -------------------------------------------------------------------------------- */

#define AUT_UPLOAD_MAX 1048576

/* too_long: the body was longer than AUT_UPLOAD_MAX; kept as FAILED with an error_message.  Where the bytes
 * are kept outside of the database, the record says UPLOADING and call->object what to write. */
aut_status aut_service_upload_create(aut_call *call, const char *name, const char *description,
									 const void *data, size_t len, bool too_long, json_t **out,
									 aut_error *err);
/* How the writing of call->object went; message NULL: it is there whole. */
aut_status aut_service_upload_settle(aut_call *call, const aut_object_ref *object,
									 const char *message, json_t **out, aut_error *err);
aut_status aut_service_upload_list(aut_call *call, const char *status, int64_t limit, int64_t offset,
								   json_t **out, aut_error *err);
aut_status aut_service_upload_list_from(aut_call *call, const char *status, int64_t limit,
										const char *cursor, json_t **out, aut_error *err);
aut_status aut_service_upload_get(aut_call *call, const aut_uuid *id, json_t **out, aut_error *err);
aut_status aut_service_upload_delete(aut_call *call, const aut_uuid *id, aut_error *err);

/* A gzip tarball with one executable file `name` holding text (for doors that take a script).  Pure;
 * libarchive.  aut_free. */
aut_status aut_tarball_from_script(const char *name, const char *text, size_t len, void **out_data,
								   size_t *out_len, aut_error *err);

/* ---- runs ----------------------------------------------------------------------------------- */

typedef struct aut_trigger_options
{
	const char *input;      /* JSON text, becomes `event` of the run's payload; NULL: none */
	const char *dedupe_key; /* lasts 24 h per automation; NULL: none */
	int64_t delay_s;
} aut_trigger_options;

/* A manual run.  options may be NULL (the contract's dispatch route). */
aut_status aut_service_trigger(aut_call *call, const aut_uuid *automation_id,
							   const aut_trigger_options *options, json_t **out, aut_error *err);
/* Runs that a change of data starts: one per input (JSON texts), all or none.  keys may be NULL, as each
 * of its members; an input whose dedupe key stands for another run starts none.  An automation that is
 * paused or deleted starts nothing, which is no error.  *out_started may be NULL. */
aut_status aut_service_run_events(aut_call *call, const aut_uuid *automation_id,
								  const char *const *inputs, const char *const *keys, size_t count,
								  size_t *out_started, aut_error *err);
/* A new run of the same automation with the input of one that has ended (else ECONFLICT). */
aut_status aut_service_run_retry(aut_call *call, const aut_uuid *run_id, json_t **out, aut_error *err);
aut_status aut_service_run_list(aut_call *call, const aut_uuid *automation_id, int64_t limit,
								int64_t offset, json_t **out, aut_error *err); /* {runs,total,status_counts,next_cursor} */
/* As above; without status_counts. */
aut_status aut_service_run_list_from(aut_call *call, const aut_uuid *automation_id, int64_t limit,
									 const char *cursor, json_t **out, aut_error *err);
/* Addition: the newest runs of all automations, {runs, next_cursor}, each with automation_name. */
aut_status aut_service_run_list_all(aut_call *call, int64_t limit, int64_t offset, json_t **out,
									aut_error *err);
aut_status aut_service_run_list_all_from(aut_call *call, int64_t limit, const char *cursor,
										 json_t **out, aut_error *err);
aut_status aut_service_run_get(aut_call *call, const aut_uuid *run_id, json_t **out, aut_error *err);
/* Output at or after byte `after`: {run_id, status, after, next, total, truncated (bytes before the
 * first kept one are gone), complete (ended and nothing more to come), data (text, bad bytes and NUL as
 * U+FFFD)}.  `next` is the value to pass as after. */
aut_status aut_service_run_logs(aut_call *call, const aut_uuid *run_id, int64_t after, int64_t limit,
								json_t **out, aut_error *err);
/* The completion callback and the phase report of http-api.md section 7 (owner only). */
aut_status aut_service_run_complete(aut_call *call, const aut_uuid *run_id, const json_t *body,
									json_t **out, aut_error *err);
aut_status aut_service_run_phase(aut_call *call, const aut_uuid *run_id, const json_t *body,
								 json_t **out, aut_error *err);
aut_status aut_service_run_cancel(aut_call *call, const aut_uuid *run_id, json_t **out, aut_error *err);

/* ---- URLs that users give -------------------------------------------------------------------- */

/* The policy that the settings make; aut_url_policy_free. */
aut_status aut_url_policy_of(const aut_settings *settings, aut_url_policy **out, aut_error *err);
/* Must the addresses behind a name be looked at, too, before something is downloaded from it? */
bool aut_urls_need_lookup(const aut_settings *settings);

/* ---- custom webhooks ------------------------------------------------------------------------- */

/* The bodies and answers of http-api.md section 13.  The secret is in an answer only where it was made:
 * webhook_secret of create (null when the caller brought it) and of rotate. */
aut_status aut_service_webhook_create(aut_call *call, const json_t *body, json_t **out,
									  aut_error *err);
aut_status aut_service_webhook_list(aut_call *call, int64_t limit, int64_t offset, json_t **out,
									aut_error *err);
aut_status aut_service_webhook_list_from(aut_call *call, int64_t limit, const char *cursor,
										 json_t **out, aut_error *err);
aut_status aut_service_webhook_get(aut_call *call, const aut_uuid *id, json_t **out, aut_error *err);
aut_status aut_service_webhook_update(aut_call *call, const aut_uuid *id, const json_t *body,
									  json_t **out, aut_error *err);
aut_status aut_service_webhook_delete(aut_call *call, const aut_uuid *id, aut_error *err);
aut_status aut_service_webhook_rotate(aut_call *call, const aut_uuid *id, json_t **out,
									  aut_error *err);

/* GET /v1/events/{source}/requested-types: what a forwarder of a built-in source is asked for.  signature
 * signs the source's name.  ENOTFOUND: not built in, or not configured. */
aut_status aut_service_requested_types(aut_call *call, const char *source,
									   const char *(*get_header)(void *payload, const char *name),
									   void *get_payload, json_t **out, aut_error *err);

/* ---- what failures lead to, for the engine --------------------------------------------------- */

/* A run ended as FAILED: switch its automation off if the rules of execution.md section 10 say so. */
aut_status aut_service_health_check(aut_db *db, const aut_settings *settings,
									const aut_uuid *automation_id, const aut_uuid *run_id,
									int64_t now_us, aut_error *err);
/* It failed because its program cannot be had any more: switch its automation off at once. */
aut_status aut_service_disable_broken(aut_db *db, const aut_uuid *automation_id, const aut_uuid *run_id,
									  const char *reason, const char *status_detail, int64_t now_us,
									  aut_error *err);
/* May this run not execute, because its automation was deleted, or is off and nobody asked by hand? */
bool aut_service_run_is_blocked(const aut_run_task *task);
/* Then end it as SKIPPED, in the transaction of its claim. */
aut_status aut_service_run_skip_blocked(aut_db *db, const aut_run_task *task, const char *worker,
										int64_t now_us, aut_error *err);

/* Would this form, or this member of one, pass?  Without a database; kinds and answers are those of
 * test/vectors/validation.jsonl (ok, normalized, status, errors, stage, seconds), put into answer.  EBADREQ:
 * no such kind. */
aut_status aut_service_question(const aut_settings *settings, const char *kind, json_t *input,
								json_t *answer, aut_error *err);
/* Where the bytes of a live, complete upload are that are not in the database; else ENOTFOUND. */
aut_status aut_service_upload_place(aut_db *db, const aut_uuid *id, aut_object_ref *out,
									aut_error *err);

/* Contract shapes, for doors and tests. */
json_t *aut_run_json(const aut_run *run);
json_t *aut_automation_json(const aut_automation *automation);

/* AUTOMATION_EVENT_PAYLOAD of a run (execution.md section 6), JSON text; aut_free. */
aut_status aut_service_event_payload(const aut_run_task *task, char **out, aut_error *err);

/* ---- the key of a run ------------------------------------------------------------------------ */

#define AUT_RUN_TOKEN_MAX 80
/* With what a run reports its phase and its end, and can do nothing else; made of a key of ours. */
aut_status aut_run_token(const char *key, const aut_uuid *run_id, char out[AUT_RUN_TOKEN_MAX],
						 aut_error *err);

#endif
