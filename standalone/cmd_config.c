/* SPDX-License-Identifier: MIT */
/*
 * standalone/cmd_config.c - `automation config`: the settings `serve` would start with, and why.
 *
 * Takes the options of `serve` and reads flags and environment with the daemon's own code, so that what
 * is shown is what would happen; then it shows where each value comes from.  Secrets are never shown,
 * only whether they are set.  Unknown AUTOMATION_ variables are complained about, as at a start.
 */
#include "standalone/cmd_config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "standalone/client_priv.h"
#include "standalone/serve_priv.h"

extern char **environ;

typedef struct config_args
{
	bool json, origin;
	int argc; /* what is left for serve */
	char **argv;
} config_args;

/* ---- what is said of one setting --------------------------------------------------------------- */

/* The variable that sets it, as it is spelled in the environment; NULL: none does. */
static const char *
variable_of(const aut_setting_info *info)
{
	const char *found = NULL;
	int found_rank = 0;

	for (char **at = environ; at != NULL && *at != NULL; at++)
	{
		size_t len = strcspn(*at, "=");
		/* the documented spelling has the last word, then other spellings of it, then the name without
		 * the prefix; among equals the later one */
		bool own = strlen(info->name) == len && strncasecmp(*at, info->name, len) == 0;
		int rank = !own ? 1 : strncmp(*at, info->name, len) != 0 ? 2 : 3;

		if ((*at)[len] == '\0' || (*at)[len + 1] == '\0' || !aut_setting_has_name(info, *at, len) ||
			rank < found_rank)
			continue;
		found = *at;
		found_rank = rank;
	}
	return found;
}

static bool
flag_given(const config_args *args, const char *flag)
{
	size_t len = flag != NULL ? strlen(flag) : 0;

	for (int i = 1; flag != NULL && i < args->argc; i++)
	{
		if (strncmp(args->argv[i], flag, len) == 0 &&
			(args->argv[i][len] == '\0' || args->argv[i][len] == '='))
			return true;
	}
	return false;
}

/* "flag", "environment" or "default"; *out_name is the flag or variable. */
static const char *
origin_of(const config_args *args, const aut_setting_info *info, aut_buf *out_name)
{
	const char *flag = serve_flag_of(info->member);
	const char *variable = variable_of(info);

	if (flag_given(args, flag))
	{
		(void) aut_buf_puts(out_name, flag);
		return "flag";
	}
	if (variable != NULL)
	{
		(void) aut_buf_append(out_name, variable, strcspn(variable, "="));
		return "environment";
	}
	return "default";
}

/* A whole number where it is one, so that it reads as people write it. */
static json_t *
decimal(int64_t thousandths)
{
	return thousandths % 1000 == 0 ? json_integer(thousandths / 1000)
								   : json_real((double) thousandths / 1000);
}

static json_t *
value_of(const aut_settings *settings, const aut_setting_info *info)
{
	const char *member = (const char *) settings + info->offset;

	if (info->kind == 'I')
		return json_integer(*(const int64_t *) (const void *) member);
	if (info->kind == 'D')
		return decimal(*(const int64_t *) (const void *) member);
	if (info->kind == 'B')
		return json_boolean(*(const int64_t *) (const void *) member != 0);
	if (info->kind == 'K')
		return json_string(**(char *const *) (const void *) member != '\0' ? "(set)" : "");
	return json_string(*(char *const *) (const void *) member);
}

static json_t *
default_of(const aut_setting_info *info)
{
	if (info->kind == 'I')
		return json_integer(info->default_number);
	if (info->kind == 'D')
		return decimal(info->default_number);
	return info->kind == 'B' ? json_boolean(info->default_number != 0)
							 : json_string(info->default_text);
}

/* One row: name, value, default, origin, from, help. */
static bool
add_setting(const config_args *args, const aut_settings *settings, const aut_setting_info *info,
			json_t *rows)
{
	json_t *row = json_object();
	const char *origin;
	aut_buf from;
	bool ok;

	aut_buf_init(&from, 200);
	origin = origin_of(args, info, &from);
	ok = aut_json_set(row, "name", json_string(info->name)) &&
		 aut_json_set(row, "value", value_of(settings, info)) &&
		 aut_json_set(row, "default", default_of(info)) &&
		 aut_json_set(row, "secret", json_boolean(info->kind == 'K')) &&
		 aut_json_set(row, "origin", json_string(origin)) &&
		 aut_json_set(row, "from", aut_json_text_or_null(from.len > 0 ? from.data : NULL)) &&
		 aut_json_set(row, "help", json_string(info->help));
	aut_buf_done(&from);
	if (ok)
		return json_array_append_new(rows, row) == 0;
	json_decref(row);
	return false;
}

/* ---- the whole ------------------------------------------------------------------------------------ */

static json_t *
describe(const config_args *args, const serve_config *config)
{
	json_t *rows = json_array();
	json_t *out = json_object();
	bool ok = rows != NULL && out != NULL;

	for (size_t i = 0; ok && i < aut_setting_count(); i++)
		ok = add_setting(args, &config->settings, aut_setting_at(i), rows);
	ok = ok && aut_json_set(out, "data", aut_json_text_or_null(config->data)) &&
		 aut_json_set(out, "database", aut_json_text_or_null(config->db_path));
	if (ok && json_object_set(out, "settings", rows) == 0)
	{
		json_decref(rows);
		return out;
	}
	json_decref(rows);
	json_decref(out);
	return NULL;
}

/* "value", or "-" for an empty one; strings as they are, escaped by the table. */
static char *
cell_text(const json_t *value)
{
	if (json_is_string(value))
		return aut_strdup(json_string_value(value));
	return aut_json_text(value, NULL);
}

static void
add_row(client_table *table, const config_args *args, const json_t *row)
{
	char *value = cell_text(json_object_get(row, "value"));
	char *fallback = cell_text(json_object_get(row, "default"));
	const char *origin = client_json_text(row, "origin", "");
	const char *from = aut_json_string(row, "from");
	char *where = from != NULL ? aut_printf("%s %s", origin, from) : aut_strdup(origin);

	if (value == NULL || fallback == NULL || where == NULL)
		table->status = AUT_ENOMEM;
	client_table_add(table, CLIENT_PLAIN, aut_json_string(row, "name"));
	client_table_add(table, CLIENT_PLAIN, value);
	client_table_add(table, CLIENT_PLAIN, fallback);
	if (args->origin)
		client_table_add(table, CLIENT_PLAIN, where);
	aut_free(value);
	aut_free(fallback);
	aut_free(where);
}

/* Of the two paths, which are no settings; text lives until the next call. */
static const char *
path_origin(const config_args *args, const char *flag, const char *variable)
{
	static char text[64];
	const char *value = getenv(variable);
	bool counts = value != NULL &&
				  (strcmp(variable, "XDG_STATE_HOME") == 0 ? value[0] == '/' : value[0] != '\0');

	if (flag_given(args, flag))
		(void) snprintf(text, sizeof text, "flag %s", flag);
	else if (counts)
		(void) snprintf(text, sizeof text, "environment %s", variable);
	else
		return "default";
	return text;
}

static aut_status
print_table(const config_args *args, const json_t *all, aut_error *err)
{
	static const client_column columns[] = {{"NAME", false, false},
											{"VALUE", false, false},
											{"DEFAULT", false, false},
											{"ORIGIN", false, false}};
	const json_t *rows = json_object_get(all, "settings");
	client_table table;
	client c = {.clock = aut_clock_system()};
	aut_status status;

	client_table_init(&table, columns, args->origin ? 4 : 3);
	for (size_t i = 0; i < json_array_size(rows); i++)
		add_row(&table, args, json_array_get(rows, i));
	client_table_add(&table, CLIENT_PLAIN, "state folder");
	client_table_add(&table, CLIENT_PLAIN, aut_json_string(all, "data"));
	client_table_add(&table, CLIENT_PLAIN, NULL);
	if (args->origin)
		client_table_add(&table, CLIENT_PLAIN, path_origin(args, "--data", "XDG_STATE_HOME"));
	client_table_add(&table, CLIENT_PLAIN, "database");
	client_table_add(&table, CLIENT_PLAIN, aut_json_string(all, "database"));
	client_table_add(&table, CLIENT_PLAIN, NULL);
	if (args->origin)
		client_table_add(&table, CLIENT_PLAIN, path_origin(args, "--db", "AUTOMATION_DB_URL"));
	status = client_table_print(&c, &table, err);
	client_table_done(&table);
	return status;
}

static void
warn_line(void *payload, aut_log_level level, const char *line)
{
	(void) payload;
	(void) level;
	(void) fprintf(stderr, "automation config: warning: %s\n", line);
}

/* Our own options out of the list; the rest is for serve. */
static void
take_own(config_args *args, int argc, char **argv)
{
	args->argv = argv;
	args->argc = 1;
	for (int i = 1; i < argc; i++)
	{
		if (strcmp(argv[i], "--json") == 0)
			args->json = true;
		else if (strcmp(argv[i], "--show-origin") == 0)
			args->origin = true;
		else
			argv[args->argc++] = argv[i];
	}
}

int
aut_cmd_config(int argc, char **argv)
{
	aut_error err = AUT_ERROR_INIT;
	config_args args = {0};
	serve_config config;
	json_t *all = NULL;
	client c = {.clock = aut_clock_system()};
	aut_status status;
	int code = AUT_COMMAND_OK;

	take_own(&args, argc, argv);
	aut_log_set(warn_line, NULL, AUT_LOG_WARNING);
	status = serve_config_read(&config, args.argc, args.argv, environ, &err);
	aut_log_set(NULL, NULL, AUT_LOG_ERROR);
	if (status == AUT_EINVAL)
		code = AUT_COMMAND_USAGE;
	if (status == AUT_OK)
	{
		all = describe(&args, &config);
		if (all == NULL)
			status = aut_fail(&err, AUT_ENOMEM, "out of memory");
	}
	if (status == AUT_OK)
		status = args.json ? client_print_json(&c, all, &err) : print_table(&args, all, &err);
	if (status != AUT_OK)
	{
		(void) fprintf(stderr, "automation config: %s\n", err.message);
		if (code == AUT_COMMAND_OK)
			code = AUT_COMMAND_FAILED;
	}
	json_decref(all);
	serve_config_done(&config);
	return code;
}

/* ---- the list ----------------------------------------------------------------------------------------- */

const aut_command aut_config_commands[] = {
	{"config", "show the settings serve would start with",
	 "Usage: automation config [--show-origin] [--json] [options of serve]\n"
	 "\n"
	 "Every setting with its value and its default, as `serve` would read them now from its "
	 "options\n"
	 "and the environment.  Secrets are not shown, only that they are set.  Unknown AUTOMATION_\n"
	 "variables are named on standard error.  Exit status 2 when serve would refuse to start.\n"
	 "\n"
	 "  --show-origin      where each value comes from: flag, environment or default\n"
	 "  --json             one JSON object\n" AUT_SERVE_OPTIONS_TEXT,
	 aut_cmd_config},
	{NULL, NULL, NULL, NULL},
};
