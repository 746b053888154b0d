/*
 * fan is the limit that a copy of one stream to many can come near: it takes what
 * has come over blocking descriptors into a pipe of a MiB, duplicates that by tee
 * into a second one for each sink but the last, and splices it out of there.
 *
 *	fan PORT ADDRESS UID SINKS         from the one connection to as many sockets
 *	fan PORT ADDRESS UID SINKS FILE    and to a new file
 *
 * All sinks are in step, so one pipe is enough for the duplicates: it is empty again
 * when its sink has taken them.
 */
#include "limit.h"

enum { MANY = 1024 };

/* pump moves n bytes out of a pipe. */
static int pump(int pipe, int to, ssize_t n)
{
	ssize_t m;

	for (; n > 0; n -= m)
		if ((m = splice(pipe, NULL, to, NULL, n, SPLICE_F_MOVE)) <= 0)
			return -1;
	return 0;
}

/* fan ends at the end of the stream or at the first error. */
static void fan(int from, const int *to, int sinks)
{
	int all[2], one[2], i;
	ssize_t n;

	open_pipe(all);
	open_pipe(one);
	while ((n = splice(from, NULL, all[1], NULL, PIPE, SPLICE_F_MOVE)) > 0) {
		for (i = 0; i < sinks - 1; i++)
			if (tee(all[0], one[1], n, 0) != n || pump(one[0], to[i], n) < 0)
				return; /* a tee into an empty pipe of the same size takes all */
		if (pump(all[0], to[i], n) < 0)
			return;
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = {0};
	int sink[MANY], sinks = 0, from, n, i;
	char c;

	if (argc == 1)
		return 0; /* nothing that a kernel may lack */
	if (argc < 5 || argc > 6)
		return 2;
	n = atoi(argv[4]);
	if (n < 1 || n >= MANY || address(&to, argv[1], argv[2]) < 0)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	become(argv[3]);
	start(watch, NULL);
	if ((from = accept4(3, NULL, NULL, SOCK_CLOEXEC)) < 0)
		return 1;
	while (sinks < n)
		if ((sink[sinks++] = dial(&to)) < 0)
			return 1;
	if (argc == 6 && (sink[sinks++] = create(argv[5])) < 0)
		return 1;
	fan(from, sink, sinks);
	for (i = 0; i < n; i++)
		shutdown(sink[i], SHUT_WR);
	for (i = 0; i < n; i++) /* the sink's end says that it has got all */
		while (read(sink[i], &c, 1) > 0)
			;
	close(from);
	for (;;)
		pause();
}
