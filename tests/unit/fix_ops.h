/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on a filesystem (fs/ over tiers/, without FUSE) and an oracle that knows what was
 * acknowledged and what was synced, for the enumerated fault and power loops. A workload is a
 * string of operations, one character each, on a few names: files a (synced) and b (with a tail
 * that is not), c (or b, while there is none), folders d and e:
 *
 *	c create c         w write c from 0    o overwrite inside a   i append to a   j append to b
 *	t shrink a         g grow b            p punch a              y clone b into a
 *	r rename a over b  R rename c to d/x   x exchange a and b     l link a as d/x
 *	u unlink a         U unlink b while it is open                m make e        z remove e
 *	q mode of a        s fsync a           f fsync c              S sync all
 *	D a and b down     v roll segments, a pass that cleans, give freed space back
 *	k checkpoint       K kill -9 and open  O close and open
 *
 * The same string does the same in every run. What cannot be (no such name) does nothing. After an
 * operation that failed the oracle looks: it has been done or not, nothing in between.
 *
 * Assertions are cmocka's. One thread.
 */
#ifndef TERRACE_TESTS_FIX_OPS_H
#define TERRACE_TESTS_FIX_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/unit/fix_pool.h"

#define OPS_ALL	      "cwoijtgpyrRxluUmzqsfSDvkKO"
#define OPS_LONGEST   14u
#define OPS_NAMES     6u
#define OPS_INODES    24u
#define OPS_STEPS     48u
#define OPS_BYTES_MAX (64u << 10) /* no file grows beyond */

struct dice;
struct fs;

struct ops_name {
	const char *name;
	bool below; /* in d, not in the root */
};
extern const struct ops_name ops_names[OPS_NAMES];

struct ops_version {
	unsigned step; /* that made it */
	uint8_t *bytes;
	size_t size;
};

struct ops_inode {
	uint64_t id;
	bool folder;
	struct ops_version *versions; /* the last one is current; folders have one, empty */
	unsigned nversions;
	unsigned named, named_version; /* the moment at which it replaced another file; 0 = none */
};

struct ops_moment {	   /* of the namespace */
	int at[OPS_NAMES]; /* inode of each name, -1 = none */
	uint32_t mode[OPS_INODES];
};

struct ops_step {
	char op;
	int inode;	   /* that it is about, -1 = none */
	int rc;		   /* > 0: could not be */
	size_t begin, end; /* what clock() said before and after; end SIZE_MAX: never ended */
	unsigned moment;   /* after it */
};

struct ops {
	struct fix_pool *pool;
	struct fs *fs;		    /* NULL: not open */
	size_t (*clock)(void);	    /* or NULL */
	void (*pause)(bool pause);  /* takes the fault out, puts it in; NULL: errors are fatal */
	void (*model)(bool begins); /* around the oracle's own allocations; or NULL */
	bool mixed;		    /* a sync has failed: bytes of several versions may be seen */
	struct ops_inode inodes[OPS_INODES];
	unsigned ninodes;
	struct ops_moment moments[OPS_STEPS + 1];
	unsigned moment; /* the last one */
	struct ops_step steps[OPS_STEPS];
	unsigned nsteps;
};

/* Opens the filesystem on a pool that is open, and makes what the workloads begin with. */
void ops_begin(struct ops *ops, struct fix_pool *pool);
void ops_run(struct ops *ops, const char *workload);
/* Closes the filesystem, not the pool, and forgets everything. */
void ops_release(struct ops *ops);

/* What comes after the workload; the pool is open afterwards. */
void ops_crash(struct ops *ops); /* kill -9 */
void ops_power(struct ops *ops); /* ... and tmpfs is gone; what media hold stays */
void ops_remount(struct ops *ops);
void ops_close(struct ops *ops); /* filesystem and pool as if killed, without opening again */
void ops_open(struct ops *ops);

/* Everything is as the oracle has it. */
void ops_check(struct ops *ops);
/* After a power loss when the clock said `step` (SIZE_MAX - 1: behind all): promise 1. */
void ops_check_power(struct ops *ops, size_t step);

/* For fix_ops_check.c: the namespace as it is (`fresh` gets the id of one that the oracle does not
 * know yet), comparing two, and the whole content of a file. */
void ops_look(struct ops *ops, struct ops_moment *out, uint64_t *fresh);
bool ops_same_moment(const struct ops *ops, const struct ops_moment *a, const struct ops_moment *b);
size_t ops_read(struct ops *ops, const struct ops_inode *inode, uint8_t *bytes);

/* Workload number n of those with `depth` operations; false: there are no more. */
bool ops_workload(unsigned depth, unsigned long n, char *out);
/* A longer one: 4 to OPS_LONGEST - 1 operations. */
void ops_workload_random(struct dice *dice, char *out);
/* A number that the environment sets. */
unsigned ops_env(const char *name, unsigned otherwise);

#endif
