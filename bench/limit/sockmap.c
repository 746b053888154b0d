/*
 * sockmap relays within the kernel: a BPF program redirects every piece that
 * arrives at one socket of a tunnel to the other one. The process opens and closes
 * connections and moves nothing: the program runs in the softirq of whoever
 * delivers, and a thread of the kernel sends (sk_psock_backlog in a kworker). So its
 * CPU time is next to none, and what the relay costs is seen in that of all processors.
 *
 *	sockmap PORT ADDRESS -1   relays, as relay.h has it, as root
 *	sockmap                   says whether this kernel would do it
 *
 * What comes faster than the other side takes it is acknowledged all the same, and
 * stays in the kernel's memory without a limit: a sender is not held up by a slow
 * receiver. A connection whose end has come before it is joined is refused by
 * the map (EOPNOTSUPP), and ends the process.
 */
#include "relay.h"
#include <errno.h>
#include <linux/bpf.h>
#include <linux/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/syscall.h>

static int bpf(int command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof *attr);
}

/* must returns what a call did, and ends the process with the reason if it failed. */
static int must(const char *what, int n)
{
	if (n < 0) {
		fprintf(stderr, "%s: %s (errno %d)\n", what, strerror(errno), errno);
		exit(1);
	}
	return n;
}

static int new_map(void)
{
	union bpf_attr attr = {.map_type = BPF_MAP_TYPE_SOCKMAP, .key_size = 4, .value_size = 4, .max_entries = 2};

	return must("BPF_MAP_CREATE of a sockmap", bpf(BPF_MAP_CREATE, &attr));
}

static void put(int map, __u32 key, __u32 socket)
{
	union bpf_attr attr = {.map_fd = map, .key = (__u64)(unsigned long)&key, .value = (__u64)(unsigned long)&socket};

	must("BPF_MAP_UPDATE_ELEM of a socket", bpf(BPF_MAP_UPDATE_ELEM, &attr));
}

/* load returns a program that sends what arrives at the socket of the local port
 * to map[1], and all else to map[0]. */
static int load(int map, int port)
{
	struct bpf_insn code[] = {
		/* r4 = skb->local_port, in host order; skb is r1 and stays there */
		{.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 4, .src_reg = 1, .off = offsetof(struct __sk_buff, local_port)},
		/* r3 = r4 == port */
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = 0},
		{.code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = 4, .off = 1, .imm = port},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = 1},
		/* r2 = map, of 64 bits in two instructions */
		{.code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = 2, .src_reg = BPF_PSEUDO_MAP_FD, .imm = map},
		{.code = 0},
		/* return bpf_sk_redirect_map(skb, map, r3, 0), the flag for: to be sent */
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 4, .imm = 0},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_sk_redirect_map},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_SK_SKB,
		.expected_attach_type = BPF_SK_SKB_STREAM_VERDICT,
		.insns = (__u64)(unsigned long)code,
		.insn_cnt = sizeof code / sizeof *code,
		.license = (__u64)(unsigned long)"GPL",
	};

	return must("BPF_PROG_LOAD of an sk_skb", bpf(BPF_PROG_LOAD, &attr));
}

static void attach(int map, int program)
{
	union bpf_attr attr = {.target_fd = map, .attach_bpf_fd = program, .attach_type = BPF_SK_SKB_STREAM_VERDICT};

	must("BPF_PROG_ATTACH to a sockmap", bpf(BPF_PROG_ATTACH, &attr));
}

/* join makes the kernel relay between the sockets of a tunnel.
 *
 * Two maps, because a socket begins to redirect when it is put into a map that has
 * a program, and a piece is dropped if the other socket is not there: both are in
 * the map they are looked up in before the first is in the one with the program.
 *
 * Bytes that have come before that are still in the receive queue. They are handed
 * to the program, before those that follow, when the socket next says that it has
 * some; setting the low-water mark makes it say so. (To read them here, and write
 * them, would be a race with the program for the ones that come meanwhile.) */
static void join(struct tunnel *t)
{
	struct sockaddr_in own;
	socklen_t len = sizeof own;
	int to = new_map(), from = new_map(), program, one = 1;

	must("getsockname", getsockname(t->a, (struct sockaddr *)&own, &len));
	program = load(to, ntohs(own.sin_port));
	attach(from, program);
	put(to, 0, t->a);
	put(to, 1, t->b);
	put(from, 0, t->a);
	put(from, 1, t->b);
	must("SO_RCVLOWAT", setsockopt(t->a, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one));
	must("SO_RCVLOWAT", setsockopt(t->b, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one));
}

static struct tcp_info info(int socket)
{
	struct tcp_info i = {0};
	socklen_t len = sizeof i;

	must("TCP_INFO", getsockopt(socket, IPPROTO_TCP, TCP_INFO, &i, &len));
	return i;
}

/* move waits until a socket has had its end, and all that came before has been
 * written to the other one: an end that is sent earlier would cut that off. */
static void move(int from, int to)
{
	struct pollfd p = {.fd = from, .events = POLLRDHUP};
	__u64 came, gone;

	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
	for (;;) {
		struct tcp_info i = info(from), o = info(to);

		came = i.tcpi_bytes_received - 1; /* the end counts as one */
		gone = o.tcpi_bytes_sent - o.tcpi_bytes_retrans + o.tcpi_notsent_bytes;
		if (gone >= came || o.tcpi_state == BPF_TCP_CLOSE)
			break;
		usleep(1000);
	}
}

int main(int argc, char **argv)
{
	if (argc == 1) {
		int map = new_map();

		attach(map, load(map, 0));
		return 0;
	}
	if (argc != 4)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	start(watch, NULL);
	return serve(argv[1], argv[2], join);
}
