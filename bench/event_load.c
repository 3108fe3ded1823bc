/* SPDX-License-Identifier: MIT */
/*
 * bench/event_load.c - deliver signed events as fast as a server takes them.
 *
 *   event_load PORT PATH SECRET CONNECTIONS SECONDS < BODY
 *
 * POSTs BODY over kept-alive connections to 127.0.0.1, one request at a time on each.  Every event is new:
 * the run of '#' in BODY is replaced by a number, and the bytes are signed afresh (HMAC-SHA256), as a
 * forwarder would.  One thread, one epoll, answers read no further than the bench must: so that what is
 * measured is the server.  Prints {"events","events_per_s","matched","cpu_us","p50_us","p99_us"}; matched is
 * the sum of what the answers say.  Any answer but 200 ends the program with 1.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <netinet/tcp.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "automation/base.h"

#define BODY_MAX        65536
#define CONNECTIONS_MAX 64
#define ANSWER_MAX      65536
#define SAMPLES_MAX     1000000

typedef struct peer
{
	int fd;
	int64_t sent_us;
	size_t have;
	char answer[ANSWER_MAX];
} peer;

typedef struct load
{
	int port;
	const char *path, *secret;
	char body[BODY_MAX + 1];
	size_t len;
	size_t number_at, number_len; /* where the '#' are */
	uint64_t next;
	uint64_t events, matched;
	uint32_t *samples; /* us, of the first SAMPLES_MAX */
	size_t sample_count;
	peer *peers;
	size_t connections, waiting;
} load;

static double
cpu_us(void)
{
	struct timespec now = {0};

	(void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double) now.tv_sec * 1e6 + (double) now.tv_nsec / 1e3;
}

static bool
fail(const char *what)
{
	fprintf(stderr, "event_load: %s: %s\n", what, strerror(errno));
	return false;
}

/* ---- one event ----------------------------------------------------------------------------------- */

static bool
send_event(load *l, peer *p)
{
	static const char HEX[] = "0123456789abcdef";
	static char request[BODY_MAX + 1024];
	unsigned char mac[EVP_MAX_MD_SIZE];
	char text[2 * EVP_MAX_MD_SIZE + 1];
	unsigned mac_len = 0;
	uint64_t number = l->next++;

	for (size_t i = l->number_len; i > 0; i--, number /= 10)
		l->body[l->number_at + i - 1] = (char) ('0' + number % 10);
	if (HMAC(EVP_sha256(), l->secret, (int) strlen(l->secret), (const unsigned char *) l->body,
			 l->len, mac, &mac_len) == NULL)
		return fail("cannot sign");
	for (unsigned i = 0; i < mac_len; i++)
	{
		text[2 * i] = HEX[mac[i] >> 4];
		text[2 * i + 1] = HEX[mac[i] & 15];
	}
	text[2 * mac_len] = '\0';
	int head =
		snprintf(request, sizeof request,
				 "POST %s HTTP/1.1\r\nHost: localhost:%d\r\nContent-Type: application/json\r\n"
				 "X-Hub-Signature-256: sha256=%s\r\nContent-Length: %zu\r\n\r\n",
				 l->path, l->port, text, l->len);
	if (head < 0 || (size_t) head + l->len > sizeof request)
	{
		errno = EMSGSIZE;
		return fail("the request");
	}
	memcpy(request + head, l->body, l->len);
	size_t whole = (size_t) head + l->len;
	p->have = 0;
	p->sent_us = aut_mono_us(aut_clock_system());
	/* A few KiB into an empty socket buffer: it goes at once or not at all. */
	if (send(p->fd, request, whole, MSG_NOSIGNAL) != (ssize_t) whole)
		return fail("send");
	l->waiting++;
	return true;
}

/* 1: a whole answer is there, 0: not yet, -1: it is not one that was hoped for. */
static int
take_answer(load *l, peer *p)
{
	ssize_t got;

	while ((got = recv(p->fd, p->answer + p->have, ANSWER_MAX - 1 - p->have, MSG_DONTWAIT)) > 0)
		p->have += (size_t) got;
	if (got == 0 || (got < 0 && errno != EAGAIN))
	{
		(void) fail("the server hung up");
		return -1;
	}
	p->answer[p->have] = '\0';
	const char *end = strstr(p->answer, "\r\n\r\n");
	if (end == NULL)
		return 0;
	const char *length = strcasestr(p->answer, "\r\ncontent-length:");
	if (length == NULL || length > end ||
		p->have < (size_t) (end + 4 - p->answer) + strtoul(length + 17, NULL, 10))
		return length == NULL || length > end ? -1 : 0;
	const char *matched = strstr(end, "\"matched\":");
	if (strncmp(p->answer, "HTTP/1.1 200", 12) != 0 || matched == NULL)
	{
		fprintf(stderr, "event_load: the answer is %.600s\n", p->answer);
		return -1;
	}
	l->matched += strtoul(matched + strlen("\"matched\":"), NULL, 10);
	l->events++;
	l->waiting--;
	if (l->sample_count < SAMPLES_MAX)
		l->samples[l->sample_count++] = (uint32_t) (aut_mono_us(aut_clock_system()) - p->sent_us);
	return 1;
}

/* ---- all of them ---------------------------------------------------------------------------------- */

static bool
connect_peer(peer *p, uint16_t port)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1;

	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (p->fd < 0 || connect(p->fd, (struct sockaddr *) &to, sizeof to) != 0)
		return fail("connect");
	(void) setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return true;
}

static bool
run(load *l, int64_t until_us)
{
	struct epoll_event events[CONNECTIONS_MAX];
	int poller = epoll_create1(EPOLL_CLOEXEC);
	bool ok = poller >= 0;

	for (size_t i = 0; ok && i < l->connections; i++)
	{
		struct epoll_event add = {.events = EPOLLIN, .data.ptr = &l->peers[i]};
		ok = epoll_ctl(poller, EPOLL_CTL_ADD, l->peers[i].fd, &add) == 0 &&
			 send_event(l, &l->peers[i]);
	}
	while (ok && l->waiting > 0)
	{
		int count = epoll_wait(poller, events, CONNECTIONS_MAX, 60000);

		if (count <= 0 && errno != EINTR)
			ok = fail("no answer within a minute");
		for (int i = 0; ok && i < count; i++)
		{
			int taken = take_answer(l, events[i].data.ptr);

			ok = taken >= 0;
			if (taken > 0 && aut_mono_us(aut_clock_system()) < until_us)
				ok = send_event(l, events[i].data.ptr);
		}
	}
	if (poller >= 0)
		(void) close(poller);
	return ok;
}

static int
by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;
	return x < y ? -1 : x > y;
}

int
main(int argc, char **argv)
{
	static load l;
	int64_t port = 0, connections = 0;
	double seconds = argc == 6 ? strtod(argv[5], NULL) : 0;
	bool ok = argc == 6 && aut_int_parse(argv[1], 1, 65535, &port) &&
			  aut_int_parse(argv[4], 1, CONNECTIONS_MAX, &connections) && seconds > 0 &&
			  seconds <= 600;

	l.len = fread(l.body, 1, sizeof l.body - 1, stdin);
	const char *number = strchr(l.body, '#');
	if (!ok || number == NULL || l.len >= BODY_MAX)
	{
		fprintf(stderr, "usage: event_load PORT PATH SECRET CONNECTIONS SECONDS < BODY\n"
						"BODY: at most 64 KiB, with a run of '#' for the number\n");
		return 2;
	}
	l.port = (int) port;
	l.path = argv[2];
	l.secret = argv[3];
	l.number_at = (size_t) (number - l.body);
	l.number_len = strspn(number, "#");
	l.connections = (size_t) connections;
	l.peers = calloc(l.connections, sizeof *l.peers);
	l.samples = calloc(SAMPLES_MAX, sizeof *l.samples);
	ok = l.peers != NULL && l.samples != NULL;
	for (size_t i = 0; ok && i < l.connections; i++)
		ok = connect_peer(&l.peers[i], (uint16_t) port);
	int64_t start = aut_mono_us(aut_clock_system());
	double cpu = cpu_us();
	ok = ok && run(&l, start + (int64_t) (seconds * 1e6));
	int64_t took = aut_mono_us(aut_clock_system()) - start;
	if (ok && l.events > 0 && l.sample_count > 0 && took > 0)
	{
		qsort(l.samples, l.sample_count, sizeof *l.samples, by_size);
		printf("{\"events\": %llu, \"events_per_s\": %.1f, \"matched\": %llu, \"cpu_us\": %.1f, "
			   "\"p50_us\": %u, \"p99_us\": %u}\n",
			   (unsigned long long) l.events, (double) l.events * 1e6 / (double) took,
			   (unsigned long long) l.matched, (cpu_us() - cpu) / (double) l.events,
			   l.samples[l.sample_count / 2], l.samples[l.sample_count * 99 / 100]);
	}
	for (size_t i = 0; l.peers != NULL && i < l.connections; i++)
		if (l.peers[i].fd > 0)
			(void) close(l.peers[i].fd);
	free(l.peers);
	free(l.samples);
	return ok ? 0 : 1;
}
