/* Questions to the workers that wait for their answers. Owns the mapped bodies
 * until the callback has returned. */
#include "gather.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct gather {
	struct gather *next;
	struct server *server;
	uint32_t number; /* repeated by the workers' answers */
	uint32_t id;
	char *text;
	unsigned open;
	struct gathered bodies;
	struct event *deadline;
	void (*done)(struct server *server, uint32_t id, const char *text, const struct gathered *gathered);
};

static void finish(struct gather *gather, bool call)
{
	struct gather **link = &gather->server->gathers;
	while (*link && *link != gather)
		link = &(*link)->next;
	if (*link)
		*link = gather->next;
	if (call)
		gather->done(gather->server, gather->id, gather->text, &gather->bodies);
	for (size_t i = 0; i < gather->bodies.count; i++)
		if (gather->bodies.data[i])
			munmap((void *)gather->bodies.data[i], gather->bodies.length[i]);
	if (gather->deadline)
		event_free(gather->deadline);
	free(gather->text);
	free(gather);
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	finish(context, true);
}

void gather_start(struct server *server, uint32_t what, uint32_t id, const char *text,
		  void (*done)(struct server *server, uint32_t id, const char *text, const struct gathered *gathered))
{
	static const struct timeval wait = {.tv_usec = 300000};
	struct gather *gather = calloc(1, sizeof(*gather));
	if (!gather) {
		struct gathered nothing = {.count = 0};
		done(server, id, text, &nothing);
		return;
	}
	gather->server = server;
	gather->id = id;
	gather->done = done;
	gather->number = ++server->next_gather;
	gather->text = text ? strdup(text) : NULL;
	gather->deadline = evtimer_new(server->base, on_deadline, gather);
	gather->next = server->gathers;
	server->gathers = gather;
	struct wire_writer writer cleanup_wire = {0};
	wire_put_u32(&writer, what);
	for (unsigned i = 0; gather->deadline && i < roles_workers(server->roles) && i < GATHER_WORKERS_MAX; i++)
		if (roles_send(server->roles, ROLE_PROXY, i, MSG_PROXY_QUERY, gather->number, &writer, NULL, 0) == 0)
			gather->open++;
	if (gather->open == 0)
		finish(gather, true);
	else
		event_add(gather->deadline, &wait);
}

void gather_answer(struct server *server, struct msg *msg)
{
	struct gather *gather = server->gathers;
	while (gather && gather->number != msg->id)
		gather = gather->next;
	if (!gather || !gather->open)
		return;
	struct gathered *bodies = &gather->bodies;
	if (msg->fd_count && bodies->count < GATHER_WORKERS_MAX &&
	    msg_body_map(msg->fds[0], &bodies->data[bodies->count], &bodies->length[bodies->count]) == 0)
		bodies->count++;
	if (--gather->open == 0)
		finish(gather, true);
}

void gather_free_all(struct server *server)
{
	while (server->gathers)
		finish(server->gathers, false);
}
