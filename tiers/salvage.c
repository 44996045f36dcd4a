// SPDX-License-Identifier: Apache-2.0
#include "tiers/salvage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "compress/bytes.h"
#include "compress/frame.h"
#include "tiers/config.h"
#include "tiers/io.h"
#include "tiers/keys.h"
#include "tiers/log.h"
#include "tiers/meta.h"
#include "tiers/meta_walk.h"
#include "tiers/segment_file.h"
#include "tiers/tier.h"
#include "tiers/tier_label.h"

#define FRAMES_KEPT 8u /* decoded: files of one frame follow each other */
#define COPY_BYTES  (1u << 20)

struct place_dir {
	const char *path;
	uint32_t tier, place;
};

struct kept_frame {
	uint64_t id;
	uint8_t *raw; /* NULL: none, or error */
	uint32_t raw_len;
	int error;
};

struct salvage {
	const struct pool_config *config;
	struct meta *meta;
	struct codec_scratch *scratch;
	struct place_dir dirs[CONFIG_TIERS_MAX * CONFIG_PATHS_MAX];
	size_t ndirs;
	struct kept_frame frames[FRAMES_KEPT];
	unsigned next;
};

/* Opening. ------------------------------------------------------------------------------------- */

static void places_look(struct salvage *salvage, struct salvage_source *source)
{
	const struct pool_config *config = salvage->config;

	for (uint32_t t = 1; t < config->ntiers; t++) {
		for (uint32_t i = 0; i < config->tiers[t].npaths; i++) {
			const char *path = config->tiers[t].paths[i];
			struct tier_label label;

			if (tier_label_check(path, config->uuid, t, &label) < 0) {
				source->missing++; /* it has been said why */
				continue;
			}
			salvage->dirs[salvage->ndirs++] = (struct place_dir){path, t, label.place};
		}
	}
}

static int file_copy(const char *from, const char *to)
{
	uint8_t *buf = malloc(COPY_BYTES);
	int in = io_open(from, O_RDONLY, 0), out = io_open(to, O_WRONLY | O_CREAT | O_EXCL, 0600);
	int rc = !buf ? -ENOMEM : in < 0 ? in : out < 0 ? out : 0;
	struct stat st;

	if (rc == 0)
		rc = io_stat(in, &st);
	for (uint64_t off = 0; rc == 0 && off < (uint64_t)st.st_size; off += COPY_BYTES) {
		uint64_t left = (uint64_t)st.st_size - off;
		size_t len = left < COPY_BYTES ? (size_t)left : COPY_BYTES;

		rc = io_pread_all(in, buf, len, off);
		if (rc == 0)
			rc = io_pwrite_all(out, buf, len, off);
	}
	if (in >= 0)
		io_close(in);
	if (out >= 0)
		io_close(out);
	free(buf);
	if (rc < 0)
		log_error("%s: cannot be copied to %s: %s", from, to, strerror(-rc));
	return rc;
}

/* metadata.mdb and the journal: opening a store writes to it, and the pool stays as it is. */
static int live_copy(const char *folder, const char *work)
{
	DIR *stream = opendir(folder);
	struct dirent *entry;
	int rc = stream ? 0 : -errno;

	while (rc == 0 && (entry = readdir(stream))) {
		char from[PATH_MAX], to[PATH_MAX];

		if (strcmp(entry->d_name, "metadata.mdb") != 0 &&
		    strncmp(entry->d_name, "journal.", 8) != 0)
			continue;
		if (snprintf(from, sizeof(from), "%s/%s", folder, entry->d_name) >= PATH_MAX ||
		    snprintf(to, sizeof(to), "%s/%s", work, entry->d_name) >= PATH_MAX)
			rc = -ENAMETOOLONG;
		else
			rc = file_copy(from, to);
	}
	if (stream)
		closedir(stream);
	return rc;
}

static int in_use(const char *folder)
{
	char path[PATH_MAX];
	int fd, rc = 0;

	if (snprintf(path, sizeof(path), "%s/metadata.lock", folder) >= PATH_MAX)
		return -ENAMETOOLONG;
	fd = io_open(path, O_RDONLY, 0);
	if (fd < 0)
		return 0;
	if (flock(fd, LOCK_SH | LOCK_NB) < 0)
		rc = -EBUSY;
	io_close(fd);
	if (rc < 0)
		log_error("%s: the pool is in use: unmount it, or copy the files from the mount",
			  path);
	return rc;
}

static int folder_of(char out[PATH_MAX], const char *work, const char *name)
{
	if (snprintf(out, PATH_MAX, "%s/%s", work, name) >= PATH_MAX)
		return -ENAMETOOLONG;
	return io_make_folder(out, 0700);
}

static int store_open(struct salvage *salvage, const char *work, const char *name, bool create,
		      struct meta_recovery *recovery, char folder[PATH_MAX])
{
	char tail[PATH_MAX], tail_name[32];
	struct meta_options options = {.dir = folder,
				       .tail_dir = tail,
				       .pool_uuid = salvage->config->uuid,
				       .create = create};
	int rc;

	snprintf(tail_name, sizeof(tail_name), "%s.tail", name);
	rc = folder_of(tail, work, tail_name);
	return rc < 0 ? rc : meta_open_lmdb(&salvage->meta, &options, recovery);
}

static int live_open(struct salvage *salvage, const char *work, struct salvage_source *source)
{
	const char *folder = salvage->config->meta_path;
	struct meta_recovery recovery = {.clean = false};
	char path[PATH_MAX], to[PATH_MAX];
	int rc;

	if (snprintf(path, sizeof(path), "%s/metadata.mdb", folder) >= PATH_MAX)
		return -ENAMETOOLONG;
	if (access(path, F_OK) < 0)
		return -ENOENT;
	rc = tree_walk(path, UINT64_MAX, NULL);
	if (rc == 0)
		rc = folder_of(to, work, "live");
	if (rc == 0)
		rc = live_copy(folder, to);
	if (rc == 0)
		rc = store_open(salvage, work, "live", false, &recovery, to);
	source->unclean = !recovery.clean;
	snprintf(source->path, sizeof(source->path), "%s", path);
	return rc;
}

struct newest {
	struct salvage *salvage;
	struct salvage_source *source;
};

static int each_copy(void *arg, const char *path, const struct copy_info *info)
{
	struct newest *newest = arg;
	struct salvage_source *source = newest->source;
	struct copy_info whole;

	if (info->generation <= source->info.generation ||
	    copy_read(path, newest->salvage->config->uuid, NULL, NULL, &whole) < 0)
		return 0;
	source->info = whole;
	snprintf(source->path, sizeof(source->path), "%s", path);
	return 0;
}

static int copy_open(struct salvage *salvage, const char *work, struct salvage_source *source)
{
	struct newest newest = {salvage, source};
	struct copy_info info;
	char folder[PATH_MAX];
	int rc;

	source->copy = true;
	source->unclean = false;
	for (size_t i = 0; i < salvage->ndirs; i++)
		copy_list(salvage->dirs[i].path, salvage->config->uuid, each_copy, &newest);
	if (!source->info.generation) {
		log_error("%s: neither sound metadata nor a good copy of it is left",
			  salvage->config->file);
		return -ENOENT;
	}
	rc = folder_of(folder, work, "copy");
	if (rc == 0)
		rc = store_open(salvage, work, "copy", true, NULL, folder);
	return rc < 0 ? rc : copy_load(source->path, salvage->config->uuid, salvage->meta, &info);
}

int salvage_open(struct salvage **out, const struct pool_config *config, const char *work,
		 struct salvage_source *source)
{
	struct salvage *salvage = calloc(1, sizeof(*salvage));
	int rc;

	*source = (struct salvage_source){.copy = false};
	if (!salvage)
		return -ENOMEM;
	salvage->config = config;
	rc = in_use(config->meta_path);
	if (rc == 0)
		rc = codec_scratch_new(&salvage->scratch);
	if (rc == 0) {
		places_look(salvage, source);
		if (live_open(salvage, work, source) < 0)
			rc = copy_open(salvage, work, source);
	}
	if (rc < 0)
		salvage_close(salvage);
	else
		*out = salvage;
	return rc;
}

void salvage_close(struct salvage *salvage)
{
	meta_abandon(salvage->meta);
	for (unsigned i = 0; i < FRAMES_KEPT; i++)
		free(salvage->frames[i].raw);
	if (salvage->scratch)
		codec_scratch_free(salvage->scratch);
	free(salvage);
}

struct meta *salvage_meta(struct salvage *salvage)
{
	return salvage->meta;
}

/* Frames. -------------------------------------------------------------------------------------- */

static int stored_read(const struct place_dir *dir, const struct frame_record *record, uint8_t *buf)
{
	char path[PATH_MAX];
	int fd, rc = segment_file_path(path, sizeof(path), dir->path, record->segment);

	if (rc < 0)
		return rc;
	fd = io_open(path, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	rc = io_pread_all(fd, buf, record->stored_len, record->off);
	io_close(fd);
	return rc;
}

static int frame_record_of(struct salvage *salvage, uint64_t frame, struct frame_record *record)
{
	uint8_t key[KEY_LEN_1], value[RECORD_FRAME_LEN];
	size_t len;
	int rc = meta_get(salvage->meta, key, key_1(key, KEY_FRAME, frame), value, sizeof(value),
			  &len);

	return rc < 0 ? rc : frame_record_decode(value, len, record);
}

/* The very frame that the record speaks of, verified, or an error. */
static int frame_read_in(struct salvage *salvage, const struct place_dir *dir, uint64_t id,
			 const struct frame_record *record, uint8_t *stored, uint8_t *raw)
{
	struct frame_header header = {0};
	int rc = stored_read(dir, record, stored);

	if (rc == 0)
		rc = frame_header_parse(stored, record->stored_len, &header);
	if (rc == 0 && (header.id != id || header.raw_len != record->raw_len ||
			header.stored_len != record->stored_len))
		rc = -EBADMSG;
	if (rc == 0)
		rc = frame_decode(salvage->scratch, &header, stored, record->stored_len, raw);
	frame_header_release(&header);
	return rc;
}

/* With replicas it is in several directories of its tier: any will do. */
static int frame_fetch(struct salvage *salvage, uint64_t id, struct kept_frame *kept)
{
	struct frame_record record;
	uint8_t *stored = NULL;
	int rc = frame_record_of(salvage, id, &record);

	if (rc < 0)
		return rc;
	if (record.raw_len > FRAME_RAW_MAX || record.stored_len > 2 * FRAME_RAW_MAX)
		return -EUCLEAN;
	kept->raw_len = record.raw_len;
	kept->raw = malloc(record.raw_len);
	stored = malloc(record.stored_len);
	rc = kept->raw && stored ? -ENOENT : -ENOMEM;
	for (size_t i = 0; i < salvage->ndirs && rc < 0 && rc != -ENOMEM; i++)
		if (salvage->dirs[i].tier == record.tier)
			rc = frame_read_in(salvage, &salvage->dirs[i], id, &record, stored,
					   kept->raw);
	free(stored);
	return rc;
}

static const struct kept_frame *frame_get(struct salvage *salvage, uint64_t id)
{
	struct kept_frame *kept;

	for (unsigned i = 0; i < FRAMES_KEPT; i++)
		if (salvage->frames[i].id == id)
			return &salvage->frames[i];
	kept = &salvage->frames[salvage->next++ % FRAMES_KEPT];
	free(kept->raw);
	*kept = (struct kept_frame){.id = id};
	kept->error = frame_fetch(salvage, id, kept);
	return kept;
}

/* Objects. ------------------------------------------------------------------------------------- */

int salvage_record(struct salvage *salvage, uint64_t object, struct object_record *out)
{
	uint8_t key[KEY_LEN_1], value[RECORD_OBJECT_MAX];
	size_t len;
	int rc = meta_get(salvage->meta, key, key_1(key, KEY_OBJECT, object), value, sizeof(value),
			  &len);

	return rc < 0 ? rc : object_record_decode(value, len, out);
}

static int extent_put(struct salvage *salvage, const struct extent *extent,
		      const struct salvage_sink *sink)
{
	const struct kept_frame *kept = frame_get(salvage, extent->frame);

	if (!kept->error && (uint64_t)extent->frame_off + extent->len <= kept->raw_len)
		return sink->put(sink->arg, extent->off, kept->raw + extent->frame_off,
				 extent->len);
	sink->lost(sink->arg, extent->off, extent->len);
	return kept->error == -ENOMEM ? -ENOMEM : 0;
}

static int extents_put(struct salvage *salvage, uint64_t object, const struct salvage_sink *sink)
{
	uint8_t prefix[KEY_LEN_1];
	struct meta_cursor *cursor;
	struct meta_item item;
	int rc = meta_cursor_open(salvage->meta, prefix, key_1(prefix, KEY_EXTENT, object), NULL, 0,
				  &cursor);

	if (rc < 0)
		return rc;
	while ((rc = meta_cursor_next(cursor, &item)) == 0) {
		struct extent extent;

		rc = item.key_len == KEY_LEN_2 ? extent_decode(get_be64(item.key + KEY_LEN_1),
							       item.value, item.len, &extent)
					       : -EUCLEAN;
		if (rc == 0)
			rc = extent_put(salvage, &extent, sink);
		if (rc < 0)
			break;
	}
	meta_cursor_close(cursor);
	return rc == -ENOENT ? 0 : rc;
}

/* Synchronous writes that are not in frames yet (terrace-format(5)): 1 write, 2 hole, 3 size. */
static int synced_put(const struct meta_item *item, const struct salvage_sink *sink, uint64_t *size)
{
	uint64_t kind, off, len;

	if (item->len < 17)
		return -EUCLEAN;
	kind = get_le64(item->value);
	off = get_le64(item->value + 8);
	len = item->len - 16;
	if (kind == 1) {
		*size = off + len > *size ? off + len : *size;
		return sink->put(sink->arg, off, item->value + 16, len);
	}
	if ((kind != 2 && kind != 3) || len != 8)
		return -EUCLEAN;
	if (kind == 2)
		return sink->put(sink->arg, off, NULL, get_le64(item->value + 16));
	if (off < *size) /* what comes back by growing again reads as zeros */
		sink->put(sink->arg, off, NULL, *size - off);
	*size = off;
	return 0;
}

int salvage_data(struct salvage *salvage, uint64_t object, const struct salvage_sink *sink,
		 uint64_t *size)
{
	struct object_record record;
	uint8_t prefix[KEY_LEN_1];
	struct meta_cursor *cursor;
	struct meta_item item;
	int rc = salvage_record(salvage, object, &record);

	if (rc < 0)
		return rc;
	*size = record.size;
	for (unsigned i = 0; i < record.nextents && rc == 0; i++)
		rc = extent_put(salvage, &record.extents[i], sink);
	if (rc == 0 && record.has_keys)
		rc = extents_put(salvage, object, sink);
	if (rc == 0)
		rc = meta_cursor_open(salvage->meta, prefix, key_1(prefix, KEY_SYNCED, object),
				      NULL, 0, &cursor);
	if (rc < 0)
		return rc;
	while ((rc = meta_cursor_next(cursor, &item)) == 0 &&
	       (rc = synced_put(&item, sink, size)) == 0)
		;
	meta_cursor_close(cursor);
	return rc == -ENOENT ? 0 : rc;
}
