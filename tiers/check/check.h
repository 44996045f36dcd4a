/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking a pool that nobody changes meanwhile: objects, extents, frames, segments, accounts,
 * labels. Names and inodes are the layer above's (fs/check.h), which uses the same reports and
 * mends.
 *
 * Invariants:
 *  1. Nothing on any medium changes before check_repair(). Until then, what a repair would change
 *     is changed in memory, over what was read, so that later looks see it and a repair can be
 *     tried to its end.
 *  2. A mend is a set of changes that belong together; each is whole or not at all.
 *  3. What cannot be known is not made up: there is no mend for it, and the report says what is
 *     lost.
 *  4. Memory is bounded, but for what is to be mended: the keys are walked in order, and what is in
 *     another order is sorted in files (check/sorter.h).
 *
 * Threads: one.
 */
#ifndef TERRACE_CHECK_CHECK_H
#define TERRACE_CHECK_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/check/codes.h"
#include "tiers/config.h"

struct check;
struct meta;

struct check_problem { /* valid during the call that tells of it */
	enum check_code code;
	const char *where; /* path of a file, of a directory of the machine, or ""; any bytes */
	const char *what;  /* names in it are escaped (tiers/escape.h) */
	const char *consequence;
	const char *repair; /* NULL: cannot be mended */
};

struct check_options {
	const struct pool_config *config;
	bool repair; /* keeps mounts out until check_close() */
	bool deep;   /* reads every frame */
	void (*problem)(void *arg, const struct check_problem *problem);
	void *arg;
};

struct check_result {
	bool live;	   /* the pool is mounted: its last checkpoint was looked at */
	bool unclean;	   /* it was not closed in order: the next mount has work to do */
	uint64_t problems; /* found, each once */
	uint64_t mended;   /* of them (and of what came of mending them), those with a repair */
	uint64_t left;	   /* without one */
	uint64_t objects, frames, segments, bytes; /* looked at; bytes: read and verified */
};

/* Tells of what keeps the pool from being read; then *out is NULL and 0 is returned. -EBUSY: it is
 * mounted and a repair was asked for. Other errors: cannot be looked at, with a line logged. The
 * configuration and *result, which counts as it goes, stay the caller's until check_close(). */
int check_open(struct check **out, const struct check_options *options,
	       struct check_result *result);
void check_close(struct check *check);

/* One look at everything in tiers/. */
int check_pass(struct check *check);
/* Last, after a deep look at a mounted pool: frames that could not be read are told of, unless the
 * daemon has let go of them meanwhile. May wait for two checkpoints of it. *meta is set to each
 * check_meta() that there is in it. */
int check_doubts(struct check *check, struct meta **meta);
/* A look over all parts begins. The first one tells of everything, the later ones only of what is
 * to be mended besides. */
void check_round(struct check *check);
/* Something was mended since check_round(). */
bool check_changed(const struct check *check);
/* Carries out all mends. check_close() is all that may follow. */
int check_repair(struct check *check);

/* For the layer above -------------------------------------------------------------------------- */

struct meta *check_meta(struct check *check);
const struct pool_config *check_config(struct check *check);
struct check_result *check_result(struct check *check);
size_t check_memory(void); /* for one sorter */

/* Something speaks of an object that has no record: in the next round its data is looked for. */
int check_lost_add(struct check *check, uint64_t object);
/* Was the object put together in this round, from what frames say of themselves? Then it is not the
 * file that its names meant. */
bool check_is_recovered(const struct check *check, uint64_t object);

/* path(arg, object, buf, cap): the object's path from the root. */
void check_path_set(struct check *check,
		    void (*path)(void *arg, uint64_t object, char *buf, size_t cap), void *arg);

/*
 * A problem. mendable: what follows, up to check_mend(), is its repair. object 0: where is ""; see
 * also check_report_at(). False: no mend is to be staged (too many already).
 */
bool check_report(struct check *check, enum check_code code, bool mendable, uint64_t object,
		  const char *format, ...) __attribute__((format(printf, 5, 6)));
bool check_report_at(struct check *check, enum check_code code, bool mendable, const char *where,
		     const char *format, ...) __attribute__((format(printf, 5, 6)));
/* Errors stick: check_mend() returns them. */
void check_put(struct check *check, const void *key, size_t key_len, const void *value, size_t len);
void check_del(struct check *check, const void *key, size_t key_len);
/* What was put and deleted is the state from here on. */
int check_mend(struct check *check);
/* A change of a medium, made by check_repair() before the metadata is changed. `arg` is freed. */
int check_mend_medium(struct check *check, int (*run)(struct check *check, void *arg), void *arg);

#endif
