/* SPDX-License-Identifier: MIT */
/*
 * core/base/internal.h - what the files of core/base share among themselves.
 */
#ifndef AUT_BASE_INTERNAL_H
#define AUT_BASE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Make a formatted text fit for one line of a log or of an error: control characters become blanks;
 * when the text was cut (it did not fit its buffer), a half character at the end is dropped.
 */
void aut__line_clean(char *line, bool was_cut);

#endif
