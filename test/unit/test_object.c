/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_object.c - objects outside of the database: signed URLs against Amazon's documented
 * example, where buckets are, which addresses may be used, and a folder that is whole or untouched.
 * Requests to buckets are tested against a stand-in that checks signatures (test/api/test_storage.py).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/object/object_internal.h"
#include "test/unit/torture.h"

typedef struct fixture
{
	char folder[64];
	aut_settings settings;
	aut_clock_manual clock;
	aut_loop *loop;
	aut_objects *objects;
	aut_error err;
	/* what was told */
	int told;
	aut_status status;
	char data[64];
	size_t len;
} fixture;

static void
set(fixture *f, const char *member, const char *text)
{
	f->err = (aut_error) AUT_ERROR_INIT;
	if (aut_settings_set(&f->settings, aut_setting_find(member), text, &f->err) != AUT_OK)
		fail_msg("%s", f->err.message);
}

static int
setup(void **state)
{
	fixture *f = calloc(1, sizeof *f);

	assert_non_null(f);
	snprintf(f->folder, sizeof f->folder, "/tmp/aut-object-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	assert_int_equal(aut_settings_init(&f->settings, NULL), AUT_OK);
	aut_clock_manual_init(&f->clock, INT64_C(1369353600000000)); /* 2013-05-24T00:00:00Z */
	assert_int_equal(aut_loop_new(&f->loop, NULL), AUT_OK);
	assert_int_equal(
		aut_objects_new(f->loop, NULL, &f->settings, &f->clock.clock, &f->objects, NULL), AUT_OK);
	set(f, "local_storage_path", f->folder);
	set(f, "aws_access_key_id", "AKIAIOSFODNN7EXAMPLE");
	set(f, "aws_secret_access_key", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	fixture *f = *state;
	char command[100];
	int rc;

	aut_objects_free(f->objects);
	aut_loop_free(f->loop);
	aut_settings_done(&f->settings);
	snprintf(command, sizeof command, "rm -rf %s", f->folder);
	rc = system(command);
	free(f);
	return rc;
}

/* ---- signed URLs ---------------------------------------------------------------------------- */

/* The example of "Authenticating Requests: Using Query Parameters" in Amazon's S3 API reference. */
static void
test_sign__amazons_example(void **state)
{
	aut__signing signing = {.host = "examplebucket.s3.amazonaws.com",
							.path = "/test.txt",
							.region = "us-east-1",
							.key_id = "AKIAIOSFODNN7EXAMPLE",
							.secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
							.now_us = INT64_C(1369353600000000),
							.lifetime_s = 86400};
	aut_buf out;

	(void) state;
	aut_buf_init(&out, 4096);
	assert_int_equal(aut__sigv4_query(&signing, &out, NULL), AUT_OK);
	assert_string_equal(
		out.data,
		"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524"
		"%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400"
		"&X-Amz-SignedHeaders=host&X-Amz-Signature="
		"aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
	aut_buf_done(&out);
}

static void
test_sign__a_region_that_is_too_long_is_refused(void **state)
{
	char region[300];
	aut__signing signing = {
		.host = "h", .path = "/", .region = region, .key_id = "k", .secret = "s"};
	aut_buf out;

	(void) state;
	memset(region, 'a', sizeof region - 1);
	region[sizeof region - 1] = '\0';
	aut_buf_init(&out, 4096);
	assert_int_equal(aut__sigv4_query(&signing, &out, NULL), AUT_EINVAL);
	aut_buf_done(&out);
}

static void
test_sign__url_has_the_bucket_in_its_path_and_is_encoded(void **state)
{
	fixture *f = *state;
	char *url = NULL;

	set(f, "object_sources", "s3://other, s3://code/team a");
	set(f, "aws_s3_secure", "false");
	set(f, "aws_s3_endpoint", "http://127.0.0.1:80/base/");
	assert_int_equal(
		aut_object_sign_url(f->objects, "s3://code/team a/x+y.tgz", 900, &url, &f->err), AUT_OK);
	assert_memory_equal(url,
						"http://127.0.0.1:80/base/code/team%20a/x%2By.tgz?X-Amz-Algorithm=", 65);
	assert_non_null(strstr(url, "&X-Amz-Expires=900&"));
	aut_free(url);
}

static aut_status
sign(void *payload)
{
	fixture *f = payload;
	char *url = NULL;
	aut_status status = aut_object_sign_url(f->objects, "s3://code/x", 900, &url, &f->err);

	aut_free(url);
	return status;
}

static void
test_sign__torture(void **state)
{
	fixture *f = *state;

	set(f, "object_sources", "s3://code");
	torture(sign, f);
}

/* ---- where buckets are ------------------------------------------------------------------------ */

static void
bucket_is(fixture *f, bool gcs, const char *url, const char *host)
{
	aut__bucket bucket = {0};

	if (aut__bucket_init(&f->settings, gcs, NULL, &bucket, &f->err) != AUT_OK)
		fail_msg("%s", f->err.message);
	assert_string_equal(bucket.url, url);
	assert_string_equal(bucket.host, host);
	aut__bucket_done(&bucket);
}

static void
test_bucket__urls(void **state)
{
	fixture *f = *state;

	set(f, "aws_s3_bucket", "my.bucket");
	bucket_is(f, false, "https://s3.us-east-1.amazonaws.com/my.bucket",
			  "s3.us-east-1.amazonaws.com");
	set(f, "aws_region", "eu-west-1");
	bucket_is(f, false, "https://s3.eu-west-1.amazonaws.com/my.bucket",
			  "s3.eu-west-1.amazonaws.com");
	set(f, "aws_s3_endpoint", "minio:9000");
	bucket_is(f, false, "https://minio:9000/my.bucket", "minio:9000");
	set(f, "aws_s3_endpoint", "https://minio:443/");
	bucket_is(f, false, "https://minio:443/my.bucket", "minio");
	set(f, "aws_s3_secure", "false");
	set(f, "aws_s3_endpoint", "minio:9000");
	bucket_is(f, false, "http://minio:9000/my.bucket", "minio:9000");

	set(f, "gcs_bucket_name", "bucket");
	set(f, "gcs_access_key_id", "GOOG1");
	set(f, "gcs_secret_access_key", "secret");
	bucket_is(f, true, "https://storage.googleapis.com/bucket", "storage.googleapis.com");
	set(f, "storage_emulator_host", "http://localhost:4443");
	bucket_is(f, true, "http://localhost:4443/bucket", "localhost:4443");
}

static void
test_check__says_what_is_missing(void **state)
{
	fixture *f = *state;

	assert_int_equal(aut_objects_check(&f->settings, &f->err), AUT_OK);
	set(f, "file_store", "local");
	assert_int_equal(aut_objects_check(&f->settings, &f->err), AUT_OK);
	set(f, "local_storage_path", "relative");
	assert_int_equal(aut_objects_check(&f->settings, &f->err), AUT_EINVAL);
	set(f, "file_store", "s3");
	assert_int_equal(aut_objects_check(&f->settings, &f->err), AUT_EINVAL);
	assert_non_null(strstr(f->err.message, "AWS_S3_BUCKET"));
	set(f, "aws_s3_bucket", "../x");
	assert_int_equal(aut_objects_check(&f->settings, &f->err), AUT_EINVAL);
	set(f, "aws_s3_bucket", "bucket");
	assert_int_equal(aut_objects_check(&f->settings, &f->err), AUT_OK);
	set(f, "aws_s3_endpoint", "http://minio:9000");
	assert_int_equal(aut_objects_check(&f->settings, &f->err), AUT_EINVAL);
	assert_non_null(strstr(f->err.message, "AWS_S3_SECURE"));
	set(f, "file_store", "gcs");
	set(f, "gcs_bucket_name", "bucket");
	assert_int_equal(aut_objects_check(&f->settings, &f->err), AUT_EINVAL);
	assert_non_null(strstr(f->err.message, "HMAC"));
}

/* The names without the prefix are read, too; the prefixed ones have the last word. */
static void
test_settings__names_without_the_prefix(void **state)
{
	const char *given[] = {"FILE_STORE=s3",
						   "AWS_S3_BUCKET=plain",
						   "AUTOMATION_AWS_S3_BUCKET=prefixed",
						   "AWS_DEFAULT_REGION=low",
						   "AWS_REGION=high",
						   "GCS_BUCKET_NAME=",
						   "FILE_STORES=moon",
						   NULL};
	const char *wrong[] = {"FILE_STORE=moon", NULL};
	fixture *f = *state;

	assert_int_equal(
		aut_settings_from_environment(&f->settings, (char **) given, NULL, NULL, &f->err), AUT_OK);
	assert_string_equal(f->settings.file_store, "s3");
	assert_string_equal(f->settings.aws_s3_bucket, "prefixed");
	assert_string_equal(f->settings.aws_region, "high");
	assert_int_equal(
		aut_settings_from_environment(&f->settings, (char **) wrong, NULL, NULL, &f->err),
		AUT_EINVAL);
	assert_non_null(strstr(f->err.message, "database, local, s3, gcs"));
}

/* ---- addresses ---------------------------------------------------------------------------- */

static void
test_address__only_what_is_listed_and_never_an_upload(void **state)
{
	static const struct
	{
		const char *address;
		aut_status status;
	} rows[] = {
		{"s3://code/team/x.tgz", AUT_OK},
		{"s3://code/team", AUT_OK},
		{"s3://code/teams/x.tgz", AUT_EDENIED},
		{"s3://code/x.tgz", AUT_EDENIED},
		{"s3://all/x.tgz", AUT_OK},
		{"s3://allx/x.tgz", AUT_EDENIED},
		{"gs://all/x.tgz", AUT_EDENIED},
		{"gs://ggg/deep/x.tgz", AUT_OK},
		{"s3://all/automation/uploads/o/u/x.tar", AUT_EDENIED},
		{"s3://all/automation/uploadsx", AUT_OK},
		{"s3://code/team/../secret", AUT_EINVAL},
		{"s3://code/team/./x", AUT_EINVAL},
		{"s3://code/team//x", AUT_EINVAL},
		{"s3://all/..", AUT_EINVAL},
		{"s3://all/", AUT_EINVAL},
		{"s3://all", AUT_EINVAL},
		{"s3://", AUT_EINVAL},
		{"s3:///x", AUT_EINVAL},
		{"s3://a@b/x", AUT_EINVAL},
		{"s3://all/x\ny", AUT_EINVAL},
		{"https://all/x", AUT_EINVAL},
	};
	fixture *f = *state;

	set(f, "aws_s3_bucket", "all");
	assert_int_equal(aut_object_address_check(&f->settings, "s3://all/x", &f->err), AUT_EDENIED);
	set(f, "object_sources", " s3://code/team/ ,s3://all,, gs://ggg/deep");
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (aut_object_address_check(&f->settings, rows[i].address, &f->err) != rows[i].status)
			fail_msg("%s", rows[i].address);
	set(f, "object_sources", "s3://,s3:,/,s");
	assert_int_equal(aut_object_address_check(&f->settings, "s3://all/x", &f->err), AUT_EDENIED);
}

/* ---- a folder -------------------------------------------------------------------------------- */

static void
told(void *payload, aut_status status, const void *data, size_t len, const aut_error *error)
{
	fixture *f = payload;

	f->told++;
	f->status = status;
	f->err = *error;
	f->len = len;
	if (len > 0 && len < sizeof f->data)
		memcpy(f->data, data, len);
}

static void
await(fixture *f)
{
	int before = f->told;

	for (int i = 0; i < 1000 && f->told == before; i++)
		aut_loop_wait(f->loop, 10);
	assert_int_equal(f->told, before + 1);
}

static void
test_folder__put_get_delete(void **state)
{
	fixture *f = *state;
	char name[AUT_OBJECT_NAME_MAX], path[300];
	struct stat st;

	aut_object_name(&AUT_UUID_NIL, &AUT_UUID_NAMESPACE_DNS, &AUT_UUID_NIL, name);
	assert_string_equal(name, "automation/uploads/00000000-0000-0000-0000-000000000000/"
							  "6ba7b810-9dad-11d1-80b4-00c04fd430c8/"
							  "00000000-0000-0000-0000-000000000000.tar");
	snprintf(path, sizeof path, "%s/%s", f->folder, name);

	assert_int_equal(aut_object_get(f->objects, "local", name, 100, told, f, NULL, NULL), AUT_OK);
	assert_int_equal(f->told, 0); /* never inside of the call */
	await(f);
	assert_int_equal(f->status, AUT_ENOTFOUND);

	assert_int_equal(aut_object_put(f->objects, "local", name, "bytes", 5, told, f, NULL, NULL),
					 AUT_OK);
	await(f);
	assert_int_equal(f->status, AUT_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);

	assert_int_equal(aut_object_put(f->objects, "local", name, "other", 5, told, f, NULL, NULL),
					 AUT_OK);
	await(f);
	assert_int_equal(aut_object_get(f->objects, "local", name, 5, told, f, NULL, NULL), AUT_OK);
	await(f);
	assert_int_equal(f->status, AUT_OK);
	assert_int_equal(f->len, 5);
	assert_memory_equal(f->data, "other", 5);
	assert_int_equal(aut_object_get(f->objects, "local", name, 4, told, f, NULL, NULL), AUT_OK);
	await(f);
	assert_int_equal(f->status, AUT_ELIMIT);

	for (int i = 0; i < 2; i++) /* what is gone counts as deleted */
	{
		assert_int_equal(aut_object_delete(f->objects, "local", name, told, f, NULL, NULL), AUT_OK);
		await(f);
		assert_int_equal(f->status, AUT_OK);
		assert_int_not_equal(stat(path, &st), 0);
	}
}

static void
test_folder__a_link_is_not_followed_and_a_full_place_is_told(void **state)
{
	fixture *f = *state;
	char path[300], target[300];
	struct stat st;

	snprintf(path, sizeof path, "%s/x.part", f->folder);
	snprintf(target, sizeof target, "%s/target", f->folder);
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(aut_object_put(f->objects, "local", "x", "b", 1, told, f, NULL, NULL), AUT_OK);
	await(f);
	assert_int_equal(f->status, AUT_EIO);
	assert_int_not_equal(stat(target, &st), 0);

	set(f, "local_storage_path", "/dev/full");
	assert_int_equal(aut_object_put(f->objects, "local", "x", "b", 1, told, f, NULL, NULL), AUT_OK);
	await(f);
	assert_int_equal(f->status, AUT_EIO);
}

static void
test_objects__cancelled_calls_are_not_told(void **state)
{
	fixture *f = *state;
	aut_object_call *call = NULL;

	assert_int_equal(aut_object_put(f->objects, "local", "x", "b", 1, told, f, &call, NULL),
					 AUT_OK);
	assert_int_equal(aut_object_get(f->objects, "local", "x", 9, told, f, NULL, NULL), AUT_OK);
	aut_object_cancel(call);
	aut_objects_free(f->objects);
	f->objects = NULL;
	aut_loop_wait(f->loop, 20);
	assert_int_equal(f->told, 0);
}

static void
test_objects__a_store_that_is_not_configured_is_refused_at_once(void **state)
{
	fixture *f = *state;

	assert_int_equal(aut_object_get(f->objects, "gcs", "x", 9, told, f, NULL, &f->err), AUT_EINVAL);
	assert_int_equal(aut_object_get(f->objects, "moon", "x", 9, told, f, NULL, &f->err),
					 AUT_EUNSUPPORTED);
	assert_int_equal(f->told, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_sign__amazons_example),
		T(test_sign__a_region_that_is_too_long_is_refused),
		T(test_sign__url_has_the_bucket_in_its_path_and_is_encoded),
		T(test_sign__torture),
		T(test_bucket__urls),
		T(test_check__says_what_is_missing),
		T(test_settings__names_without_the_prefix),
		T(test_address__only_what_is_listed_and_never_an_upload),
		T(test_folder__put_get_delete),
		T(test_folder__a_link_is_not_followed_and_a_full_place_is_told),
		T(test_objects__cancelled_calls_are_not_told),
		T(test_objects__a_store_that_is_not_configured_is_refused_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
