// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/fix_work.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "compress/bytes.h"
#include "tiers/meta.h"
#include "tiers/object.h"
#include "tiers/plain.h"
#include "tiers/pool_impl.h"

#define MOMENT_KEY "Zmoment"

static uint64_t rnd(struct work *work, uint64_t below)
{
	work->rng ^= work->rng << 13;
	work->rng ^= work->rng >> 7;
	work->rng ^= work->rng << 17;
	return (work->rng * 0x2545f4914f6cdd1du >> 11) % below;
}

/* Half of it compresses; no two runs of it are alike, and no byte is 0, which is a hole's. */
static void fill(struct work *work, uint8_t *p, size_t len)
{
	bool plain = rnd(work, 2);

	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(plain ? 1 + (work->rng >> (i / 64 % 8)) % 255
				       : 1 + rnd(work, 255));
	rnd(work, 2);
}

/* The model -------------------------------------------------------------------------------------
 */

static const struct work_version *current(const struct work_object *object)
{
	return &object->versions[object->nversions - 1];
}

static void model(struct work *work, bool begins)
{
	if (work->model)
		work->model(begins);
}

/* A copy of the current version of at least this size, zeros behind the end. */
static struct work_version draft(struct work *work, const struct work_object *object, size_t size)
{
	struct work_version version = {.step = work->now};
	size_t old = object->nversions ? current(object)->size : 0;

	version.size = size > old ? size : old;
	model(work, true);
	version.bytes = calloc(1, version.size + 1);
	model(work, false);
	assert_non_null(version.bytes);
	if (old)
		memcpy(version.bytes, current(object)->bytes, old);
	return version;
}

static void version_add(struct work *work, struct work_object *object, struct work_version version)
{
	model(work, true);
	object->versions =
		realloc(object->versions, (object->nversions + 1) * sizeof(*object->versions));
	model(work, false);
	assert_non_null(object->versions);
	object->versions[object->nversions++] = version;
}

static uint8_t *content(struct work *work, const struct work_object *model, size_t *size)
{
	uint8_t *bytes = malloc(2 * WORK_BYTES);
	struct object *object;
	int rc;

	assert_non_null(bytes);
	assert_int_equal(object_get(work->fix->pool, model->id, &object), 0);
	rc = object_read(object, bytes, 2 * WORK_BYTES, 0, size);
	assert_int_equal(rc, 0);
	assert_int_equal(*size, object_size(object));
	object_put(object);
	return bytes;
}

static bool same(const struct work_version *version, const uint8_t *bytes, size_t size)
{
	return version->size == size && memcmp(version->bytes, bytes, size) == 0;
}

/* One object's data step is over. After an error, which is it? */
static void data_done(struct work *work, struct work_object *object, struct work_version version,
		      int rc)
{
	size_t size;
	uint8_t *bytes;

	if (rc == 0) {
		version_add(work, object, version);
		return;
	}
	if (!work->pause)
		fail_msg("step %u: %s", work->now, strerror(-rc));
	work->pause(true);
	bytes = content(work, object, &size);
	if (same(&version, bytes, size))
		version_add(work, object, version);
	else {
		if (!same(current(object), bytes, size))
			fail_msg("a failed step %u has left neither the old nor the new content",
				 work->now);
		free(version.bytes);
	}
	free(bytes);
	work->pause(false);
}

static int check_rc(struct work *work, int rc)
{
	if (rc < 0 && !work->pause)
		fail_msg("step %u: %s", work->now, strerror(-rc));
	return rc;
}

/* Steps on names --------------------------------------------------------------------------------
 */

static void put_moment(struct work *work, struct txn *txn)
{
	uint8_t value[8];

	put_le64(value, work->moment + 1);
	txn_put(txn, MOMENT_KEY, strlen(MOMENT_KEY), value, sizeof(value));
}

static struct work_object *object_new(struct work *work, uint64_t id)
{
	struct work_object *object = &work->objects[work->nobjects++];

	assert_true(work->nobjects <= WORK_OBJECTS);
	*object = (struct work_object){
		.id = id, .created = work->moment, .wish = {.pin = -1, .rule = -1, .tier = -1}};
	version_add(work, object, draft(work, object, 0));
	return object;
}

static int create(struct work *work, unsigned slot, bool named)
{
	struct txn *txn;
	struct object *object;
	int rc;

	if (named)
		pool_order_gate(work->fix->pool);
	txn = txn_begin(work->fix->pool);
	object_create(txn, "attr", 4, &object);
	put_moment(work, txn);
	rc = txn_commit(txn);
	if (rc == 0) {
		work->moment++;
		object_new(work, object_id(object));
		work->slots[slot] = (int)work->nobjects - 1;
	}
	object_put(object);
	return check_rc(work, rc);
}

static int delete (struct work *work, struct work_object *model, unsigned slot)
{
	struct object *object;
	struct txn *txn;
	int rc = object_get(work->fix->pool, model->id, &object);

	if (rc < 0)
		return check_rc(work, rc);
	txn = txn_begin(work->fix->pool);
	object_delete(txn, object);
	put_moment(work, txn);
	rc = txn_commit(txn);
	object_put(object);
	if (rc == 0) {
		model->deleted = ++work->moment;
		work->slots[slot] = -1;
	}
	return check_rc(work, rc);
}

static int write_whole(struct work *work, struct work_object *model, uint64_t off, size_t len,
		       bool append)
{
	struct work_version version = draft(work, model, (size_t)off + len);
	struct object *object;
	uint64_t at;
	int rc = object_get(work->fix->pool, model->id, &object);

	fill(work, version.bytes + off, len);
	if (rc == 0) {
		rc = append ? object_append(object, version.bytes + off, len, &at)
			    : object_write(object, version.bytes + off, len, off);
		object_put(object);
	}
	data_done(work, model, version, rc);
	return rc;
}

static size_t some_len(struct work *work)
{
	return 1 + rnd(work, rnd(work, 3) ? 9000 : 120000);
}

static int turn(struct work *work, struct work_object *model, bool plain)
{
	struct object *object;
	int rc = object_get(work->fix->pool, model->id, &object);

	if (rc == 0) {
		model->plain |= plain;
		rc = plain ? object_make_plain(object, 1, NULL) : object_make_frames(object, NULL);
		object_put(object);
	}
	return check_rc(work, rc);
}

/* As an editor saves: a new file, written, renamed over the old name. */
static int replace(struct work *work, struct work_object *old, unsigned slot, bool plain)
{
	struct pool *pool = work->fix->pool;
	struct work_object *model;
	struct object *object, *gone;
	struct txn *txn;
	int rc = create(work, slot, true);

	if (rc < 0)
		return rc;
	model = &work->objects[work->slots[slot]];
	if (plain)
		rc = turn(work, model, true);
	if (rc < 0)
		return rc;
	rc = write_whole(work, model, 0, some_len(work), false);
	if (rc == 0)
		rc = object_get(pool, model->id, &object);
	if (rc < 0)
		return rc;
	rc = object_get(pool, old->id, &gone);
	if (rc == 0) {
		pool_order_gate(pool);
		txn = txn_begin(pool);
		object_order_before_sync(txn, object);
		object_delete(txn, gone);
		put_moment(work, txn);
		rc = txn_commit(txn);
		object_put(gone);
	}
	object_put(object);
	if (rc == 0) {
		old->deleted = model->named = ++work->moment;
		model->named_version = model->nversions - 1;
	}
	return check_rc(work, rc);
}

/* Steps on data ---------------------------------------------------------------------------------
 */

static int truncate_to(struct work *work, struct work_object *model, size_t size)
{
	struct work_version version = draft(work, model, size);
	struct object *object;
	int rc = object_get(work->fix->pool, model->id, &object);

	if (size < version.size)
		version.size = size;
	if (rc == 0) {
		rc = object_truncate(object, size);
		object_put(object);
	}
	data_done(work, model, version, rc);
	return rc;
}

static int punch(struct work *work, struct work_object *model)
{
	struct work_version version = draft(work, model, 0);
	size_t off = version.size / 4, len = version.size / 3 + 1;
	struct object *object;
	int rc = object_get(work->fix->pool, model->id, &object);

	for (size_t i = off; i < off + len && i < version.size; i++)
		version.bytes[i] = 0;
	if (rc == 0) {
		rc = object_punch(object, len, off);
		object_put(object);
	}
	data_done(work, model, version, rc);
	return rc;
}

static int clone_part(struct work *work, struct work_object *from, struct work_object *to)
{
	size_t size = current(from)->size, off = size / 4, len = size / 2, at = 1000;
	struct work_version version = draft(work, to, at + len);
	struct object *src, *dst;
	uint64_t done = 0;
	int rc = object_get(work->fix->pool, from->id, &src);

	if (rc == 0)
		rc = object_get(work->fix->pool, to->id, &dst);
	else
		src = dst = NULL;
	memcpy(version.bytes + at, current(from)->bytes + off, len);
	if (rc == 0 && len)
		rc = object_clone(src, off, dst, at, len, &done);
	if (rc == -EXDEV && (object_is_plain(src) || object_is_plain(dst))) {
		rc = object_write(dst, version.bytes + at, len, at); /* as the kernel copies */
		done = len;
	}
	object_put(src);
	object_put(dst);
	if (len == 0)
		version.size = to->nversions ? current(to)->size : 0;
	else if (rc == 0)
		assert_int_equal(done, len); /* so few extents go at once */
	data_done(work, to, version, rc);
	return rc;
}

static int sync_one(struct work *work, const struct work_object *model, bool data_only)
{
	struct object *object;
	int rc = object_get(work->fix->pool, model->id, &object);

	if (rc == 0) {
		rc = data_only ? object_sync_data(object) : object_sync(object);
		object_put(object);
	}
	return check_rc(work, rc);
}

/* As a truncation does, and the close of what was written to past us. */
static int store_times(struct work *work, const struct work_object *model)
{
	struct object *object;
	struct txn *txn;
	int rc = object_get(work->fix->pool, model->id, &object);

	if (rc == 0) {
		txn = txn_begin(work->fix->pool);
		object_times_set(txn, object, "attr", 4, INT64_MAX);
		rc = txn_commit(txn);
		if (rc == 0)
			rc = object_plain_settle(object);
		object_put(object);
	}
	return check_rc(work, rc);
}

static int data_step(struct work *work, char op, struct work_object *model, unsigned slot)
{
	size_t size = current(model)->size, len = some_len(work);
	unsigned next = (slot + 1) % WORK_SLOTS;

	switch (op) {
	case 'w':
		return write_whole(work, model, 0, len, false);
	case 'W':
		return write_whole(work, model, 0, 100000, false);
	case 'o':
		return write_whole(work, model, size / 3, len / 2 + 1, false);
	case 'a':
		return write_whole(work, model, size, len, true);
	case 't':
		return truncate_to(work, model, size / 2);
	case 'g':
		return truncate_to(work, model, size + len);
	case 'p':
		return punch(work, model);
	case 'l':
		return work->slots[next] < 0
			       ? 1
			       : clone_part(work, model, &work->objects[work->slots[next]]);
	case 's':
	case 'j':
		return sync_one(work, model, op == 'j');
	case 'm':
		return store_times(work, model);
	case 'x':
		return delete (work, model, slot);
	case 'r':
	case 'V':
		return replace(work, model, slot, op == 'V');
	case 'P':
	case 'F':
		return turn(work, model, op == 'P');
	default:
		fail_msg("no such step: %c", op);
		return 1;
	}
}

/* Steps on the pool -----------------------------------------------------------------------------
 */

static int reopen(struct work *work, bool crash)
{
	struct pool_open_options options = {.no_background = true};
	struct pool *pool = work->fix->pool;
	int rc = 0;

	work_hook(NULL);

	work->fix->pool = NULL;
	if (pool && crash)
		pool_abandon(pool);
	else if (pool)
		rc = pool_close(pool);
	check_rc(work, rc);
	if (work->pause)
		work->pause(true);
	fix_pool_config(work->fix);
	if (work->pause)
		work->pause(false);
	if (check_rc(work, pool_open(&work->fix->config, &options, &work->fix->pool)) < 0)
		return -EIO;
	return pool || crash ? rc : 1; /* what was not open has not been closed */
}

static int pool_step(struct work *work, char op)
{
	struct pool *pool = work->fix->pool;

	switch (op) {
	case 'C':
	case 'O':
		return reopen(work, op == 'C');
	case 'S':
		return check_rc(work, pool_sync(pool));
	case 'K':
		return check_rc(work, pool_checkpoint(pool));
	case 'R':
		pool_reclaim(pool);
		return 0;
	default:
		for (uint32_t t = 1; t < pool->config.ntiers; t++)
			appender_roll(pool->tiers[t].appender);
		return 0;
	}
}

static void step(struct work *work, char op, unsigned slot)
{
	struct work_step *now = &work->steps[work->nsteps];
	unsigned before = work->now;
	int object = work->slots[slot];

	assert_true(work->nsteps < WORK_STEPS && slot < WORK_SLOTS);
	work->now = work->nsteps++;
	*now = (struct work_step){.op = op, .object = object, .rc = 1, .end = SIZE_MAX};
	now->begin = work->clock ? work->clock() : 0;
	if (strchr("SKRLCO", op)) {
		if (work->fix->pool || op == 'C' || op == 'O')
			now->rc = pool_step(work, op);
	} else if (work_is_move(op)) {
		if (work->fix->pool)
			now->rc = check_rc(work, work_move(work, op, slot));
	} else if (op == 'c') {
		if (work->fix->pool && object < 0)
			now->rc = create(work, slot, false);
	} else if (work->fix->pool && object >= 0) {
		now->rc = data_step(work, op, &work->objects[object], slot);
	}
	now->end = work->clock ? work->clock() : 0;
	now->moment = work->moment;
	work->now = before;
}

static unsigned digit(char c)
{
	return c == '-' ? 0 : (unsigned)(c - '0');
}

void work_nested(struct work *work, char seam)
{
	const char *steps = work->nested;

	if (!steps || (seam && seam != work->seam))
		return;
	work->nested = NULL;
	for (unsigned i = 0; i < work->nnested; i++)
		step(work, steps[2 * i], digit(steps[2 * i + 1]));
}

void work_run(struct work *work, const char *steps)
{
	for (; steps[0]; steps += 2) {
		if (steps[0] == '^' || steps[0] == '%') {
			work->seam = steps[0];
			work->nnested = digit(steps[1]);
			work->nested = steps + 2;
			steps += 2 + 2 * (size_t)work->nnested;
		}
		step(work, steps[0], digit(steps[1]));
		work_nested(work, 0);
	}
	work_hook(NULL);
}

void work_init(struct work *work, struct fix_pool *fix)
{
	*work = (struct work){.fix = fix, .rng = 88172645463325252u};
	for (unsigned i = 0; i < WORK_SLOTS; i++)
		work->slots[i] = -1;
}

void work_release(struct work *work)
{
	for (unsigned i = 0; i < work->nobjects; i++) {
		for (unsigned v = 0; v < work->objects[i].nversions; v++)
			free(work->objects[i].versions[v].bytes);
		free(work->objects[i].versions);
	}
}

/* Checks ----------------------------------------------------------------------------------------
 */

static unsigned moment_read(struct work *work)
{
	uint8_t value[8];
	size_t len;
	int rc = meta_get(pool_meta(work->fix->pool), MOMENT_KEY, strlen(MOMENT_KEY), value,
			  sizeof(value), &len);

	if (rc == -ENOENT)
		return 0;
	assert_int_equal(rc, 0);
	return (unsigned)get_le64(value);
}

static bool exists(struct work *work, const struct work_object *model)
{
	struct object *object;
	int rc = object_get(work->fix->pool, model->id, &object);

	if (rc == 0)
		object_put(object);
	else
		assert_int_equal(rc, -ENOENT);
	return rc == 0;
}

void work_check(struct work *work)
{
	assert_int_equal(moment_read(work), work->moment);
	for (unsigned i = 0; i < work->nobjects; i++) {
		const struct work_object *model = &work->objects[i];
		size_t size;
		uint8_t *bytes;

		assert_int_equal(exists(work, model), !model->deleted);
		if (model->deleted)
			continue;
		bytes = content(work, model, &size);
		if (!same(current(model), bytes, size))
			fail_msg("object %u is not as it was: size %zu, should be %zu", i, size,
				 current(model)->size);
		free(bytes);
	}
}

/* The oldest version that may be read: what a sync that had returned had seen. */
static unsigned floor_of(const struct work *work, unsigned object, size_t step, unsigned moment)
{
	const struct work_object *model = &work->objects[object];
	unsigned floor = 0;

	for (unsigned i = 0; i < work->nsteps && work->steps[i].begin <= step; i++) {
		const struct work_step *done = &work->steps[i];
		bool all = done->op == 'S' || done->op == 'O';

		if (done->rc != 0 || done->end > step)
			continue;
		if (!all && !((done->op == 's' || done->op == 'j') && done->object == (int)object))
			continue;
		while (floor + 1 < model->nversions && model->versions[floor + 1].step < i)
			floor++;
	}
	if (model->named && model->named <= moment && floor < model->named_version)
		floor = model->named_version;
	return floor;
}

static bool synced(const struct work_step *step)
{
	return step->rc == 0 && strchr("sSOK", step->op);
}

/* Was every byte there in one of the versions? */
static bool bytes_known(const struct work_object *model, unsigned floor, unsigned last,
			const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		bool known = false;

		for (unsigned v = floor; v <= last && !known; v++)
			known = i < model->versions[v].size &&
				model->versions[v].bytes[i] == bytes[i];
		if (!known)
			return false;
	}
	return true;
}

/* Of a file that is not journalled: what has not changed since the floor is as it was; other bytes
 * are those of some version, or zeros. */
static bool bytes_plain(const struct work_object *model, unsigned floor, unsigned last,
			const uint8_t *bytes, size_t size)
{
	size_t most = 0;

	for (unsigned v = floor; v <= last; v++)
		most = model->versions[v].size > most ? model->versions[v].size : most;
	for (size_t i = 0; i < size; i++) {
		bool known = false, changed = false;

		for (unsigned v = floor; v <= last; v++) {
			const struct work_version *version = &model->versions[v];
			int byte = i < version->size ? version->bytes[i] : -1;

			known |= byte == bytes[i];
			changed |= v > floor && (i >= model->versions[floor].size ||
						 byte != model->versions[floor].bytes[i]);
		}
		if (!known && !(changed && bytes[i] == 0))
			return false;
	}
	return size <= most;
}

/* Is the content that of one version, cut off no earlier than at any size it had since the floor?
 */
static void check_content(struct work *work, unsigned object, unsigned floor, unsigned last)
{
	const struct work_object *model = &work->objects[object];
	size_t size, least = model->versions[floor].size;
	uint8_t *bytes = content(work, model, &size);
	bool good = false;

	for (unsigned v = floor; v <= last && !good; v++) {
		const struct work_version *version = &model->versions[v];

		if (version->size < least)
			least = version->size;
		good = size >= least && size <= version->size &&
		       memcmp(bytes, version->bytes, size) == 0;
	}
	if (!good && model->plain)
		good = size >= least && bytes_plain(model, floor, last, bytes, size);
	if (!good && work->mixed)
		good = size >= least && bytes_known(model, floor, last, bytes, size);
	if (!good)
		fail_msg("object %u: %zu bytes are of no version from %u (%zu bytes) to %u (%zu)",
			 object, size, floor, model->versions[floor].size, last,
			 model->versions[last].size);
	free(bytes);
}

void work_check_power(struct work *work, size_t step)
{
	unsigned moment = moment_read(work), earliest = 0, latest = 0, started = 0;

	for (; started < work->nsteps && work->steps[started].begin <= step; started++) {
		latest = work->steps[started].moment;
		if (work->steps[started].end <= step && synced(&work->steps[started]))
			earliest = latest;
	}
	if (moment < earliest || moment > latest)
		fail_msg("the namespace is that of moment %u, not of %u to %u", moment, earliest,
			 latest);
	for (unsigned i = 0; i < work->nobjects; i++) {
		const struct work_object *model = &work->objects[i];
		bool should =
			model->created <= moment && !(model->deleted && model->deleted <= moment);
		unsigned last = model->nversions - 1;

		if (exists(work, model) != should)
			fail_msg("moment %u: object %u %s", moment, i,
				 should ? "is missing" : "should not be there");
		if (!should)
			continue;
		while (last && model->versions[last].step >= started)
			last--;
		check_content(work, i, floor_of(work, i, step, moment), last);
	}
}
