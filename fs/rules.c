// SPDX-License-Identifier: Apache-2.0
/* Conditions that cost nothing are looked at before the path is made. */
#include "fs/rules.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/glob.h"

#define PATH_CAP 4096u
#define SECOND	 UINT64_C(1000000000)

struct rules {
	_Atomic uint32_t count;
	pthread_rwlock_t lock;	    /* guards config; held while rules are asked */
	struct pool_config *config; /* a copy, for its rules */
};

static int copy(const struct pool_config *config, struct pool_config **out)
{
	int r = -ENOMEM;

	*out = malloc(sizeof(**out));
	if (*out)
		r = config_copy(config, *out);
	if (r) {
		free(*out);
		*out = NULL;
	}
	return r;
}

int rules_new(const struct pool_config *config, struct rules **out)
{
	struct rules *rules = calloc(1, sizeof(*rules));
	int r = rules ? copy(config, &rules->config) : -ENOMEM;

	if (r) {
		free(rules);
		return r;
	}
	rules->count = config->nrules;
	pthread_rwlock_init(&rules->lock, NULL);
	*out = rules;
	return 0;
}

void rules_free(struct rules *rules)
{
	if (!rules)
		return;
	config_release(rules->config);
	free(rules->config);
	pthread_rwlock_destroy(&rules->lock);
	free(rules);
}

int rules_set(struct rules *rules, const struct pool_config *config)
{
	struct pool_config *fresh, *old;
	int r = copy(config, &fresh);

	if (r)
		return r;
	pthread_rwlock_wrlock(&rules->lock);
	old = rules->config;
	rules->config = fresh;
	rules->count = fresh->nrules;
	pthread_rwlock_unlock(&rules->lock);
	config_release(old);
	free(old);
	return 0;
}

uint32_t rules_count(struct rules *rules)
{
	return rules->count;
}

struct question {
	const struct rules_subject *subject;
	char path[PATH_CAP];
	bool asked, has_path;
};

static bool path_fits(const struct config_rule *rule, struct question *question)
{
	const struct rules_subject *subject = question->subject;

	if (!rule->nmatches)
		return true;
	if (!question->asked) {
		question->asked = true;
		question->has_path = subject->path(subject->arg, question->path, PATH_CAP);
	}
	for (uint32_t i = 0; question->has_path && i < rule->nmatches; i++)
		if (glob_match(rule->matches[i], question->path))
			return true;
	return false;
}

static bool fits(const struct config_rule *rule, struct question *question)
{
	const struct rules_subject *subject = question->subject;

	return subject->age_s * SECOND >= rule->min_age_ns && subject->size >= rule->min_size &&
	       subject->size <= rule->max_size && (!rule->owner || rule->uid == subject->uid) &&
	       path_fits(rule, question);
}

static void answer(const struct config_rule *rule, uint32_t index, struct rules_answer *out)
{
	*out = (struct rules_answer){.rule = (int)index,
				     .tier = rule->tier,
				     .has_codec = rule->has_codec,
				     .codec = rule->codec,
				     .replicas = rule->replicas,
				     .never_tiers = rule->never_tiers,
				     .ignore = rule->ignore,
				     .plain = rule->plain};
	memcpy(out->name, rule->name, strlen(rule->name) + 1);
}

void rules_ask(struct rules *rules, const struct rules_subject *subject, struct rules_answer *out)
{
	struct question question = {.asked = false};

	question.subject = subject;
	*out = (struct rules_answer){.rule = -1, .tier = -1};
	pthread_rwlock_rdlock(&rules->lock);
	for (uint32_t i = 0; i < rules->config->nrules; i++) {
		if (!fits(&rules->config->rules[i], &question))
			continue;
		answer(&rules->config->rules[i], i, out);
		break;
	}
	pthread_rwlock_unlock(&rules->lock);
}
