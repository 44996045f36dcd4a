/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool in a temporary folder, with one ssd and one hdd directory tier, for tests.
 * fix_pool_crash() plays kill -9, fix_pool_power() also takes the RAM tier's files away. Assertions
 * are cmocka's.
 */
#ifndef TERRACE_TESTS_FIX_POOL_H
#define TERRACE_TESTS_FIX_POOL_H

#include <stdbool.h>

#include "tiers/pool.h"

struct fix_pool {
	char dir[64];	 /* ssd/, hdd/ and so on; on the disk */
	char ram[64];	 /* on /dev/shm */
	bool background; /* open with threads */
	char file[80];	 /* the configuration; empty: there is none, the pool lives from `config` */
	bool mirrored;
	struct pool_config config;
	struct pool *pool;
};

/* On tmpfs, with small segments, without threads: for loops that make thousands of pools. Does not
 * create the pool. */
void fix_pool_small(struct fix_pool *fix);
/* The same; ssd and hdd have two directories each, ssd1/ and hdd1/, and everything is in both. */
void fix_pool_small_mirrored(struct fix_pool *fix);
/* As the first, with a configuration file, conf/pool.conf, and a folder hdd1/ that may become the
 * hdd's second directory. */
void fix_pool_small_file(struct fix_pool *fix);
/* Reads the configuration again, if there is a file. */
void fix_pool_config(struct fix_pool *fix);
/* ram_bytes: the RAM tier's limit. Opens the pool. */
void fix_pool_new(struct fix_pool *fix, uint64_t ram_bytes, bool background);
void fix_pool_free(struct fix_pool *fix);
void fix_pool_open(struct fix_pool *fix);
void fix_pool_close(struct fix_pool *fix);
void fix_pool_crash(struct fix_pool *fix); /* and opens again */
void fix_pool_power(struct fix_pool *fix); /* and opens again */
/* The RAM tier's files are gone, as tmpfs is after a power loss. The pool is not open. */
void fix_pool_lose_ram(struct fix_pool *fix);
/* After a test, which may have failed in the middle: prints what was being tried (*what, if any),
 * and removes the folders that are left. */
void fix_pool_tidy(struct fix_pool *fix, char *what);
/* Recounts every account from the records and compares; every extent must point into a frame that
 * holds it. */
void fix_pool_verify(struct fix_pool *fix);
/* Every extent's frame says itself, in its table, that these bytes are the object's at that offset
 * (nothing may be cloned). Returns the number of extents. */
unsigned fix_pool_verify_frames(struct fix_pool *fix);
/* Has just been opened and synced: no segment file without a record; with tight, where no call is
 * failing any more, they take little more than what lives in them. */
void fix_pool_verify_media(struct fix_pool *fix, bool tight);

/* Every place that counts as one of a segment's has every frame of it, whole. */
void fix_pool_verify_copies(struct fix_pool *fix);

#endif
