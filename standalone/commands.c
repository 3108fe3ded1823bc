/* SPDX-License-Identifier: MIT */
/*
 * standalone/commands.c - all commands of the program, as one list.
 *
 * Every room brings a table of its own (see command.h); here they are put one behind the other.
 */
#include <string.h>

#include "standalone/agent.h"
#include "standalone/client.h"
#include "standalone/cmd_config.h"
#include "standalone/cmd_eval.h"
#include "standalone/cmd_help.h"
#include "standalone/cmd_manual.h"
#include "standalone/cmd_schedule.h"
#include "standalone/serve.h"

static const aut_command own_commands[] = {
	{"serve", "run the engine, the HTTP API and the embedded agent", aut_serve_usage,
	 aut_cmd_serve},
	{"agent", "run the agent alone", aut_agent_usage, aut_cmd_agent},
	{NULL, NULL, NULL, NULL},
};

static const aut_command *const tables[] = {
	own_commands,      aut_client_commands, aut_config_commands, aut_schedule_commands,
	aut_eval_commands, aut_manual_commands, aut_help_commands};

const aut_command *
aut_command_at(size_t index)
{
	for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++)
	{
		for (const aut_command *command = tables[t]; command->name != NULL; command++)
		{
			if (index-- == 0)
				return command;
		}
	}
	return NULL;
}

const aut_command *
aut_command_find(const char *name)
{
	const aut_command *command;

	for (size_t i = 0; (command = aut_command_at(i)) != NULL; i++)
	{
		if (strcmp(command->name, name) == 0)
			return command;
	}
	return NULL;
}
