/* SPDX-License-Identifier: Apache-2.0 */
/* What the tiers did between two looks at stats.json, or since the mount. One thread. */
#ifndef TERRACE_TOOLS_RATES_H
#define TERRACE_TOOLS_RATES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "tiers/config.h"

struct tier_rates {
	const char *name; /* of `now`'s */
	bool medium;	  /* not so the RAM tier: no reads and writes of a medium */
	double reads, writes, read_bytes, write_bytes;	 /* per second */
	double read_p50, read_p99, write_p50, write_p99; /* seconds; negative: none */
	double hits;	/* share of all reads, negative: no reads */
	double in, out; /* stored bytes per second that moved */
};

struct rates {
	double seconds; /* between the looks */
	size_t ntiers;
	struct tier_rates tiers[CONFIG_TIERS_MAX];
	double moved; /* bytes per second, by the engine */
};

/* before NULL: since the mount. */
void rates_between(const json_t *before, const json_t *now, struct rates *out);
json_t *rates_json(const struct rates *rates); /* NULL: no memory */
/* "1.2ms"; "-" for a negative time. */
const char *rates_time(double seconds, char buf[static 24]);

#endif
