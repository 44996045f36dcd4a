// SPDX-License-Identifier: Apache-2.0
/*
 * Reading out of frames through the block cache.
 *
 * Invariants:
 *  1. A view belongs to one read on one thread. What it has fetched is of one copy; a block that
 *     turns out bad is fetched again by itself, from each copy.
 *  2. Damage to one block costs that block only, also when several were fetched at once.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "compress/frame.h"
#include "tiers/clock.h"
#include "tiers/framestore.h"
#include "tiers/pool_impl.h"
#include "tiers/readbuf.h"
#include "tiers/replicate.h"

#define READ_WHOLE_MAX (64u << 10) /* stored frames up to this are fetched in one read */

/* What a read needs of a frame: its header, and stored bytes of the blocks that are wanted, fetched
 * at the first miss in one read of the medium. */
struct frame_view {
	struct pool *pool;
	uint64_t frame;
	const struct frame_record *record;
	uint32_t index, last;	    /* the block to fill now, the last one wanted */
	struct frame_header header; /* nblocks 0: not there yet */
	uint8_t *stored;	    /* [off, off + len) of the stored frame, or NULL */
	uint32_t off, len;
};

/* A block, or the header, from one copy after another. */
struct attempt {
	struct frame_view *view;
	void *buf;
	uint32_t len;
	struct codec_scratch *scratch;
};

static void header_drop(struct frame_view *view)
{
	if (view->header.nblocks)
		frame_header_release(&view->header);
	view->header = (struct frame_header){0};
}

static void stored_drop(struct frame_view *view)
{
	readbuf_put(view->pool->readbufs, view->stored);
	view->stored = NULL;
}

static int stored_fetch(struct frame_view *view, struct tier_segment seg, uint32_t off,
			uint32_t len)
{
	int rc;

	assert(len <= READBUF_BYTES);
	if (!view->stored)
		view->stored = readbuf_get(view->pool->readbufs);
	if (!view->stored)
		return -ENOMEM;
	view->off = off;
	view->len = len;
	rc = frame_copy_read(view->pool, view->record, seg, view->stored, len, off,
			     TIER_FOREGROUND);
	if (rc < 0)
		stored_drop(view);
	return rc;
}

/* Header -----------------------------------------------------------------------------------------
 */

static int header_parse(struct frame_view *view, const void *bytes, size_t len)
{
	int rc = frame_header_parse(bytes, len, &view->header);

	if (rc < 0) {
		view->header = (struct frame_header){0};
		return rc;
	}
	rc = frame_header_check(&view->header, view->frame, view->record);
	if (rc < 0)
		header_drop(view);
	return rc;
}

/*
 * Where a block lies is in the header, and reading that takes the medium as long as a block does.
 * So the medium begins with the blocks that are wanted meanwhile, as far as they can be guessed:
 * those of a frame shrink alike, and a quarter of one more at both ends holds 19 of 20. A guess
 * that was wrong costs the access that none would have saved.
 */
static void blocks_ahead(const struct frame_view *view, struct tier_segment seg)
{
	const struct frame_record *record = view->record;
	uint64_t payload = record->stored_len - record->header_len, slack;
	uint64_t from = (uint64_t)view->index << record->block_shift;
	uint64_t end = (uint64_t)(view->last + 1) << record->block_shift;

	slack = (payload << record->block_shift) / record->raw_len / 4;
	from = record->header_len + payload * from / record->raw_len;
	end = record->header_len + payload * end / record->raw_len + slack;
	from = from > record->header_len + slack ? from - slack : 0;
	end = end < record->stored_len ? end : record->stored_len;
	tier_ahead(view->pool->tiers[record->tier].tier, seg, end - from, record->off + from);
}

/* Only a sound header goes into the cache. */
static int header_attempt(void *arg, struct tier_segment seg)
{
	struct attempt *attempt = arg;
	struct frame_view *view = attempt->view;
	int rc;

	blocks_ahead(view, seg);
	rc = frame_copy_read(view->pool, view->record, seg, attempt->buf, attempt->len, 0,
			     TIER_FOREGROUND);
	header_drop(view);
	return rc < 0 ? rc : header_parse(view, attempt->buf, attempt->len);
}

static int header_fill(void *arg, void *buf, size_t len)
{
	struct frame_view *view = arg;
	struct attempt attempt = {.view = view, .buf = buf, .len = (uint32_t)len};

	return copies_try(view->pool, view->frame, view->record, header_attempt, &attempt);
}

/* The header of a frame with several blocks is kept beside them: each read needs it. */
static int header_get(struct frame_view *view)
{
	const struct frame_record *record = view->record;
	struct cached_block *bytes;
	int rc = blockcache_get(view->pool->cache, view->frame,
				frame_blocks(record) /* behind the blocks */, record->header_len,
				header_fill, view, &bytes, NULL);

	if (rc < 0)
		return rc;
	if (!view->header.nblocks)
		rc = header_parse(view, cached_block_data(bytes), record->header_len);
	cached_block_put(bytes);
	return rc;
}

/* Blocks -----------------------------------------------------------------------------------------
 */

/* Is the whole frame fetched, its header with it, for one block? */
static bool fetched_whole(const struct frame_record *record)
{
	return record->stored_len <= READ_WHOLE_MAX || record->raw_len <= 1u << record->block_shift;
}

static bool has_stored(const struct frame_view *view, const struct frame_block *block)
{
	return view->stored && block->stored_off >= view->off &&
	       (uint64_t)block->stored_off + block->stored_len <= (uint64_t)view->off + view->len;
}

/* Its block, of the length it is taken for. */
static int block_find(const struct frame_view *view, size_t raw_len, const struct frame_block **out)
{
	if (view->index >= view->header.nblocks ||
	    view->header.blocks[view->index].raw_len != raw_len)
		return -EBADMSG;
	*out = &view->header.blocks[view->index];
	return 0;
}

/* From the block to the last one that is wanted; when that fails, the block alone. */
static int blocks_fetch(struct frame_view *view, struct tier_segment seg,
			const struct frame_block *block)
{
	const struct frame_block *last = block;
	uint64_t end;

	if (view->last < view->header.nblocks)
		last = &view->header.blocks[view->last];
	end = (uint64_t)last->stored_off + last->stored_len;
	if (last > block && last->stored_off > block->stored_off &&
	    end <= view->record->stored_len &&
	    stored_fetch(view, seg, block->stored_off, (uint32_t)end - block->stored_off) == 0)
		return 0;
	return stored_fetch(view, seg, block->stored_off, block->stored_len);
}

static int block_decode(const struct frame_view *view, const struct frame_block *block,
			struct attempt *attempt)
{
	return frame_block_decode(attempt->scratch, block,
				  view->stored + (block->stored_off - view->off), block->stored_len,
				  attempt->buf);
}

static int block_attempt(void *arg, struct tier_segment seg)
{
	struct attempt *attempt = arg;
	struct frame_view *view = attempt->view;
	const struct frame_block *block;
	int rc;

	if (fetched_whole(view->record)) {
		header_drop(view);
		rc = stored_fetch(view, seg, 0, view->record->stored_len);
		if (rc == 0)
			rc = header_parse(view, view->stored, view->len);
	} else {
		rc = view->header.nblocks ? 0 : header_get(view);
	}
	if (rc == 0)
		rc = block_find(view, attempt->len, &block);
	if (rc == 0 && !fetched_whole(view->record))
		rc = blocks_fetch(view, seg, block);
	if (rc == 0 && !has_stored(view, block))
		rc = -EBADMSG;
	if (rc == 0)
		rc = block_decode(view, block, attempt);
	if (rc < 0)
		stored_drop(view);
	return rc;
}

/* Out of what an earlier block's fetch has brought along. */
static bool block_at_hand(struct attempt *attempt)
{
	const struct frame_view *view = attempt->view;
	const struct frame_block *block;

	return view->stored && block_find(view, attempt->len, &block) == 0 &&
	       has_stored(view, block) && block_decode(view, block, attempt) == 0;
}

static int block_fill(void *arg, void *buf, size_t len)
{
	struct frame_view *view = arg;
	const struct frame_record *record = view->record;
	struct attempt attempt = {.view = view,
				  .buf = buf,
				  .len = (uint32_t)len,
				  .scratch = workers_thread_scratch()};
	int rc = 0;

	view->pool->tiers[record->tier].reads++;
	if (!attempt.scratch)
		rc = -ENOMEM;
	else if (!block_at_hand(&attempt))
		rc = copies_try(view->pool, view->frame, record, block_attempt, &attempt);
	if (damage_is(rc))
		damage_note(view->pool, view->frame, record, view->index << record->block_shift,
			    (uint32_t)len, rc, 0);
	return rc;
}

/* Reads ------------------------------------------------------------------------------------------
 */

/* Of the blocks that hold [off, off + len). */
static int view_open(struct frame_view *view, struct frame_record *record, struct pool *pool,
		     uint64_t frame, uint32_t off, uint32_t len)
{
	int rc = frame_record_get(pool, frame, record);

	if (rc < 0)
		return rc == -ENOENT ? -EUCLEAN : rc;
	if (!len || (uint64_t)off + len > record->raw_len)
		return -EUCLEAN;
	*view = (struct frame_view){.pool = pool,
				    .frame = frame,
				    .record = record,
				    .index = off >> record->block_shift,
				    .last = (off + len - 1) >> record->block_shift};
	return 0;
}

static void view_close(struct frame_view *view)
{
	header_drop(view);
	stored_drop(view);
}

static uint32_t block_raw_len(const struct frame_view *view)
{
	const struct frame_record *record = view->record;
	uint32_t rest = record->raw_len - (view->index << record->block_shift);

	return rest < 1u << record->block_shift ? rest : 1u << record->block_shift;
}

static void touch(struct pool *pool, uint64_t frame, const struct frame_record *record)
{
	heat_touch(pool->heat, frame, frame_record_heat(record), clock_wall_s());
}

int frame_read(struct pool *pool, uint64_t frame, uint32_t off, void *buf, uint32_t len,
	       uint32_t *tier)
{
	struct frame_record record;
	struct frame_view view;
	uint8_t *p = buf;
	int rc = view_open(&view, &record, pool, frame, off, len);

	if (rc < 0)
		return rc;
	for (; len; view.index++) {
		uint32_t raw = block_raw_len(&view);
		uint32_t skip = off - (view.index << record.block_shift);
		uint32_t n = raw - skip < len ? raw - skip : len;
		struct cached_block *block;
		int hit = 0;

		rc = blockcache_get(pool->cache, frame, view.index, raw, block_fill, &view, &block,
				    &hit);
		if (rc < 0)
			break;
		(hit ? &pool->ram_hits : &pool->ram_misses)[0]++;
		memcpy(p, (const uint8_t *)cached_block_data(block) + skip, n);
		cached_block_put(block);
		p += n;
		off += n;
		len -= n;
	}
	view_close(&view);
	if (rc < 0)
		return rc;
	touch(pool, frame, &record);
	*tier = record.tier;
	return 0;
}

static int blocks_decode(const struct frame_header *header, const uint8_t *stored, uint32_t first,
			 uint32_t end, uint8_t *buf)
{
	struct codec_scratch *scratch = workers_thread_scratch();
	int rc = scratch ? 0 : -ENOMEM;

	for (uint32_t i = first; i < end && rc == 0; i++) {
		const struct frame_block *block = &header->blocks[i];

		rc = frame_block_decode(scratch, block, stored + block->stored_off,
					block->stored_len, buf);
		buf += block->raw_len;
	}
	return rc;
}

int frame_decode_blocks(struct pool *pool, uint64_t frame, const struct frame_record *record,
			const uint8_t *stored, uint32_t off, void *buf, uint32_t len)
{
	uint32_t first = off >> record->block_shift;
	uint32_t end = ((off + len - 1) >> record->block_shift) + 1;
	struct frame_header header;
	int rc = frame_header_parse(stored, record->stored_len, &header);

	if (rc < 0)
		return rc;
	rc = frame_header_check(&header, frame, record);
	if (rc == 0)
		rc = blocks_decode(&header, stored, first, end, buf);
	for (uint32_t i = first; i < end && rc == 0; i++)
		blockcache_remember(pool->cache, frame, i, header.blocks[i].raw_len);
	frame_header_release(&header);
	if (rc < 0)
		return rc;
	pool->tiers[record->tier].reads += end - first;
	pool->ram_misses += end - first;
	touch(pool, frame, record);
	return 0;
}

int frame_pin(struct pool *pool, uint64_t frame, uint32_t off, uint32_t len, uint16_t mark)
{
	struct frame_record record;
	struct frame_view view;
	int first = view_open(&view, &record, pool, frame, off, len);

	if (first < 0)
		return first;
	for (; view.index <= view.last; view.index++) {
		int rc = blockcache_pin(pool->cache, frame, view.index, block_raw_len(&view),
					block_fill, &view, mark);

		if (rc < 0 && (!first || first == -ENOSPC))
			first = rc;
	}
	view_close(&view);
	return first;
}
