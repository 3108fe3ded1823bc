/* SPDX-License-Identifier: MIT */
/*
 * standalone/cmd_schedule.c - `automation next`: when does a schedule fire? - and the same questions as
 * `automation eval` asks them (cmd_eval.c).
 *
 * Reads arguments, asks core/schedule, prints.  Keeps nothing.  A question that cannot be answered ends
 * `next` with status 1.
 */
#include "standalone/cmd_schedule.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "automation/schedule.h"

#define COUNT_DEFAULT 5
#define COUNT_MAX     1000

/* ---- next: arguments ----------------------------------------------------------------------- */

struct next_args
{
	const char *expr;
	const char *zone;
	const char *after;
	int64_t count;
	bool json;
};

static int
usage_error(const char *command, const char *what, const char *argument)
{
	(void) fprintf(stderr, "automation: %s: %s%s%s; see: automation help %s\n", command, what,
				   argument != NULL ? " " : "", argument != NULL ? argument : "", command);
	return AUT_COMMAND_USAGE;
}

/*
 * Is argv[*at] the option `name` (or `letter`)?  Then *out_value is its value, from "--name=value"
 * or the next argument (NULL when there is none), and *at stands on the last argument used.
 */
static bool
take_option(int argc, char **argv, int *at, const char *name, const char *letter,
			const char **out_value)
{
	const char *argument = argv[*at];
	size_t len = strlen(name);

	if (strncmp(argument, name, len) == 0 && argument[len] == '=')
	{
		*out_value = argument + len + 1;
		return true;
	}
	if (strcmp(argument, name) != 0 && (letter == NULL || strcmp(argument, letter) != 0))
		return false;
	*out_value = NULL;
	if (*at + 1 < argc)
		*out_value = argv[++*at];
	return true;
}

static int
next_parse(int argc, char **argv, struct next_args *out)
{
	bool options = true;

	for (int i = 1; i < argc; i++)
	{
		const char *value = "";

		if (options && strcmp(argv[i], "--") == 0)
			options = false;
		else if (options && strcmp(argv[i], "--json") == 0)
			out->json = true;
		else if (options && take_option(argc, argv, &i, "--tz", NULL, &value))
			out->zone = value;
		else if (options && take_option(argc, argv, &i, "--after", NULL, &value))
			out->after = value;
		else if (options && take_option(argc, argv, &i, "--count", "-n", &value))
		{
			if (value != NULL && !aut_int_parse(value, 1, COUNT_MAX, &out->count))
				return usage_error(argv[0], "-n takes a number from 1 to 1000, not", value);
		}
		else if (options && argv[i][0] == '-' && argv[i][1] != '\0')
			return usage_error(argv[0], "unknown option", argv[i]);
		else if (out->expr == NULL)
			out->expr = argv[i];
		else
			return usage_error(
				argv[0], "one expression is expected, in quotes ('0 9 * * *'); did not expect",
				argv[i]);
		if (value == NULL)
			return usage_error(argv[0], "a value is missing behind", argv[i]);
	}
	if (out->expr == NULL)
		return usage_error(argv[0], "no expression given, expected one like '0 9 * * *'", NULL);
	return AUT_COMMAND_OK;
}

/* ---- next: one fire, described ------------------------------------------------------------- */

struct fire
{
	int64_t time_us;
	int64_t named_s;
	int32_t offset_s;
	const char *abbr;
	bool dst;
	aut_fire_kind kind;
	bool clock_changed; /* since the fire before */
	int32_t shift_s;
};

#define TEXT_MAX 96
#define MARK_MAX (4 * TEXT_MAX)

/* "2026-07-01 09:00:00" of seconds on a wall clock. */
static const char *
wall_text(int64_t local_s, char out[TEXT_MAX])
{
	char text[AUT_TIME_TEXT_MAX];

	(void) snprintf(out, TEXT_MAX, "%s", aut_time_format(local_s * AUT_US_PER_S, text));
	if (strlen(out) == 20)
	{
		out[10] = ' ';
		out[19] = '\0';
	}
	return out;
}

/* "+02:00", with seconds only where a zone has them. */
static const char *
offset_text(int32_t offset_s, char out[TEXT_MAX])
{
	int32_t abs_s = offset_s < 0 ? -offset_s : offset_s;
	int written = snprintf(out, TEXT_MAX, "%c%02d:%02d", offset_s < 0 ? '-' : '+',
						   (int) (abs_s / 3600), (int) (abs_s / 60 % 60));

	if (abs_s % 60 != 0 && written > 0)
		(void) snprintf(out + written, TEXT_MAX - (size_t) written, ":%02d", (int) (abs_s % 60));
	return out;
}

/* "+1h", "+30min", "+1h20min", "+24h". */
static const char *
shift_text(int32_t shift_s, char out[TEXT_MAX])
{
	int hours = (int) (shift_s / 3600);
	int minutes = (int) (shift_s / 60 % 60);

	if (shift_s % 60 != 0)
		(void) snprintf(out, TEXT_MAX, "+%ds", (int) shift_s);
	else if (hours == 0)
		(void) snprintf(out, TEXT_MAX, "+%dmin", minutes);
	else if (minutes == 0)
		(void) snprintf(out, TEXT_MAX, "+%dh", hours);
	else
		(void) snprintf(out, TEXT_MAX, "+%dh%dmin", hours, minutes);
	return out;
}

/* What is worth knowing about a fire, or "". */
static const char *
mark_text(const struct fire *fire, char out[MARK_MAX])
{
	char named[TEXT_MAX];
	char shift[TEXT_MAX];
	int64_t local_s = fire->named_s + fire->shift_s;

	out[0] = '\0';
	if (fire->kind == AUT_FIRE_SHIFTED)
	{
		const char *text = wall_text(fire->named_s, named);
		bool same_day = fire->named_s / 86400 == local_s / 86400;

		/* "02:30" suffices when it was to be the same day; seconds when there are any */
		if (same_day && strlen(named) == 19)
			text = named + 11;
		if (strlen(named) == 19 && strcmp(named + 16, ":00") == 0)
			named[16] = '\0';
		(void) snprintf(out, MARK_MAX, "shifted %s: %s does not exist",
						shift_text(fire->shift_s, shift), text);
	}
	else if (fire->kind == AUT_FIRE_SECOND_PASS)
		(void) snprintf(out, MARK_MAX, "second occurrence");
	else if (fire->kind == AUT_FIRE_FIRST_PASS)
		(void) snprintf(out, MARK_MAX, "first of two occurrences");
	else if (fire->clock_changed)
		(void) snprintf(out, MARK_MAX, "clock changes to %s before this fire", fire->abbr);
	return out;
}

static void
fire_init(struct fire *fire, const aut_cron *cron, const aut_tz *tz, int64_t time_us,
		  int64_t before_us)
{
	int32_t offset_before;

	fire->time_us = time_us;
	aut_tz_info(tz, before_us, &offset_before, NULL, NULL);
	aut_tz_info(tz, time_us, &fire->offset_s, &fire->abbr, &fire->dst);
	fire->clock_changed = fire->offset_s != offset_before;
	fire->kind = aut_cron_fire_kind(cron, tz, time_us, &fire->named_s);
	fire->shift_s = (int32_t) (time_us / AUT_US_PER_S + fire->offset_s - fire->named_s);
}

static void
fire_print(const struct fire *fire)
{
	char local[TEXT_MAX];
	char offset[TEXT_MAX];
	char utc[AUT_TIME_TEXT_MAX];
	char mark[MARK_MAX];

	(void) wall_text(fire->named_s + fire->shift_s, local);
	(void) mark_text(fire, mark);
	(void) printf("%s %-6s %-5s %s%s%s\n", local, offset_text(fire->offset_s, offset), fire->abbr,
				  aut_time_format(fire->time_us, utc), mark[0] != '\0' ? "  " : "", mark);
}

static const char *
kind_name(const struct fire *fire)
{
	switch (fire->kind)
	{
		case AUT_FIRE_SHIFTED:
			return "shifted";
		case AUT_FIRE_FIRST_PASS:
			return "first_occurrence";
		case AUT_FIRE_SECOND_PASS:
			return "second_occurrence";
		case AUT_FIRE_PLAIN:
			break;
	}
	return fire->clock_changed ? "clock_changed" : "plain";
}

/* NULL: no memory. */
static json_t *
fire_json(const struct fire *fire)
{
	json_t *object = json_object();
	char text[TEXT_MAX];
	char mark[MARK_MAX];
	bool done = aut_json_set(object, "utc", aut_json_time(fire->time_us)) &&
				aut_json_set(object, "local",
							 json_string(wall_text(fire->named_s + fire->shift_s, text))) &&
				aut_json_set(object, "offset", json_string(offset_text(fire->offset_s, text))) &&
				aut_json_set(object, "abbreviation", aut_json_text_or_null(fire->abbr)) &&
				aut_json_set(object, "dst", json_boolean(fire->dst)) &&
				aut_json_set(object, "kind", json_string(kind_name(fire)));

	if (done && mark_text(fire, mark)[0] != '\0')
		done = aut_json_set(object, "note", aut_json_text_or_null(mark));
	if (!done)
	{
		json_decref(object);
		return NULL;
	}
	return object;
}

/* ---- next ---------------------------------------------------------------------------------- */

static aut_status
print_line(const json_t *value, aut_error *err)
{
	char *text = aut_json_text(value, NULL);

	if (text == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	(void) puts(text);
	aut_free(text);
	return AUT_OK;
}

static aut_status
next_fires(const struct next_args *args, const aut_cron *cron, const aut_tz *tz, int64_t after,
		   json_t *fires, aut_error *err)
{
	int64_t last = after;

	for (int64_t i = 0; i < args->count; i++)
	{
		struct fire fire;
		int64_t time_us;
		aut_status status = aut_cron_next(cron, tz, last, &time_us, err);

		if (status != AUT_OK)
			return status;
		if (time_us == AUT_TIME_NONE)
			break;
		fire_init(&fire, cron, tz, time_us, last);
		if (!args->json)
			fire_print(&fire);
		else if (json_array_append_new(fires, fire_json(&fire)) != 0)
			return aut_fail(err, AUT_ENOMEM, "out of memory");
		last = time_us;
	}
	if (last == after && !args->json)
		(void) printf("no fire within %d years\n", AUT_CRON_SEARCH_YEARS);
	return AUT_OK;
}

static aut_status
next_answer(const struct next_args *args, aut_error *err)
{
	int64_t after = aut_now_us(aut_clock_system());
	const aut_tz *tz = NULL;
	json_t *object = NULL;
	json_t *fires = NULL;
	aut_cron cron;
	aut_status status = AUT_OK;

	if (args->after != NULL)
		status = aut_time_parse(args->after, &after, err);
	if (status == AUT_OK)
		status = aut_schedule_check(args->expr, args->zone, NULL, &cron, &tz, err);
	if (status != AUT_OK)
		return status;
	if (args->json)
	{
		object = json_object();
		fires = json_array();
		if (!aut_json_set(object, "expr", aut_json_text_or_null(args->expr)) ||
			!aut_json_set(object, "tz", aut_json_text_or_null(args->zone)) ||
			!aut_json_set(object, "after", aut_json_time(after)) ||
			!aut_json_set(object, "fires", json_incref(fires)))
			status = aut_fail(err, AUT_ENOMEM, "out of memory");
	}
	if (status == AUT_OK)
		status = next_fires(args, &cron, tz, after, fires, err);
	if (status == AUT_OK && args->json)
		status = print_line(object, err);
	json_decref(fires);
	json_decref(object);
	return status;
}

/* Everything printed has reached its reader, or the command failed. */
static int
finish(const char *command, int result)
{
	if (fflush(stdout) == 0 && ferror(stdout) == 0)
		return result;
	(void) fprintf(stderr, "automation: %s: cannot write the answer: %s\n", command,
				   strerror(errno));
	return AUT_COMMAND_FAILED;
}

int
aut_cmd_next(int argc, char **argv)
{
	struct next_args args = {NULL, "UTC", NULL, COUNT_DEFAULT, false};
	aut_error err = AUT_ERROR_INIT;
	int result = next_parse(argc, argv, &args);

	if (result != AUT_COMMAND_OK)
		return result;
	if (next_answer(&args, &err) != AUT_OK)
	{
		(void) fprintf(stderr, "automation: %s: %s\n", argv[0], err.message);
		result = AUT_COMMAND_FAILED;
	}
	return finish(argv[0], result);
}

/* ---- eval ---------------------------------------------------------------------------------- */

/* Fill `answer` for a question.  AUT_EBADREQ becomes an answer; others end the command. */
static aut_status
no_memory(aut_error *err)
{
	return aut_fail(err, AUT_ENOMEM, "out of memory");
}

static aut_status
say_error(json_t *answer, const char *reason, const char *message, aut_error *err)
{
	if (!aut_json_set(answer, "error", json_true()) ||
		!aut_json_set(answer, "reason", aut_json_text_or_null(reason)) ||
		!aut_json_set(answer, "message", aut_json_text_or_null(message)))
		return no_memory(err);
	return AUT_OK;
}

static aut_status
want_text(const json_t *question, const char *key, const char **out, aut_error *err)
{
	const json_t *value = json_object_get(question, key);

	if (!json_is_string(value))
		return aut_fail(err, AUT_EBADREQ, "member \"%s\" must be a text", key);
	if (strlen(json_string_value(value)) != json_string_length(value))
		return aut_fail(err, AUT_EBADREQ, "member \"%s\" holds a NUL", key);
	*out = json_string_value(value);
	return AUT_OK;
}

static aut_status
want_time(const json_t *question, const char *key, int64_t *out, aut_error *err)
{
	const char *text = NULL;
	aut_status status = want_text(question, key, &text, err);

	if (status == AUT_OK && aut_time_parse(text, out, err) != AUT_OK)
	{
		(void) aut_error_context(err, "member \"%s\"", key);
		status = AUT_EBADREQ;
	}
	return status;
}

/*
 * The schedule of a question.  When it is refused, the refusal is put into the answer and
 * *out_refused is true.
 */
static aut_status
want_schedule(const json_t *question, json_t *answer, aut_cron *out_cron, const aut_tz **out_tz,
			  bool *out_refused, aut_error *err)
{
	const char *expr = NULL;
	const char *zone = "UTC";
	aut_schedule_problem problem = AUT_SCHEDULE_OK;
	aut_status status = want_text(question, "expr", &expr, err);

	*out_refused = false;
	if (status == AUT_OK && json_object_get(question, "tz") != NULL)
		status = want_text(question, "tz", &zone, err);
	if (status == AUT_OK)
		status = aut_schedule_check(expr, zone, &problem, out_cron, out_tz, err);
	if (problem != AUT_SCHEDULE_OK)
	{
		*out_refused = true;
		status = say_error(answer, aut_schedule_problem_name(problem), err->message, err);
	}
	return status;
}

aut_status
aut_eval_cron(const json_t *question, json_t *answer, aut_error *err)
{
	json_t *next = NULL;
	const aut_tz *tz = NULL;
	aut_cron cron;
	bool refused = false;
	int64_t prev = AUT_TIME_NONE;
	int64_t time_us;
	aut_status status = want_schedule(question, answer, &cron, &tz, &refused, err);

	if (status != AUT_OK || refused)
		return status;
	if (cron.random != 0)
		return aut_json_set(answer, "nondeterministic", json_true()) ? AUT_OK : no_memory(err);
	status = want_time(question, "after", &time_us, err);
	if (status == AUT_OK)
		status = aut_cron_prev(&cron, tz, time_us, &prev, err);
	if (status != AUT_OK)
		return status;
	next = json_array();
	if (!aut_json_set(answer, "next", json_incref(next)))
		status = no_memory(err);
	for (int i = 0; i < COUNT_DEFAULT && status == AUT_OK; i++)
	{
		status = aut_cron_next(&cron, tz, time_us, &time_us, err);
		if (status == AUT_OK && time_us == AUT_TIME_NONE)
		{
			if (!aut_json_set(answer, "end", json_true()))
				status = no_memory(err);
			break;
		}
		if (status == AUT_OK && json_array_append_new(next, aut_json_time(time_us)) != 0)
			status = no_memory(err);
	}
	if (status == AUT_OK && !aut_json_set(answer, "prev", aut_json_time(prev)))
		status = no_memory(err);
	json_decref(next);
	return status;
}

aut_status
aut_eval_cron_due(const json_t *question, json_t *answer, aut_error *err)
{
	const aut_tz *tz = NULL;
	aut_cron cron;
	bool refused = false;
	bool due = false;
	int64_t now, created, slot;
	int64_t last = AUT_TIME_NONE;
	const json_t *last_text = json_object_get(question, "last_triggered");
	aut_status status = want_schedule(question, answer, &cron, &tz, &refused, err);

	if (status != AUT_OK || refused)
		return status;
	status = want_time(question, "now", &now, err);
	if (status == AUT_OK && last_text != NULL && !json_is_null(last_text))
		status = want_time(question, "last_triggered", &last, err);
	if (status == AUT_OK)
		status = want_time(question, "created", &created, err);
	if (status == AUT_OK)
		status = aut_cron_due(&cron, tz, now, last, created, &due, &slot, err);
	if (status != AUT_OK)
		return status;
	if (!aut_json_set(answer, "due", json_boolean(due)) ||
		(slot == AUT_TIME_NONE && !aut_json_set(answer, "no_prev", json_true())))
		return no_memory(err);
	return AUT_OK;
}

/* ---- the list ------------------------------------------------------------------------------ */

const aut_command aut_schedule_commands[] = {
	{"next", "show when a cron expression fires next",
	 "Usage: automation next EXPR [--tz ZONE] [--after TIME] [-n COUNT] [--json]\n"
	 "\n"
	 "Prints the next fire times of a cron expression: local time, offset, abbreviation, UTC, and "
	 "a\n"
	 "remark where a change of the clock matters.  Needs no running daemon.\n"
	 "\n"
	 "  EXPR             in quotes, like '30 2 * * 1-5'; see docs/schedule.md for the dialect\n"
	 "  --tz ZONE        name of the tz database, like Europe/Berlin (default UTC)\n"
	 "  --after TIME     like 2026-07-01T12:00:00Z; without an offset it is UTC (default: now)\n"
	 "  -n, --count N    how many, 1 to 1000 (default 5)\n"
	 "  --json           one JSON object instead of lines\n"
	 "\n"
	 "Exit status: 0 answered, 1 the expression, zone or time is refused, 2 wrong usage.\n",
	 aut_cmd_next},
	{NULL, NULL, NULL, NULL},
};
