/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rebuilds the files of a pool that is not mounted, from what is left of it (tiers/salvage.h), in a
 * folder: names, hard links, modes, owners, times, links, extended attributes, holes. Without any
 * metadata (source.none): objects by number, as DEST/objects/NUMBER.
 *
 * One thread. Errors: negative errno, logged.
 */
#ifndef TERRACE_FS_EXPORT_H
#define TERRACE_FS_EXPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "tiers/salvage.h"

struct pool_config;

struct export_options {
	const struct pool_config *config;
	const char *dest; /* an empty folder, or one that is made */
	/* [off, off + len) of a file is lost, or all of it (len 0: its record, or it could not be
	 * written; error says why: -ELOOP, it is a folder that lies deeper than deep_levels(), or
	 * in itself, as damaged metadata may have it). */
	void (*missing)(void *arg, const char *path, uint64_t off, uint64_t len, int error);
	void *arg;
};

struct export_result {
	struct salvage_source source;
	uint64_t names, bytes;
	uint64_t missing; /* ranges and names */
};

/* 0 also when something is missing; -ENOTEMPTY dest holds something. */
int fs_export(const struct export_options *options, struct export_result *out);

#endif
