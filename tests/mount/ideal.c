// SPDX-License-Identifier: Apache-2.0
/*
 * The ratio that packing is measured against: the files named on standard input (one path a line),
 * concatenated in that order and compressed in independent blocks with nothing stored beside them.
 *
 *   ideal lz4|zstd LEVEL BLOCK_BYTES < paths
 *
 * Prints "raw stored" in bytes. A block that does not shrink counts with its raw length.
 */
#include <fcntl.h>
#include <lz4.h>
#include <stdint.h>
#include <unistd.h>
#include <zstd.h>

#include "check.h"

struct ideal {
	ZSTD_CCtx *zstd; /* NULL: lz4 */
	int level;
	size_t block, used;
	char *raw, *coded;
	size_t cap;
	uint64_t raw_bytes, stored_bytes;
};

static void flush(struct ideal *ideal)
{
	size_t n;

	if (ideal->used == 0)
		return;
	if (ideal->zstd != NULL) {
		n = ZSTD_compressCCtx(ideal->zstd, ideal->coded, ideal->cap, ideal->raw,
				      ideal->used, ideal->level);
		CHECK(!ZSTD_isError(n));
	} else {
		int got = LZ4_compress_default(ideal->raw, ideal->coded, (int)ideal->used,
					       (int)ideal->cap);

		CHECK(got > 0);
		n = (size_t)got;
	}
	ideal->raw_bytes += ideal->used;
	ideal->stored_bytes += n < ideal->used ? n : ideal->used;
	ideal->used = 0;
}

static void add(struct ideal *ideal, const char *path)
{
	int fd = open(path, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		check_failed(__FILE__, __LINE__, "%s", path);
	for (;;) {
		n = read(fd, ideal->raw + ideal->used, ideal->block - ideal->used);
		CHECK(n >= 0);
		if (n == 0)
			break;
		ideal->used += (size_t)n;
		if (ideal->used == ideal->block)
			flush(ideal);
	}
	close(fd);
}

int main(int argc, char **argv)
{
	struct ideal ideal = {0};
	char line[5000];

	if (argc != 4) {
		fprintf(stderr, "usage: ideal lz4|zstd LEVEL BLOCK_BYTES < paths\n");
		return 2;
	}
	ideal.zstd = strcmp(argv[1], "zstd") == 0 ? ZSTD_createCCtx() : NULL;
	ideal.level = atoi(argv[2]);
	ideal.block = (size_t)strtoull(argv[3], NULL, 10);
	ideal.cap = ZSTD_compressBound(ideal.block) + ideal.block / 128 + 64;
	ideal.raw = malloc(ideal.block);
	ideal.coded = malloc(ideal.cap);
	CHECK(ideal.raw != NULL && ideal.coded != NULL);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		add(&ideal, line);
	}
	flush(&ideal);
	printf("%llu %llu\n", (unsigned long long)ideal.raw_bytes,
	       (unsigned long long)ideal.stored_bytes);
	ZSTD_freeCCtx(ideal.zstd);
	free(ideal.raw);
	free(ideal.coded);
	return 0;
}
