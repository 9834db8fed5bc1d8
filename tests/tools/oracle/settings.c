/* Settings: reads the file that says how the simulated machine stands, and
 * keeps what it says in the forms that compiler and evaluator take. */
#include "settings.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct reader {
	struct arena *arena;
	struct settings settings;
	struct backend_health *health;
	const char **draining;
	struct ban *bans;
	size_t health_capacity, draining_capacity, ban_capacity, address_capacity;
};

char *settings_slurp(const char *path, struct arena *arena, size_t *ret_length)
{
	FILE *file = fopen(path, "re");
	struct stat stat;
	if (!file)
		return NULL;
	char *text = NULL;
	if (fstat(fileno(file), &stat) == 0)
		text = arena_alloc(arena, (size_t)stat.st_size + 1);
	if (text)
		*ret_length = fread(text, 1, (size_t)stat.st_size, file);
	fclose(file);
	return text;
}

static int read_address(struct reader *reader, const char *leg, const char *text)
{
	const char *slash = strchr(text, '/');
	struct own_address address = {.leg = strcmp(leg, "wan") == 0 ? PLACE_WAN : PLACE_LAN};
	if (!slash || addr_parse(text, (size_t)(slash - text), &address.addr) < 0)
		return -EINVAL;
	address.length = (uint8_t)atoi(slash + 1);
	struct settings *settings = &reader->settings;
	struct own_address *items = arena_grow(reader->arena, settings->addresses, settings->address_count,
					       sizeof(*items), &reader->address_capacity);
	if (!items)
		return -ENOMEM;
	settings->addresses = items;
	items[settings->address_count++] = address;
	return 0;
}

static int read_line(struct reader *reader, char *line)
{
	char *words[4] = {NULL};
	size_t count = 0;
	char *save = NULL;
	for (char *word = strtok_r(line, " ", &save); word && count < 4; word = strtok_r(NULL, " ", &save))
		words[count++] = word;
	struct rundata *run = &reader->settings.run;
	if (count == 0)
		return 0;
	if (strcmp(words[0], "injection") == 0 && count == 1) {
		reader->settings.injection = true;
		return 0;
	}
	if (strcmp(words[0], "address") == 0 && count == 3)
		return read_address(reader, words[1], words[2]);
	if (strcmp(words[0], "up") == 0 && count == 3) {
		struct backend_health item = {arena_strdup(reader->arena, words[1]), (uint16_t)atoi(words[2]), true};
		reader->health = arena_grow(reader->arena, reader->health, run->health_count, sizeof(item),
					    &reader->health_capacity);
		if (!reader->health || !item.node)
			return -ENOMEM;
		reader->health[run->health_count++] = item;
		return 0;
	}
	if (strcmp(words[0], "drain") == 0 && count == 2) {
		reader->draining = arena_grow(reader->arena, reader->draining, run->draining_count, sizeof(char *),
					      &reader->draining_capacity);
		if (!reader->draining)
			return -ENOMEM;
		reader->draining[run->draining_count++] = arena_strdup(reader->arena, words[1]);
		return 0;
	}
	if (strcmp(words[0], "ban") == 0 && count == 2) {
		struct ban item = {0};
		if (prefix_parse(words[1], strlen(words[1]), &item.prefix) < 0)
			return -EINVAL;
		reader->bans =
			arena_grow(reader->arena, reader->bans, run->ban_count, sizeof(item), &reader->ban_capacity);
		if (!reader->bans)
			return -ENOMEM;
		reader->bans[run->ban_count++] = item;
		return 0;
	}
	return -EINVAL;
}

static int compare_health(const void *one, const void *other)
{
	const struct backend_health *a = one, *b = other;
	int order = strcmp(a->node, b->node);
	return order ? order : (int)a->port - (int)b->port;
}

/* This machine's addresses, with those that the tap brings along. */
static int fill_around(struct reader *reader)
{
	struct settings *settings = &reader->settings;
	struct addr *own = arena_array(reader->arena, settings->address_count + 2, struct addr);
	if (!own)
		return -ENOMEM;
	for (size_t i = 0; i < settings->address_count; i++)
		own[i] = settings->addresses[i].addr;
	addr_parse(SETTINGS_TAP_V4, strlen(SETTINGS_TAP_V4), &own[settings->address_count]);
	addr_parse(SETTINGS_TAP_V6, strlen(SETTINGS_TAP_V6), &own[settings->address_count + 1]);
	struct prefix *networks = arena_array(reader->arena, settings->address_count + 2, struct prefix);
	if (!networks)
		return -ENOMEM;
	for (size_t i = 0; i < settings->address_count; i++)
		networks[i] = prefix_of(&own[i], settings->addresses[i].length);
	networks[settings->address_count] = prefix_of(&own[settings->address_count], SETTINGS_TAP_V4_LENGTH);
	networks[settings->address_count + 1] = prefix_of(&own[settings->address_count + 1], SETTINGS_TAP_V6_LENGTH);
	settings->around = (struct surroundings){
		.own = own,
		.own_count = settings->address_count + 2,
		.networks = networks,
		.network_count = settings->address_count + 2,
	};
	return 0;
}

int settings_attach(struct settings *settings, const struct model *model, struct arena *arena)
{
	struct header_device *devices = arena_array(arena, model->tunnel_count + 1, struct header_device);
	if (!devices)
		return -ENOMEM;
	struct rundata *run = &settings->run;
	if (model->lan.device)
		devices[run->header_device_count++].name = model->lan.device;
	for (size_t i = 0; i < model->tunnel_count; i++)
		devices[run->header_device_count++].name = model->tunnels[i].name;
	for (size_t i = 0; i < run->header_device_count; i++)
		devices[i].index = if_nametoindex(devices[i].name);
	run->header_devices = devices;
	run->kernel_synproxy = true;
	return 0;
}

int settings_read(const char *path, struct arena *arena, struct settings *ret_settings)
{
	struct reader reader = {.arena = arena};
	size_t length = 0;
	char *text = settings_slurp(path, arena, &length);
	if (!text)
		return -errno;
	char *save = NULL;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *copy = arena_strdup(arena, line);
		int r = read_line(&reader, line);
		if (r < 0) {
			fprintf(stderr, "%s: cannot read \"%s\"\n", path, copy);
			return r;
		}
	}
	struct rundata *run = &reader.settings.run;
	if (run->health_count > 0)
		qsort(reader.health, run->health_count, sizeof(*reader.health), compare_health);
	run->health = reader.health;
	run->draining = reader.draining;
	run->bans = reader.bans;
	int r = fill_around(&reader);
	if (r < 0)
		return r;
	*ret_settings = reader.settings;
	return 0;
}
