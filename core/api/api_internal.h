/* SPDX-License-Identifier: MIT */
/*
 * core/api/api_internal.h - what the files of this room share.
 *
 * The way of a request: guard.c judges where it comes from, routes.c finds its route, auth.c who sends
 * it (upstream.c asks the cloud, and the request waits); then a request object is made, the route's `begin` reads query and body, and the object goes into
 * the turn as a unit.  Its `run` is one service call; `done` answers after the commit.  Nothing in `run`
 * touches the exchange: the client may have gone away by then, and the work is done all the same.
 */
#ifndef AUT_API_INTERNAL_H
#define AUT_API_INTERNAL_H

#include "automation/api.h"
#include "automation/object.h"
#include "automation/service_events.h"

#define AUT_API_BODY_MAX         1048576
#define AUT_API_KEYS_MAX         8
#define AUT_API_STORING_MAX      64 /* uploads under way to a store; each holds up to AUT_UPLOAD_MAX */
#define AUT_API_LIMIT_DEFAULT    50
#define AUT_API_LIMIT_MAX        100
#define AUT_API_LOGS_MAX         1048576
#define AUT_API_CONTRACT_VERSION "1.25.0"

typedef struct aut_api_request aut_api_request;
typedef struct aut_api_follower aut_api_follower;
typedef struct aut_api_upstream aut_api_upstream;

/* Somebody the cloud knows.  Shared by all their requests. */
typedef struct aut_api_caller
{
	aut_identity who;
	size_t refs;
	json_t *kept; /* the texts of who */
} aut_api_caller;

/* ---- the listener ---------------------------------------------------------------------------- */

/* A host name with its port, as compared with Host and Origin. */
typedef struct aut_api_host
{
	char *name; /* lower case, IPv6 without brackets; "" when none */
	int port;   /* -1: any */
} aut_api_host;

struct aut_api
{
	aut_loop *loop;
	aut_turn *turn;
	aut_engine *engine;                            /* NULL until the host has made it */
	void (*wake)(void *payload, unsigned effects); /* NULL: the engine is here */
	void *wake_payload;
	const aut_settings *settings;
	const aut_clock *clock;
	aut_http_server *server;
	bool agent_is_embedded;
	bool keys_generated;
	const aut_sealer *sealer;
	bool stopping;
	bool freed;   /* by its host; the memory goes with the last unit */
	size_t units; /* of requests and followers, in the turn */
	char *prefix; /* of all routes, without trailing slash */
	char *keys[AUT_API_KEYS_MAX + 1];
	aut_api_host public_host;   /* of base_url */
	aut_api_host listen_host;   /* the configured address */
	bool any_address;           /* listens on all of them: every numeric Host is ours */
	char **origins;             /* NULL-terminated */
	aut_api_upstream *upstream; /* made at the first question */
	struct aut_api_profiles *profiles;
	aut_api_follower *followers;
	aut_event_cache *events;
	aut_objects *objects;     /* made when first needed */
	aut_api_request *storing; /* requests that wait for an object */
	int storing_count;
};

/* ---- routes ---------------------------------------------------------------------------------- */

enum
{
	AUT_ROUTE_AUTH = 1,      /* needs an identity with view_automations */
	AUT_ROUTE_ADDITION = 2,  /* ours, not of the contract */
	AUT_ROUTE_ROOT = 4,      /* also without the prefix */
	AUT_ROUTE_PAGE = 8,      /* takes limit and offset, or a cursor */
	AUT_ROUTE_NEWS = 16,     /* changes the run it names: its followers want to know */
	AUT_ROUTE_UNLISTED = 32, /* about the API, not of it: not in its description */
	AUT_ROUTE_PROFILES = 64  /* its body may name an agent profile, which only the cloud knows */
};

/* ---- what a route takes and gives, for its description (openapi.c, schemas.c) ------------------ */

enum
{
	AUT_MEMBER_REQUIRED = 1,
	AUT_MEMBER_ADDITION = 2, /* ours, not of the contract */
	AUT_MEMBER_DEPRECATED = 4,
	AUT_MEMBER_FROM = 8, /* a number that is at least min (also when min is 0) */
	AUT_MEMBER_SOME = 16 /* a number above 0, a list that is not empty */
};

/* A member of a body, or a parameter of a query.  type is a word of the small language of openapi.c. */
typedef struct aut_api_member
{
	const char *name; /* NULL ends a list */
	const char *type;
	unsigned flags;
	int64_t min, max;    /* of a number, or of a text's length; max 0: none */
	const char *initial; /* default: a text, a number or true/false as the type has it */
	const char *pattern;
	const char *doc;
} aut_api_member;

typedef struct aut_api_schema
{
	const char *name;
	const char *type;              /* when it is no object */
	const aut_api_member *members; /* when it is one */
	bool closed;                   /* other members are refused */
	bool addition;
} aut_api_schema;

const aut_api_schema *aut__api_schema_at(size_t index); /* NULL after the last */

typedef struct aut_api_about
{
	const char *name; /* of the operation */
	const char *summary;
	const aut_api_member *query; /* beside limit, offset and cursor of a page; NULL: none */
	const char *body;            /* schemas; NULL: none */
	const char *reply;
	const char *media;  /* of an answer that is not JSON, or not always */
	const char *errors; /* codes beside those that every route of its kind has */
	int also;           /* another code of success; 0: none */
	bool body_optional;
	bool sends_tarball;
} aut_api_about;

typedef struct aut_api_route
{
	const char *method;
	const char *pattern; /* below the prefix; {name} is one segment and must be a UUID */
	unsigned flags;
	const char *permission; /* as in the contract: V, M, A, E, O; NULL when none */
	int code;               /* of success */
	/* Read query and body; add problems or fail.  May be NULL. */
	aut_status (*begin)(aut_api_request *request, aut_error *err);
	/* In the unit: the service call.  Sets request->result afresh.  NULL: answer at once. */
	aut_status (*run)(aut_api_request *request, aut_db *db, aut_error *err);
	/* Success; answers the exchange (or takes it over).  NULL: result as JSON, or nothing when none. */
	void (*answer)(aut_api_request *request);
	/* Failure in a shape of its own; returns false to have the usual one.  NULL: the usual one. */
	bool (*refuse)(aut_api_request *request, aut_status status, const aut_error *err);
	/* Committed: go on with an object outside of the database.  True: the request is kept until it has
	 * come through that, and `answer` is called then, if at all.  May be NULL. */
	bool (*after)(aut_api_request *request);
	aut_api_about about;
} aut_api_route;

typedef struct aut_api_match
{
	const aut_api_route *route; /* NULL: none for this method */
	const char *id;             /* text of the {…} segment, NULL when the pattern has none */
	size_t id_len;
	const char *id_name; /* "automation_id" */
	size_t id_name_len;
	const char *word; /* text of the segment that is no id, or NULL */
	size_t word_len;
	bool path_known; /* some other method would do */
} aut_api_match;

/* The route of a request.  path is decoded; the match points into it. */
void aut__api_match(const aut_api *api, const char *method, const char *path, aut_api_match *out);
/* Must a segment {name} be a UUID? */
bool aut__api_segment_is_id(const char *name, size_t len);
/* Append the methods of a path, comma separated. */
void aut__api_allow(const aut_api *api, const char *path, aut_buf *out);
/* For tests and documents: the table, NULL after the last. */
const aut_api_route *aut__api_route_at(size_t index);

/* ---- requests -------------------------------------------------------------------------------- */

struct aut_api_request
{
	aut_unit unit; /* first: the turn knows only this */
	aut_api *api;
	aut_exchange *exchange; /* NULL once the client has gone away */
	const aut_api_route *route;
	const aut_identity *who;
	aut_api_caller *caller; /* who lives there; NULL: for ever */
	aut_call call;
	bool call_open;
	aut_arena arena; /* what must outlive the exchange */

	/* read before the unit */
	aut_uuid id;
	const char *word; /* of the path, or NULL */
	int64_t limit, offset, after;
	const char *cursor; /* NULL: by offset */
	json_t *body;
	json_t *problems;
	const char *text[3]; /* of the route */
	const void *data;    /* upload */
	size_t data_len;
	bool flag;
	aut_created_by created_by;
	int64_t delay_s;
	struct aut_api_header *headers; /* of a delivery, in the arena */
	bool has_agent_profiles; /* they were asked for */
	aut_agent_profiles agent_profiles;
	json_t *profile_ids;
	aut_http_call *asking;

	/* an object that is written or read (objects.c) */
	aut_status (*next)(aut_api_request *request, aut_db *db, aut_error *err); /* replaces run */
	aut_object_ref object;
	aut_object_call *object_call;
	char *object_trouble;
	aut_api_request *storing_next, **storing_link;

	/* made by run */
	int code; /* 0: the route's */
	json_t *result, *result2;
	aut_rows rows;
	char *name, *url;
};

/* All that was read is there: into the turn with it, or answer at once. */
void aut__api_request_go(aut_api_request *request);
void aut__api_request_free(aut_api_request *request);
/* The sender is known: check its permission and begin.  The exchange is answered or taken over; caller
 * (may be NULL: who lives for ever) stays the other's. */
void aut__api_admit(aut_api *api, aut_exchange *exchange, const aut_api_match *match,
					const aut_identity *who, aut_api_caller *caller);
/* Drop what run made, so that it may run again. */
void aut__api_request_reset(aut_api_request *request);
/* Copy into the request's arena; NULL stays NULL.  ENOMEM when out of memory. */
aut_status aut__api_keep(aut_api_request *request, const char *text, const char **out,
						 aut_error *err);

/* A unit goes into the turn, and has come out of it; the API lives until the last has. */
void aut__api_unit_add(aut_api *api, aut_unit *unit);
void aut__api_unit_done(aut_api *api);

/* ---- reading (input.c) ----------------------------------------------------------------------- */

/* The JSON object of the body into request->body; problems when it is none.  With optional, an empty
 * body is fine and leaves NULL.  Fails with ELIMIT when it was too long. */
aut_status aut__api_read_body(aut_api_request *request, bool optional, aut_error *err);
aut_status aut__api_read_page(aut_api_request *request, aut_error *err);
/* Last value of a query parameter, as the contract takes it; NULL when absent. */
const char *aut__api_query(const aut_api_request *request, const char *name);
aut_status aut__api_query_int(aut_api_request *request, const char *name, int64_t min, int64_t max,
							  int64_t *inout, aut_error *err);
/* One of the words (NULL-terminated); *out -1 when absent. */
aut_status aut__api_query_word(aut_api_request *request, const char *name, const char *const *words,
							   const char *type, int *out, aut_error *err);
/* A text of min..max code points; *out NULL when absent. */
aut_status aut__api_query_text(aut_api_request *request, const char *name, bool required,
							   size_t min, size_t max, const char **out, aut_error *err);
aut_status aut__api_query_bool(aut_api_request *request, const char *name, bool *inout,
							   aut_error *err);

/* Add {"type","loc":[where, name],"msg","input","ctx"}; name NULL: loc is [where].  input and ctx are
 * taken; input NULL is null, ctx NULL is left out. */
aut_status aut__api_problem(aut_api_request *request, const char *type, const char *where,
							const char *name, const char *msg, json_t *take_input, json_t *take_ctx,
							aut_error *err);

/* ---- answering (reply.c) --------------------------------------------------------------------- */

void aut__api_reply(aut_api *api, aut_exchange *exchange, int code, const char *content_type,
					const void *body, size_t len);
void aut__api_reply_json(aut_api *api, aut_exchange *exchange, int code, json_t *take_value);
void aut__api_reply_detail(aut_api *api, aut_exchange *exchange, int code, const char *text);
/* An error as the contract's body; problems (may be NULL) make the list form. */
void aut__api_reply_error(aut_api *api, aut_exchange *exchange, aut_status status,
						  const aut_error *err, json_t *problems);

/* ---- who and from where ---------------------------------------------------------------------- */

/* What a request shows to say who sends it.  Texts live in the exchange. */
typedef struct aut_api_credential
{
	const char *cookie; /* name, or NULL: a key */
	const char *text;
	size_t len;
	bool has_org; /* X-Org-Id */
	aut_uuid org_id;
} aut_api_credential;
/* EUNAUTH when there is none; without the organization. */
aut_status aut__api_credential(aut_exchange *exchange, aut_api_credential *out, aut_error *err);
/* *out (lives for ever) for one of our own keys; NULL when the cloud has to be asked.  EUNAUTH; EBADREQ
 * for a bad X-Org-Id. */
aut_status aut__api_authenticate(const aut_api *api, aut_exchange *exchange,
								 aut_api_credential *credential, const aut_identity **out,
								 aut_error *err);
/* The header lines of a question to the cloud in the caller's name, NULL-terminated; each aut_free.
 * False: no memory (what was made is still the caller's). */
#define AUT_API_CREDENTIAL_LINES 3
bool aut__api_credential_lines(const aut_api_credential *credential, char **lines);

/* Reading the cloud's answers (identity_answer.c). */
aut_status aut__api_caller_read(const char *body, size_t len, aut_api_caller **out, aut_error *err);
aut_status aut__api_profiles_read(const char *body, size_t len, json_t **out_ids, aut_error *err);
aut_api_caller *aut__api_caller_ref(aut_api_caller *caller); /* NULL is fine */
void aut__api_caller_unref(aut_api_caller *caller);

/* Find out who shows this credential, now or later, and admit or refuse it (upstream.c). */
void aut__api_upstream_admit(aut_api *api, aut_exchange *exchange,
							 const aut_api_credential *credential, const aut_api_match *match);
/* The client that asks the cloud; NULL when there is none. */
aut_http_client *aut__api_upstream_http(aut_api *api, aut_error *err);
void aut__api_upstream_free(aut_api *api); /* after the listener */

/* Does it name an agent profile that has to be asked for?  Then ask, and go on later (agent_profiles.c). */
bool aut__api_profiles_wanted(const aut_api_request *request);
void aut__api_profiles_ask(aut_api_request *request);
void aut__api_profiles_free(aut_api *api);
/* Does it carry a credential a browser would not add by itself? */
/* Is this a run's report about itself, with its token? */
bool aut__api_reports_itself(const aut_api *api, aut_exchange *exchange,
							 const aut_api_match *match);
bool aut__api_has_token(const aut_exchange *exchange);

aut_status aut__api_guard_init(aut_api *api, const char *address, aut_error *err);
void aut__api_guard_done(aut_api *api);
/* True: the request was answered (refused, or a preflight). */
bool aut__api_guard(aut_api *api, aut_exchange *exchange);
/* Add the CORS headers an answer needs. */
void aut__api_cors(const aut_api *api, aut_exchange *exchange);

/* ---- handlers -------------------------------------------------------------------------------- */

aut_status aut__api_automation_create_begin(aut_api_request *request, aut_error *err);
aut_status aut__api_automation_create(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_preset_prompt(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_preset_plugin(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_capabilities(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_sandboxes(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_validate(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_automation_list_begin(aut_api_request *request, aut_error *err);
aut_status aut__api_automation_list(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_automation_get(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_automation_update(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_automation_delete(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_automation_tarball(aut_api_request *request, aut_db *db, aut_error *err);
void aut__api_automation_tarball_answer(aut_api_request *request);
aut_status aut__api_body_begin(aut_api_request *request, aut_error *err);

aut_status aut__api_dispatch(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_trigger_begin(aut_api_request *request, aut_error *err);
aut_status aut__api_trigger(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_run_list(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_run_list_all(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_run_get(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_run_complete(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_run_phase(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_run_cancel(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_logs_begin(aut_api_request *request, aut_error *err);
aut_status aut__api_logs(aut_api_request *request, aut_db *db, aut_error *err);
void aut__api_logs_answer(aut_api_request *request);

aut_status aut__api_upload_create_begin(aut_api_request *request, aut_error *err);
aut_status aut__api_upload_create(aut_api_request *request, aut_db *db, aut_error *err);
bool aut__api_upload_after(aut_api_request *request);
bool aut__api_automation_tarball_after(aut_api_request *request);
/* With the bytes as they are. */
void aut__api_automation_tarball_send(aut_api_request *request, const void *data, size_t len);
/* Cancel what waits for objects; for the end of the API. */
void aut__api_objects_free(aut_api *api);
aut_status aut__api_upload_list_begin(aut_api_request *request, aut_error *err);
aut_status aut__api_upload_list(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_upload_get(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_upload_delete(aut_api_request *request, aut_db *db, aut_error *err);

aut_status aut__api_webhook_create(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_webhook_list(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_webhook_get(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_webhook_update(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_webhook_delete(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_webhook_rotate(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_requested_types_begin(aut_api_request *request, aut_error *err);
aut_status aut__api_requested_types(aut_api_request *request, aut_db *db, aut_error *err);

aut_status aut__api_event_deliver_begin(aut_api_request *request, aut_error *err);
aut_status aut__api_event_deliver(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_event_list_begin(aut_api_request *request, aut_error *err);
aut_status aut__api_event_list(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_event_get(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_event_replay(aut_api_request *request, aut_db *db, aut_error *err);
aut_status aut__api_event_test_filter(aut_api_request *request, aut_db *db, aut_error *err);

void aut__api_health(aut_api_request *request);
aut_status aut__api_ready(aut_api_request *request, aut_db *db, aut_error *err);
bool aut__api_ready_refuse(aut_api_request *request, aut_status status, const aut_error *err);
void aut__api_sdk_version(aut_api_request *request);
void aut__api_server_info(aut_api_request *request);

/* The description of what this listener serves (OpenAPI 3.1); NULL: no memory. */
json_t *aut__api_openapi(const aut_api *api);
void aut__api_openapi_answer(aut_api_request *request);
void aut__api_docs_answer(aut_api_request *request);
void aut__api_redoc_answer(aut_api_request *request);

/* ---- followers (follow.c) -------------------------------------------------------------------- */

/* Take over request->exchange and stream the run's output from request->after on; result is its first
 * part, result2 the run. */
void aut__api_follow(aut_api_request *request);
/* The engine has news of a run. */
void aut__api_follow_news(void *payload, const aut_uuid *run_id);
void aut__api_follow_engine(aut_api *api, bool on);
/* End all streams (the readers come back when they see no `end`). */
void aut__api_follow_stop(aut_api *api);

#endif
