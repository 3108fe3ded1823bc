/* SPDX-License-Identifier: MIT */
/*
 * test/faults/wrap.c - calls of the extension that fail when a test says so.
 *
 * A build of its own (make FAULTS=1 B=build/faults) links the module with --wrap for the calls named in
 * calls.opt: allocations of the server, SPI, transactions, libcurl, and core's malloc.  Each asks here
 * first.  A test (test/tap/140_faults.pl) chooses through a file that all processes map: which process,
 * which kind of call, and the how-manyeth of them fails.  The product knows nothing of it.
 */
#include "extension/pg_prelude.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

enum kind
{
	SERVER_MEMORY = 1,
	SPI_CALL,
	TRANSACTION,
	CURL_CALL,
	CORE_MEMORY
};

/* Little-endian int32s, as the test writes them. */
typedef struct control
{
	volatile int32 pid; /* 0: nobody, -1: every client's backend */
	volatile int32 kind;
	volatile int32 countdown; /* the call that brings it to 0 fails */
	volatile int32 failed;    /* how many did */
} control;

static control *
get_control(void)
{
	static control *mapped;
	static bool tried;
	const char *path;
	int fd;

	if (tried)
		return mapped;
	tried = true;
	path = getenv("AUT_FAULT_FILE");
	fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
	{
		void *at = mmap(NULL, sizeof(control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

		mapped = at == MAP_FAILED ? NULL : at;
		close(fd);
	}
	return mapped;
}

static bool
fails(enum kind kind)
{
	control *c = get_control();

	if (c == NULL || c->pid == 0 || c->kind != (int32) kind || c->countdown <= 0)
		return false;
	if (c->pid == -1 ? MyBackendType != B_BACKEND : c->pid != getpid())
		return false;
	/* Nothing may raise where PostgreSQL would panic, and nothing of ours allocates there. */
	if (CritSectionCount > 0 || --c->countdown > 0)
		return false;
	c->failed++;
	return true;
}

static void
server_call(enum kind kind, const char *name)
{
	if (fails(kind))
		ereport(ERROR,
				(errcode(kind == SERVER_MEMORY ? ERRCODE_OUT_OF_MEMORY : ERRCODE_SYSTEM_ERROR),
				 errmsg("injected failure of %s", name)));
}

#define RAISES(kind, type, name, params, args)                                                     \
	extern type __real_##name params;                                                              \
	extern type __wrap_##name params;                                                              \
	type __wrap_##name params                                                                      \
	{                                                                                              \
		server_call(kind, #name);                                                                  \
		return __real_##name args;                                                                 \
	}
#define RAISES_VOID(kind, name, params, args)                                                      \
	extern void __real_##name params;                                                              \
	extern void __wrap_##name params;                                                              \
	void __wrap_##name params                                                                      \
	{                                                                                              \
		server_call(kind, #name);                                                                  \
		__real_##name args;                                                                        \
	}
#define ANSWERS(kind, answer, type, name, params, args)                                            \
	extern type __real_##name params;                                                              \
	extern type __wrap_##name params;                                                              \
	type __wrap_##name params                                                                      \
	{                                                                                              \
		return fails(kind) ? answer : __real_##name args;                                          \
	}

RAISES(SERVER_MEMORY, void *, palloc, (Size n), (n))
RAISES(SERVER_MEMORY, void *, palloc0, (Size n), (n))
RAISES(SERVER_MEMORY, char *, pstrdup, (const char *in), (in))
RAISES(SERVER_MEMORY, void *, MemoryContextAllocZero, (MemoryContext c, Size n), (c, n))
RAISES(SERVER_MEMORY, char *, MemoryContextStrdup, (MemoryContext c, const char *s), (c, s))
RAISES_VOID(SERVER_MEMORY, initStringInfo, (StringInfo s), (s))
RAISES_VOID(SERVER_MEMORY, appendStringInfoString, (StringInfo s, const char *t), (s, t))
RAISES(SERVER_MEMORY, text *, cstring_to_text_with_len, (const char *s, int n), (s, n))
RAISES(SERVER_MEMORY, ErrorData *, CopyErrorData, (void), ())

RAISES(SPI_CALL, int, SPI_connect, (void), ())
RAISES(SPI_CALL, int, SPI_finish, (void), ())
RAISES(SPI_CALL, int, SPI_execute, (const char *s, bool r, long n), (s, r, n))
RAISES(SPI_CALL, int, SPI_execute_plan, (SPIPlanPtr p, Datum *v, const char *u, bool r, long n),
	   (p, v, u, r, n))
RAISES(SPI_CALL, int, SPI_execute_with_args,
	   (const char *s, int c, Oid *t, Datum *v, const char *u, bool r, long n),
	   (s, c, t, v, u, r, n))
RAISES(SPI_CALL, SPIPlanPtr, SPI_prepare, (const char *s, int n, Oid *t), (s, n, t))
RAISES(SPI_CALL, int, SPI_keepplan, (SPIPlanPtr p), (p))

RAISES_VOID(TRANSACTION, StartTransactionCommand, (void), ())
RAISES_VOID(TRANSACTION, CommitTransactionCommand, (void), ())
RAISES_VOID(TRANSACTION, PushActiveSnapshot, (Snapshot s), (s))

ANSWERS(CURL_CALL, NULL, CURL *, curl_easy_init, (void), ())
ANSWERS(CURL_CALL, CURLM_OUT_OF_MEMORY, CURLMcode, curl_multi_add_handle, (CURLM * m, CURL *e),
		(m, e))
ANSWERS(CURL_CALL, CURLM_INTERNAL_ERROR, CURLMcode, curl_multi_socket_action,
		(CURLM * m, curl_socket_t s, int bits, int *running), (m, s, bits, running))
ANSWERS(CURL_CALL, NULL, struct curl_slist *, curl_slist_append,
		(struct curl_slist * l, const char *s), (l, s))
ANSWERS(CURL_CALL, NULL, CURLU *, curl_url, (void), ())
ANSWERS(CURL_CALL, CURLUE_OUT_OF_MEMORY, CURLUcode, curl_url_set,
		(CURLU * u, CURLUPart w, const char *s, unsigned int f), (u, w, s, f))
ANSWERS(CURL_CALL, CURLUE_OUT_OF_MEMORY, CURLUcode, curl_url_get,
		(const CURLU *u, CURLUPart w, char **s, unsigned int f), (u, w, s, f))

#ifdef curl_easy_setopt
#undef curl_easy_setopt
#endif
/* Its one argument is a pointer, a long or an offset: on the platforms we have, one word. */
extern CURLcode __real_curl_easy_setopt(CURL *e, CURLoption o, ...);
extern CURLcode __wrap_curl_easy_setopt(CURL *e, CURLoption o, ...);
CURLcode
__wrap_curl_easy_setopt(CURL *e, CURLoption o, ...)
{
	CURLcode code;
	va_list args;

	va_start(args, o);
	code = fails(CURL_CALL) ? CURLE_OUT_OF_MEMORY
							: __real_curl_easy_setopt(e, o, va_arg(args, void *));
	va_end(args);
	return code;
}

ANSWERS(CORE_MEMORY, NULL, void *, malloc, (size_t n), (n))
ANSWERS(CORE_MEMORY, NULL, void *, realloc, (void *p, size_t n), (p, n))
