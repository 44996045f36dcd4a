// SPDX-License-Identifier: Apache-2.0
/*
 * A file that is written in place: what may be read of each of its blocks when the daemon died or
 * power was lost.
 *
 *   blocks write FILE LEDGER SEED     writes until the filesystem goes away
 *   blocks check FILE LEDGER kill|power
 *
 * Writes, O_DSYNC writes, shared maps with msync, punched holes, truncations, fsync, close. The
 * ledger, outside the filesystem, is a map of three versions for each block: the one that was
 * begun, the one that had reached the daemon (its close returned), the one that had been synced.
 * File and ledger live on over any number of rounds.
 *
 * Invariants checked:
 *  1. Every block is one whole version of itself that was begun, or zeros where it was so.
 *  2. kill: no older than what had reached the daemon. power: no older than what had been synced.
 *  3. What a check has found is not taken back by the next death of the same kind.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

#define BLOCKS 8192u
#define BLOCK  512u /* never across two pages: the kernel writes whole pages */
#define RUN    96u

struct promise {
	uint32_t begun, reached, synced;
	uint32_t by; /* what promised last: a letter, for messages */
};

static struct promise *ledger;
static uint8_t bytes[RUN * BLOCK];
static uint64_t state;
static uint32_t version;
static const char *path;
static int fd;

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static uint32_t draw(uint32_t below)
{
	state = mix(state);
	return (uint32_t)(state >> 33) % below;
}

/* Zeros have no version in them: every eighth is one, made by punching or truncating. */
static bool is_zero(uint32_t of)
{
	return of == 0 || mix(of) % 8 == 0;
}

static void block_text(uint32_t block, uint32_t of, uint8_t *out)
{
	uint64_t word = mix((uint64_t)of << 32 | block);

	for (unsigned i = 0; i < BLOCK; i += 8) {
		memcpy(out + i, &word, 8);
		if (i % 32 == 24) /* shrinks, but not to nothing */
			word = mix(word);
	}
	memcpy(out, &of, 4);
	memcpy(out + 4, &block, 4);
	memcpy(out + BLOCK - 4, &of, 4);
}

static bool gone(void)
{
	return errno == ENOTCONN || errno == ECONNABORTED || errno == ECANCELED || errno == EINTR ||
	       errno == EIO || errno == EROFS;
}

#define STEP(call)                                                     \
	do {                                                           \
		if ((call) == -1) {                                    \
			if (gone())                                    \
				_exit(0);                              \
			check_failed(__FILE__, __LINE__, "%s", #call); \
		}                                                      \
	} while (0)

static void promise(uint32_t from, uint32_t n, bool synced, char by)
{
	for (uint32_t i = from; i < from + n; i++) {
		if (ledger[i].reached != ledger[i].begun)
			ledger[i].by = (uint32_t)by;
		ledger[i].reached = ledger[i].begun;
		if (synced)
			ledger[i].synced = ledger[i].begun;
	}
}

/* A version whose blocks are (or are not) zeros, begun in the ledger. */
static void begin(uint32_t from, uint32_t n, bool zero)
{
	do
		version++;
	while (is_zero(version) != zero);
	for (uint32_t i = from; i < from + n; i++)
		ledger[i].begun = version;
	for (uint32_t i = 0; i < n && !zero; i++)
		block_text(from + i, version, bytes + (size_t)i * BLOCK);
}

static void write_run(uint32_t from, uint32_t n, bool sync)
{
	int to = fd;
	ssize_t done;

	if (sync)
		STEP(to = open(path, O_WRONLY | O_DSYNC));
	begin(from, n, false);
	for (size_t at = 0; at < (size_t)n * BLOCK; at += (size_t)done)
		STEP(done = pwrite(to, bytes + at, (size_t)n * BLOCK - at,
				   (off_t)((size_t)from * BLOCK + at)));
	if (!sync)
		return;
	promise(from, n, true, 'd');
	STEP(close(to));
}

static void map_run(uint32_t from, uint32_t n)
{
	uint8_t *map = mmap(NULL, BLOCKS * BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	uint32_t first = from & ~7u, last = (from + n + 7) & ~7u; /* whole pages */

	STEP(map == MAP_FAILED ? -1 : 0);
	begin(from, n, false);
	memcpy(map + (size_t)from * BLOCK, bytes, (size_t)n * BLOCK);
	STEP(msync(map + (size_t)first * BLOCK, (size_t)(last - first) * BLOCK, MS_SYNC));
	promise(from, n, true, 'm');
	STEP(munmap(map, BLOCKS * BLOCK));
}

static void punch_run(uint32_t from, uint32_t n)
{
	begin(from, n, true);
	STEP(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from * BLOCK,
		       (off_t)n * BLOCK));
	promise(from, n, false, 'p');
}

static void cut_tail(uint32_t from)
{
	begin(from, BLOCKS - from, true);
	STEP(ftruncate(fd, (off_t)from * BLOCK));
	STEP(ftruncate(fd, (off_t)BLOCKS * BLOCK));
	promise(from, BLOCKS - from, false, 't');
}

/* close(2) brings everything to the daemon; so does fsync, which makes it durable besides. */
static void settle(bool sync)
{
	if (sync) {
		STEP(fsync(fd));
	} else {
		STEP(close(fd));
		STEP(fd = open(path, O_RDWR));
	}
	promise(0, BLOCKS, sync, sync ? 's' : 'c');
}

static void bus_error(int signal_number)
{
	(void)signal_number;
	_exit(0); /* a page of the map cannot be read any more: the daemon has gone */
}

static void write_on(void)
{
	signal(SIGBUS, bus_error);
	for (uint32_t i = 0; i < BLOCKS; i++)
		if (ledger[i].begun > version)
			version = ledger[i].begun;
	STEP(fd = open(path, O_RDWR | O_CREAT, 0644));
	STEP(ftruncate(fd, (off_t)BLOCKS * BLOCK));
	for (;;) {
		uint32_t n = 1 + draw(draw(4) ? 8 : RUN), from = draw(BLOCKS - n), what = draw(100);

		if (what < 60)
			write_run(from, n, false);
		else if (what < 70)
			write_run(from, n, true);
		else if (what < 78)
			map_run(from, n);
		else if (what < 84)
			punch_run(from, n);
		else if (what < 85)
			cut_tail(BLOCKS - 1 - draw(BLOCKS / 4));
		else
			settle(what < 93);
	}
}

/* The version that a block's bytes are of; zeros are the newest that may be so. */
static uint32_t version_of(uint32_t i, const uint8_t *got, uint32_t least)
{
	static const uint8_t zeros[BLOCK];
	uint8_t want[BLOCK];
	uint32_t found;

	if (memcmp(got, zeros, BLOCK) == 0) {
		for (found = ledger[i].begun; found > least && !is_zero(found); found--)
			;
		return found;
	}
	memcpy(&found, got, 4);
	block_text(i, found, want);
	if (is_zero(found) || memcmp(got, want, BLOCK) != 0)
		check_failed(__FILE__, __LINE__, "block %u: bytes that were never written", i);
	return found;
}

/* What was begun and is not there will never come: later promises are not about it. */
static void check_block(uint32_t i, const uint8_t *got, bool power)
{
	uint32_t least = power ? ledger[i].synced : ledger[i].reached;
	uint32_t found = version_of(i, got, least);
	bool zero = got[0] == 0 && memcmp(got, got + 1, BLOCK - 1) == 0;

	if (found < least || found > ledger[i].begun || zero != is_zero(found))
		check_failed(__FILE__, __LINE__, "block %u is version %u%s, not %u to %u (%c)", i,
			     found, zero ? " (zeros)" : "", least, ledger[i].begun,
			     (int)ledger[i].by);
	if (ledger[i].reached != found)
		ledger[i].by = 'k';
	ledger[i].begun = ledger[i].reached = found;
	if (power)
		ledger[i].synced = found;
}

static void check(bool power)
{
	static uint8_t got[BLOCKS * BLOCK]; /* what is not there reads as zeros */
	size_t at = 0;
	ssize_t n = 1;

	fd = open(path, O_RDONLY);
	if (fd < 0 && errno != ENOENT)
		check_failed(__FILE__, __LINE__, "%s", path);
	for (; fd >= 0 && at < sizeof(got) && n > 0; at += (size_t)n)
		CHECK((n = read(fd, got + at, sizeof(got) - at)) >= 0);
	for (uint32_t i = 0; i < BLOCKS; i++)
		check_block(i, got + (size_t)i * BLOCK, power);
}

int main(int argc, char **argv)
{
	int file;

	if (argc != 5) {
		fprintf(stderr,
			"usage: blocks write FILE LEDGER SEED | check FILE LEDGER kill|power\n");
		return 2;
	}
	path = argv[2];
	file = open(argv[3], O_RDWR | O_CREAT, 0644);
	CHECK(file >= 0 && ftruncate(file, BLOCKS * sizeof(*ledger)) == 0);
	ledger = mmap(NULL, BLOCKS * sizeof(*ledger), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	CHECK(ledger != MAP_FAILED);
	if (strcmp(argv[1], "write") == 0) {
		state = strtoull(argv[4], NULL, 10);
		write_on();
	}
	check(strcmp(argv[4], "power") == 0);
	return 0;
}
