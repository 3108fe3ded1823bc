/* SPDX-License-Identifier: MIT */
/*
 * standalone/client_env.c - --env of create and edit: variables for the runs of an automation.
 *
 *   --env TOKEN,REGION   names: the values are taken from our own environment
 *   --env @FILE          lines NAME=VALUE; empty ones and those that begin with # are passed over
 *   --env MODE=fast      one variable
 *   --env -OLD           edit: takes one away; '' takes all away
 *
 * The first two keep a secret out of the list of processes and out of the shell's history.
 */
#include <stdlib.h>
#include <string.h>

#include "standalone/client_priv.h"

static aut_status
set_value(json_t *variables, const char *name, size_t len, const char *value, aut_error *err)
{
	if (json_object_setn_new(variables, name, len,
							 value != NULL ? json_string(value) : json_null()) != 0)
		return aut_fail(err, AUT_EINVAL, "--env: %.*s is not valid UTF-8", (int) len, name);
	return AUT_OK;
}

/* NAME=VALUE of one line of a file. */
static aut_status
take_line(json_t *variables, char *line, size_t number, aut_error *err)
{
	char *is = strchr(line, '=');

	if (line[0] == '\0' || line[0] == '#')
		return AUT_OK;
	if (is == NULL || is == line)
		return aut_fail(err, AUT_EINVAL, "--env: line %zu of the file is not NAME=VALUE", number);
	return set_value(variables, line, (size_t) (is - line), is + 1, err);
}

static aut_status
take_lines(json_t *variables, char *text, aut_error *err)
{
	aut_status status = AUT_OK;
	size_t number = 1;

	for (char *line = text; status == AUT_OK && line != NULL; number++)
	{
		char *end = strchr(line, '\n');
		char *next = end != NULL ? end + 1 : NULL;

		if (end != NULL)
			*end = '\0';
		if (end != NULL && end > line && end[-1] == '\r')
			end[-1] = '\0';
		status = take_line(variables, line, number, err);
		line = next;
	}
	return status;
}

/* A list of names; ours have values. */
static aut_status
take_names(json_t *variables, const char *list, aut_error *err)
{
	aut_status status = AUT_OK;

	while (status == AUT_OK && *list != '\0')
	{
		size_t len = strcspn(list, ",");
		char *name = aut_strndup(list, len);
		const char *value;

		if (name == NULL)
			return aut_fail(err, AUT_ENOMEM, "out of memory");
		value = getenv(name);
		if (name[0] == '-')
			status = set_value(variables, name + 1, len - 1, NULL, err);
		else if (value == NULL)
			status = aut_fail(err, AUT_EINVAL,
							  "--env %.100s: there is no such variable here; give its value as "
							  "%.100s=VALUE",
							  name, name);
		else
			status = set_value(variables, name, len, value, err);
		aut_free(name);
		list += len + (list[len] == ',');
	}
	return status;
}

static aut_status
read_variables(const char *given, json_t *variables, aut_error *err)
{
	const char *is = strchr(given, '=');
	aut_buf text;
	aut_status status;

	if (given[0] != '@')
		return is != NULL ? set_value(variables, given, (size_t) (is - given), is + 1, err)
						  : take_names(variables, given, err);
	aut_buf_init(&text, 1048576);
	status = client_read_file(given + 1, 1048576, &text, err);
	if (status == AUT_OK && text.len > 0)
	{
		if (memchr(text.data, '\0', text.len) != NULL)
			status = aut_fail(err, AUT_EINVAL, "--env: the file holds a NUL");
		else
			status = take_lines(variables, text.data, err);
	}
	if (text.data != NULL)
		explicit_bzero(text.data, text.len);
	aut_buf_done(&text);
	return status;
}

aut_status
client_env_member(const client *c, json_t *body, aut_error *err)
{
	const char *given = c->args->env;
	json_t *variables;
	aut_status status = AUT_OK;

	if (given == NULL)
		return AUT_OK;
	variables = *given != '\0' ? json_object() : json_null();
	if (*given != '\0')
		status = read_variables(given, variables, err);
	if (status == AUT_OK && json_object_set(body, "environment", variables) != 0)
		status = aut_fail(err, AUT_ENOMEM, "out of memory");
	json_decref(variables);
	return status;
}
