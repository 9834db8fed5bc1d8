/* Writes PROXY headers and converts between socket addresses and endpoints.
 * Touches no socket; never reads a header: what a client sends is payload. */
#include "header.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define COMMAND_LOCAL 0x20 /* section 2.2: version 2 in the upper half, the command in the lower */
#define COMMAND_PROXY 0x21
#define FAMILY_UNSPEC 0x00
#define FAMILY_TCP4 0x11
#define FAMILY_TCP6 0x21
#define FIXED 16 /* bytes that the length does not count */
#define TYPE_CRC32C 0x03
#define TYPE_UNIQUE_ID 0x05
#define UNIQUE_ID_DIGITS 16

static const uint8_t signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

/* The address as IPv6. */
static struct addr mapped(const struct addr *addr)
{
	if (addr->family == FAMILY_V6)
		return *addr;
	struct addr wide = {.family = FAMILY_V6};
	memcpy(wide.bytes, mapped_prefix, sizeof(mapped_prefix));
	memcpy(wide.bytes + sizeof(mapped_prefix), addr->bytes, 4);
	return wide;
}

size_t header_encode_local(enum proxy_header version, uint8_t *buffer)
{
	static const char unknown[] = "PROXY UNKNOWN\r\n";
	switch (version) {
	case PROXY_NONE:
		return 0;
	case PROXY_V1:
		memcpy(buffer, unknown, sizeof(unknown) - 1);
		return sizeof(unknown) - 1;
	case PROXY_V2:
		memcpy(buffer, signature, sizeof(signature));
		memcpy(buffer + sizeof(signature), (uint8_t[]){COMMAND_LOCAL, FAMILY_UNSPEC, 0, 0}, 4);
		return sizeof(signature) + 4;
	}
	return 0;
}

static size_t encode_v1(const struct addr *source, uint16_t source_port, const struct addr *destination,
			uint16_t destination_port, uint8_t *buffer)
{
	char from[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX], line[HEADER_MAX];
	int length = snprintf(line, sizeof(line), "PROXY TCP%d %s %s %u %u\r\n", source->family == FAMILY_V4 ? 4 : 6,
			      addr_format(source, from), addr_format(destination, to), source_port, destination_port);
	memcpy(buffer, line, (size_t)length);
	return (size_t)length;
}

static size_t encode_v2(const struct addr *source, uint16_t source_port, const struct addr *destination,
			uint16_t destination_port, uint8_t *buffer)
{
	size_t size = addr_size(source->family), length = 2 * size + 4;
	uint8_t *at = buffer;
	memcpy(at, signature, sizeof(signature));
	at += sizeof(signature);
	*at++ = COMMAND_PROXY;
	*at++ = source->family == FAMILY_V4 ? FAMILY_TCP4 : FAMILY_TCP6;
	*at++ = 0;
	*at++ = (uint8_t)length;
	memcpy(at, source->bytes, size);
	memcpy(at + size, destination->bytes, size);
	at += 2 * size;
	*at++ = (uint8_t)(source_port >> 8);
	*at++ = (uint8_t)source_port;
	*at++ = (uint8_t)(destination_port >> 8);
	*at++ = (uint8_t)destination_port;
	return (size_t)(at - buffer);
}

size_t header_encode(enum proxy_header version, const struct endpoint *source, const struct endpoint *destination,
		     uint8_t *buffer)
{
	if (source->addr.family == FAMILY_NONE || destination->addr.family == FAMILY_NONE)
		return header_encode_local(version, buffer);
	struct addr from = source->addr, to = destination->addr;
	if (from.family != to.family) {
		from = mapped(&from);
		to = mapped(&to);
	}
	switch (version) {
	case PROXY_NONE:
		return 0;
	case PROXY_V1:
		return encode_v1(&from, source->port, &to, destination->port, buffer);
	case PROXY_V2:
		return encode_v2(&from, source->port, &to, destination->port, buffer);
	}
	return 0;
}

/* CRC32c of RFC 4960, appendix B. Of some 80 bytes: bit by bit is fast enough. */
static uint32_t crc32c(const uint8_t *bytes, size_t length)
{
	uint32_t crc = ~0u;
	for (size_t i = 0; i < length; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

size_t header_add_tlvs(uint8_t *buffer, size_t length, uint32_t tlvs, uint64_t unique_id)
{
	uint8_t *at = buffer + length;
	size_t checksum = 0;
	if (tlvs & TLV_BIT(TLV_UNIQUE_ID)) {
		char digits[UNIQUE_ID_DIGITS + 1];
		snprintf(digits, sizeof(digits), "%016llx", (unsigned long long)unique_id);
		memcpy(at, (uint8_t[]){TYPE_UNIQUE_ID, 0, UNIQUE_ID_DIGITS}, 3);
		memcpy(at + 3, digits, UNIQUE_ID_DIGITS);
		at += 3 + UNIQUE_ID_DIGITS;
	}
	if (tlvs & TLV_BIT(TLV_CRC32C)) {
		memcpy(at, (uint8_t[]){TYPE_CRC32C, 0, 4, 0, 0, 0, 0}, 7);
		at += 7;
		checksum = (size_t)(at - buffer) - 4;
	}
	length = (size_t)(at - buffer);
	buffer[14] = (uint8_t)((length - FIXED) >> 8);
	buffer[15] = (uint8_t)(length - FIXED);
	if (checksum) {
		uint32_t crc = htonl(crc32c(buffer, length));
		memcpy(buffer + checksum, &crc, sizeof(crc));
	}
	return length;
}

struct endpoint endpoint_from_sockaddr(const struct sockaddr_storage *address)
{
	struct endpoint end = {0};
	if (address->ss_family == AF_INET) {
		struct sockaddr_in v4;
		memcpy(&v4, address, sizeof(v4));
		end.addr.family = FAMILY_V4;
		end.port = ntohs(v4.sin_port);
		memcpy(end.addr.bytes, &v4.sin_addr, 4);
	} else if (address->ss_family == AF_INET6) {
		struct sockaddr_in6 v6;
		memcpy(&v6, address, sizeof(v6));
		end.port = ntohs(v6.sin6_port);
		if (memcmp(&v6.sin6_addr, mapped_prefix, sizeof(mapped_prefix)) == 0) {
			end.addr.family = FAMILY_V4;
			memcpy(end.addr.bytes, (uint8_t *)&v6.sin6_addr + sizeof(mapped_prefix), 4);
		} else {
			end.addr.family = FAMILY_V6;
			memcpy(end.addr.bytes, &v6.sin6_addr, 16);
		}
	}
	return end;
}

size_t endpoint_to_sockaddr(const struct endpoint *endpoint, struct sockaddr_storage *ret_address)
{
	*ret_address = (struct sockaddr_storage){0};
	if (endpoint->addr.family == FAMILY_V4) {
		struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(endpoint->port)};
		memcpy(&v4.sin_addr, endpoint->addr.bytes, 4);
		memcpy(ret_address, &v4, sizeof(v4));
		return sizeof(v4);
	}
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(endpoint->port)};
	memcpy(&v6.sin6_addr, endpoint->addr.bytes, 16);
	memcpy(ret_address, &v6, sizeof(v6));
	return sizeof(v6);
}
