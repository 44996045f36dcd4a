// SPDX-License-Identifier: Apache-2.0
/*
 * [rule NAME] sections: their keys, and what one key alone cannot tell. Tiers are kept by name
 * until the whole file has been read, since rules may stand before the tiers they name.
 */
#include "tiers/config_keys.h"

#include <ctype.h>
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tiers/glob.h"

#define RULE(field) offsetof(struct config_rule, field)

const struct config_key config_rule_keys[] = {
	{"match", CONFIG_MATCHES, 0, 0, 0, 0,
	 "a pattern for the path in the mount, like /photos/**/*.jpg; any of several"},
	{"min_age", CONFIG_TIME, RULE(min_age_ns), 0, UINT64_MAX, 0,
	 "data that was not used for so long"},
	{"min_size", CONFIG_SIZE, RULE(min_size), 0, UINT64_MAX, 0, "files of at least this size"},
	{"max_size", CONFIG_SIZE, RULE(max_size), 0, UINT64_MAX, 0, "... at most this size"},
	{"owner", CONFIG_OWNER, 0, 0, 0, 0, "files of this user: a name or a number"},
	{"tier", CONFIG_TIER, 0, 0, 0, 0, "where it is kept"},
	{"codec", CONFIG_RULE_CODEC, 0, 0, 0, 0, "how it is compressed"},
	{"replicas", CONFIG_COUNT, RULE(replicas), 1, 5, 0,
	 "in how many directories of its tier it is kept"},
	{"never", CONFIG_NEVER, 0, 0, 0, 0, "a tier that it never goes to; may be repeated"},
	{"ignore", CONFIG_YES, RULE(ignore), 0, 0, 0, "background work leaves it where it is"},
	{"layout", CONFIG_LAYOUT, 0, 0, 0, 0,
	 "plain: in one file as it is, without checksums, for databases; or frames"},
	{NULL, CONFIG_COUNT, 0, 0, 0, 0, NULL},
};

const char *config_rule_fault(const struct pool_config *config, const char *name)
{
	size_t len = strlen(name);

	if (!len || len > CONFIG_RULE_NAME_MAX || !isalnum((unsigned char)name[0]))
		return "a rule's name is 1 to 32 of a-z A-Z 0-9 . _ - and begins with a letter or "
		       "a digit";
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
			return "a rule's name is 1 to 32 of a-z A-Z 0-9 . _ -";
	for (uint32_t i = 0; i < config->nrules; i++)
		if (!strcmp(config->rules[i].name, name))
			return "there is a rule of this name already";
	return config->nrules == CONFIG_RULES_MAX ? "there are at most 256 rules" : NULL;
}

int config_rule_new(struct pool_config *config, const char *name, struct config_rule **out)
{
	struct config_rule *rules, *rule;

	rules = reallocarray(config->rules, config->nrules + 1, sizeof(*rules));
	if (!rules)
		return -ENOMEM;
	config->rules = rules;
	rule = &rules[config->nrules];
	*rule = (struct config_rule){.max_size = UINT64_MAX, .tier = -1};
	rule->name = strdup(name);
	if (!rule->name)
		return -ENOMEM;
	config->nrules++;
	*out = rule;
	return 0;
}

void config_rules_release(struct pool_config *config)
{
	for (uint32_t i = 0; i < config->nrules; i++) {
		struct config_rule *rule = &config->rules[i];

		free(rule->name);
		free(rule->owner);
		for (uint32_t m = 0; m < rule->nmatches; m++)
			free(rule->matches[m]);
	}
	free(config->rules);
	config->rules = NULL;
	config->nrules = 0;
}

static int copy_rule(const struct config_rule *from, struct config_rule *to)
{
	char *name = to->name;

	*to = *from;
	to->name = name;
	to->nmatches = 0;
	to->owner = from->owner ? strdup(from->owner) : NULL;
	if (from->owner && !to->owner)
		return -ENOMEM;
	for (; to->nmatches < from->nmatches; to->nmatches++) {
		to->matches[to->nmatches] = strdup(from->matches[to->nmatches]);
		if (!to->matches[to->nmatches])
			return -ENOMEM;
	}
	return 0;
}

int config_rules_copy(const struct pool_config *from, struct pool_config *to)
{
	int rc = 0;

	to->rules = NULL;
	to->nrules = 0;
	for (uint32_t i = 0; i < from->nrules && rc == 0; i++) {
		struct config_rule *rule;

		rc = config_rule_new(to, from->rules[i].name, &rule);
		if (rc == 0)
			rc = copy_rule(&from->rules[i], rule);
	}
	return rc;
}

/* Values --------------------------------------------------------------------------------------- */

static int set_match(struct config_rule *rule, const char *text, char *why, size_t cap)
{
	const char *fault = glob_fault(text);
	size_t len = strlen(text);

	if (fault || config_comment_in(text) || (len && isspace((unsigned char)text[len - 1]))) {
		snprintf(why, cap, "%s", fault ? fault : "holds what a configuration file cannot");
		return -EINVAL;
	}
	if (rule->nmatches == CONFIG_MATCHES_MAX) {
		snprintf(why, cap, "one rule has at most %u patterns", CONFIG_MATCHES_MAX);
		return -EINVAL;
	}
	rule->matches[rule->nmatches] = strdup(text);
	if (!rule->matches[rule->nmatches])
		return -ENOMEM;
	rule->nmatches++;
	return 0;
}

static int find_user(const char *name, uint32_t *uid)
{
	long size = sysconf(_SC_GETPW_R_SIZE_MAX);
	size_t cap = size > 0 ? (size_t)size : 16384;
	struct passwd entry, *found = NULL;
	char *buf = malloc(cap);

	if (!buf)
		return -ENOMEM;
	getpwnam_r(name, &entry, buf, cap, &found);
	if (found)
		*uid = found->pw_uid;
	free(buf);
	return found ? 0 : -EINVAL;
}

static int set_owner(struct config_rule *rule, const char *text, char *why, size_t cap)
{
	size_t digits = strspn(text, "0123456789"), len = strlen(text);
	unsigned long long number = digits && len <= 10 ? strtoull(text, NULL, 10) : 0;
	char *copy;
	int rc = 0;

	if (digits && !text[digits] && len <= 10 && number < UINT32_MAX) {
		rule->uid = (uint32_t)number;
	} else if (!len || strpbrk(text, " \t;:=#")) {
		rc = -EINVAL;
	} else {
		rc = find_user(text, &rule->uid);
	}
	if (rc == -EINVAL)
		snprintf(why, cap, "should be a user of this machine, or a user's number");
	if (rc < 0)
		return rc;
	copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	free(rule->owner);
	rule->owner = copy;
	return 0;
}

static int set_tier(char name[static CONFIG_TIER_NAME_CAP], const char *text, char *why, size_t cap)
{
	if (!strcmp(text, "ram"))
		snprintf(why, cap,
			 "should be a tier on a disk: all that is written or read passes `ram`");
	else if (!*text || strlen(text) >= CONFIG_TIER_NAME_CAP || strpbrk(text, " \t;:=#[]\"'"))
		snprintf(why, cap, "should be the name of a tier");
	if (why[0])
		return -EINVAL;
	memset(name, 0, CONFIG_TIER_NAME_CAP);
	memcpy(name, text, strlen(text));
	return 0;
}

static int add_never(struct config_rule *rule, const char *text, char *why, size_t cap)
{
	int rc;

	if (rule->nnever == CONFIG_TIERS_MAX) {
		snprintf(why, cap, "a pool has at most %u tiers", CONFIG_TIERS_MAX);
		return -EINVAL;
	}
	for (uint32_t i = 0; i < rule->nnever; i++) {
		if (!strcmp(rule->never_names[i], text)) {
			snprintf(why, cap, "is set twice; keep one");
			return -EINVAL;
		}
	}
	rc = set_tier(rule->never_names[rule->nnever], text, why, cap);
	if (rc == 0)
		rule->nnever++;
	return rc;
}

int config_rule_value_set(const struct config_key *key, struct config_rule *rule, const char *text,
			  char *why, size_t cap)
{
	bool yes = !strcmp(text, "yes");

	switch (key->kind) {
	case CONFIG_MATCHES:
		return set_match(rule, text, why, cap);
	case CONFIG_OWNER:
		return set_owner(rule, text, why, cap);
	case CONFIG_TIER:
		return set_tier(rule->tier_name, text, why, cap);
	case CONFIG_NEVER:
		return add_never(rule, text, why, cap);
	case CONFIG_RULE_CODEC:
		if (codec_parse(text, &rule->codec)) {
			snprintf(why, cap, "%s", config_codec_right);
			return -EINVAL;
		}
		rule->has_codec = true;
		return 0;
	case CONFIG_YES:
		if (!yes && strcmp(text, "no") != 0) {
			snprintf(why, cap, "should be yes or no");
			return -EINVAL;
		}
		rule->ignore = yes;
		return 0;
	case CONFIG_LAYOUT:
		rule->plain = !strcmp(text, "plain");
		if (!rule->plain && strcmp(text, "frames") != 0) {
			snprintf(why, cap, "should be plain or frames");
			return -EINVAL;
		}
		return 0;
	default:
		return -EINVAL;
	}
}

static void line(FILE *out, const char *name, const char *value)
{
	fprintf(out, "%s = %s\n", name, value);
}

static void print_number(const char *name, const struct config_rule *rule, FILE *out)
{
	const struct config_key *key = config_key_find(config_rule_keys, name);

	fprintf(out, "%s = ", name);
	config_value_print(key, rule, 0, out);
	fputc('\n', out);
}

void config_rule_print(const struct config_rule *rule, FILE *out)
{
	char codec[16];

	for (uint32_t i = 0; i < rule->nmatches; i++)
		line(out, "match", rule->matches[i]);
	if (rule->min_age_ns)
		print_number("min_age", rule, out);
	if (rule->min_size)
		print_number("min_size", rule, out);
	if (rule->max_size != UINT64_MAX)
		print_number("max_size", rule, out);
	if (rule->owner)
		line(out, "owner", rule->owner);
	if (rule->tier_name[0])
		line(out, "tier", rule->tier_name);
	if (rule->has_codec) {
		codec_format(&rule->codec, codec, sizeof(codec));
		line(out, "codec", codec);
	}
	if (rule->replicas)
		print_number("replicas", rule, out);
	for (uint32_t i = 0; i < rule->nnever; i++)
		line(out, "never", rule->never_names[i]);
	if (rule->ignore)
		line(out, "ignore", "yes");
	if (rule->plain)
		line(out, "layout", "plain");
}

/* Checks --------------------------------------------------------------------------------------- */

static int find_tier(const struct pool_config *config, const char *name)
{
	for (uint32_t t = 1; t < config->ntiers; t++)
		if (!strcmp(config->tiers[t].name, name))
			return (int)t;
	return -1;
}

static int say_tiers(const struct pool_config *config, const char *key, const char *name, char *why,
		     size_t cap)
{
	size_t used =
		(size_t)snprintf(why, cap, "%s '%s': there is no such tier; there are:", key, name);

	for (uint32_t t = 1; t < config->ntiers && used < cap; t++)
		used += (size_t)snprintf(why + used, cap - used, " %s", config->tiers[t].name);
	return -EINVAL;
}

static int check_rule(const struct pool_config *config, struct config_rule *rule, char *why,
		      size_t cap)
{
	uint32_t all = (1u << config->ntiers) - 2;

	rule->tier = -1;
	rule->never_tiers = 0;
	if (rule->tier_name[0]) {
		rule->tier = find_tier(config, rule->tier_name);
		if (rule->tier < 0)
			return say_tiers(config, "tier", rule->tier_name, why, cap);
	}
	for (uint32_t i = 0; i < rule->nnever; i++) {
		int tier = find_tier(config, rule->never_names[i]);

		if (tier < 0)
			return say_tiers(config, "never", rule->never_names[i], why, cap);
		rule->never_tiers |= 1u << tier;
	}
	why[0] = '\0';
	if (rule->tier >= 0 && rule->never_tiers & 1u << rule->tier)
		snprintf(why, cap, "tier and never both name %s; keep one", rule->tier_name);
	else if (rule->never_tiers == all)
		snprintf(why, cap, "never names every tier; leave one");
	else if (rule->min_size > rule->max_size)
		snprintf(why, cap, "min_size is above max_size, so no file matches");
	return why[0] ? -EINVAL : 0;
}

int config_check_rules(struct pool_config *config, uint32_t *where, char *why, size_t cap)
{
	for (*where = 0; *where < config->nrules; ++*where) {
		int rc = check_rule(config, &config->rules[*where], why, cap);

		if (rc < 0)
			return rc;
	}
	return 0;
}
