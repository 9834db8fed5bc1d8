/* Role watch: parses what the network can influence, for main: DNS answers. */
#pragma once

/* Serve MSG_FD until main is gone. 0 or -errno. */
int watch_main(void);
