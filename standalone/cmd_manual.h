/* SPDX-License-Identifier: MIT */
/*
 * standalone/cmd_manual.h - the manual page and the commands `completion` and `help`, all made from the
 * help texts.
 */
#ifndef AUT_CMD_MANUAL_H
#define AUT_CMD_MANUAL_H

#include <stdio.h>

#include "standalone/command.h"

/* For the list of commands; ends with an entry without a name. */
extern const aut_command aut_manual_commands[];

int aut_cmd_completion(int argc, char **argv);

/* automation.1 in roff. */
int aut_manual_page(FILE *out);

#endif
