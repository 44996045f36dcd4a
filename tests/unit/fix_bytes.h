/* SPDX-License-Identifier: Apache-2.0 */
/* Test data of a known kind, the same for the same seed on every machine. Any thread. */
#ifndef TERRACE_TESTS_FIX_BYTES_H
#define TERRACE_TESTS_FIX_BYTES_H

#include <stddef.h>
#include <stdint.h>

uint64_t bytes_random(uint64_t *seed);			      /* splitmix64 */
void bytes_fill_random(void *buf, size_t len, uint64_t seed); /* no codec shrinks it */
void bytes_fill_text(void *buf, size_t len, uint64_t seed);   /* words: any codec halves it */
/* Bytes with few values and no repeats: only entropy coding shrinks it (to about half). */
void bytes_fill_skewed(void *buf, size_t len, uint64_t seed);

#endif
