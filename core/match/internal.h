/* SPDX-License-Identifier: MIT */
/*
 * core/match/internal.h - what the files of core/match that read events share among themselves.
 */
#ifndef AUT_MATCH_INTERNAL_H
#define AUT_MATCH_INTERNAL_H

#include "automation/event.h"

/*
 * A GitHub payload through the typed model: *out_model is what a run receives (without the key), *out_key
 * the event key, both NULL when the payload is to be ignored; then event->why says why.
 */
aut_status aut__github_read(aut_event *event, json_t **out_model, char **out_key, aut_error *err);

/* Say why an event is ignored. */
void aut__event_ignore(aut_event *event, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The text of what an expression came to, without NUL; *out stays NULL for null, lists and objects. */
aut_status aut__result_text(const aut_match_result *result, char **out, aut_error *err);

#endif
