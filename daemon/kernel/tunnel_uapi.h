/* The text that userspace implementations of WireGuard speak on their socket
 * (the cross-platform configuration protocol, wireguard.com/xplatform): made
 * and parsed in memory, without sockets. What is parsed is bounded and treated
 * as hostile. Requests hold keys: their owner wipes them. */
#pragma once

#include "tunnel_backend.h"

/* Parse the answer of "get=1": port, public key (made from the private one, which is not kept) and peers. 0,
 * -EBADMSG, -ENOMEM, or -EREMOTEIO: it reports an error, whichever (a number of its own could pass for one of ours). */
int uapi_parse(const char *text, size_t length, struct arena *arena, struct tunnel_state *ret_tunnel);
/* Parse the answer of "set=1": 0, -EBADMSG, or the error that it reports. */
int uapi_parse_result(const char *text, size_t length);
/* True once text has all of an answer: it ends with an empty line. */
bool uapi_is_complete(const char *text, size_t length);
/* Bytes that uapi_print may need. */
size_t uapi_room(const struct tunnel_change *change);
/* "set=1" for a change; the length, without terminator. */
size_t uapi_print(const struct tunnel_change *change, char *ret_text, size_t room);
