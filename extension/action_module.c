/* SPDX-License-Identifier: MIT */
/*
 * extension/action_module.c - the library of SQL actions' processes, automation_action.so.
 *
 * Loading automation.so takes the dynamic linker some 20 ms, for the libraries of HTTP and TLS that it needs: most of
 * what starting the process of an action took, where the library was not preloaded.  Such a process needs none of
 * them.  So it has a library of its own, of the same objects; with shared_preload_libraries, where automation.so is
 * there already, it starts from that.  The text of an action that calls functions of ours loads automation.so then.
 */
#include "pg_prelude.h"

PG_MODULE_MAGIC;
