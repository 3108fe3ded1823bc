/* SPDX-License-Identifier: MIT */
/*
 * core/service/cursor.c - the texts that stand for a place in a list.
 *
 * A list that is read by offset counts and skips what lies before the page; one that is read by cursor
 * begins behind the last row it gave, so that its ten-thousandth page costs what its first one does and
 * nothing is met twice or missed when rows come and go meanwhile.
 *
 * A cursor is a kind (a automations, e events, r runs, u uploads, w webhooks), the row's time and its id,
 * in hex.  Clients treat it as opaque.  It grants nothing: what is listed is decided anew by who asks.
 */
#include <string.h>

#include "core/service/internal.h"

static bool
hex_digit(char c, unsigned *out)
{
	if (c >= '0' && c <= '9')
		*out = (unsigned) (c - '0');
	else if (c >= 'a' && c <= 'f')
		*out = (unsigned) (c - 'a') + 10;
	else
		return false;
	return true;
}

/* Exactly 2 * len lower-case digits. */
static bool
hex_read(const char *text, uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		unsigned high, low;

		if (!hex_digit(text[2 * i], &high) || !hex_digit(text[2 * i + 1], &low))
			return false;
		out[i] = (uint8_t) (high << 4 | low);
	}
	return true;
}

aut_status
aut__cursor_read(aut_call *call, char kind, const char *text, aut_row_place *out, aut_error *err)
{
	aut__problems problems = {0};
	aut__loc at = {&AUT__QUERY, "cursor", 0};
	aut_row_place place;
	uint8_t time[8];
	uint64_t bits = 0;
	json_t *input;

	if (strlen(text) == AUT__CURSOR_MAX - 1 && text[0] == kind &&
		hex_read(text + 1, time, sizeof time) &&
		hex_read(text + 17, place.id.bytes, sizeof place.id.bytes))
	{
		for (size_t i = 0; i < sizeof time; i++)
			bits = bits << 8 | time[i];
		/* only times that a row can have: the databases refuse others */
		if (bits <= (uint64_t) AUT__CURSOR_TIME_MAX)
		{
			place.created_at = (int64_t) bits;
			*out = place;
			return AUT_OK;
		}
	}
	input = aut_json_text_or_null(text);
	if (input == NULL)
		return aut_fail(err, AUT_ENOMEM, "out of memory for a list");
	aut__problem_value(&problems, &at, input,
					   "cursor must be empty or the next_cursor of an answer of this list");
	json_decref(input);
	return aut__problems_status(&problems, &call->problems, err);
}

json_t *
aut__cursor_json(char kind, int64_t created_at, const aut_uuid *id)
{
	char text[AUT__CURSOR_MAX];
	uint8_t time[8];
	uint64_t bits = created_at < 0 ? 0 : (uint64_t) created_at;

	for (size_t i = 0; i < sizeof time; i++)
		time[i] = (uint8_t) (bits >> (56 - 8 * i));
	text[0] = kind;
	aut_hex(time, sizeof time, text + 1);
	aut_hex(id->bytes, sizeof id->bytes, text + 17);
	return json_string(text);
}

json_t *
aut__page_json(const char *name, json_t *take_items, int64_t total, json_t *take_cursor)
{
	json_t *out = json_object();
	bool good = out != NULL && take_items != NULL;

	good = good && aut_json_set(out, name, json_incref(take_items));
	if (total != AUT__TOTAL_UNTOLD)
		good = good && aut_json_set(out, "total", total < 0 ? json_null() : json_integer(total));
	good = good && aut_json_set(out, "next_cursor", json_incref(take_cursor));
	json_decref(take_items);
	json_decref(take_cursor);
	if (good)
		return out;
	json_decref(out);
	return NULL;
}
