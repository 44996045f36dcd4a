// SPDX-License-Identifier: Apache-2.0
/*
 * Large reads: the same bytes as any other way, past the block cache and the page cache the first
 * time, in memory from the second on; damage costs what it costs elsewhere. Small ones: what the
 * medium is asked for.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fix_bytes.h"
#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_pool.h"
#include "tiers/bulkio.h"
#include "tiers/damage.h"
#include "tiers/extmap.h"
#include "tiers/framestore.h"
#include "tiers/object.h"
#include "tiers/pool_impl.h"
#include "tiers/replicate.h"
#include "tiers/segment_file.h"

#define RAM   (64u << 20)
#define LEN   ((3u << 20) + 12345u)
#define BLOCK (32u << 10)
#define SSD   1u

static struct fix_pool fix;
static uint8_t bytes[LEN], got[LEN];
static uint64_t id;

static void store(void)
{
	struct object *object;
	struct txn *txn = txn_begin(fix.pool);

	assert_int_equal(object_create(txn, "a", 1, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	id = object_id(object);
	bytes_fill_text(bytes, LEN, 1);
	for (uint32_t off = 0; off + 1400 < LEN; off += 4096) /* frames beyond 64 KiB */
		bytes_fill_random(bytes + off, 1400, off);
	bytes_fill_random(bytes + LEN / 2, 300u << 10, 2); /* some blocks as they are */
	for (uint32_t off = 0; off < LEN; off += 1u << 20)
		assert_int_equal(object_write(object, bytes + off,
					      LEN - off < 1u << 20 ? LEN - off : 1u << 20, off),
				 0);
	object_put(object);
	assert_int_equal(pool_sync(fix.pool), 0);
}

static int setup(void **state)
{
	(void)state;
	log_capture();
	fix_pool_new(&fix, RAM, false);
	store();
	fix_pool_close(&fix);
	fix_pool_open(&fix);
	return 0;
}

static int setup_mirrored(void **state)
{
	(void)state;
	log_capture();
	fix_pool_small_mirrored(&fix);
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
	store();
	fix_pool_close(&fix);
	fix_pool_open(&fix);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fix_pool_free(&fix);
	log_release();
	return 0;
}

static int read_at(uint32_t off, uint32_t len)
{
	struct object *object;
	size_t n = 0;
	int rc;

	assert_int_equal(object_get(fix.pool, id, &object), 0);
	memset(got, 0x55, len);
	rc = object_read(object, got, len, off, &n);
	object_put(object);
	if (rc == 0) {
		assert_int_equal(n, LEN - off < len ? LEN - off : len);
		assert_memory_equal(got, bytes + off, n);
	}
	return rc;
}

static void read_whole(uint32_t step)
{
	for (uint32_t off = 0; off < LEN; off += step)
		assert_int_equal(read_at(off, step), 0);
}

static struct blockcache_stats cache_stats(void)
{
	struct blockcache_stats stats;

	blockcache_stats(fix.pool->cache, &stats);
	return stats;
}

/* The frame that holds the byte, and its segment's file. */
static uint64_t frame_at(uint64_t off, struct frame_record *record, int *fd)
{
	struct extent_list list = {0};
	struct object *object;
	char path[256];
	uint64_t frame;

	assert_int_equal(object_get(fix.pool, id, &object), 0);
	assert_int_equal(extmap_list(object, off, off + 1, 1, &list), 0);
	assert_int_equal(list.count, 1);
	frame = list.items[0].frame;
	assert_int_equal(frame_record_get(fix.pool, frame, record), 0);
	extent_list_release(&list);
	object_put(object);
	assert_int_equal(
		segment_file_path(path, sizeof(path),
				  tier_place_path(fix.pool->tiers[SSD].tier, record->place),
				  record->segment),
		0);
	*fd = open(path, O_RDWR);
	assert_true(*fd >= 0);
	return frame;
}

static void test_first_time_past_memory(void **state)
{
	uint32_t blocks = (LEN + BLOCK - 1) / BLOCK;
	struct blockcache_stats stats;

	(void)state;
	read_whole(1u << 20);
	stats = cache_stats();
	/* the last frame is too small a read for a stream */
	assert_true(stats.blocks <= 2);
	assert_int_equal(fix.pool->ram_misses, blocks);
	assert_int_equal(fix.pool->ram_hits, 0);
	read_whole(1u << 20);
	assert_true(cache_stats().blocks >= blocks);
	assert_true(fix.pool->ram_misses >= 2 * blocks - 2);
	read_whole(1u << 20);
	assert_true(fix.pool->ram_hits >= blocks);
	assert_true(fix.pool->ram_misses <= 2 * blocks);
}

/* What is in memory is taken from there, and what was read in part, too. */
static void test_beside_what_is_there(void **state)
{
	uint64_t misses;

	(void)state;
	assert_int_equal(read_at(5 * BLOCK + 7, 100), 0);
	assert_int_equal(read_at(17 * BLOCK, BLOCK), 0);
	misses = fix.pool->ram_misses;
	assert_int_equal(read_at(0, 1u << 20), 0);
	assert_int_equal(fix.pool->ram_misses - misses, (1u << 20) / BLOCK - 2);
}

static void drop_pages(int fd)
{
	assert_int_equal(fdatasync(fd), 0);
	assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
}

static long blocks_from_disk(void)
{
	struct rusage usage;

	assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
	return usage.ru_inblock;
}

static void test_round_the_page_cache(void **state)
{
	struct frame_record record;
	unsigned asked = 0;
	int fd;

	(void)state;
	frame_at(0, &record, &fd);
	if (!(fix.pool->tiers[SSD].tier->caps & TIER_CAP_DIRECT) ||
	    !bulkio_cached(fd, record.stored_len, record.off)) {
		close(fd); /* the folder's medium, or the kernel, is not for this */
		skip();
	}
	/* What the page cache has is not asked of the medium; a page of this program may be. */
	for (uint32_t off = 1u << 20; off < 3u << 20; off += 1u << 20) {
		long before = blocks_from_disk();

		assert_int_equal(read_at(off, 1u << 20), 0);
		asked += blocks_from_disk() != before;
	}
	assert_true(asked < 2);
	drop_pages(fd);
	assert_int_equal(read_at(0, 1u << 20), 0);
	assert_false(bulkio_cached(fd, record.stored_len, record.off));
	assert_int_equal(read_at(0, 1u << 20), 0); /* again: into memory, as small reads are */
	assert_true(bulkio_cached(fd, record.stored_len, record.off));
	close(fd);
}

static void test_any_range(void **state)
{
	uint64_t seed = 7;

	(void)state;
	for (unsigned i = 0; i < 120; i++) {
		uint32_t off = (uint32_t)(bytes_random(&seed) % LEN);
		uint32_t len = (uint32_t)(bytes_random(&seed) % (LEN - off)) + 1;

		if (i % 2) /* as the kernel asks */
			off = off / 4096 * 4096;
		if (i % 3 == 0)
			blockcache_drop_all(fix.pool->cache);
		assert_int_equal(read_at(off, len), 0);
	}
}

static void flip(int fd, uint64_t off)
{
	uint8_t byte;

	assert_int_equal(pread(fd, &byte, 1, (off_t)off), 1);
	byte ^= 4;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)off), 1);
	drop_pages(fd);
}

static struct damaged found;
static unsigned nfound;

static int each_damaged(void *arg, const struct damaged *damaged)
{
	(void)arg;
	found = *damaged;
	nfound++;
	return 0;
}

/* Of one block in the middle: EIO for reads that want it, and for no other. */
static void test_damage(void **state)
{
	struct frame_record record;
	uint64_t frame;
	int fd;

	(void)state;
	frame = frame_at(256u << 10, &record, &fd);
	assert_int_equal(record.raw_len, 4 * BLOCK);
	flip(fd, record.off + record.stored_len - 9); /* in its last block */
	close(fd);
	assert_int_equal(read_at(0, 1u << 20), -EIO);
	assert_int_equal(read_at(384u << 10, 640u << 10), 0);
	assert_int_equal(read_at(0, 256u << 10), 0);
	assert_int_equal(read_at(256u << 10, 3 * BLOCK), 0);
	assert_int_equal(read_at(1u << 20, 1u << 20), 0);
	nfound = 0;
	assert_int_equal(pool_damaged(fix.pool, each_damaged, NULL), 0);
	assert_int_equal(nfound, 1);
	assert_int_equal(found.damage.frame, frame);
	assert_int_equal(found.damage.off, 3 * BLOCK);
	assert_int_equal(found.damage.len, BLOCK);
}

/* Another frame's sound bytes in the place of a frame. */
static void test_wrong_frame(void **state)
{
	struct frame_record one, two;
	uint8_t *stored = malloc(1u << 20);
	int fd, fd2;

	(void)state;
	assert_non_null(stored);
	frame_at(0, &one, &fd);
	frame_at(128u << 10, &two, &fd2);
	assert_int_equal(pread(fd2, stored, two.stored_len, two.off), two.stored_len);
	assert_int_equal(pwrite(fd, stored, two.stored_len, one.off), two.stored_len);
	drop_pages(fd);
	assert_int_equal(read_at(0, 512u << 10), -EIO);
	close(fd);
	close(fd2);
	free(stored);
}

static void test_other_copy(void **state)
{
	struct copies_stats stats;
	struct frame_record record;
	int fd;

	(void)state;
	for (uint64_t off = 0; off < LEN; off += 300u << 10) {
		frame_at(off, &record, &fd);
		flip(fd, record.off + record.stored_len - 9);
		close(fd);
	}
	read_whole(1u << 20);
	pool_copies(fix.pool, &stats);
	assert_true(stats.fallbacks > 0);
	assert_int_equal(stats.bad, stats.fallbacks);
}

static const struct tier_ops *real;
static struct {
	struct tier_ops ops;
	unsigned reads, aheads;
	uint64_t from, end; /* of the last ahead */
} seen;

static int seen_read(struct tier *tier, struct tier_segment seg, void *buf, size_t len,
		     uint64_t off, enum tier_hint hint)
{
	seen.reads++;
	return real->read(tier, seg, buf, len, off, hint);
}

static void seen_ahead(struct tier *tier, struct tier_segment seg, size_t len, uint64_t off)
{
	assert_int_equal(seen.reads, 0);
	seen.aheads++;
	seen.from = off;
	seen.end = off + len;
	real->ahead(tier, seg, len, off);
}

/* One block of a frame that nobody knows: the medium hears of it before the header is read. */
static void ahead_of(uint32_t off)
{
	uint32_t index = off % (4 * BLOCK) / BLOCK;
	struct frame_record record;
	struct frame_header header;
	const struct frame_block *block;
	uint8_t *stored = malloc(1u << 20);
	int fd;

	assert_non_null(stored);
	frame_at(off, &record, &fd);
	assert_int_equal(pread(fd, stored, record.stored_len, record.off), record.stored_len);
	close(fd);
	assert_int_equal(frame_header_parse(stored, record.stored_len, &header), 0);
	block = &header.blocks[index];
	seen.reads = seen.aheads = 0;
	assert_int_equal(read_at(off, 4096), 0);
	assert_int_equal(seen.aheads, 1);
	assert_int_equal(seen.reads, 2);
	assert_true(seen.from <= record.off + block->stored_off);
	assert_true(seen.end >= record.off + block->stored_off + block->stored_len);
	assert_true(seen.end - seen.from <= 2 * (uint64_t)block->stored_len);
	assert_true(seen.from >= record.off && seen.end <= record.off + record.stored_len);
	seen.reads = 0; /* the header is known now */
	assert_int_equal(read_at((off / (4 * BLOCK) * 4 + (index + 1) % 4) * BLOCK, 4096), 0);
	assert_int_equal(seen.aheads, 1);
	assert_int_equal(seen.reads, 1);
	frame_header_release(&header);
	free(stored);
}

static void test_block_with_its_header(void **state)
{
	struct tier *tier = fix.pool->tiers[SSD].tier;

	(void)state;
	real = tier->ops;
	seen.ops = *real;
	seen.ops.read = seen_read;
	seen.ops.ahead = seen_ahead;
	tier->ops = &seen.ops;
	for (uint32_t i = 0; i < 8; i++)
		ahead_of((i * 4 + i % 4) * BLOCK + 4096);
	tier->ops = real;
}

static void *reader(void *arg)
{
	uint32_t step = *(const uint32_t *)arg;
	uint8_t *buf = malloc(step);
	struct object *object;
	size_t n, wrong = 0;

	if (!buf || object_get(fix.pool, id, &object))
		return "cannot begin";
	for (uint32_t off = 0; off < LEN; off += step)
		wrong += object_read(object, buf, step, off, &n) || memcmp(buf, bytes + off, n);
	object_put(object);
	free(buf);
	return wrong ? "wrong bytes" : NULL;
}

static void test_many_readers(void **state)
{
	static uint32_t steps[] = {1u << 20, 512u << 10, 1u << 20, 100000, 2u << 20, 256u << 10};
	enum { N = sizeof(steps) / sizeof(steps[0]) };
	pthread_t threads[N];

	(void)state;
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, reader, &steps[i]), 0);
	for (unsigned i = 0; i < N; i++) {
		void *what;

		pthread_join(threads[i], &what);
		assert_null(what);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_first_time_past_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_beside_what_is_there, setup, teardown),
		cmocka_unit_test_setup_teardown(test_round_the_page_cache, setup, teardown),
		cmocka_unit_test_setup_teardown(test_any_range, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_frame, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_copy, setup_mirrored, teardown),
		cmocka_unit_test_setup_teardown(test_block_with_its_header, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_readers, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
