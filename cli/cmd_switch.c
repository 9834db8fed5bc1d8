/* node drain and undrain, ban and unban: what is switched without a new
 * configuration. */
#include "commands.h"

#include "api.h"
#include "cli.h"
#include "text.h"

#include <inttypes.h>

static void tell_refusing(struct cli *cli, const json_t *answer)
{
	size_t i;
	const json_t *name;
	json_array_foreach(json_object_get(answer, "refusing"), i, name)
		if (json_is_string(name))
			cli_toned(cli, TONE_WARN, "forward %s has no node left: it refuses connections",
				  (char *)cli_need(text_line(cli->arena, json_string_value(name))));
}

static int set_drain(struct cli *cli, const char *verb)
{
	cleanup_json json_t *answer = NULL;
	const char *name = argument_text(cli->parsed, 0);
	const char *path = cli_format(cli, "/v1/nodes/%s/%s", api_encode(cli, name), verb);
	int result = api_call(cli, "POST", path, NULL, &answer);
	if (result != CLI_DONE)
		return result;
	if (cli->json)
		return api_print(cli, answer);
	if (js_bool(answer, "draining"))
		cli_line(cli, "%s is draining: no new connections, open ones live (edgectl show connections); "
			 "edgectl node undrain %s takes it back", name, name);
	else
		cli_line(cli, "%s takes new connections again", name);
	tell_refusing(cli, answer);
	return CLI_DONE;
}

int cmd_node_drain(struct cli *cli)
{
	return set_drain(cli, "drain");
}

int cmd_node_undrain(struct cli *cli)
{
	return set_drain(cli, "undrain");
}

int cmd_ban(struct cli *cli)
{
	cleanup_json json_t *answer = NULL, *body = cli_need(json_object());
	const char *address = argument_text(cli->parsed, 0);
	uint64_t duration = option_duration(cli->parsed, "for");
	if (duration % 1000) {
		cli_error(cli, "--for counts in whole seconds");
		return CLI_USAGE;
	}
	cli_need(json_object_set_new(body, "address", json_string(address)) ? NULL : body);
	if (duration)
		cli_need(json_object_set_new(body, "seconds", json_integer((json_int_t)(duration / 1000))) ? NULL : body);
	int result = api_call(cli, "POST", "/v1/bans", body, &answer);
	if (result != CLI_DONE)
		return result;
	if (cli->json)
		return api_print(cli, answer);
	const char *until = js_text(answer, "expires");
	if (*until)
		cli_line(cli, "%s is banned until %s UTC, and its connections are cut", js_text(answer, "address"),
			 (char *)cli_need(text_time(cli->arena, until)));
	else
		cli_line(cli, "%s is banned until edgectl unban, and its connections are cut", js_text(answer, "address"));
	return CLI_DONE;
}

int cmd_unban(struct cli *cli)
{
	cleanup_json json_t *answer = NULL;
	const char *path = cli_format(cli, "/v1/bans/%s", api_encode(cli, argument_text(cli->parsed, 0)));
	int result = api_call(cli, "DELETE", path, NULL, &answer);
	if (result != CLI_DONE)
		return result;
	if (cli->json)
		return api_print(cli, answer);
	cli_line(cli, "%s is not banned any more", js_text(answer, "address"));
	return CLI_DONE;
}
