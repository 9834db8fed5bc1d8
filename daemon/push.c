/* What the forwarder's processes are told. Keeps the last encoded configuration
 * for those that start anew; owns the listeners. */
#include "push.h"

#include "listener.h"
#include "log.h"
#include "proxy/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct push {
	struct listeners *listeners;
	struct listener_ids *ids;
	uint32_t generation;
	int body; /* sealed memfd of the last configuration; -1: none yet */
};

struct push *push_new(unsigned workers)
{
	struct push *push = calloc(1, sizeof(*push));
	if (!push)
		return NULL;
	push->body = -1;
	push->listeners = listeners_new(workers);
	push->ids = listener_ids_new();
	if (!push->listeners || !push->ids)
		push_free(&push);
	return push;
}

void push_free(struct push **push)
{
	if (!push || !*push)
		return;
	if ((*push)->body >= 0)
		close((*push)->body);
	listeners_free(&(*push)->listeners);
	listener_ids_free(&(*push)->ids);
	free(*push);
	*push = NULL;
}

int push_prepare(struct push *push, const struct model *model, const struct rundata *run, struct arena *arena,
		 const char **ret_error)
{
	struct proxy_config *config;
	const struct proxy_listener *failed;
	int r = proxy_config_build(model, run, push->generation, push->ids, arena, &config);
	if (r < 0) {
		*ret_error = "out of memory";
		return r;
	}
	r = listeners_prepare(push->listeners, config, &failed);
	if (r < 0) {
		char address[ADDR_TEXT_MAX] = "any address";
		if (failed->address.family)
			addr_format(&failed->address, address);
		const char *name = config->forwards[failed->forward].name;
		*ret_error = r == -EADDRINUSE
				     ? arena_printf(arena,
						    "forward \"%s\": port %u on %s is in use by another program (see "
						    "`ss -ltnp sport = :%u`); choose another `listen` or stop that "
						    "program",
						    name, failed->port, address, failed->port)
				     : arena_printf(arena, "forward \"%s\": cannot listen on port %u on %s: %s", name,
						    failed->port, address, strerror(-r));
	}
	return r;
}

static void send_config(struct push *push, struct roles *roles, enum role role, unsigned index)
{
	int r = roles_send(roles, role, index, MSG_PROXY_CONFIG, push->generation, NULL, &push->body, 1);
	if (r < 0 && r != -ENOTCONN)
		log_error("push", "%s %u did not take its configuration: %s", role_names[role], index, strerror(-r));
}

int push_send(struct push *push, const struct model *model, const struct rundata *run, struct roles *roles)
{
	cleanup_arena struct arena *arena = arena_new();
	struct proxy_config *config;
	if (!arena)
		return -ENOMEM;
	int r = proxy_config_build(model, run, push->generation + 1, push->ids, arena, &config);
	if (r < 0)
		return r;
	listeners_prepare_some(push->listeners, config);
	struct wire_writer writer cleanup_wire = {0};
	proxy_config_encode(config, &writer);
	int body = writer.failed ? -ENOMEM : msg_body_new(writer.data, writer.length);
	if (body < 0)
		return body;
	if (push->body >= 0)
		close(push->body);
	push->body = body;
	push->generation++;
	for (unsigned i = 0; roles && i < roles_workers(roles); i++) {
		listeners_lend(push->listeners, roles, i);
		send_config(push, roles, ROLE_PROXY, i);
	}
	if (roles)
		send_config(push, roles, ROLE_PROBER, 0);
	listeners_retire(push->listeners, config);
	return 0;
}

void push_to(struct push *push, struct roles *roles, enum role role, unsigned index)
{
	if (role == ROLE_PROXY)
		listeners_forget(push->listeners, index);
	if (push->body < 0)
		return;
	if (role == ROLE_PROXY)
		listeners_lend(push->listeners, roles, index);
	send_config(push, roles, role, index);
}

uint32_t push_generation(const struct push *push)
{
	return push->generation;
}
