// SPDX-License-Identifier: Apache-2.0
/*
 * Invariants:
 *  1. A name copy.N stands for a whole, synced file: it is written as copy.new, synced, renamed,
 * and the folder synced.
 *  2. An old copy goes only after a new one is durable in the same folder.
 *  3. A reader uses no byte of a block before its checksum; the numbers of the blocks and the end
 *     tell that none is missing.
 */
#include "tiers/meta_copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "compress/bytes.h"
#include "compress/checksum.h"
#include "compress/codec.h"
#include "tiers/clock.h"
#include "tiers/io.h"
#include "tiers/log.h"
#include "tiers/meta_impl.h"
#include "tiers/meta_snapshot.h"

#define FOLDER	     "metadata"
#define NAME_NEW     "copy.new"
#define VERSION	     1u
#define DIRS_MAX     1024u
#define ROOM_SHIFT   5 /* of a medium, 1/32 or this much stays free, as for deletes */
#define ROOM_MAX     (64u << 20)
#define BLOCK_STORED (META_BATCH_MAX + (META_BATCH_MAX >> 3))

/* Offsets; terrace-format(5) is the text of record. */
enum {
	HEAD_VERSION = 8,
	HEAD_INCOMPAT = 12,
	HEAD_RO_COMPAT = 16,
	HEAD_POOL = 24,
	HEAD_GENERATION = 40,
	HEAD_SALT = 48,
	HEAD_TIME = 56,
	HEAD_CHECKSUM = 120,
	HEAD_LEN = 128,
	BLOCK_KIND = 4,
	BLOCK_CODEC = 5,
	BLOCK_STORED_LEN = 8,
	BLOCK_RAW_LEN = 12,
	BLOCK_NUMBER = 16,
	BLOCK_CHECKSUM = 24,
	BLOCK_HEAD = 32,
	END_SEQ = 0,
	END_OPERATIONS = 8,
	END_TIME = 16,
	END_LEN = 40,
};
enum { KIND_OPERATIONS = 1, KIND_END = 2 };

static const char head_magic[8] = {'T', 'E', 'R', 'R', 'C', 'O', 'P', 'Y'};
static const char block_magic[4] = {'T', 'R', 'm', 'b'};
static const struct codec_spec codec = {.id = CODEC_ZSTD, .level = 3};

static uint64_t block_sum(const uint8_t *head, uint64_t salt, const void *stored, size_t len)
{
	return checksum64_seed(stored, len, checksum64_seed(head, BLOCK_CHECKSUM, salt));
}

/* Writing. ------------------------------------------------------------------------------------- */

struct target {
	const char *dir;
	char *path; /* of copy.new */
	int fd, error;
};

struct writer {
	const struct copy_job *job;
	struct target *targets;
	struct codec_scratch *scratch;
	uint8_t *block; /* head and stored bytes */
	uint64_t salt, number, bytes, operations;
};

static char *path_of(const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s/" FOLDER "%s%s", dir, *name ? "/" : "", name) < 0 ? NULL : path;
}

static char *path_of_generation(const char *dir, uint64_t generation)
{
	char name[32];

	snprintf(name, sizeof(name), "copy.%016llx", (unsigned long long)generation);
	return path_of(dir, name);
}

static void target_fail(struct target *target, int error)
{
	if (target->error)
		return;
	target->error = error;
	log_warning("%s: no copy of the metadata could be made: %s; the older ones stay",
		    target->path ? target->path : target->dir, strerror(-error));
}

static void target_open(struct target *target, const char *dir)
{
	char *folder = path_of(dir, "");
	int rc;

	*target = (struct target){.dir = dir, .path = path_of(dir, NAME_NEW), .fd = -1};
	rc = folder && target->path ? io_make_folder(folder, 0700) : -ENOMEM;
	if (rc == 0)
		rc = io_sync_folder(dir);
	if (rc == 0 || rc == -EEXIST) {
		target->fd = io_open(target->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		rc = target->fd < 0 ? target->fd : 0;
	}
	if (rc < 0)
		target_fail(target, rc);
	free(folder);
}

/* Writers of files go before copies. */
static bool has_room(const struct target *target, size_t len)
{
	struct statvfs fs;
	uint64_t keep;

	if (statvfs(target->dir, &fs) < 0)
		return true;
	keep = (uint64_t)fs.f_blocks * fs.f_frsize >> ROOM_SHIFT;
	return (uint64_t)fs.f_bavail * fs.f_frsize >= len + (keep < ROOM_MAX ? keep : ROOM_MAX);
}

/* To all that have not failed; -EIO when none is left: each has said why. */
static int write_all(struct writer *writer, const void *buf, size_t len)
{
	int rc = -EIO;

	for (size_t i = 0; i < writer->job->ndirs; i++) {
		struct target *target = &writer->targets[i];
		int error = target->error ? target->error
			    : has_room(target, len)
				    ? io_pwrite_all(target->fd, buf, len, writer->bytes)
				    : -ENOSPC;

		if (error < 0)
			target_fail(target, error);
		else
			rc = 0;
	}
	writer->bytes += len;
	return rc;
}

static int head_write(struct writer *writer)
{
	uint8_t p[HEAD_LEN] = {0};

	if (getrandom(&writer->salt, sizeof(writer->salt), 0) != (ssize_t)sizeof(writer->salt))
		return -EIO;
	memcpy(p, head_magic, sizeof(head_magic));
	put_le32(p + HEAD_VERSION, VERSION);
	memcpy(p + HEAD_POOL, writer->job->pool_uuid, 16);
	put_le64(p + HEAD_GENERATION, writer->job->generation);
	put_le64(p + HEAD_SALT, writer->salt);
	put_le64(p + HEAD_TIME, (uint64_t)clock_wall_ns());
	put_le64(p + HEAD_CHECKSUM, checksum64(p, HEAD_CHECKSUM));
	return write_all(writer, p, sizeof(p));
}

static int block_write(struct writer *writer, unsigned kind, const void *raw, size_t raw_len)
{
	uint8_t *head = writer->block, *stored = head + BLOCK_HEAD;
	unsigned id = kind == KIND_END ? CODEC_NONE : codec.id;
	size_t len = raw_len;
	int rc = -ENOSPC;

	if (id != CODEC_NONE)
		rc = codec_encode(writer->scratch, &codec, raw, raw_len, stored, raw_len, &len);
	if (rc == -ENOSPC) { /* it does not shrink */
		id = CODEC_NONE;
		memcpy(stored, raw, raw_len);
		len = raw_len;
		rc = 0;
	}
	if (rc)
		return rc;
	memset(head, 0, BLOCK_HEAD);
	memcpy(head, block_magic, sizeof(block_magic));
	head[BLOCK_KIND] = (uint8_t)kind;
	head[BLOCK_CODEC] = (uint8_t)id;
	put_le32(head + BLOCK_STORED_LEN, (uint32_t)len);
	put_le32(head + BLOCK_RAW_LEN, (uint32_t)raw_len);
	put_le64(head + BLOCK_NUMBER, writer->number++);
	put_le64(head + BLOCK_CHECKSUM, block_sum(head, writer->salt, stored, len));
	return write_all(writer, head, BLOCK_HEAD + len);
}

static int end_write(struct writer *writer, uint64_t seq, struct copy_info *info)
{
	uint8_t p[END_LEN] = {0};

	info->generation = writer->job->generation;
	info->seq = seq;
	info->operations = writer->operations;
	info->time_ns = writer->job->time_ns;
	put_le64(p + END_SEQ, seq);
	put_le64(p + END_OPERATIONS, writer->operations);
	put_le64(p + END_TIME, (uint64_t)info->time_ns);
	return block_write(writer, KIND_END, p, sizeof(p));
}

static int contents_write(struct writer *writer, struct copy_info *info)
{
	const struct copy_job *job = writer->job;
	struct meta_snapshot *snapshot = NULL;
	struct meta_batch *batch = NULL;
	uint64_t seq = 0;
	int rc = meta_batch_new(&batch);

	if (rc == 0)
		rc = meta_snapshot_open(job->meta, &snapshot);
	while (rc == 0) {
		uint64_t begin = clock_mono_ns();

		rc = meta_snapshot_next(snapshot, batch, &seq);
		if (rc == 0)
			rc = block_write(writer, KIND_OPERATIONS, batch->ops, batch->len);
		writer->operations += rc ? 0 : batch->count;
		if (rc == 0 && job->pace)
			rc = job->pace(job->arg, clock_mono_ns() - begin);
	}
	if (rc == -ENOENT)
		rc = seq < job->seq ? -EAGAIN : end_write(writer, seq, info);
	meta_snapshot_close(snapshot);
	meta_batch_free(batch);
	return rc;
}

/* Generations below the `keep` highest go. What cannot be removed takes room, no more. */
struct old {
	uint64_t generations[64];
	size_t count;
};

static int each_old(void *arg, const char *path, const struct copy_info *info)
{
	struct old *old = arg;

	(void)path;
	if (old->count < 64)
		old->generations[old->count++] = info->generation;
	return 0;
}

static void old_remove(const struct copy_job *job, const char *dir)
{
	struct old old = {.count = 0};

	if (copy_list(dir, job->pool_uuid, each_old, &old) < 0)
		return;
	for (size_t i = 0; i < old.count; i++) {
		uint32_t newer = 0;
		char *path;

		for (size_t j = 0; j < old.count; j++)
			newer += old.generations[j] > old.generations[i];
		path = newer >= job->keep ? path_of_generation(dir, old.generations[i]) : NULL;
		if (path)
			io_remove(path);
		free(path);
	}
}

/* Sync, the name, the name's sync: in this order. */
static int target_publish(struct target *target, const struct copy_job *job)
{
	char *folder = path_of(target->dir, ""),
	     *path = path_of_generation(target->dir, job->generation);
	int rc = folder && path ? io_sync_file(target->fd) : -ENOMEM;
	int closed = io_close(target->fd);

	target->fd = -1;
	if (rc == 0)
		rc = closed;
	if (rc == 0)
		rc = io_rename(target->path, path);
	if (rc == 0)
		rc = io_sync_folder(folder);
	if (rc < 0)
		target_fail(target, rc);
	else
		old_remove(job, target->dir);
	free(folder);
	free(path);
	return rc;
}

static void target_release(struct target *target)
{
	if (target->fd >= 0)
		io_close(target->fd);
	if (target->error && target->path)
		io_remove(target->path);
	free(target->path);
}

int copy_write(const struct copy_job *job, struct copy_info *info, size_t *written)
{
	struct writer writer = {.job = job};
	int rc = 0;

	*written = 0;
	*info = (struct copy_info){0};
	writer.targets = calloc(job->ndirs, sizeof(*writer.targets));
	writer.block = malloc(BLOCK_HEAD + BLOCK_STORED);
	if (!writer.targets || !writer.block)
		rc = -ENOMEM;
	if (rc == 0)
		rc = codec_scratch_new(&writer.scratch);
	if (rc < 0)
		goto out;
	for (size_t i = 0; i < job->ndirs; i++)
		target_open(&writer.targets[i], job->dirs[i]);
	rc = head_write(&writer);
	if (rc == 0)
		rc = contents_write(&writer, info);
	info->bytes = writer.bytes;
	for (size_t i = 0; i < job->ndirs; i++) {
		struct target *target = &writer.targets[i];

		if (rc < 0 && !target->error)
			target->error = rc;
		else if (!target->error && target_publish(target, job) == 0)
			++*written;
	}
	if (rc == 0 && !*written)
		rc = writer.targets[0].error;
	for (size_t i = 0; i < job->ndirs; i++)
		target_release(&writer.targets[i]);
out:
	if (writer.scratch)
		codec_scratch_free(writer.scratch);
	free(writer.block);
	free(writer.targets);
	return rc;
}

/* Reading. ------------------------------------------------------------------------------------- */

struct reader {
	const char *path;
	int fd;
	uint64_t salt, number, off;
	bool quiet; /* only its head and its end are read: nothing is logged, numbers leap */
	uint8_t head[BLOCK_HEAD];
	uint8_t *stored, *raw;
	struct codec_scratch *scratch;
};

static int damaged(const struct reader *reader, const char *what)
{
	if (!reader->quiet)
		log_warning("%s: this copy of the metadata is damaged (%s at byte %llu): another "
			    "one must do",
			    reader->path, what, (unsigned long long)reader->off);
	return -EBADMSG;
}

static int reader_read(const struct reader *reader, void *buf, size_t len)
{
	int rc = io_pread_all(reader->fd, buf, len, reader->off);

	if (rc == -ENODATA)
		return damaged(reader, "it ends");
	if (rc < 0)
		log_warning("%s: %s", reader->path, strerror(-rc));
	return rc;
}

static int head_read(struct reader *reader, const uint8_t *uuid, struct copy_info *info)
{
	uint8_t p[HEAD_LEN];
	int rc = reader_read(reader, p, sizeof(p));

	if (rc < 0)
		return rc;
	if (memcmp(p, head_magic, sizeof(head_magic)) != 0 ||
	    get_le64(p + HEAD_CHECKSUM) != checksum64(p, HEAD_CHECKSUM))
		return damaged(reader, "damaged head");
	if (get_le32(p + HEAD_VERSION) != VERSION || get_le32(p + HEAD_INCOMPAT)) {
		log_warning("%s: written by a newer version of Terrace", reader->path);
		return -ENOTSUP;
	}
	if (memcmp(p + HEAD_POOL, uuid, 16) != 0)
		return -ENOTUNIQ;
	info->generation = get_le64(p + HEAD_GENERATION);
	reader->salt = get_le64(p + HEAD_SALT);
	reader->off = HEAD_LEN;
	return 0;
}

/* The next block's raw bytes, in reader->raw. */
static int block_read(struct reader *reader, unsigned *kind, size_t *raw_len)
{
	uint8_t *head = reader->head;
	size_t len;
	int rc = reader_read(reader, head, BLOCK_HEAD);

	if (rc < 0)
		return rc;
	len = get_le32(head + BLOCK_STORED_LEN);
	*raw_len = get_le32(head + BLOCK_RAW_LEN);
	*kind = head[BLOCK_KIND];
	if (memcmp(head, block_magic, sizeof(block_magic)) != 0 || len > BLOCK_STORED ||
	    *raw_len > META_BATCH_MAX)
		return damaged(reader, "no block");
	reader->off += BLOCK_HEAD;
	rc = reader_read(reader, reader->stored, len);
	if (rc < 0)
		return rc;
	if (get_le64(head + BLOCK_CHECKSUM) != block_sum(head, reader->salt, reader->stored, len))
		return damaged(reader, "damaged block");
	if (get_le64(head + BLOCK_NUMBER) != reader->number++ && !reader->quiet)
		return damaged(reader, "a block is missing");
	reader->off += len;
	return codec_decode(reader->scratch, head[BLOCK_CODEC], reader->stored, len, reader->raw,
			    *raw_len);
}

static int end_parse(struct reader *reader, size_t raw_len, struct copy_info *info)
{
	struct stat st;
	int rc = io_stat(reader->fd, &st);

	if (rc < 0)
		return rc;
	if (raw_len != END_LEN || (uint64_t)st.st_size != reader->off)
		return damaged(reader, "wrong end");
	info->seq = get_le64(reader->raw + END_SEQ);
	info->operations = get_le64(reader->raw + END_OPERATIONS);
	info->time_ns = (int64_t)get_le64(reader->raw + END_TIME);
	info->bytes = reader->off;
	return 0;
}

static int reader_open(struct reader *reader, const char *path)
{
	*reader = (struct reader){.path = path, .fd = io_open(path, O_RDONLY, 0)};
	if (reader->fd < 0) {
		log_warning("%s: %s", path, strerror(-reader->fd));
		return reader->fd;
	}
	reader->stored = malloc(BLOCK_STORED);
	reader->raw = malloc(META_BATCH_MAX);
	if (!reader->stored || !reader->raw)
		return -ENOMEM;
	return codec_scratch_new(&reader->scratch);
}

static void reader_release(struct reader *reader)
{
	if (reader->fd >= 0)
		io_close(reader->fd);
	if (reader->scratch)
		codec_scratch_free(reader->scratch);
	free(reader->stored);
	free(reader->raw);
}

/* Operations of a block: each is one, or none of them counts. */
static int operations_check(struct reader *reader, size_t len, uint64_t *count)
{
	struct meta_op op;
	size_t pos = 0;
	int rc;

	while ((rc = meta_op_next(reader->raw, len, &pos, &op)) == 0)
		++*count;
	return rc == -ENOENT ? 0 : damaged(reader, "no operation");
}

int copy_read(const char *path, const uint8_t *pool_uuid,
	      int (*apply)(void *arg, const void *ops, size_t len), void *arg,
	      struct copy_info *info)
{
	struct reader reader;
	uint64_t count = 0;
	unsigned kind = 0;
	size_t len = 0;
	int rc = reader_open(&reader, path);

	*info = (struct copy_info){0};
	if (rc == 0)
		rc = head_read(&reader, pool_uuid, info);
	while (rc == 0) {
		rc = block_read(&reader, &kind, &len);
		if (rc < 0 || kind != KIND_OPERATIONS)
			break;
		rc = operations_check(&reader, len, &count);
		if (rc == 0 && apply)
			rc = apply(arg, reader.raw, len);
	}
	if (rc == 0)
		rc = kind == KIND_END ? end_parse(&reader, len, info)
				      : damaged(&reader, "unknown block");
	if (rc == 0 && count != info->operations)
		rc = damaged(&reader, "operations are missing");
	reader_release(&reader);
	return rc;
}

static int load(void *arg, const void *ops, size_t len)
{
	struct meta *meta = arg;
	struct meta_batch *batch;
	struct meta_op op;
	size_t pos = 0;
	int rc = meta_batch_new(&batch);

	while (rc == 0 && (rc = meta_op_next(ops, len, &pos, &op)) == 0)
		rc = op.value ? meta_batch_put(batch, op.key, op.key_len, op.value, op.len)
			      : meta_batch_del(batch, op.key, op.key_len);
	if (rc == -ENOENT)
		rc = meta_apply(meta, batch, NULL);
	if (rc == 0 && meta_checkpoint_due(meta, 0))
		rc = meta_freeze(meta);
	if (rc == 0)
		rc = meta_checkpoint(meta);
	meta_batch_free(batch);
	return rc;
}

int copy_load(const char *path, const uint8_t *pool_uuid, struct meta *meta, struct copy_info *info)
{
	return copy_read(path, pool_uuid, load, meta, info);
}

/* Head and end only. */
static int info_read(const char *path, const uint8_t *uuid, struct copy_info *info)
{
	struct reader reader;
	struct stat st;
	unsigned kind;
	size_t len;
	int rc = reader_open(&reader, path);

	reader.quiet = true; /* what is no copy is passed over */
	if (rc == 0)
		rc = head_read(&reader, uuid, info);
	if (rc == 0)
		rc = io_stat(reader.fd, &st);
	if (rc == 0 && st.st_size < HEAD_LEN + BLOCK_HEAD + END_LEN)
		rc = -EBADMSG;
	if (rc == 0) {
		reader.off = (uint64_t)st.st_size - BLOCK_HEAD - END_LEN;
		rc = block_read(&reader, &kind, &len);
	}
	if (rc == 0)
		rc = kind == KIND_END ? end_parse(&reader, len, info) : -EBADMSG;
	reader_release(&reader);
	return rc;
}

/* Calls each() for every file with the name of a copy. */
static int names_each(const char *dir,
		      int (*each)(void *arg, const char *path, uint64_t generation), void *arg)
{
	char *folder = path_of(dir, "");
	DIR *stream = folder ? opendir(folder) : NULL;
	struct dirent *entry;
	int rc = folder ? stream ? 0 : -errno : -ENOMEM;

	while (rc == 0 && (entry = readdir(stream))) {
		unsigned long long generation;
		char end, *path;

		if (sscanf(entry->d_name, "copy.%16llx%c", &generation, &end) != 1)
			continue;
		path = path_of(dir, entry->d_name);
		rc = path ? each(arg, path, generation) : -ENOMEM;
		free(path);
	}
	if (stream)
		closedir(stream);
	free(folder);
	return rc;
}

struct listing {
	const uint8_t *pool_uuid;
	int (*each)(void *arg, const char *path, const struct copy_info *info);
	int (*verified)(void *arg, const char *path, int error);
	void *arg;
};

static int list_one(void *arg, const char *path, uint64_t generation)
{
	const struct listing *listing = arg;
	struct copy_info info = {0};

	if (info_read(path, listing->pool_uuid, &info) < 0 || info.generation != generation)
		return 0;
	return listing->each(listing->arg, path, &info);
}

int copy_list(const char *dir, const uint8_t *pool_uuid,
	      int (*each)(void *arg, const char *path, const struct copy_info *info), void *arg)
{
	struct listing listing = {.pool_uuid = pool_uuid, .each = each, .arg = arg};

	return names_each(dir, list_one, &listing);
}

static int verify_one(void *arg, const char *path, uint64_t generation)
{
	const struct listing *listing = arg;
	struct copy_info info;
	int rc = copy_read(path, listing->pool_uuid, NULL, NULL, &info);

	if (rc == 0 && info.generation != generation)
		rc = -EBADMSG;
	return listing->verified(listing->arg, path, rc);
}

int copy_verify_all(const char *dir, const uint8_t *pool_uuid,
		    int (*each)(void *arg, const char *path, int error), void *arg)
{
	struct listing listing = {.pool_uuid = pool_uuid, .verified = each, .arg = arg};
	int rc = names_each(dir, verify_one, &listing);

	return rc == -ENOENT ? 0 : rc;
}

void copy_remove_all(const char *dir)
{
	char *folder = path_of(dir, "");
	DIR *stream = folder ? opendir(folder) : NULL;
	struct dirent *entry;

	while (stream && (entry = readdir(stream)))
		if (!strncmp(entry->d_name, "copy.", 5))
			unlinkat(dirfd(stream), entry->d_name, 0);
	if (stream)
		closedir(stream);
	if (folder)
		rmdir(folder);
	free(folder);
}
