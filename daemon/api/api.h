/* The api role: HTTP in front, messages to main behind.
 *
 * Started by main as an unprivileged process with a SOCK_SEQPACKET at MSG_FD
 * (daemon/msg.h). It sends MSG_READY at once and MSG_API_LISTENER, MSG_API_TLS
 * may come (and come again: the newest of a kind replaces the former) at any
 * time later. It owns no state of the edge and opens no file of it. */
#pragma once

/* Runs until MSG_STOP or the end of the channel (0), or -errno when it cannot work at all. */
int api_main(void);
