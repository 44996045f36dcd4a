// SPDX-License-Identifier: Apache-2.0
#include "tiers/salvage.h"

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
#include "tiers/finder.h"
#include "tiers/io.h"
#include "tiers/keys.h"
#include "tiers/log.h"
#include "tiers/meta.h"
#include "tiers/meta_look.h"
#include "tiers/meta_restore.h"
#include "tiers/meta_walk.h"
#include "tiers/plain_files.h"
#include "tiers/ram_look.h"
#include "tiers/record_get.h"
#include "tiers/segment.h"
#include "tiers/segment_file.h"
#include "tiers/tier.h"
#include "tiers/tier_label.h"

#define FRAMES_KEPT 8u /* decoded: files of one frame follow each other */
#define COPY_BYTES  (1u << 20)

struct kept_frame {
	uint64_t id;
	uint8_t *raw; /* NULL: none, or error */
	uint32_t raw_len;
	int error;
	bool freed; /* its bytes were given back to the medium, or some of them */
};

struct salvage {
	const struct pool_config *config;
	struct meta *meta;
	struct codec_scratch *scratch;
	struct finder *finder; /* without metadata */
	struct ram_look *ram;  /* NULL: nothing of the RAM tier */
	int lock_fd;
	struct finder_dir dirs[CONFIG_TIERS_MAX * CONFIG_PATHS_MAX];
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

			if (tier_label_check_reading(path, config->uuid, t, &label) < 0) {
				source->missing++; /* it has been said why */
				continue;
			}
			salvage->dirs[salvage->ndirs++] = (struct finder_dir){path, t, label.place};
		}
	}
}

/* Held until the end: nobody mounts the pool meanwhile. */
static int lock(struct salvage *salvage)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/metadata.lock", salvage->config->meta_path) >=
	    PATH_MAX)
		return -ENAMETOOLONG;
	salvage->lock_fd = io_open(path, O_RDONLY, 0);
	if (salvage->lock_fd == -ENOMEM)
		return -ENOMEM;
	if (salvage->lock_fd < 0 || flock(salvage->lock_fd, LOCK_SH | LOCK_NB) == 0)
		return 0;
	log_error("%s: the pool is in use: unmount it, or copy the files from the mount", path);
	return -EBUSY;
}

static int folder_of(char out[PATH_MAX], const char *work, const char *name)
{
	if (snprintf(out, PATH_MAX, "%s/%s", work, name) >= PATH_MAX)
		return -ENAMETOOLONG;
	return io_make_folder(out, 0700);
}

static int store_make(struct salvage *salvage, const char *work)
{
	char folder[PATH_MAX], tail[PATH_MAX];
	struct meta_options options = {.dir = folder,
				       .tail_dir = tail,
				       .pool_uuid = salvage->config->uuid,
				       .create = true};
	int rc = folder_of(folder, work, "copy");

	if (rc == 0)
		rc = folder_of(tail, work, "copy.tail");
	return rc < 0 ? rc : meta_open_lmdb(&salvage->meta, &options, NULL);
}

static int live_there(const char *path)
{
	int rc;

	if (access(path, R_OK) == 0)
		return 0;
	if (errno == ENOENT)
		return -ENOENT;
	rc = -errno;
	log_file_error(path, rc);
	return rc;
}

/* All that a mount would take over, or nothing: data without the names that belong to it, or the
 * other way about, is a state that never was. */
static int ram_open(struct salvage *salvage, const struct meta_look_options *options,
		    struct meta_look *look)
{
	struct meta_look_options with = *options;
	int rc = ram_look_open(&salvage->ram, salvage->config);

	if (rc == 0 && !salvage->ram)
		return -ENOENT;
	if (rc == 0) {
		with.tail_dir = ram_look_dir(salvage->ram);
		rc = meta_open_look(&salvage->meta, &with, look);
	}
	if (rc == 0)
		rc = ram_look_replay(salvage->ram, salvage->meta);
	if (rc == 0)
		return 0;
	meta_abandon(salvage->meta);
	ram_look_close(salvage->ram);
	salvage->meta = NULL;
	salvage->ram = NULL;
	return rc;
}

/* Of a damaged journal, what comes before the damage. */
static int metadata_open(struct salvage *salvage, struct salvage_source *source,
			 struct meta_look *look)
{
	struct meta_look_options options = {.dir = salvage->config->meta_path,
					    .pool_uuid = salvage->config->uuid};
	int rc = ram_open(salvage, &options, look);

	if (rc == 0 || rc == -ENOMEM)
		return rc;
	rc = meta_open_look(&salvage->meta, &options, look);
	if (rc != -EUCLEAN)
		return rc;
	options.damaged = true;
	source->damaged = true;
	return meta_open_look(&salvage->meta, &options, look);
}

/* -EUCLEAN: nothing can be had. */
static int live_open(struct salvage *salvage, struct salvage_source *source)
{
	struct meta_look look = {.clean = false};
	int rc;

	if (snprintf(source->path, sizeof(source->path), "%s/metadata.mdb",
		     salvage->config->meta_path) >= PATH_MAX)
		return -ENAMETOOLONG;
	rc = live_there(source->path);
	if (rc == 0)
		rc = tree_walk(source->path, UINT64_MAX, NULL);
	if (rc == 0)
		rc = metadata_open(salvage, source, &look);
	source->unclean = !look.clean;
	source->ram_missing =
		!look.clean && !(salvage->ram && ram_look_has_log(salvage->ram) && look.tail);
	if (salvage->ram)
		ram_look_count(salvage->ram, &source->ram_writes, &source->ram_bytes);
	source->info.seq = look.seq;
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
	if (newest->salvage->meta && whole.seq <= source->info.seq)
		return 0; /* what is left of the metadata itself is newer */
	source->copy = true;
	source->info = whole;
	snprintf(source->path, sizeof(source->path), "%s", path);
	return 0;
}

/* What was written to the tiers after the copy, in place of what it knows and is gone. */
static int copy_newer(struct salvage *salvage, struct salvage_source *source)
{
	struct restore_result *result = calloc(1, sizeof(*result));
	int rc = result ? restore_newer_look(salvage->config, salvage->dirs, salvage->ndirs,
					     salvage->meta, result)
			: -ENOMEM;

	if (rc == 0)
		source->newer_bytes = result->newer_bytes;
	free(result);
	return rc;
}

static int copy_open(struct salvage *salvage, const char *work, struct salvage_source *source)
{
	struct newest newest = {salvage, source};
	struct copy_info info;
	int rc;

	for (size_t i = 0; i < salvage->ndirs; i++)
		copy_list(salvage->dirs[i].path, salvage->config->uuid, each_copy, &newest);
	source->none = !source->copy && !salvage->meta;
	if (source->none && !salvage->ndirs) {
		log_error("%s: no directory of the pool is there", salvage->config->file);
		return -ENOENT;
	}
	if (!source->copy)
		return 0;
	meta_abandon(salvage->meta);
	salvage->meta = NULL;
	source->unclean = source->ram_missing = source->damaged = false;
	rc = store_make(salvage, work);
	if (rc == 0)
		rc = copy_load(source->path, salvage->config->uuid, salvage->meta, &info);
	return rc < 0 ? rc : copy_newer(salvage, source);
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
	salvage->lock_fd = -1;
	rc = lock(salvage);
	if (rc == 0)
		rc = codec_scratch_new(&salvage->scratch);
	if (rc == 0) {
		places_look(salvage, source);
		rc = live_open(salvage, source);
		if (rc != -ENOMEM && rc != -EACCES && (rc < 0 || source->damaged))
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
	ram_look_close(salvage->ram);
	finder_free(salvage->finder);
	if (salvage->lock_fd >= 0)
		io_close(salvage->lock_fd);
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

static int stored_read(const struct finder_dir *dir, const struct frame_record *record,
		       uint8_t *buf)
{
	char path[PATH_MAX];
	int fd, rc = segment_file_path(path, sizeof(path), dir->path, record->segment);

	if (rc < 0)
		return rc;
	fd = io_open(path, O_RDONLY, 0);
	if (fd == -ENOENT &&
	    segment_aside_path(path, sizeof(path), dir->path, record->segment) == 0)
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
static int frame_read_in(struct salvage *salvage, const struct finder_dir *dir, uint64_t id,
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

static struct kept_frame *frame_kept(struct salvage *salvage, uint64_t id)
{
	for (unsigned i = 0; i < FRAMES_KEPT; i++)
		if (salvage->frames[i].id == id)
			return &salvage->frames[i];
	return NULL;
}

static struct kept_frame *frame_keep(struct salvage *salvage, uint64_t id)
{
	struct kept_frame *kept = &salvage->frames[salvage->next++ % FRAMES_KEPT];

	free(kept->raw);
	*kept = (struct kept_frame){.id = id};
	return kept;
}

static const struct kept_frame *frame_get(struct salvage *salvage, uint64_t id)
{
	struct kept_frame *kept = frame_kept(salvage, id);

	if (kept)
		return kept;
	kept = frame_keep(salvage, id);
	kept->error = frame_fetch(salvage, id, kept);
	return kept;
}

/* Objects. ------------------------------------------------------------------------------------- */

/* What the RAM tier has of it, or NULL. */
static const struct ram_object *ram_object(struct salvage *salvage, uint64_t object)
{
	return salvage->ram ? ram_look_object(salvage->ram, object) : NULL;
}

int salvage_record(struct salvage *salvage, uint64_t object, struct object_record *out)
{
	const struct ram_object *newer = ram_object(salvage, object);
	int rc = object_record_get(salvage->meta, object, out);

	if (rc == 0 && newer) {
		out->size = newer->size;
		out->write_time = newer->write_time;
	}
	return rc;
}

/* Of an extent, [off, end), which the RAM tier has nothing of. */
static int piece_put(struct salvage *salvage, const struct extent *extent, uint64_t off,
		     uint64_t end, const struct salvage_sink *sink)
{
	const struct kept_frame *kept = frame_get(salvage, extent->frame);
	uint64_t frame_off = extent->frame_off + (off - extent->off);

	if (!kept->error && frame_off + (end - off) <= kept->raw_len)
		return sink->put(sink->arg, off, kept->raw + frame_off, end - off);
	sink->lost(sink->arg, off, end - off);
	return kept->error == -ENOMEM ? -ENOMEM : 0;
}

static int extent_put(struct salvage *salvage, const struct extent *extent,
		      const struct ram_object *newer, const struct salvage_sink *sink)
{
	struct dirty_range *range = newer ? dirty_find(&newer->ranges, extent->off) : NULL;
	uint64_t off = extent->off, end = off + extent->len;
	int rc = 0;

	while (rc == 0 && off < end) {
		uint64_t stop = range && range->off < end ? range->off : end;

		if (off < stop)
			rc = piece_put(salvage, extent, off, stop, sink);
		off = range ? range->off + range->len : end;
		range = range ? dirty_next(range) : NULL;
	}
	return rc;
}

static int extents_put(struct salvage *salvage, uint64_t object, const struct ram_object *newer,
		       const struct salvage_sink *sink)
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
			rc = extent_put(salvage, &extent, newer, sink);
		if (rc < 0)
			break;
	}
	meta_cursor_close(cursor);
	return rc == -ENOENT ? 0 : rc;
}

static int frames_put(struct salvage *salvage, uint64_t object, const struct object_record *record,
		      const struct salvage_sink *sink)
{
	const struct ram_object *newer = ram_object(salvage, object);
	int rc = 0;

	for (unsigned i = 0; i < record->nextents && rc == 0; i++)
		rc = extent_put(salvage, &record->extents[i], newer, sink);
	if (rc == 0 && record->has_keys)
		rc = extents_put(salvage, object, newer, sink);
	return rc;
}

static int plain_run(int fd, const struct salvage_sink *sink, uint8_t *buf, uint64_t off,
		     uint64_t end)
{
	int rc = 0;

	while (rc == 0 && off < end) {
		size_t n = end - off < COPY_BYTES ? (size_t)(end - off) : COPY_BYTES;

		if (io_pread_all(fd, buf, n, off) == 0)
			rc = sink->put(sink->arg, off, buf, n);
		else
			sink->lost(sink->arg, off, n);
		off += n;
	}
	return rc;
}

static int plain_put(struct salvage *salvage, uint64_t object, const struct plain_home *home,
		     const struct salvage_sink *sink, uint64_t *size)
{
	char path[PATH_MAX];
	uint8_t *buf = malloc(COPY_BYTES);
	off_t off, end, done = 0;
	struct stat st;
	int fd = -ENOENT, rc = buf ? 0 : -ENOMEM;

	for (size_t i = 0; i < salvage->ndirs && rc == 0 && fd < 0; i++)
		if (salvage->dirs[i].tier == home->tier && salvage->dirs[i].place == home->place &&
		    plain_path(salvage->dirs[i].path, object, home->generation, path,
			       sizeof(path)) == 0)
			fd = io_open(path, O_RDONLY, 0);
	if (fd < 0 || io_stat(fd, &st) < 0) {
		if (rc == 0)
			sink->lost(sink->arg, 0, *size);
		goto out;
	}
	*size = (uint64_t)st.st_size;
	while (rc == 0 && (off = lseek(fd, done, SEEK_DATA)) >= 0 &&
	       (end = lseek(fd, off, SEEK_HOLE)) >= 0) {
		rc = plain_run(fd, sink, buf, (uint64_t)off, (uint64_t)end);
		done = end;
	}
	if (rc == 0 && errno != ENXIO && (uint64_t)done < *size)
		sink->lost(sink->arg, (uint64_t)done, *size - (uint64_t)done);
out:
	if (fd >= 0)
		io_close(fd);
	free(buf);
	return rc;
}

/* Holes are where nothing was put. */
static int ram_put(const struct ram_object *newer, const struct salvage_sink *sink)
{
	int rc = 0;

	for (struct dirty_range *range = dirty_find(&newer->ranges, 0); range && rc == 0;
	     range = dirty_next(range))
		if (range->data)
			rc = sink->put(sink->arg, range->off, range->data, range->len);
	return rc;
}

/* As replay_record() of a mount: a cut never grows. */
static int synced_put(const struct meta_item *item, const struct salvage_sink *sink, uint64_t *size)
{
	struct synced_record record;
	uint64_t end;
	int rc = synced_record_decode(item->value, item->len, &record);

	if (rc < 0)
		return rc;
	end = record.off + record.len;
	if (record.kind == SYNCED_WRITE) {
		*size = end > *size ? end : *size;
		return sink->put(sink->arg, record.off, record.bytes, record.len);
	}
	if (record.kind == SYNCED_HOLE)
		return sink->put(sink->arg, record.off, NULL, record.len);
	if (record.off >= *size)
		return 0;
	end = *size;
	*size = record.off;
	/* What comes back by growing again reads as zeros. */
	return sink->put(sink->arg, record.off, NULL, end - record.off);
}

/* Synchronous writes that are not in frames yet. */
static int synced_put_all(struct salvage *salvage, uint64_t object, const struct salvage_sink *sink,
			  uint64_t *size)
{
	uint8_t prefix[KEY_LEN_1];
	struct meta_cursor *cursor;
	struct meta_item item;
	int rc = meta_cursor_open(salvage->meta, prefix, key_1(prefix, KEY_SYNCED, object), NULL, 0,
				  &cursor);

	if (rc < 0)
		return rc;
	while ((rc = meta_cursor_next(cursor, &item)) == 0 &&
	       (rc = synced_put(&item, sink, size)) == 0)
		;
	meta_cursor_close(cursor);
	return rc == -ENOENT ? 0 : rc;
}

int salvage_data(struct salvage *salvage, uint64_t object, const struct salvage_sink *sink,
		 uint64_t *size)
{
	const struct ram_object *newer = ram_object(salvage, object);
	struct object_record record;
	int rc = salvage_record(salvage, object, &record);

	if (rc < 0)
		return rc;
	*size = record.size;
	if (record.plain.set)
		return plain_put(salvage, object, &record.plain, sink, size);
	rc = frames_put(salvage, object, &record, sink);
	if (rc == 0 && newer)
		rc = ram_put(newer, sink);
	/* A log has all of them, and maybe newer ones. */
	if (rc == 0 && !(salvage->ram && ram_look_has_log(salvage->ram)))
		rc = synced_put_all(salvage, object, sink, size);
	return rc;
}

/* Without metadata. ---------------------------------------------------------------------------- */

static int found_fetch(struct salvage *salvage, const struct found_piece *piece,
		       struct kept_frame *kept)
{
	struct frame_header header;
	uint8_t *stored;
	int rc = finder_load(salvage->finder, piece, &header, &stored);

	if (rc < 0)
		return rc;
	kept->raw_len = header.raw_len;
	kept->raw = malloc(header.raw_len);
	rc = kept->raw
		     ? frame_decode(salvage->scratch, &header, stored, header.stored_len, kept->raw)
		     : -ENOMEM;
	kept->freed = rc < 0 && finder_punched(salvage->finder, piece, header.stored_len);
	frame_header_release(&header);
	free(stored);
	return rc;
}

static const struct kept_frame *found_get(struct salvage *salvage, const struct found_piece *piece)
{
	struct kept_frame *kept = frame_kept(salvage, piece->frame);

	if (kept && !kept->error)
		return kept;
	kept = frame_keep(salvage, piece->frame);
	kept->error = found_fetch(salvage, piece, kept);
	return kept;
}

/* A frame that was given back is no longer anybody's. One that is damaged hides what is older. */
static int is_current(void *arg, const struct found_piece *piece)
{
	struct salvage *salvage = arg;
	const struct kept_frame *kept = found_get(salvage, piece);

	if (kept->error == -ENOMEM)
		return -ENOMEM;
	return !kept->error || (!kept->freed && !finder_twin(salvage->finder, piece));
}

static uint64_t all_of(void *arg, uint64_t segment)
{
	(void)arg;
	(void)segment;
	return SEGMENT_HEADER_LEN;
}

int salvage_each(struct salvage *salvage, int (*begin)(void *arg, uint64_t object),
		 const struct salvage_sink *sink)
{
	struct found_piece piece;
	uint64_t object = 0;
	int rc = finder_new(&salvage->finder, salvage->dirs, salvage->ndirs, salvage->config->uuid);

	if (rc == 0)
		rc = finder_scan(salvage->finder, all_of, NULL);
	while (rc == 0 && (rc = finder_next(salvage->finder, is_current, salvage, &piece)) == 0) {
		const struct kept_frame *kept = found_get(salvage, &piece);

		if (piece.object != object)
			rc = begin(sink->arg, piece.object);
		object = piece.object;
		if (rc == 0 && kept->error)
			sink->lost(sink->arg, piece.off, piece.len);
		else if (rc == 0)
			rc = sink->put(sink->arg, piece.off, kept->raw + piece.frame_off,
				       piece.len);
	}
	return rc == -ENOENT ? 0 : rc;
}
