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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/fs.h"
#include "fs/policy.h"
#include "fs/settings_impl.h"
#include "fs/text.h"
#include "tiers/config_edit.h"
#include "tiers/config_keys.h"
#include "tiers/engine/engine.h"
#include "tiers/engine/events.h"
#include "tiers/log.h"
#include "tiers/places.h"
#include "tiers/pool.h"
#include "tiers/ram_tier.h"
#include "tiers/tunables.h"

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
		return config_say(
			-EINVAL, message, cap,
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
		return json_name_get(value);
	return json_is_number(value) ? json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(10))
				     : NULL;
}

/* A tier's low that nobody has set follows its high, as it does in a file. */
static uint32_t low_bit(const struct settings *settings, const struct target *target,
			const json_t *set)
{
	const struct config_tier *tier = target->in.tier;
	const struct config_key *low = config_key_find(config_tier_keys, "low");
	char name[KEY_CAP];

	if (!tier)
		return 0;
	snprintf(name, sizeof(name), "%s.%s", tier->name, low->name);
	if (json_object_get(set, name) ||
	    tier->low_percent != config_low_default(tier->high_percent) ||
	    (settings->text &&
	     config_edit_has(settings->text, settings->len, target->section, low->name)))
		return 0;
	return 1u << (low - config_tier_keys);
}

static int apply_one(const struct settings *settings, struct pool_config *config, json_t *set,
		     const char *name, const json_t *value, char *message, size_t cap)
{
	struct target target;
	char *text = value_text(value), why[360];
	uint32_t seen;
	int r = text ? find_target(config, name, &target, message, cap)
		     : config_say(-EINVAL, message, cap, "%.60s should have a text or a number",
				  name);

	if (!r) {
		/* All others count as set: none comes along by itself, but for low. */
		seen = ~(low_bit(settings, &target, set) |
			 1u << (target.key -
				(target.in.tier ? config_tier_keys : config_pool_keys)));
		r = config_set_key(&target.in, &seen, target.key->name, text, why, sizeof(why));
		if (r)
			config_say(r, message, cap, "%.60s: %s", name, why);
	}
	free(text);
	return r;
}

/* The wanted keys on top of a configuration, checked as a whole. */
static int apply_all(const struct settings *settings, struct pool_config *config, json_t *set,
		     char *message, size_t cap)
{
	char why[360];
	const char *name;
	json_t *value;
	uint32_t where;
	int r = 0;

	json_object_foreach(set, name, value)
	{
		r = apply_one(settings, config, set, name, value, message, cap);
		if (r)
			return r;
	}
	r = config_check(config, &where, why, sizeof(why));
	if (r && where < config->ntiers)
		return config_say(r, message, cap, "tier %s: %s", config->tiers[where].name, why);
	return r ? config_say(r, message, cap, "%s", why) : 0;
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
			return config_say(r == -ENOENT ? -EINVAL : r, message, cap, "%s: %s",
					  settings->now.file,
					  r == -ENOENT ? "has no such section any more"
						       : strerror(-r));
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
		r = config_say(-EINVAL, message, cap, "%s: is not this pool's any more",
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
			r = config_say(-EINVAL, message, cap,
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
		config_say(r, message, cap, "%s: %s", file, strerror(-r));
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
		config_say(r, message, cap, "%s: %s; --runtime changes the running pool alone",
			   file, strerror(-r));
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
		config_say(r, message, cap, "out of memory");
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
		return config_say(r, message, cap, "out of memory");
	r = apply_all(settings, &next, set, message, cap);
	if (!r && ram_tier_check(&next))
		r = config_say(-EINVAL, message, cap, "%s.size: more than all memory there is",
			       next.tiers[0].name);
	if (!r && !dry_run && !runtime && settings->now.file)
		r = write_file(settings, &next, set, message, cap);
	if (!r && !dry_run)
		r = put_in_force(settings, &next, message, cap);
	config_release(&next);
	return r;
}

/* Reading again -------------------------------------------------------------------------------- */

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
		char copies[KEY_CAP];

		snprintf(name, sizeof(name), "%s.path", fresh->tiers[t].name);
		snprintf(copies, sizeof(copies), "%s.copy_path", fresh->tiers[t].name);
		if ((!strcmp(name, change->name) || !strcmp(copies, change->name)) &&
		    pool_places_match(comparison->settings->fs->pool, t, &fresh->tiers[t]))
			return 0; /* `terrace config` has made it so */
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
		return config_say(-EINVAL, message, cap, "%s: is not this pool's any more",
				  fresh->file);
	config_changes(&settings->now, fresh, tell_fixed, &comparison);
	if (comparison.other_tiers)
		return config_say(
			-EINVAL, message, cap,
			"%s: has other tiers than the mounted pool: nothing is taken over "
			"before the next mount",
			fresh->file);
	r = config_copy(&settings->now, &next);
	if (!r)
		r = config_take_live(&next, fresh);
	if (r)
		config_say(r, message, cap, "out of memory");
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
		return config_say(r, message, cap, "%s: %s", file ? file : "configuration",
				  strerror(-r));
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
		r = config_say(-EINVAL, message, message_cap, "not a request");
	} else if (reload) {
		r = settings_reload(settings, message, message_cap);
	} else if (!json_is_object(set) || !json_object_size(set)) {
		r = config_say(-EINVAL, message, message_cap,
			       "not a request like {\"set\":{\"run_interval\":\"10s\"}}");
	} else {
		pthread_mutex_lock(&settings->lock);
		r = change_locked(settings, set, runtime, dry_run, message, message_cap);
		pthread_mutex_unlock(&settings->lock);
	}
	json_decref(root);
	return r;
}
