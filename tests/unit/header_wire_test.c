/* The pure part of the header-injection programs, compiled for this machine:
 * headers against the user-space forwarder's, CRC32c, sequence arithmetic and
 * TCP options, also broken ones. */
#include "../../daemon/bpf/options.h"
#include "../../daemon/proxy/header.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct wire_ends ends_of(const char *source, unsigned port, const char *destination, unsigned other)
{
	struct wire_ends ends = {.source_port = htons((uint16_t)port), .destination_port = htons((uint16_t)other)};
	struct endpoint from = {0}, to = {0};
	assert_int_equal(addr_parse(source, strlen(source), &from.addr), 0);
	assert_int_equal(addr_parse(destination, strlen(destination), &to.addr), 0);
	if (from.addr.family == FAMILY_V4) {
		ends.source[2] = ends.destination[2] = htonl(0xffff);
		memcpy(&ends.source[3], from.addr.bytes, 4);
		memcpy(&ends.destination[3], to.addr.bytes, 4);
	} else {
		memcpy(ends.source, from.addr.bytes, 16);
		memcpy(ends.destination, to.addr.bytes, 16);
	}
	return ends;
}

/* The same bytes as the forwarder writes, with each choice of TLVs. */
static void same_with(const char *source, unsigned port, const char *destination, unsigned other, uint32_t tlvs)
{
	const uint64_t id = 0x0123456789abcdefULL;
	struct wire_ends ends = ends_of(source, port, destination, other);
	struct wire_bytes made;
	const __u32 mark = MARK_HEADER_V2 | (tlvs & TLV_BIT(TLV_CRC32C) ? MARK_HEADER_CRC : 0) |
			   (tlvs & TLV_BIT(TLV_UNIQUE_ID) ? MARK_HEADER_ID : 0);
	wire_put_header(&made, &ends, mark, id);
	struct endpoint from = {.port = (uint16_t)port}, to = {.port = (uint16_t)other};
	addr_parse(source, strlen(source), &from.addr);
	addr_parse(destination, strlen(destination), &to.addr);
	uint8_t expected[HEADER_MAX];
	size_t length = header_encode(PROXY_V2, &from, &to, expected);
	if (tlvs)
		length = header_add_tlvs(expected, length, tlvs, id);
	assert_int_equal(made.length, length);
	assert_memory_equal(made.bytes, expected, length);
	assert_int_equal(length, wire_v2_length(from.addr.family == FAMILY_V4, mark));
}

static void same_v2(const char *source, unsigned port, const char *destination, unsigned other)
{
	for (uint32_t tlvs = 0; tlvs <= TLV_BITS; tlvs++)
		same_with(source, port, destination, other, tlvs);
}

static void test_version_2(void **state)
{
	(void)state;
	same_v2("198.51.100.77", 40000, "203.0.113.10", 443);
	same_v2("0.0.0.0", 0, "255.255.255.255", 65535);
	same_v2("2001:db8::77", 1, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", 65535);
}

static void test_version_1(void **state)
{
	(void)state;
	struct wire_bytes made;
	struct wire_ends ends = ends_of("198.51.100.7", 40000, "203.0.113.10", 80);
	wire_put_header(&made, &ends, MARK_HEADER_V1, 0);
	static const char four[] = "PROXY TCP4 198.51.100.7 203.0.113.10 40000 80\r\n";
	assert_int_equal(made.length, sizeof(four) - 1);
	assert_memory_equal(made.bytes, four, sizeof(four) - 1);
	ends = ends_of("2001:db8::77", 1, "2001:db8:ffff:abcd::a", 65535);
	wire_put_header(&made, &ends, MARK_HEADER_V1, 0);
	static const char six[] = "PROXY TCP6 2001:db8:0:0:0:0:0:77 2001:db8:ffff:abcd:0:0:0:a 1 65535\r\n";
	assert_int_equal(made.length, sizeof(six) - 1);
	assert_memory_equal(made.bytes, six, sizeof(six) - 1);
	/* The longest there is: 107 with the text of section 2.1, which counts a terminator and six more for UNKNOWN. */
	ends = ends_of("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", 65535, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffd", 65535);
	wire_put_header(&made, &ends, MARK_HEADER_V1, 0);
	assert_int_equal(made.length, 104);
}

static void test_tlvs(void **state)
{
	(void)state;
	struct wire_ends ends = ends_of("198.51.100.7", 40000, "203.0.113.10", 80);
	struct wire_bytes made;
	const __u32 mark = MARK_HEADER_V2 | MARK_HEADER_CRC | MARK_HEADER_ID;
	wire_put_header(&made, &ends, mark, 0x0123456789abcdefULL);
	assert_int_equal(made.length, wire_v2_length(1, mark));
	assert_int_equal(made.bytes[14] << 8 | made.bytes[15], made.length - 16);
	assert_memory_equal(made.bytes + 28, "\x05\0\x10" "0123456789abcdef" "\x03\0\x04", 22);
	__u32 sent;
	memcpy(&sent, made.bytes + 50, 4);
	memset(made.bytes + 50, 0, 4);
	assert_int_equal(ntohl(sent), wire_crc32c(&made));
	/* The check value of CRC-32C. */
	struct wire_bytes check = {.length = 9, .bytes = "123456789"};
	assert_int_equal(wire_crc32c(&check), 0xe3069283u);
}

static void test_numbers_never_fall_below_the_first(void **state)
{
	(void)state;
	struct wire_shift by = {.base = 0xfffffff0u, .length = 28};
	assert_int_equal(wire_shift_back(&by, 0xfffffff0u), 0xfffffff0u);
	assert_int_equal(wire_shift_back(&by, 0xfffffff0u + 27), 0xfffffff0u);
	assert_int_equal(wire_shift_back(&by, 0xfffffff0u + 28), 0xfffffff0u);
	assert_int_equal(wire_shift_back(&by, 0xfffffff0u + 29), 0xfffffff1u);
	by.past = 1;
	assert_int_equal(wire_shift_back(&by, 0xfffffff0u), 0xfffffff0u - 28);
}

static void test_broken_options_end_the_walk(void **state)
{
	(void)state;
	static const uint8_t cases[][4] = {{30, 0, 1, 1}, {30, 1, 1, 1}, {30, 5, 1, 1}, {8, 255, 30, 4}, {0, 30, 4, 1}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wire_options options = {0}, before;
		memcpy(options.bytes, cases[i], 4);
		before = options;
		assert_int_equal(options_blank_syn(&options, 4), 0);
		assert_int_equal(option_find(&options, 4, OPTION_SACK), 4);
		assert_memory_equal(&options, &before, sizeof(options));
	}
}

/* Any bytes at all: nothing outside the options is written, and nothing hangs. */
static void test_random_options_stay_in_their_room(void **state)
{
	(void)state;
	srand(1);
	for (int round = 0; round < 200000; round++) {
		struct wire_options options;
		for (size_t i = 0; i < sizeof(options.bytes); i++)
			options.bytes[i] = (uint8_t)(rand() % 4 ? rand() % 40 : rand());
		struct wire_options before = options;
		__u32 size = (__u32)(rand() % 11) * 4;
		options_blank_syn(&options, size);
		assert_memory_equal(options.bytes + size, before.bytes + size, sizeof(options.bytes) - size);
		options = before;
		struct wire_shift by = {.base = (__u32)rand(), .length = 28};
		__u32 at = option_find(&options, size, OPTION_SACK);
		if (at < size)
			assert_in_range(options_shift_sack(&options, at, by.base, &by), 0, 4);
		assert_memory_equal(options.bytes + size, before.bytes + size, sizeof(options.bytes) - size);
	}
}

static void test_sack_blocks_move_up(void **state)
{
	(void)state;
	struct wire_shift by = {.base = 1001, .length = 28};
	struct wire_options options = {.bytes = {1, 1, OPTION_SACK, 26}};
	static const __u32 edges[] = {1001, 1029, 1129, 1229, 1329, 1429};
	for (__u32 i = 0; i < 6; i++)
		option_set_number(&options, 4 + 4 * i, edges[i]);
	assert_int_equal(options_shift_sack(&options, 2, 1050, &by), 2);
	assert_int_equal(option_byte(&options, 3), 18);
	assert_int_equal(option_number(&options, 4), 1101);
	assert_int_equal(option_number(&options, 8), 1201);
	assert_int_equal(option_number(&options, 12), 1301);
	assert_int_equal(option_number(&options, 16), 1401);
	for (__u32 i = 20; i < 28; i++)
		assert_int_equal(option_byte(&options, i), OPTION_NOP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version_2),
		cmocka_unit_test(test_version_1),
		cmocka_unit_test(test_tlvs),
		cmocka_unit_test(test_numbers_never_fall_below_the_first),
		cmocka_unit_test(test_broken_options_end_the_walk),
		cmocka_unit_test(test_random_options_stay_in_their_room),
		cmocka_unit_test(test_sack_blocks_move_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
