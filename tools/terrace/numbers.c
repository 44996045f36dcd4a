// SPDX-License-Identifier: Apache-2.0
#include "tools/terrace/numbers.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_CAP 1024u
#define MOST_CAP  (UINT64_C(1) << 32)

static size_t slot_of(const struct numbers *numbers, uint64_t object, uint64_t index)
{
	uint64_t h = (object ^ index * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xd6e8feb86659fd93);
	size_t i;

	h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
	for (i = (h ^ h >> 32) & (numbers->cap - 1); numbers->slots[i];
	     i = (i + 1) & (numbers->cap - 1)) {
		const struct number_pair *pair = &numbers->pairs[numbers->slots[i] - 1];

		if (pair->object == object && pair->index == index)
			break;
	}
	return i;
}

static int grow(struct numbers *numbers)
{
	size_t cap = numbers->cap ? 2 * numbers->cap : FIRST_CAP;
	struct number_pair *pairs;
	uint32_t *slots;

	if (cap > MOST_CAP)
		return -EFBIG;
	pairs = realloc(numbers->pairs, cap / 2 * sizeof(*pairs));
	if (!pairs)
		return -ENOMEM;
	numbers->pairs = pairs;
	slots = calloc(cap, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(numbers->slots);
	numbers->slots = slots;
	numbers->cap = cap;
	for (uint32_t n = 0; n < numbers->count; n++)
		slots[slot_of(numbers, pairs[n].object, pairs[n].index)] = n + 1;
	return 0;
}

int numbers_get(struct numbers *numbers, uint64_t object, uint64_t index, uint32_t *out)
{
	size_t slot;
	int rc = numbers->count < numbers->cap / 2 ? 0 : grow(numbers);

	if (rc < 0)
		return rc;
	slot = slot_of(numbers, object, index);
	if (!numbers->slots[slot]) {
		numbers->pairs[numbers->count] = (struct number_pair){object, index};
		numbers->slots[slot] = ++numbers->count;
	}
	*out = numbers->slots[slot] - 1;
	return 0;
}

void numbers_release(struct numbers *numbers)
{
	free(numbers->pairs);
	free(numbers->slots);
	*numbers = (struct numbers){0};
}
