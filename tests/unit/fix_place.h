/* SPDX-License-Identifier: Apache-2.0 */
/* Two scratch folders for a store: one on the disk, one on tmpfs for its tail. One thread. */
#ifndef TERRACE_TESTS_FIX_PLACE_H
#define TERRACE_TESTS_FIX_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct meta_options;

struct place {
	char dir[64];
	char tail_dir[64];
	uint8_t uuid[16];
};

void place_make(struct place *place);
void place_remove(struct place *place);
/* Options that open a metadata store there. */
void place_options(const struct place *place, bool create, size_t memtable_bytes,
		   struct meta_options *out);
/* What a power loss does to tmpfs. */
void place_lose_tail(const struct place *place);
/* Copies every file of one folder to another one (emptied first). */
void place_copy(const char *from, const char *to);
/* Bytes of a file; the caller frees. */
uint8_t *place_read(const char *path, uint64_t *len);
void place_write(const char *path, const uint8_t *bytes, uint64_t len);

/* A reproducible stream: prints its seed once; TERRACE_SEED in the environment sets it. */
struct dice {
	uint64_t state;
};
void dice_init(struct dice *dice, const char *test);
uint64_t dice_roll(struct dice *dice, uint64_t below);

/* Keeps a test's log lines off its output; the last error line is kept. */
void quiet_begin(void);
void quiet_end(void);
const char *quiet_last(void);

#endif
