/* Reading and ending flows: ctnetlink's messages, taken apart by
 * libnetfilter_conntrack, over a netfilter socket of their own. Flows that come
 * and go during the dump may be missed or be seen twice; ending is by tuple and id. */
#include "conntrack.h"

#include "nft_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Flows to end, as delete requests, gathered during the dump and sent after it. */
struct walk {
	uint32_t mark, mask;
	enum flow_verdict (*look)(void *context, const struct flow *flow);
	void *context;
	struct nf_conntrack **doomed;
	size_t doomed_count, doomed_capacity;
	uint64_t now_ns;
	bool stop;
};

static struct addr address(const struct nf_conntrack *ct, enum nf_conntrack_attr v4, enum nf_conntrack_attr v6)
{
	struct addr addr = {0};
	const void *data;
	if (nfct_get_attr_u8(ct, ATTR_L3PROTO) == AF_INET) {
		uint32_t value = nfct_get_attr_u32(ct, v4);
		addr.family = FAMILY_V4;
		memcpy(addr.bytes, &value, 4);
	} else if ((data = nfct_get_attr(ct, v6))) {
		addr.family = FAMILY_V6;
		memcpy(addr.bytes, data, 16);
	}
	return addr;
}

static uint16_t port(const struct nf_conntrack *ct, enum nf_conntrack_attr attribute)
{
	return nfct_attr_is_set(ct, attribute) > 0 ? ntohs(nfct_get_attr_u16(ct, attribute)) : 0;
}

static uint64_t number(const struct nf_conntrack *ct, enum nf_conntrack_attr attribute)
{
	return nfct_attr_is_set(ct, attribute) > 0 ? nfct_get_attr_u64(ct, attribute) : 0;
}

static const char *tcp_state(const struct nf_conntrack *ct)
{
	static const char *const names[] = {"none",	"syn-sent",  "syn-received", "established", "fin-wait",
					    "close-wait", "last-ack", "time-wait",    "close",	     "syn-sent2"};
	if (nfct_attr_is_set(ct, ATTR_TCP_STATE) <= 0)
		return "";
	uint8_t state = nfct_get_attr_u8(ct, ATTR_TCP_STATE);
	return state < sizeof(names) / sizeof(names[0]) ? names[state] : "";
}

static void read_flow(const struct walk *walk, const struct nf_conntrack *ct, struct flow *flow)
{
	*flow = (struct flow){
		.protocol = nfct_get_attr_u8(ct, ATTR_L4PROTO),
		.original = {.from = address(ct, ATTR_ORIG_IPV4_SRC, ATTR_ORIG_IPV6_SRC),
			     .to = address(ct, ATTR_ORIG_IPV4_DST, ATTR_ORIG_IPV6_DST)},
		.reply = {.from = address(ct, ATTR_REPL_IPV4_SRC, ATTR_REPL_IPV6_SRC),
			  .to = address(ct, ATTR_REPL_IPV4_DST, ATTR_REPL_IPV6_DST)},
		.mark = nfct_get_attr_u32(ct, ATTR_MARK),
		.status = nfct_get_attr_u32(ct, ATTR_STATUS),
		.state = tcp_state(ct),
		.packets_in = number(ct, ATTR_ORIG_COUNTER_PACKETS),
		.bytes_in = number(ct, ATTR_ORIG_COUNTER_BYTES),
		.packets_out = number(ct, ATTR_REPL_COUNTER_PACKETS),
		.bytes_out = number(ct, ATTR_REPL_COUNTER_BYTES),
		.timeout_seconds = nfct_get_attr_u32(ct, ATTR_TIMEOUT),
		.id = nfct_get_attr_u32(ct, ATTR_ID),
	};
	if (flow->protocol == IPPROTO_TCP || flow->protocol == IPPROTO_UDP) {
		flow->original.from_port = port(ct, ATTR_ORIG_PORT_SRC);
		flow->original.to_port = port(ct, ATTR_ORIG_PORT_DST);
		flow->reply.from_port = port(ct, ATTR_REPL_PORT_SRC);
		flow->reply.to_port = port(ct, ATTR_REPL_PORT_DST);
	}
	uint64_t start = number(ct, ATTR_TIMESTAMP_START);
	if (start && walk->now_ns > start)
		flow->age_seconds = (walk->now_ns - start) / 1000000000u;
}

/* Only what names the flow: the kernel compares the id too, so that a successor with the same tuple lives. */
static int doom(struct walk *walk, const struct nf_conntrack *ct)
{
	if (walk->doomed_count == walk->doomed_capacity) {
		size_t capacity = walk->doomed_capacity ? walk->doomed_capacity * 2 : 64;
		struct nf_conntrack **grown = reallocarray(walk->doomed, capacity, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		walk->doomed = grown;
		walk->doomed_capacity = capacity;
	}
	struct nf_conntrack *copy = nfct_new();
	if (!copy)
		return -ENOMEM;
	nfct_copy(copy, ct, NFCT_CP_ORIG);
	if (nfct_attr_is_set(ct, ATTR_ID) > 0)
		nfct_set_attr_u32(copy, ATTR_ID, nfct_get_attr_u32(ct, ATTR_ID));
	walk->doomed[walk->doomed_count++] = copy;
	return 0;
}

static int on_flow(const struct nlmsghdr *message, void *data)
{
	struct walk *walk = data;
	if (walk->stop || NFNL_SUBSYS_ID(message->nlmsg_type) != NFNL_SUBSYS_CTNETLINK)
		return 0;
	struct nf_conntrack *ct = nfct_new();
	if (!ct)
		return -ENOMEM;
	int r = 0;
	if (nfct_nlmsg_parse(message, ct) >= 0 && (nfct_get_attr_u32(ct, ATTR_MARK) & walk->mask) == walk->mark) {
		struct flow flow;
		read_flow(walk, ct, &flow);
		switch (walk->look(walk->context, &flow)) {
		case FLOW_KEEP:
			break;
		case FLOW_END:
			r = doom(walk, ct);
			break;
		case FLOW_STOP:
			walk->stop = true;
			break;
		}
	}
	nfct_destroy(ct);
	return r;
}

static struct nlmsghdr *header(void *buffer, uint16_t type, uint16_t flags, uint8_t family)
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	request->nlmsg_type = (uint16_t)((NFNL_SUBSYS_CTNETLINK << 8) | type);
	request->nlmsg_flags = flags;
	struct nfgenmsg *general = mnl_nlmsg_put_extra_header(request, sizeof(*general));
	general->nfgen_family = family;
	general->version = NFNETLINK_V0;
	return request;
}

static int dump(struct nft_socket *socket, struct walk *walk)
{
	char buffer[256];
	struct nlmsghdr *request = header(buffer, IPCTNL_MSG_CT_GET, NLM_F_REQUEST | NLM_F_DUMP, AF_UNSPEC);
	if (walk->mask) {
		mnl_attr_put_u32(request, CTA_MARK, htonl(walk->mark));
		mnl_attr_put_u32(request, CTA_MARK_MASK, htonl(walk->mask));
	}
	return nft_socket_ask(socket, request, on_flow, walk);
}

static int end_flow(struct nft_socket *socket, const struct nf_conntrack *ct)
{
	char buffer[1024];
	struct nlmsghdr *request = header(buffer, IPCTNL_MSG_CT_DELETE, NLM_F_REQUEST | NLM_F_ACK,
					  nfct_get_attr_u8(ct, ATTR_ORIG_L3PROTO));
	if (nfct_nlmsg_build(request, ct) < 0)
		return -EINVAL;
	return nft_socket_ask(socket, request, NULL, NULL);
}

int conntrack_walk(uint32_t mark, uint32_t mask, enum flow_verdict (*look)(void *context, const struct flow *flow),
		   void *context)
{
	struct nft_socket socket = NFT_SOCKET_NONE;
	struct walk walk = {.mark = mark, .mask = mask, .look = look, .context = context};
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	walk.now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	int r = nft_socket_open(&socket);
	if (r < 0)
		return r;
	r = dump(&socket, &walk);
	int ended = 0;
	if (r < 0)
		nft_socket_reopen(&socket);
	for (size_t i = 0; i < walk.doomed_count; i++) {
		int error = end_flow(&socket, walk.doomed[i]);
		if (error == 0)
			ended++;
		else if (error != -ENOENT && r >= 0)
			r = error;
		nfct_destroy(walk.doomed[i]);
	}
	free(walk.doomed);
	nft_socket_close(&socket);
	return r < 0 ? r : ended;
}
