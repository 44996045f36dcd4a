// SPDX-License-Identifier: Apache-2.0
/*
 * A hash table in shards; its states:
 *
 *	opens > 0, !gone		an open file
 *	opens > 0, gone			an orphan: unlinked, still open
 *	opens = 0, gone, kept		an orphan that the kernel has not forgotten yet
 *	opens = 0, gone, pending	its last close, or the forget, is deleting it
 *	opens = 0, gone			deleted; remembered until the kernel forgets it
 *
 * The kernel's forget may come before the last close has been handled, as the two come from
 * different queues: `forgotten` lets whoever is last remove the entry.
 */
#include "fs/inode.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "tiers/object.h"

#define SHARDS	64u
#define BUCKETS 64u /* per shard: open files are counted in hundreds */

struct inode {
	uint64_t id;
	struct inode *next;	  /* shard lock */
	struct object *object;	  /* held while opens > 0; set once */
	uint32_t opens;		  /* shard lock */
	_Atomic uint32_t writers; /* of them */
	bool gone;		  /* shard lock */
	bool kept;		  /* shard lock: stays until forgotten */
	bool pending;		  /* shard lock: closed orphan whose deletion is under way */
	bool forgotten;		  /* shard lock: forget came before that was done */
	bool claimed;		  /* shard lock */
	uint32_t stills;	  /* shard lock: who changes data without an open */
	_Atomic bool wanted;	  /* somebody waits for the claim's end */
	struct attr last;	  /* shard lock; valid when gone */
	_Atomic int64_t write_ns; /* see inode_written() */
	_Atomic int64_t read_ns;  /* see inode_read() */
};

struct shard {
	pthread_mutex_t lock;
	pthread_cond_t unclaimed;
	uint64_t count;
	struct inode *buckets[BUCKETS];
};

struct inode_table {
	_Atomic uint64_t writers; /* of all */
	struct shard shards[SHARDS];
};

/* Ids are given in sequence: neighbours fall into different shards. */
static struct shard *shard_of(struct inode_table *table, uint64_t id)
{
	return &table->shards[id % SHARDS];
}

static struct inode **slot_of(struct shard *shard, uint64_t id)
{
	struct inode **p = &shard->buckets[id / SHARDS % BUCKETS];

	while (*p && (*p)->id != id)
		p = &(*p)->next;
	return p;
}

static bool is_busy(const struct inode *inode)
{
	return inode->opens || inode->claimed || inode->stills;
}

static void remove_locked(struct shard *shard, struct inode *inode)
{
	struct inode **p = slot_of(shard, inode->id);

	assert(*p == inode && !is_busy(inode));
	*p = inode->next;
	shard->count--;
	free(inode);
}

/* What nobody uses any more, and need not be remembered. */
static void settle_locked(struct shard *shard, struct inode *inode)
{
	if (!is_busy(inode) && !inode->pending &&
	    (!inode->gone || (inode->forgotten && !inode->kept)))
		remove_locked(shard, inode);
}

/* Finds or makes. */
static struct inode *entry_locked(struct shard *shard, uint64_t id)
{
	struct inode **p = slot_of(shard, id);

	if (*p)
		return *p;
	*p = calloc(1, sizeof(**p));
	if (*p) {
		(*p)->id = id;
		shard->count++;
	}
	return *p;
}

int inode_table_new(struct inode_table **out)
{
	struct inode_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	for (unsigned i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&table->shards[i].lock, NULL);
		pthread_cond_init(&table->shards[i].unclaimed, NULL);
	}
	*out = table;
	return 0;
}

void inode_table_free(struct inode_table *table)
{
	if (!table)
		return;
	for (unsigned i = 0; i < SHARDS; i++) {
		struct shard *shard = &table->shards[i];

		for (unsigned b = 0; b < BUCKETS; b++) {
			while (shard->buckets[b]) {
				struct inode *inode = shard->buckets[b];

				shard->buckets[b] = inode->next;
				if (inode->opens)
					object_put(inode->object);
				free(inode);
			}
		}
		pthread_cond_destroy(&shard->unclaimed);
		pthread_mutex_destroy(&shard->lock);
	}
	free(table);
}

/* The entry may be another one afterwards. */
static void wait_unclaimed(struct shard *shard, uint64_t id)
{
	struct inode *inode;

	while ((inode = *slot_of(shard, id)) && inode->claimed) {
		inode->wanted = true;
		pthread_cond_wait(&shard->unclaimed, &shard->lock);
	}
}

int inode_claim(struct inode_table *table, uint64_t id, const _Atomic bool **cancel)
{
	struct shard *shard = shard_of(table, id);
	struct inode *inode;
	int r = 0;

	pthread_mutex_lock(&shard->lock);
	inode = entry_locked(shard, id);
	if (!inode)
		r = -ENOMEM;
	else if (inode->gone)
		r = -ENOENT;
	else if (is_busy(inode))
		r = -EBUSY;
	if (!r) {
		inode->claimed = true;
		inode->wanted = false;
		*cancel = &inode->wanted;
	}
	pthread_mutex_unlock(&shard->lock);
	return r;
}

void inode_unclaim(struct inode_table *table, uint64_t id)
{
	struct shard *shard = shard_of(table, id);
	struct inode *inode;

	pthread_mutex_lock(&shard->lock);
	inode = *slot_of(shard, id);
	assert(inode && inode->claimed);
	inode->claimed = false;
	settle_locked(shard, inode);
	pthread_cond_broadcast(&shard->unclaimed);
	pthread_mutex_unlock(&shard->lock);
}

void inode_cancel_claims(struct inode_table *table)
{
	for (unsigned i = 0; i < SHARDS; i++) {
		struct shard *shard = &table->shards[i];

		pthread_mutex_lock(&shard->lock);
		for (unsigned b = 0; b < BUCKETS; b++)
			for (struct inode *inode = shard->buckets[b]; inode; inode = inode->next)
				inode->wanted |= inode->claimed;
		pthread_mutex_unlock(&shard->lock);
	}
}

int inode_still(struct inode_table *table, uint64_t id)
{
	struct shard *shard = shard_of(table, id);
	struct inode *inode;

	pthread_mutex_lock(&shard->lock);
	wait_unclaimed(shard, id);
	inode = entry_locked(shard, id);
	if (inode)
		inode->stills++;
	pthread_mutex_unlock(&shard->lock);
	return inode ? 0 : -ENOMEM;
}

void inode_move(struct inode_table *table, uint64_t id)
{
	struct shard *shard = shard_of(table, id);
	struct inode *inode;

	pthread_mutex_lock(&shard->lock);
	inode = *slot_of(shard, id);
	assert(inode && inode->stills);
	inode->stills--;
	settle_locked(shard, inode);
	pthread_mutex_unlock(&shard->lock);
}

int inode_open(struct inode_table *table, struct object *object, bool writer, struct inode **out)
{
	uint64_t id = object_id(object);
	struct shard *shard = shard_of(table, id);
	struct object *surplus = NULL;
	struct inode *inode;
	int r = 0;

	pthread_mutex_lock(&shard->lock);
	wait_unclaimed(shard, id);
	inode = entry_locked(shard, id);
	if (!inode) {
		r = -ENOMEM;
	} else if (inode->gone && !inode->opens && !inode->kept) {
		r = -ENOENT;
	} else if (inode->opens++) {
		surplus = object; /* one reference per inode is enough */
	} else {
		inode->object = object;
	}
	if (!r) {
		inode->writers += writer;
		table->writers += writer;
	}
	pthread_mutex_unlock(&shard->lock);
	if (surplus)
		object_put(surplus);
	if (!r)
		*out = inode;
	return r;
}

struct object *inode_object(const struct inode *inode)
{
	return inode->object;
}

bool inode_has_writers(const struct inode *inode)
{
	return inode->writers > 0;
}

bool inode_is_written(struct inode_table *table, uint64_t id)
{
	struct shard *shard = shard_of(table, id);
	struct inode *inode;
	bool written;

	pthread_mutex_lock(&shard->lock);
	inode = *slot_of(shard, id);
	written = inode && inode_has_writers(inode);
	pthread_mutex_unlock(&shard->lock);
	return written;
}

bool inode_any_written(const struct inode_table *table)
{
	return table->writers > 0;
}

static int list_written_locked(struct shard *shard, uint64_t **ids, size_t *count)
{
	uint64_t *more = reallocarray(*ids, *count + shard->count + 1, sizeof(**ids));

	if (!more)
		return -ENOMEM;
	*ids = more;
	for (unsigned b = 0; b < BUCKETS; b++)
		for (struct inode *inode = shard->buckets[b]; inode; inode = inode->next)
			if (inode_has_writers(inode))
				more[(*count)++] = inode->id;
	return 0;
}

int inode_list_written(struct inode_table *table, uint64_t **ids, size_t *count)
{
	int r = 0;

	*ids = NULL;
	*count = 0;
	for (unsigned i = 0; i < SHARDS && !r; i++) {
		struct shard *shard = &table->shards[i];

		pthread_mutex_lock(&shard->lock);
		r = list_written_locked(shard, ids, count);
		pthread_mutex_unlock(&shard->lock);
	}
	if (r) {
		free(*ids);
		*ids = NULL;
		*count = 0;
	}
	return r;
}

void inode_written(struct inode *inode, int64_t now_ns)
{
	inode->write_ns = now_ns;
}

void inode_read(struct inode *inode, int64_t now_ns)
{
	inode->read_ns = now_ns;
}

void inode_read_forget(struct inode_table *table, uint64_t id)
{
	struct shard *shard = shard_of(table, id);
	struct inode *inode;

	pthread_mutex_lock(&shard->lock);
	inode = *slot_of(shard, id);
	if (inode)
		inode->read_ns = 0;
	pthread_mutex_unlock(&shard->lock);
}

struct inode_times inode_times(struct inode_table *table, uint64_t id)
{
	struct shard *shard = shard_of(table, id);
	struct inode_times times = {.write_ns = 0};
	struct inode *inode;

	pthread_mutex_lock(&shard->lock);
	inode = *slot_of(shard, id);
	if (inode) {
		times.write_ns = inode->write_ns;
		times.read_ns = inode->read_ns;
	}
	pthread_mutex_unlock(&shard->lock);
	return times;
}

bool inode_close(struct inode_table *table, struct inode *inode, bool writer,
		 struct object **object)
{
	struct shard *shard = shard_of(table, inode->id);
	bool orphan = false;

	*object = NULL;
	pthread_mutex_lock(&shard->lock);
	assert(inode->opens);
	inode->writers -= writer;
	table->writers -= writer;
	if (!--inode->opens) {
		*object = inode->object;
		inode->object = NULL;
		orphan = inode->gone && !inode->kept;
		inode->pending = orphan;
		settle_locked(shard, inode);
	}
	pthread_mutex_unlock(&shard->lock);
	return orphan;
}

int inode_unlink(struct inode_table *table, uint64_t id, const struct attr *last, bool keep)
{
	struct shard *shard = shard_of(table, id);
	struct inode *inode;
	int r = -ENOMEM;

	pthread_mutex_lock(&shard->lock);
	inode = entry_locked(shard, id);
	if (inode) {
		inode->gone = true;
		inode->last = *last;
		inode->kept = keep;
		r = keep || inode->opens > 0;
	}
	pthread_mutex_unlock(&shard->lock);
	return r;
}

void inode_unlink_undo(struct inode_table *table, uint64_t id)
{
	struct shard *shard = shard_of(table, id);
	struct inode *inode;

	pthread_mutex_lock(&shard->lock);
	inode = *slot_of(shard, id);
	if (inode) {
		inode->gone = inode->kept = false;
		settle_locked(shard, inode);
	}
	pthread_mutex_unlock(&shard->lock);
}

void inode_deleted(struct inode_table *table, uint64_t id)
{
	struct shard *shard = shard_of(table, id);
	struct inode *inode;

	pthread_mutex_lock(&shard->lock);
	inode = *slot_of(shard, id);
	if (inode) {
		inode->pending = false;
		settle_locked(shard, inode);
	}
	pthread_mutex_unlock(&shard->lock);
}

bool inode_last(struct inode_table *table, uint64_t id, struct attr *out)
{
	struct shard *shard = shard_of(table, id);
	struct inode *inode;
	bool found;

	pthread_mutex_lock(&shard->lock);
	inode = *slot_of(shard, id);
	found = inode && inode->gone && !inode->opens && !inode->kept;
	if (found)
		*out = inode->last;
	pthread_mutex_unlock(&shard->lock);
	return found;
}

void inode_last_set(struct inode_table *table, uint64_t id, const struct attr *attr)
{
	struct shard *shard = shard_of(table, id);
	struct inode *inode;

	pthread_mutex_lock(&shard->lock);
	inode = *slot_of(shard, id);
	if (inode && inode->gone)
		inode->last = *attr;
	pthread_mutex_unlock(&shard->lock);
}

bool inode_forget(struct inode_table *table, uint64_t id)
{
	struct shard *shard = shard_of(table, id);
	struct inode *inode;
	bool orphan = false;

	pthread_mutex_lock(&shard->lock);
	inode = *slot_of(shard, id);
	if (inode && inode->gone) {
		orphan = inode->kept && !inode->opens;
		inode->kept = false;
		inode->pending |= orphan;
		inode->forgotten = true;
		settle_locked(shard, inode);
	}
	pthread_mutex_unlock(&shard->lock);
	return orphan;
}

uint64_t inode_count(struct inode_table *table)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < SHARDS; i++) {
		pthread_mutex_lock(&table->shards[i].lock);
		count += table->shards[i].count;
		pthread_mutex_unlock(&table->shards[i].lock);
	}
	return count;
}
