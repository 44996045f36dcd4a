// SPDX-License-Identifier: Apache-2.0
/* The text of .terrace/policy: all settings with their sources, and the rules. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/settings_impl.h"
#include "fs/text.h"
#include "tiers/config_edit.h"
#include "tiers/config_keys.h"

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
	json_t *json = text ? json_name(text) : NULL;

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
	json_t *json = json_pack("{so}", "name", json_name(rule->name));
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
			json_object_set_new(json, line, json_name(value));
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
	root = json_pack("{so so so}", "file",
			 json_name(settings->now.file ? settings->now.file : ""), "settings",
			 settings_list(settings), "rules", rules);
	pthread_mutex_unlock(&settings->lock);
	text = root ? json_dumps(root, JSON_COMPACT) : NULL;
	json_decref(root);
	return text;
}
