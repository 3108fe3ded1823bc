/* SPDX-License-Identifier: MIT */
/*
 * test/valgrind_control.c - loses memory and reads what was never written, in frames of ours.
 *
 * Built as the extension is; test/valgrind must find both before it may say that there is nothing to find.
 */
#include <stdio.h>

#include "automation/base.h"

int
main(void)
{
	void *volatile lost = aut_malloc(77);
	char *volatile unset = aut_malloc(36);
	aut_uuid id;
	if (lost == NULL || unset == NULL)
		return 1;
	lost = NULL;
	(void) aut_uuid_parse(unset, 36, &id);
	aut_free(unset);
	return 0;
}
