// SPDX-License-Identifier: Apache-2.0
/* What differs between two configurations of one pool, key by key, and which keys may change while
 * it is mounted. Pure functions. */
#include "tiers/config_keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool config_live(const struct config_key *key, const struct config_tier *tier)
{
	unsigned bit = tier && tier->kind == TIER_KIND_RAM ? CONFIG_RAM_LIVE : CONFIG_LIVE;

	return key->flags & bit;
}

char *config_value_text(const struct config_key *key, const void *base)
{
	const struct config_tier *tier = base;
	uint32_t n = 1;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	if (key->kind == CONFIG_PATHS)
		config_paths(key, tier, &n);
	for (uint32_t i = 0; i < n; i++) {
		fputs(i ? "," : "", out);
		config_value_print(key, base, i, out);
	}
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

/* Cut short if it must be. */
static void print_value(const struct config_key *key, const void *base, char *buf, size_t cap)
{
	char *text = config_value_text(key, base);

	snprintf(buf, cap, "%s", text ? text : "");
	free(text);
}

static int take_section(const struct config_key *key, void *to, const void *from,
			const struct config_tier *tier)
{
	char why[160], *text;
	int rc = 0;

	for (; key->name && rc == 0; key++) {
		if (!config_live(key, tier) || config_value_equal(key, to, from))
			continue;
		text = config_value_text(key, from);
		rc = text ? config_value_set(key, to, text, why, sizeof(why)) : -ENOMEM;
		free(text);
	}
	return rc;
}

int config_take_live(struct pool_config *to, const struct pool_config *from)
{
	int rc = take_section(config_pool_keys, to, from, NULL);

	for (uint32_t t = 0; t < to->ntiers && rc == 0; t++)
		rc = take_section(config_tier_keys, &to->tiers[t], &from->tiers[t], &to->tiers[t]);
	if (rc)
		return rc;
	config_rules_release(to);
	return config_rules_copy(from, to);
}

static bool same_paths(const struct config_key *key, const struct config_tier *a,
		       const struct config_tier *b)
{
	uint32_t m, n;
	char *const *left = config_paths(key, a, &m), *const *right = config_paths(key, b, &n);

	for (uint32_t i = 0; i < m && i < n; i++)
		if (strcmp(left[i], right[i]) != 0)
			return false;
	return m == n;
}

struct comparison {
	int (*each)(void *arg, const struct config_change *change);
	void *arg;
};

static int compare_section(const struct comparison *comparison, const struct config_key *key,
			   const void *from, const void *to, const struct config_tier *tier)
{
	struct config_change change;
	int rc = 0;

	for (; key->name && rc == 0; key++) {
		bool ram = tier && tier->kind == TIER_KIND_RAM;

		if (ram && !(key->flags & CONFIG_RAM))
			continue;
		if (key->kind == CONFIG_PATHS ? same_paths(key, from, to)
					      : config_value_equal(key, from, to))
			continue;
		memset(&change, 0, sizeof(change));
		snprintf(change.name, sizeof(change.name), "%s%s%s", tier ? tier->name : "",
			 tier ? "." : "", key->name);
		print_value(key, from, change.from, sizeof(change.from));
		print_value(key, to, change.to, sizeof(change.to));
		change.live = config_live(key, tier);
		rc = comparison->each(comparison->arg, &change);
	}
	return rc;
}

static bool same_tiers(const struct pool_config *a, const struct pool_config *b)
{
	for (uint32_t t = 0; t < a->ntiers && t < b->ntiers; t++)
		if (strcmp(a->tiers[t].name, b->tiers[t].name) != 0)
			return false;
	return a->ntiers == b->ntiers;
}

static void print_tiers(const struct pool_config *config, char *buf, size_t cap)
{
	size_t used = 0;

	for (uint32_t t = 0; t < config->ntiers && used < cap; t++)
		used += (size_t)snprintf(buf + used, cap - used, "%s%s", t ? "," : "",
					 config->tiers[t].name);
}

/* All rules as text; NULL: no memory. */
static char *print_rules(const struct pool_config *config)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	for (uint32_t i = 0; i < config->nrules; i++) {
		fprintf(out, "[%s]%u\n", config->rules[i].name, config->rules[i].uid);
		config_rule_print(&config->rules[i], out);
	}
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

static int compare_rules(const struct comparison *comparison, const struct pool_config *from,
			 const struct pool_config *to)
{
	struct config_change change = {.name = "rules", .live = true};
	char *before = print_rules(from), *after = print_rules(to);
	int rc = before && after ? 0 : -ENOMEM;

	if (rc == 0 && strcmp(before, after) != 0) {
		snprintf(change.from, sizeof(change.from), "%u rules", from->nrules);
		snprintf(change.to, sizeof(change.to), "%u rules", to->nrules);
		rc = comparison->each(comparison->arg, &change);
	}
	free(before);
	free(after);
	return rc;
}

int config_changes(const struct pool_config *from, const struct pool_config *to,
		   int (*each)(void *arg, const struct config_change *change), void *arg)
{
	struct comparison comparison = {each, arg};
	int rc = compare_section(&comparison, config_pool_keys, from, to, NULL);

	if (rc == 0 && !same_tiers(from, to)) {
		struct config_change change = {.name = "tiers"};

		print_tiers(from, change.from, sizeof(change.from));
		print_tiers(to, change.to, sizeof(change.to));
		return each(arg, &change);
	}
	for (uint32_t t = 0; t < from->ntiers && rc == 0; t++)
		rc = compare_section(&comparison, config_tier_keys, &from->tiers[t], &to->tiers[t],
				     &from->tiers[t]);
	return rc ? rc : compare_rules(&comparison, from, to);
}
