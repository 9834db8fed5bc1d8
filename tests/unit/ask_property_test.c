/* What must hold for every configuration and every packet, tried on random
 * ones: models are built by hand, so that nothing of reading or compiling
 * takes part. The seed of a failure is printed. */
#include "../../rules/ask/ask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 400   /* random models for each property */
#define QUESTIONS 60 /* and packets for each model */
#define RULES_MOST 12

struct world {
	uint64_t random;
	struct arena *arena;
	struct model model;
	struct rule rules[RULES_MOST + 1]; /* room for one more */
	struct forward forwards[4];
	struct node nodes[2];
	struct pool pool;
	struct tunnel tunnel;
	struct blocklist blocklist;
	struct rundata run;
	struct surroundings around;
	const struct question *asked; /* the one that is judged */
};

static uint32_t number(struct world *w, uint32_t below)
{
	w->random = w->random * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX generator */
	return (uint32_t)((w->random >> 33) * below >> 31);
}

static struct addr address(const char *text)
{
	struct addr addr;
	assert_int_equal(addr_parse(text, strlen(text), &addr), 0);
	return addr;
}

static struct prefix network(const char *text)
{
	struct prefix prefix;
	assert_int_equal(prefix_parse(text, strlen(text), &prefix), 0);
	return prefix;
}

static const char *const prefixes[] = {"198.51.100.0/24", "198.51.100.0/26",  "198.51.100.64/26", "198.51.100.7",
				       "192.0.2.0/24",    "192.0.2.128/25",   "203.0.113.0/24",   "203.0.113.10",
				       "198.18.88.0/24",  "2001:db8:f00::/48"};
static const char *const addresses[] = {"198.51.100.7",   "198.51.100.70", "198.51.100.200", "192.0.2.5",
					"192.0.2.200",    "203.0.113.2",   "203.0.113.10",   "203.0.113.99",
					"198.18.88.13",   "198.18.88.1",   "224.0.0.1",      "255.255.255.255",
					"2001:db8:f00::1"};
static const uint16_t ports[] = {22, 25, 53, 80, 443, 8000};
#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof((array)[0])))

static struct place random_place(struct world *w, bool source)
{
	switch (number(w, 8)) {
	case 0:
		return (struct place){.kind = PLACE_ANY};
	case 1:
		return (struct place){.kind = PLACE_WAN};
	case 2:
		return (struct place){.kind = PLACE_LAN};
	case 3:
		return (struct place){.kind = PLACE_TUNNEL, .tunnel = &w->tunnel};
	case 4:
		return (struct place){.kind = PLACE_BLOCKLIST, .blocklist = &w->blocklist};
	case 5:
		if (!source)
			return (struct place){.kind = PLACE_SELF};
		break;
	default:
		break;
	}
	return (struct place){.kind = PLACE_PREFIX, .prefix = network(prefixes[number(w, COUNT(prefixes))])};
}

static struct place *random_places(struct world *w, bool source, size_t *ret_count)
{
	size_t count = 1 + number(w, 2);
	struct place *places = arena_array(w->arena, count, struct place);
	for (size_t i = 0; i < count; i++)
		places[i] = random_place(w, source);
	*ret_count = count;
	return places;
}

static struct port_range *random_ports(struct world *w, size_t *ret_count)
{
	struct port_range *range = arena_new_of(w->arena, struct port_range);
	range->first = ports[number(w, COUNT(ports))];
	range->last = number(w, 2) ? range->first : (uint16_t)(range->first + number(w, 400));
	*ret_count = 1;
	return range;
}

static struct rule random_rule(struct world *w, const char *name, enum action action)
{
	struct rule rule = {.name = name, .action = action};
	rule.from = random_places(w, true, &rule.from_count);
	rule.to = random_places(w, false, &rule.to_count);
	rule.protocol = (enum protocol)number(w, 4);
	if ((rule.protocol == PROTOCOL_TCP || rule.protocol == PROTOCOL_UDP) && number(w, 2))
		rule.ports = random_ports(w, &rule.port_count);
	return rule;
}

static void build(struct world *w, uint64_t seed)
{
	static struct prefix lan, tunnel_address;
	static struct addr floating;
	static const struct node *members[2];
	*w = (struct world){.random = seed * 2 + 1, .arena = arena_new()};
	assert_non_null(w->arena);
	lan = network("192.0.2.0/24");
	floating = address("203.0.113.10");
	tunnel_address = (struct prefix){address("198.18.88.1"), 24};
	w->tunnel = (struct tunnel){.name = "wg0", .listen = 51820, .addresses = &tunnel_address, .address_count = 1};
	w->nodes[0] = (struct node){.name = "a", .address = address("192.0.2.11")};
	w->nodes[1] = (struct node){.name = "b", .address = address("198.18.88.13"), .tunnel = &w->tunnel};
	members[0] = &w->nodes[0];
	members[1] = &w->nodes[1];
	w->pool = (struct pool){.name = "p", .nodes = members, .node_count = 2};
	w->pool.health.check = number(w, 4) ? HEALTH_NONE : HEALTH_TCP; /* of the others nobody has answered */
	struct addr_range *bad = arena_array(w->arena, 2, struct addr_range);
	struct prefix one = network("198.51.100.64/28"), two = network("203.0.113.96/27");
	bad[0] = prefix_range(&one);
	bad[1] = prefix_range(&two);
	w->blocklist = (struct blocklist){.name = "bad", .ranges = bad, .range_count = 2, .v4_count = 2};
	w->model = (struct model){
		.wan = {.device = "ens3"},
		.lan = {.device = "ens4", .networks = &lan, .network_count = 1},
		.floating_ips = &floating,
		.floating_ip_count = 1,
		.tunnels = &w->tunnel,
		.tunnel_count = 1,
		.rules = w->rules,
		.forwards = w->forwards,
		.blocklists = &w->blocklist,
		.blocklist_count = number(w, 2),
	};
	struct addr *own = arena_array(w->arena, 2, struct addr);
	own[0] = address("203.0.113.2");
	own[1] = address("192.0.2.1");
	w->around = (struct surroundings){.own = own, .own_count = 2};
}

static void add_policy(struct world *w)
{
	struct model *model = &w->model;
	model->management = (struct management){.present = number(w, 2)};
	if (model->management.present) {
		model->management.from = arena_new_of(w->arena, struct prefix);
		*model->management.from = network("198.51.100.192/26");
		model->management.from_count = 1;
		model->management.ports = arena_new_of(w->arena, struct port_range);
		*model->management.ports = (struct port_range){22, 22};
		model->management.port_count = 1;
	}
	model->rule_count = number(w, RULES_MOST + 1);
	for (size_t i = 0; i < model->rule_count; i++)
		w->rules[i] = random_rule(w, arena_printf(w->arena, "r%zu", i), (enum action)number(w, 3));
	model->forward_count = number(w, COUNT(w->forwards) + 1);
	for (size_t i = 0; i < model->forward_count; i++) {
		struct forward *forward = &w->forwards[i];
		*forward = (struct forward){
			.name = arena_printf(w->arena, "f%zu", i), .pool = &w->pool, .target_port = 30080};
		forward->protocol = number(w, 3) ? PROTOCOL_TCP : PROTOCOL_UDP;
		forward->ports = random_ports(w, &forward->port_count);
		if (number(w, 3) == 0)
			forward->listen_address = address(number(w, 2) ? "203.0.113.10" : "203.0.113.99");
		if (number(w, 3) == 0)
			forward->from = random_places(w, true, &forward->from_count);
	}
}

static struct question random_question(struct world *w)
{
	struct question question = {.from = address(addresses[number(w, COUNT(addresses))])};
	do
		question.to = address(addresses[number(w, COUNT(addresses))]);
	while (question.to.family != question.from.family);
	question.protocol = (enum protocol)(1 + number(w, 3));
	question.from_port = number(w, 20) ? 40000 : 67;
	question.to_port = number(w, 10) ? (uint16_t)(ports[number(w, COUNT(ports))] + number(w, 3)) : 51820;
	if (number(w, 30) == 0)
		question.to_port = 68;
	struct addr masked = prefix_of(&question.from, 24).addr, lan = address("192.0.2.0"),
		    tunnel = address("198.18.88.0");
	question.in = addr_equal(&masked, &lan) ? PLACE_LAN : addr_equal(&masked, &tunnel) ? PLACE_TUNNEL : PLACE_WAN;
	if (number(w, 8) == 0)
		question.in = (enum place_kind)(PLACE_WAN + number(w, 3));
	question.in_tunnel = question.in == PLACE_TUNNEL ? &w->tunnel : NULL;
	return question;
}

static struct answer ask(struct world *w, const struct question *question)
{
	struct answer answer;
	assert_int_equal(ask_packet_quick(&w->model, &w->run, &w->around, question, w->arena, &answer), 0);
	return answer;
}

/* Asks the same packets before and after a change of the model, and lets `holds` judge each pair. */
static void before_and_after(void (*change)(struct world *w),
			     const char *(*broken)(struct world *w, const struct answer *before,
						   const struct answer *after))
{
	for (uint64_t seed = 0; seed < ROUNDS; seed++) {
		struct world w;
		struct question questions[QUESTIONS];
		struct answer before[QUESTIONS];
		build(&w, seed);
		add_policy(&w);
		for (size_t i = 0; i < QUESTIONS; i++) {
			questions[i] = random_question(&w);
			before[i] = ask(&w, &questions[i]);
		}
		change(&w);
		for (size_t i = 0; i < QUESTIONS; i++) {
			struct answer after = ask(&w, &questions[i]);
			w.asked = &questions[i];
			const char *what = broken(&w, &before[i], &after);
			if (what)
				fail_msg("seed %llu, question %zu: %s (%s by %s, then %s by %s)",
					 (unsigned long long)seed, i, what, action_names[before[i].verdict],
					 decided_by_names[before[i].by], action_names[after.verdict],
					 decided_by_names[after.by]);
		}
		arena_free(&w.arena);
	}
}

static void insert_rule(struct world *w, enum action action)
{
	size_t at = number(w, (uint32_t)w->model.rule_count + 1);
	memmove(&w->rules[at + 1], &w->rules[at], (w->model.rule_count - at) * sizeof(w->rules[0]));
	w->rules[at] = random_rule(w, "added", action);
	w->model.rule_count++;
}

static void insert_drop(struct world *w)
{
	insert_rule(w, ACTION_DROP);
}

static void insert_reject(struct world *w)
{
	insert_rule(w, ACTION_REJECT);
}

static void insert_accept(struct world *w)
{
	insert_rule(w, ACTION_ACCEPT);
}

static bool same(const struct answer *before, const struct answer *after)
{
	return before->verdict == after->verdict && before->by == after->by && before->forward == after->forward;
}

static bool by_added(const struct answer *answer)
{
	return answer->by == DECIDED_RULE && strcmp(answer->name, "added") == 0;
}

static const char *opens_something(struct world *w, const struct answer *before, const struct answer *after)
{
	(void)w;
	if (after->verdict == EXPECT_ACCEPT && before->verdict != EXPECT_ACCEPT)
		return "a rule that refuses has opened something";
	return same(before, after) || by_added(after) ? NULL : "only the added rule may decide otherwise";
}

static const char *closes_something(struct world *w, const struct answer *before, const struct answer *after)
{
	(void)w;
	if (before->verdict == EXPECT_ACCEPT && after->verdict != EXPECT_ACCEPT)
		return "a rule that accepts has closed something";
	if (before->by == DECIDED_FORWARD && !same(before, after))
		return "a rule that accepts has taken a packet from a forward";
	if (before->by < DECIDED_RULE && !same(before, after))
		return "a rule has changed what is decided before all rules";
	return NULL;
}

static void a_refusing_rule_opens_nothing(void **state)
{
	(void)state;
	before_and_after(insert_drop, opens_something);
	before_and_after(insert_reject, opens_something);
}

static void an_accepting_rule_closes_nothing(void **state)
{
	(void)state;
	before_and_after(insert_accept, closes_something);
}

static void remove_policy(struct world *w)
{
	w->model.rule_count = 0;
	w->model.forward_count = 0;
	w->model.management.present = false;
}

static const char *lets_something_in(struct world *w, const struct answer *before, const struct answer *after)
{
	(void)w;
	(void)before;
	if (after->verdict == EXPECT_ACCEPT && after->by != DECIDED_IMPLIED)
		return "something else than the implied was accepted";
	return after->verdict == EXPECT_REJECT ? "a packet was answered" : NULL;
}

static void nothing_configured_lets_nothing_in(void **state)
{
	(void)state;
	before_and_after(remove_policy, lets_something_in);
}

/* Neighbours with one verdict: which of them decides does not matter. */
static void swap_alike(struct world *w)
{
	for (size_t i = 0; i + 1 < w->model.rule_count; i++)
		if (w->rules[i].action == w->rules[i + 1].action) {
			struct rule first = w->rules[i];
			w->rules[i] = w->rules[i + 1];
			w->rules[i + 1] = first;
			i++;
		}
}

static const char *verdict_changed(struct world *w, const struct answer *before, const struct answer *after)
{
	(void)w;
	return same(before, after) ? NULL : "the answer has changed";
}

static void neighbours_with_one_verdict_may_swap(void **state)
{
	(void)state;
	before_and_after(swap_alike, verdict_changed);
}

/* Rules that no packet meets both, by their protocols. */
static void swap_disjoint(struct world *w)
{
	for (size_t i = 0; i + 1 < w->model.rule_count; i++) {
		enum protocol a = w->rules[i].protocol, b = w->rules[i + 1].protocol;
		if (a == b || a == PROTOCOL_ANY || b == PROTOCOL_ANY)
			continue;
		struct rule first = w->rules[i];
		w->rules[i] = w->rules[i + 1];
		w->rules[i + 1] = first;
		i++;
	}
}

static const char *name_changed(struct world *w, const struct answer *before, const struct answer *after)
{
	(void)w;
	if (!same(before, after) || strcmp(before->name ? before->name : "", after->name ? after->name : "") != 0)
		return "rules that share no packet have an order";
	return NULL;
}

static void disjoint_rules_have_no_order(void **state)
{
	(void)state;
	before_and_after(swap_disjoint, name_changed);
}

static void ban_everybody(struct world *w)
{
	struct ban *bans = arena_array(w->arena, 2, struct ban);
	bans[0].prefix = network("0.0.0.0/0");
	bans[1].prefix = network("::/0");
	w->run.bans = bans;
	w->run.ban_count = 2;
}

static const char *not_banned(struct world *w, const struct answer *before, const struct answer *after)
{
	if (model_never_banned(&w->model, &w->asked->from))
		return after->by == before->by && after->verdict == before->verdict ? NULL : "a ban hits management or a node";
	return after->by == DECIDED_BAN && after->verdict == EXPECT_DROP ? NULL : "a ban does not hold";
}

static void a_ban_beats_everything(void **state)
{
	(void)state;
	before_and_after(ban_everybody, not_banned);
}

/* Every backend down: what forwards took is refused at once, and the rest is as before. */
static void all_down(struct world *w)
{
	w->pool.health.check = HEALTH_TCP;
}

static const char *not_refused(struct world *w, const struct answer *before, const struct answer *after)
{
	(void)w;
	if (before->by != DECIDED_FORWARD)
		return same(before, after) ? NULL : "no forward's packet has changed its fate";
	bool refused = after->by == DECIDED_NO_BACKEND && after->verdict == EXPECT_REJECT;
	return refused && after->forward == before->forward ? NULL : "a forward without a backend does not refuse";
}

static void without_backends_forwards_refuse(void **state)
{
	(void)state;
	before_and_after(all_down, not_refused);
}

/* What is accepted came in by the leg that its source lives behind, whatever the rules say. */
static void spoofed_packets_never_pass(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < ROUNDS; seed++) {
		struct world w;
		build(&w, seed);
		add_policy(&w);
		for (size_t i = 0; i < QUESTIONS; i++) {
			struct question question = random_question(&w);
			struct addr masked = prefix_of(&question.from, 24).addr, lan = address("192.0.2.0");
			bool inside = addr_equal(&masked, &lan);
			if (inside != (question.in == PLACE_LAN))
				assert_int_not_equal(ask(&w, &question).verdict, EXPECT_ACCEPT);
		}
		arena_free(&w.arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_refusing_rule_opens_nothing),
		cmocka_unit_test(an_accepting_rule_closes_nothing),
		cmocka_unit_test(nothing_configured_lets_nothing_in),
		cmocka_unit_test(neighbours_with_one_verdict_may_swap),
		cmocka_unit_test(disjoint_rules_have_no_order),
		cmocka_unit_test(a_ban_beats_everything),
		cmocka_unit_test(without_backends_forwards_refuse),
		cmocka_unit_test(spoofed_packets_never_pass),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
