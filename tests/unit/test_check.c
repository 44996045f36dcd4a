// SPDX-License-Identifier: Apache-2.0
/*
 * For each kind of damage: a fresh pool is checked (silent), broken, checked (the code is found),
 * mended, and checked again; all files that were not damaged are as they were. TERRACE_BREAK=NAME
 * runs the kinds whose name contains it.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fs/check.h"
#include "fs/inode.h"
#include "tests/unit/fix_break.h"
#include "tiers/check/sorter.h"
#include "tiers/log.h"

struct found {
	bool codes[500];
	unsigned problems;
	char text[4096]; /* for messages */
};

static void note(void *arg, const struct check_problem *problem)
{
	struct found *found = arg;
	size_t used = strlen(found->text);

	found->codes[problem->code] = true;
	found->problems++;
	assert_true(*problem->what && *problem->consequence);
	for (const char *p = problem->what; *p; p++) /* names in it are escaped */
		assert_true(*p >= ' ' && *p < 127);
	snprintf(found->text + used, sizeof(found->text) - used, "  C%03d %s: %s\n", problem->code,
		 problem->where, problem->what);
}

static void no_lines(void *arg, enum log_level level, const char *line)
{
	(void)arg;
	(void)level;
	(void)line;
}

static int check(struct fix_break_pool *pool, bool repair, bool dry, bool deep, struct found *found,
		 struct check_result *result)
{
	struct fs_check_options options = {.base = {.config = &pool->fix.pool.config,
						    .repair = repair,
						    .deep = deep,
						    .problem = note,
						    .arg = found},
					   .dry_run = dry};

	*found = (struct found){0};
	return fs_check(&options, result);
}

static void expect_clean(struct fix_break_pool *pool, bool deep, const char *name)
{
	struct check_result result;
	struct found found;

	assert_int_equal(check(pool, false, false, deep, &found, &result), 0);
	if (found.problems)
		fail_msg("%s: not clean:\n%s", name, found.text);
	assert_int_equal(result.problems, 0);
}

/* What could not be mended may keep the pool from opening; when it opens, what can be read is
 * right.
 */
static void no_wrong_byte(struct fix_break_pool *pool)
{
	struct pool_open_options options = {.no_background = true};

	if (pool_open(&pool->fix.pool.config, &options, &pool->fix.pool.pool) < 0)
		return;
	if (fs_open(pool->fix.pool.pool, "/mnt", &pool->fix.fs) == 0) {
		fix_break_verify(pool, true);
		fs_close(pool->fix.fs);
	}
	pool_abandon(pool->fix.pool.pool);
	pool->fix.pool.pool = NULL;
}

static void mend(struct fix_break_pool *pool, const struct fix_break *kind)
{
	struct check_result dry, result;
	struct found found;

	assert_int_equal(check(pool, true, true, kind->deep, &found, &dry), 0);
	assert_int_equal(check(pool, true, false, kind->deep, &found, &result), 0);
	/* A dry run says the same and has changed nothing. */
	assert_int_equal(dry.problems, result.problems);
	assert_int_equal(dry.mended, result.mended);
	if (!kind->mends) {
		assert_true(result.left > 0);
		/* One of two extents is wrong, and nobody knows which; or the map is. */
		if (kind->code != CHECK_OVERLAP && kind->code != CHECK_OTHER_BYTES)
			no_wrong_byte(pool);
		return;
	}
	if (result.left)
		fail_msg("%s: left:\n%s", kind->name, found.text);
	expect_clean(pool, kind->deep, kind->name);
	fix_break_open(pool);
	fix_break_verify(pool, kind->loses);
	fix_pool_verify(&pool->fix.pool);
	fix_break_close(pool);
	expect_clean(pool, true, kind->name);
}

static void one_kind(const struct fix_break *kind)
{
	struct fix_break_pool pool;
	struct check_result result;
	struct found found;

	fix_break_new(&pool);
	kind->run(&pool);
	assert_int_equal(check(&pool, false, false, kind->deep, &found, &result), 0);
	if (!found.codes[kind->code])
		fail_msg("%s: C%03d was not found, but:\n%s", kind->name, kind->code, found.text);
	mend(&pool, kind);
	fix_break_free(&pool);
}

static void every_kind(void **state)
{
	const char *only = getenv("TERRACE_BREAK");

	(void)state;
	for (unsigned i = 0; i < fix_breaks_count; i++) {
		if (only && !strstr(fix_breaks[i].name, only))
			continue;
		if (only)
			print_message("%s\n", fix_breaks[i].name);
		one_kind(&fix_breaks[i]);
	}
}

/* The manual's text, found beside this source. */
static char *manual(void)
{
	char path[4096], *text = calloc(1, 65536), *end;
	FILE *file;

	snprintf(path, sizeof(path), "%s", __FILE__);
	end = strstr(path, "tests/unit/");
	assert_non_null(end);
	strcpy(end, "man/terrace-check.8");
	file = fopen(path, "r");
	assert_non_null(file);
	assert_non_null(text);
	assert_true(fread(text, 1, 65535, file) > 0);
	fclose(file);
	return text;
}

/* Every code that there is has a kind that breaks a pool so, and a place in the manual. */
static void every_code(void **state)
{
	const struct check_kind *kinds;
	char *text = manual(), entry[32];
	unsigned n;

	(void)state;
	kinds = check_kinds(&n);
	assert_true(n >= 30);
	for (unsigned k = 0; k < n; k++) {
		unsigned i = 0;

		while (i < fix_breaks_count && fix_breaks[i].code != kinds[k].code)
			i++;
		if (i == fix_breaks_count)
			fail_msg("nothing breaks a pool as C%03d", kinds[k].code);
		snprintf(entry, sizeof(entry), ".It Sy C%03d", kinds[k].code);
		if (!strstr(text, entry))
			fail_msg("C%03d is not in terrace-check(8)", kinds[k].code);
	}
	free(text);
}

/* Healthy in each state that a pool may be found in: new, closed, left by a daemon that died, after
 * a power loss. */
static void silent(void **state)
{
	struct fix_break_pool pool;
	struct check_result result;
	struct pool_space space;
	struct found found;
	uint64_t objects;

	(void)state;
	fix_break_new(&pool);
	expect_clean(&pool, true, "closed");
	fix_break_open(&pool);
	fix_file(&pool.fix, ROOT, "more", "more content");
	assert_int_equal(pool_sync(pool.fix.pool.pool), 0);
	fix_file(&pool.fix, ROOT, "unsynced", "in the tail");
	fix_file(&pool.fix, ROOT, "too", "in the tail");
	assert_int_equal(fs_unlink(pool.fix.fs, ROOT, "small"), 0);
	pool_space(pool.fix.pool.pool, &space);
	objects = space.objects;
	fs_close(pool.fix.fs);
	pool_abandon(pool.fix.pool.pool);
	pool.fix.pool.pool = NULL;
	assert_int_equal(check(&pool, false, false, true, &found, &result), 0);
	if (found.problems)
		fail_msg("left by a dead daemon: not clean:\n%s", found.text);
	/* What only the tail has is looked at, too: as many objects as the pool will have. */
	assert_int_equal(result.objects, objects);
	assert_true(result.unclean);
	fix_break_open(&pool);
	fix_content(&pool.fix, fix_id(&pool.fix, ROOT, "unsynced"), "in the tail");
	fix_break_close(&pool);
	expect_clean(&pool, true, "recovered");
	fix_break_free(&pool);
}

static const struct fix_break *kind_named(const char *name)
{
	for (unsigned i = 0; i < fix_breaks_count; i++)
		if (!strcmp(fix_breaks[i].name, name))
			return &fix_breaks[i];
	fail_msg("no kind '%s'", name);
	return NULL;
}

/* The data of a file whose record is lost is in lost+found, whole, though it shares a frame with
 * others. */
static void lost_and_found(const struct fix_break *kind)
{
	struct fix_break_pool pool;
	struct check_result result;
	struct found found;
	uint64_t lost, id;
	char name[32];

	fix_break_new(&pool);
	kind->run(&pool);
	assert_int_equal(check(&pool, true, false, false, &found, &result), 0);
	assert_int_equal(result.left, 0);
	fix_break_open(&pool);
	assert_int_equal(fix_id(&pool.fix, ROOT, "small"), 0);
	lost = fix_id(&pool.fix, ROOT, "lost+found");
	assert_int_equal(fix_stat(&pool.fix, lost).st_mode, S_IFDIR | 0700);
	snprintf(name, sizeof(name), "#%llu", (unsigned long long)pool.small);
	id = fix_id(&pool.fix, lost, name);
	assert_int_equal(id, pool.small);
	assert_int_equal(fix_stat(&pool.fix, id).st_mode, S_IFREG | 0600);
	fix_content(&pool.fix, id, "small content");
	assert_int_equal(fs_unlink(pool.fix.fs, lost, name), 0);
	assert_int_equal(fs_rmdir(pool.fix.fs, ROOT, "lost+found"), 0);
	fix_break_close(&pool);
	expect_clean(&pool, true, "emptied");
	fix_break_free(&pool);
}

static void record_damaged(void **state)
{
	(void)state;
	lost_and_found(kind_named("a file's record"));
}

static void record_missing(void **state)
{
	(void)state;
	lost_and_found(kind_named("no record of a file"));
}

/* Frames that nobody else uses are not freed with it. */
static void frames_alone(void **state)
{
	static uint8_t got[65536];
	struct fix_break_pool pool;
	struct check_result result;
	struct inode *inode;
	struct found found;
	uint64_t lost;
	char name[32];
	size_t n;

	(void)state;
	fix_break_new(&pool);
	kind_named("a lost file's frames")->run(&pool);
	assert_int_equal(check(&pool, true, false, false, &found, &result), 0);
	fix_break_open(&pool);
	lost = fix_id(&pool.fix, ROOT, "lost+found");
	snprintf(name, sizeof(name), "#%llu", (unsigned long long)pool.large);
	assert_int_equal(fix_id(&pool.fix, lost, name), pool.large);
	assert_int_equal(fs_file_open(pool.fix.fs, pool.large, O_RDONLY, false, &inode), 0);
	assert_int_equal(fs_read(pool.fix.fs, inode, got, sizeof(got), 0, &n), 0);
	fs_file_close(pool.fix.fs, inode, O_RDONLY);
	fix_break_is_large(got, n);
	fix_break_close(&pool);
	fix_break_free(&pool);
}

static void value_damaged(void **state)
{
	(void)state;
	lost_and_found(kind_named("a value: a file's record"));
}

/* Where the metadata cannot be opened nothing is changed, so nothing is called mended. */
static void unusable(void **state)
{
	struct fix_break_pool pool;
	struct check_result result;
	struct found found;

	(void)state;
	fix_break_new(&pool);
	kind_named("the journal")->run(&pool);
	kind_named("a value: an attribute's")->run(&pool);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(check(&pool, true, false, false, &found, &result), 0);
		assert_true(found.codes[CHECK_JOURNAL] && found.codes[CHECK_VALUE]);
		assert_int_equal(result.mended, 0);
		assert_int_equal(result.left, 2);
	}
	fix_break_free(&pool);
}

/* A repair of a pool whose last daemon died keeps what only its tail and its RAM log hold. */
static void repair_unclean(void **state)
{
	struct fix_break_pool pool;
	struct check_result result;
	struct found found;

	(void)state;
	fix_break_new(&pool);
	for (unsigned i = 0; i < fix_breaks_count; i++)
		if (fix_breaks[i].code == CHECK_LINKS)
			fix_breaks[i].run(&pool);
	fix_break_open(&pool);
	fix_file(&pool.fix, ROOT, "unsynced", "in the tail");
	fs_close(pool.fix.fs);
	pool_abandon(pool.fix.pool.pool);
	pool.fix.pool.pool = NULL;
	assert_int_equal(check(&pool, true, false, false, &found, &result), 0);
	assert_true(result.unclean && result.mended >= 2 && !result.left);
	fix_break_open(&pool);
	fix_content(&pool.fix, fix_id(&pool.fix, ROOT, "unsynced"), "in the tail");
	assert_int_equal(fs_unlink(pool.fix.fs, ROOT, "unsynced"), 0);
	fix_break_verify(&pool, false);
	fix_break_close(&pool);
	expect_clean(&pool, true, "after the repair");
	fix_break_free(&pool);
}

/* More records than fit into memory come out sorted. */
static void sorting(void **state)
{
	struct sorter *sorter;
	uint8_t record[16], last[16] = {0};
	const uint8_t *got;
	uint64_t x = 88172645463325252ull, sum = 0, n = 0;

	(void)state;
	assert_int_equal(sorter_new(&sorter, sizeof(record), 3200), 0);
	for (unsigned i = 0; i < 5003; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(record, &x, 8);
		memcpy(record + 8, &i, 4);
		memset(record + 12, 0, 4);
		sum += i;
		assert_int_equal(sorter_add(sorter, record), 0);
	}
	while (sorter_next(sorter, &got) == 0) {
		unsigned i;

		assert_true(memcmp(last, got, sizeof(last)) <= 0);
		memcpy(last, got, sizeof(last));
		memcpy(&i, got + 8, 4);
		sum -= i;
		n++;
	}
	assert_int_equal(n, 5003);
	assert_int_equal(sum, 0);
	sorter_free(sorter);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sorting),	  cmocka_unit_test(silent),
		cmocka_unit_test(unusable),	  cmocka_unit_test(every_code),
		cmocka_unit_test(repair_unclean), cmocka_unit_test(record_damaged),
		cmocka_unit_test(record_missing), cmocka_unit_test(value_damaged),
		cmocka_unit_test(frames_alone),	  cmocka_unit_test(every_kind),
	};

	log_sink_set(no_lines, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
