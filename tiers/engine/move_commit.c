// SPDX-License-Identifier: Apache-2.0
/*
 * Committing a move: redirects of several objects go into one transaction, with their data locks
 * held (in the order of ids), so that ten thousand small files do not need ten thousand commits.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/engine/engine_impl.h"
#include "tiers/engine/events.h"
#include "tiers/engine/move_impl.h"
#include "tiers/extmap.h"
#include "tiers/log.h"

#define OBJECTS_A_COMMIT   32u /* data locks held at once */
#define REDIRECTS_A_COMMIT 512u

static int by_redirect(const void *a, const void *b)
{
	const struct redirect *x = a, *y = b;

	if (x->object->id != y->object->id)
		return x->object->id < y->object->id ? -1 : 1;
	return x->off < y->off ? -1 : x->off > y->off;
}

/* The parts of the range that still point to where they did, as extents of the new frame. */
static int still_there(const struct redirect *redirect, const struct extent_list *now,
		       struct extent_list *add)
{
	for (size_t i = 0; i < now->count; i++) {
		const struct extent *extent = &now->items[i];
		uint64_t from = extent->off > redirect->off ? extent->off : redirect->off;
		uint64_t end = extent->off + extent->len < redirect->off + redirect->len
				       ? extent->off + extent->len
				       : redirect->off + redirect->len;
		int rc;

		if (from >= end || extent->frame != redirect->source->id ||
		    extent->frame_off + (from - extent->off) !=
			    redirect->old_off + (from - redirect->off))
			continue;
		rc = extent_list_add(
			add, &(struct extent){.off = from,
					      .frame = redirect->build->id,
					      .len = (uint32_t)(end - from),
					      .frame_off = redirect->build_off +
							   (uint32_t)(from - redirect->off)});
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Redirects of one object into the transaction. */
static int stage_object(struct txn *txn, const struct redirect *redirects, size_t n,
			uint64_t *moved)
{
	struct object *object = redirects[0].object;
	struct extent_list now = {0}, add = {0};
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		const struct redirect *redirect = &redirects[i];
		size_t before = add.count;

		if (redirect->build->error)
			continue;
		now.count = 0;
		rc = extmap_list(object, redirect->off, redirect->off + redirect->len, SIZE_MAX,
				 &now);
		if (rc == 0)
			rc = still_there(redirect, &now, &add);
		if (rc == 0 && add.count > before) {
			if (frame_build_stage(txn, redirect->build))
				redirect->build->staged = true;
			else
				add.count = before;
		}
		for (size_t k = before; rc == 0 && k < add.count; k++) {
			*moved += add.items[k].len;
			if (redirect->shared)
				extmap_note_shared(txn, object, &add.items[k]);
		}
	}
	if (rc == 0)
		rc = extmap_overlay(txn, object, add.items, add.count);
	extent_list_release(&now);
	extent_list_release(&add);
	return rc;
}

/* How many of redirects[0..n) belong to the first one's object. */
static size_t same_object(const struct redirect *redirects, size_t n)
{
	size_t k = 1;

	while (k < n && redirects[k].object == redirects[0].object)
		k++;
	return k;
}

static int stage_all(struct txn *txn, const struct redirect *redirects, size_t n, uint64_t *moved)
{
	int rc = 0;

	for (size_t i = 0, k; i < n && rc == 0; i += k) {
		k = same_object(&redirects[i], n - i);
		if (!redirects[i].object->deleted)
			rc = stage_object(txn, &redirects[i], k, moved);
	}
	return rc;
}

/* In one transaction, or in several where its batch would be larger than the metadata store takes.
 * Data locks held. */
static int commit_some(struct move *move, const struct redirect *redirects, size_t n)
{
	struct txn *txn = txn_begin(move->pool);
	uint64_t moved = 0;
	int rc = stage_all(txn, redirects, n, &moved);

	if (rc < 0)
		txn_abort(txn);
	else
		rc = txn_commit(txn);
	/* A file that was deleted meanwhile takes the others with it: each for itself, then. */
	if ((rc == -E2BIG || rc == -ENOENT) && n > 1) {
		for (size_t i = 0; i < n; i++)
			redirects[i].build->staged = false;
		rc = commit_some(move, redirects, n / 2);
		return rc < 0 ? rc : commit_some(move, redirects + n / 2, n - n / 2);
	}
	for (size_t i = 0; i < n; i++) {
		redirects[i].build->created |= redirects[i].build->staged && rc == 0;
		redirects[i].build->staged = false;
	}
	if (rc == 0)
		move->result->moved += moved;
	return rc == -ENOENT ? 0 : rc;
}

/* One event for what lies together in an object and comes from and goes to the same tiers. */
static void tell(struct move *move, const struct redirect *redirects, size_t n)
{
	for (size_t i = 0, k; i < n; i = k) {
		const struct redirect *first = &redirects[i];
		struct event event = {.kind = EVENT_MOVE,
				      .object = first->object->id,
				      .off = first->off,
				      .from = first->source->record.tier,
				      .to = move->request->to,
				      .reason = move->request->reason};

		for (k = i; k < n && redirects[k].object == first->object &&
			    redirects[k].source->record.tier == first->source->record.tier &&
			    redirects[k].off == first->off + event.len;
		     k++) {
			event.len += redirects[k].len;
			event.before +=
				extent_share(redirects[k].len, &redirects[k].source->record);
			event.after += extent_share(redirects[k].len, &redirects[k].build->record);
			if (redirects[k].build->error)
				event.error = redirects[k].build->error;
		}
		if (!event.error)
			events_add(move->pool->events, &event);
	}
}

static void commit_group(struct move *move, const struct redirect *redirects, size_t n)
{
	struct object *locked[OBJECTS_A_COMMIT];
	size_t nlocked = 0;
	int rc;

	for (size_t i = 0, k; i < n; i += k) {
		k = same_object(&redirects[i], n - i);
		locked[nlocked++] = redirects[i].object;
		pthread_rwlock_wrlock(&redirects[i].object->data_lock);
	}
	rc = commit_some(move, redirects, n);
	for (size_t i = nlocked; i-- > 0;)
		pthread_rwlock_unlock(&locked[i]->data_lock);
	if (rc < 0) {
		log_error("%s: a move cannot be committed: %s", move->pool->config.name,
			  strerror(-rc));
		move->result->commit_error = rc;
		move_fail(move, rc);
		return;
	}
	for (size_t i = 0; i < nlocked; i++)
		pool_moved(move->pool, locked[i]->id);
	tell(move, redirects, n);
}

/* A source of which something could not be written, or not be kept, has not moved. */
static void mark_failed(struct move *move)
{
	const struct redirect *redirects = move->redirects.items;

	for (size_t i = 0; i < move->redirects.count; i++)
		if (redirects[i].build->error)
			move->sources[redirects[i].source - move->sources].error =
				redirects[i].build->error;
}

void move_commit(struct move *move)
{
	struct redirect *redirects = move->redirects.items;
	struct frame_build **builds = move->builds.items;
	uint64_t written = 0;

	if (move->redirects.count)
		qsort(redirects, move->redirects.count, sizeof(*redirects), by_redirect);
	for (size_t i = 0, n; i < move->redirects.count && !move->result->commit_error; i += n) {
		size_t objects = 0;

		for (n = 0; i + n < move->redirects.count && objects < OBJECTS_A_COMMIT &&
			    (n < REDIRECTS_A_COMMIT || objects == 0);
		     objects++)
			n += same_object(&redirects[i + n], move->redirects.count - i - n);
		commit_group(move, &redirects[i], n);
	}
	for (size_t i = 0; i < move->builds.count; i++)
		if (builds[i]->created)
			written += builds[i]->record.stored_len;
	move->result->written += written;
	move->pool->moved_bytes += written;
	mark_failed(move);
	engine_note_moved(move);
}
