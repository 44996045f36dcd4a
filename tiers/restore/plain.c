// SPDX-License-Identifier: Apache-2.0
/*
 * Plain files of a restore. One that the copy names stays. One of an object that the copy has in
 * frames, and that was written to after the copy, is where the object's bytes have gone since: the
 * object is plain from now on; so is one whose file has another generation than the copy says. All
 * others are put aside: what opens the pool would remove them. Where there is no file of an object
 * that the copy has plain, its bytes may have gone back into frames (newer.c).
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tiers/io.h"
#include "tiers/keys.h"
#include "tiers/log.h"
#include "tiers/plain_files.h"
#include "tiers/record_get.h"
#include "tiers/restore/impl.h"

#define ASIDE "plain.newer"

struct looking {
	struct restore *restore;
	const struct directory *dir;
	int64_t time_ns; /* of the copy */
	bool any;	 /* aside */
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

static bool is_named(const struct object_record *record, const struct plain_home *home)
{
	return record->plain.set && record->plain.tier == home->tier &&
	       record->plain.place == home->place && record->plain.generation == home->generation;
}

static bool is_there(const struct restore *restore, uint64_t id, const struct plain_home *home)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < restore->ndirs; i++) {
		const struct directory *dir = &restore->dirs[i];

		if (!dir->lost && dir->tier == home->tier && dir->place == home->place &&
		    plain_path(dir->path, id, home->generation, path, sizeof(path)) == 0)
			return access(path, F_OK) == 0;
	}
	return false;
}

static int each_file(void *arg, uint64_t id, uint32_t generation, const struct stat *st)
{
	struct restore *restore = arg;

	(void)generation;
	(void)st;
	return idmap_put(&restore->plain_files, id, restore);
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

static int each_named(void *arg, uint64_t id, uint32_t generation, const struct stat *st)
{
	const struct looking *looking = arg;
	struct restore *restore = looking->restore;
	struct plain_home home = {.set = true,
				  .tier = (uint8_t)looking->dir->tier,
				  .place = (uint16_t)looking->dir->place,
				  .generation = generation};
	struct object_record record;
	int rc = object_record_get(restore->meta, id, &record);

	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	if (!is_named(&record, &home)) {
		if (record.plain.set
			    ? is_there(restore, id, &record.plain)
			    : (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec <=
				      looking->time_ns)
			return 0;
		record.plain = home; /* its extents go when the pool is opened */
		record.size = (uint64_t)st->st_size;
		rc = record_put(restore, id, &record);
	}
	return rc < 0 ? rc : idmap_put(&restore->plains, id, (void *)(uintptr_t)generation);
}

int restore_plain(struct restore *restore, int64_t time_ns)
{
	int rc = 0;

	for (size_t i = 0; i < restore->ndirs && rc == 0; i++) {
		struct looking looking = {restore, &restore->dirs[i], time_ns, false};

		if (!restore->dirs[i].lost)
			rc = plain_files_each(restore->dirs[i].path, each_named, &looking);
	}
	return rc;
}

static int each_aside(void *arg, uint64_t id, uint32_t generation, const struct stat *st)
{
	struct looking *looking = arg;
	const char *root = looking->dir->path;
	char from[PATH_MAX], to[PATH_MAX];
	int rc;

	(void)st;
	if (idmap_get(&looking->restore->plains, id) == (void *)(uintptr_t)generation)
		return 0;
	rc = plain_path(root, id, generation, from, sizeof(from));
	if (rc == 0 && snprintf(to, sizeof(to), "%s/" ASIDE, root) >= (int)sizeof(to))
		rc = -ENAMETOOLONG;
	if (rc == 0)
		rc = io_make_folder(to, 0700);
	if (rc == 0 || rc == -EEXIST)
		rc = snprintf(to, sizeof(to), "%s/" ASIDE "%s", root, strrchr(from, '/')) >=
				     (int)sizeof(to)
			     ? -ENAMETOOLONG
			     : io_rename(from, to);
	if (rc == 0)
		log_warning("%s: the bytes of a file that the copy does not know, or knows older: "
			    "put aside",
			    to);
	looking->any |= rc == 0;
	return rc;
}

int restore_plain_aside(struct restore *restore, const struct directory *dir)
{
	struct looking looking = {.restore = restore, .dir = dir};
	int rc = plain_files_each(dir->path, each_aside, &looking);

	return rc == 0 && looking.any ? io_sync_folder(dir->path) : rc;
}
