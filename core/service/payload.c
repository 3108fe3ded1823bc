/* SPDX-License-Identifier: MIT */
/*
 * core/service/payload.c - AUTOMATION_EVENT_PAYLOAD: what a run is told about why it runs.
 *
 * The event or input is put in as the text it was received as: numbers beyond 64 bits and the spelling
 * of floats survive, which a trip through a JSON library would cost.
 */
#include <string.h>

#include "core/service/internal.h"

/* An input, a trigger and names, with room. */
#define PAYLOAD_MAX (4 * 1048576)

static aut_status
append_text(aut_buf *out, const char *name, const char *text)
{
	json_t *value = aut_json_text_or_null(text);
	char *json = aut_json_text(value, NULL);

	json_decref(value);
	if (json == NULL)
		return AUT_ENOMEM;
	aut_buf_printf(out, "%s\"%s\":", out->len > 1 ? "," : "", name);
	aut_buf_puts(out, json);
	aut_free(json);
	return out->status;
}

static aut_status
append_json(aut_buf *out, const char *name, const char *json)
{
	aut_buf_printf(out, ",\"%s\":", name);
	return aut_buf_puts(out, json);
}

aut_status
aut_service_event_payload(const aut_run_task *task, char **out, aut_error *err)
{
	char id[AUT_UUID_TEXT_MAX];
	char *made = NULL;
	aut_status status;
	aut_buf buf;

	aut_buf_init(&buf, PAYLOAD_MAX);
	aut_buf_putc(&buf, '{');
	status = append_text(&buf, "trigger", task->trigger_type);
	if (status == AUT_OK)
		status = append_json(&buf, "trigger_payload", task->trigger);
	if (status == AUT_OK)
		status = append_text(&buf, "automation_id", aut_uuid_format(&task->run.automation_id, id));
	if (status == AUT_OK)
		status = append_text(&buf, "automation_name", task->automation_name);
	if (status == AUT_OK && task->input != NULL)
		status = append_json(&buf, "event", task->input);
	if (status == AUT_OK)
		status = append_text(&buf, "model", task->model);
	if (status == AUT_OK)
		status = aut_buf_putc(&buf, '}');
	if (status == AUT_OK)
		made = aut_buf_take(&buf, NULL);
	aut_buf_done(&buf);
	if (made == NULL)
		return aut_fail(err, status != AUT_OK ? status : AUT_ENOMEM,
						"no room for the event payload of a run");
	*out = made;
	return AUT_OK;
}
