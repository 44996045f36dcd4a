// SPDX-License-Identifier: Apache-2.0
/*
 * A pool of many files is checked in bounded time and memory, and silently. TERRACE_FILES says how
 * many (a million takes minutes to make); what it took is printed then.
 */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <time.h>
#include <cmocka.h>

#include "fs/check.h"
#include "fs/inode.h"
#include "tests/unit/fix_fs.h"

#define A_FOLDER 1000u

static void told(void *arg, const struct check_problem *problem)
{
	(void)arg;
	fail_msg("C%03d %s: %s", problem->code, problem->where, problem->what);
}

/* VmHWM of this process, MiB; begun anew by peak_reset(). */
static long peak(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[256];
	long kib = 0;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "VmHWM: %ld", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return kib >> 10;
}

static void peak_reset(void)
{
	FILE *file = fopen("/proc/self/clear_refs", "w");

	if (file) {
		fputs("5", file);
		fclose(file);
	}
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void make(struct fix_fs *fix, uint64_t n)
{
	uint64_t folder = 0;

	for (uint64_t i = 0; i < n; i++) {
		char name[32], text[200];

		if (i % A_FOLDER == 0) {
			snprintf(name, sizeof(name), "folder %llu", (unsigned long long)i);
			folder = fix_folder(fix, ROOT, name);
		}
		snprintf(name, sizeof(name), "file %llu", (unsigned long long)i);
		snprintf(text, sizeof(text), "content of file %llu, and no more than that",
			 (unsigned long long)i);
		fix_file(fix, folder, name, text);
		if (i % 100000 == 99999)
			assert_int_equal(pool_sync(fix->pool.pool), 0);
	}
}

static void many_files(void **state)
{
	const char *wanted = getenv("TERRACE_FILES");
	uint64_t n = wanted ? strtoull(wanted, NULL, 10) : 3000;
	struct fix_fs *fix = *state;
	struct fs_check_options options = {.base = {.config = &fix->pool.config, .problem = told}};
	struct check_result result;
	double start;
	clock_t cpu;
	long before;

	make(fix, n);
	fs_close(fix->fs);
	fix_pool_close(&fix->pool);
	malloc_trim(0);
	peak_reset();
	before = peak();
	start = seconds();
	cpu = clock();
	assert_int_equal(fs_check(&options, &result), 0);
	assert_int_equal(result.problems, 0);
	assert_int_equal(result.objects, 1 + n + (n + A_FOLDER - 1) / A_FOLDER);
	if (wanted)
		print_message("%llu files: %.1f s, of them %.1f s CPU; %ld MiB of memory at most\n",
			      (unsigned long long)n, seconds() - start,
			      (double)(clock() - cpu) / CLOCKS_PER_SEC, peak() - before);
	fix_pool_open(&fix->pool);
	assert_int_equal(fs_open(fix->pool.pool, "/mnt", &fix->fs), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(many_files, fix_fs_setup, fix_fs_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
