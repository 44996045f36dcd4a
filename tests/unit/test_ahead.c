// SPDX-License-Identifier: Apache-2.0
/* Reading ahead in a map (tiers/ahead.h): when it is asked for, and that the kernel then does it.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fix_dir.h"
#include "tiers/ahead.h"

#define PAGE  ((size_t)4096)
#define RUNS  4u
#define BYTES (RUNS * AHEAD_BYTES)

static struct ahead ahead;

static int setup(void **state)
{
	(void)state;
	memset(&ahead, 0, sizeof(ahead));
	return 0;
}

/* Addresses that nobody maps do: the answer does not depend on what the kernel makes of it. */
static const void *place(size_t run, size_t page)
{
	return (const void *)(uintptr_t)(((size_t)1 << 30) + run * AHEAD_BYTES + page * PAGE + 7);
}

static void test_when(void **state)
{
	(void)state;
	assert_false(ahead_look(&ahead, place(1, 5))); /* the first page of a run */
	assert_false(ahead_look(&ahead, place(1, 5)));
	assert_true(ahead_look(&ahead, place(1, 9)));	/* another one */
	assert_false(ahead_look(&ahead, place(1, 10))); /* once */
	assert_false(ahead_look(&ahead, place(1, 9)));
	assert_false(ahead_look(&ahead, place(2, 0))); /* the neighbour is a run of its own */
	assert_true(ahead_look(&ahead, place(2, 1)));
	/* Another run has taken the slot: what was before is not lately any more. */
	assert_false(ahead_look(&ahead, place(1 + AHEAD_SLOTS, 5)));
	assert_false(ahead_look(&ahead, place(1, 5)));
	assert_true(ahead_look(&ahead, place(1, 6)));
}

/* Here and there in a large map: nothing is asked for. */
static void test_scattered(void **state)
{
	unsigned asked = 0;

	(void)state;
	for (size_t i = 0; i < 10000; i++)
		asked += ahead_look(&ahead, place(i * 7919 % 20011, i % 64));
	assert_int_equal(asked, 0);
}

static unsigned resident(const uint8_t *map, size_t run)
{
	unsigned char pages[AHEAD_BYTES / PAGE];
	unsigned n = 0;

	assert_int_equal(mincore((void *)(uintptr_t)(map + run * AHEAD_BYTES), AHEAD_BYTES, pages),
			 0);
	for (size_t i = 0; i < sizeof(pages); i++)
		n += pages[i] & 1;
	return n;
}

/* At an address whose runs are whole. */
static uint8_t *map_file(int fd)
{
	uint8_t *room =
		mmap(NULL, BYTES + AHEAD_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *at, *map;

	assert_true(room != MAP_FAILED);
	at = room + (AHEAD_BYTES - (uintptr_t)room % AHEAD_BYTES) % AHEAD_BYTES;
	map = mmap(at, BYTES, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
	assert_ptr_equal(map, at);
	assert_int_equal(madvise(map, BYTES, MADV_RANDOM), 0);
	return map;
}

static void look(const uint8_t *map, size_t run, size_t page)
{
	const volatile uint8_t *at = map + run * AHEAD_BYTES + page * PAGE;

	assert_int_equal(*at, 'a');
	ahead_look(&ahead, (const void *)(uintptr_t)at);
}

static void test_kernel(void **state)
{
	uint8_t *bytes = malloc(BYTES), *map;
	struct dir_fixture dir;
	char path[512];
	unsigned n = 0;
	int fd;

	(void)state;
	dir_fixture_make(&dir, "/tmp");
	snprintf(path, sizeof(path), "%s/file", dir.paths[0]);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	memset(bytes, 'a', BYTES);
	assert_int_equal(pwrite(fd, bytes, BYTES, 0), BYTES);
	free(bytes);
	assert_int_equal(fdatasync(fd), 0);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	map = map_file(fd);
	if (!resident(map, 1)) { /* else a file system without a cache to drop, as tmpfs */
		look(map, 1, 3);
		assert_int_equal(resident(map, 1), 1);
		look(map, 1, 9);
		for (unsigned i = 0; i < 1000 && (n = resident(map, 1)) < AHEAD_BYTES / PAGE; i++)
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		assert_int_equal(n, AHEAD_BYTES / PAGE);
		assert_int_equal(resident(map, 2), 0);
	}
	close(fd);
	dir_fixture_remove(&dir);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_when, setup),
		cmocka_unit_test_setup(test_scattered, setup),
		cmocka_unit_test_setup(test_kernel, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
