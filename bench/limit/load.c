/*
 * Asks an HTTP/1.1 server, on so many connections at once, again and again: one request after
 * the other on each, none before the response to the last one has been read. It is light, so
 * that a machine that it shares with the server is the server's.
 *
 *	load PORT HOST CONNECTIONS BODY REQUEST...
 *
 * Each connection sends the requests in turn, each with BODY bytes behind it. Responses must have a
 * Content-Length, and the status 200 or 206. Bodies are read into user memory. It says "ready" when each
 * connection has had one response; a number on standard input is for how many milliseconds
 * it then goes on. What is under way then is completed. It prints: responses, bytes of their bodies or
 * of the requests' where there are such, nanoseconds, and the 50th, 99th and 99.9th percentile in ns.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 256 << 10 };

struct conn {
	int fd, next;    /* which request is next */
	const char *head;
	size_t headleft; /* of the request, to be sent */
	int64_t bodyleft;
	int64_t left;    /* of the response's body; -1 in its head */
	size_t have;     /* bytes of the head */
	char text[8192];
	int64_t began;
	int waits;       /* for EPOLLOUT */
	int busy;
};

static char buf[PIECE];
static char **requests;
static int nrequests, epfd;
static int64_t bodylen, ops, bytes;
static uint32_t *took; /* ns */
static size_t ntook, room;

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void wait_for(struct conn *c, int out)
{
	if (c->waits == out)
		return;
	struct epoll_event e = {.events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = c};
	if (epoll_ctl(epfd, EPOLL_CTL_MOD, c->fd, &e) < 0)
		die("epoll_ctl");
	c->waits = out;
}

static void go_on(struct conn *c)
{
	while (c->headleft > 0 || c->bodyleft > 0) {
		ssize_t n;
		if (c->headleft > 0)
			n = send(c->fd, c->head, c->headleft, MSG_NOSIGNAL | (c->bodyleft > 0 ? MSG_MORE : 0));
		else
			n = send(c->fd, buf, c->bodyleft < PIECE ? (size_t)c->bodyleft : PIECE, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			return wait_for(c, 1);
		if (n < 0)
			die("send");
		if (c->headleft > 0) {
			c->headleft -= n;
			c->head += n;
		} else
			c->bodyleft -= n;
	}
	wait_for(c, 0);
}

static void ask(struct conn *c)
{
	c->head = requests[c->next];
	c->headleft = strlen(c->head);
	c->next = (c->next + 1) % nrequests;
	c->bodyleft = bodylen;
	c->left = -1;
	c->have = 0;
	c->busy = 1;
	c->began = now();
	go_on(c);
}

/* Reads the head, which is complete at end. */
static void head(struct conn *c, char *end)
{
	*end = 0;
	if (strncmp(c->text, "HTTP/1.1 200", 12) && strncmp(c->text, "HTTP/1.1 206", 12)) {
		fprintf(stderr, "load: %s\n", c->text);
		exit(1);
	}
	char *l = strcasestr(c->text, "\r\ncontent-length:");
	if (!l) {
		fprintf(stderr, "load: no Content-Length in %s\n", c->text);
		exit(1);
	}
	int64_t body = strtoll(l + 17, NULL, 10);
	c->left = body - (c->have - (end + 4 - c->text));
	bytes += bodylen > 0 ? bodylen : body;
	if (c->left < 0) {
		fprintf(stderr, "load: more than was declared\n");
		exit(1);
	}
}

/* Reports whether the response is complete. */
static int answer(struct conn *c)
{
	while (c->left != 0) {
		ssize_t n;
		if (c->left < 0)
			n = recv(c->fd, c->text + c->have, sizeof c->text - 1 - c->have, 0);
		else
			n = recv(c->fd, buf, PIECE, 0);
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			die("recv");
		if (n == 0) {
			fprintf(stderr, "load: the connection ended early\n");
			exit(1);
		}
		if (c->left < 0) {
			c->have += n;
			char *end = memmem(c->text, c->have, "\r\n\r\n", 4);
			if (end)
				head(c, end);
			else if (c->have == sizeof c->text - 1)
				die("long head");
		} else {
			c->left -= n;
			if (c->left < 0)
				die("more than was declared");
		}
	}
	c->busy = 0;
	ops++;
	if (ntook == room) {
		room = room ? 2 * room : 1 << 16;
		if (!(took = realloc(took, room * sizeof *took)))
			die("realloc");
	}
	int64_t t = now() - c->began;
	took[ntook++] = t < UINT32_MAX ? t : UINT32_MAX;
	return 1;
}

/* Has all connections ask until then; at least once. */
static void run(struct conn *cs, int n, int64_t until)
{
	int left = n;
	for (int i = 0; i < n; i++)
		ask(&cs[i]);
	while (left > 0) {
		struct epoll_event es[64];
		int k = epoll_wait(epfd, es, 64, -1);
		if (k < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < k; i++) {
			struct conn *c = es[i].data.ptr;
			if (es[i].events & EPOLLOUT)
				go_on(c);
			if (!c->busy || !(es[i].events & ~EPOLLOUT) || !answer(c))
				continue;
			if (now() < until)
				ask(c);
			else
				left--;
		}
	}
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	if (argc < 6)
		return 0; /* asked whether it can run */
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
	if (!inet_aton(argv[2], &a.sin_addr))
		die("address");
	int n = atoi(argv[3]);
	bodylen = atoll(argv[4]);
	requests = argv + 5;
	nrequests = argc - 5;
	epfd = epoll_create1(EPOLL_CLOEXEC);
	struct conn *cs = calloc(n, sizeof *cs);
	if (epfd < 0 || !cs)
		die("epoll_create1");
	for (int i = 0; i < n; i++) {
		struct conn *c = &cs[i];
		int one = 1;
		c->next = i % nrequests;
		c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof a) < 0)
			die("connect");
		setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
		if (epoll_ctl(epfd, EPOLL_CTL_ADD, c->fd, &e) < 0)
			die("epoll_ctl");
	}
	/* Nonblocking from here on. */
	for (int i = 0; i < n; i++) {
		int on = 1;
		if (ioctl(cs[i].fd, FIONBIO, &on) < 0)
			die("ioctl");
	}
	run(cs, n, 0);
	printf("ready\n");
	fflush(stdout);
	for (long ms; scanf("%ld", &ms) == 1;) {
		ops = bytes = 0;
		ntook = 0;
		int64_t began = now();
		run(cs, n, began + ms * 1000000LL);
		int64_t ns = now() - began;
		qsort(took, ntook, sizeof *took, by_value);
		printf("%lld %lld %lld %u %u %u\n", (long long)ops, (long long)bytes, (long long)ns,
		       took[ntook / 2], took[ntook * 99 / 100], took[ntook * 999 / 1000]);
		fflush(stdout);
	}
	return 0;
}
