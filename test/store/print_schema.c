/* SPDX-License-Identifier: MIT */
/*
 * test/store/print_schema.c - prints the tables of a dialect; `make schema-sql` writes extension/schema.sql
 * with it.
 */
#include <stdio.h>
#include <string.h>

#include "automation/store.h"

int
main(int argc, char **argv)
{
	bool sqlite = argc > 1 && strcmp(argv[1], "sqlite") == 0;

	printf("-- SPDX-License-Identifier: MIT\n"
		   "-- Generated from core/store/schema.c by `make schema-sql`; a test compares them.\n");
	fputs(aut_store_schema(sqlite ? AUT_DIALECT_SQLITE : AUT_DIALECT_POSTGRES), stdout);
	return ferror(stdout) != 0;
}
