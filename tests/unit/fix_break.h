/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small pool with some of everything, and a tool that breaks it in each way it knows. The pool is
 * closed while it is broken.
 */
#ifndef TERRACE_TESTS_FIX_BREAK_H
#define TERRACE_TESTS_FIX_BREAK_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/unit/fix_fs.h"
#include "tiers/check/codes.h"

struct fix_break_pool {
	struct fix_fs fix; /* closed, but while fix_break_open() */
	uint64_t small, dir, inner, sub, leaf, link, attrs, big, large, clone, pinned, raw;
};

struct fix_break {
	const char *name;
	enum check_code code; /* that must be among those found */
	bool mends;	      /* a repair leaves the pool clean */
	bool loses;	      /* something of it is lost, or has another name then */
	bool deep;	      /* found by --deep only */
	void (*run)(struct fix_break_pool *pool);
};

extern const struct fix_break fix_breaks[];
extern const unsigned fix_breaks_count;

void fix_break_new(struct fix_break_pool *pool);
void fix_break_free(struct fix_break_pool *pool);
void fix_break_open(struct fix_break_pool *pool);
void fix_break_close(struct fix_break_pool *pool);
/* With the pool open: every file has its content, names and attributes; with `loses`, those that
 * can be read have no wrong byte. */
void fix_break_verify(struct fix_break_pool *pool, bool loses);

/* These are the bytes of `large` (and of its clone). */
void fix_break_is_large(const uint8_t *bytes, size_t len);

#endif
