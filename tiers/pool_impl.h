/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the pool's core share: the pool, objects in memory, transactions, freed space.
 * Not for other layers.
 *
 * Locks, outermost first; all of them are in terrace(7), LOCKS:
 *   passed_lock -> room_lock -> sync_lock -> cursor_lock -> resident's turn -> move_lock ->
 *   reap_lock -> closing_lock -> object.data_lock -> object.plain_lock -> reclaim_lock ->
 * commit_lock -> hooks_lock -> objects_lock -> object.attr_lock -> leaf locks of the modules.
 * flush_lock, thread_lock, gate_lock, builds_lock, names_lock and closed_lock are leaves too.
 * object.flushing is only changed under flush_lock.
 */
#ifndef TERRACE_TIERS_POOL_IMPL_H
#define TERRACE_TIERS_POOL_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "tiers/blockcache.h"
#include "tiers/damage.h"
#include "tiers/homes.h"
#include "tiers/dirty.h"
#include "tiers/engine/events.h"
#include "tiers/engine/heat.h"
#include "tiers/engine/reread.h"
#include "tiers/idmap.h"
#include "tiers/keys.h"
#include "tiers/meta.h"
#include "tiers/object.h"
#include "tiers/pool.h"
#include "tiers/ram_tier.h"
#include "tiers/ramlog.h"
#include "tiers/records.h"
#include "tiers/segment.h"
#include "tiers/space.h"
#include "tiers/synced.h"
#include "tiers/tier.h"
#include "tiers/tunables.h"
#include "tiers/txn.h"
#include "tiers/workers.h"

struct frame_build;
struct copier;
struct session;
struct resident;

/* Log bytes overwritten while a flush reads them: released when it is done. */
struct deferred_release {
	uint64_t pos, bytes;
};

struct object {
	uint64_t id;
	struct pool *pool;
	unsigned refs; /* pool.objects_lock */

	pthread_rwlock_t data_lock; /* dirty, record.extents, deferred; size while it changes */
	struct dirty_map dirty;
	uint64_t note_pos;  /* of the last size, punch or clone record in the log that memory
				shows */
	uint64_t note_size; /* the size it left behind */
	struct synced synced;
	struct deferred_release *deferred;
	size_t ndeferred, deferred_cap;
	_Atomic uint64_t size;	      /* logical, with what is only in the log */
	_Atomic uint64_t dirty_bytes; /* = dirty.bytes, readable without the lock */
	_Atomic int64_t write_time;

	pthread_mutex_t attr_lock; /* record but its extents, for readers outside a transaction; run
				    */
	struct reread_run run;	   /* where reads from slow tiers are */
	struct object_record record; /* changed under the commit lock */
	struct object *next_dropped; /* of the thread that has just deleted it */
	_Atomic bool deleted;	     /* set under the commit lock */
	bool ordered;		     /* on pool.ordered; commit lock, as next_ordered */
	struct object *next_ordered;
	_Atomic uint64_t changed_seq; /* its last transaction is not later */
	_Atomic uint64_t data_seq;    /* ... but for those that object_sync_data() leaves out */
	bool dirty_held;	      /* dirty ranges hold a reference; data lock */
	_Atomic bool flushing;	      /* changed under pool.flush_lock */

	/* tiers/plain.h */
	_Atomic bool plain;	     /* as record.plain.set */
	_Atomic int plain_fd;	     /* of its file; -1 not open */
	pthread_mutex_t plain_lock;  /* one sync of its file at a time */
	_Atomic int plain_error;     /* of a sync that failed: it stays */
	_Atomic bool plain_unsynced; /* may have been written to since the last sync */
	_Atomic bool plain_shared;   /* others have its descriptor, and write without telling */
	_Atomic uint64_t plain_used; /* as counted in the tier */
};

/* What the last transactions of a plain object were when it left memory. */
struct plain_left {
	uint64_t id; /* 0: none */
	uint64_t changed_seq, data_seq;
};

struct segment { /* every segment of the pool is in memory: one per 64 MiB or more */
	uint64_t id;
	struct segment_record record; /* commit lock */
	bool removing;		      /* commit lock */
	uint64_t seen;		      /* while opening: places with a file that is long enough */
};

struct pool_tier { /* a directory tier; index as in the config (>= 1) */
	struct tier *tier;
	struct appender *appender;
	_Atomic uint64_t reads;
};

/* Transaction ------------------------------------------------------------------------------------
 */

struct txn_object {
	struct object *object;
	struct object_record record;
	bool attr, data; /* which half changed */
	bool deleted;
	bool lazy;	 /* nothing of it is needed to read a plain object's bytes */
	int64_t told_ns; /* attr: object_attr_set() */
};

struct txn_frame {
	uint64_t id;
	struct frame_record old, record;
	bool fresh; /* did not exist before this transaction */
};

struct txn_segment {
	struct segment *segment;
	struct segment_record record;
};

struct txn {
	struct pool *pool;
	struct meta_batch *batch;
	int error;
	struct txn_object *objects;
	size_t nobjects, objects_cap;
	struct txn_frame **frames; /* in order of first touch */
	size_t nframes, frames_cap;
	struct idmap frame_map; /* id -> struct txn_frame */
	struct txn_segment *segments;
	size_t nsegments, segments_cap;
	struct segment **gone; /* empty segments to be removed */
	size_t ngone, gone_cap;
	struct object **order; /* to go onto pool.ordered */
	size_t norder, order_cap;
	size_t nshared; /* users' records that go with their frames, so far */
	struct pool_counts counts;
};

/* Space that nothing points to any more, given back once that is durable (I2). */
struct freed {
	uint64_t seq; /* of the transaction that let it go */
	struct tier_segment segment;
	uint32_t tier;
	uint64_t off, len; /* a frame; len 0: the files of the segment in these places ... */
	uint64_t places;
	bool copy; /* ... and the segment stays */
	uint64_t frame;
	uint32_t nblocks;
	struct plain_home plain; /* set: the plain file of the object that segment.id says */
};

struct freed_queue { /* commit lock; grows at need: bounded by what one checkpoint interval frees */
	struct freed *items;
	size_t head, count, cap;
	uint64_t forgot; /* the last transaction that let go of something there was no memory for */
};

/* Is it about something in this place? Commit lock held. */
bool freed_in_place(struct pool *pool, const struct freed *item, uint32_t tier, uint32_t place);
/* The places that have a copy of a segment, as of now. Commit lock held. */
static inline bool segment_in_place(struct homes *homes, const struct segment *segment,
				    uint32_t tier, uint32_t place)
{
	return segment->record.tier == tier &&
	       homes_get(homes, segment->id, segment->record.place) >> place & 1;
}

/* Pool -------------------------------------------------------------------------------------------
 */

#define COPY_WANTED 1 /* of pool.copy_checkpoint; no error is positive */

#define OBJECTS_KEPT 256u

struct pool {
	struct pool_config config; /* as at the mount */
	pthread_rwlock_t tunables_lock;
	struct tunables tunables; /* what of it may change, as it is now */
	_Atomic uint32_t heat_half_life_s, promote_window_s;
	_Atomic int plain_databases;
	struct meta *meta;
	struct ramlog *log;
	bool log_recovered; /* it was there: the last daemon died and the machine went on */
	bool making_again;  /* opening makes synced changes again: they have no time of their own */
	struct readbufs *readbufs;
	struct blockcache *cache;
	struct blockcache
		*whole; /* small objects as a whole, by id (object_fetch.c); may be NULL */
	bool fetch;	/* ... it is wanted */
	struct workers *workers;
	struct heat *heat;
	struct resident *resident;
	struct ram_tier ram_tier;
	struct space *space;
	struct events *events; /* from before the first of recovery to after the last of closing */
	struct pool_tier tiers[CONFIG_TIERS_MAX];
	struct tier *space_tiers[CONFIG_TIERS_MAX]; /* the directory tiers, for space */
	pthread_rwlock_t passed_lock; /* held shared while hooks.passed runs, as the next */
	pthread_rwlock_t hooks_lock;  /* ... any other hook: who takes hooks away waits */
	struct pool_hooks hooks;
	uint64_t log_epoch; /* of the RAM log in use */
	char *ram_dir;
	struct session *session;
	struct copier *copier;

	pthread_mutex_t commit_lock;
	_Atomic(pthread_t) commit_owner;
	_Atomic bool commit_held;
	struct txn txn;		    /* the one transaction */
	_Atomic uint64_t names_seq; /* the last one that may have changed a name */
	struct pool_counts counts;  /* as last committed; ids are limits */
	_Atomic uint64_t next_object, next_frame, next_segment;
	struct idmap segments; /* id -> struct segment */
	struct freed_queue freed;
	struct object *ordered; /* a list, the youngest first; references: to be flushed before the
				   next group. It needs no memory: who were forgotten would be
				   durable without their bytes */
	size_t nordered;
	uint64_t ordered_seq; /* of the first transaction since the last whole cut that put one
				 there; 0 = none */
	uint64_t *reap_ids;   /* deleted objects whose extents are still to go */
	size_t nreap, reap_cap;

	pthread_mutex_t objects_lock;	   /* objects, kept, left */
	struct plain_left left[64];	   /* by id: plain objects that were in memory lately */
	struct idmap objects;		   /* id -> struct object */
	struct object *kept[OBJECTS_KEPT]; /* by id: in memory though perhaps nobody holds it */

	pthread_mutex_t flush_lock;
	pthread_cond_t flush_done; /* an object's flushing was cleared */

	pthread_mutex_t sync_lock; /* one cut of the journal at a time */
	int stuck_error;	   /* of the last cut that could not go all the way; sync lock */
	uint64_t stuck_until_ns, stuck_wait_ns, stuck_room;
	pthread_mutex_t room_lock; /* before sync_lock; one pool_make_room() at a time */
	_Atomic uint64_t rooms_made;
	uint64_t room_next_ns;	 /* room lock */
	_Atomic bool room_freed; /* something was deleted or cut since the last one */
	_Atomic bool meta_full;	 /* a change of metadata was refused for lack of room */
	_Atomic bool order_gate; /* renames over names wait: a cut is being made */
	/* What the copier waits for: the committer's next checkpoint (COPY_WANTED), then what came
	 * of it. */
	_Atomic int copy_checkpoint;
	pthread_mutex_t gate_lock;
	pthread_cond_t gate_open;

	/* Background; each thread has one owner file. */
	pthread_mutex_t thread_lock;
	pthread_cond_t thread_wake;
	_Atomic bool stopping; /* changed under thread_lock */
	pthread_t threads[5];  /* flusher, committer, engine, resident, copier */
	unsigned nthreads;
	bool abandoned;		       /* closing: ranges leave memory, the log keeps them */
	_Atomic uint64_t flush_cursor; /* log position up to which the flusher has looked */
	_Atomic bool flush_urgent;
	pthread_mutex_t cursor_lock;  /* one walk of the log at a time */
	pthread_mutex_t move_lock;    /* a step of a batch of moves at a time */
	_Atomic unsigned moves_ahead; /* batches between two steps */
	_Atomic uint64_t moved_bytes; /* as stored, since the mount */

	pthread_mutex_t reap_lock;    /* one reaper at a time; before the commit lock */
	pthread_mutex_t reclaim_lock; /* one gives freed space back at a time */
	pthread_mutex_t names_lock;   /* plain_names_sync(): one at a time; a leaf */
	pthread_mutex_t closing_lock; /* plain_sync_all(): one at a time; closed_error */
	int closed_error;	      /* of the background, for the next pool_sync() */
	pthread_mutex_t closed_lock;  /* closed, closed_cap, nclosed, closed_any; a leaf */
	bool closed_any;	      /* there was no memory to remember one */
	uint64_t *closed;	      /* plain objects that left memory and may need a sync */
	size_t nclosed, closed_cap;

	pthread_mutex_t builds_lock; /* a leaf */
	struct frame_build *builds;  /* whose bytes no record points to yet (framestore.h) */
	uint64_t placings;	     /* appends begun, ever; numbers them */

	struct engine *engine; /* tiers/engine/engine_impl.h */
	struct damages *damages;
	struct homes *homes;
	struct copies *copies; /* tiers/replicate.h */
	struct scrub *scrub;

	_Atomic uint64_t dirty_bytes, since_balance, ram_hits, ram_misses, parked_bytes;
};

/* Asked for at every read, so not under tunables_lock. */
static inline struct heat_scale pool_heat_scale(const struct pool *pool)
{
	return (struct heat_scale){.half_life_s = pool->heat_half_life_s};
}

/* tunables.c: takes the run-time keys over, without telling anybody. */
int pool_tunables_set(struct pool *pool, const struct pool_config *config);

/* object.c */
void objects_release(struct pool *pool); /* the pool is closed, and nobody holds any */
struct dirty_sink object_dirty_sink(struct object *object);
/* After dirty has changed, with the data lock and a reference held: takes or puts the reference
 * that dirty ranges hold. */
void object_dirty_settle(struct object *object);
/* With no ranges in the log, the stored size becomes the logical one: an object may leave memory
 * only when they are equal. Data lock held exclusively. */
int object_size_settle(struct object *object);
/* For every transaction that stages the object's data half: it shows the log's records up to
 * note_pos, so that replaying the log after the process died does not do them again over what came
 * later. */
void object_show_notes(const struct object *object, struct object_record *record);
/* Writes to the frames' side of an object, by way of the log, whatever the object is; time_ns: what
 * the log keeps as the time of the write, 0 = now. */
int object_log_write(struct object *object, const void *buf, size_t len, uint64_t off,
		     int64_t time_ns);
/* A record without payload, in its place among the object's records. Data lock held, no flush under
 * way, on success. */
int object_log_note(struct object *object, enum ramlog_op op, uint64_t off, uint64_t len,
		    struct ramlog_record *note);
/* A deleted object's ranges in the log go. */
void object_dirty_drop(struct object *object);
/* [off, end) as frames and holes have it, whatever the log says. Data lock held. -EIO, logged:
 * damaged; -ENOENT: the object is deleted. */
int object_read_frames(struct object *object, uint8_t *buf, uint64_t off, uint64_t end);
/* object_fetch.c: what is kept of the object is not its content any more. After the change, with
 * the data lock held exclusively, or after the object was marked as deleted. */
void object_fetch_drop(struct object *object);
/* Data lock exclusive, with no flush of this object under way. */
void object_lock_still(struct object *object);
void object_flushing_clear(struct object *object);
bool object_flushing_try(struct object *object);
void object_flushing_wait(struct object *object);

/* txn.c */
struct object_record *txn_object(struct txn *txn, struct object *object, bool attr, bool data);
struct txn_object *txn_object_find(struct txn *txn, const struct object *object);
/* The frame's record, to be changed; NULL: no such frame (-ENOENT) or an error that sticks. */
struct frame_record *txn_frame(struct txn *txn, uint64_t frame);
struct frame_record *txn_frame_new(struct txn *txn, uint64_t frame,
				   const struct frame_record *record);
void txn_segment_drop(struct txn *txn, struct segment *segment);
/* The segment's record is to say where its copies are now. */
int txn_segment_homes(struct txn *txn, struct segment *segment);
int txn_fail(struct txn *txn, int error); /* keeps the first */
bool txn_mine(struct pool *pool);
int txn_counts_put(struct txn *txn);

/* commit.c: cuts of the journal, freed space, checkpoints */
int pool_cut(struct pool *pool);
/* Where not everything can be made durable: 0 if all up to `need` is. */
int pool_cut_upto(struct pool *pool, uint64_t need);
int pool_checkpoint(struct pool *pool);
/* No cut goes on before the object has been flushed. Its data lock may be held. */
void pool_order(struct object *object);
/* The same, for a transaction with this number. Commit lock held. */
void pool_order_locked(struct object *object, uint64_t seq);
void pool_keep_heat(struct pool *pool); /* all that is not in the frames' records yet */
/* Waits on thread_wake, with thread_lock held, at most until due_ns of the monotonic clock. */
void thread_wait(struct pool *pool, uint64_t due_ns);
/* A thread of the pool sleeps. False: the pool is being closed, and the thread is to end. */
bool pool_rest(struct pool *pool, uint64_t ns);
/* Gives back what is freed and durably so; what another thread is giving back, too, is given back
 * when it returns. */
void pool_reclaim(struct pool *pool);
/* For who was refused room: makes durable what is freed, and gives it back, the segments too that
 * emptied with it. */
int pool_free_up(struct pool *pool);
/* The last step of opening; by itself for a test that first puts something in their way. */
int pool_start_threads(struct pool *pool);
void *pool_committer(void *arg);
/* In every place that has a copy. */
void segment_punch(struct pool *pool, uint32_t tier, struct tier_segment segment, uint64_t len,
		   uint64_t off);
int freed_push(struct freed_queue *queue, const struct freed *item);
void pool_reap(struct pool *pool);
int pool_reap_add(struct pool *pool, uint64_t id); /* commit lock held; -ENOMEM */

/* object_cut.c */
/* Makes [off, end) a hole in steps of bounded transactions, from the back; the last step marks log
 * record pos as shown. With shrink, each step also lowers the stored size to where it has come. The
 * data lock is held exclusively, no flush under way. */
int object_cut(struct object *object, uint64_t off, uint64_t end, bool shrink);

/* pool_create.c, pool.c: names and options that creating and opening share. */
struct tier_dir_options;
void pool_tier_options(const struct pool_config *config, uint32_t t, struct tier_dir_options *out);
char *pool_ram_dir(const struct pool_config *config); /* a new string, or NULL */

/* recover.c: what opening does with what is there */
int recover_segments(struct pool *pool);
int recover_log(struct pool *pool);
int recover_orphans(struct pool *pool);
int recover_plain(struct pool *pool); /* plain_turn.c */

/* engine/ */
int engine_new(struct pool *pool);
void engine_free(struct pool *pool);
void *pool_engine(void *arg);
/* [off, off+len) of an object was read from a frame that is not in the fastest directory tier. */
void engine_note_read(struct pool *pool, struct object *object, uint64_t frame, uint64_t off,
		      uint64_t len);

void pool_path(struct pool *pool, uint64_t object, char *buf, size_t cap);
void pool_moved(struct pool *pool, uint64_t object);
void pool_passed(struct pool *pool);
bool pool_has_policies(struct pool *pool);
void pool_policy(struct pool *pool, uint64_t object, uint32_t age_s, struct object_policy *out);

#endif
