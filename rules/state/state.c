/* The state type's own operations: making and freeing one, look-ups by name,
 * equality, digests, sizes of fields and the content hash. Equality goes field
 * by field, so that padding and what a kind does not use never count. */
#include "state.h"

#include <stdlib.h>
#include <string.h>

struct state *state_new(void)
{
	struct arena *arena = arena_new();
	if (!arena)
		return NULL;
	struct state *state = arena_new_of(arena, struct state);
	if (!state) {
		arena_free(&arena);
		return NULL;
	}
	state->arena = arena;
	return state;
}

void state_free(struct state **state)
{
	if (!state || !*state)
		return;
	for (struct state *next = *state; next;) {
		struct arena *arena = next->arena; /* the state itself lies in it */
		struct arena *tunnels = next->tunnels.arena;
		next = next->base;
		arena_free(&tunnels);
		arena_free(&arena);
	}
	*state = NULL;
}

static int chain_by_name(const void *name, const void *chain)
{
	return strcmp(name, ((const struct chain *)chain)->name);
}

static int set_by_name(const void *name, const void *set)
{
	return strcmp(name, ((const struct set *)set)->name);
}

const struct chain *state_chain(const struct state *state, const char *name)
{
	if (state->chain_count == 0)
		return NULL;
	return bsearch(name, state->chains, state->chain_count, sizeof(struct chain), chain_by_name);
}

const struct set *state_set(const struct state *state, const char *name)
{
	if (state->set_count == 0)
		return NULL;
	return bsearch(name, state->sets, state->set_count, sizeof(struct set), set_by_name);
}

static bool text_equal(const char *a, const char *b)
{
	if (a == b)
		return true;
	return strcmp(a ? a : "", b ? b : "") == 0;
}

/* length comes from a decoder or the compiler; bounded, since it indexes a fixed array. */
static bool data_equal(const uint8_t *a, const uint8_t *b, size_t length)
{
	return memcmp(a, b, length < STATE_DATA_MAX ? length : STATE_DATA_MAX) == 0;
}

static bool limit_equal(const struct limit_spec *a, const struct limit_spec *b)
{
	return a->count == b->count && a->per_seconds == b->per_seconds && a->burst == b->burst && a->over == b->over;
}

static bool attached_equal(enum dynset_with with, const struct limit_spec *a, const struct limit_spec *b,
			   uint32_t connections_a, uint32_t connections_b)
{
	switch (with) {
	case DYNSET_PLAIN:
		return true;
	case DYNSET_LIMIT:
		return limit_equal(a, b);
	case DYNSET_CONNLIMIT:
		return connections_a == connections_b;
	}
	return false;
}

static bool bitwise_equal(const struct expr *a, const struct expr *b)
{
	return a->bitwise.from_reg == b->bitwise.from_reg && a->bitwise.to_reg == b->bitwise.to_reg &&
	       a->bitwise.length == b->bitwise.length && data_equal(a->bitwise.mask, b->bitwise.mask, a->bitwise.length) &&
	       data_equal(a->bitwise.xor, b->bitwise.xor, a->bitwise.length);
}

static bool hash_equal(const struct expr *a, const struct expr *b)
{
	return a->hash.from_reg == b->hash.from_reg && a->hash.length == b->hash.length &&
	       a->hash.to_reg == b->hash.to_reg && a->hash.modulus == b->hash.modulus && a->hash.seed == b->hash.seed &&
	       a->hash.offset == b->hash.offset;
}

static bool lookup_equal(const struct expr *a, const struct expr *b)
{
	return a->lookup.reg == b->lookup.reg && a->lookup.invert == b->lookup.invert &&
	       a->lookup.has_data == b->lookup.has_data && a->lookup.to_verdict == b->lookup.to_verdict &&
	       (!a->lookup.has_data || a->lookup.to_verdict || a->lookup.to_reg == b->lookup.to_reg) &&
	       text_equal(a->lookup.set, b->lookup.set);
}

static bool dynset_equal(const struct expr *a, const struct expr *b)
{
	return a->dynset.op == b->dynset.op && a->dynset.reg == b->dynset.reg && a->dynset.invert == b->dynset.invert &&
	       a->dynset.timeout_ms == b->dynset.timeout_ms && a->dynset.with == b->dynset.with &&
	       attached_equal(a->dynset.with, &a->dynset.limit, &b->dynset.limit, a->dynset.connections,
			      b->dynset.connections) &&
	       text_equal(a->dynset.set, b->dynset.set);
}

static bool verdict_equal(enum verdict_kind kind_a, const char *chain_a, enum verdict_kind kind_b, const char *chain_b)
{
	bool jumps = kind_a == VERDICT_JUMP || kind_a == VERDICT_GOTO;
	return kind_a == kind_b && (!jumps || text_equal(chain_a, chain_b));
}

static bool synproxy_equal(const struct expr *a, const struct expr *b)
{
	return a->synproxy.mss == b->synproxy.mss && a->synproxy.wscale == b->synproxy.wscale &&
	       a->synproxy.timestamp == b->synproxy.timestamp && a->synproxy.sack == b->synproxy.sack;
}

static bool nat_equal(const struct expr *a, const struct expr *b)
{
	return a->nat.source == b->nat.source && a->nat.family == b->nat.family && a->nat.has_port == b->nat.has_port &&
	       a->nat.addr_reg == b->nat.addr_reg && (!a->nat.has_port || a->nat.port_reg == b->nat.port_reg);
}

static bool range_equal(const struct expr *a, const struct expr *b)
{
	return a->range.invert == b->range.invert && a->range.reg == b->range.reg && a->range.length == b->range.length &&
	       data_equal(a->range.first, b->range.first, a->range.length) &&
	       data_equal(a->range.last, b->range.last, a->range.length);
}

static bool immediate_equal(const struct expr *a, const struct expr *b)
{
	return a->immediate.reg == b->immediate.reg && a->immediate.length == b->immediate.length &&
	       data_equal(a->immediate.data, b->immediate.data, a->immediate.length);
}

bool expr_equal(const struct expr *a, const struct expr *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case EXPR_META:
		return a->meta.key == b->meta.key && a->meta.reg == b->meta.reg;
	case EXPR_PAYLOAD:
		return a->payload.base == b->payload.base && a->payload.offset == b->payload.offset &&
		       a->payload.length == b->payload.length && a->payload.reg == b->payload.reg;
	case EXPR_CT ... EXPR_CT_SET:
		return a->ct.key == b->ct.key && a->ct.reg == b->ct.reg;
	case EXPR_FIB:
		return a->fib.result == b->fib.result && a->fib.flags == b->fib.flags && a->fib.reg == b->fib.reg;
	case EXPR_BITWISE:
		return bitwise_equal(a, b);
	case EXPR_CMP:
		return a->cmp.op == b->cmp.op && a->cmp.reg == b->cmp.reg && a->cmp.length == b->cmp.length &&
		       data_equal(a->cmp.data, b->cmp.data, a->cmp.length);
	case EXPR_RANGE:
		return range_equal(a, b);
	case EXPR_LOOKUP:
		return lookup_equal(a, b);
	case EXPR_DYNSET:
		return dynset_equal(a, b);
	case EXPR_LIMIT:
		return limit_equal(&a->limit, &b->limit);
	case EXPR_COUNTER:
		return text_equal(a->counter.name, b->counter.name);
	case EXPR_LOG:
		return a->log.group == b->log.group && a->log.snaplen == b->log.snaplen &&
		       text_equal(a->log.prefix, b->log.prefix);
	case EXPR_IMMEDIATE:
		return immediate_equal(a, b);
	case EXPR_NUMGEN:
		return a->numgen.random == b->numgen.random && a->numgen.modulus == b->numgen.modulus &&
		       a->numgen.offset == b->numgen.offset && a->numgen.reg == b->numgen.reg;
	case EXPR_HASH:
		return hash_equal(a, b);
	case EXPR_NAT:
		return nat_equal(a, b);
	case EXPR_REDIRECT:
		return a->redirect.has_port == b->redirect.has_port &&
		       (!a->redirect.has_port || a->redirect.port_reg == b->redirect.port_reg);
	case EXPR_MASQUERADE:
		return a->masquerade.fully_random == b->masquerade.fully_random;
	case EXPR_REJECT:
		return a->reject.with == b->reject.with;
	case EXPR_ROUTE_MSS ... EXPR_SET_MSS:
		return a->mss.reg == b->mss.reg;
	case EXPR_STRIP_OPTION:
		return a->option.kind == b->option.kind;
	case EXPR_FLOW_ADD:
		return text_equal(a->flow.table, b->flow.table);
	case EXPR_SYNPROXY:
		return synproxy_equal(a, b);
	case EXPR_VERDICT:
		return verdict_equal(a->verdict.kind, a->verdict.chain, b->verdict.kind, b->verdict.chain);
	case EXPR_KINDS:
		break;
	}
	return false;
}

bool rule_equal(const struct rule_state *a, const struct rule_state *b)
{
	if (a->expr_count != b->expr_count)
		return false;
	for (size_t i = 0; i < a->expr_count; i++) {
		if (!expr_equal(&a->exprs[i], &b->exprs[i]))
			return false;
	}
	return text_equal(a->comment, b->comment);
}

bool element_equal(const struct element *a, const struct element *b)
{
	return memcmp(a->key, b->key, STATE_KEY_MAX) == 0 && memcmp(a->key_end, b->key_end, STATE_KEY_MAX) == 0 &&
	       memcmp(a->data, b->data, STATE_DATA_MAX) == 0 &&
	       verdict_equal(a->verdict, a->chain, b->verdict, b->chain) && a->expires == b->expires;
}

bool set_definition_equal(const struct set *a, const struct set *b)
{
	if (a->flowtable != b->flowtable)
		return false;
	return memcmp(a->key, b->key, sizeof(a->key)) == 0 && a->data == b->data && a->interval == b->interval &&
	       a->dynamic == b->dynamic && a->timeout == b->timeout && a->size == b->size &&
	       a->timeout_ms == b->timeout_ms && a->gc_interval_ms == b->gc_interval_ms && a->with == b->with &&
	       attached_equal(a->with, &a->limit, &b->limit, a->connections, b->connections) &&
	       text_equal(a->name, b->name) && text_equal(a->comment, b->comment);
}

bool chain_definition_equal(const struct chain *a, const struct chain *b)
{
	if (a->type != b->type || !text_equal(a->name, b->name))
		return false;
	if (a->device_count != b->device_count)
		return false;
	for (size_t i = 0; i < a->device_count; i++)
		if (strcmp(a->devices[i], b->devices[i]) != 0)
			return false;
	return a->type == CHAIN_REGULAR ||
	       (a->hook == b->hook && a->priority == b->priority && a->policy_drop == b->policy_drop);
}

size_t field_size(enum field field)
{
	switch (field) {
	case FIELD_PROTO:
		return 1;
	case FIELD_PORT:
		return 2;
	case FIELD_IPV4:
	case FIELD_MARK:
	case FIELD_INTEGER:
	case FIELD_IFINDEX:
	case FIELD_VERDICT:
		return 4;
	case FIELD_IPV6:
	case FIELD_IFNAME:
		return 16;
	}
	return 0; /* the 0 that ends a key */
}

size_t set_key_size(const struct set *set)
{
	size_t size = 0;
	for (size_t i = 0; i < STATE_FIELDS_MAX && set->key[i]; i++)
		size += (field_size(set->key[i]) + 3) & ~(size_t)3;
	return size;
}
