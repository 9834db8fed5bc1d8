/* Reader: from documents to the model's structs, along the schema. Internal to
 * rules/model. */
#pragma once

#include "../base/strmap.h"
#include "../text/doc.h"
#include "schema.h"

/* The way from the root to where the reader is; printed only when something is wrong. */
struct where {
	const struct where *up;
	const char *name; /* NULL: an entry of a list without a name */
	size_t number;
};

struct reader {
	struct arena *arena;   /* the model's */
	struct arena *scratch; /* freed after loading; documents lie here */
	struct diag_list *diags;
	const struct source_set *sources;
	const struct model *previous;
	struct model *model;
	struct strmap *names[KIND_COUNT]; /* names to entries */
	/* The documents of the entries, in the model's order: for places of single keys. */
	const struct doc_node *const *docs[KIND_COUNT];
	const struct doc_node *const *expect_docs;
	struct origin top; /* the main file as a whole */
};

/* Add an error; returns -EINVAL. */
int reader_error(struct reader *reader, const struct where *where, struct origin at, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void reader_warn(struct reader *reader, const struct where *where, struct origin at, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* "pools.ingress.nodes", "rules[3].from", in scratch. */
const char *where_path(struct reader *reader, const struct where *where);

/* The file's whole content, as one document, into reader->model. 0 or -ENOMEM. */
int read_root(struct reader *reader, const struct doc_node *root);
/* node must be a scalar with a value; else an error that says what would be right. */
int expect_scalar(struct reader *reader, const struct where *where, const struct doc_node *node, const char *right);
/* The elements of a list, or a single value as a list of one. *ret_items lies in node or is node itself. */
int expect_values(struct reader *reader, const struct where *where, const struct doc_node *node, const struct key *key,
		  const struct doc_node **ret_items, size_t *ret_count);

/* Names of entries, for messages. */
struct name_list {
	const void *items;
	size_t count, stride, offset;
};

struct name_list reader_names(const struct reader *reader, enum kind kind);
/* "(known: a, b, c)", "(did you mean "b"? 1000 are known)", "(none is configured)"; in scratch. */
const char *suggest_name(struct reader *reader, const char *wrong, const struct name_list *list);
/* ", did you mean "b"?)" or the known ones; for keys and words. */
const char *suggest_key(struct reader *reader, const char *wrong, const struct section *section);
const char *suggest_word(struct reader *reader, const char *wrong, const char *const *words);

/* Join the files' documents; *ret_root may be NULL. 0 or -ENOMEM. */
int merge_documents(struct reader *reader, struct doc_node *const *roots, size_t count, const struct doc_node **ret_root);

/* Read the file of a blocklist. 0, -EINVAL (reported), -ENOMEM. */
int blocklist_read(struct reader *reader, const struct where *where, const struct doc_node *node, void *entry);

/* The place of a key's value in the entry with this index, or of the entry where it has none. */
struct origin reader_key_at(const struct reader *reader, enum kind kind, size_t index, const char *key);
/* An error at a key of the entry with this index; key may be NULL. Returns -EINVAL. */
int reader_refuse(struct reader *reader, enum kind kind, size_t index, const char *key, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
void reader_warn_at(struct reader *reader, enum kind kind, size_t index, const char *key, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/* Cross checks: forwards and sockets; nodes, networks and tunnels. They meet entries
 * that could be read in part only. 0 or -ENOMEM. */
int check_listens(struct reader *reader);
int check_network(struct reader *reader);
/* What is allowed and probably not meant; runs when there are no errors. */
void check_warnings(struct reader *reader);

/* The fields of an entry. */
#define FIELD(entry, key, type) ((type *)(void *)((char *)(entry) + (key)->offset))
#define FIELD_COUNT(entry, key) ((size_t *)(void *)((char *)(entry) + (key)->count_offset))
#define FIELD_CONST(entry, key, type) ((__typeof__(type) const *)(const void *)((const char *)(entry) + (key)->offset))
#define FIELD_COUNT_CONST(entry, key) ((const size_t *)(const void *)((const char *)(entry) + (key)->count_offset))
