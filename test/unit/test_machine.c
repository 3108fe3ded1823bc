/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_machine.c - the run machine's table, walked as data: every path ends, nothing that was
 * started is started again without the fence, and each step hears what can happen in it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/engine/machine.h"

static aut_transition
go(aut_step step, aut_event event)
{
	aut_transition to;
	if (!aut_machine_next(step, event, &to))
		fail_msg("%s means nothing in %s", aut_event_name(event), aut_step_name(step));
	return to;
}

static void
test_machine__happy_path_runs_in_order(void **state)
{
	(void) state;
	static const struct
	{
		aut_event event;
		aut_step step;
		aut_action action;
	} PATH[] = {
		{AUT_EVENT_BEGIN, AUT_STEP_PLACING, AUT_ACTION_ACQUIRE},
		{AUT_EVENT_FRESH, AUT_STEP_LOADING, AUT_ACTION_LOAD},
		{AUT_EVENT_DONE, AUT_STEP_UPLOADING, AUT_ACTION_UPLOAD},
		{AUT_EVENT_DONE, AUT_STEP_ENVING, AUT_ACTION_ENV},
		{AUT_EVENT_DONE, AUT_STEP_STARTING, AUT_ACTION_START},
		{AUT_EVENT_DONE, AUT_STEP_RECORDING, AUT_ACTION_RECORD},
		{AUT_EVENT_DONE, AUT_STEP_WAITING, AUT_ACTION_WAIT},
		{AUT_EVENT_DUE, AUT_STEP_LOOKING, AUT_ACTION_LOOK},
		{AUT_EVENT_RUNNING, AUT_STEP_READING, AUT_ACTION_READ},
		{AUT_EVENT_DONE, AUT_STEP_STORING, AUT_ACTION_STORE},
		{AUT_EVENT_DONE, AUT_STEP_WAITING, AUT_ACTION_WAIT},
		{AUT_EVENT_DUE, AUT_STEP_LOOKING, AUT_ACTION_LOOK},
		{AUT_EVENT_ENDED, AUT_STEP_DRAINING, AUT_ACTION_READ},
		{AUT_EVENT_DONE, AUT_STEP_KEEPING, AUT_ACTION_STORE},
		{AUT_EVENT_DONE, AUT_STEP_DRAINING, AUT_ACTION_READ},
		{AUT_EVENT_EMPTY, AUT_STEP_ENDING, AUT_ACTION_FINISH},
		{AUT_EVENT_DONE, AUT_STEP_CLEANING, AUT_ACTION_CLEAN},
		{AUT_EVENT_DONE, AUT_STEP_RELEASING, AUT_ACTION_RELEASE},
		{AUT_EVENT_DONE, AUT_STEP_GONE, AUT_ACTION_DROP},
	};
	aut_step step = AUT_STEP_NEW;
	for (size_t i = 0; i < sizeof PATH / sizeof PATH[0]; i++)
	{
		aut_transition to = go(step, PATH[i].event);
		assert_string_equal(aut_step_name(to.next), aut_step_name(PATH[i].step));
		assert_string_equal(aut_action_name(to.action), aut_action_name(PATH[i].action));
		step = to.next;
	}
}

/* From every step that can be reached, GONE can be reached. */
static void
test_machine__every_step_can_end(void **state)
{
	(void) state;
	bool reached[AUT_STEP_COUNT] = {false}, ends[AUT_STEP_COUNT] = {false};
	reached[AUT_STEP_NEW] = true;
	ends[AUT_STEP_GONE] = true;
	for (int round = 0; round < AUT_STEP_COUNT; round++)
		for (int s = 0; s < AUT_STEP_COUNT; s++)
			for (int e = 0; e < AUT_EVENT_COUNT; e++)
			{
				aut_transition to;
				if (!aut_machine_next((aut_step) s, (aut_event) e, &to))
					continue;
				if (reached[s])
					reached[to.next] = true;
				if (ends[to.next])
					ends[s] = true;
			}
	for (int s = 0; s < AUT_STEP_COUNT; s++)
	{
		if (!reached[s])
			fail_msg("%s cannot be reached", aut_step_name((aut_step) s));
		if (!ends[s])
			fail_msg("%s never ends", aut_step_name((aut_step) s));
	}
}

/* START is reached only from ENVING (the first start) or STARTING (a repeat, fenced by the command). */
static void
test_machine__nothing_else_starts_a_command(void **state)
{
	(void) state;
	for (int s = 0; s < AUT_STEP_COUNT; s++)
		for (int e = 0; e < AUT_EVENT_COUNT; e++)
		{
			aut_transition to;
			if (aut_machine_next((aut_step) s, (aut_event) e, &to) && to.action == AUT_ACTION_START)
				assert_true(s == AUT_STEP_ENVING || s == AUT_STEP_STARTING);
		}
}

/* An adopted run that may have been started is probed before anything is uploaded under it. */
static void
test_machine__adopted_run_is_probed_before_upload(void **state)
{
	(void) state;
	assert_int_equal(go(AUT_STEP_PLACING, AUT_EVENT_UNSURE).action, AUT_ACTION_PROBE);
	assert_int_equal(go(AUT_STEP_PROBING, AUT_EVENT_STARTED).action, AUT_ACTION_LOOK);
	assert_int_equal(go(AUT_STEP_PROBING, AUT_EVENT_FRESH).action, AUT_ACTION_LOAD);
}

/* Whatever is started is cleaned: CLEANING stands before RELEASING on every path. */
static void
test_machine__release_only_after_clean(void **state)
{
	(void) state;
	for (int s = 0; s < AUT_STEP_COUNT; s++)
		for (int e = 0; e < AUT_EVENT_COUNT; e++)
		{
			aut_transition to;
			if (aut_machine_next((aut_step) s, (aut_event) e, &to) && to.next == AUT_STEP_RELEASING)
				assert_true(s == AUT_STEP_CLEANING || s == AUT_STEP_RELEASING);
		}
}

/* Steps with an action that can fail for the moment hear RETRY, and DUE where RETRY pauses them. */
static void
test_machine__pauses_are_woken(void **state)
{
	(void) state;
	for (int s = 0; s < AUT_STEP_COUNT; s++)
	{
		aut_transition to;
		if (!aut_machine_next((aut_step) s, AUT_EVENT_RETRY, &to) || to.action != AUT_ACTION_PAUSE)
			continue;
		aut_transition again = go((aut_step) s, AUT_EVENT_DUE);
		assert_int_equal(again.next, s);
		assert_int_not_equal(again.action, AUT_ACTION_PAUSE);
	}
}

static void
test_machine__unknown_is_refused(void **state)
{
	(void) state;
	aut_transition to;
	assert_false(aut_machine_next(AUT_STEP_NEW, AUT_EVENT_DUE, &to));
	assert_false(aut_machine_next(AUT_STEP_GONE, AUT_EVENT_DONE, &to));
	assert_false(aut_machine_next(AUT_STEP_COUNT, AUT_EVENT_DONE, &to));
	assert_false(aut_machine_next(AUT_STEP_NEW, AUT_EVENT_COUNT, &to));
	assert_string_equal(aut_step_name(AUT_STEP_COUNT), "?");
}

/* What the host executes itself never meets an agent's steps, and always comes to its end. */
static void
test_machine__the_hosts_own_runs(void **state)
{
	(void) state;
	assert_int_equal(go(AUT_STEP_NEW, AUT_EVENT_LOCAL).action, AUT_ACTION_HAND);
	assert_int_equal(go(AUT_STEP_HANDING, AUT_EVENT_DONE).action, AUT_ACTION_WATCH);
	assert_int_equal(go(AUT_STEP_WATCHING, AUT_EVENT_LOST).action, AUT_ACTION_FINISH);
	assert_int_equal(go(AUT_STEP_WATCHING, AUT_EVENT_EXPIRED).action, AUT_ACTION_HALT);
	/* cancelled while it may have been begun already: ended before it is forgotten */
	assert_int_equal(go(AUT_STEP_HANDING, AUT_EVENT_OVER).action, AUT_ACTION_HALT);
	assert_int_equal(go(AUT_STEP_HALTING, AUT_EVENT_DONE).action, AUT_ACTION_FINISH);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_machine__happy_path_runs_in_order),
		cmocka_unit_test(test_machine__every_step_can_end),
		cmocka_unit_test(test_machine__nothing_else_starts_a_command),
		cmocka_unit_test(test_machine__adopted_run_is_probed_before_upload),
		cmocka_unit_test(test_machine__release_only_after_clean),
		cmocka_unit_test(test_machine__pauses_are_woken),
		cmocka_unit_test(test_machine__unknown_is_refused),
		cmocka_unit_test(test_machine__the_hosts_own_runs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
