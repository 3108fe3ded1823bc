/* SPDX-License-Identifier: MIT */
/*
 * core/service/trigger_form.c - reading a trigger: the tagged union, its checks, its stored form.
 *
 * A trigger is stored normalized, with every default filled in, so that nobody behind this file ever
 * asks what an absent member means.  Two sources of event triggers are ours: `manual` (the automation
 * is only ever started by hand; `on` is empty) and `sql` (a row trigger starts it; only the SQL door
 * makes these).
 *
 * Filters and the other expressions are JMESPath (core/match).  Only their syntax is checked here: what
 * an unknown function or a wrong argument comes to depends on the event.
 */
#include <string.h>

#include "automation/match.h"
#include "core/service/internal.h"

void
aut__trigger_done(aut__trigger *trigger)
{
	if (trigger == NULL)
		return;
	json_decref(trigger->json);
	memset(trigger, 0, sizeof *trigger);
}

static void
out_of_memory(aut__problems *problems)
{
	aut_error why = AUT_ERROR_INIT;

	aut_fail(&why, AUT_ENOMEM, "out of memory while reading a trigger");
	aut__problems_fail(problems, &why);
}

/* ---- cron ----------------------------------------------------------------------------------- */

/* Is why about what was asked?  Else the check could not be made. */
static bool
is_verdict(aut__problems *problems, const aut_error *why)
{
	if (why->code == AUT_EINVAL)
		return true;
	aut__problems_fail(problems, why);
	return false;
}

static bool
schedule_check(aut__problems *problems, const aut__loc *at, const json_t *object,
			   const char *schedule)
{
	aut__loc here = {at, "schedule", 0};
	aut_schedule_problem problem = AUT_SCHEDULE_OK;
	aut_error why = AUT_ERROR_INIT;

	/* Whether it ever fires does not depend on the zone, whether the zone exists not on it: both are
	 * judged, so that both can be reported. */
	if (aut_schedule_check(schedule, "UTC", &problem, NULL, NULL, &why) == AUT_OK)
		return true;
	if (is_verdict(problems, &why))
		aut__problem_value(problems, &here, json_object_get(object, "schedule"), "%s", why.message);
	return false;
}

/*
 * Systems carry the database twice more, in folders for another use of it: posix/ is the same again,
 * right/ counts leap seconds, which no clock here does.  Neither is a name of a zone.
 */
static bool
is_zone_name(const char *name)
{
	return strncmp(name, "posix/", 6) != 0 && strncmp(name, "right/", 6) != 0;
}

static bool
cron_check(aut__problems *problems, const aut__loc *at, const json_t *object, aut__trigger *out)
{
	static const char *const known[] = {"type", "schedule", "timezone", NULL};
	aut__loc here = {at, "cron", 0};
	aut__loc zone = {&here, "timezone", 0};
	const char *schedule = NULL;
	const char *timezone = "UTC";
	const aut_tz *tz;
	aut_error why = AUT_ERROR_INIT;
	bool good;

	good =
		aut__read_text(problems, &here, object, &(aut__rule){.name = "schedule", .required = true},
					   &schedule) == AUT__VALUE &&
		schedule_check(problems, &here, object, schedule);
	if (aut__read_text(problems, &here, object, &(aut__rule){.name = "timezone"}, &timezone) ==
		AUT__BAD)
		good = false;
	else if (!is_zone_name(timezone))
	{
		aut__problem_value(problems, &zone, json_object_get(object, "timezone"),
						   "Unknown time zone \"%.100s\"", timezone);
		good = false;
	}
	else if (aut_tz_get(timezone, &tz, &why) != AUT_OK)
	{
		if (is_verdict(problems, &why))
			aut__problem_value(problems, &zone, json_object_get(object, "timezone"), "%s",
							   why.message);
		good = false;
	}
	aut__refuse_others(problems, &here, object, known);
	if (!good)
		return false;
	out->type = "cron";
	out->json =
		json_pack("{s:s, s:s, s:s}", "type", "cron", "schedule", schedule, "timezone", timezone);
	if (out->json == NULL)
		out_of_memory(problems);
	out->schedule = aut_json_string(out->json, "schedule");
	out->timezone = aut_json_string(out->json, "timezone");
	return out->json != NULL;
}

/* ---- event ---------------------------------------------------------------------------------- */

/* `on`: a text, or a list of texts.  When it is neither, both members of the union complain. */
bool
aut__patterns_check(aut__problems *problems, const aut__loc *at, const json_t *object,
					const json_t **out)
{
	aut__loc on = {at, "on", 0};
	aut__loc as_text = {&on, "str", 0};
	aut__loc as_list = {&on, "list[str]", 0};
	const json_t *value = NULL;
	bool good = true;

	if (aut__read_any(problems, at, object, &(aut__rule){.name = "on", .required = true}, &value) !=
		AUT__VALUE)
		return false;
	*out = value;
	if (json_is_string(value))
		return true;
	for (size_t i = 0; i < json_array_size(value); i++)
		good = good && json_is_string(json_array_get(value, i));
	if (json_is_array(value) && good)
		return true;

	aut__problem(problems, &as_text, "string_type", value, NULL, "Input should be a valid string");
	if (!json_is_array(value))
		aut__problem(problems, &as_list, "list_type", value, NULL, "Input should be a valid list");
	for (size_t i = 0; i < json_array_size(value); i++)
	{
		const json_t *item = json_array_get(value, i);
		aut__loc here = {&as_list, NULL, i};

		if (!json_is_string(item))
			aut__problem(problems, &here, "string_type", item, NULL,
						 "Input should be a valid string");
	}
	return false;
}

/* An expression member: null, "" and absent are no expression. */
bool
aut__expression_check(aut__problems *problems, const aut__loc *at, const json_t *object,
					  const char *name, const char **out)
{
	aut__loc here = {at, name, 0};
	aut_error why = AUT_ERROR_INIT;
	aut__got got =
		aut__read_text(problems, at, object, &(aut__rule){.name = name, .nullable = true}, out);

	if (got != AUT__VALUE || (*out)[0] == '\0' ||
		aut_filter_check(*out, strlen(*out), &why) == AUT_OK)
		return got != AUT__BAD;
	if (is_verdict(problems, &why))
		aut__problem_value(problems, &here, json_object_get(object, name),
						   "%s is not a JMESPath expression: %s", name, why.message);
	return false;
}

static bool
reserved_check(aut__problems *problems, const aut__loc *at, const json_t *object,
			   const char *source, const json_t *on, bool sql)
{
	aut__loc here = {at, "source", 0};

	if (strcmp(source, "manual") == 0 && !(json_is_array(on) && json_array_size(on) == 0))
	{
		aut__problem_value(
			problems, &here, json_object_get(object, "source"),
			"source \"manual\" is reserved for automations that are only started by hand; "
			"\"on\" must be an empty list with it");
		return false;
	}
	if (strcmp(source, "sql") == 0 && !sql)
	{
		aut__problem_value(problems, &here, json_object_get(object, "source"),
						   "source \"sql\" is reserved for automations that row triggers start");
		return false;
	}
	return true;
}

static bool
event_check(aut__problems *problems, const aut__loc *at, const json_t *object, bool sql,
			aut__trigger *out)
{
	static const char *const known[] = {"type",           "source",      "on",
										"filter",         "destination", "subject_key_expr",
										"turn_text_expr", "wake_agent",  NULL};
	static const char *const destinations[] = {"dispatch_run", "continue_conversation", NULL};
	aut__loc here = {at, "event", 0};
	const char *source = NULL;
	const char *filter = NULL;
	const char *destination = destinations[0];
	const char *subject = NULL;
	const char *turn = NULL;
	const json_t *on = NULL;
	bool wake = true;
	bool good;

	good = aut__read_text(problems, &here, object, &(aut__rule){.name = "source", .required = true},
						  &source) == AUT__VALUE;
	good = aut__patterns_check(problems, &here, object, &on) && good;
	good = good && reserved_check(problems, &here, object, source, on, sql);
	good = aut__expression_check(problems, &here, object, "filter", &filter) && good;
	good = aut__read_word(problems, &here, object, &(aut__rule){.name = "destination"},
						  destinations, &destination) != AUT__BAD &&
		   good;
	good = aut__expression_check(problems, &here, object, "subject_key_expr", &subject) && good;
	good = aut__expression_check(problems, &here, object, "turn_text_expr", &turn) && good;
	good = aut__read_bool(problems, &here, object, &(aut__rule){.name = "wake_agent"}, &wake) !=
			   AUT__BAD &&
		   good;
	aut__refuse_others(problems, &here, object, known);
	if (!good)
		return false;
	out->type = "event";
	out->continues = destination == destinations[1];
	out->json =
		json_pack("{s:s, s:s, s:O, s:s?, s:s, s:s?, s:s?, s:b}", "type", "event", "source", source,
				  "on", on, "filter", filter, "destination", destination, "subject_key_expr",
				  subject, "turn_text_expr", turn, "wake_agent", (int) wake);
	if (out->json == NULL)
		out_of_memory(problems);
	return out->json != NULL;
}

/* ---- the union ------------------------------------------------------------------------------- */

bool
aut__trigger_check(aut__problems *problems, const aut__loc *at, const json_t *value, bool sql,
				   aut__trigger *out)
{
	const char *type = aut_json_string(value, "type");
	aut__trigger made = {0};
	size_t before = json_array_size(problems->list);
	bool good;

	if (type != NULL && strcmp(type, "cron") == 0)
		good = cron_check(problems, at, value, &made);
	else if (type != NULL && strcmp(type, "event") == 0)
		good = event_check(problems, at, value, sql, &made);
	else
	{
		aut__problem(problems, at, "union_tag_invalid", value,
					 json_pack("{s:s, s:s, s:s}", "discriminator", "type", "tag",
							   type != NULL ? type : "__missing_trigger_type__", "expected_tags",
							   "'cron', 'event'"),
					 "The trigger's type is %.60s%.60s%s; it must be 'cron' or 'event'",
					 type != NULL ? "'" : "missing", type != NULL ? type : "",
					 type != NULL ? "'" : "");
		good = false;
	}
	/* an unknown member beside good ones is a problem too */
	if (!good || json_array_size(problems->list) != before)
	{
		aut__trigger_done(&made);
		return false;
	}
	*out = made;
	return true;
}

aut_status
aut__trigger_load(const char *text, aut__trigger *out, aut_error *err)
{
	aut__trigger made = {0};
	const char *destination;
	aut_status status;

	if (text == NULL)
		return aut_fail(err, AUT_ECORRUPT, "the stored trigger is missing");
	status = aut_json_parse(text, strlen(text), &made.json, err);
	if (status == AUT_EBADREQ)
		status = aut_fail(err, AUT_ECORRUPT, "the stored trigger is not JSON");
	if (status != AUT_OK)
		return status;
	made.type = aut_json_string(made.json, "type");
	made.schedule = aut_json_string(made.json, "schedule");
	made.timezone = aut_json_string(made.json, "timezone");
	destination = aut_json_string(made.json, "destination");
	made.continues = destination != NULL && strcmp(destination, "continue_conversation") == 0;
	if (made.type == NULL ||
		(strcmp(made.type, "cron") == 0 && (made.schedule == NULL || made.timezone == NULL)))
	{
		aut__trigger_done(&made);
		return aut_fail(err, AUT_ECORRUPT, "the stored trigger lacks members");
	}
	*out = made;
	return AUT_OK;
}
