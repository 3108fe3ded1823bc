/* SPDX-License-Identifier: MIT */
/*
 * standalone/agent.h - the embedded agent: the command `agent`, and how the daemon finds or starts it.
 */
#ifndef AUT_AGENT_H
#define AUT_AGENT_H

#include "automation/base.h"

extern const char aut_agent_usage[];

/* Exit status besides those of command.h: another agent has the folder. */
#define AUT_AGENT_EXIT_TAKEN 3

int aut_cmd_agent(int argc, char **argv);

/*
 * Find the agent whose state is in data_dir (agent.json, agent.lock), or start this program as one: in a
 * session of its own, so that it outlives the caller, with `--linger 60`.  Blocks until it answers, at
 * most some seconds.  The texts are the caller's (aut_free).
 */
aut_status aut_agent_ensure(const char *data_dir, char **out_url, char **out_key, aut_error *err);

#endif
