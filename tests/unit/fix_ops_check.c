// SPDX-License-Identifier: Apache-2.0
/* The oracle's judgement: what may be read, at any time and after a power loss. */
#include "tests/unit/fix_ops.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static bool same(const struct ops_version *version, const uint8_t *bytes, size_t size)
{
	return version->size == size && memcmp(version->bytes, bytes, size) == 0;
}

void ops_check(struct ops *ops)
{
	struct ops_moment found = {0};
	uint8_t *bytes = malloc(OPS_BYTES_MAX);

	assert_non_null(bytes);
	ops_look(ops, &found, NULL);
	if (!ops_same_moment(ops, &found, &ops->moments[ops->moment]))
		fail_msg("the names are not those of moment %u", ops->moment);
	for (unsigned i = 0; i < OPS_NAMES; i++) {
		struct ops_inode *inode = found.at[i] < 0 ? NULL : &ops->inodes[found.at[i]];
		size_t size;

		if (!inode || inode->folder)
			continue;
		size = ops_read(ops, inode, bytes);
		if (!same(&inode->versions[inode->nversions - 1], bytes, size))
			fail_msg("%s is not as it was: size %zu, should be %zu", ops_names[i].name,
				 size, inode->versions[inode->nversions - 1].size);
	}
	free(bytes);
}

static bool synced(const struct ops_step *step, int inode)
{
	if (step->rc != 0)
		return false;
	return step->op == 'S' || step->op == 'O' ||
	       (strchr("sf", step->op) && (inode < 0 || step->inode == inode));
}

/* The oldest version that may be read: what a sync that had returned had seen. */
static unsigned floor_of(const struct ops *ops, int inode, size_t step, unsigned moment)
{
	const struct ops_inode *file = &ops->inodes[inode];
	unsigned floor = 0;

	for (unsigned i = 0; i < ops->nsteps && ops->steps[i].begin <= step; i++) {
		if (ops->steps[i].end > step || !synced(&ops->steps[i], inode))
			continue;
		while (floor + 1 < file->nversions && file->versions[floor + 1].step < i)
			floor++;
	}
	if (file->named && file->named <= moment && floor < file->named_version)
		floor = file->named_version;
	return floor;
}

static bool bytes_known(const struct ops_inode *inode, unsigned floor, unsigned last,
			const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		bool one = false;

		for (unsigned v = floor; v <= last && !one; v++)
			one = i < inode->versions[v].size &&
			      inode->versions[v].bytes[i] == bytes[i];
		if (!one)
			return false;
	}
	return true;
}

/* Is it one of the versions, cut off no earlier than at any size it had since the floor? */
static bool content_good(const struct ops *ops, const struct ops_inode *inode, unsigned floor,
			 unsigned last, const uint8_t *bytes, size_t size)
{
	size_t least = inode->versions[floor].size;

	for (unsigned v = floor; v <= last; v++) {
		const struct ops_version *version = &inode->versions[v];

		if (version->size < least)
			least = version->size;
		if (size >= least && size <= version->size &&
		    memcmp(bytes, version->bytes, size) == 0)
			return true;
	}
	return ops->mixed && size >= least && bytes_known(inode, floor, last, bytes, size);
}

/* The files of one moment that has the names found; NULL: all good, or the name of one that is not.
 */
static const char *wrong_file(struct ops *ops, const struct ops_moment *found, unsigned moment,
			      size_t step, unsigned started)
{
	static uint8_t bytes[OPS_BYTES_MAX];

	for (unsigned i = 0; i < OPS_NAMES; i++) {
		struct ops_inode *inode = found->at[i] < 0 ? NULL : &ops->inodes[found->at[i]];
		unsigned last;
		size_t size;

		if (!inode || inode->folder)
			continue;
		last = inode->nversions - 1;
		while (last && inode->versions[last].step >= started)
			last--;
		size = ops_read(ops, inode, bytes);
		if (!content_good(ops, inode, floor_of(ops, found->at[i], step, moment), last,
				  bytes, size))
			return ops_names[i].name;
	}
	return NULL;
}

void ops_check_power(struct ops *ops, size_t step)
{
	unsigned earliest = 0, latest = 0, started = 0, match = 0;
	struct ops_moment found = {0};
	const char *wrong = NULL;

	for (; started < ops->nsteps && ops->steps[started].begin <= step; started++) {
		const struct ops_step *done = &ops->steps[started];

		latest = done->moment;
		if (done->end <= step && (synced(done, -1) || (done->op == 'k' && done->rc == 0)))
			earliest = latest;
	}
	ops_look(ops, &found, NULL);
	for (unsigned m = earliest; m <= latest; m++) {
		if (!ops_same_moment(ops, &found, &ops->moments[m]))
			continue;
		match++;
		wrong = wrong_file(ops, &found, m, step, started);
		if (!wrong)
			return;
	}
	if (!match)
		fail_msg("the names are of no moment from %u to %u", earliest, latest);
	fail_msg("%s: its bytes are of no version that it may have", wrong);
}
