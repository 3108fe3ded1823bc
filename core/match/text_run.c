/* SPDX-License-Identifier: MIT */
/*
 * core/match/text_run.c - running regular expressions, upper and lower case.
 *
 * A regular expression is the one place where an innocent-looking text can take for ever.  PCRE2's own
 * match limit counts per starting place, so a long subject multiplies it; therefore every pattern is
 * compiled with automatic callouts, and the callout pays from the evaluation's budget, for the step
 * and for the bytes walked since the last one.  When the budget is gone the match is abandoned.  No
 * JIT: it would need executable memory inside the database server.
 */
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <unicase.h>

#include "core/match/jmespath.h"

#define REGEX_HEAP_KIB   4096
#define REGEX_MATCH_MAX  1000000
#define REGEX_DEPTH_MAX  10000
#define REGEX_TRANSLATED_MAX (AUT_REGEX_TEXT_MAX * 64)

/* ---- UTF-8 ------------------------------------------------------------------------------------- */

uint32_t
aut__code_point(const char *text, size_t len, size_t *at)
{
	const unsigned char *p = (const unsigned char *) text + *at;
	size_t left = len - *at;
	size_t n = p[0] < 0xc0 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	uint32_t point;

	if (n > left)
		n = 1;
	*at += n;
	if (n == 1)
		return p[0];
	point = p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++)
		point = point << 6 | (p[i] & 0x3fu);
	return point;
}

size_t
aut__utf8_write(uint32_t point, char out[4])
{
	if (point < 0x80)
	{
		out[0] = (char) point;
		return 1;
	}
	if (point < 0x800)
	{
		out[0] = (char) (0xc0 | point >> 6);
		out[1] = (char) (0x80 | (point & 0x3f));
		return 2;
	}
	if (point < 0x10000)
	{
		out[0] = (char) (0xe0 | point >> 12);
		out[1] = (char) (0x80 | (point >> 6 & 0x3f));
		out[2] = (char) (0x80 | (point & 0x3f));
		return 3;
	}
	out[0] = (char) (0xf0 | point >> 18);
	out[1] = (char) (0x80 | (point >> 12 & 0x3f));
	out[2] = (char) (0x80 | (point >> 6 & 0x3f));
	out[3] = (char) (0x80 | (point & 0x3f));
	return 4;
}

/* ---- case -------------------------------------------------------------------------------------- */

const aut__value *
aut__case(aut__work *work, const aut__value *text, bool upper)
{
	/* No mapping makes a text more than three times as long; with room to spare the library uses
	 * ours and allocates nothing that would have to be freed its way. */
	size_t room = text->len * 3 + 64;
	size_t len = room;
	uint8_t *made;
	uint8_t *done;

	if (text->len == 0)
		return &aut__empty_text;
	made = aut__make(work, room);
	if (made == NULL || !aut__spend(work, text->len / 8 + 1))
		return NULL;
	done = upper ? u8_toupper((const uint8_t *) text->as.text, text->len, NULL, NULL, made, &len)
				 : u8_tolower((const uint8_t *) text->as.text, text->len, NULL, NULL, made, &len);
	if (done == NULL || done != made)
	{
		aut__work_fail(work, AUT_ENOMEM, "out of memory for %s()", upper ? "upper" : "lower");
		return NULL;
	}
	return aut__text(work, (const char *) made, len);
}

/* ---- regular expressions ------------------------------------------------------------------------ */

static void *
regex_alloc(size_t size, void *payload)
{
	(void) payload;
	return aut_malloc(size);
}

static void
regex_free(void *ptr, void *payload)
{
	(void) payload;
	aut_free(ptr);
}

/* What PCRE2 says of a translated pattern, as ours. */
static aut_status
regex_compile(aut__regex *regex, const aut_buf *pattern, uint32_t options)
{
	pcre2_general_context *general = pcre2_general_context_create(regex_alloc, regex_free, NULL);
	pcre2_compile_context *context = NULL;
	PCRE2_SIZE at = 0;
	int code = 0;
	aut_status status = AUT_ENOMEM;

	if (general != NULL)
		context = pcre2_compile_context_create(general);
	if (context == NULL)
		goto out;
	pcre2_set_newline(context, PCRE2_NEWLINE_LF);
	regex->code = pcre2_compile((PCRE2_SPTR) (pattern->len > 0 ? pattern->data : ""), pattern->len,
								options, &code, &at, context);
	if (regex->code == NULL && code == PCRE2_ERROR_HEAP_FAILED)
		goto out;
	/* what the translation let through and PCRE2 refuses matches nothing, like other mistakes */
	if (regex->code == NULL && (code == PCRE2_ERROR_PATTERN_TOO_LARGE ||
								code == PCRE2_ERROR_PARENTHESES_NEST_TOO_DEEP))
	{
		regex->status = AUT_ELIMIT;
		regex->reason = "it is too large when its repetitions are written out";
	}
	status = AUT_OK;
out:
	pcre2_compile_context_free(context);
	pcre2_general_context_free(general);
	return status;
}

aut_status
aut__regex_init(aut__regex *regex, const char *pattern, size_t len)
{
	aut_buf translated;
	uint32_t options = 0;
	const char *reason = NULL;
	aut_status status;

	regex->code = NULL;
	regex->status = AUT_OK;
	regex->reason = NULL;
	if (len > AUT_REGEX_TEXT_MAX)
	{
		regex->status = AUT_ELIMIT;
		regex->reason = "it is longer than 4096 bytes";
		return AUT_OK;
	}
	aut_buf_init(&translated, REGEX_TRANSLATED_MAX);
	status = aut__regex_translate(pattern, len, &translated, &options, &reason);
	if (status == AUT_OK)
		status = regex_compile(regex, &translated, options | PCRE2_UTF | PCRE2_UCP |
													   PCRE2_NO_UTF_CHECK | PCRE2_AUTO_CALLOUT |
													   PCRE2_NEVER_BACKSLASH_C);
	else if (status == AUT_ELIMIT)
	{
		regex->status = AUT_ELIMIT;
		regex->reason = reason;
	}
	aut_buf_done(&translated);
	return status == AUT_ENOMEM ? status : AUT_OK;
}

void
aut__regex_done(aut__regex *regex)
{
	if (regex != NULL)
		pcre2_code_free(regex->code);
}

/* The budget on the way through one match. */
typedef struct meter
{
	aut__work *work;
	PCRE2_SIZE last; /* where the last callout was */
} meter;

static int
regex_callout(pcre2_callout_block *block, void *payload)
{
	meter *paid = payload;
	PCRE2_SIZE at = block->current_position;
	PCRE2_SIZE walked = at > paid->last ? at - paid->last : paid->last - at;

	paid->last = at;
	return aut__spend(paid->work, 1 + walked / 16) ? 0 : PCRE2_ERROR_CALLOUT;
}

bool
aut__regex_search(aut__work *work, const aut__regex *regex, const char *text, size_t len)
{
	pcre2_general_context *general = NULL;
	pcre2_match_context *context = NULL;
	pcre2_match_data *data = NULL;
	meter paid = {work, 0};
	int found = PCRE2_ERROR_NOMATCH;

	if (regex->status != AUT_OK)
		return aut__work_fail(work, regex->status, "a regular expression cannot be used: %s",
							  regex->reason);
	if (!aut__spend(work, 20 + len / 64) || regex->code == NULL)
		return false;
	general = pcre2_general_context_create(regex_alloc, regex_free, NULL);
	if (general != NULL)
	{
		context = pcre2_match_context_create(general);
		data = pcre2_match_data_create(1, general);
	}
	if (context == NULL || data == NULL)
		aut__work_fail(work, AUT_ENOMEM, "out of memory for a regular expression");
	else
	{
		pcre2_set_match_limit(context, REGEX_MATCH_MAX);
		pcre2_set_depth_limit(context, REGEX_DEPTH_MAX);
		pcre2_set_heap_limit(context, REGEX_HEAP_KIB);
		pcre2_set_callout(context, regex_callout, &paid);
		found = pcre2_match(regex->code, (PCRE2_SPTR) (len > 0 ? text : ""), len, 0,
							PCRE2_NO_UTF_CHECK, data, context);
	}
	if (found == PCRE2_ERROR_NOMEMORY)
		aut__work_fail(work, AUT_ENOMEM, "out of memory for a regular expression");
	else if (found < 0 && found != PCRE2_ERROR_NOMATCH)
		aut__work_fail(work, AUT_ELIMIT, "a regular expression takes too long with this text");
	pcre2_match_data_free(data);
	pcre2_match_context_free(context);
	pcre2_general_context_free(general);
	return found >= 0 && work->status == AUT_OK;
}
