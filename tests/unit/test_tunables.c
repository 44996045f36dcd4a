// SPDX-License-Identifier: Apache-2.0
/* Settings that change while the pool is open: taken over whole, seen by who uses them, and what
 * needs a new mount is refused. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fix_pool.h"
#include "tiers/meta.h"
#include "tiers/object.h"
#include "tiers/tunables.h"

#define RAM    (64u << 20)
#define SECOND UINT64_C(1000000000)

static int setup(void **state)
{
	struct fix_pool *fix = calloc(1, sizeof(*fix));

	fix_pool_new(fix, RAM, false);
	*state = fix;
	return 0;
}

static int teardown(void **state)
{
	struct fix_pool *fix = *state;

	fix_pool_free(fix);
	free(fix);
	return 0;
}

static void write_object(struct fix_pool *fix, const char *text)
{
	struct txn *txn = txn_begin(fix->pool);
	struct object *object;

	assert_int_equal(object_create(txn, "attr", 4, &object), 0);
	assert_int_equal(txn_commit(txn), 0);
	assert_int_equal(object_write(object, text, strlen(text), 0), 0);
	object_put(object);
	assert_int_equal(pool_sync(fix->pool), 0);
}

static uint64_t frames_of(struct fix_pool *fix, unsigned codec)
{
	struct pool_usage usage;

	pool_usage(fix->pool, &usage);
	return usage.tiers[1].codec[codec].frames;
}

static void test_taken_over(void **state)
{
	struct fix_pool *fix = *state;
	struct pool_config config;
	struct pool_usage usage;
	struct tunables now;
	char message[256];

	pool_tunables(fix->pool, &now);
	assert_int_equal(now.run_interval_ns, fix->config.run_interval_ns);
	assert_int_equal(now.ram_bytes, RAM);
	assert_int_equal(pool_plain_databases(fix->pool), 0);

	assert_int_equal(config_copy(&fix->config, &config), 0);
	config.run_interval_ns = 7 * SECOND;
	config.move_iops = 11;
	config.plain_databases = -1;
	config.heat_half_life_ns = 60 * SECOND;
	config.tiers[0].size_bytes = RAM / 2;
	config.tiers[1].high_percent = 55;
	config.tiers[1].low_percent = 44;
	config.tiers[2].write_budget = 1 << 20;
	codec_parse("zstd:3", &config.tiers[1].codec);
	assert_int_equal(pool_reconfigure(fix->pool, &config, message, sizeof(message)), 0);
	pool_tunables(fix->pool, &now);
	assert_int_equal(now.run_interval_ns, 7 * SECOND);
	assert_int_equal(now.move_iops, 11);
	assert_int_equal(pool_plain_databases(fix->pool), -1);
	assert_int_equal(now.heat_half_life_ns, 60 * SECOND);
	assert_int_equal(now.tiers[1].high_percent, 55);
	assert_int_equal(now.tiers[1].low_percent, 44);
	assert_int_equal(now.tiers[2].write_budget, 1 << 20);
	/* And by who uses them: */
	pool_usage(fix->pool, &usage);
	assert_int_equal(usage.tiers[0].size, RAM / 2);
	write_object(fix,
		     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	assert_int_equal(frames_of(fix, CODEC_ZSTD), 1);
	assert_int_equal(frames_of(fix, CODEC_LZ4), 0);
	config_release(&config);
}

/* What the mounted pool cannot change, and nothing else of that configuration is taken then. */
static void test_refused(void **state)
{
	static const char *const keys[] = {"uuid",	"meta",	       "threads",  "ssd.frame",
					   "ssd.block", "ssd.segment", "ssd.size", "ssd.direct",
					   "ssd.path",	"ram.path",    "tiers"};
	struct fix_pool *fix = *state;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct pool_config config;
		char message[256] = "";
		struct tunables now;

		assert_int_equal(config_copy(&fix->config, &config), 0);
		switch (i) {
		case 0:
			config.uuid[3] ^= 1;
			break;
		case 1:
			config.meta_path[1] ^= 1;
			break;
		case 2:
			config.threads += 1;
			break;
		case 3:
			config.tiers[1].frame_bytes *= 2;
			break;
		case 4:
			config.tiers[1].block_bytes /= 2;
			break;
		case 5:
			config.tiers[1].segment_bytes *= 2;
			break;
		case 6:
			config.tiers[1].size_bytes += 4096;
			break;
		case 7:
			config.tiers[1].direct = !config.tiers[1].direct;
			break;
		case 8:
			config.tiers[1].paths[0][1] ^= 1;
			break;
		case 9:
			config.tiers[0].paths[0][1] ^= 1;
			break;
		default:
			config.tiers[2].name[0] ^= 1;
			break;
		}
		config.run_interval_ns = 3 * SECOND;
		assert_int_equal(pool_reconfigure(fix->pool, &config, message, sizeof(message)),
				 -EINVAL);
		assert_memory_equal(message, keys[i], strlen(keys[i]));
		pool_tunables(fix->pool, &now);
		assert_int_not_equal(now.run_interval_ns, 3 * SECOND);
		config_release(&config);
	}
}

struct reader {
	struct pool *pool;
	_Atomic bool stop;
	unsigned torn;
};

static void *read_on(void *arg)
{
	struct reader *reader = arg;
	struct tunables now;

	while (!reader->stop) {
		pool_tunables(reader->pool, &now);
		reader->torn += now.tiers[1].high_percent - now.tiers[1].low_percent != 10;
	}
	return NULL;
}

/* Nobody sees half of a change (and no data race, where the build looks for them). */
static void test_whole(void **state)
{
	struct fix_pool *fix = *state;
	struct reader reader = {.pool = fix->pool};
	struct pool_config config;
	char message[256];
	pthread_t thread;

	assert_int_equal(config_copy(&fix->config, &config), 0);
	assert_int_equal(pthread_create(&thread, NULL, read_on, &reader), 0);
	for (unsigned i = 0; i < 2000; i++) {
		config.tiers[1].low_percent = 10 + i % 80;
		config.tiers[1].high_percent = config.tiers[1].low_percent + 10;
		assert_int_equal(pool_reconfigure(fix->pool, &config, message, sizeof(message)), 0);
	}
	reader.stop = true;
	pthread_join(thread, NULL);
	assert_int_equal(reader.torn, 0);
	config_release(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_taken_over, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_whole, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
