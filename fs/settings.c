// SPDX-License-Identifier: Apache-2.0
/*
 * Two configurations: `now` is what counts, `file` what the file said when it was last read or
 * written. They differ in what was set for the run time only.
 *
 * Invariants:
 *  1. `now` has the keys that need a mount as they were at the mount.
 *  2. A change is checked whole, then in the file, then in force: what was refused is in neither.
 */
#include "fs/settings.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/fs.h"
#include "fs/policy.h"
#include "fs/text.h"
#include "tiers/config_edit.h"
#include "tiers/config_keys.h"
#include "tiers/engine/engine.h"
#include "tiers/engine/events.h"
#include "tiers/log.h"
#include "tiers/places.h"
#include "tiers/pool.h"
#include "tiers/tunables.h"

#define SECTION_CAP 64u
#define KEY_CAP	    64u

struct settings {
	struct fs *fs;
	pthread_mutex_t lock; /* guards all below; changes take turns under it */
	struct pool_config now, file;
	char *text; /* of the file; NULL: it has none, or could not be read */
	size_t len;
};

static int __attribute__((format(printf, 4, 5)))
say(int error, char *message, size_t cap, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(message, cap, format, args);
	va_end(args);
	return error;
}

int settings_new(struct fs *fs, struct settings **out)
{
	struct settings *settings = calloc(1, sizeof(*settings));
	const struct pool_config *config = pool_config(fs->pool);
	int r = settings ? config_copy(config, &settings->now) : -ENOMEM;

	if (!r)
		r = config_copy(config, &settings->file);
	if (r) {
		if (settings)
			config_release(&settings->now);
		free(settings);
		return r;
	}
	settings->fs = fs;
	pthread_mutex_init(&settings->lock, NULL);
	if (config->file)
		config_edit_read(config->file, &settings->text, &settings->len);
	*out = settings;
	return 0;
}

void settings_free(struct settings *settings)
{
	if (!settings)
		return;
	config_release(&settings->now);
	config_release(&settings->file);
	free(settings->text);
	pthread_mutex_destroy(&settings->lock);
	free(settings);
}

/* Showing -------------------------------------------------------------------------------------- */

static const char *source_of(const struct settings *settings, const struct config_key *key,
			     const void *now, const void *file, const char *section, bool live)
{
	if (!config_value_equal(key, now, file))
		return live ? "run time" : "mount"; /* the file says something else by now */
	return settings->text && config_edit_has(settings->text, settings->len, section, key->name)
		       ? "file"
		       : "default";
}

static json_t *value_json(const struct config_key *key, const void *base)
{
	char *text = config_value_text(key, base);
	json_t *json = text ? json_string(text) : NULL;

	free(text);
	return json;
}

/* Keys of [pool], or of a tier: tier is then its name with a point. */
static void add_section(struct settings *settings, json_t *list, const struct config_key *key,
			const char *section, const char *tier, const void *now, const void *file,
			const void *defaults, const struct config_tier *of)
{
	bool ram = of && of->kind == TIER_KIND_RAM;
	char name[KEY_CAP];

	for (; key->name; key++) {
		if ((ram && !(key->flags & CONFIG_RAM)) || key->kind == CONFIG_PATHS ||
		    !strncmp(key->name, "test_", 5) || key->kind == CONFIG_PATH ||
		    key->kind == CONFIG_UUID)
			continue; /* `terrace config` shows places */
		snprintf(name, sizeof(name), "%s%s", tier, key->name);
		json_array_append_new(list,
				      json_pack("{ss so so ss sb ss}", "key", name, "value",
						value_json(key, now), "default",
						value_json(key, defaults), "source",
						source_of(settings, key, now, file, section,
							  config_live(key, of)),
						"live", config_live(key, of), "help", key->help));
	}
}

static json_t *settings_list(struct settings *settings)
{
	struct pool_config *pool = calloc(1, sizeof(*pool));
	json_t *list = json_array();
	bool first = true;

	if (!pool) {
		json_decref(list);
		return NULL;
	}
	config_pool_defaults(pool);
	add_section(settings, list, config_pool_keys, "pool", "", &settings->now, &settings->file,
		    pool, NULL);
	for (uint32_t t = 0; t < settings->now.ntiers; t++) {
		const struct config_tier *tier = &settings->now.tiers[t];
		struct config_tier defaults = {.name = NULL};
		char section[SECTION_CAP], prefix[SECTION_CAP];

		config_tier_defaults(&defaults, tier->kind, first);
		first = first && tier->kind == TIER_KIND_RAM;
		snprintf(section, sizeof(section), "tier %s", tier->name);
		snprintf(prefix, sizeof(prefix), "%s.", tier->name);
		add_section(settings, list, config_tier_keys, section, prefix, tier,
			    &settings->file.tiers[t], &defaults, tier);
	}
	free(pool);
	return list;
}

/* The lines of a rule's section, as {"key": value}, values of repeated keys as a list. */
static json_t *rule_json(const struct config_rule *rule)
{
	json_t *json = json_pack("{ss}", "name", rule->name);
	char *text = NULL, *rest, *line;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return json;
	config_rule_print(rule, out);
	if (fclose(out)) {
		free(text);
		return json;
	}
	rest = text;
	while ((line = strsep(&rest, "\n")) && *line) {
		char *value = strstr(line, " = ");
		json_t *list;

		*value = '\0';
		value += 3;
		if (strcmp(line, "match") != 0 && strcmp(line, "never") != 0) {
			json_object_set_new(json, line, json_string(value));
			continue;
		}
		list = json_object_get(json, line);
		if (!list) {
			list = json_array();
			json_object_set_new(json, line, list);
		}
		json_array_append_new(list, json_name(value));
	}
	free(text);
	return json;
}

char *settings_json(struct settings *settings)
{
	json_t *rules = json_array(), *root;
	char *text;

	pthread_mutex_lock(&settings->lock);
	for (uint32_t i = 0; i < settings->now.nrules; i++)
		json_array_append_new(rules, rule_json(&settings->now.rules[i]));
	root = json_pack("{ss so so}", "file", settings->now.file ? settings->now.file : "",
			 "settings", settings_list(settings), "rules", rules);
	pthread_mutex_unlock(&settings->lock);
	text = root ? json_dumps(root, JSON_COMPACT) : NULL;
	json_decref(root);
	return text;
}

/* Changing ------------------------------------------------------------------------------------- */

struct target { /* what a KEY or TIER.KEY names */
	const struct config_key *key;
	char section[SECTION_CAP]; /* of the file */
	struct config_section in;  /* of the configuration to be changed */
};

static int say_unknown(const struct pool_config *config, const char *name, char *message,
		       size_t cap)
{
	size_t used = (size_t)snprintf(message, cap,
				       "'%.60s' is no setting; `terrace policy` shows them; of "
				       "tiers they are TIER.KEY, tiers are:",
				       name);

	for (uint32_t t = 0; t < config->ntiers && used < cap; t++)
		used += (size_t)snprintf(message + used, cap - used, " %s", config->tiers[t].name);
	return -EINVAL;
}

static int find_target(struct pool_config *config, const char *name, struct target *out,
		       char *message, size_t cap)
{
	const char *point = strchr(name, '.');
	struct config_tier *tier = NULL;

	*out = (struct target){.key = NULL};
	for (uint32_t t = 0; point && t < config->ntiers; t++)
		if (strlen(config->tiers[t].name) == (size_t)(point - name) &&
		    !strncmp(config->tiers[t].name, name, (size_t)(point - name)))
			tier = &config->tiers[t];
	if (point && tier)
		out->key = config_key_find(config_tier_keys, point + 1);
	else if (!point)
		out->key = config_key_find(config_pool_keys, name);
	if (!out->key || (tier && tier->kind == TIER_KIND_RAM && !(out->key->flags & CONFIG_RAM)))
		return say_unknown(config, name, message, cap);
	if (!config_live(out->key, tier))
		return say(-EINVAL, message, cap,
			   out->key->kind == CONFIG_PATHS
				   ? "%s: see terrace config for adding and removing directories"
				   : "%s cannot change while the pool is mounted: unmount, edit "
				     "the configuration, mount",
			   name);
	if (tier)
		snprintf(out->section, sizeof(out->section), "tier %s", tier->name);
	else
		snprintf(out->section, sizeof(out->section), "pool");
	out->in = tier ? (struct config_section){.tier = tier}
		       : (struct config_section){.pool = config};
	return 0;
}

/* A string, or a number as JSON has it. */
static char *value_text(const json_t *value)
{
	if (json_is_string(value))
		return strdup(json_string_value(value));
	return json_is_number(value) ? json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(10))
				     : NULL;
}

static int apply_one(struct pool_config *config, const char *name, const json_t *value,
		     char *message, size_t cap)
{
	struct target target;
	char *text = value_text(value), why[360];
	uint32_t seen;
	int r = text ? find_target(config, name, &target, message, cap)
		     : say(-EINVAL, message, cap, "%.60s should have a text or a number", name);

	if (!r) {
		/* All others count as set: none comes along by itself. */
		seen = ~(1u << (target.key -
				(target.in.tier ? config_tier_keys : config_pool_keys)));
		r = config_set_key(&target.in, &seen, target.key->name, text, why, sizeof(why));
		if (r)
			say(r, message, cap, "%.60s: %s", name, why);
	}
	free(text);
	return r;
}

/* The wanted keys on top of a configuration, checked as a whole. */
static int apply_all(struct pool_config *config, json_t *set, char *message, size_t cap)
{
	char why[360];
	const char *name;
	json_t *value;
	uint32_t where;
	int r = 0;

	json_object_foreach(set, name, value)
	{
		r = apply_one(config, name, value, message, cap);
		if (r)
			return r;
	}
	r = config_check(config, &where, why, sizeof(why));
	if (r && where < config->ntiers)
		return say(r, message, cap, "tier %s: %s", config->tiers[where].name, why);
	return r ? say(r, message, cap, "%s", why) : 0;
}

/* The file with the wanted keys as `now` has them; *fresh: read from it. */
static int edit_text(struct settings *settings, struct pool_config *now, json_t *set, char **text,
		     size_t *len, char *message, size_t cap)
{
	const char *name;
	json_t *value;

	json_object_foreach(set, name, value)
	{
		struct target target;
		char *printed, *edited;
		size_t edited_len;
		int r = find_target(now, name, &target, message, cap);

		if (r)
			return r;
		printed = config_value_text(target.key, target.in.tier ? (void *)target.in.tier
								       : (void *)target.in.pool);
		r = printed ? config_edit_value(*text, *len, target.section, target.key->name,
						printed, &edited, &edited_len)
			    : -ENOMEM;
		free(printed);
		if (r)
			return say(r == -ENOENT ? -EINVAL : r, message, cap, "%s: %s",
				   settings->now.file,
				   r == -ENOENT ? "has no such section any more" : strerror(-r));
		free(*text);
		*text = edited;
		*len = edited_len;
	}
	return 0;
}

/* What the file would then be read as: the wanted values, of this pool. */
static int check_text(struct settings *settings, struct pool_config *now, json_t *set,
		      const char *text, size_t len, struct pool_config *fresh, char *message,
		      size_t cap)
{
	const char *name;
	json_t *value;
	int r = config_parse_text(settings->now.file, text, len, fresh, message, cap);

	if (r)
		return r;
	if (memcmp(fresh->uuid, now->uuid, sizeof(now->uuid)) != 0)
		r = say(-EINVAL, message, cap, "%s: is not this pool's any more",
			settings->now.file);
	json_object_foreach(set, name, value)
	{
		struct target want, have;

		if (r)
			break;
		find_target(now, name, &want, message, cap);
		r = find_target(fresh, name, &have, message, cap);
		if (!r &&
		    !config_value_equal(want.key,
					want.in.tier ? (void *)want.in.tier : (void *)want.in.pool,
					have.in.tier ? (void *)have.in.tier : (void *)have.in.pool))
			r = say(-EINVAL, message, cap,
				"%s: cannot find the line of %s; change it by hand",
				settings->now.file, name);
	}
	if (r)
		config_release(fresh);
	return r;
}

/* Into the file. On success settings->file and ->text are what it holds now. */
static int write_file(struct settings *settings, struct pool_config *now, json_t *set,
		      char *message, size_t cap)
{
	const char *file = settings->now.file;
	struct pool_config fresh;
	bool replaced = false;
	char *text = NULL;
	size_t len = 0;
	int r;

	config_edit_lock();
	r = config_edit_read(file, &text, &len);
	if (r) {
		say(r, message, cap, "%s: %s", file, strerror(-r));
		goto out;
	}
	r = edit_text(settings, now, set, &text, &len, message, cap);
	if (!r)
		r = check_text(settings, now, set, text, len, &fresh, message, cap);
	if (r)
		goto out;
	r = config_edit_replace(file, text, len, &replaced);
	if (replaced) {
		config_release(&settings->file);
		settings->file = fresh;
		free(settings->text);
		settings->text = text;
		settings->len = len;
		text = NULL;
		r = 0; /* durable or not, the running pool follows what it says */
	} else {
		config_release(&fresh);
		say(r, message, cap, "%s: %s; --runtime changes the running pool alone", file,
		    strerror(-r));
	}
out:
	config_edit_unlock();
	free(text);
	return r;
}

static int tell_change(void *arg, const struct config_change *change)
{
	struct settings *settings = arg;
	struct event event = {.kind = EVENT_CONFIG, .from = -1, .to = -1};

	snprintf(event.text, sizeof(event.text), "%.40s = %.48s", change->name, change->to);
	events_add(pool_events(settings->fs->pool), &event);
	log_info("%s: %s: %s -> %s", settings->now.name, change->name, change->from, change->to);
	return 0;
}

/* Puts `next` into force. Takes its contents over on success. */
static int put_in_force(struct settings *settings, struct pool_config *next, char *message,
			size_t cap)
{
	struct pool_config old = settings->now;
	int r = pool_reconfigure(settings->fs->pool, next, message, cap);

	if (!r)
		r = policy_rules_set(settings->fs->policy, next);
	if (r == -ENOMEM)
		say(r, message, cap, "out of memory");
	if (r)
		return r;
	config_changes(&old, next, tell_change, settings);
	settings->now = *next;
	memset(next, 0, sizeof(*next));
	config_release(&old);
	return 0;
}

static int change_locked(struct settings *settings, json_t *set, bool runtime, bool dry_run,
			 char *message, size_t cap)
{
	struct pool_config next;
	int r = config_copy(&settings->now, &next);

	if (r)
		return say(r, message, cap, "out of memory");
	r = apply_all(&next, set, message, cap);
	if (!r && !dry_run && !runtime && settings->now.file)
		r = write_file(settings, &next, set, message, cap);
	if (!r && !dry_run)
		r = put_in_force(settings, &next, message, cap);
	config_release(&next);
	return r;
}

/* Reading again -------------------------------------------------------------------------------- */

struct places {
	const struct config_tier *tier;
	uint32_t found, all;
};

static int find_place(void *arg, const struct pool_place *place)
{
	struct places *places = arg;

	places->all++;
	for (uint32_t i = 0; i < places->tier->npaths; i++)
		places->found += !strcmp(places->tier->paths[i], place->path);
	return 0;
}

/* Directories that came or went by `terrace config` are no news, nor is their order. */
static bool same_places(struct settings *settings, uint32_t t, const struct config_tier *tier)
{
	struct places places = {.tier = tier};

	if (pool_places(settings->fs->pool, t, find_place, &places))
		return false;
	return places.found == places.all && places.all == tier->npaths;
}

struct comparison {
	struct settings *settings;
	const struct pool_config *fresh;
	bool other_tiers;
};

static int tell_fixed(void *arg, const struct config_change *change)
{
	struct comparison *comparison = arg;
	const struct pool_config *fresh = comparison->fresh;
	char name[KEY_CAP];

	if (change->live)
		return 0;
	comparison->other_tiers |= !strcmp(change->name, "tiers");
	for (uint32_t t = 1; t < fresh->ntiers; t++) {
		snprintf(name, sizeof(name), "%s.path", fresh->tiers[t].name);
		if (!strcmp(name, change->name) &&
		    same_places(comparison->settings, t, &fresh->tiers[t]))
			return 0;
	}
	log_warning("%s: %s: %s -> %s counts from the next mount on", fresh->name, change->name,
		    change->from, change->to);
	return 0;
}

static int take_over(struct settings *settings, struct pool_config *fresh, char *message,
		     size_t cap)
{
	struct comparison comparison = {settings, fresh, false};
	struct pool_config next;
	int r;

	if (memcmp(fresh->uuid, settings->now.uuid, sizeof(fresh->uuid)) != 0)
		return say(-EINVAL, message, cap, "%s: is not this pool's any more", fresh->file);
	config_changes(&settings->now, fresh, tell_fixed, &comparison);
	if (comparison.other_tiers)
		return say(-EINVAL, message, cap,
			   "%s: has other tiers than the mounted pool: nothing is taken over "
			   "before the next mount",
			   fresh->file);
	r = config_copy(&settings->now, &next);
	if (!r)
		r = config_take_live(&next, fresh);
	if (r)
		say(r, message, cap, "out of memory");
	else
		r = put_in_force(settings, &next, message, cap);
	config_release(&next);
	return r;
}

static int reload_locked(struct settings *settings, char *message, size_t cap)
{
	const char *file = settings->now.file;
	struct pool_config fresh;
	char *text = NULL;
	size_t len = 0;
	int r = file ? config_edit_read(file, &text, &len) : -ENOENT;

	if (r)
		return say(r, message, cap, "%s: %s", file ? file : "configuration", strerror(-r));
	r = config_parse_text(file, text, len, &fresh, message, cap);
	if (r)
		goto out;
	r = take_over(settings, &fresh, message, cap);
	if (r) {
		config_release(&fresh);
		goto out;
	}
	config_release(&settings->file);
	settings->file = fresh;
	free(settings->text);
	settings->text = text;
	settings->len = len;
	text = NULL;
out:
	free(text);
	return r;
}

int settings_reload(struct settings *settings, char *message, size_t message_cap)
{
	int r;

	pthread_mutex_lock(&settings->lock);
	config_edit_lock();
	r = reload_locked(settings, message, message_cap);
	config_edit_unlock();
	if (r)
		log_error("%s; the settings stay as they are", message);
	else
		log_info("%s: read again", settings->now.file);
	pthread_mutex_unlock(&settings->lock);
	return r;
}

int settings_change(struct settings *settings, const char *text, size_t len, char *message,
		    size_t message_cap)
{
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL), *set = NULL;
	int runtime = 0, dry_run = 0, reload = 0, r;

	if (!root || json_unpack(root, "{s?o,s?b,s?b,s?b}", "set", &set, "runtime", &runtime,
				 "dry_run", &dry_run, "reload", &reload)) {
		r = say(-EINVAL, message, message_cap, "not a request");
	} else if (reload) {
		r = settings_reload(settings, message, message_cap);
	} else if (!json_is_object(set) || !json_object_size(set)) {
		r = say(-EINVAL, message, message_cap,
			"not a request like {\"set\":{\"run_interval\":\"10s\"}}");
	} else {
		pthread_mutex_lock(&settings->lock);
		r = change_locked(settings, set, runtime, dry_run, message, message_cap);
		pthread_mutex_unlock(&settings->lock);
	}
	json_decref(root);
	return r;
}
