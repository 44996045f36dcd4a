/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs as rows of a table. One thread. */
#ifndef TERRACE_TOOLS_JOBS_H
#define TERRACE_TOOLS_JOBS_H

#include <jansson.h>

#include "tools/terrace/mounts.h"
#include "tools/terrace/text.h"

/* All jobs that the daemon keeps, an array in order of number; NULL after a line on stderr. */
json_t *jobs_read(const struct mount *mount);
/* Job, State, Verb, Moved, Progress, What: "rllrll". */
void jobs_row(struct table *table, const json_t *job);

#endif
