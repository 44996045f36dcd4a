/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The codec table: none, lz4, zstd, lzma, each through block calls without streams.
 *
 * A codec turns one block of raw bytes into one block of coded bytes and back. All working memory
 * lives in a caller-owned `struct codec_scratch`, which grows to what the codec and level need and
 * is then reused: no allocation per block after the first.
 *
 * Ids are stored on media and are append-only (terrace-format(5)).
 * Threads: a scratch belongs to one thread at a time; the table is constant.
 */
#ifndef TERRACE_COMPRESS_CODEC_H
#define TERRACE_COMPRESS_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum codec_id {
	CODEC_NONE = 0,
	CODEC_LZ4 = 1,	/* level 1 = fast, 2..12 = HC levels; 0 = default (1) */
	CODEC_ZSTD = 2, /* level -5..22 without 0; 0 = default (3) */
	CODEC_LZMA = 3, /* level 0..9, xz container with CRC64; default 6 */
	CODEC_COUNT
};

/* A codec with its level, as a tier or a file sets it. */
struct codec_spec {
	uint8_t id;   /* enum codec_id */
	int8_t level; /* already resolved: the default has been filled in */
};

struct codec_scratch;

/* Returns 0, -ENOMEM. */
int codec_scratch_new(struct codec_scratch **out);
void codec_scratch_free(struct codec_scratch *scratch);

/* Name of a codec id ("lz4"), or NULL for an id this program does not know. */
const char *codec_name(unsigned id);

/* True when id is known and level is one of its levels (or 0 where that stands for the default). */
bool codec_spec_valid(const struct codec_spec *spec);
bool codec_spec_same(const struct codec_spec *a, const struct codec_spec *b);

/*
 * Parses "lz4", "lz4:9", "zstd", "zstd:12", "zstd:-5", "lzma:9", "none".
 * Returns 0, -EINVAL (unknown name, level out of range, trailing characters).
 */
int codec_parse(const char *text, struct codec_spec *out);

/* Prints what codec_parse() reads ("zstd:12"; "none" has no level). cap >= 16. */
void codec_format(const struct codec_spec *spec, char *buf, size_t cap);

/* Most bytes that encoding len raw bytes can need; 0 if id is unknown. */
size_t codec_bound(unsigned id, size_t len);

/*
 * Encodes src[0..len) into dst[0..cap). *stored = bytes written.
 * Returns 0; -ENOSPC when the result would not fit in cap (a caller that wants at least some saving
 * passes a cap smaller than len); -EINVAL unknown codec or level; -ENOMEM.
 */
int codec_encode(struct codec_scratch *scratch, const struct codec_spec *spec, const void *src,
		 size_t len, void *dst, size_t cap, size_t *stored);

/*
 * Decodes src[0..len) into dst, which must come out as exactly raw_len bytes.
 * Returns 0; -EBADMSG damaged or not raw_len bytes; -ENOTSUP unknown codec; -ENOMEM.
 * Any input is safe: nothing is read or written outside the two buffers.
 */
int codec_decode(struct codec_scratch *scratch, unsigned id, const void *src, size_t len, void *dst,
		 size_t raw_len);

#endif
