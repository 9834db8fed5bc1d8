/* flood: sends minimal TCP SYNs or UDP datagrams from an AF_PACKET socket, as fast as it goes.
 *
 * Bounded by --count and --seconds, whichever ends first, and by SIGTERM. What
 * came through is counted by the receiver's nftables (tests/netns/harness/flood.py),
 * which loses nothing. Prints the number of packets that went out. */

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define PAYLOAD 8

struct options {
	const char *device;
	uint8_t mac[ETH_ALEN];
	int family;
	uint8_t from[16], to[16];
	uint32_t sources, first_port, last_port;
	bool tcp, shuffled; /* shuffled: sources and their ports in no order */
	uint64_t count, seconds, rate;
};

struct frame {
	uint8_t data[128];
	size_t length;
};

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
	(void)number;
	stopped = 1;
}

static uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint32_t sum(uint32_t total, const void *data, size_t length)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i + 1 < length; i += 2)
		total += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
	if (length % 2)
		total += (uint32_t)(bytes[length - 1] << 8);
	return total;
}

static uint16_t fold(uint32_t total)
{
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return htons((uint16_t)~total);
}

/* The source address number i: from + i, in the last four bytes (IPv6: of the network half, so that
 * each is a /64 of its own). */
static void source_address(const struct options *options, uint64_t i, uint8_t *ret_address)
{
	size_t at = options->family == AF_INET ? 0 : 4;
	uint32_t word;

	memcpy(ret_address, options->from, 16);
	memcpy(&word, ret_address + at, 4);
	word = htonl(ntohl(word) + (uint32_t)(i % options->sources));
	memcpy(ret_address + at, &word, 4);
}

static size_t put_network(const struct options *options, uint64_t i, uint8_t *packet, size_t body, uint32_t *ret_pseudo)
{
	uint8_t from[16], protocol = options->tcp ? IPPROTO_TCP : IPPROTO_UDP;
	size_t size = options->family == AF_INET ? 4 : 16;

	source_address(options, i, from);
	*ret_pseudo = sum(sum(0, from, size), options->to, size) + protocol + (uint32_t)body;
	if (options->family == AF_INET) {
		struct iphdr header = { .version = 4, .ihl = 5, .ttl = 64, .protocol = protocol };

		header.tot_len = htons((uint16_t)(sizeof(header) + body));
		memcpy(&header.saddr, from, 4);
		memcpy(&header.daddr, options->to, 4);
		header.check = fold(sum(0, &header, sizeof(header)));
		memcpy(packet, &header, sizeof(header));
		return sizeof(header);
	}
	struct ip6_hdr header = { .ip6_flow = htonl(6u << 28), .ip6_plen = htons((uint16_t)body), .ip6_nxt = protocol,
				  .ip6_hlim = 64 };

	memcpy(&header.ip6_src, from, 16);
	memcpy(&header.ip6_dst, options->to, 16);
	memcpy(packet, &header, sizeof(header));
	return sizeof(header);
}

/* Of any two numbers that are near each other, two that are not (the finaliser of MurmurHash3). */
static uint64_t scatter(uint64_t i)
{
	i = (i ^ i >> 33) * 0xff51afd7ed558ccdu;
	i = (i ^ i >> 33) * 0xc4ceb9fe1a85ec53u;
	return i ^ i >> 33;
}

static void make_frame(const struct options *options, const uint8_t *own_mac, uint64_t i, struct frame *ret_frame)
{
	uint32_t ports = options->last_port - options->first_port + 1, pseudo;
	uint16_t target = htons((uint16_t)(options->first_port + i % ports));
	uint64_t who = options->shuffled ? scatter(i) : i;
	uint16_t source = htons((uint16_t)(1024 + (options->shuffled ? who >> 32 : i / ports / options->sources) % 64000));
	uint16_t type = htons(options->family == AF_INET ? ETH_P_IP : ETH_P_IPV6);
	size_t body = options->tcp ? sizeof(struct tcphdr) : sizeof(struct udphdr) + PAYLOAD;
	uint8_t *at = ret_frame->data;

	memset(ret_frame, 0, sizeof(*ret_frame));
	memcpy(at, options->mac, ETH_ALEN);
	memcpy(at + ETH_ALEN, own_mac, ETH_ALEN);
	memcpy(at + 2 * ETH_ALEN, &type, 2);
	at += ETH_HLEN;
	at += put_network(options, who, at, body, &pseudo);
	if (options->tcp) {
		struct tcphdr header = { .source = source, .dest = target, .seq = htonl((uint32_t)i * 2654435761u), .doff = 5,
					 .syn = 1, .window = htons(64240) };

		header.check = fold(sum(pseudo, &header, sizeof(header)));
		memcpy(at, &header, sizeof(header));
	} else {
		struct udphdr header = { .source = source, .dest = target, .len = htons((uint16_t)body) };

		header.check = fold(sum(sum(pseudo, &header, sizeof(header)), "flooding", PAYLOAD));
		memcpy(at, &header, sizeof(header));
		memcpy(at + sizeof(header), "flooding", PAYLOAD);
	}
	ret_frame->length = (size_t)(at - ret_frame->data) + body;
}

static int open_device(const struct options *options, uint8_t *ret_mac)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), yes = 1;
	struct sockaddr_ll place = { .sll_family = AF_PACKET, .sll_protocol = 0 };
	struct ifreq request = { 0 };

	if (fd < 0)
		return -errno;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", options->device);
	place.sll_ifindex = (int)if_nametoindex(options->device);
	if (!place.sll_ifindex || ioctl(fd, SIOCGIFHWADDR, &request) ||
	    bind(fd, (struct sockaddr *)&place, sizeof(place)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof(yes))) {
		int error = -errno;

		close(fd);
		return error;
	}
	memcpy(ret_mac, request.ifr_hwaddr.sa_data, ETH_ALEN);
	return fd;
}

/* Let time pass until the sender is not ahead of its rate. */
static void keep_rate(const struct options *options, uint64_t start, uint64_t sent)
{
	uint64_t due = options->rate ? start + sent * 1000000000u / options->rate : 0;
	struct timespec until = { .tv_sec = (time_t)(due / 1000000000u), .tv_nsec = (long)(due % 1000000000u) };

	if (due > now_ns())
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static uint64_t send_all(const struct options *options, int fd, const uint8_t *own_mac)
{
	uint64_t sent = 0, start = now_ns(), end = start + options->seconds * 1000000000u;
	uint32_t batch = options->rate && options->rate < 10000 ? 1 : BATCH;
	struct frame frames[BATCH];
	struct iovec parts[BATCH];
	struct mmsghdr messages[BATCH];

	memset(messages, 0, sizeof(messages));
	while (!stopped && sent < options->count && now_ns() < end) {
		uint32_t room = options->count - sent < batch ? (uint32_t)(options->count - sent) : batch;
		int done;

		for (uint32_t i = 0; i < room; i++) {
			make_frame(options, own_mac, sent + i, &frames[i]);
			parts[i] = (struct iovec){ frames[i].data, frames[i].length };
			messages[i].msg_hdr.msg_iov = &parts[i];
			messages[i].msg_hdr.msg_iovlen = 1;
		}
		done = sendmmsg(fd, messages, room, 0);
		if (done < 0 && errno != ENOBUFS && errno != EINTR && errno != EAGAIN) {
			perror("flood: sendmmsg");
			break;
		}
		sent += done > 0 ? (uint64_t)done : 0;
		keep_rate(options, start, sent);
	}
	return sent;
}

static int parse_addresses(struct options *options, const char *from, const char *to)
{
	options->family = strchr(to, ':') ? AF_INET6 : AF_INET;
	return inet_pton(options->family, from, options->from) == 1 && inet_pton(options->family, to, options->to) == 1 ?
		       0 : -EINVAL;
}

static int parse(int argc, char **argv, struct options *ret_options)
{
	static const struct option names[] = {
		{ "device", 1, NULL, 'd' }, { "mac", 1, NULL, 'm' }, { "from", 1, NULL, 'f' }, { "sources", 1, NULL, 'S' },
		{ "to", 1, NULL, 't' }, { "ports", 1, NULL, 'p' }, { "protocol", 1, NULL, 'P' }, { "count", 1, NULL, 'c' },
		{ "seconds", 1, NULL, 's' }, { "rate", 1, NULL, 'r' }, { "shuffled", 0, NULL, 'R' },
		{ NULL, 0, NULL, 0 },
	};
	struct options options = { .sources = 1, .count = 1000000, .seconds = 60, .first_port = 9, .last_port = 9 };
	const char *from = NULL, *to = NULL;
	uint8_t *mac = options.mac;
	int option, known = 0;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (option) {
		case 'd': options.device = optarg; break;
		case 'm':
			known = sscanf(optarg, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", &mac[0], &mac[1], &mac[2], &mac[3],
				       &mac[4], &mac[5]);
			break;
		case 'f': from = optarg; break;
		case 'S': options.sources = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 't': to = optarg; break;
		case 'p':
			if (sscanf(optarg, "%u-%u", &options.first_port, &options.last_port) == 1)
				options.last_port = options.first_port;
			break;
		case 'P': options.tcp = !strcmp(optarg, "tcp"); break;
		case 'c': options.count = strtoull(optarg, NULL, 10); break;
		case 's': options.seconds = strtoull(optarg, NULL, 10); break;
		case 'R': options.shuffled = true; break;
		case 'r': options.rate = strtoull(optarg, NULL, 10); break;
		default: return -EINVAL;
		}
	}
	if (!options.device || known != ETH_ALEN || !from || !to || !options.sources ||
	    options.last_port < options.first_port || options.last_port > 65535 || parse_addresses(&options, from, to))
		return -EINVAL;
	*ret_options = options;
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };
	uint8_t own_mac[ETH_ALEN];
	struct options options;
	int fd;

	if (parse(argc, argv, &options)) {
		fprintf(stderr, "usage: flood --device D --mac TO --from ADDR [--sources N] --to ADDR --ports N[-M]\n"
				"             [--protocol tcp|udp] [--count N] [--seconds N] [--rate N] [--shuffled]\n");
		return 2;
	}
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	fd = open_device(&options, own_mac);
	if (fd < 0) {
		fprintf(stderr, "flood: %s: %s\n", options.device, strerror(-fd));
		return 1;
	}
	printf("%llu packets sent\n", (unsigned long long)send_all(&options, fd, own_mac));
	close(fd);
	return 0;
}
