/* Trace: the steps of an answer, as lines for people. Switched off (arena
 * NULL) it costs nothing: expectations are asked without it. Inside rules/ask only. */
#pragma once

#include "packet.h"

struct trace {
	struct arena *arena; /* NULL: off */
	const char **lines;
	size_t count, capacity;
	bool failed; /* out of memory */
};

void trace_add(struct trace *trace, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* " (edged.yaml:88)", or "" for what came from no file; in the trace's arena. */
const char *trace_place(struct trace *trace, struct origin at);
/* What the first `count` rules, none of which matched, say of the packet: each
 * by itself while they are few, else those that nearly matched and a number. */
void trace_rules(struct trace *trace, const struct packet *packet, size_t count);
void trace_way(struct trace *trace, const struct packet *packet);
/* "wan", or the tunnel's name. */
const char *way_name(enum place_kind kind, const struct tunnel *tunnel);
