/* SPDX-License-Identifier: MIT */
/*
 * test/store/suite_webhooks.c - custom webhooks.
 */
#include <string.h>

#include "automation/webhooks.h"
#include "test/store/store_suite.h"

static const aut_stmt delete_webhooks = {
	.name = "suite_delete_webhooks",
	.params = "",
	.columns = "",
	.sql = "DELETE FROM automation.custom_webhook",
};

static aut_webhook
webhook(suite *s, const char *source, int64_t at)
{
	return (aut_webhook){
		.id = suite_id(s),
		.org_id = s->org,
		.owner = "ann",
		.name = "orders",
		.source = source,
		.event_key_expr = "type",
		.signature_header = "X-Signature-256",
		.signature_scheme = "hmac_sha256_hex",
		.event_id_header = "X-Id",
		.enabled = true,
		.secret = "\0sealed\xff",
		.secret_len = 8,
		.created_at = at,
		.updated_at = at,
	};
}

static void
a_webhook_is_found_by_its_source(suite *s)
{
	aut_webhook one = webhook(s, "orders", SUITE_NOW);
	aut_webhook foreign = webhook(s, "orders", SUITE_NOW);
	aut_webhook again = webhook(s, "orders", SUITE_NOW);
	aut_webhook_list list = {0};

	foreign.org_id = suite_id(s);
	EXPECT_OK(aut_store_webhook_insert(s->db, &one, &s->error));
	EXPECT_OK(aut_store_webhook_insert(s->db, &foreign, &s->error));
	/* the transaction is fine afterwards */
	EXPECT_STATUS(AUT_EUNIQUE, aut_store_webhook_insert(s->db, &again, &s->error));
	EXPECT_OK(aut_store_webhook_by_source(s->db, &s->org, "orders", &list, &s->error));
	EXPECT_INT(1, (int64_t) list.count);
	if (list.count == 1)
	{
		const aut_webhook *got = &list.items[0];

		EXPECT_ID(one.id, got->id);
		EXPECT_ID(s->org, got->org_id);
		EXPECT_TEXT("ann", got->owner);
		EXPECT_TEXT("orders", got->name);
		EXPECT_TEXT("type", got->event_key_expr);
		EXPECT_TEXT("X-Signature-256", got->signature_header);
		EXPECT_TEXT("hmac_sha256_hex", got->signature_scheme);
		EXPECT_TEXT("X-Id", got->event_id_header);
		EXPECT(got->enabled);
		EXPECT(got->secret_len == 8 && memcmp(got->secret, "\0sealed\xff", 8) == 0);
		EXPECT_INT(SUITE_NOW, got->created_at);
	}
	aut_webhook_list_done(&list);
	EXPECT_STATUS(AUT_ENOTFOUND,
				  aut_store_webhook_by_source(s->db, &s->org, "other", &list, &s->error));
	EXPECT_OK(aut_db_run(s->db, &delete_webhooks, NULL, NULL, NULL, &s->error));
}

static void
a_webhook_is_changed_and_deleted_within_its_organization(suite *s)
{
	aut_webhook one = webhook(s, "orders", SUITE_NOW);
	aut_webhook changed = one;
	aut_uuid other = suite_id(s);
	aut_webhook_list list = {0};
	bool won = true;

	EXPECT_OK(aut_store_webhook_insert(s->db, &one, &s->error));
	changed.name = "bills";
	changed.event_key_expr = "kind";
	changed.signature_header = "X-Sig";
	changed.signature_scheme = NULL;
	changed.event_id_header = NULL;
	changed.enabled = false;
	changed.updated_at = SUITE_NOW + SECOND;
	EXPECT_OK(aut_store_webhook_update(s->db, &changed, &s->error));
	EXPECT_OK(
		aut_store_webhook_secret(s->db, &one.id, "new", 3, SUITE_NOW + 2 * SECOND, &s->error));
	EXPECT_OK(aut_store_webhook_get(s->db, &s->org, &one.id, &list, &s->error));
	if (list.count == 1)
	{
		EXPECT_TEXT("bills", list.items[0].name);
		EXPECT_TEXT("kind", list.items[0].event_key_expr);
		EXPECT_TEXT("X-Sig", list.items[0].signature_header);
		EXPECT_TEXT(NULL, list.items[0].signature_scheme);
		EXPECT_TEXT(NULL, list.items[0].event_id_header);
		EXPECT_TEXT("orders", list.items[0].source);
		EXPECT(!list.items[0].enabled);
		EXPECT(list.items[0].secret_len == 3 && memcmp(list.items[0].secret, "new", 3) == 0);
		EXPECT_INT(SUITE_NOW + 2 * SECOND, list.items[0].updated_at);
	}
	aut_webhook_list_done(&list);

	EXPECT_STATUS(AUT_ENOTFOUND, aut_store_webhook_get(s->db, &other, &one.id, &list, &s->error));
	changed.org_id = other;
	EXPECT_STATUS(AUT_ENOTFOUND, aut_store_webhook_update(s->db, &changed, &s->error));
	EXPECT_OK(aut_store_webhook_delete(s->db, &other, &one.id, &won, &s->error));
	EXPECT(!won);
	EXPECT_OK(aut_store_webhook_delete(s->db, &s->org, &one.id, &won, &s->error));
	EXPECT(won);
}

static void
webhooks_are_listed_newest_first(suite *s)
{
	static const char *const sources[] = {"a", "b", "c", "d"};
	aut_webhook_list list = {0};
	aut_row_place after = {0};
	int64_t total = 0;

	for (int i = 0; i < 4; i++)
	{
		/* two of one time: the id decides */
		aut_webhook one = webhook(s, sources[i], SUITE_NOW + (i / 2) * SECOND);

		EXPECT_OK(aut_store_webhook_insert(s->db, &one, &s->error));
	}
	EXPECT_OK(aut_store_webhook_list(s->db, &s->org, 2, 1, &list, &total, &s->error));
	EXPECT_INT(4, total);
	EXPECT_INT(2, (int64_t) list.count);
	if (list.count == 2)
	{
		EXPECT_TEXT("c", list.items[0].source);
		EXPECT_TEXT("b", list.items[1].source);
		after = (aut_row_place){list.items[1].created_at, list.items[1].id};
	}
	aut_webhook_list_done(&list);
	EXPECT_OK(aut_store_webhook_list_after(s->db, &s->org, &after, 10, &list, &s->error));
	EXPECT_INT(1, (int64_t) list.count);
	if (list.count == 1)
		EXPECT_TEXT("a", list.items[0].source);
	aut_webhook_list_done(&list);
	EXPECT_STATUS(AUT_EINVAL,
				  aut_store_webhook_list(s->db, &s->org, -1, 0, &list, NULL, &s->error));
	EXPECT_OK(aut_db_run(s->db, &delete_webhooks, NULL, NULL, NULL, &s->error));
}

const suite_test suite_webhook_tests[] = {
	{"a_webhook_is_found_by_its_source", a_webhook_is_found_by_its_source, false},
	{"a_webhook_is_changed_and_deleted_within_its_organization",
	 a_webhook_is_changed_and_deleted_within_its_organization, false},
	{"webhooks_are_listed_newest_first", webhooks_are_listed_newest_first, false},
	{NULL, NULL, false},
};
