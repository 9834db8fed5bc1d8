/* The content of one set that stays: a merge of two sorted lists, of elements
 * or of ranges. An element whose data, verdict or expiry changed is deleted and
 * added. A set that was not read back, because a content hash stands for it,
 * is compared by that hash. */
#include "diff_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int compare_elements(const void *a, const void *b)
{
	const struct element *x = a, *y = b;
	int order = memcmp(x->key, y->key, STATE_KEY_MAX);
	return order ? order : memcmp(x->key_end, y->key_end, STATE_KEY_MAX);
}

static int compare_ranges(const struct addr_range *a, const struct addr_range *b)
{
	int order = addr_compare(&a->first, &b->first);
	return order ? order : addr_compare(&a->last, &b->last);
}

/* The elements of a set, sorted; those of a set of ranges as elements. */
struct listing {
	const struct element *items;
	size_t count;
};

static int list_elements(struct arena *arena, const struct set *set, struct listing *ret_listing)
{
	struct listing listing = {.items = set->elements, .count = set->element_count};
	if (set->range_count) {
		struct element *items = arena_array(arena, set->range_count, struct element);
		if (!items)
			return -ENOMEM;
		for (size_t i = 0; i < set->range_count; i++) {
			memcpy(items[i].key, set->ranges[i].first.bytes, sizeof(set->ranges[i].first.bytes));
			memcpy(items[i].key_end, set->ranges[i].last.bytes, sizeof(set->ranges[i].last.bytes));
		}
		listing = (struct listing){.items = items, .count = set->range_count};
	}
	bool sorted = true;
	for (size_t i = 1; i < listing.count && sorted; i++)
		sorted = compare_elements(&listing.items[i - 1], &listing.items[i]) <= 0;
	if (!sorted) {
		struct element *copy = arena_memdup(arena, listing.items, listing.count * sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		qsort(copy, listing.count, sizeof(*copy), compare_elements);
		listing.items = copy;
	}
	*ret_listing = listing;
	return 0;
}

/* One pass counts (gone and come NULL), the next one fills. */
static void merge_elements(struct listing old, struct listing new, struct element *gone, size_t *ret_gone,
			   struct element *come, size_t *ret_come)
{
	size_t gone_count = 0, come_count = 0;
	for (size_t i = 0, j = 0; i < old.count || j < new.count;) {
		int order = i == old.count ? 1 : j == new.count ? -1 : compare_elements(&old.items[i], &new.items[j]);
		bool stays = order == 0 && element_equal(&old.items[i], &new.items[j]);
		if (order <= 0 && !stays) {
			if (gone)
				gone[gone_count] = old.items[i];
			gone_count++;
		}
		if (order >= 0 && !stays) {
			if (come)
				come[come_count] = new.items[j];
			come_count++;
		}
		i += order <= 0;
		j += order >= 0;
	}
	*ret_gone = gone_count;
	*ret_come = come_count;
}

static int flush_set(struct diff *diff, const struct set *observed, const struct set *desired)
{
	return diff_add(diff, &(struct step){.kind = STEP_FLUSH_SET, .set = observed, .at = desired->at});
}

/* content: observed, or the known set that stands in for its content. */
static int diff_elements(struct diff *diff, const struct set *observed, const struct set *content,
			 const struct set *desired)
{
	struct listing old, new;
	int r = list_elements(diff->arena, content, &old);
	if (r == 0)
		r = list_elements(diff->arena, desired, &new);
	if (r < 0)
		return r;
	size_t gone, come;
	merge_elements(old, new, NULL, &gone, NULL, &come);
	if (gone == 0 && come == 0)
		return 0;
	struct element *gone_items = arena_array(diff->arena, gone, struct element);
	struct element *come_items = arena_array(diff->arena, come, struct element);
	if (!gone_items || !come_items)
		return -ENOMEM;
	merge_elements(old, new, gone_items, &gone, come_items, &come);
	struct step delete = {.kind = STEP_DELETE_ELEMENTS,
			      .set = observed,
			      .elements = gone_items,
			      .element_count = gone,
			      .at = desired->at};
	struct step add = {.kind = STEP_ADD_ELEMENTS,
			   .set = desired,
			   .elements = come_items,
			   .element_count = come,
			   .at = desired->at};
	if (gone > 1 && gone == old.count)
		r = flush_set(diff, observed, desired);
	else if (gone)
		r = diff_add(diff, &delete);
	if (r == 0 && come)
		r = diff_add(diff, &add);
	return r;
}

static void merge_ranges(const struct set *old, const struct set *new, struct addr_range *gone, size_t *ret_gone,
			 struct addr_range *come, size_t *ret_come)
{
	size_t gone_count = 0, come_count = 0;
	for (size_t i = 0, j = 0; i < old->range_count || j < new->range_count;) {
		int order = i == old->range_count   ? 1
			    : j == new->range_count ? -1
						    : compare_ranges(&old->ranges[i], &new->ranges[j]);
		if (order < 0) {
			if (gone)
				gone[gone_count] = old->ranges[i];
			gone_count++;
		} else if (order > 0) {
			if (come)
				come[come_count] = new->ranges[j];
			come_count++;
		}
		i += order <= 0;
		j += order >= 0;
	}
	*ret_gone = gone_count;
	*ret_come = come_count;
}

static int diff_ranges(struct diff *diff, const struct set *observed, const struct set *content,
		       const struct set *desired)
{
	size_t gone, come;
	merge_ranges(content, desired, NULL, &gone, NULL, &come);
	if (gone > 1 && gone == content->range_count) {
		int r = flush_set(diff, observed, desired);
		return r < 0 ? r : diff_content_add_all(diff, desired);
	}
	struct addr_range *gone_items = arena_array(diff->arena, gone, struct addr_range);
	struct addr_range *come_items = arena_array(diff->arena, come, struct addr_range);
	if (!gone_items || !come_items)
		return -ENOMEM;
	merge_ranges(content, desired, gone_items, &gone, come_items, &come);
	struct step delete = {.kind = STEP_DELETE_ELEMENTS,
			      .set = observed,
			      .ranges = gone_items,
			      .range_count = gone,
			      .at = desired->at};
	struct step add = {.kind = STEP_ADD_ELEMENTS,
			   .set = desired,
			   .ranges = come_items,
			   .range_count = come,
			   .at = desired->at};
	int r = gone ? diff_add(diff, &delete) : 0;
	if (r == 0 && come)
		r = diff_add(diff, &add);
	return r;
}

/* The known set whose ranges are the content that observed has only the hash of. */
static const struct set *known_content(const struct diff *diff, const struct set *observed)
{
	const struct set *known = diff->known ? state_set(diff->known, observed->name) : NULL;
	if (known && known->range_count && memcmp(known->hash, observed->hash, sizeof(known->hash)) == 0)
		return known;
	return NULL;
}

int diff_content(struct diff *diff, const struct set *observed, const struct set *desired)
{
	static const uint8_t none[sizeof(observed->hash)];
	bool had_hash = memcmp(observed->hash, none, sizeof(none)) != 0;
	const struct set *content = observed;
	bool unread = had_hash && !observed->range_count && !observed->element_count;
	if (memcmp(observed->hash, desired->hash, sizeof(none)) == 0) {
		if (had_hash)
			return 0;
	} else {
		struct step step = {.kind = STEP_SET_HASH, .set = desired, .had_hash = had_hash, .at = desired->at};
		int r = diff_add(diff, &step);
		if (r < 0)
			return r;
	}
	if (unread)
		content = known_content(diff, observed);
	if (!content) {
		int r = flush_set(diff, observed, desired);
		return r < 0 ? r : diff_content_add_all(diff, desired);
	}
	if (content->element_count || desired->element_count)
		return diff_elements(diff, observed, content, desired);
	return diff_ranges(diff, observed, content, desired);
}

int diff_content_add_all(struct diff *diff, const struct set *desired)
{
	if (!desired->element_count && !desired->range_count)
		return 0;
	struct step step = {.kind = STEP_ADD_ELEMENTS,
			    .set = desired,
			    .elements = desired->elements,
			    .element_count = desired->element_count,
			    .ranges = desired->ranges,
			    .range_count = desired->range_count,
			    .at = desired->at};
	return diff_add(diff, &step);
}
