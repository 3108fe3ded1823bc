/* SPDX-License-Identifier: MIT */
/*
 * standalone/command.h - what a command of the `automation` program looks like.
 *
 * main.c merges the tables of all rooms into one list, prints the help from it and calls run.  A
 * command reads its own arguments, prints its results on stdout, its complaints on stderr as one line
 * that begins with "automation: ", and returns the exit status: 0 success, 1 it failed, 2 it was
 * called wrongly.
 */
#ifndef AUT_COMMAND_H
#define AUT_COMMAND_H

#include <stddef.h>

/* argv[0] is the command's own name; argv[argc] is NULL. */
typedef int (*aut_command_run)(int argc, char **argv);

typedef struct aut_command
{
	const char *name;    /* as typed; NULL ends a table */
	const char *summary; /* one line for `automation --help`, no full stop */
	const char *usage;   /* whole text of `automation help <name>`, ends with a newline */
	aut_command_run run;
} aut_command;

/*
 * The usage is read by programs, too: the manual page and the completions are made from it.  So it
 * begins with "Usage: automation NAME SYNOPSIS" and a blank line, and each option begins a line:
 * two blanks, "-x, " or nothing, "--name", a blank and VALUE (in capitals) if it takes one, and then
 * two blanks or the end of the line.  What is said of it follows there or on lines with more blanks.
 */

/* Every command of the program in the order of the help; NULL behind the last. */
const aut_command *aut_command_at(size_t index);
const aut_command *aut_command_find(const char *name); /* NULL: none */

#define AUT_COMMAND_OK     0
#define AUT_COMMAND_FAILED 1
#define AUT_COMMAND_USAGE  2

#endif
