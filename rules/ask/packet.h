/* Packet: a question with what follows from it at once (which way it goes),
 * and the conditions of a configuration held against it. For rules/ask and its tests only. */
#pragma once

#include "ask.h"

/* A leg, this machine, or nowhere known (PLACE_ANY: matches only "any"). */
struct way {
	enum place_kind kind; /* ANY, SELF, WAN, LAN, TUNNEL */
	const struct tunnel *tunnel;
	const char *why; /* a static text: "floating IP" */
	bool group;      /* SELF, but not by an address of its own: broadcast, multicast, anycast */
};

struct packet {
	const struct model *model;
	const struct surroundings *around; /* never NULL */
	const struct question *question;
	struct way to; /* by the original destination, before DNAT */
};

/* Where the packet goes. */
/* The leg towards an address that is not this machine's: the longest prefix that
 * the model names, else the default route. */
struct way way_by_route(const struct model *model, const struct addr *addr);
struct way way_of_destination(const struct model *model, const struct surroundings *around,
			      const struct question *question);
/* Why the source cannot have come in by this leg (a text for people), or NULL
 * when it can. lan: only the rule that lan's networks come in by lan alone,
 * which is asked before everything else; else strict reverse path. */
const char *packet_outside_lan(const struct packet *packet);
const char *packet_reverse_path(const struct packet *packet);

/* The conditions of a rule that a packet does not meet. */
#define MISS_FROM 1u
#define MISS_TO 2u
#define MISS_PROTOCOL 4u
#define MISS_PORT 8u

unsigned rule_misses(const struct rule *rule, const struct packet *packet);
bool place_holds_source(const struct place *place, const struct packet *packet);
bool blocklist_holds(const struct blocklist *blocklist, const struct addr *addr);
bool ports_hold(const struct port_range *ports, size_t count, uint16_t port);
bool prefixes_hold(const struct prefix *prefixes, size_t count, const struct addr *addr);
/* The forward that takes the packet: listen address and port are its own and
 * its from holds the source; the one that names its listen address goes first.
 * NULL when there is none; *ret_refusing is then one that listens there for others only, or NULL. */
const struct forward *forward_for(const struct packet *packet, const struct forward **ret_refusing);
