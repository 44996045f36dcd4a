// SPDX-License-Identifier: Apache-2.0
/*
 * Early abort. A dear codec spends most of its time on data it cannot shrink, so cheaper ones go
 * first: lz4, which finds repeats; where it finds none, zstd at level 1, which also finds skewed
 * byte frequencies. Only when both fail is the block taken to be incompressible.
 *
 * A sample may say yes, only whole trials say no: they step quickly over what does not shrink (lz4
 * at 10 GB/s and more), while a sample that decided alone would miss a block that is half archive,
 * half zeros. Without the sample the lz4 trial took 14 % of zstd:6's time on C headers; a sample
 * that is wrong costs what no probe at all would cost.
 *
 * Threads: pure over the caller's scratch.
 */
#include "compress/probe.h"

#include "compress/codec_impl.h"

/* Below this zstd level, and at lz4's fast level, coding is its own cheapest trial: zstd:3 passes
 * over random bytes at 2 to 7 GB/s, zstd:5 at 0.4 to 0.6. */
#define PROBE_ZSTD_LEVEL 5

/* A smaller sample says little about its block. */
#define PROBE_SAMPLE_MIN (4u << 10)

static bool trial(struct codec_scratch *scratch, unsigned id, const void *src, size_t len,
		  size_t cap)
{
	const struct codec_spec spec = {.id = (uint8_t)id, .level = 1};
	void *dst = codec_scratch_trial(scratch, cap);
	size_t stored;

	return dst && codec_encode(scratch, &spec, src, len, dst, cap, &stored) == 0;
}

/* True when the middle eighth of a block shrinks well: by a quarter under lz4. */
static bool sample_shrinks(struct codec_scratch *scratch, const void *src, size_t len)
{
	size_t sample = len / 8;

	return sample >= PROBE_SAMPLE_MIN &&
	       trial(scratch, CODEC_LZ4, (const char *)src + (len - sample) / 2, sample,
		     sample - sample / 4);
}

bool probe_compressible(struct codec_scratch *scratch, const struct codec_spec *spec,
			const void *src, size_t len)
{
	size_t cap = len - (len >> PROBE_SAVING_SHIFT);

	switch (spec->id) {
	case CODEC_LZ4:
		/* HC finds longer repeats than the fast level, but none where that finds nothing:
		 * half the saving is asked for. */
		return spec->level <= 1 || sample_shrinks(scratch, src, len) ||
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
	return sample_shrinks(scratch, src, len) || trial(scratch, CODEC_LZ4, src, len, cap) ||
	       trial(scratch, CODEC_ZSTD, src, len, cap);
}
