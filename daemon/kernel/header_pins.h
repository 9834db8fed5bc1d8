/* Where the loader pins programs and maps, and main finds them. */
#pragma once

#include "../bpf/flow.h"

#define HEADER_FOLDER "bpf"                  /* of the runtime folder; a bpffs of its own */
#define HEADER_MAP_SUFFIX "-" FLOW_LAYOUT    /* maps of another layout have other names */

enum { HEADER_TO_NODE_ETHER, HEADER_TO_NODE_PLAIN, HEADER_FROM_NODE_ETHER, HEADER_FROM_NODE_PLAIN, HEADER_PROGRAMS };
enum { HEADER_MAP_FLOWS, HEADER_MAP_SWEEP, HEADER_MAP_COUNTERS, HEADER_MAP_USAGE, HEADER_MAPS };
extern const char *const header_program_names[HEADER_PROGRAMS];
extern const char *const header_map_names[HEADER_MAPS];

/* "FOLDER/NAME" and suffix into PATH_MAX bytes. 0 or -ENAMETOOLONG. */
int header_pin_path(const char *folder, const char *name, const char *suffix, char *path);
