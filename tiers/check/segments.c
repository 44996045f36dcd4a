// SPDX-License-Identifier: Apache-2.0
/*
 * Segments: the frames as they lie (sorted by segment and offset), beside them the records of their
 * places and of the segments, and at last the files. Three walks in one order.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/check/check_impl.h"
#include "tiers/clock.h"
#include "tiers/io.h"
#include "tiers/segment.h"
#include "tiers/segment_file.h"

struct laid {
	uint64_t segment, off, frame; /* segment UINT64_MAX: no more */
	uint64_t live;
	uint32_t stored_len, raw_len;
	uint8_t tier, codec;
	uint16_t place;
};

struct segments {
	struct check *check;
	struct check_walk placed, records;
	struct laid laid;
};

struct one { /* a segment under the eyes */
	uint64_t id;
	bool known; /* there is a record */
	struct segment_record record, sums;
	uint64_t end; /* of the frame before */
	uint64_t frames, last_frame;
	uint8_t tier; /* what its frames say */
	uint16_t place;
};

static int laid_next(struct segments *segments)
{
	struct laid *laid = &segments->laid;
	const uint8_t *p;
	int rc = sorter_next(segments->check->placed, &p);

	laid->segment = UINT64_MAX;
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	*laid = (struct laid){.segment = get_be64(p),
			      .off = get_be64(p + 8),
			      .frame = get_be64(p + 16),
			      .live = get_le64(p + 24),
			      .stored_len = get_le32(p + 32),
			      .raw_len = get_le32(p + 36),
			      .tier = p[40],
			      .codec = p[41],
			      .place = get_le16(p + 42)};
	return 0;
}

/* Places -----------------------------------------------------------------------------------------
 */

static int placed_missing(struct check *check, const struct laid *laid)
{
	uint8_t key[KEY_LEN_2], value[8];

	if (!check_report(check, CHECK_PLACED_MISSING, true, 0,
			  "frame %llu at byte %llu of segment %llu has no record of its place",
			  (unsigned long long)laid->frame, (unsigned long long)laid->off,
			  (unsigned long long)laid->segment))
		return 0;
	put_le64(value, laid->frame);
	check_put(check, key, key_2(key, KEY_PLACED, laid->segment, laid->off), value,
		  sizeof(value));
	return check_mend(check);
}

static int placed_wrong(struct check *check, const struct meta_item *item)
{
	if (!check_report(check, CHECK_PLACED, true, 0,
			  "no frame %llu is at byte %llu of segment %llu, as a record says",
			  (unsigned long long)get_le64(item->value),
			  (unsigned long long)get_be64(item->key + KEY_LEN_1),
			  (unsigned long long)get_be64(item->key + 1)))
		return 0;
	check_del(check, item->key, item->key_len);
	return check_mend(check);
}

/* Records of places up to where the frame lies; *found: its own was among them. */
static int placed_upto(struct segments *segments, const struct laid *laid, bool *found)
{
	struct check_walk *walk = &segments->placed;
	int rc = 0;

	*found = false;
	while (rc == 0 && walk->item.key) {
		uint64_t segment = check_walk_id(walk);
		uint64_t off = get_be64(walk->item.key + KEY_LEN_1);

		if (laid &&
		    (segment > laid->segment || (segment == laid->segment && off > laid->off)))
			break;
		if (laid && segment == laid->segment && off == laid->off && walk->item.len == 8 &&
		    get_le64(walk->item.value) == laid->frame)
			*found = true;
		else if (walk->item.len == 8)
			rc = placed_wrong(segments->check, &walk->item);
		if (rc == 0)
			rc = check_walk_next(walk);
	}
	return rc;
}

/* Frames of a segment ----------------------------------------------------------------------------
 */

static int frame_move(struct check *check, const struct laid *laid, const struct one *one)
{
	uint8_t key[KEY_LEN_1], value[RECORD_FRAME_LEN];
	char said[CHECK_PLACE_CAP], real[CHECK_PLACE_CAP];
	struct frame_record record;
	size_t len;
	int rc;

	check_place_text(check, laid->tier, laid->place, said, sizeof(said));
	check_place_text(check, one->record.tier, one->record.place, real, sizeof(real));
	if (!check_report(check, CHECK_FRAME_PLACE, true, 0,
			  "frame %llu is said to be in %s; its segment %llu is in %s",
			  (unsigned long long)laid->frame, said, (unsigned long long)one->id, real))
		return 0;
	key_1(key, KEY_FRAME, laid->frame);
	rc = meta_get(check->meta, key, sizeof(key), value, sizeof(value), &len);
	if (rc == 0)
		rc = frame_record_decode(value, len, &record);
	if (rc < 0)
		return rc;
	record.tier = one->record.tier;
	record.place = one->record.place;
	frame_record_encode(&record, value);
	check_put(check, key, sizeof(key), value, sizeof(value));
	return check_mend(check);
}

static int frame_add(struct segments *segments, struct one *one)
{
	const struct laid *laid = &segments->laid;
	struct codec_account *account = &one->sums.codec[laid->codec];
	uint64_t end = laid->off + laid->stored_len;
	bool found;
	int rc = placed_upto(segments, laid, &found);

	if (rc == 0 && !found)
		rc = placed_missing(segments->check, laid);
	if (one->frames && laid->off < one->end)
		check_report(segments->check, CHECK_FRAMES_OVERLAP, false, 0,
			     "frames %llu and %llu share bytes of segment %llu",
			     (unsigned long long)one->last_frame, (unsigned long long)laid->frame,
			     (unsigned long long)one->id);
	if (!one->frames++) {
		one->tier = laid->tier;
		one->place = laid->place;
	}
	one->last_frame = laid->frame;
	one->end = end > one->end ? end : one->end;
	one->sums.logical += laid->live;
	account->raw += laid->raw_len;
	account->stored += laid->stored_len;
	account->frames++;
	if (rc == 0 && one->known &&
	    (laid->tier != one->record.tier ||
	     (laid->place != one->record.place && !one->record.mirrored)))
		rc = frame_move(segments->check, laid, one);
	return rc < 0 ? rc : laid_next(segments);
}

/* Records of segments ----------------------------------------------------------------------------
 */

static int record_put(struct check *check, const struct one *one)
{
	uint8_t key[KEY_LEN_1], value[RECORD_SEGMENT_MAX];

	size_t len = segment_record_encode(&one->record, value);

	check_put(check, key, key_1(key, KEY_SEGMENT, one->id), value, len);
	return check_mend(check);
}

/* Where its copies are: all files that are long enough. Were one of them alone to count, the next
 * mount would remove the others, and that one may be damaged; what one lacks is read from another.
 */
static void record_homes(struct check *check, struct segment_record *record, uint64_t id)
{
	uint64_t homes = 0;

	for (uint16_t place = 0; place < TIER_PLACES_MAX; place++) {
		uint64_t len;
		int fd;

		if (check_segment_open(check, record->tier, place, id, &fd, &len) < 0)
			continue;
		io_close(fd);
		homes |= (uint64_t)(len >= record->len) << place;
	}
	record->mirrored = homes & (homes - 1);
	if (!homes)
		homes = (uint64_t)1 << record->place;
	record->homes = homes;
	record->place = (uint16_t)__builtin_ctzll(homes);
}

/* Made anew from its frames; the tier is where the file is, or else what the frames say. */
static int record_new(struct check *check, struct one *one)
{
	if (!check_report(check, CHECK_SEGMENT_MISSING, true, 0,
			  "segment %llu has %llu frames and no record", (unsigned long long)one->id,
			  (unsigned long long)one->frames))
		return 0;
	if (check_segment_find(check, one->id, &one->tier, &one->place) < 0 &&
	    one->tier >= check->config->ntiers)
		one->tier = 1;
	one->record = one->sums;
	one->record.len = one->end;
	one->record.tier = one->tier;
	one->record.place = one->place;
	record_homes(check, &one->record, one->id);
	one->known = true;
	return record_put(check, one);
}

static bool accounts_same(const struct segment_record *a, const struct segment_record *b)
{
	return a->logical == b->logical && memcmp(a->codec, b->codec, sizeof(a->codec)) == 0;
}

static int record_mend(struct check *check, struct one *one)
{
	unsigned long long id = one->id;
	bool mend = false;

	if (!accounts_same(&one->record, &one->sums)) {
		mend = check_report(check, CHECK_ACCOUNTS, true, 0,
				    "segment %llu: %llu bytes in %llu frames are used; its record "
				    "says %llu bytes, or other sums",
				    id, (unsigned long long)one->sums.logical,
				    (unsigned long long)one->frames,
				    (unsigned long long)one->record.logical);
		one->record.logical = one->sums.logical;
		memcpy(one->record.codec, one->sums.codec, sizeof(one->record.codec));
	}
	if (one->record.len < one->end) {
		mend = check_report(check, CHECK_SEGMENT_LEN, true, 0,
				    "segment %llu: its record says %llu bytes, its frames go up to "
				    "%llu",
				    id, (unsigned long long)one->record.len,
				    (unsigned long long)one->end) ||
		       mend;
		one->record.len = one->end;
	}
	return mend ? record_put(check, one) : 0;
}

/* Files ------------------------------------------------------------------------------------------
 */

struct header_fix {
	uint64_t id;
	uint8_t tier;
	uint16_t place;
};

static int write_header(struct check *check, void *arg)
{
	const struct header_fix *fix = arg;
	struct segment_header header = {
		.tier_id = fix->tier, .id = fix->id, .created_ns = (uint64_t)clock_wall_ns()};
	uint8_t buf[SEGMENT_HEADER_LEN];
	char path[PATH_MAX];
	int fd, rc = check_segment_path(check, fix->tier, fix->place, fix->id, path, sizeof(path));

	if (rc < 0)
		return rc;
	memcpy(header.pool_uuid, check->config->uuid, 16);
	segment_header_encode(&header, buf);
	fd = io_open(path, O_WRONLY, 0);
	if (fd < 0)
		return fd;
	rc = io_pwrite_all(fd, buf, sizeof(buf), 0);
	if (rc == 0)
		rc = io_sync_data(fd);
	io_close(fd);
	return rc;
}

static int file_header(struct check *check, const struct one *one, const char *path, int fd)
{
	struct segment_header header;
	uint8_t buf[SEGMENT_HEADER_LEN];
	struct header_fix *fix;
	int rc = io_pread_all(fd, buf, sizeof(buf), 0);

	if (rc == 0)
		rc = segment_header_check(buf, sizeof(buf), &header);
	if (rc == -ENOTSUP || (rc == 0 && memcmp(header.pool_uuid, check->config->uuid, 16) == 0 &&
			       header.id == one->id && header.tier_id == one->record.tier))
		return 0;
	if (!check_report_at(check, CHECK_FILE_HEADER, check->round == 1, path,
			     rc < 0 ? "the segment's header is damaged"
				    : "the segment's header is another's") ||
	    check->round > 1)
		return 0;
	fix = malloc(sizeof(*fix));
	if (!fix)
		return -ENOMEM;
	*fix = (struct header_fix){one->id, one->record.tier, one->record.place};
	return check_mend_medium(check, write_header, fix);
}

/* Of a mirrored segment any copy will do; those that are missing, the next mount makes anew. */
static void copy_place(struct check *check, struct one *one)
{
	for (uint64_t left = one->record.homes; one->record.mirrored && left; left &= left - 1) {
		uint16_t place = (uint16_t)__builtin_ctzll(left);
		uint64_t len;
		int fd;

		if (check_segment_open(check, one->record.tier, place, one->id, &fd, &len) < 0)
			continue;
		io_close(fd);
		one->record.place = place;
		return;
	}
}

/* The file is elsewhere: the record is wrong, and the frames' may be right. */
static int file_place(struct check *check, struct one *one)
{
	char said[CHECK_PLACE_CAP], real[CHECK_PLACE_CAP];
	uint8_t tier;
	uint16_t place;
	uint64_t len;
	int fd;

	copy_place(check, one);
	if (check_segment_open(check, one->record.tier, one->record.place, one->id, &fd, &len) ==
	    0) {
		io_close(fd);
		return 0;
	}
	if (check_segment_find(check, one->id, &tier, &place) < 0)
		return 0;
	check_place_text(check, one->record.tier, one->record.place, said, sizeof(said));
	check_place_text(check, tier, place, real, sizeof(real));
	if (!check_report(check, CHECK_SEGMENT_PLACE, true, 0,
			  "segment %llu is said to be in %s; its file is in %s",
			  (unsigned long long)one->id, said, real))
		return 0;
	one->record.tier = tier;
	one->record.place = place;
	one->record.homes = (uint64_t)1 << place;
	return record_put(check, one);
}

static int file_check(struct check *check, struct one *one)
{
	char path[CHECK_PLACE_CAP] = "";
	uint64_t len = 0;
	int fd, rc = check_segment_open(check, one->record.tier, one->record.place, one->id, &fd,
					&len);

	if (rc < 0) {
		if (check->places_unsure)
			return 0;
		check_place_text(check, one->record.tier, one->record.place, path, sizeof(path));
		check_report(check, CHECK_FILE_MISSING, false, 0,
			     "the file of segment %llu (%s, %llu bytes in %llu frames) cannot be "
			     "read: %s%s",
			     (unsigned long long)one->id, path,
			     (unsigned long long)one->sums.logical, (unsigned long long)one->frames,
			     strerror(-rc),
			     check->options.deep ? "" : "; `terrace check --deep` names the files");
		return 0;
	}
	check_segment_path(check, one->record.tier, one->record.place, one->id, path, sizeof(path));
	if (len < one->record.len)
		check_report_at(check, CHECK_FILE_SHORT, false, path,
				"the file has %llu bytes, and %llu are in use",
				(unsigned long long)len, (unsigned long long)one->record.len);
	rc = file_header(check, one, path, fd);
	io_close(fd);
	return rc;
}

static int remove_stray(struct check *check, void *arg)
{
	(void)check;
	return io_remove(arg);
}

struct stray_files { /* of a directory */
	struct check *check;
	const char *root;
};

static int stray(void *arg, uint64_t id, int folder, const char *name)
{
	const struct stray_files *files = arg;
	uint8_t key[KEY_LEN_1], value[RECORD_SEGMENT_MAX];
	char path[PATH_MAX], *copy;
	size_t len;
	int rc = meta_get(files->check->meta, key, key_1(key, KEY_SEGMENT, id), value,
			  sizeof(value), &len);

	(void)folder;
	(void)name;
	if (rc != -ENOENT)
		return rc == -ERANGE ? 0 : rc;
	rc = segment_file_path(path, sizeof(path), files->root, id);
	if (rc < 0)
		return rc;
	if (!check_report_at(files->check, CHECK_FILE_STRAY, true, path,
			     "no record speaks of this segment"))
		return 0;
	copy = strdup(path);
	return copy ? check_mend_medium(files->check, remove_stray, copy) : -ENOMEM;
}

/* Beside a pool that was not closed in order, such files are ordinary: the mount removes them. */
static int check_strays(struct check *check)
{
	int rc = 0;

	if (check->result->unclean || check->round > 1)
		return 0;
	for (uint32_t t = 1; t < check->config->ntiers; t++)
		for (uint32_t p = 0; p < TIER_PLACES_MAX && rc == 0; p++) {
			struct stray_files files = {check, check->places[t][p]};

			if (files.root)
				rc = segment_files_each(files.root, stray, &files);
		}
	return rc;
}

/* The walk ---------------------------------------------------------------------------------------
 */

static int segment_check(struct segments *segments, struct one *one)
{
	struct check *check = segments->check;
	int rc = one->known && !check->result->live ? file_place(check, one) : 0;

	while (rc == 0 && segments->laid.segment == one->id)
		rc = frame_add(segments, one);
	if (rc == 0)
		rc = one->known ? record_mend(check, one) : record_new(check, one);
	if (rc == 0 && one->known && !check->result->live)
		rc = file_check(check, one);
	check->result->segments++;
	return rc;
}

static int step(struct segments *segments)
{
	struct one one = {.id = check_walk_id(&segments->records)};
	int rc;

	if (segments->laid.segment < one.id) {
		one.id = segments->laid.segment;
		return segment_check(segments, &one);
	}
	one.known = segment_record_decode(segments->records.item.value, segments->records.item.len,
					  &one.record) == 0;
	rc = segment_check(segments, &one);
	return rc < 0 ? rc : check_walk_next(&segments->records);
}

int check_segments(struct check *check)
{
	struct segments segments = {.check = check};
	bool found;
	int rc = check_walk_open(check, KEY_PLACED, &segments.placed);

	if (rc == 0)
		rc = check_walk_open(check, KEY_SEGMENT, &segments.records);
	if (rc == 0)
		rc = laid_next(&segments);
	while (rc == 0 && (segments.records.item.key || segments.laid.segment != UINT64_MAX))
		rc = step(&segments);
	if (rc == 0)
		rc = placed_upto(&segments, NULL, &found);
	check_walk_close(&segments.placed);
	check_walk_close(&segments.records);
	return rc < 0 || check->result->live ? rc : check_strays(check);
}
