/* SPDX-License-Identifier: MIT */
/*
 * test/store/suite_objects.c - uploads whose bytes are outside of the database, and uploads nobody uses.
 */
#include <stdio.h>
#include <string.h>

#include "test/store/store_suite.h"

#define AGAIN (SUITE_NOW + 60 * SECOND)

static aut_uuid
insert(suite *s, const char *store, const char *state, int64_t created_at)
{
	aut_upload upload = {.id = suite_id(s),
						 .org_id = s->org,
						 .user_id = s->user,
						 .name = "u",
						 .status = state,
						 .size_bytes = 1,
						 .created_at = created_at,
						 .updated_at = created_at,
						 .deleted_at = AUT_TIME_NONE,
						 .store = store,
						 .object_due_at =
							 strcmp(state, "UPLOADING") == 0 ? SUITE_NOW + SECOND : AUT_TIME_NONE};
	bool inside = store == NULL;

	EXPECT_OK(
		aut_store_upload_insert(s->db, &upload, inside ? "x" : NULL, inside ? 1 : 0, &s->error));
	return upload.id;
}

static void
expect(suite *s, const aut_uuid *id, const char *state, int64_t due)
{
	aut_upload_list list = {0};

	EXPECT_OK(aut_store_upload_get(s->db, id, &list, &s->error));
	if (list.count == 1)
	{
		EXPECT_TEXT(state, list.items[0].status);
		EXPECT_INT(due, list.items[0].object_due_at);
	}
	aut_upload_list_done(&list);
}

static int64_t
due(suite *s, int64_t now)
{
	aut_upload_list list = {0};
	int64_t count;

	EXPECT_OK(aut_store_objects_due(s->db, now, AGAIN, 10, &list, &s->error));
	count = (int64_t) list.count;
	aut_upload_list_done(&list);
	return count;
}

static void
an_object_is_seen_to_until_its_end_is_known(suite *s)
{
	aut_uuid good = insert(s, "s3", "UPLOADING", SUITE_NOW);
	aut_uuid bad = insert(s, "local", "UPLOADING", SUITE_NOW);
	aut_uuid lost = insert(s, "gcs", "UPLOADING", SUITE_NOW);
	aut_uuid gone = insert(s, "s3", "UPLOADING", SUITE_NOW);
	int64_t next = 0, count = 0;

	EXPECT_INT(0, due(s, SUITE_NOW));
	EXPECT_OK(aut_store_objects_next(s->db, &next, &s->error));
	EXPECT_INT(SUITE_NOW + SECOND, next);
	EXPECT_OK(aut_store_upload_settle(s->db, &good, NULL, 7, SUITE_NOW, &s->error));
	expect(s, &good, "COMPLETED", AUT_TIME_NONE);
	EXPECT_OK(aut_store_upload_settle(s->db, &bad, "no", 7, SUITE_NOW, &s->error));
	expect(s, &bad, "FAILED", SUITE_NOW);
	/* deleted while it was written */
	EXPECT_OK(aut_store_upload_delete(s->db, &gone, SUITE_NOW, &s->error));
	EXPECT_OK(aut_store_upload_settle(s->db, &gone, NULL, 7, SUITE_NOW + 1, &s->error));
	expect(s, &gone, "COMPLETED", SUITE_NOW + 1);

	/* what failed, what was deleted, and what nobody finished */
	EXPECT_INT(3, due(s, SUITE_NOW + SECOND));
	EXPECT_INT(0, due(s, SUITE_NOW + SECOND));
	expect(s, &lost, "FAILED", AGAIN);
	EXPECT_INT(3, due(s, AGAIN));
	EXPECT_OK(aut_store_object_done(s->db, &lost, AGAIN - 1, &s->error)); /* another's word */
	expect(s, &lost, "FAILED", AGAIN);
	EXPECT_OK(aut_store_object_done(s->db, &lost, AGAIN, &s->error));
	expect(s, &lost, "FAILED", AUT_TIME_NONE);
	/* its writer comes after all */
	EXPECT_OK(aut_store_upload_settle(s->db, &lost, NULL, 7, SUITE_NOW + 2, &s->error));
	expect(s, &lost, "FAILED", SUITE_NOW + 2);

	/* the record stays as long as there may be an object */
	EXPECT_OK(aut_store_forget_uploads(s->db, SUITE_NOW + SECOND, 10, &count, &s->error));
	EXPECT_INT(0, count);
	EXPECT_OK(aut_store_object_done(s->db, &gone, AGAIN, &s->error));
	EXPECT_OK(aut_store_forget_uploads(s->db, SUITE_NOW + SECOND, 10, &count, &s->error));
	EXPECT_INT(1, count);
	EXPECT_OK(aut_store_upload_delete(s->db, &good, SUITE_NOW + 3, &s->error));
	expect(s, &good, "COMPLETED", SUITE_NOW + 3);
}

/* An automation that runs that upload, written in capitals. */
static aut_uuid
user_of(suite *s, const char *name, const aut_uuid *upload_id, int64_t deleted_at)
{
	aut_automation a = suite_automation(s, name);
	char text[AUT_UUID_TEXT_MAX], path[80];

	aut_uuid_format(upload_id, text);
	for (char *p = text; *p != '\0'; p++)
		*p = *p >= 'a' && *p <= 'f' ? (char) (*p - 'a' + 'A') : *p;
	(void) snprintf(path, sizeof(path), "oh-internal://uploads/%s", text);
	a.tarball_path = path;
	a.deleted_at = deleted_at;
	EXPECT_OK(aut_store_automation_insert(s->db, &a, &s->error));
	return a.id;
}

static bool
is_deleted(suite *s, const aut_uuid *id)
{
	aut_upload_list list = {0};
	bool deleted;

	EXPECT_OK(aut_store_upload_get(s->db, id, &list, &s->error));
	deleted = list.count == 1 && list.items[0].deleted_at != AUT_TIME_NONE;
	aut_upload_list_done(&list);
	return deleted;
}

static void
only_unused_uploads_go(suite *s)
{
	aut_uuid used = insert(s, NULL, "COMPLETED", SUITE_NOW - 9);
	aut_uuid waited_for = insert(s, NULL, "COMPLETED", SUITE_NOW - 8);
	aut_uuid left = insert(s, NULL, "COMPLETED", SUITE_NOW - 7);
	aut_uuid outside = insert(s, "s3", "COMPLETED", SUITE_NOW - 6);
	aut_uuid busy = insert(s, "s3", "UPLOADING", SUITE_NOW - 5);
	aut_uuid failed = insert(s, NULL, "FAILED", SUITE_NOW - 4);
	aut_uuid young = insert(s, NULL, "COMPLETED", SUITE_NOW);
	aut_row_place after = {0};
	aut_rows data = {0};
	int64_t count = 0, total = 0;
	bool more = true;
	aut_uuid a, run;

	(void) user_of(s, "used", &used, AUT_TIME_NONE);
	(void) user_of(s, "left", &left, SUITE_NOW);
	a = user_of(s, "waited for", &waited_for, SUITE_NOW);
	run = suite_insert_run(s, &a, SUITE_NOW);

	for (int i = 0; i < 10 && more; i++)
	{
		EXPECT_OK(aut_store_delete_unused_uploads(s->db, SUITE_NOW, SUITE_NOW + 1, &after, 2,
												  &count, &more, &s->error));
		total += count;
	}
	EXPECT_INT(3, total);
	EXPECT(!is_deleted(s, &used) && !is_deleted(s, &waited_for) && !is_deleted(s, &busy) &&
		   !is_deleted(s, &young));
	EXPECT(is_deleted(s, &left) && is_deleted(s, &outside) && is_deleted(s, &failed));
	expect(s, &outside, "COMPLETED", SUITE_NOW + 1);
	EXPECT_STATUS(AUT_ENOTFOUND, aut_store_upload_data(s->db, &left, &data, &s->error));
	EXPECT_OK(aut_store_upload_hold(s->db, &used, &s->error));

	/* the last run of the deleted automation has ended */
	{
		aut_run_end end = {.id = run,
						   .status = AUT_RUN_CANCELLED,
						   .from_pending = true,
						   .completed_at = SUITE_NOW,
						   .cleanup_at = AUT_TIME_NONE};
		bool won = false;

		EXPECT_OK(aut_store_run_finish(s->db, &end, &won, &s->error));
		EXPECT(won);
	}
	after = (aut_row_place){0};
	EXPECT_OK(aut_store_delete_unused_uploads(s->db, SUITE_NOW, SUITE_NOW + 1, &after, 10, &count,
											  &more, &s->error));
	EXPECT_INT(1, count);
	EXPECT(is_deleted(s, &waited_for) && !more);
}

#define TEST(name)                                                                                 \
	{                                                                                              \
#name, name, false                                                                         \
	}

const suite_test suite_object_tests[] = {
	TEST(an_object_is_seen_to_until_its_end_is_known),
	TEST(only_unused_uploads_go),
	{NULL, NULL, false},
};
