/* Flows of conntrack, by ctnetlink: one dump, with the kernel choosing by
 * mark, and deletions through a second socket meanwhile. A flow is ended by
 * the very tuple, zone and id that the kernel named it with, so that never
 * another one is hit that has taken its place. It keeps nothing between calls. */
#include "conntrack.h"

#include "nft_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <stdalign.h>
#include <string.h>
#include <time.h>

#define REQUEST_MAX 1024

struct walk {
	struct nft_socket dump, end;
	enum flow_verdict (*look)(void *context, const struct flow *flow);
	void *context;
	uint32_t mark, mask;
	uint64_t now_ns;
	int ended;
	bool stopped;
};

static struct nlmsghdr *start(char *request, uint16_t type, uint16_t flags, uint8_t family)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(request);
	message->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
	message->nlmsg_flags = NLM_F_REQUEST | flags;
	struct nfgenmsg *head = mnl_nlmsg_put_extra_header(message, sizeof(*head));
	head->nfgen_family = family;
	head->version = NFNETLINK_V0;
	head->res_id = 0;
	return message;
}

static struct addr addr_of(const struct nf_conntrack *ct, uint8_t family, enum nf_conntrack_attr v4,
			   enum nf_conntrack_attr v6)
{
	struct addr addr = {.family = family == AF_INET ? FAMILY_V4 : FAMILY_V6};
	const void *bytes = nfct_get_attr(ct, family == AF_INET ? v4 : v6);
	if (bytes)
		memcpy(addr.bytes, bytes, addr_size(addr.family));
	return addr;
}

static uint16_t port_of(const struct nf_conntrack *ct, enum nf_conntrack_attr attr)
{
	return nfct_attr_is_set(ct, attr) > 0 ? ntohs(nfct_get_attr_u16(ct, attr)) : 0;
}

static const char *state_of(const struct nf_conntrack *ct)
{
	static const char *const names[] = {
		[TCP_CONNTRACK_NONE] = "none",		   [TCP_CONNTRACK_SYN_SENT] = "syn-sent",
		[TCP_CONNTRACK_SYN_RECV] = "syn-received", [TCP_CONNTRACK_ESTABLISHED] = "established",
		[TCP_CONNTRACK_FIN_WAIT] = "fin-wait",	   [TCP_CONNTRACK_CLOSE_WAIT] = "close-wait",
		[TCP_CONNTRACK_LAST_ACK] = "last-ack",	   [TCP_CONNTRACK_TIME_WAIT] = "time-wait",
		[TCP_CONNTRACK_CLOSE] = "close",	   [TCP_CONNTRACK_LISTEN] = "syn-sent-both",
	};
	if (nfct_attr_is_set(ct, ATTR_TCP_STATE) <= 0)
		return "";
	uint8_t state = nfct_get_attr_u8(ct, ATTR_TCP_STATE);
	return state < sizeof(names) / sizeof(names[0]) ? names[state] : "";
}

static struct flow flow_of(const struct nf_conntrack *ct, uint8_t family, uint64_t now_ns)
{
	uint64_t since = nfct_get_attr_u64(ct, ATTR_TIMESTAMP_START);
	return (struct flow){
		.protocol = nfct_get_attr_u8(ct, ATTR_L4PROTO),
		.original = {.from = addr_of(ct, family, ATTR_ORIG_IPV4_SRC, ATTR_ORIG_IPV6_SRC),
			     .to = addr_of(ct, family, ATTR_ORIG_IPV4_DST, ATTR_ORIG_IPV6_DST),
			     .from_port = port_of(ct, ATTR_ORIG_PORT_SRC),
			     .to_port = port_of(ct, ATTR_ORIG_PORT_DST)},
		.reply = {.from = addr_of(ct, family, ATTR_REPL_IPV4_SRC, ATTR_REPL_IPV6_SRC),
			  .to = addr_of(ct, family, ATTR_REPL_IPV4_DST, ATTR_REPL_IPV6_DST),
			  .from_port = port_of(ct, ATTR_REPL_PORT_SRC),
			  .to_port = port_of(ct, ATTR_REPL_PORT_DST)},
		.mark = nfct_get_attr_u32(ct, ATTR_MARK),
		.status = nfct_get_attr_u32(ct, ATTR_STATUS),
		.state = state_of(ct),
		.packets_in = nfct_get_attr_u64(ct, ATTR_ORIG_COUNTER_PACKETS),
		.bytes_in = nfct_get_attr_u64(ct, ATTR_ORIG_COUNTER_BYTES),
		.packets_out = nfct_get_attr_u64(ct, ATTR_REPL_COUNTER_PACKETS),
		.bytes_out = nfct_get_attr_u64(ct, ATTR_REPL_COUNTER_BYTES),
		.timeout_seconds = nfct_get_attr_u32(ct, ATTR_TIMEOUT),
		.age_seconds = since && since < now_ns ? (now_ns - since) / 1000000000u : 0,
		.id = nfct_get_attr_u32(ct, ATTR_ID),
	};
}

int conntrack_flow_of(const struct nlmsghdr *message, uint64_t now_ns, struct flow *ret_flow)
{
	const struct nfgenmsg *head = mnl_nlmsg_get_payload(message);
	if (mnl_nlmsg_get_payload_len(message) < sizeof(*head) ||
	    (head->nfgen_family != AF_INET && head->nfgen_family != AF_INET6))
		return -EBADMSG;
	struct nf_conntrack *ct = nfct_new();
	if (!ct)
		return -ENOMEM;
	int r = nfct_nlmsg_parse(message, ct) < 0 ? -EBADMSG : 0;
	if (r == 0)
		*ret_flow = flow_of(ct, head->nfgen_family, now_ns);
	nfct_destroy(ct);
	return r;
}

/* The attributes that name a flow, as they came. */
static int copy_name(const struct nlattr *attribute, void *data)
{
	struct nlmsghdr *message = data;
	uint16_t type = mnl_attr_get_type(attribute), length = mnl_attr_get_payload_len(attribute);
	if ((type == CTA_TUPLE_ORIG || type == CTA_ZONE || type == CTA_ID) &&
	    mnl_nlmsg_get_payload_len(message) + length + 64u < REQUEST_MAX)
		mnl_attr_put(message, type | (attribute->nla_type & NLA_F_NESTED), length, mnl_attr_get_payload(attribute));
	return MNL_CB_OK;
}

static int end_flow(struct walk *walk, const struct nlmsghdr *flow, uint8_t family)
{
	alignas(struct nlmsghdr) char request[REQUEST_MAX];
	struct nlmsghdr *message = start(request, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, family);
	(void)mnl_attr_parse(flow, sizeof(struct nfgenmsg), copy_name, message);
	int rc = nft_socket_ask(&walk->end, message, NULL, NULL);
	if (rc == 0)
		walk->ended++;
	return rc == -ENOENT ? 0 : rc; /* it has ended by itself */
}

static int take(const struct nlmsghdr *message, void *data)
{
	struct walk *walk = data;
	const struct nfgenmsg *head = mnl_nlmsg_get_payload(message);
	if (mnl_nlmsg_get_payload_len(message) < sizeof(*head))
		return -EBADMSG;
	struct flow flow;
	int r = conntrack_flow_of(message, walk->now_ns, &flow);
	/* Older kernels choose by mark only where conntrack marks are compiled in; look again. */
	if (r < 0 || (flow.mark & walk->mask) != walk->mark)
		return r == -ENOMEM ? r : 0;
	switch (walk->look(walk->context, &flow)) {
	case FLOW_KEEP:
		return 0;
	case FLOW_END:
		return end_flow(walk, message, head->nfgen_family);
	case FLOW_STOP:
		walk->stopped = true;
		return -ECANCELED;
	}
	return 0;
}

int conntrack_walk(uint32_t mark, uint32_t mask, enum flow_verdict (*look)(void *context, const struct flow *flow),
		   void *context)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	struct walk walk = {.dump = NFT_SOCKET_NONE, .end = NFT_SOCKET_NONE, .look = look, .context = context,
			    .mark = mark & mask, .mask = mask,
			    .now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec};
	alignas(struct nlmsghdr) char request[REQUEST_MAX];
	struct nlmsghdr *message = start(request, IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_UNSPEC);
	mnl_attr_put_u32(message, CTA_MARK, htonl(walk.mark));
	mnl_attr_put_u32(message, CTA_MARK_MASK, htonl(walk.mask));
	int rc = nft_socket_open(&walk.dump);
	if (rc == 0)
		rc = nft_socket_open(&walk.end);
	if (rc == 0)
		rc = nft_socket_ask(&walk.dump, message, take, &walk);
	nft_socket_close(&walk.dump);
	nft_socket_close(&walk.end);
	return rc < 0 && !walk.stopped ? rc : walk.ended;
}

static int take_nothing(const struct nlmsghdr *message, void *data)
{
	(void)message;
	(void)data;
	return 0;
}

int conntrack_load(void)
{
	struct nft_socket socket = NFT_SOCKET_NONE;
	alignas(struct nlmsghdr) char request[REQUEST_MAX];
	struct nlmsghdr *message = start(request, IPCTNL_MSG_CT_GET_STATS, 0, AF_UNSPEC);
	int rc = nft_socket_open(&socket);
	if (rc == 0)
		rc = nft_socket_ask(&socket, message, take_nothing, NULL);
	nft_socket_close(&socket);
	return rc;
}
