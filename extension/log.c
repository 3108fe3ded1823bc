/* SPDX-License-Identifier: MIT */
/*
 * extension/log.c - what core logs goes to the server's log.
 */
#include "internal.h"

#include "miscadmin.h"

/* The sink stands below core, so it must neither raise an error nor serve an interrupt. */
static void
log_sink(void *payload, aut_log_level level, const char *line)
{
	int elevel = level <= AUT_LOG_WARNING ? WARNING : level == AUT_LOG_INFO ? LOG : DEBUG1;
	MemoryContext context = CurrentMemoryContext;

	(void) payload;
	HOLD_INTERRUPTS();
	PG_TRY();
	{
		ereport(elevel, (errmsg("automation: %s", line)));
	}
	PG_CATCH();
	{
		FlushErrorState();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	RESUME_INTERRUPTS();
}

void
aut__log_to_server(void)
{
	aut_log_set(log_sink, NULL, AUT_LOG_DEBUG);
}
