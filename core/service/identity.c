/* SPDX-License-Identifier: MIT */
/*
 * core/service/identity.c - who calls, what they may, and the call itself.
 *
 * Permissions are levels over an identity (http-api.md section 2); every service asks for its level
 * before it says anything about what exists.  To somebody from another organization the answer is "not
 * found", word for word as for what never was, so that nothing can be inferred from it.
 */
#include <string.h>

#include "core/service/internal.h"

/* UUIDv5(DNS, "openhands-local-user") and (DNS, "openhands-local-org"): constants, so that asking who
 * the local user is cannot fail.  A test derives them again. */
static const aut_identity LOCAL = {
	.user_id = {{0xc1, 0xa9, 0x6d, 0x89, 0xea, 0xe7, 0x53, 0xbd, 0x86, 0xad, 0x07, 0xf2, 0x62, 0x66,
				 0x40, 0x2b}},
	.org_id = {{0x46, 0xd0, 0x9c, 0x5c, 0x7d, 0x7d, 0x58, 0x5f, 0x8c, 0x37, 0xa6, 0xb4, 0x5a, 0x3d,
				0xe7, 0x38}},
	.email = "local@localhost",
	.role = "admin",
	.view = true,
	.manage = true,
	.db_role = NULL,
};

const aut_identity *
aut_identity_local(void)
{
	return &LOCAL;
}

const aut_identity *
aut_identity_run(void)
{
	/* nobody's: of no organization, and with no right but to see, which every call asks for */
	static const aut_identity RUN = {.role = "run", .view = true, .itself = true};

	return &RUN;
}

aut_status
aut_identity_for_role(const char *role, aut_identity *out, aut_error *err)
{
	aut_identity made = {.org_id = LOCAL.org_id, .view = true, .manage = false, .db_role = role};
	aut_status status;
	char *name;

	if (role == NULL || role[0] == '\0')
		return aut_fail(err, AUT_EINVAL, "a database role must have a name");
	name = aut_printf("automation-role:%s", role);
	if (name == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for an identity");
	status = aut_uuid_v5(&AUT_UUID_NAMESPACE_DNS, name, strlen(name), &made.user_id, err);
	if (status == AUT_OK)
		*out = made;
	aut_free(name);
	return status;
}

/* ---- call ----------------------------------------------------------------------------------- */

void
aut_call_init(aut_call *call, aut_db *db, const aut_settings *settings, const aut_identity *who,
			  int64_t now_us)
{
	*call = (aut_call){.db = db, .settings = settings, .who = who, .now_us = now_us};
}

void
aut_call_done(aut_call *call)
{
	if (call == NULL)
		return;
	json_decref(call->problems);
	call->problems = NULL;
}

/* ---- levels --------------------------------------------------------------------------------- */

aut_status
aut__may_view(const aut_call *call, aut_error *err)
{
	if (call->who->view)
		return AUT_OK;
	return aut_fail(err, AUT_EDENIED, "Permission view_automations is required");
}

aut_status
aut__may_manage(const aut_call *call, aut_error *err)
{
	aut_status status = aut__may_view(call, err);

	if (status != AUT_OK || call->who->manage)
		return status;
	return aut_fail(err, AUT_EDENIED, "Permission manage_automations is required");
}

aut_status
aut__may_act(const aut_call *call, const aut_uuid *creator, aut_error *err)
{
	aut_status status = aut__may_view(call, err);

	if (status != AUT_OK || call->who->manage || aut_uuid_equal(&call->who->user_id, creator))
		return status;
	return aut_fail(err, AUT_EDENIED,
					"Only the creator of this automation, or somebody with permission "
					"manage_automations, may do that");
}

aut_status
aut__is_owner(const aut_call *call, const aut_run_task *task, aut_error *err)
{
	const aut_identity *who = call->who;
	bool creator = aut_uuid_equal(&who->user_id, &task->user_id);
	/* The operator may report for the runs of database roles, too. */
	bool local = task->owner != NULL && aut_uuid_equal(&who->user_id, &LOCAL.user_id);
	aut_status status = aut__may_view(call, err);

	if (status != AUT_OK || who->itself)
		return status;
	if (!aut_uuid_equal(&who->org_id, &task->org_id))
		return aut_fail(err, AUT_ENOTFOUND, "Run not found");
	if (creator || local)
		return status;
	return aut_fail(err, AUT_EDENIED, "This run belongs to somebody else");
}

/* ---- what several services need -------------------------------------------------------------- */

aut_status
aut__page_check(aut_call *call, int64_t limit, int64_t offset, aut_error *err)
{
	aut__problems problems = {0};
	aut__loc at_limit = {&AUT__QUERY, "limit", 0};
	aut__loc at_offset = {&AUT__QUERY, "offset", 0};
	json_t *input =
		json_pack("{s:I, s:I}", "limit", (json_int_t) limit, "offset", (json_int_t) offset);

	if (limit < 1)
		aut__problem(&problems, &at_limit, "greater_than_equal", json_object_get(input, "limit"),
					 json_pack("{s:i}", "ge", 1), "Input should be greater than or equal to 1");
	if (limit > 100)
		aut__problem(&problems, &at_limit, "less_than_equal", json_object_get(input, "limit"),
					 json_pack("{s:i}", "le", 100), "Input should be less than or equal to 100");
	if (offset < 0)
		aut__problem(&problems, &at_offset, "greater_than_equal", json_object_get(input, "offset"),
					 json_pack("{s:i}", "ge", 0), "Input should be greater than or equal to 0");
	json_decref(input);
	return aut__problems_status(&problems, &call->problems, err);
}

aut_status
aut__give(json_t *take_made, json_t **out, aut_error *err)
{
	if (take_made == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for an answer");
	*out = take_made;
	return AUT_OK;
}
