/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A RAM log in a folder of its own, of one object after the other, and hands that damage its files.
 * After <cmocka.h>; included by the one .c file of a test program.
 */
#ifndef TERRACE_TESTS_FIX_RAMLOG_H
#define TERRACE_TESTS_FIX_RAMLOG_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "compress/bytes.h"
#include "compress/checksum.h"
#include "fix_fault.h"
#include "tiers/log.h"
#include "tiers/ramlog.h"
#include "tiers/ramlog_file.h"

#define MIB (1u << 20)

static const uint8_t pool_a[16] = "pool-a";

struct fixture {
	char dir[64];
	struct ramlog *log;
	bool mounted;
};

static inline void quiet(void *arg, enum log_level level, const char *line)
{
	(void)arg, (void)level, (void)line;
}

static inline int setup(void **state)
{
	struct fixture *fix = calloc(1, sizeof(*fix));

	log_sink_set(quiet, NULL);
	strcpy(fix->dir,
	       access("/dev/shm", W_OK) == 0 ? "/dev/shm/ramlog-XXXXXX" : "/tmp/ramlog-XXXXXX");
	*state = fix;
	return mkdtemp(fix->dir) ? 0 : -1;
}

static inline int teardown(void **state)
{
	struct fixture *fix = *state;
	char command[128];

	fault_disarm();
	ramlog_close(fix->log, true);
	if (fix->mounted)
		umount2(fix->dir, MNT_DETACH);
	snprintf(command, sizeof(command), "rm -rf '%s'", fix->dir);
	if (system(command) != 0)
		return -1;
	free(fix);
	return 0;
}

static inline int log_open(struct fixture *fix, uint64_t max_bytes, bool *recovered)
{
	struct ramlog_options options = {
		.dir = fix->dir, .pool_uuid = pool_a, .max_bytes = max_bytes};

	return ramlog_open(&fix->log, &options, recovered);
}

static inline void log_reopen(struct fixture *fix, uint64_t max_bytes)
{
	bool recovered;

	ramlog_close(fix->log, false);
	fix->log = NULL;
	assert_int_equal(log_open(fix, max_bytes, &recovered), 0);
	assert_true(recovered);
}

static inline void log_fresh(struct fixture *fix, uint64_t max_bytes)
{
	bool recovered;

	assert_int_equal(log_open(fix, max_bytes, &recovered), 0);
	assert_false(recovered);
}

static inline int append(struct fixture *fix, uint64_t object, uint64_t len, uint64_t *pos)
{
	struct ramlog_record record;
	void *data;
	int err =
		ramlog_reserve(fix->log, RAMLOG_WRITE, object, object * 3, len, 77, &record, &data);

	if (pos)
		*pos = err ? 0 : record.pos;
	if (err)
		return err;
	memset(data, (int)(object & 0xff), len);
	ramlog_commit(fix->log, &record);
	return 0;
}

/* Objects are given out in order, so the walk must find first, first + 1, ... last. */
static inline void check_walk(struct fixture *fix, uint64_t from, uint64_t first, uint64_t last)
{
	struct ramlog_record record;

	for (uint64_t object = first; object <= last; object++) {
		const uint8_t *data;

		assert_int_equal(ramlog_walk(fix->log, from, &record, &from), 0);
		assert_int_equal(record.object, object);
		assert_int_equal(record.off, object * 3);
		assert_int_equal(record.time_ns, 77);
		assert_int_equal(record.op, RAMLOG_WRITE);
		data = record.data;
		for (uint64_t i = 0; i < record.len; i += 500)
			assert_int_equal(data[i], object & 0xff);
	}
	assert_int_equal(ramlog_walk(fix->log, from, &record, &from), -ENOENT);
}

static inline void head_edit(struct fixture *fix, size_t at, bool mend)
{
	uint8_t head[128];
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "%s/log.head", fix->dir);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, head, sizeof(head), 0), sizeof(head));
	head[at] ^= 0x10;
	if (mend)
		put_le64(head + 120, checksum64(head, 120));
	assert_int_equal(pwrite(fd, head, sizeof(head), 0), sizeof(head));
	close(fd);
}

static inline void chunk_edit(struct fixture *fix, uint64_t file, off_t at)
{
	char path[96];
	uint8_t byte;
	int fd;

	snprintf(path, sizeof(path), "%s/log.%u", fix->dir, (unsigned)file);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

#endif
