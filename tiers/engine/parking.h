/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work that was tried and could not be done: frames with the reason, left alone until a time that
 * doubles with every failure. Bounded; when it is full the entry that is due first makes way. The
 * caller's lock guards it.
 */
#ifndef TERRACE_ENGINE_PARKING_H
#define TERRACE_ENGINE_PARKING_H

#include <stdbool.h>
#include <stdint.h>

#include "tiers/engine/engine.h"

#define PARK_FIRST_S 600u
#define PARK_MAX_S   86400u

struct parking;

int parking_new(struct parking **out); /* -ENOMEM */
void parking_free(struct parking *parking);

/* True when the frame was not parked before. since_s and until_s are set here. */
bool parking_add(struct parking *parking, const struct parked *work, uint32_t now_s);
/* Is it left alone now? */
bool parking_has(const struct parking *parking, uint64_t frame, uint32_t now_s, uint32_t *until_s);
/* It was done, or is gone. True if it was there. */
bool parking_remove(struct parking *parking, uint64_t frame);
/* Lets what waits for room in tier `to` be tried again. Returns how many. */
uint64_t parking_room(struct parking *parking, int to);
/* What has been due for PARK_MAX_S and was not tried again: nobody wants it any more. (Not sooner:
 * a breaker may be open.) Returns how many. */
uint64_t parking_forget(struct parking *parking, uint32_t now_s);
/* The i-th entry, NULL behind the last. */
const struct parked *parking_at(const struct parking *parking, uint32_t i);

#endif
