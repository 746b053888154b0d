/*
 * What the limits in C share. Descriptor 3 is a listening socket, descriptor 4 is
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

/* become makes the process another user's, and leaves it alone for -1. */
static inline void become(const char *arg)
{
	int uid = atoi(arg);

	if (uid >= 0 && (setgid(uid) < 0 || setuid(uid) < 0)) {
		perror("setuid");
		exit(1);
	}
}

/* address fills in where to connect to. */
static inline int address(struct sockaddr_in *to, const char *port, const char *host)
{
	to->sin_family = AF_INET;
	to->sin_port = htons(atoi(port));
	return inet_pton(AF_INET, host, &to->sin_addr) == 1 ? 0 : -1;
}

/* dial returns a connected socket, and -1 if there is none. */
static inline int dial(const struct sockaddr_in *to)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (const struct sockaddr *)to, sizeof *to) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* create returns a new file, open for writing. */
static inline int create(const char *path)
{
	return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

/* open_pipe makes a pipe of a MiB, p[0] to read from, p[1] to write to. */
static inline void open_pipe(int p[2])
{
	if (pipe2(p, O_CLOEXEC) < 0) {
		perror("pipe2");
		exit(1);
	}
	fcntl(p[1], F_SETPIPE_SZ, PIPE); /* refused to a user who has too much of it */
}
