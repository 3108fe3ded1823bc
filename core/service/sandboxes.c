/* SPDX-License-Identifier: MIT */
/*
 * core/service/sandboxes.c - what the ledger of cloud sandboxes says, for those who look after a service.
 *
 * Numbers only: whose they are and what they are called is nobody else's business.
 */
#include "automation/sandboxes.h"
#include "automation/service.h"

aut_status
aut_service_sandboxes(aut_call *call, json_t **out, aut_error *err)
{
	aut_rows rows = {0};
	json_t *root = json_object(), *list = json_array();
	aut_status status = aut_store_sandbox_summary(call->db, &rows, err);
	bool good = root != NULL && list != NULL;

	for (size_t i = 0; status == AUT_OK && good && i < rows.count; i++)
	{
		json_t *group = json_object();

		good = group != NULL &&
			   aut_json_set(group, "state", json_string(aut_rows_text(&rows, i, 0))) &&
			   aut_json_set(group, "count", json_integer(aut_rows_int(&rows, i, 1))) &&
			   aut_json_set(group, "oldest_at", aut_json_time(aut_rows_time(&rows, i, 2))) &&
			   aut_json_set(group, "failed_attempts", json_integer(aut_rows_int(&rows, i, 3))) &&
			   json_array_append(list, group) == 0;
		json_decref(group);
	}
	aut_rows_done(&rows);
	if (status == AUT_OK && (!good || !aut_json_set(root, "sandboxes", json_incref(list))))
		status = aut_fail(err, AUT_ENOMEM, "out of memory for the list of sandboxes");
	json_decref(list);
	if (status == AUT_OK)
		*out = root;
	else
		json_decref(root);
	return status;
}
