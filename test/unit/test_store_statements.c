/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_store_statements.c - every declared statement against the rules of the house and against
 * SQLite's own reading of it; the two dialects' tables against each other.
 *
 * The PostgreSQL texts are prepared by a real server in the store suite (make check-store); here is what
 * can be said without one.
 */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "automation/store.h"

static sqlite3 *fresh;

static int
open_fresh(void **state)
{
	(void) state;
	assert_int_equal(sqlite3_open(":memory:", &fresh), SQLITE_OK);
	assert_int_equal(sqlite3_db_config(fresh, SQLITE_DBCONFIG_MAINDBNAME, "automation"), SQLITE_OK);
	assert_int_equal(sqlite3_db_config(fresh, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL), SQLITE_OK);
	if (sqlite3_exec(fresh, aut_store_schema(AUT_DIALECT_SQLITE), NULL, NULL, NULL) != SQLITE_OK)
	{
		fail_msg("schema: %s", sqlite3_errmsg(fresh));
		return -1;
	}
	return 0;
}

static int
close_fresh(void **state)
{
	(void) state;
	return sqlite3_close(fresh) == SQLITE_OK ? 0 : -1;
}

/* Does word stand in text as a word of its own? */
static bool
has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word))
	{
		bool starts = at == text || (!isalnum((unsigned char) at[-1]) && at[-1] != '_');

		if (starts && !isalnum((unsigned char) at[len]) && at[len] != '_')
			return true;
	}
	return false;
}

static void
check_parameters(const aut_stmt *stmt, const char *sql)
{
	bool seen[AUT_STMT_PARAMS_MAX + 1] = {false};
	size_t count = strlen(stmt->params);

	for (const char *at = strchr(sql, '$'); at != NULL; at = strchr(at + 1, '$'))
	{
		long number = strtol(at + 1, NULL, 10);

		if (number < 1 || number > (long) count)
			fail_msg("%s: $%ld is not declared", stmt->name, number);
		seen[number] = true;
	}
	for (size_t i = 1; i <= count; i++)
	{
		if (!seen[i])
			fail_msg("%s: $%zu is declared but not used", stmt->name, i);
	}
	if (strchr(sql, '?') != NULL)
		fail_msg("%s: a parameter without a number", stmt->name);
}

static void
check_text(const aut_stmt *stmt, const char *sql)
{
	check_parameters(stmt, sql);
	if (strchr(sql, ';') != NULL || strstr(sql, "--") != NULL)
		fail_msg("%s: more than one statement, or a comment that hides the rest", stmt->name);
	if (strstr(sql, "automation.") == NULL)
		fail_msg("%s: a table without its schema", stmt->name);
	/* whatever reads rows says how many at most; by text, so that a forgotten one is seen */
	if (strncmp(sql, "SELECT", 6) == 0 && !has_word(sql, "LIMIT") && !stmt->each)
		fail_msg("%s: a SELECT without LIMIT", stmt->name);
	if (stmt->columns[0] != '\0' && strncmp(sql, "SELECT", 6) != 0 && !has_word(sql, "RETURNING"))
		fail_msg("%s: columns, but nothing is returned", stmt->name);
}

static void
test_store__statements_keep_the_rules(void **state)
{
	static const char letters[] = "ildbtjxuT";
	size_t count = 0;
	const aut_stmt *stmt;

	(void) state;
	for (; (stmt = aut_store_statement(count)) != NULL; count++)
	{
		assert_non_null(stmt->name);
		assert_true(strspn(stmt->params, letters) == strlen(stmt->params));
		assert_true(strspn(stmt->columns, letters) == strlen(stmt->columns));
		assert_true(strlen(stmt->params) <= AUT_STMT_PARAMS_MAX);
		assert_true(strlen(stmt->columns) <= AUT_STMT_COLUMNS_MAX);
		if (stmt->sql != NULL)
		{
			assert_null(stmt->postgres);
			assert_null(stmt->sqlite);
			/* SQLite reads $1::uuid as another parameter, which is NULL */
			if (strstr(stmt->sql, "::") != NULL || has_word(stmt->sql, "CAST"))
				fail_msg("%s: a cast in a shared text", stmt->name);
			check_text(stmt, stmt->sql);
		}
		else
		{
			/* SQLite has nothing like the spans of output */
			assert_non_null(stmt->postgres);
			check_text(stmt, stmt->postgres);
			if (stmt->sqlite != NULL)
				check_text(stmt, stmt->sqlite);
		}
		for (size_t i = 0; i < count; i++)
			assert_string_not_equal(stmt->name, aut_store_statement(i)->name);
	}
	assert_true(count > 40);
	assert_null(aut_store_statement(count + 1000));
}

static void
test_store__sqlite_reads_what_is_declared(void **state)
{
	const aut_stmt *stmt;

	(void) state;
	for (size_t i = 0; (stmt = aut_store_statement(i)) != NULL; i++)
	{
		sqlite3_stmt *prepared = NULL;
		const char *sql = aut_stmt_sql(stmt, AUT_DIALECT_SQLITE);
		bool reads;

		if (sql == NULL)
			continue;
		reads = strncmp(sql, "SELECT", 6) == 0;
		if (sqlite3_prepare_v2(fresh, sql, -1, &prepared, NULL) != SQLITE_OK)
			fail_msg("%s: %s", stmt->name, sqlite3_errmsg(fresh));
		if (sqlite3_column_count(prepared) != (int) strlen(stmt->columns))
			fail_msg("%s: %d columns, declared %zu", stmt->name, sqlite3_column_count(prepared),
					 strlen(stmt->columns));
		assert_int_equal(sqlite3_bind_parameter_count(prepared), strlen(stmt->params));
		assert_int_equal(sqlite3_stmt_readonly(prepared) != 0, reads);
		sqlite3_finalize(prepared);
	}
}

/* The declared type of a result column that is a table's column is that column's type. */
static void
test_store__columns_are_of_the_declared_types(void **state)
{
	const aut_stmt *stmt;

	(void) state;
	for (size_t i = 0; (stmt = aut_store_statement(i)) != NULL; i++)
	{
		sqlite3_stmt *prepared = NULL;

		if (aut_stmt_sql(stmt, AUT_DIALECT_SQLITE) == NULL)
			continue;
		assert_int_equal(
			sqlite3_prepare_v2(fresh, aut_stmt_sql(stmt, AUT_DIALECT_SQLITE), -1, &prepared, NULL),
			SQLITE_OK);
		for (int k = 0; k < sqlite3_column_count(prepared); k++)
		{
			const char *type = sqlite3_column_decltype(prepared, k);
			char letter = stmt->columns[k];
			const char *wanted = letter == 't' || letter == 'j'   ? "TEXT"
								 : letter == 'x' || letter == 'u' ? "BLOB"
								 : letter == 'd'                  ? "REAL"
																  : "INTEGER";

			if (type != NULL && strcmp(type, wanted) != 0)
				fail_msg("%s: column %d is %s, declared '%c'", stmt->name, k + 1, type, letter);
		}
		sqlite3_finalize(prepared);
	}
}

/* ---- plans ------------------------------------------------------------------------------------- */

static const aut_stmt *
find(const char *name)
{
	const aut_stmt *stmt;

	for (size_t i = 0; (stmt = aut_store_statement(i)) != NULL; i++)
	{
		if (strcmp(stmt->name, name) == 0)
			return stmt;
	}
	fail_msg("no statement %s", name);
	return NULL;
}

static void
plan_of(const aut_stmt *stmt, char *out, size_t size)
{
	char sql[4096];
	sqlite3_stmt *prepared = NULL;
	size_t len = 0;

	snprintf(sql, sizeof(sql), "EXPLAIN QUERY PLAN %s", aut_stmt_sql(stmt, AUT_DIALECT_SQLITE));
	assert_int_equal(sqlite3_prepare_v2(fresh, sql, -1, &prepared, NULL), SQLITE_OK);
	out[0] = '\0';
	while (sqlite3_step(prepared) == SQLITE_ROW && len < size)
		len += (size_t) snprintf(out + len, size - len, "%s\n", sqlite3_column_text(prepared, 3));
	assert_true(len < size);
	sqlite3_finalize(prepared);
}

/* Costs grow with what is asked for, never with the number of automations or of old runs. */
static void
test_store__hot_statements_use_their_index(void **state)
{
	static const struct
	{
		const char *name;
		const char *index;
	} wanted[] = {
		{"run_claim", "run_ready_idx"},
		{"run_next_ready", "run_ready_idx"},
		{"run_ready_head", "run_ready_idx"},
		{"run_claim_inline", "run_inline_idx"},
		{"run_next_ready_inline", "run_inline_idx ((ready_at,id)>(?,?))"},
		{"run_inline", "run_status_idx (automation_id=? AND status=?)"},
		{"run_held", "run_held_idx"},
		{"run_adopt", "run_held_idx"},
		{"run_list", "run_newest_idx"},
		{"run_list_org", "autoindex_run_1"},
		{"run_list_after", "run_newest_idx (automation_id=? AND id<?)"},
		{"run_list_org_after", "autoindex_run_1 (id<?)"},
		{"run_counts", "run_status_idx (automation_id=? AND status=?)"},
		{"run_counts", "run_tally USING PRIMARY KEY (automation_id=?)"},
		{"run_skip_pending", "run_status_idx"},
		{"run_cleanup_take", "run_cleanup_idx"},
		{"run_next_cleanup", "run_cleanup_idx"},
		{"run_get", "autoindex_run_1"},
		{"run_finish", "autoindex_run_1"},
		{"run_task", "autoindex_run_1"},
		{"run_ended_newest", "run_status_idx (automation_id=? AND status=? AND id>?)"},
		{"run_wait_next", "run_ready_idx"},
		{"run_old", "autoindex_run_1 (id<?)"},
		{"run_beyond", "run_newest_idx (automation_id=? AND id<?)"},
		{"automation_crowded", "autoindex_automation_1 (id>?)"},
		{"automation_crowded", "run_newest_idx (automation_id=?)"},
		{"automation_get", "run_manual_idx (automation_id=?)"},
		{"automation_list", "run_manual_idx (automation_id=?)"},
		{"run_remember", "run_manual_idx (automation_id=? AND created_at>?)"},
		{"upload_forget", "upload_deleted_idx"},
		{"gap_forget", "gap_created_idx"},
		{"dedupe_forget", "dedupe_expires_idx"},
		{"disable_event_forget", "autoindex_disable_event_1 (id<?)"},
		{"disable_event_forget", "disable_event_newest_idx (automation_id=? AND created_at>?)"},
		{"disable_event_newest", "disable_event_newest_idx"},
		{"schedule_due", "schedule_next_fire_idx"},
		{"schedule_due_latest", "schedule_next_fire_idx (next_fire_at>? AND next_fire_at<?)"},
		{"schedule_next", "schedule_next_fire_idx"},
		{"schedule_advance", "PRIMARY KEY"},
		{"automation_get", "autoindex_automation_1"},
		{"automation_list", "automation_org_created_idx"},
		{"automation_list_after",
		 "automation_org_created_idx (org_id=? AND (created_at,id)<(?,?))"},
		{"automation_count", "automation_org_"},
		{"automation_by_name", "automation_org_name_idx"},
		{"upload_list", "upload_newest_idx"},
		{"upload_list_after", "upload_newest_idx (org_id=? AND user_id=? AND created_at<?)"},
		{"object_due", "upload_object_idx"},
		{"object_next", "upload_object_idx"},
		{"upload_old", "upload_live_idx"},
		{"upload_used", "automation_tarball_idx (<expr>=?)"},
		{"upload_used", "run_status_idx (automation_id=? AND status=?)"},
		{"output_read", "autoindex_run_output_1"},
		{"output_trim", "autoindex_run_output_1"},
		{"sandbox_of_run", "sandbox_run_idx"},
		{"sandbox_due", "sandbox_due_idx"},
		{"sandbox_next_due", "sandbox_due_idx"},
		{"event_get", "autoindex_event_1"},
		{"event_list", "event_newest_idx (org_id=? AND id<?)"},
		{"event_runs", "run_event_idx (trigger_event_id=?)"},
		{"event_forget", "autoindex_event_1 (id<?)"},
		{"trigger_delete", "event_trigger_automation_idx (automation_id=?)"},
		{"trigger_touch", "event_trigger_automation_idx (automation_id=?)"},
		{"trigger_find",
		 "PRIMARY KEY (org_id=? AND source=? AND scope=? AND path=? AND literal=? AND "
		 "automation_id>?)"},
		{"trigger_next_path", "PRIMARY KEY (org_id=? AND source=? AND scope=? AND path>?)"},
		{"trigger_beyond", "PRIMARY KEY (org_id=? AND source=? AND scope=? AND path>?)"},
		{"trigger_definition", "autoindex_automation_1 (id=?)"},
		{"webhook_by_source", "custom_webhook_source_idx (org_id=? AND source=?)"},
		{"webhook_list", "custom_webhook_newest_idx"},
		{"webhook_list_after", "custom_webhook_newest_idx (org_id=? AND (created_at,id)<(?,?))"},
	};
	static const char *const may_sort[] = {"upload_list", "upload_list_after", "run_cleanup_take",
										   "sandbox_of_run", "sandbox_due"};
	char plan[2048];

	(void) state;
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
	{
		bool sorts = false;

		plan_of(find(wanted[i].name), plan, sizeof(plan));
		if (strstr(plan, wanted[i].index) == NULL)
			fail_msg("%s does not use %s:\n%s", wanted[i].name, wanted[i].index, plan);
		for (size_t k = 0; k < sizeof(may_sort) / sizeof(may_sort[0]); k++)
			sorts = sorts || strcmp(may_sort[k], wanted[i].name) == 0;
		if (!sorts && strstr(plan, "TEMP B-TREE") != NULL)
			fail_msg("%s sorts:\n%s", wanted[i].name, plan);
	}
}

/* ---- tables ------------------------------------------------------------------------------------ */

/* "table: column column …" of every CREATE TABLE, and the names of all indices.  A partition is its table:
 * PostgreSQL has a primary key there.  What follows the tables is PostgreSQL's alone. */
static void
outline(const char *schema, char *out, size_t size)
{
	size_t len = 0;
	const char *next;

	out[0] = '\0';
	for (const char *line = schema;
		 *line != '\0' && len < size && strncmp(line, "CREATE FUNCTION", 15) != 0; line = next)
	{
		char word[64] = "";

		next = strchr(line, '\n');
		next = next == NULL ? line + strlen(line) : next + 1;
		if (strncmp(line, "CREATE TABLE", 12) == 0 &&
			memmem(line, (size_t) (next - line), " PARTITION OF ", 14) != NULL)
			continue;
		if (sscanf(line, "CREATE TABLE automation.%63[a-z_]", word) == 1)
			len += (size_t) snprintf(out + len, size - len, "\n%s:", word);
		else if (strncmp(line, "    PRIMARY KEY", 15) == 0)
			len += (size_t) snprintf(out + len, size - len, " %.*s", (int) strcspn(line + 4, "\n"),
									 line + 4);
		else if (sscanf(line, "    %63[a-z_]", word) == 1)
			len += (size_t) snprintf(out + len, size - len, " %s", word);
		else if (sscanf(line, "CREATE INDEX automation.%63[a-z_]", word) == 1 ||
				 sscanf(line, "CREATE UNIQUE INDEX automation.%63[a-z_]", word) == 1 ||
				 sscanf(line, "CREATE UNIQUE INDEX %63[a-z_]", word) == 1 ||
				 sscanf(line, "CREATE INDEX %63[a-z_]", word) == 1)
		{
			const char *columns = strchr(line, '(');

			len += (size_t) snprintf(out + len, size - len, "\nindex %s %.*s", word,
									 columns == NULL ? 0 : (int) strcspn(columns, ")"),
									 columns == NULL ? "" : columns);
		}
	}
	assert_true(len < size);
}

static void
test_store__both_dialects_have_the_same_tables(void **state)
{
	static char postgres[8192];
	static char sqlite[8192];
	char *meta;

	(void) state;
	outline(aut_store_schema(AUT_DIALECT_POSTGRES), postgres, sizeof(postgres));
	outline(aut_store_schema(AUT_DIALECT_SQLITE), sqlite, sizeof(sqlite));
	meta = strstr(sqlite, "\nmeta:"); /* SQLite's alone, and the last one */
	assert_non_null(meta);
	*meta = '\0';
	assert_string_equal(postgres, sqlite);
}

static void
test_store__extension_has_these_tables(void **state)
{
	static char text[65536];
	FILE *file = fopen("extension/schema.sql", "r");
	const char *tables = text;
	size_t len;

	(void) state;
	assert_non_null(file);
	len = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[len] = '\0';
	while (strncmp(tables, "--", 2) == 0) /* the head says where it comes from */
		tables = strchr(tables, '\n') + 1;
	if (strcmp(tables, aut_store_schema(AUT_DIALECT_POSTGRES)) != 0)
		fail_msg("extension/schema.sql differs from core/store/schema.c: run make schema-sql");
}

static void
test_store__run_statuses_have_one_name_each(void **state)
{
	(void) state;
	for (int i = 0; i < AUT_RUN_STATUS_COUNT; i++)
	{
		aut_run_status back;

		assert_true(aut_run_status_parse(aut_run_status_name((aut_run_status) i), &back));
		assert_int_equal(back, i);
		assert_int_equal(aut_run_status_terminal(back), i >= AUT_RUN_COMPLETED);
	}
	assert_false(aut_run_status_parse("pending", &(aut_run_status){0}));
	assert_false(aut_run_status_parse(NULL, &(aut_run_status){0}));
	assert_string_equal(aut_run_status_name((aut_run_status) 77), "UNKNOWN");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_store__statements_keep_the_rules),
		cmocka_unit_test(test_store__sqlite_reads_what_is_declared),
		cmocka_unit_test(test_store__columns_are_of_the_declared_types),
		cmocka_unit_test(test_store__hot_statements_use_their_index),
		cmocka_unit_test(test_store__both_dialects_have_the_same_tables),
		cmocka_unit_test(test_store__extension_has_these_tables),
		cmocka_unit_test(test_store__run_statuses_have_one_name_each),
	};

	return cmocka_run_group_tests(tests, open_fresh, close_fresh);
}
