// SPDX-License-Identifier: Apache-2.0
/*
 * Fuzzes taking up a RAM log. A log with records of every kind, as a daemon that was killed leaves
 * it, is changed byte by byte as the input says; the first byte says which checksums are mended
 * afterwards (bit 0: the head's, bit 1: the chunks', bit 2: the records'), as far as the records'
 * lengths lead. What is read must lie inside its chunk.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "compress/bytes.h"
#include "compress/checksum.h"
#include "tests/fuzz/fix_image.h"
#include "tiers/ramlog_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MEND_HEAD = 1, MEND_CHUNKS = 2, MEND_RECORDS = 4 };

#define MAX_BYTES (16u << 20)
#define EDITED	  4096u /* bytes of a file that inputs reach */

static const uint8_t uuid[16] = "fuzz the RAM log";
static const char *dir;
static struct image *folder;

static void append(struct ramlog *log, enum ramlog_op op, uint64_t object, uint64_t off,
		   uint64_t len)
{
	struct ramlog_record record;
	void *data;

	if (ramlog_reserve(log, op, object, off, len, 1, &record, &data))
		abort();
	if (op == RAMLOG_WRITE)
		memset(data, 0, len); /* zeros are not put back at every run */
	ramlog_commit(log, &record);
}

/* Two chunks: the second is begun by a record that does not fit into the first. */
static void start(void)
{
	struct ramlog_options options = {.pool_uuid = uuid, .max_bytes = MAX_BYTES};
	struct ramlog *log;
	bool recovered;

	fix_quiet();
	options.dir = dir = fix_folder_new();
	if (ramlog_open(&log, &options, &recovered))
		abort();
	append(log, RAMLOG_WRITE, 2, 0, 100);
	append(log, RAMLOG_PUNCH, 2, 10, 20);
	append(log, RAMLOG_SIZE, 2, 50, 0);
	append(log, RAMLOG_CLONE, 3, 0, 4096);
	for (int i = 0; i < 4; i++)
		append(log, RAMLOG_WRITE, 4, (uint64_t)i << 20, RAMLOG_RECORD_MAX);
	append(log, RAMLOG_WRITE, 2, 60, 7);
	ramlog_close(log, false);
	folder = image_take(dir);
}

static uint64_t mend_head(uint8_t *bytes, unsigned flags)
{
	if (flags & MEND_HEAD)
		put_le64(bytes + 120, checksum64(bytes, 120));
	return get_le64(bytes + 64);
}

static void mend_chunk(uint8_t *base, uint64_t id, unsigned flags)
{
	uint32_t at = RAMLOG_CHUNK_HEADER;

	if (flags & MEND_CHUNKS)
		put_le64(base + 56, checksum64_seed(base + 8, 48, id));
	while (flags & MEND_RECORDS && at + RAMLOG_HEADER <= RAMLOG_CHUNK_BYTES) {
		uint8_t *record = base + at;
		uint64_t len = get_le64(record + 32);
		uint32_t bytes;

		if (get_le32(record) != 0x52435254u)
			return;
		put_le64(record + 56, checksum64_seed(record + 8, 48, id));
		bytes = ramlog_record_bytes((enum ramlog_op)get_le16(record + 48), len);
		if (bytes < RAMLOG_HEADER || bytes > RAMLOG_CHUNK_BYTES - at)
			return;
		at += bytes;
	}
}

static uint8_t *map_file(const char *path, size_t len)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint8_t *map =
		fd < 0 ? MAP_FAILED : mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		abort();
	close(fd);
	return map;
}

static void mend(unsigned flags)
{
	uint64_t id = 0, size;

	/* Twice: the head's number is the seed of all others. */
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < image_files(folder); i++) {
			const char *path = image_path(folder, i, &size);
			uint8_t *map = map_file(path, size);

			if (size < EDITED && pass == 0)
				id = mend_head(map, flags);
			else if (size >= EDITED && pass == 1)
				mend_chunk(map, id, flags);
			munmap(map, size);
		}
	}
}

static void edit(struct input *input)
{
	uint64_t size, off;
	const char *path = image_path(folder, input_u8(input) % image_files(folder), &size);
	const uint8_t *bytes;
	size_t len;

	off = input_u16(input) % (size < EDITED ? size : EDITED);
	bytes = input_bytes(input, input_u8(input) % 16, &len);
	if (off + len > size)
		len = size - off;
	if (len)
		fix_patch(path, bytes, len, off);
}

static void walk(struct ramlog *log)
{
	struct ramlog_record record;
	uint64_t at = 0, next, sum = 0, before = 0;

	while (ramlog_walk(log, at, &record, &next) == 0) {
		const uint8_t *data = record.data;

		assert(record.pos > before && next > record.pos);
		before = record.pos;
		assert(!data == (record.op != RAMLOG_WRITE));
		for (uint64_t i = 0; data && i < record.len; i += 512)
			sum += data[i];
		if (data)
			ramlog_release(log, record.pos, record.len);
		at = next;
	}
	(void)sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ramlog_options options = {.pool_uuid = uuid, .max_bytes = MAX_BYTES};
	struct input input = {data, size};
	struct ramlog *log;
	bool recovered;
	unsigned flags;

	if (!dir)
		start();
	image_put(folder);
	flags = input_u8(&input);
	while (input.left)
		edit(&input);
	mend(flags);
	options.dir = dir;
	if (ramlog_open(&log, &options, &recovered))
		return 0;
	walk(log);
	append(log, RAMLOG_WRITE, 9, 0, 10);
	ramlog_close(log, false);
	return 0;
}
