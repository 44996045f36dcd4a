/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether what lies in the RAM folder is of the daemon before this one: a token, chosen at random
 * at each opening, is kept there and beside the metadata (terrace-format(5), SESSION). A RAM folder
 * that was away while the pool was opened with another one does not match when it comes back, and
 * is never replayed over what happened meanwhile.
 *
 * Threads: one at a time. Errors: negative errno, logged.
 */
#ifndef TERRACE_TIERS_SESSION_H
#define TERRACE_TIERS_SESSION_H

#include <stdbool.h>
#include <stdint.h>

struct session;

/*
 * Before the tail and the RAM log are opened: what is stale in ram_dir is moved aside, to
 * RAM_DIR.old, with a line that says so. Holds a lock on the token's file in meta_dir: -EBUSY
 * another process has the pool open. -ENOMEM, -EIO, -ENOTUNIQ another pool's.
 */
int session_begin(struct session **out, const char *meta_dir, const char *ram_dir,
		  const uint8_t *pool_uuid);
/* Would session_begin() use what is in ram_dir? Changes and locks nothing. */
int session_look(const char *meta_dir, const char *ram_dir, const uint8_t *pool_uuid,
		 bool *current);
/* When the metadata is open, before its first change: both folders get a new token. Where there is
 * no room for it, a line says that a stale folder would not be recognised. */
int session_renew(struct session *session);
/* closed: nothing is left in the RAM folder; the tokens go too. */
void session_end(struct session *session, bool closed);

#endif
