/*
 * uring is the C loop by io_uring: IORING_OP_SPLICE from a socket to a pipe of a
 * MiB, and from there to the other one, on the raw system calls.
 *
 *	uring PORT ADDRESS UID    as loop.c
 *	uring                     says whether this kernel would do it
 *
 * The kernel gives every IORING_OP_SPLICE to a thread of the ring's pool, for it has
 * no way to try one that does not wait. These threads are threads of the process
 * (/proc/PID/task has them, as iou-wrk-…), so that their time is counted with it. One
 * ends when it has had nothing to do for 5 s, and its time is then missing from
 * the sum: there is none that long while bytes flow.
 *
 * What is submitted at once are CHAIN pairs of splices, linked so that one begins
 * when the one before has ended, however: the pool's thread does them one after
 * the other, and is woken once for all of them. Dearer, or no cheaper, were: one splice
 * at a time, chains of 1 and of 4, polling first, both splices at once on two
 * threads, registered files, COOP_TASKRUN, and SINGLE_ISSUER with DEFER_TASKRUN.
 */
#include "relay.h"
#include <errno.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum {
	CHAIN = 16,
	ENTRIES = 2 * CHAIN, /* a power of two */
	IN = 0,		     /* user_data of a splice into the pipe */
	OUT = 1,	     /* and of one from it */
};

struct ring {
	int fd;
	unsigned *sq_tail, *cq_head, *cq_tail, sq_mask, cq_mask;
	unsigned queued; /* entries that the kernel has not been told of */
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
};

/* ring_open returns 0, or -1 with errno. It is for one thread, the one that calls. */
static int ring_open(struct ring *r)
{
	struct io_uring_params p = {0};
	unsigned workers[2] = {1, 1}, i;
	unsigned char *m;

	r->fd = syscall(SYS_io_uring_setup, ENTRIES, &p);
	if (r->fd < 0)
		return -1;
	m = mmap(NULL, p.cq_off.cqes + p.cq_entries * sizeof *r->cqes, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_POPULATE, r->fd, IORING_OFF_SQ_RING);
	r->sqes = mmap(NULL, p.sq_entries * sizeof *r->sqes, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, r->fd, IORING_OFF_SQES);
	if (m == MAP_FAILED || (void *)r->sqes == MAP_FAILED)
		return -1;
	r->sq_tail = (unsigned *)(m + p.sq_off.tail);
	r->sq_mask = *(unsigned *)(m + p.sq_off.ring_mask);
	r->cq_head = (unsigned *)(m + p.cq_off.head);
	r->cq_tail = (unsigned *)(m + p.cq_off.tail);
	r->cq_mask = *(unsigned *)(m + p.cq_off.ring_mask);
	r->cqes = (struct io_uring_cqe *)(m + p.cq_off.cqes);
	r->queued = 0;
	/* One of the pool's threads is enough, and cheaper by a little (Linux 5.15). */
	syscall(SYS_io_uring_register, r->fd, IORING_REGISTER_IOWQ_MAX_WORKERS, workers, 2);
	for (i = 0; i < p.sq_entries; i++) /* an entry stays at its place */
		((unsigned *)(m + p.sq_off.array))[i] = i;
	return 0;
}

/* add queues a splice; with link the next one begins after it. */
static void add(struct ring *r, int from, int to, int what, int link)
{
	struct io_uring_sqe *s = &r->sqes[(*r->sq_tail + r->queued++) & r->sq_mask];

	memset(s, 0, sizeof *s);
	s->opcode = IORING_OP_SPLICE;
	s->flags = link ? IOSQE_IO_HARDLINK : 0; /* a soft link breaks where a splice is short, as all are */
	s->fd = to;
	s->splice_fd_in = from;
	s->off = s->splice_off_in = (__u64)-1; /* none */
	s->len = PIPE;
	s->splice_flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;
	s->user_data = what;
}

/* submit returns how many were queued, when as many are done. */
static unsigned submit(struct ring *r)
{
	unsigned n = r->queued, tail = *r->sq_tail + n, given = 0;

	r->queued = 0;
	__atomic_store_n(r->sq_tail, tail, __ATOMIC_RELEASE);
	while (given < n || __atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE) - *r->cq_head < n) {
		int k = syscall(SYS_io_uring_enter, r->fd, n - given, n, IORING_ENTER_GETEVENTS, NULL, 0);

		if (k < 0 && errno != EINTR) {
			perror("io_uring_enter");
			exit(1);
		}
		given += k > 0 ? k : 0;
	}
	return n;
}

/*
 * SPLICE_F_NONBLOCK is for the pipe alone: a splice from the socket waits for bytes,
 * and one to the socket for room, but not for bytes in an empty pipe. So the pipe
 * is empty after each pair, unless the destination is broken, and all of a chain
 * ends at the end of the stream.
 */
static void move(int from, int to)
{
	struct io_uring_cqe *c;
	struct ring r;
	unsigned n, head;
	int p[2], i, end = 0, left = 0; /* bytes in the pipe */

	if (pipe2(p, O_CLOEXEC) < 0 || ring_open(&r) < 0) {
		perror("uring");
		exit(1);
	}
	fcntl(p[1], F_SETPIPE_SZ, PIPE); /* refused to a user who has too much of it */
	while (!end && left == 0) {
		for (i = 0; i < CHAIN; i++) {
			add(&r, from, p[1], IN, 1);
			add(&r, p[0], to, OUT, i < CHAIN - 1);
		}
		for (n = submit(&r), head = *r.cq_head; n > 0; n--) {
			c = &r.cqes[head++ & r.cq_mask];
			if (c->res > 0)
				left += c->user_data == IN ? c->res : -c->res;
			else if (c->user_data == IN || c->res != -EAGAIN)
				end = 1;
		}
		__atomic_store_n(r.cq_head, head, __ATOMIC_RELEASE);
	}
	close(p[0]);
	close(p[1]);
	close(r.fd);
}

int main(int argc, char **argv)
{
	struct ring r;

	if (argc == 1) {
		if (ring_open(&r) == 0)
			return 0;
		fprintf(stderr, "io_uring_setup: %s (errno %d)\n", strerror(errno), errno);
		return 1;
	}
	if (argc != 4)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	become(argv[3]);
	start(watch, NULL);
	return serve(argv[1], argv[2], NULL);
}
