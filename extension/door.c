/* SPDX-License-Identifier: MIT */
/*
 * extension/door.c - the frame of SQL functions over core/service; see door.h.
 *
 * Owns: the switch of rights and search_path around core, the translation of core's errors into SQL
 * errors, and who may touch what.  The functions themselves are in sql_*.c.
 */
#include "door.h"

#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/uuid.h"

#include "spi_db.h"

#define PROBLEMS_SHOWN 20

/* ---- settings of this session ----------------------------------------------------------------- */

/* Kept for the session, made again when a setting has changed. */
static const aut_settings *
session_settings(void)
{
	static aut_settings settings;
	static uint64 generation; /* 0: none yet */
	aut_settings fresh;
	aut_error err = AUT_ERROR_INIT;

	if (generation == aut__settings_generation)
		return &settings;
	if (aut__settings_load(&fresh, false, &err) != AUT_OK)
		ereport(ERROR, (errcode(ERRCODE_CONFIG_FILE_ERROR), errmsg("%s", err.message)));
	if (generation != 0)
		aut_settings_done(&settings);
	settings = fresh;
	generation = aut__settings_generation;
	return &settings;
}

/* ---- life of a door --------------------------------------------------------------------------- */

/* Frees everything of core's; called at the latest when the memory context goes. */
static void
door_done(void *arg)
{
	aut__door *door = arg;

	if (door->closed)
		return;
	door->closed = true;
	json_decref(door->body);
	json_decref(door->out);
	aut_free(door->data);
	aut_automation_list_done(&door->automations);
	aut_run_list_done(&door->runs);
	aut_db_close(door->call.db);
	aut_call_done(&door->call);
}

/* Who speaks: name and core's identity of a role. */
static void
door_identify(aut__door *door, const char *role)
{
	strlcpy(door->role, role, sizeof(door->role));
	if (aut_identity_for_role(door->role, &door->who, &door->err) != AUT_OK)
		aut__door_raise(door, door->err.code);
}

/*
 * The first call after a restart of the server (without preload) finds nobody at work: let this
 * transaction start the worker, unless the operator wants none.
 */
static void
ensure_worker(void)
{
	aut__extension extension;
	Oid user;
	int security;

	if (aut__worker_pid(MyDatabaseId) != 0 || !aut__enabled || !aut__may_start())
		return;
	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, security | SECURITY_LOCAL_USERID_CHANGE);
	aut__extension_look(&extension);
	SetUserIdAndSecContext(user, security);
	if (!extension.stopped)
		aut__ensure_at_commit();
}

aut__door *
aut__door_open(void)
{
	aut__door *door = palloc0(sizeof(*door));
	const aut_settings *settings = session_settings();
	aut_db *db = NULL;

	ensure_worker();
	GetUserIdAndSecContext(&door->user, &door->security);
	door_identify(door, GetUserNameFromId(door->user, false));
	if (aut_spi_door_db(&db, &door->err) != AUT_OK)
		aut__door_raise(door, door->err.code);
	aut_call_init(&door->call, db, settings, &door->who, aut_now_us(aut_clock_system()));
	door->call.sealer = aut__sealer();
	door->reset.func = door_done;
	door->reset.arg = door;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &door->reset);
	return door;
}

/*
 * From here on our statements run with our rights, and no operator or table of somebody else's schema
 * can slip into them.  An error (also one that is raised while a statement runs) ends both with the
 * (sub)transaction.
 */
void
aut__door_enter(aut__door *door)
{
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, door->security | SECURITY_LOCAL_USERID_CHANGE);
	door->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	door->inside = true;
}

void
aut__door_leave(aut__door *door, aut_status status)
{
	/* An error the server raised in a statement goes on as it was, in the rights it was raised in. */
	if (status != AUT_OK && door->call.db->failed)
		aut_spi_door_rethrow(door->call.db);
	door->inside = false;
	AtEOXact_GUC(true, door->guc_level);
	SetUserIdAndSecContext(door->user, door->security);
	if (status != AUT_OK)
		aut__door_raise(door, status);
}

void
aut__door_close(aut__door *door)
{
	if (door->call.effects != 0)
		aut__wake_at_commit();
	door_done(door);
}

/* ---- errors ----------------------------------------------------------------------------------- */

/* "trigger.schedule: expected five fields", one line per problem. */
static char *
problems_text(const json_t *problems)
{
	StringInfoData text;
	size_t index;
	json_t *problem;

	initStringInfo(&text);
	json_array_foreach(problems, index, problem)
	{
		const json_t *loc = json_object_get(problem, "loc");
		const char *message = json_string_value(json_object_get(problem, "msg"));
		size_t i;
		json_t *part;
		bool first = true;

		if (index == PROBLEMS_SHOWN)
			break;
		if (index > 0)
			appendStringInfoChar(&text, '\n');
		json_array_foreach(loc, i, part)
		{
			if (i == 0 && json_is_string(part) && strcmp(json_string_value(part), "body") == 0)
				continue; /* there is no request body here */
			if (!first)
				appendStringInfoChar(&text, '.');
			if (json_is_string(part))
				appendStringInfoString(&text, json_string_value(part));
			else
				appendStringInfo(&text, "%lld", (long long) json_integer_value(part));
			first = false;
		}
		appendStringInfo(&text, "%s%s", first ? "" : ": ", message != NULL ? message : "invalid");
	}
	return text.data;
}

static int
sqlstate_of(const aut_error *err, aut_status status)
{
	const char *state = err->sqlstate[0] != '\0' ? err->sqlstate : aut_status_sqlstate(status);

	if (strlen(state) != 5)
		return ERRCODE_INTERNAL_ERROR;
	return MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4]);
}

void
aut__door_raise(aut__door *door, aut_status status)
{
	const json_t *problems = door->call.problems;
	char *detail = json_array_size(problems) > 0 ? problems_text(problems) : NULL;

	ereport(ERROR, (errcode(sqlstate_of(&door->err, status)),
					errmsg("%s", door->err.message[0] != '\0' ? door->err.message
															  : aut_status_text(status)),
					detail != NULL ? errdetail("%s", detail) : 0));
	pg_unreachable();
}

/* ---- who may what ----------------------------------------------------------------------------- */

static bool
has_role(Oid user, const char *role)
{
	Oid oid = get_role_oid(role, true);

	return OidIsValid(oid) && has_privs_of_role(user, oid);
}

bool
aut__role_may(Oid user, const char *owner, aut__right right)
{
	if (owner == NULL)
		owner = aut__http_role != NULL ? aut__http_role : "";
	if (owner[0] != '\0' && has_role(user, owner))
		return true;
	if (has_role(user, AUT__ADMIN_ROLE) || superuser_arg(user))
		return true;
	return right == AUT__LOOK && has_role(user, AUT__READER_ROLE);
}

/* What the caller may not see and what does not exist are told with the same words. */
static void
raise_not_found(aut__door *door, const char *kind, const char *name)
{
	(void) aut_fail(&door->err, AUT_ENOTFOUND, "there is no %s \"%.200s\"", kind, name);
	aut__door_raise(door, AUT_ENOTFOUND);
}

static void
raise_ambiguous(aut__door *door, const char *name, size_t count)
{
	StringInfoData ids;
	char text[AUT_UUID_TEXT_MAX];

	initStringInfo(&ids);
	for (size_t i = 0; i < count && i < PROBLEMS_SHOWN; i++)
		appendStringInfo(&ids, "%s%s", i > 0 ? ", " : "",
						 aut_uuid_format(&door->automations.items[i].id, text));
	ereport(ERROR,
			(errcode(ERRCODE_AMBIGUOUS_ALIAS),
			 errmsg("%zu automations are named \"%s\"", count, name),
			 errdetail("Their ids: %s.", ids.data), errhint("Give the id in place of the name.")));
}

/* Keep the automations the caller has the right to, in place; returns how many. */
static size_t
keep_permitted(aut__door *door, aut__right right)
{
	aut_automation_list *list = &door->automations;
	size_t kept = 0;

	for (size_t i = 0; i < list->count; i++)
		if (aut__role_may(door->user, list->items[i].owner, right))
			list->items[kept++] = list->items[i];
	return kept;
}

/* Of several with one name the caller's own comes first, as a name in one's own house. */
static size_t
prefer_own(aut__door *door, size_t count)
{
	aut_automation *items = door->automations.items;
	size_t own = 0;

	for (size_t i = 0; i < count; i++)
		if (items[i].owner != NULL && strcmp(items[i].owner, door->role) == 0)
			items[own++] = items[i];
	return own > 0 ? own : count;
}

static void
act_as_owner(aut__door *door, const aut_automation *automation)
{
	if (automation->owner != NULL)
		door_identify(door, automation->owner);
	else
		door->who = *aut_identity_local();
}

const aut_automation *
aut__door_find(aut__door *door, const char *name_or_id, aut__right right)
{
	aut_uuid id;
	size_t count;
	aut_status status;
	bool by_id = aut_uuid_parse(name_or_id, strlen(name_or_id), &id);

	aut_automation_list_done(&door->automations);
	memset(&door->automations, 0, sizeof(door->automations));
	aut__door_enter(door);
	if (by_id)
		status = aut_store_automation_get(door->call.db, &door->who.org_id, &id, &door->automations,
										  &door->err);
	else
		status = aut_store_automation_by_name(door->call.db, &door->who.org_id, name_or_id,
											  &door->automations, &door->err);
	aut__door_leave(door, status == AUT_ENOTFOUND ? AUT_OK : status);
	count = keep_permitted(door, right);
	if (count == 0)
		raise_not_found(door, "automation", name_or_id);
	if (count > 1)
		count = prefer_own(door, count);
	if (count > 1)
		raise_ambiguous(door, name_or_id, count);
	act_as_owner(door, &door->automations.items[0]);
	return &door->automations.items[0];
}

const aut_automation *
aut__door_take(aut__door *door, const aut_uuid *id)
{
	aut_status status;

	aut__door_enter(door);
	status = aut_store_automation_get(door->call.db, &door->who.org_id, id, &door->automations,
									  &door->err);
	aut__door_leave(door, status == AUT_ENOTFOUND ? AUT_OK : status);
	if (status != AUT_OK)
		return NULL;
	act_as_owner(door, &door->automations.items[0]);
	return &door->automations.items[0];
}

const aut_run *
aut__door_find_run(aut__door *door, const aut_uuid *run_id, aut__right right)
{
	char text[AUT_UUID_TEXT_MAX];
	aut_status status;

	aut_uuid_format(run_id, text);
	aut__door_enter(door);
	status = aut_store_run_get(door->call.db, run_id, &door->runs, &door->err);
	if (status == AUT_OK)
		status = aut_store_automation_get(door->call.db, &door->who.org_id,
										  &door->runs.items[0].automation_id, &door->automations,
										  &door->err);
	aut__door_leave(door, status == AUT_ENOTFOUND ? AUT_OK : status);
	if (status != AUT_OK || keep_permitted(door, right) == 0)
		raise_not_found(door, "run", text);
	act_as_owner(door, &door->automations.items[0]);
	return &door->runs.items[0];
}

/* ---- values ----------------------------------------------------------------------------------- */

bool
aut__arg_given(FunctionCallInfo fcinfo, int arg)
{
	/* An older catalog may declare fewer arguments than this library knows. */
	return arg < PG_NARGS() && !PG_ARGISNULL(arg);
}

char *
aut__arg_text(FunctionCallInfo fcinfo, int arg)
{
	return aut__arg_given(fcinfo, arg) ? text_to_cstring(PG_GETARG_TEXT_PP(arg)) : NULL;
}

int64_t
aut__arg_seconds(FunctionCallInfo fcinfo, int arg, const char *what)
{
	Interval *span = PG_GETARG_INTERVAL_P(arg);
	int64_t us;

	/* A month has no length in seconds. */
	if (span->month != 0 || span->day < -36500 || span->day > 36500 ||
		pg_add_s64_overflow(span->time, (int64_t) span->day * USECS_PER_DAY, &us) || us < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a positive interval of days and smaller units, up to 100 years",
						what)));
	return us / USECS_PER_SEC + (us % USECS_PER_SEC != 0 ? 1 : 0);
}

void
aut__arg_uuid(FunctionCallInfo fcinfo, int arg, aut_uuid *out)
{
	const pg_uuid_t *uuid = PG_GETARG_UUID_P(arg);

	memcpy(out->bytes, uuid->data, sizeof(out->bytes));
}

Datum
aut__out_id(aut__door *door)
{
	const char *text = json_string_value(json_object_get(door->out, "id"));
	aut_uuid id;

	if (text == NULL || !aut_uuid_parse(text, strlen(text), &id))
		elog(ERROR, "automation: a service answered without an id");
	return aut__uuid_datum(&id);
}
