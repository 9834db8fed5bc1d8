/* Owns the runtime side of forwards and backends: swaps configurations in,
 * keeps counters, and frees what is gone once its last connection is. */
#include "service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(offsetof(struct backend, balance) == 0, "an entry is cast to its backend");

static struct backend *backend_of(struct balance_entry *entry)
{
	return (struct backend *)entry;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp((*(struct service *const *)a)->name, (*(struct service *const *)b)->name);
}

static struct backend *find_backend(struct service *service, const struct proxy_backend *like)
{
	for (size_t i = 0; service && i < service->backend_count; i++) {
		struct backend *backend = backend_of(service->backends[i]);
		if (strcmp(backend->name, like->name) == 0 && addr_equal(&backend->address, &like->address))
			return backend;
	}
	return NULL;
}

/* A new version of a forward, not yet in force: its backends are the old one's where they are the same. */
struct draft {
	struct service *old; /* NULL: new */
	struct service *service;
	struct balance_entry **backends;
};

static void draft_free(struct draft *draft, const struct proxy_forward *like)
{
	for (size_t i = 0; draft->backends && i < like->backend_count; i++)
		if (draft->backends[i] && !find_backend(draft->old, &like->backends[i]))
			free(draft->backends[i]);
	free(draft->backends);
	if (!draft->old)
		free(draft->service);
}

static int draft_make(struct service *old, const struct proxy_forward *like, struct draft *draft)
{
	draft->old = old;
	draft->service = old ? old : calloc(1, sizeof(*draft->service));
	draft->backends = calloc(like->backend_count + 1, sizeof(struct balance_entry *));
	if (!draft->service || !draft->backends)
		return -ENOMEM;
	for (size_t i = 0; i < like->backend_count; i++) {
		const struct proxy_backend *wanted = &like->backends[i];
		struct backend *backend = find_backend(old, wanted);
		if (!backend) {
			backend = calloc(1, sizeof(*backend));
			if (!backend)
				return -ENOMEM;
			strncpy(backend->name, wanted->name, MODEL_NAME_MAX);
			backend->address = wanted->address;
			backend->balance.hash = balance_hash(wanted->name, strlen(wanted->name));
		}
		draft->backends[i] = &backend->balance;
	}
	return 0;
}

/* The backends are no longer those of the forward; those that connections hold stay until these end. */
static void drop_backends(struct service *service)
{
	for (size_t i = 0; i < service->backend_count; i++) {
		struct backend *backend = backend_of(service->backends[i]);
		if (!backend->live && !backend->balance.open)
			free(backend);
	}
	free(service->backends);
	service->backends = NULL;
	service->backend_count = 0;
}

static void mark_backends(struct service *service, bool live)
{
	for (size_t i = 0; i < service->backend_count; i++)
		backend_of(service->backends[i])->live = live;
}

/* Nothing here can fail. */
static void draft_commit(struct draft *draft, const struct proxy_forward *like)
{
	struct service *service = draft->service;
	mark_backends(service, false);
	for (size_t i = 0; i < like->backend_count; i++) {
		backend_of(draft->backends[i])->live = true;
		draft->backends[i]->usable = like->backends[i].usable;
	}
	drop_backends(service);
	service->backends = draft->backends;
	service->backend_count = like->backend_count;
	if (!draft->old)
		strncpy(service->name, like->name, MODEL_NAME_MAX);
	service->header = like->header;
	service->tlvs = like->tlvs;
	service->log = like->log;
	service->how = like->balance;
	service->connect_timeout = like->connect_timeout;
	service->idle_timeout = like->idle_timeout;
	service->target_port = like->target_port;
	service->live = true;
}

/* No longer configured: nothing is picked any more. */
static void retire(struct service *service)
{
	service->live = false;
	mark_backends(service, false);
	drop_backends(service);
}

int service_table_apply(struct service_table *table, const struct proxy_config *config)
{
	size_t count = config->forward_count;
	struct draft *drafts = calloc(count + 1, sizeof(*drafts));
	struct service **items = calloc(count + table->count + 1, sizeof(struct service *));
	struct service **sorted = calloc(table->count + 1, sizeof(struct service *));
	int error = drafts && items && sorted ? 0 : -ENOMEM;
	if (!error && table->count) {
		memcpy(sorted, table->items, table->count * sizeof(struct service *));
		qsort(sorted, table->count, sizeof(struct service *), compare_names);
	}
	for (size_t i = 0; i < count && !error; i++) {
		struct service key = {0}, *key_at = &key;
		strncpy(key.name, config->forwards[i].name, MODEL_NAME_MAX);
		struct service **old =
			bsearch(&key_at, sorted, table->count, sizeof(struct service *), compare_names);
		error = draft_make(old ? *old : NULL, &config->forwards[i], &drafts[i]);
	}
	if (error) {
		for (size_t i = 0; drafts && i < count; i++)
			draft_free(&drafts[i], &config->forwards[i]);
		free(items);
		goto out;
	}
	for (size_t i = 0; i < table->count; i++)
		table->items[i]->live = false;
	for (size_t i = 0; i < count; i++) {
		draft_commit(&drafts[i], &config->forwards[i]);
		items[i] = drafts[i].service;
	}
	size_t used = count;
	for (size_t i = 0; i < table->count; i++) {
		struct service *service = table->items[i];
		if (service->live)
			continue;
		retire(service);
		if (service->counters.open)
			items[used++] = service;
		else
			free(service);
	}
	free(table->items);
	*table = (struct service_table){.items = items, .live_count = count, .count = used};
out:
	free(drafts);
	free(sorted);
	return error;
}

void service_table_free(struct service_table *table)
{
	for (size_t i = 0; i < table->count; i++) {
		retire(table->items[i]);
		free(table->items[i]);
	}
	free(table->items);
	*table = (struct service_table){0};
}

struct backend *service_pick(struct service *service, const struct addr *client, struct balance_tried *tried,
			     uint64_t now)
{
	long at = balance_pick(service->how, service->backends, service->backend_count, client,
			       tried, now, &service->turn);
	if (at < 0)
		return NULL;
	struct backend *backend = backend_of(service->backends[at]);
	backend->balance.open++;
	return backend;
}

void backend_release(struct backend *backend)
{
	backend->balance.open--;
	if (!backend->live && !backend->balance.open)
		free(backend);
}

void service_release(struct service_table *table, struct service *service)
{
	if (service->live || service->counters.open)
		return;
	for (size_t i = table->live_count; i < table->count; i++) {
		if (table->items[i] != service)
			continue;
		table->items[i] = table->items[--table->count];
		free(service);
		return;
	}
}
