// SPDX-License-Identifier: Apache-2.0
/*
 * Invariants:
 *  1. A piece is taken only if it wants whole blocks, most of its frame, and the cache knows none
 * of them: what was asked for twice belongs there (frame_read() puts it there).
 *  2. A run is what one access fetches: frames of one segment that lie one behind the other. It
 *     begins in the buffer where it lies in the medium's block, so that nothing is copied.
 *  3. Nothing here is final: whatever goes wrong, frame_read() reads the piece, from each copy, and
 *     says what is damaged.
 */
#include "tiers/frame_stream.h"

#include "tiers/framestore.h"
#include "tiers/pool_impl.h"
#include "tiers/readbuf.h"
#include "tiers/replicate.h"

struct run {
	struct frame_stream *stream;
	size_t first, n;    /* parts */
	uint64_t from, end; /* in the segment; from is a multiple of READBUF_ALIGN */
};

static bool takes(struct pool *pool, const struct frame_piece *piece, struct frame_record *record)
{
	uint32_t block, end = piece->off + piece->len;

	if (frame_record_get(pool, piece->frame, record) < 0)
		return false;
	block = 1u << record->block_shift;
	if (piece->off % block || (uint64_t)piece->off + piece->len > record->raw_len ||
	    (end % block && end != record->raw_len) || piece->len < record->raw_len / 2)
		return false;
	for (uint32_t i = piece->off / block; i * block < end; i++)
		if (blockcache_knows(pool->cache, piece->frame, i))
			return false;
	return true;
}

static int fetch_attempt(void *arg, struct tier_segment seg)
{
	const struct run *run = arg;
	struct frame_stream *stream = run->stream;

	return tier_read(stream->pool->tiers[stream->parts[run->first].record.tier].tier, seg,
			 stream->buf + stream->used, run->end - run->from, run->from, TIER_STREAM);
}

/* One access for the run; its parts are there, or not. */
static void run_fetch(struct run *run, const struct frame_piece *pieces)
{
	struct frame_stream *stream = run->stream;
	const struct frame_record *record = &stream->parts[run->first].record;

	if (!run->n)
		return;
	if (copies_try(stream->pool, pieces[run->first].frame, record, fetch_attempt, run) == 0)
		for (size_t i = run->first; i < run->first + run->n; i++)
			stream->parts[i].stored = stream->buf + stream->used +
						  (stream->parts[i].record.off - run->from);
	stream->used += (run->end - run->from + READBUF_ALIGN - 1) / READBUF_ALIGN * READBUF_ALIGN;
	run->n = 0;
}

static bool run_room(const struct run *run, uint64_t end)
{
	return run->stream->used + (end - run->from) + READBUF_ALIGN <= READBUF_BYTES;
}

/* True if the part is of the run now. */
static bool run_add(struct run *run, size_t i)
{
	const struct frame_record *record = &run->stream->parts[i].record;
	const struct frame_record *first = &run->stream->parts[run->first].record;
	uint64_t end = (uint64_t)record->off + record->stored_len;

	if (!run->n) {
		run->first = i;
		run->from = record->off / READBUF_ALIGN * READBUF_ALIGN;
	} else if (i != run->first + run->n || record->tier != first->tier ||
		   record->segment != first->segment || record->off < run->end ||
		   record->off - run->end >= READBUF_ALIGN) {
		return false;
	}
	if (!run_room(run, end))
		return false;
	run->end = end;
	run->n++;
	return true;
}

bool stream_fetch(struct frame_stream *stream, struct pool *pool, const struct frame_piece *pieces,
		  size_t n)
{
	struct run run = {.stream = stream};
	bool any = false;

	stream->pool = pool;
	stream->used = 0;
	stream->buf = readbuf_get(pool->readbufs);
	for (size_t i = 0; i < n; i++)
		stream->parts[i].stored = NULL;
	if (!stream->buf)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!takes(pool, &pieces[i], &stream->parts[i].record) || run_add(&run, i))
			continue;
		run_fetch(&run, pieces);
		run_add(&run, i); /* without room it is read by itself */
	}
	run_fetch(&run, pieces);
	for (size_t i = 0; i < n; i++)
		any |= stream->parts[i].stored != NULL;
	return any;
}

bool stream_decode(const struct frame_stream *stream, struct frame_piece *piece, size_t i)
{
	const struct stream_part *part = &stream->parts[i];

	if (!part->stored || frame_decode_blocks(stream->pool, piece->frame, &part->record,
						 part->stored, piece->off, piece->buf, piece->len))
		return false;
	piece->tier = part->record.tier;
	piece->error = 0;
	return true;
}

void stream_end(struct frame_stream *stream)
{
	readbuf_put(stream->pool->readbufs, stream->buf);
}
