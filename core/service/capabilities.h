/* SPDX-License-Identifier: MIT */
/*
 * core/service/capabilities.h - what both GET /v1/capabilities and POST /v1/validate go by.
 */
#ifndef AUT_SERVICE_CAPABILITIES_H
#define AUT_SERVICE_CAPABILITIES_H

#include "core/service/internal.h"

/* How often the contract advises schedules to fire at most; ours may do so every second. */
#define AUT__CRON_FLOOR_S 60

/* Is there any place where runs execute? */
bool aut__has_place(const aut_call *call);
/* Does a pattern of GitHub's events name a family that is read? */
bool aut__github_delivers(const char *pattern);

#endif
