/* Apply: from files to the running edge, with history. What answer_change.c
 * and the start of main share.
 *
 * Order, so that a crash at any point leaves the old or the new configuration:
 * the revision is on disk before the kernel changes, and is marked committed
 * (or pending with its deadline) only afterwards, in one atomic replacement. */
#pragma once

#include "server_state.h"

/* A configuration's files; names relative to its folder, edged.yaml first. In an arena. */
struct source_files {
	struct source_file *items;
	size_t count;
};

struct apply_request {
	struct source_files files;
	const char *user, *message;
	uint64_t confirm_seconds; /* 0: committed at once */
	bool must_listen;         /* a port that another program has is a reason to refuse */
	bool write_folder;        /* the files came from elsewhere: put them into the configuration folder too */
};

struct apply_result {
	unsigned status;   /* HTTP's; 200: done */
	const char *error; /* NULL, or one line */
	bool no_room;      /* the error is that the state folder is full */
	const char *folder_error; /* NULL, or why the folder still has other files than what is in force */
	const char *kept; /* NULL, or which edits that were never applied were kept, and where */
	uint32_t revision;
	bool changed;
	const char *const *summary;
	size_t summary_count;
	struct engine_report report;
	uint64_t load_ms;
};

/* Load and check files; diags get every error and warning, expectations included.
 * *files grows by the blocklists that were read from the configuration folder. 0 or -errno. */
int apply_load(struct server *server, struct source_files *files, struct arena *arena, struct diag_list *diags,
	       struct model **ret_model);
/* What changes between two models, for people, into the result's summary. */
void apply_summarise(const struct model *before, const struct model *after, struct arena *arena,
		     struct apply_result *result);
/* All of it. Everything in the result is in arena. */
void apply_files(struct server *server, const struct apply_request *request, struct arena *arena, struct diag_list *diags,
		 struct apply_result *ret_result);
/* Read the YAML files of the configuration folder. 0 or -errno with *ret_error. */
int apply_read_folder(struct server *server, struct arena *arena, struct source_files *ret_files, const char **ret_error);
/* Make a stored revision the one in force and the committed one. */
void apply_rollback(struct server *server, uint32_t revision, const char *user, const char *message, struct arena *arena,
		    struct apply_result *ret_result);
/* The pending revision becomes the committed one. 0, -ENOENT when none is pending, -errno. */
int apply_confirm(struct server *server, uint32_t *ret_revision);
/* The deadline has passed: back to the committed revision. */
void apply_expire(struct server *server);
/* At the start: bring up what is committed (or pending still, or the configuration folder at the first start). */
void apply_boot(struct server *server);
/* Write drains, bans and health to disk. */
void apply_save_runtime(struct server *server);
