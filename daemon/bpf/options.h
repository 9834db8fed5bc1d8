/* TCP options in a copy of 40 bytes: those that the programs blank (Fast Open,
 * MPTCP) and those that they shift (SACK). Pure, as wire.h. An option that does
 * not fit ends the walk: what follows it, no receiver reads either. */
#pragma once

#include "wire.h"

#define OPTION_END 0
#define OPTION_NOP 1
#define OPTION_SACK 5       /* RFC 2018 */
#define OPTION_TIMESTAMP 8  /* RFC 7323 */
#define OPTION_MPTCP 30     /* RFC 8684 */
#define OPTION_FAST_OPEN 34 /* RFC 7413 */
#define OPTION_TRIAL 254    /* RFC 6994; Fast Open's identifier is 0xf989 */

/* The options, in a room that any index fits into once it is masked. */
struct wire_options {
	__u8 bytes[64];
};

/* Without the barrier the compiler leaves the mask away where it knows better, and the verifier does not. */
static __always_inline __u32 option_index(__u32 at)
{
	__asm__ volatile("" : "+r"(at));
	return at & 63;
}

static __always_inline __u8 option_byte(const struct wire_options *options, __u32 at)
{
	return options->bytes[option_index(at)];
}

static __always_inline __u32 option_number(const struct wire_options *options, __u32 at)
{
	return (__u32)option_byte(options, at) << 24 | (__u32)option_byte(options, at + 1) << 16 |
	       (__u32)option_byte(options, at + 2) << 8 | option_byte(options, at + 3);
}

static __always_inline void option_set(struct wire_options *options, __u32 at, __u8 value)
{
	options->bytes[option_index(at)] = value;
}

static __always_inline void option_set_number(struct wire_options *options, __u32 at, __u32 value)
{
	option_set(options, at, (__u8)(value >> 24));
	option_set(options, at + 1, (__u8)(value >> 16));
	option_set(options, at + 2, (__u8)(value >> 8));
	option_set(options, at + 3, (__u8)value);
}

/* Bytes of the option at `at`; 0 at the end, or when it does not fit into size. */
WIRE_CALL __u32 option_length(const struct wire_options *options, __u32 at, __u32 size)
{
	if (!options || at >= size)
		return 0;
	__u32 kind = option_byte(options, at), length = kind == OPTION_NOP ? 1 : option_byte(options, at + 1);
	if (kind == OPTION_END || (kind != OPTION_NOP && length < 2) || length > size - at)
		return 0;
	return length;
}

/* Where the option of this kind begins in size bytes, size when there is none. */
WIRE_CALL __u32 option_find(const struct wire_options *options, __u32 size, __u32 kind)
{
	__u32 at = 0;
	if (!options)
		return size;
	for (int i = 0; i < WIRE_OPTIONS_MAX; i++) {
		__u32 length = option_length(options, at, size);
		if (!length)
			break;
		if (option_byte(options, at) == kind)
			return at;
		at += length;
	}
	return size;
}

/* Overwrites count bytes with NOPs. */
WIRE_CALL int option_blank(struct wire_options *options, __u32 at, __u32 count)
{
	if (!options)
		return 0;
	for (__u32 i = 0; i < WIRE_OPTIONS_MAX; i++)
		if (i >= at && i - at < count)
			options->bytes[i] = OPTION_NOP;
	return 0;
}

/* Fast Open, also under the number that it had on trial, and MPTCP. */
static __always_inline int option_unwanted(const struct wire_options *options, __u32 at, __u32 length)
{
	__u8 kind = option_byte(options, at);
	if (kind == OPTION_TRIAL)
		return length >= 4 && option_byte(options, at + 2) == 0xf9 && option_byte(options, at + 3) == 0x89;
	return kind == OPTION_MPTCP || kind == OPTION_FAST_OPEN;
}

/* In the SYN: what would let data travel before the header, or by another way. 1 when something was blanked. */
WIRE_CALL int options_blank_syn(struct wire_options *options, __u32 size)
{
	int found = 0;
	__u32 at = 0;
	if (!options)
		return 0;
	for (int i = 0; i < WIRE_OPTIONS_MAX; i++) {
		__u32 length = option_length(options, at, size);
		if (!length)
			break;
		if (option_unwanted(options, at, length)) {
			option_blank(options, at, length);
			found = 1;
		}
		at += length;
	}
	return found;
}

/* How the numbers of one flow are shifted back. */
struct wire_shift {
	__u32 base;   /* ISN + 1 */
	__u32 length; /* of the header */
	__u32 past;   /* nothing is to be held at base any more */
};

/* A number of the node's as the client counts: never below base. */
static __always_inline __u32 wire_shift_back(const struct wire_shift *by, __u32 number)
{
	return !by->past && number - by->base < by->length ? by->base : number - by->length;
}

/* Shifts the blocks of the SACK option at `at`. One that covers nothing but the header (the DSACK of a header that came
 * twice), and one that would begin at the acknowledgement itself, go; those behind it move up. ack: as the client will
 * see it. Returns the number of blocks left. */
WIRE_CALL int options_shift_sack(struct wire_options *options, __u32 at, __u32 ack, const struct wire_shift *by)
{
	if (!options || !by || at >= WIRE_OPTIONS_MAX)
		return 0;
	__u32 length = option_byte(options, at + 1), kept = 0;
	for (__u32 i = 0; i < 4; i++) {
		__u32 from = at + 2 + 8 * i, to = at + 2 + 8 * kept;
		if (8 * i + 10 > length || from + 8 > WIRE_OPTIONS_MAX)
			break;
		__u32 left = wire_shift_back(by, option_number(options, from));
		__u32 right = wire_shift_back(by, option_number(options, from + 4));
		if (left == right || left == ack)
			continue;
		option_set_number(options, to, left);
		option_set_number(options, to + 4, right);
		kept++;
	}
	if (kept)
		option_set(options, at + 1, (__u8)(2 + 8 * kept));
	__u32 begin = kept ? at + 2 + 8 * kept : at;
	if (at + length > begin)
		option_blank(options, begin, at + length - begin);
	return (int)kept;
}
