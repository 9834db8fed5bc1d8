/* edged: one program, several roles. Decides which one this process is, and
 * hands over to it. Main itself is in server.c; privileges are dropped before
 * a role is started, by role.c. */
#include "agent/agent.h"
#include "api/api.h"
#include "guard.h"
#include "kernel/header.h"
#include "log.h"
#include "options.h"
#include "proxy/probe.h"
#include "proxy/worker.h"
#include "role.h"
#include "role_unit.h"
#include "server.h"
#include "watch/watch.h"

#include <errno.h>
#include <string.h>

static int run_role(const struct options *options)
{
	if (strcmp(options->role, role_names[ROLE_PROXY]) == 0)
		return proxy_worker_main(options->workers ? (int)options->worker : (int)role_unit_index(MSG_FD),
					 (int)options->workers);
	if (strcmp(options->role, role_names[ROLE_PROBER]) == 0)
		return prober_main();
	if (strcmp(options->role, role_names[ROLE_API]) == 0)
		return api_main();
	if (strcmp(options->role, role_names[ROLE_WATCH]) == 0)
		return watch_main();
	if (strcmp(options->role, "agent") == 0)
		return agent_run(options->config, options->state_dir);
	if (strcmp(options->role, "loader") == 0)
		return headers_load(options->runtime_dir, 0);
	log_error("edged", "there is no role \"%s\" (roles are started by edged itself)", options->role);
	return -EINVAL;
}

int main(int argc, char **argv)
{
	struct options options;
	int r = options_parse(argc, argv, &options);
	if (r)
		return r < 0 ? 2 : 0;
	if (options.role) {
		r = run_role(&options);
		if (r < 0)
			log_error("edged", "role %s ends: %s", options.role, strerror(-r));
		return r < 0 ? 1 : 0;
	}
	if (options.expire_pending)
		return guard_main(&options) < 0 ? 1 : 0;
	return server_main(&options) < 0 ? 1 : 0;
}
