/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A transaction: one filesystem operation's change of metadata, atomic, serialised by the pool's
 * commit lock from txn_begin() to txn_commit() or txn_abort(). Short: memory only, no slow medium
 * inside. Reads (pool_meta() with meta_get) need no transaction and do not see what is staged in
 * one.
 *
 * After txn_commit() returns 0 the change is visible and survives the process; durable after
 * pool_sync() or within commit_interval. On error nothing has changed, in memory either.
 */
#ifndef TERRACE_TIERS_TXN_H
#define TERRACE_TIERS_TXN_H

#include <stddef.h>

struct pool;
struct txn;

/* Takes the commit lock. The transaction belongs to the calling thread. Never fails: errors stick
 * and come out of txn_commit(). */
struct txn *txn_begin(struct pool *pool);
int txn_put(struct txn *txn, const void *key, size_t key_len, const void *value, size_t len);
int txn_del(struct txn *txn, const void *key, size_t key_len);
/* The operation only gives space back: it may use the metadata's reserved headroom. */
void txn_frees(struct txn *txn);
int txn_commit(struct txn *txn);
void txn_abort(struct txn *txn);

#endif
