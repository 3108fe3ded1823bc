/* SPDX-License-Identifier: MIT */
/*
 * extension/jansson_fence.c - the one symbol that libjansson and the server both have.
 *
 * The server exports its SQL function json_object(...), and a symbol of the executable wins over one of
 * a library: core's calls of jansson's json_object() would land in the server and crash.  So this
 * module has its own, which no other can see (exports.map) and to which all of core is bound when the
 * module is linked.  It makes the same empty object through a name that only jansson has; jansson's own
 * calls are bound inside its library.
 *
 * A test compares the server's symbols with those of our libraries, so that a second clash is seen.
 */
#include <jansson.h>

json_t *
json_object(void)
{
	return json_pack("{}");
}
