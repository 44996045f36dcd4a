// SPDX-License-Identifier: Apache-2.0
#include "tiers/framestore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compress/checksum.h"
#include "tiers/clock.h"
#include "tiers/log.h"
#include "tiers/pool_impl.h"
#include "tiers/readbuf.h"
#include "tiers/replicate.h"

/* Builds -----------------------------------------------------------------------------------------
 */

int frame_build_new(struct frame_build **out, struct pool *pool, int tier)
{
	struct frame_build *build = calloc(1, sizeof(*build));

	if (!build)
		return -ENOMEM;
	build->pool = pool;
	build->tier = tier;
	build->raw_max = pool->config.tiers[tier].frame_bytes;
	*out = build;
	return 0;
}

/* From here until it is freed, space is not given back over the build's bytes. Where they will be
 * is known only after the append. */
static void placing_begin(struct frame_build *build, int tier)
{
	struct pool *pool = build->pool;

	pthread_mutex_lock(&pool->builds_lock);
	build->placing = tier;
	build->placing_no = ++pool->placings;
	if (!build->listed) {
		build->listed = true;
		build->older = pool->builds;
		if (pool->builds)
			pool->builds->newer = build;
		pool->builds = build;
	}
	pthread_mutex_unlock(&pool->builds_lock);
}

/* record NULL: nothing was appended. */
static void placing_end(struct frame_build *build, const struct frame_record *record)
{
	pthread_mutex_lock(&build->pool->builds_lock);
	build->placing = 0;
	if (record)
		build->record = *record;
	pthread_mutex_unlock(&build->pool->builds_lock);
}

static void unlist(struct frame_build *build)
{
	struct pool *pool = build->pool;

	if (!build->listed)
		return;
	pthread_mutex_lock(&pool->builds_lock);
	if (build->newer)
		build->newer->older = build->older;
	else
		pool->builds = build->older;
	if (build->older)
		build->older->newer = build->newer;
	pthread_mutex_unlock(&pool->builds_lock);
}

void frame_builds_avoid(struct pool *pool, const struct freed *item, uint64_t *off, uint64_t *end)
{
	uint64_t item_end = item->off + item->len;

	pthread_mutex_lock(&pool->builds_lock);
	for (struct frame_build *build = pool->builds; build; build = build->older) {
		const struct frame_record *record = &build->record;
		uint64_t record_end = (uint64_t)record->off + record->stored_len;

		if (build->placing == (int)item->tier) { /* anywhere */
			*off = item->off;
			*end = item_end;
			break;
		}
		if (record->tier != item->tier || record->segment != item->segment.id)
			continue;
		if (record_end <= item->off && record_end > *off)
			*off = record_end;
		if (record->off >= item_end && record->off < *end)
			*end = record->off;
	}
	pthread_mutex_unlock(&pool->builds_lock);
}

bool frame_builds_in(struct pool *pool, uint32_t tier, uint64_t segment)
{
	return frame_builds_segment(pool, tier, segment, UINT64_MAX);
}

bool frame_builds_segment(struct pool *pool, uint32_t tier, uint64_t segment, uint64_t mark)
{
	bool found = false;

	pthread_mutex_lock(&pool->builds_lock);
	for (struct frame_build *build = pool->builds; build && !found; build = build->older)
		found = (build->placing == (int)tier && build->placing_no <= mark) ||
			(build->record.tier == tier && build->record.segment == segment);
	pthread_mutex_unlock(&pool->builds_lock);
	return found;
}

uint64_t frame_builds_mark(struct pool *pool)
{
	uint64_t mark;

	pthread_mutex_lock(&pool->builds_lock);
	mark = pool->placings;
	pthread_mutex_unlock(&pool->builds_lock);
	return mark;
}

bool frame_builds_place(struct pool *pool, uint32_t tier, uint32_t place, uint64_t mark)
{
	bool found = false;

	pthread_mutex_lock(&pool->builds_lock);
	for (struct frame_build *build = pool->builds; build && !found; build = build->older) {
		found = (build->placing == (int)tier && build->placing_no <= mark) ||
			(build->record.tier == tier && build->record.stored_len &&
			 homes_get(pool->homes, build->record.segment, build->record.place) >>
					 place &
				 1);
	}
	pthread_mutex_unlock(&pool->builds_lock);
	return found;
}

void frame_build_free(struct frame_build *build)
{
	if (!build)
		return;
	unlist(build);
	free(build->extents);
	free(build->data);
	free(build);
}

bool frame_build_full(const struct frame_build *build)
{
	return build->raw_len == build->raw_max || build->nextents == FRAME_EXTENTS_MAX;
}

int frame_build_add(struct frame_build *build, uint64_t object, uint64_t off, uint32_t len,
		    const uint8_t *data, uint32_t *taken)
{
	uint32_t room = build->raw_max - build->raw_len;

	*taken = 0;
	if (frame_build_full(build))
		return 0;
	if (build->nextents == build->cap) {
		uint32_t cap = build->cap ? build->cap * 2 : 8;
		void *extents = realloc(build->extents, cap * sizeof(*build->extents));
		void *pointers;

		if (!extents)
			return -ENOMEM;
		build->extents = extents;
		pointers = realloc(build->data, cap * sizeof(*build->data));
		if (!pointers)
			return -ENOMEM;
		build->data = pointers;
		build->cap = cap;
	}
	*taken = len < room ? len : room;
	build->extents[build->nextents] =
		(struct frame_extent){.object = object, .offset = off, .length = *taken};
	build->data[build->nextents++] = data;
	build->raw_len += *taken;
	return 0;
}

static struct codec_spec build_codec(const struct frame_build *build, int tier)
{
	struct tunables now;

	if (build->own_codec)
		return build->codec;
	pool_tunables(build->pool, &now);
	return now.tiers[tier].codec;
}

/* More copies than the tier says, for which nothing is set aside, are made only where there is more
 * room than what is. *own: they are not the tier's. */
static unsigned build_copies(const struct frame_build *build, int tier, size_t len, bool *own)
{
	struct tunables now;
	unsigned copies;

	pool_tunables(build->pool, &now);
	copies = now.tiers[tier].replicas ? now.tiers[tier].replicas : 1;
	*own = build->replicas &&
	       (build->replicas <= copies ||
		space_has_spare(build->pool->space, len * (build->replicas - copies)));
	space_taken(build->pool->space, *own ? len * build->replicas / copies : len);
	return *own ? build->replicas : copies;
}

/* Encodes for one tier and appends there. */
static int write_to(struct frame_build *build, int tier, struct codec_scratch *scratch,
		    const uint8_t *raw, uint8_t *coded, size_t cap)
{
	const struct config_tier *config = &build->pool->config.tiers[tier];
	struct codec_spec codec = build_codec(build, tier);
	struct frame_record record;
	struct segment_loc loc;
	struct heat_state heat;
	uint32_t header_len, stored_len, now_s;
	unsigned copies;
	size_t stored;
	bool own;
	int rc;

	/* Coding what a full medium will refuse takes a processor, again and again. */
	if (!appender_has_room(build->pool->tiers[tier].appender, 1))
		return -ENOSPC;
	rc = frame_encode(scratch, &codec, config->block_bytes, build->id, build->extents,
			  build->nextents, raw, build->raw_len, coded, cap, &stored);
	if (rc == 0)
		rc = frame_header_len(coded, stored, &header_len, &stored_len);
	if (rc < 0)
		return rc;
	placing_begin(build, tier);
	copies = build_copies(build, tier, stored, &own);
	rc = appender_append_copies(build->pool->tiers[tier].appender, coded, stored, build->hint,
				    copies, own, &loc);
	if (rc < 0) {
		placing_end(build, NULL);
		return rc;
	}
	now_s = clock_wall_s();
	heat = build->heat.last_s ? build->heat
				  : heat_add((struct heat_state){.last_s = now_s},
					     pool_heat_scale(build->pool), now_s);
	record = (struct frame_record){
		.segment = loc.seg.id,
		.off = (uint32_t)loc.off,
		.stored_len = (uint32_t)stored,
		.raw_len = build->raw_len,
		.header_len = header_len,
		.place = (uint16_t)loc.seg.place,
		.heat = heat.fast,
		.heat_slow = heat.slow,
		.last_access = heat.last_s,
		.placed = build->placed,
		.tier = (uint8_t)tier,
		.block_shift = (uint8_t)__builtin_ctz(config->block_bytes),
		.codec = codec,
	};
	placing_end(build, &record);
	return 0;
}

/* The build's bytes in one piece: as they lie, or copied into *buf. NULL: no memory. */
static const uint8_t *build_raw(const struct frame_build *build, uint8_t **buf)
{
	const uint8_t *end = build->data[0];
	uint32_t i = 0;
	uint8_t *p;

	while (i < build->nextents && build->data[i] == end)
		end += build->extents[i++].length;
	if (i == build->nextents)
		return build->data[0];
	p = *buf = readbuf_get(build->pool->readbufs);
	for (i = 0; p && i < build->nextents; i++) {
		memcpy(p, build->data[i], build->extents[i].length);
		p += build->extents[i].length;
	}
	return *buf;
}

int frame_build_write(void *arg, struct codec_scratch *scratch)
{
	struct frame_build *build = arg;
	struct pool *pool = build->pool;
	uint8_t *buf = NULL, *coded = readbuf_get(pool->readbufs);
	/* An empty one: there was no memory for what was to go in. */
	const uint8_t *raw = build->nextents ? build_raw(build, &buf) : NULL;
	size_t cap = READBUF_BYTES;

	build->error = raw && coded ? 0 : -ENOMEM;
	build->id = atomic_fetch_add(&pool->next_frame, 1);
	if (!build->error) {
		build->error = write_to(build, build->tier, scratch, raw, coded, cap);
		/* Spill order: down the tiers, then those above the one that was wanted. */
		for (int t = build->tier + 1;
		     build->error && build->may_spill && t < (int)pool->config.ntiers; t++)
			build->error = write_to(build, t, scratch, raw, coded, cap);
		for (int t = build->tier - 1; build->error && build->may_spill && t >= 1; t--)
			build->error = write_to(build, t, scratch, raw, coded, cap);
	}
	readbuf_put(pool->readbufs, buf);
	readbuf_put(pool->readbufs, coded);
	return build->error;
}

bool frame_build_stage(struct txn *txn, struct frame_build *build)
{
	if (build->error)
		return false;
	if (txn_frame(txn, build->id))
		return true;
	if (!build->created && txn_frame_new(txn, build->id, &build->record))
		return true;
	if (!txn->error)
		build->error = -ESTALE;
	return false;
}

void frame_build_discard(struct frame_build *build)
{
	const struct frame_record *record = &build->record;

	if (build->error || !record->stored_len)
		return;
	segment_punch(build->pool, record->tier,
		      (struct tier_segment){.id = record->segment, .place = record->place},
		      record->stored_len, record->off);
}

/* Reading ----------------------------------------------------------------------------------------
 */

int frame_record_get(struct pool *pool, uint64_t frame, struct frame_record *out)
{
	uint8_t key[KEY_LEN_1], value[RECORD_FRAME_LEN];
	size_t len;
	int rc =
		meta_get(pool->meta, key, key_1(key, KEY_FRAME, frame), value, sizeof(value), &len);

	if (rc == 0)
		rc = frame_record_decode(value, len, out);
	if (rc == 0 && (out->tier == 0 || out->tier >= pool->config.ntiers))
		rc = -EUCLEAN; /* the tier is an index wherever the record is used */
	return rc;
}

struct stored_read {
	struct pool *pool;
	const struct frame_record *record;
	void *buf;
	uint32_t len, off;
	enum tier_hint hint;
};

int frame_copy_read(struct pool *pool, const struct frame_record *record, struct tier_segment seg,
		    void *buf, uint32_t len, uint32_t off, enum tier_hint hint)
{
	return tier_read(pool->tiers[record->tier].tier, seg, buf, len, (uint64_t)record->off + off,
			 hint);
}

static int stored_attempt(void *arg, struct tier_segment seg)
{
	const struct stored_read *read = arg;

	return frame_copy_read(read->pool, read->record, seg, read->buf, read->len, read->off,
			       read->hint);
}

int frame_stored_read(struct pool *pool, uint64_t frame, const struct frame_record *record,
		      void *buf, uint32_t len, uint32_t off, enum tier_hint hint)
{
	struct stored_read read = {pool, record, buf, len, off, hint};

	return copies_try(pool, frame, record, stored_attempt, &read);
}

int frame_header_check(const struct frame_header *header, uint64_t frame,
		       const struct frame_record *record)
{
	if (header->id != frame || header->raw_len != record->raw_len ||
	    header->stored_len != record->stored_len || header->header_len != record->header_len ||
	    header->block_size != 1u << record->block_shift)
		return -EBADMSG;
	return 0;
}

int frame_load_stored(uint64_t frame, const struct frame_record *record, const void *stored,
		      struct codec_scratch *scratch, struct frame_header *header, void *raw)
{
	int rc = frame_header_parse(stored, record->stored_len, header);

	if (rc < 0)
		return rc;
	rc = frame_header_check(header, frame, record);
	if (rc == 0)
		rc = frame_decode(scratch, header, stored, record->stored_len, raw);
	if (rc < 0)
		frame_header_release(header);
	return rc;
}

struct load {
	struct pool *pool;
	uint64_t frame;
	const struct frame_record *record;
	struct codec_scratch *scratch;
	struct frame_header *header;
	uint8_t *stored;
	void *raw;
};

static int load_attempt(void *arg, struct tier_segment seg)
{
	struct load *load = arg;
	int rc = frame_copy_read(load->pool, load->record, seg, load->stored,
				 load->record->stored_len, 0, TIER_BULK);

	return rc < 0 ? rc
		      : frame_load_stored(load->frame, load->record, load->stored, load->scratch,
					  load->header, load->raw);
}

int frame_load(struct pool *pool, uint64_t frame, const struct frame_record *record,
	       struct codec_scratch *scratch, struct frame_header *header, void *raw)
{
	struct load load = {.pool = pool,
			    .frame = frame,
			    .record = record,
			    .scratch = scratch,
			    .header = header,
			    .stored = readbuf_get(pool->readbufs),
			    .raw = raw};
	int rc;

	*header = (struct frame_header){0};
	rc = load.stored ? copies_try(pool, frame, record, load_attempt, &load) : -ENOMEM;
	readbuf_put(pool->readbufs, load.stored);
	return rc;
}

int frame_stored_check(uint64_t frame, const struct frame_record *record, const void *stored,
		       struct frame_flaw *out)
{
	const uint8_t *bytes = stored;
	struct frame_header header;
	uint32_t end = 0;
	int rc = frame_header_parse(stored, record->stored_len, &header);

	*out = (struct frame_flaw){.len = record->raw_len};
	if (rc == 0)
		rc = frame_header_check(&header, frame, record);
	for (uint32_t i = 0; rc == 0 && i < header.nblocks; i++) {
		const struct frame_block *block = &header.blocks[i];
		uint32_t at = i << record->block_shift;

		if (checksum64(bytes + block->stored_off, block->stored_len) == block->checksum)
			continue;
		if (!end)
			out->off = at;
		end = at + block->raw_len;
	}
	if (rc == 0 && end) {
		out->len = end - out->off;
		out->object = header.extents[0].object;
		rc = -EBADMSG;
	}
	frame_header_release(&header);
	return rc;
}

/* One copy, read back, against what went in. */
static int verify_copy(struct frame_build *build, struct load *load, struct tier_segment seg)
{
	const uint8_t *p = load->raw;
	int rc = load_attempt(load, seg);

	if (rc < 0)
		return rc;
	for (uint32_t i = 0; rc == 0 && i < build->nextents; i++) {
		if (memcmp(p, build->data[i], build->extents[i].length) != 0)
			rc = -EBADMSG;
		p += build->extents[i].length;
	}
	frame_header_release(load->header);
	return rc;
}

int frame_verify(struct frame_build *build, struct codec_scratch *scratch)
{
	const struct frame_record *record = &build->record;
	struct frame_header header = {0};
	struct load load = {.pool = build->pool,
			    .frame = build->id,
			    .record = record,
			    .scratch = scratch,
			    .header = &header,
			    .stored = readbuf_get(build->pool->readbufs),
			    .raw = readbuf_get(build->pool->readbufs)};
	uint64_t places = homes_get(build->pool->homes, record->segment, record->place);
	int rc = load.stored && load.raw ? 0 : -ENOMEM;

	for (; rc == 0 && places; places &= places - 1) {
		struct tier_segment seg = {.id = record->segment,
					   .place = (uint32_t)__builtin_ctzll(places)};
		int one = verify_copy(build, &load, seg);

		/* A copy that is not as it was written does not count; the last one must be. */
		if (one < 0 && !homes_drop(build->pool->homes, seg.id, seg.place))
			rc = one;
	}
	readbuf_put(build->pool->readbufs, load.stored);
	readbuf_put(build->pool->readbufs, load.raw);
	return rc;
}

struct heat_state frame_heat(struct pool *pool, uint64_t frame, const struct frame_record *record)
{
	return heat_decay(heat_of(pool->heat, frame, frame_record_heat(record)),
			  pool_heat_scale(pool), clock_wall_s());
}
