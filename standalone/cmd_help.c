/* SPDX-License-Identifier: MIT */
/*
 * standalone/cmd_help.c - the list of commands, the help of one, and what was probably meant.
 */
#include "standalone/cmd_help.h"

#include <stdbool.h>
#include <string.h>

#include "standalone/cmd_manual.h"

#define NAME_MAX_BYTES 32
#define NEAR_DISTANCE  2

void
aut_help(FILE *out)
{
	const aut_command *command;

	fprintf(out, "Usage: automation <command> [options]\n\nCommands:\n");
	for (size_t i = 0; (command = aut_command_at(i)) != NULL; i++)
		fprintf(out, "  %-10s %s\n", command->name, command->summary);
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

int
aut_help_unknown(const char *name)
{
	const char *lead = "; did you mean ";
	const aut_command *command;

	fprintf(stderr, "automation: unknown command '%.*s'", 100, name);
	for (size_t i = 0; (command = aut_command_at(i)) != NULL; i++)
	{
		if (!near(name, command->name))
			continue;
		fprintf(stderr, "%s'%s'", lead, command->name);
		lead = " or ";
	}
	fprintf(stderr, "%s (automation --help lists all)\n", strcmp(lead, " or ") == 0 ? "?" : "");
	return AUT_COMMAND_USAGE;
}

int
aut_help_one(const char *name)
{
	const aut_command *command = aut_command_find(name);

	if (command == NULL)
		return aut_help_unknown(name);
	fputs(command->usage, stdout);
	return AUT_COMMAND_OK;
}

int
aut_cmd_help(int argc, char **argv)
{
	if (argc > 2)
	{
		fprintf(stderr, "automation help: one command is enough, but %.60s and %.60s are given\n",
				argv[1], argv[2]);
		return AUT_COMMAND_USAGE;
	}
	if (argc == 2 && strcmp(argv[1], "--man") == 0)
		return aut_manual_page(stdout);
	if (argc == 2)
		return aut_help_one(argv[1]);
	aut_help(stdout);
	return AUT_COMMAND_OK;
}

const aut_command aut_help_commands[] = {
	{"help", "describe a command",
	 "Usage: automation help [COMMAND | --man]\n"
	 "\n"
	 "Lists the commands, or prints what one takes; the same as automation COMMAND --help.\n"
	 "\n"
	 "  --man    print the manual page, in roff: automation help --man | man -l -\n",
	 aut_cmd_help},
	{NULL, NULL, NULL, NULL},
};
