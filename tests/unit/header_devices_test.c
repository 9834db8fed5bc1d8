/* As many tunnels as a configuration may have, each with both devices of a
 * change of keys and header programs on all: the set header-devices takes them
 * in the real kernel, also when every device is made anew at once; and one
 * tunnel more is refused when the file is read. */
#include "../../rules/state/compile.h"
#include "model_help.h"
#include "nft_kit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICES (MODEL_MAX_TUNNELS * COMPILE_SLOTS + 1)
#define KEY_OF_TEXT 44

/* n tunnels of one peer each. */
static char *configuration(struct arena *arena, unsigned n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *text = arena_alloc(arena, 1 << 20), *end = text, key[KEY_OF_TEXT + 1] = "";
	assert_non_null(text);
	end = stpcpy(end, "version: 1\n"
			  "interfaces:\n"
			  "  wan: ens3\n"
			  "  lan: { device: ens4, networks: [192.0.2.0/24] }\n"
			  "nodes: { a: { address: 192.0.2.10 } }\n"
			  "pools: { web: { nodes: [a], health: { check: none } } }\n"
			  "forwards:\n"
			  "  web: { listen: 80, to: web:8080, proxy_protocol: v2, via: kernel, reason: r }\n"
			  "wireguard:\n");
	for (unsigned i = 0; i < n; i++) {
		memset(key, 'A', KEY_OF_TEXT - 1);
		key[0] = digits[(i + 1) >> 6];
		key[1] = digits[(i + 1) & 63];
		key[KEY_OF_TEXT - 1] = '=';
		end += sprintf(end,
			       "  wg%u:\n    listen: %u\n    address: 198.18.%u.1/24\n    peers:\n"
			       "      p%u: { public_key: \"%s\", allowed_ips: [198.18.%u.2/32] }\n",
			       i, 20000 + 2 * i, i, i, key, i);
	}
	return text;
}

static void one_tunnel_too_many(void **context)
{
	(void)context;
	cleanup_arena struct arena *arena = arena_new();
	struct model *model = NULL;
	char *text, said[100];
	assert_int_equal(test_load_text(arena, configuration(arena, MODEL_MAX_TUNNELS + 1), &text, &model), -EINVAL);
	snprintf(said, sizeof(said), "wireguard: %u tunnels are too many (at most %u)\n", MODEL_MAX_TUNNELS + 1,
		 MODEL_MAX_TUNNELS);
	assert_non_null(strstr(text, said));
	assert_null(model);
}

struct full {
	char names[MODEL_MAX_TUNNELS][MODEL_IFNAME_MAX + 1];
	struct tunnel_run tunnels[MODEL_MAX_TUNNELS];
	struct header_device devices[DEVICES];
};

/* The devices' indices begin at `first`. */
static struct state *full_state(const struct model *model, struct full *full, uint32_t first)
{
	size_t count = 0;
	full->devices[count++] = (struct header_device){"ens4", first};
	for (size_t i = 0; i < model->tunnel_count; i++) {
		model_second_device(&model->tunnels[i], full->names[i]);
		full->tunnels[i] = (struct tunnel_run){.tunnel = model->tunnels[i].name,
						       .public_key = {1, (uint8_t)i},
						       .next = {.device = full->names[i],
								.listen = (uint16_t)(20001 + 2 * i),
								.public_key = {2, (uint8_t)i}}};
		full->devices[count] = (struct header_device){model->tunnels[i].name, first + (uint32_t)count};
		count++;
		full->devices[count] = (struct header_device){full->names[i], first + (uint32_t)count};
		count++;
	}
	assert_int_equal(count, DEVICES);
	const struct rundata run = {.header_devices = full->devices,
				    .header_device_count = count,
				    .has_tunnels = true,
				    .tunnels = full->tunnels,
				    .tunnel_count = model->tunnel_count};
	struct state *state;
	assert_int_equal(compile_state(model, &run, &state), 0);
	state->tunnels = (struct tunnel_list){0}; /* only the rules are for this kernel */
	return state;
}

static void every_device_of_every_tunnel(void **context)
{
	(void)context;
	NEEDS_ROOT();
	cleanup_arena struct arena *arena = arena_new();
	struct model *model = NULL;
	char *text;
	if (test_load_text(arena, configuration(arena, MODEL_MAX_TUNNELS), &text, &model) != 0)
		fail_msg("%s", text);
	struct full *full = calloc(1, sizeof(*full));
	assert_non_null(full);
	struct kit kit;
	kit_open(&kit, -1);
	static const uint32_t firsts[] = {10, 10 + DEVICES, 10}; /* all of them made anew: others come as these go */
	for (size_t i = 0; i < sizeof(firsts) / sizeof(firsts[0]); i++) {
		struct state *state = full_state(model, full, firsts[i]);
		assert_int_equal(state_set(state, "header-devices")->element_count, DEVICES);
		kit_apply_well(&kit, state);
		kit_in_force(&kit, state);
		state_free(&state);
	}
	kit_close(&kit);
	free(full);
	model_free(&model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_tunnel_too_many),
		cmocka_unit_test(every_device_of_every_tunnel),
	};
	return cmocka_run_group_tests(tests, kit_namespace, NULL);
}
