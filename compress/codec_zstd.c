// SPDX-License-Identifier: Apache-2.0
/*
 * zstd: one Zstandard frame without checksum, dictionary id and content size, all of which the
 * frame's own header has: 9 bytes beside the coded data. The magic-less format would save 4 of them
 * but is not part of the library's stable interface.
 *
 * Invariants:
 *  1. Exactly one frame of the released format: older versions' decoders, which libzstd may carry,
 *     skippable frames and anything behind the frame are refused.
 *  2. No call leaves a session open: each one compresses or decompresses in one go, and an encoder
 *     that failed is reset.
 * Threads: a state belongs to one thread at a time.
 */
#include <errno.h>
#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "compress/bytes.h"
#include "compress/codec_impl.h"

struct zstd_state {
	ZSTD_CCtx *encoder;
	ZSTD_DCtx *decoder;
	int level; /* set in encoder; 0: none yet */
};

static struct zstd_state *zstd_state_get(void **state)
{
	if (!*state)
		*state = calloc(1, sizeof(struct zstd_state));
	return *state;
}

/* libzstd's result as an errno. */
static int zstd_error(size_t result, int other)
{
	if (!ZSTD_isError(result))
		return 0;
	switch (ZSTD_getErrorCode(result)) {
	case ZSTD_error_memory_allocation:
		return -ENOMEM;
	case ZSTD_error_dstSize_tooSmall:
		/* When decoding, too small a destination is a wrong raw length: damage. */
		return other == -EBADMSG ? -EBADMSG : -ENOSPC;
	default:
		return other;
	}
}

static int zstd_encoder_set(struct zstd_state *zstd, int level)
{
	size_t result;

	if (!zstd->encoder) {
		zstd->encoder = ZSTD_createCCtx();
		if (!zstd->encoder)
			return -ENOMEM;
		zstd->level = 0;
	}
	if (zstd->level == level)
		return 0;
	zstd->level = 0;
	result = ZSTD_CCtx_setParameter(zstd->encoder, ZSTD_c_compressionLevel, level);
	if (!ZSTD_isError(result))
		result = ZSTD_CCtx_setParameter(zstd->encoder, ZSTD_c_contentSizeFlag, 0);
	if (!ZSTD_isError(result))
		zstd->level = level;
	return zstd_error(result, -EINVAL);
}

static size_t zstd_bound(size_t len)
{
	size_t bound = ZSTD_compressBound(len);

	return ZSTD_isError(bound) || bound < len ? 0 : bound;
}

static int zstd_encode(void **state, int level, const void *src, size_t len, void *dst, size_t cap,
		       size_t *stored)
{
	struct zstd_state *zstd = zstd_state_get(state);
	size_t result;
	int err;

	if (!zstd)
		return -ENOMEM;
	err = zstd_encoder_set(zstd, level);
	if (err)
		return err;
	result = ZSTD_compress2(zstd->encoder, dst, cap, src, len);
	err = zstd_error(result, -EINVAL);
	if (err)
		/* An abandoned session refuses a new level. */
		(void)ZSTD_CCtx_reset(zstd->encoder, ZSTD_reset_session_only);
	else
		*stored = result;
	return err;
}

static int zstd_decode(void **state, const void *src, size_t len, void *dst, size_t raw_len)
{
	struct zstd_state *zstd = zstd_state_get(state);
	size_t result;
	int err;

	if (!zstd)
		return -ENOMEM;
	if (len < 4 || get_le32(src) != ZSTD_MAGICNUMBER)
		return -EBADMSG;
	if (ZSTD_findFrameCompressedSize(src, len) != len)
		return -EBADMSG;
	if (!zstd->decoder) {
		zstd->decoder = ZSTD_createDCtx();
		if (!zstd->decoder)
			return -ENOMEM;
	}
	result = ZSTD_decompressDCtx(zstd->decoder, dst, raw_len, src, len);
	err = zstd_error(result, -EBADMSG);
	if (!err && result != raw_len)
		err = -EBADMSG;
	return err;
}

static void zstd_release(void *state)
{
	struct zstd_state *zstd = state;

	if (!zstd)
		return;
	ZSTD_freeCCtx(zstd->encoder);
	ZSTD_freeDCtx(zstd->decoder);
	free(zstd);
}

const struct codec_ops codec_zstd_ops = {
	.name = "zstd",
	.level_min = -5,
	.level_max = 22,
	.level_default = 3,
	.has_level = true,
	.bound = zstd_bound,
	.encode = zstd_encode,
	.decode = zstd_decode,
	.release = zstd_release,
};
