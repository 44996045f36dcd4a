// SPDX-License-Identifier: Apache-2.0
/*
 * What is in force is asked for on every flush and move, so the way out of a pool without settings
 * is one load, and a folder's result is computed once per generation.
 *
 * Invariants:
 *  1. The memory holds what is committed: policy_set() changes it inside its transaction and takes
 *     it back if that fails.
 *  2. A cached result carries the generation it was computed under, read before the walk began; a
 *     change on the way makes it unusable, not wrong.
 */
#include "fs/policy.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compress/bytes.h"
#include "fs/fs.h"
#include "tiers/keys.h"
#include "tiers/log.h"
#include "tiers/meta.h"
#include "tiers/object.h"

#define KEY_HEAD     "fs.policy."
#define KEY_HEAD_LEN (sizeof(KEY_HEAD) - 1)
#define KEY_LEN	     (1 + KEY_HEAD_LEN + 8)
#define VALUE_LEN    (1 + POLICY_KINDS * POLICY_TEXT_MAX)
#define BUCKETS	     256u
#define CACHE_SLOTS  1024u
#define DEPTH_MAX    4096u /* a walk that meets a rename half way must end */

struct setting { /* of one inode; an empty text is "not set" */
	struct setting *next;
	uint64_t id;
	char text[POLICY_KINDS][POLICY_TEXT_MAX];
	int pin; /* of text[POLICY_PIN]; -1: none, or a tier that the config no longer has */
	bool has_codec;
	struct codec_spec codec;
};

struct effective { /* copies: a setting may go while they are in use */
	int pin;
	bool has_codec;
	struct codec_spec codec;
	char text[POLICY_KINDS][POLICY_TEXT_MAX];
	uint64_t source[POLICY_KINDS]; /* 0 = none */
};

struct cached {
	uint64_t folder, generation;
	struct effective value;
};

struct policy {
	struct fs *fs;
	_Atomic uint64_t count;	     /* settings; 0 is the fast way out */
	_Atomic uint64_t generation; /* of what the cache was made from */
	pthread_mutex_t lock;	     /* guards buckets and cache; a leaf */
	struct setting *buckets[BUCKETS];
	struct cached cache[CACHE_SLOTS];
};

static void key_put(uint8_t key[static KEY_LEN], uint64_t id)
{
	key[0] = KEY_POOL;
	memcpy(key + 1, KEY_HEAD, KEY_HEAD_LEN);
	put_be64(key + 1 + KEY_HEAD_LEN, id);
}

static struct setting **slot_locked(struct policy *policy, uint64_t id)
{
	struct setting **p = &policy->buckets[id % BUCKETS];

	while (*p && (*p)->id != id)
		p = &(*p)->next;
	return p;
}

static int tier_index(struct policy *policy, const char *name)
{
	const struct pool_config *config = pool_config(policy->fs->pool);

	for (uint32_t i = 0; i < config->ntiers; i++)
		if (!strcmp(config->tiers[i].name, name))
			return (int)i;
	return -1;
}

static void interpret(struct policy *policy, struct setting *setting)
{
	const char *codec = setting->text[POLICY_CODEC];

	setting->pin = tier_index(policy, setting->text[POLICY_PIN]);
	setting->has_codec = *codec && !codec_parse(codec, &setting->codec);
}

static bool is_empty(const struct setting *setting)
{
	return !setting->text[POLICY_PIN][0] && !setting->text[POLICY_CODEC][0];
}

/* Puts a copy in the place of the inode's setting; an empty one removes it. -ENOMEM. */
static int replace_locked(struct policy *policy, const struct setting *setting)
{
	struct setting **slot = slot_locked(policy, setting->id), *next = NULL, *copy = NULL;

	if (!is_empty(setting)) {
		copy = malloc(sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		*copy = *setting;
	}
	if (*slot) {
		next = (*slot)->next;
		free(*slot);
		policy->count--;
	}
	if (copy) {
		copy->next = next;
		next = copy;
		policy->count++;
	}
	*slot = next;
	policy->generation++;
	return 0;
}

static int load_one(struct policy *policy, const struct meta_item *item)
{
	struct setting setting = {.next = NULL};

	if (item->key_len != KEY_LEN || item->len != VALUE_LEN || item->value[0] != 1)
		return -EUCLEAN;
	setting.id = get_be64(item->key + 1 + KEY_HEAD_LEN);
	memcpy(setting.text, item->value + 1, sizeof(setting.text));
	for (unsigned kind = 0; kind < POLICY_KINDS; kind++)
		setting.text[kind][POLICY_TEXT_MAX - 1] = '\0';
	interpret(policy, &setting);
	if (setting.text[POLICY_PIN][0] && setting.pin < 0)
		log_warning("inode %llu is pinned to tier %s, which the pool does not have: not "
			    "pinned",
			    (unsigned long long)setting.id, setting.text[POLICY_PIN]);
	return replace_locked(policy, &setting);
}

int policy_new(struct fs *fs, struct policy **out)
{
	struct policy *policy = calloc(1, sizeof(*policy));
	struct meta_cursor *cursor = NULL;
	struct meta_item item;
	uint8_t key[KEY_LEN];
	int r = -ENOMEM;

	if (!policy)
		goto out;
	policy->fs = fs;
	policy->generation = 1; /* 0 marks an unused cache slot */
	pthread_mutex_init(&policy->lock, NULL);
	key_put(key, 0);
	r = meta_cursor_open(fs->meta, key, 1 + KEY_HEAD_LEN, NULL, 0, &cursor);
	if (r)
		goto out;
	while (!(r = meta_cursor_next(cursor, &item))) {
		r = load_one(policy, &item);
		if (r)
			goto out;
	}
	if (r != -ENOENT)
		goto out;
	*out = policy;
	policy = NULL;
	r = 0;
out:
	if (cursor)
		meta_cursor_close(cursor);
	policy_free(policy);
	if (r)
		log_error("the pins and codecs of files cannot be read: %s", strerror(-r));
	return r;
}

void policy_free(struct policy *policy)
{
	if (!policy)
		return;
	for (unsigned i = 0; i < BUCKETS; i++) {
		while (policy->buckets[i]) {
			struct setting *setting = policy->buckets[i];

			policy->buckets[i] = setting->next;
			free(setting);
		}
	}
	pthread_mutex_destroy(&policy->lock);
	free(policy);
}

static int check(struct policy *policy, enum policy_kind kind, const char *text)
{
	struct codec_spec spec;

	if (strlen(text) >= POLICY_TEXT_MAX)
		return -EINVAL;
	if (kind == POLICY_PIN)
		return tier_index(policy, text) < 0 ? -EINVAL : 0;
	return codec_parse(text, &spec) ? -EINVAL : 0;
}

/* Stages the record and the inode's mark. *object: a reference, for the time of the transaction. */
static int stage(struct txn *txn, struct fs *fs, const struct setting *setting,
		 struct object **object)
{
	uint8_t key[KEY_LEN], value[VALUE_LEN] = {1};
	struct attr attr;
	int r;

	r = fs_load(fs, setting->id, object, &attr);
	if (r)
		return r;
	attr.flags |= ATTR_HAS_POLICY;
	attr.ctime = attr_now();
	r = fs_store(txn, *object, &attr);
	if (r)
		return r;
	key_put(key, setting->id);
	memcpy(value + 1, setting->text, sizeof(setting->text));
	return is_empty(setting) ? txn_del(txn, key, sizeof(key))
				 : txn_put(txn, key, sizeof(key), value, sizeof(value));
}

int policy_set(struct policy *policy, uint64_t id, enum policy_kind kind, const char *text)
{
	struct setting setting = {.id = id}, before = {.id = id}, *old;
	struct object *object = NULL;
	struct txn *txn;
	int r;

	r = text ? check(policy, kind, text) : 0;
	if (r)
		return r;
	txn = txn_begin(policy->fs->pool); /* also keeps two setters apart */
	pthread_mutex_lock(&policy->lock);
	old = *slot_locked(policy, id);
	if (old)
		setting = before = *old;
	pthread_mutex_unlock(&policy->lock);
	if (!text && !setting.text[kind][0])
		r = -ENODATA;
	memset(setting.text[kind], 0, POLICY_TEXT_MAX);
	if (text)
		memcpy(setting.text[kind], text, strlen(text));
	interpret(policy, &setting);
	if (!r)
		r = stage(txn, policy->fs, &setting, &object);
	if (!r) { /* first the step that may lack memory, then the one that cannot be undone */
		pthread_mutex_lock(&policy->lock);
		r = replace_locked(policy, &setting);
		pthread_mutex_unlock(&policy->lock);
	}
	if (r) {
		txn_abort(txn);
		goto out;
	}
	r = txn_commit(txn);
	if (r) {
		pthread_mutex_lock(&policy->lock);
		replace_locked(policy, &before);
		pthread_mutex_unlock(&policy->lock);
	}
out:
	if (object)
		object_put(object);
	return r;
}

int policy_get(struct policy *policy, uint64_t id, enum policy_kind kind,
	       char buf[static POLICY_TEXT_MAX])
{
	struct setting *setting;
	int r = -ENODATA;

	pthread_mutex_lock(&policy->lock);
	setting = *slot_locked(policy, id);
	if (setting && setting->text[kind][0]) {
		memcpy(buf, setting->text[kind], POLICY_TEXT_MAX);
		r = 0;
	}
	pthread_mutex_unlock(&policy->lock);
	return r;
}

static void take(struct effective *value, const struct setting *setting)
{
	if (!value->source[POLICY_PIN] && setting->pin >= 0) {
		value->pin = setting->pin;
		value->source[POLICY_PIN] = setting->id;
		memcpy(value->text[POLICY_PIN], setting->text[POLICY_PIN], POLICY_TEXT_MAX);
	}
	if (!value->source[POLICY_CODEC] && setting->has_codec) {
		value->has_codec = true;
		value->codec = setting->codec;
		value->source[POLICY_CODEC] = setting->id;
		memcpy(value->text[POLICY_CODEC], setting->text[POLICY_CODEC], POLICY_TEXT_MAX);
	}
}

/* What a folder found earlier fills in where nothing nearer has spoken. */
static void inherit(struct effective *value, const struct effective *above)
{
	if (!value->source[POLICY_PIN]) {
		value->pin = above->pin;
		value->source[POLICY_PIN] = above->source[POLICY_PIN];
		memcpy(value->text[POLICY_PIN], above->text[POLICY_PIN], POLICY_TEXT_MAX);
	}
	if (!value->source[POLICY_CODEC]) {
		value->has_codec = above->has_codec;
		value->codec = above->codec;
		value->source[POLICY_CODEC] = above->source[POLICY_CODEC];
		memcpy(value->text[POLICY_CODEC], above->text[POLICY_CODEC], POLICY_TEXT_MAX);
	}
}

/* Own setting, then the cache: true when the cache had the rest. */
static bool look(struct policy *policy, uint64_t id, uint64_t generation, struct effective *value)
{
	struct cached *cached = &policy->cache[id % CACHE_SLOTS];
	struct setting *setting;
	bool hit;

	pthread_mutex_lock(&policy->lock);
	setting = *slot_locked(policy, id);
	if (setting)
		take(value, setting);
	hit = cached->folder == id && cached->generation == generation;
	if (hit)
		inherit(value, &cached->value);
	pthread_mutex_unlock(&policy->lock);
	return hit;
}

static int parent_of(struct fs *fs, uint64_t id, uint64_t *parent)
{
	struct object *object;
	struct attr attr;
	int r = fs_load(fs, id, &object, &attr);

	if (r)
		return r;
	object_put(object);
	*parent = attr.parent;
	return 0;
}

/* What is in force in a folder, from itself up to the root. */
static void walk(struct policy *policy, uint64_t folder, struct effective *out)
{
	uint64_t generation = policy->generation, id = folder, parent;
	struct cached *cached = &policy->cache[folder % CACHE_SLOTS];

	for (unsigned depth = 0; depth < DEPTH_MAX; depth++) {
		if (look(policy, id, generation, out) || id == OBJECT_ID_ROOT ||
		    parent_of(policy->fs, id, &parent) || !parent)
			break;
		id = parent;
	}
	pthread_mutex_lock(&policy->lock);
	if (generation == policy->generation)
		*cached =
			(struct cached){.folder = folder, .generation = generation, .value = *out};
	pthread_mutex_unlock(&policy->lock);
}

static void resolve(struct policy *policy, uint64_t id, struct effective *out)
{
	struct effective above = {.pin = -1};
	uint64_t parent;

	*out = (struct effective){.pin = -1};
	if (!policy->count)
		return;
	look(policy, id, 0, out);
	if (id == OBJECT_ID_ROOT || parent_of(policy->fs, id, &parent) || !parent)
		return;
	walk(policy, parent, &above);
	inherit(out, &above);
}

int policy_source(struct policy *policy, uint64_t id, enum policy_kind kind,
		  char buf[static POLICY_TEXT_MAX], uint64_t *source)
{
	struct effective value;

	resolve(policy, id, &value);
	if (!value.source[kind])
		return -ENODATA;
	memcpy(buf, value.text[kind], POLICY_TEXT_MAX);
	*source = value.source[kind];
	return 0;
}

bool policy_any(struct policy *policy)
{
	return policy->count != 0;
}

void policy_effective(struct policy *policy, uint64_t id, uint32_t age_s, struct object_policy *out)
{
	struct effective value;

	(void)age_s;

	resolve(policy, id, &value);
	out->pin = value.pin;
	out->has_codec = value.has_codec;
	out->codec = value.codec;
}

void policy_moved(struct policy *policy)
{
	policy->generation++;
}

int policy_stage_delete(struct txn *txn, uint64_t id)
{
	uint8_t key[KEY_LEN];

	key_put(key, id);
	return txn_del(txn, key, sizeof(key));
}

void policy_deleted(struct policy *policy, uint64_t id)
{
	struct setting none = {.id = id};

	pthread_mutex_lock(&policy->lock);
	replace_locked(policy, &none);
	pthread_mutex_unlock(&policy->lock);
}
