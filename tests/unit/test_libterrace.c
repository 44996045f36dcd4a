// SPDX-License-Identifier: Apache-2.0
/* libterrace: put, get, delete, by path and by id; what others see; threads; closing and opening.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "fs/inode.h"
#include "lib/handle.h"
#include "tests/unit/fix_pool.h"
#include "tiers/object.h"

#define SMALL 3000u

struct fix {
	struct fix_pool pool; /* folders and configuration; not open */
	struct terrace *t;
};

static void quiet(void *arg, enum terrace_log_level level, const char *line)
{
	(void)arg;
	(void)level;
	(void)line;
}

static const struct terrace_options options = {.log = quiet};

static void opened(struct fix *fix)
{
	assert_int_equal(terrace_open(fix->pool.file, &options, &fix->t), 0);
}

static int setup(void **state)
{
	struct fix *fix = calloc(1, sizeof(*fix));

	assert_non_null(fix);
	fix_pool_small_file(&fix->pool);
	assert_int_equal(pool_create(&fix->pool.config), 0);
	opened(fix);
	*state = fix;
	return 0;
}

static int teardown(void **state)
{
	struct fix *fix = *state;

	/* Nothing of what was deleted or replaced is remembered. */
	assert_int_equal(inode_count(fix->t->fs->inodes), 0);
	assert_int_equal(terrace_close(fix->t), 0);
	fix_pool_open(&fix->pool);
	fix_pool_verify(&fix->pool);
	fix_pool_free(&fix->pool);
	free(fix);
	return 0;
}

static void reopen(struct fix *fix)
{
	assert_int_equal(terrace_close(fix->t), 0);
	opened(fix);
}

/* kill -9 */
static void crash(struct fix *fix)
{
	struct pool *pool = fix->t->pool;

	fs_close(fix->t->fs);
	pool_abandon(pool);
	free(fix->t);
	opened(fix);
}

static uint64_t objects(struct fix *fix)
{
	struct pool_space space;

	pool_space(fix->t->pool, &space);
	return space.objects;
}

static void pattern(uint8_t *buf, size_t len, uint32_t seed)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)((seed * 2654435761u + i * 40503u) >> 11);
}

static uint64_t put(struct fix *fix, const char *path, const char *text)
{
	uint64_t id = 0;

	assert_int_equal(terrace_put(fix->t, path, text, strlen(text), 0, &id), 0);
	assert_true(id > OBJECT_ID_ROOT);
	return id;
}

static void holds(struct fix *fix, uint64_t id, const char *text)
{
	char buf[256];
	size_t got;

	/* The second time from the memory of whole objects. */
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(terrace_get(fix->t, id, buf, sizeof(buf), 0, &got), 0);
		assert_int_equal(got, strlen(text));
		assert_memory_equal(buf, text, got);
	}
}

static void put_and_get(void **state)
{
	struct fix *fix = *state;
	struct terrace_info info;
	char buf[16];
	size_t got;
	uint64_t id = put(fix, "a", "some bytes");

	holds(fix, id, "some bytes");
	assert_int_equal(terrace_get(fix->t, id, buf, 4, 5, &got), 0);
	assert_int_equal(got, 4);
	assert_memory_equal(buf, "byte", 4);
	assert_int_equal(terrace_get(fix->t, id, buf, 16, 5, &got), 0);
	assert_int_equal(got, 5);
	assert_int_equal(terrace_get(fix->t, id, buf, 16, 10, &got), 0);
	assert_int_equal(got, 0);
	assert_int_equal(terrace_get(fix->t, id, buf, 16, UINT64_MAX, &got), 0);
	assert_int_equal(got, 0);
	assert_int_equal(terrace_get_path(fix->t, "/./a", buf, 16, 0, &got), 0);
	assert_int_equal(got, 10);
	assert_int_equal(terrace_find(fix->t, "a", &info), 0);
	assert_int_equal(info.id, id);
	assert_int_equal(info.size, 10);
	assert_int_equal(info.links, 1);
	assert_int_equal(info.mode, S_IFREG | 0644);
	assert_true(info.mtime_ns > 0);
	put(fix, "empty", "");
	assert_int_equal(terrace_get_path(fix->t, "empty", buf, 16, 0, &got), 0);
	assert_int_equal(got, 0);
	assert_int_equal(objects(fix), 3);
	reopen(fix);
	holds(fix, id, "some bytes");
}

static void paths(void **state)
{
	struct fix *fix = *state;
	char name[300], buf[8];
	struct terrace_info info;
	struct stat st;
	size_t got;
	uint64_t id;

	assert_int_equal(terrace_put(fix->t, "d/e/f", "x", 1, 0, NULL), -ENOENT);
	assert_int_equal(terrace_put(fix->t, "d/e/f", "x", 1, TERRACE_FOLDERS, &id), 0);
	assert_int_equal(terrace_put(fix->t, "d/e//g", "y", 1, TERRACE_FOLDERS, NULL), 0);
	assert_int_equal(terrace_find(fix->t, "/d//e/./f", &info), 0);
	assert_int_equal(info.id, id);
	assert_int_equal(terrace_find(fix->t, "d/e/.", &info), 0);
	assert_int_equal(info.mode, S_IFDIR | 0755);
	assert_int_equal(terrace_find(fix->t, "/", &info), 0);
	assert_int_equal(info.id, OBJECT_ID_ROOT);
	assert_int_equal(terrace_find(fix->t, "d/x", &info), -ENOENT);
	assert_int_equal(terrace_find(fix->t, "d/e/f/g", &info), -ENOTDIR);
	assert_int_equal(terrace_find(fix->t, "d/../d", &info), -EINVAL);
	assert_int_equal(terrace_put(fix->t, "d/e", "x", 1, 0, NULL), -EISDIR);
	assert_int_equal(terrace_put(fix->t, "d/e/", "x", 1, 0, NULL), -EISDIR);
	assert_int_equal(terrace_put(fix->t, "", "x", 1, 0, NULL), -EISDIR);
	assert_int_equal(terrace_put(fix->t, "d/e/f/g", "x", 1, TERRACE_FOLDERS, NULL), -ENOTDIR);
	assert_int_equal(terrace_put(fix->t, ".terrace", "x", 1, 0, NULL), -EPERM);
	assert_int_equal(terrace_put(fix->t, "a", "x", 1, 1u << 9, NULL), -EINVAL);
	assert_int_equal(terrace_get_path(fix->t, "d", buf, 8, 0, &got), -EISDIR);
	assert_int_equal(terrace_delete(fix->t, "d/e", 0), -EISDIR);
	assert_int_equal(fs_symlink(fix->t->fs, OBJECT_ID_ROOT, "link", "d", &fix->t->cred, &st),
			 0);
	assert_int_equal(terrace_find(fix->t, "link/e", &info), -ELOOP);
	assert_int_equal(terrace_get_path(fix->t, "link", buf, 8, 0, &got), -EINVAL);
	memset(name, 'n', sizeof(name));
	name[256] = '\0';
	assert_int_equal(terrace_put(fix->t, name, "x", 1, 0, NULL), -ENAMETOOLONG);
	assert_int_equal(objects(fix), 6); /* what failed has left nothing */
}

/* As rename(2): a new object; who has the old id finds nothing. */
static void replacing(void **state)
{
	struct fix *fix = *state;
	uint64_t first = put(fix, "a", "a long first content"), second;
	size_t got;
	char c;

	holds(fix, first, "a long first content");
	second = put(fix, "a", "short");
	assert_true(second > first);
	holds(fix, second, "short");
	assert_int_equal(terrace_get(fix->t, first, &c, 1, 0, &got), -ENOENT);
	assert_int_equal(got, 0);
	assert_int_equal(terrace_put(fix->t, "a", "x", 1, TERRACE_NEW, NULL), -EEXIST);
	holds(fix, second, "short");
	assert_int_equal(objects(fix), 2);
}

static void in_place(void **state)
{
	struct fix *fix = *state;
	uint64_t id = put(fix, "a", "a long first content");

	holds(fix, id, "a long first content");
	assert_int_equal(terrace_put_id(fix->t, id, "short", 5, 0), 0);
	holds(fix, id, "short");
	assert_int_equal(terrace_put_id(fix->t, id, "longer again", 12, TERRACE_SYNC), 0);
	holds(fix, id, "longer again");
	assert_int_equal(terrace_put_id(fix->t, id, "", 0, 0), 0);
	holds(fix, id, "");
	assert_int_equal(terrace_put_id(fix->t, id + 1, "x", 1, 0), -ENOENT);
	assert_int_equal(terrace_put_id(fix->t, OBJECT_ID_ROOT, "x", 1, 0), -EISDIR);
	assert_int_equal(terrace_put_id(fix->t, id, "x", 1, TERRACE_NEW), -EINVAL);
}

/* Every way to change a file's bytes is seen by who gets them. */
static void changed_by_others(void **state)
{
	struct fix *fix = *state;
	uint64_t id = put(fix, "a", "0123456789"), other = put(fix, "b", "abcdefghij"), done;
	struct object *object, *from;

	assert_int_equal(object_get(fix->t->pool, id, &object), 0);
	assert_int_equal(object_get(fix->t->pool, other, &from), 0);
	holds(fix, id, "0123456789");
	assert_int_equal(object_write(object, "xyz", 3, 2), 0);
	holds(fix, id, "01xyz56789");
	assert_int_equal(object_truncate(object, 6), 0);
	holds(fix, id, "01xyz5");
	assert_int_equal(object_append(object, "!", 1, &done), 0);
	holds(fix, id, "01xyz5!");
	assert_int_equal(object_clone(from, 0, object, 0, 10, &done), 0);
	holds(fix, id, "abcdefghij");
	assert_int_equal(object_truncate(object, 3), 0);
	assert_int_equal(object_punch(object, 3, 0), 0);
	assert_int_equal(object_write(object, "abc", 3, 0), 0);
	holds(fix, id, "abc");
	object_put(object);
	object_put(from);
}

static void punched(void **state)
{
	struct fix *fix = *state;
	uint64_t id = put(fix, "a", "0123456789");
	struct object *object;
	char buf[10];
	size_t got;

	holds(fix, id, "0123456789");
	assert_int_equal(object_get(fix->t->pool, id, &object), 0);
	assert_int_equal(object_punch(object, 5, 5), 0);
	assert_int_equal(terrace_get(fix->t, id, buf, 10, 0, &got), 0);
	assert_int_equal(got, 10);
	assert_memory_equal(buf, "01234\0\0\0\0\0", 10);
	object_put(object);
}

static void deleting(void **state)
{
	struct fix *fix = *state;
	uint64_t a = put(fix, "a", "one"), b = put(fix, "b", "two"), c = put(fix, "c", "three");
	struct stat st;
	size_t got;
	char buf[8];

	holds(fix, a, "one");
	holds(fix, b, "two");
	assert_int_equal(terrace_delete(fix->t, "a", 0), 0);
	assert_int_equal(terrace_get(fix->t, a, buf, 8, 0, &got), -ENOENT);
	assert_int_equal(terrace_delete(fix->t, "a", 0), -ENOENT);
	assert_int_equal(terrace_delete_id(fix->t, b, TERRACE_SYNC), 0);
	assert_int_equal(terrace_get(fix->t, b, buf, 8, 0, &got), -ENOENT);
	assert_int_equal(terrace_delete_id(fix->t, b, 0), -ENOENT);
	assert_int_equal(terrace_delete_id(fix->t, OBJECT_ID_ROOT, 0), -EISDIR);
	assert_int_equal(fs_link(fix->t->fs, c, OBJECT_ID_ROOT, "d", &st), 0);
	assert_int_equal(terrace_delete_id(fix->t, c, 0), -EMLINK);
	assert_int_equal(terrace_delete(fix->t, "c", 0), 0);
	holds(fix, c, "three");
	assert_int_equal(terrace_delete_id(fix->t, c, 0), -EMLINK);
	assert_int_equal(terrace_delete(fix->t, "d", 0), 0);
	assert_int_equal(terrace_get(fix->t, c, buf, 8, 0, &got), -ENOENT);
	assert_int_equal(objects(fix), 1);
}

static void large(void **state)
{
	struct fix *fix = *state;
	size_t len = (2u << 20) + 77, got;
	uint8_t *data = malloc(len), *back = malloc(len);
	uint64_t id;

	assert_non_null(data);
	assert_non_null(back);
	pattern(data, len, 3);
	assert_int_equal(terrace_put(fix->t, "large", data, len, TERRACE_SYNC, &id), 0);
	assert_int_equal(terrace_get(fix->t, id, back, len, 0, &got), 0);
	assert_int_equal(got, len);
	assert_memory_equal(back, data, len);
	assert_int_equal(terrace_get(fix->t, id, back, 100, len - 50, &got), 0);
	assert_int_equal(got, 50);
	assert_memory_equal(back, data + len - 50, 50);
	free(data);
	free(back);
}

#define MANY 300u

static void batches(void **state)
{
	struct fix *fix = *state;
	static uint8_t data[MANY][SMALL], back[MANY][SMALL];
	static char names[MANY][16];
	struct terrace_item items[MANY] = {0};
	uint64_t ids[MANY];

	for (unsigned i = 0; i < MANY; i++) {
		pattern(data[i], SMALL, i);
		snprintf(names[i], sizeof(names[i]), "d%u/%u", i % 3, i);
		items[i] =
			(struct terrace_item){.path = names[i], .buf = data[i], .len = SMALL - i};
	}
	assert_int_equal(terrace_put_many(fix->t, items, MANY, TERRACE_FOLDERS | TERRACE_SYNC), 0);
	for (unsigned i = 0; i < MANY; i++) {
		ids[i] = items[i].id;
		items[i] = (struct terrace_item){.id = ids[i], .buf = back[i], .len = SMALL};
	}
	assert_int_equal(terrace_move(fix->t, ids, MANY, "hdd"), 0);
	assert_int_equal(terrace_move(fix->t, ids, MANY, "nowhere"), -EINVAL);
	items[7].id = 1u << 30;
	assert_int_equal(terrace_get_many(fix->t, items, MANY), -ENOENT);
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(items[i].error, i == 7 ? -ENOENT : 0);
		assert_int_equal(items[i].len, i == 7 ? 0 : SMALL - i);
		assert_memory_equal(back[i], data[i], items[i].len);
	}
	items[7].path = names[7]; /* by path as well */
	assert_int_equal(terrace_delete_many(fix->t, items, MANY, 0), 0);
	assert_int_equal(items[7].id, ids[7]);
	assert_int_equal(objects(fix), 4);
}

static void one_owner(void **state)
{
	struct fix *fix = *state;
	struct terrace *second;

	assert_int_equal(terrace_open(fix->pool.file, &options, &second), -EBUSY);
	assert_null(second);
	assert_int_equal(terrace_open("/nowhere.conf", &options, &second), -ENOENT);
	holds(fix, put(fix, "a", "still here"), "still here");
}

/* What was acknowledged survives the process; what was not leaves nothing behind. */
static void killed(void **state)
{
	struct fix *fix = *state;
	uint64_t a = put(fix, "a", "one"), b = put(fix, "b", "two"), c;
	struct object *object;

	assert_int_equal(terrace_put_id(fix->t, b, "changed", 7, 0), 0);
	assert_int_equal(fs_nameless(fix->t->fs, OBJECT_ID_ROOT, 0644, &fix->t->cred, &object), 0);
	c = object_id(object);
	assert_int_equal(object_write(object, "half", 4, 0), 0);
	object_put(object);
	crash(fix);
	holds(fix, a, "one");
	holds(fix, b, "changed");
	assert_int_equal(object_get(fix->t->pool, c, &object), -ENOENT);
	assert_int_equal(objects(fix), 3);
}

#define THREADS 10u
#define ROUNDS	200u

struct worker {
	struct fix *fix;
	unsigned number;
	_Atomic int error;
};

static int check_own(struct worker *worker, uint64_t id, unsigned value)
{
	uint8_t want[SMALL], back[SMALL];
	size_t got;
	int r = terrace_get(worker->fix->t, id, back, sizeof(back), 0, &got);

	pattern(want, SMALL, value);
	return r ? r : got == SMALL && !memcmp(back, want, SMALL) ? 0 : -EBADMSG;
}

/* Each thread has its own names, and one that all put and get. */
static void *work(void *arg)
{
	struct worker *worker = arg;
	struct terrace *t = worker->fix->t;
	uint8_t data[SMALL];
	char path[32];
	uint64_t id;
	size_t got;

	for (unsigned i = 0; i < ROUNDS && !worker->error; i++) {
		unsigned value = worker->number * ROUNDS + i;

		pattern(data, SMALL, value);
		snprintf(path, sizeof(path), "t%u/%u", worker->number, i);
		worker->error = terrace_put(t, path, data, SMALL, TERRACE_FOLDERS, &id);
		if (!worker->error)
			worker->error = check_own(worker, id, value);
		memset(data, (int)worker->number, SMALL);
		if (!worker->error)
			worker->error = terrace_put(t, "shared", data, SMALL, 0, NULL);
		if (!worker->error)
			worker->error = terrace_get_path(t, "shared", data, SMALL, 0, &got);
		if (worker->error == -ENOENT) /* replaced between its path and its bytes */
			worker->error = 0;
		else if (!worker->error && (got != SMALL || memcmp(data, data + 1, SMALL - 1)))
			worker->error = -EBADMSG;
		if (!worker->error && i % 4 == 3)
			worker->error = terrace_delete_id(t, id, 0);
	}
	return NULL;
}

static void threads(void **state)
{
	struct fix *fix = *state;
	struct worker workers[THREADS];
	pthread_t ids[THREADS];
	struct terrace_info info;
	char path[32];

	put(fix, "shared", "");
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){.fix = fix, .number = i};
		assert_int_equal(pthread_create(&ids[i], NULL, work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(ids[i], NULL);
		assert_int_equal(workers[i].error, 0);
	}
	crash(fix);
	for (unsigned i = 0; i < THREADS; i++) {
		for (unsigned k = 0; k < ROUNDS; k++) {
			snprintf(path, sizeof(path), "t%u/%u", i, k);
			if (k % 4 == 3) {
				assert_int_equal(terrace_find(fix->t, path, &info), -ENOENT);
				continue;
			}
			assert_int_equal(terrace_find(fix->t, path, &info), 0);
			workers[i].fix = fix;
			assert_int_equal(check_own(&workers[i], info.id, i * ROUNDS + k), 0);
		}
	}
	assert_int_equal(objects(fix), 2 + THREADS + THREADS * ROUNDS / 4 * 3);
}

/* One object, overwritten in place beside those who get it: always one of the contents, whole, and
 * never an older one than was there when the get began. */
static void *overwriter(void *arg)
{
	struct worker *worker = arg;
	uint8_t data[SMALL];

	for (unsigned i = 1; i <= 250 && !worker->error; i++) {
		memset(data, (int)i, SMALL);
		worker->error = terrace_put_id(worker->fix->t, worker->number, data, SMALL, 0);
	}
	return NULL;
}

static void fresh(void **state)
{
	struct fix *fix = *state;
	uint8_t data[SMALL] = {0}, last = 0;
	struct worker worker = {.fix = fix};
	pthread_t thread;
	uint64_t id;
	size_t got;

	assert_int_equal(terrace_put(fix->t, "a", data, SMALL, 0, &id), 0);
	worker.number = (unsigned)id;
	assert_int_equal(pthread_create(&thread, NULL, overwriter, &worker), 0);
	while (last < 250) {
		assert_int_equal(terrace_get(fix->t, id, data, SMALL, 0, &got), 0);
		assert_int_equal(got, SMALL);
		assert_int_equal(memcmp(data, data + 1, SMALL - 1), 0);
		assert_true(data[0] >= last);
		last = data[0];
		assert_int_equal(worker.error, 0); /* or this would not end */
	}
	pthread_join(thread, NULL);
}

static void buffers_are_reused(void **state)
{
	struct fix *fix = *state;
	struct terrace_stats stats;
	uint8_t data[SMALL];
	uint64_t ids[64];
	char path[16];
	size_t got;

	pattern(data, SMALL, 1);
	for (unsigned i = 0; i < 64; i++) {
		snprintf(path, sizeof(path), "%u", i);
		assert_int_equal(terrace_put(fix->t, path, data, SMALL, 0, &ids[i]), 0);
	}
	for (unsigned round = 0; round < 40; round++) {
		for (unsigned i = 0; i < 64; i++) {
			assert_int_equal(terrace_get(fix->t, ids[i], data, SMALL, 0, &got), 0);
			assert_int_equal(terrace_put_id(fix->t, ids[i], data, SMALL, 0), 0);
		}
	}
	assert_int_equal(terrace_stats(fix->t, &stats), 0);
	assert_true(stats.misses >= 40 * 64);
	assert_true(stats.buffers_made * 20 <= stats.buffers_made + stats.buffers_reused);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(put_and_get, setup, teardown),
		cmocka_unit_test_setup_teardown(paths, setup, teardown),
		cmocka_unit_test_setup_teardown(replacing, setup, teardown),
		cmocka_unit_test_setup_teardown(in_place, setup, teardown),
		cmocka_unit_test_setup_teardown(changed_by_others, setup, teardown),
		cmocka_unit_test_setup_teardown(punched, setup, teardown),
		cmocka_unit_test_setup_teardown(deleting, setup, teardown),
		cmocka_unit_test_setup_teardown(large, setup, teardown),
		cmocka_unit_test_setup_teardown(batches, setup, teardown),
		cmocka_unit_test_setup_teardown(one_owner, setup, teardown),
		cmocka_unit_test_setup_teardown(killed, setup, teardown),
		cmocka_unit_test_setup_teardown(threads, setup, teardown),
		cmocka_unit_test_setup_teardown(fresh, setup, teardown),
		cmocka_unit_test_setup_teardown(buffers_are_reused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
