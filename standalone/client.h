/* SPDX-License-Identifier: MIT */
/*
 * standalone/client.h - the commands that talk to a running daemon (create, edit, list, run, runs,
 * logs, show, pause, resume, rm, cancel), and doctor and backup, which look at this machine.
 *
 * They are an HTTP client and nothing else: no database is opened here, so a command may run beside
 * the daemon, as another user with a key, or against the extension's listener.
 */
#ifndef AUT_CLIENT_H
#define AUT_CLIENT_H

#include "standalone/command.h"

/*
 * Exit status of every command here.  0, 1 and 2 are those of command.h; the others let a script tell
 * "nothing is running" and "the run itself failed" from an ordinary failure.
 */
#define AUT_CLIENT_NO_DAEMON   3   /* no daemon could be reached */
#define AUT_CLIENT_RUN_FAILED  4   /* the followed run ended, but not as COMPLETED */
#define AUT_CLIENT_INTERRUPTED 130 /* stopped following because of Ctrl-C; the run goes on */

extern const aut_command aut_client_commands[]; /* ends with a NULL name */

/* What an operand of the command may be, as client_words wants it ("names", "runs", "names,runs", "live");
 * NULL: nothing that the daemon knows. */
const char *client_word_kind(const char *command);
/* `words KIND …`: candidates for a shell's completion; silent when there is no daemon. */
int client_words(int argc, char **argv);

#endif
