/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which directories have plain files, in the metadata: a pool must not be opened without a
 * directory that has some, and segments do not tell (terrace-format(5), METADATA KEYS, "plain.").
 *
 * Invariant: where a record leads to a plain file, the directory's key is there, in the same
 * transaction or before it. A key may stay for a while when the last file has gone.
 */
#ifndef TERRACE_TIERS_PLAIN_PLACES_H
#define TERRACE_TIERS_PLAIN_PLACES_H

#include "tiers/records.h"
#include "tiers/txn.h"

struct pool;

/* Opening, tiers and metadata being there. -ENOENT, logged: a directory that has plain files is
 * not. */
int plain_places_check(struct pool *pool);
/* In the transaction that makes an object plain; and when that has been committed. */
void plain_places_note(struct pool *pool, struct txn *txn, const struct plain_home *home);
void plain_places_noted(struct pool *pool, const struct plain_home *home);
/* Keys of directories without plain files go, those that are missing are made. Failing leaves too
 * many of them. Any thread, no transaction open. */
int plain_places_tidy(struct pool *pool);

#endif
