/* SPDX-License-Identifier: MIT */
/*
 * standalone/agent_fault.c - the embedded agent as a stand-in that misbehaves: faults, log of calls.
 *
 * A rule is OPERATION:WHAT[:COUNT].  OPERATION is a route's name (upload, download, mkdir, start,
 * execute, stop, search, event, health, info) or "any"; WHAT is a status from 400 to 599 (answered
 * instead of doing it), "drop" (done, then the connection is closed without an answer), "garbage"
 * (done, answered with rubbish) or "delay=MS"; COUNT is how many times it applies, "*" for ever, default
 * 1.  The first rule that fits and has something left applies.
 *
 * The log holds one JSON line per call with the time it arrived in microseconds, for measuring; it is
 * flushed when the loop comes to rest.
 */
#include <string.h>

#include "standalone/agent_internal.h"

static bool
parse_what(const char *what, agentd_fault *fault)
{
	int64_t number = 0;
	bool ok = true;

	if (strcmp(what, "drop") == 0)
	{
		fault->kind = FAULT_DROP;
	}
	else if (strcmp(what, "garbage") == 0)
	{
		fault->kind = FAULT_GARBAGE;
	}
	else if (strncmp(what, "delay=", 6) == 0)
	{
		fault->kind = FAULT_DELAY;
		ok = aut_int_parse(what + 6, 0, 3600000, &number);
	}
	else
	{
		fault->kind = FAULT_STATUS;
		ok = aut_int_parse(what, 400, 599, &number);
	}
	fault->value = (int) number;
	return ok;
}

aut_status
agentd_fault_parse(const char *text, agentd_fault *out, aut_error *err)
{
	agentd_fault fault;
	char what[32];
	const char *first = strchr(text, ':');
	const char *second = first != NULL ? strchr(first + 1, ':') : NULL;
	size_t what_len = first == NULL    ? 0
					  : second != NULL ? (size_t) (second - first - 1)
									   : strlen(first + 1);

	memset(&fault, 0, sizeof fault);
	fault.left = 1;
	if (first == NULL || first == text || (size_t) (first - text) >= sizeof fault.operation ||
		what_len == 0 || what_len >= sizeof what)
	{
		return aut_fail(err, AUT_EINVAL, "a fault is OPERATION:WHAT[:COUNT], not \"%.64s\"", text);
	}
	memcpy(fault.operation, text, (size_t) (first - text));
	memcpy(what, first + 1, what_len);
	what[what_len] = '\0';
	if (!parse_what(what, &fault))
	{
		return aut_fail(err, AUT_EINVAL,
						"a fault is a status (400-599), drop, garbage or delay=MS, not \"%s\"",
						what);
	}
	if (second != NULL && strcmp(second + 1, "*") == 0)
	{
		fault.left = INT64_MAX;
	}
	else if (second != NULL && !aut_int_parse(second + 1, 0, INT64_MAX - 1, &fault.left))
	{
		return aut_fail(err, AUT_EINVAL, "a fault's count is a number or *, not \"%.32s\"",
						second + 1);
	}
	*out = fault;
	return AUT_OK;
}

const agentd_fault *
agentd_fault_take(agentd *agent, const char *operation)
{
	for (int i = 0; i < agent->options.fault_count; i++)
	{
		agentd_fault *fault = &agent->options.faults[i];

		if (fault->left > 0 &&
			(strcmp(fault->operation, "any") == 0 || strcmp(fault->operation, operation) == 0))
		{
			fault->left -= fault->left != INT64_MAX ? 1 : 0;
			return fault;
		}
	}
	return NULL;
}

void
agentd_log_call(agentd *agent, const char *method, const char *path, const char *run_id)
{
	json_t *line;
	char *text;

	if (agent->log == NULL)
	{
		return;
	}
	line = json_pack("{s:I, s:s, s:o, s:s}", "t_us", (json_int_t) aut_now_us(aut_clock_system()),
					 "method", method, "path", aut_json_text_or_null(path), "run_id", run_id);
	text = line != NULL ? aut_json_text(line, NULL) : NULL;
	if (text != NULL)
	{
		(void) fprintf(agent->log, "%s\n", text);
	}
	aut_free(text);
	json_decref(line);
}

bool
agentd_find_run_id(const char *text, size_t len, char out[AUT_UUID_TEXT_MAX])
{
	static const char prefix[] = "automation-";
	const char *end = text + len;
	const char *at = text;
	aut_uuid uuid;

	while ((at = memmem(at, (size_t) (end - at), prefix, sizeof prefix - 1)) != NULL)
	{
		at += sizeof prefix - 1;
		if (end - at >= 36 && aut_uuid_parse(at, 36, &uuid))
		{
			(void) aut_uuid_format(&uuid, out);
			return true;
		}
	}
	return false;
}
