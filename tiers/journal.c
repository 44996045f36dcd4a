// SPDX-License-Identifier: Apache-2.0
/*
 * Writing the journal. Reading it back is journal_scan.c.
 *
 * Invariants:
 *  1. At most one group is being written; the next begins only after the sync of the one before
 *     returned 0. So an invalid group with a valid later one is damage, never a torn write.
 *  2. A file's header is synced (and its name, for a new file) before its first group is written:
 *     a file without a valid header holds no group that counts.
 *  3. After a write or sync failed in a file nothing is written to it any more. The next group goes
 *     to another file and says where the last good one ended (prev_number, prev_end), so that
 *     whatever the failed write left behind is not taken for part of the journal.
 *  4. Groups lie in blocks that were allocated before (journal_reserve()), and a file that is no
 *     longer needed is used again. Blocks that were written once are synced without metadata of the
 *     filesystem, so a small group that comes to others writes zeros into those behind it.
 *  5. A file is reused or removed only when the tree holds all its batches.
 *  6. Files come into use in the order of their numbers: the highest with a group is the newest.
 * Threads: see the header; `lock` is never held over a sync or a write of group bytes.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "compress/checksum.h"
#include "tiers/io.h"
#include "tiers/journal_impl.h"
#include "tiers/log.h"
#include "tiers/tail.h"

#define STEP_BYTES  ((uint64_t)4 << 20) /* files grow by this */
#define SLACK_BYTES ((uint64_t)1 << 20) /* of it, kept for batches that free space */
#define NAMES_MAX   1000000u

/* Returns rc, so that an error is logged where it is born and handed on in one line. */
static int log_file(const struct journal *journal, const struct journal_file *file,
		    const char *what, int rc)
{
	log_error("%s/journal.%u: %s at %llu: %s", journal->dir, file->name, what,
		  (unsigned long long)file->end, strerror(-rc));
	return rc;
}

void journal_file_free(struct journal_file *file)
{
	if (file->fd >= 0)
		io_close(file->fd);
	free(file);
}

void journal_file_remove(struct journal *journal, struct journal_file *file)
{
	char path[sizeof(journal->dir) + 32];

	journal_path(journal, file->name, path, sizeof(path));
	if (io_remove(path))
		log_warning("%s: cannot be removed; it takes room but does no harm", path);
	journal_file_free(file);
}

/* Gives [size, upto) blocks. A filesystem that cannot only gets the length. Lock held. */
static int grow_locked(struct journal *journal, struct journal_file *file, uint64_t upto)
{
	int rc = -EOPNOTSUPP;

	if (upto <= file->size)
		return 0;
	if (!journal->no_allocate)
		rc = io_allocate(file->fd, 0, upto - file->size, file->size);
	if (rc == -EOPNOTSUPP) {
		journal->no_allocate = true;
		rc = io_truncate(file->fd, upto);
	}
	if (!rc)
		file->size = upto;
	return rc;
}

/* Makes a file empty under a new number. Its fd is the caller's alone, or it is the leader's. */
static int file_begin(struct journal *journal, struct journal_file *file)
{
	uint8_t header[JOURNAL_HEADER_LEN];
	uint64_t number, salt;
	int rc;

	if (getrandom(&salt, sizeof(salt), 0) != (ssize_t)sizeof(salt))
		return -EIO;
	pthread_mutex_lock(&journal->lock);
	number = ++journal->last_number;
	pthread_mutex_unlock(&journal->lock);
	file_header_encode(journal, number, salt, header);
	rc = io_pwrite_all(file->fd, header, sizeof(header), 0);
	if (!rc)
		rc = io_sync_data(file->fd);
	pthread_mutex_lock(&journal->lock);
	file->number = number;
	file->salt = salt;
	file->end = JOURNAL_HEADER_LEN;
	file->last_seq = 0;
	file->dead = rc != 0;
	pthread_mutex_unlock(&journal->lock);
	return rc;
}

/* Opens the lowest name that is free. */
static int file_open_fresh(struct journal *journal, struct journal_file *file)
{
	char path[sizeof(journal->dir) + 32];

	for (file->name = 0; file->name < NAMES_MAX; file->name++) {
		journal_path(journal, file->name, path, sizeof(path));
		file->fd = io_open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
		if (file->fd != -EEXIST)
			break;
	}
	return file->fd < 0 ? file->fd : 0;
}

int journal_file_create(struct journal *journal, struct journal_file **out)
{
	struct journal_file *file = calloc(1, sizeof(*file));
	int rc;

	if (!file)
		return -ENOMEM;
	rc = file_open_fresh(journal, file);
	if (rc) {
		log_error("%s: cannot make a journal file: %s", journal->dir, strerror(-rc));
		free(file);
		return rc;
	}
	pthread_mutex_lock(&journal->lock);
	rc = grow_locked(journal, file, STEP_BYTES);
	pthread_mutex_unlock(&journal->lock);
	if (!rc)
		rc = file_begin(journal, file);
	if (!rc)
		rc = io_sync_folder(journal->dir);
	if (rc) {
		log_file(journal, file, "cannot be made", rc);
		journal_file_remove(journal, file);
		return rc;
	}
	pthread_mutex_lock(&journal->lock);
	file->next = journal->files;
	journal->files = file;
	pthread_mutex_unlock(&journal->lock);
	*out = file;
	return 0;
}

/* One without files. */
static int journal_new(struct journal **out, const struct journal_options *options)
{
	struct journal *journal = calloc(1, sizeof(*journal));

	if (!journal)
		return -ENOMEM;
	pthread_mutex_init(&journal->lock, NULL);
	journal->head = calloc(1, GROUP_WINDOW);
	journal->body = calloc(1, GROUP_WINDOW);
	if (!journal->head || !journal->body) {
		journal_close(journal);
		return -ENOMEM;
	}
	if ((size_t)snprintf(journal->dir, sizeof(journal->dir), "%s", options->dir) >=
	    sizeof(journal->dir)) {
		journal_close(journal);
		return -ENAMETOOLONG;
	}
	memcpy(journal->uuid, options->pool_uuid, 16);
	journal->spare_bytes =
		options->spare_bytes > STEP_BYTES ? options->spare_bytes : STEP_BYTES;
	journal->floor_seq = options->floor_seq;
	*out = journal;
	return 0;
}

/* A journal always has a current file, so that journal_reserve() has something to grow. */
int journal_open(struct journal **out, const struct journal_options *options,
		 int (*each)(void *arg, uint64_t seq, const void *ops, size_t len), void *arg,
		 uint64_t *last_seq)
{
	struct journal *journal;
	int rc = journal_new(&journal, options);

	if (rc)
		return rc;
	rc = journal_scan(journal, options, each, arg, last_seq);
	if (!rc && !journal->current)
		rc = journal_file_create(journal, &journal->current);
	if (rc) {
		journal_close(journal);
		return rc;
	}
	*out = journal;
	return 0;
}

int journal_look(const struct journal_options *options,
		 int (*each)(void *arg, uint64_t seq, const void *ops, size_t len), void *arg,
		 uint64_t *last_seq)
{
	struct journal_options look = *options;
	struct journal *journal;
	int rc = journal_new(&journal, options);

	if (rc)
		return rc;
	look.look = true;
	rc = journal_scan(journal, &look, each, arg, last_seq);
	journal_close(journal);
	return rc;
}

void journal_close(struct journal *journal)
{
	struct journal_file *file, *next;

	if (!journal)
		return;
	for (file = journal->files; file; file = next) {
		next = file->next;
		journal_file_free(file);
	}
	pthread_mutex_destroy(&journal->lock);
	free(journal->head);
	free(journal->body);
	free(journal);
}

int journal_reserve(struct journal *journal, uint64_t bytes, bool slack)
{
	struct journal_file *file;
	uint64_t need;
	int rc = 0;

	pthread_mutex_lock(&journal->lock);
	file = journal->current;
	/* A dead file takes no more; the error, if there is to be one, is meta_sync()'s. */
	if (file->dead)
		goto out;
	need = file->end + journal_aligned(GROUP_HEADER_LEN + bytes);
	if (need + (slack ? SLACK_BYTES : 0) <= file->size)
		goto out;
	rc = grow_locked(journal, file, need + STEP_BYTES);
	if (rc == -ENOSPC || rc == -EDQUOT)
		rc = grow_locked(journal, file, need + (slack ? SLACK_BYTES : 0));
	if (rc == -EDQUOT)
		rc = -ENOSPC;
out:
	pthread_mutex_unlock(&journal->lock);
	return rc;
}

/* A group on its way to a file: the first window is kept back, since the header is in it. */
struct group_writer {
	struct journal *journal;
	struct journal_file *file;
	uint64_t pos; /* bytes of the group so far, header included */
	uint64_t checksum;
};

/* Blocks are normally there already (journal_reserve()); many tiny groups may outrun them. */
static int window_write(struct group_writer *writer, const uint8_t *buf, size_t len, uint64_t pos)
{
	struct journal_file *file = writer->file;
	uint64_t off = file->end + pos;
	size_t padded = (size_t)journal_aligned(len);
	int rc;

	pthread_mutex_lock(&writer->journal->lock);
	rc = grow_locked(writer->journal, file, off + padded);
	pthread_mutex_unlock(&writer->journal->lock);
	return rc ? rc : io_pwrite_all(file->fd, buf, padded, off);
}

/* The window that ends at pos is full, or is the last one. */
static int window_end(struct group_writer *writer)
{
	uint64_t start = (writer->pos - 1) / GROUP_WINDOW * GROUP_WINDOW;
	size_t len = (size_t)(writer->pos - start);
	size_t skip = start ? 0 : GROUP_HEADER_LEN;
	uint8_t *buf = start ? writer->journal->body : writer->journal->head;

	memset(buf + len, 0, (size_t)journal_aligned(len) - len);
	writer->checksum = checksum64_seed(buf + skip, len - skip, writer->checksum);
	return start ? window_write(writer, buf, len, start) : 0;
}

/* tail_read()'s callback: records go through the windows, so a group of any size takes two buffers.
 */
static int group_add(void *arg, const void *buf, size_t len)
{
	struct group_writer *writer = arg;
	const uint8_t *from = buf;

	while (len) {
		size_t at = (size_t)(writer->pos % GROUP_WINDOW);
		size_t n = GROUP_WINDOW - at < len ? GROUP_WINDOW - at : len;
		uint8_t *window =
			writer->pos < GROUP_WINDOW ? writer->journal->head : writer->journal->body;

		memcpy(window + at, from, n);
		writer->pos += n;
		from += n;
		len -= n;
		if (writer->pos % GROUP_WINDOW == 0) {
			int rc = window_end(writer);

			if (rc)
				return rc;
		}
	}
	return 0;
}

/*
 * How much of the head's window is written for a group of len bytes. The first sync of allocated
 * blocks makes the filesystem note in its own journal that they hold data now: two flushes and half
 * as long again (ext4: 175 us to 110). One such sync for a window full of zeros spares those of the
 * next small groups. A large group pays for itself, and where nothing is allocated there may be no
 * room for zeros.
 */
static size_t head_len(struct journal *journal, const struct journal_file *file, size_t len)
{
	uint64_t end = file->end + journal_aligned(len), room;

	if (end <= file->written || len > GROUP_WINDOW / 4)
		return len;
	pthread_mutex_lock(&journal->lock);
	room = journal->no_allocate || file->size < end ? 0 : file->size - file->end;
	pthread_mutex_unlock(&journal->lock);
	room = (room < GROUP_WINDOW ? room : GROUP_WINDOW) / JOURNAL_ALIGN * JOURNAL_ALIGN;
	if (room <= len)
		return len;
	memset(journal->head + len, 0, (size_t)room - len);
	return (size_t)room;
}

/* The window with the header goes last: until then the length and the checksum are not known. Order
 * on the medium does not matter, since the group counts only when all of it is there. */
static int group_write(struct journal *journal, struct journal_file *file, struct tail *tail,
		       uint64_t first, uint64_t last)
{
	struct group_writer writer = {journal, file, GROUP_HEADER_LEN, file->salt};
	struct group_header header = {
		.number = file->number,
		.salt = file->salt,
		.first_seq = first,
		.last_seq = last,
		.prev_number = journal->prev_number,
		.prev_end = journal->prev_end,
	};
	int rc = tail_read(tail, last, group_add, &writer);
	uint64_t written;
	size_t len;

	if (!rc && writer.pos % GROUP_WINDOW)
		rc = window_end(&writer);
	if (rc)
		return log_file(journal, file, "write", rc);
	header.len = writer.pos;
	header.payload_checksum = writer.checksum;
	group_header_encode(journal, &header, journal->head);
	len = writer.pos < GROUP_WINDOW ? (size_t)writer.pos : GROUP_WINDOW;
	len = head_len(journal, file, len);
	rc = window_write(&writer, journal->head, len, 0);
	if (rc)
		return log_file(journal, file, "write", rc);
	rc = io_sync_data(file->fd);
	if (rc)
		return log_file(journal, file, "sync", rc);
	pthread_mutex_lock(&journal->lock);
	written = file->end + journal_aligned(writer.pos > len ? writer.pos : len);
	file->written = file->written > written ? file->written : written;
	file->end += journal_aligned(writer.pos);
	file->last_seq = last;
	pthread_mutex_unlock(&journal->lock);
	journal->prev_number = file->number;
	journal->prev_end = file->end;
	return 0;
}

/* The file for the next group. */
static int current_choose(struct journal *journal, uint64_t bytes)
{
	struct journal_file *fresh;
	uint64_t need = JOURNAL_HEADER_LEN + journal_aligned(GROUP_HEADER_LEN + bytes);
	bool dead, done;
	int rc;

	pthread_mutex_lock(&journal->lock);
	dead = journal->current->dead;
	done = !dead && !journal->roll;
	/* Numbered before a file that the leader had to make in a hurry: journal_drop() takes it.
	 */
	if (journal->spare && journal->spare->number < journal->current->number)
		journal->spare = NULL;
	/* A spare that cannot hold what was reserved in the current file is no gain. */
	if (!done && journal->spare && (dead || !grow_locked(journal, journal->spare, need))) {
		journal->current = journal->spare;
		journal->spare = NULL;
		done = true;
	}
	journal->roll = false;
	pthread_mutex_unlock(&journal->lock);
	if (done || !dead)
		return 0;
	rc = journal_file_create(journal, &fresh);
	if (rc)
		return rc;
	pthread_mutex_lock(&journal->lock);
	journal->current = fresh;
	pthread_mutex_unlock(&journal->lock);
	return 0;
}

/* The tail still has the records, so the second attempt writes what the page cache may have lost.
 */
int journal_write(struct journal *journal, struct tail *tail, uint64_t first, uint64_t last)
{
	int rc = -EIO, attempt;

	for (attempt = 0; attempt < 2; attempt++) {
		int chosen = current_choose(journal, tail_bytes(tail));

		if (chosen)
			return chosen;
		rc = group_write(journal, journal->current, tail, first, last);
		if (!rc)
			return 0;
		pthread_mutex_lock(&journal->lock);
		journal->current->dead = true;
		pthread_mutex_unlock(&journal->lock);
	}
	return rc;
}

/* All I/O happens here, on the checkpoint's thread; the leader only swaps two pointers. */
int journal_prepare(struct journal *journal)
{
	struct journal_file *fresh = NULL;
	bool have;
	int rc = 0;

	pthread_mutex_lock(&journal->lock);
	have = journal->spare != NULL;
	pthread_mutex_unlock(&journal->lock);
	if (!have)
		rc = journal_file_create(journal, &fresh);
	pthread_mutex_lock(&journal->lock);
	if (fresh)
		journal->spare = fresh;
	journal->roll = journal->spare != NULL;
	pthread_mutex_unlock(&journal->lock);
	return rc;
}

/* Takes the files nobody needs out of the list. */
static struct journal_file *take_unneeded(struct journal *journal, uint64_t seq)
{
	struct journal_file **link = &journal->files, *taken = NULL;

	pthread_mutex_lock(&journal->lock);
	while (*link) {
		struct journal_file *file = *link;

		if (file == journal->current || file == journal->spare || file->last_seq > seq) {
			link = &file->next;
			continue;
		}
		*link = file->next;
		file->next = taken;
		taken = file;
	}
	pthread_mutex_unlock(&journal->lock);
	return taken;
}

/* Cuts a file that grew large back, then begins it anew. */
static int file_reuse(struct journal *journal, struct journal_file *file)
{
	uint64_t keep = journal->spare_bytes;
	int rc = 0;

	if (file->size > keep)
		rc = io_truncate(file->fd, keep);
	if (rc)
		return rc;
	pthread_mutex_lock(&journal->lock);
	if (file->size > keep)
		file->size = keep;
	if (file->written > keep)
		file->written = keep;
	pthread_mutex_unlock(&journal->lock);
	return file_begin(journal, file);
}

/* One file is kept: its blocks are written already, so syncing it again is cheap, and on a full
 * disk the journal does not depend on getting new ones. */
void journal_drop(struct journal *journal, uint64_t seq)
{
	struct journal_file *file, *next;

	pthread_mutex_lock(&journal->lock);
	journal->floor_seq = seq;
	pthread_mutex_unlock(&journal->lock);
	for (file = take_unneeded(journal, seq); file; file = next) {
		bool wanted;

		next = file->next;
		pthread_mutex_lock(&journal->lock);
		wanted = !journal->spare && !file->dead;
		pthread_mutex_unlock(&journal->lock);
		if (!wanted || file_reuse(journal, file)) {
			journal_file_remove(journal, file);
			continue;
		}
		pthread_mutex_lock(&journal->lock);
		file->next = journal->files;
		journal->files = file;
		if (!journal->spare)
			journal->spare = file;
		pthread_mutex_unlock(&journal->lock);
	}
}

/* The case of a disk too full for a second file. */
bool journal_resettable(struct journal *journal, uint64_t seq)
{
	struct journal_file *file;
	bool yes;

	pthread_mutex_lock(&journal->lock);
	file = journal->current;
	yes = !journal->spare && !file->dead && file->last_seq <= seq &&
	      file->end > JOURNAL_HEADER_LEN && file == journal->files && !file->next;
	pthread_mutex_unlock(&journal->lock);
	return yes;
}

int journal_reset(struct journal *journal)
{
	struct journal_file *file, *others;
	int rc;

	pthread_mutex_lock(&journal->lock);
	journal->spare = NULL;
	journal->roll = false;
	pthread_mutex_unlock(&journal->lock);
	others = take_unneeded(journal, UINT64_MAX);
	while ((file = others)) {
		others = file->next;
		journal_file_remove(journal, file);
	}
	if (journal->current->dead)
		return 0;
	rc = file_reuse(journal, journal->current);

	return rc ? log_file(journal, journal->current, "cannot be begun anew", rc) : 0;
}

uint64_t journal_bytes(struct journal *journal)
{
	struct journal_file *file;
	uint64_t bytes = 0;

	pthread_mutex_lock(&journal->lock);
	for (file = journal->files; file; file = file->next)
		if (file->last_seq > journal->floor_seq)
			bytes += file->end - JOURNAL_HEADER_LEN;
	pthread_mutex_unlock(&journal->lock);
	return bytes;
}

uint64_t journal_disk_bytes(struct journal *journal)
{
	struct journal_file *file;
	uint64_t bytes = 0;
	struct stat st;

	pthread_mutex_lock(&journal->lock);
	for (file = journal->files; file; file = file->next)
		if (!io_stat(file->fd, &st))
			bytes += (uint64_t)st.st_blocks * 512;
	pthread_mutex_unlock(&journal->lock);
	return bytes;
}
