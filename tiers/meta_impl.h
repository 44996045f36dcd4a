/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Behind tiers/meta.h: the table of an engine, and a batch's bytes. Only meta*.c includes this.
 */
#ifndef TERRACE_TIERS_META_IMPL_H
#define TERRACE_TIERS_META_IMPL_H

#include "tiers/meta.h"

struct memtable;
struct snapshot_gate;
struct tree;

/* Where a read looks, in this order; the first word on a key counts. */
struct meta_sources {
	struct memtable *live;
	struct memtable *frozen; /* NULL: none */
	struct tree *tree;	 /* NULL: none */
	void *held;		 /* the engine's */
};

struct meta_ops { /* see meta.h; every member is mandatory */
	int (*close)(struct meta *meta);
	void (*abandon)(struct meta *meta);
	int (*apply)(struct meta *meta, const struct meta_batch *batch, uint64_t *seq);
	uint64_t (*seq)(struct meta *meta);
	uint64_t (*durable_seq)(struct meta *meta);
	int (*sync)(struct meta *meta, uint64_t upto);
	bool (*checkpoint_due)(struct meta *meta, uint64_t max_age_ns);
	int (*freeze)(struct meta *meta);
	int (*checkpoint)(struct meta *meta);
	void (*stats)(struct meta *meta, struct meta_stats *out);
	/* The tables stay until sources_put(). A tree is to be looked at after this call only. */
	void (*sources_get)(struct meta *meta, struct meta_sources *out);
	void (*sources_put)(struct meta *meta, struct meta_sources *sources);
	struct snapshot_gate *(*gate)(struct meta *meta); /* NULL: there is no tree */
};

struct meta { /* first member of every engine */
	const struct meta_ops *ops;
};

struct meta_batch {
	uint8_t *ops; /* terrace-format(5): operations */
	size_t len, cap;
	size_t cost;	/* arena bytes in a memtable, at most */
	uint64_t grow;	/* bytes of the tree, at most */
	uint64_t count; /* operations */
	int error;
	bool frees;
};

struct meta_op {
	const uint8_t *key, *value; /* value NULL: delete */
	size_t key_len, len;
};

/* The operation at *pos, which moves on. -ENOENT at the end, -EBADMSG not an operation. */
int meta_op_next(const void *ops, size_t len, size_t *pos, struct meta_op *out);

/* Most arena bytes the operations take, and puts them into a table; -EBADMSG, -ENOMEM. */
int meta_ops_insert(const void *ops, size_t len, size_t cost, struct memtable *table);

#endif
