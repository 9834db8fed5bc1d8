/* What the forwarder's processes are told. Keeps the last encoded configuration
 * for those that start anew; owns the listeners. */
#include "push.h"

#include "listener.h"
#include "log.h"
#include "proxy/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINGER_SECONDS 5

/* A forward that the workers listen for. */
struct served {
	char name[MODEL_NAME_MAX + 1];
	uint64_t until; /* seconds since the epoch, when it is only kept; 0: it is served */
};

struct push {
	struct served *served;
	size_t served_count;
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
	free((*push)->served);
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

static bool has_forward(const struct proxy_config *config, const char *name)
{
	for (size_t i = 0; i < config->forward_count; i++)
		if (strcmp(config->forwards[i].name, name) == 0)
			return true;
	return false;
}

/* Those that config no longer has, and that are to be kept for a while; *ret_names in arena. */
static int list_lingering(struct push *push, const struct model *model, const struct proxy_config *config, uint64_t now,
			  struct arena *arena, const char ***ret_names, size_t *ret_count)
{
	const char **names = arena_array(arena, push->served_count + 1, const char *);
	if (!names)
		return -ENOMEM;
	*ret_count = 0;
	for (size_t i = 0; i < push->served_count; i++) {
		struct served *served = &push->served[i];
		if (has_forward(config, served->name) || !model_find_forward(model, served->name))
			continue;
		if (!served->until)
			served->until = now + LINGER_SECONDS;
		if (served->until > now)
			names[(*ret_count)++] = served->name;
	}
	*ret_names = names;
	return 0;
}

static uint64_t lingers_until(const struct push *push, const char *name)
{
	for (size_t i = 0; i < push->served_count; i++)
		if (strcmp(push->served[i].name, name) == 0)
			return push->served[i].until;
	return 0;
}

/* lingering: those of config that are only kept. */
static int remember_served(struct push *push, const struct proxy_config *config, const char *const *lingering, size_t count)
{
	struct served *served = calloc(config->forward_count + 1, sizeof(*served));
	if (!served)
		return -ENOMEM;
	for (size_t i = 0; i < config->forward_count; i++) {
		snprintf(served[i].name, sizeof(served[i].name), "%s", config->forwards[i].name);
		for (size_t j = 0; j < count; j++)
			if (strcmp(lingering[j], served[i].name) == 0)
				served[i].until = lingers_until(push, served[i].name);
	}
	free(push->served);
	push->served = served;
	push->served_count = config->forward_count;
	return 0;
}

bool push_linger_over(const struct push *push, uint64_t now)
{
	for (size_t i = 0; i < push->served_count; i++)
		if (push->served[i].until && push->served[i].until <= now)
			return true;
	return false;
}

/* The configuration, with what lingers. */
static int build(struct push *push, const struct model *model, const struct rundata *run, struct arena *arena,
		 struct proxy_config **ret_config)
{
	struct proxy_config *config;
	const char **names = NULL;
	struct rundata with = *run;
	int r = proxy_config_build(model, run, push->generation + 1, push->ids, arena, &config);
	if (r == 0)
		r = list_lingering(push, model, config, run->now, arena, &names, &with.lingering_count);
	with.lingering = names;
	if (r == 0 && with.lingering_count)
		r = proxy_config_build(model, &with, push->generation + 1, push->ids, arena, &config);
	if (r == 0)
		r = remember_served(push, config, with.lingering, with.lingering_count);
	if (r == 0)
		*ret_config = config;
	return r;
}

int push_send(struct push *push, const struct model *model, const struct rundata *run, struct roles *roles)
{
	cleanup_arena struct arena *arena = arena_new();
	struct proxy_config *config = NULL;
	if (!arena)
		return -ENOMEM;
	int r = build(push, model, run, arena, &config);
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
