/* SPDX-License-Identifier: MIT */
/*
 * standalone/cmd_schedule.h - the commands about schedules: `next` and `eval`.
 *
 * Both answer from the expression and the tz database alone: no daemon, no database, no network.
 */
#ifndef AUT_CMD_SCHEDULE_H
#define AUT_CMD_SCHEDULE_H

#include "standalone/command.h"

/* For main.c's list; ends with an entry without a name. */
extern const aut_command aut_schedule_commands[];

int aut_cmd_next(int argc, char **argv);
int aut_cmd_eval(int argc, char **argv);

#endif
