/* SPDX-License-Identifier: MIT */
/*
 * test/store/store_suite.h - the contract every database driver fulfils, as a list of tests.
 *
 * The same source runs over SQLite in a test program and over both SPI handles inside a PostgreSQL
 * server, so it uses no test library and never exits: each test ends in a report.
 */
#ifndef AUT_STORE_SUITE_H
#define AUT_STORE_SUITE_H

#include "automation/store.h"

/* The handle lives inside somebody's transaction: it may not begin, and an error is final. */
#define AUT_SUITE_DOOR 1

typedef void (*aut_suite_report)(void *payload, const char *name, bool passed, const char *detail);

/* Run all tests over an empty store, which is empty again afterwards.  Returns how many failed. */
int aut_store_suite(aut_db *db, unsigned flags, aut_suite_report report, void *payload);

/* ---- between the suite's files ---------------------------------------------------------------- */

typedef struct suite
{
	aut_db *db;
	unsigned flags;
	bool failed;
	char detail[800];
	aut_error error; /* of the last call */
	aut_uuid org, user;
	uint64_t next_id;
} suite;

typedef struct suite_test
{
	const char *name;
	void (*run)(suite *s);
	bool needs_transactions;
} suite_test;

extern const suite_test suite_rows_tests[];    /* tables and their statements */
extern const suite_test suite_runs_tests[];    /* the same of runs */
extern const suite_test suite_policy_tests[];  /* dedupe keys, switching off, retention */
extern const suite_test suite_sandbox_tests[]; /* the ledger of cloud sandboxes */
extern const suite_test suite_webhook_tests[]; /* custom webhooks */
extern const suite_test suite_event_tests[];   /* events, and the index over triggers */
extern const suite_test suite_object_tests[];  /* uploads outside of the database */
extern const suite_test suite_driver_tests[];  /* values, errors, transactions, turns */

/* The first failure of a test is its detail. */
void suite_fail(suite *s, const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#define EXPECT(condition)                                                                          \
	do                                                                                             \
	{                                                                                              \
		if (!(condition))                                                                          \
			suite_fail(s, __FILE__, __LINE__, "%s", #condition);                                   \
	} while (0)
#define EXPECT_STATUS(wanted, call)                                                                \
	do                                                                                             \
	{                                                                                              \
		s->error = (aut_error) AUT_ERROR_INIT;                                                     \
		aut_status got_ = (call);                                                                  \
		if (got_ != (wanted))                                                                      \
			suite_fail(s, __FILE__, __LINE__, "%s: %s (%s), wanted %s", #call,                     \
					   aut_status_name(got_), s->error.message, aut_status_name(wanted));          \
	} while (0)
#define EXPECT_OK(call)          EXPECT_STATUS(AUT_OK, call)
#define EXPECT_TEXT(wanted, got) suite_text(s, __FILE__, __LINE__, #got, wanted, got)
#define EXPECT_INT(wanted, got)  suite_int(s, __FILE__, __LINE__, #got, wanted, got)
#define EXPECT_ID(wanted, got)                                                                     \
	do                                                                                             \
	{                                                                                              \
		aut_uuid wanted_ = (wanted);                                                               \
		aut_uuid got_ = (got);                                                                     \
		if (!aut_uuid_equal(&wanted_, &got_))                                                      \
			suite_fail(s, __FILE__, __LINE__, "%s is another id", #got);                           \
	} while (0)

void suite_text(suite *s, const char *file, int line, const char *what, const char *wanted,
				const char *got);
void suite_int(suite *s, const char *file, int line, const char *what, int64_t wanted, int64_t got);

/* Ids that increase, like version 7 ones. */
aut_uuid suite_id(suite *s);
/* A valid active event automation of the suite's org with that name. */
aut_automation suite_automation(suite *s, const char *name);
/* Insert one and return its id. */
aut_uuid suite_insert_automation(suite *s, const char *name);
/* Insert a manual run that is ready at ready_at and return its id. */
aut_uuid suite_insert_run(suite *s, const aut_uuid *automation_id, int64_t ready_at);
/* The run's row; done by the caller with aut_run_list_done. */
const aut_run *suite_run(suite *s, const aut_uuid *id, aut_run_list *list);
int64_t suite_count(suite *s, const aut_stmt *count_stmt);

/* 2026-07-01T00:00:00Z, the suite's "now"; it reads no clock. */
#define SUITE_NOW INT64_C(1782864000000000)
#define SECOND    AUT_US_PER_S

#endif
