/* Whether the kernel's firewall is closed. */
#ifndef EDGED_NFT_CLOSED_H
#define EDGED_NFT_CLOSED_H

#include <stdbool.h>

/* Closed: edged's table (inet) has a chain at the input hook and one at the forward hook, each with the policy to drop. Of
 * the network namespace that asks. 0, or -errno when the kernel does not list its chains. */
int nft_closed(bool *ret_closed);

#endif
