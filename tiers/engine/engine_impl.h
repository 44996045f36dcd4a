/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the engine share: its state (engine.c), the survey (survey.c), what a pass
 * chooses (planner.c), how it is done (executor.c), work given up for now (parking.c). Not for
 * others.
 */
#ifndef TERRACE_ENGINE_ENGINE_IMPL_H
#define TERRACE_ENGINE_ENGINE_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "tiers/engine/breaker.h"
#include "tiers/engine/budget.h"
#include "tiers/engine/candidates.h"
#include "tiers/engine/engine.h"
#include "tiers/engine/ghost.h"
#include "tiers/engine/held.h"
#include "tiers/engine/mover.h"
#include "tiers/engine/pace.h"
#include "tiers/engine/parking.h"
#include "tiers/engine/rank.h"
#include "tiers/engine/reread.h"
#include "tiers/engine/room.h"
#include "tiers/extmap.h"
#include "tiers/idmap.h"
#include "tiers/latency.h"
#include "tiers/pool_impl.h"
#include "tiers/records.h"

struct move;

/* State of one pool's engine. */
struct engine {
	struct reread *reread;	       /* a lock of its own */
	struct candidates *candidates; /* a lock of its own */
	struct readbufs *batches;      /* for the raw bytes of batches; a lock of its own */
	_Atomic bool evacuating[CONFIG_TIERS_MAX]; /* whole tiers */

	pthread_mutex_t lock; /* a leaf; all below */
	struct ghosts *ghosts;
	struct parking *parking;
	struct held *held;
	struct budget budgets[CONFIG_TIERS_MAX];
	bool budgets_changed; /* since they were stored */
	struct breaker breakers[CONFIG_TIERS_MAX];
	struct pace pace;
	struct engine_facts facts; /* of the last pass; now_s 0: there was none */
	struct engine_stats stats; /* counters; the rest is filled in when asked for */
	uint64_t sweep_from;	   /* object id: where the next look at policies begins */
	uint64_t merge_from;	/* ... and the next look for files in pieces; passes move it on */
	uint64_t survey_frames; /* most that one survey looks at; constant but for tests */
	uint64_t opened_ns;
	struct latency_view seen[CONFIG_TIERS_MAX];  /* when the foreground was last looked at */
	struct latency_view quiet[CONFIG_TIERS_MAX]; /* what it did while nothing moved */
};

/* Facts ---------------------------------------------------------------------------------------- */

/* Everything but the ranks, as of now. */
void engine_facts_now(struct pool *pool, struct engine_facts *out);
/* A frame as decide() wants it; the policy is "none". */
void engine_frame_facts(struct pool *pool, uint64_t frame, const struct frame_record *record,
			struct frame_facts *out);
/* What stored bytes of a frame become in another tier, by that tier's ratio so far. */
uint64_t engine_stored_in(const struct engine_facts *facts, const struct frame_facts *frame,
			  uint32_t tier);
/* The fills after a move. */
struct choice;
void engine_facts_apply(struct engine_facts *facts, const struct choice *choice);

/* A sealed segment in the survey. */
struct survey_segment {
	uint64_t id;
	uint32_t tier, place;
	uint64_t stored, raw, live; /* of the frames in it; live <= raw */
	uint32_t mean_rank;	    /* by stored bytes */
	bool open;		    /* still being appended to */
};

struct survey {
	struct engine_facts facts;
	struct rank_histogram all[CONFIG_TIERS_MAX]; /* every frame seen, scaled to the whole */
	struct rank_histogram old[CONFIG_TIERS_MAX]; /* of them, those that may leave now */
	struct survey_segment *segments; /* those that were looked at, the coldest first ... */
	size_t nsegments;
	size_t nall;	     /* ... and behind them, picked at random, those that were not */
	uint64_t merge_from; /* where the look for files in pieces begins, and then, where it ended
			      */
};

/* Looks at the frames of all directory tiers, of at most SURVEY_FRAMES: of a larger pool, at
 * segments picked at random. Fills the ranks into facts. -ENOMEM, -ECANCELED when stopping. */
#define SURVEY_FRAMES (1u << 20)
int survey_make(struct pool *pool, struct survey **out);
void survey_free(struct survey *survey);

/* Choosing ------------------------------------------------------------------------------------- */

struct choice {
	uint64_t frame;
	struct frame_record record;
	struct frame_facts facts;
	struct verdict verdict;
	uint64_t object; /* only this one's bytes; 0 = all that live there */
	uint64_t bytes;	 /* raw, of what is to move */
	bool rewrite;	 /* within the tier */
	bool own_codec;
	struct codec_spec codec;
};

/* What a pass wants, in the order in which it is to be done: policies, room below first, then
 * promotions, the most worthwhile first, then cleaning. Also what is held up (verdict.block).
 * take() may change survey->facts (engine_facts_apply) as things move. A non-zero return ends it.
 * take(arg, NULL): what was made free is needed now. Policies are asked for some thousand objects
 * in each pass, or for all. */
typedef int choice_take(void *arg, const struct choice *choice);
int planner_run(struct pool *pool, struct survey *survey, bool all_policies, choice_take *take,
		void *arg);
/* What the policies want for one object; the same for `why` and for jobs. */
int planner_object(struct pool *pool, const struct engine_facts *facts, struct object *object,
		   choice_take *take, void *arg);
/* Extents of an object from *from on, some thousand at a time, so that neither memory nor the time
 * for which writers wait grows with the file: fills the list anew and sets *from to where to go on,
 * UINT64_MAX at the end. */
int object_extents_next(struct object *object, uint64_t *from, struct extent_list *list);
/* Of such a list, from *i on: the object's bytes in the next frame that is on a directory tier, as
 * a choice without a verdict. Extents side by side in one frame are one. False at the end. */
bool object_choice_next(struct pool *pool, uint64_t object, const struct extent_list *list,
			size_t *i, struct choice *out);
/* Ids of up to n objects at or after *from, which is then where to go on, 0 at the end. */
int objects_next(struct pool *pool, uint64_t *from, uint64_t *ids, size_t n, size_t *got);
/* Calls each() for those of the objects that are still there; ends on non-zero, which is returned.
 * -ECANCELED when the pool is being closed. */
int objects_each(struct pool *pool, const uint64_t *ids, size_t n,
		 int (*each)(void *arg, struct object *object), void *arg);
/* The same for passes: what is damaged is passed over. (Others are told at the end.) */
int objects_look(struct pool *pool, const uint64_t *ids, size_t n,
		 int (*each)(void *arg, struct object *object), void *arg);
/* Segments that are mostly dead, and files in many small pieces. */
int cleaner_run(struct pool *pool, struct survey *survey, choice_take *take, void *arg);
/* Every frame of a segment. */
int segment_each(struct pool *pool, uint64_t segment,
		 int (*each)(void *arg, uint64_t frame, const struct frame_record *record),
		 void *arg);

/* Doing ---------------------------------------------------------------------------------------- */

#define MOVES_AHEAD 3u /* one reads, one codes, one is read back */

/* A batch on its way. */
struct batch {
	struct executor *executor;
	struct idmap only; /* the request's */
	struct move_request request;
	struct move_result result;
	struct move *move;
	int from;
	uint64_t stored, began_ns;
};

/* Gathers frames into batches and moves them. */
struct executor {
	struct pool *pool;
	struct move_progress *progress; /* may be NULL */
	bool background;  /* keeps to window, budget and pace; otherwise somebody asked for it */
	size_t users_max; /* of a round of its moves; 0: MOVE_USERS_MAX */
	struct engine_facts *facts; /* to be kept up to date; may be NULL */
	/* the batch at hand: all of one kind */
	uint64_t *frames;
	size_t count, cap;
	uint64_t raw, stored;
	int from, to;
	enum move_reason reason;
	bool rewrite, own_codec;
	struct codec_spec codec;
	struct idmap batch_only;   /* of choices that name an object; goes with the batch */
	struct idmap batch_frames; /* those in frames */
	bool by_object;
	struct batch *ahead[MOVES_AHEAD + 1]; /* begun, not finished; the oldest first */
	size_t nahead;
	uint64_t began_cpu_ns; /* of this thread */
	/* results */
	uint64_t moved; /* raw bytes */
	unsigned runs;
	bool full; /* something found no room in its target */
	int error; /* the first */
};

void executor_init(struct executor *executor, struct pool *pool, struct move_progress *progress,
		   bool background);
/* -ECANCELED: told to stop. What the metadata store says when it takes no move: the end too. Other
 * errors are kept in executor->error and do not stop it. */
int executor_add(struct executor *executor, const struct choice *choice);
/* Runs what is gathered; the space that it left is given back. */
int executor_settle(struct executor *executor);
/* The same, and the end. Returns the first error. */
int executor_end(struct executor *executor);

/* mover: ghosts of a move that was committed, and what is no longer parked. */
void engine_note_moved(struct move *move);
/* How the foreground fares: latencies since the last batch, and while nothing moved. */
void engine_foreground(struct pool *pool, struct pace_facts *out);

#endif
