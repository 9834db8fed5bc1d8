/* Parsing of edged's own options. Prints help and errors; starts nothing, and
 * reads no file. The commands that manage a running edged are edgectl's, not
 * its own. */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char help[] = "usage: edged [--config FILE] [--state-dir DIR] [--runtime-dir DIR] [--foreground]\n"
			   "\n"
			   "  --config FILE       the configuration (default /etc/edged/edged.yaml)\n"
			   "  --state-dir DIR     revisions, keys, run data (default /var/lib/edged)\n"
			   "  --runtime-dir DIR   sockets (default /run/edged)\n"
			   "  --role-dir DIR      the service manager's sockets that start the other roles; without it, edged\n"
			   "                      starts them itself, as root\n"
			   "  --foreground        stay in the foreground, log to standard error\n"
			   "  --expire-pending    go back to the committed configuration if a confirmation is overdue\n"
			   "                      and no edged runs, then exit\n"
			   "  --version, --help\n"
			   "\n"
			   "edged is managed with edgectl.\n";

enum {
	OPTION_CONFIG = 256,
	OPTION_STATE,
	OPTION_RUNTIME,
	OPTION_ROLE_DIR,
	OPTION_FOREGROUND,
	OPTION_ROLE,
	OPTION_WORKER,
	OPTION_WORKERS,
	OPTION_EXPIRE,
	OPTION_VERSION,
	OPTION_HELP
};

static const struct option table[] = {
	{"config", required_argument, NULL, OPTION_CONFIG},
	{"state-dir", required_argument, NULL, OPTION_STATE},
	{"runtime-dir", required_argument, NULL, OPTION_RUNTIME},
	{"role-dir", required_argument, NULL, OPTION_ROLE_DIR},
	{"foreground", no_argument, NULL, OPTION_FOREGROUND},
	{"role", required_argument, NULL, OPTION_ROLE},
	{"worker", required_argument, NULL, OPTION_WORKER},
	{"workers", required_argument, NULL, OPTION_WORKERS},
	{"expire-pending", no_argument, NULL, OPTION_EXPIRE},
	{"version", no_argument, NULL, OPTION_VERSION},
	{"help", no_argument, NULL, OPTION_HELP},
	{0},
};

int options_parse(int argc, char **argv, struct options *ret_options)
{
	struct options options = {
		.config = "/etc/edged/edged.yaml", .state_dir = "/var/lib/edged", .runtime_dir = "/run/edged"};
	for (;;) {
		int option = getopt_long(argc, argv, "h", table, NULL);
		if (option < 0)
			break;
		switch (option) {
		case OPTION_CONFIG: options.config = optarg; break;
		case OPTION_STATE: options.state_dir = optarg; break;
		case OPTION_RUNTIME: options.runtime_dir = optarg; break;
		case OPTION_ROLE_DIR: options.role_dir = optarg; break;
		case OPTION_FOREGROUND: options.foreground = true; break;
		case OPTION_ROLE: options.role = optarg; break;
		case OPTION_WORKER: options.worker = (unsigned)strtoul(optarg, NULL, 10); break;
		case OPTION_WORKERS: options.workers = (unsigned)strtoul(optarg, NULL, 10); break;
		case OPTION_EXPIRE: options.expire_pending = true; break;
		case OPTION_VERSION: printf("edged %s\n", EDGED_VERSION); return 1;
		case OPTION_HELP:
		case 'h': fputs(help, stdout); return 1;
		default: fputs("edged: try --help\n", stderr); return -EINVAL;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "edged: \"%s\" is not an option; edged takes no commands, edgectl does (try --help)\n",
			argv[optind]);
		return -EINVAL;
	}
	*ret_options = options;
	return 0;
}
