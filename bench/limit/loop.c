/*
 * loop is the limit that a copy in user space can come near: it moves bytes over
 * blocking descriptors by two splices, through a pipe of a MiB.
 *
 *	loop PORT ADDRESS UID     to a socket, as relay.h has it
 *	loop - FILE UID           to a new file, of the one connection
 *
 * UID is whom to become before the first connection, -1 to stay.
 */
#include "relay.h"

static void move(int from, int to)
{
	int p[2];
	ssize_t n, m;

	open_pipe(p);
	while ((n = splice(from, NULL, p[1], NULL, PIPE, SPLICE_F_MOVE)) > 0)
		for (; n > 0; n -= m)
			if ((m = splice(p[0], NULL, to, NULL, n, SPLICE_F_MOVE)) <= 0)
				goto end;
end:
	close(p[0]);
	close(p[1]);
}

int main(int argc, char **argv)
{
	int conn;

	if (argc == 1)
		return 0; /* nothing that a kernel may lack */
	if (argc != 4)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	become(argv[3]);
	start(watch, NULL);
	if (strcmp(argv[1], "-") == 0) {
		int file = create(argv[2]);

		conn = accept4(3, NULL, NULL, SOCK_CLOEXEC);
		if (file < 0 || conn < 0)
			return 1;
		move(conn, file);
		close(file);
		close(conn);
		for (;;)
			pause();
	}
	return serve(argv[1], argv[2], NULL);
}
