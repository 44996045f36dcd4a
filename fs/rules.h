/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of the configuration (terrace.conf(5)), asked about files. The set is replaced whole
 * when the configuration is read again.
 *
 * Threads: any.
 */
#ifndef TERRACE_FS_RULES_H
#define TERRACE_FS_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/config.h"

struct rules;

int rules_new(const struct pool_config *config, struct rules **out); /* -ENOMEM */
void rules_free(struct rules *rules);
/* The rules of another configuration from now on. On -ENOMEM those of before stay. */
int rules_set(struct rules *rules, const struct pool_config *config);
uint32_t rules_count(struct rules *rules);

/* A file that rules are asked about. */
struct rules_subject {
	uint64_t size;
	uint32_t uid;
	uint32_t age_s; /* since the data in question was last used */
	/* Its path from the mount's root: asked for once, and only if a rule wants it. False: it
	 * has none, and no pattern fits. */
	bool (*path)(void *arg, char *buf, size_t cap);
	void *arg;
};

/* What the first rule that fits asks for. */
struct rules_answer {
	int rule; /* its index, -1 = none fits */
	char name[CONFIG_RULE_NAME_MAX + 1];
	int tier;
	bool has_codec;
	struct codec_spec codec;
	unsigned replicas; /* 0: nothing is said */
	uint32_t never_tiers;
	bool ignore;
	bool plain;
};
void rules_ask(struct rules *rules, const struct rules_subject *subject, struct rules_answer *out);

#endif
