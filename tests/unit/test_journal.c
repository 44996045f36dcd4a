// SPDX-License-Identifier: Apache-2.0
/*
 * The journal's files, byte by byte: torn and damaged groups, files given up after a failure,
 * files used again, what is missing.
 */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compress/bytes.h"
#include "compress/checksum.h"
#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_place.h"
#include "tiers/io.h"
#include "tiers/journal.h"
#include "tiers/journal_impl.h"
#include "tiers/tail.h"

#define OPS_LEN 40u

static struct place place;
static struct tail *tail;
static struct journal *journal;

static int each_count;
static uint64_t each_last;

/* Batch seq's operations are its number, over and over. */
static void ops_make(uint64_t seq, uint8_t ops[OPS_LEN])
{
	uint32_t i;

	for (i = 0; i < OPS_LEN / 8; i++)
		put_le64(ops + 8 * i, seq);
}

static int each_batch(void *arg, uint64_t seq, const void *ops, size_t len)
{
	uint8_t want[OPS_LEN];

	(void)arg;
	ops_make(seq, want);
	assert_int_equal(len, OPS_LEN);
	assert_memory_equal(ops, want, len);
	if (each_last)
		assert_int_equal(seq, each_last + 1);
	each_last = seq;
	each_count++;
	return 0;
}

/* Opens with everything up to floor in the tree; *last gets the last batch found. */
static int reopen(uint64_t floor, uint64_t reach, uint64_t *last)
{
	struct journal_options options = {
		.dir = place.dir,
		.pool_uuid = place.uuid,
		.floor_seq = floor,
		.reach_seq = reach,
	};

	each_count = 0;
	each_last = floor;
	return journal_open(&journal, &options, each_batch, NULL, last);
}

static int reopen_once(uint64_t floor, uint64_t *last)
{
	int rc = reopen(floor, 0, last);

	if (!rc)
		journal_close(journal);
	journal = NULL;
	return rc;
}

static void append(uint64_t first, uint64_t last)
{
	uint8_t ops[OPS_LEN];

	for (; first <= last; first++) {
		ops_make(first, ops);
		assert_int_equal(tail_reserve(tail, sizeof(ops)), 0);
		tail_append(tail, first, ops, sizeof(ops));
	}
}

static int group(uint64_t first, uint64_t last)
{
	int rc = journal_write(journal, tail, first, last);

	if (!rc)
		tail_drop(tail, last);
	return rc;
}

static void path_of(char path[160], const char *name)
{
	snprintf(path, 160, "%s/%s", place.dir, name);
}

static int setup(void **state)
{
	struct tail_options options = {
		.dir = place.tail_dir,
		.pool_uuid = place.uuid,
		.max_bytes = 64 << 20,
		.create = true,
	};
	uint64_t last;
	bool found;

	(void)state;
	place_make(&place);
	quiet_begin();
	return tail_open(&tail, &options, &found) || tail_replay(tail, 0, each_batch, NULL) ||
	       reopen(0, 0, &last);
}

static int teardown(void **state)
{
	(void)state;
	journal_close(journal);
	journal = NULL;
	tail_close(tail, false);
	quiet_end();
	place_remove(&place);
	return 0;
}

/* Three groups in journal.0: batches 1-4, 5-8, 9-12; returns the last one's offset and length. */
static uint64_t three_groups(uint64_t *len)
{
	append(1, 12);
	assert_int_equal(group(1, 4), 0);
	assert_int_equal(group(5, 8), 0);
	assert_int_equal(group(9, 12), 0);
	journal_close(journal);
	journal = NULL;
	*len = GROUP_HEADER_LEN + 4 * record_size(OPS_LEN);
	return JOURNAL_HEADER_LEN + 2 * JOURNAL_ALIGN;
}

static void patch(const char *path, const void *bytes, size_t len, uint64_t off)
{
	int fd = open(path, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, len, (off_t)off), (ssize_t)len);
	close(fd);
}

/* The last group written up to every length, zeros or an older group's bytes behind. */
static void test_torn_last_group(void **state)
{
	uint64_t len, size, last, cut, off = three_groups(&len);
	char path[160];
	uint8_t *bytes, *torn;
	int kind;

	(void)state;
	path_of(path, "journal.0");
	bytes = place_read(path, &size);
	torn = malloc(len);
	assert_non_null(torn);
	for (kind = 0; kind < 2; kind++) {
		for (cut = 0; cut <= len; cut++) {
			memcpy(torn, bytes + off, cut);
			if (kind)
				memcpy(torn + cut, bytes + off - JOURNAL_ALIGN + cut, len - cut);
			else
				memset(torn + cut, 0, len - cut);
			patch(path, torn, len, off);
			assert_int_equal(reopen_once(0, &last), 0);
			/* A cut inside what is alike in both, such as padding, is no cut. */
			if (memcmp(torn, bytes + off, len))
				assert_int_equal(last, 8);
			else
				assert_int_equal(last, 12);
			assert_int_equal(each_count, last);
		}
	}
	/* The file itself cut short. */
	for (cut = 0; cut < len; cut += 7) {
		place_write(path, bytes, off + cut);
		assert_int_equal(reopen_once(0, &last), 0);
		assert_int_equal(last, 8);
	}
	free(torn);
	free(bytes);
}

/* Every bit pattern of damage in the last group drops it whole; in a middle one it is refused. */
static void test_flipped_bytes(void **state)
{
	uint64_t len, size, last, at, off = three_groups(&len);
	char path[160];
	uint8_t *bytes;

	(void)state;
	path_of(path, "journal.0");
	bytes = place_read(path, &size);
	for (at = 0; at < 2 * JOURNAL_ALIGN; at++) {
		uint64_t where = off - JOURNAL_ALIGN + at;
		bool middle = at < JOURNAL_ALIGN;
		uint64_t within = at % JOURNAL_ALIGN;
		uint8_t byte = bytes[where] ^ (uint8_t)(1u << (at % 8));
		int rc;

		/* The zeros behind header and payload are covered by no checksum. */
		if (within >= len || (within >= 104 && within < GROUP_HEADER_LEN))
			continue;
		patch(path, &byte, 1, where);
		rc = reopen_once(0, &last);
		if (middle) {
			assert_int_equal(rc, -EUCLEAN);
			assert_non_null(strstr(quiet_last(), "journal.0: damaged at offset 8192"));
			assert_int_equal(each_count, 0);
		} else {
			assert_int_equal(rc, 0);
			assert_int_equal(last, 8);
		}
		patch(path, bytes + where, 1, where);
	}
	assert_int_equal(reopen_once(0, &last), 0);
	assert_int_equal(last, 12);
	/* Once the tree holds the batches, the damage is of no interest. */
	patch(path, "?", 1, off - JOURNAL_ALIGN);
	assert_int_equal(reopen_once(12, &last), 0);
	free(bytes);
}

static void test_file_header(void **state)
{
	uint64_t len, last;
	uint8_t header[JOURNAL_HEADER_LEN], *bytes;
	char path[160];
	uint64_t size;

	(void)state;
	three_groups(&len);
	path_of(path, "journal.0");
	bytes = place_read(path, &size);
	memcpy(header, bytes, sizeof(header));
	patch(path, "X", 1, 0);
	assert_int_equal(reopen_once(0, &last), -EUCLEAN);
	assert_non_null(strstr(quiet_last(), "journal.0: damaged"));
	/* Groups that the tree holds do not need the header. */
	place_write(path, bytes, size);
	patch(path, "X", 1, 0);
	assert_int_equal(reopen_once(12, &last), 0);
	assert_int_equal(last, 12);

	place_write(path, bytes, size);
	header[40]++;
	put_le64(header + 72, checksum64(header, 72));
	patch(path, header, sizeof(header), 0);
	assert_int_equal(reopen_once(0, &last), -ENOTUNIQ);
	header[40]--;
	put_le64(header + 16, 1);
	put_le64(header + 72, checksum64(header, 72));
	patch(path, header, sizeof(header), 0);
	assert_int_equal(reopen_once(0, &last), -ENOTSUP);
	free(bytes);
}

/* Batches only; then with a floor: what the tree has is passed over. */
static void test_floor(void **state)
{
	uint64_t len, last;

	(void)state;
	three_groups(&len);
	assert_int_equal(reopen_once(6, &last), 0);
	assert_int_equal(last, 12);
	assert_int_equal(each_count, 6);
	assert_int_equal(reopen(6, 13, &last), -EUCLEAN);
	assert_non_null(strstr(quiet_last(), "missing"));
	assert_int_equal(reopen(6, 12, &last), 0);
	/* It goes on where it ended. */
	append(13, 14);
	assert_int_equal(group(13, 14), 0);
	journal_close(journal);
	journal = NULL;
	assert_int_equal(reopen_once(6, &last), 0);
	assert_int_equal(last, 14);
}

/* A sync fails: the group goes to a new file, and what it left in the old one does not count. */
static void test_failed_sync(void **state)
{
	uint64_t last;
	char old[160], new[160];

	(void)state;
	append(1, 12);
	assert_int_equal(group(1, 4), 0);
	fault_arm(FAULT_SYNC, 1, FAULT_EIO, false);
	assert_int_equal(group(5, 8), 0);
	assert_int_equal(fault_disarm(), 1);
	assert_int_equal(group(9, 12), 0);
	journal_close(journal);
	journal = NULL;
	path_of(old, "journal.0");
	path_of(new, "journal.1");
	assert_int_equal(reopen_once(0, &last), 0);
	assert_int_equal(last, 12);
	assert_int_equal(each_count, 12);
	/* The chain needs the old file up to where the new one says, and no further. */
	patch(old, "?", 1, JOURNAL_HEADER_LEN + JOURNAL_ALIGN);
	assert_int_equal(reopen_once(0, &last), 0);
	assert_int_equal(last, 12);
	patch(old, "?", 1, JOURNAL_HEADER_LEN);
	assert_int_equal(reopen_once(0, &last), -EUCLEAN);
	assert_int_equal(reopen_once(4, &last), 0);
	assert_int_equal(last, 12);
	assert_int_equal(access(old, F_OK), -1);
	assert_int_equal(reopen_once(0, &last), -EUCLEAN);
	assert_non_null(strstr(quiet_last(), "1 to 4 are missing"));
}

static struct {
	uint64_t off, len;
} put; /* the last write */

static ssize_t put_note(int fd, const void *buf, size_t len, off_t off)
{
	put.off = (uint64_t)off;
	put.len = len;
	return pwrite(fd, buf, len, off);
}

/* One small group; what it wrote is in `put`. */
static void small_group(uint64_t seq)
{
	struct io_ops ops = io_ops_system;

	append(seq, seq);
	ops.pwrite = put_note;
	io_ops_set(&ops);
	assert_int_equal(group(seq, seq), 0);
	io_ops_set(NULL);
}

/* Bytes of zeros behind the groups of journal.0, up to `end`. */
static void zeros_between(uint64_t off, uint64_t end)
{
	char path[160];
	uint64_t size;
	uint8_t *bytes;

	path_of(path, "journal.0");
	bytes = place_read(path, &size);
	assert_true(end <= size);
	for (; off < end; off++)
		assert_int_equal(bytes[off], 0);
	free(bytes);
}

/* A small group that comes to blocks never written fills a window with zeros; those after it lie in
 * what has been written, in the file's next life too. A large one does not. */
static void test_written_ahead(void **state)
{
	uint64_t seq, size = journal->current->size, end = JOURNAL_HEADER_LEN, last;

	(void)state;
	append(1, 3000);
	assert_int_equal(group(1, 3000), 0); /* its bytes stay in the buffer */
	end += journal_aligned(GROUP_HEADER_LEN + 3000 * record_size(OPS_LEN));
	assert_int_equal(journal->current->written, end);
	for (seq = 3001; end + GROUP_WINDOW <= size; seq++) {
		bool fresh = end >= journal->current->written;

		small_group(seq);
		assert_int_equal(put.off, end);
		assert_int_equal(put.len, fresh ? GROUP_WINDOW : JOURNAL_ALIGN);
		if (fresh)
			zeros_between(end + JOURNAL_ALIGN, end + GROUP_WINDOW);
		end += JOURNAL_ALIGN;
	}
	for (; end < size; seq++, end += JOURNAL_ALIGN) /* never behind what is allocated */
		small_group(seq);
	assert_int_equal(journal->current->size, size);
	assert_int_equal(journal_reset(journal), 0);
	small_group(seq);
	assert_int_equal(put.off, JOURNAL_HEADER_LEN);
	assert_int_equal(put.len, JOURNAL_ALIGN);
	journal_close(journal);
	journal = NULL;
	assert_int_equal(reopen_once(seq - 1, &last), 0);
	assert_int_equal(last, seq);
}

/* Nothing is allocated, so there may be no room: a file is no longer than its groups need. */
static void test_no_room_ahead(void **state)
{
	(void)state;
	journal->no_allocate = true;
	small_group(1);
	assert_int_equal(put.len, JOURNAL_ALIGN);
}

/* The medium stays dead for a while: errors, then the same batches once it is back. */
static void test_sync_fails_twice(void **state)
{
	uint64_t last;

	(void)state;
	append(1, 8);
	assert_int_equal(group(1, 4), 0);
	fault_arm(FAULT_SYNC | FAULT_PWRITE, 1, FAULT_EIO, true);
	assert_int_equal(group(5, 8), -EIO);
	assert_int_equal(group(5, 8), -EIO);
	fault_disarm();
	assert_int_equal(group(5, 8), 0);
	journal_close(journal);
	journal = NULL;
	assert_int_equal(reopen_once(0, &last), 0);
	assert_int_equal(last, 8);
}

/* Round and round with checkpoints: files are used again, old groups never come back. */
static void test_reuse(void **state)
{
	uint64_t last, seq = 0;
	int round;

	(void)state;
	for (round = 0; round < 10; round++) {
		append(seq + 1, seq + 9);
		assert_int_equal(group(seq + 1, seq + 3), 0);
		assert_int_equal(journal_prepare(journal), 0);
		assert_int_equal(group(seq + 4, seq + 6), 0);
		journal_drop(journal, seq + 3);
		if (round % 3 == 2) {
			journal_close(journal);
			journal = NULL;
			assert_int_equal(reopen(seq + 3, 0, &last), 0);
			assert_int_equal(last, seq + 6);
			assert_int_equal(each_count, 3);
		}
		assert_int_equal(group(seq + 7, seq + 9), 0);
		seq += 9;
		journal_drop(journal, seq - 3);
		assert_true(journal_bytes(journal) > 0);
		assert_true(journal_disk_bytes(journal) <= 12 << 20);
	}
	assert_int_equal(journal_reset(journal), 0);
	journal_close(journal);
	journal = NULL;
	assert_int_equal(reopen_once(seq, &last), 0);
	assert_int_equal(last, seq);
	assert_int_equal(each_count, 0);
}

/* Files with batches that the tree has not are kept, also when only the last one is missing. */
static void test_drop_is_exact(void **state)
{
	uint64_t last;

	(void)state;
	append(1, 8);
	assert_int_equal(group(1, 4), 0);
	assert_int_equal(journal_prepare(journal), 0);
	assert_int_equal(group(5, 8), 0);
	journal_drop(journal, 3);
	journal_close(journal);
	journal = NULL;
	assert_int_equal(reopen_once(3, &last), 0);
	assert_int_equal(last, 8);
	assert_int_equal(each_count, 5);
}

static bool overtaken;

/* While the checkpoint makes a file, the leader's file dies and it makes one for itself. */
static int overtake(int fd)
{
	if (!overtaken) {
		overtaken = true;
		journal->current->dead = true;
		assert_int_equal(group(5, 8), 0);
	}
	return fsync(fd);
}

/* The file that was made first came second: it must not be used after the other. */
static void test_spare_overtaken(void **state)
{
	struct io_ops ops = io_ops_system;
	uint64_t last;

	(void)state;
	append(1, 16);
	assert_int_equal(group(1, 4), 0);
	overtaken = false;
	ops.fsync = overtake;
	io_ops_set(&ops);
	assert_int_equal(journal_prepare(journal), 0);
	io_ops_set(NULL);
	assert_true(overtaken);
	assert_int_equal(group(9, 12), 0);
	assert_int_equal(journal_prepare(journal), 0);
	assert_int_equal(group(13, 16), 0);
	journal_close(journal);
	journal = NULL;
	assert_int_equal(reopen_once(0, &last), 0);
	assert_int_equal(last, 16);
	assert_int_equal(each_count, 16);
}

/* A full disk: batches are refused before they are taken; freeing ones have the slack. */
static void test_full_disk(void **state)
{
	uint64_t n = 0;

	(void)state;
	fault_arm(FAULT_ALLOCATE, 1, FAULT_ENOSPC, true);
	while (!journal_reserve(journal, n, true))
		n += 4096;
	assert_true(n > 1 << 20);
	assert_int_equal(journal_reserve(journal, n, true), -ENOSPC);
	assert_int_equal(journal_reserve(journal, n, false), 0);
	while (!journal_reserve(journal, n, false))
		n += 4096;
	assert_int_equal(journal_reserve(journal, n, false), -ENOSPC);
	fault_disarm();
	assert_int_equal(journal_reserve(journal, n, true), 0);
}

/* A process dies in the middle of appending: the record does not count, those before it do. */
static void test_torn_tail(void **state)
{
	uint64_t size, cut, record = record_size(OPS_LEN);
	uint8_t *bytes;
	char path[160];

	(void)state;
	append(1, 3);
	snprintf(path, sizeof(path), "%s/journal.tail", place.tail_dir);
	bytes = place_read(path, &size);
	for (cut = 0; cut <= record; cut++) {
		struct tail_options options = {
			.dir = place.tail_dir, .pool_uuid = place.uuid, .max_bytes = 64 << 20};
		uint64_t off = 4096 + 32 + 2 * record;
		struct tail *dead;
		uint8_t zeros[64] = {0};
		bool whole = !memcmp(bytes + off + cut, zeros, record - cut), found;

		patch(path, bytes + off, record, off);
		patch(path, zeros, record - cut, off + cut);
		assert_int_equal(tail_open(&dead, &options, &found), 0);
		assert_true(found);
		each_count = 0;
		each_last = 0;
		assert_int_equal(tail_replay(dead, 0, each_batch, NULL), 0);
		/* A cut in the zeros at the end is no cut. */
		assert_int_equal(each_count, whole ? 3 : 2);
		tail_close(dead, false);
	}
	free(bytes);
}

static void test_tail_of_others(void **state)
{
	struct tail_options options = {
		.dir = place.tail_dir, .pool_uuid = place.uuid, .max_bytes = 64 << 20};
	uint8_t header[4096], *bytes;
	struct tail *other;
	char path[160];
	uint64_t size;
	bool found;

	(void)state;
	append(1, 3);
	snprintf(path, sizeof(path), "%s/journal.tail", place.tail_dir);
	bytes = place_read(path, &size);
	memcpy(header, bytes, sizeof(header));
	/* Behind what the medium has: its batches are no use. */
	assert_int_equal(tail_open(&other, &options, &found), 0);
	each_count = 0;
	assert_int_equal(tail_replay(other, 7, each_batch, NULL), 0);
	assert_int_equal(each_count, 0);
	assert_int_equal(tail_bytes(other), 0);
	tail_close(other, false);
	/* Ahead of it: the medium is older. */
	place_write(path, bytes, size);
	put_le64(bytes + 4096 + 16, 2);
	put_le64(bytes + 4096 + 24, checksum64(bytes + 4096, 24));
	place_write(path, bytes, size);
	assert_int_equal(tail_open(&other, &options, &found), 0);
	assert_int_equal(tail_replay(other, 0, each_batch, NULL), -EUCLEAN);
	assert_non_null(strstr(quiet_last(), "older than the tail"));
	tail_close(other, false);

	place.uuid[3]++;
	assert_int_equal(tail_open(&other, &options, &found), -ENOTUNIQ);
	place.uuid[3]--;
	patch(path, "X", 1, 0);
	assert_int_equal(tail_open(&other, &options, &found), -EUCLEAN);
	put_le64(header + 16, 4);
	put_le64(header + 80, checksum64(header, 80));
	patch(path, header, sizeof(header), 0);
	assert_int_equal(tail_open(&other, &options, &found), -ENOTSUP);
	put_le64(header + 16, 0);
	header[56]++;
	put_le64(header + 80, checksum64(header, 80));
	patch(path, header, sizeof(header), 0);
	assert_int_equal(tail_open(&other, &options, &found), 0);
	assert_false(found);
	tail_close(other, false);
	free(bytes);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_torn_last_group), CASE(test_flipped_bytes),	CASE(test_file_header),
		CASE(test_floor),	    CASE(test_failed_sync),	CASE(test_sync_fails_twice),
		CASE(test_reuse),	    CASE(test_full_disk),	CASE(test_torn_tail),
		CASE(test_written_ahead),   CASE(test_no_room_ahead),	CASE(test_tail_of_others),
		CASE(test_drop_is_exact),   CASE(test_spare_overtaken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
