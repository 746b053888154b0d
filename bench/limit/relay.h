/*
 * What the limits share that relay: for every connection on the listening socket
 * they connect to an address, and move bytes both ways, a thread a direction.
 */
#include "limit.h"

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

static void pass(struct tunnel *t, int from, int to)
{
	struct direction *d = malloc(sizeof *d);

	d->t = t;
	d->from = from;
	d->to = to;
	start(run, d);
}

/* serve relays to an address until accepting fails, and returns the exit status.
 * join, if not NULL, is called for each tunnel before its directions start. */
static int serve(const char *port, const char *host, void (*join)(struct tunnel *))
{
	struct sockaddr_in to = {0};
	int conn;

	if (address(&to, port, host) < 0)
		return 2;
	while ((conn = accept4(3, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct tunnel *t = malloc(sizeof *t);

		t->a = conn;
		t->b = dial(&to);
		t->left = 2;
		if (t->b < 0) {
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
