/* The question as people write it, on the command line and in the API:
 * from: ADDR or ADDR:PORT; to: ADDR:PORT or self:PORT with /tcp (default) or
 * /udp, or ADDR/icmp or self/icmp; in: wan, lan, or a tunnel's name. An IPv6
 * address with a port stands in brackets. */
#pragma once

#include "ask.h"

/* 0; -EINVAL with *ret_error, one line in the arena that begins with the part
 * that is wrong ("to: ..."); -ENOMEM. in may be NULL: lan for a source in lan's
 * networks, a tunnel for one of its addresses, else wan. */
int question_parse(const struct model *model, const char *from, const char *to, const char *in, struct arena *arena,
		   struct question *ret_question, const char **ret_error);
