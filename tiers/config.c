// SPDX-License-Identifier: Apache-2.0
/*
 * Completing and checking a pool's configuration. Invariants:
 *  1. config_load() and config_finish() that return 0 leave a configuration that passes
 *     config_check().
 *  2. The first thing that is wrong is the one that is told.
 *  3. Every string of a configuration is its own allocation; config_release() frees them all.
 * Threads: any, each with its own configuration.
 */
#include "tiers/config_keys.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define SECOND	    UINT64_C(1000000000)
#define DAY	    (86400 * SECOND)
#define RAM_MIN	    (16u << 20)
#define RAM_NAME    "ram"
#define LOW_DEFAULT 80u

int config_say(int error, char *message, size_t cap, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(message, cap, format, args);
	va_end(args);
	return error;
}

void config_pool_defaults(struct pool_config *config)
{
	config->commit_interval_ns = 5 * SECOND;
	config->checkpoint_interval_ns = 30 * SECOND;
	config->journal_bytes = 16u << 20;
	config->metadata_copies = 2;
	config->metadata_copy_interval_ns = 3600 * SECOND;
	config->metadata_copy_bytes = (uint64_t)4 << 30;
	config->run_interval_ns = 60 * SECOND;
	config->promote_window_ns = 600 * SECOND;
	config->move_pressure = 40;
	config->start_delay_ns = 60 * SECOND;
	config->scrub_interval_ns = 30 * DAY;
	config->heat_half_life_ns = 3600 * SECOND;
	config->residency_ns = 3600 * SECOND;
	config->plain_idle_ns = 7 * DAY;
	config->promote_gain = 100;
}

void config_init(struct pool_config *config)
{
	memset(config, 0, sizeof(*config));
	config_pool_defaults(config);
}

void config_tier_defaults(struct config_tier *tier, enum tier_kind kind, bool first)
{
	tier->kind = kind;
	tier->replicas = 1;
	tier->high_percent = 90;
	tier->low_percent = LOW_DEFAULT;
	tier->min_age_ns = 3600 * SECOND;
	tier->direct = -1;
	if (kind == TIER_KIND_RAM) {
		tier->size_bytes = 512u << 20;
		return;
	}
	/* Fast tiers answer small random reads; slow ones seek, so they hold more per read. */
	codec_parse(first ? "lz4" : "zstd:12", &tier->codec);
	tier->frame_bytes = first ? 128u << 10 : 1u << 20;
	tier->block_bytes = first ? 32u << 10 : 1u << 20;
	tier->segment_bytes = first ? 64u << 20 : 256u << 20;
}

static void tier_release(struct config_tier *tier)
{
	uint32_t i;

	free(tier->name);
	for (i = 0; i < tier->npaths; i++)
		free(tier->paths[i]);
	memset(tier, 0, sizeof(*tier));
}

void config_release(struct pool_config *config)
{
	uint32_t i;

	for (i = 0; i < config->ntiers; i++)
		tier_release(&config->tiers[i]);
	free(config->file);
	free(config->name);
	free(config->meta_path);
	free(config->move_window);
	config_rules_release(config);
	memset(config, 0, sizeof(*config));
}

static int copy_string(const char *from, char **to)
{
	*to = from ? strdup(from) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

int config_copy(const struct pool_config *config, struct pool_config *out)
{
	int rc = 0;

	*out = *config;
	out->file = out->name = out->meta_path = out->move_window = NULL;
	out->rules = NULL;
	out->nrules = 0;
	for (uint32_t t = 0; t < config->ntiers; t++) {
		out->tiers[t].name = NULL;
		memset(out->tiers[t].paths, 0, sizeof(out->tiers[t].paths));
	}
	for (uint32_t t = 0; t < config->ntiers && !rc; t++) {
		const struct config_tier *from = &config->tiers[t];

		rc = copy_string(from->name, &out->tiers[t].name);
		for (uint32_t i = 0; i < from->npaths && !rc; i++)
			rc = copy_string(from->paths[i], &out->tiers[t].paths[i]);
	}
	if (!rc)
		rc = copy_string(config->file, &out->file);
	if (!rc)
		rc = copy_string(config->name, &out->name);
	if (!rc)
		rc = copy_string(config->meta_path, &out->meta_path);
	if (!rc)
		rc = copy_string(config->move_window, &out->move_window);
	if (!rc)
		rc = config_rules_copy(config, out);
	if (rc)
		config_release(out);
	return rc;
}

char *config_resolve(const char *pool)
{
	size_t len = strlen(pool);
	char *path;

	if (strchr(pool, '/') || (len > 5 && !strcmp(pool + len - 5, ".conf")))
		return strdup(pool);
	return asprintf(&path, "/etc/terrace/%s.conf", pool) < 0 ? NULL : path;
}

static int add_path(struct config_tier *tier, const char *path)
{
	tier->paths[0] = strdup(path);
	if (!tier->paths[0])
		return -ENOMEM;
	tier->npaths = 1;
	return 0;
}

const char *config_tier_fault(const struct pool_config *config, const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-");
	uint32_t i;

	if (name[0] < 'a' || name[0] > 'z' || name[len] || len > 16)
		return "a tier's name is 1 to 16 of a-z 0-9 _ - and begins with a letter";
	if (!strcmp(name, "combined") || !strcmp(name, "default"))
		return "this name means something else in `terrace status`; choose another";
	for (i = 0; i < config->ntiers; i++) {
		if (!strcmp(config->tiers[i].name, name))
			return "there is a tier of this name already";
	}
	if (config->ntiers == CONFIG_TIERS_MAX)
		return "a pool has at most 16 tiers";
	return NULL;
}

int config_tier_new(struct pool_config *config, const char *name, struct config_tier **out)
{
	struct config_tier *tier = &config->tiers[config->ntiers];
	bool ram = !strcmp(name, RAM_NAME);
	bool first = true;
	uint32_t i;

	for (i = 0; i < config->ntiers; i++)
		first = first && config->tiers[i].kind == TIER_KIND_RAM;
	memset(tier, 0, sizeof(*tier));
	tier->name = strdup(name);
	if (!tier->name)
		return -ENOMEM;
	config_tier_defaults(tier, ram ? TIER_KIND_RAM : TIER_KIND_DIR, first);
	config->ntiers++;
	*out = tier;
	return 0;
}

static bool is_set(uint32_t seen, const char *name)
{
	return seen & 1u << (config_key_find(config_tier_keys, name) - config_tier_keys);
}

uint32_t config_low_default(uint32_t high)
{
	return high >= LOW_DEFAULT + 10 ? LOW_DEFAULT : high > 10 ? high - 10 : 0;
}

/* Who lowers `high` or `frame` alone means their partner to come along. */
static void follow(struct config_tier *tier, uint32_t seen)
{
	if (!is_set(seen, "low"))
		tier->low_percent = config_low_default(tier->high_percent);
	if (!is_set(seen, "block") && tier->block_bytes > tier->frame_bytes)
		tier->block_bytes = tier->frame_bytes;
}

static int say_keys(const struct config_key *keys, bool ram, const char *name, char *why,
		    size_t cap)
{
	size_t used = (size_t)snprintf(
		why, cap, "%s '%.40s'; keys here:",
		ram && config_key_find(keys, name) ? "the tier `ram` has no" : "unknown key", name);

	for (; keys->name && used < cap; keys++)
		if (!ram || keys->flags & CONFIG_RAM)
			used += (size_t)snprintf(why + used, cap - used, " %s", keys->name);
	return -EINVAL;
}

static bool may_repeat(enum config_kind kind)
{
	return kind == CONFIG_PATHS || kind == CONFIG_MATCHES || kind == CONFIG_NEVER;
}

int config_set_key(const struct config_section *section, uint32_t *seen, const char *name,
		   const char *value, char *why, size_t cap)
{
	struct config_tier *tier = section->tier;
	const struct config_key *keys = tier		? config_tier_keys
					: section->rule ? config_rule_keys
							: config_pool_keys;
	void *base = tier ? (void *)tier : section->rule ? (void *)section->rule : section->pool;
	const struct config_key *key = config_key_find(keys, name);
	bool ram = tier && tier->kind == TIER_KIND_RAM;
	char right[160];
	int error;

	if (!key || (ram && !(key->flags & CONFIG_RAM)))
		return say_keys(keys, ram, name, why, cap);
	if (*seen & 1u << (key - keys) && !may_repeat(key->kind)) {
		return config_say(-EINVAL, why, cap, "%s is set twice; keep one", name);
	}
	error = config_value_set(key, base, value, right, sizeof(right));
	if (error) {
		return config_say(error, why, cap, "%s '%.100s': %s", name, value,
				  error == -ENOMEM ? "out of memory" : right);
	}
	*seen |= 1u << (key - keys);
	if (tier)
		follow(tier, *seen);
	return 0;
}

static bool paths_nested(const char *a, const char *b)
{
	size_t len = strlen(a);

	return !strncmp(a, b, len) && (b[len] == '/' || a[len - 1] == '/');
}

/* Two places of directory tiers must not hold each other: one's files would count in both. */
static int check_paths(const struct pool_config *config, uint32_t t, char *why, size_t cap)
{
	const struct config_tier *tier = &config->tiers[t];
	uint32_t i, j, k;

	for (i = 0; i < tier->npaths; i++) {
		for (j = 0; j <= t; j++) {
			const struct config_tier *other = &config->tiers[j];

			for (k = 0; k < (j == t ? i : other->npaths); k++) {
				const char *a = tier->paths[i], *b = other->paths[k];
				bool dirs =
					tier->kind == TIER_KIND_DIR && other->kind == tier->kind;

				if (strcmp(a, b) &&
				    !(dirs && (paths_nested(a, b) || paths_nested(b, a))))
					continue;
				return config_say(-EINVAL, why, cap,
						  "path %.100s overlaps with %.100s of tier %s", a,
						  b, other->name);
			}
		}
	}
	return 0;
}

static int check_tier(const struct pool_config *config, uint32_t t, char *why, size_t cap)
{
	const struct config_tier *tier = &config->tiers[t];

	why[0] = '\0';
	if (tier->kind == TIER_KIND_RAM) {
		if (t)
			return config_say(-EINVAL, why, cap,
					  "the tier `ram` comes before all others");
		if (tier->npaths != 1)
			return config_say(-EINVAL, why, cap,
					  "the tier `ram` has one path, a folder on tmpfs");
		if (!tier->size_percent && tier->size_bytes < RAM_MIN)
			return config_say(-EINVAL, why, cap, "size should be at least 16M");
		if (tier->codec.id != CODEC_NONE && tier->codec.id != CODEC_LZ4)
			return config_say(-EINVAL, why, cap, "codec should be none or lz4");
		return check_paths(config, t, why, cap);
	}
	if (tier->npaths == tier->nspares)
		return config_say(-EINVAL, why, cap, "tier %s has no place: add path=/some/folder",
				  tier->name);
	if (tier->block_bytes > tier->frame_bytes)
		return config_say(-EINVAL, why, cap,
				  "block is larger than frame; make it at most %u bytes",
				  (unsigned)tier->frame_bytes);
	if (tier->segment_bytes < 4ull * tier->frame_bytes)
		return config_say(-EINVAL, why, cap,
				  "segment is too small: it should hold at least 4 frames");
	if (tier->low_percent >= tier->high_percent)
		return config_say(-EINVAL, why, cap,
				  "low (%u%%) should be below high (%u%%): set both",
				  (unsigned)tier->low_percent, (unsigned)tier->high_percent);
	return check_paths(config, t, why, cap);
}

/* Puts the RAM tier in front, with what it lacks. */
static int complete_ram(struct pool_config *config)
{
	struct config_tier ram;
	uint32_t i;
	int error;

	for (i = 0; i < config->ntiers && config->tiers[i].kind != TIER_KIND_RAM; i++)
		;
	if (i == CONFIG_TIERS_MAX)
		return -E2BIG;
	if (i == config->ntiers) {
		struct config_tier *tier;

		error = config_tier_new(config, RAM_NAME, &tier);
		if (error)
			return error;
	}
	ram = config->tiers[i];
	memmove(&config->tiers[1], &config->tiers[0], i * sizeof(ram));
	config->tiers[0] = ram;
	return ram.npaths ? 0 : add_path(&config->tiers[0], "/dev/shm");
}

static int complete_names(struct pool_config *config)
{
	if (!config->meta_path &&
	    asprintf(&config->meta_path, "%s/meta",
		     strcmp(config->tiers[1].paths[0], "/") ? config->tiers[1].paths[0] : "") < 0) {
		config->meta_path = NULL;
		return -ENOMEM;
	}
	return 0;
}

int config_check(struct pool_config *config, uint32_t *where, char *why, size_t cap)
{
	uint32_t i;
	int error = complete_ram(config);

	*where = config->ntiers;
	if (error == -E2BIG)
		return config_say(-EINVAL, why, cap,
				  "16 tiers and no room for `ram`; leave one out");
	if (error)
		return config_say(error, why, cap, "out of memory");
	for (i = 0; i < config->ntiers; i++) {
		error = check_tier(config, i, why, cap);
		if (error) {
			*where = i;
			return error;
		}
	}
	if (config->ntiers < 2)
		return config_say(
			-EINVAL, why, cap,
			"a pool needs a tier on a disk: add [tier ssd] with path=/some/folder");
	error = complete_names(config);
	return error ? config_say(error, why, cap, "out of memory") : 0;
}

/* Relative paths of a command line, made absolute; NULL: no memory or no current folder. */
static char *absolute(const char *path)
{
	char *folder, *full;

	if (path[0] == '/')
		return strdup(path);
	folder = getcwd(NULL, 0);
	if (!folder || asprintf(&full, "%s/%s", folder, path) < 0)
		full = NULL;
	free(folder);
	return full;
}

static int add_tier_key(struct config_tier *tier, uint32_t *seen, char *key, char *why, size_t cap)
{
	char *equals = strchr(key, '='), *path = NULL;
	int error;

	if (!equals) {
		return config_say(-EINVAL, why, cap, "'%.40s' should be KEY=VALUE", key);
	}
	*equals++ = '\0';
	if ((!strcmp(key, "path") || !strcmp(key, "copy_path")) && *equals) {
		path = absolute(equals);
		if (!path) {
			return config_say(-errno, why, cap, "%s '%.100s': %s", key, equals,
					  strerror(errno));
		}
	}
	error = config_set_key(&(struct config_section){.tier = tier}, seen, key,
			       path ? path : equals, why, cap);
	free(path);
	return error;
}

int config_add_tier(struct pool_config *config, const char *text, char *message, size_t message_cap)
{
	char *copy = strdup(text), *rest, *name, *key, why[360];
	struct config_tier *tier;
	const char *fault;
	uint32_t seen = 0;
	int error = -EINVAL;

	if (!copy) {
		return config_say(-ENOMEM, message, message_cap, "out of memory");
	}
	rest = copy;
	name = strsep(&rest, ":");
	fault = config_tier_fault(config, name);
	if (fault) {
		config_say(error, message, message_cap, "tier '%.40s': %s", name, fault);
		goto out;
	}
	error = config_tier_new(config, name, &tier);
	if (error) {
		config_say(error, message, message_cap, "out of memory");
		goto out;
	}
	while (!error && (key = strsep(&rest, ",")))
		error = *key ? add_tier_key(tier, &seen, key, why, sizeof(why)) : 0;
	if (error) {
		config_say(error, message, message_cap, "tier %s: %s", name, why);
		config->ntiers--;
		tier_release(tier);
	}
out:
	free(copy);
	return error;
}

int config_finish(struct pool_config *config, char *message, size_t message_cap)
{
	static const uint8_t none[16];
	struct pool_config defaults;
	char why[360];
	uint32_t where;
	int error;

	memset(&defaults, 0, sizeof(defaults));
	config_pool_defaults(&defaults);
	if (!config->commit_interval_ns)
		config->commit_interval_ns = defaults.commit_interval_ns;
	if (!config->checkpoint_interval_ns)
		config->checkpoint_interval_ns = defaults.checkpoint_interval_ns;
	if (!config->journal_bytes)
		config->journal_bytes = defaults.journal_bytes;
	if (!config->metadata_copy_interval_ns)
		config->metadata_copy_interval_ns = defaults.metadata_copy_interval_ns;
	if (!config->metadata_copy_bytes)
		config->metadata_copy_bytes = defaults.metadata_copy_bytes;
	if (!config->run_interval_ns)
		config->run_interval_ns = defaults.run_interval_ns;
	if (!config->promote_window_ns)
		config->promote_window_ns = defaults.promote_window_ns;
	if (!config->heat_half_life_ns)
		config->heat_half_life_ns = defaults.heat_half_life_ns;
	if (!memcmp(config->uuid, none, sizeof(none)) &&
	    getrandom(config->uuid, sizeof(config->uuid), 0) != (ssize_t)sizeof(config->uuid)) {
		return config_say(-errno, message, message_cap, "no random numbers: %s",
				  strerror(errno));
	}
	error = config_check(config, &where, why, sizeof(why));
	if (error && where < config->ntiers)
		config_say(error, message, message_cap, "tier %s: %s", config->tiers[where].name,
			   why);
	else if (error)
		config_say(error, message, message_cap, "%s", why);
	if (error)
		return error;
	error = config_check_rules(config, &where, why, sizeof(why));
	if (error)
		return config_say(error, message, message_cap, "rule %s: %s",
				  config->rules[where].name, why);
	return 0;
}
