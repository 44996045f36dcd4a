// SPDX-License-Identifier: Apache-2.0
/*
 * Sources of a move. Those that lie one behind the other are fetched in one access: a file that was
 * written at once is frames of some ten KB in a row, and an access for each keeps the medium
 * waiting longer than it works.
 *
 * Nothing of such an access is final: whatever goes wrong with it, frame_load() reads each source
 * by itself, from each copy, and says what is damaged.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "tiers/engine/engine_impl.h"
#include "tiers/engine/move_impl.h"
#include "tiers/frame_run.h"
#include "tiers/readbuf.h"

/* Of one access: some for each processor in a batch. */
#define RUN_BYTES (512u << 10)

/* Sources that one job loads. */
struct span {
	struct pool *pool;
	struct frame_run run;
	struct source *const *sources;
	size_t n;
};

static int source_load(struct source *source, const uint8_t *stored, struct codec_scratch *scratch)
{
	if (stored && frame_load_stored(source->id, &source->record, stored, scratch,
					&source->header, source->raw) == 0)
		return 0;
	return frame_load(source->pool, source->id, &source->record, scratch, &source->header,
			  source->raw);
}

static int span_load(void *arg, struct codec_scratch *scratch)
{
	struct span *span = arg;
	uint8_t *buf = span->n > 1 ? readbuf_get(span->pool->readbufs) : NULL;
	bool there = buf && frame_run_fetch(span->pool, &span->run, buf) == 0;

	for (size_t i = 0; i < span->n; i++) {
		struct source *source = span->sources[i];
		const uint8_t *stored =
			there ? frame_run_at(&span->run, &source->record, buf) : NULL;

		source->error = source_load(source, stored, scratch);
	}
	readbuf_put(span->pool->readbufs, buf);
	return 0; /* each source's error is its own */
}

/* Freed meanwhile, or there already: no source. */
static void source_add(struct move *move, uint64_t frame, const struct source *before)
{
	const struct move_request *request = move->request;
	struct source *source = &move->sources[move->nsources];
	struct pool *pool = move->pool;

	*source = (struct source){.pool = pool, .id = frame};
	if (before) {
		source->scan = before->scan;
		source->again = before->again || before->used;
	}
	if (frame_record_get(pool, frame, &source->record) < 0 ||
	    (source->record.tier == request->to && !request->rewrite))
		return;
	source->heat = heat_of(pool->heat, frame, frame_record_heat(&source->record));
	source->raw = move->raw + move->raw_len;
	move->raw_len += source->record.raw_len;
	assert(move->raw_len <= MOVE_BATCH_BYTES);
	move->order[move->nsources++] = source;
}

/* One frame always fits; true: it is the span's last now. */
static bool span_add(struct span *span, const struct source *source)
{
	if (!span->n)
		frame_run_add(&span->run, source->id, &source->record, READBUF_BYTES);
	else if (!frame_run_add(&span->run, source->id, &source->record, RUN_BYTES))
		return false;
	span->n++;
	return true;
}

static void span_submit(struct move *move, struct span *span)
{
	if (span->n)
		workers_submit(move->pool->workers, move->request->reads, move->group, span_load,
			       span);
}

/* As they lie: frames that were coded side by side are in the order in which they were ready. */
static int by_medium(const void *a, const void *b)
{
	const struct frame_record *x = &(*(struct source *const *)a)->record;
	const struct frame_record *y = &(*(struct source *const *)b)->record;

	if (x->tier != y->tier)
		return x->tier < y->tier ? -1 : 1;
	if (x->segment != y->segment)
		return x->segment < y->segment ? -1 : 1;
	return x->off < y->off ? -1 : x->off > y->off;
}

static void load_all(struct move *move)
{
	struct span *span = move->spans;

	qsort(move->order, move->nsources, sizeof(struct source *), by_medium);
	for (size_t i = 0; i < move->nsources; i++) {
		if (span->n && !span_add(span, move->order[i]))
			span_submit(move, span++);
		if (span->n)
			continue;
		*span = (struct span){.pool = move->pool, .sources = &move->order[i]};
		span_add(span, move->order[i]);
	}
	span_submit(move, span);
}

int move_load(struct move *move, const struct move *before)
{
	const struct move_request *request = move->request;

	move->spans = calloc(request->n, sizeof(*move->spans));
	move->order = calloc(request->n, sizeof(struct source *));
	move->sources = calloc(request->n, sizeof(*move->sources));
	move->raw = readbuf_get(move->pool->engine->batches);
	if (!move->spans || !move->order || !move->sources || !move->raw)
		return -ENOMEM;
	for (size_t i = 0; before && i < before->nsources; i++)
		if (before->sources[i].more && !before->sources[i].error)
			source_add(move, before->sources[i].id, &before->sources[i]);
	for (size_t i = 0; !before && i < request->n; i++)
		source_add(move, request->frames[i], NULL);
	load_all(move);
	return 0;
}
