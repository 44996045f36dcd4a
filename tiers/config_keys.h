/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of a pool's configuration as tables, shared by who reads, writes, compares or edits it
 * (config_*.c, places.c, fs/settings*.c) and the fuzz target. One row per key says its name, kind,
 * field and limits, so that a new key is one row here and one in terrace.conf(5).
 *
 * Threads: pure functions and constants.
 */
#ifndef TERRACE_TIERS_CONFIG_KEYS_H
#define TERRACE_TIERS_CONFIG_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tiers/config.h"

enum config_kind {
	CONFIG_SIZE,	/* uint64_t bytes */
	CONFIG_SIZE32,	/* uint32_t bytes, a power of two */
	CONFIG_TIME,	/* uint64_t ns */
	CONFIG_COUNT,	/* unsigned */
	CONFIG_PERCENT, /* uint32_t */
	CONFIG_QUOTA,	/* size_bytes or size_percent of a tier */
	CONFIG_CODEC,
	CONFIG_SWITCH, /* yes, no, auto: 1, 0, -1 */
	CONFIG_PATH,   /* char * */
	CONFIG_PATHS,  /* one more of a tier's paths; may be repeated */
	CONFIG_UUID,
	CONFIG_WINDOW, /* char *; NULL = always */
	/* Of rules; `at` is not used: */
	CONFIG_MATCHES, /* one more of a rule's patterns; may be repeated */
	CONFIG_OWNER,
	CONFIG_TIER,  /* the name of a tier */
	CONFIG_NEVER, /* one more; may be repeated */
	CONFIG_RULE_CODEC,
	CONFIG_YES,    /* yes, no */
	CONFIG_LAYOUT, /* plain, frames */
};

enum config_flag {
	CONFIG_RAM = 1u << 0,	   /* tier keys: the RAM tier takes it too */
	CONFIG_LIVE = 1u << 1,	   /* may change while the pool is mounted */
	CONFIG_RAM_LIVE = 1u << 2, /* ... of the RAM tier */
	CONFIG_SPARE = 1u << 3,	   /* paths: those of further copies; without it: the others */
};

struct config_key {
	const char *name;
	enum config_kind kind;
	size_t at;	   /* offset of the field in its struct */
	uint64_t min, max; /* of the number, in the field's unit */
	unsigned flags;	   /* enum config_flag */
	const char *help;  /* for the file that `terrace create` writes */
};

extern const struct config_key config_pool_keys[]; /* end: name NULL */
extern const struct config_key config_tier_keys[];
extern const struct config_key config_rule_keys[];
extern const char config_codec_right[]; /* what would be right for a codec */

/* Row of this name, or NULL. */
const struct config_key *config_key_find(const struct config_key *keys, const char *name);

/*
 * Parses text into base's field. Returns 0, -EINVAL (why: what would be right, as the end of a
 * sentence), -ENOMEM.
 */
int config_value_set(const struct config_key *key, void *base, const char *text, char *why,
		     size_t why_cap);
/* The paths that a key of kind CONFIG_PATHS sets. */
char *const *config_paths(const struct config_key *key, const struct config_tier *tier,
			  uint32_t *n);
/* Is it the path of a place for further copies? False for one that the tier has not. */
bool config_is_spare(const struct config_tier *tier, const char *path);
/* Prints the value of a key as config_value_set() reads it (paths: the i-th of the key's). */
void config_value_print(const struct config_key *key, const void *base, uint32_t i, FILE *out);
/* Are the two fields the same? (Not for CONFIG_PATHS.) */
bool config_value_equal(const struct config_key *key, const void *a, const void *b);

/* May the key change while the pool is mounted? tier NULL: a key of [pool]. */
bool config_live(const struct config_key *key, const struct config_tier *tier);

/* Takes all keys that may change while the pool is mounted over from a configuration with the same
 * tiers, and the rules. -ENOMEM: `to` is neither. */
int config_take_live(struct pool_config *to, const struct pool_config *from);
/* The value as in the file; paths of a tier separated by commas. A new string, NULL: no memory. */
char *config_value_text(const struct config_key *key, const void *base);

/* Would what comes after some blank be a comment in a configuration file? */
bool config_comment_in(const char *text);
/* NULL when the path can stand in a configuration file as it is, else what is wrong with it. */
const char *config_path_fault(const char *path);

/* What `low` is, in percent, while nobody sets it. */
uint32_t config_low_default(uint32_t high_percent);
void config_pool_defaults(struct pool_config *config);
/* first: the tier is the first directory tier. */
void config_tier_defaults(struct config_tier *tier, enum tier_kind kind, bool first);

/* Rules (config_rule.c), like the functions for tiers. */
const char *config_rule_fault(const struct pool_config *config, const char *name);
int config_rule_new(struct pool_config *config, const char *name, struct config_rule **out);
void config_rules_release(struct pool_config *config);
int config_rules_copy(const struct pool_config *from, struct pool_config *to); /* -ENOMEM */
/* The kinds of rules: config_value_set() calls it. */
int config_rule_value_set(const struct config_key *key, struct config_rule *rule, const char *text,
			  char *why, size_t cap);
/* The lines of a rule's section that say something. */
void config_rule_print(const struct config_rule *rule, FILE *out);
/* Finds the tiers that rules name and checks each rule; *where: the rule at fault. After
 * config_check(). */
int config_check_rules(struct pool_config *config, uint32_t *where, char *why, size_t cap);

/* NULL when a tier of this name can be added, else why not. */
const char *config_tier_fault(const struct pool_config *config, const char *name);
/* Adds an empty tier with its defaults at the end; the name has been checked. 0, -ENOMEM. */
int config_tier_new(struct pool_config *config, const char *name, struct config_tier **out);
/* Where a key belongs: one of these is set. */
struct config_section {
	struct pool_config *pool;
	struct config_tier *tier;
	struct config_rule *rule;
};
/*
 * Sets one key of a section. `seen` has a bit per row of its table. On an error, why holds key,
 * value and what would be right. 0, -EINVAL, -ENOMEM.
 */
int config_set_key(const struct config_section *section, uint32_t *seen, const char *name,
		   const char *value, char *why, size_t cap);
/*
 * Adds the RAM tier and the metadata's folder when they are not set, and checks what one key alone
 * cannot tell. *where: the tier at fault, or ntiers for the pool. 0, -EINVAL, -ENOMEM.
 */
int config_check(struct pool_config *config, uint32_t *where, char *why, size_t cap);

/* config_load() of text that is already in memory; `file` is for messages and is copied. */
int config_parse_text(const char *file, const char *text, size_t len, struct pool_config *out,
		      char *message, size_t message_cap);
/* What config_save_new() writes, as a new string. -ENOMEM. */
int config_print(const struct pool_config *config, char **text, size_t *len);

#endif
