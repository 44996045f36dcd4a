// SPDX-License-Identifier: Apache-2.0
/*
 * Fuzzes reading the journal's files and the tail. The input's first byte says which (bit 0) and
 * which checksums are mended before (bit 1: of headers, bit 2: of groups' or records' payload); the
 * rest is the files' bytes: for the journal cut in two at the second byte, in 256ths; for the tail
 * laid into the header and the beginning of the first two slots.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compress/bytes.h"
#include "compress/checksum.h"
#include "tests/fuzz/fix_image.h"
#include "tiers/journal_impl.h"
#include "tiers/tail.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WHICH = 1, MEND_HEADERS = 2, MEND_PAYLOAD = 4 };

#define TAIL_HEADER_LEN 4096u
#define TAIL_SLOT_BYTES (2u << 20)
#define TAIL_SLOT_PART	8192u

static const uint8_t uuid[16] = "fuzz the journal";
static const char *dir;
static struct image *folder;	  /* empty */
static uint8_t tail_header[4096]; /* of a tail of this boot */

struct seen {
	uint64_t seq;
	uint64_t bytes;
};

static int each(void *arg, uint64_t seq, const void *ops, size_t len)
{
	struct seen *seen = arg;
	const uint8_t *bytes = ops;

	assert(seq == seen->seq + 1 && len > 0);
	seen->seq = seq;
	for (size_t i = 0; i < len; i++)
		seen->bytes += bytes[i];
	return 0;
}

/* The records of a group or slot, as far as their lengths lead. */
static void mend_records(uint8_t *at, size_t left)
{
	while (left >= RECORD_HEADER_LEN) {
		size_t len = get_le32(at + 16);

		if (!len || record_size(len) > left)
			return;
		put_le64(at, checksum64_seed(at + RECORD_HEADER_LEN, len, get_le64(at + 8)));
		left -= record_size(len);
		at += record_size(len);
	}
}

static void mend_group(uint8_t *at, size_t left, unsigned flags)
{
	uint64_t len = get_le64(at + 64), sum = get_le64(at + 40);

	if (memcmp(at, GROUP_MAGIC, 8))
		return;
	if (flags & MEND_PAYLOAD && len > GROUP_HEADER_LEN && len <= left) {
		mend_records(at + GROUP_HEADER_LEN, len - GROUP_HEADER_LEN);
		/* Shorter than a window: the input is. */
		sum = checksum64_seed(at + GROUP_HEADER_LEN, len - GROUP_HEADER_LEN, sum);
		put_le64(at + 88, sum);
	}
	if (flags & MEND_HEADERS)
		put_le64(at + 96, checksum64_seed(at, 96, get_le64(at + 40)));
}

static void put_journal_file(const uint8_t *data, size_t len, unsigned name, unsigned flags)
{
	size_t room = journal_aligned(len) + JOURNAL_ALIGN;
	uint8_t *bytes = calloc(1, room);
	char path[128];

	assert(bytes);
	if (len)
		memcpy(bytes, data, len);
	if (flags & MEND_HEADERS && len >= 80) {
		memcpy(bytes + 40, uuid, 16);
		put_le64(bytes + 72, checksum64(bytes, 72));
	}
	for (size_t off = JOURNAL_HEADER_LEN; off + GROUP_HEADER_LEN <= room;
	     off += JOURNAL_ALIGN) {
		if (flags & MEND_HEADERS)
			memcpy(bytes + off + 16, uuid, 16);
		mend_group(bytes + off, room - off, flags);
	}
	snprintf(path, sizeof(path), "%s/journal.%u", dir, name);
	fix_patch(path, bytes, flags & MEND_PAYLOAD ? room : len, 0);
	free(bytes);
}

static void run_journal(struct input *input, unsigned flags)
{
	size_t cut = input->left * input_u8(input) / 256, len;
	struct journal_options options = {.dir = dir, .pool_uuid = uuid};
	struct seen seen = {0};
	struct journal *journal;
	const uint8_t *bytes;
	uint64_t last = 0;

	options.floor_seq = seen.seq = input_u8(input);
	bytes = input_bytes(input, cut, &len);
	put_journal_file(bytes, len, 0, flags);
	bytes = input_bytes(input, input->left, &len);
	if (len)
		put_journal_file(bytes, len, 7, flags);
	if (journal_open(&journal, &options, each, &seen, &last))
		return;
	assert(last == seen.seq);
	journal_close(journal);
}

static void put_slot(struct input *input, uint64_t off, const char *path, unsigned flags)
{
	uint8_t bytes[TAIL_SLOT_PART] = {0};
	size_t len;
	const uint8_t *part = input_bytes(input, sizeof(bytes), &len);

	if (len)
		memcpy(bytes, part, len);
	if (flags & MEND_HEADERS) {
		memcpy(bytes, "TERRSLOT", 8);
		put_le64(bytes + 24, checksum64(bytes, 24));
	}
	if (flags & MEND_PAYLOAD)
		mend_records(bytes + 32, sizeof(bytes) - 32);
	fix_patch(path, bytes, sizeof(bytes), off);
}

static void run_tail(struct input *input, unsigned flags)
{
	struct tail_options options = {.dir = dir, .pool_uuid = uuid, .max_bytes = 8u << 20};
	uint8_t header[TAIL_HEADER_LEN];
	struct seen seen = {.seq = input_u8(input)};
	char path[128];
	size_t len;
	const uint8_t *part = input_bytes(input, input_u8(input), &len);
	struct tail *tail;
	bool found;

	memcpy(header, tail_header, sizeof(header));
	if (len)
		memcpy(header + 8, part, len < 80 ? len : 80);
	if (flags & MEND_HEADERS)
		put_le64(header + 80, checksum64(header, 80));
	snprintf(path, sizeof(path), "%s/journal.tail", dir);
	fix_patch(path, header, sizeof(header), 0);
	put_slot(input, TAIL_HEADER_LEN, path, flags);
	put_slot(input, TAIL_HEADER_LEN + TAIL_SLOT_BYTES, path, flags);
	if (truncate(path, TAIL_HEADER_LEN + 4 * (off_t)TAIL_SLOT_BYTES))
		abort();
	if (tail_open(&tail, &options, &found))
		return;
	if (found && tail_replay(tail, seen.seq, each, &seen) == 0 && !tail_reserve(tail, 8)) {
		uint64_t bytes = tail_bytes(tail);

		tail_append(tail, seen.seq + 1, "appended", 8);
		assert(tail_bytes(tail) == bytes + record_size(8));
	}
	tail_close(tail, true);
}

static void start(void)
{
	struct tail_options options = {.max_bytes = 8u << 20, .pool_uuid = uuid};
	struct tail *tail;
	char path[128];
	bool found;
	FILE *file;

	fix_quiet();
	dir = fix_folder_new();
	folder = image_take(dir);
	options.dir = dir;
	if (tail_open(&tail, &options, &found))
		abort();
	snprintf(path, sizeof(path), "%s/journal.tail", dir);
	file = fopen(path, "r");
	if (!file || fread(tail_header, sizeof(tail_header), 1, file) != 1)
		abort();
	fclose(file);
	tail_close(tail, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	unsigned flags;

	if (!dir)
		start();
	image_put(folder);
	flags = input_u8(&input);
	if (flags & WHICH)
		run_tail(&input, flags);
	else
		run_journal(&input, flags);
	return 0;
}
