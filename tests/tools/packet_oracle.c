/* packet_oracle: do kernel and evaluator agree? Applies a configuration in
 * network namespaces of its own, sends random packets through them, and holds
 * what comes out, and what the counters say, against rules/ask.
 *
 *	packet_oracle [--seed N] [--packets N] [--tamper NFT] FOLDER
 *
 * FOLDER holds edged.yaml, its blocklists, and settings.txt (see settings.h).
 * --tamper: an nft command that is run after the apply, to see that a wrong
 * ruleset is noticed. Exit 0: they agree; 1: they do not; 2: it did not come to that. */
#include "oracle/apply.h"
#include "oracle/choose.h"
#include "oracle/judge.h"
#include "oracle/tally.h"
#include "oracle/world.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 64 /* packets between two looks at what came out */
#define REPORTS_MOST 5
#define PACKETS_MOST 60000 /* each has a source port of its own */

struct options {
	uint64_t seed;
	uint32_t packets;
	const char *tamper, *folder;
};

struct run {
	struct judge judge;
	struct world world;
	struct case_record *records;
	uint32_t count;
	uint32_t verdicts[3], forwarded, refused;
};

static int read_options(int argc, char **argv, struct options *ret_options)
{
	static const struct option known[] = {
		{"seed", required_argument, NULL, 's'},
		{"packets", required_argument, NULL, 'n'},
		{"tamper", required_argument, NULL, 't'},
		{0},
	};
	struct options options = {.seed = 1, .packets = 2000};
	for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
		if (c == 's')
			options.seed = strtoull(optarg, NULL, 10);
		else if (c == 'n')
			options.packets = (uint32_t)strtoul(optarg, NULL, 10);
		else if (c == 't')
			options.tamper = optarg;
		else
			return -EINVAL;
	}
	if (optind + 1 != argc || options.packets == 0 || options.packets > PACKETS_MOST)
		return -EINVAL;
	options.folder = argv[optind];
	*ret_options = options;
	return 0;
}

/* Take in all that has come out so far. */
static int collect(struct run *run)
{
	struct captured captured;
	int r;
	while ((r = world_collect(&run->world, &captured)) == 1) {
		if (captured.sighting.id >= run->count)
			continue;
		struct case_record *record = &run->records[captured.sighting.id];
		struct captured *copy = arena_memdup(run->judge.arena, &captured, sizeof(captured));
		if (!copy)
			return -ENOMEM;
		if (record->seen_count < sizeof(record->seen) / sizeof(record->seen[0]))
			record->seen[record->seen_count] = copy;
		record->seen_count++;
	}
	return r;
}

static int send_all(struct run *run, struct chooser *chooser)
{
	for (uint32_t i = 0; i < run->count; i++) {
		struct case_record *record = &run->records[i];
		record->probe = choose_probe(chooser, i);
		int r = judge_ask(&run->judge, &record->probe, &record->answer);
		const struct question *question = &record->probe.question;
		const struct leg *leg = world_leg(&run->world, question->in, question->in_tunnel);
		uint8_t frame[FRAME_MAX];
		if (r == 0 && leg)
			r = world_send(&run->world, leg, frame, frame_build(&record->probe, leg->mac, frame));
		if (r == 0 && i % CHUNK == CHUNK - 1)
			r = collect(run);
		if (r < 0)
			return r;
	}
	int r = world_settle(&run->world);
	return r == 0 ? collect(run) : r;
}

static int judge_all(struct run *run)
{
	uint32_t failures = 0;
	for (uint32_t i = 0; i < run->count; i++) {
		const struct case_record *record = &run->records[i];
		const char *difference = judge_case(&run->judge, record);
		if (record->probe.shape <= SHAPE_ECN_SYN) {
			run->verdicts[record->answer.verdict]++;
			run->forwarded += record->answer.by == DECIDED_FORWARD;
		}
		if (difference && failures++ < REPORTS_MOST)
			judge_report(&run->judge, record, difference);
	}
	printf("%u packets, %u disagree; accepted %u (by forwards %u), dropped %u, rejected %u\n", run->count, failures,
	       run->verdicts[EXPECT_ACCEPT], run->forwarded, run->verdicts[EXPECT_DROP], run->verdicts[EXPECT_REJECT]);
	return failures > 0 ? 1 : 0;
}

static int go(const struct options *options, struct arena *arena, struct model **model, struct kernel **kernel,
	      struct run *run)
{
	struct settings settings;
	const char *yaml = arena_printf(arena, "%s/edged.yaml", options->folder);
	const char *text = arena_printf(arena, "%s/settings.txt", options->folder);
	run->records = arena_array(arena, options->packets, struct case_record);
	if (!yaml || !text || !run->records)
		return -ENOMEM;
	run->count = options->packets;
	int r = apply_load(yaml, arena, model);
	if (r == 0)
		r = settings_read(text, arena, &settings);
	if (r == 0)
		r = world_open(*model, &settings, arena, &run->world);
	if (r == 0 && settings.injection)
		r = settings_attach(&settings, *model, arena);
	if (r == 0)
		r = kernel_open(-1, kernel);
	if (r == 0)
		r = apply_model(*kernel, *model, &settings);
	if (r == 0)
		r = world_watch();
	if (r == 0 && options->tamper)
		r = world_run("nft -f -", options->tamper);
	run->judge = (struct judge){*model, &settings, arena};
	struct chooser chooser;
	if (r == 0)
		r = chooser_init(&chooser, *model, &settings, options->seed, arena);
	if (r == 0)
		r = send_all(run, &chooser);
	if (r < 0)
		return r;
	int differing = judge_all(run);
	/* Sums say something only where each packet is as it should be. */
	if (differing == 0)
		differing = tally_counters(&run->judge, *kernel, run->records, run->count);
	if (differing == 0)
		differing = tally_balance(&run->judge, run->records, run->count);
	return differing > 0 ? 1 : differing;
}

int main(int argc, char **argv)
{
	struct options options;
	if (read_options(argc, argv, &options) < 0) {
		fprintf(stderr, "usage: packet_oracle [--seed N] [--packets N] [--tamper NFT] FOLDER\n");
		return 2;
	}
	cleanup_arena struct arena *arena = arena_new();
	if (!arena)
		return 2;
	struct run run = {
		.world = {.inject = -1, .capture = -1, .tap_edge = -1, .tap_world = -1, .edge_ns = -1, .world_ns = -1}};
	cleanup_model struct model *model = NULL;
	struct kernel *kernel = NULL;
	int r = go(&options, arena, &model, &kernel, &run);
	if (kernel)
		kernel->ops->close(&kernel);
	world_close(&run.world);
	if (r < 0)
		fprintf(stderr, "packet_oracle: %s\n", strerror(-r));
	return r < 0 ? 2 : r;
}
