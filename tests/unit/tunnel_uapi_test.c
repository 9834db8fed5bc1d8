/* The userspace implementations' protocol: what is asked for, what answers say,
 * and what is no answer. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../daemon/kernel/tunnel_uapi.h"

/* Any 32 bytes. */
#define PRIVATE "77076d0a7318a57d3c16c17251b26645d0a8c2f2c0e1d8a0a8d2c8e4f3b6a12a"
#define ALICE "77076d0a7318a57d3c16c17251b26645c6c2b1a2f0d7f2e0a4f0a0a0a0a0a06a"
#define PEER "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
#define ZERO "0000000000000000000000000000000000000000000000000000000000000000"

static int parse(struct arena *arena, const char *text, struct tunnel_state *tunnel)
{
	*tunnel = (struct tunnel_state){0};
	return uapi_parse(text, strlen(text), arena, tunnel);
}

static void an_answer_is_read(void **state)
{
	(void)state;
	struct arena *arena = arena_new();
	struct tunnel_state tunnel;
	static const char text[] = "private_key=" ALICE "\nlisten_port=51820\nfwmark=7\npublic_key=" PEER
				   "\npreshared_key=" ZERO "\nprotocol_version=1\nendpoint=[2001:db8::1%eth0]:5\n"
				   "last_handshake_time_sec=17\nlast_handshake_time_nsec=5\ntx_bytes=3\nrx_bytes=4\n"
				   "persistent_keepalive_interval=25\nallowed_ip=198.51.100.0/24\n"
				   "allowed_ip=192.0.2.1/32\npublic_key=" PRIVATE "\npreshared_key=" PEER
				   "\nendpoint=192.0.2.7:65535\nerrno=0\n\n";
	assert_int_equal(parse(arena, text, &tunnel), 0);
	assert_int_equal(tunnel.listen, 51820);
	assert_false(tunnel_key_is_zero(tunnel.public_key));
	assert_int_equal(tunnel.peer_count, 2);
	const struct tunnel_peer *second = &tunnel.peers[0], *first = &tunnel.peers[1]; /* sorted by key */
	assert_int_equal(first->public_key[0], 0x85);
	assert_int_equal(first->keepalive, 25);
	assert_int_equal(first->handshake, 17);
	assert_int_equal(first->sent, 3);
	assert_int_equal(first->received, 4);
	assert_true(tunnel_key_is_zero(first->preshared));
	assert_int_equal(first->endpoint.family, FAMILY_V6);
	assert_int_equal(first->endpoint_port, 5);
	assert_int_equal(first->allowed_count, 2);
	assert_int_equal(first->allowed[0].addr.bytes[0], 192);
	assert_false(tunnel_key_is_zero(second->preshared));
	assert_memory_not_equal(second->preshared, first->public_key, TUNNEL_KEY_SIZE);
	assert_int_equal(second->endpoint_port, 65535);
	arena_free(&arena);
}

static void what_is_no_answer_is_refused(void **state)
{
	(void)state;
	static const char *const broken[] = {
		"", "\n", "\n\n", "errno=0", "errno=0\n", "listen_port=1\n\n", "errno=0\n\n\n", "errno=0\n\nlisten_port=1\n",
		"errno=99999999\n\n", "errno=x\n\n", "listen_port=65536\nerrno=0\n\n", "listen_port=-1\nerrno=0\n\n",
		"private_key=00\nerrno=0\n\n", "public_key=zz\nerrno=0\n\n", "nothing\nerrno=0\n\n",
		"errno=0\nlisten_port=1\n\n", "public_key=" PEER "\nendpoint=192.0.2.1\nerrno=0\n\n",
		"public_key=" PEER "\nendpoint=[]:1\nerrno=0\n\n", "public_key=" PEER "\nallowed_ip=192.0.2.1/33\nerrno=0\n\n",
		"public_key=" PEER "\nrx_bytes=99999999999999999999\nerrno=0\n\n",
		"a_key_that_is_much_longer_than_any_that_there_is=1\nerrno=0\n\n",
	};
	struct arena *arena = arena_new();
	struct tunnel_state tunnel;
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		if (parse(arena, broken[i], &tunnel) != -EBADMSG)
			print_message("taken: %s\n", broken[i]);
		assert_int_equal(parse(arena, broken[i], &tunnel), -EBADMSG);
		assert_int_equal(tunnel.peer_count, 0);
	}
	/* Not the number that it gives: "no memory" of its own is not ours. */
	assert_int_equal(parse(arena, "errno=12\n\n", &tunnel), -EREMOTEIO);
	assert_int_equal(parse(arena, "errno=-98\n\n", &tunnel), -EREMOTEIO);
	assert_int_equal(parse(arena, "public_key=" PEER "\npublic_key=" PRIVATE "\npublic_key=" PEER "\nerrno=0\n\n", &tunnel),
			 -EBADMSG);
	assert_int_equal(uapi_parse_result("errno=-98\n\n", 11), -EADDRINUSE);
	assert_int_equal(uapi_parse_result("errno=0\n\n", 9), 0);
	assert_int_equal(uapi_parse_result("errno=1\n\n", 9), -EPERM);
	assert_int_equal(uapi_parse_result("public_key=" PEER "\nerrno=0\n\n", 85), -EBADMSG);
	arena_free(&arena);
}

static void every_shortening_is_refused(void **state)
{
	(void)state;
	static const char text[] = "listen_port=1\npublic_key=" PEER "\nallowed_ip=192.0.2.0/24\nerrno=0\n\n";
	for (size_t length = 0; length < sizeof(text) - 1; length++) {
		struct arena *arena = arena_new();
		struct tunnel_state tunnel = {0};
		char *cut = malloc(length ? length : 1); /* so that a sanitizer sees a read behind it */
		memcpy(cut, text, length);
		assert_int_equal(uapi_parse(cut, length, arena, &tunnel), -EBADMSG);
		free(cut);
		arena_free(&arena);
	}
}

static void a_change_is_written(void **state)
{
	(void)state;
	const struct prefix allowed = {.addr = {.family = FAMILY_V4, .bytes = {192, 0, 2, 1}}, .length = 32};
	const struct tunnel_peer peer = {.public_key = {0xab}, .keepalive = 25, .allowed = &allowed, .allowed_count = 1,
					 .endpoint = {.family = FAMILY_V6, .bytes = {0x20, 1, 0xd, 0xb8}}, .endpoint_port = 9};
	struct peer_change peers[] = {{.peer = &peer, .remove = true},
				      {.peer = &peer, .is_new = true, .set_keepalive = true, .set_endpoint = true,
				       .set_allowed = true},
				      {.peer = &peer, .set_preshared = true}};
	const struct tunnel_change change = {.device = "wg0", .set_device = true, .private_key = {1}, .listen = 51820,
					     .peers = peers, .count = 3};
	char text[4096];
	assert_true(uapi_room(&change) <= sizeof(text));
	size_t length = uapi_print(&change, text, sizeof(text));
	text[length] = '\0';
	assert_non_null(strstr(text, "set=1\nprivate_key=0100"));
	assert_non_null(strstr(text, "\nlisten_port=51820\npublic_key=ab00"));
	assert_non_null(strstr(text, "00\nremove=true\npublic_key=ab00"));
	assert_non_null(strstr(text, "\nendpoint=[2001:db8::]:9\npersistent_keepalive_interval=25\n"
				     "replace_allowed_ips=true\nallowed_ip=192.0.2.1/32\n"));
	assert_non_null(strstr(text, "\nupdate_only=true\npreshared_key=" ZERO "\n\n"));
	assert_true(uapi_is_complete(text, length));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_is_read),
		cmocka_unit_test(what_is_no_answer_is_refused),
		cmocka_unit_test(every_shortening_is_refused),
		cmocka_unit_test(a_change_is_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
