/* Which known word is nearest to a wrong one. Only runs when something is
 * wrong; decides nothing. */
#include "nearest.h"

#include <string.h>

#define COMPARE_MAX 40 /* longer words are not compared */

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned least = a < b ? a : b;
	return least < c ? least : c;
}

/* Edit distance with swaps of neighbours (optimal string alignment). */
static unsigned distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
	unsigned rows[3][COMPARE_MAX + 1];
	for (unsigned j = 0; j <= b_length; j++)
		rows[0][j] = j;
	for (unsigned i = 1; i <= a_length; i++) {
		unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
		row[0] = i;
		for (unsigned j = 1; j <= b_length; j++) {
			row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
	}
	return rows[a_length % 3][b_length];
}

struct nearest nearest_to(const char *wrong)
{
	size_t length = strlen(wrong);
	/* One slip in three characters is still the same word; one in a word of two is another word. */
	return (struct nearest){.wrong = wrong, .length = length, .distance = 1 + (unsigned)(length > 9 ? 3 : length / 3)};
}

void nearest_consider(struct nearest *nearest, const char *known)
{
	size_t length = strlen(known);
	size_t longer = length > nearest->length ? length - nearest->length : nearest->length - length;
	if (length > COMPARE_MAX || nearest->length > COMPARE_MAX || longer >= nearest->distance)
		return;
	unsigned d = distance(nearest->wrong, nearest->length, known, length);
	if (d < nearest->distance) {
		nearest->distance = d;
		nearest->name = known;
	}
}
