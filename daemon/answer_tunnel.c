/* What is asked of one tunnel: to change its keys. It starts that and says why
 * not; the steps are tunnel_rotate.c's, and what becomes of them is for
 * `show tunnels` to tell. */
#include "request.h"
#include "tunnel_rotate.h"

#include "log.h"

#include <errno.h>
#include <string.h>

void answer_rotate(struct server *server, struct request *request)
{
	const char *why = NULL;
	int r = tunnel_rotate_start(server, request->name, &why);
	if (r == -ENOENT)
		respond_error(server, request->id, 404, NULL, "no tunnel is called \"%s\" (see `edgectl show tunnels`)",
			      request->name);
	else if (r == -EALREADY)
		respond_error(server, request->id, 409, NULL,
			      "the keys of %s are being changed already (see `edgectl show tunnels`)", request->name);
	else if (r == -ETIME)
		respond_error(server, request->id, 409, NULL, "no new keys now: %s", why);
	else if (r < 0)
		respond_error(server, request->id, 500, NULL, "no new keys: %s", strerror(-r));
	if (r < 0)
		return;
	log_info("apply", "%s changes the keys of tunnel %s", request->user, request->name);
	respond_json(server, request->id, 200, json_pack("{s:s, s:b}", "tunnel", request->name, "rotating", 1));
}
