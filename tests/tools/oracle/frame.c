/* Frames: builds probes and recognises them, and the refusals that they meet,
 * in whatever leaves the edge. A TCP probe carries its number in the sequence
 * number, the others in their payload. Opens nothing. */
#include "frame.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>

#define ID_MAGIC 0x5e000000u
#define PROTO_OTHER IPPROTO_ESP
#define ID_MASK 0x00ffffffu

const char *const shape_names[SHAPES] = {
	[SHAPE_PLAIN] = "plain",
	[SHAPE_ECN_SYN] = "ECN SYN",
	[SHAPE_ACK] = "ACK",
	[SHAPE_SYN_ACK] = "SYN-ACK",
	[SHAPE_FIN_ACK] = "FIN-ACK",
	[SHAPE_SYN_FIN] = "SYN-FIN",
	[SHAPE_SYN_RST] = "SYN-RST",
	[SHAPE_NULL] = "no flags",
	[SHAPE_XMAS] = "FIN-PSH-URG",
	[SHAPE_BAD_CHECKSUM] = "bad checksum",
	[SHAPE_ICMP_ERROR] = "ICMP error",
};

static const uint8_t shape_flags[SHAPES] = {
	[SHAPE_PLAIN] = TH_SYN,
	[SHAPE_ECN_SYN] = TH_SYN | 0xc0,
	[SHAPE_ACK] = TH_ACK,
	[SHAPE_SYN_ACK] = TH_SYN | TH_ACK,
	[SHAPE_FIN_ACK] = TH_FIN | TH_ACK,
	[SHAPE_SYN_FIN] = TH_SYN | TH_FIN,
	[SHAPE_SYN_RST] = TH_SYN | TH_RST,
	[SHAPE_XMAS] = TH_FIN | TH_PUSH | TH_URG,
	[SHAPE_BAD_CHECKSUM] = TH_SYN,
};

struct payload {
	char magic[4];
	uint32_t id; /* ID_MAGIC | id, network order */
};

/* RFC 1071. */
static uint32_t sum(const void *data, size_t length, uint32_t start)
{
	const uint8_t *bytes = data;
	uint32_t total = start;
	for (size_t i = 0; i + 1 < length; i += 2)
		total += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	if (length & 1)
		total += (uint32_t)bytes[length - 1] << 8;
	return total;
}

static uint16_t fold(uint32_t total)
{
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return htons((uint16_t)~total);
}

static uint32_t pseudo_header(const struct question *question, uint8_t proto, size_t length)
{
	size_t size = addr_size(question->from.family);
	uint32_t total = sum(question->from.bytes, size, 0);
	total = sum(question->to.bytes, size, total);
	return total + proto + (uint32_t)length;
}

static size_t build_tcp(const struct probe *probe, uint8_t *at)
{
	struct tcphdr tcp = {
		.th_sport = htons(probe->question.from_port),
		.th_dport = htons(probe->question.to_port),
		.th_seq = htonl(ID_MAGIC | probe->id),
		.th_off = 5,
		.th_flags = shape_flags[probe->shape],
		.th_win = htons(64240),
	};
	tcp.th_ack = tcp.th_flags & TH_ACK ? htonl(1) : 0;
	tcp.th_sum = fold(sum(&tcp, sizeof(tcp), pseudo_header(&probe->question, IPPROTO_TCP, sizeof(tcp))));
	memcpy(at, &tcp, sizeof(tcp));
	return sizeof(tcp);
}

static size_t build_udp(const struct probe *probe, uint8_t *at)
{
	struct {
		struct udphdr udp;
		struct payload payload;
	} datagram = {
		.udp = {.uh_sport = htons(probe->question.from_port),
			.uh_dport = htons(probe->question.to_port),
			.uh_ulen = htons(sizeof(datagram))},
		.payload = {.magic = {'E', 'D', 'G', 'E'}, .id = htonl(ID_MAGIC | probe->id)},
	};
	uint16_t check =
		fold(sum(&datagram, sizeof(datagram), pseudo_header(&probe->question, IPPROTO_UDP, sizeof(datagram))));
	datagram.udp.uh_sum = check ? check : 0xffff;
	memcpy(at, &datagram, sizeof(datagram));
	return sizeof(datagram);
}

/* An echo request; or a port unreachable whose quoted packet nobody sent. */
static size_t build_icmp(const struct probe *probe, uint8_t *at)
{
	bool v4 = probe->question.from.family == FAMILY_V4, error = probe->shape == SHAPE_ICMP_ERROR;
	struct {
		uint8_t type, code;
		uint16_t check, id, sequence;
		struct payload payload;
		uint8_t padding[48];
	} echo = {
		.type = v4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST,
		.id = htons(probe->question.from_port),
		.sequence = htons(1),
		.payload = {.magic = {'E', 'D', 'G', 'E'}, .id = htonl(ID_MAGIC | probe->id)},
	};
	if (error) {
		echo.type = v4 ? ICMP_DEST_UNREACH : ICMP6_DST_UNREACH;
		echo.code = v4 ? ICMP_UNREACH_PORT : ICMP6_DST_UNREACH_NOPORT;
		echo.id = 0;
		echo.sequence = 0;
	}
	uint32_t start = v4 ? 0 : pseudo_header(&probe->question, IPPROTO_ICMPV6, sizeof(echo));
	echo.check = fold(sum(&echo, sizeof(echo), start));
	memcpy(at, &echo, sizeof(echo));
	return sizeof(echo);
}

static size_t build_ip(const struct question *question, uint8_t proto, size_t length, uint8_t *at)
{
	if (question->from.family == FAMILY_V4) {
		struct iphdr ip = {
			.version = 4,
			.ihl = 5,
			.ttl = 64,
			.protocol = proto,
			.tot_len = htons((uint16_t)(sizeof(ip) + length)),
		};
		memcpy(&ip.saddr, question->from.bytes, 4);
		memcpy(&ip.daddr, question->to.bytes, 4);
		ip.check = fold(sum(&ip, sizeof(ip), 0));
		memcpy(at, &ip, sizeof(ip));
		return sizeof(ip);
	}
	struct ip6_hdr ip = {
		.ip6_flow = htonl(6u << 28), .ip6_plen = htons((uint16_t)length), .ip6_nxt = proto, .ip6_hlim = 64};
	memcpy(&ip.ip6_src, question->from.bytes, 16);
	memcpy(&ip.ip6_dst, question->to.bytes, 16);
	memcpy(at, &ip, sizeof(ip));
	return sizeof(ip);
}

size_t frame_build(const struct probe *probe, const uint8_t to_mac[6], uint8_t *frame)
{
	const struct question *question = &probe->question;
	bool v4 = question->from.family == FAMILY_V4;
	uint8_t packet[FRAME_MAX];
	size_t length = 0;
	uint8_t proto = 0;
	switch (question->protocol) {
	case PROTOCOL_TCP:
		length = build_tcp(probe, packet);
		proto = IPPROTO_TCP;
		break;
	case PROTOCOL_UDP:
		length = build_udp(probe, packet);
		proto = IPPROTO_UDP;
		break;
	case PROTOCOL_ANY: {
		struct payload payload = {.magic = {'E', 'D', 'G', 'E'}, .id = htonl(ID_MAGIC | probe->id)};
		memcpy(packet, &payload, sizeof(payload));
		length = sizeof(payload);
		proto = PROTO_OTHER;
		break;
	}
	case PROTOCOL_ICMP:
		length = build_icmp(probe, packet);
		proto = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
		break;
	}
	if (probe->shape == SHAPE_BAD_CHECKSUM)
		packet[proto == IPPROTO_TCP ? 16 : proto == IPPROTO_UDP ? 6 : 2] ^= 0x55;
	struct ethhdr ethernet = {.h_source = {2, 0, 0, 0, 2, 0}, .h_proto = htons(v4 ? ETH_P_IP : ETH_P_IPV6)};
	memcpy(ethernet.h_dest, to_mac, 6);
	memcpy(frame, &ethernet, sizeof(ethernet));
	size_t used = sizeof(ethernet);
	used += build_ip(question, proto, length, frame + used);
	memcpy(frame + used, packet, length);
	return used + length;
}

static bool take_id(uint32_t network_order, struct sighting *sighting)
{
	uint32_t id = ntohl(network_order);
	if ((id & ~ID_MASK) != ID_MAGIC)
		return false;
	sighting->id = id & ID_MASK;
	return true;
}

static bool take_payload(const uint8_t *at, size_t length, struct sighting *sighting)
{
	struct payload payload;
	if (length < sizeof(payload))
		return false;
	memcpy(&payload, at, sizeof(payload));
	return memcmp(payload.magic, "EDGE", 4) == 0 && take_id(payload.id, sighting);
}

static uint16_t port_at(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static bool parse_tcp(const uint8_t *at, size_t length, bool quoted, struct sighting *sighting)
{
	uint32_t seq, ack;
	if (length < (quoted ? 8 : sizeof(struct tcphdr)))
		return false;
	memcpy(&seq, at + 4, 4);
	if (!quoted && (at[13] & TH_RST)) {
		memcpy(&ack, at + 8, 4);
		sighting->kind = SEEN_RESET;
		return take_id(htonl(ntohl(ack) - 1), sighting);
	}
	return take_id(seq, sighting);
}

static bool parse_ip(const uint8_t *at, size_t length, bool quoted, struct sighting *sighting);

static bool parse_icmp(const uint8_t *at, size_t length, bool v4, bool quoted, struct sighting *sighting)
{
	if (length < 8)
		return false;
	uint8_t type = at[0], code = at[1];
	sighting->protocol = PROTOCOL_ICMP;
	sighting->from_port = sighting->to_port = 0;
	if (type == (v4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST))
		return take_payload(at + 8, length - 8, sighting);
	if (quoted || type != (v4 ? ICMP_DEST_UNREACH : ICMP6_DST_UNREACH))
		return false;
	if (take_payload(at + 8, length - 8, sighting)) /* a probe that is an error itself has passed */
		return true;
	if (!parse_ip(at + 8, length - 8, true, sighting))
		return false;
	sighting->kind = SEEN_UNREACHABLE;
	sighting->code = code;
	return true;
}

static bool parse_transport(uint8_t proto, const uint8_t *at, size_t length, bool quoted, struct sighting *sighting)
{
	if (length < 4)
		return false;
	sighting->from_port = port_at(at);
	sighting->to_port = port_at(at + 2);
	switch (proto) {
	case IPPROTO_TCP:
		sighting->protocol = PROTOCOL_TCP;
		return parse_tcp(at, length, quoted, sighting);
	case IPPROTO_UDP:
		sighting->protocol = PROTOCOL_UDP;
		return length >= 8 && take_payload(at + 8, length - 8, sighting);
	case IPPROTO_ICMP:
		return parse_icmp(at, length, true, quoted, sighting);
	case IPPROTO_ICMPV6:
		return parse_icmp(at, length, false, quoted, sighting);
	case PROTO_OTHER:
		sighting->protocol = PROTOCOL_ANY;
		sighting->from_port = sighting->to_port = 0;
		return take_payload(at, length, sighting);
	default:
		return false;
	}
}

static bool parse_ip(const uint8_t *at, size_t length, bool quoted, struct sighting *sighting)
{
	size_t header;
	uint8_t proto;
	if (length >= sizeof(struct iphdr) && at[0] >> 4 == 4) {
		header = (size_t)(at[0] & 15) * 4;
		proto = at[9];
		sighting->from.family = sighting->to.family = FAMILY_V4;
		memcpy(sighting->from.bytes, at + 12, 4);
		memcpy(sighting->to.bytes, at + 16, 4);
	} else if (length >= sizeof(struct ip6_hdr) && at[0] >> 4 == 6) {
		header = sizeof(struct ip6_hdr);
		proto = at[6];
		sighting->from.family = sighting->to.family = FAMILY_V6;
		memcpy(sighting->from.bytes, at + 8, 16);
		memcpy(sighting->to.bytes, at + 24, 16);
	} else {
		return false;
	}
	return length >= header && parse_transport(proto, at + header, length - header, quoted, sighting);
}

bool frame_parse(const uint8_t *frame, size_t length, struct sighting *ret_sighting)
{
	struct sighting sighting = {0};
	if (length < sizeof(struct ethhdr))
		return false;
	if (!parse_ip(frame + sizeof(struct ethhdr), length - sizeof(struct ethhdr), false, &sighting))
		return false;
	*ret_sighting = sighting;
	return true;
}
