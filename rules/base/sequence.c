/* The longest increasing subsequence, by patience sorting: of all runs of each
 * length the one with the smallest last number is kept, and each number points
 * to the one before it. */
#include "sequence.h"

#include <errno.h>

int sequence_longest_run(struct arena *arena, const uint32_t *numbers, size_t count, bool *ret_stays)
{
	uint32_t *tails = arena_array(arena, count, uint32_t);  /* index of the number that ends a run of length k + 1 */
	uint32_t *before = arena_array(arena, count, uint32_t); /* of each number in a run: the one before it */
	if (!tails || !before)
		return -ENOMEM;
	size_t longest = 0;
	for (uint32_t i = 0; i < count; i++) {
		if (numbers[i] == SEQUENCE_NONE)
			continue;
		size_t low = 0, high = longest;
		while (low < high) {
			size_t middle = (low + high) / 2;
			if (numbers[tails[middle]] < numbers[i])
				low = middle + 1;
			else
				high = middle;
		}
		before[i] = low ? tails[low - 1] : SEQUENCE_NONE;
		tails[low] = i;
		longest += low == longest;
	}
	uint32_t in_run = longest ? tails[longest - 1] : SEQUENCE_NONE;
	for (size_t i = count; i-- > 0;) {
		ret_stays[i] = in_run == i;
		if (ret_stays[i])
			in_run = before[i];
	}
	return 0;
}
