/* The closed firewall: the section management of files that cannot be used
 * otherwise, and nothing else. Reads the configuration folder; changes nothing. */
#include "closed.h"

#include "history.h"
#include "log.h"

#include <errno.h>
#include <string.h>

/* Before the first configuration: the machine was reachable by ssh, and stays so. */
static const char first_text[] = "version: 1\n"
				 "interfaces: { wan: wan, lan: { device: lan, networks: [192.0.2.0/24] } }\n"
				 "management: { from: [0.0.0.0/0, \"::/0\"], ssh: 22, reason: no configuration yet }\n";

static int load(const struct source_file *files, size_t count, struct model **ret_model)
{
	struct source_set sources = {.main = files, .main_count = count};
	return model_load_management(&sources, ret_model);
}

/* The YAML files of the folder: they come first, blocklists are not read for this. */
static int load_folder(const char *config, struct arena *arena, struct model **ret_model)
{
	struct source_file *files;
	size_t count;
	const char *error;
	int r = folder_read(config, arena, &files, &count, &error);
	return r < 0 ? r : load(files, count, ret_model);
}

int closed_model(const char *config, bool first, struct arena *arena, struct model **ret_model)
{
	int r = load_folder(config, arena, ret_model);
	if (r == 0) {
		log_warning("apply", (*ret_model)->management.present
					     ? "management is let in as the files say: they can be read that far"
					     : "the files name no management: nobody is let in");
		return 0;
	}
	if (r == -ENOMEM)
		return r;
	/* There was a configuration once: whom it let in is not known, so nobody. */
	const struct source_file none = {.name = "edged.yaml", .text = "version: 1\n", .length = 11};
	const struct source_file ssh = {.name = "edged.yaml", .text = first_text, .length = sizeof(first_text) - 1};
	log_warning("apply", first ? "until the first configuration, ssh (port 22) stays reachable from everywhere"
				   : "whom management lets in cannot be read: nobody is let in, use the console");
	return load(first ? &ssh : &none, 1, ret_model);
}
