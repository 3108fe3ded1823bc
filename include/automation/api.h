/* SPDX-License-Identifier: MIT */
/*
 * include/automation/api.h - the HTTP API over the service: routes, authentication, error bodies.
 *
 * One table of routes (core/api/routes.c) names method, path, permission and handler; both hosts serve
 * the same.  Handlers put their service call into a unit of the turn and answer when it has committed.
 */
#ifndef AUT_API_H
#define AUT_API_H

#include "automation/engine.h"

typedef struct aut_api aut_api;

typedef struct aut_api_options
{
	aut_loop *loop;
	aut_turn *turn;
	aut_engine *engine;
	const aut_settings *settings;
	const aut_clock *clock;
	const char *address;
	uint16_t port;
	/* Keys accepted as the local identity (AUTOMATION_LOCAL_API_KEY, or the generated one).  At least
	 * one; NULL-terminated. */
	const char *const *keys;
	bool agent_is_embedded;
	bool reuse_port;
} aut_api_options;

aut_status aut_api_new(const aut_api_options *options, aut_api **out, aut_error *err);
uint16_t aut_api_port(const aut_api *api);
void aut_api_stop_accepting(aut_api *api);
int aut_api_active(const aut_api *api);
void aut_api_free(aut_api *api);

#endif
