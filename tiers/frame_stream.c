// SPDX-License-Identifier: Apache-2.0
/*
 * Invariants:
 *  1. A piece is taken only if it wants whole blocks, most of its frame, and the cache knows none
 * of them: what was asked for twice belongs there (frame_read() puts it there).
 *  2. Nothing here is final: whatever goes wrong, frame_read() reads the piece, from each copy, and
 *     says what is damaged.
 */
#include "tiers/frame_stream.h"

#include "tiers/frame_run.h"
#include "tiers/framestore.h"
#include "tiers/pool_impl.h"
#include "tiers/readbuf.h"

/* The parts that the run fetches. */
struct span {
	struct frame_run run;
	size_t first, n;
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

/* One access for the run; its parts are there, or not. */
static void span_fetch(struct frame_stream *stream, struct span *span)
{
	const uint8_t *buf = stream->buf + stream->used;

	if (span->n && frame_run_fetch(stream->pool, &span->run, stream->buf + stream->used) == 0)
		for (size_t i = span->first; i < span->first + span->n; i++)
			stream->parts[i].stored =
				frame_run_at(&span->run, &stream->parts[i].record, buf);
	stream->used += frame_run_bytes(&span->run);
	*span = (struct span){0};
}

/* True if the part is of the run now. */
static bool span_add(struct frame_stream *stream, struct span *span, uint64_t frame, size_t i)
{
	if ((span->n && i != span->first + span->n) ||
	    !frame_run_add(&span->run, frame, &stream->parts[i].record,
			   READBUF_BYTES - stream->used))
		return false;
	if (!span->n++)
		span->first = i;
	return true;
}

bool stream_fetch(struct frame_stream *stream, struct pool *pool, const struct frame_piece *pieces,
		  size_t n)
{
	struct span span = {0};
	bool any = false;

	stream->pool = pool;
	stream->used = 0;
	stream->buf = readbuf_get(pool->readbufs);
	for (size_t i = 0; i < n; i++)
		stream->parts[i].stored = NULL;
	if (!stream->buf)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!takes(pool, &pieces[i], &stream->parts[i].record) ||
		    span_add(stream, &span, pieces[i].frame, i))
			continue;
		span_fetch(stream, &span);
		span_add(stream, &span, pieces[i].frame, i); /* without room it is read alone */
	}
	span_fetch(stream, &span);
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
