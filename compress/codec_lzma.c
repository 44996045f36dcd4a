// SPDX-License-Identifier: Apache-2.0
/*
 * lzma: one .xz stream with one block and a CRC64, so that any xz can read what is cut out of a
 * segment by hand. About 70 bytes of container, which the large blocks of cold tiers do not feel.
 *
 * liblzma makes and frees its coder in every call. Its memory therefore comes from a small store of
 * freed pieces that the scratch keeps: after the first block nothing is allocated.
 *
 * Invariants:
 *  1. The dictionary is not larger than the block needs (a larger one only costs memory), so that
 *     a decoder's memory is bounded by the raw length it expects, whatever the input claims.
 *  2. The store keeps at most LZMA_STORE_PIECES pieces and LZMA_STORE_IDLE unused bytes.
 * Threads: a state belongs to one thread at a time.
 */
#include <errno.h>
#include <lzma.h>
#include <stdlib.h>

#include "compress/codec_impl.h"

/*
 * liblzma's levels above 6 differ in nothing but a dictionary over 8 MiB, which no block fills.
 * They use the extreme search instead: on C headers in 1 MiB blocks 1 % smaller for 40 % more time.
 */
#define LZMA_LEVEL_EXTREME 7

#define LZMA_STORE_PIECES 24u
#define LZMA_STORE_IDLE	  (48u << 20)

/* The decoder's own structures beside the dictionary: about 60 KiB of LZMA state, rounded up. */
#define LZMA_DECODE_OVERHEAD (1u << 20)

struct lzma_piece { /* in front of each piece of memory handed to liblzma */
	/* What follows the header must be aligned as malloc() would align it. */
	_Alignas(max_align_t) size_t size;
};

struct lzma_state {
	lzma_allocator allocator;
	struct lzma_piece *idle[LZMA_STORE_PIECES]; /* [0..nidle), longest unused first */
	unsigned nidle;
	size_t idle_bytes;
};

static struct lzma_piece *store_take(struct lzma_state *lzma, unsigned at)
{
	struct lzma_piece *piece = lzma->idle[at];

	lzma->nidle--;
	lzma->idle_bytes -= piece->size;
	for (unsigned i = at; i < lzma->nidle; i++)
		lzma->idle[i] = lzma->idle[i + 1];
	return piece;
}

static void *store_alloc(void *opaque, size_t nmemb, size_t size)
{
	struct lzma_state *lzma = opaque;
	struct lzma_piece *piece;
	unsigned best = LZMA_STORE_PIECES;
	size_t need;

	if (__builtin_mul_overflow(nmemb, size, &need) || need > SIZE_MAX / 2)
		return NULL;
	/* Smallest that fits; one more than twice as large is better kept for a larger request. */
	for (unsigned i = 0; i < lzma->nidle; i++) {
		size_t have = lzma->idle[i]->size;

		if (have < need || have / 2 > need)
			continue;
		if (best == LZMA_STORE_PIECES || have < lzma->idle[best]->size)
			best = i;
	}
	if (best != LZMA_STORE_PIECES)
		return store_take(lzma, best) + 1;
	piece = malloc(sizeof(*piece) + need);
	if (!piece)
		return NULL;
	piece->size = need;
	return piece + 1;
}

static void store_free(void *opaque, void *ptr)
{
	struct lzma_state *lzma = opaque;
	struct lzma_piece *piece = ptr;

	if (!piece)
		return;
	piece--;
	if (piece->size > LZMA_STORE_IDLE) {
		free(piece);
		return;
	}
	while (lzma->nidle == LZMA_STORE_PIECES || lzma->idle_bytes + piece->size > LZMA_STORE_IDLE)
		free(store_take(lzma, 0));
	lzma->idle[lzma->nidle++] = piece;
	lzma->idle_bytes += piece->size;
}

static struct lzma_state *lzma_state_get(void **state)
{
	struct lzma_state *lzma = *state;

	if (!lzma) {
		lzma = calloc(1, sizeof(*lzma));
		if (!lzma)
			return NULL;
		lzma->allocator.alloc = store_alloc;
		lzma->allocator.free = store_free;
		lzma->allocator.opaque = lzma;
		*state = lzma;
	}
	return lzma;
}

static size_t lzma_bound(size_t len)
{
	return lzma_stream_buffer_bound(len);
}

static int lzma_encode(void **state, int level, const void *src, size_t len, void *dst, size_t cap,
		       size_t *stored)
{
	struct lzma_state *lzma = lzma_state_get(state);
	lzma_options_lzma options;
	lzma_filter filters[2];
	uint32_t preset = (uint32_t)level;
	size_t pos = 0;

	if (!lzma)
		return -ENOMEM;
	if (level >= LZMA_LEVEL_EXTREME)
		preset |= LZMA_PRESET_EXTREME;
	if (lzma_lzma_preset(&options, preset))
		return -EINVAL;
	if (len < options.dict_size)
		options.dict_size = len < LZMA_DICT_SIZE_MIN ? LZMA_DICT_SIZE_MIN : (uint32_t)len;
	filters[0] = (lzma_filter){.id = LZMA_FILTER_LZMA2, .options = &options};
	filters[1] = (lzma_filter){.id = LZMA_VLI_UNKNOWN};
	switch (lzma_stream_buffer_encode(filters, LZMA_CHECK_CRC64, &lzma->allocator, src, len,
					  dst, &pos, cap)) {
	case LZMA_OK:
		*stored = pos;
		return 0;
	case LZMA_BUF_ERROR:
		return -ENOSPC;
	case LZMA_MEM_ERROR:
		return -ENOMEM;
	default:
		return -EINVAL;
	}
}

static int lzma_decode(void **state, const void *src, size_t len, void *dst, size_t raw_len)
{
	/* The encoder's dictionary is at most raw_len, stored rounded up to 2^n or 2^n + 2^(n-1):
	 * less than twice as much. */
	uint64_t memlimit = (uint64_t)raw_len * 2 + LZMA_DECODE_OVERHEAD;
	struct lzma_state *lzma = lzma_state_get(state);
	size_t in = 0;
	size_t out = 0;
	lzma_ret ret;

	if (!lzma)
		return -ENOMEM;
	/* A stream without a check, or with one this liblzma lacks, is not ours: an error, too. */
	ret = lzma_stream_buffer_decode(&memlimit, LZMA_TELL_NO_CHECK | LZMA_TELL_UNSUPPORTED_CHECK,
					&lzma->allocator, src, &in, len, dst, &out, raw_len);
	if (ret == LZMA_MEM_ERROR)
		return -ENOMEM;
	if (ret != LZMA_OK || in != len || out != raw_len)
		return -EBADMSG;
	return 0;
}

static void lzma_release(void *state)
{
	struct lzma_state *lzma = state;

	if (!lzma)
		return;
	while (lzma->nidle > 0)
		free(store_take(lzma, lzma->nidle - 1));
	free(lzma);
}

const struct codec_ops codec_lzma_ops = {
	.name = "lzma",
	.level_min = 0,
	.level_max = 9,
	.level_default = 6,
	.has_level = true,
	.level_zero = true,
	.bound = lzma_bound,
	.encode = lzma_encode,
	.decode = lzma_decode,
	.release = lzma_release,
};
