/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a codec gives to the table in codec.c, and what the table's scratch holds for it. Only
 * codec*.c and probe.c include this.
 *
 * The wrappers in codec.c have checked: level in range, len > 0 for decode, pointers not NULL.
 * Errors are those of codec.h. A codec keeps its working memory behind *state, which is NULL at
 * first and goes through release() at the end.
 */
#ifndef TERRACE_COMPRESS_CODEC_IMPL_H
#define TERRACE_COMPRESS_CODEC_IMPL_H

#include <stdbool.h>
#include <stddef.h>

#include "compress/codec.h"

struct codec_ops {
	const char *name;
	int level_min;
	int level_max;
	int level_default;
	bool has_level;	 /* false: only level 0, not written in text */
	bool level_zero; /* 0 is a level of its own; else it stands for the default */
	/* 0 when len is more than the codec can take. */
	size_t (*bound)(size_t len);
	int (*encode)(void **state, int level, const void *src, size_t len, void *dst, size_t cap,
		      size_t *stored);
	int (*decode)(void **state, const void *src, size_t len, void *dst, size_t raw_len);
	void (*release)(void *state); /* state may be NULL */
};

extern const struct codec_ops codec_none_ops;
extern const struct codec_ops codec_lz4_ops;
extern const struct codec_ops codec_zstd_ops;
extern const struct codec_ops codec_lzma_ops;

/* Room of at least len bytes for a trial's output, valid until the next call; NULL: no memory. */
void *codec_scratch_trial(struct codec_scratch *scratch, size_t len);

#endif
