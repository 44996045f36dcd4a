// SPDX-License-Identifier: Apache-2.0
/*
 * Reading the journal back: which groups count, and their batches in order.
 *
 * Invariants:
 *  1. The last file with a valid group is the end of the journal; its first group says where the
 *     file before ends, and so on back to the batch after the tree's. Files outside this chain are
 *     what failed writes left, or are kept for reuse.
 *  2. Inside the chain every group must be valid. Behind its end an invalid group is a torn write
 *     only if no valid group follows (journal.c, invariant 1).
 *  3. Nothing is handed out before the whole chain has been checked.
 *  4. A process that died may have written the last group without syncing it, or its sync may have
 *     failed: it is written again and synced before it counts as durable, and so is the header.
 * Threads: one, during open.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compress/checksum.h"
#include "tiers/io.h"
#include "tiers/journal_impl.h"
#include "tiers/log.h"
#include "tiers/tail.h"

struct scanned_group {
	struct group_header header;
	uint64_t off;
};

struct scanned_file {
	struct journal_file *file;
	bool valid; /* the header is */
	struct scanned_group *groups;
	size_t n;     /* valid groups from the beginning */
	size_t use;   /* of them, part of the chain */
	uint64_t end; /* behind the last valid one */
};

struct scan {
	struct journal *journal;
	const struct journal_options *options;
	struct scanned_file *files;
	size_t n;
	uint8_t *window;
	uint8_t *payload; /* while it is handed out; grows with the longest record */
	size_t payload_cap;
};

static const char *advice = "Put the file back from a copy of the metadata folder, or give up the "
			    "changes from there on: terrace restore-metadata";

/* Reads the group at off and checks every byte. -EBADMSG: none here. */
static int group_check(const struct scan *scan, const struct journal_file *file, uint64_t off,
		       struct group_header *group)
{
	uint8_t header[GROUP_HEADER_LEN];
	uint64_t pos, checksum;
	int rc;

	if (off + GROUP_HEADER_LEN > file->size)
		return -EBADMSG;
	rc = io_pread_all(file->fd, header, sizeof(header), off);
	if (rc)
		return rc == -ENODATA ? -EBADMSG : rc;
	rc = group_header_decode(scan->journal, header, group);
	if (rc)
		return rc;
	if (group->len > file->size - off)
		return -EBADMSG;
	checksum = group->salt;
	for (pos = 0; pos < group->len; pos += GROUP_WINDOW) {
		size_t skip = pos ? 0 : GROUP_HEADER_LEN;
		size_t len =
			(size_t)(group->len - pos < GROUP_WINDOW ? group->len - pos : GROUP_WINDOW);

		rc = io_pread_all(file->fd, scan->window, len, off + pos);
		if (rc)
			return rc == -ENODATA ? -EBADMSG : rc;
		checksum = checksum64_seed(scan->window + skip, len - skip, checksum);
	}
	return checksum == group->payload_checksum ? 0 : -EBADMSG;
}

static int group_append(struct scanned_file *found, const struct group_header *header, uint64_t off)
{
	if ((found->n & (found->n - 1)) == 0) {
		size_t cap = found->n ? found->n * 2 : 1;
		struct scanned_group *groups = realloc(found->groups, cap * sizeof(*found->groups));

		if (!groups)
			return -ENOMEM;
		found->groups = groups;
	}
	found->groups[found->n].header = *header;
	found->groups[found->n++].off = off;
	return 0;
}

/* The valid groups from the beginning of a file. */
static int groups_load(const struct scan *scan, struct scanned_file *found)
{
	struct journal_file *file = found->file;
	struct group_header group;
	uint64_t off = JOURNAL_HEADER_LEN;
	int rc;

	for (;;) {
		rc = group_check(scan, file, off, &group);
		if (rc)
			break;
		if (group.number != file->number || group.salt != file->salt)
			break; /* of the file's former life */
		if (found->n &&
		    (group.first_seq != found->groups[found->n - 1].header.last_seq + 1 ||
		     group.prev_number != file->number || group.prev_end != off))
			break;
		rc = group_append(found, &group, off);
		if (rc)
			return rc;
		off += journal_aligned(group.len);
	}
	found->end = off;
	return rc == -EBADMSG ? 0 : rc;
}

/* Opens journal.NAME and reads its header and groups. */
static int file_load(struct scan *scan, unsigned name)
{
	struct journal_file *file = calloc(1, sizeof(*file));
	struct scanned_file *files, *found;
	char path[sizeof(scan->journal->dir) + 32];
	struct stat st;
	int rc;

	if (!file)
		return -ENOMEM;
	file->name = name;
	journal_path(scan->journal, name, path, sizeof(path));
	file->fd = io_open(path, scan->options->look ? O_RDONLY : O_RDWR, 0);
	rc = file->fd < 0 ? file->fd : io_stat(file->fd, &st);
	files = rc ? NULL : realloc(scan->files, (scan->n + 1) * sizeof(*files));
	if (!files) {
		journal_file_free(file);
		rc = rc ? rc : -ENOMEM;
		goto out;
	}
	scan->files = files;
	found = &files[scan->n++];
	*found = (struct scanned_file){.file = file};
	file->size = (uint64_t)st.st_size;
	file->end = JOURNAL_HEADER_LEN;
	/* All of it is going to be read; an error would be that of the read. */
	(void)posix_fadvise(file->fd, 0, 0, POSIX_FADV_WILLNEED);
	rc = io_pread_all(file->fd, scan->window, JOURNAL_HEADER_LEN, 0);
	if (!rc)
		rc = file_header_decode(scan->journal, scan->window, &file->number, &file->salt);
	found->valid = !rc;
	if (rc == -ENODATA || rc == -EBADMSG)
		return 0; /* never begun; damage_search() makes sure */
	if (!rc)
		rc = groups_load(scan, found);
out:
	if (rc == -ENOTUNIQ)
		log_error("%s: belongs to another pool; move it away", path);
	else if (rc == -ENOTSUP)
		log_error("%s: written by a newer version of Terrace", path);
	else if (rc)
		log_file_error(path, rc);
	return rc;
}

static int by_number(const void *a, const void *b)
{
	const struct scanned_file *x = a, *y = b;

	return (x->file->number > y->file->number) - (x->file->number < y->file->number);
}

/* By number, since names are reused; files without a valid header come first (number 0). */
static int files_load(struct scan *scan)
{
	DIR *folder = opendir(scan->journal->dir);
	struct dirent *entry;
	int rc = 0;

	if (!folder) {
		log_error("%s: %s", scan->journal->dir, strerror(errno));
		return -errno;
	}
	while (!rc && (entry = readdir(folder))) {
		unsigned name;
		int used = 0;

		if (sscanf(entry->d_name, "journal.%u%n", &name, &used) == 1 &&
		    !entry->d_name[used])
			rc = file_load(scan, name);
	}
	closedir(folder);
	if (!rc && scan->n)
		qsort(scan->files, scan->n, sizeof(*scan->files), by_number);
	return rc;
}

/* The next offset >= *off where a group may begin: most of a file kept for reuse is passed over at
 * reading speed. -ENOENT: none. */
static int magic_search(const struct scan *scan, const struct journal_file *file, uint64_t *off)
{
	while (*off < file->size) {
		uint64_t left = file->size - *off;
		size_t len = (size_t)(left < GROUP_WINDOW ? left : GROUP_WINDOW), at;
		int rc = io_pread_all(file->fd, scan->window, len, *off);

		if (rc)
			return rc == -ENODATA ? -ENOENT : rc;
		for (at = 0; at + GROUP_HEADER_LEN <= len; at += JOURNAL_ALIGN) {
			if (!memcmp(scan->window + at, GROUP_MAGIC, 8)) {
				*off += at;
				return 0;
			}
		}
		*off += journal_aligned(len);
	}
	return -ENOENT;
}

/* A valid group behind what was accepted is proof of damage before it. */
static int damage_search(const struct scan *scan, const struct scanned_file *found,
			 uint64_t last_seq)
{
	const struct journal_file *file = found->file;
	uint64_t off = found->end ? found->end : JOURNAL_HEADER_LEN;
	struct group_header group;
	int rc;

	for (;; off += JOURNAL_ALIGN) {
		rc = magic_search(scan, file, &off);
		if (rc)
			break;
		rc = group_check(scan, file, off, &group);
		if (rc && rc != -EBADMSG)
			break;
		if (rc || (found->valid && group.salt != file->salt) || group.last_seq <= last_seq)
			continue;
		log_error("%s/journal.%u: damaged at offset %llu, before batches %llu to %llu at "
			  "offset %llu. %s",
			  scan->journal->dir, file->name,
			  (unsigned long long)(found->valid ? found->end : 0),
			  (unsigned long long)group.first_seq, (unsigned long long)group.last_seq,
			  (unsigned long long)off, advice);
		return -EUCLEAN;
	}
	if (rc == -ENOENT)
		return 0;
	log_error("%s/journal.%u: read at %llu: %s", scan->journal->dir, file->name,
		  (unsigned long long)off, strerror(-rc));
	return rc;
}

/* Says that a torn group was dropped; zeros and a former life's groups are not worth a line. */
static void torn_report(const struct scan *scan, const struct scanned_file *found)
{
	uint8_t header[GROUP_HEADER_LEN];
	struct group_header group;

	if (found->end + sizeof(header) > found->file->size ||
	    io_pread_all(found->file->fd, header, sizeof(header), found->end) ||
	    group_header_decode(scan->journal, header, &group) || group.salt != found->file->salt)
		return;
	log_info(
		"%s/journal.%u: dropped the torn group at offset %llu (batches %llu to %llu, never "
		"acknowledged as synced)",
		scan->journal->dir, found->file->name, (unsigned long long)found->end,
		(unsigned long long)group.first_seq, (unsigned long long)group.last_seq);
}

/* Numbers are unique: a file gets a new one before each use. */
static struct scanned_file *file_by_number(struct scan *scan, uint64_t number)
{
	size_t i;

	for (i = 0; i < scan->n; i++)
		if (scan->files[i].valid && scan->files[i].file->number == number)
			return &scan->files[i];
	return NULL;
}

static int chain_broken(const struct scan *scan, uint64_t first_seq, uint64_t number, uint64_t end)
{
	log_error("%s: the journal's batches %llu to %llu are missing (file number %llu up to "
		  "offset %llu). %s",
		  scan->journal->dir, (unsigned long long)scan->options->floor_seq + 1,
		  (unsigned long long)first_seq - 1, (unsigned long long)number,
		  (unsigned long long)end, advice);
	return -EUCLEAN;
}

/* Sets `use` of every file in the chain that ends in `last`. */
static int chain_mark(struct scan *scan, struct scanned_file *last)
{
	struct scanned_file *found = last;

	found->use = found->n;
	for (;;) {
		const struct group_header *first = &found->groups[0].header;
		uint64_t end = JOURNAL_HEADER_LEN;
		struct scanned_file *before;

		if (first->first_seq <= scan->options->floor_seq + 1)
			return 0;
		before = file_by_number(scan, first->prev_number);
		if (!before || before >= found)
			return chain_broken(scan, first->first_seq, first->prev_number,
					    first->prev_end);
		for (before->use = 0; before->use < before->n && end < first->prev_end;
		     before->use++)
			end = before->groups[before->use].off +
			      journal_aligned(before->groups[before->use].header.len);
		if (end != first->prev_end || !before->use ||
		    before->groups[before->use - 1].header.last_seq + 1 != first->first_seq)
			return chain_broken(scan, first->first_seq, first->prev_number,
					    first->prev_end);
		found = before;
	}
}

/* A piece of a group's payload, whole records from `at` on. */
struct payload {
	uint64_t off, end; /* in the file: what has not been read */
	size_t at, len;
};

/* Moves the rest to the front and fills up behind it; the buffer grows when one record takes more.
 */
static int payload_fill(struct scan *scan, const struct scanned_file *found,
			struct payload *payload)
{
	size_t rest = payload->len - payload->at, n;
	int rc;

	if (rest == scan->payload_cap) {
		size_t cap = rest ? rest * 2 : GROUP_WINDOW;
		uint8_t *bytes = realloc(scan->payload, cap);

		if (!bytes)
			return -ENOMEM;
		scan->payload = bytes;
		scan->payload_cap = cap;
	}
	if (rest)
		memmove(scan->payload, scan->payload + payload->at, rest);
	n = scan->payload_cap - rest;
	n = payload->end - payload->off < n ? (size_t)(payload->end - payload->off) : n;
	rc = io_pread_all(found->file->fd, scan->payload + rest, n, payload->off);
	if (rc)
		return rc;
	payload->off += n;
	payload->at = 0;
	payload->len = rest + n;
	return 0;
}

/* -EAGAIN: more of the payload is needed to tell. */
static int payload_next(const struct scan *scan, const struct payload *payload, uint64_t *seq,
			const void **ops, size_t *len)
{
	size_t rest = payload->len - payload->at;
	int rc = rest ? record_decode(scan->payload + payload->at, rest, seq, ops, len) : -EBADMSG;

	return rc == -EBADMSG && payload->off < payload->end ? -EAGAIN : rc;
}

/* Hands out one group's batches. */
static int group_replay(struct scan *scan, const struct scanned_file *found,
			const struct scanned_group *group,
			int (*each)(void *arg, uint64_t seq, const void *ops, size_t len),
			void *arg)
{
	struct payload payload = {.off = group->off + GROUP_HEADER_LEN,
				  .end = group->off + group->header.len};
	uint64_t expected = group->header.first_seq;
	int rc = 0;

	while (!rc && (payload.at < payload.len || payload.off < payload.end)) {
		const void *ops;
		size_t len;
		uint64_t seq;

		rc = payload_next(scan, &payload, &seq, &ops, &len);
		if (rc == -EAGAIN) {
			rc = payload_fill(scan, found, &payload);
			continue;
		}
		if (!rc && seq != expected++)
			rc = -EBADMSG;
		if (!rc && seq > scan->options->floor_seq)
			rc = each(arg, seq, ops, len);
		if (!rc)
			payload.at += record_size(len);
	}
	if (!rc && expected != group->header.last_seq + 1)
		rc = -EBADMSG;
	if (rc)
		log_error("%s/journal.%u: group at %llu: %s", scan->journal->dir, found->file->name,
			  (unsigned long long)group->off, strerror(-rc));
	/* The checksum was right: it was written like this. */
	return rc == -EBADMSG ? -EUCLEAN : rc;
}

/* Files are in order of number, and so are their groups: the batches come out in order. */
static int chain_replay(struct scan *scan,
			int (*each)(void *arg, uint64_t seq, const void *ops, size_t len),
			void *arg)
{
	size_t i, g;
	int rc = 0;

	for (i = 0; !rc && i < scan->n; i++)
		for (g = 0; !rc && g < scan->files[i].use; g++)
			if (scan->files[i].groups[g].header.last_seq > scan->options->floor_seq)
				rc = group_replay(scan, &scan->files[i], &scan->files[i].groups[g],
						  each, arg);
	return rc;
}

/* Moves the chain's files and the one to go on with to the journal. The others are removed: what
 * they hold is in the tree, or was never acknowledged. */
static void files_adopt(struct scan *scan, const struct scanned_file *current)
{
	struct journal *journal = scan->journal;
	size_t i;

	for (i = 0; i < scan->n; i++) {
		struct scanned_file *found = &scan->files[i];
		struct journal_file *file = found->file;

		found->file = NULL;
		if (file->number > journal->last_number)
			journal->last_number = file->number;
		if (!found->use && found != current) {
			journal_file_remove(journal, file);
			continue;
		}
		file->end = found->end;
		file->last_seq = found->use ? found->groups[found->use - 1].header.last_seq : 0;
		file->next = journal->files;
		journal->files = file;
		if (found == current) {
			journal->current = file;
			journal->prev_number = file->number;
			journal->prev_end = file->end;
		}
	}
}

/* Files kept for reuse may hold no groups yet: the newest such is as good a current file as any. */
static struct scanned_file *current_pick(struct scan *scan, struct scanned_file *last)
{
	size_t i;

	if (last)
		return last;
	for (i = scan->n; i-- > 0;)
		if (scan->files[i].valid && !scan->files[i].n)
			return &scan->files[i];
	return NULL;
}

/* The last file whose chain is whole; the newest must be, unless damage is allowed. */
static int chain_last(struct scan *scan, struct scanned_file **last, uint64_t *last_seq)
{
	for (size_t i = scan->n; i-- > 0;) {
		struct scanned_file *found = &scan->files[i];
		uint64_t seq;
		int rc;

		if (!found->n)
			continue;
		seq = found->groups[found->n - 1].header.last_seq;
		if (seq < *last_seq)
			return 0; /* behind the tree: no group could continue it */
		rc = chain_mark(scan, found);
		if (rc == 0) {
			*last = found;
			*last_seq = seq;
		}
		if (rc != -EUCLEAN || !scan->options->damaged)
			return rc;
		for (size_t k = 0; k < scan->n; k++)
			scan->files[k].use = 0;
	}
	return 0;
}

/* Finds the end of the journal and proves that nothing valid lies outside the chain. Files before
 * the end in number need no search: the chain says where they end. */
static int chain_find(struct scan *scan, struct scanned_file **last, uint64_t *last_seq)
{
	size_t i;
	int rc;

	*last = NULL;
	*last_seq = scan->options->floor_seq;
	rc = chain_last(scan, last, last_seq);
	if (rc)
		return rc;
	for (i = 0; i < scan->n && !scan->options->damaged; i++) {
		if (*last && scan->files[i].valid && &scan->files[i] < *last)
			continue;
		rc = damage_search(scan, &scan->files[i], *last_seq);
		if (rc)
			return rc;
	}
	if (*last_seq < scan->options->reach_seq) {
		log_error("%s: the journal ends at batch %llu, but the tree holds parts of batches "
			  "up to %llu: journal files are missing. %s",
			  scan->journal->dir, (unsigned long long)*last_seq,
			  (unsigned long long)scan->options->reach_seq, advice);
		return -EUCLEAN;
	}
	return 0;
}

/* The same bytes once more: where a sync had failed, the page cache shows what it has given up, and
 * no later sync writes it. */
static int write_again(const struct scan *scan, const struct journal_file *file, uint64_t len,
		       uint64_t off)
{
	uint64_t end = off + len;
	int rc = 0;

	while (!rc && off < end) {
		size_t n = end - off < GROUP_WINDOW ? (size_t)(end - off) : GROUP_WINDOW;

		rc = io_pread_all(file->fd, scan->window, n, off);
		if (!rc)
			rc = io_pwrite_all(file->fd, scan->window, n, off);
		off += n;
	}
	return rc;
}

/* What comes before the last group was synced before that was written. The name too: the process
 * may have died between making the file and syncing the folder. */
static int chain_sync(const struct scan *scan, const struct scanned_file *last)
{
	const struct scanned_group *group = last->n ? &last->groups[last->n - 1] : NULL;
	int rc = write_again(scan, last->file, JOURNAL_HEADER_LEN, 0);

	if (!rc && group)
		rc = write_again(scan, last->file, group->header.len, group->off);
	if (!rc)
		rc = io_sync_file(last->file->fd);
	if (!rc)
		rc = io_sync_folder(scan->journal->dir);
	if (rc)
		log_error("%s/journal.%u: sync: %s", scan->journal->dir, last->file->name,
			  strerror(-rc));
	return rc;
}

int journal_scan(struct journal *journal, const struct journal_options *options,
		 int (*each)(void *arg, uint64_t seq, const void *ops, size_t len), void *arg,
		 uint64_t *last_seq)
{
	struct scan scan = {.journal = journal, .options = options, .window = journal->body};
	struct scanned_file *last, *pick;
	size_t i;
	int rc;

	*last_seq = options->floor_seq;
	rc = files_load(&scan);
	if (rc)
		goto out;
	rc = -EEXIST;
	if (options->create && scan.n) {
		log_error("%s: there are journal files here already", journal->dir);
		goto out;
	}
	rc = chain_find(&scan, &last, last_seq);
	if (rc)
		goto out;
	if (last)
		torn_report(&scan, last);
	pick = current_pick(&scan, last);
	if (pick && !options->look)
		rc = chain_sync(&scan, pick);
	if (!rc)
		rc = chain_replay(&scan, each, arg);
	if (rc || options->look)
		goto out;
	files_adopt(&scan, pick);
out:
	for (i = 0; i < scan.n; i++) {
		if (scan.files[i].file)
			journal_file_free(scan.files[i].file);
	}
	for (i = 0; i < scan.n; i++)
		free(scan.files[i].groups);
	free(scan.files);
	free(scan.payload);
	return rc;
}
