/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_engine_sweep.c - work folders that runs left on an agent: which go, which stay, and what
 * hostile names and links can do (nothing).  Ages are set on the folders; the engine's clock stands at T0.
 */
#include <errno.h>
#include <sys/stat.h>

#include "test/unit/engine_fixture.h"

#define DAY (86400 * AUT_US_PER_S)

static void
root_of(fixture *f, char *out, size_t size, const char *below)
{
	snprintf(out, size, "%s/work/automation-runs%s%s", f->folder, below[0] != '\0' ? "/" : "",
			 below);
}

static void
make_root(fixture *f)
{
	char path[200];
	snprintf(path, sizeof path, "%s/work", f->folder);
	assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
	root_of(f, path, sizeof path, "");
	assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
}

/* Its modification was so long before T0; of a link: the link's own. */
static void
age(const char *path, int64_t us)
{
	int64_t at = (T0 - us) / AUT_US_PER_S;
	struct timespec times[2] = {{.tv_sec = at}, {.tv_sec = at}};
	assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void
make_folder(fixture *f, const char *name, int64_t old_us)
{
	char path[400], file[420];
	root_of(f, path, sizeof path, name);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(file, sizeof file, "%s/file", path);
	FILE *out = fopen(file, "w");
	assert_non_null(out);
	fclose(out);
	age(path, old_us);
}

static bool
exists(fixture *f, const char *name)
{
	char path[400];
	struct stat info;
	root_of(f, path, sizeof path, name);
	return lstat(path, &info) == 0;
}

static uint64_t
swept(const fixture *f)
{
	aut_engine_stats stats;
	aut_engine_get_stats(f->engine, &stats);
	return stats.swept;
}

static uint64_t swept_wanted;

static bool
has_swept(fixture *f, const aut_uuid *run_id)
{
	(void) run_id;
	return swept(f) >= swept_wanted;
}

/* One scan is due, and takes that many. */
static void
scan(fixture *f, uint64_t wanted)
{
	swept_wanted = swept(f) + wanted;
	aut_clock_manual_advance(&f->clock, 3700 * AUT_US_PER_S);
	aut_loop_wake(f->loop);
	await(f, has_swept, NULL, "the sweep");
	assert_int_equal(swept(f), swept_wanted);
}

/* A run that ended so long before T0 (never: AUT_TIME_NONE), without any engine. */
static void
make_run(fixture *f, const aut_uuid *automation, int64_t ended_us, char *out_text)
{
	aut_uuid run = trigger(f, automation);
	aut_run_end end = {.id = run,
					   .status = AUT_RUN_COMPLETED,
					   .from_pending = true,
					   .cleanup_at = AUT_TIME_NONE};
	bool won = false;
	if (ended_us != AUT_TIME_NONE)
	{
		end.completed_at = T0 - ended_us;
		assert_int_equal(aut_store_run_finish(f->db, &end, &won, NULL), AUT_OK);
		assert_true(won);
	}
	aut_uuid_format(&run, out_text);
}

static void
test_sweep__old_folders_of_ended_and_unknown_runs_go(void **state)
{
	fixture *f = *state;
	char old[AUT_UUID_TEXT_MAX], recent[AUT_UUID_TEXT_MAX], pending[AUT_UUID_TEXT_MAX];
	const char *orphan = "0190a000-0000-7000-8000-000000000001";
	const char *fresh = "0190a000-0000-7000-8000-000000000002";
	aut_uuid id = create(f, "#!/bin/sh\n", NULL, 60);

	engine_crash(f); /* no run is claimed meanwhile */
	make_root(f);
	make_run(f, &id, 8 * DAY, old);
	make_run(f, &id, 6 * DAY, recent);
	make_run(f, &id, AUT_TIME_NONE, pending);
	make_folder(f, old, 8 * DAY);
	make_folder(f, recent, 8 * DAY);
	make_folder(f, pending, 8 * DAY);
	make_folder(f, orphan, 8 * DAY);
	make_folder(f, fresh, 6 * DAY);
	f->settings.max_parallel_runs = 0; /* it stays pending */
	engine_start(f);
	scan(f, 2);
	assert_false(exists(f, old));
	assert_false(exists(f, orphan));
	assert_true(exists(f, recent) && exists(f, pending) && exists(f, fresh));
	aut_clock_manual_advance(&f->clock, 2 * DAY);
	scan(f, 2);
	assert_false(exists(f, recent) || exists(f, fresh));
	assert_true(exists(f, pending));
}

static void
test_sweep__names_and_links_lead_nowhere(void **state)
{
	fixture *f = *state;
	char outside[120], path[300];
	static const char *const STAY[] = {
		"0190A000-0000-7000-8000-000000000001",  /* not how we write it */
		"0190a0000000700080000000000000000000",  /* not an id */
		"0190a000-0000-7000-8000-00000000000g",  /* nor this */
		"0190a000-0000-7000-8000-0000000000011", /* too long */
		"00000000-0000-0000-0000-000000000000",  /* nobody's */
		"a-a-a-a-a $(touch hurt)",
		"a-a-a-a-a\n..",
		"a-b-c-d-e;rm -rf ..",
		"-rf",
		"{0190a000-0000-7000-8000-000000000001}",
	};
	const char *link = "0190a000-0000-7000-8000-000000000003";
	const char *file = "0190a000-0000-7000-8000-000000000004";
	const char *good = "0190a000-0000-7000-8000-000000000005";

	make_root(f);
	snprintf(outside, sizeof outside, "%s/victim", f->folder);
	assert_int_equal(mkdir(outside, 0700), 0);
	age(outside, 9 * DAY);
	for (size_t i = 0; i < sizeof STAY / sizeof STAY[0]; i++)
		make_folder(f, STAY[i], 9 * DAY);
	root_of(f, path, sizeof path, link);
	assert_int_equal(symlink(outside, path), 0);
	age(path, 9 * DAY);
	root_of(f, path, sizeof path, file);
	FILE *plain = fopen(path, "w");
	assert_non_null(plain);
	fclose(plain);
	age(path, 9 * DAY);
	make_folder(f, good, 9 * DAY);
	/* what a folder that goes links to stays */
	root_of(f, path, sizeof path, good);
	strcat(path, "/way-out");
	assert_int_equal(symlink(outside, path), 0);
	root_of(f, path, sizeof path, good);
	age(path, 9 * DAY);

	scan(f, 1);
	assert_false(exists(f, good));
	assert_true(exists(f, link) && exists(f, file));
	for (size_t i = 0; i < sizeof STAY / sizeof STAY[0]; i++)
		assert_true(exists(f, STAY[i]));
	assert_int_equal(access(outside, F_OK), 0);
	assert_false(exists(f, "hurt"));
}

static void
test_sweep__a_root_that_is_a_link_is_left_alone(void **state)
{
	fixture *f = *state;
	const char *orphan = "0190a000-0000-7000-8000-000000000001";
	char path[200], other[200];

	make_root(f);
	make_folder(f, orphan, 9 * DAY);
	root_of(f, path, sizeof path, "");
	snprintf(other, sizeof other, "%s/elsewhere", f->folder);
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(symlink(other, path), 0);
	aut_clock_manual_advance(&f->clock, 3700 * AUT_US_PER_S);
	/* two runs and two scans later it would be gone */
	aut_uuid id = create(f, "#!/bin/sh\n", NULL, 60);
	aut_uuid run = trigger(f, &id);
	await(f, is_clean, &run, "a run to be cleaned");
	aut_clock_manual_advance(&f->clock, 3700 * AUT_US_PER_S);
	run = trigger(f, &id);
	await(f, is_clean, &run, "another run to be cleaned");
	assert_true(exists(f, orphan));
	assert_int_equal(swept(f), 0);
}

static void
test_sweep__a_folder_whose_run_still_has_processes_stays(void **state)
{
	fixture *f = *state;
	const char *live = "0190a000-0000-7000-8000-0000000000a1";
	const char *dead = "0190a000-0000-7000-8000-0000000000a2";
	char folder[2][80], path[180], text[60], stat_path[40], *stat_text;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
	{
		setpgid(0, 0);
		execl("/bin/sleep", "sleep", "60", (char *) NULL);
		_exit(127);
	}
	setpgid(pid, pid);
	snprintf(stat_path, sizeof stat_path, "/proc/%d", (int) pid);
	stat_text = read_text(stat_path, "stat");
	assert_non_null(stat_text);
	/* the 22nd word */
	char *word = stat_text;
	for (int i = 1; i < 22 && word != NULL; i++)
		word = strchr(word, ' ') != NULL ? strchr(word, ' ') + 1 : NULL;
	assert_non_null(word);
	snprintf(text, sizeof text, "%d %.*s\n", (int) pid, (int) strcspn(word, " "), word);
	free(stat_text);
	make_root(f);
	for (int i = 0; i < 2; i++)
	{
		snprintf(folder[i], sizeof folder[i], "/tmp/automation-%s.1", i == 0 ? live : dead);
		assert_true(mkdir(folder[i], 0700) == 0 || errno == EEXIST);
		snprintf(path, sizeof path, "%s/pgid", folder[i]);
		FILE *out = fopen(path, "w");
		assert_non_null(out);
		fputs(i == 0 ? text : "1 1\n", out); /* not the start time of process 1 */
		fclose(out);
	}
	make_folder(f, live, 9 * DAY);
	make_folder(f, dead, 9 * DAY);
	scan(f, 1);
	assert_true(exists(f, live));
	assert_false(exists(f, dead));
	assert_int_equal(access(folder[0], F_OK), 0);
	assert_int_equal(access(folder[1], F_OK), -1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	scan(f, 1);
	assert_false(exists(f, live));
	assert_int_equal(access(folder[0], F_OK), -1);
}

static void
test_sweep__a_scan_takes_fifty_at_most(void **state)
{
	fixture *f = *state;
	int left = 0;
	char name[60];

	make_root(f);
	for (int i = 0; i < 70; i++)
	{
		snprintf(name, sizeof name, "0190a000-0000-7000-8000-0000000010%02x", i);
		make_folder(f, name, 9 * DAY);
	}
	scan(f, 50);
	for (int i = 0; i < 70; i++)
	{
		snprintf(name, sizeof name, "0190a000-0000-7000-8000-0000000010%02x", i);
		left += exists(f, name);
	}
	assert_int_equal(left, 20);
	scan(f, 20);
}

static void
test_sweep__zero_keeps_everything_and_trouble_is_no_end(void **state)
{
	fixture *f = *state;
	const char *orphan = "0190a000-0000-7000-8000-000000000001";

	make_root(f);
	make_folder(f, orphan, 9 * DAY);
	f->settings.workspace_retention_seconds = 0;
	for (int i = 0; i < 20; i++)
	{
		aut_clock_manual_advance(&f->clock, 3700 * AUT_US_PER_S);
		aut_loop_wake(f->loop);
		aut_loop_wait(f->loop, 5);
	}
	assert_true(exists(f, orphan));
	f->settings.workspace_retention_seconds = 604800;
	agent_stop(f);
	for (int i = 0; i < 20; i++)
	{
		aut_clock_manual_advance(&f->clock, 3700 * AUT_US_PER_S);
		aut_loop_wake(f->loop);
		aut_loop_wait(f->loop, 5);
	}
	agent_start(f, NULL); /* at its old port */
	scan(f, 1);
	assert_false(exists(f, orphan));
}

static void
test_sweep__names_are_ids_as_we_write_them(void **state)
{
	aut_uuid id;

	(void) state;
	assert_true(aut_sweep_name("0190a000-0000-7000-8000-00000000000a", 36, &id));
	assert_false(aut_sweep_name("0190a000-0000-7000-8000-00000000000A", 36, &id));
	assert_false(aut_sweep_name("0190a00000007000800000000000000a", 32, &id));
	assert_false(aut_sweep_name("{0190a000-0000-7000-8000-00000000000a}", 38, &id));
	assert_false(aut_sweep_name("urn:uuid:0190a000-0000-7000-8000-00000000000a", 45, &id));
	assert_false(aut_sweep_name("00000000-0000-0000-0000-000000000000", 36, &id));
	assert_false(aut_sweep_name("../../../../../../../../../../../etc", 36, &id));
	assert_false(aut_sweep_name("", 0, &id));
}

int
main(void)
{
	signal(SIGPIPE, SIG_IGN);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_sweep__old_folders_of_ended_and_unknown_runs_go),
		TEST(test_sweep__names_and_links_lead_nowhere),
		TEST(test_sweep__a_root_that_is_a_link_is_left_alone),
		TEST(test_sweep__a_folder_whose_run_still_has_processes_stays),
		TEST(test_sweep__a_scan_takes_fifty_at_most),
		TEST(test_sweep__zero_keeps_everything_and_trouble_is_no_end),
		cmocka_unit_test(test_sweep__names_are_ids_as_we_write_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
