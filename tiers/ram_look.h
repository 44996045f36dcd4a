/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the RAM folder of a daemon that died holds, object by object, as the next mount would take
 * it over (recover_log()), without changing a byte of it. And the rules of that replay, which the
 * mount follows too.
 *
 * One thread. Errors: negative errno, logged.
 */
#ifndef TERRACE_TIERS_RAM_LOOK_H
#define TERRACE_TIERS_RAM_LOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "tiers/dirty.h"
#include "tiers/ramlog.h"
#include "tiers/records.h"

struct meta;
struct pool_config;
struct ram_look;

/* The rules. ----------------------------------------------------------------------------------- */

/* Does it stay below the largest size of an object? */
bool ram_record_valid(const struct ramlog_record *record);
/* A size, punch or clone that the object's record shows already: only what the log held before it
 * goes. Else it is still to be done, to frames too. epoch: of the log. */
bool ram_record_shown(const struct ramlog_record *record, const struct object_record *object,
		      uint64_t epoch);
/* The object's size after it. */
uint64_t ram_record_size(const struct ramlog_record *record, uint64_t size);

/* The look. ------------------------------------------------------------------------------------ */

/* *out = NULL: a mount would use nothing of what is there. -ENOMEM; -EUCLEAN, -ENOTSUP, -ENOTUNIQ
 * and others: it cannot be used, and a mount would refuse. */
int ram_look_open(struct ram_look **out, const struct pool_config *config);
void ram_look_close(struct ram_look *look); /* NULL: nothing */
/* Where the journal's tail lies, for meta_open_look(). */
const char *ram_look_dir(const struct ram_look *look);
/* Was there a log? Without one, what was synced and is in no frame counts as after a power loss. */
bool ram_look_has_log(const struct ram_look *look);
/* Once, over the metadata with that tail. Nothing may be asked after an error. */
int ram_look_replay(struct ram_look *look, struct meta *meta);
/* Writes that count, and their bytes. */
void ram_look_count(const struct ram_look *look, uint64_t *writes, uint64_t *bytes);

struct ram_object {
	struct dirty_map ranges; /* over what frames hold; data NULL: a hole */
	uint64_t size;
	int64_t write_time;
};
/* NULL: the log has nothing of it. Valid until the look is closed. */
const struct ram_object *ram_look_object(const struct ram_look *look, uint64_t object);

#endif
