/* What the ruleset says of tunnels' devices: a tunnel whose keys are being
 * changed has two, and both are that tunnel to every rule and to the reverse
 * path. A flow into a tunnel gets an address of the tunnel for a source, and is
 * never masqueraded: the kernel ends a masqueraded flow when its device changes
 * or goes. */
#include "compile.h"
#include "parts.h"

#include <stdlib.h>
#include <string.h>

static int compare_names(const void *a, const void *b)
{
	return memcmp(((const struct element *)a)->key, ((const struct element *)b)->key, STATE_KEY_MAX);
}

static const char *devices_set(struct build *b, const struct tunnel *tunnel)
{
	return build_name(b, "devices-%s", tunnel->name);
}

/* Both devices of a tunnel whose keys are being changed are that tunnel. */
void compile_tunnel_devices(struct build *b)
{
	for (size_t i = 0; i < b->model->tunnel_count; i++) {
		struct tunnel_slot slots[COMPILE_SLOTS];
		if (compile_slots(b->run, &b->model->tunnels[i], slots) < COMPILE_SLOTS)
			continue;
		struct element *elements = arena_array(b->arena, COMPILE_SLOTS, struct element);
		if (!elements) {
			b->failed = true;
			return;
		}
		for (size_t slot = 0; slot < COMPILE_SLOTS; slot++)
			memcpy(elements[slot].key, slots[slot].device, strlen(slots[slot].device));
		qsort(elements, COMPILE_SLOTS, sizeof(*elements), compare_names);
		build_set(b, &(struct set){.name = devices_set(b, &b->model->tunnels[i]),
					   .key = {FIELD_IFNAME},
					   .elements = elements,
					   .element_count = COMPILE_SLOTS,
					   .at = b->model->tunnels[i].at});
	}
}

void match_tunnel_device(struct build *b, const struct tunnel *tunnel, enum meta_key key)
{
	struct tunnel_slot slots[COMPILE_SLOTS];
	if (compile_slots(b->run, tunnel, slots) == 1) {
		if (key == META_IIFNAME)
			match_iif(b, slots[0].device, true);
		else
			match_oif(b, slots[0].device);
		return;
	}
	build_expr(b, EXPR_META)->meta.key = key;
	build_expr(b, EXPR_LOOKUP)->lookup.set = devices_set(b, tunnel);
}

/* While a peer moves, its end may leave by one device and this end by the other, for as long as its agent is away: what
 * comes by the tunnel's other device than the way back takes is still where it belongs. */
void compile_reverse_path(struct build *b, struct chain_build *chain)
{
	const char *spoofed = drop_chain(b, "spoofed"), *comment = "strict reverse path";
	struct chain_build *astray = NULL;
	for (size_t i = 0; i < b->model->tunnel_count; i++) {
		const struct tunnel *tunnel = &b->model->tunnels[i];
		struct tunnel_slot slots[COMPILE_SLOTS];
		if (compile_slots(b->run, tunnel, slots) < COMPILE_SLOTS)
			continue;
		astray = astray ? astray : build_chain(b, "astray");
		match_tunnel_device(b, tunnel, META_IIFNAME);
		struct expr *back = build_expr(b, EXPR_FIB);
		back->fib.result = FIB_OIFNAME;
		back->fib.flags = FIB_SADDR;
		build_expr(b, EXPR_LOOKUP)->lookup.set = devices_set(b, tunnel);
		rule_verdict(b, astray, VERDICT_RETURN, NULL, tunnel->at, "the tunnel's other device");
	}
	if (astray)
		rule_verdict(b, astray, VERDICT_GOTO, spoofed, no_origin, comment);

	struct expr *missing = build_expr(b, EXPR_FIB);
	missing->fib.result = FIB_OIF;
	missing->fib.flags = FIB_SADDR | FIB_IIF | FIB_PRESENT;
	/* The whole register, as nft does: a shorter one it prints as "missing/8". */
	struct expr *absent = build_expr(b, EXPR_CMP);
	absent->cmp.op = COMPARE_EQ;
	absent->cmp.length = 4;
	rule_verdict(b, chain, astray ? VERDICT_JUMP : VERDICT_GOTO, astray ? "astray" : spoofed, no_origin, comment);
}

void do_snat(struct build *b, const struct addr *to)
{
	struct expr *immediate = build_expr(b, EXPR_IMMEDIATE);
	immediate->immediate.length = (uint8_t)addr_size(to->family);
	memcpy(immediate->immediate.data, to->bytes, addr_size(to->family));
	struct expr *nat = build_expr(b, EXPR_NAT);
	nat->nat.source = true;
	nat->nat.family = to->family;
}

const char *compile_tunnel_source(struct build *b, const struct tunnel *tunnel)
{
	static const enum family families[] = {FAMILY_V4, FAMILY_V6};
	const char *name = build_name(b, "source-%s", tunnel->name);
	struct chain_build *chain = build_chain(b, name);
	for (size_t f = 0; f < 2; f++) {
		const struct addr *first = NULL;
		for (size_t i = 0; i < tunnel->address_count; i++) {
			if (tunnel->addresses[i].addr.family != families[f])
				continue;
			if (first) {
				struct prefix network = prefix_of(&tunnel->addresses[i].addr, tunnel->addresses[i].length);
				match_daddr(b, &network);
				do_snat(b, &tunnel->addresses[i].addr);
				rule_end(b, chain, tunnel->at, "");
			}
			first = first ? first : &tunnel->addresses[i].addr;
		}
		if (!first)
			continue;
		match_family(b, families[f]);
		do_snat(b, first);
		rule_end(b, chain, tunnel->at, "");
	}
	build_expr(b, EXPR_MASQUERADE);
	rule_end(b, chain, tunnel->at, "");
	return name;
}
