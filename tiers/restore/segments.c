// SPDX-License-Identifier: Apache-2.0
/* The segments that a copy of the metadata knows, and where their files are now. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tiers/io.h"
#include "tiers/keys.h"
#include "tiers/restore/impl.h"
#include "tiers/segment_file.h"
#include "tiers/tier.h"

int restore_segment_return(const char *dir, uint64_t id)
{
	char from[PATH_MAX], to[PATH_MAX], folder[PATH_MAX];
	int rc = segment_aside_path(from, sizeof(from), dir, id);

	if (rc == 0)
		rc = segment_file_path(to, sizeof(to), dir, id);
	if (rc < 0)
		return rc;
	memcpy(folder, to, sizeof(folder));
	*strrchr(folder, '/') = '\0';
	rc = io_make_folder(folder, 0700);
	if (rc == 0 || rc == -EEXIST)
		rc = io_rename(from, to);
	return rc < 0 ? rc : io_sync_folder(folder);
}

/* In one directory; a restore from an older copy may have put it aside there. */
static int file_find(const char *dir, uint64_t id, bool look, char buf[PATH_MAX])
{
	char aside[PATH_MAX];
	int rc = segment_file_path(buf, PATH_MAX, dir, id);

	if (rc < 0 || access(buf, F_OK) == 0)
		return rc;
	rc = segment_aside_path(aside, sizeof(aside), dir, id);
	if (rc < 0)
		return rc;
	if (access(aside, F_OK) < 0)
		return -ENOENT;
	if (!look)
		return restore_segment_return(dir, id);
	memcpy(buf, aside, sizeof(aside));
	return 0;
}

int restore_segment_find(const struct restore *restore, uint64_t id,
			 const struct segment_record *record, char buf[PATH_MAX])
{
	int rc = -ENOENT;

	for (size_t i = 0; i < restore->ndirs && rc == -ENOENT; i++)
		if (restore->dirs[i].tier == record->tier &&
		    restore->dirs[i].place < TIER_PLACES_MAX &&
		    record->homes >> restore->dirs[i].place & 1)
			rc = file_find(restore->dirs[i].path, id, restore->look, buf);
	return rc;
}

int restore_walk(struct restore *restore, uint8_t type,
		 int (*each)(void *arg, uint64_t id, const struct meta_item *item), void *arg)
{
	struct meta_cursor *cursor;
	struct meta_item item;
	int rc = meta_cursor_open(restore->meta, &type, 1, NULL, 0, &cursor);

	if (rc < 0)
		return rc;
	while ((rc = meta_cursor_next(cursor, &item)) == 0) {
		rc = item.key_len == KEY_LEN_1 ? each(arg, get_be64(item.key + 1), &item)
					       : -EUCLEAN;
		if (rc < 0)
			break;
	}
	meta_cursor_close(cursor);
	return rc == -ENOENT ? 0 : rc;
}

static int record_put(struct restore *restore, uint64_t id, const struct segment_record *record)
{
	uint8_t key[KEY_LEN_1], value[RECORD_SEGMENT_MAX];
	struct meta_batch *batch;
	int rc = meta_batch_new(&batch);

	if (rc < 0)
		return rc;
	(void)meta_batch_put(batch, key, key_1(key, KEY_SEGMENT, id), value,
			     segment_record_encode(record, value));
	rc = restore_apply(restore, batch);
	meta_batch_free(batch);
	return rc;
}

/* None of its files is left, but a directory of the tier has one that was made after the copy of
 * the metadata: from now on it is its only one. What it lacks is found out as with any other.
 * -ENOENT */
static int segment_elsewhere(struct restore *restore, uint64_t id, struct segment_record *record)
{
	char path[PATH_MAX];
	int rc = -ENOENT;

	for (size_t i = 0; i < restore->ndirs && rc == -ENOENT; i++) {
		const struct directory *dir = &restore->dirs[i];

		if (dir->tier != record->tier || dir->place >= TIER_PLACES_MAX)
			continue;
		rc = file_find(dir->path, id, restore->look, path);
		record->place = (uint16_t)dir->place;
		record->homes = (uint64_t)1 << dir->place;
		record->mirrored = true; /* its frames' records name another place */
	}
	return rc < 0 ? rc : record_put(restore, id, record);
}

static int segment_known(void *arg, uint64_t id, const struct meta_item *item)
{
	struct restore *restore = arg;
	struct segment_record record;
	char path[PATH_MAX];
	int rc = segment_record_decode(item->value, item->len, &record);

	if (rc == 0)
		rc = idmap_put(&restore->known, id, restore);
	if (rc == 0)
		rc = restore_segment_find(restore, id, &record, path);
	if (rc == -ENOENT)
		rc = segment_elsewhere(restore, id, &record);
	if (rc != -ENOENT)
		return rc;
	restore->out->lost_segments++;
	return idmap_put(&restore->gone, id, restore);
}

int restore_take_newer(struct restore *restore)
{
	int rc = restore_walk(restore, KEY_SEGMENT, segment_known, restore);

	if (rc == 0)
		rc = restore_plain_look(restore);
	return rc < 0 ? rc : restore_newer(restore);
}

int restore_newer_look(const struct pool_config *config, const struct finder_dir *dirs,
		       size_t ndirs, struct meta *meta, struct restore_result *out)
{
	struct restore_options options = {.config = config};
	struct restore restore = {.options = &options,
				  .out = out,
				  .dirs = calloc(ndirs + 1, sizeof(*restore.dirs)),
				  .ndirs = ndirs,
				  .meta = meta,
				  .look = true};
	int rc;

	if (!restore.dirs)
		return -ENOMEM;
	for (size_t i = 0; i < ndirs; i++)
		restore.dirs[i] = (struct directory){
			.path = dirs[i].path, .tier = dirs[i].tier, .place = dirs[i].place};
	idmap_init(&restore.known);
	idmap_init(&restore.gone);
	idmap_init(&restore.plain_files);
	rc = restore_take_newer(&restore);
	idmap_release(&restore.known);
	idmap_release(&restore.gone);
	idmap_release(&restore.plain_files);
	free(restore.dirs);
	return rc;
}
