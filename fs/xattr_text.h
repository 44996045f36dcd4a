/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The value of an attribute while it is made: grows up to what an attribute may have, and says when
 * something did not fit. One thread.
 */
#ifndef TERRACE_FS_XATTR_TEXT_H
#define TERRACE_FS_XATTR_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/attr.h"

struct fs;
struct object;
struct pool_config;

#define XATTR_TEXT_MAX (60u << 10) /* the kernel's limit is 64 KiB */

struct text {
	char *buf; /* XATTR_TEXT_MAX bytes, the owner's */
	size_t len;
	bool full; /* what does not fit any more is left out */
};

void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Whom an attribute is about. */
struct subject {
	struct fs *fs;
	const struct pool_config *config;
	uint64_t id;
	struct object *object;
	struct attr attr;
};

/* user.terrace.why (why.c): a line per extent, or per run of equal ones when they are too many. */
int why_print(struct subject *subject, struct text *text);
/* user.terrace.effective.* (effective.c): "VALUE SOURCE". */
int effective_pin(struct subject *subject, struct text *text);
int effective_codec(struct subject *subject, struct text *text);
int effective_state(struct subject *subject, struct text *text);
int effective_replicas(struct subject *subject, struct text *text);
int effective_layout(struct subject *subject, struct text *text);
int effective_rule(struct subject *subject, struct text *text);
int effective_tier(struct subject *subject, struct text *text);

#endif
