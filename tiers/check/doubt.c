// SPDX-License-Identifier: Apache-2.0
/*
 * What the daemon lets go of is given back to the medium as soon as that is durable, which is in
 * its journal; the tree that is looked at has it until the next checkpoint. So a frame that cannot
 * be read counts once it is still in a tree that knows all that was durable when it was read: one
 * that two checkpoints have made since, or the one that is there when none was for twice as long as
 * a checkpoint takes to come.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "tiers/check/check_impl.h"
#include "tiers/clock.h"

#define POLL_NS 500000000ull

struct doubt {
	uint64_t frame, segment;
	uint32_t off;
};

int check_doubt_add(struct check *check, uint64_t frame, const struct frame_record *record)
{
	if (check->ndoubts == check->doubts_cap) {
		size_t cap = check->doubts_cap ? check->doubts_cap * 2 : 64;
		void *p = realloc(check->doubts, cap * sizeof(*check->doubts));

		if (!p)
			return -ENOMEM;
		check->doubts = p;
		check->doubts_cap = cap;
	}
	check->doubts[check->ndoubts++] = (struct doubt){frame, record->segment, record->off};
	return 0;
}

static int by_frame(const void *a, const void *b)
{
	const struct doubt *x = a, *y = b;

	return x->frame < y->frame ? -1 : x->frame > y->frame;
}

bool check_doubt_skips(const struct check *check, uint64_t frame)
{
	struct doubt key = {.frame = frame};

	return check->again && !bsearch(&key, check->doubts, check->ndoubts, sizeof(key), by_frame);
}

/* Is it still where it was? What has moved was read, and written anew. */
static bool still_there(struct check *check, const struct doubt *doubt)
{
	uint8_t key[KEY_LEN_1], value[RECORD_FRAME_LEN];
	struct frame_record record;
	size_t len;

	return meta_get(check->meta, key, key_1(key, KEY_FRAME, doubt->frame), value, sizeof(value),
			&len) == 0 &&
	       frame_record_decode(value, len, &record) == 0 && record.segment == doubt->segment &&
	       record.off == doubt->off;
}

static void drop_gone(struct check *check)
{
	size_t kept = 0;

	for (size_t i = 0; i < check->ndoubts; i++)
		if (still_there(check, &check->doubts[i]))
			check->doubts[kept++] = check->doubts[i];
	check->ndoubts = kept;
}

static int settle(struct check *check)
{
	static const struct timespec nap = {.tv_nsec = POLL_NS};
	uint64_t until = clock_mono_ns() + 2 * check->config->checkpoint_interval_ns + POLL_NS;
	uint64_t seq = check->look.seq;
	unsigned checkpoints = 0;
	int rc = 0;

	while (rc == 0 && check->ndoubts && checkpoints < 2 && clock_mono_ns() < until) {
		nanosleep(&nap, NULL);
		rc = check_open_look(check);
		if (rc < 0)
			break;
		checkpoints += check->look.seq != seq;
		seq = check->look.seq;
		drop_gone(check);
	}
	return rc;
}

int check_doubts(struct check *check, struct meta **meta)
{
	struct check_result before = *check->result;
	int rc = check->ndoubts ? settle(check) : 0;

	*meta = check->meta;
	if (rc < 0 || !check->ndoubts)
		return rc;
	check->again = true;
	rc = check_objects_and_frames(check);
	check->again = false;
	check->result->objects = before.objects;
	check->result->frames = before.frames;
	check->result->bytes = before.bytes;
	return rc;
}
