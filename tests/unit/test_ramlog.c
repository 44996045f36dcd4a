// SPDX-License-Identifier: Apache-2.0
/*
 * The RAM log within one process: order, room, freeing, recovery, refusals, a full tmpfs. What a
 * kill leaves is in test_ramlog_kill.c, who only looks in test_ramlog_look.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>

#include "compress/bytes.h"
#include "compress/checksum.h"
#include "fix_fault.h"
#include "fix_ramlog.h"
#include "tiers/log.h"
#include "tiers/ramlog.h"
#include "tiers/ramlog_file.h"

static const uint8_t pool_b[16] = "pool-b";

static uint64_t reserved(struct fixture *fix)
{
	struct ramlog_usage usage;

	ramlog_usage(fix->log, &usage);
	return usage.reserved;
}

static uint64_t live(struct fixture *fix)
{
	struct ramlog_usage usage;

	ramlog_usage(fix->log, &usage);
	return usage.live;
}

static void test_append_and_walk(void **state)
{
	struct fixture *fix = *state;
	struct ramlog_record record;
	uint64_t pos, next, before;
	void *data;

	log_fresh(fix, 16 * MIB);
	assert_int_equal(ramlog_walk(fix->log, 0, &record, &next), -ENOENT);
	before = ramlog_head(fix->log);
	assert_int_equal(append(fix, 1, 5, &pos), 0);
	assert_int_equal(pos, before);
	assert_int_equal(append(fix, 2, 4096, NULL), 0);
	assert_int_equal(append(fix, 3, 0, NULL), 0);
	assert_int_equal(append(fix, 4, MIB, NULL), 0);
	assert_int_equal(append(fix, 5, MIB + 1, NULL), -EINVAL);
	check_walk(fix, 0, 1, 4);
	check_walk(fix, pos, 1, 4);
	assert_int_equal(ramlog_walk(fix->log, pos, &record, &next), 0);
	check_walk(fix, next, 2, 4);
	assert_int_equal(live(fix), 5 + 4096 + MIB);

	next = ramlog_head(fix->log);
	assert_int_equal(
		ramlog_reserve(fix->log, RAMLOG_SIZE, 9, UINT64_MAX, 0, -1, &record, &data), 0);
	assert_null(data);
	ramlog_commit(fix->log, &record);
	assert_int_equal(
		ramlog_reserve(fix->log, RAMLOG_PUNCH, 9, 7, UINT64_MAX, -1, &record, &data), 0);
	ramlog_commit(fix->log, &record);
	assert_int_equal(ramlog_walk(fix->log, next, &record, &next), 0);
	assert_int_equal(record.op, RAMLOG_SIZE);
	assert_int_equal(record.off, UINT64_MAX);
	assert_int_equal(record.time_ns, -1);
	assert_null(record.data);
	assert_int_equal(ramlog_walk(fix->log, next, &record, &next), 0);
	assert_int_equal(record.op, RAMLOG_PUNCH);
	assert_int_equal(record.len, UINT64_MAX);
	assert_int_equal(live(fix), 5 + 4096 + MIB);
}

static void test_uncommitted_stops_the_walk_cancelled_is_skipped(void **state)
{
	struct fixture *fix = *state;
	struct ramlog_record first, second, record;
	uint64_t next;
	void *data;

	log_fresh(fix, 8 * MIB);
	assert_int_equal(append(fix, 1, 10, NULL), 0);
	assert_int_equal(ramlog_reserve(fix->log, RAMLOG_WRITE, 99, 0, 10, 0, &first, &data), 0);
	assert_int_equal(ramlog_reserve(fix->log, RAMLOG_WRITE, 98, 0, 10, 0, &second, &data), 0);
	assert_int_equal(append(fix, 2, 10, NULL), 0);
	check_walk(fix, 0, 1, 1);
	ramlog_cancel(fix->log, &second);
	assert_int_equal(ramlog_walk(fix->log, first.pos, &record, &next), -ENOENT);
	assert_int_equal(next, first.pos);
	ramlog_cancel(fix->log, &first);
	check_walk(fix, 0, 1, 2);
	assert_int_equal(live(fix), 20);
}

/* Chunks go oldest first, not before their last live byte, not with a record on its way. */
static void test_chunks_are_freed_in_order(void **state)
{
	struct fixture *fix = *state;
	struct ramlog_record held;
	uint64_t pos[10];
	void *data;

	log_fresh(fix, 32 * MIB);
	assert_int_equal(ramlog_reserve(fix->log, RAMLOG_SIZE, 0, 0, 0, 77, &held, &data), 0);
	for (unsigned i = 1; i <= 9; i++) /* three of them in a chunk */
		assert_int_equal(append(fix, i, MIB, &pos[i]), 0);
	for (unsigned i = 4; i <= 6; i++)
		ramlog_release(fix->log, pos[i], MIB);
	ramlog_release(fix->log, pos[1], MIB);
	ramlog_release(fix->log, pos[2], MIB);
	ramlog_release(fix->log, pos[3], MIB - 1);
	check_walk(fix, pos[1], 1, 9);
	ramlog_release(fix->log, pos[3], 1);
	check_walk(fix, pos[1], 1, 9); /* held is still on its way */
	ramlog_cancel(fix->log, &held);
	check_walk(fix, pos[1], 7, 9);
	check_walk(fix, 0, 7, 9);
	for (unsigned i = 7; i <= 9; i++)
		ramlog_release(fix->log, pos[i], MIB);
	assert_int_equal(live(fix), 0);
	check_walk(fix, 0, 7, 9); /* the current one stays */
}

static void test_trim_and_resize(void **state)
{
	struct fixture *fix = *state;
	uint64_t pos[40], full;

	log_fresh(fix, 5 * 36 * MIB);
	for (unsigned i = 1; i <= 36; i++)
		assert_int_equal(append(fix, i, MIB, &pos[i]), 0);
	full = reserved(fix);
	assert_in_range(full, 36 * MIB, 64 * MIB);
	for (unsigned i = 1; i <= 36; i++)
		ramlog_release(fix->log, pos[i], MIB);
	assert_int_equal(reserved(fix), full);
	ramlog_trim(fix->log);
	assert_int_equal(reserved(fix), full); /* who writes again finds them */
	for (unsigned i = 0; i < 4; i++)
		ramlog_trim(fix->log);
	assert_in_range(reserved(fix), full / 2, full - 1);
	for (unsigned i = 0; i < 36; i++)
		ramlog_trim(fix->log);
	assert_int_equal(reserved(fix), 5 * RAMLOG_CHUNK_BYTES);
	for (unsigned i = 1; i <= 36; i++)
		assert_int_equal(append(fix, i, MIB, &pos[i]), 0);
	for (unsigned i = 1; i <= 36; i++)
		ramlog_release(fix->log, pos[i], MIB);
	ramlog_resize(fix->log, 64 * MIB);
	ramlog_trim(fix->log); /* no more than a quarter: 5 chunks */
	assert_int_equal(reserved(fix), 5 * RAMLOG_CHUNK_BYTES);
	ramlog_resize(fix->log, 8 * MIB);
	assert_int_equal(reserved(fix), 2 * RAMLOG_CHUNK_BYTES);
	ramlog_resize(fix->log, 16 * MIB);
	for (unsigned i = 1; i <= 15; i++)
		assert_int_equal(append(fix, i, MIB, &pos[i]), 0);
	assert_int_equal(append(fix, 16, MIB, NULL), -EAGAIN);
	ramlog_resize(fix->log, 8 * MIB);
	for (unsigned i = 1; i <= 15; i++)
		ramlog_release(fix->log, pos[i], MIB);
	assert_int_equal(reserved(fix), 2 * RAMLOG_CHUNK_BYTES);
}

static void *release_later(void *arg)
{
	struct fixture *fix = arg;

	usleep(2000);
	for (unsigned i = 0; i < 3; i++) {
		struct ramlog_record record;
		uint64_t next;

		if (ramlog_walk(fix->log, 0, &record, &next) == 0)
			ramlog_release(fix->log, record.pos, i < 2 ? 0 : MIB);
	}
	return NULL;
}

static void test_full_ring(void **state)
{
	struct fixture *fix = *state;
	uint64_t pos[8], first;
	pthread_t thread;

	log_fresh(fix, 8 * MIB);
	assert_int_equal(ramlog_wait_room(fix->log, 0), 0);
	for (unsigned i = 1; i <= 6; i++)
		assert_int_equal(append(fix, i, MIB, &pos[i]), 0);
	assert_int_equal(append(fix, 7, MIB, NULL), -EAGAIN);
	assert_int_equal(append(fix, 7, 100, NULL), 0); /* what fits still fits */
	assert_int_equal(ramlog_wait_room(fix->log, 1000), -ETIMEDOUT);
	ramlog_release(fix->log, pos[1], MIB);
	ramlog_release(fix->log, pos[2], MIB);
	first = pos[3];
	assert_int_equal(ramlog_wait_room(fix->log, 1000), -ETIMEDOUT);
	check_walk(fix, first, 3, 7);
	ramlog_release(fix->log, pos[3], MIB - 1);
	ramlog_release(fix->log, pos[3], 1);
	assert_int_equal(ramlog_wait_room(fix->log, UINT64_MAX), 0);
	assert_int_equal(append(fix, 8, MIB, NULL), 0);
	check_walk(fix, 0, 4, 8);
	assert_int_equal(append(fix, 9, MIB, NULL), 0);
	assert_int_equal(append(fix, 10, MIB, NULL), 0);
	assert_int_equal(append(fix, 11, MIB, NULL), -EAGAIN);

	/* A waiter without a limit in time is woken by the release that frees a chunk. */
	ramlog_release(fix->log, pos[5], MIB);
	ramlog_release(fix->log, pos[6], MIB);
	{
		struct ramlog_record record;
		uint64_t next;

		assert_int_equal(ramlog_walk(fix->log, pos[6], &record, &next), 0);
		assert_int_equal(ramlog_walk(fix->log, next, &record, &next), 0);
		ramlog_release(fix->log, record.pos, 100);
	}
	assert_int_equal(pthread_create(&thread, NULL, release_later, fix), 0);
	assert_int_equal(ramlog_wait_room(fix->log, UINT64_MAX), 0);
	pthread_join(thread, NULL);
	assert_int_equal(append(fix, 11, MIB, NULL), 0);
}

/* The smallest log always has room for the largest record once what was in it is dead. */
static void test_smallest_log_never_wedges(void **state)
{
	struct fixture *fix = *state;
	bool recovered;
	uint64_t pos;

	assert_int_equal(log_open(fix, 8 * MIB - 1, &recovered), -EINVAL);
	log_fresh(fix, 8 * MIB);
	srand(11);
	for (unsigned i = 0; i < 600; i++) {
		uint64_t len = i % 3 ? (uint64_t)rand() % MIB : MIB;

		assert_int_equal(append(fix, i, len, &pos), 0);
		for (unsigned k = 0; k < 4; k++) {
			uint64_t small;

			assert_int_equal(append(fix, i, 100, &small), 0);
			ramlog_release(fix->log, small, 100);
		}
		ramlog_release(fix->log, pos, len);
	}
	assert_int_equal(reserved(fix), 2 * RAMLOG_CHUNK_BYTES);
}

static void test_recovery(void **state)
{
	struct fixture *fix = *state;
	struct ramlog_record record;
	uint64_t pos[30], head;
	void *data;

	log_fresh(fix, 64 * MIB);
	for (unsigned i = 1; i <= 20; i++)
		assert_int_equal(append(fix, i, i % 2 ? MIB : 70 * i, &pos[i]), 0);
	for (unsigned i = 1; i <= 6; i++) /* with three small ones they fill a chunk */
		ramlog_release(fix->log, pos[i], i % 2 ? MIB : 70 * i);
	assert_int_equal(ramlog_reserve(fix->log, RAMLOG_WRITE, 99, 0, 10, 0, &record, &data), 0);
	head = ramlog_head(fix->log);
	log_reopen(fix, 64 * MIB);
	assert_int_equal(ramlog_head(fix->log), head);
	check_walk(fix, 0, 7, 20); /* the first chunk was freed before */
	assert_int_equal(live(fix), 7 * MIB + 70 * (8 + 10 + 12 + 14 + 16 + 18 + 20));
	assert_int_equal(append(fix, 21, MIB, &pos[21]), 0);
	assert_true(pos[21] >= head);
	check_walk(fix, pos[20], 20, 21);
	log_reopen(fix, 8 * MIB); /* a lower limit does not lose anything */
	check_walk(fix, pos[20], 20, 21);
	for (unsigned i = 22; append(fix, i, MIB, NULL) == 0; i++)
		assert_in_range(i, 22, 24); /* the rest of the current chunk */
	for (unsigned i = 7; i <= 21; i++)
		ramlog_release(fix->log, pos[i], i % 2 ? MIB : 70 * i);
	assert_int_equal(append(fix, 30, MIB, NULL), 0);
}

/* A chunk that was used before must not show what it held, were it made to look like a record. */
static void test_old_bytes_are_no_records(void **state)
{
	struct fixture *fix = *state;
	const uint32_t at = RAMLOG_CHUNK_HEADER + 2 * RAMLOG_HEADER + 8; /* within the payload */
	struct ramlog_chunk fake = {.seq = 3, .used = at};
	struct ramlog_record record;
	uint64_t pos, next, log_id;
	void *data;

	log_fresh(fix, 8 * MIB);
	assert_int_equal(ramlog_head_read(fix->dir, pool_a, &log_id), 0);
	assert_int_equal(ramlog_reserve(fix->log, RAMLOG_WRITE, 1, 0, MIB, 0, &record, &data), 0);
	/* The forged one: at the place and position where the next but one record will come. */
	fake.base = (uint8_t *)data - RAMLOG_HEADER - RAMLOG_CHUNK_HEADER;
	ramlog_record_put(&fake,
			  &(struct ramlog_record){.object = 666,
						  .op = RAMLOG_SIZE,
						  .pos = 3 * (uint64_t)RAMLOG_CHUNK_BYTES + at},
			  log_id);
	ramlog_record_mark(&fake, at, RAMLOG_COMMITTED);
	ramlog_commit(fix->log, &record);
	ramlog_release(fix->log, record.pos, MIB);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(append(fix, 2, MIB, &pos), 0);
		ramlog_release(fix->log, pos, MIB);
	}
	assert_int_equal(ramlog_head(fix->log) / RAMLOG_CHUNK_BYTES, 2);
	assert_int_equal(append(fix, 3, 8 + RAMLOG_HEADER, &pos), 0);
	assert_int_equal(append(fix, 4, MIB, &pos), 0);
	ramlog_release(fix->log, pos, MIB);
	/* Now the chunk with the forgery is number 3, and its record ends where the forgery is. */
	(void)next;
	log_reopen(fix, 8 * MIB);
	assert_int_equal(ramlog_walk(fix->log, 0, &record, &next), 0);
	do {
		assert_int_not_equal(record.object, 666);
	} while (ramlog_walk(fix->log, next, &record, &next) == 0);
}

static void test_refusals(void **state)
{
	struct fixture *fix = *state;
	struct ramlog_options other = {.dir = fix->dir, .pool_uuid = pool_b, .max_bytes = 8 * MIB};
	bool recovered;

	log_fresh(fix, 8 * MIB);
	assert_int_equal(append(fix, 1, 100, NULL), 0);
	ramlog_close(fix->log, false);
	assert_int_equal(ramlog_open(&fix->log, &other, &recovered), -ENOTUNIQ);
	assert_null(fix->log);
	head_edit(fix, 16, true); /* an incompat bit */
	assert_int_equal(log_open(fix, 8 * MIB, &recovered), -ENOTSUP);
	head_edit(fix, 16, true);
	head_edit(fix, 70, false);
	assert_int_equal(log_open(fix, 8 * MIB, &recovered), -EUCLEAN);
	head_edit(fix, 70, false);
	assert_int_equal(log_open(fix, 8 * MIB, &recovered), 0);
	assert_true(recovered);
	check_walk(fix, 0, 1, 1);

	/* Another boot: the power was cut, what is there is from before. */
	ramlog_close(fix->log, false);
	head_edit(fix, 50, true);
	log_fresh(fix, 8 * MIB);
	assert_int_equal(append(fix, 1, 100, NULL), 0);
	check_walk(fix, 0, 1, 1);

	ramlog_close(fix->log, false);
	other.create = true;
	assert_int_equal(ramlog_open(&fix->log, &other, &recovered), 0);
	assert_false(recovered);
	assert_int_equal(live(fix), 0);
}

static void test_close_empty_leaves_others_alone(void **state)
{
	static const char *const others[] = {"log.txt", "log.3x", "journal.tail", "log."};
	struct fixture *fix = *state;
	char path[96], command[160];

	for (unsigned i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/%s", fix->dir, others[i]);
		close(open(path, O_CREAT | O_WRONLY, 0600));
	}
	log_fresh(fix, 8 * MIB);
	assert_int_equal(append(fix, 1, 100, NULL), 0);
	ramlog_close(fix->log, true);
	fix->log = NULL;
	snprintf(command, sizeof(command), "test $(ls -A '%s' | wc -l) = 4", fix->dir);
	assert_int_equal(system(command), 0);
	log_fresh(fix, 8 * MIB);
}

/* Damage is found and said, never guessed over and never a signal. */
static void test_damage(void **state)
{
	static const off_t places[] = {0, 9, 17, 57, 64, 68, 72, 96, 112, 125};
	struct fixture *fix = *state;
	char path[96], moved[96];
	bool recovered;

	log_fresh(fix, 16 * MIB);
	for (unsigned i = 1; i <= 7; i++)
		assert_int_equal(append(fix, i, MIB, NULL), 0);
	ramlog_close(fix->log, false);
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		chunk_edit(fix, 1, places[i]);
		assert_int_equal(log_open(fix, 16 * MIB, &recovered), -EUCLEAN);
		chunk_edit(fix, 1, places[i]);
	}
	snprintf(path, sizeof(path), "%s/log.0", fix->dir); /* the second of three */
	snprintf(moved, sizeof(moved), "%s/moved", fix->dir);
	assert_int_equal(rename(path, moved), 0);
	assert_int_equal(log_open(fix, 16 * MIB, &recovered), -EUCLEAN);
	assert_int_equal(rename(moved, path), 0);
	assert_int_equal(log_open(fix, 16 * MIB, &recovered), 0);
	check_walk(fix, 0, 1, 7);
	ramlog_close(fix->log, false);
	/* A hole where memory was: found by its zeros. */
	{
		int fd = open(path, O_RDWR);

		assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					   RAMLOG_CHUNK_HEADER + RAMLOG_HEADER + MIB, 8192),
				 0);
		close(fd);
	}
	assert_int_equal(log_open(fix, 16 * MIB, &recovered), -EUCLEAN);
	assert_null(fix->log);
}

static void test_full_tmpfs(void **state)
{
	struct fixture *fix = *state;
	char command[128];
	bool recovered;
	uint64_t pos[7];

	if (mount("tmpfs", fix->dir, "tmpfs", 0, "size=6M") != 0)
		skip();
	fix->mounted = true;
	assert_int_equal(log_open(fix, 64 * MIB, &recovered), -ENOSPC);
	snprintf(command, sizeof(command), "test -z \"$(ls -A '%s')\"", fix->dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(mount("tmpfs", fix->dir, "tmpfs", MS_REMOUNT, "size=8M"), 0);
	log_fresh(fix, 64 * MIB);
	for (unsigned i = 1; i <= 6; i++)
		assert_int_equal(append(fix, i, MIB, &pos[i]), 0);
	assert_int_equal(append(fix, 7, MIB, NULL), -EAGAIN);
	assert_int_equal(reserved(fix), 2 * RAMLOG_CHUNK_BYTES);
	assert_int_equal(ramlog_wait_room(fix->log, 1000), -ETIMEDOUT);
	check_walk(fix, 0, 1, 6);
	log_reopen(fix, 64 * MIB); /* and a full tmpfs is no reason not to recover */
	check_walk(fix, 0, 1, 6);
	for (unsigned i = 1; i <= 3; i++)
		ramlog_release(fix->log, pos[i], MIB);
	assert_int_equal(append(fix, 7, MIB, NULL), 0);
	/* Room elsewhere is found without anything being freed here. */
	assert_int_equal(append(fix, 8, MIB, NULL), 0);
	assert_int_equal(append(fix, 9, MIB, NULL), 0);
	assert_int_equal(append(fix, 10, MIB, NULL), -EAGAIN);
	assert_int_equal(mount("tmpfs", fix->dir, "tmpfs", MS_REMOUNT, "size=16M"), 0);
	assert_int_equal(ramlog_wait_room(fix->log, UINT64_MAX), 0);
	assert_int_equal(append(fix, 10, MIB, NULL), 0);
}

/* Every call that opening, appending and closing make fails once, and from then on. */
static void fault_run(struct fixture *fix)
{
	bool recovered;

	for (unsigned round = 0; round < 2; round++) {
		if (log_open(fix, 16 * MIB, &recovered) < 0)
			return;
		for (unsigned i = 1; i <= 7; i++)
			if (append(fix, i, MIB, NULL) < 0)
				break;
		ramlog_close(fix->log, round == 1);
		fix->log = NULL;
	}
}

static void test_faults(void **state)
{
	static const enum fault_kind kinds[] = {FAULT_EIO, FAULT_ENOSPC};
	struct fixture *fix = *state;
	int fds = fault_open_fds();

	for (unsigned k = 0; k < 4; k++) {
		for (uint64_t n = 1;; n++) {
			struct ramlog_options options = {.dir = fix->dir,
							 .pool_uuid = pool_a,
							 .max_bytes = 16 * MIB,
							 .create = true};
			bool recovered;
			uint64_t failed;

			fault_arm(FAULT_ALL, n, kinds[k % 2], k >= 2);
			fault_run(fix);
			failed = fault_disarm();
			assert_int_equal(fault_open_fds(), fds);
			/* Whatever it left behind, a fresh log can be made of it. */
			assert_int_equal(ramlog_open(&fix->log, &options, &recovered), 0);
			assert_int_equal(append(fix, 1, MIB, NULL), 0);
			ramlog_close(fix->log, true);
			fix->log = NULL;
			if (!failed)
				break;
		}
	}
}

/* ---- threads ---- */

#define APPENDERS   4u
#define EACH	    1500u
#define LEN(number) ((number)*7919u % 20000 + 8)

struct appender {
	struct fixture *fix;
	uint64_t object;
	unsigned bad;
};

static void *append_many(void *arg)
{
	struct appender *me = arg;
	struct ramlog_record record;
	void *data;

	for (unsigned number = 1; number <= EACH;) {
		int err = ramlog_reserve(me->fix->log, RAMLOG_WRITE, me->object, number,
					 LEN(number), 0, &record, &data);

		if (err == -EAGAIN) {
			ramlog_wait_room(me->fix->log, UINT64_MAX);
			continue;
		}
		if (err) {
			me->bad++;
			break;
		}
		memset(data, (int)(number & 0xff), LEN(number));
		if (number % 10 == 3 && me->object % 2) {
			ramlog_cancel(me->fix->log, &record);
		} else {
			ramlog_commit(me->fix->log, &record);
		}
		number++;
	}
	return NULL;
}

/* Appenders against one flusher that follows with the walk, over a ring that grows, fills up, is
 * trimmed and resized. */
static void test_threads(void **state)
{
	struct fixture *fix = *state;
	struct appender appenders[APPENDERS];
	uint64_t last[APPENDERS] = {0}, next = 0;
	pthread_t threads[APPENDERS];
	unsigned finished = 0;

	log_fresh(fix, 16 * MIB);
	for (unsigned i = 0; i < APPENDERS; i++) {
		appenders[i] = (struct appender){.fix = fix, .object = i};
		assert_int_equal(pthread_create(&threads[i], NULL, append_many, &appenders[i]), 0);
	}
	for (unsigned steps = 0; finished < APPENDERS; steps++) {
		struct ramlog_record record;
		const uint8_t *data;

		if (ramlog_walk(fix->log, next, &record, &next) < 0) {
			sched_yield();
			continue;
		}
		data = record.data;
		assert_true(record.off > last[record.object]);
		last[record.object] = record.off;
		assert_int_equal(record.len, LEN(record.off));
		assert_int_equal(data[0], record.off & 0xff);
		assert_int_equal(data[record.len - 1], record.off & 0xff);
		ramlog_release(fix->log, record.pos, record.len / 2);
		ramlog_release(fix->log, record.pos, record.len - record.len / 2);
		finished += record.off == EACH;
		if (steps % 500 == 499)
			ramlog_trim(fix->log);
		if (steps % 700 == 699)
			ramlog_resize(fix->log, (8 + steps % 3 * 8) * MIB);
	}
	for (unsigned i = 0; i < APPENDERS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(appenders[i].bad, 0);
	}
	assert_int_equal(live(fix), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_append_and_walk),
		T(test_uncommitted_stops_the_walk_cancelled_is_skipped),
		T(test_chunks_are_freed_in_order),
		T(test_trim_and_resize),
		T(test_full_ring),
		T(test_smallest_log_never_wedges),
		T(test_recovery),
		T(test_old_bytes_are_no_records),
		T(test_refusals),
		T(test_close_empty_leaves_others_alone),
		T(test_damage),
		T(test_full_tmpfs),
		T(test_faults),
		T(test_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
