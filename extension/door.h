/* SPDX-License-Identifier: MIT */
/*
 * extension/door.h - the frame of a SQL function over core/service.
 *
 *     door = aut__door_open();                    who calls, settings, database handle
 *     … read arguments (may raise errors) …
 *     aut__door_enter(door);                      our own rights and search_path from here on
 *     status = aut_service_…(&door->call, …, &door->out, &door->err);
 *     aut__door_leave(door, status);              the caller's rights again; raises what failed
 *     … make the result from door->out (may raise errors) …
 *     aut__door_close(door);                      frees; a wake is noted for the commit
 *
 * Between enter and leave stands only core: no PostgreSQL function that may raise an error is called
 * there, but by the SPI driver's box.  What core allocated hangs on the door, and the door on the memory
 * context it was opened in, so an error anywhere frees it.
 *
 * Rights: the statements of core run as the bootstrap superuser over tables no user can write; whether
 * the caller may touch an automation is decided here, by the rules of PostgreSQL: who has the rights of
 * its owner (role membership counts) may do what the owner may; automation_admin may everything;
 * automation_reader may look at everything.  Inside core the caller then acts as the owner.
 */
#ifndef AUT_EXTENSION_DOOR_H
#define AUT_EXTENSION_DOOR_H

#include "internal.h"

#include "funcapi.h"
#include "utils/palloc.h"
#include "utils/timestamp.h"

typedef struct aut__door
{
	aut_call call;
	aut_identity who;
	char role[NAMEDATALEN]; /* the name behind `who` */
	aut_error err;
	/* freed with the door */
	json_t *body;
	json_t *out;
	void *data;
	aut_automation_list automations;
	aut_run_list runs;
	/* the door's own */
	Oid user;
	int security;
	int guc_level;
	bool inside;
	bool closed;
	MemoryContextCallback reset;
} aut__door;

typedef enum aut__right
{
	AUT__LOOK,
	AUT__CHANGE
} aut__right;

aut__door *aut__door_open(void);
void aut__door_enter(aut__door *door);
void aut__door_leave(aut__door *door, aut_status status);
void aut__door_close(aut__door *door);
/* Raise door->err now (after leave, or before enter). */
void aut__door_raise(aut__door *door, aut_status status) pg_attribute_noreturn();

/* May this user do that with what `owner` (NULL: made over HTTP) owns?  Raises nothing, reads the
 * catalogs; not inside the door. */
bool aut__role_may(Oid user, const char *owner, aut__right right);

/* Find the automation with this id or name among those the caller has the right to; what he may not see
 * does not exist for him.  Result: door->automations.items[0]; from then on the door acts as its owner.
 * Outside the door. */
const aut_automation *aut__door_find(aut__door *door, const char *name_or_id, aut__right right);
/* The same by a run. */
const aut_run *aut__door_find_run(aut__door *door, const aut_uuid *run_id, aut__right right);

/* The live automation with this id, whosever it is (NULL: none): for callers that may not ask, a table's
 * triggers.  From then on the door acts as its owner. */
const aut_automation *aut__door_take(aut__door *door, const aut_uuid *id);
/* sql_change.c: do changes of a table start it? */
bool aut__is_for_rows(const aut_automation *automation);
/* Drop the triggers on_change() made for an automation, in whatever table. */
void aut__drop_row_triggers(const aut_uuid *automation);

/* Another role and search_path for a while; an error in between ends it with the (sub)transaction. */
typedef struct aut__disguise
{
	Oid user;
	int security;
	int guc_level;
} aut__disguise;
void aut__disguise_begin(aut__disguise *d, Oid role, int security, const char *search_path);
void aut__disguise_as_us(aut__disguise *d); /* the bootstrap superuser, pg_catalog only */
void aut__disguise_end(const aut__disguise *d);

/* ---- values ---------------------------------------------------------------------------------- */

char *aut__arg_text(FunctionCallInfo fcinfo, int arg); /* NULL for null */
bool aut__arg_given(FunctionCallInfo fcinfo, int arg); /* exists and is not null */
/* Whole seconds of an interval argument, rounded up; `what` names it in the error. */
int64_t aut__arg_seconds(FunctionCallInfo fcinfo, int arg, const char *what);
/* A text array as a list; NULL: no memory. */
struct ArrayType;
json_t *aut__texts_json(struct ArrayType *array);
void aut__arg_uuid(FunctionCallInfo fcinfo, int arg, aut_uuid *out);
Datum aut__uuid_datum(const aut_uuid *uuid);
Datum aut__time_datum(int64_t time_us);
int64_t aut__time_of(TimestampTz time);
/* The id a service put into door->out. */
Datum aut__out_id(aut__door *door);

#endif
