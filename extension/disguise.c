/* SPDX-License-Identifier: MIT */
/*
 * extension/disguise.c - another role and search_path for a while.
 */
#include "door.h"

#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "utils/guc.h"

void
aut__disguise_begin(aut__disguise *d, Oid role, int security, const char *search_path)
{
	GetUserIdAndSecContext(&d->user, &d->security);
	SetUserIdAndSecContext(role, d->security | SECURITY_LOCAL_USERID_CHANGE | security);
	d->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", search_path, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

void
aut__disguise_as_us(aut__disguise *d)
{
	aut__disguise_begin(d, BOOTSTRAP_SUPERUSERID, 0, "pg_catalog, pg_temp");
}

void
aut__disguise_end(const aut__disguise *d)
{
	AtEOXact_GUC(true, d->guc_level);
	SetUserIdAndSecContext(d->user, d->security);
}
