/* A configuration's files from a folder: the main file, conf.d beside it, and
 * the blocklists that they name. Read-only; used by check, plan and apply. */
#pragma once

#include "cli.h"

#include "../rules/model/model.h"

#include <jansson.h>

struct config_file {
	const char *name;  /* within the configuration folder: "edged.yaml", "conf.d/10-web.yaml" */
	const char *shown; /* as the user would write it: "/tmp/new/edged.yaml" */
	const char *text;
	size_t length;
};

struct files {
	const char *folder; /* with a slash at its end, or "" */
	struct config_file *yaml; /* the main file first, then conf.d in name order */
	size_t yaml_count, yaml_capacity;
};

/* Read the YAML files. 0, or -errno with the reason printed. */
int files_read(struct cli *cli, const char *main_file, struct files **ret_files);
/* Read a file that the configuration names: 0, -EINVAL (its name leaves the
 * folder), -EFBIG, or another -errno; nothing is printed. */
int files_read_named(struct cli *cli, const struct files *files, const char *name, struct config_file *ret_file);
/* All of them, blocklists included as far as they can be read, as the API
 * wants them: a new reference to [{name, text}]. */
json_t *files_json(struct cli *cli, const struct files *files);
/* line with the file's name at its start replaced by the name that the user
 * knows (of cli->files); line itself where there is none. */
const char *files_rename(struct cli *cli, const char *line);
