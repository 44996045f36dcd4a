// SPDX-License-Identifier: Apache-2.0
/*
 * A table of names; each entry prints its value from one pass over the file's extents or from the
 * pool's accounts. An attribute may have 64 KiB: an extent list that does not fit is printed again
 * with neighbours of one kind merged.
 */
#include "fs/terrace_xattr.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/control.h"
#include "fs/fs.h"
#include "fs/layout.h"
#include "fs/policy.h"
#include "fs/xattr_text.h"
#include "tiers/object.h"
#include "tiers/pool.h"

#define PREFIX	   "user.terrace."
#define PREFIX_LEN (sizeof(PREFIX) - 1)

void text_add(struct text *text, const char *format, ...)
{
	va_list args;
	int n;

	if (text->full)
		return;
	va_start(args, format);
	n = vsnprintf(text->buf + text->len, XATTR_TEXT_MAX - text->len, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= XATTR_TEXT_MAX - text->len) {
		text->full = true;
		text->buf[text->len] = '\0';
	} else {
		text->len += (size_t)n;
	}
}

/* One pass over the extents gives all the sums. */
struct sums {
	uint64_t logical, stored, in_tier[CONFIG_TIERS_MAX];
	uint64_t heat; /* weighted by bytes */
	uint64_t resident;
};

static int add_extent(void *arg, const struct object_extent *extent)
{
	struct sums *sums = arg;

	sums->logical += extent->len;
	sums->stored += extent->tier ? extent->stored : extent->len;
	sums->resident += extent->tier ? extent->resident : 0;
	sums->in_tier[extent->tier] += extent->len;
	sums->heat += (uint64_t)extent->heat * (extent->len >> 9 ? extent->len >> 9 : 1);
	return 0;
}

static int main_tier(const uint64_t in_tier[static CONFIG_TIERS_MAX])
{
	int best = 0;

	for (int i = 1; i < (int)CONFIG_TIERS_MAX; i++)
		if (in_tier[i] > in_tier[best])
			best = i;
	return best;
}

int terrace_main_tier(struct object *object, int *tier)
{
	struct sums sums = {.logical = 0};
	int r = object_extents(object, add_extent, &sums);

	*tier = main_tier(sums.in_tier);
	return r;
}

/* A file's own sums, or, for the root, the pool's. */
static int sum(struct subject *subject, struct sums *out)
{
	struct pool_usage *usage;

	memset(out, 0, sizeof(*out));
	if (S_ISREG(subject->attr.mode))
		return object_extents(subject->object, add_extent, out);
	if (subject->id != OBJECT_ID_ROOT)
		return -ENODATA;
	usage = malloc(sizeof(*usage));
	if (!usage)
		return -ENOMEM;
	pool_usage(subject->fs->pool, usage);
	out->logical = usage->logical;
	out->stored = usage->stored;
	for (uint32_t i = 0; i < usage->ntiers; i++)
		out->in_tier[i] = usage->tiers[i].logical;
	out->resident = usage->tiers[0].pinned - usage->tiers[0].unpinned;
	free(usage);
	return 0;
}

static int get_tier(struct subject *subject, struct text *text)
{
	struct sums sums;
	int r = sum(subject, &sums);

	if (r)
		return r;
	if (!sums.logical)
		return -ENODATA;
	text_add(text, "%s", subject->config->tiers[main_tier(sums.in_tier)].name);
	return 0;
}

static int get_tiers(struct subject *subject, struct text *text)
{
	struct sums sums;
	int r = sum(subject, &sums);

	if (r)
		return r;
	for (uint32_t i = 0; i < subject->config->ntiers; i++)
		if (sums.in_tier[i])
			text_add(text, "%s%s=%llu", text->len ? " " : "",
				 subject->config->tiers[i].name,
				 (unsigned long long)sums.in_tier[i]);
	return 0;
}

static int get_ratio(struct subject *subject, struct text *text)
{
	struct sums sums;
	int r = sum(subject, &sums);

	if (!r)
		text_add(text, "%.2f",
			 sums.stored ? (double)sums.logical / (double)sums.stored : 1.0);
	return r;
}

static int get_stored(struct subject *subject, struct text *text)
{
	struct sums sums;
	int r = sum(subject, &sums);

	if (!r)
		text_add(text, "%llu",
			 S_ISREG(subject->attr.mode)
				 ? (unsigned long long)object_stored(subject->object)
				 : (unsigned long long)sums.stored);
	return r;
}

static int get_resident(struct subject *subject, struct text *text)
{
	struct sums sums;
	int r = sum(subject, &sums);

	if (!r)
		text_add(text, "%llu", (unsigned long long)sums.resident);
	return r;
}

static int get_heat(struct subject *subject, struct text *text)
{
	struct sums sums = {.logical = 0};
	uint64_t weight;
	int r;

	if (!S_ISREG(subject->attr.mode))
		return -ENODATA;
	r = object_extents(subject->object, add_extent, &sums);
	weight = sums.logical >> 9 ? sums.logical >> 9 : 1;
	if (!r)
		text_add(text, "%llu", (unsigned long long)(sums.heat / weight));
	return r;
}

/* .extents: one line each; too many for an attribute: neighbours of one kind become one line. */
struct extents_text {
	const struct pool_config *config;
	struct text *text;
	bool merge, open;
	struct object_extent run;
};

static void flush_run(struct extents_text *lines)
{
	const struct object_extent *run = &lines->run;
	char codec[16] = "-";

	if (!lines->open)
		return;
	if (run->tier)
		codec_format(&run->codec, codec, sizeof(codec));
	text_add(lines->text, "%llu %llu %s %s %.2f %u %u/%u\n", (unsigned long long)run->off,
		 (unsigned long long)run->len, lines->config->tiers[run->tier].name, codec,
		 run->tier && run->stored ? (double)run->len / (double)run->stored : 1.0, run->heat,
		 run->copies, run->wanted);
	lines->open = false;
}

static int extent_line(void *arg, const struct object_extent *extent)
{
	struct extents_text *lines = arg;
	struct object_extent *run = &lines->run;

	if (lines->merge && lines->open && extent->off == run->off + run->len &&
	    extent->tier == run->tier && extent->copies == run->copies &&
	    extent->wanted == run->wanted && codec_spec_same(&extent->codec, &run->codec)) {
		run->len += extent->len;
		run->stored += extent->stored;
		if (extent->heat > run->heat)
			run->heat = extent->heat;
		return 0;
	}
	flush_run(lines);
	*run = *extent;
	lines->open = true;
	return lines->text->full && !lines->merge; /* ends the walk: it starts again, merging */
}

static int get_extents(struct subject *subject, struct text *text)
{
	struct extents_text lines = {.config = subject->config, .text = text};
	int r;

	if (!S_ISREG(subject->attr.mode))
		return -ENODATA;
	r = object_extents(subject->object, extent_line, &lines);
	flush_run(&lines);
	if (r >= 0 && text->full) {
		text->len = 0;
		text->full = lines.open = false;
		lines.merge = true;
		r = object_extents(subject->object, extent_line, &lines);
		flush_run(&lines);
	}
	return r < 0 ? r : 0;
}

static int get_own(struct subject *subject, struct text *text, enum policy_kind kind)
{
	char value[POLICY_TEXT_MAX];
	int r = policy_get(subject->fs->policy, subject->id, kind, value);

	if (!r)
		text_add(text, "%s", value);
	return r;
}

static int get_pin(struct subject *subject, struct text *text)
{
	return get_own(subject, text, POLICY_PIN);
}

static int get_state(struct subject *subject, struct text *text)
{
	return get_own(subject, text, POLICY_STATE);
}

static int get_codec(struct subject *subject, struct text *text)
{
	return get_own(subject, text, POLICY_CODEC);
}

static int get_replicas(struct subject *subject, struct text *text)
{
	return get_own(subject, text, POLICY_REPLICAS);
}

static int get_layout(struct subject *subject, struct text *text)
{
	return get_own(subject, text, POLICY_LAYOUT);
}

static int get_why(struct subject *subject, struct text *text)
{
	return S_ISREG(subject->attr.mode) ? why_print(subject, text) : -ENODATA;
}

static int get_job(struct subject *subject, struct text *text)
{
	uint64_t number = control_placing(subject->fs->control, subject->id);

	if (!number)
		return -ENODATA;
	text_add(text, "%llu", (unsigned long long)number);
	return 0;
}

static const struct key {
	const char *name;
	int (*get)(struct subject *subject, struct text *text);
	int kind; /* enum policy_kind when settable, else -1 */
} keys[] = {
	{"tier", get_tier, -1},
	{"tiers", get_tiers, -1},
	{"extents", get_extents, -1},
	{"ratio", get_ratio, -1},
	{"stored", get_stored, -1},
	{"heat", get_heat, -1},
	{"resident", get_resident, -1},
	{"pin", get_pin, POLICY_PIN},
	{"codec", get_codec, POLICY_CODEC},
	{"state", get_state, POLICY_STATE},
	{"replicas", get_replicas, POLICY_REPLICAS},
	{"layout", get_layout, POLICY_LAYOUT},
	{"job", get_job, -1},
	{"why", get_why, -1},
	{"effective.pin", effective_pin, -1},
	{"effective.codec", effective_codec, -1},
	{"effective.state", effective_state, -1},
	{"effective.replicas", effective_replicas, -1},
	{"effective.layout", effective_layout, -1},
	{"effective.rule", effective_rule, -1},
	{"effective.tier", effective_tier, -1},
};

static const struct key *key_find(const char *name)
{
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!strcmp(keys[i].name, name + PREFIX_LEN))
			return &keys[i];
	return NULL;
}

bool terrace_xattr_is(const char *name)
{
	return !strncmp(name, PREFIX, PREFIX_LEN);
}

int terrace_xattr_get(struct fs *fs, uint64_t id, const char *name, void *buf, size_t cap,
		      size_t *len)
{
	struct subject subject = {.fs = fs, .config = pool_config(fs->pool), .id = id};
	const struct key *key = key_find(name);
	struct text text = {.len = 0};
	int r;

	if (!key)
		return -ENODATA;
	r = fs_load(fs, id, &subject.object, &subject.attr);
	if (r)
		return r;
	text.buf = malloc(XATTR_TEXT_MAX);
	r = text.buf ? key->get(&subject, &text) : -ENOMEM;
	if (!r) {
		*len = text.len;
		if (cap && text.len > cap)
			r = -ERANGE;
		else if (cap)
			memcpy(buf, text.buf, text.len);
	}
	free(text.buf);
	object_put(subject.object);
	return r;
}

int terrace_xattr_set(struct fs *fs, uint64_t id, const char *name, const void *value, size_t len,
		      int flags)
{
	const struct key *key = key_find(name);
	char text[POLICY_TEXT_MAX];
	int r;

	if (!key)
		return -EINVAL;
	if (key->kind < 0)
		return -EROFS;
	if (!len || len >= sizeof(text) || memchr(value, '\0', len))
		return -EINVAL;
	memcpy(text, value, len);
	text[len] = '\0';
	if (key->kind == POLICY_LAYOUT)
		return layout_set(fs, id, text, flags);
	r = policy_set(fs->policy, id, (enum policy_kind)key->kind, text, flags);
	if (!r && key->kind != POLICY_CODEC) /* a codec is for what is written from now on */
		control_place(fs->control, id);
	return r;
}

int terrace_xattr_remove(struct fs *fs, uint64_t id, const char *name)
{
	const struct key *key = key_find(name);

	if (!key)
		return -ENODATA;
	if (key->kind < 0)
		return -EROFS;
	if (key->kind == POLICY_LAYOUT)
		return layout_set(fs, id, NULL, 0);
	return policy_set(fs->policy, id, (enum policy_kind)key->kind, NULL, 0);
}
