// SPDX-License-Identifier: Apache-2.0
/*
 * The RAM log's chunks on tmpfs, byte by byte.
 *
 * Invariants:
 *  1. Where the next record would begin there is a zero word or the end mark, before that record's
 *     own header is written: what an earlier use of the chunk left there is never taken for a
 *     record, not even a payload that looks like one.
 *  2. A record's first word is stored after the rest of its header, a chunk's magic after its
 *     sequence number and its first zero word.
 *  3. A chunk's blocks are reserved before it is mapped.
 *
 * Threads: see the header.
 */
#include "tiers/ramlog_file.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "compress/bytes.h"
#include "compress/checksum.h"
#include "tiers/io.h"
#include "tiers/log.h"

#define CHUNK_MAGIC    UINT64_C(0x4b4e484343525254) /* "TRRCCHNK" */
#define CHUNK_CHECKSUM 56u

#define RECORD_MAGIC	0x52435254u /* "TRCR" */
#define END_MAGIC	0x45435254u /* "TRCE" */
#define RECORD_CHECKSUM 56u

_Static_assert(RAMLOG_CHUNK_BYTES % 65536 == 0, "whole pages, also large ones");
_Static_assert(RAMLOG_HEADER % 8 == 0 && RAMLOG_CHUNK_HEADER % 8 == 0, "words are aligned");
_Static_assert(RAMLOG_CHUNK_HEADER + RAMLOG_HEADER + RAMLOG_RECORD_MAX < RAMLOG_CHUNK_BYTES,
	       "the largest record fits");

/* Release keeps what came before it there; the fence keeps the compiler from moving what comes
 * later up. A killed process has done a prefix of its instructions, so the processor needs no more.
 */
static void word_store(uint8_t *p, uint64_t word)
{
	__atomic_store_n((uint64_t *)(void *)p, htole64(word), __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static uint64_t word_load(const uint8_t *p)
{
	return le64toh(__atomic_load_n((const uint64_t *)(const void *)p, __ATOMIC_ACQUIRE));
}

/* The path's memory is the caller's; NULL when there is none. */
static char *chunk_path(const char *dir, uint64_t file)
{
	char *path;

	return asprintf(&path, "%s/log.%" PRIu64, dir, file) < 0 ? NULL : path;
}

/* ---- chunk files ---- */

/* Reserves the file's blocks and maps them. Done again for a chunk of a former process: one that
 * somebody punched a hole into reads as zeros and is found out, it does not kill us. */
static int chunk_map(struct ramlog_chunk *chunk, int fd)
{
	void *base;
	int err = io_allocate(fd, 0, RAMLOG_CHUNK_BYTES, 0);

	if (err)
		return err;
	base = mmap(NULL, RAMLOG_CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	chunk->base = base;
	return 0;
}

/* Our own pages of it. One with holes is copied: tmpfs would give a hole that is read through a
 * mapping its memory, or have none. */
static int chunk_map_look(struct ramlog_chunk *chunk, int fd, const struct stat *st)
{
	bool whole = (uint64_t)st->st_blocks * 512 >= RAMLOG_CHUNK_BYTES;
	void *base = mmap(NULL, RAMLOG_CHUNK_BYTES, PROT_READ | PROT_WRITE,
			  whole ? MAP_PRIVATE : MAP_PRIVATE | MAP_ANONYMOUS, whole ? fd : -1, 0);

	if (base == MAP_FAILED)
		return -errno;
	chunk->base = base;
	return whole ? 0 : io_pread_all(fd, base, RAMLOG_CHUNK_BYTES, 0);
}

int ramlog_chunk_create(struct ramlog_chunk **out, const char *dir, uint64_t file)
{
	struct ramlog_chunk *chunk = calloc(1, sizeof(*chunk));
	char *path = chunk_path(dir, file);
	int fd = -1, err = -ENOMEM;

	*out = NULL;
	if (!chunk || !path)
		goto out;
	chunk->file = file;
	fd = io_open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	err = fd < 0 ? fd : chunk_map(chunk, fd);
	if (err == 0)
		*out = chunk;
	else if (fd >= 0)
		io_remove(path);
out:
	if (fd >= 0)
		io_close(fd);
	if (err)
		free(chunk);
	free(path);
	return err;
}

static int chunk_check(struct ramlog_chunk *chunk, const char *path, uint64_t log_id)
{
	const uint8_t *base = chunk->base;

	if (word_load(base) == 0)
		return 0; /* free */
	chunk->seq = get_le64(base + 8);
	if (word_load(base) == CHUNK_MAGIC && get_le64(base + 16) == log_id && chunk->seq &&
	    get_le64(base + CHUNK_CHECKSUM) ==
		    checksum64_seed(base + 8, CHUNK_CHECKSUM - 8, log_id))
		return 0;
	log_error("%s: damaged header of a RAM log chunk; save the folder, then look at what wrote "
		  "there",
		  path);
	return -EUCLEAN;
}

static int existing_open(struct ramlog_chunk *chunk, const char *path, bool look)
{
	struct stat st;
	int fd = io_open(path, look ? O_RDONLY : O_RDWR, 0);
	int err = fd < 0 ? fd : io_stat(fd, &st);

	if (err) {
		log_file_error(path, err);
		goto out;
	}
	/* Killed between creating and reserving: nothing was ever in it. */
	if (st.st_size < (off_t)RAMLOG_CHUNK_BYTES) {
		err = look ? 0 : io_remove(path);
		goto out;
	}
	err = look ? chunk_map_look(chunk, fd, &st) : chunk_map(chunk, fd);
	if (err)
		log_error("%s: cannot map it: %s", path, strerror(-err));
out:
	if (fd >= 0)
		io_close(fd);
	return err;
}

static int chunk_open(struct ramlog_chunk **out, const char *dir, uint64_t file, uint64_t log_id,
		      bool look)
{
	struct ramlog_chunk *chunk = calloc(1, sizeof(*chunk));
	char *path = chunk_path(dir, file);
	int err = -ENOMEM;

	*out = NULL;
	if (!chunk || !path)
		goto out;
	chunk->file = file;
	err = existing_open(chunk, path, look);
	if (err == 0 && chunk->base)
		err = chunk_check(chunk, path, log_id);
	if (err == 0 && chunk->base) {
		*out = chunk;
		chunk = NULL;
	}
out:
	ramlog_chunk_close(chunk);
	free(path);
	return err;
}

int ramlog_chunk_open(struct ramlog_chunk **out, const char *dir, uint64_t file, uint64_t log_id)
{
	return chunk_open(out, dir, file, log_id, false);
}

int ramlog_chunk_look(struct ramlog_chunk **out, const char *dir, uint64_t file, uint64_t log_id)
{
	return chunk_open(out, dir, file, log_id, true);
}

void ramlog_chunk_close(struct ramlog_chunk *chunk)
{
	if (chunk && chunk->base)
		munmap(chunk->base, RAMLOG_CHUNK_BYTES);
	free(chunk);
}

int ramlog_chunk_remove(struct ramlog_chunk *chunk, const char *dir)
{
	uint64_t file = chunk->file;

	ramlog_chunk_close(chunk);
	return ramlog_file_remove(dir, file);
}

int ramlog_file_remove(const char *dir, uint64_t file)
{
	char *path = chunk_path(dir, file);
	int err = path ? io_remove(path) : -ENOMEM;

	if (err)
		log_warning("RAM log in %s: cannot remove log.%" PRIu64 ": %s", dir, file,
			    strerror(-err));
	free(path);
	return err;
}

int ramlog_files(const char *dir, int (*each)(void *arg, uint64_t file), void *arg)
{
	DIR *folder = opendir(dir);
	struct dirent *entry;
	int err = 0;

	if (!folder) {
		err = -errno;
		log_error("RAM log: cannot read the folder %s: %s", dir, strerror(-err));
		return err;
	}
	while (!err && (errno = 0, entry = readdir(folder))) {
		const char *digits = entry->d_name + 4;
		uint64_t file;
		char *end;

		if (strncmp(entry->d_name, "log.", 4) != 0 || *digits < '0' || *digits > '9')
			continue; /* the head, or not ours */
		errno = 0;
		file = strtoull(digits, &end, 10);
		if (*end == 0 && errno == 0)
			err = each(arg, file);
	}
	if (!err)
		err = -errno;
	closedir(folder);
	return err;
}

/* ---- chunks and records in memory ---- */

void ramlog_chunk_publish(struct ramlog_chunk *chunk, uint64_t seq, uint64_t log_id)
{
	uint8_t *base = chunk->base;

	assert(chunk->seq == 0 && chunk->live == 0 && chunk->pending == 0);
	chunk->seq = seq;
	chunk->used = RAMLOG_CHUNK_HEADER;
	memset(base + 8, 0, RAMLOG_CHUNK_HEADER - 8);
	put_le64(base + 8, seq);
	put_le64(base + 16, log_id);
	put_le64(base + CHUNK_CHECKSUM, checksum64_seed(base + 8, CHUNK_CHECKSUM - 8, log_id));
	word_store(base + RAMLOG_CHUNK_HEADER, 0);
	word_store(base, CHUNK_MAGIC);
}

void ramlog_chunk_invalidate(struct ramlog_chunk *chunk)
{
	chunk->seq = 0;
	word_store(chunk->base, 0);
}

void ramlog_chunk_seal(struct ramlog_chunk *chunk)
{
	if (chunk->used < RAMLOG_CHUNK_BYTES)
		word_store(chunk->base + chunk->used, END_MAGIC);
}

uint32_t ramlog_record_bytes(enum ramlog_op op, uint64_t len)
{
	if (op != RAMLOG_WRITE)
		return RAMLOG_HEADER;
	return RAMLOG_HEADER + (uint32_t)((len + 7) & ~UINT64_C(7));
}

static uint64_t record_word(enum ramlog_state state)
{
	return RECORD_MAGIC | (uint64_t)state << 32;
}

void ramlog_record_put(struct ramlog_chunk *chunk, const struct ramlog_record *record,
		       uint64_t log_id)
{
	uint8_t *p = chunk->base + chunk->used;

	chunk->used += ramlog_record_bytes(record->op, record->len);
	assert(chunk->used <= RAMLOG_CHUNK_BYTES);
	if (chunk->used < RAMLOG_CHUNK_BYTES)
		word_store(chunk->base + chunk->used, 0);
	put_le64(p + 8, record->pos);
	put_le64(p + 16, record->object);
	put_le64(p + 24, record->off);
	put_le64(p + 32, record->len);
	put_le64(p + 40, (uint64_t)record->time_ns);
	put_le64(p + 48, record->op); /* 16 bits of it; the rest is zero for later use */
	put_le64(p + RECORD_CHECKSUM, checksum64_seed(p + 8, RECORD_CHECKSUM - 8, log_id));
	word_store(p, record_word(RAMLOG_RESERVED));
}

void ramlog_record_mark(struct ramlog_chunk *chunk, uint32_t off, enum ramlog_state state)
{
	uint64_t word = word_load(chunk->base + off);

	assert(word == record_word(RAMLOG_RESERVED) ||
	       (word == record_word(RAMLOG_COMMITTED) && state == RAMLOG_CANCELLED));
	(void)word;
	word_store(chunk->base + off, record_word(state));
}

enum ramlog_state ramlog_record_get(const struct ramlog_chunk *chunk, uint32_t off,
				    struct ramlog_record *out)
{
	const uint8_t *p = chunk->base + off;

	out->pos = get_le64(p + 8);
	out->object = get_le64(p + 16);
	out->off = get_le64(p + 24);
	out->len = get_le64(p + 32);
	out->time_ns = (int64_t)get_le64(p + 40);
	out->op = (enum ramlog_op)get_le16(p + 48);
	out->data = out->op == RAMLOG_WRITE ? p + RAMLOG_HEADER : NULL;
	return (enum ramlog_state)(word_load(p) >> 32);
}

static bool record_valid(const struct ramlog_chunk *chunk, uint64_t log_id)
{
	const uint8_t *p = chunk->base + chunk->used;
	uint32_t room = RAMLOG_CHUNK_BYTES - chunk->used;
	struct ramlog_record record;
	enum ramlog_state state;

	if (room < RAMLOG_HEADER)
		return false;
	state = ramlog_record_get(chunk, chunk->used, &record);
	if (word_load(p) != record_word(state) ||
	    (state != RAMLOG_RESERVED && state != RAMLOG_COMMITTED && state != RAMLOG_CANCELLED) ||
	    get_le64(p + RECORD_CHECKSUM) != checksum64_seed(p + 8, RECORD_CHECKSUM - 8, log_id) ||
	    get_le64(p + 48) != record.op ||
	    record.pos != chunk->seq * RAMLOG_CHUNK_BYTES + chunk->used)
		return false;
	if (record.op == RAMLOG_WRITE)
		return record.len <= RAMLOG_RECORD_MAX &&
		       ramlog_record_bytes(record.op, record.len) <= room;
	return record.op == RAMLOG_PUNCH || record.op == RAMLOG_SIZE || record.op == RAMLOG_CLONE;
}

int ramlog_chunk_scan(struct ramlog_chunk *chunk, const char *dir, uint64_t log_id, bool *sealed)
{
	struct ramlog_record record;
	enum ramlog_state state;
	uint64_t word;

	chunk->used = RAMLOG_CHUNK_HEADER;
	chunk->live = 0;
	for (;;) {
		*sealed = chunk->used == RAMLOG_CHUNK_BYTES;
		if (*sealed)
			return 0;
		word = word_load(chunk->base + chunk->used);
		*sealed = word == END_MAGIC;
		if (*sealed || word == 0)
			return 0;
		if (!record_valid(chunk, log_id)) {
			log_error("%s/log.%" PRIu64 ": damaged record at offset %" PRIu32
				  "; save the folder, then look at what wrote there",
				  dir, chunk->file, chunk->used);
			return -EUCLEAN;
		}
		state = ramlog_record_get(chunk, chunk->used, &record);
		if (state == RAMLOG_RESERVED)
			ramlog_record_mark(chunk, chunk->used, RAMLOG_CANCELLED);
		if (state == RAMLOG_COMMITTED && record.op == RAMLOG_WRITE)
			chunk->live += record.len;
		chunk->used += ramlog_record_bytes(record.op, record.len);
	}
}
