// SPDX-License-Identifier: Apache-2.0
/* How the RAM tier gives way when memory is short, and what the kernel's files say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tiers/memory_pressure.h"

#define MIB (1ull << 20)
#define GIB (1024 * MIB)

/* ---- the limit ---- */

static void test_plenty(void **state)
{
	struct memory_facts facts = {.total = 16 * GIB, .available = 10 * GIB};

	(void)state;
	assert_int_equal(memory_reserve(&facts), GIB);
	assert_int_equal(memory_limit(&facts, 2 * GIB, 2 * GIB, 2 * GIB), 2 * GIB);
	/* Somebody set a smaller or a larger size. */
	assert_int_equal(memory_limit(&facts, GIB, 2 * GIB, 2 * GIB), GIB);
	assert_in_range(memory_limit(&facts, 2 * GIB, GIB, GIB), GIB + 1, GIB + 64 * MIB);
	facts = (struct memory_facts){0};
	assert_int_equal(memory_limit(&facts, 2 * GIB, GIB, GIB), 2 * GIB);
}

static void test_shrinks_by_what_is_missing(void **state)
{
	struct memory_facts facts = {.total = 16 * GIB, .available = 700 * MIB};

	(void)state;
	assert_int_equal(memory_limit(&facts, 4 * GIB, 4 * GIB, 4 * GIB), 4 * GIB - 324 * MIB);
	/* Half of it is not in use: what is goes down, not what might be. */
	assert_int_equal(memory_limit(&facts, 4 * GIB, 4 * GIB, 2 * GIB), 2 * GIB - 324 * MIB);
	facts.available = 0;
	assert_int_equal(memory_limit(&facts, 4 * GIB, 4 * GIB, 500 * MIB), MEMORY_FLOOR);
	assert_int_equal(memory_limit(&facts, 4 * GIB, MEMORY_FLOOR, MEMORY_FLOOR), MEMORY_FLOOR);
	assert_int_equal(memory_limit(&facts, MEMORY_FLOOR, MEMORY_FLOOR, 0), MEMORY_FLOOR);
}

static void test_stalls(void **state)
{
	struct memory_facts facts = {.total = 16 * GIB, .available = 3 * GIB, .some = 30};
	uint64_t limit = 4 * GIB;

	(void)state;
	assert_int_equal(memory_limit(&facts, limit, limit, limit), limit / 8 * 7);
	for (unsigned i = 0; i < 100; i++)
		limit = memory_limit(&facts, 4 * GIB, limit, limit);
	assert_int_equal(limit, GIB / 2);
	facts.some = 5; /* neither shrinks nor grows */
	assert_int_equal(memory_limit(&facts, 4 * GIB, limit, limit), limit);
	facts = (struct memory_facts){.total = 16 * GIB, .available = 9 * GIB, .full = 50};
	/* Others stall within limits of their own: there is plenty. */
	assert_int_equal(memory_limit(&facts, 4 * GIB, 4 * GIB, 4 * GIB), 4 * GIB);
}

/* Between the two watermarks nothing changes; back to all of it takes about a minute. */
static void test_grows_slowly(void **state)
{
	struct memory_facts facts = {.total = 16 * GIB, .available = 3 * GIB / 2};
	uint64_t limit = GIB;
	unsigned seconds = 0;

	(void)state;
	assert_int_equal(memory_limit(&facts, 4 * GIB, limit, limit), limit);
	facts.available = 8 * GIB;
	for (; limit < 4 * GIB; seconds++)
		limit = memory_limit(&facts, 4 * GIB, limit, limit);
	assert_int_equal(limit, 4 * GIB);
	assert_in_range(seconds, 40, 60);
}

/* A hog that takes all and gives it back: never below what the reserve demands for long, no
 * swinging. */
static void test_a_hog(void **state)
{
	const uint64_t total = 8 * GIB, others = GIB, configured = 4 * GIB;
	uint64_t limit = configured, hog = 0, turns = 0, before = 0;
	bool down = false;

	(void)state;
	for (unsigned second = 0; second < 600; second++) {
		uint64_t used = others + hog + limit;
		struct memory_facts facts = {.total = total,
					     .available = used < total ? total - used : 0};

		before = limit;
		limit = memory_limit(&facts, configured, limit, limit);
		if (limit != before && (limit < before) != down) {
			down = !down;
			turns++;
		}
		if (second < 300 && hog < 5 * GIB)
			hog += 100 * MIB;
		if (second >= 60 && second < 300)
			assert_true(facts.available >= 512 * MIB);
		if (second >= 300)
			hog = 0;
	}
	assert_int_equal(limit, configured);
	assert_in_range(turns, 2, 2);
}

static void test_more_than_there_is(void **state)
{
	struct memory_facts facts = {.total = GIB, .available = 900 * MIB};
	uint64_t limit = memory_limit(&facts, 4 * GIB, 4 * GIB, 0);

	(void)state;
	assert_true(limit <= 768 * MIB);
	facts = (struct memory_facts){.total = 8 * MIB, .available = MIB};
	assert_int_equal(memory_limit(&facts, GIB, GIB, GIB), MEMORY_FLOOR);
}

/* ---- the kernel's files ---- */

static char root[64];

static void put(const char *path, const char *text)
{
	char full[256], command[300];
	FILE *file;

	snprintf(full, sizeof(full), "%s/%s", root, path);
	snprintf(command, sizeof(command), "mkdir -p $(dirname %s)", full);
	assert_int_equal(system(command), 0);
	file = fopen(full, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int setup(void **state)
{
	(void)state;
	strcpy(root, "/tmp/terrace-memory-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command);
}

static void test_facts_of_the_machine(void **state)
{
	struct memory_facts facts;

	(void)state;
	memory_facts_read(root, &facts);
	assert_int_equal(facts.total, 0);
	put("proc/meminfo", "MemTotal:       1000 kB\nMemFree: 5 kB\nMemAvailable:    600 kB\n");
	put("proc/pressure/memory", "some avg10=12.50 avg60=1.00 avg300=0.00 total=5\n"
				    "full avg10=3.25 avg60=0.00 avg300=0.00 total=0\n");
	memory_facts_read(root, &facts);
	assert_int_equal(facts.total, 1000 << 10);
	assert_int_equal(facts.available, 600 << 10);
	assert_true(facts.some == 12.5 && facts.full == 3.25);
}

static void test_facts_of_groups(void **state)
{
	struct memory_facts facts;

	(void)state;
	put("proc/meminfo", "MemTotal: 1000000 kB\nMemAvailable: 600000 kB\n");
	put("proc/pressure/memory", "some avg10=50.00 avg60=1.00 avg300=0.00 total=5\n");
	put("proc/self/cgroup", "4:memory:/old\n0::/a/b\n");
	put("sys/fs/cgroup/a/b/memory.max", "max\n");
	put("sys/fs/cgroup/a/b/memory.current", "50000000\n");
	put("sys/fs/cgroup/a/b/memory.pressure",
	    "some avg10=1.00 avg60=0 avg300=0 total=0\nfull avg10=0.50 avg60=0\n");
	put("sys/fs/cgroup/a/memory.max", "100000000\n");
	put("sys/fs/cgroup/a/memory.current", "80000000\n");
	put("sys/fs/cgroup/a/memory.stat",
	    "anon 5\nfile 30000000\ninactive_file 20000000\nactive_file 10000000\n");
	memory_facts_read(root, &facts);
	assert_int_equal(facts.total, 100000000);
	assert_int_equal(facts.available, 50000000);
	assert_true(facts.some == 1.0 && facts.full == 0.5);
	put("sys/fs/cgroup/a/b/memory.max", "40000000\n");
	memory_facts_read(root, &facts);
	assert_int_equal(facts.total, 40000000);
	assert_int_equal(facts.available, 0);
	put("proc/self/cgroup", "0::/\n");
	memory_facts_read(root, &facts);
	assert_int_equal(facts.total, 1000000ull << 10);
	assert_true(facts.some == 50.0);
}

static void test_facts_of_here(void **state)
{
	struct memory_facts facts;

	(void)state;
	memory_facts_read("", &facts);
	assert_true(facts.total > 0 && facts.available <= facts.total);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plenty),
		cmocka_unit_test(test_shrinks_by_what_is_missing),
		cmocka_unit_test(test_stalls),
		cmocka_unit_test(test_grows_slowly),
		cmocka_unit_test(test_a_hog),
		cmocka_unit_test(test_more_than_there_is),
		cmocka_unit_test_setup_teardown(test_facts_of_the_machine, setup, teardown),
		cmocka_unit_test_setup_teardown(test_facts_of_groups, setup, teardown),
		cmocka_unit_test(test_facts_of_here),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
