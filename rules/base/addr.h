/* IP addresses, prefixes and port ranges, of both families in one type. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum family { FAMILY_NONE = 0, FAMILY_V4 = 4, FAMILY_V6 = 6 };

/* bytes: network order; IPv4 uses the first four and the rest is zero. */
struct addr {
	enum family family;
	uint8_t bytes[16];
};

/* Host bits below length are zero in every prefix that prefix_parse returns. */
struct prefix {
	struct addr addr;
	uint8_t length;
};

/* An inclusive range of addresses of one family, first <= last. */
struct addr_range {
	struct addr first, last;
};

/* Inclusive, first <= last, host byte order. */
struct port_range {
	uint16_t first, last;
};

#define ADDR_TEXT_MAX 48   /* with the terminator */
#define PREFIX_TEXT_MAX 52 /* with the terminator */

/* 4 or 16. */
size_t addr_size(enum family family);
/* 32 or 128. */
uint8_t addr_bits(enum family family);
/* Text of an address: dotted quad, or RFC 4291 without a zone. -EINVAL otherwise. */
int addr_parse(const char *text, size_t length, struct addr *ret_addr);
/* "1.2.3.0/24", or a bare address, which is a prefix of full length.
 * -EINVAL: not a prefix; -ERANGE: bits are set behind the length (ret_prefix
 * then holds the masked prefix, which is what would be right). */
int prefix_parse(const char *text, size_t length, struct prefix *ret_prefix);
/* text holds ADDR_TEXT_MAX; returns text. IPv6 is printed as RFC 5952 says. */
char *addr_format(const struct addr *addr, char *text);
/* text holds PREFIX_TEXT_MAX; a prefix of full length prints as an address. */
char *prefix_format(const struct prefix *prefix, char *text);
/* By family, then numerically: <0, 0, >0. */
int addr_compare(const struct addr *a, const struct addr *b);
bool addr_equal(const struct addr *a, const struct addr *b);
bool prefix_contains(const struct prefix *prefix, const struct addr *addr);
/* True when the two share an address. */
bool prefix_overlaps(const struct prefix *a, const struct prefix *b);
struct addr_range prefix_range(const struct prefix *prefix);
struct prefix prefix_of(const struct addr *addr, uint8_t length);
/* addr + 1; false when it was the last address of its family. */
bool addr_next(const struct addr *addr, struct addr *ret_next);
/* 0.0.0.0 or :: */
bool addr_is_zero(const struct addr *addr);
/* May it be another machine's, reached by a route alone? Not 0/8, loopback, multicast, broadcast, IPv6 link-local (it needs
 * a device) or an IPv4 address in IPv6's clothes (RFC 6890). */
bool addr_leads_away(const struct addr *addr);
/* IPv4 as it is; IPv6 with the lower 64 bits cleared: the unit in which sources are limited. */
struct addr addr_source_unit(const struct addr *addr);
/* Sort ranges and merge those that overlap or touch, in place; returns the new count. */
size_t addr_ranges_merge(struct addr_range *ranges, size_t count);
