/* The agent's datagrams and its configuration file: what is written reads back,
 * and everything else is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../daemon/agent/config.h"
#include "../../daemon/agent_message.h"

static void what_is_written_reads_back(void **state)
{
	(void)state;
	uint8_t bytes[AGENT_MESSAGE_SIZE];
	for (int verb = AGENT_OFFER; verb <= AGENT_WAIT; verb++) {
		bool keys = verb == AGENT_OFFER || verb == AGENT_ACCEPT;
		struct agent_message message = {.verb = (enum agent_verb)verb, .id = 0x123456789abcdef0,
						.port = keys ? 51821 : 0, .has_preshared = verb == AGENT_OFFER}, back;
		memset(message.public_key, keys ? 7 : 0, 32);
		memset(message.preshared, message.has_preshared ? 8 : 0, 32);
		agent_message_write(&message, bytes);
		assert_int_equal(agent_message_read(bytes, sizeof(bytes), &back), 0);
		assert_int_equal(back.verb, verb);
		assert_true(back.id == message.id && back.port == message.port && back.has_preshared == message.has_preshared);
		assert_memory_equal(back.public_key, message.public_key, 32);
		assert_memory_equal(back.preshared, message.preshared, 32);
	}
}

static void everything_else_is_refused(void **state)
{
	(void)state;
	struct agent_message message = {.verb = AGENT_OFFER, .id = 1, .port = 1, .public_key = {1}}, back;
	uint8_t bytes[AGENT_MESSAGE_SIZE + 1] = {0};
	agent_message_write(&message, bytes);
	for (size_t length = 0; length <= sizeof(bytes); length++)
		assert_int_equal(agent_message_read(bytes, length, &back), length == AGENT_MESSAGE_SIZE ? 0 : -EBADMSG);
	/* Magic, version, flags, what must be zero, a preshared key that no flag announces. */
	static const size_t fixed[] = {0, 7, 8, 10, 11, 14, 15, 56, 87};
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		bytes[fixed[i]] ^= 0x40;
		assert_int_equal(agent_message_read(bytes, AGENT_MESSAGE_SIZE, &back), -EBADMSG);
		bytes[fixed[i]] ^= 0x40;
	}
	for (int verb = 0; verb < 256; verb++) {
		bytes[9] = (uint8_t)verb;
		int r = agent_message_read(bytes, AGENT_MESSAGE_SIZE, &back);
		assert_int_equal(r, verb == AGENT_OFFER || verb == AGENT_ACCEPT ? 0 : -EBADMSG);
	}
	struct agent_message none[] = {{.verb = AGENT_OFFER, .id = 0, .port = 1, .public_key = {1}},
				       {.verb = AGENT_OFFER, .id = 1, .port = 0, .public_key = {1}},
				       {.verb = AGENT_OFFER, .id = 1, .port = 1},
				       {.verb = AGENT_MOVE, .id = 1, .port = 1}};
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		agent_message_write(&none[i], bytes);
		assert_int_equal(agent_message_read(bytes, AGENT_MESSAGE_SIZE, &back), -EBADMSG);
	}
}

#define KEY "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw="
#define GOOD "# peer export\n[Interface]\nPrivateKey = " KEY "\nAddress = 198.18.88.13/32, 2001:db8:88::13/128\nMTU = 1380\n" \
	     "[Peer]\nPublicKey=" KEY "\nAllowedIPs = 198.18.88.0/24,2001:db8:88::/64\nEndpoint = [2001:db8::1]:51820\n" \
	     "PersistentKeepalive = 25\n"

static int parse(struct arena *arena, const char *text, struct agent_config *config, const char **error)
{
	*error = NULL;
	return agent_config_parse("/etc/wireguard/wg0.conf", text, strlen(text), arena, config, error);
}

static void a_peers_configuration_is_read(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	struct agent_config config;
	const char *error;
	assert_int_equal(parse(arena, GOOD, &config, &error), 0);
	assert_string_equal(config.device, "wg0");
	assert_string_equal(config.host, "2001:db8::1");
	assert_int_equal(config.port, 51820);
	assert_int_equal(config.address_count, 2);
	assert_int_equal(config.allowed_count, 2);
	assert_int_equal(config.mtu, 1380);
	assert_int_equal(config.keepalive, 25);
	assert_false(config.has_preshared);
	/* Cut anywhere it is refused or less, and never a crash. */
	for (size_t i = 0; i < strlen(GOOD); i++) {
		struct agent_config part;
		(void)agent_config_parse("wg0.conf", GOOD, i, arena, &part, &error);
	}
}

static void what_it_does_not_do_is_refused_with_its_line(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	static const struct {
		const char *text, *error;
	} cases[] = {
		{"", "line 0: PrivateKey"},
		{"PrivateKey = x\n", "line 1: expected"},
		{"[Interface]\nPrivateKey = x\n", "line 2: this is no key"},
		{"[Interface]\nPostUp = reboot\n", "line 2: the agent knows"},
		{"[Interface]\nAddress = 198.18.88.300/32\n", "line 2: this is no address"},
		{"[Interface]\nAddress = 198.18.88.3/33\n", "line 2: a number"},
		{"[Peer]\n[Peer]\n", "line 2: the agent's only peer"},
		{"[Peer]\nEndpoint = here\n", "line 2: an endpoint"},
		{"[Peer]\nEndpoint = here:0\n", "line 2: an endpoint"},
		{"[Peer]\nTable = off\n", "line 2: the agent knows"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct agent_config config;
		const char *error;
		assert_int_equal(parse(arena, cases[i].text, &config, &error), -EINVAL);
		assert_non_null(strstr(error, cases[i].error));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_reads_back),
		cmocka_unit_test(everything_else_is_refused),
		cmocka_unit_test(a_peers_configuration_is_read),
		cmocka_unit_test(what_it_does_not_do_is_refused_with_its_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
