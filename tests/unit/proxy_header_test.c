/* PROXY headers, byte for byte, as the protocol's text gives them; each is
 * written into a buffer whose other bytes must stay what they were. And the way
 * from socket addresses and back. */
#include "../../daemon/proxy/header.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <arpa/inet.h>
#include <cmocka.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static struct endpoint end(const char *text, uint16_t port)
{
	struct endpoint endpoint = {.port = port};
	assert_int_equal(addr_parse(text, strlen(text), &endpoint.addr), 0);
	return endpoint;
}

static void expect(enum proxy_header version, struct endpoint from, struct endpoint to, const void *bytes, size_t length)
{
	/* The bytes behind the header are another's: the first data. */
	uint8_t buffer[HEADER_MAX + 1];
	memset(buffer, 0xee, sizeof(buffer));
	assert_int_equal(header_encode(version, &from, &to, buffer), length);
	assert_memory_equal(buffer, bytes, length);
	for (size_t i = length; i < sizeof(buffer); i++)
		assert_int_equal(buffer[i], 0xee);
}

static void v1_text(void **state)
{
	(void)state;
	static const char v4[] = "PROXY TCP4 198.51.100.7 203.0.113.10 56324 443\r\n";
	static const char v6[] = "PROXY TCP6 2001:db8::7 2001:db8:1::10 65535 1\r\n";
	expect(PROXY_V1, end("198.51.100.7", 56324), end("203.0.113.10", 443), v4, sizeof(v4) - 1);
	expect(PROXY_V1, end("2001:db8::7", 65535), end("2001:db8:1::10", 1), v6, sizeof(v6) - 1);
}

static void v1_longest_fits(void **state)
{
	(void)state;
	static const char line[] = "PROXY TCP6 2001:db8:ffff:ffff:ffff:ffff:ffff:fff1 2001:db8:ffff:ffff:ffff:ffff:ffff:fff2 "
				   "65535 65535\r\n";
	struct endpoint from = end("2001:db8:ffff:ffff:ffff:ffff:ffff:fff1", 65535);
	struct endpoint to = end("2001:db8:ffff:ffff:ffff:ffff:ffff:fff2", 65535);
	expect(PROXY_V1, from, to, line, sizeof(line) - 1);
	memset(from.addr.bytes, 0xff, 16);
	memset(to.addr.bytes, 0xff, 16);
	uint8_t buffer[HEADER_MAX];
	size_t length = header_encode(PROXY_V1, &from, &to, buffer);
	assert_int_equal(length, 104); /* 2.1: "TCP6" and two full addresses and ports: 104 with CRLF */
	assert_true(length <= 107);
}

static void v2_ipv4(void **state)
{
	(void)state;
	static const char bytes[] = SIGNATURE "\x21\x11\x00\x0c\xc6\x33\x64\x07\xcb\x00\x71\x0a\xdc\x04\x01\xbb";
	expect(PROXY_V2, end("198.51.100.7", 56324), end("203.0.113.10", 443), bytes, 28);
}

static void v2_ipv6(void **state)
{
	(void)state;
	static const char bytes[] = SIGNATURE "\x21\x21\x00\x24"
					      "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"
					      "\x20\x01\x0d\xb8\0\x01\0\0\0\0\0\0\0\0\0\x10"
					      "\xdc\x04\x01\xbb";
	expect(PROXY_V2, end("2001:db8::7", 56324), end("2001:db8:1::10", 443), bytes, 52);
}

static void mixed_families_are_written_as_ipv6(void **state)
{
	(void)state;
	static const char text[] = "PROXY TCP6 ::ffff:198.51.100.7 2001:db8::10 1000 443\r\n";
	static const char bytes[] = SIGNATURE "\x21\x21\x00\x24"
					      "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x10"
					      "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc6\x33\x64\x07"
					      "\x03\xe8\x01\xbb";
	expect(PROXY_V1, end("198.51.100.7", 1000), end("2001:db8::10", 443), text, sizeof(text) - 1);
	expect(PROXY_V2, end("2001:db8::10", 1000), end("198.51.100.7", 443), bytes, 52);
}

static void none_is_nothing(void **state)
{
	(void)state;
	expect(PROXY_NONE, end("198.51.100.7", 1), end("203.0.113.10", 2), "", 0);
}

static void unknown_ends_are_said_to_be_unknown(void **state)
{
	(void)state;
	struct endpoint unknown = {0};
	expect(PROXY_V1, unknown, end("203.0.113.10", 2), "PROXY UNKNOWN\r\n", 15);
	expect(PROXY_V1, end("203.0.113.10", 2), unknown, "PROXY UNKNOWN\r\n", 15);
	expect(PROXY_V2, unknown, end("203.0.113.10", 2), SIGNATURE "\x20\0\0\0", 16);
}

static void local_for_probes(void **state)
{
	(void)state;
	uint8_t buffer[HEADER_MAX];
	assert_int_equal(header_encode_local(PROXY_NONE, buffer), 0);
	assert_int_equal(header_encode_local(PROXY_V1, buffer), 15);
	assert_memory_equal(buffer, "PROXY UNKNOWN\r\n", 15);
	assert_int_equal(header_encode_local(PROXY_V2, buffer), 16);
	assert_memory_equal(buffer, SIGNATURE "\x20\0\0\0", 16);
}

static void socket_addresses(void **state)
{
	(void)state;
	struct sockaddr_storage storage = {0};
	struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(80)};
	assert_int_equal(inet_pton(AF_INET6, "::ffff:198.51.100.7", &mapped.sin6_addr), 1);
	memcpy(&storage, &mapped, sizeof(mapped));
	struct endpoint got = endpoint_from_sockaddr(&storage), wanted = end("198.51.100.7", 80);
	assert_true(addr_equal(&got.addr, &wanted.addr));
	assert_int_equal(got.port, 80);

	static const char *const texts[] = {"198.51.100.7", "2001:db8::7"};
	for (size_t i = 0; i < 2; i++) {
		wanted = end(texts[i], 443);
		assert_int_equal(endpoint_to_sockaddr(&wanted, &storage),
				 i ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
		got = endpoint_from_sockaddr(&storage);
		assert_true(addr_equal(&got.addr, &wanted.addr));
		assert_int_equal(got.port, 443);
	}
	storage = (struct sockaddr_storage){.ss_family = AF_UNIX};
	assert_int_equal(endpoint_from_sockaddr(&storage).addr.family, FAMILY_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(v1_text),
		cmocka_unit_test(v1_longest_fits),
		cmocka_unit_test(v2_ipv4),
		cmocka_unit_test(v2_ipv6),
		cmocka_unit_test(mixed_families_are_written_as_ipv6),
		cmocka_unit_test(none_is_nothing),
		cmocka_unit_test(unknown_ends_are_said_to_be_unknown),
		cmocka_unit_test(local_for_probes),
		cmocka_unit_test(socket_addresses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
