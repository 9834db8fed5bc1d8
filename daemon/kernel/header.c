/* Role main's side of the header-injection programs: opens what the loader
 * pinned, attaches it to devices, and reads what it counts. It loads nothing
 * and pins nothing (header_load.c does), and chooses no flow (nftables does). */
#include "header.h"

#include "../../rules/state/state.h"
#include "../bpf/flow.h"
#include "header_pins.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Behind the filters of others, so that an end of the chain here takes nothing from them. */
#define FILTER_PRIORITY 60909
#define FILTER_HANDLE 1

_Static_assert((int)HEADERS_COUNTERS == (int)FLOW_COUNTERS && (int)HEADERS_ICMP == (int)FLOW_ICMP &&
		       (int)HEADERS_DROP_SHAPE == (int)FLOW_DROP_SHAPE,
	       "the programs count in this order");

const char *const headers_counter_names[HEADERS_COUNTERS] = {
	[HEADERS_SENT] = "sent",
	[HEADERS_AGAIN] = "again",
	[HEADERS_FLOWS] = "flows",
	[HEADERS_EXPIRED] = "expired",
	[HEADERS_DERIVED] = "derived",
	[HEADERS_RESET_HELD] = "reset-held",
	[HEADERS_ICMP] = "icmp",
	[HEADERS_DROP_FULL] = "drop-full",
	[HEADERS_DROP_STATE] = "drop-state",
	[HEADERS_DROP_SHAPE] = "drop-shape",
};

const char *const headers_state_names[HEADERS_DELIVERED + 1] = {
	[HEADERS_WAITING] = "waiting", [HEADERS_UNACKNOWLEDGED] = "unacknowledged", [HEADERS_DELIVERED] = "delivered"};

const char *const header_program_names[HEADER_PROGRAMS] = {
	[HEADER_TO_NODE_ETHER] = "to_node_ether",
	[HEADER_TO_NODE_PLAIN] = "to_node_plain",
	[HEADER_FROM_NODE_ETHER] = "from_node_ether",
	[HEADER_FROM_NODE_PLAIN] = "from_node_plain",
};

const char *const header_map_names[HEADER_MAPS] = {
	[HEADER_MAP_FLOWS] = "flows",
	[HEADER_MAP_SWEEP] = "sweep",
	[HEADER_MAP_COUNTERS] = "counters",
	[HEADER_MAP_USAGE] = "usage",
};

struct headers {
	char folder[PATH_MAX];
	int programs[HEADER_PROGRAMS];
	__u32 ids[HEADER_PROGRAMS];
	int maps[HEADER_MAPS];
};

int header_pin_path(const char *folder, const char *name, const char *suffix, char *path)
{
	int length = snprintf(path, PATH_MAX, "%s/%s%s", folder, name, suffix);
	return length < 0 || length >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static int pin_open(const char *folder, const char *name, const char *suffix)
{
	char path[PATH_MAX];
	int r = header_pin_path(folder, name, suffix, path);
	if (r < 0)
		return r;
	int fd = bpf_obj_get(path);
	return fd < 0 ? -errno : fd;
}

static int program_id(int fd, __u32 *ret_id)
{
	struct bpf_prog_info info = {0};
	__u32 size = sizeof(info);
	if (bpf_obj_get_info_by_fd(fd, &info, &size) < 0)
		return -errno;
	*ret_id = info.id;
	return 0;
}

static int open_all(struct headers *headers)
{
	for (int i = 0; i < HEADER_PROGRAMS; i++) {
		headers->programs[i] = pin_open(headers->folder, header_program_names[i], "");
		if (headers->programs[i] < 0)
			return headers->programs[i];
		int r = program_id(headers->programs[i], &headers->ids[i]);
		if (r < 0)
			return r;
	}
	for (int i = 0; i < HEADER_MAPS; i++) {
		headers->maps[i] = pin_open(headers->folder, header_map_names[i], HEADER_MAP_SUFFIX);
		if (headers->maps[i] < 0)
			return headers->maps[i];
	}
	return 0;
}

int headers_open(const char *runtime_dir, struct headers **ret_headers)
{
	libbpf_set_print(NULL);
	cleanup_headers struct headers *headers = calloc(1, sizeof(*headers));
	if (!headers)
		return -ENOMEM;
	for (int i = 0; i < HEADER_PROGRAMS; i++)
		headers->programs[i] = -1;
	for (int i = 0; i < HEADER_MAPS; i++)
		headers->maps[i] = -1;
	int r = header_pin_path(runtime_dir, HEADER_FOLDER, "", headers->folder);
	if (r == 0)
		r = open_all(headers);
	if (r < 0)
		return r;
	*ret_headers = headers;
	headers = NULL;
	return 0;
}

void headers_close(struct headers **headers)
{
	if (!*headers)
		return;
	for (int i = 0; i < HEADER_PROGRAMS; i++)
		if ((*headers)->programs[i] >= 0)
			close((*headers)->programs[i]);
	for (int i = 0; i < HEADER_MAPS; i++)
		if ((*headers)->maps[i] >= 0)
			close((*headers)->maps[i]);
	free(*headers);
	*headers = NULL;
}

bool headers_stale(const struct headers *headers)
{
	int fd = pin_open(headers->folder, header_program_names[0], "");
	__u32 id = 0;
	bool stale = fd < 0 || program_id(fd, &id) < 0 || id != headers->ids[0];
	if (fd >= 0)
		close(fd);
	return stale;
}

/* True when the device's packets begin with an Ethernet header. */
static int device_is_ether(unsigned ifindex)
{
	struct ifreq request = {0};
	if (!if_indextoname(ifindex, request.ifr_name))
		return errno == ENXIO ? -ENODEV : -errno;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	int r = ioctl(fd, SIOCGIFHWADDR, &request) < 0 ? -errno : 0;
	close(fd);
	if (r < 0)
		return r;
	return request.ifr_hwaddr.sa_family == ARPHRD_ETHER || request.ifr_hwaddr.sa_family == ARPHRD_LOOPBACK;
}

/* What sits at our place of one direction: 0 with its id, -ENOENT, or another -errno. */
static int filter_query(unsigned ifindex, enum bpf_tc_attach_point point, __u32 *ret_id)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = point);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY);
	int r = bpf_tc_query(&hook, &opts);
	if (r == -EINVAL) /* no clsact there: the kernel's answer to a question about it */
		r = -ENOENT;
	if (r < 0)
		return r;
	*ret_id = opts.prog_id;
	return 0;
}

static const enum bpf_tc_attach_point points[] = {BPF_TC_EGRESS, BPF_TC_INGRESS};

static unsigned program_for(enum bpf_tc_attach_point point, bool ether)
{
	if (point == BPF_TC_EGRESS)
		return ether ? HEADER_TO_NODE_ETHER : HEADER_TO_NODE_PLAIN;
	return ether ? HEADER_FROM_NODE_ETHER : HEADER_FROM_NODE_PLAIN;
}

int headers_check(const struct headers *headers, unsigned ifindex)
{
	int ether = device_is_ether(ifindex);
	if (ether < 0)
		return ether;
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		__u32 id;
		int r = filter_query(ifindex, points[i], &id);
		if (r < 0)
			return r;
		if (id != headers->ids[program_for(points[i], ether)])
			return -ESTALE;
	}
	return 0;
}

int headers_attach(const struct headers *headers, unsigned ifindex)
{
	int r = headers_check(headers, ifindex);
	if (r != -ENOENT && r != -ESTALE)
		return r;
	int ether = device_is_ether(ifindex);
	if (ether < 0)
		return ether;
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, both, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	r = bpf_tc_hook_create(&both);
	if (r < 0 && r != -EEXIST)
		return r;
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = points[i]);
		DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY,
				    .prog_fd = headers->programs[program_for(points[i], ether)], .flags = BPF_TC_F_REPLACE);
		r = bpf_tc_attach(&hook, &opts);
		if (r < 0)
			return r;
	}
	return 0;
}

int headers_detach(unsigned ifindex)
{
	int result = 0;
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = points[i]);
		DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY);
		int r = bpf_tc_detach(&hook, &opts);
		if (r < 0 && r != -ENOENT && r != -EINVAL && r != -ENODEV)
			result = r;
	}
	return result;
}

int headers_counters(const struct headers *headers, uint64_t ret_values[HEADERS_COUNTERS])
{
	int cpus = libbpf_num_possible_cpus();
	if (cpus < 1)
		return cpus < 0 ? cpus : -EIO;
	__u64 *each = calloc((size_t)cpus, sizeof(*each));
	if (!each)
		return -ENOMEM;
	uint64_t sums[HEADERS_COUNTERS] = {0};
	int r = 0;
	for (__u32 i = 0; i < HEADERS_COUNTERS && r == 0; i++) {
		if (bpf_map_lookup_elem(headers->maps[HEADER_MAP_COUNTERS], &i, each) < 0)
			r = -errno;
		for (int cpu = 0; cpu < cpus && r == 0; cpu++)
			sums[i] += each[cpu];
	}
	free(each);
	if (r == 0)
		memcpy(ret_values, sums, sizeof(sums));
	return r;
}

int headers_usage(const struct headers *headers, uint32_t *ret_entries, uint32_t *ret_room)
{
	__u32 entries = FLOW_ENTRIES, room = FLOW_ROOM, entries_value, room_value;
	if (bpf_map_lookup_elem(headers->maps[HEADER_MAP_USAGE], &entries, &entries_value) < 0 ||
	    bpf_map_lookup_elem(headers->maps[HEADER_MAP_USAGE], &room, &room_value) < 0)
		return -errno;
	*ret_entries = entries_value;
	*ret_room = room_value;
	return 0;
}

static struct addr address_of(const __u32 *words)
{
	struct addr addr = {.family = FAMILY_V6};
	if (!words[0] && !words[1] && words[2] == htonl(0xffff)) {
		addr.family = FAMILY_V4;
		memcpy(addr.bytes, &words[3], 4);
	} else {
		memcpy(addr.bytes, words, 16);
	}
	return addr;
}

static struct headers_flow flow_of(const struct flow_key *key, const struct flow *flow)
{
	return (struct headers_flow){
		.node = address_of(key->node),
		.peer = address_of(key->peer),
		.node_port = ntohs(key->node_port),
		.peer_port = ntohs(key->peer_port),
		.state = flow->acked ? HEADERS_DELIVERED : flow->sent ? HEADERS_UNACKNOWLEDGED : HEADERS_WAITING,
		.length = flow->length,
		.derived = flow->derived != 0,
		.unique_id = flow->id,
	};
}

static void words_of(const struct addr *addr, __u32 words[4])
{
	memset(words, 0, 16);
	words[2] = htonl(0xffff);
	memcpy(addr->family == FAMILY_V4 ? &words[3] : words, addr->bytes, addr_size(addr->family));
}

int headers_find(const struct headers *headers, struct headers_flow *ret_flow)
{
	struct flow_key key = {.node_port = htons(ret_flow->node_port), .peer_port = htons(ret_flow->peer_port)};
	struct flow flow;
	words_of(&ret_flow->node, key.node);
	words_of(&ret_flow->peer, key.peer);
	if (bpf_map_lookup_elem(headers->maps[HEADER_MAP_FLOWS], &key, &flow) < 0 || flow.dead)
		return -ENOENT;
	*ret_flow = flow_of(&key, &flow);
	return 0;
}

int headers_flows(const struct headers *headers, struct headers_flow **ret_flows, size_t *ret_count)
{
	uint32_t entries = 0, room = 0;
	int r = headers_usage(headers, &entries, &room), map = headers->maps[HEADER_MAP_FLOWS];
	if (r < 0)
		return r;
	/* Flows come while this reads: some more fit; what is beyond them is left out. */
	size_t most = (size_t)entries + entries / 4 + 64, count = 0;
	struct headers_flow *flows = calloc(most, sizeof(*flows));
	if (!flows)
		return -ENOMEM;
	struct flow_key key, next;
	struct flow flow;
	for (bool first = true; count < most && bpf_map_get_next_key(map, first ? NULL : &key, &next) == 0; first = false) {
		key = next;
		if (bpf_map_lookup_elem(map, &key, &flow) == 0 && !flow.dead)
			flows[count++] = flow_of(&key, &flow);
	}
	*ret_flows = flows;
	*ret_count = count;
	return 0;
}
