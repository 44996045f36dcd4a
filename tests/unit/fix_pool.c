// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/fix_pool.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "compress/frame.h"
#include "tiers/framestore.h"
#include "tiers/idmap.h"
#include "tiers/keys.h"
#include "tiers/meta.h"
#include "tiers/plain_files.h"
#include "tiers/pool_impl.h"
#include "tiers/records.h"

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
	(void)st;
	(void)what;
	(void)ftw;
	return remove(path);
}

static int remove_inner(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
	(void)st;
	(void)what;
	return ftw->level ? remove(path) : 0;
}

/* Not with rm: a fork of a program under a sanitizer takes longer than most runs. */
static void remove_folder(const char *path)
{
	assert_int_equal(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void make_folder(const char *above, const char *name)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/%s", above, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

void fix_pool_new(struct fix_pool *fix, uint64_t ram_bytes, bool background)
{
	char text[256], message[256];

	*fix = (struct fix_pool){.background = background};
	strcpy(fix->dir, "/var/tmp/terrace-pool-XXXXXX");
	strcpy(fix->ram, "/dev/shm/terrace-pool-XXXXXX");
	assert_non_null(mkdtemp(fix->dir));
	assert_non_null(mkdtemp(fix->ram));
	make_folder(fix->dir, "ssd");
	make_folder(fix->dir, "hdd");
	snprintf(text, sizeof(text), "ram:path=%s,size=%llu", fix->ram,
		 (unsigned long long)ram_bytes);
	assert_int_equal(config_add_tier(&fix->config, text, message, sizeof(message)), 0);
	snprintf(text, sizeof(text), "ssd:path=%s/ssd,codec=lz4,segment=4M", fix->dir);
	assert_int_equal(config_add_tier(&fix->config, text, message, sizeof(message)), 0);
	snprintf(text, sizeof(text), "hdd:path=%s/hdd,codec=zstd:1,segment=8M", fix->dir);
	assert_int_equal(config_add_tier(&fix->config, text, message, sizeof(message)), 0);
	assert_int_equal(config_finish(&fix->config, message, sizeof(message)), 0);
	assert_int_equal(pool_create(&fix->config), 0);
	fix_pool_open(fix);
}

/* Less than users may ask for, and moves as soon as there is a reason. */
static void small_settings(struct pool_config *config)
{
	config->journal_bytes = 1 << 20;
	config->threads = 1;
	config->residency_ns = 0;
	config->promote_gain = 0;
	for (unsigned t = 1; t < 3; t++) {
		config->tiers[t].segment_bytes = 256 << 10;
		config->tiers[t].size_bytes = 8 << 20;
		config->tiers[t].min_age_ns = 0;
	}
}

static void small_tier(struct fix_pool *fix, const char *name, const char *keys)
{
	char text[512], second[128] = "", message[256];

	if (fix->mirrored)
		snprintf(second, sizeof(second), ",replicas=2,path=%s/%s1", fix->dir, name);
	snprintf(text, sizeof(text), "%s:path=%s/%s,%s%s", name, fix->dir, name, keys, second);
	assert_int_equal(config_add_tier(&fix->config, text, message, sizeof(message)), 0);
}

static void small(struct fix_pool *fix, bool mirrored)
{
	char text[512], message[256];

	*fix = (struct fix_pool){.mirrored = mirrored};
	strcpy(fix->dir, "/dev/shm/terrace-pool-XXXXXX");
	strcpy(fix->ram, "/dev/shm/terrace-pool-XXXXXX");
	assert_non_null(mkdtemp(fix->dir));
	assert_non_null(mkdtemp(fix->ram));
	make_folder(fix->dir, "ssd");
	make_folder(fix->dir, "hdd");
	if (fix->mirrored) {
		make_folder(fix->dir, "ssd1");
		make_folder(fix->dir, "hdd1");
	}
	snprintf(text, sizeof(text), "ram:path=%s,size=16M", fix->ram);
	assert_int_equal(config_add_tier(&fix->config, text, message, sizeof(message)), 0);
	small_tier(fix, "ssd", "codec=lz4,segment=4M,frame=32K");
	small_tier(fix, "hdd", "codec=zstd:1,segment=4M,frame=64K");
	assert_int_equal(asprintf(&fix->config.meta_path, "%s/meta", fix->dir) > 0, true);
	assert_int_equal(config_finish(&fix->config, message, sizeof(message)), 0);
	small_settings(&fix->config);
}

void fix_pool_small(struct fix_pool *fix)
{
	small(fix, false);
}

void fix_pool_small_mirrored(struct fix_pool *fix)
{
	small(fix, true);
}

void fix_pool_config(struct fix_pool *fix)
{
	char message[256];

	if (!fix->file[0])
		return;
	config_release(&fix->config);
	if (config_load(fix->file, &fix->config, message, sizeof(message)) < 0)
		fail_msg("%s", message);
	small_settings(&fix->config);
}

void fix_pool_small_file(struct fix_pool *fix)
{
	char path[128];

	fix_pool_small(fix);
	fix->config.journal_bytes = 16 << 20; /* what a file may say */
	for (unsigned t = 1; t < 3; t++)
		fix->config.tiers[t].segment_bytes = 4 << 20;
	make_folder(fix->dir, "hdd1");
	make_folder(fix->dir, "conf");
	snprintf(path, sizeof(path), "%s/conf/pool.conf", fix->dir);
	assert_int_equal(config_save_new(&fix->config, path), 0);
	strcpy(fix->file, path);
	fix_pool_config(fix);
}

void fix_pool_open(struct fix_pool *fix)
{
	struct pool_open_options options = {.no_background = !fix->background};

	fix_pool_config(fix);
	assert_int_equal(pool_open(&fix->config, &options, &fix->pool), 0);
}

void fix_pool_close(struct fix_pool *fix)
{
	struct pool *pool = fix->pool;

	fix->pool = NULL;
	assert_int_equal(pool_close(pool), 0);
}

void fix_pool_free(struct fix_pool *fix)
{
	if (fix->pool)
		pool_close(fix->pool);
	config_release(&fix->config);
	remove_folder(fix->dir);
	remove_folder(fix->ram);
}

void fix_pool_crash(struct fix_pool *fix)
{
	pool_abandon(fix->pool);
	fix->pool = NULL;
	fix_pool_open(fix);
}

void fix_pool_lose_ram(struct fix_pool *fix)
{
	assert_int_equal(nftw(fix->ram, remove_inner, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void fix_pool_power(struct fix_pool *fix)
{
	pool_abandon(fix->pool);
	fix->pool = NULL;
	fix_pool_lose_ram(fix);
	fix_pool_open(fix);
}

void fix_pool_tidy(struct fix_pool *fix, char *what)
{
	if (*what)
		printf("%s\n", what);
	*what = '\0';
	fix->pool = NULL;
	if (fix->dir[0] && access(fix->dir, F_OK) == 0)
		fix_pool_free(fix);
}

/* Recount ----------------------------------------------------------------------------------------
 */

struct count {
	struct idmap live;  /* frame -> bytes of extents, as a pointer value */
	struct idmap known; /* frames that exist */
	uint64_t logical, packed, stored, frames, objects;
};

static void count_extent(struct meta *meta, struct count *count, const struct extent *extent)
{
	uint8_t key[KEY_LEN_1], value[RECORD_FRAME_LEN];
	struct frame_record frame;
	uintptr_t live;
	size_t len;

	assert_int_equal(meta_get(meta, key, key_1(key, KEY_FRAME, extent->frame), value,
				  sizeof(value), &len),
			 0);
	assert_int_equal(frame_record_decode(value, len, &frame), 0);
	assert_true((uint64_t)extent->frame_off + extent->len <= frame.raw_len);
	live = (uintptr_t)idmap_get(&count->live, extent->frame) + extent->len;
	assert_int_equal(idmap_put(&count->live, extent->frame, (void *)live), 0);
	count->logical += extent->len;
}

static void each(struct meta *meta, uint8_t type, struct count *count,
		 void (*fn)(struct meta *meta, struct count *count, const struct meta_item *item))
{
	struct meta_cursor *cursor;
	struct meta_item item;
	int rc;

	assert_int_equal(meta_cursor_open(meta, &type, 1, NULL, 0, &cursor), 0);
	while ((rc = meta_cursor_next(cursor, &item)) == 0)
		fn(meta, count, &item);
	assert_int_equal(rc, -ENOENT);
	meta_cursor_close(cursor);
}

static void each_object(struct meta *meta, struct count *count, const struct meta_item *item)
{
	struct object_record record;
	uint64_t end = 0;

	assert_int_equal(object_record_decode(item->value, item->len, &record), 0);
	count->objects++;
	for (unsigned i = 0; i < record.nextents; i++) {
		assert_true(record.extents[i].off >= end);
		end = record.extents[i].off + record.extents[i].len;
		assert_true(end <= record.size);
		count_extent(meta, count, &record.extents[i]);
	}
}

static void each_extent(struct meta *meta, struct count *count, const struct meta_item *item)
{
	struct extent extent;
	uint8_t value[RECORD_OBJECT_MAX], key[KEY_LEN_1];
	struct object_record record;
	size_t len;

	assert_int_equal(extent_decode(get_be64(item->key + 9), item->value, item->len, &extent),
			 0);
	count_extent(meta, count, &extent);
	assert_int_equal(meta_get(meta, key, key_1(key, KEY_OBJECT, get_be64(item->key + 1)), value,
				  sizeof(value), &len),
			 0);
	assert_int_equal(object_record_decode(value, len, &record), 0);
	assert_true(record.has_keys);
	assert_true(extent.off + extent.len <= record.size);
}

static void each_frame(struct meta *meta, struct count *count, const struct meta_item *item)
{
	struct frame_record frame;
	uint8_t key[KEY_LEN_2], value[8];
	uint64_t id = get_be64(item->key + 1);
	size_t len;

	assert_int_equal(frame_record_decode(item->value, item->len, &frame), 0);
	assert_int_equal(frame.live, (uintptr_t)idmap_get(&count->live, id));
	assert_int_equal(meta_get(meta, key, key_2(key, KEY_PLACED, frame.segment, frame.off),
				  value, sizeof(value), &len),
			 0);
	assert_int_equal(get_le64(value), id);
	count->frames++;
	count->packed += frame.raw_len;
	count->stored += frame.stored_len;
}

void fix_pool_verify(struct fix_pool *fix)
{
	struct meta *meta = pool_meta(fix->pool);
	struct pool_usage usage;
	struct count count = {0};
	uint64_t frames = 0, plain = 0;

	each(meta, KEY_OBJECT, &count, each_object);
	each(meta, KEY_EXTENT, &count, each_extent);
	each(meta, KEY_FRAME, &count, each_frame);
	pool_usage(fix->pool, &usage);
	for (uint32_t t = 1; t < usage.ntiers; t++)
		plain += usage.tiers[t].plain;
	assert_int_equal(usage.logical - usage.tiers[0].logical, count.logical + plain);
	assert_int_equal(usage.packed, count.packed + plain);
	assert_int_equal(usage.stored, count.stored + plain);
	assert_int_equal(usage.objects, count.objects);
	for (uint32_t t = 1; t < usage.ntiers; t++)
		frames += usage.tiers[t].frames;
	assert_int_equal(frames, count.frames);
	idmap_release(&count.live);
	idmap_release(&count.known);
}

/* Frames describe themselves --------------------------------------------------------------------
 */

struct told {
	struct fix_pool *fix;
	unsigned extents;
};

static void frame_tables(struct fix_pool *fix, const struct frame_record *record,
			 struct frame_header *out)
{
	struct segment *segment = idmap_get(&fix->pool->segments, record->segment);
	struct tier_segment seg = {.id = record->segment};
	uint8_t *bytes = malloc(record->stored_len);

	assert_non_null(segment);
	assert_non_null(bytes);
	seg.place = segment->record.place;
	assert_int_equal(tier_read(fix->pool->tiers[segment->record.tier].tier, seg, bytes,
				   record->stored_len, record->off, TIER_BULK),
			 0);
	assert_int_equal(frame_header_parse(bytes, record->stored_len, out), 0);
	free(bytes);
}

/* The bytes at frame_off of a frame are those of the object's extent, says the frame. */
static void tell(struct told *told, uint64_t object, const struct extent *extent)
{
	uint8_t key[KEY_LEN_1], value[RECORD_FRAME_LEN];
	struct frame_header header;
	struct frame_record record;
	uint64_t at = 0, done = 0;
	size_t len;

	assert_int_equal(meta_get(told->fix->pool->meta, key, key_1(key, KEY_FRAME, extent->frame),
				  value, sizeof(value), &len),
			 0);
	assert_int_equal(frame_record_decode(value, len, &record), 0);
	frame_tables(told->fix, &record, &header);
	assert_int_equal(header.id, extent->frame);
	for (uint32_t i = 0; i < header.nextents; at += header.extents[i++].length) {
		const struct frame_extent *entry = &header.extents[i];
		uint64_t from = extent->frame_off > at ? extent->frame_off : at;
		uint64_t to = (uint64_t)extent->frame_off + extent->len;

		to = to < at + entry->length ? to : at + entry->length;
		if (from >= to)
			continue;
		if (entry->object != object ||
		    entry->offset + (from - at) != extent->off + (from - extent->frame_off))
			fail_msg("frame %llu says its bytes at %llu are of object %llu at %llu, "
				 "the metadata of object %llu at %llu",
				 (unsigned long long)extent->frame, (unsigned long long)from,
				 (unsigned long long)entry->object,
				 (unsigned long long)(entry->offset + (from - at)),
				 (unsigned long long)object,
				 (unsigned long long)(extent->off + (from - extent->frame_off)));
		done += to - from;
	}
	assert_int_equal(done, extent->len);
	frame_header_release(&header);
	told->extents++;
}

unsigned fix_pool_verify_frames(struct fix_pool *fix)
{
	static const uint8_t types[] = {KEY_OBJECT, KEY_EXTENT};
	struct told told = {.fix = fix};
	struct meta_cursor *cursor;
	struct meta_item item;
	int rc;

	for (size_t t = 0; t < sizeof(types); t++) {
		assert_int_equal(meta_cursor_open(fix->pool->meta, &types[t], 1, NULL, 0, &cursor),
				 0);
		while ((rc = meta_cursor_next(cursor, &item)) == 0) {
			uint64_t id = get_be64(item.key + 1);
			struct object_record record;
			struct extent extent;

			if (types[t] == KEY_EXTENT) {
				assert_int_equal(extent_decode(get_be64(item.key + 9), item.value,
							       item.len, &extent),
						 0);
				tell(&told, id, &extent);
				continue;
			}
			assert_int_equal(object_record_decode(item.value, item.len, &record), 0);
			for (unsigned i = 0; i < record.nextents; i++)
				tell(&told, id, &record.extents[i]);
		}
		assert_int_equal(rc, -ENOENT);
		meta_cursor_close(cursor);
	}
	return told.extents;
}

/* Media ------------------------------------------------------------------------------------------
 */

struct media {
	struct pool *pool;
	uint32_t tier;
	bool tight;
};

/* At most what the frames in a segment take, each on blocks of its own, and its header. */
static uint64_t segment_need(struct meta *meta, uint64_t segment)
{
	uint64_t need = 2 * 4096;
	uint8_t prefix[KEY_LEN_1];
	struct meta_cursor *cursor;
	struct meta_item item;
	int rc;

	assert_int_equal(meta_cursor_open(meta, prefix, key_1(prefix, KEY_PLACED, segment), NULL, 0,
					  &cursor),
			 0);
	while ((rc = meta_cursor_next(cursor, &item)) == 0) {
		uint8_t key[KEY_LEN_1], value[RECORD_FRAME_LEN];
		struct frame_record frame;
		size_t len;

		assert_int_equal(meta_get(meta, key, key_1(key, KEY_FRAME, get_le64(item.value)),
					  value, sizeof(value), &len),
				 0);
		assert_int_equal(frame_record_decode(value, len, &frame), 0);
		need += frame.stored_len / 4096 * 4096 + 2 * 4096;
	}
	assert_int_equal(rc, -ENOENT);
	meta_cursor_close(cursor);
	return need;
}

static int each_file(void *arg, struct tier_segment seg, uint64_t len, uint64_t disk)
{
	struct media *media = arg;
	struct segment *segment = idmap_get(&media->pool->segments, seg.id);
	uint64_t need;

	(void)len;
	if (!segment)
		fail_msg("tier %u: file of segment %llu has no record", media->tier,
			 (unsigned long long)seg.id);
	assert_true(segment_in_place(media->pool->homes, segment, media->tier, seg.place));
	if (!media->tight)
		return 0;
	need = segment_need(pool_meta(media->pool), seg.id);
	if (disk > need + disk / 8)
		fail_msg("tier %u: segment %llu takes %llu bytes, its frames at most %llu",
			 media->tier, (unsigned long long)seg.id, (unsigned long long)disk,
			 (unsigned long long)need);
	return 0;
}

struct plain_sum {
	struct media *media;
	uint32_t place;
	uint64_t used, files;
};

/* Each plain file is some object's. */
static int each_plain(void *arg, uint64_t id, uint32_t generation, const struct stat *st)
{
	struct plain_sum *sum = arg;
	struct object *object;

	if (object_get(sum->media->pool, id, &object))
		fail_msg("tier %u: plain file of object %llu, which is not there", sum->media->tier,
			 (unsigned long long)id);
	assert_true(object->record.plain.set);
	assert_int_equal(object->record.plain.tier, sum->media->tier);
	assert_int_equal(object->record.plain.place, sum->place);
	assert_int_equal(object->record.plain.generation, generation);
	object_size(object); /* opens it: what it takes now is counted */
	object_put(object);
	sum->used += (uint64_t)st->st_blocks * 512;
	sum->files++;
	return 0;
}

static void verify_plain(struct media *media, struct tier *tier, uint32_t place)
{
	struct plain_sum sum = {.media = media, .place = place};

	assert_int_equal(plain_files_each(tier_place_path(tier, place), each_plain, &sum), 0);
	assert_int_equal(tier->plain_files[place], sum.files);
	assert_int_equal(tier->plain_used[place], sum.used);
}

void fix_pool_verify_media(struct fix_pool *fix, bool tight)
{
	struct media media = {.pool = fix->pool, .tight = tight};

	for (uint32_t t = 1; t < fix->config.ntiers; t++) {
		struct tier *tier = fix->pool->tiers[t].tier;

		media.tier = t;
		for (uint32_t place = 0; place < tier->nplaces; place++)
			if (tier_has_place(tier, place)) {
				assert_int_equal(tier_list(tier, place, each_file, &media), 0);
				verify_plain(&media, tier, place);
			}
	}
}

struct copies_of {
	struct pool *pool;
	struct tier_segment seg;
};

static void verify_frame(struct copies_of *copies, uint64_t frame)
{
	struct frame_record record;
	struct frame_flaw flaw;
	uint8_t *stored;

	assert_int_equal(frame_record_get(copies->pool, frame, &record), 0);
	stored = malloc(record.stored_len);
	assert_int_equal(tier_read(copies->pool->tiers[record.tier].tier, copies->seg, stored,
				   record.stored_len, record.off, TIER_FOREGROUND),
			 0);
	if (frame_stored_check(frame, &record, stored, &flaw) != 0)
		fail_msg("tier %u: frame %llu is not whole in directory %u", record.tier,
			 (unsigned long long)frame, copies->seg.place);
	free(stored);
}

static void verify_place(struct copies_of *copies)
{
	uint8_t prefix[KEY_LEN_1];
	struct meta_cursor *cursor;
	struct meta_item item;
	int rc;

	assert_int_equal(meta_cursor_open(pool_meta(copies->pool), prefix,
					  key_1(prefix, KEY_PLACED, copies->seg.id), NULL, 0,
					  &cursor),
			 0);
	while ((rc = meta_cursor_next(cursor, &item)) == 0)
		verify_frame(copies, get_le64(item.value));
	assert_int_equal(rc, -ENOENT);
	meta_cursor_close(cursor);
}

void fix_pool_verify_copies(struct fix_pool *fix)
{
	struct segment *segment;
	size_t at = 0;

	while ((segment = idmap_each(&fix->pool->segments, &at))) {
		uint64_t homes = homes_get(fix->pool->homes, segment->id, segment->record.place);

		for (; homes && !segment->removing; homes &= homes - 1) {
			struct copies_of copies = {
				.pool = fix->pool,
				.seg = {.id = segment->id,
					.place = (uint32_t)__builtin_ctzll(homes)}};

			verify_place(&copies);
		}
	}
}
