/* One nftables transaction: messages between BATCH_BEGIN and BATCH_END in one
 * buffer, sent in one call, all or nothing. Each message belongs to a number
 * of the caller's (a step), to which an error is mapped back. */
#pragma once

#include "nft_socket.h"

#include <stddef.h>
#include <stdint.h>

#define NFT_BATCH_NO_OWNER UINT32_MAX

struct nft_batch {
	uint8_t *data;
	size_t used, capacity;
	uint32_t *owners; /* by message */
	size_t count, owner_capacity;
	uint32_t generation; /* that the ruleset must still have; 0: any */
	struct nlmsghdr *last;
};

struct nft_batch_result {
	int error;           /* 0 or the first error, negative */
	uint32_t owner;      /* of the message that failed; NFT_BATCH_NO_OWNER: the batch as a whole */
	uint32_t message;    /* its index among the messages, from 0 */
	char said[128];      /* what the kernel said about it, or "" */
};

/* ret_batch is to be freed also after failure. -ENOMEM. */
int nft_batch_begin(uint32_t generation, struct nft_batch *ret_batch);
void nft_batch_free(struct nft_batch *batch);
#define cleanup_batch __attribute__((cleanup(nft_batch_free)))
/* Start a message (NFT_MSG_x) of the inet family with room for that many bytes of attributes;
 * good until the next nft_batch_add. NULL when out of memory. */
struct nlmsghdr *nft_batch_add(struct nft_batch *batch, uint32_t owner, uint16_t type, uint16_t flags, size_t room);
/* The message is complete. */
void nft_batch_done(struct nft_batch *batch, const struct nlmsghdr *message);
/* Send it, and read all that the kernel answers. ret_result is always set.
 * -ERESTART: another generation; -ESTALE: no answer at all (the caller must look whether it is in force). */
int nft_batch_send(struct nft_batch *batch, struct nft_socket *socket, struct nft_batch_result *ret_result);
