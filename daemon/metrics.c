/* Prometheus text from struct metrics. All samples of a metric stand together
 * below its HELP and TYPE, as the format demands; a metric without samples is
 * left out. */
#include "metrics.h"

#include "utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const uint32_t metrics_apply_bounds_ms[METRICS_APPLY_BUCKETS] = {10, 20, 50, 100, 250, 1000, 5000, 30000};

void metrics_count_apply(struct metrics_applies *applies, uint64_t took_ms)
{
	size_t bucket = 0;
	while (bucket < METRICS_APPLY_BUCKETS && took_ms > metrics_apply_bounds_ms[bucket])
		bucket++;
	applies->buckets[bucket]++;
	applies->sum_ms += took_ms;
}

static void head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* In quotes: backslash, quote and newline are escaped; other control characters do not belong in a name. */
static void value_text(FILE *out, const char *text)
{
	fputc('"', out);
	for (const char *at = text ? text : ""; *at;) {
		size_t length = utf8_sequence(at);
		if (*at == '\n')
			fputs("\\n", out);
		else if (*at == '\\' || *at == '"')
			fprintf(out, "\\%c", *at);
		else if (!length || (length == 1 && ((unsigned char)*at < 0x20 || *at == 0x7f)))
			fputc('?', out);
		else
			fwrite(at, 1, length, out);
		at += length ? length : 1;
	}
	fputc('"', out);
}

/* name{label="text"; to be closed with end(). */
static void start(FILE *out, const char *name, const char *first, const char *text)
{
	fprintf(out, "%s{%s=", name, first);
	value_text(out, text);
}

static void label(FILE *out, const char *name, const char *text)
{
	fprintf(out, ",%s=", name);
	value_text(out, text);
}

static void end(FILE *out, uint64_t value)
{
	fprintf(out, "} %" PRIu64 "\n", value);
}

static void plain(FILE *out, const char *name, const char *type, const char *help, uint64_t value)
{
	head(out, name, type, help);
	fprintf(out, "%s %" PRIu64 "\n", name, value);
}

static void render_state(FILE *out, const struct metrics *m)
{
	head(out, "edged_build_info", "gauge", "The version of edged that runs.");
	start(out, "edged_build_info", "version", m->version);
	end(out, 1);
	plain(out, "edged_revision", "gauge", "The revision of the configuration in force.", m->revision);
	plain(out, "edged_applied_timestamp_seconds", "gauge", "When it was applied; 0: never.", m->applied_at);
	plain(out, "edged_pending", "gauge", "1 while a revision waits to be confirmed.", m->pending);
	plain(out, "edged_pending_deadline_timestamp_seconds", "gauge",
	      "When it goes back unless it is confirmed; 0: none waits.", m->pending ? m->pending_deadline : 0);
	plain(out, "edged_in_sync", "gauge", "1 while the kernel holds what was desired.", m->in_sync);
	plain(out, "edged_config_warnings", "gauge", "Warnings about the configuration in force.", m->warnings);
	plain(out, "edged_repairs_total", "counter", "Changes by others that were put right.", m->repairs);
}

static void render_process(FILE *out, const struct metrics *m)
{
	plain(out, "process_start_time_seconds", "gauge", "When the main process started, since the epoch.",
	      m->started_at);
	head(out, "process_cpu_seconds_total", "counter", "Processor time of the main process.");
	fprintf(out, "process_cpu_seconds_total %.3f\n", m->cpu_seconds);
	plain(out, "process_resident_memory_bytes", "gauge", "Resident memory of the main process.", m->resident_bytes);
	plain(out, "process_open_fds", "gauge", "Open file descriptors of the main process.", m->open_fds);
}

static void render_applies(FILE *out, const struct metrics *m)
{
	const struct metrics_applies *applies = &m->applies;
	const struct {
		const char *result;
		uint64_t count;
	} results[] = {{"succeeded", applies->succeeded},
		       {"unchanged", applies->unchanged},
		       {"refused", applies->refused},
		       {"failed", applies->failed}};
	head(out, "edged_applies_total", "counter", "Applies by what came of them.");
	for (size_t i = 0; i < sizeof(results) / sizeof(*results); i++) {
		start(out, "edged_applies_total", "result", results[i].result);
		end(out, results[i].count);
	}
	head(out, "edged_apply_duration_seconds", "histogram",
	     "How long applies took, from the request to the verified result.");
	uint64_t sum = 0;
	for (size_t i = 0; i < METRICS_APPLY_BUCKETS; i++) {
		sum += applies->buckets[i];
		fprintf(out, "edged_apply_duration_seconds_bucket{le=\"%g\"} %" PRIu64 "\n",
			(double)metrics_apply_bounds_ms[i] / 1000, sum);
	}
	sum += applies->buckets[METRICS_APPLY_BUCKETS];
	fprintf(out, "edged_apply_duration_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n", sum);
	fprintf(out, "edged_apply_duration_seconds_sum %" PRIu64 ".%03" PRIu64 "\n", applies->sum_ms / 1000,
		applies->sum_ms % 1000);
	fprintf(out, "edged_apply_duration_seconds_count %" PRIu64 "\n", sum);
}

/* One column of the forwards. */
struct column {
	const char *name, *type, *help;
	size_t offset;
	bool narrow; /* uint32_t; else uint64_t */
};

static uint64_t field_of(const void *item, const struct column *column)
{
	const char *at = (const char *)item + column->offset;
	uint32_t narrow;
	uint64_t wide;
	if (column->narrow) {
		memcpy(&narrow, at, sizeof(narrow));
		return narrow;
	}
	memcpy(&wide, at, sizeof(wide));
	return wide;
}

static void render_forwards(FILE *out, const struct metrics *m)
{
#define WIDE(field) offsetof(struct metrics_forward, field), false
#define NARROW(field) offsetof(struct metrics_forward, field), true
	static const struct column columns[] = {
		{"edged_forward_connections_total", "counter", "Connections that a forward let in.", WIDE(connections)},
		{"edged_forward_connections_open", "gauge", "Connections that are open.", WIDE(open)},
		{"edged_forward_proxied_bytes_total", "counter", "Bytes carried by the user-space forwarder.",
		 WIDE(proxied_bytes)},
		{"edged_forward_open_packets", "gauge", "Packets of the open connections that the kernel forwards.",
		 WIDE(open_packets)},
		{"edged_forward_open_bytes", "gauge", "Bytes of the open connections that the kernel forwards.",
		 WIDE(open_bytes)},
		{"edged_forward_limited_packets_total", "counter", "Packets that a forward's limits dropped.",
		 WIDE(limited)},
		{"edged_forward_refused_total", "counter", "Connections refused because no backend was up.",
		 WIDE(refused)},
		{"edged_forward_synproxy_answered_total", "counter", "SYNs that were answered in the nodes' place.",
		 WIDE(answered)},
		{"edged_forward_backends_up", "gauge", "Backends that get new connections.", NARROW(backends_up)},
		{"edged_forward_backends", "gauge", "Backends in the forward's pool.", NARROW(backends_total)},
	};
#undef WIDE
#undef NARROW
	if (!m->forward_count)
		return;
	head(out, "edged_forward_info", "gauge", "A forward with its pool and the data plane that serves it.");
	for (size_t i = 0; i < m->forward_count; i++) {
		start(out, "edged_forward_info", "forward", m->forwards[i].name);
		label(out, "pool", m->forwards[i].pool);
		label(out, "plane", m->forwards[i].plane);
		end(out, 1);
	}
	for (size_t c = 0; c < sizeof(columns) / sizeof(*columns); c++) {
		head(out, columns[c].name, columns[c].type, columns[c].help);
		for (size_t i = 0; i < m->forward_count; i++) {
			start(out, columns[c].name, "forward", m->forwards[i].name);
			end(out, field_of(&m->forwards[i], &columns[c]));
		}
	}
}

static void render_nodes(FILE *out, const struct metrics *m)
{
	if (m->node_count)
		head(out, "edged_node_up", "gauge", "1 when the node answers on at least one of its ports.");
	for (size_t i = 0; i < m->node_count; i++) {
		start(out, "edged_node_up", "node", m->nodes[i].name);
		end(out, m->nodes[i].up);
	}
	if (m->node_count)
		head(out, "edged_node_draining", "gauge", "1 while the node gets no new connections.");
	for (size_t i = 0; i < m->node_count; i++) {
		start(out, "edged_node_draining", "node", m->nodes[i].name);
		end(out, m->nodes[i].draining);
	}
	if (m->backend_count)
		head(out, "edged_backend_up", "gauge", "1 when the node answers on this port.");
	for (size_t i = 0; i < m->backend_count; i++) {
		char port[8];
		snprintf(port, sizeof(port), "%u", m->backends[i].port);
		start(out, "edged_backend_up", "node", m->backends[i].node);
		label(out, "port", port);
		end(out, m->backends[i].up);
	}
}

static void render_peers(FILE *out, const struct metrics *m)
{
	static const struct column columns[] = {
		{"edged_tunnel_handshake_timestamp_seconds", "gauge", "When the peer's last handshake was; 0: none yet.",
		 offsetof(struct metrics_peer, handshake), false},
		{"edged_tunnel_received_bytes_total", "counter", "Bytes that came from a peer.",
		 offsetof(struct metrics_peer, received), false},
		{"edged_tunnel_sent_bytes_total", "counter", "Bytes that were sent to a peer.",
		 offsetof(struct metrics_peer, sent), false},
	};
	if (m->peer_count)
		head(out, "edged_tunnel_peer_up", "gauge", "1 while a tunnel's peer answers; check: what fails.");
	for (size_t i = 0; i < m->peer_count; i++) {
		start(out, "edged_tunnel_peer_up", "tunnel", m->peers[i].tunnel);
		label(out, "peer", m->peers[i].peer);
		label(out, "check", m->peers[i].failed);
		end(out, m->peers[i].up);
	}
	for (size_t c = 0; m->peer_count && c < sizeof(columns) / sizeof(*columns); c++) {
		head(out, columns[c].name, columns[c].type, columns[c].help);
		for (size_t i = 0; i < m->peer_count; i++) {
			start(out, columns[c].name, "tunnel", m->peers[i].tunnel);
			label(out, "peer", m->peers[i].peer);
			end(out, field_of(&m->peers[i], &columns[c]));
		}
	}
}

static void render_rules(FILE *out, const struct metrics *m)
{
	static const struct column columns[] = {
		{"edged_rule_packets_total", "counter", "Packets that a rule decided about.",
		 offsetof(struct metrics_rule, packets), false},
		{"edged_rule_bytes_total", "counter", "Bytes of these packets.", offsetof(struct metrics_rule, bytes),
		 false},
		{"edged_rule_limited_packets_total", "counter",
		 "Packets dropped because they were over a rule's limit.", offsetof(struct metrics_rule, limited),
		 false},
	};
	for (size_t c = 0; m->rule_count && c < sizeof(columns) / sizeof(*columns); c++) {
		head(out, columns[c].name, columns[c].type, columns[c].help);
		for (size_t i = 0; i < m->rule_count; i++) {
			start(out, columns[c].name, "rule", m->rules[i].name);
			label(out, "action", m->rules[i].action);
			end(out, field_of(&m->rules[i], &columns[c]));
		}
	}
}

static void render_drops(FILE *out, const struct metrics *m)
{
	static const struct column columns[] = {
		{"edged_dropped_packets_total", "counter", "Packets dropped, by reason.",
		 offsetof(struct metrics_drop, packets), false},
		{"edged_dropped_bytes_total", "counter", "Bytes of these packets.",
		 offsetof(struct metrics_drop, bytes), false},
	};
	for (size_t c = 0; m->drop_count && c < sizeof(columns) / sizeof(*columns); c++) {
		head(out, columns[c].name, columns[c].type, columns[c].help);
		for (size_t i = 0; i < m->drop_count; i++) {
			start(out, columns[c].name, "reason", m->drops[i].reason);
			end(out, field_of(&m->drops[i], &columns[c]));
		}
	}
	head(out, "edged_bans", "gauge", "Bans in force, by who made them.");
	start(out, "edged_bans", "by", "operator");
	end(out, m->operator_bans);
	start(out, "edged_bans", "by", "limit");
	end(out, m->packet_bans);
}

static void render_headers(FILE *out, const struct metrics *m)
{
	if (!m->header_count)
		return;
	head(out, "edged_header_events_total", "counter", "What the programs that add the PROXY header did.");
	for (size_t i = 0; i < m->header_count; i++) {
		start(out, "edged_header_events_total", "event", m->headers[i].event);
		end(out, m->headers[i].count);
	}
	head(out, "edged_header_flows", "gauge", "Flows that they know.");
	fprintf(out, "edged_header_flows %" PRIu32 "\n", m->header_flows);
	head(out, "edged_header_flows_room", "gauge", "Flows that they have room for.");
	fprintf(out, "edged_header_flows_room %" PRIu32 "\n", m->header_room);
}

static void role_labels(FILE *out, const char *name, const struct metrics_role *role)
{
	char index[16];
	snprintf(index, sizeof(index), "%u", role->index);
	start(out, name, "role", role->role);
	label(out, "index", index);
}

static void render_roles(FILE *out, const struct metrics *m)
{
	if (!m->role_count)
		return;
	head(out, "edged_role_running", "gauge", "1 while the process of a role runs.");
	for (size_t i = 0; i < m->role_count; i++) {
		role_labels(out, "edged_role_running", &m->roles[i]);
		end(out, m->roles[i].running);
	}
	head(out, "edged_role_restarts_total", "counter", "How often the process of a role was started again.");
	for (size_t i = 0; i < m->role_count; i++) {
		role_labels(out, "edged_role_restarts_total", &m->roles[i]);
		end(out, m->roles[i].restarts);
	}
}

int metrics_render(const struct metrics *metrics, char **ret_text, size_t *ret_length)
{
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);
	if (!out)
		return -ENOMEM;
	render_state(out, metrics);
	render_process(out, metrics);
	render_applies(out, metrics);
	render_forwards(out, metrics);
	render_nodes(out, metrics);
	render_peers(out, metrics);
	render_rules(out, metrics);
	render_drops(out, metrics);
	render_headers(out, metrics);
	render_roles(out, metrics);
	bool failed = ferror(out);
	if (fclose(out) || failed) {
		free(text);
		return -ENOMEM;
	}
	*ret_text = text;
	*ret_length = length;
	return 0;
}
