/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workloads for the fault and the power loop: a string of steps against a pool, and what may be
 * read afterwards. A step is two characters, the operation and the slot (0 to 3) of an object:
 *
 *	c create     w write from 0    o overwrite inside   a append       t shrink    g grow
 *	p punch      l clone part of the slot into the next one            s sync      x delete
 *	r replace: a new object with new content takes the slot's name and the old one is deleted
 *	d move down  u move up         S pool sync          K checkpoint   R reclaim
 *	L roll segments                C kill -9 and open   O close and open
 *	P make plain F make frames     V replace, and the new object is plain
 *	j sync the bytes only          m its times are set, and its size settled
 *
 * What the tier engine does (fix_moves.c); "-" is slot 0:
 *	f a pass with the ssd above its watermarks          v a pass, as things are; cleans too
 *	h the slot is read again and again: a pass promotes it
 *	e the same with the ssd full: what is colder changes places with it
 *	i pinned to the hdd  I to the ssd  z sealed  y archived  n nothing of these: and placed
 *	W write 100 KB that do not compress, from 0
 *	q a plan, and why the slot is where it is: nothing may change
 *	E evacuate tier number `slot`       N open it again
 *	D evacuate directory number `slot` of the hdd
 *	M copy what lies in too few directories    Z the copies in directory `slot` count no more
 *	A add the second directory to the hdd   B take it out (pools with a file only)
 *
 * "^nXsYsMs": the n steps after it (only on data or names, not s or d) are made in the middle of
 * the step behind them, a move: when it has copied and not yet synced. "%n...": when it knows what
 * its sources hold and not yet who uses it. If the move does not come so far, they follow it.
 *
 * Steps that cannot be (no object in the slot) do nothing. What is written, and where, is the same
 * in every run of the same string. Assertions are cmocka's. One thread.
 */
#ifndef TERRACE_TESTS_FIX_WORK_H
#define TERRACE_TESTS_FIX_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/unit/fix_pool.h"

#define WORK_SLOTS   4u
#define WORK_OBJECTS 24u
#define WORK_STEPS   80u
#define WORK_BYTES   (400u << 10) /* no object grows beyond */

struct work_version {
	unsigned step; /* that made it */
	uint8_t *bytes;
	size_t size;
};

struct work_object {
	uint64_t id;
	unsigned created, deleted; /* moments; deleted 0 = never */
	unsigned named;		   /* moment of the replace that gave it the name; 0 = none */
	unsigned named_version;
	struct work_version *versions; /* the last one is current */
	unsigned nversions;
	struct object_policy wish;
	bool plain; /* has been, once: bytes that were not synced may be any mix, or zeros */
};

struct work_step {
	char op;
	int object;	   /* index, -1 = none */
	int rc;		   /* of the operation; > 0: not started */
	size_t begin, end; /* what clock() said before and after; end SIZE_MAX: never ended */
	unsigned moment;   /* of the namespace, after it */
};

struct work {
	struct fix_pool *fix;
	size_t (*clock)(void); /* or NULL */
	/* Errors are expected. After each, the fault is taken out (true), what is there then is
	 * read, and the fault put in again. NULL: errors are fatal. */
	void (*pause)(bool pause);
	void (*model)(bool begins); /* around the model's own allocations; or NULL */
	bool mixed; /* after failed flushes: an object may show bytes of several versions */
	uint64_t rng;
	int slots[WORK_SLOTS];
	struct work_object objects[WORK_OBJECTS];
	unsigned nobjects;
	struct work_step steps[WORK_STEPS];
	unsigned nsteps;
	unsigned now; /* the step under way */
	unsigned moment;
	/* Steps to be made in the middle of the next move. */
	const char *nested;
	unsigned nnested;
	char seam;	/* '^' or '%' */
	uint32_t moved; /* bit per enum move_reason: frames have */
};

/* The pool is created and open. */
void work_init(struct work *work, struct fix_pool *fix);
void work_release(struct work *work);
void work_run(struct work *work, const char *steps);

/* For fix_moves.c. */
struct work_object;
bool work_is_move(char op);
int work_move(struct work *work, char op, unsigned slot);
void work_nested(struct work *work, char seam);
/* After every opening of the pool, and before a move. */
void work_hook(struct work *work);

/* Every object is as the model has it. A failed step has been done or not, nothing in between, and
 * what was there after it stays. */
void work_check(struct work *work);
/* The pool is open after a power loss when the clock said `step`: promises 1 and 2. */
void work_check_power(struct work *work, size_t step);

#endif
