/* Types: what the files of types share. Internal to rules/model. */
#pragma once

#include "reader.h"

#define PORTS_MOST 256 /* ports and ranges in one list */

/* Report that node's text is not what is right ("a port (1 to 65535)"); returns -EINVAL. */
int type_refuse(struct reader *reader, const struct where *where, const struct doc_node *node, const char *right);
/* text into *ret_text; -ENOMEM when it is NULL. */
int type_give(char *text, char **ret_text);
/* Nothing to print. */
int type_unset(char **ret_text);

/* The address of one machine: not zero, not multicast. */
int read_host_address(struct reader *reader, const struct where *where, const struct doc_node *node, const char *text,
		      size_t length, struct addr *ret_addr);
int read_prefix(struct reader *reader, const struct where *where, const struct doc_node *node, struct prefix *ret_prefix);
/* Ports from a scalar's text, or from the elements of a list. */
int read_ports(struct reader *reader, const struct where *where, const struct doc_node *node, const char *text,
	       size_t length, struct port_range **ret_ports, size_t *ret_count);
/* "80,443,8000-8010"; NULL when out of memory. */
char *print_ports(struct arena *arena, const struct port_range *ports, size_t count);
/* An address or prefix, in quotes where YAML wants them. */
char *print_prefix(struct arena *arena, const struct prefix *prefix);
/* Add one text to "[a, b"; NULL when out of memory. */
char *list_add(struct arena *arena, char *list, const char *text);
/* The list's text, or unset when it is empty (NULL). */
int list_close(struct arena *arena, char *list, char **ret_text);
