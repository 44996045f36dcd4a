/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The RAM log's files, as terrace-format(5) has them: the head, the chunks, the record headers
 * inside. No log state here: tiers/ramlog.c decides what goes where.
 *
 * Every change that recovery can see is one aligned 64-bit store with release order, made after
 * everything it vouches for. The process may be killed between any two instructions.
 * Threads: one at a time per chunk (the log's lock); payload bytes are the caller's.
 */
#ifndef TERRACE_TIERS_RAMLOG_FILE_H
#define TERRACE_TIERS_RAMLOG_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/ramlog.h"

/* Three of the largest records and 64 KiB of small ones: with 4 MiB a fourth large one would just
 * not fit and a quarter of the memory would stay empty under 1 MiB writes. */
#define RAMLOG_CHUNK_BYTES  (3u * RAMLOG_RECORD_MAX + (64u << 10))
#define RAMLOG_CHUNK_HEADER 64u
#define RAMLOG_HEADER	    64u /* of a record */

/* Far apart, so that no flipped bit makes one of another. */
enum ramlog_state {
	RAMLOG_RESERVED = 0x44565352,  /* "RSVD" */
	RAMLOG_COMMITTED = 0x54494d43, /* "CMIT" */
	RAMLOG_CANCELLED = 0x4c434e43, /* "CNCL" */
};

struct ramlog_chunk {
	struct ramlog_chunk *next; /* in the list of free ones */
	uint8_t *base;		   /* RAMLOG_CHUNK_BYTES, mapped */
	uint64_t file;		   /* log.<file> */
	uint64_t seq;		   /* 0: free */
	uint32_t used;		   /* where the next record would begin */
	uint32_t pending;	   /* reserved, neither committed nor cancelled */
	uint64_t live;		   /* payload bytes that are still needed */
};

/* The head. log_id is the seed of every checksum in the chunks. */
int ramlog_id_new(uint64_t *log_id);
int ramlog_head_write(const char *dir, const uint8_t *pool_uuid, uint64_t log_id);
/* -ENOENT: none. -ESTALE: of another boot. -ENOTUNIQ: another pool's. -ENOTSUP, -EUCLEAN; logged,
 * but for the first two. */
int ramlog_head_read(const char *dir, const uint8_t *pool_uuid, uint64_t *log_id);
int ramlog_head_remove(const char *dir); /* 0 also if there is none */

/* A new free chunk, its memory reserved and mapped. -ENOSPC, -ENOMEM. Logs nothing. */
int ramlog_chunk_create(struct ramlog_chunk **out, const char *dir, uint64_t file);
/* Maps an existing one. *out = NULL and 0: it was too short to hold anything and was removed. */
int ramlog_chunk_open(struct ramlog_chunk **out, const char *dir, uint64_t file, uint64_t log_id);
/* The same, and nothing changes: what is done to the chunk stays in this process. */
int ramlog_chunk_look(struct ramlog_chunk **out, const char *dir, uint64_t file, uint64_t log_id);
void ramlog_chunk_close(struct ramlog_chunk *chunk);
int ramlog_chunk_remove(struct ramlog_chunk *chunk, const char *dir); /* and closes */

/* Calls each(arg, N) for every log.N of the folder, in no order; a non-zero return ends it. */
int ramlog_files(const char *dir, int (*each)(void *arg, uint64_t file), void *arg);
int ramlog_file_remove(const char *dir, uint64_t file);

/* Free -> in use as number seq -> free. */
void ramlog_chunk_publish(struct ramlog_chunk *chunk, uint64_t seq, uint64_t log_id);
void ramlog_chunk_invalidate(struct ramlog_chunk *chunk);
/* No more records: the log goes on in the next chunk. */
void ramlog_chunk_seal(struct ramlog_chunk *chunk);

/* Bytes a record takes. */
uint32_t ramlog_record_bytes(enum ramlog_op op, uint64_t len);
/* Writes record's header at chunk->used, as reserved, and moves used. The caller checked the room.
 */
void ramlog_record_put(struct ramlog_chunk *chunk, const struct ramlog_record *record,
		       uint64_t log_id);
void ramlog_record_mark(struct ramlog_chunk *chunk, uint32_t off, enum ramlog_state state);
enum ramlog_state ramlog_record_get(const struct ramlog_chunk *chunk, uint32_t off,
				    struct ramlog_record *out);

/*
 * Recovery of one chunk: follows its records, cancels those left reserved, sets used and live.
 * *sealed: it ends with the end mark. -EUCLEAN, logged.
 */
int ramlog_chunk_scan(struct ramlog_chunk *chunk, const char *dir, uint64_t log_id, bool *sealed);

#endif
