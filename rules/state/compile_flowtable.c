/* Flowtable: established flows between lan and wan go from device to device
 * below the ruleset. What must reach them there all the same, bans, stands in a
 * chain on the devices themselves, ahead of it. Only where the run data say that
 * this kernel can, and only while the header programs are where flows need them. */
#include "parts.h"

#include <stdlib.h>
#include <string.h>

#define FLOWTABLE "offload"
#define PRIORITY_BANS (-10) /* the flowtable itself is at 0 */

static bool has_headers(const struct model *model)
{
	for (size_t i = 0; i < model->forward_count; i++)
		if (model->forwards[i].proxy_protocol != PROXY_NONE && model->forwards[i].via != VIA_PROXY)
			return true;
	return false;
}

/* The names of the devices, when there is to be a flowtable; else 0. */
static size_t devices_of(const struct build *b, const char *ret_names[2])
{
	const struct model *model = b->model;
	const char *legs[] = {model->lan.device, model->wan.device};
	size_t count = 0;
	for (size_t i = 0; i < 2; i++)
		for (size_t j = 0; legs[i] && j < b->run->flow_device_count; j++)
			if (strcmp(b->run->flow_devices[j].name, legs[i]) == 0)
				ret_names[count++] = legs[i];
	bool closed = has_headers(model) && !compile_header_on(b->run, model->lan.device);
	return model->flowtable && !closed && count == 2 ? count : 0;
}

static int compare_keys(const void *a, const void *b)
{
	return memcmp(((const struct element *)a)->key, ((const struct element *)b)->key, STATE_KEY_MAX);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void compile_flowtable(struct build *b)
{
	const char *names[2];
	size_t count = devices_of(b, names);
	if (!count)
		return;
	const char **devices = arena_array(b->arena, count, const char *);
	struct element *elements = arena_array(b->arena, count, struct element);
	if (!devices || !elements) {
		b->failed = true;
		return;
	}
	for (size_t i = 0; i < count; i++) {
		devices[i] = names[i];
		memcpy(elements[i].key, names[i], strlen(names[i]));
	}
	qsort(devices, count, sizeof(*devices), compare_names);
	qsort(elements, count, sizeof(*elements), compare_keys);
	build_set(b, &(struct set){.name = FLOWTABLE, .key = {FIELD_IFNAME}, .flowtable = true, .elements = elements,
				   .element_count = count});
	struct chain_build *bans = build_base_chain(b, "ingress", CHAIN_FILTER, HOOK_INGRESS, PRIORITY_BANS, false);
	bans->chain.devices = devices;
	bans->chain.device_count = count;
	drop_banned(b, bans);
}

void compile_flow_add(struct build *b, struct chain_build *forward)
{
	const char *names[2];
	if (!devices_of(b, names))
		return;
	/* At the first packet from lan to wan both directions are known. A flow that is watched has not proven itself yet. */
	match_iif(b, b->model->lan.device, true);
	match_oif(b, b->model->wan.device);
	match_ct_state(b, CT_STATE_ESTABLISHED);
	match_mark(b, MARK_ACCEPTED | MARK_WATCH, MARK_ACCEPTED);
	build_expr(b, EXPR_FLOW_ADD)->flow.table = FLOWTABLE;
	rule_end(b, forward, no_origin, "from here on below the ruleset");
}
