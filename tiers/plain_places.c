// SPDX-License-Identifier: Apache-2.0
#include "tiers/plain_places.h"

#include <errno.h>
#include <string.h>

#include "compress/bytes.h"
#include "tiers/keys.h"
#include "tiers/log.h"
#include "tiers/meta.h"
#include "tiers/pool_impl.h"

#define PREFIX	   "Pplain."
#define PREFIX_LEN 7u
#define KEY_LEN	   (PREFIX_LEN + 2u)
#define VERSION	   1u

static size_t key_make(uint8_t key[KEY_LEN], uint32_t tier, uint32_t place)
{
	memcpy(key, PREFIX, PREFIX_LEN);
	key[PREFIX_LEN] = (uint8_t)tier;
	key[PREFIX_LEN + 1] = (uint8_t)place;
	return KEY_LEN;
}

static void put(struct txn *txn, uint32_t tier, uint32_t place)
{
	uint8_t key[KEY_LEN], value = VERSION;

	txn_put(txn, key, key_make(key, tier, place), &value, sizeof(value));
}

static int check(struct pool *pool, uint32_t t, uint32_t place)
{
	if (t > 0 && t < pool->config.ntiers && tier_has_place(pool->tiers[t].tier, place)) {
		atomic_fetch_or(&pool->tiers[t].tier->plain_noted, 1ull << place);
		return 0;
	}
	log_error("%s: directory %u of tier %s is missing, and plain files are in it and nowhere "
		  "else: mount its disk, or put its path back (`terrace evacuate` and `terrace "
		  "config remove` take one out)",
		  pool->config.file, place + 1,
		  t < pool->config.ntiers ? pool->config.tiers[t].name : "that was taken out");
	return -ENOENT;
}

int plain_places_check(struct pool *pool)
{
	struct meta_cursor *cursor;
	struct meta_item item;
	int missing = 0, rc = meta_cursor_open(pool->meta, PREFIX, PREFIX_LEN, NULL, 0, &cursor);

	if (rc < 0)
		return rc;
	while (!missing && (rc = meta_cursor_next(cursor, &item)) == 0) {
		const uint8_t *at = item.key + PREFIX_LEN;

		if (item.key_len == KEY_LEN && at[1] < TIER_PLACES_MAX)
			missing = check(pool, at[0], at[1]);
	}
	meta_cursor_close(cursor);
	return missing ? missing : rc == -ENOENT ? 0 : rc;
}

void plain_places_note(struct pool *pool, struct txn *txn, const struct plain_home *home)
{
	if (!(pool->tiers[home->tier].tier->plain_noted >> home->place & 1))
		put(txn, home->tier, home->place);
}

void plain_places_noted(struct pool *pool, const struct plain_home *home)
{
	atomic_fetch_or(&pool->tiers[home->tier].tier->plain_noted, 1ull << home->place);
}

/* The commit lock is held: who makes a plain file meanwhile made it before, or notes it after. Is a
 * key made? */
static bool tidy(struct txn *txn, uint32_t t, struct tier *tier, uint32_t place)
{
	bool noted = tier->plain_noted >> place & 1, any = tier->plain_files[place];
	uint8_t key[KEY_LEN];

	if (any && !noted)
		put(txn, t, place);
	if (!any && noted) {
		atomic_fetch_and(&tier->plain_noted, ~(1ull << place));
		txn_del(txn, key, key_make(key, t, place));
	}
	return any && !noted;
}

static bool is_tidy(const struct pool *pool)
{
	for (uint32_t t = 1; t < pool->config.ntiers; t++) {
		const struct tier *tier = pool->tiers[t].tier;

		for (uint32_t place = 0; place < tier->nplaces; place++)
			if ((tier->plain_files[place] != 0) != (tier->plain_noted >> place & 1))
				return false;
	}
	return true;
}

int plain_places_tidy(struct pool *pool)
{
	uint64_t made[CONFIG_TIERS_MAX] = {0};
	struct txn *txn;
	int rc;

	if (is_tidy(pool))
		return 0;
	txn = txn_begin(pool);
	txn_frees(txn);
	for (uint32_t t = 1; t < pool->config.ntiers; t++)
		for (uint32_t place = 0; place < pool->tiers[t].tier->nplaces; place++)
			if (tidy(txn, t, pool->tiers[t].tier, place))
				made[t] |= 1ull << place;
	rc = txn_commit(txn);
	for (uint32_t t = 1; t < pool->config.ntiers && rc == 0; t++)
		atomic_fetch_or(&pool->tiers[t].tier->plain_noted, made[t]);
	return rc;
}
