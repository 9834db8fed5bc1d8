/* Questions and answers as text for people. Everything is in the arena that is
 * passed; NULL when out of memory. */
#pragma once

#include "ask.h"

/* "198.51.100.77 to 203.0.113.10:443/tcp in wan" */
char *question_print(const struct question *question, struct arena *arena);
/* "accepted by forward "https" (edged.yaml:41)" */
char *answer_decision(const struct answer *answer, struct arena *arena);
/* Several lines, each ended: the question, the decision, where it goes, and (with_steps) how it came to that. */
char *answer_print(const struct question *question, const struct answer *answer, bool with_steps, struct arena *arena);
