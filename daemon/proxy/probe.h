/* The health prober: its own process of role proxy (`edged --role proxy --prober`).
 *
 * It takes the probes of each MSG_PROXY_CONFIG and nothing else of it, and
 * answers MSG_PROXY_APPLIED. A MSG_PROXY_HEALTH goes to main once for each
 * (node, port) when its state is first known, and then on each change. */
#pragma once

/* Runs until MSG_STOP or the end of the channel (0), or -errno when it cannot work at all. */
int prober_main(void);
