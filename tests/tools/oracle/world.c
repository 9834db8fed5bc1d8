/* World: namespaces, veth pairs, addresses and routes as the model describes
 * them, and the raw sockets at their outer ends. The edge's ends resolve no
 * neighbours, so that nothing has to answer for the nodes. */
#include "world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BARRIER_ETHERTYPE 0x88b5 /* IEEE 802.1: local experimental */
#define BARRIER_ROUNDS 4         /* a packet passes at most three queues between its ends */
#define SETTLE_MS 10000
#define RECEIVE_BUFFER (64 << 20)

int world_run(const char *command, const char *text)
{
	FILE *pipe = popen(command, "we");
	if (!pipe)
		return -EIO;
	fputs(text, pipe);
	return pclose(pipe) == 0 ? 0 : -EIO;
}

static int write_sysctl(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t written = write(fd, value, strlen(value));
	int r = written < 0 ? -errno : 0;
	close(fd);
	return r;
}

static int new_namespace(int *ret_fd)
{
	if (unshare(CLONE_NEWNET) < 0)
		return -errno;
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static int add_leg(struct world *world, enum place_kind kind, const struct tunnel *tunnel, const char *device)
{
	if (!device)
		return 0;
	world->legs[world->leg_count] = (struct leg){
		.kind = kind,
		.tunnel = tunnel,
		.device = device,
		.mac = {2, 0, 0, 0, 1, (uint8_t)world->leg_count},
	};
	world->leg_count++;
	return 0;
}

static int plan_legs(struct world *world, const struct model *model, struct arena *arena)
{
	world->legs = arena_array(arena, model->tunnel_count + 3, struct leg);
	if (!world->legs)
		return -ENOMEM;
	add_leg(world, PLACE_SELF, NULL, "tap");
	add_leg(world, PLACE_WAN, NULL, model->wan.device);
	add_leg(world, PLACE_LAN, NULL, model->lan.device);
	for (size_t i = 0; i < model->tunnel_count; i++)
		add_leg(world, PLACE_TUNNEL, &model->tunnels[i], model->tunnels[i].name);
	return 0;
}

/* In the world: its end of each pair is called out0, out1, ... */
static int make_pairs(const struct world *world)
{
	char text[8192];
	size_t used = 0;
	for (size_t i = 0; i < world->leg_count && used < sizeof(text); i++) {
		const struct leg *leg = &world->legs[i];
		used += (size_t)snprintf(
			text + used, sizeof(text) - used,
			"link add out%zu type veth peer name %s address 02:00:00:00:01:%02x netns /proc/%d/fd/%d\n"
			"link set out%zu up\n",
			i, leg->device, leg->mac[5], getpid(), world->edge_ns, i);
	}
	return used < sizeof(text) ? world_run("ip -batch -", text) : -E2BIG;
}

static void print_routes(FILE *out, const struct prefix *prefixes, size_t count, const char *device)
{
	char text[PREFIX_TEXT_MAX];
	for (size_t i = 0; device && i < count; i++) {
		struct prefix network = prefix_of(&prefixes[i].addr, prefixes[i].length);
		fprintf(out, "route replace %s dev %s\n", prefix_format(&network, text), device);
	}
}

static void print_address(FILE *out, const struct addr *addr, uint8_t length, const char *device)
{
	char text[ADDR_TEXT_MAX];
	fprintf(out, "addr add %s/%u dev %s%s\n", addr_format(addr, text), length, device,
		addr->family == FAMILY_V6 ? " nodad" : "");
}

/* In the edge: addresses and routes. */
static int furnish(const struct world *world, const struct model *model, const struct settings *settings)
{
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);
	if (!out)
		return -ENOMEM;
	fputs("link set lo up\n", out);
	for (size_t i = 0; i < world->leg_count; i++)
		fprintf(out, "link set %s arp off\nlink set %s up\n", world->legs[i].device, world->legs[i].device);
	fputs("addr add " SETTINGS_TAP_V4 "/30 dev tap\naddr add " SETTINGS_TAP_V6 "/64 dev tap nodad\n", out);
	for (size_t i = 0; i < settings->address_count; i++) {
		const struct own_address *own = &settings->addresses[i];
		print_address(out, &own->addr, own->length,
			      own->leg == PLACE_WAN ? model->wan.device : model->lan.device);
	}
	if (model->wan.device)
		fprintf(out, "route add 0.0.0.0/0 dev %s\nroute add ::/0 dev %s\n", model->wan.device,
			model->wan.device);
	print_routes(out, model->wan.networks, model->wan.network_count, model->wan.device);
	print_routes(out, model->lan.networks, model->lan.network_count, model->lan.device);
	for (size_t i = 0; i < model->tunnel_count; i++) {
		const struct tunnel *tunnel = &model->tunnels[i];
		for (size_t j = 0; j < tunnel->address_count; j++)
			print_address(out, &tunnel->addresses[j].addr, tunnel->addresses[j].length, tunnel->name);
		for (size_t j = 0; j < tunnel->peer_count; j++)
			print_routes(out, tunnel->peers[j].allowed_ips, tunnel->peers[j].allowed_ip_count,
				     tunnel->name);
	}
	fclose(out);
	int r = world_run("ip -batch -", text);
	if (r < 0)
		fprintf(stderr, "ip -batch:\n%s", text);
	free(text);
	return r;
}

/* Refusals are counted here one by one: no rate limit may swallow one. */
static void unlimit_errors(void)
{
	write_sysctl("/proc/sys/net/ipv4/icmp_ratemask", "0");
	write_sysctl("/proc/sys/net/ipv4/icmp_ratelimit", "0");
	write_sysctl("/proc/sys/net/ipv6/icmp/ratelimit", "0");
	write_sysctl("/proc/sys/net/ipv6/icmp/ratemask", "0");
}

static int raw_socket(uint16_t protocol, int ifindex, int *ret_fd)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(protocol));
	if (fd < 0)
		return -errno;
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = ifindex};
	if (ifindex && bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int r = -errno;
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

/* In the world. */
static int open_outside(struct world *world)
{
	int one = 1, buffer = RECEIVE_BUFFER;
	for (size_t i = 0; i < world->leg_count; i++) {
		char name[IF_NAMESIZE];
		snprintf(name, sizeof(name), "out%u", (unsigned)i % 1000);
		world->legs[i].ifindex = (int)if_nametoindex(name);
	}
	int r = raw_socket(0, 0, &world->inject);
	if (r == 0)
		r = raw_socket(ETH_P_ALL, 0, &world->capture);
	if (r == 0)
		r = raw_socket(BARRIER_ETHERTYPE, world->legs[0].ifindex, &world->tap_world);
	if (r < 0)
		return r;
	if (setsockopt(world->capture, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) < 0 ||
	    setsockopt(world->capture, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)) < 0)
		return -errno;
	return 0;
}

static int stay_on_one_cpu(void)
{
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET((size_t)sched_getcpu(), &one);
	return sched_setaffinity(0, sizeof(one), &one) < 0 ? -errno : 0;
}

static int enter(int ns)
{
	return setns(ns, CLONE_NEWNET) < 0 ? -errno : 0;
}

static int build(struct world *world, const struct model *model, const struct settings *settings)
{
	int r = stay_on_one_cpu();
	if (r == 0)
		r = new_namespace(&world->edge_ns);
	if (r < 0)
		return r;
	unlimit_errors();
	r = new_namespace(&world->world_ns);
	if (r < 0)
		return r;
	write_sysctl("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1"); /* it only looks on */
	write_sysctl("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	r = make_pairs(world);
	if (r == 0)
		r = open_outside(world);
	if (r == 0)
		r = enter(world->edge_ns);
	if (r == 0)
		r = furnish(world, model, settings);
	if (r == 0)
		r = raw_socket(BARRIER_ETHERTYPE, (int)if_nametoindex("tap"), &world->tap_edge);
	return r;
}

int world_open(const struct model *model, const struct settings *settings, struct arena *arena, struct world *ret_world)
{
	struct world world = {
		.inject = -1, .capture = -1, .tap_edge = -1, .tap_world = -1, .edge_ns = -1, .world_ns = -1};
	int r = plan_legs(&world, model, arena);
	if (r == 0)
		r = build(&world, model, settings);
	if (r < 0) {
		world_close(&world);
		return r;
	}
	*ret_world = world;
	return 0;
}

void world_close(struct world *world)
{
	int *fds[] = {&world->inject,    &world->capture, &world->tap_edge,
		      &world->tap_world, &world->edge_ns, &world->world_ns};
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

int world_watch(void)
{
	return world_run("nft -f -", "table ip oracle {\n chain watch {\n type filter hook input priority 300\n"
				     " iifname \"lo\" accept\n dup to 198.18.255.2 device \"tap\"\n drop\n }\n}\n"
				     "table ip6 oracle {\n chain watch {\n type filter hook input priority 300\n"
				     " iifname \"lo\" accept\n dup to 2001:db8:ffff::2 device \"tap\"\n drop\n }\n}\n");
}

const struct leg *world_leg(const struct world *world, enum place_kind kind, const struct tunnel *tunnel)
{
	for (size_t i = 0; i < world->leg_count; i++)
		if (world->legs[i].kind == kind && world->legs[i].tunnel == tunnel)
			return &world->legs[i];
	return NULL;
}

int world_send(const struct world *world, const struct leg *leg, const uint8_t *frame, size_t length)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = leg->ifindex, .sll_halen = 6};
	memcpy(to.sll_addr, leg->mac, 6);
	ssize_t sent = sendto(world->inject, frame, length, 0, (struct sockaddr *)&to, sizeof(to));
	return sent < 0 ? -errno : 0;
}

/* One frame from here to there; returns once it has arrived. */
static int pass_barrier(int from, int to, uint32_t number)
{
	struct {
		struct ethhdr ethernet;
		uint32_t number;
		uint8_t padding[44];
	} __attribute__((packed)) frame =
		{
			.ethernet = {.h_dest = {255, 255, 255, 255, 255, 255}, .h_proto = htons(BARRIER_ETHERTYPE)},
			.number = number,
		},
				  seen;
	if (send(from, &frame, sizeof(frame), 0) < 0)
		return -errno;
	for (;;) {
		struct sockaddr_ll source;
		socklen_t size = sizeof(source);
		ssize_t length = recvfrom(to, &seen, sizeof(seen), 0, (struct sockaddr *)&source, &size);
		if (length == (ssize_t)sizeof(seen) && source.sll_pkttype != PACKET_OUTGOING && seen.number == number)
			return 0;
		struct pollfd wait = {.fd = to, .events = POLLIN};
		if (length < 0 && poll(&wait, 1, SETTLE_MS) <= 0)
			return -ETIMEDOUT;
	}
}

int world_settle(const struct world *world)
{
	for (uint32_t i = 0; i < BARRIER_ROUNDS; i++) {
		bool out = i % 2 == 0;
		int r = pass_barrier(out ? world->tap_edge : world->tap_world, out ? world->tap_world : world->tap_edge,
				     i);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_losses(const struct world *world)
{
	struct tpacket_stats stats = {0};
	socklen_t size = sizeof(stats);
	if (getsockopt(world->capture, SOL_PACKET, PACKET_STATISTICS, &stats, &size) < 0)
		return -errno;
	return stats.tp_drops > 0 ? -EOVERFLOW : 0;
}

int world_collect(const struct world *world, struct captured *ret_captured)
{
	for (;;) {
		uint8_t frame[2048];
		struct sockaddr_ll source;
		socklen_t size = sizeof(source);
		ssize_t length = recvfrom(world->capture, frame, sizeof(frame), 0, (struct sockaddr *)&source, &size);
		if (length < 0)
			return errno == EAGAIN ? check_losses(world) : -errno;
		struct captured captured = {0};
		for (size_t i = 0; i < world->leg_count; i++)
			if (world->legs[i].ifindex == source.sll_ifindex)
				captured.leg = &world->legs[i];
		if (!captured.leg || !frame_parse(frame, (size_t)length, &captured.sighting))
			continue;
		*ret_captured = captured;
		return 1;
	}
}
