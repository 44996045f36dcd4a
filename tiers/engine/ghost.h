/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ping-pong: frames that come up soon after they went down. A bounded table remembers what went
 * down within GHOST_WINDOW (the ghost lists of ARC and S3-FIFO, between tiers); the share of such
 * promotions among the recent ones raises the gain that promotions must bring, of ghosts
 * more than of others, and how much hotter than another a frame must be to push it out (decide.h,
 * room.h).
 *
 * One thread at a time. No clock of its own.
 */
#ifndef TERRACE_ENGINE_GHOST_H
#define TERRACE_ENGINE_GHOST_H

#include <stdbool.h>
#include <stdint.h>

#define GHOST_ENTRIES  (1u << 16) /* 12 bytes each */
#define GHOST_WINDOW_S 86400u

struct ghosts;

int ghosts_new(struct ghosts **out); /* -ENOMEM */
void ghosts_free(struct ghosts *ghosts);

/* frame, as it is called now, went down / is it among them still? */
void ghosts_demoted(struct ghosts *ghosts, uint64_t frame, uint32_t now_s);
bool ghosts_has(const struct ghosts *ghosts, uint64_t frame, uint32_t now_s);
/* A frame came up: counted, as ping-pong if it was a ghost, which it is no longer. */
void ghosts_promoted(struct ghosts *ghosts, uint64_t frame, uint32_t now_s);

struct ghost_counts {
	uint64_t promotions, pingpong; /* since the start */
};
void ghosts_counts(const struct ghosts *ghosts, struct ghost_counts *out);
/* 1.0 without ping-pong; doubles with every 1 % of ping-pong among the last 512 promotions, up to
 * 64: promotions are about half of all moves, so that it is 32 when 2.5 % of the moves are
 * ping-pong. Fewer than 100 promotions count as so many. Those of more than GHOST_WINDOW_S ago
 * count no more: a gain so high that nothing comes up would otherwise never fall again. */
double ghosts_gain(const struct ghosts *ghosts, uint32_t now_s);

#endif
