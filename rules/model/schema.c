/* The tables: every key of the configuration with its type, range, default and
 * purpose. A new key starts here and in struct model; reader, printer and
 * reference follow by themselves. */
#include "schema.h"

#include "checks.h"

#define AT(type, field) .offset = offsetof(struct type, field)
#define LIST_AT(type, field, counter) AT(type, field), .count_offset = offsetof(struct type, counter)
#define NO_FIELDS \
	.name_offset = NO_OFFSET, .at_offset = NO_OFFSET, .index_offset = NO_OFFSET, .present_offset = NO_OFFSET
#define LIST_MOST 1000u
#define SECOND 1000u
#define MINUTE (60u * SECOND)
#define HOUR (60u * MINUTE)
#define DAY (24ull * HOUR)

#define REASON_TEXT "why this is open: one line, for whoever reads the inventory in a year"

static const struct key interface_keys[] = {
	{"device", &device_type, AT(interface, device), .required = true, .text = "the network device's name"},
	{"networks", &prefixes_type, LIST_AT(interface, networks, network_count), .most = LIST_MOST,
	 .text = "the networks behind it; a source in one of lan's is accepted from lan only"},
	{0},
};

static const struct section schema_interface = {
	.name = "interface", .shape = SHAPE_PART, .keys = interface_keys, .scalar_key = "device", .name_offset = NO_OFFSET,
	.index_offset = NO_OFFSET, .at_offset = offsetof(struct interface, at), .present_offset = NO_OFFSET};

static const struct key interfaces_keys[] = {
	{"wan", .section = &schema_interface, AT(model, wan), .required = true,
	 .text = "the leg that floating IPs are mapped into; `wan: ens3` is short for `{ device: ens3 }`"},
	{"lan", .section = &schema_interface, AT(model, lan), .text = "the leg of the private network"},
	{0},
};

static const struct section schema_interfaces = {
	NO_FIELDS, .name = "interfaces", .shape = SHAPE_PART, .keys = interfaces_keys, .finish = check_interfaces,
	.text = "The machine's two legs. Everything else names them `wan` and `lan`.",
	.example = "interfaces:\n"
		   "  wan: ens3\n"
		   "  lan: { device: ens4, networks: [192.0.2.0/24] }\n"};

static const struct key management_keys[] = {
	{"from", &prefixes_type, LIST_AT(management, from, from_count), .most = LIST_MOST, .required = true,
	 .text = "who may reach this machine itself"},
	{"ssh", &ports_type, LIST_AT(management, ports, port_count), .preset = "22",
	 .text = "the TCP ports that are opened to them"},
	{"reason", &text_type, AT(management, reason), .required = true, .text = REASON_TEXT},
	{0},
};

static const struct section schema_management = {
	.name = "management", .shape = SHAPE_PART, .keys = management_keys, .name_offset = NO_OFFSET,
	.index_offset = NO_OFFSET, .at_offset = offsetof(struct management, at),
	.present_offset = offsetof(struct management, present),
	.text = "Who may reach this machine itself. Decided before any rule, never limited and never banned.",
	.example = "management:\n"
		   "  from: [198.51.100.128/25]\n"
		   "  ssh: 22\n"
		   "  reason: operators' bastion\n"};

static const struct key node_keys[] = {
	{"address", &address_type, AT(node, address), .required = true, .text = "the node's own address"},
	{"tunnel", &tunnel_type, AT(node, tunnel), .text = "the tunnel it is behind; without one it is on lan"},
	{0},
};

static const struct section schema_nodes = {
	.name = "nodes", .noun = "node", .shape = SHAPE_NAMED, .keys = node_keys, .pass = 1,
	.offset = offsetof(struct model, nodes), .count_offset = offsetof(struct model, node_count),
	.size = sizeof(struct node), .most = MODEL_MAX_NODES, .name_offset = offsetof(struct node, name),
	.at_offset = offsetof(struct node, at), .index_offset = offsetof(struct node, index), .present_offset = NO_OFFSET,
	.text = "The machines that traffic is forwarded to. A node behind a tunnel must be in the allowed IPs of one of its "
		"peers.",
	.example = "nodes:\n"
		   "  k8s-1: { address: 192.0.2.11 }\n"
		   "  k8s-2: { address: 192.0.2.12 }\n"
		   "  k8s-3: { address: 198.18.88.13, tunnel: wg0 }\n"};

static const struct key health_keys[] = {
	{"check", &word_type, AT(health, check), .words = health_check_names, .preset = "tcp",
	 .text = "how a node's port is probed; `proxy` speaks the PROXY protocol and waits for an answer; `none`: always up"},
	{"interval", &duration_type, AT(health, interval), .least = 100, .most = HOUR, .preset = "2s",
	 .text = "between two probes"},
	{"timeout", &duration_type, AT(health, timeout), .least = 10, .most = 10 * MINUTE, .preset = "1s",
	 .text = "a probe that takes longer has failed; at most the interval"},
	{"rise", &number_type, AT(health, rise), .least = 1, .most = 100, .preset = "2",
	 .text = "good probes in a row until a port counts as up"},
	{"fall", &number_type, AT(health, fall), .least = 1, .most = 100, .preset = "3",
	 .text = "bad probes in a row until a port counts as down"},
	{"path", &text_type, AT(health, path), .text = "http, https: what is asked for (`/` when left out)"},
	{"host", &text_type, AT(health, host),
	 .text = "http, https: Host header and server name (the node's address when left out)"},
	{"status", &status_type, AT(health, status_first),
	 .text = "http, https: the answers that are good (`200-399` when left out)"},
	{0},
};

static const struct section schema_health = {NO_FIELDS, .name = "health", .shape = SHAPE_PART, .keys = health_keys,
					     .finish = check_health};

static const struct key pool_keys[] = {
	{"nodes", &nodes_type, LIST_AT(pool, nodes, node_count), .most = LIST_MOST, .required = true, .text = "its members"},
	{"balance", &word_type, AT(pool, balance), .words = balance_names, .preset = "round_robin",
	 .text = "which member a new connection goes to; `source`: the same one for the same client; `least_connections`: "
		 "in the user-space forwarder only"},
	{"health", .section = &schema_health, AT(pool, health), .text = "how it is found out which members are up"},
	{0},
};

static const struct section schema_pools = {
	.name = "pools", .noun = "pool", .shape = SHAPE_NAMED, .keys = pool_keys, .pass = 2,
	.offset = offsetof(struct model, pools), .count_offset = offsetof(struct model, pool_count),
	.size = sizeof(struct pool), .most = MODEL_MAX_FORWARDS, .name_offset = offsetof(struct pool, name),
	.at_offset = offsetof(struct pool, at), .index_offset = offsetof(struct pool, index), .present_offset = NO_OFFSET,
	.text = "Groups of nodes that serve the same thing. Health is kept per node and target port.",
	.example = "pools:\n"
		   "  ingress:\n"
		   "    nodes: [k8s-1, k8s-2, k8s-3]\n"
		   "    balance: round_robin\n"
		   "    health: { check: http, interval: 2s, timeout: 1s, path: /healthz, host: probe.example.net }\n"};

static const struct key timeouts_keys[] = {
	{"connect", &duration_type, AT(forward, connect_timeout), .least = 100, .most = 5 * MINUTE, .preset = "3s",
	 .text = "to reach a node (user-space forwarder)"},
	{"idle", &duration_type, AT(forward, idle_timeout), .least = SECOND, .most = 7 * DAY, .preset = "1h",
	 .text = "without a byte in either direction (user-space forwarder)"},
	{0},
};

static const struct section schema_timeouts = {NO_FIELDS, .name = "timeouts", .shape = SHAPE_PART, .keys = timeouts_keys};

static const struct key limits_keys[] = {
	{"new_per_source", &rate_type, AT(limits, new_per_source), .text = "new connections of one client (IPv6: of one /64)"},
	{"open_per_source", &number_type, AT(limits, open_per_source), .least = 1, .most = 10000000,
	 .text = "open connections of one client (IPv6: of one /64)"},
	{"new_total", &rate_type, AT(limits, new_total), .text = "new connections of all clients together"},
	{"ban", &duration_type, AT(limits, ban), .least = 10 * SECOND, .most = 30 * DAY,
	 .text = "who keeps exceeding `new_per_source` is refused everything for so long (TCP only)"},
	{0},
};

static const struct section schema_limits = {
	.name = "limits", .shape = SHAPE_PART, .keys = limits_keys, .name_offset = NO_OFFSET, .index_offset = NO_OFFSET,
	.at_offset = offsetof(struct limits, at), .present_offset = NO_OFFSET};

static const struct key forward_keys[] = {
	{"listen", &listen_type, .required = true,
	 .text = "`PORT` on this machine's own addresses and the floating IPs, or `ADDRESS:PORT`; `/tcp` (default) or `/udp` "
		 "behind it"},
	{"from", &places_type, LIST_AT(forward, from, from_count), .most = LIST_MOST,
	 .text = "who may use it; everybody when left out"},
	{"to", &target_type, .required = true,
	 .text = "`POOL:PORT`; without a port, the one that was dialled"},
	{"proxy_protocol", &word_type, AT(forward, proxy_protocol), .words = proxy_header_names, .preset = "none",
	 .text = "the header that tells the node who the client is (TCP only)"},
	{"proxy_tlvs", &words_type, AT(forward, proxy_tlvs), .words = proxy_tlv_names, .most = LIST_MOST,
	 .text = "what a v2 header says besides: `crc32c`, a checksum of the header; `unique-id`, 16 hexadecimal digits by "
		 "which the node's log, `edgectl show connections` and the edge's log name the same connection"},
	{"via", &word_type, AT(forward, via), .words = via_names, .preset = "auto",
	 .text = "the data plane: `auto` takes the kernel where it can serve"},
	{"synproxy", &word_type, AT(forward, synproxy), .words = toggle_names, .preset = "auto",
	 .text = "answer SYNs for the node until the client has proven itself (TCP only)"},
	{"snat", &word_type, AT(forward, snat), .words = toggle_names, .preset = "auto",
	 .text = "the node sees the edge's address instead of the client's; `auto`: where answers would not come back "
		 "otherwise"},
	{"log", &bool_type, AT(forward, log), .preset = "false",
	 .text = "a line in edged's log for each connection: client, node, data plane, unique id (TCP only)"},
	{"timeouts", .section = &schema_timeouts, .offset = 0, .text = "how long a connection may take"},
	{"limits", .section = &schema_limits, AT(forward, limits),
	 .text = "what clients may take; what is over a limit is dropped"},
	{"reason", &text_type, AT(forward, reason), .required = true, .text = REASON_TEXT},
	{0},
};

static const struct section schema_forwards = {
	.name = "forwards", .noun = "forward", .shape = SHAPE_NAMED, .keys = forward_keys, .pass = 3, .finish = check_forward,
	.offset = offsetof(struct model, forwards), .count_offset = offsetof(struct model, forward_count),
	.size = sizeof(struct forward), .most = MODEL_MAX_FORWARDS, .name_offset = offsetof(struct forward, name),
	.at_offset = offsetof(struct forward, at), .index_offset = offsetof(struct forward, index),
	.present_offset = NO_OFFSET,
	.text = "Public ports and where they lead. A forward on an address goes before one on the port alone.",
	.example = "forwards:\n"
		   "  https:\n"
		   "    listen: 443\n"
		   "    to: ingress:30443\n"
		   "    proxy_protocol: v2\n"
		   "    timeouts: { connect: 3s, idle: 1h }\n"
		   "    limits: { new_per_source: 50/second burst 100, open_per_source: 400, ban: 10m }\n"
		   "    reason: public web\n"
		   "  dns: { listen: \"203.0.113.10:53/udp\", to: ingress:30053, reason: name server of example.net }\n"};

static const struct key snat_keys[] = {
	{"from", &prefixes_type, LIST_AT(snat_rule, from, from_count), .most = LIST_MOST, .required = true,
	 .text = "whose connections"},
	{"out", &leg_type, .offset = offsetof(struct snat_rule, out), .count_offset = offsetof(struct snat_rule, tunnel),
	 .required = true, .text = "the leg they leave by"},
	{"to", &snat_to_type, AT(snat_rule, to), .required = true,
	 .text = "the source that the other side sees: `masquerade` (that leg's own address), or an address"},
	{"reason", &text_type, AT(snat_rule, reason), .required = true, .text = REASON_TEXT},
	{0},
};

static const struct section schema_snat = {
	.name = "snat", .noun = "SNAT rule", .shape = SHAPE_NAMED, .keys = snat_keys, .pass = 4, .finish = check_snat,
	.offset = offsetof(struct model, snats), .count_offset = offsetof(struct model, snat_count),
	.size = sizeof(struct snat_rule), .most = LIST_MOST, .name_offset = offsetof(struct snat_rule, name),
	.at_offset = offsetof(struct snat_rule, at), .index_offset = NO_OFFSET, .present_offset = NO_OFFSET,
	.text = "How the private network's own connections get out: their source is rewritten. What they may reach is for "
		"`rules` to say.",
	.example = "snat:\n"
		   "  cluster-egress: { from: [192.0.2.0/24], out: wan, to: masquerade, reason: the nodes' way out }\n"};

static const struct key peer_keys[] = {
	{"public_key", &public_key_type, AT(peer, public_key), .required = true, .text = "the peer's public key"},
	{"allowed_ips", &prefixes_type, LIST_AT(peer, allowed_ips, allowed_ip_count), .most = LIST_MOST, .required = true,
	 .text = "the addresses behind this peer; each belongs to one peer only"},
	{"endpoint", &endpoint_type, .text = "where the peer is reached; without it, the peer calls us"},
	{"keepalive", &duration_type, AT(peer, keepalive), .least = SECOND, .most = 65535u * SECOND,
	 .text = "a packet this often, so that NAT on the way stays open; whole seconds"},
	{"preshared_key", &bool_type, AT(peer, preshared_key), .preset = "false",
	 .text = "use a preshared key as well; it is made on this machine and handed out by `edgectl peer export`"},
	{"agent", &bool_type, AT(peer, agent), .preset = "false",
	 .text = "the peer runs the node agent (`edgectl agent`), which takes new keys over by itself"},
	{0},
};

const struct section schema_peers = {
	.name = "peers", .noun = "peer", .shape = SHAPE_NAMED, .keys = peer_keys, .finish = check_peer,
	.offset = offsetof(struct tunnel, peers), .count_offset = offsetof(struct tunnel, peer_count),
	.size = sizeof(struct peer), .most = LIST_MOST, .name_offset = offsetof(struct peer, name),
	.at_offset = offsetof(struct peer, at), .index_offset = NO_OFFSET, .present_offset = NO_OFFSET,
	.text = "The other ends of the tunnel."};

static const struct key tunnel_keys[] = {
	{"listen", &port_type, AT(tunnel, listen), .required = true, .text = "our UDP port; it is opened by itself"},
	{"address", &own_prefixes_type, LIST_AT(tunnel, addresses, address_count), .most = 16, .required = true,
	 .text = "our own addresses inside, with the length of the network"},
	{"mtu", &number_type, AT(tunnel, mtu), .least = 1280, .most = 9000,
	 .text = "of the device; the kernel's choice when left out"},
	{"second_listen", &port_type, AT(tunnel, second_listen),
	 .text = "UDP port of the second device that new keys take; both take turns. Opened while it is used. The next "
		 "port that no tunnel has when left out"},
	{"rotate_every", &duration_type, AT(tunnel, rotate_every), .least = HOUR, .most = 3650 * DAY,
	 .text = "change all keys this often; for a peer without the node agent it waits until the operator has changed it"},
	{"peers", .section = &schema_peers, .text = "the other ends"},
	{0},
};

static const struct section schema_wireguard = {
	.name = "wireguard", .noun = "tunnel", .shape = SHAPE_NAMED, .keys = tunnel_keys, .finish = check_tunnel,
	.offset = offsetof(struct model, tunnels), .count_offset = offsetof(struct model, tunnel_count),
	.size = sizeof(struct tunnel), .most = MODEL_MAX_TUNNELS, .name_offset = offsetof(struct tunnel, name),
	.at_offset = offsetof(struct tunnel, at), .index_offset = offsetof(struct tunnel, index), .present_offset = NO_OFFSET,
	.text = "Tunnels to nodes that are not on the private network. The name is the device's name too. Private keys are "
		"made on "
		"this machine and never stand here.",
	.example = "wireguard:\n"
		   "  wg0:\n"
		   "    listen: 51820\n"
		   "    address: 198.18.88.1/24\n"
		   "    peers:\n"
		   "      k8s-3:\n"
		   "        public_key: HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=\n"
		   "        allowed_ips: [198.18.88.13/32]\n"
		   "        endpoint: node3.example.net:51820\n"
		   "        keepalive: 25s\n"};

static const struct key metrics_keys[] = {
	{"listen", &socket_type, AT(model, metrics), .required = true, .text = "where Prometheus reads"},
	{0},
};

static const struct section schema_metrics = {
	NO_FIELDS, .name = "metrics", .shape = SHAPE_PART, .keys = metrics_keys,
	.text = "Prometheus metrics over HTTP. They are always on the local socket as well. On an address other than "
		"loopback a rule "
		"has to let readers in.",
	.example = "metrics:\n  listen: 127.0.0.1:9550\n"};

static const struct key api_keys[] = {
	{"listen", &socket_type, AT(api_config, listen), .required = true,
	 .text = "where the API is served over TLS 1.3; who may reach it takes a rule to `self`"},
	{"certificate", &text_type, AT(api_config, certificate), .required = true,
	 .text = "file of the server's certificate chain, PEM"},
	{"key", &text_type, AT(api_config, key), .required = true, .text = "file of its private key, PEM"},
	{"client_ca", &text_type, AT(api_config, client_ca), .required = true,
	 .text = "file of the certificates that clients' certificates must come from, PEM"},
	{"writers", &texts_type, LIST_AT(api_config, writers, writer_count), .most = LIST_MOST,
	 .text = "common names that may read and change"},
	{"readers", &texts_type, LIST_AT(api_config, readers, reader_count), .most = LIST_MOST,
	 .text = "common names that may read"},
	{"reason", &text_type, AT(api_config, reason), .required = true, .text = REASON_TEXT},
	{0},
};

static const struct section schema_api = {
	NO_FIELDS, .name = "api", .shape = SHAPE_PART, .keys = api_keys, .finish = check_api,
	.text = "The API over the network, for clients with a certificate. On the local socket it is always there; without "
		"this "
		"section it is nowhere else. A rule has to let its clients in.",
	.example = "api:\n"
		   "  listen: 192.0.2.1:9443\n"
		   "  certificate: tls/server.pem\n"
		   "  key: tls/server.key\n"
		   "  client_ca: tls/clients.pem\n"
		   "  writers: [deploy]\n"
		   "  readers: [monitoring]\n"
		   "  reason: the deployment pipeline\n"};

static const struct key blocklist_keys[] = {
	{"file", &text_type, AT(blocklist, file), .required = true,
	 .text = "one address or prefix a line, `#` starts a comment; relative to the configuration's folder"},
	{"reason", &text_type, AT(blocklist, reason), .text = "where it comes from"},
	{0},
};

static const struct section schema_blocklists = {
	.name = "blocklists", .noun = "blocklist", .shape = SHAPE_NAMED, .keys = blocklist_keys, .finish = blocklist_read,
	.offset = offsetof(struct model, blocklists), .count_offset = offsetof(struct model, blocklist_count),
	.size = sizeof(struct blocklist), .most = 100, .name_offset = offsetof(struct blocklist, name),
	.at_offset = offsetof(struct blocklist, at), .index_offset = offsetof(struct blocklist, index),
	.present_offset = NO_OFFSET,
	.text = "Sources whose new connections from wan are dropped before anything else is asked. A list's name is also a "
		"place for rules.",
	.example = "blocklists:\n"
		   "  abuse: { file: blocklists/abuse.txt, reason: known scanners }\n"};

static const struct key rule_keys[] = {
	{"name", &name_type, AT(rule, name), .required = true, .text = "what it is called in counters, logs and messages"},
	{"from", &places_type, LIST_AT(rule, from, from_count), .most = LIST_MOST, .required = true,
	 .text = "where a packet comes from"},
	{"to", &places_type, LIST_AT(rule, to, to_count), .most = LIST_MOST, .required = true,
	 .text = "where it goes: the destination before it is forwarded"},
	{"protocol", &word_type, AT(rule, protocol), .words = protocol_names, .preset = "any",
	 .text = "`icmp` is that of the packet's own family"},
	{"port", &ports_type, LIST_AT(rule, ports, port_count), .text = "destination ports (tcp, udp); all when left out"},
	{"limit", &rate_type, AT(rule, limit), .text = "what is over this rate is dropped"},
	{"log", &bool_type, AT(rule, log), .preset = "false", .text = "log what matches"},
	{"action", &word_type, AT(rule, action), .words = action_names, .required = true,
	 .text = "`reject` answers, `drop` does not"},
	{"reason", &text_type, AT(rule, reason), .text = REASON_TEXT "; required with `accept`"},
	{0},
};

static const struct section schema_rules = {
	.name = "rules", .noun = "rule", .shape = SHAPE_LIST, .keys = rule_keys, .pass = 4, .finish = check_rule,
	.offset = offsetof(struct model, rules), .count_offset = offsetof(struct model, rule_count),
	.size = sizeof(struct rule), .most = MODEL_MAX_RULES, .name_offset = offsetof(struct rule, name),
	.at_offset = offsetof(struct rule, at), .index_offset = offsetof(struct rule, index), .present_offset = NO_OFFSET,
	.text = "The first rule that matches a new connection decides. One that drops goes before any forward; one that "
		"accepts never "
		"takes a forward's traffic away. What no rule and no forward allows is dropped. What this machine itself "
		"sends is not "
		"filtered.",
	.example = "rules:\n"
		   "  - { name: node-https, from: 192.0.2.0/24, to: wan, protocol: tcp, port: [80, 443], action: accept, "
		   "reason: images }\n"
		   "  - { name: no-smtp, from: lan, to: wan, protocol: tcp, port: 25, action: reject, log: true }\n"};

static const struct key expect_keys[] = {
	{"from", &expect_from_type, .required = true, .text = "the client"},
	{"in", &leg_type, .offset = offsetof(struct expectation, in), .count_offset = offsetof(struct expectation, in_tunnel),
	 .required = true, .text = "the leg its packet arrives on"},
	{"to", &expect_to_type, .required = true, .text = "the destination; `self` is this machine"},
	{"verdict", &word_type, AT(expectation, verdict), .words = expect_verdict_names, .required = true,
	 .text = "what must become of it"},
	{"forward", &forward_type, AT(expectation, forward), .text = "the forward that must serve it"},
	{"rule", &rule_type, AT(expectation, rule), .text = "the rule that must decide"},
	{0},
};

const struct section schema_expect = {
	.name = "expect", .noun = "expectation", .shape = SHAPE_LIST, .keys = expect_keys,
	.pass = 5, .finish = check_expectation,
	.offset = offsetof(struct model, expectations), .count_offset = offsetof(struct model, expectation_count),
	.size = sizeof(struct expectation), .most = 10000, .name_offset = NO_OFFSET,
	.at_offset = offsetof(struct expectation, at), .index_offset = NO_OFFSET, .present_offset = NO_OFFSET,
	.text = "What must hold. Checked before every apply; a configuration that breaks one is refused.",
	.example = "expect:\n"
		   "  - { from: 198.51.100.77, in: wan, to: \"203.0.113.10:443/tcp\", verdict: accept, forward: https }\n"
		   "  - { from: 198.51.100.77, in: wan, to: \"203.0.113.10:6443/tcp\", verdict: drop }\n"};

static const struct key root_keys[] = {
	{"version", &version_type, .required = true, .text = "of the file's format"},
	{"interfaces", .section = &schema_interfaces, .required = true, .text = "the machine's two legs"},
	{"floating_ips", &addresses_type, LIST_AT(model, floating_ips, floating_ip_count), .most = LIST_MOST,
	 .text = "public addresses that the cloud maps 1:1 to this machine; needed for hairpin"},
	{"management", .section = &schema_management, AT(model, management), .text = "who may reach this machine itself"},
	{"nodes", .section = &schema_nodes, .text = "the machines that traffic is forwarded to"},
	{"pools", .section = &schema_pools, .text = "groups of nodes"},
	{"forwards", .section = &schema_forwards, .text = "public ports and where they lead"},
	{"snat", .section = &schema_snat, .text = "the nodes' way out"},
	{"wireguard", .section = &schema_wireguard, .text = "tunnels"},
	{"metrics", .section = &schema_metrics, .text = "Prometheus metrics"},
	{"api", .section = &schema_api, AT(model, api), .text = "the API over the network"},
	{"flowtable", &bool_type, AT(model, flowtable), .preset = "false",
	 .text = "established connections between lan and wan go below the ruleset where the kernel can (nf_flow_table); bans "
		 "cut them all the same. Where it cannot, nothing changes"},
	{"blocklists", .section = &schema_blocklists, .text = "sources that are dropped"},
	{"rules", .section = &schema_rules, .text = "what else may pass, and what may not"},
	{"expect", .section = &schema_expect, .text = "what must hold"},
	{0},
};

const struct section schema_root = {NO_FIELDS, .name = "", .shape = SHAPE_PART, .keys = root_keys};

const struct section *const schema_kinds[KIND_COUNT] = {
	[KIND_NODE] = &schema_nodes,	       [KIND_POOL] = &schema_pools,
	[KIND_FORWARD] = &schema_forwards,     [KIND_SNAT] = &schema_snat,
	[KIND_TUNNEL] = &schema_wireguard,     [KIND_BLOCKLIST] = &schema_blocklists,
	[KIND_RULE] = &schema_rules,
};
