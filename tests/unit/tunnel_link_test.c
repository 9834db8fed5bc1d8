/* rtnetlink's answers, odd ones too: what is cut short, too long, another's, or
 * says that the dump failed half way is never taken for all there is. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include "../../daemon/kernel/tunnel_link.h"

#define ALIGN(length) (((length) + 3u) & ~3u) /* NLMSG_ALIGNTO */
#define HEAD 16u                           /* of a message: struct nlmsghdr */

static struct link first; /* that was last read */

/* One answer: messages as the kernel puts them behind each other. */
struct answer {
	_Alignas(struct nlmsghdr) uint8_t bytes[8192];
	size_t length;
};

static struct nlmsghdr *put(struct answer *answer, uint16_t type, uint16_t flags, const void *payload, size_t size)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(answer->bytes + answer->length);
	message->nlmsg_type = type;
	message->nlmsg_flags = flags;
	message->nlmsg_seq = 1; /* that of the first request */
	if (size)
		memcpy(mnl_nlmsg_put_extra_header(message, size), payload, size);
	answer->length += ALIGN(message->nlmsg_len);
	return message;
}

/* Attributes behind the last message. */
static void grow(struct answer *answer, struct nlmsghdr *message)
{
	answer->length = (size_t)((uint8_t *)message - answer->bytes) + ALIGN(message->nlmsg_len);
}

static void put_link(struct answer *answer, const char *name)
{
	struct nlmsghdr *message =
		put(answer, RTM_NEWLINK, NLM_F_MULTI, &(struct ifinfomsg){.ifi_index = 7}, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(message, IFLA_IFNAME, name);
	mnl_attr_put_strz(message, IFLA_IFALIAS, TUNNEL_ALIAS);
	struct nlattr *info = mnl_attr_nest_start(message, IFLA_LINKINFO);
	mnl_attr_put_strz(message, IFLA_INFO_KIND, "wireguard");
	mnl_attr_nest_end(message, info);
	grow(answer, message);
}

static void put_done(struct answer *answer, int result)
{
	put(answer, NLMSG_DONE, NLM_F_MULTI, &result, sizeof(result));
}

typedef int list_prefixes(struct link_socket *, struct arena *, struct link_prefix **, size_t *);

/* What is read of count answers; -ECONNRESET stands for "it would wait for more" (the other end is closed). */
static int read_answers(const struct answer *answers, size_t count, list_prefixes *prefixes, size_t *ret_count)
{
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	struct link_socket link_socket = {.fd = pair[0]};
	struct arena *arena = arena_new();
	struct link *links = NULL;
	struct link_prefix *items = NULL;
	for (size_t i = 0; i < count; i++)
		assert_int_equal(send(pair[1], answers[i].bytes, answers[i].length, 0), (ssize_t)answers[i].length);
	*ret_count = 77;
	int r = prefixes ? prefixes(&link_socket, arena, &items, ret_count) : link_list(&link_socket, arena, &links, ret_count);
	if (r == 0 && links)
		first = links[0];
	assert_true(r == 0 || *ret_count == 77);
	close(pair[1]);
	link_close(&link_socket);
	arena_free(&arena);
	return r;
}

static int read_one(const struct answer *answer, size_t *ret_count)
{
	return read_answers(answer, 1, NULL, ret_count);
}

static void a_dump_in_parts_is_read(void **state)
{
	(void)state;
	struct answer parts[2] = {0};
	size_t count;
	put_link(&parts[0], "wg0");
	put_link(&parts[0], "wg1");
	put_link(&parts[1], "wg2");
	put_done(&parts[1], 0);
	assert_int_equal(read_answers(parts, 2, NULL, &count), 0);
	assert_int_equal(count, 3);
	assert_string_equal(first.name, "wg0");
	assert_true(first.ours);
	assert_int_equal(first.kind, LINK_WIREGUARD);
}

static void a_dump_that_failed_half_way_is_no_list(void **state)
{
	(void)state;
	struct answer failed = {0}, interrupted = {0}, error = {0}, odd = {0};
	size_t count;
	put_link(&failed, "wg0");
	put_done(&failed, -EMSGSIZE);
	assert_int_equal(read_one(&failed, &count), -EMSGSIZE);
	put_link(&interrupted, "wg0");
	put(&interrupted, NLMSG_DONE, NLM_F_MULTI | NLM_F_DUMP_INTR, &(int){0}, sizeof(int));
	assert_int_equal(read_one(&interrupted, &count), -EINTR);
	put(&error, NLMSG_ERROR, 0, &(struct nlmsgerr){.error = -EPERM}, sizeof(struct nlmsgerr));
	assert_int_equal(read_one(&error, &count), -EPERM);
	/* No error has such a number; taken as it is, it would say "go on". */
	put(&odd, NLMSG_ERROR, 0, &(struct nlmsgerr){.error = 1}, sizeof(struct nlmsgerr));
	assert_int_equal(read_one(&odd, &count), -EBADMSG);
}

static void what_is_another_request_s_is_passed_over(void **state)
{
	(void)state;
	struct answer answer = {0};
	size_t count;
	put(&answer, NLMSG_ERROR, 0, &(struct nlmsgerr){.error = -EPERM}, sizeof(struct nlmsgerr))->nlmsg_seq = 9;
	put_link(&answer, "wg0");
	put_done(&answer, 0);
	assert_int_equal(read_one(&answer, &count), 0);
	assert_int_equal(count, 1);
}

static void odd_messages_are_refused(void **state)
{
	(void)state;
	static const struct ifinfomsg head = {.ifi_index = 7};
	size_t count;
	struct answer short_error = {0}, short_head = {0}, nameless = {0}, long_name = {0}, type = {0};
	put(&short_error, NLMSG_ERROR, 0, "x", 1);
	assert_int_equal(read_one(&short_error, &count), -EBADMSG);
	put(&short_head, RTM_NEWLINK, NLM_F_MULTI, &head, 8);
	assert_int_equal(read_one(&short_head, &count), -EBADMSG);
	put(&nameless, RTM_NEWLINK, NLM_F_MULTI, &head, sizeof(head));
	assert_int_equal(read_one(&nameless, &count), -EBADMSG);
	put_link(&long_name, "a-name-that-is-too-long");
	assert_int_equal(read_one(&long_name, &count), -EBADMSG);
	put(&type, RTM_NEWADDR, NLM_F_MULTI, &head, sizeof(head));
	assert_int_equal(read_one(&type, &count), -EBADMSG);
}

/* An answer that ends anywhere is waited on, or refused: never taken. Attributes that reach beyond it are not read. */
static void every_shortening_is_refused(void **state)
{
	(void)state;
	struct answer whole = {0};
	size_t count;
	put_link(&whole, "wg0");
	size_t link = whole.length;
	put_done(&whole, 0);
	for (size_t length = 1; length < whole.length; length++) {
		struct answer cut = whole, end = {0};
		cut.length = length;
		put(&end, NLMSG_ERROR, 0, &(struct nlmsgerr){.error = -ENOSPC}, sizeof(struct nlmsgerr));
		struct answer answers[] = {cut, end};
		assert_true(read_answers(answers, 2, NULL, &count) < 0);
	}
	for (uint32_t length = 0; length < link; length++) {
		struct answer lies = whole;
		((struct nlmsghdr *)(void *)lies.bytes)->nlmsg_len = length;
		struct answer end = {0};
		put(&end, NLMSG_ERROR, 0, &(struct nlmsgerr){.error = -ENOSPC}, sizeof(struct nlmsgerr));
		struct answer answers[] = {lies, end};
		(void)read_answers(answers, 2, NULL, &count); /* whatever it makes of it: nothing is read beyond */
	}
	for (uint16_t length = 0; length < 300; length++) {
		struct answer lies = whole;
		struct nlattr *name = (void *)(lies.bytes + HEAD + sizeof(struct ifinfomsg));
		name->nla_len = length;
		struct answer end = {0};
		put(&end, NLMSG_ERROR, 0, &(struct nlmsgerr){.error = -ENOSPC}, sizeof(struct nlmsgerr));
		struct answer answers[] = {lies, end};
		/* A shorter name is read as that; nothing else is. */
		if (read_answers(answers, 2, NULL, &count) == 0)
			assert_true(*first.name && strncmp(first.name, "wg0", strlen(first.name)) == 0);
	}
}

static void too_large_an_answer_is_refused(void **state)
{
	(void)state;
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	struct link_socket link_socket = {.fd = pair[0]};
	uint8_t *large = calloc(1, 100000);
	assert_int_equal(send(pair[1], large, 100000, 0), 100000);
	struct link link;
	assert_int_equal(link_find(&link_socket, "wg0", &link), -EMSGSIZE);
	free(large);
	close(pair[1]);
	link_close(&link_socket);
}

static int read_address(uint8_t family, uint8_t bits, size_t size)
{
	static const uint8_t bytes[64] = {198, 18, 88, 1};
	struct answer answer = {0};
	size_t count;
	const struct ifaddrmsg head = {.ifa_family = family, .ifa_prefixlen = bits, .ifa_index = 7};
	struct nlmsghdr *message = put(&answer, RTM_NEWADDR, NLM_F_MULTI, &head, sizeof(head));
	mnl_attr_put(message, IFA_LOCAL, size, bytes);
	grow(&answer, message);
	put_done(&answer, 0);
	int r = read_answers(&answer, 1, link_addresses, &count);
	return r < 0 ? r : (int)count;
}

static void addresses_are_checked(void **state)
{
	(void)state;
	assert_int_equal(read_address(AF_INET, 24, 4), 1);
	assert_int_equal(read_address(AF_INET6, 128, 16), 1);
	assert_int_equal(read_address(AF_INET, 33, 4), -EBADMSG);
	assert_int_equal(read_address(AF_INET6, 129, 16), -EBADMSG);
	assert_int_equal(read_address(AF_INET, 24, 16), -EBADMSG);
	assert_int_equal(read_address(AF_INET6, 64, 4), -EBADMSG);
	assert_int_equal(read_address(AF_UNIX, 24, 4), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_dump_in_parts_is_read),
		cmocka_unit_test(a_dump_that_failed_half_way_is_no_list),
		cmocka_unit_test(what_is_another_request_s_is_passed_over),
		cmocka_unit_test(odd_messages_are_refused),
		cmocka_unit_test(every_shortening_is_refused),
		cmocka_unit_test(too_large_an_answer_is_refused),
		cmocka_unit_test(addresses_are_checked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
