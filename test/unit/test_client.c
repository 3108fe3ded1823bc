/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_client.c - the command-line client without a server: arguments, help, tables, times,
 * hostile text, server-sent events, packing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "standalone/client_priv.h"
#include "test/unit/torture.h"

/* ---- arguments ------------------------------------------------------------------------------- */

static aut_error error;

/* Parse "create hello --x …" given as words. */
static aut_status
parse(client_args *args, int argc, const char **argv)
{
	const client_spec *spec = client_spec_find(argv[0]);

	assert_non_null(spec);
	memset(&error, 0, sizeof error);
	return client_args_parse(spec, argc, (char **) argv, args, &error);
}

#define PARSE(args, ...)                                                                           \
	parse(args, (int) (sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)),                    \
		  (const char *[]){__VA_ARGS__, NULL})

static void
test_args__long_options_take_their_value_either_way(void **state)
{
	client_args args;

	(void) state;
	assert_int_equal(PARSE(&args, "create", "hello", "--script", "a.sh", "--tz=Europe/Berlin",
						   "--schedule=", "--timeout", "90", "--disabled"),
					 AUT_OK);
	assert_string_equal(args.operand, "hello");
	assert_string_equal(args.script, "a.sh");
	assert_string_equal(args.tz, "Europe/Berlin");
	assert_string_equal(args.schedule, "");
	assert_int_equal(args.timeout, 90);
	assert_true(args.disabled);
	assert_false(args.json);
	assert_null(args.dir);
}

static void
test_args__short_options_cluster_and_attach(void **state)
{
	client_args args;

	(void) state;
	assert_int_equal(PARSE(&args, "runs", "-n5"), AUT_OK);
	assert_int_equal(args.count, 5);
	assert_int_equal(PARSE(&args, "runs", "-n", "7", "x"), AUT_OK);
	assert_int_equal(args.count, 7);
	assert_string_equal(args.operand, "x");
	assert_int_equal(PARSE(&args, "run", "-fi{}", "x"), AUT_OK);
	assert_true(args.follow);
	assert_string_equal(args.input, "{}");
}

static void
test_args__double_dash_ends_options_and_dash_is_a_value(void **state)
{
	client_args args;

	(void) state;
	assert_int_equal(PARSE(&args, "create", "--script", "-", "--", "--odd name"), AUT_OK);
	assert_string_equal(args.script, "-");
	assert_string_equal(args.operand, "--odd name");
}

static void
test_args__numbers_not_given_are_told_from_zero(void **state)
{
	client_args args;

	(void) state;
	assert_int_equal(PARSE(&args, "run", "x"), AUT_OK);
	assert_int_equal(args.delay, -1);
	assert_int_equal(PARSE(&args, "run", "x", "--delay", "0"), AUT_OK);
	assert_int_equal(args.delay, 0);
}

static void
assert_refused(client_args *args, aut_status status, const char *part)
{
	(void) args;
	assert_int_equal(status, AUT_EINVAL);
	if (strstr(error.message, part) == NULL)
		fail_msg("'%s' is not in '%s'", part, error.message);
}

static void
test_args__mistakes_are_named(void **state)
{
	client_args a;

	(void) state;
	assert_refused(&a, PARSE(&a, "create", "x", "--sript", "f"), "unknown option --sript");
	assert_refused(&a, PARSE(&a, "create", "x", "--sched", "f"), "did you mean --schedule?");
	assert_refused(&a, PARSE(&a, "create", "x", "--script"),
				   "--script needs a value: --script FILE");
	assert_refused(&a, PARSE(&a, "create"), "NAME is missing");
	assert_refused(&a, PARSE(&a, "create", ""), "NAME must not be empty");
	assert_refused(&a, PARSE(&a, "create", "a", "b"), "a and b");
	assert_refused(&a, PARSE(&a, "create", "x", "--timeout", "soon"), "a whole number from 1");
	assert_refused(&a, PARSE(&a, "create", "x", "--timeout", "0"), "a whole number from 1");
	assert_refused(&a, PARSE(&a, "create", "x", "--timeout", "99999999999999999999"),
				   "whole number");
	assert_refused(&a, PARSE(&a, "create", "x", "--json=yes"), "--json takes no value");
	assert_refused(&a, PARSE(&a, "create", "x", "--json", "--json"), "--json is given twice");
	assert_refused(&a, PARSE(&a, "list", "x"), "automation list takes no name");
	assert_refused(&a, PARSE(&a, "runs", "-x"), "unknown option -x");
	assert_refused(&a, PARSE(&a, "logs", "x", "--script", "f"), "unknown option --script");
}

static void
test_args__help_needs_nothing_else(void **state)
{
	client_args args;

	(void) state;
	assert_int_equal(PARSE(&args, "create", "--help"), AUT_OK);
	assert_true(args.help);
	assert_int_equal(PARSE(&args, "create", "-h", "--nonsense"), AUT_OK);
	assert_true(args.help);
}

static void
test_help__every_option_of_every_command_is_described(void **state)
{
	size_t commands = 0;

	(void) state;
	for (const aut_command *c = aut_client_commands; c->name != NULL; c++, commands++)
	{
		const client_spec *spec = client_spec_find(c->name);
		char *begin = aut_printf("Usage: automation %s ", c->name);

		assert_non_null(spec);
		assert_ptr_equal(spec->command, c);
		assert_memory_equal(c->usage, begin, strlen(begin));
		assert_int_equal(c->usage[strlen(c->usage) - 1], '\n');
		assert_null(strchr(c->summary, '\n'));
		aut_free(begin);
		for (const client_option *o = spec->options; o->name != NULL; o++)
		{
			char *line = o->value != NULL ? aut_printf("--%s %s\n", o->name, o->value)
										  : aut_printf("--%s\n", o->name);

			if (strstr(c->usage, line) == NULL)
				fail_msg("the help of %s does not have %s", c->name, line);
			assert_true((o->value == NULL) == (o->kind == CLIENT_FLAG));
			aut_free(line);
		}
	}
	assert_int_equal(commands, 17);
	assert_null(client_spec_find("serve"));
}

/* ---- times ----------------------------------------------------------------------------------- */

static void
test_duration__units_follow_the_size(void **state)
{
	static const struct
	{
		int64_t us;
		const char *text;
	} rows[] = {
		{0, "0 ms"},
		{999, "0 ms"},
		{350000, "350 ms"},
		{999999, "999 ms"},
		{1000000, "1.0 s"},
		{1290000, "1.2 s"},
		{9999999, "9.9 s"},
		{10000000, "10 s"},
		{59999999, "59 s"},
		{60000000, "1 min"},
		{125000000, "2 min 5 s"},
		{3600000000, "1 h"},
		{INT64_C(11040000000), "3 h 4 min"},
		{INT64_C(183600000000), "2 d 3 h"},
		{-5, "0 ms"},
	};
	char out[CLIENT_TEXT_MAX];

	(void) state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		assert_string_equal(client_duration(rows[i].us, out), rows[i].text);
}

static void
test_relative__past_and_future_in_one_unit(void **state)
{
	const int64_t now = INT64_C(1782900000000000);
	const int64_t s = AUT_US_PER_S;
	char out[CLIENT_TEXT_MAX];

	(void) state;
	assert_string_equal(client_relative(now, now, out), "now");
	assert_string_equal(client_relative(now + s - 1, now, out), "now");
	assert_string_equal(client_relative(now + 12 * s, now, out), "in 12 s");
	assert_string_equal(client_relative(now - 119 * s, now, out), "119 s ago");
	assert_string_equal(client_relative(now - 190 * s, now, out), "3 min ago");
	assert_string_equal(client_relative(now + 3 * 3600 * s, now, out), "in 3 h");
	assert_string_equal(client_relative(now - 3 * 86400 * s, now, out), "3 d ago");
	/* the whole range, without overflow */
	assert_string_equal(client_relative(INT64_MAX, INT64_MIN + 1, out), "in 213503982 d");
}

static void
test_absolute__utc_and_local(void **state)
{
	char out[CLIENT_TEXT_MAX];

	(void) state;
	assert_int_equal(setenv("TZ", "CET-1", 1), 0);
	tzset();
	assert_string_equal(client_absolute(INT64_C(1782909296000000), true, out),
						"2026-07-01 12:34:56Z");
	assert_string_equal(client_absolute(INT64_C(1782909296000000), false, out),
						"2026-07-01 13:34:56 +0100");
	assert_string_equal(client_absolute(-1, true, out), "1969-12-31 23:59:59Z");
}

static void
test_when__pipes_get_timestamps_and_terminals_distances(void **state)
{
	aut_clock_manual manual;
	client_args args;
	client c = {.args = &args};
	char out[CLIENT_TEXT_MAX];

	(void) state;
	aut_clock_manual_init(&manual, INT64_C(1782909296000000));
	client_args_init(&args);
	c.clock = &manual.clock;
	args.utc = true;
	assert_string_equal(client_when(&c, manual.now_us, out), "2026-07-01 12:34:56Z");
	c.out_terminal = true;
	assert_string_equal(client_when(&c, manual.now_us, out), "2026-07-01 12:34:56Z");
	args.utc = false;
	assert_string_equal(client_when(&c, manual.now_us - 5 * AUT_US_PER_S, out), "5 s ago");
	assert_string_equal(client_when(&c, AUT_TIME_NONE, out), "-");
}

/* ---- hostile text ------------------------------------------------------------------------------ */

static void
assert_filtered(const char *in, size_t piece, const char *expected)
{
	client_filter filter = {.pending_len = 0};
	size_t len = strlen(in);
	aut_buf out;

	aut_buf_init(&out, 4096);
	for (size_t at = 0; at < len; at += piece)
		assert_int_equal(
			client_filter_put(&filter, in + at, len - at < piece ? len - at : piece, &out), AUT_OK);
	assert_int_equal(client_filter_end(&filter, &out), AUT_OK);
	assert_string_equal(out.data, expected);
	aut_buf_done(&out);
}

static void
test_filter__colours_pass_and_everything_else_is_shown(void **state)
{
	static const struct
	{
		const char *in, *out;
	} rows[] = {
		{"plain\ttext\n", "plain\ttext\n"},
		{"\x1b[1;31mred\x1b[0m\n", "\x1b[1;31mred\x1b[0m\n\x1b[0m"},
		{"\x1b[38:5:9mx", "\x1b[38:5:9mx\x1b[0m"},
		{"\x1b[2J\x1b[H", "\\x1b[2J\\x1b[H"},               /* clear the screen */
		{"\x1b]0;title\a", "\\x1b]0;title\\a"},             /* rename the window */
		{"\x1b]52;c;aGk=\x1b\\", "\\x1b]52;c;aGk=\\x1b\\"}, /* fill the clipboard */
		{"\x1b[6n", "\\x1b[6n"},                            /* make the terminal type */
		{"\x1b\x1b[1mx", "\\x1b\x1b[1mx\x1b[0m"},
		{"a\rb\bc\x7f", "a\\rb\\bc\\u007f"},
		{"\xc2\x9b"
		 "2J",
		 "\\u009b2J"}, /* CSI as one character */
		{"abc \xe2\x80\xae"
		 "fed",
		 "abc \\u202efed"}, /* right-to-left override */
		{"gr\xc3\xbc\xc3\x9f \xe6\x97\xa5 \xf0\x9f\x8d\x92",
		 "gr\xc3\xbc\xc3\x9f \xe6\x97\xa5 \xf0\x9f\x8d\x92"},
		{"\x1b[1", "\\x1b[1"},
		{"\x1b", "\\x1b"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		assert_filtered(rows[i].in, 1000, rows[i].out);
}

static void
test_filter__sequences_cut_between_pieces_are_recognised(void **state)
{
	(void) state;
	assert_filtered("a\x1b[1;31mred\x1b[0m\x1b[2Jx", 1, "a\x1b[1;31mred\x1b[0m\\x1b[2Jx\x1b[0m");
	assert_filtered("a\x1b[1;31mred\x1b[0m\x1b[2Jx", 3, "a\x1b[1;31mred\x1b[0m\\x1b[2Jx\x1b[0m");
}

static void
test_filter__endless_sequence_is_given_up(void **state)
{
	char in[200] = "\x1b[";
	char expected[210] = "\\x1b[";

	(void) state;
	memset(in + 2, '1', 100);
	memset(expected + 5, '1', 100);
	(void) snprintf(in + 102, sizeof in - 102, "mx");
	(void) snprintf(expected + 105, sizeof expected - 105, "mx");
	assert_filtered(in, 1000, expected);
}

static void
test_escape__cells_have_no_lines_and_no_colours(void **state)
{
	static const char in[] = "a\nb\tc\x1b[31m\xff\xc3";
	aut_buf out;

	(void) state;
	aut_buf_init(&out, 200);
	assert_int_equal(client_escape(in, sizeof in - 1, &out), AUT_OK);
	assert_string_equal(out.data, "a\\nb\\tc\\x1b[31m\\xff\\xc3");
	aut_buf_done(&out);
}

/* ---- tables ------------------------------------------------------------------------------------- */

static const client_column columns[] = {
	{"NAME", false, true}, {"TOOK", true, false}, {"STATE", false, false}};

static void
assert_table(client_table *table, int width, bool colour, const char *expected)
{
	aut_buf out;

	aut_buf_init(&out, 4096);
	assert_int_equal(client_table_render(table, width, colour, &out), AUT_OK);
	assert_string_equal(out.data, expected);
	aut_buf_done(&out);
}

static void
test_table__columns_align_without_tabs_or_trailing_blanks(void **state)
{
	client_table table;

	(void) state;
	client_table_init(&table, columns, 3);
	client_table_add(&table, CLIENT_PLAIN, "backup");
	client_table_add(&table, CLIENT_PLAIN, "1.2 s");
	client_table_add(&table, CLIENT_GREEN, "COMPLETED");
	client_table_add(&table, CLIENT_PLAIN, "\xe6\x97\xa5\xe6\x9c\xac\n"); /* wide, and a newline */
	client_table_add(&table, CLIENT_PLAIN, "10 min");
	client_table_add(&table, CLIENT_PLAIN, NULL);
	assert_table(&table, 0, false,
				 "NAME      TOOK  STATE\n"
				 "backup   1.2 s  COMPLETED\n"
				 "\xe6\x97\xa5\xe6\x9c\xac\\n  10 min  -\n");
	client_table_done(&table);
}

static void
test_table__shrinking_column_is_cut_to_the_terminal(void **state)
{
	client_table table;

	(void) state;
	client_table_init(&table, columns, 3);
	client_table_add(&table, CLIENT_PLAIN, "a very long name indeed");
	client_table_add(&table, CLIENT_PLAIN, "1 s");
	client_table_add(&table, CLIENT_PLAIN, "ok");
	assert_table(&table, 25, false,
				 "NAME          TOOK  STATE\n"
				 "a very long\xe2\x80\xa6   1 s  ok\n");
	/* never below eight columns, however narrow the terminal is */
	assert_table(&table, 5, false,
				 "NAME      TOOK  STATE\n"
				 "a very \xe2\x80\xa6   1 s  ok\n");
	client_table_done(&table);
}

static void
test_table__colour_does_not_count_as_width(void **state)
{
	client_table table;

	(void) state;
	client_table_init(&table, columns, 3);
	client_table_add(&table, CLIENT_RED, "x");
	client_table_add(&table, CLIENT_PLAIN, "1");
	client_table_add(&table, CLIENT_GREEN, "y");
	assert_table(&table, 80, true,
				 "\x1b[1mNAME\x1b[0m  \x1b[1mTOOK\x1b[0m  \x1b[1mSTATE\x1b[0m\n"
				 "\x1b[31mx\x1b[0m        1  \x1b[32my\x1b[0m\n");
	client_table_done(&table);
}

/* ---- the server's errors --------------------------------------------------------------------------- */

static void
assert_problem(const char *body, const char *expected)
{
	aut_buf out;

	aut_buf_init(&out, 4096);
	assert_int_equal(client_problem_text(body, strlen(body), &out), AUT_OK);
	assert_string_equal(out.data, expected);
	aut_buf_done(&out);
}

static void
test_problem__text_list_and_object_are_readable(void **state)
{
	(void) state;
	assert_problem("{\"detail\":\"Automation not found\"}", "Automation not found");
	assert_problem(
		"{\"detail\":[{\"type\":\"value_error\",\"loc\":[\"body\",\"trigger\",\"cron\","
		"\"schedule\"],\"msg\":\"Value error, bad hour\",\"input\":\"x\"},"
		"{\"loc\":[\"query\",\"limit\"],\"msg\":\"too large\"},"
		"{\"loc\":[\"body\",\"plugins\",0,\"source\"],\"msg\":\"missing\"}]}",
		"trigger.cron.schedule: bad hour\nquery.limit: too large\nplugins[0].source: missing");
	assert_problem("{\"detail\":{\"message\":\"not dispatchable\",\"errors\":[{\"field\":\"name\","
				   "\"code\":\"missing\",\"message\":\"is missing\"}]}}",
				   "not dispatchable\nname: is missing");
	assert_problem("{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"no object\"}]}", "body: no object");
}

static void
test_problem__foreign_and_hostile_bodies_are_shown_escaped(void **state)
{
	(void) state;
	assert_problem("<html>\x1b[2J</html>", "<html>\\x1b[2J</html>");
	assert_problem("{\"detail\":\"a\\u001b[2J\"}", "a\\x1b[2J");
	assert_problem("{\"detail\":17}", "17");
	assert_problem("[]", "[]");
}

/* ---- server-sent events ------------------------------------------------------------------------------- */

static aut_buf events;
static int events_left;

static bool
note_event(void *payload, const char *event, const char *data, size_t len)
{
	(void) payload;
	assert_int_equal(strlen(data), len);
	(void) aut_buf_printf(&events, "<%s|%s>", event, data);
	return --events_left != 0;
}

static void
assert_events(const char *in, size_t piece, const char *expected)
{
	client_sse sse;
	size_t len = strlen(in);

	aut_buf_init(&events, 4096);
	events_left = -1;
	client_sse_init(&sse, note_event, NULL);
	for (size_t at = 0; at < len; at += piece)
		assert_int_equal(client_sse_feed(&sse, in + at, len - at < piece ? len - at : piece),
						 AUT_OK);
	assert_string_equal(events.len > 0 ? events.data : "", expected);
	client_sse_done(&sse);
	aut_buf_done(&events);
}

static void
test_sse__events_come_out_however_the_bytes_are_cut(void **state)
{
	static const char in[] = ": keep-alive\n\n"
							 "event: output\nid: 5\ndata: {\"a\":1}\n\n"
							 "data:first\ndata: second\n\n"
							 "event: phase\r\ndata: x\r\n\r\n"
							 "event: empty\n\n"
							 "event: a-name-that-is-far-too-long-to-be-one-of-ours\ndata: y\n\n"
							 "event: end\ndata: unfinished\n";

	(void) state;
	for (size_t piece = 1; piece < sizeof in; piece++)
		assert_events(in, piece,
					  "<output|{\"a\":1}><message|first\nsecond><phase|x>"
					  "<a-name-that-is-far-too-long-to-|y>");
}

static void
test_sse__reader_may_stop_at_an_event(void **state)
{
	static const char in[] = "data: 1\n\ndata: 2\n\ndata: 3\n\n";
	client_sse sse;

	(void) state;
	aut_buf_init(&events, 4096);
	events_left = 2;
	client_sse_init(&sse, note_event, NULL);
	assert_int_equal(client_sse_feed(&sse, in, sizeof in - 1), AUT_ECANCELED);
	assert_string_equal(events.data, "<message|1><message|2>");
	client_sse_done(&sse);
	aut_buf_done(&events);
}

static void
test_sse__line_without_end_is_refused(void **state)
{
	static char piece[1048576];
	client_sse sse;
	aut_status status = AUT_OK;

	(void) state;
	memset(piece, 'x', sizeof piece);
	client_sse_init(&sse, note_event, NULL);
	for (int i = 0; i < 9 && status == AUT_OK; i++)
		status = client_sse_feed(&sse, piece, sizeof piece);
	assert_int_equal(status, AUT_ELIMIT);
	client_sse_done(&sse);
}

/* ---- packing ------------------------------------------------------------------------------------------- */

static char folder[64];

static int
make_folder(void **state)
{
	(void) state;
	(void) snprintf(folder, sizeof folder, "/tmp/test-client-XXXXXX");
	return mkdtemp(folder) != NULL ? 0 : -1;
}

static int
drop_folder(void **state)
{
	char command[100];

	(void) state;
	(void) snprintf(command, sizeof command, "rm -rf '%s'", folder);
	return system(command);
}

static void
put_file(const char *name, const void *data, size_t len, int mode)
{
	char path[256];
	int fd;

	(void) snprintf(path, sizeof path, "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), (ssize_t) len);
	assert_int_equal(fchmod(fd, (mode_t) mode), 0);
	assert_int_equal(close(fd), 0);
}

static const char *
in_folder(const char *name)
{
	static char path[256];

	(void) snprintf(path, sizeof path, "%s/%s", folder, name);
	return path;
}

/* "name mode content" of each entry. */
static void
list_tarball(const aut_buf *packed, aut_buf *out)
{
	struct archive *archive = archive_read_new();
	struct archive_entry *entry;

	assert_int_equal(archive_read_support_filter_gzip(archive), ARCHIVE_OK);
	assert_int_equal(archive_read_support_format_tar(archive), ARCHIVE_OK);
	assert_int_equal(archive_read_open_memory(archive, packed->data, packed->len), ARCHIVE_OK);
	while (archive_read_next_header(archive, &entry) == ARCHIVE_OK)
	{
		char text[64];
		la_ssize_t n = archive_read_data(archive, text, sizeof text);

		assert_true(n >= 0);
		assert_int_equal(archive_entry_uid(entry), 0);
		(void) aut_buf_printf(out, "%s %o %s%.*s\n", archive_entry_pathname(entry),
							  (unsigned) archive_entry_perm(entry),
							  archive_entry_symlink(entry) != NULL ? archive_entry_symlink(entry)
																   : "",
							  (int) n, text);
	}
	assert_int_equal(archive_read_free(archive), ARCHIVE_OK);
}

static void
test_pack__folder_keeps_modes_and_links_and_leaves_git_out(void **state)
{
	aut_buf packed, again, listing;
	char *entry = NULL;

	(void) state;
	assert_int_equal(mkdir(in_folder("sub"), 0750), 0);
	assert_int_equal(mkdir(in_folder(".git"), 0755), 0);
	put_file(".git/config", "secret", 6, 0600);
	put_file("sub/tool", "t", 1, 0750);
	put_file("main.py", "print()", 7, 0640);
	assert_int_equal(symlink("../main.py", in_folder("sub/link")), 0);
	aut_buf_init(&packed, CLIENT_PACK_MAX);
	aut_buf_init(&again, CLIENT_PACK_MAX);
	aut_buf_init(&listing, 4096);
	assert_int_equal(client_pack_dir(folder, &packed, &entry, &error), AUT_OK);
	assert_string_equal(entry, "python3 main.py");
	aut_free(entry);
	list_tarball(&packed, &listing);
	assert_string_equal(listing.data, "main.py 640 print()\n"
									  "sub/ 750 \n"
									  "sub/link 777 ../main.py\n"
									  "sub/tool 750 t\n");
	/* the same folder gives the same bytes, whatever slashes the name ends in */
	assert_int_equal(client_pack_dir(in_folder("//"), &again, &entry, &error), AUT_OK);
	aut_free(entry);
	assert_int_equal(again.len, packed.len);
	assert_memory_equal(again.data, packed.data, packed.len);
	aut_buf_done(&packed);
	aut_buf_done(&again);
	aut_buf_done(&listing);
}

static void
assert_dir_refused(aut_status expected, const char *part)
{
	aut_buf packed;
	char *entry = NULL;

	aut_buf_init(&packed, CLIENT_PACK_MAX);
	memset(&error, 0, sizeof error);
	assert_int_equal(client_pack_dir(folder, &packed, &entry, &error), expected);
	if (strstr(error.message, part) == NULL)
		fail_msg("'%s' is not in '%s'", part, error.message);
	assert_null(entry);
	aut_buf_done(&packed);
}

static void
test_pack__links_that_leave_the_folder_are_refused(void **state)
{
	static const char *const bad[] = {"/etc/passwd", "../x", "sub/../../x", "a/b/../../../x"};

	(void) state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
	{
		assert_int_equal(symlink(bad[i], in_folder("link")), 0);
		assert_dir_refused(AUT_EINVAL, "outside the folder");
		assert_int_equal(unlink(in_folder("link")), 0);
	}
}

static void
test_pack__odd_things_and_emptiness_are_refused(void **state)
{
	(void) state;
	assert_dir_refused(AUT_EINVAL, "is empty");
	assert_int_equal(mkfifo(in_folder("pipe"), 0600), 0);
	assert_dir_refused(AUT_EINVAL, "neither file, folder nor link");
}

static void
test_pack__more_than_one_mebibyte_packed_is_refused_with_the_limit(void **state)
{
	static unsigned char noise[2 * 1048576];
	aut_buf packed;
	uint32_t x = 1;

	(void) state;
	for (size_t i = 0; i < sizeof noise; i++)
	{
		x = x * 1664525u + 1013904223u;
		noise[i] = (unsigned char) (x >> 24);
	}
	put_file("noise", noise, sizeof noise, 0600);
	assert_dir_refused(AUT_ELIMIT, "1048576");
	aut_buf_init(&packed, CLIENT_PACK_MAX);
	assert_int_equal(client_pack_tarball(in_folder("noise"), &packed, &error), AUT_ELIMIT);
	assert_non_null(strstr(error.message, "1 MiB"));
	aut_buf_done(&packed);
}

static void
test_pack__tarball_must_be_gzip(void **state)
{
	aut_buf packed;

	(void) state;
	put_file("x.tar", "not packed", 10, 0600);
	aut_buf_init(&packed, CLIENT_PACK_MAX);
	assert_int_equal(client_pack_tarball(in_folder("x.tar"), &packed, &error), AUT_EINVAL);
	assert_non_null(strstr(error.message, "tar czf"));
	aut_buf_clear(&packed);
	assert_int_equal(client_pack_tarball(in_folder("missing"), &packed, &error), AUT_ENOTFOUND);
	assert_int_equal(client_pack_tarball(folder, &packed, &error), AUT_EINVAL);
	aut_buf_done(&packed);
}

static void
test_pack__script_is_started_by_its_first_line_or_its_ending(void **state)
{
	static const struct
	{
		const char *file, *text, *entry, *listing;
	} rows[] = {
		{"a.sh", "#!/bin/sh\n", "./a.sh", "a.sh 755 #!/bin/sh\n\n"},
		{"b.py", "pass", "python3 b.py", "b.py 755 pass\n"},
		{"c.bash", "true", "bash c.bash", "c.bash 755 true\n"},
		{"d", "true", "sh d", "d 755 true\n"},
		{"-odd name;.sh", "true", "sh _odd_name_.sh", "_odd_name_.sh 755 true\n"},
		{".hidden", "true", "sh _hidden", "_hidden 755 true\n"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
	{
		aut_buf packed, listing;
		char *entry = NULL;

		put_file(rows[i].file, rows[i].text, strlen(rows[i].text), 0600);
		aut_buf_init(&packed, CLIENT_PACK_MAX);
		aut_buf_init(&listing, 4096);
		assert_int_equal(client_pack_script(in_folder(rows[i].file), &packed, &entry, &error),
						 AUT_OK);
		assert_string_equal(entry, rows[i].entry);
		list_tarball(&packed, &listing);
		assert_string_equal(listing.data, rows[i].listing);
		aut_free(entry);
		aut_buf_done(&packed);
		aut_buf_done(&listing);
	}
}

/* ---- no memory ------------------------------------------------------------------------------------------ */

static aut_status
build_table(void *payload)
{
	client_table table;
	aut_status status;
	aut_buf out;

	(void) payload;
	aut_buf_init(&out, 65536);
	client_table_init(&table, columns, 3);
	for (int i = 0; i < 300; i++)
		client_table_add(&table, CLIENT_GREEN, "cell \x1b");
	status = client_table_render(&table, 40, true, &out);
	client_table_done(&table);
	aut_buf_done(&out);
	return status;
}

static aut_status
read_problem(void *payload)
{
	aut_status status;
	aut_buf out;

	aut_buf_init(&out, 65536);
	status = client_problem_text(payload, strlen(payload), &out);
	aut_buf_done(&out);
	return status;
}

static bool
take_event(void *payload, const char *event, const char *data, size_t len)
{
	(void) payload;
	(void) event;
	return data[len] == '\0';
}

static aut_status
read_events(void *payload)
{
	client_sse sse;
	aut_status status;

	client_sse_init(&sse, take_event, NULL);
	status = client_sse_feed(&sse, payload, strlen(payload));
	client_sse_done(&sse);
	return status;
}

static aut_status
pack_one_script(void *payload)
{
	char *entry = NULL;
	aut_status status;
	aut_buf out;

	aut_buf_init(&out, CLIENT_PACK_MAX);
	status = client_pack_script(payload, &out, &entry, NULL);
	aut_free(entry);
	aut_buf_done(&out);
	return status;
}

static aut_status
pack_one_dir(void *payload)
{
	char *entry = NULL;
	aut_status status;
	aut_buf out;

	aut_buf_init(&out, CLIENT_PACK_MAX);
	status = client_pack_dir(payload, &out, &entry, NULL);
	aut_free(entry);
	aut_buf_done(&out);
	return status;
}

static void
test_torture__every_failed_allocation_is_told_and_nothing_leaks(void **state)
{
	char list[] = "{\"detail\":[{\"loc\":[\"body\",\"a\"],\"msg\":\"b\"},{\"odd\":[1]}]}";
	char stream[] = "event: a\ndata: one\ndata: two\n\ndata: three\n\n";
	char script[256];

	(void) state;
	torture(build_table, NULL);
	torture(read_problem, list);
	torture(read_events, stream);
	put_file("main.py", "print()", 7, 0640);
	(void) snprintf(script, sizeof script, "%s", in_folder("main.py"));
	torture(pack_one_script, script);
	torture(pack_one_dir, folder);
}

int
main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, drop_folder)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_args__long_options_take_their_value_either_way),
		cmocka_unit_test(test_args__short_options_cluster_and_attach),
		cmocka_unit_test(test_args__double_dash_ends_options_and_dash_is_a_value),
		cmocka_unit_test(test_args__numbers_not_given_are_told_from_zero),
		cmocka_unit_test(test_args__mistakes_are_named),
		cmocka_unit_test(test_args__help_needs_nothing_else),
		cmocka_unit_test(test_help__every_option_of_every_command_is_described),
		cmocka_unit_test(test_duration__units_follow_the_size),
		cmocka_unit_test(test_relative__past_and_future_in_one_unit),
		cmocka_unit_test(test_absolute__utc_and_local),
		cmocka_unit_test(test_when__pipes_get_timestamps_and_terminals_distances),
		cmocka_unit_test(test_filter__colours_pass_and_everything_else_is_shown),
		cmocka_unit_test(test_filter__sequences_cut_between_pieces_are_recognised),
		cmocka_unit_test(test_filter__endless_sequence_is_given_up),
		cmocka_unit_test(test_escape__cells_have_no_lines_and_no_colours),
		cmocka_unit_test(test_table__columns_align_without_tabs_or_trailing_blanks),
		cmocka_unit_test(test_table__shrinking_column_is_cut_to_the_terminal),
		cmocka_unit_test(test_table__colour_does_not_count_as_width),
		cmocka_unit_test(test_problem__text_list_and_object_are_readable),
		cmocka_unit_test(test_problem__foreign_and_hostile_bodies_are_shown_escaped),
		cmocka_unit_test(test_sse__events_come_out_however_the_bytes_are_cut),
		cmocka_unit_test(test_sse__reader_may_stop_at_an_event),
		cmocka_unit_test(test_sse__line_without_end_is_refused),
		IN_FOLDER(test_pack__folder_keeps_modes_and_links_and_leaves_git_out),
		IN_FOLDER(test_pack__links_that_leave_the_folder_are_refused),
		IN_FOLDER(test_pack__odd_things_and_emptiness_are_refused),
		IN_FOLDER(test_pack__more_than_one_mebibyte_packed_is_refused_with_the_limit),
		IN_FOLDER(test_pack__tarball_must_be_gzip),
		IN_FOLDER(test_pack__script_is_started_by_its_first_line_or_its_ending),
		IN_FOLDER(test_torture__every_failed_allocation_is_told_and_nothing_leaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
