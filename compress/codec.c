// SPDX-License-Identifier: Apache-2.0
/*
 * The codec table, the text form of a codec, and the scratch that carries each codec's state.
 *
 * Invariants:
 *  1. The table's index is the id on media: entries are only ever appended (terrace-format(5)).
 *  2. A codec sees a level in its range and pointers that are not NULL, whatever the caller passed
 *     for empty buffers.
 *  3. What a call leaves in a scratch is fit for the next call, also after an error.
 * Threads: the table is constant; a scratch belongs to one thread at a time.
 */
#include "compress/codec.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compress/codec_impl.h"

static const struct codec_ops *const codec_table[CODEC_COUNT] = {
	[CODEC_NONE] = &codec_none_ops,
	[CODEC_LZ4] = &codec_lz4_ops,
	[CODEC_ZSTD] = &codec_zstd_ops,
	[CODEC_LZMA] = &codec_lzma_ops,
};

struct codec_scratch {
	void *state[CODEC_COUNT]; /* owned by the codec of that id */
	void *trial;
	size_t trial_len;
};

static const struct codec_ops *codec_find(unsigned id)
{
	return id < CODEC_COUNT ? codec_table[id] : NULL;
}

/* The level to use, in *level; false when the codec has no such level. */
static bool codec_level(const struct codec_ops *ops, int asked, int *level)
{
	if (asked == 0 && !ops->level_zero)
		asked = ops->level_default;
	*level = asked;
	return asked >= ops->level_min && asked <= ops->level_max;
}

int codec_scratch_new(struct codec_scratch **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

void codec_scratch_free(struct codec_scratch *scratch)
{
	if (!scratch)
		return;
	for (unsigned id = 0; id < CODEC_COUNT; id++)
		codec_table[id]->release(scratch->state[id]);
	free(scratch->trial);
	free(scratch);
}

void *codec_scratch_trial(struct codec_scratch *scratch, size_t len)
{
	if (len > scratch->trial_len) {
		/* What a trial wrote is never read again: no realloc(), which would copy it. */
		free(scratch->trial);
		scratch->trial = malloc(len);
		scratch->trial_len = scratch->trial ? len : 0;
	}
	return scratch->trial;
}

const char *codec_name(unsigned id)
{
	const struct codec_ops *ops = codec_find(id);

	return ops ? ops->name : NULL;
}

bool codec_spec_same(const struct codec_spec *a, const struct codec_spec *b)
{
	return a->id == b->id && a->level == b->level;
}

bool codec_spec_valid(const struct codec_spec *spec)
{
	const struct codec_ops *ops = codec_find(spec->id);
	int level;

	return ops && codec_level(ops, spec->level, &level);
}

/*
 * A level as codec_format() prints it: no sign but a minus, no space, no leading zero. strtol()
 * would take " +07" too, and what is read here is shown again to the user elsewhere.
 */
static bool parse_level(const char *text, int *level)
{
	bool minus = *text == '-';
	int value = 0;

	text += minus;
	if (*text == '0' && (minus || text[1]))
		return false;
	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || value > 99)
			return false;
		value = value * 10 + (*text - '0');
	}
	*level = minus ? -value : value;
	return true;
}

int codec_parse(const char *text, struct codec_spec *out)
{
	size_t name_len = strcspn(text, ":");

	for (unsigned id = 0; id < CODEC_COUNT; id++) {
		const struct codec_ops *ops = codec_table[id];
		int level = ops->level_default;

		if (strlen(ops->name) != name_len || strncmp(text, ops->name, name_len) != 0)
			continue;
		if (text[name_len] == ':') {
			if (!ops->has_level || !parse_level(text + name_len + 1, &level))
				return -EINVAL;
			/* 0 is the default's other name inside, but nobody should have to know. */
			if (level == 0 && !ops->level_zero)
				return -EINVAL;
		}
		if (!codec_level(ops, level, &level))
			return -EINVAL;
		*out = (struct codec_spec){.id = (uint8_t)id, .level = (int8_t)level};
		return 0;
	}
	return -EINVAL;
}

void codec_format(const struct codec_spec *spec, char *buf, size_t cap)
{
	const struct codec_ops *ops = codec_find(spec->id);
	int level = spec->level;

	if (!ops) {
		snprintf(buf, cap, "codec%u", spec->id);
		return;
	}
	if (!ops->has_level) {
		snprintf(buf, cap, "%s", ops->name);
		return;
	}
	/* A level out of range is printed as it stands: it may come from a newer program. */
	(void)codec_level(ops, level, &level);
	snprintf(buf, cap, "%s:%d", ops->name, level);
}

size_t codec_bound(unsigned id, size_t len)
{
	const struct codec_ops *ops = codec_find(id);

	return ops ? ops->bound(len) : 0;
}

int codec_encode(struct codec_scratch *scratch, const struct codec_spec *spec, const void *src,
		 size_t len, void *dst, size_t cap, size_t *stored)
{
	const struct codec_ops *ops = codec_find(spec->id);
	int level;
	char empty = 0;

	*stored = 0;
	if (!ops || !codec_level(ops, spec->level, &level))
		return -EINVAL;
	if (len > 0 && ops->bound(len) == 0)
		return -EINVAL;
	return ops->encode(&scratch->state[spec->id], level, len ? src : &empty, len,
			   cap ? dst : &empty, cap, stored);
}

int codec_decode(struct codec_scratch *scratch, unsigned id, const void *src, size_t len, void *dst,
		 size_t raw_len)
{
	const struct codec_ops *ops = codec_find(id);
	char empty = 0;

	if (!ops)
		return -ENOTSUP;
	if (len == 0)
		/* Only "none" stores nothing as nothing; the others always write something. */
		return id == CODEC_NONE && raw_len == 0 ? 0 : -EBADMSG;
	return ops->decode(&scratch->state[id], src, len, raw_len ? dst : &empty, raw_len);
}
