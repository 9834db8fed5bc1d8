/* The command line of edged. */
#pragma once

#include <stdbool.h>

struct options {
	const char *config;      /* /etc/edged/edged.yaml */
	const char *state_dir;   /* /var/lib/edged */
	const char *runtime_dir; /* /run/edged */
	bool foreground;
	const char *role_dir;    /* of the sockets that start the roles; NULL: main starts them itself */
	const char *role;        /* NULL: main */
	unsigned worker, workers;
	bool expire_pending;     /* one-shot: go back when a confirmation is overdue */
};

/* 0 with *ret_options; 1 when everything is said (help, version); -EINVAL after a line on standard error. */
int options_parse(int argc, char **argv, struct options *ret_options);
