/* SPDX-License-Identifier: MIT */
/*
 * standalone/client_args.c - the arguments of a client command, driven by its option table.
 *
 * Accepted: --name value, --name=value, -x value, -xvalue, flags in one cluster (-fj), "--" to end the
 * options, "-" as an ordinary value.  Long names are not abbreviated: a script written today must not
 * change its meaning when an option is added.  Giving an option twice is refused, because the likely
 * reason is a mistake.
 */
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "standalone/client_priv.h"

#define OPTIONS_MAX 32

/* What one parse carries along. */
typedef struct parse
{
	const client_spec *spec;
	int argc;
	char **argv;
	int at; /* next argument */
	client_args *args;
	bool seen[OPTIONS_MAX];
} parse;

void
client_args_init(client_args *args)
{
	memset(args, 0, sizeof *args);
	args->timeout = -1;
	args->delay = -1;
	args->count = -1;
}

static const client_option *
find_long(const client_spec *spec, const char *name, size_t len)
{
	for (const client_option *o = spec->options; o->name != NULL; o++)
	{
		if (strlen(o->name) == len && memcmp(o->name, name, len) == 0)
			return o;
	}
	return NULL;
}

static const client_option *
find_short(const client_spec *spec, char letter)
{
	for (const client_option *o = spec->options; o->name != NULL; o++)
	{
		if (o->letter != 0 && o->letter == letter)
			return o;
	}
	return NULL;
}

/* The option whose name begins as the mistyped one does, for the message. */
static const char *
near_name(const client_spec *spec, const char *name, size_t len)
{
	for (const client_option *o = spec->options; o->name != NULL; o++)
	{
		if (len >= 2 && (strncmp(o->name, name, len) == 0 || strncmp(o->name, name, 3) == 0))
			return o->name;
	}
	return NULL;
}

static aut_status
unknown_option(const parse *p, const char *arg, const char *name, size_t len, aut_error *err)
{
	const char *near = near_name(p->spec, name, len);

	if (near != NULL)
		return aut_fail(err, AUT_EINVAL, "unknown option %.60s; did you mean --%s?", arg, near);
	return aut_fail(err, AUT_EINVAL, "unknown option %.60s; automation %s --help lists them", arg,
					p->spec->command->name);
}

/* Store the value of an option; value is NULL for a flag. */
static aut_status
store(parse *p, const client_option *o, const char *value, aut_error *err)
{
	size_t index = (size_t) (o - p->spec->options);
	char *member = (char *) p->args + o->offset;

	AUT_CHECK(index < OPTIONS_MAX);
	if (p->seen[index])
		return aut_fail(err, AUT_EINVAL, "--%s is given twice", o->name);
	p->seen[index] = true;
	switch (o->kind)
	{
		case CLIENT_FLAG:
			*(bool *) (void *) member = true;
			break;
		case CLIENT_TEXT:
			*(const char **) (void *) member = value;
			break;
		case CLIENT_INT:
			if (!aut_int_parse(value, o->min, o->max, (int64_t *) (void *) member))
				return aut_fail(err, AUT_EINVAL,
								"--%s %.60s: a whole number from %" PRId64 " to %" PRId64
								" is needed",
								o->name, value, o->min, o->max);
			break;
	}
	return AUT_OK;
}

/* The value of an option that takes one: after '=' or the letter, else the next argument. */
static aut_status
take_value(parse *p, const client_option *o, const char *attached, aut_error *err)
{
	if (attached != NULL)
		return store(p, o, attached, err);
	if (p->at >= p->argc)
		return aut_fail(err, AUT_EINVAL, "--%s needs a value: --%s %s", o->name, o->name, o->value);
	return store(p, o, p->argv[p->at++], err);
}

static aut_status
parse_long(parse *p, const char *arg, aut_error *err)
{
	const char *name = arg + 2;
	size_t len = strcspn(name, "=");
	const char *attached = name[len] == '=' ? name + len + 1 : NULL;
	const client_option *o = find_long(p->spec, name, len);

	if (o == NULL)
		return unknown_option(p, arg, name, len, err);
	if (o->kind != CLIENT_FLAG)
		return take_value(p, o, attached, err);
	if (attached != NULL)
		return aut_fail(err, AUT_EINVAL, "--%s takes no value", o->name);
	return store(p, o, NULL, err);
}

static aut_status
parse_cluster(parse *p, const char *arg, aut_error *err)
{
	for (const char *at = arg + 1; *at != '\0'; at++)
	{
		const client_option *o = find_short(p->spec, *at);
		aut_status status;

		if (o == NULL)
			return unknown_option(p, arg, at, 1, err);
		if (o->kind != CLIENT_FLAG)
			return take_value(p, o, at[1] != '\0' ? at + 1 : NULL, err);
		status = store(p, o, NULL, err);
		if (status != AUT_OK)
			return status;
	}
	return AUT_OK;
}

static aut_status
take_operand(parse *p, const char *arg, aut_error *err)
{
	if (p->spec->operand == NULL)
		return aut_fail(err, AUT_EINVAL, "%.60s: automation %s takes no name", arg,
						p->spec->command->name);
	if (p->args->operand != NULL && p->spec->second != NULL && p->args->second == NULL)
	{
		if (*arg == '\0')
			return aut_fail(err, AUT_EINVAL, "%s must not be empty", p->spec->second);
		p->args->second = arg;
		return AUT_OK;
	}
	if (p->args->operand != NULL)
		return aut_fail(err, AUT_EINVAL, "one %s is enough, but %.60s and %.60s are given",
						p->spec->operand, p->args->operand, arg);
	if (*arg == '\0')
		return aut_fail(err, AUT_EINVAL, "%s must not be empty", p->spec->operand);
	p->args->operand = arg;
	return AUT_OK;
}

aut_status
client_args_parse(const client_spec *spec, int argc, char **argv, client_args *args, aut_error *err)
{
	parse p = {.spec = spec, .argc = argc, .argv = argv, .at = 1, .args = args};
	bool only_operands = false;

	client_args_init(args);
	while (p.at < argc)
	{
		const char *arg = argv[p.at++];
		aut_status status;

		if (only_operands || arg[0] != '-' || arg[1] == '\0')
			status = take_operand(&p, arg, err);
		else if (strcmp(arg, "--") == 0)
		{
			only_operands = true;
			continue;
		}
		else if (arg[1] == '-')
			status = parse_long(&p, arg, err);
		else
			status = parse_cluster(&p, arg, err);
		if (status != AUT_OK || args->help)
			return status;
	}
	if (spec->operand != NULL && spec->operand_required && args->operand == NULL)
		return aut_fail(err, AUT_EINVAL, "%s is missing: automation %s %s", spec->operand,
						spec->command->name, spec->operand);
	return AUT_OK;
}
