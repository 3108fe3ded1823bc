/* SPDX-License-Identifier: MIT */
/*
 * core/backend/cloud_ledger.c - what must still happen to sandboxes whose runs have ended.
 *
 *   release   the run has ended: its sandbox is to be deleted now, or paused and deleted later, or kept
 *   due       rows whose time has come are taken, a few at a time, and paused or deleted in the cloud;
 *             a failure is repeated, later each time, for ever: doctor tells of it
 *   sweep     once a minute: sandboxes of runs that have ended or are gone, which nobody released
 *
 * Only ids that are in the ledger are ever touched: the user's own sandboxes are in the same cloud.
 */
#include <stddef.h>
#include <string.h>

#include "core/backend/cloud_internal.h"

#define DB_PAUSE_MS      500
#define TAKEN_FOR_US     (120 * AUT_US_PER_S) /* should this process die over it */
#define AGAIN_FIRST_MS   INT64_C(5000)
#define AGAIN_MAX_MS     INT64_C(600000)
#define FORGET_BATCH     500
#define CLEAN_TIMEOUT_MS 30000
#define TELL_AFTER_TRIES 3

/* ---- release ------------------------------------------------------------------------------- */

typedef struct cloud_release
{
	aut_unit unit;
	struct cloud_release *next, **link;
	cloud *cloud; /* NULL: the backend is gone */
	aut_uuid run_id;
	const char *state;
	int64_t due_at, delete_at;
} cloud_release;

static aut_status
release_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	cloud_release *r = (cloud_release *) (void *) ((char *) unit - offsetof(cloud_release, unit));

	return aut_store_sandbox_release(db, &r->run_id, r->state, r->due_at, r->delete_at, err);
}

static void
release_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	cloud_release *r = (cloud_release *) (void *) ((char *) unit - offsetof(cloud_release, unit));

	/* What failed here the sweep finds. */
	if (status != AUT_OK && status != AUT_ECANCELED)
		aut_log(AUT_LOG_WARNING, "releasing a sandbox: %s", err->message);
	if (r->cloud != NULL)
	{
		r->cloud->want_due = true;
		cloud__wake_at(r->cloud, 0);
		*r->link = r->next;
		if (r->next != NULL)
			r->next->link = r->link;
	}
	aut_free(r);
}

void
cloud__ledger_release(cloud *self, const aut_uuid *run_id, bool keep, bool used)
{
	cloud_release *r = aut_calloc(1, sizeof *r);
	int64_t now = cloud__now(self);

	for (cloud_seat *seat = self->seats; seat != NULL; seat = seat->next)
		if (aut_uuid_equal(&seat->run_id, run_id))
			seat->released = true;
	if (r == NULL)
		return; /* the sweep finds it */
	r->cloud = self;
	r->run_id = *run_id;
	if (keep && used)
	{
		r->state = AUT_SANDBOX_KEPT;
		r->due_at = r->delete_at = AUT_TIME_NONE;
	}
	else
	{
		/* Nothing was done in one that was not used: there is nothing to come back to. */
		int64_t delay_s = used ? self->settings->sandbox_cleanup_delay_seconds : 0;

		r->state = AUT_SANDBOX_RELEASED;
		r->due_at = now;
		r->delete_at = now + delay_s * AUT_US_PER_S;
	}
	r->unit.run = release_run;
	r->unit.done = release_done;
	r->link = &self->releases;
	r->next = self->releases;
	if (r->next != NULL)
		r->next->link = &r->next;
	self->releases = r;
	cloud__add_unit(self, &r->unit);
}

/* ---- one pause or deletion ------------------------------------------------------------------- */

typedef struct cloud_act
{
	aut_unit unit;
	struct cloud_act *next, **link;
	cloud *cloud; /* NULL: the backend is gone */
	bool in_unit;
	cloud_call *call;
	cloud_user *user;
	aut_uuid row, org_id, user_id;
	char *sandbox_id;
	int64_t tries, delete_at;
	bool pausing;
	/* what came of it */
	bool well;
	int64_t again_at;
	char note[200];
} cloud_act;

static void
act_free(cloud_act *act)
{
	if (act->link != NULL)
	{
		*act->link = act->next;
		if (act->next != NULL)
			act->next->link = act->link;
		act->cloud->act_count--;
	}
	if (act->call != NULL)
		(void) cloud__cancel(act->call);
	cloud__user_unref(act->user);
	aut_free(act->sandbox_id);
	aut_free(act);
}

static aut_status
act_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	cloud_act *act = (cloud_act *) (void *) ((char *) unit - offsetof(cloud_act, unit));

	if (!act->well)
		return aut_store_sandbox_again(db, &act->row, act->again_at, act->note, err);
	if (act->pausing)
		return aut_store_sandbox_set(db, &act->row, AUT_SANDBOX_RELEASED, act->delete_at,
									 act->delete_at, NULL, err);
	return aut_store_sandbox_delete(db, &act->row, err);
}

static void
act_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	cloud_act *act = (cloud_act *) (void *) ((char *) unit - offsetof(cloud_act, unit));

	/* Not written: it is due again in a while, and what is gone is gone when asked again. */
	if (status != AUT_OK && status != AUT_ECANCELED)
		aut_log(AUT_LOG_WARNING, "ledger of sandboxes: %s", err->message);
	act->in_unit = false;
	if (act->cloud != NULL)
	{
		act->cloud->want_due = true;
		cloud__wake_at(act->cloud, 0);
	}
	act_free(act);
}

static void
act_answered(void *payload, const cloud_answer *answer)
{
	cloud_act *act = payload;
	cloud *self = act->cloud;
	int64_t wait_ms = AGAIN_FIRST_MS << (act->tries < 7 ? act->tries : 7);

	act->call = NULL;
	/* Unknown there: deleted before, by us or by somebody else. */
	act->well = answer->status == AUT_OK || answer->code == 404;
	if (act->well && act->pausing && answer->code == 404)
		act->pausing = false;
	if (act->well)
	{
		self->stats.paused += act->pausing ? 1 : 0;
		self->stats.deleted += act->pausing ? 0 : 1;
	}
	else
	{
		act->again_at =
			cloud__now(self) + (wait_ms < AGAIN_MAX_MS ? wait_ms : AGAIN_MAX_MS) * AUT_US_PER_MS;
		snprintf(act->note, sizeof act->note, "%.190s", answer->error.message);
		act->note[aut_utf8_boundary(act->note, strlen(act->note))] = '\0';
		if (act->tries + 1 == TELL_AFTER_TRIES)
			aut_log(AUT_LOG_WARNING, "a sandbox cannot be %s, will go on trying: %s",
					act->pausing ? "paused" : "deleted", act->note);
	}
	act->unit.run = act_run;
	act->unit.done = act_done;
	act->in_unit = true;
	cloud__add_unit(self, &act->unit);
}

/* False: it could not even be asked for; the row is due again in a while. */
static bool
act_begin(cloud_act *act)
{
	cloud *self = act->cloud;
	aut_error error = AUT_ERROR_INIT;
	aut_buf path;
	bool good = false;

	aut_buf_init(&path, 4096);
	aut_buf_puts(&path, "/api/v1/sandboxes/");
	aut_url_encode(&path, act->sandbox_id, strlen(act->sandbox_id), "");
	/* The path is ignored by the server and the parameter decides; both are asked for. */
	aut_buf_puts(&path, act->pausing ? "/pause" : "?sandbox_id=");
	if (!act->pausing)
		aut_url_encode(&path, act->sandbox_id, strlen(act->sandbox_id), "");
	act->user = cloud__user_find(self, &act->org_id, &act->user_id, &error);
	if (act->user != NULL && path.status == AUT_OK)
	{
		cloud_request request = {.lane = CLOUD_CLEAN,
								 .method = act->pausing ? "POST" : "DELETE",
								 .path = path.data,
								 .user = act->user,
								 .timeout_ms = CLEAN_TIMEOUT_MS,
								 .cb = act_answered,
								 .payload = act};
		good = cloud__send(self, &request, &act->call, &error) == AUT_OK;
	}
	aut_buf_done(&path);
	return good;
}

/* ---- what is due --------------------------------------------------------------------------- */

typedef struct cloud_sweep
{
	aut_unit unit;
	cloud *cloud; /* NULL: the backend is gone */
	bool busy;
	bool sweeping; /* not only what is due */
	bool recalled; /* what a process before us had taken */
	const aut_clock *clock;
	int64_t retention_us;
	int64_t room;
	aut_sandbox_list taken;
	int64_t due_at;
	int64_t released, lost;
} cloud_sweep;

/* Take what is due, so that no other worker acts on it. */
static aut_status
take_due(cloud_sweep *sweep, aut_db *db, int64_t now, aut_error *err)
{
	size_t kept = 0;
	aut_status status = aut_store_sandbox_due(db, now, sweep->room, &sweep->taken, err);

	for (size_t i = 0; status == AUT_OK && i < sweep->taken.count; i++)
	{
		const aut_sandbox *row = &sweep->taken.items[i];
		bool won = false;

		status = aut_store_sandbox_take(db, &row->id, row->due_at, now + TAKEN_FOR_US, &won, err);
		if (won)
			sweep->taken.items[kept++] = *row;
	}
	sweep->taken.count = kept;
	return status;
}

static aut_status
sweep_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	cloud_sweep *sweep = (cloud_sweep *) (void *) ((char *) unit - offsetof(cloud_sweep, unit));
	int64_t now = aut_now_us(sweep->clock);
	int64_t forgotten = 0;
	aut_status status = AUT_OK;

	aut_sandbox_list_done(&sweep->taken);
	sweep->due_at = AUT_TIME_NONE;
	sweep->released = sweep->lost = 0;
	if (sweep->sweeping)
		status = aut_store_sandbox_sweep(db, now, now - CLOUD_INTENT_MAX_US, &sweep->released,
										 &sweep->lost, err);
	if (status == AUT_OK && !sweep->recalled)
		status = aut_store_sandbox_recall(db, now, err);
	if (status == AUT_OK && sweep->sweeping && sweep->retention_us > 0)
		status =
			aut_store_sandbox_forget(db, now - sweep->retention_us, FORGET_BATCH, &forgotten, err);
	if (status == AUT_OK)
		status = take_due(sweep, db, now, err);
	if (status == AUT_OK)
		status = aut_store_sandbox_next_due(db, &sweep->due_at, err);
	return status;
}

static void
act_on(cloud *self, const aut_sandbox *row)
{
	cloud_act *act = aut_calloc(1, sizeof *act);

	if (act == NULL || row->sandbox_id == NULL)
	{
		aut_free(act);
		return;
	}
	act->sandbox_id = aut_strdup(row->sandbox_id);
	act->cloud = self;
	act->row = row->id;
	act->org_id = row->org_id;
	act->user_id = row->user_id;
	act->tries = row->tries;
	act->delete_at = row->delete_at;
	act->pausing = row->delete_at != AUT_TIME_NONE && row->delete_at > cloud__now(self);
	act->link = &self->acts;
	act->next = self->acts;
	if (act->next != NULL)
		act->next->link = &act->next;
	self->acts = act;
	self->act_count++;
	if (act->sandbox_id == NULL || !act_begin(act))
		act_free(act);
}

static void
sweep_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	cloud_sweep *sweep = (cloud_sweep *) (void *) ((char *) unit - offsetof(cloud_sweep, unit));
	cloud *self = sweep->cloud;

	sweep->busy = false;
	if (self == NULL)
	{
		aut_sandbox_list_done(&sweep->taken);
		aut_free(sweep);
		return;
	}
	if (status != AUT_OK)
	{
		if (status != AUT_ECANCELED)
			aut_log(AUT_LOG_WARNING, "ledger of sandboxes: %s", err->message);
		self->want_due = true;
		self->ledger_retry_us = cloud__mono(self) + DB_PAUSE_MS * AUT_US_PER_MS;
		cloud__wake_at(self, self->ledger_retry_us);
		return;
	}
	if (sweep->released > 0 || sweep->lost > 0)
		aut_log(AUT_LOG_INFO, "%lld sandboxes of ended runs are deleted, %lld may exist unknown",
				(long long) sweep->released, (long long) sweep->lost);
	sweep->recalled = true;
	self->due_at = sweep->due_at;
	if (sweep->sweeping)
		self->sweep_due_us = cloud__mono(self) + CLOUD_SWEEP_EVERY_MS * AUT_US_PER_MS;
	for (size_t i = 0; i < sweep->taken.count; i++)
		act_on(self, &sweep->taken.items[i]);
	aut_sandbox_list_done(&sweep->taken);
	cloud__wake_at(self, 0);
}

void
cloud__ledger_run(cloud *self)
{
	cloud_sweep *sweep = self->sweep;
	int64_t mono = cloud__mono(self), now = cloud__now(self);
	bool due = self->want_due || (self->due_at != AUT_TIME_NONE && self->due_at <= now);
	bool sweeping = mono >= self->sweep_due_us;

	if (sweep->busy)
		return;
	if (mono < self->ledger_retry_us)
	{
		cloud__wake_at(self, self->ledger_retry_us);
		return;
	}
	if ((due && self->act_count < CLOUD_SWEEP_BATCH) || sweeping)
	{
		self->want_due = false;
		sweep->sweeping = sweeping;
		sweep->room = CLOUD_SWEEP_BATCH - self->act_count;
		sweep->retention_us = self->settings->run_retention_days * INT64_C(86400) * AUT_US_PER_S;
		sweep->unit.run = sweep_run;
		sweep->unit.done = sweep_done;
		sweep->busy = true;
		cloud__add_unit(self, &sweep->unit);
		return;
	}
	if (self->due_at != AUT_TIME_NONE && self->act_count < CLOUD_SWEEP_BATCH)
		cloud__wake_at(self, mono + (self->due_at - now));
	cloud__wake_at(self, self->sweep_due_us);
}

aut_status
cloud__ledger_init(cloud *self, aut_error *err)
{
	self->sweep = aut_calloc(1, sizeof *self->sweep);
	if (self->sweep == NULL)
		return aut_fail(err, AUT_ENOMEM, "no memory for the ledger of sandboxes");
	self->sweep->cloud = self;
	self->sweep->clock = self->clock;
	self->due_at = AUT_TIME_NONE;
	self->sweep_due_us = cloud__mono(self); /* what a crash left is found at once */
	return AUT_OK;
}

bool
cloud__ledger_busy(const cloud *self)
{
	return self->releases != NULL || self->sweep->busy;
}

void
cloud__ledger_done(cloud *self)
{
	while (self->acts != NULL)
	{
		cloud_act *act = self->acts;

		if (act->call != NULL)
			(void) cloud__cancel(act->call);
		act->call = NULL;
		cloud__user_unref(act->user);
		act->user = NULL;
		self->acts = act->next;
		if (act->next != NULL)
			act->next->link = &self->acts;
		act->link = NULL;
		act->cloud = NULL;
		if (!act->in_unit)
			act_free(act);
	}
	for (cloud_release *r = self->releases; r != NULL; r = r->next)
		r->cloud = NULL;
	self->releases = NULL;
	if (self->sweep == NULL)
		return;
	if (self->sweep->busy)
		self->sweep->cloud = NULL;
	else
	{
		aut_sandbox_list_done(&self->sweep->taken);
		aut_free(self->sweep);
	}
	self->sweep = NULL;
}
