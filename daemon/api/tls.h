/* TLS for the api: a server context from files that main opened. */
#pragma once

#include "access.h"

#include "../msg.h"

struct tls {
	SSL_CTX *context;
	struct access_names names;
	struct arena *arena; /* owns the names */
};

/* From a MSG_API_TLS (its descriptors stay the caller's). TLS 1.3 only; a client certificate that the
 * given CA signed is demanded. ret_why: a static sentence when it fails. 0, -EBADMSG, -EINVAL, -ENOMEM. */
int tls_new(const struct msg *msg, struct tls **ret_tls, const char **ret_why);
void tls_free(struct tls **tls);
