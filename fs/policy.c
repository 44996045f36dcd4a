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
#include <sys/xattr.h>

#include "compress/bytes.h"
#include "fs/fs.h"
#include "tiers/keys.h"
#include "tiers/log.h"
#include "tiers/meta.h"
#include "tiers/object.h"
#include "tiers/record_get.h"
#include "tiers/segment.h"

#define KEY_HEAD     "fs.policy."
#define KEY_HEAD_LEN (sizeof(KEY_HEAD) - 1)
#define KEY_LEN	     (1 + KEY_HEAD_LEN + 8)
#define VALUE_LEN    (1 + POLICY_KINDS * POLICY_TEXT_MAX)
#define BUCKETS	     256u
#define CACHE_SLOTS  1024u
#define PATH_CAP     4096u
#define DEPTH_MAX    4096u /* a walk that meets a rename half way must end */

/* What is said of one kind. */
struct choice {
	char text[POLICY_TEXT_MAX]; /* "" = nothing */
	bool valid;		    /* not: a tier that the config no longer has */
	uint64_t source;	    /* the inode that it is set on */
	int number;		    /* tier, enum object_state, copies, layout: 0 is frames */
	struct codec_spec codec;
};

struct choices { /* copies: a setting may go while they are in use */
	struct choice of[POLICY_KINDS];
};

struct setting { /* of one inode */
	struct setting *next;
	uint64_t id;
	struct choices choices;
};

struct cached {
	uint64_t folder, generation;
	struct choices value;
};

struct cached_path {
	uint64_t folder, generation;
	char *path;
};

struct policy {
	struct fs *fs;
	struct rules *rules;
	_Atomic uint64_t count;	     /* settings; 0 is the fast way out */
	_Atomic uint64_t generation; /* of what the caches were made from */
	pthread_mutex_t lock;	     /* guards buckets and caches; a leaf */
	struct setting *buckets[BUCKETS];
	struct cached cache[CACHE_SLOTS];
	struct cached_path paths[CACHE_SLOTS]; /* of folders */
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

static const char *const kind_names[] = {"pin", "codec", "state", "replicas", "layout"};
static const char *const state_names[] = {"active", "sealed", "archived"};

const char *policy_kind_name(enum policy_kind kind)
{
	return kind_names[kind];
}

const char *policy_state_name(enum object_state state)
{
	return state_names[state];
}

static const char *const layout_names[] = {"frames", "plain", POLICY_DATABASE};

static int name_index(const char *const *names, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(names[i], name))
			return i;
	return -1;
}

/* Makes sense of choice->text. */
static void interpret(struct policy *policy, enum policy_kind kind, struct choice *choice)
{
	choice->number = -1;
	switch (kind) {
	case POLICY_PIN:
		choice->number = tier_index(policy, choice->text);
		choice->valid = choice->number >= 0;
		break;
	case POLICY_CODEC:
		choice->valid = choice->text[0] && !codec_parse(choice->text, &choice->codec);
		break;
	case POLICY_REPLICAS:
		choice->number = choice->text[0] - '0';
		choice->valid = choice->number >= 1 && choice->number <= (int)COPIES_MAX &&
				!choice->text[1];
		break;
	case POLICY_STATE:
		choice->number = name_index(state_names, 3, choice->text);
		choice->valid = choice->number >= 0;
		break;
	default:
		choice->number = name_index(layout_names, 3, choice->text);
		choice->valid = choice->number >= 0;
		break;
	}
}

static void choose(struct policy *policy, struct setting *setting, enum policy_kind kind,
		   const char *text)
{
	struct choice *choice = &setting->choices.of[kind];

	memset(choice, 0, sizeof(*choice));
	choice->source = setting->id;
	if (text)
		memcpy(choice->text, text, strnlen(text, POLICY_TEXT_MAX - 1));
	interpret(policy, kind, choice);
}

static bool is_set(const struct setting *setting, enum policy_kind kind)
{
	return setting->choices.of[kind].text[0];
}

static bool is_empty(const struct setting *setting)
{
	for (unsigned kind = 0; kind < POLICY_KINDS; kind++)
		if (is_set(setting, kind))
			return false;
	return true;
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

/* An inode that was unlinked while it was open, and whose daemon died, has been deleted by the
 * tiers, which know nothing of settings. What is not dropped now is at the next mount. */
static bool drop_left(struct fs *fs, uint64_t id)
{
	struct object_record record;
	struct txn *txn;

	if (object_record_get(fs->meta, id, &record) != -ENOENT)
		return false;
	txn = txn_begin(fs->pool);
	txn_frees(txn);
	policy_stage_delete(txn, id);
	(void)txn_commit(txn);
	return true;
}

static int load_one(struct policy *policy, const struct meta_item *item)
{
	struct setting setting = {.next = NULL};
	unsigned kinds;

	if (item->key_len != KEY_LEN || !policy_record_readable(item->value, item->len, &kinds))
		return -EUCLEAN;
	setting.id = get_be64(item->key + 1 + KEY_HEAD_LEN);
	if (drop_left(policy->fs, setting.id))
		return 0;
	for (unsigned kind = 0; kind < kinds; kind++)
		choose(policy, &setting, kind,
		       (const char *)item->value + 1 + kind * POLICY_TEXT_MAX);
	if (is_set(&setting, POLICY_PIN) && !setting.choices.of[POLICY_PIN].valid)
		log_warning("inode %llu is pinned to tier %s, which the pool does not have: not "
			    "pinned",
			    (unsigned long long)setting.id, setting.choices.of[POLICY_PIN].text);
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
	r = rules_new(pool_config(fs->pool), &policy->rules);
	if (r)
		goto out;
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
	for (unsigned i = 0; i < CACHE_SLOTS; i++)
		free(policy->paths[i].path);
	rules_free(policy->rules);
	pthread_mutex_destroy(&policy->lock);
	free(policy);
}

static int check(struct policy *policy, enum policy_kind kind, const char *text)
{
	struct setting setting = {.next = NULL};

	if (strlen(text) >= POLICY_TEXT_MAX)
		return -EINVAL;
	choose(policy, &setting, kind, text);
	return setting.choices.of[kind].valid ? 0 : -EINVAL;
}

/* Stages the record and the inode's mark. quiet: not its time. *object: a reference, for the time
 * of the transaction. */
static int stage(struct txn *txn, struct fs *fs, const struct setting *setting, bool quiet,
		 struct object **object)
{
	uint8_t key[KEY_LEN], value[VALUE_LEN];
	unsigned kinds = POLICY_KINDS;
	struct attr attr;
	int r;

	r = fs_load(fs, setting->id, object, &attr);
	if (r)
		return r;
	attr.flags |= ATTR_HAS_POLICY;
	if (!quiet)
		attr.ctime = attr_now();
	r = fs_store(txn, *object, &attr);
	if (r)
		return r;
	key_put(key, setting->id);
	while (kinds > 2 && !is_set(setting, kinds - 1)) /* the oldest version that has it all */
		kinds--;
	value[0] = (uint8_t)(kinds - 1);
	for (unsigned kind = 0; kind < kinds; kind++)
		memcpy(value + 1 + kind * POLICY_TEXT_MAX, setting->choices.of[kind].text,
		       POLICY_TEXT_MAX);
	return is_empty(setting)
		       ? txn_del(txn, key, sizeof(key))
		       : txn_put(txn, key, sizeof(key), value, 1 + kinds * POLICY_TEXT_MAX);
}

static int check_flags(const struct setting *setting, enum policy_kind kind, const char *text,
		       int flags, const char *word)
{
	if (word && !text && strcmp(setting->choices.of[kind].text, word) != 0)
		return -ENODATA; /* somebody else's is not the engine's to remove */
	if (is_set(setting, kind))
		return text && flags & XATTR_CREATE ? -EEXIST : 0;
	return !text || flags & XATTR_REPLACE ? -ENODATA : 0;
}

/* word: the engine's, which text is or which is to be removed; NULL: somebody's. */
static int change(struct policy *policy, uint64_t id, enum policy_kind kind, const char *text,
		  int flags, const char *word)
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
	r = check_flags(&setting, kind, text, flags, word);
	choose(policy, &setting, kind, text);
	if (!r)
		r = stage(txn, policy->fs, &setting, word != NULL, &object);
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

int policy_set(struct policy *policy, uint64_t id, enum policy_kind kind, const char *text,
	       int flags)
{
	return change(policy, id, kind, text, flags, NULL);
}

int policy_note(struct policy *policy, uint64_t id, enum policy_kind kind, const char *word,
		bool holds)
{
	return change(policy, id, kind, holds ? word : NULL, holds ? XATTR_CREATE : 0, word);
}

int policy_get(struct policy *policy, uint64_t id, enum policy_kind kind,
	       char buf[static POLICY_TEXT_MAX])
{
	struct setting *setting;
	int r = -ENODATA;

	pthread_mutex_lock(&policy->lock);
	setting = *slot_locked(policy, id);
	if (setting && is_set(setting, kind)) {
		memcpy(buf, setting->choices.of[kind].text, POLICY_TEXT_MAX);
		r = 0;
	}
	pthread_mutex_unlock(&policy->lock);
	return r;
}

/* What is further away fills in where nothing nearer has spoken. */
static void inherit(struct choices *value, const struct choices *above)
{
	for (unsigned kind = 0; kind < POLICY_KINDS; kind++)
		if (!value->of[kind].valid && above->of[kind].valid)
			value->of[kind] = above->of[kind];
}

/* Own setting, then the cache: true when the cache had the rest. */
static bool look(struct policy *policy, uint64_t id, uint64_t generation, struct choices *value)
{
	struct cached *cached = &policy->cache[id % CACHE_SLOTS];
	struct setting *setting;
	bool hit;

	pthread_mutex_lock(&policy->lock);
	setting = *slot_locked(policy, id);
	if (setting)
		inherit(value, &setting->choices);
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
static void walk(struct policy *policy, uint64_t folder, struct choices *out)
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

/* What is set for an inode whose folder is known; parent 0: it is not. */
static void resolve(struct policy *policy, uint64_t id, uint64_t parent, struct choices *out)
{
	struct choices above = {.of[0].valid = false};

	*out = above;
	if (!policy->count)
		return;
	look(policy, id, 0, out);
	if (id == OBJECT_ID_ROOT || !parent)
		return;
	walk(policy, parent, &above);
	/* The engine's own word counts where nobody has said anything. */
	if (above.of[POLICY_LAYOUT].valid && !strcmp(out->of[POLICY_LAYOUT].text, POLICY_DATABASE))
		out->of[POLICY_LAYOUT].valid = false;
	inherit(out, &above);
}

int policy_source(struct policy *policy, uint64_t id, enum policy_kind kind,
		  char buf[static POLICY_TEXT_MAX], uint64_t *source)
{
	struct choices value;
	uint64_t parent;

	if (!policy->count)
		return -ENODATA;
	resolve(policy, id, parent_of(policy->fs, id, &parent) ? 0 : parent, &value);
	if (!value.of[kind].valid)
		return -ENODATA;
	memcpy(buf, value.of[kind].text, POLICY_TEXT_MAX);
	*source = value.of[kind].source;
	return 0;
}

bool policy_any(struct policy *policy)
{
	return policy->count || rules_count(policy->rules);
}

/* Rules ---------------------------------------------------------------------------------------- */

/* The path of a folder, from the cache if it can be. False: it has none. */
static bool folder_path(struct policy *policy, uint64_t folder, char *buf, size_t cap)
{
	struct cached_path *cached = &policy->paths[folder % CACHE_SLOTS];
	uint64_t generation = policy->generation;
	char *copy = NULL;
	bool hit;

	pthread_mutex_lock(&policy->lock);
	hit = cached->folder == folder && cached->generation == generation && cached->path;
	if (hit)
		snprintf(buf, cap, "%s", cached->path);
	pthread_mutex_unlock(&policy->lock);
	if (hit)
		return true;
	fs_path(policy->fs, folder, buf, cap);
	if (*buf != '/')
		return false;
	copy = strdup(buf);
	pthread_mutex_lock(&policy->lock);
	if (copy && generation == policy->generation) {
		free(cached->path);
		*cached = (struct cached_path){folder, generation, copy};
		copy = NULL;
	}
	pthread_mutex_unlock(&policy->lock);
	free(copy);
	return true;
}

struct named { /* of whom rules are asked */
	struct policy *policy;
	uint64_t id;
	struct attr attr;
};

static bool path_of(void *arg, char *buf, size_t cap)
{
	const struct named *named = arg;
	char name[DIR_NAME_MAX];
	size_t used, len;

	if (!named->attr.parent || !folder_path(named->policy, named->attr.parent, buf, cap) ||
	    fs_name(named->policy->fs, named->id, &named->attr, name, &len))
		return false;
	used = strlen(buf);
	used -= used == 1; /* the root */
	if (used + len + 2 > cap)
		return false;
	buf[used] = '/';
	memcpy(buf + used + 1, name, len);
	buf[used + 1 + len] = '\0';
	return true;
}

static void ask(struct policy *policy, uint64_t id, const struct attr *attr, uint64_t size,
		uint32_t age_s, struct rules_answer *out)
{
	struct named named = {policy, id, *attr};
	struct rules_subject subject = {
		.size = size, .uid = attr->uid, .age_s = age_s, .path = path_of, .arg = &named};

	*out = (struct rules_answer){.rule = -1, .tier = -1};
	if (rules_count(policy->rules) && S_ISREG(attr->mode))
		rules_ask(policy->rules, &subject, out);
}

void policy_ask_rules(struct policy *policy, uint64_t id, uint32_t age_s, struct rules_answer *out)
{
	struct object *object;
	struct attr attr;
	uint64_t size;

	*out = (struct rules_answer){.rule = -1, .tier = -1};
	if (!rules_count(policy->rules) || fs_load(policy->fs, id, &object, &attr))
		return;
	size = object_size(object);
	object_put(object);
	ask(policy, id, &attr, size, age_s, out);
}

int policy_rules_set(struct policy *policy, const struct pool_config *config)
{
	return rules_set(policy->rules, config);
}

/* What is set goes before rules: a rule must not keep a pinned file from its tier. */
static void settle(const struct choices *set, const struct rules_answer *rule,
		   struct object_policy *out)
{
	const struct choice *pin = &set->of[POLICY_PIN], *codec = &set->of[POLICY_CODEC],
			    *state = &set->of[POLICY_STATE], *replicas = &set->of[POLICY_REPLICAS],
			    *layout = &set->of[POLICY_LAYOUT];

	*out = (struct object_policy){.pin = pin->valid ? pin->number : -1,
				      .has_codec = codec->valid || rule->has_codec,
				      .codec = codec->valid ? codec->codec : rule->codec,
				      .replicas = replicas->valid ? (unsigned)replicas->number
								  : rule->replicas,
				      .state = OBJECT_ACTIVE,
				      .rule = rule->rule,
				      .tier = rule->tier,
				      .never_tiers = rule->never_tiers,
				      .ignore = rule->ignore,
				      .plain = layout->valid ? layout->number : rule->plain};
	if (state->valid)
		out->state = (enum object_state)state->number;
	if (out->state != OBJECT_ACTIVE) /* it will not be written to any more */
		out->plain = false;
	if (out->pin > 0 || out->state == OBJECT_ARCHIVED) {
		out->tier = -1;
		out->never_tiers = 0;
	}
	if (out->pin >= 0 || out->state != OBJECT_ACTIVE)
		out->ignore = false;
}

void policy_effective(struct policy *policy, uint64_t id, uint32_t age_s, struct object_policy *out)
{
	struct rules_answer rule;
	struct choices set;
	struct object *object;
	struct attr attr;
	uint64_t size;

	*out = (struct object_policy){.pin = -1, .rule = -1, .tier = -1};
	if (!policy_any(policy) || fs_load(policy->fs, id, &object, &attr))
		return;
	size = object_size(object);
	object_put(object);
	resolve(policy, id, attr.parent, &set);
	ask(policy, id, &attr, size, age_s, &rule);
	settle(&set, &rule, out);
}

/* All settings --------------------------------------------------------------------------------- */

int policy_each(struct policy *policy, int (*each)(void *arg, const struct policy_item *item),
		void *arg)
{
	struct policy_item *items;
	size_t n = 0, cap;
	int r = 0;

	pthread_mutex_lock(&policy->lock);
	cap = policy->count;
	items = calloc(cap + 1, sizeof(*items));
	for (unsigned i = 0; items && i < BUCKETS; i++) {
		for (const struct setting *s = policy->buckets[i]; s && n < cap; s = s->next) {
			items[n].id = s->id;
			for (unsigned kind = 0; kind < POLICY_KINDS; kind++)
				memcpy(items[n].text[kind], s->choices.of[kind].text,
				       POLICY_TEXT_MAX);
			n++;
		}
	}
	pthread_mutex_unlock(&policy->lock);
	if (!items)
		return -ENOMEM;
	for (size_t i = 0; i < n && !r; i++)
		r = each(arg, &items[i]);
	free(items);
	return r;
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
