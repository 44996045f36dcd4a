/* SPDX-License-Identifier: Apache-2.0 */
/* What moves that somebody asks for would move, for --dry-run: asked of the attributes of the files
 * and of the daemon's accounts. One thread. */
#ifndef TERRACE_TOOLS_WOULD_H
#define TERRACE_TOOLS_WOULD_H

#include <stdint.h>

#include "tools/terrace/mounts.h"

struct would {
	uint64_t files, bytes;
};

/* Adds what is below path and not in tier `to` yet; to NULL: one tier up (step -1) or down (1) from
 * where most of each file is. */
enum exit_code would_move(const struct mount *mount, char *path, const char *to, int step,
			  struct would *sum);
/* What the plan has that nothing holds up. */
enum exit_code would_run(const struct mount *mount, struct would *sum);
/* What a tier, or a directory (with a / in it), takes on its disks. It must be one. */
enum exit_code would_empty(const struct mount *mount, const char *what, uint64_t *used);

#endif
