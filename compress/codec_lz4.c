// SPDX-License-Identifier: Apache-2.0
/*
 * lz4: one raw LZ4 block, without the LZ4 frame around it (lengths and checksum are the frame's).
 * Level 1 is the fast compressor, 2..12 are the HC levels; both give the same format.
 *
 * Invariants:
 *  1. Lengths fit LZ4's int: bound() is 0 beyond LZ4_MAX_INPUT_SIZE, and the table refuses then.
 * Threads: a state belongs to one thread at a time.
 */
#include <errno.h>
#include <limits.h>
#include <lz4.h>
#include <lz4hc.h>
#include <stdlib.h>

#include "compress/codec_impl.h"

struct lz4_state {
	void *fast; /* 16 KiB */
	void *hc;   /* 256 KiB: not for those who only ever use level 1 */
};

static struct lz4_state *lz4_state_get(void **state)
{
	if (!*state)
		*state = calloc(1, sizeof(struct lz4_state));
	return *state;
}

/* malloc() aligns for any type, which is what both states ask for. */
static void *lz4_work(void **work, int size)
{
	if (!*work)
		*work = malloc((size_t)size);
	return *work;
}

static size_t lz4_bound(size_t len)
{
	return len > LZ4_MAX_INPUT_SIZE ? 0 : (size_t)LZ4_compressBound((int)len);
}

static int lz4_encode(void **state, int level, const void *src, size_t len, void *dst, size_t cap,
		      size_t *stored)
{
	struct lz4_state *lz4 = lz4_state_get(state);
	int room = cap > INT_MAX ? INT_MAX : (int)cap;
	int n;

	if (!lz4)
		return -ENOMEM;
	/* Not even the token fits: liblz4's HC side is not asked to write into nothing. */
	if (room == 0)
		return -ENOSPC;
	if (level == 1) {
		if (!lz4_work(&lz4->fast, LZ4_sizeofState()))
			return -ENOMEM;
		n = LZ4_compress_fast_extState(lz4->fast, src, dst, (int)len, room, 1);
	} else {
		if (!lz4_work(&lz4->hc, LZ4_sizeofStateHC()))
			return -ENOMEM;
		n = LZ4_compress_HC_extStateHC(lz4->hc, src, dst, (int)len, room, level);
	}
	/* The only failure left to either is that the result does not fit. */
	if (n <= 0)
		return -ENOSPC;
	*stored = (size_t)n;
	return 0;
}

static int lz4_decode(void **state, const void *src, size_t len, void *dst, size_t raw_len)
{
	int n;

	(void)state;
	if (len > INT_MAX || raw_len > LZ4_MAX_INPUT_SIZE)
		return -EBADMSG;
	n = LZ4_decompress_safe(src, dst, (int)len, (int)raw_len);
	return n >= 0 && (size_t)n == raw_len ? 0 : -EBADMSG;
}

static void lz4_release(void *state)
{
	struct lz4_state *lz4 = state;

	if (!lz4)
		return;
	free(lz4->fast);
	free(lz4->hc);
	free(lz4);
}

const struct codec_ops codec_lz4_ops = {
	.name = "lz4",
	.level_min = 1,
	.level_max = LZ4HC_CLEVEL_MAX,
	.level_default = 1,
	.has_level = true,
	.bound = lz4_bound,
	.encode = lz4_encode,
	.decode = lz4_decode,
	.release = lz4_release,
};

_Static_assert(LZ4HC_CLEVEL_MAX == 12, "codec.h and terrace.conf(5) name level 12 as the highest");
