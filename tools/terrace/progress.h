/* SPDX-License-Identifier: Apache-2.0 */
/* Progress of a long job on stderr: a bar on a terminal, now and then a line elsewhere. */
#ifndef TERRACE_TOOLS_PROGRESS_H
#define TERRACE_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/terrace/terrace.h"

struct progress {
	enum progress_mode mode; /* never PROGRESS_AUTO */
	uint64_t begin_ns, shown_ns;
};

void progress_init(struct progress *progress, enum progress_mode mode);
/* total 0: not known yet. last: the job has ended. */
void progress_show(struct progress *progress, const char *what, uint64_t done, uint64_t total,
		   bool last);

#endif
