/* SPDX-License-Identifier: MIT */
/*
 * core/service/environments.c - variables of automations: reading, keeping and handing them out.
 *
 * A body's `environment` names the variables that change: a text sets one, null takes one away, what is not
 * named stays; null for the whole takes all away.  It cannot be otherwise, for nobody can read the values
 * back to send them again.
 *
 * A value is never part of a problem: its place there says null.
 */
#include <string.h>

#include "automation/environment.h"
#include "core/service/internal.h"

/* ---- the member of a body ---------------------------------------------------------------------- */

static bool
is_name(const char *name)
{
	static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
	static const char all[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";

	return name[0] != '\0' && strchr(first, name[0]) != NULL && name[strspn(name, all)] == '\0' &&
		   strlen(name) <= AUT_ENVIRONMENT_NAME_MAX;
}

static void
check_one(aut__problems *problems, const aut__loc *at, const char *name, const json_t *value)
{
	aut__loc here = {at, name, 0};

	if (!is_name(name))
		aut__problem_value(problems, &here, NULL,
						   "a variable's name must be letters, digits and _, at most %d, not "
						   "beginning with a digit",
						   AUT_ENVIRONMENT_NAME_MAX);
	else if (!json_is_string(value) && !json_is_null(value))
		aut__problem(problems, &here, "string_type", NULL, NULL, "Input should be a valid string");
	else if (json_string_length(value) > AUT_ENVIRONMENT_VALUE_MAX)
		aut__problem_value(problems, &here, NULL, "a variable's value must be at most %d bytes",
						   AUT_ENVIRONMENT_VALUE_MAX);
}

bool
aut__environment_read(aut__problems *problems, const json_t *body, const json_t **out)
{
	aut__loc here = {&AUT__BODY, "environment", 0};
	json_t *value = json_object_get(body, "environment");
	const char *name;
	json_t *text;

	if (value == NULL)
		return false;
	if (json_is_null(value))
		return true;
	if (!json_is_object(value))
		aut__problem(problems, &here, "dict_type", NULL, NULL,
					 "Input should be a valid dictionary");
	else if (json_object_size(value) > AUT_ENVIRONMENT_COUNT_MAX)
		aut__problem_value(problems, &here, NULL, "at most %d variables are possible",
						   AUT_ENVIRONMENT_COUNT_MAX);
	else
	{
		json_object_foreach(value, name, text) check_one(problems, &here, name, text);
		*out = value;
	}
	return true;
}

/* ---- keeping ----------------------------------------------------------------------------------- */

static aut_seal_place
place_of(const aut_uuid *automation_id)
{
	return (aut_seal_place){"environment", "sealed", automation_id};
}

static aut_status
open_sealed(const aut_sealer *sealer, const aut_uuid *automation_id, const void *sealed, size_t len,
			json_t **out, aut_error *err)
{
	aut_seal_place place = place_of(automation_id);
	char *text = NULL;
	size_t text_len = 0;
	aut_status status = aut_unseal(sealer, &place, sealed, len, &text, &text_len, err);

	if (status == AUT_OK)
		status = aut_json_parse(text, text_len, out, err);
	aut_secret_free(text, text_len);
	return status;
}

/* What there is so far; an object. */
static aut_status
load(const aut_call *call, const aut_uuid *automation_id, json_t **out, aut_error *err)
{
	aut_rows rows = {0};
	aut_status status = aut_store_environment_get(call->db, automation_id, &rows, err);
	const aut_value *sealed = aut_rows_at(&rows, 0, 0);

	if (status == AUT_OK && rows.count == 0)
	{
		*out = json_object();
		if (*out == NULL)
			status = aut_fail(err, AUT_ENOMEM, "out of memory for variables");
	}
	else if (status == AUT_OK)
		status = open_sealed(call->sealer, automation_id, sealed->data, sealed->len, out, err);
	aut_rows_done(&rows);
	return status;
}

/* The changes upon it, and its names as JSON text (aut_free). */
static aut_status
merge(json_t *whole, const json_t *changes, char **out_names, aut_error *err)
{
	json_t *names = json_array();
	size_t bytes = 0;
	const char *name;
	json_t *value;
	bool good = names != NULL;

	json_object_foreach((json_t *) (uintptr_t) changes, name, value)
	{
		if (json_is_null(value))
			(void) json_object_del(whole, name);
		else
			good = good && json_object_set(whole, name, value) == 0;
	}
	json_object_foreach(whole, name, value)
	{
		bytes += strlen(name) + json_string_length(value);
		good = good && json_array_append_new(names, json_string(name)) == 0;
	}
	*out_names = good ? aut_json_text(names, NULL) : NULL;
	json_decref(names);
	if (*out_names == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for variables");
	if (json_object_size(whole) > AUT_ENVIRONMENT_COUNT_MAX || bytes > AUT_ENVIRONMENT_BYTES_MAX)
		return aut_fail(err, AUT_EINVAL,
						"the environment of an automation has at most %d variables and %d bytes",
						AUT_ENVIRONMENT_COUNT_MAX, AUT_ENVIRONMENT_BYTES_MAX);
	return AUT_OK;
}

static aut_status
keep(const aut_call *call, const aut_uuid *automation_id, json_t *whole, const char *names,
	 aut_error *err)
{
	aut_seal_place place = place_of(automation_id);
	size_t len = 0;
	char *text = aut_json_text(whole, &len);
	void *sealed = NULL;
	size_t sealed_len = 0;
	aut_status status;

	if (text == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for variables");
	status = aut_seal(call->sealer, &place, text, len, &sealed, &sealed_len, err);
	if (status == AUT_OK)
		status = aut_store_environment_put(call->db, automation_id, names, sealed, sealed_len, err);
	aut_secret_free(text, len);
	aut_free(sealed);
	return status;
}

aut_status
aut__environment_change(const aut_call *call, const aut_uuid *automation_id, const json_t *changes,
						aut_error *err)
{
	json_t *whole = NULL;
	char *names = NULL;
	aut_status status;

	if (changes == NULL) /* also the way out when the key is lost */
		return aut_store_environment_delete(call->db, automation_id, err);
	status = load(call, automation_id, &whole, err);
	if (status == AUT_OK)
		status = merge(whole, changes, &names, err);
	if (status == AUT_OK && json_object_size(whole) == 0)
		status = aut_store_environment_delete(call->db, automation_id, err);
	else if (status == AUT_OK)
		status = keep(call, automation_id, whole, names, err);
	json_decref(whole);
	aut_free(names);
	return status;
}

/* ---- handing out ------------------------------------------------------------------------------- */

aut_status
aut_service_environment(const aut_run_task *task, const aut_sealer *sealer, json_t **out,
						aut_error *err)
{
	if (task->environment == NULL)
	{
		*out = NULL;
		return AUT_OK;
	}
	return open_sealed(sealer, &task->run.automation_id, task->environment, task->environment_len,
					   out, err);
}

/* ---- secrets in problems ------------------------------------------------------------------------ */

/* A body that is shown as the input of a problem is shown without values. */
static bool
without_values(json_t *problem)
{
	const json_t *input = json_object_get(problem, "input");
	json_t *copy;

	if (json_object_get(input, "environment") == NULL)
		return true;
	copy = json_copy((json_t *) (uintptr_t) input);
	return copy != NULL && json_object_set_new(copy, "environment", json_null()) == 0 &&
		   json_object_set_new(problem, "input", copy) == 0;
}

void
aut__environment_hide(aut__problems *problems)
{
	size_t index;
	json_t *problem;

	json_array_foreach(problems->list, index, problem)
	{
		if (!without_values(problem))
			(void) json_object_del(problem, "input");
	}
}
