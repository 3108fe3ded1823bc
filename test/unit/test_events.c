/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_events.c - events through the services: deliveries, the index over triggers and its cache,
 * verdicts, replays, trying filters; and what happens when memory ends in the middle of it.
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <strings.h>

#include "test/unit/service_fixture.h"

#include "automation/webhooks.h"
#include "core/service/events.h"

#define SECRET "the secret of all of them"

/* ---- deliveries ------------------------------------------------------------------------------- */

typedef struct sent
{
	char signature[80];
	const char *id;
} sent;

static const char *
sent_header(void *payload, const char *name)
{
	const sent *s = payload;

	if (strcasecmp(name, "X-Hub-Signature-256") == 0 || strcasecmp(name, "X-Signature-256") == 0)
		return s->signature;
	if (strcasecmp(name, "X-GitHub-Delivery") == 0 || strcasecmp(name, "X-Id") == 0)
		return s->id;
	return strcasecmp(name, "User-Agent") == 0 ? "tester" : NULL;
}

static void
sign(sent *s, const char *secret, const void *body, size_t len)
{
	unsigned char mac[32];
	unsigned int mac_len = sizeof mac;

	assert_non_null(HMAC(EVP_sha256(), secret, (int) strlen(secret), body, len, mac, &mac_len));
	aut_hex(mac, sizeof mac, s->signature);
}

/* What accept said last. */
static aut_error refused;

static aut_status
deliver_to(fixture *f, aut_event_cache *cache, const char *source, const void *body, size_t len,
		   const char *id, const char *secret)
{
	sent s = {.id = id};
	aut_delivery delivery = {
		.org_id = f->creator.org_id,
		.source = source,
		.body = body,
		.body_len = len,
		.get_header = sent_header,
		.get_payload = &s,
	};

	sign(&s, secret, body, len);
	refused = (aut_error) AUT_ERROR_INIT;
	return aut_service_event_accept(as(f, NULL), cache, &delivery, &f->out, &refused, &f->err);
}

static aut_status
deliver(fixture *f, aut_event_cache *cache, const char *source, const char *body, const char *id)
{
	return deliver_to(f, cache, source, body, strlen(body), id, SECRET);
}

static void
secret_on(fixture *f)
{
	assert_ok(f,
			  aut_settings_set(&f->settings, aut_setting_find("webhook_secret"), SECRET, &f->err));
}

static json_t *
event_body(const char *name, const char *trigger)
{
	json_t *parsed = json_loads(trigger, 0, NULL);

	assert_non_null(parsed);
	json_object_set_new(parsed, "type", json_string("event"));
	return json_pack("{s:s, s:o, s:s, s:s}", "name", name, "trigger", parsed, "tarball_path",
					 "https://x.test/a.tgz", "entrypoint", "./run");
}

static aut_uuid
event_automation(fixture *f, const char *trigger)
{
	return made(f, event_body("of events", trigger));
}

#define PUSH                                                                                       \
	"{\"payload\":{\"ref\":\"refs/heads/main\",\"before\":\"0\",\"after\":\"1\",\"commits\":[],"   \
	"\"big\":123456789012345678901234567890,"                                                      \
	"\"repository\":{\"id\":1,\"name\":\"r\",\"full_name\":\"o/r\",\"private\":false},"            \
	"\"sender\":{\"id\":2,\"login\":\"ann\"}}}"

static json_int_t
matched(fixture *f)
{
	return json_integer_value(json_object_get(f->out, "matched"));
}

static void
test_events__a_delivery_makes_a_run_per_automation(void **state)
{
	fixture *f = *state;
	aut_uuid a, b;
	json_t *runs;

	secret_on(f);
	a = event_automation(f, "{\"source\":\"github\",\"on\":\"push\","
							"\"filter\":\"repository.full_name == 'o/r'\"}");
	b = event_automation(f, "{\"source\":\"github\",\"on\":[\"issues.*\",\"pu?h\"]}");
	(void) event_automation(f, "{\"source\":\"github\",\"on\":\"issues.opened\"}");
	(void) event_automation(f, "{\"source\":\"jira_dc\",\"on\":\"*\"}");
	assert_ok(f, deliver(f, NULL, "github", PUSH, "d-1"));
	assert_int_equal(matched(f), 2);
	assert_true(json_is_true(json_object_get(f->out, "received")));
	assert_int_equal(json_array_size(json_object_get(f->out, "conversations_continued")), 0);
	assert_int_equal(f->call.effects, AUT_EFFECT_RUN);
	runs = json_incref(json_object_get(f->out, "runs_created"));
	assert_int_equal(json_array_size(runs), 2);
	for (size_t i = 0; i < 2; i++)
	{
		aut_uuid id, owner;
		const char *t = json_string_value(json_array_get(runs, i));

		assert_true(aut_uuid_parse(t, strlen(t), &id));
		assert_run(f, &id, "PENDING");
		assert_text(f->out, "trigger_source", "event");
		assert_non_null(text(f->out, "trigger_event_id"));
		t = text(f->out, "automation_id");
		assert_true(aut_uuid_parse(t, strlen(t), &owner));
		assert_true(aut_uuid_equal(&owner, &a) || aut_uuid_equal(&owner, &b));
	}
	json_decref(runs);
	/* the same again, and the same under another id */
	assert_ok(f, deliver(f, NULL, "github", PUSH, "d-1"));
	assert_int_equal(matched(f), 0);
	assert_int_equal(f->call.effects, 0);
	assert_ok(f, deliver(f, NULL, "github", PUSH, "d-2"));
	assert_int_equal(matched(f), 2);
}

static void
test_events__who_has_no_secret_is_refused(void **state)
{
	fixture *f = *state;

	assert_fails(f, deliver(f, NULL, "github", PUSH, NULL), AUT_ENOTFOUND, "no such event source");
	secret_on(f);
	assert_fails(f, deliver(f, NULL, "orders", PUSH, NULL), AUT_ENOTFOUND, "no such event source");
	assert_fails(f, deliver_to(f, NULL, "github", PUSH, strlen(PUSH), NULL, "another"), AUT_EUNAUTH,
				 "signature");
	assert_ok(f, aut_service_event_list(as(f, &f->creator), &(aut_event_wanted){0}, 10, NULL,
										&f->out, &f->err));
	assert_int_equal(json_array_size(json_object_get(f->out, "events")), 0);
}

static json_t *
newest_event(fixture *f)
{
	json_t *first;
	aut_uuid id;

	assert_ok(f, aut_service_event_list(as(f, &f->creator), &(aut_event_wanted){0}, 1, NULL,
										&f->out, &f->err));
	first = json_array_get(json_object_get(f->out, "events"), 0);
	assert_non_null(first);
	id = id_of(first);
	assert_ok(f, aut_service_event_get(as(f, &f->creator), &id, &f->out, &f->err));
	return f->out;
}

static void
test_events__what_is_no_event_is_kept(void **state)
{
	static const struct
	{
		const char *body;
		size_t len;
		bool refused;
		const char *event_state;
	} rows[] = {
		{"", 0, true, "UNPARSEABLE"},
		{"{\"payload\":", 11, true, "UNPARSEABLE"},
		{"\xff\xfe\0\1", 4, true, "UNPARSEABLE"},
		{"[1]", 3, true, "UNPARSEABLE"},
		{"{\"payload\":{\"zen\":1}}", 21, false, "IGNORED"},
		{"{\"payload\":[]}", 14, false, "IGNORED"},
	};
	fixture *f = *state;

	secret_on(f);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
	{
		assert_ok(f, deliver_to(f, NULL, "github", rows[i].body, rows[i].len, "same", SECRET));
		assert_int_equal(refused.code, rows[i].refused ? AUT_EBADREQ : AUT_OK);
		assert_int_equal(f->out == NULL, rows[i].refused);
		(void) newest_event(f);
		assert_text(f->out, "state", rows[i].event_state);
		assert_true(is_null(f->out, "event_key"));
		assert_true(is_null(f->out, "provider_event_id"));
		assert_non_null(text(f->out, "why"));
		assert_int_equal(is_null(f->out, "payload"), rows[i].refused);
		assert_text(json_object_get(f->out, "headers"), "X-GitHub-Delivery", "same");
	}
	/* none of them took the id */
	(void) event_automation(f, "{\"source\":\"github\",\"on\":\"push\"}");
	assert_ok(f, deliver(f, NULL, "github", PUSH, "same"));
	assert_int_equal(matched(f), 1);
}

/* ---- verdicts ---------------------------------------------------------------------------------- */

static const char *
verdict_of(const json_t *event, const aut_uuid *id, const char **out_why)
{
	char want[AUT_UUID_TEXT_MAX];
	size_t i;
	json_t *item;

	(void) aut_uuid_format(id, want);
	json_array_foreach(json_object_get(event, "verdicts"), i, item)
	{
		if (strcmp(text(item, "automation_id"), want) == 0)
		{
			if (out_why != NULL)
				*out_why = text(item, "why");
			return text(item, "verdict");
		}
	}
	return NULL;
}

static void
test_events__the_clause_that_stopped_it_is_told(void **state)
{
	fixture *f = *state;
	const char *why = NULL;
	aut_uuid passes, big, false_one, fails, off, other, far;

	secret_on(f);
	passes = event_automation(f, "{\"source\":\"github\",\"on\":\"*\",\"filter\":\"ref\"}");
	big = event_automation(f, "{\"source\":\"github\",\"on\":\"push\",\"filter\":\"big == "
							  "`123456789012345678901234567890`\"}");
	false_one = event_automation(f, "{\"source\":\"github\",\"on\":\"push\",\"filter\":\"no\"}");
	fails = event_automation(f, "{\"source\":\"github\",\"on\":\"push\",\"filter\":\"abs(ref)\"}");
	off = event_automation(f, "{\"source\":\"github\",\"on\":\"push\"}");
	assert_ok(f, update(f, &f->creator, &off, json_pack("{s:b}", "enabled", 0)));
	other = event_automation(f, "{\"source\":\"github\",\"on\":\"*x*\"}");
	far = event_automation(f, "{\"source\":\"github\",\"on\":\"push\",\"filter\":\"ref == 'x'\"}");
	assert_ok(f, deliver(f, NULL, "github", PUSH, NULL));
	assert_int_equal(matched(f), 2);
	(void) newest_event(f);
	assert_text(f->out, "state", "MATCHED");
	assert_int_equal(number(f->out, "considered"), 6);
	assert_string_equal(verdict_of(f->out, &passes, NULL), "matched");
	assert_string_equal(verdict_of(f->out, &big, NULL), "matched");
	assert_string_equal(verdict_of(f->out, &false_one, NULL), "filter");
	assert_string_equal(verdict_of(f->out, &fails, &why), "error");
	assert_non_null(strstr(why, "abs()"));
	assert_string_equal(verdict_of(f->out, &off, NULL), "disabled");
	assert_string_equal(verdict_of(f->out, &other, NULL), "pattern");
	assert_null(verdict_of(f->out, &far, NULL)); /* the index left it out */
	assert_int_equal(number(json_object_get(f->out, "verdict_counts"), "matched"), 2);
	assert_int_equal(json_array_size(json_object_get(f->out, "runs")), 2);
	/* nobody else sees it */
	assert_fails(f, aut_service_event_get(as(f, &f->stranger), &passes, &f->out, &f->err),
				 AUT_ENOTFOUND, "Event not found");
}

static void
test_events__verdicts_are_bounded_and_costly_filters_too(void **state)
{
	fixture *f = *state;
	json_t *first;
	int64_t before;

	secret_on(f);
	/* each takes all the time it gets */
	for (int i = 0; i < 130; i++)
		(void) event_automation(
			f, "{\"source\":\"github\",\"on\":\"push\",\"filter\":\"length(w) > `0` && "
			   "w[].join('', [ref, ref]) && sort_by(w, &to_string(@)) && w[?regex(to_string(@), "
			   "'(a+)+b')]\"}");
	(void) event_automation(f, "{\"source\":\"github\",\"on\":\"push\",\"filter\":\"ref\"}");
	aut_buf body;
	aut_buf_init(&body, 1 << 20);
	aut_buf_puts(&body,
				 "{\"payload\":{\"ref\":\"r\",\"before\":\"0\",\"after\":\"1\",\"commits\":[],"
				 "\"repository\":{\"id\":1,\"name\":\"r\",\"full_name\":\"o/r\",\"private\":"
				 "false},\"sender\":{\"id\":2,\"login\":\"ann\"},\"w\":[");
	for (int i = 0; i < 20000; i++)
		aut_buf_printf(&body, "%s\"aaaaaaaaaaaaaaaaaaaaaaaa%d\"", i > 0 ? "," : "", i);
	aut_buf_puts(&body, "]}}");
	before = aut_mono_us(aut_clock_system());
	assert_ok(f, deliver_to(f, NULL, "github", body.data, body.len, NULL, SECRET));
	/* 250 ms for all and 2,000 steps for each that comes later; the rest is reading */
	assert_in_range(aut_mono_us(aut_clock_system()) - before, 0, 5 * AUT_US_PER_S);
	aut_buf_done(&body);
	/* the usual filter among them is not starved */
	assert_true(matched(f) >= 1);
	(void) newest_event(f);
	assert_int_equal(number(f->out, "considered"), 131);
	assert_int_equal(json_array_size(json_object_get(f->out, "verdicts")), AUT_EVENT_VERDICTS_MAX);
	first = json_array_get(json_object_get(f->out, "verdicts"), 0);
	assert_text(first, "verdict", "matched");
}

/* ---- subjects, associations --------------------------------------------------------------------- */

static void
test_events__runs_have_subject_and_associations(void **state)
{
	fixture *f = *state;
	json_t *body = event_body("about something",
							  "{\"source\":\"github\",\"on\":\"push\",\"destination\":"
							  "\"continue_conversation\",\"subject_key_expr\":"
							  "\"join('#', [repository.full_name, lower(sender.login)])\"}");
	aut_run_task task = {0};
	const char *t;
	aut_uuid id;

	secret_on(f);
	json_object_set_new(body, "observability_associations",
						json_pack("{s:s, s:s}", "repo", "repository.full_name", "none", "nothing"));
	(void) made(f, body);
	assert_ok(f, deliver(f, NULL, "github", PUSH, NULL));
	t = json_string_value(json_array_get(json_object_get(f->out, "runs_created"), 0));
	assert_true(aut_uuid_parse(t, strlen(t), &id));
	assert_ok(f, aut_store_run_task(f->db, &id, &task, &f->err));
	assert_string_equal(task.run.subject_key, "o/r#ann");
	assert_string_equal(task.run.observability_associations, "{\"repo\":\"o/r\"}");
	assert_non_null(strstr(task.input, "\"event_key\":\"push\""));
	assert_null(strstr(task.input, "123456789012345678901234567890")); /* not of the model */
	aut_run_task_done(&task);
}

/* ---- the index ----------------------------------------------------------------------------------- */

/* A number below n that looks random and is the same every time. */
static unsigned
draw(unsigned n)
{
	static uint64_t seed = 88172645463325252u;

	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned) (seed >> 33) % n;
}

static const char *const words[] = {"a", "b", "o/r", "o/s", "main", ""};
static const char *const patterns[] = {
	"push",    "pu*",    "*",      "issues.*", "issues.opened", "issues.?", "[ip]*",
	"is*.op*", "push.x", "p[u]sh", "issues",   "*.opened",      "issues.[x"};
static const char *const paths[] = {"x", "y.z", "y.\\\"q r\\\"", "y.w[0]", "v"};

/* The text of a random filter, with what is escaped in JSON. */
static void
draw_filter(char *out, size_t size)
{
	const char *word = words[draw(6)], *path = paths[draw(5)];

	switch (draw(8))
	{
		case 0:
			(void) snprintf(out, size, "%s == '%s'", path, word);
			break;
		case 1:
			(void) snprintf(out, size, "'%s' == %s && v", word, path);
			break;
		case 2:
			(void) snprintf(out, size, "(x == '%s' && (y.z == '%s' || v)) && x", word,
							words[draw(6)]);
			break;
		case 3:
			(void) snprintf(out, size, "x == '%s' || %s == '%s'", word, path, words[draw(6)]);
			break;
		case 4:
			(void) snprintf(out, size, "!(%s == '%s')", path, word);
			break;
		case 5:
			(void) snprintf(out, size, "y | z == '%s' && abs(x)", word);
			break;
		case 6:
			(void) snprintf(out, size, "%s != '%s' && x == '%s'", path, word, words[draw(6)]);
			break;
		default:
			(void) snprintf(out, size, "contains(['%s', 'b'], x)", word);
			break;
	}
}

static void
draw_trigger(char *out, size_t size)
{
	char filter[200];

	draw_filter(filter, sizeof filter);
	if (draw(3) == 0)
		filter[0] = '\0'; /* none */
	(void) snprintf(out, size, "{\"source\":\"%s\",\"on\":[\"%s\",\"%s\"],\"filter\":\"%s\"}",
					draw(4) == 0 ? "other" : "shop", patterns[draw(13)], patterns[draw(13)],
					filter);
}

static json_t *
draw_payload(void)
{
	json_t *y = json_pack("{s:s, s:s, s:[s]}", "z", words[draw(6)], "q r", words[draw(6)], "w",
						  words[draw(6)]);
	json_t *payload = json_object();

	if (draw(4) > 0)
		json_object_set_new(payload, "x", json_string(words[draw(6)]));
	json_object_set_new(payload, "y", draw(8) == 0 ? json_string("no object") : json_incref(y));
	if (draw(2) == 0)
		json_object_set_new(payload, "v", json_true());
	json_decref(y);
	return payload;
}

/* What all automations of an org would say without any index. */
static size_t
by_force(fixture *f, const aut_uuid *ids, size_t count, const char *key, const json_t *payload)
{
	aut_payload *read = NULL;
	size_t want = 0;

	assert_ok(f, aut_payload_from_json((json_t *) (uintptr_t) payload, &read, &f->err));
	for (size_t i = 0; i < count; i++)
	{
		const char *filter;
		json_t *trigger;
		bool pass;

		if (look(f, &f->creator, &ids[i]) != AUT_OK)
			continue;
		trigger = json_object_get(f->out, "trigger");
		filter = text(trigger, "filter");
		pass = strcmp(text(f->out, "state"), "ACTIVE") == 0 &&
			   strcmp(text(trigger, "source"), "shop") == 0 &&
			   aut_pattern_match(json_object_get(trigger, "on"), key);
		if (pass && filter != NULL && filter[0] != '\0')
		{
			aut_jmespath *expr = NULL;
			bool truth = false;

			assert_ok(f, aut_jmespath_compile(filter, strlen(filter), &expr, &f->err));
			pass = aut_filter_match(expr, read, NULL, &truth, NULL) == AUT_OK && truth;
			aut_jmespath_free(expr);
		}
		want += pass;
	}
	aut_payload_free(read);
	return want;
}

static void
test_events__the_index_finds_whom_force_would_find(void **state)
{
	static const char *const keys[] = {"push", "issues.opened", "issues.x", "issues", "p",
									   "",     "issues.[x",     "push.x"};
	fixture *f = *state;
	aut_event_cache *cache = NULL;
	aut_uuid ids[60];
	size_t hits = 0;

	f->creator.manage = true;
	assert_ok(f, aut_event_cache_new(&cache, &f->err));
	for (size_t i = 0; i < 60; i++)
	{
		char trigger[500];

		draw_trigger(trigger, sizeof trigger);
		ids[i] = event_automation(f, trigger);
	}
	for (int round = 0; round < 300; round++)
	{
		json_t *payload = draw_payload();
		char *body = json_dumps(payload, JSON_COMPACT);
		const char *key = keys[draw(8)];
		aut_emission emission = {"shop", key, body, NULL};
		aut_uuid *victim = &ids[draw(60)];
		char trigger[500];
		size_t want;

		/* definitions change all the time */
		if (draw(3) == 0)
		{
			json_t *changed = json_object();

			draw_trigger(trigger, sizeof trigger);
			if (draw(2) == 0)
				json_object_set_new(changed, "enabled", json_boolean(draw(2)));
			else
			{
				json_t *parsed = json_loads(trigger, 0, NULL);

				json_object_set_new(parsed, "type", json_string("event"));
				json_object_set_new(changed, "trigger", parsed);
			}
			if (draw(20) == 0)
			{
				json_decref(changed);
				(void) aut_service_automation_delete(as(f, &f->creator), victim, &f->err);
			}
			else
				(void) update(f, &f->creator, victim, changed);
		}
		want = by_force(f, ids, 60, key, payload);
		/* with what is remembered, and without */
		for (int fresh = 0; fresh < 2; fresh++)
		{
			assert_ok(f, aut_service_event_emit(as(f, &f->creator), fresh ? NULL : cache, &emission,
												&f->out, &f->err));
			if ((size_t) matched(f) != want)
				fail_msg("round %d%s: %lld matched instead of %zu: %s %s", round,
						 fresh ? " without cache" : "", (long long) matched(f), want, key, body);
		}
		hits += want;
		free(body);
		json_decref(payload);
	}
	assert_true(hits > 300);
	aut_event_cache_free(cache);
}

static void
test_events__a_rollback_leaves_nothing_in_the_cache(void **state)
{
	fixture *f = *state;
	aut_event_cache *cache = NULL;
	aut_emission emission = {"shop", "k", "{}", NULL};

	f->creator.manage = true;
	assert_ok(f, aut_event_cache_new(&cache, &f->err));
	for (int i = 0; i < 3; i++)
	{
		assert_ok(f, aut_db_begin(f->db, &f->err));
		(void) event_automation(f, "{\"source\":\"shop\",\"on\":\"*\"}");
		assert_ok(f,
				  aut_service_event_emit(as(f, &f->creator), cache, &emission, &f->out, &f->err));
		assert_int_equal(matched(f), i + 1);
		if (i > 0)
			assert_ok(f, aut_db_commit(f->db, &f->err));
		else
		{
			aut_db_rollback(f->db);
			assert_ok(
				f, aut_service_event_emit(as(f, &f->creator), cache, &emission, &f->out, &f->err));
			assert_int_equal(matched(f), 0);
			(void) event_automation(f, "{\"source\":\"shop\",\"on\":\"*\"}");
		}
	}
	aut_event_cache_free(cache);
}

/* More paths than are asked for one by one. */
static void
test_events__many_paths_are_found_all_the_same(void **state)
{
	fixture *f = *state;
	aut_event_cache *cache = NULL;

	f->creator.manage = true;
	assert_ok(f, aut_event_cache_new(&cache, &f->err));
	for (int i = 0; i < 50; i++)
	{
		char trigger[200];

		(void) snprintf(trigger, sizeof trigger,
						"{\"source\":\"shop\",\"on\":\"k\",\"filter\":\"p%02d == 'v'\"}", i);
		(void) event_automation(f, trigger);
	}
	for (int i = 0; i < 50; i++)
	{
		char payload[100];
		aut_emission emission = {"shop", "k", payload, NULL};

		(void) snprintf(payload, sizeof payload, "{\"p%02d\":\"v\"}", i);
		assert_ok(f,
				  aut_service_event_emit(as(f, &f->creator), cache, &emission, &f->out, &f->err));
		assert_int_equal(matched(f), 1);
	}
	aut_event_cache_free(cache);
}

/* ---- custom webhooks ------------------------------------------------------------------------------ */

static aut_status
fixed_key(void *payload, bool make, uint8_t out[AUT_SEAL_KEY_BYTES], aut_error *err)
{
	(void) payload;
	(void) make;
	(void) err;
	memset(out, 7, AUT_SEAL_KEY_BYTES);
	return AUT_OK;
}

static const aut_sealer sealer = {fixed_key, NULL};

static aut_uuid
webhook(fixture *f, const char *source, const char *expr, bool enabled)
{
	aut_webhook row = {
		.org_id = f->creator.org_id,
		.name = source,
		.source = source,
		.event_key_expr = expr,
		.signature_header = "X-Signature-256",
		.event_id_header = "X-Id",
		.enabled = enabled,
		.created_at = f->now,
		.updated_at = f->now,
	};
	aut_seal_place place = {"custom_webhook", "secret", &row.id};
	void *sealed = NULL;

	assert_ok(f, aut_uuid_v4(&row.id, &f->err));
	assert_ok(f,
			  aut_seal(&sealer, &place, SECRET, strlen(SECRET), &sealed, &row.secret_len, &f->err));
	row.secret = sealed;
	assert_ok(f, aut_store_webhook_insert(f->db, &row, &f->err));
	aut_free(sealed);
	return row.id;
}

static aut_status
deliver_custom(fixture *f, const char *source, const char *body, const char *id)
{
	sent s = {.id = id};
	aut_delivery delivery = {f->creator.org_id, source, body, strlen(body), sent_header, &s};
	aut_call *call = as(f, NULL);

	call->sealer = &sealer;
	sign(&s, SECRET, body, strlen(body));
	refused = (aut_error) AUT_ERROR_INIT;
	return aut_service_event_accept(call, NULL, &delivery, &f->out, &refused, &f->err);
}

static void
test_events__custom_webhooks_name_their_keys(void **state)
{
	fixture *f = *state;
	char long_id[400];

	(void) webhook(f, "orders", "kind || type", true);
	(void) webhook(f, "off", "type", false);
	(void) event_automation(f, "{\"source\":\"orders\",\"on\":\"order.*\"}");
	(void) event_automation(f, "{\"source\":\"orders\",\"on\":\"7\"}");
	assert_ok(f, deliver_custom(f, "orders", "{\"kind\":\"order.paid\"}", "1"));
	assert_int_equal(matched(f), 1);
	assert_ok(f, deliver_custom(f, "orders", "{\"type\":7}", "2"));
	assert_int_equal(matched(f), 1);
	assert_ok(f, deliver_custom(f, "orders", "{\"type\":7}", "2"));
	assert_int_equal(matched(f), 0);
	assert_ok(f, deliver_custom(f, "orders", "{\"type\":[]}", "3"));
	assert_int_equal(matched(f), 0);
	(void) newest_event(f);
	assert_text(f->out, "state", "IGNORED");
	assert_ok(f, deliver_custom(f, "orders", "[]", "4"));
	assert_int_equal(refused.code, AUT_EBADREQ);
	/* an id that no index could hold is told apart all the same */
	memset(long_id, 'x', sizeof long_id - 1);
	long_id[sizeof long_id - 1] = '\0';
	for (int i = 0; i < 2; i++)
	{
		assert_ok(f, deliver_custom(f, "orders", "{\"type\":7}", long_id));
		assert_int_equal(matched(f), 1 - i);
	}
	assert_fails(f, deliver_custom(f, "off", "{\"type\":7}", NULL), AUT_ENOTFOUND, "no such");
	/* without the key nothing can be checked */
	assert_fails(f, deliver(f, NULL, "orders", "{\"type\":7}", NULL), AUT_EUNAVAILABLE, "");
}

/* ---- replay, emissions, trying --------------------------------------------------------------------- */

static void
test_events__a_replay_goes_by_the_automations_of_today(void **state)
{
	fixture *f = *state;
	aut_uuid event, automation;
	json_t *runs;

	secret_on(f);
	assert_ok(f, deliver(f, NULL, "github", PUSH, "d"));
	assert_int_equal(matched(f), 0);
	event = id_of(newest_event(f));
	automation = event_automation(f, "{\"source\":\"github\",\"on\":\"push\"}");
	assert_fails(f, aut_service_event_replay(as(f, &f->creator), NULL, &event, &f->out, &f->err),
				 AUT_EDENIED, "manage_automations");
	assert_fails(f, aut_service_event_replay(as(f, &f->stranger), NULL, &event, &f->out, &f->err),
				 AUT_ENOTFOUND, "Event not found");
	assert_ok(f, aut_service_event_replay(as(f, &f->manager), NULL, &event, &f->out, &f->err));
	assert_int_equal(matched(f), 1);
	assert_string_equal(verdict_of(f->out, &automation, NULL), "matched");
	assert_int_equal(f->call.effects, AUT_EFFECT_RUN);
	(void) newest_event(f);
	assert_text(f->out, "state", "UNMATCHED"); /* what came of it when it came */
	runs = json_object_get(f->out, "runs");
	assert_int_equal(json_array_size(runs), 1);
	assert_true(json_is_true(json_object_get(json_array_get(runs, 0), "replayed")));

	assert_ok(f, deliver(f, NULL, "github", "{\"payload\":{}}", NULL));
	event = id_of(newest_event(f));
	assert_fails(f, aut_service_event_replay(as(f, &f->manager), NULL, &event, &f->out, &f->err),
				 AUT_ECONFLICT, "cannot match");
}

static void
test_events__emissions_need_no_signature_but_a_right(void **state)
{
	fixture *f = *state;
	aut_emission custom = {"shop", "sold", "{\"type\":\"x\"}", "once"};
	aut_emission keyless = {"shop", NULL, "{\"type\":\"x\"}", NULL};
	aut_emission builtin = {"jira_dc", NULL, "{\"webhookEvent\":\"jira:issue\"}", NULL};
	aut_emission wrong = {"jira_dc", "k", "{}", NULL};
	aut_emission nothing = {"shop", NULL, "{\"type\":null}", NULL};
	aut_emission reserved = {"sql", "k", "{}", NULL};

	(void) event_automation(f, "{\"source\":\"shop\",\"on\":\"sold\"}");
	(void) event_automation(f, "{\"source\":\"shop\",\"on\":\"x\"}");
	(void) event_automation(f, "{\"source\":\"jira_dc\",\"on\":\"jira:*\"}");
	assert_fails(f, aut_service_event_emit(as(f, &f->creator), NULL, &custom, &f->out, &f->err),
				 AUT_EDENIED, "manage_automations");
	assert_ok(f, aut_service_event_emit(as(f, &f->manager), NULL, &custom, &f->out, &f->err));
	assert_int_equal(matched(f), 1);
	assert_non_null(text(f->out, "event_id"));
	assert_ok(f, aut_service_event_emit(as(f, &f->manager), NULL, &custom, &f->out, &f->err));
	assert_int_equal(matched(f), 0);
	assert_true(is_null(f->out, "event_id"));
	assert_ok(f, aut_service_event_emit(as(f, &f->manager), NULL, &keyless, &f->out, &f->err));
	assert_int_equal(matched(f), 1);
	assert_ok(f, aut_service_event_emit(as(f, &f->manager), NULL, &builtin, &f->out, &f->err));
	assert_int_equal(matched(f), 1);
	assert_fails(f, aut_service_event_emit(as(f, &f->manager), NULL, &wrong, &f->out, &f->err),
				 AUT_EINVAL, "themselves");
	assert_fails(f, aut_service_event_emit(as(f, &f->manager), NULL, &nothing, &f->out, &f->err),
				 AUT_EBADREQ, "no event that could match");
	assert_fails(f, aut_service_event_emit(as(f, &f->manager), NULL, &reserved, &f->out, &f->err),
				 AUT_EINVAL, "reserved");
}

static aut_status
try(fixture *f, const char *body)
{
	json_t *parsed = json_loads(body, 0, NULL);
	aut_status status = aut_service_event_test_filter(as(f, &f->creator), parsed, &f->out, &f->err);

	json_decref(parsed);
	return status;
}

static void
test_events__a_filter_is_tried_on_the_newest(void **state)
{
	fixture *f = *state;
	json_t *first;

	secret_on(f);
	assert_ok(f, deliver(f, NULL, "github", PUSH, NULL));
	assert_ok(
		f, deliver(f, NULL, "jira_dc", "{\"payload\":{\"webhookEvent\":\"a\",\"ref\":1}}", NULL));
	assert_ok(f, try(f, "{\"filter\":\"ref\"}"));
	assert_int_equal(number(f->out, "considered"), 2);
	assert_int_equal(matched(f), 2);
	assert_ok(f, try(f, "{\"filter\":\"ref\",\"source\":\"github\",\"on\":\"pu*\"}"));
	assert_int_equal(number(f->out, "considered"), 1);
	assert_int_equal(matched(f), 1);
	assert_ok(f, try(f, "{\"filter\":\"abs(ref)\",\"limit\":1}"));
	assert_int_equal(matched(f), 1);
	assert_ok(f, try(f, "{\"filter\":\"abs(ref)\",\"source\":\"github\"}"));
	first = json_array_get(json_object_get(f->out, "events"), 0);
	assert_non_null(strstr(text(first, "why"), "abs()"));
	assert_ok(f, try(f, "{\"on\":[\"b\"],\"filter\":null}"));
	assert_int_equal(matched(f), 0);
	assert_ok(f, try(f, "{}"));
	assert_int_equal(matched(f), 2);
	assert_fails(f, try(f, "{\"filter\":\"a ==\"}"), AUT_EINVAL, "");
	assert_fails(f, try(f, "{\"limit\":0}"), AUT_EINVAL, "");
	assert_fails(f, try(f, "{\"limit\":101}"), AUT_EINVAL, "");
	assert_fails(f, try(f, "{\"on\":1}"), AUT_EINVAL, "");
}

static void
test_events__lists_page_and_select(void **state)
{
	fixture *f = *state;
	aut_event_wanted wanted = {NULL, NULL, NULL};
	char *cursor;

	secret_on(f);
	for (int i = 0; i < 5; i++)
		assert_ok(f, deliver(f, NULL, i == 2 ? "jira_dc" : "github",
							 i == 2 ? "{\"payload\":{\"webhookEvent\":\"a\"}}" : PUSH, NULL));
	assert_ok(f, aut_service_event_list(as(f, &f->creator), &wanted, 3, NULL, &f->out, &f->err));
	assert_int_equal(json_array_size(json_object_get(f->out, "events")), 3);
	cursor = strdup(text(f->out, "next_cursor"));
	assert_ok(f, aut_service_event_list(as(f, &f->creator), &wanted, 3, cursor, &f->out, &f->err));
	assert_int_equal(json_array_size(json_object_get(f->out, "events")), 2);
	assert_true(is_null(f->out, "next_cursor"));
	free(cursor);
	wanted.key = "a";
	assert_ok(f, aut_service_event_list(as(f, &f->creator), &wanted, 3, "", &f->out, &f->err));
	assert_int_equal(json_array_size(json_object_get(f->out, "events")), 1);
	wanted = (aut_event_wanted){"github", NULL, "MATCHED"};
	assert_ok(f, aut_service_event_list(as(f, &f->creator), &wanted, 3, "", &f->out, &f->err));
	assert_int_equal(json_array_size(json_object_get(f->out, "events")), 0);
	wanted.state = "matched";
	assert_fails(f, aut_service_event_list(as(f, &f->creator), &wanted, 3, "", &f->out, &f->err),
				 AUT_EINVAL, "");
	assert_fails(f,
				 aut_service_event_list(as(f, &f->creator), &(aut_event_wanted){0}, 3, "x", &f->out,
										&f->err),
				 AUT_EINVAL, "");
	assert_fails(
		f,
		aut_service_event_list(as(f, &f->blind), &(aut_event_wanted){0}, 3, "", &f->out, &f->err),
		AUT_EDENIED, "");
}

/* ---- without memory --------------------------------------------------------------------------------- */

typedef struct torn
{
	fixture *f;
	aut_uuid event;
	int what;
} torn;

static aut_status
without_memory(void *payload)
{
	torn *t = payload;
	fixture *f = t->f;
	aut_event_cache *cache = NULL;
	json_t *out = NULL;
	json_t *body = NULL;
	aut_error err = AUT_ERROR_INIT;
	sent s = {.id = "d"};
	aut_delivery delivery = {f->creator.org_id, "github", PUSH, strlen(PUSH), sent_header, &s};
	aut_call call;
	aut_status status = aut_db_begin(f->db, &err);

	aut_call_init(&call, f->db, &f->settings, &f->manager, f->now);
	sign(&s, SECRET, PUSH, strlen(PUSH));
	if (status == AUT_OK)
		status = aut_event_cache_new(&cache, &err);
	if (status == AUT_OK && t->what == 0)
		status = aut_service_event_accept(&call, cache, &delivery, &out, &refused, &err);
	else if (status == AUT_OK && t->what == 1)
		status = aut_service_event_replay(&call, cache, &t->event, &out, &err);
	else if (status == AUT_OK && t->what == 2)
		status = aut_service_event_get(&call, &t->event, &out, &err);
	else if (status == AUT_OK)
	{
		body = json_pack("{s:s}", "filter", "ref && contains(ref, 'main')");
		status = body == NULL ? AUT_ENOMEM : aut_service_event_test_filter(&call, body, &out, &err);
	}
	json_decref(body);
	json_decref(out);
	aut_call_done(&call);
	aut_event_cache_free(cache);
	aut_db_rollback(f->db);
	return status;
}

static void
test_events__memory_may_end_anywhere(void **state)
{
	fixture *f = *state;
	torn t = {.f = f};

	secret_on(f);
	(void) event_automation(f, "{\"source\":\"github\",\"on\":[\"push\",\"*\"],\"filter\":"
							   "\"repository.full_name == 'o/r'\",\"destination\":"
							   "\"continue_conversation\",\"subject_key_expr\":\"ref\"}");
	(void) event_automation(f, "{\"source\":\"github\",\"on\":\"push\",\"filter\":\"abs(ref)\"}");
	assert_ok(f, deliver(f, NULL, "github", PUSH, NULL));
	t.event = id_of(newest_event(f));
	(void) as(f, &f->creator);
	for (t.what = 0; t.what < 4; t.what++)
	{
		(void) without_memory(&t); /* statements are prepared once and kept */
		torture(without_memory, &t);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_events__a_delivery_makes_a_run_per_automation),
		TEST(test_events__who_has_no_secret_is_refused),
		TEST(test_events__what_is_no_event_is_kept),
		TEST(test_events__the_clause_that_stopped_it_is_told),
		TEST(test_events__verdicts_are_bounded_and_costly_filters_too),
		TEST(test_events__runs_have_subject_and_associations),
		TEST(test_events__the_index_finds_whom_force_would_find),
		TEST(test_events__a_rollback_leaves_nothing_in_the_cache),
		TEST(test_events__many_paths_are_found_all_the_same),
		TEST(test_events__custom_webhooks_name_their_keys),
		TEST(test_events__a_replay_goes_by_the_automations_of_today),
		TEST(test_events__emissions_need_no_signature_but_a_right),
		TEST(test_events__a_filter_is_tried_on_the_newest),
		TEST(test_events__lists_page_and_select),
		TEST(test_events__memory_may_end_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
