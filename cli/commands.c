/* The table of all commands. What a command takes, and what help, completion
 * and the manual page say of it, stands here and nowhere else. */
#include "commands.h"

#include "edit_keys.h"

#define MESSAGE \
	{.name = "message", .letter = 'm', .kind = VALUE_TEXT, .value = "TEXT", .help = "a line for the history: why"}
#define CONFIRM_WITHIN \
	{.name = "confirm-within", .kind = VALUE_DURATION, .value = "DURATION", CONFIRM_BOUNDS, \
	 .help = "go back by itself unless edgectl confirm comes within so long"}

static const struct option_spec apply_options[] = {CONFIRM_WITHIN, MESSAGE, {0}};
static const struct option_spec rollback_options[] = {MESSAGE, {0}};
static const struct option_spec ban_options[] = {
	{.name = "for", .kind = VALUE_DURATION, .value = "DURATION", .least = 1000, .most = 3650ull * 24 * 3600 * 1000,
	 .help = "how long (default: until edgectl unban)"},
	{0},
};
static const struct option_spec explain_options[] = {
	{.name = "from", .kind = VALUE_TEXT, .value = "ADDR[:PORT]", .required = true, .help = "the source"},
	{.name = "to", .kind = VALUE_TEXT, .value = "ADDR:PORT[/PROTO]", .required = true,
	 .help = "the destination; PROTO is tcp (default) or udp; ADDR/icmp; self:PORT is this machine"},
	{.name = "in", .kind = VALUE_TEXT, .value = "PLACE", .names = NAMES_TUNNELS,
	 .help = "where it comes in: wan, lan or a tunnel (default: where the source belongs)"},
	{0},
};
static const struct option_spec flush_options[] = {
	{.name = "yes", .required = true, .help = "yes, this machine shall filter and forward nothing any more"},
	{0},
};
#define REBOOT {.name = "reboot", .help = "restart the machine at once"}
static const struct option_spec image_reboot_options[] = {REBOOT, {0}};
static const struct option_spec image_commit_options[] = {
	{.name = "force", .help = "also when its health checks fail"},
	{0},
};
static const struct option_spec image_check_options[] = {
	{.name = "keys", .kind = VALUE_FILE, .value = "DIR", .names = NAMES_FILES,
	 .help = "public keys, NAME.pem (default: those of this machine)"},
	{0},
};
static const struct option_spec config_options[] = {
	{.name = "revision", .kind = VALUE_NUMBER, .value = "N", .names = NAMES_REVISIONS,
	 .help = "of this revision (default: the one in force)"},
	{0},
};
static const struct option_spec help_options[] = {
	{.name = "man", .help = "print the manual page (roff)"},
	{0},
};

static const char *const formats[] = {"wg-quick", "networkd", NULL};
static const struct option_spec export_options[] = {
	{.name = "tunnel", .kind = VALUE_TEXT, .value = "NAME", .names = NAMES_TUNNELS,
	 .help = "its tunnel (needed when there are several)"},
	{.name = "format", .kind = VALUE_WORD, .value = "FORMAT", .words = formats, .help = "wg-quick (default) or networkd"},
	{.name = "qr", .help = "as a QR code, for WireGuard's apps"},
	{.name = "new-key", .help = "make the peer's private key, put its public half in force, and show it this once"},
	{.name = "endpoint", .kind = VALUE_TEXT, .value = "HOST:PORT",
	 .help = "where the peer reaches this machine (default: the first floating IP)"},
	{.name = "state-dir", .kind = VALUE_FILE, .value = "DIR", .names = NAMES_FILES,
	 .help = "where edged keeps its keys (default /var/lib/edged)"},
	CONFIRM_WITHIN,
	MESSAGE,
	{0},
};

static const struct option_spec agent_options[] = {
	{.name = "state-dir", .kind = VALUE_FILE, .value = "DIR", .names = NAMES_FILES,
	 .help = "where it keeps its keys (default /var/lib/edged-agent)"},
	{0},
};

static const char *const shells[] = {"bash", "zsh", "fish", NULL};

#define NAME_OF(which, what) {.name = "NAME", .help = what, .names = which}
#define NAME_MAYBE(which, what) {.name = "NAME", .optional = true, .help = what, .names = which}
#define FILE_MAYBE(what) {.name = "FILE", .optional = true, .help = what, .kind = VALUE_FILE, .names = NAMES_FILES}

#define KEYS_MANY {.name = "KEY=VALUE", .many = true, .help = "what to set; KEY= takes it out", .names = NAMES_KEYS}

/* add, set and remove of one noun, which is section i of edit_sections. */
#define EDIT_VERBS(noun, a_noun, i, changing) \
	{.name = noun " add", .run = cmd_edit_add, .summary = "Add " a_noun " to the file and apply it", \
	 .options = edit_sections[i].add_options, \
	 .arguments = {NAME_OF(NAMES_NONE, "how it is called from now on")}}, \
	{.name = noun " set", .run = cmd_edit_set, .summary = "Change keys of " a_noun " in the file and apply it", \
	 .options = changing, \
	 .arguments = {NAME_OF(NAMES_ENTRIES, "which one"), KEYS_MANY}}, \
	{.name = noun " remove", .run = cmd_edit_remove, .summary = "Remove " a_noun " from the file and apply it", \
	 .options = changing, \
	 .arguments = {NAME_OF(NAMES_ENTRIES, "which one")}}

const struct command commands[] = {
	{.name = "status", .run = cmd_status, .summary = "Say whether all is well, what is not, and what to do next"},
	{.name = "check", .run = cmd_check, .summary = "Validate a configuration and its expectations, without root or edged",
	 .details = "Everything that is wrong is printed in one run, as file:line:column: path: what is wrong.\n"
		    "conf.d beside FILE and the blocklists that it names are read too.",
	 .arguments = {FILE_MAYBE("the configuration (default /etc/edged/edged.yaml)")}},
	{.name = "plan", .run = cmd_plan, .summary = "Show what an apply would change",
	 .arguments = {FILE_MAYBE("the configuration (default: the one in edged's own folder)")}},
	{.name = "apply", .run = cmd_apply, .summary = "Put a configuration in force, all of it or nothing",
	 .details = "With FILE, it, conf.d beside it and its blocklists are sent to edged, which then keeps them.\n"
		    "From afar, let a change that locks you out undo itself:\n\n"
		    "  edgectl apply --confirm-within 60s\n"
		    "  edgectl confirm",
	 .options = apply_options,
	 .arguments = {FILE_MAYBE("the configuration (default: the one in edged's own folder)")}},
	{.name = "confirm", .run = cmd_confirm, .summary = "Keep what was applied with --confirm-within"},
	{.name = "rollback", .run = cmd_rollback, .summary = "Go back to an older revision, files included",
	 .details = "While a change waits for its confirmation, rollback without N takes it back at once.",
	 .options = rollback_options,
	 .arguments = {{.name = "N", .optional = true, .kind = VALUE_NUMBER, .names = NAMES_REVISIONS,
			.help = "the revision (default: the one before)"}}},
	{.name = "history", .run = cmd_history, .summary = "List the revisions: when, who, why",
	 .details = "\"lapsed\" is a revision that was applied with --confirm-within and went back by itself."},
	{.name = "diff", .run = cmd_diff, .summary = "Compare the files of two revisions",
	 .arguments = {{.name = "N", .kind = VALUE_NUMBER, .names = NAMES_REVISIONS, .help = "the older revision"},
		       {.name = "M", .kind = VALUE_NUMBER, .names = NAMES_REVISIONS, .optional = true,
			.help = "the newer one (default: the current)"}}},
	{.name = "show forwards", .run = cmd_show_forwards, .summary = "Show the forwards, their backends and counters",
	 .arguments = {NAME_MAYBE(NAMES_FORWARDS, "only this forward")}},
	{.name = "show nodes", .run = cmd_show_nodes, .summary = "Show the nodes and the health of each port",
	 .arguments = {NAME_MAYBE(NAMES_NODES, "only this node")}},
	{.name = "show rules", .run = cmd_show_rules, .summary = "Show all rules in order, implied ones too, with counters",
	 .arguments = {NAME_MAYBE(NAMES_RULES, "only this rule")}},
	{.name = "show tunnels", .run = cmd_show_tunnels, .summary = "Show the tunnels and their peers",
	 .arguments = {NAME_MAYBE(NAMES_TUNNELS, "only this tunnel")}},
	{.name = "show limits", .run = cmd_show_limits, .summary = "Show the limits, how full they are and what they dropped",
	 .arguments = {NAME_MAYBE(NAMES_FORWARDS, "only of this forward")}},
	{.name = "show bans", .run = cmd_show_bans, .summary = "Show who is banned, by whom and until when",
	 .arguments = {NAME_MAYBE(NAMES_BANS, "only this address")}},
	{.name = "show connections", .run = cmd_show_connections, .summary = "Show the open connections of forwards",
	 .arguments = {NAME_MAYBE(NAMES_FORWARDS, "only of this forward")}},
	{.name = "show config", .run = cmd_show_config, .summary = "Print the configuration in force, as it was applied",
	 .options = config_options,
	 .arguments = {NAME_MAYBE(NAMES_NONE, "only this file (edged.yaml, conf.d/..., a blocklist)")}},
	EDIT_VERBS("forward", "a forward", EDIT_FORWARD, edit_set_options),
	EDIT_VERBS("rule", "a rule", EDIT_RULE, edit_set_options),
	EDIT_VERBS("snat", "an snat rule", EDIT_SNAT, edit_set_options),
	EDIT_VERBS("peer", "a tunnel's peer", EDIT_PEER, edit_peer_options),
	EDIT_VERBS("blocklist", "a blocklist", EDIT_BLOCKLIST, edit_set_options),
	EDIT_VERBS("node", "a node", EDIT_NODE, edit_set_options),
	{.name = "peer export", .run = cmd_peer_export, .summary = "Print the configuration that a peer needs at its end",
	 .details = "Complete with --new-key alone; without it, the peer puts its own private key in.\n\n"
		    "  edgectl peer export k8s-3 --new-key | ssh node3 'umask 077; cat > /etc/wireguard/wg0.conf'",
	 .options = export_options,
	 .arguments = {NAME_OF(NAMES_ENTRIES, "the peer")}},
	{.name = "node drain", .run = cmd_node_drain, .summary = "Send a node no new connections; open ones live",
	 .arguments = {NAME_OF(NAMES_NODES, "the node")}},
	{.name = "node undrain", .run = cmd_node_undrain, .summary = "Send a drained node connections again",
	 .arguments = {NAME_OF(NAMES_NODES, "the node")}},
	{.name = "tunnel rotate", .run = cmd_tunnel_rotate,
	 .summary = "Change a tunnel's keys, and those of peers with an agent",
	 .details = "Old and new keys work side by side until every peer has moved:\n"
		    "edgectl show tunnels says for whom it waits.",
	 .arguments = {NAME_OF(NAMES_TUNNELS, "the tunnel")}},
	{.name = "agent", .run = cmd_agent, .summary = "Keep a node's end of a tunnel, and take new keys over from the edge",
	 .details = "FILE is what edgectl peer export prints. It runs until it is ended, and the tunnel stays: on the node,\n\n"
		    "  systemctl enable --now edged-agent@wg0",
	 .options = agent_options,
	 .arguments = {{.name = "FILE", .kind = VALUE_FILE, .names = NAMES_FILES,
			.help = "the node's WireGuard configuration; its name is the device's (wg0.conf)"}}},
	{.name = "ban", .run = cmd_ban, .summary = "Drop everything from an address or prefix, open connections included",
	 .options = ban_options,
	 .arguments = {{.name = "ADDR", .kind = VALUE_PREFIX, .help = "the address or prefix"}}},
	{.name = "unban", .run = cmd_unban, .summary = "Take a ban back",
	 .arguments = {{.name = "ADDR", .kind = VALUE_PREFIX, .names = NAMES_BANS, .help = "the address or prefix"}}},
	{.name = "explain", .run = cmd_explain, .summary = "Say what becomes of a packet: which rule, which node, which line",
	 .details = "  edgectl explain --from 198.51.100.77 --to 203.0.113.10:443 --in wan",
	 .options = explain_options},
	{.name = "flush", .run = cmd_flush, .summary = "Remove every rule and set of edged from the kernel",
	 .details = "Nothing is filtered, forwarded or limited afterwards, until edgectl apply.",
	 .options = flush_options},
	{.name = "image status", .run = cmd_image_status, .summary = "Show the two slots: which runs, which boots next"},
	{.name = "image install", .run = cmd_image_install, .summary = "Write a signed bundle into the other slot, to be tried",
	 .details = "The signature and every byte of FILE are checked before the slot is touched. At the next boot the\n"
		    "new slot is kept when edged's ruleset is in force and what answered now answers again, else, and\n"
		    "after two boots that fail, the slot that runs now comes back by itself.",
	 .options = image_reboot_options,
	 .arguments = {{.name = "FILE", .kind = VALUE_FILE, .names = NAMES_FILES, .help = "the bundle"}}},
	{.name = "image commit", .run = cmd_image_commit, .summary = "Keep the slot that runs, when its health checks pass",
	 .details = "At each boot edged-image.service does so.",
	 .options = image_commit_options},
	{.name = "image rollback", .run = cmd_image_rollback, .summary = "Go back to the other slot at the next boot",
	 .details = "Before the restart of an install, it takes the install back.",
	 .options = image_reboot_options},
	{.name = "image check", .run = cmd_image_check, .summary = "Check a bundle's signature and content, anywhere",
	 .options = image_check_options,
	 .arguments = {{.name = "FILE", .kind = VALUE_FILE, .names = NAMES_FILES, .help = "the bundle"}}},
	{.name = "__image-boot", .run = cmd_image_boot, .hidden = true, .summary = "Settle this boot"},
	{.name = "completion", .run = cmd_completion, .summary = "Print the script that completes edgectl's command lines",
	 .details = "  source <(edgectl completion bash)",
	 .arguments = {{.name = "SHELL", .kind = VALUE_WORD, .words = shells, .help = "bash, zsh or fish"}}},
	{.name = "__complete", .run = cmd_complete, .hidden = true, .summary = "Print what could stand next",
	 .arguments = {{.name = "WORD", .optional = true, .many = true, .kind = VALUE_NONE, .help = "typed so far"}}},
	{.name = "version", .run = cmd_version, .summary = "Print the version of edgectl, and of edged when it answers"},
	{.name = "help", .run = cmd_help, .summary = "Explain a command",
	 .options = help_options,
	 .arguments = {{.name = "COMMAND", .optional = true, .many = true, .names = NAMES_COMMANDS, .help = "which one"}}},
	{0},
};
