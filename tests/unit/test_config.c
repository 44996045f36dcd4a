// SPDX-License-Identifier: Apache-2.0
/* The configuration: every key, every way to get it wrong, and back from file to file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/fix_fault.h"
#include "tiers/config.h"
#include "tiers/config_keys.h"
#include "tiers/log.h"

#define UUID "uuid = 00112233-4455-6677-8899-aabbccddeeff\n"
#define POOL "[pool]\n" UUID
#define SSD  "[tier ssd]\npath = /a\n"
#define SEC  UINT64_C(1000000000)

static char folder[] = "/tmp/terrace-config-XXXXXX";

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder); /* fails when a test left something */
}

static int parse(const char *text, struct pool_config *out, char message[512])
{
	return config_parse_text("/etc/terrace/home.conf", text, strlen(text), out, message, 512);
}

static void check_rules(const struct pool_config *config)
{
	const struct config_rule *rule = config->rules;

	assert_int_equal(config->nrules, 3);
	assert_string_equal(rule->name, "photos.1");
	assert_int_equal(rule->nmatches, 2);
	assert_string_equal(rule->matches[0], "/photos/**/*.jpg");
	assert_string_equal(rule->matches[1], "*.png");
	assert_int_equal(rule->min_age_ns, 30 * 86400 * SEC);
	assert_int_equal(rule->min_size, 1 << 20);
	assert_int_equal(rule->max_size, 1 << 30);
	assert_string_equal(rule->owner, "root");
	assert_int_equal(rule->uid, 0);
	assert_int_equal(rule->tier, 2);
	assert_true(rule->has_codec);
	assert_int_equal(rule->codec.id, CODEC_LZMA);
	assert_int_equal(rule->never_tiers, 0);
	assert_false(rule->ignore);
	rule++;
	assert_string_equal(rule->name, "rest");
	assert_int_equal(rule->nmatches, 0);
	assert_int_equal(rule->uid, 4711);
	assert_int_equal(rule->tier, -1);
	assert_int_equal(rule->never_tiers, 1 << 1);
	assert_true(rule->ignore);
	assert_false(rule->has_codec);
	assert_true(rule->max_size == UINT64_MAX);
	assert_null(rule[1].owner);
}

static const char all_keys[] =
	"\xef\xbb\xbf; a comment\n" POOL
	"meta = /nvme/meta/\ncommit_interval = 500ms\n  checkpoint_interval=1min\n"
	"journal_size = 64M\nrun_interval: 2h\npromote_window = 0\nmove_bandwidth = 1.5G\n"
	"threads = 3\nmove_iops = 100\nmove_pressure = 25%\nmove_window = Mon-Fri "
	"22:00-06:00\n"
	"start_delay = 2min\nheat_half_life = 30min\nresidency = 3h\nplain_idle = 2d\n"
	"promote_gain = 150%\nplain_databases = auto\n"
	"scrub_bandwidth = 20M\nscrub_interval = 7d\n"
	"[tier ram]\nsize = 25%\npath = /dev/shm/terrace\n"
	"[tier ssd]\npath = /nvme/t\nsize = 80%\ncodec = zstd:-5\nframe = 256K\nblock = "
	"4K\n"
	"segment = 16MiB\nhigh = 95%\nlow = 10\nmin_age = 0\ndirect = yes\n"
	"[tier hdd-1_x]\npath = /d1/a b\npath = /d2/t ; mine\nsize = 2T\ndirect = no\n"
	"test_delay = 8ms\r\ntest_bandwidth = 100M\nwrite_budget = 20G\n"
	"[rule photos.1]\nmatch = /photos/**/*.jpg\nmatch = *.png\nmin_age = 30d\n"
	"min_size = 1M\nmax_size = 1G\nowner = root\ntier = hdd-1_x\ncodec = lzma:6\n"
	"[rule rest]\nowner = 4711\nnever = ssd\nignore = yes\n[rule none]\n";

static void check_tiers(const struct pool_config *config)
{
	assert_int_equal(config->ntiers, 3);
	assert_int_equal(config->tiers[0].kind, TIER_KIND_RAM);
	assert_int_equal(config->tiers[0].size_percent, 25);
	assert_int_equal(config->tiers[0].size_bytes, 0);
	assert_string_equal(config->tiers[0].paths[0], "/dev/shm/terrace");
	assert_int_equal(config->tiers[1].kind, TIER_KIND_DIR);
	assert_int_equal(config->tiers[1].size_percent, 80);
	assert_int_equal(config->tiers[1].codec.id, CODEC_ZSTD);
	assert_int_equal(config->tiers[1].codec.level, -5);
	assert_int_equal(config->tiers[1].frame_bytes, 256 << 10);
	assert_int_equal(config->tiers[1].block_bytes, 4 << 10);
	assert_int_equal(config->tiers[1].segment_bytes, 16 << 20);
	assert_int_equal(config->tiers[1].high_percent, 95);
	assert_int_equal(config->tiers[1].low_percent, 10);
	assert_int_equal(config->tiers[1].min_age_ns, 0);
	assert_int_equal(config->tiers[1].direct, 1);
	assert_string_equal(config->tiers[2].name, "hdd-1_x");
	assert_int_equal(config->tiers[2].npaths, 2);
	assert_string_equal(config->tiers[2].paths[0], "/d1/a b");
	assert_string_equal(config->tiers[2].paths[1], "/d2/t");
	assert_int_equal(config->tiers[2].size_bytes, 2ull << 40);
	assert_int_equal(config->tiers[2].direct, 0);
	assert_int_equal(config->tiers[2].delay_ns, SEC / 125);
	assert_int_equal(config->tiers[2].bandwidth, 100 << 20);
	assert_int_equal(config->tiers[2].write_budget, 20ull << 30);
}

static void test_every_key(void **state)
{
	struct pool_config config;
	char message[512];

	(void)state;
	if (parse(all_keys, &config, message))
		fail_msg("%s", message);
	assert_string_equal(config.name, "home");
	assert_string_equal(config.file, "/etc/terrace/home.conf");
	assert_int_equal(config.uuid[0], 0x00);
	assert_int_equal(config.uuid[15], 0xff);
	assert_string_equal(config.meta_path, "/nvme/meta");
	assert_int_equal(config.commit_interval_ns, SEC / 2);
	assert_int_equal(config.checkpoint_interval_ns, 60 * SEC);
	assert_int_equal(config.journal_bytes, 64 << 20);
	assert_int_equal(config.run_interval_ns, 7200 * SEC);
	assert_int_equal(config.promote_window_ns, 0);
	assert_int_equal(config.move_bandwidth, 3ull << 29);
	assert_int_equal(config.threads, 3);
	assert_int_equal(config.move_iops, 100);
	assert_int_equal(config.move_pressure, 25);
	assert_string_equal(config.move_window, "Mon-Fri 22:00-06:00");
	assert_int_equal(config.start_delay_ns, 120 * SEC);
	assert_int_equal(config.scrub_bandwidth, 20 << 20);
	assert_int_equal(config.scrub_interval_ns, 7 * 86400 * SEC);
	assert_int_equal(config.heat_half_life_ns, 1800 * SEC);
	assert_int_equal(config.residency_ns, 3 * 3600 * SEC);
	assert_int_equal(config.plain_idle_ns, 2 * 86400 * SEC);
	assert_int_equal(config.promote_gain, 150);
	assert_int_equal(config.plain_databases, -1);
	check_tiers(&config);
	check_rules(&config);
	config_release(&config);
	config_release(&config); /* harmless */
}

static void test_defaults(void **state)
{
	struct pool_config config;
	char message[512];

	(void)state;
	if (parse(POOL "[tier ssd]\npath=/a\n[tier hdd]\npath=/b\n", &config, message))
		fail_msg("%s", message);
	assert_int_equal(config.ntiers, 3);
	assert_string_equal(config.tiers[0].name, "ram");
	assert_int_equal(config.tiers[0].size_bytes, 512 << 20);
	assert_string_equal(config.tiers[0].paths[0], "/dev/shm");
	assert_string_equal(config.meta_path, "/a/meta");
	assert_int_equal(config.commit_interval_ns, 5 * SEC);
	assert_int_equal(config.checkpoint_interval_ns, 30 * SEC);
	assert_int_equal(config.journal_bytes, 16 << 20);
	assert_int_equal(config.run_interval_ns, 60 * SEC);
	assert_int_equal(config.promote_window_ns, 600 * SEC);
	assert_int_equal(config.tiers[1].codec.id, CODEC_LZ4);
	assert_int_equal(config.tiers[2].codec.id, CODEC_ZSTD);
	assert_int_equal(config.tiers[2].codec.level, 12);
	assert_int_equal(config.tiers[1].frame_bytes, 128 << 10);
	assert_int_equal(config.tiers[1].block_bytes, 32 << 10);
	assert_int_equal(config.tiers[1].segment_bytes, 64 << 20);
	assert_int_equal(config.tiers[2].frame_bytes, 1 << 20);
	assert_int_equal(config.tiers[2].block_bytes, 1 << 20);
	assert_int_equal(config.tiers[2].segment_bytes, 256 << 20);
	assert_int_equal(config.tiers[2].high_percent, 90);
	assert_int_equal(config.tiers[2].low_percent, 80);
	assert_int_equal(config.tiers[2].min_age_ns, 3600 * SEC);
	assert_int_equal(config.tiers[2].direct, -1);
	assert_int_equal(config.tiers[2].size_bytes, 0);
	config_release(&config);
}

/* Each wrong file, where it is wrong, and a word that must be in the message. */
static const struct {
	const char *text;
	int line; /* 0: the file as a whole */
	const char *word;
} wrong_files[] = {
	{"", 0, "uuid"},
	{SSD, 0, "uuid"},
	{POOL, 0, "tier on a disk"},
	{POOL "[tier ram]\nsize=1G\n", 0, "tier on a disk"},
	{"x = 1\n" POOL SSD, 1, "before any section"},
	{POOL SSD "[rules a]\n", 5, "unknown section [rules a]"},
	{POOL SSD "[rule]\n", 5, "[rule NAME]"},
	{POOL SSD "[rule ]\n", 5, "1 to 32"},
	{POOL SSD "[rule -a]\n", 5, "begins with a letter"},
	{POOL SSD "[rule a/b]\n", 5, "1 to 32"},
	{POOL SSD "[rule a]\n[rule a]\n", 6, "of this name already"},
	{POOL SSD "[rule a]\nmatch =\n", 6, "match '': is empty"},
	{POOL SSD "[rule a]\nmatch = /a[\n", 6, "'[' without ']'"},
	{POOL SSD "[rule a]\nmatch = /a\nhigh = 90\n", 7,
	 "unknown key 'high'; keys here: match min_age"},
	{POOL SSD "[rule a]\nreplicas = 6\n", 6, "replicas '6'"},
	{POOL SSD "[rule a]\nreplicas = 0\n", 6, "replicas '0'"},
	{POOL SSD "[rule a]\ntier = hdd\n", 5, "no such tier; there are: ssd"},
	{POOL SSD "[rule a]\ntier = ram\n", 6, "a tier on a disk"},
	{POOL SSD "[rule a]\nnever = hdd\n", 5, "never 'hdd': there is no such tier"},
	{POOL SSD "[rule a]\nnever = ssd\n", 5, "never names every tier"},
	{POOL SSD "[rule a]\nnever = x\nnever = x\n", 7, "twice"},
	{POOL SSD "[tier hdd]\npath=/h\n[rule a]\ntier = hdd\nnever = hdd\n", 7,
	 "tier and never both name hdd"},
	{POOL SSD "[rule a]\ntier = ssd\ntier = ssd\n", 7, "set twice"},
	{POOL SSD "[rule a]\nowner = nobody-knows-me\n", 6, "a user of this machine"},
	{POOL SSD "[rule a]\nowner = 4294967295\n", 6, "a user of this machine"},
	{POOL SSD "[rule a]\nowner =\n", 6, "a user of this machine"},
	{POOL SSD "[rule a]\ncodec = best\n", 6, "zstd:12"},
	{POOL SSD "[rule a]\nignore = auto\n", 6, "yes or no"},
	{POOL SSD "[rule a]\nmin_size = 2M\nmax_size = 1M\n", 5, "min_size is above"},
	{POOL SSD "[rule a]\nmin_age = -1\n", 6, "a time like"},
	{POOL "move_window = 22:00_06:00\n" SSD, 3, "like 22:00-06:00"},
	{POOL SSD "write_budget = a lot\n", 5, "a size like"},
	{POOL SSD "[Pool]\n", 5, "[pool], [tier NAME] and [rule NAME]"},
	{POOL "[pool]\n" SSD, 3, "twice"},
	{POOL "fast = yes\n" SSD, 3, "unknown key 'fast'; keys here: uuid meta"},
	{POOL SSD "Codec = lz4\n", 5, "unknown key 'Codec'"},
	{POOL SSD "what is this\n", 5, "neither"},
	{POOL "[tier ssd\npath=/a\n", 3, "without ']'"},
	{POOL UUID SSD, 3, "set twice"},
	{POOL SSD "high = 80\nhigh = 90\n", 6, "set twice"},
	{"[pool]\nuuid = 12\n" SSD, 2, "32 hexadecimal"},
	{"[pool]\nuuid = 00112233445566778899aabbccddeefg\n" SSD, 2, "32 hexadecimal"},
	{"[pool]\nuuid = 00112233445566778899aabbccddeeff00\n" SSD, 2, "32 hexadecimal"},
	{"[pool]\nuuid = 00000000-0000-0000-0000-000000000000\n" SSD, 2, "not all 0"},
	{POOL "meta = here\n" SSD, 3, "absolute"},
	{POOL "commit_interval = 5 s\n" SSD, 3, "from 10ms to 1h"},
	{POOL "commit_interval = 0\n" SSD, 3, "from 10ms to 1h"},
	{POOL "journal_size = -1\n" SSD, 3, "a size like 64K or 2G, from 1M to 16G"},
	{POOL "journal_size = 1X\n" SSD, 3, "a size"},
	{POOL "threads = many\n" SSD, 3, "a number, at most 256"},
	{POOL SSD "size = 101%\n", 5, "a size like 64G or a part like 80%, at least 1M"},
	{POOL SSD "size = 0%\n", 5, "a part like 80%"},
	{POOL SSD "size = 1K\n", 5, "at least 1M"},
	{POOL SSD "size = lots\n", 5, "a size like"},
	{POOL SSD "size =\n", 5, "a size like"},
	{POOL SSD "codec = zsdt\n", 5, "zstd:12"},
	{POOL SSD "codec = lzma:10\n", 5, "lzma[:0..9]"},
	{POOL SSD "frame = 100K\n", 5, "power of two"},
	{POOL SSD "frame = 2M\n", 5, "from 4K to 1M"},
	{POOL SSD "high = 101\n", 5, "percentage like 90%, from 1"},
	{POOL SSD "low = 1.5%\n", 5, "percentage"},
	{POOL SSD "low = 5 %\n", 5, "percentage"},
	{POOL SSD "direct = maybe\n", 5, "yes, no or auto"},
	{POOL SSD "min_age = old\n", 5, "a time like"},
	{POOL SSD "path = b\n", 5, "absolute"},
	{POOL SSD "path =\n", 5, "absolute"},
	{POOL SSD "path = /x\x01y\n", 5, "control character"},
	{POOL SSD "path = /b ///\n", 5, "ends in a blank"},
	{POOL SSD "path = /a/b\n", 3, "overlaps"},
	{POOL SSD "path = /a//\n", 3, "overlaps"},
	{POOL SSD "[tier hdd]\npath = /\n", 5, "overlaps with /a of tier ssd"},
	{POOL SSD "[tier hdd]\n", 5, "tier hdd has no place"},
	{POOL SSD "[tier hdd]\ncopy_path = /b\n", 5, "tier hdd has no place: add path="},
	{POOL SSD "copy_path = b\n", 5, "copy_path 'b': must be an absolute"},
	{POOL SSD "copy_path = /a/b\n", 3, "overlaps"},
	{POOL SSD "copy_path = /b\n[tier hdd]\npath = /b\n", 6, "overlaps with /b of tier ssd"},
	{POOL "[tier ram]\ncopy_path=/b\n" SSD, 4, "`ram` has no 'copy_path'"},
	{POOL SSD "[tier ssd]\n", 5, "of this name already"},
	{POOL SSD "[tier SSD]\n", 5, "a-z"},
	{POOL SSD "[tier ]\n", 5, "a-z"},
	{POOL SSD "[tier combined]\n", 5, "something else"},
	{POOL SSD "[tier abcdefghijklmnopq]\n", 5, "1 to 16"},
	{POOL SSD "[tier ram]\nsize=1G\n", 5, "move it up"},
	{POOL "[tier ram]\nframe=64K\n" SSD, 4, "`ram` has no 'frame'; keys here: path size codec"},
	{POOL "[tier ram]\nsize=15M\n" SSD, 3, "at least 16M"},
	{POOL "[tier ram]\ncodec=zstd\n" SSD, 3, "none or lz4"},
	{POOL "[tier ram]\npath=/dev/shm\npath=/tmp\n" SSD, 3, "one path"},
	{POOL "[tier ram]\npath=/a\n" SSD, 5, "overlaps"},
	{POOL SSD "block = 256K\n", 3, "larger than frame"},
	{POOL SSD "segment = 1M\nframe = 512K\n", 3, "at least 4 frames"},
	{POOL SSD "low = 90\n", 3, "below high"},
};

static void test_what_is_wrong_is_told_with_its_line(void **state)
{
	struct pool_config config;
	char message[512], where[64];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong_files) / sizeof(wrong_files[0]); i++) {
		int error = parse(wrong_files[i].text, &config, message);

		if (wrong_files[i].line)
			snprintf(where, sizeof(where),
				 "/etc/terrace/home.conf:%d: ", wrong_files[i].line);
		else
			snprintf(where, sizeof(where), "/etc/terrace/home.conf: ");
		if (error != -EINVAL || strncmp(message, where, strlen(where)) ||
		    !strstr(message, wrong_files[i].word) || strchr(message, '\n'))
			fail_msg("%zu: %d, want '%s' '%s', got '%s'", i, error, where,
				 wrong_files[i].word, message);
		assert_null(config.file);
		assert_int_equal(config.ntiers, 0);
	}
}

static void test_bytes_that_are_no_text(void **state)
{
	static const char nul[] = POOL "[tier ssd]\npath = /a\0b\n";
	static char line[9000];
	struct pool_config config;
	char message[512];

	(void)state;
	assert_int_equal(config_parse_text("/x", nul, sizeof(nul) - 1, &config, message, 512),
			 -EINVAL);
	assert_non_null(strstr(message, "/x:4: holds a NUL"));
	/* A line that libinih would have cut in two, and the longest path that it must take. */
	snprintf(line, sizeof(line), "%s[tier ssd]\npath = /", POOL);
	memset(line + strlen(line), 'x', 4095);
	if (parse(line, &config, message))
		fail_msg("%s", message);
	assert_int_equal(
		strlen(config.tiers[0].paths[0]) > 0 ? strlen(config.tiers[1].paths[0]) : 0, 4096);
	config_release(&config);
	memset(line + strlen(line), 'x', sizeof(line) - 1 - strlen(line));
	assert_int_equal(parse(line, &config, message), -EINVAL);
	assert_non_null(strstr(message, "home.conf:4: longer than"));
}

static void test_too_many(void **state)
{
	struct pool_config config;
	char message[512], *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int i;

	(void)state;
	fputs(POOL, out);
	for (i = 0; i < 16; i++)
		fprintf(out, "[tier t%d]\npath=/t%d\n", i, i);
	fflush(out);
	assert_int_equal(parse(text, &config, message), -EINVAL);
	assert_non_null(strstr(message, "no room for `ram`"));
	fputs("[tier u]\n", out);
	fflush(out);
	assert_int_equal(parse(text, &config, message), -EINVAL);
	assert_non_null(strstr(message, "home.conf:35: [tier u]: a pool has at most 16"));
	rewind(out);
	fputs(POOL SSD, out);
	for (i = 0; i < 256; i++)
		fprintf(out, "[rule r%d]\n", i);
	fflush(out);
	assert_int_equal(parse(text, &config, message), 0);
	assert_int_equal(config.nrules, 256);
	config_release(&config);
	fputs("[rule one-more]\n", out);
	fflush(out);
	assert_int_equal(parse(text, &config, message), -EINVAL);
	assert_non_null(strstr(message, "home.conf:261: [rule one-more]: there are at most 256"));
	rewind(out);
	fputs(POOL SSD "[rule x]\n", out);
	for (i = 0; i < 65; i++)
		fprintf(out, "match=/p%d\n", i);
	fputc('\0', out);
	fflush(out);
	assert_int_equal(parse(text, &config, message), -EINVAL);
	assert_non_null(strstr(message, "home.conf:70: match '/p64': one rule has at most 64"));
	rewind(out);
	fputs(POOL "[tier x]\n", out);
	for (i = 0; i < 65; i++)
		fprintf(out, "path=/p%d\n", i);
	fputc('\0', out);
	fclose(out);
	assert_int_equal(parse(text, &config, message), -EINVAL);
	assert_non_null(strstr(message, "home.conf:68: path '/p64': one tier has at most 64"));
	free(text);
}

static int no_change(void *arg, const struct config_change *change)
{
	(void)arg;
	fail_msg("%s: %s is not %s", change->name, change->from, change->to);
	return 1;
}

static void same_config(const struct pool_config *a, const struct pool_config *b)
{
	const struct config_key *key;
	uint32_t i, j;

	for (key = config_pool_keys; key->name; key++)
		assert_true(config_value_equal(key, a, b));
	assert_int_equal(a->ntiers, b->ntiers);
	for (i = 0; i < a->ntiers; i++) {
		const struct config_tier *left = &a->tiers[i], *right = &b->tiers[i];

		assert_string_equal(left->name, right->name);
		assert_int_equal(left->kind, right->kind);
		for (key = config_tier_keys; key->name; key++)
			assert_true(key->kind == CONFIG_PATHS ||
				    config_value_equal(key, left, right));
		assert_int_equal(left->npaths, right->npaths);
		for (j = 0; j < left->npaths; j++)
			assert_string_equal(left->paths[j], right->paths[j]);
	}
	assert_int_equal(config_changes(a, b, no_change, NULL), 0);
}

static void test_from_command_line_to_file_and_back(void **state)
{
	static const char *const tiers[] = {
		"ssd:path=/nvme/t,codec=lz4,size=80%,direct=no,min_age=0",
		"ram:size=2G",
		"hdd:path=/d1/t/,path=/d2/t,codec=zstd:12,frame=512K,test_delay=1.5ms,high=70",
	};
	struct pool_config config, back;
	char message[512], file[128];
	size_t i;

	(void)state;
	memset(&config, 0, sizeof(config));
	for (i = 0; i < 3; i++)
		assert_int_equal(config_add_tier(&config, tiers[i], message, sizeof(message)), 0);
	assert_int_equal(config_finish(&config, message, sizeof(message)), 0);
	assert_string_equal(config.tiers[0].name, "ram");
	assert_int_equal(config.tiers[0].size_bytes, 2ull << 30);
	assert_string_equal(config.tiers[1].name, "ssd");
	assert_string_equal(config.meta_path, "/nvme/t/meta");
	assert_int_equal(config.commit_interval_ns, 5 * SEC);
	snprintf(file, sizeof(file), "%s/new.conf", folder);
	assert_int_equal(config_save_new(&config, file), 0);
	if (config_load(file, &back, message, sizeof(message)))
		fail_msg("%s", message);
	assert_string_equal(back.name, "new");
	assert_string_equal(back.file, file);
	same_config(&config, &back);
	assert_int_equal(config_save_new(&config, file), -EEXIST);
	config_release(&back);
	config_release(&config);
	unlink(file);
}

/* Those of further copies are the last ones, wherever the file has them. */
static void test_paths_of_copies(void **state)
{
	struct pool_config config, back;
	char message[512], *text;
	size_t len;

	(void)state;
	if (parse(POOL "[tier ssd]\ncopy_path = /c\npath = /a\ncopy_path = /d/\npath = /b\n",
		  &config, message))
		fail_msg("%s", message);
	assert_int_equal(config.tiers[1].npaths, 4);
	assert_int_equal(config.tiers[1].nspares, 2);
	assert_string_equal(config.tiers[1].paths[0], "/a");
	assert_string_equal(config.tiers[1].paths[1], "/b");
	assert_string_equal(config.tiers[1].paths[2], "/c");
	assert_string_equal(config.tiers[1].paths[3], "/d");
	assert_string_equal(config.meta_path, "/a/meta");
	assert_true(config_is_spare(&config.tiers[1], "/d"));
	assert_false(config_is_spare(&config.tiers[1], "/b"));
	assert_false(config_is_spare(&config.tiers[1], "/e"));
	assert_int_equal(config_print(&config, &text, &len), 0);
	assert_non_null(strstr(text, "\npath = /a\npath = /b\n"));
	assert_non_null(strstr(text, "\ncopy_path = /c\ncopy_path = /d\n"));
	if (parse(text, &back, message))
		fail_msg("%s", message);
	same_config(&config, &back);
	assert_int_equal(back.tiers[1].nspares, 2);
	config_release(&config);
	config_release(&back);
	free(text);
}

#define WITH_RULES                                                                                \
	POOL "move_window = Sat, Sun\n" SSD "[tier hdd]\npath = /b\n"                             \
	     "[rule a]\nmatch = /x y/[a-c]*\\?\nmatch = **\ntier = hdd\nmin_age = 90s\n"          \
	     "[rule b]\nnever = hdd\nowner = 0\ncodec = zstd:19\nmax_size = 0\n[rule c]\nignore " \
	     "= yes\nreplicas = 3\n"

static void test_rules_are_written_and_copied(void **state)
{
	struct pool_config config, back, copy;
	char message[512], *text;
	size_t len;

	(void)state;
	if (parse(WITH_RULES, &config, message))
		fail_msg("%s", message);
	assert_int_equal(config_print(&config, &text, &len), 0);
	if (parse(text, &back, message))
		fail_msg("%s", message);
	same_config(&config, &back);
	assert_string_equal(back.rules[0].matches[0], "/x y/[a-c]*\\?");
	assert_string_equal(back.rules[0].matches[1], "**");
	assert_int_equal(back.rules[1].max_size, 0);
	assert_true(back.rules[2].ignore && back.rules[2].replicas == 3);
	assert_int_equal(config_copy(&config, &copy), 0);
	config_release(&config);
	same_config(&copy, &back);
	config_release(&copy);
	config_release(&back);
	free(text);
}

struct seen_changes {
	char names[256];
	unsigned fixed;
};

static int note_change(void *arg, const struct config_change *change)
{
	struct seen_changes *seen = arg;

	strcat(seen->names, change->name);
	strcat(seen->names, " ");
	seen->fixed += !change->live;
	if (!strcmp(change->name, "ssd.high")) {
		assert_string_equal(change->from, "90%");
		assert_string_equal(change->to, "95%");
	}
	return 0;
}

static void changes(const char *from, const char *to, const char *names, unsigned fixed)
{
	struct seen_changes seen = {"", 0};
	struct pool_config before, after;
	char message[512];

	assert_int_equal(parse(from, &before, message), 0);
	assert_int_equal(parse(to, &after, message), 0);
	assert_int_equal(config_changes(&before, &after, note_change, &seen), 0);
	assert_string_equal(seen.names, names);
	assert_int_equal(seen.fixed, fixed);
	config_release(&before);
	config_release(&after);
}

static void test_changes(void **state)
{
	(void)state;
	changes(POOL SSD, POOL SSD, "", 0);
	changes(POOL SSD, POOL SSD "high = 95\n", "ssd.high ", 0);
	changes(POOL SSD, POOL "run_interval = 1h\n[tier ram]\nsize=1G\n" SSD "size = 80%\n",
		"run_interval ram.size ssd.size ", 1);
	changes(POOL SSD, POOL "threads = 7\nmove_window = Sat\n" SSD "path=/c\n",
		"move_window threads ssd.path ", 2);
	changes(POOL SSD, POOL SSD "copy_path=/c\n", "ssd.copy_path ", 1);
	changes(POOL SSD "path=/c\n", POOL SSD "copy_path=/c\n", "ssd.path ssd.copy_path ", 2);
	changes(POOL SSD, POOL SSD "[tier hdd]\npath=/b\nhigh=1\n", "tiers ", 1);
	changes(POOL SSD, POOL SSD "[rule a]\n", "rules ", 0);
	changes(POOL SSD "[rule a]\n[rule b]\n", POOL SSD "[rule b]\n[rule a]\n", "rules ", 0);
	changes(WITH_RULES, WITH_RULES, "", 0);
}

static void test_wrong_tiers_on_the_command_line(void **state)
{
	static const struct {
		const char *text, *word;
	} wrong[] = {
		{"", "a-z"},
		{":path=/a", "a-z"},
		{"ssd:/a", "'/a' should be KEY=VALUE"},
		{"ssd:path=/a,codec=x", "codec 'x'"},
		{"ssd:path=/a,foo=1", "unknown key 'foo'"},
		{"ram:frame=64K", "has no 'frame'"},
		{"old:path=/x", "of this name"},
		{"ssd:path=", "absolute"},
	};
	struct pool_config config;
	char message[512], here[256];
	size_t i;

	(void)state;
	memset(&config, 0, sizeof(config));
	assert_int_equal(config_add_tier(&config, "old:path=rel/x,copy_path=rel/z", message, 512),
			 0);
	assert_non_null(getcwd(here, sizeof(here)));
	assert_int_equal(strncmp(config.tiers[0].paths[0], here, strlen(here)), 0);
	assert_int_equal(strncmp(config.tiers[0].paths[1], here, strlen(here)), 0);
	assert_int_equal(config.tiers[0].nspares, 1);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (config_add_tier(&config, wrong[i].text, message, sizeof(message)) != -EINVAL ||
		    !strstr(message, wrong[i].word))
			fail_msg("%s: %s", wrong[i].text, message);
		assert_int_equal(config.ntiers, 1);
	}
	assert_int_equal(config_add_tier(&config, "hdd", message, sizeof(message)), 0);
	assert_int_equal(config_finish(&config, message, sizeof(message)), -EINVAL);
	assert_string_equal(message, "tier hdd: tier hdd has no place: add path=/some/folder");
	config_release(&config);
	assert_int_equal(config_finish(&config, message, sizeof(message)), -EINVAL);
	assert_non_null(strstr(message, "needs a tier on a disk"));
	config_release(&config);
}

static void test_files_that_cannot_be_read(void **state)
{
	struct pool_config config;
	char message[512], file[128];

	(void)state;
	assert_int_equal(config_load("/nonexistent/x.conf", &config, message, 512), -ENOENT);
	assert_non_null(strstr(message, "/nonexistent/x.conf: there is no such pool"));
	assert_int_equal(config_load("/", &config, message, 512), -EINVAL);
	assert_non_null(strstr(message, "not a configuration file"));
	config_release(&config);
	snprintf(file, sizeof(file), "%s/eio.conf", folder);
	memset(&config, 0, sizeof(config));
	assert_int_equal(config_add_tier(&config, "ssd:path=/a", message, 512), 0);
	assert_int_equal(config_finish(&config, message, 512), 0);
	assert_int_equal(config_save_new(&config, file), 0);
	config_release(&config);
	fault_arm(FAULT_PREAD, 1, FAULT_EIO, false);
	assert_int_equal(config_load(file, &config, message, 512), -EIO);
	fault_disarm();
	assert_non_null(strstr(message, "eio.conf: Input/output error"));
	unlink(file);
}

static void quiet(void *arg, enum log_level level, const char *line)
{
	(void)arg, (void)level, (void)line;
}

/* Whatever call fails: no file under the final name, no temporary one, no descriptor. */
static void test_saving_is_all_or_nothing(void **state)
{
	struct pool_config config;
	char message[512], file[128];
	int fds = fault_open_fds();
	uint64_t n;

	(void)state;
	memset(&config, 0, sizeof(config));
	assert_int_equal(config_add_tier(&config, "ssd:path=/a", message, 512), 0);
	assert_int_equal(config_finish(&config, message, 512), 0);
	snprintf(file, sizeof(file), "%s/f.conf", folder);
	log_sink_set(quiet, NULL);
	for (n = 1;; n++) {
		int error;

		fault_arm(FAULT_OPEN | FAULT_CLOSE | FAULT_PWRITE | FAULT_SYNC, n, FAULT_ENOSPC,
			  false);
		error = config_save_new(&config, file);
		if (!fault_disarm()) {
			assert_int_equal(error, 0);
			break;
		}
		assert_int_equal(error, -ENOSPC);
		assert_int_equal(access(file, F_OK), -1);
		assert_int_equal(rmdir(folder), 0); /* empty */
		assert_int_equal(mkdir(folder, 0700), 0);
	}
	assert_true(n >= 7);
	log_sink_set(NULL, NULL);
	assert_int_equal(fault_open_fds(), fds);
	config_release(&config);
	unlink(file);
}

static void test_sizes_and_times(void **state)
{
	static const struct {
		const char *text;
		uint64_t value;
	} sizes[] = {{"10", 10},	   {"10B", 10},
		     {"64K", 65536},	   {"64k", 65536},
		     {"64KB", 65536},	   {"64KiB", 65536},
		     {"2G", 2ull << 30},   {"1.5T", 3ull << 39},
		     {"0.5K", 512},	   {"1.1M", 1153433},
		     {"15E", 15ull << 60}, {"18446744073709551615", UINT64_MAX}},
	  times[] = {{"500ms", SEC / 2}, {"5s", 5 * SEC},      {"10min", 600 * SEC},
		     {"2h", 7200 * SEC}, {"7d", 604800 * SEC}, {"3", 3 * SEC},
		     {"0.25", SEC / 4},	 {"20us", 20000},      {"1ns", 1}};
	static const char *const bad[] = {
		"",    "K",    "-1",  "+1",  " 1",   "1 K",
		"1KK", "1iB",  "1.",  ".5K", "16E",  "18446744073709551616",
		"1e3", "0x10", "1.5", "nan", "1.5B", "1.0000000001K"};
	static const char *const bad_times[] = {"", "s", "5y", "-1s", "1.5ns", "300000000d", "5 s"};
	uint64_t value;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(config_parse_size(sizes[i].text, &value), 0);
		assert_int_equal(value, sizes[i].value);
	}
	for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		assert_int_equal(config_parse_time(times[i].text, &value), 0);
		assert_int_equal(value, times[i].value);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(config_parse_size(bad[i], &value), -EINVAL);
	for (i = 0; i < sizeof(bad_times) / sizeof(bad_times[0]); i++)
		assert_int_equal(config_parse_time(bad_times[i], &value), -EINVAL);
}

static void test_names_of_pools(void **state)
{
	static const char *const names[][2] = {
		{"home", "/etc/terrace/home.conf"},
		{"home.conf", "home.conf"},
		{"./home", "./home"},
		{"/srv/p", "/srv/p"},
		{".conf", "/etc/terrace/.conf.conf"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *path = config_resolve(names[i][0]);

		assert_string_equal(path, names[i][1]);
		free(path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_key),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_what_is_wrong_is_told_with_its_line),
		cmocka_unit_test(test_bytes_that_are_no_text),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_from_command_line_to_file_and_back),
		cmocka_unit_test(test_rules_are_written_and_copied),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_paths_of_copies),
		cmocka_unit_test(test_wrong_tiers_on_the_command_line),
		cmocka_unit_test(test_files_that_cannot_be_read),
		cmocka_unit_test(test_saving_is_all_or_nothing),
		cmocka_unit_test(test_sizes_and_times),
		cmocka_unit_test(test_names_of_pools),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
