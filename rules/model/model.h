/* Model: the configuration, validated. Every number is in range, every name is
 * resolved to a pointer, every list is in the file's order. It is const after
 * model_load and lives in one arena; nothing of it ever changes.
 *
 * Optional values: a pointer is NULL, a rate has count 0, a duration is 0, an
 * address has FAMILY_NONE, a name or text is NULL. */
#pragma once

#include "../base/addr.h"
#include "../base/arena.h"
#include "../base/diag.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Names of things: a letter or digit, then letters, digits, '.', '_', '-'. */
#define MODEL_NAME_MAX 40
#define MODEL_IFNAME_MAX 15 /* IFNAMSIZ without the terminator */

#define MODEL_MAX_FORWARDS 10000
#define MODEL_MAX_RULES 50000
#define MODEL_MAX_NODES 1000
#define MODEL_MAX_TUNNELS 200
#define MODEL_MAX_BLOCKLIST_ENTRIES 4000000

enum protocol { PROTOCOL_ANY, PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_ICMP }; /* ICMP: of the packet's own family */
enum proxy_header { PROXY_NONE, PROXY_V1, PROXY_V2 };
/* TLVs of a version 2 header, as bits 1 << TLV_*. */
enum proxy_tlv { TLV_CRC32C, TLV_UNIQUE_ID };
#define TLV_BIT(tlv) (1u << (tlv))
#define TLV_BITS 3u /* all of them */
enum via { VIA_AUTO, VIA_KERNEL, VIA_PROXY };
enum toggle { TOGGLE_AUTO, TOGGLE_ON, TOGGLE_OFF };
enum balance { BALANCE_ROUND_ROBIN, BALANCE_SOURCE, BALANCE_LEAST_CONNECTIONS };
enum health_check { HEALTH_NONE, HEALTH_TCP, HEALTH_HTTP, HEALTH_HTTPS, HEALTH_PROXY };
enum rate_unit { RATE_SECOND, RATE_MINUTE, RATE_HOUR };
enum action { ACTION_ACCEPT, ACTION_DROP, ACTION_REJECT };

enum expect_verdict { EXPECT_ACCEPT, EXPECT_DROP, EXPECT_REJECT };

/* The words of the file for each enum, indexed by it (NULL-terminated lists). */
extern const char *const protocol_names[];
extern const char *const proxy_header_names[];
extern const char *const proxy_tlv_names[];
extern const char *const via_names[];
extern const char *const toggle_names[];
extern const char *const balance_names[];
extern const char *const health_check_names[];
extern const char *const rate_unit_names[];
extern const char *const action_names[];
extern const char *const expect_verdict_names[];

/* "count/unit burst burst"; count 0: no limit. Without "burst" in the file, burst = count (at least 5). */
struct rate {
	uint32_t count;
	enum rate_unit unit;
	uint32_t burst;
};

typedef uint64_t milliseconds;

struct interface {
	const char *device; /* NULL: this leg is not configured */
	struct prefix *networks;
	size_t network_count;
	struct origin at;
};

struct management {
	bool present;
	struct prefix *from;
	size_t from_count;
	struct port_range *ports; /* of ssh, TCP */
	size_t port_count;
	const char *reason;
	struct origin at;
};

struct tunnel;

struct node {
	const char *name;
	struct addr address;
	const struct tunnel *tunnel; /* NULL: on lan */
	struct origin at;
	size_t index; /* in model->nodes */
};

struct health {
	enum health_check check;
	milliseconds interval, timeout;
	uint32_t rise, fall;
	const char *path; /* http, https: default "/" */
	const char *host; /* http, https: Host header and SNI; NULL: the node's address */
	uint32_t status_first, status_last; /* http, https: default 200 to 399 */
};

struct pool {
	const char *name;
	const struct node **nodes; /* at least one, no duplicates */
	size_t node_count;
	enum balance balance;
	struct health health;
	struct origin at;
	size_t index;
};

enum place_kind { PLACE_ANY, PLACE_WAN, PLACE_LAN, PLACE_TUNNEL, PLACE_SELF, PLACE_PREFIX, PLACE_BLOCKLIST };
extern const char *const place_kind_names[];

struct blocklist;

struct place {
	enum place_kind kind;
	const struct tunnel *tunnel;       /* PLACE_TUNNEL */
	struct prefix prefix;              /* PLACE_PREFIX */
	const struct blocklist *blocklist; /* PLACE_BLOCKLIST */
	struct origin at;
};

struct limits {
	struct rate new_per_source;
	uint32_t open_per_source; /* 0: no limit */
	struct rate new_total;
	milliseconds ban; /* 0: none; only with new_per_source and TCP */
	struct origin at;
};

struct forward {
	const char *name;
	struct addr listen_address;       /* FAMILY_NONE: this machine's own addresses and the floating IPs */
	struct port_range *ports;         /* sorted, disjoint */
	size_t port_count;
	enum protocol protocol;           /* TCP or UDP */
	struct place *from;               /* empty: from wan, lan and tunnels alike; no PLACE_SELF */
	size_t from_count;
	const struct pool *pool;
	uint16_t target_port;             /* on the nodes; 0: the port that was dialled (only with a list or range) */
	enum proxy_header proxy_protocol; /* NONE for UDP */
	uint32_t proxy_tlvs;              /* TLV_BIT()s; only with PROXY_V2 */
	enum via via;
	enum toggle synproxy, snat;
	bool log;                         /* each connection; only TCP */
	milliseconds connect_timeout, idle_timeout; /* defaults 3s, 1h */
	struct limits limits;
	const char *reason;
	struct origin at;
	size_t index;
};

struct snat_rule {
	const char *name;
	struct prefix *from;
	size_t from_count;
	enum place_kind out;         /* WAN, LAN or TUNNEL */
	const struct tunnel *tunnel; /* PLACE_TUNNEL */
	struct addr to;              /* FAMILY_NONE: masquerade */
	const char *reason;
	struct origin at;
};

struct peer {
	const char *name;
	uint8_t public_key[32];
	struct prefix *allowed_ips;
	size_t allowed_ip_count;
	const char *endpoint_host; /* NULL: the peer calls us */
	uint16_t endpoint_port;
	milliseconds keepalive;    /* 0: off; whole seconds */
	bool preshared_key;
	bool agent;                /* the peer runs the node agent: new keys are agreed with it */
	struct origin at;
};

struct tunnel {
	const char *name; /* also the device's name */
	uint16_t listen;
	uint16_t second_listen;   /* of the other device that new keys take; 0: the next free one */
	struct prefix *addresses; /* with host bits: length is the network's, addr the own address */
	size_t address_count;
	uint32_t mtu; /* 0: default */
	milliseconds rotate_every;
	struct peer *peers;
	size_t peer_count;
	struct origin at;
	size_t index;
};

struct listen_tcp {
	struct addr address; /* FAMILY_NONE: not configured */
	uint16_t port;
	struct origin at;
};

/* The API on TLS 1.3 with client certificates; off when listen is not configured. */
struct api_config {
	struct listen_tcp listen;
	const char *certificate, *key, *client_ca; /* file names */
	const char **writers, **readers;           /* common names of client certificates */
	size_t writer_count, reader_count;
	const char *reason;
};

struct blocklist_content;

struct blocklist {
	const char *name;
	const char *file; /* as written in the configuration */
	const char *reason;
	struct addr_range *ranges; /* sorted by address (IPv4 first), merged */
	size_t range_count, v4_count;
	uint8_t hash[32]; /* SHA-256 of the file's bytes */
	struct blocklist_content *content; /* holds ranges; shared by the models that were loaded from the same bytes */
	struct origin at;
	size_t index;
};

struct rule {
	const char *name;
	struct place *from, *to; /* at least one each; any of them matches */
	size_t from_count, to_count;
	enum protocol protocol;
	struct port_range *ports; /* destination; only tcp and udp; empty: all; sorted, disjoint */
	size_t port_count;
	struct rate limit;
	bool log;
	enum action action;
	const char *reason; /* required for accept */
	struct origin at;
	size_t index;
};

struct expectation {
	struct addr from;
	uint16_t from_port;  /* 0: any */
	enum place_kind in;  /* WAN, LAN or TUNNEL */
	const struct tunnel *in_tunnel;
	bool to_self;        /* "self:22/tcp" */
	struct addr to;      /* when !to_self */
	uint16_t to_port;
	enum protocol protocol;
	enum expect_verdict verdict;
	const struct forward *forward; /* NULL: not stated */
	const char *rule;              /* NULL: not stated */
	struct origin at;
};

struct model_names;

struct model {
	struct arena *arena; /* owned */
	struct model_names *names; /* of nodes and forwards, for model_find_...() */
	struct interface wan, lan;
	struct addr *floating_ips;
	size_t floating_ip_count;
	struct management management;
	struct node *nodes;
	size_t node_count;
	struct pool *pools;
	size_t pool_count;
	struct forward *forwards;
	size_t forward_count;
	struct snat_rule *snats;
	size_t snat_count;
	struct tunnel *tunnels;
	size_t tunnel_count;
	struct blocklist *blocklists;
	size_t blocklist_count;
	struct rule *rules;
	size_t rule_count;
	struct expectation *expectations;
	size_t expectation_count;
	struct listen_tcp metrics;
	struct api_config api;
	bool flowtable; /* where the kernel has one */
};

/* One input file: the main file first, then conf.d in name order, then what
 * they refer to (blocklists), under the name by which they are referred to.
 * Not owned. */
struct source_file {
	const char *name;
	const char *text;
	size_t length;
	const uint8_t *sha256; /* of text, 32 bytes, when whoever opened the file knows it; else NULL */
};

struct source_set {
	const struct source_file *main; /* the YAML files in order; a later one may add to each section */
	size_t main_count;
	/* Fetch a referred file (a blocklist) by its name as written; 0, -ENOENT, -EINVAL
	 * (the name leaves the configuration's folder), or another -errno.
	 * The result stays valid until model_load returns. */
	int (*open)(void *context, const char *name, struct source_file *ret_file);
	void *context;
};

/* Read and check everything, all errors in one run (into diags, sorted).
 * previous (may be NULL): a model whose blocklists are shared, not parsed again,
 * where the file's hash is the same; it may be freed before the new one.
 * 0 with *ret_model (no errors; warnings may stand in diags), -EINVAL, -ENOMEM. */
int model_load(const struct source_set *sources, const struct model *previous, struct diag_list *diags,
	       struct model **ret_model);
/* The section management alone, out of a configuration that cannot be used: so that a broken file does not keep out
 * those who could mend it. 0 with a model that has nothing else (nor that, when the files do not have it), -EINVAL
 * when the files cannot be read that far or the section is wrong itself, -ENOMEM. */
int model_load_management(const struct source_set *sources, struct model **ret_model);
void model_free(struct model **model);
#define cleanup_model __attribute__((cleanup(model_free)))

/* Management's addresses and nodes: no ban hits them, whoever made it. */
bool model_never_banned(const struct model *model, const struct addr *address);
const struct node *model_find_node(const struct model *model, const char *name);
const struct forward *model_find_forward(const struct model *model, const char *name);
/* The other device that a tunnel's new keys take, and its port: tunnel and it take turns. */
#define MODEL_SECOND_DEVICE_SUFFIX "-2"
void model_second_device(const struct tunnel *tunnel, char ret_device[MODEL_IFNAME_MAX + 1]);
uint16_t model_second_listen(const struct model *model, const struct tunnel *tunnel);
/* Would what is sent there go into the tunnel itself, round and round? */
bool model_leads_inside(const struct tunnel *tunnel, const struct addr *addr);
/* Printed as YAML that loads to the same model (defaults written out): for tests and `show config --full`. */
char *model_print(const struct model *model, struct arena *arena);
