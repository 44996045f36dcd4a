/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records by what they are of, for who reads a metadata store without a pool around it, too.
 *
 * Threads: as the store. -ENOENT there is none; -EUCLEAN, -ENOTSUP as records.h; else what
 * meta_get() says. Nothing is logged.
 */
#ifndef TERRACE_TIERS_RECORD_GET_H
#define TERRACE_TIERS_RECORD_GET_H

#include <stdint.h>

#include "tiers/records.h"

struct meta;

#define POOL_COUNTS_KEY	    "Pcounts"
#define POOL_COUNTS_KEY_LEN 7u

int object_record_get(struct meta *meta, uint64_t id, struct object_record *out);
int pool_counts_get(struct meta *meta, struct pool_counts *out);

#endif
