// SPDX-License-Identifier: Apache-2.0
/*
 * What a copy of the metadata knows may have gone since: moved, cleaned away, overwritten. Frames
 * that were written after it say themselves which bytes of which object they hold.
 *
 * Invariants:
 *  1. Only extents whose frame is gone are changed. What can be read stays as the copy has it.
 *  2. What takes a range's place is in a frame with a higher number than the one that is gone, was
 *     written to that very object at that very offset, and has been read and verified.
 *  3. Of several, the one with the highest number counts.
 *  4. An object that was plain and whose file is gone takes all that was written of it after the
 *     copy. A range that nothing was written to is a hole: so only where no directory is missing
 *     and nothing that names the object is damaged.
 *  5. The accounts of frames and segments hold after each step (tiers/check finds nothing).
 *
 * The store is not the pool's yet, and is made anew when this dies: nothing here is atomic.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "compress/frame.h"
#include "tiers/clock.h"
#include "tiers/config.h"
#include "tiers/framestore.h"
#include "tiers/io.h"
#include "tiers/keys.h"
#include "tiers/restore/impl.h"
#include "tiers/segment.h"

/* Gone frames. --------------------------------------------------------------------------------- */

struct gone { /* of one segment */
	struct newer *newer;
	uint64_t segment;
	int fd; /* -1: the file is gone */
	uint64_t len;
};

/* Freed bytes have been punched out, mostly. A hole may also be zeros that a filesystem keeps so.
 * 1 it is there, 0 not. */
static int frame_there(const struct gone *gone, uint64_t id, const struct frame_record *frame)
{
	uint64_t end = (uint64_t)frame->off + frame->stored_len;
	struct frame_flaw flaw;
	uint8_t *stored;
	off_t hole;
	int rc;

	if (gone->fd < 0 || end > gone->len)
		return 0;
	hole = lseek(gone->fd, frame->off, SEEK_HOLE);
	if (hole < 0 || (uint64_t)hole >= end)
		return 1;
	stored = malloc(frame->stored_len);
	rc = stored ? io_pread_all(gone->fd, stored, frame->stored_len, frame->off) : -ENOMEM;
	if (rc == 0)
		rc = frame_stored_check(id, frame, stored, &flaw);
	free(stored);
	return rc == -ENOMEM ? rc : rc == 0;
}

static int each_placed(struct gone *gone, uint64_t id)
{
	struct frame_record frame;
	int rc = newer_frame(gone->newer, id, &frame);

	if (rc == -ENOENT || (rc == 0 && frame.segment != gone->segment))
		return 0;
	if (rc == 0)
		rc = frame_there(gone, id, &frame);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	gone->newer->restore->out->lost_frames++;
	return idmap_put(&gone->newer->lost, id, gone->newer);
}

static int segment_frames(struct gone *gone)
{
	uint8_t prefix[KEY_LEN_1];
	struct meta_cursor *cursor;
	struct meta_item item;
	int rc = meta_cursor_open(gone->newer->restore->meta, prefix,
				  key_1(prefix, KEY_PLACED, gone->segment), NULL, 0, &cursor);

	if (rc < 0)
		return rc;
	while ((rc = meta_cursor_next(cursor, &item)) == 0 &&
	       (rc = item.len == 8 ? each_placed(gone, get_le64(item.value)) : 0) == 0)
		;
	meta_cursor_close(cursor);
	return rc == -ENOENT ? 0 : rc;
}

static int each_segment(void *arg, uint64_t id, const struct meta_item *item)
{
	struct newer *newer = arg;
	struct gone gone = {.newer = newer, .segment = id, .fd = -1};
	struct segment_record record;
	char path[PATH_MAX];
	struct stat st;
	int rc = segment_record_decode(item->value, item->len, &record);

	if (rc == 0)
		rc = idmap_put(&newer->there, id, (void *)(uintptr_t)(record.len + 1));
	if (rc < 0)
		return rc;
	if (restore_segment_find(newer->restore, id, &record, path) == 0)
		gone.fd = io_open(path, O_RDONLY, 0);
	if (gone.fd >= 0 && io_stat(gone.fd, &st) == 0)
		gone.len = (uint64_t)st.st_size;
	/* Most segments are whole: of these no frame is asked. */
	if (gone.fd < 0 || gone.len < record.len ||
	    lseek(gone.fd, 0, SEEK_HOLE) < (off_t)record.len)
		rc = segment_frames(&gone);
	if (gone.fd >= 0)
		io_close(gone.fd);
	return rc;
}

/* Candidates. ---------------------------------------------------------------------------------- */

static uint64_t begin_of(void *arg, uint64_t segment)
{
	const struct newer *newer = arg;
	uintptr_t known = (uintptr_t)idmap_get(&newer->there, segment);

	return known ? known - 1 : SEGMENT_HEADER_LEN;
}

/* Reads all of it. */
static int candidate_read(struct newer *newer, struct candidate *candidate)
{
	const struct finder_dir *dir = &newer->dirs[candidate->piece.dir];
	struct frame_record *record = &candidate->record;
	struct frame_header header;
	struct frame_flaw flaw;
	uint8_t *stored = NULL;
	int rc = finder_load(newer->finder, &candidate->piece, &header, &stored);

	if (rc < 0)
		return rc;
	*record = (struct frame_record){.segment = candidate->piece.segment,
					.off = candidate->piece.at,
					.stored_len = header.stored_len,
					.raw_len = header.raw_len,
					.header_len = header.header_len,
					.place = (uint16_t)dir->place,
					.last_access = clock_wall_s(),
					.tier = (uint8_t)dir->tier,
					.block_shift = (uint8_t)__builtin_ctz(header.block_size),
					.codec = header.codec};
	rc = frame_stored_check(header.id, record, stored, &flaw);
	frame_header_release(&header);
	free(stored);
	return rc;
}

static int candidate_new(struct newer *newer, const struct found_piece *piece,
			 struct candidate **out)
{
	struct candidate *candidate = calloc(1, sizeof(*candidate));
	int rc = candidate ? idmap_put(&newer->candidates, piece->frame, candidate) : -ENOMEM;

	if (rc < 0) {
		free(candidate);
		return rc;
	}
	candidate->piece = *piece;
	*out = candidate;
	return 0;
}

/* Of a segment that is kept in several places one file is taken from: it is its only one then. */
static int claim(struct newer *newer, const struct found_piece *piece)
{
	uintptr_t mine = (uintptr_t)piece->dir + 1;
	uintptr_t whose = (uintptr_t)idmap_get(&newer->claims, piece->segment);
	struct segment_record known;
	int rc;

	if (whose)
		return whose == mine ? 0 : -EXDEV;
	rc = newer_segment(newer, piece->segment, &known);
	if (rc == 0 && !(known.homes >> newer->dirs[piece->dir].place & 1))
		return -EXDEV; /* a stray file */
	if (rc < 0 && rc != -ENOENT)
		return rc;
	return idmap_put(&newer->claims, piece->segment, (void *)mine);
}

/* Each is read once, or once in each place. 1 sound, 0 not. */
static int candidate_sound(struct newer *newer, const struct found_piece *piece)
{
	struct candidate *candidate = idmap_get(&newer->candidates, piece->frame);
	struct frame_record known;
	int rc = 0;

	if (candidate && (candidate->sound || candidate->piece.dir == piece->dir))
		return candidate->sound;
	if (!candidate)
		rc = candidate_new(newer, piece, &candidate);
	if (rc < 0)
		return rc;
	candidate->piece = *piece;
	rc = newer_frame(newer, piece->frame, &known);
	if (rc != -ENOENT) /* a copy of one that is known */
		return rc < 0 ? rc : 0;
	rc = candidate_read(newer, candidate);
	newer->unsound |= rc < 0;
	if (rc == 0)
		rc = claim(newer, piece);
	candidate->sound = rc == 0;
	return rc == -ENOMEM ? rc : candidate->sound;
}

static int usable(void *arg, const struct found_piece *piece)
{
	struct newer *newer = arg;
	int rc = 0;

	if (piece->object != newer->object) {
		rc = newer_object_end(newer);
		if (rc == 0)
			rc = newer_object_load(newer, piece->object);
	}
	if (rc < 0 || !newer_is_needed(newer, piece))
		return rc;
	return candidate_sound(newer, piece);
}

static int objects_mend(struct newer *newer)
{
	struct found_piece run;
	int rc;

	while ((rc = finder_next(newer->finder, usable, newer, &run)) == 0) {
		rc = newer_run_add(newer, &run);
		if (rc < 0)
			return rc;
	}
	return rc == -ENOENT ? newer_object_end(newer) : rc;
}

/* What stays lost. ----------------------------------------------------------------------------- */

static int bytes_lost(struct newer *newer, uint64_t *out)
{
	int rc;

	*out = 0;
	if (newer->record.plain.set) {
		if (restore_plain_gone(newer->restore, newer->object, &newer->record))
			*out = newer->record.size;
		return 0;
	}
	rc = newer_extents_load(newer);
	for (size_t i = 0; i < newer->extents.count && rc == 0; i++)
		if (idmap_get(&newer->lost, newer->extents.items[i].frame))
			*out += newer->extents.items[i].len;
	return rc;
}

static int each_object(void *arg, uint64_t id, const struct meta_item *item)
{
	struct newer *newer = arg;
	const struct restore_options *options = newer->restore->options;
	uint64_t bytes;
	int rc;

	newer->object = id;
	if (object_record_decode(item->value, item->len, &newer->record) < 0)
		return 0; /* the check's */
	rc = bytes_lost(newer, &bytes);
	if (rc < 0 || !bytes)
		return rc;
	newer->restore->out->lost_files++;
	newer->restore->out->lost_bytes += bytes;
	if (options->each)
		options->each(options->arg, newer->restore->meta, id, bytes, 0);
	return 0;
}

/* ---------------------------------------------------------------------------------------------- */

static int dirs_take(struct newer *newer)
{
	const struct restore *restore = newer->restore;

	newer->dirs = calloc(restore->ndirs, sizeof(*newer->dirs));
	if (!newer->dirs)
		return -ENOMEM;
	for (size_t i = 0; i < restore->ndirs; i++)
		if (!restore->dirs[i].lost)
			newer->dirs[newer->ndirs++] =
				(struct finder_dir){restore->dirs[i].path, restore->dirs[i].tier,
						    restore->dirs[i].place};
	return 0;
}

static int search(struct newer *newer)
{
	int rc = dirs_take(newer);

	if (rc == 0)
		rc = finder_new(&newer->finder, newer->dirs, newer->ndirs,
				newer->restore->options->config->uuid);
	if (rc == 0)
		rc = finder_scan(newer->finder, begin_of, newer);
	if (rc < 0)
		return rc;
	newer->restore->top = finder_top(newer->finder);
	rc = objects_mend(newer);
	return rc < 0 ? rc : restore_walk(newer->restore, KEY_OBJECT, each_object, newer);
}

int restore_newer(struct restore *restore)
{
	struct newer newer = {.restore = restore};
	struct candidate *candidate;
	size_t at = 0;
	int rc = meta_batch_new(&newer.batch);

	idmap_init(&newer.lost);
	idmap_init(&newer.there);
	idmap_init(&newer.candidates);
	idmap_init(&newer.claims);
	if (rc == 0)
		rc = restore_walk(restore, KEY_SEGMENT, each_segment, &newer);
	if (rc == 0)
		rc = search(&newer);
	while ((candidate = idmap_each(&newer.candidates, &at)))
		free(candidate);
	finder_free(newer.finder);
	free(newer.dirs);
	meta_batch_free(newer.batch);
	extent_list_release(&newer.extents);
	extent_list_release(&newer.runs);
	idmap_release(&newer.lost);
	idmap_release(&newer.there);
	idmap_release(&newer.candidates);
	idmap_release(&newer.claims);
	return rc;
}
