/* SPDX-License-Identifier: MIT */
/*
 * standalone/main.c - the program `automation`: finds the command that was meant and runs it.
 *
 * The commands are in commands.c, each in a file of its room.  An unknown word is answered with the
 * names that are close to it, and exit status 2.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "standalone/cmd_help.h"
#include "standalone/command.h"

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
		aut_help(stderr);
		return AUT_COMMAND_USAGE;
	}
	if (asks_help(argc, argv))
	{
		aut_help(stdout);
		return flushed(AUT_COMMAND_OK);
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
	{
		printf("automation %s\n", AUT_VERSION);
		return flushed(AUT_COMMAND_OK);
	}
	command = aut_command_find(argv[1]);
	if (command == NULL)
		return aut_help_unknown(argv[1]);
	if (asks_help(argc - 1, argv + 1))
		return flushed(aut_help_one(command->name));
	return flushed(command->run(argc - 1, argv + 1));
}
