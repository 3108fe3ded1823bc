/* SPDX-License-Identifier: MIT */
/*
 * core/backend/cloud_seat.c - one run on its way to a sandbox.
 *
 *   LOOKUP ──none──▶ CREATING ──▶ RECORDING ──▶ POLLING ──RUNNING──▶ HEALTH ──▶ READYING ──▶ a place
 *      │ the run has one                            ▲   └─ did not start ─▶ DROPPING ──▶ an error
 *      └────────────────────────────────────────────┘                          │ another may do
 *                    ▲ LOOKUP, a new attempt ◀── RESTING ◀─────────────────────┘
 *
 * The ledger is told before each step that could not be found again otherwise: the intent before a
 * sandbox is asked for, its id before anything is done with it, READY before the engine may start a
 * command in it.  So an adopted run either finds its sandbox, or is known to have none.
 *
 * A run whose command was started belongs to its sandbox: if that is not there, and still not when
 * asked again, the run is lost, and no other one is made.
 */
#include <stddef.h>
#include <string.h>

#include "core/backend/cloud_internal.h"

#define DB_PAUSE_MS       500
#define FIRST_POLL_MS     1000
#define HEALTH_EVERY_MS   1000
#define HEALTH_TIMEOUT_MS 10000
#define SEAT_ID_MAX       200

static cloud_seat *
seat_of(aut_unit *unit)
{
	return (cloud_seat *) (void *) ((char *) unit - offsetof(cloud_seat, unit));
}

static int64_t
seat_now(const cloud_seat *seat)
{
	return aut_now_us(seat->clock);
}

static void
wait_ms(cloud_seat *seat, int64_t ms)
{
	seat->due_us = cloud__mono(seat->cloud) + ms * AUT_US_PER_MS;
	cloud__wake_at(seat->cloud, seat->due_us);
}

/* ---- the end of a seat --------------------------------------------------------------------- */

static void
unlink_seat(cloud_seat *seat)
{
	if (seat->link == NULL)
		return;
	*seat->link = seat->next;
	if (seat->next != NULL)
		seat->next->link = seat->link;
	seat->link = NULL;
}

/* Not while its unit is with the turn. */
void
cloud__seat_free(cloud_seat *seat)
{
	unlink_seat(seat);
	cloud__poll_forget(seat);
	if (seat->health != NULL)
		aut_http_cancel(seat->health);
	if (seat->call != NULL)
		(void) cloud__cancel(seat->call);
	cloud__user_unref(seat->user);
	aut_free(seat->worker);
	aut_free(seat->known_sandbox_id);
	aut_free(seat->sandbox_id);
	aut_free(seat->agent_url);
	aut_free(seat->session_key);
	aut_free(seat);
}

static void
deliver_error(cloud_seat *seat, const aut_error *error, const aut_place_trouble *trouble)
{
	aut_place_cb cb = seat->cb;
	void *payload = seat->payload;
	aut_error why = *error;
	aut_place_trouble what = *trouble;

	cloud__seat_free(seat);
	if (cb != NULL)
		cb(payload, why.code, NULL, &why, &what);
}

static void
deliver_retired(cloud_seat *seat)
{
	aut_error error = AUT_ERROR_INIT;
	aut_place_trouble trouble = {.kind = AUT_PLACE_RETIRED};

	aut_fail(&error, AUT_ECANCELED, "the run has ended");
	deliver_error(seat, &error, &trouble);
}

static void
deliver_place(cloud_seat *seat)
{
	cloud *self = seat->cloud;
	const char *key = self->service_key != NULL ? seat->user->key : self->cloud_key;
	aut_place place = {.sandbox_id = aut_strdup(seat->sandbox_id),
					   .agent_url = aut_strdup(seat->agent_url),
					   .agent_key = aut_strdup(seat->session_key),
					   .work_base = aut_strdup(CLOUD_WORK_BASE),
					   .told_url = aut_strdup(""),
					   .user_key = aut_strdup(key != NULL ? key : ""),
					   .cloud_url = aut_strdup(self->url),
					   .passing = self->settings->sandbox_cleanup_delay_seconds == 0};
	aut_place_cb cb = seat->cb;
	void *payload = seat->payload;

	if (place.sandbox_id == NULL || place.agent_url == NULL || place.agent_key == NULL ||
		place.work_base == NULL || place.told_url == NULL || place.user_key == NULL ||
		place.cloud_url == NULL)
	{
		aut_place_done(&place);
		wait_ms(seat, DB_PAUSE_MS); /* in a moment, with the same step */
		return;
	}
	cloud__seat_free(seat);
	cb(payload, AUT_OK, &place, NULL, NULL);
}

/* ---- units --------------------------------------------------------------------------------- */

static void
add_unit(cloud_seat *seat, aut_status (*run)(aut_unit *, aut_db *, aut_error *),
		 void (*done)(aut_unit *, aut_status, const aut_error *))
{
	seat->unit.run = run;
	seat->unit.done = done;
	seat->in_unit = true;
	cloud__add_unit(seat->cloud, &seat->unit);
}

/* The unit is back.  False: the seat is gone, or waits to do it again. */
static bool
unit_back(cloud_seat *seat, aut_status status, const aut_error *err)
{
	seat->in_unit = false;
	if (seat->cloud == NULL)
	{
		cloud__seat_free(seat);
		return false;
	}
	if (status == AUT_OK)
		return true;
	if (status != AUT_ECANCELED)
		aut_log(AUT_LOG_WARNING, "ledger of sandboxes: %s", err->message);
	wait_ms(seat, DB_PAUSE_MS);
	return false;
}

/* ---- it is not to be ----------------------------------------------------------------------- */

static aut_status
drop_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	cloud_seat *seat = seat_of(unit);
	int64_t now = seat_now(seat);
	aut_status status = AUT_OK;

	if (seat->drop == SEAT_DROP_ROW)
		status = aut_store_sandbox_delete(db, &seat->row, err);
	else if (seat->drop == SEAT_DROP_SANDBOX)
		status = aut_store_sandbox_set(db, &seat->row, AUT_SANDBOX_RELEASED, now, now,
									   seat->error.message, err);
	else if (seat->drop == SEAT_DROP_LOST)
		status = aut_store_sandbox_set(db, &seat->row, AUT_SANDBOX_LOST, AUT_TIME_NONE,
									   AUT_TIME_NONE, seat->error.message, err);
	seat->unwon = false;
	if (status == AUT_OK && seat->rest_ms >= 0)
	{
		bool won = false;
		int64_t until = now + seat->rest_ms * AUT_US_PER_MS + seat->patience_us;

		status = aut_store_run_note(db, &seat->run_id, seat->worker, NULL, until, &won, err);
		seat->unwon = !won;
	}
	return status;
}

static void
drop_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	cloud_seat *seat = seat_of(unit);

	if (!unit_back(seat, status, err))
		return;
	seat->cloud->want_due = true;
	cloud__wake_at(seat->cloud, 0);
	if (seat->cb == NULL)
		cloud__seat_free(seat);
	else if (seat->rest_ms >= 0 && seat->unwon)
		deliver_retired(seat);
	else if (seat->rest_ms >= 0)
	{
		seat->step = SEAT_RESTING;
		wait_ms(seat, seat->rest_ms);
	}
	else
		deliver_error(seat, &seat->error, &seat->trouble);
}

/* What becomes of its row is in `drop`; the error is told, unless another attempt follows. */
static void
drop(cloud_seat *seat, seat_drop what, int64_t rest_ms)
{
	seat->step = SEAT_DROPPING;
	seat->drop = what;
	seat->rest_ms = rest_ms;
	add_unit(seat, drop_run, drop_done);
}

/* Something went wrong that another sandbox would not mend. */
static void
fail(cloud_seat *seat, const aut_error *error, seat_drop what)
{
	seat->error = *error;
	if (seat->trouble.kind == AUT_PLACE_ERROR && seat->started)
		seat->trouble.kind = AUT_PLACE_LOST;
	if (seat->started)
		deliver_error(seat, &seat->error, &seat->trouble); /* its end releases the sandbox */
	else
		drop(seat, what, -1);
}

/* Its sandbox does not start: another one may. */
static void
not_started(cloud_seat *seat, const char *status, const char *detail)
{
	const aut_settings *s = seat->cloud->settings;
	int64_t rest_ms = s->sandbox_provision_retry_delay;
	uint16_t dice = 0;
	char safe[sizeof seat->trouble.sandbox_detail];

	cloud__safe_detail(detail, safe, sizeof safe);
	seat->trouble = (aut_place_trouble){.kind = AUT_PLACE_NOT_STARTED, .attempts = seat->attempt};
	snprintf(seat->trouble.sandbox_status, sizeof seat->trouble.sandbox_status, "%s",
			 status != NULL ? status : "");
	snprintf(seat->trouble.sandbox_detail, sizeof seat->trouble.sandbox_detail, "%s", safe);
	if (status == NULL)
		aut_fail(&seat->error, AUT_EUNAVAILABLE,
				 "the sandbox was not ready after %lld s (%d of %lld attempts)",
				 (long long) s->sandbox_ready_timeout, seat->attempt,
				 (long long) s->sandbox_provision_max_attempts);
	else
		aut_fail(&seat->error, AUT_EUNAVAILABLE,
				 "the sandbox did not start: it is %s%s%s (%d of %lld attempts)", status,
				 safe[0] != '\0' ? ", " : "", safe, seat->attempt,
				 (long long) s->sandbox_provision_max_attempts);
	if (seat->attempt >= s->sandbox_provision_max_attempts)
	{
		drop(seat, SEAT_DROP_SANDBOX, -1);
		return;
	}
	/* 30 s, doubled each time, times 0.5 to 1.5 */
	rest_ms <<= seat->attempt <= 10 ? seat->attempt - 1 : 9;
	if (aut_random(&dice, sizeof dice, NULL) != AUT_OK)
		dice = UINT16_MAX / 2;
	rest_ms = rest_ms / 2 + rest_ms * dice / UINT16_MAX;
	aut_log(AUT_LOG_INFO, "%s; another one in %lld s", seat->error.message,
			(long long) (rest_ms / 1000));
	drop(seat, SEAT_DROP_SANDBOX, rest_ms);
}

/* ---- ready --------------------------------------------------------------------------------- */

static aut_status
ready_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	cloud_seat *seat = seat_of(unit);

	return aut_store_sandbox_set(db, &seat->row, AUT_SANDBOX_READY, AUT_TIME_NONE, AUT_TIME_NONE,
								 NULL, err);
}

static void
ready_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	cloud_seat *seat = seat_of(unit);

	if (!unit_back(seat, status, err))
		return;
	if (seat->cb == NULL)
		cloud__seat_free(seat);
	else
		deliver_place(seat);
}

static void
healthy(void *payload, const aut_http_reply *reply)
{
	cloud_seat *seat = payload;

	seat->health = NULL;
	if (reply->status == AUT_OK && reply->code < 500)
	{
		seat->step = SEAT_READYING;
		add_unit(seat, ready_run, ready_done);
	}
	else if (cloud__mono(seat->cloud) >= seat->deadline_us)
		not_started(seat, NULL, NULL);
	else
		wait_ms(seat, HEALTH_EVERY_MS);
}

/* RUNNING does not mean that its agent answers already. */
static void
ask_health(cloud_seat *seat)
{
	aut_error error = AUT_ERROR_INIT;
	char *url = aut_printf("%s/health", seat->agent_url);

	seat->step = SEAT_HEALTH;
	if (url != NULL)
	{
		aut_http_request request = {.method = "GET",
									.url = url,
									.timeout_ms = HEALTH_TIMEOUT_MS,
									.reply_max = 65536,
									.cb = healthy,
									.payload = seat};
		if (aut_http_send(seat->cloud->http, &request, &seat->health, &error) == AUT_OK)
		{
			aut_free(url);
			return;
		}
	}
	aut_free(url);
	if (error.code == AUT_EINVAL)
		fail(seat, &error, SEAT_DROP_SANDBOX);
	else
		wait_ms(seat, HEALTH_EVERY_MS); /* no memory just now */
}

static void
running(cloud_seat *seat, const cloud_sandbox *sandbox)
{
	aut_error error = AUT_ERROR_INIT;
	size_t len;

	if (sandbox->agent_url == NULL)
	{
		aut_fail(&error, AUT_EPROTO,
				 "the sandbox is RUNNING, but the cloud names no address of its agent "
				 "(AGENT_SERVER)");
		fail(seat, &error, SEAT_DROP_SANDBOX);
		return;
	}
	len = strlen(sandbox->agent_url);
	while (len > 0 && sandbox->agent_url[len - 1] == '/')
		len--;
	aut_free(seat->agent_url);
	aut_free(seat->session_key);
	seat->agent_url = aut_strndup(sandbox->agent_url, len);
	seat->session_key = aut_strdup(sandbox->session_key);
	if (seat->agent_url == NULL || seat->session_key == NULL)
		wait_ms(seat, DB_PAUSE_MS); /* polled again */
	else if (seat->started)
		deliver_place(seat);
	else
		ask_health(seat);
}

/* ---- polled -------------------------------------------------------------------------------- */

static void
checked(cloud_seat *seat, aut_place_state state, const aut_error *error)
{
	aut_place_check_cb cb = seat->check_cb;
	void *payload = seat->payload;
	aut_error why = error != NULL ? *error : (aut_error) AUT_ERROR_INIT;

	cloud__seat_free(seat);
	cb(payload, state, &why);
}

/* Once is not enough: the cloud says MISSING of everything while its own runtime is away. */
static bool
ask_again(cloud_seat *seat)
{
	if (seat->asked_again)
		return false;
	seat->asked_again = true;
	wait_ms(seat, seat->cloud->settings->sandbox_poll_interval);
	return true;
}

static void
lost(cloud_seat *seat, const cloud_sandbox *sandbox, aut_error *error)
{
	char safe[sizeof seat->trouble.sandbox_detail];

	cloud__safe_detail(sandbox->detail, safe, sizeof safe);
	aut_fail(error, AUT_ENOTFOUND, "the run's sandbox is gone: the cloud says %s%s%s",
			 cloud__status_name(sandbox->status), safe[0] != '\0' ? ", " : "", safe);
	seat->trouble.kind = AUT_PLACE_LOST;
	snprintf(seat->trouble.sandbox_status, sizeof seat->trouble.sandbox_status, "%s",
			 cloud__status_name(sandbox->status));
	snprintf(seat->trouble.sandbox_detail, sizeof seat->trouble.sandbox_detail, "%s", safe);
}

void
cloud__seat_polled(cloud_seat *seat, const cloud_sandbox *sandbox, const cloud_answer *answer)
{
	const aut_settings *s = seat->cloud->settings;
	bool late = cloud__mono(seat->cloud) >= seat->deadline_us;
	aut_error error = AUT_ERROR_INIT;

	if (sandbox == NULL)
	{
		bool transient = aut_status_may_retry(answer->status) && !answer->no_key;

		error = answer->error;
		aut_error_context(&error, "asking after the sandbox");
		if (seat->step == SEAT_CHECKING)
			checked(seat, AUT_PLACE_UNKNOWN, &error);
		else if (!transient)
			fail(seat, &error, SEAT_DROP_SANDBOX);
		else if (late && !seat->started)
			not_started(seat, NULL, NULL);
		else
			wait_ms(seat, s->sandbox_poll_interval);
	}
	else if (seat->step == SEAT_CHECKING)
	{
		if (sandbox->status == CLOUD_RUNNING)
			checked(seat, AUT_PLACE_ALIVE, NULL);
		else if (!ask_again(seat))
		{
			lost(seat, sandbox, &error);
			checked(seat, AUT_PLACE_GONE, &error);
		}
	}
	else if (sandbox->status == CLOUD_RUNNING)
		running(seat, sandbox);
	else if (seat->started)
	{
		if (!ask_again(seat))
		{
			lost(seat, sandbox, &error);
			deliver_error(seat, &error, &seat->trouble);
		}
	}
	else if (sandbox->status == CLOUD_ERROR)
		not_started(seat, "ERROR", sandbox->detail);
	else if (sandbox->status == CLOUD_MISSING)
	{
		if (!ask_again(seat))
			not_started(seat, "MISSING", sandbox->detail);
	}
	else if (late)
		not_started(seat, NULL, NULL);
	else
	{
		seat->asked_again = false;
		wait_ms(seat, s->sandbox_poll_interval);
	}
}

static void
begin_polling(cloud_seat *seat, int64_t first_ms)
{
	const aut_settings *s = seat->cloud->settings;

	seat->step = SEAT_POLLING;
	seat->asked_again = false;
	seat->deadline_us = cloud__mono(seat->cloud) + s->sandbox_ready_timeout * AUT_US_PER_S;
	wait_ms(seat, first_ms < s->sandbox_poll_interval ? first_ms : s->sandbox_poll_interval);
}

/* ---- created ------------------------------------------------------------------------------- */

static aut_status
record_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	cloud_seat *seat = seat_of(unit);
	int64_t now = seat_now(seat);
	aut_status status = aut_store_sandbox_created(db, &seat->row, seat->sandbox_id, err);

	if (status == AUT_OK && seat->released)
		status = aut_store_sandbox_set(db, &seat->row, AUT_SANDBOX_RELEASED, now, now, NULL, err);
	return status;
}

static void
record_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	cloud_seat *seat = seat_of(unit);

	if (!unit_back(seat, status, err))
		return;
	seat->cloud->want_due = seat->cloud->want_due || seat->released;
	if (seat->cb == NULL)
		cloud__seat_free(seat);
	else
		begin_polling(seat, FIRST_POLL_MS);
}

/* Is it a quota?  Then the run is not to be repeated. */
static bool
read_limit(const json_t *root, aut_place_trouble *out, aut_error *error)
{
	const json_t *detail = json_object_get(root, "detail");
	const json_t *told = json_is_object(detail) ? detail : root;
	const char *word = aut_json_string(told, "error");
	const char *message = aut_json_string(told, "message");

	if (word == NULL)
		return false;
	if (strcmp(word, AUT_CLOUD_LIMIT_RUNS) == 0)
		out->kind = AUT_PLACE_LIMIT_RUNS;
	else if (strcmp(word, AUT_CLOUD_LIMIT_DAY) == 0)
		out->kind = AUT_PLACE_LIMIT_DAY;
	else
		return false;
	aut_fail(error, AUT_ELIMIT, "%.400s",
			 message != NULL                     ? message
			 : out->kind == AUT_PLACE_LIMIT_RUNS ? "Concurrency limit reached"
												 : "Daily sandbox limit reached");
	error->http_status = 429;
	return true;
}

static void
created(void *payload, const cloud_answer *answer)
{
	cloud_seat *seat = payload;
	const char *id = aut_json_string(answer->root, "id");
	aut_error error = answer->error;

	seat->call = NULL;
	if (answer->status == AUT_OK && id != NULL && id[0] != '\0' && strlen(id) <= SEAT_ID_MAX)
	{
		seat->cloud->stats.created++;
		seat->sandbox_id = aut_strdup(id);
		if (seat->sandbox_id != NULL)
		{
			seat->step = SEAT_RECORDING;
			add_unit(seat, record_run, record_done);
			return;
		}
		aut_fail(&error, AUT_ENOMEM, "no memory for a sandbox's id");
		fail(seat, &error, SEAT_DROP_LOST);
		return;
	}
	if (answer->status == AUT_OK)
	{
		aut_fail(&error, AUT_EPROTO, "the cloud's answer to the request for a sandbox has no id");
		fail(seat, &error, SEAT_DROP_LOST);
		return;
	}
	if (answer->code == 429 && read_limit(answer->root, &seat->trouble, &error))
	{
		fail(seat, &error, SEAT_DROP_ROW);
		return;
	}
	aut_error_context(&error, "asking for a sandbox");
	fail(seat, &error, answer->uncertain ? SEAT_DROP_LOST : SEAT_DROP_ROW);
}

static void
create(cloud_seat *seat)
{
	const aut_settings *s = seat->cloud->settings;
	aut_error error = AUT_ERROR_INIT;
	cloud_request request = {.lane = CLOUD_CREATE,
							 .method = "POST",
							 .path = "/api/v1/sandboxes",
							 .user = seat->user,
							 .timeout_ms =
								 s->http_long_timeout > 60000 ? s->http_long_timeout : 60000,
							 .repeat = true,
							 .cb = created,
							 .payload = seat};

	seat->step = SEAT_CREATING;
	seat->attempt++;
	if (cloud__send(seat->cloud, &request, &seat->call, &error) != AUT_OK)
		fail(seat, &error, SEAT_DROP_ROW);
}

/* ---- lookup -------------------------------------------------------------------------------- */

static aut_status
adopt(cloud_seat *seat, const char *sandbox_id, aut_error *err)
{
	seat->sandbox_id = aut_strdup(sandbox_id);
	seat->adopted = true;
	return seat->sandbox_id != NULL ? AUT_OK
									: aut_fail(err, AUT_ENOMEM, "no memory for a sandbox's id");
}

/* The newest with an id is the run's; what else is there is let go. */
static aut_status
look_through(cloud_seat *seat, const aut_sandbox_list *list, aut_db *db, aut_error *err)
{
	int64_t now = seat_now(seat);
	aut_status status = AUT_OK;

	for (size_t i = 0; status == AUT_OK && i < list->count; i++)
	{
		const aut_sandbox *row = &list->items[i];

		if (row->sandbox_id == NULL)
			status = aut_store_sandbox_set(
				db, &row->id, AUT_SANDBOX_LOST, AUT_TIME_NONE, AUT_TIME_NONE,
				"the answer to its creation was lost with the process that asked for it", err);
		else if (!seat->adopted)
		{
			status = adopt(seat, row->sandbox_id, err);
			seat->row = row->id;
			seat->ready = strcmp(row->state, AUT_SANDBOX_READY) == 0;
		}
		else
			status = aut_store_sandbox_set(db, &row->id, AUT_SANDBOX_RELEASED, now, now, NULL, err);
	}
	return status;
}

static aut_status
lookup_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	cloud_seat *seat = seat_of(unit);
	aut_run_list run = {0};
	aut_sandbox_list list = {0};
	aut_sandbox intent = {.id = seat->intent,
						  .run_id = seat->run_id,
						  .org_id = seat->org_id,
						  .user_id = seat->user_id,
						  .state = AUT_SANDBOX_CREATING,
						  .created_at = seat_now(seat)};
	aut_status status = aut_store_run_get(db, &seat->run_id, &run, err);

	aut_free(seat->sandbox_id);
	seat->sandbox_id = NULL;
	seat->adopted = seat->ready = false;
	seat->retired = status == AUT_ENOTFOUND ||
					(status == AUT_OK && aut_run_status_terminal(run.items[0].status) &&
					 !seat->started); /* of one that was started there may be output left */
	if (status == AUT_OK && !seat->retired)
		status = aut_store_sandbox_of_run(db, &seat->run_id, &list, err);
	if (status == AUT_OK && !seat->retired)
		status = look_through(seat, &list, db, err);
	if (status == AUT_OK && !seat->retired && !seat->adopted)
	{
		/* A run that names a sandbox the ledger does not: it is its own all the same. */
		if (seat->known_sandbox_id != NULL)
		{
			status = adopt(seat, seat->known_sandbox_id, err);
			intent.sandbox_id = seat->known_sandbox_id;
			intent.state = AUT_SANDBOX_READY;
			seat->ready = true;
		}
		if (status == AUT_OK)
			status = aut_store_sandbox_insert(db, &intent, err);
		seat->row = seat->intent;
	}
	aut_sandbox_list_done(&list);
	aut_run_list_done(&run);
	return seat->retired ? AUT_OK : status;
}

static void
lookup_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	cloud_seat *seat = seat_of(unit);

	if (!unit_back(seat, status, err))
		return;
	if (seat->cb == NULL && !seat->retired && !seat->adopted)
		drop(seat, SEAT_DROP_ROW, -1);
	else if (seat->cb == NULL)
		cloud__seat_free(seat);
	else if (seat->retired)
		deliver_retired(seat);
	else if (seat->adopted)
	{
		seat->started = seat->started || seat->ready;
		if (seat->attempt == 0)
			seat->attempt = 1;
		begin_polling(seat, 0);
	}
	else
		create(seat);
}

static void
lookup(cloud_seat *seat)
{
	aut_error error = AUT_ERROR_INIT;

	seat->step = SEAT_LOOKUP;
	if (aut_uuid_v7(seat_now(seat), &seat->intent, &error) != AUT_OK)
		wait_ms(seat, DB_PAUSE_MS);
	else
		add_unit(seat, lookup_run, lookup_done);
}

/* ---- from outside -------------------------------------------------------------------------- */

void
cloud__seat_begin(cloud_seat *seat)
{
	if (seat->check_cb != NULL)
	{
		seat->step = SEAT_CHECKING;
		seat->due_us = cloud__mono(seat->cloud);
		cloud__wake_at(seat->cloud, seat->due_us);
	}
	else
		lookup(seat);
}

/* Its time has come; of what is not asked of the cloud itself. */
void
cloud__seat_due(cloud_seat *seat)
{
	if (seat->in_unit)
		return;
	switch (seat->step)
	{
		case SEAT_LOOKUP:
			lookup(seat);
			break;
		case SEAT_RESTING:
			seat->trouble = (aut_place_trouble){0};
			lookup(seat);
			break;
		case SEAT_RECORDING:
			add_unit(seat, record_run, record_done);
			break;
		case SEAT_HEALTH:
			if (seat->health == NULL)
				ask_health(seat);
			break;
		case SEAT_READYING:
			add_unit(seat, ready_run, ready_done);
			break;
		case SEAT_DROPPING:
			add_unit(seat, drop_run, drop_done);
			break;
		case SEAT_CREATING:
		case SEAT_POLLING:
		case SEAT_CHECKING:
			break;
	}
}

void
cloud__seat_forget(cloud_seat *seat)
{
	bool going = seat->in_unit || seat->step == SEAT_RECORDING || seat->step == SEAT_DROPPING;

	seat->cb = NULL;
	if (seat->check_cb == NULL && seat->step == SEAT_CREATING)
	{
		/* What was asked for comes, and must be known then. */
		if (seat->call == NULL || cloud__call_sent(seat->call))
			return;
		(void) cloud__cancel(seat->call);
		seat->call = NULL;
		drop(seat, SEAT_DROP_ROW, -1);
	}
	else if (!going)
		cloud__seat_free(seat);
}
