/* SPDX-License-Identifier: MIT */
/*
 * extension/sql_change.c - on_change(): a table's changes start runs, in the transaction that made them.
 *
 * on_change() makes one AFTER trigger FOR EACH STATEMENT per operation, with transition tables: a command
 * that changes a thousand rows calls us once.  The trigger's arguments carry all it needs (automation,
 * condition, input, search_path), so a dump of the table carries the trigger and a restored one works.
 *
 * Whose rights: the condition and the input are expressions somebody wrote, evaluated while somebody
 * else changes the table.  They run with the rights of the automation's owner, as a security-restricted
 * operation and with the search_path on_change() was called with, so neither can the writer of the
 * table be made to run them nor can he change what they mean.  The function is executable by nobody:
 * only on_change() makes such triggers, after it has seen that the caller owns both table and automation.
 *
 * Within the expressions `new` and `old` are the row after and before (all null where there is none) and
 * change.op, change.relation say what happened.  In an UPDATE the two transition tables are paired by
 * position: the server appends to both, row by row.
 *
 * A failing expression fails the command: the run belongs to the transaction like any other consequence.
 */
#include "door.h"

#include "access/relation.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(automation_on_change);
PG_FUNCTION_INFO_V1(automation_row_changed);

#define FETCH_ROWS     200
#define EXPRESSION_MAX 10000
#define NEW_ROWS       "automation_new"
#define OLD_ROWS       "automation_old"
#define ROW_NUMBER     "automation row"

/* Arguments of the trigger function. */
enum
{
	ARG_AUTOMATION,
	ARG_WHEN,
	ARG_INPUT,
	ARG_KEY,
	ARG_PATH,
	ARG_COUNT
};

static const char *const op_names[] = {"INSERT", "UPDATE", "DELETE"};
enum
{
	OP_INSERT,
	OP_UPDATE,
	OP_DELETE,
	OP_COUNT
};

/* ---- rights ----------------------------------------------------------------------------------- */

static void
as_owner(aut__disguise *d, const aut_automation *automation, const char *search_path)
{
	Oid role = automation->owner != NULL ? get_role_oid(automation->owner, true) : InvalidOid;

	if (!OidIsValid(role))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the owner of automation \"%s\" does not exist any more", automation->name),
				 errhint("SELECT automation.drop('%s') removes its triggers.", automation->name)));
	aut__disguise_begin(d, role, SECURITY_RESTRICTED_OPERATION, search_path);
}

/* ---- the query -------------------------------------------------------------------------------- */

/* "FROM"-less: SELECT x."a", x."b" … of the relation's live columns. */
static void
put_columns(StringInfo sql, TupleDesc desc, const char *of)
{
	bool first = true;

	appendStringInfoString(sql, "SELECT ");
	for (int i = 0; i < desc->natts; i++)
	{
		const Form_pg_attribute column = TupleDescAttr(desc, i);

		if (column->attisdropped)
			continue;
		appendStringInfo(sql, "%s%s.%s", first ? "" : ", ", of,
						 quote_identifier(NameStr(column->attname)));
		first = false;
	}
}

static void
put_row(StringInfo sql, TupleDesc desc, const char *of, const char *as, const char *on)
{
	appendStringInfoString(sql, " LATERAL (");
	put_columns(sql, desc, of);
	appendStringInfo(sql, ") AS %s%s", as, on);
}

/* One side of an UPDATE, numbered. */
static void
put_numbered(StringInfo sql, const char *rows, const char *as)
{
	appendStringInfo(sql,
					 "(SELECT pg_catalog.row_number() OVER () AS \"" ROW_NUMBER
					 "\", t.* FROM %s AS t) AS \"%s\"",
					 rows, as);
}

/* The rows of a command for which runs start: two text columns, the input and the dedupe key. */
static char *
query_text(Relation rel, int op, const char *when, const char *input, const char *key)
{
	TupleDesc desc = RelationGetDescr(rel);
	const char *schema = get_namespace_name(RelationGetNamespace(rel));
	const char *there = op == OP_DELETE ? "old" : "new";
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql,
					 "SELECT pg_catalog.to_jsonb(%s)::pg_catalog.text, %s::pg_catalog.text FROM ",
					 input[0] != '\0' ? input : there, key[0] != '\0' ? key : "NULL");
	if (op == OP_UPDATE)
	{
		put_numbered(&sql, NEW_ROWS, NEW_ROWS);
		appendStringInfoString(&sql, " JOIN ");
		put_numbered(&sql, OLD_ROWS, OLD_ROWS);
		appendStringInfoString(&sql, " ON \"" NEW_ROWS "\".\"" ROW_NUMBER
									 "\" OPERATOR(pg_catalog.=) \"" OLD_ROWS "\".\"" ROW_NUMBER
									 "\" CROSS JOIN");
		put_row(&sql, desc, NEW_ROWS, "new", " CROSS JOIN");
		put_row(&sql, desc, OLD_ROWS, "old", "");
	}
	else
	{
		/* the other side has the same columns and no row */
		appendStringInfoChar(&sql, '(');
		put_columns(&sql, desc, "t");
		appendStringInfo(&sql, " FROM %s AS t) AS %s LEFT JOIN",
						 op == OP_DELETE ? OLD_ROWS : NEW_ROWS, there);
		put_row(&sql, desc, there, op == OP_DELETE ? "new" : "old", " ON false");
	}
	appendStringInfo(
		&sql,
		" CROSS JOIN (SELECT '%s'::pg_catalog.text AS op, %s::pg_catalog.text AS relation) AS "
		"change",
		op_names[op],
		quote_literal_cstr(quote_qualified_identifier(schema, RelationGetRelationName(rel))));
	if (when[0] != '\0')
		appendStringInfo(&sql, " WHERE %s", when);
	return sql.data;
}

/* One SELECT and nothing else, or an error. */
static SPIPlanPtr
prepare(const char *sql)
{
	SPIPlanPtr plan = SPI_prepare(sql, 0, NULL);

	if (plan == NULL)
		elog(ERROR, "automation: a row trigger's query cannot be prepared: %s",
			 SPI_result_code_string(SPI_result));
	if (!SPI_is_cursor_plan(plan))
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
						errmsg("when_expr, input_expr and dedupe_expr must be expressions")));
	return plan;
}

/* ---- the trigger ------------------------------------------------------------------------------ */

/* Up to FETCH_ROWS inputs, in the memory of the caller; how many. */
static uint64
fetch(Portal cursor, MemoryContext context, const char **inputs, const char **keys)
{
	uint64 count;

	SPI_cursor_fetch(cursor, true, FETCH_ROWS);
	count = SPI_processed;
	for (uint64 i = 0; i < count; i++)
	{
		char *text = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		char *key = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2);

		inputs[i] = MemoryContextStrdup(context, text != NULL ? text : "null");
		keys[i] = key != NULL ? MemoryContextStrdup(context, key) : NULL;
	}
	SPI_freetuptable(SPI_tuptable);
	return count;
}

static void
start_runs(aut__door *door, TriggerData *trigger, int op, const aut_uuid *automation)
{
	char *const *args = trigger->tg_trigger->tgargs;
	const char *inputs[FETCH_ROWS], *keys[FETCH_ROWS];
	MemoryContext batch =
		AllocSetContextCreate(CurrentMemoryContext, "automation events", ALLOCSET_DEFAULT_SIZES);
	char *sql =
		query_text(trigger->tg_relation, op, args[ARG_WHEN], args[ARG_INPUT], args[ARG_KEY]);
	Portal cursor;
	aut__disguise d;
	uint64 count;

	SPI_connect();
	if (SPI_register_trigger_data(trigger) != SPI_OK_TD_REGISTER)
		elog(ERROR, "automation: no transition tables");
	as_owner(&d, &door->automations.items[0], args[ARG_PATH]);
	cursor = SPI_cursor_open(NULL, prepare(sql), NULL, NULL, true);
	count = fetch(cursor, batch, inputs, keys);
	aut__disguise_end(&d);
	while (count > 0)
	{
		bool last = count < FETCH_ROWS;

		aut__door_enter(door);
		aut__door_leave(door, aut_service_run_events(&door->call, automation, inputs, keys,
													 (size_t) count, NULL, &door->err));
		MemoryContextReset(batch);
		if (last)
			break;
		CHECK_FOR_INTERRUPTS();
		as_owner(&d, &door->automations.items[0], args[ARG_PATH]);
		count = fetch(cursor, batch, inputs, keys);
		aut__disguise_end(&d);
	}
	SPI_cursor_close(cursor);
	SPI_finish();
	MemoryContextDelete(batch);
}

/* Is this automation started by row triggers (still)? */
bool
aut__is_for_rows(const aut_automation *automation)
{
	json_t *trigger = NULL;
	const char *source;
	bool is;

	if (aut_json_parse(automation->trigger, strlen(automation->trigger), &trigger, NULL) != AUT_OK)
		return false;
	source = aut_json_string(trigger, "source");
	is = strcmp(automation->trigger_type, "event") == 0 && source != NULL &&
		 strcmp(source, "sql") == 0;
	json_decref(trigger);
	return is;
}

/* _row_changed(automation, when, input, key, search_path): the trigger function */
Datum
automation_row_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	const aut_automation *automation;
	Tuplestorestate *rows;
	aut__door *door;
	aut_uuid id;
	const char *text;
	int op;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) ||
		!TRIGGER_FIRED_AFTER(trigger->tg_event) || trigger->tg_trigger->tgnargs != ARG_COUNT)
		ereport(
			ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("automation._row_changed() serves triggers of automation.on_change() only")));
	op = TRIGGER_FIRED_BY_INSERT(trigger->tg_event)   ? OP_INSERT
		 : TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? OP_UPDATE
													  : OP_DELETE;
	rows = op == OP_DELETE ? trigger->tg_oldtable : trigger->tg_newtable;
	text = trigger->tg_trigger->tgargs[ARG_AUTOMATION];
	if (rows == NULL || tuplestore_tuple_count(rows) == 0 ||
		!aut_uuid_parse(text, strlen(text), &id))
		return PointerGetDatum(NULL);
	door = aut__door_open();
	automation = aut__door_take(door, &id);
	/* deleted, paused, or made into something else over HTTP: its triggers start nothing */
	if (automation != NULL && strcmp(automation->state, "ACTIVE") == 0 &&
		aut__is_for_rows(automation))
		start_runs(door, trigger, op, &id);
	aut__door_close(door);
	return PointerGetDatum(NULL);
}

/* ---- dropping --------------------------------------------------------------------------------- */

void
aut__drop_row_triggers(const aut_uuid *automation)
{
	static const char query[] =
		"SELECT pg_catalog.format('DROP TRIGGER %I ON %I.%I', t.tgname, n.nspname, c.relname)"
		" FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid"
		" JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
		" WHERE t.tgfoid = 'automation._row_changed()'::pg_catalog.regprocedure"
		" AND pg_catalog.substring(t.tgargs, 1, 36) = pg_catalog.convert_to($1, 'SQL_ASCII')";
	char text[AUT_UUID_TEXT_MAX];
	Oid types[1] = {TEXTOID};
	Datum values[1];
	SPITupleTable *found;
	uint64 count;
	aut__disguise d;

	values[0] = CStringGetTextDatum(aut_uuid_format(automation, text));
	aut__disguise_as_us(&d);
	SPI_connect();
	if (SPI_execute_with_args(query, 1, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "automation: the triggers cannot be listed");
	found = SPI_tuptable;
	count = SPI_processed;
	for (uint64 i = 0; i < count; i++)
		if (SPI_execute(SPI_getvalue(found->vals[i], found->tupdesc, 1), false, 0) !=
			SPI_OK_UTILITY)
			elog(ERROR, "automation: a trigger cannot be dropped");
	SPI_finish();
	aut__disguise_end(&d);
}

/* ---- on_change -------------------------------------------------------------------------------- */

/* The table, locked as CREATE TRIGGER does, if it is one and the caller's. */
static Relation
open_table(Oid oid)
{
	Relation rel = relation_open(oid, ShareRowExclusiveLock);
	const char *schema = get_namespace_name(RelationGetNamespace(rel));

	if ((rel->rd_rel->relkind != RELKIND_RELATION &&
		 rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE) ||
		rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(
			ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("\"%s\" is not a permanent table", RelationGetRelationName(rel)),
			 errdetail(
				 "Views, foreign and temporary tables have no triggers with transition tables.")));
	if (IsCatalogNamespace(RelationGetNamespace(rel)) || strcmp(schema, AUT__EXTENSION) == 0 ||
		strcmp(schema, "information_schema") == 0)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("changes of \"%s.%s\" cannot start runs", schema,
							   RelationGetRelationName(rel))));
	if (!AUT_PG_CLASS_OWNERCHECK(oid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, RelationGetRelationName(rel));
	return rel;
}

static void
read_ops(ArrayType *given, bool ops[OP_COUNT])
{
	Datum *items;
	bool *nulls;
	int count;

	deconstruct_array(given, TEXTOID, -1, false, TYPALIGN_INT, &items, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		const char *name = nulls[i] ? "null" : TextDatumGetCString(items[i]);
		int op = 0;

		while (op < OP_COUNT && pg_strcasecmp(name, op_names[op]) != 0)
			op++;
		if (op == OP_COUNT)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("unknown operation \"%s\" in ops", name),
							errhint("INSERT, UPDATE and DELETE are known.")));
		ops[op] = true;
	}
	if (count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("ops must name an operation")));
}

/* Condition of an UPDATE: one of the columns has another value, byte by byte, of whatever type. */
static char *
columns_condition(Relation rel, ArrayType *given)
{
	Datum *items;
	bool *nulls;
	int count;
	StringInfoData before, after;

	deconstruct_array(given, TEXTOID, -1, false, TYPALIGN_INT, &items, &nulls, &count);
	initStringInfo(&before);
	initStringInfo(&after);
	for (int i = 0; i < count; i++)
	{
		const char *name = nulls[i] ? "" : TextDatumGetCString(items[i]);

		if (nulls[i] || get_attnum(RelationGetRelid(rel), name) <= 0)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
							errmsg("column \"%s\" of \"%s\" does not exist", name,
								   RelationGetRelationName(rel))));
		appendStringInfo(&before, "%sold.%s", i > 0 ? ", " : "", quote_identifier(name));
		appendStringInfo(&after, "%snew.%s", i > 0 ? ", " : "", quote_identifier(name));
	}
	if (count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("columns must name a column")));
	/* cast, because two row constructors would be compared member by member, by operators of the types */
	return psprintf(
		"ROW(%s)::pg_catalog.record OPERATOR(pg_catalog.*<>) ROW(%s)::pg_catalog.record",
		before.data, after.data);
}

/* The caller's search_path as it counts now, without temporary tables, which are the session's. */
static char *
current_path(void)
{
	List *schemas = fetch_search_path(false);
	StringInfoData path;
	ListCell *cell;

	initStringInfo(&path);
	appendStringInfoString(&path, "pg_catalog");
	foreach (cell, schemas)
	{
		Oid schema = lfirst_oid(cell);
		const char *name = get_namespace_name(schema);

		if (name != NULL && !isAnyTempNamespace(schema) && schema != PG_CATALOG_NAMESPACE)
			appendStringInfo(&path, ", %s", quote_identifier(name));
	}
	appendStringInfoString(&path, ", pg_temp");
	return path.data;
}

/* Run the query once over nothing, as the trigger will: whatever is wrong with the expressions is told now. */
static void
try_query(Relation rel, const aut_automation *automation, int op, const char *when,
		  const char *input, const char *key, const char *path)
{
	static const char *const names[] = {NEW_ROWS, OLD_ROWS};
	aut__disguise d;

	SPI_connect();
	for (size_t i = 0; i < lengthof(names); i++)
	{
		EphemeralNamedRelation rows = palloc0(sizeof(*rows));

		rows->md.name = pstrdup(names[i]);
		rows->md.reliddesc = RelationGetRelid(rel);
		rows->md.enrtype = ENR_NAMED_TUPLESTORE;
		rows->reldata = tuplestore_begin_heap(false, false, work_mem);
		if (SPI_register_relation(rows) != SPI_OK_REL_REGISTER)
			elog(ERROR, "automation: no transition tables");
	}
	as_owner(&d, automation, path);
	if (SPI_execute_plan(prepare(query_text(rel, op, when, input, key)), NULL, NULL, true, 1) !=
		SPI_OK_SELECT)
		elog(ERROR, "automation: a row trigger's query cannot be tried");
	aut__disguise_end(&d);
	SPI_finish();
}

static void
make_trigger(Relation rel, const char *id, int op, const char *when, const char *input,
			 const char *key, const char *path)
{
	static const char *const tables[] = {"NEW TABLE AS " NEW_ROWS,
										 "NEW TABLE AS " NEW_ROWS " OLD TABLE AS " OLD_ROWS,
										 "OLD TABLE AS " OLD_ROWS};
	char *sql = psprintf(
		"CREATE TRIGGER \"automation %s %s\" AFTER %s ON %s REFERENCING %s FOR EACH STATEMENT"
		" EXECUTE FUNCTION automation._row_changed(%s, %s, %s, %s, %s)",
		id, op_names[op], op_names[op],
		quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
								   RelationGetRelationName(rel)),
		tables[op], quote_literal_cstr(id), quote_literal_cstr(when), quote_literal_cstr(input),
		quote_literal_cstr(key), quote_literal_cstr(path));
	aut__disguise d;

	aut__disguise_as_us(&d);
	SPI_connect();
	if (SPI_execute(sql, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "automation: a trigger cannot be made");
	SPI_finish();
	aut__disguise_end(&d);
}

/* The automation says from now on that this table's changes start it. */
static void
set_trigger_form(aut__door *door, const aut_uuid *id, Relation rel)
{
	char *on = psprintf("%s.%s", get_namespace_name(RelationGetNamespace(rel)),
						RelationGetRelationName(rel));
	aut_status status;

	aut__door_enter(door);
	door->body =
		json_pack("{s:{s:s, s:s, s:s}}", "trigger", "type", "event", "source", "sql", "on", on);
	status =
		door->body != NULL
			? aut_service_automation_update(&door->call, id, door->body, &door->out, &door->err)
			: aut_fail(&door->err, AUT_ENOMEM, "no memory for the automation's trigger");
	aut__door_leave(door, status);
}

static char *
arg_expression(FunctionCallInfo fcinfo, int arg, const char *name)
{
	char *text = aut__arg_text(fcinfo, arg);

	if (text == NULL)
		return pstrdup("");
	if (strlen(text) > EXPRESSION_MAX || text[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must have 1 to %d bytes", name, EXPRESSION_MAX)));
	return psprintf("(%s)", text);
}

/* on_change(relation, run, ops, columns, when_expr, input_expr, dedupe_expr) */
Datum
automation_on_change(PG_FUNCTION_ARGS)
{
	aut__door *door;
	const aut_automation *automation;
	bool ops[OP_COUNT] = {false};
	char id_text[AUT_UUID_TEXT_MAX];
	char *name = aut__arg_text(fcinfo, 1);
	char *when, *input, *key, *path;
	char *columns = NULL;
	aut_uuid id;
	Relation rel;

	if (PG_ARGISNULL(0) || name == NULL || PG_ARGISNULL(2))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("on_change() needs a relation, the automation to run, and ops")));
	read_ops(PG_GETARG_ARRAYTYPE_P(2), ops);
	rel = open_table(PG_GETARG_OID(0));
	if (aut__arg_given(fcinfo, 3))
		columns = columns_condition(rel, PG_GETARG_ARRAYTYPE_P(3));
	when = arg_expression(fcinfo, 4, "when_expr");
	input = arg_expression(fcinfo, 5, "input_expr");
	key = arg_expression(fcinfo, 6, "dedupe_expr");
	path = current_path();
	door = aut__door_open();
	automation = aut__door_find(door, name, AUT__CHANGE);
	if (strcmp(automation->trigger_type, "event") != 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("automation \"%s\" has a schedule", automation->name),
						errhint("Make another automation for the table's changes.")));
	id = automation->id;
	aut_uuid_format(&id, id_text);
	aut__drop_row_triggers(&id);
	for (int op = 0; op < OP_COUNT; op++)
	{
		/* columns narrow what counts as a change of a row that stays */
		const char *condition = op != OP_UPDATE || columns == NULL ? when
								: when[0] == '\0'                  ? columns
												  : psprintf("%s AND %s", columns, when);

		if (!ops[op])
			continue;
		try_query(rel, automation, op, condition, input, key, path);
		make_trigger(rel, id_text, op, condition, input, key, path);
	}
	set_trigger_form(door, &id, rel);
	relation_close(rel, NoLock);
	aut__door_close(door);
	PG_RETURN_VOID();
}
