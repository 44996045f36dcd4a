// SPDX-License-Identifier: Apache-2.0
/*
 * Early abort. A dear codec spends most of its time on data it cannot shrink, so cheaper ones go
 * first: lz4, which finds repeats; where it finds none, zstd at level 1, which also finds skewed
 * byte frequencies. Only when both fail is the block taken to be incompressible.
 *
 * The trials are whole and not sampled: both step quickly over what does not shrink, and a sample
 * would miss a block that is half archive, half zeros.
 *
 * Threads: pure over the caller's scratch.
 */
#include "compress/probe.h"

#include "compress/codec_impl.h"

/* From this zstd level on a trial costs little beside the work itself. Below, and for lz4's fast
 * level, coding is its own cheapest trial: the caller's cap ends it. */
#define PROBE_ZSTD_LEVEL 6

static bool trial(struct codec_scratch *scratch, unsigned id, const void *src, size_t len,
		  size_t cap)
{
	const struct codec_spec spec = {.id = (uint8_t)id, .level = 1};
	void *dst = codec_scratch_trial(scratch, cap);
	size_t stored;

	return dst && codec_encode(scratch, &spec, src, len, dst, cap, &stored) == 0;
}

bool probe_compressible(struct codec_scratch *scratch, const struct codec_spec *spec,
			const void *src, size_t len)
{
	size_t cap = len - (len >> PROBE_SAVING_SHIFT);

	switch (spec->id) {
	case CODEC_LZ4:
		/* HC finds longer repeats than the fast level, but none where that finds nothing:
		 * half the saving is asked for. */
		return spec->level <= 1 ||
		       trial(scratch, CODEC_LZ4, src, len, len - (len >> (PROBE_SAVING_SHIFT + 1)));
	case CODEC_ZSTD:
		if (spec->level < PROBE_ZSTD_LEVEL)
			return true;
		break;
	case CODEC_LZMA:
		break;
	default:
		return false;
	}
	return trial(scratch, CODEC_LZ4, src, len, cap) ||
	       trial(scratch, CODEC_ZSTD, src, len, cap);
}
