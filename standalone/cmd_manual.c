/* SPDX-License-Identifier: MIT */
/*
 * standalone/cmd_manual.c - the manual page, and completions for bash, zsh and fish.
 *
 * Nothing about commands or options is written here a second time: everything is read from the help
 * texts (command.h says in which form they are) and from the table of settings.  So whatever --help
 * knows, the manual and the completions know.
 */
#include "standalone/cmd_manual.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "automation/settings.h"
#include "standalone/client.h"

#define WORD_MAX 40

/* ---- reading a help text ------------------------------------------------------------------------ */

typedef struct option
{
	char letter;          /* or 0 */
	char name[WORD_MAX];  /* "--schedule" */
	char value[WORD_MAX]; /* "EXPR", empty for a flag */
	const char *text;     /* the first line of what is said of it */
	size_t text_len;
} option;

static size_t
line_length(const char *line)
{
	return strcspn(line, "\n");
}

static const char *
next_line(const char *line)
{
	line += line_length(line);
	return *line == '\n' ? line + 1 : line;
}

static size_t
blanks(const char *line)
{
	return strspn(line, " ");
}

static bool
is_option_line(const char *line)
{
	return blanks(line) == 2 && line[2] == '-';
}

/* The characters of a word, cut to what fits; returns where it ended. */
static const char *
take_word(const char *from, char out[WORD_MAX])
{
	size_t len = strcspn(from, " \n");

	(void) snprintf(out, WORD_MAX, "%.*s", (int) len, from);
	return from + len;
}

/* Read an option line; what is said of it may begin there or on the next line. */
static void
read_option(const char *line, option *out)
{
	const char *at = line + 2;

	memset(out, 0, sizeof *out);
	if (at[1] != '-' && strncmp(at + 2, ", ", 2) == 0)
	{
		out->letter = at[1];
		at += 4;
	}
	at = take_word(at, out->name);
	/* one blank: a value follows */
	if (at[0] == ' ' && at[1] != ' ' && at[1] != '\n' && at[1] != '\0')
		at = take_word(at + 1, out->value);
	at += blanks(at);
	if (*at == '\n')
		at = at[1] == ' ' ? at + 1 + blanks(at + 1) : at;
	out->text = at;
	out->text_len = line_length(at);
}

/* Step to the next option of a help text, from its beginning or behind the last one. */
static bool
next_option(const char **at, option *out)
{
	for (; **at != '\0'; *at = next_line(*at))
	{
		if (!is_option_line(*at))
			continue;
		read_option(*at, out);
		*at = next_line(*at);
		return true;
	}
	return false;
}

/* ---- the manual page ------------------------------------------------------------------------------- */

/* Text for roff: no character of it is a command. */
static void
put_roff(FILE *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		if (i == 0 && (text[i] == '.' || text[i] == '\''))
			(void) fputs("\\&", out);
		if (text[i] == '\\')
			(void) fputs("\\e", out);
		else if (text[i] == '-')
			(void) fputs("\\-", out);
		else
			(void) fputc(text[i], out);
	}
}

static void
put_roff_line(FILE *out, const char *text)
{
	put_roff(out, text, strlen(text));
	(void) fputc('\n', out);
}

static void
put_roff_option(FILE *out, const char *line)
{
	option o;

	read_option(line, &o);
	(void) fputs(".TP\n", out);
	if (o.letter != 0)
		(void) fprintf(out, "\\fB\\-%c\\fR, ", o.letter);
	(void) fputs("\\fB", out);
	put_roff(out, o.name, strlen(o.name));
	(void) fputs("\\fR", out);
	if (o.value[0] != '\0')
	{
		(void) fputs(" \\fI", out);
		put_roff(out, o.value, strlen(o.value));
		(void) fputs("\\fR", out);
	}
	(void) fputc('\n', out);
	/* when it stood on the line itself; otherwise it comes as a line that goes on */
	if (o.text < line + line_length(line))
	{
		put_roff(out, o.text, o.text_len);
		(void) fputc('\n', out);
	}
}

/* What stands below the usage line: paragraphs, options, and examples as they are. */
static void
put_roff_body(FILE *out, const char *text)
{
	bool in_option = false, verbatim = false;

	for (const char *line = text; *line != '\0'; line = next_line(line))
	{
		size_t len = line_length(line);
		size_t indent = blanks(line);
		bool plain = indent >= 2 && !is_option_line(line) && !in_option;

		if (verbatim && !plain)
			(void) fputs(".fi\n", out);
		else if (!verbatim && plain)
			(void) fputs(".PP\n.nf\n", out);
		verbatim = plain;
		if (len == 0)
		{
			(void) fputs(".PP\n", out);
			in_option = false;
		}
		else if (is_option_line(line))
		{
			put_roff_option(out, line);
			in_option = true;
		}
		else
		{
			if (in_option && indent < 2)
			{
				(void) fputs(".PP\n", out);
				in_option = false;
			}
			put_roff(out, line + (plain ? 0 : indent), len - (plain ? 0 : indent));
			(void) fputc('\n', out);
		}
	}
	if (verbatim)
		(void) fputs(".fi\n", out);
}

static void
put_roff_command(FILE *out, const aut_command *command)
{
	const char *line = command->usage;
	size_t skip = strlen("Usage: ");

	(void) fputs(".SS ", out);
	put_roff_line(out, command->name);
	put_roff_line(out, command->summary);
	(void) fputs(".PP\n.nf\n", out);
	/* every line of the usage begins with the same column */
	for (; line_length(line) > skip; line = next_line(line))
	{
		(void) fputs("\\fB", out);
		put_roff(out, line + skip, line_length(line) - skip);
		(void) fputs("\\fR\n", out);
	}
	(void) fputs(".fi\n", out);
	put_roff_body(out, line);
}

static void
put_roff_settings(FILE *out)
{
	for (size_t i = 0; i < aut_setting_count(); i++)
	{
		const aut_setting_info *info = aut_setting_at(i);
		char decimal[AUT_SETTING_DECIMAL_MAX];

		(void) fputs(".TP\n\\fB", out);
		put_roff(out, info->name, strlen(info->name));
		(void) fputs("\\fR\n", out);
		put_roff(out, info->help, strlen(info->help));
		if (info->kind == 'I')
			(void) fprintf(out, " (default %" PRId64 ")", info->default_number);
		else if (info->kind == 'D')
			(void) fprintf(out, " (default %s)",
						   aut_setting_decimal(info->default_number, decimal));
		else if (info->kind == 'S' && info->default_text[0] != '\0')
		{
			(void) fputs(" (default ", out);
			put_roff(out, info->default_text, strlen(info->default_text));
			(void) fputs(")", out);
		}
		(void) fputc('\n', out);
	}
}

int
aut_manual_page(FILE *out)
{
	const aut_command *command;

	(void) fprintf(
		out,
		".\\\" made by automation help \\-\\-man\n.TH AUTOMATION 1 \"\" \"automation %s\" "
		"\"User Commands\"\n",
		AUT_VERSION);
	(void) fputs(
		".SH NAME\nautomation \\- run scripts on a schedule or on demand, and keep what they said\n"
		".SH SYNOPSIS\n\\fBautomation\\fR \\fICOMMAND\\fR [\\fIoptions\\fR]\n"
		".SH DESCRIPTION\n"
		"\\fBautomation serve\\fR is a daemon with a SQLite file, an HTTP API on loopback and an "
		"agent\n"
		"that executes runs as the user who started it.  Most other commands are clients of that "
		"API.\n"
		"Results go to standard output, remarks and complaints to standard error.\n"
		".SH COMMANDS\n",
		out);
	for (size_t i = 0; (command = aut_command_at(i)) != NULL; i++)
		put_roff_command(out, command);
	(void) fputs(".SH EXIT STATUS\n"
				 ".TP\n0\nit worked; a followed run COMPLETED\n"
				 ".TP\n1\nit did not\n"
				 ".TP\n2\nthe command line is wrong; nothing was done\n"
				 ".TP\n3\nno daemon could be reached\n"
				 ".TP\n4\nthe followed run ended, but not as COMPLETED\n"
				 ".TP\n130\nfollowing was interrupted; the run goes on\n"
				 ".SH ENVIRONMENT\n"
				 ".TP\n\\fBAUTOMATION_URL\\fR, \\fBAUTOMATION_API_KEY\\fR\n"
				 "for clients: another daemon, and its key\n"
				 ".TP\n\\fBNO_COLOR\\fR\nno colours, when it is not empty\n"
				 ".PP\nFor \\fBserve\\fR:\n",
				 out);
	put_roff_settings(out);
	(void) fputs(".SH FILES\n"
				 ".TP\n\\fI~/.local/state/automation\\fR\n"
				 "state folder: automation.db, api.key (the key for the API), serve.json (where "
				 "the daemon is),\n"
				 "agent.json and agent.log of the embedded agent\n",
				 out);
	return AUT_COMMAND_OK;
}

/* ---- completions ------------------------------------------------------------------------------------ */

/* What may follow an option, by the name of its value. */
typedef enum value_kind
{
	VALUE_NONE, /* a flag */
	VALUE_FILE,
	VALUE_FOLDER,
	VALUE_WORDS, /* a few words */
	VALUE_ANY
} value_kind;

static value_kind
kind_of(const option *o, const char **out_words)
{
	*out_words = "";
	if (o->value[0] == '\0')
		return VALUE_NONE;
	if (strcmp(o->value, "FILE") == 0 || strcmp(o->value, "PATH") == 0)
		return VALUE_FILE;
	if (strcmp(o->value, "DIR") == 0 || strcmp(o->value, "FOLDER") == 0)
		return VALUE_FOLDER;
	if (strcmp(o->value, "WHEN") == 0)
		*out_words = "auto always never";
	else if (strcmp(o->value, "LEVEL") == 0)
		*out_words = "error warning info debug";
	return **out_words != '\0' ? VALUE_WORDS : VALUE_ANY;
}

/* The words that may stand alone behind a command: commands, shells, or nothing that could be known. */
static const char *const shells = "bash zsh fish";

static bool
takes_file(const aut_command *command)
{
	const char *synopsis = command->usage + strlen("Usage: automation ") + strlen(command->name);

	return strncmp(synopsis, " FILE", 5) == 0;
}

static void
put_command_names(FILE *out)
{
	const aut_command *command;

	for (size_t i = 0; (command = aut_command_at(i)) != NULL; i++)
		(void) fprintf(out, "%s%s", i > 0 ? " " : "", command->name);
}

static void
put_bash_command(FILE *out, const aut_command *command)
{
	const char *at = command->usage;
	const char *words;
	option o;

	/* what may follow an option */
	(void) fprintf(out, "\t%s)\n\t\tcase \"$prev\" in\n", command->name);
	while (next_option(&at, &o))
	{
		value_kind kind = kind_of(&o, &words);

		if (kind == VALUE_NONE)
			continue;
		(void) fputs("\t\t", out);
		if (o.letter != 0)
			(void) fprintf(out, "-%c | ", o.letter);
		(void) fprintf(out, "%s) ", o.name);
		if (kind == VALUE_FILE)
			(void) fputs("compopt -o filenames; COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n",
						 out);
		else if (kind == VALUE_FOLDER)
			(void) fputs("compopt -o filenames; COMPREPLY=($(compgen -d -- \"$cur\")); return ;;\n",
						 out);
		else if (kind == VALUE_WORDS)
			(void) fprintf(out, "COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return ;;\n", words);
		else
			(void) fputs("return ;;\n", out);
	}
	(void) fputs("\t\tesac\n\t\toptions='", out);
	at = command->usage;
	while (next_option(&at, &o))
	{
		if (o.letter != 0)
			(void) fprintf(out, "-%c ", o.letter);
		(void) fprintf(out, "%s ", o.name);
	}
	(void) fputs("--help'\n", out);
	if (strcmp(command->name, "completion") == 0)
		(void) fprintf(out, "\t\twords='%s'\n", shells);
	if (strcmp(command->name, "help") == 0)
		(void) fputs("\t\twords=$commands\n", out);
	if (takes_file(command))
		(void) fputs("\t\tfiles=1\n", out);
	if (client_word_kind(command->name) != NULL)
		(void) fprintf(out, "\t\tkind=%s\n", client_word_kind(command->name));
	(void) fputs("\t\t;;\n", out);
}

static void
complete_bash(FILE *out)
{
	const aut_command *command;

	(void) fputs(
		"# bash completion of automation, made by: automation completion bash\n"
		/* what the daemon knows, for the options that say which daemon; quoted as the shell wants it */
		"_automation_words() {\n"
		"\tlocal i word quoted where=()\n"
		"\tfor ((i = 2; i + 1 < COMP_CWORD; i++)); do\n"
		"\t\tcase ${COMP_WORDS[i]} in --data | --url | --api-key) "
		"where+=(\"${COMP_WORDS[i]}\" \"${COMP_WORDS[i + 1]}\") ;; esac\n"
		"\tdone\n"
		"\twhile IFS=$'\\t' read -r word _; do\n"
		"\t\tprintf -v quoted %q \"$word\"\n"
		"\t\t[[ $word == \"$cur\"* || $quoted == \"$cur\"* ]] && COMPREPLY+=(\"$quoted\")\n"
		"\tdone < <(\"${COMP_WORDS[0]}\" completion words \"$1\" \"${where[@]}\" 2>/dev/null)\n"
		"}\n"
		"_automation() {\n"
		"\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
		"\tlocal options='' words='' files='' kind='' commands='",
		out);
	put_command_names(out);
	(void) fputs("'\n"
				 "\tCOMPREPLY=()\n"
				 "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n"
				 "\t\tCOMPREPLY=($(compgen -W \"$commands --help --version\" -- \"$cur\"))\n"
				 "\t\treturn\n"
				 "\tfi\n"
				 "\tcase \"${COMP_WORDS[1]}\" in\n",
				 out);
	for (size_t i = 0; (command = aut_command_at(i)) != NULL; i++)
		put_bash_command(out, command);
	(void) fputs("\tesac\n"
				 "\tcase \"$cur\" in\n"
				 "\t-*) COMPREPLY=($(compgen -W \"$options\" -- \"$cur\")) ;;\n"
				 "\t*)\n"
				 "\t\tif [ -n \"$files\" ]; then\n"
				 "\t\t\tcompopt -o filenames\n"
				 "\t\t\tCOMPREPLY=($(compgen -f -- \"$cur\"))\n"
				 "\t\telif [ -n \"$kind\" ]; then\n"
				 "\t\t\t_automation_words \"$kind\"\n"
				 "\t\telse\n"
				 "\t\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
				 "\t\tfi\n"
				 "\t\t;;\n"
				 "\tesac\n"
				 "}\n"
				 "complete -F _automation automation\n",
				 out);
}

/* Inside single quotes of a shell; special: characters that get a backslash (zsh's own syntax). */
static void
put_quoted(FILE *out, const char *text, size_t len, const char *special)
{
	for (size_t i = 0; i < len; i++)
	{
		if (text[i] == '\'')
			(void) fputs("'\\''", out);
		else if (strchr(special, text[i]) != NULL)
			(void) fprintf(out, "\\%c", text[i]);
		else
			(void) fputc(text[i], out);
	}
}

static void
put_zsh_option(FILE *out, const option *o)
{
	const char *words;
	value_kind kind = kind_of(o, &words);

	(void) fputs(" \\\n\t\t\t", out);
	if (o->letter != 0)
		(void) fprintf(out, "'(-%c %s)'{-%c,%s}'", o->letter, o->name, o->letter, o->name);
	else
		(void) fprintf(out, "'%s", o->name);
	(void) fputc('[', out);
	put_quoted(out, o->text, o->text_len, "[]:\\");
	(void) fputc(']', out);
	if (kind != VALUE_NONE)
	{
		(void) fputc(':', out);
		put_quoted(out, o->value, strlen(o->value), "[]:\\");
		(void) fputc(':', out);
	}
	if (kind == VALUE_FILE)
		(void) fputs("_files", out);
	else if (kind == VALUE_FOLDER)
		(void) fputs("_files -/", out);
	else if (kind == VALUE_WORDS)
		(void) fprintf(out, "(%s)", words);
	(void) fputc('\'', out);
}

static void
complete_zsh(FILE *out)
{
	const aut_command *command;
	const char *at;
	option o;

	(void) fputs(
		"#compdef automation\n# zsh completion of automation, made by: automation completion zsh\n"
		/* lines of "word<TAB>about" become zsh's "word:about", a colon in the word escaped */
		"_automation_words() {\n\tlocal -a where list\n\tlocal i line word about\n"
		"\tfor ((i = 2; i + 1 < CURRENT; i++)); do\n"
		"\t\tcase $words[i] in --data|--url|--api-key) where+=(${(Q)words[i]} ${(Q)words[i+1]}) ;; "
		"esac\n\tdone\n"
		"\tfor line in \"${(@f)$(${(Q)program} completion words $1 $where 2>/dev/null)}\"; do\n"
		"\t\tword=${line%%$'\\t'*}; about=${line#\"$word\"}; about=${about#$'\\t'}\n"
		"\t\t[[ -n $word ]] && list+=(\"${word//:/\\\\:}${about:+:$about}\")\n"
		"\tdone\n\t_describe word list\n}\n"
		"_automation() {\n\tlocal -a commands=(\n",
		out);
	for (size_t i = 0; (command = aut_command_at(i)) != NULL; i++)
	{
		(void) fprintf(out, "\t\t'%s:", command->name);
		put_quoted(out, command->summary, strlen(command->summary), ":\\");
		(void) fputs("'\n", out);
	}
	(void) fputs(
		"\t)\n\tif (( CURRENT == 2 )); then\n\t\t_describe command commands\n\t\treturn\n\tfi\n"
		"\tlocal program=$words[1] command=$words[2]\n\tshift words\n\t(( CURRENT-- ))\n\tcase "
		"$command in\n",
		out);
	for (size_t i = 0; (command = aut_command_at(i)) != NULL; i++)
	{
		(void) fprintf(out, "\t%s)\n\t\t_arguments", command->name);
		at = command->usage;
		while (next_option(&at, &o))
			put_zsh_option(out, &o);
		if (strcmp(command->name, "completion") == 0)
			(void) fprintf(out, " \\\n\t\t\t'1:shell:(%s)'", shells);
		else if (strcmp(command->name, "help") == 0)
		{
			(void) fputs(" \\\n\t\t\t'1:command:(", out);
			put_command_names(out);
			(void) fputs(")'", out);
		}
		else if (client_word_kind(command->name) != NULL)
			(void) fprintf(out, " \\\n\t\t\t'1:name:_automation_words %s'",
						   client_word_kind(command->name));
		else
			(void) fputs(takes_file(command) ? " \\\n\t\t\t'1:file:_files'" : " \\\n\t\t\t'*: :'",
						 out);
		(void) fputs("\n\t\t;;\n", out);
	}
	(void) fputs("\tesac\n}\n_automation \"$@\"\n", out);
}

static void
put_fish_option(FILE *out, const char *name, const option *o)
{
	const char *words;
	value_kind kind = kind_of(o, &words);

	(void) fprintf(out, "complete -c automation -n '__fish_seen_subcommand_from %s' -l %s", name,
				   o->name + 2);
	if (o->letter != 0)
		(void) fprintf(out, " -s %c", o->letter);
	if (kind == VALUE_FILE || kind == VALUE_FOLDER)
		(void) fputs(" -r -F", out);
	else if (kind == VALUE_WORDS)
		(void) fprintf(out, " -x -a '%s'", words);
	else if (kind == VALUE_ANY)
		(void) fputs(" -x", out);
	(void) fputs(" -d '", out);
	/* fish knows \' and \\ inside single quotes */
	for (size_t i = 0; i < o->text_len; i++)
		(void) fprintf(out, "%s%c", o->text[i] == '\'' || o->text[i] == '\\' ? "\\" : "",
					   o->text[i]);
	(void) fputs("'\n", out);
}

static void
complete_fish(FILE *out)
{
	const aut_command *command;
	const char *at;
	option o;

	(void) fputs(
		"# fish completion of automation, made by: automation completion fish\n"
		"function __automation_words\n"
		"\tset -l words (commandline -opc)\n"
		"\tset -l where\n"
		"\tfor i in (seq 2 (count $words))\n"
		"\t\tif contains -- $words[$i] --data --url --api-key; and test $i -lt (count $words)\n"
		"\t\t\tset -a where $words[$i] $words[(math $i + 1)]\n"
		"\t\tend\n"
		"\tend\n"
		"\t$words[1] completion words $argv[1] $where 2>/dev/null\n"
		"end\n"
		"complete -c automation -f\n",
		out);
	for (size_t i = 0; (command = aut_command_at(i)) != NULL; i++)
	{
		(void) fprintf(out, "complete -c automation -n __fish_use_subcommand -a %s -d \"%s\"\n",
					   command->name, command->summary);
		at = command->usage;
		while (next_option(&at, &o))
			put_fish_option(out, command->name, &o);
		if (takes_file(command))
			(void) fprintf(out, "complete -c automation -n '__fish_seen_subcommand_from %s' -F\n",
						   command->name);
		if (client_word_kind(command->name) != NULL)
			(void) fprintf(out,
						   "complete -c automation -n '__fish_seen_subcommand_from %s'"
						   " -a '(__automation_words %s)'\n",
						   command->name, client_word_kind(command->name));
	}
	(void) fprintf(out,
				   "complete -c automation -n '__fish_seen_subcommand_from completion' -a '%s'\n",
				   shells);
	(void) fputs("complete -c automation -n '__fish_seen_subcommand_from help' -a '", out);
	put_command_names(out);
	(void) fputs("'\n", out);
}

int
aut_cmd_completion(int argc, char **argv)
{
	static const struct
	{
		const char *shell;
		void (*put)(FILE *out);
	} makers[] = {{"bash", complete_bash}, {"zsh", complete_zsh}, {"fish", complete_fish}};

	if (argc > 2 && strcmp(argv[1], "words") == 0)
		return client_words(argc - 1, argv + 1);
	for (size_t i = 0; argc == 2 && i < sizeof makers / sizeof makers[0]; i++)
	{
		if (strcmp(argv[1], makers[i].shell) != 0)
			continue;
		makers[i].put(stdout);
		return AUT_COMMAND_OK;
	}
	if (argc == 2)
		(void) fprintf(stderr, "automation completion: %.60s: bash, zsh or fish is needed\n",
					   argv[1]);
	else
		(void) fprintf(stderr, "automation completion: say for which shell: bash, zsh or fish\n");
	return AUT_COMMAND_USAGE;
}

const aut_command aut_manual_commands[] = {
	{"completion", "print completions for a shell",
	 "Usage: automation completion bash|zsh|fish\n"
	 "\n"
	 "Prints what the shell needs to complete commands, options, names and run ids (asked of the\n"
	 "daemon, if there is one); make install puts it where shells look.  By hand:\n"
	 "\n"
	 "  eval \"$(automation completion bash)\"                   in ~/.bashrc\n"
	 "  automation completion zsh >~/.zfunc/_automation        with ~/.zfunc in fpath\n"
	 "  automation completion fish | source                    in config.fish\n",
	 aut_cmd_completion},
	{NULL, NULL, NULL, NULL},
};
