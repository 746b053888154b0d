/*
 * loop is the limit that a copy in user space can come near: for every connection
 * on the listening socket at descriptor 3 it connects to an address and moves
 * bytes both ways, a thread a direction, over blocking descriptors and through a
 * pipe of a MiB.
 *
 *	loop PORT ADDRESS UID     to a socket
 *	loop - FILE UID           to a new file, of the one connection
 *
 * UID is whom to become before the first connection, -1 to stay. Descriptor 4 is
 * open for reading as long as the parent lives.
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

static void move(int from, int to)
{
	int p[2];
	ssize_t n, m;

	if (pipe2(p, O_CLOEXEC) < 0) {
		perror("pipe2");
		exit(1);
	}
	fcntl(p[1], F_SETPIPE_SZ, PIPE); /* refused to a user who has too much of it */
	while ((n = splice(from, NULL, p[1], NULL, PIPE, SPLICE_F_MOVE)) > 0)
		for (; n > 0; n -= m)
			if ((m = splice(p[0], NULL, to, NULL, n, SPLICE_F_MOVE)) <= 0)
				goto end;
end:
	close(p[0]);
	close(p[1]);
}

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
		fprintf(stderr, "loop: no thread\n");
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

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	int uid, conn;

	if (argc != 4)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	uid = atoi(argv[3]);
	if (uid >= 0 && (setgid(uid) < 0 || setuid(uid) < 0)) {
		perror("setuid");
		return 1;
	}
	start(watch, NULL);
	if (strcmp(argv[1], "-") == 0) {
		int file = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		conn = accept4(3, NULL, NULL, SOCK_CLOEXEC);
		if (file < 0 || conn < 0)
			return 1;
		move(conn, file);
		close(file);
		close(conn);
		for (;;)
			pause();
	}
	to.sin_port = htons(atoi(argv[1]));
	if (inet_pton(AF_INET, argv[2], &to.sin_addr) != 1)
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
		pass(t, t->a, t->b);
		pass(t, t->b, t->a);
	}
	perror("accept");
	return 1;
}
