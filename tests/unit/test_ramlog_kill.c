// SPDX-License-Identifier: Apache-2.0
/*
 * The RAM log and SIGKILL.
 *
 * Storm: a child with two threads appends, releases, goes round the ring and is killed at a random
 * moment; it says what it did through a pipe, so the parent knows what must be there.
 * Steps: a child is driven one machine instruction at a time through appends, a change of chunk and
 * the freeing of one; whenever the log's bytes have changed, a copy of them must recover.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tiers/log.h"
#include "tiers/ramlog.h"
#include "tiers/ramlog_file.h"

#define MIB (1u << 20)

static const uint8_t pool[16] = "pool";

struct fixture {
	char dir[64];
	char copy[64];
};

static void quiet(void *arg, enum log_level level, const char *line)
{
	(void)arg, (void)level, (void)line;
}

static int setup(void **state)
{
	const char *pattern =
		access("/dev/shm", W_OK) == 0 ? "/dev/shm/ramlog-XXXXXX" : "/tmp/ramlog-XXXXXX";
	struct fixture *fix = calloc(1, sizeof(*fix));

	log_sink_set(quiet, NULL);
	strcpy(fix->dir, pattern);
	strcpy(fix->copy, pattern);
	*state = fix;
	return mkdtemp(fix->dir) && mkdtemp(fix->copy) ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *fix = *state;
	char command[192];

	snprintf(command, sizeof(command), "rm -rf '%s' '%s'", fix->dir, fix->copy);
	if (system(command) != 0)
		return -1;
	free(fix);
	return 0;
}

static int open_log(const char *dir, struct ramlog **out, bool *recovered)
{
	struct ramlog_options options = {.dir = dir, .pool_uuid = pool, .max_bytes = 16 * MIB};

	return ramlog_open(out, &options, recovered);
}

/* ---- storm ---- */

#define ROUNDS	    60u
#define RECORDS_MAX 40000u
#define WINDOW	    48u /* a writer releases what it wrote so many records ago */

/* What the child says: first "I may release this", then it does; first it commits, then says so. */
struct word {
	uint64_t object, number, pos, len;
	bool released;
};

struct writer {
	struct ramlog *log;
	int pipe;
	uint64_t object;
	unsigned seed;
};

static uint64_t payload_word(uint64_t object, uint64_t number, uint64_t i)
{
	return (object << 40) ^ (number << 20) ^ (i * UINT64_C(0x9e3779b97f4a7c15));
}

static void say(int fd, const struct word *word)
{
	if (write(fd, word, sizeof(*word)) != (ssize_t)sizeof(*word))
		_exit(2);
}

static bool write_one(struct writer *writer, uint64_t number, struct word *word)
{
	unsigned dice = (unsigned)rand_r(&writer->seed) % 100;
	uint64_t len = dice < 5 ? MIB : (unsigned)rand_r(&writer->seed) % 60000 & ~7u;
	enum ramlog_op op = dice > 90 ? RAMLOG_SIZE : RAMLOG_WRITE;
	struct ramlog_record record;
	void *data;
	int err;

	if (op == RAMLOG_SIZE)
		len = 0;
	err = ramlog_reserve(writer->log, op, writer->object, number, len, (int64_t)len, &record,
			     &data);
	if (err == -EAGAIN) {
		ramlog_wait_room(writer->log, 1000000);
		return false;
	}
	if (err)
		_exit(3);
	for (uint64_t i = 0; i < len / 8; i++)
		((uint64_t *)data)[i] = payload_word(writer->object, number, i);
	if (dice == 50) {
		ramlog_cancel(writer->log, &record);
		return false;
	}
	ramlog_commit(writer->log, &record);
	*word = (struct word){writer->object, number, record.pos, len, false};
	return true;
}

static void *writer_main(void *arg)
{
	struct writer *writer = arg;
	struct word window[WINDOW] = {0};

	for (uint64_t number = 1;;) {
		struct word *word = &window[number % WINDOW];

		if (word->number) {
			word->released = true;
			say(writer->pipe, word);
			ramlog_release(writer->log, word->pos, word->len);
			word->number = 0;
		}
		if (write_one(writer, number, word)) {
			say(writer->pipe, word);
			number++;
		} else {
			/* No room: let go of everything, the other one may hold the oldest. */
			for (unsigned i = 0; i < WINDOW; i++) {
				if (!window[i].number)
					continue;
				window[i].released = true;
				say(writer->pipe, &window[i]);
				ramlog_release(writer->log, window[i].pos, window[i].len);
				window[i].number = 0;
			}
		}
	}
	return NULL;
}

static void child_main(const char *dir, int pipe, unsigned round)
{
	struct writer writers[2];
	pthread_t thread;
	bool recovered;
	struct ramlog *log;

	if (open_log(dir, &log, &recovered) < 0 || recovered != (round > 0))
		_exit(1);
	for (unsigned i = 0; i < 2; i++)
		writers[i] = (struct writer){log, pipe, round * 2 + i + 1, round * 2 + i + 1};
	pthread_create(&thread, NULL, writer_main, &writers[1]);
	writer_main(&writers[0]);
}

/* Runs a child for a while and kills it; words of what it said. */
static unsigned run_child(const char *dir, unsigned round, unsigned run_us, struct word *words)
{
	struct timespec start, now;
	unsigned n = 0, passed = 0;
	int ends[2], status;
	bool killed = false;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(ends[0]);
		child_main(dir, ends[1], round);
		_exit(0);
	}
	close(ends[1]);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (;;) {
		struct pollfd poll_in = {.fd = ends[0], .events = POLLIN};
		struct timespec wait = {0, 20000};
		ssize_t got;

		if (!killed && passed >= run_us) {
			kill(child, SIGKILL);
			killed = true;
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
		passed = (unsigned)((now.tv_sec - start.tv_sec) * 1000000 +
				    (now.tv_nsec - start.tv_nsec) / 1000);
		if (!killed && ppoll(&poll_in, 1, &wait, NULL) == 0)
			continue;
		got = read(ends[0], &words[n], sizeof(words[n]));
		if (got == 0)
			break;
		assert_int_equal(got, sizeof(words[n]));
		assert_true(++n < RECORDS_MAX);
	}
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	return n;
}

static void check_payload(const struct ramlog_record *record)
{
	const uint64_t *data = record->data;

	assert_int_equal((uint64_t)record->time_ns, record->len);
	for (uint64_t i = 0; i < record->len / 8; i++)
		if (data[i] != payload_word(record->object, record->off, i))
			fail_msg("record %lu of object %lu is not what was written",
				 (unsigned long)record->off, (unsigned long)record->object);
}

static bool is_released(const struct word *words, unsigned n, unsigned from, uint64_t pos)
{
	for (unsigned i = from; i < n; i++)
		if (words[i].released && words[i].pos == pos)
			return true;
	return false;
}

/* Every record that was said and not released is there, whole; what is there is in order. */
static void check_survivors(struct ramlog *log, const struct word *words, unsigned n,
			    unsigned round)
{
	/* Each of the two writers may have committed one record that it had no time to say. */
	unsigned nseen = 0, most = n + 2;
	uint64_t last[2] = {0}, pos = 0, next = 0, *seen = calloc(most, sizeof(*seen));
	struct ramlog_record record;

	while (ramlog_walk(log, next, &record, &next) == 0) {
		unsigned who = (unsigned)(record.object - round * 2 - 1);

		assert_true(record.pos > pos);
		pos = record.pos;
		if (record.object <= round * 2)
			continue; /* of an earlier round, released by then */
		assert_in_range(who, 0, 1);
		assert_true(record.off > last[who]);
		last[who] = record.off;
		check_payload(&record);
		assert_true(nseen < most);
		seen[nseen++] = pos;
	}
	for (unsigned i = 0, at; i < n; i++) {
		/* A record without payload keeps nothing: it goes with what lies around it. */
		if (!words[i].len || words[i].released ||
		    is_released(words, n, i + 1, words[i].pos))
			continue;
		for (at = 0; at < nseen && seen[at] != words[i].pos; at++)
			;
		assert_true(at < nseen);
	}
	free(seen);
}

static void release_all(struct ramlog *log)
{
	struct ramlog_record record;
	uint64_t next = 0;

	while (ramlog_walk(log, next, &record, &next) == 0)
		if (record.op == RAMLOG_WRITE)
			ramlog_release(log, record.pos, record.len);
}

static void test_storm(void **state)
{
	struct fixture *fix = *state;
	struct word *words = calloc(RECORDS_MAX, sizeof(*words));
	unsigned seed = (unsigned)getpid(), total = 0;
	struct ramlog_usage usage;
	struct ramlog *log;
	bool recovered;

	print_message("seed %u\n", seed);
	for (unsigned round = 0; round < ROUNDS; round++) {
		/* The first needs a log to be there for the others to be recoveries. */
		unsigned run_us = (round ? 0 : 20000) + (unsigned)rand_r(&seed) % 12000;
		unsigned n = run_child(fix->dir, round, run_us, words);

		assert_int_equal(open_log(fix->dir, &log, &recovered), 0);
		assert_true(recovered);
		check_survivors(log, words, n, round);
		release_all(log);
		ramlog_usage(log, &usage);
		assert_int_equal(usage.live, 0);
		ramlog_close(log, false);
		total += n;
	}
	assert_true(total > ROUNDS);
	free(words);
}

/* ---- steps ---- */

#define EDGE 8192u /* what is watched of each chunk: so much of both of its ends */

/* Shared with the child: what it has said. */
struct said {
	volatile unsigned acked; /* records 1..acked are committed */
	volatile unsigned freed; /* records 1..freed may be gone */
};

static void step_append(struct ramlog *log, struct said *said, uint64_t len)
{
	struct ramlog_record record;
	unsigned number = said->acked + 1;
	void *data;

	if (ramlog_reserve(log, RAMLOG_WRITE, number, number * 7, len, 5, &record, &data) < 0)
		_exit(3);
	for (unsigned i = 0; i < 16; i++)
		((uint8_t *)data)[i] = (uint8_t)number;
	ramlog_commit(log, &record);
	said->acked = number;
}

static void step_child(const char *dir, struct said *said)
{
	struct ramlog_record record;
	struct ramlog *log;
	uint64_t next = 0;
	bool recovered;
	void *data;

	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(9);
	if (open_log(dir, &log, &recovered) < 0)
		_exit(1);
	/* Both chunks full of what looks like records, so that nothing rests on zeros. */
	for (unsigned i = 0; i < 3; i++)
		step_append(log, said, MIB);
	step_append(log, said, (64u << 10) - EDGE);
	raise(SIGSTOP);
	step_append(log, said, 16);
	step_append(log, said, EDGE); /* into the next chunk */
	if (ramlog_reserve(log, RAMLOG_SIZE, 99, 0, 0, 0, &record, &data) < 0)
		_exit(3);
	step_append(log, said, 24);
	ramlog_cancel(log, &record);
	said->freed = 5;
	for (unsigned i = 0; i < 5; i++) {
		if (ramlog_walk(log, next, &record, &next) < 0)
			_exit(4);
		ramlog_release(log, record.pos, record.len);
	}
	raise(SIGSTOP);
	for (unsigned i = 0; i < 2; i++)
		step_append(log, said, MIB);
	step_append(log, said, MIB - 3 * EDGE);
	step_append(log, said, (64u << 10));
	raise(SIGSTOP);
	step_append(log, said, 2 * EDGE); /* into the chunk that was freed */
	step_append(log, said, 16);
	raise(SIGSTOP);
	_exit(0);
}

static void copy_file(const char *from, const char *to, const char *name)
{
	static uint8_t buf[RAMLOG_CHUNK_BYTES];
	char path[128];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", from, name);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	len = read(fd, buf, sizeof(buf));
	assert_true(len > 0);
	close(fd);
	snprintf(path, sizeof(path), "%s/%s", to, name);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, buf, (size_t)len), len);
	close(fd);
}

/* What would be found if the process were dead now. */
static void check_copy(struct fixture *fix, const struct said *said, unsigned chunks)
{
	unsigned acked = said->acked, expect = 0;
	struct ramlog_record record;
	uint64_t next = 0;
	struct ramlog *log;
	bool recovered;
	char name[32];

	copy_file(fix->dir, fix->copy, "log.head");
	for (unsigned i = 0; i < chunks; i++) {
		snprintf(name, sizeof(name), "log.%u", i);
		copy_file(fix->dir, fix->copy, name);
	}
	assert_int_equal(open_log(fix->copy, &log, &recovered), 0);
	assert_true(recovered);
	while (ramlog_walk(log, next, &record, &next) == 0) {
		if (!expect) {
			assert_in_range(record.object, 1, said->freed + 1);
			expect = (unsigned)record.object;
		}
		assert_int_equal(record.object, expect);
		assert_int_equal(record.off, expect * 7);
		for (unsigned i = 0; i < 16; i++)
			assert_int_equal(((const uint8_t *)record.data)[i], expect & 0xff);
		expect++;
	}
	/* All that was said, and at most the one whose commit had not returned yet. */
	assert_in_range(expect, acked + 1, acked + 2);
	ramlog_close(log, false);
}

struct watch {
	const uint8_t *chunks[2];
	uint8_t seen[2][2][EDGE];
};

static bool changed(struct watch *watch)
{
	bool any = false;

	for (unsigned i = 0; i < 2; i++) {
		for (unsigned end = 0; end < 2; end++) {
			const uint8_t *now =
				watch->chunks[i] + (end ? RAMLOG_CHUNK_BYTES - EDGE : 0);

			if (memcmp(watch->seen[i][end], now, EDGE) != 0) {
				memcpy(watch->seen[i][end], now, EDGE);
				any = true;
			}
		}
	}
	return any;
}

static void watch_map(struct fixture *fix, struct watch *watch)
{
	for (unsigned i = 0; i < 2; i++) {
		char path[96];
		void *map;
		int fd;

		snprintf(path, sizeof(path), "%s/log.%u", fix->dir, i);
		fd = open(path, O_RDONLY);
		assert_true(fd >= 0);
		map = mmap(NULL, RAMLOG_CHUNK_BYTES, PROT_READ, MAP_SHARED, fd, 0);
		assert_ptr_not_equal(map, MAP_FAILED);
		close(fd);
		watch->chunks[i] = map;
	}
	changed(watch);
}

static void test_steps(void **state)
{
	struct fixture *fix = *state;
	struct said *said = mmap(NULL, sizeof(*said), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct watch *watch = calloc(1, sizeof(*watch));
	unsigned stops = 0, checks = 0;
	unsigned long steps = 0;
	bool stepping = false;
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0)
		step_child(fix->dir, said);
	for (;;) {
		assert_int_equal(waitpid(child, &status, 0), child);
		if (WIFEXITED(status))
			break;
		assert_true(WIFSTOPPED(status));
		if (WSTOPSIG(status) == SIGSTOP) {
			/* Stretches of it, from an odd stop to the next even one. */
			stepping = ++stops % 2 == 1;
			if (stops == 1)
				watch_map(fix, watch);
		} else {
			assert_int_equal(WSTOPSIG(status), SIGTRAP);
			steps++;
			if (changed(watch)) {
				check_copy(fix, said, 2);
				checks++;
			}
		}
		assert_int_equal(ptrace(stepping ? PTRACE_SINGLESTEP : PTRACE_CONT, child, NULL, 0),
				 0);
	}
	if (WEXITSTATUS(status) == 9) {
		free(watch);
		skip(); /* no tracing here */
	}
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(stops, 4);
	print_message("%lu instructions, %u states\n", steps, checks);
	assert_true(checks > 50);
	for (unsigned i = 0; i < 2; i++)
		munmap((void *)(uintptr_t)watch->chunks[i], RAMLOG_CHUNK_BYTES);
	munmap(said, sizeof(*said));
	free(watch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_storm, setup, teardown),
		cmocka_unit_test_setup_teardown(test_steps, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
