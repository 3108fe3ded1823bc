/* SPDX-License-Identifier: MIT */
/*
 * core/store/trigger_index.c - keeps the index over triggers true.
 *
 * Called wherever an automation's row is written, so that no way of making or changing one can forget it:
 * the keys are derived from the stored trigger (core/match/trigger_key.c) and replaced together with the
 * row, in the same transaction.  Automations that are off stay in the index; what is asked of them says so.
 */
#include <string.h>

#include "automation/store_events.h"
#include "core/store/internal.h"

/* Never 0, which stands for an org that has no stamp. */
static aut_status
stamp_make(int64_t *out, aut_error *err)
{
	uint64_t bits = 0;
	aut_status status = aut_random(&bits, sizeof bits, err);

	if (status == AUT_OK)
		*out = (int64_t) (bits >> 2) + 1;
	return status;
}

aut_status
aut__trigger_index_put(aut_db *db, const aut_automation *automation, bool fresh, aut_error *err)
{
	bool event = strcmp(automation->trigger_type, "event") == 0;
	aut_trigger_key *keys = NULL;
	const char *source = NULL;
	json_t *trigger = NULL;
	size_t count = 0;
	int64_t stamp = 0;
	aut_status status = AUT_OK;

	if (event && automation->deleted_at == AUT_TIME_NONE)
	{
		status = aut_json_parse(automation->trigger, strlen(automation->trigger), &trigger, err);
		if (status == AUT_EBADREQ) /* what cannot be read cannot match */
			status = AUT_OK;
		if (status == AUT_OK)
			status = aut_trigger_keys(trigger, &keys, &count, &source, err);
	}
	if (status == AUT_OK && (count > 0 || !fresh))
	{
		status = stamp_make(&stamp, err);
		if (status == AUT_OK)
			status = aut_store_trigger_put(db, &automation->org_id, &automation->id, source, keys,
										   count, stamp, NULL, err);
	}
	aut_free(keys);
	json_decref(trigger);
	return status;
}

aut_status
aut__trigger_index_touch(aut_db *db, const aut_uuid *automation_id, aut_error *err)
{
	int64_t stamp = 0;
	aut_status status = stamp_make(&stamp, err);

	if (status == AUT_OK)
		status = aut_store_trigger_touch(db, automation_id, stamp, err);
	return status;
}
