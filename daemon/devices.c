/* Looks which devices are there and what they have, before each apply and when
 * one came or went, and tells the run data. Whether the kernel has flowtables is
 * tried once, and only when a configuration asks: trying loads modules. */
#include "devices.h"

#include "injection.h"
#include "kernel/kernel.h"
#include "log.h"
#include "server_state.h"

#include <net/if.h>

static bool can_offload(struct server *server)
{
	if (!server->flowtable_tried) {
		server->flowtable_tried = true;
		server->flowtable = kernel_has_flowtable(server->kernel);
		if (!server->flowtable)
			log_warning("flowtable", "this kernel has none (nf_flow_table): all packets go through the ruleset");
	}
	return server->flowtable;
}

static int update_offload(struct server *server, const struct model *model)
{
	struct header_device devices[2];
	const char *legs[] = {model->wan.device, model->lan.device};
	size_t count = 0;
	for (size_t i = 0; model->flowtable && i < 2 && can_offload(server); i++) {
		unsigned index = legs[i] ? if_nametoindex(legs[i]) : 0;
		if (index)
			devices[count++] = (struct header_device){legs[i], index};
	}
	int r = runtime_set_flow_devices(server->runtime, devices, count);
	/* A device that was made anew has taken its part of the flowtable with it. */
	if (r > 0 && server->engine)
		engine_distrust(server->engine);
	return r;
}

int devices_update(struct server *server, const struct model *model)
{
	if (!model)
		return 0;
	int headers = injection_update(server->injection, model), offload = update_offload(server, model);
	return headers < 0 ? headers : offload < 0 ? offload : headers || offload;
}
