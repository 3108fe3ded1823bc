/* SPDX-License-Identifier: MIT */
/*
 * standalone/cmd_config.h - the command `config`: which settings `serve` would start with.
 */
#ifndef AUT_CMD_CONFIG_H
#define AUT_CMD_CONFIG_H

#include "standalone/command.h"

/* For the list of commands; ends with an entry without a name. */
extern const aut_command aut_config_commands[];

int aut_cmd_config(int argc, char **argv);

#endif
