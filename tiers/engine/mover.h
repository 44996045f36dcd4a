/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving frames between tiers: copy, sync, read back, commit the maps, and only then let the source
 * go (promise 2).
 *
 * A move takes source frames, finds every extent that lives in them (the frame's own table and
 * KEY_SHARED records say whom to ask), packs the bytes that are still used into frames of the
 * target tier, and points the extents there. What was changed meanwhile stays as it is: an extent
 * is only redirected if it still points to the source.
 */
#ifndef TERRACE_ENGINE_MOVER_H
#define TERRACE_ENGINE_MOVER_H

#include <stddef.h>
#include <stdint.h>

#include "tiers/idmap.h"
#include "tiers/pool.h"

#define MOVE_BATCH_BYTES \
	(8u << 20) /* raw bytes of source frames in one batch: bounds the memory of a move */

/*
 * Moves what lives in frames[0..n), together at most MOVE_BATCH_BYTES raw, to directory tier `to`.
 * `only` (may be NULL): objects whose bytes are to move; NULL: all but those pinned to where they
 * are. *moved raw bytes are added to. Returns the first error; frames that cannot be read are
 * counted in progress->frames_failed, logged with the path, and left.
 */
int move_frames(struct pool *pool, const uint64_t *frames, size_t n, int to,
		const struct idmap *only, struct move_progress *progress, uint64_t *moved);

#endif
