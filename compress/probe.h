/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chooser: is this block worth coding? A cheap trial before the dear one, after OpenZFS's early
 * abort (zfs zstd "early abort": first lz4, then zstd-1, only then the level asked for). Levels
 * that cost little skip the probe. Pure over the caller's scratch.
 */
#ifndef TERRACE_COMPRESS_PROBE_H
#define TERRACE_COMPRESS_PROBE_H

#include <stdbool.h>
#include <stddef.h>

#include "compress/codec.h"

/* A codec is used when it saves at least len/8: stored length at most len - len/8. */
#define PROBE_SAVING_SHIFT 3

/* True if coding src[0..len) with spec is expected to save enough. Errors count as "no". */
bool probe_compressible(struct codec_scratch *scratch, const struct codec_spec *spec,
			const void *src, size_t len);

#endif
