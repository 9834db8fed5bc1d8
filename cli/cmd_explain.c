/* explain: what becomes of a packet, told as a short story. The question is
 * read and answered by edged. */
#include "commands.h"

#include "api.h"
#include "show.h"
#include "text.h"

#include <inttypes.h>
#include <string.h>

static void print_verdict(struct cli *cli, const json_t *answer)
{
	const char *verdict = js_text(answer, "verdict"), *by = js_text(answer, "by"), *name = js_text(answer, "name");
	const char *place = show_place(cli, answer);
	bool accepted = strcmp(verdict, "accept") == 0;
	enum tone tone = accepted ? TONE_GOOD : TONE_BAD;
	const char *word = accepted ? "ACCEPTED" : strcmp(verdict, "drop") == 0 ? "DROPPED" : "REJECTED";
	const char *decided = cli_format(cli, "%s%s%s", by, *name ? " " : "", name);
	if (strcmp(by, "default") == 0)
		decided = "default: no rule and no forward covers it";
	fprintf(cli->out, "%s%s%s", text_tone(cli->color, tone), word, text_plain(cli->color, tone));
	cli_line(cli, " by %s%s%s%s", decided, *place ? " (" : "", place, *place ? ")" : "");
}

static void print_way(struct cli *cli, const json_t *answer)
{
	const char *nodes = js_any(cli, answer, "nodes");
	bool by_kernel = strcmp(js_text(answer, "plane"), "kernel") == 0;
	bool several = json_array_size(json_object_get(answer, "nodes")) > 1;
	if (*nodes)
		cli_line(cli, "It goes to port %" PRId64 " of %s%s, %s.", js_int(answer, "target_port"),
			 several ? "one of " : "", nodes, by_kernel ? "by the kernel" : "through the user-space forwarder");
	if (*nodes)
		cli_line(cli, "The node sees %s as the source.", js_bool(answer, "snat") ? "the edge's own address" :
			 "the client's own address");
	if (*js_text(answer, "snat_rule"))
		cli_line(cli, "On its way out the source is rewritten by snat %s.", js_text(answer, "snat_rule"));
}

int cmd_explain(struct cli *cli)
{
	cleanup_json json_t *answer = NULL;
	const char *from = option_text(cli->parsed, "from"), *to = option_text(cli->parsed, "to");
	const char *in = option_text(cli->parsed, "in");
	cleanup_json json_t *body = cli_need(json_pack("{s:s, s:s, s:s*}", "from", from, "to", to, "in", in));
	int result = api_call(cli, "POST", "/v1/explain", body, &answer);
	if (result != CLI_DONE)
		return result;
	if (!*js_text(answer, "verdict"))
		return api_unknown(cli, "/v1/explain");
	if (cli->json)
		return api_print(cli, answer);
	cli_line(cli, "A new flow from %s to %s%s%s is", from, to, in ? " that comes in by " : "", in ? in : "");
	print_verdict(cli, answer);
	print_way(cli, answer);
	const json_t *steps = json_object_get(answer, "steps"), *item;
	size_t i;
	if (json_array_size(steps)) {
		cli_blank(cli);
		cli_line(cli, "What was looked at, in order:");
	}
	json_array_foreach(steps, i, item)
		cli_line(cli, "  %2zu. %s", i + 1, js_any(cli, item, NULL));
	return CLI_DONE;
}
