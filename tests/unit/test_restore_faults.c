// SPDX-License-Identifier: Apache-2.0
/*
 * Every call and every allocation of a restore and of an export fails, and the power goes at every
 * call of a restore: what was cut short is made again by the same command, and then all is there
 * that the media could give.
 *
 * Loops step by TERRACE_STEP calls (1: all of them); by default by a few, from a random one.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fix_alloc.h"
#include "tests/unit/fix_cut.h"
#include "tests/unit/fix_fault.h"
#include "tests/unit/fix_place.h"
#include "tests/unit/fix_pool.h"
#include "tiers/copier.h"
#include "tiers/io.h"
#include "tiers/meta_restore.h"
#include "tiers/pool_impl.h"
#include "tiers/salvage.h"

#define OBJECTS 5u
#define UNKNOWN 8u
#define LEN	40000u

static struct fix_pool fix;
static struct dice dice;
static uint64_t ids[OBJECTS];
static char kept[64]; /* the pool as it is before each run: its metadata damaged */
static bool lost[OBJECTS];
static uint64_t stride;
static unsigned long runs;

static void content(uint8_t *buf, size_t len, uint64_t id)
{
	uint64_t x = id;

	for (size_t i = 0; i < len; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		buf[i] = (uint8_t)(x >> 56);
	}
}

/* Trees of files ---------------------------------------------------------------------------------
 */

static const char *copy_from, *copy_to;

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
	(void)st;
	(void)what;
	(void)ftw;
	return remove(path);
}

static void remove_tree(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* With its holes. */
static void copy_file(const char *from, const char *to, off_t len)
{
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_EXCL, 0600);
	off_t at = 0, end;
	char buf[65536];

	assert_true(in >= 0 && out >= 0);
	assert_int_equal(ftruncate(out, len), 0);
	while ((at = lseek(in, at, SEEK_DATA)) >= 0) {
		end = lseek(in, at, SEEK_HOLE);
		while (at < end) {
			size_t n =
				(size_t)(end - at) < sizeof(buf) ? (size_t)(end - at) : sizeof(buf);

			assert_int_equal(pread(in, buf, n, at), n);
			assert_int_equal(pwrite(out, buf, n, at), n);
			at += (off_t)n;
		}
	}
	close(in);
	close(out);
}

static int copy_one(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
	char to[256];

	(void)ftw;
	snprintf(to, sizeof(to), "%s%s", copy_to, path + strlen(copy_from));
	if (what == FTW_D)
		return mkdir(to, 0700) < 0 && errno != EEXIST ? -1 : 0;
	copy_file(path, to, st->st_size);
	return 0;
}

static void copy_tree(const char *from, const char *to)
{
	copy_from = from;
	copy_to = to;
	assert_int_equal(nftw(from, copy_one, 16, FTW_PHYS), 0);
}

static void back(void)
{
	runs++;
	remove_tree(fix.dir);
	copy_tree(kept, fix.dir);
}

/* The pool --------------------------------------------------------------------------------------
 */

static uint64_t make(void)
{
	struct txn *txn = txn_begin(fix.pool);
	struct object *object;
	uint8_t buf[LEN];
	uint64_t id;

	assert_int_equal(object_create(txn, "attr", 4, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	id = object_id(object);
	content(buf, sizeof(buf), id);
	assert_int_equal(object_write(object, buf, sizeof(buf), 0), 0);
	object_put(object);
	return id;
}

static void settle(void)
{
	assert_int_equal(pool_sync(fix.pool), 0);
	assert_int_equal(pool_cut(fix.pool), 0);
	pool_reclaim(fix.pool);
}

/* Segments in a folder of the fast tier's directory. */
static unsigned segments_in(const char *folder)
{
	char path[128];
	DIR *stream;
	unsigned n = 0;

	snprintf(path, sizeof(path), "%s/ssd/%s", fix.dir, folder);
	stream = opendir(path);
	while (stream && (errno = 0, readdir(stream)))
		n++;
	if (stream)
		closedir(stream);
	return n > 2 ? n - 2 : 0;
}

/* A copy, moves after it, objects made after it that fill a segment, and the metadata damaged. One
 * segment lies in segments.newer. */
static int begin(void **state)
{
	const char *step = getenv("TERRACE_STEP");
	char path[128], to[128];

	(void)state;
	quiet_begin();
	dice_init(&dice, "restore faults");
	stride = step ? strtoull(step, NULL, 10) : 50;
	fix_pool_small(&fix);
	fix.config.metadata_copies = 2;
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
	for (unsigned i = 0; i < OBJECTS; i++)
		ids[i] = make();
	settle();
	copier_last(fix.pool);
	assert_int_equal(pool_move(fix.pool, ids, OBJECTS - 1, 2, NULL), 0);
	for (unsigned i = 0; i < UNKNOWN; i++)
		make();
	settle();
	pool_abandon(fix.pool);
	fix.pool = NULL;
	snprintf(path, sizeof(path), "%s/meta/metadata.mdb", fix.dir);
	place_write(path, (const uint8_t *)"damaged", 7);
	snprintf(path, sizeof(path), "%s/hdd/segments.newer", fix.dir);
	assert_int_equal(mkdir(path, 0700), 0);
	for (unsigned id = 0; id < 256; id++) {
		snprintf(path, sizeof(path), "%s/hdd/segments/%02x/%016x.seg", fix.dir, id, id);
		snprintf(to, sizeof(to), "%s/hdd/segments.newer/%016x.seg", fix.dir, id);
		rename(path, to);
	}
	strcpy(kept, "/dev/shm/terrace-kept-XXXXXX");
	assert_non_null(mkdtemp(kept));
	copy_tree(fix.dir, kept);
	return 0;
}

static int end(void **state)
{
	(void)state;
	io_ops_set(NULL);
	quiet_end();
	print_message("%lu runs\n", runs);
	fix_pool_free(&fix);
	remove_tree(kept);
	return 0;
}

static void each(void *arg, struct meta *meta, uint64_t object, uint64_t bytes, uint64_t newer)
{
	(void)arg;
	(void)meta;
	(void)newer;
	for (unsigned i = 0; i < OBJECTS && bytes; i++)
		lost[i] = lost[i] || ids[i] == object;
}

static int restore(void)
{
	struct restore_options options = {.config = &fix.config, .each = each};
	struct restore_result *result = calloc(1, sizeof(*result));
	int rc = result ? meta_restore(&options, result) : -ENOMEM;

	free(result);
	return rc;
}

/* All bytes are right, or were said to be lost. */
static void verify(void)
{
	uint8_t want[LEN], buf[LEN];

	fix_pool_open(&fix);
	fix_pool_verify(&fix);
	for (unsigned i = 0; i < OBJECTS; i++) {
		struct object *object;
		size_t got;
		int rc;

		content(want, sizeof(want), ids[i]);
		assert_int_equal(object_get(fix.pool, ids[i], &object), 0);
		rc = object_read(object, buf, sizeof(buf), 0, &got);
		object_put(object);
		if (rc < 0) {
			assert_true(lost[i]);
			continue;
		}
		assert_int_equal(got, sizeof(buf));
		assert_memory_equal(buf, want, sizeof(buf));
	}
	pool_abandon(fix.pool);
	fix.pool = NULL;
}

/* After a run that ended with rc. */
static void again(int rc)
{
	if (rc < 0) {
		memset(lost, 0, sizeof(lost));
		rc = restore();
		assert_true(rc == 0 || rc == -EALREADY);
	}
	verify();
}

static uint64_t first(void)
{
	return 1 + dice_roll(&dice, stride);
}

static unsigned naside;

static void test_untouched(void **state)
{
	(void)state;
	back();
	memset(lost, 0, sizeof(lost));
	assert_int_equal(restore(), 0);
	naside = segments_in("segments.newer");
	assert_true(naside > 0);
	verify();
	for (unsigned i = 0; i < OBJECTS; i++)
		assert_false(lost[i]);
	assert_int_equal(segments_in("segments.newer"), naside);
}

static void test_faults(void **state)
{
	static const enum fault_kind kinds[] = {FAULT_EIO, FAULT_ENOSPC, FAULT_SHORT, FAULT_EINTR};
	int fds = fault_open_fds();

	(void)state;
	for (unsigned kind = 0; kind < 8; kind++) {
		for (uint64_t n = first();; n += stride) {
			uint64_t failed;
			int rc;

			back();
			memset(lost, 0, sizeof(lost));
			fault_arm(FAULT_ALL, n, kinds[kind / 2], kind & 1);
			rc = restore();
			failed = fault_disarm();
			assert_int_equal(fault_open_fds(), fds);
			if (kinds[kind / 2] >= FAULT_SHORT)
				assert_int_equal(rc, 0);
			again(rc);
			if (!failed)
				break;
		}
	}
}

static void test_power(void **state)
{
	static const enum cut_kind kinds[] = {CUT_KEPT, CUT_LOST, CUT_TORN};

	(void)state;
	for (unsigned kind = 0; kind < 3; kind++) {
		for (uint64_t n = first();; n += stride) {
			bool cut;
			int rc;

			back();
			memset(lost, 0, sizeof(lost));
			cut_arm(fix.dir, n, n);
			rc = restore();
			cut = cut_apply(kinds[kind]);
			again(cut ? -EIO : rc);
			/* Where they were, a mount removes them. */
			assert_int_equal(segments_in("segments.newer"), naside);
			for (unsigned i = 0; i < OBJECTS; i++)
				assert_false(lost[i]);
			if (!cut)
				break;
		}
	}
}

static void test_allocations(void **state)
{
	(void)state;
	if (!ALLOC_FAULTS)
		skip();
	for (unsigned persistent = 0; persistent < 2; persistent++) {
		for (unsigned long n = first();; n += stride * 7) {
			int rc;

			back();
			memset(lost, 0, sizeof(lost));
			alloc_persistent = persistent;
			alloc_countdown = n;
			alloc_failed = 0;
			alloc_live = 0;
			alloc_armed = true;
			rc = restore();
			alloc_armed = false;
			assert_int_equal(alloc_live, 0);
			for (unsigned i = 0; i < OBJECTS; i++)
				assert_false(lost[i]); /* no memory is no loss */
			again(rc);
			if (!alloc_failed)
				break;
		}
	}
}

/* Reading what is left --------------------------------------------------------------------------
 */

struct read {
	uint64_t object;
	unsigned wrong, right;
};

static int read_begin(void *arg, uint64_t object)
{
	((struct read *)arg)->object = object;
	return 0;
}

static int read_put(void *arg, uint64_t off, const void *data, size_t len)
{
	struct read *read = arg;
	uint8_t want[LEN];
	bool known = false;

	for (unsigned i = 0; i < OBJECTS; i++)
		known |= ids[i] == read->object;
	if (!known) /* made after the copy */
		return 0;
	content(want, sizeof(want), read->object);
	if (off + len > LEN || memcmp(want + off, data, len) != 0)
		read->wrong++;
	read->right += (unsigned)len;
	return 0;
}

static void read_lost(void *arg, uint64_t off, uint64_t len)
{
	(void)arg;
	(void)off;
	(void)len;
}

static int export_all(struct read *read)
{
	struct salvage_sink sink = {read_put, read_lost, read};
	struct salvage_source *source = calloc(1, sizeof(*source));
	struct salvage *salvage;
	uint64_t size;
	char work[96];
	int rc;

	runs++;
	*read = (struct read){.object = 0};
	snprintf(work, sizeof(work), "%s/work", fix.ram);
	mkdir(work, 0700);
	rc = source ? salvage_open(&salvage, &fix.config, work, source) : -ENOMEM;
	if (rc == 0) {
		if (source->none)
			rc = salvage_each(salvage, read_begin, &sink);
		for (unsigned i = 0; i < OBJECTS && rc == 0 && !source->none; i++) {
			read->object = ids[i];
			rc = salvage_data(salvage, ids[i], &sink, &size);
		}
		salvage_close(salvage);
	}
	free(source);
	remove_tree(work);
	return rc;
}

static void test_export(void **state)
{
	static const enum fault_kind kinds[] = {FAULT_EIO, FAULT_ENOSPC, FAULT_SHORT, FAULT_EINTR};
	int fds = fault_open_fds();
	struct read read;
	uint64_t size;
	char path[96];

	(void)state;
	back();
	for (unsigned copies = 2; copies-- > 0;) {
		assert_int_equal(export_all(&read), 0);
		assert_int_equal(read.right, OBJECTS * LEN);
		assert_int_equal(read.wrong, 0);
		for (unsigned kind = 0; kind < 8; kind++) {
			for (uint64_t n = first();; n += stride) {
				uint64_t failed;
				int rc;

				fault_arm(FAULT_ALL, n, kinds[kind / 2], kind & 1);
				rc = export_all(&read);
				failed = fault_disarm();
				assert_int_equal(fault_open_fds(), fds);
				assert_int_equal(read.wrong, 0);
				if (kinds[kind / 2] >= FAULT_SHORT || !failed) {
					assert_int_equal(rc, 0);
					assert_int_equal(read.right, OBJECTS * LEN);
				}
				if (!failed)
					break;
			}
		}
		if (!copies)
			break;
		snprintf(path, sizeof(path), "%s/ssd/metadata", fix.dir);
		remove_tree(path);
		snprintf(path, sizeof(path), "%s/hdd/metadata", fix.dir);
		remove_tree(path);
	}
	/* Nothing of the pool has changed. */
	snprintf(path, sizeof(path), "%s/hdd/segments.newer", fix.dir);
	assert_int_equal(access(path, F_OK), 0);
	snprintf(path, sizeof(path), "%s/meta/metadata.mdb", fix.dir);
	free(place_read(path, &size));
	assert_int_equal(size, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_untouched), cmocka_unit_test(test_faults),
		cmocka_unit_test(test_power),	  cmocka_unit_test(test_allocations),
		cmocka_unit_test(test_export),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
