/* SPDX-License-Identifier: MIT */
/*
 * bench/http_bench.c - what our outbound HTTP client costs over libcurl alone.
 *
 *   http_bench REQUESTS AT_ONCE [ours|bare]
 *
 * POSTs a body of 1 KiB to a server in a process of its own, which answers each with 1 KiB at once over
 * kept-alive connections.  "bare" is curl's multi socket interface on epoll with one easy handle per
 * place, options set once: what libcurl allows.  "ours" is aut_http_client on the loop, as the engine
 * uses it.  Prints one JSON object a way: {"way","at_once","requests","requests_per_s","cpu_us"}.
 */
#include <curl/curl.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "automation/net.h"

#define BODY        1024
#define AT_ONCE_MAX 512
#define CONNS_MAX   2048

static char body[BODY];
static char url[64];
static long total, at_once;

static double
cpu_us(void)
{
	struct timespec now;

	(void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double) now.tv_sec * 1e6 + (double) now.tv_nsec / 1e3;
}

static void
report(const char *way, long done, int64_t took_us, double cpu)
{
	printf("{\"way\": \"%s\", \"at_once\": %ld, \"requests\": %ld, \"requests_per_s\": %.0f, "
		   "\"cpu_us\": %.1f}\n",
		   way, at_once, done, took_us > 0 ? (double) done * 1e6 / (double) took_us : 0.0,
		   done > 0 ? cpu / (double) done : 0.0);
	(void) fflush(stdout);
}

/* ---- the server, in a process of its own --------------------------------------------------------- */

/* Counts what has come of a request; requests have a fixed size once the head was seen. */
typedef struct peer
{
	size_t have, head;
	char text[8192];
} peer;

static void
answer(int fd, peer *conn, const char *reply, size_t reply_len)
{
	ssize_t got;

	while ((got = recv(fd, conn->text + conn->have, sizeof conn->text - 1 - conn->have,
					   MSG_DONTWAIT)) > 0)
	{
		char *end;

		conn->have += (size_t) got;
		conn->text[conn->have] = '\0';
		end = strstr(conn->text, "\r\n\r\n");
		if (end != NULL && conn->have >= (size_t) (end - conn->text) + 4 + BODY)
		{
			conn->have = 0;
			if (send(fd, reply, reply_len, MSG_NOSIGNAL) != (ssize_t) reply_len)
				break;
		}
	}
	if (got == 0 || (got < 0 && errno != EAGAIN))
		(void) close(fd);
}

static void
serve(int listener)
{
	static peer peers[CONNS_MAX];
	static char reply[BODY + 200];
	struct epoll_event events[256];
	int poller = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event add = {.events = EPOLLIN, .data.fd = listener};
	int len = snprintf(reply, sizeof reply,
					   "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
					   "%d\r\n\r\n",
					   BODY);

	memset(reply + len, 'x', BODY);
	(void) epoll_ctl(poller, EPOLL_CTL_ADD, listener, &add);
	for (;;)
	{
		int count = epoll_wait(poller, events, 256, -1);

		for (int i = 0; i < count; i++)
		{
			int fd = events[i].data.fd;

			if (fd != listener)
			{
				answer(fd, &peers[fd], reply, (size_t) len + BODY);
				continue;
			}
			fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
			if (fd >= 0 && fd < CONNS_MAX)
			{
				int one = 1;

				peers[fd].have = 0;
				(void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
				add.data.fd = fd;
				(void) epoll_ctl(poller, EPOLL_CTL_ADD, fd, &add);
			}
			else if (fd >= 0)
				(void) close(fd);
		}
	}
}

static pid_t
start_server(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pid_t pid = -1;

	if (listener >= 0 && bind(listener, (struct sockaddr *) &address, sizeof address) == 0 &&
		listen(listener, AT_ONCE_MAX) == 0 &&
		getsockname(listener, (struct sockaddr *) &address, &len) == 0)
	{
		(void) snprintf(url, sizeof url, "http://127.0.0.1:%d/api/bash/start_bash_command",
						ntohs(address.sin_port));
		pid = fork();
	}
	if (pid == 0)
		serve(listener);
	if (listener >= 0)
		(void) close(listener);
	return pid;
}

/* ---- libcurl alone --------------------------------------------------------------------------------- */

static int poller;
static long timer_ms = -1;

static size_t
count_body(char *data, size_t size, size_t count, void *payload)
{
	(void) data;
	(void) payload;
	return size * count;
}

static int
want_socket(CURL *easy, curl_socket_t fd, int what, void *payload, void *known)
{
	struct epoll_event event = {.data.fd = fd};

	(void) easy;
	if (what == CURL_POLL_REMOVE)
		(void) epoll_ctl(poller, EPOLL_CTL_DEL, fd, NULL);
	else
	{
		event.events = (what != CURL_POLL_OUT ? (uint32_t) EPOLLIN : 0) |
					   (what != CURL_POLL_IN ? (uint32_t) EPOLLOUT : 0);
		(void) epoll_ctl(poller, known != NULL ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
		if (known == NULL)
			(void) curl_multi_assign(payload, fd, &poller);
	}
	return 0;
}

static int
want_timer(CURLM *multi, long ms, void *payload)
{
	(void) multi;
	(void) payload;
	timer_ms = ms;
	return 0;
}

static CURL *
bare_easy(struct curl_slist *headers)
{
	CURL *easy = curl_easy_init();

	if (easy != NULL)
	{
		(void) curl_easy_setopt(easy, CURLOPT_URL, url);
		(void) curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
		(void) curl_easy_setopt(easy, CURLOPT_PROXY, "");
		(void) curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
		(void) curl_easy_setopt(easy, CURLOPT_POST, 1L);
		(void) curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long) BODY);
		(void) curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
		(void) curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, count_body);
		(void) curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 60000L);
	}
	return easy;
}

static bool
bare_way(void)
{
	CURLM *multi = curl_multi_init();
	struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
	CURL *easies[AT_ONCE_MAX] = {NULL};
	struct epoll_event events[256];
	long sent = 0, done = 0;
	bool ok = multi != NULL && headers != NULL;
	int running, left;

	headers = ok ? curl_slist_append(headers, "Content-Type: application/json") : headers;
	poller = epoll_create1(EPOLL_CLOEXEC);
	(void) curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	(void) curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, multi);
	(void) curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, want_timer);
	(void) curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, at_once);
	int64_t start = aut_mono_us(aut_clock_system());
	double cpu = cpu_us();
	for (long i = 0; ok && i < at_once && sent < total; i++, sent++)
	{
		easies[i] = bare_easy(headers);
		ok = easies[i] != NULL && curl_multi_add_handle(multi, easies[i]) == CURLM_OK;
	}
	while (ok && done < sent)
	{
		CURLMsg *message;
		int count = epoll_wait(poller, events, 256, (int) timer_ms);

		if (count <= 0)
			(void) curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
		for (int i = 0; i < count; i++)
			(void) curl_multi_socket_action(
				multi, events[i].data.fd,
				((events[i].events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
					((events[i].events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0),
				&running);
		while (ok && (message = curl_multi_info_read(multi, &left)) != NULL)
		{
			CURL *easy = message->easy_handle;

			ok = message->data.result == CURLE_OK;
			done++;
			(void) curl_multi_remove_handle(multi, easy);
			if (sent < total && ok)
			{
				ok = curl_multi_add_handle(multi, easy) == CURLM_OK;
				sent++;
			}
		}
	}
	if (ok)
		report("bare", done, aut_mono_us(aut_clock_system()) - start, cpu_us() - cpu);
	for (long i = 0; i < at_once; i++)
		curl_easy_cleanup(easies[i]);
	(void) curl_multi_cleanup(multi);
	curl_slist_free_all(headers);
	(void) close(poller);
	return ok;
}

/* ---- our client -------------------------------------------------------------------------------------- */

static aut_http_client *client;
static long ours_sent, ours_done;
static bool ours_ok = true;

static void send_one(void);

static void
on_reply(void *payload, const aut_http_reply *reply)
{
	(void) payload;
	ours_ok = ours_ok && reply->status == AUT_OK && reply->code == 200 && reply->body_len == BODY;
	ours_done++;
	if (ours_ok && ours_sent < total)
		send_one();
}

static void
send_one(void)
{
	static const char *const HEADERS[] = {"X-Session-API-Key: key", NULL};
	aut_error err = AUT_ERROR_INIT;
	aut_http_request request = {.method = "POST",
								.url = url,
								.headers = HEADERS,
								.body = body,
								.body_len = BODY,
								.body_lent = true,
								.content_type = "application/json",
								.cb = on_reply};

	ours_sent++;
	ours_ok = aut_http_send(client, &request, NULL, &err) == AUT_OK && ours_ok;
}

static bool
ours_way(void)
{
	aut_error err = AUT_ERROR_INIT;
	aut_http_client_options options = AUT_HTTP_CLIENT_OPTIONS_INIT;
	aut_loop *loop = NULL;

	options.max_per_host = (int) at_once;
	options.max_total = (int) at_once;
	ours_ok = aut_loop_new(&loop, &err) == AUT_OK &&
			  aut_http_client_new(loop, &options, &client, &err) == AUT_OK;
	int64_t start = aut_mono_us(aut_clock_system());
	double cpu = cpu_us();
	for (long i = 0; ours_ok && i < at_once && ours_sent < total; i++)
		send_one();
	while (ours_ok && ours_done < ours_sent)
		aut_loop_wait(loop, 1000);
	if (ours_ok)
		report("ours", ours_done, aut_mono_us(aut_clock_system()) - start, cpu_us() - cpu);
	aut_http_client_free(client);
	if (loop != NULL)
		aut_loop_free(loop);
	return ours_ok;
}

int
main(int argc, char **argv)
{
	int64_t n = 0, m = 0;
	bool ok = (argc == 3 || argc == 4) && aut_int_parse(argv[1], 1, 100000000, &n) &&
			  aut_int_parse(argv[2], 1, AT_ONCE_MAX, &m);
	pid_t server;

	if (!ok)
	{
		fprintf(stderr, "usage: http_bench REQUESTS AT_ONCE [ours|bare]\n");
		return 2;
	}
	total = (long) n;
	at_once = (long) m;
	memset(body, 'b', sizeof body);
	server = start_server();
	if (server < 0)
	{
		fprintf(stderr, "http_bench: cannot start the server: %s\n", strerror(errno));
		return 1;
	}
	(void) curl_global_init(CURL_GLOBAL_DEFAULT);
	if (argc == 3 || strcmp(argv[3], "bare") == 0)
		ok = bare_way();
	if (argc == 3 || strcmp(argv[3], "ours") == 0)
		ok = ours_way() && ok;
	(void) kill(server, SIGKILL);
	(void) waitpid(server, NULL, 0);
	return ok ? 0 : 1;
}
