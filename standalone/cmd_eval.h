/* SPDX-License-Identifier: MIT */
/*
 * standalone/cmd_eval.h - the command `eval`: what our pure functions answer, in bulk.
 */
#ifndef AUT_CMD_EVAL_H
#define AUT_CMD_EVAL_H

#include "standalone/command.h"

/* For the list of commands; ends with an entry without a name. */
extern const aut_command aut_eval_commands[];

int aut_cmd_eval(int argc, char **argv);

#endif
