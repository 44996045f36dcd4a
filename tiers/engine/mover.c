// SPDX-License-Identifier: Apache-2.0
#include "tiers/engine/mover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/clock.h"
#include "tiers/engine/engine_impl.h"
#include "tiers/engine/move_impl.h"
#include "tiers/extmap.h"
#include "tiers/log.h"
#include "tiers/readbuf.h"

#define LIST_MAX 4096u /* extents of an object looked at in one go */

void *move_list_add(struct list *list, const void *item)
{
	if (list->count == list->cap) {
		size_t cap = list->cap ? list->cap * 2 : 32;
		void *p = realloc(list->items, cap * list->size);

		if (!p)
			return NULL;
		list->items = p;
		list->cap = cap;
	}
	return memcpy((char *)list->items + list->count++ * list->size, item, list->size);
}

void move_fail(struct move *move, int error)
{
	if (!move->error)
		move->error = error;
}

/* Sources ----------------------------------------------------------------------------------------
 */

/* A source may be freed, and punched, while it is read: then it is no longer anybody's, and no
 * damage. */
static bool source_gone(struct move *move, const struct source *source)
{
	struct frame_record record;

	return frame_record_get(move->pool, source->id, &record) == -ENOENT;
}

static void source_failed(struct move *move, const struct source *source)
{
	if (move->progress)
		move->progress->frames_failed++;
	log_error("tier %s, segment %llu, offset %u: frame %llu cannot be moved: %s",
		  move->pool->config.tiers[source->record.tier].name,
		  (unsigned long long)source->record.segment, source->record.off,
		  (unsigned long long)source->id, error_text(source->error));
	if (source->error != -EBADMSG && source->error != -ENOMEM && !move->result->read_error)
		move->result->read_error = source->error;
	move_fail(move, source->error);
}

/* Who uses a source ------------------------------------------------------------------------------
 */

bool move_allowed(const struct object_policy *policy, int from, int to, enum move_reason reason,
		  uint32_t ntiers)
{
	int last = (int)ntiers - 1;

	if (reason == REASON_EVACUATE || reason == REASON_ASKED || reason == REASON_MEND)
		return true;
	if (policy->ignore)
		return false;
	if (policy->never_tiers & 1u << to)
		return false;
	if (from == to || reason == REASON_PIN || reason == REASON_STATE || reason == REASON_RULE)
		return true;
	if (policy->pin >= 0)
		return policy->pin == to;
	if (policy->state == OBJECT_ARCHIVED)
		return to == last;
	return policy->tier < 0 || policy->tier == to;
}

/* The object with its policy, held until the end of the move; -ENOENT. */
static int object_of(struct move *move, const struct source *source, uint64_t id,
		     struct move_object **out)
{
	struct move_object *found = idmap_get(&move->objects, id);
	int rc;

	*out = found;
	if (found)
		return 0;
	found = malloc(sizeof(*found));
	if (!found)
		return -ENOMEM;
	rc = object_get(move->pool, id, &found->object);
	if (rc == 0) {
		rc = idmap_put(&move->objects, id, found);
		if (rc < 0)
			object_put(found->object);
	}
	if (rc < 0) {
		free(found);
		return rc;
	}
	pool_policy(move->pool, id, heat_age_s(source->heat, clock_wall_s()), &found->policy);
	*out = found;
	return 0;
}

/* Nothing of it is in the move. */
static void object_drop(struct move *move, struct move_object *object)
{
	idmap_del(&move->objects, object->object->id);
	object_put(object->object);
	free(object);
}

static bool wanted(const struct move *move, const struct source *source,
		   const struct move_object *object)
{
	const struct move_request *request = move->request;

	if (request->only)
		return idmap_get(request->only, object->object->id) != NULL;
	return move_allowed(&object->policy, source->record.tier, request->to, request->reason,
			    move->pool->config.ntiers);
}

/* Of one piece of the object's map. *off: where the next one begins; it stays where there is no
 * room for another user. */
static int users_some(struct move *move, struct source *source, struct move_object *owner,
		      uint64_t *off, uint64_t end)
{
	struct extent_list list = {0};
	int rc;

	pthread_rwlock_rdlock(&owner->object->data_lock);
	rc = extmap_list(owner->object, *off, end, LIST_MAX, &list);
	pthread_rwlock_unlock(&owner->object->data_lock);
	for (size_t i = 0; rc == 0 && i < list.count; i++) {
		const struct extent *extent = &list.items[i];

		if (extent->frame == source->id &&
		    extent->frame_off + (uint64_t)extent->len <= source->record.raw_len) {
			source->more = move->users.count >= move->users_max;
			if (source->more)
				break;
			if (!move_list_add(&move->users, &(struct user){source, owner, *extent}))
				rc = -ENOMEM;
		}
		*off = extent->off + extent->len;
	}
	if (rc == 0 && !source->more && list.count < LIST_MAX)
		*off = end;
	extent_list_release(&list);
	return rc;
}

/* The object's extents in [*off, end) that point into the source; *off: up to where they have been
 * looked at, which is less than end when source->more. */
static int users_in(struct move *move, struct source *source, uint64_t id, uint64_t *off,
		    uint64_t end)
{
	size_t before = move->users.count;
	uint64_t from = *off;
	struct move_object *owner;
	bool known = idmap_get(&move->objects, id);
	int rc = object_of(move, source, id, &owner);

	if (rc == 0 && wanted(move, source, owner))
		while (rc == 0 && !source->more && from < end)
			rc = users_some(move, source, owner, &from, end);
	*off = source->more ? from : end;
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	if (!known && move->users.count == before)
		object_drop(move, owner);
	return 0;
}

/* Records come by object and offset. Their ranges may overlap (clones laid over clones): each part
 * of an object is looked at once, or the users found would be their number squared. */
static int users_shared(struct move *move, struct source *source)
{
	uint8_t prefix[KEY_LEN_1], start[KEY_LEN_2];
	struct scan *scan = &source->scan;
	struct meta_cursor *cursor;
	struct meta_item item;
	int rc = meta_cursor_open(move->pool->meta, prefix, key_1(prefix, KEY_SHARED, source->id),
				  start, key_2(start, KEY_SHARED, source->id, scan->object),
				  &cursor);

	if (rc < 0)
		return rc;
	while (rc == 0 && !source->more && (rc = meta_cursor_next(cursor, &item)) == 0) {
		uint64_t off, end;

		if (item.key_len != KEY_LEN_3 || item.len != 8)
			continue;
		off = get_be64(item.key + KEY_LEN_2);
		end = get_le64(item.value);
		end = end > UINT64_MAX - off ? UINT64_MAX : off + end;
		if (get_be64(item.key + KEY_LEN_1) != scan->object)
			scan->off = 0;
		scan->object = get_be64(item.key + KEY_LEN_1);
		off = off > scan->off ? off : scan->off;
		if (off >= end)
			continue;
		scan->off = off;
		rc = users_in(move, source, scan->object, &scan->off, end);
	}
	meta_cursor_close(cursor);
	return rc == -ENOENT ? 0 : rc;
}

static int by_place(const void *a, const void *b)
{
	const struct user *x = a, *y = b;

	if (x->extent.frame_off != y->extent.frame_off)
		return x->extent.frame_off < y->extent.frame_off ? -1 : 1;
	if (x->owner->object->id != y->owner->object->id)
		return x->owner->object->id < y->owner->object->id ? -1 : 1;
	return x->extent.off < y->extent.off ? -1 : x->extent.off > y->extent.off;
}

/* The users of one source from the first-th on: sorted, each once (extents grow together in the
 * map: the same one may have been found by several names), and the union of their bytes as pieces.
 */
static int pieces_of(struct move *move, struct source *source, size_t first)
{
	struct user *users = move->users.items;
	uint64_t packed = 0; /* source bytes below this are in pieces */
	size_t kept = first;

	if (move->users.count == first)
		return 0;
	qsort(users + first, move->users.count - first, sizeof(*users), by_place);
	for (size_t i = first; i < move->users.count; i++)
		if (kept == first || by_place(&users[kept - 1], &users[i]) != 0)
			users[kept++] = users[i];
	move->users.count = kept;
	source->used = true;
	for (size_t i = first; i < kept; i++) {
		uint64_t from = users[i].extent.frame_off, end = from + users[i].extent.len;
		struct piece piece = {.source = source, .owner = users[i].owner};

		if (from < packed)
			from = packed;
		if (from >= end)
			continue;
		piece.off = (uint32_t)from;
		piece.len = (uint32_t)(end - from);
		piece.object_off = users[i].extent.off + (from - users[i].extent.frame_off);
		if (!move_list_add(&move->pieces, &piece))
			return -ENOMEM;
		packed = end;
	}
	return 0;
}

static int find_users(struct move *move, struct source *source)
{
	struct scan *scan = &source->scan;
	size_t first = move->users.count;
	int rc = 0;

	for (; rc == 0 && scan->named < source->header.nextents; scan->named += !source->more) {
		const struct frame_extent *extent = &source->header.extents[scan->named];
		uint64_t off = extent->offset;

		rc = users_in(move, source, extent->object, &off, off + extent->length);
		if (source->more)
			break;
	}
	if (rc == 0 && !source->more && source->record.shared)
		rc = users_shared(move, source);
	if (rc == 0)
		rc = pieces_of(move, source, first);
	if (rc == 0 && !source->used && !source->more && !source->again)
		move->result->held++;
	return rc;
}

static void tell(struct move *move, const struct source *source, int error)
{
	struct move_left left = {.frame = source->id,
				 .raw_len = source->record.raw_len,
				 .stored_len = source->record.stored_len,
				 .error = error};

	if (source->header.nextents)
		left.object = source->header.extents[0].object;
	if (move->request->left)
		move->request->left(move->request->arg, &left);
}

/* Tells of the sources of which nothing has moved: damaged, not allowed to, or no room. */
static void tell_left(struct move *move)
{
	for (size_t i = 0; i < move->nsources; i++) {
		const struct source *source = &move->sources[i];

		if ((source->used || source->more || source->again) && !source->error)
			continue;
		if (source->error && !source->used && source_gone(move, source))
			continue;
		if (source->error == -ESTALE) /* the copy was freed again: the next pass sees */
			continue;
		tell(move, source, source->error);
	}
}

/* Counts and tells of those whose next round does not come. */
static void tell_more(struct move *move)
{
	for (size_t i = 0; i < move->nsources; i++) {
		if (!move->sources[i].more || move->sources[i].error)
			continue;
		move->result->frames++;
		tell(move, &move->sources[i], -EAGAIN);
	}
}

/* The move ---------------------------------------------------------------------------------------
 */

static int move_new(struct pool *pool, const struct move_request *request,
		    struct move_progress *progress, struct move_result *result, struct move **out)
{
	struct move *move = calloc(1, sizeof(*move));
	int rc = -ENOMEM;

	if (move)
		rc = job_group_new(&move->group);
	if (rc < 0) {
		free(move);
		return rc;
	}
	move->pool = pool;
	move->request = request;
	move->progress = progress;
	move->result = result;
	move->users_max = request->users_max ? request->users_max : MOVE_USERS_MAX;
	move->mark = appender_mark(pool->tiers[request->to].appender);
	move->users.size = sizeof(struct user);
	move->pieces.size = sizeof(struct piece);
	move->runs.size = sizeof(struct run);
	move->builds.size = sizeof(struct frame_build *);
	move->redirects.size = sizeof(struct redirect);
	idmap_init(&move->objects);
	*out = move;
	return 0;
}

/* All but the sources' places: a round that has ended needs none of it. */
static void round_release(struct move *move)
{
	struct frame_build **builds = move->builds.items;
	struct move_object *object;
	size_t at = 0;

	for (size_t i = 0; i < move->builds.count; i++) {
		if (!builds[i]->created)
			frame_build_discard(builds[i]);
		frame_build_free(builds[i]);
	}
	move->builds.count = 0;
	while ((object = idmap_each(&move->objects, &at))) {
		object_put(object->object);
		free(object);
	}
	idmap_release(&move->objects);
	readbuf_put(move->pool->engine->batches, move->raw);
	move->raw = NULL;
}

static void move_free(struct move *move)
{
	round_release(move);
	for (size_t i = 0; i < move->nsources; i++)
		frame_header_release(&move->sources[i].header);
	free(move->sources);
	free(move->spans);
	free(move->order);
	free(move->users.items);
	free(move->pieces.items);
	free(move->runs.items);
	free(move->builds.items);
	free(move->redirects.items);
	job_group_free(move->group);
	free(move);
}

/* Who uses the sources, which are loaded; what is to move is being coded when it returns. */
static int move_code(struct move *move)
{
	int rc = 0;

	for (size_t i = 0; i < move->nsources && rc == 0; i++) {
		struct source *source = &move->sources[i];

		if (source->error && source_gone(move, source))
			continue;
		if (source->error)
			source_failed(move, source);
		else
			rc = find_users(move, source);
	}
	return rc == 0 ? move_pack(move) : rc;
}

/* What its jobs have to do is waited for whatever happened: they read from the sources. */
static void end_locked(struct move *move)
{
	for (; move->stage != MOVE_VERIFYING; move->stage++) {
		job_group_wait(move->group);
		if (move->stage == MOVE_CODING)
			move_make_durable(move);
	}
	job_group_wait(move->group);
	move_builds_done(move);
	if (move->unprepared) {
		move_fail(move, move->unprepared);
	} else {
		move_commit(move);
		tell_left(move);
	}
	for (size_t i = 0; i < move->nsources; i++)
		move->result->frames += !move->sources[i].more;
	move->ended = true;
}

/* Is there another round to come? */
static bool has_more(const struct move *move)
{
	bool more = false;

	if (move->unprepared || move->result->commit_error ||
	    (move->progress && move->progress->cancel) || move->pool->stopping)
		return false;
	for (size_t i = 0; i < move->nsources; i++)
		more |= move->sources[i].more && !move->sources[i].error;
	return more;
}

/* Ends a round whose sources have more; true: the next one's are being read. One that has moved
 * nothing, as all of it was changed meanwhile, is a round as any other. */
static bool next_round(struct move **at)
{
	struct move *move = *at, *next;
	const struct move_request *request = move->request;
	struct pool *pool = move->pool;

	pthread_mutex_lock(&pool->move_lock);
	end_locked(move);
	pthread_mutex_unlock(&pool->move_lock);
	round_release(move);
	if (request->again && !request->again(request->arg))
		return false;
	if (!has_more(move))
		return false;
	if (move_new(pool, request, move->progress, move->result, &next) < 0) {
		move_fail(move, -ENOMEM);
		return false;
	}
	next->error = move->error;
	pthread_mutex_lock(&pool->move_lock);
	next->unprepared = move_load(next, move);
	pthread_mutex_unlock(&pool->move_lock);
	move_free(move);
	*at = next;
	return true;
}

int move_begin(struct pool *pool, const struct move_request *request,
	       struct move_progress *progress, struct move_result *result, struct move **out)
{
	int rc = move_new(pool, request, progress, result, out);

	if (rc < 0) {
		*out = NULL;
		result->error = result->error ? result->error : rc;
		return rc;
	}
	pthread_mutex_lock(&pool->move_lock);
	(*out)->unprepared = move_load(*out, NULL);
	pthread_mutex_unlock(&pool->move_lock);
	return 0;
}

static void step_locked(struct move *move)
{
	if (move->stage++ != MOVE_LOADING)
		move_make_durable(move);
	else if (!move->unprepared)
		move->unprepared = move_code(move);
}

void move_step(struct move **at)
{
	struct pool *pool = (*at)->pool;
	bool coded;

	do {
		struct move *move = *at;

		if (move->stage == MOVE_VERIFYING)
			return;
		job_group_wait(move->group);
		pthread_mutex_lock(&pool->move_lock);
		coded = move->stage == MOVE_LOADING;
		step_locked(move);
		pthread_mutex_unlock(&pool->move_lock);
	} while (coded && has_more(*at) && next_round(at));
}

int move_finish(struct move *move)
{
	struct move_result *result = move->result;
	struct pool *pool = move->pool;
	int rc;

	while (move->stage != MOVE_VERIFYING)
		move_step(&move);
	job_group_wait(move->group);
	if (!move->ended) {
		pthread_mutex_lock(&pool->move_lock);
		end_locked(move);
		pthread_mutex_unlock(&pool->move_lock);
	}
	tell_more(move);
	rc = move->error;
	if (!result->error)
		result->error = rc;
	move_free(move);
	return rc;
}

int move_frames(struct pool *pool, const struct move_request *request,
		struct move_progress *progress, struct move_result *result)
{
	struct move *move;
	int rc = move_begin(pool, request, progress, result, &move);

	return rc < 0 ? rc : move_finish(move);
}
