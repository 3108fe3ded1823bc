/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_base.c - allocator, arena, buffers, errors, time, log, ids, text, crypto, JSON;
 * and the torture of base and schedule (every allocation made to fail).
 */
#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "automation/base.h"
#include "automation/schedule.h"
#include "test/unit/torture.h"

/* ---- errors -------------------------------------------------------------------------------- */

static void
test_status__every_kind_has_its_texts(void **state)
{
	(void) state;
	assert_string_equal(aut_status_name(AUT_EINVAL), "EINVAL");
	assert_string_equal(aut_status_name(AUT_OK), "OK");
	assert_string_equal(aut_status_name((aut_status) -999), "UNKNOWN");
	assert_string_equal(aut_status_sqlstate(AUT_ENOMEM), "53200");
	assert_int_equal(aut_status_http(AUT_ENOTFOUND), 404);
	assert_true(aut_status_may_retry(AUT_ENET));
	assert_false(aut_status_may_retry(AUT_EINVAL));
#define CHECK(name, number, text, sqlstate, http, retry)                                           \
	assert_int_equal(AUT_##name, number);                                                          \
	assert_string_equal(aut_status_text(AUT_##name), text);                                        \
	assert_int_equal(strlen(aut_status_sqlstate(AUT_##name)), 5);
	AUT_STATUS_MAP(CHECK)
#undef CHECK
}

static void
test_status__messages_are_one_line_cut_between_characters(void **state)
{
	aut_error err = AUT_ERROR_INIT;
	char text[AUT_ERROR_MESSAGE_MAX * 2 + 1];

	(void) state;
	assert_int_equal(aut_fail(NULL, AUT_EIO, "x"), AUT_EIO);
	assert_int_equal(aut_fail(&err, AUT_EINVAL, "a\nb\tc\x7f"), AUT_EINVAL);
	assert_string_equal(err.message, "a b c ");
	for (size_t i = 0; i < sizeof text - 1; i += 2)
		memcpy(text + i, "\xc3\xa9", 2);
	text[sizeof text - 1] = '\0';
	aut_fail(&err, AUT_EINVAL, "x%s", text);
	assert_true(aut_utf8_valid(err.message, strlen(err.message)));
	assert_int_equal(strlen(err.message), AUT_ERROR_MESSAGE_MAX - 1);
	aut_fail(&err, AUT_EINVAL, "%s", text);
	assert_true(aut_utf8_valid(err.message, strlen(err.message)));
	assert_int_equal(strlen(err.message), AUT_ERROR_MESSAGE_MAX - 2);
}

static void
test_status__context_goes_in_front(void **state)
{
	aut_error err = AUT_ERROR_INIT;

	(void) state;
	assert_int_equal(aut_fail_errno(&err, AUT_EIO, ENOENT, "open %s", "f"), AUT_EIO);
	assert_string_equal(err.message, "open f: No such file or directory");
	assert_int_equal(err.sys_errno, ENOENT);
	assert_int_equal(aut_error_context(&err, "run %d", 7), AUT_EIO);
	assert_string_equal(err.message, "run 7: open f: No such file or directory");
	for (int i = 0; i < 100; i++)
		assert_int_equal(aut_error_context(&err, "again\xc3\xa9"), AUT_EIO);
	assert_true(aut_utf8_valid(err.message, strlen(err.message)));
	assert_int_equal(err.sys_errno, ENOENT);
	assert_true(aut_error_context(NULL, "x") != AUT_OK);
}

/* ---- memory -------------------------------------------------------------------------------- */

static void
test_alloc__sizes_are_checked(void **state)
{
	void *ptr = aut_malloc(0);

	(void) state;
	assert_non_null(ptr);
	aut_free(ptr);
	aut_free(NULL);
	assert_null(aut_calloc(SIZE_MAX / 2, 3));
	assert_null(aut_strndup("x", SIZE_MAX));
	assert_null(aut_strdup(NULL));
	ptr = aut_printf("%s-%d", "a", 5);
	assert_string_equal(ptr, "a-5");
	aut_free(ptr);
}

static void
test_arena__pieces_are_aligned_and_apart(void **state)
{
	aut_arena arena = {0};
	unsigned char *pieces[300];

	(void) state;
	for (size_t i = 0; i < 300; i++)
	{
		size_t size = i * 37 % 6000;

		pieces[i] = aut_arena_alloc(&arena, size);
		assert_non_null(pieces[i]);
		assert_int_equal((uintptr_t) pieces[i] % _Alignof(max_align_t), 0);
		memset(pieces[i], (int) i, size);
	}
	for (size_t i = 0; i < 300; i++)
	{
		for (size_t j = 0; j < i * 37 % 6000; j++)
			assert_int_equal(pieces[i][j], (unsigned char) i);
	}
	assert_string_equal(aut_arena_strndup(&arena, "hello", 3), "hel");
	assert_null(aut_arena_alloc(&arena, SIZE_MAX - 3));
	assert_true(arena.total > 0);
	aut_arena_done(&arena);
	assert_int_equal(arena.total, 0);
	aut_arena_done(&arena);
	aut_arena_done(NULL);
}

static void
test_buf__limit_sticks_and_keeps_the_content(void **state)
{
	aut_buf buf;

	(void) state;
	aut_buf_init(&buf, 5);
	assert_int_equal(aut_buf_puts(&buf, "abc"), AUT_OK);
	assert_int_equal(aut_buf_puts(&buf, "def"), AUT_ELIMIT);
	assert_int_equal(aut_buf_putc(&buf, 'x'), AUT_ELIMIT);
	assert_int_equal(aut_buf_printf(&buf, "%d", 1), AUT_ELIMIT);
	assert_string_equal(buf.data, "abc");
	assert_null(aut_buf_take(&buf, NULL));
	aut_buf_clear(&buf);
	assert_int_equal(aut_buf_printf(&buf, "%d", 12345), AUT_OK);
	assert_int_equal(buf.len, 5);
	assert_int_equal(aut_buf_printf(&buf, "%s", ""), AUT_OK);
	aut_buf_clear(&buf);
	assert_int_equal(aut_buf_printf(&buf, "%d", 123456), AUT_ELIMIT);
	aut_buf_done(&buf);
	aut_buf_done(NULL);
}

static void
test_buf__grows_and_hands_over(void **state)
{
	aut_buf buf;
	size_t len = 1;
	char *text;

	(void) state;
	aut_buf_init(&buf, SIZE_MAX);
	text = aut_buf_take(&buf, &len);
	assert_string_equal(text, "");
	assert_int_equal(len, 0);
	aut_free(text);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(aut_buf_printf(&buf, "%d,", i), AUT_OK);
	text = aut_buf_take(&buf, &len);
	assert_int_equal(strlen(text), len);
	assert_true(strncmp(text, "0,1,2,", 6) == 0);
	assert_string_equal(text + len - 8, "998,999,");
	aut_free(text);
	assert_int_equal(buf.len, 0);
	aut_buf_done(&buf);
}

/* ---- time ---------------------------------------------------------------------------------- */

static void
test_time__texts_go_both_ways(void **state)
{
	static const struct
	{
		const char *in, *out;
	} cases[] = {
		{"2026-07-01T12:34:56Z", "2026-07-01T12:34:56Z"},
		{"2026-07-01 12:34:56", "2026-07-01T12:34:56Z"},
		{"2026-07-01t12:34:56z", "2026-07-01T12:34:56Z"},
		{"2026-07-01T12:34:56.5+02:00", "2026-07-01T10:34:56.500000Z"},
		{"2026-07-01T12:34:56.1234567-0330", "2026-07-01T16:04:56.123456Z"},
		{"1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"},
		{"0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"},
		{"9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"},
		{"2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"},
	};
	char text[AUT_TIME_TEXT_MAX];
	int64_t us;

	(void) state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
	{
		assert_int_equal(aut_time_parse(cases[i].in, &us, NULL), AUT_OK);
		assert_string_equal(aut_time_format(us, text), cases[i].out);
	}
	assert_string_equal(aut_time_format(AUT_TIME_NONE, text), "-infinity");
	assert_string_equal(aut_time_format(AUT_TIME_MAX, text), "infinity");
}

static void
test_time__bad_texts_are_refused_with_the_place(void **state)
{
	static const char *const bad[] = {
		"",
		"2026-07-01",
		"2026-13-01T00:00:00Z",
		"2026-02-29T00:00:00Z",
		"2026-07-01T24:00:00Z",
		"2026-07-01T00:60:00Z",
		"2026-07-01T00:00:60Z",
		"2026-07-01T00:00:00.Z",
		"2026-07-01T00:00:00+25:00",
		"2026-07-01T00:00:00Zx",
		" 2026-07-01T00:00:00Z",
		"26-07-01T00:00:00Z",
	};
	int64_t us = 42;
	aut_error err = AUT_ERROR_INIT;

	(void) state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
	{
		if (aut_time_parse(bad[i], &us, &err) != AUT_EINVAL)
			fail_msg("accepted: %s", bad[i]);
	}
	assert_int_equal(us, 42);
	aut_time_parse("2026-07-xx", &us, &err);
	assert_non_null(strstr(err.message, "wrong at character 9"));
	assert_int_equal(aut_time_parse(NULL, &us, NULL), AUT_EINVAL);
}

static void
test_time__calendar_is_its_own_inverse(void **state)
{
	int64_t year = 0;
	int month = 0, day = 0;

	(void) state;
	assert_int_equal(aut_days_from_civil(1970, 1, 1), 0);
	assert_int_equal(aut_days_from_civil(2000, 3, 1), 11017);
	for (int64_t days = -1000000; days < 1000000; days += 13)
	{
		aut_civil_from_days(days, &year, &month, &day);
		assert_true(aut_days_from_civil(year, month, day) == days);
	}
	/* consecutive days are consecutive dates over 400 years */
	for (int64_t days = 0, last_month = 0, last_day = 0; days < 146097; days++)
	{
		aut_civil_from_days(days, &year, &month, &day);
		assert_true(day == last_day + 1 || (day == 1 && (month == last_month + 1 || month == 1)));
		last_month = month;
		last_day = day;
	}
}

static void
test_clock__a_manual_clock_moves_by_hand(void **state)
{
	aut_clock_manual manual;

	(void) state;
	aut_clock_manual_init(&manual, 1000);
	assert_int_equal(aut_now_us(&manual.clock), 1000);
	aut_clock_manual_advance(&manual, 5);
	assert_int_equal(aut_now_us(&manual.clock), 1005);
	assert_int_equal(aut_mono_us(&manual.clock), 5);
	assert_true(aut_now_us(aut_clock_system()) > INT64_C(1600000000000000));
	assert_true(aut_mono_us(aut_clock_system()) <= aut_mono_us(aut_clock_system()));
}

/* ---- log ----------------------------------------------------------------------------------- */

static void
keep_line(void *payload, aut_log_level level, const char *line)
{
	(void) level;
	(void) snprintf(payload, 100, "%s", line);
}

static void
test_log__goes_to_the_sink_in_one_line(void **state)
{
	char kept[100] = "nothing";

	(void) state;
	aut_log(AUT_LOG_ERROR, "lost");
	aut_log_set(keep_line, kept, AUT_LOG_INFO);
	aut_log(AUT_LOG_DEBUG, "too detailed");
	assert_string_equal(kept, "nothing");
	aut_log(AUT_LOG_WARNING, "one\ntwo %d", 2);
	assert_string_equal(kept, "one two 2");
	aut_log_set(NULL, NULL, AUT_LOG_INFO);
	aut_log(AUT_LOG_ERROR, "lost");
	assert_string_equal(kept, "one two 2");
}

/* ---- ids ----------------------------------------------------------------------------------- */

static void
test_uuid__version_7_strictly_increases(void **state)
{
	const int64_t now = INT64_C(1782900000000000);
	aut_uuid last = AUT_UUID_NIL, id;

	(void) state;
	for (int i = 0; i < 200000; i++)
	{
		/* mostly standing still, sometimes forward, sometimes back */
		int64_t when = now + (i % 1000 == 0 ? i : 0) - (i % 77 == 0 ? 5000000 : 0);

		assert_int_equal(aut_uuid_v7(when, &id, NULL), AUT_OK);
		assert_true(memcmp(last.bytes, id.bytes, 16) < 0);
		assert_int_equal(id.bytes[6] >> 4, 7);
		assert_int_equal(id.bytes[8] >> 6, 2);
		last = id;
	}
	/* the first 48 bits are the milliseconds */
	assert_int_equal(aut_uuid_v7(now * 2, &id, NULL), AUT_OK);
	assert_int_equal(aut_uuid_v7_time(&id), now * 2);
}

static void
test_uuid__version_5_matches_the_contract(void **state)
{
	static const char name[] =
		"00000000-0000-0000-0000-000000000001/00000000-0000-0000-0000-000000000002/github/o/r#1";
	aut_uuid space, id;
	char text[AUT_UUID_TEXT_MAX];

	(void) state;
	assert_true(aut_uuid_parse("d7f3a2b1-5c48-4e9a-9b6d-2f1e8c3a7d40", 36, &space));
	assert_int_equal(aut_uuid_v5(&space, name, sizeof name - 1, &id, NULL), AUT_OK);
	assert_string_equal(aut_uuid_format(&id, text), "0abcfd54-60d1-5538-af7c-de0d8d564132");
	/* RFC 9562, A.4 */
	assert_int_equal(aut_uuid_v5(&AUT_UUID_NAMESPACE_DNS, "www.example.com", 15, &id, NULL),
					 AUT_OK);
	assert_string_equal(aut_uuid_format(&id, text), "2ed6657d-e927-568b-95e1-2665a8aea6a2");
}

static void
test_uuid__reads_what_python_reads(void **state)
{
	static const char *const good[] = {
		"0abcfd54-60d1-5538-af7c-de0d8d564132",
		"0ABCFD5460D15538AF7CDE0D8D564132",
		"{0abcfd54-60d1-5538-af7c-de0d8d564132}",
		"urn:uuid:0abcfd54-60d1-5538-af7c-de0d8d564132",
	};
	static const char *const bad[] = {
		"",
		"0abcfd54",
		"0abcfd54-60d1-5538-af7c-de0d8d56413",
		"0abcfd54-60d1-5538-af7c-de0d8d5641321",
		"0abcfd54-60d1-5538-af7c-de0d8d56413g",
		" 0abcfd54-60d1-5538-af7c-de0d8d564132",
	};
	aut_uuid id, first;

	(void) state;
	assert_true(aut_uuid_parse(good[0], strlen(good[0]), &first));
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
	{
		assert_true(aut_uuid_parse(good[i], strlen(good[i]), &id));
		assert_true(aut_uuid_equal(&id, &first));
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_false(aut_uuid_parse(bad[i], strlen(bad[i]), &id));
	assert_int_equal(aut_uuid_v4(&id, NULL), AUT_OK);
	assert_int_equal(id.bytes[6] >> 4, 4);
	assert_false(aut_uuid_is_nil(&id));
	assert_true(aut_uuid_is_nil(&AUT_UUID_NIL));
}

/* ---- text ---------------------------------------------------------------------------------- */

static void
test_text__utf8_is_strict(void **state)
{
	static const char *const bad[] = {
		"\x80",
		"\xc0\x80",
		"\xc1\xbf",
		"\xc3",
		"\xe0\x80\x80",
		"\xed\xa0\x80",
		"\xf0\x80\x80\x80",
		"\xf4\x90\x80\x80",
		"\xf8\x88\x80\x80\x80",
		"\xe2\x82",
		"\xff",
	};
	static const char good[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";

	(void) state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_false(aut_utf8_valid(bad[i], strlen(bad[i])));
	assert_true(aut_utf8_valid(good, sizeof good - 1));
	assert_int_equal(aut_utf8_length(good, sizeof good - 1), 4);
	for (size_t len = 0; len < sizeof good; len++)
	{
		size_t cut = aut_utf8_boundary(good, len);

		assert_true(cut <= len && len - cut < 4 && aut_utf8_valid(good, cut));
	}
}

static void
test_text__sanitized_bytes_are_text(void **state)
{
	aut_buf buf;

	(void) state;
	aut_buf_init(&buf, 100);
	assert_int_equal(aut_utf8_sanitize(&buf, "a\0b\xff\xc3\xa9\xe2\x82", 8), AUT_OK);
	assert_string_equal(buf.data, "a\xef\xbf\xbd"
								  "b\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd");
	aut_buf_done(&buf);
}

static void
test_text__quoting_and_escapes(void **state)
{
	aut_buf buf;
	char text[] = "a%20b+c%2Fd";
	size_t len = strlen(text);

	(void) state;
	aut_buf_init(&buf, 100);
	assert_int_equal(aut_shell_quote(&buf, "it's $x", 7), AUT_OK);
	assert_string_equal(buf.data, "'it'\\''s $x'");
	aut_buf_clear(&buf);
	assert_int_equal(aut_shell_quote(&buf, "", 0), AUT_OK);
	assert_string_equal(buf.data, "''");
	assert_int_equal(aut_shell_quote(&buf, "a\0b", 3), AUT_EINVAL);
	aut_buf_clear(&buf);
	assert_int_equal(aut_url_encode(&buf, "a b/\xc3\xa9~\0", 8, "/"), AUT_OK);
	assert_string_equal(buf.data, "a%20b/%C3%A9~%00");
	aut_buf_done(&buf);
	assert_true(aut_url_decode(text, &len, true));
	assert_string_equal(text, "a b c/d");
	assert_int_equal(len, 7);
	for (size_t i = 0; i < 4; i++)
	{
		char bad[4][8] = {"a%2", "%", "%zz", "%00"};

		len = strlen(bad[i]);
		assert_false(aut_url_decode(bad[i], &len, false));
	}
}

static void
test_text__whole_numbers_only(void **state)
{
	int64_t n = 7;

	(void) state;
	assert_true(aut_int_parse("-9223372036854775808", INT64_MIN, INT64_MAX, &n) && n == INT64_MIN);
	assert_true(aut_int_parse("9223372036854775807", INT64_MIN, INT64_MAX, &n) && n == INT64_MAX);
	assert_false(aut_int_parse("9223372036854775808", INT64_MIN, INT64_MAX, &n));
	assert_false(aut_int_parse("-9223372036854775809", INT64_MIN, INT64_MAX, &n));
	assert_true(aut_int_parse("007", 0, 10, &n) && n == 7);
	assert_false(aut_int_parse("11", 0, 10, &n));
	assert_false(aut_int_parse("", 0, 10, &n));
	assert_false(aut_int_parse("-", -5, 10, &n));
	assert_false(aut_int_parse("+1", 0, 10, &n));
	assert_false(aut_int_parse("1 ", 0, 10, &n));
	assert_false(aut_int_parse(NULL, 0, 10, &n));
	assert_int_equal(n, 7);
}

/* ---- crypto -------------------------------------------------------------------------------- */

static void
test_crypto__known_answers(void **state)
{
	uint8_t digest[32], a[16], b[16];
	char hex[65];

	(void) state;
	assert_int_equal(aut_sha256("abc", 3, digest, NULL), AUT_OK);
	aut_hex(digest, 32, hex);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_int_equal(aut_sha256(NULL, 0, digest, NULL), AUT_OK);
	aut_hex(digest, 32, hex);
	assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_int_equal(aut_random(a, sizeof a, NULL), AUT_OK);
	assert_int_equal(aut_random(b, sizeof b, NULL), AUT_OK);
	assert_false(aut_equal_constant_time(a, sizeof a, b, sizeof b));
	assert_true(aut_equal_constant_time(a, sizeof a, a, sizeof a));
	assert_false(aut_equal_constant_time(a, sizeof a, a, sizeof a - 1));
	assert_true(aut_equal_constant_time("", 0, "", 0));
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static void
test_json__refuses_deep_nesting_before_the_parser(void **state)
{
	static const char quoted[] =
		"\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[\"";
	char text[2 * AUT_JSON_DEPTH_MAX + 3];
	json_t *value = NULL;
	aut_error err = AUT_ERROR_INIT;

	(void) state;
	memset(text, '[', AUT_JSON_DEPTH_MAX);
	memset(text + AUT_JSON_DEPTH_MAX, ']', AUT_JSON_DEPTH_MAX);
	assert_int_equal(aut_json_parse(text, 2 * AUT_JSON_DEPTH_MAX, &value, NULL), AUT_OK);
	json_decref(value);
	memset(text, '[', AUT_JSON_DEPTH_MAX + 1);
	memset(text + AUT_JSON_DEPTH_MAX + 1, ']', AUT_JSON_DEPTH_MAX + 1);
	assert_int_equal(aut_json_parse(text, 2 * AUT_JSON_DEPTH_MAX + 2, &value, &err), AUT_EBADREQ);
	assert_non_null(strstr(err.message, "nested"));
	/* brackets in strings are no nesting */
	assert_int_equal(aut_json_parse(quoted, strlen(quoted), &value, NULL), AUT_OK);
	json_decref(value);
}

static void
test_json__bad_documents_are_refused_with_the_place(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"{",
		"[1,]",
		"nul",
		"1 2",
		"{\"a\\u0000\":1}",
		"\"\\ud800\"",
		"123456789012345678901234567890",
		"1e400",
		"\"\xff\"",
		"'a'",
		"\"a",
		"{\"a\" 1}",
	};
	json_t *value = NULL;
	aut_error err = AUT_ERROR_INIT;

	(void) state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
	{
		if (aut_json_parse(bad[i], strlen(bad[i]), &value, &err) != AUT_EBADREQ)
			fail_msg("%s: %s", bad[i], err.message);
	}
	assert_null(value);
	aut_json_parse("[1,\n x]", 7, &value, &err);
	assert_non_null(strstr(err.message, "line 2, column 2"));
}

static void
test_json__quoted_texts_are_as_the_library_writes_them(void **state)
{
	char all[0x100 + 8];
	size_t len = 0, text_len = 0;
	aut_buf buf;

	(void) state;
	for (int c = 1; c < 0x80; c++)
		all[len++] = (char) c;
	memcpy(all + len, "\xc3\xa4\xe2\x82\xac", 6);
	len += 5;
	aut_buf_init(&buf, 4096);
	assert_int_equal(aut_json_quote(&buf, all, len), AUT_OK);
	json_t *value = json_string(all);
	char *text = aut_json_text(value, &text_len);
	for (size_t i = 0; i < text_len; i++) /* it writes digits in capitals */
		if (i > 3 && memcmp(text + i - 4, "\\u00", 4) == 0)
			text[i + 1] = (char) tolower((unsigned char) text[i + 1]);
	assert_int_equal(buf.len, text_len);
	assert_memory_equal(buf.data, text, text_len);
	json_decref(value);
	aut_free(text);
	aut_buf_clear(&buf);
	assert_int_equal(aut_json_quote(&buf, "", 0), AUT_OK);
	assert_string_equal(buf.data, "\"\"");
	assert_int_equal(aut_json_quote(&buf, "\xff", 1), AUT_EINVAL);
	aut_buf_done(&buf);
}

static void
test_json__peek_finds_plain_texts_only(void **state)
{
	static const struct
	{
		const char *text, *found; /* NULL: the parser is to be asked */
	} cases[] = {
		{"{\"id\":\"a1\"}", "a1"},
		{" { \"x\" : [ {\"id\":\"no\"}, \"id\" ] , \"id\" : \"a1\" , \"n\" : 1 } \n", "a1"},
		{"{\"command\":\"\\\"id\\\":\\\"no\\\" }{\",\"id\":\"a1\"}", "a1"},
		{"{\"v\":\"id\",\"id\":\"\"}", ""},
		{"{\"k\":\"\xc3\xa4\",\"id\":\"a1\"}", "a1"},
		{"{\"id\":\"1234567\"}", "1234567"},
		{"{\"id\":\"12345678\"}", NULL},
		{"{\"id\":\"a1\",\"id\":\"a2\"}", NULL},
		{"{\"id\":\"a\\u0031\"}", NULL},
		{"{\"i\\u0064\":\"a1\"}", NULL},
		{"{\"id\":\"\xc3\xa4\"}", NULL},
		{"{\"id\":7}", NULL},
		{"{\"id\":null}", NULL},
		{"{\"id\"}", NULL},
		{"{\"id\":", NULL},
		{"{\"id\":\"a1", NULL},
		{"{\"id\":\"a1\"", NULL},
		{"{\"id\":\"a1\"]", NULL},
		{"{\"id\":\"a1\"} x", NULL},
		{"{\"x\":{\"id\":\"a1\"}}", NULL},
		{"[\"id\",\"a1\"]", NULL},
		{"{}", NULL},
		{"\"id\"", NULL},
		{"", NULL},
	};
	char out[8];

	(void) state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
	{
		bool found = aut_json_peek(cases[i].text, strlen(cases[i].text), "id", out, sizeof out);
		if (found != (cases[i].found != NULL) || (found && strcmp(out, cases[i].found) != 0))
			fail_msg("%s: %s", cases[i].text, found ? out : "not found");
	}
}

static void
test_json__texts_keep_order_and_are_compact(void **state)
{
	static const char text[] = "{\"b\":1,\"a\":[true,null,1.5,\"\xc3\xa9\\n\"]}";
	json_t *value;
	char *again;
	size_t len;

	(void) state;
	assert_int_equal(aut_json_parse(text, sizeof text - 1, &value, NULL), AUT_OK);
	again = aut_json_text(value, &len);
	assert_string_equal(again, text);
	assert_int_equal(len, sizeof text - 1);
	aut_free(again);
	assert_null(aut_json_string(value, "b"));
	assert_false(aut_json_set(value, "c", NULL));
	assert_true(aut_json_set(value, "t", aut_json_time(0)));
	assert_string_equal(aut_json_string(value, "t"), "1970-01-01T00:00:00Z");
	assert_true(aut_json_set(value, "u", aut_json_uuid(&AUT_UUID_NAMESPACE_DNS)));
	assert_string_equal(aut_json_string(value, "u"), "6ba7b810-9dad-11d1-80b4-00c04fd430c8");
	assert_true(aut_json_set(value, "n", aut_json_uuid(NULL)));
	assert_true(json_is_null(json_object_get(value, "n")));
	assert_true(aut_json_set(value, "s", aut_json_text_or_null("a\xff")));
	assert_string_equal(aut_json_string(value, "s"), "a\xef\xbf\xbd");
	assert_true(json_is_null(aut_json_time(AUT_TIME_NONE)));
	json_decref(value);
	assert_null(aut_json_text(NULL, NULL));
}

/* ---- torture ------------------------------------------------------------------------------- */

static aut_status
torture_buf(void *payload)
{
	aut_buf buf;
	char *text = NULL;
	aut_status status;

	(void) payload;
	aut_buf_init(&buf, 100000);
	for (int i = 0; i < 500; i++)
		(void) aut_buf_printf(&buf, "%d,", i);
	(void) aut_shell_quote(&buf, "it's", 4);
	status = aut_utf8_sanitize(&buf, "\xff\xff", 2);
	if (status == AUT_OK)
		text = aut_buf_take(&buf, NULL);
	aut_free(text);
	aut_buf_done(&buf);
	return status;
}

static aut_status
torture_texts(void *payload)
{
	aut_arena arena = {0};
	char *a = aut_strdup("a");
	char *b = aut_printf("%d", 1);
	char *c = aut_calloc(3, 3);
	char *d = aut_arena_strndup(&arena, "d", 1);
	char *e = aut_arena_alloc(&arena, 10000);
	char *f = aut_arena_alloc(&arena, 4000);
	aut_status status = a && b && c && d && e && f ? AUT_OK : AUT_ENOMEM;

	(void) payload;
	aut_free(a);
	aut_free(b);
	aut_free(c);
	aut_arena_done(&arena);
	return status;
}

static aut_status
torture_json(void *payload)
{
	const char *text = payload;
	json_t *value = NULL;
	char *again = NULL;
	aut_status status = aut_json_parse(text, strlen(text), &value, NULL);

	if (status == AUT_OK && !(aut_json_set(value, "u", aut_json_uuid(&AUT_UUID_NIL)) &&
							  aut_json_set(value, "t", aut_json_time(1)) &&
							  aut_json_set(value, "s", aut_json_text_or_null("\xff"))))
		status = AUT_ENOMEM;
	if (status == AUT_OK)
	{
		again = aut_json_text(value, NULL);
		if (again == NULL)
			status = AUT_ENOMEM;
	}
	aut_free(again);
	json_decref(value);
	return status;
}

static aut_status
torture_uuid(void *payload)
{
	aut_uuid id;
	aut_status status = aut_uuid_v4(&id, NULL);

	(void) payload;
	if (status == AUT_OK)
		status = aut_uuid_v7(1, &id, NULL);
	if (status == AUT_OK)
		status = aut_uuid_v5(&AUT_UUID_NAMESPACE_DNS, "x", 1, &id, NULL);
	return status;
}

static aut_status
torture_schedule(void *payload)
{
	aut_schedule_problem problem;
	aut_cron cron;
	const aut_tz *tz;
	int64_t fire;
	aut_error err = AUT_ERROR_INIT;
	aut_status status = aut_schedule_check("30 2 * * *", payload, &problem, &cron, &tz, &err);

	if (status == AUT_OK)
		status = aut_cron_next(&cron, tz, 0, &fire, &err);
	/* want of memory is no fault of the schedule */
	if (status == AUT_ENOMEM)
		assert_int_equal(problem, AUT_SCHEDULE_OK);
	aut_tz_cache_clear();
	return status;
}

static aut_status
torture_zone_list(void *payload)
{
	json_t *names = json_array();
	aut_status status = names != NULL ? aut_tz_list(names, NULL) : AUT_ENOMEM;

	(void) payload;
	json_decref(names);
	return status;
}

static void
test_torture__base_and_schedule_survive_every_failed_allocation(void **state)
{
	/* strings short enough for jansson's first token buffer: it drops bytes if that cannot grow */
	char document[] = "{\"a\":[1,2.5,true,null,\"x\"],\"b\":{\"c\":{}}}";
	char zone_name[] = "Europe/Berlin";

	(void) state;
	assert_true(torture(torture_buf, NULL) > 3);
	/* five: the last arena piece fits behind the first, although a large one came between */
	assert_int_equal(torture(torture_texts, NULL), 5);
	assert_true(torture(torture_json, document) > 10);
	(void) torture(torture_uuid, NULL);
	assert_true(torture(torture_schedule, zone_name) >= 3);
}

/* The list has hundreds of names, and each must fail once: a small zone folder keeps that short. */
static void
test_torture__the_list_of_zones_survives(void **state)
{
	(void) state;
	assert_int_equal(setenv("AUTOMATION_TZDIR", "/usr/share/zoneinfo/Atlantic", 1), 0);
	assert_true(torture(torture_zone_list, NULL) > 5);
	assert_int_equal(unsetenv("AUTOMATION_TZDIR"), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status__every_kind_has_its_texts),
		cmocka_unit_test(test_status__messages_are_one_line_cut_between_characters),
		cmocka_unit_test(test_status__context_goes_in_front),
		cmocka_unit_test(test_alloc__sizes_are_checked),
		cmocka_unit_test(test_arena__pieces_are_aligned_and_apart),
		cmocka_unit_test(test_buf__limit_sticks_and_keeps_the_content),
		cmocka_unit_test(test_buf__grows_and_hands_over),
		cmocka_unit_test(test_time__texts_go_both_ways),
		cmocka_unit_test(test_time__bad_texts_are_refused_with_the_place),
		cmocka_unit_test(test_time__calendar_is_its_own_inverse),
		cmocka_unit_test(test_clock__a_manual_clock_moves_by_hand),
		cmocka_unit_test(test_log__goes_to_the_sink_in_one_line),
		cmocka_unit_test(test_uuid__version_7_strictly_increases),
		cmocka_unit_test(test_uuid__version_5_matches_the_contract),
		cmocka_unit_test(test_uuid__reads_what_python_reads),
		cmocka_unit_test(test_text__utf8_is_strict),
		cmocka_unit_test(test_text__sanitized_bytes_are_text),
		cmocka_unit_test(test_text__quoting_and_escapes),
		cmocka_unit_test(test_text__whole_numbers_only),
		cmocka_unit_test(test_crypto__known_answers),
		cmocka_unit_test(test_json__quoted_texts_are_as_the_library_writes_them),
		cmocka_unit_test(test_json__peek_finds_plain_texts_only),
		cmocka_unit_test(test_json__refuses_deep_nesting_before_the_parser),
		cmocka_unit_test(test_json__bad_documents_are_refused_with_the_place),
		cmocka_unit_test(test_json__texts_keep_order_and_are_compact),
		cmocka_unit_test(test_torture__base_and_schedule_survive_every_failed_allocation),
		cmocka_unit_test(test_torture__the_list_of_zones_survives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
