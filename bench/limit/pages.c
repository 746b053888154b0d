/*
 * pages is the limit that a producer in user space can come near: it makes a stream
 * in page memory and has a pipe, or a TCP connection, take it.
 *
 *	pages WAY PIECE HUGE BYTES
 *	pages                          says whether this kernel would do it
 *
 * Descriptor 3 is the destination. PIECE is how much is filled and sent at once, HUGE is
 * 1 for huge pages, BYTES the length of the stream, 0 for as long as it takes: a byte
 * from descriptor 4 begins it, a second one ends it. By MSG_ZEROCOPY, it says then how
 * many sends there were, and how many the kernel has copied. WAY is
 *
 *	write       fill a buffer, write it
 *	constant    vmsplice memory that was filled once
 *	fresh       fill, vmsplice, and give the pages up (MADV_DONTNEED): the pipe has them
 *	late        the same, but given up all at once, 2 MiB of them
 *	populate    as fresh, but new pages come in one call (MADV_POPULATE_WRITE)
 *	remap       as fresh, but given up by munmap, and got by mmap
 *	double      vmsplice two halves by turns, each as large as the pipe: when all of one
 *	            is in the pipe, all of the other is out, for a reader that reads
 *	ring        the same with a ring of the pipe's size and one piece
 *	zerocopy    send with MSG_ZEROCOPY, and fill again what the kernel says is sent
 *	same        send with MSG_ZEROCOPY what was filled once
 *
 * Filled means that each word of 8 bytes is its position in the stream, or in the memory
 * that is filled once: a page that is overwritten too early does not go unnoticed.
 */
#include "limit.h"
#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/uio.h>

enum {
	DST = 3,
	CONTROL = 4,
	PAGE = 4096,
	HUGE = 2 << 20,
	ONCE = 1 << 20,	  /* memory that is filled once */
	FLIGHT = 2 << 20, /* at most under way by zerocopy, but two pieces */
};

static size_t piece;
static int huge;
static uint64_t made, want; /* bytes of the stream, made and to make; want 0: until told */
static int stop;

/* control waits for the end of the stream, and then for that of the parent. */
static void *control(void *arg)
{
	char c;

	if (read(CONTROL, &c, 1) == 1)
		__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	return watch(arg);
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* more returns how much to make next, 0 at the end. */
static size_t more(void)
{
	if (__atomic_load_n(&stop, __ATOMIC_RELAXED))
		return 0;
	if (want && want - made < piece)
		return want - made;
	return piece;
}

/* fill makes n bytes of what is at pos; n is rounded up to a word. */
static void fill(char *p, size_t n, uint64_t pos)
{
	uint64_t *w = (uint64_t *)p, *end = w + (n + 7) / 8;

	for (; w < end; w++, pos += 8)
		*w = pos;
}

/* memory returns at least size bytes of it, in pages that have yet to come. */
static char *memory(size_t size)
{
	size_t all = (size + HUGE - 1) / HUGE * HUGE + HUGE;
	char *p = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	p += -(uintptr_t)p % HUGE;
	if (madvise(p, all - HUGE, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) < 0 && huge)
		die("madvise");
	return p;
}

/* write_all and splice_all end the process with the destination. */
static void write_all(const char *p, size_t n)
{
	ssize_t m;

	for (; n > 0; p += m, n -= m)
		if ((m = write(DST, p, n)) <= 0)
			die("write");
}

static void splice_all(char *p, size_t n)
{
	struct iovec v = {p, n};
	ssize_t m;

	while (v.iov_len > 0) {
		if ((m = vmsplice(DST, &v, 1, 0)) <= 0)
			die("vmsplice");
		v.iov_base = (char *)v.iov_base + m;
		v.iov_len -= m;
	}
}

static void by_write(void)
{
	char *p = memory(piece);
	size_t n;

	for (; (n = more()); made += n) {
		fill(p, n, made);
		write_all(p, n);
	}
}

/* by_constant goes through the memory again and again. */
static void by_constant(char *p)
{
	size_t n, at;

	for (; (n = more()); made += n) {
		at = made % ONCE;
		if (n > ONCE - at)
			n = ONCE - at;
		splice_all(p + at, n);
	}
}

/* by_fresh gives up each region of the memory when it is full. What is huge comes and
 * goes as huge pages, so the region is one, at least. */
static void by_fresh(size_t region, int populate, int remap)
{
	size_t n, at = 0, size = (region + PAGE - 1) / PAGE * PAGE;
	char *p;

	if (huge)
		size = (size + HUGE - 1) / HUGE * HUGE;
	p = memory(size);
	for (; (n = more()); made += n) {
		if (n > size - at)
			n = size - at;
		if (populate && at == 0 && madvise(p, size, MADV_POPULATE_WRITE) < 0)
			die("MADV_POPULATE_WRITE");
		fill(p + at, n, made);
		splice_all(p + at, n);
		/* Two pieces in one page: its slot has what is there already, no more. */
		if ((at += n) < size)
			continue;
		at = 0;
		if (!remap) {
			if (madvise(p, size, MADV_DONTNEED) < 0)
				die("madvise");
			continue;
		}
		munmap(p, size);
		if (mmap(p, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != p)
			die("mmap");
		if (huge)
			madvise(p, size, MADV_HUGEPAGE);
	}
}

/* by_turns fills a ring of so many bytes. A piece is filled again when as much as the
 * pipe holds was put into it since. */
static void by_turns(size_t ring)
{
	char *p = memory(ring);
	size_t n, at = 0;

	for (; (n = more()); made += n) {
		if (n > ring - at)
			n = ring - at;
		fill(p + at, n, made);
		splice_all(p + at, n);
		at = (at + n) % ring;
	}
}

/* by_halves is by_turns with two halves, each given to the pipe as a whole. */
static void by_halves(size_t half)
{
	char *p = memory(2 * half);
	size_t n, m, turn = 0;

	for (;; turn ^= half) {
		for (n = 0; n < half && (m = more()); n += m, made += m) {
			if (m > half - n)
				m = half - n;
			fill(p + turn + n, m, made);
		}
		if (n == 0)
			return;
		splice_all(p + turn, n);
	}
}

static uint32_t sends, done, copied; /* counted as the kernel does */

/* completed reads what the kernel says of the sends. */
static void completed(void)
{
	char text[256];
	struct msghdr m = {.msg_control = text};
	struct sock_extended_err *e;
	struct cmsghdr *c;

	for (;;) {
		m.msg_controllen = sizeof text;
		if (recvmsg(DST, &m, MSG_ERRQUEUE) < 0) {
			if (errno == EAGAIN)
				return;
			die("recvmsg");
		}
		for (c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
			e = (struct sock_extended_err *)CMSG_DATA(c);
			if (e->ee_origin != SO_EE_ORIGIN_ZEROCOPY || e->ee_errno != 0)
				continue;
			/* For TCP they come in order. */
			if (e->ee_code & SO_EE_CODE_ZEROCOPY_COPIED)
				copied += e->ee_data - e->ee_info + 1;
			done = e->ee_data + 1;
		}
	}
}

/* await waits until at most so many sends are under way. */
static void await(uint32_t under_way)
{
	struct pollfd p = {DST, 0, 0}; /* POLLERR comes unasked */

	while (sends - done > under_way) {
		completed();
		if (sends - done > under_way && poll(&p, 1, -1) < 0)
			die("poll");
	}
}

/* by_zerocopy sends once, what is there, or what it fills. */
static void by_zerocopy(char *once)
{
	static uint32_t last[FLIGHT / PAGE + 2]; /* of a place, its last send, plus 1 */
	uint32_t places = FLIGHT / piece < 2 ? 2 : FLIGHT / piece, i = 0;
	size_t stride = (piece + PAGE - 1) / PAGE * PAGE, n, sent;
	char *ring = once ? once : memory(places * stride), *p;
	ssize_t m;

	for (; (n = more()); made += n, i = (i + 1) % places) {
		if (!once) {
			p = ring + i * stride;
			if (last[i] && (int32_t)(last[i] - done) > 0)
				await(sends - last[i]);
			fill(p, n, made);
		} else {
			p = ring + made % ONCE;
			if (n > ONCE - made % ONCE)
				n = ONCE - made % ONCE;
			if (sends - done >= places)
				await(places / 2);
		}
		for (sent = 0; sent < n; sent += m) {
			m = send(DST, p + sent, n - sent, MSG_ZEROCOPY);
			if (m < 0 && errno == ENOBUFS && sends != done) { /* net.core.optmem_max */
				await((sends - done) / 2);
				m = 0;
				continue;
			}
			if (m <= 0)
				die("send");
			sends++;
		}
		last[i] = sends;
	}
	await(0);
}

static int probe(void)
{
	int p[2], one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
	struct iovec v = {memory(PAGE), PAGE};

	open_pipe(p);
	if (vmsplice(p[1], &v, 1, 0) != PAGE)
		die("vmsplice");
	if (setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof one) < 0)
		die("SO_ZEROCOPY");
	return 0;
}

int main(int argc, char **argv)
{
	const char *way = argv[1];
	char *once = NULL, c;
	int room, one = 1;

	if (argc == 1)
		return probe();
	if (argc != 5)
		return 2;
	piece = atol(argv[2]);
	huge = atoi(argv[3]);
	want = atoll(argv[4]);
	if (piece < 8 || piece % 8 != 0)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	room = fcntl(DST, F_GETPIPE_SZ);
	if (strcmp(way, "constant") == 0 || strcmp(way, "same") == 0)
		fill(once = memory(ONCE), ONCE, 0);
	if (room < 0 && setsockopt(DST, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof one) < 0)
		die("SO_ZEROCOPY");
	if (read(CONTROL, &c, 1) != 1)
		return 1;
	start(control, NULL);
	if (strcmp(way, "write") == 0)
		by_write();
	else if (strcmp(way, "zerocopy") == 0 || strcmp(way, "same") == 0)
		by_zerocopy(once);
	else if (room < 0)
		return 2;
	else if (strcmp(way, "constant") == 0)
		by_constant(once);
	else if (strcmp(way, "fresh") == 0)
		by_fresh(piece, 0, 0);
	else if (strcmp(way, "late") == 0)
		by_fresh(HUGE, 0, 0);
	else if (strcmp(way, "populate") == 0)
		by_fresh(piece, 1, 0);
	else if (strcmp(way, "remap") == 0)
		by_fresh(piece, 0, 1);
	else if (strcmp(way, "double") == 0)
		by_halves(room);
	else if (strcmp(way, "ring") == 0)
		by_turns(room + piece);
	else
		return 2;
	if (sends > 0) {
		printf("%u sends, %u copied\n", sends, copied);
		fflush(stdout);
	}
	shutdown(DST, SHUT_WR);
	close(DST);
	for (;;)
		pause();
}
