/* Frames: probes as Ethernet frames, and what comes out of the edge read back. */
#pragma once

#include "../../../rules/ask/ask.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_MAX 256

/* What the first packet looks like. All but PLAIN and ECN open no flow of
 * their own, and are never let in. */
enum shape {
	SHAPE_PLAIN,   /* a SYN, a datagram, an echo request */
	SHAPE_ECN_SYN, /* a SYN that offers ECN: as good as a plain one */
	SHAPE_ACK,
	SHAPE_SYN_ACK,
	SHAPE_FIN_ACK,
	SHAPE_SYN_FIN,
	SHAPE_SYN_RST,
	SHAPE_NULL,
	SHAPE_XMAS,
	SHAPE_BAD_CHECKSUM,
	SHAPE_ICMP_ERROR, /* that quotes a flow that does not exist */
	SHAPES
};
extern const char *const shape_names[SHAPES];

struct probe {
	uint32_t id;              /* below 2^24; found again in whatever comes of it */
	struct question question; /* with concrete addresses and ports: never to_self */
	enum shape shape;
};

/* An Ethernet frame in frame (FRAME_MAX bytes); returns its length. */
size_t frame_build(const struct probe *probe, const uint8_t to_mac[6], uint8_t *frame);

enum sighting_kind { SEEN_PACKET, SEEN_RESET, SEEN_UNREACHABLE };

struct sighting {
	uint32_t id;
	enum sighting_kind kind;
	uint8_t code;           /* SEEN_UNREACHABLE: the ICMP or ICMPv6 code */
	enum protocol protocol; /* of the probe */
	struct addr from, to;   /* SEEN_PACKET, SEEN_RESET */
	uint16_t from_port, to_port;
};

/* True when the frame carries a probe, or is a RST or an ICMP error about one. */
bool frame_parse(const uint8_t *frame, size_t length, struct sighting *ret_sighting);
