/* The node's end of a tunnel, with keys that the edge may change: one process,
 * one tunnel. */
#pragma once

/* Runs until a signal ends it; the tunnel stays. 0, or -errno (logged). */
int agent_run(const char *config, const char *state_dir);
