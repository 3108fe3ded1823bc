/* SPDX-License-Identifier: MIT */
/*
 * extension/session.c - the settings under which statements of ours run in a background worker, whatever the
 * database's and the role's own are.
 */
#include "internal.h"

#include "utils/guc.h"

void
aut__pin_session(void)
{
	static const struct
	{
		const char *name, *value;
	} pins[] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"statement_timeout", "0"}, /* the driver arms its own */
		{"lock_timeout", "500ms"},  /* below deadlock_timeout: we give way, never the DBA */
		{"idle_in_transaction_session_timeout", "0"},
		{"idle_session_timeout", "0"},
		{"transaction_timeout", "0"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"client_min_messages", "error"},
		{"session_replication_role", "origin"},
		{"row_security", "on"},
		{"jit", "off"},
		/* Every statement of ours has its index.  Statistics of tables that were empty a moment ago would
		 * have them read whole instead, once for each row of another, until they are analyzed. */
		{"enable_seqscan", "off"},
		{"enable_hashjoin", "off"},
		{"enable_mergejoin", "off"},
	};

	for (size_t i = 0; i < lengthof(pins); i++)
		if (GetConfigOption(pins[i].name, true, false) != NULL) /* some are newer than 15 */
			SetConfigOption(pins[i].name, pins[i].value, PGC_SUSET, PGC_S_OVERRIDE);
}
