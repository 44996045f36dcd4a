// SPDX-License-Identifier: Apache-2.0
#include "tiers/meta_restore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compress/bytes.h"
#include "tiers/config.h"
#include "tiers/io.h"
#include "tiers/keys.h"
#include "tiers/log.h"
#include "tiers/meta_impl.h"
#include "tiers/meta_look.h"
#include "tiers/meta_walk.h"
#include "tiers/plain_files.h"
#include "tiers/record_get.h"
#include "tiers/records.h"
#include "tiers/restore/impl.h"
#include "tiers/segment_file.h"
#include "tiers/tier.h"
#include "tiers/tier_label.h"

#define RESTORING "restoring"
#define MADE_ANEW "made-anew"	      /* in a directory, until the metadata has its place */
#define IDS_SINCE ((uint64_t)1 << 32) /* more than are given out between two copies */

static int path_make(char out[PATH_MAX], const char *dir, const char *name)
{
	return snprintf(out, PATH_MAX, "%s/%s", dir, name) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static bool exists(const char *dir, const char *name)
{
	char path[PATH_MAX];

	return path_make(path, dir, name) == 0 && access(path, F_OK) == 0;
}

static int say(const char *path, const char *what, int rc)
{
	if (rc < 0)
		log_error("%s: %s: %s", path, what, strerror(-rc));
	return rc;
}

/* Directories. --------------------------------------------------------------------------------- */

static bool said_lost(const struct restore_options *options, const char *path)
{
	for (size_t i = 0; i < options->nlost; i++)
		if (!strcmp(options->lost[i], path))
			return true;
	return false;
}

static int any_segment(void *arg, uint64_t id, int folder, const char *name)
{
	(void)arg;
	(void)id;
	(void)folder;
	(void)name;
	return 1;
}

static int any_plain(void *arg, uint64_t id, uint32_t generation, const struct stat *st)
{
	(void)arg;
	(void)id;
	(void)generation;
	(void)st;
	return 1;
}

/* Made by an attempt that did not come to its end: what was lost with it is lost still. */
static bool made_before(const char *path)
{
	return exists(path, MADE_ANEW) && segment_files_each(path, any_segment, NULL) == 0 &&
	       plain_files_each(path, any_plain, NULL) == 0;
}

/* A directory that is not there may be a disk that is not mounted: somebody must say it is lost. */
static int directory_look(struct restore *restore, struct directory *dir)
{
	bool lost = said_lost(restore->options, dir->path);
	struct tier_label label;
	char path[PATH_MAX];
	int rc = path_make(path, dir->path, TIER_LABEL_NAME);

	if (rc < 0)
		return rc;
	if (access(path, F_OK) == 0) {
		rc = tier_label_check(dir->path, restore->options->config->uuid, dir->tier, &label);
		dir->lost = rc == 0 && made_before(dir->path);
		if (rc == 0 && lost && !dir->lost) {
			log_error("%s: is not lost: it is there", dir->path);
			return -EINVAL;
		}
		dir->place = label.place;
		return rc;
	}
	if (errno != ENOENT) /* it may be there all the same */
		return say(dir->path, "cannot be looked at, so it is not taken for lost", -errno);
	if (!lost) {
		log_error("%s: is not there: mount its disk; if it is gone for good, say so with "
			  "--lost=%s",
			  dir->path, dir->path);
		return -ENOENT;
	}
	dir->lost = true;
	return 0;
}

/* Indexes of lost directories: those that no other one of the tier has. What was in them is lost
 * anyway. */
static void places_give(struct restore *restore)
{
	for (size_t i = 0; i < restore->ndirs; i++) {
		struct directory *dir = &restore->dirs[i];
		bool taken = dir->lost;

		for (uint32_t place = 0; taken; place++) {
			taken = false;
			for (size_t k = 0; k < restore->ndirs && !taken; k++)
				taken = restore->dirs[k].tier == dir->tier &&
					restore->dirs[k].place == place &&
					(k < i || !restore->dirs[k].lost);
			dir->place = place;
		}
	}
}

static int directories_look(struct restore *restore)
{
	const struct pool_config *config = restore->options->config;
	size_t found = 0, n = 0;
	int rc = 0;

	for (uint32_t t = 1; t < config->ntiers; t++)
		n += config->tiers[t].npaths;
	restore->dirs = calloc(n, sizeof(*restore->dirs));
	if (!restore->dirs)
		return -ENOMEM;
	for (uint32_t t = 1; t < config->ntiers; t++) {
		for (uint32_t i = 0; i < config->tiers[t].npaths && rc == 0; i++) {
			struct directory *dir = &restore->dirs[restore->ndirs++];

			*dir = (struct directory){.path = config->tiers[t].paths[i], .tier = t};
			rc = directory_look(restore, dir);
			found += said_lost(restore->options, dir->path);
		}
	}
	if (rc == 0 && found != restore->options->nlost) {
		log_error("a directory that is said to be lost is none of the pool's, in %s",
			  config->file);
		rc = -EINVAL;
	}
	places_give(restore);
	return rc;
}

static int directory_make(const struct restore *restore, const struct directory *dir)
{
	struct tier_label label = {.tier_id = dir->tier, .place = dir->place, .nplaces = 1};
	char path[PATH_MAX];
	int rc = io_make_folder(dir->path, 0700);

	memcpy(label.pool_uuid, restore->options->config->uuid, sizeof(label.pool_uuid));
	if (rc == 0 || rc == -EEXIST)
		rc = path_make(path, dir->path, "segments");
	if (rc == 0)
		rc = io_make_folder(path, 0700);
	if (rc == 0 || rc == -EEXIST)
		rc = path_make(path, dir->path, MADE_ANEW);
	if (rc == 0)
		rc = io_touch(path, true);
	if (rc == 0)
		rc = tier_label_write(dir->path, &label);
	return say(dir->path, "cannot be made anew", rc);
}

/* The new store has its place. What stays says nothing any more as soon as the directory is used.
 */
static void directory_made(const struct directory *dir)
{
	char path[PATH_MAX];

	if (path_make(path, dir->path, MADE_ANEW) == 0 && io_remove(path) == 0)
		(void)io_sync_folder(dir->path);
}

/* The copy. ------------------------------------------------------------------------------------ */

struct choice {
	struct restore *restore;
	bool found;
};

static int each_copy(void *arg, const char *path, const struct copy_info *info)
{
	struct choice *choice = arg;
	struct restore_result *out = choice->restore->out;
	uint64_t wanted = choice->restore->options->generation;
	struct copy_info whole;

	if ((wanted && info->generation != wanted) || info->generation <= out->copy.generation)
		return 0;
	/* Read through: a newer one that is damaged does not hide an older one, nor its twin. */
	if (copy_read(path, choice->restore->options->config->uuid, NULL, NULL, &whole) < 0)
		return 0;
	if (out->live && whole.seq <= out->copy.seq)
		return 0;
	out->live = false;
	out->copy = whole;
	snprintf(out->from, sizeof(out->from), "%s", path);
	choice->found = true;
	return 0;
}

static int copy_choose(struct restore *restore)
{
	struct choice choice = {.restore = restore};

	for (size_t i = 0; i < restore->ndirs; i++)
		if (!restore->dirs[i].lost)
			copy_list(restore->dirs[i].path, restore->options->config->uuid, each_copy,
				  &choice);
	if (choice.found || restore->live)
		return 0;
	if (restore->options->generation)
		log_error("%s: no good copy of generation %llu in any directory",
			  restore->options->config->file,
			  (unsigned long long)restore->options->generation);
	else
		log_error("%s: no good copy of the metadata in any directory",
			  restore->options->config->file);
	return -ENOENT;
}

static uint64_t limit_raise(uint64_t limit, uint64_t top)
{
	return (top >= limit ? top + 1 : limit) + IDS_SINCE;
}

/* What was given out after the copy lies on the media: it must not be given out again. Neither what
 * another restore from this copy has given out. */
static int counts_raise(struct restore *restore)
{
	uint8_t value[RECORD_COUNTS_LEN];
	struct pool_counts counts;
	struct meta_batch *batch;
	int rc = pool_counts_get(restore->meta, &counts);

	if (rc == 0)
		rc = meta_batch_new(&batch);
	if (rc < 0)
		return rc;
	restore->out->objects = counts.objects;
	counts.object_ids = limit_raise(counts.object_ids, restore->top.object);
	counts.frame_ids = limit_raise(counts.frame_ids, restore->top.frame);
	counts.segment_ids = limit_raise(counts.segment_ids, restore->top.segment);
	counts.log_epoch++;
	pool_counts_encode(&counts, value);
	meta_batch_put(batch, POOL_COUNTS_KEY, POOL_COUNTS_KEY_LEN, value, sizeof(value));
	rc = meta_apply(restore->meta, batch, NULL);
	meta_batch_free(batch);
	return rc;
}

/* What is missing, what is newer. -------------------------------------------------------------- */

struct tidying {
	struct restore *restore;
	const char *dir;
};

/* A file that no record speaks of. */
static int newer_aside(void *arg, uint64_t id, int folder, const char *name)
{
	struct tidying *tidying = arg;
	char from[PATH_MAX], to[PATH_MAX];
	int rc;

	(void)folder;
	(void)name;
	if (idmap_get(&tidying->restore->known, id))
		return 0;
	rc = path_make(to, tidying->dir, SEGMENTS_ASIDE);
	if (rc == 0)
		rc = io_make_folder(to, 0700);
	if (rc == 0 || rc == -EEXIST)
		rc = segment_file_path(from, sizeof(from), tidying->dir, id);
	if (rc == 0)
		rc = segment_aside_path(to, sizeof(to), tidying->dir, id);
	if (rc == 0)
		rc = io_rename(from, to);
	tidying->restore->out->newer_segments += rc == 0;
	return say(tidying->dir, "newer segments cannot be put aside", rc);
}

static int directory_tidy(struct restore *restore, const struct directory *dir)
{
	struct tidying tidying = {.restore = restore, .dir = dir->path};
	int rc = segment_files_each(dir->path, newer_aside, &tidying);

	if (rc < 0)
		return rc;
	rc = say(dir->path, "that segments were put aside cannot be made durable",
		 segment_aside_sync(dir->path));
	return rc < 0 ? rc : restore_plain_aside(restore, dir);
}

/* The new store. ------------------------------------------------------------------------------- */

static bool is_store_file(const char *name)
{
	return !strncmp(name, "metadata.", 9) || !strncmp(name, "journal.", 8);
}

/* Moves the store's files from one folder to another, the tree's last; to NULL: removes them. */
static int files_move(const char *from, const char *to, bool *any)
{
	char path[PATH_MAX], target[PATH_MAX];
	DIR *stream = opendir(from);
	struct dirent *entry;
	int rc = stream ? 0 : -errno;

	for (unsigned last = 0; last < 2 && rc == 0; last++) {
		rewinddir(stream);
		while (rc == 0 && (entry = readdir(stream))) {
			if (!is_store_file(entry->d_name) ||
			    last != !strcmp(entry->d_name, "metadata.mdb"))
				continue;
			rc = path_make(path, from, entry->d_name);
			if (rc == 0 && to)
				rc = path_make(target, to, entry->d_name);
			if (rc == 0)
				rc = to ? io_rename(path, target) : io_remove(path);
			if (any)
				*any = true;
		}
	}
	if (stream)
		closedir(stream);
	if (rc == 0 && to)
		rc = io_sync_folder(to);
	return rc == 0 ? io_sync_folder(from) : rc;
}

/* What an attempt that died has left goes first, the journal's tail as well: that lies with the
 * rest here, on a medium, where a power loss can tear it. */
static int store_make(struct restore *restore)
{
	struct meta_options options = {.dir = restore->store,
				       .tail_dir = restore->store,
				       .pool_uuid = restore->options->config->uuid,
				       .create = true};
	const char *folder = restore->options->config->meta_path;
	int rc = io_make_folder(folder, 0700);

	if (rc == -EEXIST)
		rc = 0;
	if (rc == 0)
		rc = io_make_folder(restore->store, 0700);
	if (rc == -EEXIST)
		rc = files_move(restore->store, NULL, NULL);
	if (rc == 0)
		rc = meta_open_lmdb(&restore->meta, &options, NULL);
	return say(folder, "the metadata cannot be made anew there", rc);
}

/* All that the old store still shows. */
static int live_load(struct restore *restore)
{
	struct meta_batch *batch;
	struct meta_cursor *cursor;
	struct meta_item item;
	size_t bytes = 0;
	int rc = meta_batch_new(&batch);

	if (rc < 0)
		return rc;
	rc = meta_cursor_open(restore->live, NULL, 0, NULL, 0, &cursor);
	while (rc == 0 && (rc = meta_cursor_next(cursor, &item)) == 0) {
		rc = meta_batch_put(batch, item.key, item.key_len, item.value, item.len);
		bytes += item.key_len + item.len + 8;
		if (rc == 0 && bytes > META_BATCH_MAX / 2) {
			rc = restore_apply(restore, batch);
			bytes = 0;
		}
	}
	if (rc == -ENOENT)
		rc = restore_apply(restore, batch);
	meta_cursor_close(cursor);
	meta_batch_free(batch);
	return rc;
}

static int store_fill(struct restore *restore)
{
	/* What is left of the old store has no time: what it does not know is put aside. */
	struct copy_info info = {.time_ns = INT64_MAX};
	int closed, rc;

	rc = restore->out->live ? live_load(restore)
				: copy_load(restore->out->from, restore->options->config->uuid,
					    restore->meta, &info);
	if (rc == 0)
		rc = restore_plain(restore, info.time_ns);
	if (rc == 0)
		rc = restore_take_newer(restore);
	if (rc == 0)
		rc = counts_raise(restore);
	if (rc < 0) {
		meta_abandon(restore->meta);
		closed = 0;
	} else {
		closed = meta_close(restore->meta);
	}
	restore->meta = NULL;
	return say(restore->out->from, "cannot be taken over", rc < 0 ? rc : closed);
}

/* The old one aside, the new one into its place. */
static int store_exchange(struct restore *restore)
{
	const char *folder = restore->options->config->meta_path;
	char *aside = restore->out->aside;
	bool any = false;
	int rc = -EEXIST;

	for (unsigned n = 1; rc == -EEXIST; n++) {
		if (snprintf(aside, PATH_MAX, "%s/damaged-%u", folder, n) >= PATH_MAX)
			return -ENAMETOOLONG;
		rc = io_make_folder(aside, 0700);
	}
	if (rc == 0)
		rc = files_move(folder, aside, &any);
	if (rc == 0 && !any) {
		rmdir(aside);
		*aside = '\0';
	}
	if (rc == 0)
		rc = files_move(restore->store, folder, NULL);
	if (rc == 0)
		rmdir(restore->store);
	return say(folder, "the metadata cannot be put into its place", rc);
}

/* ---------------------------------------------------------------------------------------------- */

/* Whoever has the pool open holds this lock. */
static int folder_lock(struct restore *restore)
{
	const char *folder = restore->options->config->meta_path;
	char path[PATH_MAX];
	int rc = path_make(path, folder, "metadata.lock");

	if (rc < 0 || access(path, F_OK) < 0)
		return rc;
	restore->lock_fd = io_open(path, O_RDWR, 0);
	if (restore->lock_fd < 0)
		return say(path, "cannot be opened", restore->lock_fd);
	if (!flock(restore->lock_fd, LOCK_EX | LOCK_NB))
		return 0;
	log_error("%s: the pool is in use: unmount it first", path);
	return -EBUSY;
}

/* The tree may be sound, and the journal not: then they give a state that is newer than any copy.
 */
static int live_look(struct restore *restore)
{
	const char *folder = restore->options->config->meta_path;
	struct meta_look_options options = {.dir = folder,
					    .pool_uuid = restore->options->config->uuid};
	struct meta_look look;
	char path[PATH_MAX];
	int rc;

	if (restore->options->generation || !exists(folder, "metadata.mdb"))
		return 0;
	if (path_make(path, folder, "metadata.mdb") < 0 || tree_walk(path, UINT64_MAX, NULL) < 0)
		return 0;
	rc = meta_open_look(&restore->live, &options, &look);
	if (rc == 0) {
		meta_abandon(restore->live);
		restore->live = NULL;
		return -EALREADY;
	}
	options.damaged = true;
	if (rc == -EUCLEAN)
		rc = meta_open_look(&restore->live, &options, &look);
	if (rc < 0)
		return rc == -EUCLEAN ? 0 : rc;
	restore->out->live = true;
	restore->out->copy.seq = look.seq;
	memcpy(restore->out->from, path, sizeof(path));
	return 0;
}

static int carry_out(struct restore *restore)
{
	int rc = 0;

	for (size_t i = 0; i < restore->ndirs && rc == 0; i++)
		if (restore->dirs[i].lost)
			rc = directory_make(restore, &restore->dirs[i]);
	if (rc == 0)
		rc = store_make(restore);
	if (rc == 0)
		rc = store_fill(restore);
	for (size_t i = 0; i < restore->ndirs && rc == 0; i++)
		rc = directory_tidy(restore, &restore->dirs[i]);
	if (rc == 0)
		rc = store_exchange(restore);
	for (size_t i = 0; i < restore->ndirs && rc == 0; i++)
		if (restore->dirs[i].lost)
			directory_made(&restore->dirs[i]);
	if (restore->meta)
		meta_abandon(restore->meta);
	return rc;
}

int meta_restore(const struct restore_options *options, struct restore_result *out)
{
	struct restore restore = {.options = options, .out = out, .lock_fd = -1};
	int rc;

	*out = (struct restore_result){.from = ""};
	idmap_init(&restore.known);
	idmap_init(&restore.gone);
	idmap_init(&restore.plains);
	idmap_init(&restore.plain_files);
	rc = path_make(restore.store, options->config->meta_path, RESTORING);
	if (rc == 0)
		rc = folder_lock(&restore);
	if (rc == 0)
		rc = directories_look(&restore);
	if (rc == 0)
		rc = live_look(&restore);
	if (rc == 0)
		rc = copy_choose(&restore);
	if (rc == 0 && !options->dry_run)
		rc = carry_out(&restore);
	meta_abandon(restore.live);
	if (restore.lock_fd >= 0)
		io_close(restore.lock_fd);
	idmap_release(&restore.known);
	idmap_release(&restore.gone);
	idmap_release(&restore.plains);
	idmap_release(&restore.plain_files);
	free(restore.dirs);
	return rc;
}
