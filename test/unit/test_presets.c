/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_presets.c - automations made of a prompt, over a real store: what is refused, what is in
 * the tarball, how PATCH packs it anew; what capabilities and validate say; all of it without memory, too.
 */
#include <archive.h>
#include <archive_entry.h>

#include "core/service/preset.h"
#include "test/unit/service_fixture.h"

#define DAILY "trigger", "type", "cron", "schedule", "@daily"

/* ---- helpers --------------------------------------------------------------------------------- */

static aut_status
preset(fixture *f, aut_preset kind, json_t *take_body)
{
	bool existing = false;
	aut_status status =
		aut_service_preset_create(as(f, &f->creator), kind, take_body, &f->out, &existing, &f->err);

	json_decref(take_body);
	return status;
}

static json_t *
prompt_body(const char *name, const char *prompt)
{
	return json_pack("{s:s, s:s, s:{s:s, s:s}}", "name", name, "prompt", prompt, DAILY);
}

static json_t *
plugin_body(void)
{
	return json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:s, s:s}}", "name", "p", "prompt", "do", DAILY,
					 "plugins", "source", "github:o/r", "ref", "v1");
}

/* A member of an automation's tarball as text ("" when there is none), and its mode. */
typedef struct member
{
	char text[20000];
	bool found;
	int mode;
	int64_t uid, mtime;
} member;

static void
look_into(fixture *f, const aut_uuid *id, const char *name, member *out)
{
	aut_rows rows = {0};
	char *file = NULL, *url = NULL;
	struct archive *archive = archive_read_new();
	struct archive_entry *entry;

	memset(out, 0, sizeof *out);
	assert_ok(f,
			  aut_service_automation_tarball(as(f, &f->creator), id, &rows, &file, &url, &f->err));
	archive_read_support_filter_gzip(archive);
	archive_read_support_format_tar(archive);
	assert_int_equal(archive_read_open_memory(archive, aut_rows_at(&rows, 0, 0)->data,
											  aut_rows_at(&rows, 0, 0)->len),
					 ARCHIVE_OK);
	while (archive_read_next_header(archive, &entry) == ARCHIVE_OK)
	{
		if (strcmp(archive_entry_pathname(entry), name) != 0)
			continue;
		out->found = true;
		out->mode = (int) archive_entry_perm(entry);
		out->uid = archive_entry_uid(entry);
		out->mtime = archive_entry_mtime(entry);
		assert_true(archive_read_data(archive, out->text, sizeof out->text - 1) >= 0);
	}
	archive_read_free(archive);
	aut_rows_done(&rows);
	aut_free(file);
	aut_free(url);
}

static void
assert_member(fixture *f, const aut_uuid *id, const char *name, const char *want)
{
	member m;

	look_into(f, id, name, &m);
	if (!m.found || strcmp(m.text, want) != 0)
		fail_msg("%s is \"%s\" instead of \"%s\"", name, m.found ? m.text : "(not there)", want);
}

/* Is there a problem of that type at that place ("body.repos.0.url")? */
static void
assert_problem(fixture *f, const char *type, const char *at)
{
	size_t index;
	json_t *problem;

	json_array_foreach(f->call.problems, index, problem)
	{
		char where[200] = "";
		size_t part;
		json_t *word;

		json_array_foreach(json_object_get(problem, "loc"), part, word)
		{
			size_t used = strlen(where);

			if (json_is_string(word))
				snprintf(where + used, sizeof where - used, "%s%s", part > 0 ? "." : "",
						 json_string_value(word));
			else
				snprintf(where + used, sizeof where - used, ".%lld",
						 (long long) json_integer_value(word));
		}
		if (strcmp(where, at) == 0 && strcmp(text(problem, "type"), type) == 0)
			return;
	}
	fail_msg("no problem %s at %s in %s", type, at, json_dumps(f->call.problems, JSON_ENCODE_ANY));
}

/* ---- creating -------------------------------------------------------------------------------- */

static void
test_presets__a_prompt_is_an_automation_with_our_program(void **state)
{
	fixture *f = *state;
	const json_t *metadata;
	aut_uuid id;
	member m;

	assert_ok(f, preset(f, AUT_PRESET_PROMPT, prompt_body("Daily news", "Say \"h\xc3\xa9llo\"\n")));
	assert_text(f->out, "entrypoint", ".venv/bin/python main.py");
	assert_text(f->out, "setup_script_path", "setup.sh");
	assert_text(f->out, "prompt", "Say \"h\xc3\xa9llo\"\n");
	assert_text(f->out, "next_fire_at", "2026-07-02T00:00:00Z");
	metadata = json_object_get(f->out, "preset_metadata");
	assert_text(metadata, "preset_type", "prompt");
	assert_text(metadata, "prompt", "Say \"h\xc3\xa9llo\"\n");
	assert_text(metadata, "sdk_version", "1.58.0");
	assert_int_equal(json_object_size(metadata), 3);
	id = id_of(f->out);
	assert_member(f, &id, "prompt.txt", "Say \"h\xc3\xa9llo\"\n");
	look_into(f, &id, "setup.sh", &m);
	assert_int_equal(m.mode, 0755);
	assert_int_equal(m.uid, 0);
	assert_int_equal(m.mtime, 0);
	assert_true(strncmp(m.text, "#!/usr/bin/env bash\n", 20) == 0);
	look_into(f, &id, "main.py", &m);
	assert_int_equal(m.mode, 0644);
	assert_non_null(strstr(m.text, "AUTOMATION_PHASE_URL"));
	look_into(f, &id, "finish_tool_hook.py", &m);
	assert_true(m.found);
	look_into(f, &id, "repos_config.json", &m);
	assert_false(m.found);
	look_into(f, &id, "plugins_config.json", &m);
	assert_false(m.found);
	/* the upload says for what it is */
	assert_ok(f, aut_service_upload_list(as(f, &f->creator), NULL, 10, 0, &f->out, &f->err));
	assert_text(json_array_get(json_object_get(f->out, "uploads"), 0), "name",
				"prompt-automation-Daily news");
}

static void
test_presets__the_name_of_the_upload_is_cut_between_characters(void **state)
{
	fixture *f = *state;
	char name[60];

	/* 49 bytes and then a character of two, whose second would be the 51st */
	memset(name, 'x', 49);
	strcpy(name + 49, "\xc3\xa9y");
	assert_ok(f, preset(f, AUT_PRESET_PROMPT, prompt_body(name, "p")));
	assert_ok(f, aut_service_upload_list(as(f, &f->creator), NULL, 10, 0, &f->out, &f->err));
	name[49] = '\0';
	assert_string_equal(text(json_array_get(json_object_get(f->out, "uploads"), 0), "name") +
							strlen("prompt-automation-"),
						name);
}

static void
test_presets__repositories_are_normalized(void **state)
{
	fixture *f = *state;
	json_t *body = prompt_body("r", "p");
	aut_uuid id;

	json_object_set_new(body, "repos",
						json_pack("[s, {s:s, s:s, s:n}, {s:s, s:s}, s, s]", "https://x.test/a.git",
								  "url", "http://x.test/b", "ref", "main", "provider", "url",
								  "o/r.x", "provider", "github", "git@x.test:o/r", "file:///r"));
	assert_ok(f, preset(f, AUT_PRESET_PROMPT, body));
	id = id_of(f->out);
	assert_member(
		f, &id, "repos_config.json",
		"[{\"url\":\"https://x.test/a.git\"},{\"url\":\"https://x.test/b\",\"ref\":\"main\"},"
		"{\"url\":\"o/r.x\",\"provider\":\"github\"},{\"url\":\"git@x.test:o/r\"},"
		"{\"url\":\"file:///r\"}]");
	/* one alone is a list of one, none is none */
	body = prompt_body("r", "p");
	json_object_set_new(body, "repos", json_string("https://x.test/a"));
	assert_ok(f, preset(f, AUT_PRESET_PROMPT, body));
	id = id_of(f->out);
	assert_member(f, &id, "repos_config.json", "[{\"url\":\"https://x.test/a\"}]");
	body = prompt_body("r", "p");
	json_object_set_new(body, "repos", json_array());
	assert_ok(f, preset(f, AUT_PRESET_PROMPT, body));
	assert_null(json_object_get(json_object_get(f->out, "preset_metadata"), "repos"));
}

static void
test_presets__all_problems_are_told_at_once(void **state)
{
	fixture *f = *state;
	json_t *body = json_pack(
		"{s:s, s:s, s:{s:s, s:s}, s:[s, {s:s}, {s:s, s:s}, {s:s, s:s}, {}, i, {s:s, s:s}], s:s}",
		"name", "", "prompt", "", "trigger", "type", "cron", "schedule", "x", "repos", "x y", "url",
		"o/r", "url", "o/r", "provider", "azure_devops", "url", "o/r", "provider", "cvs", 1, "url",
		"https://x", "branch", "b", "tarball_path", "https://x.test/a");

	assert_fails(f, preset(f, AUT_PRESET_PROMPT, body), AUT_EINVAL, "more");
	assert_problem(f, "string_too_short", "body.name");
	assert_problem(f, "string_too_short", "body.prompt");
	assert_problem(f, "value_error", "body.trigger.cron.schedule");
	assert_problem(f, "value_error", "body.repos.0.url");
	assert_problem(f, "value_error", "body.repos.1");
	assert_problem(f, "value_error", "body.repos.2");
	assert_problem(f, "literal_error", "body.repos.3.provider");
	assert_problem(f, "missing", "body.repos.4.url");
	assert_problem(f, "model_type", "body.repos.5");
	assert_problem(f, "extra_forbidden", "body.repos.6.branch");
	assert_problem(f, "extra_forbidden", "body.tarball_path");
	body = prompt_body("r", "p");
	json_object_set_new(body, "repos", json_integer(1));
	assert_fails(f, preset(f, AUT_PRESET_PROMPT, body), AUT_EINVAL, "list");
	body = prompt_body("r", "p");
	json_object_set_new(body, "agent_profile_id",
						json_string("00000000-0000-0000-0000-000000000001"));
	assert_fails(f, preset(f, AUT_PRESET_PROMPT, body), AUT_EINVAL, "Extra");
	body = json_pack("{s:s, s:{s:s, s:s}}", "name", "n", DAILY);
	assert_fails(f, preset(f, AUT_PRESET_PROMPT, body), AUT_EINVAL, "prompt");
	/* nothing was kept */
	assert_ok(f, aut_service_upload_list(as(f, &f->creator), NULL, 10, 0, &f->out, &f->err));
	assert_int_equal(number(f->out, "total"), 0);
}

static void
test_presets__the_embedded_agent_has_no_conversations(void **state)
{
	fixture *f = *state;
	bool existing;
	json_t *body = prompt_body("n", "p");

	as(f, &f->creator)->agent_is_embedded = true;
	assert_fails(
		f,
		aut_service_preset_create(&f->call, AUT_PRESET_PROMPT, body, &f->out, &existing, &f->err),
		AUT_EUNSUPPORTED, "needs an agent server");
	json_decref(body);
	assert_ok(f, aut_service_upload_list(as(f, &f->creator), NULL, 10, 0, &f->out, &f->err));
	assert_int_equal(number(f->out, "total"), 0);
}

static void
test_presets__a_template_is_used_once(void **state)
{
	fixture *f = *state;
	json_t *body = prompt_body("n", "p");
	bool existing = false;
	aut_uuid first, second;

	json_object_set_new(body, "template", json_pack("{s:s, s:s}", "id", "t", "version", "1"));
	assert_ok(f, aut_service_preset_create(as(f, &f->creator), AUT_PRESET_PROMPT, body, &f->out,
										   &existing, &f->err));
	assert_false(existing);
	first = id_of(f->out);
	assert_text(json_object_get(json_object_get(f->out, "preset_metadata"), "template"), "id", "t");
	assert_ok(f, aut_service_preset_create(as(f, &f->creator), AUT_PRESET_PROMPT, body, &f->out,
										   &existing, &f->err));
	assert_true(existing);
	second = id_of(f->out);
	assert_true(aut_uuid_equal(&first, &second));
	json_decref(body);
}

/* ---- plugins --------------------------------------------------------------------------------- */

static void
test_presets__plugins_go_along(void **state)
{
	fixture *f = *state;
	aut_uuid id;

	assert_ok(f, preset(f, AUT_PRESET_PLUGIN, plugin_body()));
	assert_text(json_object_get(f->out, "preset_metadata"), "preset_type", "plugin");
	id = id_of(f->out);
	assert_member(f, &id, "plugins_config.json", "[{\"source\":\"github:o/r\",\"ref\":\"v1\"}]");
}

static json_t *
variant(const char *name, int weight, const char *model)
{
	json_t *out = json_pack("{s:s, s:i, s:[{s:s}]}", "name", name, "weight", weight, "plugins",
							"source", "github:o/r");

	if (model != NULL)
		json_object_set_new(out, "model", json_string(model));
	return out;
}

static void
test_presets__variants_have_a_model_each(void **state)
{
	fixture *f = *state;
	json_t *body = prompt_body("n", "p");
	aut_uuid id;

	json_object_set_new(body, "variants",
						json_pack("[o, o]", variant("a", 1, NULL), variant("b", 3, "fast")));
	json_object_set_new(body, "experiment_id", json_string("e1"));
	json_object_set_new(body, "model", json_string("slow"));
	assert_ok(f, preset(f, AUT_PRESET_PLUGIN, body));
	id = id_of(f->out);
	assert_member(
		f, &id, "experiment_config.json",
		"{\"experiment_id\":\"e1\",\"variants\":[{\"name\":\"a\",\"weight\":1,\"plugins\":[{"
		"\"source\":"
		"\"github:o/"
		"r\"}],\"model\":\"slow\"},{\"name\":\"b\",\"weight\":3,\"model\":\"fast\",\"plugins\":"
		"[{\"source\":\"github:o/r\"}]}]}");
}

static void
test_presets__plugins_and_variants_have_rules(void **state)
{
	fixture *f = *state;
	static const struct
	{
		const char *body, *type, *at;
	} bad[] = {
		{"{}", "value_error", "body"},
		{"{'plugins':[]}", "value_error", "body.plugins"},
		{"{'plugins':'x'}", "list_type", "body.plugins"},
		{"{'plugins':[{'ref':'x'}]}", "missing", "body.plugins.0.source"},
		{"{'plugins':{'source':'s','repo_path':'/a'}}", "value_error", "body.plugins.0.repo_path"},
		{"{'plugins':{'source':'s','repo_path':'a/../b'}}", "value_error",
		 "body.plugins.0.repo_path"},
		{"{'plugins':{'source':'s'},'experiment_id':'e'}", "value_error", "body"},
		{"{'plugins':{'source':'s'},'variants':[]}", "value_error", "body.variants"},
		{"{'experiment_id':'e','variants':[{'name':'a','weight':1,'plugins':[{'source':'s'}]}]}",
		 "value_error", "body.variants"},
		{"{'variants':[{'name':'a','weight':1,'plugins':[{'source':'s'}]},"
		 "{'name':'b','weight':1,'plugins':[{'source':'s'}]}]}",
		 "value_error", "body"},
		{"{'experiment_id':'e','variants':[{'name':'a','weight':1,'plugins':[{'source':'s'}]},"
		 "{'name':'a','weight':1,'plugins':[{'source':'s'}]}]}",
		 "value_error", "body.variants"},
		{"{'experiment_id':'e','variants':[{'name':'a','weight':0,'plugins':[{'source':'s'}]},"
		 "{'name':'b','weight':1,'plugins':[],'model':'-x'}]}",
		 "greater_than", "body.variants.0.weight"},
		{"{'experiment_id':'e','variants':[{'name':'a','weight':1},{'weight':1,'plugins':[],"
		 "'model':'-x'}]}",
		 "string_pattern_mismatch", "body.variants.1.model"},
		{"{'experiment_id':'e','variants':[{'name':'a','weight':1},{'weight':1,'plugins':null,"
		 "'x':1}]}",
		 "list_type", "body.variants.1.plugins"},
		{"{'experiment_id':'','variants':1}", "list_type", "body.variants"},
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
	{
		json_t *body = prompt_body("n", "p");
		char quoted[400];
		json_t *more;

		snprintf(quoted, sizeof quoted, "%s", bad[i].body);
		for (char *at = quoted; (at = strchr(at, '\'')) != NULL;)
			*at = '"';
		more = json_loads(quoted, 0, NULL);
		assert_non_null(more);
		json_object_update(body, more);
		json_decref(more);
		assert_int_equal(preset(f, AUT_PRESET_PLUGIN, body), AUT_EINVAL);
		assert_problem(f, bad[i].type, bad[i].at);
	}
}

/* ---- PATCH ----------------------------------------------------------------------------------- */

static void
test_presets__a_new_prompt_is_a_new_tarball(void **state)
{
	fixture *f = *state;
	char before[200];
	aut_upload_list old = {0};
	aut_rows rows = {0};
	aut_uuid id, upload;
	member m;

	assert_ok(f, preset(f, AUT_PRESET_PROMPT, prompt_body("n", "old")));
	id = id_of(f->out);
	snprintf(before, sizeof before, "%s", text(f->out, "tarball_path"));
	/* what says nothing new changes nothing */
	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:s, s:[]}", "prompt", "old", "repos")));
	assert_text(f->out, "tarball_path", before);
	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:s}", "prompt", "new")));
	assert_string_not_equal(text(f->out, "tarball_path"), before);
	assert_text(f->out, "prompt", "new");
	assert_text(json_object_get(f->out, "preset_metadata"), "prompt", "new");
	assert_text(json_object_get(f->out, "preset_metadata"), "sdk_version", "1.58.0");
	assert_member(f, &id, "prompt.txt", "new");
	look_into(f, &id, "setup.sh", &m);
	assert_int_equal(m.mode, 0755);
	/* the old one is gone, with its content */
	assert_true(aut__tarball_upload(before, &upload));
	assert_ok(f, aut_store_upload_get(f->db, &upload, &old, &f->err));
	assert_true(old.items[0].deleted_at != AUT_TIME_NONE);
	aut_upload_list_done(&old);
	assert_int_equal(aut_store_upload_data(f->db, &upload, &rows, NULL), AUT_ENOTFOUND);
}

static void
test_presets__repositories_come_and_go(void **state)
{
	fixture *f = *state;
	const json_t *metadata;
	aut_uuid id;
	member m;

	assert_ok(f, preset(f, AUT_PRESET_PLUGIN, plugin_body()));
	id = id_of(f->out);
	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:s}", "repos", "http://x.test/r")));
	assert_member(f, &id, "repos_config.json", "[{\"url\":\"https://x.test/r\"}]");
	assert_member(f, &id, "prompt.txt", "do");
	assert_member(f, &id, "plugins_config.json", "[{\"source\":\"github:o/r\",\"ref\":\"v1\"}]");
	assert_ok(f, look(f, &f->creator, &id));
	metadata = json_object_get(f->out, "preset_metadata");
	assert_int_equal(json_array_size(json_object_get(metadata, "repos")), 1);
	assert_ok(f, update(f, &f->creator, &id,
						json_pack("{s:[{s:s, s:s}], s:s}", "repos", "url", "o/r", "provider",
								  "gitlab", "prompt", "other")));
	assert_member(f, &id, "repos_config.json", "[{\"url\":\"o/r\",\"provider\":\"gitlab\"}]");
	assert_member(f, &id, "prompt.txt", "other");
	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:n}", "repos")));
	look_into(f, &id, "repos_config.json", &m);
	assert_false(m.found);
	assert_ok(f, look(f, &f->creator, &id));
	assert_null(json_object_get(json_object_get(f->out, "preset_metadata"), "repos"));
	assert_fails(f, update(f, &f->creator, &id, json_pack("{s:s}", "repos", "x")), AUT_EINVAL,
				 "url must be");
}

static void
test_presets__what_cannot_be_packed_anew_stays(void **state)
{
	fixture *f = *state;
	char path[200];
	aut_uuid id, upload;

	assert_ok(f, preset(f, AUT_PRESET_PROMPT, prompt_body("n", "old")));
	id = id_of(f->out);
	snprintf(path, sizeof path, "%s", text(f->out, "tarball_path"));
	/* gone */
	assert_true(aut__tarball_upload(path, &upload));
	assert_ok(f, aut_service_upload_delete(as(f, &f->creator), &upload, &f->err));
	assert_ok(f, update(f, &f->creator, &id, json_pack("{s:s}", "prompt", "new")));
	assert_text(f->out, "tarball_path", path);
	assert_text(f->out, "prompt", "new");
	assert_fails(f, update(f, &f->creator, &id, json_pack("{s:s}", "repos", "https://x.test/r")),
				 AUT_EINVAL, "repos cannot be changed");
	/* elsewhere */
	assert_ok(f, update(f, &f->creator, &id,
						json_pack("{s:s, s:s}", "tarball_path", "https://x.test/a.tgz", "prompt",
								  "newer")));
	assert_text(f->out, "tarball_path", "https://x.test/a.tgz");
	assert_fails(f, update(f, &f->creator, &id, json_pack("{s:s}", "repos", "https://x.test/r")),
				 AUT_EINVAL, "repos cannot be changed");
	/* no gzip tarball at all, and one without a prompt */
	for (int i = 0; i < 2; i++)
	{
		void *data = NULL;
		size_t len = 0;

		if (i == 1)
			assert_ok(f, aut_tarball_from_script("run", "#!/bin/sh\n", 10, &data, &len, &f->err));
		assert_ok(f, aut_service_upload_create(as(f, &f->creator), "up", NULL, i == 1 ? data : "x",
											   i == 1 ? len : 1, false, &f->out, &f->err));
		aut_free(data);
		snprintf(path, sizeof path, "%s", text(f->out, "tarball_path"));
		assert_ok(f, update(f, &f->creator, &id, json_pack("{s:s}", "tarball_path", path)));
		assert_ok(f, update(f, &f->creator, &id, json_pack("{s:s}", "prompt", i == 1 ? "a" : "b")));
		assert_text(f->out, "tarball_path", path);
		assert_fails(f,
					 update(f, &f->creator, &id, json_pack("{s:s}", "repos", "https://x.test/r")),
					 AUT_EINVAL, "repos cannot be changed");
	}
}

/* ---- capabilities ---------------------------------------------------------------------------- */

static bool
lists(const json_t *object, const char *key, const char *name)
{
	size_t index;
	json_t *value;

	json_array_foreach(json_object_get(object, key), index, value)
	{
		if (strcmp(json_string_value(value), name) == 0)
			return true;
	}
	return false;
}

static void
set(fixture *f, const char *name, const char *value)
{
	assert_ok(f, aut_settings_set(&f->settings, aut_setting_find(name), value, &f->err));
}

static void
test_capabilities__list_what_works(void **state)
{
	fixture *f = *state;
	const json_t *triggers;

	/* nowhere to run */
	set(f, "backend", "none");
	assert_ok(f, aut_service_capabilities(as(f, &f->creator), &f->out, &f->err));
	assert_true(json_is_false(json_object_get(f->out, "ready")));
	assert_int_equal(json_array_size(json_object_get(f->out, "features")), 0);
	assert_int_equal(json_array_size(json_object_get(f->out, "triggerKinds")), 0);
	assert_int_equal(json_object_size(json_object_get(f->out, "triggers")), 0);
	/* an agent server, no events */
	set(f, "backend", "auto");
	set(f, "agent_server_url", "http://127.0.0.1:1");
	assert_ok(f, aut_service_capabilities(as(f, &f->creator), &f->out, &f->err));
	assert_true(json_is_true(json_object_get(f->out, "ready")));
	assert_int_equal(number(f->out, "maxAutomationTimeoutSeconds"), 1800);
	assert_true(lists(f->out, "features", "presetPrompt"));
	assert_false(lists(f->out, "features", "automationDrafts"));
	assert_false(lists(f->out, "features", "kvStore"));
	assert_false(lists(f->out, "features", "webhookDelivery"));
	assert_true(lists(f->out, "repoProviders", "gitlab"));
	assert_int_equal(json_array_size(json_object_get(f->out, "eventTypes")), 0);
	triggers = json_object_get(f->out, "triggers");
	assert_null(json_object_get(triggers, "event"));
	assert_int_equal(number(json_object_get(triggers, "cron"), "minIntervalSeconds"), 60);
	assert_true(lists(json_object_get(triggers, "cron"), "timezones", "Europe/Berlin"));
	/* events */
	set(f, "webhook_secret", "secret");
	assert_ok(f, aut_service_capabilities(as(f, &f->creator), &f->out, &f->err));
	assert_int_equal(json_array_size(json_object_get(f->out, "eventSources")), 4);
	assert_true(lists(f->out, "eventTypes", "push"));
	assert_true(lists(f->out, "eventTypes", "pull_request_review.*"));
	assert_int_equal(json_array_size(json_object_get(f->out, "eventTypes")), 6);
	assert_true(lists(f->out, "features", "webhookDelivery"));
	triggers = json_object_get(json_object_get(f->out, "triggers"), "event");
	assert_int_equal(json_array_size(json_object_get(triggers, "filterFunctions")), 31);
	/* the embedded agent */
	as(f, &f->creator)->agent_is_embedded = true;
	assert_ok(f, aut_service_capabilities(&f->call, &f->out, &f->err));
	assert_false(lists(f->out, "features", "presetPrompt"));
	assert_null(json_object_get(f->out, "repoProviders"));
	json_decref(f->out);
	f->out = NULL;
	assert_fails(f, aut_service_capabilities(as(f, &f->blind), &f->out, &f->err), AUT_EDENIED, "");
}

/* ---- validate -------------------------------------------------------------------------------- */

static void
validate(fixture *f, const char *endpoint, json_t *take_draft, const char *sample)
{
	json_t *body = json_pack("{s:s, s:o}", "endpoint", endpoint, "draft", take_draft);

	if (sample != NULL)
		json_object_set_new(body, "sampleEvent", json_loads(sample, 0, NULL));
	assert_ok(f, aut_service_validate(as(f, &f->creator), body, &f->out, &f->err));
	json_decref(body);
}

static void
assert_error(fixture *f, const char *field, const char *code)
{
	size_t index;
	json_t *error;

	assert_true(json_is_false(json_object_get(f->out, "valid")));
	json_array_foreach(json_object_get(f->out, "errors"), index, error)
	{
		const char *found = text(error, "field");

		if (strcmp(text(error, "code"), code) == 0 &&
			(field == NULL ? found == NULL : found != NULL && strcmp(found, field) == 0))
			return;
	}
	fail_msg("no %s at %s in %s", code, field != NULL ? field : "(all)",
			 json_dumps(f->out, JSON_ENCODE_ANY));
}

static json_t *
event_draft(const char *source, const char *on, const char *filter)
{
	json_t *draft = json_pack("{s:s, s:s, s:{s:s, s:s, s:s}}", "name", "n", "prompt", "p",
							  "trigger", "type", "event", "source", source, "on", on);

	if (filter != NULL)
		json_object_set_new(json_object_get(draft, "trigger"), "filter", json_string(filter));
	return draft;
}

static void
test_validate__says_what_creating_would_say(void **state)
{
	fixture *f = *state;
	json_t *body;

	validate(f, "/v1", cron_body("n", "@daily"), NULL);
	assert_true(json_is_true(json_object_get(f->out, "valid")));
	assert_true(is_null(f->out, "sampleEventMatched"));
	validate(f, "/v1/preset/prompt", prompt_body("n", "p"), NULL);
	assert_true(json_is_true(json_object_get(f->out, "valid")));
	validate(f, "/v1",
			 json_pack("{s:n, s:{s:s}, s:i, s:s}", "name", "trigger", "type", "x", "timeout", -1,
					   "state", "DRAFT"),
			 NULL);
	assert_error(f, "name", "missing");
	assert_error(f, "trigger", "union_tag_invalid");
	assert_error(f, "timeout", "value_error");
	body = prompt_body("n", "p");
	json_object_set_new(body, "repos", json_pack("[s, {s:s}]", "https://x", "url", "x"));
	json_object_set_new(body, "agent_profile_id", json_string("no"));
	validate(f, "/v1/preset/prompt", body, NULL);
	assert_error(f, "repos[1].url", "value_error");
	assert_error(f, "agent_profile_id", "invalid_agent_profile");
	/* the tag of the trigger's kind is not part of the path */
	validate(f, "/v1", cron_body("n", "nonsense"), NULL);
	assert_error(f, "trigger.schedule", "value_error");
	/* about the whole */
	validate(f, "/v1/preset/plugin", prompt_body("n", "p"), NULL);
	assert_error(f, NULL, "value_error");
}

static void
test_validate__says_what_would_never_work(void **state)
{
	fixture *f = *state;

	validate(f, "/v1", cron_body("n", "*/10 * * * * *"), NULL);
	assert_error(f, "trigger.schedule", "interval_too_short");
	validate(f, "/v1", cron_body("n", "59,0 * * * *"), NULL);
	assert_true(json_is_true(json_object_get(f->out, "valid")));
	validate(f, "/v1/preset/prompt", event_draft("github", "push", NULL), NULL);
	assert_error(f, "trigger.source", "event_source_not_configured");
	validate(f, "/v1/preset/prompt", event_draft("shop", "order", NULL), NULL);
	assert_error(f, "trigger.source", "event_source_not_configured");
	set(f, "webhook_secret", "secret");
	validate(f, "/v1/preset/prompt", event_draft("github", "pull*", NULL), NULL);
	assert_true(json_is_true(json_object_get(f->out, "valid")));
	validate(f, "/v1/preset/prompt", event_draft("github", "check_run.completed", NULL), NULL);
	assert_error(f, "trigger.on", "event_type_not_delivered");
	validate(f, "/v1", manual_body("n"), NULL);
	assert_true(json_is_true(json_object_get(f->out, "valid")));
}

#define JIRA(type) "{\"webhookEvent\":\"" type "\",\"issue\":{\"key\":\"K-1\"},\"n\":3}"

static void
test_validate__tries_a_sample(void **state)
{
	fixture *f = *state;

	set(f, "webhook_secret", "secret");
	validate(f, "/v1/preset/prompt", event_draft("shop", "order.*", "n > `2`"),
			 "{\"type\":\"order.paid\",\"n\":3}");
	assert_true(json_is_true(json_object_get(f->out, "sampleEventMatched")));
	validate(f, "/v1/preset/prompt", event_draft("shop", "order.*", "n > `3`"),
			 "{\"type\":\"order.paid\",\"n\":3}");
	assert_true(json_is_false(json_object_get(f->out, "sampleEventMatched")));
	validate(f, "/v1/preset/prompt", event_draft("shop", "bill.*", NULL),
			 "{\"type\":\"order.paid\",\"n\":3}");
	assert_true(json_is_false(json_object_get(f->out, "sampleEventMatched")));
	/* a filter that fails did not match */
	validate(f, "/v1/preset/prompt", event_draft("shop", "order.*", "abs(type)"),
			 "{\"type\":\"order.paid\",\"n\":3}");
	assert_true(json_is_false(json_object_get(f->out, "sampleEventMatched")));
	validate(f, "/v1/preset/prompt", event_draft("github", "push", NULL), "{\"zen\":\"x\"}");
	assert_error(f, "sampleEvent", "unparseable_sample_event");
	assert_true(is_null(f->out, "sampleEventMatched"));
	validate(f, "/v1/preset/prompt", event_draft("shop", "x", NULL), "{\"type\":null}");
	assert_error(f, "sampleEvent", "unparseable_sample_event");
	/* of no use to a schedule */
	validate(f, "/v1", cron_body("n", "@daily"), JIRA("x"));
	assert_true(is_null(f->out, "sampleEventMatched"));
}

static void
test_validate__refuses_a_bad_envelope(void **state)
{
	fixture *f = *state;
	json_t *body = json_pack("{s:s, s:i, s:[], s:i}", "endpoint", "/v2", "draft", 1, "sampleEvent",
							 "other", 1);

	assert_fails(f, aut_service_validate(as(f, &f->creator), body, &f->out, &f->err), AUT_EINVAL,
				 "more");
	assert_int_equal(json_array_size(f->call.problems), 4);
	json_decref(body);
	/* the older names */
	body = json_pack("{s:s, s:o, s:s, s:{s:s}}", "endpoint", "/v1", "draft",
					 cron_body("n", "@daily"), "automation_id", "x", "sample_event", "a", "b");
	assert_ok(f, aut_service_validate(as(f, &f->creator), body, &f->out, &f->err));
	json_decref(body);
}

/* ---- without memory -------------------------------------------------------------------------- */

typedef struct torture_case
{
	fixture *f;
	json_t *body, *change, *question;
} torture_case;

static aut_status
torture_presets(void *payload)
{
	torture_case *c = payload;
	fixture *f = c->f;
	json_t *out = NULL, *changed = NULL, *said = NULL;
	bool existing;
	aut_call call;
	aut_status status;

	aut_call_init(&call, f->db, &f->settings, &f->creator, f->now);
	status = aut_db_begin(f->db, NULL);
	if (status == AUT_OK)
		status =
			aut_service_preset_create(&call, AUT_PRESET_PLUGIN, c->body, &out, &existing, NULL);
	if (status == AUT_OK)
	{
		aut_uuid id = id_of(out);

		status = aut_service_automation_update(&call, &id, c->change, &changed, NULL);
	}
	if (status == AUT_OK)
		status = aut_service_validate(&call, c->question, &said, NULL);
	aut_db_rollback(f->db);
	json_decref(said);
	json_decref(changed);
	json_decref(out);
	aut_call_done(&call);
	return status;
}

static void
test_presets__without_memory(void **state)
{
	fixture *f = *state;
	torture_case c = {.f = f, .body = plugin_body()};

	json_object_set_new(c.body, "repos", json_string("https://x.test/r"));
	c.change = json_pack("{s:s, s:s}", "prompt", "other", "repos", "https://x.test/s");
	c.question =
		json_pack("{s:s, s:o, s:{s:s}}", "endpoint", "/v1/preset/prompt", "draft",
				  event_draft("shop", "order", "a == 'x'"), "sampleEvent", "type", "order");
	assert_int_equal(torture_presets(&c), AUT_OK);
	assert_true(torture(torture_presets, &c) > 100);
	json_decref(c.body);
	json_decref(c.change);
	json_decref(c.question);
}

int
main(void)
{
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		WITH_STORE(test_presets__a_prompt_is_an_automation_with_our_program),
		WITH_STORE(test_presets__the_name_of_the_upload_is_cut_between_characters),
		WITH_STORE(test_presets__repositories_are_normalized),
		WITH_STORE(test_presets__all_problems_are_told_at_once),
		WITH_STORE(test_presets__the_embedded_agent_has_no_conversations),
		WITH_STORE(test_presets__a_template_is_used_once),
		WITH_STORE(test_presets__plugins_go_along),
		WITH_STORE(test_presets__variants_have_a_model_each),
		WITH_STORE(test_presets__plugins_and_variants_have_rules),
		WITH_STORE(test_presets__a_new_prompt_is_a_new_tarball),
		WITH_STORE(test_presets__repositories_come_and_go),
		WITH_STORE(test_presets__what_cannot_be_packed_anew_stays),
		WITH_STORE(test_capabilities__list_what_works),
		WITH_STORE(test_validate__says_what_creating_would_say),
		WITH_STORE(test_validate__says_what_would_never_work),
		WITH_STORE(test_validate__tries_a_sample),
		WITH_STORE(test_validate__refuses_a_bad_envelope),
		WITH_STORE(test_presets__without_memory),
	};

	return cmocka_run_group_tests_name("presets", tests, NULL, NULL);
}
