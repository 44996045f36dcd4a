/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers pairs (object, index) from 0 in the order of their first appearance: open addressing,
 * linear probing. One thread.
 */
#ifndef TERRACE_TOOLS_NUMBERS_H
#define TERRACE_TOOLS_NUMBERS_H

#include <stddef.h>
#include <stdint.h>

struct number_pair {
	uint64_t object, index;
};

struct numbers { /* all zeros: empty */
	struct number_pair *pairs;
	uint32_t *slots; /* number + 1; 0 = free */
	size_t cap;	 /* of slots, a power of two; of pairs, half */
	uint32_t count;
};

/* The pair's number; a new one if *out == count before. -ENOMEM, -EFBIG beyond 2^31 pairs. */
int numbers_get(struct numbers *numbers, uint64_t object, uint64_t index, uint32_t *out);
void numbers_release(struct numbers *numbers);

#endif
