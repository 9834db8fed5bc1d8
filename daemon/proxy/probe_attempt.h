/* One attempt at a probe: connect, the PROXY header where the port wants one,
 * TLS and a request where the check is of that kind, and a verdict in time. */
#pragma once

#include "config.h"

#include <openssl/types.h>

struct event_base;
struct attempt;

/* ATTEMPT_VOID: this machine, not the node, was short of something (descriptors, memory, ports): that says nothing about
 * the node. */
enum attempt_result { ATTEMPT_FAILED, ATTEMPT_SUCCEEDED, ATTEMPT_VOID };

/* why: for people, at most ATTEMPT_WHY_MOST bytes, nothing in it comes from the peer but a status number; valid during
 * the call. The attempt is gone when this is called. */
#define ATTEMPT_WHY_MOST 120
typedef void attempt_done(void *context, enum attempt_result result, const char *why);

/* tls: for https. probe must stay until done or cancel. 0, and done comes later, never from within this call; or
 * -errno, which is as ATTEMPT_VOID. */
int attempt_start(struct event_base *base, SSL_CTX *tls, const struct proxy_probe *probe, attempt_done *done,
		  void *context, struct attempt **ret_attempt);
/* The same probe lies elsewhere now. */
void attempt_move(struct attempt *attempt, const struct proxy_probe *probe);
/* done will not be called. NULL is fine. */
void attempt_cancel(struct attempt **attempt);
/* A context for attempts: no certificate is verified. NULL when out of memory. */
SSL_CTX *attempt_tls_new(void);
