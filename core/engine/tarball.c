/* SPDX-License-Identifier: MIT */
/*
 * core/engine/tarball.c - actions that bring a run's tarball to its agent.
 *
 *   an upload in the database     read in a unit, uploaded to the agent
 *   an upload outside of it       read from its store after that unit, uploaded to the agent
 *   http://, https://             downloaded by the agent; each redirect is judged before it is followed
 *   s3://, gs://                  downloaded by the agent from a URL we sign, or by us
 *
 * Uploads in memory are shared (blobs.c).  Objects are read few at a time, so that memory stays bounded
 * however many runs begin at once, and one that is being read already is waited for.
 */
#include <string.h>

#include "core/engine/engine_internal.h"

#define URL_LIFETIME_S   900
#define OBJECT_TRIES_MAX 6 /* 0.2 to 3.2 s apart: a store may be away for a moment */
#define OBJECT_WAIT_MS   100
#define BLOB_BYTES_MAX   (64 * 1048576) /* no tarball of a bucket is read while more is in memory */
#define HOPS_MAX         10             /* redirects that are followed */
#define SOURCE_BYTES_MAX (16 * 1048576) /* of a tarball that goes through this process */

static void
fail(aut_job *job, aut_status code, const char *text)
{
	aut_error error = AUT_ERROR_INIT;
	aut_fail(&error, code, "%s", text);
	aut__job_event(job, AUT_EVENT_FAIL, &error);
}

static bool
internal_upload_id(const char *tarball_path, aut_uuid *out)
{
	static const char PREFIX[] = "oh-internal://uploads/";
	size_t len = sizeof PREFIX - 1;
	return strncmp(tarball_path, PREFIX, len) == 0 &&
		   aut_uuid_parse(tarball_path + len, strlen(tarball_path + len), out);
}

/* ---- objects ------------------------------------------------------------------------------- */

static void
reading_end(aut_job *job)
{
	aut_engine *engine = job->engine;
	for (int i = 0; i < AUT_OBJECTS_READ_MAX; i++)
		if (engine->reading[i] == job)
			engine->reading[i] = NULL;
	job->object_call = NULL;
}

/* A place among those that read, unless there is none, or another run reads the same upload. */
static bool
reading_begin(aut_job *job)
{
	aut_engine *engine = job->engine;
	int at = -1;
	for (int i = 0; i < AUT_OBJECTS_READ_MAX; i++)
	{
		const aut_job *other = engine->reading[i];
		if (other == NULL)
			at = i;
		else if (job->object.store[0] != '\0' &&
				 aut_uuid_equal(&other->object.upload_id, &job->object.upload_id))
			return false;
	}
	if (at >= 0)
		engine->reading[at] = job;
	return at >= 0;
}

static void
come_again(aut_job *job)
{
	aut__job_wait(job, aut__engine_mono(job->engine) + OBJECT_WAIT_MS * AUT_US_PER_MS);
}

static void
object_read(void *payload, aut_status status, const void *data, size_t len, const aut_error *error)
{
	aut_job *job = payload;
	bool upload = job->object.store[0] != '\0';
	aut_error err = *error;
	reading_end(job);
	if (status == AUT_OK && upload && len != (size_t) job->object.size)
		status = aut_fail(&err, AUT_ECORRUPT, "it has %zu bytes in place of %lld", len,
						  (long long) job->object.size);
	if (status == AUT_OK)
	{
		job->blob = aut__blob_add(job->engine, upload ? &job->object.upload_id : NULL, data, len);
		if (job->blob == NULL)
			status = aut_fail(&err, AUT_ENOMEM, "no memory for a tarball");
	}
	if (status == AUT_OK)
		aut__job_event(job, AUT_EVENT_DONE, NULL);
	else if (status == AUT_ENOTFOUND)
		fail(job, AUT_ENOTFOUND, "the tarball of the automation is gone: there is no such object");
	else
	{
		bool again = aut_status_may_retry(status) && job->tries < OBJECT_TRIES_MAX - 1;
		(void) aut_error_context(&err, "the tarball of the automation cannot be read");
		aut__job_event(job, again ? AUT_EVENT_RETRY : AUT_EVENT_FAIL, &err);
	}
}

/* Read job->object, or the tarball_path itself in a bucket. */
static void
read_object(aut_job *job)
{
	aut_engine *engine = job->engine;
	const aut_settings *s = engine->options.settings;
	aut_error err = AUT_ERROR_INIT;
	bool upload = job->object.store[0] != '\0';
	int64_t max =
		s->external_max_filesize < SOURCE_BYTES_MAX ? s->external_max_filesize : SOURCE_BYTES_MAX;
	aut_status status;
	if (upload && (job->blob = aut__blob_find(engine, &job->object.upload_id)) != NULL)
	{
		aut__job_event(job, AUT_EVENT_DONE, NULL);
		return;
	}
	if ((!upload && engine->blob_bytes > BLOB_BYTES_MAX) || !reading_begin(job))
	{
		come_again(job);
		return;
	}
	if (upload)
		status = aut_object_get(engine->objects, job->object.store, job->object.name,
								AUT_UPLOAD_MAX, object_read, job, &job->object_call, &err);
	else
		status = aut_object_fetch(engine->objects, job->task.tarball_path, (size_t) max,
								  s->external_download_timeout, object_read, job, &job->object_call,
								  &err);
	if (status != AUT_OK)
		object_read(job, status, NULL, 0, &err);
}

/* ---- loading ------------------------------------------------------------------------------- */

/* The upload is gone: was the automation given another since the run was claimed, as by a new prompt?
 * ENOTFOUND: no. */
static aut_status
load_successor(const aut_job *job, aut_db *db, aut_uuid *inout, aut_rows *out, aut_error *err)
{
	aut_automation_list list = {0};
	aut_uuid gone = *inout;
	aut_status status =
		aut_store_automation_get(db, &job->task.org_id, &job->task.run.automation_id, &list, err);
	if (status == AUT_OK &&
		(!internal_upload_id(list.items[0].tarball_path, inout) || aut_uuid_equal(inout, &gone)))
		status = aut_fail(err, AUT_ENOTFOUND, "the upload was deleted");
	if (status == AUT_OK)
		status = aut_store_upload_data(db, inout, out, err);
	aut_automation_list_done(&list);
	return status;
}

static aut_status
load_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	aut_job *job = aut__job_of_unit(unit);
	aut_uuid id;
	aut__blob_unref(job->engine, job->blob); /* of a run that is repeated */
	job->blob = NULL;
	job->object = (aut_object_ref){0};
	if (!internal_upload_id(job->task.tarball_path, &id))
		return aut_fail(err, AUT_EINVAL, "tarball_path is not an upload's address");
	job->blob = aut__blob_find(job->engine, &id);
	if (job->blob != NULL)
		return AUT_OK; /* another run's load of this turn brought it */
	aut_rows rows = {0};
	aut_status status = aut_store_upload_data(db, &id, &rows, err);
	if (status == AUT_ENOTFOUND)
	{
		status = aut_service_upload_place(db, &id, &job->object, err);
		if (status != AUT_ENOTFOUND)
			return status;
		status = load_successor(job, db, &id, &rows, err);
	}
	if (status != AUT_OK)
		return status;
	const aut_value *data = aut_rows_at(&rows, 0, 0);
	job->blob = aut__blob_add(job->engine, &id, data->data, data->len);
	aut_rows_done(&rows);
	if (job->blob == NULL)
		return aut_fail(err, AUT_ENOMEM, "no memory for a tarball");
	return AUT_OK;
}

static void
load_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	aut_job *job = aut__job_of_unit(unit);
	if (status == AUT_ENOTFOUND)
	{
		job->engine->units_in_flight--;
		fail(job, AUT_ENOTFOUND, "the tarball of the automation is gone: its upload was deleted");
		return;
	}
	if (status == AUT_OK && job->blob == NULL)
	{
		job->engine->units_in_flight--;
		read_object(job);
		return;
	}
	job->won = true;
	aut__job_db_done(unit, status, err);
}

/* A tarball in a bucket: may it be used, and who downloads it? */
static void
load_address(aut_job *job)
{
	const aut_settings *s = job->engine->options.settings;
	aut_error err = AUT_ERROR_INIT;
	if (aut_object_address_check(s, job->task.tarball_path, &err) != AUT_OK)
		aut__job_event(job, AUT_EVENT_FAIL, &err);
	else if (strcmp(s->object_download, "server") == 0)
		read_object(job);
	else
		aut__job_event(job, AUT_EVENT_URL, NULL);
}

void
aut__job_tarball_load(aut_job *job)
{
	const char *path = job->task.tarball_path;
	aut_uuid id;
	if (strncmp(path, "https://", 8) == 0 || strncmp(path, "http://", 7) == 0)
		aut__job_event(job, AUT_EVENT_URL, NULL);
	else if (aut_object_is_address(path))
		load_address(job);
	else if (!internal_upload_id(path, &id))
	{
		aut_error error = AUT_ERROR_INIT;
		aut_fail(&error, AUT_EUNSUPPORTED,
				 "tarball_path \"%.100s\" cannot be fetched: oh-internal://uploads/<id>, http://, "
				 "https://, s3:// and gs:// can",
				 path);
		aut__job_event(job, AUT_EVENT_FAIL, &error);
	}
	else if (job->blob != NULL || (job->blob = aut__blob_find(job->engine, &id)) != NULL)
		aut__job_event(job, AUT_EVENT_DONE, NULL);
	else
		aut__job_unit(job, load_run, load_done);
}

void
aut__job_tarball_forget(aut_job *job)
{
	aut_object_cancel(job->object_call);
	reading_end(job);
}

/* ---- to the agent -------------------------------------------------------------------------- */

static void fetched(void *payload, const aut_agent_answer *answer);

static void
fetch(aut_job *job, const char *url)
{
	aut_error err = AUT_ERROR_INIT;
	const aut_settings *s = job->engine->options.settings;
	aut_status status = aut_agent_fetch(job->agent, url, s->external_max_filesize,
										s->external_download_timeout, fetched, job, &err);
	if (status != AUT_OK)
		aut__job_not_begun(job, status, &err);
}

static void
fetch_allowed(aut_job *job)
{
	fetch(job, job->location != NULL ? job->location : job->task.tarball_path);
}

/* The tarball is said to be elsewhere: judge that address like the first. */
static void
follow(aut_job *job, const char *location)
{
	aut_error err = AUT_ERROR_INIT;
	aut_status status = AUT_OK;
	aut_free(job->location);
	job->location = aut_strdup(location);
	if (job->location == NULL)
		status = aut_fail(&err, AUT_ENOMEM, "no memory for an address");
	else if (++job->hops > HOPS_MAX)
	{
		fail(job, AUT_ELIMIT, "download of the tarball: more than 10 redirects");
		return;
	}
	if (status == AUT_OK)
		status = aut__job_lookup(job, job->location, fetch_allowed, &err);
	if (status == AUT_EDENIED)
		(void) aut_error_context(&err, "redirected");
	if (status != AUT_OK)
		aut__job_not_begun(job, status, &err);
}

static void
fetched(void *payload, const aut_agent_answer *answer)
{
	if (answer->result == AUT_AGENT_DONE && answer->location != NULL)
		follow(payload, answer->location);
	else
		aut__job_answered(payload, answer);
}

void
aut__job_tarball_fetch(aut_job *job)
{
	aut_error err = AUT_ERROR_INIT;
	const char *path = job->task.tarball_path;
	char *made = NULL;
	aut_status status;
	/* from the beginning, also when it is repeated */
	aut_free(job->location);
	job->location = NULL;
	job->hops = 0;
	/* The host of a bucket is the operator's word; that of a URL is its author's, and is looked up. */
	if (!aut_object_is_address(path))
		status = aut__job_lookup(job, path, fetch_allowed, &err);
	else
		/* signed at each try: the last one's may be over */
		status = aut_object_sign_url(job->engine->objects, path, URL_LIFETIME_S, &made, &err);
	if (status != AUT_OK)
		aut__job_not_begun(job, status, &err);
	else if (made != NULL)
		fetch(job, made);
	aut_free(made);
}

void
aut__job_tarball_upload(aut_job *job)
{
	aut_error err = AUT_ERROR_INIT;
	size_t len = 0;
	const void *data = aut__blob_data(job->blob, &len);
	aut_status status = aut_agent_upload(job->agent, aut_agent_paths(job->agent)->tarball, data,
										 len, aut__job_answered, job, &err);
	if (status != AUT_OK)
		aut__job_not_begun(job, status, &err);
}
