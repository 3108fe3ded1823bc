/* SPDX-License-Identifier: MIT */
/*
 * core/backend/cloud.c - the cloud backend: a sandbox for each run.
 *
 * What happens when: callbacks of calls and units move seats on and note what is to be done; the step,
 * once a round, lets polls, calls and the ledger begin what is due.  It costs nothing while nothing is
 * due: `wake_us` says when it must look again.
 */
#include <string.h>

#include "core/backend/cloud_internal.h"

int64_t
cloud__mono(const cloud *self)
{
	return aut_mono_us(self->clock);
}

int64_t
cloud__now(const cloud *self)
{
	return aut_now_us(self->clock);
}

void
cloud__wake_at(cloud *self, int64_t mono_us)
{
	if (mono_us < self->wake_us)
		self->wake_us = mono_us;
	if (mono_us <= cloud__mono(self))
		aut_loop_wake(self->loop);
}

void
cloud__add_unit(cloud *self, aut_unit *unit)
{
	aut_turn_add(self->turn, unit);
	aut_loop_wake(self->loop);
}

/* ---- the step ------------------------------------------------------------------------------ */

static void
woken(void *payload)
{
	(void) payload; /* the step follows every round */
}

static void
seats_run(cloud *self)
{
	int64_t now = cloud__mono(self);
	cloud_seat *next;

	for (cloud_seat *seat = self->seats; seat != NULL; seat = next)
	{
		next = seat->next;
		if (seat->in_unit || seat->step == SEAT_CREATING || seat->step == SEAT_POLLING ||
			seat->step == SEAT_CHECKING || (seat->step == SEAT_HEALTH && seat->health != NULL))
			continue;
		if (seat->due_us <= now)
			cloud__seat_due(seat);
		else
			cloud__wake_at(self, seat->due_us);
	}
}

static bool
step(void *payload)
{
	cloud *self = payload;
	int64_t now = cloud__mono(self);

	if (now >= self->wake_us)
	{
		self->wake_us = AUT_TIME_MAX;
		seats_run(self);
		cloud__polls_run(self);
		cloud__ledger_run(self);
		cloud__calls_run(self);
	}
	if (self->wake_us == AUT_TIME_MAX)
		aut_timer_stop(self->timer);
	else
		aut_timer_set(self->timer,
					  self->wake_us <= now ? 0 : (self->wake_us - now + 999) / AUT_US_PER_MS);
	return false;
}

/* ---- operations ---------------------------------------------------------------------------- */

static cloud_seat *
seat_new(cloud *self, const aut_run_task *task, void *payload, aut_error *err)
{
	const aut_settings *s = self->settings;
	cloud_seat *seat = aut_calloc(1, sizeof *seat);
	int64_t limit = task->timeout_s > 0 ? task->timeout_s : s->default_run_duration;

	if (seat == NULL)
	{
		aut_fail(err, AUT_ENOMEM, "no memory for a run's sandbox");
		return NULL;
	}
	seat->cloud = self;
	seat->clock = self->clock;
	seat->payload = payload;
	seat->run_id = task->run.id;
	seat->org_id = task->org_id;
	seat->user_id = task->user_id;
	seat->worker = aut_strdup(task->run.worker != NULL ? task->run.worker : "");
	seat->known_sandbox_id = aut_strdup(task->run.sandbox_id);
	if (limit > s->max_run_duration)
		limit = s->max_run_duration;
	seat->patience_us = (s->sandbox_ready_timeout + limit + s->run_timeout_margin) * AUT_US_PER_S;
	seat->user = cloud__user_find(self, &seat->org_id, &seat->user_id, err);
	if (seat->worker == NULL || seat->user == NULL ||
		(task->run.sandbox_id != NULL && seat->known_sandbox_id == NULL))
	{
		aut_fail(err, AUT_ENOMEM, "no memory for a run's sandbox");
		cloud__seat_free(seat);
		return NULL;
	}
	seat->link = &self->seats;
	seat->next = self->seats;
	if (seat->next != NULL)
		seat->next->link = &seat->next;
	self->seats = seat;
	return seat;
}

static aut_status
acquire(aut_backend *backend, const aut_run_task *task, aut_place_cb cb, void *payload,
		aut_error *err)
{
	cloud *self = (cloud *) backend;
	cloud_seat *seat = seat_new(self, task, payload, err);

	if (seat == NULL)
		return AUT_ENOMEM;
	seat->cb = cb;
	seat->started = task->run.bash_command_id != NULL;
	cloud__seat_begin(seat);
	return AUT_OK;
}

static aut_status
check(aut_backend *backend, const aut_run_task *task, const aut_place *place, aut_place_check_cb cb,
	  void *payload, aut_error *err)
{
	cloud *self = (cloud *) backend;
	cloud_seat *seat = seat_new(self, task, payload, err);

	if (seat != NULL)
		seat->sandbox_id = aut_strdup(place->sandbox_id);
	if (seat == NULL || seat->sandbox_id == NULL)
	{
		if (seat != NULL)
			cloud__seat_free(seat);
		return aut_fail(err, AUT_ENOMEM, "no memory for a run's sandbox");
	}
	seat->check_cb = cb;
	cloud__seat_begin(seat);
	return AUT_OK;
}

static void
forget(aut_backend *backend, void *payload)
{
	cloud *self = (cloud *) backend;
	cloud_seat *next;

	for (cloud_seat *seat = self->seats; seat != NULL; seat = next)
	{
		next = seat->next;
		if (seat->payload == payload && (seat->cb != NULL || seat->check_cb != NULL))
			cloud__seat_forget(seat);
	}
}

static void
release(aut_backend *backend, const aut_run_task *task, bool keep, bool used)
{
	cloud__ledger_release((cloud *) backend, &task->run.id, keep, used);
}

static bool
ready(aut_backend *backend, const char **out_reason)
{
	const cloud *self = (const cloud *) backend;
	bool good = self->service_key != NULL || self->cloud_key != NULL;

	if (!good && out_reason != NULL)
		*out_reason = "Waiting for a backend";
	return good;
}

/* Something was asked for whose answer should be written down. */
static bool
busy(aut_backend *backend)
{
	const cloud *self = (const cloud *) backend;

	for (const cloud_seat *seat = self->seats; seat != NULL; seat = seat->next)
		if (seat->in_unit || seat->step == SEAT_RECORDING ||
			(seat->call != NULL && cloud__call_sent(seat->call)))
			return true;
	return cloud__ledger_busy(self);
}

static void
cloud_free(aut_backend *backend)
{
	cloud *self = (cloud *) backend;

	aut_loop_remove_step(self->loop, step, self);
	cloud__ledger_done(self);
	cloud__polls_done(self);
	while (self->seats != NULL)
	{
		cloud_seat *seat = self->seats;

		if (!seat->in_unit)
		{
			cloud__seat_free(seat);
			continue;
		}
		/* The turn has its unit: it goes with that. */
		self->seats = seat->next;
		if (seat->next != NULL)
			seat->next->link = &self->seats;
		seat->link = NULL;
		if (seat->call != NULL)
			(void) cloud__cancel(seat->call);
		seat->call = NULL;
		seat->user = NULL;
		seat->cloud = NULL;
		seat->cb = NULL;
	}
	cloud__calls_done(self);
	aut_timer_free(self->timer);
	aut_free(self->url);
	aut_free(self->service_key);
	aut_free(self->cloud_key);
	aut_free(self);
}

static const aut_backend_ops OPS = {
	.version = 1,
	.name = "cloud",
	.acquire = acquire,
	.forget = forget,
	.release = release,
	.ready = ready,
	.free = cloud_free,
	.check = check,
	.busy = busy,
};

void
aut_cloud_get_stats(const aut_backend *backend, aut_cloud_stats *out)
{
	*out = ((const cloud *) backend)->stats;
}

/* A key that could break a header is none. */
static char *
key_of(const char *text)
{
	bool plain = text != NULL && text[0] != '\0' && strpbrk(text, "\r\n") == NULL;

	return plain ? aut_strdup(text) : NULL;
}

aut_status
aut_backend_cloud_new(const aut_cloud_options *options, aut_backend **out, aut_error *err)
{
	cloud *self = aut_calloc(1, sizeof *self);
	aut_status status = AUT_OK;

	if (self == NULL)
		return aut_fail(err, AUT_ENOMEM, "no memory for the cloud backend");
	self->base.ops = &OPS;
	self->loop = options->loop;
	self->http = options->http;
	self->turn = options->turn;
	self->settings = options->settings;
	self->clock = options->clock;
	self->per_second = options->shared_by > 1 ? CLOUD_PER_SECOND / (unsigned) options->shared_by
											  : CLOUD_PER_SECOND;
	if (self->per_second == 0)
		self->per_second = 1;
	for (int lane = 0; lane < CLOUD_LANES; lane++)
		self->lane_tails[lane] = &self->lanes[lane];
	self->url = aut_settings_cloud_url(options->settings, "");
	self->service_key = key_of(options->settings->service_key);
	if (self->service_key == NULL)
		self->cloud_key = key_of(options->settings->cloud_api_key);
	if (self->url == NULL)
		status = aut_fail(err, AUT_ENOMEM, "no memory for the cloud backend");
	if (status == AUT_OK)
		status = cloud__ledger_init(self, err);
	if (status == AUT_OK)
		status = aut_timer_new(self->loop, woken, self, &self->timer, err);
	if (status == AUT_OK)
		status = aut_loop_add_step(self->loop, step, self, err);
	if (status != AUT_OK)
	{
		cloud__ledger_done(self);
		aut_timer_free(self->timer);
		aut_free(self->url);
		aut_free(self->service_key);
		aut_free(self->cloud_key);
		aut_free(self);
		return status;
	}
	aut_loop_wake(self->loop);
	*out = &self->base;
	return AUT_OK;
}
