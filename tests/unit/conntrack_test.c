/* Walking over conntrack in a network namespace of the test's own: real UDP
 * and TCP flows over the loopback device, marked by nft. */
#include "../../daemon/kernel/conntrack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MARKED 0x80000003u

static bool isolated;

static int run(const char *command)
{
	int status = system(command);
	return status == -1 || !WIFEXITED(status) ? -1 : WEXITSTATUS(status);
}

static int fresh_namespace(void **context)
{
	(void)context;
	isolated = unshare(CLONE_NEWNET) == 0;
	if (!isolated)
		return 0;
	return run("ip link set lo up && nft 'table inet marks { chain c { type filter hook output priority 0;"
		   "udp dport 5000 ct mark set 0x80000003; udp dport 5001 ct mark set 1; tcp dport 5002 ct mark set 2; }; }' &&"
		   "sysctl -qw net.netfilter.nf_conntrack_acct=1 net.netfilter.nf_conntrack_timestamp=1");
}

#define NEEDS_ROOT()       \
	do {               \
		if (!isolated) \
			skip();    \
	} while (0)

static int family_socket(int family, int type, uint16_t port, struct sockaddr_storage *ret_address, socklen_t *ret_length)
{
	memset(ret_address, 0, sizeof(*ret_address));
	if (family == AF_INET) {
		*(struct sockaddr_in *)ret_address = (struct sockaddr_in){
			.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		*ret_length = sizeof(struct sockaddr_in);
	} else {
		*(struct sockaddr_in6 *)ret_address = (struct sockaddr_in6){
			.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
		*ret_length = sizeof(struct sockaddr_in6);
	}
	int fd = socket(family, type, 0);
	assert_true(fd >= 0);
	return fd;
}

/* Sends one packet of ten bytes to that port from a port of its own; returns that one. */
static uint16_t send_one(int family, uint16_t port)
{
	struct sockaddr_storage to, self;
	socklen_t length;
	int fd = family_socket(family, SOCK_DGRAM, port, &to, &length);
	assert_int_equal(sendto(fd, "0123456789", 10, 0, (struct sockaddr *)&to, length), 10);
	socklen_t self_length = sizeof(self);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&self, &self_length), 0);
	close(fd);
	return ntohs(family == AF_INET ? ((struct sockaddr_in *)&self)->sin_port : ((struct sockaddr_in6 *)&self)->sin6_port);
}

struct notes {
	size_t seen, stop_at;
	uint16_t end_port; /* end the flow from that port; 1: all */
	struct flow last;
};

static enum flow_verdict look(void *context, const struct flow *flow)
{
	struct notes *notes = context;
	notes->seen++;
	notes->last = *flow;
	if (notes->stop_at && notes->seen >= notes->stop_at)
		return FLOW_STOP;
	bool end = notes->end_port == 1 || (notes->end_port && flow->original.from_port == notes->end_port);
	return end ? FLOW_END : FLOW_KEEP;
}

static size_t count(uint32_t mark, uint32_t mask)
{
	struct notes notes = {0};
	assert_int_equal(conntrack_walk(mark, mask, look, &notes), 0);
	return notes.seen;
}

static void flows_are_told_whole(void **context)
{
	(void)context;
	NEEDS_ROOT();
	uint16_t port = send_one(AF_INET, 5000);
	struct notes notes = {0};
	assert_int_equal(conntrack_walk(MARKED, UINT32_MAX, look, &notes), 0);
	assert_int_equal(notes.seen, 1);
	const struct flow *flow = &notes.last;
	const struct addr home = {FAMILY_V4, {127, 0, 0, 1}};
	assert_int_equal(flow->protocol, IPPROTO_UDP);
	assert_true(addr_equal(&flow->original.from, &home) && addr_equal(&flow->original.to, &home));
	assert_true(addr_equal(&flow->reply.from, &home) && addr_equal(&flow->reply.to, &home));
	assert_int_equal(flow->original.from_port, port);
	assert_int_equal(flow->original.to_port, 5000);
	assert_int_equal(flow->reply.from_port, 5000);
	assert_int_equal(flow->reply.to_port, port);
	assert_int_equal(flow->mark, MARKED);
	assert_string_equal(flow->state, "");
	assert_int_equal(flow->packets_in, 1);
	assert_int_equal(flow->bytes_in, 38);
	assert_int_equal(flow->packets_out, 0);
	assert_true(flow->timeout_seconds > 0 && flow->timeout_seconds <= 30);
	assert_true(flow->age_seconds < 30);
	assert_int_not_equal(flow->id, 0);
}

static void both_families_and_the_mask(void **context)
{
	(void)context;
	NEEDS_ROOT();
	for (int i = 0; i < 5; i++)
		send_one(AF_INET, 5000);
	for (int i = 0; i < 3; i++)
		send_one(AF_INET6, 5000);
	for (int i = 0; i < 2; i++)
		send_one(AF_INET, 5001);
	assert_int_equal(count(MARKED, UINT32_MAX), 8);
	assert_int_equal(count(1, UINT32_MAX), 2);
	assert_int_equal(count(1, 1), 10);
	assert_int_equal(count(0x80000000u, 0x80000000u), 8);
	assert_int_equal(count(7, UINT32_MAX), 0);
	struct notes notes = {0};
	assert_int_equal(conntrack_walk(0, 0, look, &notes), 0);
	assert_true(notes.seen >= 10);
	notes = (struct notes){.end_port = send_one(AF_INET6, 5001)};
	assert_int_equal(conntrack_walk(1, UINT32_MAX, look, &notes), 1);
	assert_int_equal(count(1, UINT32_MAX), 2);
}

static void tcp_states_have_names(void **context)
{
	(void)context;
	NEEDS_ROOT();
	struct sockaddr_storage address;
	socklen_t length;
	int listener = family_socket(AF_INET, SOCK_STREAM, 5002, &address, &length);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, length), 0);
	assert_int_equal(listen(listener, 5), 0);
	int client = family_socket(AF_INET, SOCK_STREAM, 5002, &address, &length);
	assert_int_equal(connect(client, (struct sockaddr *)&address, length), 0);
	struct notes notes = {0};
	assert_int_equal(conntrack_walk(2, UINT32_MAX, look, &notes), 0);
	assert_int_equal(notes.seen, 1);
	assert_string_equal(notes.last.state, "established");
	close(client);
	close(listener);
}

static void ended_flows_are_gone_and_others_live(void **context)
{
	(void)context;
	NEEDS_ROOT();
	uint16_t first = send_one(AF_INET, 5000);
	(void)send_one(AF_INET, 5000);
	struct notes notes = {.end_port = first};
	assert_int_equal(conntrack_walk(MARKED, UINT32_MAX, look, &notes), 1);
	notes = (struct notes){.end_port = first};
	assert_int_equal(conntrack_walk(MARKED, UINT32_MAX, look, &notes), 0);
	assert_int_equal(notes.seen, 1);
	assert_int_not_equal(notes.last.original.from_port, first);
	/* Many: more than one part of a dump. */
	for (int i = 0; i < 3000; i++)
		send_one(AF_INET, 5000);
	notes = (struct notes){.stop_at = 10};
	assert_int_equal(conntrack_walk(MARKED, UINT32_MAX, look, &notes), 0);
	assert_int_equal(notes.seen, 10);
	size_t all = count(MARKED, UINT32_MAX);
	assert_true(all > 2000);
	notes = (struct notes){.end_port = 1};
	int ended = conntrack_walk(MARKED, UINT32_MAX, look, &notes);
	assert_true(ended > 0);
	assert_int_equal(count(MARKED, UINT32_MAX), all - (size_t)ended);
	assert_int_equal(ended, all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(flows_are_told_whole, fresh_namespace),
		cmocka_unit_test_setup(both_families_and_the_mask, fresh_namespace),
		cmocka_unit_test_setup(tcp_states_have_names, fresh_namespace),
		cmocka_unit_test_setup(ended_flows_are_gone_and_others_live, fresh_namespace),
	};
	return cmocka_run_group_tests_name("conntrack", tests, NULL, NULL);
}
