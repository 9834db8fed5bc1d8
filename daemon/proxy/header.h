/* The PROXY protocol's header, versions 1 and 2, as haproxy.org's
 * doc/proxy-protocol.txt (2020/03/05) defines it. Pure. */
#pragma once

#include "../../rules/model/model.h"

#include <stddef.h>
#include <stdint.h>

struct sockaddr_storage;

/* Section 2.1: the longest version 1 line has 107 bytes; version 2 has at most 52, and with TLVs 78. */
#define HEADER_MAX 108

/* One end of a TCP connection. FAMILY_NONE: not known. */
struct endpoint {
	struct addr addr;
	uint16_t port; /* host byte order */
};

/* The header of a forwarded connection into buffer (HEADER_MAX bytes); returns
 * its length, 0 for PROXY_NONE. Where the families differ, the IPv4 end is
 * written as an IPv4-mapped IPv6 address. Where an end is not known, it is
 * what header_encode_local writes. */
size_t header_encode(enum proxy_header version, const struct endpoint *source, const struct endpoint *destination,
		     uint8_t *buffer);
/* Adds TLVs (TLV_BIT()s; sections 2.2.3 and 2.2.5) to a version 2 header of length bytes; returns its new length. */
size_t header_add_tlvs(uint8_t *buffer, size_t length, uint32_t tlvs, uint64_t unique_id);
/* The header of a connection of our own (a health probe): LOCAL, in version 1
 * UNKNOWN. */
size_t header_encode_local(enum proxy_header version, uint8_t *buffer);
/* An IPv4-mapped IPv6 address becomes IPv4; another family FAMILY_NONE. */
struct endpoint endpoint_from_sockaddr(const struct sockaddr_storage *address);
/* The address to connect to; returns its length. */
size_t endpoint_to_sockaddr(const struct endpoint *endpoint, struct sockaddr_storage *ret_address);
