/* SPDX-License-Identifier: MIT */
/*
 * standalone/serve_priv.h - what the files of `serve` share.
 *
 *   serve_options.c   flags and environment into settings and paths
 *   serve_files.c     the state folder: lock, key, serve.json; the service manager
 *   serve_agent.c     the agent: configured, embedded and looked after, or none
 *   serve.c           the wiring, the life of the daemon, its end
 */
#ifndef AUT_SERVE_PRIV_H
#define AUT_SERVE_PRIV_H

#include "automation/api.h"

/* ---- options --------------------------------------------------------------------------------- */

/* For the help of every command that takes them. */
#define AUT_SERVE_OPTIONS_TEXT                                                                     \
	"  --data DIR         state folder (default $XDG_STATE_HOME/automation, else\n"                \
	"                     ~/.local/state/automation)\n"                                            \
	"  --host ADDRESS     address to listen on (AUTOMATION_HOST, default 127.0.0.1); others "      \
	"than\n"                                                                                       \
	"                     loopback only with AUTOMATION_LOCAL_API_KEY set\n"                       \
	"  --port PORT        port to listen on (AUTOMATION_SERVER_PORT, default 8000; 0: any free "   \
	"one)\n"                                                                                       \
	"  --db PATH          database file (AUTOMATION_DB_URL=sqlite:///PATH, default\n"              \
	"                     DIR/automation.db)\n"                                                    \
	"  --agent-url URL    agent server for all runs (AUTOMATION_AGENT_SERVER_URL, default: an\n"   \
	"                     embedded one)\n"                                                         \
	"  --no-agent         start no agent: runs wait\n"                                             \
	"  --log-level LEVEL  error, warning, info or debug (AUTOMATION_LOG_LEVEL, default info)\n"

typedef struct serve_config
{
	aut_settings settings;
	aut_log_level log_level;
	char *data; /* state folder, absolute */
	char *db_path;
	bool own_key; /* no AUTOMATION_LOCAL_API_KEY: the generated one counts */
	aut_backend_choice backend;
	bool embedded; /* it is the embedded agent */
} serve_config;

/* EINVAL: called wrongly (exit 2); anything else: exit 1. */
aut_status serve_config_read(serve_config *config, int argc, char **argv, char **environment,
							 aut_error *err);
void serve_config_done(serve_config *config);
/* The flag that sets this member of the settings, or NULL. */
const char *serve_flag_of(const char *member);
/* Is this an address that only this machine reaches? */
bool serve_address_local(const char *address);

/* ---- state folder ---------------------------------------------------------------------------- */

/* Make the folder with its parents (0700 for what is made) and make *inout_path absolute. */
aut_status serve_folder_make(char **inout_path, aut_error *err);
/* One daemon per folder: *out_fd holds the lock until it is closed.  EBUSY says who has it. */
aut_status serve_lock(const char *data, int *out_fd, aut_error *err);
/* The member `pid` of a JSON file in the folder, 0 when unknown. */
int64_t serve_pid_in(const char *data, const char *name);
/* The generated key, made at first use. aut_free. */
aut_status serve_key(const char *data, char **out_key, aut_error *err);
/* Who lends the key of DATA/secret.key; data must stay.  One folder per process. */
const aut_sealer *serve_sealer(const char *data);
/* Tell clients where we are (0600, atomic), and that we are gone. */
aut_status serve_state_write(const char *data, const char *url, uint16_t port, int64_t now_us,
							 aut_error *err);
void serve_state_remove(const char *data);
/* Learn from the environment where the service manager listens, and how often it wants to hear from us
 * (*out_watchdog_ms, untouched when it does not), and take both out of it. */
void serve_notify_take(int64_t *out_watchdog_ms);
/* One datagram to the service manager, if there is one. */
void serve_notify(const char *message);

/* ---- agent ----------------------------------------------------------------------------------- */

typedef struct serve_agent serve_agent;
aut_status serve_agent_new(aut_loop *loop, aut_http_client *http, aut_turn *turn,
						   const serve_config *config, serve_agent **out, aut_error *err);
aut_backend *serve_agent_backend(serve_agent *agent);
/* From here on the engine is told when the embedded agent had to be started again. */
void serve_agent_watch(serve_agent *agent, aut_engine *engine);
/* Before the engine goes. */
void serve_agent_unwatch(serve_agent *agent);
void serve_agent_free(serve_agent *agent); /* the agent itself goes on for a while */

#endif
