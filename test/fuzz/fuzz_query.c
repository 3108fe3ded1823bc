/* SPDX-License-Identifier: MIT */
/*
 * test/fuzz/fuzz_query.c - the target of a request: path and query as they come from a stranger.
 *
 * A path that is not refused begins with a slash and holds no NUL; there are never more parameters than allowed,
 * each has a name and a value, and nothing grows.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/net/net_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
	if (!holds)
		abort();
}

static bool
count(void *payload, const char *name, const char *value)
{
	size_t *n = payload;

	must(name != NULL && value != NULL);
	(*n)++;
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	aut_exchange exchange = {0};
	size_t params = 0, text = 0;
	char *target = malloc(size + 1);

	must(target != NULL);
	memcpy(target, data, size);
	target[size] = '\0';
	must(aut__exchange_parse_target(&exchange, target));
	must(exchange.refuse || exchange.path[0] == '/' || strcmp(exchange.path, "*") == 0);
	must(strlen(exchange.path) <= size + 1);
	for (const exchange_param *p = exchange.query; p != NULL; p = p->next)
	{
		params++;
		text += strlen(p->name) + strlen(p->value);
	}
	must(params <= AUT_EXCHANGE_QUERY_MAX && text <= size);
	(void) aut_exchange_query(&exchange, "limit");
	params = 0;
	aut_exchange_each_query(&exchange, count, &params);
	must(params <= AUT_EXCHANGE_QUERY_MAX);
	aut_arena_done(&exchange.arena);
	free(target);
	return 0;
}
