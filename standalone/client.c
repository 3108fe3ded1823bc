/* SPDX-License-Identifier: MIT */
/*
 * standalone/client.c - the client's commands: their option tables, their help, and the one place
 * where a status becomes a line on stderr and an exit status.
 *
 * Each command's options stand once, in an X list: the parser's table and the help text both come from
 * it.  To add an option: a member in client_args, a line in a list, and its use.
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "standalone/client_priv.h"

volatile sig_atomic_t client_interrupted;

/* ---- options: X(kind, "-x, " or "", letter or 0, name, " VALUE" or "", member, min, max, help) ------- */

#define OPTIONS_COMMON(X)                                                                          \
	X(TEXT, "", 0, "data", " DIR", data, 0, 0,                                                     \
	  "state folder of the daemon (default $XDG_STATE_HOME/automation or\n"                        \
	  "      ~/.local/state/automation)")                                                          \
	X(TEXT, "", 0, "url", " URL", url, 0, 0, "address of the daemon instead (AUTOMATION_URL)")     \
	X(TEXT, "", 0, "api-key", " KEY", api_key, 0, 0,                                               \
	  "its API key; AUTOMATION_API_KEY does not show in the process list")                         \
	X(TEXT, "", 0, "color", " WHEN", color, 0, 0,                                                  \
	  "auto (default), always or never; NO_COLOR is respected")                                    \
	X(FLAG, "", 0, "json", "", json, 0, 0, "print what the API answered")                          \
	X(FLAG, "", 0, "utc", "", utc, 0, 0, "times as UTC timestamps")                                \
	X(FLAG, "-h, ", 'h', "help", "", help, 0, 0, "this text")

#define WAIT_AT_LIMIT_HELP                                                                         \
	"in the cloud, its runs wait where no more sandboxes are allowed (default: skipped)"

#define OPTIONS_CREATE(X)                                                                          \
	X(TEXT, "", 0, "script", " FILE", script, 0, 0,                                                \
	  "run this file; - reads it from standard input")                                             \
	X(TEXT, "", 0, "dir", " FOLDER", dir, 0, 0,                                                    \
	  "run something in a copy of this folder (at most 1 MiB packed; without .git);\n"             \
	  "      setup.sh in it runs first")                                                           \
	X(TEXT, "", 0, "tarball", " FILE", tarball, 0, 0, "the same, packed already with tar czf")     \
	X(TEXT, "", 0, "prompt", " TEXT", prompt, 0, 0,                                                \
	  "a conversation with an agent instead of a program (needs an agent server);\n"               \
	  "      @FILE reads the prompt from a file")                                                  \
	X(TEXT, "", 0, "repo", " LIST", repo, 0, 0,                                                    \
	  "repositories that the agent finds cloned: URL[#REF] or github:OWNER/NAME[#REF],\n"          \
	  "      with commas between")                                                                 \
	X(TEXT, "", 0, "plugin", " LIST", plugin, 0, 0,                                                \
	  "plugins for the agent: SOURCE[#REF[:PATH]], with commas between")                           \
	X(TEXT, "", 0, "entrypoint", " CMD", entrypoint, 0, 0,                                         \
	  "the command to run (default: the script by its #! line; main.py, main.sh or\n"              \
	  "      run.sh of a folder)")                                                                 \
	X(TEXT, "-s, ", 's', "schedule", " EXPR", schedule, 0, 0,                                      \
	  "cron expression: minute hour day month weekday [second [year]];\n"                          \
	  "      without it the automation runs only when asked")                                      \
	X(TEXT, "", 0, "tz", " ZONE", tz, 0, 0, "time zone of the schedule (default UTC)")             \
	X(TEXT, "", 0, "event", " SOURCE", event, 0, 0,                                                \
	  "run for events of this source: github, or that of a webhook")                               \
	X(TEXT, "", 0, "on", " LIST", patterns, 0, 0,                                                  \
	  "patterns of the events' keys, with commas between (default *)")                             \
	X(TEXT, "", 0, "filter", " EXPR", filter, 0, 0, "JMESPath over the event that must be true")   \
	X(INT, "", 0, "timeout", " N", timeout, 1, 31536000, "seconds a run may take")                 \
	X(TEXT, "", 0, "description", " TEXT", description, 0, 0, "for people")                        \
	X(TEXT, "", 0, "model", " NAME", model, 0, 0, "model profile that runs are told")              \
	X(TEXT, "", 0, "env", " LIST", env, 0, 0,                                                      \
	  "variables for its runs: names with commas between, whose values are taken from\n"           \
	  "      this environment; @FILE reads lines NAME=VALUE; NAME=VALUE is one of them")           \
	X(TEXT, "", 0, "wait-at-limit", " yes|no", wait_at_limit, 0, 0, WAIT_AT_LIMIT_HELP)            \
	X(FLAG, "", 0, "disabled", "", disabled, 0, 0, "create it paused")

#define OPTIONS_EDIT(X)                                                                            \
	X(TEXT, "", 0, "name", " NAME", new_name, 0, 0, "call it NAME from now on")                    \
	X(TEXT, "-s, ", 's', "schedule", " EXPR", schedule, 0, 0,                                      \
	  "another cron expression; in the zone it has unless --tz says another")                      \
	X(TEXT, "", 0, "tz", " ZONE", tz, 0, 0, "another time zone for the schedule it has or gets")   \
	X(FLAG, "", 0, "manual", "", manual, 0, 0, "no schedule any more: it runs only when asked")    \
	X(TEXT, "", 0, "event", " SOURCE", event, 0, 0, "run for events of this source")               \
	X(TEXT, "", 0, "on", " LIST", patterns, 0, 0, "other patterns of the events' keys")            \
	X(TEXT, "", 0, "filter", " EXPR", filter, 0, 0, "another filter; '' takes it away")            \
	X(INT, "", 0, "timeout", " N", timeout, 0, 31536000,                                           \
	  "seconds a run may take; 0: the default again")                                              \
	X(TEXT, "", 0, "description", " TEXT", description, 0, 0, "for people; '' takes it away")      \
	X(TEXT, "", 0, "model", " NAME", model, 0, 0, "model profile; '' takes it away")               \
	X(TEXT, "", 0, "wait-at-limit", " yes|no", wait_at_limit, 0, 0, WAIT_AT_LIMIT_HELP)            \
	X(TEXT, "", 0, "entrypoint", " CMD", entrypoint, 0, 0, "another command to run")               \
	X(TEXT, "", 0, "script", " FILE", script, 0, 0,                                                \
	  "another program: this file; - reads it from standard input")                                \
	X(TEXT, "", 0, "dir", " FOLDER", dir, 0, 0,                                                    \
	  "another program: a copy of this folder; the command stays unless it holds\n"                \
	  "      main.py, main.sh or run.sh")                                                          \
	X(TEXT, "", 0, "tarball", " FILE", tarball, 0, 0,                                              \
	  "another program, packed already; the command stays")                                        \
	X(TEXT, "", 0, "prompt", " TEXT", prompt, 0, 0,                                                \
	  "another prompt, of an automation made with one; @FILE reads a file")                        \
	X(TEXT, "", 0, "repo", " LIST", repo, 0, 0, "other repositories; '' takes them away")          \
	X(TEXT, "", 0, "env", " LIST", env, 0, 0,                                                      \
	  "variables that change, as create takes them; -NAME takes one away, '' all")

#define OPTIONS_WEBHOOK(X)                                                                         \
	X(TEXT, "", 0, "name", " NAME", new_name, 0, 0, "for people (default: the source)")            \
	X(TEXT, "", 0, "key", " EXPR", key, 0, 0,                                                      \
	  "JMESPath over the body that gives the event's key (default type)")                          \
	X(TEXT, "", 0, "header", " NAME", header, 0, 0,                                                \
	  "header with the signature (default X-Signature-256)")                                       \
	X(TEXT, "", 0, "scheme", " NAME", scheme, 0, 0,                                                \
	  "hmac_sha256_hex (default), standard_webhooks or slack_v0")                                  \
	X(TEXT, "", 0, "id-header", " NAME", id_header, 0, 0,                                          \
	  "header with the delivery's id, by which repetitions are known; '' takes it away")           \
	X(TEXT, "", 0, "secret-file", " FILE", secret_file, 0, 0,                                      \
	  "create: a secret of your own; - reads it from standard input")                              \
	X(FLAG, "", 0, "on", "", on, 0, 0, "edit: take deliveries again")                              \
	X(FLAG, "", 0, "off", "", off, 0, 0, "edit: refuse deliveries")

#define OPTIONS_EVENTS(X)                                                                          \
	X(TEXT, "", 0, "source", " SOURCE", source, 0, 0, "only events of this source")                \
	X(TEXT, "", 0, "key", " KEY", key, 0, 0, "only events with this key")                          \
	X(TEXT, "", 0, "state", " STATE", state, 0, 0, "MATCHED, UNMATCHED, IGNORED or UNPARSEABLE")   \
	X(INT, "-n, ", 'n', "limit", " N", count, 1, 10000, "how many of the newest (default 20)")

#define OPTIONS_TEST_FILTER(X)                                                                     \
	X(TEXT, "", 0, "source", " SOURCE", source, 0, 0, "only events of this source")                \
	X(TEXT, "", 0, "on", " LIST", patterns, 0, 0,                                                  \
	  "patterns of keys that must match, too, with commas between")                                \
	X(INT, "-n, ", 'n', "last", " N", count, 1, 100, "how many of the newest (default 20)")

#define OPTIONS_BACKUP(X)                                                                          \
	X(TEXT, "", 0, "db", " PATH", db, 0, 0,                                                        \
	  "the database (default AUTOMATION_DB_URL, else automation.db in the folder)")

#define OPTIONS_RUN(X)                                                                             \
	X(FLAG, "-f, ", 'f', "follow", "", follow, 0, 0,                                               \
	  "print its output until it has ended; exit 4 unless it COMPLETED")                           \
	X(TEXT, "-i, ", 'i', "input", " JSON", input, 0, 0,                                            \
	  "given to the run as `event` in AUTOMATION_EVENT_PAYLOAD; @FILE reads a file")               \
	X(INT, "", 0, "delay", " S", delay, 0, 31536000, "start it after so many seconds")             \
	X(FLAG, "", 0, "raw", "", raw, 0, 0, "do not escape control characters on a terminal")

#define OPTIONS_LOGS(X)                                                                            \
	X(FLAG, "-f, ", 'f', "follow", "", follow, 0, 0,                                               \
	  "go on until the run has ended; exit 4 unless it COMPLETED")                                 \
	X(FLAG, "", 0, "raw", "", raw, 0, 0, "do not escape control characters on a terminal")

#define OPTIONS_RUNS(X)                                                                            \
	X(INT, "-n, ", 'n', "count", " N", count, 1, 1000, "how many of the newest (default 20)")

#define AS_TABLE(kind, letter_text, letter, name, value, member, lo, hi, help)                     \
	{name,                                                                                         \
	 letter,                                                                                       \
	 sizeof(value) > 1 ? &(value)[1] : NULL,                                                       \
	 CLIENT_##kind,                                                                                \
	 offsetof(client_args, member),                                                                \
	 lo,                                                                                           \
	 hi,                                                                                           \
	 help},
#define AS_TEXT(kind, letter_text, letter, name, value, member, lo, hi, help)                      \
	"  " letter_text "--" name value "\n      " help "\n"
#define NO_OPTIONS(X)

#define TABLE(OPTIONS)                                                                             \
	{                                                                                              \
		OPTIONS(AS_TABLE) OPTIONS_COMMON(AS_TABLE)                                                 \
		{                                                                                          \
			NULL, 0, NULL, CLIENT_FLAG, 0, 0, 0, NULL                                              \
		}                                                                                          \
	}

static const client_option create_options[] = TABLE(OPTIONS_CREATE);
static const client_option edit_options[] = TABLE(OPTIONS_EDIT);
static const client_option backup_options[] = TABLE(OPTIONS_BACKUP);
static const client_option run_options[] = TABLE(OPTIONS_RUN);
static const client_option runs_options[] = TABLE(OPTIONS_RUNS);
static const client_option logs_options[] = TABLE(OPTIONS_LOGS);
static const client_option webhook_options[] = TABLE(OPTIONS_WEBHOOK);
static const client_option events_options[] = TABLE(OPTIONS_EVENTS);
static const client_option test_filter_options[] = TABLE(OPTIONS_TEST_FILTER);
static const client_option plain_options[] = TABLE(NO_OPTIONS);

/* ---- commands ---------------------------------------------------------------------------------------- */

static int client_main(int argc, char **argv);

#define COMMAND(name, summary, synopsis, about, OPTIONS)                                           \
	{                                                                                              \
		name, summary,                                                                             \
			"Usage: automation " name " " synopsis "\n\n" about "\n\nOptions:\n" OPTIONS(AS_TEXT)  \
				OPTIONS_COMMON(AS_TEXT),                                                           \
			client_main                                                                            \
	}

const aut_command aut_client_commands[] = {
	COMMAND(
		"create", "make an automation from a script, a folder, a tarball or a prompt",
		"NAME (--script FILE | --dir FOLDER | --tarball FILE | --prompt TEXT) [options]",
		"Uploads the program and creates the automation NAME.  Prints its id on stdout.\n\n"
		"  automation create backup --script backup.sh --schedule '0 3 * * *' --tz Europe/Berlin\n"
		"  automation create report --dir report/ --entrypoint 'python3 main.py'\n"
		"  automation create triage --prompt @triage.md --repo github:acme/shop --schedule @daily",
		OPTIONS_CREATE),
	COMMAND(
		"edit", "change an automation", "NAME|ID [options]",
		"Changes what the options name and leaves the rest as it is.  A new schedule counts from\n"
		"now: fire times that passed are not made up for.  A run that executes keeps the program\n"
		"it began with; one that waits takes the new one.\n\n"
		"  automation edit backup --schedule '30 4 * * *'\n"
		"  automation edit report --dir report/ --timeout 900",
		OPTIONS_EDIT),
	COMMAND("list", "show all automations", "[options]",
			"Name, state, schedule, next and last fire of every automation, newest first.",
			NO_OPTIONS),
	COMMAND("show", "show one automation or one run", "NAME|ID|RUN [options]",
			"Everything that is known about an automation or a run, and its newest runs.",
			NO_OPTIONS),
	COMMAND("run", "run an automation now", "NAME|ID [options]",
			"Makes a run and prints its id on stdout; with -f its output instead.\n"
			"A paused automation can be run this way as well.\n\n"
			"  automation run backup -f\n"
			"  automation run report --input '{\"month\": \"2026-06\"}'",
			OPTIONS_RUN),
	COMMAND("runs", "show the newest runs", "[NAME|ID] [options]",
			"The newest runs of one automation, or of all.", OPTIONS_RUNS),
	COMMAND(
		"logs", "print what a run wrote", "RUN|NAME [options]",
		"The output of a run (its id, or the first 8 or more digits of it), or of the newest run\n"
		"of an automation.  The newest part of a long output is kept.",
		OPTIONS_LOGS),
	COMMAND(
		"pause", "stop an automation's schedule", "NAME|ID [options]",
		"The schedule no longer fires; runs that are waiting for a worker are skipped; a run that\n"
		"executes goes on.",
		NO_OPTIONS),
	COMMAND("resume", "start an automation's schedule again", "NAME|ID [options]",
			"Fire times that passed while it was paused are not made up for.", NO_OPTIONS),
	COMMAND("cancel", "end a run", "RUN [options]",
			"Ends a run that waits or executes: its processes are told to end.", NO_OPTIONS),
	COMMAND("rm", "delete an automation", "NAME|ID [options]",
			"Its waiting runs are skipped; one that executes goes on to its end.", NO_OPTIONS),
	COMMAND("webhook", "sources of events of your own",
			"(list | create | show | edit | rotate | rm) [SOURCE] [options]",
			"list      all of them\n"
			"create    a new one; prints the secret that signs its deliveries, once\n"
			"show      one of them, without its secret\n"
			"edit      change what the options name\n"
			"rotate    make a new secret and print it; the old one is worth nothing at once\n"
			"rm        forget it\n\n"
			"  automation webhook create orders --key 'event.type' --id-header X-Delivery\n"
			"  automation webhook rotate orders >orders.secret",
			OPTIONS_WEBHOOK),
	COMMAND("events", "show what came in and what it matched", "[show ID] [options]",
			"The newest events.  show ID: one of them, with its payload, its runs, and for each\n"
			"automation that was asked which clause let it through or stopped it.\n\n"
			"  automation events --source github --state UNMATCHED",
			OPTIONS_EVENTS),
	COMMAND(
		"replay", "match an event again", "ID [options]",
		"Holds a kept event against the automations as they are now, and prints the ids of the\n"
		"runs that makes.",
		NO_OPTIONS),
	COMMAND("test-filter", "try a filter on the newest events", "EXPR [options]",
			"Which of them would pass, and why the others would not.  Starts nothing.\n\n"
			"  automation test-filter \"ref == 'refs/heads/main'\" --source github --on push",
			OPTIONS_TEST_FILTER),
	COMMAND(
		"doctor", "look for what is wrong on this machine", "[options]",
		"Looks at the state folder, its secrets, the database, the daemon, the agent, the port, "
		"the\n"
		"clock, the time zones, the disk and the settings, with or without a daemon, and changes\n"
		"nothing.  A line each: ok, warn or fail, and what would be right.  Exit status 1 when\n"
		"something failed.  With --url only that daemon is asked.",
		NO_OPTIONS),
	COMMAND("backup", "copy the database, also while the daemon runs", "FILE [options]",
			"Writes a consistent copy of the daemon's database to FILE, which must not exist, and "
			"checks\n"
			"it.  To go back to it: stop the daemon, remove automation.db, automation.db-wal and\n"
			"automation.db-shm from the state folder, and copy FILE there as automation.db.",
			OPTIONS_BACKUP),
	{NULL, NULL, NULL, NULL},
};

/* In the order of the commands. */
static const client_spec specs[] = {
	{&aut_client_commands[0], create_options, "NAME", true, false, client_cmd_create, NULL},
	{&aut_client_commands[1], edit_options, "NAME|ID", true, false, client_cmd_edit, NULL},
	{&aut_client_commands[2], plain_options, NULL, false, false, client_cmd_list, NULL},
	{&aut_client_commands[3], plain_options, "NAME|ID|RUN", true, false, client_cmd_show, NULL},
	{&aut_client_commands[4], run_options, "NAME|ID", true, false, client_cmd_run, NULL},
	{&aut_client_commands[5], runs_options, "NAME|ID", false, false, client_cmd_runs, NULL},
	{&aut_client_commands[6], logs_options, "RUN|NAME", true, false, client_cmd_logs, NULL},
	{&aut_client_commands[7], plain_options, "NAME|ID", true, false, client_cmd_pause, NULL},
	{&aut_client_commands[8], plain_options, "NAME|ID", true, false, client_cmd_resume, NULL},
	{&aut_client_commands[9], plain_options, "RUN", true, false, client_cmd_cancel, NULL},
	{&aut_client_commands[10], plain_options, "NAME|ID", true, false, client_cmd_rm, NULL},
	{&aut_client_commands[11], webhook_options, "VERB", true, false, client_cmd_webhook, "SOURCE"},
	{&aut_client_commands[12], events_options, "show", false, false, client_cmd_events, "ID"},
	{&aut_client_commands[13], plain_options, "ID", true, false, client_cmd_replay, NULL},
	{&aut_client_commands[14], test_filter_options, "EXPR", true, false, client_cmd_test_filter,
	 NULL},
	{&aut_client_commands[15], plain_options, NULL, false, true, client_cmd_doctor, NULL},
	{&aut_client_commands[16], backup_options, "FILE", true, true, client_cmd_backup, NULL},
};

const client_spec *
client_spec_find(const char *name)
{
	for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++)
	{
		if (strcmp(specs[i].command->name, name) == 0)
			return &specs[i];
	}
	return NULL;
}

/* ---- terminal ------------------------------------------------------------------------------------------ */

static int
terminal_width(void)
{
	struct winsize size;
	const char *columns = getenv("COLUMNS");
	int64_t width;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	return columns != NULL && aut_int_parse(columns, 20, 1000, &width) ? (int) width : 80;
}

static aut_status
look_at_terminal(client *c, aut_error *err)
{
	const char *when = c->args->color != NULL ? c->args->color : "auto";
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");
	bool may =
		(no_color == NULL || *no_color == '\0') && (term == NULL || strcmp(term, "dumb") != 0);

	c->out_terminal = isatty(STDOUT_FILENO) == 1;
	c->err_terminal = isatty(STDERR_FILENO) == 1;
	c->width = c->out_terminal ? terminal_width() : 0;
	if (strcmp(when, "always") == 0)
		c->out_colour = c->err_colour = true;
	else if (strcmp(when, "auto") == 0)
	{
		c->out_colour = c->out_terminal && may;
		c->err_colour = c->err_terminal && may;
	}
	else if (strcmp(when, "never") != 0)
	{
		c->exit_code = AUT_COMMAND_USAGE;
		return aut_fail(err, AUT_EINVAL, "--color %.60s: auto, always or never is needed", when);
	}
	return AUT_OK;
}

/* ---- one invocation --------------------------------------------------------------------------------------- */

static void
on_signal(int signum)
{
	(void) signum;
	client_interrupted = 1;
}

/* SIGINT and SIGTERM only note that they came; a reader that went away shows as a failed write. */
static void
catch_signals(void)
{
	struct sigaction action;

	memset(&action, 0, sizeof action);
	(void) sigemptyset(&action.sa_mask);
	action.sa_handler = on_signal;
	/* once: the second Ctrl-C ends the program whatever it is doing */
	action.sa_flags = (int) SA_RESETHAND;
	(void) sigaction(SIGINT, &action, NULL);
	(void) sigaction(SIGTERM, &action, NULL);
	action.sa_handler = SIG_IGN;
	action.sa_flags = 0;
	(void) sigaction(SIGPIPE, &action, NULL);
}

/* "automation create: message"; a story of several lines is given whole and indented. */
static void
complain(const client *c, const char *command, const aut_error *err)
{
	aut_buf text;

	aut_buf_init(&text, 4096);
	(void) client_escape(err->message, strlen(err->message), &text);
	if (c->story.len > 0 && memchr(c->story.data, '\n', c->story.len) != NULL)
	{
		(void) fprintf(stderr, "automation %s: the server refused it (HTTP %d):\n", command,
					   err->http_status);
		for (const char *line = c->story.data; *line != '\0';)
		{
			size_t len = strcspn(line, "\n");

			(void) fprintf(stderr, "  %.*s\n", (int) len, line);
			line += len + (line[len] == '\n' ? 1 : 0);
		}
	}
	else
		(void) fprintf(stderr, "automation %s: %s\n", command,
					   text.data != NULL ? text.data : aut_status_text(err->code));
	aut_buf_done(&text);
}

static int
client_main(int argc, char **argv)
{
	const client_spec *spec = client_spec_find(argv[0]);
	client_args args;
	aut_error err = AUT_ERROR_INIT;
	client c = {.args = &args, .clock = aut_clock_system()};
	aut_status status;

	if (spec == NULL)
		return AUT_COMMAND_USAGE;
	aut_buf_init(&c.story, 1048576);
	status = client_args_parse(spec, argc, argv, &args, &err);
	if (status != AUT_OK)
	{
		c.exit_code = AUT_COMMAND_USAGE;
		goto out;
	}
	if (args.help)
	{
		status = client_write(spec->command->usage, strlen(spec->command->usage), &err);
		goto out;
	}
	catch_signals();
	status = look_at_terminal(&c, &err);
	if (status == AUT_OK && !spec->local)
		status = client_connect(&c, &err);
	if (status == AUT_OK)
		status = spec->run(&c, &err);
out:
	/* Whoever closed the pipe has seen enough; that is no failure of ours. */
	if (status == AUT_EIO && err.sys_errno == EPIPE)
		status = AUT_OK;
	if (status != AUT_OK && c.exit_code == 0)
		c.exit_code = client_interrupted ? AUT_CLIENT_INTERRUPTED : AUT_COMMAND_FAILED;
	if (status != AUT_OK)
		complain(&c, argv[0], &err);
	aut_buf_done(&c.story);
	client_disconnect(&c);
	return c.exit_code;
}
