/* SPDX-License-Identifier: MIT */
/*
 * standalone/main.c - the program `automation`: one table of commands, help made from it.
 *
 * Every room of the program brings its commands (see command.h); this file only finds the one that
 * was meant.  An unknown word is answered with the names that are close to it, and exit status 2.
 */
#include <stdio.h>
#include <string.h>

#include "automation/base.h"
#include "standalone/agent.h"
#include "standalone/client.h"
#include "standalone/cmd_schedule.h"
#include "standalone/command.h"
#include "standalone/serve.h"

#define NAME_MAX_BYTES 32
#define NEAR_DISTANCE  2

static const aut_command own_commands[] = {
	{"serve", "run the engine, the HTTP API and the embedded agent", aut_serve_usage,
	 aut_cmd_serve},
	{"agent", "run the agent alone", aut_agent_usage, aut_cmd_agent},
	{NULL, NULL, NULL, NULL},
};

static const aut_command *const tables[] = {own_commands, aut_client_commands,
											aut_schedule_commands};

#define TABLE_COUNT (sizeof tables / sizeof tables[0])

static const aut_command *
find(const char *name)
{
	for (size_t t = 0; t < TABLE_COUNT; t++)
	{
		for (const aut_command *command = tables[t]; command->name != NULL; command++)
		{
			if (strcmp(command->name, name) == 0)
				return command;
		}
	}
	return NULL;
}

static void
help(FILE *out)
{
	fprintf(out, "Usage: automation <command> [options]\n\nCommands:\n");
	for (size_t t = 0; t < TABLE_COUNT; t++)
	{
		for (const aut_command *command = tables[t]; command->name != NULL; command++)
			fprintf(out, "  %-10s %s\n", command->name, command->summary);
	}
	fprintf(
		out,
		"\n`automation help <command>` describes one; `automation --version` tells the version.\n");
}

static size_t
smallest(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

/* Levenshtein distance, two rows; too long words are far from everything. */
static size_t
distance(const char *a, const char *b)
{
	size_t a_len = strlen(a), b_len = strlen(b);
	size_t row[NAME_MAX_BYTES + 1];

	if (a_len > NAME_MAX_BYTES || b_len > NAME_MAX_BYTES)
		return NAME_MAX_BYTES;
	for (size_t j = 0; j <= b_len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_len; i++)
	{
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_len; j++)
		{
			size_t above = row[j];

			row[j] = smallest(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[b_len];
}

static bool
near(const char *typed, const char *name)
{
	size_t typed_len = strlen(typed);

	if (typed_len >= 2 && strncmp(typed, name, typed_len) == 0)
		return true;
	return distance(typed, name) <= (typed_len > 3 ? NEAR_DISTANCE : 1);
}

static int
unknown(const char *name)
{
	const char *lead = "; did you mean ";

	fprintf(stderr, "automation: unknown command '%.*s'", 100, name);
	for (size_t t = 0; t < TABLE_COUNT; t++)
	{
		for (const aut_command *command = tables[t]; command->name != NULL; command++)
		{
			if (!near(name, command->name))
				continue;
			fprintf(stderr, "%s'%s'", lead, command->name);
			lead = " or ";
		}
	}
	fprintf(stderr, "%s (automation --help lists all)\n", strcmp(lead, " or ") == 0 ? "?" : "");
	return AUT_COMMAND_USAGE;
}

static int
help_one(const char *name)
{
	const aut_command *command = find(name);

	if (command == NULL)
		return unknown(name);
	fputs(command->usage, stdout);
	return AUT_COMMAND_OK;
}

/* Results that could not be written are a failure, whatever the command thinks (a full disk). */
static int
flushed(int code)
{
	if (fflush(stdout) == 0 && ferror(stdout) == 0)
		return code;
	fprintf(stderr, "automation: cannot write to standard output\n");
	return code == AUT_COMMAND_OK ? AUT_COMMAND_FAILED : code;
}

static bool
asks_help(int argc, char **argv)
{
	return argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
}

int
main(int argc, char **argv)
{
	const aut_command *command;

	if (argc < 2)
	{
		help(stderr);
		return AUT_COMMAND_USAGE;
	}
	if (asks_help(argc, argv) || (strcmp(argv[1], "help") == 0 && argc == 2))
	{
		help(stdout);
		return flushed(AUT_COMMAND_OK);
	}
	if (strcmp(argv[1], "help") == 0)
		return flushed(help_one(argv[2]));
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
	{
		printf("automation %s\n", AUT_VERSION);
		return flushed(AUT_COMMAND_OK);
	}
	command = find(argv[1]);
	if (command == NULL)
		return unknown(argv[1]);
	if (asks_help(argc - 1, argv + 1))
		return flushed(help_one(command->name));
	return flushed(command->run(argc - 1, argv + 1));
}
