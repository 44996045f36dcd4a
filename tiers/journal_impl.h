/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What journal.c (writing) and journal_scan.c (reading) share: the files in memory and the bytes on
 * the medium. Nobody else includes this.
 */
#ifndef TERRACE_TIERS_JOURNAL_IMPL_H
#define TERRACE_TIERS_JOURNAL_IMPL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/journal.h"

#define JOURNAL_MAGIC	   "TERRJRNL"
#define GROUP_MAGIC	   "TERRGRUP"
#define JOURNAL_VERSION	   1u
#define JOURNAL_HEADER_LEN 4096u
#define JOURNAL_ALIGN	   4096u
#define GROUP_HEADER_LEN   128u
#define GROUP_WINDOW	   (256u << 10) /* the checksum is chained over pieces of this */

struct journal_file {
	struct journal_file *next;
	unsigned name; /* journal.NAME */
	int fd;
	uint64_t number;  /* grows with every file begun or reused */
	uint64_t salt;	  /* random: seeds the checksums of this file's groups */
	uint64_t end;	  /* where the next group goes */
	uint64_t size;	  /* bytes with blocks under them */
	uint64_t written; /* of them, from the start: have been written once */
	uint64_t last_seq;
	bool dead; /* a write or sync failed: no more groups here */
};

struct journal {
	char dir[4096 - 64];
	uint8_t uuid[16];
	uint64_t spare_bytes;
	uint8_t *head, *body; /* leader: GROUP_WINDOW each */
	pthread_mutex_t
		lock; /* guards what follows, and end, size, last_seq, written, dead of files */
	struct journal_file *files;
	struct journal_file *current; /* changed by the leader only */
	struct journal_file *spare;   /* ready for use */
	bool roll;		      /* the next group goes to the spare */
	bool no_allocate;	      /* the filesystem cannot reserve */
	uint64_t last_number;
	uint64_t prev_number, prev_end; /* the last good group's file and end; leader only */
	uint64_t floor_seq;
};

struct group_header {
	uint64_t number, salt;
	uint64_t first_seq, last_seq;
	uint64_t len; /* header and payload, not padded */
	uint64_t prev_number, prev_end;
	uint64_t payload_checksum;
};

uint64_t journal_aligned(uint64_t len);
void journal_path(const struct journal *journal, unsigned name, char *path, size_t cap);

void file_header_encode(const struct journal *journal, uint64_t number, uint64_t salt,
			uint8_t *buf);
/* -EBADMSG no header; -ENOTSUP; -ENOTUNIQ. */
int file_header_decode(const struct journal *journal, const uint8_t *buf, uint64_t *number,
		       uint64_t *salt);
void group_header_encode(const struct journal *journal, const struct group_header *group,
			 uint8_t *buf);
/* The group is consistent in itself; whose it is, the caller sees. -EBADMSG. */
int group_header_decode(const struct journal *journal, const uint8_t *buf,
			struct group_header *group);

/* A new, synced file at the end of the list. Call without the lock. */
int journal_file_create(struct journal *journal, struct journal_file **out);
void journal_file_free(struct journal_file *file);
/* Unlinks and frees; the file is in no list any more. */
void journal_file_remove(struct journal *journal, struct journal_file *file);

/* Fills files, current and the chain from the folder; see journal_open(). */
int journal_scan(struct journal *journal, const struct journal_options *options,
		 int (*each)(void *arg, uint64_t seq, const void *ops, size_t len), void *arg,
		 uint64_t *last_seq);

#endif
