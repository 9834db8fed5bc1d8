/* All commands: the table of which everything else is made, and the functions
 * behind it. Each returns an enum cli_exit. */
#pragma once

#include "options.h"

extern const struct command commands[];

int cmd_check(struct cli *cli);
int cmd_plan(struct cli *cli);
int cmd_apply(struct cli *cli);
int cmd_confirm(struct cli *cli);
int cmd_rollback(struct cli *cli);
int cmd_history(struct cli *cli);
int cmd_diff(struct cli *cli);
int cmd_status(struct cli *cli);
int cmd_show_forwards(struct cli *cli);
int cmd_show_nodes(struct cli *cli);
int cmd_show_rules(struct cli *cli);
int cmd_show_tunnels(struct cli *cli);
int cmd_show_limits(struct cli *cli);
int cmd_show_bans(struct cli *cli);
int cmd_show_connections(struct cli *cli);
int cmd_show_config(struct cli *cli);
int cmd_edit_add(struct cli *cli);
int cmd_edit_set(struct cli *cli);
int cmd_edit_remove(struct cli *cli);
int cmd_peer_export(struct cli *cli);
int cmd_node_drain(struct cli *cli);
int cmd_node_undrain(struct cli *cli);
int cmd_tunnel_rotate(struct cli *cli);
int cmd_agent(struct cli *cli);
int cmd_ban(struct cli *cli);
int cmd_unban(struct cli *cli);
int cmd_explain(struct cli *cli);
int cmd_flush(struct cli *cli);
int cmd_image_status(struct cli *cli);
int cmd_image_install(struct cli *cli);
int cmd_image_commit(struct cli *cli);
int cmd_image_rollback(struct cli *cli);
int cmd_image_check(struct cli *cli);
int cmd_image_boot(struct cli *cli);
int cmd_completion(struct cli *cli);
int cmd_complete(struct cli *cli);
int cmd_version(struct cli *cli);
int cmd_help(struct cli *cli);
