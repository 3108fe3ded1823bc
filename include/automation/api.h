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
	aut_engine *engine; /* NULL: told later with aut_api_set_engine, before the loop runs */
	/* Where the engine is in another process: called with the effects of what was committed. */
	void (*wake)(void *payload, unsigned effects);
	void *wake_payload;
	const aut_settings *settings;
	const aut_clock *clock;
	const char *address;
	uint16_t port;
	/* Keys accepted as the local identity (AUTOMATION_LOCAL_API_KEY, or the generated one).  At least
	 * one, unless the cloud knows who calls; NULL-terminated. */
	const char *const *keys;
	bool keys_generated; /* nobody chose them: where there is a cloud, others may be its keys */
	const aut_sealer *sealer; /* who has the key that seals secrets; must outlive the API */
	bool agent_is_embedded;
	bool reuse_port;
} aut_api_options;

/* Binds and listens; the turn must be flushed by somebody (the engine's step).  Strings are copied,
 * settings and clock are kept. */
aut_status aut_api_new(const aut_api_options *options, aut_api **out, aut_error *err);
/* The engine needs the port (callback URLs), so it may be made after the API.  NULL: the engine is about
 * to be freed (not needed when the API is freed first). */
void aut_api_set_engine(aut_api *api, aut_engine *engine);
uint16_t aut_api_port(const aut_api *api);
/* Take no new connections and end the streams of followers; requests under way are answered. */
void aut_api_stop_accepting(aut_api *api);
int aut_api_active(const aut_api *api); /* requests not yet answered */
/* Closes everything at once.  Requests whose units are still in the turn are carried out there, without
 * an answer; engine, turn, loop and settings must stay until then. */
void aut_api_free(aut_api *api);

#endif
