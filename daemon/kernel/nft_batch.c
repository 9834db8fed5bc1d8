/* One nftables transaction in one buffer and one system call. The kernel works
 * a batch off while it is being sent, so all answers are there when sendmsg
 * returns: errors for each message that failed, and the one acknowledgement
 * that was asked for, of the last message. It never decides what is sent. */
#include "nft_batch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define INTERRUPTS_MOST 10
#define EDGE_ROOM 64 /* BATCH_BEGIN with the generation, BATCH_END */

static int reserve(struct nft_batch *batch, size_t room)
{
	if (batch->capacity - batch->used >= room)
		return 0;
	size_t capacity = batch->capacity ? batch->capacity : 65536;
	while (capacity - batch->used < room)
		capacity *= 2;
	uint8_t *grown = realloc(batch->data, capacity);
	if (!grown)
		return -ENOMEM;
	batch->data = grown;
	batch->capacity = capacity;
	return 0;
}

int nft_batch_begin(uint32_t generation, struct nft_batch *ret_batch)
{
	*ret_batch = (struct nft_batch){.generation = generation};
	int rc = reserve(ret_batch, EDGE_ROOM);
	if (rc < 0)
		return rc;
	struct nlmsghdr *begin = nftnl_batch_begin((char *)ret_batch->data, 0);
	if (generation)
		mnl_attr_put_u32(begin, NFNL_BATCH_GENID, htonl(generation));
	ret_batch->used = NLMSG_ALIGN(begin->nlmsg_len);
	return 0;
}

void nft_batch_free(struct nft_batch *batch)
{
	free(batch->data);
	free(batch->owners);
	*batch = (struct nft_batch){0};
}

struct nlmsghdr *nft_batch_add(struct nft_batch *batch, uint32_t owner, uint16_t type, uint16_t flags, size_t room)
{
	/* The end of the batch always finds its room too. */
	if (reserve(batch, sizeof(struct nlmsghdr) + sizeof(struct nfgenmsg) + room + EDGE_ROOM) < 0)
		return NULL;
	if (batch->count == batch->owner_capacity) {
		size_t capacity = batch->owner_capacity ? batch->owner_capacity * 2 : 256;
		uint32_t *grown = realloc(batch->owners, capacity * sizeof(*grown));
		if (!grown)
			return NULL;
		batch->owners = grown;
		batch->owner_capacity = capacity;
	}
	batch->owners[batch->count] = owner;
	return nftnl_nlmsg_build_hdr((char *)batch->data + batch->used, type, NFPROTO_INET, flags,
				     (uint32_t)batch->count + 1);
}

void nft_batch_done(struct nft_batch *batch, const struct nlmsghdr *message)
{
	batch->last = (struct nlmsghdr *)(batch->data + batch->used);
	batch->used += NLMSG_ALIGN(message->nlmsg_len);
	batch->count++;
}

/* Sequence numbers were counted from 0 for BATCH_BEGIN; now from first. */
static void number(struct nft_batch *batch, uint32_t first)
{
	struct nlmsghdr *message = (struct nlmsghdr *)batch->data;
	int left = (int)batch->used;
	for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
		message->nlmsg_seq += first;
}

static int send_all(const struct nft_batch *batch, int fd)
{
	/* Twice: the kernel counts its own overhead against it. */
	int room = (int)(batch->used * 2 < INT32_MAX / 4 ? batch->used * 2 : INT32_MAX / 4);
	if (room > 65536 && setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	for (int interrupts = 0;;) {
		if (sendto(fd, batch->data, batch->used, 0, (struct sockaddr *)&kernel, sizeof(kernel)) >= 0)
			return 0;
		if (errno != EINTR || ++interrupts > INTERRUPTS_MOST)
			return -errno;
	}
}

struct said {
	char *text;
	size_t size;
};

static int take_attribute(const struct nlattr *attribute, void *data)
{
	const struct said *said = data;
	if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG && mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0)
		snprintf(said->text, said->size, "%s", mnl_attr_get_str(attribute));
	return MNL_CB_OK;
}

/* The text that newer kernels add to an error (NLMSGERR_ATTR_MSG). */
static void copy_said(const struct nlmsghdr *message, struct said said)
{
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(message);
	size_t offset = sizeof(*error), length = mnl_nlmsg_get_payload_len(message);
	if (!(message->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(message->nlmsg_flags & NLM_F_CAPPED))
		offset += error->msg.nlmsg_len - sizeof(error->msg);
	if (offset < length)
		(void)mnl_attr_parse_payload((const uint8_t *)error + offset, length - offset, take_attribute, &said);
}

struct reading {
	const struct nft_batch *batch;
	uint32_t first; /* sequence number of BATCH_BEGIN */
	bool acknowledged;
	struct nft_batch_result *result;
};

static void take(struct reading *reading, const struct nlmsghdr *message)
{
	if (message->nlmsg_type != NLMSG_ERROR || mnl_nlmsg_get_payload_len(message) < sizeof(struct nlmsgerr))
		return;
	uint32_t index = message->nlmsg_seq - reading->first;
	if (index > reading->batch->count)
		return;
	int error = ((const struct nlmsgerr *)mnl_nlmsg_get_payload(message))->error;
	if (error == 0) {
		reading->acknowledged = true;
		return;
	}
	/* The first to fail is the cause; those after it may fail only because of it. */
	struct nft_batch_result *result = reading->result;
	if (result->error && index != 0 && result->message <= index - 1)
		return;
	if (result->error && result->owner == NFT_BATCH_NO_OWNER)
		return;
	result->error = error;
	result->message = index ? index - 1 : 0;
	result->owner = index ? reading->batch->owners[index - 1] : NFT_BATCH_NO_OWNER;
	result->said[0] = '\0';
	copy_said(message, (struct said){result->said, sizeof(result->said)});
}

static int read_answers(struct reading *reading, struct nft_socket *socket)
{
	int overflows = 0;
	for (;;) {
		long size = nft_socket_receive(socket, MSG_DONTWAIT);
		if (size == 0)
			return 0;
		if (size == -ENOBUFS && ++overflows <= INTERRUPTS_MOST)
			continue; /* the oldest answers are there, the newest are lost */
		if (size < 0)
			return (int)size;
		const struct nlmsghdr *message = (const struct nlmsghdr *)socket->buffer;
		for (int left = (int)size; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
			take(reading, message);
	}
}

int nft_batch_send(struct nft_batch *batch, struct nft_socket *socket, struct nft_batch_result *ret_result)
{
	*ret_result = (struct nft_batch_result){.owner = NFT_BATCH_NO_OWNER};
	if (batch->count == 0)
		return 0;
	batch->last->nlmsg_flags |= NLM_F_ACK;
	struct nlmsghdr *end =
		nftnl_batch_end((char *)batch->data + batch->used, (uint32_t)batch->count + 1);
	batch->used += NLMSG_ALIGN(end->nlmsg_len);
	uint32_t first = socket->sequence + 1;
	socket->sequence += (uint32_t)batch->count + 2;
	int rc = batch->used > INT32_MAX / 4 ? -EMSGSIZE : 0;
	if (rc == 0) {
		number(batch, first);
		nft_socket_drain(socket);
		rc = send_all(batch, socket->fd);
	}
	struct reading reading = {.batch = batch, .first = first, .result = ret_result};
	if (rc == 0)
		rc = read_answers(&reading, socket);
	if (ret_result->error == 0)
		ret_result->error = rc < 0 ? rc : (reading.acknowledged ? 0 : -ESTALE);
	return ret_result->error;
}
