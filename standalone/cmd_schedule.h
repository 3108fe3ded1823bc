/* SPDX-License-Identifier: MIT */
/*
 * standalone/cmd_schedule.h - the command `next`, and schedules for `eval`.
 *
 * All answer from the expression and the tz database alone: no daemon, no database, no network.
 */
#ifndef AUT_CMD_SCHEDULE_H
#define AUT_CMD_SCHEDULE_H

#include "automation/base.h"
#include "standalone/command.h"

/* For main.c's list; ends with an entry without a name. */
extern const aut_command aut_schedule_commands[];

int aut_cmd_next(int argc, char **argv);

/* One question of `eval cron` and `eval cron-due`: what answers it goes into answer.  AUT_EBADREQ: it is no
 * question. */
aut_status aut_eval_cron(const json_t *question, json_t *answer, aut_error *err);
aut_status aut_eval_cron_due(const json_t *question, json_t *answer, aut_error *err);

#endif
