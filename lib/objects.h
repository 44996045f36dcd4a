/* SPDX-License-Identifier: Apache-2.0 */
/* What batches need of single objects: deleting without flags. Threads: any. */
#ifndef TERRACE_LIB_OBJECTS_H
#define TERRACE_LIB_OBJECTS_H

#include <stdint.h>

struct terrace;

int object_unname(struct terrace *pool, const char *path, uint64_t *id);
int object_unname_id(struct terrace *pool, uint64_t id); /* -EMLINK: it has several names */

#endif
