/* SPDX-License-Identifier: MIT */
/*
 * core/net/loop.c - the event loop: rounds of I/O, steps after each, timers, signals.
 *
 * A round is: libuv looks at its sockets and timers once, then the steps run (again while one of them
 * says it did something, at most PASSES_MAX times, so that I/O is never starved), then the flushers.
 * A host drives rounds by aut_loop_run or one by one by aut_loop_poll; both go through one function.
 *
 * The loop promises that a round never waits when a wake is wanted, and that aut_loop_timeout_ms says 0
 * then, also while handles are closing or new descriptors wait for registration (libuv reports both).
 * It is used by one thread only and takes no locks.  Nothing here knows HTTP.
 */
#include <limits.h>
#include <signal.h>

#include "core/net/net_internal.h"

/* Passes over the steps in one round; a step that still wants more continues in the next round. */
#define PASSES_MAX 8

typedef struct loop_step
{
	aut_loop_step step; /* NULL: removed while the steps ran */
	void *payload;
} loop_step;

struct aut_loop
{
	uv_loop_t uv;
	uv_prepare_t keeper;   /* keeps uv_run waiting although nothing else may be on the loop */
	uv_timer_t wait_timer; /* bounds aut_loop_wait */
	loop_step steps[AUT_LOOP_STEPS_MAX];
	int step_count;
	aut__flusher *flushers;
	aut__flusher *next_flusher; /* the one after the one that runs */
	bool wake;
	bool stop;
	bool stepping;
	bool in_timer; /* a timer's callback is on the stack */
};

struct aut_timer
{
	aut_loop *loop;
	uv_timer_t uv;
	aut_timer_cb cb;
	void *payload;
};

struct aut_signal
{
	uv_signal_t uv;
	void (*cb)(void *payload, int signum);
	void *payload;
};

aut_status
aut__uv_fail(aut_error *err, int uv_error, const char *what)
{
	if (uv_error == UV_ENOMEM)
	{
		return aut_fail(err, AUT_ENOMEM, "%s: out of memory", what);
	}
	return aut_fail_errno(err, AUT_EIO, -uv_error, "%s", what);
}

/* ---- life ---------------------------------------------------------------------------------- */

static void
on_keeper(uv_prepare_t *handle)
{
	(void) handle;
}

static void
on_wait_timer(uv_timer_t *handle)
{
	(void) handle;
}

aut_status
aut_loop_new(aut_loop **out, aut_error *err)
{
	aut_loop *loop = aut_calloc(1, sizeof *loop);
	int rc;

	if (loop == NULL)
	{
		return aut_fail(err, AUT_ENOMEM, "event loop: out of memory");
	}
	rc = uv_loop_init(&loop->uv);
	if (rc != 0)
	{
		aut_free(loop);
		return aut__uv_fail(err, rc, "event loop");
	}
	/* these four only write into memory of ours and cannot fail */
	(void) uv_prepare_init(&loop->uv, &loop->keeper);
	(void) uv_prepare_start(&loop->keeper, on_keeper);
	(void) uv_timer_init(&loop->uv, &loop->wait_timer);
	*out = loop;
	return AUT_OK;
}

static void
close_leftover(uv_handle_t *handle, void *payload)
{
	int *count = payload;

	if (!uv_is_closing(handle))
	{
		(*count)++;
		uv_close(handle, NULL);
	}
}

void
aut_loop_free(aut_loop *loop)
{
	int leftovers = 0;

	if (loop == NULL)
	{
		return;
	}
	uv_close((uv_handle_t *) &loop->keeper, NULL);
	uv_close((uv_handle_t *) &loop->wait_timer, NULL);
	(void) uv_run(&loop->uv, UV_RUN_NOWAIT);
	/* Somebody forgot to free something.  Its memory is its owner's; only the descriptors of the loop
	 * are saved here. */
	uv_walk(&loop->uv, close_leftover, &leftovers);
	if (leftovers > 0)
	{
		aut_log(AUT_LOG_WARNING, "event loop freed with %d open handles, closing them", leftovers);
		(void) uv_run(&loop->uv, UV_RUN_NOWAIT);
	}
	if (uv_loop_close(&loop->uv) == 0)
	{
		aut_free(loop);
	}
	else
	{
		/* requests are under way inside libuv: freeing would be worse than leaking */
		aut_log(AUT_LOG_ERROR, "event loop could not be closed, leaking it");
	}
}

struct uv_loop_s *
aut_loop_uv(aut_loop *loop)
{
	return &loop->uv;
}

/* ---- steps and flushers --------------------------------------------------------------------- */

aut_status
aut_loop_add_step(aut_loop *loop, aut_loop_step step, void *payload, aut_error *err)
{
	if (loop->step_count == AUT_LOOP_STEPS_MAX)
	{
		return aut_fail(err, AUT_ELIMIT, "event loop: at most %d steps", AUT_LOOP_STEPS_MAX);
	}
	loop->steps[loop->step_count].step = step;
	loop->steps[loop->step_count].payload = payload;
	loop->step_count++;
	loop->wake = true; /* a new step may have work already */
	return AUT_OK;
}

/* Close the holes that removals left, keeping the order. */
static void
compact_steps(aut_loop *loop)
{
	int kept = 0;

	for (int i = 0; i < loop->step_count; i++)
	{
		if (loop->steps[i].step != NULL)
		{
			loop->steps[kept++] = loop->steps[i];
		}
	}
	loop->step_count = kept;
}

void
aut_loop_remove_step(aut_loop *loop, aut_loop_step step, void *payload)
{
	for (int i = 0; i < loop->step_count; i++)
	{
		if (loop->steps[i].step == step && loop->steps[i].payload == payload)
		{
			loop->steps[i].step = NULL;
			break;
		}
	}
	if (!loop->stepping)
	{
		compact_steps(loop);
	}
}

void
aut__loop_add_flusher(aut_loop *loop, aut__flusher *flusher)
{
	flusher->next = loop->flushers;
	loop->flushers = flusher;
}

void
aut__loop_remove_flusher(aut_loop *loop, aut__flusher *flusher)
{
	for (aut__flusher **at = &loop->flushers; *at != NULL; at = &(*at)->next)
	{
		if (*at == flusher)
		{
			*at = flusher->next;
			break;
		}
	}
	if (loop->next_flusher == flusher)
	{
		loop->next_flusher = flusher->next;
	}
}

static void
run_steps(aut_loop *loop)
{
	bool again = true;

	loop->stepping = true;
	for (int pass = 0; again && pass < PASSES_MAX; pass++)
	{
		again = false;
		for (int i = 0; i < loop->step_count; i++)
		{
			if (loop->steps[i].step != NULL && loop->steps[i].step(loop->steps[i].payload))
			{
				again = true;
			}
		}
	}
	loop->stepping = false;
	compact_steps(loop);
	if (again)
	{
		loop->wake = true;
	}
	for (aut__flusher *flusher = loop->flushers; flusher != NULL; flusher = loop->next_flusher)
	{
		loop->next_flusher = flusher->next;
		flusher->flush(flusher->payload);
	}
}

/* ---- rounds --------------------------------------------------------------------------------- */

static void
run_round(aut_loop *loop, bool may_wait)
{
	bool wait = may_wait && !loop->wake;

	loop->wake = false;
	(void) uv_run(&loop->uv, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
	run_steps(loop);
}

void
aut_loop_wake(aut_loop *loop)
{
	loop->wake = true;
}

void
aut_loop_run(aut_loop *loop)
{
	while (!loop->stop)
	{
		run_round(loop, true);
	}
	loop->stop = false;
}

void
aut_loop_stop(aut_loop *loop)
{
	loop->stop = true;
	loop->wake = true;
}

int
aut_loop_fd(aut_loop *loop)
{
	return uv_backend_fd(&loop->uv);
}

int
aut_loop_timeout_ms(aut_loop *loop)
{
	int timeout_ms = 0;

	if (!loop->wake)
	{
		/* libuv reckons from its cached time; a long step would make the answer too long */
		uv_update_time(&loop->uv);
		timeout_ms = uv_backend_timeout(&loop->uv);
	}
	return timeout_ms;
}

void
aut_loop_poll(aut_loop *loop)
{
	run_round(loop, false);
}

void
aut_loop_wait(aut_loop *loop, int timeout_ms)
{
	if (timeout_ms > 0)
	{
		uv_update_time(&loop->uv);
		(void) uv_timer_start(&loop->wait_timer, on_wait_timer, (uint64_t) timeout_ms, 0);
	}
	run_round(loop, timeout_ms != 0);
	(void) uv_timer_stop(&loop->wait_timer);
}

/* ---- timers --------------------------------------------------------------------------------- */

static void
on_timer(uv_timer_t *handle)
{
	aut_timer *timer = handle->data;
	aut_loop *loop = timer->loop;

	loop->in_timer = true;
	timer->cb(timer->payload);
	loop->in_timer = false;
}

aut_status
aut_timer_new(aut_loop *loop, aut_timer_cb cb, void *payload, aut_timer **out, aut_error *err)
{
	aut_timer *timer = aut_calloc(1, sizeof *timer);

	if (timer == NULL)
	{
		return aut_fail(err, AUT_ENOMEM, "timer: out of memory");
	}
	(void) uv_timer_init(&loop->uv, &timer->uv);
	timer->loop = loop;
	timer->uv.data = timer;
	timer->cb = cb;
	timer->payload = payload;
	*out = timer;
	return AUT_OK;
}

void
aut_timer_set(aut_timer *timer, int64_t after_ms)
{
	uint64_t delay_ms = after_ms > 0 ? (uint64_t) after_ms : 0;

	if (!timer->loop->in_timer)
	{
		/* from now, not from the beginning of this round: otherwise a timer set after a long step
		 * would fire early */
		uv_update_time(timer->uv.loop);
	}
	else if (delay_ms == 0)
	{
		/* libuv runs timers until none is due by its cached time, so a timer that re-arms itself for
		 * "now" (or that moves the cached time on) would keep it there for ever */
		delay_ms = 1;
	}
	(void) uv_timer_start(&timer->uv, on_timer, delay_ms, 0);
}

void
aut_timer_stop(aut_timer *timer)
{
	(void) uv_timer_stop(&timer->uv);
}

static void
on_timer_closed(uv_handle_t *handle)
{
	aut_free(handle->data);
}

void
aut_timer_free(aut_timer *timer)
{
	if (timer != NULL)
	{
		uv_close((uv_handle_t *) &timer->uv, on_timer_closed);
	}
}

/* ---- signals -------------------------------------------------------------------------------- */

static void
on_signal(uv_signal_t *handle, int signum)
{
	aut_signal *signal_handle = handle->data;

	signal_handle->cb(signal_handle->payload, signum);
}

static void
on_signal_closed(uv_handle_t *handle)
{
	aut_free(handle->data);
}

aut_status
aut_signal_new(aut_loop *loop, int signum, void (*cb)(void *payload, int signum), void *payload,
			   aut_signal **out, aut_error *err)
{
	aut_signal *self = aut_calloc(1, sizeof *self);
	int rc;

	if (self == NULL)
	{
		return aut_fail(err, AUT_ENOMEM, "signal: out of memory");
	}
	rc = uv_signal_init(&loop->uv, &self->uv);
	if (rc != 0)
	{
		aut_free(self);
		return aut__uv_fail(err, rc, "signal");
	}
	self->uv.data = self;
	self->cb = cb;
	self->payload = payload;
	rc = uv_signal_start(&self->uv, on_signal, signum);
	if (rc != 0)
	{
		uv_close((uv_handle_t *) &self->uv, on_signal_closed);
		return aut__uv_fail(err, rc, "signal");
	}
	*out = self;
	return AUT_OK;
}

void
aut_signal_free(aut_signal *self)
{
	if (self != NULL)
	{
		uv_close((uv_handle_t *) &self->uv, on_signal_closed);
	}
}
