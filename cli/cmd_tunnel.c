/* tunnel rotate, and the node agent: that is a role of the program edged, which
 * edgectl becomes. The agent never speaks with edged's API. */
#include "commands.h"

#include "api.h"
#include "cli.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define AGENT_STATE_DIR "/var/lib/edged-agent"
#define EDGED "/usr/sbin/edged"
#define PATH_MOST 4096

int cmd_tunnel_rotate(struct cli *cli)
{
	cleanup_json json_t *answer = NULL;
	const char *name = argument_text(cli->parsed, 0);
	const char *path = cli_format(cli, "/v1/tunnels/%s/rotate", api_encode(cli, name));
	int result = api_call(cli, "POST", path, NULL, &answer);
	if (result != CLI_DONE)
		return result;
	if (cli->json)
		return api_print(cli, answer);
	cli_line(cli, "the keys of %s are being changed; edgectl show tunnels %s says for whom it waits", name, name);
	return CLI_DONE;
}

/* The edged of the same build, or else the package's. */
static const char *find_edged(struct cli *cli)
{
	char self[PATH_MOST];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (length <= 0)
		return EDGED;
	self[length] = '\0';
	*strrchr(self, '/') = '\0';
	const char *beside = cli_format(cli, "%s/edged", self);
	return access(beside, X_OK) == 0 ? beside : EDGED;
}

int cmd_agent(struct cli *cli)
{
	const char *folder = option_text(cli->parsed, "state-dir"), *edged = find_edged(cli);
	execl(edged, "edged", "--role", "agent", "--config", argument_text(cli->parsed, 0), "--state-dir",
	      folder ? folder : AGENT_STATE_DIR, (char *)NULL);
	cli_error(cli, "%s cannot be started: %s", edged, strerror(errno));
	return CLI_REFUSED;
}
