/* The pure part of the programs: the bytes of a header, and the arithmetic of
 * sequence numbers and options. Plain C without calls, so that the verifier of
 * the kernel and a unit test can both read it. The PROXY protocol's text is
 * haproxy.org's doc/proxy-protocol.txt (2020/03/05). */
#pragma once

#include "flow.h"

#include <linux/types.h>

#define WIRE_HEADER_MAX 128 /* version 1: at most 107; version 2: 52 and the TLVs, 7 and 19 */
#define WIRE_OPTIONS_MAX 40
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
/* A function of its own. Not static in BPF: then the verifier looks at it once, and not anew at each call. */
#ifdef __bpf__
#define WIRE_CALL __attribute__((noinline))
#else
#define WIRE_CALL static inline
#endif

/* Whom the header speaks of; network byte order, IPv4 as ::ffff:a.b.c.d. */
struct wire_ends {
	__u32 source[4], destination[4];
	__u16 source_port, destination_port;
};

/* Bytes with a length. volatile: the verifier shall see any length at each place, not follow each one there is. */
struct wire_bytes {
	volatile __u32 length;
	__u8 bytes[WIRE_HEADER_MAX];
};

static __always_inline __u16 wire_order16(__u16 value)
{
	return __builtin_bswap16(value);
}

static __always_inline __u32 wire_order32(__u32 value)
{
	return __builtin_bswap32(value);
}

static __always_inline int wire_is_v4(const __u32 *address)
{
	return !address[0] && !address[1] && address[2] == wire_order32(0xffff);
}

static __always_inline void wire_put(struct wire_bytes *to, __u8 byte)
{
	__u32 at = to->length;
	if (at < WIRE_HEADER_MAX) {
		to->bytes[at] = byte;
		to->length = at + 1;
	}
}

static __always_inline void wire_put_text(struct wire_bytes *to, const char *text)
{
	for (int i = 0; i < 12 && text[i]; i++)
		wire_put(to, (__u8)text[i]);
}

/* A number below 65536 in base 10 or 16, without leading zeros. */
WIRE_CALL int wire_put_number(struct wire_bytes *to, __u32 value, __u32 base)
{
	__u32 unit = base == 10 ? 10000 : 4096;
	if (!to || !base)
		return 0;
	for (int i = 0; i < 5; i++) {
		__u32 digit = value / unit % base;
		if (value >= unit || unit == 1)
			wire_put(to, (__u8)(digit < 10 ? '0' + digit : 'a' + digit - 10));
		if (unit == 1)
			break;
		unit /= base;
	}
	return 0;
}

/* The address as text. Unrolled: kernel 6.1 takes a loop that begins behind a call for one that it cannot follow.
 * Dotted quad, or eight groups (section 2.1 lets "::" be left away). */
static __always_inline void wire_put_address(struct wire_bytes *to, const __u32 *address, int v4)
{
	const __u8 *bytes = (const __u8 *)address;
	if (v4) {
#pragma GCC unroll 4
		for (int i = 12; i < 16; i++) {
			wire_put_number(to, bytes[i], 10);
			wire_put(to, i < 15 ? '.' : ' ');
		}
	} else {
#pragma GCC unroll 8
		for (int i = 0; i < 16; i += 2) {
			wire_put_number(to, (__u32)bytes[i] << 8 | bytes[i + 1], 16);
			wire_put(to, i < 14 ? ':' : ' ');
		}
	}
}

static __always_inline void wire_put_v1(struct wire_bytes *to, const struct wire_ends *ends)
{
	int v4 = wire_is_v4(ends->source);
	wire_put_text(to, v4 ? "PROXY TCP4 " : "PROXY TCP6 ");
	wire_put_address(to, ends->source, v4);
	wire_put_address(to, ends->destination, v4);
	wire_put_number(to, wire_order16(ends->source_port), 10);
	wire_put(to, ' ');
	wire_put_number(to, wire_order16(ends->destination_port), 10);
	wire_put(to, '\r');
	wire_put(to, '\n');
}

/* CRC32c of RFC 4960, appendix B; by halves of a byte, which is less for the verifier than by bits. */
WIRE_CALL __u32 wire_crc32c(const struct wire_bytes *of)
{
	static const __u32 nibbles[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
		0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};
	if (!of)
		return 0;
	__u32 crc = ~0u, length = of->length;
	for (__u32 i = 0; i < WIRE_HEADER_MAX && i < length; i++) {
		crc ^= of->bytes[i];
		crc = crc >> 4 ^ nibbles[crc & 15];
		crc = crc >> 4 ^ nibbles[crc & 15];
	}
	return ~crc;
}

static __always_inline void wire_put_bytes(struct wire_bytes *to, const void *from, __u32 count)
{
	const __u8 *bytes = from;
#pragma GCC unroll 8
	for (__u32 i = 0; i < count; i++)
		wire_put(to, bytes[i]);
}

static __always_inline void wire_put_id(struct wire_bytes *to, __u64 id)
{
#pragma GCC unroll 16
	for (int shift = 60; shift >= 0; shift -= 4) {
		__u8 digit = (__u8)(id >> shift & 15);
		wire_put(to, (__u8)(digit < 10 ? '0' + digit : 'a' + digit - 10));
	}
}

static __always_inline __u16 wire_v2_length(int v4, __u32 mark)
{
	return (__u16)((v4 ? 28 : 52) + (mark & MARK_HEADER_CRC ? 7 : 0) + (mark & MARK_HEADER_ID ? 19 : 0));
}

/* Section 2.2; the TLVs are those of 2.2.3 and 2.2.5. */
static __always_inline void wire_put_v2(struct wire_bytes *to, const struct wire_ends *ends, __u32 mark, __u64 id)
{
	static const __u8 start[13] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, 0x21};
	int v4 = wire_is_v4(ends->source);
	__u16 length = wire_v2_length(v4, mark), body = wire_order16((__u16)(length - 16));
	__u8 *at = to->bytes;
	__builtin_memcpy(at, start, sizeof(start));
	at[13] = v4 ? 0x11 : 0x21;
	__builtin_memcpy(at + 14, &body, 2);
	if (v4) {
		__builtin_memcpy(at + 16, &ends->source[3], 4);
		__builtin_memcpy(at + 20, &ends->destination[3], 4);
		__builtin_memcpy(at + 24, &ends->source_port, 2);
		__builtin_memcpy(at + 26, &ends->destination_port, 2);
	} else {
		__builtin_memcpy(at + 16, ends->source, 16);
		__builtin_memcpy(at + 32, ends->destination, 16);
		__builtin_memcpy(at + 48, &ends->source_port, 2);
		__builtin_memcpy(at + 50, &ends->destination_port, 2);
	}
	to->length = v4 ? 28 : 52;
	if (mark & MARK_HEADER_ID) {
		static const __u8 type[3] = {0x05, 0, 16};
		wire_put_bytes(to, type, 3);
		wire_put_id(to, id);
	}
	if (mark & MARK_HEADER_CRC) {
		static const __u8 type[7] = {0x03, 0, 4};
		wire_put_bytes(to, type, 7);
		__u32 crc = wire_order32(wire_crc32c(to));
		to->length = length - 4u;
		wire_put_bytes(to, &crc, 4);
	}
}

/* The whole header that the mark asks for, padded with zeros. */
static __always_inline void wire_put_header(struct wire_bytes *to, const struct wire_ends *ends, __u32 mark, __u64 id)
{
	__builtin_memset(to->bytes, 0, sizeof(to->bytes));
	to->length = 0;
	if ((mark & MARK_HEADER_MASK) == MARK_HEADER_V1)
		wire_put_v1(to, ends);
	else
		wire_put_v2(to, ends, mark, id);
}
