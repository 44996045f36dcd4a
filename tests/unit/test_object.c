// SPDX-License-Identifier: Apache-2.0
/*
 * Objects one by one (tiers/object.h): what is refused, and how; holes; objects of many extents,
 * which are cut, cloned and deleted in several transactions; and each operation with every
 * allocation of it failing: it has been done or not, nothing in between. And which stay in memory.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fix_alloc.h"
#include "tests/unit/fix_bytes.h"
#include "tests/unit/fix_dir.h"
#include "tests/unit/fix_pool.h"
#include "tiers/extmap.h"
#include "tiers/flush.h"
#include "tiers/object.h"
#include "tiers/plain.h"
#include "tiers/pool_impl.h"
#include "tiers/ramlog.h"

#define PIECE  64u
#define STRIDE 4096u
#define MANY   1300u /* extents: more than two transactions take */
#define BYTES  (MANY * STRIDE)

static struct fix_pool fix;
static uint8_t want[BYTES], got[BYTES]; /* an object's content */

static int setup(void **state)
{
	(void)state;
	log_capture();
	fix_pool_small(&fix);
	assert_int_equal(pool_create(&fix.config), 0);
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

static struct object *object_make(void)
{
	struct txn *txn = txn_begin(fix.pool);
	struct object *object;

	assert_int_equal(object_create(txn, "attr", 4, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	return object;
}

static int delete (struct object *object)
{
	struct txn *txn = txn_begin(fix.pool);

	object_delete(txn, object);
	return txn_commit(txn);
}

static void expect(struct object *object, const uint8_t *bytes, size_t len)
{
	size_t n;

	assert_int_equal(object_size(object), len);
	assert_int_equal(object_read(object, got, sizeof(got), 0, &n), 0);
	assert_int_equal(n, len);
	assert_memory_equal(got, bytes, len);
}

static unsigned extents_of(struct object *object)
{
	struct extent_list list = {0};
	unsigned n;

	assert_int_equal(extmap_list(object, 0, UINT64_MAX, SIZE_MAX, &list), 0);
	n = (unsigned)list.count;
	extent_list_release(&list);
	return n;
}

/* Pieces with holes between them, each an extent of its own; `want` is its content. */
static struct object *scattered(unsigned n)
{
	struct object *object = object_make();

	memset(want, 0, sizeof(want));
	for (unsigned i = 0; i < n; i++) {
		bytes_fill_random(want + i * STRIDE, PIECE, i + 1);
		assert_int_equal(object_write(object, want + i * STRIDE, PIECE, i * STRIDE), 0);
	}
	assert_int_equal(object_truncate(object, n * STRIDE), 0);
	assert_int_equal(object_sync(object), 0);
	assert_int_equal(extents_of(object), n);
	return object;
}

/* Refused ----------------------------------------------------------------------------------------
 */

static void test_refused(void **state)
{
	static uint8_t big[RAMLOG_RECORD_MAX + 1];
	struct object *object = scattered(4), *other = object_make();
	uint64_t at = 7, done = 7;
	struct txn *txn;

	(void)state;
	assert_int_equal(object_write(object, big, 0, 0), 0);
	assert_int_equal(object_write(object, big, sizeof(big), 0), -EINVAL);
	assert_int_equal(object_write(object, big, 1, OBJECT_SIZE_MAX), -EFBIG);
	assert_int_equal(object_write(object, big, 1, UINT64_MAX), -EFBIG);
	assert_int_equal(object_truncate(object, OBJECT_SIZE_MAX + UINT64_C(1)), -EFBIG);
	assert_int_equal(object_punch(object, 0, 0), -EINVAL);
	assert_int_equal(object_punch(object, 1, UINT64_MAX), -EINVAL);
	assert_int_equal(object_punch(object, OBJECT_SIZE_MAX, 1), -EINVAL);
	assert_int_equal(object_allocate(object, OBJECT_SIZE_MAX, 1, true), -EFBIG);
	assert_int_equal(object_allocate(object, 1, UINT64_MAX, true), -EFBIG);
	assert_int_equal(object_allocate(object, 1ull << 40, 0, false), -ENOSPC);
	assert_int_equal(object_seek(object, 0, SEEK_SET, &at), -EINVAL);
	assert_int_equal(object_seek(object, 4 * STRIDE, SEEK_HOLE, &at), -ENXIO);
	assert_int_equal(object_clone(object, 0, object, STRIDE, 2 * STRIDE, &done), -EINVAL);
	assert_int_equal(object_clone(object, 0, other, OBJECT_SIZE_MAX, STRIDE, &done), -EFBIG);
	assert_int_equal(object_clone(object, 4 * STRIDE, other, 0, 1, &done), 0);
	assert_int_equal(done, 0);
	assert_int_equal(object_clone(object, 0, other, 0, 0, &done), 0);
	assert_int_equal(done, 0);
	txn = txn_begin(fix.pool);
	assert_int_equal(object_attr_set(txn, object, big, OBJECT_ATTR_MAX + 1, INT64_MAX),
			 -EINVAL);
	assert_int_equal(txn_commit(txn), -EINVAL);
	object_put(other);
	txn = txn_begin(fix.pool);
	assert_int_equal(object_create(txn, big, OBJECT_ATTR_MAX + 1, &other), -EINVAL);
	assert_null(other);
	assert_int_equal(txn_commit(txn), -EINVAL);
	expect(object, want, 4 * STRIDE);
	object_put(object);
	fix_pool_verify(&fix);
}

/* At the end of what there can be, an append is told so, and nothing is written. */
static void test_largest(void **state)
{
	struct object *object = object_make();
	struct pool_usage before, after;
	uint64_t at;

	(void)state;
	assert_int_equal(object_truncate(object, OBJECT_SIZE_MAX - 1), 0);
	pool_usage(fix.pool, &before);
	assert_int_equal(object_append(object, "ab", 2, &at), -EFBIG);
	pool_usage(fix.pool, &after);
	assert_int_equal(before.tiers[0].live, after.tiers[0].live);
	assert_int_equal(object_append(object, "a", 1, &at), 0);
	assert_int_equal(at, OBJECT_SIZE_MAX - 1);
	assert_int_equal(object_append(object, "b", 1, &at), -EFBIG);
	assert_int_equal(object_size(object), OBJECT_SIZE_MAX);
	object_put(object);
}

/* Who still has a deleted object can do nothing to it. */
static void test_deleted(void **state)
{
	struct object *object = scattered(4), *again;
	uint64_t id = object_id(object), at;
	char byte;
	size_t n;

	(void)state;
	assert_int_equal(delete (object), 0);
	assert_int_equal(object_get(fix.pool, id, &again), -ENOENT);
	assert_null(again);
	assert_int_equal(object_write(object, "a", 1, 0), -ENOENT);
	assert_int_equal(object_append(object, "a", 1, &at), -ENOENT);
	assert_int_equal(object_truncate(object, 0), -ENOENT);
	assert_int_equal(object_punch(object, 1, 0), -ENOENT);
	assert_int_equal(pool_sync(fix.pool), 0);
	(void)object_read(object, &byte, 1, 0, &n);
	object_put(object);
	assert_string_equal(log_captured(), "");
	fix_pool_verify(&fix);
}

static void test_attributes(void **state)
{
	struct object *object = object_make();
	struct txn *txn = txn_begin(fix.pool);
	char attr[8] = "";

	(void)state;
	assert_int_equal(object_attr_set(txn, object, "staged", 6, INT64_MAX), 0);
	/* Who staged it sees it; with less room than it takes, its beginning. */
	assert_int_equal(object_attr(object, attr, sizeof(attr)), 6);
	assert_string_equal(attr, "staged");
	assert_int_equal(object_attr(object, attr, 2), 6);
	txn_abort(txn);
	assert_int_equal(object_attr(object, attr, sizeof(attr)), 4);
	assert_int_equal(memcmp(attr, "attr", 4), 0);
	assert_true(object_settled(fix.pool, object_id(object)));
	assert_int_equal(object_write(object, "a", 1, 0), 0);
	assert_false(object_settled(fix.pool, object_id(object)));
	assert_int_equal(pool_sync(fix.pool), 0);
	assert_true(object_settled(fix.pool, object_id(object)));
	object_put(object);
	assert_true(object_settled(fix.pool, 999999));
}

/* Holes ------------------------------------------------------------------------------------------
 */

static void expect_seek(struct object *object, uint64_t off, int whence, uint64_t found)
{
	uint64_t at;

	assert_int_equal(object_seek(object, off, whence, &at), 0);
	assert_int_equal(at, found);
}

/* In frames, in the log, and where the one goes on where the other ends. */
static void test_holes(void **state)
{
	struct object *object = scattered(3);
	uint64_t at;

	(void)state;
	expect_seek(object, 0, SEEK_DATA, 0);
	expect_seek(object, 10, SEEK_DATA, 10);
	expect_seek(object, PIECE, SEEK_DATA, STRIDE);
	expect_seek(object, 0, SEEK_HOLE, PIECE);
	expect_seek(object, PIECE, SEEK_HOLE, PIECE);
	expect_seek(object, STRIDE + 1, SEEK_HOLE, STRIDE + PIECE);
	assert_int_equal(object_seek(object, 2 * STRIDE + PIECE, SEEK_DATA, &at), -ENXIO);
	assert_int_equal(object_write(object, want, STRIDE - PIECE, PIECE), 0);
	expect_seek(object, 0, SEEK_HOLE, STRIDE + PIECE);
	expect_seek(object, PIECE + 5, SEEK_DATA, PIECE + 5);
	assert_int_equal(object_write(object, want, 10, 2 * STRIDE + 2 * PIECE), 0);
	expect_seek(object, 2 * STRIDE + PIECE, SEEK_DATA, 2 * STRIDE + 2 * PIECE);
	expect_seek(object, 2 * STRIDE + 2 * PIECE, SEEK_HOLE, 2 * STRIDE + 2 * PIECE + 10);
	/* Data up to the end: that counts as a hole. */
	assert_int_equal(object_truncate(object, STRIDE + 1), 0);
	expect_seek(object, 1, SEEK_HOLE, STRIDE + 1);
	object_put(object);
}

/* Many extents -----------------------------------------------------------------------------------
 */

static void test_cut_many(void **state)
{
	struct object *object = scattered(MANY);
	uint64_t id = object_id(object), at = 3 * STRIDE, len = (MANY - 100) * STRIDE;

	(void)state;
	assert_int_equal(object_punch(object, len, at), 0);
	memset(want + at, 0, len);
	expect(object, want, BYTES);
	assert_int_equal(extents_of(object), 100);
	fix_pool_verify(&fix);
	object_put(object);
	fix_pool_crash(&fix);
	assert_int_equal(object_get(fix.pool, id, &object), 0);
	expect(object, want, BYTES);
	object_put(object);
	object = scattered(MANY);
	assert_int_equal(object_truncate(object, 10), 0);
	expect(object, want, 10);
	assert_int_equal(object_truncate(object, BYTES), 0);
	memset(want + 10, 0, BYTES - 10);
	expect(object, want, BYTES);
	object_put(object);
	fix_pool_verify(&fix);
}

/* Where a cut does not get to its end, it has come from the back. */
static void test_cut_short(void **state)
{
	struct object *object;

	(void)state;
	if (!ALLOC_FAULTS)
		skip();
	object = scattered(MANY);
	for (unsigned long n = 1;; n += 7) {
		uint64_t before = object_size(object), size;
		size_t len;
		int rc;

		alloc_arm(n, true);
		rc = object_truncate(object, 10);
		if (!alloc_disarm())
			break;
		size = object_size(object);
		assert_int_equal(rc, -ENOMEM);
		assert_true(size <= before && size >= 10);
		assert_int_equal(object_read(object, got, sizeof(got), 0, &len), 0);
		assert_int_equal(len, size);
		assert_int_equal(memcmp(got, want, 10), 0);
		for (size_t i = 0; i < len; i++) /* a byte of it, or cut */
			assert_true(got[i] == want[i] || got[i] == 0);
	}
	expect(object, want, 10);
	object_put(object);
	fix_pool_verify(&fix);
}

/* Extents of the one go over extents of the other, as many as a transaction takes at a time. */
static void test_clone_many(void **state)
{
	struct object *to = scattered(MANY), *from;
	uint64_t at = 0, done, steps = 0;

	(void)state;
	assert_int_equal(object_write(to, "mine", 4, BYTES), 0);
	from = scattered(MANY); /* `want` is its content now; then it has another one in between */
	for (unsigned i = 0; i < MANY; i++) {
		bytes_fill_random(want + i * STRIDE + PIECE, PIECE, MANY + i);
		assert_int_equal(
			object_write(from, want + i * STRIDE + PIECE, PIECE, i * STRIDE + PIECE),
			0);
	}
	for (; at < BYTES; at += done) {
		assert_int_equal(object_clone(from, at, to, at, UINT64_MAX, &done), 0);
		assert_true(done > 0 && done <= BYTES - at);
		steps++;
	}
	assert_true(steps > 2);
	assert_int_equal(object_truncate(to, BYTES), 0);
	expect(to, want, BYTES);
	expect(from, want, BYTES);
	/* Within one object, shifted by half a piece. */
	assert_int_equal(object_clone(from, PIECE / 2, from, BYTES, 2 * STRIDE, &done), 0);
	assert_int_equal(done, 2 * STRIDE);
	assert_int_equal(object_read(from, got, 2 * STRIDE, BYTES, &at), 0);
	assert_memory_equal(got, want + PIECE / 2, 2 * STRIDE);
	fix_pool_verify(&fix);
	object_put(from);
	object_put(to);
}

static uint64_t frames_now(void)
{
	struct pool_usage usage;
	uint64_t frames = 0;

	pool_usage(fix.pool, &usage);
	for (uint32_t t = 1; t < usage.ntiers; t++)
		frames += usage.tiers[t].frames;
	return frames;
}

/* It is gone at once, and what it had in the background, or at the next open. */
static void test_delete_many(void **state)
{
	struct object *kept = scattered(4), *object;
	uint64_t frames = frames_now(), id;

	(void)state;
	object_put(kept);
	for (unsigned killed = 0; killed < 2; killed++) {
		object = scattered(MANY);
		id = object_id(object);
		assert_int_equal(delete (object), 0);
		object_put(object);
		assert_int_equal(object_get(fix.pool, id, &object), -ENOENT);
		assert_true(frames_now() > frames);
		if (killed)
			fix_pool_crash(&fix);
		pool_reap(fix.pool);
		assert_int_equal(frames_now(), frames);
		fix_pool_verify(&fix);
	}
}

/* The list of what is to be reaped may name what lives: its delete did not come to its end. */
static void test_reap_spares(void **state)
{
	struct object *object = scattered(100);

	(void)state;
	pthread_mutex_lock(&fix.pool->commit_lock);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(pool_reap_add(fix.pool, object_id(object)), 0);
	pthread_mutex_unlock(&fix.pool->commit_lock);
	pool_reap(fix.pool);
	assert_int_equal(fix.pool->nreap, 0);
	expect(object, want, 100 * STRIDE);
	object_put(object);
	fix_pool_verify(&fix);
}

/* Room -------------------------------------------------------------------------------------------
 */

/* The pool is full; a file is deleted, and the next write finds the room: nobody has to wait for
 * the background to give it back. */
static void test_delete_makes_room(void **state)
{
	static uint8_t noise[1 << 20];
	struct object *objects[40];
	unsigned n = 0;
	int rc = 0;

	(void)state;
	bytes_fill_random(noise, sizeof(noise), 1);
	while (rc == 0 && n < 40) {
		objects[n] = object_make();
		for (unsigned i = 0; rc == 0 && i < 16; i++) { /* in many extents */
			uint64_t at = i * 100000ull;

			rc = object_write(objects[n], noise + i * 4096, 61440, at);
			if (rc == 0)
				rc = object_sync(objects[n]);
		}
		n++;
	}
	assert_int_equal(rc, -ENOSPC);
	assert_true(n > 4);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(delete (objects[i]), 0);
		object_put(objects[i]);
	}
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(object_write(objects[3], noise, 61440, i * 61440), 0);
	assert_int_equal(object_allocate(objects[3], 61440, 0, true), 0);
	for (unsigned i = 3; i < n; i++)
		object_put(objects[i]);
}

/* No memory --------------------------------------------------------------------------------------
 */

#define SMALL (8 * STRIDE)

struct model {
	uint8_t bytes[2 * SMALL];
	size_t size;
};

static struct object *object, *other; /* that each is tried on, and what is cloned from */
static uint8_t filler[SMALL];

static int do_write(struct model *model)
{
	memcpy(model->bytes + 100, filler, STRIDE);
	return object_write(object, filler, STRIDE, 100);
}

static int do_append(struct model *model)
{
	uint64_t at;

	memcpy(model->bytes + model->size, filler, 500);
	model->size += 500;
	return object_append(object, filler, 500, &at);
}

static int do_shrink(struct model *model)
{
	memset(model->bytes + 5000, 0, model->size - 5000);
	model->size = 5000;
	return object_truncate(object, 5000);
}

static int do_grow(struct model *model)
{
	model->size += 3000;
	return object_truncate(object, model->size);
}

static int do_punch(struct model *model)
{
	memset(model->bytes + 10, 0, 3 * STRIDE);
	return object_punch(object, 3 * STRIDE, 10);
}

static int do_clone(struct model *model)
{
	uint64_t done;

	memcpy(model->bytes + STRIDE, filler + 100, 2 * STRIDE);
	return object_clone(other, 100, object, STRIDE, 2 * STRIDE, &done);
}

static int do_sync(struct model *model)
{
	(void)model;
	return object_sync(object);
}

static int do_seek(struct model *model)
{
	uint64_t at;
	int rc = object_seek(object, PIECE, SEEK_HOLE, &at);

	(void)model;
	return rc < 0 ? rc : object_seek(object, PIECE, SEEK_DATA, &at);
}

static int do_attr(struct model *model)
{
	struct txn *txn = txn_begin(fix.pool);

	(void)model;
	object_attr_set(txn, object, "other", 5, INT64_MAX);
	return txn_commit(txn);
}

static int do_create(struct model *model)
{
	struct txn *txn = txn_begin(fix.pool);
	struct object *fresh;
	int rc;

	(void)model;
	object_create(txn, "new", 3, &fresh);
	rc = txn_commit(txn);
	object_put(fresh);
	return rc;
}

static int do_delete(struct model *model)
{
	(void)model;
	return delete (object);
}

static int do_fetch(struct model *model)
{
	static uint8_t buf[STRIDE];
	size_t n;
	int rc = object_read(object, buf, sizeof(buf), 0, &n);

	if (rc == 0)
		assert_memory_equal(buf, model->bytes, n);
	return rc;
}

/* A file of some extents, and a range that is only in the log. */
static void begin(struct model *model)
{
	object = scattered(8);
	model->size = SMALL;
	memset(model->bytes, 0, sizeof(model->bytes));
	memcpy(model->bytes, want, SMALL);
	memcpy(model->bytes + 2000, filler, 700);
	assert_int_equal(object_write(object, filler, 700, 2000), 0);
}

static bool is(const struct model *model)
{
	size_t n;

	assert_int_equal(object_read(object, got, sizeof(got), 0, &n), 0);
	return object_size(object) == model->size && n == model->size &&
	       memcmp(got, model->bytes, n) == 0;
}

static void no_memory(const char *name, int (*run)(struct model *model))
{
	static struct model before, after;
	unsigned long failed = 1;

	for (unsigned long n = 1; failed; n++) {
		bool deleted = run == do_delete;
		int rc;

		begin(&before);
		after = before;
		alloc_arm((n + 1) / 2, n % 2);
		rc = run(&after);
		failed = alloc_disarm();
		if (rc != 0 && rc != -ENOMEM)
			fail_msg("%s, allocation %lu: %s", name, n, strerror(-rc));
		if (rc == 0 ? !deleted && !is(&after) : !is(&before) && !is(&after))
			fail_msg("%s, allocation %lu: neither done nor not", name, n);
		if (!failed)
			assert_int_equal(rc, 0);
		if (!deleted || rc < 0)
			assert_int_equal(delete (object), 0);
		object_put(object);
	}
}

static void test_no_memory(void **state)
{
	static const struct {
		const char *name;
		int (*run)(struct model *model);
	} all[] = {
		{"write", do_write},   {"append", do_append}, {"shrink", do_shrink},
		{"grow", do_grow},     {"punch", do_punch},   {"clone", do_clone},
		{"sync", do_sync},     {"seek", do_seek},     {"attr", do_attr},
		{"create", do_create}, {"delete", do_delete}, {"read", do_fetch},
	};

	(void)state;
	if (!ALLOC_FAULTS)
		skip();
	bytes_fill_random(filler, sizeof(filler), 77);
	other = object_make();
	assert_int_equal(object_write(other, filler, sizeof(filler), 0), 0);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		no_memory(all[i].name, all[i].run);
		fix_pool_verify(&fix);
	}
	object_put(other);
	assert_int_equal(pool_sync(fix.pool), 0);
	fix_pool_crash(&fix);
	fix_pool_verify(&fix);
	fix_pool_close(&fix);
	fix_pool_open(&fix);
	assert_int_equal(pool_sync(fix.pool), 0);
	fix_pool_verify_media(&fix, true);
}

static bool in_memory(uint64_t id)
{
	bool found;

	pthread_mutex_lock(&fix.pool->objects_lock);
	found = idmap_get(&fix.pool->objects, id) != NULL;
	pthread_mutex_unlock(&fix.pool->objects_lock);
	return found;
}

static uint64_t made_and_put(void)
{
	struct object *held = object_make();
	uint64_t id = object_id(held);

	object_put(held);
	return id;
}

/* What was put last stays in memory, and makes room for what is put after it; not while somebody
 * holds it. */
static void test_kept(void **state)
{
	uint64_t first = made_and_put(), id;
	struct object *held, *again;

	(void)state;
	assert_true(in_memory(first));
	for (unsigned i = 0; i < 2 * OBJECTS_KEPT; i++)
		id = made_and_put();
	assert_true(in_memory(id));
	assert_false(in_memory(first));
	assert_true(fix.pool->objects.count <= OBJECTS_KEPT);
	assert_int_equal(object_get(fix.pool, id, &held), 0);
	for (unsigned i = 0; i < 2 * OBJECTS_KEPT; i++)
		made_and_put();
	assert_int_equal(object_get(fix.pool, id, &again), 0);
	assert_ptr_equal(again, held);
	object_put(again);
	object_put(held);
	assert_true(in_memory(id));
	assert_true(fix.pool->objects.count <= OBJECTS_KEPT);
}

/* Deleted ones do not stay, nor those that never came to be, nor plain ones, whose file is then
 * synced and closed. */
static void test_not_kept(void **state)
{
	struct object *held = object_make();
	uint64_t id = object_id(held), never, plain = made_and_put();
	struct txn *txn;

	(void)state;
	object_put(held);
	assert_int_equal(object_get(fix.pool, id, &held), 0);
	assert_int_equal(delete (held), 0);
	object_put(held);
	assert_false(in_memory(id));
	assert_int_equal(object_get(fix.pool, id, &held), -ENOENT);

	txn = txn_begin(fix.pool);
	assert_int_equal(object_create(txn, "attr", 4, &held), 0);
	never = object_id(held);
	txn_abort(txn);
	object_put(held);
	assert_false(in_memory(never));
	assert_int_equal(object_get(fix.pool, never, &held), -ENOENT);

	assert_int_equal(object_get(fix.pool, plain, &held), 0);
	assert_int_equal(object_make_plain(held, 1, NULL), 0);
	object_put(held);
	assert_false(in_memory(plain));
}

static struct object *object_of_noise(unsigned seed)
{
	struct object *fresh = object_make();

	bytes_fill_random(want, 40000, seed);
	assert_int_equal(object_write(fresh, want, 40000, 0), 0);
	assert_int_equal(object_sync(fresh), 0);
	assert_int_equal(flush_object(fresh), 0);
	return fresh;
}

/* There is no memory to remember what a deletion lets go: while it is not durable, nobody gives it
 * back together with its neighbour. */
static void test_freed_without_memory(void **state)
{
	bool failed = ALLOC_FAULTS;
	struct txn *txn;

	(void)state;
	if (!ALLOC_FAULTS)
		skip();
	for (unsigned nth = 1; failed; nth++) {
		struct object *before = object_of_noise(1), *dead = object_of_noise(2),
			      *after = object_of_noise(3);
		uint64_t id = object_id(dead);

		assert_int_equal(delete (before), 0);
		assert_int_equal(pool_cut(fix.pool), 0);
		fix.pool->freed.cap = fix.pool->freed.count; /* so that it has to grow */
		txn = txn_begin(fix.pool);
		object_delete(txn, dead);
		alloc_arm(nth, false);
		(void)txn_commit(txn);
		failed = alloc_disarm();
		pool_reclaim(fix.pool);
		object_put(before);
		object_put(dead);
		object_put(after);
		fix_pool_power(&fix);
		assert_int_equal(object_get(fix.pool, id, &dead), 0);
		bytes_fill_random(want, 40000, 2);
		expect(dead, want, 40000);
		object_put(dead);
	}
}

/* A log full of others' writes has no room for the note of a clone: who asks is to copy, which
 * waits for room. */
static void test_clone_without_room(void **state)
{
	struct object *one = scattered(4), *two = object_make();
	struct ramlog_record records[32], note;
	uint64_t done = 7;
	unsigned n = 0;
	void *data;

	(void)state;
	while (n < 32 && ramlog_reserve(fix.pool->log, RAMLOG_WRITE, 999, 0, RAMLOG_RECORD_MAX, 1,
					&records[n], &data) == 0)
		ramlog_commit(fix.pool->log, &records[n++]);
	assert_in_range(n, 1, 31);
	while (ramlog_reserve(fix.pool->log, RAMLOG_SIZE, 999, 0, 0, 1, &note, &data) == 0)
		ramlog_cancel(fix.pool->log, &note);
	assert_int_equal(object_clone(one, 0, two, 0, 4 * STRIDE, &done), -EBUSY);
	assert_int_equal(object_size(two), 0);
	while (n--)
		ramlog_release(fix.pool->log, records[n].pos, records[n].len);
	assert_int_equal(object_clone(one, 0, two, 0, 4 * STRIDE, &done), 0);
	assert_int_equal(done, 4 * STRIDE);
	expect(two, want, 4 * STRIDE);
	object_put(one);
	object_put(two);
	fix_pool_verify(&fix);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_refused),
		TEST(test_largest),
		TEST(test_deleted),
		TEST(test_attributes),
		TEST(test_holes),
		TEST(test_cut_many),
		TEST(test_cut_short),
		TEST(test_clone_many),
		TEST(test_delete_many),
		TEST(test_reap_spares),
		TEST(test_delete_makes_room),
		TEST(test_kept),
		TEST(test_not_kept),
		TEST(test_no_memory),
		TEST(test_clone_without_room),
		TEST(test_freed_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
