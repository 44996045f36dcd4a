// SPDX-License-Identifier: Apache-2.0
/*
 * Plain files of a restore. One that the copy names stays. One of an object that the copy has in
 * frames, and that was written to after the copy, is where the object's bytes have gone since: the
 * object is plain from now on; so is one whose file lies elsewhere than the copy says. Of several,
 * the one that was changed last counts; one that is not complete (terrace-format(5)), never. All
 * others are put aside: what opens the pool would remove them. Where there is no file of an object
 * that the copy has plain, its bytes may have gone back into frames (newer.c).
 *
 * One that the copy names, and that another restore has put aside after the copy was made, is put
 * back. Of the others that lie there nobody knows how old they are: being put aside has changed the
 * only time that says it.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tiers/io.h"
#include "tiers/keys.h"
#include "tiers/log.h"
#include "tiers/plain_files.h"
#include "tiers/record_get.h"
#include "tiers/restore/impl.h"

struct looking {
	struct restore *restore;
	const struct directory *dir;
	int64_t time_ns; /* of the copy */
};

static int record_put(struct restore *restore, uint64_t id, const struct object_record *record)
{
	uint8_t key[KEY_LEN_1], value[RECORD_OBJECT_MAX], count[RECORD_COUNTS_LEN];
	struct pool_counts counts;
	struct meta_batch *batch;
	int rc = pool_counts_get(restore->meta, &counts);

	if (rc == 0)
		rc = meta_batch_new(&batch);
	if (rc < 0)
		return rc;
	counts.features |= POOL_FEATURE_PLAIN;
	pool_counts_encode(&counts, count);
	meta_batch_put(batch, POOL_COUNTS_KEY, POOL_COUNTS_KEY_LEN, count, sizeof(count));
	meta_batch_put(batch, key, key_1(key, KEY_OBJECT, id), value,
		       object_record_encode(record, value));
	rc = meta_apply(restore->meta, batch, NULL);
	meta_batch_free(batch);
	return rc;
}

/* restore.plains: which file an object has. */
static uintptr_t pack(const struct plain_home *home)
{
	return (uintptr_t)home->generation << 32 | (uintptr_t)home->place << 16 |
	       (uintptr_t)home->tier << 8;
}

#define BY_COPY 1u /* the copy says so */
#define RETURNS 2u /* ... and it is put back */

static struct plain_home home_in(const struct directory *dir, uint32_t generation)
{
	return (struct plain_home){.set = true,
				   .tier = (uint8_t)dir->tier,
				   .place = (uint16_t)dir->place,
				   .generation = generation};
}

static int64_t changed_ns(const struct stat *st)
{
	return (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec;
}

static bool file_there(const struct restore *restore, uint64_t id, const struct plain_home *home,
		       struct stat *st)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < restore->ndirs; i++) {
		const struct directory *dir = &restore->dirs[i];

		if (!dir->lost && dir->tier == home->tier && dir->place == home->place &&
		    plain_path(dir->path, id, home->generation, path, sizeof(path)) == 0)
			return lstat(path, st) == 0;
	}
	return false;
}

static int each_file(void *arg, uint64_t id, uint32_t generation, const struct stat *st)
{
	struct restore *restore = arg;

	(void)generation;
	return plain_file_is_complete(st) ? idmap_put(&restore->plain_files, id, restore) : 0;
}

int restore_plain_look(struct restore *restore)
{
	int rc = 0;

	for (size_t i = 0; i < restore->ndirs && rc == 0; i++)
		if (!restore->dirs[i].lost)
			rc = plain_files_each(restore->dirs[i].path, each_file, restore);
	return rc;
}

bool restore_plain_gone(const struct restore *restore, uint64_t id,
			const struct object_record *record)
{
	return record->plain.set && !idmap_get(&restore->plain_files, id);
}

/* Are the object's bytes in this file, rather than where the record says? */
static bool is_newer(const struct looking *looking, uint64_t id, const struct object_record *record,
		     const struct stat *st)
{
	uintptr_t known = (uintptr_t)idmap_get(&looking->restore->plains, id);
	struct stat other;

	if (known & BY_COPY)
		return false;
	if (!record->plain.set)
		return changed_ns(st) > looking->time_ns;
	if (!file_there(looking->restore, id, &record->plain, &other))
		return true;
	return known && changed_ns(st) > changed_ns(&other);
}

static int each_named(void *arg, uint64_t id, uint32_t generation, const struct stat *st)
{
	const struct looking *looking = arg;
	struct restore *restore = looking->restore;
	struct plain_home home = home_in(looking->dir, generation);
	struct object_record record;
	uintptr_t by_copy = BY_COPY;
	int rc = plain_file_is_complete(st) ? object_record_get(restore->meta, id, &record)
					    : -ENOENT;

	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	if (!record.plain.set || pack(&record.plain) != pack(&home)) {
		if (!is_newer(looking, id, &record, st))
			return 0;
		record.plain = home; /* its extents go when the pool is opened */
		record.size = (uint64_t)st->st_size;
		by_copy = 0;
		rc = record_put(restore, id, &record);
	}
	return rc < 0 ? rc : idmap_put(&restore->plains, id, (void *)(pack(&home) | by_copy));
}

static int each_returning(void *arg, uint64_t id, uint32_t generation, const struct stat *st)
{
	const struct looking *looking = arg;
	struct restore *restore = looking->restore;
	struct plain_home home = home_in(looking->dir, generation);
	struct object_record record;
	struct stat there;
	int rc;

	if (!plain_file_is_complete(st) || changed_ns(st) <= looking->time_ns)
		return 0;
	rc = object_record_get(restore->meta, id, &record);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	if (!record.plain.set || pack(&record.plain) != pack(&home) ||
	    file_there(restore, id, &home, &there))
		return 0;
	rc = idmap_put(&restore->plain_files, id, restore);
	return rc < 0 ? rc
		      : idmap_put(&restore->plains, id, (void *)(pack(&home) | BY_COPY | RETURNS));
}

int restore_plain(struct restore *restore, int64_t time_ns)
{
	int rc = 0;

	for (size_t i = 0; i < restore->ndirs && rc == 0; i++) {
		struct looking looking = {restore, &restore->dirs[i], time_ns};

		if (!restore->dirs[i].lost)
			rc = plain_aside_each(restore->dirs[i].path, each_returning, &looking);
	}
	for (size_t i = 0; i < restore->ndirs && rc == 0; i++) {
		struct looking looking = {restore, &restore->dirs[i], time_ns};

		if (!restore->dirs[i].lost)
			rc = plain_files_each(restore->dirs[i].path, each_named, &looking);
	}
	return rc;
}

static int put_back(const char *root, uint64_t id, uint32_t generation)
{
	char from[PATH_MAX], folder[PATH_MAX], to[PATH_MAX];
	int rc = plain_aside_path(root, id, generation, from, sizeof(from));

	if (rc == 0)
		rc = plain_path(root, id, generation, to, sizeof(to));
	if (rc < 0)
		return rc;
	snprintf(folder, sizeof(folder), "%s/" PLAIN_FOLDER, root);
	rc = io_make_folder(folder, 0700);
	if (rc == 0 || rc == -EEXIST)
		rc = io_rename(from, to);
	if (rc == 0)
		log_info("%s: is what the copy speaks of: put back", to);
	return rc;
}

static int each_back(void *arg, uint64_t id, uint32_t generation, const struct stat *st)
{
	const struct looking *looking = arg;
	struct plain_home home = home_in(looking->dir, generation);
	uintptr_t known = (uintptr_t)idmap_get(&looking->restore->plains, id);
	int rc;

	(void)st;
	if (known != (pack(&home) | BY_COPY | RETURNS))
		return 0;
	rc = put_back(looking->dir->path, id, generation);
	if (rc < 0)
		log_error("%s: plain files that were put aside cannot be put back: %s",
			  looking->dir->path, strerror(-rc));
	return rc;
}

/* A name for it there: one that is taken, by what another restore has put aside, gets a number. */
static int aside_path(const char *root, uint64_t id, uint32_t generation, char buf[PATH_MAX])
{
	int rc = plain_aside_path(root, id, generation, buf, PATH_MAX);
	size_t len = rc == 0 ? strlen(buf) : 0;

	for (unsigned n = 2; rc == 0 && access(buf, F_OK) == 0; n++)
		if (snprintf(buf + len, PATH_MAX - len, ".%u", n) >= (int)(PATH_MAX - len))
			rc = -ENAMETOOLONG;
	return rc;
}

static int aside(const char *root, uint64_t id, uint32_t generation)
{
	char from[PATH_MAX], folder[PATH_MAX], to[PATH_MAX];
	int rc = plain_path(root, id, generation, from, sizeof(from));

	if (rc == 0)
		rc = aside_path(root, id, generation, to);
	if (rc < 0)
		return rc;
	snprintf(folder, sizeof(folder), "%s/" PLAIN_ASIDE, root);
	rc = io_make_folder(folder, 0700);
	if (rc == 0 || rc == -EEXIST)
		rc = io_rename(from, to);
	if (rc == 0)
		log_warning("%s: the bytes of a file that the copy does not know, or knows older: "
			    "put aside",
			    to);
	return rc;
}

static int each_aside(void *arg, uint64_t id, uint32_t generation, const struct stat *st)
{
	const struct looking *looking = arg;
	struct plain_home home = home_in(looking->dir, generation);
	uintptr_t known = (uintptr_t)idmap_get(&looking->restore->plains, id);
	int rc;

	(void)st;
	if ((known & ~(uintptr_t)(BY_COPY | RETURNS)) == pack(&home))
		return 0;
	rc = aside(looking->dir->path, id, generation);
	if (rc < 0)
		log_error("%s: plain files that the copy does not know cannot be put aside: %s",
			  looking->dir->path, strerror(-rc));
	return rc;
}

/* Both names of each that was put aside or back, also by an attempt that failed. A mount removes
 * what is back in its place. */
static int folders_sync(const char *root)
{
	static const char *const folders[] = {"/" PLAIN_ASIDE, "/" PLAIN_FOLDER, ""};
	char path[PATH_MAX];
	int rc = 0;

	for (unsigned i = 0; i < 3 && rc == 0; i++) {
		snprintf(path, sizeof(path), "%s%s", root, folders[i]);
		rc = io_sync_folder(path);
		if (rc == -ENOENT && i == 0)
			return 0; /* nothing was ever put aside */
		rc = rc == -ENOENT ? 0 : rc;
	}
	return rc;
}

int restore_plain_aside(struct restore *restore, const struct directory *dir)
{
	struct looking looking = {.restore = restore, .dir = dir};
	int rc = plain_aside_each(dir->path, each_back, &looking);

	if (rc == 0)
		rc = plain_files_each(dir->path, each_aside, &looking);
	if (rc < 0)
		return rc;
	rc = folders_sync(dir->path);
	if (rc < 0)
		log_error("%s: that plain files were put aside cannot be made durable: %s",
			  dir->path, strerror(-rc));
	return rc;
}
