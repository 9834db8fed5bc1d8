/* Judge: what the evaluator says must come out of the edge, held against what did. */
#pragma once

#include "choose.h"
#include "world.h"

struct case_record {
	struct probe probe;
	struct answer answer;
	const struct captured *seen[4]; /* the first of all that came of it */
	size_t seen_count;
};

struct judge {
	const struct model *model;
	const struct settings *settings;
	struct arena *arena;
};

/* Ask about the probe. 0 or -errno. */
int judge_ask(const struct judge *judge, const struct probe *probe, struct answer *ret_answer);
/* NULL when kernel and evaluator agree, else what differs, as text in the arena. */
const char *judge_case(const struct judge *judge, const struct case_record *record);
/* The probe, both answers and the evaluator's steps, for people. */
void judge_report(const struct judge *judge, const struct case_record *record, const char *difference);
