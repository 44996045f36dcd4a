// SPDX-License-Identifier: Apache-2.0
/*
 * See fix_disk.h. Invariants:
 *  1. A file is known by its inode number while its name or a descriptor holds it; calls on files
 *     that are not known are none of ours.
 *  2. A block that has not changed since the last sync is one piece of memory in both contents, so
 *     that telling whether a file is synced is a comparison of pointers.
 *  3. While recording, the model is of the beginning; disk_at() moves it.
 */
#include "tests/unit/fix_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tiers/io.h"

#define BLOCK	  4096u
#define SECTOR	  512u
#define PATH_LEN  256u
#define FILES_MAX 4096u
#define NAMES_MAX 4096u

struct content {
	uint8_t **blocks; /* NULL: zeros */
	size_t nblocks;
	uint64_t len;
};

struct file {
	ino_t ino; /* 0: gone */
	bool folder;
	unsigned medium;
	struct content now, safe;
	bool *forgotten; /* blocks that a failed sync has dropped from what is to be written */
	size_t nforgotten;
};

struct name {
	char path[PATH_LEN];
	unsigned medium;
	int now, safe; /* file; -1 = none */
};

enum call {
	CALL_NAME,
	CALL_RENAME,
	CALL_UNLINK,
	CALL_WRITE,
	CALL_SYNC,
	CALL_RESIZE,
	CALL_ZERO,
	CALL_FORGET
};

struct call_record {
	enum call call;
	bool synced; /* a write to a descriptor that syncs each */
	int file;    /* index */
	char path[PATH_LEN], to[PATH_LEN];
	uint64_t off, len;
	uint8_t *bytes;
};

static struct {
	pthread_mutex_t lock;
	bool recording;
	char folders[DISK_MEDIA][PATH_LEN];
	unsigned media;
	dev_t dev;
	struct file files[FILES_MAX];
	unsigned nfiles;
	struct name names[NAMES_MAX];
	unsigned nnames;
	struct call_record *calls;
	size_t ncalls, cap, at;
	unsigned fail_sync;
	bool fail_syncs;
	struct io_ops ops;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void must(bool good, const char *what)
{
	if (good)
		return;
	perror(what);
	abort();
}

/* Contents --------------------------------------------------------------------------------------
 */

static void content_grow(struct content *content, uint64_t len)
{
	size_t n = (size_t)((len + BLOCK - 1) / BLOCK);

	if (n <= content->nblocks)
		return;
	content->blocks = realloc(content->blocks, n * sizeof(*content->blocks));
	must(content->blocks != NULL, "blocks");
	memset(content->blocks + content->nblocks, 0,
	       (n - content->nblocks) * sizeof(*content->blocks));
	content->nblocks = n;
}

static uint8_t *safe_block(const struct file *file, size_t i)
{
	return i < file->safe.nblocks ? file->safe.blocks[i] : NULL;
}

/* The block of the current content, to be changed. */
static uint8_t *block_own(struct file *file, size_t i)
{
	uint8_t *old = file->now.blocks[i], *mine;

	if (i < file->nforgotten)
		file->forgotten[i] = false; /* dirty again */
	if (old && old != safe_block(file, i))
		return old;
	mine = calloc(1, BLOCK);
	must(mine != NULL, "block");
	if (old)
		memcpy(mine, old, BLOCK);
	return file->now.blocks[i] = mine;
}

static void block_drop(struct file *file, size_t i)
{
	if (file->now.blocks[i] != safe_block(file, i))
		free(file->now.blocks[i]);
	file->now.blocks[i] = NULL;
}

static void file_write(struct file *file, const uint8_t *bytes, uint64_t len, uint64_t off)
{
	content_grow(&file->now, off + len);
	for (uint64_t at = 0; at < len;) {
		uint64_t in = (off + at) % BLOCK;
		uint64_t n = BLOCK - in < len - at ? BLOCK - in : len - at;

		memcpy(block_own(file, (size_t)((off + at) / BLOCK)) + in, bytes + at, n);
		at += n;
	}
	if (off + len > file->now.len)
		file->now.len = off + len;
}

static void file_zero(struct file *file, uint64_t len, uint64_t off)
{
	uint64_t end = off + len;

	if (end > (uint64_t)file->now.nblocks * BLOCK)
		end = (uint64_t)file->now.nblocks * BLOCK;
	while (off < end) {
		uint64_t in = off % BLOCK, n = BLOCK - in < end - off ? BLOCK - in : end - off;

		if (n == BLOCK)
			block_drop(file, (size_t)(off / BLOCK));
		else if (file->now.blocks[off / BLOCK])
			memset(block_own(file, (size_t)(off / BLOCK)) + in, 0, n);
		off += n;
	}
}

static void file_resize(struct file *file, uint64_t len)
{
	if (len < file->now.len)
		file_zero(file, file->now.len - len, len);
	file->now.len = len;
	content_grow(&file->now, len);
}

static void range_sync(struct file *file, uint64_t len, uint64_t off)
{
	size_t first = (size_t)(off / BLOCK), last = (size_t)((off + len + BLOCK - 1) / BLOCK);

	content_grow(&file->safe, (uint64_t)file->now.nblocks * BLOCK);
	content_grow(&file->now, (uint64_t)file->safe.nblocks * BLOCK);
	if (last > file->now.nblocks)
		last = file->now.nblocks;
	for (size_t i = first; i < last; i++) {
		if (file->safe.blocks[i] == file->now.blocks[i] ||
		    (i < file->nforgotten && file->forgotten[i]))
			continue;
		free(file->safe.blocks[i]);
		file->safe.blocks[i] = file->now.blocks[i];
	}
}

static void file_forget(struct file *file)
{
	free(file->forgotten);
	file->nforgotten = file->now.nblocks;
	file->forgotten = calloc(file->nforgotten + 1, sizeof(bool));
	must(file->forgotten != NULL, "blocks");
	for (size_t i = 0; i < file->nforgotten; i++)
		file->forgotten[i] = file->now.blocks[i] != safe_block(file, i);
}

static bool file_synced(const struct file *file)
{
	if (file->now.len != file->safe.len)
		return false;
	for (size_t i = 0; i < file->now.nblocks; i++)
		if (file->now.blocks[i] != safe_block(file, i))
			return false;
	return true;
}

static void file_release(struct file *file)
{
	for (size_t i = 0; i < file->now.nblocks; i++)
		if (file->now.blocks[i] != safe_block(file, i))
			free(file->now.blocks[i]);
	for (size_t i = 0; i < file->safe.nblocks; i++)
		free(file->safe.blocks[i]);
	free(file->now.blocks);
	free(file->safe.blocks);
	free(file->forgotten);
}

/* Names -----------------------------------------------------------------------------------------
 */

static int medium_of(const char *path)
{
	for (unsigned i = 0; i < disk.media; i++) {
		size_t len = strlen(disk.folders[i]);

		if (strncmp(path, disk.folders[i], len) == 0 &&
		    (path[len] == '/' || path[len] == '\0'))
			return (int)i;
	}
	return -1;
}

static struct name *name_of(const char *path)
{
	struct name *name;

	for (unsigned i = 0; i < disk.nnames; i++)
		if (strcmp(disk.names[i].path, path) == 0)
			return &disk.names[i];
	must(disk.nnames < NAMES_MAX, "too many names");
	name = &disk.names[disk.nnames++];
	snprintf(name->path, sizeof(name->path), "%s", path);
	name->medium = (unsigned)medium_of(path);
	name->now = name->safe = -1;
	return name;
}

static int file_new(const struct stat *st, unsigned medium)
{
	struct file *file = &disk.files[disk.nfiles];

	must(disk.nfiles < FILES_MAX, "too many files");
	*file = (struct file){.ino = st->st_ino, .folder = S_ISDIR(st->st_mode), .medium = medium};
	disk.dev = st->st_dev;
	return (int)disk.nfiles++;
}

/* The latest of that number: an earlier one is gone. */
static int file_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || st.st_dev != disk.dev)
		return -1;
	for (unsigned i = disk.nfiles; i-- > 0;)
		if (disk.files[i].ino == st.st_ino)
			return (int)i;
	return -1;
}

static void folder_sync(const struct file *folder)
{
	const char *path = NULL;
	size_t len;

	for (unsigned i = 0; i < disk.nnames && !path; i++)
		if (disk.names[i].now >= 0 && &disk.files[disk.names[i].now] == folder)
			path = disk.names[i].path;
	if (!path)
		return;
	len = strlen(path);
	for (unsigned i = 0; i < disk.nnames; i++) {
		struct name *name = &disk.names[i];

		if (strncmp(name->path, path, len) == 0 && name->path[len] == '/' &&
		    !strchr(name->path + len + 1, '/'))
			name->safe = name->now;
	}
}

/* Recording -------------------------------------------------------------------------------------
 */

void disk_lock(void)
{
	pthread_mutex_lock(&disk.lock);
}

void disk_unlock(void)
{
	pthread_mutex_unlock(&disk.lock);
}

static struct call_record *record(enum call call)
{
	struct call_record *now;

	if (disk.ncalls == disk.cap) {
		disk.cap = disk.cap ? disk.cap * 2 : 256;
		disk.calls = realloc(disk.calls, disk.cap * sizeof(*disk.calls));
		must(disk.calls != NULL, "calls");
	}
	now = &disk.calls[disk.ncalls++];
	*now = (struct call_record){.call = call, .file = -1};
	return now;
}

void disk_wrote(int fd, const void *buf, size_t len, off_t off)
{
	int file = disk.recording ? file_of(fd) : -1;
	struct call_record *now;

	if (file < 0)
		return;
	now = record(CALL_WRITE);
	now->file = file;
	now->synced = (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
	now->off = (uint64_t)off;
	now->len = len;
	now->bytes = malloc(len);
	must(now->bytes != NULL, "bytes");
	memcpy(now->bytes, buf, len);
}

bool disk_sync_fails(int fd)
{
	bool armed = disk.fail_sync || disk.fail_syncs;
	int file = disk.recording && armed ? file_of(fd) : -1;

	if (file < 0 || (!disk.fail_syncs && --disk.fail_sync))
		return false;
	if (!disk.files[file].folder)
		record(CALL_FORGET)->file = file;
	errno = EIO;
	return true;
}

void disk_fail_sync(unsigned n)
{
	disk_lock();
	disk.fail_sync = n;
	disk_unlock();
}

void disk_fail_syncs(bool fail)
{
	disk_lock();
	disk.fail_syncs = fail;
	disk_unlock();
}

void disk_synced(int fd)
{
	int file = disk.recording ? file_of(fd) : -1;

	if (file >= 0)
		record(CALL_SYNC)->file = file;
}

void disk_resized(int fd, off_t len)
{
	int file = disk.recording ? file_of(fd) : -1;
	struct call_record *now;

	if (file < 0)
		return;
	now = record(CALL_RESIZE);
	now->file = file;
	now->len = (uint64_t)len;
}

static void record_name(const char *path, const struct stat *st)
{
	struct call_record *now = record(CALL_NAME);

	now->file = file_new(st, (unsigned)medium_of(path));
	snprintf(now->path, sizeof(now->path), "%s", path);
}

static int disk_open(const char *path, int flags, mode_t mode)
{
	bool fresh = (flags & O_CREAT) && access(path, F_OK) != 0;
	struct stat st;
	int fd;

	disk_lock();
	fd = io_ops_system.open(path, flags, mode);
	if (fd >= 0 && disk.recording && medium_of(path) >= 0) {
		must(fstat(fd, &st) == 0, path);
		if (fresh)
			record_name(path, &st);
		else if (flags & O_TRUNC)
			disk_resized(fd, 0);
	}
	disk_unlock();
	return fd;
}

static int disk_fallocate(int fd, int mode, off_t off, off_t len)
{
	struct call_record *now;
	struct stat st;
	int done, file;

	disk_lock();
	done = io_ops_system.fallocate(fd, mode, off, len);
	file = done || !disk.recording ? -1 : file_of(fd);
	if (file >= 0 && mode & FALLOC_FL_PUNCH_HOLE) {
		now = record(CALL_ZERO);
		now->file = file;
		now->off = (uint64_t)off;
		now->len = (uint64_t)len;
	} else if (file >= 0) {
		must(fstat(fd, &st) == 0, "fallocate");
		disk_resized(fd, st.st_size);
	}
	disk_unlock();
	return done;
}

static int disk_mkdir(const char *path, mode_t mode)
{
	struct stat st;
	int done;

	disk_lock();
	done = io_ops_system.mkdir(path, mode);
	if (!done && disk.recording && medium_of(path) >= 0) {
		must(stat(path, &st) == 0, path);
		record_name(path, &st);
	}
	disk_unlock();
	return done;
}

static int disk_rename(const char *from, const char *to)
{
	struct call_record *now;
	int done;

	disk_lock();
	done = io_ops_system.rename(from, to);
	if (!done && disk.recording && medium_of(from) >= 0) {
		now = record(CALL_RENAME);
		snprintf(now->path, sizeof(now->path), "%s", from);
		snprintf(now->to, sizeof(now->to), "%s", to);
	}
	disk_unlock();
	return done;
}

static int disk_unlink(const char *path)
{
	int done;

	disk_lock();
	done = io_ops_system.unlink(path);
	if (!done && disk.recording && medium_of(path) >= 0)
		snprintf(record(CALL_UNLINK)->path, PATH_LEN, "%s", path);
	disk_unlock();
	return done;
}

size_t disk_steps(void)
{
	size_t n;

	disk_lock();
	n = disk.ncalls;
	disk_unlock();
	return n;
}

/* What is there at the beginning. */
static void scan(const char *path)
{
	struct name *name = name_of(path);
	struct dirent *entry;
	struct file *file;
	struct stat st;
	DIR *folder;

	must(lstat(path, &st) == 0, path);
	name->now = name->safe = file_new(&st, name->medium);
	file = &disk.files[name->now];
	if (file->folder) {
		folder = opendir(path);
		must(folder != NULL, path);
		while ((entry = readdir(folder))) {
			char below[2 * PATH_LEN];

			if (entry->d_name[0] == '.')
				continue;
			snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
			must(strlen(below) < PATH_LEN, below);
			scan(below);
		}
		closedir(folder);
	} else {
		uint8_t bytes[BLOCK];
		static const uint8_t zeros[BLOCK];
		int fd = open(path, O_RDONLY);
		ssize_t got;

		must(fd >= 0, path);
		for (uint64_t at = 0; (got = pread(fd, bytes, BLOCK, (off_t)at)) > 0;
		     at += (uint64_t)got)
			if (memcmp(bytes, zeros, (size_t)got) != 0)
				file_write(file, bytes, (uint64_t)got, at);
		close(fd);
		file_resize(file, (uint64_t)st.st_size);
		range_sync(file, UINT64_MAX / 2, 0);
		file->safe.len = file->now.len;
	}
}

void disk_record(const char *const *folders, unsigned n)
{
	disk_release();
	disk.media = n;
	for (unsigned i = 0; i < n; i++)
		snprintf(disk.folders[i], sizeof(disk.folders[i]), "%s", folders[i]);
	for (unsigned i = 0; i < n; i++)
		scan(folders[i]);
	disk.ops = io_ops_system;
	disk.ops.open = disk_open;
	disk.ops.fallocate = disk_fallocate;
	disk.ops.mkdir = disk_mkdir;
	disk.ops.rename = disk_rename;
	disk.ops.unlink = disk_unlink;
	disk.recording = true;
	io_ops_set(&disk.ops);
}

void disk_stop(void)
{
	disk.fail_sync = 0;
	disk.fail_syncs = false;
	io_ops_set(NULL);
	disk.recording = false;
}

void disk_release(void)
{
	for (unsigned i = 0; i < disk.nfiles; i++)
		file_release(&disk.files[i]);
	for (size_t i = 0; i < disk.ncalls; i++)
		free(disk.calls[i].bytes);
	free(disk.calls);
	disk.calls = NULL;
	disk.nfiles = disk.nnames = disk.media = 0;
	disk.ncalls = disk.cap = disk.at = 0;
}

/* Going through it again ------------------------------------------------------------------------
 */

static void sync_done(struct file *file)
{
	if (file->folder) {
		folder_sync(file);
		return;
	}
	range_sync(file, UINT64_MAX / 2, 0);
	file->safe.len = file->now.len;
}

static void redo(const struct call_record *call)
{
	struct file *file = call->file >= 0 ? &disk.files[call->file] : NULL;

	switch (call->call) {
	case CALL_NAME:
		name_of(call->path)->now = call->file;
		break;
	case CALL_RENAME:
		name_of(call->to)->now = name_of(call->path)->now;
		name_of(call->path)->now = -1;
		break;
	case CALL_UNLINK:
		name_of(call->path)->now = -1;
		break;
	case CALL_WRITE:
		file_write(file, call->bytes, call->len, call->off);
		if (call->synced) {
			range_sync(file, call->len, call->off);
			if (file->safe.len < call->off + call->len)
				file->safe.len = call->off + call->len;
		}
		break;
	case CALL_SYNC:
		sync_done(file);
		break;
	case CALL_FORGET:
		file_forget(file);
		break;
	case CALL_RESIZE:
		file_resize(file, call->len);
		break;
	case CALL_ZERO:
		file_zero(file, call->len, call->off);
		break;
	}
}

unsigned disk_at(size_t step)
{
	unsigned unsynced = 0;

	for (; disk.at < step && disk.at < disk.ncalls; disk.at++)
		redo(&disk.calls[disk.at]);
	for (unsigned i = 0; i < disk.nnames; i++) {
		const struct name *name = &disk.names[i];

		if (name->now != name->safe ||
		    (name->now >= 0 && !file_synced(&disk.files[name->now])))
			unsynced |= 1u << name->medium;
	}
	return unsynced;
}

/* Making folders --------------------------------------------------------------------------------
 */

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * 0x2545f4914f6cdd1du >> 20;
}

static void put_block(int fd, const struct file *file, size_t i, enum disk_outcome outcome,
		      uint64_t *state)
{
	static const uint8_t zeros[BLOCK];
	const uint8_t *now = i < file->now.nblocks ? file->now.blocks[i] : NULL;
	const uint8_t *safe = safe_block(file, i);
	const uint8_t *from = outcome == DISK_KEPT ? now : safe;
	uint8_t torn[BLOCK];

	if (outcome == DISK_TORN && now != safe) {
		for (unsigned at = 0; at < BLOCK; at += SECTOR) {
			const uint8_t *half = next_random(state) % 2 ? now : safe;

			memcpy(torn + at, half ? half + at : zeros, SECTOR);
		}
		from = torn;
	}
	if (from)
		must(syscall(SYS_pwrite64, fd, from, BLOCK, (off_t)(i * BLOCK)) == BLOCK, "write");
}

static void put_file(const char *path, const struct file *file, enum disk_outcome outcome,
		     uint64_t *state)
{
	size_t n = file->now.nblocks > file->safe.nblocks ? file->now.nblocks : file->safe.nblocks;
	uint64_t len = outcome == DISK_LOST ? file->safe.len : file->now.len;
	int fd;

	if (file->folder) {
		must(mkdir(path, 0700) == 0, path);
		return;
	}
	if (outcome == DISK_TORN && next_random(state) % 2)
		len = file->safe.len;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	must(fd >= 0, path);
	for (size_t i = 0; i < n; i++)
		put_block(fd, file, i, outcome, state);
	must(ftruncate(fd, (off_t)len) == 0, path);
	close(fd);
}

static int by_path(const void *a, const void *b)
{
	return strcmp((*(const struct name *const *)a)->path,
		      (*(const struct name *const *)b)->path);
}

static bool parent_there(const char *path)
{
	char above[PATH_LEN];

	snprintf(above, sizeof(above), "%s", path);
	*strrchr(above, '/') = '\0';
	return access(above, F_OK) == 0;
}

static int drop_one(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
	(void)st;
	(void)what;
	(void)ftw;
	return remove(path);
}

void disk_make(const enum disk_outcome *outcome, uint64_t seed)
{
	struct name *sorted[NAMES_MAX];
	uint64_t state = seed * 2 + 88172645463325253u;
	bool names_now[DISK_MEDIA];

	for (unsigned i = 0; i < disk.media; i++) {
		names_now[i] = outcome[i] == DISK_KEPT || outcome[i] == DISK_NAMED ||
			       (outcome[i] == DISK_TORN && next_random(&state) % 2);
		must(nftw(disk.folders[i], drop_one, 16, FTW_DEPTH | FTW_PHYS) == 0,
		     disk.folders[i]);
	}
	for (unsigned i = 0; i < disk.nnames; i++)
		sorted[i] = &disk.names[i];
	qsort(sorted, disk.nnames, sizeof(sorted[0]), by_path);
	for (unsigned i = 0; i < disk.nnames; i++) {
		int file = names_now[sorted[i]->medium] ? sorted[i]->now : sorted[i]->safe;

		if (file >= 0 && parent_there(sorted[i]->path))
			put_file(sorted[i]->path, &disk.files[file], outcome[sorted[i]->medium],
				 &state);
	}
}
