/* SPDX-License-Identifier: Apache-2.0 */
/* What .terrace/status holds and `terrace status` prints, made of stats.json: one function, so that
 * they are the same. */
#ifndef TERRACE_FS_STATUS_TEXT_H
#define TERRACE_FS_STATUS_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* plain: every byte instead of 1.2G. malloc'd; NULL: no memory. */
char *status_text(const json_t *stats, bool plain);
/* A key of all tiers in stats.json added up; with_ram: the RAM tier's, too. */
uint64_t status_sum(const json_t *tiers, const char *key, bool with_ram);

#endif
