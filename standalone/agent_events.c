/* SPDX-License-Identifier: MIT */
/*
 * standalone/agent_events.c - the embedded agent's events: in memory, ordered, bounded.
 *
 * Two kinds, as the agent server has them: a BashCommand for each command, and BashOutput events with
 * its output and, on the last, its exit code.  All events hang in one list by time; times are made
 * unique, so a place in the list is a place in time.  Each command has the list of its outputs, and a
 * hash finds events by id: what the engine asks all the time (the newest output of one command) looks
 * at nothing else.
 *
 * Bounds: the newest AGENTD_KEEP_BYTES of output per command (older pieces are dropped; `order` goes on,
 * so a gap shows), AGENTD_KEEP_ENDED ended commands for AGENTD_KEEP_ENDED_S seconds, AGENTD_TOTAL_BYTES
 * of their output together.  Nothing is written to disk: after a restart the agent knows no command.
 */
#include <string.h>

#include "standalone/agent_internal.h"

#define BUCKETS_FIRST 1024

/* ---- ids and the index ----------------------------------------------------------------------------- */

static bool
new_id(char out[AGENTD_ID_MAX])
{
	aut_uuid uuid;

	if (aut_uuid_v4(&uuid, NULL) != AUT_OK)
	{
		return false;
	}
	aut_hex(uuid.bytes, sizeof uuid.bytes, out);
	return true;
}

static size_t
hash_id(const char *id)
{
	size_t hash = 5381;

	/* ids are random: the first digits are as good as all */
	for (int i = 0; i < 12 && id[i] != '\0'; i++)
	{
		hash = hash * 33 + (unsigned char) id[i];
	}
	return hash;
}

static void
index_add(agentd_store *store, agentd_event *event)
{
	agentd_event **bucket = &store->buckets[hash_id(event->id) % store->bucket_count];

	event->next_in_bucket = *bucket;
	*bucket = event;
}

/* Twice the buckets when they are full; keeps the old ones when there is no memory. */
static void
index_grow(agentd_store *store)
{
	agentd_event **grown = aut_calloc(store->bucket_count * 2, sizeof *grown);

	if (grown != NULL)
	{
		aut_free(store->buckets);
		store->buckets = grown;
		store->bucket_count *= 2;
		for (agentd_event *event = store->oldest; event != NULL; event = event->newer)
		{
			index_add(store, event);
		}
	}
}

agentd_event *
agentd_event_find(const agentd_store *store, const char *id)
{
	agentd_event *event = store->buckets[hash_id(id) % store->bucket_count];

	while (event != NULL && strcmp(event->id, id) != 0)
	{
		event = event->next_in_bucket;
	}
	return event;
}

/* ---- events -------------------------------------------------------------------------------------------- */

static agentd_event *
event_new(agentd_store *store, agentd_command *command)
{
	agentd_event *event = aut_calloc(1, sizeof *event);
	int64_t now_us = aut_now_us(aut_clock_system());

	if (event == NULL || !new_id(event->id))
	{
		aut_free(event);
		return NULL;
	}
	event->command = command;
	event->time_us = now_us > store->last_time_us ? now_us : store->last_time_us + 1;
	store->last_time_us = event->time_us;
	event->older = store->newest;
	if (store->newest != NULL)
	{
		store->newest->newer = event;
	}
	else
	{
		store->oldest = event;
	}
	store->newest = event;
	index_add(store, event);
	store->event_count++;
	if (store->event_count > store->bucket_count)
	{
		index_grow(store);
	}
	return event;
}

static void
event_free(agentd_store *store, agentd_event *event)
{
	agentd_event **slot = &store->buckets[hash_id(event->id) % store->bucket_count];

	while (*slot != event)
	{
		slot = &(*slot)->next_in_bucket;
	}
	*slot = event->next_in_bucket;
	if (event->older != NULL)
	{
		event->older->newer = event->newer;
	}
	else
	{
		store->oldest = event->newer;
	}
	if (event->newer != NULL)
	{
		event->newer->older = event->older;
	}
	else
	{
		store->newest = event->older;
	}
	store->event_count--;
	aut_free(event->out);
	aut_free(event->err);
	aut_free(event);
}

static void
drop_oldest_output(agentd_command *command)
{
	agentd_event *event = command->first_output;

	command->first_output = event->next_output;
	if (command->first_output != NULL)
	{
		command->first_output->prev_output = NULL;
	}
	else
	{
		command->last_output = NULL;
	}
	command->kept_bytes -= event->out_len + event->err_len;
	event_free(&command->agent->store, event);
}

bool
agentd_output_add(agentd_command *command, char *take_out, size_t out_len, char *take_err,
				  size_t err_len, const int *exit_code)
{
	agentd_event *event = event_new(&command->agent->store, command);

	if (event == NULL)
	{
		aut_free(take_out);
		aut_free(take_err);
		return false;
	}
	event->is_output = true;
	event->order = command->next_order++;
	event->has_exit = exit_code != NULL;
	event->exit_code = exit_code != NULL ? *exit_code : 0;
	event->out = take_out;
	event->out_len = out_len;
	event->err = take_err;
	event->err_len = err_len;
	event->prev_output = command->last_output;
	if (command->last_output != NULL)
	{
		command->last_output->next_output = event;
	}
	else
	{
		command->first_output = event;
	}
	command->last_output = event;
	command->kept_bytes += out_len + err_len;
	while (command->kept_bytes > AGENTD_KEEP_BYTES && command->first_output != event)
	{
		drop_oldest_output(command);
	}
	return true;
}

/* ---- commands ------------------------------------------------------------------------------------------ */

static void
list_add(agentd_command **first, agentd_command **last, agentd_command *command)
{
	command->next = NULL;
	command->prev = *last;
	if (*last != NULL)
	{
		(*last)->next = command;
	}
	else
	{
		*first = command;
	}
	*last = command;
}

static void
list_remove(agentd_command **first, agentd_command **last, agentd_command *command)
{
	if (command->prev != NULL)
	{
		command->prev->next = command->next;
	}
	else
	{
		*first = command->next;
	}
	if (command->next != NULL)
	{
		command->next->prev = command->prev;
	}
	else
	{
		*last = command->prev;
	}
}

agentd_command *
agentd_command_new(agentd *agent, const char *text, size_t text_len, const char *cwd,
				   int64_t timeout_s)
{
	agentd_command *command = aut_calloc(1, sizeof *command);

	if (command == NULL)
	{
		return NULL;
	}
	command->agent = agent;
	command->timeout_s = timeout_s;
	command->text_len = text_len;
	command->text = aut_malloc(text_len + 1);
	command->cwd = aut_strdup(cwd);
	if (command->text != NULL && (cwd == NULL || command->cwd != NULL))
	{
		command->event = event_new(&agent->store, command);
	}
	if (command->event == NULL)
	{
		aut_free(command->text);
		aut_free(command->cwd);
		aut_free(command);
		return NULL;
	}
	memcpy(command->text, text, text_len);
	command->text[text_len] = '\0';
	for (int i = 0; i < 2; i++)
	{
		/* a read adds at most three bytes for each of its own, and pieces are cut after each */
		aut_buf_init(&command->streams[i].text, (size_t) 8 << 20);
	}
	(void) agentd_find_run_id(text, text_len, command->run_id);
	list_add(&agent->store.running_first, &agent->store.running_last, command);
	agent->store.running++;
	return command;
}

static void
command_free(agentd_command *command)
{
	while (command->first_output != NULL)
	{
		drop_oldest_output(command);
	}
	event_free(&command->agent->store, command->event);
	aut_buf_done(&command->streams[0].text);
	aut_buf_done(&command->streams[1].text);
	aut_free(command->text);
	aut_free(command->cwd);
	aut_free(command);
}

/* Forget the command that ended first. */
static void
forget_one(agentd_store *store)
{
	agentd_command *command = store->ended_first;

	list_remove(&store->ended_first, &store->ended_last, command);
	store->ended--;
	store->ended_bytes -= command->kept_bytes;
	command_free(command);
}

void
agentd_store_trim(agentd_store *store)
{
	int64_t now_us = aut_mono_us(aut_clock_system());

	/* never the one that ended last, however much it printed */
	while (store->ended_first != NULL &&
		   (now_us - store->ended_first->ended_mono_us > AGENTD_KEEP_ENDED_S * AUT_US_PER_S ||
			(store->ended_first != store->ended_last &&
			 (store->ended > AGENTD_KEEP_ENDED || store->ended_bytes > AGENTD_TOTAL_BYTES))))
	{
		forget_one(store);
	}
}

void
agentd_command_retire(agentd_command *command)
{
	agentd_store *store = &command->agent->store;

	list_remove(&store->running_first, &store->running_last, command);
	store->running--;
	command->ended = true;
	command->ended_mono_us = aut_mono_us(aut_clock_system());
	aut_buf_done(&command->streams[0].text);
	aut_buf_done(&command->streams[1].text);
	list_add(&store->ended_first, &store->ended_last, command);
	store->ended++;
	store->ended_bytes += command->kept_bytes;
	agentd_store_trim(store);
}

aut_status
agentd_store_init(agentd_store *store, aut_error *err)
{
	memset(store, 0, sizeof *store);
	store->buckets = aut_calloc(BUCKETS_FIRST, sizeof *store->buckets);
	if (store->buckets == NULL)
	{
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	}
	store->bucket_count = BUCKETS_FIRST;
	return AUT_OK;
}

void
agentd_store_done(agentd_store *store)
{
	if (store->buckets == NULL)
	{
		return;
	}
	while (store->running_first != NULL)
	{
		agentd_command *command = store->running_first;

		list_remove(&store->running_first, &store->running_last, command);
		command_free(command);
	}
	while (store->ended_first != NULL)
	{
		forget_one(store);
	}
	aut_free(store->buckets);
	memset(store, 0, sizeof *store);
}

/* ---- JSON ------------------------------------------------------------------------------------------------ */

static json_t *
text_or_null(const char *text, size_t len)
{
	/* the text was made valid when it came; NUL stays, as the agent server has it */
	return text != NULL && len > 0 ? json_stringn_nocheck(text, len) : json_null();
}

static json_t *
output_json(const agentd_event *event, const char *out, size_t out_len, const char *err_text,
			size_t err_len)
{
	json_t *object = json_object();
	bool ok = object != NULL && aut_json_set(object, "id", json_string(event->id)) &&
			  aut_json_set(object, "timestamp", aut_json_time(event->time_us)) &&
			  aut_json_set(object, "command_id", json_string(event->command->event->id)) &&
			  aut_json_set(object, "order", json_integer(event->order)) &&
			  aut_json_set(object, "exit_code",
						   event->has_exit ? json_integer(event->exit_code) : json_null()) &&
			  aut_json_set(object, "stdout", text_or_null(out, out_len)) &&
			  aut_json_set(object, "stderr", text_or_null(err_text, err_len)) &&
			  aut_json_set(object, "kind", json_string("BashOutput"));

	if (!ok)
	{
		json_decref(object);
		object = NULL;
	}
	return object;
}

json_t *
agentd_event_json(const agentd_event *event)
{
	const agentd_command *command = event->command;
	json_t *object;
	bool ok;

	if (event->is_output)
	{
		return output_json(event, event->out, event->out_len, event->err, event->err_len);
	}
	object = json_object();
	ok = object != NULL &&
		 aut_json_set(object, "command", json_stringn_nocheck(command->text, command->text_len)) &&
		 aut_json_set(object, "cwd",
					  command->cwd != NULL ? json_string(command->cwd) : json_null()) &&
		 aut_json_set(object, "timeout", json_integer(command->timeout_s)) &&
		 aut_json_set(object, "id", json_string(event->id)) &&
		 aut_json_set(object, "timestamp", aut_json_time(event->time_us)) &&
		 aut_json_set(object, "kind", json_string("BashCommand"));
	if (!ok)
	{
		json_decref(object);
		object = NULL;
	}
	return object;
}

json_t *
agentd_output_joined(const agentd_command *command)
{
	aut_buf out;
	aut_buf err_text;
	json_t *object = NULL;

	aut_buf_init(&out, AGENTD_KEEP_BYTES + ((size_t) 8 << 20));
	aut_buf_init(&err_text, AGENTD_KEEP_BYTES + ((size_t) 8 << 20));
	for (const agentd_event *event = command->first_output; event != NULL;
		 event = event->next_output)
	{
		(void) aut_buf_append(&out, event->out != NULL ? event->out : "", event->out_len);
		(void) aut_buf_append(&err_text, event->err != NULL ? event->err : "", event->err_len);
	}
	if (command->last_output != NULL && out.status == AUT_OK && err_text.status == AUT_OK)
	{
		object = output_json(command->last_output, out.data, out.len, err_text.data, err_text.len);
	}
	aut_buf_done(&out);
	aut_buf_done(&err_text);
	return object;
}

char *
agentd_event_page_id(const agentd_event *event)
{
	int64_t seconds = event->time_us / AUT_US_PER_S;
	int64_t year;
	int month;
	int day;

	aut_civil_from_days(seconds / 86400, &year, &month, &day);
	seconds %= 86400;
	return aut_printf("%04d%02d%02d%02d%02d%02d%06d_%s%s_%s", (int) year, month, day,
					  (int) (seconds / 3600), (int) (seconds / 60 % 60), (int) (seconds % 60),
					  (int) (event->time_us % AUT_US_PER_S),
					  event->is_output ? "BashOutput_" : "BashCommand",
					  event->is_output ? event->command->event->id : "", event->id);
}
