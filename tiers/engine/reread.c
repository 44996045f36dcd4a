// SPDX-License-Identifier: Apache-2.0
/*
 * A piece hashes to a set of WAYS entries, a cache line; a newcomer takes the one that is oldest.
 * The time kept is when a touch began, not its last read: else what is read every second would
 * never be read "again".
 */
#include "tiers/engine/reread.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "tiers/engine/heat.h"

#define WAYS   8u
#define SETS   (REREAD_ENTRIES / WAYS)
#define SHARDS 64u

struct entry {
	uint32_t fingerprint, began_s; /* 0, 0: free */
};
_Static_assert(sizeof(struct entry) == 8, "as the header says");

struct reread {
	pthread_mutex_t locks[SHARDS]; /* of the sets: set % SHARDS */
	struct entry entries[REREAD_ENTRIES];
};

int reread_new(struct reread **out)
{
	struct reread *reread = calloc(1, sizeof(*reread));

	*out = reread;
	if (!reread)
		return -ENOMEM;
	for (unsigned i = 0; i < SHARDS; i++)
		pthread_mutex_init(&reread->locks[i], NULL);
	return 0;
}

void reread_free(struct reread *reread)
{
	if (!reread)
		return;
	for (unsigned i = 0; i < SHARDS; i++)
		pthread_mutex_destroy(&reread->locks[i]);
	free(reread);
}

/* The finaliser of MurmurHash3 (public domain): every bit of the key reaches every bit. */
static uint64_t mix(uint64_t key)
{
	key = (key ^ (key >> 33)) * UINT64_C(0xFF51AFD7ED558CCD);
	key = (key ^ (key >> 33)) * UINT64_C(0xC4CEB9FE1A85EC53);
	return key ^ (key >> 33);
}

/* The piece's entry, or the one a newcomer takes: free, else the oldest. */
static struct entry *look(struct entry *set, uint32_t fingerprint, bool *known)
{
	struct entry *best = set;

	*known = false;
	for (unsigned i = 0; i < WAYS; i++) {
		if (set[i].began_s && set[i].fingerprint == fingerprint) {
			*known = true;
			return &set[i];
		}
		if (set[i].began_s < best->began_s)
			best = &set[i];
	}
	return best;
}

static bool note(struct entry *set, uint32_t fingerprint, bool scan, uint32_t now_s,
		 uint32_t window_s)
{
	bool known;
	struct entry *entry = look(set, fingerprint, &known);
	uint32_t age = now_s > entry->began_s ? now_s - entry->began_s : 0;

	if (!known) {
		if (scan && entry->began_s && age <= window_s)
			return false;
		*entry = (struct entry){fingerprint, now_s};
		return false;
	}
	if (age <= HEAT_SAME_TOUCH_S && now_s >= entry->began_s)
		return false;
	entry->began_s = now_s;
	return !scan && age > HEAT_SAME_TOUCH_S && age <= window_s;
}

bool reread_note(struct reread *reread, uint64_t object, uint64_t off, bool scan, uint32_t now_s,
		 uint32_t window_s)
{
	uint64_t hash = mix(mix(object) + off / REREAD_PIECE);
	size_t set = hash % SETS;
	bool evidence;

	pthread_mutex_lock(&reread->locks[set % SHARDS]);
	evidence = note(&reread->entries[set * WAYS], (uint32_t)(hash >> 32), scan,
			now_s ? now_s : 1, window_s);
	pthread_mutex_unlock(&reread->locks[set % SHARDS]);
	return evidence;
}

bool reread_is_scan(struct reread_run *run, uint64_t off, uint64_t len)
{
	uint64_t behind = 0, ahead = 0; /* where the read begins, seen from the end of the run */

	if (off < run->end)
		behind = run->end - off;
	else
		ahead = off - run->end;
	/* len + gap is the run from its first byte on: nothing is counted twice, so reads here and
	 * there in a small file, however many, are never longer than the file. */
	if (behind && behind >= len && len <= run->gap && behind <= run->len + run->gap) {
		run->len += len;
		run->gap -= len;
	} else if (!behind && run->len && run->gap + ahead <= REREAD_SCAN_BYTES) {
		run->len += len;
		run->gap += ahead;
		run->end = off + len;
	} else {
		*run = (struct reread_run){.end = off + len, .len = len};
		return false;
	}
	return run->len >= REREAD_SCAN_BYTES;
}
