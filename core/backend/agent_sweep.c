/* SPDX-License-Identifier: MIT */
/*
 * core/backend/agent_sweep.c - work folders that were left on an agent (contract/execution.md section
 * 11d): one command that lists candidates, one that removes those the engine chose.
 *
 * Everything under the root was made by programs of runs, so its names are anybody's.  The rules:
 *
 *   inside    Both commands enter the root first (never through a link) and name folders relative to it,
 *             so that no name can lead anywhere else.  A folder is removed without following links and
 *             without leaving its file system.
 *   ours      Only names written exactly as the engine writes ids; the list asks by pattern, the engine
 *             parses, and the second command gets ids, not names.
 *   again     What the list said may have changed since: the second command looks at age, kind and
 *             processes of each folder once more.
 *
 * The text is POSIX sh with find, shuf and rm of a Debian system; where those are missing, nothing is
 * removed.
 */
#include <string.h>

#include "core/backend/agent_internal.h"

#define LIST_S   60
#define REMOVE_S 300
#define GRACE_MS 10000 /* for the agent to end a command that takes too long */

#define AS_TEXT_(x) #x
#define AS_TEXT(x)  AS_TEXT_(x)

bool
aut_sweep_name(const char *name, size_t len, aut_uuid *out)
{
	char again[AUT_UUID_TEXT_MAX];
	aut_uuid id;
	if (!aut_uuid_parse(name, len, &id))
		return false;
	aut_uuid_format(&id, again);
	if (strlen(again) != len || memcmp(again, name, len) != 0 || aut_uuid_equal(&id, &AUT_UUID_NIL))
		return false;
	*out = id;
	return true;
}

/* $r: the root; we are in it. */
static void
put_enter(const aut_agent *agent, aut_buf *out)
{
	const char *work = agent->paths.work;
	const char *slash = strrchr(work, '/');
	aut_buf_puts(out, "r=");
	aut_shell_quote(out, work, slash != NULL ? (size_t) (slash - work) : 0);
	aut_buf_puts(out,
				 "\n[ -n \"$r\" ] && [ ! -L \"$r\" ] && cd -P -- \"$r\" 2>/dev/null || exit 0\n");
}

/* "! -newermt '@<seconds>'": unchanged since. */
static void
put_age(aut_buf *out, int64_t before)
{
	aut_buf_printf(out, " ! -newermt '@%lld'", (long long) (before / AUT_US_PER_S));
}

static void
swept(void *payload, const aut_http_reply *reply)
{
	aut_agent *agent = payload;
	agent->call = NULL;
	if (reply->status != AUT_OK || reply->code != 200)
	{
		aut__agent_answer_reply(agent, "old work folders", reply);
		return;
	}
	json_t *root = NULL;
	const char *text = NULL;
	if (aut_json_parse(reply->body, reply->body_len, &root, NULL) == AUT_OK)
		text = aut_json_string(root, "stdout");
	aut_agent_answer answer = {.result = AUT_AGENT_DONE,
							   .retry_after_s = -1,
							   .elapsed_s = -1,
							   .data = text != NULL ? text : "",
							   .len = text != NULL ? strlen(text) : 0};
	aut__agent_answer(agent, &answer);
	json_decref(root);
}

static aut_status
execute(aut_agent *agent, const aut_buf *script, int64_t limit_s, aut_error *err)
{
	if (script->status != AUT_OK)
	{
		agent->cb = NULL;
		return aut_fail(err, script->status, "old work folders: %s",
						aut_status_text(script->status));
	}
	aut__agent_post_command(agent, "/api/bash/execute_bash_command", script->data, limit_s,
							limit_s * 1000 + GRACE_MS, swept);
	return AUT_OK;
}

aut_status
aut_agent_list_work(aut_agent *agent, int64_t before, aut_agent_cb cb, void *payload,
					aut_error *err)
{
	aut_status status = aut__agent_begin(agent, cb, payload, err);
	if (status != AUT_OK)
		return status;
	aut_buf script;
	aut_buf_init(&script, 16384);
	put_enter(agent, &script);
	aut_buf_puts(&script, "find . -mindepth 1 -maxdepth 1 -type d"
						  " -name '[0-9a-f]*-[0-9a-f]*-[0-9a-f]*-[0-9a-f]*-[0-9a-f]*'");
	put_age(&script, before);
	/* Any of them: a few that may not go must not stand before the others for ever. */
	aut_buf_puts(&script, " -print 2>/dev/null | shuf -n " AS_TEXT(AUT_SWEEP_LIST_MAX) "\n");
	status = execute(agent, &script, LIST_S, err);
	aut_buf_done(&script);
	return status;
}

static void
put_ids(aut_buf *out, const aut_uuid *ids, size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		char text[AUT_UUID_TEXT_MAX];
		aut_uuid_format(&ids[i], text);
		aut_buf_putc(out, ' ');
		aut_buf_puts(out, text);
	}
}

aut_status
aut_agent_remove_work(aut_agent *agent, const aut_uuid *ids, size_t count, int64_t before,
					  aut_agent_cb cb, void *payload, aut_error *err)
{
	AUT_CHECK(count <= AUT_SWEEP_REMOVE_MAX);
	aut_status status = aut__agent_begin(agent, cb, payload, err);
	if (status != AUT_OK)
		return status;
	aut_buf script;
	aut_buf_init(&script, 16384);
	put_enter(agent, &script);
	aut_buf_puts(&script, "n=0\nfor i in");
	put_ids(&script, ids, count);
	aut_buf_puts(&script, "\ndo\n  [ -n \"$(find \"./$i\" -maxdepth 0 -type d");
	put_age(&script, before);
	aut_buf_puts(&script, " -print 2>/dev/null)\" ] || continue\n"
						  "  live=\n"
						  "  for d in \"/tmp/automation-$i\".[0-9]*; do\n"
						  "    [ -d \"$d\" ] && [ ! -L \"$d\" ] || continue\n");
	aut__agent_find_group(&script);
	aut_buf_puts(&script,
				 "    [ -n \"$p\" ] && kill -s 0 -- \"-$p\" 2>/dev/null && live=1\n"
				 "  done\n"
				 "  [ -z \"$live\" ] || continue\n"
				 "  rm -rf --one-file-system -- \"./$i\" \"/tmp/automation-$i\".[0-9]* "
				 "\"/tmp/automation-$i.tar.gz\" \"/tmp/automation-$i.tar.gz.env\" 2>/dev/null\n"
				 "  [ -e \"./$i\" ] || n=$((n+1))\n"
				 "done\necho $n\n");
	status = execute(agent, &script, REMOVE_S, err);
	aut_buf_done(&script);
	return status;
}
