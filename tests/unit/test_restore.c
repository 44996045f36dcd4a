// SPDX-License-Identifier: Apache-2.0
/*
 * The metadata from a copy that is older than the data. The oracle knows what each byte was at the
 * time of the copy and at every step since: what can be read afterwards is one of these, and what
 * was not changed is there, wherever it has been moved to meanwhile.
 */
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fix_place.h"
#include "tests/unit/fix_pool.h"
#include "tiers/check/check.h"
#include "tiers/copier.h"
#include "tiers/keys.h"
#include "tiers/meta.h"
#include "tiers/meta_restore.h"
#include "tiers/plain.h"
#include "tiers/plain_files.h"
#include "tiers/pool_impl.h"
#include "tiers/salvage.h"

#define OBJECTS	 8u
#define LEN_MAX	 150000u
#define STEP_MAX 48u
#define PIECE	 4096u

struct state {
	bool exists;
	size_t len;
	uint8_t bytes[LEN_MAX];
};

static struct fix_pool fix;
static struct dice dice;
static uint64_t ids[OBJECTS];
static struct state *history[STEP_MAX]; /* of all objects; [0] when the copy was made */
static unsigned steps;
static bool touched[OBJECTS]; /* changed since the copy, not only moved */
static unsigned stamp;
static bool told_lost[OBJECTS];

/* What happens ----------------------------------------------------------------------------------
 */

static struct object *get(unsigned i)
{
	struct object *object;

	assert_int_equal(object_get(fix.pool, ids[i], &object), 0);
	return object;
}

static void object_new(unsigned i)
{
	struct txn *txn = txn_begin(fix.pool);
	struct object *object;

	assert_int_equal(object_create(txn, "attr", 4, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	ids[i] = object_id(object);
	object_put(object);
	history[steps][i].exists = true;
	history[steps][i].len = 0;
}

static uint8_t mixed(uint64_t a, uint64_t b)
{
	uint64_t x = (a + (b << 32)) * 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9u;
	return (uint8_t)(x >> 40);
}

/* No two writes have the same bytes, and no two offsets. */
static void write_some(unsigned i, size_t off, size_t len)
{
	struct state *now = &history[steps][i];
	struct object *object = get(i);

	len = off + len > LEN_MAX ? LEN_MAX - off : len;
	if (off > now->len)
		memset(now->bytes + now->len, 0, off - now->len);
	stamp++;
	for (size_t k = 0; k < len; k++)
		now->bytes[off + k] = mixed(off + k, stamp * 256u + i);
	assert_int_equal(object_write(object, now->bytes + off, len, off), 0);
	now->len = off + len > now->len ? off + len : now->len;
	object_put(object);
	touched[i] = true;
}

static void cut(unsigned i, size_t len)
{
	struct state *now = &history[steps][i];
	struct object *object = get(i);

	assert_int_equal(object_truncate(object, len), 0);
	if (len > now->len)
		memset(now->bytes + now->len, 0, len - now->len);
	now->len = len;
	object_put(object);
	touched[i] = true;
}

static void punch(unsigned i, size_t off, size_t len)
{
	struct state *now = &history[steps][i];
	struct object *object = get(i);

	len = off >= now->len ? 0 : off + len > now->len ? now->len - off : len;
	if (len) {
		assert_int_equal(object_punch(object, len, off), 0);
		memset(now->bytes + off, 0, len);
		touched[i] = true;
	}
	object_put(object);
}

static void delete (unsigned i)
{
	struct object *object = get(i);
	struct txn *txn = txn_begin(fix.pool);

	assert_int_equal(object_delete(txn, object), 0);
	assert_int_equal(txn_commit(txn), 0);
	object_put(object);
	history[steps][i].exists = false;
	touched[i] = true;
}

static void move(unsigned i, int to)
{
	assert_int_equal(pool_sync(fix.pool), 0);
	assert_int_equal(pool_move(fix.pool, &ids[i], 1, to, NULL), 0);
}

static void turn(unsigned i, bool plain)
{
	struct object *object = get(i);

	assert_int_equal(
		plain ? object_make_plain(object, 1, NULL) : object_make_frames(object, NULL), 0);
	object_put(object);
}

/* Freed bytes go back to the medium. */
static void settle(void)
{
	assert_int_equal(pool_sync(fix.pool), 0);
	assert_int_equal(pool_cut(fix.pool), 0);
	pool_reclaim(fix.pool);
}

static void step_begin(void)
{
	assert_true(steps + 1 < STEP_MAX);
	if (!history[steps + 1])
		history[steps + 1] = malloc(OBJECTS * sizeof(struct state));
	memcpy(history[steps + 1], history[steps], OBJECTS * sizeof(struct state));
	steps++;
}

static void step(void)
{
	unsigned i = (unsigned)dice_roll(&dice, OBJECTS);
	size_t off = dice_roll(&dice, LEN_MAX / 2), len = 1 + dice_roll(&dice, LEN_MAX / 2 - 1);

	step_begin();
	if (!history[steps][i].exists)
		return;
	switch (dice_roll(&dice, 12)) {
	case 0:
	case 1:
		write_some(i, off, len);
		break;
	case 2:
		write_some(i, off, 1 + len % 5000);
		break;
	case 3:
		cut(i, off);
		break;
	case 4:
		punch(i, off, len);
		break;
	case 5:
		delete (i);
		break;
	case 6:
	case 7:
	case 8:
		move(i, 1 + (int)dice_roll(&dice, 2));
		break;
	case 9:
		settle();
		break;
	default:
		pool_run(fix.pool, NULL);
	}
}

/* The disaster, and after -----------------------------------------------------------------------
 */

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
	(void)st;
	(void)what;
	(void)ftw;
	return remove(path);
}

static void lose(const char *name)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/%s", fix.dir, name);
	assert_int_equal(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

struct told {
	unsigned calls;
	uint64_t lost, newer;
};

static void each(void *arg, struct meta *meta, uint64_t object, uint64_t lost, uint64_t newer)
{
	struct told *told = arg;
	uint8_t key[KEY_LEN_1], value[1024];
	size_t len;

	assert_int_equal(
		meta_get(meta, key, key_1(key, KEY_OBJECT, object), value, sizeof(value), &len), 0);
	assert_true((lost == 0) != (newer == 0));
	for (unsigned i = 0; i < OBJECTS && lost; i++)
		told_lost[i] = told_lost[i] || ids[i] == object;
	told->calls++;
	told->lost += lost;
	told->newer += newer;
}

static void check(void);

static int restore(const char *lost, struct restore_result *result)
{
	char path[96];
	const char *list = path;
	struct told told = {0};
	struct restore_options options = {.config = &fix.config,
					  .lost = &list,
					  .nlost = lost != NULL,
					  .each = each,
					  .arg = &told};
	int rc;

	snprintf(path, sizeof(path), "%s/%s", fix.dir, lost ? lost : "");
	memset(told_lost, 0, sizeof(told_lost));
	rc = meta_restore(&options, result);
	if (rc == 0) {
		check();
		assert_int_equal(told.calls, result->lost_files + result->newer_files);
		assert_int_equal(told.lost, result->lost_bytes);
		assert_int_equal(told.newer, result->newer_bytes);
	}
	return rc;
}

static void problem(void *arg, const struct check_problem *problem)
{
	(void)arg;
	if (problem->code != CHECK_FRAME_HEADER && problem->code != CHECK_FILE_MISSING &&
	    problem->code != CHECK_FRAME_DATA && problem->code != CHECK_FILE_SHORT &&
	    problem->code != CHECK_PLAIN_MISSING)
		fail_msg("%s", problem->what);
}

/* Every account holds, and every frame that is there says what its users say. */
static void check(void)
{
	struct check_options options = {.config = &fix.config, .deep = true, .problem = problem};
	struct check_result result;
	struct check *at;

	assert_int_equal(check_open(&at, &options, &result), 0);
	assert_non_null(at);
	check_round(at);
	assert_int_equal(check_pass(at), 0);
	check_close(at);
}

/* The byte was this at the copy or at some time after. */
static bool was(unsigned i, size_t off, uint8_t byte)
{
	for (unsigned s = 0; s <= steps; s++)
		if (history[s][i].exists && off < history[s][i].len &&
		    history[s][i].bytes[off] == byte)
			return true;
	return false;
}

/* Bytes that could not be read. */
static uint64_t verify(unsigned i)
{
	const struct state *copy = &history[0][i];
	struct object *object = get(i);
	uint64_t lost = 0;

	assert_int_equal(object_size(object), copy->len);
	for (size_t off = 0; off < copy->len; off += PIECE) {
		uint8_t buf[PIECE];
		size_t got = 0;
		int rc = object_read(object, buf, sizeof(buf), off, &got);

		if (rc < 0) {
			assert_true(told_lost[i]);
			lost += PIECE;
			continue;
		}
		for (size_t k = 0; k < got; k++)
			if (!was(i, off + k, buf[k]))
				fail_msg("object %u, byte %zu: never was %u", i, off + k, buf[k]);
		if (!touched[i])
			assert_memory_equal(buf, copy->bytes + off, got);
	}
	object_put(object);
	return lost;
}

/* What is written then goes into the tails of segments that the copy knows, or into new ones. */
static void copy(bool close)
{
	settle();
	copier_last(fix.pool);
	if (close) {
		fix_pool_close(&fix);
		fix_pool_open(&fix);
	}
}

/* A pool whose last copy is what history[0] says. */
static void begin(void)
{
	quiet_begin();
	fix_pool_small(&fix);
	fix.config.metadata_copies = 2;
	assert_int_equal(pool_create(&fix.config), 0);
	fix_pool_open(&fix);
	steps = 0;
	if (!history[0])
		history[0] = malloc(OBJECTS * sizeof(struct state));
	for (unsigned i = 0; i < OBJECTS; i++) {
		object_new(i);
		write_some(i, 0, 1 + dice_roll(&dice, LEN_MAX - 1));
		if (i % 3 == 1)
			write_some(i, history[0][i].len / 2, history[0][i].len / 4 + 1);
		if (i % 2)
			move(i, 2);
	}
	copy(dice_roll(&dice, 2));
	memset(touched, 0, sizeof(touched));
}

static int end(void **state)
{
	(void)state;
	quiet_end();
	if (fix.dir[0])
		fix_pool_free(&fix);
	fix.dir[0] = '\0';
	for (unsigned s = 0; s < STEP_MAX; s++) {
		free(history[s]);
		history[s] = NULL;
	}
	return 0;
}

static void crash(void)
{
	pool_abandon(fix.pool);
	fix.pool = NULL;
}

/* ---- */

/* All that was moved since the copy is there, however often. */
static void test_moved(void **state)
{
	struct restore_result result;

	(void)state;
	dice_init(&dice, "moved");
	begin();
	for (unsigned round = 0; round < 4; round++) {
		assert_int_equal(pool_move(fix.pool, ids, OBJECTS, 1 + (int)(round % 2), NULL), 0);
		settle();
	}
	crash();
	lose("meta");
	assert_int_equal(restore(NULL, &result), 0);
	assert_true(result.lost_frames > 0 && result.newer_bytes > 0);
	assert_int_equal(result.lost_bytes, 0);
	fix_pool_open(&fix);
	fix_pool_verify(&fix);
	for (unsigned i = 0; i < OBJECTS; i++)
		assert_int_equal(verify(i), 0);
	assert_true(fix_pool_verify_frames(&fix) >= OBJECTS);
	/* It is a pool like any other. */
	assert_int_equal(pool_move(fix.pool, ids, OBJECTS, 1, NULL), 0);
	fix_pool_close(&fix);
	fix_pool_open(&fix);
	for (unsigned i = 0; i < OBJECTS; i++)
		assert_int_equal(verify(i), 0);
	fix_pool_verify(&fix);
}

/* The fast tier's directory is gone: what was there alone is lost, and what went down after the
 * copy is not. */
static void test_moved_down(void **state)
{
	struct restore_result result;
	uint64_t lost = 0;

	(void)state;
	dice_init(&dice, "moved down");
	begin();
	assert_int_equal(pool_move(fix.pool, ids, OBJECTS, 1, NULL), 0);
	copy(true);
	assert_int_equal(pool_move(fix.pool, ids, OBJECTS / 2, 2, NULL), 0);
	settle();
	crash();
	lose("meta");
	lose("ssd");
	assert_int_equal(restore("ssd", &result), 0);
	assert_int_equal(result.lost_files, OBJECTS - OBJECTS / 2);
	fix_pool_open(&fix);
	fix_pool_verify(&fix);
	for (unsigned i = 0; i < OBJECTS; i++)
		lost += history[0][i].len * (i >= OBJECTS / 2);
	assert_int_equal(result.lost_bytes, lost);
	for (unsigned i = 0; i < OBJECTS / 2; i++)
		assert_int_equal(verify(i), 0);
	for (unsigned i = OBJECTS / 2; i < OBJECTS; i++)
		assert_true(verify(i) >= history[0][i].len);
}

/* What was overwritten after the copy, and then moved, is newer: never older than the copy. */
static void test_overwritten(void **state)
{
	struct restore_result result;

	(void)state;
	dice_init(&dice, "overwritten");
	begin();
	step_begin();
	for (unsigned i = 0; i < OBJECTS; i++)
		write_some(i, history[steps][i].len / 3, history[steps][i].len / 3 + 1);
	move(0, 1);
	assert_int_equal(pool_move(fix.pool, ids, OBJECTS, 1, NULL), 0);
	assert_int_equal(pool_move(fix.pool, ids, OBJECTS, 2, NULL), 0);
	settle();
	crash();
	lose("meta");
	assert_int_equal(restore(NULL, &result), 0);
	fix_pool_open(&fix);
	fix_pool_verify(&fix);
	for (unsigned i = 0; i < OBJECTS; i++)
		verify(i);
}

/* Frames of two times have the same bytes, and both are there: the newest ones count. */
static void test_newest(void **state)
{
	struct restore_result result;

	(void)state;
	dice_init(&dice, "newest");
	begin();
	for (unsigned i = 0; i < 3; i++) {
		cut(i, 0);
		write_some(i, 0, 3000);
	}
	copy(false);
	for (unsigned i = 0; i < 3; i++) /* the copy's frame goes, with all that is in it */
		write_some(i, 0, 3000);
	assert_int_equal(pool_sync(fix.pool), 0);
	write_some(0, 0, 3000);
	assert_int_equal(pool_sync(fix.pool), 0);
	settle();
	crash();
	lose("meta");
	assert_int_equal(restore(NULL, &result), 0);
	assert_int_equal(result.newer_files, 3);
	assert_int_equal(result.lost_bytes, 0);
	fix_pool_open(&fix);
	for (unsigned i = 0; i < 3; i++) {
		struct object *object = get(i);
		uint8_t buf[3000];
		size_t got;

		assert_int_equal(object_read(object, buf, sizeof(buf), 0, &got), 0);
		assert_memory_equal(buf, history[steps][i].bytes, sizeof(buf));
		object_put(object);
	}
	fix_pool_verify(&fix);
}

/* The copy has them plain; since then two went back into frames, one of them changed, and one lies
 * in a file of another generation. That nothing is there of the fourth is said. */
static void test_plain_back(void **state)
{
	struct restore_result result;
	char path[128], other[128], root[80];

	(void)state;
	dice_init(&dice, "plain back");
	begin();
	for (unsigned i = 0; i < 4; i++)
		turn(i, true);
	copy(false);
	step_begin();
	turn(0, false);
	write_some(1, 10, 1000);
	turn(1, false);
	assert_int_equal(pool_move(fix.pool, &ids[0], 1, 2, NULL), 0);
	write_some(1, 100, 1000);
	settle();
	crash();
	snprintf(root, sizeof(root), "%s/ssd", fix.dir);
	assert_int_equal(plain_path(root, ids[2], 1, path, sizeof(path)), 0);
	assert_int_equal(plain_path(root, ids[2], 2, other, sizeof(other)), 0);
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(plain_path(root, ids[3], 1, path, sizeof(path)), 0);
	assert_int_equal(remove(path), 0);
	lose("meta");
	assert_int_equal(restore(NULL, &result), 0);
	assert_int_equal(result.newer_files, 2);
	assert_int_equal(result.lost_files, 1);
	assert_true(told_lost[3]);
	fix_pool_open(&fix);
	fix_pool_verify(&fix);
	for (unsigned i = 0; i < 3; i++) {
		struct object *object = get(i);
		uint8_t buf[LEN_MAX];
		size_t got;

		assert_int_equal(object_is_plain(object), i == 2);
		assert_int_equal(object_read(object, buf, sizeof(buf), 0, &got), 0);
		assert_int_equal(got, history[steps][i].len);
		assert_memory_equal(buf, history[steps][i].bytes, got);
		object_put(object);
	}
}

/* A frame that was written after the copy and does not verify is not taken. */
static void test_damaged(void **state)
{
	struct restore_result result;
	char command[256];

	(void)state;
	dice_init(&dice, "damaged");
	begin();
	assert_int_equal(pool_move(fix.pool, ids, OBJECTS, 1, NULL), 0);
	assert_int_equal(pool_move(fix.pool, ids, OBJECTS, 2, NULL), 0);
	settle();
	crash();
	lose("meta");
	snprintf(command, sizeof(command),
		 "for f in %s/hdd/segments/*/*.seg; do for o in $(seq 30000 150000 $(stat -c %%s "
		 "$f));"
		 "do printf xxxxxxxx | dd of=$f bs=1 seek=$o conv=notrunc status=none; done; done",
		 fix.dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(restore(NULL, &result), 0);
	assert_true(result.lost_bytes > 0 && result.newer_bytes > 0);
	fix_pool_open(&fix);
	fix_pool_verify(&fix);
	for (unsigned i = 0; i < OBJECTS; i++)
		verify(i);
}

/* Anything, then the metadata, or the ssd with it, is gone. */
static void test_random(void **state)
{
	const char *rounds = getenv("TERRACE_ROUNDS");
	unsigned n = rounds ? (unsigned)atoi(rounds) : 12;

	(void)state;
	dice_init(&dice, "random");
	for (unsigned round = 0; round < n; round++) {
		struct restore_result result;
		bool ssd = dice_roll(&dice, 3) == 0;

		begin();
		for (unsigned k = 0; k < 10 + round % 30; k++)
			step();
		if (dice_roll(&dice, 2))
			settle();
		crash();
		lose("meta");
		if (ssd)
			lose("ssd");
		assert_int_equal(restore(ssd ? "ssd" : NULL, &result), 0);
		fix_pool_open(&fix);
		fix_pool_verify(&fix);
		for (unsigned i = 0; i < OBJECTS; i++)
			if (!verify(i) || ssd)
				continue;
			else
				assert_true(touched[i]); /* what was only moved is there */
		end(NULL);
	}
}

/* Without any metadata -------------------------------------------------------------------------
 */

struct number {
	uint64_t object;
	bool found[OBJECTS];
	uint8_t *bytes; /* of the object at hand */
	size_t len;
	uint64_t lost;
};

static void number_done(struct number *number)
{
	for (unsigned i = 0; i < OBJECTS && number->object; i++) {
		const struct state *now = &history[steps][i];

		if (ids[i] != number->object)
			continue;
		assert_false(number->found[i]);
		number->found[i] = true;
		if (i == 0) /* what of the hole shares a frame with what is left is not known */
			continue;
		assert_int_equal(number->len, now->len);
		assert_memory_equal(number->bytes, now->bytes, now->len);
	}
	memset(number->bytes, 0, LEN_MAX);
	number->len = 0;
}

static int number_begin(void *arg, uint64_t object)
{
	struct number *number = arg;

	assert_true(object > number->object);
	number_done(number);
	number->object = object;
	return 0;
}

static int number_put(void *arg, uint64_t off, const void *data, size_t len)
{
	struct number *number = arg;

	assert_true(off >= number->len && off + len <= LEN_MAX);
	memcpy(number->bytes + off, data, len);
	number->len = off + len;
	return 0;
}

static void number_lost(void *arg, uint64_t off, uint64_t len)
{
	struct number *number = arg;

	number->lost += len;
	number->len = off + len;
}

static void export_numbers(struct number *number)
{
	struct salvage_sink sink = {number_put, number_lost, number};
	struct salvage_source source;
	struct salvage *salvage;
	char work[96];

	*number = (struct number){.bytes = calloc(1, LEN_MAX)};
	snprintf(work, sizeof(work), "%s/work", fix.dir);
	assert_int_equal(mkdir(work, 0700), 0);
	assert_int_equal(salvage_open(&salvage, &fix.config, work, &source), 0);
	assert_true(source.none);
	assert_int_equal(salvage_each(salvage, number_begin, &sink), 0);
	number_done(number);
	salvage_close(salvage);
	free(number->bytes);
	lose("work");
}

/* What was written last, wherever it has been moved. */
static void test_numbers(void **state)
{
	struct number number;

	(void)state;
	dice_init(&dice, "numbers");
	for (unsigned round = 0; round < 6; round++) {
		begin();
		for (unsigned k = 0; k < 20; k++) {
			unsigned i = (unsigned)dice_roll(&dice, OBJECTS);
			size_t len = history[steps][i].len;

			if (dice_roll(&dice, 3))
				write_some(i, dice_roll(&dice, len), 1 + dice_roll(&dice, 30000));
			else
				move(i, 1 + (int)dice_roll(&dice, 2));
			if (dice_roll(&dice, 4) == 0)
				settle();
		}
		/* Frames that are freed leave headers behind: these are no damage. */
		write_some(0, 0, LEN_MAX);
		settle();
		punch(0, 20000, 110000);
		settle();
		crash();
		lose("meta");
		lose("ssd/metadata");
		lose("hdd/metadata");
		export_numbers(&number);
		assert_int_equal(number.lost, 0);
		for (unsigned i = 0; i < OBJECTS; i++)
			assert_true(number.found[i]);
		end(NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_moved, end),
		cmocka_unit_test_teardown(test_moved_down, end),
		cmocka_unit_test_teardown(test_overwritten, end),
		cmocka_unit_test_teardown(test_newest, end),
		cmocka_unit_test_teardown(test_plain_back, end),
		cmocka_unit_test_teardown(test_damaged, end),
		cmocka_unit_test_teardown(test_random, end),
		cmocka_unit_test_teardown(test_numbers, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
