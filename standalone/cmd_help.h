/* SPDX-License-Identifier: MIT */
/*
 * standalone/cmd_help.h - the command `help`, and the answers to unknown commands.
 */
#ifndef AUT_CMD_HELP_H
#define AUT_CMD_HELP_H

#include <stdio.h>

#include "standalone/command.h"

/* For the list of commands; ends with an entry without a name. */
extern const aut_command aut_help_commands[];

int aut_cmd_help(int argc, char **argv);
void aut_help(FILE *out); /* the list of commands */
/* One command's usage on standard output; exit status. */
int aut_help_one(const char *name);
/* Complain about a word that is no command, and name those it resembles; exit status. */
int aut_help_unknown(const char *name);

#endif
