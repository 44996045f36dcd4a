// SPDX-License-Identifier: Apache-2.0
/*
 * user.terrace.effective.*: what is in force and where it comes from, "VALUE SOURCE". SOURCE is the
 * path that sets it, "rule NAME", "tier NAME" or "default". Rules with a minimum age are asked
 * about the file's freshest data.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/fs.h"
#include "fs/layout.h"
#include "fs/policy.h"
#include "fs/terrace_xattr.h"
#include "fs/xattr_text.h"
#include "tiers/engine/engine.h"
#include "tiers/object.h"
#include "tiers/pool.h"
#include "tiers/tunables.h"

#define PATH_CAP 4096u

/* 0 when a file or folder sets it; -ENODATA. */
static int print_setting(struct subject *subject, struct text *text, enum policy_kind kind)
{
	char value[POLICY_TEXT_MAX], *path;
	uint64_t source;
	int r;

	r = policy_source(subject->fs->policy, subject->id, kind, value, &source);
	if (r)
		return r;
	path = malloc(PATH_CAP);
	if (!path)
		return -ENOMEM;
	fs_path(subject->fs, source, path, PATH_CAP);
	text_add(text, "%s %s", value, path);
	free(path);
	return 0;
}

static int newest(void *arg, const struct extent_why *why)
{
	uint32_t *last_s = arg;

	if (!why->extent.tier)
		*last_s = UINT32_MAX; /* being written */
	else if (why->frame.heat.last_s > *last_s)
		*last_s = why->frame.heat.last_s;
	return 0;
}

/* What rules say of the file as a whole. */
static int ask_rules(struct subject *subject, struct rules_answer *out)
{
	uint32_t last_s = 0, now_s = (uint32_t)time(NULL);
	int r = 0;

	if (S_ISREG(subject->attr.mode))
		r = pool_why(subject->fs->pool, subject->object, newest, &last_s);
	if (!last_s)
		last_s = now_s;
	policy_ask_rules(subject->fs->policy, subject->id, now_s > last_s ? now_s - last_s : 0,
			 out);
	return r;
}

int effective_pin(struct subject *subject, struct text *text)
{
	int r = print_setting(subject, text, POLICY_PIN);

	if (r != -ENODATA)
		return r;
	text_add(text, "none default");
	return 0;
}

int effective_state(struct subject *subject, struct text *text)
{
	int r = print_setting(subject, text, POLICY_STATE);

	if (r != -ENODATA)
		return r;
	text_add(text, "active default");
	return 0;
}

int effective_layout(struct subject *subject, struct text *text)
{
	bool database = layout_is_database(subject->fs, subject->id);
	int r = database ? -ENODATA : print_setting(subject, text, POLICY_LAYOUT);
	struct object_policy policy;
	struct rules_answer rule;

	if (r != -ENODATA)
		return r;
	r = ask_rules(subject, &rule);
	if (r)
		return r;
	layout_effective(subject->fs, subject->id, &policy);
	if (rule.plain)
		text_add(text, "plain rule %s", rule.name);
	else if (database && policy.plain)
		text_add(text, "plain " POLICY_DATABASE);
	else
		text_add(text, "frames default");
	return 0;
}

int effective_rule(struct subject *subject, struct text *text)
{
	struct rules_answer rule;
	int r = ask_rules(subject, &rule);

	if (r)
		return r;
	if (rule.rule < 0)
		text_add(text, "none default");
	else
		text_add(text, "%s %s", rule.name, subject->config->file);
	return 0;
}

/* Where the whole file should be; "any": heat decides. */
int effective_tier(struct subject *subject, struct text *text)
{
	struct object_policy policy;
	struct rules_answer rule;
	char value[POLICY_TEXT_MAX], *path = NULL;
	uint64_t source = 0;
	const char *tier = NULL;
	int r = ask_rules(subject, &rule);

	if (r)
		return r;
	policy_effective(subject->fs->policy, subject->id, 0, &policy);
	if (policy.pin >= 0) {
		tier = subject->config->tiers[policy.pin].name;
		policy_source(subject->fs->policy, subject->id, POLICY_PIN, value, &source);
	} else if (policy.state == OBJECT_ARCHIVED) {
		tier = subject->config->tiers[subject->config->ntiers - 1].name;
		policy_source(subject->fs->policy, subject->id, POLICY_STATE, value, &source);
	}
	if (source) {
		path = malloc(PATH_CAP);
		if (!path)
			return -ENOMEM;
		fs_path(subject->fs, source, path, PATH_CAP);
		text_add(text, "%s %s", tier, path);
		free(path);
	} else if (rule.tier >= 0) {
		text_add(text, "%s rule %s", subject->config->tiers[rule.tier].name, rule.name);
	} else {
		text_add(text, "any default");
	}
	return 0;
}

/* Sealed and archived data is coded strongly: "zstd:19 /old". */
static int print_strong(struct subject *subject, struct text *text)
{
	char value[POLICY_TEXT_MAX], codec[16];
	struct codec_spec strong;
	uint64_t source;
	char *path;

	if (policy_source(subject->fs->policy, subject->id, POLICY_STATE, value, &source) ||
	    !strcmp(value, policy_state_name(OBJECT_ACTIVE)))
		return -ENODATA;
	path = malloc(PATH_CAP);
	if (!path)
		return -ENOMEM;
	pool_strong_codec(subject->fs->pool, &strong);
	codec_format(&strong, codec, sizeof(codec));
	fs_path(subject->fs, source, path, PATH_CAP);
	text_add(text, "%s %s", codec, path);
	free(path);
	return 0;
}

/* Where the bytes are, or will be first. */
static int tier_of(struct subject *subject, int *tier)
{
	int r = S_ISREG(subject->attr.mode) ? terrace_main_tier(subject->object, tier) : 0;

	if (!*tier && subject->config->ntiers > 1)
		*tier = 1;
	return r < 0 ? r : 0;
}

/* Unset: what the tier says. */
int effective_replicas(struct subject *subject, struct text *text)
{
	int r = print_setting(subject, text, POLICY_REPLICAS), tier = 0;
	struct rules_answer rule;
	struct tunables now;

	if (r != -ENODATA)
		return r;
	r = ask_rules(subject, &rule);
	if (!r && rule.replicas) {
		text_add(text, "%u rule %s", rule.replicas, rule.name);
		return 0;
	}
	if (!r)
		r = tier_of(subject, &tier);
	if (r)
		return r;
	pool_tunables(subject->fs->pool, &now);
	text_add(text, "%u tier %s", now.tiers[tier].replicas, subject->config->tiers[tier].name);
	return 0;
}

/* Unset: the tier's. */
int effective_codec(struct subject *subject, struct text *text)
{
	int r = print_setting(subject, text, POLICY_CODEC), tier = 0;
	struct rules_answer rule;
	struct tunables now;
	char codec[16];

	if (r == -ENODATA)
		r = ask_rules(subject, &rule);
	else
		return r;
	if (!r && rule.has_codec) {
		codec_format(&rule.codec, codec, sizeof(codec));
		text_add(text, "%s rule %s", codec, rule.name);
		return 0;
	}
	if (!r)
		r = print_strong(subject, text);
	if (r == -ENODATA)
		r = tier_of(subject, &tier);
	else
		return r;
	if (r)
		return r;
	pool_tunables(subject->fs->pool, &now);
	codec_format(&now.tiers[tier].codec, codec, sizeof(codec));
	text_add(text, "%s tier %s", codec, subject->config->tiers[tier].name);
	return 0;
}
