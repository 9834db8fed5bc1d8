/* relay: a bad line between two devices. Frames go from one to the other and back, whole, with their offloads; of the
 * TCP segments among them some are lost, sent twice, or held back for some milliseconds, so that others overtake.
 *
 *   relay DEVICE DEVICE --loss N --duplicate N --reorder N --seed N --seconds N    (N of 1000)
 *
 * With --by-flow the seed, the client's port (10000 or above), the direction and the segment's number in it decide what
 * becomes of it: whatever others do meanwhile, the same conversation meets the same losses.
 *
 * Says "ready", runs until SIGTERM or the seconds are over, and then prints what it did. */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAME_MAX (80u << 10)
#define HELD_MOST 64u

struct held {
	uint64_t until; /* milliseconds; 0: the place is free */
	int to;
	size_t length;
	uint8_t *data;
};

static struct {
	unsigned loss, duplicate, reorder;
	uint64_t random, seconds;
	uint64_t passed, lost, doubled, late, unsent;
	struct held held[HELD_MOST];
	bool by_flow;
	uint64_t seed;
	uint32_t numbers[2][65536]; /* segments so far, by direction and port */
} relay = {.random = 1, .seconds = 600};

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
	(void)number;
	stopped = 1;
}

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* xorshift64* (Vigna 2016): the same seed gives the same line. */
static unsigned below(unsigned limit)
{
	relay.random ^= relay.random >> 12;
	relay.random ^= relay.random << 25;
	relay.random ^= relay.random >> 27;
	return (unsigned)((relay.random * 0x2545f4914f6cdd1du >> 33) % limit);
}

/* The client's port of a TCP segment; 0: there is none. */
static unsigned client_port(const uint8_t *frame)
{
	const uint8_t *ip = frame + sizeof(struct virtio_net_hdr) + ETH_HLEN;
	const uint8_t *tcp = ip + (*ip >> 4 == 4 ? (*ip & 15) * 4 : 40);
	unsigned source = (unsigned)tcp[0] << 8 | tcp[1], destination = (unsigned)tcp[2] << 8 | tcp[3];
	return source >= 10000 ? source : destination >= 10000 ? destination : 0;
}

/* The random numbers of this segment begin here (the finaliser of MurmurHash3). */
static void seed_segment(const uint8_t *frame, unsigned direction)
{
	unsigned port = client_port(frame);
	uint64_t mixed = relay.seed << 40 ^ (uint64_t)port << 24 ^ (uint64_t)direction << 23 ^ relay.numbers[direction][port]++;
	mixed = (mixed ^ mixed >> 33) * 0xff51afd7ed558ccdu;
	mixed = (mixed ^ mixed >> 33) * 0xc4ceb9fe1a85ec53u;
	relay.random = (mixed ^ mixed >> 33) | 1;
}

static int open_device(const char *device)
{
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)), one = 1, room = 32 << 20;
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(device)};
	struct packet_mreq all = {.mr_ifindex = address.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
	if (fd < 0 || !address.sll_ifindex || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		err(1, "%s", device);
	return fd;
}

static bool is_tcp(const uint8_t *frame, size_t length)
{
	const uint8_t *data = frame + sizeof(struct virtio_net_hdr);
	if (length < sizeof(struct virtio_net_hdr) + ETH_HLEN + 40)
		return false;
	if (data[12] == 0x08 && data[13] == 0x00)
		return data[ETH_HLEN + 9] == IPPROTO_TCP;
	return data[12] == 0x86 && data[13] == 0xdd && data[ETH_HLEN + 6] == IPPROTO_TCP;
}

static void pass(int to, const uint8_t *frame, size_t length)
{
	while (send(to, frame, length, 0) < 0) {
		if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR) {
			relay.unsent++;
			return;
		}
	}
	relay.passed++;
}

static bool hold(int to, const uint8_t *frame, size_t length)
{
	for (size_t i = 0; i < HELD_MOST; i++) {
		struct held *held = &relay.held[i];
		if (held->until)
			continue;
		held->data = malloc(length);
		if (!held->data)
			return false;
		memcpy(held->data, frame, length);
		held->to = to;
		held->length = length;
		held->until = now_ms() + 1 + below(8);
		return true;
	}
	return false;
}

static void release(bool all)
{
	uint64_t now = now_ms();
	for (size_t i = 0; i < HELD_MOST; i++) {
		struct held *held = &relay.held[i];
		if (!held->until || (!all && held->until > now))
			continue;
		pass(held->to, held->data, held->length);
		free(held->data);
		held->until = 0;
	}
}

static void take(int from, int to, unsigned direction)
{
	static uint8_t frame[FRAME_MAX];
	ssize_t length = recv(from, frame, sizeof(frame), MSG_DONTWAIT);
	if (length <= 0)
		return;
	if (!is_tcp(frame, (size_t)length)) {
		pass(to, frame, (size_t)length);
		return;
	}
	if (relay.by_flow)
		seed_segment(frame, direction);
	if (below(1000) < relay.loss) {
		relay.lost++;
		return;
	}
	if (below(1000) < relay.reorder && hold(to, frame, (size_t)length)) {
		relay.late++;
		return;
	}
	pass(to, frame, (size_t)length);
	if (below(1000) < relay.duplicate) {
		relay.doubled++;
		pass(to, frame, (size_t)length);
	}
}

static void read_options(int argc, char **argv)
{
	static const struct option options[] = {{"loss", required_argument, NULL, 'l'},
						{"duplicate", required_argument, NULL, 'd'},
						{"reorder", required_argument, NULL, 'r'},
						{"seed", required_argument, NULL, 's'},
						{"seconds", required_argument, NULL, 't'},
						{"by-flow", no_argument, NULL, 'f'},
						{0}};
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
		unsigned long value = strtoul(optarg ? optarg : "0", NULL, 10);
		switch (option) {
		case 'l': relay.loss = (unsigned)value; break;
		case 'd': relay.duplicate = (unsigned)value; break;
		case 'r': relay.reorder = (unsigned)value; break;
		case 's':
			relay.random = value * 2 + 1;
			relay.seed = value;
			break;
		case 'f': relay.by_flow = true; break;
		case 't': relay.seconds = value; break;
		default:
			errx(2, "usage: relay DEVICE DEVICE [--loss N] [--duplicate N] [--reorder N] [--seed N] "
				"[--seconds N] [--by-flow]");
		}
	}
	if (optind + 2 != argc)
		errx(2, "relay takes two devices");
}

int main(int argc, char **argv)
{
	read_options(argc, argv);
	signal(SIGTERM, on_signal);
	int ends[2] = {open_device(argv[optind]), open_device(argv[optind + 1])};
	struct pollfd polls[2] = {{.fd = ends[0], .events = POLLIN}, {.fd = ends[1], .events = POLLIN}};
	puts("ready");
	fflush(stdout);
	for (uint64_t end = now_ms() + relay.seconds * 1000; !stopped && now_ms() < end;) {
		if (poll(polls, 2, 1) > 0)
			for (int i = 0; i < 2; i++)
				if (polls[i].revents)
					take(ends[i], ends[1 - i], (unsigned)i);
		release(false);
	}
	release(true);
	printf("passed %llu lost %llu twice %llu late %llu unsent %llu\n", (unsigned long long)relay.passed,
	       (unsigned long long)relay.lost, (unsigned long long)relay.doubled, (unsigned long long)relay.late,
	       (unsigned long long)relay.unsent);
	return 0;
}
