// SPDX-License-Identifier: Apache-2.0
/*
 * XXH3 through libxxhash. The library picks its own vector code when it was built; calling it, and
 * not the header-only variant, keeps one copy in memory and the distribution's fixes.
 *
 * Invariants:
 *  1. The value of given bytes never changes: it is on media (terrace-format(5)).
 * Threads: any.
 */
#include "compress/checksum.h"

#include <xxhash.h>

uint64_t checksum64(const void *buf, size_t len)
{
	return XXH3_64bits(buf, len);
}

uint64_t checksum64_seed(const void *buf, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(buf, len, seed);
}
