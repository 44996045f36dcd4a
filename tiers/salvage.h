/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is left of a pool, read without opening it: objects out of the tiers' directories that are
 * there, by the live metadata if it is sound, else by the newest good copy of it and what frames
 * that were written after it say, else by what all frames say. Nothing of the pool is changed; a
 * copy is read from a store that is made in a folder of the caller's.
 *
 * With the live metadata, and of a daemon that died, what it left in the RAM tier is in it, as the
 * next mount would show it (tiers/ram_look.h), while the machine still runs. One thread. Errors:
 * negative errno, logged here.
 */
#ifndef TERRACE_TIERS_SALVAGE_H
#define TERRACE_TIERS_SALVAGE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/meta_copy.h"
#include "tiers/records.h"

struct meta;
struct pool_config;
struct salvage;

struct salvage_source {
	char path[PATH_MAX]; /* of the metadata, or of the copy */
	bool copy;
	bool none;	       /* neither is left: objects are found by what frames say */
	uint64_t newer_bytes;  /* that are not those of the copy: written or moved after it */
	struct copy_info info; /* of the copy */
	bool damaged;	       /* of the live metadata: its journal, from some place on */
	bool unclean;	       /* the live metadata was not closed in order ... */
	bool ram_missing;      /* ... and the RAM tier's files are not there, or cannot be used */
	uint64_t ram_writes, ram_bytes; /* taken from there */
	size_t missing;			/* directories that are not there */
};

/* work: an empty folder; its contents are the caller's to remove. -EBUSY the pool is
 * in use, and nobody mounts it before the end; -EACCES; -ENOENT no directory is there. */
int salvage_open(struct salvage **out, const struct pool_config *config, const char *work,
		 struct salvage_source *source);
void salvage_close(struct salvage *salvage);

struct meta *salvage_meta(struct salvage *salvage);
int salvage_record(struct salvage *salvage, uint64_t object, struct object_record *out);

struct salvage_sink {
	/* Bytes of the object, in no certain order; later ones replace earlier ones. data NULL: a
	 * hole. A negative return ends it. */
	int (*put)(void *arg, uint64_t off, const void *data, size_t len);
	void (*lost)(void *arg, uint64_t off, uint64_t len);
	void *arg;
};
/* Hands out all that can be read and verified, and says what cannot. *size: the object's. */
int salvage_data(struct salvage *salvage, uint64_t object, const struct salvage_sink *sink,
		 uint64_t *size);

/*
 * Where source.none: all objects that frames speak of, in order of their numbers, each once, and of
 * each the newest bytes of every range. What of that was overwritten by a hole, cut off or deleted
 * is not known. A range whose newest frame is damaged is lost, and not what it was before.
 */
int salvage_each(struct salvage *salvage, int (*begin)(void *arg, uint64_t object),
		 const struct salvage_sink *sink);

#endif
