/*
 * What the limits share: for every connection on the listening socket at
 * descriptor 3 they connect to an address, and move bytes both ways, a thread a
 * direction. Descriptor 4 is open for reading as long as the parent lives.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIPE = 1 << 20 };

struct tunnel {
	int a, b;
	int left; /* directions that have not ended */
};

struct direction {
	struct tunnel *t;
	int from, to;
};

/* move is what a limit is: it moves what comes from one descriptor to the other,
 * until the end or an error. */
static void move(int from, int to);

/* A thread stays when its work is done: the CPU time of the process is read as the
 * sum over its threads, from which one that has ended would be missing. */
static void *run(void *arg)
{
	struct direction *d = arg;

	move(d->from, d->to);
	shutdown(d->to, SHUT_WR);
	if (__atomic_sub_fetch(&d->t->left, 1, __ATOMIC_ACQ_REL) == 0) {
		close(d->t->a);
		close(d->t->b);
	}
	for (;;)
		pause();
	return NULL;
}

static void start(void *(*f)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t id;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	if (pthread_create(&id, &attr, f, arg) != 0) {
		fprintf(stderr, "no thread\n");
		exit(1);
	}
	pthread_attr_destroy(&attr);
}

static void *watch(void *arg)
{
	char c;

	while (read(4, &c, 1) > 0)
		;
	exit(0);
	return arg;
}

static void pass(struct tunnel *t, int from, int to)
{
	struct direction *d = malloc(sizeof *d);

	d->t = t;
	d->from = from;
	d->to = to;
	start(run, d);
}

/* become makes the process another user's, and leaves it alone for -1. */
static inline void become(const char *arg)
{
	int uid = atoi(arg);

	if (uid >= 0 && (setgid(uid) < 0 || setuid(uid) < 0)) {
		perror("setuid");
		exit(1);
	}
}

/* serve relays to an address until accepting fails, and returns the exit status.
 * join, if not NULL, is called for each tunnel before its directions start. */
static int serve(const char *port, const char *address, void (*join)(struct tunnel *))
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	int conn;

	to.sin_port = htons(atoi(port));
	if (inet_pton(AF_INET, address, &to.sin_addr) != 1)
		return 2;
	while ((conn = accept4(3, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct tunnel *t = malloc(sizeof *t);

		t->a = conn;
		t->b = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		t->left = 2;
		if (t->b < 0 || connect(t->b, (struct sockaddr *)&to, sizeof to) < 0) {
			close(t->b);
			close(conn);
			free(t);
			continue;
		}
		if (join)
			join(t);
		pass(t, t->a, t->b);
		pass(t, t->b, t->a);
	}
	perror("accept");
	return 1;
}
